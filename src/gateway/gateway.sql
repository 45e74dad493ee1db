-- Gateways, senders and secrets. Administrative: an operator calls these, the
-- worker reads what they wrote.

-- Secrets and signed URLs. ---------------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.callback_mac(path text) RETURNS text
	LANGUAGE c STABLE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'smsflow_pg_callback_mac';
COMMENT ON FUNCTION smsflow.callback_mac(text) IS 'MAC of the path of a URL that gateways call, 32 hex digits. Errors: SF008 before the first arm()';
REVOKE ALL ON FUNCTION smsflow.callback_mac(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.problem_of_secret(name text) RETURNS text
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'smsflow_pg_problem_of_secret';
COMMENT ON FUNCTION smsflow.problem_of_secret(text) IS 'Why the secret of this name cannot be read, in fixed words that tell nothing of it; NULL when it can';
REVOKE ALL ON FUNCTION smsflow.problem_of_secret(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.set_secret(name text, value text) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF COALESCE(set_secret.name !~ '^[A-Za-z0-9_-]{1,63}$' OR set_secret.name IN ('callback_key', 'suppression_key'), true) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'invalid name of a secret',
			DETAIL = 'A secret has the name of its gateway; "callback_key" belongs to smsflow.arm(), "suppression_key" to smsflow.erase_contact().',
			HINT = 'Pass the name given to smsflow.add_gateway().';
	END IF;
	IF COALESCE(length(set_secret.value) NOT BETWEEN 1 AND 8192, true) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'invalid value of a secret',
			DETAIL = 'A secret has 1 to 8192 characters.', HINT = 'Pass the password or token of the gateway.';
	END IF;
	INSERT INTO smsflow.secret AS s (name, value) VALUES (set_secret.name, set_secret.value)
		ON CONFLICT ON CONSTRAINT secret_pkey DO UPDATE SET value = excluded.value, set_at = now();
	RAISE WARNING USING MESSAGE = 'the secret is stored in the database',
		DETAIL = 'It is in the write-ahead log, in base backups, and in the server log where statements are logged.',
		HINT = format('In production, put it into a file "%s" in smsflow.secrets_dir that only the server''s user can read.', set_secret.name);
END $$;
COMMENT ON FUNCTION smsflow.set_secret(text, text) IS 'Stores the secret of a gateway in the database, for development; a file of its name in smsflow.secrets_dir comes first. Errors: SF007';
REVOKE ALL ON FUNCTION smsflow.set_secret(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.require_gateway(name text) RETURNS smsflow.gateway
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	found_gateway smsflow.gateway;
BEGIN
	SELECT * INTO found_gateway FROM smsflow.gateway g WHERE g.name = require_gateway.name;
	IF found_gateway.gateway_id IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('gateway "%s" does not exist', require_gateway.name),
			DETAIL = COALESCE((SELECT 'Gateways: ' || string_agg(g.name, ', ' ORDER BY g.name) || '.' FROM smsflow.gateway g),
				'There is no gateway yet.'),
			HINT = 'Add it with smsflow.add_gateway().';
	END IF;
	RETURN found_gateway;
END $$;
COMMENT ON FUNCTION smsflow.require_gateway(text) IS 'Gateway of that name. Errors: SF004';
REVOKE ALL ON FUNCTION smsflow.require_gateway(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.secret_problem(gateway text) RETURNS text
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT CASE WHEN p.basic_auth OR p.sigv4 IS NOT NULL OR concat_ws(' ', p.path, p.query, p.headers, p.body) ~ '\{\{\s*secret\s*(\||\}\})'
		THEN smsflow.problem_of_secret(g.name) END
	FROM smsflow.require_gateway(gateway) g
	JOIN smsflow.gateway_profile p ON p.profile = g.profile;
END;
COMMENT ON FUNCTION smsflow.secret_problem(text) IS 'Why the secret of this gateway cannot be read, in fixed words that tell nothing of it; NULL when it can, or when the profile needs none. Errors: SF004';
REVOKE ALL ON FUNCTION smsflow.secret_problem(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.callback_url(gateway text, message_id bigint, attempt integer) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT CASE WHEN current_setting('smsflow.public_url') = '' THEN '' ELSE
		concat(rtrim(current_setting('smsflow.public_url'), '/'), t.path, '.', smsflow.callback_mac(t.path), '?' || NULLIF(p.callback_query, '')) END
	FROM smsflow.require_gateway(gateway) g
	JOIN smsflow.gateway_profile p ON p.profile = g.profile
	CROSS JOIN LATERAL (SELECT format('/callback/%s/%s.%s', g.name, message_id, attempt)) AS t (path);
END;
COMMENT ON FUNCTION smsflow.callback_url(text, bigint, integer) IS 'URL where a gateway reports about one attempt of a message, empty without smsflow.public_url. Errors: SF004, SF008 before the first arm()';
REVOKE ALL ON FUNCTION smsflow.callback_url(text, bigint, integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.inbound_url(gateway text) RETURNS text
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	base CONSTANT text := rtrim(current_setting('smsflow.public_url'), '/');
	path CONSTANT text := '/in/' || (smsflow.require_gateway(gateway)).name;
BEGIN
	IF base = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF008', MESSAGE = 'smsflow.public_url is not set',
			DETAIL = 'It is the base of the URLs at which gateways reach smsflowd.',
			HINT = 'Set it in postgresql.conf, for example to ''https://sms.example.com'', and reload.';
	END IF;
	RETURN base || path || '/' || smsflow.callback_mac(path);
END $$;
COMMENT ON FUNCTION smsflow.inbound_url(text) IS 'URL to enter at the gateway as the receiver of replies. Errors: SF004, SF008 without smsflow.public_url or before the first arm()';
REVOKE ALL ON FUNCTION smsflow.inbound_url(text) FROM PUBLIC;

-- What the functions below insist on. -----------------------------------------

CREATE OR REPLACE FUNCTION smsflow.check_gateway_url(url text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	-- The message never repeats the URL: it may hold a password.
	IF url ~ '^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*@' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'base_url must not hold a user name or password',
			DETAIL = 'A URL is shown in views and logs.',
			HINT = 'Put the user name into options and the password into a file in smsflow.secrets_dir, or use smsflow.set_secret().';
	END IF;
	IF COALESCE(url !~ '^https?://[^/?#@[:space:]]+(/[^?#[:space:]]*)?$', true) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'base_url is not a URL of a gateway',
			DETAIL = 'It consists of https://, a host, and perhaps a port and a path; query and fragment are not part of it.',
			HINT = 'Use something like ''https://sms.example.com/v1''.';
	END IF;
	IF url LIKE 'http://%' AND NOT current_setting('smsflow.allow_insecure_gateway')::boolean THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'base_url is not https',
			DETAIL = 'Secrets and phone numbers would travel in clear.',
			HINT = 'Use https, or set smsflow.allow_insecure_gateway for a gateway on this machine.';
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_gateway_url(text) IS 'Raises SF007 for a URL that cannot be the base of a gateway';
REVOKE ALL ON FUNCTION smsflow.check_gateway_url(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_gateway_options(options jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	secret_key text;
BEGIN
	IF jsonb_typeof(options) IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'options must be a JSON object',
			DETAIL = 'Options are named values.', HINT = 'Pass an object such as ''{"username": "shop"}''.';
	END IF;
	SELECT k INTO secret_key FROM jsonb_object_keys(options) AS k
		WHERE k ~* '(pass|secret|token|api[_-]?key|credential)' ORDER BY k LIMIT 1;
	IF secret_key IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('option "%s" looks like a secret', secret_key),
			DETAIL = 'Options are readable in views and dumps.',
			HINT = 'Put it into a file with the name of the gateway in smsflow.secrets_dir, or use smsflow.set_secret().';
	END IF;
	IF options ->> 'rate_unit' NOT IN ('part', 'message') THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'invalid value of "rate_unit"',
			DETAIL = 'A rate counts what is part or message.', HINT = 'Leave it out: carriers count parts.';
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_gateway_options(jsonb) IS 'Raises SF007 for options that are no object, hold a secret, or have another rate_unit than part and message';
REVOKE ALL ON FUNCTION smsflow.check_gateway_options(jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_needed_options(profile text, options jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	missing text;
BEGIN
	SELECT n.name INTO missing
		FROM (SELECT m[1] AS name FROM smsflow.gateway_profile p
				CROSS JOIN LATERAL regexp_matches(concat_ws(' ', p.path, p.query, p.headers, p.body, p.sigv4, p.lookup, p.batch),
					'\{\{\s*option\.([^|}\s]+)\s*\}\}', 'g') AS m
				WHERE p.profile = check_needed_options.profile
			UNION SELECT 'username' FROM smsflow.gateway_profile p
				WHERE p.profile = check_needed_options.profile AND (p.sigv4 IS NOT NULL OR (p.basic_auth AND p.builtin))) n
		WHERE options #>> string_to_array(n.name, '.') IS NULL
		ORDER BY n.name LIMIT 1;
	IF missing IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('option "%s" is missing', missing),
			DETAIL = format('Profile "%s" uses it in every request.', check_needed_options.profile),
			HINT = format('Pass it in options, as in ''{"%s": "..."}''.', missing);
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_needed_options(text, jsonb) IS 'Raises SF007 when a profile uses an option, without a default, that is not among these';
REVOKE ALL ON FUNCTION smsflow.check_needed_options(text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_number(name text, value text, lowest double precision, highest double precision)
	RETURNS double precision
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF value ~ '^[0-9]{1,10}(\.[0-9]{1,6})?$' THEN
		IF value::double precision BETWEEN lowest AND highest THEN
			RETURN value::double precision;
		END IF;
	END IF;
	IF value IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('invalid value of "%s"', name),
			DETAIL = format('It is a number from %s to %s.', lowest, highest), HINT = 'Pass a number in this range.';
	END IF;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION smsflow.check_number(text, text, double precision, double precision) IS 'Number written in value, NULL for NULL. Errors: SF007 when it is none or outside the range';
REVOKE ALL ON FUNCTION smsflow.check_number(text, text, double precision, double precision) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_in_doubt(profile text, options jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	rule CONSTANT text := options ->> 'in_doubt';
BEGIN
	IF rule IS NULL OR rule IN ('hold', 'resend') OR (rule = 'poll' AND EXISTS (SELECT FROM smsflow.gateway_profile p
			WHERE p.profile = check_in_doubt.profile AND p.lookup ? 'by_reference')) THEN
		RETURN;
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'invalid value of "in_doubt"',
		DETAIL = 'It is hold, resend or poll; poll needs a profile with a look-up by reference.', HINT = 'Leave it out: the profile says what its gateway can do.';
END $$;
COMMENT ON FUNCTION smsflow.check_in_doubt(text, jsonb) IS 'Raises SF007 for an option in_doubt that a gateway of this profile cannot have';
REVOKE ALL ON FUNCTION smsflow.check_in_doubt(text, jsonb) FROM PUBLIC;

-- Gateways. -------------------------------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.base_for(profile text, url text) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT CASE WHEN p.path LIKE '/%' THEN rtrim(url, '/') ELSE url END
	FROM smsflow.gateway_profile p WHERE p.profile = base_for.profile;
END;
COMMENT ON FUNCTION smsflow.base_for(text, text) IS 'Base URL that the path of a profile can follow';
REVOKE ALL ON FUNCTION smsflow.base_for(text, text) FROM PUBLIC;

-- Options that are columns; set to SQL NULL where not given.
CREATE OR REPLACE FUNCTION smsflow.gateway_limits(options jsonb, OUT rate double precision, OUT burst integer,
		OUT max_in_flight integer, OUT timeout double precision, OUT rest jsonb)
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT smsflow.check_number('rate', options ->> 'rate', 0.001, 1000000),
		smsflow.check_number('burst', options ->> 'burst', 1, 1000000)::integer,
		smsflow.check_number('max_in_flight', options ->> 'max_in_flight', 1, 512)::integer,
		smsflow.check_number('timeout', options ->> 'timeout', 0.1, 300),
		options - '{rate,burst,max_in_flight,timeout}'::text[];
END;
COMMENT ON FUNCTION smsflow.gateway_limits(jsonb) IS 'Options of a gateway that are columns (rate and burst in message parts, timeout in seconds), and the rest. Errors: SF007';
REVOKE ALL ON FUNCTION smsflow.gateway_limits(jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.add_gateway(name text, profile text, base_url text, options jsonb DEFAULT '{}') RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	added integer;
BEGIN
	IF COALESCE(add_gateway.name !~ '^[a-z][a-z0-9_-]{0,62}$' OR add_gateway.name = 'callback_key', true) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'invalid name of a gateway',
			DETAIL = 'A name begins with a small letter and goes on with small letters, digits, "_" and "-"; "callback_key" is reserved.',
			HINT = 'The name is also that of its secret and part of its callback URLs.';
	END IF;
	IF NOT EXISTS (SELECT FROM smsflow.gateway_profile p WHERE p.profile = add_gateway.profile) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('gateway profile "%s" does not exist', add_gateway.profile),
			DETAIL = (SELECT 'Profiles: ' || string_agg(p.profile, ', ' ORDER BY p.profile) || '.' FROM smsflow.gateway_profile p),
			HINT = 'Use one of these, or insert your own into smsflow.gateway_profile.';
	END IF;
	PERFORM smsflow.check_gateway_url(add_gateway.base_url);
	PERFORM smsflow.check_gateway_options(add_gateway.options);
	PERFORM smsflow.check_needed_options(add_gateway.profile, add_gateway.options);
	PERFORM smsflow.check_in_doubt(add_gateway.profile, add_gateway.options), smsflow.check_number('batch', add_gateway.options ->> 'batch', 1, 100);

	INSERT INTO smsflow.gateway AS g (name, profile, base_url, options, rate, burst, max_in_flight, timeout)
		SELECT add_gateway.name, add_gateway.profile, smsflow.base_for(add_gateway.profile, add_gateway.base_url), o.rest,
			COALESCE(o.rate, 1000), COALESCE(o.burst, 100), COALESCE(o.max_in_flight, 64), COALESCE(o.timeout, 30)
		FROM smsflow.gateway_limits(add_gateway.options) o
		ON CONFLICT (name) DO NOTHING RETURNING g.gateway_id INTO added;
	IF added IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('gateway "%s" exists already', add_gateway.name),
			DETAIL = 'A name stands for one gateway.', HINT = 'Change it with smsflow.set_gateway(), or choose another name.';
	END IF;
	RETURN added;
END $$;
COMMENT ON FUNCTION smsflow.add_gateway(text, text, text, jsonb) IS 'Adds an account at an HTTP gateway and returns its id. Options rate (parts per second), burst (parts), max_in_flight (requests) and timeout (seconds) limit it; in_doubt (hold, resend or poll) takes the place of the profile''s; batch is how many messages a request holds at most, 1 to 100, where the profile has batches; rate_unit message lets rate and burst count messages; others are the profile''s, such as username. Errors: SF004 profile, SF005 name in use, SF007 other arguments';
REVOKE ALL ON FUNCTION smsflow.add_gateway(text, text, text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.set_gateway(name text, enabled boolean DEFAULT NULL, options jsonb DEFAULT NULL,
		base_url text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	old CONSTANT smsflow.gateway := smsflow.require_gateway(set_gateway.name);
	changes CONSTANT jsonb := COALESCE(set_gateway.options, '{}');
BEGIN
	PERFORM smsflow.check_gateway_options(changes);
	PERFORM smsflow.check_needed_options(old.profile, jsonb_strip_nulls(old.options || changes));
	PERFORM smsflow.check_in_doubt(old.profile, changes), smsflow.check_number('batch', changes ->> 'batch', 1, 100);
	PERFORM smsflow.check_gateway_url(COALESCE(set_gateway.base_url, old.base_url));
	UPDATE smsflow.gateway g SET enabled = COALESCE(set_gateway.enabled, g.enabled),
			base_url = COALESCE(smsflow.base_for(g.profile, set_gateway.base_url), g.base_url), options = jsonb_strip_nulls(g.options || o.rest),
			rate = COALESCE(o.rate, g.rate), burst = COALESCE(o.burst, g.burst),
			max_in_flight = COALESCE(o.max_in_flight, g.max_in_flight), timeout = COALESCE(o.timeout, g.timeout)
		FROM smsflow.gateway_limits(changes) o WHERE g.gateway_id = old.gateway_id;
END $$;
COMMENT ON FUNCTION smsflow.set_gateway(text, boolean, jsonb, text) IS 'Changes a gateway; what is NULL or not among the options stays, an option with value null is removed. Errors: SF004, SF007';
REVOKE ALL ON FUNCTION smsflow.set_gateway(text, boolean, jsonb, text) FROM PUBLIC;

-- Limits. --------------------------------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.local_day(zone text, at timestamptz) RETURNS date
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_local_day';
COMMENT ON FUNCTION smsflow.local_day(text, timestamptz) IS 'Date that an instant has in a time zone. Errors: SF007 unknown zone';
REVOKE ALL ON FUNCTION smsflow.local_day(text, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.day_ends(zone text, at timestamptz) RETURNS timestamptz
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_day_ends';
COMMENT ON FUNCTION smsflow.day_ends(text, timestamptz) IS 'When a daily limit that is counted in this time zone begins anew, also where clocks are changed at midnight. Errors: SF007 unknown zone';
REVOKE ALL ON FUNCTION smsflow.day_ends(text, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.warm_up_limit(curve text, since timestamptz, zone text, at timestamptz) RETURNS integer
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT w.parts FROM smsflow.warm_up w
	WHERE w.curve = warm_up_limit.curve AND w.day <= 1 + GREATEST(smsflow.local_day(zone, at) - smsflow.local_day(zone, since), 0)
	ORDER BY w.day DESC LIMIT 1;
END;
COMMENT ON FUNCTION smsflow.warm_up_limit(text, timestamptz, text, timestamptz) IS 'Message parts that a number on this curve may send on the day of an instant; NULL: no limit';
REVOKE ALL ON FUNCTION smsflow.warm_up_limit(text, timestamptz, text, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.add_registration(name text, kind text DEFAULT 'campaign', parent text DEFAULT NULL,
		parts_per_minute double precision DEFAULT NULL, burst integer DEFAULT NULL, daily_limit integer DEFAULT NULL,
		reset_zone text DEFAULT NULL, brand text DEFAULT NULL) RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	above integer;
	added integer;
BEGIN
	IF COALESCE(btrim(add_registration.name), '') = '' OR COALESCE(add_registration.kind, '') NOT IN ('brand', 'campaign', 'toll_free', 'short_code', 'other') THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'invalid name or kind of a registration',
			DETAIL = 'The name is the id at the registry; kinds are brand, campaign, toll_free, short_code and other.',
			HINT = 'Use something like add_registration(''CXYZ123'', ''campaign'', parent => ''BABC456'').';
	END IF;
	PERFORM smsflow.check_number('parts_per_minute', add_registration.parts_per_minute::text, 0.01, 60000000),
		smsflow.check_number('burst', add_registration.burst::text, 1, 1000000),
		smsflow.check_number('daily_limit', add_registration.daily_limit::text, 1, 2147483647),
		smsflow.local_day(add_registration.reset_zone, now());
	IF add_registration.parent IS NOT NULL THEN
		SELECT r.registration_id INTO above FROM smsflow.registration r WHERE r.name = add_registration.parent AND r.parent_id IS NULL;
		IF NOT FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('registration "%s" does not exist', add_registration.parent),
				DETAIL = 'A campaign belongs to the registration of a brand, which belongs to nothing.', HINT = 'Add the brand first.';
		END IF;
	END IF;
	INSERT INTO smsflow.registration AS r (name, kind, parent_id, brand_id, parts_per_minute, burst, daily_limit, reset_zone)
		VALUES (add_registration.name, add_registration.kind, above,
			CASE WHEN add_registration.brand IS NOT NULL THEN smsflow.brand_named(add_registration.brand) END, add_registration.parts_per_minute,
			COALESCE(add_registration.burst, GREATEST(add_registration.parts_per_minute / 60, 1)::integer, 1), add_registration.daily_limit,
			COALESCE(add_registration.reset_zone, 'UTC'))
		ON CONFLICT (name) DO NOTHING RETURNING r.registration_id INTO added;
	IF added IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('registration "%s" exists already', add_registration.name),
			DETAIL = 'A name stands for one registration.', HINT = 'Change it with smsflow.set_registration().';
	END IF;
	RETURN added;
END $$;
COMMENT ON FUNCTION smsflow.add_registration(text, text, text, double precision, integer, integer, text, text) IS 'Adds a registration that carriers count by and returns its id: kind brand, campaign, toll_free, short_code or other; parent is the brand of a campaign. parts_per_minute (default: no limit), burst in parts (default: what a second allows), daily_limit in parts a day (none) that begins at midnight in reset_zone (UTC). brand: it limits all messages of this brand of ours. Senders name it as their registration. Errors: SF004 parent or brand, SF005 exists, SF007 other arguments';
REVOKE ALL ON FUNCTION smsflow.add_registration(text, text, text, double precision, integer, integer, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.set_registration(name text, parts_per_minute double precision DEFAULT NULL, burst integer DEFAULT NULL,
		daily_limit integer DEFAULT NULL, reset_zone text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	PERFORM smsflow.check_number('parts_per_minute', NULLIF(set_registration.parts_per_minute, 0)::text, 0.01, 60000000),
		smsflow.check_number('burst', set_registration.burst::text, 1, 1000000),
		smsflow.check_number('daily_limit', NULLIF(set_registration.daily_limit, 0)::text, 1, 2147483647),
		smsflow.local_day(set_registration.reset_zone, now());
	UPDATE smsflow.registration r SET parts_per_minute = NULLIF(COALESCE(set_registration.parts_per_minute, r.parts_per_minute), 0),
			burst = COALESCE(set_registration.burst, r.burst), daily_limit = NULLIF(COALESCE(set_registration.daily_limit, r.daily_limit), 0),
			reset_zone = COALESCE(set_registration.reset_zone, r.reset_zone)
		WHERE r.name = set_registration.name;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('registration "%s" does not exist', set_registration.name),
			DETAIL = 'There is no registration of this name.', HINT = 'Add it with smsflow.add_registration().';
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.set_registration(text, double precision, integer, integer, text) IS 'Changes the limits of a registration; what is NULL stays, parts_per_minute and daily_limit 0 remove the limit. Errors: SF004, SF007';
REVOKE ALL ON FUNCTION smsflow.set_registration(text, double precision, integer, integer, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.warm_up_sender(address text, gateway text, curve text DEFAULT 'gentle', since timestamptz DEFAULT now()) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	route CONSTANT integer := (smsflow.require_gateway(warm_up_sender.gateway)).gateway_id;
BEGIN
	IF warm_up_sender.curve IS NOT NULL AND NOT EXISTS (SELECT FROM smsflow.warm_up w WHERE w.curve = warm_up_sender.curve) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('curve "%s" does not exist', warm_up_sender.curve),
			DETAIL = (SELECT 'Curves: ' || string_agg(DISTINCT w.curve, ', ') || '.' FROM smsflow.warm_up w),
			HINT = 'Insert its days into smsflow.warm_up.';
	END IF;
	UPDATE smsflow.sender s SET warm_up = warm_up_sender.curve, warm_up_from = COALESCE(warm_up_sender.since, now())
		WHERE s.address = warm_up_sender.address AND s.gateway_id = route;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('sender "%s" of gateway "%s" does not exist', warm_up_sender.address, warm_up_sender.gateway),
			DETAIL = 'A sender is known by its address and its gateway.', HINT = 'Add it with smsflow.add_sender().';
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.warm_up_sender(text, text, text, timestamptz) IS 'Lets a number begin small: its parts a day follow a curve of smsflow.warm_up from the day of since on, besides its daily_limit. curve NULL ends that. Errors: SF004 gateway, sender or curve';
REVOKE ALL ON FUNCTION smsflow.warm_up_sender(text, text, text, timestamptz) FROM PUBLIC;

-- Senders. --------------------------------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.sender_kind(address text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE
		WHEN address ~ '^\+1(800|833|844|855|866|877|888)[0-9]{7}$' THEN 'toll_free'
		WHEN address ~ '^\+[1-9][0-9]{6,14}$' THEN 'long_code'
		WHEN address ~ '^[0-9]{3,8}$' THEN 'short_code'
		WHEN address ~ '^(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}$' THEN 'alphanumeric' END;
COMMENT ON FUNCTION smsflow.sender_kind(text) IS 'Kind of sender an address is, as it is written; NULL when it can be none';
REVOKE ALL ON FUNCTION smsflow.sender_kind(text) FROM PUBLIC;

-- Makes the queues of single messages, so that the worker knows them before the first one comes.
CREATE OR REPLACE FUNCTION smsflow.make_direct_queues(sender_id integer) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	INSERT INTO smsflow.queue (lane, source, sender_id)
	SELECT lane::smallint, 'direct', make_direct_queues.sender_id FROM generate_series(0, 4) AS lane ON CONFLICT DO NOTHING;
END;
COMMENT ON FUNCTION smsflow.make_direct_queues(integer) IS 'Makes the queue of each lane for a sender';
REVOKE ALL ON FUNCTION smsflow.make_direct_queues(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_sender_limits(rate double precision, burst integer, daily_limit integer, options jsonb) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT smsflow.check_number('rate', rate::text, 0.001, 1000000), smsflow.check_number('burst', burst::text, 1, 1000000),
		smsflow.check_number('daily_limit', daily_limit::text, 1, 2147483647);
	SELECT smsflow.check_gateway_options(options);
END;
COMMENT ON FUNCTION smsflow.check_sender_limits(double precision, integer, integer, jsonb) IS 'Raises SF007 for limits or options that a sender cannot have';
REVOKE ALL ON FUNCTION smsflow.check_sender_limits(double precision, integer, integer, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.add_sender(address text, gateway text, kind text DEFAULT NULL, rate double precision DEFAULT NULL,
		burst integer DEFAULT NULL, daily_limit integer DEFAULT NULL, pool text DEFAULT 'default', registration text DEFAULT NULL,
		options jsonb DEFAULT '{}', reset_zone text DEFAULT 'UTC') RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	route CONSTANT integer := (smsflow.require_gateway(add_sender.gateway)).gateway_id;
	kinds CONSTANT text[] := '{long_code,toll_free,short_code,alphanumeric}';
	added integer;
BEGIN
	IF smsflow.sender_kind(add_sender.address) IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'invalid address of a sender',
			DETAIL = 'It is "+" and 7 to 15 digits, a short code of 3 to 8 digits, or up to 11 letters, digits and spaces.',
			HINT = 'Use something like ''+14155550100''.';
	END IF;
	IF NOT COALESCE(add_sender.kind, kinds[1]) = ANY (kinds) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('unknown kind of sender "%s"', add_sender.kind),
			DETAIL = 'Kinds are long_code, toll_free, short_code and alphanumeric.', HINT = 'Leave it out: the address tells.';
	END IF;
	PERFORM smsflow.check_sender_limits(add_sender.rate, add_sender.burst, add_sender.daily_limit, add_sender.options),
		smsflow.local_day(add_sender.reset_zone, now());

	INSERT INTO smsflow.sender AS s (address, gateway_id, kind, rate, burst, daily_limit, pool, registration, options, reset_zone)
		VALUES (add_sender.address, route, COALESCE(add_sender.kind, smsflow.sender_kind(add_sender.address)),
			COALESCE(add_sender.rate, 100), COALESCE(add_sender.burst, 10), add_sender.daily_limit,
			COALESCE(add_sender.pool, 'default'), add_sender.registration, add_sender.options, COALESCE(add_sender.reset_zone, 'UTC'))
		ON CONFLICT (address, gateway_id) DO NOTHING RETURNING s.sender_id INTO added;
	IF added IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('sender "%s" of gateway "%s" exists already', add_sender.address, add_sender.gateway),
			DETAIL = 'An address is one sender of a gateway.', HINT = 'Change it with smsflow.set_sender().';
	END IF;
	PERFORM smsflow.make_direct_queues(added);
	RETURN added;
END $$;
COMMENT ON FUNCTION smsflow.add_sender(text, text, text, double precision, integer, integer, text, text, jsonb, text) IS 'Adds a number, short code or sender id of a gateway and returns its id. rate is in message parts per second (default 100), burst in parts (10), daily_limit in parts per day of reset_zone (none); the option rate_unit message lets rate and burst count messages; kind is told from the address. Errors: SF004 gateway, SF005 exists, SF007 other arguments';
REVOKE ALL ON FUNCTION smsflow.add_sender(text, text, text, double precision, integer, integer, text, text, jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.set_sender(address text, gateway text, enabled boolean DEFAULT NULL, rate double precision DEFAULT NULL,
		burst integer DEFAULT NULL, daily_limit integer DEFAULT NULL, pool text DEFAULT NULL, registration text DEFAULT NULL,
		options jsonb DEFAULT NULL, reset_zone text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	route CONSTANT integer := (smsflow.require_gateway(set_sender.gateway)).gateway_id;
	changed integer;
BEGIN
	PERFORM smsflow.check_sender_limits(set_sender.rate, set_sender.burst, NULLIF(set_sender.daily_limit, 0), COALESCE(set_sender.options, '{}')),
		smsflow.local_day(set_sender.reset_zone, now());
	UPDATE smsflow.sender s SET enabled = COALESCE(set_sender.enabled, s.enabled), rate = COALESCE(set_sender.rate, s.rate),
			burst = COALESCE(set_sender.burst, s.burst), daily_limit = NULLIF(COALESCE(set_sender.daily_limit, s.daily_limit), 0),
			pool = COALESCE(set_sender.pool, s.pool), registration = COALESCE(set_sender.registration, s.registration),
			options = jsonb_strip_nulls(s.options || COALESCE(set_sender.options, '{}')),
			reset_zone = COALESCE(set_sender.reset_zone, s.reset_zone)
		WHERE s.address = set_sender.address AND s.gateway_id = route RETURNING s.sender_id INTO changed;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('sender "%s" of gateway "%s" does not exist', set_sender.address, set_sender.gateway),
			DETAIL = 'A sender is known by its address and its gateway.', HINT = 'Add it with smsflow.add_sender().';
	END IF;
	PERFORM smsflow.make_direct_queues(changed);
END $$;
COMMENT ON FUNCTION smsflow.set_sender(text, text, boolean, double precision, integer, integer, text, text, jsonb, text) IS 'Changes a sender; what is NULL stays, daily_limit 0 removes the limit, an option with value null is removed. Errors: SF004, SF007';
REVOKE ALL ON FUNCTION smsflow.set_sender(text, text, boolean, double precision, integer, integer, text, text, jsonb, text) FROM PUBLIC;

-- A test is a message like any other, through the worker and the gate, but in a queue of its own whose requests are kept.

CREATE OR REPLACE FUNCTION smsflow.test_queue(gateway text) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	route CONSTANT smsflow.gateway := smsflow.require_gateway(gateway);
	sender CONSTANT integer := (SELECT s.sender_id FROM smsflow.sender s WHERE s.gateway_id = route.gateway_id AND s.enabled
		ORDER BY s.sender_id LIMIT 1);
	queue integer;
BEGIN
	IF NOT route.enabled OR sender IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF008', MESSAGE = format('gateway "%s" cannot send', route.name),
			DETAIL = CASE WHEN route.enabled THEN 'No sender of it is enabled.' ELSE 'It is not enabled.' END,
			HINT = CASE WHEN route.enabled THEN 'Add one with smsflow.add_sender().' ELSE 'Enable it with smsflow.set_gateway().' END;
	END IF;
	INSERT INTO smsflow.queue (lane, sender_id, source) VALUES (0, sender, 'test') ON CONFLICT DO NOTHING RETURNING queue_id INTO queue;
	IF queue IS NOT NULL THEN
		PERFORM smsflow.note_config();
		RETURN queue;
	END IF;
	RETURN (SELECT q.queue_id FROM smsflow.queue q WHERE (q.lane, q.sender_id, q.source) = (0, sender, 'test'));
END $$;
COMMENT ON FUNCTION smsflow.test_queue(text) IS 'Queue of test messages of a gateway, made when it is missing. Errors: SF004, SF008 when the gateway cannot send';
REVOKE ALL ON FUNCTION smsflow.test_queue(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.send_test(gateway text, phone text) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, smsflow, pg_temp AS $$
DECLARE
	body CONSTANT text := format('Test of gateway "%s"', (smsflow.require_gateway(gateway)).name);
	recipient CONSTANT smsflow.phone := phone::smsflow.phone;
	queue CONSTANT integer := smsflow.test_queue(gateway);
	message bigint;
BEGIN
	IF NOT smsflow.is_armed() THEN
		RAISE EXCEPTION USING ERRCODE = 'SF008', MESSAGE = 'this copy of the database does not send',
			DETAIL = COALESCE(smsflow.armed_problem(), 'Nobody has armed it.'), HINT = 'Call smsflow.arm() if this is the copy that shall send.';
	END IF;
	IF (SELECT c.reason FROM smsflow.can_send(phone, 'transactional') c) = 'opted_out' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = 'this person has opted out',
			DETAIL = 'A test is a message, too.', HINT = 'Use a telephone of your own.';
	END IF;
	DELETE FROM smsflow.gateway_trace t WHERE t.at < clock_timestamp() - interval '1 day';
	INSERT INTO smsflow.outbox AS o (expires_at, contact_id, recipient, queue_id, brand_id, purpose, parts, unicode, body)
		SELECT clock_timestamp() + interval '5 minutes', (SELECT c.contact_id FROM smsflow.contact c WHERE c.brand_id = 1 AND c.phone = recipient),
			recipient, queue, 1, 'compliance', 1, false, body
		RETURNING o.message_id INTO message;
	INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value)
		SELECT date_trunc('hour', clock_timestamp(), 'UTC'), 1, 0, 0, 0, 0, 'compliance', m, 1 FROM unnest('{recipients,parts,queued}'::text[]) AS m;
	PERFORM smsflow.note_enqueued(ARRAY[queue]);
	RETURN message;
END $$;
COMMENT ON FUNCTION smsflow.send_test(text, text) IS 'First half of test_gateway(): asks for a test message, which leaves after the commit; its id. Errors: SF001 phone, SF004 gateway, SF005 opted out, SF008 cannot send or not armed';
REVOKE ALL ON FUNCTION smsflow.send_test(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.test_result(message_id bigint, OUT status text, OUT reason text, OUT request text, OUT http_status integer, OUT answer text)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, smsflow, pg_temp
BEGIN ATOMIC
	SELECT m.status, COALESCE(m.error_class, m.reason), t.request, a.http_status::integer, t.answer
	FROM smsflow.message m
	JOIN smsflow.outbox o ON o.message_id = m.message_id
	JOIN smsflow.queue q ON q.queue_id = o.queue_id AND q.source = 'test'
	LEFT JOIN smsflow.gateway_trace t ON t.message_id = m.message_id
	LEFT JOIN LATERAL (SELECT a.http_status FROM smsflow.attempt a WHERE a.message_id = m.message_id ORDER BY a.recorded_at DESC LIMIT 1) a ON true
	WHERE m.message_id = test_result.message_id;
END;
COMMENT ON FUNCTION smsflow.test_result(bigint) IS 'What became of a message of send_test(); request has xxxxx where the secret stood';
REVOKE ALL ON FUNCTION smsflow.test_result(bigint) FROM PUBLIC;

-- A routine that commits can have no settings of its own, so every name in it is qualified.
CREATE OR REPLACE PROCEDURE smsflow.test_gateway(name text, phone text, INOUT status text DEFAULT NULL, INOUT reason text DEFAULT NULL,
		INOUT request text DEFAULT NULL, INOUT http_status integer DEFAULT NULL, INOUT answer text DEFAULT NULL)
	LANGUAGE plpgsql AS $$
DECLARE
	message CONSTANT bigint := smsflow.send_test(name, phone);
	patience CONSTANT timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) interval '40 seconds';
BEGIN
	LOOP
		COMMIT;
		SELECT r.status, r.reason, r.request, r.http_status, r.answer INTO status, reason, request, http_status, answer
			FROM smsflow.test_result(message) r;
		EXIT WHEN status OPERATOR(pg_catalog.<>) ALL ('{queued,sending}'::pg_catalog.text[]) OR pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) patience;
		PERFORM pg_catalog.pg_sleep(0.05);
	END LOOP;
END $$;
COMMENT ON PROCEDURE smsflow.test_gateway(text, text, text, text, text, integer, text) IS 'Sends one message through a gateway, and shows what became of it: its status and reason, the request without the secret, and the answer. Waits 40 seconds at most. Not inside a transaction block (2D000). Errors: SF001 phone, SF004 gateway, SF005 opted out, SF008 cannot send or not armed';
REVOKE ALL ON PROCEDURE smsflow.test_gateway(text, text, text, text, text, integer, text) FROM PUBLIC;

-- Rows that smsflow brings are not dumped; the user's are. So a row that the user changes becomes the user's, and
-- one that pg_restore brings takes the place of the row that CREATE EXTENSION has made.
CREATE OR REPLACE FUNCTION smsflow.keep_own_row() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF TG_OP = 'UPDATE' THEN
		new.builtin := false;
	ELSIF NOT new.builtin THEN
		EXECUTE format('DELETE FROM smsflow.%1$I t WHERE t.builtin AND (t.%2$I, t.%3$I) = (($1).%2$I, ($1).%3$I)',
			TG_TABLE_NAME, TG_ARGV[0], TG_ARGV[1]) USING new;
	END IF;
	RETURN new;
END $$;
COMMENT ON FUNCTION smsflow.keep_own_row() IS 'Trigger of tables with rows that smsflow brings: what the user writes replaces them and is dumped. Its arguments are the columns of the key';
REVOKE ALL ON FUNCTION smsflow.keep_own_row() FROM PUBLIC;

CREATE OR REPLACE TRIGGER keep_own_row BEFORE INSERT OR UPDATE ON smsflow.error_code
	FOR EACH ROW EXECUTE FUNCTION smsflow.keep_own_row('profile', 'code');

-- The worker keeps these tables in memory. ------------------------------------

CREATE OR REPLACE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON smsflow.gateway_profile
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.config_changed();
CREATE OR REPLACE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON smsflow.error_code
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.config_changed();
CREATE OR REPLACE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON smsflow.gateway
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.config_changed();
CREATE OR REPLACE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON smsflow.sender
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.config_changed();
CREATE OR REPLACE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON smsflow.secret
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.config_changed();
CREATE OR REPLACE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON smsflow.sequence
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.config_changed();
CREATE OR REPLACE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON smsflow.registration
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.config_changed();
CREATE OR REPLACE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON smsflow.warm_up
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.config_changed();
CREATE OR REPLACE TRIGGER keep_own_row BEFORE INSERT OR UPDATE ON smsflow.warm_up
	FOR EACH ROW EXECUTE FUNCTION smsflow.keep_own_row('curve', 'day');
-- An expanding campaign moves its cursor all the time; only its status and its pace matter here.
CREATE OR REPLACE TRIGGER config_changed AFTER UPDATE OF status, options ON smsflow.campaign
	FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status OR old.options IS DISTINCT FROM new.options) EXECUTE FUNCTION smsflow.config_changed();
