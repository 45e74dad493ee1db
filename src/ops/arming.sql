-- Whether this copy may send: a restored backup or a clone must not send what its original sends.
-- arm() therefore binds to what a copy cannot share: another cluster has another
-- system identifier, another database another oid, and pg_dump leaves arming out.

CREATE OR REPLACE FUNCTION smsflow.random_key() RETURNS text
	LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_random_key';
COMMENT ON FUNCTION smsflow.random_key() IS '256 random bits from the server''s strong source, as 64 hex digits';
REVOKE ALL ON FUNCTION smsflow.random_key() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.this_copy(OUT system_identifier text, OUT database_oid oid, OUT timeline integer)
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	-- The control file keeps the old timeline until the first checkpoint after a promotion; the WAL does not.
	SELECT s.system_identifier::text, d.oid,
		CASE WHEN pg_is_in_recovery() THEN NULL
			ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::integer END
	FROM pg_control_system() s, pg_database d
	WHERE d.datname = current_database()
$$;
COMMENT ON FUNCTION smsflow.this_copy() IS 'What tells this database from its copies; timeline is NULL on a standby';
REVOKE ALL ON FUNCTION smsflow.this_copy() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.armed_problem() RETURNS text
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN pg_is_in_recovery() THEN 'this server is a standby'
		WHEN a.armed IS NULL THEN 'this database was never armed'
		WHEN NOT a.armed THEN 'disarmed by ' || a.by_role || ' at ' || a.armed_at::timestamptz(0)
		WHEN a.system_identifier <> c.system_identifier THEN 'this is a copy: it was armed in another database cluster'
		WHEN a.database_oid <> c.database_oid THEN 'this is a copy: it was armed as another database'
		WHEN current_setting('smsflow.require_sync_standby', true) = 'on' AND current_setting('synchronous_standby_names') = ''
			THEN 'smsflow.require_sync_standby is on, and synchronous_standby_names is empty'
		WHEN a.timeline <> c.timeline AND current_setting('smsflow.arm_policy', true) = 'timeline'
			THEN 'the server was promoted or recovered since it was armed'
	END
	FROM smsflow.this_copy() c
	LEFT JOIN (SELECT * FROM smsflow.arming ORDER BY armed_at DESC LIMIT 1) a ON true
$$;
COMMENT ON FUNCTION smsflow.armed_problem() IS 'NULL when this database may send, else why not, in words';
REVOKE ALL ON FUNCTION smsflow.armed_problem() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.is_armed() RETURNS boolean
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT smsflow.armed_problem() IS NULL
$$;
COMMENT ON FUNCTION smsflow.is_armed() IS 'Whether this database may send';
REVOKE ALL ON FUNCTION smsflow.is_armed() FROM PUBLIC;

-- What the primary claimed last may not have come here, with asynchronous replication.
CREATE OR REPLACE FUNCTION smsflow.promotion(OUT held_until timestamptz, OUT last_message_id bigint)
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(min(w.started_at), now()) + coalesce(nullif(current_setting('smsflow.failover_hold', true), ''), '0')::interval,
		coalesce(min(w.last_message_id), (SELECT s.last_value FROM smsflow.message_id_seq s))
	FROM smsflow.this_copy() c
	LEFT JOIN smsflow.worker_start w USING (timeline)
	WHERE EXISTS (SELECT FROM smsflow.worker_start o WHERE o.timeline <> c.timeline)
	HAVING count(*) > 0
$$;
COMMENT ON FUNCTION smsflow.promotion() IS 'Until when marketing is held since the server was promoted or recovered, by smsflow.failover_hold, and the highest message id then; NULL: never promoted';
REVOKE ALL ON FUNCTION smsflow.promotion() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.arm() RETURNS boolean
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	-- Rows that a dump brought carry transaction ids of another cluster, which
	-- may lie in this one's future: no snapshot here would ever see them.
	UPDATE smsflow.outbox SET xid = pg_current_xact_id()
	WHERE xid > pg_current_xact_id() AND NOT EXISTS (SELECT FROM smsflow.arming);
	UPDATE smsflow.event SET xid = pg_current_xact_id()
	WHERE xid > pg_current_xact_id() AND NOT EXISTS (SELECT FROM smsflow.arming);
	UPDATE smsflow.callback SET xid = pg_current_xact_id()
	WHERE xid > pg_current_xact_id() AND NOT EXISTS (SELECT FROM smsflow.arming);
	INSERT INTO smsflow.arming (armed, system_identifier, database_oid, timeline)
	SELECT true, system_identifier, database_oid, timeline FROM smsflow.this_copy();
	INSERT INTO smsflow.secret (name, value) VALUES ('callback_key', smsflow.random_key()) ON CONFLICT DO NOTHING;
	SELECT smsflow.note_config();
	SELECT smsflow.is_armed();
$$;
COMMENT ON FUNCTION smsflow.arm() IS 'Lets the worker send from this very database from the commit on; true. A restored, cloned or, by smsflow.arm_policy, promoted copy must be armed again';
REVOKE ALL ON FUNCTION smsflow.arm() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.disarm() RETURNS void
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO smsflow.arming (armed, system_identifier, database_oid, timeline)
	SELECT false, system_identifier, database_oid, timeline FROM smsflow.this_copy();
	SELECT smsflow.note_config();
$$;
COMMENT ON FUNCTION smsflow.disarm() IS 'Stops sending until arm() is called; nothing is lost but what expires meanwhile';
REVOKE ALL ON FUNCTION smsflow.disarm() FROM PUBLIC;

-- A restored tail must replace the one that CREATE EXTENSION made: with a tail
-- at zero the worker would take every restored event for a new one.

CREATE OR REPLACE FUNCTION smsflow.replace_unused_tail() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM smsflow.tail WHERE name = NEW.name AND cursor_id = 0;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION smsflow.replace_unused_tail() IS 'Lets pg_restore put the saved position in the place of the initial one';
REVOKE ALL ON FUNCTION smsflow.replace_unused_tail() FROM PUBLIC;
CREATE OR REPLACE TRIGGER replace_unused_tail BEFORE INSERT ON smsflow.tail
	FOR EACH ROW EXECUTE FUNCTION smsflow.replace_unused_tail();
