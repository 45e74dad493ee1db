-- Telnyx Messaging v2, https://developers.telnyx.com/docs/messaging
-- (team-telnyx/telnyx-python; codes: https://developers.telnyx.com/docs/messaging/messages/error-codes).
--
-- No options; the secret is the API key. The status of a refusal varies, its
-- code does not.
INSERT INTO smsflow.gateway_profile (profile, method, path, headers, content_type, body, id_path, error_path,
	report, report_status, inbound, media, callback, signature, lookup, builtin)
VALUES ('telnyx', 'POST', '/v2/messages', '{"Authorization": "Bearer {{secret}}", "Accept": "application/json"}', 'application/json',
	'{"from": "{{from}}", "to": "{{to}}", "text": "{{body}}"{{media|}}{{report_request|}}}', 'data.id', 'errors.0.code',
	'{"status": "data.payload.to.0.status", "code": "data.payload.errors.0.code", "provider_id": "data.payload.id", "cost": "data.payload.cost.amount",
	  "currency": "data.payload.cost.currency", "at": "data.occurred_at", "parts": "data.payload.parts", "carrier": "data.payload.to.0.carrier",
	  "line_type": "data.payload.to.0.line_type"}',
	'{"queued": "accepted", "sending": "accepted", "sent": "accepted", "delivered": "delivered", "delivery_failed": "undelivered",
	  "sending_failed": "rejected", "delivery_unconfirmed": "unknown", "expired": "expired"}',
	'{"from": "data.payload.from.phone_number", "to": "data.payload.to.0.phone_number", "body": "data.payload.text", "id": "data.payload.id",
	  "when": {"data.event_type": "message.received"}}',
	'{"before": ", \"media_urls\": [", "item": "\"{{media_url}}\"", "separator": ", ", "after": "]"}',
	'{"ask": ", \"webhook_url\": \"{{callback_url}}\", \"use_profile_webhooks\": false"}',
	'{"kind": "ed25519", "header": "telnyx-signature-ed25519", "timestamp": "telnyx-timestamp", "payload": "{timestamp}|{body}"}',
	'{"by_id": {"url": "/v2/messages/{{provider_id}}", "records": "data"},
	  "report": {"status": "to.0.status", "code": "errors.0.code", "provider_id": "id", "cost": "cost.amount", "currency": "cost.currency", "parts": "parts",
	    "carrier": "to.0.carrier", "line_type": "to.0.line_type"}}', true);

INSERT INTO smsflow.error_code (profile, code, class, meaning, builtin) VALUES
	('telnyx', '10011', 'throttled', 'too many requests', true),
	('telnyx', '20012', 'configuration', 'account inactive', true),
	('telnyx', '20013', 'configuration', 'account blocked', true),
	('telnyx', '20100', 'configuration', 'insufficient funds', true),
	('telnyx', '40001', 'undeliverable', 'not routable, or a landline', true),
	('telnyx', '40002', 'filtered', 'blocked as spam for now', true),
	('telnyx', '40003', 'filtered', 'sender blocked as spam for good', true),
	('telnyx', '40004', 'filtered', 'rejected by the destination', true),
	('telnyx', '40005', 'expired', 'expired in transit', true),
	('telnyx', '40006', 'temporary', 'carrier unavailable', true),
	('telnyx', '40008', 'undeliverable', 'undeliverable', true),
	('telnyx', '40009', 'invalid', 'invalid body', true),
	('telnyx', '40010', 'configuration', '10DLC number is not registered', true),
	('telnyx', '40011', 'temporary', 'too fast for the carrier', true),
	('telnyx', '40012', 'undeliverable', 'invalid destination number', true),
	('telnyx', '40013', 'configuration', 'invalid source number', true),
	('telnyx', '40014', 'expired', 'expired in the queue', true),
	('telnyx', '40015', 'filtered', 'filtered by Telnyx', true),
	('telnyx', '40016', 'temporary', 'T-Mobile daily cap', true),
	('telnyx', '40017', 'filtered', 'content', true),
	('telnyx', '40018', 'temporary', 'AT&T parts per minute', true),
	('telnyx', '40150', 'configuration', 'toll-free number is not verified', true),
	('telnyx', '40300', 'opted_out', 'blocked by STOP', true),
	('telnyx', '40305', 'configuration', 'invalid from', true),
	('telnyx', '40309', 'configuration', 'destination region is not whitelisted', true),
	('telnyx', '40310', 'undeliverable', 'invalid to', true),
	('telnyx', '40315', 'configuration', 'sender is unhealthy', true),
	('telnyx', '40318', 'throttled', 'queue is full', true),
	('telnyx', '40322', 'filtered', 'content', true),
	('telnyx', '40329', 'configuration', 'toll-free number is not verified', true);
