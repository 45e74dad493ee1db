-- Replies that may mean STOP. Marketing ends when they come; what they meant is for a person to say.
-- Re-runnable.

CREATE OR REPLACE VIEW smsflow.review AS
	SELECT i.inbound_id, b.name AS brand, i.contact_id, i.phone::text AS phone, i.body, i.rule, i.received_at,
		(SELECT m.body FROM smsflow.touched t JOIN smsflow.outbox m USING (message_id)
			WHERE t.contact_id = i.contact_id AND t.span = i.contact_id >> 6 AND t.sent_at <= i.received_at AND t.purpose NOT IN ('compliance', 'otp')
			ORDER BY t.sent_at DESC LIMIT 1) AS answers
	FROM smsflow.inbound i JOIN smsflow.brand b USING (brand_id)
	WHERE i.action = 'review' AND i.settled_at IS NULL;
COMMENT ON VIEW smsflow.review IS 'Replies that may mean STOP and that nobody has settled: marketing to who wrote them has ended. answers is the text of the message before. See settle_review()';

-- What the reply ended, and nothing has touched since, holds again as it did: same level, same text.
CREATE OR REPLACE FUNCTION smsflow.restore_after_review(inbound_id bigint) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.subscribe(i.phone::text, array_agg(p.purpose::text), 'review', coalesce(g.disclosure_version, g.disclosure), g.level::text,
		jsonb_build_object('inbound_id', i.inbound_id, 'consent_event_id', g.consent_event_id), brand => b.name)
	FROM smsflow.inbound i
	JOIN smsflow.brand b USING (brand_id)
	JOIN smsflow.consent_event r ON r.contact_id = i.contact_id AND r.kind = 'revoke' AND r.source = 'keyword'
		AND r.evidence @> jsonb_build_object('inbound_id', i.inbound_id)
	CROSS JOIN LATERAL unnest(r.purposes) AS p (purpose)
	CROSS JOIN LATERAL (SELECT e.* FROM smsflow.consent_event e
		WHERE e.contact_id = r.contact_id AND e.consent_event_id < r.consent_event_id AND e.kind <> 'revoke' AND p.purpose = ANY (e.purposes)
			AND NOT EXISTS (SELECT FROM smsflow.consent_event x WHERE x.contact_id = e.contact_id AND x.kind = 'revoke' AND p.purpose = ANY (x.purposes)
				AND x.consent_event_id > e.consent_event_id AND x.consent_event_id < r.consent_event_id)
		ORDER BY e.level DESC, e.consent_event_id DESC LIMIT 1) AS g
	WHERE i.inbound_id = restore_after_review.inbound_id
		AND NOT EXISTS (SELECT FROM smsflow.consent_event l WHERE l.contact_id = r.contact_id AND l.consent_event_id > r.consent_event_id AND p.purpose = ANY (l.purposes))
	GROUP BY i.inbound_id, i.phone, b.name, g.consent_event_id, g.disclosure_version, g.disclosure, g.level
$$;
COMMENT ON FUNCTION smsflow.restore_after_review(bigint) IS 'Gives back what a reply under review has ended, at the level and by the text that held before; a later opt-out stays';
REVOKE ALL ON FUNCTION smsflow.restore_after_review(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.settle_review_inside(inbound_id bigint, action text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	reply smsflow.inbound;
BEGIN
	IF settle_review_inside.action IS NULL OR settle_review_inside.action NOT IN ('opt_out', 'none') THEN
		RAISE EXCEPTION USING ERRCODE = 'SF007', MESSAGE = format('unknown action "%s"', settle_review_inside.action),
			DETAIL = 'A reply under review is a STOP, or it is none.', HINT = 'The actions are opt_out and none.';
	END IF;
	SELECT i.* INTO reply FROM smsflow.inbound i WHERE i.inbound_id = settle_review_inside.inbound_id FOR UPDATE;
	IF reply.inbound_id IS NULL OR reply.action <> 'review' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('there is no reply %s under review', settle_review_inside.inbound_id),
			DETAIL = 'Replies whose meaning is clear are obeyed at once.', HINT = 'See smsflow.review.';
	END IF;
	IF reply.settled_at IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF005', MESSAGE = format('reply %s was settled before', settle_review_inside.inbound_id),
			DETAIL = format('It was settled as "%s".', reply.settled_as), HINT = 'Record what has changed since with subscribe() or opt_out().';
	END IF;
	UPDATE smsflow.inbound i SET settled_as = settle_review_inside.action, settled_at = clock_timestamp(), settled_by = session_user,
		waiting = false
	WHERE i.inbound_id = settle_review_inside.inbound_id;
	IF settle_review_inside.action = 'opt_out' THEN
		PERFORM smsflow.obey_opt_out(settle_review_inside.inbound_id);
	ELSE
		PERFORM smsflow.restore_after_review(settle_review_inside.inbound_id);
	END IF;
END $$;
COMMENT ON FUNCTION smsflow.settle_review_inside(bigint, text) IS 'What settle_review() does';
REVOKE ALL ON FUNCTION smsflow.settle_review_inside(bigint, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.settle_review(inbound_id bigint, action text) RETURNS void
	AS 'MODULE_PATHNAME', 'smsflow_outer' LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION smsflow.settle_review(bigint, text) IS
'Says what a reply under review meant: opt_out is obeyed and confirmed as a STOP; none gives back the marketing that it ended, unless the person has opted out since. Errors: SF004 no such reply under review, SF005 settled before, SF007 unknown action';
REVOKE ALL ON FUNCTION smsflow.settle_review(bigint, text) FROM PUBLIC;
