-- Who of a campaign gets what: the one place that estimates, previews and the expansion itself ask. Re-runnable.

CREATE OR REPLACE FUNCTION smsflow.local_instant(local_at timestamp, time_zone text) RETURNS timestamptz
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_pg_local_instant';
COMMENT ON FUNCTION smsflow.local_instant(timestamp, text) IS 'Instant at which clocks of a zone show this time; null where the zone is not known';
REVOKE ALL ON FUNCTION smsflow.local_instant(timestamp, text) FROM PUBLIC;

-- Hash, and not chance: the same person is in the same share whenever it is asked, and another use has another seed.
CREATE OR REPLACE FUNCTION smsflow.campaign_hash(contact_id bigint, campaign_id integer, use integer) RETURNS bigint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN hashint8extended(contact_id, campaign_id * 8::bigint + use) & 2147483647;
COMMENT ON FUNCTION smsflow.campaign_hash(bigint, integer, integer) IS 'Stable number of a contact in a campaign, 0 to 2147483647. Uses: 1 variant, 2 holdout, 3 test group';
REVOKE ALL ON FUNCTION smsflow.campaign_hash(bigint, integer, integer) FROM PUBLIC;

CREATE OR REPLACE VIEW smsflow.campaign_plan AS
	SELECT k.campaign_id, k.brand_id, b.name AS brand, k.purpose, k.local_at, COALESCE(k.launch_at, now()) AS launch_at, k.options -> 'exclude' AS exclude,
		COALESCE(k.options ->> 'late_zones', 'next_day') AS late_zones, (k.options ->> 'valid_until')::timestamptz AS valid_until,
		COALESCE((k.options ->> 'valid_for')::interval, smsflow.default_validity(k.purpose)) AS valid_for,
		r.base_at, LEAST(r.base_at + COALESCE((k.options ->> 'valid_for')::interval, smsflow.default_validity(k.purpose)),
			(k.options ->> 'valid_until')::timestamptz) AS expires_at, k.local_at IS NOT NULL OR v.longest > '0' AS is_timed,
		COALESCE(p.holdout, 0) AS brand_holdout, (k.options ->> 'holdout')::numeric AS holdout,
		v.numbers, COALESCE(v.bodies, ARRAY[k.body]) AS bodies, v.delays, COALESCE(v.bounds, '{}') AS bounds, v.total,
		k.options ->> 'coupons' AS coupons, k.status = 'draft' AS is_draft
	FROM smsflow.campaign AS k
	JOIN smsflow.brand AS b USING (brand_id)
	LEFT JOIN smsflow.campaign_policy AS p USING (brand_id)
	CROSS JOIN LATERAL (
		SELECT array_agg(x.variant ORDER BY x.variant) AS numbers, array_agg(x.body ORDER BY x.variant) AS bodies,
			array_agg(x.after ORDER BY x.variant) AS delays, array_agg(x.bound ORDER BY x.variant) AS bounds, max(x.bound) AS total, max(x.after) AS longest
		FROM (SELECT y.variant, y.body, y.after, sum(y.weight) OVER (ORDER BY y.variant) AS bound
			FROM smsflow.campaign_variant AS y WHERE y.campaign_id = k.campaign_id AND (k.winner IS NULL OR y.variant = k.winner)) AS x
	) AS v
	CROSS JOIN LATERAL (
		SELECT COALESCE(k.launch_at, now()) + COALESCE(CASE WHEN k.wave > 1 THEN (k.options ->> 'decide_after')::interval END,
			(SELECT w.after FROM smsflow.campaign_wave AS w WHERE w.campaign_id = k.campaign_id AND w.wave = k.wave), '0') AS base_at
	) AS r;
COMMENT ON VIEW smsflow.campaign_plan IS 'What a campaign does, its options and variants read';

-- Without a SET clause, so that the planner can make it part of the query that uses it.
CREATE OR REPLACE FUNCTION smsflow.draft_campaign(campaign_id integer, contact_ids bigint[])
	RETURNS TABLE (contact_id bigint, phone smsflow.phone, region text, variant smallint, body text, parts smallint, unicode boolean, refusal text,
		due_at timestamptz, expires_at timestamptz, consent_event_id bigint, links text[])
	LANGUAGE sql STABLE ROWS 1000
BEGIN ATOMIC
	SELECT c.contact_id, c.phone, c.region, v.variant, COALESCE(m.rendered, v.body), COALESCE(m.parts, 0)::smallint, COALESCE(m.unicode, false),
		COALESCE(smsflow.final_refusal(g.decision),
			CASE WHEN c.holdout_bucket < k.brand_holdout THEN 'holdout' END,
			CASE WHEN k.holdout IS NOT NULL THEN CASE WHEN smsflow.campaign_hash(c.contact_id, k.campaign_id, 2) % 10000 < k.holdout * 100 THEN 'holdout' END END,
			CASE WHEN k.exclude IS NOT NULL THEN smsflow.exclusion(k.exclude, c.contact_id, false) END,
			CASE WHEN t.late AND k.late_zones = 'skip' OR t.due_at >= k.valid_until THEN 'too_late' END,
			CASE WHEN m.missing IS NOT NULL THEN 'missing_variable' END,
			smsflow.content_refusal(m.rendered, k.purpose, k.brand)),
		t.due_at, CASE WHEN t.due_at IS NULL THEN k.expires_at ELSE LEAST(t.due_at + k.valid_for, k.valid_until) END, smsflow.proof(c.proof, k.purpose), m.links
	FROM (SELECT p.* FROM smsflow.campaign_plan AS p WHERE p.campaign_id = draft_campaign.campaign_id OFFSET 0) AS k
	JOIN smsflow.contact AS c ON c.contact_id = ANY (contact_ids)
	-- OFFSET 0 keeps these apart, so that each is worked out once for a contact and not once for each column.
	CROSS JOIN LATERAL (SELECT smsflow.gate_contact(c, k.purpose, now()) AS decision OFFSET 0) AS g
	CROSS JOIN LATERAL (
		SELECT k.bodies[s.share] AS body, k.numbers[s.share] AS variant, k.delays[s.share] AS delay
		FROM (SELECT CASE WHEN k.total > 0 THEN 1 + width_bucket(smsflow.campaign_hash(c.contact_id, k.campaign_id, 1) % k.total, k.bounds) ELSE 1 END AS share
			OFFSET 0) AS s OFFSET 0) AS v
	CROSS JOIN LATERAL (
		SELECT z.instant < k.launch_at AS late, CASE WHEN k.is_timed THEN COALESCE(CASE WHEN z.instant >= k.launch_at THEN z.instant
			WHEN z.instant < k.launch_at AND k.late_zones <> 'at_once' THEN z.instant + interval '1 day' END,
			CASE WHEN v.delay > '0' THEN k.base_at END) + COALESCE(v.delay, '0') END AS due_at
		FROM (SELECT CASE WHEN k.local_at IS NOT NULL THEN COALESCE(smsflow.local_instant(k.local_at, c.time_zone),
			smsflow.local_instant(k.local_at, (smsflow.phone_time_zones(c.phone))[1]), k.local_at AT TIME ZONE 'UTC') END AS instant OFFSET 0) AS z OFFSET 0) AS t
	CROSS JOIN LATERAL smsflow.render_message(v.body, smsflow.contact_vars(c, k.brand, CASE WHEN k.coupons IS NOT NULL THEN
		smsflow.coupon_vars(k.campaign_id, c.contact_id, k.coupons, k.is_draft) END)) AS m;
END;
COMMENT ON FUNCTION smsflow.draft_campaign(integer, bigint[]) IS 'What these contacts would get of a campaign: variant, text, parts, when it is due and until when it may leave (UTC), or the reason why nothing';
REVOKE ALL ON FUNCTION smsflow.draft_campaign(integer, bigint[]) FROM PUBLIC;

-- ---- rounds ----

CREATE OR REPLACE FUNCTION smsflow.has_rounds(k smsflow.campaign) RETURNS boolean
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
	RETURN (k).options ? 'test_percent' OR EXISTS (SELECT FROM smsflow.campaign_wave AS w WHERE w.campaign_id = (k).campaign_id);
COMMENT ON FUNCTION smsflow.has_rounds(smsflow.campaign) IS 'Whether a campaign comes to its segment more than once: in waves, or to a test group first';
REVOKE ALL ON FUNCTION smsflow.has_rounds(smsflow.campaign) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.whose_turn(campaign_id integer, members bigint[]) RETURNS bigint[]
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT COALESCE(array_agg(m.contact_id ORDER BY m.contact_id), '{}')
	FROM smsflow.campaign AS k CROSS JOIN unnest(members) AS m (contact_id)
	WHERE k.campaign_id = whose_turn.campaign_id
		AND (k.wave > 1 OR NOT k.options ? 'test_percent'
			OR smsflow.campaign_hash(m.contact_id, k.campaign_id, 3) % 10000 < (k.options ->> 'test_percent')::numeric * 100)
		AND NOT EXISTS (SELECT FROM smsflow.campaign_recipient AS r WHERE r.campaign_id = k.campaign_id AND r.contact_id = m.contact_id)
		AND (k.reminder_of IS NULL OR EXISTS (SELECT FROM smsflow.touch AS t JOIN smsflow.outbox AS o USING (message_id)
			WHERE t.contact_id = m.contact_id AND o.campaign_id = k.reminder_of));
END;
COMMENT ON FUNCTION smsflow.whose_turn(integer, bigint[]) IS 'Those of some members who get a message in this round: the test group first, none who has one, and of a reminder those who were sent what it reminds of';
REVOKE ALL ON FUNCTION smsflow.whose_turn(integer, bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.end_round(campaign_id integer) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k CONSTANT smsflow.campaign := (SELECT k FROM smsflow.campaign AS k WHERE k.campaign_id = end_round.campaign_id);
	next CONSTANT interval := (SELECT w.after FROM smsflow.campaign_wave AS w WHERE w.campaign_id = k.campaign_id AND w.wave = k.wave + 1);
BEGIN
	IF next IS NULL AND NOT (k.options ? 'test_percent' AND k.wave = 1) THEN
		UPDATE smsflow.campaign AS c SET status = 'done', expanded = true, planned = c.queued + c.refused, finished_at = clock_timestamp()
		WHERE c.campaign_id = k.campaign_id;
		RETURN;
	END IF;
	UPDATE smsflow.campaign AS c SET wave = k.wave + 1, cursor_contact_id = 0,
		waits_for = CASE WHEN next IS NOT NULL THEN 'wave' WHEN k.winner IS NULL THEN 'winner' END,
		waits_until = k.launch_at + coalesce(next, (k.options ->> 'decide_after')::interval)
	WHERE c.campaign_id = k.campaign_id;
END $$;
COMMENT ON FUNCTION smsflow.end_round(integer) IS 'Worker: everybody of a round has their message; the next one waits for its time, or for a winner, and after the last the campaign is done';
REVOKE ALL ON FUNCTION smsflow.end_round(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.end_wait(campaign_id integer) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF (SELECT k.waits_for = 'winner' FROM smsflow.campaign AS k WHERE k.campaign_id = end_wait.campaign_id) THEN
		PERFORM smsflow.settle_winner(end_wait.campaign_id);
	END IF;
	UPDATE smsflow.campaign AS k SET waits_for = NULL, waits_until = NULL WHERE k.campaign_id = end_wait.campaign_id;
END $$;
COMMENT ON FUNCTION smsflow.end_wait(integer) IS 'Worker: what a campaign waited for has come; where no variant has won by now, each goes on with its share';
REVOKE ALL ON FUNCTION smsflow.end_wait(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.advance_campaigns(slice integer) RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'smsflow_pg_advance_campaigns' LANGUAGE c VOLATILE STRICT
	SET search_path = pg_catalog, pg_temp SET jit = off;
COMMENT ON FUNCTION smsflow.advance_campaigns(integer) IS
'Called by the worker: looks at the next slice contacts of one due campaign and appends the messages of its members. Returns when it should be called again, null if nothing is planned';
REVOKE ALL ON FUNCTION smsflow.advance_campaigns(integer) FROM PUBLIC;
