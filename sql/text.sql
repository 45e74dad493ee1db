--
-- Texts: parts, replacement characters, templates, replies
--
SET search_path = public, smsflow;
SET client_encoding = 'UTF8';

-- size of a text
SELECT id, p.* FROM (VALUES
	(1, ''), (2, 'Hello'), (3, repeat('a', 160)), (4, repeat('a', 161)), (5, repeat('€', 80)), (6, repeat('€', 81)),
	(7, 'Привет'), (8, repeat('ж', 70)), (9, repeat('ж', 71)), (10, repeat('😀', 35)), (11, repeat('😀', 36))
) t (id, body), smsflow.message_parts(body) p ORDER BY id;
SELECT * FROM smsflow.message_parts(NULL);

-- typographic characters that look like GSM ones
SELECT smsflow.smart_encode('“It’s back” – don’t wait…');
SELECT (smsflow.message_parts(body)).encoding, (smsflow.message_parts(smsflow.smart_encode(body))).encoding
	FROM (VALUES ('“It’s back”')) t (body);
SELECT smsflow.smart_encode('“Привет”') AS stays_as_it_is;
SELECT smsflow.smart_encode('');

-- templates
SELECT smsflow.render('Hi {{first_name|there}}, {{cart.items.0.title}} for {{cart.total}} is waiting: {{cart.paid}}',
	'{"first_name": "Zoë", "cart": {"items": [{"title": "Red étoile"}], "total": 12.50, "paid": false}}');
SELECT smsflow.render('Hi {{first_name|there}}', vars)
	FROM unnest('{"{}","{\"first_name\": null}","{\"first_name\": \"\"}","{\"first_name\": \"  \"}","{\"first_name\": {}}"}'::jsonb[]) vars;
SELECT smsflow.render('{{a}} {{b}}', '{"a": "{{b}}", "b": "x\ty\u0007z"}') AS values_are_text;
SELECT smsflow.render('{{0}}{{1.0}}', '["a", ["b"]]');
SELECT smsflow.render('No variables', '{}'), smsflow.render('Hi', NULL) IS NULL AS unknown_stays_unknown;
\set VERBOSITY sqlstate
SELECT smsflow.render('Hi {{first_name}}', '{}');
SELECT smsflow.render('Hi {{first_name}}', '"first_name"');
SELECT smsflow.render('{{items.2}}', '{"items": ["a", "b"]}');
SELECT smsflow.render('{{items.4294967296}}', '{"items": ["a", "b"]}');
SELECT smsflow.render('{{items.x}}', '{"items": ["a", "b"]}');
SELECT smsflow.render('{{items}}', '{"items": ["a", "b"]}');
SELECT smsflow.render('Hi {{first_name', '{"first_name": "Ada"}');
SELECT smsflow.render('Hi {{}}', '{}');
SELECT smsflow.render('Hi {{a {{b}}}}', '{}');
SELECT smsflow.render('Hi {{first name}}', '{}');
-- the error names the variable and its place
\set VERBOSITY default
SELECT smsflow.render('Zoë: {{cart.total}}', '{"cart": {}}');
SELECT smsflow.render('Zoë: {{cart..total}}', '{"cart": {}}');

-- replies
SELECT id, r.* FROM (VALUES
	(1, 'STOP'), (2, ' stop. '), (3, 'START'), (4, 'HELP'), (5, 'Thanks, it arrived'), (6, '')
) t (id, body), smsflow.classify_reply(body) r ORDER BY id;
CREATE FUNCTION pg_temp.template_error(body text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	code text;
	detail text;
BEGIN
	PERFORM smsflow.render(body, '{"a": 1}');
	RETURN 'rendered';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' ', code, SQLERRM, detail);
END $$;
-- Filters, dates in the recipient's zone, and parts that depend on a condition.
SELECT smsflow.render(body, '{"name": "ada lovelace", "total": 1234.5, "at": "2026-03-01T23:30:00Z", "day": "2026-03-01", "vip": true, "note": "x",
	"_time_zone": "Europe/Oslo", "items": []}') FROM unnest(ARRAY['{{name|title}} {{name|upper}} {{total|money:EUR}}', '{{at|date}} {{at|date:HH24:MI}} {{day|date:DD.MM.YYYY}} {{note|date}}',
	'{{#if vip}}VIP{{else}}no{{/if}} {{#unless items}}nothing{{/unless}}', '{{missing|someone|title}}']) AS body;
SELECT smsflow.render('{{at|date:HH24}}', '{"at": "2026-03-01T23:30:00Z", "_time_zone": "Nowhere/Land"}');
SELECT body, pg_temp.template_error(body) FROM unnest(ARRAY['{{a|b|c}}', '{{a|trunc:3}}', '{{a|truncate:x}}', '{{#if a}}b', '{{/if}}', '{{#each a}}{{/each}}']) AS body;
SELECT smsflow.render('{{a}}', jsonb_build_object('a', repeat('x', 70000)));
SELECT length(smsflow.render('{{a|truncate:100}}', jsonb_build_object('a', repeat('x', 70000))));

-- A database of SQL_ASCII holds any bytes. What is not UTF-8 is read as ISO 8859-1: it stops no campaign, and a STOP with a stray byte is one.
SELECT current_database() AS home \gset
CREATE DATABASE regress_smsflow_bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C';
\c regress_smsflow_bytes
\encoding SQL_ASCII
CREATE EXTENSION smsflow;
SELECT * FROM smsflow.message_parts(E'caf\xe9');
SELECT action FROM unnest(ARRAY[E'STOP\xff', E'ARR\xcaT', E'ARR\xc3\x8aT']) AS body, smsflow.classify_reply(body);
SELECT smsflow.smart_encode(E'\xab\x20x') = E'"\x20x' AS smart, smsflow.render(E'caf\xc3\xa9 {{name}}', jsonb_build_object('name', E'Ren\xe9')) = E'caf\xc3\xa9 Ren\xc3\xa9' AS each_by_itself;
SELECT count(smsflow.subscribe(phone, '{promotional}', level => 'written', attributes => jsonb_build_object('first_name', name)))
	FROM (VALUES ('+442079460301', E'Ren\xe9'), ('+442079460302', 'Ann')) AS v (phone, name);
SELECT smsflow.create_segment('all', 'true') > 0 AND smsflow.create_campaign('bytes', 'all', 'Hi {{first_name}}. Reply STOP to end') > 0 AS made;
SELECT body = E'Hi Ren\xc3\xa9. Reply STOP to end' AS converted, parts, refusal FROM smsflow.preview_campaign('bytes') ORDER BY contact_id;
SELECT smsflow.add_gateway('bytes', 'kannel', 'http://127.0.0.1:1', '{"username": "x"}') > 0 AS added;
INSERT INTO smsflow.secret (name, value) VALUES ('callback_key', 'regress');
SELECT status FROM smsflow.receive_callback('bytes', 'GET', '/in/bytes/' || smsflow.callback_mac('/in/bytes'),
	'from=%2B442079460301&to=%2B442079460300&text=STOP%FF&id=1', '{}', '');
SELECT i.action, i.body = E'STOP\xc3\xbf' AS converted, c.allowed, c.reason FROM smsflow.inbound i, smsflow.can_send('+442079460301', 'promotional') c;
\c :home
DROP DATABASE regress_smsflow_bytes;
