-- Every recipe plays its story, by the clock: what the person gets, and when. A second, longer story where the answer of
-- the person matters.
\set VERBOSITY sqlstate
SET client_min_messages = warning;
SELECT smsflow.suspend_rule('window'), smsflow.suspend_rule('consent_level', 'US'), smsflow.suspend_rule('cart_once', 'US'), smsflow.suspend_rule('cap');
CREATE FUNCTION pg_temp.phone(who integer) RETURNS text LANGUAGE sql AS $$ SELECT '+1212666' || to_char(who, 'FM0000') $$;
SELECT count(smsflow.subscribe(pg_temp.phone(n), '{transactional,conversational,cart,promotional}', 'test', 'I agree', external_id => 'r' || n, attributes => '{"first_name": "Ann"}'))
FROM generate_series(1, 60) n;
\getenv tree PG_ABS_SRCDIR
\set ECHO none
\i :tree/test/fixtures/clock.sql
\set ECHO all
CREATE FUNCTION pg_temp.happens(who integer, kind text, ref text DEFAULT '', data jsonb DEFAULT '{}') RETURNS boolean LANGUAGE sql AS $$
	SELECT 0 < smsflow.record_event(pg_temp.phone(who), kind, ref, data, at => clock_timestamp()) $$;
CREATE FUNCTION pg_temp.answers(who integer, words text) RETURNS boolean LANGUAGE sql AS $$
	INSERT INTO smsflow.inbound (gateway_id, brand_id, contact_id, phone, body, action)
	SELECT 1, 1, c.contact_id, c.phone, words, 'none' FROM smsflow.contact c WHERE c.external_id = 'r' || who RETURNING true $$;
CREATE FUNCTION pg_temp.inbox(who integer) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT coalesce('(' || o.refusal || ') ', '') || o.body FROM smsflow.outbox o WHERE o.recipient OPERATOR(smsflow.=) pg_temp.phone(who)::smsflow.phone ORDER BY o.message_id $$;

-- What there is; notices and marketing are told apart.
SELECT recipe, (smsflow.install_recipe(recipe)) > 0 AS installed, on_event FROM smsflow.recipe WHERE builtin ORDER BY recipe;
SELECT s.purpose, count(*), string_agg(s.name, ' ' ORDER BY s.name) FROM smsflow.sequence s JOIN smsflow.recipe r ON r.recipe = s.name GROUP BY 1 ORDER BY 1;

-- Each plays alone, for a person of its own who has bought before, until nothing comes any more.
CREATE TEMP TABLE story (recipe text, hours integer, body text);
CREATE PROCEDURE pg_temp.play(recipe text, who integer) LANGUAGE plpgsql AS $$
DECLARE
	r smsflow.recipe := (SELECT p FROM smsflow.recipe p WHERE p.recipe = play.recipe);
	hours integer := 0;
	told bigint := 0;
	wait integer;
BEGIN
	PERFORM pg_temp.happens(who, 'order', 'earlier 1'), pg_temp.happens(who, 'order', 'earlier 2'), pg_temp.happens(who, 'order', 'earlier 3');
	PERFORM pg_temp.after('400 days');
	PERFORM smsflow.enable_sequence(recipe);
	PERFORM pg_temp.happens(who, r.on_event, 'this', r.sample);
	PERFORM pg_temp.work();
	FOREACH wait IN ARRAY '{0,1,1,2,20,24,48,24,24,96,120,400,720,800}'::integer[] LOOP
		hours := hours + wait;
		IF wait > 0 THEN
			PERFORM pg_temp.after(wait * interval '1 hour');
		END IF;
		INSERT INTO story SELECT recipe, hours, b FROM pg_temp.inbox(who) WITH ORDINALITY i (b, n) WHERE n > told;
		told := (SELECT count(*) FROM pg_temp.inbox(who));
		COMMIT;
	END LOOP;
	PERFORM smsflow.disable_sequence(recipe);
END $$;
SELECT format('CALL pg_temp.play(%L, %s)', recipe, row_number() OVER (ORDER BY recipe)) FROM smsflow.recipe WHERE builtin ORDER BY recipe \gexec
SELECT recipe, CASE WHEN hours < 48 THEN hours || ' h' ELSE hours / 24 || ' d' END AS after, body FROM story ORDER BY recipe, hours;

-- A product that is used up in no number of days is reminded of never, and does not stop the recipe for the others.
SELECT smsflow.enable_sequence('replenishment');
SELECT pg_temp.happens(58, 'order_delivered', 'r58', '{"usage_days": "a month"}'), pg_temp.happens(59, 'order_delivered', 'r59', '{"usage_days": 2}');
SELECT pg_temp.work();
SELECT pg_temp.after('3 days');
SELECT n, pg_temp.inbox(n) FROM generate_series(58, 59) n;
SELECT enabled, error FROM smsflow.sequence WHERE name = 'replenishment';
SELECT smsflow.disable_sequence('replenishment');

-- Reviews: asked first; the link follows a good answer only, and nothing follows silence. ------------
SELECT smsflow.enable_sequence('review_request');
SELECT pg_temp.happens(n, 'order_delivered', 'r' || n, '{"order": {"id": 7}}') FROM generate_series(41, 43) n;
SELECT pg_temp.work();
SELECT pg_temp.after('5 days');
SELECT pg_temp.answers(41, 'All good, thanks'), pg_temp.answers(42, 'BAD. It was broken');
SELECT pg_temp.after('10 minutes');
SELECT pg_temp.after('4 days');
SELECT n AS who, array(SELECT b FROM pg_temp.inbox(n) b) AS got FROM generate_series(41, 43) n;
SELECT smsflow.disable_sequence('review_request');

-- Carts: a purchase ends the reminders; who shows no interest gets one and no more. -------------------
SELECT smsflow.enable_sequence('cart_recovery');
SELECT pg_temp.happens(n, 'cart', 'c' || n, '{"cart": {"items": [{"title": "Hat"}]}, "url": "https://shop.example/c"}') FROM generate_series(44, 46) n;
SELECT pg_temp.work();
SELECT pg_temp.happens(44, 'order', 'o44');
SELECT pg_temp.after('61 minutes');
SELECT pg_temp.happens(45, 'viewed', 'hat');
SELECT pg_temp.after('24 hours');
SELECT n AS who, array(SELECT b FROM pg_temp.inbox(n) b) AS got FROM generate_series(44, 46) n;
-- The next cart of the same week is left alone.
SELECT pg_temp.happens(46, 'cart', 'another', '{"cart": {"items": [{"title": "Cap"}]}, "url": "https://shop.example/c"}');
SELECT pg_temp.after('2 hours');
SELECT count(*) AS got FROM pg_temp.inbox(46);
-- An incentive only where the store wants one.
SELECT smsflow.install_recipe('cart_recovery', '{"name": "generous", "incentive": true}') > 0 AS installed;
SELECT count(*) AS steps, max(body) FILTER (WHERE step = 3) AS third FROM smsflow.sequence_step JOIN smsflow.sequence USING (sequence_id) WHERE name = 'generous';
SELECT smsflow.drop_sequence('generous'), smsflow.disable_sequence('cart_recovery');

-- Birthdays.
UPDATE smsflow.contact SET attributes = attributes || '{"birthday": "1990-02-29"}' WHERE external_id = 'r50';
UPDATE smsflow.contact SET attributes = attributes || '{"birthday": "1985-03-01"}' WHERE external_id = 'r51';
UPDATE smsflow.contact SET attributes = attributes || '{"birthday": "soon"}' WHERE external_id = 'r52';
SELECT smsflow.record_dates('birthday', today => '2027-02-28') AS early, smsflow.record_dates('birthday', today => '2027-03-01') AS both_today,
	smsflow.record_dates('birthday', today => '2027-03-01') AS once, smsflow.record_dates('birthday', today => '2028-02-29') AS leap_year;

-- Wishes: not more people than units times the factor, the longest waiting first. ------------------------
CREATE TABLE product (sku text PRIMARY KEY, title text, stock integer NOT NULL, price numeric(10,2), shelf text, url text DEFAULT 'https://shop.example/p');
INSERT INTO product VALUES ('S1', 'Red scarf', 0, 20, 'a'), ('S2', 'Blue scarf', 9, 20, 'b');
SELECT * FROM smsflow.watch_inventory('product', '{"stock_factor": 2, "low_stock": 3, "data": {"title": "title", "url": "url"}}');
SELECT smsflow.watch_inventory('product', '{"stock_factor": 0}');
SELECT smsflow.install_recipe('back_in_stock', '{"name": "stock alert"}') > 0 AS installed;
SELECT smsflow.set_step('stock alert', 1, '10 minutes', '{{title}} is back: https://shop.example/{{product.id}} Reply STOP to end');
SELECT smsflow.enable_sequence('stock alert'), smsflow.enable_sequence('price_drop'), smsflow.enable_sequence('low_stock');
SELECT count(smsflow.notify_me(pg_temp.phone(n), 'S1')) AS waiting FROM generate_series(1, 20) n;
SELECT smsflow.notify_me(pg_temp.phone(21), 'S2', 'price_drop', 15) > 0 AS asked, smsflow.notify_me(pg_temp.phone(22), 'S2', 'price_drop') > 0 AS too,
	smsflow.notify_me(pg_temp.phone(23), 'S2', 'low_stock') > 0 AS and_this;
UPDATE product SET shelf = 'c';
UPDATE product SET stock = 3 WHERE sku = 'S1';
SELECT sqlstate, error FROM smsflow.trigger_problem;
SELECT string_agg(c.external_id, ' ' ORDER BY i.asked_at) AS told FROM smsflow.interest i JOIN smsflow.contact c USING (contact_id) WHERE i.product = 'S1' AND i.notified_at IS NOT NULL;
UPDATE product SET stock = 4 WHERE sku = 'S1';
SELECT count(*) AS told, (SELECT alerted FROM smsflow.stock WHERE product = 'S1') AS counted FROM smsflow.interest WHERE product = 'S1' AND notified_at IS NOT NULL;
SELECT pg_temp.work();
-- Sold out before the messages left: none leaves.
UPDATE product SET stock = 0 WHERE sku = 'S1';
SELECT pg_temp.after('10 minutes');
SELECT n.end_reason, count(*) FROM smsflow.enrollment n JOIN smsflow.sequence s USING (sequence_id) WHERE s.name = 'stock alert' GROUP BY 1;
-- They wait again, at their old places, and the next delivery is for them first.
SELECT string_agg(c.external_id, ' ' ORDER BY i.asked_at) AS told FROM smsflow.interest i JOIN smsflow.contact c USING (contact_id) WHERE i.product = 'S1' AND i.notified_at IS NOT NULL;
UPDATE product SET stock = 100 WHERE sku = 'S1';
SELECT pg_temp.work();
SELECT pg_temp.after('10 minutes');
SELECT count(*) AS told FROM smsflow.outbox o JOIN smsflow.sequence s USING (sequence_id) WHERE s.name = 'stock alert' AND o.body LIKE 'Red scarf is back%';
-- Whoever was told hears of it once: of 20 messages 15 have left when it is sold out again.
INSERT INTO smsflow.touch SELECT o.contact_id, clock_timestamp(), o.message_id, 'promotional', 'x' FROM smsflow.outbox o JOIN smsflow.sequence s USING (sequence_id)
	WHERE s.name = 'stock alert' AND o.body LIKE 'Red scarf is back%' ORDER BY o.message_id LIMIT 15;
UPDATE product SET stock = 0 WHERE sku = 'S1';
SELECT count(*) AS wait_again FROM smsflow.interest i WHERE i.product = 'S1' AND i.notified_at IS NULL;
UPDATE product SET stock = 100 WHERE sku = 'S1';
SELECT pg_temp.work();
SELECT pg_temp.after('10 minutes');
SELECT count(*) AS told, count(DISTINCT o.contact_id) AS people FROM smsflow.outbox o JOIN smsflow.sequence s USING (sequence_id) WHERE s.name = 'stock alert' AND o.body LIKE 'Red scarf is back%';
-- Cheaper, and nearly gone.
UPDATE product SET price = 19.5 WHERE sku = 'S2';
UPDATE product SET price = 16 WHERE sku = 'S2';
UPDATE product SET price = 14 WHERE sku = 'S2';
UPDATE product SET stock = 2 WHERE sku = 'S2';
SELECT pg_temp.work();
SELECT n AS who, o.refusal, o.body FROM generate_series(21, 23) n JOIN smsflow.outbox o ON o.recipient OPERATOR(smsflow.=) pg_temp.phone(n)::smsflow.phone
JOIN smsflow.event e ON e.event_id = o.trigger_event_id AND e.ref = 'S2' ORDER BY o.message_id;
SELECT smsflow.unwatch('product');
DROP TABLE product;
-- Who named a price is told at that price, by however little it falls; where only the price is watched nobody has to know the stock. What
-- never runs out is often written as the greatest number there is.
CREATE TABLE tariff (sku text PRIMARY KEY, price numeric(10,2));
CREATE TABLE ebook (sku text PRIMARY KEY, stock bigint, price numeric(10,2));
INSERT INTO tariff VALUES ('T', 100);
INSERT INTO ebook VALUES ('E', 0, 100);
SELECT meaning, note FROM smsflow.watch_inventory('tariff') WHERE meaning = 'stock' UNION ALL SELECT meaning, note FROM smsflow.watch_inventory('ebook') WHERE meaning = 'stock';
SELECT count(smsflow.notify_me(pg_temp.phone(n), sku, kind, price)) AS wishes FROM (VALUES (21, 'T', 'price_drop', 98), (22, 'T', 'price_drop', NULL), (23, 'T', 'price_drop', 50),
	(21, 'E', 'price_drop', 98), (22, 'E', 'price_drop', NULL), (23, 'E', 'back_in_stock', NULL)) AS w (n, sku, kind, price);
UPDATE tariff SET price = 98;
UPDATE tariff SET price = 90;
UPDATE ebook SET stock = 9223372036854775807;
UPDATE ebook SET price = 98;
SELECT e.kind, e.ref, c.external_id AS who, e.amount, e.data ->> 'old_price' AS before FROM smsflow.event e JOIN smsflow.contact c USING (contact_id)
WHERE e.ref IN ('T', 'E') ORDER BY e.event_id;
SELECT sqlstate, error FROM smsflow.trigger_problem;
SELECT smsflow.unwatch('tariff'), smsflow.unwatch('ebook');
DROP TABLE tariff, ebook;

-- Welcome with double opt-in: nothing before the YES. ---------------------------------------------------
SELECT smsflow.require_double_opt_in('{promotional}') IS NOT NULL AS required;
SELECT smsflow.enable_sequence('welcome');
SELECT smsflow.subscribe('+12126667001', '{promotional}', 'web', 'I agree', external_id => 'new') IS NOT NULL AS subscribed;
SELECT pg_temp.after('1 hour');
SELECT count(*) AS before_yes FROM smsflow.outbox o JOIN smsflow.sequence s USING (sequence_id) WHERE s.name = 'welcome' AND o.recipient OPERATOR(smsflow.=) '+12126667001'::smsflow.phone;
SELECT smsflow.confirm_opt_in('+12126667001') IS NOT NULL AS confirmed;
SELECT pg_temp.after('10 minutes');
SELECT o.body, o.refusal FROM smsflow.outbox o JOIN smsflow.sequence s USING (sequence_id) WHERE s.name = 'welcome' AND o.recipient OPERATOR(smsflow.=) '+12126667001'::smsflow.phone;
SELECT smsflow.disable_sequence('welcome');
DELETE FROM smsflow.policy_rule WHERE NOT builtin AND kind <> 'suspended';

-- Bad input.
SELECT smsflow.install_recipe('no such recipe');
SELECT smsflow.install_recipe('welcome');
SELECT smsflow.install_recipe('welcome', '{"colour": "red"}');
SELECT smsflow.notify_me('+12126669999', 'S1');
SELECT smsflow.notify_me(pg_temp.phone(1), '');
SELECT smsflow.notify_me(pg_temp.phone(1), 'S1', 'free');
SELECT smsflow.drop_sequence(s.name) FROM smsflow.sequence s WHERE s.name = 'stock alert' OR s.name IN (SELECT recipe FROM smsflow.recipe);
SELECT smsflow.resume_rule('window') AND smsflow.resume_rule('consent_level', 'US') AND smsflow.resume_rule('cart_once', 'US') AND smsflow.resume_rule('cap') AS resumed;
