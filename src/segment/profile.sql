-- What is known of each contact: rows folded by the worker, and what waits to be folded. Re-runnable.

-- ---- what is noted ----

CREATE OR REPLACE FUNCTION smsflow.note_profile() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'smsflow_note_profile';
COMMENT ON FUNCTION smsflow.note_profile() IS 'Trigger of contact and event: notes whose facts have changed. Rows that a restored dump brings are not new, and events among them are not noted';
REVOKE ALL ON FUNCTION smsflow.note_profile() FROM PUBLIC;

CREATE OR REPLACE TRIGGER note_profile_insert AFTER INSERT ON smsflow.contact REFERENCING NEW TABLE AS smsflow_rows
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.note_profile();
CREATE OR REPLACE TRIGGER note_profile_update AFTER UPDATE OF external_id, first_name, last_name, language, region, time_zone, attributes, consent
	ON smsflow.contact FOR EACH ROW EXECUTE FUNCTION smsflow.note_profile();
CREATE OR REPLACE TRIGGER note_profile_insert AFTER INSERT ON smsflow.event REFERENCING NEW TABLE AS smsflow_rows
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.note_profile();
CREATE OR REPLACE TRIGGER note_profile_update AFTER UPDATE OF contact_id ON smsflow.event
	FOR EACH ROW WHEN (OLD.contact_id IS NULL AND NEW.contact_id IS NOT NULL) EXECUTE FUNCTION smsflow.note_profile();

-- Whoever forgets a person waits for a fold that is just under way; a fold waits for nobody.
CREATE OR REPLACE FUNCTION smsflow.forget_profile() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('smsflow.fold_profiles', 0));
	DELETE FROM smsflow.profile_fact AS f USING smsflow_rows AS r WHERE f.contact_id = r.contact_id;
	DELETE FROM smsflow.contact_product_fact AS f USING smsflow_rows AS r WHERE f.contact_id = r.contact_id;
	DELETE FROM smsflow.segment_snapshot AS m USING smsflow_rows AS r WHERE m.contact_id = r.contact_id;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION smsflow.forget_profile() IS 'Trigger of contact: facts, and places in snapshots of segments, go with their contact';
REVOKE ALL ON FUNCTION smsflow.forget_profile() FROM PUBLIC;
CREATE OR REPLACE TRIGGER forget_profile AFTER DELETE ON smsflow.contact REFERENCING OLD TABLE AS smsflow_rows
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.forget_profile();

-- ---- counts by day ----

CREATE OR REPLACE FUNCTION smsflow.tally_add(tally integer[], instants timestamptz[]) RETURNS integer[]
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_tally_add_sql';
COMMENT ON FUNCTION smsflow.tally_add(integer[], timestamptz[]) IS 'Counts of the last 90 days by day of UTC, with these instants added; NULL is nothing counted, and NULL among the instants is left out';
REVOKE ALL ON FUNCTION smsflow.tally_add(integer[], timestamptz[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.tally_last(tally integer[], days integer) RETURNS bigint
	LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_tally_last_sql';
COMMENT ON FUNCTION smsflow.tally_last(integer[], integer) IS 'Count of the last so many days of UTC, today among them; 0 for NULL';

CREATE OR REPLACE FUNCTION smsflow.messages_last(contact_id bigint, tally integer[], days integer) RETURNS bigint
	LANGUAGE c STABLE PARALLEL SAFE COST 10 AS 'MODULE_PATHNAME', 'smsflow_messages_last';
COMMENT ON FUNCTION smsflow.messages_last(bigint, integer[], integer) IS 'Messages to a contact in the last so many days of UTC, today among them: those of its tally, and those that wait to be counted there, in the snapshot of the query';
REVOKE ALL ON FUNCTION smsflow.messages_last(bigint, integer[], integer) FROM PUBLIC;

-- ---- what happened to whom ----

-- What an order is about: its own items, or those of the cart that it names. Views ask tables themselves and call only
-- functions that read none, because a view reads with the rights of its owner, and what it calls with those of its reader.
CREATE OR REPLACE VIEW smsflow.pending_product AS
	SELECT d.contact_id, 'bought' AS kind, p.product, left(p.category, 200) AS category, e.occurred_at AS at
	FROM smsflow.profile_delta AS d JOIN smsflow.event AS e USING (event_id)
	CROSS JOIN LATERAL (SELECT COALESCE(e.data #> '{order,items}', e.data -> 'items', (SELECT k.data #> '{cart,items}' FROM smsflow.event AS k
		WHERE k.contact_id = e.contact_id AND k.kind = 'cart' AND k.ref = e.data #>> '{order,cart_id}' ORDER BY k.event_id DESC LIMIT 1),
		jsonb_build_array(jsonb_build_object('product', smsflow.field(e.data, 'product product_id sku'), 'category', e.data -> 'category'))) AS items) AS x
	CROSS JOIN LATERAL jsonb_array_elements(CASE WHEN jsonb_typeof(x.items) = 'array' THEN x.items ELSE '[]' END) AS i (item)
	CROSS JOIN LATERAL (SELECT left(COALESCE(CASE WHEN jsonb_typeof(i.item) IN ('string', 'number') THEN i.item #>> '{}' END,
			smsflow.field(i.item, 'product product_id sku variant_id id title name')), 200) AS product,
		smsflow.field(i.item, 'category category_name product_type type') AS category) AS p
	WHERE d.kind = 'event' AND e.kind = 'order' AND p.product IS NOT NULL
	UNION ALL
	SELECT d.contact_id, 'viewed', left(e.ref, 200), left(smsflow.field(e.data, 'category'), 200), e.occurred_at
	FROM smsflow.profile_delta AS d JOIN smsflow.event AS e USING (event_id)
	WHERE d.kind = 'event' AND e.kind = 'viewed' AND e.ref <> '';
COMMENT ON VIEW smsflow.pending_product IS 'Products bought and viewed that are not folded yet. Those of an order are in data.order.items, data.items, the items of the cart data.order.cart_id, or data itself with product, product_id or sku; an item is an object with product, product_id, sku, variant_id, id, title or name, or a text';

CREATE OR REPLACE VIEW smsflow.contact_product AS
	SELECT f.contact_id, f.kind, f.product, f.category, f.last_at FROM smsflow.contact_product_fact AS f
	UNION ALL
	SELECT p.contact_id, p.kind, p.product, p.category, p.at FROM smsflow.pending_product AS p;
COMMENT ON VIEW smsflow.contact_product IS 'Products that contacts have bought or viewed, with the instant of the last time; a product may have a second row for what is not folded yet';

CREATE OR REPLACE FUNCTION smsflow.merge_newest(kept text[], news text[]) RETURNS text[]
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN (SELECT array_agg(m.value ORDER BY m.place) FROM (
		SELECT u.value, min(u.place) AS place FROM unnest(news || kept) WITH ORDINALITY AS u (value, place)
		WHERE u.value IS NOT NULL GROUP BY u.value ORDER BY 2 LIMIT 200) AS m);
COMMENT ON FUNCTION smsflow.merge_newest(text[], text[]) IS 'Both lists without repeats, the news first, at most 200 of them';
REVOKE ALL ON FUNCTION smsflow.merge_newest(text[], text[]) FROM PUBLIC;

-- A day that is none, such as 30 February, is no birthday.
CREATE OR REPLACE FUNCTION smsflow.birthday_of(attributes jsonb) RETURNS date
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN attributes ->> 'birthday' ~ '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$'
			AND substr(attributes ->> 'birthday', 1, 4) > '0000'
		THEN CASE WHEN substr(attributes ->> 'birthday', 9)::integer <= extract(day FROM make_date(substr(attributes ->> 'birthday', 1, 4)::integer,
				substr(attributes ->> 'birthday', 6, 2)::integer, 1) + interval '1 month - 1 day')
			THEN make_date(substr(attributes ->> 'birthday', 1, 4)::integer, substr(attributes ->> 'birthday', 6, 2)::integer,
				substr(attributes ->> 'birthday', 9)::integer) END END;
COMMENT ON FUNCTION smsflow.birthday_of(jsonb) IS 'Attribute birthday, written YYYY-MM-DD, as a date; NULL for anything else';
REVOKE ALL ON FUNCTION smsflow.birthday_of(jsonb) FROM PUBLIC;

CREATE OR REPLACE TRIGGER keep_own_row BEFORE INSERT OR UPDATE ON smsflow.value_tier
	FOR EACH ROW EXECUTE FUNCTION smsflow.keep_own_row('brand_id', 'tier');

-- ---- the facts ----

-- As an anti join the same question costs a join of the whole table whenever anything waits.
CREATE OR REPLACE FUNCTION smsflow.awaits_fold(contact_id bigint) RETURNS boolean
	LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10 AS 'MODULE_PATHNAME', 'smsflow_awaits_fold';
COMMENT ON FUNCTION smsflow.awaits_fold(bigint) IS 'Whether deltas of a contact are not folded yet, in the snapshot of the query';

-- Folded facts of contacts with deltas are looked up one by one: to the planner a scan of all of them may look cheaper, and
-- would read millions for the sake of thousands. A condition that is no equality is for an index alone, and keeps the query parallel.
CREATE OR REPLACE VIEW smsflow.profile_pending AS
SELECT c.contact_id, c.brand_id, n.orders_count, smsflow.permits(c.consent, 'promotional', 'express') AS subscribed, c.created_at,
	smsflow.birthday_of(c.attributes) AS birthday, g.occurred_at AS opted_in_at, n.first_order_at, n.last_order_at,
	n.last_order_at + (n.last_order_at - n.first_order_at) / NULLIF(greatest(n.orders_count - 1, 0), 0) AS next_order_at,
	n.last_cart_at, n.last_viewed_at, n.last_click_at, n.last_reply_at, n.last_delivered_at,
	greatest(n.last_order_at, n.last_cart_at, n.last_viewed_at, n.last_click_at, n.last_reply_at) AS last_engaged_at,
	n.cart_event_id, n.closing_event_id, c.attributes, c.language, n.orders_value, r.region,
	CASE WHEN r.region ~ '^[A-Z]{2}(-|$)' THEN left(r.region, 2) ELSE smsflow.phone_region(c.phone) END AS country,
	smsflow.consent_level(c.consent, 'promotional')::text AS promotional_consent,
	smsflow.consent_level(c.consent, 'cart')::text AS cart_consent,
	(SELECT t.tier FROM smsflow.value_tier AS t WHERE t.at_least <= n.orders_value AND t.brand_id = CASE WHEN EXISTS (SELECT FROM smsflow.value_tier AS o
		WHERE o.brand_id = c.brand_id) THEN c.brand_id ELSE 1 END ORDER BY t.at_least DESC LIMIT 1) AS value_tier, g.source AS opted_in_source,
	c.external_id, c.first_name, c.last_name, c.time_zone,
	CASE WHEN n.cart_event_id > COALESCE(n.closing_event_id, 0) THEN CASE WHEN n.cart_event_id = p.cart_event_id THEN p.cart ELSE f.active_cart END END
		AS active_cart,
	CASE WHEN n.cart_event_id > COALESCE(n.closing_event_id, 0) THEN CASE WHEN n.cart_event_id = p.cart_event_id THEN p.cart_value
		ELSE f.active_cart_value END END AS active_cart_value,
	CASE WHEN p.last_viewed_at >= COALESCE(f.last_viewed_at, '-infinity') THEN p.last_viewed ELSE f.last_viewed END AS last_viewed,
	CASE WHEN p.messages IS NULL THEN f.message_days ELSE smsflow.tally_add(f.message_days, p.messages) END AS message_days,
	CASE WHEN p.clicks IS NULL THEN f.click_days ELSE smsflow.tally_add(f.click_days, p.clicks) END AS click_days,
	CASE WHEN b.products IS NULL THEN f.products ELSE smsflow.merge_newest(f.products, b.products) END AS products,
	CASE WHEN b.products IS NULL THEN f.categories ELSE smsflow.merge_newest(f.categories, b.categories) END AS categories
FROM (
	SELECT d.contact_id, count(*) FILTER (WHERE o.first) AS orders_count, sum(e.amount) FILTER (WHERE o.first) AS orders_value,
		min(e.occurred_at) FILTER (WHERE o.first) AS first_order_at, max(e.occurred_at) FILTER (WHERE o.first) AS last_order_at,
		max(e.event_id) FILTER (WHERE e.kind = 'cart') AS cart_event_id,
		max(e.event_id) FILTER (WHERE e.kind IN ('order', 'cart_emptied')) AS closing_event_id,
		(array_agg(e.ref ORDER BY e.event_id DESC) FILTER (WHERE e.kind = 'cart'))[1] AS cart,
		(array_agg(e.amount ORDER BY e.event_id DESC) FILTER (WHERE e.kind = 'cart'))[1] AS cart_value,
		max(e.occurred_at) FILTER (WHERE e.kind = 'cart') AS last_cart_at, max(e.occurred_at) FILTER (WHERE e.kind = 'viewed') AS last_viewed_at,
		(array_agg(e.ref ORDER BY e.occurred_at DESC) FILTER (WHERE e.kind = 'viewed'))[1] AS last_viewed,
		max(d.at) FILTER (WHERE d.kind = 'click') AS last_click_at, max(d.at) FILTER (WHERE d.kind = 'reply') AS last_reply_at,
		max(d.at) FILTER (WHERE d.kind = 'delivered') AS last_delivered_at,
		array_agg(d.at) FILTER (WHERE d.kind = 'message') AS messages, array_agg(d.at) FILTER (WHERE d.kind = 'click') AS clicks
	FROM smsflow.profile_delta AS d LEFT JOIN smsflow.event AS e ON e.event_id = d.event_id AND d.kind = 'event'
	-- Of an order that is reported again, one event counts: the first of those that wait, if none is folded.
	CROSS JOIN LATERAL (SELECT e.kind = 'order' AND NOT EXISTS (SELECT FROM smsflow.event AS a WHERE a.contact_id = e.contact_id
		AND a.kind = 'order' AND a.ref <> '' AND hashtextextended(a.ref, 0) = hashtextextended(e.ref, 0) AND a.ref = e.ref AND a.event_id <> e.event_id
		AND (a.event_id < e.event_id OR NOT EXISTS (SELECT FROM smsflow.profile_delta AS w WHERE w.contact_id = a.contact_id AND w.event_id = a.event_id)))
		AS first OFFSET 0) AS o
	GROUP BY d.contact_id
) AS p
JOIN smsflow.contact AS c USING (contact_id)
LEFT JOIN smsflow.profile_fact AS f ON f.contact_id = ANY (ARRAY[c.contact_id])
CROSS JOIN LATERAL (SELECT COALESCE(f.orders_count, 0) + p.orders_count AS orders_count,
	COALESCE(f.orders_value, 0) + COALESCE(p.orders_value, 0) AS orders_value,
	least(f.first_order_at, p.first_order_at) AS first_order_at, greatest(f.last_order_at, p.last_order_at) AS last_order_at,
	greatest(f.last_cart_at, p.last_cart_at) AS last_cart_at, greatest(f.last_viewed_at, p.last_viewed_at) AS last_viewed_at,
	greatest(f.last_click_at, p.last_click_at) AS last_click_at, greatest(f.last_reply_at, p.last_reply_at) AS last_reply_at,
	greatest(f.last_delivered_at, p.last_delivered_at) AS last_delivered_at,
	greatest(f.cart_event_id, p.cart_event_id) AS cart_event_id, greatest(f.closing_event_id, p.closing_event_id) AS closing_event_id) AS n
CROSS JOIN LATERAL (SELECT COALESCE(c.region, smsflow.phone_region(c.phone)) AS region) AS r
LEFT JOIN LATERAL (SELECT max(e.consent_event_id) AS id FROM smsflow.consent_event AS e
	WHERE e.contact_id = c.contact_id AND e.kind = 'grant' AND 'promotional' = ANY (e.purposes)) AS l ON true
LEFT JOIN smsflow.consent_event AS g ON g.consent_event_id = l.id
LEFT JOIN LATERAL (SELECT array_agg(o.product ORDER BY o.at DESC) AS products, array_agg(o.category ORDER BY o.at DESC) AS categories
	FROM smsflow.pending_product AS o WHERE o.contact_id = p.contact_id AND o.kind = 'bought') AS b ON true;
COMMENT ON VIEW smsflow.profile_pending IS 'Facts of the contacts with deltas that are not folded yet, with those deltas; the columns of profile_fact';

-- Facts that nothing waits for are read from their table alone, so that a condition becomes a parallel scan of that table,
-- or of an index that the store puts on it; the constant decides for each part which of the two conditions is left. Nothing in here may be parallel unsafe, and a LIMIT in FROM is.
CREATE OR REPLACE VIEW smsflow.profile AS
SELECT s.contact_id, s.brand_id, s.external_id, s.first_name, s.last_name, s.language, s.region, s.time_zone, s.attributes,
	s.promotional_consent, s.cart_consent, s.subscribed, s.created_at,
	s.orders_count, s.orders_value, s.first_order_at, s.last_order_at, s.active_cart, s.active_cart_value, s.last_cart_at,
	s.orders_value / NULLIF(s.orders_count, 0) AS average_order_value, s.next_order_at, s.value_tier,
	s.products AS products_bought, s.categories AS categories_bought, s.last_viewed_at, s.last_viewed,
	s.last_click_at, s.last_reply_at, s.last_delivered_at, s.last_engaged_at,
	smsflow.messages_last(s.contact_id, s.message_days, 7) AS messages_7d, smsflow.messages_last(s.contact_id, s.message_days, 30) AS messages_30d,
	smsflow.messages_last(s.contact_id, s.message_days, 90) AS messages_90d, smsflow.tally_last(s.click_days, 7) AS clicks_7d,
	smsflow.tally_last(s.click_days, 30) AS clicks_30d, smsflow.tally_last(s.click_days, 90) AS clicks_90d,
	s.opted_in_at, s.opted_in_source, s.country, s.birthday,
	least(100, CASE WHEN s.last_order_at > now() - interval '90 days' THEN 30 ELSE 0 END
		+ CASE WHEN greatest(s.last_click_at, s.last_reply_at) > now() - interval '30 days' THEN 30
			WHEN greatest(s.last_click_at, s.last_reply_at) > now() - interval '90 days' THEN 15 ELSE 0 END
		+ CASE WHEN greatest(s.last_cart_at, s.last_viewed_at) > now() - interval '30 days' THEN 20 ELSE 0 END
		+ least(20, 5 * smsflow.tally_last(s.click_days, 30)))::integer AS engagement_score,
	CASE WHEN s.orders_count > 0 THEN (CASE WHEN s.last_order_at > now() - interval '30 days' THEN '5' WHEN s.last_order_at > now() - interval '60 days' THEN '4'
			WHEN s.last_order_at > now() - interval '120 days' THEN '3' WHEN s.last_order_at > now() - interval '1 year' THEN '2' ELSE '1' END)
		|| (CASE WHEN s.orders_count >= 10 THEN '5' WHEN s.orders_count >= 5 THEN '4' WHEN s.orders_count >= 3 THEN '3' ELSE s.orders_count::text END)
		|| (CASE WHEN s.orders_value >= 1000 THEN '5' WHEN s.orders_value >= 500 THEN '4' WHEN s.orders_value >= 200 THEN '3'
			WHEN s.orders_value >= 50 THEN '2' ELSE '1' END) END AS rfm
FROM (
	SELECT f.*, false AS waits FROM smsflow.profile_fact AS f UNION ALL SELECT p.*, true FROM smsflow.profile_pending AS p
) AS s
WHERE s.waits OR NOT smsflow.awaits_fold(s.contact_id);
COMMENT ON VIEW smsflow.profile IS 'Facts about each contact that segments select by, current in every snapshot; no phone numbers. Carts of a watched table count when the worker has read them, all else from the commit, or within its own transaction, on';
COMMENT ON COLUMN smsflow.profile.region IS 'Region of the contact, or else of the number (ISO 3166 code)';
COMMENT ON COLUMN smsflow.profile.promotional_consent IS 'none, implied, express, written or confirmed';
COMMENT ON COLUMN smsflow.profile.subscribed IS 'Promotional consent is express or above';
COMMENT ON COLUMN smsflow.profile.orders_value IS 'Sum of the amounts of all orders, whatever their currency; one that was reported again (same ref) counts once, as in orders_count';
COMMENT ON COLUMN smsflow.profile.active_cart IS 'The store''s key of the last cart, when it was neither ordered nor emptied since';
COMMENT ON COLUMN smsflow.profile.last_cart_at IS 'Last change of a cart, ordered or not';
COMMENT ON COLUMN smsflow.profile.average_order_value IS 'orders_value / orders_count; NULL without orders';
COMMENT ON COLUMN smsflow.profile.next_order_at IS 'When the next order would come at the pace of those so far: the last one plus the average time between two. NULL before the second order';
COMMENT ON COLUMN smsflow.profile.value_tier IS 'Tier by orders_value, see smsflow.value_tier; a change of that table counts with the next change of the contact';
COMMENT ON COLUMN smsflow.profile.products_bought IS 'Products of orders, the newest first, at most 200; see the view contact_product for instants';
COMMENT ON COLUMN smsflow.profile.categories_bought IS 'Categories of products bought, the newest first, at most 200';
COMMENT ON COLUMN smsflow.profile.last_viewed IS 'Product of the last event "viewed"';
COMMENT ON COLUMN smsflow.profile.last_click_at IS 'Last click of a person on a link in a message';
COMMENT ON COLUMN smsflow.profile.last_reply_at IS 'Last message from this person';
COMMENT ON COLUMN smsflow.profile.last_delivered_at IS 'When the last message was reported as delivered';
COMMENT ON COLUMN smsflow.profile.last_engaged_at IS 'Last order, cart, view, click or reply';
COMMENT ON COLUMN smsflow.profile.messages_7d IS 'Messages that reached, or may have reached, the person in the last 7 days of UTC, today among them';
COMMENT ON COLUMN smsflow.profile.opted_in_at IS 'When this person last agreed to promotional messages, also when that was ended since';
COMMENT ON COLUMN smsflow.profile.opted_in_source IS 'Source of that agreement, as given to subscribe()';
COMMENT ON COLUMN smsflow.profile.country IS 'ISO 3166 country of region, or else of the number';
COMMENT ON COLUMN smsflow.profile.birthday IS 'Attribute birthday, where it is a date written YYYY-MM-DD';
COMMENT ON COLUMN smsflow.profile.engagement_score IS '0 to 100: 30 for an order in 90 days, 30 for a click or reply in 30 days (15 in 90), 20 for a cart or view in 30 days, 5 for each click in 30 days up to 20';

COMMENT ON COLUMN smsflow.profile.rfm IS 'Three digits from 1 to 5; NULL without orders. Recency: last order within 30, 60, 120 days, a year, longer ago. Frequency: 10, 5, 3, 2, 1 orders. Monetary: orders worth 1000, 500, 200, 50, less';

-- ---- folding ----

CREATE OR REPLACE FUNCTION smsflow.waiting_contacts(after bigint, slice integer, OUT contact_ids bigint[], OUT reached bigint)
	LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'smsflow_waiting_contacts';
COMMENT ON FUNCTION smsflow.waiting_contacts(bigint, integer) IS 'Contacts behind this one that deltas wait for: those that about so many deltas are about, or fewer where folded ones have not been cleaned away. Reached is where to go on, NULL at the end';
REVOKE ALL ON FUNCTION smsflow.waiting_contacts(bigint, integer) FROM PUBLIC;

-- One statement and so one snapshot: the deltas that are deleted are those that were added. The worker alone calls it; a
-- second caller finds the lock taken. It reads single contacts by index, whatever the statistics of a table that was just
-- filled may say, so it costs what its slice costs.
CREATE OR REPLACE FUNCTION smsflow.fold_profiles(slice integer DEFAULT 1000, after bigint DEFAULT 0, OUT folded integer, OUT reached bigint)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off
	SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan SET jit = off AS $$
DECLARE
	ids bigint[];
BEGIN
	folded := 0;
	IF NOT pg_try_advisory_xact_lock(hashtextextended('smsflow.fold_profiles', 0)) THEN
		RETURN;
	END IF;
	SELECT w.contact_ids, w.reached INTO ids, reached FROM smsflow.waiting_contacts(after, slice) AS w;
	folded := cardinality(ids);
	IF folded = 0 THEN
		RETURN;
	END IF;
	WITH products AS (
		INSERT INTO smsflow.contact_product_fact AS f (contact_id, kind, product, category, last_at, times)
		SELECT p.contact_id, p.kind, p.product, max(p.category), max(p.at), count(*)
		FROM smsflow.pending_product AS p JOIN smsflow.contact AS c USING (contact_id)
		WHERE p.contact_id = ANY (ids) GROUP BY p.contact_id, p.kind, p.product
		ON CONFLICT (contact_id, kind, product) DO UPDATE SET last_at = greatest(f.last_at, EXCLUDED.last_at),
			times = f.times + EXCLUDED.times, category = coalesce(EXCLUDED.category, f.category)
	), gone AS (
		DELETE FROM smsflow.profile_delta AS d WHERE d.contact_id = ANY (ids)
	), traffic AS (		-- of most contacts no more is new than that something was sent to them
		UPDATE smsflow.profile_fact AS f SET last_click_at = greatest(f.last_click_at, d.clicked_at),
			last_reply_at = greatest(f.last_reply_at, d.replied_at), last_delivered_at = greatest(f.last_delivered_at, d.delivered_at),
			last_engaged_at = greatest(f.last_engaged_at, d.clicked_at, d.replied_at),
			message_days = CASE WHEN d.messages IS NULL THEN f.message_days ELSE smsflow.tally_add(f.message_days, d.messages) END,
			click_days = CASE WHEN d.clicks IS NULL THEN f.click_days ELSE smsflow.tally_add(f.click_days, d.clicks) END
		FROM (SELECT d.contact_id, max(d.at) FILTER (WHERE d.kind = 'click') AS clicked_at, max(d.at) FILTER (WHERE d.kind = 'reply') AS replied_at,
				max(d.at) FILTER (WHERE d.kind = 'delivered') AS delivered_at, array_agg(d.at) FILTER (WHERE d.kind = 'message') AS messages,
				array_agg(d.at) FILTER (WHERE d.kind = 'click') AS clicks
			FROM smsflow.profile_delta AS d WHERE d.contact_id = ANY (ids) GROUP BY d.contact_id
			HAVING bool_and(d.kind IN ('message', 'delivered', 'click', 'reply'))) AS d
		WHERE f.contact_id = d.contact_id
		RETURNING f.contact_id
	)
	INSERT INTO smsflow.profile_fact (contact_id, brand_id, orders_count, subscribed, created_at, birthday, opted_in_at, first_order_at, last_order_at, next_order_at,
		last_cart_at, last_viewed_at, last_click_at, last_reply_at, last_delivered_at, last_engaged_at, cart_event_id, closing_event_id,
		attributes, language, orders_value, region, country, promotional_consent, cart_consent, value_tier, opted_in_source, external_id, first_name,
		last_name, time_zone, active_cart, active_cart_value, last_viewed, message_days, click_days, products, categories)
	SELECT p.* FROM (SELECT unnest(ids) EXCEPT SELECT t.contact_id FROM traffic AS t) AS i (contact_id)
	CROSS JOIN LATERAL (SELECT o.* FROM smsflow.profile_pending AS o WHERE o.contact_id = i.contact_id OFFSET 0) AS p
	ON CONFLICT (contact_id) DO UPDATE SET (brand_id, orders_count, subscribed, created_at, birthday, opted_in_at, first_order_at, last_order_at, next_order_at,
		last_cart_at, last_viewed_at, last_click_at, last_reply_at, last_delivered_at, last_engaged_at, cart_event_id, closing_event_id,
		attributes, language, orders_value, region, country, promotional_consent, cart_consent, value_tier, opted_in_source, external_id, first_name,
		last_name, time_zone, active_cart, active_cart_value, last_viewed, message_days, click_days, products, categories) =
		ROW (EXCLUDED.brand_id, EXCLUDED.orders_count, EXCLUDED.subscribed, EXCLUDED.created_at, EXCLUDED.birthday, EXCLUDED.opted_in_at,
		EXCLUDED.first_order_at, EXCLUDED.last_order_at, EXCLUDED.next_order_at, EXCLUDED.last_cart_at, EXCLUDED.last_viewed_at,
		EXCLUDED.last_click_at, EXCLUDED.last_reply_at, EXCLUDED.last_delivered_at, EXCLUDED.last_engaged_at, EXCLUDED.cart_event_id,
		EXCLUDED.closing_event_id, EXCLUDED.attributes, EXCLUDED.language, EXCLUDED.orders_value, EXCLUDED.region, EXCLUDED.country,
		EXCLUDED.promotional_consent, EXCLUDED.cart_consent, EXCLUDED.value_tier, EXCLUDED.opted_in_source, EXCLUDED.external_id,
		EXCLUDED.first_name, EXCLUDED.last_name, EXCLUDED.time_zone, EXCLUDED.active_cart, EXCLUDED.active_cart_value,
		EXCLUDED.last_viewed, EXCLUDED.message_days, EXCLUDED.click_days, EXCLUDED.products, EXCLUDED.categories);
END $$;
COMMENT ON FUNCTION smsflow.fold_profiles(integer, bigint) IS 'Worker: folds the deltas of contacts behind a contact_id, about so many deltas at a time, into profile_fact. Returns the number of contacts folded and where to go on, NULL when that was the last, or when another call is at it';
REVOKE ALL ON FUNCTION smsflow.fold_profiles(integer, bigint) FROM PUBLIC;

-- Most of what waits are messages, and of most contacts no more is new.
CREATE OR REPLACE FUNCTION smsflow.fold_sent(slice integer DEFAULT 100, after bigint DEFAULT 0, OUT folded integer, OUT reached bigint)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off
	SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan SET jit = off AS $$
BEGIN
	folded := 0;
	IF NOT pg_try_advisory_xact_lock(hashtextextended('smsflow.fold_profiles', 0)) THEN
		RETURN;
	END IF;
	WITH taken AS (
		DELETE FROM smsflow.profile_sent AS s USING (SELECT p.sent_id FROM smsflow.profile_sent AS p WHERE p.sent_id > after ORDER BY p.sent_id LIMIT slice) AS n
		WHERE s.sent_id = n.sent_id RETURNING s.sent_id, s.sent_at, s.contact_ids
	), sent AS (
		SELECT u.contact_id, array_agg(t.sent_at) AS instants FROM taken AS t, unnest(t.contact_ids) AS u (contact_id) GROUP BY u.contact_id
	), counted AS (
		UPDATE smsflow.profile_fact AS f SET message_days = smsflow.tally_add(f.message_days, s.instants) FROM sent AS s
		WHERE f.contact_id = s.contact_id RETURNING f.contact_id
	), others AS (		-- whose facts are not there yet
		INSERT INTO smsflow.profile_delta (contact_id, kind, at)
		SELECT s.contact_id, 'message', u.at FROM sent AS s CROSS JOIN unnest(s.instants) AS u (at)
		WHERE s.contact_id NOT IN (SELECT c.contact_id FROM counted AS c) AND EXISTS (SELECT FROM smsflow.contact AS c WHERE c.contact_id = s.contact_id)
	)
	SELECT count(*), CASE WHEN count(*) = slice THEN max(t.sent_id) END INTO folded, reached FROM taken AS t;
END $$;
COMMENT ON FUNCTION smsflow.fold_sent(integer, bigint) IS 'Worker: counts the messages of so many rows of profile_sent behind a sent_id in profile_fact. Returns how many rows that were and where to go on, NULL when that was the last, or when another call is at it';
REVOKE ALL ON FUNCTION smsflow.fold_sent(integer, bigint) FROM PUBLIC;
