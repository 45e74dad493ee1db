-- Africa's Talking, https://developers.africastalking.com/docs/sms
-- (AfricasTalkingLtd/africastalking-node.js).
--
-- Options: username; the secret is the API key. "Success" in an answer means
-- accepted, in a report that the handset has it; "Expired" means that the
-- network took offence at the content. Reports name a message by the gateway's id alone, and come to
-- the account's URL: enter inbound_url() for delivery reports, replies and opt-outs.
INSERT INTO smsflow.gateway_profile (profile, method, path, headers, content_type, body, success_status, success_pattern, id_path, error_path,
	report, report_status, inbound, batch, builtin)
VALUES ('africastalking', 'POST', '/version1/messaging', '{"apiKey": "{{secret}}", "Accept": "application/json"}', 'application/x-www-form-urlencoded',
	'username={{option.username}}&to={{to}}&message={{body}}&from={{from}}&bulkSMSMode=1&enqueue=1', '[201,202)',
	'"statusCode"\s*:\s*10[012]\M', 'SMSMessageData.Recipients.0.messageId', 'SMSMessageData.Recipients.0.statusCode',
	'{"status": "status", "code": "failureReason", "provider_id": "id", "carrier": "networkCode", "key": "provider_id"}',
	'{"Sent": "accepted", "Submitted": "accepted", "Buffered": "accepted", "Success": "delivered", "Rejected": "rejected", "Failed": "undelivered",
	  "AbsentSubscriber": "undelivered", "Expired": "rejected"}',
	'{"from": "from phoneNumber", "to": "to senderId", "body": "text =STOP", "id": "id"}',
	'{"most": 100, "body": "username={{option.username}}&to={{items}}&message={{body}}&from={{from}}&bulkSMSMode=1&enqueue=1", "item": "{{to}}",
	  "separator": "%2C", "same": "body", "results": "SMSMessageData.Recipients", "number": "number", "id": "messageId", "error": "statusCode"}', true);

INSERT INTO smsflow.error_code (profile, code, class, meaning, builtin) VALUES
	('africastalking', '401', 'filtered', 'risk hold', true),
	('africastalking', '402', 'configuration', 'invalid sender id', true),
	('africastalking', '403', 'undeliverable', 'invalid number', true),
	('africastalking', '404', 'undeliverable', 'unsupported number type', true),
	('africastalking', '405', 'configuration', 'insufficient balance', true),
	('africastalking', '406', 'opted_out', 'on the blacklist', true),
	('africastalking', '407', 'filtered', 'could not route', true),
	('africastalking', '409', 'filtered', 'do-not-disturb', true),
	('africastalking', '500', 'temporary', 'internal error', true),
	('africastalking', '501', 'temporary', 'gateway error', true),
	('africastalking', '502', 'filtered', 'rejected by the gateway', true),
	('africastalking', 'AbsentSubscriber', 'temporary', 'absent subscriber', true),
	('africastalking', 'Expired', 'filtered', 'content flagged by the network', true),
	('africastalking', 'UserInBlackList', 'opted_out', 'on the blacklist', true),
	('africastalking', 'UserDoesNotExist', 'undeliverable', 'unknown subscriber', true),
	('africastalking', 'UserIsInactive', 'undeliverable', 'inactive subscriber', true),
	('africastalking', 'UserAccountSuspended', 'undeliverable', 'suspended subscriber', true),
	('africastalking', 'NotNetworkSubcriber', 'undeliverable', 'not a subscriber of this network', true),
	('africastalking', 'InsufficientCredit', 'configuration', 'insufficient credit', true),
	('africastalking', 'DeliveryFailure', 'unknown', 'delivery failure', true);
