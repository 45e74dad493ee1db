-- Clickatell One API, https://docs.clickatell.com (fields: nyaruka/courier).
-- Status 4 is "received by recipient" in the vendor's list, but others take it
-- for a step on the way: change the row if your account shows that.
--
-- No options; the secret is the API key. What is refused comes in a 2xx.
-- Reports and replies come to the account's callback URLs: enter inbound_url()
-- for both. Replies are percent-encoded octets. There is no look-up: what the
-- answer to one looks like is not documented.
INSERT INTO smsflow.gateway_profile (profile, method, path, headers, content_type, body, success_pattern, id_path, error_path,
	report, report_status, inbound, validity, callback, builtin)
VALUES ('clickatell', 'POST', '/messages', '{"Authorization": "{{secret}}", "Accept": "application/json"}', 'application/json',
	'{"content": "{{body}}", "to": ["{{to_digits}}"], "from": "{{from_digits}}", "clientMessageId": "{{reference}}", "charset": "UTF-8", '
	'"validityPeriod": {{validity_minutes}}}',
	'"accepted"\s*:\s*true', 'messages.0.apiMessageId', 'messages.0.errorCode messages.0.error errorCode error',
	'{"status": "statusCode", "provider_id": "messageId", "reference": "clientMessageId", "at": "timestamp"}',
	'{"1": "unknown", "2": "accepted", "3": "accepted", "4": "delivered", "5": "undelivered", "6": "rejected", "7": "undelivered", "8": "delivered",
	  "9": "undelivered", "10": "expired", "11": "accepted", "12": "rejected", "14": "rejected"}',
	'{"from": "fromNumber", "to": "toNumber", "body": "text", "id": "messageId", "charset": "charset", "percent": true}',
	'[60,86401)', '{}', true);

INSERT INTO smsflow.error_code (profile, code, class, meaning, builtin) VALUES
	('clickatell', '5', 'unknown', 'error in message', true),
	('clickatell', '6', 'invalid', 'cancelled by the user', true),
	('clickatell', '7', 'unknown', 'error delivering', true),
	('clickatell', '9', 'filtered', 'routing error', true),
	('clickatell', '10', 'expired', 'validity passed', true),
	('clickatell', '12', 'configuration', 'out of credit', true),
	('clickatell', '14', 'configuration', 'limit of messages exceeded', true);
