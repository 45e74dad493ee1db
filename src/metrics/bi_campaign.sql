-- What a BI tool reads of campaigns. Every campaign has its row, also before its
-- first message. A column has the same meaning in every view; the meanings stand
-- once, in bi_comments.sql, and become the comments of the columns.

CREATE OR REPLACE VIEW smsflow_bi.campaign_totals AS
	SELECT c.name AS campaign, c.purpose::text AS purpose, c.status,
		t.recipients, t.suppressed, t.queued, t.sent, t.delivered, t.undelivered, t.rejected, t.expired, t.in_doubt, t.parts, t.clicks, t.clickers,
		t.replies, t.opt_outs, t.orders, t.revenue, t.cost, t.currency, t.delivery_rate, t.click_rate, t.conversion_rate, t.opt_out_rate,
		t.revenue_per_message, t.first_sent_at, t.last_sent_at, t.cost_currency, t.accepted, t.unknown, t.cancelled,
		b.name AS brand, c.campaign_id
	FROM smsflow.campaign c
	JOIN smsflow.brand b USING (brand_id)
	JOIN smsflow.metric_total t ON t.campaign_id = c.campaign_id AND t.campaign = c.name;
COMMENT ON VIEW smsflow_bi.campaign_totals IS 'One row per campaign: what became of its messages, and what came of them. Exact at any instant';

-- A campaign finds its hours by index, so that one campaign is cheap however many there are.
CREATE OR REPLACE VIEW smsflow_bi.campaign_hourly AS
	SELECT c.name AS campaign, h.bucket AS hour, h.sent, h.delivered, h.undelivered, h.rejected, h.clicks, h.replies, h.opt_outs, h.orders,
		b.name AS brand, c.campaign_id, h.clickers
	FROM smsflow.campaign c
	JOIN smsflow.brand b USING (brand_id)
	CROSS JOIN LATERAL (
		SELECT m.bucket,
			coalesce(sum(m.value) FILTER (WHERE m.measure = 'sent'), 0)::bigint AS sent,
			coalesce(sum(m.value) FILTER (WHERE m.measure = 'delivered'), 0)::bigint AS delivered,
			coalesce(sum(m.value) FILTER (WHERE m.measure = 'undelivered'), 0)::bigint AS undelivered,
			coalesce(sum(m.value) FILTER (WHERE m.measure = 'rejected'), 0)::bigint AS rejected,
			coalesce(sum(m.value) FILTER (WHERE m.measure = 'clicks'), 0)::bigint AS clicks,
			coalesce(sum(m.value) FILTER (WHERE m.measure = 'clickers'), 0)::bigint AS clickers,
			coalesce(sum(m.value) FILTER (WHERE m.measure = 'replies'), 0)::bigint AS replies,
			coalesce(sum(m.value) FILTER (WHERE m.measure = 'opt_outs'), 0)::bigint AS opt_outs,
			coalesce(sum(m.value) FILTER (WHERE m.measure = 'orders'), 0)::bigint AS orders
		FROM smsflow.metric m
		WHERE m.campaign_id = c.campaign_id AND m.campaign_id <> 0
		GROUP BY m.bucket
	) h;
COMMENT ON VIEW smsflow_bi.campaign_hourly IS 'What happened to a campaign in each hour in which something did. A count of a status is the net change: messages that came into it less those that left it';

CREATE OR REPLACE VIEW smsflow_bi.campaign_daily AS
	SELECT h.campaign, (h.hour AT TIME ZONE current_setting('TimeZone'))::date AS local_date, current_setting('TimeZone') AS time_zone,
		sum(h.sent)::bigint AS sent, sum(h.delivered)::bigint AS delivered, sum(h.undelivered)::bigint AS undelivered,
		sum(h.rejected)::bigint AS rejected, sum(h.clicks)::bigint AS clicks, sum(h.clickers)::bigint AS clickers,
		sum(h.replies)::bigint AS replies, sum(h.opt_outs)::bigint AS opt_outs, sum(h.orders)::bigint AS orders, h.brand, h.campaign_id
	FROM smsflow_bi.campaign_hourly h
	GROUP BY h.campaign_id, h.campaign, h.brand, 2;
COMMENT ON VIEW smsflow_bi.campaign_daily IS 'What happened to a campaign on each day of the session''s time zone (SET timezone, or ALTER ROLE ... SET timezone); counts as in campaign_hourly. An hour belongs to the day in which it begins, which is exact where the zone differs from UTC by whole hours';

-- All messages, whatever asked for them: one-time passwords and order notices are in no campaign.
CREATE OR REPLACE VIEW smsflow_bi.message_hourly AS
	SELECT m.bucket AS hour, m.purpose::text AS purpose,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'recipients'), 0)::bigint AS recipients,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'suppressed'), 0)::bigint AS suppressed,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'sent'), 0)::bigint AS sent,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'delivered'), 0)::bigint AS delivered,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'undelivered'), 0)::bigint AS undelivered,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'rejected'), 0)::bigint AS rejected,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'expired'), 0)::bigint AS expired,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'parts'), 0)::bigint AS parts,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'clicks'), 0)::bigint AS clicks,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'clickers'), 0)::bigint AS clickers,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'replies'), 0)::bigint AS replies,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'opt_outs'), 0)::bigint AS opt_outs,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'orders'), 0)::bigint AS orders, b.name AS brand
	FROM smsflow.metric m
	JOIN smsflow.brand b USING (brand_id)
	GROUP BY m.bucket, m.purpose, b.brand_id;
COMMENT ON VIEW smsflow_bi.message_hourly IS 'What happened to all messages of a purpose in each hour in which something did: of campaigns, sequences, one-time passwords and those that the store sends one by one. A count of a status is the net change, as in campaign_hourly';

CREATE OR REPLACE VIEW smsflow_bi.campaign_money AS
	SELECT c.name AS campaign, nullif(m.currency, '') AS currency,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'revenue'), 0) AS revenue,
		coalesce(sum(m.value) FILTER (WHERE m.measure = 'cost'), 0) AS cost, b.name AS brand, c.campaign_id
	FROM smsflow.campaign c
	JOIN smsflow.brand b USING (brand_id)
	JOIN smsflow.metric_of_all_time m USING (campaign_id)
	WHERE m.measure IN ('revenue', 'cost') AND m.value <> 0
	GROUP BY c.campaign_id, c.name, b.name, m.currency;
COMMENT ON VIEW smsflow_bi.campaign_money IS 'Revenue and cost of a campaign by currency, for a campaign with several';

CREATE OR REPLACE VIEW smsflow_bi.segment_performance AS
	SELECT s.name AS segment, count(*) AS campaigns, sum(t.recipients)::bigint AS recipients, sum(t.sent)::bigint AS sent,
		sum(t.delivered)::bigint AS delivered, sum(t.clickers)::bigint AS clickers, sum(t.opt_outs)::bigint AS opt_outs,
		sum(t.orders)::bigint AS orders,
		CASE WHEN count(DISTINCT t.currency) > 1 OR bool_or(t.revenue IS NULL) THEN NULL ELSE sum(t.revenue) END AS revenue,
		CASE WHEN count(DISTINCT t.currency) = 1 THEN min(t.currency) END AS currency,
		sum(t.delivered) / nullif(sum(t.sent), 0) AS delivery_rate, sum(t.clickers) / nullif(sum(t.delivered), 0) AS click_rate,
		sum(t.orders) / nullif(sum(t.delivered), 0) AS conversion_rate, sum(t.opt_outs) / nullif(sum(t.delivered), 0) AS opt_out_rate,
		s.segment_id
	FROM smsflow.segment s
	JOIN smsflow.campaign c USING (segment_id)
	JOIN smsflow_bi.campaign_totals t USING (campaign_id)
	GROUP BY s.segment_id, s.name;
COMMENT ON VIEW smsflow_bi.segment_performance IS 'What came of the campaigns to each segment that has one, all campaigns added up';
