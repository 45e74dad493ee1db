-- The worker as SQL sees it.

CREATE OR REPLACE FUNCTION smsflow.worker_state(OUT preloaded boolean, OUT database_listed boolean, OUT pid integer,
		OUT state text, OUT generation bigint, OUT last_turn timestamptz, OUT last_error text, OUT last_error_at timestamptz,
		OUT in_flight integer, OUT backlog integer, OUT sent bigint, OUT route_problem text)
	LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_worker_state';
COMMENT ON FUNCTION smsflow.worker_state() IS 'How the worker of this database is doing, from shared memory: pid NULL when it does not run; in_flight requests on the wire; backlog messages claimed and waiting for limits; sent since it started; route_problem in words when a gateway cannot be reached or refuses us';
REVOKE ALL ON FUNCTION smsflow.worker_state() FROM PUBLIC;
