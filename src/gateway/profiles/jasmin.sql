-- Jasmin SMS gateway, its HTTP interface, https://docs.jasminsms.com/en/latest/apis/http
-- (jookies/jasmin).
--
-- Options: username; the secret is the password. Other alphabets travel as
-- octets in hex. Jasmin calls again unless the answer is exactly ACK/Jasmin.
INSERT INTO smsflow.gateway_profile (profile, method, path, query, success_pattern, id_pattern,
	report, report_status, inbound, callback, builtin)
VALUES ('jasmin', 'GET', '/send',
	'username={{option.username}}&password={{secret}}&from={{from_digits}}&to={{to_digits}}&coding={{if_unicode.8|0}}'
	'&{{if_unicode.hex-content|content}}={{body_or_hex}}&validity-period={{validity_minutes}}{{report_request|}}',
	'^Success "', '^Success "([^"]+)"',
	'{"status": "message_status", "code": "err", "code_prefix": "err-", "provider_id": "id"}',
	'{"ESME_ROK": "accepted", "SCHEDULED": "accepted", "ENROUTE": "accepted", "ACKED": "accepted", "BUFFRED": "accepted", "BUFFERD": "accepted",
	  "ACCEPTD": "accepted", "DELIVRD": "delivered", "UNDELIV": "undelivered", "DELETED": "undelivered", "EXPIRED": "expired", "UNKNOWN": "unknown",
	  "REJECTD": "rejected", "ESME_RSYSERR": "rejected", "ESME_RINVSRCADR": "rejected", "ESME_RINVDSTADR": "rejected", "ESME_RMSGQFUL": "rejected",
	  "ESME_RSUBMITFAIL": "rejected", "ESME_RTHROTTLED": "rejected", "ESME_RX_T_APPN": "rejected", "ESME_RX_P_APPN": "rejected",
	  "ESME_RX_R_APPN": "rejected"}',
	'{"from": "from", "to": "to", "body": "content", "id": "id", "charset": "coding", "binary": "binary"}',
	'{"ask": "&dlr=yes&dlr-level=3&dlr-method=POST&dlr-url={{callback_url}}", "answer": "ACK/Jasmin"}', true);

-- SMPP 3.4, 5.1.3 (command_status) and appendix B (receipt text).
INSERT INTO smsflow.error_code (profile, code, class, meaning, builtin) VALUES
	('jasmin', 'text:Error "Authentication fail', 'configuration', 'wrong username or password', true),
	('jasmin', 'text:Error "Authorization fail', 'configuration', 'user is not permitted', true),
	('jasmin', 'text:Error "Cannot charge', 'configuration', 'no credit', true),
	('jasmin', 'text:Error "User throughput exceeded', 'throttled', 'too fast', true),
	('jasmin', 'text:Error "No route found', 'configuration', 'no route', true),
	('jasmin', 'text:Error "Mandatory argument', 'invalid', 'missing parameter', true),
	('jasmin', 'text:Error "Cannot send submit_sm', 'temporary', 'not accepted', true),
	('jasmin', 'DELETED', 'filtered', 'deleted by the network', true),
	('jasmin', 'REJECTD', 'filtered', 'rejected by the network', true),
	('jasmin', 'EXPIRED', 'expired', 'validity passed', true),
	('jasmin', 'ESME_RSYSERR', 'temporary', 'system error', true),
	('jasmin', 'ESME_RINVSRCADR', 'configuration', 'invalid source address', true),
	('jasmin', 'ESME_RINVDSTADR', 'undeliverable', 'invalid destination address', true),
	('jasmin', 'ESME_RMSGQFUL', 'temporary', 'message queue full', true),
	('jasmin', 'ESME_RSUBMITFAIL', 'temporary', 'submit failed', true),
	('jasmin', 'ESME_RTHROTTLED', 'throttled', 'throttling error', true),
	('jasmin', 'ESME_RX_T_APPN', 'temporary', 'temporary application error', true),
	('jasmin', 'ESME_RX_P_APPN', 'filtered', 'permanent application error', true),
	('jasmin', 'ESME_RX_R_APPN', 'filtered', 'rejected by the receiver', true),
	('jasmin', 'err-001', 'undeliverable', 'unknown subscriber', true),
	('jasmin', 'err-005', 'undeliverable', 'unidentified subscriber', true),
	('jasmin', 'err-006', 'temporary', 'absent subscriber', true),
	('jasmin', 'err-009', 'undeliverable', 'illegal subscriber', true),
	('jasmin', 'err-011', 'undeliverable', 'no text messages on this line', true),
	('jasmin', 'err-012', 'undeliverable', 'illegal equipment', true),
	('jasmin', 'err-013', 'filtered', 'call barred', true),
	('jasmin', 'err-027', 'temporary', 'absent subscriber', true),
	('jasmin', 'err-031', 'temporary', 'subscriber busy', true),
	('jasmin', 'err-032', 'temporary', 'delivery failure, memory full', true),
	('jasmin', 'err-033', 'temporary', 'waiting list full', true),
	('jasmin', 'err-034', 'temporary', 'system failure', true);
