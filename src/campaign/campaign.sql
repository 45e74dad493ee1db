-- Campaigns: one message to the members of a segment. Re-runnable.

-- ---- templates ----

CREATE OR REPLACE FUNCTION smsflow.set_template(name text, body text, language text DEFAULT '', brand text DEFAULT 'default') RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	id integer;
BEGIN
	IF coalesce(set_template.name, '') = '' OR coalesce(set_template.body, '') = '' THEN
		PERFORM smsflow.refuse('SF007', 'template name and body must not be empty',
			'One of the two is null or empty.', 'Pass both.');
	END IF;
	PERFORM smsflow.check_template(set_template.body);
	INSERT INTO smsflow.template AS t (brand_id, name, language, body)
	VALUES (smsflow.brand_named(set_template.brand), set_template.name, coalesce(set_template.language, ''), set_template.body)
	ON CONFLICT ON CONSTRAINT template_brand_id_name_language_key DO UPDATE SET body = EXCLUDED.body
	RETURNING t.template_id INTO id;
	RETURN id;
END $$;
COMMENT ON FUNCTION smsflow.set_template(text, text, text, text) IS
'Stores the text of a template in a language, empty for all others, and returns its id. SF003 for a malformed text, SF004 for an unknown brand';
REVOKE ALL ON FUNCTION smsflow.set_template(text, text, text, text) FROM PUBLIC;

-- ---- building blocks ----

CREATE OR REPLACE FUNCTION smsflow.campaign_named(name text, brand text) RETURNS smsflow.campaign
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k smsflow.campaign;
BEGIN
	SELECT c.* INTO k FROM smsflow.campaign AS c
	WHERE c.name = campaign_named.name AND c.brand_id = smsflow.brand_named(campaign_named.brand);
	IF NOT FOUND THEN
		PERFORM smsflow.refuse_unknown('campaign', campaign_named.name, campaign_named.brand);
	END IF;
	RETURN k;
END $$;
COMMENT ON FUNCTION smsflow.campaign_named(text, text) IS 'A campaign; SF004 if there is none of this name, or no such brand';
REVOKE ALL ON FUNCTION smsflow.campaign_named(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.lock_campaign(name text, brand text, allowed text[]) RETURNS smsflow.campaign
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k smsflow.campaign;
BEGIN
	k := smsflow.campaign_named(lock_campaign.name, lock_campaign.brand);
	SELECT c.* INTO k FROM smsflow.campaign AS c WHERE c.campaign_id = k.campaign_id FOR NO KEY UPDATE;
	IF k.status <> ALL (allowed) THEN
		PERFORM smsflow.refuse('SF005', format('campaign "%s" is %s', k.name, replace(k.status, 'draft', 'a draft')),
			format('This needs a campaign that is %s.', array_to_string(array_replace(allowed, 'draft', 'a draft'), ' or ')),
			CASE k.status WHEN 'draft' THEN 'Launch it with smsflow.launch_campaign().'
				WHEN 'scheduled' THEN 'It has been launched already, for the time that smsflow.progress_campaign shows.'
				WHEN 'running' THEN 'It has been launched already; smsflow.progress_campaign shows how far it is.'
				WHEN 'paused' THEN 'It goes on with smsflow.resume_campaign(), and ends with smsflow.cancel_campaign().'
				WHEN 'failed' THEN 'Mend what smsflow.progress_campaign shows as its error, and call smsflow.resume_campaign().'
				ELSE 'Create a campaign under another name; a campaign writes to nobody twice.' END);
	END IF;
	RETURN k;
END $$;
COMMENT ON FUNCTION smsflow.lock_campaign(text, text, text[]) IS 'Locks a campaign and returns it; SF004 if there is none of this name, SF005 if its status is not one of those allowed';
REVOKE ALL ON FUNCTION smsflow.lock_campaign(text, text, text[]) FROM PUBLIC;

-- ---- making a campaign ----

CREATE OR REPLACE FUNCTION smsflow.create_campaign_inside(name text, segment text, body text, purpose text, options jsonb, brand text) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	its_brand CONSTANT integer := smsflow.brand_named(create_campaign_inside.brand);
	its_segment integer;
	id integer;
BEGIN
	IF coalesce(create_campaign_inside.name, '') = '' OR coalesce(btrim(create_campaign_inside.body), '') = '' THEN
		PERFORM smsflow.refuse('SF007', 'campaign name and body must not be empty',
			'One of the two is null or empty.', 'Pass both.');
	END IF;
	IF coalesce(create_campaign_inside.purpose, '') NOT IN ('promotional', 'cart', 'conversational', 'transactional') THEN
		PERFORM smsflow.refuse('SF007', format('a campaign cannot have the purpose "%s"', create_campaign_inside.purpose),
			'Campaigns are promotional, cart, conversational or transactional.', 'Use smsflow.send() for single messages.');
	END IF;
	PERFORM smsflow.check_template(create_campaign_inside.body);
	PERFORM smsflow.check_content(create_campaign_inside.body, create_campaign_inside.purpose::smsflow.purpose, create_campaign_inside.brand);
	PERFORM smsflow.check_campaign_options(coalesce(create_campaign_inside.options, '{}'));
	SELECT s.segment_id INTO its_segment FROM smsflow.segment AS s
	WHERE s.name = create_campaign_inside.segment AND s.brand_id = its_brand;
	IF NOT FOUND THEN
		PERFORM smsflow.refuse_unknown('segment', create_campaign_inside.segment, create_campaign_inside.brand);
	END IF;
	INSERT INTO smsflow.campaign AS c (brand_id, name, segment_id, body, purpose, options, owner)
	VALUES (its_brand, create_campaign_inside.name, its_segment, create_campaign_inside.body,
		create_campaign_inside.purpose::smsflow.purpose, coalesce(create_campaign_inside.options, '{}'),
		quote_ident(smsflow.acting_role())::regrole)
	ON CONFLICT DO NOTHING RETURNING c.campaign_id INTO id;
	IF id IS NULL THEN
		PERFORM smsflow.refuse_taken('campaign', create_campaign_inside.name, 'brand');
	END IF;
	RETURN id;
END $$;
COMMENT ON FUNCTION smsflow.create_campaign_inside(text, text, text, text, jsonb, text) IS 'What create_campaign() does';
REVOKE ALL ON FUNCTION smsflow.create_campaign_inside(text, text, text, text, jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.create_campaign(name text, segment text, body text, purpose text DEFAULT 'promotional',
		options jsonb DEFAULT '{}', brand text DEFAULT 'default') RETURNS integer
	AS 'MODULE_PATHNAME', 'smsflow_outer' LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.create_campaign(text, text, text, text, jsonb, text) IS
'Writes a campaign as a draft and returns its id. Its options are in the view campaign_option; to its text is added what set_text_policy() wants. SF003 for a malformed body, SF004 for an unknown segment or brand, SF005 if the name is taken, SF007 for a purpose or option that cannot be used and for a text against the rules, such as a link of a public shortener';
REVOKE ALL ON FUNCTION smsflow.create_campaign(text, text, text, text, jsonb, text) FROM PUBLIC;
