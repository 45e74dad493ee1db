-- What a campaign would do, before it does: estimates, previews, and messages to one's own people. Re-runnable.

CREATE OR REPLACE FUNCTION smsflow.campaign_draft(k smsflow.campaign, rows integer)
	RETURNS TABLE (contact_id bigint, region text, variant text, body text, parts integer, unicode boolean, refusal text, due_at timestamptz)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT d.contact_id, coalesce(d.region, smsflow.phone_region(d.phone)), v.name, d.body, d.parts::integer, d.unicode, d.refusal, d.due_at
	FROM smsflow.draft_campaign((campaign_draft.k).campaign_id, ARRAY(
		SELECT m FROM smsflow.segment AS s JOIN smsflow.brand AS b USING (brand_id)
		CROSS JOIN LATERAL smsflow.segment_members(s.name, b.name) AS m
		WHERE s.segment_id = (campaign_draft.k).segment_id LIMIT campaign_draft.rows)) AS d
	LEFT JOIN smsflow.campaign_variant AS v ON v.campaign_id = (campaign_draft.k).campaign_id AND v.variant = d.variant
$$;
COMMENT ON FUNCTION smsflow.campaign_draft(smsflow.campaign, integer) IS 'What the first members of a campaign''s segment would get now; null rows is all';
REVOKE ALL ON FUNCTION smsflow.campaign_draft(smsflow.campaign, integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.preview_campaign(name text, rows integer DEFAULT 5, brand text DEFAULT 'default')
	RETURNS TABLE (contact_id bigint, body text, parts integer, refusal text, variant text, due_at timestamptz)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT d.contact_id, d.body, d.parts, d.refusal, d.variant, d.due_at
	FROM smsflow.campaign_draft(smsflow.campaign_named(preview_campaign.name, preview_campaign.brand), preview_campaign.rows) AS d
	ORDER BY d.contact_id
$$;
COMMENT ON FUNCTION smsflow.preview_campaign(text, integer, text) IS
'The messages of the first members as they would be sent now; refusal is the reason why nothing would, due_at when it would if not at once. SF004 for an unknown campaign or brand';
REVOKE ALL ON FUNCTION smsflow.preview_campaign(text, integer, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.set_price(region text, per_part numeric, currency text DEFAULT 'USD', brand text DEFAULT 'default') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO smsflow.price AS p (brand_id, region, per_part, currency)
	VALUES (smsflow.brand_named(set_price.brand), upper(set_price.region), set_price.per_part, upper(set_price.currency))
	ON CONFLICT ON CONSTRAINT price_pkey DO UPDATE SET per_part = excluded.per_part, currency = excluded.currency;
EXCEPTION WHEN check_violation OR not_null_violation THEN
	PERFORM smsflow.refuse('SF007', 'this is not a price',
		'A price has a country (two letters, or * for all others), an amount that is not negative, and a currency (three letters).',
		'Example: smsflow.set_price(''US'', 0.0079, ''USD'').');
END $$;
COMMENT ON FUNCTION smsflow.set_price(text, numeric, text, text) IS
'What a message part to a country (ISO 3166 code; * every other) costs, for estimate_campaign(). SF004 unknown brand, SF007 other arguments';
REVOKE ALL ON FUNCTION smsflow.set_price(text, numeric, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.estimate_campaign(name text, brand text DEFAULT 'default') RETURNS TABLE (measure text, value numeric)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	WITH k AS MATERIALIZED (
		SELECT smsflow.campaign_named(estimate_campaign.name, estimate_campaign.brand) AS campaign
	), draft AS MATERIALIZED (
		SELECT d.region, d.variant, d.parts, d.unicode, d.refusal, p.per_part, p.currency
		FROM k CROSS JOIN LATERAL smsflow.campaign_draft(k.campaign, NULL) AS d
		LEFT JOIN LATERAL (SELECT x.per_part, x.currency FROM smsflow.price AS x
			WHERE x.brand_id = (k.campaign).brand_id AND x.region IN (d.region, '*') ORDER BY x.region = '*' LIMIT 1) AS p ON true
	), coupons AS (
		-- A pool with a prefix makes as many as are wanted.
		SELECT (SELECT count(*) FROM draft AS d WHERE d.refusal IS NULL) AS wanted, (SELECT count(*) FROM smsflow.coupon AS c
			WHERE c.coupon_pool_id = p.coupon_pool_id AND (c.campaign_id IS NULL OR c.campaign_id = (k.campaign).campaign_id)) AS there
		FROM k JOIN smsflow.coupon_pool AS p ON p.brand_id = (k.campaign).brand_id AND p.name = (k.campaign).options ->> 'coupons' WHERE p.prefix IS NULL
	), found AS (
		SELECT 1 AS place, 'recipients' AS measure, count(*)::numeric AS value FROM draft
		UNION ALL
		SELECT 2, 'parts', coalesce(sum(d.parts), 0) FROM draft AS d WHERE d.refusal IS NULL
		UNION ALL
		SELECT 3, 'suppressed:' || d.refusal, count(*) FROM draft AS d WHERE d.refusal IS NOT NULL GROUP BY d.refusal
		UNION ALL
		SELECT 4, 'encoding:' || CASE WHEN d.unicode THEN 'ucs2' ELSE 'gsm7' END, count(*) FROM draft AS d WHERE d.refusal IS NULL GROUP BY d.unicode
		UNION ALL
		SELECT 5, 'country:' || coalesce(d.region, 'unknown'), count(*) FROM draft AS d WHERE d.refusal IS NULL GROUP BY d.region
		UNION ALL
		SELECT 6, 'variant:' || d.variant, count(*) FROM draft AS d WHERE d.refusal IS NULL AND d.variant IS NOT NULL GROUP BY d.variant
		UNION ALL
		SELECT 7, format('cost:%s:%s', coalesce(d.region, 'unknown'), d.currency), sum(d.parts * d.per_part)
		FROM draft AS d WHERE d.refusal IS NULL AND d.per_part IS NOT NULL GROUP BY d.region, d.currency
		UNION ALL
		SELECT 8, 'coupons', u.there FROM coupons AS u
		UNION ALL
		SELECT 8, 'coupons:missing', u.wanted - u.there FROM coupons AS u WHERE u.wanted > u.there
	)
	SELECT f.measure, f.value FROM found AS f ORDER BY f.place, f.measure
$$;
COMMENT ON FUNCTION smsflow.estimate_campaign(text, text) IS
'What a launch now would do, by rendering every message: recipients (members of the segment), of whom suppressed:<reason> get nothing; of the others message parts, messages by encoding:<encoding>, country:<code> and variant:<name>, and cost:<country>:<currency> where smsflow.price has one. Of a campaign with a pool of coupons that does not make its own: coupons, codes that are there for it, and coupons:missing, messages for which there is none. SF004 for an unknown campaign or brand';
REVOKE ALL ON FUNCTION smsflow.estimate_campaign(text, text) FROM PUBLIC;

-- ---- messages to one's own people ----

CREATE OR REPLACE FUNCTION smsflow.set_seeds(phones text[], brand text DEFAULT 'default') RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, smsflow, pg_temp AS $$
DECLARE
	its_brand CONSTANT integer := smsflow.brand_named(set_seeds.brand);
	kept integer;
BEGIN
	DELETE FROM smsflow.seed AS s WHERE s.brand_id = its_brand;
	INSERT INTO smsflow.seed (brand_id, phone) SELECT DISTINCT its_brand, smsflow.parse_phone(number) FROM unnest(phones) AS number WHERE number IS NOT NULL;
	GET DIAGNOSTICS kept = ROW_COUNT;
	RETURN kept;
END $$;
COMMENT ON FUNCTION smsflow.set_seeds(text[], text) IS 'The numbers that test_campaign() writes to from now on; returns how many. SF001 for a bad number, SF004 for an unknown brand';
REVOKE ALL ON FUNCTION smsflow.set_seeds(text[], text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.test_campaign(name text, brand text DEFAULT 'default')
	RETURNS TABLE (message_id bigint, variant text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, smsflow, pg_temp AS $$
DECLARE
	k CONSTANT smsflow.campaign := smsflow.campaign_named(test_campaign.name, test_campaign.brand);
BEGIN
	IF NOT EXISTS (SELECT FROM smsflow.seed AS s WHERE s.brand_id = k.brand_id) THEN
		PERFORM smsflow.refuse('SF005', 'there is nobody to send a test to',
			'The brand has no seed list.', 'Name the numbers of your own people with smsflow.set_seeds(); they need consent as anybody does.');
	END IF;
	RETURN QUERY WITH written AS (
		SELECT v.variant, v.name, '' AS language, v.body FROM smsflow.campaign_variant AS v WHERE v.campaign_id = k.campaign_id
		UNION ALL
		SELECT 0, NULL, '', k.body WHERE NOT EXISTS (SELECT FROM smsflow.campaign_variant AS v WHERE v.campaign_id = k.campaign_id)
	), texts AS (
		SELECT w.* FROM written AS w
		UNION ALL
		SELECT w.variant, w.name, t.language, t.body FROM written AS w JOIN smsflow.campaign_translation AS t USING (variant) WHERE t.campaign_id = k.campaign_id
	)
	SELECT smsflow.send(s.phone::text, CASE WHEN (k.options ->> 'smart_encode')::boolean THEN smsflow.smart_encode(t.body) ELSE t.body END, k.purpose::text,
		vars => coalesce(smsflow.coupon_vars(k.campaign_id, 0, k.options ->> 'coupons', true), '{}'),
		pool => k.options ->> 'pool', brand => test_campaign.brand, subject => 'test of campaign ' || k.campaign_id), t.name
	FROM smsflow.seed AS s CROSS JOIN texts AS t WHERE s.brand_id = k.brand_id ORDER BY s.phone, t.variant, t.language;
END $$;
COMMENT ON FUNCTION smsflow.test_campaign(text, text) IS
'Sends each text of a campaign, of all its variants and languages, to the numbers of set_seeds(), as they would get it, whatever its state; these messages are not the campaign''s, and they take no coupon. Returns their ids. SF004 for an unknown campaign, SF005 without a seed list';
REVOKE ALL ON FUNCTION smsflow.test_campaign(text, text) FROM PUBLIC;
