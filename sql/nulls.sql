--
-- Every function in C is called with NULL: for all of its arguments, and for each one alone, as itself and as an array or row of
-- NULLs. The server lives; what these calls say is of no interest.
--
\set database regress_smsflow_nulls
\getenv tree PG_ABS_SRCDIR
\set ECHO none
\i :tree/test/fixtures/database.sql
\set ECHO all
SET client_min_messages = warning;
SELECT pg_postmaster_start_time() AS started, pg_backend_pid() AS pid \gset
SELECT smsflow.create_brand('Nulls') > 0 AS brand;
SELECT smsflow.subscribe('+14155550190', brand => 'Nulls') > 0 AS contact;

-- A value for an argument that gets a function as far as it may come: by its name, else by its type.
CREATE FUNCTION pg_temp.sample(name text, type oid) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(
		(SELECT quote_literal(s.value) FROM (VALUES ('phone', 'text', '+14155550190'), ('brand', 'text', 'Nulls'), ('purpose', 'text', 'promotional'),
			('purposes', 'text[]', '{promotional}'), ('level', 'text', 'express'), ('kind', 'text', 'cart'), ('zone', 'text', 'UTC'), ('condition', 'text', 'true'),
			('predicate', 'text', 'true'), ('currency', 'text', 'USD'), ('region', 'text', 'US')) AS s (name, type, value)
			WHERE s.name = sample.name AND s.type = format_type(sample.type, NULL)),
		(SELECT quote_literal(s.value) FROM (VALUES ('text', 'Hello {{name}}'), ('text[]', '{a}'), ('jsonb', '{"phone": "phone"}'), ('jsonb[]', '{"{}"}'), ('bytea', '\x00'),
			('bytea[]', '{"\\x00"}'), ('smallint', '1'), ('integer', '1'), ('integer[]', '{1}'), ('bigint', '1'), ('bigint[]', '{1}'), ('numeric', '1'), ('boolean', 'true'),
			('interval', '1 second'), ('timestamp with time zone', '2026-01-01 12:00+00'), ('timestamp without time zone', '2026-01-01 12:00'),
			('timestamp with time zone[]', '{2026-01-01 12:00+00}'), ('regclass', 'smsflow.contact'), ('regrole', current_user), ('cstring', 'x'), ('smsflow.phone', '+14155550190'),
			('smsflow.consent', 'promotional:express@2026-01-01T00:00:00Z'), ('smsflow.purpose', 'promotional'), ('smsflow.purpose[]', '{promotional}'), ('smsflow.consent_level', 'express')) AS s (type, value)
			WHERE s.type = format_type(sample.type, NULL)),
		'NULL') $$;
-- NULLs in something that is none.
CREATE FUNCTION pg_temp.hollow(type oid) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN t.typcategory = 'A' THEN '{NULL}' WHEN t.typtype = 'c' THEN '(' || repeat(',', (SELECT count(*)::integer - 1 FROM pg_attribute WHERE attrelid = t.typrelid AND attnum > 0)) || ')'
		WHEN type = 'jsonb'::regtype THEN 'null' WHEN type = 'text'::regtype THEN '' END FROM pg_type t WHERE t.oid = type $$;
CREATE TABLE pg_temp.call AS
	WITH f AS (
		SELECT p.oid, p.oid::regproc::text AS name, p.proargtypes::oid[] AS types, p.proargnames AS names, p.pronargs FROM pg_proc p
		JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' JOIN pg_extension e ON e.oid = d.refobjid
		WHERE e.extname = 'smsflow' AND p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'c') AND p.prorettype <> 'trigger'::regtype
			AND NOT 'internal'::regtype = ANY (p.proargtypes::oid[])),
	shapes AS (
		SELECT f.*, shape.at, shape.hollow FROM f CROSS JOIN LATERAL (SELECT 0 AS at, false AS hollow UNION ALL SELECT -1, false
			UNION ALL SELECT n, h FROM generate_series(1, f.pronargs) n, unnest('{false,true}'::boolean[]) h) AS shape)
	SELECT DISTINCT s.oid, s.at, s.hollow, format('SELECT * FROM %s(%s)', (SELECT n.nspname || '.' || quote_ident(p.proname) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = s.oid),
		(SELECT string_agg(CASE WHEN s.at = 0 OR (s.at = a.n AND NOT s.hollow) THEN 'NULL' WHEN s.at = a.n THEN coalesce(quote_literal(pg_temp.hollow(a.type)), 'NULL')
			ELSE pg_temp.sample(s.names[a.n], a.type) END || '::' || format_type(a.type, NULL), ', ' ORDER BY a.n) FROM unnest(s.types) WITH ORDINALITY AS a (type, n))) AS statement
	FROM shapes s;
CREATE FUNCTION pg_temp.outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RAISE EXCEPTION USING ERRCODE = 'UNDON', MESSAGE = 'whatever was done is undone';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT count(*) > 800 AS many, count(DISTINCT oid) > 100 AS of_many FROM pg_temp.call;
SELECT count(pg_temp.outcome(statement)) = count(*) AS came_back FROM pg_temp.call;
SELECT pg_postmaster_start_time() = :'started' AND pg_backend_pid() = :pid AS lives;
-- What needs all of them gives nothing.
SELECT smsflow.compose_text(NULL, '{}', 'default', 'promotional', NULL) IS NULL AS body, smsflow.compose_text('a', NULL, 'default', 'promotional', NULL) IS NULL AS vars,
	smsflow.compose_text('a', '{}', NULL, 'promotional', NULL) IS NULL AS brand, smsflow.compose_text('a', '{}', 'default', NULL, NULL) IS NULL AS purpose,
	(smsflow.compose_text('a', '{}', 'default', 'promotional', NULL)).rendered;

\c :home
DROP DATABASE regress_smsflow_nulls;
