-- What may be wrong with a template, before anybody gets it. Re-runnable.

-- Variables without a default get one, so that there is a text to look at.
CREATE OR REPLACE FUNCTION smsflow.sample_of(body text, vars jsonb, OUT text text, OUT parts integer, OUT without_default text[])
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	r record;
	filled text := body;
BEGIN
	without_default := '{}';
	FOR i IN 1..50 LOOP
		SELECT * INTO r FROM smsflow.render_message(filled, vars);
		EXIT WHEN r.missing IS NULL OR r.missing = ANY (without_default);
		without_default := without_default || r.missing;
		filled := regexp_replace(filled, format('\{\{(\s*)%s(\s*)([|}])', replace(r.missing, '.', '\.')),
			format('{{\1%s\2|%s\3', r.missing, CASE WHEN filled ~ format('\{\{\s*%s\s*\|[^}]*link', replace(r.missing, '.', '\.'))
				THEN 'https://example.com/sample' ELSE 'Sample' END), 'g');
	END LOOP;
	text := r.rendered;
	parts := r.parts;
END $$;
COMMENT ON FUNCTION smsflow.sample_of(text, jsonb) IS 'Template with these values, and with a stand-in for every variable that has neither value nor default; its parts, and those variables. SF003 for a malformed template';
REVOKE ALL ON FUNCTION smsflow.sample_of(text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.lint_characters(body text) RETURNS TABLE (problem text, "position" integer, detail text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'non_gsm', min(c.place)::integer, format('"%s" is not in the GSM alphabet; parts: %s, without such characters: %s%s', c.letter,
		(smsflow.message_parts(lint_characters.body)).parts,
		(smsflow.message_parts(regexp_replace(lint_characters.body, '[^\x01-\x7f]', 'x', 'g'))).parts,
		CASE WHEN smsflow.smart_encode(c.letter) <> c.letter THEN format('; smart_encode() writes "%s"', smsflow.smart_encode(c.letter)) ELSE '' END)
	FROM string_to_table(lint_characters.body, NULL) WITH ORDINALITY AS c (letter, place)
	WHERE (smsflow.message_parts(c.letter)).encoding = 'ucs2' GROUP BY c.letter ORDER BY 2
$$;
COMMENT ON FUNCTION smsflow.lint_characters(text) IS 'Characters of a text that make it UCS-2, each with its first position from 1; a part of lint_template()';
REVOKE ALL ON FUNCTION smsflow.lint_characters(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.lint_text(body text, parts integer, purpose smsflow.purpose, brand text, max_parts integer)
	RETURNS TABLE (problem text, "position" integer, detail text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT r.reason, NULL::integer, smsflow.refusal_words(r.reason, NULL) FROM smsflow.content_refusal(lint_text.body, lint_text.purpose, lint_text.brand) AS r (reason)
	WHERE r.reason IS NOT NULL
	UNION ALL
	SELECT 'brand_missing', NULL, format('the text does not name "%s"', lint_text.brand)
	-- A store with one brand never names it.
	WHERE lint_text.brand <> 'default' AND strpos(lower(lint_text.body), lower(lint_text.brand)) = 0
		AND smsflow.content_refusal(lint_text.body, lint_text.purpose, lint_text.brand) IS DISTINCT FROM 'brand_missing'
	UNION ALL
	SELECT 'several_links', regexp_instr(lint_text.body, 'https?://', 1, 2, 0, 'i'), format('%s links; carriers filter texts with more than one', regexp_count(lint_text.body, 'https?://', 1, 'i'))
	WHERE regexp_count(lint_text.body, 'https?://', 1, 'i') > 1
	UNION ALL
	SELECT 'all_caps', NULL, 'most letters are capitals, which filters take for spam'
	FROM regexp_replace(regexp_replace(lint_text.body, 'https?://\S+', '', 'gi'), '[^[:alpha:]]', '', 'g') AS l (letters)
	WHERE length(l.letters) >= 12 AND length(regexp_replace(l.letters, '[[:lower:]]', '', 'g')) > 0.7 * length(l.letters)
	UNION ALL
	SELECT 'many_parts', NULL, format('%s parts, more than %s', lint_text.parts, lint_text.max_parts) WHERE lint_text.parts > lint_text.max_parts
$$;
COMMENT ON FUNCTION smsflow.lint_text(text, integer, smsflow.purpose, text, integer) IS 'What may be wrong with a rendered text of so many parts; a part of lint_template()';
REVOKE ALL ON FUNCTION smsflow.lint_text(text, integer, smsflow.purpose, text, integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.lint_template(body text, purpose text DEFAULT 'promotional', vars jsonb DEFAULT '{}', brand text DEFAULT 'default',
	max_parts integer DEFAULT 2) RETURNS TABLE (problem text, "position" integer, detail text)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	its_purpose CONSTANT smsflow.purpose := smsflow.purpose_named(lint_template.purpose);
	policy CONSTANT smsflow.text_policy := smsflow.text_policy_of(lint_template.brand, its_purpose);
	sample record;
BEGIN
	PERFORM smsflow.brand_named(lint_template.brand);
	IF coalesce(lint_template.body, '') = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'template body must not be empty', DETAIL = 'There is nothing to look at.', HINT = 'Pass the text.';
	END IF;
	SELECT * INTO sample FROM smsflow.sample_of(smsflow.dress_text(lint_template.body, lint_template.brand, policy),
		jsonb_build_object('brand', lint_template.brand, '_brand', lint_template.brand) || coalesce(lint_template.vars, '{}'));
	IF policy.smart_encode THEN
		sample.text := smsflow.smart_encode(sample.text);
		sample.parts := (smsflow.message_parts(sample.text)).parts;
	END IF;
	RETURN QUERY SELECT * FROM smsflow.lint_text(sample.text, sample.parts, its_purpose, lint_template.brand, lint_template.max_parts);
	RETURN QUERY SELECT * FROM smsflow.lint_characters(sample.text);
	RETURN QUERY SELECT 'no_default', strpos(lint_template.body, m), format('{{%s}} has no default: who has no value gets nothing', m)
		FROM unnest(sample.without_default) AS m WHERE policy.missing IS DISTINCT FROM 'blank';
	-- A default may be any text, so that a filter with a slip in it is one.
	RETURN QUERY SELECT 'looks_like_filter', strpos(lint_template.body, d.word[1]), format('"%s" is a default here; filters are upper, title, truncate:N, money, date and link', d.word[1])
		FROM regexp_matches(lint_template.body, '\{\{[^|{}]*\|\s*([a-z]+)\s*(?:\||\}\})', 'g') AS d (word)
		WHERE d.word[1] <> ALL ('{upper,title,truncate,money,date,link}') AND (d.word[1] ~ '^(upp|tit|trunc|mon|dat|lin)' OR d.word[1] IN ('capitalize', 'lower', 'lowercase', 'currency', 'default', 'escape'));
END $$;
COMMENT ON FUNCTION smsflow.lint_template(text, text, jsonb, text, integer) IS 'What may be wrong with a template for a purpose, dressed as set_text_policy() wants it, one row each, none when nothing is: a reason for which the gate would refuse it (too_long, public_shortener, brand_missing, opt_out_wording_missing), several_links, all_caps, many_parts (more than max_parts), non_gsm (each character, with its place), no_default, looks_like_filter. position counts characters of the rendered text from 1, or of the template for the last two. vars are values to look with. SF003 for a malformed template, SF004 for an unknown brand, SF007 for an unknown purpose or no text';
REVOKE ALL ON FUNCTION smsflow.lint_template(text, text, jsonb, text, integer) FROM PUBLIC;
