-- Infobip SMS v3, https://www.infobip.com/docs/api/channels/sms
-- (infobip/infobip-api-python-client; codes: https://www.infobip.com/docs/essentials/response-status-and-error-codes).
--
-- No options; the base URL is the account's own, the secret is the API key. A
-- refusal comes inside a 200. Our message id is theirs, so a repeat is refused
-- with status 23, which proves that they have the message; their logs show it for 48 hours. Only status 5 means
-- that a handset has it: status 2 has the word "delivered" too, but is the operator's. Messages with media go to MMS v2, whose log is another.
INSERT INTO smsflow.gateway_profile (profile, method, path, headers, content_type, body, success_pattern, id_path, error_path,
	report, report_status, inbound, in_doubt, validity, media, callback, signature, lookup, batch, builtin)
VALUES ('infobip', 'POST', '/{{if_media.mms|sms}}/{{if_media.2|3}}/messages', '{"Authorization": "App {{secret}}", "Accept": "application/json"}', 'application/json',
	'{"messages": [{"sender": "{{from_digits}}", "destinations": [{"to": "{{to_digits}}", "messageId": "{{idempotency_key}}"}], '
	'{{media}}, "options": {"validityPeriod": {"amount": {{validity_minutes}}, "timeUnit": "MINUTES"}}{{report_request|}}}]}',
	'"groupId"\s*:\s*[13]\M|REJECTED_DUPLICATE_MESSAGE_ID', 'messages.0.messageId', 'messages.0.status.id requestError.serviceException.messageId',
	'{"status": "status.id", "code": "error.id", "code_prefix": "error-", "provider_id": "messageId", "reference": "callbackData",
	  "cost": "price.pricePerMessage", "currency": "price.currency", "at": "doneAt", "parts": "messageCount smsCount", "carrier": "mccMnc"}',
	'{"3": "accepted", "7": "accepted", "26": "accepted", "2": "accepted", "5": "delivered", "4": "undelivered", "9": "undelivered", "31": "undelivered",
	  "15": "expired", "29": "unknown", "6": "rejected", "8": "rejected", "10": "rejected", "11": "rejected", "12": "rejected", "13": "rejected",
	  "14": "rejected", "17": "rejected", "18": "rejected", "19": "rejected", "20": "rejected", "21": "rejected", "24": "rejected", "25": "rejected",
	  "51": "rejected", "52": "rejected", "87": "rejected"}',
	'{"from": "from", "to": "to", "body": "text cleanText", "id": "messageId"}', 'resend', '[60,172801)',
	'{"none": "\"content\": {\"text\": \"{{body}}\"}", "before": "\"content\": {\"messageSegments\": [{\"type\": \"TEXT\", \"text\": \"{{body}}\"}, ",
	  "item": "{\"type\": \"LINK\", \"contentUrl\": \"{{media_url}}\"}", "separator": ", ", "after": "]}"}',
	'{"records": "results", "ask": ", \"webhooks\": {\"delivery\": {\"url\": \"{{callback_url}}\", \"intermediateReport\": true}, \"contentType\": \"application/json\", \"callbackData\": \"{{reference}}\"}"}',
	'{"kind": "hmac", "hash": "sha256", "header": "x-hub-signature-256", "encoding": "hex", "payload": "{body}"}',
	'{"by_reference": {"url": "/sms/3/logs?messageId={{idempotency_key}}", "records": "results", "match": {"to": "to_digits"}}}',
	'{"most": 40, "body": "{\"messages\": [{{items}}]}", "separator": ", ", "results": "messages", "id": "messageId", "error": "status.id",
	  "item": "{\"sender\": \"{{from_digits}}\", \"destinations\": [{\"to\": \"{{to_digits}}\", \"messageId\": \"{{idempotency_key}}\"}], \"content\": {\"text\": \"{{body}}\"}, \"options\": {\"validityPeriod\": {\"amount\": {{validity_minutes}}, \"timeUnit\": \"MINUTES\"}}{{report_request|}}}"}', true);

INSERT INTO smsflow.error_code (profile, code, class, meaning, builtin) VALUES
	('infobip', 'TOO_MANY_REQUESTS', 'throttled', 'too many requests', true),
	('infobip', 'UNAUTHORIZED', 'configuration', 'invalid credentials', true),
	('infobip', '6', 'filtered', 'network is not allowed', true),
	('infobip', '8', 'filtered', 'prefix is not allowed', true),
	('infobip', '10', 'opted_out', 'do-not-disturb list', true),
	('infobip', '11', 'configuration', 'source is not registered', true),
	('infobip', '12', 'configuration', 'not enough credit', true),
	('infobip', '13', 'configuration', 'sender is on the blocklist', true),
	('infobip', '14', 'opted_out', 'destination is on the blocklist', true),
	('infobip', '15', 'expired', 'validity passed', true),
	('infobip', '17', 'configuration', 'package expired', true),
	('infobip', '18', 'configuration', 'only the test number is allowed', true),
	('infobip', '19', 'filtered', 'no route', true),
	('infobip', '20', 'filtered', 'too many messages to this number', true),
	('infobip', '21', 'temporary', 'system error', true),
	('infobip', '24', 'invalid', 'user data header', true),
	('infobip', '25', 'invalid', 'too long', true),
	('infobip', '51', 'undeliverable', 'no destination', true),
	('infobip', '52', 'undeliverable', 'invalid destination', true),
	('infobip', '87', 'filtered', 'blocked against fraud', true),
	('infobip', 'error-1', 'undeliverable', 'unknown subscriber', true),
	('infobip', 'error-6', 'temporary', 'absent subscriber', true),
	('infobip', 'error-9', 'undeliverable', 'illegal subscriber', true),
	('infobip', 'error-11', 'undeliverable', 'no text messages on this line', true),
	('infobip', 'error-12', 'undeliverable', 'illegal equipment', true),
	('infobip', 'error-13', 'filtered', 'call barred', true),
	('infobip', 'error-27', 'temporary', 'absent subscriber', true),
	('infobip', 'error-31', 'temporary', 'subscriber busy', true),
	('infobip', 'error-32', 'temporary', 'delivery failure, memory full', true),
	('infobip', 'error-34', 'temporary', 'system failure', true),
	('infobip', 'error-565', 'undeliverable', 'permanent failure', true),
	('infobip', 'error-572', 'configuration', 'campaign is not registered', true),
	('infobip', 'error-573', 'opted_out', 'blocked by the end user', true),
	('infobip', 'error-594', 'configuration', 'campaign is not registered', true),
	('infobip', 'error-603', 'filtered', 'content', true),
	('infobip', 'error-607', 'filtered', 'spam', true),
	('infobip', 'error-2052', 'filtered', 'destination is blocked', true),
	('infobip', 'error-3041', 'undeliverable', 'number is deactivated', true);
