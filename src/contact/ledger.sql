-- The ledger that proves what contacts agreed to: how an entry is hashed, what keeps it from changes, the seals that know
-- of all entries together, and what is wrong with any of it. Re-runnable.

CREATE OR REPLACE FUNCTION smsflow.consent_of(kind text, purposes text[], level text, at timestamptz) RETURNS smsflow.consent
	AS 'MODULE_PATHNAME', 'smsflow_pg_consent_of' LANGUAGE c IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.consent_of(text, text[], text, timestamptz) IS 'What one entry of the ledger says; consent is the sum of these. A null level is a revocation';
REVOKE ALL ON FUNCTION smsflow.consent_of(text, text[], text, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.personal_digest(salt bytea, words text, evidence jsonb) RETURNS bytea
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN pg_catalog.sha256(salt || pg_catalog.convert_to(pg_catalog.jsonb_build_array(words, evidence)::text, 'UTF8'));
COMMENT ON FUNCTION smsflow.personal_digest(bytea, text, jsonb) IS 'SHA-256 that stands for words and evidence in the chain';
REVOKE ALL ON FUNCTION smsflow.personal_digest(bytea, text, jsonb) FROM PUBLIC;

-- The canonical form is a JSON array, which separates fields without doubt; instants are microseconds since 1970 UTC, so
-- that no session setting changes it. consent_event_id is not part of it: the chain gives the order. Words and evidence
-- are there as a salted digest: they can be erased without breaking the chain.
CREATE OR REPLACE FUNCTION smsflow.consent_event_hash(e smsflow.consent_event) RETURNS bytea
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.jsonb_build_array(
		pg_catalog.encode((e).previous_hash, 'hex'), (e).contact_id, (e).kind, (e).purposes::text, (e).level::text,
		(e).source, (e).disclosure, pg_catalog.encode((e).personal_digest, 'hex'),
		(EXTRACT(epoch FROM (e).occurred_at) * 1000000)::bigint, (EXTRACT(epoch FROM (e).recorded_at) * 1000000)::bigint,
		(e).recorded_by, (e).xid::text, (e).disclosure_version)::text, 'UTF8'));
COMMENT ON FUNCTION smsflow.consent_event_hash(smsflow.consent_event) IS 'SHA-256 over the previous hash and the row in canonical form';
REVOKE ALL ON FUNCTION smsflow.consent_event_hash(smsflow.consent_event) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.next_proof(proof bigint[], before smsflow.consent, effect smsflow.consent, consent_event_id bigint) RETURNS bigint[]
	AS 'MODULE_PATHNAME', 'smsflow_pg_next_proof' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.next_proof(bigint[], smsflow.consent, smsflow.consent, bigint) IS 'contact.proof after an entry with this effect on the consent before';
REVOKE ALL ON FUNCTION smsflow.next_proof(bigint[], smsflow.consent, smsflow.consent, bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.proof_of(contact_id bigint) RETURNS bigint[]
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT array_agg(COALESCE((SELECT e.consent_event_id FROM smsflow.consent_event e
		WHERE e.contact_id = proof_of.contact_id AND e.kind <> 'revoke' AND p.purpose = ANY (e.purposes)
			AND e.occurred_at > COALESCE((SELECT max(r.occurred_at) FROM smsflow.consent_event r
				WHERE r.contact_id = proof_of.contact_id AND r.kind = 'revoke' AND p.purpose = ANY (r.purposes)), '-infinity')
		ORDER BY e.level DESC, e.consent_event_id DESC LIMIT 1), 0) ORDER BY p.purpose)
	FROM unnest(enum_range(NULL::smsflow.purpose)) AS p (purpose);
END;
COMMENT ON FUNCTION smsflow.proof_of(bigint) IS 'contact.proof recomputed from the ledger';
REVOKE ALL ON FUNCTION smsflow.proof_of(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.append_entries(contact_ids bigint[], kinds text[], purposes text[], levels text[], sources text[],
		disclosures text[], versions text[], words text[], evidence jsonb[], instants timestamptz[]) RETURNS bigint
	AS 'MODULE_PATHNAME', 'smsflow_pg_append_entries' LANGUAGE c VOLATILE
	SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.append_entries(bigint[], text[], text[], text[], text[], text[], text[], text[], jsonb[], timestamptz[]) IS
'Appends an entry for each of these contacts, locked before and each named once; returns how many';
REVOKE ALL ON FUNCTION smsflow.append_entries(bigint[], text[], text[], text[], text[], text[], text[], text[], jsonb[], timestamptz[]) FROM PUBLIC;

-- What may happen to an entry is one thing: erasure takes words, evidence and salt away, and nothing else.
CREATE OR REPLACE FUNCTION smsflow.refuse_ledger_change() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF TG_LEVEL = 'ROW' AND TG_OP = 'UPDATE' THEN
		IF new.words IS NULL AND new.evidence = '{}' AND new.salt IS NULL
				AND to_jsonb(new) - '{words,evidence,salt}'::text[] = to_jsonb(old) - '{words,evidence,salt}'::text[] THEN
			RETURN new;
		END IF;
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('%s is append-only', TG_TABLE_NAME),
		DETAIL = format('%s would change what the ledger proves.', TG_OP),
		HINT = 'Record a new entry with subscribe(), confirm_opt_in() or opt_out(); personal data is removed by erase_contact().';
END $$;
COMMENT ON FUNCTION smsflow.refuse_ledger_change() IS 'Trigger function: raises SF005';
REVOKE ALL ON FUNCTION smsflow.refuse_ledger_change() FROM PUBLIC;

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON smsflow.consent_event
	FOR EACH ROW EXECUTE FUNCTION smsflow.refuse_ledger_change();
ALTER TABLE smsflow.consent_event ENABLE ALWAYS TRIGGER append_only;
CREATE OR REPLACE TRIGGER never_truncated BEFORE TRUNCATE ON smsflow.consent_event
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.refuse_ledger_change();
ALTER TABLE smsflow.consent_event ENABLE ALWAYS TRIGGER never_truncated;

CREATE OR REPLACE FUNCTION smsflow.keep_ledger_owner() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF EXISTS (SELECT FROM smsflow.consent_event e WHERE e.contact_id = old.contact_id)
			AND NOT EXISTS (SELECT FROM smsflow.removed_contact r WHERE r.contact_id = old.contact_id) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = 'a contact with a ledger cannot be deleted',
			DETAIL = format('Contact %s has entries in smsflow.consent_event.', old.contact_id),
			HINT = 'Use smsflow.erase_contact(), which keeps the proof and suppresses the number.';
	END IF;
	RETURN old;
END $$;
COMMENT ON FUNCTION smsflow.keep_ledger_owner() IS 'Trigger function: raises SF005 for a contact whose ledger would be left alone';
REVOKE ALL ON FUNCTION smsflow.keep_ledger_owner() FROM PUBLIC;
CREATE OR REPLACE TRIGGER keep_ledger_owner BEFORE DELETE ON smsflow.contact
	FOR EACH ROW EXECUTE FUNCTION smsflow.keep_ledger_owner();

-- ---- seals ----

-- A chain tells of its own contact alone: one that is gone with all of its entries leaves no trace in others. A seal
-- knows which entries there were, of everybody, and is chained to the seal before it.

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON smsflow.consent_seal
	FOR EACH STATEMENT EXECUTE FUNCTION smsflow.refuse_ledger_change();
ALTER TABLE smsflow.consent_seal ENABLE ALWAYS TRIGGER append_only;

CREATE OR REPLACE FUNCTION smsflow.consent_seal_hash(s smsflow.consent_seal) RETURNS bytea
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT sha256(coalesce((s).previous_hash, '') || string_agg(int8send(e.id) || int8send(e.contact) || e.hash, '' ORDER BY e.place))
	FROM unnest((s).entries, (s).contacts, (s).hashes) WITH ORDINALITY AS e (id, contact, hash, place)
$$;
COMMENT ON FUNCTION smsflow.consent_seal_hash(smsflow.consent_seal) IS 'SHA-256 over the hash of the seal before, and id, contact and hash of each entry';
REVOKE ALL ON FUNCTION smsflow.consent_seal_hash(smsflow.consent_seal) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.append_seal(after_id bigint, upto_id bigint, slice integer) RETURNS bigint
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	WITH entry AS (
		SELECT e.consent_event_id, e.contact_id, e.hash FROM smsflow.consent_event AS e
		WHERE e.consent_event_id > append_seal.after_id AND e.consent_event_id <= append_seal.upto_id
		ORDER BY e.consent_event_id LIMIT append_seal.slice
	), seal AS (
		SELECT ROW(NULL, array_agg(e.consent_event_id ORDER BY e.consent_event_id), array_agg(e.contact_id ORDER BY e.consent_event_id),
			array_agg(e.hash ORDER BY e.consent_event_id), clock_timestamp(),
			(SELECT b.hash FROM smsflow.consent_seal AS b ORDER BY b.through_id DESC LIMIT 1), NULL)::smsflow.consent_seal AS s
		FROM entry AS e HAVING count(*) > 0
	)
	INSERT INTO smsflow.consent_seal (through_id, entries, contacts, hashes, sealed_at, previous_hash, hash)
	SELECT (s).entries[cardinality((s).entries)], (s).entries, (s).contacts, (s).hashes, (s).sealed_at, (s).previous_hash, smsflow.consent_seal_hash(s)
	FROM seal RETURNING cardinality(entries)
$$;
COMMENT ON FUNCTION smsflow.append_seal(bigint, bigint, integer) IS 'Seals the first entries of a range, at most slice; returns how many, NULL for none';
REVOKE ALL ON FUNCTION smsflow.append_seal(bigint, bigint, integer) FROM PUBLIC;

-- Ids commit out of order, so a range is sealed only when nobody can add to it: one pass notes the newest id, a later one
-- seals up to it when all transactions that had begun to write by then are over. A transaction has its xid before it
-- takes an id for an entry, because it has locked the contact. A note with an xid ahead of ours is of another cluster.
CREATE OR REPLACE FUNCTION smsflow.seal_consent_ledger() RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	noted smsflow.seal_note;
	sealed bigint := 0;
	done bigint;
BEGIN
	LOCK TABLE smsflow.seal_note IN EXCLUSIVE MODE;
	SELECT * INTO noted FROM smsflow.seal_note;
	done := coalesce((SELECT max(s.through_id) FROM smsflow.consent_seal AS s), 0);
	IF noted.upto_id > done AND noted.xid < pg_snapshot_xmin(pg_current_snapshot()) THEN
		sealed := coalesce(smsflow.append_seal(done, noted.upto_id, 10000), 0);
		done := (SELECT max(s.through_id) FROM smsflow.consent_seal AS s);
	END IF;
	IF noted.xid IS NULL OR noted.upto_id <= done OR noted.xid >= pg_current_xact_id() THEN
		DELETE FROM smsflow.seal_note;
		INSERT INTO smsflow.seal_note (upto_id, xid)
		SELECT e.consent_event_id, pg_current_xact_id() FROM smsflow.consent_event AS e
		WHERE e.consent_event_id > done ORDER BY e.consent_event_id DESC LIMIT 1;
	END IF;
	RETURN sealed;
END $$;
COMMENT ON FUNCTION smsflow.seal_consent_ledger() IS
'Seals the entries of the ledger that the call before found and nobody can add to any more, at most 10,000; returns how many. The worker calls it every smsflow.sweep_interval while armed; from then on verify_consent_ledger() misses each of them, also one of a contact that is gone with all of its entries';
REVOKE ALL ON FUNCTION smsflow.seal_consent_ledger() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.verify_seals() RETURNS TABLE (contact_id bigint, consent_event_id bigint, problem text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	WITH sealed AS MATERIALIZED (
		SELECT u.* FROM smsflow.consent_seal AS s CROSS JOIN unnest(s.entries, s.contacts, s.hashes) AS u (id, contact_id, hash)
	)
	SELECT coalesce(e.contact_id, s.contact_id), coalesce(e.consent_event_id, s.id),
		CASE WHEN e.consent_event_id IS NULL THEN 'sealed entry is missing' WHEN s.id IS NULL THEN 'entry was inserted into what is sealed'
			ELSE 'entry is not the one that was sealed' END
	FROM sealed AS s
	FULL JOIN (SELECT * FROM smsflow.consent_event
		WHERE consent_event_id <= (SELECT max(through_id) FROM smsflow.consent_seal)) AS e ON e.consent_event_id = s.id
	WHERE (e.contact_id, e.hash) IS DISTINCT FROM (s.contact_id, s.hash)
	UNION ALL
	SELECT NULL, s.through_id, CASE WHEN s.hash IS DISTINCT FROM smsflow.consent_seal_hash(s.seal) THEN 'seal up to this entry was changed'
		ELSE 'seal before the one up to this entry is missing' END
	FROM (SELECT s AS seal, s.*, lag(s.hash) OVER (ORDER BY s.through_id) AS before FROM smsflow.consent_seal AS s) AS s
	WHERE s.hash IS DISTINCT FROM smsflow.consent_seal_hash(s.seal) OR s.previous_hash IS DISTINCT FROM s.before
$$;
COMMENT ON FUNCTION smsflow.verify_seals() IS 'Entries that are not as they were sealed, and seals that do not follow each other; of those contact_id is NULL';
REVOKE ALL ON FUNCTION smsflow.verify_seals() FROM PUBLIC;

-- ---- verifying ----

-- The chain is walked from its head down. An entry that it does not come by was put in; where the entry that should
-- come next is nowhere, one was taken out, and the walk goes on with the newest one below.
CREATE OR REPLACE VIEW smsflow.ledger_walk AS
	WITH RECURSIVE owner AS (
		SELECT c.contact_id, c.ledger_head FROM smsflow.contact c
		UNION ALL
		SELECT r.contact_id, r.ledger_head FROM smsflow.removed_contact r
	), walk AS (
		SELECT o.contact_id, e.consent_event_id, e.hash, e.previous_hash,
			o.ledger_head IS DISTINCT FROM e.hash AS newer_missing, NULL::bigint AS newer_id
		FROM owner o
		CROSS JOIN LATERAL (SELECT e.* FROM smsflow.consent_event e WHERE e.contact_id = o.contact_id AND o.ledger_head IS NOT NULL
			ORDER BY e.hash = o.ledger_head DESC, e.consent_event_id DESC LIMIT 1) e
		UNION ALL
		SELECT w.contact_id, e.consent_event_id, e.hash, e.previous_hash, e.hash IS DISTINCT FROM w.previous_hash, w.consent_event_id
		FROM walk w
		CROSS JOIN LATERAL (SELECT e.* FROM smsflow.consent_event e
			WHERE e.contact_id = w.contact_id AND e.consent_event_id < w.consent_event_id AND w.previous_hash IS NOT NULL
			ORDER BY e.hash = w.previous_hash DESC, e.consent_event_id DESC LIMIT 1) e
	)
	SELECT * FROM walk;
COMMENT ON VIEW smsflow.ledger_walk IS 'Entries of the ledger as the chain leads to them from its head; newer_missing: not the one that should come next';

CREATE OR REPLACE FUNCTION smsflow.verify_consent_ledger() RETURNS TABLE (contact_id bigint, consent_event_id bigint, problem text)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	WITH walk AS MATERIALIZED (SELECT * FROM smsflow.ledger_walk),
	ledger AS (
		SELECT e.contact_id, max(e.consent_event_id) AS newest,
			smsflow.consent_agg(smsflow.consent_of(e.kind, e.purposes::text[], e.level::text, e.occurred_at)) AS consent
		FROM smsflow.consent_event AS e GROUP BY e.contact_id
	)
	SELECT e.contact_id, e.consent_event_id, 'entry was changed'
	FROM smsflow.consent_event AS e
	WHERE e.hash <> smsflow.consent_event_hash(e) OR e.personal_digest <> smsflow.personal_digest(e.salt, e.words, e.evidence)
		OR (e.salt IS NULL AND (e.words IS NOT NULL OR e.evidence <> '{}'))
	UNION ALL
	SELECT e.contact_id, e.consent_event_id, 'personal data was removed without an erasure'
	FROM smsflow.consent_event AS e
	WHERE e.salt IS NULL AND NOT EXISTS (SELECT FROM smsflow.removed_contact AS r WHERE r.contact_id = e.contact_id AND r.reason = 'erasure')
	UNION ALL
	SELECT w.contact_id, coalesce(w.newer_id, w.consent_event_id),
		CASE WHEN w.newer_id IS NULL THEN 'newest entry is missing' ELSE 'entry before this one is missing' END
	FROM walk AS w WHERE w.newer_missing
	UNION ALL
	SELECT w.contact_id, w.consent_event_id, 'entry before this one is missing'
	FROM walk AS w WHERE w.previous_hash IS NOT NULL AND NOT EXISTS (SELECT FROM walk AS d WHERE d.newer_id = w.consent_event_id)
	UNION ALL
	SELECT e.contact_id, e.consent_event_id, 'entry was inserted'
	FROM smsflow.consent_event AS e WHERE NOT EXISTS (SELECT FROM walk AS w WHERE w.consent_event_id = e.consent_event_id)
	UNION ALL
	SELECT o.contact_id, NULL, 'newest entry is missing'
	FROM (SELECT c.contact_id, c.ledger_head FROM smsflow.contact AS c
		UNION ALL SELECT r.contact_id, r.ledger_head FROM smsflow.removed_contact AS r) AS o
	WHERE o.ledger_head IS NOT NULL AND NOT EXISTS (SELECT FROM ledger AS l WHERE l.contact_id = o.contact_id)
	UNION ALL
	SELECT c.contact_id, l.newest, 'consent of the contact is not what the ledger says'
	FROM smsflow.contact AS c LEFT JOIN ledger AS l USING (contact_id)
	WHERE c.consent OPERATOR(smsflow.<>) coalesce(l.consent, 'none')
	UNION ALL
	SELECT * FROM smsflow.verify_seals()
	ORDER BY 1, 2, 3
$$;
COMMENT ON FUNCTION smsflow.verify_consent_ledger() IS 'Recomputes every hash, walks every chain from its head, and folds the consent of every contact; each row is a contradiction and says which entry was changed, inserted, or taken out before which, or is missing from what was sealed; contact_id is NULL for a seal. None is what it should return';
REVOKE ALL ON FUNCTION smsflow.verify_consent_ledger() FROM PUBLIC;
