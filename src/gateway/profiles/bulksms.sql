-- BulkSMS.com JSON REST v1, https://www.bulksms.com/developer/json/v1
-- (its swagger.yaml, as in APIs-guru/openapi-directory).
--
-- Options: username (the token id); the secret is the token's secret. Repeats
-- with one deduplication-id are taken once for about 12 hours. Reports come as
-- a list to one webhook of the account: enter inbound_url() there for sent and
-- for received messages. Without an encoding, other alphabets become "?". The
-- deduplication-id is that of a request, not of a message, so only marketing,
-- which is never sent again, shares requests; each message keeps its reference.
INSERT INTO smsflow.gateway_profile (profile, method, path, query, headers, content_type, body, basic_auth, id_path, error_path, error_pattern,
	report, report_status, inbound, in_doubt, callback, lookup, batch, builtin)
VALUES ('bulksms', 'POST', '/v1/messages', 'deduplication-id={{idempotency_number}}', '{"Accept": "application/json"}', 'application/json',
	'{"from": "{{from}}", "to": "{{to}}", "body": "{{body}}", "encoding": "{{if_unicode.UNICODE|TEXT}}", "longMessageMaxParts": 10, '
	'"deliveryReports": "ALL", "userSuppliedId": "{{reference}}"}', true, '0.id id', 'type', '([^/#]+)$',
	'{"status": "status.type", "code": "status.subtype", "provider_id": "id", "reference": "userSuppliedId", "parts": "numberOfParts"}',
	'{"ACCEPTED": "accepted", "SCHEDULED": "accepted", "SENT": "accepted", "DELIVERED": "delivered", "UNKNOWN": "unknown", "FAILED": "undelivered",
	  "FAILED EXPIRED": "expired", "FAILED NOT_SENT": "rejected", "FAILED BLOCKED": "rejected"}',
	'{"from": "from", "to": "to", "body": "body", "id": "id", "when": {"type": "RECEIVED"}}', 'resend', '{"records": ""}',
	'{"by_id": {"url": "/v1/messages/{{provider_id}}", "match": {"userSuppliedId": "reference"}}}',
	'{"most": 30, "only": "marketing", "query": "", "body": "[{{items}}]", "separator": ", ", "results": "", "number": "to", "id": "id",
	  "item": "{\"from\": \"{{from}}\", \"to\": \"{{to}}\", \"body\": \"{{body}}\", \"encoding\": \"{{if_unicode.UNICODE|TEXT}}\", \"longMessageMaxParts\": 10, \"deliveryReports\": \"ALL\", \"userSuppliedId\": \"{{reference}}\"}"}', true);

INSERT INTO smsflow.error_code (profile, code, class, meaning, builtin) VALUES
	('bulksms', 'EXPIRED', 'expired', 'validity passed', true),
	('bulksms', 'HANDSET_ERROR', 'undeliverable', 'handset cannot receive it', true),
	('bulksms', 'BLOCKED', 'opted_out', 'recipient has replied STOP', true),
	('bulksms', 'NOT_SENT', 'unknown', 'not sent to the network', true);
