-- Early warning: rates of campaigns and numbers against their own past.
--
-- A difference counts when it is large enough to matter and too improbable to be
-- chance: the two-proportion z-test with pooled variance, on the counts of the
-- last hours and of the weeks before. The worker looks every five minutes.

CREATE OR REPLACE TRIGGER keep_own_row BEFORE INSERT OR UPDATE ON smsflow.alert_rule
	FOR EACH ROW EXECUTE FUNCTION smsflow.keep_own_row('rule', 'rule');

CREATE OR REPLACE FUNCTION smsflow.find_alerts(at timestamptz DEFAULT now())
	RETURNS TABLE (rule text, campaign_id integer, sender_id integer, successes bigint, trials bigint, past_successes bigint, past_trials bigint,
		p_value double precision, pauses boolean)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH r AS (
		SELECT *, date_trunc('hour', $1, 'UTC') + interval '1 hour' - span AS since FROM smsflow.alert_rule WHERE enabled
	), figure AS MATERIALIZED (
		-- Of the past, days are enough: that keeps what the rules are joined with small.
		SELECT CASE WHEN m.bucket >= (SELECT min(since - lag) FROM r) THEN m.bucket ELSE date_trunc('day', m.bucket, 'UTC') END AS bucket,
			m.campaign_id, m.sender_id, m.brand_id, m.purpose, m.measure, sum(m.value) AS value
		FROM smsflow.metric m
		WHERE m.bucket >= (SELECT min(since - lag - past) FROM r)
			AND m.measure IN (SELECT unnest(successes || trials) FROM r)
		GROUP BY 1, 2, 3, 4, 5, 6
	), counted AS (
		SELECT r.rule, s.campaign_id, s.sender_id, s.brand_id, s.purpose,
			sum(f.value) FILTER (WHERE f.measure = ANY (r.successes) AND f.bucket >= r.since) AS successes,
			sum(f.value) FILTER (WHERE f.measure = ANY (r.trials) AND f.bucket >= r.since - r.lag AND f.bucket <= $1 - r.lag) AS trials,
			sum(f.value) FILTER (WHERE f.measure = ANY (r.successes) AND f.bucket < r.since AND f.bucket >= r.since - r.past) AS past_successes,
			sum(f.value) FILTER (WHERE f.measure = ANY (r.trials) AND f.bucket < r.since - r.lag AND f.bucket >= r.since - r.lag - r.past) AS past_trials
		FROM r
		JOIN (SELECT rule, unnest(successes || trials) AS measure FROM r GROUP BY 1, 2) n USING (rule)
		JOIN figure f ON f.measure = n.measure AND CASE r.subject WHEN 'campaign' THEN f.campaign_id ELSE f.sender_id END <> 0
		CROSS JOIN LATERAL (SELECT CASE r.subject WHEN 'campaign' THEN f.campaign_id ELSE 0 END AS campaign_id,
			CASE r.subject WHEN 'sender' THEN f.sender_id ELSE 0 END AS sender_id,
			CASE r.subject WHEN 'campaign' THEN f.brand_id END AS brand_id, CASE r.subject WHEN 'campaign' THEN f.purpose END AS purpose) s
		GROUP BY 1, 2, 3, 4, 5
	), compared AS (
		-- A campaign is measured by those before it, a number by itself. A count may go back (delivered after all); a rate stays within 0 and 1.
		SELECT c.rule, c.campaign_id, c.sender_id, c.trials, least(greatest(c.successes, 0), c.trials) AS successes, past.trials AS past_trials,
			least(greatest(past.successes, 0), past.trials) AS past_successes
		FROM (
			SELECT *, sum(past_successes) OVER w AS all_successes, sum(past_trials) OVER w AS all_trials
			FROM counted WINDOW w AS (PARTITION BY rule, brand_id, purpose, CASE campaign_id WHEN 0 THEN sender_id END)
		) c
		CROSS JOIN LATERAL (SELECT coalesce(c.all_successes, 0) AS successes, coalesce(c.all_trials, 0) AS trials) past
	), tested AS (
		SELECT c.*, r.pauses, r.p_value AS level, smsflow.two_proportions(coalesce(c.successes, 0)::bigint, c.trials::bigint,
			c.past_successes::bigint, c.past_trials::bigint) AS p_value
		FROM compared c
		JOIN r USING (rule)
		WHERE c.trials >= r.at_least AND c.past_trials >= r.at_least
			AND CASE r.direction WHEN 'high' THEN coalesce(c.successes, 0) / c.trials >= r.factor * c.past_successes / c.past_trials
				ELSE coalesce(c.successes, 0) / c.trials <= r.factor * c.past_successes / c.past_trials END
	)
	SELECT rule, campaign_id, sender_id, coalesce(successes, 0)::bigint, trials::bigint, past_successes::bigint, past_trials::bigint, p_value, pauses
	FROM tested
	WHERE p_value <= level
$$;
COMMENT ON FUNCTION smsflow.find_alerts(timestamptz) IS 'What the rules find at an instant: counts of the last hours, counts of the past, and how probable such a difference is by chance';
REVOKE ALL ON FUNCTION smsflow.find_alerts(timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.pause_for_alert(alert_id bigint) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	k record;
BEGIN
	SELECT c.name, b.name AS brand INTO k
	FROM smsflow.alert a
	JOIN smsflow.campaign c USING (campaign_id)
	JOIN smsflow.brand b USING (brand_id)
	WHERE a.alert_id = $1 AND c.options ->> 'pause_on_alert' = 'true' AND c.status IN ('running', 'done');
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	PERFORM smsflow.pause_campaign(k.name, k.brand);
	UPDATE smsflow.alert a SET paused = true WHERE a.alert_id = $1;
	RETURN true;
END
$$;
COMMENT ON FUNCTION smsflow.pause_for_alert(bigint) IS 'Pauses the campaign of an alert if its option pause_on_alert is true and it still sends; whether it did';
REVOKE ALL ON FUNCTION smsflow.pause_for_alert(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.watch_figures(at timestamptz DEFAULT now()) RETURNS integer
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	WITH found AS MATERIALIZED (
		SELECT * FROM smsflow.find_alerts($1)
	), over AS (
		UPDATE smsflow.alert a SET ended_at = $1
		WHERE a.ended_at IS NULL AND NOT EXISTS (SELECT FROM found f
			WHERE f.rule = a.rule AND f.campaign_id = a.campaign_id AND f.sender_id = a.sender_id)
	), raised AS (
		INSERT INTO smsflow.alert (rule, campaign_id, sender_id, successes, trials, past_successes, past_trials, p_value, raised_at)
		SELECT f.rule, f.campaign_id, f.sender_id, f.successes, f.trials, f.past_successes, f.past_trials, f.p_value, $1 FROM found f
		ORDER BY f.rule, f.campaign_id, f.sender_id
		ON CONFLICT (rule, campaign_id, sender_id) WHERE ended_at IS NULL DO NOTHING
		RETURNING alert_id, rule, campaign_id, sender_id
	)
	SELECT count(pg_notify('smsflow_alert', jsonb_build_object('alert_id', r.alert_id, 'rule', r.rule, 'campaign_id', r.campaign_id,
		'sender_id', r.sender_id)::text))::integer FROM raised r;
	-- What another rule has paused already is left.
	SELECT smsflow.pause_for_alert(a.alert_id) FROM smsflow.alert a JOIN smsflow.alert_rule r USING (rule)
	WHERE a.raised_at = $1 AND a.campaign_id <> 0 AND r.pauses;
	SELECT count(*)::integer FROM smsflow.alert a WHERE a.raised_at = $1
$$;
COMMENT ON FUNCTION smsflow.watch_figures(timestamptz) IS 'Worker: raises an alert for each new finding, tells of it on the channel smsflow_alert (JSON with alert_id, rule, campaign_id, sender_id), pauses campaigns that allow it, and ends alerts that hold no longer; how many were raised';
REVOKE ALL ON FUNCTION smsflow.watch_figures(timestamptz) FROM PUBLIC;

CREATE OR REPLACE VIEW smsflow_bi.alerts AS
	SELECT a.alert_id, a.rule, k.name AS campaign, s.address AS sender, a.successes::numeric / a.trials AS rate,
		a.past_successes::numeric / a.past_trials AS past_rate, a.trials, a.past_trials, a.p_value, a.paused, a.raised_at, a.ended_at,
		nullif(a.campaign_id, 0) AS campaign_id, nullif(a.sender_id, 0) AS sender_id
	FROM smsflow.alert a
	LEFT JOIN smsflow.campaign k ON k.campaign_id = a.campaign_id
	LEFT JOIN smsflow.sender s ON s.sender_id = a.sender_id;
COMMENT ON VIEW smsflow_bi.alerts IS 'Rates of campaigns and numbers that differed from their own past; open ones have no ended_at';

CREATE OR REPLACE FUNCTION smsflow.health_of_figures(OUT component text, OUT ok boolean, OUT message text, OUT hint text)
	RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'figures', count(*) = 0,
		CASE WHEN count(*) = 0 THEN 'no rate differs from its past'
			ELSE 'alerts: ' || count(*) || ', such as ' || (array_agg(x.words ORDER BY x.alert_id DESC))[1] END,
		CASE WHEN count(*) > 0 THEN 'See smsflow_bi.alerts; pause the campaign or the number until you know why.' END
	FROM (
		SELECT a.alert_id, format('%s: "%s" %s %%, before %s %%', a.rule, coalesce(a.campaign, a.sender), round(100 * a.rate, 2),
			round(100 * a.past_rate, 2)) AS words
		FROM smsflow_bi.alerts a
		WHERE a.ended_at IS NULL
	) x
$$;
COMMENT ON FUNCTION smsflow.health_of_figures() IS 'Line figures of health(): open alerts';
REVOKE ALL ON FUNCTION smsflow.health_of_figures() FROM PUBLIC;
