#!/usr/bin/env bash
# From the call of send() to the arrival at the gateway, commit included: idle,
# and behind 100,000 promotional messages at full rate.
. "$(dirname "$0")/lib.sh"

start_server
start_sink "$sink_port"
make_store
cat >"$work/send.sql" <<'SQL'
SELECT smsflow.send('+14155550199', (extract(epoch FROM clock_timestamp()) * 1e6)::bigint::text, 'transactional', pool => 'timed');
SQL
sink_clear() { curl -s "http://127.0.0.1:$sink_port/__reset" >/dev/null; }
# Both in milliseconds, of requests with a time in the body.
percentiles() {
	curl -s "http://127.0.0.1:$sink_port/__stats" | grep -oE '"p50":[0-9]+|"p99":[0-9]+' | cut -d: -f2 |
		awk '{ printf "%s%.1f", (NR > 1 ? " / " : ""), $1 / 1000 }'
}
send_for() { as_user pgbench -h "$work" -p "$port" -U bench -n -R 20 -T "$1" -f "$work/send.sql" shop >/dev/null 2>&1; }

send_for 3
sink_clear
send_for 15
row "one transactional send(), call to arrival, idle, 20 a second: p50 / p99, ms" "$(percentiles)" "1.5 / 6"

# As many as the worker could send meanwhile, and 100,000 more: a statement that fills the queue up again beside the calls would
# be measured, too.
enqueue 800000
drain $(($(sent) + 5000)) 60
sink_clear
send_for 15
left=$(sql -c "SELECT count(*) FROM (SELECT FROM smsflow.outbox o WHERE o.message_id > (SELECT max(cursor_id) FROM smsflow.claim c
	WHERE c.claim_id > (SELECT max(claim_id) - 20 FROM smsflow.claim)) LIMIT 100000) w")
[ "$left" -eq 100000 ] || say "only $left messages were left at the end"
row "the same behind 100,000 promotional at full rate: p50 / p99, ms" "$(percentiles)" "6 / 20"
