-- Regular work by pg_cron.

CREATE OR REPLACE FUNCTION smsflow.schedule_defaults() RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	jobs integer := 0;
	job record;
BEGIN
	IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
		RAISE EXCEPTION USING ERRCODE = 'SF008', MESSAGE = 'pg_cron is not installed in this database',
			HINT = 'CREATE EXTENSION pg_cron, in the database that cron.database_name names.';
	END IF;
	FOR job IN
		SELECT * FROM (VALUES
			('smsflow: check', '30 3 * * *', 'SELECT smsflow.assert_invariants()'),
			('smsflow: retention', '50 * * * *', 'SELECT smsflow.apply_retention()'),
			('smsflow: trim history', '40 3 * * *',
				$job$DELETE FROM cron.job_run_details d USING cron.job j
				WHERE j.jobid = d.jobid AND j.jobname LIKE 'smsflow: %' AND d.end_time < now() - interval '7 days'$job$)
		) AS defaults (name, schedule, command)
	LOOP
		EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING job.name, job.schedule, job.command;
		jobs := jobs + 1;
	END LOOP;
	RETURN jobs;
END
$$;
COMMENT ON FUNCTION smsflow.schedule_defaults() IS 'Makes or renews the pg_cron jobs: check every night, retention every hour, and the history of our own jobs kept for 7 days; returns their number. Errors: SF008 pg_cron is not installed here';
REVOKE ALL ON FUNCTION smsflow.schedule_defaults() FROM PUBLIC;
