--
-- Tables of the store at their edges: amounts that are none, a watched table that becomes a partition, customers with two numbers
--
\set database regress_smsflow_watched
\getenv tree PG_ABS_SRCDIR
\set ECHO none
\i :tree/test/fixtures/database.sql
\set ECHO all
\set VERBOSITY sqlstate
SELECT smsflow.suspend_rule(kind) FROM unnest('{window,cap,subject_cap,cart_once,cart_within}'::text[]) AS kind;
CREATE FUNCTION pg_temp.work() RETURNS boolean LANGUAGE sql AS $$
	SELECT smsflow.process_events(ARRAY(SELECT event_id FROM smsflow.event ORDER BY event_id));
	SELECT smsflow.advance_enrollments(100) > now() $$;
SELECT smsflow.subscribe('+14155550201', '{transactional,cart}', level => 'confirmed', disclosure => 'Shopping cart reminders by text', external_id => 'ann') > 0 AS ann,
	smsflow.subscribe('+14155550202', '{transactional,cart}', level => 'confirmed', disclosure => 'Shopping cart reminders by text', external_id => 'ann') > 0 AS ann_elsewhere,
	smsflow.subscribe('+14155550203', '{transactional,cart}', level => 'confirmed', disclosure => 'Shopping cart reminders by text', external_id => 'bob') > 0 AS bob;

-- Amounts: what is none is left out, and spoils no sum.
SELECT smsflow.record_event('+14155550203', 'order', 'a', amount => 'NaN');
SELECT smsflow.record_event('+14155550203', 'order', 'a', amount => 'Infinity');
SELECT smsflow.record_event('+14155550203', 'order', 'a', amount => '-Infinity');
SELECT smsflow.record_event('+14155550203', 'order', 'a', amount => '9e131071');
SELECT smsflow.record_event('+14155550203', 'order', 'a', amount => -1e18);
SELECT smsflow.record_event('+14155550203', 'order', 'a', amount => 1e18 - 0.01, currency => 'usd') > 0 AS huge, smsflow.record_event('+14155550203', 'order', 'b', amount => -1e-300) > 0 AS tiny;
CREATE TABLE orders (id text PRIMARY KEY, phone text, customer_id text, cart_id text, status text, total double precision, currency text);
CREATE TABLE carts (id text PRIMARY KEY, phone text, customer_id text, total numeric, items jsonb);
SELECT count(*) FROM smsflow.watch_orders('orders');
INSERT INTO orders (id, phone, total) VALUES ('c', '+14155550203', 'NaN'), ('d', '+14155550203', 'Infinity'), ('e', '+14155550203', '-Infinity'),
	('f', '+14155550203', 1e308), ('g', '+14155550203', -0.0), ('h', '+14155550203', NULL);
SELECT count(*) FROM smsflow.watch_carts('carts');
INSERT INTO carts (id, phone, total, items) VALUES ('i', '+14155550203', 'NaN', '[1]'), ('j', '+14155550203', 'Infinity', '[1]'), ('k', '+14155550203', '9e131071', '[1]'), ('l', '+14155550203', -2.5, '[1]');
SELECT pg_temp.work();
SELECT kind, ref, round(amount, 2) AS amount, currency FROM smsflow.event WHERE ref <> '' ORDER BY ref;
SELECT folded FROM smsflow.fold_profiles(1000);
SELECT orders_count, round(orders_value, 2) AS orders_value FROM smsflow.profile WHERE external_id = 'bob';
-- Stock and prices that are none tell nobody anything; stock without end does.
CREATE TABLE products (sku text PRIMARY KEY, stock float8, price float8);
INSERT INTO products VALUES ('hat', 0, 10), ('cap', 5, 10);
SELECT count(*) FROM smsflow.watch_inventory('products');
SELECT smsflow.notify_me('+14155550203', 'hat') > 0 AS asked, smsflow.notify_me('+14155550203', 'cap', 'price_drop') > 0 AS asked;
UPDATE products SET stock = 'NaN' WHERE sku = 'hat';
UPDATE products SET price = '-Infinity' WHERE sku = 'cap';
UPDATE products SET price = 'NaN' WHERE sku = 'cap';
UPDATE products SET price = 10 WHERE sku = 'cap';
SELECT count(*) AS told FROM smsflow.event e WHERE e.ref IN ('hat', 'cap');
UPDATE products SET stock = 0 WHERE sku = 'hat';
UPDATE products SET stock = 'Infinity' WHERE sku = 'hat';
UPDATE products SET price = 1e-300 WHERE sku = 'cap';
SELECT e.kind, e.ref, round(e.amount, 2) AS amount FROM smsflow.event e WHERE e.ref IN ('hat', 'cap') ORDER BY event_id;
SELECT * FROM smsflow.trigger_problem;

-- A table of carts that becomes a part of another one says so; watched anew, it sees everything again.
CREATE TABLE all_carts (LIKE carts) PARTITION BY RANGE (id);
SELECT ok, message FROM smsflow.health() WHERE component = 'triggers';
ALTER TABLE all_carts ATTACH PARTITION carts DEFAULT;
SELECT ok, message, hint FROM smsflow.health() WHERE component = 'triggers';
SELECT smsflow.unwatch('carts');
SELECT count(*) FROM smsflow.watch_carts('carts');
SELECT ok, message FROM smsflow.health() WHERE component = 'triggers';
INSERT INTO all_carts (id, phone, items) VALUES ('through the parent', '+14155550203', '[1]');
INSERT INTO carts (id, phone, items) VALUES ('directly', '+14155550203', '[1]');
SELECT pg_temp.work();
SELECT ref FROM smsflow.event WHERE kind = 'cart' AND ref LIKE '%ly' OR ref LIKE 'through%' ORDER BY ref;

-- One customer with two numbers: who buys by one is not reminded by the other.
SELECT smsflow.create_sequence('reminder', 'cart') > 0 AS created;
SELECT smsflow.add_step('reminder', '0', 'Your cart is waiting');
SELECT smsflow.add_step('reminder', '1 day', 'It is still waiting');
SELECT smsflow.enable_sequence('reminder');
CREATE VIEW enrolled AS SELECT c.phone::text, n.ref, n.end_reason FROM smsflow.enrollment n JOIN smsflow.contact c USING (contact_id) ORDER BY 1, 2;
INSERT INTO carts (id, phone, customer_id, items) VALUES ('m', '+14155550201', 'ann', '[1]'), ('n', '+14155550202', 'ann', '[1]'), ('o', '+14155550203', 'bob', '[1]');
SELECT pg_temp.work();
SELECT * FROM enrolled;
SELECT recipient, reason FROM smsflow.gated ORDER BY 1;
-- An order that names no customer is of its number alone, and so is one of another brand.
SELECT smsflow.create_brand('Other') > 0 AS brand, smsflow.subscribe('+14155550204', external_id => 'ann', brand => 'Other') > 0 AS contact;
BEGIN;
INSERT INTO orders (id, phone) VALUES ('p', '+14155550202');
SELECT recipient, reason FROM smsflow.gated ORDER BY 1;
SELECT smsflow.unwatch('orders');
SELECT count(*) FROM smsflow.watch_orders('orders', brand => 'Other');
INSERT INTO orders (id, phone, customer_id) VALUES ('q', '+14155550204', 'ann');
SELECT recipient, reason FROM smsflow.gated ORDER BY 1;
ROLLBACK;
-- The gate knows before the worker has looked at the order.
INSERT INTO orders (id, phone, customer_id) VALUES ('r', '+14155550202', 'ann');
SELECT recipient, reason FROM smsflow.gated ORDER BY 1;
SELECT c.phone::text, r.orders_count FROM smsflow.profile r JOIN smsflow.contact c USING (contact_id) WHERE c.external_id = 'ann' AND c.brand_id = 1 ORDER BY 1;
-- So does a step that is due before that.
BEGIN;
UPDATE smsflow.enrollment SET next_at = now();
SELECT smsflow.advance_enrollments(100) > now();
SELECT * FROM enrolled;
ROLLBACK;
SELECT pg_temp.work();
SELECT * FROM enrolled;
-- A cart that an order names is over for all of the customer's numbers, also when the order comes first.
INSERT INTO orders (id, phone, customer_id, cart_id) VALUES ('s', '+14155550202', 'ann', 't');
INSERT INTO carts (id, phone, customer_id, items) VALUES ('t', '+14155550201', 'ann', '[1]'), ('u', '+14155550201', 'ann', '[1]');
SELECT pg_temp.work();
SELECT * FROM enrolled WHERE ref IN ('t', 'u');
-- An emptied cart, too; a STOP is of one number alone.
UPDATE carts SET phone = '+14155550202' WHERE id = 'u';
SELECT pg_temp.work();
UPDATE carts SET items = '[]' WHERE id = 'u';
INSERT INTO carts (id, phone, customer_id, items) VALUES ('v', '+14155550201', 'ann', '[1]');
SELECT smsflow.opt_out('+14155550202');
SELECT pg_temp.work();
SELECT * FROM enrolled WHERE ref IN ('u', 'v');
SELECT invariant, violations FROM smsflow.check() WHERE violations > 0;

\c :home
DROP DATABASE regress_smsflow_watched;
