-- Bad input: each is refused with its own SQLSTATE, says why without showing the extension's insides, and changes nothing.
CREATE FUNCTION pg_temp.state() RETURNS text LANGUAGE sql AS $$
	SELECT md5(concat((SELECT json_agg(c ORDER BY contact_id) FROM smsflow.contact c), (SELECT json_agg(e ORDER BY consent_event_id) FROM smsflow.consent_event e),
		(SELECT json_agg(p ORDER BY policy_rule_id) FROM smsflow.policy_rule p), (SELECT count(*) FROM smsflow.outbox), (SELECT count(*) FROM smsflow.suppression)))
$$;
SELECT smsflow.subscribe('+12065550101', '{promotional}') > 0 AS subscribed;
SELECT pg_temp.state() AS before \gset

-- Text that is no number.
SELECT smsflow.subscribe('nobody');
SELECT smsflow.opt_out('nobody');
SELECT smsflow.opt_out('nobody', '{promotional}');
SELECT smsflow.confirm_opt_in('nobody');
SELECT smsflow.consent_at('nobody');
SELECT * FROM smsflow.can_send('nobody', 'promotional');
SELECT smsflow.send('nobody', 'Hello', 'transactional');

SELECT smsflow.export_contact('nobody');
SELECT smsflow.erase_contact('nobody');
SELECT smsflow.wait_for_opt_out('nobody');
SELECT smsflow.export_contact('+12065550101', 'nobody');
SELECT smsflow.erase_contact(NULL);
-- A list whose mapping does not fit, a disclosure nobody registered, a reply nobody wrote.
CREATE TABLE list AS SELECT '+12065550103' AS mobile;
SELECT smsflow.import_contacts('list', '{"phone": "number"}');
SELECT smsflow.import_contacts('list', '{"name": "mobile"}');
SELECT smsflow.import_contacts('list', '{"phone": "mobile"}', options => '{"purposes": ["marketing"]}');
SELECT smsflow.subscribe('+12065550102', disclosure => 'unregistered');
SELECT smsflow.settle_review(-1, 'none');
SELECT smsflow.settle_review(-1, 'maybe');
DROP TABLE list;

-- 16 digits, vanity letters, and what the North American plan does not have: seven digits, an area code or exchange that begins with 0 or 1.
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY sqlstate
SELECT smsflow.subscribe('+1234567890123456');
SELECT smsflow.subscribe('+1-800-FLOWERS');
SELECT smsflow.subscribe('+1555123');
SELECT smsflow.subscribe('+1 555 0123');
SELECT smsflow.subscribe('+1 155 555 2671');
SELECT smsflow.subscribe('+1 415 055 2671');
SELECT smsflow.subscribe('+1 415 555 26711');
SELECT smsflow.subscribe('+44 20 7946');
SELECT smsflow.subscribe('');
SELECT smsflow.subscribe(NULL);
SELECT * FROM smsflow.can_send(NULL, 'promotional');
SELECT n, smsflow.phone_assignable(n::smsflow.phone) FROM unnest('{+12065550101,+1555123,+11065550101,+12061550101,+4915112345678,+33612345678}'::text[]) n;

-- Invalid UTF-8, an unknown purpose, level or brand, consent in the future, a disclosure nobody registered.
SELECT smsflow.subscribe(E'+1206555010\xff');
SELECT smsflow.subscribe('+12065550102', disclosure => E'Offers\xc3\x28');
SELECT smsflow.subscribe('+12065550102', '{marketing}');
SELECT smsflow.subscribe('+12065550102', '{}');
SELECT smsflow.opt_out('+12065550101', '{marketing}');
SELECT * FROM smsflow.can_send('+12065550101', 'marketing');
SELECT smsflow.subscribe('+12065550102', level => 'eager');
SELECT smsflow.subscribe('+12065550102', brand => 'nobody');
SELECT smsflow.subscribe('+12065550102', occurred_at => now() + interval '1 day');
SELECT smsflow.subscribe('+12065550102', disclosure => 'unregistered');
SELECT smsflow.subscribe('+12065550102', disclosure => 'unregistered@3');
SELECT smsflow.subscribe('+12065550102', evidence => '[1]');

-- A rule whose window ends before it begins, or whose range does.
INSERT INTO smsflow.policy_rule (jurisdiction, purpose, kind, value, source) VALUES ('US', 'promotional', 'window', 'Mon-Fri 20:00-08:00', 'test');
INSERT INTO smsflow.policy_rule (jurisdiction, purpose, kind, value, source, effective)
	VALUES ('US', 'promotional', 'window', 'Mon-Fri 08:00-20:00', 'test', tstzrange('2027-01-01', '2026-01-01'));

-- Text that is no value of the types.
SELECT 'promotional: eager'::smsflow.consent;
SELECT repeat('promotional: ', 100000)::smsflow.consent;
SELECT 'STOP'::smsflow.opt_out;
SELECT pg_temp.state() = :'before' AS nothing_changed;
