-- The worker's calls: applying store events to sequences, and moving people on.


CREATE OR REPLACE FUNCTION smsflow.holds(sequence_id integer, role regrole, condition text, enrollment_ids bigint[]) RETURNS bigint[]
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smsflow_holds';
COMMENT ON FUNCTION smsflow.holds(integer, regrole, text, bigint[]) IS 'Enrolments for which a condition is true, evaluated with the rights of a role. When it fails the sequence is disabled with the error, and the result is NULL';
REVOKE ALL ON FUNCTION smsflow.holds(integer, regrole, text, bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.refuse_entries(sequence_id integer, role regrole, condition text, event_ids bigint[]) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	ids CONSTANT bigint[] := ARRAY(SELECT n.enrollment_id FROM smsflow.enrollment n WHERE n.sequence_id = refuse_entries.sequence_id
		AND n.event_id = ANY (refuse_entries.event_ids) AND n.ended_at IS NULL
		AND n.step <= (SELECT min(p.step) FROM smsflow.sequence_step p WHERE p.sequence_id = n.sequence_id));
	admitted bigint[];
BEGIN
	IF cardinality(ids) = 0 THEN
		RETURN;
	END IF;
	-- Where the condition fails nobody is admitted: when it is mended, each may be with the next event.
	admitted := coalesce(smsflow.holds(refuse_entries.sequence_id, role, condition, ids), '{}');
	UPDATE smsflow.enrollment n SET ended_at = clock_timestamp(), end_reason = 'not_admitted', next_at = NULL
	WHERE n.enrollment_id = ANY (ids) AND n.enrollment_id <> ALL (admitted);
END $$;
COMMENT ON FUNCTION smsflow.refuse_entries(integer, regrole, text, bigint[]) IS 'Ends enrolments that these events started and the entry condition does not admit';
REVOKE ALL ON FUNCTION smsflow.refuse_entries(integer, regrole, text, bigint[]) FROM PUBLIC;

-- Who becomes a contact brings along what he did as a stranger in the two days before.
CREATE OR REPLACE FUNCTION smsflow.adopt_events(event_ids bigint[]) RETURNS bigint[]
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(array_agg(DISTINCT o.event_id), '{}')
	FROM smsflow.event e
	JOIN smsflow.contact c ON c.contact_id = e.contact_id
	CROSS JOIN LATERAL (
		SELECT p.event_id FROM smsflow.event p WHERE p.contact_id IS NULL AND p.phone = c.phone::text AND p.brand_id = c.brand_id
			AND p.occurred_at > now() - interval '2 days'
		UNION ALL
		SELECT p.event_id FROM smsflow.event p WHERE p.contact_id IS NULL AND p.external_id = c.external_id AND p.brand_id = c.brand_id
			AND p.occurred_at > now() - interval '2 days') o
	WHERE e.event_id = ANY (adopt_events.event_ids) AND e.kind = 'subscribed'
$$;
COMMENT ON FUNCTION smsflow.adopt_events(bigint[]) IS 'Events that belong to people who have subscribed by these events';
REVOKE ALL ON FUNCTION smsflow.adopt_events(bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.event_of_consent() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	-- Of a list that is brought in, or taken back, nothing follows; nor of what was long ago, which expires; nor of entries
	-- that a restored dump brings, whose transactions were others.
	INSERT INTO smsflow.event (occurred_at, contact_id, brand_id, kind, ref, data)
	SELECT r.occurred_at, c.contact_id, c.brand_id, CASE r.kind WHEN 'grant' THEN 'subscribed' WHEN 'confirm' THEN 'confirmed' ELSE 'opted_out' END, '',
		jsonb_build_object('source', r.source)
	FROM smsflow_rows r JOIN smsflow.contact c ON c.contact_id = r.contact_id
	WHERE r.source !~ '^(import|undo):' AND r.xid = pg_current_xact_id() AND (r.kind <> 'revoke' OR r.purposes && '{cart,promotional}');
	IF FOUND THEN
		PERFORM smsflow.note_event();
	END IF;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION smsflow.event_of_consent() IS 'Statement trigger of the ledger: subscribed, confirmed and opted_out are events that sequences can follow and end by';
REVOKE ALL ON FUNCTION smsflow.event_of_consent() FROM PUBLIC;
CREATE OR REPLACE TRIGGER event_of_consent AFTER INSERT ON smsflow.consent_event REFERENCING NEW TABLE AS smsflow_rows
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.event_of_consent();

-- Decisions. ------------------------------------------------------------------

-- The lowest entry of the index, however many wait: whether anybody is due is asked all the time. In PL/pgSQL, which keeps the plan.
CREATE OR REPLACE FUNCTION smsflow.first_due(sequence_id integer) RETURNS timestamptz
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT min(n.next_at) FROM smsflow.enrollment n WHERE n.sequence_id = first_due.sequence_id AND n.ended_at IS NULL);
END $$;
COMMENT ON FUNCTION smsflow.first_due(integer) IS 'Instant at which the first enrolment of a sequence is due; NULL when none waits';
REVOKE ALL ON FUNCTION smsflow.first_due(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.go_to_step(sequence_id integer, target integer, enrollment_ids bigint[]) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	UPDATE smsflow.enrollment n SET step = coalesce(p.step, n.step), next_at = clock_timestamp() + p.after, waiting_since = NULL,
		ended_at = CASE WHEN p.step IS NULL THEN clock_timestamp() END, end_reason = CASE WHEN p.step IS NULL THEN 'completed' END
	FROM (SELECT) one LEFT JOIN LATERAL (SELECT p.step, p.after FROM smsflow.sequence_step p
		WHERE p.sequence_id = go_to_step.sequence_id AND p.step >= target ORDER BY p.step LIMIT 1) p ON true
	WHERE n.enrollment_id = ANY (go_to_step.enrollment_ids)
$$;
COMMENT ON FUNCTION smsflow.go_to_step(integer, integer, bigint[]) IS 'Moves enrolments to the first step from a number on, its delay from now; past the last one they are completed';
REVOKE ALL ON FUNCTION smsflow.go_to_step(integer, integer, bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.end_enrollments(reason text, enrollment_ids bigint[]) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	WITH ended AS (UPDATE smsflow.enrollment n SET ended_at = clock_timestamp(), end_reason = reason, next_at = NULL, waiting_since = NULL
		WHERE n.enrollment_id = ANY (end_enrollments.enrollment_ids) RETURNING n.enrollment_id)
	SELECT smsflow.note_revocation('enrollment', ended.enrollment_id) FROM ended
$$;
COMMENT ON FUNCTION smsflow.end_enrollments(text, bigint[]) IS 'Ends enrolments for a reason';
REVOKE ALL ON FUNCTION smsflow.end_enrollments(text, bigint[]) FROM PUBLIC;

-- A wait is looked at again every so often, and whenever the person does something.
CREATE OR REPLACE FUNCTION smsflow.wait_on(sequence_id integer, step integer, options jsonb, enrollment_ids bigint[]) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	timeout CONSTANT interval := options ->> 'timeout';
	late bigint[];
BEGIN
	UPDATE smsflow.enrollment n SET waiting_since = coalesce(n.waiting_since, n.next_at),
		next_at = least(coalesce(n.waiting_since, n.next_at) + timeout, clock_timestamp() + coalesce((options ->> 'every')::interval, '5 minutes'))
	WHERE n.enrollment_id = ANY (enrollment_ids);
	late := ARRAY(SELECT n.enrollment_id FROM smsflow.enrollment n WHERE n.enrollment_id = ANY (enrollment_ids)
		AND n.waiting_since + timeout <= clock_timestamp());
	IF options ->> 'on_timeout' = 'end' THEN
		PERFORM smsflow.end_enrollments('timeout', late);
	ELSE
		PERFORM smsflow.go_to_step(sequence_id, step + 1, late);
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.wait_on(integer, integer, jsonb, bigint[]) IS 'Lets enrolments wait on, or go on when the timeout of the step is over';
REVOKE ALL ON FUNCTION smsflow.wait_on(integer, integer, jsonb, bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.decide_step(sequence_id integer, step integer, options jsonb, yes bigint[], no bigint[]) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF options ? 'condition' THEN
		UPDATE smsflow.enrollment n SET passed = decide_step.step WHERE n.enrollment_id = ANY (yes);
		PERFORM smsflow.go_to_step(sequence_id, step + 1, no);
	ELSIF options ? 'wait_until' THEN
		PERFORM smsflow.go_to_step(sequence_id, step + 1, yes), smsflow.wait_on(sequence_id, step, options, no);
	ELSIF options ? 'goto' THEN
		PERFORM smsflow.go_to_step(sequence_id, (options ->> 'goto')::integer, yes), smsflow.go_to_step(sequence_id, step + 1, no);
	ELSE
		PERFORM smsflow.end_enrollments(CASE WHEN options ? 'goal' THEN 'goal' ELSE 'exit' END, yes), smsflow.go_to_step(sequence_id, step + 1, no);
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.decide_step(integer, integer, jsonb, bigint[], bigint[]) IS 'Does what a step decides for those for whom it is true, and for the others';
REVOKE ALL ON FUNCTION smsflow.decide_step(integer, integer, jsonb, bigint[], bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.decide_steps(max_rows integer) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	d record;
	yes bigint[];
BEGIN
	FOR d IN
		SELECT s.sequence_id, p.step, p.options, p.owner, array_agg(n.enrollment_id) AS ids
		FROM smsflow.sequence s
		CROSS JOIN LATERAL (SELECT o.enrollment_id, o.step, o.passed FROM smsflow.enrollment o
			WHERE o.sequence_id = s.sequence_id AND o.ended_at IS NULL AND o.next_at <= (SELECT clock_timestamp())
			ORDER BY o.next_at LIMIT decide_steps.max_rows FOR UPDATE SKIP LOCKED) n
		CROSS JOIN LATERAL (SELECT p.step, p.options, p.owner FROM smsflow.sequence_step p
			WHERE p.sequence_id = s.sequence_id AND p.step >= n.step ORDER BY p.step LIMIT 1) p
		WHERE s.enabled AND s.paused_at IS NULL AND smsflow.first_due(s.sequence_id) <= clock_timestamp()
			AND EXISTS (SELECT FROM smsflow.sequence_step o WHERE o.sequence_id = s.sequence_id AND smsflow.is_control(o.options))
			AND smsflow.is_control(p.options) AND n.passed IS DISTINCT FROM p.step
		GROUP BY s.sequence_id, p.step, p.options, p.owner
	LOOP
		IF d.options ? 'split' THEN
			yes := ARRAY(SELECT id FROM unnest(d.ids) id WHERE (hashint8extended(id, d.step) & 2147483647) % 10000 < (d.options ->> 'split')::numeric * 100);
		ELSE
			yes := smsflow.holds(d.sequence_id, d.owner, coalesce(d.options ->> 'condition', d.options ->> 'wait_until', d.options ->> 'branch',
				d.options ->> 'exit', d.options ->> 'goal'), d.ids);
		END IF;
		IF yes IS NOT NULL THEN
			PERFORM smsflow.decide_step(d.sequence_id, d.step, d.options, yes, ARRAY(SELECT id FROM unnest(d.ids) id WHERE id <> ALL (yes)));
		END IF;
	END LOOP;
END $$;
COMMENT ON FUNCTION smsflow.decide_steps(integer) IS 'Worker: waits, branches, splits and ends of due enrolments; a condition that fails disables its sequence';
REVOKE ALL ON FUNCTION smsflow.decide_steps(integer) FROM PUBLIC;

-- Events. ---------------------------------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.apply_events(event_ids bigint[]) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	revoked bigint;
BEGIN
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

	-- Whoever waits for something looks again.
	UPDATE smsflow.enrollment n SET next_at = clock_timestamp()
	FROM smsflow.event e
	WHERE e.event_id = ANY (apply_events.event_ids) AND n.contact_id = e.contact_id AND n.waiting_since IS NOT NULL AND n.ended_at IS NULL;

	-- Exits, before anything is started: an exit event ends what began before it.
	WITH concerned AS MATERIALIZED (
		SELECT e.contact_id, e.event_id, e.brand_id, e.kind, e.ref FROM smsflow.event e
		WHERE e.event_id = ANY (apply_events.event_ids) AND e.contact_id IS NOT NULL
		UNION ALL
		SELECT u.contact_id, e.event_id, e.brand_id, e.kind, e.ref FROM smsflow.event e
		CROSS JOIN LATERAL (SELECT c.contact_id FROM smsflow.contact c
			WHERE c.brand_id = e.brand_id AND c.external_id = e.external_id AND c.contact_id <> e.contact_id OFFSET 0) u
		WHERE e.event_id = ANY (apply_events.event_ids)),
	ended AS (
		UPDATE smsflow.enrollment n SET ended_at = clock_timestamp(), end_reason = x.kind, next_at = NULL
		FROM (SELECT DISTINCT ON (o.enrollment_id) o.enrollment_id, e.kind
			FROM concerned e
			JOIN smsflow.enrollment o ON o.contact_id = e.contact_id AND o.ended_at IS NULL AND o.event_id < e.event_id
			JOIN smsflow.sequence s ON s.sequence_id = o.sequence_id AND s.brand_id = e.brand_id AND e.kind = ANY (s.exit_on)
				AND (e.kind <> ALL ('{cart_emptied,out_of_stock}') OR coalesce(e.ref, '') = o.ref)
			ORDER BY o.enrollment_id, e.event_id) x
		WHERE n.enrollment_id = x.enrollment_id
		RETURNING n.enrollment_id)
	SELECT count(smsflow.note_revocation('enrollment', ended.enrollment_id)) INTO revoked FROM ended;

	-- Enrolments. Several events of one cart in this call count once: the last
	-- one sets the clock, and an exit event after the first ends it; the ended
	-- row is kept, so that the same cart is not enrolled again before the time
	-- "reentry" is over. A cart that an order names as its own is over for that
	-- time, whichever of the two was written first.
	INSERT INTO smsflow.enrollment AS n (sequence_id, contact_id, ref, round, event_id, data, step, next_at, ended_at, end_reason)
	SELECT w.sequence_id, w.contact_id, w.ref, coalesce(old.round + (old.ended_at IS NOT NULL)::integer, 1), w.last_id, e.data, p.step,
		CASE WHEN x.kind IS NULL THEN e.occurred_at + p.after END, CASE WHEN x.kind IS NOT NULL THEN clock_timestamp() END, x.kind
	FROM (SELECT s.sequence_id, s.brand_id, s.on_event, s.exit_on, s.options ->> 'limit' AS cap, smsflow.reentry(s) AS reentry,
				o.contact_id, coalesce(o.ref, '') AS ref, min(o.event_id) AS first_id, max(o.event_id) AS last_id,
				-- Who is not admitted does not count, and that is known only later.
				CASE WHEN s.options ? 'entry' THEN 1 ELSE row_number() OVER (PARTITION BY s.sequence_id, o.contact_id ORDER BY min(o.event_id)) END AS place
			FROM smsflow.event o
			JOIN smsflow.sequence s ON s.enabled AND s.on_event = o.kind AND s.brand_id = o.brand_id
			WHERE o.event_id = ANY (apply_events.event_ids) AND o.contact_id IS NOT NULL
			GROUP BY s.sequence_id, o.contact_id, coalesce(o.ref, '')) w
	JOIN smsflow.event e ON e.event_id = w.last_id
	CROSS JOIN LATERAL (SELECT p.step, p.after FROM smsflow.sequence_step p WHERE p.sequence_id = w.sequence_id
		ORDER BY p.step LIMIT 1) p
	LEFT JOIN LATERAL (SELECT o.round, o.ended_at, o.end_reason, o.event_id FROM smsflow.enrollment o
		WHERE o.sequence_id = w.sequence_id AND o.contact_id = w.contact_id AND o.ref = w.ref ORDER BY o.round DESC LIMIT 1) old ON true
	LEFT JOIN LATERAL (SELECT x.kind FROM smsflow.same_customer u CROSS JOIN LATERAL (SELECT x.kind, x.event_id FROM smsflow.event x
			WHERE x.contact_id = u.other_id AND (u.external_id IS NULL OR x.external_id = u.external_id) AND x.brand_id = w.brand_id AND x.kind = ANY (w.exit_on)
				AND (x.kind <> ALL ('{cart_emptied,out_of_stock}') OR coalesce(x.ref, '') = w.ref)
				AND (x.event_id > w.first_id OR (w.on_event = 'cart' AND x.data #>> '{order,cart_id}' = w.ref
					AND coalesce(x.occurred_at > e.occurred_at - w.reentry, true)))
			ORDER BY x.event_id LIMIT 1) x
		WHERE u.contact_id = w.contact_id ORDER BY x.event_id LIMIT 1) x ON true
	WHERE CASE WHEN old.round IS NULL THEN true WHEN old.ended_at IS NULL THEN true
			ELSE x.kind IS NULL AND w.last_id > old.event_id AND (old.end_reason = 'not_admitted' OR e.occurred_at > old.ended_at + w.reentry) END
		AND (w.cap IS NULL OR (old.round IS NOT NULL AND old.ended_at IS NULL) OR w.place + (SELECT count(*) FROM smsflow.enrollment o
			WHERE o.sequence_id = w.sequence_id AND o.contact_id = w.contact_id AND o.end_reason IS DISTINCT FROM 'not_admitted'
				AND o.started_at > e.occurred_at - smsflow.limit_window(w.cap)) <= smsflow.limit_count(w.cap))
	-- Each change of the cart restarts the clock; later steps are put off at least as long.
	ON CONFLICT (contact_id, sequence_id, ref, round) DO UPDATE SET event_id = EXCLUDED.event_id, data = EXCLUDED.data,
		next_at = CASE WHEN n.step <= EXCLUDED.step OR EXCLUDED.next_at IS NULL THEN EXCLUDED.next_at ELSE greatest(n.next_at, EXCLUDED.next_at) END,
		ended_at = EXCLUDED.ended_at, end_reason = EXCLUDED.end_reason
	WHERE n.ended_at IS NULL AND n.event_id < EXCLUDED.event_id;

	PERFORM smsflow.refuse_entries(s.sequence_id, s.owner, s.options ->> 'entry', apply_events.event_ids)
	FROM smsflow.sequence s WHERE s.enabled AND s.options ? 'entry'
		AND s.on_event IN (SELECT e.kind FROM smsflow.event e WHERE e.event_id = ANY (apply_events.event_ids));
END $$;
COMMENT ON FUNCTION smsflow.apply_events(bigint[]) IS 'Applies store events to sequences, in the order of their ids; applying one again changes nothing';
REVOKE ALL ON FUNCTION smsflow.apply_events(bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.process_events(event_ids bigint[]) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.apply_events(ids || smsflow.adopt_events(ids))
	FROM (SELECT process_events.event_ids || smsflow.expand_events(process_events.event_ids) AS ids OFFSET 0) e
$$;
COMMENT ON FUNCTION smsflow.process_events(bigint[]) IS 'Worker: makes events of changed carts, and applies all to sequences';
REVOKE ALL ON FUNCTION smsflow.process_events(bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.sequence_queues(s smsflow.sequence) RETURNS integer[]
	LANGUAGE sql VOLATILE
	RETURN smsflow.queues_for(smsflow.lane_of((s).purpose), 'sequence:' || (s).sequence_id, COALESCE((s).options ->> 'pool', 'default'));
COMMENT ON FUNCTION smsflow.sequence_queues(smsflow.sequence) IS 'Queues of a sequence, one per sender of its pool, made where missing';
REVOKE ALL ON FUNCTION smsflow.sequence_queues(smsflow.sequence) FROM PUBLIC;

-- One plan, kept: making it costs as much as 200 enrolments. It reads single rows by index, because it must not turn with the statistics.
CREATE OR REPLACE FUNCTION smsflow.advance_due(max_rows integer) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET enable_seqscan = off SET enable_hashjoin = off
	SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan SET jit = off AS $$
DECLARE
	queue_ids integer[];
BEGIN
	WITH due AS MATERIALIZED (
		SELECT n.enrollment_id, n.contact_id, n.ref, n.event_id, n.data, n.step, n.passed, n.round, n.next_at, s.sequence_id, s.brand_id, s.purpose, s.exit_on,
			coalesce((s.options ->> 'valid_for')::interval, smsflow.default_validity(s.purpose)) AS valid_for
		FROM smsflow.sequence s
		CROSS JOIN LATERAL (SELECT o.* FROM smsflow.enrollment o
			WHERE o.sequence_id = s.sequence_id AND o.ended_at IS NULL AND o.next_at <= (SELECT clock_timestamp())
			ORDER BY o.next_at LIMIT advance_due.max_rows FOR UPDATE SKIP LOCKED) n
		WHERE s.enabled AND s.paused_at IS NULL AND smsflow.first_due(s.sequence_id) <= clock_timestamp()
		ORDER BY n.next_at LIMIT advance_due.max_rows),
	-- Looked up once for all who are at the same place.
	place AS MATERIALIZED (
		SELECT p.sequence_id, p.step, this.step AS this_step, this.body, this.options, coalesce(smsflow.is_control(this.options), false) AS is_control,
			later.step AS later_step, later.after
		FROM (SELECT DISTINCT d.sequence_id, d.step FROM due d) p
		LEFT JOIN LATERAL (SELECT o.step, o.body, o.options FROM smsflow.sequence_step o
			WHERE o.sequence_id = p.sequence_id AND o.step >= p.step ORDER BY o.step LIMIT 1) this ON true
		LEFT JOIN LATERAL (SELECT o.step, o.after FROM smsflow.sequence_step o
			WHERE o.sequence_id = p.sequence_id AND o.step > this.step ORDER BY o.step LIMIT 1) later ON true),
	decided AS MATERIALIZED (
		SELECT d.*, p.this_step, p.body, p.options, p.later_step, p.after,
			CASE WHEN c.contact_id IS NULL THEN 'contact_gone' WHEN x.kind IS NOT NULL THEN x.kind
				WHEN p.this_step IS NULL THEN 'completed' END AS stop
		FROM due d
		JOIN place p ON p.sequence_id = d.sequence_id AND p.step = d.step
		LEFT JOIN smsflow.contact c ON c.contact_id = d.contact_id
		LEFT JOIN LATERAL (SELECT x.kind FROM smsflow.same_customer u CROSS JOIN LATERAL (SELECT x.kind, x.event_id FROM smsflow.event x
				WHERE x.contact_id = u.other_id AND x.event_id > d.event_id AND (u.external_id IS NULL OR x.external_id = u.external_id)
					AND x.brand_id = d.brand_id AND x.kind = ANY (d.exit_on)
					AND (x.kind <> ALL ('{cart_emptied,out_of_stock}') OR coalesce(x.ref, '') = d.ref) ORDER BY x.event_id LIMIT 1) x
			WHERE u.contact_id = d.contact_id ORDER BY x.event_id LIMIT 1) x ON true
		-- What has a condition waits until decide_steps() has found it true.
		WHERE NOT p.is_control OR d.passed = p.this_step),
	queues AS MATERIALIZED (
		SELECT s.sequence_id, smsflow.sequence_queues(s) AS ids FROM smsflow.sequence s
		WHERE s.sequence_id IN (SELECT d.sequence_id FROM decided d WHERE d.stop IS NULL)),
	composed AS MATERIALIZED (
		SELECT d.*, v.number::smallint AS variant, t.template_id, c.phone, smsflow.proof(c.proof, d.purpose) AS consent_event_id, r.rendered, r.parts, r.unicode, r.links,
			coalesce(r.missing IS NOT NULL AND w.missing = 'fail', false) AS fails, r.missing, coalesce(smsflow.final_refusal(smsflow.gate(c.contact_id, c.phone,
				c.consent, d.purpose, c.region, c.time_zone, c.time_zone_source, c.reachability, NULL, NULL,
				smsflow.cart_ref(d.ref, d.enrollment_id, d.round), NULL, NULL, NULL, now(), c.brand_id, NULL, NULL, c.suppressed)),
			r.refusal) AS refusal,
			CASE WHEN d.purpose = 'cart' THEN smsflow.cart_deadline(c.phone, c.region,
				(SELECT x.occurred_at FROM smsflow.event x WHERE x.event_id = d.event_id)) END AS deadline
		FROM decided d
		JOIN smsflow.contact c ON c.contact_id = d.contact_id
		JOIN smsflow.brand b ON b.brand_id = d.brand_id
		CROSS JOIN LATERAL (SELECT 1 + (hashint8extended(d.enrollment_id, d.this_step) & 2147483647)
			% nullif(jsonb_array_length(d.options -> 'variants'), 0) AS number) v
		LEFT JOIN LATERAL (SELECT t.template_id, t.body FROM smsflow.template t WHERE t.brand_id = d.brand_id AND t.name = d.options ->> 'template'
			AND smsflow.language_fits(t.language, coalesce(c.language, '')) >= 0 ORDER BY smsflow.language_fits(t.language, coalesce(c.language, '')) DESC LIMIT 1) t ON true
		LEFT JOIN smsflow.text_policy w ON w.brand_id = d.brand_id AND w.purpose = d.purpose
		CROSS JOIN LATERAL smsflow.compose_text(coalesce(d.options -> 'variants' ->> (v.number - 1)::integer, t.body, d.body, ''),
			smsflow.contact_vars(c, b.name, d.data), b.name, d.purpose, w) r
		WHERE d.stop IS NULL),
	numbered AS (
		SELECT smsflow.next_message_id() AS message_id, m.* FROM (
			SELECT c.*, CASE WHEN c.refusal IS NULL THEN q.ids[1 + c.contact_id % cardinality(q.ids)] ELSE 0 END AS queue_id
			FROM composed c JOIN queues q ON q.sequence_id = c.sequence_id
			WHERE NOT c.fails ORDER BY c.next_at, c.enrollment_id) m),
	appended AS (
		INSERT INTO smsflow.outbox AS o (message_id, expires_at, contact_id, recipient, enrollment_id, trigger_event_id, queue_id, brand_id,
			sequence_id, purpose, step, parts, unicode, refusal, body, consent_event_id, variant, template_id, links)
		SELECT m.message_id, least(m.next_at + m.valid_for, m.deadline), m.contact_id, m.phone, m.enrollment_id, m.event_id, m.queue_id, m.brand_id,
			m.sequence_id, m.purpose, m.this_step, coalesce(m.parts, 0), coalesce(m.unicode, false), m.refusal,
			CASE WHEN m.links IS NULL THEN coalesce(m.rendered, m.body, '') ELSE smsflow.write_codes(coalesce(m.rendered, m.body, ''), m.message_id) END,
			m.consent_event_id, m.variant, m.template_id, m.links
		FROM numbered m
		RETURNING o.queue_id, o.brand_id, o.sequence_id, o.step, o.purpose, o.parts, o.refusal, o.variant),
	counted AS (
		INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, variant, purpose, measure, value)
		SELECT date_trunc('hour', clock_timestamp(), 'UTC'), a.brand_id, 0, a.sequence_id, coalesce(q.sender_id, 0), a.step,
			coalesce(a.variant, 0), a.purpose, v.measure, sum(v.value)
		FROM appended a
		JOIN smsflow.queue q ON q.queue_id = a.queue_id
		CROSS JOIN LATERAL (VALUES ('recipients', 1), (CASE WHEN a.refusal IS NULL THEN 'queued' ELSE 'suppressed' END, 1),
			('parts', CASE WHEN a.refusal IS NULL THEN a.parts ELSE 0 END)) v (measure, value)
		WHERE v.value <> 0
		GROUP BY a.brand_id, a.sequence_id, q.sender_id, a.step, a.variant, a.purpose, v.measure),
	moved AS (
		UPDATE smsflow.enrollment n SET step = coalesce(d.later_step, d.this_step, n.step),
			next_at = CASE WHEN d.stop IS NULL THEN clock_timestamp() + d.after END,
			ended_at = CASE WHEN d.stop IS NOT NULL OR d.later_step IS NULL THEN clock_timestamp() END,
			end_reason = coalesce(d.stop, CASE WHEN d.later_step IS NULL THEN 'completed' END)
		FROM decided d WHERE n.enrollment_id = d.enrollment_id AND d.enrollment_id <> ALL (ARRAY(SELECT m.enrollment_id FROM composed m WHERE m.fails))),
	-- As one whose condition fails; who is at this step waits until it is mended.
	disabled AS (
		UPDATE smsflow.sequence s SET enabled = false, error = format('template variable "%s" has no value', m.missing)
		FROM (SELECT DISTINCT ON (c.sequence_id) c.sequence_id, c.missing FROM composed c WHERE c.fails) m WHERE m.sequence_id = s.sequence_id)
	SELECT array_agg(DISTINCT a.queue_id) INTO queue_ids FROM appended a WHERE a.refusal IS NULL;
	IF queue_ids IS NOT NULL THEN
		PERFORM smsflow.note_enqueued(queue_ids);
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.advance_due(integer) IS 'Asks for the messages of at most max_rows due enrolments whose step is decided, and moves them on';
REVOKE ALL ON FUNCTION smsflow.advance_due(integer) FROM PUBLIC;

-- In PL/pgSQL, which keeps plans, because the worker looks more often than somebody is due.
CREATE OR REPLACE FUNCTION smsflow.advance_enrollments(max_rows integer) RETURNS timestamptz
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	next_due timestamptz;
BEGIN
	PERFORM smsflow.decide_steps(advance_enrollments.max_rows);
	-- Queues first: a statement does not see rows that its own functions insert.
	PERFORM smsflow.sequence_queues(s) FROM smsflow.sequence s
	WHERE s.enabled AND s.paused_at IS NULL AND smsflow.first_due(s.sequence_id) <= clock_timestamp();
	IF FOUND THEN
		PERFORM smsflow.advance_due(advance_enrollments.max_rows);
	END IF;
	-- What somebody else has locked is left out: waiting for it would be a busy loop.
	SELECT min(n.next_at) INTO next_due FROM smsflow.sequence s
	CROSS JOIN LATERAL (SELECT o.next_at FROM smsflow.enrollment o
		WHERE o.sequence_id = s.sequence_id AND o.ended_at IS NULL AND o.next_at IS NOT NULL
		ORDER BY o.next_at LIMIT 1 FOR UPDATE SKIP LOCKED) n
	WHERE s.enabled AND s.paused_at IS NULL;
	RETURN next_due;
END $$;
COMMENT ON FUNCTION smsflow.advance_enrollments(integer) IS 'Worker: asks for the messages of at most max_rows due enrolments and moves them on. Returns the instant of the next due one (not later than now: call again), NULL when there is none';
REVOKE ALL ON FUNCTION smsflow.advance_enrollments(integer) FROM PUBLIC;
