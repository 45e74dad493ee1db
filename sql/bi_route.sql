-- How numbers and gateways deliver, what messages cost, codes and doubts: examples to be checked by hand.
\set VERBOSITY sqlstate
\set database regress_smsflow_bi_route
\getenv tree PG_ABS_SRCDIR
\set ECHO none
\i :tree/test/fixtures/figures.sql
\set ECHO all
INSERT INTO smsflow.sender (address, gateway_id) VALUES ('+14155550178', :gateway_id) RETURNING sender_id AS other_id \gset

-- A delivery of up to 2^(n/4) seconds is in bucket n: 1 s in 0, 2 s in 4, 3 s in 7 (up to 3.36 s), a minute in 24 (up to 64 s).
SELECT d AS delay, smsflow.delay_bucket(d) FROM unnest('{-1 s,1 s,1.1 s,2 s,3 s,1 min,1 day,1 year}'::interval[]) d;
SELECT before, after, class, smsflow.report_measure(before, after, class, '2026-03-01 10:00+00', '2026-03-01 10:01+00') FROM (VALUES
	('accepted'::smsflow.message_status, 'delivered'::smsflow.message_status, NULL), ('delivered', 'delivered', NULL), ('undelivered', 'delivered', 'filtered'),
	('accepted', 'undelivered', 'filtered'), ('accepted', 'expired', NULL), ('accepted', 'rejected', NULL), ('queued', 'accepted', NULL)) x (before, after, class);

-- Last 24 hours: 10 sent by the first number, of which 6 delivered (4 within 2 s, 2 within a minute) and 2 not; 4 by the second, all delivered at once.
-- The days before: 90 of 100 delivered.
CREATE FUNCTION pg_temp.happened(sender integer, ago interval, measure text, value numeric) RETURNS void LANGUAGE sql AS $$
	INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value)
	VALUES (date_trunc('hour', now() - $2, 'UTC'), 1, 0, 0, $1, 0, 'promotional', $3, $4) $$;
SELECT count(pg_temp.happened(s, ago, measure, value)) FROM (VALUES
	(:sender_id, interval '2 hours', 'sent', 10), (:sender_id, '1 hour', 'delivered', 4), (:sender_id, '1 hour', 'delay:4', 4), (:sender_id, '0', 'delivered', 2),
	(:sender_id, '0', 'delay:24', 2), (:sender_id, '0', 'undelivered', 2), (:sender_id, '0', 'failed:filtered', 1), (:sender_id, '0', 'failed:undeliverable', 1),
	(:other_id, '3 hours', 'sent', 4), (:other_id, '3 hours', 'delivered', 4), (:other_id, '3 hours', 'delay:0', 4),
	(:sender_id, '3 days', 'delivered', 90), (:sender_id, '3 days', 'undelivered', 10), (:sender_id, '3 days', 'delay:40', 90), (:sender_id, '20 days', 'undelivered', 500)) x (s, ago, measure, value);
SELECT smsflow.fold_metrics() > 0 AS folded;
SELECT sender, sent, delivered, undelivered, rejected, round(delivery_rate, 4) AS rate, round(delivery_rate_before, 4) AS before, round(trend, 4) AS trend,
	seconds_p50, seconds_p95, seconds_p99, failures FROM smsflow_bi.sender_health ORDER BY sender;
SELECT gateway, sent, delivered, round(delivery_rate, 4) AS rate, round(trend, 4) AS trend, seconds_p50, seconds_p95, failures FROM smsflow_bi.gateway_health;

-- What reports say through the door that gateways use: one late, one repeated, one that comes before its worse one, and their costs by country.
SELECT pg_temp.append(:ann, :campaign_id, NULL, NULL, :queue_id, NULL) AS m1 \gset
SELECT pg_temp.append(:bob, :campaign_id, NULL, NULL, :queue_id, NULL) AS m2 \gset
SELECT count(*) FROM (VALUES (:m1), (:m2)) AS m (id), LATERAL (SELECT pg_temp.count(id, 'recipients', 1), pg_temp.count(id, 'queued', 1), pg_temp.count(id, 'parts', 2)) x;
SELECT pg_temp.send(:m1, clock_timestamp() - interval '55 seconds'), pg_temp.send(:m2, clock_timestamp() - interval '2 minutes');
INSERT INTO smsflow.gateway_profile (profile, method, report, report_status) VALUES ('reporting', 'GET',
	'{"status": "s", "code": "c", "cost": "cost", "currency": "in"}', '{"ok": "delivered", "no": "undelivered"}');
UPDATE smsflow.gateway SET profile = 'reporting' WHERE gateway_id = :gateway_id;
CREATE FUNCTION pg_temp.report(message bigint, fields jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	id bigint;
BEGIN
	INSERT INTO smsflow.callback (gateway_id, message_id, attempt, fields) SELECT gateway_id, $1, 1, $2 FROM smsflow.gateway RETURNING callback_id INTO id;
	PERFORM smsflow.apply_callbacks(ARRAY[id]);
END $$;
SELECT pg_temp.report(:m1, '{"s": "ok", "cost": "0.01", "in": "USD"}');
SELECT pg_temp.report(:m1, '{"s": "ok", "cost": "0.01", "in": "USD"}');
SELECT pg_temp.report(:m2, '{"s": "no", "cost": "0.02", "in": "USD"}');
SELECT pg_temp.report(:m1, '{"s": "no"}');
SELECT delivered, undelivered, accepted, cost FROM smsflow_bi.campaign_totals WHERE campaign = 'spring';
SELECT country, currency, messages, cost, cost_per_message FROM smsflow_bi.cost_by_country;
SELECT measure, sum(value) FROM smsflow.metric WHERE campaign_id = :campaign_id AND measure ~ ':' GROUP BY 1 ORDER BY 1;
-- It is delivered after all.
SELECT pg_temp.report(:m2, '{"s": "ok"}');
SELECT delivered, undelivered, accepted, cost FROM smsflow_bi.campaign_totals WHERE campaign = 'spring';
SELECT c FROM smsflow.check_metrics() c WHERE c NOT LIKE 'campaign 0 %';

-- Five codes, four sent, three entered.
INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value)
	SELECT '2026-03-01 23:00+00', 1, 0, 0, 0, 0, 'otp', m, v FROM (VALUES ('recipients', 5), ('sent', 4), ('delivered', 4), ('approved', 3)) x (m, v);
SELECT day, codes, sent, delivered, approved, approval_rate, brand FROM smsflow_bi.otp_conversion;
\c :home
DROP DATABASE regress_smsflow_bi_route;
