-- Gateways as data: how callbacks of each layout are read, and a gateway that is only SQL.
\set VERBOSITY sqlstate
SELECT smsflow.suspend_rule('window'), smsflow.suspend_rule('cap'), smsflow.suspend_rule('subject_cap');
INSERT INTO smsflow.secret (name, value) VALUES ('callback_key', 'regress') ON CONFLICT DO NOTHING;

-- A field is at the first of several paths that has a text; what follows an equals sign is a text.
SELECT smsflow.field('{"a": {"b": [{"c": "x"}]}, "e": "", "n": 1.50, "t": true, "o": {}}', p) FROM unnest('{a.b.0.c,a.b.1.c,"e n",t,o,"o =y z","=",""}'::text[]) AS p;
SELECT t, smsflow.read_instant(t) AT TIME ZONE 'UTC' AS utc FROM unnest('{1700000000,1700000000123,2023-11-14T22:13:20Z,"2023-11-14 23:13:20 +0100",2311142213,yesterday}'::text[]) AS t;

-- What each profile that smsflow brings looks for is there: every status word has a status, every code a class.
SELECT p.profile, k AS status FROM smsflow.gateway_profile p CROSS JOIN LATERAL jsonb_each_text(p.report_status) AS s (k, v)
	WHERE p.builtin AND v NOT IN ('accepted', 'delivered', 'undelivered', 'expired', 'rejected', 'unknown');
SELECT p.profile FROM smsflow.gateway_profile p WHERE p.builtin AND (p.report_status = '{}' OR NOT p.report ? 'status' OR NOT p.inbound ?& '{from,body,id}'
	OR NOT EXISTS (SELECT FROM smsflow.error_code e WHERE e.profile = p.profile)) ORDER BY 1;
SELECT e.profile FROM smsflow.error_code e JOIN smsflow.gateway_profile p USING (profile) WHERE p.builtin AND e.class = 'opted_out' ORDER BY 1;
-- Fragments within a profile are templates, too.
SELECT count(smsflow.check_template(x.template)::text) AS fragments FROM smsflow.gateway_profile p
	CROSS JOIN LATERAL (VALUES (p.callback ->> 'ask'), (p.media ->> 'before'), (p.media ->> 'item'), (p.media ->> 'after'), (p.media ->> 'none'), (p.batch ->> 'item'), (p.batch ->> 'body'), (p.lookup #>> '{by_reference,url}'), (p.lookup #>> '{by_id,url}'), (p.sigv4)) AS x (template) WHERE p.builtin AND x.template IS NOT NULL;

-- What a profile cannot be.
INSERT INTO smsflow.gateway_profile (profile, method, content_type, body) VALUES ('pr_x', 'POST', 'text/xml', '<a/>');
INSERT INTO smsflow.gateway_profile (profile, method, basic_auth, sigv4) VALUES ('pr_x', 'GET', true, 'aws:amz:r:s');
INSERT INTO smsflow.gateway_profile (profile, method, wait_pattern) VALUES ('pr_x', 'GET', '(');
INSERT INTO smsflow.gateway_profile (profile, method, media) VALUES ('pr_x', 'GET', '{"before": "x"}');
INSERT INTO smsflow.gateway_profile (profile, method, validity) VALUES ('pr_x', 'GET', '[0,10)');
INSERT INTO smsflow.gateway_profile (profile, method, media) VALUES ('pr_x', 'GET', '{"item": "x", "most": "ten"}');
INSERT INTO smsflow.gateway_profile (profile, method, query) VALUES ('pr_x', 'GET', 'to={{to');
INSERT INTO smsflow.gateway_profile (profile, method, headers) VALUES ('pr_x', 'GET', '{"X-Key": "{{secret|}"}');
INSERT INTO smsflow.gateway_profile (profile, method, headers) VALUES ('pr_x', 'GET', '{"X-Version": 2}');
INSERT INTO smsflow.gateway_profile (profile, method, headers) VALUES ('pr_x', 'GET', '{"X-Key: a\r\nX-Other": "b"}');
INSERT INTO smsflow.gateway_profile (profile, method, lookup) VALUES ('pr_x', 'GET', '{"by_id": {"url": "/{{provider id}}"}}');
INSERT INTO smsflow.gateway_profile (profile, method, media) VALUES ('pr_x', 'GET', '{"item": "{{media_url"}');
SELECT smsflow.add_gateway('pr_aws', 'aws_sms', 'https://sms-voice.us-east-1.amazonaws.com', '{"region": "us-east-1", "configuration_set": "c"}');
SELECT smsflow.add_gateway('pr_twilio', 'twilio', 'https://api.twilio.com', '{"account": "AC1"}');

-- A store's own gateway, in SQL alone.
INSERT INTO smsflow.gateway_profile (profile, method, path, content_type, body, report, report_status, inbound, callback)
	VALUES ('pr_own', 'POST', '/send', 'application/json', '{"to": "{{to}}", "text": "{{body}}", "ref": "{{reference}}"}',
		'{"status": "state", "code": "why", "code_prefix": "p-", "provider_id": "key", "reference": "ref", "cost": "cost", "at": "at", "parts": "n"}',
		'{"SENT": "accepted", "DONE": "delivered", "DONE 7": "undelivered", "FAILED": "undelivered"}',
		'{"from": "who", "body": "text", "id": "key", "when": {"event": "reply"}}',
		'{"inner": "payload", "records": "items", "answer": "thanks", "answer_type": "text/x-thanks"}');
INSERT INTO smsflow.error_code (profile, code, class) VALUES ('pr_own', 'p-7', 'undeliverable'), ('pr_own', 'FAILED', 'filtered');
SELECT smsflow.add_gateway('pr_own', 'pr_own', 'https://own.example.com') > 0 AS added;
SELECT smsflow.add_gateway('pr_vonage', 'vonage', 'https://rest.nexmo.com', '{"username": "k"}') > 0 AS added;
SELECT smsflow.add_gateway('pr_at', 'africastalking', 'https://api.africastalking.com', '{"username": "k"}') > 0 AS added;
SELECT smsflow.add_sender('+12025550100', 'pr_own', pool => 'pr') > 0 AS added;

CREATE FUNCTION pg_temp.calls(gateway text, path text, body text, query text DEFAULT '') RETURNS text LANGUAGE sql AS
	$$SELECT concat_ws(' ', status, content_type, body) FROM smsflow.receive_callback(gateway, 'POST', path, query, '{"content-type": "application/json"}', convert_to(body, 'UTF8'))$$;
CREATE FUNCTION pg_temp.account(gateway text, body text) RETURNS text LANGUAGE sql AS
	$$SELECT pg_temp.calls(gateway, p || '/' || smsflow.callback_mac(p), body) FROM format('/in/%s', gateway) AS p$$;
CREATE FUNCTION pg_temp.message(gateway text, id bigint, body text) RETURNS text LANGUAGE sql AS
	$$SELECT pg_temp.calls(gateway, p || '.' || smsflow.callback_mac(p), body) FROM format('/callback/%s/%s.1', gateway, id) AS p$$;
CREATE FUNCTION pg_temp.apply() RETURNS void LANGUAGE sql AS
	$$SELECT smsflow.apply_callbacks(array_agg(c.callback_id ORDER BY c.callback_id)) FROM smsflow.callback c JOIN smsflow.gateway g USING (gateway_id)
		WHERE g.name LIKE 'pr\_%' AND NOT EXISTS (SELECT FROM smsflow.report r WHERE r.callback_id = c.callback_id)
			AND NOT EXISTS (SELECT FROM smsflow.callback_problem o WHERE o.callback_id = c.callback_id)$$;
CREATE TEMP TABLE sent (who text PRIMARY KEY, phone text, message_id bigint);
INSERT INTO sent SELECT who, phone FROM (VALUES ('ann', '+12025550361'), ('bob', '+12025550362'), ('cyd', '+12025550363'), ('dan', '+12025550364'), ('eve', '+12025550365')) AS p (who, phone);
SELECT count(smsflow.subscribe(phone, '{transactional,promotional}', 'web')) FROM sent;
UPDATE sent SET message_id = smsflow.send(phone, 'Hello ' || repeat('x', 200), pool => 'pr');
SELECT message_id AS ann FROM sent WHERE who = 'ann' \gset
SELECT message_id AS bob FROM sent WHERE who = 'bob' \gset
SELECT message_id AS cyd FROM sent WHERE who = 'cyd' \gset
SELECT message_id AS dan FROM sent WHERE who = 'dan' \gset
SELECT message_id AS eve FROM sent WHERE who = 'eve' \gset
CREATE TEMP VIEW told AS SELECT s.who, m.status, m.error_class, m.error_code, m.provider_id, m.cost, m.currency,
	(SELECT max(r.parts) FROM smsflow.report r WHERE r.message_id = m.message_id) AS parts FROM sent s JOIN smsflow.message m USING (message_id);

-- A list in an envelope: reports by our reference, a stranger's, and a reply, in one request; answered as the profile says.
SELECT pg_temp.account('pr_own', jsonb_build_object('payload', jsonb_build_object('items', jsonb_build_array(
	jsonb_build_object('state', 'SENT', 'ref', :'ann' || '.1', 'key', 'k1', 'cost', 'KES 0.80', 'n', 2, 'at', '2023-11-14T22:13:20+01:00'),
	jsonb_build_object('state', 'DONE', 'ref', :'bob' || '.1', 'why', '7'),
	jsonb_build_object('state', 'DONE', 'ref', 'somebody else''s'),
	jsonb_build_object('event', 'reply', 'who', '12025550361', 'text', 'Thanks', 'key', 'r1'),
	'no object'))::text)::text);
SELECT pg_temp.apply();
SELECT * FROM told WHERE who IN ('ann', 'bob') ORDER BY who;
SELECT r.occurred_at AT TIME ZONE 'UTC' AS occurred FROM smsflow.report r WHERE r.message_id = :ann;
SELECT i.body, i.action FROM smsflow.inbound i JOIN smsflow.gateway g USING (gateway_id) WHERE g.name = 'pr_own';
SELECT o.problem, o.retry_until > now() AS will_be_retried FROM smsflow.callback_problem o JOIN smsflow.callback c USING (callback_id)
	JOIN smsflow.gateway g USING (gateway_id) WHERE g.name = 'pr_own';
SELECT pg_temp.account('pr_own', '{"payload": "no JSON"}') AS no_reply, pg_temp.account('pr_own', '[]') AS a_list_elsewhere, pg_temp.account('pr_own', '{"items": []}') AS nothing;

-- Codes and words that no row explains are kept and counted; a status word may stand for the code.
SELECT pg_temp.message('pr_own', :cyd, '{"state": "LOST"}'), pg_temp.message('pr_own', :cyd, '{"state": "FAILED", "why": "99"}');
SELECT pg_temp.apply();
SELECT * FROM told WHERE who = 'cyd';
SELECT pg_temp.message('pr_vonage', :dan, '{"status": "failed", "err-code": "77", "messageId": "v1"}'), pg_temp.message('pr_vonage', :dan, '{"status": "melted", "messageId": "v1"}');
SELECT pg_temp.apply();
SELECT status, error_class, error_code FROM told WHERE who = 'dan';
SELECT gateway, kind, code, times FROM smsflow.unknown_code WHERE gateway LIKE 'pr\_%' ORDER BY 1, 2, 3;

-- Where parts are reported one by one, all of them have to arrive; the price is that of all.
SELECT pg_temp.message('pr_vonage', :eve, '{"status": "delivered", "err-code": "0", "messageId": "e1", "price": "0.01"}');
SELECT pg_temp.apply();
SELECT status, cost, currency FROM told WHERE who = 'eve';
SELECT pg_temp.message('pr_vonage', :eve, '{"status": "delivered", "err-code": "0", "messageId": "e1", "price": "0.01"}');
SELECT pg_temp.apply();
SELECT status FROM told WHERE who = 'eve';
SELECT pg_temp.message('pr_vonage', :eve, '{"status": "delivered", "err-code": "0", "messageId": "e2", "price": "0.01"}');
SELECT pg_temp.apply();
SELECT status, cost, currency FROM told WHERE who = 'eve';

-- A report that names only the gateway's id may come before we know the id: it waits.
SELECT pg_temp.account('pr_at', '{"id": "ATXid_9", "status": "Success", "networkCode": "63902"}');
SELECT pg_temp.apply();
SELECT smsflow.retry_callbacks();
INSERT INTO smsflow.provider_message (gateway_id, provider_id, message_id, attempt) SELECT gateway_id, 'ATXid_9', :ann, 1 FROM smsflow.gateway WHERE name = 'pr_at';
SELECT smsflow.retry_callbacks();
SELECT status FROM told WHERE who = 'ann';
SELECT count(*) AS waiting FROM smsflow.callback_problem o JOIN smsflow.callback c USING (callback_id) JOIN smsflow.gateway g USING (gateway_id) WHERE g.name = 'pr_at';

-- Parts of a reply that stay alone are taken as they are in the end, and obeyed.
SELECT pg_temp.account('pr_vonage', '{"msisdn": "12025550362", "to": "12025550100", "messageId": "p1", "text": "STOP", "concat-ref": "9", "concat-total": "2", "concat-part": "1"}');
SELECT smsflow.join_late_parts('1 hour') AS not_yet, smsflow.join_late_parts('-1 second') AS in_the_end, smsflow.join_late_parts('-1 second') AS once;
SELECT allowed, reason FROM smsflow.can_send('+12025550362', 'promotional');
-- What a person has to confirm is kept where health() looks.
SELECT smsflow.add_gateway('pr_aws', 'aws_sms', 'https://sms-voice.us-east-1.amazonaws.com', '{"username": "AK", "region": "us-east-1", "configuration_set": "c"}') > 0 AS added;
SELECT pg_temp.account('pr_aws', '{"Type": "SubscriptionConfirmation", "Message": "You have chosen", "SubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription"}');
SELECT pg_temp.apply();
SELECT o.problem, o.retry_until FROM smsflow.callback_problem o JOIN smsflow.callback c USING (callback_id) JOIN smsflow.gateway g USING (gateway_id) WHERE g.name = 'pr_aws';

SELECT count(*) AS violations FROM smsflow.check_callbacks();

SELECT smsflow.resume_rule('window') AND smsflow.resume_rule('cap') AND smsflow.resume_rule('subject_cap') AS resumed;
