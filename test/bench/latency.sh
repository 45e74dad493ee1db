#!/usr/bin/env bash
# From the COMMIT of one transactional send() to the first byte at the gateway:
# idle, while each message is reported on, and behind 100,000 promotional
# messages at full rate. Beside each, what a client waits for the COMMIT of one
# row of its own in the same seconds: on the way of a message are two of those.
. "$(dirname "$0")/lib.sh"

start_server "track_commit_timestamp = on" "smsflow.public_url = 'http://127.0.0.1:9'"
start_sink "$sink_port" -L "$(arrivals)"
make_store
# Else the load is still being vacuumed and written to disk, and is what one waits for.
sql -c "VACUUM ANALYZE" -c "CHECKPOINT"
cat >"$work/send.sql" <<'SQL'
\set number random(1000000000, 1000000000000000)
SELECT smsflow.send('+14155550199', :number::text, 'transactional', pool => 'timed');
SQL
# And its report, which the worker applies while the next one may come.
cat >"$work/report.sql" <<'SQL'
\set number random(1000000000, 1000000000000000)
SELECT smsflow.send('+14155550199', :number::text, 'transactional', pool => 'timed') AS message \gset
SELECT smsflow.receive_callback('timed', 'POST', substring(smsflow.callback_url('timed', :message, 1) FROM '/callback/.*'), '',
	'{"content-type": "application/json"}', '{"status": "delivered"}');
SQL
sql -c "CREATE TABLE bare (at timestamptz DEFAULT now())"
echo 'INSERT INTO bare DEFAULT VALUES;' >"$work/bare.sql"
mkdir "$work/bare"
chmod 777 "$work/bare"
# send_for SECONDS [SCRIPT]
send_for() { as_user pgbench -h "$work" -p "$port" -U bench -n -R 20 -T "$1" -f "$work/${2:-send}.sql" shop >/dev/null 2>&1; }

# measure WHAT ASKED SECONDS [SCRIPT]
measure() {
	local from beside
	from=$(last_id)
	rm -f "$work"/bare/log.*
	as_user pgbench -h "$work" -p "$port" -U bench -n -R 20 -T "$3" -l --log-prefix="$work/bare/log" -f "$work/bare.sql" shop >/dev/null 2>&1 &
	beside=$!
	send_for "$3" "${4:-}"
	wait "$beside"
	wait_for "SELECT NOT EXISTS (SELECT FROM smsflow.message WHERE message_id > $from AND purpose = 'transactional' AND status IN ('queued', 'sending'))" 30
	row "$1" "$(commit_to_arrival "o.body" "o.purpose = 'transactional' AND o.message_id > $from")" "$2"
	row "a bare INSERT with its COMMIT in the same seconds: p50 / p99 / longest, ms" "$(bare_commits)" ""
}
# Of pgbench's columns the third is the time and the seventh how late it began, in microseconds.
bare_commits() { cat "$work"/bare/log.* | awk '{ print ($3 - $7) / 1000 }' | sort -g | awk '{ v[NR] = $1 }
	END { printf "%.1f / %.1f / %.1f (%d)", v[int((NR + 1) / 2)], v[int(NR * 0.99 + 0.999)], v[NR], NR }'; }

send_for 3
measure "one transactional send(), COMMIT to arrival, idle, 20 a second: p50 / p99 / longest, ms" "1.5 / 6" 30

sql -c "UPDATE smsflow.gateway_profile b SET callback = g.callback, report = g.report, report_status = g.report_status
	FROM smsflow.gateway_profile g WHERE g.profile = 'generic_json' AND b.profile = 'timed'"
send_for 3 report
measure "the same while each message is reported on at once: p50 / p99 / longest, ms" "" 30 report
sql -c "SELECT count(*) > 200 AS reported FROM smsflow.report" | grep -q t || { say "no reports were applied"; exit 1; }

# As many as the worker could send meanwhile, and 100,000 more: a statement that fills the queue up again beside the calls would
# be measured, too.
enqueue 1200000
drain $(($(sent) + 5000)) 60
measure "the same behind 100,000 promotional at full rate: p50 / p99 / longest, ms" "6 / 20" 15
left=$(sql -c "SELECT count(*) FROM (SELECT FROM smsflow.outbox o WHERE o.message_id > (SELECT max(cursor_id) FROM smsflow.claim c
	JOIN smsflow.queue USING (queue_id) WHERE lane = 4) AND o.purpose = 'promotional' LIMIT 100000) w")
[ "$left" -eq 100000 ] || say "only $left messages were left at the end"
