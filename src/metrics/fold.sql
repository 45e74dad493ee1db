-- Counters: the fold of deltas into hours and totals, the counters side by side,
-- and a recount from the messages themselves.
--
-- Every view adds pending deltas to folded hours in one statement. One snapshot
-- sees a delta either pending or folded, never both and never neither, so the
-- figures are exact at any instant and do not depend on how far the fold is.

CREATE OR REPLACE FUNCTION smsflow.fold_metrics() RETURNS bigint
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	WITH gone AS (
		DELETE FROM smsflow.metric_delta RETURNING *
	), hours AS (
		SELECT bucket, brand_id, campaign_id, sequence_id, sender_id, step, variant, purpose, measure, currency, country,
			sum(value) AS value, min(first_at) AS first_at, max(last_at) AS last_at
		FROM gone
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
		ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11		-- one lock order, should two sessions ever fold at once
	), folded AS (
		INSERT INTO smsflow.metric_hour AS h (bucket, brand_id, campaign_id, sequence_id, sender_id, step, variant, purpose,
			measure, currency, country, value, first_at, last_at)
		SELECT * FROM hours
		ON CONFLICT (bucket, brand_id, campaign_id, sequence_id, sender_id, step, variant, purpose, measure, currency, country)
		DO UPDATE SET value = h.value + excluded.value,
			first_at = least(h.first_at, excluded.first_at),
			last_at = greatest(h.last_at, excluded.last_at)
	), summed AS (
		INSERT INTO smsflow.metric_ever AS e (brand_id, campaign_id, sequence_id, step, variant, purpose, measure, currency, country,
			value, first_at, last_at)
		SELECT brand_id, campaign_id, sequence_id, step, variant, purpose, measure, currency, country,
			sum(value), min(first_at), max(last_at)
		FROM hours
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
		ORDER BY 2, 3, 4, 5, 1, 6, 7, 8, 9
		ON CONFLICT (campaign_id, sequence_id, step, variant, brand_id, purpose, measure, currency, country)
		DO UPDATE SET value = e.value + excluded.value,
			first_at = least(e.first_at, excluded.first_at),
			last_at = greatest(e.last_at, excluded.last_at)
	)
	SELECT count(*) FROM gone
$$;
COMMENT ON FUNCTION smsflow.fold_metrics() IS 'Moves pending deltas into metric_hour and metric_ever; returns the number of deltas folded. Rows whose value has come back to zero stay';
REVOKE ALL ON FUNCTION smsflow.fold_metrics() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.status_measure(status smsflow.message_status) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN status IN ('scheduled', 'queued', 'held', 'sending') THEN 'queued' ELSE status::text END;
COMMENT ON FUNCTION smsflow.status_measure(smsflow.message_status) IS 'Measure that counts messages of this status; all that still wait count together as queued';
REVOKE ALL ON FUNCTION smsflow.status_measure(smsflow.message_status) FROM PUBLIC;

-- How long the network took is kept in buckets of equal ratio, four to each
-- doubling: they can be added up over hours and senders, and tell a quantile to
-- about a tenth.

CREATE OR REPLACE FUNCTION smsflow.delay_bucket(delay interval) RETURNS smallint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN least(80, ceil(4 * ln(greatest(extract(epoch FROM delay), 1)::double precision) / ln(2::double precision)))::smallint;
COMMENT ON FUNCTION smsflow.delay_bucket(interval) IS 'Bucket of a duration: the least n with duration <= 2^(n/4) seconds; 0 for a second or less, 80 for about 12 days and more';

CREATE OR REPLACE FUNCTION smsflow.report_measure(before smsflow.message_status, after smsflow.message_status, class text,
		sent_at timestamptz, delivered_at timestamptz) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN before = after THEN NULL
	WHEN after = 'delivered' THEN 'delay:' || smsflow.delay_bucket(delivered_at - sent_at)
	WHEN after IN ('undelivered', 'rejected', 'expired')
		THEN 'failed:' || coalesce(class, CASE WHEN after = 'expired' THEN 'expired' ELSE 'unknown' END) END;
COMMENT ON FUNCTION smsflow.report_measure(smsflow.message_status, smsflow.message_status, text, timestamptz, timestamptz) IS 'Measure that counts what a report said besides the status: how long delivery took, or why it failed; NULL: nothing';

-- The counters, exact in every snapshot.

CREATE OR REPLACE VIEW smsflow.metric AS
	SELECT bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value, first_at, last_at, currency,
		variant, country
	FROM smsflow.metric_hour
	UNION ALL
	SELECT bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value, first_at, last_at, currency,
		variant, country
	FROM smsflow.metric_delta;
COMMENT ON VIEW smsflow.metric IS 'Counters, folded and pending; several rows may share a key, so sum them';

CREATE OR REPLACE FUNCTION smsflow.recount(from_id bigint, to_id bigint)
	RETURNS TABLE (campaign_id integer, sequence_id integer, step smallint, variant smallint, measure text, currency text, value numeric)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH counted AS (
		SELECT m.campaign_id, m.sequence_id, m.step, m.variant, x.measure, x.value, x.currency
		FROM smsflow.message_state m
		CROSS JOIN LATERAL (VALUES
			('recipients', 1, ''),
			(smsflow.status_measure(m.status), 1, ''),
			('parts', CASE WHEN m.queue_id <> 0 THEN m.parts END, ''),		-- queue 0: refused at once
			('sent', CASE WHEN m.sent_at IS NOT NULL THEN 1 END, ''),
			('priced', CASE WHEN m.cost IS NOT NULL THEN 1 END, coalesce(m.currency, '')),
			('cost', m.cost, coalesce(m.currency, ''))) AS x (measure, value, currency)
		WHERE x.value IS NOT NULL AND m.message_id >= recount.from_id AND m.message_id < recount.to_id
		UNION ALL
		SELECT o.campaign_id, o.sequence_id, o.step, o.variant, x.measure, x.value, x.currency
		FROM smsflow.attribution a
		JOIN smsflow.outbox o USING (message_id)
		CROSS JOIN LATERAL (VALUES
			(CASE a.kind WHEN 'order' THEN 'orders' WHEN 'reply' THEN 'replies' ELSE 'opt_outs' END, 1, ''),
			('revenue', a.amount, coalesce(a.currency, ''))) AS x (measure, value, currency)
		WHERE x.value IS NOT NULL AND a.message_id >= recount.from_id AND a.message_id < recount.to_id
		UNION ALL
		SELECT o.campaign_id, o.sequence_id, o.step, o.variant, x.measure, x.value, ''
		FROM (SELECT k.message_id, count(*) AS clicks FROM smsflow.click k WHERE k.class = 'human'
				AND k.message_id >= recount.from_id AND k.message_id < recount.to_id GROUP BY 1) AS h
		JOIN smsflow.outbox o USING (message_id)
		CROSS JOIN LATERAL (VALUES ('clicks', h.clicks), ('clickers', 1)) AS x (measure, value)
	)
	SELECT coalesce(c.campaign_id, 0), coalesce(c.sequence_id, 0), coalesce(c.step, 0::smallint),
		coalesce(c.variant, 0::smallint), c.measure, c.currency, sum(c.value)
	FROM counted c
	GROUP BY 1, 2, 3, 4, 5, 6
$$;
COMMENT ON FUNCTION smsflow.recount(bigint, bigint) IS 'The counters that can be recomputed, counted anew from the messages from_id <= message_id < to_id and what is credited to them';
REVOKE ALL ON FUNCTION smsflow.recount(bigint, bigint) FROM PUBLIC;

CREATE OR REPLACE VIEW smsflow.metric_recount AS
	SELECT c.campaign_id, c.sequence_id, c.step, c.variant, c.measure, c.currency, sum(c.value) AS value
	FROM (SELECT * FROM smsflow.recount(0, 9223372036854775807) UNION ALL SELECT * FROM smsflow.metric_dropped) c
	GROUP BY 1, 2, 3, 4, 5, 6;
COMMENT ON VIEW smsflow.metric_recount IS 'The counters that can be recomputed, counted anew from messages, attributions and clicks, and what retention kept of those it has dropped; reads every message';

CREATE OR REPLACE VIEW smsflow.metric_of_all_time AS
	SELECT brand_id, campaign_id, sequence_id, step, variant, purpose, measure, currency, country, value, first_at, last_at
	FROM smsflow.metric_ever
	UNION ALL
	SELECT brand_id, campaign_id, sequence_id, step, variant, purpose, measure, currency, country, value, first_at, last_at
	FROM smsflow.metric_delta;
COMMENT ON VIEW smsflow.metric_of_all_time IS 'Counters over all hours, folded and pending; several rows may share a key, so sum them';

-- One level of sums, and names among its keys: who asks for one campaign by its name reads the rows of that campaign alone.
-- A campaign or step of which nothing is counted yet has its row by the noughts.
CREATE OR REPLACE VIEW smsflow.metric_total AS
	WITH summed AS (
		SELECT m.campaign_id, k.name AS campaign, m.sequence_id, m.step,
			sum(value) FILTER (WHERE measure = 'recipients') AS recipients,
			sum(value) FILTER (WHERE measure = 'suppressed') AS suppressed,
			sum(value) FILTER (WHERE measure = 'queued') AS queued,
			sum(value) FILTER (WHERE measure = 'sent') AS sent,
			sum(value) FILTER (WHERE measure = 'accepted') AS accepted,
			sum(value) FILTER (WHERE measure = 'delivered') AS delivered,
			sum(value) FILTER (WHERE measure = 'undelivered') AS undelivered,
			sum(value) FILTER (WHERE measure = 'rejected') AS rejected,
			sum(value) FILTER (WHERE measure = 'expired') AS expired,
			sum(value) FILTER (WHERE measure = 'in_doubt') AS in_doubt,
			sum(value) FILTER (WHERE measure = 'unknown') AS unknown,
			sum(value) FILTER (WHERE measure = 'cancelled') AS cancelled,
			sum(value) FILTER (WHERE measure = 'parts') AS parts,
			sum(value) FILTER (WHERE measure = 'clicks') AS clicks,
			sum(value) FILTER (WHERE measure = 'clickers') AS clickers,
			sum(value) FILTER (WHERE measure = 'replies') AS replies,
			sum(value) FILTER (WHERE measure = 'opt_outs') AS opt_outs,
			sum(value) FILTER (WHERE measure = 'orders') AS orders,
			sum(value) FILTER (WHERE measure = 'revenue') AS revenue,
			sum(value) FILTER (WHERE measure = 'cost') AS cost,
			min(first_at) FILTER (WHERE measure = 'sent') AS first_sent_at, max(last_at) FILTER (WHERE measure = 'sent') AS last_sent_at,
			min(currency) FILTER (WHERE measure = 'revenue' AND currency <> '' AND value <> 0) AS revenue_in,
			max(currency) FILTER (WHERE measure = 'revenue' AND currency <> '' AND value <> 0) AS other_revenue_in,
			min(currency) FILTER (WHERE measure = 'cost' AND currency <> '' AND value <> 0) AS cost_in,
			max(currency) FILTER (WHERE measure = 'cost' AND currency <> '' AND value <> 0) AS other_cost_in
		FROM (
			SELECT campaign_id, sequence_id, step, measure, value, currency, first_at, last_at FROM smsflow.metric_of_all_time
			UNION ALL
			SELECT campaign_id, 0, 0::smallint, 'recipients', 0::numeric, '', NULL::timestamptz, NULL::timestamptz FROM smsflow.campaign
			UNION ALL
			SELECT 0, sequence_id, step, 'recipients', 0::numeric, '', NULL::timestamptz, NULL::timestamptz FROM smsflow.sequence_step
		) m
		LEFT JOIN smsflow.campaign k ON k.campaign_id = m.campaign_id
		GROUP BY m.campaign_id, k.name, m.sequence_id, m.step
	)
	SELECT campaign_id, campaign, sequence_id, step,
		coalesce(recipients, 0)::bigint AS recipients, coalesce(suppressed, 0)::bigint AS suppressed, coalesce(queued, 0)::bigint AS queued,
		coalesce(sent, 0)::bigint AS sent, coalesce(accepted, 0)::bigint AS accepted, coalesce(delivered, 0)::bigint AS delivered,
		coalesce(undelivered, 0)::bigint AS undelivered, coalesce(rejected, 0)::bigint AS rejected, coalesce(expired, 0)::bigint AS expired,
		coalesce(in_doubt, 0)::bigint AS in_doubt, coalesce(unknown, 0)::bigint AS unknown, coalesce(cancelled, 0)::bigint AS cancelled,
		coalesce(parts, 0)::bigint AS parts, coalesce(clicks, 0)::bigint AS clicks, coalesce(clickers, 0)::bigint AS clickers,
		coalesce(replies, 0)::bigint AS replies, coalesce(opt_outs, 0)::bigint AS opt_outs, coalesce(orders, 0)::bigint AS orders,
		CASE WHEN revenue_in <> other_revenue_in THEN NULL ELSE coalesce(revenue, 0) END AS revenue,
		CASE WHEN cost_in <> other_cost_in THEN NULL ELSE coalesce(cost, 0) END AS cost,
		CASE WHEN revenue_in <> other_revenue_in OR (revenue_in IS NULL AND cost_in <> other_cost_in) THEN NULL
			ELSE coalesce(revenue_in, cost_in) END AS currency,
		CASE WHEN cost_in <> other_cost_in THEN NULL ELSE cost_in END AS cost_currency,
		coalesce(delivered, 0) / nullif(sent, 0) AS delivery_rate,
		coalesce(clickers, 0) / nullif(delivered, 0) AS click_rate,
		coalesce(orders, 0) / nullif(delivered, 0) AS conversion_rate,
		coalesce(opt_outs, 0) / nullif(delivered, 0) AS opt_out_rate,
		CASE WHEN revenue_in <> other_revenue_in THEN NULL ELSE coalesce(revenue, 0) / nullif(delivered, 0) END AS revenue_per_message,
		first_sent_at, last_sent_at
	FROM summed;
COMMENT ON VIEW smsflow.metric_total IS 'Counters of all time and the rates between them, of every campaign, of every step of a sequence, and of all else together';

CREATE OR REPLACE VIEW smsflow.campaign_recount AS
	SELECT c.campaign_id, c.name AS campaign,
		coalesce(sum(r.value) FILTER (WHERE r.measure = 'recipients'), 0)::bigint AS recipients,
		coalesce(sum(r.value) FILTER (WHERE r.measure = 'suppressed'), 0)::bigint AS suppressed,
		coalesce(sum(r.value) FILTER (WHERE r.measure = 'queued'), 0)::bigint AS queued,
		coalesce(sum(r.value) FILTER (WHERE r.measure = 'sent'), 0)::bigint AS sent,
		coalesce(sum(r.value) FILTER (WHERE r.measure = 'delivered'), 0)::bigint AS delivered,
		coalesce(sum(r.value) FILTER (WHERE r.measure = 'undelivered'), 0)::bigint AS undelivered,
		coalesce(sum(r.value) FILTER (WHERE r.measure = 'rejected'), 0)::bigint AS rejected,
		coalesce(sum(r.value) FILTER (WHERE r.measure = 'expired'), 0)::bigint AS expired,
		coalesce(sum(r.value) FILTER (WHERE r.measure = 'in_doubt'), 0)::bigint AS in_doubt,
		coalesce(sum(r.value) FILTER (WHERE r.measure = 'parts'), 0)::bigint AS parts,
		coalesce(sum(r.value) FILTER (WHERE r.measure = 'replies'), 0)::bigint AS replies,
		coalesce(sum(r.value) FILTER (WHERE r.measure = 'opt_outs'), 0)::bigint AS opt_outs,
		coalesce(sum(r.value) FILTER (WHERE r.measure = 'orders'), 0)::bigint AS orders,
		coalesce(sum(r.value) FILTER (WHERE r.measure = 'revenue'), 0) AS revenue,
		coalesce(sum(r.value) FILTER (WHERE r.measure = 'cost'), 0) AS cost,
		coalesce(sum(r.value) FILTER (WHERE r.measure = 'accepted'), 0)::bigint AS accepted,
		coalesce(sum(r.value) FILTER (WHERE r.measure = 'unknown'), 0)::bigint AS unknown,
		coalesce(sum(r.value) FILTER (WHERE r.measure = 'cancelled'), 0)::bigint AS cancelled
	FROM smsflow.campaign c
	LEFT JOIN smsflow.metric_recount r USING (campaign_id)
	GROUP BY c.campaign_id, c.name;
COMMENT ON VIEW smsflow.campaign_recount IS 'campaign_totals counted anew from messages and attributions, money of all currencies added up; reads every message. check() compares both';

