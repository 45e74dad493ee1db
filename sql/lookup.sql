-- Asking gateways about messages: which are asked about, when, by what, and what an answer means. All of it is undone at the end.
BEGIN;
DELETE FROM smsflow.lookup;
SELECT smsflow.suspend_rule(kind) FROM unnest('{window,cap,subject_cap}'::text[]) kind;
INSERT INTO smsflow.gateway_profile
	SELECT (jsonb_populate_record(p, '{"profile": "lk_asked", "builtin": false, "in_doubt": "poll", "lookup": {
		"by_reference": {"url": "/find?reference={{reference}}", "records": "list", "match": {"ref": "reference", "to": "to"}},
		"by_id": {"url": "/message/{{provider_id}}"}, "patience": 60}}')).* FROM smsflow.gateway_profile p WHERE p.profile = 'generic_json';
SELECT smsflow.add_gateway('lk_asked', 'lk_asked', 'https://sms.example.com') > 0 AS added, smsflow.add_gateway('lk_mute', 'generic_json', 'https://sms.example.com') > 0 AS added,
	smsflow.add_gateway('lk_hold', 'lk_asked', 'https://sms.example.com', '{"in_doubt": "hold"}') > 0 AS added;
SELECT smsflow.add_sender('+12025550150', g, pool => g) > 0 AS added FROM unnest('{lk_asked,lk_mute,lk_hold}'::text[]) g;

-- A message each, tried an hour ago: in doubt, but for bob's, which was accepted as gw-7.
CREATE TEMP TABLE sent (who text PRIMARY KEY, phone text, gateway text, purpose text, outcome text, provider_id text, message_id bigint) ON COMMIT DROP;
INSERT INTO sent VALUES ('ann', '+12025550481', 'lk_asked', 'transactional', 'in_doubt', NULL), ('bob', '+12025550482', 'lk_asked', 'transactional', 'accepted', 'gw-7'),
	('cyd', '+12025550483', 'lk_hold', 'transactional', 'in_doubt', NULL), ('dan', '+12025550484', 'lk_asked', 'promotional', 'in_doubt', NULL),
	('eve', '+12025550485', 'lk_mute', 'transactional', 'in_doubt', NULL);
SELECT count(smsflow.subscribe(phone, '{transactional,promotional}', 'web')) FROM sent;
UPDATE sent SET message_id = smsflow.send(phone, 'Hello', purpose, pool => gateway);
INSERT INTO smsflow.attempt (message_id, started_at, finished_at, generation, sender_id, attempt, wire, outcome, provider_id)
	SELECT s.message_id, now() - interval '1 hour', now() - interval '1 hour', 0, r.sender_id, 1, (CASE s.outcome WHEN 'accepted' THEN 'yes' ELSE 'maybe' END)::smsflow.wire, s.outcome::smsflow.attempt_outcome, s.provider_id
	FROM sent s JOIN smsflow.outbox o USING (message_id) JOIN smsflow.gateway g ON g.name = s.gateway JOIN smsflow.sender r USING (gateway_id);

-- Those are asked about whose gateway can be asked, unless its rule is hold.
SELECT smsflow.plan_lookups(array_agg(message_id), '0') FROM sent;
SELECT s.who, l.tries, l.due_at <= clock_timestamp() AS due, l.until > clock_timestamp() AS goes_on FROM smsflow.lookup l JOIN sent s USING (message_id) ORDER BY 1;
-- By the gateway's id where there is one, else by our reference; so many of one gateway at a time, and each later the next time.
SELECT count(*) FROM smsflow.take_lookups(10, 1);
UPDATE smsflow.lookup l SET due_at = clock_timestamp() FROM sent s WHERE s.message_id = l.message_id;
SELECT count(*) FROM smsflow.take_lookups(2, 8);
UPDATE smsflow.lookup l SET due_at = clock_timestamp() FROM sent s WHERE s.message_id = l.message_id;
SELECT s.who, t.attempt, t.recipient, t.provider_id, t.url FROM smsflow.take_lookups(10, 8) t JOIN sent s USING (message_id) ORDER BY 1;
SELECT sum(l.tries) AS tries, bool_and(l.due_at >= now() + interval '5 seconds' * power(2, l.tries - 1)) AS later FROM smsflow.lookup l JOIN sent s USING (message_id);

-- No answer, an error, no JSON: nothing is known. A gateway that asks for a pause has it for all its messages.
CREATE FUNCTION pg_temp.answer(who text, http_status integer, answer jsonb, retry_after bigint DEFAULT -1) RETURNS text LANGUAGE sql AS
	$$SELECT smsflow.record_lookup(s.message_id, http_status, retry_after, answer) FROM sent s WHERE s.who = answer.who$$;
SELECT pg_temp.answer('ann', 0, NULL), pg_temp.answer('ann', 503, '{"list": []}'), pg_temp.answer('ann', 200, NULL), pg_temp.answer('ann', 429, NULL, 600);
SELECT bool_and(l.due_at > clock_timestamp() + interval '9 minutes') AS paused FROM smsflow.lookup l JOIN sent s USING (message_id);
-- Another's record is none of ours, and what is missing waits for a person where it is marketing.
SELECT pg_temp.answer('dan', 200, jsonb_build_object('list', jsonb_build_array(jsonb_build_object('ref', message_id || '.1', 'to', '+12025550481', 'status', 'delivered')))) FROM sent WHERE who = 'dan';
SELECT l.finding, (SELECT count(*) FROM smsflow.timer t WHERE t.message_id = s.message_id) AS again FROM smsflow.lookup l JOIN sent s USING (message_id) WHERE s.who = 'dan';
-- What is transactional is due again, once the gateway has had the time to show it.
UPDATE smsflow.attempt a SET finished_at = clock_timestamp() FROM sent s WHERE s.who = 'ann' AND a.message_id = s.message_id;
SELECT pg_temp.answer('ann', 200, '{"list": []}');
UPDATE smsflow.attempt a SET finished_at = now() - interval '1 hour' FROM sent s WHERE s.who = 'ann' AND a.message_id = s.message_id;
SELECT pg_temp.answer('ann', 200, '{"list": []}');
SELECT t.attempt, t.reason, EXISTS (SELECT FROM smsflow.lookup l WHERE l.message_id = s.message_id) AS asked_about FROM smsflow.timer t JOIN sent s USING (message_id) WHERE s.who = 'ann';
SELECT pg_temp.answer('ann', 200, '{"list": []}') AS nobody_needs_it;
-- A record is kept as a report is.
SELECT pg_temp.answer('bob', 200, '{"id": "gw-7", "status": "delivered", "cost": "0.02", "currency": "USD"}');
SELECT smsflow.apply_callbacks(array_agg(c.callback_id)) FROM smsflow.callback c JOIN sent s USING (message_id) WHERE c.looked_up;
SELECT m.status, m.cost, m.currency FROM smsflow.message m JOIN sent s USING (message_id) WHERE s.who = 'bob';
SELECT pg_temp.answer('bob', 200, '{"id": "gw-7", "status": "delivered"}') AS nobody_needs_it;
SELECT s.who FROM smsflow.lookup l JOIN sent s USING (message_id);
ROLLBACK;
