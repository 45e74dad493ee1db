-- Gateways. Administrative: an operator calls these, the worker reads what they wrote.

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
	IF options ->> 'batch' !~ '^([1-9][0-9]?|100)$' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'invalid value of "batch"',
			DETAIL = 'It is a whole number from 1 to 100.', HINT = 'Leave it out: the profile says how many messages a request of its gateway holds.';
	END IF;
	IF options ->> 'rate_unit' NOT IN ('part', 'message') THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'invalid value of "rate_unit"',
			DETAIL = 'A rate counts what is part or message.', HINT = 'Leave it out: carriers count parts.';
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_gateway_options(jsonb) IS 'Raises SF007 for options that are no object, hold a secret, a batch that is no number from 1 to 100, or another rate_unit than part and message';
REVOKE ALL ON FUNCTION smsflow.check_gateway_options(jsonb) FROM PUBLIC;

-- No error: a row of a profile may come to read it. More often a name is misspelt.
CREATE OR REPLACE FUNCTION smsflow.warn_of_unread_options(options jsonb, prefix text, known text[], profile text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	readable text[];
	unread text;
BEGIN
	SELECT array_agg(n ORDER BY n) INTO readable FROM (SELECT unnest(known) UNION
		SELECT m[1] FROM smsflow.gateway_profile p CROSS JOIN LATERAL regexp_matches(p::text, '\{\{\s*' || prefix || '\.([A-Za-z0-9_-]+)', 'g') AS m
		WHERE p.profile = warn_of_unread_options.profile) AS r (n);
	SELECT string_agg(format('"%s"', o.key), ', ' ORDER BY o.key) INTO unread FROM jsonb_each(options) o
		WHERE o.value <> 'null' AND o.key <> ALL (readable);
	IF unread IS NOT NULL THEN
		RAISE WARNING USING MESSAGE = format('nothing reads option %s', unread),
			DETAIL = format('With profile "%s" these are read: %s.', warn_of_unread_options.profile, array_to_string(readable, ', ')),
			HINT = 'Where the name is misspelt, set the right one, and this one to null.';
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.warn_of_unread_options(jsonb, text, text[], text) IS 'Warns of options that are neither known nor read by a profile as {{prefix.name}}';
REVOKE ALL ON FUNCTION smsflow.warn_of_unread_options(jsonb, text, text[], text) FROM PUBLIC;

-- The same of a gateway's.
CREATE OR REPLACE FUNCTION smsflow.warn_of_gateway_options(options jsonb, profile text) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT smsflow.warn_of_unread_options(options, 'option', '{answers_stop,batch,burst,in_doubt,max_in_flight,rate,rate_unit,signature,timeout,username}', profile);
END;
COMMENT ON FUNCTION smsflow.warn_of_gateway_options(jsonb, text) IS 'Warns of options that nothing reads of a gateway with this profile';
REVOKE ALL ON FUNCTION smsflow.warn_of_gateway_options(jsonb, text) FROM PUBLIC;

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
	-- Its secret goes to its URL, so it must be nobody else's.
	IF COALESCE(add_gateway.name !~ '^[a-z][a-z0-9_-]{0,62}$' OR add_gateway.name ~ '^(callback|otp|suppression)_key$|_signature$', true) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'invalid name of a gateway',
			DETAIL = 'A name begins with a small letter and goes on with small letters, digits, "_" and "-"; "callback_key", "otp_key", "suppression_key" and names that end in "_signature" are those of other secrets.',
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
	PERFORM smsflow.check_in_doubt(add_gateway.profile, add_gateway.options);

	INSERT INTO smsflow.gateway AS g (name, profile, base_url, options, rate, burst, max_in_flight, timeout)
		SELECT add_gateway.name, add_gateway.profile, smsflow.base_for(add_gateway.profile, add_gateway.base_url), o.rest,
			COALESCE(o.rate, 1000), COALESCE(o.burst, 100), COALESCE(o.max_in_flight, 64), COALESCE(o.timeout, 30)
		FROM smsflow.gateway_limits(add_gateway.options) o
		ON CONFLICT (name) DO NOTHING RETURNING g.gateway_id INTO added;
	IF added IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('gateway "%s" exists already', add_gateway.name),
			DETAIL = 'A name stands for one gateway.', HINT = 'Change it with smsflow.set_gateway(), or choose another name.';
	END IF;
	PERFORM smsflow.warn_of_gateway_options(add_gateway.options, add_gateway.profile);
	RETURN added;
END $$;
COMMENT ON FUNCTION smsflow.add_gateway(text, text, text, jsonb) IS 'Adds an account at an HTTP gateway and returns its id. Options rate (parts per second), burst (parts), max_in_flight (requests) and timeout (seconds) limit it; in_doubt (hold, resend or poll) takes the place of the profile''s; batch is how many messages a request holds at most, 1 to 100, where the profile has batches; rate_unit message lets rate and burst count messages; others are the profile''s, such as username; a warning names those that nothing reads. Errors: SF004 profile, SF005 name in use, SF007 other arguments';
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
	PERFORM smsflow.check_in_doubt(old.profile, changes);
	PERFORM smsflow.check_gateway_url(COALESCE(set_gateway.base_url, old.base_url));
	PERFORM smsflow.warn_of_gateway_options(changes, old.profile);
	UPDATE smsflow.gateway g SET enabled = COALESCE(set_gateway.enabled, g.enabled),
			base_url = COALESCE(smsflow.base_for(g.profile, set_gateway.base_url), g.base_url), options = jsonb_strip_nulls(g.options || o.rest),
			rate = COALESCE(o.rate, g.rate), burst = COALESCE(o.burst, g.burst),
			max_in_flight = COALESCE(o.max_in_flight, g.max_in_flight), timeout = COALESCE(o.timeout, g.timeout)
		FROM smsflow.gateway_limits(changes) o WHERE g.gateway_id = old.gateway_id;
END $$;
COMMENT ON FUNCTION smsflow.set_gateway(text, boolean, jsonb, text) IS 'Changes a gateway; what is NULL or not among the options stays, an option with value null is removed, and a warning names those that nothing reads. Errors: SF004, SF007';
REVOKE ALL ON FUNCTION smsflow.set_gateway(text, boolean, jsonb, text) FROM PUBLIC;
