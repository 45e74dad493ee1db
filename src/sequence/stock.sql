-- Who waits for a product, and what a change of its stock or price means to them.

CREATE OR REPLACE FUNCTION smsflow.notify_me(phone text, product text, kind text DEFAULT 'back_in_stock', price numeric DEFAULT NULL,
		data jsonb DEFAULT '{}', brand text DEFAULT 'default') RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	who CONSTANT bigint := smsflow.contact_named(notify_me.phone, notify_me.brand);
	id bigint;
BEGIN
	IF who IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = 'this number is not a contact',
			DETAIL = 'An alert needs the consent of the person.', HINT = 'Call smsflow.subscribe() with what the person agreed to first.';
	ELSIF coalesce(notify_me.product, '') = '' OR coalesce(notify_me.kind NOT IN ('back_in_stock', 'price_drop', 'low_stock', 'launch'), true)
		OR jsonb_typeof(notify_me.data) IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'a wish names a product and what to hear of',
			DETAIL = 'The kinds are back_in_stock, price_drop, low_stock and launch; data is a JSON object.', HINT = 'Example: smsflow.notify_me(''+14155552671'', ''sku-17'').';
	END IF;
	INSERT INTO smsflow.interest AS i (brand_id, contact_id, product, kind, price, data)
	VALUES (smsflow.brand_named(notify_me.brand), who, notify_me.product, notify_me.kind, notify_me.price, notify_me.data)
	ON CONFLICT ON CONSTRAINT interest_brand_id_contact_id_product_kind_key DO UPDATE SET price = excluded.price, data = excluded.data,
		asked_at = CASE WHEN i.notified_at IS NULL THEN i.asked_at ELSE excluded.asked_at END, notified_at = NULL
	RETURNING i.interest_id INTO id;
	RETURN id;
END $$;
COMMENT ON FUNCTION smsflow.notify_me(text, text, text, numeric, jsonb, text) IS 'Keeps that a contact wants to hear once when a product is back_in_stock, its price drops (price_drop: to price or below, by default by 5 percent), it is nearly gone (low_stock), or it is there at last (launch: a campaign to those who are interested() tells them); product is the key of a table of watch_inventory(). data are template variables. Returns the id of the wish. Errors: SF001 phone, SF004 not a contact, SF007 other arguments';
REVOKE ALL ON FUNCTION smsflow.notify_me(text, text, text, numeric, jsonb, text) FROM PUBLIC;

CREATE OR REPLACE VIEW smsflow.contact_interest AS SELECT i.contact_id, i.product, i.kind, i.asked_at, i.notified_at FROM smsflow.interest AS i;
COMMENT ON VIEW smsflow.contact_interest IS 'Products that contacts asked with notify_me() to hear of';

CREATE OR REPLACE FUNCTION smsflow.interested(contact_id bigint, product text, kind text DEFAULT 'launch') RETURNS boolean
	LANGUAGE sql STABLE PARALLEL SAFE SUPPORT smsflow.inline_call
	RETURN EXISTS (SELECT FROM smsflow.contact_interest AS i WHERE i.contact_id = $1 AND i.product = $2 AND i.kind = $3);
COMMENT ON FUNCTION smsflow.interested(bigint, text, text) IS 'Whether a contact asked with notify_me() to hear of a product; for conditions of segments, such as the interest list of a launch. Becomes part of the query, as bought()';
REVOKE ALL ON FUNCTION smsflow.interested(bigint, text, text) FROM PUBLIC;

-- Tells the longest waiting people, in the transaction that changed the product.
CREATE OR REPLACE FUNCTION smsflow.tell_interested(brand_id integer, product text, kind text, price numeric, at_most integer, data jsonb,
		any_price boolean DEFAULT true) RETURNS integer
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	WITH chosen AS (
		SELECT i.interest_id FROM smsflow.interest i
		WHERE i.brand_id = tell_interested.brand_id AND i.product = tell_interested.product AND i.kind = tell_interested.kind AND i.notified_at IS NULL
			AND CASE WHEN i.price IS NULL THEN tell_interested.any_price ELSE tell_interested.price <= i.price END
		ORDER BY i.asked_at, i.interest_id LIMIT greatest(at_most, 0) FOR UPDATE SKIP LOCKED),
	told AS (
		UPDATE smsflow.interest i SET notified_at = clock_timestamp() FROM chosen c WHERE i.interest_id = c.interest_id RETURNING i.*),
	events AS (
		INSERT INTO smsflow.event (contact_id, brand_id, kind, ref, amount, data)
		SELECT t.contact_id, t.brand_id, tell_interested.kind, t.product, tell_interested.price, tell_interested.data || t.data FROM told t ORDER BY t.asked_at
		RETURNING 1)
	SELECT count(*)::integer FROM events
$$;
COMMENT ON FUNCTION smsflow.tell_interested(integer, text, text, numeric, integer, jsonb, boolean) IS 'Makes an event for the longest waiting people, at most so many, and returns how many; who named a price is told at that price or below, who named none if any_price is true';
REVOKE ALL ON FUNCTION smsflow.tell_interested(integer, text, text, numeric, integer, jsonb, boolean) FROM PUBLIC;

-- Whose message has left, or may have, has heard of it. OFFSET 0: person by person, and not by reading all touches.
CREATE OR REPLACE FUNCTION smsflow.wait_again(brand_id integer, product text) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	UPDATE smsflow.interest i SET notified_at = NULL
	WHERE i.brand_id = wait_again.brand_id AND i.product = wait_again.product AND i.kind = 'back_in_stock' AND i.notified_at IS NOT NULL
		AND NOT EXISTS (SELECT FROM smsflow.touched t JOIN smsflow.outbox o USING (message_id)
			JOIN smsflow.enrollment n ON n.enrollment_id = o.enrollment_id JOIN smsflow.sequence s ON s.sequence_id = n.sequence_id
			WHERE t.contact_id = i.contact_id AND t.span = i.contact_id >> 6 AND t.sent_at >= i.notified_at AND n.ref = i.product
				AND s.on_event = 'back_in_stock' OFFSET 0)
$$;
COMMENT ON FUNCTION smsflow.wait_again(integer, text) IS 'Puts those back in line, at their old places, who were to hear that a product is back and whose message has not left before it was sold out again';
REVOKE ALL ON FUNCTION smsflow.wait_again(integer, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.apply_stock(watch_id integer, product text, was numeric, now_there numeric, old_price numeric, price numeric, data jsonb) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	w CONSTANT smsflow.watch := (SELECT w FROM smsflow.watch w WHERE w.watch_id = apply_stock.watch_id);
	factor CONSTANT numeric := coalesce((w.mapping ->> 'stock_factor')::numeric, 2);
	low CONSTANT numeric := coalesce((w.mapping ->> 'low_stock')::numeric, 5);
	-- Some stores write the greatest number there is for what never runs out; where no stock is watched there is no limit.
	most CONSTANT integer := greatest(0, least(coalesce(ceil(now_there * factor), 2147483647), 2147483647));
	told integer;
BEGIN
	-- NaN is greater than every number: nothing is back by it, and nothing cheaper after it.
	was := nullif(was, 'NaN');
	now_there := nullif(now_there, 'NaN');
	old_price := CASE WHEN abs(old_price) < 'Infinity' THEN old_price END;
	price := CASE WHEN abs(price) < 'Infinity' THEN price END;
	-- Most products have nobody who waits for them; then a sale costs one look.
	IF NOT EXISTS (SELECT FROM smsflow.interest i WHERE i.brand_id = w.brand_id AND i.product = apply_stock.product) THEN
		RETURN;
	END IF;
	-- Whoever changes the stock of this product next waits here.
	INSERT INTO smsflow.stock AS s (brand_id, product, units) VALUES (w.brand_id, apply_stock.product, coalesce(now_there, 0))
	ON CONFLICT ON CONSTRAINT stock_pkey DO UPDATE SET units = excluded.units, changed_at = clock_timestamp(),
		alerted = CASE WHEN s.units <= 0 THEN 0 ELSE s.alerted END
	RETURNING s.alerted INTO told;
	IF now_there > coalesce(was, 0) THEN
		UPDATE smsflow.stock s SET alerted = s.alerted + smsflow.tell_interested(w.brand_id, apply_stock.product, 'back_in_stock', apply_stock.price,
			most - told, apply_stock.data)
		WHERE s.brand_id = w.brand_id AND s.product = apply_stock.product;
	ELSIF now_there <= 0 AND was > 0 THEN
		INSERT INTO smsflow.event (contact_id, brand_id, kind, ref)
		SELECT DISTINCT i.contact_id, i.brand_id, 'out_of_stock', i.product FROM smsflow.interest i
		WHERE i.brand_id = w.brand_id AND i.product = apply_stock.product AND i.notified_at IS NOT NULL;
		PERFORM smsflow.note_revocation('contact', i.contact_id) FROM smsflow.interest i
		WHERE i.brand_id = w.brand_id AND i.product = apply_stock.product AND i.notified_at IS NOT NULL;
		PERFORM smsflow.wait_again(w.brand_id, apply_stock.product);
	ELSIF now_there <= low AND was > low THEN
		PERFORM smsflow.tell_interested(w.brand_id, apply_stock.product, 'low_stock', apply_stock.price, most, apply_stock.data);
	END IF;
	IF price < old_price AND coalesce(now_there > 0, NOT w.mapping ? 'stock') THEN
		PERFORM smsflow.tell_interested(w.brand_id, apply_stock.product, 'price_drop', apply_stock.price, most,
			apply_stock.data || jsonb_build_object('old_price', old_price), price <= old_price * 0.95);
	END IF;
	PERFORM smsflow.note_event();
END $$;
COMMENT ON FUNCTION smsflow.apply_stock(integer, text, numeric, numeric, numeric, numeric, jsonb) IS 'What a change of stock or price means to those who wait: alerts for at most units times stock_factor people since the product came back, decided under the lock of its row in smsflow.stock; out_of_stock ends them in the same transaction, and whose message has not left waits again';
REVOKE ALL ON FUNCTION smsflow.apply_stock(integer, text, numeric, numeric, numeric, numeric, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.watch_inventory(relation regclass, mapping jsonb DEFAULT '{}', brand text DEFAULT 'default')
	RETURNS TABLE (meaning text, column_name text, note text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	good boolean;
BEGIN
	BEGIN
		good := coalesce((mapping ->> 'stock_factor')::numeric > 0, true) AND coalesce((mapping ->> 'low_stock')::numeric > 0, true);
	EXCEPTION WHEN data_exception THEN
		good := false;
	END;
	IF NOT good THEN
		PERFORM smsflow.refuse_mapping('stock_factor and low_stock must be positive numbers', 'They say how many people are told for each unit, and below how many units a product is nearly gone.',
			'Example: {"stock_factor": 1.5, "low_stock": 3}.');
	END IF;
	RETURN QUERY SELECT * FROM smsflow.watch_relation('inventory', relation, mapping, brand);
END $$;
COMMENT ON FUNCTION smsflow.watch_inventory(regclass, jsonb, text) IS
'Watches the store''s table of products or stock levels for those who asked with notify_me(). mapping: id (default: primary key), stock, price, data (object: name in templates -> column), stock_factor (people told for each unit, default 2), low_stock (units, default 5). The caller needs the TRIGGER privilege on the table. Errors: SF004 brand, SF006 mapping, 42501';
REVOKE ALL ON FUNCTION smsflow.watch_inventory(regclass, jsonb, text) FROM PUBLIC;
