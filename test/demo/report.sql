-- What became of the day. Everything here is read from smsflow's tables and
-- from the network's own log, which the file :network has as a table.

\pset footer off
\pset format wrapped
\pset columns 100
\pset linestyle unicode
\pset null ''

CREATE TEMP TABLE network_log (line integer GENERATED ALWAYS AS IDENTITY, source text, destination text, body text, report text);
COPY network_log (source, destination, body, report) FROM :'network';
CREATE TEMP VIEW network AS SELECT line, destination AS phone, body, report FROM network_log WHERE report <> 'reply';

-- Messages, and sequences that ended before they wrote.
CREATE TEMP VIEW line AS
	SELECT m.contact_id, m.created_at AS at, coalesce(m.campaign, m.sequence, 'answer to STOP') AS message, m.phone, m.body,
		CASE WHEN m.status = 'suppressed' THEN 'not sent' ELSE m.status END AS result,
		CASE m.reason
			WHEN 'no_consent' THEN 'did not agree to ' || m.purpose || ' messages'
			WHEN 'opted_out' THEN 'unsubscribed: ' || (SELECT concat_ws(' ', c.source, c.words) FROM smsflow.consent_event c
				WHERE c.contact_id = m.contact_id AND c.kind = 'revoke' AND m.purpose = ANY (c.purposes::text[])
				ORDER BY c.consent_event_id DESC LIMIT 1)
			ELSE coalesce(m.reason, concat_ws(': ', m.error_class, m.error_code)) END AS why
	FROM smsflow.message m
	UNION ALL
	SELECT n.contact_id, n.ended_at, s.name, NULL, NULL, 'not sent',
		CASE n.end_reason WHEN 'order' THEN 'bought before it was due' ELSE n.end_reason END
	FROM smsflow.enrollment n JOIN smsflow.sequence s USING (sequence_id)
	WHERE n.ended_at IS NOT NULL AND NOT EXISTS (SELECT FROM smsflow.outbox o WHERE o.enrollment_id = n.enrollment_id);

\echo 'What each customer got, and why not'
SELECT CASE WHEN row_number() OVER w = 1 THEN u.first_name END AS customer, l.message, l.result, l.why
FROM shop.customers u
LEFT JOIN smsflow.contact c ON c.external_id = u.id::text
LEFT JOIN line l USING (contact_id)
WINDOW w AS (PARTITION BY u.id ORDER BY l.at)
ORDER BY u.id, l.at;

\echo 'The campaign, as a BI tool sees it (smsflow_bi.campaign_totals)'
SELECT campaign, recipients AS people, suppressed, sent, delivered, undelivered, orders, revenue, currency
FROM smsflow_bi.campaign_totals;

\echo 'Why did Eve not get the flash sale? (smsflow.explain)'
SELECT to_char(e.at, 'HH24:MI:SS') AS at, e.what, e.detail
FROM shop.customers u, smsflow.explain('flash sale', u.phone) e
WHERE u.first_name = 'Eve';

\echo 'Is all well? (smsflow.health)'
SELECT component, CASE WHEN ok THEN 'yes' ELSE 'NO' END AS ok, message, hint FROM smsflow.health();

\echo 'Are all promises kept? (smsflow.check)'
SELECT count(*) AS invariants, sum(violations) AS violations FROM smsflow.check();

\echo 'smsflow and the network''s own log, compared'
CREATE TEMP VIEW comparison AS
	SELECT 'handed to the network' AS messages, (SELECT count(*) FROM smsflow.message WHERE sent_at IS NOT NULL) AS smsflow,
		(SELECT count(*) FROM network) AS network
	UNION ALL
	SELECT 'delivered to a phone', (SELECT count(*) FROM smsflow.message WHERE status = 'delivered'),
		(SELECT count(*) FROM network WHERE report = 'DELIVRD')
	UNION ALL
	SELECT 'undeliverable', (SELECT count(*) FROM smsflow.message WHERE status = 'undelivered'),
		(SELECT count(*) FROM network WHERE report = 'UNDELIV')
	UNION ALL
	SELECT 'same number, same text', (SELECT count(*) FROM smsflow.message WHERE sent_at IS NOT NULL),
		(SELECT count(*) FROM smsflow.message m WHERE m.sent_at IS NOT NULL
			AND (SELECT count(*) FROM network n WHERE n.phone = m.phone AND n.body = m.body) = 1)
	UNION ALL
	SELECT 'to Eve after her STOP', (SELECT count(*) FROM smsflow.message m JOIN smsflow.inbound i USING (contact_id) WHERE m.sent_at > i.received_at),
		(SELECT count(*) FROM network n JOIN network_log r ON r.report = 'reply' AND r.source = n.phone AND r.line < n.line)
	UNION ALL
	SELECT 'in one log only', (SELECT count(*) FROM smsflow.message WHERE sent_at IS NULL AND status <> 'suppressed'),
		(SELECT count(*) FROM network n WHERE NOT EXISTS (SELECT FROM smsflow.message m WHERE m.phone = n.phone AND m.body = n.body));
TABLE comparison;

-- The exit code of psql, and so of the demo, says whether the two agree.
SELECT bool_and(smsflow = network) AND (SELECT sum(violations) = 0 FROM smsflow.check())
	AND (SELECT bool_and(ok) FROM smsflow.health()) AS all_is_well FROM comparison \gset
\if :all_is_well
\else
	DO $$BEGIN RAISE EXCEPTION 'something in this report is not as it should be'; END$$;
\endif
