-- Sinch SMS (XMS), https://developers.sinch.com/docs/sms/api-reference
-- (sinch/sinch-sdk-python, sinch/sinch-sdk-java).
--
-- Options: service_plan; the secret is the API token. Without delivery_report
-- there are no reports at all. "Deleted" may mean a wrong number as well as an
-- opt-out, so it says nothing about the person here. MMS takes one URL, and has
-- to be enabled for the account.
INSERT INTO smsflow.gateway_profile (profile, method, path, headers, content_type, body, id_path, error_path,
	report, report_status, inbound, validity, max_length, media, callback, signature, in_doubt, lookup, builtin)
VALUES ('sinch', 'POST', '/xms/v1/{{option.service_plan}}/batches', '{"Authorization": "Bearer {{secret}}", "Accept": "application/json"}', 'application/json',
	'{"from": "{{from_digits}}", "to": ["{{to_digits}}"], {{media}}, "expire_at": "{{expires_at}}", '
	'"client_reference": "{{reference}}"{{report_request|}}}', 'id', 'code',
	'{"status": "status", "code": "code", "provider_id": "batch_id", "at": "operator_status_at at", "carrier": "operator",
	  "parts": "number_of_message_parts", "reference": "client_reference"}',
	'{"Queued": "accepted", "Dispatched": "accepted", "Delivered": "delivered", "Failed": "undelivered", "Rejected": "rejected", "Aborted": "rejected",
	  "Cancelled": "rejected", "Deleted": "undelivered", "Expired": "expired", "Unknown": "unknown"}',
	'{"from": "from", "to": "to", "body": "body", "id": "id", "when": {"type": "mo_text"}}',
	'[60,259201)', 1600,
	'{"none": "\"body\": \"{{body}}\", \"type\": \"mt_text\"", "most": 1, "before": "\"body\": {\"url\": \"", "item": "{{media_url}}",
	  "after": "\", \"message\": \"{{body}}\"}, \"type\": \"mt_media\""}',
	'{"ask": ", \"delivery_report\": \"per_recipient\", \"callback_url\": \"{{callback_url}}\""}',
	'{"kind": "hmac", "hash": "sha256", "header": "x-sinch-webhook-signature", "encoding": "base64", "nonce": "x-sinch-webhook-signature-nonce",
	  "timestamp": "x-sinch-webhook-signature-timestamp", "payload": "{body}.{nonce}.{timestamp}"}', 'poll',
	'{"by_reference": {"url": "/xms/v1/{{option.service_plan}}/batches?client_reference={{reference}}", "records": "batches", "match": {"client_reference": "reference"}},
	  "by_id": {"url": "/xms/v1/{{option.service_plan}}/batches/{{provider_id}}/delivery_report/{{to_digits}}"},
	  "report": {"status": "status =Queued", "code": "code", "provider_id": "batch_id id", "at": "operator_status_at at", "carrier": "operator"},
	  "patience": 60}', true);

INSERT INTO smsflow.error_code (profile, code, class, meaning, builtin) VALUES
	('sinch', 'Deleted', 'filtered', 'deleted by the network', true),
	('sinch', '402', 'undeliverable', 'unroutable', true),
	('sinch', '403', 'temporary', 'internal error', true),
	('sinch', '404', 'temporary', 'temporary failure', true),
	('sinch', '405', 'invalid', 'template parameter without value', true),
	('sinch', '406', 'expired', 'expired before the network had it', true),
	('sinch', '407', 'invalid', 'cancelled', true),
	('sinch', '408', 'filtered', 'rejected by the network', true),
	('sinch', '410', 'configuration', 'no originator', true),
	('sinch', '411', 'invalid', 'too many parts', true),
	('sinch', '412', 'configuration', 'region is not provisioned', true),
	('sinch', '413', 'configuration', 'account is blocked', true),
	('sinch', '414', 'invalid', 'MMS', true),
	('sinch', '415', 'invalid', 'MMS', true),
	('sinch', '416', 'invalid', 'MMS', true),
	('sinch', '417', 'invalid', 'MMS', true),
	('sinch', '418', 'invalid', 'MMS', true);
