-- The worker as SQL sees it.

CREATE OR REPLACE FUNCTION smsflow.worker_state(OUT preloaded boolean, OUT database_listed boolean, OUT pid integer,
		OUT state text, OUT generation bigint, OUT last_turn timestamptz, OUT last_error text, OUT last_error_at timestamptz,
		OUT in_flight integer, OUT backlog integer, OUT sent bigint, OUT gaps integer, OUT loop_p50 double precision,
		OUT loop_p99 double precision, OUT worker integer)
	RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'smsflow_worker_state';
COMMENT ON FUNCTION smsflow.worker_state() IS 'How each worker of this database is doing (smsflow.workers; worker 0, which also does the chores, is always there), from shared memory: pid NULL when it does not run; in_flight requests on the wire; backlog messages claimed and waiting for limits; sent since it started; gaps transactions that may still commit messages behind the cursors; loop_p50 and loop_p99 milliseconds of work between two waits, of the last one to two minutes';
REVOKE ALL ON FUNCTION smsflow.worker_state() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.gateway_state(OUT gateway_id integer, OUT in_flight integer, OUT claimed_parts integer,
		OUT parts bigint, OUT rate double precision, OUT tokens integer, OUT breaker text, OUT failures integer, OUT open_until timestamptz,
		OUT used_today bigint, OUT daily_limit bigint, OUT http_codes jsonb, OUT p50 double precision, OUT p95 double precision, OUT p99 double precision)
	RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL SAFE ROWS 10 AS 'MODULE_PATHNAME', 'smsflow_gateway_state';
COMMENT ON FUNCTION smsflow.gateway_state() IS 'Enabled gateways (the first 64) as their worker sees them, at most a quarter of a second old; see smsflow.stat_gateway. No row where no worker runs';
REVOKE ALL ON FUNCTION smsflow.gateway_state() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.sender_state(OUT sender_id integer, OUT in_flight integer, OUT claimed_parts integer,
		OUT parts bigint, OUT rate double precision, OUT tokens integer, OUT breaker text, OUT failures integer, OUT open_until timestamptz,
		OUT used_today bigint, OUT daily_limit bigint, OUT paused_for text)
	RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL SAFE ROWS 100 AS 'MODULE_PATHNAME', 'smsflow_sender_state';
COMMENT ON FUNCTION smsflow.sender_state() IS 'Enabled senders (the first 2048) as their worker sees them, at most a quarter of a second old; see smsflow.stat_sender. No row where no worker runs';
REVOKE ALL ON FUNCTION smsflow.sender_state() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.queue_waits(queue_id integer, shard integer) RETURNS boolean
	LANGUAGE c STRICT VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_queue_waits';
COMMENT ON FUNCTION smsflow.queue_waits(integer, integer) IS 'Whether a queue of this shard may have messages that no worker has taken, as its worker knows; false: it is empty; NULL: no armed worker looks after it';
REVOKE ALL ON FUNCTION smsflow.queue_waits(integer, integer) FROM PUBLIC;

-- What PREPARE has left in a transaction's name: its locks. Those of writers are what matters here.
CREATE OR REPLACE VIEW smsflow.prepared AS
	SELECT p.transaction, p.gid, p.prepared, p.owner
	FROM pg_catalog.pg_prepared_xacts p
	WHERE p.database = pg_catalog.current_database() AND EXISTS (
		SELECT FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation
		WHERE l.virtualtransaction = '-1/' || p.transaction AND l.mode = 'RowExclusiveLock' AND c.relnamespace = 'smsflow'::pg_catalog.regnamespace
			AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()));
COMMENT ON VIEW smsflow.prepared IS 'Prepared transactions of this database that have written here and have not ended: messages they ask for are sent once they commit, and marketing that they may have stopped waits until they end';
