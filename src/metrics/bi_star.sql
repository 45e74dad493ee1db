-- Facts and dimensions for tools that build their own figures. Keys are those of
-- the tables; nothing here tells a number, a name or a text.

CREATE OR REPLACE VIEW smsflow_bi.fact_message AS
	SELECT o.message_id, o.brand_id, o.contact_id, k.segment_id, o.campaign_id, o.sequence_id, o.step, o.variant, m.sender_id,
		o.purpose::text AS purpose, m.status::text AS status, m.reason, m.error_class, m.error_code, o.parts,
		CASE WHEN o.unicode THEN 'ucs2' ELSE 'gsm7' END AS encoding, smsflow.phone_region(o.recipient) AS country, m.attempts,
		m.cost, m.currency, o.created_at, m.sent_at, m.delivered_at, (o.created_at AT TIME ZONE 'UTC')::date AS created_date,
		(m.sent_at AT TIME ZONE 'UTC')::date AS sent_date
	FROM smsflow.outbox o
	JOIN smsflow.message_state m USING (message_id)
	LEFT JOIN smsflow.campaign k ON k.campaign_id = o.campaign_id;
COMMENT ON VIEW smsflow_bi.fact_message IS 'One row per message that retention has not dropped; reads every message, so select by ranges of message_id';

CREATE OR REPLACE VIEW smsflow_bi.fact_order AS
	SELECT e.event_id AS order_id, e.brand_id, e.contact_id, e.ref, e.data #>> '{order,cart_id}' AS cart_ref, e.amount, e.currency,
		e.occurred_at AS ordered_at, (e.occurred_at AT TIME ZONE 'UTC')::date AS ordered_date, a.message_id, o.campaign_id, o.sequence_id, o.step
	FROM smsflow.event e
	LEFT JOIN smsflow.attribution a ON a.kind = 'order' AND a.contact_id = e.contact_id
		AND a.ref = coalesce(nullif(e.ref, ''), 'event:' || e.event_id)
	LEFT JOIN smsflow.outbox o ON o.message_id = a.message_id
	WHERE e.kind = 'order' AND NOT EXISTS (SELECT FROM smsflow.event f
		WHERE f.contact_id = e.contact_id AND f.kind = 'order' AND f.ref = e.ref AND f.ref <> '' AND f.event_id < e.event_id);
COMMENT ON VIEW smsflow_bi.fact_order IS 'One row per order, however often it was reported, with the message that it is credited to';

CREATE OR REPLACE VIEW smsflow_bi.fact_click AS
	SELECT c.click_id, c.message_id, c.link, c.contact_id, o.brand_id, o.campaign_id, o.sequence_id, o.step, o.variant, c.clicked_at,
		(c.clicked_at AT TIME ZONE 'UTC')::date AS clicked_date, c.class, c.rule
	FROM smsflow.click c
	JOIN smsflow.outbox o USING (message_id);
COMMENT ON VIEW smsflow_bi.fact_click IS 'One row per hit of a short link, by people and by programs';

CREATE OR REPLACE VIEW smsflow_bi.dim_campaign AS
	SELECT c.campaign_id, c.name AS campaign, c.brand_id, b.name AS brand, c.segment_id, s.name AS segment, c.purpose::text AS purpose, c.status,
		c.created_at, c.launch_at, c.started_at, c.finished_at
	FROM smsflow.campaign c
	JOIN smsflow.brand b USING (brand_id)
	JOIN smsflow.segment s USING (segment_id);
COMMENT ON VIEW smsflow_bi.dim_campaign IS 'One row per campaign';

CREATE OR REPLACE VIEW smsflow_bi.dim_segment AS
	SELECT s.segment_id, s.name AS segment, s.brand_id, b.name AS brand
	FROM smsflow.segment s
	JOIN smsflow.brand b USING (brand_id);
COMMENT ON VIEW smsflow_bi.dim_segment IS 'One row per segment';

CREATE OR REPLACE VIEW smsflow_bi.dim_sender AS
	SELECT s.sender_id, s.address AS sender, s.kind, s.pool, s.registration, s.enabled AND g.enabled AS enabled, g.name AS gateway, g.profile
	FROM smsflow.sender s
	JOIN smsflow.gateway g USING (gateway_id);
COMMENT ON VIEW smsflow_bi.dim_sender IS 'One row per number, short code or sender id of the store';

CREATE OR REPLACE VIEW smsflow_bi.dim_date AS
	SELECT d::date AS date, extract(year FROM d)::integer AS year, extract(quarter FROM d)::integer AS quarter,
		extract(month FROM d)::integer AS month, extract(day FROM d)::integer AS day_of_month, extract(isodow FROM d)::integer AS iso_weekday,
		extract(isoyear FROM d)::integer AS iso_year, extract(week FROM d)::integer AS iso_week
	FROM generate_series('2020-01-01'::timestamp, date_trunc('year', now() AT TIME ZONE 'UTC') + interval '2 years' - interval '1 day', '1 day') d;
COMMENT ON VIEW smsflow_bi.dim_date IS 'One row per day, from 2020 to the end of next year';

CREATE OR REPLACE VIEW smsflow_bi.dim_contact_masked AS
	SELECT c.contact_id, c.brand_id, coalesce(c.region, smsflow.phone_region(c.phone)) AS region, smsflow.phone_kind(c.phone) AS number_kind,
		c.language, c.time_zone, c.reachability, smsflow.consent_level(c.consent, 'promotional')::text AS promotional_consent,
		smsflow.consent_level(c.consent, 'cart')::text AS cart_consent, (c.created_at AT TIME ZONE 'UTC')::date AS created_date
	FROM smsflow.contact c;
COMMENT ON VIEW smsflow_bi.dim_contact_masked IS 'One row per contact, without anything that tells who it is';
