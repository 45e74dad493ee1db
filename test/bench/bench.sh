#!/usr/bin/env bash
# Measures smsflow beside the ceiling of the same run: a bare libcurl client
# against the same gateway stand-in. Absolute figures wander with the machine,
# ratios do not; so both are printed.
#
#   test/bench/bench.sh [MESSAGES]      default 200000
set -euo pipefail
cd "$(dirname "$0")/../.."
top=$PWD
messages=${1:-200000}
PG_CONFIG=${PG_CONFIG:-pg_config}
export PATH="$($PG_CONFIG --bindir):$PATH"

as_user() { if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
work=$(mktemp -d "${TMPDIR:-/tmp}/smsflow-bench.XXXXXX")
[ "$(id -u)" -eq 0 ] && chown postgres "$work"
port=$((20000 + RANDOM % 20000))
sink_port=$((port + 1))
sink=
finish() {
	[ -n "$sink" ] && kill "$sink" 2>/dev/null
	as_user pg_ctl -D "$work/data" -m immediate stop >/dev/null 2>&1
	rm -rf "$work"
}
trap finish EXIT

say() { printf '%s\n' "$*" >&2; }
sql() { as_user psql -h "$work" -p "$port" -U bench -d shop -XAtq -v ON_ERROR_STOP=1 "$@"; }
# Waits until the query answers t, or gives up after so many seconds.
wait_for() {
	local tries=$(($2 * 10))
	until [ "$(sql -c "$1" 2>/dev/null)" = t ]; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || { say "gave up waiting for: $1"; tail -5 "$work/log" >&2; exit 1; }
		read -r -t 0.1 <> <(:) || true
	done
}

say "building tools and a private server in $work"
cc -O2 -pthread -o "$work/sink" test/bench/sink.c
cc -O2 -o "$work/curlmax" test/bench/curlmax.c -lcurl
as_user initdb -D "$work/data" -U bench -E UTF8 --no-locale -A trust >/dev/null
cat >> "$work/data/postgresql.conf" <<CONF
port = $port
unix_socket_directories = '$work'
listen_addresses = ''
shared_preload_libraries = 'smsflow'
smsflow.databases = 'shop'
smsflow.allow_insecure_gateway = on
shared_buffers = 512MB
max_wal_size = 8GB
checkpoint_timeout = 15min
CONF
as_user pg_ctl -D "$work/data" -l "$work/log" -w start >/dev/null
as_user psql -h "$work" -p "$port" -U bench -d postgres -Xqc 'CREATE DATABASE shop'
sql -c 'CREATE EXTENSION smsflow'
# The same contacts are written to again and again, at any hour.
sql -c "SELECT smsflow.suspend_rule(kind) FROM unnest('{window,cap,subject_cap}'::text[]) kind" >/dev/null
"$work/sink" -p "$sink_port" -t 1 -k reference >/dev/null &
sink=$!

sql >/dev/null <<SQL
-- The body is the instant of the call in microseconds: the sink measures from it.
INSERT INTO smsflow.gateway_profile (profile, method, content_type, body) VALUES
	('bench', 'POST', 'application/json', '{"reference": {{option.none|0}}, "to": "{{to}}", "from": "{{from}}", "text": "{{body}}", "ts": 0}'),
	('timed', 'POST', 'application/json', '{"to": "{{to}}", "ts": {{body}}}');
SELECT smsflow.add_gateway('bench', 'bench', 'http://127.0.0.1:$sink_port', '{"rate": 1000000, "burst": 100000}');
SELECT smsflow.add_gateway('timed', 'timed', 'http://127.0.0.1:$sink_port', '{"rate": 1000000, "burst": 100000}');
SELECT smsflow.add_sender('+14155550100', 'bench', rate => 1000000, burst => 100000);
SELECT smsflow.add_sender('+14155550101', 'timed', rate => 1000000, burst => 100000, pool => 'timed');
SELECT count(smsflow.subscribe('+1415' || (2000000 + g), array['promotional'])) FROM generate_series(1, 100000) g;
SELECT smsflow.subscribe('+14155550199', array['transactional']);
SELECT smsflow.arm();
ANALYZE;
SQL
wait_for "SELECT state = 'running' FROM smsflow.worker_state()" 30

enqueue() {
	sql -c "BEGIN" -c "INSERT INTO smsflow.outbox (expires_at, contact_id, recipient, queue_id, brand_id, purpose, parts, unicode, body, consent_event_id)
		SELECT now() + interval '1 hour', c.contact_id, c.phone, (smsflow.queues_for(4::smallint, 'direct', 'default'))[1], 1, 'promotional', 1, false,
			repeat('A flash sale of all blue shirts. ', 3), smsflow.proof(c.proof, 'promotional') FROM smsflow.contact c, generate_series(1, $1 / 100000 + 1) g
		WHERE c.contact_id <= 100000 ORDER BY g, c.contact_id LIMIT $1" \
		-c "INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value)
			SELECT date_trunc('hour', now(), 'UTC'), 1, 0, 0, 0, 0, 'promotional', m, $1 FROM unnest(array['recipients', 'parts', 'queued']) m" \
		-c "SELECT smsflow.note_enqueued(smsflow.queues_for(4::smallint, 'direct', 'default'))" -c "COMMIT" >/dev/null
}

say "sending $messages messages, gate on, synchronous_commit on"
rates=()
ceilings=()
for round in 1 2 3; do
	ceilings+=("$("$work/curlmax" -m socket -u "http://127.0.0.1:$sink_port/" -n 100000 -c 64 -M 4 | grep -oE '[0-9]+ req/s' | cut -d' ' -f1)")
	before=$(sql -c "SELECT sent FROM smsflow.worker_state()")
	enqueue "$messages"
	wait_for "SELECT sent >= $before + $messages FROM smsflow.worker_state()" 300
	rates+=("$(sql -c "SELECT round(count(*) / extract(epoch FROM max(finished_at) - min(started_at)))
		FROM (SELECT * FROM smsflow.attempt ORDER BY message_id DESC LIMIT $messages) a")")
	say "  round $round: libcurl alone ${ceilings[-1]}/s, smsflow ${rates[-1]}/s"
done

say "latency of single transactional send() calls, 20 a second, idle"
curl -s "http://127.0.0.1:$sink_port/__reset" >/dev/null
cat > "$work/send.sql" <<'SQL'
SELECT smsflow.send('+14155550199', (extract(epoch FROM clock_timestamp()) * 1e6)::bigint::text, 'transactional', pool => 'timed');
SQL
as_user pgbench -h "$work" -p "$port" -U bench -n -R 20 -T 10 -f "$work/send.sql" shop >/dev/null 2>&1
idle=$(curl -s "http://127.0.0.1:$sink_port/__stats" | grep -oE '"p50":[0-9]+|"p99":[0-9]+' | cut -d: -f2 | tr '\n' ' ')

median() { printf '%s\n' "$@" | sort -n | sed -n 2p; }
rate=$(median "${rates[@]}")
ceiling=$(median "${ceilings[@]}")
violations=$(sql -c "SELECT count(*) FROM smsflow.check() WHERE violations > 0")
read -r p50 p99 <<<"$idle"

printf '\n| what | measured |\n|---|---|\n'
printf '| messages sent and recorded per second (median of 3, %s each) | %s |\n' "$messages" "$rate"
printf '| libcurl multi alone, 64 in flight (median of 3) | %s |\n' "$ceiling"
printf '| ratio | %s |\n' "$(awk "BEGIN { printf \"%.2f\", $rate / $ceiling }")"
printf '| one transactional send(), call to arrival, idle, p50 / p99 | %s / %s ms |\n' \
	"$(awk "BEGIN { printf \"%.1f\", $p50 / 1000 }")" "$(awk "BEGIN { printf \"%.1f\", $p99 / 1000 }")"
printf '| invariants violated afterwards | %s |\n' "$violations"
