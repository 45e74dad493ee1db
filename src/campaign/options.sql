-- Options of a campaign: one list says what there is, and one function whether a value is of its kind. Re-runnable.

CREATE OR REPLACE VIEW smsflow.campaign_option (option, kind, meaning) AS
	VALUES ('pool', 'text', 'senders it leaves from; default'),
		('subject', 'text', 'what caps on one subject count by; the name of the campaign'),
		('valid_for', 'duration', 'time after the launch until which messages may leave; that of the purpose'),
		('valid_until', 'instant', 'no message leaves from this instant on'),
		('budget', 'whole 1 999999999', 'message parts it may use; past them it waits for budget_campaign()'),
		('parts_per_minute', 'number 0.1 60000000', 'pace at which its parts leave'),
		('weight', 'whole 1 100', 'its share among campaigns that send at the same time; 1'),
		('cap_checked', 'flag', 'whether caps hold for its messages; what policy_rule says of the purpose'),
		('cap_counts', 'flag', 'whether its messages use up the caps; what policy_rule says of the purpose'),
		('audience', 'choice follow freeze', 'who is in the segment when their turn comes (follow), or when the campaign is launched (freeze)'),
		('late_zones', 'choice next_day skip at_once', 'who, at a launch by local time, is past that time already gets the message a day later, not at all, or at once'),
		('holdout', 'number 0 90', 'percent of recipients who get nothing, to compare with'),
		('exclude', 'exclude', 'who gets nothing: {"bought": "7 days", "clicked": "7 days", "texted": "2 days", "in_sequence": true or a name, "events": {"kinds": ["email_clicked"], "within": "1 day"}}'),
		('pause_on', 'rates', 'rates at which it pauses itself, of opt-outs by messages sent and of failures by those tried: {"opt_out_rate": 0.02, "failure_rate": 0.2, "min_sent": 100}'),
		('pause_on_alert', 'flag', 'whether an alert of a rule that pauses holds it; false'),
		('coupons', 'text', 'pool that {{coupon}} comes from'),
		('missing', 'choice skip blank fail', 'what a variable without value and default does: the recipient gets nothing (skip), nothing is written (blank), or the campaign fails; skip'),
		('smart_encode', 'flag', 'whether typographic characters are replaced by look-alikes where that makes a text GSM-7, which halves its parts; false'),
		('test_percent', 'number 1 99', 'share of recipients that its variants are tried on; the others wait for the winner'),
		('decide_after', 'duration', 'with test_percent: time after the launch at which the winner is chosen by itself'),
		('decide_by', 'choice orders clicks replies opt_outs delivered', 'what the winner has most of, or of opt-outs least'),
		('min_sample', 'whole 1 999999999', 'messages each variant must have been sent to before there is a winner; 100'),
		('confidence', 'number 0.5 0.9999', 'probability at which a difference counts as one; 0.95');
COMMENT ON VIEW smsflow.campaign_option IS 'Options of create_campaign(), of what kind their values are, and what they mean, with the default';

CREATE OR REPLACE FUNCTION smsflow.is_duration(value jsonb) RETURNS boolean
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN jsonb_typeof(value) = 'string' AND (value #>> '{}')::interval > '0';
EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow OR interval_field_overflow THEN
	RETURN false;
END $$;
COMMENT ON FUNCTION smsflow.is_duration(jsonb) IS 'Whether a JSON value is the text of an interval above zero';
REVOKE ALL ON FUNCTION smsflow.is_duration(jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.is_instant(value jsonb) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN jsonb_typeof(value) = 'string' AND isfinite((value #>> '{}')::timestamptz);
EXCEPTION WHEN data_exception THEN
	RETURN false;
END $$;
COMMENT ON FUNCTION smsflow.is_instant(jsonb) IS 'Whether a JSON value is the text of an instant, neither infinity';
REVOKE ALL ON FUNCTION smsflow.is_instant(jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.is_number_between(value jsonb, lowest numeric, highest numeric) RETURNS boolean
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
	RETURN CASE WHEN jsonb_typeof(value) = 'number' THEN (value #>> '{}')::numeric BETWEEN lowest AND highest ELSE false END;
COMMENT ON FUNCTION smsflow.is_number_between(jsonb, numeric, numeric) IS 'Whether a JSON value is a number in this range';
REVOKE ALL ON FUNCTION smsflow.is_number_between(jsonb, numeric, numeric) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.fits_exclude(value jsonb) RETURNS boolean
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
	RETURN CASE WHEN jsonb_typeof(value) <> 'object' THEN false ELSE
		value - '{bought,clicked,texted,in_sequence,events}'::text[] = '{}'
		AND (NOT value ? 'bought' OR smsflow.is_duration(value -> 'bought'))
		AND (NOT value ? 'clicked' OR smsflow.is_duration(value -> 'clicked'))
		AND (NOT value ? 'texted' OR smsflow.is_duration(value -> 'texted'))
		AND (NOT value ? 'in_sequence' OR value -> 'in_sequence' = 'true' OR jsonb_typeof(value -> 'in_sequence') = 'string')
		AND (NOT value ? 'events' OR COALESCE(jsonb_typeof(value -> 'events' -> 'kinds') = 'array'
			AND NOT jsonb_path_exists(value, '$.events.kinds[*] ? (@.type() != "string")')
			AND smsflow.is_duration(value -> 'events' -> 'within') AND (value -> 'events') - '{kinds,within}'::text[] = '{}', false)) END;
COMMENT ON FUNCTION smsflow.fits_exclude(jsonb) IS 'Whether a value can be the option exclude';
REVOKE ALL ON FUNCTION smsflow.fits_exclude(jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.fits_rates(value jsonb) RETURNS boolean
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
	RETURN CASE WHEN jsonb_typeof(value) <> 'object' THEN false ELSE
		value ?| '{opt_out_rate,failure_rate}' AND value - '{opt_out_rate,failure_rate,min_sent}'::text[] = '{}'
		AND (NOT value ? 'opt_out_rate' OR smsflow.is_number_between(value -> 'opt_out_rate', 0, 1))
		AND (NOT value ? 'failure_rate' OR smsflow.is_number_between(value -> 'failure_rate', 0, 1))
		AND (NOT value ? 'min_sent' OR smsflow.is_number_between(value -> 'min_sent', 1, 1000000000)) END;
COMMENT ON FUNCTION smsflow.fits_rates(jsonb) IS 'Whether a value can be the option pause_on';
REVOKE ALL ON FUNCTION smsflow.fits_rates(jsonb) FROM PUBLIC;

-- The first word of a kind is what it is, those after it its range or its choices.
CREATE OR REPLACE FUNCTION smsflow.fits_kind(kind text[], value jsonb) RETURNS boolean
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
	RETURN CASE kind[1]
		WHEN 'text' THEN jsonb_typeof(value) = 'string' AND octet_length(value #>> '{}') BETWEEN 1 AND 255
		WHEN 'duration' THEN smsflow.is_duration(value)
		WHEN 'instant' THEN smsflow.is_instant(value)
		WHEN 'flag' THEN jsonb_typeof(value) = 'boolean'
		-- As it is written: what reads an option takes it for an integer, and 3.0 is none.
		WHEN 'whole' THEN smsflow.is_number_between(value, kind[2]::numeric, kind[3]::numeric) AND value #>> '{}' ~ '^[0-9]+$'
		WHEN 'number' THEN smsflow.is_number_between(value, kind[2]::numeric, kind[3]::numeric)
		WHEN 'choice' THEN COALESCE(value #>> '{}' = ANY (kind[2:]), false)
		WHEN 'exclude' THEN smsflow.fits_exclude(value)
		WHEN 'rates' THEN smsflow.fits_rates(value) END;
COMMENT ON FUNCTION smsflow.fits_kind(text[], jsonb) IS 'Whether a value is of a kind of smsflow.campaign_option, given as its words';
REVOKE ALL ON FUNCTION smsflow.fits_kind(text[], jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.check_campaign_options(options jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	bad record;
BEGIN
	IF jsonb_typeof(options) <> 'object' THEN
		PERFORM smsflow.refuse('SF007', 'options must be a JSON object',
			'The options are in the view smsflow.campaign_option.', 'Pass an object such as ''{"valid_for": "4 hours"}''.');
	END IF;
	SELECT given.key, known.kind, given.value INTO bad
	FROM jsonb_each(options) AS given LEFT JOIN smsflow.campaign_option AS known ON known.option = given.key
	WHERE known.option IS NULL OR NOT smsflow.fits_kind(string_to_array(known.kind, ' '), given.value)
	ORDER BY given.key LIMIT 1;
	IF bad.key IS NOT NULL AND bad.kind IS NULL THEN
		PERFORM smsflow.refuse('SF007', format('unknown option "%s"', bad.key),
			format('Options are %s.', (SELECT string_agg(o.option, ', ' ORDER BY o.option) FROM smsflow.campaign_option AS o)),
			'Leave it out, or correct its name.');
	ELSIF bad.key IS NOT NULL THEN
		PERFORM smsflow.refuse('SF007', format('invalid option "%s": %s', bad.key, bad.value),
			format('It is of the kind %s: %s.', bad.kind, (SELECT o.meaning FROM smsflow.campaign_option AS o WHERE o.option = bad.key)),
			'See the view smsflow.campaign_option.');
	ELSIF options ? 'decide_after' AND NOT options ? 'test_percent' THEN
		PERFORM smsflow.refuse('SF007', 'option "decide_after" needs "test_percent"',
			'A winner is chosen by itself for those who wait behind a test group; without one everybody has a message by then.',
			'Add test_percent, or leave decide_after out and ask smsflow.choose_winner().');
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.check_campaign_options(jsonb) IS 'Raises SF007 for an option that does not exist, cannot be used, or needs another';
REVOKE ALL ON FUNCTION smsflow.check_campaign_options(jsonb) FROM PUBLIC;
