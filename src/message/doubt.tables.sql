-- Messages of which a report is still awaited, and what people decided about
-- those in doubt.

CREATE TABLE smsflow.unsettled (
	message_id	bigint NOT NULL,
	due_at		timestamptz NOT NULL,
	listed_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	in_doubt	boolean NOT NULL
);
CREATE INDEX unsettled_due ON smsflow.unsettled (due_at);
CREATE INDEX unsettled_doubt ON smsflow.unsettled (message_id) WHERE in_doubt;
COMMENT ON TABLE smsflow.unsettled IS 'Messages that end as unknown when nothing is heard of them: each that was ever in doubt, and those that have no report after an hour. A row goes when it is due';
COMMENT ON COLUMN smsflow.unsettled.due_at IS 'Validity of the message and an hour';

CREATE TABLE smsflow.lookup (
	message_id	bigint PRIMARY KEY,
	gateway_id	integer NOT NULL,
	tries		integer NOT NULL DEFAULT 0,
	due_at		timestamptz NOT NULL,
	until		timestamptz NOT NULL,
	finding		text CHECK (finding IN ('found', 'missing', 'unclear')),
	looked_at	timestamptz
);
CREATE INDEX lookup_due ON smsflow.lookup (due_at);
COMMENT ON TABLE smsflow.lookup IS 'Messages that the worker asks their gateway about: those in doubt, and those accepted without a report. A row goes when the message is settled, or when its time is over';
COMMENT ON COLUMN smsflow.lookup.tries IS 'Look-ups so far';
COMMENT ON COLUMN smsflow.lookup.due_at IS 'When it is asked next; set on before each request, so that a worker that dies asks again later';
COMMENT ON COLUMN smsflow.lookup.until IS 'Not asked any more from this instant on: validity of the message and an hour';
COMMENT ON COLUMN smsflow.lookup.finding IS 'What the last answer said: found, missing, or unclear (it proves nothing); NULL: no answer yet';

CREATE TABLE smsflow.resolution (
	resolution_id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	message_id	bigint NOT NULL,
	attempt		smallint NOT NULL,
	outcome		text NOT NULL CHECK (outcome IN ('accepted', 'delivered', 'rejected', 'not_sent', 'unknown')),
	by_role		text NOT NULL DEFAULT session_user,
	resolved_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	applied_at	timestamptz
);
CREATE INDEX resolution_message ON smsflow.resolution (message_id);
CREATE INDEX resolution_open ON smsflow.resolution (resolution_id) WHERE applied_at IS NULL;
COMMENT ON TABLE smsflow.resolution IS 'What people found out about messages in doubt, by resolve_in_doubt()';
COMMENT ON COLUMN smsflow.resolution.attempt IS 'Tries up to this one are meant';
COMMENT ON COLUMN smsflow.resolution.applied_at IS 'When the worker took it over; NULL: not yet';
