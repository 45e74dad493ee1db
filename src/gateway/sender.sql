-- Senders, and the limits over them: days, registrations, warm-up.

-- Limits. --------------------------------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.local_day(zone text, at timestamptz) RETURNS date
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_local_day';
COMMENT ON FUNCTION smsflow.local_day(text, timestamptz) IS 'Date that an instant has in a time zone. Errors: SF007 unknown zone';
REVOKE ALL ON FUNCTION smsflow.local_day(text, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.day_ends(zone text, at timestamptz) RETURNS timestamptz
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_day_ends';
COMMENT ON FUNCTION smsflow.day_ends(text, timestamptz) IS 'When a daily limit that is counted in this time zone begins anew, also where clocks are changed at midnight. Errors: SF007 unknown zone';
REVOKE ALL ON FUNCTION smsflow.day_ends(text, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.kept_of_day(parts bigint) RETURNS bigint
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_kept_of_day';
COMMENT ON FUNCTION smsflow.kept_of_day(bigint) IS 'Of a daily limit in parts, those that only compliance messages and one-time passwords may use: an eighth and at most 4, or a fiftieth where that is more';
REVOKE ALL ON FUNCTION smsflow.kept_of_day(bigint) FROM PUBLIC;

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

CREATE OR REPLACE FUNCTION smsflow.check_sender_options(options jsonb, profile text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM smsflow.check_gateway_options(options);
	IF jsonb_typeof(options -> 'countries') <> 'null' AND (jsonb_typeof(options -> 'countries') <> 'array'
			OR EXISTS (SELECT FROM jsonb_path_query(options, '$.countries[*]') c WHERE (c #>> '{}' ~ '^[A-Z]{2}$') IS NOT TRUE)) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'invalid value of "countries"',
			DETAIL = 'It is an array of countries, each of two capital letters: no message leaves for another.', HINT = 'Pass something like ''{"countries": ["US", "CA"]}''.';
	END IF;
	PERFORM smsflow.warn_of_unread_options(options, 'sender_option', '{countries,rate_unit}', check_sender_options.profile);
END $$;
COMMENT ON FUNCTION smsflow.check_sender_options(jsonb, text) IS 'Raises SF007 for options that a sender of a gateway with this profile cannot have, and warns of those that nothing reads';
REVOKE ALL ON FUNCTION smsflow.check_sender_options(jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_sender_limits(rate double precision, burst integer, daily_limit integer) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT smsflow.check_number('rate', rate::text, 0.001, 1000000), smsflow.check_number('burst', burst::text, 1, 1000000),
		smsflow.check_number('daily_limit', daily_limit::text, 1, 2147483647);
END;
COMMENT ON FUNCTION smsflow.check_sender_limits(double precision, integer, integer) IS 'Raises SF007 for limits that a sender cannot have';
REVOKE ALL ON FUNCTION smsflow.check_sender_limits(double precision, integer, integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.add_sender(address text, gateway text, kind text DEFAULT NULL, rate double precision DEFAULT NULL,
		burst integer DEFAULT NULL, daily_limit integer DEFAULT NULL, pool text DEFAULT 'default', registration text DEFAULT NULL,
		options jsonb DEFAULT '{}', reset_zone text DEFAULT 'UTC') RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	route CONSTANT smsflow.gateway := smsflow.require_gateway(add_sender.gateway);
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
	PERFORM smsflow.check_sender_limits(add_sender.rate, add_sender.burst, add_sender.daily_limit), smsflow.check_sender_options(add_sender.options, route.profile),
		smsflow.local_day(add_sender.reset_zone, now());

	INSERT INTO smsflow.sender AS s (address, gateway_id, kind, rate, burst, daily_limit, pool, registration, options, reset_zone)
		VALUES (add_sender.address, route.gateway_id, COALESCE(add_sender.kind, smsflow.sender_kind(add_sender.address)),
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
COMMENT ON FUNCTION smsflow.add_sender(text, text, text, double precision, integer, integer, text, text, jsonb, text) IS 'Adds a number, short code or sender id of a gateway and returns its id. rate is in message parts per second (default 100), burst in parts (10), daily_limit in parts per day of reset_zone (none); the option rate_unit message lets rate and burst count messages, and countries, an array of two capital letters each, refuses every other; a warning names options that nothing reads; kind is told from the address. Errors: SF004 gateway, SF005 exists, SF007 other arguments';
REVOKE ALL ON FUNCTION smsflow.add_sender(text, text, text, double precision, integer, integer, text, text, jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.set_sender(address text, gateway text, enabled boolean DEFAULT NULL, rate double precision DEFAULT NULL,
		burst integer DEFAULT NULL, daily_limit integer DEFAULT NULL, pool text DEFAULT NULL, registration text DEFAULT NULL,
		options jsonb DEFAULT NULL, reset_zone text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	route CONSTANT smsflow.gateway := smsflow.require_gateway(set_sender.gateway);
	changed integer;
BEGIN
	PERFORM smsflow.check_sender_limits(set_sender.rate, set_sender.burst, NULLIF(set_sender.daily_limit, 0)),
		smsflow.check_sender_options(COALESCE(set_sender.options, '{}'), route.profile), smsflow.local_day(set_sender.reset_zone, now());
	UPDATE smsflow.sender s SET enabled = COALESCE(set_sender.enabled, s.enabled), rate = COALESCE(set_sender.rate, s.rate),
			burst = COALESCE(set_sender.burst, s.burst), daily_limit = NULLIF(COALESCE(set_sender.daily_limit, s.daily_limit), 0),
			pool = COALESCE(set_sender.pool, s.pool), registration = COALESCE(set_sender.registration, s.registration),
			options = jsonb_strip_nulls(s.options || COALESCE(set_sender.options, '{}')),
			reset_zone = COALESCE(set_sender.reset_zone, s.reset_zone)
		WHERE s.address = set_sender.address AND s.gateway_id = route.gateway_id RETURNING s.sender_id INTO changed;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('sender "%s" of gateway "%s" does not exist', set_sender.address, set_sender.gateway),
			DETAIL = 'A sender is known by its address and its gateway.', HINT = 'Add it with smsflow.add_sender().';
	END IF;
	PERFORM smsflow.make_direct_queues(changed);
END $$;
COMMENT ON FUNCTION smsflow.set_sender(text, text, boolean, double precision, integer, integer, text, text, jsonb, text) IS 'Changes a sender; what is NULL stays, daily_limit 0 removes the limit, an option with value null is removed; options are as in add_sender(). Errors: SF004, SF007';
REVOKE ALL ON FUNCTION smsflow.set_sender(text, text, boolean, double precision, integer, integer, text, text, jsonb, text) FROM PUBLIC;
