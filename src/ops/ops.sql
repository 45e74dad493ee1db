-- Whether this copy may send, why nothing is being sent, and who may call what.

-- Arming. A restored backup or a clone must not send what its original sends.
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

-- What the worker does, what waits, and what left.

CREATE OR REPLACE VIEW smsflow.stat_worker AS
	SELECT current_database()::text AS database, w.* FROM smsflow.worker_state() w;
COMMENT ON VIEW smsflow.stat_worker IS 'The worker of this database and how it is doing';
COMMENT ON COLUMN smsflow.stat_worker.preloaded IS 'The library was loaded at server start';
COMMENT ON COLUMN smsflow.stat_worker.database_listed IS 'smsflow.databases names this database';
COMMENT ON COLUMN smsflow.stat_worker.pid IS 'NULL: it does not run';
COMMENT ON COLUMN smsflow.stat_worker.state IS 'What it does, in words; running when all is well';
COMMENT ON COLUMN smsflow.stat_worker.generation IS 'Counted up by each start';
COMMENT ON COLUMN smsflow.stat_worker.last_turn IS 'End of its last turn of the loop';
COMMENT ON COLUMN smsflow.stat_worker.last_error IS 'Last error, in words';
COMMENT ON COLUMN smsflow.stat_worker.in_flight IS 'Requests on the wire';
COMMENT ON COLUMN smsflow.stat_worker.backlog IS 'Messages claimed and not yet started';
COMMENT ON COLUMN smsflow.stat_worker.sent IS 'Messages that gateways took since it started';
COMMENT ON COLUMN smsflow.stat_worker.gaps IS 'Running transactions that may still commit messages behind a cursor';
COMMENT ON COLUMN smsflow.stat_worker.loop_p50 IS 'Milliseconds of work between two waits, median of the last one to two minutes';
COMMENT ON COLUMN smsflow.stat_worker.loop_p99 IS 'The same, of which one in a hundred took longer';

-- Polled every second, so nothing here reads all of a long queue: of each kind at most so many are counted.
CREATE OR REPLACE VIEW smsflow.stat_queue AS
	SELECT q.queue_id, q.lane, s.address AS sender, q.source,
		n.waiting + l.waiting + t.waiting AS waiting,
		least(n.oldest_at, l.oldest_at, t.oldest_at) AS oldest_at,
		n.waiting = 10000 OR l.waiting = 10000 OR t.waiting = 10000 AS at_least
	FROM smsflow.queue q
	LEFT JOIN smsflow.sender s USING (sender_id)
	LEFT JOIN LATERAL (
		SELECT * FROM smsflow.claim c WHERE c.queue_id = q.queue_id ORDER BY c.claim_id DESC LIMIT 1
	) c ON true
	CROSS JOIN LATERAL (
		SELECT count(*) AS waiting, min(x.at) AS oldest_at
		FROM (SELECT coalesce(o.due_at, o.created_at) AS at FROM smsflow.outbox o
			WHERE o.queue_id = q.queue_id AND o.message_id > coalesce(c.cursor_id, 0) LIMIT 10000) x
	) n
	CROSS JOIN LATERAL (
		SELECT count(*) AS waiting, min(x.at) AS oldest_at
		FROM (SELECT coalesce(o.due_at, o.created_at) AS at FROM smsflow.outbox o
			WHERE o.queue_id = q.queue_id AND o.message_id > c.low_id AND o.message_id <= c.cursor_id
				AND NOT EXISTS (SELECT FROM smsflow.claim d WHERE d.queue_id = q.queue_id AND d.kind <> 'timer'
					AND o.message_id > d.from_id AND o.message_id <= d.to_id AND pg_visible_in_snapshot(o.xid, d.snapshot)) LIMIT 10000) x
	) l
	CROSS JOIN LATERAL (
		SELECT count(*) AS waiting, min(x.due_at) AS oldest_at
		FROM (SELECT t.due_at FROM smsflow.timer t
			WHERE t.queue_id = q.queue_id
				AND (t.due_at, t.timer_id) > (coalesce(c.to_due, '-infinity'), coalesce(c.to_timer_id, 0))
			ORDER BY t.queue_id, t.due_at, t.timer_id LIMIT 10000) x
	) t
	WHERE q.queue_id <> 0;
COMMENT ON VIEW smsflow.stat_queue IS 'Messages that no worker has taken yet, per queue; scheduled, held and retried ones included';
COMMENT ON COLUMN smsflow.stat_queue.lane IS '0 compliance and otp, 1 transactional, 2 conversational, 3 cart, 4 promotional';
COMMENT ON COLUMN smsflow.stat_queue.sender IS 'Number they leave from; NULL: chosen when one exists';
COMMENT ON COLUMN smsflow.stat_queue.source IS 'direct, or the campaign or sequence they are from';
COMMENT ON COLUMN smsflow.stat_queue.waiting IS 'Messages; those of a cancelled campaign or recipient count until the worker sets them aside';
COMMENT ON COLUMN smsflow.stat_queue.oldest_at IS 'When the first of them is, or was, due';
COMMENT ON COLUMN smsflow.stat_queue.at_least IS 'There are more: 10,000 of each kind (new, scheduled or held) are counted';

CREATE OR REPLACE VIEW smsflow.stat_sender AS
	SELECT s.address AS sender, g.name AS gateway, s.pool, s.kind, s.enabled AND g.enabled AS enabled,
		coalesce(w.waiting, 0) AS waiting,
		coalesce(m.sent, 0) AS sent, coalesce(m.delivered, 0) AS delivered, coalesce(m.undelivered, 0) AS undelivered,
		coalesce(m.rejected, 0) AS rejected, coalesce(m.in_doubt, 0) AS in_doubt, m.last_sent_at, s.sender_id,
		r.in_flight, r.rate, r.tokens, r.breaker, r.paused_for, r.open_until AS paused_until,
		r.used_today, r.daily_limit, CASE WHEN r.daily_limit IS NOT NULL THEN smsflow.day_ends(s.reset_zone, now()) END AS day_ends
	FROM smsflow.sender s
	JOIN smsflow.gateway g USING (gateway_id)
	LEFT JOIN smsflow.sender_state() r USING (sender_id)
	LEFT JOIN (
		SELECT q.sender_id, sum(t.waiting)::bigint AS waiting
		FROM smsflow.stat_queue t JOIN smsflow.queue q USING (queue_id)
		GROUP BY q.sender_id
	) w USING (sender_id)
	LEFT JOIN (
		SELECT sender_id,
			sum(value) FILTER (WHERE measure = 'sent')::bigint AS sent,
			sum(value) FILTER (WHERE measure = 'delivered')::bigint AS delivered,
			sum(value) FILTER (WHERE measure = 'undelivered')::bigint AS undelivered,
			sum(value) FILTER (WHERE measure = 'rejected')::bigint AS rejected,
			sum(value) FILTER (WHERE measure = 'in_doubt')::bigint AS in_doubt,
			max(last_at) FILTER (WHERE measure = 'sent') AS last_sent_at
		FROM smsflow.metric
		WHERE bucket >= date_trunc('hour', now(), 'UTC') - interval '1 hour'
		GROUP BY sender_id
	) m USING (sender_id);
COMMENT ON VIEW smsflow.stat_sender IS 'Senders, what waits for them, what happened in this clock hour and the one before, and what the worker knows of them now';
COMMENT ON COLUMN smsflow.stat_sender.waiting IS 'Messages in its queues; of a long queue 10,000 are counted';
COMMENT ON COLUMN smsflow.stat_sender.sent IS 'Messages taken by the gateway in this clock hour and the one before, as the counts that follow';
COMMENT ON COLUMN smsflow.stat_sender.in_flight IS 'Requests on the wire; NULL, as all that follows, where no worker runs';
COMMENT ON COLUMN smsflow.stat_sender.rate IS 'Message parts per second, of the last seconds';
COMMENT ON COLUMN smsflow.stat_sender.tokens IS 'Parts that its rate would let leave at once';
COMMENT ON COLUMN smsflow.stat_sender.breaker IS 'closed: works; open: paused; half_open: one request tries; recovering: more and more';
COMMENT ON COLUMN smsflow.stat_sender.paused_for IS 'Why it is paused: throttled (the gateway asked for it), configuration (it refuses us), secret_missing';
COMMENT ON COLUMN smsflow.stat_sender.paused_until IS 'Until when';
COMMENT ON COLUMN smsflow.stat_sender.used_today IS 'Parts of the day that the worker counts as used';
COMMENT ON COLUMN smsflow.stat_sender.daily_limit IS 'Parts it may send today, by its limit and its warm-up curve; NULL is no limit';
COMMENT ON COLUMN smsflow.stat_sender.day_ends IS 'When the next day of its limit begins';

CREATE OR REPLACE VIEW smsflow.stat_gateway AS
	SELECT g.name AS gateway, g.profile, g.enabled, count(s.sender_id) AS senders,
		coalesce(sum(s.waiting), 0)::bigint AS waiting, coalesce(sum(s.sent), 0)::bigint AS sent,
		coalesce(sum(s.delivered), 0)::bigint AS delivered, coalesce(sum(s.undelivered), 0)::bigint AS undelivered,
		coalesce(sum(s.rejected), 0)::bigint AS rejected, coalesce(sum(s.in_doubt), 0)::bigint AS in_doubt,
		max(s.last_sent_at) AS last_sent_at,
		r.in_flight, r.rate, r.tokens, r.breaker, r.failures, r.open_until AS paused_until, r.http_codes,
		r.p50 AS latency_p50, r.p95 AS latency_p95, r.p99 AS latency_p99
	FROM smsflow.gateway g
	LEFT JOIN smsflow.stat_sender s ON s.gateway = g.name
	LEFT JOIN smsflow.gateway_state() r ON r.gateway_id = g.gateway_id
	GROUP BY g.gateway_id, g.name, g.profile, g.enabled, r.in_flight, r.rate, r.tokens, r.breaker, r.failures, r.open_until, r.http_codes,
		r.p50, r.p95, r.p99;
COMMENT ON VIEW smsflow.stat_gateway IS 'Gateways, what waits for them, what happened in this clock hour and the one before, and what the worker knows of them now';
COMMENT ON COLUMN smsflow.stat_gateway.in_flight IS 'Requests on the wire; NULL, as all that follows, where no worker runs';
COMMENT ON COLUMN smsflow.stat_gateway.rate IS 'Message parts per second, of the last seconds';
COMMENT ON COLUMN smsflow.stat_gateway.tokens IS 'Parts that its rate would let leave at once';
COMMENT ON COLUMN smsflow.stat_gateway.breaker IS 'closed: works; open: paused after failures; half_open: one request tries; recovering: more and more';
COMMENT ON COLUMN smsflow.stat_gateway.failures IS 'Requests in a row without an answer, or with one that says nothing';
COMMENT ON COLUMN smsflow.stat_gateway.paused_until IS 'Until when its breaker is open';
COMMENT ON COLUMN smsflow.stat_gateway.http_codes IS 'Answers by HTTP status since the worker started; "none": no answer came';
COMMENT ON COLUMN smsflow.stat_gateway.latency_p50 IS 'Milliseconds from the start of a request to its answer, median of the last one to two minutes';
COMMENT ON COLUMN smsflow.stat_gateway.latency_p95 IS 'The same, of which one in twenty took longer';
COMMENT ON COLUMN smsflow.stat_gateway.latency_p99 IS 'The same, of which one in a hundred took longer';

-- Health. One line per part of the whole, in the order in which a message meets
-- them; a line that is not ok says what to do.

CREATE OR REPLACE FUNCTION smsflow.health_of_worker(OUT component text, OUT ok boolean, OUT message text, OUT hint text)
	RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	WITH w AS (
		SELECT v.*, coalesce(nullif(current_setting('smsflow.enabled', true), ''), 'on')::boolean AS enabled,
			v.last_turn < now() - interval '1 minute'
				- 2 * coalesce(nullif(current_setting('smsflow.sweep_interval', true), ''), '30s')::interval AS stuck
		FROM (SELECT 1) one LEFT JOIN smsflow.worker_state() v ON true
	)
	SELECT 'preload', coalesce(preloaded, false),
		CASE WHEN preloaded THEN 'the library is loaded at server start' ELSE 'the library is not loaded at server start, so no worker can run' END,
		CASE WHEN preloaded IS NOT TRUE THEN 'Add smsflow to shared_preload_libraries in postgresql.conf and restart the server.' END
	FROM w
	UNION ALL
	SELECT 'worker', pid IS NOT NULL AND enabled AND stuck IS NOT TRUE,
		CASE
			WHEN preloaded IS NOT TRUE THEN 'no worker can run'
			WHEN NOT enabled THEN 'the worker is switched off: smsflow.enabled is off'
			WHEN database_listed IS NOT TRUE THEN 'no worker is configured for database "' || current_database() || '"'
			WHEN pid IS NULL THEN 'the worker is not running'
			WHEN stuck THEN 'the worker has not taken a turn since ' || last_turn::timestamptz(0)
			ELSE 'running' || coalesce(', ' || nullif(nullif(state, ''), 'running'), '')
		END || coalesce('; last error at ' || last_error_at::timestamptz(0) || ': ' || nullif(last_error, ''), ''),
		CASE
			WHEN preloaded IS NOT TRUE THEN 'See preload.'
			WHEN NOT enabled THEN 'ALTER SYSTEM SET smsflow.enabled = on, then SELECT pg_reload_conf().'
			WHEN database_listed IS NOT TRUE THEN 'Add ' || quote_ident(current_database()) || ' to smsflow.databases in postgresql.conf and restart the server.'
			WHEN state = 'not started' THEN 'Unless the server has only just started, it had no slot: raise max_worker_processes and restart it.'
			WHEN pid IS NULL OR stuck THEN 'See the server log for what the worker says; it is started again every few seconds.'
		END
	FROM w
$$;
COMMENT ON FUNCTION smsflow.health_of_worker() IS 'Lines preload and worker of health()';
REVOKE ALL ON FUNCTION smsflow.health_of_worker() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.health_of_copy(OUT component text, OUT ok boolean, OUT message text, OUT hint text)
	RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'version', x.extversion = coalesce(w.version, x.extversion),
		'extension ' || x.extversion || coalesce(', worker ' || w.version, ''),
		CASE WHEN x.extversion <> w.version THEN 'Restart the server with the new library, then ALTER EXTENSION smsflow UPDATE.' END
	FROM pg_extension x
	LEFT JOIN (SELECT version FROM smsflow.worker_start ORDER BY generation DESC LIMIT 1) w ON true
	WHERE x.extname = 'smsflow'
	UNION ALL
	SELECT 'armed', problem IS NULL, coalesce(problem, 'this database may send'),
		CASE WHEN problem LIKE '%synchronous_standby_names%' THEN 'Name the standby that has to confirm each claim, or switch the setting off.'
			WHEN problem IS NOT NULL THEN 'If it is this database that shall send: SELECT smsflow.arm().' END
	FROM smsflow.armed_problem() problem
	UNION ALL
	SELECT 'promotion', NOT held, CASE WHEN held THEN 'the server was promoted: marketing is held until ' || held_until::timestamptz(0)
			WHEN held_until IS NOT NULL THEN 'the server was promoted before ' || held_until::timestamptz(0)
			ELSE 'never promoted since the first start of the worker' END,
		CASE WHEN held THEN 'Let gateways send their reports, and read the view in_doubt; smsflow.failover_hold is the time.' END
	FROM (SELECT p.held_until, coalesce(p.held_until > now(), false) AS held FROM (SELECT 1) one
		LEFT JOIN smsflow.promotion() p ON true) promotion
$$;
COMMENT ON FUNCTION smsflow.health_of_copy() IS 'Lines version, armed and promotion of health()';
REVOKE ALL ON FUNCTION smsflow.health_of_copy() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.health_of_route(OUT component text, OUT ok boolean, OUT message text, OUT hint text)
	RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	WITH g AS (
		SELECT count(*) AS gateways, count(*) FILTER (WHERE enabled) AS enabled,
			string_agg('"' || name || '": ' || problem, '; ' ORDER BY name) FILTER (WHERE enabled) AS problems
		FROM (SELECT name, enabled, smsflow.secret_problem(name) AS problem FROM smsflow.gateway) x
	), s AS (
		SELECT count(*) AS senders, count(*) FILTER (WHERE s.enabled AND g.enabled) AS enabled,
			string_agg('"' || s.address || '"', ', ' ORDER BY s.address) FILTER (WHERE NOT s.enabled) AS paused,
			coalesce(bool_or(NOT s.enabled AND t.waiting > 0), false) AS blocked
		FROM smsflow.sender s
		JOIN smsflow.gateway g USING (gateway_id)
		LEFT JOIN smsflow.stat_sender t USING (sender_id)
	), r AS (
		SELECT string_agg(what, '; ' ORDER BY what) AS failing, string_agg(DISTINCT todo, ' ') AS todo
		FROM (
			SELECT format('gateway "%s" does not work, %s failures in a row', x.name, t.failures)
					|| coalesce(', next try at ' || t.open_until::timestamptz(0), '') AS what,
				'Look at error_code of the newest rows of smsflow.message; sending goes on by itself once the gateway works.' AS todo
			FROM smsflow.gateway_state() t JOIN smsflow.gateway x USING (gateway_id)
			WHERE t.failures > 0 OR t.breaker NOT IN ('closed', 'recovering')
			UNION ALL
			SELECT format('sender "%s" of gateway "%s" %s', y.address, x.name, CASE t.paused_for
					WHEN 'throttled' THEN 'was asked to wait' || coalesce(' until ' || t.open_until::timestamptz(0), '')
					WHEN 'secret_missing' THEN 'has no secret' ELSE 'is refused' END),
				CASE t.paused_for WHEN 'throttled' THEN 'The gateway takes less than smsflow.sender.rate says: lower it with smsflow.set_sender().'
					WHEN 'secret_missing' THEN 'Put the secret into a file named as the gateway in smsflow.secrets_dir, and reload.'
					ELSE 'Correct secret, options or account of the gateway, then call smsflow.set_gateway() or reload: it is tried again at once.' END
			FROM smsflow.sender_state() t JOIN smsflow.sender y USING (sender_id) JOIN smsflow.gateway x USING (gateway_id)
			WHERE t.breaker IN ('open', 'half_open')
			UNION ALL
			SELECT format('sender "%s" of gateway "%s" has used its %s parts of the day, the next begins at %s', y.address, x.name, t.daily_limit,
					smsflow.day_ends(y.reset_zone, now())::timestamptz(0)),
				'Add a number, or raise daily_limit with smsflow.set_sender() where the carrier allows it.'
			FROM smsflow.sender_state() t JOIN smsflow.sender y USING (sender_id) JOIN smsflow.gateway x USING (gateway_id)
			WHERE t.used_today >= t.daily_limit
		) AS routes (what, todo)
	)
	SELECT 'gateways', enabled > 0 AND problems IS NULL AND r.failing IS NULL,
		CASE WHEN gateways = 0 THEN 'there is no gateway to send through'
			WHEN enabled = 0 THEN 'every gateway is disabled'
			WHEN problems IS NOT NULL THEN 'secret missing: ' || problems
			WHEN r.failing IS NOT NULL THEN r.failing
			ELSE enabled || ' of ' || gateways || ' enabled' END,
		CASE WHEN gateways = 0 THEN 'SELECT smsflow.add_gateway(name, profile, base_url, options).'
			WHEN enabled = 0 THEN 'Enable one again with smsflow.set_gateway().'
			WHEN problems IS NOT NULL THEN 'Put the secret into a file named as the gateway in smsflow.secrets_dir, or SELECT smsflow.set_secret(gateway, secret).'
			WHEN r.failing IS NOT NULL THEN r.todo END
	FROM g, r
	UNION ALL
	SELECT 'senders', enabled > 0 AND NOT blocked,
		CASE WHEN senders = 0 THEN 'there is no number to send from'
			WHEN enabled = 0 THEN 'every number is paused, or its gateway is disabled'
			WHEN blocked THEN 'messages wait for a paused number; paused: ' || paused
			ELSE enabled || ' of ' || senders || ' enabled' || coalesce('; paused: ' || paused, '') END,
		CASE WHEN senders = 0 THEN 'SELECT smsflow.add_sender(address, gateway).'
			WHEN enabled = 0 OR blocked THEN 'Enable it again with smsflow.set_sender().' END
	FROM s
$$;
COMMENT ON FUNCTION smsflow.health_of_route() IS 'Lines gateways and senders of health()';
REVOKE ALL ON FUNCTION smsflow.health_of_route() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.health_of_queue(OUT component text, OUT ok boolean, OUT message text, OUT hint text)
	RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'queue', oldest_at IS NULL OR oldest_at > now() - interval '5 minutes',
		CASE WHEN waiting = 0 THEN 'nothing waits' ELSE 'messages waiting: ' || waiting
			|| coalesce(CASE WHEN oldest_at <= now() THEN ', oldest due since ' ELSE ', first due at ' END || oldest_at::timestamptz(0), '') END,
		CASE WHEN oldest_at <= now() - interval '5 minutes'
			THEN 'Correct the lines above first. If all are ok the numbers are too slow: see smsflow.stat_sender, and raise their rate or add one.' END
	FROM (
		SELECT coalesce(sum(t.waiting), 0) AS waiting, min(t.oldest_at) FILTER (WHERE k.status IS DISTINCT FROM 'paused') AS oldest_at
		FROM smsflow.stat_queue t LEFT JOIN smsflow.campaign k ON t.source = 'campaign:' || k.campaign_id
	) q
$$;
COMMENT ON FUNCTION smsflow.health_of_queue() IS 'Line queue of health(); messages of a paused campaign are never late';
REVOKE ALL ON FUNCTION smsflow.health_of_queue() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.health_of_callbacks(OUT component text, OUT ok boolean, OUT message text, OUT hint text)
	RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'callbacks', url IS NOT NULL AND problems = 0,
		CASE WHEN url IS NULL THEN 'gateways are not asked for delivery reports: smsflow.public_url is empty'
			WHEN problems > 0 THEN problems || ' could not be applied, such as callback ' || example
			ELSE 'gateways report to ' || url END,
		CASE WHEN url IS NULL THEN 'Set smsflow.public_url to the address at which gateways reach smsflowd, then SELECT pg_reload_conf().'
			WHEN problems > 0 THEN 'See smsflow.callback_problem.' END
	FROM (SELECT nullif(current_setting('smsflow.public_url', true), '') AS url) u,
		(SELECT count(*) AS problems, min(callback_id || ': ' || problem) AS example
			FROM smsflow.callback_problem WHERE at > now() - interval '7 days') p
$$;
COMMENT ON FUNCTION smsflow.health_of_callbacks() IS 'Line callbacks of health(); problems count for 7 days';
REVOKE ALL ON FUNCTION smsflow.health_of_callbacks() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.health_of_prepared(older_than interval DEFAULT '1 minute', OUT component text, OUT ok boolean, OUT message text, OUT hint text)
	RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'prepared', p.gid IS NULL,
		CASE WHEN p.gid IS NULL THEN 'no prepared transaction holds messages back for long'
			ELSE format('prepared transaction %L of %s holds messages back', p.gid, p.prepared::timestamptz(0)) END,
		CASE WHEN p.gid IS NOT NULL THEN 'End it with COMMIT PREPARED or ROLLBACK PREPARED; until then marketing that it may have stopped waits, and so does what it has to send.' END
	FROM (SELECT 1) one LEFT JOIN (
		SELECT gid, prepared FROM smsflow.prepared WHERE prepared < now() - older_than ORDER BY prepared LIMIT 1) p ON true
$$;
COMMENT ON FUNCTION smsflow.health_of_prepared(interval) IS 'Line prepared of health(); a prepared transaction is told of once it is older than this';
REVOKE ALL ON FUNCTION smsflow.health_of_prepared(interval) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.health_of_store(OUT component text, OUT ok boolean, OUT message text, OUT hint text)
	RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT component, problems = 0,
		CASE WHEN problems = 0 THEN 'no problem' ELSE 'problems: ' || problems || ', such as ' || example END,
		CASE WHEN problems > 0 THEN hint END
	FROM (
		SELECT 'triggers', count(*), min('table ' || relation::regclass || ': ' || error),
			'Correct the mapping with smsflow.unwatch() and smsflow.watch_carts() or watch_orders(), then DELETE FROM smsflow.trigger_problem.'
		FROM smsflow.trigger_problem
		UNION ALL
		SELECT 'events', count(*), min('event ' || event_id || ': ' || error),
			'See smsflow.event_problem, and correct the sequence that fails.'
		FROM smsflow.event_problem WHERE at > now() - interval '7 days'
		UNION ALL
		SELECT 'sequences', count(*), min('sequence "' || name || '" stopped: ' || error),
			'Correct the condition with smsflow.set_step(), then SELECT smsflow.enable_sequence(name).'
		FROM smsflow.sequence WHERE error IS NOT NULL AND NOT enabled
		UNION ALL
		SELECT 'campaigns', count(*), min('campaign "' || name || '" failed: ' || coalesce(error, 'no reason was kept')),
			'Correct what it says, then SELECT smsflow.resume_campaign(name).'
		FROM smsflow.campaign
		WHERE status = 'failed' AND coalesce(finished_at, started_at, created_at) > now() - interval '7 days'
		UNION ALL
		SELECT 'feedback', count(*), min(kind || ' by message ' || message_id || ': ' || coalesce('SQLSTATE ' || problem, 'the contact is held')),
			'End the transaction that holds the contact, see pg_stat_activity; smsflow.feedback says what waits.'
		FROM smsflow.feedback WHERE problem IS NOT NULL OR at < now() - interval '1 minute'
	) AS lines (component, problems, example, hint)
$$;
COMMENT ON FUNCTION smsflow.health_of_store() IS 'Lines triggers, events, sequences, campaigns and feedback of health(); failures of events and campaigns count for 7 days';
REVOKE ALL ON FUNCTION smsflow.health_of_store() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.health() RETURNS TABLE (component text, ok boolean, message text, hint text)
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT * FROM smsflow.health_of_worker() UNION ALL
	SELECT * FROM smsflow.health_of_copy() UNION ALL
	SELECT * FROM smsflow.health_of_route() UNION ALL
	SELECT * FROM smsflow.health_of_queue() UNION ALL
	SELECT * FROM smsflow.health_of_prepared() UNION ALL
	SELECT * FROM smsflow.health_of_callbacks() UNION ALL
	SELECT * FROM smsflow.health_of_store() UNION ALL
	SELECT * FROM smsflow.health_of_figures()
$$;
COMMENT ON FUNCTION smsflow.health() IS 'Why nothing is being sent, in words: one line per component, with a hint what to do where it is not ok';
REVOKE ALL ON FUNCTION smsflow.health() FROM PUBLIC;

-- Who may call what. An access is a list of names; a name stands for every
-- function, or the view, of that name, so that signatures are not repeated.

CREATE OR REPLACE VIEW smsflow.access AS
	SELECT access, name
	FROM (VALUES
		('app', 'subscribe confirm_opt_in opt_out opt_out_and_wait wait_for_opt_out consent_at can_send parse_phone'),
		('app', 'send cancel explain message_parts smart_encode render'),
		('app', 'record_event notify_me reply conversation'),
		('app', 'otp_start otp_check'),
		('marketer', 'create_segment drop_segment segment_members segment_count in_segment explain_segment'),
		('marketer', 'install_segment install_segments snapshot_segment fill_snapshot segment_recipe_text missing_segments export_audience'),
		('marketer', 'bought viewed engaged rfm in_snapshot contact_product snapshot_member'),
		('marketer', 'set_template lint_template message_parts smart_encode render'),
		('marketer', 'create_campaign estimate_campaign preview_campaign launch_campaign pause_campaign resume_campaign'),
		('marketer', 'cancel_campaign schedule_campaign pace_campaign budget_campaign explain'),
		('marketer', 'add_variant add_wave add_reminder choose_winner campaign_results test_campaign approve_campaign'),
		('marketer', 'create_coupon_pool add_coupons campaign_option interested'),
		('marketer', 'create_sequence add_step set_step remove_step enable_sequence disable_sequence pause_sequence resume_sequence'),
		('marketer', 'install_recipe engaged_since last_answer awaits_confirmation'),
		('marketer', 'profile message progress_campaign smsflow_bi'),
		('marketer', 'attribution probability_best two_proportions campaign_report dbt_sources'),
		('analyst', 'smsflow_bi attribution probability_best two_proportions campaign_report dbt_sources'),
		('receiver', 'open_metrics receive_callback receive_callbacks'),
		('receiver', 'resolve_links recent_links record_clicks follow_link'),
		('operator', 'add_gateway set_gateway set_secret secret_problem add_sender set_sender inbound_url callback_url'),
		('operator', 'test_gateway send_test test_result unknown_code'),
		('operator', 'add_registration set_registration warm_up_sender'),
		('operator', 'add_disclosure require_double_opt_in verify_consent_ledger seal_consent_ledger is_suppressed suppress_number unsuppress_number export_contact erase_contact'),
		('operator', 'import_contacts begin_import import_rows finish_import undo_import'),
		('operator', 'watch_carts watch_orders watch_table watch_inventory unwatch record_dates'),
		('operator', 'set_otp_policy unblock_otp_prefix stat_otp'),
		('operator', 'health check arm disarm explain in_doubt resolve_in_doubt apply_retention prepared'),
		('operator', 'review settle_review conversation set_business_hours reply'),
		('operator', 'set_link_domain link'),
		('operator', 'set_campaign_policy set_price set_seeds'),
		('operator', 'stat_worker stat_gateway stat_sender stat_queue progress_campaign')
	) AS lists (access, names)
	CROSS JOIN LATERAL string_to_table(names, ' ') AS name;
COMMENT ON VIEW smsflow.access IS 'What each access of grant_access() gives: functions, views, or smsflow_bi for all views of that schema';

-- A view reads tables with the rights of its owner, but calls functions with those of the reader.
CREATE OR REPLACE FUNCTION smsflow.access_functions(access text) RETURNS SETOF regprocedure
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE used AS (
		SELECT c.oid AS view
		FROM pg_class c JOIN smsflow.access a ON a.access = $1
			AND a.name = CASE c.relnamespace WHEN 'smsflow'::regnamespace THEN c.relname::text ELSE 'smsflow_bi' END
		WHERE c.relkind = 'v' AND c.relnamespace IN ('smsflow'::regnamespace, 'smsflow_bi'::regnamespace)
		UNION
		SELECT v.oid
		FROM used u
		JOIN pg_rewrite r ON r.ev_class = u.view
		JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
		JOIN pg_class v ON v.oid = d.refobjid AND v.relkind = 'v'
	)
	SELECT DISTINCT p.oid::regprocedure
	FROM used u
	JOIN pg_rewrite r ON r.ev_class = u.view
	JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_proc'::regclass
	JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = 'smsflow'::regnamespace
$$;
COMMENT ON FUNCTION smsflow.access_functions(text) IS 'Functions that the views of an access call, also through other views';
REVOKE ALL ON FUNCTION smsflow.access_functions(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.change_access(role text, access text, command text, preposition text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	object text;
BEGIN
	IF NOT EXISTS (SELECT FROM smsflow.access a WHERE a.access = $2) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('unknown access "%s"', access),
			HINT = 'An access is one of ' || (SELECT string_agg(DISTINCT a.access, ', ') FROM smsflow.access a) || '.';
	END IF;
	IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('role "%s" does not exist', role),
			HINT = 'Make it with CREATE ROLE first.';
	END IF;
	FOR object IN
		SELECT 'EXECUTE ON ROUTINE ' || p.oid::regprocedure
		FROM pg_proc p JOIN smsflow.access a ON a.name = p.proname AND a.access = $2
		WHERE p.pronamespace = 'smsflow'::regnamespace
		UNION ALL
		SELECT 'SELECT ON ' || c.oid::regclass
		FROM pg_class c JOIN smsflow.access a ON a.access = $2
			AND a.name = CASE c.relnamespace WHEN 'smsflow'::regnamespace THEN c.relname::text ELSE 'smsflow_bi' END
		WHERE c.relkind = 'v' AND c.relnamespace IN ('smsflow'::regnamespace, 'smsflow_bi'::regnamespace)
		UNION
		SELECT 'EXECUTE ON ROUTINE ' || f FROM smsflow.access_functions($2) f
	LOOP
		EXECUTE format('%s %s %s %I', command, object, preposition, role);
	END LOOP;
END
$$;
COMMENT ON FUNCTION smsflow.change_access(text, text, text, text) IS 'Grants or revokes what the view access lists. Errors: SF004 unknown role, SF007 unknown access';
REVOKE ALL ON FUNCTION smsflow.change_access(text, text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.grant_access(role text, access text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM smsflow.change_access(role, access, 'GRANT', 'TO');
	EXECUTE format('GRANT USAGE ON SCHEMA smsflow, smsflow_bi TO %I', role);
END
$$;
COMMENT ON FUNCTION smsflow.grant_access(text, text) IS 'Lets a role do the work of app, marketer, analyst, receiver or operator. Call it again after an upgrade, for what is new. Errors: SF004 unknown role, SF007 unknown access';
REVOKE ALL ON FUNCTION smsflow.grant_access(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.revoke_access(role text, access text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM smsflow.change_access(role, access, 'REVOKE', 'FROM');
END
$$;
COMMENT ON FUNCTION smsflow.revoke_access(text, text) IS 'Takes back the functions and views that grant_access() gave; a role that has another access, too, is granted that again afterwards. Errors: SF004 unknown role, SF007 unknown access';
REVOKE ALL ON FUNCTION smsflow.revoke_access(text, text) FROM PUBLIC;

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
