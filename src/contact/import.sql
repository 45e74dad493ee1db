-- Importing lists of contacts, and taking an import back. Re-runnable.
--
-- The list is read with the caller's rights, row by row as JSON, and is data from then on: only then do functions with more
-- rights touch it. What an import grants is in the ledger with the source import:<id>, which is how it can be undone.

CREATE OR REPLACE FUNCTION smsflow.import_instant(value text) RETURNS timestamptz
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN CASE WHEN isfinite(value::timestamptz) THEN value::timestamptz END;
EXCEPTION WHEN data_exception THEN
	RETURN NULL;
END $$;
COMMENT ON FUNCTION smsflow.import_instant(text) IS 'Instant in a list, null for what is none';
REVOKE ALL ON FUNCTION smsflow.import_instant(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.import_purposes(value jsonb) RETURNS text[]
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE jsonb_typeof(value) WHEN 'array' THEN ARRAY(SELECT jsonb_array_elements_text(value))
		WHEN 'string' THEN array_remove(regexp_split_to_array(lower(value #>> '{}'), '[][{}\s,;|"]+'), '') ELSE '{}' END
$$;
COMMENT ON FUNCTION smsflow.import_purposes(jsonb) IS 'Names in an array, or in a text with commas, semicolons, bars or spaces between them';
REVOKE ALL ON FUNCTION smsflow.import_purposes(jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_import(columns text[], mapping jsonb, options jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	fields CONSTANT text[] := '{phone,external_id,first_name,last_name,language,region,time_zone,purposes,level,source,occurred_at,opted_out,attributes}';
	odd text;
BEGIN
	IF jsonb_typeof(mapping) IS DISTINCT FROM 'object' OR NOT coalesce(mapping ? 'phone', false) THEN
		PERFORM smsflow.refuse_mapping('mapping of an import must be an object that names the column of the phone number',
			format('Its keys are %s.', array_to_string(fields, ', ')), 'Example: {"phone": "mobile", "first_name": "given_name"}.');
	END IF;
	SELECT k INTO odd FROM jsonb_object_keys(mapping) AS k WHERE k <> ALL (fields) ORDER BY k LIMIT 1;
	IF odd IS NOT NULL THEN
		PERFORM smsflow.refuse_mapping(format('unknown field "%s" in the mapping of an import', odd),
			format('Fields are %s.', array_to_string(fields, ', ')), 'Put what else you know of people under "attributes".');
	END IF;
	IF jsonb_typeof(coalesce(mapping -> 'attributes', '{}')) <> 'object' OR EXISTS (SELECT
			FROM jsonb_each(mapping - 'attributes' || coalesce(mapping -> 'attributes', '{}')) AS m WHERE jsonb_typeof(m.value) <> 'string') THEN
		PERFORM smsflow.refuse_mapping('fields of the mapping of an import must be names of columns',
			'A field is not a text, or "attributes" is not an object of them.', 'Values that are the same for all rows go into options.');
	END IF;
	SELECT m.value #>> '{}' INTO odd FROM (SELECT value FROM jsonb_each(mapping - 'attributes')
		UNION ALL SELECT value FROM jsonb_each(coalesce(mapping -> 'attributes', '{}'))) AS m
	WHERE m.value #>> '{}' <> ALL (columns) ORDER BY 1 LIMIT 1;
	IF odd IS NOT NULL THEN
		PERFORM smsflow.refuse_mapping(format('column "%s" does not exist', odd),
			format('The columns of the list are %s.', array_to_string(columns, ', ')), 'Correct the mapping.');
	END IF;
	PERFORM smsflow.check_options(options, '{brand,region,purposes,level,source,samples}');
	PERFORM smsflow.purpose_named(p) FROM unnest(smsflow.import_purposes(options -> 'purposes')) AS p;
	IF jsonb_typeof(options -> 'samples') <> 'number' OR (options ->> 'samples')::numeric NOT BETWEEN 0 AND 1000 THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'option "samples" must be a number of rows',
			DETAIL = 'It is how many refused rows the report shows, 0 to 1000.', HINT = 'Leave it out for 10.';
	END IF;
	IF options ->> 'level' NOT IN ('implied', 'express', 'written', 'confirmed') THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('unknown consent level "%s"', options ->> 'level'),
			DETAIL = 'Levels that can be granted are implied, express, written and confirmed.', HINT = 'Use one of these names, in small letters.';
	END IF;
	-- Only the region is asked for: no region has a number like this.
	PERFORM smsflow.parse_phone('0', options ->> 'region');
EXCEPTION WHEN SQLSTATE 'SF001' THEN
	NULL;
END $$;
COMMENT ON FUNCTION smsflow.check_import(text[], jsonb, jsonb) IS 'Raises SF006 for a mapping that does not fit the list, SF007 for options that cannot be used';
REVOKE ALL ON FUNCTION smsflow.check_import(text[], jsonb, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.begin_import(source_table text, columns text[], mapping jsonb, options jsonb) RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	id integer;
BEGIN
	PERFORM smsflow.check_import(columns, mapping, options);
	INSERT INTO smsflow.import AS i (brand_id, source_table, mapping, options)
	VALUES (smsflow.brand_named(coalesce(options ->> 'brand', 'default')), begin_import.source_table, begin_import.mapping, begin_import.options)
	RETURNING i.import_id INTO id;
	RETURN id;
END $$;
COMMENT ON FUNCTION smsflow.begin_import(text, text[], jsonb, jsonb) IS 'First part of import_contacts(): checks mapping and options, and returns the import''s id. Errors: SF004, SF006, SF007';
REVOKE ALL ON FUNCTION smsflow.begin_import(text, text[], jsonb, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.import_rows(import_id integer, lines bigint[], rows jsonb[]) RETURNS void
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	INSERT INTO smsflow.import_row (import_id, line, phone, fields, opted_out, occurred_at, level, purposes, refusal)
	SELECT i.import_id, r.line, v.phone, r.fields, v.opted_out, v.occurred_at,
		CASE WHEN p.level = ANY ('{implied,express,written,confirmed}') THEN p.level::smsflow.consent_level END,
		CASE WHEN p.purposes <@ enum_range(NULL::smsflow.purpose)::text[] THEN ARRAY(SELECT DISTINCT n FROM unnest(p.purposes) AS n ORDER BY n)::smsflow.purpose[] END,
		CASE WHEN v.phone IS NULL OR NOT smsflow.phone_assignable(v.phone) THEN 'bad_phone'
			WHEN NOT p.purposes <@ enum_range(NULL::smsflow.purpose)::text[] THEN 'unknown_purpose'
			WHEN p.level <> ALL ('{implied,express,written,confirmed}') THEN 'unknown_level'
			WHEN v.occurred_at IS NULL AND coalesce(r.fields ->> 'occurred_at', '') <> '' THEN 'bad_instant'
			WHEN v.occurred_at > now() + interval '5 minutes' THEN 'in_the_future'
			WHEN NOT smsflow.is_time_zone(NULLIF(r.fields ->> 'time_zone', '')) THEN 'unknown_time_zone' END
	FROM smsflow.import AS i
	CROSS JOIN unnest(import_rows.lines, import_rows.rows) AS r (line, fields)
	CROSS JOIN LATERAL (SELECT smsflow.try_parse_phone(r.fields ->> 'phone', coalesce(NULLIF(r.fields ->> 'region', ''), i.options ->> 'region')) AS phone,
		smsflow.import_instant(NULLIF(r.fields ->> 'occurred_at', '')) AS occurred_at,
		lower(btrim(coalesce(r.fields ->> 'opted_out', ''), E' \t\r\n')) <> ALL ('{"",f,false,n,no,0,off}') AS opted_out) AS v
	CROSS JOIN LATERAL (SELECT CASE WHEN i.mapping ? 'purposes' THEN smsflow.import_purposes(r.fields -> 'purposes')
			ELSE smsflow.import_purposes(i.options -> 'purposes') END AS purposes,
		coalesce(lower(NULLIF(r.fields ->> 'level', '')), i.options ->> 'level', 'express') AS level) AS p
	WHERE i.import_id = import_rows.import_id AND i.report IS NULL
$$;
COMMENT ON FUNCTION smsflow.import_rows(integer, bigint[], jsonb[]) IS 'Second part of import_contacts(): takes rows, and says of each whether it can be read';
REVOKE ALL ON FUNCTION smsflow.import_rows(integer, bigint[], jsonb[]) FROM PUBLIC;

-- Who said no, was erased, or is there twice. A person's own revocation beats every list; one that undid an import is nobody's word.
CREATE OR REPLACE FUNCTION smsflow.sift_import(i smsflow.import) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	key text;
BEGIN
	UPDATE smsflow.import_row AS r SET refusal = 'duplicate'
	FROM (SELECT x.line, row_number() OVER (PARTITION BY x.phone ORDER BY x.opted_out DESC, x.line) AS place
		FROM smsflow.import_row AS x WHERE x.import_id = i.import_id AND x.refusal IS NULL) AS d
	WHERE r.import_id = i.import_id AND r.line = d.line AND d.place > 1;

	PERFORM FROM smsflow.contact AS c
	WHERE c.contact_id IN (SELECT n.contact_id FROM smsflow.import_row AS r JOIN smsflow.contact AS n
		ON n.brand_id = i.brand_id AND n.phone OPERATOR(smsflow.=) r.phone WHERE r.import_id = i.import_id AND r.refusal IS NULL)
	ORDER BY c.contact_id FOR UPDATE;

	-- After the locks: an erasure that ran at the same time has ended by now.
	key := smsflow.required_suppression_key(i.brand_id);
	IF key IS NOT NULL THEN
		UPDATE smsflow.import_row AS r SET refusal = 'suppressed' FROM smsflow.suppression AS s
		WHERE r.import_id = i.import_id AND r.refusal IS NULL AND s.brand_id = i.brand_id
			AND s.hash = smsflow.suppression_hash(key, i.brand_id, r.phone);
	END IF;

	UPDATE smsflow.import_row AS r SET contact_id = c.contact_id, is_new = false,
		purposes = CASE WHEN r.opted_out THEN r.purposes ELSE ARRAY(SELECT p FROM unnest(r.purposes) AS p WHERE p <> ALL (said.no)) END,
		refusal = CASE WHEN NOT r.opted_out AND r.purposes <> '{}' AND r.purposes <@ said.no THEN 'opted_out' END
	FROM smsflow.contact AS c
	CROSS JOIN LATERAL (SELECT ARRAY(SELECT DISTINCT p FROM smsflow.consent_event AS e CROSS JOIN unnest(e.purposes) AS p
		WHERE e.contact_id = c.contact_id AND e.kind = 'revoke' AND e.source NOT LIKE 'undo:%') AS no) AS said
	WHERE r.import_id = i.import_id AND r.refusal IS NULL AND c.brand_id = i.brand_id AND c.phone OPERATOR(smsflow.=) r.phone;
END $$;
COMMENT ON FUNCTION smsflow.sift_import(smsflow.import) IS 'Refuses rows that are duplicates, suppressed or opted out, locks the contacts there are, and takes away the purposes that each has ended';
REVOKE ALL ON FUNCTION smsflow.sift_import(smsflow.import) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.merge_import(i smsflow.import) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	WITH known AS (
		UPDATE smsflow.contact AS c SET updated_at = clock_timestamp(),
			external_id = n.external_id, first_name = n.first_name, last_name = n.last_name, language = n.language, region = n.region,
			time_zone = n.time_zone, time_zone_source = CASE WHEN n.time_zone IS DISTINCT FROM c.time_zone THEN 'customer' ELSE c.time_zone_source END,
			attributes = n.attributes
		FROM smsflow.import_row AS r
		JOIN smsflow.contact AS o USING (contact_id)
		CROSS JOIN LATERAL (SELECT coalesce(NULLIF(r.fields ->> 'external_id', ''), o.external_id) AS external_id,
			coalesce(NULLIF(r.fields ->> 'first_name', ''), o.first_name) AS first_name,
			coalesce(NULLIF(r.fields ->> 'last_name', ''), o.last_name) AS last_name,
			coalesce(NULLIF(r.fields ->> 'language', ''), o.language) AS language,
			coalesce(smsflow.known_region(r.fields ->> 'region'), o.region) AS region,
			coalesce(NULLIF(r.fields ->> 'time_zone', ''), o.time_zone) AS time_zone,
			o.attributes || jsonb_strip_nulls(coalesce(r.fields -> 'attributes', '{}')) AS attributes) AS n
		WHERE r.import_id = i.import_id AND r.refusal IS NULL AND NOT r.is_new AND c.contact_id = r.contact_id
			AND (c.external_id, c.first_name, c.last_name, c.language, c.region, c.time_zone, c.attributes)
				IS DISTINCT FROM (n.external_id, n.first_name, n.last_name, n.language, n.region, n.time_zone, n.attributes)
		RETURNING c.contact_id)
	UPDATE smsflow.import_row AS r SET changed = true FROM known AS k WHERE r.import_id = i.import_id AND r.contact_id = k.contact_id;

	WITH made AS (
		INSERT INTO smsflow.contact AS c (brand_id, phone, external_id, first_name, last_name, language, region, time_zone, time_zone_source,
			attributes, holdout_bucket, import_id)
		SELECT i.brand_id, r.phone, NULLIF(r.fields ->> 'external_id', ''), NULLIF(r.fields ->> 'first_name', ''), NULLIF(r.fields ->> 'last_name', ''),
			NULLIF(r.fields ->> 'language', ''), smsflow.known_region(r.fields ->> 'region'), NULLIF(r.fields ->> 'time_zone', ''),
			CASE WHEN NULLIF(r.fields ->> 'time_zone', '') IS NOT NULL THEN 'customer' END, jsonb_strip_nulls(coalesce(r.fields -> 'attributes', '{}')),
			smsflow.holdout_bucket(i.brand_id, r.phone), i.import_id
		FROM smsflow.import_row AS r WHERE r.import_id = i.import_id AND r.refusal IS NULL AND r.contact_id IS NULL ORDER BY r.line
		ON CONFLICT DO NOTHING RETURNING c.contact_id, c.phone)
	UPDATE smsflow.import_row AS r SET contact_id = m.contact_id, is_new = true FROM made AS m
	WHERE r.import_id = i.import_id AND r.refusal IS NULL AND r.phone OPERATOR(smsflow.=) m.phone;

	-- Somebody who signed up while this ran is left alone.
	UPDATE smsflow.import_row AS r SET refusal = 'signed_up_meanwhile' WHERE r.import_id = i.import_id AND r.refusal IS NULL AND r.contact_id IS NULL;
END $$;
COMMENT ON FUNCTION smsflow.merge_import(smsflow.import) IS 'Makes new contacts, and completes the data of known ones; an empty field changes nothing';
REVOKE ALL ON FUNCTION smsflow.merge_import(smsflow.import) FROM PUBLIC;

-- Cart reminders by a list are express at most: the text that people saw is not in it.
CREATE OR REPLACE FUNCTION smsflow.record_import(i smsflow.import) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	moment CONSTANT timestamptz := clock_timestamp();
	round record;
BEGIN
	FOR round IN SELECT * FROM (VALUES (1, 'revoke'), (2, 'grant'), (3, 'grant')) AS x (place, kind) ORDER BY place LOOP
		WITH entry AS MATERIALIZED (
			SELECT c.contact_id, c.consent, x.purposes, x.level,
				CASE WHEN round.kind = 'grant' THEN greatest(least(r.occurred_at, moment), u.after) ELSE least(coalesce(r.occurred_at, moment), moment) END AS at,
				jsonb_strip_nulls(jsonb_build_object('line', r.line, 'source', coalesce(NULLIF(r.fields ->> 'source', ''), i.options ->> 'source'),
					'said_at', r.occurred_at)) AS evidence
			FROM smsflow.import_row AS r
			JOIN smsflow.contact AS c USING (contact_id)
			CROSS JOIN LATERAL (SELECT
				CASE round.place WHEN 1 THEN ARRAY(SELECT unnest(smsflow.stop_purposes())::smsflow.purpose UNION SELECT unnest(r.purposes) ORDER BY 1)
					ELSE ARRAY(SELECT p FROM unnest(r.purposes) AS p WHERE (p = 'cart' AND r.level > 'express') = (round.place = 3)
						AND smsflow.consent_level(c.consent, p) < CASE WHEN round.place = 3 THEN 'express' ELSE r.level END ORDER BY p) END AS purposes,
				CASE round.place WHEN 2 THEN r.level WHEN 3 THEN 'express' END::smsflow.consent_level AS level) AS x
			CROSS JOIN LATERAL (SELECT max(e.occurred_at) + interval '1 microsecond' AS after FROM smsflow.consent_event AS e
				WHERE e.contact_id = c.contact_id AND e.kind = 'revoke' AND e.source LIKE 'undo:%') AS u
			WHERE r.import_id = i.import_id AND r.refusal IS NULL AND r.opted_out = (round.kind = 'revoke') AND x.purposes <> '{}'
		), due AS MATERIALIZED (
			SELECT e.contact_id, e.purposes, e.level, coalesce(e.at, moment) AS at, e.evidence FROM entry AS e
			WHERE e.consent OPERATOR(smsflow.<>) (e.consent OPERATOR(smsflow.+)
				smsflow.consent_of(round.kind, e.purposes::text[], e.level::text, coalesce(e.at, moment)))
		), appended AS MATERIALIZED (
			SELECT smsflow.append_entries(array_agg(d.contact_id), array_agg(round.kind), array_agg(d.purposes::text), array_agg(d.level::text),
				array_agg('import:' || i.import_id), array_agg(NULL::text), array_agg(NULL::text), array_agg(NULL::text),
				array_agg(d.evidence), array_agg(d.at)) AS entries
			FROM (SELECT *, (row_number() OVER (ORDER BY contact_id) - 1) / 5000 AS slice FROM due) AS d GROUP BY d.slice
		)
		UPDATE smsflow.import_row AS r SET changed = true FROM due AS d
		WHERE r.import_id = i.import_id AND r.contact_id = d.contact_id AND (SELECT sum(a.entries) FROM appended AS a) > 0;
	END LOOP;

	UPDATE smsflow.contact AS c SET proof = smsflow.proof_of(c.contact_id) FROM smsflow.import_row AS r
	WHERE r.import_id = i.import_id AND r.opted_out AND r.refusal IS NULL AND NOT r.is_new AND c.contact_id = r.contact_id
		AND c.proof IS DISTINCT FROM smsflow.proof_of(c.contact_id);
	PERFORM smsflow.note_revocation('contact', r.contact_id) FROM smsflow.import_row AS r
	WHERE r.import_id = i.import_id AND r.opted_out AND r.refusal IS NULL AND NOT r.is_new;
END $$;
COMMENT ON FUNCTION smsflow.record_import(smsflow.import) IS 'Writes the ledger of an import: opt-outs, then what is granted beyond what each contact has';
REVOKE ALL ON FUNCTION smsflow.record_import(smsflow.import) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.finish_import(import_id integer) RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	i smsflow.import;
	result jsonb;
BEGIN
	SELECT * INTO i FROM smsflow.import AS x WHERE x.import_id = finish_import.import_id AND x.report IS NULL;
	IF i.import_id IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('import %s is not running', finish_import.import_id),
			DETAIL = 'It does not exist, or has ended.', HINT = 'Call smsflow.import_contacts().';
	END IF;
	ANALYZE smsflow.import_row;
	PERFORM smsflow.sift_import(i);
	PERFORM smsflow.merge_import(i);
	PERFORM smsflow.record_import(i);
	SELECT jsonb_build_object('import_id', i.import_id, 'rows', count(*),
		'new', count(*) FILTER (WHERE r.refusal IS NULL AND r.is_new),
		'updated', count(*) FILTER (WHERE r.refusal IS NULL AND NOT r.is_new AND r.changed),
		'unchanged', count(*) FILTER (WHERE r.refusal IS NULL AND NOT r.is_new AND NOT r.changed),
		'opted_out', count(*) FILTER (WHERE r.refusal IS NULL AND r.opted_out),
		'refused', coalesce((SELECT jsonb_object_agg(f.refusal, f.rows) FROM (SELECT x.refusal, count(*) AS rows FROM smsflow.import_row AS x
			WHERE x.import_id = i.import_id AND x.refusal IS NOT NULL GROUP BY x.refusal) AS f), '{}'),
		'samples', coalesce((SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('line', f.line, 'reason', f.refusal,
				'phone', smsflow.phone_mask(f.phone))) ORDER BY f.line)
			FROM (SELECT x.* FROM smsflow.import_row AS x WHERE x.import_id = i.import_id AND x.refusal IS NOT NULL
				ORDER BY x.line LIMIT coalesce((i.options ->> 'samples')::integer, 10)) AS f), '[]'))
		|| (SELECT CASE WHEN count(*) > 0 THEN jsonb_build_object('unknown_region', count(*)) ELSE '{}' END FROM smsflow.import_row AS x
			WHERE x.import_id = i.import_id AND x.refusal IS NULL AND x.fields ->> 'region' ~ '\S' AND smsflow.known_region(x.fields ->> 'region') IS NULL)
	INTO result FROM smsflow.import_row AS r WHERE r.import_id = i.import_id;
	DELETE FROM smsflow.import_row AS r WHERE r.import_id = i.import_id;
	UPDATE smsflow.import AS x SET report = result WHERE x.import_id = i.import_id;
	RETURN result;
END $$;
COMMENT ON FUNCTION smsflow.finish_import(integer) IS 'Last part of import_contacts(): decides about each row, writes contacts and ledger, and returns the report. SF005 when no such import is running, SF008 when the key of suppressions is missing';
REVOKE ALL ON FUNCTION smsflow.finish_import(integer) FROM PUBLIC;

-- A dry run is the run itself, undone: its report cannot differ.
CREATE OR REPLACE FUNCTION smsflow.import_contacts_inside(source_table regclass, mapping jsonb, dry_run boolean, options jsonb)
	RETURNS jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	columns text[];
	id integer;
	chunk record;
	result jsonb;
	said text;
BEGIN
	IF source_table IS NULL THEN
		PERFORM smsflow.refuse('SF007', 'an import needs a table', 'The argument "source_table" is null.', 'Name a table or view, such as ''old_list''.');
	END IF;
	SELECT array_agg(a.attname::text ORDER BY a.attnum) INTO columns FROM pg_attribute AS a
	WHERE a.attrelid = source_table AND a.attnum > 0 AND NOT a.attisdropped;
	id := smsflow.begin_import(source_table::text, columns, mapping, coalesce(options, '{}'));
	FOR chunk IN EXECUTE format('SELECT array_agg(x.line ORDER BY x.line) AS lines, array_agg(x.fields ORDER BY x.line) AS rows FROM ('
		'SELECT row_number() OVER () AS line, jsonb_build_object(%s) AS fields FROM %s AS r) AS x GROUP BY (x.line - 1) / 5000',
		(SELECT string_agg(CASE m.key WHEN 'attributes'
			THEN format('%L, jsonb_build_object(%s)', m.key, (SELECT string_agg(format('%L, r.%I', t.key, t.value #>> '{}'), ', ') FROM jsonb_each(m.value) AS t))
			ELSE format('%L, r.%I', m.key, m.value #>> '{}') END, ', ') FROM jsonb_each(mapping) AS m), source_table)
	LOOP
		PERFORM smsflow.import_rows(id, chunk.lines, chunk.rows);
	END LOOP;
	result := smsflow.finish_import(id) || jsonb_build_object('dry_run', coalesce(dry_run, true));
	IF coalesce(dry_run, true) THEN
		RAISE EXCEPTION USING ERRCODE = 'SFDRY', MESSAGE = result::text;
	END IF;
	RETURN result;
EXCEPTION WHEN SQLSTATE 'SFDRY' THEN
	GET STACKED DIAGNOSTICS said = MESSAGE_TEXT;
	RETURN said::jsonb - 'import_id';
END $$;
COMMENT ON FUNCTION smsflow.import_contacts_inside(regclass, jsonb, boolean, jsonb) IS 'What import_contacts() does';
REVOKE ALL ON FUNCTION smsflow.import_contacts_inside(regclass, jsonb, boolean, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.import_contacts(source_table regclass, mapping jsonb, dry_run boolean DEFAULT true, options jsonb DEFAULT '{}')
	RETURNS jsonb
	AS 'MODULE_PATHNAME', 'smsflow_outer' LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.import_contacts(regclass, jsonb, boolean, jsonb) IS
'Imports a list from a table or view, read with the caller''s rights. mapping: field -> column; fields are phone, external_id, first_name, last_name, language, region (for national numbers), time_zone, purposes, level, source, occurred_at, opted_out, and attributes (an object of the same kind). options: brand, region, purposes, level, source for all rows, samples (rows shown, 10). It grants nothing that a person has ever ended, and nobody who was erased comes back. Returns {import_id, rows, new, updated, unchanged, opted_out, refused: {reason: rows}, samples}, and unknown_region, rows that were taken without their region because no law is known by it, where there are some; a dry run, the default, changes nothing and has no import_id. Reasons: bad_phone, unknown_purpose, unknown_level, bad_instant, in_the_future, unknown_time_zone, duplicate, suppressed, opted_out, signed_up_meanwhile. SF004 for an unknown brand, SF006 for a mapping that does not fit, SF007 for options, SF008 when the key of suppressions is missing';
REVOKE ALL ON FUNCTION smsflow.import_contacts(regclass, jsonb, boolean, jsonb) FROM PUBLIC;

-- ---- taking it back ----

CREATE OR REPLACE FUNCTION smsflow.removable_contacts(import_id integer) RETURNS SETOF bigint
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT c.contact_id FROM smsflow.contact AS c
	WHERE c.import_id = removable_contacts.import_id
		AND NOT EXISTS (SELECT FROM smsflow.consent_event AS e WHERE e.contact_id = c.contact_id
			AND NOT (e.source = 'undo:' || c.import_id OR (e.source = 'import:' || c.import_id AND e.kind <> 'revoke')))
		AND NOT EXISTS (SELECT FROM smsflow.outbox AS o WHERE o.contact_id = c.contact_id)
		AND NOT EXISTS (SELECT FROM smsflow.event AS e WHERE e.contact_id = c.contact_id)
		AND NOT EXISTS (SELECT FROM smsflow.inbound AS n WHERE n.contact_id = c.contact_id)
		AND NOT EXISTS (SELECT FROM smsflow.enrollment AS n WHERE n.contact_id = c.contact_id)
		AND NOT EXISTS (SELECT FROM smsflow.interest AS i WHERE i.contact_id = c.contact_id)
$$;
COMMENT ON FUNCTION smsflow.removable_contacts(integer) IS 'Contacts that are there by this import alone: nothing was sent to them, and nothing came of them';
REVOKE ALL ON FUNCTION smsflow.removable_contacts(integer) FROM PUBLIC;

-- A revocation ends every grant before it, so what others had granted is granted again, word for word.
CREATE OR REPLACE FUNCTION smsflow.revoke_import(import_id integer, OUT revoked bigint, OUT restored bigint)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
DECLARE
	moment CONSTANT timestamptz := clock_timestamp();
	mark CONSTANT text := 'undo:' || revoke_import.import_id;
	turn bigint;
BEGIN
	DROP TABLE IF EXISTS pg_temp.smsflow_undo, pg_temp.smsflow_restore;
	CREATE TEMP TABLE smsflow_undo ON COMMIT DROP AS
		SELECT c.contact_id, array_agg(p.purpose ORDER BY p.purpose) AS purposes
		FROM smsflow.contact AS c
		CROSS JOIN LATERAL (SELECT smsflow.consent_agg(smsflow.consent_of(e.kind, e.purposes::text[], e.level::text, e.occurred_at)) AS consent
			FROM smsflow.consent_event AS e
			WHERE e.contact_id = c.contact_id AND (e.source <> 'import:' || revoke_import.import_id OR e.kind = 'revoke')) AS others
		CROSS JOIN unnest(enum_range(NULL::smsflow.purpose)) AS p (purpose)
		WHERE c.contact_id IN (SELECT e.contact_id FROM smsflow.consent_event AS e WHERE e.source = 'import:' || revoke_import.import_id)
			AND smsflow.consent_level(c.consent, p.purpose) > smsflow.consent_level(others.consent, p.purpose)
		GROUP BY c.contact_id;
	CREATE TEMP TABLE smsflow_restore ON COMMIT DROP AS
		SELECT f.contact_id, f.consent_event_id, array_agg(f.purpose ORDER BY f.purpose) AS purposes,
			row_number() OVER (PARTITION BY f.contact_id ORDER BY f.consent_event_id) AS round
		FROM (SELECT DISTINCT ON (u.contact_id, p.purpose) u.contact_id, p.purpose, e.consent_event_id
			FROM pg_temp.smsflow_undo AS u
			CROSS JOIN unnest(u.purposes) AS p (purpose)
			JOIN smsflow.consent_event AS e ON e.contact_id = u.contact_id AND e.kind <> 'revoke' AND p.purpose = ANY (e.purposes)
				AND e.source <> 'import:' || revoke_import.import_id
			WHERE e.occurred_at > coalesce((SELECT max(r.occurred_at) FROM smsflow.consent_event AS r
				WHERE r.contact_id = u.contact_id AND r.kind = 'revoke' AND p.purpose = ANY (r.purposes)), '-infinity')
			ORDER BY u.contact_id, p.purpose, e.level DESC, e.consent_event_id DESC) AS f
		GROUP BY f.contact_id, f.consent_event_id;

	SELECT coalesce(sum(smsflow.append_entries(a.ids, array_fill('revoke'::text, a.n), a.purposes, array_fill(NULL::text, a.n), array_fill(mark, a.n),
		array_fill(NULL::text, a.n), array_fill(NULL::text, a.n), array_fill(NULL::text, a.n), array_fill('{}'::jsonb, a.n), array_fill(moment, a.n))), 0)
	INTO revoked
	FROM (SELECT array_agg(u.contact_id) AS ids, array_agg(u.purposes::text) AS purposes, ARRAY[count(*)::integer] AS n
		FROM pg_temp.smsflow_undo AS u HAVING count(*) > 0) AS a;
	restored := 0;
	FOR turn IN SELECT DISTINCT r.round FROM pg_temp.smsflow_restore AS r ORDER BY r.round LOOP
		restored := restored + (SELECT smsflow.append_entries(array_agg(r.contact_id), array_agg('grant'::text), array_agg(r.purposes::text), array_agg(e.level::text),
				array_agg(mark), array_agg(e.disclosure), array_agg(e.disclosure_version), array_agg(NULL::text),
				array_agg(jsonb_build_object('restores', r.consent_event_id)), array_agg(moment + interval '1 microsecond'))
			FROM pg_temp.smsflow_restore AS r JOIN smsflow.consent_event AS e USING (consent_event_id) WHERE r.round = turn);
	END LOOP;
	PERFORM smsflow.note_revocation('contact', u.contact_id) FROM pg_temp.smsflow_undo AS u;
	DROP TABLE pg_temp.smsflow_undo, pg_temp.smsflow_restore;
END $$;
COMMENT ON FUNCTION smsflow.revoke_import(integer) IS 'Ends what an import granted and nothing else does, and grants again what others had granted';
REVOKE ALL ON FUNCTION smsflow.revoke_import(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.undo_import(import_id integer) RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	i smsflow.import;
	ended record;
	gone bigint[];
BEGIN
	SELECT * INTO i FROM smsflow.import AS x WHERE x.import_id = undo_import.import_id FOR UPDATE;
	IF i.import_id IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('import %s does not exist', undo_import.import_id),
			DETAIL = 'import_contacts() returns the id of an import that was not a dry run.', HINT = 'See smsflow.import.';
	END IF;
	IF i.undone_at IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('import %s is undone already', undo_import.import_id),
			DETAIL = format('It was undone at %s.', i.undone_at), HINT = 'There is nothing left to undo.';
	END IF;
	PERFORM FROM smsflow.contact AS c
	WHERE c.import_id = i.import_id OR c.contact_id IN (SELECT e.contact_id FROM smsflow.consent_event AS e WHERE e.source = 'import:' || i.import_id)
	ORDER BY c.contact_id FOR UPDATE;
	SELECT * INTO ended FROM smsflow.revoke_import(i.import_id);
	gone := ARRAY(SELECT smsflow.removable_contacts(i.import_id));
	INSERT INTO smsflow.removed_contact (contact_id, brand_id, ledger_head, reason)
	SELECT c.contact_id, c.brand_id, c.ledger_head, 'undo_import' FROM smsflow.contact AS c WHERE c.contact_id = ANY (gone);
	DELETE FROM smsflow.contact AS c WHERE c.contact_id = ANY (gone);
	UPDATE smsflow.import AS x SET undone_at = clock_timestamp() WHERE x.import_id = i.import_id;
	RETURN jsonb_build_object('import_id', i.import_id, 'revoked', ended.revoked, 'restored', ended.restored, 'removed', cardinality(gone));
END $$;
COMMENT ON FUNCTION smsflow.undo_import(integer) IS
'Takes an import back: ends what it alone granted, and removes contacts it made that have no other history. Opt-outs it brought stay, and so do names it completed. Returns {import_id, revoked, restored, removed} in contacts, restored in entries. SF004 for no such import, SF005 if it is undone already';
REVOKE ALL ON FUNCTION smsflow.undo_import(integer) FROM PUBLIC;
