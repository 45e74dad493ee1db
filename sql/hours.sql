-- Quiet hours against PostgreSQL's own clock: every zone, both edges of every change of clocks, and the words of rules that are refused.
\set VERBOSITY sqlstate
SET client_min_messages = warning;
SET TimeZone = 'UTC';
-- Hong Kong has no rules of its own, so those of "*" hold, then windows whose edges lie where clocks change.
CREATE TEMP TABLE open_hours (dow integer, opens time, closes interval);
CREATE FUNCTION pg_temp.is_open(zone text, at timestamptz) RETURNS boolean LANGUAGE sql AS $$
	SELECT EXISTS (SELECT FROM open_hours o WHERE o.dow = extract(dow FROM at AT TIME ZONE zone)
		AND (at AT TIME ZONE zone)::time >= o.opens AND (at AT TIME ZONE zone)::time - '00:00'::time < o.closes) $$;
-- Since 1990 all clocks are whole quarters of an hour apart, so an opening is on a quarter.
CREATE FUNCTION pg_temp.opening(zone text, at timestamptz) RETURNS timestamptz LANGUAGE sql AS $$
	SELECT CASE WHEN pg_temp.is_open(zone, at) THEN at ELSE
		(SELECT g FROM generate_series(date_bin('15 minutes', at, '2000-01-01') + interval '15 minutes', at + interval '3 days', interval '15 minutes') g
			WHERE pg_temp.is_open(zone, g) LIMIT 1) END $$;
CREATE FUNCTION pg_temp.word(zone text, at timestamptz) RETURNS timestamptz LANGUAGE sql AS $$
	SELECT COALESCE((g.word).retry_at, at) FROM (SELECT smsflow.gate(NULL, '+85251234567', c.consent, 'promotional', NULL, zone, 'customer', NULL, NULL, NULL, NULL,
		NULL, NULL, NULL, at, 1) AS word FROM smsflow.contact c WHERE c.phone::text = '+85251234567') g $$;
SELECT smsflow.subscribe('+85251234567', '{promotional}', level => 'confirmed', occurred_at => '1980-01-01') > 0 AS subscribed;

-- Zones with every sort of clock: half and three quarter hours, a change of half an hour, of two, at midnight, of the date.
CREATE TEMP TABLE zone (name text);
INSERT INTO zone VALUES ('America/New_York'), ('America/Phoenix'), ('America/St_Johns'), ('America/Havana'), ('America/Santiago'), ('America/Sao_Paulo'),
	('America/Caracas'), ('America/Asuncion'), ('Europe/London'), ('Europe/Dublin'), ('Africa/Casablanca'), ('Africa/Cairo'), ('Antarctica/Troll'), ('Asia/Beirut'), ('Asia/Tehran'),
	('Asia/Kolkata'), ('Asia/Kathmandu'), ('Asia/Gaza'), ('Australia/Adelaide'), ('Australia/Lord_Howe'), ('Australia/Eucla'), ('Pacific/Auckland'), ('Pacific/Chatham'),
	('Pacific/Apia'), ('Pacific/Kiritimati'), ('Pacific/Marquesas'), ('Pacific/Pago_Pago');
CREATE TEMP TABLE question AS
	-- A thousand at random, leap days among them,
	SELECT 'random' AS kind, z.name AS zone, date_trunc('second', timestamptz '1995-01-01' + random() * interval '40 years') AS at
		FROM (SELECT setseed(0.3)) s, zone z, generate_series(1, 38)
	UNION ALL SELECT 'leap', z.name, timestamptz '2028-02-28 20:07:03' + n * interval '5 hours' FROM zone z, generate_series(0, 5) n
	-- and around each change of clocks in three years, and where Samoa skipped a day.
	UNION ALL SELECT 'change', d.name, d.day + n * interval '157 minutes' FROM (
		SELECT z.name, g AS day, (g AT TIME ZONE z.name) - (g AT TIME ZONE 'UTC') AS behind, lead((g AT TIME ZONE z.name) - (g AT TIME ZONE 'UTC')) OVER (PARTITION BY z.name ORDER BY g) AS ahead
		FROM zone z, generate_series(timestamptz '2024-01-01', '2026-12-31', '1 day') g) d, generate_series(-2, 10) n WHERE d.behind <> d.ahead
	UNION ALL SELECT 'date line', 'Pacific/Apia', timestamptz '2011-12-28 22:00' + n * interval '83 minutes' FROM generate_series(0, 40) n;
SELECT kind, count(*) >= CASE kind WHEN 'random' THEN 1000 WHEN 'change' THEN 1000 WHEN 'leap' THEN 100 ELSE 40 END AS enough FROM question GROUP BY 1 ORDER BY 1;
ANALYZE question;

INSERT INTO open_hours SELECT n, '10:00', CASE n WHEN 6 THEN interval '17 hours' ELSE interval '18 hours' END FROM generate_series(1, 6) n;
CREATE TEMP VIEW verdict AS SELECT kind, count(*) FILTER (WHERE correct = at) > 0 AS some_open, count(*) FILTER (WHERE correct > at) > 0 AS some_closed,
	count(*) FILTER (WHERE said IS DISTINCT FROM correct) AS wrong FROM (
		SELECT q.kind, q.at, pg_temp.word(q.zone, q.at) AS said, pg_temp.opening(q.zone, q.at) AS correct FROM question q OFFSET 0) a GROUP BY 1 ORDER BY 1;
SELECT * FROM verdict;

-- At night, where hours are skipped or come twice.
INSERT INTO smsflow.policy_rule (jurisdiction, purpose, kind, value) SELECT 'HK', 'promotional', 'window', v FROM unnest('{Mon-Sun 00:00-00:30,Mon-Sun 01:15-01:45,Mon-Sun 02:30-03:15,Sun 23:30-24:00}'::text[]) v;
TRUNCATE open_hours;
INSERT INTO open_hours SELECT n, v.opens, v.closes FROM generate_series(0, 6) n, (VALUES ('00:00'::time, '00:30'::interval), ('01:15', '01:45'), ('02:30', '03:15')) v (opens, closes);
INSERT INTO open_hours VALUES (0, '23:30', '24 hours');
SELECT * FROM verdict;
DELETE FROM smsflow.policy_rule WHERE NOT builtin AND kind = 'window' AND jurisdiction = 'HK';

-- Area code 850 lies in two zones: both must be open, minute by minute over a change of clocks.
SELECT smsflow.subscribe('+18505550199', '{promotional}', level => 'confirmed', occurred_at => '1980-01-01') > 0 AS subscribed;
SELECT count(*) AS minutes, count(*) FILTER (WHERE quiet <> closed) AS wrong FROM (
	SELECT smsflow.quiet_at('+18505550199', c.consent, 'promotional', NULL, NULL, NULL, at) AS quiet,
		(at AT TIME ZONE 'America/New_York')::time NOT BETWEEN '08:00' AND '19:59:59' OR (at AT TIME ZONE 'America/Chicago')::time NOT BETWEEN '08:00' AND '19:59:59' AS closed
	FROM smsflow.contact c, generate_series(timestamptz '2026-03-07', '2026-03-10', '1 minute') at WHERE c.phone::text = '+18505550199') m;

-- An address in a state that there is none of is one in a state that is not known: on Sundays only what all states allow.
SELECT region, smsflow.quiet_at('+18005550199', 'none', 'promotional', region, 'America/New_York', 'customer', '2027-03-07 12:00 EST') AS quiet
FROM unnest('{US-NY,NULL,US,US-XX,US-ny,US-NEW YORK,New York}'::text[]) AS region;

-- A holiday on the leap day is none in other years; a date that is none is refused.
INSERT INTO smsflow.policy_rule (jurisdiction, kind, value) VALUES ('FR', 'holiday', '02-29');
SELECT smsflow.subscribe('+33612345699', '{promotional}', level => 'confirmed', occurred_at => '1980-01-01') > 0 AS subscribed;
SELECT at, smsflow.quiet_at(c.phone, c.consent, 'promotional', NULL, NULL, NULL, at) FROM smsflow.contact c, unnest('{2027-03-01 12:00Z,2028-02-29 12:00Z,2028-03-01 12:00Z}'::timestamptz[]) at
	WHERE c.phone::text = '+33612345699' ORDER BY 1;
DELETE FROM smsflow.policy_rule WHERE NOT builtin AND kind = 'holiday';
INSERT INTO smsflow.policy_rule (jurisdiction, kind, value) VALUES ('FR', 'holiday', '2027-02-29');

-- A rule that begins later: the gate names no instant past that, and is asked again then.
BEGIN;
INSERT INTO smsflow.policy_rule (jurisdiction, purpose, kind, value) VALUES ('FR', 'promotional', 'window', to_char(now() + interval '3 days', 'Dy') || ' 10:00-11:00');
SELECT reason, retry_at > now() + interval '1 day' AS in_days FROM smsflow.can_send('+33612345699', 'promotional');
INSERT INTO smsflow.policy_rule (jurisdiction, purpose, kind, value, effective) VALUES ('FR', 'promotional', 'window', 'Mon-Sun 00:00-10:00', tstzrange(now() + interval '1 hour', NULL)),
	('FR', 'promotional', 'window', 'Mon-Sun 11:00-24:00', tstzrange(now() + interval '1 hour', NULL));
SELECT reason, retry_at = now() + interval '1 hour' AS when_it_begins FROM smsflow.can_send('+33612345699', 'promotional');
ROLLBACK;
