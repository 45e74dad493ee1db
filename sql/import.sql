-- Importing a list of contacts, and taking it back.
\set VERBOSITY sqlstate
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SELECT current_database() AS home \gset
CREATE DATABASE regress_smsflow_import;
\c regress_smsflow_import
CREATE EXTENSION smsflow;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
CREATE VIEW people AS SELECT c.phone::text, external_id, first_name, last_name, language, region, time_zone, attributes,
	smsflow.consent_level(consent, 'promotional') AS promotional, smsflow.consent_level(consent, 'cart') AS cart FROM smsflow.contact c ORDER BY phone;
CREATE VIEW ledger AS SELECT c.phone::text, e.kind, e.purposes, e.level, regexp_replace(e.source, '[0-9]+', 'N') AS source, e.occurred_at < now() - interval '1 day' AS old
	FROM smsflow.consent_event e JOIN smsflow.contact c USING (contact_id) ORDER BY c.phone, consent_event_id;
-- What is there already: a person who said no, one who came back, one who signed up by herself, one who was erased.
SELECT smsflow.subscribe('+12025550101'), smsflow.opt_out('+12025550101'::text) \gset said_no_
SELECT smsflow.subscribe('+12025550102'), smsflow.opt_out('+12025550102'::text), smsflow.subscribe('+12025550102') \gset back_
SELECT smsflow.subscribe('+12025550103', '{promotional}', 'web', level => 'implied', external_id => 'c3', attributes => '{"first_name": "Cora", "size": "M"}') \gset
SELECT smsflow.subscribe('+12025550104'), smsflow.erase_contact('+12025550104') \gset erased_
CREATE SCHEMA shop;
CREATE TABLE shop."Old list" (mobile text, id integer, given text, family text, lang text, country text, zone text, wants text, how text, since timestamptz, gone text, size text, "from" text);
INSERT INTO shop."Old list" VALUES
	('+1 202 555 0101', 1, 'Ann', 'A', 'en', NULL, NULL, 'promotional', 'written', '2026-01-01Z', NULL, 'S', 'till'),
	('+1 202 555 0102', 2, 'Bob', 'B', 'en', NULL, NULL, 'promotional', 'written', '2026-01-01Z', NULL, NULL, 'till'),
	('+1 202 555 0103', 3, NULL, 'C', 'en', NULL, NULL, '{promotional,cart}', 'written', '2026-01-01Z', NULL, 'L', 'till'),
	('+1 202 555 0104', 4, 'Dan', 'D', 'en', NULL, NULL, 'promotional', 'written', '2026-01-01Z', NULL, NULL, 'till'),
	('(202) 555-0105', 5, 'Eve', 'E', 'en', 'US', 'America/New_York', 'promotional, cart', 'confirmed', '2026-01-01Z', 'f', NULL, 'till'),
	('030 12345678', 6, 'Fay', 'F', 'de', 'DE', NULL, 'promotional', NULL, NULL, '', NULL, NULL),
	('+12025550105', 7, 'Eve again', 'E', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	('+12025550106', 8, 'Gus', 'G', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	('+12025550107', 9, 'Ivo', 'I', NULL, NULL, NULL, 'promotional', NULL, '2026-01-01Z', '2026-02-01', NULL, NULL),
	('12', 10, NULL, NULL, NULL, NULL, NULL, 'promotional', NULL, NULL, NULL, NULL, NULL),
	(NULL, 11, NULL, NULL, NULL, NULL, NULL, 'promotional', NULL, NULL, NULL, NULL, NULL),
	('+12025550111', 12, NULL, NULL, NULL, NULL, NULL, 'offers', NULL, NULL, NULL, NULL, NULL),
	('+12025550112', 13, NULL, NULL, NULL, NULL, NULL, 'promotional', 'maybe', NULL, NULL, NULL, NULL),
	('+12025550113', 14, NULL, NULL, NULL, NULL, NULL, 'promotional', NULL, '2100-01-01Z', NULL, NULL, NULL),
	('+12025550114', 15, NULL, NULL, NULL, NULL, NULL, 'promotional', NULL, 'infinity', NULL, NULL, NULL),
	('+12025550115', 16, NULL, NULL, NULL, NULL, 'Mars/Olympus', 'promotional', NULL, NULL, NULL, NULL, NULL);
\set mapping '{"phone": "mobile", "external_id": "id", "first_name": "given", "last_name": "family", "language": "lang", "region": "country", "time_zone": "zone", "purposes": "wants", "level": "how", "occurred_at": "since", "opted_out": "gone", "source": "from", "attributes": {"size": "size"}}'

-- A dry run is the default, says what would happen, and changes nothing.
SELECT count(*) AS contacts FROM smsflow.contact;
SELECT jsonb_pretty(smsflow.import_contacts('shop."Old list"', :'mapping')) AS report;
SELECT count(*) AS contacts FROM smsflow.contact;
SELECT count(*) AS imports FROM smsflow.import;
-- The run itself says the same.
SELECT smsflow.import_contacts('shop."Old list"', :'mapping', false) AS report \gset
SELECT (:'report'::jsonb ->> 'import_id')::integer AS import_id \gset
SELECT :'report'::jsonb - '{import_id,samples,dry_run}'::text[] AS report;
SELECT * FROM people;
SELECT * FROM ledger;
SELECT e.evidence FROM smsflow.consent_event e WHERE source LIKE 'import:%' ORDER BY consent_event_id;
SELECT allowed, reason FROM smsflow.can_send('+12025550101', 'promotional');
SELECT smsflow.send('+12025550106', 'Sale', 'promotional') > 0 AS asked;
SELECT count(*) AS staged FROM smsflow.import_row;
-- Once more, and nothing is new.
SELECT smsflow.import_contacts('shop."Old list"', :'mapping', false) - '{import_id,samples,dry_run}'::text[] AS report;
SELECT * FROM smsflow.verify_consent_ledger();
SELECT contact_id FROM smsflow.contact WHERE ledger_head IS NOT NULL AND proof <> smsflow.proof_of(contact_id);
SELECT invariant, violations FROM smsflow.check() WHERE violations > 0;

-- Undone: what it granted is gone, what people said themselves is not, nor is who has another history.
SELECT smsflow.undo_import(:import_id) - 'import_id' AS undone;
SELECT phone, promotional, cart FROM people;
SELECT * FROM ledger WHERE source = 'undo:N';
SELECT smsflow.undo_import(:import_id);
SELECT smsflow.undo_import(0);
SELECT * FROM smsflow.verify_consent_ledger();
SELECT contact_id FROM smsflow.contact WHERE ledger_head IS NOT NULL AND proof <> smsflow.proof_of(contact_id);
SELECT invariant, violations FROM smsflow.check() WHERE violations > 0;
-- An undone import was nobody's opt-out: the corrected list can be imported.
SELECT smsflow.import_contacts('shop."Old list"', :'mapping', false) - '{import_id,samples,dry_run}'::text[] AS report;
SELECT phone, promotional, cart FROM people;
SELECT * FROM smsflow.verify_consent_ledger();

-- Values for all rows, and a list that says nothing of consent.
CREATE VIEW shop.few AS SELECT '2025550' || n AS tel FROM generate_series(120, 122) n;
SELECT smsflow.import_contacts('shop.few', '{"phone": "tel"}', false, '{"region": "USA"}');
SELECT smsflow.import_contacts('shop.few', '{"phone": "tel"}', false, '{"region": "US", "purposes": ["promotional"], "level": "implied", "source": "trade fair"}') - '{import_id,samples,dry_run}'::text[] AS report;
SELECT phone, promotional FROM people WHERE phone LIKE '+1202555012_';
CREATE VIEW shop.states AS SELECT '+1202555012' || n AS tel, 'us-fl' AS state FROM generate_series(2, 3) n;
SELECT smsflow.import_contacts('shop.states', '{"phone": "tel", "region": "state"}', false) - '{import_id,samples,dry_run}'::text[] AS report;
SELECT phone, region FROM people WHERE phone IN (SELECT tel FROM shop.states);
SELECT smsflow.import_contacts('shop.few', '{"phone": "tel"}', options => '{"samples": 1}') ->> 'refused' AS without_a_region;
SELECT smsflow.create_brand('Other') > 0 AS ok;
SELECT smsflow.import_contacts('shop.few', '{"phone": "tel"}', false, '{"region": "US", "brand": "Other"}') - '{import_id,samples,dry_run}'::text[] AS report;
-- A "no" with a space or the end of a line behind it is no opt-out, and a state is one in any case.
CREATE TABLE shop.spaced (tel text, gone text, state text);
INSERT INTO shop.spaced VALUES ('+12025550191', ' no ', 'us-fl'), ('+12025550192', E'FALSE\r', ' US-fl '), ('+12025550193', E'yes\r', NULL),
	('+12025550194', 'no ', 'Florida'), ('+12025550195', E'no\r', E'US-XX\r'), ('+12025550196', E'NO\r\n', ' ');
SELECT smsflow.import_contacts('shop.spaced', '{"phone": "tel", "opted_out": "gone", "region": "state"}', false, '{"purposes": "promotional", "level": "express"}') - '{import_id,samples,dry_run}'::text[] AS report;
SELECT phone, region, promotional FROM people WHERE phone LIKE '+1202555019_';
-- A region that there is none of takes none away that is known.
UPDATE shop.spaced SET state = 'Bavaria' WHERE tel = '+12025550191';
SELECT smsflow.import_contacts('shop.spaced', '{"phone": "tel", "region": "state"}', false) - '{import_id,samples,dry_run}'::text[] AS report;
SELECT phone, region FROM people WHERE phone = '+12025550191';
-- Undone: who waits for a product stays, without what the list granted, and the wish with them.
CREATE VIEW shop.wishers AS SELECT '+1202555018' || n AS tel FROM generate_series(1, 2) n;
SELECT smsflow.import_contacts('shop.wishers', '{"phone": "tel"}', false, '{"purposes": "promotional"}') ->> 'import_id' AS import_id \gset
SELECT smsflow.notify_me('+12025550181', 'sku-1') > 0 AS wished;
SELECT smsflow.undo_import(:import_id) - 'import_id' AS undone;
SELECT phone, promotional, (SELECT count(*) FROM smsflow.contact_interest i JOIN smsflow.contact c USING (contact_id) WHERE c.phone::text = p.phone) AS wishes
FROM people AS p WHERE phone LIKE '+1202555018_';
SELECT count(*) AS of_the_other FROM smsflow.contact WHERE brand_id <> 1 AND consent OPERATOR(smsflow.=) 'none';
CREATE TABLE shop.many AS SELECT '+1312555' || lpad(n::text, 4, '0') AS tel FROM generate_series(0, 9999) n;
SELECT smsflow.import_contacts('shop.many', '{"phone": "tel"}', false, '{"purposes": "promotional"}') - '{samples,dry_run}'::text[] AS report \gset
SELECT :'report'::jsonb - 'import_id' AS report;
SELECT count(*) AS problems FROM smsflow.verify_consent_ledger();
SELECT smsflow.undo_import((:'report'::jsonb ->> 'import_id')::integer) - 'import_id' AS undone;
SELECT count(*) AS problems FROM smsflow.verify_consent_ledger();

-- What is refused.
SELECT smsflow.import_contacts('shop.few', '{}');
SELECT smsflow.import_contacts('shop.few', '[]');
SELECT smsflow.import_contacts('shop.few', '{"phone": "mobile"}');
SELECT smsflow.import_contacts('shop.few', '{"phone": "tel", "name": "tel"}');
SELECT smsflow.import_contacts('shop.few', '{"phone": "tel", "level": ["tel"]}');
SELECT smsflow.import_contacts('shop.few', '{"phone": "tel", "attributes": "tel"}');
SELECT smsflow.import_contacts('shop.few', '{"phone": "tel", "attributes": {"a": "b"}}');
SELECT smsflow.import_contacts(NULL, '{"phone": "tel"}');
SELECT smsflow.import_contacts('shop.few', '{"phone": "tel"}', options => '{"purposes": "offers"}');
SELECT smsflow.import_contacts('shop.few', '{"phone": "tel"}', options => '{"level": "maybe"}');
SELECT smsflow.import_contacts('shop.few', '{"phone": "tel"}', options => '{"tea": true}');
SELECT smsflow.import_contacts('shop.few', '{"phone": "tel"}', options => '{"samples": "many"}');
SELECT smsflow.import_contacts('shop.few', '{"phone": "tel"}', options => '{"brand": "nobody"}');
SELECT smsflow.finish_import(:import_id);
\set VERBOSITY terse
SELECT smsflow.import_contacts('shop.few', '{"phone": "mobile"}');
\set VERBOSITY sqlstate

-- The list is read with the caller's rights and nobody else's.
CREATE ROLE regress_smsflow_importer;
SELECT smsflow.grant_access('regress_smsflow_importer', 'operator');
GRANT USAGE, CREATE ON SCHEMA shop TO regress_smsflow_importer;
GRANT CREATE ON SCHEMA public TO regress_smsflow_importer;
SET ROLE regress_smsflow_importer;
SELECT smsflow.import_contacts('shop.few', '{"phone": "tel"}');
CREATE FUNCTION public.who() RETURNS text LANGUAGE sql AS 'SELECT current_user::text';
CREATE VIEW shop.mine AS SELECT '+12025550131'::text AS tel, public.who() AS who;
SELECT smsflow.import_contacts('shop.mine', '{"phone": "tel", "first_name": "who"}', false) - '{import_id,samples,dry_run}'::text[] AS report;
SELECT count(*) FROM smsflow.import_row;
RESET ROLE;
SELECT first_name FROM people WHERE phone = '+12025550131';
DROP OWNED BY regress_smsflow_importer CASCADE;
DROP ROLE regress_smsflow_importer;
\c :home
DROP DATABASE regress_smsflow_import;
