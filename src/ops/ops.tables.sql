-- Whether this copy of the database may send, and who sent when.

CREATE TABLE smsflow.arming (
	armed_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	armed		boolean NOT NULL,
	by_role		text NOT NULL DEFAULT session_user,
	system_identifier text NOT NULL,
	database_oid oid NOT NULL,
	timeline	integer NOT NULL
);
COMMENT ON TABLE smsflow.arming IS 'Calls of arm() and disarm(); the newest decides. Not dumped, and bound to system identifier and database, so that a restored copy sends nothing';

CREATE SEQUENCE smsflow.generation_seq;
CREATE TABLE smsflow.worker_start (
	generation	bigint PRIMARY KEY,
	started_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	pid			integer NOT NULL,
	version		text NOT NULL,
	timeline	integer NOT NULL,
	last_message_id bigint NOT NULL
);
COMMENT ON TABLE smsflow.worker_start IS 'Starts of the worker; its generation owns claims';
COMMENT ON COLUMN smsflow.worker_start.timeline IS 'A new one is that of a promotion, or of a recovery to an instant';
COMMENT ON COLUMN smsflow.worker_start.last_message_id IS 'Highest message id that had been given out';

CREATE TABLE smsflow.tail (
	name		text PRIMARY KEY CHECK (name IN ('event', 'callback', 'unsettled')),
	cursor_id	bigint NOT NULL DEFAULT 0,
	low_id		bigint NOT NULL DEFAULT 0,
	snapshot	pg_snapshot NOT NULL DEFAULT pg_current_snapshot()
);
COMMENT ON TABLE smsflow.tail IS 'How far the worker has read an append-only log: rows up to cursor_id that the snapshot sees are done';
INSERT INTO smsflow.tail (name) VALUES ('event'), ('callback'), ('unsettled');
