-- MessageBird REST (rest.messagebird.com), https://developers.messagebird.com/api/sms-messaging
-- (messagebird/python-rest-api).
--
-- No options; the secret is the access key. Without a reference no reports
-- come. Codes of reports have another meaning than those of answers.
INSERT INTO smsflow.gateway_profile (profile, method, path, headers, content_type, body, id_path, error_path,
	report, report_status, inbound, validity, callback, signature, lookup, builtin)
VALUES ('messagebird', 'POST', '/messages', '{"Authorization": "AccessKey {{secret}}", "Accept": "application/json"}', 'application/json',
	'{"originator": "{{from_digits}}", "recipients": ["{{to_digits}}"], "body": "{{body}}", "datacoding": "{{if_unicode.unicode|plain}}", '
	'"validity": {{validity_seconds}}, "reference": "{{reference}}"{{report_request|}}}', 'id', 'errors.0.code',
	'{"status": "status", "code": "statusErrorCode", "code_prefix": "status-", "provider_id": "id", "cost": "price[amount]", "currency": "price[currency]",
	  "at": "statusDatetime", "parts": "messagePartCount", "carrier": "mccmnc", "reference": "reference"}',
	'{"scheduled": "accepted", "sent": "accepted", "buffered": "accepted", "delivered": "delivered", "expired": "expired", "delivery_failed": "undelivered"}',
	'{"from": "originator", "to": "recipient", "body": "body message", "id": "id"}',
	'[60,259201)', '{"ask": ", \"reportUrl\": \"{{callback_url}}\"", "answer": "OK"}',
	'{"kind": "jwt", "header": "messagebird-signature-jwt", "issuer": "MessageBird", "payload_claim": "payload_hash", "url_claim": "url_hash"}',
	'{"by_id": {"url": "/messages/{{provider_id}}", "match": {"reference": "reference"}},
	  "report": {"status": "recipients.items.0.status", "code": "recipients.items.0.statusErrorCode", "code_prefix": "status-", "provider_id": "id",
	    "at": "recipients.items.0.statusDatetime", "cost": "recipients.items.0.price.amount", "currency": "recipients.items.0.price.currency",
	    "parts": "recipients.items.0.messagePartCount"}}', true);

INSERT INTO smsflow.error_code (profile, code, class, meaning, builtin) VALUES
	('messagebird', '2', 'configuration', 'wrong access key', true),
	('messagebird', '9', 'invalid', 'missing parameter', true),
	('messagebird', '10', 'invalid', 'invalid parameter', true),
	('messagebird', '20', 'invalid', 'not found', true),
	('messagebird', '25', 'configuration', 'not enough balance', true),
	('messagebird', '98', 'configuration', 'no such interface', true),
	('messagebird', 'status-1', 'undeliverable', 'unknown subscriber', true),
	('messagebird', 'status-2', 'undeliverable', 'unknown subscriber', true),
	('messagebird', 'status-3', 'undeliverable', 'unknown subscriber', true),
	('messagebird', 'status-5', 'undeliverable', 'unknown subscriber', true),
	('messagebird', 'status-6', 'temporary', 'absent subscriber', true),
	('messagebird', 'status-9', 'undeliverable', 'illegal subscriber', true),
	('messagebird', 'status-11', 'undeliverable', 'no text messages on this line', true),
	('messagebird', 'status-12', 'undeliverable', 'illegal equipment', true),
	('messagebird', 'status-13', 'filtered', 'call barred', true),
	('messagebird', 'status-27', 'temporary', 'absent subscriber', true),
	('messagebird', 'status-31', 'temporary', 'subscriber busy', true),
	('messagebird', 'status-32', 'temporary', 'delivery failure, memory full', true),
	('messagebird', 'status-33', 'temporary', 'waiting list full', true),
	('messagebird', 'status-34', 'temporary', 'system failure', true),
	('messagebird', 'status-103', 'opted_out', 'recipient has opted out', true);
