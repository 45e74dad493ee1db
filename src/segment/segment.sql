-- Sets of contacts made from what is known of them. Re-runnable.

-- ---- refusals that several rooms share ----

CREATE OR REPLACE FUNCTION smsflow.refuse(code text, message text, detail text, hint text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'smsflow_refuse';
COMMENT ON FUNCTION smsflow.refuse(text, text, text, text) IS 'Raises an error with this SQLSTATE, as RAISE does, but without the CONTEXT that names our functions and their lines';
REVOKE ALL ON FUNCTION smsflow.refuse(text, text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.refuse_unknown(kind text, name text, brand text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM smsflow.refuse('SF004', format('%s "%s" does not exist', kind, name),
		format('Brand "%s" has no %s of this name.', brand, kind), format('Create it with smsflow.create_%s().', replace(kind, ' ', '_')));
END $$;
COMMENT ON FUNCTION smsflow.refuse_unknown(text, text, text) IS 'Raises SF004: a brand has no segment, campaign or the like of this name';
REVOKE ALL ON FUNCTION smsflow.refuse_unknown(text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.refuse_taken(kind text, name text, whose text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM smsflow.refuse('SF005', format('%s "%s" already exists', kind, name),
		format('The name of a %s is unique within its %s.', kind, whose), 'Choose another name.');
END $$;
COMMENT ON FUNCTION smsflow.refuse_taken(text, text, text) IS 'Raises SF005: there is a campaign or the like of this name in its brand, or whatever it belongs to';
REVOKE ALL ON FUNCTION smsflow.refuse_taken(text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.create_segment(name text, predicate text, brand text DEFAULT 'default') RETURNS integer
	AS 'MODULE_PATHNAME', 'smsflow_pg_create_segment' LANGUAGE c VOLATILE
	SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.create_segment(text, text, text) IS
'Stores a condition over smsflow.profile under a name and returns its id. segment(''name'') in it stands for another segment, so that they combine with AND, OR and NOT. It is evaluated with the privileges of the role that calls this, and tried at once: on 100 contacts, which must not take longer than smsflow.predicate_timeout, then on as many of all as it comes to in that time; what the planner expects, explain_segment() tells. SF004 for an unknown brand or segment, SF005 if the name is taken, SF007 with the parser''s words when the condition cannot be used';
REVOKE ALL ON FUNCTION smsflow.create_segment(text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.segment_members(name text, brand text DEFAULT 'default') RETURNS SETOF bigint
	AS 'MODULE_PATHNAME', 'smsflow_pg_segment_members' LANGUAGE c STABLE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.segment_members(text, text) IS 'Contacts in a segment now, in order of contact_id; in a SELECT list it reads no more than is asked for. SF004 if there is no such segment';
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
		PERFORM smsflow.refuse('SF004', format('segment "%s" does not exist', drop_segment.name),
			format('Brand "%s" has no segment of this name.', drop_segment.brand),
			'The view smsflow_bi.dim_segment lists them.');
	END IF;
	-- What is made of it would fail from now on.
	IF EXISTS (SELECT FROM smsflow.segment AS s WHERE s.brand_id = smsflow.brand_named(drop_segment.brand) AND drop_segment.name = ANY (s.uses)) THEN
		PERFORM smsflow.refuse('SF005', format('segment "%s" is used by another segment', drop_segment.name),
			format('Its name is in the condition of %s.', (SELECT string_agg(format('"%s"', s.name), ', ' ORDER BY s.name) FROM smsflow.segment AS s
				WHERE s.brand_id = smsflow.brand_named(drop_segment.brand) AND drop_segment.name = ANY (s.uses))), 'Drop that one first.');
	END IF;
	-- Without its segment a cap would hold for nobody, which nobody would notice.
	IF EXISTS (SELECT FROM smsflow.policy_rule AS r WHERE r.segment = drop_segment.name AND COALESCE(upper(r.effective), 'infinity') > now())
			AND NOT EXISTS (SELECT FROM smsflow.segment AS s WHERE s.name = drop_segment.name) THEN
		PERFORM smsflow.refuse('SF005', format('segment "%s" is used by a cap', drop_segment.name),
			'A row of smsflow.policy_rule limits its members.', 'Delete that row, or end its effective range, first.');
	END IF;
EXCEPTION WHEN foreign_key_violation THEN
	PERFORM smsflow.refuse('SF005', format('segment "%s" is used by a campaign', drop_segment.name),
		'A campaign keeps the segment it was written for, also after it is done.',
		'Create a segment under another name.');
END $$;
COMMENT ON FUNCTION smsflow.drop_segment(text, text) IS 'Forgets a segment; SF004 if there is none of this name, SF005 while a campaign, a cap or another segment uses it';
REVOKE ALL ON FUNCTION smsflow.drop_segment(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.explain_segment(name text, brand text DEFAULT 'default') RETURNS SETOF text
	AS 'MODULE_PATHNAME', 'smsflow_pg_explain_segment' LANGUAGE c VOLATILE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.explain_segment(text, text) IS 'How the planner would count the members of a segment, and at what cost: the lines of EXPLAIN. SF004 if there is no such segment';
REVOKE ALL ON FUNCTION smsflow.explain_segment(text, text) FROM PUBLIC;
