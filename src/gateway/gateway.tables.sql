-- Routes to the phone network. A profile says how one kind of gateway is
-- spoken to; a gateway is an account there; a sender is a number on it.

CREATE TABLE smsflow.gateway_profile (
	profile			text PRIMARY KEY CHECK (profile ~ '^[a-z][a-z0-9_]*$'),
	method			text NOT NULL CHECK (method IN ('GET', 'POST', 'PUT')),
	path			text NOT NULL DEFAULT '',
	query			text NOT NULL DEFAULT '',
	headers			jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(headers) = 'object'),
	content_type	text CHECK (content_type IN ('application/json', 'application/x-www-form-urlencoded')),
	body			text,
	basic_auth		boolean NOT NULL DEFAULT false,
	success_status	int4range NOT NULL DEFAULT '[200,300)',
	success_pattern	text CHECK (('' ~ success_pattern) IS NOT NULL OR success_pattern IS NULL),
	id_path			text,
	id_pattern		text CHECK (('' ~ id_pattern) IS NOT NULL OR id_pattern IS NULL),
	error_path		text,
	callback_query	text NOT NULL DEFAULT '',
	report			jsonb NOT NULL DEFAULT '{}',
	report_status	jsonb NOT NULL DEFAULT '{}',
	inbound			jsonb NOT NULL DEFAULT '{}',
	in_doubt		text NOT NULL DEFAULT 'hold' CHECK (in_doubt IN ('hold', 'resend')),
	builtin			boolean NOT NULL DEFAULT false,
	CHECK ((body IS NULL) = (content_type IS NULL))
);
COMMENT ON TABLE smsflow.gateway_profile IS 'How one kind of HTTP gateway is spoken to, as data';
COMMENT ON COLUMN smsflow.gateway_profile.path IS 'Appended to the gateway''s base URL; {{variables}} are percent-encoded';
COMMENT ON COLUMN smsflow.gateway_profile.query IS 'Query string; {{variables}} are percent-encoded';
COMMENT ON COLUMN smsflow.gateway_profile.headers IS 'Header name -> value with {{variables}}; a line break in a value is refused';
COMMENT ON COLUMN smsflow.gateway_profile.body IS 'Request body; {{variables}} are escaped as the content type needs';
COMMENT ON COLUMN smsflow.gateway_profile.basic_auth IS 'Send option username (default: gateway name) and the secret by HTTP Basic';
COMMENT ON COLUMN smsflow.gateway_profile.success_pattern IS 'Regular expression the answer body must match to count as accepted; NULL: the status alone decides';
COMMENT ON COLUMN smsflow.gateway_profile.id_path IS 'Dotted path of the provider''s message id in a JSON answer';
COMMENT ON COLUMN smsflow.gateway_profile.id_pattern IS 'Regular expression whose first group is the provider''s message id';
COMMENT ON COLUMN smsflow.gateway_profile.error_path IS 'Dotted path of the provider''s error code in a JSON answer';
COMMENT ON COLUMN smsflow.gateway_profile.callback_query IS 'Query string appended to the callback URL, with the gateway''s own placeholders';
COMMENT ON COLUMN smsflow.gateway_profile.report IS 'Paths of status, code, code_pattern, provider_id, cost, currency and at in the merged fields of a delivery report';
COMMENT ON COLUMN smsflow.gateway_profile.report_status IS 'Provider status -> accepted, delivered, undelivered, expired, rejected, unknown';
COMMENT ON COLUMN smsflow.gateway_profile.inbound IS 'Paths of from, to, body, id and charset in the merged fields of a reply';
COMMENT ON COLUMN smsflow.gateway_profile.in_doubt IS 'resend: the gateway removes repeats by our idempotency key, so a message in doubt may be sent again; hold: it does not';

CREATE TABLE smsflow.error_code (
	profile		text NOT NULL REFERENCES smsflow.gateway_profile,
	code		text NOT NULL,
	class		text NOT NULL CHECK (class IN ('undeliverable', 'opted_out', 'filtered', 'temporary', 'throttled',
		'expired', 'configuration', 'invalid', 'unknown')),
	meaning		text,
	builtin		boolean NOT NULL DEFAULT false,
	PRIMARY KEY (profile, code)
);
COMMENT ON TABLE smsflow.error_code IS 'Provider error code or answer text -> failure class';
COMMENT ON COLUMN smsflow.error_code.code IS 'Exact error code, or HTTP status as http:NNN, or text:PREFIX of the answer body';

CREATE TABLE smsflow.gateway (
	gateway_id		integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name			text NOT NULL UNIQUE CHECK (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
	profile			text NOT NULL REFERENCES smsflow.gateway_profile,
	base_url		text NOT NULL CHECK (base_url ~ '^https?://[^/?#@[:space:]]+(/[^?#[:space:]]*)?$'),
	options			jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object'),
	rate			double precision NOT NULL DEFAULT 1000 CHECK (rate > 0),
	burst			integer NOT NULL DEFAULT 100 CHECK (burst > 0),
	max_in_flight	integer NOT NULL DEFAULT 64 CHECK (max_in_flight BETWEEN 1 AND 512),
	timeout			double precision NOT NULL DEFAULT 30 CHECK (timeout > 0 AND timeout <= 300),
	enabled			boolean NOT NULL DEFAULT true,
	created_at		timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE smsflow.gateway IS 'Account at an HTTP gateway; its secret is a file of this name in smsflow.secrets_dir, or set_secret()';
COMMENT ON COLUMN smsflow.gateway.rate IS 'Message parts per second over all senders of this gateway';
COMMENT ON COLUMN smsflow.gateway.burst IS 'Parts that may leave at once after a pause';
COMMENT ON COLUMN smsflow.gateway.timeout IS 'Seconds a request may take in all';

CREATE TABLE smsflow.sender (
	sender_id		integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	address			text NOT NULL CHECK (address ~ '^(\+[1-9][0-9]{6,14}|[0-9]{3,8}|[A-Za-z0-9 ]{1,11})$'),
	gateway_id		integer NOT NULL REFERENCES smsflow.gateway,
	kind			text NOT NULL DEFAULT 'long_code' CHECK (kind IN ('long_code', 'toll_free', 'short_code', 'alphanumeric')),
	rate			double precision NOT NULL DEFAULT 100 CHECK (rate > 0),
	burst			integer NOT NULL DEFAULT 10 CHECK (burst > 0),
	daily_limit		integer CHECK (daily_limit > 0),
	pool			text NOT NULL DEFAULT 'default',
	registration	text,
	options			jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object'),
	enabled			boolean NOT NULL DEFAULT true,
	created_at		timestamptz NOT NULL DEFAULT now(),
	UNIQUE (address, gateway_id)
);
COMMENT ON TABLE smsflow.sender IS 'Number, short code or sender id that messages come from';
COMMENT ON COLUMN smsflow.sender.rate IS 'Message parts per second';
COMMENT ON COLUMN smsflow.sender.daily_limit IS 'Message parts per day; NULL is no limit';
COMMENT ON COLUMN smsflow.sender.pool IS 'Senders of one pool share the work; a contact keeps its sender';

CREATE TABLE smsflow.secret (
	name		text PRIMARY KEY,
	value		text NOT NULL,
	set_at		timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE smsflow.secret IS 'Secrets for development; never dumped. In production a file in smsflow.secrets_dir takes its place';
