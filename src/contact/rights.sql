-- What a person may ask for: a copy of everything, and to be forgotten. Re-runnable.
--
-- Forgetting leaves three things: that somebody agreed and ended it (the ledger, without words and evidence), what messages
-- cost and brought (without body and number), and a keyed hash, so that no list brings the number back.

-- ---- suppression ----

CREATE OR REPLACE FUNCTION smsflow.suppression_key() RETURNS text
	AS 'MODULE_PATHNAME', 'smsflow_pg_suppression_key' LANGUAGE c VOLATILE
	SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.suppression_key() IS 'Secret "suppression_key", from smsflow.secrets_dir or smsflow.secret; null if there is none';
REVOKE ALL ON FUNCTION smsflow.suppression_key() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.keyed_hash(key text, value text) RETURNS bytea
	AS 'MODULE_PATHNAME', 'smsflow_pg_keyed_hash' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.keyed_hash(text, text) IS 'HMAC-SHA-256';
REVOKE ALL ON FUNCTION smsflow.keyed_hash(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.suppression_hash(key text, brand_id integer, phone smsflow.phone) RETURNS bytea
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN smsflow.keyed_hash(key, brand_id || ':' || phone::text);
COMMENT ON FUNCTION smsflow.suppression_hash(text, integer, smsflow.phone) IS 'smsflow.suppression.hash of a number';
REVOKE ALL ON FUNCTION smsflow.suppression_hash(text, integer, smsflow.phone) FROM PUBLIC;

-- A dump has the hashes and not the key. To go on without it would bring erased people back, so it is an error.
CREATE OR REPLACE FUNCTION smsflow.required_suppression_key(brand_id integer) RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	key text;
BEGIN
	IF NOT EXISTS (SELECT FROM smsflow.suppression AS s WHERE s.brand_id = required_suppression_key.brand_id) THEN
		RETURN NULL;
	END IF;
	key := smsflow.suppression_key();
	IF key IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF008', MESSAGE = 'the key of suppressed numbers is missing',
			DETAIL = 'Without it nobody can tell which numbers belong to people who were erased.',
			HINT = 'Copy the file "suppression_key" of smsflow.secrets_dir, or that row of smsflow.secret, from the database this one was restored from.';
	END IF;
	RETURN key;
END $$;
COMMENT ON FUNCTION smsflow.required_suppression_key(integer) IS 'Key of suppressions, null where a brand has none; SF008 if it is needed and missing';
REVOKE ALL ON FUNCTION smsflow.required_suppression_key(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.suppression_reason(brand_id integer, phone smsflow.phone) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT s.reason FROM smsflow.suppression AS s, smsflow.required_suppression_key(suppression_reason.brand_id) AS k (key)
	WHERE s.brand_id = suppression_reason.brand_id AND s.hash = smsflow.suppression_hash(k.key, suppression_reason.brand_id, suppression_reason.phone)
$$;
COMMENT ON FUNCTION smsflow.suppression_reason(integer, smsflow.phone) IS 'Why a number is suppressed: erasure, or what suppress_number() was told; null when it is not. SF008 when the key is missing';
REVOKE ALL ON FUNCTION smsflow.suppression_reason(integer, smsflow.phone) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.is_suppressed(brand_id integer, phone smsflow.phone) RETURNS boolean
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.suppression_reason(is_suppressed.brand_id, is_suppressed.phone) IS NOT NULL
$$;
COMMENT ON FUNCTION smsflow.is_suppressed(integer, smsflow.phone) IS 'Whether the person of this number was erased, and has not signed up again, or the number was suppressed; SF008 when the key is missing';
REVOKE ALL ON FUNCTION smsflow.is_suppressed(integer, smsflow.phone) FROM PUBLIC;

-- Unlike is_suppressed() without an error: the gate asks, and one missing file must not stop a worker.
CREATE OR REPLACE FUNCTION smsflow.suppression_refusal(brand_id integer, phone smsflow.phone) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN k.key IS NULL THEN 'suppression_key_missing'
		WHEN EXISTS (SELECT FROM smsflow.suppression AS s WHERE s.brand_id = suppression_refusal.brand_id
			AND s.hash = smsflow.suppression_hash(k.key, suppression_refusal.brand_id, suppression_refusal.phone)) THEN 'number_suppressed' END
	FROM (SELECT smsflow.suppression_key() AS key
		WHERE EXISTS (SELECT FROM smsflow.suppression AS s WHERE s.brand_id = suppression_refusal.brand_id) OFFSET 0) AS k
	UNION ALL SELECT NULL LIMIT 1
$$;
COMMENT ON FUNCTION smsflow.suppression_refusal(integer, smsflow.phone) IS 'The gate''s word on a number without a contact: number_suppressed, suppression_key_missing, or NULL';
REVOKE ALL ON FUNCTION smsflow.suppression_refusal(integer, smsflow.phone) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.suppress(brand_id integer, phone smsflow.phone, reason text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	-- One key for all brands: where any has a suppression, it must be there.
	PERFORM smsflow.required_suppression_key(s.brand_id) FROM smsflow.suppression AS s LIMIT 1;
	IF smsflow.suppression_key() IS NULL THEN
		INSERT INTO smsflow.secret (name, value) VALUES ('suppression_key', smsflow.random_key()) ON CONFLICT DO NOTHING;
	END IF;
	INSERT INTO smsflow.suppression (brand_id, hash, reason)
	VALUES (suppress.brand_id, smsflow.suppression_hash(smsflow.suppression_key(), suppress.brand_id, suppress.phone), suppress.reason)
	ON CONFLICT DO NOTHING;
END $$;
COMMENT ON FUNCTION smsflow.suppress(integer, smsflow.phone, text) IS 'Keeps a number from being brought back by a list; makes the key when there is none yet';
REVOKE ALL ON FUNCTION smsflow.suppress(integer, smsflow.phone, text) FROM PUBLIC;

-- Only the person can come back: by a form of the store that says so, or by a word from the phone.
CREATE OR REPLACE FUNCTION smsflow.admit_number(brand_id integer, phone smsflow.phone, source text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	why CONSTANT text := smsflow.suppression_reason(admit_number.brand_id, admit_number.phone);
BEGIN
	IF why IS NULL THEN
		RETURN;
	END IF;
	-- What an operator blocked a sign-up does not open; its consent is kept for the day when it is.
	IF why <> 'erasure' THEN
		UPDATE smsflow.contact AS c SET suppressed = true
		WHERE c.brand_id = admit_number.brand_id AND c.phone OPERATOR(smsflow.=) admit_number.phone AND NOT c.suppressed;
		RETURN;
	END IF;
	IF admit_number.source NOT IN ('web', 'keyword') THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('number %s was erased', smsflow.phone_mask(admit_number.phone)),
			DETAIL = 'The person asked to be forgotten; no list and no application brings the number back.',
			HINT = 'If the person itself signs up again, say so with source => ''web''.';
	END IF;
	DELETE FROM smsflow.suppression AS s WHERE s.brand_id = admit_number.brand_id
		AND s.hash = smsflow.suppression_hash(smsflow.suppression_key(), admit_number.brand_id, admit_number.phone);
END $$;
COMMENT ON FUNCTION smsflow.admit_number(integer, smsflow.phone, text) IS 'Lifts the suppression of an erased person''s number when the person signs up (source web or keyword); SF005 for any other source. What suppress_number() blocks stays so, and its contact is marked';
REVOKE ALL ON FUNCTION smsflow.admit_number(integer, smsflow.phone, text) FROM PUBLIC;

-- ---- blocked by an operator ----

CREATE OR REPLACE FUNCTION smsflow.suppress_number(phone text, reason text, brand text DEFAULT 'default') RETURNS boolean
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	number CONSTANT smsflow.phone := smsflow.parse_phone(suppress_number.phone);
	its_brand CONSTANT integer := smsflow.brand_named(suppress_number.brand);
	place bigint;
	known boolean;
BEGIN
	IF number IS NULL OR coalesce(btrim(suppress_number.reason), '') IN ('', 'erasure') THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'a number is suppressed for a reason',
			DETAIL = 'Phone or reason is empty, or the reason is "erasure", which belongs to erase_contact().', HINT = 'Pass a reason such as ''carrier block''.';
	END IF;
	-- A sign-up that is not committed yet cannot be seen, but a row of the same number waits for it.
	INSERT INTO smsflow.contact AS c (brand_id, phone) VALUES (its_brand, number) ON CONFLICT DO NOTHING RETURNING c.contact_id INTO place;
	known := smsflow.is_suppressed(its_brand, number);
	IF place IS NULL THEN
		PERFORM smsflow.record_opt_out(number::text, '{cart,promotional}', 'carrier', suppress_number.reason, brand => suppress_number.brand);
		UPDATE smsflow.contact AS c SET suppressed = true WHERE c.brand_id = its_brand AND c.phone OPERATOR(smsflow.=) number;
	ELSE
		DELETE FROM smsflow.contact AS c WHERE c.contact_id = place;
	END IF;
	PERFORM smsflow.suppress(its_brand, number, suppress_number.reason);
	RETURN NOT known;
END $$;
COMMENT ON FUNCTION smsflow.suppress_number(text, text, text) IS
'Blocks a number for a brand, such as one that its carrier reported: nothing but one-time passwords and answers to STOP and HELP is sent to it, no list brings it in, and marketing consent of its contact ends in the ledger with the reason as its words. A later sign-up is recorded and stays blocked until unsuppress_number(). False when it was suppressed before. SF001 for a bad number, SF004 for an unknown brand, SF007 without a reason, SF008 when the key of suppressions is missing';
REVOKE ALL ON FUNCTION smsflow.suppress_number(text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.unsuppress_number(phone text, brand text DEFAULT 'default') RETURNS boolean
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	number CONSTANT smsflow.phone := smsflow.parse_phone(unsuppress_number.phone);
	its_brand CONSTANT integer := smsflow.brand_named(unsuppress_number.brand);
	why CONSTANT text := smsflow.suppression_reason(its_brand, number);
BEGIN
	IF why = 'erasure' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('number %s was erased', smsflow.phone_mask(number)),
			DETAIL = 'The person asked to be forgotten; only the person can come back.', HINT = 'When the person signs up again, subscribe with source => ''web''.';
	END IF;
	DELETE FROM smsflow.suppression AS s WHERE s.brand_id = its_brand
		AND s.hash = smsflow.suppression_hash(smsflow.suppression_key(), its_brand, number);
	UPDATE smsflow.contact AS c SET suppressed = false WHERE c.brand_id = its_brand AND c.phone OPERATOR(smsflow.=) number AND c.suppressed;
	RETURN why IS NOT NULL;
END $$;
COMMENT ON FUNCTION smsflow.unsuppress_number(text, text) IS
'Ends what suppress_number() began; false when the number was not suppressed. Consent that ended then stays ended, until the person signs up. SF001 for a bad number, SF004 for an unknown brand, SF005 for a number whose person was erased, SF008 when the key of suppressions is missing';
REVOKE ALL ON FUNCTION smsflow.unsuppress_number(text, text) FROM PUBLIC;

-- ---- a copy ----

-- Each message is looked up for itself: in a plain join the view has so many parts that the planner may read all of the
-- tables for every message.
CREATE OR REPLACE FUNCTION smsflow.export_messages(message_ids bigint[]) RETURNS jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
	SELECT coalesce(jsonb_agg(to_jsonb(m) || jsonb_build_object(
		'consent_event_id', (SELECT o.consent_event_id FROM smsflow.outbox AS o WHERE o.message_id = i.message_id),
		'attempts', coalesce((SELECT jsonb_agg(to_jsonb(a) - '{message_id,generation}'::text[] ORDER BY a.attempt, a.recorded_at)
			FROM smsflow.attempt AS a WHERE a.message_id = i.message_id), '[]'),
		'reports', coalesce((SELECT jsonb_agg(to_jsonb(r) - '{message_id}'::text[] ORDER BY r.received_at)
			FROM smsflow.report AS r WHERE r.message_id = i.message_id), '[]')) ORDER BY i.message_id), '[]')
	FROM unnest(export_messages.message_ids) AS i (message_id)
	CROSS JOIN LATERAL (SELECT * FROM smsflow.message WHERE message_id = i.message_id OFFSET 0) AS m
$$;
COMMENT ON FUNCTION smsflow.export_messages(bigint[]) IS 'These messages with their tries and reports, in the order of their ids';
REVOKE ALL ON FUNCTION smsflow.export_messages(bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.export_contact_inside(phone text, brand text) RETURNS jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	WITH who AS MATERIALIZED (
		SELECT b.brand_id, b.name AS brand, n.phone, c.contact_id, c.external_id, to_jsonb(c) - '{proof,ledger_head,brand_id}'::text[] AS contact, c.consent
		FROM smsflow.brand AS b
		CROSS JOIN LATERAL (SELECT smsflow.parse_phone(export_contact_inside.phone) AS phone) AS n
		LEFT JOIN smsflow.contact AS c ON c.brand_id = b.brand_id AND c.phone OPERATOR(smsflow.=) n.phone
		WHERE b.brand_id = smsflow.brand_named(export_contact_inside.brand)
	)
	SELECT jsonb_build_object('brand', w.brand, 'phone', w.phone::text, 'exported_at', now(), 'contact', w.contact, 'consent', w.consent::jsonb,
		'ledger', coalesce((SELECT jsonb_agg(to_jsonb(e) - '{contact_id,xid,salt}'::text[] ORDER BY e.consent_event_id)
			FROM smsflow.consent_event AS e WHERE e.contact_id = w.contact_id), '[]'),
		'events', coalesce((SELECT jsonb_agg(to_jsonb(e) - '{contact_id,brand_id,xid,watch_id}'::text[] ORDER BY e.event_id) FROM smsflow.event AS e
			WHERE e.brand_id = w.brand_id AND (e.contact_id = w.contact_id OR e.external_id = w.external_id
				OR smsflow.try_parse_phone(e.phone) OPERATOR(smsflow.=) w.phone)), '[]'),
		'enrollments', coalesce((SELECT jsonb_agg(to_jsonb(n) - '{contact_id,sequence_id}'::text[] || jsonb_build_object('sequence', s.name) ORDER BY n.enrollment_id)
			FROM smsflow.enrollment AS n JOIN smsflow.sequence AS s USING (sequence_id) WHERE n.contact_id = w.contact_id), '[]'),
		'wishes', coalesce((SELECT jsonb_agg(to_jsonb(i) - '{contact_id,brand_id}'::text[] ORDER BY i.interest_id)
			FROM smsflow.interest AS i WHERE i.brand_id = w.brand_id AND i.contact_id = w.contact_id), '[]'),
		'messages', smsflow.export_messages(ARRAY(SELECT o.message_id FROM smsflow.outbox AS o
			WHERE o.brand_id = w.brand_id AND (o.contact_id = w.contact_id OR o.recipient OPERATOR(smsflow.=) w.phone))),
		'inbound', coalesce((SELECT jsonb_agg(to_jsonb(i) - '{contact_id,brand_id,gateway_id}'::text[] ORDER BY i.inbound_id) FROM smsflow.inbound AS i
			WHERE i.brand_id = w.brand_id AND (i.contact_id = w.contact_id OR i.phone OPERATOR(smsflow.=) w.phone)), '[]'),
		'attributions', coalesce((SELECT jsonb_agg(to_jsonb(t) - '{contact_id,sender_id}'::text[] ORDER BY t.at)
			FROM smsflow.attribution AS t WHERE t.contact_id = w.contact_id), '[]'),
		'clicks', coalesce((SELECT jsonb_agg(to_jsonb(k) - '{click_id,contact_id}'::text[] ORDER BY k.click_id)
			FROM smsflow.click AS k WHERE k.contact_id = w.contact_id), '[]'))
	FROM who AS w
$$;
COMMENT ON FUNCTION smsflow.export_contact_inside(text, text) IS 'What export_contact() does';
REVOKE ALL ON FUNCTION smsflow.export_contact_inside(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.export_contact(phone text, brand text DEFAULT 'default') RETURNS jsonb
	AS 'MODULE_PATHNAME', 'smsflow_outer' LANGUAGE c STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.export_contact(text, text) IS
'Everything known about a person, as one JSON object: contact (null if there is none), consent, ledger, events, enrollments, wishes, messages with attempts and reports, inbound, attributions, clicks. Texts of one-time passwords are left out. Reads every message, so it takes a while in a big store. SF001 for a bad number, SF004 for an unknown brand';
REVOKE ALL ON FUNCTION smsflow.export_contact(text, text) FROM PUBLIC;

-- ---- to be forgotten ----

CREATE OR REPLACE FUNCTION smsflow.nobody() RETURNS smsflow.phone
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT '+88800000000000'::smsflow.phone
$$;
COMMENT ON FUNCTION smsflow.nobody() IS 'Number that stands for an erased one: country code 888 reaches nobody (ITU-T E.164, once disaster relief)';
REVOKE ALL ON FUNCTION smsflow.nobody() FROM PUBLIC;

-- What waits is cancelled first: its text and its number are gone afterwards.
CREATE OR REPLACE FUNCTION smsflow.erase_messages(brand_id integer, contact_id bigint, phone smsflow.phone) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	theirs CONSTANT bigint[] := ARRAY(SELECT o.message_id FROM smsflow.outbox AS o WHERE o.brand_id = erase_messages.brand_id
		AND (o.contact_id = erase_messages.contact_id OR o.recipient OPERATOR(smsflow.=) erase_messages.phone));
BEGIN
	INSERT INTO smsflow.revocation (kind, target_id, reason)
	SELECT 'message', m.message_id, 'erased' FROM smsflow.message_fold(theirs) AS m
	WHERE m.status IN ('scheduled', 'queued', 'held', 'sending', 'in_doubt');
	PERFORM smsflow.note_revocation('message', m) FROM unnest(theirs) AS m
	WHERE EXISTS (SELECT FROM smsflow.revocation AS r WHERE r.kind = 'message' AND r.target_id = m AND r.reason = 'erased');
	UPDATE smsflow.outbox AS o SET recipient = smsflow.nobody(), body = '', media_urls = NULL, links = NULL, dedup_key = NULL
	WHERE o.message_id = ANY (theirs);
	DELETE FROM smsflow.dedup AS d WHERE d.brand_id = erase_messages.brand_id AND d.message_id = ANY (theirs);
	UPDATE smsflow.attempt AS a SET provider_id = NULL WHERE a.message_id = ANY (theirs) AND a.provider_id IS NOT NULL;
	UPDATE smsflow.report AS r SET provider_id = NULL WHERE r.message_id = ANY (theirs) AND r.provider_id IS NOT NULL;
	DELETE FROM smsflow.callback_problem AS p USING smsflow.callback AS c WHERE c.callback_id = p.callback_id AND c.message_id = ANY (theirs);
	DELETE FROM smsflow.callback AS c WHERE c.message_id = ANY (theirs);
	RETURN cardinality(theirs);
END $$;
COMMENT ON FUNCTION smsflow.erase_messages(integer, bigint, smsflow.phone) IS 'Cancels what was not sent yet, and takes number, text and identifiers from all messages of a person; returns how many';
REVOKE ALL ON FUNCTION smsflow.erase_messages(integer, bigint, smsflow.phone) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.erase_traces(brand_id integer, contact_id bigint, external_id text, phone smsflow.phone) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	theirs CONSTANT bigint[] := ARRAY(SELECT e.event_id FROM smsflow.event AS e WHERE e.brand_id = erase_traces.brand_id
		AND (e.contact_id = erase_traces.contact_id OR e.external_id = erase_traces.external_id
			OR smsflow.try_parse_phone(e.phone) OPERATOR(smsflow.=) erase_traces.phone));
	replies bigint;
BEGIN
	PERFORM smsflow.note_revocation('enrollment', n.enrollment_id) FROM smsflow.enrollment AS n WHERE n.contact_id = erase_traces.contact_id;
	DELETE FROM smsflow.enrollment AS n WHERE n.contact_id = erase_traces.contact_id;
	UPDATE smsflow.event AS e SET phone = NULL, external_id = NULL, ref = NULL, data = '{}' WHERE e.event_id = ANY (theirs);
	DELETE FROM smsflow.event_problem AS p WHERE p.event_id = ANY (theirs);
	DELETE FROM smsflow.interest AS w WHERE w.brand_id = erase_traces.brand_id AND w.contact_id = erase_traces.contact_id;
	UPDATE smsflow.attribution AS t SET ref = NULL WHERE t.contact_id = erase_traces.contact_id AND t.kind = 'order';
	UPDATE smsflow.inbound AS i SET phone = smsflow.nobody(), body = '', provider_id = NULL, waiting = false
	WHERE i.brand_id = erase_traces.brand_id AND (i.contact_id = erase_traces.contact_id OR i.phone OPERATOR(smsflow.=) erase_traces.phone);
	GET DIAGNOSTICS replies = ROW_COUNT;
	UPDATE smsflow.click AS k SET agent = NULL, network = NULL WHERE k.contact_id = erase_traces.contact_id;
	RETURN cardinality(theirs) + replies;
END $$;
COMMENT ON FUNCTION smsflow.erase_traces(integer, bigint, text, smsflow.phone) IS 'Takes what a person did, wished for and wrote from events, enrolments, wishes, orders credited, replies and clicks; returns how many events and replies';
REVOKE ALL ON FUNCTION smsflow.erase_traces(integer, bigint, text, smsflow.phone) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.erase_contact_inside(phone text, brand text) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	its_brand CONSTANT integer := smsflow.brand_named(erase_contact_inside.brand);
	number CONSTANT smsflow.phone := smsflow.parse_phone(erase_contact_inside.phone);
	person smsflow.contact;
	place bigint;
	found bigint;
BEGIN
	IF number IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'phone must not be empty',
			DETAIL = 'Whom to forget is known by the number.', HINT = 'Pass the number as +, country code and number.';
	END IF;
	-- A sign-up that is not committed yet cannot be seen, but a row of the same number waits for it.
	INSERT INTO smsflow.contact AS c (brand_id, phone) VALUES (its_brand, number) ON CONFLICT DO NOTHING RETURNING c.contact_id INTO place;
	SELECT * INTO person FROM smsflow.contact AS c
	WHERE c.brand_id = its_brand AND c.phone OPERATOR(smsflow.=) number AND c.contact_id IS DISTINCT FROM place FOR UPDATE;
	DELETE FROM smsflow.contact AS c WHERE c.contact_id = place;
	IF person.contact_id IS NOT NULL THEN
		PERFORM smsflow.record_opt_out(number::text, enum_range(NULL::smsflow.purpose)::text[], 'erasure', brand => erase_contact_inside.brand);
	END IF;
	found := smsflow.erase_messages(its_brand, person.contact_id, number)
		+ smsflow.erase_traces(its_brand, person.contact_id, person.external_id, number);
	PERFORM smsflow.suppress(its_brand, number, 'erasure');
	IF person.contact_id IS NOT NULL THEN
		INSERT INTO smsflow.removed_contact (contact_id, brand_id, ledger_head, reason)
		SELECT c.contact_id, c.brand_id, c.ledger_head, 'erasure' FROM smsflow.contact AS c WHERE c.contact_id = person.contact_id;
		UPDATE smsflow.consent_event AS e SET words = NULL, evidence = '{}', salt = NULL WHERE e.contact_id = person.contact_id;
		DELETE FROM smsflow.contact AS c WHERE c.contact_id = person.contact_id;
	END IF;
	RETURN person.contact_id IS NOT NULL OR found > 0;
END $$;
COMMENT ON FUNCTION smsflow.erase_contact_inside(text, text) IS 'What erase_contact() does';
REVOKE ALL ON FUNCTION smsflow.erase_contact_inside(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.erase_contact(phone text, brand text DEFAULT 'default') RETURNS boolean
	AS 'MODULE_PATHNAME', 'smsflow_outer' LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.erase_contact(text, text) IS
'Forgets a person of a brand: cancels what waits, removes the contact, its number, names, attributes, texts, replies, events, enrolments and wishes, and what the ledger has in words and evidence. What stays is that somebody agreed and ended it, and a keyed hash that keeps lists from bringing the number back; subscribe() with source web or keyword, which the person does, lifts it. True if anything was known. Reads every message, so it takes a while in a big store; the store''s own tables, the server''s log and backups are the caller''s to see to. SF001 for a bad number, SF004 for an unknown brand, SF008 when the key of suppressions is missing';
REVOKE ALL ON FUNCTION smsflow.erase_contact(text, text) FROM PUBLIC;
