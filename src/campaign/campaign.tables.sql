-- One message to many people.

CREATE TABLE smsflow.template (
	template_id	integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	brand_id	integer NOT NULL DEFAULT 1 REFERENCES smsflow.brand,
	name		text NOT NULL CHECK (name <> ''),
	language	text NOT NULL DEFAULT '',
	body		text NOT NULL,
	created_at	timestamptz NOT NULL DEFAULT now(),
	UNIQUE (brand_id, name, language)
);
COMMENT ON TABLE smsflow.template IS 'Named message text with {{variables}}';
COMMENT ON COLUMN smsflow.template.language IS 'Empty: used where no language fits';

CREATE TABLE smsflow.campaign (
	campaign_id	integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	brand_id	integer NOT NULL DEFAULT 1 REFERENCES smsflow.brand,
	name		text NOT NULL CHECK (name <> ''),
	segment_id	integer NOT NULL REFERENCES smsflow.segment,
	body		text NOT NULL,
	purpose		smsflow.purpose NOT NULL,
	options		jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object'),
	owner		regrole NOT NULL DEFAULT current_user::regrole,
	status		text NOT NULL DEFAULT 'draft'
		CHECK (status IN ('draft', 'scheduled', 'running', 'paused', 'done', 'cancelled', 'failed')),
	launch_at	timestamptz,
	started_at	timestamptz,
	finished_at	timestamptz,
	expanded	boolean NOT NULL DEFAULT false,
	cursor_contact_id bigint NOT NULL DEFAULT 0,
	planned		bigint,
	queued		bigint NOT NULL DEFAULT 0,
	refused		bigint NOT NULL DEFAULT 0,
	error		text,
	created_at	timestamptz NOT NULL DEFAULT now(),
	queued_parts bigint NOT NULL DEFAULT 0,
	local_at	timestamp,
	wave		smallint NOT NULL DEFAULT 1,
	waits_for	text CHECK (waits_for IN ('budget', 'coupons', 'wave', 'winner')),
	waits_until	timestamptz,
	winner		smallint,
	approved_by	text,
	approved_at	timestamptz,
	reminder_of	integer REFERENCES smsflow.campaign,
	remind_before interval,
	occurrence_of integer REFERENCES smsflow.campaign,
	occurrence	text,
	after_message_id bigint,
	UNIQUE (brand_id, name),
	UNIQUE (occurrence_of, occurrence)
);
CREATE INDEX campaign_active ON smsflow.campaign (launch_at) WHERE status IN ('scheduled', 'running');
COMMENT ON TABLE smsflow.campaign IS 'One message to the members of a segment';
COMMENT ON COLUMN smsflow.campaign.expanded IS 'Every member has its message; sending may still go on';
COMMENT ON COLUMN smsflow.campaign.cursor_contact_id IS 'Members up to this contact have their message; moved in the transaction that appends them';
COMMENT ON COLUMN smsflow.campaign.local_at IS 'Wall-clock time at which each recipient''s message is due where they are; NULL: all at once';
COMMENT ON COLUMN smsflow.campaign.wave IS 'Round of expansion: a wave of early access, or 2 for those behind the test group';
COMMENT ON COLUMN smsflow.campaign.waits_for IS 'Why a running campaign makes no more messages for now; those it has made leave';
COMMENT ON COLUMN smsflow.campaign.waits_until IS 'When it goes on by itself; NULL: when somebody does something about it';
COMMENT ON COLUMN smsflow.campaign.winner IS 'Variant that everybody behind the test group gets';
COMMENT ON COLUMN smsflow.campaign.approved_by IS 'Who approved it as it is; a change takes that back';
COMMENT ON COLUMN smsflow.campaign.reminder_of IS 'Campaign whose recipients it reminds';
COMMENT ON COLUMN smsflow.campaign.after_message_id IS 'All its messages have higher ids';
COMMENT ON COLUMN smsflow.campaign.occurrence IS 'Period of a campaign that repeats (UTC); one launch in each, however often its job runs';

CREATE TABLE smsflow.campaign_variant (
	campaign_id	integer NOT NULL REFERENCES smsflow.campaign ON DELETE CASCADE,
	variant		smallint NOT NULL CHECK (variant > 0),
	name		text NOT NULL CHECK (name <> ''),
	body		text NOT NULL,
	weight		integer NOT NULL CHECK (weight BETWEEN 1 AND 10000),
	after		interval NOT NULL DEFAULT '0' CHECK (after >= '0'),
	PRIMARY KEY (campaign_id, variant),
	UNIQUE (campaign_id, name)
);
COMMENT ON TABLE smsflow.campaign_variant IS 'Text or time that a share of a campaign''s recipients gets, by a hash of the contact that never changes';
COMMENT ON COLUMN smsflow.campaign_variant.after IS 'How long after the launch, or its local time, the message is due';

CREATE TABLE smsflow.campaign_translation (
	campaign_id	integer NOT NULL REFERENCES smsflow.campaign ON DELETE CASCADE,
	variant		smallint NOT NULL,
	language	text NOT NULL CHECK (language <> ''),
	body		text NOT NULL,
	PRIMARY KEY (campaign_id, variant, language)
);
COMMENT ON TABLE smsflow.campaign_translation IS 'Text of a campaign or variant for recipients of a language; pt is also for those of pt-BR who have no text of their own';
COMMENT ON COLUMN smsflow.campaign_translation.variant IS '0: the campaign''s own text';

CREATE TABLE smsflow.campaign_wave (
	campaign_id	integer NOT NULL REFERENCES smsflow.campaign ON DELETE CASCADE,
	wave		smallint NOT NULL CHECK (wave > 0),
	segment_id	integer REFERENCES smsflow.segment,
	after		interval NOT NULL CHECK (after >= '0'),
	PRIMARY KEY (campaign_id, wave)
);
COMMENT ON TABLE smsflow.campaign_wave IS 'Who of a campaign''s segment gets the message how long after the launch; nobody gets it twice';
COMMENT ON COLUMN smsflow.campaign_wave.segment_id IS 'NULL: everybody who is left';

CREATE TABLE smsflow.campaign_member (
	campaign_id	integer NOT NULL,
	contact_id	bigint NOT NULL,
	PRIMARY KEY (campaign_id, contact_id)
);
COMMENT ON TABLE smsflow.campaign_member IS 'Members of the segment as they were when a campaign with the option audience "freeze" was launched';

CREATE TABLE smsflow.campaign_recipient (
	campaign_id	integer NOT NULL,
	contact_id	bigint NOT NULL,
	PRIMARY KEY (campaign_id, contact_id)
);
COMMENT ON TABLE smsflow.campaign_recipient IS 'Who has a message of a campaign that comes to its segment in several rounds; appended with the message';

CREATE TABLE smsflow.campaign_policy (
	brand_id	integer PRIMARY KEY REFERENCES smsflow.brand,
	approval	text NOT NULL DEFAULT 'none' CHECK (approval IN ('none', 'any', 'other')),
	holdout		smallint NOT NULL DEFAULT 0 CHECK (holdout BETWEEN 0 AND 50)
);
COMMENT ON TABLE smsflow.campaign_policy IS 'What holds for all campaigns of a brand';
COMMENT ON COLUMN smsflow.campaign_policy.approval IS 'Whether campaigns need approval before they are launched: none, by any role that may give it, or by another role than the author''s';
COMMENT ON COLUMN smsflow.campaign_policy.holdout IS 'Percent of contacts, always the same, who get no campaign, to measure what campaigns bring';

CREATE TABLE smsflow.price (
	brand_id	integer NOT NULL REFERENCES smsflow.brand,
	region		text NOT NULL CHECK (region ~ '^([A-Z]{2}|\*)$'),
	per_part	numeric NOT NULL CHECK (per_part >= 0),
	currency	text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
	PRIMARY KEY (brand_id, region)
);
COMMENT ON TABLE smsflow.price IS 'What a message part to a country costs, for estimates; * is every other country';

CREATE TABLE smsflow.seed (
	brand_id	integer NOT NULL REFERENCES smsflow.brand,
	phone		smsflow.phone NOT NULL,
	PRIMARY KEY (brand_id, phone)
);
COMMENT ON TABLE smsflow.seed IS 'Numbers of the store''s own people, which test_campaign() writes to';

CREATE TABLE smsflow.coupon_pool (
	coupon_pool_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	brand_id	integer NOT NULL REFERENCES smsflow.brand,
	name		text NOT NULL CHECK (name <> ''),
	prefix		text,
	at_end		text NOT NULL CHECK (at_end IN ('wait', 'go_on')),
	created_at	timestamptz NOT NULL DEFAULT now(),
	UNIQUE (brand_id, name)
);
COMMENT ON TABLE smsflow.coupon_pool IS 'Codes of one offer';
COMMENT ON COLUMN smsflow.coupon_pool.prefix IS 'Codes are generated and begin like this; NULL: they are those that the store gave';
COMMENT ON COLUMN smsflow.coupon_pool.at_end IS 'What campaigns do when no code is left';

CREATE TABLE smsflow.coupon (
	coupon_pool_id integer NOT NULL REFERENCES smsflow.coupon_pool,
	code		text NOT NULL,
	campaign_id	integer,
	contact_id	bigint,
	message_id	bigint,
	taken_at	timestamptz,
	checked_at	timestamptz,
	settled		boolean NOT NULL DEFAULT false,
	PRIMARY KEY (coupon_pool_id, code)
);
CREATE INDEX coupon_free ON smsflow.coupon (coupon_pool_id, code) WHERE campaign_id IS NULL;
CREATE INDEX coupon_taken ON smsflow.coupon (campaign_id, contact_id) WHERE campaign_id IS NOT NULL;
CREATE INDEX coupon_dealt ON smsflow.coupon (campaign_id) WHERE campaign_id IS NOT NULL AND message_id IS NULL;
CREATE INDEX coupon_open ON smsflow.coupon (checked_at) WHERE message_id IS NOT NULL AND NOT settled;
COMMENT ON TABLE smsflow.coupon IS 'Code, and whose it is';
COMMENT ON COLUMN smsflow.coupon.message_id IS 'Message that carries it; NULL: free';
COMMENT ON COLUMN smsflow.coupon.settled IS 'The message was sent, so the code stays taken whatever becomes of it';
