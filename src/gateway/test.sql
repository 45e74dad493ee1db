-- A test is a message like any other, through the worker and the gate, but in a queue of its own whose requests are kept.

CREATE OR REPLACE FUNCTION smsflow.test_queue(gateway text) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	route CONSTANT smsflow.gateway := smsflow.require_gateway(gateway);
	sender CONSTANT integer := (SELECT s.sender_id FROM smsflow.sender s WHERE s.gateway_id = route.gateway_id AND s.enabled
		ORDER BY s.sender_id LIMIT 1);
	queue integer;
BEGIN
	IF NOT route.enabled OR sender IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF008', MESSAGE = format('gateway "%s" cannot send', route.name),
			DETAIL = CASE WHEN route.enabled THEN 'No sender of it is enabled.' ELSE 'It is not enabled.' END,
			HINT = CASE WHEN route.enabled THEN 'Add one with smsflow.add_sender().' ELSE 'Enable it with smsflow.set_gateway().' END;
	END IF;
	INSERT INTO smsflow.queue (lane, sender_id, source) VALUES (0, sender, 'test') ON CONFLICT DO NOTHING RETURNING queue_id INTO queue;
	IF queue IS NOT NULL THEN
		PERFORM smsflow.note_config();
		RETURN queue;
	END IF;
	RETURN (SELECT q.queue_id FROM smsflow.queue q WHERE (q.lane, q.sender_id, q.source) = (0, sender, 'test'));
END $$;
COMMENT ON FUNCTION smsflow.test_queue(text) IS 'Queue of test messages of a gateway, made when it is missing. Errors: SF004, SF008 when the gateway cannot send';
REVOKE ALL ON FUNCTION smsflow.test_queue(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.send_test(gateway text, phone text) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, smsflow, pg_temp AS $$
DECLARE
	body CONSTANT text := format('Test of gateway "%s"', (smsflow.require_gateway(gateway)).name);
	recipient CONSTANT smsflow.phone := phone::smsflow.phone;
	queue CONSTANT integer := smsflow.test_queue(gateway);
	message bigint;
BEGIN
	IF NOT smsflow.is_armed() THEN
		RAISE EXCEPTION USING ERRCODE = 'SF008', MESSAGE = 'this copy of the database does not send',
			DETAIL = COALESCE(smsflow.armed_problem(), 'Nobody has armed it.'), HINT = 'Call smsflow.arm() if this is the copy that shall send.';
	END IF;
	IF (SELECT c.reason FROM smsflow.can_send(phone, 'transactional') c) = 'opted_out' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = 'this person has opted out',
			DETAIL = 'A test is a message, too.', HINT = 'Use a telephone of your own.';
	END IF;
	DELETE FROM smsflow.gateway_trace t WHERE t.at < clock_timestamp() - interval '1 day';
	INSERT INTO smsflow.outbox AS o (expires_at, contact_id, recipient, queue_id, brand_id, purpose, parts, unicode, body)
		SELECT clock_timestamp() + interval '5 minutes', (SELECT c.contact_id FROM smsflow.contact c WHERE c.brand_id = 1 AND c.phone = recipient),
			recipient, queue, 1, 'compliance', 1, false, body
		RETURNING o.message_id INTO message;
	INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value)
		SELECT date_trunc('hour', clock_timestamp(), 'UTC'), 1, 0, 0, 0, 0, 'compliance', m, 1 FROM unnest('{recipients,parts,queued}'::text[]) AS m;
	PERFORM smsflow.note_enqueued(ARRAY[queue]);
	RETURN message;
END $$;
COMMENT ON FUNCTION smsflow.send_test(text, text) IS 'First half of test_gateway(): asks for a test message, which leaves after the commit; its id. Errors: SF001 phone, SF004 gateway, SF005 opted out, SF008 cannot send or not armed';
REVOKE ALL ON FUNCTION smsflow.send_test(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.test_result(message_id bigint, OUT status text, OUT reason text, OUT request text, OUT http_status integer, OUT answer text)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, smsflow, pg_temp
BEGIN ATOMIC
	SELECT m.status, COALESCE(m.error_class, m.reason), t.request, a.http_status::integer, t.answer
	FROM smsflow.message m
	JOIN smsflow.outbox o ON o.message_id = m.message_id
	JOIN smsflow.queue q ON q.queue_id = o.queue_id AND q.source = 'test'
	LEFT JOIN smsflow.gateway_trace t ON t.message_id = m.message_id
	LEFT JOIN LATERAL (SELECT a.http_status FROM smsflow.attempt a WHERE a.message_id = m.message_id ORDER BY a.recorded_at DESC LIMIT 1) a ON true
	WHERE m.message_id = test_result.message_id;
END;
COMMENT ON FUNCTION smsflow.test_result(bigint) IS 'What became of a message of send_test(); request has xxxxx where the secret stood';
REVOKE ALL ON FUNCTION smsflow.test_result(bigint) FROM PUBLIC;

-- A routine that commits can have no settings of its own, so every name in it is qualified.
CREATE OR REPLACE PROCEDURE smsflow.test_gateway(name text, phone text, INOUT status text DEFAULT NULL, INOUT reason text DEFAULT NULL,
		INOUT request text DEFAULT NULL, INOUT http_status integer DEFAULT NULL, INOUT answer text DEFAULT NULL)
	LANGUAGE plpgsql AS $$
DECLARE
	message CONSTANT bigint := smsflow.send_test(name, phone);
	patience CONSTANT timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) interval '40 seconds';
BEGIN
	LOOP
		COMMIT;
		SELECT r.status, r.reason, r.request, r.http_status, r.answer INTO status, reason, request, http_status, answer
			FROM smsflow.test_result(message) r;
		EXIT WHEN status OPERATOR(pg_catalog.<>) ALL ('{queued,sending}'::pg_catalog.text[]) OR pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) patience;
		PERFORM pg_catalog.pg_sleep(0.05);
	END LOOP;
END $$;
COMMENT ON PROCEDURE smsflow.test_gateway(text, text, text, text, text, integer, text) IS 'Sends one message through a gateway, and shows what became of it: its status and reason, the request without the secret, and the answer. Waits 40 seconds at most. Not inside a transaction block (2D000). Errors: SF001 phone, SF004 gateway, SF005 opted out, SF008 cannot send or not armed';
REVOKE ALL ON PROCEDURE smsflow.test_gateway(text, text, text, text, text, integer, text) FROM PUBLIC;
