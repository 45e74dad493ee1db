-- What happens in the store, and the messages that follow from it.

CREATE TABLE smsflow.watch (
	watch_id	integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	relation	regclass NOT NULL UNIQUE,
	kind		text NOT NULL CHECK (kind ~ '^[a-z][a-z0-9_]{0,30}$' AND kind <> 'rows'),
	brand_id	integer NOT NULL DEFAULT 1 REFERENCES smsflow.brand,
	mapping		jsonb NOT NULL,
	created_at	timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE smsflow.watch IS 'Watched table of the store and which of its columns mean what';

CREATE SEQUENCE smsflow.event_id_seq;
CREATE FUNCTION smsflow.next_event_id() RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smsflow_next_event_id';
COMMENT ON FUNCTION smsflow.next_event_id() IS 'Next event id, the last of a block of 1024; forces a transaction id first, as next_message_id() does';
REVOKE ALL ON FUNCTION smsflow.next_event_id() FROM PUBLIC;

CREATE TABLE smsflow.event (
	event_id	bigint NOT NULL DEFAULT smsflow.next_event_id() PRIMARY KEY,
	xid			xid8 NOT NULL DEFAULT pg_current_xact_id(),
	occurred_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	contact_id	bigint,
	brand_id	integer NOT NULL DEFAULT 1,
	watch_id	integer,
	kind		text NOT NULL,
	ref			text,
	phone		text,
	external_id	text,
	amount		numeric,
	currency	text,
	data		jsonb NOT NULL DEFAULT '{}',
	keys		text[]
);
CREATE INDEX event_stranger_phone ON smsflow.event (phone) WHERE contact_id IS NULL AND phone IS NOT NULL;
CREATE INDEX event_stranger_id ON smsflow.event (external_id) WHERE contact_id IS NULL AND external_id IS NOT NULL;
CREATE INDEX event_contact ON smsflow.event (contact_id, event_id) WHERE contact_id IS NOT NULL;
-- Whether an order was reported before; a key of the store may be longer than an index takes.
CREATE INDEX event_order ON smsflow.event (contact_id, hashtextextended(ref, 0)) WHERE kind = 'order' AND contact_id IS NOT NULL AND ref <> '';
COMMENT ON TABLE smsflow.event IS 'Something a person did in the store, appended in the store''s own transaction';
COMMENT ON COLUMN smsflow.event.kind IS 'cart, cart_emptied, order, order_<status>, or any name given to record_event()';
COMMENT ON COLUMN smsflow.event.currency IS 'In capitals, however the store writes it: figures are per currency';
COMMENT ON COLUMN smsflow.event.keys IS 'Of an event of kind rows: keys of the rows of a watched table that changed; the worker makes events of them, with the ids just below this one';
COMMENT ON COLUMN smsflow.event.ref IS 'The store''s key of the cart or order';

CREATE TABLE smsflow.event_problem (
	event_id	bigint PRIMARY KEY,
	error		text NOT NULL,
	sqlstate	text NOT NULL,
	at			timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE smsflow.event_problem IS 'Event that could not be processed, set aside with its error';

CREATE TABLE smsflow.trigger_problem (
	relation	oid NOT NULL,
	sqlstate	text NOT NULL,
	error		text NOT NULL,
	times		bigint NOT NULL DEFAULT 1,
	last_at		timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (relation, sqlstate)
);
COMMENT ON TABLE smsflow.trigger_problem IS 'Error that a watching trigger kept away from the store''s transaction';

CREATE TABLE smsflow.sequence (
	sequence_id	integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	brand_id	integer NOT NULL DEFAULT 1 REFERENCES smsflow.brand,
	name		text NOT NULL CHECK (name <> ''),
	on_event	text NOT NULL,
	purpose		smsflow.purpose NOT NULL,
	exit_on		text[] NOT NULL DEFAULT '{}',
	options		jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object'),
	enabled		boolean NOT NULL DEFAULT false,
	created_at	timestamptz NOT NULL DEFAULT now(),
	owner		regrole NOT NULL DEFAULT current_user::regrole,
	paused_at	timestamptz,
	error		text,
	UNIQUE (brand_id, name)
);
COMMENT ON COLUMN smsflow.sequence.owner IS 'With whose rights its entry condition is evaluated';
COMMENT ON COLUMN smsflow.sequence.paused_at IS 'Since when nobody is moved on; resuming moves every clock by the pause';
COMMENT ON COLUMN smsflow.sequence.error IS 'Why a condition could not be evaluated, which disabled the sequence';
COMMENT ON TABLE smsflow.sequence IS 'Messages that follow a store event';
COMMENT ON COLUMN smsflow.sequence.exit_on IS 'Event kinds that end an enrolment, from the very commit of the event on';

CREATE TABLE smsflow.sequence_step (
	sequence_id	integer NOT NULL REFERENCES smsflow.sequence ON DELETE CASCADE,
	step		smallint NOT NULL,
	after		interval NOT NULL CHECK (after >= '0'),
	body		text,
	options		jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object'),
	owner		regrole NOT NULL DEFAULT current_user::regrole,
	PRIMARY KEY (sequence_id, step)
);
COMMENT ON TABLE smsflow.sequence_step IS 'Message of a sequence; steps are taken in order of their number';
COMMENT ON COLUMN smsflow.sequence_step.body IS 'Text; NULL for a step that only decides, and for one with a template or variants';
COMMENT ON COLUMN smsflow.sequence_step.owner IS 'Who wrote the step: its condition is evaluated with the rights of that role';
COMMENT ON COLUMN smsflow.sequence_step.after IS 'Delay after the event (first step) or after the step before';

CREATE TABLE smsflow.enrollment (
	enrollment_id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	sequence_id	integer NOT NULL REFERENCES smsflow.sequence ON DELETE CASCADE,
	contact_id	bigint NOT NULL,
	ref			text NOT NULL,
	event_id	bigint NOT NULL,
	data		jsonb NOT NULL,
	step		smallint NOT NULL DEFAULT 1,
	next_at		timestamptz,
	started_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	ended_at	timestamptz,
	end_reason	text,
	round		integer NOT NULL DEFAULT 1,
	passed		smallint,
	waiting_since timestamptz,
	UNIQUE (contact_id, sequence_id, ref, round)
);
CREATE INDEX enrollment_waiting ON smsflow.enrollment (contact_id) WHERE waiting_since IS NOT NULL AND ended_at IS NULL;
COMMENT ON COLUMN smsflow.enrollment.round IS 'How often this person went through the sequence about this cart';
COMMENT ON COLUMN smsflow.enrollment.passed IS 'Step whose condition was found true, so that its message may be asked for';
COMMENT ON COLUMN smsflow.enrollment.waiting_since IS 'Since when a step waits for its condition';
CREATE INDEX enrollment_due ON smsflow.enrollment (sequence_id, next_at) WHERE ended_at IS NULL;
COMMENT ON TABLE smsflow.enrollment IS 'One person inside a sequence';
COMMENT ON COLUMN smsflow.enrollment.ref IS 'Cart or order this enrolment is about; empty where there is none';
COMMENT ON COLUMN smsflow.enrollment.event_id IS 'Newest event that started or restarted the clock; exit events after it end the enrolment';
COMMENT ON COLUMN smsflow.enrollment.step IS 'Step that is due next';

CREATE TABLE smsflow.interest (
	interest_id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	brand_id	integer NOT NULL,
	contact_id	bigint NOT NULL,
	product		text NOT NULL CHECK (product <> ''),
	kind		text NOT NULL CHECK (kind IN ('back_in_stock', 'price_drop', 'low_stock', 'launch')),
	price		numeric,
	data		jsonb NOT NULL DEFAULT '{}',
	asked_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	notified_at	timestamptz,
	UNIQUE (brand_id, contact_id, product, kind)
);
CREATE INDEX interest_waiting ON smsflow.interest (brand_id, product, kind, asked_at) WHERE notified_at IS NULL;
CREATE INDEX interest_notified ON smsflow.interest (brand_id, product) WHERE notified_at IS NOT NULL;
COMMENT ON TABLE smsflow.interest IS 'Product that a person wants to hear of: back in stock, cheaper, or nearly gone';
COMMENT ON COLUMN smsflow.interest.price IS 'price_drop: not above this price; NULL: any drop of five percent or more';

CREATE TABLE smsflow.stock (
	brand_id	integer NOT NULL,
	product		text NOT NULL,
	units		numeric NOT NULL,
	alerted		integer NOT NULL DEFAULT 0,
	changed_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (brand_id, product)
);
COMMENT ON TABLE smsflow.stock IS 'Product that somebody waits for: the row that restocking and alerting lock';
COMMENT ON COLUMN smsflow.stock.alerted IS 'People told since it came back; never more than units times stock_factor of the watch';

CREATE TABLE smsflow.recipe (
	recipe		text PRIMARY KEY CHECK (recipe ~ '^[a-z_]+$'),
	on_event	text NOT NULL,
	options		jsonb NOT NULL DEFAULT '{}',
	steps		jsonb NOT NULL,
	needs		text NOT NULL,
	sample		jsonb NOT NULL DEFAULT '{}',
	builtin		boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE smsflow.recipe IS 'Sequence that install_recipe() makes, as data';
COMMENT ON COLUMN smsflow.recipe.steps IS 'List of {"after", "body", "options"}, the arguments of add_step(); "only_with": made only if install_recipe() is asked for that';
COMMENT ON COLUMN smsflow.recipe.needs IS 'Where its event comes from';
COMMENT ON COLUMN smsflow.recipe.sample IS 'Data of an event to try it with';
