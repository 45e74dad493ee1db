-- Which orders came of which messages, worked out anew from messages, clicks and
-- orders at any time and by any model. The counters keep one decision, made when
-- the order came (credit.sql); this asks again, and may ask differently.

CREATE OR REPLACE FUNCTION smsflow.two_proportions(successes_a bigint, trials_a bigint, successes_b bigint, trials_b bigint) RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_pg_two_proportions';
COMMENT ON FUNCTION smsflow.two_proportions(bigint, bigint, bigint, bigint) IS 'How probable a difference of two rates at least as large is if both are the same: two-sided p-value of the pooled two-proportion z-test. Errors: SF007 more successes than trials, or negative';

CREATE OR REPLACE FUNCTION smsflow.probability_best(successes bigint[], trials bigint[]) RETURNS double precision[]
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_pg_probability_best';
COMMENT ON FUNCTION smsflow.probability_best(bigint[], bigint[]) IS 'For each variant the probability that its rate is the highest: posteriors Beta(1 + successes, 1 + trials - successes), integrated numerically. NULL for one without trials, which is no candidate. At most 64 variants. Errors: SF007 counts that are no rates';

CREATE OR REPLACE FUNCTION smsflow.refunded(contact_id bigint, ref text, amount numeric, currency text) RETURNS numeric
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN bool_or(e.kind <> 'refund') THEN $3
		ELSE least(coalesce(sum(abs(e.amount)) FILTER (WHERE e.currency IS NULL OR $4 IS NULL OR e.currency = $4), 0), $3) END
	FROM smsflow.event e
	WHERE e.contact_id = $1 AND e.ref = $2 AND $2 <> '' AND e.kind IN ('refund', 'order_refunded', 'order_returned', 'order_cancelled')
$$;
COMMENT ON FUNCTION smsflow.refunded(bigint, text, numeric, text) IS 'How much of an order was given back, in its currency: all of it once its status is refunded, returned or cancelled, else the sum of the events "refund" of this ref, whatever their sign, and no more than the order. A refund that names another currency is not taken off, because its rate is not known';
REVOKE ALL ON FUNCTION smsflow.refunded(bigint, text, numeric, text) FROM PUBLIC;

-- What an order may be credited to: a marketing message that reached the person
-- (from its delivery, or its sending while no end is reported) or was clicked.
CREATE OR REPLACE FUNCTION smsflow.order_touches(click_window interval, delivery_window interval, since timestamptz, until timestamptz)
	RETURNS TABLE (order_id bigint, message_id bigint, kind text, touched_at timestamptz)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH bought AS MATERIALIZED (
		SELECT DISTINCT ON (e.contact_id, coalesce(nullif(e.ref, ''), e.event_id::text)) e.event_id, e.contact_id, e.occurred_at
		FROM smsflow.event e
		WHERE e.kind = 'order' AND e.contact_id IS NOT NULL
		ORDER BY e.contact_id, coalesce(nullif(e.ref, ''), e.event_id::text), e.event_id
	), asked AS MATERIALIZED (
		SELECT * FROM bought WHERE ($3 IS NULL OR occurred_at >= $3) AND ($4 IS NULL OR occurred_at < $4)
	), reached AS (
		SELECT o.message_id, o.contact_id, CASE WHEN r.delivered_at IS NULL AND r.failed THEN NULL ELSE coalesce(r.delivered_at, a.sent_at, r.first_at) END AS at
		FROM smsflow.outbox o
		CROSS JOIN LATERAL (SELECT min(x.finished_at) FILTER (WHERE x.outcome = 'accepted') AS sent_at
			FROM smsflow.attempt x WHERE x.message_id = o.message_id) a
		CROSS JOIN LATERAL (SELECT min(x.occurred_at) AS first_at, min(x.occurred_at) FILTER (WHERE x.status = 'delivered') AS delivered_at,
				bool_or(x.status IN ('undelivered', 'rejected', 'expired')) AS failed
			FROM smsflow.report x WHERE x.message_id = o.message_id) r
		WHERE o.contact_id IN (SELECT contact_id FROM asked) AND o.created_at < coalesce($4, 'infinity')
			AND (o.campaign_id IS NOT NULL OR (o.sequence_id IS NOT NULL AND o.purpose IN ('cart', 'promotional')))
	)
	SELECT b.event_id, m.message_id, 'delivery', m.at
	FROM asked b JOIN reached m USING (contact_id)
	WHERE m.at <= b.occurred_at AND m.at > b.occurred_at - $2
	UNION ALL
	SELECT b.event_id, c.message_id, 'click', c.clicked_at
	FROM asked b
	JOIN smsflow.click c ON c.contact_id = b.contact_id AND c.class = 'human'
	JOIN smsflow.outbox o ON o.message_id = c.message_id
	WHERE c.clicked_at <= b.occurred_at AND c.clicked_at > b.occurred_at - $1
		AND (o.campaign_id IS NOT NULL OR (o.sequence_id IS NOT NULL AND o.purpose IN ('cart', 'promotional')))
$$;
COMMENT ON FUNCTION smsflow.order_touches(interval, interval, timestamptz, timestamptz) IS 'Deliveries and clicks of marketing messages within the windows that end with each order of the range';
REVOKE ALL ON FUNCTION smsflow.order_touches(interval, interval, timestamptz, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.attribution(model text DEFAULT 'last_touch', click_window interval DEFAULT '5 days', delivery_window interval DEFAULT '12 hours',
		net_of_refunds boolean DEFAULT false, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL)
	RETURNS TABLE (order_id bigint, message_id bigint, contact_id bigint, campaign_id integer, sequence_id integer, step smallint, variant smallint,
		touch text, touched_at timestamptz, ordered_at timestamptz, credit numeric, revenue numeric, currency text, recovered_cart boolean)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
	IF model IS NULL OR model <> ALL ('{last_click,last_touch,first_touch,linear}') THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('unknown attribution model "%s"', model),
			HINT = 'A model is last_click, last_touch, first_touch or linear.';
	END IF;
	RETURN QUERY
	WITH touches AS (		-- one per order and message: the one that the model looks at
		SELECT DISTINCT ON (t.order_id, t.message_id) t.*
		FROM smsflow.order_touches(click_window, delivery_window, since, until) t
		WHERE model <> 'last_click' OR t.kind = 'click'
		ORDER BY t.order_id, t.message_id, CASE WHEN model = 'first_touch' THEN t.touched_at END, t.touched_at DESC, t.kind
	), ranked AS (
		SELECT t.*, count(*) OVER (PARTITION BY t.order_id) AS touched,
			row_number() OVER (PARTITION BY t.order_id ORDER BY CASE WHEN model = 'first_touch' THEN t.touched_at END, t.touched_at DESC,
				t.message_id DESC) AS place
		FROM touches t
	)
	SELECT r.order_id, r.message_id, e.contact_id, o.campaign_id, o.sequence_id, o.step, o.variant, r.kind, r.touched_at, e.occurred_at, x.credit,
		x.credit * (e.amount - CASE WHEN net_of_refunds THEN coalesce(smsflow.refunded(e.contact_id, e.ref, e.amount, e.currency), 0) ELSE 0 END),
		e.currency, coalesce(n.ref = e.data #>> '{order,cart_id}', false)
	FROM ranked r
	-- Thirds do not add up to one, so the last touch has what the others leave.
	CROSS JOIN LATERAL (SELECT CASE WHEN model <> 'linear' THEN 1.0 WHEN r.place > 1 THEN 1.0 / r.touched ELSE 1 - (r.touched - 1) * (1.0 / r.touched) END AS credit) x
	JOIN smsflow.event e ON e.event_id = r.order_id
	JOIN smsflow.outbox o ON o.message_id = r.message_id
	LEFT JOIN smsflow.enrollment n ON n.enrollment_id = o.enrollment_id AND o.purpose = 'cart' AND n.ref <> ''
	WHERE model = 'linear' OR r.place = 1;
END
$$;
COMMENT ON FUNCTION smsflow.attribution(text, interval, interval, boolean, timestamptz, timestamptz) IS 'Credits each order (contact and ref, once) of the range since <= t < until to marketing messages by a model: last_click, the last one clicked by a person within click_window before the order; last_touch and first_touch, the last or first clicked within click_window or delivered within delivery_window; linear, all of these in equal parts. The credit of an order adds up to 1 or, without a touch, it has no row. revenue is credit times the amount, without what was refunded if net_of_refunds, in currency; recovered_cart: the message was a reminder of the very cart. Reads messages from the tables, so as far back as retention goes. Errors: SF007 unknown model';
REVOKE ALL ON FUNCTION smsflow.attribution(text, interval, interval, boolean, timestamptz, timestamptz) FROM PUBLIC;

CREATE OR REPLACE VIEW smsflow_bi.attributed_revenue AS
	WITH credited AS (
		SELECT m.model, coalesce(a.campaign_id, 0) AS campaign_id, coalesce(a.sequence_id, 0) AS sequence_id, coalesce(a.currency, '') AS currency,
			sum(a.credit) AS orders, coalesce(sum(a.revenue), 0) AS revenue, coalesce(sum(a.credit) FILTER (WHERE a.recovered_cart), 0) AS recovered_carts
		FROM unnest('{last_click,last_touch,first_touch,linear}'::text[]) AS m (model)
		CROSS JOIN LATERAL smsflow.attribution(m.model) a
		GROUP BY 1, 2, 3, 4
	), spent AS (
		SELECT campaign_id, sequence_id, currency, sum(value) AS cost FROM smsflow.metric_of_all_time WHERE measure = 'cost' GROUP BY 1, 2, 3
	), went AS (
		SELECT campaign_id, sequence_id, sum(value) FILTER (WHERE measure = 'sent')::bigint AS sent,
			sum(value) FILTER (WHERE measure = 'delivered')::bigint AS delivered
		FROM smsflow.metric_of_all_time WHERE measure IN ('sent', 'delivered') GROUP BY 1, 2
	)
	SELECT c.model, k.name AS campaign, q.name AS sequence, nullif(c.currency, '') AS currency, c.orders, c.revenue, c.recovered_carts, s.sent,
		x.cost, c.orders / nullif(s.delivered, 0) AS conversion_rate, c.revenue / nullif(s.delivered, 0) AS revenue_per_message,
		c.revenue / nullif(x.cost, 0) AS return_on_spend, k.campaign_id, q.sequence_id, coalesce(s.delivered, 0) AS delivered
	FROM credited c
	LEFT JOIN smsflow.campaign k ON k.campaign_id = c.campaign_id
	LEFT JOIN smsflow.sequence q ON q.sequence_id = c.sequence_id
	LEFT JOIN spent x ON x.campaign_id = c.campaign_id AND x.sequence_id = c.sequence_id AND x.currency = c.currency
	LEFT JOIN went s ON s.campaign_id = c.campaign_id AND s.sequence_id = c.sequence_id;
COMMENT ON VIEW smsflow_bi.attributed_revenue IS 'Orders and revenue of campaigns and sequences by attribution model, with clicks of 5 days and deliveries of 12 hours, one row per currency; refunds are not taken off. Worked out anew from all orders and messages: for other windows, refunds or a range call smsflow.attribution()';

-- By intention: who was to get the campaign against who was left out by chance,
-- whatever became of the messages, so that both groups are alike but for it.
CREATE OR REPLACE VIEW smsflow_bi.holdout_lift AS
	SELECT x.campaign, x.treated, x.treated_buyers, x.held_out, x.held_out_buyers, x.treated_buyers::numeric / nullif(x.treated, 0) AS treated_rate,
		x.held_out_buyers::numeric / nullif(x.held_out, 0) AS held_out_rate,
		(x.treated_buyers::numeric / nullif(x.treated, 0)) / nullif(x.held_out_buyers::numeric / nullif(x.held_out, 0), 0) - 1 AS lift,
		x.treated_buyers - x.treated * x.held_out_buyers::numeric / nullif(x.held_out, 0) AS extra_buyers,
		smsflow.two_proportions(x.treated_buyers, x.treated, x.held_out_buyers, x.held_out) AS p_value, x.brand, x.campaign_id
	FROM (
		SELECT k.campaign_id, k.name AS campaign, b.name AS brand, count(*) FILTER (WHERE g.refusal IS NULL) AS treated,
			count(*) FILTER (WHERE g.refusal IS NULL AND g.bought) AS treated_buyers, count(*) FILTER (WHERE g.refusal = 'holdout') AS held_out,
			count(*) FILTER (WHERE g.refusal = 'holdout' AND g.bought) AS held_out_buyers
		FROM smsflow.campaign k
		JOIN smsflow.brand b USING (brand_id)
		LEFT JOIN smsflow.campaign_policy p USING (brand_id)
		CROSS JOIN LATERAL (
			SELECT o.refusal, EXISTS (SELECT FROM smsflow.event e WHERE e.contact_id = o.contact_id AND e.kind = 'order'
				AND e.occurred_at > o.created_at AND e.occurred_at <= o.created_at + interval '5 days') AS bought
			FROM smsflow.outbox o
			WHERE o.campaign_id = k.campaign_id AND o.message_id > k.after_message_id AND (o.refusal IS NULL OR o.refusal = 'holdout')
		) g
		WHERE k.options ? 'holdout' OR p.holdout > 0
		GROUP BY k.campaign_id, k.name, b.name
	) x
	WHERE x.held_out > 0;
COMMENT ON VIEW smsflow_bi.holdout_lift IS 'What a campaign brought against those whom its holdout left out: people with an order within 5 days after the campaign came to them. Reads the messages of campaigns with a holdout';
