-- A campaign in words, and everything as OpenMetrics.
\set VERBOSITY sqlstate
\set database regress_smsflow_report
\getenv tree PG_ABS_SRCDIR
\set ECHO none
\i :tree/test/fixtures/figures.sql
\set ECHO all
\pset format unaligned
SELECT smsflow.campaign_report('not yet');
INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, variant, measure, value, currency, first_at, last_at)
	SELECT hour, 1, :campaign_id, 0, :sender_id, 0, 'promotional', v, m, n, c, hour + interval '5 minutes', hour + interval '50 minutes' FROM (VALUES
		('2026-03-01 10:00+00'::timestamptz, 1, 'recipients', 400, ''), ('2026-03-01 10:00+00', 2, 'recipients', 400, ''), ('2026-03-01 10:00+00', 0, 'recipients', 200, ''),
		('2026-03-01 10:00+00', 0, 'suppressed', 200, ''), ('2026-03-01 10:00+00', 1, 'sent', 300, ''), ('2026-03-01 10:00+00', 2, 'sent', 300, ''),
		('2026-03-01 11:00+00', 1, 'sent', 100, ''), ('2026-03-01 11:00+00', 2, 'sent', 50, ''), ('2026-03-01 12:00+00', 2, 'rejected', 50, ''),
		('2026-03-01 11:00+00', 1, 'delivered', 390, ''), ('2026-03-01 11:00+00', 2, 'delivered', 340, ''), ('2026-03-01 11:00+00', 1, 'undelivered', 10, ''), ('2026-03-01 11:00+00', 2, 'accepted', 10, ''),
		('2026-03-01 12:00+00', 1, 'clicks', 50, ''), ('2026-03-01 12:00+00', 1, 'clickers', 40, ''), ('2026-03-01 12:00+00', 2, 'clickers', 14, ''), ('2026-03-01 12:00+00', 1, 'opt_outs', 3, ''),
		('2026-03-01 12:00+00', 1, 'orders', 12, ''), ('2026-03-01 12:00+00', 1, 'revenue', 600, 'USD'), ('2026-03-01 12:00+00', 1, 'cost', 6, 'USD'), ('2026-03-01 12:00+00', 1, 'cost', 2.5, 'EUR')) x (hour, v, m, n, c);
INSERT INTO smsflow.alert (rule, campaign_id, sender_id, successes, trials, past_successes, past_trials, p_value) VALUES ('opt-outs of a campaign rise', :campaign_id, 0, 3, 400, 1, 1000, 0.00001);
SELECT smsflow.campaign_report('spring');
SELECT smsflow.campaign_report('winter');
SELECT smsflow.campaign_report('spring', 'nobody');
SELECT smsflow.open_metrics();
-- Each family once, and nothing but samples, types and helps.
SELECT line FROM regexp_split_to_table(smsflow.open_metrics(), '\n') line
	WHERE line !~ '^(# (TYPE [a-z_]+ (gauge|counter)|HELP [a-z_]+ .+|EOF)|smsflow_[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? -?[0-9.]+|)$';
-- As dbt sources: every view and column of the catalog, with its type and meaning.
SELECT count(*) FILTER (WHERE line ~ '^      - name: ') = (SELECT count(*) FROM pg_views WHERE schemaname = 'smsflow_bi') AS views,
	count(*) FILTER (WHERE line ~ '^          - name: [a-z_0-9]+$') = (SELECT count(*) FROM information_schema.columns WHERE table_schema = 'smsflow_bi') AS columns,
	count(*) FILTER (WHERE line ~ '^ +description: ".+"$') = count(*) FILTER (WHERE line ~ '^ +- name: ') - 1 AS described, count(*) FILTER (WHERE line ~ 'null$') AS missing
FROM regexp_split_to_table(smsflow.dbt_sources(), '\n') line;
SELECT left(smsflow.dbt_sources(), 84);
\c :home
DROP DATABASE regress_smsflow_report;
