-- Store events, the sequences that follow them, and the worker's calls that
-- move people through. Watching the store's tables is in watch.sql.

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
'Appends something a person did in the store and returns the event id; the event counts when the transaction commits. kind is any name: cart, cart_emptied, order and order_<status> mean what watched tables mean by them. ref is the store''s key of the thing; data are template variables of the sequences that follow. A number that is no contact is kept without one. Errors: SF001 phone, SF004 brand, SF007 empty kind or data that is no object';
REVOKE ALL ON FUNCTION smsflow.record_event(text, text, text, jsonb, numeric, text, timestamptz, text) FROM PUBLIC;

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
		RETURN CASE WHEN on_event = 'cart' THEN '{order,cart_emptied}'::text[] ELSE '{}' END;
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
		good := coalesce(valid_for::interval > '0', true);
	EXCEPTION WHEN data_exception THEN
		good := false;
	END;
	IF NOT good THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'option "valid_for" must be a positive interval',
			DETAIL = 'A message that could not be sent within it is not sent any more.', HINT = 'Example: {"valid_for": "6 hours"}.';
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_validity(text) IS 'Raises SF007 unless the text is NULL or a positive interval';
REVOKE ALL ON FUNCTION smsflow.check_validity(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.create_sequence(name text, on_event text, options jsonb DEFAULT '{}', brand text DEFAULT 'default')
	RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	id integer;
BEGIN
	IF coalesce(btrim(create_sequence.name), '') = '' OR coalesce(btrim(create_sequence.on_event), '') = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'a sequence needs a name and the event it follows',
			DETAIL = 'The name or the event is empty.', HINT = 'Example: smsflow.create_sequence(''reminder'', ''cart'').';
	END IF;
	PERFORM smsflow.check_options(create_sequence.options, '{purpose,exit_on,pool,valid_for,subject}');
	PERFORM smsflow.check_validity(create_sequence.options ->> 'valid_for'), smsflow.check_subject(create_sequence.options);
	INSERT INTO smsflow.sequence AS s (brand_id, name, on_event, purpose, exit_on, options)
	VALUES (smsflow.brand_named(create_sequence.brand), create_sequence.name, create_sequence.on_event,
		smsflow.sequence_purpose(create_sequence.on_event, create_sequence.options ->> 'purpose'),
		smsflow.sequence_exits(create_sequence.on_event, create_sequence.options -> 'exit_on'),
		create_sequence.options - '{purpose,exit_on}'::text[])
	ON CONFLICT DO NOTHING RETURNING s.sequence_id INTO id;
	IF id IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('sequence "%s" already exists', create_sequence.name),
			DETAIL = 'The name of a sequence is unique in its brand.', HINT = 'Use another name, or drop_sequence() first.';
	END IF;
	RETURN id;
END $$;
COMMENT ON FUNCTION smsflow.create_sequence(text, text, jsonb, text) IS
'Makes a disabled sequence of messages that follows an event kind and returns its id. options: purpose (default: cart after cart, transactional after order..., else promotional), exit_on (event kinds that end it; default for cart: order, cart_emptied), pool (of senders), valid_for (interval after which an unsent message expires), subject (what caps on one subject count by; its name). Errors: SF004 brand, SF005 name taken, SF007 other arguments';
REVOKE ALL ON FUNCTION smsflow.create_sequence(text, text, jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.add_step(sequence text, after interval, body text, options jsonb DEFAULT '{}', brand text DEFAULT 'default')
	RETURNS smallint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	id integer := smsflow.sequence_named(add_step.sequence, add_step.brand);
	added smallint;
BEGIN
	PERFORM smsflow.check_options(add_step.options, '{}');
	IF add_step.after < '0' OR add_step.after IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'the delay of a step must not be negative',
			DETAIL = 'It counts from the event, or from the step before.', HINT = 'Use ''0'' for at once.';
	END IF;
	IF coalesce(btrim(add_step.body), '') = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'the message of a step must not be empty',
			DETAIL = 'Every step sends one message.', HINT = 'Write a text, with {{variables}} where it needs them.';
	END IF;
	PERFORM smsflow.check_template(add_step.body);
	PERFORM smsflow.check_content(add_step.body, s.purpose, add_step.brand) FROM smsflow.sequence s WHERE s.sequence_id = id;
	-- Two calls at once number their steps one after the other.
	PERFORM FROM smsflow.sequence s WHERE s.sequence_id = id FOR UPDATE;
	INSERT INTO smsflow.sequence_step AS p (sequence_id, step, after, body)
	SELECT id, coalesce(max(o.step), 0) + 1, add_step.after, add_step.body FROM smsflow.sequence_step o WHERE o.sequence_id = id
	RETURNING p.step INTO added;
	RETURN added;
END $$;
COMMENT ON FUNCTION smsflow.add_step(text, interval, text, jsonb, text) IS 'Adds the next message to a sequence and returns its number; after is the delay since the event (first step) or the step before. Errors: SF003 template, SF004 brand or sequence, SF007 negative delay, empty message, unknown option or a text against the rules';
REVOKE ALL ON FUNCTION smsflow.add_step(text, interval, text, jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.enable_sequence(name text, brand text DEFAULT 'default')
	RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	id integer := smsflow.sequence_named(enable_sequence.name, enable_sequence.brand);
BEGIN
	IF NOT EXISTS (SELECT FROM smsflow.sequence_step p WHERE p.sequence_id = id) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('sequence "%s" has no steps', enable_sequence.name),
			DETAIL = 'It would send nothing.', HINT = 'Add a message with smsflow.add_step() first.';
	END IF;
	UPDATE smsflow.sequence s SET enabled = true WHERE s.sequence_id = id AND NOT s.enabled;
	PERFORM smsflow.note_config();
END $$;
COMMENT ON FUNCTION smsflow.enable_sequence(text, text) IS 'Lets a sequence enrol people and move them on. Messages that came due while it was disabled count their validity from then. Errors: SF004 brand or sequence, SF005 no steps';
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

-- The worker's calls. ---------------------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.apply_events(event_ids bigint[]) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
	-- A person may have become a contact after the event, in the same checkout.
	UPDATE smsflow.event e SET contact_id = found.contact_id
	FROM (SELECT o.event_id, coalesce(
			(SELECT c.contact_id FROM smsflow.contact c WHERE c.brand_id = o.brand_id AND c.external_id = o.external_id
				ORDER BY (c.phone OPERATOR(smsflow.=) smsflow.phone_or_null(o.phone)) IS TRUE DESC, c.contact_id DESC LIMIT 1),
			(SELECT c.contact_id FROM smsflow.contact c WHERE c.brand_id = o.brand_id
				AND c.phone OPERATOR(smsflow.=) smsflow.phone_or_null(o.phone))) AS contact_id
		FROM smsflow.event o
		WHERE o.event_id = ANY (apply_events.event_ids) AND o.contact_id IS NULL AND coalesce(o.phone, o.external_id) IS NOT NULL) found
	WHERE e.event_id = found.event_id AND found.contact_id IS NOT NULL;

	-- Exits, before anything is started: an exit event ends what began before it.
	WITH ended AS (
		UPDATE smsflow.enrollment n SET ended_at = clock_timestamp(), end_reason = x.kind, next_at = NULL
		FROM (SELECT DISTINCT ON (o.enrollment_id) o.enrollment_id, e.kind
			FROM smsflow.event e
			JOIN smsflow.enrollment o ON o.contact_id = e.contact_id AND o.ended_at IS NULL AND o.event_id < e.event_id
			JOIN smsflow.sequence s ON s.sequence_id = o.sequence_id AND s.brand_id = e.brand_id AND e.kind = ANY (s.exit_on)
				AND (e.kind <> 'cart_emptied' OR coalesce(e.ref, '') = o.ref)
			WHERE e.event_id = ANY (apply_events.event_ids)
			ORDER BY o.enrollment_id, e.event_id) x
		WHERE n.enrollment_id = x.enrollment_id
		RETURNING n.enrollment_id)
	SELECT smsflow.note_revocation('enrollment', ended.enrollment_id) FROM ended;

	-- Enrolments. Several events of one cart in this call count once: the last
	-- one sets the clock, and an exit event after the first ends it; the ended
	-- row is kept, so that the same cart is not enrolled again. A cart that an
	-- order names as its own is over, whichever of the two was written first.
	INSERT INTO smsflow.enrollment AS n (sequence_id, contact_id, ref, event_id, data, step, next_at, ended_at, end_reason)
	SELECT w.sequence_id, w.contact_id, w.ref, w.last_id, e.data, p.step,
		CASE WHEN x.kind IS NULL THEN e.occurred_at + p.after END, CASE WHEN x.kind IS NOT NULL THEN clock_timestamp() END, x.kind
	FROM (SELECT s.sequence_id, s.brand_id, s.on_event, s.exit_on, o.contact_id, coalesce(o.ref, '') AS ref,
				min(o.event_id) AS first_id, max(o.event_id) AS last_id
			FROM smsflow.event o
			JOIN smsflow.sequence s ON s.enabled AND s.on_event = o.kind AND s.brand_id = o.brand_id
			WHERE o.event_id = ANY (apply_events.event_ids) AND o.contact_id IS NOT NULL
			GROUP BY s.sequence_id, o.contact_id, coalesce(o.ref, '')) w
	JOIN smsflow.event e ON e.event_id = w.last_id
	CROSS JOIN LATERAL (SELECT p.step, p.after FROM smsflow.sequence_step p WHERE p.sequence_id = w.sequence_id
		ORDER BY p.step LIMIT 1) p
	LEFT JOIN LATERAL (SELECT x.kind FROM smsflow.event x
		WHERE x.contact_id = w.contact_id AND x.brand_id = w.brand_id AND x.kind = ANY (w.exit_on)
			AND (x.kind <> 'cart_emptied' OR coalesce(x.ref, '') = w.ref)
			AND (x.event_id > w.first_id OR (w.on_event = 'cart' AND x.data #>> '{order,cart_id}' = w.ref))
		ORDER BY x.event_id LIMIT 1) x ON true
	ON CONFLICT (sequence_id, contact_id, ref) DO UPDATE SET event_id = EXCLUDED.event_id, data = EXCLUDED.data,
		step = EXCLUDED.step, next_at = EXCLUDED.next_at, ended_at = EXCLUDED.ended_at, end_reason = EXCLUDED.end_reason
	WHERE n.ended_at IS NULL AND n.step <= EXCLUDED.step AND n.event_id < EXCLUDED.event_id;
$$;
COMMENT ON FUNCTION smsflow.apply_events(bigint[]) IS 'Applies store events to sequences, in the order of their ids; applying one again changes nothing';
REVOKE ALL ON FUNCTION smsflow.apply_events(bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.process_events(event_ids bigint[]) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.apply_events(process_events.event_ids || smsflow.expand_events(process_events.event_ids))
$$;
COMMENT ON FUNCTION smsflow.process_events(bigint[]) IS 'Worker: makes events of changed carts, and applies all to sequences';
REVOKE ALL ON FUNCTION smsflow.process_events(bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.sequence_queues(s smsflow.sequence) RETURNS integer[]
	LANGUAGE sql VOLATILE
	RETURN smsflow.queues_for(smsflow.lane_of((s).purpose), 'sequence:' || (s).sequence_id, COALESCE((s).options ->> 'pool', 'default'));
COMMENT ON FUNCTION smsflow.sequence_queues(smsflow.sequence) IS 'Queues of a sequence, one per sender of its pool, made where missing';
REVOKE ALL ON FUNCTION smsflow.sequence_queues(smsflow.sequence) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.advance_enrollments(max_rows integer) RETURNS timestamptz
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
	-- Queues first: a statement does not see rows that its own functions insert.
	SELECT smsflow.sequence_queues(s) FROM smsflow.sequence s
	WHERE s.enabled AND EXISTS (SELECT FROM smsflow.enrollment n WHERE n.sequence_id = s.sequence_id AND n.ended_at IS NULL
		AND n.next_at <= (SELECT clock_timestamp()));

	WITH due AS MATERIALIZED (
		SELECT n.enrollment_id, n.contact_id, n.ref, n.event_id, n.data, n.step, n.next_at, s.sequence_id, s.brand_id, s.purpose, s.exit_on,
			coalesce((s.options ->> 'valid_for')::interval, smsflow.default_validity(s.purpose)) AS valid_for
		FROM smsflow.sequence s
		CROSS JOIN LATERAL (SELECT o.* FROM smsflow.enrollment o
			WHERE o.sequence_id = s.sequence_id AND o.ended_at IS NULL AND o.next_at <= (SELECT clock_timestamp())
			ORDER BY o.next_at LIMIT advance_enrollments.max_rows FOR UPDATE SKIP LOCKED) n
		WHERE s.enabled
		ORDER BY n.next_at LIMIT advance_enrollments.max_rows),
	decided AS MATERIALIZED (
		SELECT d.*, this.step AS this_step, this.body, later.step AS later_step, later.after,
			CASE WHEN c.contact_id IS NULL THEN 'contact_gone' WHEN x.kind IS NOT NULL THEN x.kind
				WHEN this.step IS NULL THEN 'completed' END AS stop
		FROM due d
		LEFT JOIN smsflow.contact c ON c.contact_id = d.contact_id
		LEFT JOIN LATERAL (SELECT x.kind FROM smsflow.event x WHERE x.contact_id = d.contact_id AND x.event_id > d.event_id
			AND x.brand_id = d.brand_id AND x.kind = ANY (d.exit_on)
			AND (x.kind <> 'cart_emptied' OR coalesce(x.ref, '') = d.ref) ORDER BY x.event_id LIMIT 1) x ON true
		LEFT JOIN LATERAL (SELECT p.step, p.body FROM smsflow.sequence_step p
			WHERE p.sequence_id = d.sequence_id AND p.step >= d.step ORDER BY p.step LIMIT 1) this ON true
		LEFT JOIN LATERAL (SELECT p.step, p.after FROM smsflow.sequence_step p
			WHERE p.sequence_id = d.sequence_id AND p.step > this.step ORDER BY p.step LIMIT 1) later ON true),
	queues AS MATERIALIZED (
		SELECT s.sequence_id, smsflow.sequence_queues(s) AS ids FROM smsflow.sequence s
		WHERE s.sequence_id IN (SELECT d.sequence_id FROM decided d WHERE d.stop IS NULL)),
	composed AS MATERIALIZED (
		SELECT d.*, c.phone, smsflow.proof(c.proof, d.purpose) AS consent_event_id, r.rendered, r.parts, r.unicode, coalesce(smsflow.final_refusal(smsflow.gate(c.contact_id, c.phone,
				c.consent, d.purpose, c.region, c.time_zone, c.time_zone_source, c.reachability, NULL, NULL,
				coalesce(nullif(d.ref, ''), 'enrollment ' || d.enrollment_id), NULL, NULL, NULL, now(), c.brand_id)),
			CASE WHEN r.missing IS NOT NULL THEN 'missing_variable' END, smsflow.content_refusal(r.rendered, d.purpose, b.name)) AS refusal,
			CASE WHEN d.purpose = 'cart' THEN smsflow.cart_deadline(c.phone, c.region,
				(SELECT x.occurred_at FROM smsflow.event x WHERE x.event_id = d.event_id)) END AS deadline
		FROM decided d
		JOIN smsflow.contact c ON c.contact_id = d.contact_id
		JOIN smsflow.brand b ON b.brand_id = d.brand_id
		CROSS JOIN LATERAL smsflow.render_message(d.body, smsflow.contact_vars(c, b.name, d.data)) r
		WHERE d.stop IS NULL),
	appended AS (
		INSERT INTO smsflow.outbox AS o (expires_at, contact_id, recipient, enrollment_id, trigger_event_id, queue_id, brand_id,
			sequence_id, purpose, step, parts, unicode, refusal, body, consent_event_id)
		SELECT least(m.next_at + m.valid_for, m.deadline), m.contact_id, m.phone, m.enrollment_id, m.event_id,
			CASE WHEN m.refusal IS NULL THEN q.ids[1 + m.contact_id % cardinality(q.ids)] ELSE 0 END, m.brand_id,
			m.sequence_id, m.purpose, m.this_step, coalesce(m.parts, 0), coalesce(m.unicode, false), m.refusal, coalesce(m.rendered, m.body), m.consent_event_id
		FROM composed m JOIN queues q ON q.sequence_id = m.sequence_id
		ORDER BY m.next_at, m.enrollment_id
		RETURNING o.queue_id, o.brand_id, o.sequence_id, o.step, o.purpose, o.parts, o.refusal),
	counted AS (
		INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value)
		SELECT date_trunc('hour', clock_timestamp(), 'UTC'), a.brand_id, 0, a.sequence_id, coalesce(q.sender_id, 0), a.step, a.purpose,
			v.measure, sum(v.value)
		FROM appended a
		JOIN smsflow.queue q ON q.queue_id = a.queue_id
		CROSS JOIN LATERAL (VALUES ('recipients', 1), (CASE WHEN a.refusal IS NULL THEN 'queued' ELSE 'suppressed' END, 1),
			('parts', CASE WHEN a.refusal IS NULL THEN a.parts ELSE 0 END)) v (measure, value)
		WHERE v.value <> 0
		GROUP BY a.brand_id, a.sequence_id, q.sender_id, a.step, a.purpose, v.measure),
	moved AS (
		UPDATE smsflow.enrollment n SET step = coalesce(d.later_step, d.this_step, n.step),
			next_at = CASE WHEN d.stop IS NULL THEN clock_timestamp() + d.after END,
			ended_at = CASE WHEN d.stop IS NOT NULL OR d.later_step IS NULL THEN clock_timestamp() END,
			end_reason = coalesce(d.stop, CASE WHEN d.later_step IS NULL THEN 'completed' END)
		FROM decided d WHERE n.enrollment_id = d.enrollment_id)
	SELECT smsflow.note_enqueued(array_agg(DISTINCT a.queue_id)) FROM appended a WHERE a.refusal IS NULL HAVING count(*) > 0;

	-- What somebody else has locked is left out: waiting for it would be a busy loop.
	SELECT min(n.next_at) FROM smsflow.sequence s
	CROSS JOIN LATERAL (SELECT o.next_at FROM smsflow.enrollment o
		WHERE o.sequence_id = s.sequence_id AND o.ended_at IS NULL AND o.next_at IS NOT NULL
		ORDER BY o.next_at LIMIT 1 FOR UPDATE SKIP LOCKED) n
	WHERE s.enabled;
$$;
COMMENT ON FUNCTION smsflow.advance_enrollments(integer) IS 'Worker: asks for the messages of at most max_rows due enrolments and moves them on. Returns the instant of the next due one (not later than now: call again), NULL when there is none';
REVOKE ALL ON FUNCTION smsflow.advance_enrollments(integer) FROM PUBLIC;
