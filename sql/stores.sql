-- Carts, orders and other tables of four kinds of stores, as the files of test/fixtures shape them.
\getenv fixtures PG_ABS_SRCDIR
\set fixtures :fixtures /test/fixtures
\set VERBOSITY sqlstate
SET client_min_messages = warning;
SET smsflow.default_region = 'US';
CREATE SCHEMA woo; CREATE SCHEMA magento; CREATE SCHEMA medusa; CREATE SCHEMA saleor;
\set file :fixtures /woocommerce.sql
SET search_path = woo; \i :file
\set file :fixtures /magento.sql
SET search_path = magento; \i :file
\set file :fixtures /medusa.sql
SET search_path = medusa; \i :file
\set file :fixtures /saleor.sql
SET search_path = saleor; \i :file
RESET search_path;
SELECT coalesce(max(event_id), 0) AS start FROM smsflow.event \gset
CREATE TEMP TABLE seen AS SELECT :start::bigint AS event_id;
-- What the worker made of the events since the last look.
CREATE FUNCTION pg_temp.look(OUT kind text, OUT ref text, OUT who text, OUT amount numeric, OUT data jsonb) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
	since bigint := (SELECT max(event_id) FROM seen);
BEGIN
	PERFORM smsflow.process_events(ARRAY(SELECT e.event_id FROM smsflow.event e WHERE e.event_id > since AND e.event_id % 1024 = 0 ORDER BY 1));
	RETURN QUERY SELECT e.kind, right(e.ref, 12), coalesce(e.phone, 'customer ' || e.external_id), trim_scale(e.amount), e.data
		FROM smsflow.event e WHERE e.event_id > since AND e.kind <> 'rows' ORDER BY e.event_id;
	INSERT INTO seen SELECT max(e.event_id) FROM smsflow.event e;
END $$;

-- WooCommerce: statuses with a prefix, items as json. ---------------------------------------
SELECT * FROM smsflow.watch_carts('woo.wc_carts', '{"items": "cart_contents", "total": "cart_total", "status": "cart_status", "active": ["normal"], "data": {"url": "recovery_url"}}');
SELECT * FROM smsflow.watch_orders('woo.wc_orders', '{"total": "total_amount", "status_map": {"wc-completed": "delivered", "wc-processing": "paid", "wc-pending": "", "trash": ""}}');
INSERT INTO woo.wc_carts (cart_id, billing_phone, cart_contents, cart_total, currency, recovery_url) VALUES (1, '(212) 555-0101', '[{"name": "Mug"}]', 12.5, 'USD', 'https://woo/r/1'),
	(2, NULL, '[{"name": "Cup"}]', 3, 'USD', NULL), (3, '212 555 0103', '[]', 0, 'USD', NULL);
INSERT INTO woo.wc_orders (id, status, currency, total_amount, customer_id, phone) VALUES (11, 'wc-pending', 'USD', 12.5, NULL, '+12125550101');
UPDATE woo.wc_orders SET status = 'wc-processing' WHERE id = 11;
UPDATE woo.wc_orders SET status = 'wc-completed' WHERE id = 11;
UPDATE woo.wc_carts SET cart_status = 'recovered' WHERE cart_id = 1;
SELECT * FROM pg_temp.look();

-- Magento: items in a table of their own, integer keys, several items in one statement. -------
SELECT * FROM smsflow.watch_carts('magento.quote', '{"phone": "customer_telephone", "currency": "quote_currency_code", "status": "is_active", "active": ["1"],
	"items": {"table": "magento.quote_item", "cart_id": "quote_id"}}');
SELECT * FROM smsflow.watch_orders('magento.sales_order', '{"phone": "telephone", "cart_id": "quote_id", "currency": "order_currency_code", "status": "state"}');
INSERT INTO magento.quote (entity_id, customer_telephone, grand_total, quote_currency_code) VALUES (5, '212 555 0105', 20, 'USD');
SELECT * FROM pg_temp.look();
INSERT INTO magento.quote_item VALUES (1, 5, 'A', 'Tent', 1, 15), (2, 5, 'B', 'Peg', 5, 1);
SELECT kind, ref, who, amount, data #> '{cart,items,1,name}' AS second FROM pg_temp.look();
UPDATE magento.quote_item SET qty = 6 WHERE item_id = 2;
SELECT kind, ref, data #> '{cart,items}' @> '[{"qty": 6.0000}]' AS six FROM pg_temp.look();
-- A store that writes the items anew has not emptied the cart; one that deletes the last has, with its commit.
BEGIN;
DELETE FROM magento.quote_item;
INSERT INTO magento.quote_item VALUES (1, 5, 'A', 'Tent', 1, 15), (2, 5, 'B', 'Peg', 5, 1);
COMMIT;
SELECT kind, ref FROM pg_temp.look();
DELETE FROM magento.quote_item WHERE item_id = 1;
SELECT kind, ref FROM pg_temp.look();
BEGIN;
DELETE FROM magento.quote_item;
ROLLBACK;
SELECT kind, ref FROM pg_temp.look();
INSERT INTO magento.quote_item VALUES (1, 5, 'A', 'Tent', 1, 15);
DELETE FROM magento.quote_item;
SELECT kind, ref, contact_id IS NOT NULL AS person_known FROM smsflow.event WHERE kind = 'cart_emptied' AND ref = '5';
SELECT kind, ref FROM pg_temp.look();
-- One item after the other in one transaction, looked at in between, and filled again.
INSERT INTO magento.quote_item VALUES (1, 5, 'A', 'Tent', 1, 15), (2, 5, 'B', 'Peg', 5, 1);
SELECT kind, ref FROM pg_temp.look();
BEGIN;
SET CONSTRAINTS ALL IMMEDIATE;
DELETE FROM magento.quote_item WHERE item_id = 1;
DELETE FROM magento.quote_item WHERE item_id = 2;
COMMIT;
SELECT kind, ref FROM pg_temp.look();
-- Items that move to another cart, as at a login, leave the first one empty; what only changes is no move.
INSERT INTO magento.quote (entity_id, customer_telephone, grand_total, quote_currency_code) VALUES (7, '212 555 0117', 20, 'USD'), (8, '212 555 0118', 20, 'USD');
INSERT INTO magento.quote_item VALUES (3, 7, 'A', 'Tent', 1, 15), (4, 7, 'B', 'Peg', 5, 1);
SELECT kind, ref FROM pg_temp.look();
UPDATE magento.quote_item SET qty = 3, quote_id = quote_id;
UPDATE magento.quote_item SET quote_id = 8 WHERE item_id = 3;
SELECT kind, ref FROM pg_temp.look();
UPDATE magento.quote_item SET quote_id = 8 WHERE item_id = 4;
SELECT kind, ref, who FROM pg_temp.look();
INSERT INTO magento.sales_order VALUES (9, 5, NULL, 'new', 'pending', 20, 'USD', '+12125550105');
UPDATE magento.sales_order SET state = 'closed', status = 'refunded';
SELECT kind, ref, data -> 'order' AS "order" FROM pg_temp.look();

-- Medusa: text keys, a guest who gives a number later, a cart completed. ------------------------
SELECT meaning, column_name, note FROM smsflow.watch_carts('medusa.medusa_cart', '{"currency": "currency_code", "status": "is_open", "active": [true],
	"items": {"table": "medusa.cart_line_item", "cart_id": "cart_id"}}') WHERE meaning IN ('id', 'items', 'status');
INSERT INTO medusa.medusa_cart (id) VALUES ('cart_01');
INSERT INTO medusa.cart_line_item VALUES ('li_1', 'cart_01', 'Shirt', 10, 1);
SELECT * FROM pg_temp.look();
UPDATE medusa.medusa_cart SET phone = '+12125550106' WHERE id = 'cart_01';
SELECT kind, ref, who FROM pg_temp.look();
UPDATE medusa.medusa_cart SET metadata = '{"seen": true}';
SELECT * FROM pg_temp.look();
UPDATE medusa.medusa_cart SET completed_at = now();
SELECT kind, ref, who FROM pg_temp.look();

-- Saleor: uuid keys, a checkout that is deleted, partitions written directly. ---------------------
SELECT meaning, column_name FROM smsflow.watch_carts('saleor.checkout_checkout', '{"total": "total_gross_amount", "items": {"table": "saleor.checkout_checkoutline", "cart_id": "checkout_id"}, "data": {"url": "redirect_url"}}')
WHERE column_name IS NOT NULL;
SELECT meaning, column_name FROM smsflow.watch_orders('saleor.order_order', '{"id": "id", "total": "total_gross_amount", "cart_id": "checkout_token"}') WHERE column_name IS NOT NULL;
INSERT INTO saleor.checkout_checkout VALUES ('00000000-0000-4000-8000-000000000001', 7, '+12125550107', 'USD', 99, 'https://saleor/1');
INSERT INTO saleor.checkout_checkoutline SELECT gen_random_uuid(), '00000000-0000-4000-8000-000000000001', 'Line ' || n, n FROM generate_series(1, 3) n;
SELECT kind, ref, who, amount, jsonb_array_length(data #> '{cart,items}') AS items, data ->> 'url' AS url FROM pg_temp.look();
BEGIN;
INSERT INTO saleor.order_order_2026 VALUES ('00000000-0000-4000-8000-0000000000aa', '2026-05-01', 7, '+12125550107', 'unfulfilled', 99, 'USD', '00000000-0000-4000-8000-000000000001');
DELETE FROM saleor.checkout_checkout;
COMMIT;
UPDATE saleor.order_order SET status = 'fulfilled';
SELECT kind, ref, who FROM pg_temp.look();

-- Names in camel case, as tools write them that make tables of classes: guessed all the same. Currencies are written in capitals. ---
CREATE TABLE medusa."Orders" ("orderId" uuid PRIMARY KEY, "phoneNumber" varchar(20), "customerId" text, "cartId" uuid, "orderStatus" text, "lineItems" jsonb, "grandTotal" numeric(12, 2), "currencyCode" char(3));
SELECT * FROM smsflow.watch_orders('medusa."Orders"');
INSERT INTO medusa."Orders" VALUES ('00000000-0000-4000-8000-0000000000bb', '+12125550109', NULL, '00000000-0000-4000-8000-0000000000cc', 'Pending', '[]', 12.5, 'usd');
UPDATE medusa."Orders" SET "orderStatus" = 'Shipped';
SELECT kind, ref, who, amount FROM pg_temp.look();
SELECT DISTINCT currency FROM smsflow.event WHERE phone = '+12125550109';
CREATE TABLE medusa."Carts" (id integer PRIMARY KEY, mobile text, items jsonb, "cartTotal" numeric, currency text);
SELECT meaning, column_name FROM smsflow.watch_carts('medusa."Carts"') WHERE column_name IS NOT NULL;
INSERT INTO medusa."Carts" VALUES (1, '+12125550110', '[{"title": "Mug"}]', 3, 'eur');
SELECT smsflow.record_event('+12125550110', 'order', 'camel', amount => 3, currency => 'Eur') > 0 AS recorded;
SELECT kind, ref, who, amount FROM pg_temp.look();
SELECT DISTINCT kind, currency FROM smsflow.event WHERE phone = '+12125550110' ORDER BY 1;

-- Keys of a fixed length, as migrations from MySQL bring them along, and one partition watched on its own, written through the whole.
CREATE TABLE medusa.ulid_cart (id char(26) PRIMARY KEY, phone text, items jsonb);
CREATE TABLE medusa.bits_cart (id bit(8) PRIMARY KEY, phone text, items jsonb);
CREATE TABLE medusa.yearly (id integer, at date, phone text, items jsonb, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE medusa.year_2026 PARTITION OF medusa.yearly FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
SELECT meaning, column_name FROM smsflow.watch_carts('medusa.ulid_cart') WHERE meaning = 'id' UNION ALL SELECT meaning, column_name FROM smsflow.watch_carts('medusa.bits_cart') WHERE meaning = 'id'
UNION ALL SELECT meaning, column_name FROM smsflow.watch_carts('medusa.year_2026', '{"id": "id"}') WHERE meaning = 'id';
INSERT INTO medusa.ulid_cart VALUES ('01K9ZZZZZZZZZZZZZZZZZZZZZA', '+12125550111', '[1]'), ('short', '+12125550111', '[1]');
INSERT INTO medusa.bits_cart VALUES (B'10100101', '+12125550112', '[1]');
INSERT INTO medusa.yearly VALUES (77, '2026-05-01', '+12125550113', '[1]');
SELECT kind, ref, who FROM pg_temp.look();
SELECT smsflow.unwatch('medusa.ulid_cart'), smsflow.unwatch('medusa.bits_cart'), smsflow.unwatch('medusa.year_2026');

-- A mapped key that may be NULL: the store writes on, and a cart without one is left alone.
CREATE TABLE medusa.token_cart (serial integer PRIMARY KEY, token text, phone text, items jsonb);
SELECT column_name FROM smsflow.watch_carts('medusa.token_cart', '{"id": "token"}') WHERE meaning = 'id';
INSERT INTO medusa.token_cart VALUES (1, NULL, '+12125550114', '[1]'), (2, 'second', '+12125550114', '[1]');
UPDATE medusa.token_cart SET items = '[2]' WHERE serial = 1;
SELECT kind, ref FROM pg_temp.look();
UPDATE medusa.token_cart SET token = NULL;
UPDATE medusa.token_cart SET token = 'first' WHERE serial = 1;
DELETE FROM medusa.token_cart WHERE serial = 2;
SELECT kind, ref FROM pg_temp.look();
SELECT sqlstate, error FROM smsflow.trigger_problem WHERE relation = 'medusa.token_cart'::regclass;
SELECT smsflow.unwatch('medusa.token_cart');

-- Any other table. ------------------------------------------------------------------------------
CREATE TABLE woo.returns (return_id integer PRIMARY KEY, customer_id text, state text, order_no text);
SELECT * FROM smsflow.watch_table('woo.returns', 'return', '{"data": {"order_no": "order_no"}, "status_map": {"ok": "approved"}}');
INSERT INTO woo.returns VALUES (1, '7', 'asked', 'W-11');
UPDATE woo.returns SET state = 'ok';
SELECT * FROM pg_temp.look();
SELECT * FROM smsflow.watch_table('woo.returns', 'Return!');
SELECT * FROM smsflow.watch_table('woo.returns', 'cart');
SELECT * FROM smsflow.watch_table('woo.returns', NULL);
SELECT * FROM smsflow.watch_carts('woo.wc_orders', '{"items": {"table": "no.such", "cart_id": "id"}}');
SELECT * FROM smsflow.watch_carts('woo.wc_orders', '{"items": {"table": "magento.quote_item"}}');
SELECT * FROM smsflow.watch_orders('woo.returns', '{"items": {"table": "magento.quote_item", "cart_id": "quote_id"}}');

-- A table that reading fails for is told of; the store never notices.
ALTER TABLE magento.quote RENAME COLUMN grand_total TO sum;
INSERT INTO magento.quote (entity_id, customer_telephone) VALUES (6, '+12125550108');
SELECT * FROM pg_temp.look();
ALTER TABLE magento.quote RENAME COLUMN sum TO grand_total;

-- One cart that cannot be read, or whose key is too long for an index, keeps none of its statement's others from being read.
SET client_min_messages = error;
CREATE TABLE woo.odd_carts (cart_id text PRIMARY KEY, phone text, items json);
SELECT count(*) FROM smsflow.watch_carts('woo.odd_carts');
CREATE FUNCTION pg_temp.noise(bytes integer) RETURNS text LANGUAGE sql AS $$
	SELECT left(string_agg(md5(n::text), ''), bytes) FROM generate_series(1, bytes / 32 + 1) n $$;
INSERT INTO woo.odd_carts VALUES ('a', '+12125550131', '[{"name": "Mug"}]'), ('b', '+12125550132', '[{"name": "M\u0000g"}]'),
	('c', '+12125550133', '[{"name": "Cup"}]'), (pg_temp.noise(2600), '+12125550134', '[1]'), ('d', pg_temp.noise(32000), '[1]');
SELECT kind, ref, who FROM pg_temp.look();
SELECT sqlstate, times, regexp_replace(error, '[0-9a-f]{32,}', 'noise') FROM smsflow.trigger_problem WHERE relation = 'woo.odd_carts'::regclass ORDER BY 1;
UPDATE woo.odd_carts SET items = '[{"name": "Mug"}]' WHERE cart_id = 'b';
SELECT kind, ref, who FROM pg_temp.look();
SELECT smsflow.unwatch('woo.odd_carts');
-- A purchase is not lost for its key, and counters are kept by currency.
CREATE TABLE woo.odd_orders (id text PRIMARY KEY, phone text, total numeric, currency text);
SELECT count(*) FROM smsflow.watch_orders('woo.odd_orders');
INSERT INTO woo.odd_orders VALUES (pg_temp.noise(2600), '+12125550136', 10, pg_temp.noise(4000)), ('e', pg_temp.noise(8000), 10, 'usd');
SELECT e.kind, length(e.ref), length(e.phone), e.amount, e.currency FROM smsflow.event e WHERE e.event_id > (SELECT max(event_id) FROM seen) ORDER BY e.event_id;
SELECT count(*) FROM pg_temp.look();
SELECT count(*) FROM smsflow.trigger_problem WHERE relation = 'woo.odd_orders'::regclass;
SELECT smsflow.unwatch('woo.odd_orders');
SELECT smsflow.record_event('+12125550135', 'viewed', pg_temp.noise(32000));
SELECT smsflow.record_event('+12125550135', 'order', 'f', amount => 1, currency => pg_temp.noise(41));
SELECT smsflow.record_event('+12125550135', 'viewed', pg_temp.noise(2000)) > 0 AS recorded;
SELECT kind, length(ref), smsflow.process_events(ARRAY[event_id]), smsflow.attribute_orders(ARRAY[event_id]) FROM smsflow.event WHERE phone = '+12125550135';
SET client_min_messages = warning;

-- unwatch() leaves nothing behind.
SELECT smsflow.unwatch('medusa."Orders"'), smsflow.unwatch('medusa."Carts"');
SELECT smsflow.unwatch(r) FROM unnest('{woo.wc_carts,woo.wc_orders,magento.quote,magento.sales_order,medusa.medusa_cart,saleor.checkout_checkout,saleor.order_order,woo.returns}'::regclass[]) r;
SELECT count(*) AS triggers FROM pg_trigger WHERE tgname LIKE 'smsflow%' AND tgrelid::regclass::text ~ '^(woo|magento|medusa|saleor)[.]';
SELECT count(*) AS watches FROM smsflow.watch WHERE relation::text ~ '^(woo|magento|medusa|saleor)[.]';
DELETE FROM smsflow.trigger_problem;
DROP SCHEMA woo, magento, medusa, saleor CASCADE;
