--
-- Segments: facts about contacts, and conditions over them that run as their owner
--
\set VERBOSITY sqlstate
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SELECT smsflow.create_brand('Segments') > 0 AS created;
SELECT smsflow.subscribe('+14155550201', '{promotional,cart}', external_id => 'a', brand => 'Segments',
	attributes => '{"first_name": "Ada", "language": "en", "tier": "gold"}') AS ada \gset
SELECT smsflow.subscribe('+491715550202', '{promotional}', level => 'implied', external_id => 'b', brand => 'Segments',
	attributes => '{"first_name": "Bob", "language": "de", "tier": "tin"}') AS bob \gset
SELECT smsflow.subscribe('+14155550203', '{cart}', external_id => 'c', brand => 'Segments', attributes => '{"region": "CA"}') AS cay \gset
SELECT smsflow.subscribe('+14155550204', external_id => 'd') > 0 AS other_brand;

-- Orders and carts become facts.
INSERT INTO smsflow.event (contact_id, kind, ref, amount, occurred_at) VALUES
	(:ada, 'cart', 'cart-1', 30, '2026-03-01Z'), (:ada, 'order', 'order-1', 30, '2026-03-02Z'),
	(:ada, 'order', 'order-2', 12.50, '2026-04-02Z'), (:ada, 'cart', 'cart-2', 99, '2026-05-01Z'),
	(:bob, 'cart', 'cart-3', 10, '2026-05-02Z'), (:bob, 'order', 'order-3', 10, '2026-05-03Z'), (:bob, 'order_shipped', 'order-3', NULL, '2026-05-04Z'),
	(:cay, 'cart', 'cart-4', 20, '2026-05-03Z'), (:cay, 'cart_emptied', 'cart-4', NULL, '2026-05-04Z');
SELECT external_id, first_name, language, region, attributes, promotional_consent, cart_consent, subscribed
	FROM smsflow.profile WHERE external_id IN ('a', 'b', 'c') ORDER BY 1;
SELECT external_id, orders_count, orders_value, first_order_at, last_order_at, active_cart, active_cart_value, last_cart_at
	FROM smsflow.profile WHERE external_id IN ('a', 'b', 'c', 'd') ORDER BY 1;

CREATE FUNCTION members(segment text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(c.external_id, ' ' ORDER BY m.ordinality)
	FROM smsflow.segment_members(segment, 'Segments') WITH ORDINALITY AS m (id, ordinality) JOIN smsflow.contact c ON c.contact_id = m.id
$$;
SELECT smsflow.create_segment('all', 'true', 'Segments') > 0 AS created;
SELECT smsflow.create_segment('buyers', 'orders_count > 0', 'Segments') > 0 AS created;
SELECT smsflow.create_segment('german', $$language = 'de' -- and nobody else$$, 'Segments') > 0 AS created;
SELECT smsflow.create_segment('open carts', $$active_cart IS NOT NULL AND attributes ->> 'tier' = 'gold' OR false$$, 'Segments') > 0 AS created;
SELECT members('all'), members('buyers'), members('german'), members('open carts');
SELECT smsflow.segment_count('all', 'Segments'), smsflow.segment_count('buyers', 'Segments');
SELECT smsflow.in_segment(:ada, 'buyers', 'Segments') AS ada, smsflow.in_segment(:cay, 'buyers', 'Segments') AS cay, smsflow.in_segment(NULL, 'all', 'Segments') AS nobody;
SELECT members('nothing');
SELECT smsflow.segment_count('buyers');
SELECT smsflow.in_segment(:ada, 'buyers', 'no brand');

-- A predicate is one condition and nothing else.
CREATE FUNCTION try(predicate text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	code text;
	detail text;
BEGIN
	PERFORM smsflow.create_segment('tried', predicate, 'Segments');
	RETURN 'created';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL;
	RETURN code || ': ' || detail;
END $$;
CREATE TABLE regress_orders (id int, external_id text);
SELECT predicate, try(predicate) FROM unnest(ARRAY[
	'', 'colour = 1', 'orders_count', 'orders_count >', 'true) OR (true', 'true; DROP TABLE smsflow.contact', 'true ORDER BY 1',
	'true LIMIT 1', 'true FOR UPDATE', 'true UNION SELECT 1', 'true GROUP BY 1', 'true, false', 'true AS x', 'true FROM smsflow.brand', '*', '$1',
	'DISTINCT true', 'INTO x true', 'count(*) > 1', 'random() > 0.5', 'contact_id = nextval(''smsflow.message_id_seq'')',
	'EXISTS (SELECT FROM public.regress_orders o WHERE random() > 0)', 'EXISTS (SELECT FROM public.regress_orders FOR UPDATE)',
	'EXISTS (SELECT FROM regress_orders)', '/* open', 'pg_sleep(1) IS NULL', 'true -- fine', 'true) -- no'
]) WITH ORDINALITY AS p (predicate, n) ORDER BY n;
SELECT smsflow.drop_segment('tried', 'Segments');
\set VERBOSITY default
SELECT smsflow.create_segment('tried', 'colour = 1', 'Segments');
\set VERBOSITY sqlstate
SELECT smsflow.create_segment('all', 'true', 'Segments');
SELECT smsflow.create_segment('', 'true', 'Segments');
SELECT smsflow.create_segment('x', 'true', 'no brand');
SELECT try($$EXISTS (SELECT FROM public.regress_orders o WHERE o.external_id = profile.external_id)$$);
INSERT INTO regress_orders VALUES (1, 'c');
SELECT members('tried');

-- A predicate reads what its owner may read, whoever asks.
CREATE ROLE regress_smsflow_marketer;
GRANT USAGE ON SCHEMA smsflow TO regress_smsflow_marketer;
GRANT SELECT ON smsflow.profile TO regress_smsflow_marketer;
GRANT EXECUTE ON FUNCTION smsflow.create_segment, smsflow.segment_count TO regress_smsflow_marketer;
SET ROLE regress_smsflow_marketer;
SELECT smsflow.create_segment('spy', 'EXISTS (SELECT FROM public.regress_orders)', 'Segments');
SELECT smsflow.create_segment('spy', 'EXISTS (SELECT FROM smsflow.contact)', 'Segments');
SELECT smsflow.create_segment('mine', 'orders_count > 1', 'Segments') > 0 AS created;
SELECT smsflow.segment_count('mine', 'Segments');
-- A superuser's segment may be counted by others: it runs as the superuser.
SELECT smsflow.segment_count('tried', 'Segments');
RESET ROLE;
SELECT name, owner FROM smsflow.segment WHERE name = 'mine';
SELECT members('mine');
REVOKE SELECT ON smsflow.profile FROM regress_smsflow_marketer;
SELECT members('mine');
SELECT smsflow.in_segment(:ada, 'mine', 'Segments');
GRANT SELECT ON smsflow.profile TO regress_smsflow_marketer;

-- What a predicate calls cannot leave its owner's privileges, write, or be replaced by somebody's search_path.
CREATE SCHEMA regress_trap AUTHORIZATION regress_smsflow_marketer;
SET ROLE regress_smsflow_marketer;
CREATE FUNCTION regress_trap.who(text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
	RAISE WARNING 'runs as %, path %', current_user, current_setting('search_path');
	RETURN true;
END $$;
CREATE FUNCTION regress_trap.up() RETURNS boolean LANGUAGE sql STABLE AS 'SELECT true';
CREATE FUNCTION regress_trap.write() RETURNS boolean LANGUAGE sql STABLE AS 'SELECT true';
SELECT smsflow.create_segment('who', $$external_id = 'a' AND regress_trap.who(external_id)$$, 'Segments') > 0 AS created;
SELECT smsflow.create_segment('up', 'regress_trap.up()', 'Segments') > 0 AS created;
SELECT smsflow.create_segment('write', 'regress_trap.write()', 'Segments') > 0 AS created;
-- What was good when it was stored may change.
CREATE OR REPLACE FUNCTION regress_trap.up() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
	PERFORM set_config('role', session_user, false);
	RETURN true;
END $$;
CREATE OR REPLACE FUNCTION regress_trap.write() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
	CREATE TABLE regress_trap.t ();
	RETURN true;
END $$;
SELECT smsflow.create_segment('up at once', 'regress_trap.up()', 'Segments');
SELECT smsflow.create_segment('write at once', 'regress_trap.write()', 'Segments');
RESET ROLE;
\set VERBOSITY terse
SELECT members('who');
\set VERBOSITY sqlstate
SELECT members('up');
SELECT members('write');
SELECT current_user = session_user AS unchanged;
SET search_path = regress_trap, public;
CREATE VIEW regress_trap.profile AS SELECT 0 AS contact_id, 0 AS brand_id;
SELECT public.members('mine');
RESET search_path;

-- The owner of a SECURITY DEFINER function that stores a predicate is its owner, not whoever calls that function.
SET ROLE regress_smsflow_marketer;
CREATE FUNCTION regress_trap.store() RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $$
	SELECT smsflow.create_segment('stored', 'true', 'Segments') > 0
$$;
RESET ROLE;
SELECT regress_trap.store();
SELECT owner FROM smsflow.segment WHERE name = 'stored';

-- Dropping.
SELECT smsflow.create_campaign('uses mine', 'mine', 'Hello', brand => 'Segments') > 0 AS created;
SELECT smsflow.drop_segment('mine', 'Segments');
SELECT smsflow.drop_segment('stored', 'Segments');
SELECT smsflow.drop_segment('stored', 'Segments');

-- An owner who is gone.
SET client_min_messages = warning;
DROP OWNED BY regress_smsflow_marketer CASCADE;
DROP ROLE regress_smsflow_marketer;
RESET client_min_messages;
SELECT members('mine');
-- Another role takes over what it had written: a campaign keeps its segment.
UPDATE smsflow.segment SET owner = current_user::regrole WHERE name = 'mine';
SELECT members('mine');
DROP FUNCTION members(text), try(text);
DROP TABLE regress_orders;
