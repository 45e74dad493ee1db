-- Views of people in numbers: who joins and leaves, answers and buys again. They
-- count from the ledger, replies and orders themselves. Somebody agrees if the latest
-- grant is later than the latest revocation, in whatever order they were recorded.

CREATE OR REPLACE VIEW smsflow_bi.consent_funnel AS
	SELECT p.source, count(*) AS signed_up, count(*) FILTER (WHERE p.confirmed) AS confirmed,
		count(*) FILTER (WHERE p.messaged) AS messaged, count(*) FILTER (WHERE p.ordered) AS ordered,
		count(*) FILTER (WHERE NOT p.agrees) AS opted_out, count(*) FILTER (WHERE p.agrees) AS subscribed,
		count(*) FILTER (WHERE NOT p.agrees)::numeric / count(*) AS opt_out_share, b.name AS brand
	FROM (
		SELECT e.contact_id, (array_agg(CASE WHEN e.source LIKE 'import:%' THEN 'import' ELSE e.source END ORDER BY e.consent_event_id)
				FILTER (WHERE e.kind = 'grant'))[1] AS source,
			max(e.occurred_at) FILTER (WHERE e.kind <> 'revoke') > coalesce(max(e.occurred_at) FILTER (WHERE e.kind = 'revoke'), '-infinity') AS agrees,
			bool_or(e.kind = 'confirm') AS confirmed,
			EXISTS (SELECT FROM smsflow.touched t WHERE t.contact_id = e.contact_id AND t.purpose = 'promotional') AS messaged,
			EXISTS (SELECT FROM smsflow.event v WHERE v.contact_id = e.contact_id AND v.kind = 'order') AS ordered
		FROM smsflow.consent_event e
		WHERE 'promotional' = ANY (e.purposes)
		GROUP BY e.contact_id
		HAVING bool_or(e.kind = 'grant')
	) p
	JOIN smsflow.contact c USING (contact_id)
	JOIN smsflow.brand b USING (brand_id)
	GROUP BY p.source, b.brand_id;
COMMENT ON VIEW smsflow_bi.consent_funnel IS 'People who ever agreed to promotional messages, by where they did first, and how far they came; erased people are not here';

-- Only what changes whether a person takes promotional messages counts: agreeing
-- twice is no growth, saying STOP twice no loss.
CREATE OR REPLACE VIEW smsflow_bi.list_growth AS
	SELECT x.day, x.joined, x.left_list, x.joined - x.left_list AS net,
		sum(x.joined - x.left_list) OVER (PARTITION BY x.brand_id ORDER BY x.day)::bigint AS subscribers, b.name AS brand
	FROM (
		SELECT (e.recorded_at AT TIME ZONE 'UTC')::date AS day, coalesce(c.brand_id, r.brand_id, 1) AS brand_id,
			count(*) FILTER (WHERE e.agrees AND e.before IS DISTINCT FROM true) AS joined,
			count(*) FILTER (WHERE NOT e.agrees AND e.before) AS left_list
		FROM (
			SELECT contact_id, recorded_at, agrees, lag(agrees) OVER (PARTITION BY contact_id ORDER BY consent_event_id) AS before
			FROM (
				SELECT contact_id, consent_event_id, recorded_at, coalesce(max(occurred_at) FILTER (WHERE kind <> 'revoke') OVER so_far, '-infinity')
					> coalesce(max(occurred_at) FILTER (WHERE kind = 'revoke') OVER so_far, '-infinity') AS agrees
				FROM smsflow.consent_event
				WHERE 'promotional' = ANY (purposes)
				WINDOW so_far AS (PARTITION BY contact_id ORDER BY consent_event_id)
			) l
		) e
		LEFT JOIN smsflow.contact c USING (contact_id)
		LEFT JOIN smsflow.removed_contact r USING (contact_id)
		GROUP BY 1, 2
	) x
	JOIN smsflow.brand b USING (brand_id)
	WHERE x.joined > 0 OR x.left_list > 0;
COMMENT ON VIEW smsflow_bi.list_growth IS 'How many people began and ended to take promotional messages, by day (UTC) on which it was recorded';

-- The credit is given right after the opt-out is recorded, in its transaction.
CREATE OR REPLACE VIEW smsflow_bi.opt_out_trend AS
	SELECT (e.recorded_at AT TIME ZONE 'UTC')::date AS day, k.name AS campaign, q.name AS sequence,
		CASE WHEN e.source LIKE 'import:%' THEN 'import' ELSE e.source END AS source, i.rule AS keyword_rule, count(*) AS opt_outs,
		b.name AS brand
	FROM smsflow.consent_event e
	LEFT JOIN smsflow.contact c USING (contact_id)
	LEFT JOIN smsflow.removed_contact r USING (contact_id)
	JOIN smsflow.brand b ON b.brand_id = coalesce(c.brand_id, r.brand_id, 1)
	LEFT JOIN smsflow.inbound i ON i.inbound_id = (e.evidence ->> 'inbound_id')::bigint
	LEFT JOIN LATERAL (
		SELECT o.campaign_id, o.sequence_id FROM smsflow.attribution a JOIN smsflow.outbox o USING (message_id)
		WHERE a.kind = 'opt_out' AND a.contact_id = e.contact_id AND a.at >= e.recorded_at AND a.at < e.recorded_at + interval '1 minute'
			AND o.purpose = ANY (e.purposes)
		ORDER BY a.at
		LIMIT 1
	) o ON true
	LEFT JOIN smsflow.campaign k ON k.campaign_id = o.campaign_id
	LEFT JOIN smsflow.sequence q ON q.sequence_id = o.sequence_id
	WHERE e.kind = 'revoke'
	GROUP BY 1, k.campaign_id, k.name, q.sequence_id, q.name, 4, i.rule, b.brand_id;
COMMENT ON VIEW smsflow_bi.opt_out_trend IS 'Opt-outs by day (UTC), way, keyword rule, and the campaign or sequence whose message they followed within 24 hours';

CREATE OR REPLACE VIEW smsflow_bi.reply_summary AS
	SELECT (i.received_at AT TIME ZONE 'UTC')::date AS day, i.action, i.rule AS keyword_rule, count(*) AS replies,
		count(DISTINCT i.phone) AS people, count(*) FILTER (WHERE i.action = 'review' AND i.settled_at IS NULL) AS unsettled, b.name AS brand
	FROM smsflow.inbound i
	JOIN smsflow.brand b USING (brand_id)
	GROUP BY 1, i.action, i.rule, b.brand_id;
COMMENT ON VIEW smsflow_bi.reply_summary IS 'Replies of customers by day (UTC) and what they were understood as';

CREATE OR REPLACE VIEW smsflow_bi.cohort_repeat_purchase AS
	WITH bought AS (
		SELECT DISTINCT ON (contact_id, coalesce(nullif(ref, ''), event_id::text)) contact_id, amount, currency, occurred_at,
			date_trunc('month', occurred_at, 'UTC') AS month, brand_id
		FROM smsflow.event
		WHERE kind = 'order' AND contact_id IS NOT NULL
		ORDER BY contact_id, coalesce(nullif(ref, ''), event_id::text), event_id
	), placed AS (
		SELECT o.*, min(month) OVER (PARTITION BY contact_id) AS cohort,
			occurred_at > min(occurred_at) OVER (PARTITION BY contact_id) AS again
		FROM bought o
	), size AS (
		SELECT brand_id, cohort, count(DISTINCT contact_id) AS people FROM placed GROUP BY brand_id, cohort
	)
	SELECT (p.cohort AT TIME ZONE 'UTC')::date AS cohort,
		(12 * extract(year FROM age(p.month AT TIME ZONE 'UTC', p.cohort AT TIME ZONE 'UTC'))
			+ extract(month FROM age(p.month AT TIME ZONE 'UTC', p.cohort AT TIME ZONE 'UTC')))::integer AS months_later,
		s.people, count(DISTINCT p.contact_id) AS buyers, count(DISTINCT p.contact_id) FILTER (WHERE p.again) AS repeat_buyers,
		count(*) AS orders, count(DISTINCT p.contact_id) FILTER (WHERE p.again)::numeric / s.people AS repeat_rate,
		CASE WHEN count(DISTINCT p.currency) > 1 THEN NULL ELSE coalesce(sum(p.amount), 0) END AS revenue,
		CASE WHEN count(DISTINCT p.currency) = 1 THEN min(p.currency) END AS currency, b.name AS brand
	FROM placed p
	JOIN size s USING (brand_id, cohort)
	JOIN smsflow.brand b USING (brand_id)
	GROUP BY b.brand_id, p.cohort, p.month, s.people;
COMMENT ON VIEW smsflow_bi.cohort_repeat_purchase IS 'People by the month (UTC) of their first order, and who of them bought again in which later month';
