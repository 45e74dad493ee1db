-- health(): one line per part of the whole, in the order in which a message meets
-- them; a line that is not ok says what to do.

CREATE OR REPLACE FUNCTION smsflow.health_of_worker(OUT component text, OUT ok boolean, OUT message text, OUT hint text)
	RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	WITH w AS (
		SELECT v.*, coalesce(nullif(current_setting('smsflow.enabled', true), ''), 'on')::boolean AS enabled,
			v.last_turn < now() - interval '1 minute'
				- 2 * coalesce(nullif(current_setting('smsflow.sweep_interval', true), ''), '30s')::interval AS stuck
		FROM smsflow.worker_state() v
	)
	SELECT 'preload', coalesce(preloaded, false),
		CASE WHEN preloaded THEN 'the library is loaded at server start' ELSE 'the library is not loaded at server start, so no worker can run' END,
		CASE WHEN preloaded IS NOT TRUE THEN 'Add smsflow to shared_preload_libraries in postgresql.conf and restart the server.' END
	FROM w WHERE w.worker = 0
	UNION ALL
	SELECT 'worker' || coalesce(' ' || nullif(w.worker, 0), ''), pid IS NOT NULL AND enabled AND stuck IS NOT TRUE,
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
COMMENT ON FUNCTION smsflow.health_of_worker() IS 'Lines preload and worker of health(); of several workers the others are worker 1 and so on';
REVOKE ALL ON FUNCTION smsflow.health_of_worker() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.library_version() RETURNS text
	LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_library_version';
COMMENT ON FUNCTION smsflow.library_version() IS 'Release of the library that the server has loaded, which is that of its last start';
REVOKE ALL ON FUNCTION smsflow.library_version() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.health_of_copy(OUT component text, OUT ok boolean, OUT message text, OUT hint text)
	RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'version', x.extversion = v.loaded,
		'extension ' || x.extversion || CASE WHEN x.extversion <> v.loaded THEN ', library ' || v.loaded ELSE '' END || coalesce(', worker ' || w.version, ''),
		CASE WHEN x.extversion <> v.loaded THEN 'The worker waits until they are the same: '
			|| 'restart the server if it was not restarted since the packages were installed, then ALTER EXTENSION smsflow UPDATE.' END
	FROM pg_extension x
	CROSS JOIN smsflow.library_version() AS v (loaded)
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
			SELECT format('gateway "%s" does not work, %s', x.name, CASE t.failures WHEN 1 THEN 'its last request failed' ELSE t.failures || ' failures in a row' END)
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
					ELSE 'Correct secret, address, options or account of the gateway, as error_code of the newest rows of smsflow.message says, then call smsflow.set_gateway() or reload: it is tried again at once.' END
			FROM smsflow.sender_state() t JOIN smsflow.sender y USING (sender_id) JOIN smsflow.gateway x USING (gateway_id)
			WHERE t.breaker IN ('open', 'half_open')
			UNION ALL
			SELECT format('sender "%s" of gateway "%s" has used its %s parts of the day%s, the next begins at %s', y.address, x.name, t.daily_limit,
					CASE WHEN t.used_today < t.daily_limit THEN ' but those kept for codes and confirmations' END,
					smsflow.day_ends(y.reset_zone, now())::timestamptz(0)),
				'Add a number, or raise daily_limit with smsflow.set_sender() where the carrier allows it.'
			FROM smsflow.sender_state() t JOIN smsflow.sender y USING (sender_id) JOIN smsflow.gateway x USING (gateway_id)
			WHERE t.used_today >= t.daily_limit - smsflow.kept_of_day(t.daily_limit)
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
			WHEN problems IS NOT NULL THEN 'Put the secret into a file in smsflow.secrets_dir, named as the gateway, owned by the server''s user and readable by nobody else (chmod 600), or SELECT smsflow.set_secret(gateway, secret).'
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
		CASE WHEN waiting = 0 THEN 'nothing waits' ELSE 'messages waiting: ' || CASE WHEN at_least THEN 'at least ' ELSE '' END || waiting
			|| coalesce(CASE WHEN oldest_at <= now() THEN ', oldest due since ' ELSE ', first due at ' END || oldest_at::timestamptz(0), '') END,
		CASE WHEN oldest_at <= now() - interval '5 minutes'
			THEN 'Correct the lines above first. If all are ok the numbers are too slow: see smsflow.stat_sender, and raise their rate or add one.' END
	FROM (
		SELECT coalesce(sum(t.waiting), 0) AS waiting, bool_or(t.at_least) AS at_least, min(t.oldest_at) FILTER (WHERE k.status IS DISTINCT FROM 'paused') AS oldest_at
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
		SELECT 'triggers', count(*), min(p.example), string_agg(DISTINCT p.hint, ' ') FROM (
			SELECT 'table ' || p.relation::regclass || ': ' || p.error,
				'Correct the mapping with smsflow.unwatch() and smsflow.watch_carts() or watch_orders(), then DELETE FROM smsflow.trigger_problem.'
			FROM smsflow.trigger_problem p WHERE EXISTS (SELECT FROM pg_class c WHERE c.oid = p.relation)
			UNION ALL
			-- Triggers of statements, which PostgreSQL fires on the table alone that a statement names.
			SELECT DISTINCT format('table %s is a partition of %s, and does not see what is written through that', i.inhrelid::regclass, i.inhparent::regclass),
				CASE WHEN t.tgnargs > 0 THEN 'Name the partitioned table in the items of watch_carts().'
					ELSE 'Watch the table anew with smsflow.unwatch() and smsflow.watch_carts(), or the one that it is part of.' END
			FROM pg_trigger t JOIN pg_inherits i ON i.inhrelid = t.tgrelid JOIN pg_class c ON c.oid = t.tgrelid
			WHERE c.relispartition AND t.tgfoid = 'smsflow.watch_trigger()'::regprocedure AND t.tgtype & 1 = 0
		) AS p (example, hint)
		UNION ALL
		SELECT 'events', count(*), min('event ' || event_id || ': ' || error),
			'See smsflow.event_problem, and correct what its error names: a sequence, or a watched table. What was set aside is not tried again.'
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
		SELECT 'feedback', count(*), min(f.what || ': ' || coalesce('SQLSTATE ' || f.problem, 'the contact is held')),
			'End the transaction that holds the contact, see pg_stat_activity; smsflow.feedback, and waiting in smsflow.inbound, say what waits.'
		FROM (SELECT kind || ' by message ' || message_id, problem FROM smsflow.feedback WHERE problem IS NOT NULL OR at < now() - interval '1 minute'
			UNION ALL SELECT action || ' by reply ' || inbound_id, NULL FROM smsflow.inbound WHERE waiting AND received_at < now() - interval '1 minute')
			AS f (what, problem)
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
