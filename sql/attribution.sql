-- Four models on an example to be checked by hand, and variants compared.
\set VERBOSITY sqlstate
\set database regress_smsflow_attribution
\getenv tree PG_ABS_SRCDIR
\set ECHO none
\i :tree/test/fixtures/figures.sql
\set ECHO all

-- To Ann: m1 on 1 March 08:00, m2 at 12:00, delivered at 13:00, m3 on 2 March 08:00. She clicks m1 on 1 March 09:00 and m2 at 14:00;
-- a preview opens m3. To Bob: m4 on 1 March 08:00, never clicked.
SELECT pg_temp.append(:ann, :campaign_id, NULL, NULL, :queue_id, NULL) AS m1 \gset
SELECT pg_temp.append(:ann, :campaign_id, NULL, NULL, :queue_id, NULL) AS m2 \gset
SELECT pg_temp.append(:ann, :campaign_id, NULL, NULL, :queue_id, NULL) AS m3 \gset
SELECT pg_temp.append(:bob, :campaign_id, NULL, NULL, :queue_id, NULL) AS m4 \gset
SELECT count(pg_temp.send(m, at)) FROM (VALUES (:m1, '2026-03-01 08:00+00'::timestamptz), (:m2, '2026-03-01 12:00+00'), (:m3, '2026-03-02 08:00+00'),
	(:m4, '2026-03-01 08:00+00')) x (m, at);
INSERT INTO smsflow.report (message_id, callback_id, received_at, occurred_at, attempt, status) VALUES (:m2, 1, now(), '2026-03-01 13:00+00', 1, 'delivered');
INSERT INTO smsflow.click (message_id, link, contact_id, clicked_at, class, rule) VALUES (:m1, 1, :ann, '2026-03-01 09:00+00', 'human', 'none'),
	(:m2, 1, :ann, '2026-03-01 14:00+00', 'human', 'none'), (:m3, 1, :ann, '2026-03-02 08:01+00', 'preview', 'none');
CREATE TEMP TABLE name AS SELECT * FROM (VALUES (:m1, 'm1'), (:m2, 'm2'), (:m3, 'm3'), (:m4, 'm4')) n (message_id, name);

-- Ann orders A on 1 March 12:30 (m1 clicked and delivered, m2 not yet delivered), B on 2 March 09:00 (m1 and m2 clicked, m3 delivered), which is
-- reported twice, C on 6 March 13:00 (m2 clicked within 5 days, m1 not) and D on 10 March (nothing). Bob orders E on 1 March 20:00, 12 hours after, which
-- is too late, and F a second before that. F is given back in part, and B as a whole.
INSERT INTO smsflow.event (contact_id, kind, ref, occurred_at, amount, currency) VALUES
	(:ann, 'order', 'A', '2026-03-01 12:30+00', 10, 'USD'), (:ann, 'order', 'B', '2026-03-02 09:00+00', 30, 'USD'), (:ann, 'order', 'B', '2026-03-02 09:00+00', 30, 'USD'),
	(:ann, 'order', 'C', '2026-03-06 13:00+00', 50, 'USD'), (:ann, 'order', 'D', '2026-03-10 00:00+00', 70, 'USD'), (:bob, 'order', 'E', '2026-03-01 20:00+00', 90, 'EUR'),
	(:bob, 'order', 'F', '2026-03-01 19:59:59+00', 110, 'EUR'), (:bob, 'refund', 'F', '2026-03-05', 15, 'EUR'), (:bob, 'refund', 'F', '2026-03-06', 5, 'EUR'),
	(:ann, 'order_refunded', 'B', '2026-03-05', 30, 'USD');
CREATE VIEW pg_temp.credited AS SELECT m.model, m.place, e.ref, n.name, a.touch, round(a.credit, 3) AS credit, round(a.revenue, 2) AS revenue, a.currency
	FROM unnest('{last_click,last_touch,first_touch,linear}'::text[]) WITH ORDINALITY m (model, place)
	CROSS JOIN LATERAL smsflow.attribution(m.model) a JOIN smsflow.event e ON e.event_id = a.order_id JOIN pg_temp.name n USING (message_id);
SELECT model, ref, name, touch, credit, revenue, currency FROM pg_temp.credited ORDER BY place, ref, name;

-- No order adds up to more than one in a model.
SELECT count(*) AS wrong FROM (SELECT m, a.order_id FROM unnest('{last_click,last_touch,first_touch,linear}'::text[]) m, smsflow.attribution(m, '30 days', '30 days') a
	GROUP BY 1, 2 HAVING round(sum(a.credit), 9) <> 1) x;
-- Nor to less: thirds have no end, but those of an order add up to all of it.
SELECT e.ref, count(*) AS touches, sum(a.credit) = 1 AS whole, sum(a.revenue) = e.amount AS all_of_it
	FROM smsflow.attribution('linear', '30 days', '30 days') a JOIN smsflow.event e ON e.event_id = a.order_id GROUP BY e.ref, e.amount HAVING count(*) > 2 ORDER BY 1;
-- What the carrier gave back has reached nobody, until it is delivered after all.
BEGIN;
INSERT INTO smsflow.report (message_id, callback_id, received_at, occurred_at, attempt, status) VALUES (:m4, 2, now(), '2026-03-01 08:01+00', 1, 'undelivered');
SELECT count(*) AS credited FROM smsflow.attribution() a WHERE a.message_id = :m4;
INSERT INTO smsflow.report (message_id, callback_id, received_at, occurred_at, attempt, status) VALUES (:m4, 3, now(), '2026-03-01 09:00+00', 1, 'delivered');
SELECT e.ref, a.touched_at FROM smsflow.attribution() a JOIN smsflow.event e ON e.event_id = a.order_id WHERE a.message_id = :m4 ORDER BY 1;
ROLLBACK;
-- Other windows; what was given back; a range.
SELECT e.ref, n.name, a.touch FROM smsflow.attribution('last_touch', '1 hour', '1 day') a JOIN smsflow.event e ON e.event_id = a.order_id JOIN pg_temp.name n USING (message_id) ORDER BY 1;
SELECT e.ref, a.revenue FROM smsflow.attribution(net_of_refunds => true) a JOIN smsflow.event e ON e.event_id = a.order_id ORDER BY 1;
-- More is given back than was paid (C), a refund is written below zero (F), it names another currency (A) or none (E, in a
-- window that is a second longer), and an order of nobody known: it is in no model, but it is an order.
BEGIN;
INSERT INTO smsflow.event (contact_id, kind, ref, occurred_at, amount, currency) VALUES (:ann, 'refund', 'C', '2026-03-07', 60, 'USD'), (:bob, 'refund', 'F', '2026-03-07', -10, NULL),
	(:ann, 'refund', 'A', '2026-03-07', 4, 'EUR'), (:bob, 'refund', 'E', '2026-03-07', 5, NULL), (NULL, 'order', 'Z', '2026-03-01 12:30+00', 1000, 'USD');
SELECT e.ref, a.revenue, a.currency FROM smsflow.attribution(delivery_window => '12 hours 1 second', net_of_refunds => true) a JOIN smsflow.event e ON e.event_id = a.order_id ORDER BY 1;
SELECT ref, amount, currency, message_id FROM smsflow_bi.fact_order WHERE ref = 'Z';
ROLLBACK;
SELECT e.ref FROM smsflow.attribution(since => '2026-03-02', until => '2026-03-06 13:00+00') a JOIN smsflow.event e ON e.event_id = a.order_id ORDER BY 1;
SELECT * FROM smsflow.attribution('loudest');

-- By campaign and currency, with what was sent, of which two were delivered: revenue is per message delivered. Cost in another currency is none in this.
INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value, currency)
	VALUES ('2026-03-01', 1, :campaign_id, 0, 0, 0, 'promotional', 'cost', 0.5, 'USD'), ('2026-03-01', 1, :campaign_id, 0, 0, 0, 'promotional', 'delivered', 2, '');
SELECT model, campaign, currency, round(orders, 2) AS orders, round(revenue, 2) AS revenue, sent, delivered, cost, round(revenue_per_message, 2) AS per_message, round(return_on_spend, 1) AS return
	FROM smsflow_bi.attributed_revenue ORDER BY array_position('{last_click,last_touch,first_touch,linear}', model), currency;

-- A cart that was reminded of and ordered, and an order of another cart.
BEGIN;
SELECT smsflow.create_sequence('carts', 'cart') AS sequence_id \gset
INSERT INTO smsflow.enrollment (sequence_id, contact_id, ref, event_id, data) VALUES (:sequence_id, :cid, 'cart 7', 1, '{}') RETURNING enrollment_id \gset
SELECT pg_temp.append(:cid, NULL, :sequence_id, 1::smallint, :queue_id, NULL) AS m5 \gset
UPDATE smsflow.outbox SET enrollment_id = :enrollment_id, purpose = 'cart' WHERE message_id = :m5;
SELECT pg_temp.send(:m5, '2026-03-20 08:00+00');
INSERT INTO smsflow.event (contact_id, kind, ref, occurred_at, amount, data) VALUES (:cid, 'order', 'G', '2026-03-20 09:00+00', 1, '{"order": {"cart_id": "cart 7"}}'),
	(:cid, 'order', 'H', '2026-03-20 10:00+00', 2, '{"order": {"cart_id": "cart 8"}}');
SELECT e.ref, a.recovered_cart FROM smsflow.attribution('linear') a JOIN smsflow.event e ON e.event_id = a.order_id WHERE a.contact_id = :cid ORDER BY 1;
ROLLBACK;

-- Four people were to get it, of whom three bought within 5 days and one after 6; of two held out one did; who was refused otherwise does not count.
BEGIN;
UPDATE smsflow.campaign SET options = '{"holdout": 30}', after_message_id = (SELECT max(message_id) FROM smsflow.outbox) WHERE campaign_id = :campaign_id;
CREATE TEMP TABLE person AS SELECT n, smsflow.subscribe('+141555526' || n) AS contact_id, CASE WHEN n > 86 THEN 'opted_out' WHEN n > 84 THEN 'holdout' END AS refusal FROM generate_series(81, 87) n;
SELECT count(pg_temp.append(contact_id, :campaign_id, NULL, NULL, CASE WHEN refusal IS NULL THEN :queue_id ELSE 0 END, refusal)) FROM person;
INSERT INTO smsflow.event (contact_id, kind, ref, occurred_at, amount) SELECT contact_id, 'order', 'held ' || n, now() + CASE n WHEN 83 THEN interval '6 days' ELSE '1 day' END, 1 FROM person WHERE n IN (81, 82, 83, 84, 85, 87);
SELECT campaign, treated, treated_buyers, held_out, held_out_buyers, treated_rate::real, held_out_rate::real, lift::real, extra_buyers::real, round(p_value::numeric, 4) AS p_value FROM smsflow_bi.holdout_lift;
ROLLBACK;

-- Variants: 1,000 messages each, 750 and 600 of them delivered; 30 clicks of the first, 60 of the second. The rates are of those delivered, the
-- probability to be the best is of those sent.
INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, variant, measure, value)
	SELECT '2026-03-01', 1, :campaign_id, 0, 0, 0, 'promotional', v, m, n FROM (VALUES (1, 'recipients', 1000), (1, 'sent', 1000), (1, 'delivered', 750), (1, 'clickers', 30), (1, 'orders', 4),
		(2, 'recipients', 1000), (2, 'sent', 1000), (2, 'delivered', 600), (2, 'clickers', 60), (2, 'orders', 4)) x (v, m, n);
SELECT campaign, variant, sent, delivered, clickers, orders, round(click_rate, 3) AS click_rate, round(click_uplift, 2) AS uplift, round(conversion_uplift, 2) AS order_uplift, round(best_by_clicks::numeric, 4) AS best_by_clicks,
	round(best_by_orders::numeric, 4) AS best_by_orders FROM smsflow_bi.variant_results ORDER BY variant;
-- A variant of which nothing was sent is no candidate, and takes nothing from the others.
INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, variant, measure, value)
	SELECT '2026-03-01', 1, :campaign_id, 0, 0, 0, 'promotional', 3, m, 1000 FROM unnest('{recipients,rejected}'::text[]) m;
SELECT variant, sent, round(best_by_clicks::numeric, 4) AS best_by_clicks, round(best_by_orders::numeric, 4) AS best_by_orders FROM smsflow_bi.variant_results ORDER BY variant;
SELECT line FROM smsflow.report_of_variants(:campaign_id) line WHERE line ~ 'variant';
SELECT smsflow.probability_best('{0,1,0}', '{0,2,0}'), smsflow.probability_best('{0}', '{0}');
SELECT round(smsflow.two_proportions(30, 1000, 60, 1000)::numeric, 5) AS p;
SELECT smsflow.two_proportions(1, 2, 2, 1);
SELECT smsflow.probability_best('{1,2}', '{1}');
SELECT smsflow.probability_best('{1,NULL}', '{1,2}');
\c :home
DROP DATABASE regress_smsflow_attribution;
