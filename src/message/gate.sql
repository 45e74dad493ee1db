-- The gate: one decision for everything that asks whether a message may leave.

CREATE OR REPLACE FUNCTION smsflow.gate(contact_id bigint, phone smsflow.phone, consent smsflow.consent, purpose smsflow.purpose,
		region text, time_zone text, time_zone_source text, reachability text, message_id bigint, subject text, ref text,
		sender_kind text, sender_registration text, sender_options jsonb, at timestamptz, brand_id integer,
		source_options jsonb DEFAULT NULL, body text DEFAULT NULL, suppressed boolean DEFAULT NULL)
	RETURNS smsflow.gate_decision LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smsflow_gate';
COMMENT ON FUNCTION smsflow.gate(bigint, smsflow.phone, smsflow.consent, smsflow.purpose, text, text, text, text, bigint, text, text, text, text, jsonb, timestamptz, integer, jsonb, text, boolean) IS 'Whether a message of this purpose may leave to this person at an instant, by erasure, consent, country, registration, reachability, opt-out wording, caps, the cart rule and quiet hours. source_options are those of the campaign or sequence, body the text, suppressed whether its number is blocked. contact_id NULL is a stranger, of whom brand_id tells whether the number is suppressed; a contact_id without consent is a contact that is gone; message_id, subject, ref (cart) and sender_... are NULL where there is no message yet. A NULL phone, purpose or instant gives NULL';
REVOKE ALL ON FUNCTION smsflow.gate(bigint, smsflow.phone, smsflow.consent, smsflow.purpose, text, text, text, text, bigint, text, text, text, text, jsonb, timestamptz, integer, jsonb, text, boolean) FROM PUBLIC;

-- Without a SET clause, so that the planner can make it part of the query that uses it.
CREATE OR REPLACE FUNCTION smsflow.gate_contact(c smsflow.contact, purpose smsflow.purpose, at timestamptz) RETURNS smsflow.gate_decision
	LANGUAGE sql STABLE
	RETURN smsflow.gate((c).contact_id, (c).phone, (c).consent, purpose, (c).region, (c).time_zone, (c).time_zone_source,
		(c).reachability, NULL, NULL, NULL, NULL, NULL, NULL, at, (c).brand_id, NULL, NULL, (c).suppressed);
COMMENT ON FUNCTION smsflow.gate_contact(smsflow.contact, smsflow.purpose, timestamptz) IS 'The gate''s word on a contact, before there is a message';
REVOKE ALL ON FUNCTION smsflow.gate_contact(smsflow.contact, smsflow.purpose, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.final_refusal(decision smsflow.gate_decision) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_final_refusal';
COMMENT ON FUNCTION smsflow.final_refusal(smsflow.gate_decision) IS 'The reason when no time heals it: such a message is refused at once, all others wait for their hour';
REVOKE ALL ON FUNCTION smsflow.final_refusal(smsflow.gate_decision) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.consent_refusal(consent smsflow.consent, purpose smsflow.purpose) RETURNS text
	LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smsflow_consent_refusal';
COMMENT ON FUNCTION smsflow.consent_refusal(smsflow.consent, smsflow.purpose) IS 'NULL when the consent reaches the level that policy_rule asks for this purpose everywhere, else no_consent, opted_out or consent_too_low; gate() knows of levels that hold in some places';
REVOKE ALL ON FUNCTION smsflow.consent_refusal(smsflow.consent, smsflow.purpose) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.sender_refusal(phone smsflow.phone, region text, kind text, registration text, options jsonb) RETURNS text
	LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smsflow_sender_refusal';
COMMENT ON FUNCTION smsflow.sender_refusal(smsflow.phone, text, text, text, jsonb) IS 'What the gate holds against a sender of this kind, registration and options for this person: country_not_allowed, sender_unregistered, or NULL';
REVOKE ALL ON FUNCTION smsflow.sender_refusal(smsflow.phone, text, text, text, jsonb) FROM PUBLIC;

-- The default pool first, as it is the one that messages are asked for without naming one.
CREATE OR REPLACE FUNCTION smsflow.any_sender(phone smsflow.phone, region text, spread bigint) RETURNS integer
	LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT s.sender_id FROM smsflow.sender s JOIN smsflow.gateway g USING (gateway_id)
	WHERE s.enabled AND g.enabled
	ORDER BY array_position('{country_not_allowed,sender_unregistered}', smsflow.sender_refusal(any_sender.phone, any_sender.region, s.kind, s.registration, s.options)) DESC NULLS FIRST,
		s.pool = 'default' DESC, hashint8extended(any_sender.spread, s.sender_id), s.sender_id LIMIT 1
$$;
COMMENT ON FUNCTION smsflow.any_sender(smsflow.phone, text, bigint) IS 'Sender for a message that was asked for before any existed: one that may write to this person if there is any, and for the same spread (contact, or number) the same as long as the senders stay; NULL: none is enabled';
REVOKE ALL ON FUNCTION smsflow.any_sender(smsflow.phone, text, bigint) FROM PUBLIC;

-- Not in SQL, whose functions are parsed and planned anew for each message that is asked about.
CREATE OR REPLACE FUNCTION smsflow.pool_sender(pool text, phone smsflow.phone, region text, spread bigint) RETURNS integer
	LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	working integer[];
	present integer[];
BEGIN
	SELECT array_agg(s.sender_id ORDER BY s.sender_id) FILTER (WHERE s.enabled AND g.enabled), array_agg(s.sender_id ORDER BY s.sender_id)
		INTO working, present
		FROM smsflow.sender AS s JOIN smsflow.gateway AS g USING (gateway_id) WHERE s.pool = pool_sender.pool;
	RETURN COALESCE(working[1 + spread % cardinality(working)], present[1 + spread % cardinality(present)], smsflow.any_sender(phone, region, spread));
END $$;
COMMENT ON FUNCTION smsflow.pool_sender(text, smsflow.phone, text, bigint) IS 'Sender of a pool that a message of this spread (contact, or number) will have, as its queues are chosen';
REVOKE ALL ON FUNCTION smsflow.pool_sender(text, smsflow.phone, text, bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.cart_deadline(phone smsflow.phone, region text, event_at timestamptz) RETURNS timestamptz
	LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smsflow_cart_deadline';
COMMENT ON FUNCTION smsflow.cart_deadline(smsflow.phone, text, timestamptz) IS 'Until when a reminder of a cart left at event_at may leave to this person; NULL where no rule says so';
REVOKE ALL ON FUNCTION smsflow.cart_deadline(smsflow.phone, text, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.content_refusal(body text, purpose smsflow.purpose, brand text) RETURNS text
	LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smsflow_content_refusal_sql';
COMMENT ON FUNCTION smsflow.content_refusal(text, smsflow.purpose, text) IS 'What a text says against the rules of its purpose: too_long, public_shortener, brand_missing or opt_out_wording_missing; NULL when nothing';
REVOKE ALL ON FUNCTION smsflow.content_refusal(text, smsflow.purpose, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.has_opt_out_wording(body text) RETURNS boolean
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_pg_has_opt_out_wording';
COMMENT ON FUNCTION smsflow.has_opt_out_wording(text) IS 'Whether one of the words that tell how to opt out, such as STOP, stands in a text';
REVOKE ALL ON FUNCTION smsflow.has_opt_out_wording(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_content(body text, purpose smsflow.purpose, brand text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	problem CONSTANT text := smsflow.content_refusal(
		regexp_replace(smsflow.dress_text(check_content.body, check_content.brand, smsflow.text_policy_of(check_content.brand, check_content.purpose)), '\{\{\s*brand[^}]*\}\}', check_content.brand, 'g'), check_content.purpose, check_content.brand);
BEGIN
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('this text cannot be sent as %s: %s', check_content.purpose, problem),
			DETAIL = smsflow.refusal_words(problem, NULL) || '.', HINT = 'The rules are in smsflow.policy_rule.';
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_content(text, smsflow.purpose, text) IS 'Raises SF007 for a template that, dressed by set_text_policy(), is against the rules of its purpose';
REVOKE ALL ON FUNCTION smsflow.check_content(text, smsflow.purpose, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_subject(options jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF check_subject.options ? 'subject' AND (jsonb_typeof(check_subject.options -> 'subject') <> 'string'
			OR octet_length(check_subject.options ->> 'subject') NOT BETWEEN 1 AND 255) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'option "subject" must be a text of 1 to 255 bytes',
			DETAIL = format('It is %s.', check_subject.options -> 'subject'), HINT = 'Pass a short name such as "spring sale", or leave it out.';
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_subject(jsonb) IS 'Raises SF007 when the option subject of a campaign or sequence cannot be used';
REVOKE ALL ON FUNCTION smsflow.check_subject(jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_cap_flags(options jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	flag text;
BEGIN
	FOREACH flag IN ARRAY '{cap_checked,cap_counts}'::text[] LOOP
		IF jsonb_typeof(check_cap_flags.options -> flag) <> 'boolean' THEN
			RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('option "%s" must be true or false', flag),
				DETAIL = format('It is %s.', check_cap_flags.options -> flag), HINT = 'Leave it out for what the rules say of the purpose.';
		END IF;
	END LOOP;
END $$;
COMMENT ON FUNCTION smsflow.check_cap_flags(jsonb) IS 'Raises SF007 when cap_checked or cap_counts among the options of a campaign or sequence is no boolean';
REVOKE ALL ON FUNCTION smsflow.check_cap_flags(jsonb) FROM PUBLIC;

CREATE OR REPLACE VIEW smsflow.touched AS
	SELECT t.contact_id, t.contact_id >> 6 AS span, t.sent_at, t.message_id, t.purpose, t.subject, t.ref, t.counted, t.wording
	FROM smsflow.touch AS t
	UNION ALL
	SELECT (r.span << 6) + m.place, r.span, r.sent_at, m.message_id, r.purpose, r.subject, NULL, r.counted, r.wording
	FROM smsflow.touch_run AS r CROSS JOIN LATERAL unnest(r.places, r.message_ids) AS m (place, message_id);
COMMENT ON VIEW smsflow.touched IS 'All touches, by themselves (touch) or in runs (touch_run). Those of one contact are found by an index when span is asked for, too: WHERE contact_id = $1 AND span = $1 >> 6';

CREATE OR REPLACE FUNCTION smsflow.exclusion(exclude jsonb, contact_id bigint, is_asked_for boolean) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
	RETURN CASE
		WHEN exclude ? 'bought' AND EXISTS (SELECT FROM smsflow.event AS e WHERE e.contact_id = exclusion.contact_id
			AND e.kind = 'order' AND e.occurred_at > now() - (exclude ->> 'bought')::interval) THEN 'already_bought'
		WHEN exclude ? 'clicked' AND EXISTS (SELECT FROM smsflow.click AS h WHERE h.contact_id = exclusion.contact_id AND h.class = 'human'
			AND h.clicked_at > now() - (exclude ->> 'clicked')::interval) THEN 'already_clicked'
		WHEN exclude ? 'events' AND EXISTS (SELECT FROM smsflow.event AS e WHERE e.contact_id = exclusion.contact_id
			AND exclude -> 'events' -> 'kinds' ? e.kind AND e.occurred_at > now() - (exclude -> 'events' ->> 'within')::interval) THEN 'event_seen'
		WHEN exclude ? 'in_sequence' AND EXISTS (SELECT FROM smsflow.enrollment AS e JOIN smsflow.sequence AS s USING (sequence_id)
			WHERE e.contact_id = exclusion.contact_id AND e.ended_at IS NULL
			AND CASE WHEN exclude -> 'in_sequence' = 'true' THEN s.purpose = 'cart' ELSE s.name = exclude ->> 'in_sequence' END) THEN 'in_sequence'
		WHEN NOT is_asked_for AND exclude ? 'texted' AND EXISTS (SELECT FROM smsflow.touched AS t WHERE t.contact_id = exclusion.contact_id
			AND t.span = exclusion.contact_id >> 6 AND t.sent_at > now() - (exclude ->> 'texted')::interval) THEN 'texted_recently'
		END;
COMMENT ON FUNCTION smsflow.exclusion(jsonb, bigint, boolean) IS 'Why a contact is left out by the option exclude of a campaign: already_bought, already_clicked, event_seen, in_sequence (true stands for every cart sequence), texted_recently, or NULL. With is_asked_for the message exists, and may be the one that would be found as a text';
REVOKE ALL ON FUNCTION smsflow.exclusion(jsonb, bigint, boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.refusal_words(reason text, retry_at timestamptz) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN CASE reason
		WHEN 'quiet_hours' THEN 'quiet hours where the recipient is'
		WHEN 'frequency_cap' THEN 'the recipient has had as many messages as the cap allows'
		WHEN 'subject_cap' THEN 'the law of the recipient''s state allows no more messages on this subject'
		WHEN 'cap_segment_failed' THEN 'the segment of a cap could not be read for the recipient'
		WHEN 'stop_waits' THEN 'the recipient has just said STOP, which counts as soon as a transaction of the store that holds the contact has ended'
		WHEN 'contact_busy' THEN 'another message to the recipient is on its way'
		WHEN 'sender_unregistered' THEN 'the sender is not registered for the recipient''s country'
		WHEN 'country_not_allowed' THEN 'the sender may not write to the recipient''s country'
		WHEN 'contact_gone' THEN 'the recipient was erased, or the import undone that brought the number'
		WHEN 'number_suppressed' THEN 'the number is blocked, or its person was erased and has not signed up again'
		WHEN 'suppression_key_missing' THEN 'the key is missing without which nobody can tell whether the person was erased'
		WHEN 'unreachable' THEN 'the number was reported as out of reach'
		WHEN 'cart_limit' THEN 'this cart has had its one reminder'
		WHEN 'zone_unknown' THEN 'nobody knows the recipient''s time zone'
		WHEN 'no_common_hours' THEN 'the places where the recipient may be have no hour in common'
		WHEN 'rules_changed' THEN 'other rules hold now: the gate is asked again'
		WHEN 'holdout' THEN 'the recipient is in the group that gets nothing, to compare with'
		WHEN 'already_bought' THEN 'the recipient has bought'
		WHEN 'already_clicked' THEN 'the recipient has followed a link'
		WHEN 'event_seen' THEN 'something the recipient did elsewhere makes the message needless'
		WHEN 'in_sequence' THEN 'the recipient is in a sequence'
		WHEN 'texted_recently' THEN 'the recipient had a message a short time ago'
		WHEN 'too_late' THEN 'it is too late for it where the recipient is'
		WHEN 'no_consent' THEN 'the recipient never agreed'
		WHEN 'opted_out' THEN 'the recipient opted out'
		WHEN 'consent_too_low' THEN 'the recipient agreed less firmly than this purpose needs'
		WHEN 'too_long' THEN 'the text has too many parts'
		WHEN 'public_shortener' THEN 'the text has a link of a public URL shortener'
		WHEN 'brand_missing' THEN 'the text does not name the brand'
		WHEN 'opt_out_wording_missing' THEN 'the text does not say how to opt out'
		ELSE replace(reason, '_', ' ') END
		|| COALESCE('; asked again at ' || retry_at::text, '');
COMMENT ON FUNCTION smsflow.refusal_words(text, timestamptz) IS 'A reason code in words, with the instant at which the gate is asked again';
REVOKE ALL ON FUNCTION smsflow.refusal_words(text, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.quiet_at(phone smsflow.phone, consent smsflow.consent, purpose smsflow.purpose, region text,
		time_zone text, time_zone_source text, at timestamptz)
	RETURNS boolean LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smsflow_quiet_at';
COMMENT ON FUNCTION smsflow.quiet_at(smsflow.phone, smsflow.consent, smsflow.purpose, text, text, text, timestamptz) IS 'Whether an instant is in the quiet hours of this purpose, where the recipient may be, by the rules in force then';
REVOKE ALL ON FUNCTION smsflow.quiet_at(smsflow.phone, smsflow.consent, smsflow.purpose, text, text, text, timestamptz) FROM PUBLIC;

-- Policy. --------------------------------------------------------------------

CREATE OR REPLACE FUNCTION smsflow.policy_changed() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'smsflow_policy_changed';
COMMENT ON FUNCTION smsflow.policy_changed() IS 'Makes every session forget the rules it has in memory, and the worker ask again for what is held';
REVOKE ALL ON FUNCTION smsflow.policy_changed() FROM PUBLIC;
CREATE OR REPLACE TRIGGER policy_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON smsflow.policy_rule
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.policy_changed();

-- A row of its own and not a change of the rules, so that it is seen, dumped and
-- undone, and check() still knows when the rules were not in force.
CREATE OR REPLACE FUNCTION smsflow.suspend_rule(kind text, jurisdiction text DEFAULT '*', reason text DEFAULT NULL) RETURNS void
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	INSERT INTO smsflow.policy_rule (jurisdiction, kind, value, effective, source, note)
	SELECT suspend_rule.jurisdiction, 'suspended', suspend_rule.kind, tstzrange(now(), NULL), session_user, suspend_rule.reason
	WHERE NOT EXISTS (SELECT FROM smsflow.policy_rule p WHERE p.kind = 'suspended' AND p.value = suspend_rule.kind
		AND p.jurisdiction = suspend_rule.jurisdiction AND p.effective @> now())
$$;
COMMENT ON FUNCTION smsflow.suspend_rule(text, text, text) IS 'From now on no rule of this kind (window: quiet hours) holds in a jurisdiction, * is all of them, until resume_rule(). For tests, and where a lawyer says so. Errors: SF007 unknown kind or jurisdiction';
REVOKE ALL ON FUNCTION smsflow.suspend_rule(text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.resume_rule(kind text, jurisdiction text DEFAULT '*') RETURNS boolean
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	WITH brief AS (
		DELETE FROM smsflow.policy_rule p
		WHERE p.kind = 'suspended' AND p.value = resume_rule.kind AND p.jurisdiction = resume_rule.jurisdiction
			AND p.effective @> now() AND lower(p.effective) >= now() RETURNING 1
	), ended AS (
		UPDATE smsflow.policy_rule p SET effective = tstzrange(lower(p.effective), now())
		WHERE p.kind = 'suspended' AND p.value = resume_rule.kind AND p.jurisdiction = resume_rule.jurisdiction
			AND p.effective @> now() AND lower(p.effective) < now() RETURNING 1
	)
	SELECT EXISTS (SELECT FROM brief UNION ALL SELECT FROM ended)
$$;
COMMENT ON FUNCTION smsflow.resume_rule(text, text) IS 'Ends what suspend_rule() began; false when nothing was suspended';
REVOKE ALL ON FUNCTION smsflow.resume_rule(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.forget_touches() RETURNS bigint
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	WITH gone AS (DELETE FROM smsflow.touch WHERE sent_at < now() - interval '35 days' RETURNING 1),
	gone_runs AS (DELETE FROM smsflow.touch_run WHERE sent_at < now() - interval '35 days' RETURNING cardinality(message_ids) AS touches)
	SELECT (SELECT count(*) FROM gone) + (SELECT coalesce(sum(r.touches), 0) FROM gone_runs AS r)
$$;
COMMENT ON FUNCTION smsflow.forget_touches() IS 'Removes what no cap counts any more; returns how many';
REVOKE ALL ON FUNCTION smsflow.forget_touches() FROM PUBLIC;
