-- Figures: exact whether folded or not, equal to a recount, credit given once.
\set VERBOSITY sqlstate
-- A database of its own: the recount looks at every message there is.
\set database regress_smsflow_metrics
\getenv tree PG_ABS_SRCDIR
\set ECHO none
\i :tree/test/fixtures/figures.sql
\set ECHO all
CREATE VIEW pg_temp.figures AS
	SELECT campaign, recipients, suppressed AS suppr, queued, sent, accepted, delivered, parts, replies, opt_outs, orders, revenue, cost, currency
	FROM smsflow_bi.campaign_totals WHERE campaign IN ('spring', 'not yet') ORDER BY campaign;

-- A campaign has its row before its first message.
SELECT to_jsonb(t) - 'campaign_id' AS figures FROM smsflow_bi.campaign_totals t WHERE campaign = 'not yet';

-- Three people, one of them refused.
SELECT pg_temp.append(:ann, :campaign_id, NULL, NULL, :queue_id, NULL) AS to_ann \gset
SELECT pg_temp.append(:bob, :campaign_id, NULL, NULL, :queue_id, NULL) AS to_bob \gset
SELECT pg_temp.append(:cid, :campaign_id, NULL, NULL, 0, 'opted_out') AS to_cid \gset
SELECT count(*) FROM (VALUES (:to_ann, 'queued'), (:to_bob, 'queued'), (:to_cid, 'suppressed')) AS m (id, status),
	LATERAL (SELECT pg_temp.count(id, 'recipients', 1), pg_temp.count(id, status, 1), pg_temp.count(id, 'parts', CASE WHEN status = 'queued' THEN 2 ELSE 0 END)) x;
SELECT * FROM pg_temp.figures;

-- Folding changes nothing that can be seen, and folds each delta once.
CREATE TEMP TABLE before AS SELECT * FROM smsflow_bi.campaign_totals;
SELECT smsflow.fold_metrics() > 0 AS folded, smsflow.fold_metrics() AS left_over;
SELECT count(*) AS changed FROM (TABLE before EXCEPT TABLE smsflow_bi.campaign_totals) x;

-- Sending, and a report with its cost: of two messages one is delivered, and of this one the rates are.
SELECT pg_temp.send(:to_ann, '2026-03-01 10:00+00'), pg_temp.send(:to_bob, '2026-03-01 11:30+00');
INSERT INTO smsflow.report (message_id, callback_id, received_at, occurred_at, attempt, status, cost, currency)
	VALUES (:to_ann, 1, '2026-03-01 10:00:05+00', '2026-03-01 10:00:05+00', 1, 'delivered', 0.0075, 'USD');
SELECT pg_temp.count(:to_ann, 'accepted', -1), pg_temp.count(:to_ann, 'delivered', 1, '2026-03-01 10:00:05+00'), pg_temp.count(:to_ann, 'cost', 0.0075, NULL, 'USD'), pg_temp.count(:to_ann, 'priced', 1, NULL, 'USD');
SELECT * FROM pg_temp.figures;
SELECT delivery_rate, click_rate, first_sent_at, last_sent_at FROM smsflow_bi.campaign_totals WHERE campaign = 'spring';
SELECT hour, sent, delivered FROM smsflow_bi.campaign_hourly WHERE campaign = 'spring' AND sent > 0 ORDER BY hour;

-- An order within 12 hours is credited, once; before the message or later it is not.
INSERT INTO smsflow.event (contact_id, kind, ref, occurred_at, amount, currency) VALUES
	(:ann, 'order', 'A-1', '2026-03-01 09:59+00', 1, 'USD'),
	(:ann, 'order', 'A-2', '2026-03-01 21:59+00', 40, 'USD'),
	(:ann, 'order', 'A-2', '2026-03-01 21:59+00', 40, 'USD'),
	(:ann, 'order', 'A-3', '2026-03-01 22:01+00', 1, 'USD'),
	(:ann, 'cart', 'A-4', '2026-03-01 10:30+00', 1, 'USD'),
	(:bob, 'order', NULL, '2026-03-01 12:00+00', 2.5, 'USD'),
	(:bob, 'order', '', '2026-03-01 12:05+00', NULL, NULL),
	(:cid, 'order', 'C-1', '2026-03-01 12:00+00', 9, 'USD');
SELECT smsflow.attribute_orders(array_agg(event_id)) FROM smsflow.event WHERE contact_id IN (:ann, :bob, :cid);
SELECT smsflow.attribute_orders(array_agg(event_id)) FROM smsflow.event WHERE contact_id IN (:ann, :bob, :cid);
SELECT smsflow.attribute_orders('{}');
SELECT orders, revenue, currency, conversion_rate, revenue_per_message FROM smsflow_bi.campaign_totals WHERE campaign = 'spring';

-- An order that was made before the message is not credited to it when it is reported once more, afterwards.
BEGIN;
INSERT INTO smsflow.event (contact_id, kind, ref, occurred_at, amount, currency) VALUES (:ann, 'order', 'A-1', '2026-03-01 10:05+00', 1, 'USD') RETURNING event_id \gset
SELECT smsflow.attribute_orders(ARRAY[:event_id]);
SELECT orders, revenue FROM smsflow_bi.campaign_totals WHERE campaign = 'spring';
ROLLBACK;

-- Money of several currencies is not added up.
BEGIN;
INSERT INTO smsflow.event (contact_id, kind, ref, occurred_at, amount, currency) VALUES (:bob, 'order', 'B-9', '2026-03-01 12:00+00', 7, 'EUR') RETURNING event_id \gset
SELECT smsflow.attribute_orders(ARRAY[:event_id]);
SELECT orders, revenue, currency, revenue_per_message, cost, cost_currency FROM smsflow_bi.campaign_totals WHERE campaign = 'spring';
SELECT currency, revenue, cost FROM smsflow_bi.campaign_money WHERE campaign = 'spring' ORDER BY currency;
SELECT violations, sample FROM smsflow.check() WHERE invariant LIKE 'I8 %';
ROLLBACK;

-- A later message of a sequence takes the credit; one that is not marketing does not. Nothing of the sequence is delivered, so it has no rates.
BEGIN;
INSERT INTO smsflow.sequence (name, on_event, purpose) VALUES ('cart reminder', 'cart', 'cart') RETURNING sequence_id \gset
INSERT INTO smsflow.sequence_step (sequence_id, step, after, body) VALUES (:sequence_id, 1, '1 hour', 'Still there?'), (:sequence_id, 2, '1 day', 'Last call');
SELECT pg_temp.append(:bob, NULL, :sequence_id, 1::smallint, :queue_id, NULL) AS reminder \gset
SELECT pg_temp.append(:bob, NULL, NULL, NULL, :queue_id, NULL) AS direct \gset
SELECT pg_temp.count(m, 'recipients', 1), pg_temp.count(m, 'queued', 1), pg_temp.count(m, 'parts', 2) FROM unnest(ARRAY[:reminder, :direct]::bigint[]) m;
SELECT pg_temp.send(:reminder, '2026-03-01 13:00+00'), pg_temp.send(:direct, '2026-03-01 13:10+00');
INSERT INTO smsflow.event (contact_id, kind, ref, occurred_at, amount, currency) VALUES (:bob, 'order', 'B-10', '2026-03-01 14:00+00', 60, 'USD') RETURNING event_id \gset
SELECT smsflow.attribute_orders(ARRAY[:event_id]);
SELECT orders FROM smsflow_bi.campaign_totals WHERE campaign = 'spring';
SELECT sequence, step, purpose, status, recipients, sent, orders, revenue, conversion_rate FROM smsflow_bi.sequence_totals ORDER BY step;
SELECT violations, sample FROM smsflow.check() WHERE invariant LIKE 'I8 %';
ROLLBACK;

-- Replies all count; a person opts out of a message once.
SELECT pg_temp.append(:cid, :campaign_id, NULL, NULL, :queue_id, NULL) AS again \gset
SELECT pg_temp.count(:again, 'recipients', 1), pg_temp.count(:again, 'queued', 1), pg_temp.count(:again, 'parts', 2);
SELECT pg_temp.send(:again, clock_timestamp() - interval '23 hours');
SELECT smsflow.attribute_reply(:cid), smsflow.attribute_reply(:cid);
SELECT smsflow.attribute_opt_out(:cid), smsflow.attribute_opt_out(:cid);
SELECT smsflow.attribute_opt_out(:ann);
SELECT replies, opt_outs, opt_out_rate FROM smsflow_bi.campaign_totals WHERE campaign = 'spring';

-- An opt-out through opt_out() counts once for the last message of the 24 hours before it, if it ends consent for its purpose.
BEGIN;
CREATE FUNCTION pg_temp.sent_ago(contact bigint, ago interval) RETURNS void LANGUAGE sql AS $$
	SELECT pg_temp.count(m, 'recipients', 1), pg_temp.count(m, 'queued', 1), pg_temp.count(m, 'parts', 2), pg_temp.send(m, clock_timestamp() - $2)
	FROM pg_temp.append($1, (SELECT campaign_id FROM smsflow.campaign WHERE name = 'spring'), NULL, NULL, (SELECT max(queue_id) FROM smsflow.queue), NULL) m $$;
CREATE VIEW pg_temp.lost AS SELECT opt_outs - 1 AS opt_outs FROM smsflow_bi.campaign_totals WHERE campaign = 'spring';
SELECT count(smsflow.subscribe(phone::text, '{transactional,cart,promotional}')) AS people FROM smsflow.contact;
SELECT pg_temp.sent_ago(:ann, '23 hours 50 minutes'), pg_temp.sent_ago(:bob, '24 hours 10 minutes'), pg_temp.sent_ago(:cid, '1 hour');
SELECT smsflow.opt_out('+14155552672') AS too_late, smsflow.opt_out('+14155552671', '{transactional}') AS another_purpose;
SELECT opt_outs AS neither FROM pg_temp.lost;
SELECT smsflow.opt_out('+14155552671', source => 'unsubscribe page');
SELECT opt_outs AS in_time FROM pg_temp.lost;
SELECT smsflow.opt_out('+14155552671');
SELECT opt_outs AS said_twice FROM pg_temp.lost;
SELECT smsflow.record_opt_out('+14155552673', '{cart,promotional}', 'erasure');
SELECT opt_outs AS no_answer FROM pg_temp.lost;
SELECT campaign, source, opt_outs FROM smsflow_bi.opt_out_trend ORDER BY source, campaign;
SELECT violations, sample FROM smsflow.check() WHERE invariant LIKE 'I8 %' OR invariant LIKE 'credit %';
ROLLBACK;

-- All messages by hour and purpose: those of campaigns, and what the store sends itself.
BEGIN;
SELECT pg_temp.append(:bob, NULL, NULL, NULL, :queue_id, NULL) AS direct \gset
UPDATE smsflow.outbox SET purpose = 'transactional' WHERE message_id = :direct;
SELECT pg_temp.count(:direct, 'recipients', 1, '2026-03-01 11:10+00'), pg_temp.count(:direct, 'parts', 2, '2026-03-01 11:10+00'), pg_temp.count(:direct, 'sent', 1, '2026-03-01 11:11+00');
SELECT hour, purpose, recipients, parts, sent, delivered, orders, brand FROM smsflow_bi.message_hourly WHERE hour < '2026-03-02 00:00+00' ORDER BY hour, purpose;
SELECT sum(sent) AS of_campaigns FROM smsflow_bi.campaign_hourly WHERE hour < '2026-03-02 00:00+00';
ROLLBACK;

-- A recount from the messages gives the same, and says so when it does not.
SELECT violations, sample FROM smsflow.check() WHERE invariant LIKE 'I8 %' OR invariant LIKE 'credit %';
SELECT t.recipients = r.recipients AND t.suppressed = r.suppressed AND t.queued = r.queued AND t.sent = r.sent
	AND t.delivered = r.delivered AND t.accepted = r.accepted AND t.parts = r.parts AND t.replies = r.replies
	AND t.opt_outs = r.opt_outs AND t.orders = r.orders AND t.revenue = r.revenue AND t.cost = r.cost AS same
FROM smsflow_bi.campaign_totals t JOIN smsflow.campaign_recount r USING (campaign_id) WHERE t.campaign = 'spring';
SELECT pg_temp.count(:to_bob, 'delivered', 1);
SELECT violations, regexp_replace(sample, 'campaign \d+', 'campaign N') AS sample FROM smsflow.check() WHERE invariant LIKE 'I8 %';
SELECT pg_temp.count(:to_bob, 'delivered', -1);

-- Every row adds up: what was made is what became of it.
SELECT count(*) AS wrong FROM smsflow_bi.campaign_totals WHERE recipients <>
	suppressed + queued + accepted + delivered + undelivered + rejected + expired + in_doubt + unknown + cancelled;

-- A BI tool needs nothing but base types and finds the meaning of every column.
SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relnamespace = 'smsflow_bi'::regnamespace
	AND (col_description(c.oid, a.attnum) IS NULL OR t.typnamespace <> 'pg_catalog'::regnamespace);
\c :home
DROP DATABASE regress_smsflow_metrics;
