-- Retention drops whole segments of old messages, and no counter changes.
\set VERBOSITY sqlstate
SELECT current_database() AS home \gset
CREATE DATABASE regress_smsflow_retention;
\c regress_smsflow_retention
CREATE EXTENSION smsflow;
SELECT smsflow.make_segments() > 1 AS made;
SELECT smsflow.subscribe('+14155550140', '{promotional,transactional}') > 0 AS ok;

-- Three messages of long ago, one of them with a key, sent and reported on; then one of today in the next segment.
CREATE FUNCTION pg_temp.old_message(message text, purpose text, key text) RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO smsflow.outbox (created_at, expires_at, contact_id, recipient, queue_id, brand_id, purpose, parts, unicode, body, dedup_key, consent_event_id)
	SELECT now() - interval '500 days', now() - interval '499 days', c.contact_id, c.phone, 5, 1, $2::smsflow.purpose, 1, false, $1, $3, smsflow.proof(c.proof, 'promotional') FROM smsflow.contact c RETURNING message_id $$;
SELECT count(pg_temp.old_message('old ' || n, 'promotional', CASE n WHEN 1 THEN 'key' END)) FROM generate_series(1, 3) n;
INSERT INTO smsflow.dedup SELECT 1, dedup_key, message_id FROM smsflow.outbox WHERE dedup_key IS NOT NULL;
INSERT INTO smsflow.claim (queue_id, kind, from_id, to_id, from_due, from_timer_id, to_due, to_timer_id, cursor_id, low_id, oldest_open, generation, claimed_at)
	VALUES (5, 'new', 0, 3, '-infinity', 0, '-infinity', 0, 3, 3, 0, 1, now() - interval '500 days');
INSERT INTO smsflow.attempt (message_id, started_at, finished_at, generation, attempt, wire, outcome)
	SELECT message_id, created_at, created_at, 1, 1, 'yes', 'accepted' FROM smsflow.outbox;
INSERT INTO smsflow.attribution (kind, message_id, contact_id, at, sent_at, ref, amount, currency)
	SELECT 'order', message_id, contact_id, created_at, created_at, 'order 1', 20, 'EUR' FROM smsflow.outbox WHERE body = 'old 1';
INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value, currency)
	SELECT date_trunc('hour', now() - interval '500 days', 'UTC'), 1, 0, 0, 0, 0, 'promotional', m, v, c FROM (VALUES ('recipients', 3, ''), ('parts', 3, ''), ('accepted', 3, ''),
		('sent', 3, ''), ('orders', 1, ''), ('revenue', 20, 'EUR')) x (m, v, c);
SELECT setval('smsflow.message_id_seq', 1048576) > 0 AS next_segment;
SELECT smsflow.send('+14155550140', 'Today', 'transactional') AS today;
-- Replies and reports that no message is known of, of long ago and of today.
INSERT INTO smsflow.inbound (gateway_id, phone, body, action, received_at, settled_at)
	SELECT 1, '+14155550140', what, action, now() - interval '1 day' * age, settled FROM (VALUES ('old question', 'none', 500, NULL::timestamptz), ('old, under review', 'review', 500, NULL),
		('old, settled', 'review', 500, now()), ('question of today', 'none', 0, NULL)) x (what, action, age, settled);
WITH kept AS (INSERT INTO smsflow.callback (gateway_id, message_id, attempt, fields, received_at)
		SELECT 1, CASE what WHEN 'of a message' THEN 1 ELSE 0 END, 1, jsonb_build_object('what', what), now() - interval '1 day' * age
		FROM (VALUES ('unmatched', 500), ('of a message', 500), ('unmatched of today', 0)) x (what, age) RETURNING callback_id)
	INSERT INTO smsflow.callback_problem (callback_id, problem) SELECT callback_id, 'unknown message' FROM kept;
CREATE FUNCTION pg_temp.counters() RETURNS TABLE (measure text, value numeric) LANGUAGE sql AS
	$$SELECT measure, sum(value) FROM smsflow.metric_recount WHERE measure <> 'queued' GROUP BY 1 ORDER BY 1$$;
SELECT * FROM pg_temp.counters();
SELECT * FROM smsflow.check() WHERE violations > 0;

-- Not without a wish, not before the age, not while the youngest is younger.
SELECT smsflow.apply_retention();
SET smsflow.retention = '501d';
SELECT smsflow.apply_retention();
SELECT name, bytes > 0 AS has_size, from_id, to_id, newest_at < now() - interval '1 day' AS old, dropped_after BETWEEN now() + interval '22 hours' AND now() + interval '26 hours' AS tomorrow FROM smsflow.stat_storage WHERE from_id < 2 * 1048576 ORDER BY from_id;
SELECT body FROM smsflow.inbound ORDER BY inbound_id;
SET smsflow.retention = '400d';
SELECT name, dropped_after <= now() AS now FROM smsflow.stat_storage WHERE dropped_after IS NOT NULL;
SELECT bool_and(bytes > 0) AS tables FROM smsflow.stat_storage WHERE name IN ('contact', 'consent_event', 'claim') HAVING count(*) = 3;
-- Not while somebody reads it, and then nothing has changed.
BEGIN;
LOCK TABLE smsflow.outbox_0 IN ACCESS SHARE MODE;
PREPARE TRANSACTION 'reader';
SELECT smsflow.apply_retention();
SELECT count(*) FROM smsflow.outbox;
ROLLBACK PREPARED 'reader';
SELECT smsflow.apply_retention();
SELECT to_regclass('smsflow.outbox_0'), to_regclass('smsflow.attempt_0'), to_regclass('smsflow.timer_0'), to_regclass('smsflow.report_0');
SELECT message_id, body FROM smsflow.message;
SELECT count(*) AS keys FROM smsflow.dedup;
SELECT fields ->> 'what' AS report, problem FROM smsflow.callback JOIN smsflow.callback_problem USING (callback_id);
SELECT body FROM smsflow.inbound ORDER BY inbound_id;
-- What she agreed to is kept, and proved.
SELECT kind, purposes FROM smsflow.consent_event;
SELECT count(*) AS problems FROM smsflow.verify_consent_ledger();
SELECT * FROM pg_temp.counters();
SELECT * FROM smsflow.check() WHERE violations > 0;
-- Events of long ago go at their own age: not one of somebody who is in a sequence, and none before the worker has read it and folded its facts.
SELECT smsflow.subscribe('+14155550141') > 0 AS waiting;
INSERT INTO smsflow.event (occurred_at, contact_id, kind, ref, amount, currency)
	SELECT now() - interval '1 day' * age, c.contact_id, 'order', 'order of ' || age || ' days ago', 10, 'EUR'
	FROM smsflow.contact c, unnest('{500,0}'::integer[]) age ORDER BY c.contact_id, age DESC;
SELECT smsflow.create_sequence('news', 'visit') > 0 AS made;
INSERT INTO smsflow.enrollment (sequence_id, contact_id, ref, event_id, data) SELECT s.sequence_id, c.contact_id, '', 1, '{}' FROM smsflow.sequence s, smsflow.contact c WHERE c.phone::text = '+14155550141';
CREATE FUNCTION pg_temp.events() RETURNS TABLE (phone text, events text[], orders bigint) LANGUAGE sql AS
	$$SELECT c.phone::text, array_agg(e.ref ORDER BY e.event_id), min(p.orders_count) FROM smsflow.contact c JOIN smsflow.event e USING (contact_id) JOIN smsflow.profile p USING (contact_id)
	GROUP BY 1 ORDER BY 1$$;
SELECT smsflow.apply_retention();
SELECT * FROM pg_temp.events();
SET smsflow.event_retention = '400d';
UPDATE smsflow.tail SET low_id = (SELECT max(event_id) FROM smsflow.event) WHERE name = 'event';
SELECT smsflow.apply_retention();
SELECT * FROM pg_temp.events();
UPDATE smsflow.tail SET low_id = 0 WHERE name = 'event';
SELECT (smsflow.fold_profiles()).folded > 0 AS folded;
SELECT smsflow.apply_retention();
SELECT * FROM pg_temp.events();
UPDATE smsflow.tail SET low_id = (SELECT max(event_id) FROM smsflow.event) WHERE name = 'event';
SELECT smsflow.apply_retention();
SELECT * FROM pg_temp.events();
SELECT * FROM smsflow.check() WHERE violations > 0;
-- What is left is of today; its segment, and those made ahead, stay.
SELECT smsflow.apply_retention();
SELECT min(segment), max(segment) >= 2 AS ahead FROM smsflow.message_segment;
SELECT smsflow.make_segments();
\c :home
DROP DATABASE regress_smsflow_retention;
