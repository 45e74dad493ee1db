-- Figures as text: a campaign for people at a psql prompt, everything for
-- programs that scrape OpenMetrics.

CREATE OR REPLACE FUNCTION smsflow.percent(part bigint, whole bigint) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN whole > 0 THEN '(' || round(100.0 * part / whole, 1) || ' %)' ELSE '' END;
COMMENT ON FUNCTION smsflow.percent(bigint, bigint) IS 'Share in words, such as (12.5 %); empty of nothing';

CREATE OR REPLACE FUNCTION smsflow.campaign_report(name text, brand text DEFAULT 'default') RETURNS TABLE (report text)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t smsflow_bi.campaign_totals;
BEGIN
	SELECT c.* INTO t FROM smsflow_bi.campaign_totals c WHERE c.campaign = campaign_report.name AND c.brand = campaign_report.brand;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('campaign "%s" does not exist', campaign_report.name),
			HINT = 'SELECT campaign FROM smsflow_bi.campaign_totals.';
	END IF;
	RETURN QUERY VALUES
		(format('Campaign "%s" (%s, %s)', t.campaign, t.purpose, t.status)),
		(CASE WHEN t.first_sent_at IS NULL THEN 'nothing sent yet'
			ELSE format('sent from %s to %s', t.first_sent_at::timestamptz(0), t.last_sent_at::timestamptz(0)) END),
		('');
	RETURN QUERY SELECT format('  %s %s %s', rpad(x.what, 12), lpad(x.messages::text, 9), smsflow.percent(x.messages, x.whole))
		FROM (VALUES (1, 'recipients', t.recipients, 0), (2, 'suppressed', t.suppressed, t.recipients), (3, 'waiting', t.queued, t.recipients),
			(4, 'sent', t.sent, t.recipients), (5, 'delivered', t.delivered, t.sent), (6, 'undelivered', t.undelivered, t.sent),
			(7, 'rejected', t.rejected, t.recipients), (8, 'expired', t.expired, t.recipients), (9, 'in doubt', t.in_doubt, t.recipients),
			(10, 'clicked', t.clickers, t.delivered), (11, 'replied', t.replies, t.delivered), (12, 'opted out', t.opt_outs, t.delivered),
			(13, 'ordered', t.orders, t.delivered)) AS x (place, what, messages, whole)
		WHERE x.messages > 0 OR x.place IN (1, 4)
		ORDER BY x.place;
	RETURN QUERY SELECT format('  %s %s %s', rpad(x.what, 12), lpad(round(x.amount, 2)::text, 9), coalesce(m.currency, ''))
		FROM smsflow_bi.campaign_money m
		CROSS JOIN LATERAL (VALUES (1, 'revenue', m.revenue), (2, 'cost', m.cost)) AS x (place, what, amount)
		WHERE m.campaign_id = t.campaign_id AND x.amount <> 0
		ORDER BY x.place, m.currency;
	RETURN QUERY SELECT * FROM smsflow.report_of_hours(t.campaign_id);
	RETURN QUERY SELECT * FROM smsflow.report_of_variants(t.campaign_id);
	RETURN QUERY SELECT format('! %s: %s %%, before %s %%', a.rule, round(100 * a.rate, 2), round(100 * a.past_rate, 2))
		FROM smsflow_bi.alerts a WHERE a.campaign_id = t.campaign_id AND a.ended_at IS NULL
		ORDER BY a.alert_id;
END
$$;
COMMENT ON FUNCTION smsflow.campaign_report(text, text) IS 'A campaign in readable lines: what became of its messages, what came of them, the hours it was sent in, its variants and open alerts; clicked, replied, opted out and ordered in percent of those delivered (without percent while nothing is); instants in the session''s time zone. Errors: SF004 no such campaign';
REVOKE ALL ON FUNCTION smsflow.campaign_report(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.report_of_hours(campaign_id integer) RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT line FROM (
		SELECT '' AS line, NULL::timestamptz AS hour, 0 AS place
		UNION ALL
		SELECT format('  %s %s %s', to_char(h.hour, 'YYYY-MM-DD HH24:MI'), lpad(h.sent::text, 9),
			repeat('#', ceil(40.0 * h.sent / max(h.sent) OVER ())::integer)), h.hour, 1
		FROM (SELECT * FROM smsflow_bi.campaign_hourly h WHERE h.campaign_id = $1 AND h.sent > 0 ORDER BY h.hour DESC LIMIT 24) h
	) x
	WHERE EXISTS (SELECT FROM smsflow_bi.campaign_hourly h WHERE h.campaign_id = $1 AND h.sent > 0)
	ORDER BY place, hour
$$;
COMMENT ON FUNCTION smsflow.report_of_hours(integer) IS 'Lines of campaign_report(): messages sent in each of the last 24 hours with any';
REVOKE ALL ON FUNCTION smsflow.report_of_hours(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.report_of_variants(campaign_id integer) RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '' WHERE EXISTS (SELECT FROM smsflow_bi.variant_results v WHERE v.campaign_id = $1)
	UNION ALL
	SELECT * FROM (
		SELECT format('  variant %s: sent %s, clicked %s %s, ordered %s %s', v.variant, v.sent, v.clickers, smsflow.percent(v.clickers, v.delivered),
				v.orders, smsflow.percent(v.orders, v.delivered))
			|| CASE WHEN v.sent > 0 THEN format(', best by clicks with %s %%, by orders with %s %%', round(100 * v.best_by_clicks::numeric, 1),
				round(100 * v.best_by_orders::numeric, 1)) ELSE '' END
		FROM smsflow_bi.variant_results v
		WHERE v.campaign_id = $1
		ORDER BY v.variant
	) x
$$;
COMMENT ON FUNCTION smsflow.report_of_variants(integer) IS 'Lines of campaign_report(): the variants side by side';
REVOKE ALL ON FUNCTION smsflow.report_of_variants(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.dbt_sources() RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT E'version: 2\nsources:\n  - name: smsflow_bi\n    schema: smsflow_bi\n    tables:\n' || string_agg(
		format(E'      - name: %s\n        description: %s\n        columns:\n', c.relname, to_json(obj_description(c.oid, 'pg_class'))) || a.columns, '' ORDER BY c.relname)
	FROM pg_class c
	CROSS JOIN LATERAL (
		SELECT string_agg(format(E'          - name: %s\n            data_type: %s\n            description: %s\n', x.attname, format_type(x.atttypid, NULL),
			to_json(col_description(c.oid, x.attnum))), '' ORDER BY x.attnum) AS columns
		FROM pg_attribute x WHERE x.attrelid = c.oid AND x.attnum > 0
	) a
	WHERE c.relnamespace = 'smsflow_bi'::regnamespace AND c.relkind = 'v'
$$;
COMMENT ON FUNCTION smsflow.dbt_sources() IS 'The views of smsflow_bi as dbt sources (YAML), made from the catalog, so that names, types and meanings are those of this very version';
REVOKE ALL ON FUNCTION smsflow.dbt_sources() FROM PUBLIC;

-- One row per sample; families in order, each with its type and help.
CREATE OR REPLACE VIEW smsflow.metric_sample AS
	SELECT 'smsflow_messages' AS family, 'gauge' AS type, 'Messages that are in this status now, all that wait together as queued' AS help, '' AS suffix,
		jsonb_build_object('purpose', m.purpose, 'status', m.measure) AS labels, sum(m.value) AS value
	FROM smsflow.metric_of_all_time m
	WHERE m.measure IN ('queued', 'suppressed', 'accepted', 'delivered', 'undelivered', 'rejected', 'expired', 'in_doubt', 'unknown', 'cancelled')
	GROUP BY m.purpose, m.measure
	UNION ALL
	SELECT 'smsflow_' || f.family, 'counter', f.help, '_total', jsonb_build_object('purpose', m.purpose), sum(m.value)
	FROM smsflow.metric_of_all_time m
	JOIN (VALUES ('sent', 'sent', 'Messages that gateways took'), ('clicks', 'clicks', 'Clicks by people'), ('replies', 'replies', 'Replies credited to a message'),
		('opt_outs', 'opt_outs', 'Opt-outs credited to a message'), ('orders', 'orders', 'Orders credited to a message')) AS f (measure, family, help) USING (measure)
	GROUP BY f.family, f.help, m.purpose
	UNION ALL
	SELECT 'smsflow_queue_waiting', 'gauge', 'Messages that no worker has taken yet; of long queues a part is counted', '',
		jsonb_build_object('lane', q.lane), sum(q.waiting)
	FROM smsflow.stat_queue q
	GROUP BY q.lane
	UNION ALL
	SELECT 'smsflow_queue_age_seconds', 'gauge', 'For how long the oldest of them is due', '', jsonb_build_object('lane', q.lane),
		greatest(0, round(extract(epoch FROM now() - min(q.oldest_at)), 3))
	FROM smsflow.stat_queue q
	WHERE q.oldest_at IS NOT NULL
	GROUP BY q.lane
	UNION ALL
	SELECT 'smsflow_metric_deltas', 'gauge', 'Changes of counters that are not folded yet', '', '{}', count(*) FROM smsflow.metric_delta
	UNION ALL
	SELECT 'smsflow_alerts', 'gauge', 'Rates that differ from their past', '', '{}', count(*) FROM smsflow.alert WHERE ended_at IS NULL
	UNION ALL
	SELECT 'smsflow_worker_running', 'gauge', 'The worker runs and sends', '', '{}', coalesce(bool_and(w.pid IS NOT NULL AND w.state = 'running')::integer, 0)
	FROM smsflow.stat_worker w
	UNION ALL
	SELECT 'smsflow_requests_in_flight', 'gauge', 'Requests on the wire', '', '{}', coalesce(sum(w.in_flight), 0) FROM smsflow.stat_worker w;
COMMENT ON VIEW smsflow.metric_sample IS 'What open_metrics() shows, one row per sample';

CREATE OR REPLACE FUNCTION smsflow.open_metrics() RETURNS text
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	SELECT coalesce(string_agg(f.lines, '' ORDER BY f.family), '') || E'# EOF\n'
	FROM (
		SELECT s.family, format(E'# TYPE %s %s\n# HELP %1$s %3$s\n', s.family, s.type, s.help)
			|| string_agg(s.family || s.suffix || l.labels || ' ' || trim_scale(s.value) || E'\n', '' ORDER BY l.labels) AS lines
		FROM smsflow.metric_sample s
		CROSS JOIN LATERAL (
			SELECT coalesce('{' || string_agg(format('%s="%s"', key, replace(replace(replace(value, '\', '\\'), '"', '\"'), E'\n', '\n')), ',' ORDER BY key) || '}', '') AS labels
			FROM jsonb_each_text(s.labels)
		) l
		GROUP BY s.family, s.type, s.help
	) f
$$;
COMMENT ON FUNCTION smsflow.open_metrics() IS 'Counters, queues, worker and alerts as OpenMetrics text (content type application/openmetrics-text; version=1.0.0)';
REVOKE ALL ON FUNCTION smsflow.open_metrics() FROM PUBLIC;
