-- Credit. The message an order or an answer belongs to is decided when it is
-- processed and kept, because the same question asked later could meet a result
-- that was still under way then, and would count the order twice or move it.

CREATE OR REPLACE FUNCTION smsflow.last_touch(contact_id bigint, at timestamptz, within interval,
	OUT message_id bigint, OUT sender_id integer, OUT sent_at timestamptz) RETURNS SETOF record
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT a.message_id, a.sender_id, a.finished_at
	FROM smsflow.touched t JOIN smsflow.attempt a USING (message_id) JOIN smsflow.outbox o USING (message_id)
	WHERE t.contact_id = $1 AND t.span = $1 >> 6
		-- A message is touched by its first try, which may be older than the one that was taken, and in a run at the instant of its last.
		AND t.sent_at > $2 - $3 - interval '3 days' AND t.sent_at <= $2 + interval '1 second'
		AND a.finished_at > $2 - $3 AND a.finished_at <= $2
		AND a.wire <> 'none'
		AND (o.campaign_id IS NOT NULL OR (o.sequence_id IS NOT NULL AND o.purpose IN ('cart', 'promotional')))
		AND (a.outcome = 'accepted' OR EXISTS (SELECT FROM smsflow.report r WHERE r.message_id = a.message_id))
	ORDER BY a.finished_at DESC, a.message_id DESC
	LIMIT 1;
END $$;
COMMENT ON FUNCTION smsflow.last_touch(bigint, timestamptz, interval) IS 'Last campaign message, or marketing message of a sequence, sent to a contact in the window that ends at an instant: taken by the gateway, or in doubt and reported on since. No row: none';
REVOKE ALL ON FUNCTION smsflow.last_touch(bigint, timestamptz, interval) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.attribute(kind text, within interval, contact_ids bigint[], instants timestamptz[],
	refs text[], amounts numeric[], currencies text[], ended text[] DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
	WITH credited AS (
		INSERT INTO smsflow.attribution (kind, message_id, contact_id, sender_id, at, sent_at, ref, amount, currency)
		SELECT $1, t.message_id, d.contact_id, t.sender_id, d.at, t.sent_at,
			CASE WHEN $1 = 'opt_out' THEN t.message_id::text ELSE d.ref END, d.amount, d.currency
		FROM unnest($3, $4, $5, $6, $7) AS d (contact_id, at, ref, amount, currency)
		CROSS JOIN LATERAL smsflow.last_touch(d.contact_id, d.at, $2) t
		JOIN smsflow.outbox o USING (message_id)
		WHERE $8 IS NULL OR o.purpose::text = ANY ($8)
		ON CONFLICT (kind, contact_id, ref) DO NOTHING
		RETURNING *
	)
	INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose,
		measure, value, first_at, last_at, currency, variant)
	SELECT date_trunc('hour', c.at, 'UTC'), o.brand_id, coalesce(o.campaign_id, 0), coalesce(o.sequence_id, 0),
		coalesce(c.sender_id, 0), coalesce(o.step, 0), o.purpose, m.measure, sum(m.value), min(c.at), max(c.at), m.currency,
		coalesce(o.variant, 0)
	FROM credited c JOIN smsflow.outbox o USING (message_id)
	CROSS JOIN LATERAL (VALUES
		(CASE c.kind WHEN 'order' THEN 'orders' WHEN 'reply' THEN 'replies' ELSE 'opt_outs' END, 1, ''),
		('revenue', c.amount, coalesce(c.currency, ''))) AS m (measure, value, currency)
	WHERE m.value IS NOT NULL
	GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 12, 13;
END $$;
COMMENT ON FUNCTION smsflow.attribute(text, interval, bigint[], timestamptz[], text[], numeric[], text[], text[]) IS 'Credits orders, replies or opt-outs (parallel arrays) to the last message sent to their contacts within the window, if its purpose is among those that ended (NULL: whatever it is), once per kind, contact and ref';
REVOKE ALL ON FUNCTION smsflow.attribute(text, interval, bigint[], timestamptz[], text[], numeric[], text[], text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.attribute_orders(event_ids bigint[]) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT smsflow.attribute('order', '12 hours', array_agg(e.contact_id ORDER BY e.event_id),
		array_agg(e.occurred_at ORDER BY e.event_id),
		array_agg(coalesce(nullif(e.ref, ''), 'event:' || e.event_id) ORDER BY e.event_id),
		array_agg(e.amount ORDER BY e.event_id), array_agg(e.currency ORDER BY e.event_id))
	FROM smsflow.event e
	WHERE e.event_id = ANY ($1) AND e.kind = 'order' AND e.contact_id IS NOT NULL
		-- Told again, an order may come after a message that it was made before.
		AND NOT EXISTS (SELECT FROM smsflow.event f WHERE f.contact_id = e.contact_id AND f.kind = 'order'
			AND f.ref <> '' AND hashtextextended(f.ref, 0) = hashtextextended(e.ref, 0) AND f.ref = e.ref AND f.event_id < e.event_id)
	HAVING count(*) > 0
$$;
COMMENT ON FUNCTION smsflow.attribute_orders(bigint[]) IS 'Credits the order events among these to the last message sent to the contact within 12 hours before the order; an order (contact and ref) counts once, when it is reported first';
REVOKE ALL ON FUNCTION smsflow.attribute_orders(bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.attribute_opt_out(contact_id bigint, purposes text[] DEFAULT NULL) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT smsflow.attribute('opt_out', '24 hours', ARRAY[$1], ARRAY[clock_timestamp()], '{NULL}', '{NULL}', '{NULL}',
		coalesce($2, '{cart,promotional}'))
$$;
COMMENT ON FUNCTION smsflow.attribute_opt_out(bigint, text[]) IS 'Credits an opt-out that happens now to the last campaign message, or marketing message of a sequence, sent to the contact within 24 hours before it, if the opt-out ends consent for the purpose of that message (NULL: for all marketing); once per message, so saying STOP twice counts once. So are credited a reply that says, or may say, STOP; a refusal that the carrier tells of; and opt_out(), whatever page or person it was called for, if it ended something. What is no answer to a message is not: lists, suppress_number() and erase_contact()';
REVOKE ALL ON FUNCTION smsflow.attribute_opt_out(bigint, text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.attribute_reply(contact_id bigint) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT smsflow.attribute('reply', '24 hours', ARRAY[$1], ARRAY[clock_timestamp()], '{NULL}', '{NULL}', '{NULL}')
$$;
COMMENT ON FUNCTION smsflow.attribute_reply(bigint) IS 'Credits a reply that arrives now to the last message sent to the contact within 24 hours; every reply counts';
REVOKE ALL ON FUNCTION smsflow.attribute_reply(bigint) FROM PUBLIC;

