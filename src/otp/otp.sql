-- One-time passwords: the settings, the decision whether a number gets a code,
-- and the two calls an application makes.

-- Settings. ------------------------------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.otp_defaults() RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN jsonb_build_object(
		'digits', 6, 'tries', 5, 'valid_for', '10 minutes',			-- NIST SP 800-63B-4: at least 6 digits, at most 10 minutes
		'body', 'Your code is {{code}}. It is valid for {{minutes}} minutes. Never share it.',
		'domain', NULL, 'app_hash', NULL, 'pool', 'default',
		'resend_after', '30 seconds', 'resend_limit', '10 minutes',
		'number_limit', '5 per 10 minutes', 'network_limit', '20 per 1 hour',
		'prefix_limit', '100 per 1 hour', 'country_limit', NULL,
		'countries', NULL, 'mobile_only', true,
		-- Global satellite, universal, shared-cost, free and premium services (ITU-T E.164), and premium numbers of the United States.
		'blocked_prefixes', jsonb_build_array('800', '808', '870', '878', '881', '882', '883', '888', '979', '1900'),
		'block_after', 20, 'block_below', 0.3, 'block_for', '1 hour',
		'fail_open', false);
COMMENT ON FUNCTION smsflow.otp_defaults() IS 'Built-in settings of one-time passwords';
REVOKE ALL ON FUNCTION smsflow.otp_defaults() FROM PUBLIC;

-- In the body of a function that is not inlined the names would be looked up
-- anew at each call; BEGIN ATOMIC binds them here.
CREATE OR REPLACE FUNCTION smsflow.otp_options(scope text)
	RETURNS TABLE (digits integer, tries integer, valid_for interval, body text, domain text, app_hash text, pool text,
		resend_after interval, resend_limit interval, number_limit text, network_limit text, prefix_limit text, country_limit text,
		countries text[], mobile_only boolean, blocked_prefixes text[], block_after integer, block_below numeric, block_for interval,
		fail_open boolean)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT r.* FROM jsonb_to_record(smsflow.otp_defaults()
			|| coalesce((SELECT p.options FROM smsflow.otp_policy p WHERE p.scope = '*'), '{}')
			|| coalesce((SELECT p.options FROM smsflow.otp_policy p WHERE p.scope = otp_options.scope), '{}'))
		AS r (digits integer, tries integer, valid_for interval, body text, domain text, app_hash text, pool text,
			resend_after interval, resend_limit interval, number_limit text, network_limit text, prefix_limit text, country_limit text,
			countries text[], mobile_only boolean, blocked_prefixes text[], block_after integer, block_below numeric, block_for interval,
			fail_open boolean);
END;
COMMENT ON FUNCTION smsflow.otp_options(text) IS 'Settings of one-time passwords of a scope: its own, else those of *, else the built-in ones';
REVOKE ALL ON FUNCTION smsflow.otp_options(text) FROM PUBLIC;

-- The last line of a code that browsers and phones fill in by themselves: bound
-- to a web site (WICG, origin-bound one-time codes) or to an Android application
-- (SMS Retriever), or both: what follows the code on that line is ignored.
CREATE OR REPLACE FUNCTION smsflow.otp_body(body text, domain text, app_hash text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN body || CASE WHEN domain IS NOT NULL THEN E'\n@' || domain || ' #{{code}}' || coalesce(' ' || app_hash, '')
		WHEN app_hash IS NOT NULL THEN E'\n' || app_hash ELSE '' END;
COMMENT ON FUNCTION smsflow.otp_body(text, text, text) IS 'Text of a code with the last line that phones read';
REVOKE ALL ON FUNCTION smsflow.otp_body(text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.otp_option_problem(o jsonb) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	name text;
	text_of text;
BEGIN
	FOR name, text_of IN SELECT * FROM jsonb_each_text(o) LOOP
		IF name LIKE '%\_limit' AND name <> 'resend_limit' AND text_of IS NOT NULL AND (text_of !~ '^[1-9][0-9]{0,5} per ' OR split_part(text_of, ' per ', 2)::interval <= '0') THEN
			RETURN format('%s must be like "5 per 10 minutes"', name);
		ELSIF name IN ('valid_for', 'resend_after', 'resend_limit', 'block_for') AND coalesce(text_of::interval <= '0', true) THEN
			RETURN format('%s must be a positive interval', name);
		END IF;
	END LOOP;
	RETURN CASE
		WHEN num_nulls(o ->> 'digits', o ->> 'tries', o ->> 'valid_for', o ->> 'body', o ->> 'pool', o ->> 'block_after', o ->> 'block_below') > 0
			THEN 'only domain, app_hash, countries and limits may be null'
		WHEN (o ->> 'digits')::integer NOT BETWEEN 6 AND 10 THEN 'digits must be 6 to 10'
		WHEN (o ->> 'tries')::integer NOT BETWEEN 1 AND 10 THEN 'tries must be 1 to 10'
		WHEN (o ->> 'valid_for')::interval > '1 hour' THEN 'valid_for must be an hour at most'
		WHEN strpos(o ->> 'body', '{{code}}') = 0 THEN 'body must contain {{code}}'
		WHEN o ->> 'domain' !~ '^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$' THEN 'domain must be a host name such as shop.example'
		WHEN o ->> 'app_hash' !~ '^[A-Za-z0-9+/]{11}$' THEN 'app_hash must have 11 characters'
		WHEN jsonb_typeof(o -> 'countries') NOT IN ('array', 'null') OR o -> 'countries' = '[]' THEN 'countries must be a list such as ["US", "CA"], or null for all'
		WHEN jsonb_path_exists(o -> 'countries', 'strict $[*] ? (!(@ like_regex "^[A-Z]{2}$"))', silent => true) THEN 'countries must be two capital letters each'
		WHEN jsonb_typeof(o -> 'blocked_prefixes') <> 'array' OR jsonb_path_exists(o -> 'blocked_prefixes', 'strict $[*] ? (!(@ like_regex "^[1-9][0-9]*$"))', silent => true)
			THEN 'blocked_prefixes must be a list of the first digits of numbers, such as ["44871"]'
		WHEN (o ->> 'block_after')::integer NOT BETWEEN 5 AND 10000 THEN 'block_after must be 5 to 10000'
		WHEN (o ->> 'block_below')::numeric NOT BETWEEN 0 AND 1 THEN 'block_below must be 0 to 1'
		WHEN (o ->> 'mobile_only')::boolean IS NULL OR (o ->> 'fail_open')::boolean IS NULL THEN 'mobile_only and fail_open must be true or false'
	END;
EXCEPTION WHEN data_exception THEN
	RETURN SQLERRM;
END $$;
COMMENT ON FUNCTION smsflow.otp_option_problem(jsonb) IS 'What is wrong with a complete set of one-time password settings, NULL when nothing';
REVOKE ALL ON FUNCTION smsflow.otp_option_problem(jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.set_otp_policy(options jsonb, scope text DEFAULT '*') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	complete jsonb := smsflow.otp_defaults() || coalesce(set_otp_policy.options, '{}');
	problem text;
BEGIN
	PERFORM smsflow.check_options(set_otp_policy.options, ARRAY(SELECT jsonb_object_keys(smsflow.otp_defaults())));
	IF coalesce(set_otp_policy.scope, '') = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'the scope of a one-time password is empty',
			HINT = 'Name what it is for, such as login, or pass * for all scopes.';
	END IF;
	problem := smsflow.otp_option_problem(complete);
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'settings of one-time passwords cannot be used', DETAIL = problem || '.',
			HINT = 'SELECT smsflow.otp_defaults() shows all settings and their usual values.';
	END IF;
	PERFORM smsflow.check_template(complete ->> 'body');
	IF complete ->> 'app_hash' IS NOT NULL AND octet_length(smsflow.otp_sample(complete)) > 140 THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'the text is too long for the SMS Retriever of Android',
			DETAIL = format('It has %s bytes, and may have 140.', octet_length(smsflow.otp_sample(complete))), HINT = 'Shorten body.';
	END IF;
	INSERT INTO smsflow.otp_policy (scope, options) VALUES (set_otp_policy.scope, set_otp_policy.options)
	ON CONFLICT ON CONSTRAINT otp_policy_pkey DO UPDATE SET options = excluded.options, changed_at = excluded.changed_at;
END $$;
COMMENT ON FUNCTION smsflow.set_otp_policy(jsonb, text) IS 'Sets what differs from the built-in settings of one-time passwords, for a scope or (*) for all; replaces what was set before. Errors: SF003 body, SF007 other settings';
REVOKE ALL ON FUNCTION smsflow.set_otp_policy(jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.otp_sample(o jsonb) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT replace(coalesce(r.rendered, o ->> 'body'), '{{code}}', repeat('0', (o ->> 'digits')::integer))
	FROM smsflow.render_message(smsflow.otp_body(o ->> 'body', o ->> 'domain', o ->> 'app_hash'),
		jsonb_build_object('code', '{{code}}', 'brand', '', 'minutes', 10)) r
$$;
COMMENT ON FUNCTION smsflow.otp_sample(jsonb) IS 'A text with a code of zeros, to measure its length by';
REVOKE ALL ON FUNCTION smsflow.otp_sample(jsonb) FROM PUBLIC;

-- Whether a number gets a code. ----------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.otp_network(address text) RETURNS cidr
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN CASE WHEN address::inet <<= '::ffff:0:0/96' THEN network('0.0.0.0'::inet + (address::inet - '::ffff:0:0'::inet))
		ELSE network(set_masklen(address::inet, CASE WHEN family(address::inet) = 6 THEN 64 ELSE 32 END)) END;
COMMENT ON FUNCTION smsflow.otp_network(text) IS 'What a limit by address counts: an IPv4 address, also one that a socket of IPv6 shows as ::ffff:192.0.2.7, or the 64 bits of IPv6 that a subscriber gets';
REVOKE ALL ON FUNCTION smsflow.otp_network(text) FROM PUBLIC;

-- The last starts of a prefix since its last block ended, and how many of them
-- were answered with the right code.
CREATE OR REPLACE FUNCTION smsflow.otp_rate(prefix text, sample integer, OUT started integer, OUT approved integer)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT count(*)::integer, count(*) FILTER (WHERE s.outcome = 'approved')::integer
	FROM (SELECT o.outcome FROM smsflow.otp o
		WHERE o.prefix = otp_rate.prefix AND o.started_at > greatest(statement_timestamp() - interval '1 hour',
			(SELECT b.until FROM smsflow.otp_block b WHERE b.prefix = otp_rate.prefix))
		ORDER BY o.started_at DESC LIMIT sample) s;
END;
COMMENT ON FUNCTION smsflow.otp_rate(text, integer) IS 'Codes asked for by numbers of a prefix in the last hour, at most sample, and how many of them were entered';
REVOKE ALL ON FUNCTION smsflow.otp_rate(text, integer) FROM PUBLIC;

-- The n-th last start of what a limit counts says all: until it has left the
-- window, no further one is allowed. One probe of an index, whatever the traffic.
--
-- Refusals that no time heals have no retry_at. Of the others the longest counts.
CREATE OR REPLACE FUNCTION smsflow.otp_decision(brand_id integer, phone smsflow.phone, scope text, network cidr)
	RETURNS TABLE (status text, retry_at timestamptz)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT h.status, nullif(h.until, 'infinity')
	FROM smsflow.otp_options(otp_decision.scope) o
	CROSS JOIN (SELECT otp_decision.phone::text AS number, left(otp_decision.phone::text, -4) AS prefix,
		smsflow.phone_region(otp_decision.phone) AS region, smsflow.phone_kind(otp_decision.phone) AS kind) n
	CROSS JOIN LATERAL (
		SELECT 'country_not_allowed', timestamptz 'infinity'
		WHERE n.region <> ALL (o.countries) OR n.region IS NULL AND NOT o.fail_open
		UNION ALL
		SELECT 'number_not_allowed', 'infinity'
		WHERE EXISTS (SELECT FROM unnest(o.blocked_prefixes) b WHERE starts_with(n.number, '+' || b))
			OR (o.mobile_only AND (n.kind = 'fixed' OR coalesce(n.kind, 'unknown') = 'unknown' AND NOT o.fail_open))
		UNION ALL
		SELECT 'prefix_blocked', b.until FROM smsflow.otp_block b WHERE b.prefix = n.prefix
		UNION ALL
		SELECT 'wait', last.started_at + least(o.resend_after * power(2, (SELECT count(*) - 1 FROM (SELECT FROM smsflow.otp p
				WHERE p.phone = otp_decision.phone AND p.scope = otp_decision.scope AND p.outcome IS DISTINCT FROM 'approved'
					AND p.started_at > statement_timestamp() - interval '1 hour' LIMIT 20) again)), o.resend_limit)
		FROM (SELECT p.started_at, p.outcome FROM smsflow.otp p
			WHERE p.phone = otp_decision.phone AND p.scope = otp_decision.scope AND p.brand_id = otp_decision.brand_id
			ORDER BY p.started_at DESC LIMIT 1) last
		WHERE last.outcome IS DISTINCT FROM 'approved'
		UNION ALL
		SELECT 'number_limit', smsflow.limit_window(o.number_limit) + (SELECT p.started_at FROM smsflow.otp p
			WHERE p.phone = otp_decision.phone ORDER BY p.started_at DESC LIMIT 1 OFFSET smsflow.limit_count(o.number_limit) - 1)
		UNION ALL
		SELECT 'network_limit', smsflow.limit_window(o.network_limit) + (SELECT p.started_at FROM smsflow.otp p
			WHERE p.network = otp_decision.network ORDER BY p.started_at DESC LIMIT 1 OFFSET smsflow.limit_count(o.network_limit) - 1)
		UNION ALL
		SELECT 'prefix_limit', smsflow.limit_window(o.prefix_limit) + (SELECT p.started_at FROM smsflow.otp p
			WHERE p.prefix = n.prefix ORDER BY p.started_at DESC LIMIT 1 OFFSET smsflow.limit_count(o.prefix_limit) - 1)
		UNION ALL
		SELECT 'country_limit', smsflow.limit_window(o.country_limit) + (SELECT p.started_at FROM smsflow.otp p
			WHERE p.region = n.region ORDER BY p.started_at DESC LIMIT 1 OFFSET smsflow.limit_count(o.country_limit) - 1)
	) AS h (status, until)
	WHERE h.until > statement_timestamp()
	ORDER BY h.until DESC LIMIT 1;
END;
COMMENT ON FUNCTION smsflow.otp_decision(integer, smsflow.phone, text, cidr) IS 'Why a number gets no code now, and until when; no row when it gets one. Reads a handful of index entries, however much was asked for before';
REVOKE ALL ON FUNCTION smsflow.otp_decision(integer, smsflow.phone, text, cidr) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.otp_block_prefix(prefix text, scope text) RETURNS timestamptz
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	INSERT INTO smsflow.otp_block AS b (prefix, started, approved, until)
	SELECT otp_block_prefix.prefix, r.started, r.approved, statement_timestamp() + o.block_for
	FROM smsflow.otp_options(otp_block_prefix.scope) o
	CROSS JOIN LATERAL smsflow.otp_rate(otp_block_prefix.prefix, 2 * o.block_after) r
	WHERE r.started >= o.block_after AND r.approved < o.block_below * r.started
	ON CONFLICT ON CONSTRAINT otp_block_pkey DO UPDATE SET started = excluded.started, approved = excluded.approved,
		blocked_at = clock_timestamp(),
		times = CASE WHEN b.until > statement_timestamp() - interval '1 day' THEN b.times + 1 ELSE 1 END,
		until = statement_timestamp() + (excluded.until - statement_timestamp())
			* CASE WHEN b.until > statement_timestamp() - interval '1 day' THEN power(2, least(b.times, 5)) ELSE 1 END
	RETURNING b.until
$$;
COMMENT ON FUNCTION smsflow.otp_block_prefix(text, text) IS 'Blocks a prefix when too few of its codes are ever entered, and returns until when; NULL when it is fine';
REVOKE ALL ON FUNCTION smsflow.otp_block_prefix(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.unblock_otp_prefix(prefix text) RETURNS boolean
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	WITH ended AS (UPDATE smsflow.otp_block b SET until = statement_timestamp(), times = 0
		WHERE b.prefix = unblock_otp_prefix.prefix AND b.until > statement_timestamp() RETURNING 1)
	SELECT EXISTS (SELECT FROM ended)
$$;
COMMENT ON FUNCTION smsflow.unblock_otp_prefix(text) IS 'Ends the block of a prefix of smsflow.stat_otp; its count starts anew. False when it was not blocked';
REVOKE ALL ON FUNCTION smsflow.unblock_otp_prefix(text) FROM PUBLIC;

CREATE OR REPLACE VIEW smsflow.stat_otp AS
SELECT coalesce(o.prefix, b.prefix) AS prefix, o.region, coalesce(o.started, 0) AS started, coalesce(o.approved, 0) AS approved,
	round(o.approved::numeric / nullif(o.started, 0), 3) AS approval_rate,
	CASE WHEN b.until > statement_timestamp() THEN 'blocked' ELSE 'open' END AS state,
	CASE WHEN b.until > statement_timestamp() THEN b.until END AS blocked_until
FROM (SELECT p.prefix, min(p.region) AS region, count(*) AS started, count(*) FILTER (WHERE p.outcome = 'approved') AS approved
	FROM smsflow.otp p WHERE p.started_at > statement_timestamp() - interval '1 hour' GROUP BY p.prefix) o
FULL JOIN (SELECT * FROM smsflow.otp_block b WHERE b.until > statement_timestamp()) b ON b.prefix = o.prefix;
COMMENT ON VIEW smsflow.stat_otp IS 'One-time passwords of the last hour by prefix (the number without its last four digits), and prefixes that are blocked';
COMMENT ON COLUMN smsflow.stat_otp.started IS 'Codes asked for and sent in the last hour';
COMMENT ON COLUMN smsflow.stat_otp.approved IS 'Codes that were entered';
COMMENT ON COLUMN smsflow.stat_otp.state IS 'blocked: too few of the codes sent there are entered, which is what an attack on the SMS bill looks like';

-- What an application calls. -------------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.otp_start(phone text, scope text DEFAULT 'login', ip text DEFAULT NULL, brand text DEFAULT 'default',
		OUT status text, OUT retry_at timestamptz)
	LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, smsflow, pg_temp SET enable_seqscan = off SET jit = off
	AS 'MODULE_PATHNAME', 'smsflow_otp_start';
COMMENT ON FUNCTION smsflow.otp_start(text, text, text, text) IS
'Sends a code to a number when the transaction commits; an older code of the scope is void. status is sent, or why not: wait (resend back-off), number_limit, network_limit, prefix_limit, country_limit, prefix_blocked (each until retry_at), country_not_allowed, number_not_allowed, ip_not_readable. ip is the address of who asks, NULL where it is not known. Errors: SF001 phone, SF004 brand, SF007 empty scope, SF008 no key';
REVOKE ALL ON FUNCTION smsflow.otp_start(text, text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.otp_check(phone text, code text, scope text DEFAULT 'login', brand text DEFAULT 'default') RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, smsflow, pg_temp SET enable_seqscan = off SET jit = off
	AS 'MODULE_PATHNAME', 'smsflow_otp_check';
COMMENT ON FUNCTION smsflow.otp_check(text, text, text, text) IS
'Checks the code a person entered, and returns approved (once), wrong, locked (no tries left), expired, or none (nothing was sent, or it is used). A wrong try counts when the transaction commits, so commit it. Errors: SF001 phone, SF004 brand, SF007 empty scope, SF008 no key';
REVOKE ALL ON FUNCTION smsflow.otp_check(text, text, text, text) FROM PUBLIC;

-- The worker's side. -----------------------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.otp_text(message_id bigint, body text) RETURNS text
	LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smsflow_otp_text';
COMMENT ON FUNCTION smsflow.otp_text(bigint, text) IS 'Worker: text of a one-time password as it goes out, with its code; NULL when the code is void or its key is missing. Other texts are returned as they are';
REVOKE ALL ON FUNCTION smsflow.otp_text(bigint, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.forget_otps() RETURNS bigint
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	WITH gone AS (DELETE FROM smsflow.otp o WHERE o.started_at < now() - interval '1 day' RETURNING 1),
	healed AS (DELETE FROM smsflow.otp_block b WHERE b.until < now() - interval '1 day')
	SELECT count(*) FROM gone
$$;
COMMENT ON FUNCTION smsflow.forget_otps() IS 'Removes one-time passwords that are older than a day; returns how many';
REVOKE ALL ON FUNCTION smsflow.forget_otps() FROM PUBLIC;
