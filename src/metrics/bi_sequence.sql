-- Views of sequences: what became of the messages of each step, who came to a
-- step and where they left, and which carts came back.

CREATE OR REPLACE VIEW smsflow_bi.sequence_totals AS
	SELECT q.name AS sequence, p.step, q.purpose::text AS purpose,
		CASE WHEN q.enabled THEN 'enabled' ELSE 'disabled' END AS status,
		t.recipients, t.suppressed, t.queued, t.sent, t.delivered, t.undelivered, t.rejected, t.expired, t.in_doubt, t.parts, t.clicks, t.clickers,
		t.replies, t.opt_outs, t.orders, t.revenue, t.cost, t.currency, t.delivery_rate, t.click_rate, t.conversion_rate, t.opt_out_rate,
		t.revenue_per_message, t.first_sent_at, t.last_sent_at, t.cost_currency, t.accepted, t.unknown, t.cancelled,
		b.name AS brand, q.sequence_id
	FROM smsflow.sequence q
	JOIN smsflow.brand b USING (brand_id)
	JOIN smsflow.sequence_step p USING (sequence_id)
	JOIN smsflow.metric_total t USING (sequence_id, step);
COMMENT ON VIEW smsflow_bi.sequence_totals IS 'One row per step of a sequence: what became of its messages, and what came of them. Exact at any instant';

CREATE OR REPLACE VIEW smsflow_bi.sequence_funnel AS
	SELECT q.name AS sequence, p.step, coalesce(n.entered, 0) AS entered, coalesce(n.waiting, 0) AS waiting,
		t.sent, t.delivered, t.clickers AS clicked, t.orders AS converted, coalesce(n.completed, 0) AS completed, coalesce(n.exited, 0) AS exited,
		coalesce(n.exited_by, '{}') AS exited_by_reason, b.name AS brand, q.sequence_id
	FROM smsflow.sequence q
	JOIN smsflow.brand b USING (brand_id)
	JOIN smsflow.sequence_step p USING (sequence_id)
	JOIN smsflow.metric_total t USING (sequence_id, step)
	LEFT JOIN LATERAL (
		SELECT sum(e.people)::bigint AS entered,
			sum(e.people) FILTER (WHERE e.step = p.step AND e.end_reason IS NULL)::bigint AS waiting,
			sum(e.people) FILTER (WHERE e.step = p.step AND e.end_reason = 'completed')::bigint AS completed,
			sum(e.people) FILTER (WHERE e.step = p.step AND e.end_reason <> 'completed')::bigint AS exited,
			jsonb_object_agg(e.end_reason, e.people) FILTER (WHERE e.step = p.step AND e.end_reason <> 'completed') AS exited_by
		FROM (
			SELECT x.step, x.end_reason, count(*) AS people FROM smsflow.enrollment x
			WHERE x.sequence_id = q.sequence_id AND x.step >= p.step AND x.end_reason IS DISTINCT FROM 'not_admitted'
			GROUP BY x.step, x.end_reason
		) e
	) n ON true;
COMMENT ON VIEW smsflow_bi.sequence_funnel IS 'One row per step of a sequence: how many people came to it, what they did, and where and why they left';

-- Carts are read from touch, which is kept for 35 days and has them by index.
CREATE OR REPLACE VIEW smsflow_bi.cart_recovery AS
	WITH reminded AS (
		SELECT o.sequence_id, o.step, t.contact_id, e.ref, t.sent_at, n.started_at,
			lead(t.sent_at) OVER (PARTITION BY t.contact_id, t.ref ORDER BY t.sent_at, t.message_id) AS next_sent_at
		FROM smsflow.touch t
		JOIN smsflow.outbox o USING (message_id)
		JOIN smsflow.enrollment n USING (enrollment_id)
		CROSS JOIN LATERAL (SELECT nullif(n.ref, '') AS ref) e
		WHERE t.purpose = 'cart' AND t.ref IS NOT NULL AND e.ref IS NOT NULL
	), outcome AS (
		SELECT r.sequence_id, r.step,
			least(20, ceil(ln(greatest(extract(epoch FROM r.sent_at - r.started_at) / 900, 1)) / ln(2)))::integer AS doubling, p.amount, p.currency, p.event_id IS NOT NULL AS recovered
		FROM reminded r
		LEFT JOIN LATERAL (
			SELECT v.event_id, v.amount, v.currency FROM smsflow.event v
			WHERE v.contact_id = r.contact_id AND v.kind = 'order' AND v.data #>> '{order,cart_id}' = r.ref
				AND v.occurred_at > r.sent_at AND (r.next_sent_at IS NULL OR v.occurred_at <= r.next_sent_at)
			ORDER BY v.occurred_at, v.event_id
			LIMIT 1
		) p ON true
	)
	SELECT q.name AS sequence, x.step, 15 * (2 ^ x.doubling)::integer AS minutes_up_to, count(*) AS carts,
		count(*) FILTER (WHERE x.recovered) AS recovered, count(*) FILTER (WHERE x.recovered)::numeric / count(*) AS recovery_rate,
		CASE WHEN count(DISTINCT x.currency) > 1 THEN NULL ELSE coalesce(sum(x.amount), 0) END AS value,
		CASE WHEN count(DISTINCT x.currency) = 1 THEN min(x.currency) END AS currency, b.name AS brand, q.sequence_id
	FROM outcome x
	JOIN smsflow.sequence q USING (sequence_id)
	JOIN smsflow.brand b USING (brand_id)
	GROUP BY q.sequence_id, q.name, b.name, x.step, x.doubling;
COMMENT ON VIEW smsflow_bi.cart_recovery IS 'Carts of which somebody was reminded in the last 35 days, and those ordered after it, by how long the reminder came after the cart. An order that names its cart counts once, for the last reminder before it; without a group that got none it is an upper bound of what reminders do';
