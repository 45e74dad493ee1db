-- Sequences that decide: conditions, waits, branches, splits, ends; who is admitted, how often, and again.
\set VERBOSITY sqlstate
SET client_min_messages = warning;
SELECT smsflow.suspend_rule('window'), smsflow.suspend_rule('consent_level', 'US'), smsflow.suspend_rule('cart_once', 'US'), smsflow.suspend_rule('cap');
SELECT count(smsflow.subscribe('+1212555' || to_char(n, 'FM0000'), '{transactional,cart,promotional}', 'test', 'I agree', external_id => 'p' || n)) FROM generate_series(201, 230) n;
\getenv tree PG_ABS_SRCDIR
\set ECHO none
\i :tree/test/fixtures/clock.sql
\set ECHO all
CREATE FUNCTION pg_temp.happens(who integer, kind text, ref text DEFAULT '', data jsonb DEFAULT '{}') RETURNS boolean LANGUAGE sql AS $$
	SELECT 0 < smsflow.record_event('+1212555' || to_char(who, 'FM0000'), kind, ref, data, at => clock_timestamp()) $$;
CREATE FUNCTION pg_temp.inbox(who integer) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT o.body FROM smsflow.outbox o WHERE o.recipient OPERATOR(smsflow.=) ('+1212555' || to_char(who, 'FM0000'))::smsflow.phone
		AND o.sequence_id IS NOT NULL ORDER BY o.message_id $$;
CREATE FUNCTION pg_temp.state(sequence text) RETURNS TABLE (who text, ref text, step smallint, waits boolean, end_reason text) LANGUAGE sql AS $$
	SELECT c.external_id, n.ref, n.step, n.next_at IS NOT NULL, n.end_reason FROM smsflow.enrollment n JOIN smsflow.contact c USING (contact_id)
	JOIN smsflow.sequence s USING (sequence_id) WHERE s.name = state.sequence ORDER BY length(c.external_id), c.external_id, n.ref, n.round $$;

-- A condition: only who has ordered gets the second message. ---------------------------------
SELECT smsflow.create_sequence('talk', 'visit') IS NOT NULL AS made;
SELECT smsflow.add_step('talk', '0', 'Hello'), smsflow.add_step('talk', '1 day', 'Thanks for ordering', '{"condition": "orders_count > 0"}'),
	smsflow.add_step('talk', '1 day', 'Still there, {{name|friend}}?', '{"condition": "data ->> ''vip'' = ''yes''"}');
SELECT smsflow.enable_sequence('talk');
SELECT pg_temp.happens(201, 'visit', 'a', '{"vip": "yes", "name": "Ann"}'), pg_temp.happens(202, 'visit', 'a');
SELECT pg_temp.work();
SELECT pg_temp.happens(202, 'order', 'o1');
SELECT pg_temp.after('1 day');
SELECT pg_temp.inbox(201), pg_temp.inbox(202);
SELECT pg_temp.after('1 day');
SELECT pg_temp.after('1 day');
SELECT array(SELECT pg_temp.inbox(201)) AS ann, array(SELECT pg_temp.inbox(202)) AS bob;
SELECT * FROM pg_temp.state('talk');

-- Waiting until something is true, at most three days; a branch; an end; a goal. --------------
SELECT smsflow.create_sequence('wait', 'signup') IS NOT NULL AS made;
SELECT smsflow.add_step('wait', '0', NULL, '{"wait_until": "last_order_at > started_at", "timeout": "3 days"}'),
	smsflow.add_step('wait', '0', NULL, '{"branch": "orders_count > 0", "goto": 5}'),
	smsflow.add_step('wait', '0', 'You have not found anything?'),
	smsflow.add_step('wait', '0', NULL, '{"exit": "true"}'),
	smsflow.add_step('wait', '1 hour', 'How was your first order?'),
	smsflow.add_step('wait', '1 day', NULL, '{"goal": "orders_count > 1"}'),
	smsflow.add_step('wait', '0', 'Here is what others bought next');
SELECT smsflow.enable_sequence('wait');
SELECT pg_temp.happens(n, 'signup') FROM generate_series(203, 205) n;
SELECT pg_temp.work();
SELECT pg_temp.happens(203, 'order', 'o3'), pg_temp.happens(204, 'order', 'o4');
SELECT pg_temp.work();
SELECT * FROM pg_temp.state('wait');
SELECT pg_temp.after('1 hour');
SELECT pg_temp.happens(204, 'order', 'o5');
SELECT pg_temp.after('25 hours');
SELECT pg_temp.after('2 days');
SELECT * FROM pg_temp.state('wait');
SELECT n, array(SELECT pg_temp.inbox(n)) FROM generate_series(203, 205) n;

-- A split, and variants: everybody goes one way, and stays on it.
SELECT smsflow.create_sequence('split', 'test') IS NOT NULL AS made;
SELECT smsflow.add_step('split', '0', NULL, '{"split": 50, "goto": 3}'), smsflow.add_step('split', '0', NULL, '{"exit": "true"}'),
	smsflow.add_step('split', '0', NULL, '{"variants": ["Text A", "Text B"]}');
SELECT smsflow.enable_sequence('split');
SELECT count(pg_temp.happens(n, 'test', r::text)) FROM generate_series(206, 230) n, generate_series(1, 20) r;
SELECT pg_temp.work();
SELECT count(*) FILTER (WHERE end_reason = 'exit') BETWEEN 150 AND 350 AS about_half_left, count(*) AS all FROM pg_temp.state('split');
SELECT count(*) FILTER (WHERE o.body = 'Text A') > 50 AS a, count(*) FILTER (WHERE o.body = 'Text B') > 50 AS b, bool_and((o.variant = 1) = (o.body = 'Text A')) AS counted
FROM smsflow.outbox o JOIN smsflow.sequence s USING (sequence_id) WHERE s.name = 'split';

-- Who is admitted, and how often. ---------------------------------------------------------------
SELECT smsflow.create_sequence('big carts', 'cart', '{"entry": "(data #>> ''{cart,total}'')::numeric >= 50", "limit": "1 per 7 days"}') IS NOT NULL AS made;
SELECT smsflow.add_step('big carts', '1 hour', 'Your cart {{cart.id}} waits');
SELECT smsflow.enable_sequence('big carts');
SELECT pg_temp.happens(206, 'cart', 'c1', '{"cart": {"id": 1, "total": 20}}'), pg_temp.happens(206, 'cart', 'c2', '{"cart": {"id": 2, "total": 70}}'),
	pg_temp.happens(207, 'cart', 'c3', '{"cart": {"id": 3, "total": 20}}');
SELECT pg_temp.work();
SELECT * FROM pg_temp.state('big carts');
-- The small one grows: it is admitted then. The second big one is one too many.
SELECT pg_temp.happens(207, 'cart', 'c3', '{"cart": {"id": 3, "total": 55}}'), pg_temp.happens(206, 'cart', 'c4', '{"cart": {"id": 4, "total": 99}}');
SELECT pg_temp.work();
SELECT * FROM pg_temp.state('big carts');
-- Each change of the cart restarts the clock.
SELECT pg_temp.after('50 minutes');
SELECT pg_temp.happens(207, 'cart', 'c3', '{"cart": {"id": 3, "total": 56}}');
SELECT pg_temp.after('50 minutes');
SELECT array(SELECT b FROM pg_temp.inbox(207) b WHERE b LIKE 'Your%') AS not_yet;
SELECT pg_temp.after('10 minutes');
SELECT b AS now FROM pg_temp.inbox(207) b WHERE b LIKE 'Your%';

-- A cart that a person keeps for years is abandoned again and again; a purchase ends it each time.
SELECT smsflow.create_sequence('again', 'cart', '{"reentry": "1 day"}') IS NOT NULL AS made;
SELECT smsflow.add_step('again', '1 hour', 'Round {{cart.round}}');
SELECT smsflow.enable_sequence('again'), smsflow.disable_sequence('big carts');
SELECT pg_temp.happens(208, 'cart', 'mine', '{"cart": {"round": 1}}');
SELECT pg_temp.work();
SELECT pg_temp.happens(208, 'order', 'o8', '{"order": {"cart_id": "mine"}}'), pg_temp.happens(208, 'cart', 'mine', '{"cart": {"round": "touched by the order"}}');
SELECT pg_temp.after('2 hours');
SELECT array(SELECT b FROM pg_temp.inbox(208) b WHERE b LIKE 'Round%') AS none_after_buying;
SELECT pg_temp.after('30 hours');
SELECT pg_temp.happens(208, 'cart', 'mine', '{"cart": {"round": 2}}');
SELECT pg_temp.work();
SELECT pg_temp.after('1 hour');
SELECT pg_temp.after('30 hours');
SELECT pg_temp.happens(208, 'cart', 'mine', '{"cart": {"round": 3}}');
SELECT pg_temp.work();
SELECT pg_temp.after('1 hour');
SELECT array(SELECT b FROM pg_temp.inbox(208) b WHERE b LIKE 'Round%') AS rounds;
SELECT ref, end_reason FROM pg_temp.state('again');

-- Somebody fills a cart as a stranger, and subscribes at the end of the checkout.
SELECT smsflow.record_event('+12125550299', 'cart', 'guest', '{"cart": {"round": "guest"}}') IS NOT NULL AS cart;
SELECT pg_temp.work();
SELECT smsflow.subscribe('+12125550299', '{cart}', 'checkout', 'I agree', external_id => 'late') IS NOT NULL AS subscribed;
SELECT pg_temp.after('1 hour');
SELECT pg_temp.inbox(299);
-- An opt-out ends it.
SELECT smsflow.record_event('+12125550299', 'cart', 'second', '{"cart": {"round": "second"}}') IS NOT NULL AS cart;
SELECT pg_temp.work();
SELECT smsflow.opt_out('+12125550299') IS NOT NULL AS stopped;
SELECT pg_temp.after('1 hour');
SELECT ref, end_reason FROM pg_temp.state('again') WHERE who = 'late';

-- Pausing stops the clocks; resuming lets them run on.
SELECT pg_temp.happens(209, 'cart', 'p', '{"cart": {"round": "paused"}}');
SELECT pg_temp.work();
SELECT smsflow.pause_sequence('again');
UPDATE smsflow.sequence SET paused_at = paused_at - interval '2 hours' WHERE name = 'again';
SELECT pg_temp.after('2 hours');
SELECT array(SELECT b FROM pg_temp.inbox(209) b WHERE b !~ '^Text') AS nothing;
SELECT smsflow.resume_sequence('again');
SELECT n.next_at - clock_timestamp() BETWEEN interval '59 minutes' AND interval '60 minutes' AS clock_ran_not
FROM smsflow.enrollment n JOIN smsflow.sequence s USING (sequence_id) WHERE s.name = 'again' AND n.ref = 'p';
-- A clock that started anew in the pause runs on from its start, and who waits for something is looked at at once.
SELECT smsflow.create_sequence('lull', 'lull', '{"purpose": "transactional"}') IS NOT NULL AS made, smsflow.add_step('lull', '1 hour', 'After the lull'), smsflow.enable_sequence('lull');
SELECT smsflow.create_sequence('lurk', 'lurk', '{"purpose": "transactional"}') IS NOT NULL AS made, smsflow.add_step('lurk', '0', options => '{"wait_until": "data ->> ''n'' = ''2''", "timeout": "9 days"}'),
	smsflow.add_step('lurk', '0', 'After the lurk'), smsflow.enable_sequence('lurk');
SELECT pg_temp.happens(213, 'lull', 'l'), pg_temp.happens(213, 'lurk', 'w');
SELECT pg_temp.work();
SELECT smsflow.pause_sequence('lull'), smsflow.pause_sequence('lurk');
UPDATE smsflow.sequence SET paused_at = paused_at - interval '3 days' WHERE name IN ('lull', 'lurk');
UPDATE smsflow.enrollment SET started_at = started_at - interval '4 days', next_at = next_at - interval '3 days', waiting_since = waiting_since - interval '3 days' WHERE ref IN ('l', 'w');
SELECT pg_temp.happens(213, 'lull', 'l'), pg_temp.happens(213, 'lurk', 'w', '{"n": 2}');
SELECT pg_temp.work();
SELECT smsflow.resume_sequence('lull'), smsflow.resume_sequence('lurk');
SELECT ref, next_at - clock_timestamp() BETWEEN interval '59 minutes' AND interval '61 minutes' AS in_an_hour, next_at <= clock_timestamp() AS now
FROM smsflow.enrollment WHERE ref IN ('l', 'w') ORDER BY ref;
-- A step may be changed while people wait for it, or taken out.
SELECT smsflow.set_step('again', 1, '1 hour', 'A better text');
SELECT pg_temp.after('1 hour');
SELECT b FROM pg_temp.inbox(209) b WHERE b !~ '^Text';
SELECT pg_temp.happens(210, 'cart', 'q');
SELECT pg_temp.work();
SELECT smsflow.remove_step('again', 1), smsflow.remove_step('again', 1) AS once;
SELECT pg_temp.after('1 hour');
SELECT end_reason FROM pg_temp.state('again') WHERE who = 'p210';

-- A condition that fails stops its own sequence, with the error shown, and nobody else's.
SELECT smsflow.create_sequence('broken', 'bang') IS NOT NULL AS made, smsflow.create_sequence('fine', 'bang') IS NOT NULL AS too;
SELECT smsflow.add_step('broken', '0', 'x', '{"condition": "1 / (data ->> ''zero'')::integer = 1"}'), smsflow.add_step('fine', '0', 'Fine');
SELECT smsflow.enable_sequence('broken'), smsflow.enable_sequence('fine');
SELECT pg_temp.happens(211, 'bang', '1', '{"zero": 0}');
SELECT pg_temp.work();
SELECT pg_temp.inbox(211) EXCEPT SELECT unnest('{Text A,Text B}'::text[]);
SELECT name, enabled, error FROM smsflow.sequence WHERE name IN ('broken', 'fine') ORDER BY name;
SELECT message FROM smsflow.health() WHERE component = 'sequences';
-- Who came while the entry condition failed was not admitted, also when it is mended; the next event of theirs is asked again.
SELECT smsflow.create_sequence('picky', 'pick', '{"entry": "(data ->> ''n'')::integer > 3"}') IS NOT NULL AS made, smsflow.add_step('picky', '0', 'Picked'), smsflow.enable_sequence('picky');
SELECT pg_temp.happens(212, 'pick', '1', '{"n": "few"}');
SELECT pg_temp.work();
SELECT s.enabled, s.error, n.end_reason FROM smsflow.sequence s JOIN smsflow.enrollment n USING (sequence_id) WHERE s.name = 'picky';
SELECT smsflow.enable_sequence('picky');
SELECT pg_temp.after('1 minute');
SELECT count(*) AS not_picked FROM pg_temp.inbox(212) b WHERE b = 'Picked';
SELECT pg_temp.happens(212, 'pick', '1', '{"n": 4}');
SELECT pg_temp.work();
SELECT count(*) AS picked_once FROM pg_temp.inbox(212) b WHERE b = 'Picked';
-- One that never ends is ended.
SELECT smsflow.create_sequence('endless', 'boom') IS NOT NULL AS made;
SELECT smsflow.add_step('endless', '0', 'x', '{"condition": "(WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT count(*) FROM n) > 0"}');
SELECT smsflow.add_step('endless', '0', 'x', '{"condition": "(WITH RECURSIVE n (i) AS (SELECT orders_count UNION ALL SELECT i FROM n) SELECT count(*) FROM n) > 0"}'), smsflow.enable_sequence('endless');
SELECT pg_temp.happens(211, 'boom', '1');
SELECT pg_temp.work();
SELECT name, enabled, error FROM smsflow.sequence WHERE name = 'endless';

-- Conditions run with the rights of who wrote them.
CREATE ROLE regress_marketer;
SELECT smsflow.grant_access('regress_marketer', 'marketer');
CREATE TABLE secret_table (x integer);
SET ROLE regress_marketer;
SELECT smsflow.create_sequence('sly', 'bang') IS NOT NULL AS made;
SELECT smsflow.add_step('sly', '0', 'x', '{"condition": "EXISTS (SELECT FROM public.secret_table)"}');
SELECT smsflow.add_step('sly', '0', 'x', '{"condition": "orders_count >= 0"}');
RESET ROLE;
SELECT p.owner FROM smsflow.sequence_step p JOIN smsflow.sequence s USING (sequence_id) WHERE s.name = 'sly';

-- Bad input. ---------------------------------------------------------------------------------------
SELECT smsflow.add_step('talk', '0', NULL, '{"branch": "true", "goto": 1}');
SELECT smsflow.add_step('talk', '0', NULL, '{"branch": "true", "goto": 4}');
SELECT smsflow.add_step('talk', '0', NULL, '{"branch": "true"}');
SELECT smsflow.add_step('talk', '0', NULL, '{"goto": 9}');
SELECT smsflow.add_step('talk', '0', NULL, '{"split": 101, "goto": 9}');
SELECT smsflow.add_step('talk', '0', NULL, '{"wait_until": "true"}');
SELECT smsflow.add_step('talk', '0', NULL, '{"wait_until": "true", "timeout": "-1 day"}');
SELECT smsflow.add_step('talk', '0', NULL, '{"exit": "true", "goal": "true"}');
SELECT smsflow.add_step('talk', '0', NULL, '{"exit": "no_such_column"}');
SELECT smsflow.add_step('talk', '0', NULL, '{"exit": "true) OR (true"}');
SELECT smsflow.add_step('talk', '0', 'text', '{"exit": "true"}');
SELECT smsflow.add_step('talk', '0');
SELECT smsflow.add_step('talk', '0', 'both', '{"variants": ["x"]}');
SELECT smsflow.add_step('talk', '0', NULL, '{"variants": []}');
SELECT smsflow.add_step('talk', '0', NULL, '{"template": "no such template"}');
SELECT smsflow.add_step('talk', '-1 day', 'x');
SELECT smsflow.add_step('talk', '200000 years', 'x');
SELECT smsflow.add_step('talk', '300000 years -108000000 days', 'x');
SELECT smsflow.add_step('talk', '0', NULL, '{"wait_until": "true", "timeout": "300000 years"}');
SELECT smsflow.create_sequence('bad', 'cart', '{"valid_for": "300000 years"}');
SELECT smsflow.create_sequence('bad', 'cart', '{"limit": "1 per 300000 years"}');
SELECT smsflow.set_step('talk', 99, '0', 'x');
SELECT smsflow.create_sequence('bad', 'cart', '{"entry": "no_such_column > 1"}');
SELECT smsflow.create_sequence('bad', 'cart', '{"reentry": "soon"}');
SELECT smsflow.create_sequence('bad', 'cart', '{"limit": "many"}');
SELECT smsflow.create_sequence('bad', 'order') IS NOT NULL AS made;
SELECT smsflow.add_step('bad', '0', 'Order packed. 20% off your next one!');
SELECT smsflow.enable_sequence('bad');
SELECT smsflow.add_step('bad', '0', NULL, '{"exit": "true"}');
SELECT smsflow.enable_sequence('bad');
SELECT smsflow.add_step('bad', '0', 'Packed'), smsflow.add_step('bad', '0', NULL, '{"branch": "true", "goto": 4}');
SELECT smsflow.enable_sequence('bad');

-- What a brand wants of its texts holds for steps, too; where it wants an error, the sequence is disabled and nobody moves on until it is mended.
SELECT smsflow.set_text_policy('{transactional,promotional,cart}', prefix => 'Acme: ', smart_encode => true), smsflow.set_text_policy('{promotional}', opt_out_text => 'Reply STOP to end');
SELECT smsflow.set_template('greeting', 'It’s {{name|nobody}}') > 0 AS made;
SELECT smsflow.create_sequence('dressed', 'dress', '{"purpose": "promotional"}') > 0 AS made, smsflow.create_sequence('parcel', 'dress', '{"purpose": "transactional"}') > 0 AS made;
SELECT smsflow.add_step('dressed', '0', 'Hello {{brand}}'), smsflow.add_step('dressed', '0', NULL, '{"template": "greeting"}'), smsflow.add_step('dressed', '0', NULL, '{"variants": ["Bye {{last}}. STOP ends"]}'),
	smsflow.add_step('parcel', '0', 'Your parcel is packed');
SELECT smsflow.enable_sequence('dressed'), smsflow.enable_sequence('parcel');
SELECT smsflow.set_text_policy('{promotional}', missing => 'fail');
CREATE TEMP VIEW dressed AS SELECT c.external_id AS who, s.name, o.body, o.parts, o.unicode, o.refusal FROM smsflow.outbox AS o JOIN smsflow.sequence AS s USING (sequence_id)
	JOIN smsflow.contact AS c USING (contact_id) WHERE s.name IN ('dressed', 'parcel') ORDER BY 1, 2, o.message_id;
SELECT pg_temp.happens(229, 'dress', data => '{"last": "Bob"}'), pg_temp.happens(230, 'dress');
SELECT pg_temp.work();
SELECT * FROM dressed;
SELECT enabled, error FROM smsflow.sequence WHERE name = 'dressed';
SELECT * FROM pg_temp.state('dressed');
SELECT smsflow.set_text_policy('{promotional}', missing => 'blank'), smsflow.enable_sequence('dressed'), pg_temp.work();
SELECT * FROM dressed WHERE who = 'p230';
SELECT * FROM pg_temp.state('dressed');
SELECT smsflow.set_text_policy('{promotional,transactional,cart}', prefix => '', opt_out_text => '', smart_encode => false, missing => 'default');

SELECT smsflow.drop_sequence(name) FROM smsflow.sequence WHERE name IN ('dressed', 'parcel', 'talk', 'wait', 'split', 'big carts', 'again', 'broken', 'fine', 'sly', 'bad');
DROP TABLE secret_table;
SELECT smsflow.revoke_access('regress_marketer', 'marketer');
REVOKE ALL ON SCHEMA smsflow, smsflow_bi FROM regress_marketer;
DROP ROLE regress_marketer;
SELECT smsflow.resume_rule('window') AND smsflow.resume_rule('consent_level', 'US') AND smsflow.resume_rule('cart_once', 'US') AND smsflow.resume_rule('cap') AS resumed;
