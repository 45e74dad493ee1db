-- Watching the store's cart and order tables: which column means what is
-- decided once, here, and shown to the caller; the trigger only obeys.

CREATE OR REPLACE FUNCTION smsflow.watch_trigger() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'smsflow_watch_trigger';
COMMENT ON FUNCTION smsflow.watch_trigger() IS 'Row trigger of watched tables: turns a change into a row of smsflow.event, and never fails the store''s statement';
REVOKE ALL ON FUNCTION smsflow.watch_trigger() FROM PUBLIC;

-- Reading changed carts, as the owner of their table: what the store put into its
-- columns, types of its own among it, is never evaluated with the worker's rights.
CREATE OR REPLACE FUNCTION smsflow.column_text(name text) RETURNS text
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN name IS NULL THEN 'NULL::text' ELSE format($q$nullif(btrim(concat(t.%I), E' \t\n\r'), '')$q$, name) END;
$$;
COMMENT ON FUNCTION smsflow.column_text(text) IS 'SQL of the trimmed text of a column, NULL where it is blank or not mapped';
REVOKE ALL ON FUNCTION smsflow.column_text(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.open_cart(mapping jsonb) RETURNS text
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT concat_ws(' AND ', 'true',
		CASE WHEN mapping ? 'active' THEN format('coalesce(%s = ANY (%L::text[]), false)', smsflow.column_text(mapping ->> 'status'),
			ARRAY(SELECT jsonb_array_elements_text(mapping -> 'active'))) END,
		CASE WHEN mapping ? 'items_table' THEN format('EXISTS (SELECT FROM %s i WHERE i.%I = t.%I)', mapping ->> 'items_table', mapping ->> 'items_key', mapping ->> 'id') END,
		CASE WHEN mapping ? 'items' THEN format($q$coalesce(to_jsonb(t.%1$I) NOT IN ('{}', '[]') AND jsonb_typeof(to_jsonb(t.%1$I)) IN ('array', 'object'), false)$q$,
			mapping ->> 'items') END);
$$;
COMMENT ON FUNCTION smsflow.open_cart(jsonb) IS 'SQL condition by which a cart is open';
REVOKE ALL ON FUNCTION smsflow.open_cart(jsonb) FROM PUBLIC;

-- The key's type is named without a length (-1): character alone would mean character(1).
CREATE OR REPLACE FUNCTION smsflow.read_query(watch_id integer) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT format($q$SELECT jsonb_agg(jsonb_build_object('key', concat(t.%1$I), 'ref', %2$s, 'phone', %3$s, 'external_id', %4$s, 'total', %5$s,
			'currency', %6$s, 'open', %7$s, 'data', jsonb_build_object('cart', jsonb_strip_nulls(jsonb_build_object(%8$s))) || %9$s))
			FROM %10$s t WHERE t.%1$I = ANY ($1::%11$s[])$q$,
		m ->> 'id', smsflow.column_text(m ->> 'id'), smsflow.column_text(m ->> 'phone'), smsflow.column_text(m ->> 'customer_id'),
		smsflow.column_text(m ->> 'total'), smsflow.column_text(m ->> 'currency'), smsflow.open_cart(m),
		(SELECT string_agg(format('%L, t.%I', c.key, c.value), ', ') FROM jsonb_each_text(m - '{active,data,status_map}'::text[]) c
			WHERE c.key IN ('id', 'cart_id', 'status', 'items', 'total', 'currency'))
			|| CASE WHEN m ? 'items_table' THEN format($q$, 'items', (SELECT jsonb_agg(to_jsonb(i)) FROM %s i WHERE i.%I = t.%I)$q$,
				m ->> 'items_table', m ->> 'items_key', m ->> 'id') ELSE '' END,
		coalesce((SELECT 'jsonb_strip_nulls(jsonb_build_object(' || string_agg(format('%L, t.%I', d.key, d.value), ', ') || '))'
			FROM jsonb_each_text(m -> 'data') d), $q$'{}'$q$),
		w.relation, (SELECT format_type(a.atttypid, -1) FROM pg_attribute a WHERE a.attrelid = w.relation AND a.attname = m ->> 'id'))
	FROM smsflow.watch w CROSS JOIN LATERAL (SELECT w.mapping AS m) x WHERE w.watch_id = read_query.watch_id;
$$;
COMMENT ON FUNCTION smsflow.read_query(integer) IS 'Query that reads the carts with the keys $1 of a watched table as one JSON array';
REVOKE ALL ON FUNCTION smsflow.read_query(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.read_watched(watch_id integer, keys text[]) RETURNS jsonb
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smsflow_read_watched';
COMMENT ON FUNCTION smsflow.read_watched(integer, text[]) IS 'Rows of a watched table by their keys, read as the owner of the table; NULL when there are none or the table is not watched any more';
REVOKE ALL ON FUNCTION smsflow.read_watched(integer, text[]) FROM PUBLIC;

-- Whoever cannot have the row at once leaves it, as the trigger does.
CREATE OR REPLACE FUNCTION smsflow.leave_out(watch_id integer, key text, state text, reason text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	watched CONSTANT regclass := (SELECT w.relation FROM smsflow.watch w WHERE w.watch_id = leave_out.watch_id);
	cart CONSTANT text := format('cart "%s" is left out', left(leave_out.key, 100));
BEGIN
	RAISE WARNING USING ERRCODE = leave_out.state, MESSAGE = format('%s of table %s', cart, watched), DETAIL = leave_out.reason,
		HINT = 'It is read again when it changes; smsflow.trigger_problem has it, too.';
	INSERT INTO smsflow.trigger_problem AS p (relation, sqlstate, error)
	SELECT watched, leave_out.state, concat(cart, ': ', regexp_replace(left(leave_out.reason, 300), '[0-9]{5,}', '...', 'g'))
	WHERE pg_try_advisory_xact_lock(hashtextextended(concat('smsflow.trigger_problem ', watched::oid, ' ', leave_out.state), 0))
	ON CONFLICT (relation, sqlstate) DO UPDATE SET times = p.times + 1, error = EXCLUDED.error, last_at = EXCLUDED.last_at;
END $$;
COMMENT ON FUNCTION smsflow.leave_out(integer, text, text, text) IS 'Warns of a cart that cannot be made an event, by its key, and keeps that in smsflow.trigger_problem';
REVOKE ALL ON FUNCTION smsflow.leave_out(integer, text, text, text) FROM PUBLIC;

-- What is wrong with the transaction, or the table, and not with a cart is the caller's.
CREATE OR REPLACE FUNCTION smsflow.read_singly(watch_id integer, keys text[]) RETURNS jsonb
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	key text;
	rows jsonb := '[]';
BEGIN
	RETURN smsflow.read_watched(read_singly.watch_id, read_singly.keys);
EXCEPTION WHEN OTHERS THEN
	IF SQLSTATE !~ '^(22|23|44|54|P0|SF)' THEN
		RAISE;
	END IF;
	FOREACH key IN ARRAY read_singly.keys LOOP
		BEGIN
			rows := rows || coalesce(smsflow.read_watched(read_singly.watch_id, ARRAY[key]), '[]');
		EXCEPTION WHEN OTHERS THEN
			IF SQLSTATE !~ '^(22|23|44|54|P0|SF)' THEN
				RAISE;
			END IF;
			PERFORM smsflow.leave_out(read_singly.watch_id, key, SQLSTATE, SQLERRM);
		END;
	END LOOP;
	RETURN rows;
END $$;
COMMENT ON FUNCTION smsflow.read_singly(integer, text[]) IS 'read_watched(); where one of the rows cannot be read, the others, and a warning for each that cannot';
REVOKE ALL ON FUNCTION smsflow.read_singly(integer, text[]) FROM PUBLIC;

-- Keys are parts of indexes, whose entries have a longest size.
CREATE OR REPLACE FUNCTION smsflow.read_carts(watch_id integer, keys text[])
	RETURNS TABLE (key text, ref text, phone text, external_id text, total text, currency text, open boolean, data jsonb)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	FOR key, ref, phone, external_id, total, currency, open, data IN
		SELECT r.* FROM jsonb_to_recordset(smsflow.read_singly(read_carts.watch_id, read_carts.keys))
			AS r (key text, ref text, phone text, external_id text, total text, currency text, open boolean, data jsonb)
	LOOP
		IF greatest(octet_length(ref), octet_length(phone), octet_length(external_id)) > 2000 THEN
			PERFORM smsflow.leave_out(read_carts.watch_id, key, 'SF007', 'Its key, phone number or customer is longer than 2000 bytes.');
		ELSE
			RETURN NEXT;
		END IF;
	END LOOP;
END $$;
COMMENT ON FUNCTION smsflow.read_carts(integer, text[]) IS 'Carts of a watched table by their keys, but for those that cannot be made events, of which a warning tells';
REVOKE ALL ON FUNCTION smsflow.read_carts(integer, text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.expand_events(event_ids bigint[]) RETURNS bigint[]
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	WITH made AS (
		INSERT INTO smsflow.event (event_id, occurred_at, brand_id, watch_id, kind, ref, phone, external_id, amount, currency, data)
		SELECT e.event_id - 1024 + k.place, e.occurred_at, e.brand_id, e.watch_id, 'cart', r.ref,
			coalesce(smsflow.phone_or_null(r.phone)::text, r.phone), r.external_id,
			CASE WHEN r.total ~ '^[-+]?[0-9]*[.]?[0-9]+([eE][-+]?[0-9]{1,3})?$' THEN CASE WHEN abs(r.total::numeric) < 1e18 THEN r.total::numeric END END,
			CASE WHEN octet_length(r.currency) <= 40 THEN upper(r.currency) END, r.data
		FROM smsflow.event e
		CROSS JOIN LATERAL smsflow.read_carts(e.watch_id, e.keys) AS r
		JOIN LATERAL unnest(e.keys) WITH ORDINALITY AS k (key, place) ON k.key = r.key
		-- One that was closed said so in its own row.
		WHERE e.event_id = ANY (expand_events.event_ids) AND e.kind = 'rows' AND r.open AND coalesce(r.phone, r.external_id) IS NOT NULL
		ON CONFLICT DO NOTHING
		RETURNING event_id)
	SELECT coalesce(array_agg(made.event_id), '{}') FROM made;
$$;
COMMENT ON FUNCTION smsflow.expand_events(bigint[]) IS 'Makes an event of each open cart that events of kind rows name, as it is now, in the place of that event; returns their ids';
REVOKE ALL ON FUNCTION smsflow.expand_events(bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.watch_rules(relation oid)
	RETURNS TABLE (watch_id integer, brand_id integer, kind text, meaning text, label text, value text, attnum smallint)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT w.watch_id, w.brand_id, w.kind, r.meaning, r.label, r.value, a.attnum
	FROM smsflow.watch w
	CROSS JOIN LATERAL (
		SELECT m.key, NULL, m.value #>> '{}', true FROM jsonb_each(w.mapping - '{active,data,status_map,items_table,items_key,stock_factor,low_stock}'::text[]) m
		UNION ALL SELECT 'data', d.key, d.value, true FROM jsonb_each_text(w.mapping -> 'data') d
		UNION ALL SELECT 'active', NULL, v.value, false FROM jsonb_array_elements_text(w.mapping -> 'active') v
		UNION ALL SELECT 'status_map', s.key, s.value, false FROM jsonb_each_text(w.mapping -> 'status_map') s
	) AS r (meaning, label, value, is_column)
	LEFT JOIN pg_attribute a ON a.attrelid = watch_rules.relation AND a.attname = r.value AND r.is_column AND a.attnum > 0
	WHERE w.relation = watch_rules.relation
		OR w.relation IN (SELECT p.relid FROM pg_partition_ancestors(watch_rules.relation::regclass) p);
$$;
COMMENT ON FUNCTION smsflow.watch_rules(oid) IS 'Mapping of a watched table, or of the partitioned table it is part of, with attribute numbers of that table; attnum is NULL for a column that is gone';
REVOKE ALL ON FUNCTION smsflow.watch_rules(oid) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.watch_meanings(kind text) RETURNS TABLE (meaning text, guesses text[], types text[], absent text)
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT m.meaning, m.guesses, m.types, m.absent FROM (VALUES
		('{cart,order,inventory,other}'::text[], 'id', ARRAY['id', 'sku', 'product_id', kind || '_id', 'entity_id'], NULL::text[], NULL),
		('{cart,order,other}', 'phone', '{phone,phone_number,mobile,mobile_phone,telephone,customer_phone,billing_phone}', NULL, 'contacts are found by customer_id alone'),
		('{cart,order,other}', 'customer_id', '{customer_id,user_id}', NULL, 'contacts are found by phone alone'),
		('{order}', 'cart_id', '{cart_id}', NULL, 'a purchase ends every cart sequence of the contact, not one cart''s'),
		('{cart,order,other}', 'status', CASE WHEN kind = 'cart' THEN '{}' ELSE ARRAY['status', 'state', kind || '_status'] END::text[], NULL,
			CASE WHEN kind = 'cart' THEN 'every cart counts as open' ELSE 'a changed row makes no event' END),
		('{cart,order,other}', 'items', '{items,line_items}', '{json,jsonb}', 'templates cannot name the items'),
		('{cart,order,other}', 'total', ARRAY['total', 'total_price', 'grand_total', 'total_amount', kind || '_total'], '{int2,int4,int8,numeric,float4,float8}', 'events have no amount'),
		('{cart,order,other}', 'currency', '{currency,currency_code}', NULL, 'events have no currency'),
		('{inventory}', 'stock', '{stock,quantity,stock_quantity,inventory,units,qty}', '{int2,int4,int8,numeric,float4,float8}', 'only the price is watched'),
		('{inventory}', 'price', '{price,unit_price}', '{int2,int4,int8,numeric,float4,float8}', 'price drops are not seen'),
		('{cart}', 'updated_at', '{}', NULL, 'only changes of the columns above make an event')
	) AS m (kinds, meaning, guesses, types, absent)
	WHERE CASE WHEN kind IN ('cart', 'order', 'inventory') THEN kind ELSE 'other' END = ANY (m.kinds);
$$;
COMMENT ON FUNCTION smsflow.watch_meanings(text) IS 'What a mapping of this kind of table can name, the column names guessed for it, the types it must have, and what follows when it is absent';
REVOKE ALL ON FUNCTION smsflow.watch_meanings(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.refuse_mapping(message text, detail text, hint text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'SF006', MESSAGE = message, DETAIL = detail, HINT = hint;
END $$;
COMMENT ON FUNCTION smsflow.refuse_mapping(text, text, text) IS 'Raises SF006';
REVOKE ALL ON FUNCTION smsflow.refuse_mapping(text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.forget_dropped_tables() RETURNS integer
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	WITH gone AS (
		DELETE FROM smsflow.watch w WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = w.relation) RETURNING 1),
	solved AS (
		DELETE FROM smsflow.trigger_problem p WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = p.relation))
	SELECT count(*)::integer FROM gone;
$$;
COMMENT ON FUNCTION smsflow.forget_dropped_tables() IS 'Removes what is known of watched tables that were dropped, and returns how many they were';
REVOKE ALL ON FUNCTION smsflow.forget_dropped_tables() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_watchable(relation regclass) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	-- The function that calls this one runs as its owner: the caller is the role set, or else the one logged in.
	caller text := coalesce(nullif(current_setting('role'), 'none'), session_user);
	what text;
BEGIN
	SELECT CASE WHEN c.relkind IN ('r', 'p') THEN NULL WHEN c.relkind IN ('v', 'm') THEN 'a view'
			WHEN c.relkind = 'f' THEN 'a foreign table' ELSE 'not a table' END
		INTO what FROM pg_class c WHERE c.oid = check_watchable.relation;
	IF NOT FOUND THEN
		PERFORM smsflow.refuse_mapping('table to watch does not exist', 'There is no table with this oid.', 'Pass the name of a table.');
	ELSIF what IS NOT NULL THEN
		PERFORM smsflow.refuse_mapping(format('%s cannot be watched', relation), format('It is %s.', what),
			'Watch the ordinary or partitioned table that the store writes to.');
	ELSIF (SELECT c.relnamespace IN ('smsflow'::regnamespace, 'pg_catalog'::regnamespace) FROM pg_class c WHERE c.oid = check_watchable.relation) THEN
		PERFORM smsflow.refuse_mapping(format('%s cannot be watched', relation), 'It is no table of the store.',
			'Watch a table that the store writes to.');
	ELSIF NOT has_table_privilege(caller, relation, 'TRIGGER') THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = format('permission denied to watch %s', relation),
			DETAIL = format('Role "%s" has no TRIGGER privilege on it.', caller), HINT = 'Ask the owner of the table for GRANT TRIGGER.';
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_watchable(regclass) IS 'Raises SF006 for what is no table of the store, and 42501 when the caller may not put triggers on it';
REVOKE ALL ON FUNCTION smsflow.check_watchable(regclass) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_readable(relation regclass) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	owner name;
BEGIN
	SELECT r.rolname INTO owner FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
	WHERE c.oid = check_readable.relation AND c.relrowsecurity AND c.relforcerowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls;
	IF FOUND THEN
		PERFORM smsflow.refuse_mapping(format('row level security may hide rows of %s from its owner', relation),
			'Changed carts are read again with the rights of the owner of the table, and must all be seen.',
			format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY, or ALTER ROLE %I BYPASSRLS.', relation, owner));
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_readable(regclass) IS 'Raises SF006 when not even the owner of a table may read all of its rows';
REVOKE ALL ON FUNCTION smsflow.check_readable(regclass) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_mapping_keys(kind text, mapping jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	known text[] := ARRAY(SELECT m.meaning FROM smsflow.watch_meanings(kind) m)
		|| CASE kind WHEN 'cart' THEN '{active,data}'::text[] WHEN 'inventory' THEN '{data,stock_factor,low_stock}' ELSE '{status_map,data}' END;
	wrong text;
BEGIN
	IF jsonb_typeof(mapping) IS DISTINCT FROM 'object' THEN
		PERFORM smsflow.refuse_mapping('mapping must be a JSON object', 'It says which column means what.',
			'Example: {"phone": "mobile", "total": "sum"}.');
	END IF;
	SELECT k INTO wrong FROM jsonb_object_keys(mapping) k WHERE k <> ALL (known) ORDER BY k LIMIT 1;
	IF wrong IS NOT NULL THEN
		PERFORM smsflow.refuse_mapping(format('unknown mapping key "%s"', wrong), format('The keys are %s.', array_to_string(known, ', ')),
			'To copy a column into the event, name it in "data".');
	END IF;
	SELECT e.key INTO wrong FROM jsonb_each(mapping) e
	WHERE e.key NOT IN ('items', 'stock_factor', 'low_stock') AND CASE e.key WHEN 'active' THEN jsonb_typeof(e.value) <> 'array' WHEN 'data' THEN jsonb_typeof(e.value) <> 'object'
			WHEN 'status_map' THEN jsonb_typeof(e.value) <> 'object' ELSE jsonb_typeof(e.value) NOT IN ('string', 'null') END
		OR e.key = 'items' AND (jsonb_typeof(e.value) NOT IN ('string', 'null', 'object')
			OR jsonb_typeof(e.value) = 'object' AND NOT (kind = 'cart' AND e.value ?& '{table,cart_id}'))
		OR jsonb_path_exists(e.value, '$.* ? (@.type() != "string")') OR e.value = '[]'
		OR jsonb_path_exists(e.value, 'strict $[*] ? (@.type() == "array" || @.type() == "object" || @.type() == "null")', silent => true)
	ORDER BY e.key LIMIT 1;
	IF wrong IS NOT NULL THEN
		PERFORM smsflow.refuse_mapping(format('mapping key "%s" has a value of the wrong kind', wrong),
			'Columns are names, "active" is a list of values, "data" and "status_map" are objects of strings, "items" of a cart may be an object with "table" and "cart_id".',
			'Example: {"status": "state", "active": ["open"], "data": {"url": "checkout_url"}}.');
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_mapping_keys(text, jsonb) IS 'Raises SF006 for a mapping with unknown keys or values of the wrong kind';
REVOKE ALL ON FUNCTION smsflow.check_mapping_keys(text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_column(relation regclass, meaning text, name text, types text[]) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	type text;
BEGIN
	SELECT format_type(a.atttypid, a.atttypmod) INTO type FROM pg_attribute a
	WHERE a.attrelid = check_column.relation AND a.attname = check_column.name AND a.attnum > 0 AND NOT a.attisdropped;
	IF type IS NULL THEN
		PERFORM smsflow.refuse_mapping(format('column "%s" does not exist', check_column.name),
			format('The mapping of %s names it as %s.', relation, meaning),
			format('Table %s has the columns %s.', relation, (SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_attribute a
				WHERE a.attrelid = check_column.relation AND a.attnum > 0 AND NOT a.attisdropped)));
	ELSIF NOT smsflow.column_fits(relation, check_column.name, types) THEN
		PERFORM smsflow.refuse_mapping(format('column "%s" cannot be the %s', check_column.name, meaning),
			format('Its type is %s; a stored column%s is needed.', type, coalesce(' of type ' || array_to_string(types, ' or '), '')),
			'A stored generated column can give the value in another type.');
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_column(regclass, text, text, text[]) IS 'Raises SF006 when a table has no such column, or one of another type';
REVOKE ALL ON FUNCTION smsflow.check_column(regclass, text, text, text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.column_fits(relation regclass, name text, types text[]) RETURNS boolean
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT EXISTS (SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
		WHERE a.attrelid = column_fits.relation AND a.attname = column_fits.name AND a.attnum > 0 AND NOT a.attisdropped
			AND a.attgenerated <> 'v'
			AND (types IS NULL OR coalesce(nullif(t.typbasetype, 0), t.oid) = ANY (types::regtype[])));
$$;
COMMENT ON FUNCTION smsflow.column_fits(regclass, text, text[]) IS 'Whether a table has a column of this name that a trigger can read (PostgreSQL does not show it virtual generated columns), of one of these types; NULL types: any type';
REVOKE ALL ON FUNCTION smsflow.column_fits(regclass, text, text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.guess_column(relation regclass, meaning text, guesses text[], types text[], OUT name text, OUT note text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	key text[] := ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
		WHERE i.indrelid = guess_column.relation AND i.indisprimary);
BEGIN
	IF meaning = 'id' AND cardinality(key) = 1 THEN
		name := key[1];
		note := 'primary key';
		RETURN;
	END IF;
	-- cartId and CartID are cart_id.
	SELECT a.attname INTO name FROM unnest(guesses) WITH ORDINALITY u (g, rank)
	JOIN pg_attribute a ON a.attrelid = guess_column.relation AND lower(regexp_replace(a.attname, '([a-z0-9])([A-Z])', '\1_\2', 'g')) = g
	WHERE smsflow.column_fits(relation, a.attname, types) AND (meaning <> 'id' OR a.attname = ANY (key)) ORDER BY rank, a.attnum LIMIT 1;
	IF name IS NOT NULL THEN
		note := 'guessed from its name';
	ELSIF meaning = 'id' THEN
		PERFORM smsflow.refuse_mapping(format('table %s has no primary key of one column', relation),
			'Events need a key that says which cart or order they are about.', 'Name the column: {"id": "..."}.');
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.guess_column(regclass, text, text[], text[]) IS 'Column that usually has a meaning, NULL if there is none. Errors: SF006 no key';
REVOKE ALL ON FUNCTION smsflow.guess_column(regclass, text, text[], text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_items_table(items jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF to_regclass(items ->> 'table') IS NULL THEN
		PERFORM smsflow.refuse_mapping(format('table "%s" does not exist', items ->> 'table'), 'The mapping names it as the table of items.',
			'Name it with its schema: {"items": {"table": "shop.cart_items", "cart_id": "cart_id"}}.');
	END IF;
	PERFORM smsflow.check_watchable(to_regclass(items ->> 'table'));
	PERFORM smsflow.check_readable(to_regclass(items ->> 'table'));
	PERFORM smsflow.check_column(to_regclass(items ->> 'table'), 'cart_id of items', items ->> 'cart_id', NULL);
END $$;
COMMENT ON FUNCTION smsflow.check_items_table(jsonb) IS 'Raises SF006 or 42501 when a table of items cannot be watched';
REVOKE ALL ON FUNCTION smsflow.check_items_table(jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.resolve_columns(kind text, relation regclass, mapping jsonb)
	RETURNS TABLE (meaning text, column_name text, note text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	m record;
	no_items boolean := false;
BEGIN
	FOR m IN SELECT * FROM smsflow.watch_meanings(kind) LOOP
		meaning := m.meaning;
		column_name := mapping ->> m.meaning;
		note := 'from the mapping';
		IF jsonb_typeof(mapping -> meaning) = 'object' THEN
			PERFORM smsflow.check_items_table(mapping -> meaning);
			column_name := NULL;
			note := format('rows of %s by %s', (mapping -> meaning ->> 'table')::regclass, mapping -> meaning ->> 'cart_id');
			RETURN NEXT;
			CONTINUE;
		ELSIF column_name IS NOT NULL THEN
			PERFORM smsflow.check_column(relation, meaning, column_name, m.types);
		ELSIF NOT mapping ? meaning THEN
			-- Many programs touch updated_at for every reason; it is watched on its own only where nothing else shows new items.
			SELECT g.name, g.note INTO column_name, note FROM smsflow.guess_column(relation, meaning,
				CASE WHEN meaning = 'status' AND mapping ? 'active' THEN '{status,state}'
					WHEN meaning = 'updated_at' AND no_items THEN '{updated_at,modified_at}' ELSE m.guesses END, m.types) g;
		END IF;
		no_items := no_items OR (meaning = 'items' AND column_name IS NULL);
		IF column_name IS NULL THEN
			note := 'not found: ' || m.absent;
		END IF;
		RETURN NEXT;
	END LOOP;
	meaning := 'data';
	FOR m IN SELECT d.key, d.value FROM jsonb_each_text(mapping -> 'data') d LOOP
		PERFORM smsflow.check_column(relation, meaning, m.value, NULL);
		column_name := m.value;
		note := format('copied: {{%s}} in templates', m.key);
		RETURN NEXT;
	END LOOP;
END $$;
COMMENT ON FUNCTION smsflow.resolve_columns(text, regclass, jsonb) IS 'Column for every meaning, from the mapping or by its usual names. Errors: SF006';
REVOKE ALL ON FUNCTION smsflow.resolve_columns(text, regclass, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_mapping(kind text, relation regclass, mapping jsonb, resolved jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF kind = 'inventory' AND NOT resolved ?| '{stock,price}' THEN
		PERFORM smsflow.refuse_mapping(format('nothing in table %s is a stock or a price', relation), 'It has no number under a usual name.',
			'Name the column: {"stock": "..."}.');
	ELSIF kind <> 'inventory' AND NOT resolved ?| '{phone,customer_id}' THEN
		PERFORM smsflow.refuse_mapping(format('nothing in table %s says who it is about', relation),
			'It has neither a phone number nor a customer id under a usual name.', 'Name the column: {"phone": "..."} or {"customer_id": "..."}.');
	ELSIF kind = 'cart' AND (resolved ? 'status') IS DISTINCT FROM (mapping ? 'active') THEN
		PERFORM smsflow.refuse_mapping('status and active belong together',
			'The status of a cart is of use only with the values that mean an open cart, and those only with a status.',
			'Example: {"status": "state", "active": ["open", "checkout"]}.');
	ELSIF (mapping -> 'data') ?| ARRAY['cart', 'order', kind] THEN
		PERFORM smsflow.refuse_mapping(format('copied columns cannot be called "cart", "order" or "%s"', kind), 'These names hold the watched columns.',
			'Choose another name in "data".');
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_mapping(text, regclass, jsonb, jsonb) IS 'Raises SF006 when a mapping is not enough to watch a table';
REVOKE ALL ON FUNCTION smsflow.check_mapping(text, regclass, jsonb, jsonb) FROM PUBLIC;

-- A boolean column prints its values as t and f.
CREATE OR REPLACE FUNCTION smsflow.active_values(relation regclass, status text, active jsonb) RETURNS jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT jsonb_agg(CASE WHEN smsflow.column_fits(relation, status, '{bool}') THEN left(v, 1) ELSE v END)
	FROM jsonb_array_elements_text(active) v;
$$;
COMMENT ON FUNCTION smsflow.active_values(regclass, text, jsonb) IS 'Values of a cart''s status column that mean an open cart, as its type prints them';
REVOKE ALL ON FUNCTION smsflow.active_values(regclass, text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_unwatched(relation regclass) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	other regclass;
BEGIN
	SELECT w.relation INTO other FROM smsflow.watch w
	WHERE w.relation = check_unwatched.relation
		OR w.relation IN (SELECT p.relid FROM pg_partition_ancestors(check_unwatched.relation) p)
		OR w.relation IN (SELECT p.relid FROM pg_partition_tree(check_unwatched.relation) p)
	LIMIT 1;
	IF other IS NOT NULL THEN
		PERFORM smsflow.refuse_mapping(format('table %s is already watched', other), 'A table can be watched once, alone or with its partitions.',
			format('Call smsflow.unwatch(%L) first.', other));
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_unwatched(regclass) IS 'Raises SF006 when the table, a partition of it or the table it is part of is watched';
REVOKE ALL ON FUNCTION smsflow.check_unwatched(regclass) FROM PUBLIC;

-- New carts are taken all at once, from the transition table. A partitioned table
-- has no such trigger that sees rows written to a partition directly, and a partition
-- none that sees rows written through its parent.
CREATE OR REPLACE FUNCTION smsflow.create_triggers(relation regclass, carts boolean) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	at_once CONSTANT boolean := carts AND (SELECT c.relkind = 'r' AND NOT c.relispartition FROM pg_class c WHERE c.oid = relation);
	event text;
BEGIN
	FOREACH event IN ARRAY CASE WHEN carts THEN '{insert,update,delete}' ELSE '{insert,update}' END::text[] LOOP
		EXECUTE format('CREATE TRIGGER smsflow_watch_%s AFTER %1$s ON %s %s EXECUTE FUNCTION smsflow.watch_trigger()', event, relation,
			CASE WHEN at_once AND event = 'insert' THEN 'REFERENCING NEW TABLE AS smsflow_rows FOR EACH STATEMENT' ELSE 'FOR EACH ROW' END);
		-- DROP EXTENSION then takes the trigger with it instead of refusing.
		EXECUTE format('ALTER TRIGGER smsflow_watch_%s ON %s DEPENDS ON EXTENSION smsflow', event, relation);
	END LOOP;
END $$;
COMMENT ON FUNCTION smsflow.create_triggers(regclass, boolean) IS 'Puts the triggers on a table to watch';
REVOKE ALL ON FUNCTION smsflow.create_triggers(regclass, boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.create_item_triggers(watch_id integer, brand_id integer, relation regclass, cart_column text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	event text;
	loss record;
BEGIN
	FOREACH event IN ARRAY '{insert,update,delete}'::text[] LOOP
		EXECUTE format('CREATE TRIGGER smsflow_items_%s AFTER %1$s ON %s REFERENCING %s TABLE AS smsflow_rows FOR EACH STATEMENT
			EXECUTE FUNCTION smsflow.watch_trigger(%s, %s, %L)', event, relation, CASE WHEN event = 'delete' THEN 'OLD' ELSE 'NEW' END, watch_id, brand_id, cart_column);
		EXECUTE format('ALTER TRIGGER smsflow_items_%s ON %s DEPENDS ON EXTENSION smsflow', event, relation);
	END LOOP;
	-- A store may write the items anew by deleting them all: whether a cart is empty is known when its transaction ends.
	-- Who logs in takes the items of the cart from before along: that one is empty then, too.
	FOR loss IN SELECT * FROM (VALUES ('emptied', 'DELETE', ''),
		('moved', 'UPDATE', format('WHEN (OLD.%1$I IS DISTINCT FROM NEW.%1$I)', cart_column))) AS l (name, event, condition)
	LOOP
		EXECUTE format('CREATE CONSTRAINT TRIGGER smsflow_items_%s AFTER %s ON %s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW %s
			EXECUTE FUNCTION smsflow.watch_trigger(%s, %s, %L)', loss.name, loss.event, relation, loss.condition, watch_id, brand_id, cart_column);
		EXECUTE format('ALTER TRIGGER smsflow_items_%s ON %s DEPENDS ON EXTENSION smsflow', loss.name, relation);
	END LOOP;
END $$;
COMMENT ON FUNCTION smsflow.create_item_triggers(integer, integer, regclass, text) IS 'Puts the triggers on the table with the items of watched carts';
REVOKE ALL ON FUNCTION smsflow.create_item_triggers(integer, integer, regclass, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.drop_triggers(relation regclass) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	trigger name;
BEGIN
	FOR trigger IN SELECT t.tgname FROM pg_trigger t
		WHERE t.tgrelid = drop_triggers.relation AND t.tgfoid = 'smsflow.watch_trigger()'::regprocedure AND t.tgparentid = 0
	LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', trigger, relation);
	END LOOP;
END $$;
COMMENT ON FUNCTION smsflow.drop_triggers(regclass) IS 'Takes our triggers off a table';
REVOKE ALL ON FUNCTION smsflow.drop_triggers(regclass) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.watch_relation(kind text, relation regclass, mapping jsonb, brand text)
	RETURNS TABLE (meaning text, column_name text, note text)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	brand_id integer := smsflow.brand_named(brand);
	resolved jsonb;
BEGIN
	PERFORM smsflow.forget_dropped_tables();
	PERFORM smsflow.check_watchable(relation);
	PERFORM smsflow.check_unwatched(relation);
	IF kind = 'cart' THEN
		PERFORM smsflow.check_readable(relation);
	END IF;
	PERFORM smsflow.check_mapping_keys(kind, mapping);
	SELECT jsonb_object_agg(r.meaning, r.column_name) INTO resolved
	FROM smsflow.resolve_columns(kind, relation, mapping) r WHERE r.column_name IS NOT NULL AND r.meaning <> 'data';
	PERFORM smsflow.check_mapping(kind, relation, mapping, resolved);

	INSERT INTO smsflow.watch (relation, kind, brand_id, mapping)
	VALUES (relation, kind, brand_id, resolved || jsonb_strip_nulls(jsonb_build_object(
		'active', smsflow.active_values(relation, resolved ->> 'status', mapping -> 'active'),
		'data', mapping -> 'data', 'status_map', mapping -> 'status_map',
		'stock_factor', mapping -> 'stock_factor', 'low_stock', mapping -> 'low_stock', 'items_table', to_regclass(mapping -> 'items' ->> 'table')::text, 'items_key', mapping -> 'items' ->> 'cart_id')));
	PERFORM smsflow.create_triggers(relation, kind = 'cart');
	PERFORM smsflow.create_item_triggers(w.watch_id, w.brand_id, (w.mapping ->> 'items_table')::regclass, w.mapping ->> 'items_key')
	FROM smsflow.watch w WHERE w.relation = watch_relation.relation AND w.mapping ? 'items_table';
	RETURN QUERY SELECT * FROM smsflow.resolve_columns(kind, relation, mapping);
END $$;
COMMENT ON FUNCTION smsflow.watch_relation(text, regclass, jsonb, text) IS 'Checks a mapping, puts the trigger on a table and reports which column means what. Errors: SF004, SF006, 42501';
REVOKE ALL ON FUNCTION smsflow.watch_relation(text, regclass, jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.watch_carts(relation regclass, mapping jsonb DEFAULT '{}', brand text DEFAULT 'default')
	RETURNS TABLE (meaning text, column_name text, note text)
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT * FROM smsflow.watch_relation('cart', relation, mapping, brand);
$$;
COMMENT ON FUNCTION smsflow.watch_carts(regclass, jsonb, text) IS
'Watches the store''s table of carts, and reports which column means what and what is missing. mapping names columns where guessing by usual names is not enough: id (default: primary key), phone, customer_id (contact.external_id), status with active (values of an open cart), items (json or jsonb), total, currency, updated_at, data (object: name in templates -> column); null turns a guess off. The caller needs the TRIGGER privilege on the table. Errors: SF004 brand, SF006 mapping, 42501';
REVOKE ALL ON FUNCTION smsflow.watch_carts(regclass, jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.watch_orders(relation regclass, mapping jsonb DEFAULT '{}', brand text DEFAULT 'default')
	RETURNS TABLE (meaning text, column_name text, note text)
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT * FROM smsflow.watch_relation('order', relation, mapping, brand);
$$;
COMMENT ON FUNCTION smsflow.watch_orders(regclass, jsonb, text) IS
'Watches the store''s table of orders, and reports which column means what and what is missing. mapping as in watch_carts(), with cart_id, and status_map (object: status -> suffix of the event kind order_<suffix>; an empty suffix makes no event) instead of active. The caller needs the TRIGGER privilege on the table. Errors: SF004 brand, SF006 mapping, 42501';
REVOKE ALL ON FUNCTION smsflow.watch_orders(regclass, jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.watch_table(relation regclass, kind text, mapping jsonb DEFAULT '{}', brand text DEFAULT 'default')
	RETURNS TABLE (meaning text, column_name text, note text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF coalesce(kind !~ '^[a-z][a-z0-9_]{0,30}$' OR kind IN ('cart', 'order', 'inventory', 'rows', 'cart_emptied'), true) THEN
		PERFORM smsflow.refuse_mapping(format('a watched table cannot be of the kind "%s"', kind),
			'A kind is a name in small letters; it begins the names of the events.',
			'Call it return, review, payment, subscription or points; carts, orders and stock have functions of their own.');
	END IF;
	RETURN QUERY SELECT * FROM smsflow.watch_relation(kind, relation, mapping, brand);
END $$;
COMMENT ON FUNCTION smsflow.watch_table(regclass, text, jsonb, text) IS
'Watches any other table of the store: reviews, subscriptions, loyalty points, returns, payments. A new row that names a person is an event <kind>, a change of its status an event <kind>_<status>. mapping as in watch_orders(), without cart_id. The caller needs the TRIGGER privilege on the table. Errors: SF004 brand, SF006 mapping, 42501';
REVOKE ALL ON FUNCTION smsflow.watch_table(regclass, text, jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.unwatch(relation regclass) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	watched boolean;
BEGIN
	IF EXISTS (SELECT FROM pg_class c WHERE c.oid = unwatch.relation) THEN
		PERFORM smsflow.check_watchable(relation);
		PERFORM smsflow.drop_triggers(relation);
		PERFORM smsflow.drop_triggers(to_regclass(w.mapping ->> 'items_table')) FROM smsflow.watch w
		WHERE w.relation = unwatch.relation AND to_regclass(w.mapping ->> 'items_table') IS NOT NULL;
	END IF;
	DELETE FROM smsflow.trigger_problem p WHERE p.relation = unwatch.relation;
	DELETE FROM smsflow.watch w WHERE w.relation = unwatch.relation RETURNING true INTO watched;
	RETURN coalesce(watched, false);
END $$;
COMMENT ON FUNCTION smsflow.unwatch(regclass) IS 'Stops watching a table; false if it was not watched. Takes the oid of a table that was dropped, too. Errors: SF006 no table of the store, 42501';
REVOKE ALL ON FUNCTION smsflow.unwatch(regclass) FROM PUBLIC;
