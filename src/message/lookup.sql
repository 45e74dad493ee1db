-- Asking gateways what became of a message: one in doubt, or one that was
-- accepted and of which no report comes. The worker makes the requests; what is
-- asked, and what an answer means, is decided here, by the profile.

CREATE OR REPLACE FUNCTION smsflow.plan_lookups(message_ids bigint[], after interval) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
	INSERT INTO smsflow.lookup AS l (message_id, gateway_id, due_at, until)
	SELECT o.message_id, g.gateway_id, clock_timestamp() + plan_lookups.after, o.expires_at + interval '1 hour'
	FROM smsflow.outbox o
	CROSS JOIN LATERAL (SELECT a.sender_id, a.outcome, a.provider_id FROM smsflow.attempt a
		WHERE a.message_id = o.message_id AND a.started_at IS NOT NULL ORDER BY a.attempt DESC, a.recorded_at DESC LIMIT 1) a
	JOIN smsflow.sender s ON s.sender_id = a.sender_id
	JOIN smsflow.gateway g ON g.gateway_id = s.gateway_id
	JOIN smsflow.gateway_profile p ON p.profile = g.profile
	WHERE o.message_id = ANY (plan_lookups.message_ids)
		AND (p.lookup ? 'by_reference' OR (p.lookup ? 'by_id' AND a.provider_id IS NOT NULL))
		AND (a.outcome <> 'in_doubt' OR COALESCE(g.options ->> 'in_doubt', p.in_doubt) <> 'hold')
	ON CONFLICT (message_id) DO UPDATE SET gateway_id = excluded.gateway_id, due_at = excluded.due_at, tries = 0, finding = NULL
$$;
COMMENT ON FUNCTION smsflow.plan_lookups(bigint[], interval) IS 'Has the worker ask about messages after so long, where their gateway can be asked; those in doubt not where its rule is hold';
REVOKE ALL ON FUNCTION smsflow.plan_lookups(bigint[], interval) FROM PUBLIC;

-- An id that came in a report will do as well as one of the answer.
CREATE OR REPLACE FUNCTION smsflow.lookup_try(message_id bigint)
	RETURNS TABLE (sender_id integer, attempt smallint, provider_id text, finished_at timestamptz)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
	SELECT a.sender_id, a.attempt, COALESCE(a.provider_id, (SELECT max(r.provider_id) FROM smsflow.report r
		WHERE r.message_id = a.message_id AND r.attempt = a.attempt)), a.finished_at
	FROM smsflow.attempt a WHERE a.message_id = lookup_try.message_id AND a.started_at IS NOT NULL
	ORDER BY a.attempt DESC, a.recorded_at DESC LIMIT 1
$$;
COMMENT ON FUNCTION smsflow.lookup_try(bigint) IS 'Newest try of a message that may have reached its gateway, and the id it has there';
REVOKE ALL ON FUNCTION smsflow.lookup_try(bigint) FROM PUBLIC;

-- Each row that is taken is due again later, by a back-off, before its request is made.
CREATE OR REPLACE FUNCTION smsflow.take_lookups(slice integer, per_gateway integer)
	RETURNS TABLE (message_id bigint, sender_id integer, attempt integer, recipient text, provider_id text, url text)
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
	DELETE FROM smsflow.lookup l WHERE l.due_at <= clock_timestamp() AND l.until <= clock_timestamp();
	WITH due AS MATERIALIZED (
		SELECT d.message_id FROM (SELECT l.message_id, l.due_at, row_number() OVER (PARTITION BY l.gateway_id ORDER BY l.due_at) AS n
			FROM (SELECT * FROM smsflow.lookup x WHERE x.due_at <= clock_timestamp() ORDER BY x.due_at LIMIT 1000) l
			JOIN smsflow.gateway g ON g.gateway_id = l.gateway_id AND g.enabled) d
		WHERE d.n <= take_lookups.per_gateway ORDER BY d.due_at LIMIT take_lookups.slice),
	taken AS (
		UPDATE smsflow.lookup l SET tries = l.tries + 1,
			due_at = clock_timestamp() + LEAST(interval '5 seconds' * power(2, LEAST(l.tries, 12)), interval '1 hour')
		FROM due WHERE l.message_id = due.message_id RETURNING l.message_id, l.gateway_id)
	SELECT t.message_id, a.sender_id, a.attempt::integer, o.recipient::text, a.provider_id,
		COALESCE(CASE WHEN a.provider_id IS NOT NULL THEN p.lookup -> 'by_id' END, p.lookup -> 'by_reference') ->> 'url'
	FROM taken t
	JOIN smsflow.outbox o ON o.message_id = t.message_id
	JOIN smsflow.gateway g ON g.gateway_id = t.gateway_id
	JOIN smsflow.gateway_profile p ON p.profile = g.profile
	CROSS JOIN LATERAL (SELECT x.sender_id, x.attempt, x.provider_id FROM smsflow.lookup_try(t.message_id) x) a
$$;
COMMENT ON FUNCTION smsflow.take_lookups(integer, integer) IS 'What to ask now, at most so many in all and of one gateway, and forgets what is asked no more. The url is a template that follows the base URL';
REVOKE ALL ON FUNCTION smsflow.take_lookups(integer, integer) FROM PUBLIC;

-- An answer may hold several records. Where only the text tells which is meant, one whose id is known as that of
-- another message to the same person is that other message.
CREATE OR REPLACE FUNCTION smsflow.lookup_record(message_id bigint, attempt smallint, request jsonb, id_path text, answer jsonb) RETURNS jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
	SELECT r.record
	FROM smsflow.outbox o
	CROSS JOIN LATERAL (SELECT answer #> string_to_array(request ->> 'records', '.') AS found) f
	CROSS JOIN LATERAL jsonb_array_elements(CASE WHEN NOT request ? 'records' THEN jsonb_build_array(answer)
		WHEN jsonb_typeof(f.found) = 'array' THEN f.found WHEN jsonb_typeof(f.found) = 'object' THEN jsonb_build_array(f.found)
		ELSE '[]' END) AS r (record)
	WHERE o.message_id = lookup_record.message_id AND jsonb_typeof(r.record) = 'object'
		AND NOT EXISTS (SELECT FROM jsonb_each_text(COALESCE(request -> 'match', '{}')) m (path, variable)
			WHERE smsflow.field(r.record, m.path) IS DISTINCT FROM CASE m.variable WHEN 'body' THEN o.body WHEN 'to' THEN o.recipient::text
				WHEN 'to_digits' THEN ltrim(o.recipient::text, '+') WHEN 'reference' THEN concat(o.message_id, '.', lookup_record.attempt) END)
		AND (NOT 'body' = ANY (ARRAY(SELECT jsonb_each_text.value FROM jsonb_each_text(COALESCE(request -> 'match', '{}'))))
			OR (o.contact_id IS NOT NULL AND NOT EXISTS (SELECT FROM smsflow.touched t
				LEFT JOIN smsflow.attempt a ON a.message_id = t.message_id LEFT JOIN smsflow.report e ON e.message_id = t.message_id
				WHERE t.contact_id = o.contact_id AND t.span = o.contact_id >> 6 AND t.message_id <> o.message_id
					AND smsflow.short_id(smsflow.field(r.record, id_path)) IN (a.provider_id, e.provider_id))))
	LIMIT 1
$$;
COMMENT ON FUNCTION smsflow.lookup_record(bigint, smallint, jsonb, text, jsonb) IS 'Record about a message in the answer to a look-up, as the request of its profile lays it out; NULL: there is none';
REVOKE ALL ON FUNCTION smsflow.lookup_record(bigint, smallint, jsonb, text, jsonb) FROM PUBLIC;

-- What is missing was not sent when the gateway has had the time to show it. Marketing waits for a person then: it
-- may have been on the wire, and is never there twice.
CREATE OR REPLACE FUNCTION smsflow.resend_missing(message_id bigint) RETURNS boolean
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM smsflow.message_fold(ARRAY[$1]) f CROSS JOIN smsflow.lookup_try($1) a
			JOIN smsflow.sender s ON s.sender_id = a.sender_id JOIN smsflow.gateway g ON g.gateway_id = s.gateway_id
			JOIN smsflow.gateway_profile p ON p.profile = g.profile JOIN smsflow.outbox o ON o.message_id = $1
			WHERE f.status = 'in_doubt' AND o.purpose IN ('compliance', 'transactional') AND COALESCE(g.options ->> 'in_doubt', p.in_doubt) = 'poll'
				AND o.expires_at > clock_timestamp() AND a.attempt < 12
				AND a.finished_at + interval '1 second' * COALESCE((p.lookup ->> 'patience')::float8, 30) <= clock_timestamp()) THEN
		RETURN false;
	END IF;
	PERFORM smsflow.send_again(ARRAY[$1], ARRAY['in_doubt'::smsflow.message_status], ARRAY[false]);
	DELETE FROM smsflow.lookup l WHERE l.message_id = $1;
	RETURN true;
END
$$;
COMMENT ON FUNCTION smsflow.resend_missing(bigint) IS 'Makes a message in doubt due again that its gateway does not have, where its rule is poll and its purpose allows it; true when it is. At most 12 tries, and not after its validity';
REVOKE ALL ON FUNCTION smsflow.resend_missing(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.record_lookup(message_id bigint, http_status integer, retry_after bigint, answer jsonb) RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
	route integer;
	rules jsonb;
	try record;
	request jsonb;
	found jsonb;
	said text := 'unclear';
BEGIN
	SELECT g.gateway_id, p.lookup || jsonb_build_object('id_path', COALESCE(p.lookup -> 'report', p.report) ->> 'provider_id')
	INTO route, rules
	FROM smsflow.lookup l JOIN smsflow.gateway g ON g.gateway_id = l.gateway_id JOIN smsflow.gateway_profile p ON p.profile = g.profile
	WHERE l.message_id = $1;
	IF rules IS NULL OR NOT EXISTS (SELECT FROM smsflow.message_fold(ARRAY[$1]) f WHERE f.status IN ('in_doubt', 'accepted')) THEN
		DELETE FROM smsflow.lookup l WHERE l.message_id = $1;
		RETURN 'settled';
	END IF;
	SELECT * INTO try FROM smsflow.lookup_try($1);
	request := COALESCE(CASE WHEN try.provider_id IS NOT NULL THEN rules -> 'by_id' END, rules -> 'by_reference');
	IF http_status BETWEEN 200 AND 299 AND answer IS NOT NULL THEN
		found := smsflow.lookup_record($1, try.attempt, request, rules ->> 'id_path', answer);
		said := CASE WHEN found IS NULL THEN 'missing' ELSE 'found' END;
	ELSIF http_status = 404 AND try.provider_id IS NULL THEN
		said := 'missing';
	ELSIF http_status = 429 THEN
		UPDATE smsflow.lookup l SET due_at = GREATEST(l.due_at, clock_timestamp() + interval '1 second' * LEAST(GREATEST(retry_after, 10), 3600))
		WHERE l.gateway_id = route;
	END IF;
	UPDATE smsflow.lookup l SET finding = said, looked_at = clock_timestamp() WHERE l.message_id = $1;
	IF found IS NOT NULL THEN
		INSERT INTO smsflow.callback (gateway_id, message_id, attempt, fields, looked_up) VALUES (route, $1, try.attempt, found, true);
	ELSIF said = 'missing' AND smsflow.resend_missing($1) THEN
		RETURN 'again';
	END IF;
	RETURN said;
END
$$;
COMMENT ON FUNCTION smsflow.record_lookup(bigint, integer, bigint, jsonb) IS 'Takes the answer to a look-up: HTTP status (0: none came), seconds it asks to wait (-1: none) and its JSON (NULL: it is none). Returns found (kept as a report is), missing, unclear, again (it is due to be sent again), or settled (nobody needs it any more)';
REVOKE ALL ON FUNCTION smsflow.record_lookup(bigint, integer, bigint, jsonb) FROM PUBLIC;
