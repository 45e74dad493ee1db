-- The states of a campaign: approval, launch, pause, end, and how far it is. Re-runnable.

-- ---- approval ----

CREATE OR REPLACE FUNCTION smsflow.acting_role() RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
	RETURN COALESCE(NULLIF(current_setting('role'), 'none'), session_user);
COMMENT ON FUNCTION smsflow.acting_role() IS 'Role that a caller acts as, also inside a function with the rights of its owner';
REVOKE ALL ON FUNCTION smsflow.acting_role() FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.set_campaign_policy(approval text DEFAULT NULL, holdout integer DEFAULT NULL, brand text DEFAULT 'default') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO smsflow.campaign_policy AS p (brand_id, approval, holdout)
	VALUES (smsflow.brand_named(set_campaign_policy.brand), coalesce(set_campaign_policy.approval, 'none'), coalesce(set_campaign_policy.holdout, 0))
	ON CONFLICT ON CONSTRAINT campaign_policy_pkey DO UPDATE
		SET approval = coalesce(set_campaign_policy.approval, p.approval), holdout = coalesce(set_campaign_policy.holdout, p.holdout);
EXCEPTION WHEN check_violation OR numeric_value_out_of_range THEN
	PERFORM smsflow.refuse('SF007', 'this policy cannot be used',
		'approval is none, any or other; holdout is a percentage from 0 to 50.', 'Leave out what is to stay.');
END $$;
COMMENT ON FUNCTION smsflow.set_campaign_policy(text, integer, text) IS
'What holds for all campaigns of a brand; null leaves it. approval: none is needed, by any role that may call approve_campaign(), or by an other than the author. holdout: percent of contacts, always the same, who get no campaign at all. What their texts begin and end with says set_text_policy(). SF004 unknown brand, SF007 other arguments';
REVOKE ALL ON FUNCTION smsflow.set_campaign_policy(text, integer, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.approve_campaign(name text, brand text DEFAULT 'default') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k CONSTANT smsflow.campaign := smsflow.lock_campaign(approve_campaign.name, approve_campaign.brand, '{draft}');
BEGIN
	IF k.owner = quote_ident(smsflow.acting_role())::regrole
			AND (SELECT p.approval = 'other' FROM smsflow.campaign_policy AS p WHERE p.brand_id = k.brand_id) THEN
		PERFORM smsflow.refuse('SF005', format('campaign "%s" needs approval by another role', k.name),
			'Its author cannot approve it.', 'Ask somebody else to call smsflow.approve_campaign().');
	END IF;
	UPDATE smsflow.campaign AS c SET approved_by = smsflow.acting_role(), approved_at = clock_timestamp()
	WHERE k.campaign_id IN (c.campaign_id, c.reminder_of) AND c.status = 'draft';
END $$;
COMMENT ON FUNCTION smsflow.approve_campaign(text, text) IS
'Records that a draft may be launched as it is, by whom and when, and its reminders with it; what changes it takes that back. SF004 for an unknown campaign, SF005 if it is no draft, or its author''s role where the policy asks for another';
REVOKE ALL ON FUNCTION smsflow.approve_campaign(text, text) FROM PUBLIC;

-- ---- launch ----

CREATE OR REPLACE FUNCTION smsflow.refuse_launch(k smsflow.campaign, detail text, hint text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM smsflow.refuse('SF005', format('campaign "%s" cannot be launched', (k).name), detail, hint);
END $$;
COMMENT ON FUNCTION smsflow.refuse_launch(smsflow.campaign, text, text) IS 'Raises SF005';
REVOKE ALL ON FUNCTION smsflow.refuse_launch(smsflow.campaign, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_launch(k smsflow.campaign, at timestamptz) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	variants CONSTANT bigint := (SELECT count(*) FROM smsflow.campaign_variant AS v WHERE v.campaign_id = (k).campaign_id);
	waves CONSTANT bigint := (SELECT count(*) FROM smsflow.campaign_wave AS w WHERE w.campaign_id = (k).campaign_id);
	its_pool CONSTANT text := coalesce((k).options ->> 'pool', 'default');
	ends CONSTANT timestamptz := ((k).options ->> 'valid_until')::timestamptz;
	last_round CONSTANT interval := greatest((SELECT max(w.after) FROM smsflow.campaign_wave AS w WHERE w.campaign_id = (k).campaign_id),
			((k).options ->> 'decide_after')::interval, '0')
		+ coalesce((SELECT max(v.after) FROM smsflow.campaign_variant AS v WHERE v.campaign_id = (k).campaign_id), '0');
	texts_since CONSTANT timestamptz := (SELECT p.changed_at FROM smsflow.text_policy AS p WHERE p.brand_id = (k).brand_id AND p.purpose = (k).purpose);
BEGIN
	IF NOT EXISTS (SELECT FROM smsflow.sender AS s WHERE s.pool = its_pool) THEN
		PERFORM smsflow.refuse_launch(k, format('No sender is in the pool "%s".', its_pool), 'Add one with smsflow.add_sender(), or name another pool in the options.');
	ELSIF coalesce((SELECT p.approval FROM smsflow.campaign_policy AS p WHERE p.brand_id = (k).brand_id), 'none') <> 'none'
			AND coalesce((k).approved_at < texts_since, (k).approved_at IS NULL) THEN
		PERFORM smsflow.refuse_launch(k, 'It has not been approved as it is.', 'Call smsflow.approve_campaign() first.');
	ELSIF at < now() - interval '1 minute' OR NOT isfinite(at) THEN
		PERFORM smsflow.refuse_launch(k, format('The launch would be at %s, %s.', at, CASE WHEN at > now() THEN 'which is never' ELSE 'in the past' END),
			'Leave the time out to launch it now.');
	ELSIF at >= ends THEN
		PERFORM smsflow.refuse_launch(k, format('Its messages are valid until %s.', ends), 'Launch it earlier, or write it anew with another valid_until.');
	ELSIF variants = 1 THEN
		PERFORM smsflow.refuse_launch(k, 'It has one variant, and there is nothing to compare it with.', 'Add another with smsflow.add_variant(); the campaign''s own text is none of them.');
	ELSIF ends <= at + last_round THEN
		PERFORM smsflow.refuse_launch(k, format('Its last wave, test or variant is due at %s, and its messages are valid until %s.', at + last_round, ends),
			'Launch it earlier, or write it anew with a later valid_until.');
	ELSIF (SELECT max(r.remind_before) FROM smsflow.campaign AS r WHERE r.reminder_of = (k).campaign_id) >= ends - at THEN
		PERFORM smsflow.refuse_launch(k, format('Its reminder would leave before it does, since its messages are valid until %s.', ends),
			'Launch it earlier, or write it anew with a later valid_until.');
	ELSIF (k).options ? 'test_percent' AND (variants = 0 OR waves > 0) THEN
		PERFORM smsflow.refuse_launch(k, 'A test group needs variants to try on it, and no waves.', 'Add variants with smsflow.add_variant().');
	ELSIF (k).options ? 'coupons' AND NOT EXISTS (SELECT FROM smsflow.coupon_pool AS p WHERE p.brand_id = (k).brand_id AND p.name = (k).options ->> 'coupons') THEN
		PERFORM smsflow.refuse_launch(k, format('There is no pool of coupons "%s".', (k).options ->> 'coupons'), 'Create it with smsflow.create_coupon_pool().');
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_launch(smsflow.campaign, timestamptz) IS 'Raises SF005 with what is missing for a launch at this instant: a sender, approval, time for all waves, variants and reminders before valid_until, a second variant, coupons';
REVOKE ALL ON FUNCTION smsflow.check_launch(smsflow.campaign, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.begin_campaign(k smsflow.campaign, at timestamptz, local_at timestamp) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM smsflow.check_launch(k, at);
	UPDATE smsflow.campaign AS c SET status = 'scheduled', launch_at = greatest(at, now()), local_at = begin_campaign.local_at
	WHERE c.campaign_id = (k).campaign_id;
	IF (k).options ->> 'audience' = 'freeze' THEN
		INSERT INTO smsflow.campaign_member (campaign_id, contact_id)
		SELECT (k).campaign_id, m FROM smsflow.segment AS s JOIN smsflow.brand AS b USING (brand_id)
		CROSS JOIN LATERAL smsflow.segment_members(s.name, b.name) AS m WHERE s.segment_id = (k).segment_id;
	END IF;
	PERFORM smsflow.begin_campaign(r, (r.options ->> 'valid_until')::timestamptz - r.remind_before, NULL)
	FROM smsflow.campaign AS r WHERE r.reminder_of = (k).campaign_id AND r.status = 'draft';
	PERFORM smsflow.note_config();
END $$;
COMMENT ON FUNCTION smsflow.begin_campaign(smsflow.campaign, timestamptz, timestamp) IS 'Schedules a campaign, whose row is locked, and its reminders; SF005 when it cannot be launched then';
REVOKE ALL ON FUNCTION smsflow.begin_campaign(smsflow.campaign, timestamptz, timestamp) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.launch_campaign_inside(name text, at timestamptz, time_zone text, brand text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k CONSTANT smsflow.campaign := smsflow.lock_campaign(launch_campaign_inside.name, launch_campaign_inside.brand, '{draft}');
	launch timestamptz := launch_campaign_inside.at;
	local_at timestamp;
BEGIN
	IF k.reminder_of IS NOT NULL THEN
		PERFORM smsflow.refuse_launch(k, 'It is a reminder, and is launched with what it reminds of.', 'Launch that campaign.');
	ELSIF launch IS NULL THEN
		PERFORM smsflow.refuse('SF007', format('campaign "%s" has no time to be launched at', k.name),
			'The argument "at" is null.', 'Leave it out to launch the campaign now.');
	ELSIF launch_campaign_inside.time_zone = 'recipient' AND (k.options ->> 'decide_after')::interval < '26 hours' THEN
		PERFORM smsflow.refuse_launch(k, format('The winner would be chosen %s after the launch, and the same time of day comes to the last zone 26 hours after the first.',
			k.options ->> 'decide_after'), 'Launch it at one instant, or write it anew with a decide_after of 26 hours or more.');
	ELSIF launch_campaign_inside.time_zone = 'recipient' THEN
		local_at := launch AT TIME ZONE current_setting('TimeZone');
		-- The day begins on Kiritimati, 14 hours before UTC, and ends 12 hours after it.
		launch := CASE WHEN local_at AT TIME ZONE 'Etc/GMT+12' < now() THEN local_at AT TIME ZONE 'Etc/GMT+12'
			ELSE greatest(now(), local_at AT TIME ZONE 'Etc/GMT-14') END;
	ELSIF NOT smsflow.is_time_zone(launch_campaign_inside.time_zone) THEN
		RAISE invalid_parameter_value;
	ELSIF launch_campaign_inside.time_zone IS NOT NULL AND launch <> now() THEN
		launch := (launch AT TIME ZONE current_setting('TimeZone')) AT TIME ZONE launch_campaign_inside.time_zone;
	END IF;
	PERFORM smsflow.begin_campaign(k, launch, local_at);
EXCEPTION WHEN invalid_parameter_value THEN
	PERFORM smsflow.refuse('SF007', format('unknown time zone "%s"', launch_campaign_inside.time_zone),
		'The launch time is read as wall-clock time there.', 'Use an IANA name such as "America/New_York", or "recipient".');
END $$;
COMMENT ON FUNCTION smsflow.launch_campaign_inside(text, timestamptz, text, text) IS 'What launch_campaign() does';
REVOKE ALL ON FUNCTION smsflow.launch_campaign_inside(text, timestamptz, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.launch_campaign(name text, at timestamptz DEFAULT now(), time_zone text DEFAULT NULL,
		brand text DEFAULT 'default') RETURNS void
	AS 'MODULE_PATHNAME', 'smsflow_outer' LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.launch_campaign(text, timestamptz, text, text) IS
'Lets a draft go out at an instant, by default now. With time_zone, the wall-clock time that at shows in the session''s TimeZone is meant there; with "recipient", where each recipient is, and the option late_zones says what happens where it is past that time already. SF004 for an unknown campaign, SF005 if it is no draft, the time is more than a minute in the past or valid_until comes before its last wave, variant or reminder, or a sender, approval, a second variant or coupons are missing, or a winner would be chosen before the local time has come everywhere (26 hours), SF007 for an unknown time zone, or a null for at';
REVOKE ALL ON FUNCTION smsflow.launch_campaign(text, timestamptz, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.add_wave(campaign text, segment text, after interval, brand text DEFAULT 'default') RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k CONSTANT smsflow.campaign := smsflow.lock_campaign(add_wave.campaign, add_wave.brand, '{draft}');
	last CONSTANT smsflow.campaign_wave := (SELECT w FROM smsflow.campaign_wave AS w WHERE w.campaign_id = k.campaign_id ORDER BY w.wave DESC LIMIT 1);
	its_segment CONSTANT integer := (SELECT s.segment_id FROM smsflow.segment AS s WHERE s.name = add_wave.segment AND s.brand_id = k.brand_id);
BEGIN
	IF add_wave.segment IS NOT NULL AND its_segment IS NULL THEN
		PERFORM smsflow.refuse_unknown('segment', add_wave.segment, add_wave.brand);
	ELSIF coalesce(add_wave.after < coalesce(last.after, '0') OR add_wave.after > '60 days', true) THEN
		PERFORM smsflow.refuse('SF007', 'a wave cannot come before the one before it',
			'It begins 0 seconds to 60 days after the launch, and not earlier than the wave added last.', 'Add the waves in order.');
	END IF;
	INSERT INTO smsflow.campaign_wave (campaign_id, wave, segment_id, after) VALUES (k.campaign_id, coalesce(last.wave, 0) + 1, its_segment, add_wave.after);
	UPDATE smsflow.campaign AS c SET approved_by = NULL, approved_at = NULL WHERE c.campaign_id = k.campaign_id;
	RETURN coalesce(last.wave, 0) + 1;
END $$;
COMMENT ON FUNCTION smsflow.add_wave(text, text, interval, text) IS
'Lets those of a draft''s segment who are also in this one (null: everybody who is left) have the message so long after the launch, and returns the number of the wave. A campaign with waves writes to nobody who is in none of them. SF004 for an unknown campaign or segment, SF005 if it is no draft, SF007 for a wave before the one before';
REVOKE ALL ON FUNCTION smsflow.add_wave(text, text, interval, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.add_reminder(campaign text, before interval, body text, exclude jsonb DEFAULT NULL, brand text DEFAULT 'default')
	RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k CONSTANT smsflow.campaign := smsflow.lock_campaign(add_reminder.campaign, add_reminder.brand, '{draft}');
	its_options CONSTANT jsonb := (k.options - '{exclude,test_percent,decide_after,decide_by,min_sample,confidence,audience,coupons}'::text[])
		|| jsonb_build_object('exclude', coalesce(add_reminder.exclude, '{"bought": "30 days", "clicked": "30 days"}'));
	id integer;
BEGIN
	IF NOT k.options ? 'valid_until' OR coalesce(add_reminder.before <= '0', true) OR k.reminder_of IS NOT NULL THEN
		PERFORM smsflow.refuse('SF005', format('campaign "%s" cannot have this reminder', k.name),
			'A reminder leaves a time before the end of a campaign with the option valid_until.', 'Example: smsflow.add_reminder(''flash sale'', ''3 hours'', ''The sale ends tonight'').');
	END IF;
	id := smsflow.create_campaign(k.name || ' reminder', (SELECT s.name FROM smsflow.segment AS s WHERE s.segment_id = k.segment_id), add_reminder.body,
		k.purpose::text, its_options, add_reminder.brand);
	UPDATE smsflow.campaign AS c SET reminder_of = k.campaign_id, remind_before = add_reminder.before, owner = k.owner WHERE c.campaign_id = id;
	UPDATE smsflow.campaign AS c SET approved_by = NULL, approved_at = NULL WHERE c.campaign_id = k.campaign_id;
	RETURN id;
END $$;
COMMENT ON FUNCTION smsflow.add_reminder(text, interval, text, jsonb, text) IS
'Writes a campaign "<name> reminder", which is launched with a draft that has valid_until, leaves so long before that, and goes to those alone who were sent the first message, are still in the segment, and are not excluded; by default those who bought or followed a link are. Returns its id. SF003 malformed body, SF004 unknown campaign, SF005 no draft, no valid_until, or it has a reminder, SF007 an exclusion that cannot be used';
REVOKE ALL ON FUNCTION smsflow.add_reminder(text, interval, text, jsonb, text) FROM PUBLIC;

-- ---- holding, going on, ending ----

CREATE OR REPLACE FUNCTION smsflow.set_campaign_status(k smsflow.campaign, status text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE smsflow.campaign AS c SET status = set_campaign_status.status,
		error = CASE WHEN set_campaign_status.status <> 'running' THEN c.error END,
		finished_at = CASE set_campaign_status.status WHEN 'cancelled' THEN clock_timestamp() WHEN 'running' THEN NULL ELSE c.finished_at END
	WHERE c.campaign_id = (k).campaign_id;
	IF set_campaign_status.status = 'cancelled' THEN
		PERFORM smsflow.set_campaign_status(r, 'cancelled') FROM smsflow.campaign AS r
		WHERE r.reminder_of = (k).campaign_id AND r.status IN ('draft', 'scheduled', 'running', 'paused');
	END IF;
	PERFORM smsflow.note_revocation('campaign', (k).campaign_id), smsflow.note_config();
END $$;
COMMENT ON FUNCTION smsflow.set_campaign_status(smsflow.campaign, text) IS 'Changes the status and tells the worker at commit, also about what it has claimed; what is cancelled takes its reminders along';
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

CREATE OR REPLACE FUNCTION smsflow.set_campaign_option(k smsflow.campaign, option text, value jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	changed CONSTANT jsonb := jsonb_strip_nulls((k).options || jsonb_build_object(option, value));
BEGIN
	PERFORM smsflow.check_campaign_options(changed);
	UPDATE smsflow.campaign AS c SET options = changed, waits_for = nullif(c.waits_for, set_campaign_option.option) WHERE c.campaign_id = (k).campaign_id;
	PERFORM smsflow.note_config();
END $$;
COMMENT ON FUNCTION smsflow.set_campaign_option(smsflow.campaign, text, jsonb) IS 'Changes an option of a campaign, whose row is locked, null takes it away; one that waits for it goes on. SF007 for a value that cannot be used';
REVOKE ALL ON FUNCTION smsflow.set_campaign_option(smsflow.campaign, text, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.pace_campaign(name text, parts_per_minute double precision, brand text DEFAULT 'default') RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.set_campaign_option(smsflow.lock_campaign(pace_campaign.name, pace_campaign.brand, '{draft,scheduled,running,paused,done,failed}'),
		'parts_per_minute', to_jsonb(pace_campaign.parts_per_minute))
$$;
COMMENT ON FUNCTION smsflow.pace_campaign(text, double precision, text) IS
'Message parts a minute at which a campaign leaves from now on, also one that is on its way; NULL is as fast as its senders may. SF004 for an unknown campaign, SF005 if it is cancelled, SF007 for a number out of range';
REVOKE ALL ON FUNCTION smsflow.pace_campaign(text, double precision, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.budget_campaign(name text, parts bigint, brand text DEFAULT 'default') RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.set_campaign_option(smsflow.lock_campaign(budget_campaign.name, budget_campaign.brand, '{draft,scheduled,running,paused,done,failed}'),
		'budget', to_jsonb(budget_campaign.parts))
$$;
COMMENT ON FUNCTION smsflow.budget_campaign(text, bigint, text) IS
'Message parts a campaign may use from now on, NULL for no limit; one that waits for its budget goes on with those it has not come to. SF004 for an unknown campaign, SF005 if it is cancelled, SF007 for a number out of range';
REVOKE ALL ON FUNCTION smsflow.budget_campaign(text, bigint, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.cancel_campaign(name text, brand text DEFAULT 'default') RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.set_campaign_status(smsflow.lock_campaign(cancel_campaign.name, cancel_campaign.brand,
		'{draft,scheduled,running,paused,done,failed}'), 'cancelled')
$$;
COMMENT ON FUNCTION smsflow.cancel_campaign(text, text) IS
'Ends a campaign for good: no request starts after this commits, what was sent stays sent. SF004 for an unknown campaign, SF005 if it is cancelled already';
REVOKE ALL ON FUNCTION smsflow.cancel_campaign(text, text) FROM PUBLIC;

-- ---- launching by pg_cron, if this database has it ----

CREATE OR REPLACE FUNCTION smsflow.campaign_job(k smsflow.campaign) RETURNS text
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	-- The name of a job is at most 63 bytes long, and campaigns of two brands may have the same name.
	SELECT 'smsflow campaign ' || CASE WHEN (k).brand_id = 1 AND octet_length((k).name) <= 46 THEN (k).name ELSE '#' || (k).campaign_id END
$$;
COMMENT ON FUNCTION smsflow.campaign_job(smsflow.campaign) IS 'Name of the pg_cron job that launches a campaign';
REVOKE ALL ON FUNCTION smsflow.campaign_job(smsflow.campaign) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.schedule_campaign(name text, cron text, brand text DEFAULT 'default', every text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k CONSTANT smsflow.campaign := smsflow.lock_campaign(schedule_campaign.name, schedule_campaign.brand, '{draft}');
BEGIN
	IF schedule_campaign.every IS NOT NULL AND EXISTS (SELECT FROM smsflow.campaign AS r WHERE r.reminder_of = k.campaign_id) THEN
		PERFORM smsflow.refuse_launch(k, 'It has a reminder, which belongs to one end and cannot be repeated.', 'Leave every out, or write it anew without the reminder.');
	END IF;
	IF to_regclass('cron.job') IS NULL THEN
		PERFORM smsflow.refuse('SF008', 'pg_cron is not installed in this database',
			'Schedules in cron notation are run by the extension pg_cron.',
			'Run CREATE EXTENSION pg_cron here (the database named by cron.database_name), or use smsflow.launch_campaign() with a time.');
	END IF;
	IF schedule_campaign.every NOT IN ('hour', 'day', 'week', 'month') THEN
		PERFORM smsflow.refuse('SF007', format('a campaign cannot repeat every "%s"', schedule_campaign.every),
			'It is launched at most once in each hour, day, week or month (UTC).', 'Leave every out to launch it once.');
	END IF;
	PERFORM smsflow.check_launch(k, now());
	EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING smsflow.campaign_job(k), schedule_campaign.cron,
		CASE WHEN schedule_campaign.every IS NULL THEN format('SELECT smsflow.launch_scheduled(%L, %L)', k.name, schedule_campaign.brand)
			ELSE format('SELECT smsflow.launch_occurrence(%L, %L, %L)', k.name, schedule_campaign.every, schedule_campaign.brand) END;
EXCEPTION WHEN invalid_parameter_value THEN
	PERFORM smsflow.refuse('SF007', format('invalid schedule "%s"', schedule_campaign.cron),
		SQLERRM, 'A schedule has five fields, as in "0 9 27 11 *": minute, hour, day, month, day of week; times are UTC.');
END $$;
COMMENT ON FUNCTION smsflow.schedule_campaign(text, text, text, text) IS
'Launches a draft once, the next time a cron schedule (UTC) comes round, by the pg_cron job "smsflow campaign <name>"; with every (hour, day, week, month) each time, as a campaign of its own named after the period, of which there is one however often the job runs. The draft stays, and cancelling it ends that. SF004 for an unknown campaign, SF005 if it is not a draft or cannot be launched, SF007 for an invalid schedule or period, SF008 without pg_cron in this database';
REVOKE ALL ON FUNCTION smsflow.schedule_campaign(text, text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.forget_campaign_job(k smsflow.campaign) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF to_regclass('cron.job') IS NOT NULL THEN
		EXECUTE 'SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname = $1' USING smsflow.campaign_job(k);
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.forget_campaign_job(smsflow.campaign) IS 'Removes the pg_cron job of a campaign, if there is one';
REVOKE ALL ON FUNCTION smsflow.forget_campaign_job(smsflow.campaign) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.launch_scheduled(name text, brand text DEFAULT 'default') RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k CONSTANT smsflow.campaign := smsflow.lock_campaign(launch_scheduled.name, launch_scheduled.brand,
		'{draft,scheduled,running,paused,done,cancelled,failed}');
BEGIN
	PERFORM smsflow.forget_campaign_job(k);
	IF k.status <> 'draft' THEN
		RETURN false;
	END IF;
	PERFORM smsflow.begin_campaign(k, now(), NULL);
	RETURN true;
END $$;
COMMENT ON FUNCTION smsflow.launch_scheduled(text, text) IS
'Called by the pg_cron job of schedule_campaign(): launches the campaign if it still is a draft, and removes the job. False, and nothing is sent, when it was launched or cancelled before. SF004 for an unknown campaign';
REVOKE ALL ON FUNCTION smsflow.launch_scheduled(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.launch_occurrence(name text, every text, brand text DEFAULT 'default') RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k CONSTANT smsflow.campaign := smsflow.lock_campaign(launch_occurrence.name, launch_occurrence.brand,
		'{draft,scheduled,running,paused,done,cancelled,failed}');
	period CONSTANT text := to_char(date_trunc(launch_occurrence.every, now(), 'UTC') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI');
	made smsflow.campaign;
BEGIN
	IF k.status <> 'draft' THEN
		PERFORM smsflow.forget_campaign_job(k);
		RETURN NULL;
	END IF;
	INSERT INTO smsflow.campaign AS c (brand_id, name, segment_id, body, purpose, options, owner, approved_by, approved_at, occurrence_of, occurrence)
	VALUES (k.brand_id, k.name || ' ' || period, k.segment_id, k.body, k.purpose, k.options, k.owner, k.approved_by, k.approved_at, k.campaign_id, period)
	ON CONFLICT ON CONSTRAINT campaign_occurrence_of_occurrence_key DO NOTHING RETURNING c.* INTO made;
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	INSERT INTO smsflow.campaign_variant SELECT made.campaign_id, v.variant, v.name, v.body, v.weight, v.after
		FROM smsflow.campaign_variant AS v WHERE v.campaign_id = k.campaign_id;
	INSERT INTO smsflow.campaign_translation SELECT made.campaign_id, t.variant, t.language, t.body
		FROM smsflow.campaign_translation AS t WHERE t.campaign_id = k.campaign_id;
	INSERT INTO smsflow.campaign_wave SELECT made.campaign_id, w.wave, w.segment_id, w.after
		FROM smsflow.campaign_wave AS w WHERE w.campaign_id = k.campaign_id;
	PERFORM smsflow.begin_campaign(made, now(), NULL);
	RETURN made.name;
END $$;
COMMENT ON FUNCTION smsflow.launch_occurrence(text, text, text) IS
'Called by the pg_cron job of schedule_campaign() with every: launches this hour''s, day''s, week''s or month''s (UTC) copy of a draft and returns its name, or null if there was one already. SF004 for an unknown campaign, SF005 if it cannot be launched now';
REVOKE ALL ON FUNCTION smsflow.launch_occurrence(text, text, text) FROM PUBLIC;
