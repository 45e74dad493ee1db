-- Who of a campaign gets what: the one place that estimates, previews and the expansion itself ask. Re-runnable.

CREATE OR REPLACE FUNCTION smsflow.campaign_hash(contact_id bigint, campaign_id integer, use integer) RETURNS bigint
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_pg_campaign_hash';
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
		k.options ->> 'coupons' AS coupons, k.status = 'draft' AS is_draft, (k.options ->> 'budget')::bigint - k.queued_parts AS budget_left,
		COALESCE(k.options ->> 'missing', t.missing, 'default') AS missing, l.translated, l.languages, l.translations,
		COALESCE((k.options ->> 'smart_encode')::boolean, t.smart_encode, false) AS smart, COALESCE(t.prefix, '') AS prefix,
		COALESCE(t.opt_out_text, '') AS opt_out_text
	FROM smsflow.campaign AS k
	JOIN smsflow.brand AS b USING (brand_id)
	LEFT JOIN smsflow.campaign_policy AS p USING (brand_id)
	LEFT JOIN smsflow.text_policy AS t ON t.brand_id = k.brand_id AND t.purpose = k.purpose
	CROSS JOIN LATERAL (
		SELECT array_agg(x.variant ORDER BY x.variant) AS numbers, array_agg(x.body ORDER BY x.variant) AS bodies,
			array_agg(x.after ORDER BY x.variant) AS delays, array_agg(x.bound ORDER BY x.variant) AS bounds, max(x.bound) AS total, max(x.after) AS longest
		FROM (SELECT y.variant, y.body, y.after, sum(y.weight) OVER (ORDER BY y.variant) AS bound
			FROM smsflow.campaign_variant AS y WHERE y.campaign_id = k.campaign_id AND (k.winner IS NULL OR y.variant = k.winner)) AS x
	) AS v
	CROSS JOIN LATERAL (
		SELECT array_agg(t.variant ORDER BY t.variant, t.language) AS translated, array_agg(t.language ORDER BY t.variant, t.language) AS languages,
			array_agg(t.body ORDER BY t.variant, t.language) AS translations
		FROM smsflow.campaign_translation AS t WHERE t.campaign_id = k.campaign_id
	) AS l
	CROSS JOIN LATERAL (
		SELECT COALESCE(k.launch_at, now()) + COALESCE(CASE WHEN k.wave > 1 THEN (k.options ->> 'decide_after')::interval END,
			(SELECT w.after FROM smsflow.campaign_wave AS w WHERE w.campaign_id = k.campaign_id AND w.wave = k.wave), '0') AS base_at
	) AS r;
COMMENT ON VIEW smsflow.campaign_plan IS 'What a campaign does, its options and variants read';

CREATE OR REPLACE FUNCTION smsflow.draft_campaign(campaign_id integer, contact_ids bigint[])
	RETURNS TABLE (contact_id bigint, phone smsflow.phone, region text, variant smallint, body text, parts smallint, unicode boolean, refusal text,
		due_at timestamptz)
	LANGUAGE c STABLE STRICT ROWS 1000 SET search_path = pg_catalog, pg_temp SET jit = off AS 'MODULE_PATHNAME', 'smsflow_pg_draft_campaign';
COMMENT ON FUNCTION smsflow.draft_campaign(integer, bigint[]) IS 'What these contacts would get of a campaign, in order of their ids: variant, text, parts, when it is due (UTC; null: at once), or the reason why nothing. SF003, SF007 for a text that cannot be rendered';
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
		AND (k.reminder_of IS NULL OR EXISTS (SELECT FROM smsflow.touched AS t JOIN smsflow.outbox AS o USING (message_id)
			WHERE t.contact_id = m.contact_id AND t.span = m.contact_id >> 6 AND o.campaign_id = k.reminder_of));
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
