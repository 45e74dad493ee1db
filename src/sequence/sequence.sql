-- Store events, and the sequences that follow them. The worker's calls that move
-- people through are in advance.sql; watching the store's tables is in watch.sql.

-- Events. ---------------------------------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.phone_or_null(number text) RETURNS smsflow.phone
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_phone_or_null';
COMMENT ON FUNCTION smsflow.phone_or_null(text) IS 'As parse_phone() in smsflow.default_region, but NULL for what is no number';
REVOKE ALL ON FUNCTION smsflow.phone_or_null(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.record_event(phone text, kind text, ref text DEFAULT NULL, data jsonb DEFAULT '{}',
		amount numeric DEFAULT NULL, currency text DEFAULT NULL, at timestamptz DEFAULT now(), brand text DEFAULT 'default')
	RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
	AS 'MODULE_PATHNAME', 'smsflow_record_event';
COMMENT ON FUNCTION smsflow.record_event(text, text, text, jsonb, numeric, text, timestamptz, text) IS
'Appends something a person did in the store and returns the event id; the event counts when the transaction commits. kind is any name: cart, cart_emptied, order and order_<status> mean what watched tables mean by them. ref is the store''s key of the thing; data are template variables of the sequences that follow. A number that is no contact is kept without one. Errors: SF001 phone, SF004 brand, SF007 empty kind, a ref of more than 2000 bytes, a currency of more than 40, data that is no object, an amount or a time that is infinite or no number, or a time beyond the years 1 to 9999';
REVOKE ALL ON FUNCTION smsflow.record_event(text, text, text, jsonb, numeric, text, timestamptz, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.limit_count(setting text) RETURNS integer
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN split_part(setting, ' per ', 1)::integer;
COMMENT ON FUNCTION smsflow.limit_count(text) IS 'The 5 of "5 per 10 minutes"';
REVOKE ALL ON FUNCTION smsflow.limit_count(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.limit_window(setting text) RETURNS interval
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN split_part(setting, ' per ', 2)::interval;
COMMENT ON FUNCTION smsflow.limit_window(text) IS 'The 10 minutes of "5 per 10 minutes"';
REVOKE ALL ON FUNCTION smsflow.limit_window(text) FROM PUBLIC;

-- What is added to an instant must not lead out of the calendar: the worker adds it for everybody, and would fail for everybody.
CREATE OR REPLACE FUNCTION smsflow.fits_calendar(span interval) RETURNS boolean
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN now() + span < now() + interval '1000 years';
COMMENT ON FUNCTION smsflow.fits_calendar(interval) IS 'Whether an interval is below 1000 years; error 22008 for one that leads out of the calendar';
REVOKE ALL ON FUNCTION smsflow.fits_calendar(interval) FROM PUBLIC;

-- Making sequences. -----------------------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.sequence_named(name text, brand text) RETURNS integer
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	id integer;
BEGIN
	SELECT s.sequence_id INTO id FROM smsflow.sequence s
	WHERE s.brand_id = smsflow.brand_named(sequence_named.brand) AND s.name = sequence_named.name;
	IF id IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('sequence "%s" does not exist', sequence_named.name),
			DETAIL = format('Brand "%s" has no sequence of this name.', sequence_named.brand),
			HINT = 'The sequences are the rows of smsflow.sequence; create_sequence() makes one.';
	END IF;
	RETURN id;
END $$;
COMMENT ON FUNCTION smsflow.sequence_named(text, text) IS 'Id of a sequence. Errors: SF004 no such brand or sequence';
REVOKE ALL ON FUNCTION smsflow.sequence_named(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_options(options jsonb, known text[]) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	odd text;
BEGIN
	IF jsonb_typeof(options) IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'options must be a JSON object',
			DETAIL = format('It is %s.', coalesce(jsonb_typeof(options), 'null')), HINT = 'Pass ''{}'' for none.';
	END IF;
	SELECT k INTO odd FROM jsonb_object_keys(options) AS k WHERE k <> ALL (known) ORDER BY k LIMIT 1;
	IF odd IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('unknown option "%s"', odd),
			DETAIL = CASE WHEN known = '{}' THEN 'There are no options yet.'
				ELSE format('The options are %s.', array_to_string(known, ', ')) END,
			HINT = 'Check the spelling.';
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_options(jsonb, text[]) IS 'Raises SF007 when options is no object or has a key that is not known';
REVOKE ALL ON FUNCTION smsflow.check_options(jsonb, text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.sequence_purpose(on_event text, wanted text) RETURNS smsflow.purpose
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	chosen text := coalesce(wanted, CASE WHEN on_event = 'cart' THEN 'cart'
		WHEN on_event LIKE 'order%' THEN 'transactional' ELSE 'promotional' END);
BEGIN
	IF chosen NOT IN ('transactional', 'conversational', 'cart', 'promotional') THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('a sequence cannot have the purpose "%s"', chosen),
			DETAIL = 'The purposes of sequences are transactional, conversational, cart and promotional.',
			HINT = 'One-time passwords and answers to STOP have functions of their own.';
	END IF;
	RETURN chosen::smsflow.purpose;
END $$;
COMMENT ON FUNCTION smsflow.sequence_purpose(text, text) IS 'Purpose of a sequence: the one wanted, or else the one its event suggests. Errors: SF007';
REVOKE ALL ON FUNCTION smsflow.sequence_purpose(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.sequence_exits(on_event text, wanted jsonb) RETURNS text[]
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF wanted IS NULL THEN
		RETURN CASE WHEN on_event = 'cart' THEN '{order,cart_emptied,opted_out}'::text[] WHEN on_event LIKE 'order%' THEN '{}' ELSE '{opted_out}' END;
	END IF;
	IF jsonb_typeof(wanted) <> 'array' OR jsonb_path_exists(wanted, '$[*] ? (@.type() != "string")') THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'option "exit_on" must be an array of event kinds',
			DETAIL = 'A person leaves the sequence when an event of one of these kinds happens.',
			HINT = 'Example: {"exit_on": ["order", "cart_emptied"]}.';
	END IF;
	RETURN ARRAY(SELECT jsonb_array_elements_text(wanted));
END $$;
COMMENT ON FUNCTION smsflow.sequence_exits(text, jsonb) IS 'Event kinds that end a sequence: those wanted, or else what its event suggests. Errors: SF007';
REVOKE ALL ON FUNCTION smsflow.sequence_exits(text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_validity(valid_for text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	good boolean;
BEGIN
	BEGIN
		good := coalesce(valid_for::interval > '0' AND smsflow.fits_calendar(valid_for::interval), true);
	EXCEPTION WHEN data_exception THEN
		good := false;
	END;
	IF NOT good THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'option "valid_for" must be a positive interval below 1000 years',
			DETAIL = 'A message that could not be sent within it is not sent any more.', HINT = 'Example: {"valid_for": "6 hours"}.';
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_validity(text) IS 'Raises SF007 unless the text is NULL or a positive interval below 1000 years';
REVOKE ALL ON FUNCTION smsflow.check_validity(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.calling_role() RETURNS regrole
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT quote_ident(coalesce(nullif(current_setting('role'), 'none'), session_user))::regrole
$$;
COMMENT ON FUNCTION smsflow.calling_role() IS 'Role that made a call, inside a function that runs as its owner';
REVOKE ALL ON FUNCTION smsflow.calling_role() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_condition(condition text, role regrole) RETURNS void
	LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'smsflow_check_condition';
COMMENT ON FUNCTION smsflow.check_condition(text, regrole) IS 'Raises SF007 when a text is not one SQL condition that this role may evaluate over smsflow.profile, ref, data and started_at';
REVOKE ALL ON FUNCTION smsflow.check_condition(text, regrole) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_entry(options jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	good boolean;
BEGIN
	PERFORM smsflow.check_condition(options ->> 'entry', smsflow.calling_role());
	BEGIN
		good := coalesce(options ->> 'reentry' = 'never' OR (options ->> 'reentry')::interval >= '0' AND smsflow.fits_calendar((options ->> 'reentry')::interval), true)
			AND coalesce(options ->> 'limit' ~ '^[1-9][0-9]{0,3} per ' AND smsflow.limit_window(options ->> 'limit') > '0'
				AND smsflow.fits_calendar(smsflow.limit_window(options ->> 'limit')), true);
	EXCEPTION WHEN data_exception THEN
		good := false;
	END;
	IF NOT good THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'option "reentry" or "limit" cannot be read',
			DETAIL = 'reentry is never or an interval; limit is a number of enrolments per interval.',
			HINT = 'Example: {"reentry": "1 day", "limit": "1 per 7 days"}.';
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_entry(jsonb) IS 'Raises SF007 for options entry, reentry or limit that cannot be used';
REVOKE ALL ON FUNCTION smsflow.check_entry(jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.reentry(s smsflow.sequence) RETURNS interval
	LANGUAGE sql STABLE
	RETURN CASE WHEN (s).options ->> 'reentry' = 'never' THEN NULL WHEN (s).options ? 'reentry' THEN ((s).options ->> 'reentry')::interval
		WHEN (s).on_event = 'cart' THEN interval '1 day' END;
COMMENT ON FUNCTION smsflow.reentry(smsflow.sequence) IS 'Time after the end of an enrolment after which the same cart may start again; NULL: never';
REVOKE ALL ON FUNCTION smsflow.reentry(smsflow.sequence) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.create_sequence(name text, on_event text, options jsonb DEFAULT '{}', brand text DEFAULT 'default')
	RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	id integer;
BEGIN
	IF coalesce(btrim(create_sequence.name), '') = '' OR coalesce(btrim(create_sequence.on_event), '') = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'a sequence needs a name and the event it follows',
			DETAIL = 'The name or the event is empty.', HINT = 'Example: smsflow.create_sequence(''reminder'', ''cart'').';
	END IF;
	PERFORM smsflow.check_options(create_sequence.options, '{purpose,exit_on,pool,valid_for,subject,entry,reentry,limit,cap_checked,cap_counts}');
	PERFORM smsflow.check_validity(create_sequence.options ->> 'valid_for'), smsflow.check_subject(create_sequence.options),
		smsflow.check_entry(create_sequence.options), smsflow.check_cap_flags(create_sequence.options);
	INSERT INTO smsflow.sequence AS s (brand_id, name, on_event, purpose, exit_on, options, owner)
	VALUES (smsflow.brand_named(create_sequence.brand), create_sequence.name, create_sequence.on_event,
		smsflow.sequence_purpose(create_sequence.on_event, create_sequence.options ->> 'purpose'),
		smsflow.sequence_exits(create_sequence.on_event, create_sequence.options -> 'exit_on'),
		create_sequence.options - '{purpose,exit_on}'::text[], smsflow.calling_role())
	ON CONFLICT DO NOTHING RETURNING s.sequence_id INTO id;
	IF id IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('sequence "%s" already exists', create_sequence.name),
			DETAIL = 'The name of a sequence is unique in its brand.', HINT = 'Use another name, or drop_sequence() first.';
	END IF;
	RETURN id;
END $$;
COMMENT ON FUNCTION smsflow.create_sequence(text, text, jsonb, text) IS
'Makes a disabled sequence of messages that follows an event kind and returns its id. options: purpose (default: cart after cart, transactional after order..., else promotional), exit_on (event kinds that end it; default for cart: order, cart_emptied, opted_out), pool (of senders), valid_for (interval after which an unsent message expires), subject (what caps on one subject count by; its name), cap_checked and cap_counts (booleans: whether caps hold for its messages, and whether these use them up; what policy_rule says of the purpose), entry (SQL condition over smsflow.profile, ref and data for being enrolled), reentry (never, or the interval after which the same ref may start again; default 1 day after carts, else never), limit (such as "1 per 7 days": enrolments of one person). Errors: SF004 brand, SF005 name taken, SF007 other arguments';
REVOKE ALL ON FUNCTION smsflow.create_sequence(text, text, jsonb, text) FROM PUBLIC;

-- Steps. A step sends a message, or decides: it waits until something is true,
-- branches, splits, or ends. Branches lead forward only, so nobody goes in circles.

CREATE OR REPLACE FUNCTION smsflow.is_control(options jsonb) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN options ?| ARRAY['condition', 'wait_until', 'branch', 'split', 'exit', 'goal'];
COMMENT ON FUNCTION smsflow.is_control(jsonb) IS 'Whether a step has something to decide';
REVOKE ALL ON FUNCTION smsflow.is_control(jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.refuse_step(message text, detail text, hint text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = message, DETAIL = detail, HINT = hint;
END $$;
COMMENT ON FUNCTION smsflow.refuse_step(text, text, text) IS 'Raises SF007';
REVOKE ALL ON FUNCTION smsflow.refuse_step(text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_decision(step integer, options jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	decisions text[] := ARRAY(SELECT k FROM jsonb_object_keys(options) k WHERE k IN ('condition', 'wait_until', 'branch', 'split', 'exit', 'goal'));
	good boolean := false;
BEGIN
	IF cardinality(decisions) > 1 THEN
		PERFORM smsflow.refuse_step('a step can decide one thing', format('It has %s.', array_to_string(decisions, ' and ')), 'Make two steps of it.');
	END IF;
	PERFORM smsflow.check_condition(c.value, smsflow.calling_role())
	FROM jsonb_each_text(options) c WHERE c.key IN ('condition', 'wait_until', 'branch', 'exit', 'goal');
	IF options ?| '{branch,split}' IS DISTINCT FROM options ? 'goto' THEN
		PERFORM smsflow.refuse_step('branch and split belong together with goto', 'They say who goes to another step, and goto says to which.',
			'Example: {"branch": "orders_count > 0", "goto": 4}.');
	END IF;
	BEGIN
		good := coalesce((options ->> 'goto')::smallint > step, true);
	EXCEPTION WHEN data_exception THEN
	END;
	IF NOT good THEN
		PERFORM smsflow.refuse_step('a branch must lead to a later step', format('This is step %s, and goto is %s: people would go round in circles.', step, options ->> 'goto'),
			'Put the step that it leads to behind it.');
	END IF;
	BEGIN
		good := coalesce((options ->> 'split')::numeric BETWEEN 0 AND 100, true) AND (options ? 'wait_until') = (options ? 'timeout')
			AND coalesce((options ->> 'timeout')::interval > '0' AND smsflow.fits_calendar((options ->> 'timeout')::interval), true)
			AND coalesce((options ->> 'every')::interval >= '1 minute' AND smsflow.fits_calendar((options ->> 'every')::interval), true) AND coalesce(options ->> 'on_timeout' IN ('go_on', 'end'), true);
	EXCEPTION WHEN data_exception THEN
		good := false;
	END;
	IF NOT good THEN
		PERFORM smsflow.refuse_step('a step that waits or splits is not complete', 'split is a percentage; wait_until needs a timeout, and on_timeout is go_on or end.',
			'Example: {"wait_until": "last_order_at > started_at", "timeout": "3 days", "on_timeout": "end"}.');
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_decision(integer, jsonb) IS 'Raises SF007 for what a step cannot decide';
REVOKE ALL ON FUNCTION smsflow.check_decision(integer, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_step_text(sequence_id integer, body text, options jsonb, brand text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	purpose smsflow.purpose := (SELECT s.purpose FROM smsflow.sequence s WHERE s.sequence_id = check_step_text.sequence_id);
	sends boolean := NOT options ?| '{wait_until,branch,split,exit,goal}';
	given integer := num_nonnulls(nullif(btrim(body), ''), options ->> 'template', options -> 'variants');
	text_of text;
BEGIN
	IF jsonb_typeof(options -> 'variants') <> 'array' OR options -> 'variants' = '[]' OR jsonb_path_exists(options -> 'variants', '$[*] ? (@.type() != "string")') THEN
		PERFORM smsflow.refuse_step('variants of a step must be a list of texts', 'Each person gets one of them.', 'Example: {"variants": ["Still there?", "Forgot something?"]}.');
	ELSIF sends AND given <> 1 OR NOT sends AND given <> 0 THEN
		PERFORM smsflow.refuse_step(CASE WHEN sends THEN 'a step needs a body, a template or variants' ELSE 'a step that decides sends no message' END,
			format('It has %s of them.', given), CASE WHEN sends THEN 'Pass exactly one.' ELSE 'Put the message into a step of its own.' END);
	ELSIF options ? 'template' AND NOT EXISTS (SELECT FROM smsflow.template t WHERE t.name = options ->> 'template' AND t.brand_id = smsflow.brand_named(brand)) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('unknown template "%s"', options ->> 'template'), HINT = 'Make it with smsflow.set_template().';
	END IF;
	FOR text_of IN SELECT body WHERE sends AND body IS NOT NULL UNION ALL SELECT jsonb_array_elements_text(options -> 'variants')
		UNION ALL SELECT t.body FROM smsflow.template t WHERE t.name = options ->> 'template' AND t.brand_id = smsflow.brand_named(brand)
	LOOP
		PERFORM smsflow.check_template(text_of), smsflow.check_content(text_of, purpose, brand), smsflow.check_transactional(text_of, purpose);
	END LOOP;
END $$;
COMMENT ON FUNCTION smsflow.check_step_text(integer, text, jsonb, text) IS 'Raises SF003, SF004 or SF007 for a text that a step cannot send';
REVOKE ALL ON FUNCTION smsflow.check_step_text(integer, text, jsonb, text) FROM PUBLIC;

-- A message about an order that also sells is marketing, and needs its consent.
CREATE OR REPLACE FUNCTION smsflow.check_transactional(body text, purpose smsflow.purpose) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	selling text := (regexp_match(body, '(\m(?:sale|discount|coupon|voucher|promo(?:tion)?|special offer|deal|buy now|shop now|save \d+)\M|\d+ ?% ?off)', 'i'))[1];
BEGIN
	IF purpose = 'transactional' AND selling IS NOT NULL THEN
		PERFORM smsflow.refuse_step('a transactional text must not sell', format('It says "%s".', selling),
			'Take it out, or give the sequence the purpose promotional, which needs consent to marketing.');
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_transactional(text, smsflow.purpose) IS 'Raises SF007 when a transactional text has words of marketing (47 CFR 64.1200(f)(13): a message that also advertises is advertising)';
REVOKE ALL ON FUNCTION smsflow.check_transactional(text, smsflow.purpose) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_delay(after interval) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	good boolean;
BEGIN
	BEGIN
		good := after >= '0' AND smsflow.fits_calendar(after);
	EXCEPTION WHEN data_exception THEN
		good := false;
	END;
	IF good IS NOT TRUE THEN
		PERFORM smsflow.refuse_step('the delay of a step must be from 0 to 1000 years', 'It counts from the event, or from the step before.', 'Use ''0'' for at once.');
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_delay(interval) IS 'Raises SF007 for a negative delay, or one that leads out of the calendar';
REVOKE ALL ON FUNCTION smsflow.check_delay(interval) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.put_step(sequence_id integer, step integer, after interval, body text, options jsonb, brand text) RETURNS smallint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM smsflow.check_options(put_step.options, '{condition,wait_until,timeout,on_timeout,branch,split,goto,exit,goal,template,variants,every}');
	PERFORM smsflow.check_delay(put_step.after), smsflow.check_decision(put_step.step, put_step.options),
		smsflow.check_step_text(put_step.sequence_id, put_step.body, put_step.options, put_step.brand);
	INSERT INTO smsflow.sequence_step AS p (sequence_id, step, after, body, options, owner)
	VALUES (put_step.sequence_id, put_step.step, put_step.after, nullif(btrim(put_step.body), ''), put_step.options, smsflow.calling_role())
	ON CONFLICT ON CONSTRAINT sequence_step_pkey DO UPDATE SET after = excluded.after, body = excluded.body, options = excluded.options, owner = excluded.owner;
	PERFORM smsflow.note_config();
	RETURN put_step.step;
END $$;
COMMENT ON FUNCTION smsflow.put_step(integer, integer, interval, text, jsonb, text) IS 'Checks and writes a step';
REVOKE ALL ON FUNCTION smsflow.put_step(integer, integer, interval, text, jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.add_step(sequence text, after interval, body text DEFAULT NULL, options jsonb DEFAULT '{}', brand text DEFAULT 'default')
	RETURNS smallint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	id integer := smsflow.sequence_named(add_step.sequence, add_step.brand);
BEGIN
	-- Two calls at once number their steps one after the other.
	PERFORM FROM smsflow.sequence s WHERE s.sequence_id = id FOR UPDATE;
	RETURN smsflow.put_step(id, (SELECT coalesce(max(o.step), 0) + 1 FROM smsflow.sequence_step o WHERE o.sequence_id = id),
		add_step.after, add_step.body, add_step.options, add_step.brand);
END $$;
COMMENT ON FUNCTION smsflow.add_step(text, interval, text, jsonb, text) IS
'Adds the next step to a sequence and returns its number; after is the delay since the event (first step) or the step before. A step sends body, or by options a template (name) or one of variants (list); condition: only if this SQL is true. Or it decides: wait_until (SQL) with timeout, on_timeout (go_on, end) and every (how often it is looked at, default 5 minutes); branch (SQL) or split (percent) with goto (a later step); exit or goal (SQL). SQL sees the columns of smsflow.profile, ref, data (of the event) and started_at, and runs with the rights of the caller. Errors: SF003 template, SF004 brand, sequence or template, SF007 negative delay, empty message, options, or a text against the rules';
REVOKE ALL ON FUNCTION smsflow.add_step(text, interval, text, jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.set_step(sequence text, step integer, after interval, body text DEFAULT NULL, options jsonb DEFAULT '{}', brand text DEFAULT 'default')
	RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	id integer := smsflow.sequence_named(set_step.sequence, set_step.brand);
BEGIN
	IF NOT EXISTS (SELECT FROM smsflow.sequence_step p WHERE p.sequence_id = id AND p.step = set_step.step) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('sequence "%s" has no step %s', set_step.sequence, set_step.step),
			HINT = 'Add it with smsflow.add_step().';
	END IF;
	PERFORM smsflow.put_step(id, set_step.step, set_step.after, set_step.body, set_step.options, set_step.brand);
END $$;
COMMENT ON FUNCTION smsflow.set_step(text, integer, interval, text, jsonb, text) IS 'Replaces a step, also of a running sequence: it holds for what is not asked for yet; who waits for this step keeps the instant at which it is due. Arguments and errors as add_step(); SF004 no such step';
REVOKE ALL ON FUNCTION smsflow.set_step(text, integer, interval, text, jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.remove_step(sequence text, step integer, brand text DEFAULT 'default') RETURNS boolean
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	WITH gone AS (DELETE FROM smsflow.sequence_step p
		WHERE p.sequence_id = smsflow.sequence_named(remove_step.sequence, remove_step.brand) AND p.step = remove_step.step RETURNING 1)
	SELECT EXISTS (SELECT FROM gone)
$$;
COMMENT ON FUNCTION smsflow.remove_step(text, integer, text) IS 'Takes a step out: who waits for it goes on to the next one when it is due. False when there is none. Errors: SF004 brand or sequence';
REVOKE ALL ON FUNCTION smsflow.remove_step(text, integer, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_steps(sequence_id integer, name text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	lost integer := (SELECT p.step FROM smsflow.sequence_step p WHERE p.sequence_id = check_steps.sequence_id AND p.options ? 'goto'
		AND NOT EXISTS (SELECT FROM smsflow.sequence_step o WHERE o.sequence_id = p.sequence_id AND o.step >= (p.options ->> 'goto')::integer) LIMIT 1);
BEGIN
	IF NOT EXISTS (SELECT FROM smsflow.sequence_step p WHERE p.sequence_id = check_steps.sequence_id
		AND NOT p.options ?| '{wait_until,branch,split,exit,goal}') THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('sequence "%s" has no steps that send', check_steps.name),
			DETAIL = 'It would send nothing.', HINT = 'Add a message with smsflow.add_step() first.';
	ELSIF lost IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('step %s of sequence "%s" leads nowhere', lost, check_steps.name),
			DETAIL = 'There is no step at or after its goto.', HINT = 'Add the step, or correct it with smsflow.set_step().';
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_steps(integer, text) IS 'Raises SF005 when a sequence cannot be enabled';
REVOKE ALL ON FUNCTION smsflow.check_steps(integer, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.enable_sequence(name text, brand text DEFAULT 'default')
	RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	id integer := smsflow.sequence_named(enable_sequence.name, enable_sequence.brand);
BEGIN
	PERFORM smsflow.check_steps(id, enable_sequence.name);
	UPDATE smsflow.sequence s SET enabled = true, error = NULL WHERE s.sequence_id = id AND NOT s.enabled;
	PERFORM smsflow.note_config();
END $$;
COMMENT ON FUNCTION smsflow.enable_sequence(text, text) IS 'Lets a sequence enrol people and move them on. Messages that came due while it was disabled count their validity from then. Errors: SF004 brand or sequence, SF005 no steps, no message, or a step that leads nowhere';
REVOKE ALL ON FUNCTION smsflow.enable_sequence(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.disable_sequence(name text, brand text DEFAULT 'default')
	RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE smsflow.sequence s SET enabled = false
	WHERE s.sequence_id = smsflow.sequence_named(disable_sequence.name, disable_sequence.brand) AND s.enabled;
	PERFORM smsflow.note_config();
END $$;
COMMENT ON FUNCTION smsflow.disable_sequence(text, text) IS 'Stops enrolling people and moving them on; messages already asked for are sent. Errors: SF004 brand or sequence';
REVOKE ALL ON FUNCTION smsflow.disable_sequence(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.drop_sequence(name text, brand text DEFAULT 'default')
	RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	id integer := smsflow.sequence_named(drop_sequence.name, drop_sequence.brand);
BEGIN
	PERFORM smsflow.note_revocation('enrollment', n.enrollment_id) FROM smsflow.enrollment n WHERE n.sequence_id = id;
	DELETE FROM smsflow.sequence s WHERE s.sequence_id = id;
	PERFORM smsflow.note_config();
END $$;
COMMENT ON FUNCTION smsflow.drop_sequence(text, text) IS 'Removes a sequence with its steps and enrolments; what it has not sent yet is not sent. Errors: SF004 brand or sequence';
REVOKE ALL ON FUNCTION smsflow.drop_sequence(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.pause_sequence(name text, brand text DEFAULT 'default') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE smsflow.sequence s SET paused_at = now()
	WHERE s.sequence_id = smsflow.sequence_named(pause_sequence.name, pause_sequence.brand) AND s.paused_at IS NULL;
	PERFORM smsflow.note_config();
END $$;
COMMENT ON FUNCTION smsflow.pause_sequence(text, text) IS 'Stops the clocks of everybody in a sequence; people are still enrolled, and purchases still end it. Messages already asked for are sent. Errors: SF004 brand or sequence';
REVOKE ALL ON FUNCTION smsflow.pause_sequence(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.resume_sequence(name text, brand text DEFAULT 'default') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	id integer := smsflow.sequence_named(resume_sequence.name, resume_sequence.brand);
	since timestamptz;
BEGIN
	SELECT s.paused_at INTO since FROM smsflow.sequence s WHERE s.sequence_id = id FOR UPDATE;
	-- A clock that an event has started anew meanwhile stood still from then on. Whoever waits for something is looked at now.
	UPDATE smsflow.enrollment n SET waiting_since = n.waiting_since + (now() - since), next_at = CASE WHEN n.waiting_since IS NOT NULL THEN now()
		ELSE n.next_at + (now() - greatest(since, n.started_at, CASE WHEN n.step <= (SELECT min(p.step) FROM smsflow.sequence_step p WHERE p.sequence_id = id)
			THEN (SELECT least(e.occurred_at, now()) FROM smsflow.event e WHERE e.event_id = n.event_id) END)) END
	WHERE since IS NOT NULL AND n.sequence_id = id AND n.ended_at IS NULL;
	UPDATE smsflow.sequence s SET paused_at = NULL WHERE s.sequence_id = id;
	PERFORM smsflow.note_config();
END $$;
COMMENT ON FUNCTION smsflow.resume_sequence(text, text) IS 'Lets the clocks of a paused sequence run on from where they stopped. Errors: SF004 brand or sequence';
REVOKE ALL ON FUNCTION smsflow.resume_sequence(text, text) FROM PUBLIC;
