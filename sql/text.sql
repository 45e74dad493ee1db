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
