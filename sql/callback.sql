-- Delivery reports and replies.
\set VERBOSITY sqlstate
-- Neither the hour of the day nor the rules for carts in the United States are of interest here.
SELECT smsflow.suspend_rule('window'), smsflow.suspend_rule('consent_level', 'US'), smsflow.suspend_rule('cart_once', 'US');
INSERT INTO smsflow.secret (name, value) VALUES ('callback_key', 'regress') ON CONFLICT DO NOTHING;
SELECT smsflow.add_gateway('cb_json', 'generic_json', 'https://sms.example.com') > 0 AS added;
SELECT smsflow.add_gateway('cb_kannel', 'kannel', 'https://kannel.example.com', '{"username": "shop"}') > 0 AS added;
SELECT smsflow.add_sender('+12025550100', 'cb_kannel', pool => 'cb_pool') > 0 AS added;

-- What a gateway does: calls a URL it was given.
CREATE FUNCTION pg_temp.path(gateway text, message_id bigint, attempt integer DEFAULT 1) RETURNS text LANGUAGE sql AS
	$$SELECT p || '.' || smsflow.callback_mac(p) FROM format('/callback/%s/%s.%s', gateway, message_id, attempt) AS p$$;
CREATE FUNCTION pg_temp.post(path text, body text, type text DEFAULT 'application/json', query text DEFAULT '') RETURNS integer LANGUAGE sql AS
	$$SELECT status FROM smsflow.receive_callback(split_part(path, '/', 3), 'POST', path, query,
		jsonb_build_object('content-type', type), convert_to(body, 'UTF8'))$$;
CREATE FUNCTION pg_temp.report(message_id bigint, body text) RETURNS integer LANGUAGE sql AS
	$$SELECT pg_temp.post(pg_temp.path('cb_json', message_id), body)$$;
CREATE FUNCTION pg_temp.get(path text, query text) RETURNS integer LANGUAGE sql AS
	$$SELECT status FROM smsflow.receive_callback(split_part(path, '/', 3), 'GET', path, query, '{}', '')$$;
CREATE FUNCTION pg_temp.in(gateway text, query text) RETURNS integer LANGUAGE sql AS
	$$SELECT pg_temp.get(p || '/' || smsflow.callback_mac(p), query) FROM format('/in/%s', gateway) AS p$$;
-- What the worker does with all that has arrived.
CREATE FUNCTION pg_temp.apply() RETURNS void LANGUAGE sql AS
	$$SELECT smsflow.apply_callbacks(array_agg(c.callback_id)) FROM smsflow.callback c JOIN smsflow.gateway g USING (gateway_id)
		WHERE g.name LIKE 'cb\_%' AND NOT EXISTS (SELECT FROM smsflow.report r WHERE r.callback_id = c.callback_id);
	SELECT smsflow.learn_feedback(100)$$;
-- Each person gets one message from the store.
CREATE TEMP TABLE sent (who text PRIMARY KEY, phone text, message_id bigint);
INSERT INTO sent SELECT who, phone FROM (VALUES ('ann', '+12025550171'), ('bob', '+12025550172'), ('cyd', '+12025550173'), ('dan', '+12025550174'),
	('eve', '+12025550175'), ('fay', '+12025550176'), ('gus', '+12025550177'), ('ivo', '+12025550178')) AS p (who, phone);
SELECT count(smsflow.subscribe(phone, '{transactional,conversational,cart,promotional}', 'web')) FROM sent;
UPDATE sent SET message_id = smsflow.send(phone, 'Your order has left');
CREATE TEMP VIEW told AS SELECT s.who, m.status, m.error_class, m.error_code, m.provider_id, m.cost, m.currency, c.reachability
	FROM sent s JOIN smsflow.message m USING (message_id) JOIN smsflow.contact c USING (contact_id);
SELECT message_id AS ann FROM sent WHERE who = 'ann' \gset
SELECT message_id AS bob FROM sent WHERE who = 'bob' \gset
SELECT message_id AS cyd FROM sent WHERE who = 'cyd' \gset
SELECT message_id AS dan FROM sent WHERE who = 'dan' \gset
SELECT message_id AS eve FROM sent WHERE who = 'eve' \gset

-- Only our own URLs are answered, and nothing of others is kept.
SELECT status, content_type, body FROM smsflow.receive_callback('cb_json', 'POST', '/callback/cb_json/1.1.00000000000000000000000000000000', '', '{}', '{}');
SELECT pg_temp.post(replace(pg_temp.path('cb_json', 1, 1), '/1.1.', '/1.2.'), '{}') AS other_attempt,
	pg_temp.post(replace(pg_temp.path('cb_json', 1), 'cb_json', 'cb_kannel'), '{}') AS other_gateway,
	pg_temp.post(pg_temp.path('cb_none', 1), '{}') AS no_gateway,
	pg_temp.post('/callback/cb_json/', '{}') AS no_token,
	pg_temp.post('/callback/cb_json/1.1.abc', '{}') AS short_token,
	pg_temp.post('/callback/cb_json/99999999999999999999.1.00000000000000000000000000000000', '{}') AS long_id,
	pg_temp.post(pg_temp.path('cb_json', 1) || '/x', '{}') AS long_path,
	pg_temp.post('/elsewhere/cb_json/x', '{}') AS elsewhere;
SELECT status FROM smsflow.receive_callback('cb_json', 'DELETE', pg_temp.path('cb_json', 1), '', '{}', '');
SELECT status FROM smsflow.receive_callback(NULL, NULL, NULL, NULL, NULL, NULL);

-- Nor is what cannot be read.
SELECT pg_temp.report(:ann, '{"status": ') AS cut, pg_temp.report(:ann, '[1]') AS no_object, pg_temp.report(:ann, '"x"') AS scalar,
	pg_temp.report(:ann, '{"a": 1e999999}') AS huge_number,
	pg_temp.report(:ann, '{"a": "' || repeat('x', 262144) || '"}') AS long,
	pg_temp.post(pg_temp.path('cb_json', :ann), '<status/>', 'text/xml') AS xml;
SELECT status FROM smsflow.receive_callback('cb_json', 'POST', pg_temp.path('cb_json', :ann), '', '{"content-type": "application/json"}', '\xff');
SELECT count(*) AS kept FROM smsflow.callback JOIN smsflow.gateway USING (gateway_id) WHERE name LIKE 'cb\_%';

-- Query, form and JSON end up the same; of two fields of one name the body's counts.
BEGIN;
SELECT pg_temp.post(pg_temp.path('cb_json', :ann), '{"status": "sent", "n": {"a": [1]}}', query => 'status=x&q=a%20b+c&empty=&=x&alone'),
	pg_temp.post(pg_temp.path('cb_json', :ann, 2), 'status=sent&t=%C3%A9%26', 'application/x-www-form-urlencoded; charset=utf-8'),
	pg_temp.get(pg_temp.path('cb_json', :ann, 3), 'status=sent&status=delivered'),
	pg_temp.get(pg_temp.path('cb_json', :ann, 4), 'escape=100%25+%zz%&latin=%E9t%E9&zero=%00a%00b');
SELECT message_id = :ann AS ann, attempt, fields FROM smsflow.callback JOIN smsflow.gateway USING (gateway_id) WHERE name = 'cb_json' ORDER BY attempt;
ROLLBACK;

-- Many at once: each has its own answer.
BEGIN;
SELECT ordinal, status FROM smsflow.receive_callbacks('{cb_json,cb_json,cb_none,cb_json}', '{GET,GET,GET,GET}',
	ARRAY[pg_temp.path('cb_json', :ann), '/callback/cb_json/1.1.00000000000000000000000000000000', '/x', pg_temp.path('cb_json', :bob)],
	'{status=sent,status=sent,status=sent,status=delivered}', ARRAY['{}', '{}', NULL, '{}']::jsonb[], ARRAY['', '', '', '']::bytea[]) ORDER BY ordinal;
SELECT count(*) FROM smsflow.callback JOIN smsflow.gateway USING (gateway_id) WHERE name = 'cb_json';
SELECT count(*) FROM smsflow.receive_callbacks('{}', '{}', '{}', '{}', '{}', '{}');
ROLLBACK;
SELECT * FROM smsflow.receive_callbacks('{cb_json}', '{}', '{}', '{}', '{}', '{}');

-- A report moves its message and the counters; several in one go count once, a repeat not at all.
CREATE TEMP TABLE before AS SELECT purpose, measure, currency, sum(value) AS value FROM smsflow.metric_delta GROUP BY 1, 2, 3;
CREATE FUNCTION pg_temp.counted() RETURNS TABLE (purpose smsflow.purpose, measure text, currency text, change numeric) LANGUAGE sql AS
	$$SELECT d.purpose, d.measure, d.currency, trim_scale(sum(d.value) - COALESCE((SELECT b.value FROM before b WHERE (b.purpose, b.measure, b.currency) = (d.purpose, d.measure, d.currency)), 0))
		FROM smsflow.metric_delta d GROUP BY 1, 2, 3
		HAVING sum(d.value) <> COALESCE((SELECT b.value FROM before b WHERE (b.purpose, b.measure, b.currency) = (d.purpose, d.measure, d.currency)), 0) ORDER BY 1, 2, 3$$;
SELECT pg_temp.report(:ann, '{"status": "sent", "id": "gw-1", "cost": "-0.0075", "currency": "usd"}'),
	pg_temp.report(:ann, '{"status": "delivered", "id": "gw-1", "cost": 0.0075, "currency": "USD", "at": 1700000000}'),
	pg_temp.report(:bob, '{"status": "sent"}');
SELECT pg_temp.apply();
SELECT * FROM told WHERE who IN ('ann', 'bob') ORDER BY who;
SELECT delivered_at = to_timestamp(1700000000) AS at_the_phone FROM smsflow.message WHERE message_id = :ann;
SELECT * FROM pg_temp.counted();
SELECT pg_temp.report(:ann, '{"status": "delivered", "id": "gw-1", "cost": "0.0075"}'), pg_temp.report(:ann, '{"status": "sent"}'),
	pg_temp.report(:ann, '{"status": "failed", "code": "unreachable"}'), pg_temp.report(:bob, '{"status": "DELIVERED"}');
SELECT pg_temp.apply();
SELECT * FROM told WHERE who IN ('ann', 'bob') ORDER BY who;
SELECT * FROM pg_temp.counted();

-- A date that is none, or later than the report, is that of the report.
BEGIN;
SELECT count(pg_temp.report(:bob, format('{"status": "delivered", "at": "%s"}', a))) FROM unnest('{0001-01-01T00:00:00Z,9999-12-31T23:59:59Z,soon,0}'::text[]) a;
SELECT count(*) FROM smsflow.callback_reading r JOIN smsflow.callback c USING (callback_id) WHERE r.message_id = :bob AND c.fields ? 'at' AND r.occurred_at = c.received_at;
ROLLBACK;

-- What cannot be applied is set aside, and changes nothing.
SELECT pg_temp.report(:cyd, '{"status": "teleported"}'), pg_temp.report(:cyd, '{"state": "sent"}'), pg_temp.report(9000000000000000000, '{"status": "sent"}');
SELECT pg_temp.apply();
SELECT pg_temp.apply();
SELECT p.problem FROM smsflow.callback_problem p JOIN smsflow.callback c USING (callback_id) JOIN smsflow.gateway g USING (gateway_id)
	WHERE g.name = 'cb_json' ORDER BY callback_id;
SELECT * FROM told WHERE who = 'cyd';

-- What reports say about people.
SELECT pg_temp.report(:cyd, '{"status": "failed", "code": "invalid_number"}'), pg_temp.report(:dan, '{"status": "rejected", "code": "opted_out"}');
SELECT pg_temp.apply();
SELECT * FROM told WHERE who IN ('cyd', 'dan') ORDER BY who;
SELECT reason, allowed FROM sent, smsflow.can_send(phone, 'transactional') WHERE who = 'dan';
SELECT e.kind, e.source, e.evidence - 'message_id' AS evidence FROM smsflow.consent_event e JOIN smsflow.contact c USING (contact_id) JOIN sent s ON s.phone = c.phone::text
	WHERE s.who = 'dan' ORDER BY consent_event_id;
SELECT pg_temp.report(:cyd, '{"status": "delivered"}');
SELECT pg_temp.apply();
SELECT * FROM told WHERE who = 'cyd';

-- Kannel: the answer's text holds the code, and the code can say what the mask does not.
SELECT pg_temp.get(pg_temp.path('cb_kannel', message_id), 'status=' || q) FROM sent JOIN (VALUES ('eve', '8&answer=ACK%2F&foreign_id=f1&at=1700000000'),
	('eve', '1&answer=id%3A1+sub%3A001+dlvrd%3A001+stat%3ADELIVRD+err%3A000+text%3A&foreign_id=f1&at=1700000001'),
	('fay', '2&answer=id%3A2+sub%3A001+dlvrd%3A000+stat%3AEXPIRED+err%3A000+text%3A'),
	('gus', '16&answer=NACK%2F0x0000000b%2FInvalid+Destination+Address&foreign_id='),
	('ivo', '2&answer=id%3A3+sub%3A001+dlvrd%3A000+stat%3AUNDELIV+err%3A777+text%3A')) AS r (who, q) USING (who);
SELECT pg_temp.apply();
SELECT * FROM told WHERE who IN ('eve', 'fay', 'gus', 'ivo') ORDER BY who;

-- A reply is kept and applied at once; the gateway's repeat of it is not.
CREATE TEMP VIEW heard AS SELECT i.phone, i.address, i.body, i.action, i.provider_id, i.contact_id IS NOT NULL AS known
	FROM smsflow.inbound i JOIN smsflow.gateway g USING (gateway_id) WHERE g.name LIKE 'cb\_%' ORDER BY inbound_id;
CREATE TEMP VIEW answered AS SELECT m.phone, m.purpose, m.body, m.status, q.lane, n.pool
	FROM smsflow.message m JOIN smsflow.outbox o USING (message_id) LEFT JOIN smsflow.queue q USING (queue_id) LEFT JOIN smsflow.sender n USING (sender_id)
	WHERE m.phone LIKE '+120255501%' AND m.purpose IN ('compliance', 'conversational') ORDER BY message_id;
SELECT pg_temp.in('cb_kannel', 'from=12025550171&to=12025550100&text=Stop.&id=k1') AS stop, pg_temp.in('cb_kannel', 'from=12025550171&to=12025550100&text=Stop.&id=k1') AS repeat,
	pg_temp.in('cb_kannel', 'from=%2B12025550171&to=12025550100&text=STOP&id=k2') AS again;
SELECT * FROM heard;
SELECT * FROM answered;
SELECT p.purpose, c.allowed, c.reason FROM unnest('{otp,transactional,conversational,cart,promotional}'::text[]) AS p (purpose), smsflow.can_send('+12025550171', p.purpose) c;
SELECT e.kind, e.source, e.words, e.purposes FROM smsflow.consent_event e JOIN smsflow.contact c USING (contact_id)
	WHERE c.phone::text = '+12025550171' ORDER BY consent_event_id OFFSET 1;

-- START gives back what was there, and nothing to somebody who never agreed.
SELECT pg_temp.in('cb_kannel', 'from=12025550171&to=12025550100&text=START&id=k3'), pg_temp.in('cb_kannel', 'from=12025550181&to=12025550100&text=START&id=k4');
SELECT p.purpose, c.allowed FROM unnest('{transactional,promotional}'::text[]) AS p (purpose), smsflow.can_send('+12025550171', p.purpose) c;
SELECT c.allowed, c.reason FROM smsflow.can_send('+12025550181', 'promotional') c;

-- Words that may mean STOP end marketing only; a stranger's STOP is kept for later.
SELECT pg_temp.in('cb_json', 'from=%2B12025550172&text=wrong+number'), pg_temp.in('cb_json', 'from=%2B12025550182&text=stop');
SELECT p.purpose, c.allowed FROM unnest('{transactional,promotional}'::text[]) AS p (purpose), smsflow.can_send('+12025550172', p.purpose) c;
SELECT smsflow.subscribe('+12025550182', '{promotional}', 'import', occurred_at => '2020-01-01') > 0 AS imported;
SELECT c.allowed, c.reason FROM smsflow.can_send('+12025550182', 'promotional') c;

-- HELP, YES, and what a person has to read.
SELECT pg_temp.in('cb_kannel', 'from=12025550173&to=12025550100&text=help'), pg_temp.in('cb_kannel', 'from=12025550173&to=12025550100&text=help'),
	pg_temp.in('cb_kannel', 'from=12025550173&to=12025550100&text=YES'), pg_temp.in('cb_kannel', 'from=12025550173&to=12025550100&text=Where+is+it%3F');
SELECT e.kind, e.level FROM smsflow.consent_event e JOIN smsflow.contact c USING (contact_id) WHERE c.phone::text = '+12025550173' ORDER BY consent_event_id OFFSET 1;
SELECT inbound_id AS question FROM smsflow.inbound WHERE phone::text = '+12025550173' AND action = 'none' \gset
SELECT smsflow.reply(:question, 'It comes tomorrow') > 0 AS replied;
SELECT smsflow.reply(0, 'Hello?');
SELECT * FROM answered;

-- Kannel hands on other alphabets as octets; a sender without a number, or a wrong URL, is refused.
SELECT pg_temp.in('cb_kannel', 'from=12025550174&to=12025550100&charset=UTF-16BE&text=%04%1F%04%40%048%042%045%04B%00+%D8%3D%DE%00'),
	pg_temp.in('cb_kannel', 'from=12025550174&to=12025550100&charset=UTF-16BE&text=%04%21%04%42%04%3E%04%3F'),
	pg_temp.in('cb_kannel', 'from=12025550174&to=12025550100&charset=UTF-8&text=%C2%A1Ol%C3%A9%21'),
	pg_temp.in('cb_kannel', 'from=INFO&text=STOP'), pg_temp.in('cb_kannel', 'text=STOP'),
	pg_temp.get('/in/cb_kannel/00000000000000000000000000000000', 'from=12025550174&text=STOP');
SELECT * FROM heard WHERE phone::text > '+12025550171';

-- A STOP is taken with half a character or a zero in its JSON, behind what is no reply, and however its number is written.
BEGIN;
SELECT smsflow.add_gateway('cb_list', 'infobip', 'https://list.example.com') > 0 AS added;
CREATE FUNCTION pg_temp.post_reply(gateway text, body bytea) RETURNS integer LANGUAGE sql AS
	$$SELECT status FROM format('/in/%s', gateway) AS p, smsflow.receive_callback(gateway, 'POST', p || '/' || smsflow.callback_mac(p), '', '{"content-type": "application/json"}', body)$$;
SELECT string_agg(pg_temp.post_reply('cb_json', format('{"from": "%s", "to": "+12025550100", "text": "STOP%s", "id": "j%s"}', f.number, f.rest, f.n)::bytea)::text, ' ' ORDER BY f.n)
FROM (VALUES (1, '+12025550190', '\\u0000'), (2, '+12025550191', ' \\ud83d'), (3, '+12025550192', ' \\ude00\\ud83d\\ude00'), (4, '+12025550193', ' \351'),
	(5, '+12025550194', '\012--\012Ann'), (6, '+12025550195', ' \\'''), (7, '0012025550196', ''), (8, 'tel:+12025550197', '')) AS f (n, number, rest);
SELECT pg_temp.post_reply('cb_list', '{"results": [{"messageId": "1", "from": "INFO", "text": "STOP"}, 7, {"messageId": "2", "from": "12025550198", "to": "12025550100", "text": "STOP"}]}') AS list;
SELECT phone, body, action FROM heard WHERE phone::text BETWEEN '+12025550190' AND '+12025550199';
ROLLBACK;

-- Nor does a type that the body is not of, or a byte order mark before it.
BEGIN;
SELECT f.n, (SELECT status FROM format('/in/cb_json') AS p, smsflow.receive_callback('cb_json', 'POST', p || '/' || smsflow.callback_mac(p), '', f.headers,
	f.mark || format('{"from": "+1202555019%s", "to": "+12025550100", "text": "STOP", "id": "t%1$s"}', f.n)::bytea)) AS status
FROM (VALUES (0, jsonb '{"content-type": "application/x-www-form-urlencoded"}', ''::bytea), (1, '{"content-type": ""}', ''), (2, '{}', '\xefbbbf'),
	(3, '{"content-type": "application/json, application/json"}', '\xefbbbf200d0a'), (4, '{"content-type": "text/html"}', ''), (5, '{"content-type": ["x"]}', ''),
	(6, '[1]', ''), (7, '{"content-type": "application/json"}', '\xefbbbfefbbbf'), (8, '{"content-type": "text/html"}', '<')) AS f (n, headers, mark) ORDER BY 1;
SELECT phone, action FROM heard WHERE phone::text BETWEEN '+12025550190' AND '+12025550199';
ROLLBACK;

-- Nor does the length of a list: what a second is not enough for waits for the worker, in order.
BEGIN;
CREATE TEMP TABLE late (phone text, words text, n integer);
INSERT INTO late VALUES ('+12025550194', 'STOP', 1), ('+12025550195', 'STOP', 2), ('+12025550194', 'START', 3);
SELECT count(smsflow.subscribe(phone, '{promotional}', 'web')) FROM unnest('{+12025550194,+12025550195}'::text[]) phone;
DO $$ BEGIN
	WHILE clock_timestamp() < statement_timestamp() + interval '1 second' LOOP
	END LOOP;
	PERFORM pg_temp.in('cb_json', format('from=%s&to=12025550100&text=%s&id=l%s', ltrim(phone, '+'), words, n)) FROM late ORDER BY n;
END $$;
SELECT phone, action, waiting FROM smsflow.inbound WHERE phone::text BETWEEN '+12025550194' AND '+12025550195' ORDER BY inbound_id;
SELECT smsflow.obey_waiting(1) <= clock_timestamp() AS more, smsflow.obey_waiting(100) IS NULL AS done;
SELECT c.phone, string_agg(e.kind, ' ' ORDER BY consent_event_id) FROM smsflow.consent_event e JOIN smsflow.contact c USING (contact_id)
	WHERE c.phone::text BETWEEN '+12025550194' AND '+12025550195' GROUP BY 1 ORDER BY 1;
ROLLBACK;

-- Nor does an id cost a STOP that is too long for an index; the gateway's repeat of it is known.
BEGIN;
CREATE FUNCTION pg_temp.long_id(n integer) RETURNS text LANGUAGE sql AS $$SELECT n || string_agg(md5((n * 1000 + i)::text), '') FROM generate_series(1, 800) i$$;
SELECT string_agg(r.status::text, ' ' ORDER BY r.ordinal) FROM (SELECT array_agg(p || '/' || smsflow.callback_mac(p)) AS paths,
		array_agg(format('from=1202555017%s&to=12025550100&text=STOP&id=%s', 5 + n, CASE WHEN n = 2 THEN 'short' ELSE pg_temp.long_id(n) END) ORDER BY n) AS queries
	FROM generate_series(1, 3) n, format('/in/cb_kannel') p) q,
	smsflow.receive_callbacks('{cb_kannel,cb_kannel,cb_kannel}', '{GET,GET,GET}', q.paths, q.queries, ARRAY['{}', '{}', '{}']::jsonb[], ARRAY['', '', '']::bytea[]) r;
SELECT pg_temp.in('cb_kannel', 'from=12025550176&to=12025550100&text=STOP&id=' || pg_temp.long_id(1)) AS repeat;
SELECT phone, action, length(provider_id), provider_id = smsflow.short_id(CASE phone::text WHEN '+12025550176' THEN pg_temp.long_id(1) WHEN '+12025550177' THEN 'short'
	ELSE pg_temp.long_id(3) END) AS its_own FROM heard WHERE phone::text BETWEEN '+12025550176' AND '+12025550178';
ROLLBACK;

-- It ends what the brand sends from the number that it went to, though another brand has written since.
BEGIN;
SELECT smsflow.create_brand('cb_other') > 0 AS created;
SELECT smsflow.add_sender('+12025550101', 'cb_kannel', pool => 'cb_other') > 0 AS added;
SELECT count(smsflow.subscribe('+12025550199', brand => b)) FROM unnest('{default,cb_other}'::text[]) AS b;
CREATE TEMP TABLE left_us AS SELECT smsflow.send('+12025550199', 'Sale', 'promotional', brand => b, pool => p) AS message_id, p AS pool, now() + h * interval '1 hour' AS at
	FROM (VALUES ('default', 'cb_pool', 1), ('cb_other', 'cb_other', 2)) AS v (b, p, h);
INSERT INTO smsflow.attempt (message_id, finished_at, generation, sender_id, attempt, wire, outcome)
	SELECT l.message_id, l.at, 1, s.sender_id, 1, 'yes', 'accepted' FROM left_us l JOIN smsflow.sender s USING (pool);
INSERT INTO smsflow.touch (contact_id, sent_at, message_id, purpose, subject)
	SELECT o.contact_id, l.at, o.message_id, o.purpose, '' FROM left_us l JOIN smsflow.outbox o USING (message_id);
SELECT pg_temp.in('cb_kannel', 'from=12025550199&to=12025550100&text=STOP&id=b1') AS stop;
SELECT b AS brand, c.allowed, c.reason FROM unnest('{default,cb_other}'::text[]) AS b, smsflow.can_send('+12025550199', 'promotional', brand => b) c;
ROLLBACK;

-- An answer that could fail would keep a STOP from being recorded: it is refused when it is written.
BEGIN;
SAVEPOINT a;
UPDATE smsflow.auto_reply SET body = 'Bye {{first_name}}' WHERE action = 'opt_out';
ROLLBACK TO a;
UPDATE smsflow.auto_reply SET body = 'Bye {{first_name' WHERE action = 'opt_out';
ROLLBACK TO a;
UPDATE smsflow.auto_reply SET body = repeat('x', 1000) WHERE action = 'opt_out';
ROLLBACK TO a;
INSERT INTO smsflow.auto_reply (action, language, body) VALUES ('help', 'de', 'Hallo {{first_name|du}}, hier ist {{brand|unser Laden}}. STOP beendet.');
UPDATE smsflow.contact SET language = 'de-AT', first_name = 'Eva' WHERE phone::text = '+12025550175';
SELECT pg_temp.in('cb_json', 'from=12025550175&text=HELP');
SELECT body FROM answered WHERE phone = '+12025550175';
ROLLBACK;

SELECT smsflow.resume_rule('window') AND smsflow.resume_rule('consent_level', 'US') AND smsflow.resume_rule('cart_once', 'US') AS resumed;
