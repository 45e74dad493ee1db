-- Whether every promise is kept, as far as tables can prove it: the invariants,
-- one function each, and check(), which counts their violations. It is the
-- DBA's oracle in production and the test suite's after every fault.

-- Each function returns one line per violation and nothing when the promise is
-- kept. They read tables, never what the worker believes, so that they can judge
-- the worker.

-- A queue's claims of new messages, and those of timers, follow one another
-- without overlap. The claim of each row is therefore the next one at or above
-- it, found for all rows in one sort; only what that claim did not see, because
-- it was committed late, is looked for among all claims of the queue.
CREATE OR REPLACE VIEW smsflow.attempt_claim AS
	WITH next_new AS (
		SELECT * FROM (
			SELECT message_id, min(claim_id) OVER (PARTITION BY queue_id ORDER BY id DESC, message_id IS NOT NULL
				ROWS UNBOUNDED PRECEDING) AS claim_id
			FROM (
				SELECT queue_id, message_id AS id, message_id, NULL::bigint AS claim_id FROM smsflow.outbox WHERE queue_id <> 0
				UNION ALL
				SELECT queue_id, to_id, NULL, claim_id FROM smsflow.claim WHERE kind = 'new'
			) AS points
		) AS found
		WHERE message_id IS NOT NULL
	), next_timer AS (
		SELECT * FROM (
			SELECT timer_id, min(claim_id) OVER (PARTITION BY queue_id ORDER BY due_at DESC, id DESC, timer_id IS NOT NULL
				ROWS UNBOUNDED PRECEDING) AS claim_id
			FROM (
				SELECT queue_id, due_at, timer_id AS id, timer_id, NULL::bigint AS claim_id FROM smsflow.timer
				UNION ALL
				SELECT queue_id, to_due, to_timer_id, NULL, claim_id FROM smsflow.claim WHERE kind = 'timer'
			) AS points
		) AS found
		WHERE timer_id IS NOT NULL
	), tried AS (
		SELECT a.message_id, a.attempt, a.wire, a.outcome, o.purpose, o.contact_id, o.queue_id, o.xid,
			(SELECT max(t.timer_id) FROM smsflow.timer t WHERE t.message_id = a.message_id AND t.attempt = a.attempt
				AND t.created_at <= coalesce(a.started_at, a.finished_at)) AS timer_id
		FROM smsflow.attempt a JOIN smsflow.outbox o USING (message_id)
		WHERE a.wire <> 'none'
	)
	SELECT a.message_id, a.attempt, a.outcome, a.purpose, a.contact_id,
		coalesce(c.claim_id, late.claim_id) AS claim_id, coalesce(c.snapshot, late.snapshot) AS snapshot
	FROM tried a
	LEFT JOIN next_new n ON n.message_id = a.message_id AND a.timer_id IS NULL
	LEFT JOIN next_timer t USING (timer_id)
	LEFT JOIN smsflow.claim c ON c.claim_id = coalesce(t.claim_id, n.claim_id)
		AND (a.timer_id IS NOT NULL OR (a.message_id > c.from_id AND pg_visible_in_snapshot(a.xid, c.snapshot)))
	LEFT JOIN LATERAL (
		SELECT l.claim_id, l.snapshot
		FROM smsflow.claim l
		WHERE c.claim_id IS NULL AND a.timer_id IS NULL AND l.queue_id = a.queue_id AND l.kind <> 'timer'
			AND a.message_id > l.from_id AND a.message_id <= l.to_id AND pg_visible_in_snapshot(a.xid, l.snapshot)
		ORDER BY l.claim_id LIMIT 1
	) late ON true;
COMMENT ON VIEW smsflow.attempt_claim IS 'Attempts that may have reached a gateway, and the claim each belongs to: the first that covers the message, or the timer that made it due again; claim_id NULL: none does';

CREATE OR REPLACE FUNCTION smsflow.check_stop_wins() RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('message %s attempt %s after revocation %s', a.message_id, a.attempt, r.consent_event_id)
	FROM smsflow.attempt_claim a
	JOIN smsflow.consent_event r ON r.contact_id = a.contact_id AND r.kind = 'revoke' AND a.purpose = ANY (r.purposes)
	WHERE a.purpose IN ('cart', 'promotional') AND pg_visible_in_snapshot(r.xid, a.snapshot)
		AND NOT EXISTS (
			SELECT FROM smsflow.consent_event g
			WHERE g.contact_id = a.contact_id AND g.kind <> 'revoke' AND a.purpose = ANY (g.purposes)
				AND g.occurred_at > r.occurred_at AND pg_visible_in_snapshot(g.xid, a.snapshot))
$$;
COMMENT ON FUNCTION smsflow.check_stop_wins() IS 'I1. Proves that no marketing message was put on the wire by a claim whose snapshot could see a revocation without a later grant';
REVOKE ALL ON FUNCTION smsflow.check_stop_wins() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_grant() RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('message %s attempt %s', a.message_id, a.attempt)
	FROM smsflow.attempt_claim a
	WHERE a.purpose IN ('cart', 'promotional') AND a.claim_id IS NOT NULL
		AND NOT EXISTS (
			SELECT FROM smsflow.consent_event g
			WHERE g.contact_id = a.contact_id AND g.kind <> 'revoke' AND a.purpose = ANY (g.purposes)
				AND pg_visible_in_snapshot(g.xid, a.snapshot))
	UNION ALL
	SELECT format('message %s has no proof that its recipient agreed', o.message_id)
	FROM smsflow.outbox o
	LEFT JOIN smsflow.consent_event g ON g.consent_event_id = o.consent_event_id AND g.contact_id = o.contact_id
		AND g.kind <> 'revoke' AND o.purpose = ANY (g.purposes)
	WHERE o.purpose IN ('cart', 'promotional') AND o.refusal IS NULL AND g.consent_event_id IS NULL
$$;
COMMENT ON FUNCTION smsflow.check_grant() IS 'I2. Proves that every marketing message on the wire had a grant of its purpose that its claim could see, and that every one not refused names the ledger entry that permitted it';
REVOKE ALL ON FUNCTION smsflow.check_grant() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_one_outcome() RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('message %s attempt %s: %s', message_id, attempt, string_agg(outcome::text, ', ' ORDER BY recorded_at))
	FROM smsflow.attempt
	WHERE outcome <> 'in_doubt'
	GROUP BY message_id, attempt
	HAVING count(*) > 1
$$;
COMMENT ON FUNCTION smsflow.check_one_outcome() IS 'I3. Proves that a try ends once: besides in_doubt it has at most one outcome';
REVOKE ALL ON FUNCTION smsflow.check_one_outcome() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_marketing_once() RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('message %s: %s tries', a.message_id, count(DISTINCT a.attempt))
	FROM smsflow.attempt a JOIN smsflow.outbox o USING (message_id)
	WHERE o.purpose IN ('cart', 'promotional') AND a.wire <> 'none'
		AND NOT (a.outcome = 'retry' AND a.http_status IS NOT NULL)		-- answered "not taken", such as 429
		AND NOT EXISTS (SELECT FROM smsflow.resolution r WHERE r.message_id = a.message_id AND r.attempt >= a.attempt
			AND r.outcome = 'not_sent')
	GROUP BY a.message_id
	HAVING count(DISTINCT a.attempt) > 1
$$;
COMMENT ON FUNCTION smsflow.check_marketing_once() IS 'I4. Proves that a marketing message was on the wire at most once; a try that the gateway answered with "not taken" does not count, nor one that a person found not to have been sent';
REVOKE ALL ON FUNCTION smsflow.check_marketing_once() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_doubt_listed() RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('message %s', a.message_id)
	FROM smsflow.attempt a JOIN smsflow.message_state m USING (message_id)
	WHERE a.outcome = 'in_doubt' AND m.status = 'in_doubt'
		AND NOT EXISTS (SELECT FROM smsflow.unsettled u WHERE u.message_id = a.message_id AND u.in_doubt)
	GROUP BY a.message_id
$$;
COMMENT ON FUNCTION smsflow.check_doubt_listed() IS 'Proves that every message in doubt is in the view in_doubt';
REVOKE ALL ON FUNCTION smsflow.check_doubt_listed() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_claimed() RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('message %s attempt %s', message_id, attempt)
	FROM smsflow.attempt_claim
	WHERE claim_id IS NULL
$$;
COMMENT ON FUNCTION smsflow.check_claimed() IS 'I5. Proves that every try that may have reached a gateway belongs to a claim, and so to a commit that was durable before the first byte left';
REVOKE ALL ON FUNCTION smsflow.check_claimed() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_progress() RETURNS SETOF text
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('message %s is %s, expired at %s', m.message_id, m.status, o.expires_at)
	FROM smsflow.outbox o
	JOIN smsflow.message_state m USING (message_id)
	JOIN smsflow.sender s ON s.sender_id = m.sender_id AND s.enabled
	JOIN smsflow.gateway g ON g.gateway_id = s.gateway_id AND g.enabled
	WHERE o.queue_id <> 0 AND o.expires_at < now() - interval '5 minutes'
		AND m.status IN ('scheduled', 'queued', 'held', 'sending')
		AND NOT EXISTS (SELECT FROM smsflow.campaign k WHERE k.campaign_id = o.campaign_id AND k.status = 'paused')
		AND (SELECT smsflow.is_armed())
		AND EXISTS (
			SELECT FROM smsflow.worker_state() w JOIN smsflow.worker_start b USING (generation)
			WHERE w.pid IS NOT NULL AND b.started_at < now() - interval '5 minutes')
$$;
COMMENT ON FUNCTION smsflow.check_progress() IS 'I6. Proves that nothing waits more than 5 minutes past its validity, where the worker has been running and armed that long and neither the campaign nor the sender is paused';
REVOKE ALL ON FUNCTION smsflow.check_progress() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_terminal_once() RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('message %s attempt %s after %s', later.message_id, later.attempt, earlier.outcome)
	FROM smsflow.attempt later
	JOIN smsflow.attempt earlier USING (message_id)
	WHERE later.attempt > earlier.attempt AND later.wire <> 'none'
		AND earlier.outcome IN ('accepted', 'rejected', 'suppressed', 'cancelled', 'expired')
$$;
COMMENT ON FUNCTION smsflow.check_terminal_once() IS 'I7. Proves that nothing is sent again after it was accepted or came to its end';
REVOKE ALL ON FUNCTION smsflow.check_terminal_once() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_metrics() RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('campaign %s sequence %s step %s variant %s: %s is %s, recount %s', campaign_id, sequence_id, step, variant, measure,
		coalesce(f.value, 0), coalesce(r.value, 0))
	FROM (
		SELECT campaign_id, sequence_id, step, variant, measure, currency, sum(value) AS value
		FROM smsflow.metric
		WHERE measure !~ '^(approved|failed:.*|delay:.*)$'
		GROUP BY 1, 2, 3, 4, 5, 6
	) f
	FULL JOIN smsflow.metric_recount r USING (campaign_id, sequence_id, step, variant, measure, currency)
	WHERE coalesce(f.value, 0) <> coalesce(r.value, 0)
	UNION ALL
	SELECT format('campaign %s sequence %s step %s variant %s: %s of all time is %s, by hours %s', campaign_id, sequence_id, step, variant,
		measure, coalesce(e.value, 0), coalesce(h.value, 0))
	FROM smsflow.metric_ever e
	FULL JOIN (
		SELECT campaign_id, sequence_id, step, variant, brand_id, purpose, measure, currency, country, sum(value) AS value
		FROM smsflow.metric_hour
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
	) h USING (campaign_id, sequence_id, step, variant, brand_id, purpose, measure, currency, country)
	WHERE coalesce(e.value, 0) <> coalesce(h.value, 0)
$$;
COMMENT ON FUNCTION smsflow.check_metrics() IS 'I8. Proves that every counter that can be counted again equals a recount from the messages, per campaign, sequence step, variant and currency, and that the totals equal the sum of the hours';
REVOKE ALL ON FUNCTION smsflow.check_metrics() FROM PUBLIC;

-- The contact is judged as it is now, so one that has changed since then is left out.
CREATE OR REPLACE FUNCTION smsflow.check_quiet_hours() RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('message %s attempt %s started at %s', a.message_id, a.attempt, a.started_at)
	FROM smsflow.attempt a
	JOIN smsflow.outbox o USING (message_id)
	JOIN smsflow.contact c ON c.contact_id = o.contact_id AND c.updated_at <= a.started_at
	WHERE a.wire <> 'none'
		AND smsflow.quiet_at(o.recipient, c.consent, o.purpose, c.region, c.time_zone, c.time_zone_source, a.started_at)
$$;
COMMENT ON FUNCTION smsflow.check_quiet_hours() IS 'I10. Proves that no request was on the wire in the recipient''s quiet hours, by the rules in force at that moment; contacts that changed since are not judged';
REVOKE ALL ON FUNCTION smsflow.check_quiet_hours() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_provider_ids() RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('gateway %s gave id %s to %s messages', s.gateway_id, a.provider_id, count(DISTINCT a.message_id))
	FROM smsflow.attempt a JOIN smsflow.sender s USING (sender_id)
	WHERE a.provider_id IS NOT NULL
	GROUP BY s.gateway_id, a.provider_id
	HAVING count(DISTINCT a.message_id) > 1
$$;
COMMENT ON FUNCTION smsflow.check_provider_ids() IS 'I11. Proves that a gateway''s message id belongs to one message';
REVOKE ALL ON FUNCTION smsflow.check_provider_ids() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_callbacks() RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('callback %s for message %s', c.callback_id, m.message_id)
	FROM smsflow.callback c
	JOIN smsflow.callback_message m USING (callback_id)
	CROSS JOIN smsflow.tail t
	WHERE t.name = 'callback' AND c.callback_id <= t.cursor_id AND pg_visible_in_snapshot(c.xid, t.snapshot)
		AND NOT EXISTS (SELECT FROM smsflow.report r WHERE r.message_id = m.message_id AND (r.callback_id = c.callback_id
			OR EXISTS (SELECT FROM smsflow.callback_reading d WHERE d.callback_id = c.callback_id		-- a repeat
				AND r.attempt = d.attempt AND r.code IS NOT DISTINCT FROM d.code
				AND (r.status::text = d.status::text OR (r.part_delivered AND d.status::text = 'delivered' AND r.provider_id = d.provider_id)))))
		AND NOT EXISTS (SELECT FROM smsflow.callback_problem p WHERE p.callback_id = c.callback_id)
$$;
COMMENT ON FUNCTION smsflow.check_callbacks() IS 'I12. Proves that no delivery report is lost: each is applied, repeats one that is, is set aside with its problem, or is still to be read';
REVOKE ALL ON FUNCTION smsflow.check_callbacks() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_one_message() RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('campaign %s has %s messages for contact %s', campaign_id, count(*), contact_id)
	FROM smsflow.outbox
	WHERE campaign_id IS NOT NULL
	GROUP BY campaign_id, contact_id
	HAVING count(*) > 1
	UNION ALL
	SELECT format('enrollment %s has %s messages of step %s', enrollment_id, count(*), step)
	FROM smsflow.outbox
	WHERE enrollment_id IS NOT NULL
	GROUP BY enrollment_id, step
	HAVING count(*) > 1
$$;
COMMENT ON FUNCTION smsflow.check_one_message() IS 'I13. Proves that a campaign has one message per contact, and a sequence one per enrolment and step';
REVOKE ALL ON FUNCTION smsflow.check_one_message() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_consent() RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT concat('contact ' || contact_id || ': ', problem) FROM smsflow.verify_consent_ledger()
	UNION ALL
	SELECT format('contact %s: entry %s shows another text than disclosure %s', e.contact_id, e.consent_event_id, e.disclosure_version)
	FROM smsflow.consent_event e
	LEFT JOIN smsflow.disclosure d ON d.name || '@' || d.version = e.disclosure_version AND d.body = e.disclosure
	WHERE e.disclosure_version IS NOT NULL AND d.disclosure_id IS NULL
$$;
COMMENT ON FUNCTION smsflow.check_consent() IS 'Proves that the consent on which the gate decides is the fold of the ledger, that no entry of the ledger was changed, lost or added, and that each registered text is the one that was shown';
REVOKE ALL ON FUNCTION smsflow.check_consent() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_attribution() RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('%s of contact %s credited to message %s', t.kind, t.contact_id, t.message_id)
	FROM smsflow.attribution t
	LEFT JOIN smsflow.outbox o USING (message_id)
	WHERE o.contact_id IS DISTINCT FROM t.contact_id
		OR t.sent_at > t.at
		OR t.sent_at <= t.at - CASE t.kind WHEN 'order' THEN interval '12 hours' ELSE interval '24 hours' END
		OR NOT EXISTS (SELECT FROM smsflow.attempt a
			WHERE a.message_id = t.message_id AND a.wire <> 'none' AND a.finished_at = t.sent_at)
$$;
COMMENT ON FUNCTION smsflow.check_attribution() IS 'Proves that what is credited to a message was done by its recipient, after it was sent, within the window';
REVOKE ALL ON FUNCTION smsflow.check_attribution() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check() RETURNS TABLE (invariant text, violations bigint, sample text)
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	SELECT 'I1 no marketing once a STOP was visible', count(*), min(v) FROM smsflow.check_stop_wins() v UNION ALL
	SELECT 'I2 marketing only with a grant', count(*), min(v) FROM smsflow.check_grant() v UNION ALL
	SELECT 'I3 a try ends once', count(*), min(v) FROM smsflow.check_one_outcome() v UNION ALL
	SELECT 'I4 marketing is on the wire at most once', count(*), min(v) FROM smsflow.check_marketing_once() v UNION ALL
	SELECT 'I5 nothing leaves without a claim', count(*), min(v) FROM smsflow.check_claimed() v UNION ALL
	SELECT 'I6 nothing waits past its validity', count(*), min(v) FROM smsflow.check_progress() v UNION ALL
	SELECT 'I7 nothing is sent again after its end', count(*), min(v) FROM smsflow.check_terminal_once() v UNION ALL
	SELECT 'I8 metrics equal a recount', count(*), min(v) FROM smsflow.check_metrics() v UNION ALL
	SELECT 'I10 nothing leaves in quiet hours', count(*), min(v) FROM smsflow.check_quiet_hours() v UNION ALL
	SELECT 'I11 a provider''s id belongs to one message', count(*), min(v) FROM smsflow.check_provider_ids() v UNION ALL
	SELECT 'I12 no delivery report is lost', count(*), min(v) FROM smsflow.check_callbacks() v UNION ALL
	SELECT 'I13 one message per recipient and occasion', count(*), min(v) FROM smsflow.check_one_message() v UNION ALL
	SELECT 'every message in doubt is listed', count(*), min(v) FROM smsflow.check_doubt_listed() v UNION ALL
	SELECT 'consent equals its ledger', count(*), min(v) FROM smsflow.check_consent() v UNION ALL
	SELECT 'credit goes to a message sent before', count(*), min(v) FROM smsflow.check_attribution() v
$$;
COMMENT ON FUNCTION smsflow.check() IS 'Every promise that the tables can prove, with the number of violations and one of them; reads every message. All zero is the only good answer';
REVOKE ALL ON FUNCTION smsflow.check() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.assert_invariants() RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	broken text := (SELECT string_agg(format('%s: %s, such as %s', c.invariant, c.violations, c.sample), '; ')
		FROM smsflow.check() c WHERE c.violations > 0);
BEGIN
	IF broken IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = 'an invariant of smsflow is violated', DETAIL = broken,
			HINT = 'SELECT * FROM smsflow.check().';
	END IF;
END
$$;
COMMENT ON FUNCTION smsflow.assert_invariants() IS 'Fails when check() finds a violation, so that a scheduled run is marked as failed and the server log says why. Errors: SF005';
REVOKE ALL ON FUNCTION smsflow.assert_invariants() FROM PUBLIC;
