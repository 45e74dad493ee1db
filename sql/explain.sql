-- What a message waits for, as far as the tables say it: its number, gateway, campaign and limits, those before it, its time.
\set VERBOSITY sqlstate
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE FUNCTION pg_temp.waits(id bigint) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT regexp_replace(e.detail, '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00', '(time)') FROM smsflow.explain(id) e
	WHERE e.what = 'waits for' AND e.detail !~ '^(worker|armed|version): ' $$;
SELECT smsflow.add_gateway('explain', 'generic_json', 'https://sms.example') > 0 AS gateway, smsflow.set_secret('explain', 's3cret') IS NOT NULL AS secret,
	smsflow.add_sender('+14155550180', 'explain', pool => 'explain') > 0 AS sender,
	smsflow.subscribe('+14045550181', '{transactional,promotional}', level => 'confirmed', disclosure => 'Offers by text', external_id => 'explain-1') > 0 AS contact;
SELECT smsflow.send('+14045550181', 'one', pool => 'explain') AS one \gset
SELECT smsflow.send('+14045550181', 'two', pool => 'explain') AS two \gset
SELECT smsflow.send('+14045550181', 'three', pool => 'explain') AS three \gset

-- The worker of this database sends nothing, and those before it come first.
SELECT count(*) > 0 AS worker FROM smsflow.explain(:one) WHERE what = 'waits for' AND detail LIKE 'worker: %';
SELECT pg_temp.waits(:one);
SELECT pg_temp.waits(:three);
SELECT smsflow.cancel(:two);
SELECT pg_temp.waits(:two);

-- Number, gateway, secret.
SELECT smsflow.set_sender('+14155550180', 'explain', enabled => false) IS NOT NULL AS off, smsflow.set_gateway('explain', enabled => false) IS NOT NULL AS gateway_off;
SELECT pg_temp.waits(:one);
SELECT smsflow.set_sender('+14155550180', 'explain', enabled => true) IS NOT NULL AS "on", smsflow.set_gateway('explain', enabled => true) IS NOT NULL AS gateway_on;
DELETE FROM smsflow.secret WHERE name = 'explain';
SELECT waits LIKE 'gateway "explain": %' AS secret_missing FROM pg_temp.waits(:one);
SELECT smsflow.set_secret('explain', 's3cret') IS NOT NULL AS secret;

-- Registrations: of its day, and of each minute; the brand above it, too.
SELECT smsflow.add_registration('EXPLAIN-B', 'brand', daily_limit => 100) > 0 AS brand;
SELECT smsflow.add_registration('EXPLAIN-C', 'campaign', parent => 'EXPLAIN-B', parts_per_minute => 60) > 0 AS campaign,
	smsflow.set_sender('+14155550180', 'explain', registration => 'EXPLAIN-C') IS NOT NULL AS sender;
SELECT pg_temp.waits(:one);
INSERT INTO smsflow.quota (scope, scope_id, day, parts) SELECT 'registration', registration_id, current_date, 96 FROM smsflow.registration WHERE name = 'EXPLAIN-B';
SELECT pg_temp.waits(:one);
-- What is kept for codes is for this one.
SELECT smsflow.send('+14045550181', 'your number is confirmed', 'compliance', pool => 'explain') AS confirmation \gset
SELECT pg_temp.waits(:confirmation);
SELECT smsflow.set_sender('+14155550180', 'explain', registration => '') IS NOT NULL AS sender;

-- Its time.
UPDATE smsflow.outbox SET expires_at = now() - interval '1 minute' WHERE message_id = :one;
SELECT pg_temp.waits(:one);

-- A campaign, paced and paused.
SELECT smsflow.create_segment('explain', $$external_id = 'explain-1'$$) IS NOT NULL AS segment,
	smsflow.create_campaign('explain', 'explain', 'Sale. Reply STOP to end', options => '{"pool": "explain", "parts_per_minute": 30}') IS NOT NULL AS campaign;
SELECT smsflow.launch_campaign('explain') IS NOT NULL AS launched;
SELECT count(smsflow.advance_campaigns(1000)) > 0 AS expanded FROM generate_series(1, 3);
SELECT smsflow.pause_campaign('explain');
SELECT waits FROM smsflow.message m, pg_temp.waits(m.message_id) WHERE m.campaign = 'explain';
SELECT smsflow.cancel_campaign('explain');
DELETE FROM smsflow.registration WHERE name = 'EXPLAIN-C';
DELETE FROM smsflow.registration WHERE name = 'EXPLAIN-B';
DELETE FROM smsflow.secret WHERE name = 'explain';
