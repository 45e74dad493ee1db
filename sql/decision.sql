-- One decision: can_send(), send(), the view that the worker claims by, and explain() say the same; who was erased, which sender, which subject.
\set VERBOSITY sqlstate
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE FUNCTION pg_temp.person(phone text, level text DEFAULT 'confirmed', attributes jsonb DEFAULT '{}') RETURNS bigint LANGUAGE sql AS $$
	SELECT smsflow.subscribe(phone, '{transactional,conversational,cart,promotional}', level => level,
		disclosure => 'Offers and shopping cart reminders by text', attributes => attributes, occurred_at => '2020-01-01') $$;
-- What the store is told, what became of the message, what the worker is told: in one transaction, so at one instant.
CREATE FUNCTION pg_temp.said(phone text, purpose text, subject text DEFAULT NULL, pool text DEFAULT 'decision')
	RETURNS TABLE (allowed boolean, reason text, heals boolean, status text, "same as send" boolean, "same as the claim" boolean, "same as explain" boolean) LANGUAGE plpgsql AS $$
DECLARE
	word record;
	id bigint;
BEGIN
	SELECT * INTO word FROM smsflow.can_send(phone, purpose, subject => subject, pool => pool);
	id := smsflow.send(phone, 'Decision: a text', purpose, subject => subject, pool => pool, expires_in => '9 days');
	RETURN QUERY SELECT word.allowed, word.reason, word.retry_at IS NOT NULL, m.status,
		CASE WHEN word.reason IS NOT NULL AND word.retry_at IS NULL THEN m.status = 'suppressed' AND m.reason = word.reason ELSE m.status = 'queued' AND m.reason IS NULL END,
		-- Refused before it had a sender, it has none.
		word.reason = 'country_not_allowed' OR g.reason IS NOT DISTINCT FROM word.reason AND g.retry_at IS NOT DISTINCT FROM word.retry_at,
		CASE WHEN word.reason IS NULL THEN NOT EXISTS (SELECT FROM smsflow.explain(id) e WHERE e.detail LIKE '%the gate says%')
			ELSE EXISTS (SELECT FROM smsflow.explain(id) e WHERE strpos(e.detail, smsflow.refusal_words(word.reason, word.retry_at)) > 0) END
	FROM smsflow.message m JOIN smsflow.gated g USING (message_id) WHERE m.message_id = id;
END $$;
SELECT smsflow.add_gateway('decision', 'generic_json', 'https://sms.example') > 0 AS gateway,
	smsflow.add_sender('+14155550190', 'decision', pool => 'decision', options => '{"countries": ["US", "GB", "FR", "DE", "HK"]}') > 0 AS sender;

-- Every reason, three times the same. ------------------------------------------------
SELECT count(pg_temp.person('+1404555019' || n)) AS people FROM generate_series(1, 6) n;
SELECT pg_temp.person('+13055550191') > 0 AS florida, pg_temp.person('+447400123490') > 0 AS britain, pg_temp.person('+34612345690') > 0 AS spain,
	pg_temp.person('+18005550190') > 0 AS nowhere, pg_temp.person('+4915112345690', 'implied') > 0 AS implied, pg_temp.person('+33612345690') > 0 AS france;
-- Open all day, but in France only in three days; in Hong Kong nobody knows the zone.
INSERT INTO smsflow.policy_rule (jurisdiction, purpose, kind, value)
	SELECT j, p, 'window', 'Mon-Sun 00:00-24:00' FROM unnest('{US,US-*,US-FL,GB,DE,*}'::text[]) j, unnest('{cart,promotional}'::text[]) p;
INSERT INTO smsflow.policy_rule (jurisdiction, purpose, kind, value) VALUES ('FR', 'promotional', 'window', to_char(now() + interval '3 days', 'Dy') || ' 10:00-11:00');
SELECT smsflow.opt_out('+14045550192') IS NOT NULL AS stopped, smsflow.erase_contact('+14045550193') AS erased;
UPDATE smsflow.contact SET reachability = 'unreachable' WHERE phone::text = '+14045550194';
INSERT INTO smsflow.touch SELECT contact_id, now() - n * interval '1 hour', n, 'promotional', 'sale' FROM smsflow.contact, generate_series(1, 3) n WHERE phone::text = '+13055550191';
INSERT INTO smsflow.touch SELECT contact_id, now() - n * interval '1 hour', n, 'promotional', 'sale ' || n FROM smsflow.contact, generate_series(1, 10) n WHERE phone::text = '+14045550195';
SELECT c.what, s.* FROM (VALUES
	(1, 'may leave', '+14045550191', 'promotional', NULL),
	(2, 'never agreed', '+14045550199', 'promotional', NULL),
	(3, 'said stop', '+14045550192', 'promotional', NULL),
	(4, 'erased', '+14045550193', 'transactional', NULL),
	(5, 'erased, asks for a code', '+14045550193', 'otp', NULL),
	(6, 'agreed too softly', '+4915112345690', 'promotional', NULL),
	(7, 'agreed softly, order notice', '+4915112345690', 'transactional', NULL),
	(8, 'out of reach', '+14045550194', 'promotional', NULL),
	(9, 'out of reach, order notice', '+14045550194', 'transactional', NULL),
	(10, 'quiet hours', '+33612345690', 'promotional', NULL),
	(11, 'quiet hours, order notice', '+33612345690', 'transactional', NULL),
	(12, 'had ten in a week', '+14045550195', 'promotional', NULL),
	(13, 'had three on the sale', '+13055550191', 'promotional', 'sale'),
	(14, 'another subject', '+13055550191', 'promotional', 'shoes'),
	(15, 'a country that the sender may not write to', '+34612345690', 'transactional', NULL),
	(16, 'nobody knows the zone', '+18005550190', 'promotional', NULL)) c (n, what, phone, purpose, subject),
	LATERAL pg_temp.said(c.phone, c.purpose, c.subject) s ORDER BY c.n;
INSERT INTO smsflow.policy_rule (jurisdiction, kind, value) VALUES ('US', 'registration', 'true');
SELECT s.* FROM pg_temp.said('+14045550191', 'promotional') s;
SELECT smsflow.set_sender('+14155550190', 'decision', registration => 'C1ABCDE') IS NOT NULL AS registered;
SELECT s.* FROM pg_temp.said('+14045550191', 'promotional') s;

-- Who was erased. ----------------------------------------------------------------------
SELECT smsflow.create_brand('decision') > 0 AS brand;
SELECT reason FROM smsflow.can_send('+14045550193', 'promotional', brand => 'decision');
SELECT smsflow.subscribe('+14045550193', '{promotional}', source => 'web', level => 'written') > 0 AS back;
SELECT reason FROM smsflow.can_send('+14045550193', 'promotional');
SELECT smsflow.erase_contact('+14045550193') AS erased;
-- Without the key nobody can tell: what needs no consent waits.
BEGIN;
DELETE FROM smsflow.secret WHERE name = 'suppression_key';
SELECT reason, retry_at FROM smsflow.can_send('+14045550198', 'transactional');
INSERT INTO smsflow.policy_rule (jurisdiction, purpose, kind, value) SELECT j, 'transactional', 'consent_level', 'none' FROM unnest('{*}'::text[]) j;
SELECT reason, retry_at - now() AS retry FROM smsflow.can_send('+14045550198', 'transactional');
SELECT reason FROM smsflow.can_send('+14045550198', 'otp');
ROLLBACK;
-- A message whose contact is gone, however that came about.
BEGIN;
SELECT smsflow.send('+14045550196', 'Your order has left', 'transactional', pool => 'decision') AS id \gset
INSERT INTO smsflow.removed_contact (contact_id, brand_id, ledger_head, reason) SELECT contact_id, brand_id, ledger_head, 'undo_import' FROM smsflow.contact WHERE phone::text = '+14045550196';
DELETE FROM smsflow.contact WHERE phone::text = '+14045550196';
SELECT reason, retry_at FROM smsflow.gated WHERE message_id = :id;
ROLLBACK;

-- Subjects. ------------------------------------------------------------------------------
SELECT smsflow.send('+14045550191', 'x', 'promotional', subject => '');
SELECT smsflow.send('+14045550191', 'x', 'promotional', subject => repeat('s', 256));
SELECT smsflow.send('+14045550191', 'Sale', 'promotional', subject => 'spring', pool => 'decision') AS id \gset
SELECT o.subject, g.subject FROM smsflow.outbox o JOIN smsflow.gated g USING (message_id) WHERE message_id = :id;
SELECT smsflow.create_segment('decision', $$attributes ->> 'x' IS NULL$$) > 0 AS segment;
SELECT smsflow.create_campaign('decision', 'decision', 'Sale', options => '{"subject": ""}');
SELECT smsflow.create_campaign('decision', 'decision', 'Sale', options => '{"subject": "spring", "pool": "decision"}') > 0 AS campaign;
SELECT smsflow.create_sequence('decision', 'cart', options => '{"subject": 7}');
SELECT smsflow.create_sequence('decision', 'cart', options => '{"subject": "carts"}') > 0 AS sequence;
SELECT smsflow.launch_campaign('decision');
SELECT count(smsflow.advance_campaigns(1000)) >= 0 AS advanced;
SELECT DISTINCT g.subject FROM smsflow.gated g JOIN smsflow.campaign k USING (campaign_id) WHERE k.name = 'decision';

-- Without a sender when it was asked for, the one it would leave from is one that may. -------
BEGIN;
UPDATE smsflow.sender SET enabled = false;
SELECT smsflow.any_sender('+447400123490', NULL, 1);
SELECT smsflow.add_sender('+14155550191', 'decision', options => '{"countries": ["US"]}') > 0 AS us, smsflow.add_sender('+447400123491', 'decision', pool => 'gb', options => '{"countries": ["GB"]}') > 0 AS gb,
	smsflow.add_sender('+14155550192', 'decision', options => '{"countries": ["US"]}', registration => 'C2ABCDE') > 0 AS registered;
SELECT p AS person, s.address FROM unnest('{+447400123490,+14045550191}'::text[]) p,
	LATERAL (SELECT smsflow.any_sender(p::smsflow.phone, NULL, 4) AS id OFFSET 0) a JOIN smsflow.sender s ON s.sender_id = a.id ORDER BY 1;
UPDATE smsflow.outbox SET queue_id = 5 WHERE body = 'Sale' AND queue_id <> 0;
SELECT DISTINCT g.recipient, s.options ->> 'countries' AS countries, g.reason FROM smsflow.gated g LEFT JOIN smsflow.sender s USING (sender_id)
	WHERE g.body = 'Sale' AND g.queue_id = 5 AND g.recipient::text IN ('+14045550191', '+33612345690') ORDER BY 1;
ROLLBACK;
DELETE FROM smsflow.policy_rule WHERE NOT builtin AND kind <> 'suspended';
SELECT smsflow.drop_sequence('decision') IS NOT NULL AS dropped;
