--
-- Segments made of others, snapshots, those ready to use, and what conditions may ask
--
\set VERBOSITY sqlstate
SET TimeZone = 'UTC';
SELECT smsflow.create_brand('Sets') AS brand \gset
SELECT count(smsflow.subscribe('+1415555' || (4000 + g), '{promotional}', external_id => 'p' || g, brand => 'Sets',
	attributes => jsonb_build_object('language', (ARRAY['en', 'de'])[1 + g % 2]))) FROM generate_series(1, 9) g;
CREATE VIEW person AS SELECT contact_id, external_id FROM smsflow.contact WHERE brand_id = (SELECT brand_id FROM smsflow.brand WHERE name = 'Sets');
INSERT INTO smsflow.event (contact_id, brand_id, kind, ref, amount, occurred_at, data)
	SELECT contact_id, :brand, 'order', 'o' || n || external_id, 100 * n, now() - interval '40 days' * (4 - n), jsonb_build_object('product', 'scarf')
	FROM person, generate_series(1, 3) n WHERE right(external_id, 1)::int >= 4 + n;
INSERT INTO smsflow.event (contact_id, brand_id, kind, ref, occurred_at)
	SELECT contact_id, :brand, 'viewed', 'hat', now() - interval '5 days' FROM person WHERE external_id IN ('p1', 'p9');
INSERT INTO smsflow.event (contact_id, brand_id, kind, ref, amount) SELECT contact_id, :brand, 'cart', 'c' || external_id, 5 FROM person WHERE external_id = 'p2';
CREATE FUNCTION members(segment text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(p.external_id, ' ' ORDER BY p.external_id) FROM smsflow.segment_members(segment, 'Sets') AS m (id) JOIN person AS p ON p.contact_id = m.id
$$;
CREATE FUNCTION make(segment text, predicate text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	code text;
	detail text;
BEGIN
	PERFORM smsflow.create_segment(segment, predicate, 'Sets');
	RETURN members(segment);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL;
	RETURN code || ': ' || detail;
END $$;

-- A name stands for a condition on the same row, and what is unknown is not in it.
SELECT make('buyers', 'orders_count > 0 -- of anything'), make('german', $$language = 'de'$$), make('big', 'average_order_value > 150');
SELECT make('both', $$segment('buyers') AND smsflow.segment ('german')$$), make('not big', $$NOT segment('big')$$),
	make('either', $$in_segment(contact_id, 'big') OR smsflow.in_segment(profile.contact_id, 'german')$$),
	make('nested', $$segment('both') AND NOT segment('big') OR external_id = 'segment(''no'')'$$);
SELECT name, uses FROM smsflow.segment WHERE brand_id = :brand AND uses <> '{}' ORDER BY 1;
SELECT make('x', $$segment('nothing')$$), make('x', 'segment(language)'), make('x', $$segment('buyers'$$);
SELECT make('quo''te', 'true') IS NOT NULL AS made, make('q', $$segment('quo''te') AND orders_count = 3$$);
SELECT smsflow.drop_segment('buyers', 'Sets');
-- The planner sees one condition on one table, and no call for each row.
SELECT count(*) FILTER (WHERE line ~ 'in_segment|segment_members') AS calls, bool_or(line ~ 'orders_count') AS condition
	FROM smsflow.explain_segment('nested', 'Sets') AS line;
SELECT cost > 0 AS cost, expected >= 0 AS expected FROM smsflow.segment WHERE name = 'nested' AND brand_id = :brand;
DO $$
BEGIN
	FOR i IN 1..18 LOOP
		PERFORM smsflow.create_segment('deep ' || i, CASE i WHEN 1 THEN 'true' ELSE format('segment(%L)', 'deep ' || i - 1) END, 'Sets');
	END LOOP;
EXCEPTION WHEN SQLSTATE 'SF007' THEN
	RAISE NOTICE USING ERRCODE = 'SF007', MESSAGE = SQLERRM;
END $$;

-- What a condition does to a contact is found out when it is stored.
SELECT split_part(make('cast', $$external_id::integer > 1$$), '"', 1) AS "cast", make('division', '1 / (orders_count - 3) > 0'),
	make('endless', '(WITH RECURSIVE n (i) AS (SELECT orders_count UNION ALL SELECT i FROM n) SELECT count(*) FROM n) > 0');

-- Another role's segment is read with that role's rights.
CREATE ROLE regress_smsflow_a;
CREATE ROLE regress_smsflow_b;
SELECT smsflow.grant_access('regress_smsflow_a', 'marketer'), smsflow.grant_access('regress_smsflow_b', 'marketer');
CREATE TABLE secret (external_id text);
INSERT INTO secret VALUES ('p3'), ('p8');
GRANT SELECT ON secret TO regress_smsflow_a;
SET ROLE regress_smsflow_a;
SELECT smsflow.create_segment('of a', $$EXISTS (SELECT FROM public.secret s WHERE s.external_id = profile.external_id)$$, 'Sets') > 0 AS made;
SET ROLE regress_smsflow_b;
SELECT smsflow.create_segment('of b', $$segment('of a') AND segment('buyers')$$, 'Sets') > 0 AS made;
SELECT smsflow.create_segment('spy', $$EXISTS (SELECT FROM public.secret)$$, 'Sets');
SELECT smsflow.segment_count('of b', 'Sets');
RESET ROLE;

-- bought() and its like become part of the query.
SELECT make('scarf', $$smsflow.bought(contact_id, 'scarf')$$), make('late scarf', $$smsflow.bought(contact_id, 'scarf', '50 days')$$),
	make('hat', $$smsflow.viewed(contact_id, 'hat') AND NOT smsflow.viewed(contact_id, 'hat', '1 day')$$),
	make('lively', $$smsflow.engaged(contact_id, '6 days')$$), make('rfm', $$smsflow.rfm(contact_id) = rfm AND rfm LIKE '_3_'$$);
DO $$ BEGIN WHILE (smsflow.fold_profiles()).folded > 0 LOOP END LOOP; END $$;
SELECT members('scarf'), members('late scarf'), members('hat'), members('lively'), members('rfm');
SELECT count(*) FILTER (WHERE line ~ 'contact_product_fact') > 0 AS table_read, count(*) FILTER (WHERE line ~ 'bought\(') AS calls
	FROM smsflow.explain_segment('scarf', 'Sets') AS line;
SELECT count(*) FROM smsflow.profile p WHERE smsflow.bought(p.contact_id, 'scarf') AND brand_id = :brand;
SELECT external_id, smsflow.bought(contact_id, 'scarf') AS scarf, smsflow.rfm(contact_id) FROM person ORDER BY 1;
-- So do what happened elsewhere, and what somebody asked to hear of.
SELECT smsflow.record_event('+14155554001', 'email_opened', 'letter', brand => 'Sets') > 0 AS opened,
	smsflow.record_event('+14155554002', 'email_opened', 'letter', at => now() - interval '9 days', brand => 'Sets') > 0 AS opened_before,
	smsflow.notify_me('+14155554003', 'cap', 'launch', brand => 'Sets') > 0 AS asked;
SELECT make('opened', $$smsflow.had_event(contact_id, 'email_opened')$$), make('opened lately', $$smsflow.had_event(contact_id, 'email_opened', '3 days')$$),
	make('for sms', $$segment('buyers') AND NOT smsflow.had_event(contact_id, 'email_opened')$$), make('cap', $$smsflow.interested(contact_id, 'cap')$$);
SELECT s.name, count(*) FILTER (WHERE line ~ 'had_event|interested') AS calls FROM smsflow.segment AS s CROSS JOIN LATERAL smsflow.explain_segment(s.name, 'Sets') AS line
	WHERE s.brand_id = :brand AND s.name IN ('opened lately', 'cap') GROUP BY 1 ORDER BY 1;
SET ROLE regress_smsflow_b;
SELECT smsflow.create_segment('opened of b', $$smsflow.had_event(contact_id, 'email_opened') OR smsflow.interested(contact_id, 'cap')$$, 'Sets') > 0 AS made,
	smsflow.segment_count('opened of b', 'Sets');
RESET ROLE;
SET ROLE regress_smsflow_b;
SELECT smsflow.create_segment('scarf of b', $$smsflow.bought(contact_id, 'scarf')$$, 'Sets') > 0 AS made;
SELECT smsflow.segment_count('scarf of b', 'Sets');
RESET ROLE;

-- A snapshot stays; who is erased leaves it.
SELECT smsflow.snapshot_segment('then', 'buyers', 'Sets');
UPDATE smsflow.contact SET language = 'fr' WHERE external_id = 'p5' AND brand_id = :brand;
INSERT INTO smsflow.event (contact_id, brand_id, kind, ref, amount) SELECT contact_id, :brand, 'order', 'new', 5 FROM person WHERE external_id = 'p1';
SELECT members('buyers'), members('then'), make('since', $$segment('buyers') AND NOT segment('then')$$);
SELECT smsflow.erase_contact('+14155554009', 'Sets');
SELECT members('then');
SELECT smsflow.fill_snapshot((SELECT segment_id FROM smsflow.segment WHERE name = 'german' AND brand_id = :brand), 'buyers', 'Sets');
SELECT smsflow.snapshot_segment('none', 'nothing', 'Sets');

-- Ready to use.
SELECT smsflow.install_segments('Sets') > 8 AS installed, smsflow.install_segments('Sets') AS again;
SELECT s.name, members(s.name) FROM smsflow.segment AS s JOIN smsflow.segment_recipe AS r ON r.recipe = s.name WHERE s.brand_id = :brand ORDER BY 1;
SELECT smsflow.install_segment('bought_not', '{"product": "scarf", "other": "it''s"}', 'scarf only', 'Sets') > 0 AS made, members('scarf only');
SELECT smsflow.install_segment('by_region', '{"region": "US"}', brand => 'Sets') > 0 AS made, smsflow.segment_count('by_region', 'Sets');
SELECT smsflow.install_segment('product_interest', '{"product": "hat"}', brand => 'Sets') > 0 AS made, members('product_interest');
SELECT smsflow.install_segment('by_region', brand => 'Sets');
SELECT smsflow.install_segment('vip', '{"colour": "red"}', 'red', 'Sets');
SELECT smsflow.install_segment('vap');

-- For ad platforms: who has not ended it.
SELECT smsflow.opt_out('+14155554008', brand => 'Sets');
SELECT count(*), bool_or(phone_sha256 = encode(sha256('+14155554007'), 'hex')) AS with_plus, bool_or(digits_sha256 = encode(sha256('14155554007'), 'hex')) AS digits
	FROM smsflow.export_audience('buyers', 'Sets');

-- A listing that is not read to its end.
SELECT smsflow.segment_members('not big', 'Sets') > 0 AS some LIMIT 2;
SELECT count(*) FROM pg_cursors;

SET client_min_messages = warning;
DROP OWNED BY regress_smsflow_a, regress_smsflow_b CASCADE;
DROP ROLE regress_smsflow_a;
DROP ROLE regress_smsflow_b;
DROP FUNCTION make(text, text), members(text);
DROP VIEW person;
DROP TABLE secret;
