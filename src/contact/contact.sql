-- Contacts and their consent: the calls of the store's application. Re-runnable.

-- ---- building blocks ----

CREATE OR REPLACE FUNCTION smsflow.brand_named(brand text) RETURNS integer
	AS 'MODULE_PATHNAME', 'smsflow_pg_brand_named' LANGUAGE c STABLE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.brand_named(text) IS 'Id of a brand, null is the default brand; SF004 if there is none of this name';
REVOKE ALL ON FUNCTION smsflow.brand_named(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.known_region(name text) RETURNS text
	AS 'MODULE_PATHNAME', 'smsflow_pg_known_region' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.known_region(text) IS 'Code of a country (FR) or a part of one (US-FL) of ISO 3166 as rules write it, from one in any case; null: none is known by this name';
REVOKE ALL ON FUNCTION smsflow.known_region(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.purpose_named(purpose text) RETURNS smsflow.purpose
	AS 'MODULE_PATHNAME', 'smsflow_pg_purpose_named' LANGUAGE c STABLE PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.purpose_named(text) IS 'Purpose of that name; SF007 if there is none';
REVOKE ALL ON FUNCTION smsflow.purpose_named(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.holdout_bucket(brand_id integer, phone smsflow.phone) RETURNS smallint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN (pg_catalog.abs(smsflow.phone_hash_extended(phone, brand_id) % 100))::smallint;
COMMENT ON FUNCTION smsflow.holdout_bucket(integer, smsflow.phone) IS 'Stable bucket 0..99 of a number of a brand';
REVOKE ALL ON FUNCTION smsflow.holdout_bucket(integer, smsflow.phone) FROM PUBLIC;

-- The default brand is there as soon as the extension is, under whatever name the store has given it in the dump.
CREATE OR REPLACE FUNCTION smsflow.restore_default_brand() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE smsflow.brand b SET name = new.name, created_at = new.created_at WHERE b.brand_id = new.brand_id;
	RETURN CASE WHEN FOUND THEN NULL ELSE new END;
END $$;
COMMENT ON FUNCTION smsflow.restore_default_brand() IS 'Trigger: a restored dump names the default brand';
REVOKE ALL ON FUNCTION smsflow.restore_default_brand() FROM PUBLIC;
CREATE OR REPLACE TRIGGER restore_default_brand BEFORE INSERT ON smsflow.brand
	FOR EACH ROW WHEN (new.brand_id = 1) EXECUTE FUNCTION smsflow.restore_default_brand();

CREATE OR REPLACE FUNCTION smsflow.create_brand(name text) RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	id integer;
BEGIN
	IF coalesce(btrim(create_brand.name), '') = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'brand name must not be empty',
			DETAIL = 'A brand is known by its name.', HINT = 'Pass the name of the legal seller.';
	END IF;
	INSERT INTO smsflow.brand AS b (name) VALUES (create_brand.name) ON CONFLICT DO NOTHING RETURNING b.brand_id INTO id;
	IF id IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('brand "%s" already exists', create_brand.name),
			DETAIL = 'The name of a brand is unique.', HINT = 'Use the existing brand, or another name.';
	END IF;
	RETURN id;
END $$;
COMMENT ON FUNCTION smsflow.create_brand(text) IS 'Adds a legal seller and returns its id; SF005 if it exists, SF007 for an empty name';
REVOKE ALL ON FUNCTION smsflow.create_brand(text) FROM PUBLIC;

-- ---- disclosures ----

CREATE OR REPLACE FUNCTION smsflow.names_cart(body text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN COALESCE(body ~* '\m((shopping[ -]?)?(carts?|baskets?)|checkout|panier|warenkorb|einkaufswagen|carrito|carrinho|carrello|winkelwagen)\M', false);
COMMENT ON FUNCTION smsflow.names_cart(text) IS 'Whether a text that people agree to names the shopping cart';
REVOKE ALL ON FUNCTION smsflow.names_cart(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.add_disclosure(name text, body text, purposes text[] DEFAULT '{promotional}', brand text DEFAULT 'default') RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	its_brand CONSTANT integer := smsflow.brand_named(add_disclosure.brand);
	covered smsflow.purpose[];
	newest smsflow.disclosure;
	moment timestamptz;
BEGIN
	IF coalesce(add_disclosure.name !~ '^[^[:space:]@]{1,63}$', true) OR coalesce(btrim(add_disclosure.body), '') = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'a disclosure needs a name without spaces, and a text',
			DETAIL = 'The name has 1 to 63 characters without space or "@".', HINT = 'Example: smsflow.add_disclosure(''checkout'', ''...'').';
	END IF;
	IF coalesce(cardinality(add_disclosure.purposes), 0) = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'purposes must not be empty',
			DETAIL = 'A disclosure says what people agree to.', HINT = 'Pass an array such as ''{promotional,cart}''.';
	END IF;
	SELECT array_agg(DISTINCT smsflow.purpose_named(p)) INTO covered FROM unnest(add_disclosure.purposes) AS p;
	PERFORM FROM smsflow.brand AS b WHERE b.brand_id = its_brand FOR NO KEY UPDATE;
	moment := clock_timestamp();
	SELECT d.* INTO newest FROM smsflow.disclosure AS d
	WHERE d.brand_id = its_brand AND d.name = add_disclosure.name ORDER BY d.version DESC LIMIT 1;
	IF newest.body = add_disclosure.body AND newest.purposes = covered THEN
		RETURN newest.version;
	END IF;
	UPDATE smsflow.disclosure AS d SET valid = tstzrange(lower(d.valid), moment) WHERE d.disclosure_id = newest.disclosure_id;
	INSERT INTO smsflow.disclosure AS d (brand_id, name, version, body, purposes, names_cart, valid)
	VALUES (its_brand, add_disclosure.name, coalesce(newest.version, 0) + 1, add_disclosure.body, covered,
		smsflow.names_cart(add_disclosure.body), tstzrange(moment, NULL));
	RETURN coalesce(newest.version, 0) + 1;
END $$;
COMMENT ON FUNCTION smsflow.add_disclosure(text, text, text[], text) IS
'Registers a text that people see when they agree, valid from now on, and returns its version; the same text again is the same version. subscribe() takes the name, or name@version. names_cart of the row says whether the text names cart reminders. SF004 for an unknown brand, SF007 for other arguments';
REVOKE ALL ON FUNCTION smsflow.add_disclosure(text, text, text[], text) FROM PUBLIC;

-- A text has a space, a name has none. Of a name the version counts that was valid when the person agreed, else the newest.
CREATE OR REPLACE FUNCTION smsflow.resolve_disclosure(brand_id integer, disclosure text, purposes smsflow.purpose[], at timestamptz,
		OUT body text, OUT version text, OUT names_cart boolean)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	wanted CONSTANT text := substring(disclosure FROM '@([0-9]{1,9})$');
	known smsflow.disclosure;
BEGIN
	IF disclosure ~ '[[:space:]]' THEN
		body := disclosure;
		names_cart := smsflow.names_cart(disclosure);
		RETURN;
	END IF;
	SELECT d.* INTO known FROM smsflow.disclosure AS d
	WHERE d.brand_id = resolve_disclosure.brand_id AND d.name = regexp_replace(disclosure, '@[0-9]{1,9}$', '')
		AND (wanted IS NULL OR d.version = wanted::integer)
	ORDER BY d.valid @> at DESC, d.version DESC LIMIT 1;
	IF known.disclosure_id IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('disclosure "%s" is not registered', disclosure),
			DETAIL = 'It looks like a name, because it has no space; what people see must be known word by word.',
			HINT = 'Register the text with smsflow.add_disclosure(), or pass the text itself.';
	END IF;
	IF NOT purposes <@ known.purposes THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('disclosure "%s" does not cover these purposes', known.name || '@' || known.version),
			DETAIL = format('It covers %s.', array_to_string(known.purposes, ', ')),
			HINT = 'Subscribe to what the text says, or register a version that says more.';
	END IF;
	body := known.body;
	version := known.name || '@' || known.version;
	names_cart := known.names_cart;
END $$;
COMMENT ON FUNCTION smsflow.resolve_disclosure(integer, text, smsflow.purpose[], timestamptz) IS
'The text that a disclosure argument stands for. SF004 for a name that is not registered, SF007 for purposes that it does not cover';
REVOKE ALL ON FUNCTION smsflow.resolve_disclosure(integer, text, smsflow.purpose[], timestamptz) FROM PUBLIC;

-- ---- double opt-in ----

CREATE OR REPLACE FUNCTION smsflow.confirm_window(purpose smsflow.purpose, OUT asks boolean, OUT within interval)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(r.value <> 'false', false), CASE WHEN r.value IN ('true', 'false') OR r.value IS NULL THEN interval '48 hours' ELSE r.value::interval END
	FROM (SELECT) AS one LEFT JOIN LATERAL (SELECT p.value FROM smsflow.policy_rule AS p
		WHERE p.kind = 'double_opt_in' AND p.purpose = confirm_window.purpose::text AND p.jurisdiction = '*' AND p.effective @> now()
		ORDER BY p.policy_rule_id DESC LIMIT 1) AS r ON true
$$;
COMMENT ON FUNCTION smsflow.confirm_window(smsflow.purpose) IS 'Whether sign-ups for a purpose are asked to confirm, and how long a YES counts, by the rule double_opt_in; 48 hours without one';
REVOKE ALL ON FUNCTION smsflow.confirm_window(smsflow.purpose) FROM PUBLIC;

-- Pending is derived from the ledger: the proof of a purpose is a sign-up not long ago that nothing has confirmed or ended.
CREATE OR REPLACE FUNCTION smsflow.confirmable_purposes(contact_id bigint, pending_only boolean) RETURNS text[]
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT array_agg(p.purpose::text ORDER BY p.purpose)
	FROM smsflow.contact AS c
	CROSS JOIN unnest(enum_range(NULL::smsflow.purpose)) AS p (purpose)
	CROSS JOIN LATERAL smsflow.confirm_window(p.purpose) AS w
	JOIN smsflow.consent_event AS e ON e.consent_event_id = smsflow.proof(c.proof, p.purpose)
	WHERE c.contact_id = confirmable_purposes.contact_id AND e.level >= 'express'
		AND (p.purpose <> 'cart' OR smsflow.names_cart(e.disclosure))
		AND (NOT pending_only OR (e.kind = 'grant' AND e.level <> 'confirmed' AND e.source NOT LIKE 'import:%'
			AND e.recorded_at > clock_timestamp() - w.within))
$$;
COMMENT ON FUNCTION smsflow.confirmable_purposes(bigint, boolean) IS 'Purposes agreed to at express or above, of cart only by a text that names it; with pending_only those whose sign-up still waits for its YES. NULL for none';
REVOKE ALL ON FUNCTION smsflow.confirmable_purposes(bigint, boolean) FROM PUBLIC;

-- Whoever signs up again while the first question is still open is not asked again: the oldest open sign-up is the key.
CREATE OR REPLACE FUNCTION smsflow.ask_to_confirm(contact_id bigint) RETURNS bigint
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.send(c.phone::text, r.body, 'compliance', dedup_key => format('smsflow:confirm:%s:%s', c.contact_id, f.first),
		brand => b.name, expires_in => interval '1 hour',
		vars => jsonb_build_object('program', a.program, 'brand', NULLIF(b.name, 'default')))
	FROM (SELECT string_agg(CASE p.purpose WHEN 'cart' THEN 'shopping cart reminders' WHEN 'promotional' THEN 'offers' ELSE 'messages' END, ' and ') AS program,
			array_agg(p.purpose) AS purposes, max(w.within) AS within
		FROM unnest(smsflow.confirmable_purposes(ask_to_confirm.contact_id, true)::smsflow.purpose[]) AS p (purpose)
		CROSS JOIN LATERAL smsflow.confirm_window(p.purpose) AS w WHERE w.asks) AS a
	JOIN smsflow.contact AS c ON c.contact_id = ask_to_confirm.contact_id
	JOIN smsflow.brand AS b USING (brand_id)
	CROSS JOIN LATERAL (SELECT x.body FROM smsflow.auto_reply AS x
		WHERE x.action = 'confirm_request' AND x.language IN ('', c.language, split_part(c.language, '-', 1))
		ORDER BY length(x.language) DESC LIMIT 1) AS r
	CROSS JOIN LATERAL (SELECT min(e.consent_event_id) AS first FROM smsflow.consent_event AS e
		WHERE e.contact_id = c.contact_id AND e.kind = 'grant' AND e.level IN ('express', 'written') AND e.purposes && a.purposes
			AND e.recorded_at > clock_timestamp() - a.within AND e.source NOT LIKE 'import:%'
			AND NOT EXISTS (SELECT FROM smsflow.consent_event AS l
				WHERE l.contact_id = e.contact_id AND l.consent_event_id > e.consent_event_id AND l.kind <> 'grant' AND l.purposes && e.purposes)) AS f
	WHERE a.purposes IS NOT NULL
$$;
COMMENT ON FUNCTION smsflow.ask_to_confirm(bigint) IS 'Sends the text of smsflow.auto_reply for confirm_request where the rule double_opt_in asks for it, once per open sign-up; NULL when not';
REVOKE ALL ON FUNCTION smsflow.ask_to_confirm(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.record_confirmation(phone text, evidence jsonb DEFAULT '{}', brand text DEFAULT 'default') RETURNS boolean
	AS 'MODULE_PATHNAME', 'smsflow_pg_record_confirmation' LANGUAGE c VOLATILE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off;
COMMENT ON FUNCTION smsflow.record_confirmation(text, jsonb, text) IS 'confirm_opt_in() by a reply: only of sign-ups that still wait for their YES';
REVOKE ALL ON FUNCTION smsflow.record_confirmation(text, jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.require_double_opt_in(purposes text[] DEFAULT '{promotional,cart}', within interval DEFAULT '48 hours',
		since timestamptz DEFAULT now()) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF coalesce(within <= '0', true) OR coalesce(cardinality(require_double_opt_in.purposes), 0) = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'double opt-in needs purposes, and a time within which a YES counts',
			DETAIL = 'The time is not positive, or there is no purpose.', HINT = 'Leave the arguments out for marketing and 48 hours.';
	END IF;
	-- What was said before ends where this begins.
	DELETE FROM smsflow.policy_rule AS p WHERE NOT p.builtin AND p.jurisdiction = '*' AND p.kind IN ('double_opt_in', 'consent_level')
		AND p.purpose = ANY (require_double_opt_in.purposes) AND lower(p.effective) >= coalesce(since, now());
	UPDATE smsflow.policy_rule AS p SET effective = tstzrange(lower(p.effective), coalesce(since, now()))
	WHERE NOT p.builtin AND p.jurisdiction = '*' AND p.kind IN ('double_opt_in', 'consent_level')
		AND p.purpose = ANY (require_double_opt_in.purposes) AND p.effective @> coalesce(since, now());
	INSERT INTO smsflow.policy_rule (purpose, kind, value, effective, source)
	SELECT smsflow.purpose_named(p)::text, r.kind, r.value, tstzrange(coalesce(since, now()), NULL), 'require_double_opt_in()'
	FROM unnest(require_double_opt_in.purposes) AS p
	CROSS JOIN (VALUES ('double_opt_in', ceil(extract(epoch FROM within) / 60) || ' minutes'), ('consent_level', 'confirmed')) AS r (kind, value);
END $$;
COMMENT ON FUNCTION smsflow.require_double_opt_in(text[], interval, timestamptz) IS
'From an instant on, messages of these purposes go only to people who answered YES from the phone, and each sign-up is asked to: the rules double_opt_in and consent_level of smsflow.policy_rule. SF007 for an unknown purpose or an interval that is not positive';
REVOKE ALL ON FUNCTION smsflow.require_double_opt_in(text[], interval, timestamptz) FROM PUBLIC;

-- ---- what an application calls ----

CREATE OR REPLACE FUNCTION smsflow.subscribe(phone text, purposes text[] DEFAULT '{promotional}', source text DEFAULT 'api',
		disclosure text DEFAULT NULL, level text DEFAULT 'express', evidence jsonb DEFAULT '{}', external_id text DEFAULT NULL,
		attributes jsonb DEFAULT '{}', occurred_at timestamptz DEFAULT now(), brand text DEFAULT 'default') RETURNS bigint
	AS 'MODULE_PATHNAME', 'smsflow_pg_subscribe' LANGUAGE c VOLATILE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off;
COMMENT ON FUNCTION smsflow.subscribe(text, text[], text, text, text, jsonb, text, jsonb, timestamptz, text) IS
'Records that a person agreed to messages of these purposes, and returns the contact''s id. disclosure is the exact text they saw, or the name (newest version) or name@version of a registered one; a sign-up for cart reminders by a text that does not name them counts as express; level is implied, express, written or confirmed; attributes first_name, last_name, language, region (ISO 3166, such as US-FL; another is left out, with a warning) and time_zone go to their columns. SF001 for a bad number, SF004 for an unknown brand or disclosure, SF005 for a number that was erased, unless the person itself signs up (source web or keyword), SF007 for an unknown purpose, level or time zone, purposes that the disclosure does not cover, an empty source or an instant in the future';
REVOKE ALL ON FUNCTION smsflow.subscribe(text, text[], text, text, text, jsonb, text, jsonb, timestamptz, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.confirm_opt_in(phone text, brand text DEFAULT 'default') RETURNS boolean
	AS 'MODULE_PATHNAME', 'smsflow_pg_confirm_opt_in' LANGUAGE c VOLATILE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off;
COMMENT ON FUNCTION smsflow.confirm_opt_in(text, text) IS
'Records that a person answered yes from the phone itself (double opt-in): purposes they agreed to at express or above become confirmed. False if there are none. SF001 for a bad number, SF004 for an unknown brand';
REVOKE ALL ON FUNCTION smsflow.confirm_opt_in(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.opt_out(phone text, purposes text[] DEFAULT NULL, source text DEFAULT 'api',
		reason text DEFAULT NULL, brand text DEFAULT 'default', wait boolean DEFAULT false) RETURNS boolean
	AS 'MODULE_PATHNAME', 'smsflow_pg_opt_out' LANGUAGE c VOLATILE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off;
COMMENT ON FUNCTION smsflow.opt_out(text, text[], text, text, text, boolean) IS
'Ends consent for these purposes, null is all marketing (promotional, cart); true if something that was permitted no longer is, and then counted for the last marketing message of the 24 hours before (see attribute_opt_out()). Messages not yet on the wire are stopped at commit. An unknown number becomes a contact, so that no import can bring it back. With wait => true the COMMIT returns once no message to this number is claimed or on the wire, or after 30 seconds or a cancel with a WARNING; such a transaction cannot be prepared (SF005). SF001 for a bad number, SF004 for an unknown brand, SF007 for an unknown purpose or an empty source';
REVOKE ALL ON FUNCTION smsflow.opt_out(text, text[], text, text, text, boolean) FROM PUBLIC;

-- A function call of one bare literal, or of one varchar, is taken for a cast to the type smsflow.opt_out unless a function
-- has exactly that argument type.
CREATE OR REPLACE FUNCTION smsflow.opt_out("unknown") RETURNS boolean
	AS 'MODULE_PATHNAME', 'smsflow_pg_opt_out_literal' LANGUAGE c VOLATILE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off;
COMMENT ON FUNCTION smsflow.opt_out("unknown") IS 'opt_out(phone) with a bare literal';
REVOKE ALL ON FUNCTION smsflow.opt_out("unknown") FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.opt_out(phone varchar) RETURNS boolean
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.opt_out(phone::text, NULL, 'api', NULL, 'default', false)
$$;
COMMENT ON FUNCTION smsflow.opt_out(varchar) IS 'opt_out(phone) with a varchar';
REVOKE ALL ON FUNCTION smsflow.opt_out(varchar) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.record_opt_out(phone text, purposes text[], channel text, words text DEFAULT NULL,
		evidence jsonb DEFAULT '{}', occurred_at timestamptz DEFAULT NULL, brand text DEFAULT 'default') RETURNS boolean
	AS 'MODULE_PATHNAME', 'smsflow_pg_record_opt_out' LANGUAGE c VOLATILE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off;
COMMENT ON FUNCTION smsflow.record_opt_out(text, text[], text, text, jsonb, timestamptz, text) IS
'opt_out() by a channel (keyword, api, web, support, carrier, complaint, erasure) with its evidence; a null occurred_at is the moment of the call';
REVOKE ALL ON FUNCTION smsflow.record_opt_out(text, text[], text, text, jsonb, timestamptz, text) FROM PUBLIC;

-- What a worker has claimed and not yet recorded lies in the claims from the oldest open one on.
CREATE OR REPLACE FUNCTION smsflow.on_the_way(contact_id bigint) RETURNS bigint
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	WITH open AS (
		SELECT c.* FROM smsflow.queue AS q
		CROSS JOIN LATERAL (SELECT c.oldest_open FROM smsflow.claim AS c WHERE c.queue_id = q.queue_id ORDER BY c.claim_id DESC LIMIT 1) AS last
		JOIN smsflow.claim AS c ON c.queue_id = q.queue_id AND c.claim_id >= last.oldest_open)
	SELECT count(*) FROM (
		SELECT o.message_id FROM open AS c
		JOIN smsflow.outbox AS o ON c.kind <> 'timer' AND o.queue_id = c.queue_id AND o.message_id > c.from_id AND o.message_id <= c.to_id
		WHERE o.contact_id = on_the_way.contact_id AND pg_visible_in_snapshot(o.xid, c.snapshot)
			AND NOT EXISTS (SELECT FROM smsflow.attempt AS a WHERE a.message_id = o.message_id)
			AND NOT EXISTS (SELECT FROM smsflow.timer AS t WHERE t.message_id = o.message_id)
		UNION
		SELECT t.message_id FROM open AS c
		JOIN smsflow.timer AS t ON c.kind = 'timer' AND t.queue_id = c.queue_id
			AND (t.due_at, t.timer_id) > (c.from_due, c.from_timer_id) AND (t.due_at, t.timer_id) <= (c.to_due, c.to_timer_id)
		JOIN smsflow.outbox AS o ON o.message_id = t.message_id
		WHERE o.contact_id = on_the_way.contact_id
			AND NOT EXISTS (SELECT FROM smsflow.attempt AS a WHERE a.message_id = t.message_id AND a.attempt >= t.attempt)
			AND NOT EXISTS (SELECT FROM smsflow.timer AS n WHERE n.message_id = t.message_id AND n.timer_id > t.timer_id)) AS claimed
$$;
COMMENT ON FUNCTION smsflow.on_the_way(bigint) IS 'Messages to a contact that a worker has claimed and whose end is not recorded yet';
REVOKE ALL ON FUNCTION smsflow.on_the_way(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.wait_for_opt_out_inside(phone text, timeout interval, brand text) RETURNS boolean
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	person CONSTANT bigint := smsflow.contact_named(wait_for_opt_out_inside.phone, wait_for_opt_out_inside.brand);
	until CONSTANT timestamptz := clock_timestamp() + coalesce(timeout, '30 seconds');
BEGIN
	IF current_setting('transaction_isolation') <> 'read committed' OR EXISTS (SELECT FROM smsflow.consent_event AS e
			WHERE e.contact_id = person AND e.kind = 'revoke' AND e.xid = pg_current_xact_id_if_assigned()) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = 'a transaction cannot wait for its own opt-out',
			DETAIL = 'What is on its way is stopped when the opt-out commits, and seen in a transaction at read committed.',
			HINT = 'Commit first, and call this in the next transaction; CALL smsflow.opt_out_and_wait() does both.';
	ELSIF coalesce(btrim(phone), '') = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'phone must not be empty',
			DETAIL = 'Nothing is known of messages to nobody.', HINT = 'Pass the number that opt_out() was called with.';
	END IF;
	WHILE smsflow.on_the_way(person) > 0 LOOP
		IF clock_timestamp() >= until THEN
			RETURN false;
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN true;
END $$;
COMMENT ON FUNCTION smsflow.wait_for_opt_out_inside(text, interval, text) IS 'What wait_for_opt_out() does';
REVOKE ALL ON FUNCTION smsflow.wait_for_opt_out_inside(text, interval, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.wait_for_opt_out(phone text, timeout interval DEFAULT '30 seconds', brand text DEFAULT 'default') RETURNS boolean
	AS 'MODULE_PATHNAME', 'smsflow_outer' LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.wait_for_opt_out(text, interval, text) IS
'Called after an opt-out has committed: returns true once no message to this number is claimed or on the wire, false when the timeout comes first. SF001 for a bad number, SF004 for an unknown brand, SF005 where the opt-out is not committed yet or the isolation level is above read committed, SF007 without a number';
REVOKE ALL ON FUNCTION smsflow.wait_for_opt_out(text, interval, text) FROM PUBLIC;

-- It commits, so it can have neither SECURITY DEFINER nor a SET clause: every name is written out instead.
CREATE OR REPLACE PROCEDURE smsflow.opt_out_and_wait(phone text, purposes text[] DEFAULT NULL, source text DEFAULT 'api',
		reason text DEFAULT NULL, brand text DEFAULT 'default', timeout interval DEFAULT '30 seconds', INOUT done boolean DEFAULT NULL)
	LANGUAGE plpgsql AS $$
BEGIN
	PERFORM smsflow.opt_out(phone, purposes, source, reason, brand, false);
	COMMIT;
	done := smsflow.wait_for_opt_out(phone, timeout, brand);
END $$;
COMMENT ON PROCEDURE smsflow.opt_out_and_wait(text, text[], text, text, text, interval, boolean) IS
'opt_out(), a commit, and wait_for_opt_out(); done is false when something was still on its way at the timeout. Not inside a transaction block (2D000)';
REVOKE ALL ON PROCEDURE smsflow.opt_out_and_wait(text, text[], text, text, text, interval, boolean) FROM PUBLIC;

-- A rule is true (any STOP ends the purpose), false, or names the purposes of the messages to which a STOP is the answer. Where
-- it is not known what was answered, or a STOP would end nothing, it ends all of them.
CREATE OR REPLACE FUNCTION smsflow.stop_purposes(answered text DEFAULT NULL) RETURNS text[]
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(array_agg(r.purpose::text ORDER BY r.purpose::text) FILTER (WHERE r.ends),
		array_agg(r.purpose::text ORDER BY r.purpose::text) FILTER (WHERE r.value <> 'false'), '{}')
	FROM (SELECT DISTINCT ON (p.purpose) p.purpose, p.value, p.value = 'true' OR (p.value <> 'false'
			AND (stop_purposes.answered IS NULL OR stop_purposes.answered = ANY (string_to_array(replace(p.value, ' ', ''), ',')))) AS ends
		FROM smsflow.policy_rule AS p
		WHERE p.kind = 'stop_ends' AND p.jurisdiction = '*' AND p.effective @> now()
		ORDER BY p.purpose, p.policy_rule_id DESC) AS r
$$;
COMMENT ON FUNCTION smsflow.stop_purposes(text) IS 'Purposes that a STOP in answer to a message of this purpose ends, by the newest rule of smsflow.policy_rule in force for each; null is an answer to nobody knows what';
REVOKE ALL ON FUNCTION smsflow.stop_purposes(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.answered_purpose(contact_id bigint) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT t.purpose::text FROM smsflow.touched AS t
	WHERE t.contact_id = answered_purpose.contact_id AND t.span = answered_purpose.contact_id >> 6 AND t.purpose NOT IN ('compliance', 'otp')
	ORDER BY t.sent_at DESC LIMIT 1
$$;
COMMENT ON FUNCTION smsflow.answered_purpose(bigint) IS 'Purpose of the last message that may have reached a contact within 35 days, one-time passwords and automatic answers apart; NULL for none';
REVOKE ALL ON FUNCTION smsflow.answered_purpose(bigint) FROM PUBLIC;

-- The default instant, the start of the transaction, means all that is recorded: what this very transaction recorded is
-- later than its start.
CREATE OR REPLACE FUNCTION smsflow.ledger_at(contact_id bigint, at timestamptz) RETURNS smsflow.consent
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.consent_agg(smsflow.consent_of(e.kind, e.purposes::text[], e.level::text, e.occurred_at))
	FROM smsflow.consent_event AS e
	WHERE e.contact_id = ledger_at.contact_id AND (e.occurred_at <= ledger_at.at OR ledger_at.at = now())
$$;
COMMENT ON FUNCTION smsflow.ledger_at(bigint, timestamptz) IS 'Fold of what had happened to a contact''s consent by an instant';
REVOKE ALL ON FUNCTION smsflow.ledger_at(bigint, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.contact_named(phone text, brand text) RETURNS bigint
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT c.contact_id FROM smsflow.contact AS c
	WHERE c.brand_id = smsflow.brand_named(contact_named.brand)
		AND c.phone OPERATOR(smsflow.=) smsflow.parse_phone(contact_named.phone)
$$;
COMMENT ON FUNCTION smsflow.contact_named(text, text) IS 'Contact of a number, null if there is none; SF001 for a bad number, SF004 for an unknown brand';
REVOKE ALL ON FUNCTION smsflow.contact_named(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.consent_at(phone text, at timestamptz DEFAULT now(), brand text DEFAULT 'default') RETURNS text
	AS 'MODULE_PATHNAME', 'smsflow_pg_consent_at' LANGUAGE c STABLE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.consent_at(text, timestamptz, text) IS
'What a person had agreed to at an instant, folded from the ledger, in the text form of the type consent; "none" for an unknown number. SF001 for a bad number, SF004 for an unknown brand';
REVOKE ALL ON FUNCTION smsflow.consent_at(text, timestamptz, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.decide_send(brand_id integer, phone smsflow.phone, purpose smsflow.purpose, at timestamptz, subject text, pool text,
		OUT allowed boolean, OUT reason text, OUT retry_at timestamptz) RETURNS record
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT (d.gate).reason IS NULL, (d.gate).reason, (d.gate).retry_at
	FROM (SELECT decide_send.phone, decide_send.purpose, decide_send.brand_id) AS q
	LEFT JOIN smsflow.contact AS c ON c.brand_id = q.brand_id AND c.phone OPERATOR(smsflow.=) q.phone
	LEFT JOIN smsflow.sender AS n ON n.sender_id = smsflow.pool_sender(decide_send.pool, q.phone, c.region,
		coalesce(c.contact_id, substr(q.phone::text, 2)::bigint))
	CROSS JOIN LATERAL (SELECT smsflow.gate(c.contact_id, q.phone,
		CASE WHEN c.contact_id IS NOT NULL THEN coalesce(smsflow.ledger_at(c.contact_id, decide_send.at), 'none'::smsflow.consent) END, q.purpose, c.region,
		c.time_zone, c.time_zone_source, c.reachability, NULL, decide_send.subject, NULL, n.kind, n.registration, n.options, decide_send.at,
		q.brand_id, NULL, NULL, c.suppressed) AS gate OFFSET 0) AS d
$$;
COMMENT ON FUNCTION smsflow.decide_send(integer, smsflow.phone, smsflow.purpose, timestamptz, text, text) IS 'What can_send() says, of arguments that were read';
REVOKE ALL ON FUNCTION smsflow.decide_send(integer, smsflow.phone, smsflow.purpose, timestamptz, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.can_send(phone text, purpose text, at timestamptz DEFAULT now(), brand text DEFAULT 'default',
		subject text DEFAULT NULL, pool text DEFAULT 'default', OUT allowed boolean, OUT reason text, OUT retry_at timestamptz) RETURNS record
	AS 'MODULE_PATHNAME', 'smsflow_pg_can_send' LANGUAGE c STABLE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.can_send(text, text, timestamptz, text, text, text) IS
'Whether the gate lets a message of this purpose, and on this subject, to this number leave at an instant from the pool, else the reason: erasure, consent, reachability, the sender''s countries and registration, frequency caps, quiet hours. retry_at is when it is worth asking again, null while no passing of time alone lifts the refusal. SF001 for a bad number, SF004 for an unknown brand, SF007 for no number and for an unknown purpose';
REVOKE ALL ON FUNCTION smsflow.can_send(text, text, timestamptz, text, text, text) FROM PUBLIC;
