--
-- Campaigns: what is checked before a launch, when messages are due, who is left out, waves, budgets and repetition
--
\set database regress_smsflow_launches
\getenv tree PG_ABS_SRCDIR
\set ECHO none
\i :tree/test/fixtures/database.sql
\set ECHO all
\set VERBOSITY default
\set SHOW_CONTEXT never
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SELECT smsflow.suspend_rule('window') IS NULL AS suspended;
SELECT smsflow.create_brand('Launches') > 0 AS created;
SELECT count(smsflow.subscribe('+1415559' || 4100 + n, external_id => n::text, brand => 'Launches')) AS subscribed FROM generate_series(1, 8) AS n;
SELECT smsflow.create_segment('all', 'true', 'Launches') > 0 AS created, smsflow.create_segment('vip', $$external_id IN ('7', '8')$$, 'Launches') > 0 AS created;
SELECT smsflow.add_gateway('launches', 'generic_json', 'https://sms.example') > 0 AS gateway, smsflow.add_sender('+14155550172', 'launches', pool => 'launches') > 0 AS sender;

CREATE VIEW written AS
	SELECT k.name AS campaign, c.external_id AS who, o.refusal, o.variant, o.due_at, o.expires_at, o.body, o.contact_id, o.message_id, k.launch_at
	FROM smsflow.outbox o JOIN smsflow.contact c USING (contact_id) JOIN smsflow.campaign k USING (campaign_id)
	WHERE c.brand_id = (SELECT brand_id FROM smsflow.brand WHERE name = 'Launches') ORDER BY k.campaign_id, c.contact_id;
CREATE FUNCTION make(name text, options jsonb DEFAULT '{}', body text DEFAULT 'Hi') RETURNS boolean LANGUAGE sql AS $$
	SELECT smsflow.create_campaign(name, 'all', body, options => '{"pool": "launches"}' || options, brand => 'Launches') > 0 $$;
CREATE FUNCTION launch(name text) RETURNS void LANGUAGE sql AS $$ SELECT smsflow.launch_campaign(name, brand => 'Launches') $$;
\set ECHO none
\i :tree/test/fixtures/expand.sql
\set ECHO all

-- Options that cannot be used.
\set VERBOSITY sqlstate
SELECT make('bad', '{"audience": "some"}');
SELECT make('bad', '{"holdout": 95}');
SELECT make('bad', '{"weight": 2.5}');
SELECT make('bad', '{"weight": 3.0}');
SELECT make('bad', '{"valid_until": "tomorrow evening"}');
SELECT make('bad', '{"valid_until": "infinity"}');
SELECT make('bad', '{"exclude": {"bought": "never"}}');
SELECT make('bad', '{"exclude": {"events": {"kinds": "email_clicked", "within": "1 day"}}}');
SELECT make('bad', '{"exclude": {"nobody": true}}');
SELECT make('bad', '{"pause_on": {"opt_out_rate": 2}}');
SELECT make('bad', '{"pause_on": {}}');
SELECT make('bad', '{"cap_counts": null}');
\set VERBOSITY default
SELECT make('bad', '{"test_percent": 100}');
SELECT count(*) > 15 AS documented, count(*) = count(DISTINCT option) AS once FROM smsflow.campaign_option;

-- Approval.
SELECT smsflow.set_campaign_policy(approval => 'some', brand => 'Launches');
SELECT smsflow.set_campaign_policy(approval => 'other', brand => 'Launches');
SELECT make('approved');
SELECT launch('approved');
SELECT smsflow.approve_campaign('approved', 'Launches');
SELECT smsflow.set_campaign_policy(approval => 'any', brand => 'Launches');
SELECT smsflow.approve_campaign('approved', 'Launches');
SELECT approved_by = session_user AS by_me, approved_at <= clock_timestamp() AS on_record FROM smsflow.campaign WHERE name = 'approved';
-- What changes a campaign, or the texts of its brand, takes its approval back.
SELECT smsflow.set_text_policy(brand => 'Launches');
SELECT launch('approved');
SELECT smsflow.approve_campaign('approved', 'Launches');
SELECT smsflow.add_variant('approved', 'A', 'Hi A', brand => 'Launches'), smsflow.add_variant('approved', 'B', 'Hi B', brand => 'Launches');
SELECT launch('approved');
SELECT smsflow.approve_campaign('approved', 'Launches'), launch('approved');
SELECT expand();
SELECT count(*) FROM written WHERE campaign = 'approved';
SELECT smsflow.approve_campaign('approved', 'Launches');
SELECT smsflow.set_campaign_policy(approval => 'none', brand => 'Launches');

-- Until when.
SELECT make('over', jsonb_build_object('valid_until', now() - interval '1 hour'));
\set VERBOSITY sqlstate
SELECT launch('over');
\set VERBOSITY default
SELECT make('ends', jsonb_build_object('valid_until', now() + interval '2 hours', 'valid_for', '5 hours'));
SELECT launch('ends');
SELECT expand();
SELECT DISTINCT expires_at - launch_at <= interval '2 hours' AS in_time FROM written WHERE campaign = 'ends';
-- All of it must be due by then: waves, variants, what waits for the winner, and no reminder before the message.
SELECT make(name, jsonb_build_object('valid_until', '2099-06-01Z') || options) FROM (VALUES ('late wave', '{}'::jsonb), ('late variant', '{}'),
	('late winner', '{"test_percent": 20, "decide_after": "4 hours"}'), ('early reminder', '{}')) AS k (name, options);
SELECT smsflow.add_wave('late wave', NULL, '4 hours', 'Launches');
SELECT smsflow.add_variant(name, v, after => CASE WHEN name = 'late variant' AND v = 'B' THEN '4 hours' ELSE '0' END::interval, brand => 'Launches')
	FROM unnest('{late variant,late winner}'::text[]) AS name, unnest('{A,B}'::text[]) AS v;
SELECT smsflow.add_reminder('early reminder', '4 hours', 'Ends soon', brand => 'Launches') > 0 AS added;
CREATE FUNCTION refusal(name text, at timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	PERFORM smsflow.launch_campaign(name, at, brand => 'Launches');
	RETURN 'launched';
EXCEPTION WHEN SQLSTATE 'SF005' THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' ', detail, hint);
END $$;
SELECT name, refusal(name, '2099-05-31 21:00Z') FROM unnest('{late wave,late variant,late winner,early reminder}'::text[]) AS name;
SELECT name, refusal(name, '2099-05-31 19:59Z') FROM unnest('{late wave,late variant,late winner,early reminder}'::text[]) AS name;
SELECT smsflow.cancel_campaign(name, 'Launches') FROM unnest('{late wave,late variant,late winner,early reminder}'::text[]) AS name;
-- A winner is not chosen before the local time has come everywhere, and what repeats has no reminder.
SELECT make('early winner', '{"test_percent": 20, "decide_after": "4 hours"}'), make('local winner', '{"test_percent": 20, "decide_after": "30 hours"}');
SELECT smsflow.add_variant(name, v, brand => 'Launches') FROM unnest('{early winner,local winner}'::text[]) AS name, unnest('{A,B}'::text[]) AS v;
SELECT smsflow.launch_campaign('early winner', '2099-05-31 09:00', 'recipient', 'Launches');
SELECT smsflow.launch_campaign('local winner', '2099-05-31 09:00', 'recipient', 'Launches');
SELECT make('repeats', '{"valid_until": "2099-06-01Z"}'), smsflow.add_reminder('repeats', '1 hour', 'Ends soon', brand => 'Launches') > 0 AS added;
SELECT smsflow.schedule_campaign('repeats', '0 9 * * *', 'Launches', every => 'day');
SELECT smsflow.cancel_campaign(name, 'Launches') FROM unnest('{early winner,local winner,repeats}'::text[]) AS name;
SELECT make('decides', '{"decide_after": "4 hours"}');
-- An error is about the call, and tells nothing of our functions.
\set SHOW_CONTEXT always
SELECT smsflow.resume_campaign('decides', 'Launches');
SELECT smsflow.approve_campaign('over', 'Launches'), smsflow.pause_campaign('over', 'Launches');
SELECT smsflow.add_variant('over', 'holdout', brand => 'Launches');
SELECT smsflow.estimate_campaign('decides', 'Launches');
\set SHOW_CONTEXT never
-- Twice, or while it is held, a launch is refused, and says what to do.
SELECT make('held'), refusal('held', '2099-05-31Z'), refusal('held', now());
SELECT smsflow.pause_campaign('held', 'Launches'), refusal('held', now());
SELECT launch_at, approved_by, approved_at FROM smsflow.progress_campaign WHERE campaign = 'held';
SELECT smsflow.cancel_campaign('held', 'Launches'), refusal('held', now());

-- At a local time: where it is past already, it is a day later, or nothing, or at once. Contact 1 is in Tokyo, 2 in New York, the others in California.
UPDATE smsflow.contact SET time_zone = CASE external_id WHEN '1' THEN 'Asia/Tokyo' ELSE 'America/New_York' END, time_zone_source = 'customer'
	WHERE external_id IN ('1', '2') AND brand_id = (SELECT brand_id FROM smsflow.brand WHERE name = 'Launches');
SELECT make('next day'), make('skip', '{"late_zones": "skip"}'), make('at once', '{"late_zones": "at_once"}');
\set VERBOSITY sqlstate
SELECT smsflow.launch_campaign('next day', now() - interval '30 hours', 'recipient', 'Launches');
\set VERBOSITY default
-- It is past noon in Tokyo and before it in America when it is noon in London.
SELECT smsflow.launch_campaign(name, now(), 'recipient', 'Launches') FROM unnest('{next day,skip,at once}'::text[]) AS name;
SELECT expand();
SELECT campaign, who, refusal, round(extract(epoch FROM due_at - launch_at) / 3600) AS hours FROM written
	WHERE campaign IN ('next day', 'skip', 'at once') AND who IN ('1') ORDER BY 1, 2;
SELECT DISTINCT campaign, due_at > launch_at AS later, due_at - launch_at < interval '8.1 hours' AS soon, expires_at - due_at AS valid FROM written
	WHERE campaign IN ('next day', 'skip', 'at once') AND who = '3' ORDER BY 1;
-- Clocks change in Europe and in America on different days, and skip an hour or show one twice; a wave is so much later on each clock.
UPDATE smsflow.contact SET time_zone = CASE external_id WHEN '1' THEN 'Europe/Oslo' ELSE 'America/New_York' END WHERE external_id IN ('1', '2')
	AND brand_id = (SELECT brand_id FROM smsflow.brand WHERE name = 'Launches');
SELECT count(make('clocks ' || n)) AS made, count(smsflow.launch_campaign('clocks ' || n, at, 'recipient', 'Launches')) AS launched
	FROM unnest('{2036-03-10 09:00,2036-03-30 02:30,2036-10-26 02:30,2036-11-03 09:00}'::timestamptz[]) WITH ORDINALITY AS t (at, n);
SELECT make('clocks 5'), smsflow.add_wave('clocks 5', NULL, '1 day', 'Launches'), smsflow.launch_campaign('clocks 5', '2036-03-08 09:00', 'recipient', 'Launches');
SELECT k.name, k.local_at, c.time_zone, p.due_at, p.due_at AT TIME ZONE c.time_zone AS clock FROM smsflow.campaign AS k
	CROSS JOIN LATERAL smsflow.preview_campaign(k.name, 2, 'Launches') AS p JOIN smsflow.contact AS c USING (contact_id)
	WHERE k.name LIKE 'clocks %' ORDER BY k.name, c.time_zone DESC;
SELECT smsflow.cancel_campaign(k.name, 'Launches') FROM smsflow.campaign AS k WHERE k.name LIKE 'clocks %';
-- A zone that the server does not know is no reason to stop.
UPDATE smsflow.contact SET time_zone = 'Mars/Olympus' WHERE external_id = '1' AND brand_id = (SELECT brand_id FROM smsflow.brand WHERE name = 'Launches');
SELECT make('mars'), smsflow.launch_campaign('mars', now(), 'recipient', 'Launches');
SELECT expand();
SELECT count(*), count(due_at) FROM written WHERE campaign = 'mars';

-- Who is left out.
SELECT smsflow.record_event('+14155594102', 'order', 'o1', brand => 'Launches') > 0 AS bought, smsflow.record_event('+14155594103', 'email_clicked', 'm1', brand => 'Launches') > 0 AS clicked;
INSERT INTO smsflow.touch (contact_id, sent_at, message_id, purpose, subject) SELECT contact_id, now() - interval '1 day', 0, 'promotional', 'older'
	FROM smsflow.contact WHERE external_id = '4' AND brand_id = (SELECT brand_id FROM smsflow.brand WHERE name = 'Launches');
SELECT smsflow.create_sequence('cart', 'cart', '{"purpose": "cart"}', 'Launches') > 0 AS created, smsflow.add_step('cart', '30 minutes', 'Your cart is waiting. Reply STOP to end', brand => 'Launches') > 0 AS step;
INSERT INTO smsflow.enrollment (sequence_id, contact_id, ref, event_id, data, next_at) SELECT s.sequence_id, c.contact_id, 'c1', 0, '{}', now() + interval '1 hour'
	FROM smsflow.sequence s JOIN smsflow.contact c USING (brand_id) WHERE s.name = 'cart' AND c.external_id = '5';
SELECT make('exclude', '{"exclude": {"bought": "7 days", "texted": "2 days", "in_sequence": true, "events": {"kinds": ["email_opened", "email_clicked"], "within": "1 day"}}}');
SELECT launch('exclude'), expand();
SELECT who, refusal FROM written WHERE campaign = 'exclude';
INSERT INTO smsflow.click (message_id, link, contact_id, clicked_at, class, rule) SELECT 0, 1, contact_id, now(), 'human', 'none' FROM written WHERE campaign = 'exclude' AND who = '8';
SELECT make('clicked', '{"exclude": {"clicked": "1 day"}}'), launch('clicked'), expand();
SELECT who, refusal FROM written WHERE campaign = 'clicked' AND refusal IS NOT NULL;
-- What happens between the launch and the sending counts too, but a campaign's own message is no recent text.
SELECT smsflow.record_event('+14155594106', 'order', 'o2', brand => 'Launches') > 0 AS bought;
INSERT INTO smsflow.touch (contact_id, sent_at, message_id, purpose, subject) SELECT contact_id, now(), message_id, 'promotional', 'exclude' FROM written WHERE campaign = 'exclude' AND who = '7';
SELECT w.who, g.reason FROM smsflow.gated g JOIN written w USING (message_id) WHERE w.campaign = 'exclude' AND w.refusal IS NULL ORDER BY 1;
-- A holdout is always the same people, and another part of them for another campaign.
SELECT count(smsflow.subscribe('+1415556' || 1000 + n, external_id => 'h' || n, brand => 'Launches')) AS subscribed FROM generate_series(1, 400) AS n;
SELECT make('holdout 1', '{"holdout": 25}'), make('holdout 2', '{"holdout": 25}');
SELECT launch('holdout 1'), launch('holdout 2'), expand(1000);
SELECT campaign, count(*) FILTER (WHERE refusal = 'holdout') BETWEEN 60 AND 140 AS a_quarter FROM written WHERE campaign LIKE 'holdout%' GROUP BY 1 ORDER BY 1;
SELECT count(*) BETWEEN 5 AND 50 AS independent FROM written a JOIN written b USING (contact_id)
	WHERE a.campaign = 'holdout 1' AND b.campaign = 'holdout 2' AND a.refusal = 'holdout' AND b.refusal = 'holdout';
SELECT smsflow.set_campaign_policy(holdout => 10, brand => 'Launches');
SELECT make('global');
SELECT value BETWEEN 15 AND 80 AS a_tenth FROM smsflow.estimate_campaign('global', 'Launches') WHERE measure = 'suppressed:holdout';
SELECT smsflow.set_campaign_policy(holdout => 0, brand => 'Launches');

-- Cost by country.
SELECT smsflow.set_price('US', -1);
SELECT smsflow.set_price('us', 0.01, 'usd', 'Launches'), smsflow.set_price('*', 0.05, 'EUR', 'Launches');
SELECT measure, value FROM smsflow.estimate_campaign('global', 'Launches') WHERE measure LIKE 'cost%' OR measure LIKE 'country%';

-- One's own people.
SELECT smsflow.test_campaign('global', 'Launches');
SELECT smsflow.set_seeds('{+14155594101,+14155594102}', 'Launches');
SELECT count(DISTINCT message_id) FROM smsflow.test_campaign('global', 'Launches');
SELECT smsflow.set_seeds('{}', 'Launches');

-- A frozen audience is that of the launch, and one that follows that of the moment.
SELECT smsflow.create_segment('leaves', $$attributes ->> 'left' IS NULL AND external_id IN ('1', '2', '3')$$, 'Launches') > 0 AS created;
SELECT smsflow.create_campaign('frozen', 'leaves', 'Hi', options => '{"pool": "launches", "audience": "freeze"}', brand => 'Launches') > 0 AS created,
	smsflow.create_campaign('follows', 'leaves', 'Hi', options => '{"pool": "launches"}', brand => 'Launches') > 0 AS created;
SELECT launch('frozen'), launch('follows');
UPDATE smsflow.contact SET attributes = '{"left": true}' WHERE external_id = '2' AND brand_id = (SELECT brand_id FROM smsflow.brand WHERE name = 'Launches');
SELECT expand(2);
SELECT campaign, string_agg(who, ' ' ORDER BY who) FROM written WHERE campaign IN ('frozen', 'follows') GROUP BY 1 ORDER BY 1;

-- What a daily limit held until the next day is asked for again when that is raised; what waits for another reason waits on.
INSERT INTO smsflow.timer (message_id, due_at, queue_id, attempt, reason)
	SELECT w.message_id, now() + interval '9 hours', o.queue_id, 1, CASE w.who WHEN '1' THEN 'daily_limit' ELSE 'retry' END
	FROM written AS w JOIN smsflow.outbox AS o USING (message_id) WHERE w.campaign = 'follows';
SELECT q.seen, q.woken FROM (SELECT DISTINCT o.queue_id FROM written AS w JOIN smsflow.outbox AS o USING (message_id) WHERE w.campaign = 'follows') AS o
	CROSS JOIN LATERAL smsflow.wake_held(o.queue_id, now(), 0, now(), 10) AS q;
SELECT w.who, t.reason, t.due_at > now() AS later FROM smsflow.timer AS t JOIN written AS w USING (message_id) WHERE w.campaign = 'follows' ORDER BY 1, t.timer_id;

-- Waves: some first, nobody twice, and only those who are in the campaign's segment.
SELECT make('waves');
SELECT smsflow.add_wave('waves', 'nobody', '0', 'Launches');
SELECT smsflow.add_wave('waves', 'vip', '0', 'Launches'), smsflow.add_wave('waves', NULL, '1 hour', 'Launches');
SELECT smsflow.add_wave('waves', NULL, '30 minutes', 'Launches');
-- A segment of the same name that fails is another brand's affair.
SELECT smsflow.create_brand('Launches elsewhere') > 0 AS created;
CREATE TABLE fails (contact_id bigint);
SELECT smsflow.create_segment('vip', 'contact_id IN (SELECT f.contact_id FROM public.fails f)', 'Launches elsewhere') > 0 AS created;
DROP TABLE fails;
SELECT launch('waves'), expand(3);
SELECT who FROM written WHERE campaign = 'waves' ORDER BY 1;
SELECT status, wave, waits_for, waits_until - launch_at AS after FROM smsflow.campaign WHERE name = 'waves';
UPDATE smsflow.campaign SET waits_until = now() WHERE name = 'waves';
SELECT expand(50);
SELECT status, waits_for, (SELECT count(*) = count(DISTINCT contact_id) AND count(*) = 408 FROM written WHERE campaign = 'waves') AS each_once FROM smsflow.campaign WHERE name = 'waves';

-- A budget holds the rest until it is raised, and what is queued goes on.
SELECT make('budget', '{"budget": 5}');
SELECT launch('budget'), expand(3);
SELECT campaign, status, queued, waits_for FROM smsflow.progress_campaign WHERE campaign = 'budget';
SELECT smsflow.budget_campaign('budget', 0, 'Launches');
SELECT smsflow.budget_campaign('budget', 7, 'Launches'), expand(50);
SELECT campaign, status, queued, waits_for FROM smsflow.progress_campaign WHERE campaign = 'budget';
SELECT smsflow.budget_campaign('budget', NULL, 'Launches'), expand(50);
SELECT status, queued, waits_for, (SELECT count(DISTINCT contact_id) FROM written WHERE campaign = 'budget') AS people FROM smsflow.campaign WHERE name = 'budget';

-- A reminder goes to those who were sent the message and have not bought.
SELECT smsflow.add_reminder('global', '1 hour', 'Ends soon', brand => 'Launches');
SELECT make('sale', jsonb_build_object('valid_until', now() + interval '5 hours'));
SELECT smsflow.add_reminder('sale', '1 hour', 'The sale ends soon', brand => 'Launches') > 0 AS added;
SELECT smsflow.launch_campaign('sale reminder', brand => 'Launches');
SELECT launch('sale'), expand();
SELECT name, status, (options ->> 'valid_until')::timestamptz - launch_at = interval '1 hour' AS in_time FROM smsflow.campaign WHERE name LIKE 'sale%' ORDER BY 1;
INSERT INTO smsflow.touch (contact_id, sent_at, message_id, purpose, subject) SELECT contact_id, now(), message_id, 'promotional', 'sale' FROM written WHERE campaign = 'sale' AND who IN ('2', '7', '8');
UPDATE smsflow.campaign SET launch_at = now() WHERE name = 'sale reminder';
SELECT expand();
SELECT who, refusal FROM written WHERE campaign = 'sale reminder';

-- Repetition: one launch in each period.
SELECT make('weekly', '{"budget": 1}');
SELECT smsflow.launch_occurrence('weekly', 'week', 'Launches') = 'weekly ' || to_char(date_trunc('week', now(), 'UTC'), 'YYYY-MM-DD HH24:MI') AS launched;
SELECT smsflow.launch_occurrence('weekly', 'week', 'Launches') AS doubled;
SELECT count(*), min(status) FROM smsflow.campaign WHERE name LIKE 'weekly %';
SELECT smsflow.cancel_campaign('weekly', 'Launches');
SELECT smsflow.launch_occurrence('weekly', 'hour', 'Launches') AS ended;

-- The interest list of a product that is to come.
SELECT smsflow.notify_me('+14155594107', 'sku-9', 'launch', brand => 'Launches') > 0 AS asked;
SELECT smsflow.create_segment('waiting', $$smsflow.interested(contact_id, 'sku-9')$$, 'Launches') > 0 AS created;
SELECT smsflow.create_campaign('it is here', 'waiting', 'Hi', options => '{"pool": "launches"}', brand => 'Launches') > 0 AS created, launch('it is here'), expand();
SELECT who, refusal FROM written WHERE campaign = 'it is here';

-- It pauses itself when it does harm, once.
SELECT make('harm', '{"pause_on": {"opt_out_rate": 0.1, "min_sent": 10}}'), launch('harm'), expand(1000);
SELECT smsflow.tend_campaigns(10) AS released;
INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value)
	SELECT now(), brand_id, campaign_id, 0, 0, 0, purpose, m, v FROM smsflow.campaign, (VALUES ('sent', 20), ('opt_outs', 3)) AS x (m, v) WHERE name = 'harm';
SET client_min_messages = error;
SELECT smsflow.tend_campaigns(10) AS released;
RESET client_min_messages;
SELECT status, error FROM smsflow.progress_campaign WHERE campaign = 'harm';
SELECT smsflow.resume_campaign('harm', 'Launches'), smsflow.tend_campaigns(10);
SELECT status FROM smsflow.progress_campaign WHERE campaign = 'harm';

-- Or when too many of its messages fail.
SELECT make('failing', '{"pause_on": {"failure_rate": 0.2, "min_sent": 10}}'), launch('failing'), expand(1000);
INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value)
	SELECT now(), brand_id, campaign_id, 0, 0, 0, purpose, m, v FROM smsflow.campaign, (VALUES ('sent', 16), ('rejected', 4), ('undelivered', 1)) AS x (m, v)
	WHERE name = 'failing';
SET client_min_messages = error;
SELECT smsflow.tend_campaigns(10) AS released;
RESET client_min_messages;
SELECT status, error FROM smsflow.progress_campaign WHERE campaign = 'failing';

-- A variable without a value: its recipient gets nothing, or it is left blank, or the campaign fails; a look at it fails never.
SELECT make('skips', '{}', 'Hi{{#if name}}!{{/if}} {{name}}'), make('blanks', '{"missing": "blank"}', 'Hi{{#if name}}!{{/if}} {{name}}'),
	make('fails', '{"missing": "fail"}', 'Hi {{name}}');
UPDATE smsflow.contact AS c SET attributes = '{"name": "Ann"}' FROM smsflow.brand AS b WHERE b.brand_id = c.brand_id AND b.name = 'Launches' AND c.external_id = '1';
SELECT k.name, p.body, p.refusal, count(*) FROM unnest('{skips,blanks,fails}'::text[]) WITH ORDINALITY AS k (name, place)
	CROSS JOIN LATERAL smsflow.preview_campaign(k.name, 100, 'Launches') AS p GROUP BY k.place, k.name, p.body, p.refusal ORDER BY k.place, p.body;
SELECT launch('skips'), launch('blanks'), launch('fails');
SET client_min_messages = error;
SELECT expand();
RESET client_min_messages;
SELECT campaign, status, queued, refused, regexp_replace(error, '[0-9]+', 'N') AS error FROM smsflow.progress_campaign
	WHERE campaign IN ('skips', 'blanks', 'fails') ORDER BY 1;
SELECT campaign, body, refusal, count(*) FROM written WHERE campaign IN ('skips', 'blanks', 'fails') GROUP BY 1, 2, 3 ORDER BY 1, 2;

-- The variables of a text are those of contact_vars(), from which send() and steps have theirs.
UPDATE smsflow.contact AS c SET first_name = 'Eve', language = 'de', region = 'US-FL', time_zone = 'Europe/Oslo',
	attributes = '{"first_name": "attribute", "size": {"shoe": 38}, "tags": ["a", "b"], "born": "2026-03-01T23:30:00Z"}'
	FROM smsflow.brand AS b WHERE b.brand_id = c.brand_id AND b.name = 'Launches' AND c.external_id = '2';
SELECT make('all variables', '{}', '{{first_name|-}} {{last_name|-}} {{external_id|-}} {{language|-}} {{region|-}} {{brand}} {{_brand}} {{_time_zone}} '
	'{{size.shoe|-}} {{tags.1|-}} {{size|-}} {{first_name.x|-}} {{born|-|date:DD Mon HH24:MI}}');
SELECT count(*) AS people, count(*) FILTER (WHERE p.body = smsflow.render(k.body, smsflow.contact_vars(c, 'Launches', NULL))) AS same,
	max(p.body) FILTER (WHERE c.first_name = 'Eve') AS body
	FROM smsflow.preview_campaign('all variables', 10, 'Launches') AS p JOIN smsflow.contact AS c USING (contact_id)
	JOIN smsflow.campaign AS k ON k.name = 'all variables';

-- Typographic characters are replaced where that makes the text GSM-7, and only there.
SELECT make('typeset', '{}', 'It’s “new” – look…'), make('smart', '{"smart_encode": true}', 'It’s “new” – look…'), make('smart, in vain', '{"smart_encode": true}', 'It’s new 😀');
SELECT DISTINCT k.name, p.body, e.measure FROM unnest('{typeset,smart,"smart, in vain"}'::text[]) AS k (name)
	CROSS JOIN LATERAL smsflow.preview_campaign(k.name, 1, 'Launches') AS p CROSS JOIN LATERAL smsflow.estimate_campaign(k.name, 'Launches') AS e
	WHERE e.measure LIKE 'encoding%' ORDER BY 1;

-- What the policy wants is added to texts that do not say it, and counted; what is no marketing stays.
SELECT smsflow.set_text_policy(prefix => 'Acme Shop: ', opt_out_text => 'Reply STOP to end', brand => 'Launches');
SELECT make('bare'), make('named', body => 'The sale of {{ brand }}, STOP ends'), make('said', body => 'acme shop has a sale'), make('other', body => 'Launches: sale! Unsubscribe: STOP');
SELECT smsflow.create_campaign('parcel', 'all', 'Your parcel', 'transactional', '{"pool": "launches"}', 'Launches') > 0 AS created;
SELECT smsflow.add_variant('bare', v, 'Hi ' || v, brand => 'Launches'), smsflow.translate_campaign('bare', 'de', 'Hallo', v, 'Launches') FROM unnest('{A,B}'::text[]) AS v;
SELECT smsflow.add_variant('bare', 'C', brand => 'Launches');
UPDATE smsflow.contact AS c SET language = 'de' FROM smsflow.brand AS b WHERE b.brand_id = c.brand_id AND b.name = 'Launches' AND (c.external_id IN ('2', '3', '4', '6') OR c.external_id ~ '^h.*[13579]$');
SELECT DISTINCT k.name, p.body FROM smsflow.campaign AS k CROSS JOIN LATERAL smsflow.preview_campaign(k.name, 10, 'Launches') AS p
	WHERE k.name IN ('named', 'said', 'other', 'parcel') ORDER BY 1;
SELECT DISTINCT p.variant, p.body FROM smsflow.preview_campaign('bare', 100, 'Launches') AS p ORDER BY 1, 2;
SELECT make('too long', body => repeat('x', 1520));
SELECT make('at an offset');
SELECT smsflow.launch_campaign('at an offset', now() + interval '1 day', 'UTC-8', 'Launches');
SELECT smsflow.set_business_hours('{Mon-Fri 09:00-17:00}', 'GMT+5', 'Launches');
-- A value without end makes one message too long, and stops nobody else's.
UPDATE smsflow.contact AS c SET attributes = attributes || jsonb_build_object('note', repeat('ä', 70000)) FROM smsflow.brand AS b
	WHERE b.brand_id = c.brand_id AND b.name = 'Launches' AND c.external_id = '2';
SELECT make('wordy', body => 'Hi {{note|there}}. Reply STOP to end');
SELECT p.refusal, min(p.parts) AS parts, count(*) > 0 AS some FROM smsflow.preview_campaign('wordy', 100, 'Launches') AS p WHERE p.refusal IS NULL OR p.refusal = 'too_long' GROUP BY 1 ORDER BY 1;
SELECT measure, value FROM smsflow.estimate_campaign('wordy', 'Launches') WHERE measure = 'suppressed:too_long';
SELECT make('counted', body => repeat('x', 140));
SELECT parts, count(*) > 0 AS some FROM smsflow.preview_campaign('counted', 10, 'Launches') GROUP BY 1;

\c :home
DROP DATABASE regress_smsflow_launches;
