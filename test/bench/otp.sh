#!/usr/bin/env bash
# One-time passwords, from the COMMIT of otp_start() to the first byte at a
# gateway that answers in 50 ms: idle, and while a campaign of a million messages
# runs over the same gateway and the same sender.
#
#   test/bench/otp.sh [SECONDS]      of each measurement, default 40
#   CONTACTS=200000 CAMPAIGN=1000000 a smaller or larger store and campaign
CONTACTS=${CONTACTS:-200000}
. "$(dirname "$0")/lib.sh"
seconds=${1:-40}
campaign=${CAMPAIGN:-1000000}

start_server "track_commit_timestamp = on"
start_sink "$sink_port" -l 50 -k to -L "$(arrivals)"
make_store
cat >"$work/otp.sql" <<'SQL'
\set number random(2000000, 9999999)
SELECT status FROM smsflow.otp_start('+1212' || :number);
SQL
start_codes() { as_user pgbench -h "$work" -p "$port" -U bench -n -R 25 -T "$1" -f "$work/otp.sql" shop >/dev/null 2>&1; }

# measure WHAT ASKED: the codes that were started since the last call
measured=0
measure() {
	wait_for "SELECT NOT EXISTS (SELECT FROM smsflow.message WHERE message_id > $measured AND purpose = 'otp' AND status IN ('queued', 'sending'))" 30
	row "$1" "$(commit_to_arrival "o.recipient::text" "o.purpose = 'otp' AND o.message_id > $measured")" "$2"
	measured=$(last_id)
}

start_codes 3
measure "warm-up" "" >/dev/null
start_codes "$seconds"
measure "code, COMMIT to arrival, idle, 25 a second: p50 / p99 / longest, ms" "p99 20"
enqueue "$campaign"
before=$(sent)
start_codes "$seconds"
running=$(sql -c "SELECT sent - $before < $campaign FROM smsflow.worker_state()")
rate=$((($(sent) - before) / seconds))
[ "$running" = t ] || say "the campaign was over before the codes were"
measure "the same while a campaign of $campaign runs, $rate a second: p50 / p99 / longest, ms" "p99 100"
