-- Who may call what. An access is a list of names; a name stands for every
-- function, or the view, of that name, so that signatures are not repeated.

CREATE OR REPLACE VIEW smsflow.access AS
	SELECT access, name
	FROM (VALUES
		('app', 'subscribe confirm_opt_in opt_out opt_out_and_wait wait_for_opt_out consent_at can_send parse_phone'),
		('app', 'send cancel explain message_parts smart_encode render'),
		('app', 'record_event notify_me reply conversation'),
		('app', 'otp_start otp_check'),
		('marketer', 'create_segment drop_segment segment_members segment_count in_segment explain_segment'),
		('marketer', 'install_segment install_segments snapshot_segment fill_snapshot segment_recipe_text missing_segments export_audience'),
		('marketer', 'bought viewed engaged rfm had_event in_snapshot contact_product contact_event snapshot_member'),
		('marketer', 'set_template lint_template message_parts smart_encode render'),
		('marketer', 'create_campaign estimate_campaign preview_campaign launch_campaign pause_campaign resume_campaign'),
		('marketer', 'cancel_campaign schedule_campaign pace_campaign budget_campaign explain'),
		('marketer', 'add_variant translate_campaign add_wave add_reminder choose_winner campaign_results test_campaign approve_campaign'),
		('marketer', 'create_coupon_pool add_coupons campaign_option interested contact_interest'),
		('marketer', 'create_sequence drop_sequence add_step set_step remove_step enable_sequence disable_sequence pause_sequence resume_sequence'),
		('marketer', 'install_recipe engaged_since last_answer awaits_confirmation'),
		('marketer', 'profile message progress_campaign smsflow_bi'),
		('marketer', 'attribution probability_best two_proportions campaign_report dbt_sources'),
		('analyst', 'smsflow_bi attribution probability_best two_proportions campaign_report dbt_sources'),
		('receiver', 'open_metrics receive_callback receive_callbacks'),
		('receiver', 'resolve_links recent_links record_clicks follow_link'),
		('operator', 'add_gateway set_gateway set_secret secret_problem add_sender set_sender inbound_url callback_url'),
		('operator', 'test_gateway send_test test_result unknown_code'),
		('operator', 'add_registration set_registration warm_up_sender'),
		('operator', 'add_disclosure require_double_opt_in verify_consent_ledger seal_consent_ledger is_suppressed suppress_number unsuppress_number export_contact erase_contact'),
		('operator', 'import_contacts begin_import import_rows finish_import undo_import'),
		('operator', 'watch_carts watch_orders watch_table watch_inventory unwatch record_dates'),
		('operator', 'set_otp_policy otp_defaults unblock_otp_prefix stat_otp'),
		('operator', 'health check assert_invariants arm disarm is_armed armed_problem explain in_doubt resolve_in_doubt apply_retention prepared'),
		('operator', 'review settle_review conversation set_business_hours reply'),
		('operator', 'set_link_domain link open_metrics'),
		('operator', 'message cancel pause_campaign resume_campaign cancel_campaign pause_sequence resume_sequence'),
		('operator', 'create_brand set_campaign_policy set_text_policy set_price set_seeds'),
		('operator', 'stat_worker stat_gateway stat_sender stat_queue stat_storage progress_campaign')
	) AS lists (access, names)
	CROSS JOIN LATERAL string_to_table(names, ' ') AS name;
COMMENT ON VIEW smsflow.access IS 'What each access of grant_access() gives: functions, views, or smsflow_bi for all views of that schema';

-- A view reads tables with the rights of its owner, but calls functions with those of the reader.
CREATE OR REPLACE FUNCTION smsflow.access_functions(access text) RETURNS SETOF regprocedure
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE used AS (
		SELECT c.oid AS view
		FROM pg_class c JOIN smsflow.access a ON a.access = $1
			AND a.name = CASE c.relnamespace WHEN 'smsflow'::regnamespace THEN c.relname::text ELSE 'smsflow_bi' END
		WHERE c.relkind = 'v' AND c.relnamespace IN ('smsflow'::regnamespace, 'smsflow_bi'::regnamespace)
		UNION
		SELECT v.oid
		FROM used u
		JOIN pg_rewrite r ON r.ev_class = u.view
		JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
		JOIN pg_class v ON v.oid = d.refobjid AND v.relkind = 'v'
	)
	SELECT DISTINCT p.oid::regprocedure
	FROM used u
	JOIN pg_rewrite r ON r.ev_class = u.view
	JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_proc'::regclass
	JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = 'smsflow'::regnamespace
$$;
COMMENT ON FUNCTION smsflow.access_functions(text) IS 'Functions that the views of an access call, also through other views';
REVOKE ALL ON FUNCTION smsflow.access_functions(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.change_access(role text, access text, command text, preposition text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	object text;
BEGIN
	IF NOT EXISTS (SELECT FROM smsflow.access a WHERE a.access = $2) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('unknown access "%s"', access),
			HINT = 'An access is one of ' || (SELECT string_agg(DISTINCT a.access, ', ') FROM smsflow.access a) || '.';
	END IF;
	IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('role "%s" does not exist', role),
			HINT = 'Make it with CREATE ROLE first.';
	END IF;
	FOR object IN
		SELECT 'EXECUTE ON ROUTINE ' || p.oid::regprocedure
		FROM pg_proc p JOIN smsflow.access a ON a.name = p.proname AND a.access = $2
		WHERE p.pronamespace = 'smsflow'::regnamespace
		UNION ALL
		SELECT 'SELECT ON ' || c.oid::regclass
		FROM pg_class c JOIN smsflow.access a ON a.access = $2
			AND a.name = CASE c.relnamespace WHEN 'smsflow'::regnamespace THEN c.relname::text ELSE 'smsflow_bi' END
		WHERE c.relkind = 'v' AND c.relnamespace IN ('smsflow'::regnamespace, 'smsflow_bi'::regnamespace)
		UNION
		SELECT 'EXECUTE ON ROUTINE ' || f FROM smsflow.access_functions($2) f
	LOOP
		EXECUTE format('%s %s %s %I', command, object, preposition, role);
	END LOOP;
END
$$;
COMMENT ON FUNCTION smsflow.change_access(text, text, text, text) IS 'Grants or revokes what the view access lists. Errors: SF004 unknown role, SF007 unknown access';
REVOKE ALL ON FUNCTION smsflow.change_access(text, text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.grant_access(role text, access text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM smsflow.change_access(role, access, 'GRANT', 'TO');
	EXECUTE format('GRANT USAGE ON SCHEMA smsflow, smsflow_bi TO %I', role);
END
$$;
COMMENT ON FUNCTION smsflow.grant_access(text, text) IS 'Lets a role do the work of app, marketer, analyst, receiver or operator. Call it again after an upgrade, for what is new. Errors: SF004 unknown role, SF007 unknown access';
REVOKE ALL ON FUNCTION smsflow.grant_access(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.revoke_access(role text, access text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM smsflow.change_access(role, access, 'REVOKE', 'FROM');
END
$$;
COMMENT ON FUNCTION smsflow.revoke_access(text, text) IS 'Takes back the functions and views that grant_access() gave; a role that has another access, too, is granted that again afterwards. Errors: SF004 unknown role, SF007 unknown access';
REVOKE ALL ON FUNCTION smsflow.revoke_access(text, text) FROM PUBLIC;
