-- Short links: where they are, where they lead, and who clicked. Re-runnable.

-- ---- codes ----

CREATE OR REPLACE FUNCTION smsflow.link_code(message_id bigint, link integer) RETURNS text
	LANGUAGE c STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'smsflow_pg_link_code';
COMMENT ON FUNCTION smsflow.link_code(bigint, integer) IS 'Code of a link of a message, counted from 1. Errors: SF008 before the first set_link_domain()';
REVOKE ALL ON FUNCTION smsflow.link_code(bigint, integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.write_codes(body text, message_id bigint) RETURNS text
	LANGUAGE c STABLE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'smsflow_write_codes';
COMMENT ON FUNCTION smsflow.write_codes(text, bigint) IS 'Text of a message with the codes of its links in their places; its length stays. Errors: SF008 before the first set_link_domain()';
REVOKE ALL ON FUNCTION smsflow.write_codes(text, bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.read_code(code text, OUT message_id bigint, OUT link smallint)
	LANGUAGE c STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'smsflow_pg_read_code';
COMMENT ON FUNCTION smsflow.read_code(text) IS 'Message and link that a code stands for, whether they exist or not; NULLs for what is no code. Errors: SF008 before the first set_link_domain()';
REVOKE ALL ON FUNCTION smsflow.read_code(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.escape_url(value text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_pg_escape_url';
COMMENT ON FUNCTION smsflow.escape_url(text) IS 'Text as a value in a URL (RFC 3986): everything but unreserved characters is %XX';
REVOKE ALL ON FUNCTION smsflow.escape_url(text) FROM PUBLIC;

-- ---- the domain of a brand ----

CREATE OR REPLACE FUNCTION smsflow.set_link_domain(base_url text, query text DEFAULT '', valid_for interval DEFAULT '90 days', brand text DEFAULT 'default') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	its_brand CONSTANT integer := smsflow.brand_named(set_link_domain.brand);
	missing CONSTANT text := (SELECT r.missing FROM smsflow.render_message(coalesce(set_link_domain.query, ''),
		smsflow.link_vars('', '', '', 0::smallint, 0::smallint, 'promotional', 1)) AS r);
BEGIN
	IF missing IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('the query of links has no variable "%s"', missing),
			DETAIL = 'Variables are brand, source, campaign, sequence, step, variant, purpose and link.', HINT = 'Write for example utm_source=sms&utm_campaign={{source}}.';
	END IF;
	INSERT INTO smsflow.link_key (key) VALUES (smsflow.random_key()) ON CONFLICT DO NOTHING;
	INSERT INTO smsflow.link_domain AS d (brand_id, base_url, query, valid_for)
	VALUES (its_brand, rtrim(lower(set_link_domain.base_url), '/'), ltrim(coalesce(set_link_domain.query, ''), '?&'), set_link_domain.valid_for)
	ON CONFLICT (brand_id) DO UPDATE SET base_url = excluded.base_url, query = excluded.query, valid_for = excluded.valid_for;
EXCEPTION WHEN check_violation OR not_null_violation THEN
	RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'links cannot be set up like this',
		DETAIL = 'The domain is not one, or the time is not positive.', HINT = 'Pass a domain such as https://go.shop.example, without a path, and a time such as 90 days.';
END $$;
COMMENT ON FUNCTION smsflow.set_link_domain(text, text, interval, text) IS
'Says where the short links of a brand are, such as https://go.shop.example, which has to lead to smsflowd (or to follow_link()): from then on {{url|link}} in a text is a link of its own for each recipient. query is added to the query of each target, as in utm_source=sms&utm_campaign={{source}}, unless it has a parameter of the same name; its variables are brand, campaign, sequence, source (campaign, else sequence, else purpose), step, variant, purpose and link (its number in the message). valid_for is how long a link works, NULL as long as its message is kept. Links that are out keep working on the domain that they name, with the new query and time. Errors: SF003 and SF007 for a query, SF004 unknown brand, SF007 no domain';
REVOKE ALL ON FUNCTION smsflow.set_link_domain(text, text, interval, text) FROM PUBLIC;

-- ---- where a link leads ----

CREATE OR REPLACE FUNCTION smsflow.link_vars(brand text, campaign text, sequence text, step smallint, variant smallint, purpose smsflow.purpose, link integer) RETURNS jsonb
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	RETURN jsonb_build_object('brand', smsflow.escape_url(brand), 'campaign', coalesce(smsflow.escape_url(campaign), ''),
		'sequence', coalesce(smsflow.escape_url(sequence), ''), 'source', smsflow.escape_url(coalesce(campaign, sequence, purpose::text)),
		'step', coalesce(step::text, ''), 'variant', coalesce(variant::text, ''), 'purpose', purpose, 'link', link);
COMMENT ON FUNCTION smsflow.link_vars(text, text, text, smallint, smallint, smsflow.purpose, integer) IS 'Variables of the query of links, escaped for a URL';
REVOKE ALL ON FUNCTION smsflow.link_vars(text, text, text, smallint, smallint, smsflow.purpose, integer) FROM PUBLIC;

-- A parameter that the store wrote itself wins.
CREATE OR REPLACE FUNCTION smsflow.with_query(url text, query text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN added IS NULL THEN url
		ELSE page || CASE WHEN strpos(page, '?') = 0 THEN '?' WHEN page ~ '[?&]$' THEN '' ELSE '&' END || added || substr(url, length(page) + 1) END
	FROM split_part(url, '#', 1) AS page
	CROSS JOIN LATERAL (SELECT string_agg(p.parameter, '&' ORDER BY p.n) AS added
		FROM string_to_table(query, '&') WITH ORDINALITY AS p (parameter, n)
		WHERE p.parameter <> '' AND strpos(replace(page, '?', '&'), '&' || split_part(p.parameter, '=', 1) || '=') = 0) AS a
$$;
COMMENT ON FUNCTION smsflow.with_query(text, text) IS 'URL with parameters added to its query, but for those that it has';
REVOKE ALL ON FUNCTION smsflow.with_query(text, text) FROM PUBLIC;

CREATE OR REPLACE VIEW smsflow.link AS
SELECT smsflow.link_code(o.message_id, n.link::integer) AS code, o.message_id, n.link::smallint AS link, b.name AS brand, o.contact_id,
	k.name AS campaign, s.name AS sequence, o.step, o.variant, o.purpose, n.url AS target, d.base_url, o.created_at,
	o.created_at + d.valid_for AS expires_at,
	CASE WHEN d.query = '' THEN n.url ELSE smsflow.with_query(n.url,
		smsflow.render(d.query, smsflow.link_vars(b.name, k.name, s.name, o.step, o.variant, o.purpose, n.link::integer))) END AS url
FROM smsflow.outbox AS o
JOIN smsflow.brand AS b USING (brand_id)
JOIN smsflow.link_domain AS d USING (brand_id)
CROSS JOIN LATERAL unnest(o.links) WITH ORDINALITY AS n (url, link)
LEFT JOIN smsflow.campaign AS k USING (campaign_id)
LEFT JOIN smsflow.sequence AS s ON s.sequence_id = o.sequence_id
WHERE o.links IS NOT NULL;
COMMENT ON VIEW smsflow.link IS 'Short links that are in messages. To find the one of a code, look for the message_id and link of read_code()';
COMMENT ON COLUMN smsflow.link.target IS 'URL as the template had it';
COMMENT ON COLUMN smsflow.link.url IS 'Where it leads: the target with the query of set_link_domain()';
COMMENT ON COLUMN smsflow.link.expires_at IS 'From when on it answers 410; NULL: never';

CREATE OR REPLACE FUNCTION smsflow.resolve_links(codes text[]) RETURNS TABLE (ordinal integer, status integer, url text, expires_at timestamptz)
	LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
	SELECT c.ordinal::integer, CASE WHEN l.url IS NULL THEN 404 WHEN l.expires_at <= clock_timestamp() THEN 410 ELSE 302 END,
		CASE WHEN l.expires_at <= clock_timestamp() THEN NULL ELSE l.url END, l.expires_at
	FROM unnest(resolve_links.codes) WITH ORDINALITY AS c (code, ordinal)
	LEFT JOIN LATERAL (SELECT k.url, k.expires_at FROM smsflow.read_code(c.code) AS r
		JOIN smsflow.link AS k ON k.message_id = r.message_id AND k.link = r.link LIMIT 1) AS l ON true
	WHERE EXISTS (SELECT FROM smsflow.link_key)
	UNION ALL
	SELECT c.ordinal::integer, 404, NULL, NULL FROM unnest(resolve_links.codes) WITH ORDINALITY AS c (code, ordinal)
	WHERE NOT EXISTS (SELECT FROM smsflow.link_key)
	ORDER BY 1
$$;
COMMENT ON FUNCTION smsflow.resolve_links(text[]) IS 'Where these codes lead: status 302 with the URL and until when (NULL: for ever), 410 expired, 404 no such link; ordinal counts from 1';
REVOKE ALL ON FUNCTION smsflow.resolve_links(text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.recent_links(after bigint, before bigint, max_rows integer) RETURNS TABLE (message_id bigint, code text, url text, expires_at timestamptz)
	LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
	SELECT l.message_id, l.code, l.url, l.expires_at
	FROM (SELECT o.message_id FROM smsflow.outbox AS o WHERE o.links IS NOT NULL AND o.message_id > recent_links.after AND o.message_id < recent_links.before
		ORDER BY o.message_id DESC LIMIT recent_links.max_rows) AS newest
	CROSS JOIN LATERAL (SELECT k.* FROM smsflow.link AS k WHERE k.message_id = newest.message_id OFFSET 0) AS l
	WHERE l.expires_at IS NULL OR l.expires_at > clock_timestamp()
	ORDER BY l.message_id DESC
$$;
COMMENT ON FUNCTION smsflow.recent_links(bigint, bigint, integer) IS 'Links of the newest max_rows messages that have any and are between two message ids, newest first: what a receiver keeps in memory';
REVOKE ALL ON FUNCTION smsflow.recent_links(bigint, bigint, integer) FROM PUBLIC;

-- ---- clicks ----

-- The longest pattern of an agent decides.
CREATE OR REPLACE FUNCTION smsflow.click_class(method text, agent text, prefetch boolean, since_sent interval, OUT class text, OUT rule text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT x.class, x.rule FROM (
		SELECT 1, 'scanner', 'head' WHERE click_class.method = 'HEAD'
		UNION ALL SELECT 2, 'preview', 'prefetch' WHERE click_class.prefetch
		UNION ALL (SELECT 3, r.class, r.value FROM smsflow.click_rule AS r
			WHERE r.kind = 'agent' AND strpos(lower(click_class.agent), r.value) > 0 ORDER BY length(r.value) DESC, r.value LIMIT 1)
		UNION ALL SELECT 4, 'unknown', 'no_agent' WHERE coalesce(click_class.agent, '') = ''
		UNION ALL SELECT 5, 'scanner', 'not_sent' WHERE click_class.since_sent IS NULL
		UNION ALL SELECT 6, r.class, 'soon' FROM smsflow.click_rule AS r WHERE r.kind = 'soon' AND click_class.since_sent < r.value::interval
		UNION ALL SELECT 7, 'human', 'none') AS x (place, class, rule)
	ORDER BY x.place LIMIT 1
$$;
COMMENT ON FUNCTION smsflow.click_class(text, text, boolean, interval) IS 'What opened a link, as far as one hit tells; since_sent NULL: before its message left';
REVOKE ALL ON FUNCTION smsflow.click_class(text, text, boolean, interval) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.click_network(address text) RETURNS cidr
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_pg_click_network';
COMMENT ON FUNCTION smsflow.click_network(text) IS 'Network of an address: 24 bits of IPv4, 48 of IPv6; NULL for what is no address';
REVOKE ALL ON FUNCTION smsflow.click_network(text) FROM PUBLIC;

-- Counters move by the difference between before and after, because a crowd on one link also changes what earlier hits of
-- it were taken for. The lock keeps receivers from counting the same first click twice. How many networks are on a link at an
-- instant is a running sum over arrivals (+1) and ends (-1) of their visits, and only clicks within the longest span are read, so
-- that the hits of a batch may all be of one link that half the world opens.
CREATE OR REPLACE FUNCTION smsflow.record_clicks(clicks jsonb) RETURNS integer
	LANGUAGE sql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
	SELECT pg_advisory_xact_lock(hashtextextended('smsflow clicks', 0));
	WITH crowd_rule AS MATERIALIZED (
		SELECT split_part(r.value, ' per ', 1)::integer AS networks, split_part(r.value, ' per ', 2)::interval AS span, r.class
		FROM smsflow.click_rule AS r WHERE r.kind = 'networks'
	), hit AS MATERIALIZED (
		SELECT row_number() OVER () AS n, o.message_id, r.link, o.contact_id, least(to_timestamp(h.at), clock_timestamp()) AS clicked_at, c.class, c.rule,
			nullif(left(h.agent, 200), '') AS agent, smsflow.click_network(h.address) AS network,
			o.brand_id, o.campaign_id, o.sequence_id, o.step, o.variant, o.purpose, a.sender_id
		FROM jsonb_to_recordset(record_clicks.clicks) AS h (code text, method text, at double precision, agent text, prefetch boolean, address text)
		CROSS JOIN LATERAL smsflow.read_code(h.code) AS r
		JOIN smsflow.outbox AS o ON o.message_id = r.message_id AND r.link <= cardinality(o.links)
			AND NOT EXISTS (SELECT FROM smsflow.click AS k WHERE k.message_id = r.message_id AND k.link = r.link AND k.clicked_at = to_timestamp(h.at))
		LEFT JOIN LATERAL (SELECT t.sender_id, t.finished_at FROM smsflow.attempt AS t
			WHERE t.message_id = o.message_id AND t.wire <> 'none' ORDER BY t.finished_at LIMIT 1) AS a ON true
		CROSS JOIN LATERAL smsflow.click_class(h.method, h.agent, h.prefetch, least(to_timestamp(h.at), clock_timestamp()) - a.finished_at) AS c
	), opened AS MATERIALIZED (
		SELECT m.message_id, m.since, EXISTS (SELECT FROM smsflow.click AS k WHERE k.message_id = m.message_id AND k.clicked_at < m.since AND k.class = 'human') AS earlier
		FROM (SELECT h.message_id, min(h.clicked_at) - coalesce((SELECT max(w.span) FROM crowd_rule AS w), '0') AS since FROM hit AS h GROUP BY h.message_id) AS m
	), known AS MATERIALIZED (
		SELECT k.click_id, k.message_id, k.link, k.clicked_at, k.class, k.network
		FROM opened AS o JOIN smsflow.click AS k ON k.message_id = o.message_id AND k.clicked_at >= o.since
	), seen AS MATERIALIZED (
		SELECT w.networks, w.span, w.class, v.*, lag(v.clicked_at) OVER visits AS previous, lead(v.clicked_at) OVER visits AS next
		FROM crowd_rule AS w CROSS JOIN (SELECT h.n, NULL::bigint AS click_id, h.message_id, h.link, h.network, h.clicked_at FROM hit AS h
			UNION ALL SELECT NULL, k.click_id, k.message_id, k.link, k.network, k.clicked_at FROM known AS k) AS v
		WINDOW visits AS (PARTITION BY w.networks, w.span, v.message_id, v.link, v.network ORDER BY v.clicked_at)
	), present AS (
		SELECT e.*, sum(e.step) OVER (PARTITION BY e.networks, e.span, e.message_id, e.link ORDER BY e.at, e.step DESC) AS count
		FROM (SELECT s.*, s.clicked_at AS at, 0 AS step FROM seen AS s
			UNION ALL SELECT s.*, s.clicked_at, 1 FROM seen AS s WHERE s.network IS NOT NULL AND (s.previous < s.clicked_at - s.span) IS NOT FALSE
			UNION ALL SELECT s.*, s.clicked_at + s.span, -1 FROM seen AS s WHERE s.network IS NOT NULL AND (s.next > s.clicked_at + s.span) IS NOT FALSE) AS e
	), crowd AS MATERIALIZED (
		SELECT DISTINCT ON (c.n, c.click_id) c.n, c.click_id, c.class
		FROM (SELECT p.*, min(p.at) FILTER (WHERE p.n IS NOT NULL AND p.count >= p.networks)
				OVER (PARTITION BY p.networks, p.span, p.message_id, p.link ORDER BY p.at DESC) AS until
			FROM present AS p WHERE p.step = 0) AS c
		WHERE c.until <= c.clicked_at + c.span
		ORDER BY c.n, c.click_id, c.span
	), of_crowd AS MATERIALIZED (
		SELECT jsonb_object_agg(c.n, c.class) AS class FROM crowd AS c WHERE c.n IS NOT NULL
	), judged AS MATERIALIZED (
		SELECT h.*, coalesce(w.class, h.class) AS verdict, CASE WHEN w.class IS NOT NULL THEN 'networks' ELSE h.rule END AS reason
		FROM hit AS h LEFT JOIN LATERAL (SELECT o.class ->> h.n::text FROM of_crowd AS o WHERE h.class = 'human') AS w (class) ON true
	), kept AS (
		INSERT INTO smsflow.click (message_id, link, contact_id, clicked_at, class, rule, agent, network)
		SELECT j.message_id, j.link, j.contact_id, j.clicked_at, j.verdict, j.reason, j.agent, j.network FROM judged AS j
	), corrected AS (
		UPDATE smsflow.click AS k SET class = c.class, rule = 'networks' FROM crowd AS c WHERE k.click_id = c.click_id AND k.class = 'human'
		RETURNING k.message_id
	), noted AS (
		INSERT INTO smsflow.profile_delta (contact_id, kind, at)
		SELECT j.contact_id, 'click', j.clicked_at FROM judged AS j WHERE j.verdict = 'human' AND j.contact_id IS NOT NULL
	), changed AS (
		SELECT max(c.brand_id) AS brand_id, max(c.campaign_id) AS campaign_id, max(c.sequence_id) AS sequence_id, max(c.sender_id) AS sender_id,
			max(c.step) AS step, max(c.variant) AS variant, max(c.purpose) AS purpose, sum(c.before) AS before, sum(c.before + c.more) AS after
		FROM (SELECT j.message_id, j.brand_id, j.campaign_id, j.sequence_id, j.sender_id, j.step, j.variant, j.purpose,
				0 AS before, (j.verdict = 'human')::integer AS more FROM judged AS j
			UNION ALL SELECT o.message_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, o.earlier::integer, 0 FROM opened AS o
			UNION ALL SELECT k.message_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1, 0 FROM known AS k WHERE k.class = 'human'
			UNION ALL SELECT r.message_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, -1 FROM corrected AS r) AS c
		GROUP BY c.message_id
	), counted AS (
		INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, variant, purpose, measure, value)
		SELECT date_trunc('hour', clock_timestamp(), 'UTC'), c.brand_id, coalesce(c.campaign_id, 0), coalesce(c.sequence_id, 0), coalesce(c.sender_id, 0),
			coalesce(c.step, 0::smallint), coalesce(c.variant, 0::smallint), c.purpose, v.measure, sum(v.value)
		FROM changed AS c
		CROSS JOIN LATERAL (VALUES ('clicks', c.after - c.before), ('clickers', (c.after > 0)::integer - (c.before > 0)::integer)) AS v (measure, value)
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9 HAVING sum(v.value) <> 0
	)
	SELECT count(*)::integer FROM judged
$$;
COMMENT ON FUNCTION smsflow.record_clicks(jsonb) IS 'Keeps and judges hits of links, an array of objects with code, method, at (seconds since 1970), agent, prefetch and address; returns how many were new and of links that exist: a hit of the same instant counts once, so that what is in doubt may be told again. Changes nothing else but the counters clicks and clickers';
REVOKE ALL ON FUNCTION smsflow.record_clicks(jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.follow_link(code text, method text, headers jsonb, address text, OUT status integer, OUT location text)
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.record_clicks(jsonb_build_array(jsonb_build_object('code', code, 'method', method, 'at', extract(epoch FROM clock_timestamp()),
		'agent', headers ->> 'user-agent', 'prefetch', concat_ws(' ', headers ->> 'purpose', headers ->> 'sec-purpose', headers ->> 'x-moz', headers ->> 'x-purpose') ~* 'prefetch|preview',
		'address', address))) WHERE method IN ('GET', 'HEAD') AND EXISTS (SELECT FROM smsflow.resolve_links(ARRAY[code]) AS r WHERE r.status = 302);
	SELECT CASE WHEN method IN ('GET', 'HEAD') THEN r.status ELSE 405 END, CASE WHEN method IN ('GET', 'HEAD') THEN r.url END
	FROM smsflow.resolve_links(ARRAY[coalesce(code, '')]) AS r
$$;
COMMENT ON FUNCTION smsflow.follow_link(text, text, jsonb, text) IS 'For stores without smsflowd: how to answer a request for /<code> on the domain of links, and the click is kept. Header names in small letters, address of the client. status 302 with the location, 404, 405 or 410';
REVOKE ALL ON FUNCTION smsflow.follow_link(text, text, jsonb, text) FROM PUBLIC;

-- What programs are like changes faster than releases.
CREATE OR REPLACE FUNCTION smsflow.check_click_rule() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	new.value := lower(new.value);
	IF (CASE new.kind WHEN 'soon' THEN new.value::interval < '0'
			WHEN 'networks' THEN coalesce(substring(new.value FROM '^([1-9][0-9]{0,2}) per ')::integer < 2, true) OR split_part(new.value, ' per ', 2)::interval <= '0'
			ELSE new.value = '' END) THEN
		RAISE invalid_parameter_value;
	END IF;
	RETURN new;
EXCEPTION WHEN data_exception THEN
	RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('click rule "%s" cannot be read', new.value),
		DETAIL = format('Its kind is %s.', new.kind), HINT = 'Write a part of a User-Agent, a time such as 2 seconds, or 3 per 10 seconds.';
END $$;
COMMENT ON FUNCTION smsflow.check_click_rule() IS 'Trigger: refuses a rule that would fail when a click is judged. Errors: SF007';
REVOKE ALL ON FUNCTION smsflow.check_click_rule() FROM PUBLIC;
CREATE OR REPLACE TRIGGER check_click_rule BEFORE INSERT OR UPDATE ON smsflow.click_rule
	FOR EACH ROW EXECUTE FUNCTION smsflow.check_click_rule();
CREATE OR REPLACE TRIGGER keep_own_row BEFORE INSERT OR UPDATE ON smsflow.click_rule
	FOR EACH ROW EXECUTE FUNCTION smsflow.keep_own_row('kind', 'value');
