-- Asking for a message, cancelling it, and knowing what became of it.

-- What a transaction tells the worker at its commit. ------------------------

CREATE OR REPLACE FUNCTION smsflow.note_enqueued(queue_ids integer[]) RETURNS void
	LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smsflow_note_enqueued_sql';
COMMENT ON FUNCTION smsflow.note_enqueued(integer[]) IS 'Wakes the worker for these queues when the transaction commits';
REVOKE ALL ON FUNCTION smsflow.note_enqueued(integer[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.note_event() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smsflow_note_event_sql';
COMMENT ON FUNCTION smsflow.note_event() IS 'Wakes the worker for store events when the transaction commits';
REVOKE ALL ON FUNCTION smsflow.note_event() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.note_callback() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smsflow_note_callback_sql';
COMMENT ON FUNCTION smsflow.note_callback() IS 'Wakes the worker for callbacks when the transaction commits';
REVOKE ALL ON FUNCTION smsflow.note_callback() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.note_config() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smsflow_note_config_sql';
COMMENT ON FUNCTION smsflow.note_config() IS 'Makes the worker reload gateways, senders, queues and campaign states when the transaction commits';
REVOKE ALL ON FUNCTION smsflow.note_config() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.note_revocation(kind text, id bigint) RETURNS void
	LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smsflow_note_revocation_sql';
COMMENT ON FUNCTION smsflow.note_revocation(text, bigint) IS 'Publishes to the worker that a contact, message, campaign or enrollment changed: what is claimed for it is checked again before its request starts. Errors: SF007';
REVOKE ALL ON FUNCTION smsflow.note_revocation(text, bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.config_changed() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'smsflow_config_changed';
COMMENT ON FUNCTION smsflow.config_changed() IS 'Statement trigger of the tables the worker keeps in memory';
REVOKE ALL ON FUNCTION smsflow.config_changed() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.rules_changed() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'smsflow_rules_changed';
COMMENT ON FUNCTION smsflow.rules_changed() IS 'Statement trigger of tables by which the gate decides: the worker asks again for what is held';
REVOKE ALL ON FUNCTION smsflow.rules_changed() FROM PUBLIC;
CREATE OR REPLACE TRIGGER rules_changed AFTER INSERT OR UPDATE ON smsflow.sender
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.rules_changed();
CREATE OR REPLACE TRIGGER rules_changed AFTER INSERT OR UPDATE ON smsflow.registration
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.rules_changed();

-- Policy. --------------------------------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.lane_of(purpose smsflow.purpose) RETURNS smallint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN (CASE purpose WHEN 'compliance' THEN 0 WHEN 'otp' THEN 0 WHEN 'transactional' THEN 1
		WHEN 'conversational' THEN 2 WHEN 'cart' THEN 3 ELSE 4 END)::smallint;
COMMENT ON FUNCTION smsflow.lane_of(smsflow.purpose) IS 'Lane of a purpose: 0 leaves first';
REVOKE ALL ON FUNCTION smsflow.lane_of(smsflow.purpose) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.proof(proof bigint[], purpose smsflow.purpose) RETURNS bigint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN NULLIF(proof[CASE purpose WHEN 'compliance' THEN 1 WHEN 'otp' THEN 2 WHEN 'transactional' THEN 3
		WHEN 'conversational' THEN 4 WHEN 'cart' THEN 5 ELSE 6 END], 0);
COMMENT ON FUNCTION smsflow.proof(bigint[], smsflow.purpose) IS 'Ledger entry of contact.proof that permits a purpose, NULL for none';
REVOKE ALL ON FUNCTION smsflow.proof(bigint[], smsflow.purpose) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.default_validity(purpose smsflow.purpose) RETURNS interval
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE purpose WHEN 'otp' THEN interval '10 minutes' WHEN 'compliance' THEN interval '5 minutes'
		WHEN 'transactional' THEN interval '72 hours' WHEN 'cart' THEN interval '48 hours'
		ELSE interval '24 hours' END;
COMMENT ON FUNCTION smsflow.default_validity(smsflow.purpose) IS 'Time after which a message of this purpose is no longer sent, unless the call says otherwise. A confirmation of STOP leaves within 5 minutes (47 CFR 64.1200(a)(12)) or not at all';
REVOKE ALL ON FUNCTION smsflow.default_validity(smsflow.purpose) FROM PUBLIC;

-- Text. ----------------------------------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.contact_vars(c smsflow.contact, brand text, extra jsonb) RETURNS jsonb
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN COALESCE((c).attributes, '{}') || jsonb_build_object('first_name', (c).first_name, 'last_name', (c).last_name,
		'external_id', (c).external_id, 'language', (c).language, 'region', (c).region, 'brand', brand, '_brand', brand,
		'_time_zone', COALESCE((c).time_zone, (smsflow.phone_time_zones((c).phone))[1])) || COALESCE(extra, '{}');
COMMENT ON FUNCTION smsflow.contact_vars(smsflow.contact, text, jsonb) IS 'Template variables of a contact: attributes, names, brand, and extra on top';
REVOKE ALL ON FUNCTION smsflow.contact_vars(smsflow.contact, text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.render_message(body text, vars jsonb,
		OUT rendered text, OUT parts integer, OUT unicode boolean, OUT missing text, OUT links text[])
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_render_message';
COMMENT ON FUNCTION smsflow.render_message(text, jsonb) IS 'Renders a template and counts its parts; missing names the first variable without value or default, and rendered is then NULL. links are the targets of short links, whose codes the outbox puts in. Errors: SF003, SF007';
REVOKE ALL ON FUNCTION smsflow.render_message(text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_template(body text) RETURNS void
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_check_template';
COMMENT ON FUNCTION smsflow.check_template(text) IS 'Raises SF003 with position and reason when a template is malformed';
REVOKE ALL ON FUNCTION smsflow.check_template(text) FROM PUBLIC;

-- Queues. --------------------------------------------------------------------

-- A queue that changed hands between running workers would be read by two of them.
CREATE OR REPLACE FUNCTION smsflow.choose_shard() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	NEW.shard := COALESCE((SELECT s.gateway_id FROM smsflow.sender s WHERE s.sender_id = NEW.sender_id), NEW.shard);
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION smsflow.choose_shard() IS 'Trigger of smsflow.queue: a new queue belongs to the worker of its sender''s gateway';
REVOKE ALL ON FUNCTION smsflow.choose_shard() FROM PUBLIC;
CREATE OR REPLACE TRIGGER choose_shard BEFORE INSERT ON smsflow.queue FOR EACH ROW EXECUTE FUNCTION smsflow.choose_shard();

CREATE OR REPLACE FUNCTION smsflow.queues_for(lane smallint, source text, pool text) RETURNS integer[]
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smsflow_queues_for';
COMMENT ON FUNCTION smsflow.queues_for(smallint, text, text) IS 'Queue per enabled sender of the pool, ordered by sender, made where missing; the queue without sender when the pool is empty';
REVOKE ALL ON FUNCTION smsflow.queues_for(smallint, text, text) FROM PUBLIC;

-- The gate over messages. ----------------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.cart_ref(ref text, enrollment_id bigint, round integer) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN COALESCE(NULLIF(ref, ''), 'enrollment ' || enrollment_id) || CASE WHEN round > 1 THEN '#' || round ELSE '' END;
COMMENT ON FUNCTION smsflow.cart_ref(text, bigint, integer) IS 'What one reminder a cart counts by: the cart, and how often it was abandoned';
REVOKE ALL ON FUNCTION smsflow.cart_ref(text, bigint, integer) FROM PUBLIC;

-- What a customer does under one number counts for those that the store knows him by, too, where the event names the customer.
-- Events are looked up for one number at a time, by an index that has them in order.
CREATE OR REPLACE VIEW smsflow.same_customer AS
SELECT c.contact_id, c.contact_id AS other_id, NULL::text AS external_id FROM smsflow.contact c
UNION ALL
SELECT c.contact_id, o.contact_id, c.external_id FROM smsflow.contact c
JOIN smsflow.contact o ON o.brand_id = c.brand_id AND o.external_id = c.external_id AND o.contact_id <> c.contact_id;
COMMENT ON VIEW smsflow.same_customer IS 'Contacts whose events may end sequences of a contact: itself, and those with the same customer id, of whose events those that name it';

-- The worker claims plain messages without this view (worker/plain.c). A reason that is added here must make a
-- message not plain there, or be known there as well.
CREATE OR REPLACE VIEW smsflow.gated AS
SELECT o.message_id, o.xid, o.created_at, o.due_at, o.expires_at, o.contact_id, o.recipient, o.enrollment_id,
	o.queue_id, o.brand_id, o.campaign_id, o.sequence_id, o.purpose, o.step, o.parts, o.unicode, o.body,
	COALESCE(m.reason, x.reason, (d.gate).reason) AS reason,
	CASE m.reason WHEN 'not_due' THEN o.due_at WHEN 'campaign_paused' THEN now() ELSE
		CASE WHEN m.reason IS NULL AND x.reason IS NULL THEN (d.gate).retry_at END END AS retry_at,
	(d.gate).open_until, f.subject, f.ref, n.sender_id, o.media_urls, f.options AS source_options, o.variant
FROM smsflow.outbox o
LEFT JOIN smsflow.contact c ON c.contact_id = o.contact_id
LEFT JOIN smsflow.campaign k ON k.campaign_id = o.campaign_id
LEFT JOIN smsflow.sequence s ON s.sequence_id = o.sequence_id
LEFT JOIN smsflow.enrollment e ON e.enrollment_id = o.enrollment_id
LEFT JOIN smsflow.queue q ON q.queue_id = o.queue_id
-- Without a sender when it was asked for: the one that it would leave from now.
LEFT JOIN smsflow.sender n ON n.sender_id = COALESCE(q.sender_id,
	smsflow.any_sender(o.recipient, c.region, COALESCE(o.contact_id, substr(o.recipient::text, 2)::bigint)))
CROSS JOIN LATERAL (SELECT COALESCE(o.subject, k.options ->> 'subject', k.name, s.options ->> 'subject', s.name) AS subject,
	smsflow.cart_ref(e.ref, o.enrollment_id, e.round) AS ref, COALESCE(k.options, s.options) AS options) f
-- OFFSET 0 keeps the two apart, so that each is worked out once for a message and not once for each column.
CROSS JOIN LATERAL (SELECT smsflow.gate(o.contact_id, o.recipient, c.consent, o.purpose, c.region, c.time_zone,
	c.time_zone_source, c.reachability, o.message_id, f.subject, f.ref, n.kind, n.registration, n.options, now(), o.brand_id,
	f.options, o.body, c.suppressed) AS gate OFFSET 0) d
CROSS JOIN LATERAL (SELECT CASE
	WHEN o.expires_at <= now() THEN 'expired'
	WHEN (SELECT true FROM smsflow.revocation r WHERE r.kind = 'message' AND r.target_id = o.message_id LIMIT 1)
		THEN 'cancelled'
	WHEN k.status = 'cancelled' THEN 'campaign_cancelled'
	WHEN k.status = 'paused' THEN 'campaign_paused'
	WHEN e.ended_at IS NOT NULL AND e.end_reason <> 'completed' THEN 'sequence_ended'
	WHEN o.sequence_id IS NOT NULL AND s.sequence_id IS NULL THEN 'sequence_ended'
	WHEN o.trigger_event_id IS NOT NULL AND (SELECT true FROM smsflow.same_customer u CROSS JOIN LATERAL (SELECT FROM smsflow.event x
			WHERE x.contact_id = u.other_id AND x.event_id > o.trigger_event_id AND (u.external_id IS NULL OR x.external_id = u.external_id)
				AND x.kind = ANY (s.exit_on) AND (x.kind <> ALL ('{cart_emptied,out_of_stock}') OR COALESCE(x.ref, '') = e.ref) LIMIT 1) y
		WHERE u.contact_id = o.contact_id LIMIT 1) THEN 'sequence_exited'
	WHEN o.due_at > now() AND smsflow.final_refusal(d.gate) IS NULL THEN 'not_due'
	END AS reason OFFSET 0) m
CROSS JOIN LATERAL (SELECT CASE WHEN m.reason IS NULL AND k.options ? 'exclude'
	THEN smsflow.exclusion(k.options -> 'exclude', o.contact_id, true) END AS reason OFFSET 0) x;
COMMENT ON VIEW smsflow.gated IS 'Messages with the gate''s decision in the reader''s snapshot';
COMMENT ON COLUMN smsflow.gated.reason IS 'NULL: may be sent now. Else why not: expired, cancelled, campaign_cancelled, campaign_paused, sequence_ended, sequence_exited, not_due, a reason of smsflow.exclusion(), or one of smsflow.gate()';
COMMENT ON COLUMN smsflow.gated.retry_at IS 'When it is worth asking again; NULL with a reason: never';
COMMENT ON COLUMN smsflow.gated.subject IS 'What caps on the same subject count by';
COMMENT ON COLUMN smsflow.gated.ref IS 'Cart it is about';
COMMENT ON COLUMN smsflow.gated.sender_id IS 'Sender it would leave from; NULL: there is none';
COMMENT ON COLUMN smsflow.gated.source_options IS 'Options of its campaign or sequence';
COMMENT ON COLUMN smsflow.gated.variant IS 'Variant of its campaign or step; NULL: there are none';
COMMENT ON COLUMN smsflow.gated.open_until IS 'Until when it may leave; NULL: no window closes';

-- A new timer, and not an earlier old one: of the timers of a message the newest counts.
CREATE OR REPLACE FUNCTION smsflow.wake_held(queue_id integer, after_due timestamptz, after_timer bigint, not_before timestamptz, slice integer,
		OUT seen integer, OUT woken integer, OUT last_due timestamptz, OUT last_timer bigint)
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, smsflow, pg_temp SET enable_seqscan = off SET jit = off AS $$
	WITH seen AS MATERIALIZED (
		SELECT t.message_id, t.due_at, t.timer_id, t.attempt, t.reason FROM smsflow.timer t
		WHERE t.queue_id = wake_held.queue_id AND t.due_at >= wake_held.after_due AND (t.due_at, t.timer_id) > (wake_held.after_due, wake_held.after_timer)
		ORDER BY t.queue_id, t.due_at, t.timer_id LIMIT wake_held.slice),
	sooner AS MATERIALIZED (
		SELECT s.message_id, s.attempt, greatest(wake_held.not_before, g.retry_at) AS due_at FROM seen s
		CROSS JOIN LATERAL (SELECT * FROM smsflow.gated WHERE gated.message_id = s.message_id OFFSET 0) g
		WHERE s.reason IN ('quiet_hours', 'frequency_cap', 'subject_cap', 'sender_unregistered', 'suppression_key_missing', 'cap_segment_failed', 'daily_limit')
			AND NOT EXISTS (SELECT FROM smsflow.timer n WHERE n.message_id = s.message_id AND n.timer_id > s.timer_id)
			AND (g.reason IS NULL OR g.retry_at < s.due_at)
		ORDER BY s.due_at, s.timer_id),
	woken AS (
		INSERT INTO smsflow.timer (message_id, due_at, queue_id, attempt, reason)
		SELECT w.message_id, w.due_at, wake_held.queue_id, w.attempt, 'rules_changed' FROM sooner w RETURNING 1)
	SELECT (SELECT count(*) FROM seen)::integer, (SELECT count(*) FROM woken)::integer, s.due_at, s.timer_id
	FROM (SELECT 1) one LEFT JOIN LATERAL (SELECT x.due_at, x.timer_id FROM seen x ORDER BY x.due_at DESC, x.timer_id DESC LIMIT 1) s ON true
$$;
COMMENT ON FUNCTION smsflow.wake_held(integer, timestamptz, bigint, timestamptz, integer) IS 'Worker: reads at most slice timers of a queue past (after_due, after_timer) and appends one that is due at not_before, or when the gate says, for each held message that may go earlier than it was told. Returns timers read and appended, and the last one read';
REVOKE ALL ON FUNCTION smsflow.wake_held(integer, timestamptz, bigint, timestamptz, integer) FROM PUBLIC;

-- Status. --------------------------------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.fold_status(refused boolean, outcome text, timer_reason text, claimed boolean,
		due_later boolean, reports text[]) RETURNS text
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_fold_status';
COMMENT ON FUNCTION smsflow.fold_status(boolean, text, text, boolean, boolean, text[]) IS 'Status of a message from its newest attempt, a timer still ahead of that, whether a worker has it, and its reports in order; the transition table is core/delivery';
REVOKE ALL ON FUNCTION smsflow.fold_status(boolean, text, text, boolean, boolean, text[]) FROM PUBLIC;

CREATE OR REPLACE VIEW smsflow.message_state AS
SELECT o.message_id, o.brand_id, o.contact_id, o.queue_id, o.campaign_id, o.sequence_id, o.step, o.purpose, o.parts,
	smsflow.fold_status(o.refusal IS NOT NULL, last.outcome::text, timer.reason,
		CASE WHEN timer.reason IS NOT NULL
			THEN (SELECT (timer.due_at, timer.timer_id) <= (c.to_due, c.to_timer_id) FROM smsflow.claim c
				WHERE c.queue_id = o.queue_id ORDER BY c.claim_id DESC LIMIT 1)
		WHEN last.outcome IS NULL AND o.refusal IS NULL
			THEN (SELECT true FROM smsflow.claim c WHERE c.queue_id = o.queue_id AND c.kind <> 'timer'
				AND o.message_id > c.from_id AND o.message_id <= c.to_id AND pg_visible_in_snapshot(o.xid, c.snapshot) LIMIT 1)
		END, o.due_at > now(), report.statuses)::smsflow.message_status AS status,
	COALESCE(o.refusal, timer.reason, last.reason) AS reason,
	COALESCE(report.class, last.class) AS error_class, COALESCE(report.code, last.code) AS error_code,
	COALESCE(report.provider_id, tries.provider_id) AS provider_id,
	report.cost, report.currency, COALESCE(tries.attempts, 0) AS attempts,
	COALESCE(timer.due_at, o.due_at) AS due_at, COALESCE(tries.sent_at, report.first_at) AS sent_at,
	-- Some networks report whole seconds: none delivers before it accepts.
	CASE WHEN report.delivered_at IS NOT NULL THEN GREATEST(report.delivered_at, tries.sent_at) END AS delivered_at,
	COALESCE(last.sender_id, q.sender_id) AS sender_id, o.variant
FROM smsflow.outbox o
LEFT JOIN smsflow.queue q ON q.queue_id = o.queue_id
LEFT JOIN LATERAL (SELECT a.outcome, a.attempt, a.reason, a.class, a.code, a.sender_id FROM smsflow.attempt a
	WHERE a.message_id = o.message_id ORDER BY a.attempt DESC, a.recorded_at DESC LIMIT 1) last ON true
LEFT JOIN LATERAL (SELECT count(*) FILTER (WHERE a.started_at IS NOT NULL) AS attempts,
		min(a.finished_at) FILTER (WHERE a.outcome = 'accepted') AS sent_at, max(a.provider_id) AS provider_id
	FROM smsflow.attempt a WHERE a.message_id = o.message_id) tries ON true
LEFT JOIN LATERAL (SELECT t.* FROM (SELECT t.reason, t.due_at, t.attempt, t.timer_id FROM smsflow.timer t
	WHERE t.message_id = o.message_id ORDER BY t.timer_id DESC LIMIT 1) t
	WHERE last.attempt IS NULL OR last.attempt < t.attempt) timer ON true
LEFT JOIN LATERAL (SELECT array_agg(r.status::text ORDER BY r.received_at, r.callback_id) AS statuses,
		min(r.occurred_at) AS first_at, min(r.occurred_at) FILTER (WHERE r.status = 'delivered') AS delivered_at,
		max(r.class) AS class, max(r.code) FILTER (WHERE r.class IS NOT NULL) AS code, max(r.provider_id) AS provider_id,
		max(r.cost) AS cost, max(r.currency) AS currency
	FROM smsflow.report r WHERE r.message_id = o.message_id HAVING count(*) > 0) report ON true;
COMMENT ON VIEW smsflow.message_state IS 'Status of a message as the fold of its rows';

-- What the worker asks with each report, event and order keeps its plans: over the segments of a store, planning takes ten times as long as asking.
CREATE OR REPLACE FUNCTION smsflow.message_fold(message_ids bigint[])
	RETURNS TABLE (message_id bigint, status smsflow.message_status, sent boolean, brand_id integer, campaign_id integer,
		sequence_id integer, step smallint, purpose smsflow.purpose, sender_id integer, variant smallint, error_class text,
		sent_at timestamptz, delivered_at timestamptz)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, smsflow, pg_temp SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT m.message_id, m.status, m.sent_at IS NOT NULL, m.brand_id, m.campaign_id, m.sequence_id, m.step, m.purpose, m.sender_id,
		m.variant, m.error_class, m.sent_at, m.delivered_at
	FROM smsflow.message_state m WHERE m.message_id = ANY (message_ids);
END $$;
COMMENT ON FUNCTION smsflow.message_fold(bigint[]) IS 'Status of some messages, with the keys their metrics are counted under';
REVOKE ALL ON FUNCTION smsflow.message_fold(bigint[]) FROM PUBLIC;

CREATE OR REPLACE VIEW smsflow.message AS
SELECT o.message_id, b.name AS brand, o.contact_id, o.recipient::text AS phone, sn.address AS sender, g.name AS gateway,
	o.purpose::text AS purpose, k.name AS campaign, s.name AS sequence, o.step, o.variant,
	CASE WHEN o.purpose = 'otp' THEN '(one-time password)' ELSE o.body END AS body,
	CASE WHEN o.unicode THEN 'ucs2' ELSE 'gsm7' END AS encoding, o.parts,
	CASE WHEN m.status IN ('scheduled', 'queued', 'held') AND gone.reason IS NOT NULL THEN 'cancelled' ELSE m.status::text END AS status,
	CASE WHEN m.status IN ('scheduled', 'queued', 'held') AND gone.reason IS NOT NULL THEN gone.reason ELSE m.reason END AS reason,
	m.error_class, m.error_code, m.provider_id, m.cost, m.currency, m.attempts, o.created_at, m.due_at, o.expires_at,
	m.sent_at, m.delivered_at
FROM smsflow.outbox o
JOIN smsflow.message_state m ON m.message_id = o.message_id
JOIN smsflow.brand b ON b.brand_id = o.brand_id
LEFT JOIN smsflow.sender sn ON sn.sender_id = m.sender_id
LEFT JOIN smsflow.gateway g ON g.gateway_id = sn.gateway_id
LEFT JOIN smsflow.campaign k ON k.campaign_id = o.campaign_id
LEFT JOIN smsflow.sequence s ON s.sequence_id = o.sequence_id
LEFT JOIN LATERAL (SELECT r.reason FROM smsflow.revocation r WHERE r.kind = 'message' AND r.target_id = o.message_id LIMIT 1) gone ON true;
COMMENT ON VIEW smsflow.message IS 'Every message with its status and history';
COMMENT ON COLUMN smsflow.message.status IS 'scheduled, queued, held, sending, in_doubt, accepted, unknown, suppressed, cancelled, expired, rejected, undelivered or delivered';
COMMENT ON COLUMN smsflow.message.reason IS 'Why it is in this status, as a stable code';
COMMENT ON COLUMN smsflow.message.attempts IS 'Requests that were made for it';
COMMENT ON COLUMN smsflow.message.due_at IS 'Not before this instant; NULL is at once';
COMMENT ON COLUMN smsflow.message.expires_at IS 'Never sent from this instant on';
COMMENT ON COLUMN smsflow.message.sent_at IS 'When the gateway accepted it, or its first report';

-- send, cancel. --------------------------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.send(phone text, body text DEFAULT NULL, purpose text DEFAULT 'transactional',
		template text DEFAULT NULL, vars jsonb DEFAULT '{}', dedup_key text DEFAULT NULL, send_at timestamptz DEFAULT NULL,
		expires_in interval DEFAULT NULL, pool text DEFAULT NULL, media_urls text[] DEFAULT NULL, brand text DEFAULT 'default',
		subject text DEFAULT NULL)
	RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, smsflow, pg_temp SET enable_seqscan = off SET jit = off
	AS 'MODULE_PATHNAME', 'smsflow_send';
COMMENT ON FUNCTION smsflow.send(text, text, text, text, jsonb, text, timestamptz, interval, text, text[], text, text) IS 'Asks for one message and returns its id; it exists if and only if the transaction commits. What the gate refuses for good is a message whose status and reason say so, not an error. A second call with the same dedup_key returns the first id. subject is what caps on one subject count by, over all senders; without it all messages without a subject are one. media_urls are 1 to 10 addresses that the gateway fetches. Errors: 0A000 no gateway of the pool takes media, SF001 phone, SF003 template, SF004 brand, template or pool, SF007 other arguments';
REVOKE ALL ON FUNCTION smsflow.send(text, text, text, text, jsonb, text, timestamptz, interval, text, text[], text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.cancel(message_id bigint) RETURNS boolean
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, smsflow, pg_temp SET enable_seqscan = off SET jit = off
	AS 'MODULE_PATHNAME', 'smsflow_cancel';
COMMENT ON FUNCTION smsflow.cancel(bigint) IS 'Cancels a message that is not on its way yet: no request for it begins after the COMMIT. True when it was still waiting as the call looked, false when it is too late; what leaves between that look and the COMMIT shows in its status. Errors: SF004 no such message';
REVOKE ALL ON FUNCTION smsflow.cancel(bigint) FROM PUBLIC;

-- Segments of the message tables. --------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.segment_size() RETURNS bigint
	LANGUAGE sql IMMUTABLE RETURN 1048576;
COMMENT ON FUNCTION smsflow.segment_size() IS 'Message ids of one segment';
REVOKE ALL ON FUNCTION smsflow.segment_size() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.segmented_tables() RETURNS text[]
	LANGUAGE sql IMMUTABLE RETURN '{outbox,attempt,timer,report}'::text[];
COMMENT ON FUNCTION smsflow.segmented_tables() IS 'Tables that are cut into segments by message id';
REVOKE ALL ON FUNCTION smsflow.segmented_tables() FROM PUBLIC;

-- What writers wait for is the attaching alone.
CREATE OR REPLACE FUNCTION smsflow.prepare_segments(ahead bigint DEFAULT 2097152) RETURNS integer[]
	LANGUAGE plpgsql SET search_path = pg_catalog, smsflow, pg_temp AS $$
DECLARE
	size CONSTANT bigint := smsflow.segment_size();
	needed integer := ((SELECT last_value FROM smsflow.message_id_seq) + ahead) / size;
	next integer := greatest((SELECT max(segment) + 1 FROM smsflow.message_segment), (SELECT max(message_id) / size + 1 FROM smsflow.outbox_default), 0);
	prepared integer[] := '{}';
	parent text;
BEGIN
	WHILE next <= needed LOOP
		FOREACH parent IN ARRAY smsflow.segmented_tables() LOOP
			EXECUTE format('CREATE TABLE smsflow.%I (LIKE smsflow.%I INCLUDING ALL)', parent || '_' || next, parent || '_default');
		END LOOP;
		prepared := prepared || next;
		next := next + 1;
	END LOOP;
	RETURN prepared;
END $$;
COMMENT ON FUNCTION smsflow.prepare_segments(bigint) IS 'First half of make_segments(): makes the tables, and returns the numbers of the segments';
REVOKE ALL ON FUNCTION smsflow.prepare_segments(bigint) FROM PUBLIC;

-- A statement that began before a segment was there goes on putting its rows into the default one, which refuses them then.
CREATE OR REPLACE FUNCTION smsflow.attach_segments(prepared integer[]) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, smsflow, pg_temp AS $$
DECLARE
	size CONSTANT bigint := smsflow.segment_size();
	beginning integer;
	segment integer;
	parent text;
	made integer := 0;
BEGIN
	IF prepared = '{}' THEN
		RETURN 0;
	END IF;
	BEGIN
		LOCK TABLE smsflow.outbox, smsflow.attempt, smsflow.timer, smsflow.report IN SHARE MODE;
		-- Attaching looks into the default segments, alone: whoever reads messages for long is waited for here, too.
		LOCK TABLE smsflow.outbox_default, smsflow.attempt_default, smsflow.timer_default, smsflow.report_default IN ACCESS EXCLUSIVE MODE;
		-- Rows that reached the default segment stay there: its range is skipped.
		beginning := coalesce((SELECT max(message_id) / size + 1 FROM smsflow.outbox_default), 0);
	EXCEPTION WHEN lock_not_available THEN
		beginning := 2147483647;	-- somebody enqueues, or reads, for longer than lock_timeout: none of them, now
	END;
	FOREACH segment IN ARRAY prepared LOOP
		FOREACH parent IN ARRAY smsflow.segmented_tables() LOOP
			EXECUTE CASE WHEN segment < beginning THEN format('DROP TABLE smsflow.%I', parent || '_' || segment)
				ELSE format('ALTER TABLE smsflow.%I ATTACH PARTITION smsflow.%I FOR VALUES FROM (%s) TO (%s)',
					parent, parent || '_' || segment, segment * size, (segment + 1) * size) END;
		END LOOP;
		IF segment >= beginning THEN
			INSERT INTO smsflow.message_segment (segment, from_id, to_id) VALUES (segment, segment * size, (segment + 1) * size);
			made := made + 1;
		END IF;
	END LOOP;
	RETURN made;
END $$;
COMMENT ON FUNCTION smsflow.attach_segments(integer[]) IS 'Second half of make_segments(): puts prepared segments into use; returns how many. It waits for the transactions that have enqueued or read messages, and new ones wait for its own: commit at once. Where lock_timeout ends the wait, the prepared ones are dropped, and it returns 0';
REVOKE ALL ON FUNCTION smsflow.attach_segments(integer[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.make_segments(ahead bigint DEFAULT 2097152) RETURNS integer
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, smsflow, pg_temp
	RETURN smsflow.attach_segments(smsflow.prepare_segments(ahead));
COMMENT ON FUNCTION smsflow.make_segments(bigint) IS 'Makes the segments for the next ahead message ids; returns how many were made. It waits for the transactions that have enqueued or read messages, and new ones wait for it: set lock_timeout where that may take long; when it is over, none are made';
REVOKE ALL ON FUNCTION smsflow.make_segments(bigint) FROM PUBLIC;
