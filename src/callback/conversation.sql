-- Conversations: what was written to whom and what came back, questions that somebody has to answer, and the answer that
-- comes by itself while the shop is closed. Re-runnable.

-- By the touches of a contact, which have an index, and not by the outbox, which has none. OFFSET 0: those of the contacts that are
-- asked for, and not all of them first.
CREATE OR REPLACE VIEW smsflow.conversation AS
SELECT b.name AS brand, i.contact_id, i.phone::text AS phone, i.received_at AS at, 'in' AS direction, i.body, i.action AS kind, NULL::text AS status,
	i.inbound_id, NULL::bigint AS message_id, NULL::text AS campaign, NULL::text AS sequence
FROM smsflow.inbound i JOIN smsflow.brand b USING (brand_id)
UNION ALL
SELECT b.name, c.contact_id, o.recipient::text, t.sent_at, 'out', o.body, o.purpose::text,
	(SELECT s.status::text FROM smsflow.message_state s WHERE s.message_id = t.message_id), NULL, t.message_id, k.name, q.name
FROM smsflow.contact c
CROSS JOIN LATERAL (SELECT w.message_id, w.sent_at FROM smsflow.touched w
	WHERE w.contact_id = c.contact_id AND w.span = c.contact_id >> 6 OFFSET 0) t
JOIN smsflow.outbox o USING (message_id)
JOIN smsflow.brand b ON b.brand_id = o.brand_id
LEFT JOIN smsflow.campaign k ON k.campaign_id = o.campaign_id
LEFT JOIN smsflow.sequence q ON q.sequence_id = o.sequence_id
WHERE o.purpose <> 'otp';
COMMENT ON VIEW smsflow.conversation IS 'What was sent to contacts in the last 35 days, and all that came back; ask for one contact_id, in the order of at. One-time passwords are left out';
COMMENT ON COLUMN smsflow.conversation.kind IS 'Of what came in the action (opt_out, review, opt_in, confirm, help, none: a question), of what was sent the purpose';

CREATE OR REPLACE FUNCTION smsflow.surface_question(inbound_id bigint) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
	RETURN pg_notify('smsflow_inbound', surface_question.inbound_id::text);
COMMENT ON FUNCTION smsflow.surface_question(bigint) IS 'Tells who listens to smsflow_inbound that a person has to answer: the payload is the inbound_id, and comes with the commit that keeps the reply';
REVOKE ALL ON FUNCTION smsflow.surface_question(bigint) FROM PUBLIC;

-- ---- the shop's hours ----

CREATE OR REPLACE FUNCTION smsflow.window_open(hours text[], local timestamp) RETURNS boolean
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_pg_window_open';
COMMENT ON FUNCTION smsflow.window_open(text[], timestamp) IS 'Whether a local time is within one of these hours, such as "Mon-Fri 09:00-17:00"; ends are exclusive. Errors: SF007';
REVOKE ALL ON FUNCTION smsflow.window_open(text[], timestamp) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.set_business_hours(hours text[], time_zone text DEFAULT 'UTC', brand text DEFAULT 'default') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	its_brand CONSTANT integer := smsflow.brand_named(set_business_hours.brand);
BEGIN
	IF NOT smsflow.is_time_zone(set_business_hours.time_zone) THEN
		RAISE invalid_parameter_value;
	END IF;
	PERFORM smsflow.window_open(set_business_hours.hours, now() AT TIME ZONE coalesce(set_business_hours.time_zone, 'UTC'));
	DELETE FROM smsflow.business_hours h WHERE h.brand_id = its_brand;
	INSERT INTO smsflow.business_hours (brand_id, hours, time_zone)
	SELECT its_brand, set_business_hours.hours, coalesce(set_business_hours.time_zone, 'UTC') WHERE cardinality(set_business_hours.hours) > 0;
EXCEPTION WHEN invalid_parameter_value THEN
	RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('unknown time zone "%s"', set_business_hours.time_zone),
		DETAIL = 'The hours are local times of a zone.', HINT = 'Pass a name such as Europe/Oslo.';
END $$;
COMMENT ON FUNCTION smsflow.set_business_hours(text[], text, text) IS
'Says when somebody answers customers, such as {Mon-Fri 09:00-17:00,Sat 10:00-14:00} in a time zone: whoever asks something at another time gets the text of auto_reply for closed, once a day. NULL or no hours: nobody gets it. Errors: SF004 unknown brand, SF007 hours or time zone that cannot be read';
REVOKE ALL ON FUNCTION smsflow.set_business_hours(text[], text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.answer_when_closed(inbound_id bigint) RETURNS bigint
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.answer(i.inbound_id, r.body, 'conversational', concat_ws(':', 'smsflow:closed',
		coalesce('contact ' || i.contact_id, 'number ' || smsflow.phone_hash_extended(i.phone, 0)), l.local::date))
	FROM smsflow.inbound i
	JOIN smsflow.business_hours h USING (brand_id)
	CROSS JOIN LATERAL (SELECT clock_timestamp() AT TIME ZONE h.time_zone AS local) l
	CROSS JOIN LATERAL smsflow.auto_reply_text('closed', i.contact_id) AS r (body)
	WHERE i.inbound_id = answer_when_closed.inbound_id AND NOT smsflow.window_open(h.hours, l.local) AND r.body IS NOT NULL
$$;
COMMENT ON FUNCTION smsflow.answer_when_closed(bigint) IS 'Outside the business hours of its brand, answers a question by itself, once a day for each person; NULL when there is nothing to say';
REVOKE ALL ON FUNCTION smsflow.answer_when_closed(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.obey_none(inbound_id bigint) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.credit_reply(inbound_id), smsflow.surface_question(inbound_id), smsflow.answer_when_closed(inbound_id)
$$;
COMMENT ON FUNCTION smsflow.obey_none(bigint) IS 'A reply that asks for nothing we know is a question: it is credited and surfaced, and answered by itself while the shop is closed';
REVOKE ALL ON FUNCTION smsflow.obey_none(bigint) FROM PUBLIC;
