-- Sequences: who came to a step, where people left, and which carts came back. Examples to be checked by hand.
\set VERBOSITY sqlstate
\set database regress_smsflow_bi_sequence
\getenv tree PG_ABS_SRCDIR
\set ECHO none
\i :tree/test/fixtures/figures.sql
\set ECHO all
SELECT smsflow.create_sequence('carts', 'cart') AS sequence_id \gset
SELECT smsflow.add_step('carts', '1 hour', 'Still there? Reply STOP to end'), smsflow.add_step('carts', '1 day', 'Last call. Reply STOP to end');

-- Five carts: Ann's first is ordered after the first reminder, her second after the second; Bob's is ordered before any, Cid's two are not,
-- one of them waits for its second step.
CREATE TABLE cart (n integer, contact bigint, ref text, step smallint, ended text, sent1 interval, sent2 interval, ordered interval, amount numeric);
INSERT INTO cart VALUES
	(1, :ann, 'c1', 2, 'order', '1 hour', NULL, '2 hours', 40),
	(2, :ann, 'c2', 2, 'completed', '1 hour', '25 hours', '26 hours', 60),
	(3, :bob, 'c3', 1, 'order', NULL, NULL, '30 minutes', 99),
	(4, :cid, 'c4', 2, 'completed', '50 minutes', '25 hours', NULL, NULL),
	(5, :cid, 'c5', 2, NULL, '10 hours', NULL, NULL, NULL);
SELECT now() - interval '3 days' AS start \gset
INSERT INTO smsflow.enrollment (sequence_id, contact_id, ref, event_id, data, step, started_at, ended_at, end_reason)
	SELECT :sequence_id, contact, ref, n, '{}', step, :'start', CASE WHEN ended IS NOT NULL THEN now() END, ended FROM cart;
INSERT INTO smsflow.event (contact_id, kind, ref, occurred_at, amount, currency, data)
	SELECT contact, 'order', 'o' || n, :'start'::timestamptz + ordered, amount, 'USD', jsonb_build_object('order', jsonb_build_object('cart_id', ref)) FROM cart WHERE ordered IS NOT NULL;
WITH sent AS (
	SELECT c.contact, c.ref, e.enrollment_id, s.step, :'start'::timestamptz + s.after AS sent_at FROM cart c JOIN smsflow.enrollment e USING (ref)
	CROSS JOIN LATERAL (VALUES (1, c.sent1), (2, c.sent2)) s (step, after) WHERE s.after IS NOT NULL
), made AS (
	INSERT INTO smsflow.outbox (expires_at, contact_id, recipient, queue_id, brand_id, sequence_id, step, enrollment_id, purpose, parts, unicode, body, created_at)
	SELECT now(), k.contact_id, k.phone, :queue_id, 1, :sequence_id, step, enrollment_id, 'cart', 1, false, 'Still there?', sent_at FROM sent JOIN smsflow.contact k ON k.contact_id = contact
	RETURNING message_id, contact_id, enrollment_id, created_at, step
), touched AS (
	INSERT INTO smsflow.touch (contact_id, sent_at, message_id, purpose, subject, ref)
	SELECT m.contact_id, m.created_at, m.message_id, 'cart', 'carts', e.ref FROM made m JOIN smsflow.enrollment e USING (enrollment_id)
)
INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value)
	SELECT date_trunc('hour', now(), 'UTC'), 1, 0, :sequence_id, 0, step, 'cart', 'sent', 1 FROM made;

SELECT sequence, step, entered, waiting, sent, completed, exited, exited_by_reason FROM smsflow_bi.sequence_funnel ORDER BY step;
SELECT sequence, step, minutes_up_to, carts, recovered, round(recovery_rate, 3) AS rate, value, currency FROM smsflow_bi.cart_recovery ORDER BY step, minutes_up_to;
SELECT sequence, step, sent FROM smsflow_bi.sequence_totals ORDER BY step;

-- Texts of a third step: 1,000 messages each, 750 and 600 of them delivered, 30 clicks of the first, 60 of the second; the other steps have none.
SELECT smsflow.add_step('carts', '2 days', options => '{"variants": ["Still there? Reply STOP to end", "Forgot it? Reply STOP to end"]}') AS step \gset
INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, variant, measure, value)
	SELECT now(), 1, 0, :sequence_id, 0, :step, 'cart', v, m, n FROM (VALUES (1, 'recipients', 1000), (1, 'sent', 1000), (1, 'delivered', 750), (1, 'clickers', 30),
		(2, 'recipients', 1000), (2, 'sent', 1000), (2, 'delivered', 600), (2, 'clickers', 60)) x (v, m, n);
SELECT sequence, step, variant, recipients, sent, delivered, clickers, round(click_rate, 3) AS click_rate, round(click_uplift, 2) AS uplift,
	round(best_by_clicks::numeric, 4) AS best_by_clicks, brand, sequence_id = :sequence_id AS ours FROM smsflow_bi.sequence_variant_results ORDER BY variant;
SELECT step, sent, clicked FROM smsflow_bi.sequence_funnel ORDER BY step;
\c :home
DROP DATABASE regress_smsflow_bi_sequence;
