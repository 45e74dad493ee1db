-- The views of monitoring: what the worker does, what waits, and what left.

CREATE OR REPLACE VIEW smsflow.stat_worker AS
	SELECT current_database()::text AS database, w.* FROM smsflow.worker_state() w;
COMMENT ON VIEW smsflow.stat_worker IS 'The workers of this database and how they are doing';
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
COMMENT ON COLUMN smsflow.stat_worker.worker IS 'Number of the worker: 0, and up to smsflow.workers less one where there are several';

-- Polled every second, so queues that the worker knows to be empty are not looked at, and of the others at most so many
-- messages are counted. What was committed behind a queue's cursor a running worker takes at once, so that is looked for
-- only where there is none: whatever the newest claim, which took all that it saw, did not see.
CREATE OR REPLACE FUNCTION smsflow.queue_depth(OUT queue_id integer, OUT waiting bigint, OUT oldest_at timestamptz, OUT at_least boolean)
	RETURNS SETOF record LANGUAGE sql VOLATILE SECURITY DEFINER ROWS 100
	SET search_path = pg_catalog, smsflow, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
	WITH looked_at AS MATERIALIZED (
		SELECT q.queue_id, q.waits FROM (
			SELECT k.queue_id, smsflow.queue_waits(k.queue_id, k.shard) AS waits FROM smsflow.queue k WHERE k.queue_id <> 0 OFFSET 0) q
		WHERE q.waits IS NOT FALSE),
	most AS MATERIALIZED (SELECT least(10000, greatest(10, 20000 / greatest(count(*) FILTER (WHERE waits), 1))) AS rows FROM looked_at)
	SELECT q.queue_id, n.waiting + l.waiting + t.waiting, least(n.oldest_at, l.oldest_at, t.oldest_at),
		greatest(n.waiting, l.waiting, t.waiting) >= m.rows
	FROM looked_at q
	CROSS JOIN most m
	LEFT JOIN LATERAL (
		SELECT * FROM smsflow.claim c WHERE c.queue_id = q.queue_id ORDER BY c.claim_id DESC LIMIT 1
	) c ON true
	CROSS JOIN LATERAL (
		SELECT count(*) AS waiting, min(x.at) AS oldest_at
		FROM (SELECT coalesce(o.due_at, o.created_at) AS at FROM smsflow.outbox o
			WHERE o.queue_id = q.queue_id AND o.message_id > coalesce(c.cursor_id, 0) LIMIT (SELECT rows FROM most)) x
	) n
	CROSS JOIN LATERAL (
		SELECT count(*) AS waiting, min(x.at) AS oldest_at
		FROM (SELECT coalesce(o.due_at, o.created_at) AS at, o.xid FROM smsflow.outbox o
			WHERE q.waits IS NULL AND o.queue_id = q.queue_id AND o.message_id > c.low_id AND o.message_id <= c.cursor_id LIMIT 100000) x
		WHERE NOT pg_visible_in_snapshot(x.xid, c.snapshot)
	) l
	CROSS JOIN LATERAL (
		SELECT count(*) AS waiting, min(x.due_at) AS oldest_at
		FROM (SELECT t.due_at FROM smsflow.timer t
			WHERE t.queue_id = q.queue_id
				AND (t.due_at, t.timer_id) > (coalesce(c.to_due, '-infinity'), coalesce(c.to_timer_id, 0))
			ORDER BY t.queue_id, t.due_at, t.timer_id LIMIT (SELECT rows FROM most)) x
	) t
$$;
COMMENT ON FUNCTION smsflow.queue_depth() IS 'Messages that no worker has taken yet, per queue that may have some; see stat_queue';
REVOKE ALL ON FUNCTION smsflow.queue_depth() FROM PUBLIC;

CREATE OR REPLACE VIEW smsflow.stat_queue AS
	SELECT q.queue_id, q.lane, s.address AS sender, q.source, coalesce(d.waiting, 0) AS waiting, d.oldest_at,
		coalesce(d.at_least, false) AS at_least
	FROM smsflow.queue q
	LEFT JOIN smsflow.sender s USING (sender_id)
	LEFT JOIN smsflow.queue_depth() d USING (queue_id)
	WHERE q.queue_id <> 0;
COMMENT ON VIEW smsflow.stat_queue IS 'Messages that no worker has taken yet, per queue; scheduled, held and retried ones included';
COMMENT ON COLUMN smsflow.stat_queue.lane IS '0 compliance and otp, 1 transactional, 2 conversational, 3 cart, 4 promotional';
COMMENT ON COLUMN smsflow.stat_queue.sender IS 'Number they leave from; NULL: chosen when one exists';
COMMENT ON COLUMN smsflow.stat_queue.source IS 'direct, or the campaign or sequence they are from';
COMMENT ON COLUMN smsflow.stat_queue.waiting IS 'Messages; those of a cancelled campaign or recipient count until the worker sets them aside';
COMMENT ON COLUMN smsflow.stat_queue.oldest_at IS 'When the first of them is, or was, due';
COMMENT ON COLUMN smsflow.stat_queue.at_least IS 'There are more: of each kind (new, scheduled or held) 20,000 are counted over all queues, and of each queue 10,000 at most and 10 at least';

CREATE OR REPLACE VIEW smsflow.stat_sender AS
	SELECT s.address AS sender, g.name AS gateway, s.pool, s.kind, s.enabled AND g.enabled AS enabled,
		coalesce(w.waiting, 0) AS waiting,
		coalesce(m.sent, 0) AS sent, coalesce(m.delivered, 0) AS delivered, coalesce(m.undelivered, 0) AS undelivered,
		coalesce(m.rejected, 0) AS rejected, coalesce(m.in_doubt, 0) AS in_doubt, m.last_sent_at, s.sender_id,
		r.in_flight, r.rate, r.tokens, r.breaker, r.paused_for, r.open_until AS paused_until,
		r.used_today, r.daily_limit, CASE WHEN r.daily_limit IS NOT NULL THEN smsflow.day_ends(s.reset_zone, now()) END AS day_ends,
		smsflow.kept_of_day(r.daily_limit) AS kept_today
	FROM smsflow.sender s
	JOIN smsflow.gateway g USING (gateway_id)
	LEFT JOIN smsflow.sender_state() r USING (sender_id)
	LEFT JOIN (
		SELECT q.sender_id, sum(t.waiting)::bigint AS waiting
		FROM smsflow.queue_depth() t JOIN smsflow.queue q USING (queue_id)
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
COMMENT ON COLUMN smsflow.stat_sender.waiting IS 'Messages in its queues; of long queues a part is counted, see stat_queue.at_least';
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
COMMENT ON COLUMN smsflow.stat_sender.kept_today IS 'Parts of daily_limit that only compliance messages and one-time passwords may use';

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
