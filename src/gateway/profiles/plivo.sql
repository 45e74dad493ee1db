-- Plivo, https://www.plivo.com/docs/messaging/api/message (plivo/plivo-python;
-- codes: https://www.plivo.com/docs/messaging/troubleshooting/error-codes).
-- Of the codes, those from 60 on are from the published table only in part.
--
-- Options: username (the auth id); the secret is the auth token.
INSERT INTO smsflow.gateway_profile (profile, method, path, content_type, body, basic_auth, id_path, error_path,
	report, report_status, inbound, validity, max_length, media, callback, signature, lookup, builtin)
VALUES ('plivo', 'POST', '/v1/Account/{{option.username}}/Message/', 'application/json',
	'{"src": "{{from_digits}}", "dst": "{{to_digits}}", "text": "{{body}}", "type": "{{if_media.mms|sms}}", '
	'"message_expiry": {{validity_seconds}}{{media|}}{{report_request|}}}', true, 'message_uuid.0', 'error_code',
	'{"status": "Status", "code": "ErrorCode", "provider_id": "MessageUUID", "cost": "TotalAmount", "currency": "=USD", "parts": "Units",
	  "carrier": "MNC", "at": "DeliveryReportTime SentTime"}',
	'{"queued": "accepted", "sent": "accepted", "delivered": "delivered", "undelivered": "undelivered", "failed": "rejected", "rejected": "rejected"}',
	'{"from": "From", "to": "To", "body": "Text", "id": "MessageUUID"}',
	'[5,10801)', 1600, '{"before": ", \"media_urls\": [", "item": "\"{{media_url}}\"", "separator": ", ", "after": "]"}',
	'{"ask": ", \"url\": \"{{callback_url}}\", \"method\": \"POST\""}', '{"kind": "plivo", "header": "x-plivo-signature-v3", "nonce": "x-plivo-signature-v3-nonce", "header_v2": "x-plivo-signature-v2", "nonce_v2": "x-plivo-signature-v2-nonce"}',
	'{"by_id": {"url": "/v1/Account/{{option.username}}/Message/{{provider_id}}/"},
	  "report": {"status": "message_state", "code": "error_code", "provider_id": "message_uuid", "cost": "total_amount", "currency": "=USD", "parts": "units"}}',
	true);

INSERT INTO smsflow.error_code (profile, code, class, meaning, builtin) VALUES
	('plivo', '10', 'invalid', 'invalid message', true),
	('plivo', '20', 'temporary', 'network error', true),
	('plivo', '30', 'filtered', 'spam detected', true),
	('plivo', '40', 'configuration', 'invalid source number', true),
	('plivo', '50', 'undeliverable', 'invalid destination number', true),
	('plivo', '60', 'filtered', 'loop detected', true),
	('plivo', '70', 'undeliverable', 'destination permanently unavailable', true),
	('plivo', '80', 'temporary', 'destination temporarily unavailable', true),
	('plivo', '90', 'filtered', 'no route available', true),
	('plivo', '100', 'filtered', 'prohibited by the carrier', true),
	('plivo', '110', 'invalid', 'message too long', true),
	('plivo', '200', 'opted_out', 'source number blocked by STOP from the recipient', true),
	('plivo', '201', 'filtered', 'destination blocked', true),
	('plivo', '300', 'temporary', 'failed to dispatch', true),
	('plivo', '420', 'expired', 'message expired', true),
	('plivo', '450', 'configuration', 'destination country barred', true),
	('plivo', '900', 'configuration', 'insufficient credit', true),
	('plivo', '910', 'configuration', 'account disabled', true),
	('plivo', '1000', 'unknown', 'unknown error', true);
