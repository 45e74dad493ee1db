--
-- Variants of a campaign: who gets which, what came of them, and which has won
--
\set database regress_smsflow_variants
\getenv tree PG_ABS_SRCDIR
\set ECHO none
\i :tree/test/fixtures/database.sql
\set ECHO all
\set VERBOSITY default
\set SHOW_CONTEXT never
SET TimeZone = 'UTC';
SET IntervalStyle = 'postgres';
SELECT smsflow.suspend_rule('window');
SELECT smsflow.create_brand('Variants') > 0 AS created;
SELECT count(smsflow.subscribe('+1415557' || 1000 + n, external_id => n::text, brand => 'Variants')) AS subscribed FROM generate_series(1, 1000) AS n;
SELECT smsflow.create_segment('all', 'true', 'Variants') > 0 AS created;
SELECT smsflow.add_gateway('variants', 'generic_json', 'https://sms.example') > 0 AS gateway, smsflow.add_sender('+14155550173', 'variants', pool => 'variants') > 0 AS sender;
CREATE FUNCTION make(name text, options jsonb DEFAULT '{}') RETURNS boolean LANGUAGE sql AS $$
	SELECT smsflow.create_campaign(name, 'all', 'Hi', options => '{"pool": "variants"}' || options, brand => 'Variants') > 0 $$;
CREATE FUNCTION launch(name text) RETURNS void LANGUAGE sql AS $$ SELECT smsflow.launch_campaign(name, brand => 'Variants') $$;
\set ECHO none
\i :tree/test/fixtures/expand.sql
\set ECHO all
-- The first so many messages of a variant were sent, and of these the first so many brought an order.
CREATE PROCEDURE sell(campaign text, variant integer, sent integer, orders integer) LANGUAGE sql AS $$
	WITH message AS MATERIALIZED (
		SELECT o.message_id, o.contact_id, row_number() OVER (ORDER BY o.message_id) AS number FROM smsflow.outbox o JOIN smsflow.campaign k USING (campaign_id)
		WHERE k.name = sell.campaign AND o.variant = sell.variant AND o.refusal IS NULL
	), tried AS (
		INSERT INTO smsflow.attempt (message_id, started_at, finished_at, generation, attempt, wire, outcome)
		SELECT message_id, now(), now(), 0, 1, 'yes', 'accepted' FROM message WHERE number <= sell.sent
	)
	INSERT INTO smsflow.attribution (kind, message_id, contact_id, at, sent_at, ref, amount)
	SELECT 'order', message_id, contact_id, now(), now(), sell.campaign || message_id, 20 FROM message WHERE number <= sell.orders $$;
CREATE VIEW share AS SELECT k.name AS campaign, v.name AS variant, count(*) AS messages FROM smsflow.campaign k JOIN smsflow.outbox o USING (campaign_id)
	LEFT JOIN smsflow.campaign_variant v ON v.campaign_id = k.campaign_id AND v.variant = o.variant WHERE o.refusal IS NULL GROUP BY 1, 2;

-- What is refused.
SELECT make('bad');
\set VERBOSITY sqlstate
SELECT smsflow.add_variant('bad', '', 'Hi', brand => 'Variants');
SELECT smsflow.add_variant('bad', 'holdout', 'Hi', brand => 'Variants');
SELECT smsflow.add_variant('bad', 'A', 'Hi {{', brand => 'Variants');
SELECT smsflow.add_variant('bad', 'A', 'Hi', 0, brand => 'Variants');
SELECT smsflow.add_variant('bad', 'A', 'Hi', after => '-1 hour', brand => 'Variants');
SELECT smsflow.add_variant('nothing', 'A', 'Hi', brand => 'Variants');
SELECT smsflow.add_variant('bad', 'A', 'Hi', brand => 'Variants');
SELECT smsflow.add_variant('bad', 'A', 'Hi', brand => 'Variants');
\set VERBOSITY default
SELECT launch('bad');
SELECT smsflow.choose_winner('bad', brand => 'Variants');
SELECT make('bad test', '{"test_percent": 20}');
SELECT launch('bad test');

-- A condition that fails for one contact of a thousand is refused when it is written, and not in the midst of a campaign.
SELECT smsflow.create_segment('one of them', '100 / (external_id::integer - 777) > 0', 'Variants');

-- Shares by weight, the same for the same person whenever it is asked.
SELECT make('split');
SELECT smsflow.add_variant('split', 'A', 'Hi A', 3, brand => 'Variants'), smsflow.add_variant('split', 'B', 'Hi B', 1, brand => 'Variants');
SELECT measure, value BETWEEN CASE measure WHEN 'variant:A' THEN 690 ELSE 190 END AND CASE measure WHEN 'variant:A' THEN 810 ELSE 310 END AS as_weighted
	FROM smsflow.estimate_campaign('split', 'Variants') WHERE measure LIKE 'variant%';
CREATE TEMP TABLE foreseen AS SELECT contact_id, variant, body FROM smsflow.preview_campaign('split', 2000, 'Variants');
SELECT launch('split'), expand();
SELECT count(*) AS messages, count(*) FILTER (WHERE o.body = f.body AND o.body = 'Hi ' || f.variant) AS as_foreseen
	FROM smsflow.outbox o JOIN smsflow.campaign k USING (campaign_id) JOIN foreseen f USING (contact_id) WHERE k.name = 'split';
SELECT smsflow.add_variant('split', 'C', 'Hi C', brand => 'Variants');

-- A variant of time has the campaign's own text.
SELECT make('times');
SELECT smsflow.add_variant('times', 'morning', brand => 'Variants'), smsflow.add_variant('times', 'evening', after => '9 hours', brand => 'Variants');
SELECT launch('times'), expand();
SELECT v.name, o.body, o.due_at - k.launch_at AS after, count(*) > 300 AS many FROM smsflow.outbox o JOIN smsflow.campaign k USING (campaign_id)
	JOIN smsflow.campaign_variant v USING (campaign_id, variant) WHERE k.name = 'times' GROUP BY 1, 2, 3 ORDER BY 3 NULLS FIRST;

-- The test by which one wins: values of a textbook's formula, worked out apart.
SELECT a, n, b, m, round(smsflow.two_proportions(a, n, b, m)::numeric, 4) AS p
	FROM (VALUES (15, 100, 30, 100), (30, 100, 15, 100), (50, 500, 60, 500), (0, 10, 0, 10), (10, 10, 10, 10), (0, 0, 5, 10)) AS t (a, n, b, m);

-- Results by variant and holdout; no winner before the sample is there and the difference is more than chance.
SELECT make('test', '{"holdout": 10, "min_sample": 150}');
SELECT smsflow.add_variant('test', 'A', 'Hi A', brand => 'Variants'), smsflow.add_variant('test', 'B', 'Hi B', brand => 'Variants');
SELECT launch('test'), expand();
CALL sell('test', 1, 140, 7);
CALL sell('test', 2, 200, 20);
SELECT smsflow.record_event((SELECT c.phone::text FROM smsflow.outbox o JOIN smsflow.contact c USING (contact_id) JOIN smsflow.campaign k USING (campaign_id)
	WHERE k.name = 'test' AND o.refusal = 'holdout' ORDER BY 1 LIMIT 1), 'order', 'h1', amount => 10, brand => 'Variants') > 0 AS ordered;
SELECT variant, sent, delivered, order_rate FROM smsflow.campaign_results('test', 'Variants') WHERE variant <> 'holdout';
-- 100 of A and 160 of B are delivered: what is shown is of these, who wins goes by those sent.
INSERT INTO smsflow.report (message_id, callback_id, received_at, occurred_at, attempt, status)
	SELECT message_id, 1, now(), now(), 1, 'delivered' FROM (SELECT o.message_id, o.variant, row_number() OVER (PARTITION BY o.variant ORDER BY o.message_id) AS number
		FROM smsflow.outbox o JOIN smsflow.campaign k USING (campaign_id) WHERE k.name = 'test' AND o.refusal IS NULL) AS m
	WHERE number <= CASE variant WHEN 1 THEN 100 ELSE 160 END;
SELECT variant, sent, delivered, ordered, orders, revenue, order_rate, recipients BETWEEN 60 AND 550 AS plausible FROM smsflow.campaign_results('test', 'Variants') WHERE variant <> 'holdout';
SELECT variant, sent, ordered, revenue, order_rate = round(1.0 / recipients, 4) AS rated FROM smsflow.campaign_results('test', 'Variants') WHERE variant = 'holdout';
-- An order that is reported again is one order, and money of several currencies is not added up.
BEGIN;
CREATE VIEW pg_temp.held_out AS SELECT c.phone::text AS phone FROM smsflow.outbox o JOIN smsflow.contact c USING (contact_id) JOIN smsflow.campaign k USING (campaign_id)
	WHERE k.name = 'test' AND o.refusal = 'holdout' ORDER BY 1 LIMIT 1;
SELECT smsflow.record_event(phone, 'order', 'h1', amount => 10, brand => 'Variants') > 0 AS again FROM pg_temp.held_out;
SELECT ordered, orders, revenue FROM smsflow.campaign_results('test', 'Variants') WHERE variant = 'holdout';
SELECT smsflow.record_event(phone, 'order', 'h2', amount => 10, currency => 'EUR', brand => 'Variants') > 0 AND smsflow.record_event(phone, 'order', 'h3', amount => 10, currency => 'USD', brand => 'Variants') > 0 AS others FROM pg_temp.held_out;
UPDATE smsflow.attribution SET currency = (ARRAY['EUR', 'USD'])[1 + contact_id % 2] WHERE kind = 'order' AND message_id IN (SELECT message_id FROM smsflow.outbox WHERE variant = 2);
SELECT variant, orders > 1 AS some, revenue FROM smsflow.campaign_results('test', 'Variants');
ROLLBACK;
SELECT * FROM smsflow.choose_winner('test', brand => 'Variants');
INSERT INTO smsflow.attempt (message_id, started_at, finished_at, generation, attempt, wire, outcome)
	SELECT message_id, now(), now(), 0, 1, 'yes', 'accepted' FROM (SELECT o.message_id, o.contact_id FROM smsflow.outbox o JOIN smsflow.campaign k USING (campaign_id)
		WHERE k.name = 'test' AND o.variant = 1 AND o.refusal IS NULL ORDER BY o.message_id OFFSET 140 LIMIT 60) AS m;
UPDATE smsflow.campaign SET options = options || '{"confidence": 0.999}' WHERE name = 'test';
SELECT winner, decided, reason FROM smsflow.choose_winner('test', brand => 'Variants');
UPDATE smsflow.campaign SET options = options - 'confidence' WHERE name = 'test';
SELECT * FROM smsflow.choose_winner('test', brand => 'Variants');
SELECT smsflow.choose_winner('test', 'C', 'Variants');
SELECT winner, decided, reason FROM smsflow.choose_winner('test', 'A', 'Variants');

-- A test group first; the others get what has won there, nobody gets both, and who comes later counts among the others.
SELECT make('winner', '{"test_percent": 40, "decide_after": "4 hours"}');
SELECT smsflow.add_variant('winner', 'A', 'Hi A', brand => 'Variants'), smsflow.add_variant('winner', 'B', 'Hi B', brand => 'Variants');
SELECT launch('winner'), expand();
SELECT waits_for, waits_until - launch_at AS after, queued BETWEEN 340 AND 460 AS test_group FROM smsflow.campaign WHERE name = 'winner';
CALL sell('winner', 1, 110, 2);
CALL sell('winner', 2, 110, 20);
SELECT smsflow.subscribe('+14155579999', external_id => 'new', brand => 'Variants') > 0 AS subscribed;
UPDATE smsflow.campaign SET waits_until = now() WHERE name = 'winner';
SELECT expand();
SELECT status, winner, queued, waits_for, (SELECT count(DISTINCT contact_id) FROM smsflow.outbox o WHERE o.campaign_id = k.campaign_id) AS people FROM smsflow.campaign k WHERE name = 'winner';
SELECT variant, messages > 400 AS most FROM share WHERE campaign = 'winner' ORDER BY 1;
-- Where none has won by then, the shares stay; and somebody may choose before.
SELECT make('no winner', '{"test_percent": 40, "decide_after": "4 hours"}'), make('by hand', '{"test_percent": 40}');
SELECT smsflow.add_variant(c, v, 'Hi ' || v, brand => 'Variants') FROM unnest('{no winner,by hand}'::text[]) AS c, unnest('{A,B}'::text[]) AS v;
SELECT launch('no winner'), launch('by hand'), expand();
UPDATE smsflow.campaign SET waits_until = now() WHERE name = 'no winner';
SELECT name, waits_for, waits_until IS NULL AS until_somebody_chooses FROM smsflow.campaign WHERE name IN ('no winner', 'by hand') ORDER BY 1;
SELECT winner, decided, reason FROM smsflow.choose_winner('by hand', 'B', 'Variants');
SELECT expand();
SELECT name, status, winner, queued FROM smsflow.campaign WHERE name IN ('no winner', 'by hand') ORDER BY 1;
SELECT campaign, variant, messages BETWEEN 400 AND 600 AS half FROM share WHERE campaign IN ('no winner', 'by hand') ORDER BY 1, 2;

-- Texts in the language of the recipient: pt is for pt-BR, too, and of two the closer one. Each variant has its own.
UPDATE smsflow.contact AS c SET language = ('{pt_BR,pt-PT,PT,en,de-AT,p}'::text[])[c.external_id::integer] WHERE c.external_id IN ('1', '2', '3', '4', '5', '6');
SELECT make('spoken'), make('spoken variants');
SELECT smsflow.translate_campaign('spoken', 'pt', 'Ola', brand => 'Variants'), smsflow.translate_campaign('spoken', 'pt_PT', 'Ola de Lisboa', brand => 'Variants'),
	smsflow.translate_campaign('spoken', 'de-AT', 'Servas', brand => 'Variants'), smsflow.translate_campaign('spoken', 'de-AT', 'Servus', brand => 'Variants');
SELECT c.external_id, c.language, p.body FROM smsflow.preview_campaign('spoken', 2000, 'Variants') AS p JOIN smsflow.contact AS c USING (contact_id)
	WHERE c.external_id IN ('1', '2', '3', '4', '5', '6', '7') ORDER BY 1;
SELECT smsflow.add_variant('spoken variants', v, 'Hi ' || v, brand => 'Variants') FROM unnest('{A,B}'::text[]) AS v;
SELECT smsflow.translate_campaign('spoken variants', 'pt', 'Ola A', 'A', 'Variants'), smsflow.translate_campaign('spoken variants', 'pt', 'Ola', NULL, 'Variants');
SELECT bool_and(p.body = CASE WHEN p.variant = 'A' AND c.external_id IN ('1', '2', '3') THEN 'Ola A' ELSE 'Hi ' || p.variant END) AS each_its_own
	FROM smsflow.preview_campaign('spoken variants', 2000, 'Variants') AS p JOIN smsflow.contact AS c USING (contact_id);
-- One's own people get all of them.
SELECT smsflow.set_seeds('{+14155571007}', 'Variants');
CREATE TEMP TABLE tested AS SELECT k.name, t.* FROM unnest('{spoken,spoken variants}'::text[]) AS k (name)
	CROSS JOIN LATERAL smsflow.test_campaign(k.name, 'Variants') AS t;
SELECT t.name, t.variant, o.body FROM tested AS t JOIN smsflow.outbox AS o USING (message_id) ORDER BY t.message_id;
SELECT smsflow.set_seeds('{}', 'Variants');
SELECT launch('spoken'), expand();
SELECT o.body, count(*) > 1 AS several FROM smsflow.outbox o JOIN smsflow.campaign k USING (campaign_id) WHERE k.name = 'spoken' GROUP BY o.body ORDER BY o.body COLLATE "C";
\set VERBOSITY sqlstate
SELECT smsflow.translate_campaign('spoken', 'pt', 'Ola', brand => 'Variants');
SELECT smsflow.translate_campaign('spoken variants', 'portuguese', 'Ola', brand => 'Variants');
SELECT smsflow.translate_campaign('spoken variants', 'pt', ' ', brand => 'Variants');
SELECT smsflow.translate_campaign('spoken variants', 'pt', NULL, brand => 'Variants');
SELECT smsflow.translate_campaign('spoken variants', NULL, 'Ola', brand => 'Variants');
SELECT smsflow.translate_campaign('spoken variants', 'pt', 'Ola {{', brand => 'Variants');
SELECT smsflow.translate_campaign('spoken variants', 'pt', 'Ola', 'C', 'Variants');
SELECT smsflow.translate_campaign('nothing', 'pt', 'Ola', brand => 'Variants');
\set VERBOSITY default

\c :home
DROP DATABASE regress_smsflow_variants;
