-- Contacts and their consent: the calls of the store's application, and the ledger that proves what they recorded.
-- Re-runnable.

-- ---- building blocks ----

CREATE OR REPLACE FUNCTION smsflow.brand_named(brand text) RETURNS integer
	AS 'MODULE_PATHNAME', 'smsflow_pg_brand_named' LANGUAGE c STABLE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.brand_named(text) IS 'Id of a brand, null is the default brand; SF004 if there is none of this name';
REVOKE ALL ON FUNCTION smsflow.brand_named(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.purpose_named(purpose text) RETURNS smsflow.purpose
	AS 'MODULE_PATHNAME', 'smsflow_pg_purpose_named' LANGUAGE c STABLE PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.purpose_named(text) IS 'Purpose of that name; SF007 if there is none';
REVOKE ALL ON FUNCTION smsflow.purpose_named(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.holdout_bucket(brand_id integer, phone smsflow.phone) RETURNS smallint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN (pg_catalog.abs(smsflow.phone_hash_extended(phone, brand_id) % 100))::smallint;
COMMENT ON FUNCTION smsflow.holdout_bucket(integer, smsflow.phone) IS 'Stable bucket 0..99 of a number of a brand';
REVOKE ALL ON FUNCTION smsflow.holdout_bucket(integer, smsflow.phone) FROM PUBLIC;

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

-- ---- the ledger ----

CREATE OR REPLACE FUNCTION smsflow.consent_of(kind text, purposes text[], level text, at timestamptz) RETURNS smsflow.consent
	AS 'MODULE_PATHNAME', 'smsflow_pg_consent_of' LANGUAGE c IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.consent_of(text, text[], text, timestamptz) IS 'What one entry of the ledger says; consent is the sum of these. A null level is a revocation';
REVOKE ALL ON FUNCTION smsflow.consent_of(text, text[], text, timestamptz) FROM PUBLIC;

-- The canonical form is a JSON array, which separates fields without doubt; instants are microseconds since 1970 UTC, so
-- that no session setting changes it. consent_event_id is not part of it: the chain gives the order.
CREATE OR REPLACE FUNCTION smsflow.consent_event_hash(e smsflow.consent_event) RETURNS bytea
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.jsonb_build_array(
		pg_catalog.encode((e).previous_hash, 'hex'), (e).contact_id, (e).kind, (e).purposes::text, (e).level::text,
		(e).source, (e).disclosure, (e).words, (e).evidence,
		(EXTRACT(epoch FROM (e).occurred_at) * 1000000)::bigint, (EXTRACT(epoch FROM (e).recorded_at) * 1000000)::bigint,
		(e).recorded_by, (e).xid::text)::text, 'UTF8'));
COMMENT ON FUNCTION smsflow.consent_event_hash(smsflow.consent_event) IS 'SHA-256 over the previous hash and the row in canonical form';
REVOKE ALL ON FUNCTION smsflow.consent_event_hash(smsflow.consent_event) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.refuse_ledger_change() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('%s is append-only', TG_TABLE_NAME),
		DETAIL = format('%s would change what the ledger proves.', TG_OP),
		HINT = 'Record a new entry with subscribe(), confirm_opt_in() or opt_out().';
END $$;
COMMENT ON FUNCTION smsflow.refuse_ledger_change() IS 'Trigger function: raises SF005';
REVOKE ALL ON FUNCTION smsflow.refuse_ledger_change() FROM PUBLIC;

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON smsflow.consent_event
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.refuse_ledger_change();
ALTER TABLE smsflow.consent_event ENABLE ALWAYS TRIGGER append_only;

CREATE OR REPLACE FUNCTION smsflow.verify_consent_ledger() RETURNS TABLE (contact_id bigint, consent_event_id bigint, problem text)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	WITH entry AS (
		SELECT e.contact_id, e.consent_event_id, e.hash, e.previous_hash, smsflow.consent_event_hash(e) AS actual,
			lag(e.hash) OVER (PARTITION BY e.contact_id ORDER BY e.consent_event_id) AS expected_previous
		FROM smsflow.consent_event AS e
	), ledger AS (
		SELECT e.contact_id, max(e.consent_event_id) AS newest,
			smsflow.consent_agg(smsflow.consent_of(e.kind, e.purposes::text[], e.level::text, e.occurred_at)) AS consent
		FROM smsflow.consent_event AS e GROUP BY e.contact_id
	)
	SELECT e.contact_id, e.consent_event_id, 'entry was changed'
	FROM entry AS e WHERE e.hash <> e.actual
	UNION ALL
	SELECT e.contact_id, e.consent_event_id, 'entry before this one is missing'
	FROM entry AS e WHERE e.previous_hash IS DISTINCT FROM e.expected_previous
	UNION ALL
	SELECT c.contact_id, l.newest, 'newest entry is missing'
	FROM smsflow.contact AS c LEFT JOIN ledger AS l USING (contact_id) LEFT JOIN smsflow.consent_event AS e ON e.consent_event_id = l.newest
	WHERE c.ledger_head IS DISTINCT FROM e.hash
	UNION ALL
	SELECT c.contact_id, l.newest, 'consent of the contact is not what the ledger says'
	FROM smsflow.contact AS c LEFT JOIN ledger AS l USING (contact_id)
	WHERE c.consent OPERATOR(smsflow.<>) coalesce(l.consent, 'none')
	ORDER BY 1, 2, 3
$$;
COMMENT ON FUNCTION smsflow.verify_consent_ledger() IS 'Recomputes every hash and the consent of every contact; each row is a contradiction, none is what it should return';
REVOKE ALL ON FUNCTION smsflow.verify_consent_ledger() FROM PUBLIC;

-- ---- what an application calls ----

CREATE OR REPLACE FUNCTION smsflow.subscribe(phone text, purposes text[] DEFAULT '{promotional}', source text DEFAULT 'api',
		disclosure text DEFAULT NULL, level text DEFAULT 'express', evidence jsonb DEFAULT '{}', external_id text DEFAULT NULL,
		attributes jsonb DEFAULT '{}', occurred_at timestamptz DEFAULT now(), brand text DEFAULT 'default') RETURNS bigint
	AS 'MODULE_PATHNAME', 'smsflow_pg_subscribe' LANGUAGE c VOLATILE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.subscribe(text, text[], text, text, text, jsonb, text, jsonb, timestamptz, text) IS
'Records that a person agreed to messages of these purposes, and returns the contact''s id. disclosure is the exact text they saw; level is implied, express, written or confirmed; attributes first_name, last_name, language, region and time_zone go to their columns. SF001 for a bad number, SF004 for an unknown brand, SF007 for an unknown purpose, level or time zone, an empty source or an instant in the future';
REVOKE ALL ON FUNCTION smsflow.subscribe(text, text[], text, text, text, jsonb, text, jsonb, timestamptz, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.confirm_opt_in(phone text, brand text DEFAULT 'default') RETURNS boolean
	AS 'MODULE_PATHNAME', 'smsflow_pg_confirm_opt_in' LANGUAGE c VOLATILE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.confirm_opt_in(text, text) IS
'Records that a person answered yes from the phone itself (double opt-in): purposes they agreed to at express or above become confirmed. False if there are none. SF001 for a bad number, SF004 for an unknown brand';
REVOKE ALL ON FUNCTION smsflow.confirm_opt_in(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.opt_out(phone text, purposes text[] DEFAULT NULL, source text DEFAULT 'api',
		reason text DEFAULT NULL, brand text DEFAULT 'default') RETURNS boolean
	AS 'MODULE_PATHNAME', 'smsflow_pg_opt_out' LANGUAGE c VOLATILE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.opt_out(text, text[], text, text, text) IS
'Ends consent for these purposes, null is all marketing (promotional, cart); true if something that was permitted no longer is. Messages not yet on the wire are stopped at commit. An unknown number becomes a contact, so that no import can bring it back. SF001 for a bad number, SF004 for an unknown brand, SF007 for an unknown purpose or an empty source';
REVOKE ALL ON FUNCTION smsflow.opt_out(text, text[], text, text, text) FROM PUBLIC;

-- A function call of one bare literal, or of one varchar, is taken for a cast to the type smsflow.opt_out unless a function
-- has exactly that argument type.
CREATE OR REPLACE FUNCTION smsflow.opt_out("unknown") RETURNS boolean
	AS 'MODULE_PATHNAME', 'smsflow_pg_opt_out_literal' LANGUAGE c VOLATILE STRICT
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.opt_out("unknown") IS 'opt_out(phone) with a bare literal';
REVOKE ALL ON FUNCTION smsflow.opt_out("unknown") FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.opt_out(phone varchar) RETURNS boolean
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.opt_out(phone::text, NULL, 'api', NULL, 'default')
$$;
COMMENT ON FUNCTION smsflow.opt_out(varchar) IS 'opt_out(phone) with a varchar';
REVOKE ALL ON FUNCTION smsflow.opt_out(varchar) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.record_opt_out(phone text, purposes text[], channel text, words text DEFAULT NULL,
		evidence jsonb DEFAULT '{}', occurred_at timestamptz DEFAULT NULL, brand text DEFAULT 'default') RETURNS boolean
	AS 'MODULE_PATHNAME', 'smsflow_pg_record_opt_out' LANGUAGE c VOLATILE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.record_opt_out(text, text[], text, text, jsonb, timestamptz, text) IS
'opt_out() by a channel (keyword, api, web, support, carrier, complaint, erasure) with its evidence; a null occurred_at is the moment of the call';
REVOKE ALL ON FUNCTION smsflow.record_opt_out(text, text[], text, text, jsonb, timestamptz, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.stop_purposes() RETURNS text[]
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(array_agg(r.purpose::text ORDER BY r.purpose::text) FILTER (WHERE r.value = 'true'), '{}')
	FROM (SELECT DISTINCT ON (p.purpose) p.purpose, p.value FROM smsflow.policy_rule AS p
		WHERE p.kind = 'stop_ends' AND p.jurisdiction = '*' AND p.effective @> now()
		ORDER BY p.purpose, p.policy_rule_id DESC) AS r
$$;
COMMENT ON FUNCTION smsflow.stop_purposes() IS 'Purposes that a STOP ends, by the newest rule of smsflow.policy_rule for each';
REVOKE ALL ON FUNCTION smsflow.stop_purposes() FROM PUBLIC;

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
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.ledger_at(smsflow.contact_named(consent_at.phone, consent_at.brand), consent_at.at)::text
$$;
COMMENT ON FUNCTION smsflow.consent_at(text, timestamptz, text) IS
'What a person had agreed to at an instant, folded from the ledger, in the text form of the type consent; "none" for an unknown number. SF001 for a bad number, SF004 for an unknown brand';
REVOKE ALL ON FUNCTION smsflow.consent_at(text, timestamptz, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.can_send(phone text, purpose text, at timestamptz DEFAULT now(), brand text DEFAULT 'default',
		OUT allowed boolean, OUT reason text, OUT retry_at timestamptz) RETURNS record
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT (d.gate).reason IS NULL, (d.gate).reason, (d.gate).retry_at
	FROM (SELECT smsflow.parse_phone(can_send.phone) AS phone, smsflow.purpose_named(can_send.purpose) AS purpose,
		smsflow.brand_named(can_send.brand) AS brand_id OFFSET 0) AS q
	LEFT JOIN smsflow.contact AS c ON c.brand_id = q.brand_id AND c.phone OPERATOR(smsflow.=) q.phone
	CROSS JOIN LATERAL (SELECT smsflow.gate(c.contact_id, q.phone, smsflow.ledger_at(c.contact_id, can_send.at), q.purpose, c.region,
		c.time_zone, c.time_zone_source, c.reachability, NULL, NULL, NULL, NULL, NULL, NULL, can_send.at) AS gate OFFSET 0) AS d
$$;
COMMENT ON FUNCTION smsflow.can_send(text, text, timestamptz, text) IS
'Whether the gate lets a message of this purpose to this number leave at an instant, else the reason: consent, reachability, frequency caps, quiet hours. retry_at is when it would, null while no passing of time alone lifts the refusal. SF001 for a bad number, SF004 for an unknown brand, SF007 for an unknown purpose';
REVOKE ALL ON FUNCTION smsflow.can_send(text, text, timestamptz, text) FROM PUBLIC;
