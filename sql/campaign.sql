--
-- Campaigns: from a draft to one message per member
--
\set database regress_smsflow_campaign
\getenv tree PG_ABS_SRCDIR
\set ECHO none
\i :tree/test/fixtures/database.sql
\set ECHO all
\set VERBOSITY sqlstate
-- Neither the hour of the day nor the rules for carts in the United States are of interest here.
SELECT smsflow.suspend_rule('window'), smsflow.suspend_rule('consent_level', 'US'), smsflow.suspend_rule('cart_once', 'US');
\set SHOW_CONTEXT never
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SELECT smsflow.create_brand('Campaigns') > 0 AS created;
SELECT count(smsflow.subscribe('+1415555' || 3000 + n, external_id => n::text, brand => 'Campaigns',
	attributes => jsonb_build_object('first_name', CASE WHEN n <> 4 THEN 'Name' || n END))) AS subscribed FROM generate_series(1, 8) AS n;
SELECT smsflow.opt_out('+14155553005'::text, brand => 'Campaigns') AS ended;
SELECT smsflow.subscribe('+14155553009', '{transactional}', external_id => '9', brand => 'Campaigns') > 0 AS subscribed;
SELECT smsflow.create_segment('all', 'true', 'Campaigns') > 0 AS created, smsflow.create_segment('none', 'false', 'Campaigns') > 0 AS created,
	smsflow.create_segment('some', $$external_id IN ('2', '3', '7')$$, 'Campaigns') > 0 AS created;

-- A campaign without a sender cannot be launched.
SELECT smsflow.add_gateway('campaigns', 'generic_json', 'https://sms.example') > 0 AS gateway, smsflow.add_sender('+14155550170', 'campaigns') > 0 AS sender;
CREATE VIEW written AS
	SELECT k.name AS campaign, c.external_id, o.body, o.parts, o.refusal, q.source, q.lane, o.expires_at - k.launch_at AS validity
	FROM smsflow.outbox o JOIN smsflow.contact c USING (contact_id) JOIN smsflow.campaign k USING (campaign_id) JOIN smsflow.queue q USING (queue_id)
	WHERE c.brand_id = (SELECT brand_id FROM smsflow.brand WHERE name = 'Campaigns') ORDER BY k.campaign_id, c.contact_id;
-- Expands all that is due, as the worker does; returns the number of calls.
CREATE FUNCTION expand(slice integer, calls integer DEFAULT 1000000) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
	FOR n IN 1 .. calls LOOP
		IF coalesce(smsflow.advance_campaigns(slice) > clock_timestamp(), true) THEN
			RETURN n;
		END IF;
	END LOOP;
	RETURN calls;
END $$;

-- Templates.
SELECT smsflow.set_template('welcome', 'Hello {{first_name|you}}', brand => 'Campaigns') = smsflow.set_template('welcome', 'Hi {{first_name|you}}', brand => 'Campaigns') AS replaced;
SELECT smsflow.set_template('welcome', 'Hallo {{first_name|du}}', 'de', 'Campaigns') > 0 AS german;
SELECT t.name, t.language, t.body FROM smsflow.template t JOIN smsflow.brand b USING (brand_id) WHERE b.name = 'Campaigns' ORDER BY language;
SELECT smsflow.set_template('welcome', 'Hello {{first_name', brand => 'Campaigns');
SELECT smsflow.set_template('', 'Hello', brand => 'Campaigns');

-- What is refused.
SELECT smsflow.create_campaign('spring', 'all', 'Hi {{', brand => 'Campaigns');
SELECT smsflow.create_campaign('spring', 'all', ' ', brand => 'Campaigns');
SELECT smsflow.create_campaign('', 'all', 'Hi', brand => 'Campaigns');
SELECT smsflow.create_campaign('spring', 'nobody', 'Hi', brand => 'Campaigns');
SELECT smsflow.create_campaign('spring', 'all', 'Hi', brand => 'no brand');
SELECT smsflow.create_campaign('spring', 'all', 'Hi', 'otp', brand => 'Campaigns');
SELECT smsflow.create_campaign('spring', 'all', 'Hi', NULL, brand => 'Campaigns');
SELECT smsflow.create_campaign('spring', 'all', 'Hi', options => '[]', brand => 'Campaigns');
SELECT smsflow.create_campaign('spring', 'all', 'Hi', options => '{"valid_for": "soon"}', brand => 'Campaigns');
SELECT smsflow.create_campaign('spring', 'all', 'Hi', options => '{"valid_for": "-1 hour"}', brand => 'Campaigns');
\set VERBOSITY default
SELECT smsflow.create_campaign('spring', 'all', 'Hi', options => '{"pool": "a", "validfor": "1 hour"}', brand => 'Campaigns');
\set VERBOSITY sqlstate

-- A draft can be looked at.
SELECT smsflow.create_campaign('spring', 'all', 'Hi {{first_name}}, 20% off at {{brand}}.', options => '{"valid_for": "4 hours"}', brand => 'Campaigns') > 0 AS created;
SELECT smsflow.create_campaign('spring', 'all', 'Hi', brand => 'Campaigns');
SELECT * FROM smsflow.estimate_campaign('spring', 'Campaigns');
SELECT c.external_id, p.body, p.parts, p.refusal FROM smsflow.preview_campaign('spring', brand => 'Campaigns') p JOIN smsflow.contact c USING (contact_id);
SELECT count(*) FROM smsflow.preview_campaign('spring', 2, 'Campaigns');
SELECT smsflow.estimate_campaign('summer', 'Campaigns');
SELECT smsflow.preview_campaign('summer', brand => 'Campaigns');
SELECT status, owner = session_user::regrole AS mine FROM smsflow.campaign WHERE name = 'spring';

-- Launching, and nothing before it.
SELECT expand(100) AS calls;
SELECT count(*) FROM written;
SELECT smsflow.launch_campaign('summer', brand => 'Campaigns');
SELECT smsflow.launch_campaign('spring', now() - interval '2 minutes', brand => 'Campaigns');
SELECT smsflow.launch_campaign('spring', 'infinity', brand => 'Campaigns');
SELECT smsflow.launch_campaign('spring', NULL, brand => 'Campaigns');
SELECT smsflow.launch_campaign('spring', now() + interval '1 day', 'Mars/Olympus', 'Campaigns');
SELECT smsflow.launch_campaign('spring', brand => 'Campaigns');
SELECT smsflow.launch_campaign('spring', brand => 'Campaigns');
SELECT smsflow.resume_campaign('spring', 'Campaigns');
SELECT campaign, status, planned, queued, refused, sent, percent, started_at IS NOT NULL AS started, error FROM smsflow.progress_campaign WHERE campaign = 'spring';
-- Each call is one slice, and the campaign can be paused between two.
DO $$
BEGIN
	FOR i IN 1 .. 1000 LOOP
		EXIT WHEN (SELECT queued >= 3 FROM smsflow.campaign WHERE name = 'spring');
		IF smsflow.advance_campaigns(1) > clock_timestamp() THEN
			RAISE 'there is more to do';
		END IF;
	END LOOP;
END $$;
SELECT campaign, status, planned, queued, refused, finished_at IS NOT NULL AS finished FROM smsflow.progress_campaign WHERE campaign = 'spring';
SELECT smsflow.pause_campaign('spring', 'Campaigns');
SELECT smsflow.pause_campaign('spring', 'Campaigns');
SELECT expand(3) AS calls;
SELECT status FROM smsflow.campaign WHERE name = 'spring';
SELECT smsflow.resume_campaign('spring', 'Campaigns');
SELECT expand(3) > 2 AS several_calls;
SELECT campaign, status, planned, queued, refused, sent, percent, started_at IS NOT NULL AS started, finished_at IS NOT NULL AS finished, error
	FROM smsflow.progress_campaign WHERE campaign = 'spring';
SELECT external_id, body, parts, refusal, CASE WHEN source <> 'refused' THEN 'campaign' ELSE source END AS source, lane, validity FROM written WHERE campaign = 'spring';
SELECT d.measure, sum(d.value) FROM smsflow.metric_delta d JOIN smsflow.campaign k USING (campaign_id) WHERE k.name = 'spring' GROUP BY 1 ORDER BY 1;
-- Done is not ended: what was not sent can be paused, resumed and cancelled.
SELECT smsflow.launch_campaign('spring', brand => 'Campaigns');
SELECT smsflow.pause_campaign('spring', 'Campaigns');
SELECT smsflow.resume_campaign('spring', 'Campaigns');
SELECT status FROM smsflow.campaign WHERE name = 'spring';
SELECT expand(100) AS calls;
SELECT count(*) FROM written WHERE campaign = 'spring';
SELECT smsflow.cancel_campaign('spring', 'Campaigns');
SELECT smsflow.cancel_campaign('spring', 'Campaigns');
SELECT smsflow.resume_campaign('spring', 'Campaigns');
SELECT status, error FROM smsflow.progress_campaign WHERE campaign = 'spring';

-- A sent message counts.
INSERT INTO smsflow.metric_delta SELECT date_trunc('hour', now()), brand_id, campaign_id, 0, 0, 0, purpose, 'sent', 3 FROM smsflow.campaign WHERE name = 'spring';
SELECT sent, percent FROM smsflow.progress_campaign WHERE campaign = 'spring';

-- Purpose and pool; a segment without members.
SELECT smsflow.create_campaign('parcel', 'all', 'Your parcel is late.', 'transactional', '{"pool": "couriers"}', 'Campaigns') > 0 AS created;
\set VERBOSITY default
SELECT smsflow.launch_campaign('parcel', brand => 'Campaigns');
\set VERBOSITY sqlstate
SELECT smsflow.add_sender('+14155550171', 'campaigns', pool => 'couriers') > 0 AS sender;
SELECT smsflow.create_campaign('empty', 'none', 'Hello nobody', brand => 'Campaigns') > 0 AS created;
SELECT smsflow.launch_campaign('parcel', brand => 'Campaigns'), smsflow.launch_campaign('empty', brand => 'Campaigns');
SELECT expand(100) > 1 AS several_calls;
SELECT campaign, status, planned, queued, refused, percent FROM smsflow.progress_campaign WHERE campaign IN ('parcel', 'empty') ORDER BY 1;
SELECT external_id, refusal, lane, validity FROM written WHERE campaign = 'parcel';
-- One is sent a minute, and the gateway refuses one: only what waits is still to come.
BEGIN;
CREATE FUNCTION pg_temp.count_parcels(measure text, value integer) RETURNS void LANGUAGE sql AS $$
	INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value, first_at, last_at)
	SELECT date_trunc('hour', now()), brand_id, campaign_id, 0, 0, 0, purpose, measure, value, now() - interval '1 minute', now() FROM smsflow.campaign WHERE name = 'parcel' $$;
UPDATE smsflow.campaign SET queued = 3 WHERE name = 'parcel';
SELECT pg_temp.count_parcels('sent', 1), pg_temp.count_parcels('rejected', 1);
SELECT queued, sent, rate, ends_about - now() AS to_come FROM smsflow.progress_campaign WHERE campaign = 'parcel';
SELECT pg_temp.count_parcels('rejected', 1), pg_temp.count_parcels('queued', -1);
SELECT queued, sent, ends_about - now() AS to_come FROM smsflow.progress_campaign WHERE campaign = 'parcel';
ROLLBACK;

-- A time ahead: wall-clock time of a zone, nothing before it, and no way to send after cancelling.
SELECT smsflow.create_campaign('later', 'some', 'Later', brand => 'Campaigns') > 0 AS created;
SELECT smsflow.launch_campaign('later', '2099-11-27 09:00', 'America/New_York', 'Campaigns');
SELECT status, launch_at FROM smsflow.campaign WHERE name = 'later';
SELECT smsflow.advance_campaigns(100) AS next;
SELECT smsflow.pause_campaign('later', 'Campaigns');
SELECT smsflow.advance_campaigns(100) AS next;
SELECT smsflow.resume_campaign('later', 'Campaigns');
SELECT status, launch_at FROM smsflow.campaign WHERE name = 'later';
SELECT smsflow.cancel_campaign('later', 'Campaigns');
SELECT smsflow.advance_campaigns(100) AS next;
SELECT count(*) FROM written WHERE campaign = 'later';

-- What a user wrote wrong fails that campaign and no other.
CREATE TABLE regress_gone ();
SELECT smsflow.create_segment('broken', 'EXISTS (SELECT FROM public.regress_gone) OR true', 'Campaigns') > 0 AS created;
-- create_segment() tries a condition, so this one is stored as if it had become so later.
INSERT INTO smsflow.segment (brand_id, name, predicate) SELECT brand_id, 'divides', $$1 / (external_id::int - 2) < 100$$ FROM smsflow.brand WHERE name = 'Campaigns';
SELECT smsflow.create_campaign('fails', 'broken', 'Hi', brand => 'Campaigns') > 0 AS created,
	smsflow.create_campaign('fails half-way', 'divides', 'Hi', brand => 'Campaigns') > 0 AS created,
	smsflow.create_campaign('works', 'some', 'Hi', brand => 'Campaigns') > 0 AS created;
DROP TABLE regress_gone;
SELECT smsflow.launch_campaign(name, brand => 'Campaigns') FROM unnest('{fails,fails half-way,works}'::text[]) AS name;
SET client_min_messages = error;
SELECT expand(1) > 3 AS several_calls;
RESET client_min_messages;
SELECT campaign, status, queued, refused, error FROM smsflow.progress_campaign WHERE campaign IN ('fails', 'fails half-way', 'works') ORDER BY 1;
SELECT campaign, external_id FROM written WHERE campaign IN ('fails', 'fails half-way', 'works') ORDER BY 1, 2;
SELECT smsflow.advance_campaigns(100) AS next;

-- Once it is mended, it goes on where it stopped.
CREATE TABLE regress_gone ();
SELECT smsflow.launch_campaign('fails', brand => 'Campaigns');
SELECT smsflow.resume_campaign('fails', 'Campaigns');
SELECT expand(100) > 0 AS expanded;
SELECT status, queued, refused, error FROM smsflow.progress_campaign WHERE campaign = 'fails';
SELECT count(*), count(DISTINCT external_id) FROM written WHERE campaign = 'fails';
DROP TABLE regress_gone;

-- pg_cron is needed for schedules; this database does not have it.
SELECT smsflow.create_campaign('cron', 'some', 'Hi', brand => 'Campaigns') > 0 AS created;
SELECT smsflow.schedule_campaign('nothing', '0 9 * * *', 'Campaigns');
SELECT smsflow.schedule_campaign('cron', '0 9 * * *', 'Campaigns');
-- What the job calls launches once, however often it runs.
SELECT smsflow.launch_scheduled('cron', 'Campaigns') AS launched;
SELECT smsflow.launch_scheduled('cron', 'Campaigns') AS launched_again;
SELECT expand(100) > 0 AS expanded;
SELECT smsflow.launch_scheduled('cron', 'Campaigns') AS launched_again;
SELECT expand(100) > 0 AS expanded;
SELECT count(*), count(DISTINCT external_id) FROM written WHERE campaign = 'cron';
SELECT smsflow.launch_scheduled('nothing', 'Campaigns');

\c :home
DROP DATABASE regress_smsflow_campaign;
