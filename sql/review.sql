-- Replies that may mean STOP: marketing waits for a person's word.
SELECT smsflow.suspend_rule('window');
INSERT INTO smsflow.secret (name, value) VALUES ('callback_key', 'regress') ON CONFLICT DO NOTHING;
SELECT smsflow.add_gateway('rv', 'kannel', 'https://kannel.example.com', '{"username": "shop"}') > 0 AS added;
SELECT smsflow.add_sender('+12065550100', 'rv', pool => 'rv_pool') > 0 AS added;
SELECT smsflow.add_disclosure('rv', 'Yes, text me offers and cart reminders.', '{promotional,cart}') AS version;
CREATE FUNCTION pg_temp.says(digits text, words text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	path CONSTANT text := '/in/rv';
	code integer;
BEGIN
	SELECT status INTO code FROM smsflow.receive_callback('rv', 'GET', path || '/' || smsflow.callback_mac(path),
		format('from=1206555%s&to=12065550100&text=%s&id=%s', digits, replace(words, ' ', '+'), digits || md5(words)), '{}', '');
	RETURN CASE WHEN code BETWEEN 200 AND 299 THEN (SELECT max(inbound_id) FROM smsflow.inbound) ELSE -code END;
END $$;
CREATE FUNCTION pg_temp.allowed(digits text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(p, ' ' ORDER BY p) FROM unnest('{transactional,cart,promotional}'::text[]) p
	WHERE smsflow.permits((SELECT consent FROM smsflow.contact WHERE phone::text = '+1206555' || digits), p::smsflow.purpose, 'express')
$$;
CREATE TEMP VIEW listed AS SELECT phone, body FROM smsflow.review WHERE phone LIKE '+12065550%' ORDER BY inbound_id;
CREATE TEMP VIEW confirmations AS SELECT m.phone, count(*) FROM smsflow.message m
	WHERE m.phone LIKE '+12065550%' AND m.purpose = 'compliance' GROUP BY 1 ORDER BY 1;
SELECT count(smsflow.subscribe('+1206555' || d, '{promotional,cart,transactional}', 'web', 'Offers and shopping cart reminders', 'written')) AS people
	FROM unnest('{0171,0172,0173,0174}'::text[]) d;
SELECT smsflow.subscribe('+12065550174', '{promotional,cart}', 'web', 'rv', 'written') > 0 AS again;
SELECT pg_temp.says('0171', 'wrong number') AS ann, pg_temp.says('0172', 'wrong number') AS bob, pg_temp.says('0173', 'wrong number') AS cyd,
	pg_temp.says('0174', 'wrong number') AS dan \gset
SELECT * FROM listed;
SELECT d, pg_temp.allowed(d) FROM unnest('{0171,0172,0173,0174}'::text[]) d;

-- It was one.
SELECT smsflow.settle_review(:ann, 'opt_out');
SELECT pg_temp.allowed('0171');
SELECT * FROM confirmations;
-- It was none: what held before holds again, at its level and by its text.
SELECT smsflow.settle_review(:bob, 'none'), smsflow.settle_review(:dan, 'none');
SELECT d, pg_temp.allowed(d) FROM unnest('{0172,0174}'::text[]) d;
SELECT right(c.phone::text, 4) AS who, e.kind, e.purposes, e.level, e.source, e.disclosure_version, e.disclosure
	FROM smsflow.consent_event e JOIN smsflow.contact c USING (contact_id) WHERE c.phone::text IN ('+12065550172', '+12065550174') AND e.source = 'review' ORDER BY 1, 3;
SELECT settled_as, settled_at IS NOT NULL AS settled, settled_by = session_user AS by_us FROM smsflow.inbound WHERE inbound_id = :bob;
-- A STOP that came meanwhile stays, whatever is said of the words before it.
SELECT pg_temp.says('0173', 'STOP') > 0 AS heard;
SELECT smsflow.settle_review(:cyd, 'none');
SELECT pg_temp.allowed('0173');
SELECT * FROM listed;
SELECT * FROM confirmations;
SELECT v.problem FROM smsflow.verify_consent_ledger() v JOIN smsflow.contact c USING (contact_id) WHERE c.phone::text LIKE '+12065550%';

-- What cannot be settled.
\set VERBOSITY sqlstate
SELECT smsflow.settle_review(:ann, 'opt_out');
SELECT smsflow.settle_review(:ann, 'maybe');
SELECT smsflow.settle_review((SELECT max(inbound_id) FROM smsflow.inbound), 'none');
SELECT smsflow.settle_review(0, 'none');

-- START to one brand revives nothing of another.
SELECT smsflow.create_brand('rv other') > 0 AS created;
SELECT smsflow.subscribe('+12065550171', '{promotional}', brand => 'rv other') > 0 AS subscribed;
SELECT smsflow.opt_out('+12065550171', brand => 'rv other') AS ended;
SELECT pg_temp.says('0171', 'START') > 0 AS heard;
SELECT b.name, smsflow.permits(c.consent, 'promotional', 'express') AS promotional FROM smsflow.contact c JOIN smsflow.brand b USING (brand_id)
	WHERE c.phone::text = '+12065550171' ORDER BY 1;
-- An informational STOP ends what the rules say, no more.
SELECT smsflow.stop_purposes('transactional') AS informational, smsflow.stop_purposes('promotional') AS marketing;
-- A gateway that confirms a STOP itself.
SELECT smsflow.set_gateway('rv', options => '{"username": "shop", "answers_stop": true}');
SELECT pg_temp.says('0172', 'STOP') > 0 AS heard;
SELECT pg_temp.allowed('0172');
SELECT * FROM confirmations;
