-- The rules of law, of carriers and of the store, as data. src/message/policy.c
-- reads them, and says what each kind means. Sources: section 3 of the project's
-- research; confidence P primary text seen, R statute quoted by one who read it,
-- S secondary, V vendor's norm, D derived by us. Nothing here is legal advice.

CREATE TABLE smsflow.policy_rule (
	policy_rule_id	integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	jurisdiction	text NOT NULL DEFAULT '*',
	purpose			text,
	kind			text NOT NULL,
	value			text NOT NULL,
	effective		tstzrange NOT NULL DEFAULT '(,)' CHECK (NOT isempty(effective)),
	source			text,
	builtin			boolean NOT NULL DEFAULT false,
	confidence		text CHECK (confidence IN ('P', 'R', 'S', 'V', 'D')),
	note			text,
	segment			text
);
CREATE INDEX policy_rule_kind ON smsflow.policy_rule (kind);
COMMENT ON TABLE smsflow.policy_rule IS 'Rules of law, of carriers and of the store as data: quiet hours, caps, consent levels and more; a change of law is a row with its effective range';
COMMENT ON COLUMN smsflow.policy_rule.jurisdiction IS 'Country (FR), state (US-FL), states of a country that are not known (US-*), or * for everywhere';
COMMENT ON COLUMN smsflow.policy_rule.purpose IS 'NULL: every purpose for which this jurisdiction has no row of its own';
COMMENT ON COLUMN smsflow.policy_rule.kind IS 'consent_level, stop_ends, double_opt_in, window, consented_window, profile, windowed, holiday, zone, cap, subject_cap, cap_checked, cap_counts, cart_once, cart_within, registration, shortener, brand_named, opt_out_wording, max_parts or suspended; see README.md';
COMMENT ON COLUMN smsflow.policy_rule.segment IS 'Name of a segment for whose members, in each brand, a cap or subject_cap holds beside the others; NULL: for everybody';
COMMENT ON COLUMN smsflow.policy_rule.confidence IS 'P primary text seen, R statute quoted by one who read it, S secondary, V vendor''s norm, D derived';

CREATE FUNCTION smsflow.check_policy_rule() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'smsflow_check_policy_rule';
COMMENT ON FUNCTION smsflow.check_policy_rule() IS 'Trigger function: refuses a rule that the gate could not read. Errors: SF007';
REVOKE ALL ON FUNCTION smsflow.check_policy_rule() FROM PUBLIC;
CREATE TRIGGER check_policy_rule BEFORE INSERT OR UPDATE ON smsflow.policy_rule
	FOR EACH ROW EXECUTE FUNCTION smsflow.check_policy_rule();

INSERT INTO smsflow.policy_rule (purpose, kind, value, source, builtin) VALUES
	('compliance',		'consent_level', 'none',	'answers to STOP and HELP', true),
	('otp',				'consent_level', 'none',	'asked for by the person in the same minute', true),
	('transactional',	'consent_level', 'implied',	'47 CFR 64.1200(a)(1)', true),
	('conversational',	'consent_level', 'implied',	'47 CFR 64.1200(a)(1)', true),
	('cart',			'consent_level', 'express',	'CTIA Messaging Principles 5.1', true),
	('promotional',		'consent_level', 'express',	'CTIA Messaging Principles 5.1', true),
	('transactional',	'stop_ends', 'true',		'47 CFR 64.1200(a)(10)', true),
	('conversational',	'stop_ends', 'true',		'47 CFR 64.1200(a)(10)', true),
	('cart',			'stop_ends', 'true',		'47 CFR 64.1200(a)(10)', true),
	('promotional',		'stop_ends', 'true',		'47 CFR 64.1200(a)(10)', true);

-- Carts in the United States: what carriers ask for since 2021.
INSERT INTO smsflow.policy_rule (jurisdiction, purpose, kind, value, source, confidence, builtin) VALUES
	('US', 'cart', 'consent_level', 'confirmed',	'T-Mobile policy of 2020-05-01: double opt-in', 'S', true),
	('US', 'cart', 'cart_once', 'true',				'T-Mobile policy of 2020-05-01: one message per abandonment', 'S', true),
	('US', 'cart', 'cart_within', '48 hours',		'T-Mobile policy of 2020-05-01', 'S', true);

-- How often. Every message of a purpose that counts uses up the caps of all.
INSERT INTO smsflow.policy_rule (jurisdiction, purpose, kind, value, source, confidence, builtin) VALUES
	('*', 'promotional', 'cap', '10 per 7 days',			'our default', 'D', true),
	('*', 'promotional', 'cap_counts', 'true',				'our default', 'D', true),
	('*', 'cart', 'cap_counts', 'true',						'our default', 'D', true),
	('US-FL', 'promotional', 'subject_cap', '3 per 24 hours',	'Fla. Stat. 501.616(6)(b)', 'P', true),
	('US-FL', 'cart', 'subject_cap', '3 per 24 hours',			'Fla. Stat. 501.616(6)(b)', 'P', true),
	('US-OK', 'promotional', 'subject_cap', '3 per 24 hours',	'15 O.S. 775C.4', 'R', true),
	('US-OK', 'cart', 'subject_cap', '3 per 24 hours',			'15 O.S. 775C.4', 'R', true),
	('US-MD', 'promotional', 'subject_cap', '3 per 24 hours',	'Md. Code Com. Law 14-4502(c)(2)', 'R', true),
	('US-MD', 'cart', 'subject_cap', '3 per 24 hours',			'Md. Code Com. Law 14-4502(c)(2)', 'R', true),
	('US-OR', 'promotional', 'subject_cap', '3 per 24 hours',	'ORS 646.563 (HB 3865)', 'S', true),
	('US-OR', 'cart', 'subject_cap', '3 per 24 hours',			'ORS 646.563 (HB 3865)', 'S', true);

-- Shorteners that anybody can use: AT&T forbids them, CTIA asks for a domain of one's own.
INSERT INTO smsflow.policy_rule (kind, value, source, confidence, builtin)
SELECT 'shortener', domain, 'CTIA Messaging Principles 5.3.2; AT&T code of conduct', 'P', true
FROM unnest('{bit.ly,tinyurl.com,t.co,goo.gl,ow.ly,is.gd,buff.ly,rebrand.ly,cutt.ly,t.ly,rb.gy,tiny.cc,shorturl.at}'::text[]) AS domain;
INSERT INTO smsflow.policy_rule (kind, value, source, confidence, builtin) VALUES
	('max_parts', '10', 'longer messages are cut or refused by most gateways', 'V', true);

-- When, by the clock of the recipient. Where nothing is said of a person's state,
-- the intersection of all states holds; where nothing is said of a country, "*".
INSERT INTO smsflow.policy_rule (jurisdiction, value, effective, source, confidence, note, kind, builtin)
SELECT r.jurisdiction, r.value, r.effective::tstzrange, r.source, r.confidence, r.note, r.kind, true FROM (VALUES
	('US', 'Mon-Sun 08:00-21:00', '(,)', '47 CFR 64.1200(c)(1)', 'P', 'called party local time; "telephone solicitation" excludes prior express invitation or permission', 'window'),
	('US-AL', 'Mon-Sat 08:00-20:00 except holidays', '(,)', 'Ala. Admin. Code r. 770-X-5-.17(2)', 'R', 'closed Sunday and holidays; PSC rule, reach to non-utilities arguable', 'window'),
	('US-CA', 'Mon-Sun 09:00-21:00', '(,)', 'Cal. Pub. Util. Code 2872', 'R', 'automatic dialing-announcing devices only; federal window otherwise', 'window'),
	('US-CT', 'Mon-Sun 09:00-20:00', '(,)', 'Conn. Gen. Stat. 42-288a(c)', 'R', 'mobile numbers and text in scope', 'window'),
	('US-FL', 'Mon-Sun 08:00-20:00', '(,)', 'Fla. Stat. 501.616(6)(a)', 'P', 'cap 3/24h same subject 501.616(6)(b); STOP then 15 days 501.059', 'window'),
	('US-IL', 'Mon-Sun 08:00-21:00', '(,)', '815 ILCS 413/15(a)', 'R', NULL, 'window'),
	('US-IN', 'Mon-Sun 09:00-20:00', '(,)', 'Ind. Code 24-5-14-8', 'S', 'automated devices only; federal window otherwise', 'window'),
	('US-KY', 'Mon-Sun 10:00-21:00', '(,)', 'KRS 367.46955(16)', 'R', '"residence" wording', 'window'),
	('US-LA', 'Mon-Sat 08:00-20:00 except holidays', '(,)', 'LPSC General Order R-29617 V(A)', 'R', 'closed Sunday and legal holidays incl. Mardi Gras, Good Friday; residential solicitation; prior consent exempt', 'window'),
	('US-ME', 'Mon-Fri 09:00-17:00', '(,)', '10 M.R.S. 1498(3)', 'R', 'automated calling devices with recorded messages only; max 1 per 8h', 'window'),
	('US-MD', 'Mon-Sun 08:00-20:00', '(,)', 'Md. Code Com. Law 14-4502(c)', 'R', 'cap 3/24h same subject', 'window'),
	('US-MA', 'Mon-Sun 08:00-20:00', '(,)', 'M.G.L. c.159C s.3; 201 CMR 12.02(2)', 'R', NULL, 'window'),
	('US-MI', 'Mon-Sun 09:00-21:00', '(,)', 'MCL 750.540e(1)(f)', 'R', 'criminal harassment statute; contestable', 'window'),
	('US-MN', 'Mon-Sun 09:00-21:00', '(,)', 'Minn. Stat. 325E.30', 'R', 'residential subscriber', 'window'),
	('US-MS', 'Mon-Sat 08:00-20:00', '(,)', 'Miss. Code 77-3-723(1)', 'R', 'closed Sunday; statute says Central Standard Time; text messages named in 77-3-705', 'window'),
	('US-NV', 'Mon-Sun 09:00-20:00', '(,)', 'NRS 598.0918(3)', 'S', 'another reading finds no hours rule', 'window'),
	('US-NJ', 'Mon-Sun 08:00-21:00', '(,)', 'N.J.S.A. 56:8-128(c)', 'R', 'vendors publish 08:00-20:00; 56:8-130 bars unsolicited sales calls to mobiles', 'window'),
	('US-NM', 'Mon-Sun 09:00-21:00', '(,)', 'NMSA 57-12-22(B)(5)', 'R', NULL, 'window'),
	('US-NY', 'Mon-Sun 08:00-21:00', '(,)', 'N.Y. Gen. Bus. Law 399-z(2)', 'R', NULL, 'window'),
	('US-NC', 'Mon-Sun 08:00-21:00', '(,)', 'N.C.G.S. 75-102(f)', 'R', 'no time zone stated', 'window'),
	('US-OK', 'Mon-Sun 08:00-20:00', '(,)', '15 O.S. 775C.4', 'R', 'cap 3/24h same subject; one source says holidays restricted', 'window'),
	('US-OR', 'Mon-Sun 08:00-20:00', '[2026-01-01 08:00:00+00,)', 'ORS 646.563(1)(b) (HB 3865, eff. 2026-01-01)', 'R', 'texts in scope; cap 3/24h; purchase in last 18 months exempt (secondary)', 'window'),
	('US-PA', 'Mon-Sat 09:00-19:00 except holidays', '[2026-10-18 04:00:00+00,)', '73 P.S. 2245 as amended by Act 47 of 2026 (SB 992), eff. 2026-10-18', 'R', 'before that date 08:00-21:00 Mon-Sun; closed Sunday and legal holidays; texts in scope', 'window'),
	('US-PA', 'Mon-Sun 08:00-21:00', '(,2026-10-18 04:00:00+00)', '73 P.S. 2245 before Act 47 of 2026', 'R', NULL, 'window'),
	('US-RI', 'Mon-Fri 09:00-18:00 except holidays', '(,)', 'R.I. Gen. Laws 5-61-2(2); 5-61-3.6(a)', 'R', 'closed state and federal holidays; unsolicited calls', 'window'),
	('US-RI', 'Sat 10:00-17:00 except holidays', '(,)', 'R.I. Gen. Laws 5-61-2(2); 5-61-3.6(a)', 'R', NULL, 'window'),
	('US-SC', 'Mon-Sun 08:00-21:00', '(,)', 'S.C. Code 37-21-30', 'R', NULL, 'window'),
	('US-SD', 'Mon-Sat 09:00-21:00', '(,)', 'SDCL 37-30A-3(2)', 'R', 'closed Sunday; residence', 'window'),
	('US-TX', 'Mon-Sat 09:00-21:00', '[2025-09-01 05:00:00+00,)', 'Tex. Bus. & Com. Code 301.051(b)(2)', 'R', 'SB 140 brings texts into chs. 302/304 from 2025-09-01', 'window'),
	('US-TX', 'Sun 12:00-21:00', '[2025-09-01 05:00:00+00,)', 'Tex. Bus. & Com. Code 301.051(b)(2)', 'R', NULL, 'window'),
	('US-UT', 'Mon-Sat 08:00-21:00 except holidays', '(,)', 'Utah Code 13-25a-103(3)', 'R', 'closed Sunday and legal holidays without prior express consent', 'window'),
	('US-VA', 'Mon-Sun 08:00-21:00', '(,)', 'Va. Code 59.1-511', 'R', 'consent lifts the hours; opt-out honoured 10 years 59.1-514', 'window'),
	('US-WA', 'Mon-Sun 08:00-20:00', '(,)', 'RCW 80.36.390; RCW 19.158.110(4)', 'R', 'RCW 19.190.060 bars commercial texts without consent', 'window'),
	('US-WY', 'Mon-Sun 08:00-20:00', '(,)', 'Wyo. Stat. 40-12-302(d)', 'R', NULL, 'window'),
	('US-*', 'Mon-Fri 10:00-18:00 except holidays', '(,)', 'intersection of all rows above', 'D', 'fallback when the state is unknown and strict mode is on', 'window'),
	('US-*', 'Sat 10:00-17:00 except holidays', '(,)', 'intersection of all rows above', 'D', 'closed Sunday and holidays', 'window'),
	('CA', 'Mon-Sun 08:00-21:00', '(,)', 'Klaviyo quiet hours table', 'V', 'platform norm; CASL has no hours rule', 'window'),
	('GB', 'Mon-Sun 08:00-21:00', '(,)', 'Klaviyo quiet hours table', 'V', 'platform norm, no statutory SMS hours found', 'window'),
	('IE', 'Mon-Sun 08:00-21:00', '(,)', 'Klaviyo quiet hours table', 'V', 'platform norm, no statutory SMS hours found', 'window'),
	('DE', 'Mon-Sun 08:00-21:00', '(,)', 'Klaviyo quiet hours table', 'V', 'platform norm, no statutory SMS hours found', 'window'),
	('NL', 'Mon-Sun 08:00-21:00', '(,)', 'Klaviyo quiet hours table', 'V', 'platform norm, no statutory SMS hours found', 'window'),
	('AU', 'Mon-Sun 08:00-21:00', '(,)', 'Klaviyo quiet hours table', 'V', 'platform norm, no statutory SMS hours found', 'window'),
	('NZ', 'Mon-Sun 08:00-21:00', '(,)', 'Klaviyo quiet hours table', 'V', 'platform norm, no statutory SMS hours found', 'window'),
	('FR', 'Mon-Sat 08:00-22:00 except holidays', '(,)', 'Brevo SMS API docs; Klaviyo quiet hours table', 'V', 'closed Sunday and public holidays; many French vendors use 08:00-20:00', 'window'),
	('ES', 'Mon-Fri 09:00-21:00 except holidays', '(,)', 'Spanish consumer-code rule on sales calls (press summary)', 'S', 'voice rule used as a norm; weekends and holidays closed', 'window'),
	('IN', 'Mon-Sun 10:00-21:00', '(,)', 'TRAI TCCCPR promotional traffic', 'S', 'operators and resellers also publish 09:00-21:00; DLT registration needed', 'window'),
	('AE', 'Mon-Sun 07:00-21:00', '(,)', 'Twilio guidelines AE', 'V', 'promotional; queued outside; AD- sender prefix', 'window'),
	('PR', 'Mon-Sun 08:00-21:00', '(,)', '47 CFR 64.1200(c)(1)', 'P', 'a territory, under federal law', 'window'),
	('VI', 'Mon-Sun 08:00-21:00', '(,)', '47 CFR 64.1200(c)(1)', 'P', 'a territory, under federal law', 'window'),
	('GU', 'Mon-Sun 08:00-21:00', '(,)', '47 CFR 64.1200(c)(1)', 'P', 'a territory, under federal law', 'window'),
	('AS', 'Mon-Sun 08:00-21:00', '(,)', '47 CFR 64.1200(c)(1)', 'P', 'a territory, under federal law', 'window'),
	('MP', 'Mon-Sun 08:00-21:00', '(,)', '47 CFR 64.1200(c)(1)', 'P', 'a territory, under federal law', 'window'),
	('*', 'Mon-Fri 10:00-18:00', '(,)', 'intersection of the rows of the United States', 'D', 'countries without rows of their own', 'window'),
	('*', 'Sat 10:00-17:00', '(,)', 'intersection of the rows of the United States', 'D', 'countries without rows of their own', 'window'),
	('US', '01-01 observed', '(,)', '5 U.S.C. 6103(a)', 'P', 'New Year', 'holiday'),
	('US', 'Jan Mon 3', '(,)', '5 U.S.C. 6103(a)', 'P', 'Birthday of Martin Luther King, Jr.', 'holiday'),
	('US', 'Feb Mon 3', '(,)', '5 U.S.C. 6103(a)', 'P', 'Washington''s Birthday', 'holiday'),
	('US', 'May Mon -1', '(,)', '5 U.S.C. 6103(a)', 'P', 'Memorial Day', 'holiday'),
	('US', '06-19 observed', '(,)', '5 U.S.C. 6103(a)', 'P', 'Juneteenth', 'holiday'),
	('US', '07-04 observed', '(,)', '5 U.S.C. 6103(a)', 'P', 'Independence Day', 'holiday'),
	('US', 'Sep Mon 1', '(,)', '5 U.S.C. 6103(a)', 'P', 'Labor Day', 'holiday'),
	('US', 'Oct Mon 2', '(,)', '5 U.S.C. 6103(a)', 'P', 'Columbus Day', 'holiday'),
	('US', '11-11 observed', '(,)', '5 U.S.C. 6103(a)', 'P', 'Veterans Day', 'holiday'),
	('US', 'Nov Thu 4', '(,)', '5 U.S.C. 6103(a)', 'P', 'Thanksgiving Day', 'holiday'),
	('US', '12-25 observed', '(,)', '5 U.S.C. 6103(a)', 'P', 'Christmas Day', 'holiday'),
	('US-AL', 'Apr Mon 4', '(,)', 'Ala. Code 1-3-8, by the list of the state archives', 'R', 'Confederate Memorial Day', 'holiday'),
	('US-AL', 'Jun Mon 1', '(,)', 'Ala. Code 1-3-8, by the list of the state archives', 'R', 'Jefferson Davis Day', 'holiday'),
	('US-AL', 'easter-47', '(,)', 'Ala. Code 1-3-8, by the list of the state archives', 'R', 'Mardi Gras, in two counties', 'holiday'),
	('US-LA', 'easter-47', '(,)', 'La. R.S. 1:55', 'P', 'Mardi Gras', 'holiday'),
	('US-LA', 'easter-2', '(,)', 'La. R.S. 1:55', 'P', 'Good Friday', 'holiday'),
	('US-LA', '11-01', '(,)', 'La. R.S. 1:55', 'P', 'All Saints', 'holiday'),
	('US-LA', '01-08', '(,)', 'La. R.S. 1:55', 'P', 'Battle of New Orleans', 'holiday'),
	('US-LA', '08-30', '(,)', 'La. R.S. 1:55', 'P', 'Huey P. Long Day', 'holiday'),
	('US-RI', 'Aug Mon 2', '(,)', 'R.I. Gen. Laws 25-1-1', 'R', 'Victory Day', 'holiday'),
	('US-RI', '05-04', '(,)', 'R.I. Gen. Laws 25-1-1', 'R', 'Rhode Island Independence Day', 'holiday'),
	('US-RI', '2026-11-03', '(,)', 'R.I. Gen. Laws 25-1-1', 'R', 'Election day', 'holiday'),
	('US-RI', '2028-11-07', '(,)', 'R.I. Gen. Laws 25-1-1', 'R', 'Election day', 'holiday'),
	('US-UT', '07-24 observed', '(,)', 'Utah Code 63G-1-301', 'P', 'Pioneer Day', 'holiday'),
	('US-UT', 'easter-2', '[2026-05-06 06:00:00+00,)', 'Utah Code 63G-1-301', 'R', 'Good Friday, by the text of 2026-05-06', 'holiday'),
	('FR', '01-01', '(,)', 'Code du travail L3133-1', 'P', 'New Year', 'holiday'),
	('FR', 'easter+1', '(,)', 'Code du travail L3133-1', 'P', 'Easter Monday', 'holiday'),
	('FR', '05-01', '(,)', 'Code du travail L3133-1', 'P', 'Labour Day', 'holiday'),
	('FR', '05-08', '(,)', 'Code du travail L3133-1', 'P', 'Victory Day', 'holiday'),
	('FR', 'easter+39', '(,)', 'Code du travail L3133-1', 'P', 'Ascension', 'holiday'),
	('FR', 'easter+50', '(,)', 'Code du travail L3133-1', 'P', 'Whit Monday', 'holiday'),
	('FR', '07-14', '(,)', 'Code du travail L3133-1', 'P', 'National Day', 'holiday'),
	('FR', '08-15', '(,)', 'Code du travail L3133-1', 'P', 'Assumption', 'holiday'),
	('FR', '11-01', '(,)', 'Code du travail L3133-1', 'P', 'All Saints', 'holiday'),
	('FR', '11-11', '(,)', 'Code du travail L3133-1', 'P', 'Armistice', 'holiday'),
	('FR', '12-25', '(,)', 'Code du travail L3133-1', 'P', 'Christmas', 'holiday'),
	('ES', '01-01', '(,)', 'Estatuto de los Trabajadores 37.2', 'S', 'New Year', 'holiday'),
	('ES', '01-06', '(,)', 'Estatuto de los Trabajadores 37.2', 'S', 'Epiphany', 'holiday'),
	('ES', 'easter-2', '(,)', 'Estatuto de los Trabajadores 37.2', 'S', 'Good Friday', 'holiday'),
	('ES', '05-01', '(,)', 'Estatuto de los Trabajadores 37.2', 'S', 'Labour Day', 'holiday'),
	('ES', '08-15', '(,)', 'Estatuto de los Trabajadores 37.2', 'S', 'Assumption', 'holiday'),
	('ES', '10-12', '(,)', 'Estatuto de los Trabajadores 37.2', 'S', 'National Day', 'holiday'),
	('ES', '11-01', '(,)', 'Estatuto de los Trabajadores 37.2', 'S', 'All Saints', 'holiday'),
	('ES', '12-06', '(,)', 'Estatuto de los Trabajadores 37.2', 'S', 'Constitution Day', 'holiday'),
	('ES', '12-08', '(,)', 'Estatuto de los Trabajadores 37.2', 'S', 'Immaculate Conception', 'holiday'),
	('ES', '12-25', '(,)', 'Estatuto de los Trabajadores 37.2', 'S', 'Christmas', 'holiday'),
	('GB', 'Europe/London', '(,)', 'IANA time zone database', 'P', NULL, 'zone'),
	('IE', 'Europe/Dublin', '(,)', 'IANA time zone database', 'P', NULL, 'zone'),
	('DE', 'Europe/Berlin', '(,)', 'IANA time zone database', 'P', NULL, 'zone'),
	('NL', 'Europe/Amsterdam', '(,)', 'IANA time zone database', 'P', NULL, 'zone'),
	('FR', 'Europe/Paris', '(,)', 'IANA time zone database', 'P', NULL, 'zone'),
	('ES', 'Europe/Madrid Atlantic/Canary', '(,)', 'IANA time zone database', 'P', 'numbers do not tell the Canaries from the mainland', 'zone'),
	('IN', 'Asia/Kolkata', '(,)', 'IANA time zone database', 'P', NULL, 'zone'),
	('AE', 'Asia/Dubai', '(,)', 'IANA time zone database', 'P', NULL, 'zone'),
	('NZ', 'Pacific/Auckland', '(,)', 'IANA time zone database', 'P', NULL, 'zone'),
	('AU', 'Australia/Sydney Australia/Brisbane Australia/Adelaide Australia/Darwin Australia/Perth', '(,)', 'IANA time zone database', 'P', 'mobile numbers do not tell the state', 'zone'),
	('US', 'Mon-Sat 09:00-20:00', '(,)', '47 CFR 64.1200(f)(15); practice of large senders', 'D', 'where the person said yes; used when the rule "profile" says consented', 'consented_window'),
	('US', 'Sun 12:00-20:00', '(,)', '47 CFR 64.1200(f)(15); practice of large senders', 'D', 'where the person said yes; used when the rule "profile" says consented', 'consented_window')
) AS r (jurisdiction, value, effective, source, confidence, note, kind);
-- The store's own rows are numbered apart, so that a dump of them also fits a release that brings more.
ALTER SEQUENCE smsflow.policy_rule_policy_rule_id_seq RESTART 10001;

CREATE TYPE smsflow.gate_decision AS (reason text, retry_at timestamptz, open_until timestamptz);
COMMENT ON TYPE smsflow.gate_decision IS 'The gate''s word: reason NULL is yes, then until open_until (NULL: no window closes); else why not, and the instant at which it is worth asking again, NULL when no time heals it';
