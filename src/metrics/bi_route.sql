-- Views of the ways to the network: how well senders and gateways deliver, what
-- it costs, and what is in doubt.

-- Both views are this one, by different groups: a quantile cannot be added up
-- from those of parts, buckets can.
CREATE OR REPLACE VIEW smsflow.route_health AS
	WITH m AS (
		SELECT s.gateway_id, x.sender_id, x.bucket >= date_trunc('hour', now(), 'UTC') - interval '23 hours' AS recent, x.measure, x.value,
			x.last_at
		FROM smsflow.metric x
		JOIN smsflow.sender s USING (sender_id)
		WHERE x.bucket >= date_trunc('hour', now(), 'UTC') - interval '8 days'
	), counts AS (
		SELECT gateway_id, sender_id,
			coalesce(sum(value) FILTER (WHERE recent AND measure = 'sent'), 0)::bigint AS sent,
			coalesce(sum(value) FILTER (WHERE recent AND measure = 'delivered'), 0)::bigint AS delivered,
			coalesce(sum(value) FILTER (WHERE recent AND measure = 'undelivered'), 0)::bigint AS undelivered,
			coalesce(sum(value) FILTER (WHERE recent AND measure = 'rejected'), 0)::bigint AS rejected,
			coalesce(sum(value) FILTER (WHERE recent AND measure = 'opt_outs'), 0)::bigint AS opt_outs,
			sum(value) FILTER (WHERE recent AND measure = 'delivered')
				/ nullif(sum(value) FILTER (WHERE recent AND measure IN ('delivered', 'undelivered', 'rejected')), 0) AS delivery_rate,
			sum(value) FILTER (WHERE NOT recent AND measure = 'delivered')
				/ nullif(sum(value) FILTER (WHERE NOT recent AND measure IN ('delivered', 'undelivered', 'rejected')), 0) AS delivery_rate_before,
			max(last_at) FILTER (WHERE measure = 'sent') AS last_sent_at
		FROM m
		GROUP BY GROUPING SETS ((gateway_id, sender_id), (gateway_id))
	), delays AS (
		SELECT gateway_id, sender_id, bucket, sum(value) AS messages,
			sum(sum(value)) OVER (PARTITION BY gateway_id, sender_id ORDER BY bucket) AS running,
			sum(sum(value)) OVER (PARTITION BY gateway_id, sender_id) AS total
		FROM (SELECT gateway_id, sender_id, substr(measure, 7)::integer AS bucket, value FROM m WHERE recent AND measure LIKE 'delay:%') d
		GROUP BY GROUPING SETS ((gateway_id, sender_id, bucket), (gateway_id, bucket))
	), quantiles AS (
		SELECT gateway_id, sender_id,
			min(2 ^ (bucket / 4.0)) FILTER (WHERE running >= 0.50 * total) AS p50,
			min(2 ^ (bucket / 4.0)) FILTER (WHERE running >= 0.95 * total) AS p95,
			min(2 ^ (bucket / 4.0)) FILTER (WHERE running >= 0.99 * total) AS p99
		FROM delays
		GROUP BY gateway_id, sender_id
	), failures AS (
		SELECT gateway_id, sender_id, jsonb_object_agg(class, failed) AS by_class
		FROM (
			SELECT gateway_id, sender_id, substr(measure, 8) AS class, sum(value)::bigint AS failed
			FROM m WHERE recent AND measure LIKE 'failed:%'
			GROUP BY GROUPING SETS ((gateway_id, sender_id, substr(measure, 8)), (gateway_id, substr(measure, 8)))
		) f
		GROUP BY gateway_id, sender_id
	)
	SELECT c.*, round(q.p50::numeric, 1) AS p50, round(q.p95::numeric, 1) AS p95, round(q.p99::numeric, 1) AS p99,
		coalesce(f.by_class, '{}') AS failures
	FROM counts c
	LEFT JOIN quantiles q ON q.gateway_id = c.gateway_id AND q.sender_id IS NOT DISTINCT FROM c.sender_id
	LEFT JOIN failures f ON f.gateway_id = c.gateway_id AND f.sender_id IS NOT DISTINCT FROM c.sender_id;
COMMENT ON VIEW smsflow.route_health IS 'How senders (and, where sender_id is NULL, gateways) delivered in the last 24 hours and the 7 days before';

CREATE OR REPLACE VIEW smsflow_bi.sender_health AS
	SELECT s.address AS sender, g.name AS gateway, coalesce(h.sent, 0) AS sent, coalesce(h.delivered, 0) AS delivered,
		coalesce(h.undelivered, 0) AS undelivered, coalesce(h.rejected, 0) AS rejected, coalesce(h.opt_outs, 0) AS opt_outs,
		h.delivery_rate, h.delivery_rate_before, h.delivery_rate - h.delivery_rate_before AS trend, h.p50 AS seconds_p50, h.p95 AS seconds_p95,
		h.p99 AS seconds_p99, coalesce(h.failures, '{}') AS failures, h.last_sent_at, s.sender_id
	FROM smsflow.sender s
	JOIN smsflow.gateway g USING (gateway_id)
	LEFT JOIN smsflow.route_health h USING (sender_id);
COMMENT ON VIEW smsflow_bi.sender_health IS 'How each number delivered in the last 24 hours (24 clock hours, the current one included)';

CREATE OR REPLACE VIEW smsflow_bi.gateway_health AS
	SELECT g.name AS gateway, g.profile, coalesce(h.sent, 0) AS sent, coalesce(h.delivered, 0) AS delivered,
		coalesce(h.undelivered, 0) AS undelivered, coalesce(h.rejected, 0) AS rejected, coalesce(h.opt_outs, 0) AS opt_outs,
		h.delivery_rate, h.delivery_rate_before, h.delivery_rate - h.delivery_rate_before AS trend, h.p50 AS seconds_p50, h.p95 AS seconds_p95,
		h.p99 AS seconds_p99, coalesce(h.failures, '{}') AS failures, h.last_sent_at
	FROM smsflow.gateway g
	LEFT JOIN smsflow.route_health h ON h.gateway_id = g.gateway_id AND h.sender_id IS NULL;
COMMENT ON VIEW smsflow_bi.gateway_health IS 'How each gateway delivered in the last 24 hours (24 clock hours, the current one included)';

CREATE OR REPLACE VIEW smsflow_bi.cost_by_country AS
	SELECT nullif(m.country, '') AS country, nullif(m.currency, '') AS currency,
		sum(m.value) FILTER (WHERE m.measure = 'priced')::bigint AS messages, sum(m.value) FILTER (WHERE m.measure = 'cost') AS cost,
		sum(m.value) FILTER (WHERE m.measure = 'cost') / nullif(sum(m.value) FILTER (WHERE m.measure = 'priced'), 0) AS cost_per_message,
		b.name AS brand
	FROM smsflow.metric_of_all_time m
	JOIN smsflow.brand b USING (brand_id)
	WHERE m.measure IN ('cost', 'priced')
	GROUP BY m.country, m.currency, b.brand_id;
COMMENT ON VIEW smsflow_bi.cost_by_country IS 'What messages cost, by country of the number and by currency; messages whose cost no gateway reported are not here';

CREATE OR REPLACE VIEW smsflow_bi.otp_conversion AS
	SELECT (m.bucket AT TIME ZONE 'UTC')::date AS day,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'recipients'), 0)::bigint AS codes,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'sent'), 0)::bigint AS sent,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'delivered'), 0)::bigint AS delivered,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'approved'), 0)::bigint AS approved,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'approved'), 0)
			/ nullif(sum(m.value) FILTER (WHERE m.measure = 'sent'), 0) AS approval_rate, b.name AS brand
	FROM smsflow.metric m
	JOIN smsflow.brand b USING (brand_id)
	WHERE m.purpose = 'otp'
	GROUP BY b.brand_id, 1;
COMMENT ON VIEW smsflow_bi.otp_conversion IS 'One-time passwords by day (UTC): asked for, sent, delivered, entered';

CREATE OR REPLACE VIEW smsflow_bi.in_doubt_report AS
	SELECT d.gateway, d.sender, d.purpose, d.reason, d.next, count(*) AS messages, min(d.since) AS oldest_at, min(d.next_at) AS next_at
	FROM smsflow.in_doubt d
	GROUP BY d.gateway, d.sender, d.purpose, d.reason, d.next;
COMMENT ON VIEW smsflow_bi.in_doubt_report IS 'Messages that may or may not have reached a gateway, by route, purpose and cause';
