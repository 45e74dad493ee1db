--
-- Type phone: text form, order, indexes, and what is read from a number
--
SET search_path = public, smsflow;

-- one text form, whatever separators came in
SELECT '+14155552671'::smsflow.phone, '+1 (415) 555-2671'::smsflow.phone, ' +44 20 7946 0958 '::smsflow.phone;
-- at most 15 digits
SELECT '+499999999999999'::smsflow.phone;
\set VERBOSITY sqlstate
SELECT '+4999999999999999'::smsflow.phone;
SELECT '4155552671'::smsflow.phone;
SELECT '+1-800-FLOWERS'::smsflow.phone;
SELECT '+'::smsflow.phone;
SELECT ''::smsflow.phone;
SELECT '+0123456789'::smsflow.phone;
-- a setting never changes what a value means
SET smsflow.default_region = 'US';
SELECT '(415) 555-2671'::smsflow.phone;
RESET smsflow.default_region;
-- the error hides the number, and says what to do
\set VERBOSITY terse
SELECT smsflow.parse_phone('4155552671x?', NULL);
\set VERBOSITY default
DO $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	PERFORM '4155552671'::text::smsflow.phone;
EXCEPTION WHEN SQLSTATE 'SF001' THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RAISE NOTICE '%', message;
	RAISE NOTICE '%', detail;
	RAISE NOTICE '%', hint;
END
$$;

-- national forms
SELECT smsflow.parse_phone('(415) 555-2671', 'US');
SELECT smsflow.parse_phone('020 7946 0958', 'GB');
SELECT smsflow.parse_phone('+44 20 7946 0958', 'US');
SELECT smsflow.parse_phone(NULL, 'US') IS NULL AS unknown_stays_unknown;
-- a number has one form, with a region and without: the zero that is dialled inside the country only is no part of it
SELECT smsflow.parse_phone(n) = smsflow.parse_phone(n, 'US') AS same, smsflow.parse_phone(n), smsflow.try_parse_phone(n)
	FROM unnest('{+33 06 12 34 56 78,+4401632960100,+79123456789,+39066981234,tel:+1-415-555-2671,+1 415 555 2671 ext. 89}'::text[]) n;
SET smsflow.default_region = 'GB';
SELECT smsflow.parse_phone('020 7946 0958'), smsflow.parse_phone('020 7946 0958', NULL);
SELECT smsflow.parse_phone('(415) 555-2671', 'US');
RESET smsflow.default_region;
\set VERBOSITY sqlstate
SELECT smsflow.parse_phone('020 7946 0958');
SELECT smsflow.parse_phone('020 7946 0958', 'XX');
SELECT smsflow.parse_phone('12', 'US');
\set VERBOSITY default

-- no casts but through text, and none that happens by itself
SELECT castcontext, castmethod FROM pg_cast
	WHERE 'smsflow.phone'::regtype IN (castsource, casttarget);
SELECT '+14155552671'::smsflow.phone::text || '!' AS text;
\set VERBOSITY sqlstate
SELECT '+14155552671'::smsflow.phone = 14155552671;
\set VERBOSITY default

-- comparison
CREATE TABLE phone_test (id integer PRIMARY KEY, phone smsflow.phone);
INSERT INTO phone_test VALUES
	(1, '+442079460958'), (2, '+14155552671'), (3, '+14155552672'), (4, '+14155552671'), (5, NULL);
SELECT a.id, b.id, a.phone < b.phone AS lt, a.phone <= b.phone AS le, a.phone = b.phone AS eq,
	a.phone <> b.phone AS ne, a.phone >= b.phone AS ge, a.phone > b.phone AS gt
	FROM phone_test a, phone_test b WHERE a.id IN (2, 3) AND b.id IN (3, 4) ORDER BY a.id, b.id;
SELECT phone, count(*) FROM phone_test GROUP BY phone ORDER BY phone DESC NULLS LAST;
SELECT count(DISTINCT phone) FROM phone_test;

-- an index finds what a scan finds
INSERT INTO phone_test SELECT n, ('+1415555' || to_char(n, 'FM0000'))::smsflow.phone FROM generate_series(3000, 3999) n;
CREATE INDEX phone_test_btree ON phone_test (phone);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM phone_test WHERE phone = '+14155553500';
SELECT id FROM phone_test WHERE phone = '+14155553500';
SELECT count(*) FROM phone_test WHERE phone >= '+14155553990' AND phone < '+14155553995';
DROP INDEX phone_test_btree;
CREATE INDEX phone_test_hash ON phone_test USING hash (phone);
EXPLAIN (COSTS OFF) SELECT id FROM phone_test WHERE phone = '+14155553500';
SELECT id FROM phone_test WHERE phone = '+14155553500';
RESET enable_seqscan;
RESET enable_bitmapscan;
SET enable_mergejoin = off;
SET enable_nestloop = off;
SELECT count(*) FROM phone_test a JOIN phone_test b USING (phone);
SET enable_mergejoin = on;
SET enable_hashjoin = off;
SELECT count(*) FROM phone_test a JOIN phone_test b USING (phone);
RESET enable_mergejoin;
RESET enable_hashjoin;
RESET enable_nestloop;

-- binary form
SELECT smsflow.phone_send('+14155552671');
\copy phone_test TO 'results/phone.bin' (FORMAT binary)
CREATE TABLE phone_copy (LIKE phone_test);
\copy phone_copy FROM 'results/phone.bin' (FORMAT binary)
SELECT count(*) FROM phone_copy c JOIN phone_test t USING (id) WHERE c.phone IS DISTINCT FROM t.phone;
SELECT count(*) FROM phone_copy;
-- integers that are no numbers are refused
CREATE TABLE not_phones (id integer, phone bigint);
INSERT INTO not_phones VALUES (1, -14155552671);
\copy not_phones TO 'results/phone.bin' (FORMAT binary)
\set VERBOSITY sqlstate
\copy phone_copy FROM 'results/phone.bin' (FORMAT binary)
\set VERBOSITY default

-- what a number tells
SELECT phone, smsflow.phone_region(phone), smsflow.phone_kind(phone), smsflow.phone_mask(phone)
	FROM unnest('{+14155552671,+14165550123,+447400123456,+442079460958,+4915112345678}'::smsflow.phone[]) phone;
SELECT smsflow.phone_time_zones('+14155552671'), smsflow.phone_time_zones('+442079460958');
SELECT smsflow.phone_region(NULL), smsflow.phone_mask(NULL);

DROP TABLE phone_test, phone_copy, not_phones;
