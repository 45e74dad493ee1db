-- Who has an access can read every view that it gives, whatever functions the view calls.
SET client_min_messages = warning;
CREATE ROLE regress_smsflow_marketer;
CREATE ROLE regress_smsflow_analyst;
CREATE ROLE regress_smsflow_operator;
SELECT smsflow.subscribe('+14155550190') > 0 AS ok, smsflow.send('+14155550190', 'To be read', 'transactional') > 0 AS sent;

CREATE FUNCTION pg_temp.read_views(access text, OUT view text, OUT problem text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	PERFORM smsflow.grant_access('regress_smsflow_' || access, access);
	EXECUTE format('SET LOCAL ROLE %I', 'regress_smsflow_' || access);
	FOR view IN SELECT c.oid::regclass FROM pg_class c
		WHERE c.relnamespace IN ('smsflow'::regnamespace, 'smsflow_bi'::regnamespace) AND c.relkind = 'v' AND has_table_privilege(c.oid, 'SELECT')
	LOOP
		BEGIN
			EXECUTE format('SELECT max(x::text) FROM (SELECT * FROM %s LIMIT 1) x', view);
			problem := NULL;
		EXCEPTION WHEN OTHERS THEN
			problem := SQLERRM;
		END;
		RETURN NEXT;
	END LOOP;
	RESET ROLE;
END $$;
SELECT a.access, r.count > 3 AS views, r.problems FROM unnest('{marketer,analyst,operator}'::text[]) AS a (access)
CROSS JOIN LATERAL (SELECT count(*), array_agg(r.view || ': ' || r.problem) FILTER (WHERE r.problem IS NOT NULL) AS problems FROM pg_temp.read_views(a.access) r) r;
-- And no table, such as one with numbers and texts.
SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'smsflow'::regnamespace AND c.relkind IN ('r', 'p')
	AND has_table_privilege('regress_smsflow_analyst', c.oid, 'SELECT');
SELECT smsflow.revoke_access('regress_smsflow_marketer', 'marketer');
SELECT has_function_privilege('regress_smsflow_marketer', 'smsflow.fold_status(boolean, text, text, boolean, boolean, text[])', 'EXECUTE') AS still;
SELECT smsflow.revoke_access('regress_smsflow_analyst', 'analyst'), smsflow.revoke_access('regress_smsflow_operator', 'operator');
DROP OWNED BY regress_smsflow_marketer, regress_smsflow_analyst, regress_smsflow_operator;
DROP ROLE regress_smsflow_marketer;
DROP ROLE regress_smsflow_analyst;
DROP ROLE regress_smsflow_operator;
