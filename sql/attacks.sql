-- What somebody with an access, with a table that is watched, or with a telephone tries in order to get more: operators, casts
-- and functions that are planted, calls with another's rights, texts that are taken for templates or SQL.
SET client_min_messages = error;
CREATE ROLE regress_attacker;
CREATE ROLE regress_attacked;
RESET client_min_messages;
GRANT CREATE ON DATABASE :DBNAME TO regress_attacker;
SELECT smsflow.create_brand('Attacked') > 0 AS made;
SELECT count(smsflow.subscribe('+1202555036' || n, '{promotional,transactional,cart}', level => 'written', external_id => 'attacked ' || n, brand => 'Attacked',
	attributes => '{"tier": "gold"}')) AS people FROM generate_series(1, 3) n;
SELECT smsflow.grant_access('regress_attacker', 'marketer'), smsflow.grant_access('regress_attacked', 'operator');

-- Each of the planted functions says who runs it.
SET ROLE regress_attacker;
CREATE SCHEMA regress_attack;
GRANT USAGE ON SCHEMA regress_attack TO PUBLIC;
CREATE FUNCTION regress_attack.same(text, text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
	RAISE WARNING 'runs as %', current_user;
	RETURN true;
END $$;
CREATE FUNCTION regress_attack.lower(text) RETURNS text LANGUAGE sql STABLE AS $$SELECT 'planted' WHERE regress_attack.same('', '')$$;
CREATE FUNCTION regress_attack.count(text) RETURNS bigint LANGUAGE sql STABLE AS $$SELECT 7 WHERE regress_attack.same('', '')$$;
CREATE OPERATOR regress_attack.= (LEFTARG = text, RIGHTARG = text, FUNCTION = regress_attack.same);
CREATE FUNCTION regress_attack.member(jsonb, text) RETURNS text LANGUAGE sql STABLE AS $$SELECT 'planted' WHERE regress_attack.same('', '')$$;
CREATE OPERATOR regress_attack.->> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = regress_attack.member);
RESET ROLE;

-- Whoever stores a condition, and with whatever search path: its operators and functions are those of PostgreSQL and smsflow.
SET search_path = regress_attack, pg_temp, pg_catalog;
SELECT smsflow.create_segment('attacked', $$lower(attributes ->> 'tier') = 'gold' AND external_id LIKE 'attacked%'$$, 'Attacked') OPERATOR(pg_catalog.>) 0 AS stored;
SELECT smsflow.segment_count('attacked', 'Attacked');
RESET search_path;
-- One that is named runs as who named it, whoever counts.
SET ROLE regress_attacker;
SELECT smsflow.create_segment('planted', $$external_id = 'attacked 1' AND external_id OPERATOR(regress_attack.=) 'x'$$, 'Attacked') > 0 AS stored;
RESET ROLE;
SELECT smsflow.segment_count('planted', 'Attacked');

-- Nor does a condition call what its owner may not: our functions, the server's files, or somebody else's function.
CREATE FUNCTION attacked_secret() RETURNS text LANGUAGE sql STABLE AS $$SELECT 'secret'$$;
REVOKE ALL ON FUNCTION attacked_secret FROM PUBLIC;
CREATE FUNCTION pg_temp.try(predicate text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	why text;
BEGIN
	SET LOCAL ROLE regress_attacker;
	PERFORM smsflow.create_segment('tried', predicate, 'Attacked');
	RETURN 'stored';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS why = PG_EXCEPTION_DETAIL;
	RETURN SQLSTATE || ': ' || why;
END $$;
SELECT pg_temp.try(predicate) FROM unnest(ARRAY['public.attacked_secret() = ''secret''', 'smsflow.secret_problem(''kannel'') IS NULL', 'smsflow.disarm() IS NULL',
	'pg_read_file(''/etc/passwd'') IS NULL', 'EXISTS (SELECT FROM smsflow.secret WHERE value LIKE ''a%'')', 'EXISTS (SELECT FROM pg_authid WHERE rolpassword LIKE ''a%'')',
	'set_config(''role'', ''postgres'', false) IS NULL', 'smsflow.callback_mac(''/in/x'') LIKE ''a%''', 'query_to_xml(''SELECT 1'', true, true, '''') IS NULL'])
	WITH ORDINALITY AS p (predicate, n) ORDER BY n;
DROP FUNCTION attacked_secret;

-- A type of one's own, whose cast runs wherever a value becomes JSON, in tables that are watched.
SET ROLE regress_attacker;
CREATE TYPE regress_attack.thing AS ENUM ('shoe');
CREATE FUNCTION regress_attack.tell(regress_attack.thing) RETURNS json LANGUAGE sql STABLE AS $$SELECT to_json('planted'::text) WHERE regress_attack.same('', '')$$;
CREATE CAST (regress_attack.thing AS json) WITH FUNCTION regress_attack.tell;
CREATE TABLE regress_attack.carts (id bigint PRIMARY KEY, phone text, thing regress_attack.thing);
CREATE TABLE regress_attack.orders (id bigint PRIMARY KEY, phone text, status text, thing regress_attack.thing);
RESET ROLE;
SELECT count(*) > 0 AS watched FROM smsflow.watch_carts('regress_attack.carts', '{"data": {"thing": "thing"}}', brand => 'Attacked');
SELECT count(*) > 0 AS watched FROM smsflow.watch_orders('regress_attack.orders', '{"data": {"thing": "thing"}}', brand => 'Attacked');
SET ROLE regress_attacker;
INSERT INTO regress_attack.orders VALUES (1, '+12025550361', 'paid', 'shoe');
INSERT INTO regress_attack.carts VALUES (1, '+12025550361', 'shoe');
UPDATE regress_attack.carts SET phone = '+12025550362';
RESET ROLE;
-- The worker, who is a superuser, reads the cart.
SELECT jsonb_array_length(smsflow.read_watched(watch_id, '{1}')) AS carts FROM smsflow.watch WHERE relation = 'regress_attack.carts'::regclass;

-- A list that is imported: read with the rights of who imports it, which are not those of the extension.
SET ROLE regress_attacker;
CREATE VIEW regress_attack.list AS SELECT '+12025550369'::text AS phone, regress_attack.lower('x') AS name;
GRANT SELECT ON regress_attack.list TO regress_attacked;
SET ROLE regress_attacked;
SELECT smsflow.import_contacts('regress_attack.list', '{"phone": "phone", "first_name": "name"}', options => '{"brand": "Attacked"}') ->> 'new' AS new;
RESET ROLE;

-- A name is a name, and nothing in it is SQL.
SELECT $$'"); DROP TABLE smsflow.contact; -- %s %I \'$$ AS evil \gset
SELECT smsflow.create_brand(:'evil') > 0 AS brand, smsflow.create_segment(:'evil', 'false', 'Attacked') > 0 AS segment,
	smsflow.create_segment('of ' || :'evil', format('NOT segment(%L)', :'evil'), 'Attacked') > 0 AS combined, smsflow.set_template(:'evil', 'Hi', brand => 'Attacked') > 0 AS template,
	smsflow.add_gateway('attacked', 'kannel', 'https://kannel.example.com', jsonb_build_object('username', :'evil')) > 0 AS gateway,
	smsflow.add_sender('+12065550299', 'attacked', pool => :'evil') > 0 AS sender;
SELECT smsflow.create_campaign(:'evil', 'of ' || :'evil', 'Sale! Reply STOP to end', options => jsonb_build_object('pool', :'evil'), brand => 'Attacked') > 0 AS campaign,
	smsflow.create_sequence(:'evil', 'cart', brand => 'Attacked') > 0 AS sequence, smsflow.create_coupon_pool(:'evil', brand => 'Attacked') > 0 AS coupons;
SELECT smsflow.add_step(:'evil', '1 hour', 'Hi', brand => 'Attacked') > 0 AS step, smsflow.enable_sequence(:'evil', brand => 'Attacked');
SELECT smsflow.segment_count('of ' || :'evil', 'Attacked') AS members, (SELECT value > 0 FROM smsflow.estimate_campaign(:'evil', 'Attacked') LIMIT 1) AS estimated;
SELECT count(*) AS seen FROM smsflow.preview_campaign(:'evil', 2, 'Attacked');
SELECT count(*) AS explained FROM smsflow.explain(:'evil', '+12025550361');

-- A value is no template, whatever is in it.
SELECT smsflow.render('{{name}}, {{order.id}}', '{"name": "{{card}} {{#if card}}x{{/if}} {{name|link}} }}", "card": "4111", "order": {"id": "{{secret}} {{to}}"}}');

-- What a customer writes, or somebody who has found the URL of callbacks, is no SQL either.
INSERT INTO smsflow.secret (name, value) VALUES ('callback_key', 'regress') ON CONFLICT DO NOTHING;
CREATE FUNCTION pg_temp.heard(gateway text, query text, headers jsonb DEFAULT '{}') RETURNS integer LANGUAGE sql AS $$
	SELECT r.status FROM format('/in/%s', gateway) AS p CROSS JOIN LATERAL smsflow.receive_callback(gateway, 'GET', p || '/' || smsflow.callback_mac(p), query, headers, '') r $$;
SELECT pg_temp.heard('attacked', 'from=12025550361&to=12065550299&id=1&text=' || replace(replace(:'evil', ' ', '+'), '%', '%25'), '{"x-sql": "'' OR true --"}') AS taken,
	pg_temp.heard('attacked', $$from=12025550362'+OR+'1'='1&to=12065550299&id=2'--&text=Hello$$) AS no_number;
SELECT body = :'evil' AS word_for_word, action FROM smsflow.inbound ORDER BY inbound_id DESC LIMIT 1;
SELECT count(*) AS contacts FROM smsflow.contact c JOIN smsflow.brand b USING (brand_id) WHERE b.name = 'Attacked';

SET client_min_messages = error;
SELECT smsflow.unwatch('regress_attack.carts'), smsflow.unwatch('regress_attack.orders');
SELECT smsflow.drop_segment('planted', 'Attacked');
SELECT smsflow.revoke_access('regress_attacker', 'marketer'), smsflow.revoke_access('regress_attacked', 'operator');
DROP OWNED BY regress_attacker, regress_attacked CASCADE;
DROP ROLE regress_attacker;
DROP ROLE regress_attacked;
