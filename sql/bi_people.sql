-- People in numbers: who joins and leaves, answers, buys again, and why they opt out. Examples to be checked by hand.
\set VERBOSITY sqlstate
\set database regress_smsflow_bi_people
\getenv tree PG_ABS_SRCDIR
\set ECHO none
\i :tree/test/fixtures/figures.sql
\set ECHO all

-- Ann, Bob and Cid agreed; Dan does at the checkout, and confirms. Bob goes, says so twice, and comes back; Cid goes.
SELECT smsflow.subscribe('+14155552674', source => 'checkout', level => 'written', disclosure => 'Offers by text') AS dan \gset
SELECT smsflow.confirm_opt_in('+14155552674');
SELECT smsflow.opt_out('+14155552672'), smsflow.opt_out('+14155552672');
SELECT smsflow.subscribe('+14155552672') = :bob AS back;
SELECT pg_temp.append(:cid, :campaign_id, NULL, NULL, :queue_id, NULL) AS to_cid \gset
SELECT pg_temp.send(:to_cid, clock_timestamp() - interval '1 hour');
INSERT INTO smsflow.inbound (gateway_id, contact_id, phone, body, action, rule) SELECT :gateway_id, :cid, '+14155552673', 'STOP', r.action, r.rule FROM smsflow.classify_reply('STOP') r RETURNING inbound_id \gset
SELECT smsflow.obey_opt_out(:inbound_id);
SELECT joined, left_list, net, subscribers, day = (now() AT TIME ZONE 'UTC')::date AS today FROM smsflow_bi.list_growth;
SELECT source, signed_up, confirmed, messaged, ordered, opted_out, subscribed, round(opt_out_share, 3) AS share FROM smsflow_bi.consent_funnel ORDER BY source;
-- A paper form from before the STOP, entered after it, brings Cid back neither to the list nor to the figures.
SELECT smsflow.subscribe('+14155552673', source => 'paper', occurred_at => now() - interval '1 year') = :cid AS same;
SELECT (SELECT sum(net) FROM smsflow_bi.list_growth) AS grown, (SELECT sum(subscribed) FROM smsflow_bi.consent_funnel) AS in_the_funnel,
	(SELECT count(*) FROM smsflow.contact WHERE smsflow.consent_level(consent, 'promotional') > 'none') AS on_the_list;
SELECT brand, campaign, sequence, source, keyword_rule, opt_outs FROM smsflow_bi.opt_out_trend ORDER BY source, campaign;
SELECT action, keyword_rule, replies, people, unsettled FROM smsflow_bi.reply_summary;

-- Ann buys in January, February and twice in April; Bob in January, which is reported twice; Dan in February.
INSERT INTO smsflow.event (contact_id, kind, ref, occurred_at, amount, currency) VALUES
	(:ann, 'order', 'A1', '2026-01-05', 10, 'USD'), (:ann, 'order', 'A2', '2026-02-05', 20, 'USD'), (:ann, 'order', 'A3', '2026-04-05', 30, 'USD'),
	(:ann, 'order', 'A4', '2026-04-06', 40, 'USD'), (:bob, 'order', 'B1', '2026-01-31 23:59+00', 5, 'USD'), (:bob, 'order', 'B1', '2026-01-31 23:59+00', 5, 'USD'),
	(:dan, 'order', 'D1', '2026-02-01', 7, 'EUR'), (:dan, 'cart', 'D2', '2026-02-02', 7, 'EUR');
SELECT cohort, months_later, people, buyers, repeat_buyers, orders, repeat_rate, revenue, currency FROM smsflow_bi.cohort_repeat_purchase ORDER BY 1, 2;
SELECT contact_id = :bob AS bob, ref, amount, ordered_date, message_id FROM smsflow_bi.fact_order WHERE contact_id = :bob;

-- Erased people leave no trace but the counts.
SELECT smsflow.erase_contact('+14155552674') IS NOT NULL AS erased;
SELECT sum(joined) AS joined, sum(left_list) AS left_list FROM smsflow_bi.list_growth;
SELECT count(*) FROM smsflow_bi.dim_contact_masked;
\c :home
DROP DATABASE regress_smsflow_bi_people;
