-- How far campaigns are. Re-runnable, and behind the counters it reads.

CREATE OR REPLACE VIEW smsflow.progress_campaign AS
SELECT k.name AS campaign, k.status, k.planned, k.queued, k.refused, m.sent, round(100 * m.sent / nullif(k.planned - k.refused, 0), 1) AS percent,
	k.started_at, k.finished_at, k.error, k.waits_for, r.rate,
	CASE WHEN k.status IN ('running', 'done') AND k.waits_for IS NULL AND m.waiting > 0 AND r.rate > 0
		THEN now() + m.waiting / r.rate * interval '1 minute' END AS ends_about,
	k.launch_at, k.approved_by, k.approved_at
FROM smsflow.campaign AS k
CROSS JOIN LATERAL (
	SELECT coalesce(sum(d.value) FILTER (WHERE d.measure = 'sent'), 0)::bigint AS sent, sum(d.value) FILTER (WHERE d.measure = 'queued') AS waiting,
		min(d.first_at) FILTER (WHERE d.measure = 'sent') AS first_at, max(d.last_at) FILTER (WHERE d.measure = 'sent') AS last_at
	FROM smsflow.metric_of_all_time AS d WHERE d.campaign_id = k.campaign_id AND d.measure IN ('sent', 'queued')) AS m
CROSS JOIN LATERAL (
	SELECT round((m.sent * 60 / nullif(extract(epoch FROM m.last_at - m.first_at), 0)), 1) AS rate) AS r;
COMMENT ON VIEW smsflow.progress_campaign IS 'How far each campaign is';
COMMENT ON COLUMN smsflow.progress_campaign.planned IS 'Members of the segment, known once each has its message';
COMMENT ON COLUMN smsflow.progress_campaign.refused IS 'Members that the gate refused at expansion';
COMMENT ON COLUMN smsflow.progress_campaign.percent IS 'Sent, of those that were not refused; null until all have their message';
COMMENT ON COLUMN smsflow.progress_campaign.finished_at IS 'When the last member got its message, or the campaign failed or was cancelled; sending may go on';
COMMENT ON COLUMN smsflow.progress_campaign.waits_for IS 'Why it makes no more messages for now: budget, coupons, wave or winner';
COMMENT ON COLUMN smsflow.progress_campaign.rate IS 'Messages sent a minute, between the first and the last';
COMMENT ON COLUMN smsflow.progress_campaign.ends_about IS 'When all that still wait will have been sent, at that rate; null when nothing waits';
COMMENT ON COLUMN smsflow.progress_campaign.launch_at IS 'When its first messages are due; by local time, where the day begins first';
COMMENT ON COLUMN smsflow.progress_campaign.approved_by IS 'Who approved it as it is; null: nobody, or it was changed since';
