-- AWS End User Messaging SMS v2 (boto/botocore, pinpoint-sms-voice-v2).
--
-- Options: region, username (the access key id), configuration_set; the secret
-- is the secret access key. Events of the configuration set and replies go to
-- SNS topics with an HTTPS subscription to inbound_url(). Context comes back in
-- every event. A TTL is 5 seconds to 72 hours.
INSERT INTO smsflow.gateway_profile (profile, method, path, headers, content_type, body, sigv4, id_path, error_path,
	report, report_status, inbound, validity, max_length, callback, signature, builtin)
VALUES ('aws_sms', 'POST', '/', '{"X-Amz-Target": "PinpointSMSVoiceV2.SendTextMessage"}', 'application/x-amz-json-1.0',
	'{"DestinationPhoneNumber": "{{to}}", "OriginationIdentity": "{{from}}", "MessageBody": "{{body}}", '
	'"MessageType": "{{if_marketing.PROMOTIONAL|TRANSACTIONAL}}", "ConfigurationSetName": "{{option.configuration_set}}", '
	'"TimeToLive": {{validity_seconds}}, "Context": {"reference": "{{reference}}"}}',
	'aws:amz:{{option.region}}:sms-voice', 'MessageId', 'Reason __type',
	'{"status": "eventType", "provider_id": "messageId", "reference": "context.reference", "at": "eventTimestamp", "cost": "totalMessagePrice",
	  "currency": "=USD", "parts": "totalMessageParts", "carrier": "mnc"}',
	'{"TEXT_QUEUED": "accepted", "TEXT_PENDING": "accepted", "TEXT_SENT": "accepted", "TEXT_SUCCESSFUL": "delivered", "TEXT_DELIVERED": "delivered",
	  "TEXT_INVALID": "undelivered", "TEXT_UNREACHABLE": "undelivered", "TEXT_CARRIER_UNREACHABLE": "undelivered", "TEXT_INVALID_MESSAGE": "rejected",
	  "TEXT_BLOCKED": "rejected", "TEXT_CARRIER_BLOCKED": "rejected", "TEXT_SPAM": "rejected", "TEXT_PROTECT_BLOCKED": "rejected",
	  "TEXT_TTL_EXPIRED": "expired", "TEXT_UNKNOWN": "unknown"}',
	'{"from": "originationNumber", "to": "destinationNumber", "body": "messageBody", "id": "inboundMessageId"}',
	'[5,259201)', 1600, '{"inner": "Message", "confirm": "SubscribeURL"}', '{"kind": "sns", "tolerance": 3600}', true);

INSERT INTO smsflow.error_code (profile, code, class, meaning, builtin) VALUES
	('aws_sms', 'ThrottlingException', 'throttled', 'too many requests', true),
	('aws_sms', 'InternalServerException', 'unknown', 'internal error', true),
	('aws_sms', 'AccessDeniedException', 'configuration', 'no permission', true),
	('aws_sms', 'UnrecognizedClientException', 'configuration', 'unknown access key', true),
	('aws_sms', 'InvalidSignatureException', 'configuration', 'wrong secret access key', true),
	('aws_sms', 'ResourceNotFoundException', 'configuration', 'no such sender or configuration set', true),
	('aws_sms', 'ServiceQuotaExceededException', 'configuration', 'quota used up', true),
	('aws_sms', 'MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT', 'configuration', 'spend limit reached', true),
	('aws_sms', 'ACCOUNT_DISABLED', 'configuration', 'account disabled', true),
	('aws_sms', 'INSUFFICIENT_ACCOUNT_REPUTATION', 'configuration', 'account reputation', true),
	('aws_sms', 'ValidationException', 'invalid', 'invalid request', true),
	('aws_sms', 'PRICE_OVER_THRESHOLD', 'invalid', 'price over the maximum', true),
	('aws_sms', 'SENDER_ID_NOT_REGISTERED', 'configuration', 'sender id is not registered', true),
	('aws_sms', 'DESTINATION_PHONE_NUMBER_OPTED_OUT', 'opted_out', 'recipient has opted out', true),
	('aws_sms', 'DESTINATION_COUNTRY_BLOCKED_BY_PROTECT_CONFIGURATION', 'filtered', 'country is blocked', true),
	('aws_sms', 'TEXT_INVALID', 'undeliverable', 'invalid number', true),
	('aws_sms', 'TEXT_INVALID_MESSAGE', 'invalid', 'invalid message', true),
	('aws_sms', 'TEXT_UNREACHABLE', 'temporary', 'handset out of reach', true),
	('aws_sms', 'TEXT_CARRIER_UNREACHABLE', 'temporary', 'carrier out of reach', true),
	('aws_sms', 'TEXT_BLOCKED', 'opted_out', 'opted out or blocked', true),
	('aws_sms', 'TEXT_CARRIER_BLOCKED', 'filtered', 'blocked by the carrier', true),
	('aws_sms', 'TEXT_SPAM', 'filtered', 'spam', true),
	('aws_sms', 'TEXT_PROTECT_BLOCKED', 'filtered', 'blocked by configuration', true),
	('aws_sms', 'TEXT_TTL_EXPIRED', 'expired', 'validity passed', true);
