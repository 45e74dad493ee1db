-- One-time passwords: what was asked for, and what became of it. The code itself
-- is nowhere: it is computed from a secret key and the row's random nonce when
-- the worker builds the request and when a code is checked, so that neither a
-- table, a dump, the WAL nor a log can tell it. These rows live for a day, and
-- no dump takes them along.

CREATE TABLE smsflow.otp_policy (
	scope		text PRIMARY KEY CHECK (scope <> ''),
	options		jsonb NOT NULL CHECK (jsonb_typeof(options) = 'object'),
	changed_at	timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE smsflow.otp_policy IS 'Settings of one-time passwords of a scope, * for all, that differ from the built-in ones; set_otp_policy() writes them';

CREATE TABLE smsflow.otp (
	otp_id		bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	brand_id	integer NOT NULL,
	phone		smsflow.phone NOT NULL,
	prefix		text NOT NULL,
	region		text,
	network		cidr,
	scope		text NOT NULL,
	message_id	bigint NOT NULL,
	nonce		bytea,
	digits		smallint NOT NULL,
	tries_left	smallint NOT NULL CHECK (tries_left >= 0),
	started_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	expires_at	timestamptz NOT NULL,
	ended_at	timestamptz,
	outcome		text CHECK (outcome IN ('approved', 'locked', 'replaced')),
	CHECK ((ended_at IS NULL) = (outcome IS NULL) AND (ended_at IS NULL) = (nonce IS NOT NULL))
);
CREATE INDEX otp_phone ON smsflow.otp (phone, started_at);
CREATE INDEX otp_network ON smsflow.otp (network, started_at) WHERE network IS NOT NULL;
CREATE INDEX otp_prefix_started ON smsflow.otp (prefix, started_at);
CREATE INDEX otp_region ON smsflow.otp (region, started_at);
CREATE INDEX otp_message ON smsflow.otp (message_id);
CREATE INDEX otp_started ON smsflow.otp (started_at);
COMMENT ON TABLE smsflow.otp IS 'One-time password that was sent, without the code';
COMMENT ON COLUMN smsflow.otp.prefix IS 'The number without its last four digits: what an attacker buys by the block';
COMMENT ON COLUMN smsflow.otp.network IS 'Who asked: the address, of IPv6 its first 64 bits';
COMMENT ON COLUMN smsflow.otp.nonce IS 'Random bytes from which, with the secret otp_key, the code follows; NULL once it is used, locked or replaced';

CREATE TABLE smsflow.otp_block (
	prefix		text PRIMARY KEY,
	started		integer NOT NULL,
	approved	integer NOT NULL,
	times		integer NOT NULL DEFAULT 1,
	blocked_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	until		timestamptz NOT NULL
);
COMMENT ON TABLE smsflow.otp_block IS 'Prefix whose people hardly ever entered their code, and until when it gets none';
COMMENT ON COLUMN smsflow.otp_block.times IS 'Blocks in a row; each lasts twice as long, up to 32 times';
