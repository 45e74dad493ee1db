-- What pg_dump takes along. Rows that the extension brings itself are left out
-- by condition. Left out whole, on purpose: secret, because a dump is copied
-- freely (a copy that shall know its suppressed numbers needs the secret
-- suppression_key from the original); arming and worker_start, because a restored
-- copy must not send; import_row, which is empty between imports; seal_note, which is of this cluster; gateway_trace, which is for a day; otp and otp_block,
-- which live for a day and are of no use without the secret otp_key.
--
-- Segments made later are ordinary tables, which pg_dump takes along anyway.

SELECT pg_extension_config_dump('smsflow.brand', '');
SELECT pg_extension_config_dump('smsflow.brand_brand_id_seq', '');
SELECT pg_extension_config_dump('smsflow.contact', '');
SELECT pg_extension_config_dump('smsflow.contact_contact_id_seq', '');
SELECT pg_extension_config_dump('smsflow.consent_event', '');
SELECT pg_extension_config_dump('smsflow.consent_event_consent_event_id_seq', '');
SELECT pg_extension_config_dump('smsflow.consent_seal', '');
SELECT pg_extension_config_dump('smsflow.disclosure', '');
SELECT pg_extension_config_dump('smsflow.disclosure_disclosure_id_seq', '');
SELECT pg_extension_config_dump('smsflow.import', '');
SELECT pg_extension_config_dump('smsflow.import_import_id_seq', '');
SELECT pg_extension_config_dump('smsflow.removed_contact', '');
SELECT pg_extension_config_dump('smsflow.suppression', '');
SELECT pg_extension_config_dump('smsflow.policy_rule', 'WHERE NOT builtin');
SELECT pg_extension_config_dump('smsflow.policy_rule_policy_rule_id_seq', '');

SELECT pg_extension_config_dump('smsflow.auto_reply', 'WHERE NOT builtin');
SELECT pg_extension_config_dump('smsflow.business_hours', '');
SELECT pg_extension_config_dump('smsflow.gateway_profile', 'WHERE NOT builtin');
SELECT pg_extension_config_dump('smsflow.error_code', 'WHERE NOT builtin');
SELECT pg_extension_config_dump('smsflow.gateway', '');
SELECT pg_extension_config_dump('smsflow.gateway_gateway_id_seq', '');
SELECT pg_extension_config_dump('smsflow.sender', '');
SELECT pg_extension_config_dump('smsflow.sender_sender_id_seq', '');
SELECT pg_extension_config_dump('smsflow.registration', '');
SELECT pg_extension_config_dump('smsflow.registration_registration_id_seq', '');
SELECT pg_extension_config_dump('smsflow.warm_up', 'WHERE NOT builtin');
SELECT pg_extension_config_dump('smsflow.quota', '');
SELECT pg_extension_config_dump('smsflow.quota_quota_id_seq', '');

SELECT pg_extension_config_dump('smsflow.queue', 'WHERE queue_id > 5');
SELECT pg_extension_config_dump('smsflow.queue_queue_id_seq', '');
SELECT pg_extension_config_dump('smsflow.message_id_seq', '');
SELECT pg_extension_config_dump('smsflow.timer_id_seq', '');
SELECT pg_extension_config_dump('smsflow.outbox_default', '');
SELECT pg_extension_config_dump('smsflow.attempt_default', '');
SELECT pg_extension_config_dump('smsflow.timer_default', '');
SELECT pg_extension_config_dump('smsflow.report_default', '');
SELECT pg_extension_config_dump('smsflow.touch', '');
SELECT pg_extension_config_dump('smsflow.touch_run', '');
SELECT pg_extension_config_dump('smsflow.dedup', '');
SELECT pg_extension_config_dump('smsflow.claim', '');
SELECT pg_extension_config_dump('smsflow.claim_claim_id_seq', '');
SELECT pg_extension_config_dump('smsflow.unsettled', '');
SELECT pg_extension_config_dump('smsflow.lookup', '');
SELECT pg_extension_config_dump('smsflow.resolution', '');
SELECT pg_extension_config_dump('smsflow.resolution_resolution_id_seq', '');
SELECT pg_extension_config_dump('smsflow.revocation', '');
SELECT pg_extension_config_dump('smsflow.revocation_revocation_id_seq', '');
SELECT pg_extension_config_dump('smsflow.message_segment', '');

SELECT pg_extension_config_dump('smsflow.segment', '');
SELECT pg_extension_config_dump('smsflow.segment_segment_id_seq', '');
SELECT pg_extension_config_dump('smsflow.segment_snapshot', '');
SELECT pg_extension_config_dump('smsflow.segment_recipe', 'WHERE NOT builtin');
SELECT pg_extension_config_dump('smsflow.profile_fact', '');
SELECT pg_extension_config_dump('smsflow.profile_delta', '');
SELECT pg_extension_config_dump('smsflow.profile_sent', '');
SELECT pg_extension_config_dump('smsflow.profile_sent_sent_id_seq', '');
SELECT pg_extension_config_dump('smsflow.contact_product_fact', '');
SELECT pg_extension_config_dump('smsflow.value_tier', 'WHERE NOT builtin');
SELECT pg_extension_config_dump('smsflow.template', '');
SELECT pg_extension_config_dump('smsflow.template_template_id_seq', '');
SELECT pg_extension_config_dump('smsflow.campaign', '');
SELECT pg_extension_config_dump('smsflow.campaign_campaign_id_seq', '');
SELECT pg_extension_config_dump('smsflow.campaign_variant', '');
SELECT pg_extension_config_dump('smsflow.campaign_wave', '');
SELECT pg_extension_config_dump('smsflow.campaign_translation', '');
SELECT pg_extension_config_dump('smsflow.campaign_member', '');
SELECT pg_extension_config_dump('smsflow.campaign_recipient', '');
SELECT pg_extension_config_dump('smsflow.campaign_policy', '');
SELECT pg_extension_config_dump('smsflow.text_policy', '');
SELECT pg_extension_config_dump('smsflow.price', '');
SELECT pg_extension_config_dump('smsflow.seed', '');
SELECT pg_extension_config_dump('smsflow.coupon_pool', '');
SELECT pg_extension_config_dump('smsflow.coupon_pool_coupon_pool_id_seq', '');
SELECT pg_extension_config_dump('smsflow.coupon', '');

SELECT pg_extension_config_dump('smsflow.watch', '');
SELECT pg_extension_config_dump('smsflow.watch_watch_id_seq', '');
SELECT pg_extension_config_dump('smsflow.event', '');
SELECT pg_extension_config_dump('smsflow.event_id_seq', '');
SELECT pg_extension_config_dump('smsflow.event_problem', '');
SELECT pg_extension_config_dump('smsflow.sequence', '');
SELECT pg_extension_config_dump('smsflow.sequence_sequence_id_seq', '');
SELECT pg_extension_config_dump('smsflow.sequence_step', '');
SELECT pg_extension_config_dump('smsflow.enrollment', '');
SELECT pg_extension_config_dump('smsflow.enrollment_enrollment_id_seq', '');

SELECT pg_extension_config_dump('smsflow.interest', '');
SELECT pg_extension_config_dump('smsflow.interest_interest_id_seq', '');
SELECT pg_extension_config_dump('smsflow.stock', '');
SELECT pg_extension_config_dump('smsflow.recipe', 'WHERE NOT builtin');
SELECT pg_extension_config_dump('smsflow.otp_policy', '');

SELECT pg_extension_config_dump('smsflow.callback', '');
SELECT pg_extension_config_dump('smsflow.callback_id_seq', '');
SELECT pg_extension_config_dump('smsflow.callback_problem', '');
SELECT pg_extension_config_dump('smsflow.feedback', '');
SELECT pg_extension_config_dump('smsflow.feedback_feedback_id_seq', '');
SELECT pg_extension_config_dump('smsflow.provider_message', '');
SELECT pg_extension_config_dump('smsflow.inbound_part', '');
SELECT pg_extension_config_dump('smsflow.inbound_part_inbound_part_id_seq', '');
SELECT pg_extension_config_dump('smsflow.inbound', '');
SELECT pg_extension_config_dump('smsflow.inbound_inbound_id_seq', '');

SELECT pg_extension_config_dump('smsflow.link_key', '');
SELECT pg_extension_config_dump('smsflow.link_domain', '');
SELECT pg_extension_config_dump('smsflow.click', '');
SELECT pg_extension_config_dump('smsflow.click_click_id_seq', '');
SELECT pg_extension_config_dump('smsflow.click_rule', 'WHERE NOT builtin');

SELECT pg_extension_config_dump('smsflow.metric_delta', '');
SELECT pg_extension_config_dump('smsflow.metric_hour', '');
SELECT pg_extension_config_dump('smsflow.metric_ever', '');
SELECT pg_extension_config_dump('smsflow.metric_dropped', '');
SELECT pg_extension_config_dump('smsflow.attribution', '');
SELECT pg_extension_config_dump('smsflow.alert_rule', 'WHERE NOT builtin');
SELECT pg_extension_config_dump('smsflow.alert', '');
SELECT pg_extension_config_dump('smsflow.alert_alert_id_seq', '');

-- The position in the event and callback logs goes along, or a restored copy
-- would process all of them again; replace_unused_tail() makes room for it. The
-- generation goes along because it owns the restored claims.
SELECT pg_extension_config_dump('smsflow.tail', '');
SELECT pg_extension_config_dump('smsflow.generation_seq', '');
