-- What the worker looks at while campaigns send: whether one does harm, and whose coupons come back. Re-runnable.

CREATE OR REPLACE FUNCTION smsflow.campaign_harm(k smsflow.campaign) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE
		WHEN m.sent < coalesce((r.pause_on ->> 'min_sent')::numeric, 100) THEN NULL
		WHEN m.opt_outs > m.sent * (r.pause_on ->> 'opt_out_rate')::numeric
			THEN format('%s of %s recipients opted out, more than %s', m.opt_outs, m.sent, r.pause_on ->> 'opt_out_rate')
		WHEN m.failed > (m.sent + m.rejected) * (r.pause_on ->> 'failure_rate')::numeric
			THEN format('%s of %s messages failed, more than %s', m.failed, m.sent + m.rejected, r.pause_on ->> 'failure_rate') END
	FROM (SELECT (campaign_harm.k).options -> 'pause_on' AS pause_on) AS r
	CROSS JOIN LATERAL (
		SELECT coalesce(sum(x.value) FILTER (WHERE x.measure = 'sent'), 0) AS sent, coalesce(sum(x.value) FILTER (WHERE x.measure = 'opt_outs'), 0) AS opt_outs,
			coalesce(sum(x.value) FILTER (WHERE x.measure = 'rejected'), 0) AS rejected,
			coalesce(sum(x.value) FILTER (WHERE x.measure IN ('rejected', 'undelivered')), 0) AS failed
		FROM smsflow.metric AS x WHERE x.campaign_id = (campaign_harm.k).campaign_id AND x.measure IN ('sent', 'opt_outs', 'rejected', 'undelivered')) AS m
$$;
COMMENT ON FUNCTION smsflow.campaign_harm(smsflow.campaign) IS 'Why a campaign should pause by its option pause_on: opt-outs per message sent, or failures (rejected, undelivered) per message tried, past the rate; NULL: it need not, or fewer than min_sent (100) were sent';
REVOKE ALL ON FUNCTION smsflow.campaign_harm(smsflow.campaign) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.tend_campaigns(slice integer) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k smsflow.campaign;
	harm text;
BEGIN
	FOR k IN SELECT c.* FROM smsflow.campaign AS c
		WHERE c.options ? 'pause_on' AND (c.status = 'running' OR c.status = 'done' AND c.finished_at > now() - interval '3 days')
		ORDER BY c.campaign_id FOR NO KEY UPDATE SKIP LOCKED
	LOOP
		harm := smsflow.campaign_harm(k);
		IF harm IS NOT NULL THEN
			PERFORM smsflow.set_campaign_status(k, 'paused');
			UPDATE smsflow.campaign AS c SET error = harm, options = c.options - 'pause_on' WHERE c.campaign_id = k.campaign_id;
			RAISE WARNING USING ERRCODE = 'SF005', MESSAGE = format('campaign %s paused itself', k.campaign_id), DETAIL = harm,
				HINT = 'Look at it, then call smsflow.resume_campaign() or smsflow.cancel_campaign().';
		END IF;
	END LOOP;
	RETURN smsflow.release_coupons(slice);
END $$;
COMMENT ON FUNCTION smsflow.tend_campaigns(integer) IS 'Worker: pauses campaigns that do harm, which they do once, since whoever resumes one has seen it; then release_coupons(slice), whose result it returns';
REVOKE ALL ON FUNCTION smsflow.tend_campaigns(integer) FROM PUBLIC;
