-- Early warning: which rates are watched, and what was found.

CREATE TABLE smsflow.alert_rule (
	rule		text PRIMARY KEY CHECK (rule <> ''),
	subject		text NOT NULL CHECK (subject IN ('campaign', 'sender')),
	successes	text[] NOT NULL CHECK (cardinality(successes) > 0),
	trials		text[] NOT NULL CHECK (cardinality(trials) > 0),
	direction	text NOT NULL CHECK (direction IN ('high', 'low')),
	factor		double precision NOT NULL CHECK (factor > 0),
	span		interval NOT NULL DEFAULT '3 hours' CHECK (span >= '1 hour'),
	lag			interval NOT NULL DEFAULT '0' CHECK (lag >= '0'),
	past		interval NOT NULL DEFAULT '28 days' CHECK (past <= '90 days'),
	at_least	integer NOT NULL DEFAULT 200 CHECK (at_least > 0),
	p_value		double precision NOT NULL DEFAULT 0.0001 CHECK (p_value > 0 AND p_value < 1),
	pauses		boolean NOT NULL DEFAULT false,
	enabled		boolean NOT NULL DEFAULT true,
	builtin		boolean NOT NULL DEFAULT false,
	CHECK ((direction = 'high') = (factor >= 1) OR factor = 1)
);
COMMENT ON TABLE smsflow.alert_rule IS 'Rate that is compared with its own past; a finding is a difference that is both large (factor) and not by chance (p_value)';
COMMENT ON COLUMN smsflow.alert_rule.subject IS 'campaign: against all campaigns of the same brand and purpose before; sender: against the same sender before';
COMMENT ON COLUMN smsflow.alert_rule.successes IS 'Measures that are added up above the line';
COMMENT ON COLUMN smsflow.alert_rule.trials IS 'Measures that are added up below it';
COMMENT ON COLUMN smsflow.alert_rule.direction IS 'What is bad: a rate that is high, or low';
COMMENT ON COLUMN smsflow.alert_rule.factor IS 'high: at least so many times the rate of the past; low: at most';
COMMENT ON COLUMN smsflow.alert_rule.span IS 'The last so many clock hours are compared, the current one included';
COMMENT ON COLUMN smsflow.alert_rule.lag IS 'Trials are those up to so long ago, so that people had time to do what is counted';
COMMENT ON COLUMN smsflow.alert_rule.past IS 'How much of the past before that they are compared with';
COMMENT ON COLUMN smsflow.alert_rule.at_least IS 'Trials that there must be, now and in the past';
COMMENT ON COLUMN smsflow.alert_rule.p_value IS 'Of the pooled two-proportion z-test; small, because it is asked at every look';
COMMENT ON COLUMN smsflow.alert_rule.pauses IS 'Pause the campaign, if its option pause_on_alert is true';

-- The levels are ours: far from what carriers complain about, and of what any list does by chance.
INSERT INTO smsflow.alert_rule (rule, subject, successes, trials, direction, factor, span, lag, pauses, builtin) VALUES
	('delivery of a number falls', 'sender', '{delivered}', '{delivered,undelivered,rejected}', 'low', 0.9, '3 hours', '0', false, true),
	('delivery of a campaign falls', 'campaign', '{delivered}', '{delivered,undelivered,rejected}', 'low', 0.9, '3 hours', '0', true, true),
	('opt-outs of a number rise', 'sender', '{opt_outs}', '{sent}', 'high', 2, '6 hours', '0', false, true),
	('opt-outs of a campaign rise', 'campaign', '{opt_outs}', '{sent}', 'high', 2, '6 hours', '0', true, true),
	('clicks of a number fall', 'sender', '{clickers}', '{sent}', 'low', 0.5, '12 hours', '6 hours', false, true),
	('clicks of a campaign fall', 'campaign', '{clickers}', '{sent}', 'low', 0.5, '12 hours', '6 hours', false, true),
	('replies to a number rise', 'sender', '{replies}', '{sent}', 'high', 2, '6 hours', '0', false, true),
	('replies to a campaign rise', 'campaign', '{replies}', '{sent}', 'high', 2, '6 hours', '0', false, true);

CREATE TABLE smsflow.alert (
	alert_id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	rule		text NOT NULL,
	campaign_id	integer NOT NULL,
	sender_id	integer NOT NULL,
	successes	bigint NOT NULL,
	trials		bigint NOT NULL,
	past_successes bigint NOT NULL,
	past_trials	bigint NOT NULL,
	p_value		double precision NOT NULL,
	raised_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	ended_at	timestamptz,
	paused		boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX alert_open ON smsflow.alert (rule, campaign_id, sender_id) WHERE ended_at IS NULL;
COMMENT ON TABLE smsflow.alert IS 'Finding of a rule, from when it held until it did no longer';
COMMENT ON COLUMN smsflow.alert.campaign_id IS '0: it is about a sender';
COMMENT ON COLUMN smsflow.alert.paused IS 'The campaign was paused for it';
