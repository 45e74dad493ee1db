-- Delivery reports and replies.

CREATE OR REPLACE FUNCTION smsflow.receive_callbacks(gateways text[], methods text[], paths text[], queries text[], headers jsonb[], bodies bytea[])
	RETURNS TABLE (ordinal integer, status integer, content_type text, body text)
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
	AS 'MODULE_PATHNAME', 'smsflow_pg_receive_callbacks';
COMMENT ON FUNCTION smsflow.receive_callbacks(text[], text[], text[], text[], jsonb[], bytea[]) IS 'Takes callbacks of gateways, one per array element, and says how to answer each: 200 kept, 400 cannot be read, 403 not one of our URLs, 404 no such gateway or path, 405 neither GET nor POST. Path and query as on the wire, header names in small letters. Answer the gateway after the commit. Errors: SF007';
REVOKE ALL ON FUNCTION smsflow.receive_callbacks(text[], text[], text[], text[], jsonb[], bytea[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.receive_callback(gateway text, method text, path text, query text, headers jsonb, body bytea,
		OUT status integer, OUT content_type text, OUT body text)
	LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
	AS 'MODULE_PATHNAME', 'smsflow_pg_receive_callback';
COMMENT ON FUNCTION smsflow.receive_callback(text, text, text, text, jsonb, bytea) IS 'receive_callbacks() for one callback';
REVOKE ALL ON FUNCTION smsflow.receive_callback(text, text, text, text, jsonb, bytea) FROM PUBLIC;

-- Replies. ---------------------------------------------------------------------

-- One number may be a customer of several brands: it answers the newest message that came from where the reply went to,
-- else the newest one. A call that has taken a second, because its list is long, leaves the rest to the worker: longer than
-- five it may not take. In PL/pgSQL, which keeps the plan.
CREATE OR REPLACE FUNCTION smsflow.store_reply(gateway_id integer, phone text, address text, body text, provider_id text)
	RETURNS TABLE (inbound_id bigint, waiting boolean)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY WITH person AS (
		SELECT c.brand_id, c.contact_id
		FROM smsflow.brand b
		JOIN smsflow.contact c ON c.brand_id = b.brand_id AND c.phone OPERATOR(smsflow.=) store_reply.phone::smsflow.phone
		ORDER BY (SELECT max(t.sent_at) FROM smsflow.touched t WHERE t.contact_id = c.contact_id AND t.span = c.contact_id >> 6
				AND (SELECT true FROM smsflow.attempt a JOIN smsflow.sender s USING (sender_id)
					WHERE a.message_id = t.message_id AND ltrim(s.address, '+') = ltrim(store_reply.address, '+') LIMIT 1)) DESC NULLS LAST,
			(SELECT max(t.sent_at) FROM smsflow.touched t WHERE t.contact_id = c.contact_id AND t.span = c.contact_id >> 6) DESC NULLS LAST, c.brand_id
		LIMIT 1),
	stored AS (INSERT INTO smsflow.inbound AS i (gateway_id, brand_id, contact_id, phone, address, body, action, rule, provider_id, waiting)
		SELECT store_reply.gateway_id, COALESCE(p.brand_id, 1), p.contact_id, store_reply.phone::smsflow.phone,
			store_reply.address, COALESCE(store_reply.body, ''), r.action, r.rule, store_reply.provider_id,
			clock_timestamp() > statement_timestamp() + interval '1 second'
		FROM smsflow.classify_reply(COALESCE(store_reply.body, '')) r LEFT JOIN person p ON true
		ON CONFLICT DO NOTHING RETURNING i.inbound_id, i.waiting, i.contact_id, i.received_at),
	noted AS (INSERT INTO smsflow.profile_delta (contact_id, kind, at)
		SELECT s.contact_id, 'reply', s.received_at FROM stored s WHERE s.contact_id IS NOT NULL)
	SELECT s.inbound_id, s.waiting FROM stored s;
END $$;
COMMENT ON FUNCTION smsflow.store_reply(integer, text, text, text, text) IS 'Keeps a reply, and classifies it; no row when the gateway has sent it before. waiting: the statement has taken a second, and the worker is to obey it';
REVOKE ALL ON FUNCTION smsflow.store_reply(integer, text, text, text, text) FROM PUBLIC;

-- The lock makes receivers that get parts of one reply at the same time see each other's. A part that comes again
-- changes nothing; what was joined stays for a while, so that it does not begin anew.
CREATE OR REPLACE FUNCTION smsflow.store_reply_part(gateway_id integer, phone text, address text, ref text, total integer, number integer,
		body text, provider_id text) RETURNS TABLE (body text, provider_id text)
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT pg_advisory_xact_lock(hashtextextended(concat_ws('/', 'smsflow', store_reply_part.gateway_id, store_reply_part.phone, store_reply_part.ref), 0));
	INSERT INTO smsflow.inbound_part AS p (gateway_id, phone, address, ref, total, number, body, provider_id)
		VALUES (store_reply_part.gateway_id, store_reply_part.phone::smsflow.phone, store_reply_part.address, store_reply_part.ref,
			store_reply_part.total, store_reply_part.number, store_reply_part.body, store_reply_part.provider_id)
		ON CONFLICT DO NOTHING;
	WITH parts AS (SELECT DISTINCT ON (p.number) p.inbound_part_id, p.number, p.body, p.provider_id FROM smsflow.inbound_part p
			WHERE p.gateway_id = store_reply_part.gateway_id AND p.phone OPERATOR(smsflow.=) store_reply_part.phone::smsflow.phone
				AND p.ref = store_reply_part.ref AND p.total = store_reply_part.total AND NOT p.joined
			ORDER BY p.number, p.inbound_part_id DESC),
		complete AS (SELECT FROM parts HAVING count(*) = store_reply_part.total),
		joined AS (UPDATE smsflow.inbound_part p SET joined = true FROM parts, complete WHERE p.inbound_part_id = parts.inbound_part_id
			RETURNING p.number, p.body, p.provider_id)
	SELECT string_agg(j.body, '' ORDER BY j.number), min(j.provider_id) FILTER (WHERE j.number = 1) FROM joined j HAVING count(*) > 0
$$;
COMMENT ON FUNCTION smsflow.store_reply_part(integer, text, text, text, integer, integer, text, text) IS 'Keeps one part of a long reply; with the last one, its whole text and the id of its first part, else no row';
REVOKE ALL ON FUNCTION smsflow.store_reply_part(integer, text, text, text, integer, integer, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.obey_reply(gateway_id integer, phone text, address text, body text, provider_id text) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'smsflow_pg_obey_reply';
COMMENT ON FUNCTION smsflow.obey_reply(integer, text, text, text, text) IS 'Keeps, classifies and obeys a reply; without gateway, number or text it does nothing';
REVOKE ALL ON FUNCTION smsflow.obey_reply(integer, text, text, text, text) FROM PUBLIC;

-- A store with one brand never named it: {{brand|...}} then takes its default.
CREATE OR REPLACE FUNCTION smsflow.answer(inbound_id bigint, body text, purpose text, dedup_key text) RETURNS bigint
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.send(i.phone::text, answer.body, answer.purpose, dedup_key => answer.dedup_key, brand => b.name,
		vars => CASE b.name WHEN 'default' THEN jsonb '{"brand": null}' ELSE '{}' END,
		pool => (SELECT s.pool FROM smsflow.sender s WHERE s.enabled AND s.gateway_id = i.gateway_id
			AND ltrim(s.address, '+') = ltrim(i.address, '+') LIMIT 1))
	FROM smsflow.inbound i JOIN smsflow.brand b USING (brand_id)
	WHERE i.inbound_id = answer.inbound_id
$$;
COMMENT ON FUNCTION smsflow.answer(bigint, text, text, text) IS 'Sends to who wrote this, from the pool of the number it was sent to; returns the message id';
REVOKE ALL ON FUNCTION smsflow.answer(bigint, text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.reply(inbound_id bigint, body text) RETURNS bigint
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'smsflow_pg_reply';
COMMENT ON FUNCTION smsflow.reply(bigint, text) IS 'Answers a customer''s message with purpose conversational; returns the message id. Errors: SF004 no such inbound message, and those of send()';
REVOKE ALL ON FUNCTION smsflow.reply(bigint, text) FROM PUBLIC;

-- An answer that cannot be rendered would keep the STOP it answers from being
-- recorded, so it is refused when it is written.
CREATE OR REPLACE FUNCTION smsflow.check_auto_reply() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	r record;
BEGIN
	SELECT * INTO r FROM smsflow.render_message(new.body, '{"brand": "name"}');
	IF r.missing IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF003', MESSAGE = format('template variable "%s" may have no value', r.missing),
			DETAIL = 'Automatic answers also go to people about whom nothing is known.',
			HINT = format('Write a default: {{%s|text}}.', r.missing);
	END IF;
	IF r.parts NOT BETWEEN 1 AND 5 THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('automatic answer of %s parts', r.parts),
			DETAIL = 'It has 1 to 5 parts.', HINT = 'smsflow.message_parts() counts the parts of a text.';
	END IF;
	RETURN new;
END $$;
COMMENT ON FUNCTION smsflow.check_auto_reply() IS 'Trigger: refuses an automatic answer that could fail when it is needed. Errors: SF003, SF007';
REVOKE ALL ON FUNCTION smsflow.check_auto_reply() FROM PUBLIC;
CREATE OR REPLACE TRIGGER check_auto_reply BEFORE INSERT OR UPDATE ON smsflow.auto_reply
	FOR EACH ROW EXECUTE FUNCTION smsflow.check_auto_reply();
CREATE OR REPLACE TRIGGER keep_own_row BEFORE INSERT OR UPDATE ON smsflow.auto_reply
	FOR EACH ROW EXECUTE FUNCTION smsflow.keep_own_row('action', 'language');

CREATE OR REPLACE FUNCTION smsflow.auto_reply_text(action text, contact_id bigint) RETURNS text
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT a.body FROM smsflow.auto_reply a LEFT JOIN smsflow.contact c ON c.contact_id = auto_reply_text.contact_id
	WHERE a.action = auto_reply_text.action AND smsflow.language_fits(a.language, coalesce(c.language, '')) >= 0
	ORDER BY smsflow.language_fits(a.language, coalesce(c.language, '')) DESC LIMIT 1;
END;
COMMENT ON FUNCTION smsflow.auto_reply_text(text, bigint) IS 'Text of an automatic answer in the language of a contact, NULL when there is none';
REVOKE ALL ON FUNCTION smsflow.auto_reply_text(text, bigint) FROM PUBLIC;

-- Answers of one kind to one person are sent once an hour at most: two machines
-- that answer each other must not go on for ever. A STOP is confirmed once, until
-- the person agrees to something again.
CREATE OR REPLACE FUNCTION smsflow.answer_automatically(inbound_id bigint, action text) RETURNS bigint
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.answer(i.inbound_id, r.body, 'compliance', concat_ws(':', 'smsflow', answer_automatically.action,
		COALESCE('contact ' || i.contact_id, 'inbound ' || i.inbound_id),
		CASE WHEN answer_automatically.action = 'opt_out' AND i.contact_id IS NOT NULL
			THEN 'grant ' || COALESCE((SELECT max(e.consent_event_id) FROM smsflow.consent_event e WHERE e.contact_id = i.contact_id AND e.kind <> 'revoke'), 0)
			ELSE to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24') END))
	FROM smsflow.inbound i
	LEFT JOIN smsflow.contact c USING (contact_id)
	CROSS JOIN LATERAL smsflow.auto_reply_text(answer_automatically.action, i.contact_id) AS r (body)
	WHERE i.inbound_id = answer_automatically.inbound_id AND r.body IS NOT NULL
$$;
COMMENT ON FUNCTION smsflow.answer_automatically(bigint, text) IS 'Sends the text of smsflow.auto_reply in the person''s language; NULL when there is none';
REVOKE ALL ON FUNCTION smsflow.answer_automatically(bigint, text) FROM PUBLIC;

-- What a reply does, one function per action of classify_reply(). The caller is
-- the receiver, in the transaction that it commits before it answers.

CREATE OR REPLACE FUNCTION smsflow.revoke_by_reply(inbound_id bigint, purposes text[]) RETURNS boolean
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.record_opt_out(i.phone::text, revoke_by_reply.purposes, 'keyword', i.body,
		jsonb_build_object('inbound_id', i.inbound_id), NULL, b.name)
	FROM smsflow.inbound i JOIN smsflow.brand b USING (brand_id) WHERE i.inbound_id = revoke_by_reply.inbound_id
$$;
COMMENT ON FUNCTION smsflow.revoke_by_reply(bigint, text[]) IS 'Ends consent by a person''s own words; true if something that was permitted no longer is';
REVOKE ALL ON FUNCTION smsflow.revoke_by_reply(bigint, text[]) FROM PUBLIC;

-- A number that said STOP is a contact from then on.
CREATE OR REPLACE FUNCTION smsflow.credit_opt_out(inbound_id bigint, purposes text[]) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	UPDATE smsflow.inbound i SET contact_id = c.contact_id FROM smsflow.contact c
		WHERE i.inbound_id = credit_opt_out.inbound_id AND i.contact_id IS NULL
			AND c.brand_id = i.brand_id AND c.phone OPERATOR(smsflow.=) i.phone;
	SELECT smsflow.attribute_opt_out(i.contact_id, credit_opt_out.purposes) FROM smsflow.inbound i WHERE i.inbound_id = credit_opt_out.inbound_id;
$$;
COMMENT ON FUNCTION smsflow.credit_opt_out(bigint, text[]) IS 'Counts an opt-out by reply from these purposes for the message it answers';
REVOKE ALL ON FUNCTION smsflow.credit_opt_out(bigint, text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.credit_reply(inbound_id bigint) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.attribute_reply(i.contact_id) FROM smsflow.inbound i
		WHERE i.inbound_id = credit_reply.inbound_id AND i.contact_id IS NOT NULL
$$;
COMMENT ON FUNCTION smsflow.credit_reply(bigint) IS 'Counts a reply for the message it answers';
REVOKE ALL ON FUNCTION smsflow.credit_reply(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.obey_opt_out(inbound_id bigint) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.revoke_by_reply(i.inbound_id, smsflow.stop_purposes(smsflow.answered_purpose(i.contact_id)))
	FROM smsflow.inbound i WHERE i.inbound_id = obey_opt_out.inbound_id;
	SELECT smsflow.credit_opt_out(i.inbound_id, smsflow.stop_purposes(smsflow.answered_purpose(i.contact_id)))
	FROM smsflow.inbound i WHERE i.inbound_id = obey_opt_out.inbound_id;
	SELECT smsflow.answer_automatically(inbound_id, 'opt_out') FROM smsflow.inbound i JOIN smsflow.gateway g USING (gateway_id)
	WHERE i.inbound_id = obey_opt_out.inbound_id AND COALESCE(g.options ->> 'answers_stop', 'false') <> 'true';
$$;
COMMENT ON FUNCTION smsflow.obey_opt_out(bigint) IS 'STOP: ends every purpose that a STOP ends in answer to the last message, and confirms it once (47 CFR 64.1200(a)(12)), unless the gateway does (its option answers_stop)';
REVOKE ALL ON FUNCTION smsflow.obey_opt_out(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.obey_review(inbound_id bigint) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.revoke_by_reply(inbound_id, '{cart,promotional}');
	SELECT smsflow.credit_opt_out(inbound_id, '{cart,promotional}');
$$;
COMMENT ON FUNCTION smsflow.obey_review(bigint) IS 'Words that may mean STOP: marketing ends at once, a person decides about the rest; who says so by settle_review()';
REVOKE ALL ON FUNCTION smsflow.obey_review(bigint) FROM PUBLIC;

-- START gives back what the person once agreed to and has since ended, no more.
CREATE OR REPLACE FUNCTION smsflow.restorable_purposes(contact_id bigint) RETURNS text[]
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT array_agg(x.purpose::text ORDER BY x.purpose)
	FROM (SELECT DISTINCT ON (p.purpose) p.purpose, e.kind FROM smsflow.consent_event e CROSS JOIN LATERAL unnest(e.purposes) AS p (purpose)
		WHERE e.contact_id = restorable_purposes.contact_id ORDER BY p.purpose, e.consent_event_id DESC) x
	WHERE x.kind = 'revoke' AND EXISTS (SELECT FROM smsflow.consent_event g
		WHERE g.contact_id = restorable_purposes.contact_id AND g.kind = 'grant' AND x.purpose = ANY (g.purposes));
END;
COMMENT ON FUNCTION smsflow.restorable_purposes(bigint) IS 'Purposes a contact agreed to and has ended since; NULL for none';
REVOKE ALL ON FUNCTION smsflow.restorable_purposes(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.obey_opt_in(inbound_id bigint) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	WITH restored AS MATERIALIZED (
		SELECT smsflow.subscribe(i.phone::text, p.purposes, 'keyword', level => 'express', brand => b.name,
			evidence => jsonb_build_object('inbound_id', i.inbound_id, 'words', i.body)),
			EXISTS (SELECT FROM unnest(p.purposes::smsflow.purpose[]) AS n (purpose), smsflow.confirm_window(n.purpose) w WHERE w.asks) AS asked
		FROM smsflow.inbound i JOIN smsflow.brand b USING (brand_id)
		CROSS JOIN LATERAL (SELECT smsflow.restorable_purposes(i.contact_id) AS purposes) p
		WHERE i.inbound_id = obey_opt_in.inbound_id AND p.purposes IS NOT NULL)
	SELECT smsflow.answer_automatically(inbound_id, 'opt_in') FROM restored WHERE NOT restored.asked;
	SELECT smsflow.credit_reply(inbound_id);
$$;
COMMENT ON FUNCTION smsflow.obey_opt_in(bigint) IS 'START: what the person once agreed to and has ended since holds again, at level express; where sign-ups are to be confirmed, this one is, too';
REVOKE ALL ON FUNCTION smsflow.obey_opt_in(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.obey_confirm(inbound_id bigint) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.record_confirmation(i.phone::text, jsonb_build_object('inbound_id', i.inbound_id, 'words', i.body), b.name) FROM smsflow.inbound i JOIN smsflow.brand b USING (brand_id)
		WHERE i.inbound_id = obey_confirm.inbound_id;
	SELECT smsflow.credit_reply(inbound_id);
$$;
COMMENT ON FUNCTION smsflow.obey_confirm(bigint) IS 'YES: confirms what the person agreed to not long ago; later it does nothing, and is kept';
REVOKE ALL ON FUNCTION smsflow.obey_confirm(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.obey_help(inbound_id bigint) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.answer_automatically(inbound_id, 'help');
	SELECT smsflow.credit_reply(inbound_id);
$$;
COMMENT ON FUNCTION smsflow.obey_help(bigint) IS 'HELP: says who writes and how to end it';
REVOKE ALL ON FUNCTION smsflow.obey_help(bigint) FROM PUBLIC;

-- In turn. ------------------------------------------------------------------------

-- What a STOP has revoked since a reply came that waits, the reply does not give back. A STOP that came before it, and waited
-- with it, is obeyed before it and does not count.
CREATE OR REPLACE FUNCTION smsflow.is_overtaken(inbound_id bigint) RETURNS boolean
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT EXISTS (SELECT FROM smsflow.inbound i
		JOIN smsflow.contact c ON c.brand_id = i.brand_id AND c.phone OPERATOR(smsflow.=) i.phone
		JOIN smsflow.consent_event e ON e.contact_id = c.contact_id
		WHERE i.inbound_id = is_overtaken.inbound_id AND e.kind = 'revoke' AND e.recorded_at > i.received_at
			AND coalesce(e.evidence -> 'inbound_id' > to_jsonb(i.inbound_id), true))
$$;
COMMENT ON FUNCTION smsflow.is_overtaken(bigint) IS 'Whether the person has revoked something since this reply came';
REVOKE ALL ON FUNCTION smsflow.is_overtaken(bigint) FROM PUBLIC;

-- What writes the ledger takes the contact, and does not wait for it: other people's replies are behind this one.
CREATE OR REPLACE FUNCTION smsflow.obey_now(inbound_id bigint) RETURNS boolean
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
	r smsflow.inbound;
BEGIN
	SELECT i.* INTO r FROM smsflow.inbound i WHERE i.inbound_id = obey_now.inbound_id;
	IF r.waiting THEN
		UPDATE smsflow.inbound i SET waiting = false WHERE i.waiting
			AND i.inbound_id = (SELECT w.inbound_id FROM smsflow.inbound w WHERE w.inbound_id = obey_now.inbound_id AND w.waiting FOR UPDATE NOWAIT);
		IF NOT FOUND THEN
			RETURN true;
		END IF;
	END IF;
	IF r.action IN ('opt_out', 'review', 'opt_in', 'confirm') THEN
		PERFORM FROM smsflow.contact c WHERE c.brand_id = r.brand_id AND c.phone OPERATOR(smsflow.=) r.phone FOR UPDATE NOWAIT;
	END IF;
	IF r.waiting AND r.action IN ('opt_in', 'confirm') AND smsflow.is_overtaken(r.inbound_id) THEN
		PERFORM smsflow.credit_reply(r.inbound_id);
		RETURN true;
	END IF;
	CASE r.action
		WHEN 'opt_out' THEN PERFORM smsflow.obey_opt_out(r.inbound_id);
		WHEN 'review' THEN PERFORM smsflow.obey_review(r.inbound_id), smsflow.surface_question(r.inbound_id);
		WHEN 'opt_in' THEN PERFORM smsflow.obey_opt_in(r.inbound_id);
		WHEN 'confirm' THEN PERFORM smsflow.obey_confirm(r.inbound_id);
		WHEN 'help' THEN PERFORM smsflow.obey_help(r.inbound_id);
		WHEN 'none' THEN PERFORM smsflow.obey_none(r.inbound_id);
	END CASE;
	RETURN true;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
	RETURN false;
END $$;
COMMENT ON FUNCTION smsflow.obey_now(bigint) IS 'Does what a reply asks for; false, and nothing is done, when another transaction holds the contact';
REVOKE ALL ON FUNCTION smsflow.obey_now(bigint) FROM PUBLIC;

-- What is in hand for the person is checked again: the gate holds marketing back while a STOP waits. In PL/pgSQL,
-- which keeps the plans: a list may have thousands of them.
CREATE OR REPLACE FUNCTION smsflow.let_wait(inbound_id bigint) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE smsflow.inbound i SET waiting = true WHERE i.inbound_id = let_wait.inbound_id AND NOT i.waiting;
	PERFORM smsflow.note_revocation('contact', c.contact_id) FROM smsflow.inbound i CROSS JOIN smsflow.brand b
		JOIN smsflow.contact c ON c.brand_id = b.brand_id AND c.phone OPERATOR(smsflow.=) i.phone
		WHERE i.inbound_id = let_wait.inbound_id;
	PERFORM smsflow.note_callback();
END $$;
COMMENT ON FUNCTION smsflow.let_wait(bigint) IS 'Leaves a reply to the worker, and what has been claimed for its number to the gate';
REVOKE ALL ON FUNCTION smsflow.let_wait(bigint) FROM PUBLIC;

-- Replies of one number are obeyed in the order in which they came, so that one that waits has those behind it wait, too.
CREATE OR REPLACE FUNCTION smsflow.obey_in_turn(inbound_id bigint) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	own CONSTANT smsflow.phone := (SELECT i.phone FROM smsflow.inbound i WHERE i.inbound_id = obey_in_turn.inbound_id);
	older bigint;
BEGIN
	FOR older IN SELECT i.inbound_id FROM smsflow.inbound i WHERE i.phone OPERATOR(smsflow.=) own AND i.waiting ORDER BY i.inbound_id LOOP
		EXIT WHEN NOT smsflow.obey_now(older);
	END LOOP;
	IF NOT EXISTS (SELECT FROM smsflow.inbound i WHERE i.phone OPERATOR(smsflow.=) own AND i.waiting) AND smsflow.obey_now(obey_in_turn.inbound_id) THEN
		RETURN;
	END IF;
	PERFORM smsflow.let_wait(obey_in_turn.inbound_id);
END $$;
COMMENT ON FUNCTION smsflow.obey_in_turn(bigint) IS 'Does what a reply asks for, or lets it wait while a transaction holds the contact or older replies of the number wait';
REVOKE ALL ON FUNCTION smsflow.obey_in_turn(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.obey_waiting(slice integer) RETURNS timestamptz
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
	w record;
	held smsflow.phone[] := '{}';
	pause interval := '1 second';
BEGIN
	FOR w IN SELECT i.inbound_id, i.phone FROM smsflow.inbound i WHERE i.waiting ORDER BY i.inbound_id LIMIT slice LOOP
		CONTINUE WHEN w.phone OPERATOR(smsflow.=) ANY (held);
		BEGIN
			IF NOT smsflow.obey_now(w.inbound_id) THEN
				held := held || w.phone;
			END IF;
		EXCEPTION WHEN OTHERS THEN
			RAISE WARNING USING ERRCODE = SQLSTATE, MESSAGE = format('reply %s cannot be obeyed', w.inbound_id),
				DETAIL = format('SQLSTATE %s.', SQLSTATE), HINT = 'It is tried again every minute; see smsflow.inbound.';
			held := held || w.phone;
			pause := '1 minute';
		END;
	END LOOP;
	RETURN (SELECT min(CASE WHEN i.phone OPERATOR(smsflow.=) ANY (held) THEN clock_timestamp() + pause ELSE clock_timestamp() END)
		FROM smsflow.inbound i WHERE i.waiting);
END $$;
COMMENT ON FUNCTION smsflow.obey_waiting(integer) IS 'Worker: does what so many replies ask for that wait, the oldest first; returns when there is more to do, NULL for never';
REVOKE ALL ON FUNCTION smsflow.obey_waiting(integer) FROM PUBLIC;

-- Delivery reports. --------------------------------------------------------------

-- What a report is about: the message of its token or reference, else the one that the gateway gave this id to.
CREATE OR REPLACE VIEW smsflow.callback_message AS
SELECT c.callback_id, c.gateway_id, COALESCE(k.message_id, c.message_id) AS message_id, COALESCE(k.attempt, c.attempt) AS attempt
FROM smsflow.callback c
LEFT JOIN LATERAL (SELECT n.message_id, n.attempt FROM smsflow.provider_message n
	JOIN smsflow.gateway g ON g.gateway_id = n.gateway_id JOIN smsflow.gateway_profile p ON p.profile = g.profile
	WHERE c.message_id = 0 AND n.gateway_id = c.gateway_id AND p.report ->> 'key' = 'provider_id'
		AND n.provider_id = smsflow.short_id(smsflow.field(c.fields, p.report ->> 'provider_id')) LIMIT 1) k ON c.message_id = 0;
COMMENT ON VIEW smsflow.callback_message IS 'Message of each delivery report in the inbox; 0: not known (yet)';

-- The answer to a look-up is read as a report is, by its own paths where it has some.
-- Money comes as a text, perhaps with its currency, and some gateways give a debit as a negative number. An instant before
-- 2000 is the empty date of some language, such as 0001-01-01T00:00:00Z, and the report's own stands for it. Nothing a
-- gateway writes may fail here. A status that says it all may stand for the code.
CREATE OR REPLACE VIEW smsflow.callback_reading AS
SELECT c.callback_id, i.message_id, i.attempt, c.received_at, f.word,
	CASE WHEN s.status = 'undelivered' AND e.class = 'expired' THEN 'expired' ELSE s.status END::smsflow.message_status AS status,
	CASE WHEN s.status IN ('undelivered', 'rejected') THEN COALESCE(e.class, 'unknown') ELSE e.class END AS class,
	f.code, f.provider_id,
	CASE WHEN f.cost ~ '^([A-Z]{3} )?-?[0-9]{1,9}(\.[0-9]{1,9})?$' THEN abs(substring(f.cost FROM '-?[0-9.]+$')::numeric) END AS cost,
	CASE WHEN f.currency ~ '^[A-Za-z]{3}$' THEN upper(f.currency) WHEN f.cost ~ '^[A-Z]{3} ' THEN left(f.cost, 3) END AS currency,
	CASE WHEN smsflow.read_instant(f.at) >= timestamptz '2000-01-01 00:00:00+00' THEN LEAST(smsflow.read_instant(f.at), c.received_at)
		ELSE c.received_at END AS occurred_at,
	CASE WHEN f.parts ~ '^[0-9]{1,3}$' THEN f.parts::smallint END AS parts, f.carrier, f.line_type,
	COALESCE(l.report ->> 'per_part' = 'true', false) AS per_part
FROM smsflow.callback c
JOIN smsflow.callback_message i USING (callback_id)
JOIN smsflow.gateway g ON g.gateway_id = c.gateway_id
JOIN smsflow.gateway_profile p USING (profile)
CROSS JOIN LATERAL (SELECT CASE WHEN c.looked_up THEN COALESCE(p.lookup -> 'report', p.report) ELSE p.report END AS report,
	CASE WHEN c.looked_up THEN p.report_status || COALESCE(p.lookup -> 'status', '{}') ELSE p.report_status END AS statuses) l
CROSS JOIN LATERAL (SELECT smsflow.field(c.fields, l.report ->> 'code') AS code, smsflow.field(c.fields, l.report ->> 'status') AS word) raw
CROSS JOIN LATERAL (SELECT raw.word,
	left(COALESCE(l.report ->> 'code_prefix', '') || NULLIF(COALESCE(substring(raw.code FROM l.report ->> 'code_pattern'), raw.code), ''), 200) AS code,
	smsflow.short_id(smsflow.field(c.fields, l.report ->> 'provider_id')) AS provider_id,
	smsflow.field(c.fields, l.report ->> 'cost') AS cost,
	smsflow.field(c.fields, l.report ->> 'currency') AS currency,
	smsflow.field(c.fields, l.report ->> 'at') AS at,
	smsflow.field(c.fields, l.report ->> 'parts') AS parts,
	left(smsflow.field(c.fields, l.report ->> 'carrier'), 100) AS carrier,
	left(smsflow.field(c.fields, l.report ->> 'line_type'), 100) AS line_type) f
CROSS JOIN LATERAL (SELECT COALESCE(l.statuses ->> (f.word || ' ' || raw.code), l.statuses ->> f.word, l.statuses ->> lower(f.word)) AS mapped) m
CROSS JOIN LATERAL (SELECT CASE WHEN m.mapped IN ('accepted', 'delivered', 'undelivered', 'expired', 'rejected', 'unknown')
	THEN m.mapped END AS status) s
LEFT JOIN LATERAL (SELECT x.class FROM smsflow.error_code x
	WHERE s.status IN ('undelivered', 'expired', 'rejected', 'unknown') AND x.profile = p.profile
		AND (x.code IN (f.code, f.word) OR (x.code LIKE 'text:%' AND starts_with(f.code, substr(x.code, 6))))
	ORDER BY x.code = f.code DESC NULLS LAST, x.code = f.word DESC, length(x.code) DESC LIMIT 1) e ON true;
COMMENT ON VIEW smsflow.callback_reading IS 'Delivery reports of the inbox, read by the profile of their gateway';
COMMENT ON COLUMN smsflow.callback_reading.word IS 'Status in the gateway''s own words';
COMMENT ON COLUMN smsflow.callback_reading.status IS 'NULL when the profile does not know the word';

-- What gateways say and profiles do not know: rows of error_code, or words of report_status, that are missing.
CREATE OR REPLACE VIEW smsflow.unknown_code AS
SELECT g.name AS gateway, x.kind, x.code, sum(x.times)::bigint AS times, max(x.last_at) AS last_at
FROM (SELECT c.gateway_id, 'status' AS kind, left(r.word, 80) AS code, count(*) AS times, max(c.received_at) AS last_at
		FROM smsflow.callback_problem o
		JOIN smsflow.callback c ON c.callback_id = o.callback_id
		JOIN smsflow.callback_reading r ON r.callback_id = o.callback_id
		WHERE o.problem LIKE 'status "%' GROUP BY 1, 3
	UNION ALL SELECT n.gateway_id, 'report', r.code, count(*), max(r.received_at)
		FROM smsflow.report r
		JOIN smsflow.callback c ON c.callback_id = r.callback_id
		JOIN smsflow.gateway n ON n.gateway_id = c.gateway_id
		WHERE r.class = 'unknown' AND NOT EXISTS (SELECT FROM smsflow.error_code e WHERE e.profile = n.profile AND e.code = r.code)
		GROUP BY 1, 3
	UNION ALL SELECT n.gateway_id, 'answer', a.code, count(*), max(a.finished_at)
		FROM smsflow.attempt a
		JOIN smsflow.sender s ON s.sender_id = a.sender_id
		JOIN smsflow.gateway n ON n.gateway_id = s.gateway_id
		WHERE a.class = 'unknown' AND NOT EXISTS (SELECT FROM smsflow.error_code e WHERE e.profile = n.profile AND e.code = a.code)
		GROUP BY 1, 3) AS x
JOIN smsflow.gateway g ON g.gateway_id = x.gateway_id
GROUP BY 1, 2, 3;
COMMENT ON VIEW smsflow.unknown_code IS 'Codes and status words that no row of a profile explains, with how often they came; kind: answer to a request, code of a report, or its status';

-- A profile may name the same cost in every report of a message: it counts once.
CREATE OR REPLACE FUNCTION smsflow.count_reports(callback_ids bigint[], message_ids bigint[], statuses smsflow.message_status[], sent boolean[])
	RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
BEGIN
	INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, variant, purpose, measure, currency, country, value)
	SELECT (SELECT date_trunc('hour', clock_timestamp(), 'UTC')), m.brand_id, m.campaign_id, m.sequence_id, m.sender_id, m.step, m.variant, m.purpose,
		x.measure, x.currency, x.country, sum(x.value)
	FROM (SELECT n.brand_id, COALESCE(n.campaign_id, 0) AS campaign_id, COALESCE(n.sequence_id, 0) AS sequence_id,
			COALESCE(n.sender_id, 0) AS sender_id, COALESCE(n.step, 0::smallint) AS step, COALESCE(n.variant, 0::smallint) AS variant, n.purpose,
			old.status AS old_status, n.status, n.sent AND NOT old.sent AS first, cost.currency, cost.country,
			smsflow.report_measure(old.status, n.status, n.error_class, n.sent_at, n.delivered_at) AS event,
			count(*) AS messages, sum(cost.more) AS cost, sum(cost.priced) AS priced
		FROM unnest(count_reports.message_ids, count_reports.statuses, count_reports.sent) AS old (message_id, status, sent)
		JOIN smsflow.message_fold(count_reports.message_ids) AS n USING (message_id)
		CROSS JOIN LATERAL (
			SELECT COALESCE(max(r.currency), '') AS currency,
				CASE WHEN max(r.cost) IS NULL THEN '' ELSE COALESCE((SELECT smsflow.phone_region(o.recipient) FROM smsflow.outbox o
					WHERE o.message_id = old.message_id), '') END AS country,
				max(r.cost) - COALESCE(max(r.cost) FILTER (WHERE r.callback_id <> ALL (count_reports.callback_ids)), 0) AS more,
				(max(r.cost) IS NOT NULL)::integer
					- (max(r.cost) FILTER (WHERE r.callback_id <> ALL (count_reports.callback_ids)) IS NOT NULL)::integer AS priced
			FROM smsflow.report r WHERE r.message_id = old.message_id) AS cost
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13) AS m
	CROSS JOIN LATERAL (VALUES
		(smsflow.status_measure(m.old_status), '', '', -m.messages),
		(smsflow.status_measure(m.status), '', '', m.messages),
		('sent', '', '', CASE WHEN m.first THEN m.messages END),
		(m.event, '', '', CASE WHEN m.event IS NOT NULL THEN m.messages END),
		('priced', m.currency, m.country, m.priced),
		('cost', m.currency, m.country, m.cost)) AS x (measure, currency, country, value)
	GROUP BY 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 HAVING sum(x.value) <> 0;
END $$;
COMMENT ON FUNCTION smsflow.count_reports(bigint[], bigint[], smsflow.message_status[], boolean[]) IS 'Appends what these reports changed in the counters, given status and sent of their messages before';
REVOKE ALL ON FUNCTION smsflow.count_reports(bigint[], bigint[], smsflow.message_status[], boolean[]) FROM PUBLIC;

-- The worker never waits for a contact that a transaction of the store holds: what such a contact should learn is kept.
-- An opt-out always is, so that it has a short transaction of its own.
CREATE OR REPLACE FUNCTION smsflow.learn_from_reports(callback_ids bigint[], message_ids bigint[])
	RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
BEGIN
	WITH seen AS MATERIALIZED (
		SELECT DISTINCT ON (o.contact_id) o.contact_id, o.message_id, r.occurred_at,
			CASE WHEN r.status = 'delivered' THEN 'reachable' ELSE 'unreachable' END AS reachability
		FROM smsflow.report r JOIN smsflow.outbox o ON o.message_id = r.message_id
		WHERE r.message_id = ANY (learn_from_reports.message_ids) AND r.callback_id = ANY (learn_from_reports.callback_ids)
			AND (r.status = 'delivered' OR (r.class = 'undeliverable' AND (SELECT true FROM smsflow.report d
				WHERE d.message_id = r.message_id AND d.status = 'delivered' LIMIT 1) IS NULL))
		ORDER BY o.contact_id, r.received_at DESC, r.callback_id DESC
	), noted AS (
		INSERT INTO smsflow.profile_delta (contact_id, kind, at)
		SELECT s.contact_id, 'delivered', s.occurred_at FROM seen s WHERE s.reachability = 'reachable' AND s.contact_id IS NOT NULL
	), news AS MATERIALIZED (
		SELECT s.contact_id, s.message_id, s.reachability FROM seen s JOIN smsflow.contact c USING (contact_id) WHERE c.reachability <> s.reachability
	), free AS MATERIALIZED (
		SELECT c.contact_id FROM smsflow.contact c WHERE c.contact_id = ANY (ARRAY(SELECT n.contact_id FROM news n))
		ORDER BY c.contact_id FOR NO KEY UPDATE SKIP LOCKED
	), learnt AS (
		UPDATE smsflow.contact c SET reachability = n.reachability, updated_at = clock_timestamp()
		FROM news n JOIN free f USING (contact_id) WHERE c.contact_id = f.contact_id
	)
	INSERT INTO smsflow.feedback (message_id, kind)
	SELECT n.message_id, n.reachability FROM news n WHERE n.contact_id NOT IN (SELECT f.contact_id FROM free f);

	INSERT INTO smsflow.feedback (message_id, kind, code)
	SELECT DISTINCT ON (o.brand_id, o.recipient) o.message_id, 'opted_out', r.code
	FROM smsflow.report r JOIN smsflow.outbox o ON o.message_id = r.message_id
	WHERE r.message_id = ANY (learn_from_reports.message_ids) AND r.callback_id = ANY (learn_from_reports.callback_ids)
		AND r.class = 'opted_out'
	ORDER BY o.brand_id, o.recipient, o.message_id;
END $$;
COMMENT ON FUNCTION smsflow.learn_from_reports(bigint[], bigint[]) IS 'Keeps what new reports say about people: reachable or not, and in smsflow.feedback who has opted out at their carrier';
REVOKE ALL ON FUNCTION smsflow.learn_from_reports(bigint[], bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.learn(feedback smsflow.feedback) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
	SELECT FROM smsflow.contact c WHERE c.contact_id = (SELECT o.contact_id FROM smsflow.outbox o WHERE o.message_id = (feedback).message_id)
	FOR UPDATE NOWAIT;

	UPDATE smsflow.contact c SET reachability = (feedback).kind, updated_at = clock_timestamp()
	FROM smsflow.outbox o
	WHERE (feedback).kind <> 'opted_out' AND o.message_id = (feedback).message_id AND c.contact_id = o.contact_id
		AND c.reachability <> (feedback).kind;

	-- A gateway may tell of one refusal twice, in its answer and in a report.
	SELECT CASE WHEN smsflow.record_opt_out(o.recipient::text, smsflow.stop_purposes(), 'carrier', NULL,
			jsonb_build_object('message_id', o.message_id, 'code', (feedback).code), NULL, b.name)
		THEN smsflow.attribute_opt_out(o.contact_id, smsflow.stop_purposes()) END
	FROM smsflow.outbox o JOIN smsflow.brand b USING (brand_id)
	WHERE (feedback).kind = 'opted_out' AND o.message_id = (feedback).message_id
		AND NOT EXISTS (SELECT FROM smsflow.consent_event e WHERE e.contact_id = o.contact_id AND e.kind = 'revoke' AND e.source = 'carrier'
			AND (e.evidence ->> 'message_id')::bigint = o.message_id);

	DELETE FROM smsflow.feedback f WHERE f.feedback_id = (feedback).feedback_id;
$$;
COMMENT ON FUNCTION smsflow.learn(smsflow.feedback) IS 'Records what a gateway said of a contact; 55P03 where another transaction holds the contact';
REVOKE ALL ON FUNCTION smsflow.learn(smsflow.feedback) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.learn_feedback(slice integer) RETURNS timestamptz
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
	f smsflow.feedback;
BEGIN
	FOR f IN SELECT x.* FROM smsflow.feedback x WHERE x.retry_at <= clock_timestamp() ORDER BY x.feedback_id LIMIT slice LOOP
		BEGIN
			PERFORM smsflow.learn(f);
		EXCEPTION
			WHEN lock_not_available OR transaction_rollback THEN
				UPDATE smsflow.feedback x SET retry_at = clock_timestamp() + interval '1 second' WHERE x.feedback_id = f.feedback_id;
			WHEN OTHERS THEN
				UPDATE smsflow.feedback x SET retry_at = clock_timestamp() + interval '1 minute', problem = SQLSTATE
				WHERE x.feedback_id = f.feedback_id;
		END;
	END LOOP;
	RETURN (SELECT min(x.retry_at) FROM smsflow.feedback x);
END $$;
COMMENT ON FUNCTION smsflow.learn_feedback(integer) IS 'Records so many rows of smsflow.feedback with their contacts, the oldest first; returns when there is more to do, NULL for never. A contact that another transaction holds is tried again after a second, what fails after a minute';
REVOKE ALL ON FUNCTION smsflow.learn_feedback(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.learn_provider_ids(message_ids bigint[]) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
BEGIN
	INSERT INTO smsflow.provider_message (gateway_id, provider_id, message_id, attempt)
	SELECT s.gateway_id, a.provider_id, a.message_id, a.attempt FROM smsflow.attempt a JOIN smsflow.sender s ON s.sender_id = a.sender_id
	WHERE a.message_id = ANY (learn_provider_ids.message_ids) AND a.outcome = 'accepted' AND a.provider_id IS NOT NULL
	ON CONFLICT DO NOTHING;
END $$;
COMMENT ON FUNCTION smsflow.learn_provider_ids(bigint[]) IS 'Keeps the ids that a gateway has given to messages, so that its reports find them';
REVOKE ALL ON FUNCTION smsflow.learn_provider_ids(bigint[]) FROM PUBLIC;

-- Where a gateway reports each part by itself, the message is delivered when all of its parts are, and its price is
-- that of all. Known messages come with their status and whether they were sent, as they are before these reports. The
-- correlated look-ups keep the plan on indexes.
CREATE OR REPLACE FUNCTION smsflow.apply_reports(callback_ids bigint[], message_ids bigint[], statuses smsflow.message_status[], sent boolean[])
	RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
BEGIN
	WITH reading AS MATERIALIZED (
		SELECT r.*, CASE WHEN r.per_part THEN (SELECT o.parts FROM smsflow.outbox o WHERE o.message_id = r.message_id) ELSE 1 END AS of_parts
		FROM smsflow.callback_reading r
		WHERE r.callback_id = ANY (apply_reports.callback_ids) AND r.status IS NOT NULL
			AND r.message_id = ANY (apply_reports.message_ids)),
	told AS (
		SELECT r.*, CASE WHEN r.of_parts > 1 AND r.status = 'delivered' AND r.of_parts > (SELECT count(DISTINCT d.provider_id)
				FROM (SELECT x.provider_id FROM smsflow.report x WHERE x.message_id = r.message_id AND x.part_delivered
					UNION ALL SELECT y.provider_id FROM reading y WHERE y.message_id = r.message_id AND y.status = 'delivered') d)
			THEN 'accepted' ELSE r.status END AS known_status,
			CASE WHEN r.of_parts > 1 THEN r.provider_id END AS part
		FROM reading r)
	INSERT INTO smsflow.report (message_id, callback_id, received_at, occurred_at, attempt, status, class, code, provider_id, cost, currency,
		parts, carrier, line_type, part_delivered)
	SELECT DISTINCT ON (r.message_id, r.attempt, r.known_status, r.code, r.part)
		r.message_id, r.callback_id, r.received_at, r.occurred_at, r.attempt, r.known_status, r.class, r.code, r.provider_id,
		r.cost * r.of_parts, r.currency, r.parts, r.carrier, r.line_type, r.of_parts > 1 AND r.status = 'delivered'
	FROM told r
	WHERE (SELECT true FROM smsflow.report x WHERE x.message_id = r.message_id AND x.attempt = r.attempt AND x.status = r.known_status
			AND x.code IS NOT DISTINCT FROM r.code AND (r.part IS NULL OR x.provider_id = r.part) LIMIT 1) IS NULL
	ORDER BY r.message_id, r.attempt, r.known_status, r.code, r.part, r.status DESC, r.callback_id;

	INSERT INTO smsflow.callback_problem (callback_id, problem, retry_until)
	SELECT r.callback_id, CASE WHEN n.confirm IS NOT NULL THEN format('a person has to visit %s', left(n.confirm, 1000))
		WHEN n.strange THEN 'message does not exist'
		WHEN r.word IS NULL THEN 'no status where the profile looks for it'
		ELSE format('status "%s" is not in report_status of the profile', left(r.word, 80)) END,
		CASE WHEN n.strange AND n.confirm IS NULL THEN clock_timestamp() + interval '1 day' END
	FROM smsflow.callback_reading r
	CROSS JOIN LATERAL (SELECT r.message_id <> ALL (COALESCE(apply_reports.message_ids, '{}')) AS strange,
		(SELECT smsflow.field(c.fields, p.callback ->> 'confirm') FROM smsflow.callback c JOIN smsflow.gateway g ON g.gateway_id = c.gateway_id
			JOIN smsflow.gateway_profile p ON p.profile = g.profile WHERE c.callback_id = r.callback_id) AS confirm) n
	WHERE r.callback_id = ANY (apply_reports.callback_ids) AND (r.status IS NULL OR n.strange)
	ON CONFLICT DO NOTHING;

	PERFORM smsflow.count_reports(callback_ids, message_ids, statuses, sent);
	PERFORM smsflow.learn_from_reports(callback_ids, message_ids);
END $$;
COMMENT ON FUNCTION smsflow.apply_reports(bigint[], bigint[], smsflow.message_status[], boolean[]) IS 'Second half of apply_callbacks()';
REVOKE ALL ON FUNCTION smsflow.apply_reports(bigint[], bigint[], smsflow.message_status[], boolean[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.apply_callbacks(callback_ids bigint[]) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
	PERFORM smsflow.apply_reports(apply_callbacks.callback_ids, array_agg(f.message_id), array_agg(f.status), array_agg(f.sent))
	FROM smsflow.message_fold(ARRAY(SELECT DISTINCT c.message_id FROM smsflow.callback_message c
		WHERE c.callback_id = ANY (apply_callbacks.callback_ids))) f;
END $$;
COMMENT ON FUNCTION smsflow.apply_callbacks(bigint[]) IS 'Applies delivery reports from the inbox: appends them as smsflow.report, moves the counters, learns who is unreachable or opted out. A repeat changes nothing; one that cannot be read or has no message is set aside in callback_problem';
REVOKE ALL ON FUNCTION smsflow.apply_callbacks(bigint[]) FROM PUBLIC;

-- What waits for something that did not come. --------------------------------

CREATE OR REPLACE FUNCTION smsflow.retry_callbacks() RETURNS bigint
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	WITH due AS MATERIALIZED (SELECT o.callback_id FROM smsflow.callback_problem o JOIN smsflow.callback_message m USING (callback_id)
			WHERE o.retry_until > clock_timestamp() AND EXISTS (SELECT FROM smsflow.outbox b WHERE b.message_id = m.message_id)
			ORDER BY o.callback_id LIMIT 1000),
		taken AS (DELETE FROM smsflow.callback_problem o USING due WHERE o.callback_id = due.callback_id RETURNING o.callback_id),
		applied AS MATERIALIZED (SELECT count(*) AS reports, smsflow.apply_callbacks(array_agg(t.callback_id)) FROM taken t HAVING count(*) > 0)
	SELECT COALESCE(sum(reports), 0)::bigint FROM applied
$$;
COMMENT ON FUNCTION smsflow.retry_callbacks() IS 'Applies reports that came before their message was known; how many';
REVOKE ALL ON FUNCTION smsflow.retry_callbacks() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.join_late_parts(patience interval) RETURNS bigint
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, smsflow, pg_temp AS $$
	DELETE FROM smsflow.inbound_part p WHERE p.joined AND p.received_at < clock_timestamp() - interval '1 day';
	WITH late AS (SELECT p.gateway_id, p.phone, p.ref, p.total FROM smsflow.inbound_part p WHERE NOT p.joined
			GROUP BY p.gateway_id, p.phone, p.ref, p.total HAVING max(p.received_at) < clock_timestamp() - join_late_parts.patience),
		taken AS (UPDATE smsflow.inbound_part p SET joined = true FROM late l
			WHERE NOT p.joined AND (p.gateway_id, p.phone, p.ref, p.total) = (l.gateway_id, l.phone, l.ref, l.total) RETURNING p.*),
		obeyed AS MATERIALIZED (SELECT smsflow.obey_reply(t.gateway_id, t.phone::text, max(t.address), string_agg(t.body, '' ORDER BY t.number),
				min(t.provider_id)) FROM taken t GROUP BY t.gateway_id, t.phone, t.ref, t.total)
	SELECT count(*) FROM obeyed
$$;
COMMENT ON FUNCTION smsflow.join_late_parts(interval) IS 'Takes what there is of long replies whose other parts have not come for so long; how many replies';
REVOKE ALL ON FUNCTION smsflow.join_late_parts(interval) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.tend_callbacks() RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.retry_callbacks(), smsflow.join_late_parts(interval '10 minutes');
	DELETE FROM smsflow.provider_message n WHERE n.recorded_at < clock_timestamp() - interval '30 days';
$$;
COMMENT ON FUNCTION smsflow.tend_callbacks() IS 'Looks after reports and parts of replies that wait, and forgets ids of gateways after 30 days; the worker calls it now and then';
REVOKE ALL ON FUNCTION smsflow.tend_callbacks() FROM PUBLIC;
