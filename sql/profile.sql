--
-- Facts about contacts: what feeds them, that they are exact before and after they are folded, and what a restored dump
-- and an erasure do to them
--
\set VERBOSITY sqlstate
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SELECT smsflow.create_brand('Facts') AS brand \gset
SELECT smsflow.subscribe('+14155550301', '{promotional}', source => 'checkout', external_id => 'f1', brand => 'Facts',
	attributes => '{"first_name": "Ada", "birthday": "1990-02-28", "region": "US-CA"}', occurred_at => '2026-01-05Z') AS ada \gset
SELECT smsflow.subscribe('+491715550302', '{promotional}', external_id => 'f2', brand => 'Facts', attributes => '{"birthday": "1990-02-30"}') AS bob \gset

-- In the transaction of whoever records something, and gone with it.
BEGIN;
SELECT smsflow.record_event('+14155550301', 'order', 'o-0', amount => 5, brand => 'Facts') > 0 AS recorded;
SELECT orders_count, orders_value FROM smsflow.profile WHERE contact_id = :ada;
SELECT smsflow.opt_out('+14155550301', brand => 'Facts');
SELECT subscribed FROM smsflow.profile WHERE contact_id = :ada;
ROLLBACK;
SELECT orders_count, orders_value, subscribed FROM smsflow.profile WHERE contact_id = :ada;

-- A watched table feeds them, and a store's own tables join by the customer's key.
CREATE TABLE fact_orders (id int PRIMARY KEY, customer_id text, status text, total numeric, currency text, items jsonb, cart_id text);
SELECT count(*) > 0 AS watched FROM smsflow.watch_orders('fact_orders', brand => 'Facts');
BEGIN;
INSERT INTO fact_orders VALUES (1, 'f1', 'paid', 60, 'USD', '[{"sku": "red-scarf", "category": "scarves"}, "gift-card"]');
SELECT orders_count, products_bought, categories_bought FROM smsflow.profile WHERE external_id = 'f1';
COMMIT;
CREATE TABLE fact_customers (id text PRIMARY KEY, store text);
INSERT INTO fact_customers VALUES ('f1', 'Oslo');
SELECT p.external_id, c.store FROM smsflow.profile AS p JOIN fact_customers AS c ON c.id = p.external_id;

-- Who may read the view may read all of it.
CREATE ROLE regress_smsflow_reader;
SELECT smsflow.grant_access('regress_smsflow_reader', 'marketer');
SET ROLE regress_smsflow_reader;
SELECT value_tier, products_bought, opted_in_source FROM smsflow.profile WHERE external_id = 'f1';
RESET ROLE;
SELECT smsflow.revoke_access('regress_smsflow_reader', 'marketer');
DROP OWNED BY regress_smsflow_reader;
DROP ROLE regress_smsflow_reader;

-- Carts, views, messages, clicks, replies and deliveries.
INSERT INTO smsflow.event (contact_id, brand_id, kind, ref, amount, occurred_at, data) VALUES
	(:ada, :brand, 'cart', 'c-1', 30, '2026-03-01Z', '{"cart": {"items": [{"product_id": 7}]}}'),
	(:ada, :brand, 'order', 'o-2', 40, '2026-03-11Z', '{"order": {"cart_id": "c-1"}}'),
	(:ada, :brand, 'viewed', 'blue-hat', NULL, '2026-03-12Z', '{"category": "hats"}'),
	(:bob, :brand, 'cart', 'c-2', 12, '2026-03-02Z', '{}'), (:bob, :brand, 'viewed', 'red-scarf', NULL, '2026-03-03Z', '{}'),
	(:bob, :brand, 'loyalty', 'x', NULL, '2026-03-04Z', '{}');
INSERT INTO smsflow.profile_delta (contact_id, kind, at) VALUES (:ada, 'message', now()), (:ada, 'message', now() - interval '20 days'),
	(:ada, 'message', now() - interval '60 days'), (:ada, 'message', now() - interval '200 days'), (:ada, 'click', now() - interval '8 days'),
	(:ada, 'reply', '2026-03-13Z'), (:ada, 'delivered', '2026-03-14Z');
\x on
SELECT external_id, region, country, birthday, opted_in_at, opted_in_source, orders_count, orders_value, average_order_value, value_tier,
	products_bought, categories_bought, active_cart, active_cart_value, last_cart_at, last_viewed, last_viewed_at, last_reply_at,
	last_delivered_at, messages_7d, messages_30d, messages_90d, clicks_7d, clicks_30d, clicks_90d, engagement_score > 0 AS engaged,
	last_engaged_at > now() - interval '30 days' AS lately
	FROM smsflow.profile WHERE contact_id = :ada;
SELECT external_id, region, country, birthday, opted_in_source, orders_count, average_order_value, value_tier, products_bought, active_cart,
	active_cart_value, last_viewed, messages_7d, next_order_at FROM smsflow.profile WHERE contact_id = :bob;
\x off

-- Folding changes where the facts are, and nothing else; folding in steps neither.
CREATE TABLE before AS SELECT * FROM smsflow.profile WHERE brand_id = :brand;
CREATE TABLE products_before AS SELECT contact_id, kind, product, max(last_at) AS last_at FROM smsflow.contact_product GROUP BY 1, 2, 3;
SELECT count(*) FROM smsflow.profile_fact WHERE brand_id = :brand;
CREATE FUNCTION fold_all() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	WHILE (smsflow.fold_profiles(2)).folded > 0 LOOP
	END LOOP;
END $$;
SELECT fold_all();
SELECT count(*) FROM smsflow.profile_delta;
CREATE VIEW changed AS
	(TABLE before EXCEPT SELECT p.* FROM smsflow.profile AS p JOIN before USING (contact_id)) UNION ALL
	(SELECT p.* FROM smsflow.profile AS p JOIN before USING (contact_id) EXCEPT TABLE before);
SELECT count(*) FROM changed;
SELECT count(*) FROM (SELECT contact_id, kind, product, last_at FROM smsflow.contact_product EXCEPT TABLE products_before) AS x;
SELECT product, category, times FROM smsflow.contact_product_fact WHERE contact_id = :ada ORDER BY kind, product;

-- Folded facts and new deltas add up.
INSERT INTO fact_orders VALUES (3, 'f1', 'paid', 400, 'USD', '[{"sku": "red-scarf"}]');
INSERT INTO smsflow.event (contact_id, brand_id, kind, ref, occurred_at) VALUES (:bob, :brand, 'cart_emptied', 'c-2', '2026-03-05Z');
INSERT INTO smsflow.profile_delta (contact_id, kind, at) VALUES (:ada, 'message', now());
UPDATE smsflow.contact SET language = 'de' WHERE contact_id = :bob;
SELECT external_id, orders_count, orders_value, value_tier, products_bought, messages_7d, messages_90d, active_cart, language, last_cart_at
	FROM smsflow.profile WHERE brand_id = :brand ORDER BY 1;
TRUNCATE before;
INSERT INTO before SELECT * FROM smsflow.profile WHERE brand_id = :brand;
SELECT fold_all();
SELECT count(*) FROM changed;
SELECT product, times FROM smsflow.contact_product_fact WHERE contact_id = :ada AND kind = 'bought' ORDER BY 1;

-- What was sent to somebody, and what came of it, adds up alike where nothing else is new.
INSERT INTO smsflow.profile_delta (contact_id, kind, at) SELECT c, kind, now() - n * interval '1 minute'
	FROM unnest(array[:ada, :bob]::bigint[]) WITH ORDINALITY AS u (c, n), unnest('{message,message,delivered,click,reply}'::text[]) AS kind
	WHERE n = 1 OR kind = 'message';
TRUNCATE before;
INSERT INTO before SELECT * FROM smsflow.profile WHERE brand_id = :brand;
SELECT fold_all();
SELECT count(*) FROM changed;
SELECT external_id, messages_7d, clicks_7d, last_click_at IS NOT NULL AS clicked, last_reply_at = last_click_at AS replied, last_delivered_at = last_click_at AS delivered,
	last_engaged_at >= last_click_at AS engaged FROM smsflow.profile WHERE contact_id IN (:ada, :bob) ORDER BY 1;

-- Messages that the worker has noted, many contacts to a row, count at once, and as much once they are folded.
INSERT INTO smsflow.profile_sent (sent_at, lowest, highest, contact_ids) VALUES (now(), least(:ada, :bob), greatest(:ada, :bob), array[:ada, :ada, :bob]),
	(now() - interval '20 days', :ada, :ada, array[:ada]), (now() - interval '60 days', :bob, :bob, array[:bob]), (now() - interval '200 days', :bob, :bob, array[:bob]);
CREATE VIEW messages AS SELECT external_id, messages_7d, messages_30d, messages_90d FROM smsflow.profile WHERE contact_id IN (:ada, :bob) ORDER BY 1;
TABLE messages;
SELECT smsflow.messages_last(:ada, NULL, 30), smsflow.messages_last(0, NULL, 90), smsflow.messages_last(NULL, '{}', 90), smsflow.messages_last(:ada, '{}', NULL);
-- Whoever asks for many gets them all read at once.
SELECT u.n % 2 AS bob, count(*), min(smsflow.messages_last(CASE u.n % 2 WHEN 0 THEN :ada ELSE :bob END, NULL, 90)) AS least, max(smsflow.messages_last(CASE u.n % 2 WHEN 0 THEN :ada ELSE :bob END, NULL, 90)) AS most
	FROM generate_series(1, 100) AS u (n) GROUP BY 1 ORDER BY 1;
TRUNCATE before;
INSERT INTO before SELECT * FROM smsflow.profile WHERE brand_id = :brand;
SELECT folded, reached IS NULL AS ended FROM smsflow.fold_sent(3);
SELECT count(*) FROM changed;
SELECT folded, reached IS NULL AS ended FROM smsflow.fold_sent(3, (SELECT min(sent_id) - 1 FROM smsflow.profile_sent));
SELECT (SELECT count(*) FROM changed) AS changed, (SELECT count(*) FROM smsflow.profile_sent) AS left_over;
-- Whose facts are not there yet keeps them as a delta; who is gone, does not.
DELETE FROM smsflow.profile_fact WHERE contact_id = :bob;
INSERT INTO smsflow.profile_delta (contact_id, kind, at) VALUES (:bob, 'contact', now());
INSERT INTO smsflow.profile_sent (sent_at, lowest, highest, contact_ids) VALUES (now(), 0, :bob, array[0, :bob, :bob]);
TABLE messages;
SELECT folded FROM smsflow.fold_sent();
SELECT contact_id = :bob AS bob, kind FROM smsflow.profile_delta WHERE kind = 'message';
TABLE messages;
SELECT fold_all();
TABLE messages;
SELECT * FROM smsflow.fold_sent();

-- The store's own tiers.
INSERT INTO smsflow.value_tier (brand_id, tier, at_least) VALUES (:brand, 'gold', 100), (:brand, 'platinum', 1000);
UPDATE smsflow.contact SET first_name = 'Ada L.' WHERE contact_id = :ada;
SELECT value_tier FROM smsflow.profile WHERE contact_id = :ada;

-- A condition goes down to the table, where an index of the store's serves it.
INSERT INTO smsflow.profile_fact (contact_id, brand_id, orders_count, subscribed, created_at, orders_value, promotional_consent, cart_consent, attributes)
	SELECT -g, -1, g % 1000, false, now(), 0, 'none', 'none', '{}' FROM generate_series(1, 20000) g;
CREATE INDEX fact_orders_count ON smsflow.profile_fact (orders_count);
ANALYZE smsflow.profile_fact;
CREATE FUNCTION plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		RETURN NEXT line;
	END LOOP;
END $$;
SELECT DISTINCT btrim(line) FROM plan_of('SELECT count(*) FROM smsflow.profile WHERE orders_count = 999') AS line WHERE line ~ 'Index Cond: .orders_count';
DELETE FROM smsflow.profile_fact WHERE contact_id < 0;
DROP INDEX smsflow.fact_orders_count;

-- What a restored dump brings is not counted again: its rows have transaction ids of long ago.
INSERT INTO smsflow.event (contact_id, brand_id, kind, ref, amount, xid) VALUES (:bob, :brand, 'order', 'old', 10, '3');
SELECT orders_count FROM smsflow.profile WHERE contact_id = :bob;
-- Who becomes known later brings along what was done before.
INSERT INTO smsflow.event (brand_id, kind, ref, amount, phone) VALUES (:brand, 'order', 'stranger', 10, '+491715550302') RETURNING event_id \gset
UPDATE smsflow.event SET contact_id = :bob WHERE event_id = :event_id;
SELECT orders_count FROM smsflow.profile WHERE contact_id = :bob;

-- An order is one order however often it is reported, before and after folding, and when its first report becomes known last.
INSERT INTO smsflow.event (contact_id, brand_id, kind, ref, amount) SELECT :bob, :brand, 'order', 'again', 10 FROM generate_series(1, 2);
SELECT orders_count, orders_value FROM smsflow.profile WHERE contact_id = :bob;
SELECT fold_all();
INSERT INTO smsflow.event (contact_id, brand_id, kind, ref, amount) VALUES (:bob, :brand, 'order', 'again', 10);
INSERT INTO smsflow.event (brand_id, kind, ref, amount, phone) VALUES (:brand, 'order', 'late', 10, '+491715550302') RETURNING event_id \gset
INSERT INTO smsflow.event (contact_id, brand_id, kind, ref, amount) VALUES (:bob, :brand, 'order', 'late', 10);
SELECT fold_all();
UPDATE smsflow.event SET contact_id = :bob WHERE event_id = :event_id;
SELECT orders_count, orders_value FROM smsflow.profile WHERE contact_id = :bob;
SELECT fold_all();
SELECT orders_count, orders_value FROM smsflow.profile WHERE contact_id = :bob;

-- Facts are what a recount of contacts and events says, at every step of a random schedule of both, of folds and erasures.
CREATE TABLE fact_person AS SELECT n, '+1415555' || to_char(310 + n, 'FM0000') AS phone FROM generate_series(1, 5) AS n;
SELECT count(smsflow.subscribe(phone, '{promotional}', source => 'web', brand => 'Facts')) FROM fact_person;
CREATE VIEW recounted AS
	SELECT c.contact_id, o.orders_count, o.orders_value, o.first_order_at, o.last_order_at, k.last_cart_at, k.last_viewed_at, a.active_cart, a.active_cart_value,
		smsflow.consent_level(c.consent, 'promotional')::text AS promotional_consent, c.language
	FROM smsflow.contact AS c
	CROSS JOIN LATERAL (SELECT count(*) AS orders_count, coalesce(sum(x.amount), 0) AS orders_value, min(x.occurred_at) AS first_order_at, max(x.occurred_at) AS last_order_at
		FROM (SELECT DISTINCT ON (coalesce(nullif(e.ref, ''), e.event_id::text)) e.* FROM smsflow.event AS e WHERE e.contact_id = c.contact_id AND e.kind = 'order'
			ORDER BY coalesce(nullif(e.ref, ''), e.event_id::text), e.event_id) AS x) AS o
	CROSS JOIN LATERAL (SELECT max(e.occurred_at) FILTER (WHERE e.kind = 'cart') AS last_cart_at, max(e.occurred_at) FILTER (WHERE e.kind = 'viewed') AS last_viewed_at,
		coalesce(max(e.event_id) FILTER (WHERE e.kind IN ('order', 'cart_emptied')), 0) AS closed FROM smsflow.event AS e WHERE e.contact_id = c.contact_id) AS k
	LEFT JOIN LATERAL (SELECT e.ref AS active_cart, e.amount AS active_cart_value FROM smsflow.event AS e WHERE e.contact_id = c.contact_id AND e.kind = 'cart'
		AND e.event_id > k.closed ORDER BY e.event_id DESC LIMIT 1) AS a ON true
	WHERE c.phone::text IN (SELECT phone FROM fact_person);
CREATE FUNCTION play(place integer, phone text, amount numeric, at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	CASE
		WHEN place < 4 THEN PERFORM smsflow.record_event(phone, 'order', CASE WHEN place > 0 THEN 'o-' || amount % 20 END, amount => amount, at => at, brand => 'Facts');
		WHEN place < 6 THEN PERFORM smsflow.record_event(phone, 'cart', 'c-' || amount % 5, amount => amount, at => at, brand => 'Facts');
		WHEN place = 6 THEN PERFORM smsflow.record_event(phone, 'cart_emptied', 'c-' || amount % 5, brand => 'Facts');
		WHEN place = 7 THEN PERFORM smsflow.record_event(phone, 'viewed', 'p-' || amount % 5, at => at, brand => 'Facts');
		WHEN place = 8 THEN PERFORM smsflow.opt_out(phone, brand => 'Facts');
		WHEN place = 9 THEN PERFORM smsflow.subscribe(phone, '{promotional}', source => 'web', brand => 'Facts');
		WHEN place = 10 THEN UPDATE smsflow.contact AS c SET language = (ARRAY['de', 'en', 'fr'])[1 + amount % 3] WHERE c.phone::text = play.phone;
		WHEN place = 11 AND amount < 20 THEN PERFORM smsflow.erase_contact(phone, 'Facts');
		ELSE PERFORM smsflow.fold_profiles(1 + (amount % 8)::integer);
	END CASE;
END $$;
SELECT setseed(0.9);
DO $$
DECLARE
	difference text;
BEGIN
	FOR i IN 1 .. 300 LOOP
		PERFORM play(floor(random() * 13)::integer, (SELECT phone FROM fact_person ORDER BY random() LIMIT 1), floor(random() * 100)::numeric, now() - random() * interval '90 days');
		SELECT min(format('step %s: %s, recount %s', i, to_jsonb(p), to_jsonb(r))) INTO difference FROM recounted AS r
			FULL JOIN (SELECT f.contact_id, f.orders_count, f.orders_value, f.first_order_at, f.last_order_at, f.last_cart_at, f.last_viewed_at, f.active_cart, f.active_cart_value,
				f.promotional_consent, f.language FROM smsflow.profile AS f WHERE f.contact_id IN (SELECT contact_id FROM recounted)) AS p USING (contact_id)
			WHERE to_jsonb(p) IS DISTINCT FROM to_jsonb(r);
		ASSERT difference IS NULL, difference;
	END LOOP;
END $$;
DROP VIEW recounted;
DROP FUNCTION play(integer, text, numeric, timestamptz);
DROP TABLE fact_person;
SELECT fold_all();

-- Facts go with their contact.
SELECT smsflow.erase_contact('+14155550301', 'Facts');
SELECT count(*) FROM smsflow.profile WHERE contact_id = :ada;
SELECT fold_all();
SELECT (SELECT count(*) FROM smsflow.profile_fact WHERE contact_id = :ada) AS facts,
	(SELECT count(*) FROM smsflow.contact_product WHERE contact_id = :ada) AS products, (SELECT count(*) FROM smsflow.profile_delta) AS deltas;

-- A birthday that is none is none.
SELECT value, smsflow.birthday_of(jsonb_build_object('birthday', value)) FROM unnest('{1980-02-29,1981-02-29,2000-12-31,1990-04-31,0000-01-01,1990-1-1,soon,1990-00-10}'::text[]) AS value;

-- Folding goes on behind a contact, all deltas of one at a time.
INSERT INTO smsflow.profile_delta (contact_id, kind, at) SELECT 9000000001 + n / 2, 'contact', now() FROM generate_series(0, 9) AS n;
SELECT * FROM smsflow.waiting_contacts(0, 3);
SELECT * FROM smsflow.waiting_contacts(9000000002, 4);
SELECT * FROM smsflow.waiting_contacts(9000000004, 4);
SELECT * FROM smsflow.fold_profiles(3);
SELECT * FROM smsflow.fold_profiles(100, 9000000002);
SELECT * FROM smsflow.fold_profiles(100, 9000000005);
-- What is folded, but still visible to somebody, is passed in bounded steps.
BEGIN;
INSERT INTO smsflow.profile_delta (contact_id, kind, at) SELECT 9000000000 + n, 'contact', now() FROM generate_series(1, 5000) AS n;
DELETE FROM smsflow.profile_delta WHERE contact_id <> 9000005000;
SELECT contact_ids, reached < 9000005000 AS goes_on FROM smsflow.waiting_contacts(9000000000, 10);
SELECT w.contact_ids, w.reached FROM smsflow.waiting_contacts(9000000000, 10) AS first, smsflow.waiting_contacts(first.reached, 10) AS w;
ROLLBACK;

DROP VIEW changed, messages;
DROP TABLE before, products_before, fact_customers;
SELECT smsflow.unwatch('fact_orders');
DROP TABLE fact_orders;
DROP FUNCTION fold_all(), plan_of(text);
