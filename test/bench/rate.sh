#!/usr/bin/env bash
# Messages sent and recorded per second: against libcurl alone, behind a long
# backlog, under an old snapshot, beside a slow gateway; and whether the
# worker's memory grows meanwhile.
. "$(dirname "$0")/lib.sh"
BACKLOG=${BACKLOG:-10000000}
SNAPSHOT_SECONDS=${SNAPSHOT_SECONDS:-120}

start_server
start_sink "$sink_port"
start_sink $((sink_port + 1)) -l 1000
make_store

say "against libcurl alone"
rates=() ceilings=() ratios=()
for round in 1 2 3 4 5; do
	ceilings+=("$(libcurl_alone)")
	from=$(last_id)
	target=$(($(sent) + 200000))
	enqueue 200000
	drain $target 120
	rates+=("$(recorded_rate "$from")")
	ratios+=("$(ratio "${rates[-1]}" "${ceilings[-1]}")")
	say "  libcurl alone ${ceilings[-1]}, smsflow ${rates[-1]}, ratio ${ratios[-1]}"
done
row "libcurl multi alone, 64 in flight, requests per second" "$(median "${ceilings[@]}")" ""
row "messages sent and recorded per second" "$(median "${rates[@]}")" ""
row "their ratio, median of 5 rounds of 200,000" "$(median "${ratios[@]}")" "0.75"

say "an instant gateway beside one that answers after a second"
sql >/dev/null <<-SQL
	SELECT smsflow.add_gateway('slow', 'bench', 'http://127.0.0.1:$((sink_port + 1))', '{"rate": 1000000, "burst": 100000}');
	SELECT smsflow.add_sender('+14155550102', 'slow', rate => 1000000, burst => 100000, pool => 'slow');
SQL
alone=() beside=()
for round in 1 2 3 4 5; do
	from=$(last_id)
	target=$(($(sent) + 100000))
	enqueue 100000
	drain $target 120
	alone+=("$(recorded_rate "$from")")
	enqueue 2000 slow
	from=$(last_id)
	enqueue 100000
	wait_for "SELECT count(*) >= 100000 FROM smsflow.attempt WHERE message_id > $from" 120
	beside+=("$(recorded_rate "$from")")
	wait_for "SELECT backlog + in_flight = 0 FROM smsflow.worker_state()" 200
	say "  alone ${alone[-1]}, beside the slow one ${beside[-1]}"
done
row "instant gateway beside one answering in 1 s / alone" "$(ratio "$(median "${beside[@]}")" "$(median "${alone[@]}")")" "0.95"

say "behind a backlog of $BACKLOG"
short=()
for round in 1 2 3 4 5; do
	from=$(last_id)
	target=$(($(sent) + 10000))
	enqueue 10000
	drain $target 60
	short+=("$(recorded_rate "$from")")
done
# The worker waits until all is queued: what is measured is the backlog, not the insert beside it.
sql -c "SELECT smsflow.disarm()" >/dev/null
before=$(sent)
for ((queued = 0; queued < BACKLOG; queued += 1000000)); do enqueue $((BACKLOG - queued < 1000000 ? BACKLOG - queued : 1000000)); done
sql -c "CHECKPOINT" -c "SELECT smsflow.arm()" >/dev/null
drain $((before + 100000)) 120
memory() { awk '/RssAnon/ { print $2 }' "/proc/$(sql -c "SELECT pid FROM smsflow.worker_state()")/status"; }
memory_before=$(memory)
before=$(sent)
long=$(sent_in 10)
row "rate with $BACKLOG queued / with 10,000" "$(ratio "$long" "$(median "${short[@]}")") ($long, $(median "${short[@]}"))" "0.95"
[ "$BACKLOG" -gt 1200000 ] && drain $((before + 1000000)) 300
row "growth of the worker's own memory over $(($(sent) - before)) messages, kB" "$(($(memory) - memory_before))" "0"

# median_rate WINDOWS: messages a second, the median of so many windows of 5 s, which alone scatter by half
median_rate() {
	local rates=()
	for ((window = 0; window < $1; window++)); do rates+=("$(sent_in 5)"); done
	say "  ${rates[*]}"
	median "${rates[@]}"
}

say "under a snapshot of $SNAPSHOT_SECONDS seconds"
without=$(median_rate 6)
sql -c "BEGIN ISOLATION LEVEL REPEATABLE READ" -c "SELECT count(*) FROM smsflow.brand" -c "SELECT pg_sleep($((SNAPSHOT_SECONDS + 2)))" >/dev/null &
children+=($!)
read -r -t $((SNAPSHOT_SECONDS - 30)) <> <(:) || true
with=$(median_rate 6)
left=$(sql -c "SELECT backlog > 0 FROM smsflow.worker_state()")
row "rate in the last 30 s of $SNAPSHOT_SECONDS s under an old snapshot / in 30 s before it, medians of 5 s" "$(ratio "$with" "$without") ($with, $without)$([ "$left" = t ] || echo ', backlog ran out')" "0.95"
# The contacts of make_store() have no ledger, which two of them ask.
row "invariants violated afterwards" "$([ "$BACKLOG" -gt 2000000 ] && echo 'not asked: too many rows' || sql -c "SELECT count(*) FROM smsflow.check() WHERE violations > 0
	AND invariant NOT IN ('I2 marketing only with a grant', 'consent equals its ledger')")" "0"
