#!/usr/bin/env bash
# What figures cost: the processor time of a worker while it counts against that
# of the same one while it does not (half_counted.c); the fold while the
# worker sends at full speed, as a share of that time; and reading views over a
# long history, which is made as rollups:
# CAMPAIGNS campaigns of 48 hours over 4 senders, 10,000 messages each. Prints
# milliseconds, best and median of 9 in one session, and processor time, which
# others on the machine do not distort. Then an hour in which an analyst's
# snapshot stays open, in quick motion: its folds, one after the other, of as many
# deltas as a second of full speed brings.
#
#   test/bench/metrics.sh
#   test/bench/metrics.sh overhead       what counting costs alone
#   MESSAGES=200000 ROUNDS=15 CAMPAIGNS=2000 FOLDS=3600 DELTAS=320
. "$(dirname "$0")/lib.sh"
. test/copy.sh
ROUNDS=${ROUNDS:-15}
MESSAGES=${MESSAGES:-100000}
CAMPAIGNS=${CAMPAIGNS:-2000}
FOLDS=${FOLDS:-3600}
DELTAS=${DELTAS:-320}
CONTACTS=$MESSAGES

# in_other COMMAND: the same, with the server whose worker counts half of the time
in_other() {
	local work=$work/half port=$((port + 2))
	PATH="$work$($PG_CONFIG --bindir):$PATH" "$@"
}

start_other() {
	make -s build/half_counted/smsflow.so
	copy_installation "$work/half" build/half_counted/smsflow.so
	[ "$(id -u)" -eq 0 ] && chown postgres "$work/half"
	in_other start_server
	in_other make_store
}

send_round() {
	local target=$(($(sent) + MESSAGES))
	enqueue "$MESSAGES"
	drain "$target" 300
}

overhead() {
	for ((round = 0; round < ROUNDS; round++)); do
		in_other send_round
		say "  $(grep -o 'counted: .*' "$work/half/log" | tail -1)"
	done
	row 'processor time of the worker a message, counted / not' "$(grep -o ' counted: .*' "$work/half/log" | tail -1 |
		awk '{ printf "%.3f (%d / %d ns)", $2 / $10, $2, $10 }')" "$(grep -o ' counted: .*' "$work/half/log" | tail -1)"
}

fold_share() {
	local begun ended target=$(($(sent) + MESSAGES))
	sql -c 'SELECT pg_stat_reset()' >/dev/null
	begun=$(date +%s%N)
	enqueue "$MESSAGES"
	drain "$target" 300
	ended=$(date +%s%N)
	wait_for "SELECT count(*) = 0 FROM smsflow.metric_delta" 30
	wait_for "SELECT total_time > 0 FROM pg_stat_user_functions WHERE funcname = 'fold_metrics'" 90
	sql -c "SELECT '| fold while sending, % of the time | ' || round((100e6 * total_time / ($ended - $begun))::numeric, 2) || ' | ' || calls || ' folds |'
		FROM pg_stat_user_functions WHERE funcname = 'fold_metrics'"
	sql -c "SELECT '| deltas a message | ' || round(n_tup_ins::numeric / $MESSAGES, 3) || ' | ' || n_tup_ins || ' in all |'
		FROM pg_stat_user_tables WHERE relname = 'metric_delta'"
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

# processor_time QUERY: milliseconds of the server process for each of 20
processor_time() {
	{
		echo "SELECT pg_backend_pid() AS pid" '\gset'
		echo '\setenv PID :pid'
		echo "$1 \\g /dev/null"
		echo '\! cut -d" " -f14,15 "/proc/$PID/stat"'
		for _ in {1..20}; do echo "$1 \\g /dev/null"; done
		echo '\! cut -d" " -f14,15 "/proc/$PID/stat"'
	} | sql | awk -v ticks="$(getconf CLK_TCK)" '{ used = $1 + $2 - before; before = $1 + $2 } END { printf "%.1f", used * 1000 / ticks / 20 }'
}

# view NAME QUERY
view() {
	local times
	times=$({ echo '\timing on'; for _ in 1 2 3 4 5 6 7 8 9; do echo "$2 \\g /dev/null"; done; } | sql | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p')
	row "$1" "$(sort -g <<<"$times" | head -1)" "$(median $times), processor $(processor_time "$2")"
}

# fold_again FIRST LAST: mean milliseconds of these folds
fold_again() {
	sql -c "CALL fold_again($1, $2)" -c "SELECT round(avg(ms)::numeric, 1) FROM fold_time WHERE number BETWEEN $1 AND $2"
}
totals_time() { processor_time 'SELECT * FROM smsflow_bi.campaign_totals'; }
delta_size() { sql -c "SELECT pg_size_pretty(pg_relation_size('smsflow.metric_delta'))"; }

old_snapshot() {
	say "$FOLDS folds under an old snapshot"
	sql >/dev/null <<-SQL
		CREATE TABLE fold_time (number integer, ms double precision);
		CREATE PROCEDURE fold_again(first integer, last integer) LANGUAGE plpgsql AS \$\$
		DECLARE
			begun timestamptz;
		BEGIN
			FOR n IN first .. last LOOP
				INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value)
					SELECT date_trunc('hour', now(), 'UTC'), 1, 1 + g % 4, 0, 1, 0, 'promotional', (ARRAY['queued', 'accepted', 'sent', 'delivered'])[1 + g / 4 % 4], 1
					FROM generate_series(1, $DELTAS) g;
				COMMIT;
				begun := clock_timestamp();
				PERFORM smsflow.fold_metrics();
				INSERT INTO fold_time VALUES (n, 1000 * extract(epoch FROM clock_timestamp() - begun));
				COMMIT;
			END LOOP;
		END \$\$;
	SQL
	row 'fold, nobody has a snapshot' "$(fold_again 1 20)" "$(delta_size)"
	PGAPPNAME=analyst sql -c 'BEGIN ISOLATION LEVEL REPEATABLE READ' -c 'SELECT count(*) FROM smsflow.campaign' -c 'SELECT pg_sleep(3600)' >/dev/null 2>&1 &
	wait_for "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'analyst' AND backend_xmin IS NOT NULL AND query LIKE '%sleep%'" 30
	row 'fold, the first minute of a snapshot' "$(fold_again 21 80)" "$(delta_size)"
	fold_again 81 $((FOLDS - 60)) >/dev/null
	row 'fold, the last minute of its hour' "$(fold_again $((FOLDS - 59)) "$FOLDS")" "$(delta_size)"
	row 'campaign_totals then, processor' "$(totals_time)" ''
	sql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'analyst'" >/dev/null
	wait_for "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'analyst'" 30
	sql -c 'VACUUM smsflow.metric_delta' -c 'VACUUM smsflow.metric_ever' -c 'VACUUM smsflow.metric_hour'
	row 'fold, after it ended' "$(fold_again $((FOLDS + 1)) $((FOLDS + 20)))" "$(delta_size)"
	row 'campaign_totals then, processor' "$(totals_time)" ''
}

start_server "track_functions = 'all'"
start_sink "$sink_port"
make_store
start_other
row 'what' 'best (ms)' 'median (ms)'
row --- --- ---
overhead
[ "${1:-all}" = overhead ] && exit
in_other as_user pg_ctl -D "$work/half/data" -m fast -w stop >/dev/null
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
old_snapshot
