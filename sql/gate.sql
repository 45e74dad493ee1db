-- The gate: quiet hours by law and place, caps, carts, content, and rules that are refused when written.
\set VERBOSITY sqlstate
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
CREATE FUNCTION pg_temp.person(phone text, attributes jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
	SELECT smsflow.subscribe(phone, '{transactional,conversational,cart,promotional}', level => 'confirmed', disclosure => 'Offers and shopping cart reminders by text', attributes => attributes,
		occurred_at => '2020-01-01') $$;
-- What the gate says at an instant, and the same minute as the recipient's clock shows it.
CREATE FUNCTION pg_temp.word(phone text, at timestamptz, zone text, purpose text DEFAULT 'promotional')
	RETURNS TABLE (clock text, reason text, retry text) LANGUAGE sql AS $$
	SELECT to_char(at AT TIME ZONE zone, 'Dy MM-DD HH24:MI:SS'), g.reason, to_char(g.retry_at AT TIME ZONE zone, 'Dy MM-DD HH24:MI:SS')
	FROM smsflow.can_send(phone, purpose, at) g $$;

-- States. ----------------------------------------------------------------------------
SELECT pg_temp.person(p) FROM unnest('{+17135550171,+12155550171,+13055550171,+14045550171,+16015550171,+14015550171}'::text[]) p;
-- Texas: from noon on Sundays.
SELECT w.* FROM unnest('{2026-11-22 17:59:59Z,2026-11-22 18:00Z,2026-11-23 02:59:59Z,2026-11-23 03:00Z}'::timestamptz[]) at,
	pg_temp.word('+17135550171', at, 'America/Chicago') w;
-- Pennsylvania: closed on Sundays and holidays since October 2026.
SELECT w.* FROM unnest('{2026-10-11 17:00Z,2026-11-22 17:00Z,2026-11-21 23:59Z,2026-11-22 00:00Z,2026-11-26 17:00Z}'::timestamptz[]) at,
	pg_temp.word('+12155550171', at, 'America/New_York') w;
-- Florida: 8 to 20, every day.
SELECT w.* FROM unnest('{2026-11-22 12:59Z,2026-11-22 13:00Z,2026-11-23 00:59:59Z,2026-11-23 01:00Z}'::timestamptz[]) at,
	pg_temp.word('+13055550171', at, 'America/New_York') w;
-- Georgia: the federal window. Mississippi closes on Sundays. Rhode Island has two windows.
SELECT p, w.* FROM (VALUES ('+14045550171', '2026-11-23 01:59Z'::timestamptz, 'America/New_York'), ('+14045550171', '2026-11-23 02:00Z', 'America/New_York'),
	('+16015550171', '2026-11-22 18:00Z', 'America/Chicago'), ('+14015550171', '2026-11-21 14:30Z', 'America/New_York'),
	('+14015550171', '2026-11-21 22:00Z', 'America/New_York')) v (p, at, zone), pg_temp.word(p, at, zone) w;

-- Places. ----------------------------------------------------------------------------
-- Area code 850 lies in two zones: Florida's morning begins where the sun rises last, its evening where it sets first.
SELECT pg_temp.person('+18505550171');
SELECT w.* FROM unnest('{2026-11-23 13:59Z,2026-11-23 14:00Z,2026-11-24 00:59Z,2026-11-24 01:00Z}'::timestamptz[]) at,
	pg_temp.word('+18505550171', at, 'America/Chicago') w;
-- What the customer said counts for the clock; the number's state stays.
SELECT pg_temp.person('+13055550172', '{"time_zone": "America/Los_Angeles"}');
SELECT w.* FROM unnest('{2026-11-23 13:00Z,2026-11-23 16:00Z,2026-11-24 04:00Z}'::timestamptz[]) at,
	pg_temp.word('+13055550172', at, 'America/Los_Angeles') w;
-- An address in another state: both states' rules.
SELECT pg_temp.person('+14045550172', '{"region": "US-PA"}');
SELECT w.* FROM unnest('{2026-11-22 17:00Z,2026-11-23 13:30Z,2026-11-23 14:00Z}'::timestamptz[]) at, pg_temp.word('+14045550172', at, 'America/New_York') w;
-- A law does not depend on how a form writes the state.
SELECT pg_temp.person('+14045550178', '{"region": "us-pa"}');
SELECT reason FROM smsflow.can_send('+14045550178', 'promotional', '2026-11-22 17:00Z');
-- No state, no zone: refused; with a zone, what is open in all states.
SELECT pg_temp.person('+18005550171'), pg_temp.person('+18005550172', '{"time_zone": "America/Denver"}');
SELECT p, w.* FROM (VALUES ('+18005550171', '2026-11-23 18:00Z'::timestamptz), ('+18005550172', '2026-11-23 16:59Z'), ('+18005550172', '2026-11-23 17:00Z'),
	('+18005550172', '2026-11-22 18:00Z')) v (p, at), pg_temp.word(p, at, 'America/Denver') w;
-- Other countries: half an hour off, holidays, several zones, none.
SELECT pg_temp.person(p) FROM unnest('{+919876543210,+33612345678,+61412345678,+85251234567}'::text[]) p;
SELECT p, w.* FROM (VALUES ('+919876543210', '2026-11-23 04:29Z'::timestamptz, 'Asia/Kolkata'), ('+919876543210', '2026-11-23 04:30Z', 'Asia/Kolkata'),
	('+33612345678', '2026-07-13 12:00Z', 'Europe/Paris'), ('+33612345678', '2026-07-14 12:00Z', 'Europe/Paris'),
	('+61412345678', '2026-11-23 10:00Z', 'Australia/Sydney'), ('+61412345678', '2026-11-23 09:59Z', 'Australia/Sydney'),
	('+85251234567', '2026-11-23 04:00Z', 'Asia/Hong_Kong')) v (p, at, zone), pg_temp.word(p, at, zone) w;

-- The days on which clocks change. -------------------------------------------------
SELECT w.* FROM unnest('{2026-03-08 11:59:59Z,2026-03-08 12:00Z,2026-03-07 13:00Z,2026-03-08 01:00Z,2026-11-01 12:00Z,2026-11-01 13:00Z,2026-11-01 00:00Z,2026-11-02 01:00Z}'::timestamptz[]) at,
	pg_temp.word('+13055550171', at, 'America/New_York') w ORDER BY at;
SELECT pg_temp.person('+447400123456');
SELECT w.* FROM unnest('{2026-03-29 06:59Z,2026-03-29 07:00Z,2026-03-28 21:00Z,2026-10-25 07:59Z,2026-10-25 08:00Z,2026-10-24 20:00Z}'::timestamptz[]) at,
	pg_temp.word('+447400123456', at, 'Europe/London') w ORDER BY at;

-- Purposes. --------------------------------------------------------------------------
SELECT p.purpose, w.* FROM unnest('{compliance,otp,transactional,conversational,cart,promotional}'::text[]) WITH ORDINALITY AS p (purpose, n),
	pg_temp.word('+13055550171', '2026-11-23 04:00Z', 'America/New_York', p.purpose) w ORDER BY n;
INSERT INTO smsflow.policy_rule (jurisdiction, purpose, kind, value) VALUES ('US-FL', 'conversational', 'windowed', 'true');
SELECT p.purpose, w.reason FROM unnest('{transactional,conversational}'::text[]) AS p (purpose),
	pg_temp.word('+13055550171', '2026-11-23 04:00Z', 'America/New_York', p.purpose) w;
DELETE FROM smsflow.policy_rule WHERE kind = 'windowed';
-- The consented profile: what large senders keep to where the person said yes.
INSERT INTO smsflow.policy_rule (purpose, kind, value) VALUES ('promotional', 'profile', 'consented');
SELECT w.* FROM unnest('{2026-11-22 16:59Z,2026-11-22 17:00Z}'::timestamptz[]) at, pg_temp.word('+12155550171', at, 'America/New_York') w;
DELETE FROM smsflow.policy_rule WHERE kind = 'profile';
-- Suspended rules, and back.
SELECT smsflow.suspend_rule('window', reason => 'a test');
SELECT reason FROM smsflow.can_send('+18005550171', 'promotional');
SELECT smsflow.resume_rule('window'), smsflow.resume_rule('window');
SELECT reason FROM smsflow.can_send('+18005550171', 'promotional');

-- Carts. -----------------------------------------------------------------------------
SELECT smsflow.subscribe('+13055550173', '{cart,promotional}', level => 'written') > 0 AS subscribed,
	smsflow.subscribe('+447400123457', '{cart}', level => 'express') > 0 AS abroad;
SELECT reason FROM smsflow.can_send('+13055550173', 'cart', '2099-11-22 17:00Z');
SELECT reason FROM smsflow.can_send('+447400123457', 'cart', '2099-11-22 17:00Z');
SELECT smsflow.cart_deadline('+13055550173', NULL, '2026-11-22 17:00Z'), smsflow.cart_deadline('+447400123457', NULL, '2026-11-22 17:00Z');
SELECT smsflow.cart_deadline('+447400123457', 'US-NY', '2026-11-22 17:00Z') AS address_in_the_us;

-- Caps. ------------------------------------------------------------------------------
CREATE FUNCTION pg_temp.touch(of text, at timestamptz, subject text DEFAULT '', purpose text DEFAULT 'promotional', ref text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	INSERT INTO smsflow.touch SELECT c.contact_id, at, 0, purpose::smsflow.purpose, subject, ref FROM smsflow.contact c WHERE c.phone::text = of $$;
CREATE FUNCTION pg_temp.ask(of text, at timestamptz, subject text DEFAULT NULL, purpose text DEFAULT 'promotional', ref text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', (g.d).reason, (g.d).retry_at) FROM (SELECT smsflow.gate(c.contact_id, c.phone, c.consent, purpose::smsflow.purpose,
		c.region, c.time_zone, c.time_zone_source, c.reachability, 1, subject, ref, NULL, NULL, NULL, at, c.brand_id) AS d
		FROM smsflow.contact c WHERE c.phone::text = of OFFSET 0) g $$;
-- Ten in seven days: there is room again when the tenth newest is a week old.
SELECT count(*), max(pg_temp.touch('+14045550171', '2026-11-16 15:00Z'::timestamptz + n * interval '10 hours', 'news ' || n)::text) AS touched FROM generate_series(0, 8) n;
SELECT pg_temp.ask('+14045550171', '2026-11-20 15:00Z');
SELECT pg_temp.touch('+14045550171', '2026-11-20 14:00Z', '', 'cart', 'cart 1');
SELECT pg_temp.ask('+14045550171', '2026-11-20 15:00Z');
SELECT pg_temp.ask('+14045550171', '2026-11-23 15:00Z');
-- Such a moment may be in the night: then it is the next morning.
UPDATE smsflow.touch SET sent_at = '2026-11-16 05:00Z' WHERE sent_at = '2026-11-16 15:00Z';
SELECT pg_temp.ask('+14045550171', '2026-11-20 15:00Z');
-- Purposes without a cap are not checked.
SELECT pg_temp.ask('+14045550171', '2026-11-20 15:00Z', purpose => 'transactional');
-- Florida: three in a day on the same subject, from whatever number.
SELECT count(*), max(pg_temp.touch('+13055550171', '2026-11-20 14:00Z'::timestamptz + n * interval '1 hour', 'sale')::text) AS touched FROM generate_series(0, 2) n;
SELECT pg_temp.ask('+13055550171', '2026-11-20 18:00Z', 'sale'), pg_temp.ask('+13055550171', '2026-11-20 18:00Z', 'shoes'),
	pg_temp.ask('+13055550171', '2026-11-21 14:00Z', 'sale');
-- One reminder per cart.
SELECT pg_temp.ask('+14045550171', '2026-11-23 15:00Z', purpose => 'cart', ref => 'cart 1'), pg_temp.ask('+14045550171', '2026-11-23 15:00Z', purpose => 'cart', ref => 'cart 2');

-- However long the history, no more of it is read than until the caps (ten in seven days, three on a subject in a day) are known; of one cart one row.
SELECT pg_temp.person('+13055550191'), pg_temp.person('+13055550192');
SELECT count(*), max(pg_temp.touch('+13055550191', now() - n * interval '30 hours', 'sale ' || n)::text) AS few FROM generate_series(1, 3) n;
SELECT count(*), max(pg_temp.touch('+13055550192', now() - n * interval '30 seconds', 'sale ' || n % 7, 'promotional', 'cart ' || n)::text) AS many FROM generate_series(1, 5000) n;
CREATE FUNCTION pg_temp.touches_read() RETURNS bigint LANGUAGE sql AS $$
	SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid))::bigint FROM pg_index WHERE indrelid = 'smsflow.touch'::regclass $$;
CREATE FUNCTION pg_temp.read_by(of text, purpose text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	before CONSTANT bigint := pg_temp.touches_read();
BEGIN
	PERFORM pg_temp.ask(of, now(), 'sale 3', purpose, 'cart x');
	RETURN pg_temp.touches_read() - before;
END $$;
SELECT p, pg_temp.read_by('+13055550191', p) BETWEEN 0 AND 4 AS few, pg_temp.read_by('+13055550192', p) BETWEEN 0 AND 3 * 7 + 3 AS many FROM unnest('{promotional,cart}'::text[]) p;
SELECT pg_temp.read_by('+13055550191', 'promotional') > 0 AS few_counted, pg_temp.read_by('+13055550192', 'promotional') > 0 AS many_counted;
-- Messages that use up nothing are walked over: 900 of them, and of 5,000 a thousand, which fill any cap.
SELECT pg_temp.person('+13055550193'), pg_temp.person('+13055550194');
INSERT INTO smsflow.touch (contact_id, sent_at, message_id, purpose, subject, counted)
	SELECT c.contact_id, now() - n * interval '100 seconds', n, 'otp', '', false FROM smsflow.contact c, generate_series(1, 5000) n
	WHERE c.phone::text = '+13055550194' OR (c.phone::text = '+13055550193' AND n <= 900);
SELECT pg_temp.ask('+13055550193', now()) LIKE 'frequency_cap%' AS alarmed, pg_temp.ask('+13055550194', now()) LIKE 'frequency_cap%' AS flooded,
	pg_temp.read_by('+13055550193', 'promotional') AS walked, pg_temp.read_by('+13055550194', 'promotional') BETWEEN 1000 AND 1010 AS bounded;
DELETE FROM smsflow.touch t USING smsflow.contact c WHERE c.contact_id = t.contact_id AND c.phone::text LIKE '+1305555019_';

-- A cap for members of a segment holds beside the others.
SELECT smsflow.create_segment('texans', $$region = 'US-TX'$$) > 0 AS made;
SELECT pg_temp.person('+17135550181', '{"region": "US-TX"}'), pg_temp.person('+17135550182');
SELECT pg_temp.touch(p, '2026-11-20 16:00Z', 'one'), pg_temp.touch(p, '2026-11-20 17:00Z', 'two') FROM unnest('{+17135550181,+17135550182}'::text[]) p;
INSERT INTO smsflow.policy_rule (purpose, kind, value, segment) VALUES ('promotional', 'cap', '2 per 3 days', 'texans');
SELECT pg_temp.ask('+17135550181', '2026-11-20 18:00Z') AS member, pg_temp.ask('+17135550182', '2026-11-20 18:00Z') AS other,
	pg_temp.ask('+17135550181', '2026-11-23 16:00Z') AS room_again;
INSERT INTO smsflow.policy_rule (purpose, kind, value, segment) VALUES ('promotional', 'cap', '3 per 3 days', 'texans');
INSERT INTO smsflow.policy_rule (purpose, kind, value, segment) VALUES ('promotional', 'cap', '3 per 3 days', 'nobody knows');
INSERT INTO smsflow.policy_rule (kind, value, segment) VALUES ('max_parts', '3', 'texans');
SELECT smsflow.drop_segment('texans');
-- Where the predicate fails the message waits; that holds for its contact alone.
-- create_segment() tries a condition, so this one is stored as if it had become so later.
INSERT INTO smsflow.segment (name, predicate) VALUES ('shaky', $$1 / (CASE WHEN region = 'US-TX' THEN 0 ELSE 2 END) = 0$$);
UPDATE smsflow.policy_rule SET segment = 'shaky' WHERE segment = 'texans';
SELECT pg_temp.ask('+17135550181', '2026-11-20 18:00Z') AS failing, pg_temp.ask('+17135550182', '2026-11-20 18:00Z') AS member;
SELECT reason FROM smsflow.can_send('+17135550181', 'promotional', '2026-11-20 18:00Z');
DELETE FROM smsflow.policy_rule WHERE segment IS NOT NULL;
-- One that never ends is ended, and not begun again for a while.
INSERT INTO smsflow.segment (name, predicate) VALUES ('endless', $$(WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT count(*) FROM n) > 0$$);
INSERT INTO smsflow.policy_rule (purpose, kind, value, segment) VALUES ('promotional', 'cap', '2 per 3 days', 'endless');
SELECT pg_temp.ask('+17135550182', '2026-11-20 18:00Z') AS waits;
SELECT pg_temp.ask(p, '2026-11-20 18:00Z') AS waits FROM unnest('{+17135550181,+17135550182}'::text[]) p;
SELECT pg_temp.ask('+17135550182', '2026-11-20 18:00Z', purpose => 'transactional') AS what_has_no_cap;
DELETE FROM smsflow.policy_rule WHERE segment IS NOT NULL;
SELECT smsflow.drop_segment('shaky'), smsflow.drop_segment('texans'), smsflow.drop_segment('endless');

-- Two flags, of purposes and of campaigns: whether a message is checked, and whether it counts.
CREATE FUNCTION pg_temp.ask_for(of text, at timestamptz, options jsonb, body text DEFAULT NULL, subject text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', (g.d).reason, (g.d).retry_at) FROM (SELECT smsflow.gate(c.contact_id, c.phone, c.consent, 'promotional',
		c.region, c.time_zone, c.time_zone_source, c.reachability, 1, subject, NULL, NULL, NULL, NULL, at, c.brand_id, options, body) AS d
		FROM smsflow.contact c WHERE c.phone::text = of OFFSET 0) g $$;
INSERT INTO smsflow.policy_rule (purpose, kind, value) VALUES ('promotional', 'cap', '2 per 3 days');
SELECT pg_temp.ask_for('+17135550182', '2026-11-20 18:00Z', '{}') AS checked, pg_temp.ask_for('+17135550182', '2026-11-20 18:00Z', '{"cap_checked": false}') AS not_checked;
INSERT INTO smsflow.policy_rule (purpose, kind, value) VALUES ('promotional', 'cap_checked', 'false');
SELECT pg_temp.ask_for('+17135550182', '2026-11-20 18:00Z', '{}') AS not_checked, pg_temp.ask_for('+17135550182', '2026-11-20 18:00Z', '{"cap_checked": true}') AS checked;
DELETE FROM smsflow.policy_rule WHERE kind = 'cap_checked';
UPDATE smsflow.touch SET counted = false WHERE subject = 'two';
SELECT pg_temp.ask_for('+17135550182', '2026-11-20 18:00Z', '{}') AS one_does_not_count;
-- The law on one subject knows neither flag.
UPDATE smsflow.touch SET counted = false WHERE subject = 'sale';
SELECT pg_temp.ask_for('+13055550171', '2026-11-20 18:00Z', '{"cap_checked": false}', subject => 'sale') AS by_law;
SELECT smsflow.create_campaign('flags', 'everybody', 'Sale', options => '{"cap_counts": "no"}');
SELECT smsflow.create_sequence('flags', 'cart', '{"cap_checked": 1}');
DELETE FROM smsflow.policy_rule WHERE kind = 'cap' AND NOT builtin;

-- Touches in runs count like those by themselves: the newest first, of either, and each contact for itself.
CREATE FUNCTION pg_temp.run(of text[], at timestamptz, subject text, counted boolean DEFAULT true, wording boolean DEFAULT false) RETURNS void LANGUAGE sql AS $$
	INSERT INTO smsflow.touch_run SELECT c.contact_id >> 6, at, 'promotional', subject, counted, wording, array_agg(c.contact_id & 63), array_agg(100 + n)
	FROM unnest(of) WITH ORDINALITY AS o (p, n) JOIN smsflow.contact c ON c.phone::text = o.p GROUP BY 1 $$;
INSERT INTO smsflow.policy_rule (purpose, kind, value) VALUES ('promotional', 'cap', '2 per 3 days');
SELECT pg_temp.person('+17135550184'), pg_temp.person('+17135550185'), pg_temp.person('+17135550186');
SELECT pg_temp.run('{+17135550184,+17135550185}', '2026-11-20 16:00Z', 'one'), pg_temp.touch('+17135550184', '2026-11-20 17:00Z', 'two');
SELECT p, pg_temp.ask(p, '2026-11-20 18:00Z') FROM unnest('{+17135550184,+17135550185,+17135550186}'::text[]) p;
SELECT pg_temp.run('{+17135550184,+17135550186,+17135550186}', '2026-11-20 17:30Z', 'three'), pg_temp.run('{+17135550185}', '2026-11-20 17:40Z', 'four', counted => false);
SELECT p, pg_temp.ask(p, '2026-11-20 18:00Z'), pg_temp.ask(p, '2026-11-20 16:30Z') AS before FROM unnest('{+17135550184,+17135550185,+17135550186}'::text[]) p;
SELECT t.sent_at, t.subject, t.counted FROM smsflow.touched t JOIN smsflow.contact c USING (contact_id)
	WHERE c.phone::text = '+17135550184' AND t.span = c.contact_id >> 6 ORDER BY 1;
SELECT smsflow.answered_purpose(c.contact_id) FROM smsflow.contact c WHERE c.phone::text = '+17135550186';
-- A message does not stop itself, and no number of runs is too much: of 5,000 a thousand fill any cap.
SELECT (smsflow.gate(c.contact_id, c.phone, c.consent, 'promotional', c.region, c.time_zone, c.time_zone_source, c.reachability, 103, NULL, NULL, NULL, NULL, NULL,
	'2026-11-20 18:00Z', c.brand_id)).reason AS of_its_own FROM smsflow.contact c WHERE c.phone::text = '+17135550186';
SELECT count(*), max(pg_temp.run('{+17135550185}', now() - n * interval '100 seconds', 'uncounted', counted => false)::text) AS made FROM generate_series(1, 5000) n;
SELECT pg_temp.ask('+17135550185', now()) LIKE 'frequency_cap%' AS flooded;
DELETE FROM smsflow.touch_run WHERE subject = 'uncounted';
DELETE FROM smsflow.policy_rule WHERE kind = 'cap' AND NOT builtin;
SELECT pg_temp.run('{+13055550171,+13055550171,+13055550171}', '2026-11-20 17:00Z', 'shoes');
SELECT pg_temp.ask('+13055550171', '2026-11-20 18:00Z', 'shoes') AS by_law, pg_temp.ask('+13055550171', '2026-11-20 18:00Z', 'socks') AS on_another_subject;
SELECT pg_temp.run('{+17135550184,+17135550185,+17135550186}', now() - interval '36 days', 'old');
SELECT smsflow.forget_touches() AS three;

-- How to opt out: due on the first message, and when none has said so for thirty days.
INSERT INTO smsflow.policy_rule (purpose, kind, value) VALUES ('promotional', 'opt_out_wording', '30 days');
SELECT pg_temp.person('+17135550183');
SELECT pg_temp.ask_for('+17135550183', '2026-11-20 18:00Z', '{}', 'Sale') AS first, pg_temp.ask_for('+17135550183', '2026-11-20 18:00Z', '{}', 'Sale, Stop ends') AS said,
	smsflow.content_refusal('Sale', 'promotional', 'default') AS of_the_text_alone;
SELECT pg_temp.touch('+17135550183', '2026-10-28 18:00Z');
SELECT pg_temp.ask_for('+17135550183', '2026-11-20 18:00Z', '{}', 'Sale') AS said_in_none;
UPDATE smsflow.touch SET wording = true WHERE sent_at = '2026-10-28 18:00Z';
SELECT pg_temp.ask_for('+17135550183', '2026-11-20 18:00Z', '{}', 'Sale') AS not_due, pg_temp.ask_for('+17135550183', '2026-11-27 19:00Z', '{}', 'Sale') AS due_again;
UPDATE smsflow.touch SET wording = false;
SELECT pg_temp.run('{+17135550183}', '2026-10-29 18:00Z', '', wording => true);
SELECT pg_temp.ask_for('+17135550183', '2026-11-20 18:00Z', '{}', 'Sale') AS not_due, pg_temp.ask_for('+17135550183', '2026-11-28 19:00Z', '{}', 'Sale') AS due_again;
DELETE FROM smsflow.touch_run;
SELECT smsflow.send('+17135550183', 'Sale', 'promotional') AS id \gset
SELECT reason FROM smsflow.gated WHERE message_id = :id;
SELECT detail LIKE 'the gate says: the text does not say how to opt out' AS told FROM smsflow.explain(:id) WHERE what LIKE 'status now%';
SELECT smsflow.cancel(:id);
DELETE FROM smsflow.policy_rule WHERE kind = 'opt_out_wording';
INSERT INTO smsflow.policy_rule (purpose, kind, value) VALUES ('promotional', 'opt_out_wording', '36 days');
INSERT INTO smsflow.policy_rule (purpose, kind, value) VALUES ('promotional', 'cap', '100 per 36 days');

-- Senders, reachability. -------------------------------------------------------------
CREATE FUNCTION pg_temp.from(of text, kind text, registration text, options jsonb, purpose text DEFAULT 'transactional') RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', (g.d).reason, (g.d).retry_at) FROM (SELECT smsflow.gate(c.contact_id, c.phone, c.consent, purpose::smsflow.purpose,
		NULL, NULL, NULL, c.reachability, NULL, NULL, NULL, kind, registration, options, '2026-11-20 15:00Z', c.brand_id) AS d
		FROM smsflow.contact c WHERE c.phone::text = of OFFSET 0) g $$;
SELECT pg_temp.from('+13055550171', 'long_code', NULL, '{"countries": ["US", "CA"]}'), pg_temp.from('+447400123456', 'long_code', NULL, '{"countries": ["US", "CA"]}');
SELECT pg_temp.from('+13055550171', 'long_code', NULL, '{}') AS not_asked_for;
INSERT INTO smsflow.policy_rule (jurisdiction, kind, value) VALUES ('US', 'registration', 'true');
SELECT pg_temp.from('+13055550171', 'long_code', NULL, '{}'), pg_temp.from('+13055550171', 'toll_free', NULL, '{}', 'otp'),
	pg_temp.from('+13055550171', 'long_code', 'C123456', '{}'), pg_temp.from('+13055550171', 'short_code', NULL, '{}'), pg_temp.from('+447400123456', 'long_code', NULL, '{}');
DELETE FROM smsflow.policy_rule WHERE kind = 'registration';
UPDATE smsflow.contact SET reachability = 'unreachable' WHERE phone::text = '+13055550171';
SELECT pg_temp.ask('+13055550171', '2026-11-25 15:00Z'), pg_temp.ask('+13055550171', '2026-11-25 15:00Z', purpose => 'transactional');

-- Content. ---------------------------------------------------------------------------
SELECT left(body, 30) AS body, smsflow.content_refusal(body, 'promotional', 'Acme') FROM unnest(ARRAY['Sale: https://bit.ly/x', 'Sale: BIT.LY/x', 'rabbit.ly is ours', 'see https://t.co.', 'see t.com',
	'https://shop.example/sale', repeat('x', 1600)]) body;
SELECT smsflow.content_refusal('See https://bit.ly/x', 'transactional', 'Acme');
INSERT INTO smsflow.policy_rule (purpose, kind, value) VALUES ('promotional', 'brand_named', 'true'), ('promotional', 'opt_out_wording', 'true');
SELECT body, smsflow.content_refusal(body, 'promotional', 'Acme') FROM unnest(ARRAY['Sale', 'ACME: sale', 'Acme: sale, stopping soon', 'Acme: sale. Reply STOP to end']) body;
SELECT smsflow.check_content('{{brand}}: sale. STOP ends', 'promotional', 'Acme');
DELETE FROM smsflow.policy_rule WHERE kind IN ('brand_named', 'opt_out_wording');
SELECT smsflow.create_segment('gate', 'true') IS NOT NULL AS made;
SELECT smsflow.create_campaign('gate', 'gate', 'Sale: https://bit.ly/x');
SELECT smsflow.create_campaign('gate', 'gate', 'Sale', options => '{"budget": 0}');
SELECT smsflow.add_gateway('gate', 'generic_json', 'https://sms.example') > 0 AS gateway, smsflow.add_sender('+14155550175', 'gate', pool => 'gate') > 0 AS sender;
SELECT smsflow.create_campaign('gate', 'gate', 'Sale', options => '{"budget": 2, "pool": "gate"}') > 0 AS made;
SELECT smsflow.create_sequence('gate', 'cart') > 0 AS made;
SELECT smsflow.add_step('gate', '1 hour', 'Your cart: https://tinyurl.com/x');
SELECT smsflow.send('+14045550172', 'Sale: https://bit.ly/x', 'promotional') AS id \gset
SELECT status, reason FROM smsflow.message WHERE message_id = :id;

-- A message waits, it is not refused, and explain() says until when. ------------------
INSERT INTO smsflow.policy_rule (jurisdiction, purpose, kind, value) VALUES ('GB', 'conversational', 'windowed', 'true'),
	('GB', 'conversational', 'window', to_char(now() + interval '3 days', 'Dy') || ' 10:00-11:00');
SELECT smsflow.send('+447400123456', 'Any questions?', 'conversational', expires_in => '9 days') AS id \gset
SELECT m.status, g.reason, to_char(g.retry_at AT TIME ZONE 'Europe/London', 'HH24:MI') AS opens, g.retry_at > now() AS later
	FROM smsflow.message m JOIN smsflow.gated g USING (message_id) WHERE m.message_id = :id;
SELECT detail LIKE 'the gate says: quiet hours where the recipient is; asked again at %' AS told FROM smsflow.explain(:id) WHERE what LIKE 'status now%';
DELETE FROM smsflow.policy_rule WHERE purpose = 'conversational' AND kind IN ('windowed', 'window');

-- The budget of a campaign. ------------------------------------------------------------
SELECT smsflow.launch_campaign('gate');
SELECT smsflow.advance_campaigns(1000000) IS NOT NULL AS more;
SELECT k.queued_parts, k.waits_for, count(*) FILTER (WHERE o.refusal IS NULL) AS queued
	FROM smsflow.campaign k JOIN smsflow.outbox o USING (campaign_id) WHERE k.name = 'gate' GROUP BY 1, 2;

-- Rules that are refused when written. -------------------------------------------------
INSERT INTO smsflow.policy_rule (jurisdiction, kind, value) VALUES ('US', 'window', 'Mon-Fri 20:00-08:00');
INSERT INTO smsflow.policy_rule (jurisdiction, kind, value) VALUES ('US', 'window', 'Mon-Fri 08:00-25:00');
INSERT INTO smsflow.policy_rule (jurisdiction, kind, value) VALUES ('US-ZZ', 'window', 'Mon-Fri 08:00-20:00');
INSERT INTO smsflow.policy_rule (jurisdiction, kind, value) VALUES ('Florida', 'window', 'Mon-Fri 08:00-20:00');
INSERT INTO smsflow.policy_rule (jurisdiction, kind, value) VALUES ('FR', 'zone', 'Europe/Lutetia');
INSERT INTO smsflow.policy_rule (purpose, kind, value) VALUES ('marketing', 'cap', '3 per 24 hours');
INSERT INTO smsflow.policy_rule (purpose, kind, value) VALUES ('promotional', 'cap', 'three a day');
INSERT INTO smsflow.policy_rule (purpose, kind, value) VALUES ('otp', 'windowed', 'true');
INSERT INTO smsflow.policy_rule (purpose, kind, value) VALUES ('cart', 'consent_level', 'somewhat');
INSERT INTO smsflow.policy_rule (kind, value) VALUES ('siesta', 'true');
INSERT INTO smsflow.policy_rule (jurisdiction, kind, value) VALUES ('FR', 'holiday', '07-32');
UPDATE smsflow.policy_rule SET value = 'Sun 21:00-09:00' WHERE kind = 'window';
INSERT INTO smsflow.policy_rule (kind, value, effective) VALUES ('max_parts', '5', 'empty');
-- Two that hold at once and contradict each other; what follows in time, or has no minute in common, does not.
BEGIN;
INSERT INTO smsflow.policy_rule (purpose, kind, value, effective) VALUES ('promotional', 'cap', '3 per 1 days', '[2030-01-01,2031-01-01)');
SAVEPOINT s;
INSERT INTO smsflow.policy_rule (purpose, kind, value, effective) VALUES ('promotional', 'cap', '5 per 1 days', '[2030-06-01,)');
ROLLBACK TO s;
INSERT INTO smsflow.policy_rule (purpose, kind, value, effective) VALUES ('promotional', 'cap', '5 per 1 days', '[2031-01-01,)');
INSERT INTO smsflow.policy_rule (jurisdiction, kind, value) VALUES ('GB', 'window', 'Mon-Fri 09:00-17:00'), ('GB', 'window', 'Sat 10:00-12:00');
SAVEPOINT s;
INSERT INTO smsflow.policy_rule (jurisdiction, kind, value) VALUES ('GB', 'window', 'Fri-Sun 11:00-13:00');
ROLLBACK TO s;
INSERT INTO smsflow.policy_rule (jurisdiction, kind, value) VALUES ('GB', 'holiday', '12-26'), ('GB', 'holiday', '12-26');
ROLLBACK TO s;
-- The store's windows take the place of those that are shipped.
SELECT to_char(at, 'Dy HH24:MI') AS clock, reason FROM unnest('{2026-11-23 08:30Z,2026-11-23 09:00Z,2026-11-28 11:00Z,2026-11-29 11:00Z}'::timestamptz[]) at, smsflow.can_send('+447400123456', 'promotional', at);
ROLLBACK;
-- A shipped rule that is changed is the store's own from then on.
BEGIN;
UPDATE smsflow.policy_rule SET value = '8 per 7 days' WHERE kind = 'cap' AND builtin;
SELECT value, builtin, policy_rule_id > (SELECT max(policy_rule_id) FROM smsflow.policy_rule WHERE builtin) AS own_number FROM smsflow.policy_rule WHERE kind = 'cap' AND effective @> now();
ROLLBACK;
SELECT smsflow.suspend_rule('siesta');
-- What is shipped can be read.
UPDATE smsflow.policy_rule SET value = value;

-- I10 sees a request that was on the wire at night, and none by day. -----------------
BEGIN;
UPDATE smsflow.contact SET updated_at = '2020-01-01' WHERE phone::text = '+14045550172';
SELECT smsflow.send('+14045550172', 'An offer', 'promotional') AS id \gset
INSERT INTO smsflow.attempt (message_id, started_at, finished_at, generation, attempt, wire, outcome)
	SELECT o.message_id, at, at, 0, 1, 'yes', 'accepted' FROM smsflow.outbox o, unnest('{2026-11-23 03:00Z,2026-11-23 18:00Z}'::timestamptz[]) at WHERE o.message_id = :id;
SELECT replace(v, 'message ' || :'id' || ' ', 'message N ') AS violation FROM smsflow.check_quiet_hours() v WHERE v LIKE 'message ' || :id || ' %';
ROLLBACK;
