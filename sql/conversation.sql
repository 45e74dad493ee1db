-- Conversations: who said what, questions that a person has to answer, and the answer of a closed shop.
SELECT smsflow.suspend_rule('window');
INSERT INTO smsflow.secret (name, value) VALUES ('callback_key', 'regress') ON CONFLICT DO NOTHING;
SELECT smsflow.add_gateway('cv', 'kannel', 'https://kannel.example.com', '{"username": "shop"}') > 0 AS added;
SELECT smsflow.add_sender('+12065550200', 'cv', pool => 'cv_pool') > 0 AS added;
SELECT smsflow.create_brand('Talkative') > 0 AS made;
CREATE FUNCTION pg_temp.says(digits text, words text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	path CONSTANT text := '/in/cv';
	code integer;
BEGIN
	SELECT status INTO code FROM smsflow.receive_callback('cv', 'GET', path || '/' || smsflow.callback_mac(path),
		format('from=1206556%s&to=12065550200&text=%s&id=%s', digits, replace(words, ' ', '+'), digits || md5(words || clock_timestamp())), '{}', '');
	RETURN CASE WHEN code BETWEEN 200 AND 299 THEN (SELECT max(inbound_id) FROM smsflow.inbound) ELSE -code END;
END $$;
SELECT count(smsflow.subscribe('+1206556' || d, '{promotional,transactional,conversational}', 'web', 'Offers by text', 'written', brand => 'Talkative')) AS people
	FROM unnest('{0271,0272,0273}'::text[]) d;
CREATE TEMP VIEW answers AS SELECT right(o.recipient::text, 4) AS who, o.purpose, o.refusal, o.body, o.dedup_key LIKE 'smsflow:closed:%' AS closed
	FROM smsflow.outbox o WHERE o.recipient::text LIKE '+1206556027_' ORDER BY message_id;

-- Without hours nobody is told that the shop is closed.
SELECT pg_temp.says('0271', 'Do you have it in red') > 0 AS heard;
SELECT * FROM answers;

-- Hours that are over: the answer comes once a day, and only to questions.
SELECT smsflow.set_business_hours(ARRAY[to_char((now() AT TIME ZONE 'UTC') + interval '2 days', 'Dy') || ' 09:00-17:00'], brand => 'Talkative');
UPDATE smsflow.auto_reply SET body = '{{brand}} is closed' WHERE action = 'closed';
SELECT pg_temp.says('0271', 'Or in blue') > 0 AS heard, pg_temp.says('0271', 'Hello') > 0 AS again, pg_temp.says('0272', 'HELP') > 0 AS help, pg_temp.says('0273', 'STOP') > 0 AS stop;
SELECT who, purpose, refusal, closed, CASE WHEN closed THEN body END AS body FROM answers;
-- Who has ended it gets no answer either, by the machine or by a person.
SELECT pg_temp.says('0273', 'Why do you write') AS asked \gset
SELECT smsflow.reply(:asked, 'Because') > 0 AS replied;
SELECT refusal, body FROM answers WHERE who = '0273' AND purpose = 'conversational';
-- Open around the clock.
SELECT smsflow.set_business_hours('{Mon-Sun 00:00-24:00}', 'Europe/Oslo', brand => 'Talkative');
SELECT pg_temp.says('0272', 'Are you there') AS question \gset
SELECT who, count(*) FROM answers WHERE closed GROUP BY 1 ORDER BY 1;
SELECT smsflow.window_open('{Mon-Fri 09:00-17:00,Sat 10:00-14:00}', t) FROM unnest('{2026-11-20 09:00,2026-11-20 17:00,2026-11-21 13:59,2026-11-22 12:00,infinity}'::timestamp[]) t;
SELECT smsflow.set_business_hours(NULL, brand => 'Talkative');
SELECT count(*) FROM smsflow.business_hours h JOIN smsflow.brand b USING (brand_id) WHERE b.name = 'Talkative';

-- A person answers, and the whole can be read.
SELECT smsflow.reply(:question, 'We are: what can we do for you?') AS answer \gset
INSERT INTO smsflow.touch (contact_id, sent_at, message_id, purpose, subject) SELECT contact_id, clock_timestamp(), message_id, purpose, '' FROM smsflow.outbox WHERE message_id = :answer;
SELECT brand, direction, kind, body, status, message_id = :answer AS ours FROM smsflow.conversation
	WHERE contact_id = (SELECT contact_id FROM smsflow.inbound WHERE inbound_id = :question) ORDER BY at;

-- What was sent to many at one time is there for each of them.
DELETE FROM smsflow.touch WHERE message_id = :answer;
INSERT INTO smsflow.touch_run SELECT contact_id >> 6, clock_timestamp(), 'promotional', '', true, false, ARRAY[(contact_id & 63) # 1, contact_id & 63], ARRAY[0, message_id]
	FROM smsflow.outbox WHERE message_id = :answer;
SELECT direction, kind, message_id = :answer AS ours FROM smsflow.conversation
	WHERE contact_id = (SELECT contact_id FROM smsflow.inbound WHERE inbound_id = :question) ORDER BY at;

-- Of one contact no more is read than what is its own.
CREATE FUNCTION pg_temp.plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || query;
END $$;
SET enable_seqscan = off;
SELECT DISTINCT regexp_replace(trim(line), '_\d+\M', '') AS found_by FROM pg_temp.plan('SELECT * FROM smsflow.conversation WHERE contact_id = 7') line
	WHERE line ~ 'Index Cond: \(\(?(contact_id|span) = ' ORDER BY 1;
RESET enable_seqscan;

-- An answer is dressed when the brand wants that of conversations.
SELECT smsflow.set_text_policy('{conversational}', prefix => 'Talkative team: ', brand => 'Talkative');
SELECT smsflow.reply(:question, 'It’s on its way') AS answer \gset
SELECT body FROM smsflow.outbox WHERE message_id = :answer;

-- What is refused.
\set VERBOSITY sqlstate
SELECT smsflow.set_business_hours('{Mon-Fri}', brand => 'Talkative');
SELECT smsflow.set_business_hours('{Mon-Fri 09:00-17:00 except holidays}', brand => 'Talkative');
SELECT smsflow.set_business_hours('{Mon-Fri 09:00-17:00}', 'Europe/Nowhere', brand => 'Talkative');
SELECT smsflow.set_business_hours('{Mon-Fri 09:00-17:00}', brand => 'Nobody');
SELECT smsflow.reply(0, 'Hello');
SELECT smsflow.reply(:question, '');
SELECT smsflow.erase_contact('+12065560272', 'Talkative');
SELECT smsflow.reply(:question, 'Hello');
