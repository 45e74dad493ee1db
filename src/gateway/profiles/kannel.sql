-- Kannel's sendsms interface, checked against Kannel 1.4.5 (test/gateway/README.md).
--
-- Kannel answers 202 also when only its own queue has the message, and 403 for
-- a wrong password as well as for a number without a route: the text tells. Asked
-- for reports without a URL, it calls the empty one again and again.
INSERT INTO smsflow.gateway_profile (profile, method, path, query, success_pattern, callback_query, report, report_status, inbound, builtin)
VALUES ('kannel', 'GET', '/cgi-bin/sendsms',
	'username={{option.username}}&password={{secret}}&from={{from}}&to={{to}}&charset=UTF-8&coding={{coding}}&text={{body}}'
	'&validity={{validity_minutes}}&dlr-mask={{dlr_mask|31}}&dlr-url={{callback_url|}}',
	'^(0: |3: |Sent)', 'status=%d&answer=%A&foreign_id=%F&at=%T',
	'{"status": "status", "code": "answer", "code_pattern": "(NACK/0x[0-9a-f]{8}|stat:\\w+ err:\\w+|stat:\\w+)", "provider_id": "foreign_id", "at": "at"}',
	'{"1": "delivered", "2": "undelivered", "4": "accepted", "8": "accepted", "16": "rejected", "32": "accepted"}',
	'{"from": "from", "to": "to", "body": "text", "id": "id", "charset": "charset"}', true);

-- SMPP 3.4, 5.1.3 (command_status) and appendix B (receipt text). Kannel itself
-- retries 08, 14, 58 and 64, so those that reach us are final.
INSERT INTO smsflow.error_code (profile, code, class, meaning, builtin) VALUES
	('kannel', 'text:Authorization failed', 'configuration', 'wrong username or password', true),
	('kannel', 'text:Not routable', 'invalid', 'no SMSC of this Kannel takes the number', true),
	('kannel', 'text:Temporal failure', 'temporary', 'not accepted, try again later', true),
	('kannel', 'text:Sending failed', 'temporary', 'not accepted', true),
	('kannel', 'text:Sender missing', 'configuration', 'no from, and no default for the user', true),
	('kannel', 'text:Not allowed', 'configuration', 'user or sender is not permitted', true),
	('kannel', 'text:Charset or body', 'invalid', 'text and coding do not agree', true),
	('kannel', 'http:404', 'configuration', 'base_url is not that of a smsbox', true),
	('kannel', 'NACK/0x00000005', 'configuration', 'already bound', true),
	('kannel', 'NACK/0x0000000a', 'configuration', 'invalid source address', true),
	('kannel', 'NACK/0x0000000b', 'undeliverable', 'invalid destination address', true),
	('kannel', 'NACK/0x0000000d', 'configuration', 'bind failed', true),
	('kannel', 'NACK/0x0000000e', 'configuration', 'invalid password', true),
	('kannel', 'NACK/0x0000000f', 'configuration', 'invalid system id', true),
	('kannel', 'NACK/0x00000008', 'temporary', 'system error', true),
	('kannel', 'NACK/0x00000014', 'temporary', 'message queue full', true),
	('kannel', 'NACK/0x00000045', 'temporary', 'submit failed', true),
	('kannel', 'NACK/0x00000058', 'throttled', 'throttling error', true),
	('kannel', 'NACK/0x00000064', 'temporary', 'temporary application error', true),
	('kannel', 'NACK/0x00000065', 'filtered', 'permanent application error', true),
	('kannel', 'NACK/0x00000066', 'filtered', 'rejected by the receiver', true),
	('kannel', 'NACK/0x000000fe', 'unknown', 'delivery failure', true),
	('kannel', 'NACK/0x000000ff', 'unknown', 'unknown error', true),
	('kannel', 'NACK/0x00000104', 'invalid', 'invalid broadcast parameter', true),
	('kannel', 'text:NACK/0x000000', 'invalid', 'refused by the SMSC', true),
	('kannel', 'text:NACK/0x0000010', 'configuration', 'service is not permitted', true),
	('kannel', 'text:NACK/0x', 'unknown', 'refused by the SMSC, in a code of its own', true),
	('kannel', 'text:stat:EXPIRED', 'expired', 'validity passed', true),
	('kannel', 'text:stat:DELETED', 'filtered', 'deleted by the network', true),
	('kannel', 'text:stat:REJECTD', 'filtered', 'rejected by the network', true),
	('kannel', 'text:stat:UNDELIV', 'unknown', 'undeliverable, reason not told', true),
	('kannel', 'stat:UNDELIV err:001', 'undeliverable', 'unknown subscriber', true),
	('kannel', 'stat:UNDELIV err:005', 'undeliverable', 'unidentified subscriber', true),
	('kannel', 'stat:UNDELIV err:006', 'temporary', 'absent subscriber', true),
	('kannel', 'stat:UNDELIV err:009', 'undeliverable', 'illegal subscriber', true),
	('kannel', 'stat:UNDELIV err:011', 'undeliverable', 'no text messages on this line', true),
	('kannel', 'stat:UNDELIV err:012', 'undeliverable', 'illegal equipment', true),
	('kannel', 'stat:UNDELIV err:013', 'filtered', 'call barred', true),
	('kannel', 'stat:UNDELIV err:027', 'temporary', 'absent subscriber', true),
	('kannel', 'stat:UNDELIV err:031', 'temporary', 'subscriber busy', true),
	('kannel', 'stat:UNDELIV err:032', 'temporary', 'delivery failure, memory full', true),
	('kannel', 'stat:UNDELIV err:033', 'temporary', 'waiting list full', true),
	('kannel', 'stat:UNDELIV err:034', 'temporary', 'system failure', true);
