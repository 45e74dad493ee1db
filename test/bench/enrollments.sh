#!/usr/bin/env bash
# What a million waiting enrolments cost: a tick of the worker with nothing due,
# with 1,000 and with 1,000,000 people waiting, and how many due ones a second
# are moved on and asked for their message. A tick is the best of 30, a rate the
# median of its slices, their commits included; no gateway.
#
#   test/bench/enrollments.sh [ROUNDS]      20,000 enrolments each, default 50
. "$(dirname "$0")/lib.sh"
rounds=${1:-50}

start_server "smsflow.enabled = off" "autovacuum = off"
sql -v rounds="$rounds" -f - <<'SQL'
\o /dev/null
SELECT smsflow.suspend_rule(kind) FROM unnest('{window,cap,subject_cap}'::text[]) kind;
-- 20,000 people, with many enrolments each.
SELECT count(smsflow.subscribe('+1415' || 2000000 + n, '{transactional}')) FROM generate_series(1, 20000) n;
TRUNCATE smsflow.event;
SELECT smsflow.create_sequence('notice', 'order_shipped'), smsflow.add_step('notice', '0', 'Order {{order.id}} is on its way'),
	smsflow.add_step('notice', '1 day', 'Order {{order.id}} should have arrived'), smsflow.enable_sequence('notice');
CREATE PROCEDURE enrol(people integer, rounds integer, due timestamptz) LANGUAGE sql AS $$
	INSERT INTO smsflow.enrollment (sequence_id, contact_id, ref, event_id, data, step, next_at)
	SELECT (SELECT sequence_id FROM smsflow.sequence), c.contact_id, 'r' || r || ' ' || due, 0, '{"order": {"id": 1001}}', 1, due + r * interval '1 second'
	FROM (SELECT contact_id FROM smsflow.contact ORDER BY contact_id LIMIT people) c, generate_series(1, rounds) r $$;
CREATE TABLE cost (what text, value numeric);
CREATE PROCEDURE tick(what text) LANGUAGE plpgsql AS $$
DECLARE
	begun timestamptz;
	best numeric := 'infinity';
BEGIN
	FOR round IN 1..30 LOOP
		begun := clock_timestamp();
		PERFORM smsflow.advance_enrollments(500);
		best := least(best, extract(epoch FROM clock_timestamp() - begun) * 1000);
		COMMIT;
	END LOOP;
	INSERT INTO cost VALUES (what, best);
END $$;
CREATE PROCEDURE advance(rows integer, slice integer) LANGUAGE plpgsql AS $$
DECLARE
	begun timestamptz;
	rates numeric[] := '{}';
BEGIN
	FOR round IN 1..rows / slice LOOP
		begun := clock_timestamp();
		PERFORM smsflow.advance_enrollments(slice);
		COMMIT;
		rates := rates || slice / extract(epoch FROM clock_timestamp() - begun);
	END LOOP;
	INSERT INTO cost SELECT 'due enrolments a second, slices of ' || slice, percentile_cont(0.5) WITHIN GROUP (ORDER BY rate) FROM unnest(rates) rate;
END $$;
CALL enrol(1000, 1, now() + interval '2 days');
VACUUM ANALYZE;
CALL tick('tick with nothing due, 1,000 waiting (ms)');
CALL enrol(20000, :rounds, now() + interval '3 days');
VACUUM ANALYZE;
SELECT 'tick with nothing due, ' || to_char(:rounds * 20000, 'FM9,999,999') || ' waiting (ms)' AS what \gset
CALL tick(:'what');
CALL enrol(20000, 1, now() - interval '1 hour');
ANALYZE smsflow.enrollment;
CALL advance(8000, 500);
CALL advance(12000, 2000);
\o
SELECT rpad(what, 52) || to_char(value, '999990.00') FROM cost;
SQL
