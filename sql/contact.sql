--
-- Contacts: subscribing, confirming, opting out, and the ledger that proves it
--
\set VERBOSITY sqlstate
-- Neither the hour of the day nor the rules for carts in the United States are of interest here.
SELECT smsflow.suspend_rule('window'), smsflow.suspend_rule('consent_level', 'US'), smsflow.suspend_rule('cart_once', 'US');
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
CREATE VIEW ledger AS
	SELECT c.phone::text AS phone, e.kind, e.purposes, e.level, e.source, e.disclosure, e.words, e.evidence, e.recorded_by = session_user AS by_me
	FROM smsflow.consent_event e JOIN smsflow.contact c USING (contact_id)
	WHERE c.phone::text LIKE '+1212555017_' ORDER BY e.consent_event_id;
CREATE VIEW problems AS
	SELECT p.* FROM smsflow.verify_consent_ledger() p JOIN smsflow.contact c USING (contact_id) WHERE c.phone::text LIKE '+1212555017_' ORDER BY 1, 2, 3;

-- A sign-up with all it can bring.
SELECT smsflow.subscribe('+1 212 555 0171', '{promotional,cart}', 'checkout', 'Yes, text me offers and cart reminders.', 'written',
	'{"ip": "192.0.2.7"}', 'c-17',
	'{"first_name": "Ada", "last_name": "Byron", "language": "en", "region": "US", "time_zone": "America/New_York", "vip": true}',
	'2026-01-05 10:00:00Z') AS ada \gset
SELECT phone, external_id, first_name, last_name, language, region, time_zone, time_zone_source, attributes, consent
	FROM smsflow.contact WHERE contact_id = :ada;
SELECT * FROM ledger;

-- A second sign-up of the same number is the same contact; what it does not say stays.
SELECT smsflow.subscribe('+12125550171', attributes => '{"last_name": "Lovelace", "size": "M", "first_name": null, "region": "us-fl"}') = :ada AS same_contact;
-- A region is written as the rules write it, or those of Florida would not hold.
SELECT external_id, first_name, last_name, region, attributes FROM smsflow.contact WHERE contact_id = :ada;
BEGIN;
SELECT smsflow.subscribe('+12125550171', attributes => '{"region": " "}') = :ada AS said_nothing;
SELECT region FROM smsflow.contact WHERE contact_id = :ada;
-- Whatever somebody types for their state: the sign-up goes on, and what is known stays.
SELECT smsflow.subscribe('+12125550171', attributes => '{"region": "Florida"}') = :ada AS signed_up;
SELECT region FROM smsflow.contact WHERE contact_id = :ada;
ROLLBACK;
SELECT region, smsflow.known_region(region) FROM unnest(E'{fr,"\t us-dc\r",US-AE,US-PR,AQ,CA-ON,DE-BY,UK,USA,Florida,US-XX,US-,US-*,001,*," "}'::text[]) AS region;

-- The level of the earlier sign-up holds on, and a STOP ends it.
SELECT allowed, reason, retry_at FROM smsflow.can_send('+12125550171', 'promotional');
SELECT smsflow.opt_out('+12125550171', '{promotional}', 'web', 'no more offers') AS ended;
SELECT allowed, reason FROM smsflow.can_send('+12125550171', 'promotional');
SELECT allowed, reason FROM smsflow.can_send('+12125550171', 'cart');
SELECT smsflow.opt_out('+12125550171', '{promotional}') AS ended_again;

-- By default all marketing ends; a bare literal and a varchar are not taken for a cast to the type of the same name.
SELECT smsflow.opt_out('+12125550171') AS ended;
SELECT smsflow.opt_out('+12125550171'::varchar) AS ended_again;
SELECT smsflow.opt_out('+12125550171'::text) AS ended_again;
SELECT smsflow.opt_out(phone => '+12125550171') AS ended_again;
-- A number that is missing is an error however it is written: nobody takes silence for an opt-out.
SELECT smsflow.opt_out(NULL);
SELECT smsflow.wait_for_opt_out(NULL);
SELECT smsflow.consent_level(consent, 'promotional') AS promotional, smsflow.consent_level(consent, 'cart') AS cart
	FROM smsflow.contact WHERE contact_id = :ada;

-- Signing up again after a STOP counts, also within one transaction.
BEGIN;
SELECT smsflow.subscribe('+12125550171', '{cart}') = :ada AS same_contact;
SELECT allowed FROM smsflow.can_send('+12125550171', 'cart');
SELECT smsflow.opt_out('+12125550171') AS ended;
SELECT allowed FROM smsflow.can_send('+12125550171', 'cart');
SELECT smsflow.subscribe('+12125550171', '{cart}') = :ada AS same_contact;
SELECT allowed FROM smsflow.can_send('+12125550171', 'cart');
COMMIT;
SELECT allowed FROM smsflow.can_send('+12125550171', 'cart');

-- A sign-up recorded late, but older than the STOP, does not undo it.
SELECT smsflow.subscribe('+12125550171', '{promotional}', 'import', occurred_at => '2026-02-01Z') = :ada AS same_contact;
SELECT allowed, reason FROM smsflow.can_send('+12125550171', 'promotional');

-- A clock a little ahead cannot make a sign-up that outlives a STOP.
SELECT smsflow.subscribe('+12125550172', occurred_at => now() + interval '4 minutes') AS bob \gset
SELECT smsflow.opt_out('+12125550172') AS ended;
SELECT allowed, reason FROM smsflow.can_send('+12125550172', 'promotional');

-- A STOP from an unknown number makes a contact, so that an older list cannot bring it back.
SELECT smsflow.opt_out('+12125550173', source => 'support', reason => 'called us') AS ended_nothing;
SELECT smsflow.subscribe('+12125550173', source => 'old list', occurred_at => '2025-01-01Z') > 0 AS subscribed;
SELECT allowed, reason FROM smsflow.can_send('+12125550173', 'promotional');

-- Channels, for replies, carriers and erasure.
SELECT smsflow.stop_purposes();
SELECT smsflow.subscribe('+12125550174', '{transactional,promotional}') > 0 AS subscribed;
SELECT smsflow.record_opt_out('+12125550174', smsflow.stop_purposes(), 'keyword', 'STOP', '{"inbound_id": 1}') AS ended;
SELECT allowed, reason FROM smsflow.can_send('+12125550174', 'transactional');
-- An opt-out older than the sign-up ends nothing.
SELECT smsflow.subscribe('+12125550174') > 0 AS subscribed;
SELECT smsflow.record_opt_out('+12125550174', '{promotional}', 'keyword', 'STOP', occurred_at => '2026-01-01Z') AS ended;
SELECT allowed FROM smsflow.can_send('+12125550174', 'promotional');
SELECT smsflow.record_opt_out('+12125550174', '{promotional}', 'pigeon');

-- Double opt-in raises what was agreed to, and nothing else.
SELECT smsflow.subscribe('+12125550175', '{promotional}') > 0 AS subscribed, smsflow.subscribe('+12125550175', '{cart}', level => 'implied') > 0 AS told;
SELECT smsflow.confirm_opt_in('+12125550175') AS confirmed;
SELECT smsflow.consent_level(consent, 'promotional') AS promotional, smsflow.consent_level(consent, 'cart') AS cart
	FROM smsflow.contact WHERE phone::text = '+12125550175';
SELECT allowed, reason FROM smsflow.can_send('+12125550175', 'cart');
SELECT smsflow.confirm_opt_in('+12125550173') AS revoked_number, smsflow.confirm_opt_in('+12125550179') AS unknown_number;

-- Consent at any instant.
SELECT smsflow.subscribe('+12125550176', '{promotional}', occurred_at => '2026-01-05 10:00Z') > 0 AS subscribed;
SELECT smsflow.record_opt_out('+12125550176', '{promotional}', 'web', occurred_at => '2026-02-01 08:00Z') AS ended;
SELECT at, smsflow.consent_at('+12125550176', at), allowed, reason
	FROM unnest('{2026-01-05 09:59:59.999999Z,2026-01-05 10:00Z,2026-02-01 07:59Z,2026-02-01 08:00Z}'::timestamptz[]) AS at,
	LATERAL smsflow.can_send('+12125550176', 'promotional', at) ORDER BY at;
SELECT smsflow.consent_at('+12125550179');
SELECT allowed, reason FROM smsflow.can_send('+12125550179', 'promotional');
SELECT allowed, reason FROM smsflow.can_send('+12125550179', 'otp');

-- Brands know nothing of each other.
SELECT smsflow.create_brand('Second') > 0 AS created;
SELECT smsflow.create_brand('Second');
SELECT smsflow.create_brand(' ');
SELECT smsflow.subscribe('+12125550171', brand => 'Second') <> :ada AS another_contact;
SELECT allowed FROM smsflow.can_send('+12125550171', 'promotional', brand => 'Second');
SELECT allowed FROM smsflow.can_send('+12125550171', 'promotional');
SELECT smsflow.opt_out('+12125550171', brand => 'Second') AS ended;

-- National numbers need a region.
SELECT smsflow.subscribe('(212) 555-0177');
SET smsflow.default_region = 'US';
SELECT smsflow.subscribe('(212) 555-0177') AS carol \gset
SELECT phone FROM smsflow.contact WHERE contact_id = :carol;
RESET smsflow.default_region;

-- What is refused.
SELECT smsflow.subscribe('+1');
SELECT smsflow.subscribe(NULL);
SELECT smsflow.subscribe('+12125550178', '{}');
SELECT smsflow.subscribe('+12125550178', NULL);
SELECT smsflow.subscribe('+12125550178', '{offers}');
SELECT smsflow.subscribe('+12125550178', '{promotional,NULL}');
SELECT smsflow.subscribe('+12125550178', source => ' ');
SELECT smsflow.subscribe('+12125550178', level => 'none');
SELECT smsflow.subscribe('+12125550178', level => 'maybe');
SELECT smsflow.subscribe('+12125550178', evidence => '[]');
SELECT smsflow.subscribe('+12125550178', attributes => '"x"');
SELECT smsflow.subscribe('+12125550178', attributes => '{"time_zone": "Mars/Olympus"}');
-- PostgreSQL counts the hours of an offset to the west, as POSIX does: who writes +05:30 means India, and would be written to at night.
SELECT smsflow.subscribe('+919812345678', attributes => '{"time_zone": "+05:30"}');
SELECT smsflow.subscribe('+12125550178', attributes => '{"time_zone": "UTC-8"}');
SELECT name, smsflow.is_time_zone(name) FROM unnest('{America/Port-au-Prince,UTC,EST5EDT,Etc/GMT+8,UTC-8,UTC8,-08,+05:30,<+03>-3,PST,"",Mars/Olympus}'::text[]) AS name;
SELECT smsflow.subscribe('+12125550178', occurred_at => now() + interval '6 minutes');
SELECT smsflow.subscribe('+12125550178', occurred_at => 'infinity');
SELECT smsflow.subscribe('+12125550178', brand => 'nobody');
SELECT smsflow.opt_out('+12125550178', '{}');
SELECT smsflow.opt_out('+12125550178', '{offers}');
SELECT smsflow.opt_out('+12125550178', source => NULL);
SELECT smsflow.can_send('+12125550178', 'offers');
SELECT count(*) AS refused_numbers_known FROM smsflow.contact WHERE phone::text = '+12125550178';

-- An error says what to do.
\set VERBOSITY default
SELECT smsflow.subscribe('+12125550178', '{offers}');
\set VERBOSITY sqlstate

-- The ledger cannot be changed, and shows it when somebody did it nevertheless.
SELECT * FROM ledger;
SELECT * FROM problems;
UPDATE smsflow.consent_event SET source = 'x';
DELETE FROM smsflow.consent_event;
TRUNCATE smsflow.consent_event;
BEGIN;
ALTER TABLE smsflow.consent_event DISABLE TRIGGER append_only;
UPDATE smsflow.consent_event SET disclosure = 'Anything.' WHERE contact_id = :ada AND disclosure IS NOT NULL;
SELECT contact_id = :ada AS ada, problem FROM problems;
ROLLBACK;
BEGIN;
ALTER TABLE smsflow.consent_event DISABLE TRIGGER append_only;
DELETE FROM smsflow.consent_event WHERE consent_event_id = (SELECT min(consent_event_id) FROM smsflow.consent_event WHERE contact_id = :ada);
SELECT contact_id = :ada AS ada, problem FROM problems;
ROLLBACK;
BEGIN;
ALTER TABLE smsflow.consent_event DISABLE TRIGGER append_only;
DELETE FROM smsflow.consent_event WHERE consent_event_id = (SELECT max(consent_event_id) FROM smsflow.consent_event WHERE contact_id = :bob);
SELECT contact_id = :bob AS bob, problem FROM problems;
ROLLBACK;
BEGIN;
UPDATE smsflow.contact SET consent = 'none' WHERE contact_id = :ada;
SELECT contact_id = :ada AS ada, problem FROM problems;
ROLLBACK;
-- No setting of the session changes what a hash says.
SET TimeZone = 'Asia/Kolkata';
SET DateStyle = 'German';
SET extra_float_digits = 0;
SELECT count(*) AS problems FROM problems;

-- Nobody calls these without a grant.
CREATE ROLE regress_smsflow_nobody;
SET ROLE regress_smsflow_nobody;
SELECT smsflow.subscribe('+12125550171');
RESET ROLE;
GRANT USAGE ON SCHEMA smsflow TO regress_smsflow_nobody;
GRANT EXECUTE ON FUNCTION smsflow.subscribe TO regress_smsflow_nobody;
SET ROLE regress_smsflow_nobody;
SELECT smsflow.subscribe('+12125550171') = :ada AS same_contact;
SELECT smsflow.opt_out('+12125550171'::text);
RESET ROLE;
DROP OWNED BY regress_smsflow_nobody;
DROP ROLE regress_smsflow_nobody;
DROP VIEW ledger, problems;

SELECT smsflow.resume_rule('window') AND smsflow.resume_rule('consent_level', 'US') AND smsflow.resume_rule('cart_once', 'US') AS resumed;
