-- Coupons: a code is a person's if and only if the transaction that makes their message commits. Re-runnable.

CREATE OR REPLACE FUNCTION smsflow.coupon_pool_named(name text, brand text) RETURNS smsflow.coupon_pool
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	pool smsflow.coupon_pool;
BEGIN
	SELECT p.* INTO pool FROM smsflow.coupon_pool AS p
	WHERE p.name = coupon_pool_named.name AND p.brand_id = smsflow.brand_named(coupon_pool_named.brand);
	IF NOT FOUND THEN
		PERFORM smsflow.refuse_unknown('coupon pool', coupon_pool_named.name, coupon_pool_named.brand);
	END IF;
	RETURN pool;
END $$;
COMMENT ON FUNCTION smsflow.coupon_pool_named(text, text) IS 'A pool of coupons; SF004 if there is none of this name, or no such brand';
REVOKE ALL ON FUNCTION smsflow.coupon_pool_named(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.create_coupon_pool(name text, prefix text DEFAULT NULL, at_end text DEFAULT 'wait', brand text DEFAULT 'default')
	RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	id integer;
BEGIN
	IF coalesce(create_coupon_pool.name, '') = '' OR coalesce(create_coupon_pool.at_end NOT IN ('wait', 'go_on'), true)
			OR create_coupon_pool.prefix !~ '^[A-Z0-9-]{0,12}$' THEN
		PERFORM smsflow.refuse('SF007', 'this pool of coupons cannot be made',
			'A pool has a name; a prefix is at most 12 of A-Z, 0-9 and -; at_end is wait or go_on.',
			'Without a prefix codes come from smsflow.add_coupons(), with one they are generated.');
	END IF;
	INSERT INTO smsflow.coupon_pool AS p (brand_id, name, prefix, at_end)
	VALUES (smsflow.brand_named(create_coupon_pool.brand), create_coupon_pool.name, create_coupon_pool.prefix, create_coupon_pool.at_end)
	ON CONFLICT DO NOTHING RETURNING p.coupon_pool_id INTO id;
	IF id IS NULL THEN
		PERFORM smsflow.refuse_taken('coupon pool', create_coupon_pool.name, 'brand');
	END IF;
	RETURN id;
END $$;
COMMENT ON FUNCTION smsflow.create_coupon_pool(text, text, text, text) IS
'Makes a pool that {{coupon}} of campaigns with the option coupons comes from, and returns its id. With prefix, which may be empty, codes are generated: prefix and 8 letters and digits that cannot be misread; without, they are those of add_coupons(). at_end says what a campaign does when no code is left: wait for more, or go_on with the default of {{coupon|...}}, refusing as missing_variable where there is none. SF004 unknown brand, SF005 the name is taken, SF007 other arguments';
REVOKE ALL ON FUNCTION smsflow.create_coupon_pool(text, text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.end_wait_for_coupons() RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	UPDATE smsflow.campaign AS k SET waits_for = NULL FROM smsflow.coupon_pool AS p
	WHERE k.waits_for = 'coupons' AND p.brand_id = k.brand_id AND p.name = k.options ->> 'coupons'
		AND EXISTS (SELECT FROM smsflow.coupon AS c WHERE c.coupon_pool_id = p.coupon_pool_id AND c.campaign_id IS NULL);
	SELECT smsflow.note_config()
$$;
COMMENT ON FUNCTION smsflow.end_wait_for_coupons() IS 'Lets campaigns go on that wait for coupons of a pool in which one is free';
REVOKE ALL ON FUNCTION smsflow.end_wait_for_coupons() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.add_coupons(pool text, codes text[], brand text DEFAULT 'default') RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	its CONSTANT smsflow.coupon_pool := smsflow.coupon_pool_named(add_coupons.pool, add_coupons.brand);
	added bigint;
BEGIN
	IF its.prefix IS NOT NULL OR EXISTS (SELECT FROM unnest(codes) AS code WHERE coalesce(code !~ '^[[:graph:]]{1,64}$', true)) THEN
		PERFORM smsflow.refuse('SF007', 'these codes cannot be added',
			'Codes have 1 to 64 characters without spaces, and a pool with a prefix makes its own.', 'Correct them, or use another pool.');
	END IF;
	INSERT INTO smsflow.coupon (coupon_pool_id, code) SELECT its.coupon_pool_id, code FROM unnest(codes) AS code ON CONFLICT DO NOTHING;
	GET DIAGNOSTICS added = ROW_COUNT;
	PERFORM smsflow.end_wait_for_coupons();
	RETURN added;
END $$;
COMMENT ON FUNCTION smsflow.add_coupons(text, text[], text) IS 'Adds codes to a pool and returns how many were new; campaigns that waited for them go on. SF004 unknown pool or brand, SF007 a code with spaces, or a pool that generates its own';
REVOKE ALL ON FUNCTION smsflow.add_coupons(text, text[], text) FROM PUBLIC;

-- Random bytes of a UUID, without those that its version and variant take; letters and digits that look alike are left out.
CREATE OR REPLACE FUNCTION smsflow.random_code() RETURNS text
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT string_agg(substr('23456789ABCDEFGHJKLMNPQRSTUVWXYZ', 1 + get_byte(u.bytes, place) % 32, 1), '')
	FROM (SELECT uuid_send(gen_random_uuid()) AS bytes) AS u, unnest('{0,1,2,3,4,5,9,10}'::integer[]) AS place
$$;
COMMENT ON FUNCTION smsflow.random_code() IS 'Eight letters and digits from the server''s strong random source: 40 bits';
REVOKE ALL ON FUNCTION smsflow.random_code() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.coupon_vars(campaign_id integer, contact_id bigint, pool text, is_draft boolean) RETURNS jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
	RETURN COALESCE((SELECT jsonb_build_object('coupon', p.code) FROM smsflow.coupon AS p
			WHERE p.campaign_id = coupon_vars.campaign_id AND p.contact_id = coupon_vars.contact_id),
		CASE WHEN is_draft THEN (SELECT jsonb_build_object('coupon', COALESCE(q.prefix || 'XXXXXXXX', (SELECT max(p.code) FROM smsflow.coupon AS p
				WHERE p.coupon_pool_id = q.coupon_pool_id AND p.campaign_id IS NULL), CASE q.at_end WHEN 'wait' THEN 'XXXXXXXX' END))
			FROM smsflow.campaign AS k JOIN smsflow.coupon_pool AS q ON q.brand_id = k.brand_id AND q.name = coupon_vars.pool
			WHERE k.campaign_id = coupon_vars.campaign_id) END, '{}');
COMMENT ON FUNCTION smsflow.coupon_vars(integer, bigint, text, boolean) IS 'The template variable coupon: the code that is this contact''s, and for a draft one that looks like it; of an empty pool that waits for more, too';
REVOKE ALL ON FUNCTION smsflow.coupon_vars(integer, bigint, text, boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.take_coupons(campaign_id integer, members bigint[]) RETURNS bigint[]
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	pool CONSTANT smsflow.coupon_pool := (SELECT p FROM smsflow.campaign AS k JOIN smsflow.coupon_pool AS p
		ON p.brand_id = k.brand_id AND p.name = k.options ->> 'coupons' WHERE k.campaign_id = take_coupons.campaign_id);
	in_order CONSTANT bigint[] := ARRAY(SELECT m FROM unnest(members) AS m ORDER BY m);
	taken bigint[];
BEGIN
	-- A code that was generated before is not made again: the dice are thrown until there are enough.
	FOR round IN 1 .. 100 LOOP
		EXIT WHEN pool.prefix IS NULL OR cardinality(members) <= (SELECT count(*) FROM (SELECT FROM smsflow.coupon AS c
			WHERE c.coupon_pool_id = pool.coupon_pool_id AND c.campaign_id IS NULL LIMIT cardinality(members)) AS free);
		INSERT INTO smsflow.coupon (coupon_pool_id, code)
		SELECT pool.coupon_pool_id, pool.prefix || smsflow.random_code() FROM unnest(members) ON CONFLICT DO NOTHING;
	END LOOP;
	WITH free AS MATERIALIZED (
		SELECT c.code FROM smsflow.coupon AS c WHERE c.coupon_pool_id = pool.coupon_pool_id AND c.campaign_id IS NULL
		ORDER BY c.coupon_pool_id, c.code LIMIT cardinality(members) FOR UPDATE SKIP LOCKED
	), dealt AS (
		SELECT f.code, in_order[row_number() OVER (ORDER BY f.code)] AS contact_id FROM free AS f
	), given AS (
		UPDATE smsflow.coupon AS c SET campaign_id = take_coupons.campaign_id, contact_id = d.contact_id
		FROM dealt AS d WHERE c.coupon_pool_id = pool.coupon_pool_id AND c.code = d.code RETURNING c.contact_id
	)
	SELECT coalesce(array_agg(g.contact_id ORDER BY g.contact_id), '{}') INTO taken FROM given AS g;
	RETURN CASE WHEN pool.at_end = 'go_on' THEN in_order ELSE taken END;
END $$;
COMMENT ON FUNCTION smsflow.take_coupons(integer, bigint[]) IS 'Worker: deals free codes of a campaign''s pool to these contacts, in order of their ids, and returns, in that order, who of them can get a message now';
REVOKE ALL ON FUNCTION smsflow.take_coupons(integer, bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.bind_coupons(campaign_id integer, contact_ids bigint[], message_ids bigint[]) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	UPDATE smsflow.coupon AS c SET message_id = d.message_id, taken_at = clock_timestamp(), checked_at = clock_timestamp()
	FROM unnest(bind_coupons.contact_ids, bind_coupons.message_ids) AS d (contact_id, message_id)
	WHERE c.campaign_id = bind_coupons.campaign_id AND c.contact_id = d.contact_id AND c.message_id IS NULL;
	UPDATE smsflow.coupon AS c SET campaign_id = NULL, contact_id = NULL
	WHERE c.campaign_id = bind_coupons.campaign_id AND c.message_id IS NULL
$$;
COMMENT ON FUNCTION smsflow.bind_coupons(integer, bigint[], bigint[]) IS 'Worker: codes that were dealt belong to these messages (parallel arrays); those of contacts who got none are free again';
REVOKE ALL ON FUNCTION smsflow.bind_coupons(integer, bigint[], bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.release_coupons(slice integer) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, smsflow, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
	released bigint;
BEGIN
	IF NOT EXISTS (SELECT FROM smsflow.coupon AS c WHERE c.message_id IS NOT NULL AND NOT c.settled) THEN
		RETURN 0;	-- the fold of no messages looks at every segment of theirs, too
	END IF;
	WITH looked AS MATERIALIZED (
		SELECT c.coupon_pool_id, c.code, c.message_id FROM smsflow.coupon AS c
		WHERE c.message_id IS NOT NULL AND NOT c.settled ORDER BY c.checked_at LIMIT release_coupons.slice FOR UPDATE SKIP LOCKED
	), folded AS (
		SELECT f.* FROM smsflow.message_fold(ARRAY(SELECT l.message_id FROM looked AS l)) AS f
	), freed AS (
		UPDATE smsflow.coupon AS c SET campaign_id = NULL, contact_id = NULL, message_id = NULL, taken_at = NULL
		FROM looked AS l JOIN folded AS f USING (message_id)
		WHERE c.coupon_pool_id = l.coupon_pool_id AND c.code = l.code AND f.status IN ('rejected', 'suppressed', 'cancelled', 'expired') AND NOT f.sent
		RETURNING c.code
	), kept AS (
		UPDATE smsflow.coupon AS c SET checked_at = clock_timestamp(), settled = f.sent
		FROM looked AS l JOIN folded AS f USING (message_id)
		WHERE c.coupon_pool_id = l.coupon_pool_id AND c.code = l.code AND (f.status NOT IN ('rejected', 'suppressed', 'cancelled', 'expired') OR f.sent)
	)
	SELECT count(*) INTO released FROM freed;
	IF released > 0 THEN
		PERFORM smsflow.end_wait_for_coupons();
	END IF;
	RETURN released;
END $$;
COMMENT ON FUNCTION smsflow.release_coupons(integer) IS 'Worker: looks at slice codes whose messages were still under way, and frees those of messages that were definitely not sent, which campaigns may wait for; returns how many. A code that may have been read stays taken';
REVOKE ALL ON FUNCTION smsflow.release_coupons(integer) FROM PUBLIC;
