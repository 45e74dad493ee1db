-- What a person may ask for: a copy of everything, and to be forgotten.
\set VERBOSITY sqlstate
SET TimeZone = 'UTC';
SELECT current_database() AS home \gset
CREATE DATABASE regress_smsflow_rights;
\c regress_smsflow_rights
CREATE EXTENSION smsflow;
-- At any hour of the day.
SELECT smsflow.suspend_rule('window');
INSERT INTO smsflow.secret (name, value) VALUES ('callback_key', 'regress');
SELECT smsflow.add_gateway('rg', 'generic_json', 'https://sms.example.com') AS gateway_id, smsflow.add_sender('+12025550100', 'rg') AS sender_id \gset
CREATE FUNCTION pg_temp.says(phone text, body text) RETURNS integer LANGUAGE sql AS
	$$SELECT r.status FROM (SELECT '/in/rg' AS p) p, smsflow.receive_callback('rg', 'GET', p || '/' || smsflow.callback_mac(p), 'id=x' || length($2) || '&from=%2B' || $1 || '&text=' || $2, '{}', '') r$$;

-- Ada has left traces everywhere, in a segment of its own, too; Bob is somebody else.
SELECT smsflow.make_segments() > 0 AS made;
SELECT smsflow.subscribe('+12025550171', '{transactional,promotional}', 'web', 'I, Countess, want offers.', 'written', '{"ip": "192.0.2.7"}', 'ada-17',
	'{"first_name": "Augusta", "last_name": "Byron", "garden": "Ockham"}') AS ada, smsflow.subscribe('+12025550172', '{transactional,promotional}') AS bob \gset
SELECT smsflow.create_sequence('thanks', 'order') > 0 AS ok, smsflow.add_step('thanks', '1 hour', 'Thank you {{first_name}}'), smsflow.enable_sequence('thanks');
SELECT smsflow.send('+12025550171', 'Dear Augusta, it is on its way to Ockham', dedup_key => 'order ada-17') AS sent, smsflow.send('+12025550171', 'Sale in Ockham', 'promotional') AS waiting,
	smsflow.send('+12025550171', 'Augusta code 4711', 'otp') AS otp, smsflow.send('+12025550172', 'Hello Bob') AS to_bob \gset
INSERT INTO smsflow.attempt (message_id, started_at, finished_at, generation, sender_id, attempt, http_status, wire, outcome, provider_id)
	VALUES (:sent, now(), now(), 1, :sender_id, 1, 200, 'yes', 'accepted', 'gw-augusta-1');
SELECT status FROM (SELECT format('/callback/rg/%s.1', :sent::bigint) AS p) p, smsflow.receive_callback('rg', 'POST', p || '.' || smsflow.callback_mac(p), '', '{"content-type": "application/json"}',
	'{"status": "delivered", "id": "gw-augusta-1", "to": "+12025550171"}');
SELECT smsflow.apply_callbacks(array_agg(callback_id)) FROM smsflow.callback;
SELECT pg_temp.says('12025550171', 'Augusta+is+glad');
SELECT smsflow.record_event('+12025550171', 'order', 'ada-order-9', '{"gift": "for Augusta"}', 12.50, 'EUR') AS event \gset
INSERT INTO smsflow.event (kind, phone, external_id, data) VALUES ('view', '+1 202 555 0171', 'ada-17', '{"seen": "Ockham"}');
SELECT smsflow.process_events(ARRAY[:event]::bigint[]), smsflow.attribute_orders(ARRAY[:event]::bigint[]);
INSERT INTO smsflow.attribution (kind, message_id, contact_id, at, sent_at, ref, amount, currency) SELECT 'order', message_id, :ada, finished_at, finished_at, 'ada-order-9', 12.50, 'EUR' FROM smsflow.attempt;
SELECT smsflow.notify_me('+12025550171', 'engine', data => '{"for": "Ockham"}') > 0 AS wished, smsflow.notify_me('+12025550172', 'engine') > 0 AS too;
SELECT smsflow.opt_out('+12025550171', '{promotional}', 'support', 'Augusta said so') AS ended;

-- The copy has all of it, and nothing of anybody else.
SELECT smsflow.export_contact('+12025550171') AS copy \gset
SELECT k, CASE jsonb_typeof(:'copy'::jsonb -> k) WHEN 'array' THEN jsonb_array_length(:'copy'::jsonb -> k)::text ELSE jsonb_typeof(:'copy'::jsonb -> k) END FROM jsonb_object_keys(:'copy'::jsonb) k ORDER BY k;
SELECT :'copy'::jsonb #>> '{contact,first_name}' AS name, :'copy'::jsonb #>> '{contact,attributes,garden}' AS garden, :'copy'::jsonb #>> '{consent,transactional,level}' AS level;
SELECT m ->> 'purpose' AS purpose, m ->> 'status' AS status, m ->> 'body' AS body, jsonb_array_length(m -> 'attempts') AS attempts, jsonb_array_length(m -> 'reports') AS reports,
	m ->> 'consent_event_id' IS NOT NULL AS proof FROM jsonb_array_elements(:'copy'::jsonb -> 'messages') m;
SELECT e ->> 'kind' AS kind, e ->> 'disclosure' AS disclosure, e ->> 'words' AS words, e -> 'evidence' AS evidence FROM jsonb_array_elements(:'copy'::jsonb -> 'ledger') e;
SELECT :'copy' ~ 'Bob' AS bob, :'copy' ~ '\m4711\M' AS code;
SELECT smsflow.export_contact('+12025550179') - '{exported_at,brand}'::text[] AS a_stranger;
-- Of many messages none is left out.
BEGIN;
SELECT count(smsflow.send('+12025550171', 'Parcel ' || n, 'transactional')) AS sent FROM generate_series(1, 3000) n;
SELECT jsonb_array_length(smsflow.export_contact('+12025550171') -> 'messages') = (SELECT count(*) FROM smsflow.message WHERE phone = '+12025550171') AS complete;
ROLLBACK;
SELECT smsflow.export_contact('+1');
SELECT smsflow.export_contact('+12025550171', 'nobody');

-- Forgotten: whatever the table, no value of hers is left.
CREATE FUNCTION pg_temp.found(pattern text) RETURNS TABLE (relation text, hits bigint) LANGUAGE plpgsql AS $$
DECLARE
	r regclass;
BEGIN
	FOR r IN SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'smsflow'::regnamespace AND c.relkind = 'r' ORDER BY c.relname LOOP
		RETURN QUERY EXECUTE format('SELECT %L, count(*) FROM %s t WHERE to_jsonb(t)::text ~* $1 HAVING count(*) > 0', regexp_replace(r::text, '_[0-9]+$', '_n'), r) USING pattern;
	END LOOP;
END $$;
SELECT * FROM pg_temp.found('2025550171|202 555 0171|augusta|ockham|byron|ada-|192\.0\.2\.7');
SELECT count(*) AS messages_before, sum(parts) AS parts_before FROM smsflow.outbox \gset
SELECT smsflow.erase_contact('+12025550171');
SELECT * FROM pg_temp.found('2025550171|202 555 0171|augusta|ockham|byron|ada-|192\.0\.2\.7');
SELECT count(*) = :messages_before AS kept, sum(parts) = :parts_before AS counted FROM smsflow.outbox;
-- What is left proves what it has to.
SELECT kind, purposes, level, source, disclosure, words, evidence, salt FROM smsflow.consent_event WHERE contact_id = :ada ORDER BY consent_event_id;
SELECT * FROM smsflow.verify_consent_ledger();
SELECT invariant, violations, sample FROM smsflow.check() WHERE violations > 0 AND invariant NOT LIKE 'I5%' AND invariant NOT LIKE 'I8%';
SELECT phone, purpose, status, reason, body FROM smsflow.message WHERE contact_id = :ada ORDER BY message_id;
SELECT reason FROM smsflow.gated WHERE message_id IN (:waiting, :otp) ORDER BY message_id;
SELECT kind, amount, currency, ref FROM smsflow.attribution WHERE contact_id = :ada AND kind = 'order';
SELECT count(*) AS bobs FROM smsflow.contact WHERE contact_id = :bob;
SELECT smsflow.erase_contact('+12025550171') AS again, smsflow.erase_contact('+12025550179') AS stranger, smsflow.erase_contact('+1');
SELECT smsflow.erase_contact('+12025550171') AS again, smsflow.erase_contact('+12025550179') AS stranger;
SELECT smsflow.erase_contact(NULL);
-- The chain still shows every change, also of what is left of her.
BEGIN;
ALTER TABLE smsflow.consent_event DISABLE TRIGGER append_only;
SAVEPOINT s;
UPDATE smsflow.consent_event SET purposes = '{cart}' WHERE contact_id = :ada AND kind = 'grant';
SELECT problem FROM smsflow.verify_consent_ledger(); ROLLBACK TO s;
UPDATE smsflow.consent_event SET words = 'made up' WHERE contact_id = :ada AND kind = 'revoke';
SELECT DISTINCT problem FROM smsflow.verify_consent_ledger(); ROLLBACK TO s;
DELETE FROM smsflow.consent_event WHERE consent_event_id = (SELECT max(consent_event_id) FROM smsflow.consent_event WHERE contact_id = :ada);
SELECT problem FROM smsflow.verify_consent_ledger(); ROLLBACK TO s;
ROLLBACK;

-- No list and no application brings her back, nor does a late STOP; she herself can, and then she is new.
SELECT smsflow.is_suppressed(1, '+12025550171'), smsflow.is_suppressed(1, '+12025550172');
SELECT encode(hash, 'hex') ~ '^[0-9a-f]{64}$' AS is_a_hash, reason FROM smsflow.suppression;
SELECT smsflow.subscribe('+12025550171', source => 'api', level => 'confirmed');
CREATE TABLE list AS SELECT '+12025550171' AS phone, 'promotional' AS purposes;
SELECT smsflow.import_contacts('list', '{"phone": "phone", "purposes": "purposes"}', false) -> 'refused' AS refused;
SELECT smsflow.opt_out('+12025550171'::text) AS ended;
SELECT count(*) AS known FROM smsflow.contact WHERE phone::text = '+12025550171';
SELECT smsflow.subscribe('+12025550171', source => 'web') > :ada AS back;
SELECT smsflow.is_suppressed(1, '+12025550171');
SELECT allowed FROM smsflow.can_send('+12025550171', 'promotional');
-- A copy without the key does not guess.
SELECT smsflow.erase_contact('+12025550171');
SELECT smsflow.set_secret('suppression_key', 'x');
BEGIN;
DELETE FROM smsflow.secret WHERE name = 'suppression_key';
SAVEPOINT s;
SELECT smsflow.subscribe('+12025550173'); ROLLBACK TO s;
SELECT smsflow.import_contacts('list', '{"phone": "phone"}', false); ROLLBACK TO s;
SELECT smsflow.erase_contact('+12025550172'); ROLLBACK TO s;
SELECT smsflow.create_brand('Other') > 0 AS ok;
SELECT smsflow.subscribe('+12025550173', brand => 'Other') > 0 AS a_brand_that_erased_nobody;
SELECT smsflow.erase_contact('+12025550173', 'Other');
ROLLBACK;
SELECT count(*) AS problems FROM smsflow.verify_consent_ledger();

-- A number that its carrier blocks: marketing consent ends in the ledger, and whatever is agreed to later waits for an operator.
SELECT smsflow.subscribe('+12025550181', '{transactional,promotional}') > 0 AS ok;
SELECT smsflow.suppress_number('+12025550181', 'carrier block'), smsflow.suppress_number('+12025550181', 'carrier block') AS again;
SELECT smsflow.is_suppressed(1, '+12025550181');
SELECT kind, purposes, source, words FROM smsflow.consent_event e JOIN smsflow.contact c USING (contact_id) WHERE c.phone::text = '+12025550181' ORDER BY consent_event_id;
SELECT p, allowed, reason FROM unnest('{otp,transactional,promotional}'::text[]) p, smsflow.can_send('+12025550181', p);
SELECT smsflow.send('+12025550181', 'Your order', 'transactional') AS id \gset
SELECT status, reason FROM smsflow.message WHERE message_id = :id;
SELECT smsflow.subscribe('+12025550181', '{promotional}', 'web') > 0 AS signed_up, reason FROM smsflow.can_send('+12025550181', 'transactional');
-- Of a number nobody knew: who signs up stays blocked, and a STOP is kept all the same.
SELECT smsflow.suppress_number('+12025550182', 'carrier block');
SELECT count(*) AS contacts FROM smsflow.contact WHERE phone::text = '+12025550182';
SELECT reason FROM smsflow.can_send('+12025550182', 'transactional');
SELECT smsflow.subscribe('+12025550182', '{transactional}') > 0 AS signed_up;
SELECT reason FROM smsflow.can_send('+12025550182', 'transactional');
SELECT smsflow.opt_out('+12025550182', '{transactional}') AS heard;
SELECT smsflow.unsuppress_number('+12025550181'), smsflow.unsuppress_number('+12025550181') AS again, smsflow.unsuppress_number('+12025550182') AS other;
SELECT p, reason FROM unnest('{+12025550181,+12025550182}'::text[]) p, smsflow.can_send(p, 'transactional');
SELECT smsflow.suppress_number('+12025550181', '');
SELECT smsflow.suppress_number('+12025550181', 'erasure');
SELECT smsflow.suppress_number('+1', 'carrier block');
-- Whom a person asked to forget no operator brings back.
SELECT smsflow.erase_contact('+12025550181');
SELECT smsflow.unsuppress_number('+12025550181');
SELECT count(*) AS problems FROM smsflow.verify_consent_ledger();

-- Seals know which entries there were, of everybody: one call finds them, a later one, when whoever else was writing is done, seals them.
CREATE PROCEDURE seal_all() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..1000 LOOP
		PERFORM smsflow.seal_consent_ledger();
		COMMIT;
		EXIT WHEN (SELECT max(through_id) FROM smsflow.consent_seal) = (SELECT max(consent_event_id) FROM smsflow.consent_event);
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;
SELECT smsflow.subscribe('+12025550191', '{promotional}') AS carol \gset
SELECT smsflow.subscribe('+12025550192', '{promotional}') AS dave \gset
SELECT smsflow.opt_out('+12025550191', '{promotional}') AS ended;
SELECT smsflow.seal_consent_ledger() AS found_only;
CALL seal_all();
SELECT sum(cardinality(entries)) = (SELECT count(*) FROM smsflow.consent_event) AS all_sealed, smsflow.seal_consent_ledger() AS no_more FROM smsflow.consent_seal;
SELECT smsflow.subscribe('+12025550192', '{promotional}', 'web') = :dave AS same_contact;
CALL seal_all();
SELECT smsflow.erase_contact('+12025550192') AS a_legal_removal;
SELECT count(*) AS problems FROM smsflow.verify_consent_ledger();
UPDATE smsflow.consent_seal SET hash = '';
DELETE FROM smsflow.consent_seal;
TRUNCATE smsflow.consent_seal;
-- A superuser takes a contact away with all of its entries, then everybody, rewrites a chain together with its head, and does the
-- like to the seals.
BEGIN;
SET LOCAL session_replication_role = replica;
ALTER TABLE smsflow.consent_event DISABLE TRIGGER USER;
ALTER TABLE smsflow.consent_seal DISABLE TRIGGER USER;
SAVEPOINT s;
DELETE FROM smsflow.contact WHERE contact_id = :carol;
DELETE FROM smsflow.consent_event WHERE contact_id = :carol;
SELECT contact_id = :carol AS carols, count(*), problem FROM smsflow.verify_consent_ledger() GROUP BY 1, 3; ROLLBACK TO s;
SELECT sum(cardinality(entries)) AS entries FROM smsflow.consent_seal \gset
DELETE FROM smsflow.contact;
DELETE FROM smsflow.removed_contact;
DELETE FROM smsflow.consent_event;
SELECT count(*) = :entries AS each_missed FROM smsflow.verify_consent_ledger() WHERE problem = 'sealed entry is missing'; ROLLBACK TO s;
UPDATE smsflow.consent_event SET purposes = '{cart}' WHERE contact_id = :carol;
UPDATE smsflow.consent_event e SET hash = smsflow.consent_event_hash(e) WHERE contact_id = :carol AND kind = 'grant';
UPDATE smsflow.consent_event e SET previous_hash = g.hash FROM smsflow.consent_event g WHERE e.contact_id = :carol AND e.kind = 'revoke' AND g.contact_id = :carol AND g.kind = 'grant';
UPDATE smsflow.consent_event e SET hash = smsflow.consent_event_hash(e) WHERE contact_id = :carol AND kind = 'revoke';
UPDATE smsflow.contact c SET ledger_head = e.hash, consent = smsflow.ledger_at(:carol, now()) FROM smsflow.consent_event e
	WHERE c.contact_id = :carol AND e.contact_id = :carol AND e.kind = 'revoke';
SELECT contact_id = :carol AS carols, count(*), problem FROM smsflow.verify_consent_ledger() GROUP BY 1, 3; ROLLBACK TO s;
UPDATE smsflow.consent_seal SET contacts = array_replace(contacts, :carol, 0::bigint), entries = array_remove(entries, entries[1]);
SELECT problem FROM smsflow.verify_consent_ledger() WHERE contact_id IS NULL ORDER BY 1; ROLLBACK TO s;
DELETE FROM smsflow.consent_seal WHERE through_id = (SELECT min(through_id) FROM smsflow.consent_seal);
SELECT DISTINCT contact_id IS NULL AS a_seal, problem FROM smsflow.verify_consent_ledger() ORDER BY 1, 2; ROLLBACK TO s;
ROLLBACK;
SELECT count(*) AS problems FROM smsflow.verify_consent_ledger();
\c :home
DROP DATABASE regress_smsflow_rights;
