--
-- Types consent and opt_out: text forms, the algebra, levels
--
SET search_path = public, smsflow;
SET client_encoding = 'UTF8';

-- text form, canonical whatever the order it was written in
SELECT 'none'::smsflow.consent;
SELECT 'promotional: written since 2026-01-05T10:00:00Z, cart: revoked 2026-02-01T08:00:00.5Z after express 2026-01-05T10:00:00Z'::smsflow.consent;
SELECT 'cart: express since 2026-03-01T00:00:00Z and written since 2026-03-02T00:00:00Z after revoked 2026-02-01T08:00:00Z after implied 2020-01-01T00:00:00.000001Z'::smsflow.consent;
\set VERBOSITY sqlstate
SELECT ''::smsflow.consent;
SELECT 'marketing: express since 2026-01-05T10:00:00Z'::smsflow.consent;
SELECT 'cart: agreed since 2026-01-05T10:00:00Z'::smsflow.consent;
SELECT 'cart: express since 2026-02-30T10:00:00Z'::smsflow.consent;
SELECT 'cart: express since 2026-01-05T10:00:00Z and express since 2026-01-06T10:00:00Z'::smsflow.consent;
SELECT 'cart: express since 2026-01-05T10:00:00Z after revoked 2026-01-05T10:00:00Z'::smsflow.consent;
SELECT 'none at all'::smsflow.consent;
\set VERBOSITY default
SELECT 'cart: agreed since 2026-01-05T10:00:00Z'::smsflow.consent;

SELECT 'promotional,cart by keyword at 2026-02-01T08:00:00Z saying "STOP"'::smsflow.opt_out;
SELECT 'cart by erasure at 2026-02-01T08:00:00Z'::smsflow.opt_out;
SELECT $$cart by support at 2026-02-01T08:00:00Z saying "I said \"no\", C:\\> é"$$::smsflow.opt_out;
\set VERBOSITY sqlstate
SELECT 'STOP'::smsflow.opt_out;
SELECT 'cart by fax at 2026-02-01T08:00:00Z'::smsflow.opt_out;
SELECT 'cart by web at noon'::smsflow.opt_out;
SELECT 'cart by web at 2026-02-01T08:00:00Z saying STOP'::smsflow.opt_out;
\set VERBOSITY default

-- granting
SELECT smsflow.consent_grant('none', 'promotional', 'express', '2026-01-05 10:00+00');
SELECT smsflow.consent_grant('promotional: express since 2026-01-05T10:00:00Z', 'promotional', 'express', '2025-01-01 00:00+00') AS the_latest_stays;
\set VERBOSITY sqlstate
SELECT smsflow.consent_grant('none', 'promotional', 'none', '2026-01-05 10:00+00');
SELECT smsflow.consent_grant('none', 'promotional', 'express', 'infinity');
SELECT smsflow.consent_grant('none', 'promotional', 'express', '0044-03-15 12:00+00 BC');
\set VERBOSITY default

-- opting out
SELECT smsflow.make_opt_out('{cart,promotional}', 'keyword', 'Stop!', '2026-02-01 08:00+00');
SELECT smsflow.make_opt_out('{cart}', 'complaint', NULL, '2026-02-01 08:00+00');
\set VERBOSITY sqlstate
SELECT smsflow.make_opt_out('{}', 'keyword', 'STOP', '2026-02-01 08:00+00');
SELECT smsflow.make_opt_out('{cart,NULL}', 'keyword', 'STOP', '2026-02-01 08:00+00');
SELECT smsflow.make_opt_out(NULL, 'keyword', 'STOP', '2026-02-01 08:00+00');
SELECT smsflow.make_opt_out('{cart}', 'fax', 'STOP', '2026-02-01 08:00+00');
SELECT smsflow.make_opt_out('{cart}', 'keyword', 'STOP', '-infinity');
\set VERBOSITY default
SELECT consent - opt_out AS consent, smsflow.consent_level(consent - opt_out, 'promotional')
	FROM (VALUES ('promotional: written since 2026-01-05T10:00:00Z'::smsflow.consent)) AS c (consent),
		unnest(ARRAY['promotional by keyword at 2026-01-05T09:59:59.999999Z',
			'promotional by keyword at 2026-01-05T10:00:00Z',
			'cart by keyword at 2026-02-01T00:00:00Z']::smsflow.opt_out[]) AS opt_out;

-- levels
SELECT level, smsflow.permits('cart: express since 2026-01-05T10:00:00Z', 'cart', level) AS cart,
	smsflow.permits('cart: express since 2026-01-05T10:00:00Z', 'promotional', level) AS promotional
	FROM unnest(enum_range(NULL::smsflow.consent_level)) AS level;
SELECT smsflow.consent_level(NULL, 'cart'), smsflow.permits(NULL, 'cart', 'implied');

-- merging: commutative, associative, idempotent, none is neutral
CREATE TABLE consent_test (id integer PRIMARY KEY, consent smsflow.consent NOT NULL DEFAULT 'none');
INSERT INTO consent_test
	SELECT n, CASE WHEN n % 7 = 0 THEN given - smsflow.make_opt_out(ARRAY[purpose], 'web', NULL, at + (n % 5 - 2) * interval '1 day') ELSE given END
	FROM generate_series(1, 60) n
	CROSS JOIN LATERAL (SELECT (enum_range(NULL::smsflow.purpose))[1 + n * 5 % 6] AS purpose,
		(enum_range(NULL::smsflow.consent_level))[2 + n * 3 % 4] AS level,
		timestamptz '2026-01-01 00:00+00' + n * 37 % 29 * interval '1 day 1.000001 seconds' AS at) x
	CROSS JOIN LATERAL smsflow.consent_grant('none', purpose, level, at) AS given;
INSERT INTO consent_test VALUES (0);
SELECT count(*) FROM consent_test a, consent_test b WHERE a.consent + b.consent <> b.consent + a.consent;
SELECT count(*) FROM consent_test a, consent_test b, consent_test c
	WHERE (a.consent + b.consent) + c.consent <> a.consent + (b.consent + c.consent);
SELECT count(*) FROM consent_test WHERE consent + consent <> consent OR consent + 'none' <> consent;
SELECT count(*) FROM consent_test WHERE consent::text::smsflow.consent <> consent;

-- the aggregate does not depend on the order or the number of workers
SELECT smsflow.consent_agg(consent) FROM consent_test WHERE id < 0;
SELECT unnest(string_to_array(smsflow.consent_agg(consent)::text, ', ')) AS consent FROM consent_test;
SELECT smsflow.consent_agg(consent ORDER BY id) = smsflow.consent_agg(consent ORDER BY id DESC) AS same FROM consent_test;
SELECT smsflow.consent_agg(consent) AS alone FROM consent_test \gset
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT smsflow.consent_agg(consent) FROM consent_test;
SELECT smsflow.consent_agg(consent) = :'alone' AS same FROM consent_test;
COMMIT;

-- values can be grouped and hashed
SELECT count(DISTINCT consent::text) = (SELECT count(*) FROM (SELECT consent FROM consent_test GROUP BY consent) g) AS same
	FROM consent_test;

-- casts to jsonb
SELECT jsonb_pretty('promotional: written since 2026-01-05T10:00:00Z, cart: revoked 2026-02-01T08:00:00.5Z after express 2026-01-05T10:00:00Z'::smsflow.consent::jsonb);
SELECT 'none'::smsflow.consent::jsonb;
SELECT jsonb_pretty('cart, promotional by keyword at 2026-02-01T08:00:00Z saying "say \"STOP\""'::smsflow.opt_out::jsonb);
SELECT 'cart by erasure at 2026-02-01T08:00:00Z'::smsflow.opt_out::jsonb;

-- binary form
SELECT smsflow.consent_send('cart: express since 2000-01-01T00:00:00.000001Z'), smsflow.opt_out_send('cart by web at 2000-01-01T00:00:00.000001Z saying "no"');
CREATE TABLE opt_out_test (id integer, opt_out smsflow.opt_out);
INSERT INTO opt_out_test VALUES (1, 'cart by web at 2026-02-01T08:00:00Z'), (2, 'otp by api at 2026-02-01T08:00:00.000001Z saying "é"');
\copy consent_test TO 'results/consent.bin' (FORMAT binary)
CREATE TABLE consent_copy (LIKE consent_test);
\copy consent_copy FROM 'results/consent.bin' (FORMAT binary)
SELECT count(*), count(*) FILTER (WHERE c.consent = t.consent) AS same FROM consent_copy c JOIN consent_test t USING (id);
\copy opt_out_test TO 'results/consent.bin' (FORMAT binary)
CREATE TABLE opt_out_copy (LIKE opt_out_test);
\copy opt_out_copy FROM 'results/consent.bin' (FORMAT binary)
SELECT count(*), count(*) FILTER (WHERE c.opt_out = t.opt_out) AS same FROM opt_out_copy c JOIN opt_out_test t USING (id);
-- what no text could have entered is refused
CREATE TABLE not_consent (id integer, value bytea);
\set VERBOSITY sqlstate
INSERT INTO not_consent VALUES (1, '\x80000000');
\copy not_consent TO 'results/consent.bin' (FORMAT binary)
\copy consent_copy FROM 'results/consent.bin' (FORMAT binary)
UPDATE not_consent SET value = '\x000000017fffffffffffffff';
\copy not_consent TO 'results/consent.bin' (FORMAT binary)
\copy consent_copy FROM 'results/consent.bin' (FORMAT binary)
UPDATE not_consent SET value = '\x00000000000000000000';
\copy not_consent TO 'results/consent.bin' (FORMAT binary)
\copy opt_out_copy FROM 'results/consent.bin' (FORMAT binary)
\set VERBOSITY default

-- a person who agreed once takes few bytes
SELECT max(pg_column_size(consent)) FROM consent_test WHERE consent::text NOT LIKE '%revoked%';

DROP TABLE consent_test, consent_copy, opt_out_test, opt_out_copy, not_consent;
