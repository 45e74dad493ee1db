-- Early warning: rates against their own past, by rules that are rows. Examples to be checked by hand.
\set VERBOSITY sqlstate
\set database regress_smsflow_alerts
\getenv tree PG_ABS_SRCDIR
\set ECHO none
\i :tree/test/fixtures/figures.sql
\set ECHO all
SELECT rule, subject, direction, factor, span, lag, at_least, p_value, pauses FROM smsflow.alert_rule ORDER BY rule;
SELECT campaign_id AS other_id FROM smsflow.campaign WHERE name = 'not yet' \gset
CREATE FUNCTION pg_temp.happened(campaign integer, sender integer, ago interval, sent integer, delivered integer, undelivered integer, opt_outs integer) RETURNS void LANGUAGE sql AS $$
	INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value)
	SELECT date_trunc('hour', now() - $3, 'UTC'), 1, $1, 0, $2, 0, 'promotional', m, v
	FROM (VALUES ('sent', $4), ('delivered', $5), ('undelivered', $6), ('opt_outs', $7)) x (m, v) WHERE v <> 0 $$;

-- Nothing is known of the past yet, so nothing differs from it.
SELECT pg_temp.happened(:campaign_id, :sender_id, '1 hour', 1000, 900, 100, 20);
SELECT smsflow.watch_figures();
SELECT component, ok, message, hint FROM smsflow.health() WHERE component = 'figures';

-- The past: 10,000 sent, 50 opt-outs, 95 % delivered. Now 2 % opt out, four times as many; 90 % are delivered, which is more than 0.9 times 95 %.
SELECT pg_temp.happened(:other_id, :sender_id, '20 days', 10000, 9500, 500, 50);
UPDATE smsflow.campaign SET options = '{"pause_on_alert": true}' WHERE campaign_id = :campaign_id;
LISTEN smsflow_alert;
SELECT rule, campaign_id = :campaign_id AS ours, successes, trials, past_successes, past_trials, p_value < 1e-7 AS improbable FROM smsflow.find_alerts() ORDER BY rule;
BEGIN;
SELECT smsflow.watch_figures();
SELECT rule, campaign, sender, rate::real, past_rate::real, trials, past_trials, paused, ended_at FROM smsflow_bi.alerts ORDER BY rule;
SELECT status FROM smsflow.campaign WHERE campaign_id = :campaign_id;
SELECT component, ok, message, hint FROM smsflow.health() WHERE component = 'figures';
-- One finding is one alert, and who resumes the campaign is not overruled.
SELECT smsflow.resume_campaign('spring');
SELECT smsflow.watch_figures(now() + interval '1 second');
SELECT status FROM smsflow.campaign WHERE campaign_id = :campaign_id;
-- It ends when it holds no longer.
SELECT smsflow.watch_figures(now() + interval '1 day');
SELECT count(*) AS alerts, count(*) FILTER (WHERE ended_at IS NULL) AS open FROM smsflow.alert;
ROLLBACK;

-- A campaign that does not allow it goes on; rules can be changed; few messages say nothing.
UPDATE smsflow.campaign SET options = '{}' WHERE campaign_id = :campaign_id;
UPDATE smsflow.alert_rule SET at_least = 1001 WHERE rule LIKE 'opt-outs of a number%';
\o |sed -E 's/PID [0-9]+/PID n/; s/"(alert|campaign|sender)_id": [1-9]+/"\1_id": n/g'
SELECT smsflow.watch_figures();
\o
UNLISTEN smsflow_alert;
SELECT a.rule, a.paused, c.status FROM smsflow.alert a JOIN smsflow.campaign c USING (campaign_id);
-- Delivery of a number falls to 60 %.
SELECT pg_temp.happened(0, :sender_id, '0', 1000, 240, 660, 0);
SELECT smsflow.watch_figures(now() + interval '1 second');
SELECT rule, campaign, sender, rate::real, past_rate::real, trials FROM smsflow_bi.alerts WHERE sender IS NOT NULL;
-- A rate that got better is none.
SELECT pg_temp.happened(0, :sender_id, '0', 100000, 100000, 0, 0);
SELECT smsflow.watch_figures(now() + interval '2 seconds');
SELECT rule, ended_at IS NOT NULL AS ended FROM smsflow_bi.alerts WHERE sender IS NOT NULL;
INSERT INTO smsflow.alert_rule (rule, subject, successes, trials, direction, factor) VALUES ('wrong', 'sender', '{delivered}', '{sent}', 'low', 2);
SELECT smsflow.create_campaign('autumn', 'metrics all', 'Leaves! Reply STOP to end', options => '{"pause_on_alert": true}') > 0 AS allowed;
\c :home
DROP DATABASE regress_smsflow_alerts;
