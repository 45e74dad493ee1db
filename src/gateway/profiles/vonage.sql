-- Vonage, SMS API and Messages API (Nexmo/api-specification sms.yml and
-- messages-olympus.yml; Vonage/vonage-python-sdk).
--
-- Options: username (the API key); the secret is the API secret. The SMS API
-- answers 200 also to what it refuses, reports each part of a long message by
-- itself, names the recipient "msisdn" and our sender "to", and hands on long
-- replies in parts. Codes of reports have another meaning than those of answers.
-- It is asked about the first part of a message, by its id. The Messages API can
-- be asked by the Reports API alone, which is paid for.
INSERT INTO smsflow.gateway_profile (profile, method, path, content_type, body, success_pattern, id_path, error_path,
	report, report_status, inbound, validity, max_length, wait_pattern, callback, signature, lookup, builtin)
VALUES ('vonage', 'POST', '/sms/json', 'application/x-www-form-urlencoded',
	'api_key={{option.username}}&api_secret={{secret}}&from={{from_digits}}&to={{to_digits}}&text={{body}}&type={{if_unicode.unicode|text}}'
	'&ttl={{validity_milliseconds}}&client-ref={{reference}}{{report_request|}}',
	'"status"\s*:\s*"0"', 'messages.0.message-id', 'messages.0.status',
	'{"status": "status", "code": "err-code", "code_prefix": "err-", "provider_id": "messageId", "cost": "price", "currency": "=EUR",
	  "at": "message-timestamp", "carrier": "network-code", "reference": "client-ref", "per_part": true}',
	'{"accepted": "accepted", "buffered": "accepted", "delivered": "delivered", "failed": "undelivered", "rejected": "rejected",
	  "expired": "expired", "unknown": "unknown"}',
	'{"from": "msisdn", "to": "to", "body": "text", "id": "messageId", "part_ref": "concat-ref", "part_total": "concat-total", "part_number": "concat-part"}',
	'[20,604801)', 3200, '\[ *([0-9]+) *\]',
	'{"ask": "&status-report-req=1&callback={{callback_url}}"}', '{"kind": "vonage", "hash": "md5"}',
	'{"by_id": {"url": "/search/message?api_key={{option.username}}&api_secret={{secret}}&id={{provider_id}}", "match": {"to": "to_digits"}},
	  "report": {"status": "final-status =accepted", "provider_id": "message-id", "cost": "price", "currency": "=EUR", "at": "date-closed",
	    "carrier": "network", "per_part": true},
	  "status": {"DELIVRD": "delivered", "EXPIRED": "expired", "UNDELIV": "undelivered", "REJECTD": "rejected", "UNKNOWN": "unknown", "FAILED": "undelivered"}}',
	true);

INSERT INTO smsflow.error_code (profile, code, class, meaning, builtin) VALUES
	('vonage', '1', 'throttled', 'too fast', true),
	('vonage', '2', 'invalid', 'missing parameter', true),
	('vonage', '3', 'invalid', 'invalid parameter', true),
	('vonage', '4', 'configuration', 'invalid credentials', true),
	('vonage', '5', 'temporary', 'internal error', true),
	('vonage', '6', 'undeliverable', 'unroutable', true),
	('vonage', '7', 'filtered', 'number is barred', true),
	('vonage', '8', 'configuration', 'account is barred', true),
	('vonage', '9', 'configuration', 'quota used up', true),
	('vonage', '10', 'throttled', 'too many connections', true),
	('vonage', '11', 'configuration', 'account may not use this interface', true),
	('vonage', '12', 'invalid', 'message too long', true),
	('vonage', '14', 'configuration', 'invalid signature', true),
	('vonage', '15', 'configuration', 'invalid sender', true),
	('vonage', '22', 'invalid', 'invalid network code', true),
	('vonage', '23', 'invalid', 'invalid callback URL', true),
	('vonage', '29', 'configuration', 'number is not on the whitelist', true),
	('vonage', '32', 'configuration', 'secret and signature together', true),
	('vonage', '33', 'filtered', 'number is de-activated', true),
	('vonage', 'err-1', 'unknown', 'unknown', true),
	('vonage', 'err-2', 'temporary', 'absent for the moment', true),
	('vonage', 'err-3', 'undeliverable', 'absent for good', true),
	('vonage', 'err-4', 'filtered', 'call barred by the user', true),
	('vonage', 'err-5', 'temporary', 'number is being ported', true),
	('vonage', 'err-6', 'filtered', 'spam', true),
	('vonage', 'err-7', 'temporary', 'handset busy', true),
	('vonage', 'err-8', 'temporary', 'network error', true),
	('vonage', 'err-9', 'opted_out', 'recipient has opted out', true),
	('vonage', 'err-10', 'invalid', 'illegal message', true),
	('vonage', 'err-11', 'filtered', 'unroutable', true),
	('vonage', 'err-12', 'undeliverable', 'destination cannot be reached', true),
	('vonage', 'err-13', 'filtered', 'age restriction', true),
	('vonage', 'err-14', 'filtered', 'blocked by the carrier', true),
	('vonage', 'err-15', 'filtered', 'prepaid account without funds', true),
	('vonage', 'err-16', 'configuration', 'quota of the gateway', true),
	('vonage', 'err-50', 'filtered', 'entity filter', true),
	('vonage', 'err-51', 'filtered', 'header filter', true),
	('vonage', 'err-52', 'filtered', 'content filter', true),
	('vonage', 'err-53', 'filtered', 'consent filter', true),
	('vonage', 'err-54', 'filtered', 'regulation', true),
	('vonage', 'err-99', 'unknown', 'general error', true);

INSERT INTO smsflow.gateway_profile (profile, method, path, headers, content_type, body, basic_auth, id_path, error_path, error_pattern,
	report, report_status, inbound, validity, max_length, media, callback, signature, builtin)
VALUES ('vonage_messages', 'POST', '/v1/messages', '{"Accept": "application/json"}', 'application/json',
	'{"message_type": "{{if_media.image|text}}", "channel": "{{if_media.mms|sms}}", "from": "{{from_digits}}", "to": "{{to_digits}}", {{media}}, '
	'"client_ref": "{{reference}}"{{report_request|}}}', true,
	'message_uuid', 'type', '([0-9]+)$',
	'{"status": "status", "code": "error.code error.type", "code_pattern": "([0-9]+)$", "provider_id": "message_uuid", "cost": "usage.price",
	  "currency": "usage.currency", "at": "timestamp", "reference": "client_ref"}',
	'{"submitted": "accepted", "delivered": "delivered", "read": "delivered", "rejected": "rejected", "undeliverable": "undelivered"}',
	'{"from": "from", "to": "to", "body": "text", "id": "message_uuid"}',
	'[20,604801)', 1000,
	'{"none": "\"text\": \"{{body}}\", \"ttl\": {{validity_seconds}}, \"sms\": {\"encoding_type\": \"{{if_unicode.unicode|text}}\"}", "most": 1,
	  "before": "\"image\": {\"url\": \"", "item": "{{media_url}}", "after": "\", \"caption\": \"{{body}}\"}"}',
	'{"ask": ", \"webhook_url\": \"{{callback_url}}\", \"webhook_version\": \"v1\""}',
	'{"kind": "jwt", "header": "authorization", "issuer": "Vonage", "payload_claim": "payload_hash"}', true);

INSERT INTO smsflow.error_code (profile, code, class, meaning, builtin) VALUES
	('vonage_messages', '1000', 'throttled', 'too fast', true),
	('vonage_messages', '1030', 'temporary', 'internal error', true),
	('vonage_messages', '1100', 'temporary', 'internal error', true),
	('vonage_messages', '1120', 'configuration', 'invalid sender', true),
	('vonage_messages', '1170', 'undeliverable', 'invalid number', true),
	('vonage_messages', '1240', 'opted_out', 'recipient has opted out', true);
