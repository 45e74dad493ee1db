-- Variants side by side, of campaigns and of steps of sequences: their rates, the
-- uplift over the first one, and the probability that each is the best.

-- All of one campaign or step are brought into one row, where they are compared, and taken apart again. The name of the
-- campaign is among the keys: who asks for one campaign reads the rows of that campaign alone. Rates are of what was delivered, but the
-- probability to be the best is of what was sent: a decision must not wait for reports that a gateway may never send.
CREATE OR REPLACE VIEW smsflow.variant_figure AS
	SELECT v.campaign_id, v.campaign, v.sequence_id, v.step, u.variant, u.recipients, u.sent, u.delivered, u.clickers, u.orders, u.opt_outs,
		u.clickers::numeric / nullif(u.delivered, 0) AS click_rate, u.orders::numeric / nullif(u.delivered, 0) AS conversion_rate,
		u.opt_outs::numeric / nullif(u.delivered, 0) AS opt_out_rate,
		(u.clickers::numeric / nullif(u.delivered, 0)) / nullif(v.clickers[1]::numeric / nullif(v.delivered[1], 0), 0) - 1 AS click_uplift,
		(u.orders::numeric / nullif(u.delivered, 0)) / nullif(v.orders[1]::numeric / nullif(v.delivered[1], 0), 0) - 1 AS conversion_uplift,
		u.best_by_clicks, u.best_by_orders
	FROM (
		SELECT c.campaign_id, c.campaign, c.sequence_id, c.step, array_agg(c.variant ORDER BY c.variant) AS variant,
			array_agg(c.recipients ORDER BY c.variant) AS recipients, array_agg(c.sent ORDER BY c.variant) AS sent,
			array_agg(c.delivered ORDER BY c.variant) AS delivered, array_agg(c.clickers ORDER BY c.variant) AS clickers,
			array_agg(c.orders ORDER BY c.variant) AS orders, array_agg(c.opt_outs ORDER BY c.variant) AS opt_outs,
			smsflow.probability_best(array_agg(least(c.clickers, c.sent) ORDER BY c.variant), array_agg(c.sent ORDER BY c.variant)) AS by_clicks,
			smsflow.probability_best(array_agg(least(c.orders, c.sent) ORDER BY c.variant), array_agg(c.sent ORDER BY c.variant)) AS by_orders
		FROM (
			SELECT m.campaign_id, k.name AS campaign, m.sequence_id, m.step, m.variant,
				coalesce(sum(m.value) FILTER (WHERE m.measure = 'recipients'), 0)::bigint AS recipients,
				coalesce(sum(m.value) FILTER (WHERE m.measure = 'sent'), 0)::bigint AS sent,
				coalesce(sum(m.value) FILTER (WHERE m.measure = 'delivered'), 0)::bigint AS delivered,
				coalesce(sum(m.value) FILTER (WHERE m.measure = 'clickers'), 0)::bigint AS clickers,
				coalesce(sum(m.value) FILTER (WHERE m.measure = 'orders'), 0)::bigint AS orders,
				coalesce(sum(m.value) FILTER (WHERE m.measure = 'opt_outs'), 0)::bigint AS opt_outs
			FROM smsflow.metric_of_all_time m
			LEFT JOIN smsflow.campaign k ON k.campaign_id = m.campaign_id
			WHERE m.variant > 0
			GROUP BY m.campaign_id, k.name, m.sequence_id, m.step, m.variant
		) c
		GROUP BY c.campaign_id, c.campaign, c.sequence_id, c.step
		HAVING count(*) <= 64
	) v
	CROSS JOIN LATERAL unnest(v.variant, v.recipients, v.sent, v.delivered, v.clickers, v.orders, v.opt_outs, v.by_clicks, v.by_orders)
		AS u (variant, recipients, sent, delivered, clickers, orders, opt_outs, best_by_clicks, best_by_orders);
COMMENT ON VIEW smsflow.variant_figure IS 'Counters of all time by variant, the rates between them, and how each compares with the others of its campaign, or of its step of a sequence; of 65 variants and more there are none';

CREATE OR REPLACE VIEW smsflow_bi.variant_results AS
	SELECT k.name AS campaign, f.variant, f.recipients, f.sent, f.delivered, f.clickers, f.orders, f.opt_outs, f.click_rate, f.conversion_rate,
		f.opt_out_rate, f.click_uplift, f.conversion_uplift, f.best_by_clicks, f.best_by_orders, b.name AS brand, k.campaign_id, v.name AS variant_name
	FROM smsflow.campaign k
	JOIN smsflow.brand b USING (brand_id)
	JOIN smsflow.variant_figure f ON f.campaign_id = k.campaign_id AND f.campaign = k.name
	LEFT JOIN smsflow.campaign_variant v ON v.campaign_id = k.campaign_id AND v.variant = f.variant;
COMMENT ON VIEW smsflow_bi.variant_results IS 'Variants of a campaign side by side, with their uplift over the first and the probability that each is the best';

CREATE OR REPLACE VIEW smsflow_bi.sequence_variant_results AS
	SELECT q.name AS sequence, f.step, f.variant, f.recipients, f.sent, f.delivered, f.clickers, f.orders, f.opt_outs, f.click_rate, f.conversion_rate,
		f.opt_out_rate, f.click_uplift, f.conversion_uplift, f.best_by_clicks, f.best_by_orders, b.name AS brand, q.sequence_id
	FROM smsflow.sequence q
	JOIN smsflow.brand b USING (brand_id)
	JOIN smsflow.variant_figure f USING (sequence_id);
COMMENT ON VIEW smsflow_bi.sequence_variant_results IS 'Variants of a step of a sequence side by side, in the order in which the step lists their texts, with their uplift over the first and the probability that each is the best';
