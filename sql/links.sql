-- Short links: codes, where they lead, clicks and their class.
SELECT smsflow.suspend_rule(kind) FROM unnest('{window,cap,subject_cap}'::text[]) kind;
SELECT smsflow.create_brand('Linked') > 0 AS made;
SELECT count(smsflow.subscribe('+120255502' || n, '{transactional,promotional}', level => 'written', external_id => 'link ' || n, brand => 'Linked')) AS people
	FROM unnest('{81,82,83}'::text[]) n;
CREATE FUNCTION pg_temp.sent(body text, vars jsonb DEFAULT '{}') RETURNS bigint LANGUAGE sql AS
	$$SELECT smsflow.send('+12025550281', body, 'transactional', vars => vars, brand => 'Linked')$$;
CREATE FUNCTION pg_temp.shown(message bigint) RETURNS text LANGUAGE sql AS
	$$SELECT regexp_replace(body, '/[1-9A-HJ-NP-Za-km-z]{8}(?![A-Za-z0-9])', '/<code>', 'g') || ' (' || parts || ')' FROM smsflow.outbox WHERE message_id = message$$;
CREATE FUNCTION pg_temp.code(message bigint, n integer DEFAULT 1) RETURNS text LANGUAGE sql AS $$SELECT smsflow.link_code(message, n)$$;

-- Without a domain a URL stays as it is.
SELECT pg_temp.shown(pg_temp.sent('Look: {{url|link}}', '{"url": "https://shop.example/a"}'));
SELECT links FROM smsflow.outbox ORDER BY message_id DESC LIMIT 1;
\set VERBOSITY sqlstate
SELECT smsflow.link_code(1, 1);
SELECT smsflow.set_link_domain('go.linked.example/path', brand => 'Linked');
SELECT smsflow.set_link_domain('go.linked.example', valid_for => '-1 day', brand => 'Linked');
SELECT smsflow.set_link_domain('shop', brand => 'Linked');
SELECT smsflow.set_link_domain('go.linked.example', 'utm_id={{nobody}}', brand => 'Linked');
SELECT smsflow.set_link_domain('go.linked.example', 'utm_id={{source', brand => 'Linked');
SELECT smsflow.set_link_domain('go.linked.example', brand => 'No such brand');
\set VERBOSITY default
SELECT * FROM smsflow.resolve_links('{AbCdEfGh,nonsense}');

-- With one, each message has links of its own, whose length counts.
SELECT smsflow.set_link_domain('https://go.linked.example/', '?utm_source=sms&utm_campaign={{source}}&utm_content={{link}}', brand => 'Linked');
SELECT pg_temp.sent('Look: {{url|link}} or {{other|https://shop.example/b?x=1#top|link}}', '{"url": "https://shop.example/a?utm_campaign=own"}') AS first \gset
SELECT pg_temp.sent('{{url|link}}', '{"url": "https://shop.example/a"}') AS second \gset
SELECT pg_temp.shown(:first), pg_temp.shown(:second);
SELECT links FROM smsflow.outbox WHERE message_id = :first;
SELECT body = format('Look: https://go.linked.example/%s or https://go.linked.example/%s', pg_temp.code(:first), pg_temp.code(:first, 2)) AS coded,
	pg_temp.code(:first) <> pg_temp.code(:second) AS own FROM smsflow.outbox WHERE message_id = :first;
SELECT (smsflow.read_code(pg_temp.code(:first, 2))).message_id = :first AS message, (smsflow.read_code(pg_temp.code(:first, 2))).link;
SELECT smsflow.read_code('callback'), smsflow.read_code('');
SELECT parts FROM smsflow.message_parts(repeat('x', 126) || 'https://go.linked.example/AbCdEfGh');
SELECT pg_temp.shown(pg_temp.sent(repeat('x', 126) || '{{url|link}}', ('{"url": "https://shop.example/' || repeat('a', 200) || '"}')::jsonb));
SELECT pg_temp.shown(pg_temp.sent(repeat('x', 127) || '{{url|link}}', '{"url": "https://shop.example/a"}'));

-- Only web addresses, and not more than eight.
\set VERBOSITY sqlstate
SELECT pg_temp.sent('{{url|link}}', '{"url": "javascript:alert(1)"}');
SELECT pg_temp.sent('{{url|link}}', '{"url": "https://shop.example/a b"}');
SELECT pg_temp.sent('{{url|link}}', '{"url": "https://"}');
SELECT pg_temp.sent(repeat('{{url|link}} ', 9), '{"url": "https://shop.example/a"}');
\set VERBOSITY default
SELECT pg_temp.shown(pg_temp.sent('{{url|https://shop.example/default|link}}', '{"url": ""}'));

-- Where they lead.
SELECT r.ordinal, r.status, r.url, r.expires_at > now() + interval '89 days' AS later
	FROM smsflow.resolve_links(ARRAY[pg_temp.code(:first), pg_temp.code(:first, 2), pg_temp.code(:first, 3), 'AbCdEfGh', 'nonsense', '', pg_temp.code(:second)]) r;
SELECT smsflow.set_link_domain('https://go.linked.example', valid_for => '1 microsecond', brand => 'Linked');
SELECT ordinal, status, url FROM smsflow.resolve_links(ARRAY[pg_temp.code(:first)]);
SELECT smsflow.set_link_domain('https://go.linked.example', valid_for => NULL, brand => 'Linked');
SELECT * FROM smsflow.resolve_links(ARRAY[pg_temp.code(:first), pg_temp.code(:second)]);
SELECT link, url, expires_at FROM smsflow.recent_links(:first - 1, :first + 10, 2) r CROSS JOIN LATERAL (SELECT (smsflow.read_code(r.code)).link) c ORDER BY message_id, link;
SELECT smsflow.with_query(u, 'a=1&b=2') FROM unnest('{https://x.example,https://x.example/?b=3#a=1,https://x.example/p?c=4&,https://x.example/?a=&b=}'::text[]) u;

-- A campaign: one code for each recipient.
SELECT smsflow.create_segment('linked', 'external_id LIKE ''link %''', brand => 'Linked') > 0 AS made;
SELECT smsflow.add_gateway('linked', 'generic_json', 'https://sms.example') > 0 AS gateway, smsflow.add_sender('+14155550176', 'linked', pool => 'linked') > 0 AS sender;
SELECT smsflow.create_campaign('linked sale', 'linked', 'Linked sale: {{offer|https://shop.example/sale|link}} Reply STOP to end', options => '{"pool": "linked"}', brand => 'Linked') > 0 AS made;
SELECT DISTINCT body, parts FROM smsflow.preview_campaign('linked sale', brand => 'Linked');
SELECT smsflow.launch_campaign('linked sale', brand => 'Linked');
SELECT count(smsflow.advance_campaigns(1000)) >= 0 AS expanded FROM generate_series(1, 20);
SELECT count(DISTINCT code) AS codes, count(DISTINCT message_id) AS messages, min(target) AS target, max(url) = min(target) AS same,
	bool_and(EXISTS (SELECT FROM smsflow.outbox o WHERE o.message_id = l.message_id AND o.body LIKE '%go.linked.example/' || l.code || ' Reply%')) AS in_texts
	FROM smsflow.link l WHERE campaign = 'linked sale';

-- Clicks. As if the messages had left a minute ago.
INSERT INTO smsflow.attempt (message_id, finished_at, generation, attempt, wire, outcome)
	SELECT message_id, clock_timestamp() - interval '1 minute', 0, 1, 'yes', 'accepted' FROM smsflow.outbox o JOIN smsflow.campaign USING (campaign_id) WHERE name = 'linked sale';
CREATE TEMP TABLE sale AS SELECT l.message_id, l.code, right(c.phone::text, 2) AS who FROM smsflow.link l JOIN smsflow.contact c USING (contact_id) WHERE campaign = 'linked sale';
CREATE FUNCTION pg_temp.click(who text, agent text, address text DEFAULT '192.0.2.1', method text DEFAULT 'GET', headers jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
	SELECT f.status || coalesce(' ' || f.location, '') FROM sale s CROSS JOIN LATERAL smsflow.follow_link(s.code, method, headers || jsonb_build_object('user-agent', agent), address) f
	WHERE s.who = click.who
$$;
CREATE TEMP VIEW figures AS SELECT clicks, clickers FROM smsflow_bi.campaign_totals WHERE campaign = 'linked sale';
SELECT pg_temp.click('81', 'Mozilla/5.0 (iPhone) Safari/605.1');
SELECT pg_temp.click('81', 'Mozilla/5.0 (iPhone) Safari/605.1');
SELECT pg_temp.click('82', 'Mozilla/5.0 (Macintosh) Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0');
SELECT pg_temp.click('82', 'Mozilla/5.0 (Linux; Android) Chrome/120', method => 'HEAD');
SELECT pg_temp.click('82', 'Mozilla/5.0 (Linux; Android) Chrome/120', headers => '{"sec-purpose": "prefetch;prerender"}');
SELECT pg_temp.click('82', 'curl/8.5');
SELECT pg_temp.click('82', NULL);
SELECT pg_temp.click('82', '');
SELECT pg_temp.click('82', 'Mozilla/5.0', method => 'POST');
SELECT right(c.phone::text, 2) AS who, k.class, k.rule, k.network, k.agent IS NOT NULL AS agent FROM smsflow.click k JOIN smsflow.contact c USING (contact_id) JOIN sale USING (message_id) ORDER BY click_id;
SELECT * FROM figures;
SELECT right(c.phone::text, 2) AS who, p.clicks_7d, p.last_click_at IS NOT NULL AS clicked FROM smsflow.profile p JOIN smsflow.contact c USING (contact_id) JOIN sale ON who = right(c.phone::text, 2) WHERE c.brand_id = (SELECT brand_id FROM smsflow.brand WHERE name = 'Linked') ORDER BY 1;
-- A crowd on one link is a program, and what was taken for a person before is not any more.
SELECT pg_temp.click('83', 'Mozilla/5.0 A', '198.51.100.1'), pg_temp.click('83', 'Mozilla/5.0 A', '2001:db8::1');
SELECT * FROM figures;
SELECT pg_temp.click('83', 'Mozilla/5.0 A', '203.0.113.9');
SELECT class, rule, network FROM smsflow.click JOIN sale USING (message_id) WHERE who = '83' ORDER BY click_id;
SELECT * FROM figures;
-- Too soon, and before the message has left.
UPDATE smsflow.attempt SET finished_at = clock_timestamp() + interval '1 minute' WHERE message_id IN (SELECT message_id FROM sale);
SELECT pg_temp.click('81', 'Mozilla/5.0 B');
DELETE FROM smsflow.attempt WHERE message_id IN (SELECT message_id FROM sale);
SELECT pg_temp.click('81', 'Mozilla/5.0 C');
SELECT agent, class, rule FROM smsflow.click JOIN sale USING (message_id) WHERE agent IN ('Mozilla/5.0 B', 'Mozilla/5.0 C') ORDER BY 1;
SELECT smsflow.follow_link('AbCdEfGh', 'GET', '{}', 'x'), smsflow.follow_link(NULL, 'GET', '{}', NULL), smsflow.record_clicks('[{"code": "AbCdEfGh", "method": "GET", "at": 1}, {"code": "nonsense"}]');
SELECT smsflow.click_network(a) FROM unnest('{192.0.2.77,2001:db8:1:2::3,999.1.1.1,::1/64,::ffff:192.0.2.78,::ffff:c000:24f,"192.0.2.1 ","",unknown}'::text[]) a;

-- Rules are rows.
INSERT INTO smsflow.click_rule (kind, value, class) VALUES ('agent', 'OurMonitor', 'scanner'), ('soon', '5 seconds', 'scanner');
SELECT (smsflow.click_class('GET', 'Mozilla/5.0 ourmonitor/1', false, '1 hour')).*, (smsflow.click_class('GET', 'Mozilla/5.0', false, '4 seconds')).rule;
\set VERBOSITY sqlstate
INSERT INTO smsflow.click_rule (kind, value, class) VALUES ('soon', 'a while', 'scanner');
INSERT INTO smsflow.click_rule (kind, value, class) VALUES ('networks', '1 per 10 seconds', 'scanner');
\set VERBOSITY default
