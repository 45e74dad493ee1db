-- Retention: segments of messages are dropped whole when they are old enough.
--
-- In a session of its own (pg_cron, or a person) and not in the worker, because
-- what the segment counts is kept first, which reads all of it: sending does not
-- wait. Only the drop itself needs the lock of the parents, for a moment, and
-- gives up when a reader has them: it is tried again the next time.

CREATE OR REPLACE FUNCTION smsflow.forget_segment(segment integer, from_id bigint, to_id bigint) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	parent text;
BEGIN
	INSERT INTO smsflow.metric_dropped AS d SELECT r.* FROM smsflow.recount(from_id, to_id) r
		ON CONFLICT (campaign_id, sequence_id, step, variant, measure, currency) DO UPDATE SET value = d.value + excluded.value;
	DELETE FROM smsflow.click k WHERE k.message_id >= from_id AND k.message_id < to_id;
	DELETE FROM smsflow.attribution a WHERE a.message_id >= from_id AND a.message_id < to_id;
	DELETE FROM smsflow.dedup d WHERE d.message_id >= from_id AND d.message_id < to_id;
	DELETE FROM smsflow.touch t WHERE t.message_id >= from_id AND t.message_id < to_id;
	DELETE FROM smsflow.touch_run r WHERE forget_segment.to_id > ALL (r.message_ids);
	DELETE FROM smsflow.revocation r WHERE r.kind = 'message' AND r.target_id >= from_id AND r.target_id < to_id;
	-- With them those that name no message (0), or one that is gone longer.
	WITH gone AS (DELETE FROM smsflow.callback c WHERE c.message_id < to_id
			AND (c.message_id >= GREATEST(from_id, 1) OR c.received_at < now() - current_setting('smsflow.retention')::interval) RETURNING c.callback_id)
		DELETE FROM smsflow.callback_problem p USING gone WHERE p.callback_id = gone.callback_id;
	-- The newest claim of a queue is its cursor, and says which before it may be open.
	DELETE FROM smsflow.claim c WHERE c.to_id < forget_segment.to_id AND c.claimed_at < now() - interval '7 days'
		AND c.claim_id < (SELECT LEAST(n.claim_id, n.oldest_open) FROM smsflow.claim n WHERE n.queue_id = c.queue_id
			ORDER BY n.claim_id DESC LIMIT 1);
	FOREACH parent IN ARRAY smsflow.segmented_tables() LOOP
		EXECUTE format('DROP TABLE smsflow.%I', parent || '_' || segment);
	END LOOP;
	DELETE FROM smsflow.message_segment s WHERE s.segment = forget_segment.segment;
END $$;
COMMENT ON FUNCTION smsflow.forget_segment(integer, bigint, bigint) IS 'Drops one segment of the message tables with all that belongs to its messages, and keeps what they count. Errors: 55P03 somebody reads or writes it';
REVOKE ALL ON FUNCTION smsflow.forget_segment(integer, bigint, bigint) FROM PUBLIC;

-- Nothing of it may be sent any more, and reports on it are no longer expected.
CREATE OR REPLACE FUNCTION smsflow.segment_is_over(segment integer, to_id bigint, keep interval) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	over boolean;
BEGIN
	IF to_id > (SELECT last_value FROM smsflow.message_id_seq) THEN
		RETURN false;
	END IF;
	-- The newest row answers for most calls, without reading them all.
	EXECUTE format('SELECT NOT EXISTS (SELECT FROM (SELECT created_at FROM smsflow.%I ORDER BY message_id DESC LIMIT 1) n WHERE n.created_at > now() - $1)',
		'outbox_' || segment) INTO over USING keep;
	IF over THEN
		EXECUTE format('SELECT count(*) = 0 OR max(GREATEST(o.created_at + $1, o.expires_at + interval ''7 days'')) < now() FROM smsflow.%I o',
			'outbox_' || segment) INTO over USING keep;
	END IF;
	RETURN over;
END $$;
COMMENT ON FUNCTION smsflow.segment_is_over(integer, bigint, interval) IS 'Whether all messages of a segment are older than an interval, and expired for a week';
REVOKE ALL ON FUNCTION smsflow.segment_is_over(integer, bigint, interval) FROM PUBLIC;

-- Looks at the oldest only, so that it costs the same however many there are.
CREATE OR REPLACE FUNCTION smsflow.forget_replies(keep interval, most integer) RETURNS bigint
	LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	WITH gone AS (DELETE FROM smsflow.inbound AS i
		USING (SELECT n.inbound_id FROM smsflow.inbound AS n ORDER BY n.inbound_id LIMIT forget_replies.most) AS oldest
		WHERE i.inbound_id = oldest.inbound_id AND i.received_at < now() - forget_replies.keep
			AND NOT (i.action = 'review' AND i.settled_at IS NULL)
		RETURNING i.inbound_id)
	SELECT count(*) FROM gone
$$;
COMMENT ON FUNCTION smsflow.forget_replies(interval, integer) IS 'Deletes those of the oldest so many replies that are older than an interval, but for those that still wait for settle_review(); how many. What they changed, such as consent, stays';
REVOKE ALL ON FUNCTION smsflow.forget_replies(interval, integer) FROM PUBLIC;

-- What the worker has not read or not folded into facts yet, and what an enrolment may still ask for, waits for a later call.
CREATE OR REPLACE FUNCTION smsflow.forget_events(keep interval, most integer) RETURNS bigint
	LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	WITH gone AS (DELETE FROM smsflow.event AS e
		USING (SELECT n.event_id FROM smsflow.event AS n ORDER BY n.event_id LIMIT forget_events.most) AS oldest
		WHERE e.event_id = oldest.event_id AND e.occurred_at < now() - greatest(forget_events.keep, interval '7 days')
			AND e.event_id <= (SELECT t.low_id FROM smsflow.tail AS t WHERE t.name = 'event')
			AND NOT EXISTS (SELECT FROM smsflow.profile_delta AS d WHERE d.contact_id = e.contact_id AND d.event_id = e.event_id)
			AND NOT EXISTS (SELECT FROM smsflow.enrollment AS n WHERE n.contact_id = e.contact_id AND n.ended_at IS NULL AND n.event_id <= e.event_id)
		RETURNING e.event_id),
	settled AS (DELETE FROM smsflow.event_problem AS p USING gone WHERE p.event_id = gone.event_id)
	SELECT count(*) FROM gone
$$;
COMMENT ON FUNCTION smsflow.forget_events(interval, integer) IS 'Deletes those of the oldest so many events that are older than an interval, 7 days at least, but for those that began an enrolment which goes on, or came after it to that person, and for those that the worker has not read, or not folded into facts, yet; how many';
REVOKE ALL ON FUNCTION smsflow.forget_events(interval, integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.apply_retention() RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
	keep CONSTANT interval := current_setting('smsflow.retention')::interval;
	keep_events CONSTANT interval := current_setting('smsflow.event_retention')::interval;
	old smsflow.message_segment;
BEGIN
	IF keep_events > interval '0' THEN
		PERFORM smsflow.forget_events(keep_events, 100000);
	END IF;
	IF keep = interval '0' THEN
		RETURN false;
	END IF;
	PERFORM smsflow.forget_replies(keep, 10000);
	SELECT * INTO old FROM smsflow.message_segment s ORDER BY s.segment LIMIT 1;
	IF old.segment IS NULL OR NOT smsflow.segment_is_over(old.segment, old.to_id, keep) THEN
		RETURN false;
	END IF;
	BEGIN
		-- What is counted now must not change any more; readers need not wait for it.
		EXECUTE format('LOCK TABLE smsflow.%I, smsflow.%I, smsflow.%I, smsflow.%I IN SHARE ROW EXCLUSIVE MODE',
			'outbox_' || old.segment, 'attempt_' || old.segment, 'timer_' || old.segment, 'report_' || old.segment);
		PERFORM smsflow.forget_segment(old.segment, old.from_id, old.to_id);
		RETURN true;
	EXCEPTION WHEN lock_not_available THEN
		RAISE NOTICE 'segment % of the messages is in use, it is dropped another time', old.segment;
		RETURN false;
	END;
END $$;
COMMENT ON FUNCTION smsflow.apply_retention() IS 'Drops the oldest segment of the message tables (1,048,576 messages) when all of it is older than smsflow.retention and has expired more than 7 days ago; false when there is none, when it is in use, or when smsflow.retention is 0. Counters stay as they are. Reports that name no message go with a segment when they are as old, and of the 10,000 oldest replies those that are, unless they wait for settle_review(). Of the 100,000 oldest events go those that are older than smsflow.event_retention, unless that is 0. The ledger of consent stays';
REVOKE ALL ON FUNCTION smsflow.apply_retention() FROM PUBLIC;

-- A segment is told by its newest message, without reading the others.
CREATE OR REPLACE VIEW smsflow.stat_storage AS
	SELECT format('messages %s', s.segment) AS name, t.rows, t.bytes, s.from_id, s.to_id, n.created_at AS newest_at,
		CASE WHEN s.to_id <= q.last_value AND k.keep > interval '0' THEN GREATEST(n.created_at + k.keep, n.expires_at + interval '7 days', now()) END AS dropped_after
	FROM smsflow.message_segment s
	CROSS JOIN smsflow.message_id_seq q
	CROSS JOIN (SELECT current_setting('smsflow.retention')::interval AS keep) k
	CROSS JOIN LATERAL (
		SELECT sum(pg_total_relation_size(c.oid))::bigint AS bytes,
			sum(greatest(c.reltuples, 0)) FILTER (WHERE c.relname = 'outbox_' || s.segment)::bigint AS rows
		FROM pg_class c WHERE c.relnamespace = 'smsflow'::regnamespace
			AND c.relname IN ('outbox_' || s.segment, 'attempt_' || s.segment, 'timer_' || s.segment, 'report_' || s.segment)
	) t
	LEFT JOIN LATERAL (
		SELECT o.created_at, o.expires_at FROM smsflow.outbox o
		WHERE o.message_id >= s.from_id AND o.message_id < s.to_id ORDER BY o.message_id DESC LIMIT 1
	) n ON true
	UNION ALL
	SELECT c.relname::text, greatest(c.reltuples, 0)::bigint, pg_total_relation_size(c.oid), NULL, NULL, NULL, NULL
	FROM pg_class c
	WHERE c.relnamespace = 'smsflow'::regnamespace AND c.relkind = 'r' AND c.relname !~ '^(outbox|attempt|timer|report)_[0-9]+$';
COMMENT ON VIEW smsflow.stat_storage IS 'What takes room: a row for each segment of the messages, and for each table that is no segment';
COMMENT ON COLUMN smsflow.stat_storage.name IS 'messages and the number of the segment, or the name of the table';
COMMENT ON COLUMN smsflow.stat_storage.rows IS 'Messages, or rows, as the last ANALYZE counted them; 0: never analyzed';
COMMENT ON COLUMN smsflow.stat_storage.bytes IS 'Size on disk with indexes; of a segment that of messages, tries, timers and reports together';
COMMENT ON COLUMN smsflow.stat_storage.from_id IS 'Lowest message id of the segment';
COMMENT ON COLUMN smsflow.stat_storage.to_id IS 'Lowest message id after it';
COMMENT ON COLUMN smsflow.stat_storage.newest_at IS 'When its newest message was asked for; NULL: it is made ahead';
COMMENT ON COLUMN smsflow.stat_storage.dropped_after IS 'From when on apply_retention() may drop it, oldest segment first, by smsflow.retention of this session; NULL: it is not full, retention is 0, or it is no segment';
