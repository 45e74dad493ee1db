#!/usr/bin/env bash
# Against other queues in PostgreSQL at their best known settings, one gateway
# stand-in, one machine, in turns. Their packages are installed by npm into a
# folder that is removed afterwards; without node or npm there is no figure.
. "$(dirname "$0")/lib.sh"

command -v node >/dev/null && command -v npm >/dev/null || { row "peers" "skipped: node and npm are missing" ""; exit 0; }
cp test/bench/peers.js "$work/"
npm install --silent --no-audit --no-fund --prefix "$work" pg@8 undici@6 graphile-worker@0.17.3 pg-boss@10.4.2 >"$work/npm.log" 2>&1 ||
	{ tail -3 "$work/npm.log" >&2; row "peers" "skipped: npm could not install them" ""; exit 0; }
start_server
start_sink "$sink_port"
make_store
as_user psql -h "$work" -p "$port" -U bench -d postgres -Xqc 'CREATE DATABASE peers'
peer() { (cd "$work" && timeout 200 node peers.js "$1" "postgres://bench@/peers?host=$work&port=$port" "http://127.0.0.1:$sink_port/" "$2" 2>>"$work/peers.log"); }

declare -A rates=([smsflow]="" [skip-locked]="" [graphile]="" [pg-boss]="")
for round in 1 2 3; do
	from=$(last_id)
	target=$(($(sent) + 100000))
	enqueue 100000
	drain $target 120
	rates[smsflow]+=" $(recorded_rate "$from")"
	rates[skip-locked]+=" $(peer skip-locked 60000)"
	rates[graphile]+=" $(peer graphile 40000)"
	rates[pg-boss]+=" $(peer pg-boss 40000)"
	say "  round $round: smsflow${rates[smsflow]}, skip-locked${rates[skip-locked]}, graphile${rates[graphile]}, pg-boss${rates[pg-boss]}"
done
ours=$(median ${rates[smsflow]})
for name in skip-locked graphile pg-boss; do
	theirs=$(median ${rates[$name]})
	row "smsflow / $name, messages per second (median of 3)" "$(ratio "$ours" "$theirs") ($ours, $theirs)" "$([ $name = skip-locked ] && echo 1.8 || echo 3)"
done
