-- Segments ready to use, what conditions may ask besides facts, and segments that stay as they are. Re-runnable.

-- ---- what conditions ask ----

CREATE OR REPLACE FUNCTION smsflow.inline_call(internal) RETURNS internal
	LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'smsflow_inline_call';
COMMENT ON FUNCTION smsflow.inline_call(internal) IS 'Planner support: puts the body of an SQL function, subqueries and all, in the place of its call';
REVOKE ALL ON FUNCTION smsflow.inline_call(internal) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.bought(contact_id bigint, product text, since interval DEFAULT NULL) RETURNS boolean
	LANGUAGE sql STABLE PARALLEL SAFE SUPPORT smsflow.inline_call
	RETURN EXISTS (SELECT FROM smsflow.contact_product AS p WHERE p.contact_id = $1 AND p.kind = 'bought' AND p.product = $2
		AND ($3 IS NULL OR p.last_at > now() - $3));
COMMENT ON FUNCTION smsflow.bought(bigint, text, interval) IS 'Whether a contact has bought a product, ever or within an interval up to now. Becomes part of the query that calls it, whose role must be able to read smsflow.contact_product';
REVOKE ALL ON FUNCTION smsflow.bought(bigint, text, interval) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.viewed(contact_id bigint, product text, since interval DEFAULT NULL) RETURNS boolean
	LANGUAGE sql STABLE PARALLEL SAFE SUPPORT smsflow.inline_call
	RETURN EXISTS (SELECT FROM smsflow.contact_product AS p WHERE p.contact_id = $1 AND p.kind = 'viewed' AND p.product = $2
		AND ($3 IS NULL OR p.last_at > now() - $3));
COMMENT ON FUNCTION smsflow.viewed(bigint, text, interval) IS 'Whether a contact has viewed a product (event "viewed"), ever or within an interval up to now; as bought()';
REVOKE ALL ON FUNCTION smsflow.viewed(bigint, text, interval) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.engaged(contact_id bigint, within interval) RETURNS boolean
	LANGUAGE sql STABLE PARALLEL SAFE SUPPORT smsflow.inline_call
	RETURN EXISTS (SELECT FROM smsflow.profile AS p WHERE p.contact_id = $1 AND p.last_engaged_at > now() - $2);
COMMENT ON FUNCTION smsflow.engaged(bigint, interval) IS 'Whether a contact ordered, filled a cart, looked at a product, clicked or replied within an interval up to now. In a condition over smsflow.profile its column last_engaged_at says the same for less';
REVOKE ALL ON FUNCTION smsflow.engaged(bigint, interval) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.rfm(contact_id bigint) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE SUPPORT smsflow.inline_call
	RETURN (SELECT p.rfm FROM smsflow.profile AS p WHERE p.contact_id = $1);
COMMENT ON FUNCTION smsflow.rfm(bigint) IS 'Recency, frequency and monetary value of the orders of a contact, each from 1 to 5, as in 543; NULL without orders. The column smsflow.profile.rfm';
REVOKE ALL ON FUNCTION smsflow.rfm(bigint) FROM PUBLIC;

CREATE OR REPLACE VIEW smsflow.contact_event AS
	SELECT e.contact_id, e.kind, e.ref, e.occurred_at FROM smsflow.event AS e WHERE e.contact_id IS NOT NULL AND e.kind <> 'rows';
COMMENT ON VIEW smsflow.contact_event IS 'What contacts did in the store, or elsewhere as record_event() was told; no amounts, no data';

CREATE OR REPLACE FUNCTION smsflow.had_event(contact_id bigint, kind text, since interval DEFAULT NULL) RETURNS boolean
	LANGUAGE sql STABLE PARALLEL SAFE SUPPORT smsflow.inline_call
	RETURN EXISTS (SELECT FROM smsflow.contact_event AS e WHERE e.contact_id = $1 AND e.kind = $2 AND ($3 IS NULL OR e.occurred_at > now() - $3));
COMMENT ON FUNCTION smsflow.had_event(bigint, text, interval) IS 'Whether an event of this kind, such as email_opened told to record_event(), came from a contact, ever or within an interval up to now; as bought()';
REVOKE ALL ON FUNCTION smsflow.had_event(bigint, text, interval) FROM PUBLIC;

-- ---- segments that stay as they are ----

CREATE OR REPLACE VIEW smsflow.snapshot_member AS SELECT m.segment_id, m.contact_id FROM smsflow.segment_snapshot AS m;
COMMENT ON VIEW smsflow.snapshot_member IS 'Contacts in segments made by snapshot_segment()';

CREATE OR REPLACE FUNCTION smsflow.in_snapshot(contact_id bigint, segment_id integer) RETURNS boolean
	LANGUAGE sql STABLE PARALLEL SAFE SUPPORT smsflow.inline_call
	RETURN EXISTS (SELECT FROM smsflow.snapshot_member AS m WHERE m.segment_id = $2 AND m.contact_id = $1);
COMMENT ON FUNCTION smsflow.in_snapshot(bigint, integer) IS 'Whether a contact was a member when snapshot_segment() made this segment';
REVOKE ALL ON FUNCTION smsflow.in_snapshot(bigint, integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.fill_snapshot(segment_id integer, of text, brand text) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	members bigint;
BEGIN
	-- Only what this transaction has just made, so that nobody's condition is replaced.
	UPDATE smsflow.segment AS s SET predicate = format('smsflow.in_snapshot(contact_id, %s)', s.segment_id)
	WHERE s.segment_id = fill_snapshot.segment_id AND s.predicate = 'false' AND s.created_at = now();
	IF NOT FOUND THEN
		PERFORM smsflow.refuse('SF005', format('segment %s is not a new snapshot', fill_snapshot.segment_id),
			'A snapshot is filled in the transaction that makes it, once.', 'Call smsflow.snapshot_segment().');
	END IF;
	INSERT INTO smsflow.segment_snapshot (segment_id, contact_id)
	SELECT fill_snapshot.segment_id, m FROM smsflow.segment_members(fill_snapshot.of, fill_snapshot.brand) AS m;
	GET DIAGNOSTICS members = ROW_COUNT;
	UPDATE smsflow.segment AS s SET expected = members WHERE s.segment_id = fill_snapshot.segment_id;
	RETURN members;
END $$;
COMMENT ON FUNCTION smsflow.fill_snapshot(integer, text, text) IS 'Second half of snapshot_segment(). SF004 for no such segment, SF005 for a segment that is no new snapshot';
REVOKE ALL ON FUNCTION smsflow.fill_snapshot(integer, text, text) FROM PUBLIC;

-- Not SECURITY DEFINER: the new segment belongs to who calls this.
CREATE OR REPLACE FUNCTION smsflow.snapshot_segment(name text, of text, brand text DEFAULT 'default') RETURNS bigint
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.fill_snapshot(smsflow.create_segment(snapshot_segment.name, 'false', snapshot_segment.brand), snapshot_segment.of, snapshot_segment.brand)
$$;
COMMENT ON FUNCTION smsflow.snapshot_segment(text, text, text) IS 'Makes a segment of those who are in another one now, which does not change any more; returns how many. Who is erased leaves it. SF004 for an unknown segment or brand, SF005 if the name is taken';
REVOKE ALL ON FUNCTION smsflow.snapshot_segment(text, text, text) FROM PUBLIC;

-- ---- segments ready to use ----

CREATE OR REPLACE TRIGGER keep_own_row BEFORE INSERT OR UPDATE ON smsflow.segment_recipe
	FOR EACH ROW EXECUTE FUNCTION smsflow.keep_own_row('recipe', 'recipe');

CREATE OR REPLACE FUNCTION smsflow.segment_recipe_text(recipe text, params jsonb) RETURNS text
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	r smsflow.segment_recipe;
	given jsonb;
	param record;
	predicate text;
BEGIN
	SELECT * INTO r FROM smsflow.segment_recipe AS s WHERE s.recipe = segment_recipe_text.recipe;
	IF r.recipe IS NULL THEN
		PERFORM smsflow.refuse('SF004', format('segment recipe "%s" does not exist', segment_recipe_text.recipe),
			'Recipes are rows of smsflow.segment_recipe.', (SELECT 'There are ' || string_agg(s.recipe, ', ' ORDER BY s.recipe) || '.' FROM smsflow.segment_recipe AS s));
	END IF;
	given := r.params || coalesce(segment_recipe_text.params, '{}');
	predicate := r.predicate;
	FOR param IN SELECT p.key, p.value FROM jsonb_each_text(given) AS p LOOP
		IF NOT r.params ? param.key OR param.value IS NULL THEN
			PERFORM smsflow.refuse('SF007', format('parameter "%s" of segment recipe "%s" %s', param.key, r.recipe,
				CASE WHEN r.params ? param.key THEN 'must be given' ELSE 'does not exist' END),
				format('It is about who %s.', r.about), format('Its parameters with their defaults: %s', r.params));
		END IF;
		predicate := replace(predicate, '{{' || param.key || '}}', quote_literal(param.value));
	END LOOP;
	RETURN predicate;
END $$;
COMMENT ON FUNCTION smsflow.segment_recipe_text(text, jsonb) IS 'Condition of a segment recipe with its parameters filled in, each as a quoted text. SF004 for an unknown recipe, SF007 for a parameter that is missing or unknown';
REVOKE ALL ON FUNCTION smsflow.segment_recipe_text(text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.install_segment(recipe text, params jsonb DEFAULT '{}', name text DEFAULT NULL, brand text DEFAULT 'default') RETURNS integer
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.create_segment(coalesce(install_segment.name, install_segment.recipe), smsflow.segment_recipe_text(install_segment.recipe, install_segment.params), install_segment.brand)
$$;
COMMENT ON FUNCTION smsflow.install_segment(text, jsonb, text, text) IS 'Creates a segment by a recipe of smsflow.segment_recipe, under its name or another, and returns its id. Errors as create_segment() and segment_recipe_text()';
REVOKE ALL ON FUNCTION smsflow.install_segment(text, jsonb, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.missing_segments(brand text) RETURNS SETOF text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT r.recipe FROM smsflow.segment_recipe AS r
	WHERE NOT EXISTS (SELECT FROM jsonb_each(r.params) AS p WHERE p.value = 'null')
		AND NOT EXISTS (SELECT FROM smsflow.segment AS s WHERE s.name = r.recipe AND s.brand_id = smsflow.brand_named(missing_segments.brand))
	ORDER BY r.recipe
$$;
COMMENT ON FUNCTION smsflow.missing_segments(text) IS 'Segment recipes that need no parameter, and of whose name the brand has no segment. SF004 for an unknown brand';
REVOKE ALL ON FUNCTION smsflow.missing_segments(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.install_segments(brand text DEFAULT 'default') RETURNS bigint
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT count(smsflow.install_segment(m, brand => install_segments.brand)) FROM smsflow.missing_segments(install_segments.brand) AS m
$$;
COMMENT ON FUNCTION smsflow.install_segments(text) IS 'Creates every segment of smsflow.segment_recipe that needs no parameter and is not there yet; returns how many. SF004 for an unknown brand';
REVOKE ALL ON FUNCTION smsflow.install_segments(text) FROM PUBLIC;

-- ---- for others ----

CREATE OR REPLACE FUNCTION smsflow.export_audience(name text, brand text DEFAULT 'default') RETURNS TABLE (phone_sha256 text, digits_sha256 text)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT encode(sha256(convert_to(c.phone::text, 'UTF8')), 'hex'), encode(sha256(convert_to(ltrim(c.phone::text, '+'), 'UTF8')), 'hex')
	FROM (SELECT smsflow.segment_members(export_audience.name, export_audience.brand) AS contact_id) AS m JOIN smsflow.contact AS c USING (contact_id)
	WHERE NOT c.suppressed AND smsflow.permits(c.consent, 'promotional', 'implied')
$$;
COMMENT ON FUNCTION smsflow.export_audience(text, text) IS 'Members of a segment for ad platforms, as SHA-256 in hex: of the number as +14155552671 (Google) and of its digits alone (Meta). Who has not agreed to promotional messages, or has ended that, is left out. SF004 for an unknown segment or brand';
REVOKE ALL ON FUNCTION smsflow.export_audience(text, text) FROM PUBLIC;
