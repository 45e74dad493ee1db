-- Counters. Every transition appends its delta in its own transaction; the
-- worker folds deltas into hours; a view adds both, so that it is exact in
-- every snapshot.

CREATE TABLE smsflow.metric_delta (
	bucket		timestamptz NOT NULL,
	brand_id	integer NOT NULL,
	campaign_id	integer NOT NULL,
	sequence_id	integer NOT NULL,
	sender_id	integer NOT NULL,
	step		smallint NOT NULL,
	purpose		smsflow.purpose NOT NULL,
	measure		text NOT NULL,
	value		numeric NOT NULL,
	first_at	timestamptz,
	last_at		timestamptz,
	currency	text NOT NULL DEFAULT '',
	variant		smallint NOT NULL DEFAULT 0,
	country		text NOT NULL DEFAULT ''
);
COMMENT ON TABLE smsflow.metric_delta IS 'Change of a counter, not yet folded into metric_hour';
COMMENT ON COLUMN smsflow.metric_delta.bucket IS 'Hour (UTC) of the transition';
COMMENT ON COLUMN smsflow.metric_delta.campaign_id IS '0: no campaign';
COMMENT ON COLUMN smsflow.metric_delta.variant IS 'Variant of the campaign or step; 0: none';
COMMENT ON COLUMN smsflow.metric_delta.country IS 'Of the recipients, where it is counted: cost and priced; else empty';
COMMENT ON COLUMN smsflow.metric_delta.measure IS 'recipients, parts, sent, clicks, clickers, replies, opt_outs, orders, revenue, cost, priced, approved, failed:<class>, delay:<bucket>, or a status whose value is the number of messages now in it';
COMMENT ON COLUMN smsflow.metric_delta.first_at IS 'Instant of the earliest transition counted here; NULL: not kept for this measure';
COMMENT ON COLUMN smsflow.metric_delta.last_at IS 'Instant of the latest transition counted here';
COMMENT ON COLUMN smsflow.metric_delta.currency IS 'Of revenue and cost, as the store or the gateway gave it; empty: not given, or not money';

CREATE TABLE smsflow.metric_hour (LIKE smsflow.metric_delta,
	PRIMARY KEY (bucket, brand_id, campaign_id, sequence_id, sender_id, step, variant, purpose, measure, currency, country)
) WITH (fillfactor = 70);
CREATE INDEX metric_hour_campaign ON smsflow.metric_hour (campaign_id) WHERE campaign_id <> 0;
CREATE INDEX metric_hour_sequence ON smsflow.metric_hour (sequence_id) WHERE sequence_id <> 0;
CREATE INDEX metric_hour_otp ON smsflow.metric_hour (bucket) WHERE purpose = 'otp';
COMMENT ON TABLE smsflow.metric_hour IS 'Counters by hour';

CREATE TABLE smsflow.metric_ever (
	brand_id	integer NOT NULL,
	campaign_id	integer NOT NULL,
	sequence_id	integer NOT NULL,
	step		smallint NOT NULL,
	variant		smallint NOT NULL,
	purpose		smsflow.purpose NOT NULL,
	measure		text NOT NULL,
	currency	text NOT NULL,
	country		text NOT NULL,
	value		numeric NOT NULL,
	first_at	timestamptz,
	last_at		timestamptz,
	PRIMARY KEY (campaign_id, sequence_id, step, variant, brand_id, purpose, measure, currency, country)
) WITH (fillfactor = 70);
COMMENT ON TABLE smsflow.metric_ever IS 'Counters of all time, over all hours and senders: what totals are read from, so that they cost the same however long the history is';

CREATE TABLE smsflow.metric_dropped (
	campaign_id	integer NOT NULL,
	sequence_id	integer NOT NULL,
	step		smallint NOT NULL,
	variant		smallint NOT NULL,
	measure		text NOT NULL,
	currency	text NOT NULL,
	value		numeric NOT NULL,
	PRIMARY KEY (campaign_id, sequence_id, step, variant, measure, currency)
);
COMMENT ON TABLE smsflow.metric_dropped IS 'What the messages that retention has dropped count in the recount';

CREATE TABLE smsflow.attribution (
	kind		text NOT NULL CHECK (kind IN ('order', 'reply', 'opt_out')),
	message_id	bigint NOT NULL,
	contact_id	bigint NOT NULL,
	sender_id	integer,
	at			timestamptz NOT NULL,
	sent_at		timestamptz NOT NULL,
	ref			text,
	amount		numeric,
	currency	text,
	UNIQUE (kind, contact_id, ref)
);
CREATE INDEX attribution_message ON smsflow.attribution (message_id);
COMMENT ON TABLE smsflow.attribution IS 'Order, reply or opt-out and the message it was credited to, decided once, when it was processed';
COMMENT ON COLUMN smsflow.attribution.at IS 'When the person ordered or answered';
COMMENT ON COLUMN smsflow.attribution.sent_at IS 'When the credited message had been sent';
COMMENT ON COLUMN smsflow.attribution.ref IS 'What is counted once: the order''s key, or the message for an opt-out; NULL for replies, which all count';
