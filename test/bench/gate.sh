#!/usr/bin/env bash
# What the gate costs a claim: the claim's own query over 500 promotional
# messages, with the gate and without it, and the gate again beside a long
# history of the same contacts, and 100,000 messages of one contact. Prints
# microseconds per message, and how many times the bare claim each is.
#
#   test/bench/gate.sh
. "$(dirname "$0")/lib.sh"

start_server "smsflow.enabled = off" "fsync = off"
sql -f - >/dev/null <<'SQL'
-- Five states, one of two zones; at any hour of the day most are open or most are closed, and both are timed.
SELECT count(smsflow.subscribe('+1' || (ARRAY[415, 212, 305, 713, 850])[1 + g % 5] || (5550000 + g), '{promotional,cart}', level => 'written'))
	FROM generate_series(1, 5000) g;
INSERT INTO smsflow.outbox (expires_at, contact_id, recipient, queue_id, brand_id, purpose, parts, unicode, body)
	SELECT now() + interval '1 day', c.contact_id, c.phone, (smsflow.queues_for(4::smallint, 'direct', 'default'))[1], 1, 'promotional', 1, false, 'A flash sale.'
	FROM smsflow.contact c ORDER BY c.contact_id;
INSERT INTO smsflow.touch SELECT contact_id, now() - n * interval '40 hours', n, 'promotional', 'sale ' || n FROM smsflow.contact, generate_series(1, 4) n;
CREATE TABLE cost (what text, microseconds numeric);
-- As the worker plans it.
CREATE PROCEDURE measure(what text, columns text, source text DEFAULT 'smsflow.gated') LANGUAGE plpgsql
	SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
	begun timestamptz;
	best numeric := 'infinity';
	cursor_id bigint;
BEGIN
	FOR round IN 0..39 LOOP
		cursor_id := (SELECT min(message_id) FROM smsflow.outbox) - 1 + round % 10 * 500;
		begun := clock_timestamp();
		EXECUTE format('SELECT count(x) FROM (SELECT (%s) AS x FROM %s g WHERE g.queue_id = %s AND g.message_id > %s
			ORDER BY g.queue_id, g.message_id LIMIT 500) AS claim', columns, source,
			(SELECT max(queue_id) FROM smsflow.outbox), cursor_id);
		best := least(best, extract(epoch FROM clock_timestamp() - begun) * 1000000 / 500);
	END LOOP;
	INSERT INTO cost VALUES (what, best);
END $$;
VACUUM ANALYZE;
CREATE FUNCTION at_noon(g smsflow.outbox) RETURNS smsflow.gate_decision LANGUAGE sql STABLE RETURN (SELECT smsflow.gate(c.contact_id, c.phone, c.consent,
	g.purpose, c.region, c.time_zone, c.time_zone_source, c.reachability, g.message_id, 'sale', NULL, 'long_code', NULL, '{}',
	date_trunc('day', now(), 'America/New_York') + interval '2 days 14 hours', c.brand_id) FROM smsflow.contact c WHERE c.contact_id = g.contact_id);
CALL measure('outbox and contact alone', '(SELECT c.consent FROM smsflow.contact c WHERE c.contact_id = g.contact_id)::text', 'smsflow.outbox');
CALL measure('view smsflow.gated, now', 'g.reason, g.retry_at, g.open_until');
CALL measure('gate alone, day', 'at_noon(g)', 'smsflow.outbox');
SELECT smsflow.suspend_rule('window'), smsflow.suspend_rule('cap'), smsflow.suspend_rule('subject_cap');
CALL measure('view smsflow.gated, neither hours nor caps', 'g.reason, g.retry_at, g.open_until');
SELECT smsflow.resume_rule('window'), smsflow.resume_rule('cap'), smsflow.resume_rule('subject_cap');
INSERT INTO smsflow.touch SELECT contact_id, now() - interval '30 days' + n * interval '1 minute', n, 'promotional', 'old sale' FROM smsflow.contact, generate_series(1, 200) n;
VACUUM ANALYZE;
CALL measure('view smsflow.gated, now, after 200 older messages each', 'g.reason, g.retry_at, g.open_until');
-- The same as campaigns leave it: neighbours in runs, all of four and of 200 campaigns.
DELETE FROM smsflow.touch;
CREATE PROCEDURE add_campaigns(count integer, every interval, since interval) LANGUAGE sql AS $$
	INSERT INTO smsflow.touch_run SELECT contact_id >> 6, now() - since + n * every, 'promotional', 'run ' || n, true, false, array_agg(contact_id & 63), array_agg(n)
		FROM smsflow.contact, generate_series(1, count) n GROUP BY 1, n;
$$;
CALL add_campaigns(4, '40 hours', '161 hours');
VACUUM ANALYZE;
CALL measure('view smsflow.gated, now, 4 campaigns in runs', 'g.reason, g.retry_at, g.open_until');
CALL add_campaigns(200, '1 minute', '30 days');
VACUUM ANALYZE;
CALL measure('view smsflow.gated, now, after 200 older campaigns', 'g.reason, g.retry_at, g.open_until');
-- Of one contact, in the last 35 days; and of its neighbour, three.
CREATE PROCEDURE measure_one(what text, newest boolean, purpose text) LANGUAGE plpgsql AS $$
DECLARE
	person CONSTANT bigint := (SELECT CASE WHEN newest THEN max(contact_id) ELSE min(contact_id) END FROM smsflow.contact WHERE phone::text LIKE '+1305%');
	begun timestamptz;
	best numeric := 'infinity';
BEGIN
	FOR round IN 1..20 LOOP
		begun := clock_timestamp();
		PERFORM smsflow.gate(c.contact_id, c.phone, c.consent, purpose::smsflow.purpose, c.region, c.time_zone, c.time_zone_source, c.reachability,
			0, 'sale', 'cart ' || n, 'long_code', NULL, '{}', now() + n * interval '1 microsecond', c.brand_id)
			FROM smsflow.contact c, generate_series(1, 500) n WHERE c.contact_id = person;
		best := least(best, extract(epoch FROM clock_timestamp() - begun) * 1000000 / 500);
	END LOOP;
	INSERT INTO cost VALUES (what, best);
END $$;
DELETE FROM smsflow.touch;
INSERT INTO smsflow.touch SELECT c.id, now() - n * interval '30 seconds', n, (ARRAY['promotional', 'cart'])[1 + n % 2]::smsflow.purpose, 'subject ' || n, 'old cart ' || n
	FROM (SELECT min(contact_id) AS id FROM smsflow.contact WHERE phone::text LIKE '+1305%') c, generate_series(1, 100000) n;
INSERT INTO smsflow.touch SELECT c.id, now() - n * interval '40 hours', n, 'promotional', 'subject ' || n, NULL
	FROM (SELECT max(contact_id) AS id FROM smsflow.contact WHERE phone::text LIKE '+1305%') c, generate_series(1, 3) n;
VACUUM ANALYZE;
CALL measure_one('one contact with 3 messages, promotional', true, 'promotional');
CALL measure_one('one contact with 100,000 messages, promotional', false, 'promotional');
SELECT smsflow.suspend_rule('consent_level', 'US');
CALL measure_one('one contact with 3 messages, cart', true, 'cart');
CALL measure_one('one contact with 100,000 messages, cart', false, 'cart');
SQL
sql -c "SELECT rpad(what, 58) || to_char(microseconds, '9990.0') || ' us' || to_char(microseconds / (SELECT c.microseconds FROM cost c WHERE c.what LIKE 'outbox and%'), '9990.0') || ' times' FROM cost"
