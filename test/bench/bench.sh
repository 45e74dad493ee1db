#!/usr/bin/env bash
# All measurements of the engine, each group in a run of its own, and their
# table. The table says what was measured beside what is asked for.
#
#   test/bench/bench.sh [GROUP...]      rate queue latency otp campaign peers smsflowd (with nginx and wrk)
#
# CONTACTS (1000000), BACKLOG (10000000) and SNAPSHOT_SECONDS (120) make a
# smaller run of it.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
BENCH_TABLE=$(mktemp)
export BENCH_TABLE
trap 'rm -f "$BENCH_TABLE"' EXIT
for group in ${*:-rate queue latency otp campaign peers smsflowd}; do
	timeout 1800 "test/bench/$group.sh" >/dev/null || echo "| $group did not finish | | |" >>"$BENCH_TABLE"
done
printf '\n| what | measured | asked for |\n|---|---|---|\n'
cat "$BENCH_TABLE"
