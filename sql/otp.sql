-- One-time passwords.
\set VERBOSITY sqlstate
SET client_min_messages = warning;
-- What the worker would put on the wire for the newest code of a number: only it knows how to ask.
CREATE FUNCTION pg_temp.code_for(number text) RETURNS text LANGUAGE sql AS $$
	SELECT smsflow.otp_text(o.message_id, o.body) FROM smsflow.outbox o
	WHERE o.purpose = 'otp' AND o.recipient OPERATOR(smsflow.=) number::smsflow.phone ORDER BY o.message_id DESC LIMIT 1 $$;
-- Time goes by.
CREATE PROCEDURE pg_temp.later(by interval) LANGUAGE sql AS $$
	UPDATE smsflow.otp SET started_at = started_at - by, expires_at = expires_at - by;
	UPDATE smsflow.otp_block SET blocked_at = blocked_at - by, until = until - by $$;

-- A person signs in. --------------------------------------------------------------
SELECT * FROM smsflow.otp_start('+1 415 555 0101', ip => '192.0.2.1');
SELECT regexp_replace(pg_temp.code_for('+14155550101'), '[0-9]{6}', 'NNNNNN') AS text;
SELECT substring(pg_temp.code_for('+14155550101') FROM '[0-9]{6}') AS code \gset
SELECT smsflow.otp_check('+14155550101', :'code', 'payment') AS other_scope, smsflow.otp_check('+14155550102', :'code') AS other_number;
SELECT smsflow.otp_check('+14155550101', left(:'code', 3) || ' - ' || right(:'code', 3)) AS typed_with_a_gap;
-- A code works once.
SELECT smsflow.otp_check('+14155550101', :'code') AS again;
SELECT pg_temp.code_for('+14155550101') IS NULL AS gone_for_the_worker_too;

-- The code is in no table and no view, used or not, and dumps do not take along what it follows from.
SELECT status FROM smsflow.otp_start('+14155550103');
SELECT substring(pg_temp.code_for('+14155550103') FROM '[0-9]{6}') AS code \gset
SELECT count(*) AS holds_the_code FROM (
	SELECT o::text FROM smsflow.otp o UNION ALL SELECT o::text FROM smsflow.outbox o
	UNION ALL SELECT m::text FROM smsflow.message m UNION ALL SELECT s::text FROM smsflow.stat_otp s
	UNION ALL SELECT e::text FROM smsflow.outbox o, smsflow.explain(o.message_id) e) AS every (line)
WHERE line ~ ('(^|[^0-9])' || :'code' || '([^0-9]|$)');
SELECT DISTINCT body FROM smsflow.message WHERE purpose = 'otp';
SELECT count(*) AS dumped FROM (SELECT unnest(extconfig) AS t FROM pg_extension WHERE extname = 'smsflow') c
WHERE t IN ('smsflow.otp'::regclass, 'smsflow.otp_block'::regclass, 'smsflow.secret'::regclass);

-- Five tries, and then not even the right code. -----------------------------------
SELECT array_agg(smsflow.otp_check('+14155550103', wrong)) FROM unnest(ARRAY['', 'x', '1234567', '12345', NULL]) AS wrong;
SELECT smsflow.otp_check('+14155550103', :'code');
-- The next code comes after a while that doubles.
SELECT status, retry_at - now() > interval '25 seconds' AS soon, retry_at - now() <= interval '30 seconds' AS but_not_yet FROM smsflow.otp_start('+14155550103');
CALL pg_temp.later('31 seconds');
SELECT status FROM smsflow.otp_start('+14155550103');
CALL pg_temp.later('31 seconds');
SELECT status, retry_at - now() BETWEEN interval '20 seconds' AND interval '30 seconds' AS doubled FROM smsflow.otp_start('+14155550103');
CALL pg_temp.later('31 seconds');
SELECT status FROM smsflow.otp_start('+14155550103');
-- A newer code voids the older one, on the wire, too.
SELECT m.status, m.reason FROM smsflow.message m WHERE m.phone = '+14155550103' AND m.purpose = 'otp' ORDER BY m.message_id;
-- A code lives for ten minutes.
SELECT substring(pg_temp.code_for('+14155550103') FROM '[0-9]{6}') AS code \gset
CALL pg_temp.later('10 minutes');
SELECT smsflow.otp_check('+14155550103', :'code') AS late;

-- Codes differ, and have all their digits.
SELECT status, count(*) FROM generate_series(1, 100) n, smsflow.otp_start('+1415' || 2000000 + n * 20000, 'many') GROUP BY 1;
SELECT count(DISTINCT code) > 90 AS differ, min(length(code)) AS shortest, max(length(code)) AS longest
FROM (SELECT substring(smsflow.otp_text(o.message_id, o.body) FROM '[0-9]+') AS code
	FROM smsflow.otp p JOIN smsflow.outbox o USING (message_id) WHERE p.scope = 'many') codes;

-- Limits of a number, an address, a prefix and a country. ------------------------------
SELECT smsflow.set_otp_policy('{"resend_after": "1 second", "resend_limit": "1 second"}', 'quick');
DO $$ BEGIN
	FOR n IN 1..5 LOOP
		PERFORM smsflow.otp_start('+14155570101', 'quick');
		UPDATE smsflow.otp SET started_at = started_at - interval '10 seconds';
	END LOOP;
END $$;
SELECT status, retry_at - now() BETWEEN interval '9 minutes' AND interval '10 minutes' AS until_the_first_is_old FROM smsflow.otp_start('+14155570101', 'other scope');
SELECT status, count(*) FROM generate_series(1, 22) n, smsflow.otp_start('+1212555' || to_char(n * 100, 'FM0000'), ip => '2001:db8:0:7::' || n) GROUP BY 1 ORDER BY 1;
SELECT status FROM smsflow.otp_start('+12125559999', ip => '2001:db8:0:8::1');
SELECT a AS address, smsflow.otp_network(a) FROM unnest('{192.0.2.7,::ffff:192.0.2.7,::FFFF:c000:208,::ffff:0:192.0.2.7,2001:db8:0:7::1}'::text[]) a;
SELECT smsflow.set_otp_policy('{"prefix_limit": "3 per 1 hour", "country_limit": "4 per 1 hour", "countries": ["FI", "US"]}', 'narrow');
SELECT status, count(*) FROM generate_series(1, 5) n, smsflow.otp_start('+35840500' || to_char(n, 'FM0000'), 'narrow') GROUP BY 1 ORDER BY 1;
SELECT status, count(*) FROM generate_series(1, 2) n, smsflow.otp_start('+35840600' || to_char(n, 'FM0000'), 'narrow') GROUP BY 1 ORDER BY 1;

-- Who never gets one: other countries, satellite, premium, land lines, networks of no country. --------
SELECT n AS number, status, retry_at FROM unnest('{+447911123456,+881612345678,+882161234567,+97912345678,+19005550101,+442079460000,+80012345678}'::text[]) n,
	smsflow.otp_start(n, 'narrow');
SELECT n AS number, status FROM unnest('{+447911123456,+881612345678,+442079460000}'::text[]) n, smsflow.otp_start(n);
SELECT smsflow.set_otp_policy('{"mobile_only": false}', 'voice');
SELECT status FROM smsflow.otp_start('+442079460000', 'voice');
-- An address that cannot be read: refused, unless the policy says otherwise.
SELECT status FROM smsflow.otp_start('+14155580001', ip => 'unknown');
SELECT smsflow.set_otp_policy('{"fail_open": true}', 'open');
SELECT status FROM smsflow.otp_start('+14155580001', 'open', 'unknown');

-- Codes that phones fill in by themselves. ----------------------------------------------
SELECT smsflow.set_otp_policy('{"domain": "shop.example", "app_hash": "FA+9qCX9VSu", "digits": 8, "body": "{{code}} is your code"}', 'app');
SELECT status FROM smsflow.otp_start('+14155580002', 'app');
SELECT regexp_replace(pg_temp.code_for('+14155580002'), '[0-9]{8}', 'NNNNNNNN', 'g') AS text, o.parts, o.unicode
FROM smsflow.outbox o WHERE o.recipient OPERATOR(smsflow.=) '+14155580002'::smsflow.phone;

-- An attack on the bill: 10,000 numbers of one prefix ask, and nobody enters a code. Other prefixes go on. ----------
CREATE TEMP TABLE attack (status text, numbers bigint);
CREATE PROCEDURE pg_temp.pump() LANGUAGE plpgsql AS $$
DECLARE
	s text;
	tally jsonb := '{}';
BEGIN
	FOR n IN 0..9999 LOOP
		SELECT status INTO s FROM smsflow.otp_start('+1305777' || to_char(n, 'FM0000'));
		tally := jsonb_set(tally, ARRAY[s], to_jsonb(coalesce((tally ->> s)::integer, 0) + 1));
		IF n % 500 = 499 THEN
			COMMIT;
			-- Customers elsewhere, meanwhile.
			PERFORM smsflow.otp_start('+1786444' || to_char(n / 500, 'FM0000'));
			PERFORM smsflow.otp_check('+1786444' || to_char(n / 500, 'FM0000'), substring(pg_temp.code_for('+1786444' || to_char(n / 500, 'FM0000')) FROM '[0-9]{6}'));
			COMMIT;
		END IF;
	END LOOP;
	INSERT INTO attack SELECT key, value::bigint FROM jsonb_each_text(tally);
END $$;
CALL pg_temp.pump();
SELECT * FROM attack ORDER BY 1;
SELECT prefix, region, started, approved, approval_rate, state, blocked_until > now() AS for_a_while FROM smsflow.stat_otp
WHERE prefix IN ('+1305777', '+1786444') ORDER BY 1;
SELECT count(*) AS sent_to_the_attacker FROM smsflow.outbox WHERE recipient::text LIKE '+1305777%';
-- After an hour a few get through again, and the second block is twice as long.
CALL pg_temp.later('61 minutes');
SELECT status, count(*) FROM generate_series(1, 40) n, smsflow.otp_start('+1305777' || to_char(n, 'FM0000')) GROUP BY 1 ORDER BY 1;
SELECT until - now() BETWEEN interval '119 minutes' AND interval '120 minutes' AS twice FROM smsflow.otp_block WHERE prefix = '+1305777';
-- Somebody looks into it.
SELECT smsflow.unblock_otp_prefix('+1305777'), smsflow.unblock_otp_prefix('+1305777') AS again;
SELECT status FROM smsflow.otp_start('+13057775555');
CALL pg_temp.later('3 days');
SELECT smsflow.forget_otps() > 100 AS forgotten;
SELECT (SELECT count(*) FROM smsflow.otp) + (SELECT count(*) FROM smsflow.otp_block) AS left_over;

-- Bad input. ------------------------------------------------------------------------------
SELECT smsflow.otp_start('12');
SELECT smsflow.otp_start(NULL);
SELECT smsflow.otp_start('+14155550101', '');
SELECT smsflow.otp_start('+14155550101', brand => 'no such brand');
SELECT smsflow.otp_check('+14155550101', '123456', '');
SELECT smsflow.otp_check('+14155550199', '123456');
SELECT smsflow.set_otp_policy(NULL);
SELECT smsflow.set_otp_policy('{"digit": 6}');
SELECT smsflow.set_otp_policy('{}', '');
SELECT count(*) AS taken FROM (VALUES ('{"digits": 5}'), ('{"digits": 11}'), ('{"digits": "many"}'), ('{"tries": 0}'), ('{"valid_for": "2 hours"}'), ('{"valid_for": "-1 s"}'),
	('{"body": "no code"}'), ('{"domain": "two words"}'), ('{"app_hash": "short"}'), ('{"countries": "US"}'), ('{"countries": []}'), ('{"countries": ["usa"]}'),
	('{"blocked_prefixes": ["+44"]}'), ('{"number_limit": "many"}'), ('{"number_limit": "5 per moon"}'), ('{"number_limit": "0 per 1 hour"}'), ('{"block_below": 2}'),
	('{"block_after": 1}'), ('{"fail_open": null}'), ('{"resend_after": null}'), ('{"digits": null}')) v (o)
WHERE smsflow.otp_option_problem(smsflow.otp_defaults() || o::jsonb) IS NULL;
SELECT smsflow.set_otp_policy('{"body": "{{code}} {{"}');
SELECT smsflow.set_otp_policy(jsonb_build_object('app_hash', 'FA+9qCX9VSu', 'body', '{{code}} ' || repeat('x', 140)));
DELETE FROM smsflow.otp_policy;
