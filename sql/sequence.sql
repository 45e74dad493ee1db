-- Store events, watched tables, sequences.
\set database regress_smsflow_sequence
\getenv tree PG_ABS_SRCDIR
\set ECHO none
\i :tree/test/fixtures/database.sql
\set ECHO all
\set VERBOSITY sqlstate
-- Neither the hour of the day nor the rules for carts in the United States are of interest here.
SELECT smsflow.suspend_rule('window'), smsflow.suspend_rule('consent_level', 'US'), smsflow.suspend_rule('cart_once', 'US');
SET client_min_messages = warning;
CREATE ROLE regress_shop;
CREATE SCHEMA shop AUTHORIZATION regress_shop;
SELECT coalesce(max(event_id), 0) AS start FROM smsflow.event \gset
CREATE TEMP VIEW happened AS
	SELECT e.event_id, c.external_id AS contact, e.kind, e.ref, e.phone, e.amount, e.currency, e.data
	FROM smsflow.event e LEFT JOIN smsflow.contact c USING (contact_id) WHERE e.event_id > :start AND e.kind NOT IN ('rows', 'subscribed', 'confirmed', 'opted_out');
-- The worker reads carts that changed.
CREATE FUNCTION pg_temp.read_carts() RETURNS void LANGUAGE sql AS $$
	SELECT smsflow.process_events(ARRAY(SELECT event_id FROM smsflow.event WHERE kind = 'rows')) $$;
CREATE TEMP VIEW enrolled AS
	SELECT s.name, c.external_id AS contact, n.ref, n.step, n.next_at IS NOT NULL AS waits, n.end_reason
	FROM smsflow.enrollment n JOIN smsflow.sequence s USING (sequence_id) JOIN smsflow.contact c USING (contact_id);
-- What the worker does when it wakes.
CREATE TEMP TABLE done (event_id bigint PRIMARY KEY);
CREATE TEMP TABLE beginning AS SELECT :start::bigint;
CREATE FUNCTION pg_temp.work() RETURNS boolean LANGUAGE sql AS $$
	WITH new AS (INSERT INTO done SELECT e.event_id FROM smsflow.event e WHERE e.event_id > (SELECT * FROM beginning) ON CONFLICT DO NOTHING RETURNING event_id)
	SELECT smsflow.process_events(ARRAY(SELECT event_id FROM new));
	SELECT smsflow.advance_enrollments(100) > now() $$;
SELECT smsflow.subscribe('+14155550101', '{transactional,cart,promotional}', 'test', 'I agree', external_id => 'ann',
	attributes => '{"first_name": "Ann"}') IS NOT NULL AS ann,
	smsflow.subscribe('+14155550102', '{transactional,cart}', 'test', 'I agree', external_id => 'bob') IS NOT NULL AS bob;

-- A mapping is checked, and what was found is shown. ---------------------------
SET ROLE regress_shop;
CREATE TABLE shop.cart (cart_no integer PRIMARY KEY, phone_number text, user_id text, line_items jsonb, sum numeric,
	currency text, state text, url text, seen_at timestamptz);
CREATE TABLE shop.orders (order_id uuid PRIMARY KEY, phone text, customer_id text, cart_id integer REFERENCES shop.cart
	DEFERRABLE INITIALLY DEFERRED, status text, total double precision, currency text, picker text);
CREATE TABLE shop.plain (id integer, phone text);
CREATE TABLE shop.nobody (id integer PRIMARY KEY, total money);
CREATE VIEW shop.cart_view AS SELECT * FROM shop.cart;
RESET ROLE;
SELECT * FROM smsflow.watch_carts('shop.cart_view');
SELECT * FROM smsflow.watch_carts('smsflow.event');
SELECT * FROM smsflow.watch_carts('shop.plain');
SELECT * FROM smsflow.watch_carts('shop.nobody');
SELECT * FROM smsflow.watch_orders('shop.nobody', '{"phone": "id", "total": "total"}');
SELECT * FROM smsflow.watch_carts('shop.cart', '{"total": "no_such_column"}');
SELECT * FROM smsflow.watch_carts('shop.cart', '{"sum": "sum"}');
SELECT * FROM smsflow.watch_carts('shop.cart', '{"items": "url"}');
SELECT * FROM smsflow.watch_carts('shop.cart', '{"status": "state"}');
SELECT * FROM smsflow.watch_carts('shop.cart', '{"status": "state", "active": "open"}');
SELECT * FROM smsflow.watch_carts('shop.cart', '{"status": "state", "active": []}');
SELECT * FROM smsflow.watch_carts('shop.cart', '{"data": {"cart": "url"}}');
SELECT * FROM smsflow.watch_carts('shop.cart', '{"data": {"url": 7}}');
SELECT * FROM smsflow.watch_carts('shop.cart', '{"data": null}');
SELECT * FROM smsflow.watch_carts('shop.cart', '[]');
SELECT * FROM smsflow.watch_carts('shop.cart', '{}', 'no such brand');
SELECT * FROM smsflow.watch_carts('shop.cart', '{"total": "sum", "active": ["open", 1], "data": {"url": "url"}}');
SELECT * FROM smsflow.watch_carts('shop.cart');
-- Carts are read as their owner, from whom a policy must not hide them; of orders the trigger has seen all that it needs.
SET ROLE regress_shop;
CREATE TABLE shop.tenant_cart (id integer PRIMARY KEY, phone text);
CREATE TABLE shop.tenant_item (id integer PRIMARY KEY, cart_id integer);
ALTER TABLE shop.tenant_cart ENABLE ROW LEVEL SECURITY;
ALTER TABLE shop.tenant_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
RESET ROLE;
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT * FROM smsflow.watch_carts('shop.tenant_cart', '{"items": {"table": "shop.tenant_item", "cart_id": "cart_id"}}');
\set VERBOSITY sqlstate
BEGIN;
SELECT count(*) > 0 AS watched FROM smsflow.watch_carts('shop.tenant_cart');
ROLLBACK;
ALTER TABLE shop.tenant_cart FORCE ROW LEVEL SECURITY;
SELECT * FROM smsflow.watch_carts('shop.tenant_cart');
SELECT count(*) > 0 AS watched FROM smsflow.watch_orders('shop.tenant_cart');
DROP TABLE shop.tenant_cart, shop.tenant_item;
SELECT * FROM smsflow.watch_orders('shop.orders', '{"status_map": {"C": "completed", "hidden": ""}}');

-- The store writes, with no rights in smsflow and a search path of its own. ------
CREATE SCHEMA hostile AUTHORIZATION regress_shop;
SET ROLE regress_shop;
CREATE FUNCTION hostile.taken(integer, integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
CREATE OPERATOR hostile.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = hostile.taken);
CREATE FUNCTION hostile.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
SET search_path = hostile, shop, pg_catalog;
SELECT count(*) FROM smsflow.event;
INSERT INTO cart VALUES (1, '(415) 555-0101', NULL, '[{"title": "Shirt"}]', 20, 'USD', 'open', 'https://shop/1');
INSERT INTO cart VALUES (2, NULL, NULL, '[{"title": "Sock"}]', 5, 'USD', 'open');
INSERT INTO cart VALUES (3, NULL, 'bob', '[]', 0, 'USD', 'open');
INSERT INTO cart VALUES (4, '+1 415 555 0102', 'ann', '[{"title": "Hat"}]', 7, 'USD', 'closed');
RESET search_path;
RESET ROLE;
SELECT pg_temp.read_carts();
SET ROLE regress_shop;
SET smsflow.default_region = 'US';
UPDATE shop.cart SET seen_at = now();
UPDATE shop.cart SET line_items = line_items;
UPDATE shop.cart SET line_items = '[{"title": "Shirt"}, {"title": "Cap"}]' WHERE cart_no = 1;
UPDATE shop.cart SET user_id = 'bob' WHERE cart_no = 2;
UPDATE shop.cart SET line_items = '[{"title": "Belt"}]' WHERE cart_no = 3;
RESET ROLE;
SELECT pg_temp.read_carts();
SET ROLE regress_shop;
UPDATE shop.cart SET state = 'closed' WHERE cart_no = 3;
DELETE FROM shop.cart WHERE cart_no IN (2, 3);
RESET ROLE;
SELECT contact, kind, ref, phone, amount, currency, data FROM happened ORDER BY event_id;

-- Orders: purchases, later purchases of a known person, changes of status; one transaction with deferred constraints.
SELECT coalesce(max(event_id), 0) AS mark FROM smsflow.event \gset
SET ROLE regress_shop;
BEGIN;
INSERT INTO shop.orders (order_id, customer_id, cart_id, status, total, currency) VALUES
	('00000000-0000-4000-8000-000000000001', 'ann', 9, 'N', 27.5, 'USD'),
	('00000000-0000-4000-8000-000000000002', NULL, NULL, 'N', 3, 'USD');
INSERT INTO shop.cart VALUES (9);
COMMIT;
UPDATE shop.orders SET picker = 'x';
UPDATE shop.orders SET customer_id = 'bob', status = 'C' WHERE customer_id IS NULL;
UPDATE shop.orders SET status = 'C' WHERE customer_id = 'ann';
UPDATE shop.orders SET status = 'hidden' WHERE customer_id = 'ann';
UPDATE shop.orders SET status = 'Shipped (DHL)' WHERE customer_id = 'ann';
COPY shop.orders (order_id, phone, total) FROM STDIN;
00000000-0000-4000-8000-000000000003	+14155550102	1e2
00000000-0000-4000-8000-000000000004	not a number	8
\.
RESET ROLE;
SELECT contact, kind, right(ref, 1) AS ref, phone, amount, data #- '{order,id}' AS data FROM happened
WHERE event_id > :mark ORDER BY event_id;
-- A rollback leaves nothing.
BEGIN;
INSERT INTO shop.orders (order_id, customer_id) VALUES ('00000000-0000-4000-8000-000000000005', 'ann');
ROLLBACK;
SELECT count(*) FROM happened WHERE ref LIKE '%5';

-- What goes wrong in the trigger never fails the store. ---------------------------
SELECT coalesce(max(event_id), 0) AS mark FROM smsflow.event \gset
ALTER TABLE shop.cart RENAME COLUMN sum TO amount;
SET ROLE regress_shop;
INSERT INTO shop.cart VALUES (20, '+14155550101', NULL, '[1]', NULL, NULL, 'open');
INSERT INTO shop.cart SELECT i, '+14155550101', NULL, '[1]', NULL, NULL, 'open' FROM generate_series(21, 23) i;
RESET ROLE;
SELECT relation::regclass, sqlstate, times FROM smsflow.trigger_problem;
ALTER TABLE shop.cart RENAME COLUMN amount TO sum;
ALTER TABLE smsflow.event ADD CONSTRAINT no_more CHECK (keys IS DISTINCT FROM '{24}');
INSERT INTO shop.cart VALUES (24, '+14155550101', NULL, '[1]', NULL, NULL, 'open');
INSERT INTO shop.cart VALUES (25, '+14155550101', NULL, '[1]', NULL, NULL, 'open');
ALTER TABLE smsflow.event DROP CONSTRAINT no_more;
SELECT relation::regclass, sqlstate, times FROM smsflow.trigger_problem ORDER BY sqlstate;
SELECT count(*) AS carts FROM shop.cart WHERE cart_no BETWEEN 20 AND 25;
SELECT pg_temp.read_carts();
SELECT kind, ref FROM happened WHERE event_id > :mark ORDER BY event_id;
-- A statement that somebody cancels is cancelled, wherever it is.
ALTER TABLE smsflow.event ADD CONSTRAINT endless CHECK (pg_sleep(60)::text = '') NOT VALID;
SET statement_timeout = '50ms';
INSERT INTO shop.cart VALUES (26, '+14155550101', NULL, '[1]', NULL, NULL, 'open');
RESET statement_timeout;
ALTER TABLE smsflow.event DROP CONSTRAINT endless;
SELECT count(*) FROM shop.cart WHERE cart_no = 26;
SELECT count(*) FROM smsflow.trigger_problem WHERE sqlstate = '57014';

-- Partitions, each with columns in an order of its own; text keys; boolean status. ----
CREATE TABLE shop.parts (id text, at date, mobile bigint, is_open boolean, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE shop.parts_old (junk integer, at date NOT NULL, is_open boolean, mobile bigint, id text NOT NULL);
ALTER TABLE shop.parts_old DROP COLUMN junk;
ALTER TABLE shop.parts ATTACH PARTITION shop.parts_old FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE shop.parts_new PARTITION OF shop.parts DEFAULT;
SELECT * FROM smsflow.watch_carts('shop.parts', '{"phone": "mobile", "status": "is_open", "active": [true], "customer_id": null}');
SELECT * FROM smsflow.watch_carts('shop.parts_old', '{"phone": "mobile"}');
SELECT coalesce(max(event_id), 0) AS mark FROM smsflow.event \gset
INSERT INTO shop.parts VALUES ('a', '2020-06-01', 14155550101, true), ('b', '2022-06-01', 14155550102, true), ('c', '2022-06-01', 14155550102, false);
SELECT pg_temp.read_carts();
UPDATE shop.parts SET is_open = false;
SELECT contact, kind, ref, phone FROM happened WHERE event_id > :mark ORDER BY event_id;

-- Who may watch, and unwatching. ---------------------------------------------------
CREATE ROLE regress_stranger;
GRANT USAGE ON SCHEMA smsflow, shop TO regress_stranger;
GRANT EXECUTE ON FUNCTION smsflow.watch_orders, smsflow.unwatch TO regress_stranger;
SET ROLE regress_stranger;
SELECT * FROM smsflow.watch_orders('shop.plain', '{"id": "id"}');
SELECT smsflow.unwatch('shop.cart');
RESET ROLE;
SELECT smsflow.unwatch('shop.parts'), smsflow.unwatch('shop.parts');
INSERT INTO shop.parts VALUES ('d', '2020-06-01', 14155550101, true);
SELECT count(*) FROM happened WHERE ref = 'd';
SELECT count(*) FROM smsflow.watch_orders('shop.plain', '{"id": "id"}');
DROP TABLE shop.plain;
SELECT smsflow.forget_dropped_tables();
SELECT smsflow.forget_dropped_tables();

-- Events that the application records itself. ---------------------------------------
SELECT smsflow.record_event('555', 'viewed');
SELECT smsflow.record_event('+14155550101', '');
SELECT smsflow.record_event(NULL, 'viewed');
SELECT smsflow.record_event('+14155550101', 'viewed', data => '[]');
SELECT smsflow.record_event('+14155550101', 'viewed', brand => 'no such brand');
SELECT smsflow.record_event('+14155550101', 'order', amount => 'NaN');
SELECT smsflow.record_event('+14155550101', 'order', amount => '-Infinity');
SELECT smsflow.record_event('+14155550101', 'order', at => 'infinity');
SELECT smsflow.record_event('+14155550101', 'order', at => '294276-12-31');
SELECT smsflow.record_event('+1 415 555 0101', 'viewed', 'shirt', '{"color": "red"}', 12.5, 'EUR', '2026-01-01 00:00+00') AS viewed \gset
SELECT smsflow.record_event('+14155559999', 'viewed') AS unknown \gset
SELECT c.external_id, e.kind, e.ref, e.phone, e.amount, e.currency, e.data, e.occurred_at = '2026-01-01 00:00+00' AS at
FROM smsflow.event e LEFT JOIN smsflow.contact c USING (contact_id) WHERE event_id IN (:viewed, :unknown) ORDER BY event_id;

-- Making sequences. -----------------------------------------------------------------
SELECT smsflow.create_sequence('', 'cart');
SELECT smsflow.create_sequence('reminder', '');
SELECT smsflow.create_sequence('reminder', 'cart', '{"colour": "red"}');
SELECT smsflow.create_sequence('reminder', 'cart', '{"purpose": "otp"}');
SELECT smsflow.create_sequence('reminder', 'cart', '{"exit_on": "order"}');
SELECT smsflow.create_sequence('reminder', 'cart', '{"valid_for": "yesterday"}');
SELECT smsflow.create_sequence('reminder', 'cart', '{"valid_for": "-1 hour"}');
SELECT smsflow.create_sequence('reminder', 'cart', brand => 'no such brand');
SELECT smsflow.create_sequence('reminder', 'cart', '{"valid_for": "3 hours"}') IS NOT NULL AS made;
SELECT smsflow.create_sequence('reminder', 'cart');
SELECT smsflow.create_sequence('thanks', 'order') IS NOT NULL AS made;
SELECT smsflow.create_sequence('look', 'viewed', '{"exit_on": ["order"]}') IS NOT NULL AS made;
SELECT name, on_event, purpose, exit_on, options, enabled FROM smsflow.sequence ORDER BY sequence_id;
SELECT smsflow.enable_sequence('reminder');
SELECT smsflow.enable_sequence('no such sequence');
SELECT smsflow.add_step('no such sequence', '0', 'Hello');
SELECT smsflow.add_step('reminder', '-1 minute', 'Hello');
SELECT smsflow.add_step('reminder', '1 minute', ' ');
SELECT smsflow.add_step('reminder', '1 minute', 'Hello {{first_name');
SELECT smsflow.add_step('reminder', '1 minute', 'Hello', '{"colour": "true"}');
SELECT smsflow.add_step('reminder', '0', 'Hi {{first_name|there}}, your {{cart.items.0.title}} waits: {{url|https://shop}}'),
	smsflow.add_step('reminder', '1 day', 'Still there: {{cart.items.0.title}}');
SELECT smsflow.add_step('thanks', '0', 'Order of {{order.total}} received');
SELECT smsflow.add_step('look', '1 hour', 'Still looking at {{product}}?');

-- A disabled sequence enrols nobody.
SELECT pg_temp.work();
SELECT * FROM enrolled;
SELECT smsflow.enable_sequence('reminder'), smsflow.enable_sequence('thanks'), smsflow.enable_sequence('look');
TRUNCATE done, beginning;
SELECT coalesce(max(event_id), 0) AS start FROM smsflow.event \gset
INSERT INTO beginning VALUES (:start);
CREATE OR REPLACE TEMP VIEW happened AS
	SELECT e.event_id, c.external_id AS contact, e.kind, e.ref, e.phone, e.amount, e.currency, e.data
	FROM smsflow.event e LEFT JOIN smsflow.contact c USING (contact_id) WHERE e.event_id > :start AND e.kind NOT IN ('rows', 'subscribed', 'confirmed', 'opted_out');

-- Going through a sequence. ------------------------------------------------------------
-- A changed cart sets the clock anew and counts once; the order of the same batch ends it.
TRUNCATE shop.cart CASCADE;
INSERT INTO shop.cart VALUES (101, NULL, 'ann', '[{"title": "Old"}]', 1, 'USD', 'open');
UPDATE shop.cart SET line_items = '[{"title": "New"}]' WHERE cart_no = 101;
INSERT INTO shop.cart VALUES (102, NULL, 'bob', '[{"title": "Gone"}]', 1, 'USD', 'open');
INSERT INTO shop.orders (order_id, customer_id, cart_id, total) VALUES ('00000000-0000-4000-8000-000000000102', 'bob', 102, 12);
UPDATE shop.cart SET currency = 'EUR' WHERE cart_no = 102;
SELECT pg_temp.work();
SELECT * FROM enrolled ORDER BY 1, 2, 3;
SELECT o.purpose, o.step, o.recipient, o.body, o.refusal, o.queue_id > 0 AS queued, o.parts, o.trigger_event_id = e.event_id AS trigger,
	extract(epoch FROM o.expires_at - e.occurred_at)::integer / 3600 AS hours
FROM smsflow.outbox o JOIN smsflow.enrollment n USING (enrollment_id) JOIN smsflow.event e ON e.event_id = n.event_id ORDER BY message_id;
SELECT s.name, d.measure, d.step, sum(d.value) FROM smsflow.metric_delta d JOIN smsflow.sequence s USING (sequence_id)
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
-- Again the same events: nothing more.
SELECT smsflow.process_events(ARRAY(SELECT event_id FROM done));
SELECT smsflow.advance_enrollments(100) > now() AS later;
SELECT count(*) FROM smsflow.outbox o JOIN smsflow.sequence USING (sequence_id);
-- A change after the first step does not start again; a purchase ends what waits.
UPDATE shop.cart SET line_items = '[{"title": "Other"}]' WHERE cart_no = 101;
SELECT pg_temp.work();
SELECT * FROM enrolled WHERE contact = 'ann' ORDER BY 1, 3;
INSERT INTO shop.orders (order_id, customer_id, cart_id, total) VALUES ('00000000-0000-4000-8000-000000000101', 'ann', 101, 15);
-- The second message is due before the worker has seen the order: it must find it by itself.
UPDATE smsflow.enrollment n SET next_at = now() - interval '1 second' FROM smsflow.sequence s
WHERE s.sequence_id = n.sequence_id AND s.name = 'reminder' AND n.ended_at IS NULL;
SELECT smsflow.advance_enrollments(100);
SELECT * FROM enrolled WHERE contact = 'ann' ORDER BY 1, 3;
SELECT pg_temp.work();
-- The cart of an order is over, even when it changes once more.
UPDATE shop.cart SET line_items = '[]' WHERE cart_no = 101;
UPDATE shop.cart SET line_items = '[{"title": "Ghost"}]' WHERE cart_no = 101;
SELECT pg_temp.work();
SELECT * FROM enrolled ORDER BY 1, 2, 3;
-- Also when the order was written before the store knew whose cart it was.
INSERT INTO shop.cart VALUES (103, NULL, NULL, '[{"title": "Ghost"}]', 1, 'USD', 'open');
INSERT INTO shop.orders (order_id, customer_id, cart_id) VALUES ('00000000-0000-4000-8000-000000000103', 'bob', 103);
UPDATE shop.cart SET user_id = 'bob' WHERE cart_no = 103;
SELECT pg_temp.work();
SELECT * FROM enrolled WHERE ref = '103';

-- Refusals are messages with a reason: no consent, no value for a variable. --------------
SELECT smsflow.record_event('+14155550102', 'viewed', 'a'), smsflow.record_event('+14155550101', 'viewed', 'b') \g /dev/null
SELECT pg_temp.work();
UPDATE smsflow.enrollment SET next_at = now() - interval '1 second' WHERE ended_at IS NULL AND ref IN ('a', 'b');
SELECT smsflow.advance_enrollments(100);
SELECT o.recipient, o.refusal, o.queue_id, o.parts, n.end_reason FROM smsflow.outbox o JOIN smsflow.enrollment n USING (enrollment_id)
WHERE n.ref IN ('a', 'b') ORDER BY 1;
-- A person who becomes a contact after the event, before the worker sees it.
SELECT smsflow.record_event('+14155550103', 'viewed', 'c', '{"product": "Tie"}') AS early \gset
SELECT smsflow.subscribe('+14155550103', '{promotional}', 'test', 'I agree', external_id => 'cat') IS NOT NULL AS cat;
SELECT pg_temp.work();
SELECT * FROM enrolled WHERE contact = 'cat';
-- A disabled sequence keeps people where they are.
SELECT smsflow.disable_sequence('look');
UPDATE smsflow.enrollment SET next_at = now() - interval '1 second' WHERE ended_at IS NULL AND ref = 'c';
SELECT smsflow.advance_enrollments(100);
SELECT smsflow.enable_sequence('look');
-- max_rows is kept, and what is left is said to be due.
SELECT smsflow.advance_enrollments(0) <= now() AS still_due;
SELECT smsflow.advance_enrollments(1);
SELECT * FROM enrolled WHERE contact = 'cat';
SELECT o.body, o.refusal FROM smsflow.outbox o JOIN smsflow.enrollment n USING (enrollment_id) WHERE n.ref = 'c';
-- A removed step is passed over; a removed last step ends the enrolment.
SELECT smsflow.add_step('look', '1 hour', 'Two'), smsflow.add_step('look', '1 hour', 'Three');
SELECT smsflow.record_event('+14155550103', 'viewed', 'd', '{"product": "Tie"}') \g /dev/null
SELECT pg_temp.work();
UPDATE smsflow.enrollment SET next_at = now() - interval '1 second' WHERE ended_at IS NULL AND ref = 'd';
SELECT smsflow.advance_enrollments(100) > now() AS later;
DELETE FROM smsflow.sequence_step WHERE step = 2 AND body = 'Two';
UPDATE smsflow.enrollment SET next_at = now() - interval '1 second' WHERE ended_at IS NULL AND ref = 'd';
SELECT smsflow.advance_enrollments(100);
SELECT n.step, n.end_reason, o.step, o.body FROM smsflow.outbox o JOIN smsflow.enrollment n USING (enrollment_id)
WHERE n.ref = 'd' ORDER BY message_id;

SELECT smsflow.drop_sequence('look'), smsflow.drop_sequence('thanks'), smsflow.drop_sequence('reminder');
SELECT smsflow.drop_sequence('reminder');
SELECT count(*) FROM enrolled;
DROP SCHEMA shop, hostile CASCADE;
SELECT smsflow.forget_dropped_tables();
REVOKE ALL ON SCHEMA smsflow FROM regress_stranger;
REVOKE ALL ON FUNCTION smsflow.watch_orders, smsflow.unwatch FROM regress_stranger;
DROP ROLE regress_shop, regress_stranger;

SELECT smsflow.resume_rule('window') AND smsflow.resume_rule('consent_level', 'US') AND smsflow.resume_rule('cart_once', 'US') AS resumed;

\c :home
DROP DATABASE regress_smsflow_sequence;
