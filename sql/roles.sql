-- Who may do what: every function and every relation against every access, the rules for functions with their owner's rights,
-- and what a role with an access tries in order to get more.
\set VERBOSITY sqlstate
SET client_min_messages = warning;
CREATE ROLE regress_roles_app;
CREATE ROLE regress_roles_marketer;
CREATE ROLE regress_roles_analyst;
CREATE ROLE regress_roles_receiver;
CREATE ROLE regress_roles_operator;
CREATE VIEW pg_temp.ours AS SELECT n.oid FROM pg_namespace n WHERE nspname IN ('smsflow', 'smsflow_bi');
CREATE VIEW pg_temp.accesses AS SELECT DISTINCT access, 'regress_roles_' || access AS role FROM smsflow.access;

-- Everybody may call what computes (awaits_fold() alone looks for a row, and says no more than that there is one), and no more: whoever
-- lets everybody call another function adds it here. Nothing else is granted to everybody.
SELECT DISTINCT p.proname, p.provolatile FROM pg_proc p WHERE p.pronamespace IN (TABLE pg_temp.ours) AND has_function_privilege('public', p.oid, 'EXECUTE') ORDER BY 1;
SELECT n.nspname AS granted_to_everybody FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.oid IN (TABLE pg_temp.ours) AND a.grantee = 0
UNION ALL SELECT c.oid::regclass::text FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace IN (TABLE pg_temp.ours) AND a.grantee = 0
UNION ALL SELECT t.attrelid::regclass || '.' || t.attname FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid, aclexplode(t.attacl) a
	WHERE c.relnamespace IN (TABLE pg_temp.ours) AND a.grantee = 0;

-- A function with its owner's rights finds its names in no schema of the caller.
SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace IN (TABLE pg_temp.ours) AND p.prosecdef
	AND NOT EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s ~ '^search_path=("?pg_catalog"?)(, smsflow)?, pg_temp$');

-- Beside what an access gives there are few: views and functions of others call them, or the owner alone.
SELECT DISTINCT p.proname AS owners_rights FROM pg_proc p WHERE p.pronamespace IN (TABLE pg_temp.ours) AND p.prosecdef
	AND p.proname NOT IN (SELECT name FROM smsflow.access) ORDER BY 1;

-- Nor does any other function in SQL; only procedures that end transactions cannot say so, and name every schema.
SELECT p.oid::regproc FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace IN (TABLE pg_temp.ours) AND l.lanname IN ('sql', 'plpgsql') AND p.prosqlbody IS NULL
	AND NOT EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s ~ '^search_path=("?pg_catalog"?)(, smsflow)?, pg_temp$') ORDER BY 1;

-- An access gives its functions, those that its views call, and no others; of relations only views, and only to be read.
SELECT a.access, smsflow.grant_access(a.role, a.access) FROM pg_temp.accesses a ORDER BY 1;
SELECT a.access, string_agg(DISTINCT p.proname, ' ' ORDER BY p.proname) AS functions_beyond_the_list
FROM pg_temp.accesses a LEFT JOIN pg_proc p ON p.pronamespace IN (TABLE pg_temp.ours) AND has_function_privilege(a.role, p.oid, 'EXECUTE')
	AND NOT has_function_privilege('public', p.oid, 'EXECUTE')
	AND NOT EXISTS (SELECT FROM smsflow.access l WHERE l.access = a.access AND l.name = p.proname) GROUP BY 1 ORDER BY 1;
SELECT a.access, p.proname AS missing FROM pg_temp.accesses a JOIN smsflow.access l USING (access)
JOIN pg_proc p ON p.proname = l.name AND p.pronamespace = 'smsflow'::regnamespace WHERE NOT has_function_privilege(a.role, p.oid, 'EXECUTE');
SELECT a.access, c.oid::regclass AS more_than_reading_a_view FROM pg_temp.accesses a
JOIN pg_class c ON c.relnamespace IN (TABLE pg_temp.ours) AND c.relkind IN ('r', 'p', 'v', 'm')
WHERE has_table_privilege(a.role, c.oid, 'DELETE, TRUNCATE, TRIGGER') OR has_any_column_privilege(a.role, c.oid, 'INSERT, UPDATE, REFERENCES')
	OR (c.relkind <> 'v' AND has_any_column_privilege(a.role, c.oid, 'SELECT'));
SELECT a.access, c.oid::regclass AS view_beyond_the_list_or_missing FROM pg_temp.accesses a
JOIN pg_class c ON c.relnamespace IN (TABLE pg_temp.ours) AND c.relkind = 'v'
WHERE has_any_column_privilege(a.role, c.oid, 'SELECT') <> EXISTS (SELECT FROM smsflow.access l
	WHERE l.access = a.access AND l.name = CASE c.relnamespace WHEN 'smsflow'::regnamespace THEN c.relname::text ELSE 'smsflow_bi' END);
SELECT l.access, l.name AS of_nothing FROM smsflow.access l WHERE l.name <> 'smsflow_bi' AND NOT EXISTS (SELECT FROM pg_proc p WHERE p.proname = l.name AND p.pronamespace = 'smsflow'::regnamespace)
	AND to_regclass('smsflow.' || l.name) IS NULL;
SELECT a.access, c.oid::regclass AS sequence FROM pg_temp.accesses a
JOIN pg_class c ON c.relnamespace IN (TABLE pg_temp.ours) AND c.relkind = 'S' WHERE has_sequence_privilege(a.role, c.oid, 'USAGE, SELECT, UPDATE');
SELECT DISTINCT access FROM smsflow.access l WHERE l.name ~ '^(arm|disarm|set_gateway|set_secret|grant_access|erase_contact|apply_retention|suspend_rule|resume_rule)$';

-- What the application's role plants is not found by functions that have their owner's rights.
SELECT smsflow.subscribe('+14155550191') > 0 AS subscribed;
CREATE SCHEMA regress_planted AUTHORIZATION regress_roles_app;
SET ROLE regress_roles_app;
CREATE FUNCTION regress_planted.stolen() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'planted code runs as %', current_user; END $$;
CREATE FUNCTION regress_planted.concat(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT regress_planted.stolen() IS NULL';
CREATE OPERATOR regress_planted.= (LEFTARG = text, RIGHTARG = text, FUNCTION = regress_planted.concat);
CREATE FUNCTION regress_planted.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT regress_planted.stolen()::timestamptz';
CREATE TEMP TABLE contact (contact_id bigint, phone text);
CREATE TEMP TABLE outbox (message_id bigint, body text);
SET search_path = regress_planted, pg_temp, pg_catalog;
SELECT smsflow.send('+14155550191', 'Order 7 is packed', 'transactional') > 0 AS sent;
SELECT c.allowed FROM smsflow.can_send('+14155550191', 'transactional') c;
SELECT smsflow.opt_out('+14155550191'::pg_catalog.text, '{promotional}') AS ended;
RESET search_path;
SELECT count(*) FROM pg_temp.contact;
SELECT count(*) FROM pg_temp.outbox;
-- Nor does it come to what it was not given.
SELECT smsflow.disarm();
SELECT value FROM smsflow.secret;
SELECT phone FROM smsflow.contact;
INSERT INTO smsflow.outbox (contact_id) VALUES (1);
UPDATE smsflow.gateway SET base_url = 'https://evil.example';
SELECT smsflow.grant_access('regress_roles_app', 'operator');
RESET ROLE;
DROP SCHEMA regress_planted CASCADE;
DROP TABLE pg_temp.contact, pg_temp.outbox;

SELECT a.access, smsflow.revoke_access(a.role, a.access) FROM pg_temp.accesses a ORDER BY 1;
SELECT a.access, p.proname AS left_over FROM pg_temp.accesses a JOIN pg_proc p ON p.pronamespace IN (TABLE pg_temp.ours)
	AND has_function_privilege(a.role, p.oid, 'EXECUTE') AND NOT has_function_privilege('public', p.oid, 'EXECUTE');
DROP OWNED BY regress_roles_app, regress_roles_marketer, regress_roles_analyst, regress_roles_receiver, regress_roles_operator;
DROP ROLE regress_roles_app;
DROP ROLE regress_roles_marketer;
DROP ROLE regress_roles_analyst;
DROP ROLE regress_roles_receiver;
DROP ROLE regress_roles_operator;
