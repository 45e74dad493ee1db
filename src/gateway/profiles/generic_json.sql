-- The plainest gateway a store can put in front of any provider. It promises to
-- take one Idempotency-Key once, so a message in doubt may be sent again.
INSERT INTO smsflow.gateway_profile (profile, method, headers, content_type, body, id_path, error_path, report, report_status, inbound, in_doubt, media, builtin)
VALUES ('generic_json', 'POST',
	'{"Authorization": "Bearer {{secret}}", "Idempotency-Key": "{{idempotency_key}}", "Accept": "application/json"}',
	'application/json',
	'{"to": "{{to}}", "from": "{{from}}", "text": "{{body}}", "reference": "{{reference}}", "callback_url": "{{callback_url|}}"{{media|}}}',
	'id', 'error.code',
	'{"status": "status", "code": "code", "provider_id": "id", "cost": "cost", "currency": "currency", "at": "at",
	  "parts": "parts", "carrier": "carrier", "line_type": "line_type"}',
	'{"queued": "accepted", "accepted": "accepted", "sent": "accepted", "delivered": "delivered", "undelivered": "undelivered",
	  "failed": "undelivered", "expired": "expired", "rejected": "rejected", "unknown": "unknown"}',
	'{"from": "from", "to": "to", "body": "text", "id": "id"}', 'resend',
	'{"before": ", \"media_urls\": [", "item": "\"{{media_url}}\"", "separator": ", ", "after": "]"}', true);

INSERT INTO smsflow.error_code (profile, code, class, meaning, builtin) VALUES
	('generic_json', 'invalid_number', 'undeliverable', NULL, true),
	('generic_json', 'unreachable', 'undeliverable', NULL, true),
	('generic_json', 'opted_out', 'opted_out', NULL, true),
	('generic_json', 'blocked', 'filtered', NULL, true),
	('generic_json', 'temporary', 'temporary', NULL, true),
	('generic_json', 'throttled', 'throttled', NULL, true),
	('generic_json', 'expired', 'expired', NULL, true),
	('generic_json', 'unauthorized', 'configuration', NULL, true),
	('generic_json', 'invalid_request', 'invalid', NULL, true);
