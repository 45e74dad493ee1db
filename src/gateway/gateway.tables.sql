-- Routes to the phone network. A profile says how one kind of gateway is
-- spoken to; a gateway is an account there; a sender is a number on it.

CREATE TABLE smsflow.gateway_profile (
	profile			text PRIMARY KEY CHECK (profile ~ '^[a-z][a-z0-9_]*$'),
	method			text NOT NULL CHECK (method IN ('GET', 'POST', 'PUT')),
	path			text NOT NULL DEFAULT '',
	query			text NOT NULL DEFAULT '',
	headers			jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(headers) = 'object'),
	content_type	text CHECK (content_type ~ '^application/(x-www-form-urlencoded|[a-z0-9.+-]*json[a-z0-9.+-]*)$'),
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
	in_doubt		text NOT NULL DEFAULT 'hold' CHECK (in_doubt IN ('hold', 'resend', 'poll')),
	builtin			boolean NOT NULL DEFAULT false,
	sigv4			text,
	validity		int4range NOT NULL DEFAULT '[1,)' CHECK (lower(validity) >= 1),
	max_length		integer CHECK (max_length > 0),
	media			jsonb CHECK (jsonb_typeof(media) = 'object' AND media ? 'item' AND COALESCE((media ->> 'most')::integer > 0, true)),
	error_pattern	text CHECK (('' ~ error_pattern) IS NOT NULL OR error_pattern IS NULL),
	wait_pattern	text CHECK (('' ~ wait_pattern) IS NOT NULL OR wait_pattern IS NULL),
	callback		jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(callback) = 'object'),
	signature		jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(signature) = 'object'),
	lookup			jsonb CHECK (jsonb_typeof(lookup) = 'object' AND lookup ?| '{by_reference,by_id}' AND COALESCE((lookup ->> 'patience')::float8 >= 0, true)),
	CHECK (in_doubt <> 'poll' OR COALESCE(lookup ? 'by_reference', false)),
	batch			jsonb CHECK (jsonb_typeof(batch) = 'object' AND batch ?& '{most,body,item,results}' AND (batch ->> 'most')::integer BETWEEN 2 AND 100),
	CHECK ((body IS NULL) = (content_type IS NULL)),
	CHECK (NOT (basic_auth AND sigv4 IS NOT NULL))
);
COMMENT ON TABLE smsflow.gateway_profile IS 'How one kind of HTTP gateway is spoken to, as data';
COMMENT ON COLUMN smsflow.gateway_profile.path IS 'Appended to the gateway''s base URL; {{variables}} are percent-encoded';
COMMENT ON COLUMN smsflow.gateway_profile.query IS 'Query string; {{variables}} are percent-encoded';
COMMENT ON COLUMN smsflow.gateway_profile.headers IS 'Header name -> value with {{variables}}; a line break in a value is refused';
COMMENT ON COLUMN smsflow.gateway_profile.body IS 'Request body; {{variables}} are escaped as the content type needs';
COMMENT ON COLUMN smsflow.gateway_profile.basic_auth IS 'Send option username (default: gateway name) and the secret by HTTP Basic';
COMMENT ON COLUMN smsflow.gateway_profile.success_pattern IS 'Regular expression the answer body must match to count as accepted; NULL: the status alone decides';
COMMENT ON COLUMN smsflow.gateway_profile.id_path IS 'Path of the provider''s message id in a JSON answer; paths are dotted, and of several, separated by spaces, the first with a value counts';
COMMENT ON COLUMN smsflow.gateway_profile.id_pattern IS 'Regular expression whose first group is the provider''s message id';
COMMENT ON COLUMN smsflow.gateway_profile.error_path IS 'Path of the provider''s error code in a JSON answer';
COMMENT ON COLUMN smsflow.gateway_profile.callback_query IS 'Query string appended to the callback URL, with the gateway''s own placeholders';
COMMENT ON COLUMN smsflow.gateway_profile.report IS 'Paths of status, code, provider_id, reference, cost, currency, at, parts, carrier and line_type in the fields of a delivery report; a path =text stands for that text. code_pattern cuts the code out of a longer text; key "provider_id" finds the message of a report by the provider''s id; per_part true: each part of a message is reported by itself';
COMMENT ON COLUMN smsflow.gateway_profile.report_status IS 'Provider status, or status, space and code -> accepted, delivered, undelivered, expired, rejected, unknown';
COMMENT ON COLUMN smsflow.gateway_profile.inbound IS 'Paths of from, to, body, id, charset, binary (octets of the body in hex), and of part_ref, part_total and part_number of a long reply that comes in parts; when: fields (path -> text) that tell a reply from a report; percent true: the body is percent-encoded octets';
COMMENT ON COLUMN smsflow.gateway_profile.in_doubt IS 'resend: the gateway removes repeats by our idempotency key, so a message in doubt may be sent again; poll: it is asked by a look-up, and what it does not have is sent again; hold: neither';

COMMENT ON COLUMN smsflow.gateway_profile.sigv4 IS 'Sign requests by AWS Signature Version 4: provider:provider:region:service with {{variables}}; option username is the access key id, the secret its key';
COMMENT ON COLUMN smsflow.gateway_profile.validity IS 'Seconds of validity that the gateway takes; a message with more or less left gets the nearest';
COMMENT ON COLUMN smsflow.gateway_profile.max_length IS 'Longest body in characters; NULL: no limit';
COMMENT ON COLUMN smsflow.gateway_profile.media IS 'How a request names media: templates before, item (with {{media_url}}), separator and after make the value of {{media}}, and none where a message has none; most (10): how many a message may have; NULL: the gateway takes none';
COMMENT ON COLUMN smsflow.gateway_profile.error_pattern IS 'Regular expression whose first group is the code within what error_path finds';
COMMENT ON COLUMN smsflow.gateway_profile.wait_pattern IS 'Regular expression on the body of a throttled answer whose first group is how many milliseconds to wait';
COMMENT ON COLUMN smsflow.gateway_profile.callback IS 'How callbacks come in: inner (path of a text that is JSON itself), records (path of the list, empty for a body that is a list); answer and answer_type: what is answered';
COMMENT ON COLUMN smsflow.gateway_profile.lookup IS 'Requests (GET) that ask what became of a message: by_reference, for one in doubt, and by_id, for one whose provider''s id is known, each with url, records (path of the list in the answer) and match (path in a record -> to, to_digits, body or reference); report and status as those of reports, where records differ from them; patience (seconds after a try from which a record that is missing proves that it was not sent, 30). NULL: the gateway cannot be asked';
COMMENT ON COLUMN smsflow.gateway_profile.batch IS 'Several messages in one request: most (2 to 100), body with {{items}}, item (of a message), separator, query (in place of the profile''s), same (body: the text is said once for all, for messages whose validity ends within a minute), only (marketing: other purposes go alone); results (path of the list in the answer), number (path of the recipient in a result; without it they are in the order of the items), id and error (paths in a result). success_pattern holds for each result. NULL: each message has its own request';
COMMENT ON COLUMN smsflow.gateway_profile.signature IS 'How callbacks are signed: kind twilio, vonage, plivo, hmac, ed25519, jwt or sns, and what it needs; see src/gateway/README.md';

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
	name			text NOT NULL UNIQUE CHECK (name ~ '^[a-z][a-z0-9_-]{0,62}$' AND name !~ '^(callback|otp|suppression)_key$|_signature$'),
	profile			text NOT NULL REFERENCES smsflow.gateway_profile,
	base_url		text NOT NULL CHECK (base_url ~ '^https?://[^/?#@[:space:]]+(/[^?#[:space:]]*)?$'),
	options			jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object' AND COALESCE(options ->> 'batch' ~ '^([1-9][0-9]?|100)$', true)),
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
	reset_zone		text NOT NULL DEFAULT 'UTC',
	warm_up			text,
	warm_up_from	timestamptz NOT NULL DEFAULT now(),
	UNIQUE (address, gateway_id)
);
COMMENT ON TABLE smsflow.sender IS 'Number, short code or sender id that messages come from';
COMMENT ON COLUMN smsflow.sender.rate IS 'Message parts per second';
COMMENT ON COLUMN smsflow.sender.daily_limit IS 'Message parts per day of reset_zone; NULL is no limit';
COMMENT ON COLUMN smsflow.sender.registration IS 'Name of its registration; the limits of smsflow.registration hold where there is a row of this name';
COMMENT ON COLUMN smsflow.sender.reset_zone IS 'Time zone in which the day of daily_limit begins';
COMMENT ON COLUMN smsflow.sender.warm_up IS 'Curve of smsflow.warm_up that a new number follows; NULL is none';
COMMENT ON COLUMN smsflow.sender.warm_up_from IS 'Its first day on the curve';
COMMENT ON COLUMN smsflow.sender.pool IS 'Senders of one pool share the work; a contact keeps its sender';

-- United States: AT&T limits a campaign by the minute, T-Mobile a brand by the day that begins at midnight Pacific
-- time, shared by all its campaigns and vendors. Nobody knows a recipient's carrier beforehand, so both are charged.
CREATE TABLE smsflow.registration (
	registration_id	integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name			text NOT NULL UNIQUE CHECK (name <> ''),
	kind			text NOT NULL CHECK (kind IN ('brand', 'campaign', 'toll_free', 'short_code', 'other')),
	parent_id		integer REFERENCES smsflow.registration CHECK (parent_id <> registration_id),
	brand_id		integer REFERENCES smsflow.brand,
	parts_per_minute double precision CHECK (parts_per_minute > 0),
	burst			integer NOT NULL DEFAULT 1 CHECK (burst > 0),
	daily_limit		integer CHECK (daily_limit > 0),
	reset_zone		text NOT NULL DEFAULT 'UTC',
	created_at		timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE smsflow.registration IS 'What carriers count by, over all numbers of a registration: 10DLC brands and campaigns, toll-free verifications, short codes';
COMMENT ON COLUMN smsflow.registration.name IS 'Id at the registry, as smsflow.sender.registration names it';
COMMENT ON COLUMN smsflow.registration.parent_id IS 'Brand that a campaign belongs to; its limits hold as well';
COMMENT ON COLUMN smsflow.registration.brand_id IS 'Our brand whose messages it limits, whatever number they leave from; NULL: those of its numbers';
COMMENT ON COLUMN smsflow.registration.parts_per_minute IS 'Message parts a minute; NULL is no limit';
COMMENT ON COLUMN smsflow.registration.burst IS 'Parts that may leave at once after a pause';
COMMENT ON COLUMN smsflow.registration.daily_limit IS 'Message parts a day; NULL is no limit';
COMMENT ON COLUMN smsflow.registration.reset_zone IS 'Time zone in which the day begins';

CREATE TABLE smsflow.warm_up (
	curve	text NOT NULL CHECK (curve <> ''),
	day		integer NOT NULL CHECK (day > 0),
	parts	integer CHECK (parts > 0),
	builtin	boolean NOT NULL DEFAULT false,
	PRIMARY KEY (curve, day)
);
COMMENT ON TABLE smsflow.warm_up IS 'How much a new number may send, day by day';
COMMENT ON COLUMN smsflow.warm_up.day IS 'From this day on (1 is the first), until the next row of the curve';
COMMENT ON COLUMN smsflow.warm_up.parts IS 'Message parts a day; NULL: the curve is over';

-- No carrier publishes a schedule. Vendors advise to begin small and to be steady; the figures are ours.
INSERT INTO smsflow.warm_up (curve, day, parts, builtin) VALUES
	('gentle', 1, 250, true), ('gentle', 3, 500, true), ('gentle', 5, 1000, true), ('gentle', 7, 2000, true),
	('gentle', 9, 4000, true), ('gentle', 11, 8000, true), ('gentle', 13, 16000, true), ('gentle', 15, NULL, true),
	('brisk', 1, 1000, true), ('brisk', 2, 2000, true), ('brisk', 3, 4000, true), ('brisk', 4, 8000, true),
	('brisk', 5, 16000, true), ('brisk', 6, 32000, true), ('brisk', 7, NULL, true);

CREATE TABLE smsflow.quota (
	quota_id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	scope		text NOT NULL CHECK (scope IN ('gateway', 'sender', 'registration', 'campaign', 'brand')),
	scope_id	integer NOT NULL,
	day			date NOT NULL,
	parts		bigint NOT NULL,
	reserved_at	timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX quota_scope ON smsflow.quota (scope, scope_id, quota_id);
COMMENT ON TABLE smsflow.quota IS 'How many parts of a day the worker may use so far, written before the first of them leaves; the newest row of a scope counts. A worker that dies leaves at most a hundredth of the limit unused';

CREATE TABLE smsflow.secret (
	name		text PRIMARY KEY,
	value		text NOT NULL,
	set_at		timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE smsflow.secret IS 'Secrets for development; never dumped. In production a file in smsflow.secrets_dir takes its place';

CREATE TABLE smsflow.gateway_trace (
	message_id	bigint PRIMARY KEY,
	request		text,
	answer		text,
	at			timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE smsflow.gateway_trace IS 'Request without its secret, and answer, of a message of test_gateway(); for a day, and never dumped';
