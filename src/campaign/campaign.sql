-- Campaigns: one message to the members of a segment. Re-runnable.

-- ---- templates ----

CREATE OR REPLACE FUNCTION smsflow.set_template(name text, body text, language text DEFAULT '', brand text DEFAULT 'default') RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	id integer;
BEGIN
	IF coalesce(set_template.name, '') = '' OR coalesce(set_template.body, '') = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'template name and body must not be empty',
			DETAIL = 'One of the two is null or empty.', HINT = 'Pass both.';
	END IF;
	PERFORM smsflow.check_template(set_template.body);
	INSERT INTO smsflow.template AS t (brand_id, name, language, body)
	VALUES (smsflow.brand_named(set_template.brand), set_template.name, coalesce(set_template.language, ''), set_template.body)
	ON CONFLICT ON CONSTRAINT template_brand_id_name_language_key DO UPDATE SET body = EXCLUDED.body
	RETURNING t.template_id INTO id;
	RETURN id;
END $$;
COMMENT ON FUNCTION smsflow.set_template(text, text, text, text) IS
'Stores the text of a template in a language, empty for all others, and returns its id. SF003 for a malformed text, SF004 for an unknown brand';
REVOKE ALL ON FUNCTION smsflow.set_template(text, text, text, text) FROM PUBLIC;

-- ---- building blocks ----

-- Without a SET clause, so that the planner can make it part of the query that uses it.
CREATE OR REPLACE FUNCTION smsflow.draft_messages(template text, purpose smsflow.purpose, brand text, contact_ids bigint[])
	RETURNS TABLE (contact_id bigint, phone smsflow.phone, body text, parts smallint, unicode boolean, refusal text,
		consent_event_id bigint, links text[])
	LANGUAGE sql STABLE ROWS 1000
BEGIN ATOMIC
	SELECT c.contact_id, c.phone, COALESCE(m.rendered, template), COALESCE(m.parts, 0)::smallint, COALESCE(m.unicode, false),
		COALESCE(smsflow.final_refusal(smsflow.gate_contact(c, purpose, now())), CASE WHEN m.missing IS NOT NULL THEN 'missing_variable' END,
			smsflow.content_refusal(m.rendered, purpose, brand)),
		smsflow.proof(c.proof, purpose), m.links
	FROM smsflow.contact AS c
	CROSS JOIN LATERAL smsflow.render_message(template, smsflow.contact_vars(c, brand, '{}')) AS m
	WHERE c.contact_id = ANY (contact_ids);
END;
COMMENT ON FUNCTION smsflow.draft_messages(text, smsflow.purpose, text, bigint[]) IS 'What these contacts would get: the text and its parts, or the reason why nothing';
REVOKE ALL ON FUNCTION smsflow.draft_messages(text, smsflow.purpose, text, bigint[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.lock_campaign(name text, brand text, allowed text[]) RETURNS smsflow.campaign
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k smsflow.campaign;
BEGIN
	SELECT c.* INTO k FROM smsflow.campaign AS c
	WHERE c.name = lock_campaign.name AND c.brand_id = smsflow.brand_named(lock_campaign.brand) FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('campaign "%s" does not exist', lock_campaign.name),
			DETAIL = format('Brand "%s" has no campaign of this name.', lock_campaign.brand),
			HINT = 'Create it with smsflow.create_campaign().';
	END IF;
	IF k.status <> ALL (allowed) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('campaign "%s" is %s', k.name, k.status),
			DETAIL = format('This needs a campaign that is %s.', array_to_string(allowed, ' or ')),
			HINT = CASE WHEN k.status IN ('done', 'cancelled') THEN 'Create a campaign under another name; a campaign writes to nobody twice.'
				WHEN k.status = 'failed' THEN 'Mend what smsflow.progress_campaign shows as its error, and call smsflow.resume_campaign().'
				ELSE 'See its state in smsflow.progress_campaign.' END;
	END IF;
	RETURN k;
END $$;
COMMENT ON FUNCTION smsflow.lock_campaign(text, text, text[]) IS 'Locks a campaign and returns it; SF004 if there is none of this name, SF005 if its status is not one of those allowed';
REVOKE ALL ON FUNCTION smsflow.lock_campaign(text, text, text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_campaign_options(options jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	known CONSTANT text[] := '{pool,valid_for,budget,subject,parts_per_minute,weight,cap_checked,cap_counts,pause_on_alert}';
	unknown text;
BEGIN
	IF jsonb_typeof(options) <> 'object' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'options must be a JSON object',
			DETAIL = format('Options are %s.', array_to_string(known, ', ')), HINT = 'Pass an object such as ''{"valid_for": "4 hours"}''.';
	END IF;
	SELECT key INTO unknown FROM jsonb_object_keys(options) AS key WHERE key <> ALL (known) ORDER BY key LIMIT 1;
	IF unknown IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('unknown option "%s"', unknown),
			DETAIL = format('Options are %s.', array_to_string(known, ', ')), HINT = 'Leave it out, or correct its name.';
	END IF;
	IF options ? 'budget' AND coalesce(options ->> 'budget' !~ '^[1-9][0-9]{0,8}$', true) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('invalid option budget "%s"', options ->> 'budget'),
			DETAIL = 'It is the number of message parts the campaign may use.', HINT = 'Pass a whole number such as 50000.';
	END IF;
	PERFORM smsflow.check_subject(options), smsflow.check_cap_flags(options);
	PERFORM smsflow.check_number('parts_per_minute', options ->> 'parts_per_minute', 0.1, 60000000);
	IF options ? 'weight' AND coalesce(options ->> 'weight' !~ '^([1-9][0-9]?|100)$', true) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('invalid option weight "%s"', options ->> 'weight'),
			DETAIL = 'It is the share of the campaign among those that send at the same time, 1 to 100; others have 1.', HINT = 'Pass a whole number such as 3.';
	END IF;
	IF (options ->> 'valid_for')::interval <= '0' THEN
		RAISE datetime_field_overflow;
	END IF;
EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow OR interval_field_overflow THEN
	RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('invalid option valid_for "%s"', options ->> 'valid_for'),
		DETAIL = 'It is the time after the launch until which messages may leave.', HINT = 'Pass an interval such as "4 hours".';
END $$;
COMMENT ON FUNCTION smsflow.check_campaign_options(jsonb) IS 'Raises SF007 for an option that does not exist or cannot be used';
REVOKE ALL ON FUNCTION smsflow.check_campaign_options(jsonb) FROM PUBLIC;

-- ---- making a campaign ----

CREATE OR REPLACE FUNCTION smsflow.create_campaign(name text, segment text, body text, purpose text DEFAULT 'promotional',
		options jsonb DEFAULT '{}', brand text DEFAULT 'default') RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	its_brand CONSTANT integer := smsflow.brand_named(create_campaign.brand);
	its_segment integer;
	id integer;
BEGIN
	IF coalesce(create_campaign.name, '') = '' OR coalesce(btrim(create_campaign.body), '') = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = 'campaign name and body must not be empty',
			DETAIL = 'One of the two is null or empty.', HINT = 'Pass both.';
	END IF;
	IF coalesce(create_campaign.purpose, '') NOT IN ('promotional', 'cart', 'conversational', 'transactional') THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('a campaign cannot have the purpose "%s"', create_campaign.purpose),
			DETAIL = 'Campaigns are promotional, cart, conversational or transactional.', HINT = 'Use smsflow.send() for single messages.';
	END IF;
	PERFORM smsflow.check_template(create_campaign.body);
	PERFORM smsflow.check_content(create_campaign.body, create_campaign.purpose::smsflow.purpose, create_campaign.brand);
	PERFORM smsflow.check_campaign_options(coalesce(create_campaign.options, '{}'));
	SELECT s.segment_id INTO its_segment FROM smsflow.segment AS s
	WHERE s.name = create_campaign.segment AND s.brand_id = its_brand;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('segment "%s" does not exist', create_campaign.segment),
			DETAIL = format('Brand "%s" has no segment of this name.', create_campaign.brand),
			HINT = 'Create it with smsflow.create_segment().';
	END IF;
	INSERT INTO smsflow.campaign AS c (brand_id, name, segment_id, body, purpose, options, owner)
	VALUES (its_brand, create_campaign.name, its_segment, create_campaign.body,
		create_campaign.purpose::smsflow.purpose, coalesce(create_campaign.options, '{}'),
		quote_ident(coalesce(nullif(current_setting('role'), 'none'), session_user))::regrole)
	ON CONFLICT DO NOTHING RETURNING c.campaign_id INTO id;
	IF id IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('campaign "%s" already exists', create_campaign.name),
			DETAIL = 'The name of a campaign is unique within its brand.', HINT = 'Choose another name.';
	END IF;
	RETURN id;
END $$;
COMMENT ON FUNCTION smsflow.create_campaign(text, text, text, text, jsonb, text) IS
'Writes a campaign as a draft and returns its id. Options: pool (senders to use), valid_for (time after the launch until which messages may leave), budget (message parts it may use; members past that get nothing), subject (what caps on one subject count by; the campaign''s name), cap_checked and cap_counts (booleans: whether caps hold for its messages, and whether these use them up; what policy_rule says of the purpose), parts_per_minute (pace at which its message parts leave), weight (1 to 100, its share among campaigns that send at the same time), pause_on_alert (true: an alert of a rule that pauses holds it). SF003 for a malformed body, SF004 for an unknown segment or brand, SF005 if the name is taken, SF007 for a purpose or option that cannot be used and for a text against the rules, such as a link of a public shortener';
REVOKE ALL ON FUNCTION smsflow.create_campaign(text, text, text, text, jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.campaign_draft(name text, brand text, rows integer)
	RETURNS TABLE (contact_id bigint, body text, parts smallint, refusal text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	members bigint[];
	k record;
BEGIN
	SELECT c.body, c.purpose, s.name AS segment INTO k FROM smsflow.campaign AS c JOIN smsflow.segment AS s USING (segment_id)
	WHERE c.name = campaign_draft.name AND c.brand_id = smsflow.brand_named(campaign_draft.brand);
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('campaign "%s" does not exist', campaign_draft.name),
			DETAIL = format('Brand "%s" has no campaign of this name.', campaign_draft.brand),
			HINT = 'Create it with smsflow.create_campaign().';
	END IF;
	members := ARRAY(SELECT smsflow.segment_members(k.segment, campaign_draft.brand) LIMIT rows);
	RETURN QUERY SELECT m.contact_id, m.body, m.parts, m.refusal
		FROM smsflow.draft_messages(k.body, k.purpose, campaign_draft.brand, members) AS m ORDER BY m.contact_id;
END $$;
COMMENT ON FUNCTION smsflow.campaign_draft(text, text, integer) IS 'What the first members of a campaign''s segment would get now; null rows is all';
REVOKE ALL ON FUNCTION smsflow.campaign_draft(text, text, integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.preview_campaign(name text, rows integer DEFAULT 5, brand text DEFAULT 'default')
	RETURNS TABLE (contact_id bigint, body text, parts integer, refusal text)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT d.contact_id, d.body, d.parts::integer, d.refusal
	FROM smsflow.campaign_draft(preview_campaign.name, preview_campaign.brand, preview_campaign.rows) AS d
$$;
COMMENT ON FUNCTION smsflow.preview_campaign(text, integer, text) IS
'The messages of the first members as they would be sent now; refusal is the reason why nothing would. SF004 for an unknown campaign or brand';
REVOKE ALL ON FUNCTION smsflow.preview_campaign(text, integer, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.estimate_campaign(name text, brand text DEFAULT 'default') RETURNS TABLE (measure text, value numeric)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	WITH draft AS MATERIALIZED (
		SELECT d.parts, d.refusal FROM smsflow.campaign_draft(estimate_campaign.name, estimate_campaign.brand, NULL) AS d
	)
	SELECT 'recipients', count(*) FROM draft
	UNION ALL
	SELECT 'parts', coalesce(sum(d.parts), 0) FROM draft AS d WHERE d.refusal IS NULL
	UNION ALL
	(SELECT 'suppressed:' || d.refusal, count(*) FROM draft AS d WHERE d.refusal IS NOT NULL GROUP BY d.refusal ORDER BY d.refusal)
$$;
COMMENT ON FUNCTION smsflow.estimate_campaign(text, text) IS
'What a launch now would do, by rendering every message: recipients (members of the segment), of whom suppressed:<reason> get nothing, and the message parts of the others. SF004 for an unknown campaign or brand';
REVOKE ALL ON FUNCTION smsflow.estimate_campaign(text, text) FROM PUBLIC;

-- ---- its states ----

CREATE OR REPLACE FUNCTION smsflow.launch_campaign(name text, at timestamptz DEFAULT now(), time_zone text DEFAULT NULL,
		brand text DEFAULT 'default') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k CONSTANT smsflow.campaign := smsflow.lock_campaign(launch_campaign.name, launch_campaign.brand, '{draft}');
	launch timestamptz := coalesce(launch_campaign.at, now());
BEGIN
	IF launch_campaign.time_zone IS NOT NULL AND launch <> now() THEN
		launch := (launch AT TIME ZONE current_setting('TimeZone')) AT TIME ZONE launch_campaign.time_zone;
	END IF;
	IF launch < now() - interval '1 minute' OR NOT isfinite(launch) THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('campaign "%s" cannot be launched in the past', k.name),
			DETAIL = format('The launch would be at %s.', launch), HINT = 'Leave the time out to launch it now.';
	END IF;
	UPDATE smsflow.campaign AS c SET status = 'scheduled', launch_at = launch WHERE c.campaign_id = k.campaign_id;
	PERFORM smsflow.note_config();
EXCEPTION WHEN invalid_parameter_value THEN
	RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('unknown time zone "%s"', launch_campaign.time_zone),
		DETAIL = 'The launch time is read as wall-clock time there.', HINT = 'Use an IANA name such as "America/New_York".';
END $$;
COMMENT ON FUNCTION smsflow.launch_campaign(text, timestamptz, text, text) IS
'Lets a draft go out at an instant, by default now. With time_zone, the wall-clock time that at shows in the session''s TimeZone is meant there. SF004 for an unknown campaign, SF005 if it is not a draft or the time is more than a minute in the past, SF007 for an unknown time zone';
REVOKE ALL ON FUNCTION smsflow.launch_campaign(text, timestamptz, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.set_campaign_status(k smsflow.campaign, status text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE smsflow.campaign AS c SET status = set_campaign_status.status,
		error = CASE WHEN set_campaign_status.status <> 'running' THEN c.error END,
		finished_at = CASE set_campaign_status.status WHEN 'cancelled' THEN clock_timestamp() WHEN 'running' THEN NULL ELSE c.finished_at END
	WHERE c.campaign_id = (k).campaign_id;
	PERFORM smsflow.note_revocation('campaign', (k).campaign_id), smsflow.note_config();
END $$;
COMMENT ON FUNCTION smsflow.set_campaign_status(smsflow.campaign, text) IS 'Changes the status and tells the worker at commit, also about what it has claimed';
REVOKE ALL ON FUNCTION smsflow.set_campaign_status(smsflow.campaign, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.pause_campaign(name text, brand text DEFAULT 'default') RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.set_campaign_status(smsflow.lock_campaign(pause_campaign.name, pause_campaign.brand, '{scheduled,running,done}'), 'paused')
$$;
COMMENT ON FUNCTION smsflow.pause_campaign(text, text) IS
'Stops a campaign until resume_campaign(): no request starts after this commits. SF004 for an unknown campaign, SF005 if it is a draft, paused or ended';
REVOKE ALL ON FUNCTION smsflow.pause_campaign(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.resume_campaign(name text, brand text DEFAULT 'default') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k CONSTANT smsflow.campaign := smsflow.lock_campaign(resume_campaign.name, resume_campaign.brand, '{paused,failed}');
BEGIN
	PERFORM smsflow.set_campaign_status(k,
		CASE WHEN k.expanded THEN 'done' WHEN k.started_at IS NULL THEN 'scheduled' ELSE 'running' END);
END $$;
COMMENT ON FUNCTION smsflow.resume_campaign(text, text) IS
'Goes on where pause_campaign() or an error stopped; nobody gets a second message, and messages past their validity expire. SF004 for an unknown campaign, SF005 if it is neither paused nor failed';
REVOKE ALL ON FUNCTION smsflow.resume_campaign(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.pace_campaign(name text, parts_per_minute double precision, brand text DEFAULT 'default') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k CONSTANT smsflow.campaign := smsflow.lock_campaign(pace_campaign.name, pace_campaign.brand, '{draft,scheduled,running,paused,done,failed}');
	changed CONSTANT jsonb := jsonb_strip_nulls(k.options || jsonb_build_object('parts_per_minute', pace_campaign.parts_per_minute));
BEGIN
	PERFORM smsflow.check_campaign_options(changed);
	UPDATE smsflow.campaign AS c SET options = changed WHERE c.campaign_id = k.campaign_id;
END $$;
COMMENT ON FUNCTION smsflow.pace_campaign(text, double precision, text) IS
'Message parts a minute at which a campaign leaves from now on, also one that is on its way; NULL is as fast as its senders may. SF004 for an unknown campaign, SF005 if it is cancelled, SF007 for a number out of range';
REVOKE ALL ON FUNCTION smsflow.pace_campaign(text, double precision, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.cancel_campaign(name text, brand text DEFAULT 'default') RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.set_campaign_status(smsflow.lock_campaign(cancel_campaign.name, cancel_campaign.brand,
		'{draft,scheduled,running,paused,done,failed}'), 'cancelled')
$$;
COMMENT ON FUNCTION smsflow.cancel_campaign(text, text) IS
'Ends a campaign for good: no request starts after this commits, what was sent stays sent. SF004 for an unknown campaign, SF005 if it is cancelled already';
REVOKE ALL ON FUNCTION smsflow.cancel_campaign(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.advance_campaigns(slice integer) RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'smsflow_pg_advance_campaigns' LANGUAGE c VOLATILE STRICT
	SET search_path = pg_catalog, pg_temp SET jit = off;
COMMENT ON FUNCTION smsflow.advance_campaigns(integer) IS
'Called by the worker: looks at the next slice contacts of one due campaign and appends the messages of its members. Returns when it should be called again, null if nothing is planned';
REVOKE ALL ON FUNCTION smsflow.advance_campaigns(integer) FROM PUBLIC;

CREATE OR REPLACE VIEW smsflow.progress_campaign AS
SELECT k.name AS campaign, k.status, k.planned, k.queued, k.refused, m.sent, round(100 * m.sent / nullif(k.planned - k.refused, 0), 1) AS percent,
	k.started_at, k.finished_at, k.error
FROM smsflow.campaign AS k
CROSS JOIN LATERAL (
	SELECT coalesce(sum(d.value), 0)::bigint AS sent FROM (
		SELECT h.value FROM smsflow.metric_hour AS h WHERE h.campaign_id = k.campaign_id AND h.measure = 'sent'
		UNION ALL
		SELECT d.value FROM smsflow.metric_delta AS d WHERE d.campaign_id = k.campaign_id AND d.measure = 'sent') AS d
) AS m;
COMMENT ON VIEW smsflow.progress_campaign IS 'How far each campaign is';
COMMENT ON COLUMN smsflow.progress_campaign.planned IS 'Members of the segment, known once each has its message';
COMMENT ON COLUMN smsflow.progress_campaign.refused IS 'Members that the gate refused at expansion';
COMMENT ON COLUMN smsflow.progress_campaign.percent IS 'Sent, of those that were not refused; null until all have their message';
COMMENT ON COLUMN smsflow.progress_campaign.finished_at IS 'When the last member got its message, or the campaign failed or was cancelled; sending may go on';

-- ---- launching by pg_cron, if this database has it ----

CREATE OR REPLACE FUNCTION smsflow.campaign_job(k smsflow.campaign) RETURNS text
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	-- The name of a job is at most 63 bytes long, and campaigns of two brands may have the same name.
	SELECT 'smsflow campaign ' || CASE WHEN (k).brand_id = 1 AND octet_length((k).name) <= 46 THEN (k).name ELSE '#' || (k).campaign_id END
$$;
COMMENT ON FUNCTION smsflow.campaign_job(smsflow.campaign) IS 'Name of the pg_cron job that launches a campaign';
REVOKE ALL ON FUNCTION smsflow.campaign_job(smsflow.campaign) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.schedule_campaign(name text, cron text, brand text DEFAULT 'default') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k CONSTANT smsflow.campaign := smsflow.lock_campaign(schedule_campaign.name, schedule_campaign.brand, '{draft}');
BEGIN
	IF to_regclass('cron.job') IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF008', MESSAGE = 'pg_cron is not installed in this database',
			DETAIL = 'Schedules in cron notation are run by the extension pg_cron.',
			HINT = 'Run CREATE EXTENSION pg_cron here (the database named by cron.database_name), or use smsflow.launch_campaign() with a time.';
	END IF;
	EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING smsflow.campaign_job(k), schedule_campaign.cron,
		format('SELECT smsflow.launch_scheduled(%L, %L)', k.name, schedule_campaign.brand);
EXCEPTION WHEN invalid_parameter_value THEN
	RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('invalid schedule "%s"', schedule_campaign.cron),
		DETAIL = SQLERRM, HINT = 'A schedule has five fields, as in "0 9 27 11 *": minute, hour, day, month, day of week; times are UTC.';
END $$;
COMMENT ON FUNCTION smsflow.schedule_campaign(text, text, text) IS
'Launches a draft once, the next time a cron schedule (UTC) comes round, by the pg_cron job "smsflow campaign <name>". SF004 for an unknown campaign, SF005 if it is not a draft, SF007 for an invalid schedule, SF008 without pg_cron in this database';
REVOKE ALL ON FUNCTION smsflow.schedule_campaign(text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.launch_scheduled(name text, brand text DEFAULT 'default') RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k CONSTANT smsflow.campaign := smsflow.lock_campaign(launch_scheduled.name, launch_scheduled.brand,
		'{draft,scheduled,running,paused,done,cancelled,failed}');
BEGIN
	IF to_regclass('cron.job') IS NOT NULL THEN
		EXECUTE 'SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname = $1' USING smsflow.campaign_job(k);
	END IF;
	IF k.status <> 'draft' THEN
		RETURN false;
	END IF;
	UPDATE smsflow.campaign AS c SET status = 'scheduled', launch_at = now() WHERE c.campaign_id = k.campaign_id;
	PERFORM smsflow.note_config();
	RETURN true;
END $$;
COMMENT ON FUNCTION smsflow.launch_scheduled(text, text) IS
'Called by the pg_cron job of schedule_campaign(): launches the campaign if it still is a draft, and removes the job. False, and nothing is sent, when it was launched or cancelled before. SF004 for an unknown campaign';
REVOKE ALL ON FUNCTION smsflow.launch_scheduled(text, text) FROM PUBLIC;
