--
-- Coupons of campaigns: one for each message that is made, back when it was not sent, and the end of a pool
--
\set database regress_smsflow_coupons
\getenv tree PG_ABS_SRCDIR
\set ECHO none
\i :tree/test/fixtures/database.sql
\set ECHO all
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT smsflow.suspend_rule('window');
SELECT smsflow.create_brand('Coupons') > 0 AS created;
SELECT count(smsflow.subscribe('+1415559' || 4200 + n, external_id => n::text, brand => 'Coupons')) AS subscribed FROM generate_series(1, 6) AS n;
SELECT smsflow.opt_out('+14155594202'::text, brand => 'Coupons') AS ended;
SELECT smsflow.create_segment('all', 'true', 'Coupons') > 0 AS created;
SELECT smsflow.add_gateway('coupons', 'generic_json', 'https://sms.example') > 0 AS gateway, smsflow.add_sender('+14155550174', 'coupons', pool => 'coupons') > 0 AS sender;
CREATE FUNCTION make(name text, pool text, body text DEFAULT 'Your code: {{coupon}}') RETURNS boolean LANGUAGE sql AS $$
	SELECT smsflow.create_campaign(name, 'all', body, options => jsonb_build_object('pool', 'coupons', 'coupons', pool), brand => 'Coupons') > 0 $$;
\set ECHO none
\i :tree/test/fixtures/expand.sql
\set ECHO all
CREATE VIEW written AS SELECT k.name AS campaign, c.external_id AS who, o.body, o.refusal, o.message_id, o.contact_id
	FROM smsflow.outbox o JOIN smsflow.contact c USING (contact_id) JOIN smsflow.campaign k USING (campaign_id) WHERE k.options ? 'coupons' ORDER BY k.campaign_id, c.contact_id;
CREATE VIEW taken AS SELECT p.name AS pool, count(*) AS codes, count(c.message_id) AS taken, count(c.campaign_id) AS dealt FROM smsflow.coupon c JOIN smsflow.coupon_pool p USING (coupon_pool_id) GROUP BY 1;

-- What is refused.
\set VERBOSITY sqlstate
SELECT smsflow.create_coupon_pool('', brand => 'Coupons');
SELECT smsflow.create_coupon_pool('p', 'a b', brand => 'Coupons');
SELECT smsflow.create_coupon_pool('p', at_end => 'fail', brand => 'Coupons');
SELECT smsflow.add_coupons('p', '{A}', 'Coupons');
SELECT make('no pool', 'p');
SELECT smsflow.launch_campaign('no pool', brand => 'Coupons');
SELECT smsflow.create_coupon_pool('given', brand => 'Coupons') > 0 AS created, smsflow.create_coupon_pool('generated', 'VIP-', brand => 'Coupons') > 0 AS created,
	smsflow.create_coupon_pool('short', at_end => 'go_on', brand => 'Coupons') > 0 AS created;
SELECT smsflow.create_coupon_pool('given', brand => 'Coupons');
SELECT smsflow.add_coupons('given', '{"A B"}', 'Coupons');
SELECT smsflow.add_coupons('generated', '{AB}', 'Coupons');
\set VERBOSITY default

-- Codes of the store: none is taken by looking, none for who gets nothing, and the campaign waits at the end of the pool.
SELECT smsflow.add_coupons('given', '{C1,C2,C3,C2}', 'Coupons');
SELECT make('given', 'given');
SELECT body, refusal FROM smsflow.preview_campaign('given', 2, 'Coupons');
-- The estimate says that they are too few.
SELECT measure, value FROM smsflow.estimate_campaign('given', 'Coupons') WHERE measure ~ 'recipients|suppressed|coupons';
SELECT make('of none', 'short', 'Your code: {{coupon|SALE}}'), make('of an own', 'generated');
SELECT measure, value FROM smsflow.estimate_campaign('of none', 'Coupons') WHERE measure ~ 'coupons|suppressed';
SELECT count(*) FROM smsflow.estimate_campaign('of an own', 'Coupons') WHERE measure ~ 'coupons';
SELECT smsflow.create_coupon_pool('empty', brand => 'Coupons') > 0 AS created, make('of an empty one', 'empty');
SELECT measure, value FROM smsflow.estimate_campaign('of an empty one', 'Coupons') WHERE measure ~ 'coupons|suppressed';
SELECT body, refusal FROM smsflow.preview_campaign('of an empty one', 1, 'Coupons');
SELECT * FROM taken;
SELECT smsflow.launch_campaign('given', brand => 'Coupons'), expand(1000000);
SELECT who, body ~ '^Your code: C[1-3]$' AS has_code, refusal FROM written WHERE campaign = 'given';
SELECT count(DISTINCT body) FROM written WHERE campaign = 'given' AND refusal IS NULL;
SELECT * FROM taken;
SELECT campaign, status, waits_for FROM smsflow.progress_campaign WHERE campaign = 'given';
SELECT smsflow.add_coupons('given', '{C4,C5,C6}', 'Coupons'), expand(1000000);
SELECT campaign, status, queued, refused, waits_for FROM smsflow.progress_campaign WHERE campaign = 'given';
SELECT count(*), count(DISTINCT body) FROM written WHERE campaign = 'given' AND refusal IS NULL;
SELECT * FROM taken;
-- Each code is with the message that says it.
SELECT count(*) FROM smsflow.coupon c JOIN written w USING (message_id, contact_id) WHERE w.body = 'Your code: ' || c.code;

-- A slice that does not commit takes none.
BEGIN;
SELECT make('undone', 'given'), smsflow.launch_campaign('undone', brand => 'Coupons');
SELECT smsflow.advance_campaigns(1000000) IS NOT NULL AS more;
SELECT taken FROM taken WHERE pool = 'given';
ROLLBACK;
SELECT taken FROM taken WHERE pool = 'given';

-- A message that was definitely not sent gives its code back; one that was, or may have been, keeps it.
INSERT INTO smsflow.attempt (message_id, started_at, finished_at, generation, attempt, wire, outcome, class)
	SELECT message_id, now(), now(), 0, 1, CASE who WHEN '1' THEN 'none' WHEN '3' THEN 'maybe' ELSE 'yes' END::smsflow.wire,
		CASE who WHEN '1' THEN 'rejected' WHEN '3' THEN 'in_doubt' ELSE 'accepted' END::smsflow.attempt_outcome, NULL
	FROM written WHERE campaign = 'given' AND who IN ('1', '3', '4');
SELECT smsflow.tend_campaigns(100) AS released;
SELECT * FROM taken WHERE pool = 'given';
SELECT smsflow.tend_campaigns(100) AS released;
SELECT count(*) FILTER (WHERE settled) AS settled, count(*) FILTER (WHERE NOT settled AND message_id IS NOT NULL) AS open FROM smsflow.coupon;

-- A campaign that waits for codes goes on with one that came back.
SELECT smsflow.create_coupon_pool('one', brand => 'Coupons') > 0 AS created, smsflow.add_coupons('one', '{ONLY}', 'Coupons'), make('one', 'one');
SELECT smsflow.launch_campaign('one', brand => 'Coupons'), expand(1000000);
SELECT campaign, queued, waits_for FROM smsflow.progress_campaign WHERE campaign = 'one';
INSERT INTO smsflow.attempt (message_id, started_at, finished_at, generation, attempt, wire, outcome, class)
	SELECT message_id, now(), now(), 0, 1, 'none', 'rejected', NULL FROM written WHERE campaign = 'one' AND refusal IS NULL;
SELECT smsflow.tend_campaigns(100) AS released, expand(1000000);
SELECT who, body, refusal FROM written WHERE campaign = 'one' AND refusal IS NULL;
SELECT campaign, queued, waits_for FROM smsflow.progress_campaign WHERE campaign = 'one';

-- Generated codes differ, and say nothing that can be misread.
SELECT make('generated', 'generated'), smsflow.launch_campaign('generated', brand => 'Coupons');
SELECT expand(1000000);
SELECT count(DISTINCT body) AS codes, bool_and(body ~ '^Your code: VIP-[2-9A-HJ-NP-Z]{8}$') AS readable FROM written WHERE campaign = 'generated' AND refusal IS NULL;
SELECT dealt = taken AS none_left_dealt FROM taken WHERE pool = 'generated';

-- A pool that ends while the campaign goes on: by the default of the text, or not for those.
SELECT smsflow.add_coupons('short', '{S1}', 'Coupons');
SELECT make('short', 'short', 'Your code: {{coupon|WELCOME}}'), make('shorter', 'short');
SELECT smsflow.launch_campaign('short', brand => 'Coupons'), smsflow.launch_campaign('shorter', brand => 'Coupons'), expand(1000000);
SELECT campaign, body, refusal, count(*) FROM written WHERE campaign LIKE 'short%' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

\c :home
DROP DATABASE regress_smsflow_coupons;
