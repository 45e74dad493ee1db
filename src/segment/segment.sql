-- What is known of a contact, and sets of contacts made from it. Re-runnable.

-- One lateral aggregate per contact on the index (contact_id, event_id). A query that uses none of its columns does not
-- run it: an aggregate without GROUP BY gives exactly one row, so the planner removes the join.
CREATE OR REPLACE VIEW smsflow.profile AS
SELECT c.contact_id, c.brand_id, c.external_id, c.first_name, c.last_name, c.language,
	COALESCE(c.region, smsflow.phone_region(c.phone)) AS region, c.time_zone, c.attributes,
	smsflow.consent_level(c.consent, 'promotional')::text AS promotional_consent,
	smsflow.consent_level(c.consent, 'cart')::text AS cart_consent,
	smsflow.permits(c.consent, 'promotional', 'express') AS subscribed,
	c.created_at,
	COALESCE(f.orders_count, 0) AS orders_count, COALESCE(f.orders_value, 0) AS orders_value, f.first_order_at, f.last_order_at,
	CASE WHEN f.cart_event_id > COALESCE(f.closing_event_id, 0)
		THEN (SELECT e.ref FROM smsflow.event AS e WHERE e.event_id = f.cart_event_id) END AS active_cart,
	CASE WHEN f.cart_event_id > COALESCE(f.closing_event_id, 0)
		THEN (SELECT e.amount FROM smsflow.event AS e WHERE e.event_id = f.cart_event_id) END AS active_cart_value,
	f.last_cart_at
FROM smsflow.contact AS c
LEFT JOIN LATERAL (
	SELECT count(*) FILTER (WHERE e.kind = 'order') AS orders_count,
		sum(e.amount) FILTER (WHERE e.kind = 'order') AS orders_value,
		min(e.occurred_at) FILTER (WHERE e.kind = 'order') AS first_order_at,
		max(e.occurred_at) FILTER (WHERE e.kind = 'order') AS last_order_at,
		max(e.event_id) FILTER (WHERE e.kind = 'cart') AS cart_event_id,
		max(e.event_id) FILTER (WHERE e.kind IN ('order', 'cart_emptied')) AS closing_event_id,
		max(e.occurred_at) FILTER (WHERE e.kind = 'cart') AS last_cart_at
	FROM smsflow.event AS e WHERE e.contact_id = c.contact_id
) AS f ON true;
COMMENT ON VIEW smsflow.profile IS 'Facts about each contact that segments select by; no phone numbers';
COMMENT ON COLUMN smsflow.profile.region IS 'Region of the contact, or else of the number (ISO 3166 code)';
COMMENT ON COLUMN smsflow.profile.promotional_consent IS 'none, implied, express, written or confirmed';
COMMENT ON COLUMN smsflow.profile.subscribed IS 'Promotional consent is express or above';
COMMENT ON COLUMN smsflow.profile.orders_value IS 'Sum of the amounts of all orders, whatever their currency';
COMMENT ON COLUMN smsflow.profile.active_cart IS 'The store''s key of the last cart, when it was neither ordered nor emptied since';
COMMENT ON COLUMN smsflow.profile.last_cart_at IS 'Last change of a cart, ordered or not';

CREATE OR REPLACE FUNCTION smsflow.create_segment(name text, predicate text, brand text DEFAULT 'default') RETURNS integer
	AS 'MODULE_PATHNAME', 'smsflow_pg_create_segment' LANGUAGE c VOLATILE
	SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.create_segment(text, text, text) IS
'Stores a condition over smsflow.profile under a name and returns its id. It is evaluated with the privileges of the role that calls this. SF004 for an unknown brand, SF005 if the name is taken, SF007 with the parser''s words when the condition cannot be used';
REVOKE ALL ON FUNCTION smsflow.create_segment(text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.segment_members(name text, brand text DEFAULT 'default') RETURNS SETOF bigint
	AS 'MODULE_PATHNAME', 'smsflow_pg_segment_members' LANGUAGE c STABLE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.segment_members(text, text) IS 'Contacts in a segment now, in order of contact_id; SF004 if there is no such segment';
REVOKE ALL ON FUNCTION smsflow.segment_members(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.segment_count(name text, brand text DEFAULT 'default') RETURNS bigint
	AS 'MODULE_PATHNAME', 'smsflow_pg_segment_count' LANGUAGE c STABLE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.segment_count(text, text) IS 'Number of contacts in a segment now; SF004 if there is no such segment';
REVOKE ALL ON FUNCTION smsflow.segment_count(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.in_segment(contact_id bigint, name text, brand text DEFAULT 'default') RETURNS boolean
	AS 'MODULE_PATHNAME', 'smsflow_pg_in_segment' LANGUAGE c STABLE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.in_segment(bigint, text, text) IS 'Whether a contact is in a segment now; SF004 if there is no such segment';
REVOKE ALL ON FUNCTION smsflow.in_segment(bigint, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.drop_segment(name text, brand text DEFAULT 'default') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	DELETE FROM smsflow.segment AS s
	WHERE s.name = drop_segment.name AND s.brand_id = smsflow.brand_named(drop_segment.brand);
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('segment "%s" does not exist', drop_segment.name),
			DETAIL = format('Brand "%s" has no segment of this name.', drop_segment.brand),
			HINT = 'See the table smsflow.segment.';
	END IF;
	-- Without its segment a cap would hold for nobody, which nobody would notice.
	IF EXISTS (SELECT FROM smsflow.policy_rule AS r WHERE r.segment = drop_segment.name AND COALESCE(upper(r.effective), 'infinity') > now())
			AND NOT EXISTS (SELECT FROM smsflow.segment AS s WHERE s.name = drop_segment.name) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('segment "%s" is used by a cap', drop_segment.name),
			DETAIL = 'A row of smsflow.policy_rule limits its members.', HINT = 'Delete that row, or end its effective range, first.';
	END IF;
EXCEPTION WHEN foreign_key_violation THEN
	RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('segment "%s" is used by a campaign', drop_segment.name),
		DETAIL = 'A campaign keeps the segment it was written for, also after it is done.',
		HINT = 'Create a segment under another name.';
END $$;
COMMENT ON FUNCTION smsflow.drop_segment(text, text) IS 'Forgets a segment; SF004 if there is none of this name, SF005 while a campaign or a cap uses it';
REVOKE ALL ON FUNCTION smsflow.drop_segment(text, text) FROM PUBLIC;
