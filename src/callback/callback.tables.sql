-- What gateways send to us.

CREATE SEQUENCE smsflow.callback_id_seq;
CREATE FUNCTION smsflow.next_callback_id() RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smsflow_next_callback_id';
COMMENT ON FUNCTION smsflow.next_callback_id() IS 'Next callback id; forces a transaction id first, as next_message_id() does';
REVOKE ALL ON FUNCTION smsflow.next_callback_id() FROM PUBLIC;

CREATE TABLE smsflow.callback (
	callback_id	bigint NOT NULL DEFAULT smsflow.next_callback_id() PRIMARY KEY,
	xid			xid8 NOT NULL DEFAULT pg_current_xact_id(),
	received_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	gateway_id	integer NOT NULL,
	message_id	bigint NOT NULL,
	attempt		smallint NOT NULL,
	fields		jsonb NOT NULL,
	looked_up	boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE smsflow.callback IS 'Inbox of delivery reports whose token was genuine, drained by the worker';
COMMENT ON COLUMN smsflow.callback.message_id IS 'Message of its token or reference; 0: neither was there';
COMMENT ON COLUMN smsflow.callback.looked_up IS 'The gateway was asked: a record of an answer to a look-up, laid out as the profile''s lookup says';
COMMENT ON COLUMN smsflow.callback.fields IS 'Query, form or JSON fields as received';

CREATE TABLE smsflow.callback_problem (
	callback_id	bigint PRIMARY KEY,
	problem		text NOT NULL,
	at			timestamptz NOT NULL DEFAULT clock_timestamp(),
	retry_until	timestamptz
);
CREATE INDEX callback_problem_retry ON smsflow.callback_problem (retry_until) WHERE retry_until IS NOT NULL;
COMMENT ON TABLE smsflow.callback_problem IS 'Callback that could not be applied, set aside with the reason';
COMMENT ON COLUMN smsflow.callback_problem.retry_until IS 'Until when its message may still turn up; NULL: nothing will help';

CREATE TABLE smsflow.provider_message (
	gateway_id	integer NOT NULL,
	provider_id	text NOT NULL,
	message_id	bigint NOT NULL,
	attempt		smallint NOT NULL,
	recorded_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (gateway_id, provider_id)
);
CREATE INDEX provider_message_age ON smsflow.provider_message USING brin (recorded_at);
COMMENT ON TABLE smsflow.provider_message IS 'Message that a gateway gave an id to, for gateways whose reports name nothing else (report key "provider_id" of the profile)';

CREATE TABLE smsflow.inbound_part (
	inbound_part_id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	gateway_id	integer NOT NULL,
	phone		smsflow.phone NOT NULL,
	address		text,
	ref			text NOT NULL,
	total		integer NOT NULL,
	number		integer NOT NULL,
	body		text NOT NULL,
	provider_id	text,
	joined		boolean NOT NULL DEFAULT false,
	received_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	UNIQUE (gateway_id, provider_id)
);
CREATE INDEX inbound_part_open ON smsflow.inbound_part (gateway_id, phone, ref) WHERE NOT joined;
COMMENT ON TABLE smsflow.inbound_part IS 'Part of a long reply of a gateway that does not join them';
COMMENT ON COLUMN smsflow.inbound_part.joined IS 'The whole is in smsflow.inbound';

CREATE TABLE smsflow.feedback (
	feedback_id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	message_id	bigint NOT NULL,
	kind		text NOT NULL CHECK (kind IN ('opted_out', 'reachable', 'unreachable')),
	code		text,
	at			timestamptz NOT NULL DEFAULT clock_timestamp(),
	retry_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	problem		text
);
COMMENT ON TABLE smsflow.feedback IS 'What a gateway said of the recipient of a message and the contact does not show yet; empty but for moments';
COMMENT ON COLUMN smsflow.feedback.retry_at IS 'Not before this: a transaction of the store holds the contact, or recording it failed';
COMMENT ON COLUMN smsflow.feedback.problem IS 'SQLSTATE of the last failure; it is tried again every minute';

CREATE TABLE smsflow.inbound (
	inbound_id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	gateway_id	integer NOT NULL,
	brand_id	integer NOT NULL DEFAULT 1,
	contact_id	bigint,
	phone		smsflow.phone NOT NULL,
	address		text,
	body		text NOT NULL,
	action		text NOT NULL,
	rule		text,
	provider_id	text,
	received_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	settled_as	text CHECK (settled_as IN ('opt_out', 'none')),
	settled_at	timestamptz,
	settled_by	text,
	waiting		boolean NOT NULL DEFAULT false,
	UNIQUE (gateway_id, provider_id)
);
CREATE INDEX inbound_contact ON smsflow.inbound (contact_id, inbound_id);
CREATE INDEX inbound_review ON smsflow.inbound (inbound_id) WHERE action = 'review' AND settled_at IS NULL;
CREATE INDEX inbound_waiting ON smsflow.inbound (phone, inbound_id) WHERE waiting;
COMMENT ON TABLE smsflow.inbound IS 'Message from a customer';
COMMENT ON COLUMN smsflow.inbound.waiting IS 'Kept, and to be obeyed when the transaction that holds the contact has ended';
COMMENT ON COLUMN smsflow.inbound.address IS 'Our number it was sent to';
COMMENT ON COLUMN smsflow.inbound.action IS 'opt_out, review, opt_in, confirm, help or none';
COMMENT ON COLUMN smsflow.inbound.settled_as IS 'What a person said that a reply under review meant; see settle_review()';

CREATE TABLE smsflow.auto_reply (
	action		text NOT NULL CHECK (action IN ('opt_out', 'opt_in', 'help', 'confirm_request', 'closed')),
	language	text NOT NULL DEFAULT '',
	body		text NOT NULL,
	builtin		boolean NOT NULL DEFAULT false,
	PRIMARY KEY (action, language)
);
COMMENT ON TABLE smsflow.auto_reply IS 'Answer that a reply gets at once, and the question that a sign-up gets (confirm_request, with {{program|...}}), as messages of purpose compliance; closed is for questions outside business hours, and conversational';
COMMENT ON COLUMN smsflow.auto_reply.language IS 'Language of the contact; empty: used where no language fits';
COMMENT ON COLUMN smsflow.auto_reply.body IS 'Text with {{variables}}; all but {{brand}} need a default, and the brand too where the store has only the one without a name';
INSERT INTO smsflow.auto_reply (action, language, body, builtin) VALUES
	('opt_out', '', '{{brand|Our shop}}: You are unsubscribed and will get no more messages. Reply START to subscribe again.', true),
	('opt_in', '', '{{brand|Our shop}}: You are subscribed again. Msg & data rates may apply. Reply HELP for help, STOP to end.', true),
	('help', '', '{{brand|Our shop}}: Text messages from our shop. Msg frequency varies. Msg & data rates may apply. Reply STOP to end.', true),
	('confirm_request', '', '{{brand|Our shop}}: Reply YES to get {{program|messages}} by text. Msg frequency varies. Msg & data rates may apply. Reply HELP for help, STOP to end.', true),
	('closed', '', '{{brand|Our shop}}: Thank you for your message. We are closed now, and will answer when we are back.', true);

CREATE TABLE smsflow.business_hours (
	brand_id	integer PRIMARY KEY REFERENCES smsflow.brand,
	hours		text[] NOT NULL,
	time_zone	text NOT NULL
);
COMMENT ON TABLE smsflow.business_hours IS 'When somebody answers the customers of a brand; set_business_hours() writes it. A brand without a row never says that it is closed';
