-- Figures: the fold of deltas into hours, the credit for orders and answers,
-- a recount from the messages themselves, and the views a BI tool reads.
--
-- Every view adds pending deltas to folded hours in one statement. One snapshot
-- sees a delta either pending or folded, never both and never neither, so the
-- figures are exact at any instant and do not depend on how far the fold is.

CREATE OR REPLACE FUNCTION smsflow.fold_metrics() RETURNS bigint
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	WITH gone AS (
		DELETE FROM smsflow.metric_delta RETURNING *
	), folded AS (
		INSERT INTO smsflow.metric_hour AS h (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose,
			measure, currency, value, first_at, last_at)
		SELECT bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, currency,
			sum(value), min(first_at), max(last_at)
		FROM gone
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
		ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9		-- one lock order, should two sessions ever fold at once
		ON CONFLICT (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, currency)
		DO UPDATE SET value = h.value + excluded.value,
			first_at = least(h.first_at, excluded.first_at),
			last_at = greatest(h.last_at, excluded.last_at)
	)
	SELECT count(*) FROM gone
$$;
COMMENT ON FUNCTION smsflow.fold_metrics() IS 'Moves pending deltas into metric_hour; returns the number of deltas folded. Rows whose value has come back to zero stay';
REVOKE ALL ON FUNCTION smsflow.fold_metrics() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.status_measure(status smsflow.message_status) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN status IN ('scheduled', 'queued', 'held', 'sending') THEN 'queued' ELSE status::text END;
COMMENT ON FUNCTION smsflow.status_measure(smsflow.message_status) IS 'Measure that counts messages of this status; all that still wait count together as queued';
REVOKE ALL ON FUNCTION smsflow.status_measure(smsflow.message_status) FROM PUBLIC;

-- Credit. The message an order or an answer belongs to is decided when it is
-- processed and kept, because the same question asked later could meet a result
-- that was still under way then, and would count the order twice or move it.

CREATE OR REPLACE FUNCTION smsflow.last_touch(contact_id bigint, at timestamptz, within interval,
	OUT message_id bigint, OUT sender_id integer, OUT sent_at timestamptz) RETURNS SETOF record
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT a.message_id, a.sender_id, a.finished_at
	FROM smsflow.touch t JOIN smsflow.attempt a USING (message_id) JOIN smsflow.outbox o USING (message_id)
	WHERE t.contact_id = $1
		-- A message is touched by its first try, which may be older than the one that was taken.
		AND t.sent_at > $2 - $3 - interval '3 days' AND t.sent_at <= $2
		AND a.finished_at > $2 - $3 AND a.finished_at <= $2
		AND a.wire <> 'none'
		AND (o.campaign_id IS NOT NULL OR (o.sequence_id IS NOT NULL AND o.purpose IN ('cart', 'promotional')))
		AND (a.outcome = 'accepted' OR EXISTS (SELECT FROM smsflow.report r WHERE r.message_id = a.message_id))
	ORDER BY a.finished_at DESC, a.message_id DESC
	LIMIT 1
$$;
COMMENT ON FUNCTION smsflow.last_touch(bigint, timestamptz, interval) IS 'Last campaign message, or marketing message of a sequence, sent to a contact in the window that ends at an instant: taken by the gateway, or in doubt and reported on since. No row: none';
REVOKE ALL ON FUNCTION smsflow.last_touch(bigint, timestamptz, interval) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.attribute(kind text, within interval, contact_ids bigint[], instants timestamptz[],
	refs text[], amounts numeric[], currencies text[]) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	WITH credited AS (
		INSERT INTO smsflow.attribution (kind, message_id, contact_id, sender_id, at, sent_at, ref, amount, currency)
		SELECT $1, t.message_id, d.contact_id, t.sender_id, d.at, t.sent_at,
			CASE WHEN $1 = 'opt_out' THEN t.message_id::text ELSE d.ref END, d.amount, d.currency
		FROM unnest($3, $4, $5, $6, $7) AS d (contact_id, at, ref, amount, currency)
		CROSS JOIN LATERAL smsflow.last_touch(d.contact_id, d.at, $2) t
		ON CONFLICT (kind, contact_id, ref) DO NOTHING
		RETURNING *
	)
	INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose,
		measure, value, first_at, last_at, currency)
	SELECT date_trunc('hour', c.at, 'UTC'), o.brand_id, coalesce(o.campaign_id, 0), coalesce(o.sequence_id, 0),
		coalesce(c.sender_id, 0), coalesce(o.step, 0), o.purpose, m.measure, sum(m.value), min(c.at), max(c.at), m.currency
	FROM credited c JOIN smsflow.outbox o USING (message_id)
	CROSS JOIN LATERAL (VALUES
		(CASE c.kind WHEN 'order' THEN 'orders' WHEN 'reply' THEN 'replies' ELSE 'opt_outs' END, 1, ''),
		('revenue', c.amount, coalesce(c.currency, ''))) AS m (measure, value, currency)
	WHERE m.value IS NOT NULL
	GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 12
$$;
COMMENT ON FUNCTION smsflow.attribute(text, interval, bigint[], timestamptz[], text[], numeric[], text[]) IS 'Credits orders, replies or opt-outs (parallel arrays) to the last message sent to their contacts within the window, once per kind, contact and ref';
REVOKE ALL ON FUNCTION smsflow.attribute(text, interval, bigint[], timestamptz[], text[], numeric[], text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.attribute_orders(event_ids bigint[]) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT smsflow.attribute('order', '12 hours', array_agg(e.contact_id ORDER BY e.event_id),
		array_agg(e.occurred_at ORDER BY e.event_id),
		array_agg(coalesce(nullif(e.ref, ''), 'event:' || e.event_id) ORDER BY e.event_id),
		array_agg(e.amount ORDER BY e.event_id), array_agg(e.currency ORDER BY e.event_id))
	FROM smsflow.event e
	WHERE e.event_id = ANY ($1) AND e.kind = 'order' AND e.contact_id IS NOT NULL
	HAVING count(*) > 0
$$;
COMMENT ON FUNCTION smsflow.attribute_orders(bigint[]) IS 'Credits the order events among these to the last message sent to the contact within 12 hours before the order; an order (contact and ref) counts once, however often it is reported';
REVOKE ALL ON FUNCTION smsflow.attribute_orders(bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.attribute_opt_out(contact_id bigint) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT smsflow.attribute('opt_out', '24 hours', ARRAY[$1], ARRAY[clock_timestamp()], '{NULL}', '{NULL}', '{NULL}')
$$;
COMMENT ON FUNCTION smsflow.attribute_opt_out(bigint) IS 'Credits an opt-out that happens now to the last message sent to the contact within 24 hours; once per message, so saying STOP twice counts once';
REVOKE ALL ON FUNCTION smsflow.attribute_opt_out(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.attribute_reply(contact_id bigint) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT smsflow.attribute('reply', '24 hours', ARRAY[$1], ARRAY[clock_timestamp()], '{NULL}', '{NULL}', '{NULL}')
$$;
COMMENT ON FUNCTION smsflow.attribute_reply(bigint) IS 'Credits a reply that arrives now to the last message sent to the contact within 24 hours; every reply counts';
REVOKE ALL ON FUNCTION smsflow.attribute_reply(bigint) FROM PUBLIC;

-- The counters, exact in every snapshot.

CREATE OR REPLACE VIEW smsflow.metric AS
	SELECT bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value, first_at, last_at, currency
	FROM smsflow.metric_hour
	UNION ALL
	SELECT bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value, first_at, last_at, currency
	FROM smsflow.metric_delta;
COMMENT ON VIEW smsflow.metric IS 'Counters, folded and pending; several rows may share a key, so sum them';

CREATE OR REPLACE FUNCTION smsflow.recount(from_id bigint, to_id bigint)
	RETURNS TABLE (campaign_id integer, sequence_id integer, step smallint, measure text, currency text, value numeric)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH counted AS (
		SELECT m.campaign_id, m.sequence_id, m.step, x.measure, x.value, x.currency
		FROM smsflow.message_state m
		CROSS JOIN LATERAL (VALUES
			('recipients', 1, ''),
			(smsflow.status_measure(m.status), 1, ''),
			('parts', CASE WHEN m.queue_id <> 0 THEN m.parts END, ''),		-- queue 0: refused at once
			('sent', CASE WHEN m.sent_at IS NOT NULL THEN 1 END, ''),
			('cost', m.cost, coalesce(m.currency, ''))) AS x (measure, value, currency)
		WHERE x.value IS NOT NULL AND m.message_id >= recount.from_id AND m.message_id < recount.to_id
		UNION ALL
		SELECT o.campaign_id, o.sequence_id, o.step, x.measure, x.value, x.currency
		FROM smsflow.attribution a
		JOIN smsflow.outbox o USING (message_id)
		CROSS JOIN LATERAL (VALUES
			(CASE a.kind WHEN 'order' THEN 'orders' WHEN 'reply' THEN 'replies' ELSE 'opt_outs' END, 1, ''),
			('revenue', a.amount, coalesce(a.currency, ''))) AS x (measure, value, currency)
		WHERE x.value IS NOT NULL AND a.message_id >= recount.from_id AND a.message_id < recount.to_id
	)
	SELECT coalesce(c.campaign_id, 0), coalesce(c.sequence_id, 0), coalesce(c.step, 0::smallint), c.measure, c.currency, sum(c.value)
	FROM counted c
	GROUP BY 1, 2, 3, 4, 5
$$;
COMMENT ON FUNCTION smsflow.recount(bigint, bigint) IS 'The counters that can be recomputed, counted anew from the messages from_id <= message_id < to_id and what is credited to them';
REVOKE ALL ON FUNCTION smsflow.recount(bigint, bigint) FROM PUBLIC;

CREATE OR REPLACE VIEW smsflow.metric_recount AS
	SELECT c.campaign_id, c.sequence_id, c.step, c.measure, c.currency, sum(c.value) AS value
	FROM (SELECT * FROM smsflow.recount(0, 9223372036854775807) UNION ALL SELECT * FROM smsflow.metric_dropped) c
	GROUP BY 1, 2, 3, 4, 5;
COMMENT ON VIEW smsflow.metric_recount IS 'The counters that can be recomputed, counted anew from messages and attributions, and what retention kept of those it has dropped; reads every message';

-- One row per hour and currency, a column per counter. Whatever sums these
-- sums one currency at a time, or finds out that there are several.

CREATE OR REPLACE VIEW smsflow.metric_pivot AS
	SELECT bucket, campaign_id, sequence_id, step, currency,
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
		min(first_at) FILTER (WHERE measure = 'sent') AS first_sent_at,
		max(last_at) FILTER (WHERE measure = 'sent') AS last_sent_at
	FROM smsflow.metric
	GROUP BY bucket, campaign_id, sequence_id, step, currency;
COMMENT ON VIEW smsflow.metric_pivot IS 'Counters side by side, by hour and currency';

CREATE OR REPLACE VIEW smsflow.metric_total AS
	WITH summed AS (
		SELECT campaign_id, sequence_id, step,
			sum(recipients) AS recipients, sum(suppressed) AS suppressed, sum(queued) AS queued, sum(sent) AS sent,
			sum(accepted) AS accepted, sum(delivered) AS delivered, sum(undelivered) AS undelivered,
			sum(rejected) AS rejected, sum(expired) AS expired, sum(in_doubt) AS in_doubt, sum(unknown) AS unknown,
			sum(cancelled) AS cancelled, sum(parts) AS parts, sum(clicks) AS clicks, sum(clickers) AS clickers,
			sum(replies) AS replies, sum(opt_outs) AS opt_outs, sum(orders) AS orders, sum(revenue) AS revenue,
			sum(cost) AS cost, min(first_sent_at) AS first_sent_at, max(last_sent_at) AS last_sent_at,
			array_agg(DISTINCT currency) FILTER (WHERE currency <> '' AND revenue <> 0) AS revenue_in,
			array_agg(DISTINCT currency) FILTER (WHERE currency <> '' AND cost <> 0) AS cost_in
		FROM smsflow.metric_pivot
		GROUP BY campaign_id, sequence_id, step
	)
	SELECT campaign_id, sequence_id, step,
		recipients::bigint, suppressed::bigint, queued::bigint, sent::bigint, accepted::bigint, delivered::bigint,
		undelivered::bigint, rejected::bigint, expired::bigint, in_doubt::bigint, unknown::bigint, cancelled::bigint,
		parts::bigint, clicks::bigint, clickers::bigint, replies::bigint, opt_outs::bigint, orders::bigint,
		cardinality(revenue_in) > 1 AS mixed_revenue,
		cardinality(cost_in) > 1 AS mixed_cost,
		CASE WHEN cardinality(revenue_in) > 1 THEN NULL ELSE revenue END AS revenue,
		CASE WHEN cardinality(cost_in) > 1 THEN NULL ELSE cost END AS cost,
		CASE cardinality(coalesce(revenue_in, cost_in)) WHEN 1 THEN (coalesce(revenue_in, cost_in))[1] END AS currency,
		CASE cardinality(cost_in) WHEN 1 THEN cost_in[1] END AS cost_currency,
		coalesce(delivered, 0) / nullif(sent, 0) AS delivery_rate,
		coalesce(clickers, 0) / nullif(sent, 0) AS click_rate,
		coalesce(orders, 0) / nullif(sent, 0) AS conversion_rate,
		coalesce(opt_outs, 0) / nullif(sent, 0) AS opt_out_rate,
		CASE WHEN cardinality(revenue_in) > 1 THEN NULL ELSE coalesce(revenue, 0) / nullif(sent, 0) END AS revenue_per_message,
		first_sent_at, last_sent_at
	FROM summed;
COMMENT ON VIEW smsflow.metric_total IS 'Counters of all time and the rates between them; NULL counters are zero';

-- What a BI tool reads. Every campaign and every step has its row, also before
-- its first message. A column has the same meaning in every view; the meanings
-- stand once, at the end, and become the comments of the columns.

CREATE OR REPLACE VIEW smsflow_bi.campaign_totals AS
	SELECT c.name AS campaign, c.purpose::text AS purpose, c.status,
		coalesce(t.recipients, 0) AS recipients, coalesce(t.suppressed, 0) AS suppressed,
		coalesce(t.queued, 0) AS queued, coalesce(t.sent, 0) AS sent, coalesce(t.delivered, 0) AS delivered,
		coalesce(t.undelivered, 0) AS undelivered, coalesce(t.rejected, 0) AS rejected,
		coalesce(t.expired, 0) AS expired, coalesce(t.in_doubt, 0) AS in_doubt, coalesce(t.parts, 0) AS parts,
		coalesce(t.clicks, 0) AS clicks, coalesce(t.clickers, 0) AS clickers, coalesce(t.replies, 0) AS replies,
		coalesce(t.opt_outs, 0) AS opt_outs, coalesce(t.orders, 0) AS orders,
		CASE WHEN t.mixed_revenue THEN NULL ELSE coalesce(t.revenue, 0) END AS revenue,
		CASE WHEN t.mixed_cost THEN NULL ELSE coalesce(t.cost, 0) END AS cost,
		t.currency, t.delivery_rate, t.click_rate, t.conversion_rate, t.opt_out_rate, t.revenue_per_message,
		t.first_sent_at, t.last_sent_at, t.cost_currency,
		coalesce(t.accepted, 0) AS accepted, coalesce(t.unknown, 0) AS unknown, coalesce(t.cancelled, 0) AS cancelled,
		b.name AS brand, c.campaign_id
	FROM smsflow.campaign c
	JOIN smsflow.brand b USING (brand_id)
	LEFT JOIN smsflow.metric_total t USING (campaign_id);
COMMENT ON VIEW smsflow_bi.campaign_totals IS 'One row per campaign: what became of its messages, and what came of them. Exact at any instant';

CREATE OR REPLACE VIEW smsflow_bi.sequence_totals AS
	SELECT q.name AS sequence, p.step, q.purpose::text AS purpose,
		CASE WHEN q.enabled THEN 'enabled' ELSE 'disabled' END AS status,
		coalesce(t.recipients, 0) AS recipients, coalesce(t.suppressed, 0) AS suppressed,
		coalesce(t.queued, 0) AS queued, coalesce(t.sent, 0) AS sent, coalesce(t.delivered, 0) AS delivered,
		coalesce(t.undelivered, 0) AS undelivered, coalesce(t.rejected, 0) AS rejected,
		coalesce(t.expired, 0) AS expired, coalesce(t.in_doubt, 0) AS in_doubt, coalesce(t.parts, 0) AS parts,
		coalesce(t.clicks, 0) AS clicks, coalesce(t.clickers, 0) AS clickers, coalesce(t.replies, 0) AS replies,
		coalesce(t.opt_outs, 0) AS opt_outs, coalesce(t.orders, 0) AS orders,
		CASE WHEN t.mixed_revenue THEN NULL ELSE coalesce(t.revenue, 0) END AS revenue,
		CASE WHEN t.mixed_cost THEN NULL ELSE coalesce(t.cost, 0) END AS cost,
		t.currency, t.delivery_rate, t.click_rate, t.conversion_rate, t.opt_out_rate, t.revenue_per_message,
		t.first_sent_at, t.last_sent_at, t.cost_currency,
		coalesce(t.accepted, 0) AS accepted, coalesce(t.unknown, 0) AS unknown, coalesce(t.cancelled, 0) AS cancelled,
		b.name AS brand, q.sequence_id
	FROM smsflow.sequence q
	JOIN smsflow.brand b USING (brand_id)
	JOIN smsflow.sequence_step p USING (sequence_id)
	LEFT JOIN smsflow.metric_total t USING (sequence_id, step);
COMMENT ON VIEW smsflow_bi.sequence_totals IS 'One row per step of a sequence: what became of its messages, and what came of them. Exact at any instant';

CREATE OR REPLACE VIEW smsflow_bi.campaign_hourly AS
	SELECT c.name AS campaign, p.bucket AS hour,
		coalesce(sum(p.sent), 0)::bigint AS sent, coalesce(sum(p.delivered), 0)::bigint AS delivered,
		coalesce(sum(p.undelivered), 0)::bigint AS undelivered, coalesce(sum(p.rejected), 0)::bigint AS rejected,
		coalesce(sum(p.clicks), 0)::bigint AS clicks, coalesce(sum(p.replies), 0)::bigint AS replies,
		coalesce(sum(p.opt_outs), 0)::bigint AS opt_outs, coalesce(sum(p.orders), 0)::bigint AS orders,
		b.name AS brand, c.campaign_id
	FROM smsflow.campaign c
	JOIN smsflow.brand b USING (brand_id)
	JOIN smsflow.metric_pivot p USING (campaign_id)
	GROUP BY c.campaign_id, c.name, b.name, p.bucket;
COMMENT ON VIEW smsflow_bi.campaign_hourly IS 'What happened to a campaign in each hour in which something did. A count of a status is the net change: messages that came into it less those that left it';

CREATE OR REPLACE VIEW smsflow_bi.campaign_money AS
	SELECT c.name AS campaign, nullif(p.currency, '') AS currency,
		coalesce(sum(p.revenue), 0) AS revenue, coalesce(sum(p.cost), 0) AS cost, b.name AS brand, c.campaign_id
	FROM smsflow.campaign c
	JOIN smsflow.brand b USING (brand_id)
	JOIN smsflow.metric_pivot p USING (campaign_id)
	WHERE p.revenue <> 0 OR p.cost <> 0
	GROUP BY c.campaign_id, c.name, b.name, p.currency;
COMMENT ON VIEW smsflow_bi.campaign_money IS 'Revenue and cost of a campaign by currency, for a campaign with several';

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

DO $$
DECLARE
	meaning record;
BEGIN
	FOR meaning IN
		SELECT a.attrelid::regclass AS view, a.attname AS name, m.words
		FROM pg_catalog.pg_attribute a
		JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
		JOIN (VALUES
			('campaign', 'Name of the campaign'),
			('sequence', 'Name of the sequence'),
			('step', 'Step of the sequence, from 1'),
			('hour', 'Start of the hour (UTC hours)'),
			('purpose', 'Purpose of the messages: promotional, cart, transactional ...'),
			('status', 'State of the campaign (draft, scheduled, running, paused, done, cancelled, failed) or of the sequence (enabled, disabled)'),
			('recipients', 'Messages made, one for each person addressed, whatever became of them. Equals suppressed + queued + accepted + delivered + undelivered + rejected + expired + in_doubt + unknown + cancelled'),
			('suppressed', 'Messages not sent because sending was not permitted: no consent, opted out ...'),
			('queued', 'Messages that still wait: scheduled, queued, held or being sent'),
			('sent', 'Messages that the gateway took, or that have a delivery report'),
			('accepted', 'Messages that the gateway took and that have no final report yet'),
			('delivered', 'Messages reported as delivered to the phone'),
			('undelivered', 'Messages reported as not delivered'),
			('rejected', 'Messages refused by the gateway or the network'),
			('expired', 'Messages whose validity ended: before they were sent, or in the network'),
			('in_doubt', 'Messages that may or may not have reached the gateway; not settled yet'),
			('unknown', 'Messages whose end is not known and no longer expected'),
			('cancelled', 'Messages cancelled before they were sent'),
			('parts', 'Message parts (segments) of the messages made and not refused at once; what gateways bill'),
			('clicks', 'Clicks on short links by people; previews and scanners do not count'),
			('clickers', 'Messages with at least one click by a person'),
			('replies', 'Replies within 24 hours after a message to the same person, credited to the last one'),
			('opt_outs', 'Messages followed by an opt-out of the same person within 24 hours, credited to the last one'),
			('orders', 'Orders within 12 hours after a message to the same person, each credited once, to the last campaign message or marketing message of a sequence'),
			('revenue', 'Sum of the amounts of these orders, in currency; NULL when they are in several, see campaign_money'),
			('cost', 'Sum of the costs that the gateway reported, in cost_currency; NULL when they are in several, see campaign_money'),
			('currency', 'Currency of revenue, or of cost while there is no revenue; NULL: none given, or several'),
			('cost_currency', 'Currency of cost; NULL: none given, or several'),
			('delivery_rate', 'delivered / sent; NULL when nothing is sent'),
			('click_rate', 'clickers / sent; NULL when nothing is sent'),
			('conversion_rate', 'orders / sent; NULL when nothing is sent'),
			('opt_out_rate', 'opt_outs / sent; NULL when nothing is sent'),
			('revenue_per_message', 'revenue / sent; NULL when nothing is sent, or revenue is in several currencies'),
			('first_sent_at', 'When the first message was sent; NULL when none is'),
			('last_sent_at', 'When the newest message was sent; NULL when none is'),
			('brand', 'Name of the brand'),
			('campaign_id', 'Key of the campaign; the cheapest way to read one row'),
			('sequence_id', 'Key of the sequence')
		) AS m (name, words) ON m.name = a.attname
		WHERE c.relnamespace = 'smsflow_bi'::regnamespace AND c.relkind = 'v'
			AND c.relname IN ('campaign_totals', 'sequence_totals', 'campaign_hourly', 'campaign_money')
	LOOP
		EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', meaning.view, meaning.name, meaning.words);
	END LOOP;
END
$$;
