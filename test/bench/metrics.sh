#!/usr/bin/env bash
# What figures cost: the fold while the worker sends at full speed, as a share of
# that time, and reading views over a long history, which is made as rollups:
# CAMPAIGNS campaigns of 48 hours over 4 senders, 10,000 messages each. Prints
# milliseconds, best and median of 9 in one session.
#
#   test/bench/metrics.sh
#   MESSAGES=200000 CAMPAIGNS=2000
. "$(dirname "$0")/lib.sh"
MESSAGES=${MESSAGES:-100000}
CAMPAIGNS=${CAMPAIGNS:-2000}
CONTACTS=$MESSAGES

fold_share() {
	local begun ended
	start_sink "$sink_port"
	make_store
	sql -c 'SELECT pg_stat_reset()' >/dev/null
	begun=$(date +%s%N)
	enqueue "$MESSAGES"
	drain "$MESSAGES" 300
	ended=$(date +%s%N)
	wait_for "SELECT count(*) = 0 FROM smsflow.metric_delta" 30
	wait_for "SELECT total_time > 0 FROM pg_stat_user_functions WHERE funcname = 'fold_metrics'" 90
	sql -c "SELECT '| fold while sending, % of the time | ' || round((100e6 * total_time / ($ended - $begun))::numeric, 2) || ' | ' || calls || ' folds |'
		FROM pg_stat_user_functions WHERE funcname = 'fold_metrics'"
}

make_history() {
	say "$CAMPAIGNS campaigns"
	sql >/dev/null <<-SQL
		SELECT smsflow.create_segment('all', 'true');
		INSERT INTO smsflow.campaign (name, segment_id, body, purpose, status)
			SELECT 'campaign ' || n, 1, 'x', 'promotional', 'done' FROM generate_series(1, $CAMPAIGNS) n;
		INSERT INTO smsflow.metric_hour (bucket, brand_id, campaign_id, sequence_id, sender_id, step, variant, purpose, measure, currency, country, value, first_at, last_at)
			SELECT b, 1, c, 0, s, 0, 0, 'promotional', m, CASE WHEN m IN ('revenue', 'cost') THEN 'USD' ELSE '' END, CASE m WHEN 'cost' THEN 'US' ELSE '' END, 52, b, b
			FROM generate_series(1, $CAMPAIGNS) c, generate_series(1, 48) h, generate_series(1, 4) s,
				unnest('{recipients,queued,sent,accepted,delivered,undelivered,parts,clicks,clickers,opt_outs,orders,revenue,cost,delay:4}'::text[]) m,
				LATERAL (SELECT date_trunc('hour', now(), 'UTC') - make_interval(hours => ($CAMPAIGNS - c) * 4 + h) AS b) x;
		INSERT INTO smsflow.metric_ever (brand_id, campaign_id, sequence_id, step, variant, purpose, measure, currency, country, value, first_at, last_at)
			SELECT brand_id, campaign_id, sequence_id, step, variant, purpose, measure, currency, country, sum(value), min(first_at), max(last_at)
			FROM smsflow.metric_hour WHERE campaign_id <> 0 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9;
		VACUUM ANALYZE;
	SQL
}

# view NAME QUERY
view() {
	local times
	times=$({ echo '\timing on'; for _ in 1 2 3 4 5 6 7 8 9; do echo "$2 \\g /dev/null"; done; } | sql | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p')
	row "$1" "$(sort -g <<<"$times" | head -1)" "$(median $times)"
}

start_server "track_functions = 'all'"
row 'what' 'best (ms)' 'median (ms)'
row --- --- ---
fold_share
make_history
one="campaign = 'campaign $((CAMPAIGNS / 2))'"
view 'campaign_totals, all' 'SELECT * FROM smsflow_bi.campaign_totals'
view 'campaign_totals, one' "SELECT * FROM smsflow_bi.campaign_totals WHERE $one"
view 'campaign_hourly, one' "SELECT * FROM smsflow_bi.campaign_hourly WHERE $one"
view 'campaign_daily, one' "SELECT * FROM smsflow_bi.campaign_daily WHERE $one"
view 'campaign_money, one' "SELECT * FROM smsflow_bi.campaign_money WHERE $one"
view 'variant_results, one' "SELECT * FROM smsflow_bi.variant_results WHERE $one"
view 'sender_health' 'SELECT * FROM smsflow_bi.sender_health'
view 'find_alerts()' 'SELECT * FROM smsflow.find_alerts()'
view 'open_metrics()' 'SELECT smsflow.open_metrics()'
