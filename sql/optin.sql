-- What proves a permission: disclosures, double opt-in, the proof in each message, and a ledger that shows every tampering.
\set VERBOSITY sqlstate
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
-- A database of its own: policy rules count for everybody.
SELECT current_database() AS home \gset
CREATE DATABASE regress_smsflow_optin;
\c regress_smsflow_optin
CREATE EXTENSION smsflow;
-- At any hour of the day.
SELECT smsflow.suspend_rule('window');
INSERT INTO smsflow.secret (name, value) VALUES ('callback_key', 'regress');
SELECT smsflow.add_gateway('oi', 'generic_json', 'https://sms.example.com') AS gateway_id, smsflow.add_sender('+12025550100', 'oi') AS sender_id \gset
CREATE FUNCTION pg_temp.says(phone text, body text) RETURNS integer LANGUAGE sql AS
	$$SELECT r.status FROM (SELECT '/in/oi' AS p) p, smsflow.receive_callback('oi', 'GET', p || '/' || smsflow.callback_mac(p), 'from=%2B' || $1 || '&text=' || $2, '{}', '') r$$;
CREATE VIEW ledger AS SELECT c.phone::text, e.kind, e.purposes, e.level, e.source, e.disclosure_version, e.disclosure IS NOT NULL AS has_text
	FROM smsflow.consent_event e JOIN smsflow.contact c USING (contact_id) ORDER BY consent_event_id;
CREATE VIEW texts AS SELECT m.phone, m.body FROM smsflow.message m WHERE m.purpose = 'compliance' ORDER BY message_id;

-- Disclosures: a changed text is a new version, the same text is not.
SELECT smsflow.add_disclosure('checkout', 'Yes, text me offers.', '{promotional}') AS first,
	smsflow.add_disclosure('checkout', 'Yes, text me offers.', '{promotional}') AS same;
SELECT smsflow.add_disclosure('checkout', 'Yes, text me offers and shopping cart reminders.', '{promotional,cart}') AS second;
SELECT name, version, purposes, names_cart, upper_inf(valid) AS valid_now FROM smsflow.disclosure ORDER BY version;
SELECT smsflow.add_disclosure('two words', 'x');
SELECT smsflow.add_disclosure('a', ' ');
SELECT smsflow.add_disclosure('a', 'x', '{}');
SELECT smsflow.add_disclosure('a', 'x', '{offers}');
SELECT smsflow.add_disclosure('a', 'x', brand => 'nobody');

-- By name the newest version, or the one that is named; a text is kept word by word; a name that nobody registered is refused.
SELECT smsflow.subscribe('+12025550171', '{promotional,cart}', 'web', 'checkout', 'written') > 0 AS ok;
SELECT smsflow.subscribe('+12025550172', '{promotional}', 'web', 'checkout@1', 'written') > 0 AS ok;
SELECT smsflow.subscribe('+12025550173', '{promotional,cart}', 'web', 'I agree to offers.', 'written') > 0 AS ok;
SELECT * FROM ledger;
SELECT smsflow.subscribe('+12025550174', '{promotional}', 'web', 'checkuot');
SELECT smsflow.subscribe('+12025550174', '{promotional}', 'web', 'checkout@9');
SELECT smsflow.subscribe('+12025550174', '{promotional,cart}', 'web', 'checkout@1');
SELECT smsflow.subscribe('+12025550174', occurred_at => now() + interval '1 day');
SELECT smsflow.subscribe('+12025550174', '{offers}');
SELECT count(*) AS refused_and_known FROM smsflow.contact WHERE phone::text = '+12025550174';
\set VERBOSITY default
SELECT smsflow.subscribe('+12025550174', '{promotional}', 'web', 'checkuot');
\set VERBOSITY sqlstate
-- What was agreed to before the new version is under the old one.
UPDATE smsflow.disclosure SET valid = CASE version WHEN 1 THEN '[2026-01-01Z,2026-02-01Z)' ELSE '[2026-02-01Z,)' END::tstzrange;
SELECT smsflow.subscribe('+12025550175', '{promotional}', 'web', 'checkout', 'written', occurred_at => '2026-01-15Z') > 0 AS ok;
SELECT disclosure_version FROM ledger WHERE phone = '+12025550175';

-- Cart reminders are no more than express where the text does not name them, also after a YES.
SELECT c.phone::text, smsflow.consent_level(consent, 'promotional') AS promotional, smsflow.consent_level(consent, 'cart') AS cart
	FROM smsflow.contact c WHERE phone::text IN ('+12025550171', '+12025550173') ORDER BY 1;
SELECT smsflow.confirm_opt_in('+12025550171'), smsflow.confirm_opt_in('+12025550173');
SELECT c.phone::text, smsflow.consent_level(consent, 'promotional') AS promotional, smsflow.consent_level(consent, 'cart') AS cart
	FROM smsflow.contact c WHERE phone::text IN ('+12025550171', '+12025550173') ORDER BY 1;

-- Each message names the entry that permits it: the one of the highest level that holds.
CREATE VIEW proofs AS SELECT o.message_id, o.purpose, o.refusal, e.kind, e.level, e.purposes, e.contact_id = o.contact_id AS own
	FROM smsflow.outbox o LEFT JOIN smsflow.consent_event e USING (consent_event_id) WHERE o.purpose <> 'compliance' ORDER BY message_id;
SELECT smsflow.send('+12025550171', 'Sale', 'promotional') AS sale, smsflow.send('+12025550173', 'Your cart', 'cart') AS cart,
	smsflow.send('+12025550172', 'Shipped', 'transactional') AS refused, smsflow.send('+12025550199', '1234', 'otp') AS otp \gset
SELECT purpose, refusal, kind, level, purposes, own FROM proofs;
SELECT what, regexp_replace(detail, 'entry [0-9]+', 'entry (id)') AS detail FROM smsflow.explain(:sale) WHERE what = 'permitted';
SELECT smsflow.send('+12025550172', 'Sale', 'promotional') AS sale \gset
SELECT regexp_replace(detail, 'entry [0-9]+', 'entry (id)') AS detail FROM smsflow.explain(:sale) WHERE what = 'permitted';
SELECT smsflow.subscribe('+12025550171', '{promotional}') > 0 AS express_again;
SELECT smsflow.send('+12025550171', 'Sale', 'promotional') AS sale \gset
SELECT level FROM proofs WHERE message_id = :sale;
SELECT smsflow.opt_out('+12025550171', '{promotional}'), smsflow.subscribe('+12025550171', '{promotional}') > 0 AS back;
SELECT smsflow.send('+12025550171', 'Sale', 'promotional') AS sale \gset
SELECT kind, level FROM proofs WHERE message_id = :sale;
-- Also where a revocation recorded late ends the entry that was the proof, and leaves another.
SELECT smsflow.subscribe('+12025550176', '{promotional}', level => 'confirmed', occurred_at => '2026-01-01Z') > 0 AS ok,
	smsflow.subscribe('+12025550176', '{promotional}', level => 'express', occurred_at => '2026-03-01Z') > 0 AS ok;
SELECT smsflow.record_opt_out('+12025550176', '{promotional}', 'web', occurred_at => '2026-02-01Z') AS ended_the_higher;
SELECT smsflow.send('+12025550176', 'Sale', 'promotional') AS sale \gset
SELECT level FROM proofs WHERE message_id = :sale;
SELECT contact_id FROM smsflow.contact WHERE proof <> smsflow.proof_of(contact_id);
-- Campaigns and sequences do the same.
SELECT smsflow.create_segment('everybody', 'true') > 0 AS ok, smsflow.create_campaign('hello', 'everybody', 'Hello') > 0 AS ok;
SELECT smsflow.launch_campaign('hello');
SELECT smsflow.advance_campaigns(100) IS NOT NULL AS called, smsflow.advance_campaigns(100) IS NULL AS done;
SELECT smsflow.create_sequence('cart', 'cart') > 0 AS ok, smsflow.add_step('cart', '0', 'Your cart'), smsflow.enable_sequence('cart');
SELECT smsflow.record_event('+12025550171', 'cart', 'c1') AS event \gset
SELECT smsflow.process_events(ARRAY[:event]::bigint[]), smsflow.advance_enrollments(10) IS NULL AS done;
SELECT campaign_id IS NOT NULL AS campaign, o.purpose, refusal, count(*), count(e.consent_event_id) AS proved
	FROM smsflow.outbox o LEFT JOIN smsflow.consent_event e ON e.consent_event_id = o.consent_event_id AND o.purpose = ANY (e.purposes)
	WHERE campaign_id IS NOT NULL OR sequence_id IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT invariant, violations FROM smsflow.check() WHERE violations > 0;
BEGIN;
UPDATE smsflow.outbox SET consent_event_id = NULL WHERE message_id = :sale;
UPDATE smsflow.disclosure SET body = 'Something else' WHERE version = 1;
SELECT invariant, violations FROM smsflow.check() WHERE violations > 0;
ROLLBACK;

-- Without a rule nobody is asked; a YES soon after a sign-up confirms it all the same, one without a sign-up nothing.
SELECT * FROM texts;
SELECT smsflow.subscribe('+12025550181', '{promotional}', level => 'written') > 0 AS ok, pg_temp.says('12025550181', 'YES'), pg_temp.says('12025550182', 'YES');
SELECT kind, level, source FROM ledger WHERE phone IN ('+12025550181', '+12025550182');
-- With it each sign-up gets one question, and marketing waits for the answer.
SELECT smsflow.require_double_opt_in('{promotional,cart}', '24 hours');
SELECT smsflow.require_double_opt_in('{offers}');
SELECT smsflow.require_double_opt_in(within => '0');
INSERT INTO smsflow.policy_rule (purpose, kind, value) VALUES ('cart', 'double_opt_in', '-1 day');
SELECT smsflow.subscribe('+12025550183', '{promotional,cart}', 'web', 'checkout', 'written') > 0 AS ok,
	smsflow.subscribe('+12025550183', '{promotional}', 'web', 'checkout', 'written') > 0 AS again,
	smsflow.subscribe('+12025550184', '{transactional}', level => 'express') > 0 AS not_asked,
	smsflow.subscribe('+12025550185', '{promotional}', level => 'confirmed') > 0 AS not_asked,
	smsflow.subscribe('+12025550186', '{promotional}', level => 'written', attributes => '{"language": "de"}') > 0 AS ok;
SELECT * FROM texts;
SELECT allowed, reason FROM smsflow.can_send('+12025550183', 'promotional');
SELECT pg_temp.says('12025550183', 'yes'), pg_temp.says('12025550183', 'YES');
SELECT p, allowed, reason FROM unnest('{cart,promotional}'::text[]) p, smsflow.can_send('+12025550183', p) ORDER BY p;
SELECT count(*) AS confirmations FROM ledger WHERE phone = '+12025550183' AND kind = 'confirm';
SELECT e.evidence - 'inbound_id' AS evidence FROM smsflow.consent_event e JOIN smsflow.contact c USING (contact_id) WHERE e.kind = 'confirm' AND c.phone::text = '+12025550183';
-- A YES that comes too late is kept and does nothing; a STOP in between ends the question.
BEGIN;
ALTER TABLE smsflow.consent_event DISABLE TRIGGER append_only;
UPDATE smsflow.consent_event SET recorded_at = now() - interval '25 hours' WHERE contact_id = (SELECT contact_id FROM smsflow.contact WHERE phone::text = '+12025550186');
SELECT pg_temp.says('12025550186', 'Yes');
SELECT allowed, reason FROM smsflow.can_send('+12025550186', 'promotional');
SELECT body, action FROM smsflow.inbound WHERE phone::text = '+12025550186';
ALTER TABLE smsflow.consent_event ENABLE ALWAYS TRIGGER append_only;
SELECT smsflow.subscribe('+12025550186', '{promotional}', level => 'written') > 0 AS asked_again;
SELECT count(*) FROM texts WHERE phone = '+12025550186';
ROLLBACK;
SELECT pg_temp.says('12025550186', 'STOP'), pg_temp.says('12025550186', 'YES');
SELECT allowed, reason FROM smsflow.can_send('+12025550186', 'promotional');
-- START is a sign-up like any other: asked, and then confirmed.
SELECT pg_temp.says('12025550186', 'START'), pg_temp.says('12025550186', 'YES');
SELECT allowed, reason FROM smsflow.can_send('+12025550186', 'promotional');
SELECT body FROM texts WHERE phone = '+12025550186';

-- Another brand's START revives nothing.
SELECT smsflow.create_brand('Other') > 0 AS ok;
SELECT smsflow.subscribe('+12025550187', '{promotional}', level => 'confirmed') > 0 AS ok, smsflow.subscribe('+12025550187', '{promotional}', level => 'confirmed', brand => 'Other') > 0 AS ok;
SELECT smsflow.opt_out('+12025550187'::text), smsflow.opt_out('+12025550187', brand => 'Other');
SELECT smsflow.send('+12025550187', 'Hi', 'otp', brand => 'Other') AS other \gset
INSERT INTO smsflow.attempt (message_id, finished_at, generation, attempt, wire, outcome)
	SELECT message_id, now(), 1, 1, 'yes', 'accepted' FROM smsflow.outbox WHERE message_id = :other;
INSERT INTO smsflow.touch (contact_id, sent_at, message_id, purpose, subject) SELECT contact_id, now(), message_id, purpose, '' FROM smsflow.outbox WHERE message_id = :other;
SELECT pg_temp.says('12025550187', 'START');
SELECT b.name, (SELECT kind FROM smsflow.consent_event e WHERE e.contact_id = c.contact_id ORDER BY consent_event_id DESC LIMIT 1) AS last
	FROM smsflow.contact c JOIN smsflow.brand b USING (brand_id) WHERE c.phone::text = '+12025550187' ORDER BY 1;

-- What a STOP ends: everything today; from a date on, by what it answers.
CREATE FUNCTION pg_temp.reached(phone text, purpose text) RETURNS void LANGUAGE sql AS
	$$SELECT smsflow.send($1, 'Hello', $2);
	INSERT INTO smsflow.touch (contact_id, sent_at, message_id, purpose, subject)
		SELECT o.contact_id, clock_timestamp(), o.message_id, o.purpose, '' FROM smsflow.outbox o ORDER BY message_id DESC LIMIT 1$$;
CREATE FUNCTION pg_temp.permits(phone text) RETURNS text LANGUAGE sql AS
	$$SELECT string_agg(p, ' ' ORDER BY p) FROM unnest('{transactional,conversational,cart,promotional}'::text[]) p, smsflow.can_send($1, p) s WHERE s.allowed$$;
DELETE FROM smsflow.policy_rule WHERE source = 'require_double_opt_in()';
INSERT INTO smsflow.policy_rule (purpose, kind, value, effective) VALUES
	('cart', 'stop_ends', 'cart,promotional', tstzrange(now() + interval '1 year', NULL)), ('promotional', 'stop_ends', 'cart,promotional', tstzrange(now() + interval '1 year', NULL)),
	('transactional', 'stop_ends', 'transactional', tstzrange(now() + interval '1 year', NULL)), ('conversational', 'stop_ends', 'conversational', tstzrange(now() + interval '1 year', NULL));
SELECT smsflow.stop_purposes(), smsflow.stop_purposes('promotional'), smsflow.stop_purposes('transactional');
SELECT count(smsflow.subscribe(p, '{transactional,conversational,cart,promotional}')) FROM unnest('{+12025550191,+12025550192,+12025550193,+12025550194}'::text[]) p;
SELECT pg_temp.reached('+12025550191', 'promotional'), pg_temp.says('12025550191', 'STOP');
SELECT pg_temp.permits('+12025550191');
UPDATE smsflow.policy_rule SET effective = tstzrange(now() - interval '1 day', NULL) WHERE kind = 'stop_ends' AND NOT builtin;
SELECT smsflow.stop_purposes(), smsflow.stop_purposes('promotional'), smsflow.stop_purposes('transactional'), smsflow.stop_purposes('otp');
SELECT pg_temp.reached('+12025550192', 'transactional'), pg_temp.reached('+12025550192', 'promotional'), pg_temp.reached('+12025550192', 'otp'), pg_temp.says('12025550192', 'STOP');
SELECT pg_temp.permits('+12025550192');
SELECT pg_temp.reached('+12025550193', 'promotional'), pg_temp.reached('+12025550193', 'transactional'), pg_temp.says('12025550193', 'STOP');
SELECT pg_temp.permits('+12025550193');
SELECT pg_temp.says('12025550194', 'STOP');
SELECT pg_temp.permits('+12025550194') IS NULL AS nothing;

-- One confirmation until the person agrees again, within 5 minutes or not at all; none where the gateway gives it; HELP always.
SELECT pg_temp.says('12025550194', 'stop'), pg_temp.says('12025550194', 'STOP'), pg_temp.says('12025550194', 'HELP');
SELECT count(*) FILTER (WHERE body LIKE '%unsubscribed%') AS confirmed, count(*) FILTER (WHERE body LIKE '%from our shop%') AS helped FROM texts WHERE phone = '+12025550194';
SELECT smsflow.subscribe('+12025550194') > 0 AS back, pg_temp.says('12025550194', 'STOP');
SELECT count(*) FILTER (WHERE body LIKE '%unsubscribed%') AS confirmed, bool_and(m.expires_at - m.created_at <= interval '5 minutes') AS in_time
	FROM smsflow.message m WHERE phone = '+12025550194' AND body LIKE '%unsubscribed%';
UPDATE smsflow.gateway SET options = options || '{"answers_stop": true}';
SELECT smsflow.subscribe('+12025550195') > 0 AS ok, pg_temp.says('12025550195', 'STOP'), pg_temp.says('12025550195', 'HELP');
SELECT pg_temp.permits('+12025550195') IS NULL AS ended;
SELECT body FROM texts WHERE phone = '+12025550195';

-- A gateway that refuses at once because the person had opted out there has told us.
SELECT smsflow.subscribe('+12025550196', '{promotional,transactional}') > 0 AS ok;
SELECT smsflow.send('+12025550196', 'Sale', 'promotional') AS sale \gset
INSERT INTO smsflow.attempt (message_id, finished_at, generation, attempt, wire, outcome, class, code)
	SELECT message_id, now(), 1, 1, 'none', 'rejected', 'opted_out', '21610' FROM smsflow.outbox WHERE message_id = :sale;
INSERT INTO smsflow.feedback (message_id, kind, code) VALUES (:sale, 'opted_out', '21610'), (:sale, 'opted_out', '21610');
SELECT smsflow.learn_feedback(10);
SELECT pg_temp.permits('+12025550196') IS NULL AS ended;
SELECT e.source, e.evidence - 'message_id' AS evidence FROM smsflow.consent_event e JOIN smsflow.contact c USING (contact_id) WHERE c.phone::text = '+12025550196' AND kind = 'revoke';

-- Waiting for an opt-out: by the COMMIT, which without a worker has nothing to wait for; and until nothing is on the way.
SELECT smsflow.subscribe('+12025550197') > 0 AS ok;
SELECT smsflow.opt_out('+12025550197', wait => true);
SELECT smsflow.subscribe('+12025550197') > 0 AS ok;
BEGIN;
SELECT smsflow.opt_out('+12025550197', wait => true);
PREPARE TRANSACTION 'waits';
SELECT pg_temp.permits('+12025550197');
BEGIN;
SELECT smsflow.opt_out('+12025550197'::text);
SELECT smsflow.wait_for_opt_out('+12025550197');
ROLLBACK;
SELECT smsflow.send('+12025550197', 'Sale', 'promotional') AS sale \gset
INSERT INTO smsflow.claim (queue_id, kind, from_id, to_id, from_due, from_timer_id, to_due, to_timer_id, cursor_id, low_id, oldest_open, generation)
	SELECT queue_id, 'new', message_id - 1, message_id, '-infinity', 0, '-infinity', 0, message_id, message_id, 0, 1 FROM smsflow.outbox WHERE message_id = :sale;
CALL smsflow.opt_out_and_wait('+12025550197', timeout => '50 ms');
SELECT smsflow.wait_for_opt_out('+12025550197', '50 ms') AS nothing_on_its_way;
INSERT INTO smsflow.attempt (message_id, finished_at, generation, attempt, wire, outcome)
	SELECT message_id, now(), 1, 1, 'none', 'suppressed' FROM smsflow.outbox WHERE message_id = :sale;
SELECT smsflow.wait_for_opt_out('+12025550197') AS nothing_on_its_way;
CALL smsflow.opt_out_and_wait('+12025550197');
BEGIN;
CALL smsflow.opt_out_and_wait('+12025550197');
ROLLBACK;

-- Tampering shows, and where: an entry changed, taken out (also the last and the first one), put in (also at the end).
CREATE VIEW problems AS SELECT p.consent_event_id - (SELECT min(consent_event_id) FROM smsflow.consent_event WHERE contact_id = p.contact_id) AS entry, p.problem
	FROM smsflow.verify_consent_ledger() p JOIN smsflow.contact c USING (contact_id) WHERE c.phone::text = '+12025550188' AND p.problem NOT LIKE 'consent of%';
SELECT smsflow.subscribe('+12025550188') AS ada, smsflow.subscribe('+12025550188', '{cart}') AS ada, smsflow.opt_out('+12025550188'::text) AS ended,
	smsflow.subscribe('+12025550188') AS ada \gset
SELECT count(*) AS problems FROM smsflow.verify_consent_ledger();
CREATE FUNCTION pg_temp.nth(n integer) RETURNS bigint LANGUAGE sql STABLE AS $$SELECT consent_event_id FROM smsflow.consent_event
	WHERE contact_id = (SELECT contact_id FROM smsflow.contact WHERE phone::text = '+12025550188') ORDER BY 1 OFFSET $1 LIMIT 1$$;
BEGIN;
ALTER TABLE smsflow.consent_event DISABLE TRIGGER append_only;
SAVEPOINT s;
UPDATE smsflow.consent_event SET evidence = '{"ip": "192.0.2.1"}' WHERE consent_event_id = pg_temp.nth(1);
SELECT * FROM problems; ROLLBACK TO s;
UPDATE smsflow.consent_event SET disclosure_version = 'checkout@1' WHERE consent_event_id = pg_temp.nth(2);
SELECT * FROM problems; ROLLBACK TO s;
UPDATE smsflow.consent_event SET words = NULL, salt = NULL WHERE consent_event_id = pg_temp.nth(2);
SELECT * FROM problems; ROLLBACK TO s;
DELETE FROM smsflow.consent_event WHERE consent_event_id = pg_temp.nth(0);
SELECT problem FROM problems; ROLLBACK TO s;
DELETE FROM smsflow.consent_event WHERE consent_event_id = pg_temp.nth(2);
SELECT * FROM problems; ROLLBACK TO s;
DELETE FROM smsflow.consent_event WHERE consent_event_id = pg_temp.nth(3);
SELECT * FROM problems; ROLLBACK TO s;
DELETE FROM smsflow.consent_event WHERE contact_id = :ada;
SELECT * FROM problems; ROLLBACK TO s;
ROLLBACK;
-- A forger knows how hashes are made, and still cannot make the chain lead to the entry.
BEGIN;
CREATE FUNCTION pg_temp.forge(after bigint, id bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	e smsflow.consent_event;
BEGIN
	SELECT * INTO e FROM smsflow.consent_event WHERE consent_event_id = after;
	e.consent_event_id := id; e.kind := 'grant'; e.level := 'confirmed'; e.previous_hash := e.hash;
	e.hash := smsflow.consent_event_hash(e);
	INSERT INTO smsflow.consent_event OVERRIDING SYSTEM VALUE SELECT e.*;
END $$;
SAVEPOINT s;
SELECT pg_temp.forge(pg_temp.nth(3), pg_temp.nth(3) + 1000000);
SELECT entry > 1000 AS forged, problem FROM problems; ROLLBACK TO s;
ALTER TABLE smsflow.consent_event DISABLE TRIGGER append_only;
UPDATE smsflow.consent_event SET consent_event_id = DEFAULT WHERE consent_event_id = pg_temp.nth(3);
SELECT count(*) AS problems FROM problems;
SELECT pg_temp.forge(pg_temp.nth(2), pg_temp.nth(2) + 1);
SELECT * FROM problems;
ROLLBACK;
-- Nor can a contact with a ledger be deleted, or all of the ledger.
DELETE FROM smsflow.contact WHERE contact_id = :ada;
TRUNCATE smsflow.consent_event;

-- The left permits at least what the right permits now.
SELECT a OPERATOR(smsflow.@>) b AS contains, b OPERATOR(smsflow.<@) a AS contained, b OPERATOR(smsflow.@>) a AS other_way
FROM (VALUES ('cart: written since 2026-01-01T00:00:00Z'::smsflow.consent, 'cart: express since 2026-06-01T00:00:00Z'::smsflow.consent),
	('none', 'cart: revoked 2026-06-01T00:00:00Z after express 2026-01-01T00:00:00Z'),
	('cart: written since 2026-01-01T00:00:00Z', 'promotional: express since 2026-06-01T00:00:00Z')) AS v (a, b);
SELECT octet_length(smsflow.consent_send('none')) AS none, octet_length(smsflow.consent_send('cart: express since 2026-06-01T00:00:00Z')) AS one,
	octet_length(smsflow.opt_out_send('cart by web at 2026-06-01T00:00:00Z saying "no"')) AS opt_out;
SELECT invariant, violations, sample FROM smsflow.check() WHERE violations > 0 AND invariant NOT LIKE 'I5%' AND invariant NOT LIKE 'I8%';
\c :home
DROP DATABASE regress_smsflow_optin;
