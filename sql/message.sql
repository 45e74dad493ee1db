-- Messages: asking for one, what the gate refuses, templates, dedup_key, cancel, explain, and the fold of rows into a status.
\set VERBOSITY sqlstate
-- Neither the hour of the day nor the rules for carts in the United States are of interest here.
SELECT smsflow.suspend_rule('window'), smsflow.suspend_rule('consent_level', 'US'), smsflow.suspend_rule('cart_once', 'US');
SET client_min_messages = warning;
SELECT smsflow.subscribe('+12125550161', '{transactional,cart}', 'test', 'I agree', external_id => 'eve',
	attributes => '{"first_name": "Eve", "language": "de-AT", "size": "M"}') IS NOT NULL AS eve,
	smsflow.subscribe('+12125550162', '{promotional,transactional}', 'test', 'I agree') IS NOT NULL AS bob,
	smsflow.opt_out('+12125550162', '{promotional,transactional}') AS bob_stopped,
	smsflow.subscribe('+12125550163', '{transactional,promotional}', 'test', 'I agree', level => 'implied') IS NOT NULL AS dan;
CREATE TEMP VIEW seen AS
	SELECT m.phone, m.purpose, m.body, m.encoding, m.parts, m.status, m.reason, m.attempts FROM smsflow.message m;

-- One message, asked for and waiting. ------------------------------------------
SELECT smsflow.add_gateway('message-test', 'generic_json', 'https://sms.example') IS NOT NULL AS gateway,
	smsflow.add_sender('+12125550160', 'message-test', pool => 'message_test') IS NOT NULL AS sender;
SELECT smsflow.send('+1 212 555 0161', 'Your order 17 has left.', pool => 'message_test') AS id \gset
SELECT phone, brand, sender, gateway, purpose, campaign, sequence, step, variant, body, encoding, parts, status, reason,
	error_class, error_code, provider_id, cost, currency, attempts, due_at, sent_at, delivered_at,
	expires_at - created_at BETWEEN '71:59' AND '72:01' AS three_days, contact_id IS NOT NULL AS contact
	FROM smsflow.message WHERE message_id = :id \gx
SELECT q.lane, q.source FROM smsflow.outbox o JOIN smsflow.queue q USING (queue_id) WHERE o.message_id = :id;

-- It counts once in the metrics.
BEGIN;
SELECT smsflow.send('+12125550161', repeat('x', 161)) AS id \gset
SELECT purpose, measure, value FROM smsflow.metric_delta WHERE xmin = pg_current_xact_id()::xid ORDER BY measure;
ROLLBACK;
SELECT count(*) FROM smsflow.message WHERE message_id = :id;

-- Rolling back leaves nothing, whatever was asked for.
SELECT count(*) AS messages FROM smsflow.outbox \gset
SELECT count(*) AS deltas FROM smsflow.metric_delta \gset
BEGIN;
SELECT smsflow.send('+12125550161', 'Never', dedup_key => 'never') IS NOT NULL AS asked;
SELECT smsflow.send('+12125550169', 'Never') IS NOT NULL AS refused;
ROLLBACK;
SELECT count(*) - :messages AS messages FROM smsflow.outbox;
SELECT count(*) - :deltas AS deltas FROM smsflow.metric_delta;
SELECT count(*) AS keys FROM smsflow.dedup WHERE dedup_key = 'never';
SELECT count(*) AS contacts FROM smsflow.contact WHERE phone::text = '+12125550169';

-- A savepoint takes back only its own.
BEGIN;
SELECT smsflow.send('+12125550161', 'kept') IS NOT NULL AS asked;
SAVEPOINT s;
SELECT smsflow.send('+12125550161', 'taken back') IS NOT NULL AS asked;
ROLLBACK TO s;
COMMIT;
SELECT body FROM seen WHERE body IN ('kept', 'taken back');

-- What the gate refuses is a message that says so. -------------------------------
CREATE FUNCTION pg_temp.sent(phone text, purpose text) RETURNS TABLE (status text, reason text, sent_later boolean)
LANGUAGE plpgsql AS $$
DECLARE
	id bigint := smsflow.send(phone, 'Hello', purpose);
BEGIN
	RETURN QUERY SELECT m.status, m.reason, o.queue_id <> 0
	FROM smsflow.message m JOIN smsflow.outbox o USING (message_id) WHERE m.message_id = id;
END $$;
SELECT who, purpose, s.* FROM (VALUES ('stranger', '+12125550169'), ('eve', '+12125550161'), ('bob', '+12125550162'),
		('dan', '+12125550163')) AS p (who, phone),
	unnest('{compliance,otp,transactional,conversational,cart,promotional}'::text[]) WITH ORDINALITY AS u (purpose, n),
	pg_temp.sent(phone, purpose) AS s ORDER BY who, n;
SELECT count(*) AS strangers_became_contacts FROM smsflow.contact WHERE phone::text = '+12125550169';

-- The body of a one-time password is not shown.
SELECT smsflow.send('+12125550169', 'Your code is 123456', 'otp') AS id \gset
SELECT body FROM smsflow.message WHERE message_id = :id;

-- A changed rule holds at once, in this very session, and a rolled back one does not.
SELECT * FROM pg_temp.sent('+12125550163', 'promotional');
BEGIN;
INSERT INTO smsflow.policy_rule (purpose, kind, value) VALUES ('promotional', 'consent_level', 'implied'), ('otp', 'consent_level', 'written');
SELECT * FROM pg_temp.sent('+12125550163', 'promotional');
SELECT * FROM pg_temp.sent('+12125550161', 'otp');
ROLLBACK;
SELECT * FROM pg_temp.sent('+12125550163', 'promotional');
SELECT * FROM pg_temp.sent('+12125550161', 'otp');
INSERT INTO smsflow.policy_rule (purpose, kind, value, effective)
	VALUES ('promotional', 'consent_level', 'implied', tstzrange(now() + interval '1 day', NULL));
SELECT * FROM pg_temp.sent('+12125550163', 'promotional');
DELETE FROM smsflow.policy_rule WHERE NOT builtin AND kind = 'consent_level';

-- Arguments that can never be right. ----------------------------------------------
SELECT smsflow.send('12', 'Hello');
SELECT smsflow.send('', 'Hello');
SELECT smsflow.send('2125550161', 'Hello');
SELECT smsflow.send(NULL, 'Hello');
SELECT smsflow.send('+12125550161');
SELECT smsflow.send('+12125550161', 'Hello', template => 'hello');
SELECT smsflow.send('+12125550161', 'Hello', 'spam');
SELECT smsflow.send('+12125550161', 'Hello', NULL);
SELECT smsflow.send('+12125550161', 'Hello', vars => '[1]');
SELECT smsflow.send('+12125550161', 'Hello', vars => '"x"');
SELECT smsflow.send('+12125550161', '');
SELECT smsflow.send('+12125550161', '{{size|}}{{nothing|}}', vars => '{"size": ""}');
SELECT smsflow.send('+12125550161', repeat('x', 1531));
SELECT smsflow.send('+12125550161', repeat('я', 671));
SELECT smsflow.send('+12125550161', 'Hello', dedup_key => '');
SELECT smsflow.send('+12125550161', 'Hello', dedup_key => repeat('k', 256));
SELECT smsflow.send('+12125550161', 'Hello', dedup_key => repeat('я', 128));
SELECT smsflow.send('+12125550161', 'Hello', expires_in => '-1 second');
SELECT smsflow.send('+12125550161', 'Hello', expires_in => '0');
SELECT smsflow.send('+12125550161', 'Hello', send_at => '294276-06-01Z');
SELECT smsflow.send('+12125550161', 'Hello', expires_in => '292250 years');
SELECT smsflow.send('+12125550161', 'Hello', send_at => 'infinity');
SELECT smsflow.send('+12125550161', 'Hello', media_urls => '{ftp://shop.example/a.jpg}');
SELECT smsflow.send('+12125550161', 'Hello', media_urls => '{https://shop.example/a.jpg,"https://shop.example/a b"}');
SELECT smsflow.send('+12125550161', 'Hello', media_urls => '{}');
-- Media only where the pool has a gateway for them.
BEGIN;
SELECT smsflow.add_gateway('message-plain', 'kannel', 'https://sms.example', '{"username": "shop"}') IS NOT NULL AS gateway,
	smsflow.add_sender('+12125550199', 'message-plain', pool => 'plain') IS NOT NULL AS sender;
SELECT smsflow.send('+12125550161', 'Hello', pool => 'plain', media_urls => '{https://shop.example/a.jpg}');
ROLLBACK;
SELECT smsflow.send('+12125550161', 'Hello', brand => 'nobody');
SELECT smsflow.send('+12125550161', template => 'nothing');
SELECT smsflow.send('+12125550161', 'Hello {{name');
SELECT smsflow.send('+12125550161', 'Hello {{name}}');
-- An error of the arguments comes before what the gate would refuse.
SELECT smsflow.send('+12125550169', '', 'promotional');
\set VERBOSITY default
SELECT smsflow.send('+1 212 555 0161 junk', 'Hello');
SELECT smsflow.send('+12125550161', 'Hello {{who}}');
SELECT smsflow.send('+12125550161', repeat('x', 1531));
\set VERBOSITY sqlstate

-- Parts. ------------------------------------------------------------------------------
CREATE FUNCTION pg_temp.parts(body text) RETURNS TABLE (encoding text, parts smallint) LANGUAGE plpgsql AS $$
DECLARE
	id bigint := smsflow.send('+12125550161', body);
BEGIN
	RETURN QUERY SELECT m.encoding, m.parts FROM smsflow.message m WHERE m.message_id = id;
END $$;
SELECT length(body) AS characters, left(body, 1) AS sort, p.* FROM (VALUES (1, repeat('x', 160)), (2, repeat('x', 161)),
	(3, repeat('x', 1530)), (4, repeat('€', 80)), (5, repeat('€', 81)), (6, repeat('я', 70)), (7, repeat('я', 71)),
	(8, repeat('я', 670)), (9, repeat('😀', 35)), (10, repeat('😀', 36))) AS t (n, body), pg_temp.parts(body) AS p ORDER BY n;
SELECT o.unicode FROM smsflow.outbox o WHERE o.body = repeat('я', 71);

-- Templates and variables. ----------------------------------------------------------------
INSERT INTO smsflow.template (brand_id, name, language, body) SELECT b.brand_id, t.name, t.language, t.body FROM smsflow.brand b,
	(VALUES ('left', '', 'Hi {{first_name|there}}, {{order.id}} has left.'), ('left', 'de', 'Hallo {{first_name}}, {{order.id}} ist unterwegs.'))
	AS t (name, language, body) WHERE b.name = 'default';
CREATE FUNCTION pg_temp.text_of(id bigint) RETURNS text LANGUAGE sql AS 'SELECT body FROM smsflow.outbox WHERE message_id = id';
SELECT smsflow.send('+12125550161', template => 'left', vars => '{"order": {"id": "A-17"}}') AS german,
	smsflow.send('+12125550163', template => 'left', vars => '{"order": {"id": "A-18"}}') AS other,
	smsflow.send('+12125550161', '{{first_name}} of {{brand}} wears {{size}}, {{items.1.title}}', vars => '{"items": [{"title": "a"}, {"title": "b"}]}') AS body,
	smsflow.send('+12125550161', '{{first_name}}', vars => '{"first_name": "{{size}}"}') AS raw,
	smsflow.send('+12125550161', 'a { b } }} c', vars => NULL) AS braces \gset
SELECT pg_temp.text_of(:german) AS german, pg_temp.text_of(:other) AS other;
SELECT pg_temp.text_of(:body) AS body, pg_temp.text_of(:raw) AS raw, pg_temp.text_of(:braces) AS braces;
SELECT o.template_id = t.template_id AS the_german_one FROM smsflow.outbox o, smsflow.template t
	WHERE o.message_id = :german AND t.language = 'de';
SELECT smsflow.send('+12125550161', template => 'left');
SELECT * FROM smsflow.render_message('{{a}}-{{b|c}}', '{"a": 1}');
SELECT * FROM smsflow.render_message('{{a}}-{{b}}', '{"a": "я"}');
SELECT smsflow.check_template('{{a}}');
SELECT smsflow.check_template('{{a');

-- The same key is the same message. ---------------------------------------------------------
SELECT smsflow.send('+12125550161', 'Order 9', dedup_key => 'order-9') AS first \gset
SELECT smsflow.send('+12125550161', 'Order 9', dedup_key => 'order-9') = :first AS same,
	smsflow.send('+12125550163', 'Something else', 'promotional', dedup_key => 'order-9') = :first AS same_key_is_enough,
	smsflow.send('+12125550161', 'Order 9', dedup_key => 'order-10') = :first AS other_key;
SELECT count(*) FROM smsflow.message WHERE body = 'Order 9';
SELECT smsflow.create_brand('message_test') IS NOT NULL AS brand;
SELECT smsflow.send('+12125550161', 'Order 9', 'otp', dedup_key => 'order-9', brand => 'message_test') = :first AS same_in_other_brand;
BEGIN;
SELECT smsflow.send('+12125550161', 'x', dedup_key => 'order-11') = smsflow.send('+12125550161', 'x', dedup_key => 'order-11') AS same_transaction;
ROLLBACK;

-- Later, and never. -----------------------------------------------------------------------------
SELECT smsflow.send('+12125550161', 'Tomorrow', send_at => now() + interval '1 day', expires_in => '2 hours') AS id \gset
SELECT status, reason, due_at - now() > '23:59' AS due, expires_at - due_at AS valid FROM smsflow.message WHERE message_id = :id;
SELECT smsflow.cancel(:id) AS cancelled;
SELECT status, reason FROM smsflow.message WHERE message_id = :id;
SELECT smsflow.cancel(:id) AS cancelled_again;
SELECT count(*) AS revocations FROM smsflow.revocation WHERE kind = 'message' AND target_id = :id;
SELECT reason FROM smsflow.gated WHERE message_id = :id;

SELECT smsflow.send('+12125550161', 'Now') AS id \gset
SELECT reason IS NULL AS passes FROM smsflow.gated WHERE message_id = :id;
BEGIN;
SELECT smsflow.cancel(:id) AS cancelled;
SELECT status FROM smsflow.message WHERE message_id = :id;
ROLLBACK;
SELECT status FROM smsflow.message WHERE message_id = :id;
SELECT smsflow.cancel(:id) AS cancelled;
SELECT status FROM smsflow.message WHERE message_id = :id;

-- A time in the past is now, and counts its validity from now.
SELECT smsflow.send('+12125550161', 'Late', send_at => now() - interval '10 days') AS id \gset
SELECT status, expires_at > now() + interval '71 hours' AS valid FROM smsflow.message WHERE message_id = :id;
SELECT smsflow.send('+12125550161', 'Long ago', send_at => '-infinity') AS id \gset
SELECT status, due_at IS NULL AS at_once FROM smsflow.message WHERE message_id = :id;
-- What was refused will not be sent, and was not cancelled.
SELECT smsflow.send('+12125550169', 'Refused') AS id \gset
SELECT smsflow.cancel(:id) AS cancelled;
SELECT status, reason FROM smsflow.message WHERE message_id = :id;
SELECT smsflow.cancel(-1);
SELECT smsflow.cancel(NULL) IS NULL AS nothing;

-- Why. ---------------------------------------------------------------------------------------------
CREATE FUNCTION pg_temp.why(id bigint) RETURNS TABLE (what text, detail text) LANGUAGE sql AS $$
	SELECT regexp_replace(what, '\d{4}-\S+ \S+', '(time)', 'g'), regexp_replace(regexp_replace(detail, '(due|expires) \S+ [^,]+', '\1 (time)', 'g'), 'entry \d+', 'entry (id)') FROM smsflow.explain(id) WHERE what <> 'waits for'
$$;
SELECT smsflow.send('+12125550161', 'Explained', send_at => now() + interval '1 day') AS id \gset
SELECT smsflow.cancel(:id) AS cancelled;
SELECT * FROM pg_temp.why(:id);
SELECT smsflow.send('+12125550162', 'Explained', 'promotional') AS id \gset
SELECT * FROM pg_temp.why(:id);
-- Asked for while permitted: explain tells what the gate will say.
SELECT smsflow.send('+12125550161', 'Explained', 'cart') AS id \gset
SELECT smsflow.opt_out('+12125550161', '{cart}', 'web', 'no more') AS stopped;
SELECT * FROM pg_temp.why(:id);
SELECT * FROM smsflow.explain(-1);
SELECT bool_and(e.at >= e.before OR e.before IS NULL) AS in_order FROM (SELECT at, lag(at) OVER () AS before FROM smsflow.explain(:id)) e;

SELECT smsflow.create_segment('message_test', 'false') IS NOT NULL AS segment,
	smsflow.create_campaign('message_test', 'message_test', 'Sale', 'promotional') IS NOT NULL AS campaign;
SELECT what, detail FROM smsflow.explain('message_test', '+12125550161');
SELECT what, detail FROM smsflow.explain('message_test', '+12125550169');
SELECT * FROM smsflow.explain('no such campaign', '+12125550161');
SELECT * FROM smsflow.explain('message_test', 'junk');

-- The fold. ---------------------------------------------------------------------------------------------
SELECT n, smsflow.fold_status(refused, outcome, timer, claimed, due_later, reports) AS status FROM (VALUES
	(1, false, NULL, NULL, NULL, false, NULL::text[]),
	(2, false, NULL, NULL, NULL, true, NULL),
	(3, true, NULL, NULL, NULL, false, NULL),
	(4, false, NULL, NULL, true, false, NULL),
	(5, false, NULL, 'not_due', false, true, NULL),
	(6, false, NULL, 'campaign_paused', false, false, NULL),
	(7, false, 'retry', 'retry', false, false, NULL),
	(8, false, 'retry', 'retry', true, false, NULL),
	(9, false, 'accepted', NULL, NULL, false, NULL),
	(10, false, 'accepted', NULL, NULL, false, '{accepted,delivered,undelivered}'),
	(11, false, 'accepted', NULL, NULL, false, '{undelivered,delivered}'),
	(12, false, 'accepted', NULL, NULL, false, '{rejected,delivered}'),
	(13, false, 'in_doubt', NULL, NULL, false, NULL),
	(14, false, 'in_doubt', 'resend_later', false, false, NULL),
	(15, false, 'in_doubt', 'resend_later', true, false, NULL),
	(16, false, 'in_doubt', NULL, NULL, false, '{delivered}'),
	(17, false, 'rejected', NULL, NULL, false, '{delivered}'),
	(18, false, 'suppressed', NULL, NULL, false, NULL),
	(19, false, 'cancelled', NULL, NULL, true, NULL),
	(20, false, 'expired', NULL, NULL, false, '{delivered}'),
	(21, false, 'resolved', NULL, NULL, false, '{unknown}'),
	(22, NULL, NULL, NULL, NULL, NULL, '{delivered}')) AS t (n, refused, outcome, timer, claimed, due_later, reports) ORDER BY n;

-- Ids grow, and belong to the transaction before they exist.
BEGIN;
SELECT smsflow.next_message_id() AS a \gset
SELECT smsflow.next_message_id() > :a AS grows, pg_current_xact_id_if_assigned() IS NOT NULL AS has_transaction_id;
ROLLBACK;
SELECT smsflow.send('+12125550161', 'Next') > :a AS grows;

-- Nobody may call anything until somebody grants it. --------------------------------------------------------
CREATE ROLE regress_message;
SET ROLE regress_message;
SELECT smsflow.send('+12125550161', 'Hello');
SELECT smsflow.cancel(1);
SELECT smsflow.explain(1);
SELECT smsflow.explain('a', 'b');
SELECT smsflow.next_message_id();
SELECT * FROM smsflow.message;
RESET ROLE;
SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname = 'smsflow'
	WHERE has_function_privilege('regress_message', p.oid, 'EXECUTE') AND p.proname IN ('send', 'cancel', 'explain', 'queues_for',
	'next_message_id', 'note_enqueued', 'note_revocation', 'message_fold', 'make_segments', 'render_message', 'consent_refusal');
-- With the schema and the function, an application sends without seeing a table.
GRANT USAGE ON SCHEMA smsflow TO regress_message;
GRANT EXECUTE ON FUNCTION smsflow.send(text, text, text, text, jsonb, text, timestamptz, interval, text, text[], text, text), smsflow.cancel(bigint) TO regress_message;
SET ROLE regress_message;
SELECT smsflow.send('+12125550161', 'From the application', send_at => now() + interval '1 hour') AS id \gset
SELECT smsflow.cancel(:id) AS cancelled;
SELECT * FROM smsflow.outbox;
RESET ROLE;
SELECT status FROM smsflow.message WHERE message_id = :id;
DROP OWNED BY regress_message;
DROP ROLE regress_message;

SELECT smsflow.resume_rule('window') AND smsflow.resume_rule('consent_level', 'US') AND smsflow.resume_rule('cart_once', 'US') AS resumed;
