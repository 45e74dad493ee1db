-- Secrets of gateways, and the URLs that are signed with a secret of our own.

CREATE OR REPLACE FUNCTION smsflow.callback_mac(path text) RETURNS text
	LANGUAGE c STABLE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'smsflow_pg_callback_mac';
COMMENT ON FUNCTION smsflow.callback_mac(text) IS 'MAC of the path of a URL that gateways call, 32 hex digits. Errors: SF008 before the first arm()';
REVOKE ALL ON FUNCTION smsflow.callback_mac(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.problem_of_secret(name text) RETURNS text
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'smsflow_pg_problem_of_secret';
COMMENT ON FUNCTION smsflow.problem_of_secret(text) IS 'Why the secret of this name cannot be read, or put into a request, in fixed words that tell nothing of it; NULL when it can';
REVOKE ALL ON FUNCTION smsflow.problem_of_secret(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.set_secret(name text, value text) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF COALESCE(set_secret.name !~ '^[A-Za-z0-9_-]{1,63}$' OR set_secret.name IN ('callback_key', 'otp_key', 'suppression_key'), true) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'invalid name of a secret',
			DETAIL = 'A secret has the name of its gateway; "callback_key" belongs to smsflow.arm(), "otp_key" to smsflow.otp_start(), "suppression_key" to smsflow.erase_contact().',
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
