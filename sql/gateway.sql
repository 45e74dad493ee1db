-- Gateways, senders and secrets.
\set VERBOSITY sqlstate
-- The key that arm() makes.
INSERT INTO smsflow.secret (name, value) VALUES ('callback_key', 'regress') ON CONFLICT DO NOTHING;

-- A gateway: what limits it goes to columns, the rest stays an option.
SELECT smsflow.add_gateway('gt_kannel', 'kannel', 'https://kannel.example.com:13013/', '{"username": "shop", "rate": 30, "timeout": 5.5}') > 0 AS added;
SELECT profile, base_url, options, rate, burst, max_in_flight, timeout, enabled FROM smsflow.gateway WHERE name = 'gt_kannel';
SELECT smsflow.add_gateway('gt_json', 'generic_json', 'https://sms.example.com/v1/messages') > 0 AS added;

-- What cannot be a gateway.
SELECT smsflow.add_gateway('gt_kannel', 'generic_json', 'https://sms.example.com');
SELECT smsflow.add_gateway('Bad Name', 'generic_json', 'https://sms.example.com');
SELECT smsflow.add_gateway('callback_key', 'generic_json', 'https://sms.example.com');
-- A gateway is sent the secret of its name, so the keys of one-time passwords, suppressed numbers and signatures cannot be one.
SELECT smsflow.add_gateway('otp_key', 'generic_json', 'https://sms.example.com');
SELECT smsflow.add_gateway('suppression_key', 'generic_json', 'https://sms.example.com');
SELECT smsflow.add_gateway('gt_kannel_signature', 'generic_json', 'https://sms.example.com');
UPDATE smsflow.gateway SET name = 'otp_key' WHERE name = 'gt_json';
SELECT smsflow.add_gateway('gt_x', 'carrier_pigeon', 'https://sms.example.com');
SELECT smsflow.add_gateway('gt_x', 'generic_json', NULL);
SELECT smsflow.add_gateway('gt_x', 'generic_json', 'sms.example.com');
SELECT smsflow.add_gateway('gt_x', 'generic_json', 'ftp://sms.example.com');
SELECT smsflow.add_gateway('gt_x', 'generic_json', 'https://sms.example.com/?key=1');
SELECT smsflow.add_gateway('gt_x', 'generic_json', 'https://sms.example.com/ x');
SELECT smsflow.add_gateway('gt_x', 'kannel', 'https://sms.example.com');
CREATE FUNCTION pg_temp.takes_http() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM smsflow.add_gateway('gt_http', 'generic_json', 'http://127.0.0.1:8080');
	RETURN true;
EXCEPTION WHEN SQLSTATE 'SF007' THEN
	RETURN false;
END $$;
SELECT pg_temp.takes_http() = current_setting('smsflow.allow_insecure_gateway')::boolean AS http_as_configured;
SELECT smsflow.add_gateway('gt_x', 'generic_json', 'https://sms.example.com', '{"rate": 0}');
SELECT smsflow.add_gateway('gt_x', 'generic_json', 'https://sms.example.com', '{"rate": "fast"}');
SELECT smsflow.add_gateway('gt_x', 'generic_json', 'https://sms.example.com', '{"max_in_flight": 513}');
SELECT smsflow.add_gateway('gt_x', 'generic_json', 'https://sms.example.com', '[]');
-- The worker could not read half a message, and with it none of the gateways.
SELECT smsflow.add_gateway('gt_x', 'infobip', 'https://sms.example.com', '{"batch": 2.5}');
SELECT smsflow.add_gateway('gt_x', 'infobip', 'https://sms.example.com', '{"batch": 101}');
UPDATE smsflow.gateway SET options = '{"batch": "some"}' WHERE name = 'gt_json';
SELECT count(*) AS left_behind FROM smsflow.gateway WHERE name = 'gt_x';

-- Secrets are refused where anybody could read them, and never repeated.
\set VERBOSITY terse
SELECT smsflow.add_gateway('gt_x', 'generic_json', 'https://shop:hunter2@sms.example.com');
SELECT smsflow.add_gateway('gt_x', 'generic_json', 'https://sms.example.com', '{"password": "hunter2"}');
SELECT smsflow.add_gateway('gt_x', 'generic_json', 'https://sms.example.com', '{"my_API-Key": "hunter2"}');
SELECT smsflow.add_gateway('gt_x', 'kannel', 'https://sms.example.com');
SELECT smsflow.add_gateway('gt_x', 'carrier_pigeon', 'https://sms.example.com');
\set VERBOSITY sqlstate

-- Changing one.
SELECT smsflow.set_gateway('gt_kannel', enabled => false, options => '{"username": "store", "burst": 7, "smsc": "main"}');
SELECT options, rate, burst, enabled FROM smsflow.gateway WHERE name = 'gt_kannel';
SELECT smsflow.set_gateway('gt_kannel', options => '{"smsc": null}');
SELECT options FROM smsflow.gateway WHERE name = 'gt_kannel';
SELECT smsflow.set_gateway('gt_kannel', options => '{"username": null}');
SELECT smsflow.set_gateway('gt_kannel', options => '{"token": "x"}');
SELECT smsflow.set_gateway('gt_kannel', base_url => 'https://kannel.example.com/?x');
SELECT smsflow.set_gateway('gt_none', true);

-- A sender: its address tells its kind, and it has its queues at once.
SELECT smsflow.add_sender('+14155550100', 'gt_json', pool => 'gt_pool', rate => 0.5, daily_limit => 2000) > 0 AS added;
SELECT smsflow.add_sender('+18005550100', 'gt_json', pool => 'gt_pool') > 0 AS added;
SELECT smsflow.add_sender('72345', 'gt_json', pool => 'gt_pool', registration => 'CSCA 1') > 0 AS added;
SELECT smsflow.add_sender('My Shop', 'gt_json', pool => 'gt_pool') > 0 AS added;
SELECT s.address, s.kind, s.rate, s.burst, s.daily_limit, s.registration, s.options,
	(SELECT array_agg(q.lane ORDER BY q.lane) FROM smsflow.queue q WHERE q.sender_id = s.sender_id AND q.source = 'direct') AS lanes
	FROM smsflow.sender s WHERE s.pool = 'gt_pool' ORDER BY s.address COLLATE "C";
SELECT smsflow.add_sender('+14155550100', 'gt_json');
SELECT smsflow.add_sender('4155550100', 'gt_json');
SELECT smsflow.add_sender('My very long shop', 'gt_json');
SELECT smsflow.add_sender('   ', 'gt_json');
SELECT smsflow.add_sender(NULL, 'gt_json');
SELECT smsflow.add_sender('+14155550101', 'gt_none');
SELECT smsflow.add_sender('+14155550101', 'gt_json', kind => 'satellite');
SELECT smsflow.add_sender('+14155550101', 'gt_json', rate => 0);
SELECT smsflow.add_sender('+14155550101', 'gt_json', daily_limit => -1);
SELECT smsflow.add_sender('+14155550101', 'gt_json', options => '{"secret": "x"}');
SELECT smsflow.add_sender('+14155550101', 'gt_json', options => '{"countries": "US"}');
SELECT smsflow.add_sender('+14155550101', 'gt_json', options => '{"countries": ["US", "ca"]}');
SELECT smsflow.add_sender('+14155550101', 'gt_json', options => '{"countries": [null]}');

SELECT smsflow.set_sender('+14155550100', 'gt_json', enabled => false, rate => 2, daily_limit => 0, options => '{"campaign": "C1"}');
SELECT rate, burst, daily_limit, pool, enabled, options FROM smsflow.sender WHERE address = '+14155550100' AND pool = 'gt_pool';
-- A name that nothing reads is probably misspelt; null takes it away.
\set VERBOSITY default
SELECT smsflow.set_sender('+14155550100', 'gt_json', options => '{"countris": ["US"], "countries": null, "campaign": null}');
SELECT smsflow.set_gateway('gt_kannel', options => '{"max_in_fligth": 5, "username": "shop"}');
\set VERBOSITY sqlstate
SELECT smsflow.set_sender('+14155550100', 'gt_json', options => '{"countris": null}'), smsflow.set_gateway('gt_kannel', options => '{"max_in_fligth": null}');
SELECT smsflow.set_sender('+14155550199', 'gt_json', enabled => false);
SELECT smsflow.set_sender('+14155550100', 'gt_json', burst => 0);

-- The secret of a gateway.
SELECT smsflow.secret_problem('gt_json') IS NOT NULL AS missing;
\set VERBOSITY terse
SELECT smsflow.set_secret('gt_json', 'hunter2');
SELECT smsflow.set_secret('gt_json', 'hunter3');
\set VERBOSITY sqlstate
SELECT smsflow.secret_problem('gt_json');
-- It is one line: what an editor adds is no part of it, and a second one fits into no header.
SELECT smsflow.set_secret('gt_json', E'hunter3\n\n');
SELECT smsflow.secret_problem('gt_json');
SELECT smsflow.set_secret('gt_json', E'hunter3\nhunter4');
SELECT smsflow.secret_problem('gt_json');
SELECT smsflow.set_secret('gt_json', 'hunter3');
SELECT value FROM smsflow.secret WHERE name = 'gt_json';
SELECT smsflow.secret_problem('gt_none');
SELECT smsflow.set_secret('../postgresql.conf', 'x');
SELECT smsflow.set_secret('callback_key', 'x');
SELECT smsflow.set_secret('otp_key', 'x');
SELECT smsflow.set_secret('gt_json', '');
SELECT smsflow.problem_of_secret('../gt_json');
-- A profile that sends no secret needs none.
INSERT INTO smsflow.gateway_profile (profile, method, query) VALUES ('gt_open', 'GET', 'to={{to}}&text={{body}}');
SELECT smsflow.add_gateway('gt_open', 'gt_open', 'https://modem.example.com') > 0 AS added;
SELECT smsflow.secret_problem('gt_open');

-- URLs that gateways call are signed by a key that no role can read back.
SELECT smsflow.callback_mac('/in/a') ~ '^[0-9a-f]{32}$' AS mac, smsflow.callback_mac('/in/a') = smsflow.callback_mac('/in/a') AS same,
	smsflow.callback_mac('/in/a') = smsflow.callback_mac('/in/b') AS other_path;
SELECT smsflow.callback_url('gt_none', 1, 1);
SELECT smsflow.inbound_url('gt_none');
BEGIN;
DELETE FROM smsflow.secret WHERE name = 'callback_key';
SELECT smsflow.callback_mac('/in/a');
ROLLBACK;

-- Every template of a profile that smsflow brings is well formed.
SELECT p.profile, count(smsflow.check_template(x.template)::text) AS templates FROM smsflow.gateway_profile p
	CROSS JOIN LATERAL (VALUES (p.path), (p.query), (p.headers::text), (p.body)) AS x (template)
	WHERE p.builtin AND x.template <> '' GROUP BY 1 ORDER BY 1;
SELECT p.profile, k AS unknown_status FROM smsflow.gateway_profile p CROSS JOIN LATERAL jsonb_each_text(p.report_status) AS s (k, v)
	WHERE v NOT IN ('accepted', 'delivered', 'undelivered', 'expired', 'rejected', 'unknown');

-- Nobody is let in by default.
CREATE ROLE smsflow_gt_nobody;
GRANT USAGE ON SCHEMA smsflow TO smsflow_gt_nobody;
SET ROLE smsflow_gt_nobody;
SELECT smsflow.add_gateway('gt_y', 'generic_json', 'https://sms.example.com');
SELECT smsflow.set_secret('gt_json', 'x');
SELECT smsflow.callback_mac('/in/a');
SELECT value FROM smsflow.secret;
RESET ROLE;
REVOKE USAGE ON SCHEMA smsflow FROM smsflow_gt_nobody;
DROP ROLE smsflow_gt_nobody;

-- A rate counts parts, or messages.
SELECT smsflow.add_gateway('gw_unit', 'generic_json', 'https://example.com', '{"rate_unit": "byte"}');
SELECT smsflow.add_gateway('gw_unit', 'generic_json', 'https://example.com', '{"rate_unit": "message", "batch": 1}') > 0 AS added;
SELECT smsflow.set_gateway('gw_unit', options => '{"batch": 1000}');
SELECT smsflow.add_sender('+14155550190', 'gw_unit', options => '{"rate_unit": "second"}');

-- A warm-up curve counts the days of the sender's zone from its first on, also when clocks change; before it, the first day holds.
INSERT INTO smsflow.warm_up (curve, day, parts) VALUES ('gw', 1, 5), ('gw', 2, 12), ('gw', 4, NULL);
SELECT at AT TIME ZONE 'Europe/Oslo' AS local, smsflow.warm_up_limit('gw', '2026-03-28 23:30Z', 'Europe/Oslo', at) AS oslo, smsflow.warm_up_limit('gw', '2026-03-28 23:30Z', 'UTC', at) AS utc
	FROM unnest('{2026-03-27 00:00Z,2026-03-28 23:59Z,2026-03-29 21:59Z,2026-03-29 22:00Z,2026-03-31 21:59Z,2026-03-31 22:00Z}'::timestamptz[]) AS at;
DELETE FROM smsflow.warm_up WHERE curve = 'gw';
