-- Everything that happened to a message, and what it waits for now: its rows, and what the worker knows of its route. Whoever
-- asks about one message asks about others: plans over the segments of a store take longer than their answers, and are kept.

-- Of one message the route: its queue, the number and the gateway it leaves by, and how they are doing.
CREATE OR REPLACE FUNCTION smsflow.waits_for_route(message_id bigint) RETURNS SETOF text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	WITH route AS MATERIALIZED (
		SELECT o.parts, q.lane, s.sender_id, s.address, s.enabled, s.rate, s.burst, s.reset_zone, g.gateway_id, g.name, g.enabled AS gateway_enabled,
			g.rate AS gateway_rate, g.burst AS gateway_burst, g.max_in_flight
		FROM smsflow.outbox o JOIN smsflow.queue q USING (queue_id)
		LEFT JOIN smsflow.sender s ON s.sender_id = q.sender_id LEFT JOIN smsflow.gateway g USING (gateway_id)
		WHERE o.message_id = $1),
	now_of AS MATERIALIZED (
		SELECT r.*, t.breaker, t.paused_for, t.open_until, t.tokens, t.used_today, t.daily_limit,
			CASE WHEN r.lane > 0 THEN smsflow.kept_of_day(t.daily_limit) ELSE 0 END AS kept, w.breaker AS gateway_breaker, w.failures,
			w.open_until AS gateway_open_until, w.tokens AS gateway_tokens, w.in_flight
		FROM route r LEFT JOIN smsflow.sender_state() t USING (sender_id) LEFT JOIN smsflow.gateway_state() w USING (gateway_id))
	SELECT 'there is no number to send it from: see smsflow.add_sender()' FROM route
	WHERE sender_id IS NULL AND NOT EXISTS (SELECT FROM smsflow.sender s JOIN smsflow.gateway g USING (gateway_id) WHERE s.enabled AND g.enabled)
	UNION ALL
	SELECT format('sender "%s" is switched off', address) FROM route WHERE NOT enabled
	UNION ALL
	SELECT format('gateway "%s" is switched off', name) FROM route WHERE NOT gateway_enabled
	UNION ALL
	SELECT format('gateway "%s": %s', name, problem) FROM (
		SELECT name, CASE WHEN name IS NOT NULL THEN smsflow.secret_problem(name) END AS problem FROM route) secret WHERE problem IS NOT NULL
	UNION ALL
	SELECT format('sender "%s" of gateway "%s" is paused%s: %s', address, name, ' until ' || open_until::timestamptz(0), CASE paused_for
		WHEN 'throttled' THEN 'the gateway has asked to wait' WHEN 'secret_missing' THEN 'it has no secret' ELSE 'the gateway refuses it' END)
	FROM now_of WHERE breaker IN ('open', 'half_open')
	UNION ALL
	SELECT format('gateway "%s" does not work, %s failures in a row%s', name, failures, '; the next try is at ' || gateway_open_until::timestamptz(0))
	FROM now_of WHERE gateway_breaker IN ('open', 'half_open')
	UNION ALL
	SELECT format('all %s requests that gateway "%s" may have at once are on the wire', max_in_flight, name) FROM now_of WHERE in_flight >= max_in_flight
	UNION ALL
	SELECT format('sender "%s" has used its %s parts of the day%s; the next begins at %s', address, daily_limit,
		CASE WHEN used_today + parts <= daily_limit THEN ' but those kept for codes and confirmations' END, smsflow.day_ends(reset_zone, now())::timestamptz(0))
	FROM now_of WHERE used_today + parts > daily_limit - kept
	UNION ALL
	SELECT format('sender "%s" has no tokens left: its rate is %s a second', address, rate) FROM now_of
	WHERE tokens < least(parts, burst) AND breaker NOT IN ('open', 'half_open')
	UNION ALL
	SELECT format('gateway "%s" has no tokens left: its rate is %s a second', name, gateway_rate) FROM now_of WHERE gateway_tokens < least(parts, gateway_burst);
END $$;
COMMENT ON FUNCTION smsflow.waits_for_route(bigint) IS 'What keeps the number and the gateway of a message from sending it now, in words; no row: nothing, or no worker shows them';
REVOKE ALL ON FUNCTION smsflow.waits_for_route(bigint) FROM PUBLIC;

-- Of a registration it is known what was handed out of its day, which runs a hundredth ahead of what was used.
CREATE OR REPLACE FUNCTION smsflow.waits_for_limit(message_id bigint) RETURNS SETOF text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	WITH own AS (
		SELECT r.registration_id, r.parent_id FROM smsflow.outbox o JOIN smsflow.queue q USING (queue_id)
		LEFT JOIN smsflow.sender s ON s.sender_id = q.sender_id
		JOIN smsflow.registration r ON r.name = s.registration OR r.brand_id = o.brand_id
		WHERE o.message_id = $1),
	registration AS (
		SELECT r.*, (SELECT q.parts FROM smsflow.quota q WHERE q.scope = 'registration' AND q.scope_id = r.registration_id
				AND q.day = smsflow.local_day(r.reset_zone, now()) ORDER BY q.quota_id DESC LIMIT 1) AS given
		FROM smsflow.registration r WHERE EXISTS (SELECT FROM own WHERE r.registration_id IN (own.registration_id, own.parent_id)))
	SELECT format('of its %s parts of the day registration "%s" has handed out %s; the next day begins at %s', r.daily_limit, r.name, r.given,
		smsflow.day_ends(r.reset_zone, now())::timestamptz(0))
	FROM registration r, smsflow.outbox o JOIN smsflow.queue q USING (queue_id)
	WHERE o.message_id = $1 AND r.given + o.parts > r.daily_limit - CASE WHEN q.lane > 0 THEN smsflow.kept_of_day(r.daily_limit) ELSE 0 END
	UNION ALL
	SELECT format('registration "%s" sends %s parts a minute', r.name, r.parts_per_minute) FROM registration r WHERE r.parts_per_minute IS NOT NULL
	UNION ALL
	SELECT format('campaign "%s" sends %s parts a minute', k.name, k.options ->> 'parts_per_minute')
	FROM smsflow.outbox o JOIN smsflow.campaign k USING (campaign_id) WHERE o.message_id = $1 AND k.options ? 'parts_per_minute';
END $$;
COMMENT ON FUNCTION smsflow.waits_for_limit(bigint) IS 'Limits of registrations and campaigns that hold for a message: a day''s where it is used up, the others whether or not';
REVOKE ALL ON FUNCTION smsflow.waits_for_limit(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.waits_for(message_id bigint) RETURNS SETOF text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
	asked record;
BEGIN
	SELECT o.queue_id, o.campaign_id, o.expires_at, o.purpose, m.status, m.attempts > 0 OR m.due_at IS NOT NULL AS has_timer INTO asked
	FROM smsflow.message m JOIN smsflow.outbox o USING (message_id)
	WHERE m.message_id = $1 AND m.status IN ('scheduled', 'queued', 'held', 'sending');
	IF NOT FOUND THEN
		RETURN;
	END IF;
	RETURN QUERY
	SELECT 'an answer, or its turn: a worker has taken it' WHERE asked.status = 'sending'
	UNION ALL
	SELECT 'its time was over at ' || asked.expires_at::timestamptz(0) || ': it will not be sent' WHERE asked.expires_at <= now() AND asked.status <> 'sending'
	UNION ALL
	SELECT h.component || ': ' || h.message FROM smsflow.queue q, smsflow.health_of_worker() h
	WHERE q.queue_id = asked.queue_id AND NOT h.ok AND h.component = 'worker' || COALESCE(' ' || NULLIF(q.shard
		% greatest((SELECT count(*) FROM smsflow.worker_state()), 1), 0), '')
	UNION ALL
	SELECT h.component || ': ' || h.message FROM smsflow.health_of_copy() h
	WHERE NOT h.ok AND (h.component <> 'promotion' OR asked.purpose IN ('cart', 'promotional'))
	UNION ALL
	SELECT format('campaign "%s" is paused', k.name) FROM smsflow.campaign k WHERE k.campaign_id = asked.campaign_id AND k.status = 'paused'
	UNION ALL
	SELECT w FROM smsflow.waits_for_route($1) w
	UNION ALL
	SELECT w FROM smsflow.waits_for_limit($1) w
	UNION ALL
	SELECT format('messages of its queue before it: %s%s', CASE WHEN n = 10000 THEN 'at least ' END, n) FROM (
		SELECT count(*) AS n FROM (SELECT FROM smsflow.outbox o WHERE o.queue_id = asked.queue_id AND o.message_id < $1
			AND o.message_id > COALESCE((SELECT c.cursor_id FROM smsflow.claim c WHERE c.queue_id = asked.queue_id ORDER BY c.claim_id DESC LIMIT 1), 0)
			AND NOT asked.has_timer AND asked.status <> 'sending' LIMIT 10000) x) before WHERE n > 0;
END $$;
COMMENT ON FUNCTION smsflow.waits_for(bigint) IS 'What a message without an answer waits for besides its time and the gate, in words: the worker, its campaign, its number, gateway and limits, and how many come before it (10,000 are counted). No row when it does not wait. What a worker knows is at most a quarter of a second old';
REVOKE ALL ON FUNCTION smsflow.waits_for(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.gate_says(message_id bigint) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, smsflow, pg_temp SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
	RETURN (SELECT 'the gate says: ' || smsflow.refusal_words(g.reason, g.retry_at) FROM smsflow.gated g
		WHERE g.message_id = $1 AND g.reason IS NOT NULL AND g.reason <> 'not_due');
END $$;
COMMENT ON FUNCTION smsflow.gate_says(bigint) IS 'Why the gate would not let a message leave now, in words, but for its time; NULL: it would';
REVOKE ALL ON FUNCTION smsflow.gate_says(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.explain(message_id bigint) RETURNS TABLE (at timestamptz, what text, detail text)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, smsflow, pg_temp SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
	asked smsflow.outbox;
	present record;
BEGIN
	SELECT * INTO asked FROM smsflow.outbox o WHERE o.message_id = $1;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	SELECT m.status, m.reason INTO present FROM smsflow.message m WHERE m.message_id = $1;
	RETURN QUERY
	SELECT e.at, e.what, e.detail FROM (
		SELECT asked.created_at, 'asked for', concat_ws(', ', asked.purpose::text, 'campaign ' || (SELECT k.name FROM smsflow.campaign k WHERE k.campaign_id = asked.campaign_id),
				'sequence ' || (SELECT s.name FROM smsflow.sequence s WHERE s.sequence_id = asked.sequence_id) || ' step ' || asked.step,
				asked.parts || CASE WHEN asked.parts = 1 THEN ' part' ELSE ' parts' END, 'due ' || asked.due_at::text, 'expires ' || asked.expires_at::text), 0, 0::bigint
		UNION ALL
		SELECT c.recorded_at, 'consent: ' || c.kind, concat_ws(', ', array_to_string(c.purposes::text[], ' '), c.level::text, c.source, c.words), 1, c.consent_event_id
		FROM smsflow.consent_event c WHERE c.contact_id = asked.contact_id AND asked.purpose = ANY (c.purposes)
		UNION ALL
		SELECT asked.created_at, 'permitted', concat_ws(', ', 'by consent entry ' || asked.consent_event_id, p.kind, p.level::text, p.source,
				'disclosure ' || p.disclosure_version), 2, 0
		FROM smsflow.consent_event p WHERE p.consent_event_id = asked.consent_event_id AND asked.refusal IS NULL
		UNION ALL
		SELECT asked.created_at, 'refused', concat_ws(': ', asked.refusal, NULLIF(smsflow.refusal_words(asked.refusal, NULL), replace(asked.refusal, '_', ' '))), 2, 0
		WHERE asked.refusal IS NOT NULL
		UNION ALL
		SELECT t.created_at, 'waits until ' || t.due_at::text, concat_ws(': ', t.reason, NULLIF(smsflow.refusal_words(t.reason, NULL), replace(t.reason, '_', ' '))), 3, t.timer_id
		FROM smsflow.timer t WHERE t.message_id = $1
		UNION ALL
		SELECT r.revoked_at, 'cancelled', r.reason, 4, r.revocation_id
		FROM smsflow.revocation r WHERE r.kind = 'message' AND r.target_id = $1
		UNION ALL
		SELECT a.finished_at, 'attempt ' || a.attempt || ': ' || a.outcome, concat_ws(', ', a.reason, 'on the wire: ' || a.wire, 'HTTP ' || a.http_status,
				a.class, a.code, 'provider id ' || a.provider_id, 'from ' || sn.address), 5, a.attempt
		FROM smsflow.attempt a LEFT JOIN smsflow.sender sn USING (sender_id) WHERE a.message_id = $1
		UNION ALL
		SELECT r.received_at, 'report: ' || r.status, concat_ws(', ', r.class, r.code), 6, r.callback_id
		FROM smsflow.report r WHERE r.message_id = $1
		UNION ALL
		SELECT now(), 'status now: ' || present.status, concat_ws('; ', present.reason,
				CASE WHEN present.status IN ('scheduled', 'queued', 'held') THEN smsflow.gate_says($1) END), 7, 0
		UNION ALL
		SELECT now(), 'waits for', w.cause, 8, w.n FROM smsflow.waits_for($1) WITH ORDINALITY AS w (cause, n)
		WHERE present.status IN ('scheduled', 'queued', 'held', 'sending')
	) AS e (at, what, detail, kind, seq)
	ORDER BY e.at, e.kind, e.seq;
END $$;
COMMENT ON FUNCTION smsflow.explain(bigint) IS 'Everything that happened to a message and why, in order, and what it waits for now; no row when there is no such message';
REVOKE ALL ON FUNCTION smsflow.explain(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.explain(campaign text, phone text) RETURNS TABLE (at timestamptz, what text, detail text)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, smsflow, pg_temp
BEGIN ATOMIC
	WITH asked AS (
		SELECT k.campaign_id, k.status, k.error, k.launch_at, k.created_at, k.expanded, k.cursor_contact_id, c.contact_id,
			(SELECT o.message_id FROM smsflow.outbox o WHERE o.campaign_id = k.campaign_id AND o.contact_id = c.contact_id LIMIT 1) AS message_id
		FROM smsflow.campaign k
		LEFT JOIN smsflow.contact c ON c.brand_id = k.brand_id AND c.phone = explain.phone::smsflow.phone
		WHERE k.name = explain.campaign)
	SELECT e.at, e.what, e.detail FROM asked a CROSS JOIN LATERAL smsflow.explain(a.message_id) e
	UNION ALL
	SELECT a.created_at, 'no message', CASE
		WHEN a.contact_id IS NULL THEN 'this number is not a contact of the brand'
		WHEN a.status IN ('draft', 'scheduled') THEN 'the campaign is ' || a.status
		WHEN a.status = 'failed' THEN 'the campaign failed: ' || a.error
		WHEN NOT a.expanded AND a.contact_id > a.cursor_contact_id THEN 'the campaign has not come to this contact yet'
		ELSE 'the contact was not in the segment when the campaign ran' END
	FROM asked a WHERE a.message_id IS NULL;
END;
COMMENT ON FUNCTION smsflow.explain(text, text) IS 'Why this person did, or did not, get a campaign''s message; no row when there is no such campaign. Errors: SF001';
REVOKE ALL ON FUNCTION smsflow.explain(text, text) FROM PUBLIC;
