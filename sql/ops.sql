-- Operation: what keeps a copy from sending, what health() and check() say, and
-- who may call what.
\set VERBOSITY sqlstate
-- A database of its own: health() and check() look at everything there is.
SELECT current_database() AS home \gset
CREATE DATABASE regress_smsflow_ops;
\c regress_smsflow_ops
CREATE EXTENSION smsflow;
SET datestyle = 'ISO';
SET timezone = 'UTC';

-- Not armed, nothing set up: every line that is not ok says what to do.
SELECT component, ok FROM smsflow.health() WHERE component <> 'callbacks';
SELECT message, hint FROM smsflow.health() WHERE component IN ('armed', 'gateways', 'senders') ORDER BY 1;
SELECT component, message, hint FROM smsflow.health() WHERE ok <> (hint IS NULL) OR message IS NULL;
SELECT smsflow.assert_invariants();

-- Arming binds to this database; a copy is not armed.
SELECT smsflow.is_armed();
SELECT smsflow.arm(), smsflow.is_armed(), smsflow.armed_problem();
SELECT value AS key FROM smsflow.secret WHERE name = 'callback_key' \gset
SELECT :'key' ~ '^[0-9a-f]{64}$' AS is_a_key, smsflow.random_key() <> smsflow.random_key() AS differs;
SELECT smsflow.arm();
SELECT value = :'key' AS kept FROM smsflow.secret WHERE name = 'callback_key';
BEGIN;
UPDATE smsflow.arming SET system_identifier = '1';
SELECT smsflow.armed_problem();
SELECT ok, message, hint FROM smsflow.health() WHERE component = 'armed';
ROLLBACK;
BEGIN;
UPDATE smsflow.arming SET database_oid = 1;
SELECT smsflow.armed_problem();
SELECT smsflow.arm(), smsflow.armed_problem();
ROLLBACK;
BEGIN;
UPDATE smsflow.arming SET timeline = timeline + 1;
SELECT smsflow.is_armed() AS armed_after_promotion;
ROLLBACK;
SELECT smsflow.disarm();
SELECT smsflow.is_armed(), smsflow.armed_problem() LIKE 'disarmed by %' AS says_who;
SELECT smsflow.arm();

-- So does a copy made with CREATE DATABASE ... TEMPLATE.
\c :home
CREATE DATABASE regress_smsflow_copy TEMPLATE regress_smsflow_ops;
\c regress_smsflow_copy
SELECT smsflow.is_armed(), smsflow.armed_problem();
\c regress_smsflow_ops
SET datestyle = 'ISO';
SET timezone = 'UTC';
DROP DATABASE regress_smsflow_copy;
SELECT smsflow.is_armed();

-- What health() says of gateways, numbers, and messages that wait.
INSERT INTO smsflow.gateway_profile (profile, method, basic_auth) VALUES ('ops_test', 'GET', true);
INSERT INTO smsflow.gateway (name, profile, base_url) VALUES ('ops-test', 'ops_test', 'http://127.0.0.1:1') RETURNING gateway_id \gset
SELECT ok, message LIKE 'secret missing: "ops-test": %' AS secret_missing FROM smsflow.health() WHERE component = 'gateways';
INSERT INTO smsflow.secret (name, value) VALUES ('ops-test', 'open sesame');
SELECT ok, message FROM smsflow.health() WHERE component = 'gateways';
SELECT count(*) AS secrets_told FROM smsflow.health() WHERE message LIKE '%sesame%';
INSERT INTO smsflow.sender (address, gateway_id) VALUES ('+14155550188', :gateway_id) RETURNING sender_id \gset
INSERT INTO smsflow.queue (lane, sender_id, source) VALUES (4, :sender_id, 'direct') RETURNING queue_id \gset
SELECT component, ok, message FROM smsflow.health() WHERE component IN ('senders', 'queue');

SELECT smsflow.subscribe('+14155552681') AS ann, smsflow.subscribe('+14155552682') AS bob \gset
CREATE FUNCTION pg_temp.append(contact bigint, at timestamptz, campaign integer DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO smsflow.outbox (created_at, expires_at, contact_id, recipient, queue_id, brand_id, campaign_id, purpose, parts, unicode, body, consent_event_id)
	SELECT $2, $2 + interval '1 day', contact_id, phone, (SELECT max(queue_id) FROM smsflow.queue), brand_id, $3, 'promotional', 1, false, 'Hello', smsflow.proof(proof, 'promotional')
	FROM smsflow.contact WHERE contact_id = $1 RETURNING message_id $$;
SELECT pg_temp.append(:ann, '2026-03-01 10:00+00') AS message_id \gset
SELECT ok, message, hint IS NOT NULL AS advice FROM smsflow.health() WHERE component = 'queue';
SELECT lane, sender, source, waiting, oldest_at FROM smsflow.stat_queue WHERE queue_id = :queue_id;
SELECT sender, gateway, enabled, waiting, sent FROM smsflow.stat_sender WHERE sender_id = :sender_id;
SELECT gateway, enabled, senders, waiting FROM smsflow.stat_gateway WHERE gateway = 'ops-test';
UPDATE smsflow.sender SET enabled = false WHERE sender_id = :sender_id;
SELECT ok, message FROM smsflow.health() WHERE component = 'senders';
UPDATE smsflow.sender SET enabled = true WHERE sender_id = :sender_id;

-- A claim takes the message off the queue, a timer brings it back.
CREATE FUNCTION pg_temp.claim(message bigint, seen pg_snapshot) RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO smsflow.claim (queue_id, kind, from_id, to_id, from_due, from_timer_id, to_due, to_timer_id, cursor_id, low_id, oldest_open, generation, snapshot)
	SELECT queue_id, 'new', message_id - 1, message_id, '-infinity', 0, '-infinity', 0, message_id, message_id, 0, 1, $2
	FROM smsflow.outbox WHERE message_id = $1 RETURNING claim_id $$;
SELECT pg_temp.claim(:message_id, pg_current_snapshot()) > 0 AS claimed;
SELECT waiting, oldest_at FROM smsflow.stat_queue WHERE queue_id = :queue_id;
INSERT INTO smsflow.timer (message_id, due_at, queue_id, attempt, reason) VALUES (:message_id, '2026-03-01 11:00+00', :queue_id, 2, 'retry');
SELECT waiting, oldest_at FROM smsflow.stat_queue WHERE queue_id = :queue_id;
DELETE FROM smsflow.timer WHERE message_id = :message_id;

-- check() finds nothing where nothing is wrong ...
CREATE FUNCTION pg_temp.attempt(message bigint, attempt smallint, wire text, outcome text, provider_id text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	INSERT INTO smsflow.attempt (message_id, started_at, finished_at, generation, sender_id, attempt, wire, outcome, provider_id)
	SELECT o.message_id, now(), now(), 1, q.sender_id, $2, $3::smsflow.wire, $4::smsflow.attempt_outcome, $5
	FROM smsflow.outbox o JOIN smsflow.queue q USING (queue_id) WHERE message_id = $1;
	INSERT INTO smsflow.unsettled (message_id, due_at, in_doubt) SELECT $1, now() + '1 day', true WHERE $4 = 'in_doubt' $$;
-- At any hour of the day.
SELECT smsflow.suspend_rule('window');
CREATE VIEW pg_temp.broken AS SELECT invariant, violations FROM smsflow.check() WHERE violations > 0 AND sample <> '' AND invariant NOT LIKE 'I8 %';
SELECT pg_temp.attempt(:message_id, 1::smallint, 'yes', 'accepted', 'id-1');
SELECT invariant FROM smsflow.check();
SELECT * FROM pg_temp.broken;

-- A message that was committed late, was answered 429, and was sent when its timer
-- was due belongs to the claims that took it; without them it does not.
BEGIN;
SELECT pg_temp.append(:bob, now()) AS other \gset
SELECT pg_temp.claim(:other, pg_current_snapshot()) AS blind_claim \gset
INSERT INTO smsflow.claim (queue_id, kind, from_id, to_id, from_due, from_timer_id, to_due, to_timer_id, cursor_id, low_id, oldest_open, generation, snapshot)
	SELECT queue_id, 'late', from_id - 1, to_id, from_due, from_timer_id, to_due, to_timer_id, cursor_id, low_id, oldest_open, generation,
		(pg_current_xact_id()::text::bigint + 1 || ':' || pg_current_xact_id()::text::bigint + 1 || ':')::pg_snapshot
	FROM smsflow.claim WHERE claim_id = :blind_claim RETURNING claim_id AS late_claim \gset
SELECT pg_temp.attempt(:other, 1::smallint, 'yes', 'retry');
UPDATE smsflow.attempt SET http_status = 429 WHERE message_id = :other;
INSERT INTO smsflow.timer (message_id, due_at, created_at, queue_id, attempt, reason)
	VALUES (:other, now() + interval '1 second', now(), :queue_id, 2, 'throttled') RETURNING timer_id \gset
INSERT INTO smsflow.claim (queue_id, kind, from_id, to_id, from_due, from_timer_id, to_due, to_timer_id, cursor_id, low_id, oldest_open, generation)
	SELECT queue_id, 'timer', cursor_id, cursor_id, to_due, to_timer_id, now() + interval '2 seconds', :timer_id, cursor_id, low_id, oldest_open, generation
	FROM smsflow.claim WHERE claim_id = :late_claim RETURNING claim_id AS timer_claim \gset
SELECT pg_temp.attempt(:other, 2::smallint, 'yes', 'accepted', 'id-2');
SELECT attempt, CASE claim_id WHEN :late_claim THEN 'late' WHEN :timer_claim THEN 'timer' END AS claim
FROM smsflow.attempt_claim WHERE message_id = :other ORDER BY attempt;
SELECT waiting FROM smsflow.stat_queue WHERE queue_id = :queue_id;
UPDATE smsflow.claim SET to_due = from_due, to_timer_id = 0 WHERE claim_id = :timer_claim;
SELECT attempt, claim_id FROM smsflow.attempt_claim WHERE message_id = :other AND attempt = 2;
ROLLBACK;

-- ... and each kind of wrong where it is: a STOP that the claim could see,
BEGIN;
SELECT smsflow.opt_out('+14155552681'::text);
UPDATE smsflow.claim SET snapshot = (pg_current_xact_id()::text::bigint + 1 || ':' || pg_current_xact_id()::text::bigint + 1 || ':')::pg_snapshot WHERE queue_id = :queue_id;
SELECT * FROM pg_temp.broken;
SELECT smsflow.subscribe('+14155552681') = :ann AS back_again;
SELECT * FROM pg_temp.broken;
ROLLBACK;
-- a STOP that it could not see is no violation,
BEGIN;
SELECT smsflow.opt_out('+14155552681'::text);
SELECT * FROM pg_temp.broken;
ROLLBACK;
-- marketing without any grant,
BEGIN;
SELECT smsflow.subscribe('+14155552683', '{transactional}') AS cid \gset
SELECT pg_temp.append(:cid, now()) AS other \gset
SELECT pg_temp.claim(:other, (pg_current_xact_id()::text::bigint + 1 || ':' || pg_current_xact_id()::text::bigint + 1 || ':')::pg_snapshot) > 0 AS claimed;
SELECT pg_temp.attempt(:other, 1::smallint, 'maybe', 'in_doubt');
SELECT * FROM pg_temp.broken;
ROLLBACK;
-- two outcomes of one try,
BEGIN;
SELECT pg_temp.attempt(:message_id, 1::smallint, 'none', 'retry');
SELECT * FROM pg_temp.broken;
ROLLBACK;
-- marketing on the wire again, though the first try may have arrived,
BEGIN;
SELECT pg_temp.attempt(:message_id, 2::smallint, 'maybe', 'in_doubt');
SELECT * FROM pg_temp.broken;
ROLLBACK;
-- a message in doubt that nobody sees,
BEGIN;
SELECT pg_temp.append((SELECT contact_id FROM smsflow.outbox WHERE message_id = :message_id), now()) AS other \gset
SELECT pg_temp.attempt(:other, 1::smallint, 'maybe', 'in_doubt');
DELETE FROM smsflow.unsettled WHERE message_id = :other;
SELECT * FROM pg_temp.broken WHERE invariant LIKE '%doubt%';
ROLLBACK;
-- a request without a claim,
BEGIN;
DELETE FROM smsflow.claim WHERE queue_id = :queue_id;
SELECT * FROM pg_temp.broken;
ROLLBACK;
-- a provider's id given twice,
BEGIN;
SELECT pg_temp.append(:bob, now()) AS other \gset
SELECT pg_temp.claim(:other, (pg_current_xact_id()::text::bigint + 1 || ':' || pg_current_xact_id()::text::bigint + 1 || ':')::pg_snapshot) > 0 AS claimed;
SELECT pg_temp.attempt(:other, 1::smallint, 'yes', 'accepted', 'id-1');
SELECT * FROM pg_temp.broken;
ROLLBACK;
-- a delivery report that was read and left no trace,
BEGIN;
INSERT INTO smsflow.callback (gateway_id, message_id, attempt, fields) VALUES (:gateway_id, :message_id, 1, '{}') RETURNING callback_id \gset
SELECT * FROM pg_temp.broken;
UPDATE smsflow.tail SET cursor_id = :callback_id, snapshot = (pg_current_xact_id()::text::bigint + 1 || ':' || pg_current_xact_id()::text::bigint + 1 || ':')::pg_snapshot WHERE name = 'callback';
SELECT * FROM pg_temp.broken;
INSERT INTO smsflow.callback_problem (callback_id, problem) VALUES (:callback_id, 'unknown status');
SELECT * FROM pg_temp.broken;
SELECT ok FROM smsflow.health() WHERE component = 'callbacks';
ROLLBACK;
-- two messages of a campaign for one person,
BEGIN;
INSERT INTO smsflow.segment (name, predicate) VALUES ('ops all', 'true') RETURNING segment_id \gset
INSERT INTO smsflow.campaign (name, segment_id, body, purpose) VALUES ('ops twice', :segment_id, 'Hello', 'promotional') RETURNING campaign_id \gset
SELECT count(pg_temp.append(:bob, now(), :campaign_id)) FROM generate_series(1, 2);
SELECT * FROM pg_temp.broken;
ROLLBACK;
-- consent that its ledger does not bear out,
BEGIN;
UPDATE smsflow.contact SET consent = 'none' WHERE contact_id = :bob;
SELECT * FROM pg_temp.broken;
ROLLBACK;
-- credit for an order before the message.
BEGIN;
INSERT INTO smsflow.attribution (kind, message_id, contact_id, at, sent_at) VALUES ('reply', :message_id, :ann, '2026-02-01', '2026-03-01');
SELECT * FROM pg_temp.broken;
SELECT smsflow.assert_invariants();
ROLLBACK;

-- Failures show in health() with their reason.
BEGIN;
INSERT INTO smsflow.segment (name, predicate) VALUES ('ops all', 'true') RETURNING segment_id \gset
INSERT INTO smsflow.campaign (name, segment_id, body, purpose, status, error) VALUES ('ops failed', :segment_id, 'Hello', 'promotional', 'failed', 'division by zero');
INSERT INTO smsflow.event_problem (event_id, error, sqlstate) VALUES (77, 'bad mapping', 'SF006');
INSERT INTO smsflow.trigger_problem (relation, error, sqlstate) VALUES ('smsflow.brand'::regclass, 'no such column', 'SF006');
-- Of a table that was dropped there is nothing to tell.
INSERT INTO smsflow.trigger_problem (relation, error, sqlstate) VALUES (1, 'no such column', 'SF006');
SELECT component, message FROM smsflow.health() WHERE component IN ('campaigns', 'events', 'triggers') AND NOT ok AND hint IS NOT NULL ORDER BY 1;
ROLLBACK;

-- Access: a role can do its own work and nothing else.
CREATE ROLE regress_smsflow_app;
CREATE ROLE "regress smsflow ""analyst""";
SELECT smsflow.grant_access('regress_smsflow_app', 'app');
SELECT smsflow.grant_access('regress smsflow "analyst"', 'analyst');
SELECT smsflow.grant_access('regress_smsflow_app', 'everything');
SELECT smsflow.grant_access('regress_smsflow_nobody', 'app');
SET ROLE regress_smsflow_app;
SELECT smsflow.subscribe('+14155552684') > 0 AS subscribed;
SELECT smsflow.arm();
SELECT smsflow.grant_access('regress_smsflow_app', 'operator');
SELECT count(*) FROM smsflow.contact;
SELECT count(*) FROM smsflow_bi.campaign_totals;
SET ROLE "regress smsflow ""analyst""";
SELECT count(*) >= 0 AS reads FROM smsflow_bi.campaign_totals;
SELECT smsflow.subscribe('+14155552685');
SELECT count(*) FROM smsflow.message;
RESET ROLE;
SELECT smsflow.grant_access('regress_smsflow_app', 'operator');
SET ROLE regress_smsflow_app;
SELECT smsflow.arm();
SELECT bool_or(component = 'armed') AS reads FROM smsflow.health();
SELECT bool_or(invariant LIKE 'I1 %') AS reads FROM smsflow.check();
SELECT count(*) >= 0 AS reads FROM smsflow.stat_queue;
RESET ROLE;
SELECT smsflow.revoke_access('regress_smsflow_app', 'operator');
SET ROLE regress_smsflow_app;
SELECT smsflow.arm();
SELECT smsflow.subscribe('+14155552684') > 0 AS still_an_app;
RESET ROLE;
DROP OWNED BY regress_smsflow_app, "regress smsflow ""analyst""";
DROP ROLE regress_smsflow_app, "regress smsflow ""analyst""";

-- What access lists exists, and no function of smsflow is for everyone by mistake.
SELECT a.access, a.name FROM smsflow.access a
WHERE a.name <> 'smsflow_bi' AND NOT EXISTS (SELECT FROM pg_proc p WHERE p.proname = a.name AND p.pronamespace = 'smsflow'::regnamespace)
	AND NOT EXISTS (SELECT FROM pg_class c WHERE c.relname = a.name AND c.relnamespace = 'smsflow'::regnamespace);
SELECT p.oid::regprocedure FROM pg_proc p
WHERE p.pronamespace = 'smsflow'::regnamespace AND p.prosecdef AND has_function_privilege('public', p.oid, 'EXECUTE');
SELECT p.oid::regprocedure FROM pg_proc p
WHERE p.pronamespace = 'smsflow'::regnamespace AND p.prosecdef
	AND NOT coalesce(p.proconfig::text ~ 'search_path=pg_catalog,[^"]* pg_temp"', false);

-- Without pg_cron there is nothing to schedule with.
SELECT smsflow.schedule_defaults();
\c :home
DROP DATABASE regress_smsflow_ops;
