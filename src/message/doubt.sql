-- Messages in doubt: listing them, deciding by a person, and the end of waiting.
-- Only the worker changes what became of a message, so that two never count the
-- same change: resolve_in_doubt() leaves word, and the worker acts on it.

CREATE OR REPLACE FUNCTION smsflow.note_resolution() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smsflow_note_resolution_sql';
COMMENT ON FUNCTION smsflow.note_resolution() IS 'Wakes the worker for resolutions when the transaction commits';
REVOKE ALL ON FUNCTION smsflow.note_resolution() FROM PUBLIC;

CREATE OR REPLACE VIEW smsflow.in_doubt AS
	SELECT m.message_id, m.brand, m.phone, m.purpose, m.campaign, m.sequence, m.gateway, m.sender, u.since, m.attempts,
		d.reason, d.code AS error_code,
		CASE WHEN r.outcome IS NOT NULL THEN 'resolved as ' || r.outcome || ' by ' || r.by_role
			WHEN l.finding = 'missing' AND l.looked_at > d.finished_at THEN 'the gateway does not show it; a person decides'
			WHEN m.reason = 'resend_later' THEN 'is sent again, unless a report comes'
			WHEN l.message_id IS NOT NULL THEN 'the gateway is asked about it'
			ELSE 'waits for a report' END AS next,
		CASE WHEN r.outcome IS NOT NULL THEN r.resolved_at WHEN m.reason = 'resend_later' THEN m.due_at
			ELSE COALESCE(l.due_at, u.unknown_at) END AS next_at
	FROM (SELECT message_id, min(listed_at) AS since, max(due_at) AS unknown_at FROM smsflow.unsettled
		WHERE in_doubt GROUP BY message_id) u
	JOIN smsflow.message m USING (message_id)
	LEFT JOIN LATERAL (SELECT a.reason, a.code, a.finished_at FROM smsflow.attempt a WHERE a.message_id = u.message_id AND a.outcome = 'in_doubt'
		ORDER BY a.attempt DESC LIMIT 1) d ON true
	LEFT JOIN LATERAL (SELECT x.outcome, x.by_role, x.resolved_at FROM smsflow.resolution x
		WHERE x.message_id = u.message_id AND x.applied_at IS NULL ORDER BY x.resolution_id DESC LIMIT 1) r ON true
	LEFT JOIN smsflow.lookup l ON l.message_id = u.message_id
	WHERE m.status = 'in_doubt';
COMMENT ON VIEW smsflow.in_doubt IS 'Messages that may or may not have reached a gateway; resolve_in_doubt() settles one that a person knows about';
COMMENT ON COLUMN smsflow.in_doubt.since IS 'When it came into doubt first';
COMMENT ON COLUMN smsflow.in_doubt.reason IS 'timed_out and no_proof: no answer, or one that proves nothing; worker_lost: the worker died; profile_failed: the answer could not be read';
COMMENT ON COLUMN smsflow.in_doubt.next IS 'What will happen by itself';
COMMENT ON COLUMN smsflow.in_doubt.next_at IS 'When that happens, or when the gateway is asked next; for what waits for a report, when it is given up as unknown';

CREATE OR REPLACE FUNCTION smsflow.resolve_in_doubt(message_id bigint, outcome text) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	now_is text := (SELECT f.status FROM smsflow.message_fold(ARRAY[$1]) f);
BEGIN
	IF $2 IS NULL OR $2 <> ALL ('{accepted,delivered,rejected,not_sent,unknown}') THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('unknown outcome "%s"', $2),
			HINT = 'An outcome is accepted, delivered, rejected, not_sent or unknown.';
	END IF;
	IF now_is IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('message %s does not exist', $1),
			HINT = 'SELECT * FROM smsflow.in_doubt.';
	END IF;
	IF now_is <> 'in_doubt' AND NOT (now_is = 'unknown' AND $2 = 'delivered') THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('message %s is not in doubt', $1),
			DETAIL = format('It is %s.', now_is), HINT = 'SELECT * FROM smsflow.in_doubt.';
	END IF;
	INSERT INTO smsflow.resolution (message_id, attempt, outcome)
	SELECT $1, max(a.attempt), $2 FROM smsflow.attempt a WHERE a.message_id = $1;
	PERFORM smsflow.note_resolution();
END
$$;
COMMENT ON FUNCTION smsflow.resolve_in_doubt(bigint, text) IS 'Says what became of a message in doubt, as a person found out: accepted, delivered, rejected, unknown (nobody will know), or not_sent, after which it is sent again if its time is not over and the gate allows it, marketing too. The worker acts on it at once after the commit. A message that is unknown may still be found delivered. Errors: SF004 no such message, SF005 not in doubt, SF007 unknown outcome';
REVOKE ALL ON FUNCTION smsflow.resolve_in_doubt(bigint, text) FROM PUBLIC;

-- Reports that no gateway sent. They move a message as any report does.

CREATE OR REPLACE FUNCTION smsflow.append_own_reports(message_ids bigint[], statuses smsflow.message_status[],
		before smsflow.message_status[], sent boolean[], code text) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
	INSERT INTO smsflow.report (message_id, received_at, occurred_at, attempt, status, code)
	SELECT n.message_id, clock_timestamp(), clock_timestamp(),
		coalesce((SELECT max(a.attempt) FROM smsflow.attempt a WHERE a.message_id = n.message_id), 1), n.status, $5
	FROM unnest($1, $2) AS n (message_id, status);
	SELECT smsflow.count_reports('{}', $1, $3, $4);
$$;
COMMENT ON FUNCTION smsflow.append_own_reports(bigint[], smsflow.message_status[], smsflow.message_status[], boolean[], text) IS 'Second half of report_ourselves()';
REVOKE ALL ON FUNCTION smsflow.append_own_reports(bigint[], smsflow.message_status[], smsflow.message_status[], boolean[], text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.report_ourselves(message_ids bigint[], statuses smsflow.message_status[], code text) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
	SELECT smsflow.append_own_reports(array_agg(f.message_id), array_agg(n.status), array_agg(f.status), array_agg(f.sent), $3)
	FROM smsflow.message_fold($1) f JOIN unnest($1, $2) AS n (message_id, status) USING (message_id)
	HAVING count(*) > 0
$$;
COMMENT ON FUNCTION smsflow.report_ourselves(bigint[], smsflow.message_status[], text) IS 'Appends one report per message, with a code that says where it comes from, and moves the counters; the message_ids differ from one another';
REVOKE ALL ON FUNCTION smsflow.report_ourselves(bigint[], smsflow.message_status[], text) FROM PUBLIC;

-- What people found out, taken over by the worker.

CREATE OR REPLACE FUNCTION smsflow.send_again(message_ids bigint[], before smsflow.message_status[], sent boolean[]) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
	-- Not behind the queue's cursor over its timers, or nobody would find it.
	INSERT INTO smsflow.timer (message_id, due_at, queue_id, attempt, reason)
	SELECT o.message_id, greatest(clock_timestamp(), c.to_due), o.queue_id,
		1 + greatest((SELECT max(a.attempt) FROM smsflow.attempt a WHERE a.message_id = o.message_id),
			(SELECT max(t.attempt) FROM smsflow.timer t WHERE t.message_id = o.message_id)), 'resend'
	FROM smsflow.outbox o
	LEFT JOIN LATERAL (SELECT d.to_due FROM smsflow.claim d WHERE d.queue_id = o.queue_id ORDER BY d.claim_id DESC LIMIT 1) c ON true
	WHERE o.message_id = ANY ($1);
	SELECT smsflow.count_reports('{}', $1, $2, $3);
$$;
COMMENT ON FUNCTION smsflow.send_again(bigint[], smsflow.message_status[], boolean[]) IS 'Makes messages due again at once and moves the counters, given status and sent as they are before; for the worker only';
REVOKE ALL ON FUNCTION smsflow.send_again(bigint[], smsflow.message_status[], boolean[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.apply_resolutions(slice integer) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
	ours CONSTANT bigint[] := ARRAY(SELECT r.resolution_id FROM smsflow.resolution r
		WHERE r.applied_at IS NULL ORDER BY r.resolution_id LIMIT slice);
	ids bigint[];
	outcomes smsflow.message_status[];
	again bigint[];
	before smsflow.message_status[];
BEGIN
	-- The newest word about a message counts, if nothing else has settled it meanwhile.
	SELECT array_agg(x.message_id) FILTER (WHERE x.outcome <> 'not_sent'),
		array_agg(x.outcome::smsflow.message_status) FILTER (WHERE x.outcome <> 'not_sent'),
		array_agg(x.message_id) FILTER (WHERE x.outcome = 'not_sent'),
		array_agg(f.status) FILTER (WHERE x.outcome = 'not_sent')
	INTO ids, outcomes, again, before
	FROM (SELECT DISTINCT ON (r.message_id) r.message_id, r.outcome FROM smsflow.resolution r
		WHERE r.resolution_id = ANY (ours) ORDER BY r.message_id, r.resolution_id DESC) x
	JOIN smsflow.message_fold(ARRAY(SELECT r.message_id FROM smsflow.resolution r WHERE r.resolution_id = ANY (ours))) f
		USING (message_id)
	WHERE f.status = 'in_doubt' OR (f.status = 'unknown' AND x.outcome = 'delivered');
	UPDATE smsflow.resolution SET applied_at = clock_timestamp() WHERE resolution_id = ANY (ours);
	IF ids IS NOT NULL THEN
		PERFORM smsflow.report_ourselves(ids, outcomes, 'found out by a person');
	END IF;
	IF again IS NOT NULL THEN
		PERFORM smsflow.send_again(again, before, array_fill(false, ARRAY[cardinality(again)]));
	END IF;
	RETURN again IS NOT NULL;
END
$$;
COMMENT ON FUNCTION smsflow.apply_resolutions(integer) IS 'Takes over what people said by resolve_in_doubt(), at most so many at a time; true when messages are due again';
REVOKE ALL ON FUNCTION smsflow.apply_resolutions(integer) FROM PUBLIC;

-- The end of waiting. A message is looked at when it is an hour old, in the order
-- of ids; what has no report then is listed with the instant at which it becomes
-- unknown. An id below the mark may still be uncommitted, so the mark stays behind
-- the oldest transaction, and stands still while one is prepared.

CREATE OR REPLACE FUNCTION smsflow.list_unsettled(slice integer) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
	ids bigint[];
	mark CONSTANT timestamptz := least(now(), (SELECT min(a.xact_start) FROM pg_stat_activity a
		WHERE a.datname = current_database() AND a.pid <> pg_backend_pid())) - interval '1 hour';
BEGIN
	IF EXISTS (SELECT FROM pg_prepared_xacts p WHERE p.database = current_database()) THEN
		RETURN 0;
	END IF;
	SELECT array_agg(w.message_id) INTO ids
	FROM (SELECT o.message_id, o.created_at FROM smsflow.outbox o
		WHERE o.message_id > (SELECT t.cursor_id FROM smsflow.tail t WHERE t.name = 'unsettled')
		ORDER BY o.message_id LIMIT slice) w
	WHERE w.created_at < mark;
	IF ids IS NULL THEN
		RETURN 0;
	END IF;
	IF nullif(current_setting('smsflow.public_url', true), '') IS NOT NULL THEN
		INSERT INTO smsflow.unsettled (message_id, due_at, in_doubt)
		SELECT f.message_id, o.expires_at + interval '1 hour', false
		FROM smsflow.message_fold(ids) f JOIN smsflow.outbox o ON o.message_id = f.message_id AND o.message_id = ANY (ids)
		WHERE f.status IN ('scheduled', 'queued', 'held', 'sending', 'accepted');
		PERFORM smsflow.plan_lookups(ARRAY(SELECT f.message_id FROM smsflow.message_fold(ids) f WHERE f.status = 'accepted'), interval '0');
	END IF;
	UPDATE smsflow.tail SET cursor_id = ids[cardinality(ids)] WHERE name = 'unsettled';
	RETURN cardinality(ids);
END
$$;
COMMENT ON FUNCTION smsflow.list_unsettled(integer) IS 'Looks at the next messages that are an hour old, at most so many, and lists those without a report, where smsflow.public_url asks for reports, to be asked about at gateways that can be asked; returns how many it looked at';
REVOKE ALL ON FUNCTION smsflow.list_unsettled(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.settle_unanswered(slice integer) RETURNS timestamptz
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
	ids bigint[];
	silent bigint[];
	looked integer := smsflow.list_unsettled(slice);
BEGIN
	WITH due AS (
		DELETE FROM smsflow.unsettled WHERE ctid = ANY (ARRAY(SELECT u.ctid FROM smsflow.unsettled u
			WHERE u.due_at <= now() ORDER BY u.due_at LIMIT slice))
		RETURNING message_id
	)
	SELECT array_agg(DISTINCT due.message_id) INTO ids FROM due;

	-- What still waits to be sent, as behind a worker that stands still, is looked at again later.
	INSERT INTO smsflow.unsettled (message_id, due_at, in_doubt)
	SELECT f.message_id, now() + interval '10 minutes', false FROM smsflow.message_fold(ids) f
	WHERE f.status IN ('scheduled', 'queued', 'held', 'sending');

	SELECT array_agg(f.message_id) INTO silent FROM smsflow.message_fold(ids) f WHERE f.status IN ('accepted', 'in_doubt');
	IF silent IS NOT NULL THEN
		PERFORM smsflow.report_ourselves(silent, array_fill('unknown'::smsflow.message_status, ARRAY[cardinality(silent)]), 'no report');
	END IF;
	RETURN CASE WHEN looked = slice OR cardinality(ids) = slice THEN now()
		ELSE (SELECT min(u.due_at) FROM smsflow.unsettled u) END;
END
$$;
COMMENT ON FUNCTION smsflow.settle_unanswered(integer) IS 'Ends the waiting for reports: what is accepted or in doubt an hour after its validity becomes unknown, at most so many at a time; returns when to call it again';
REVOKE ALL ON FUNCTION smsflow.settle_unanswered(integer) FROM PUBLIC;
