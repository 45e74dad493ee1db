# shellcheck shell=bash
# What the benchmarks share: a private server with smsflow, the gateway
# stand-in, contacts, and bulk enqueueing. Sourced; every benchmark is one run
# on one machine, so that its ratios can be trusted where its rates cannot.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
top=$PWD
PG_CONFIG=${PG_CONFIG:-pg_config}
export PATH="$($PG_CONFIG --bindir):$PATH"
CONTACTS=${CONTACTS:-1000000}

as_user() { if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
work=$(mktemp -d "${TMPDIR:-/tmp}/smsflow-bench.XXXXXX")
chmod 755 "$work"
[ "$(id -u)" -eq 0 ] && chown postgres "$work"
port=$((20000 + RANDOM % 20000))
sink_port=$((port + 1))
children=()
finish() {
	for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
	for data in "$work"/data "$work"/*/data; do as_user pg_ctl -D "$data" -m immediate stop >/dev/null 2>&1; done
	rm -rf "$work"
}
trap finish EXIT

say() { printf '%s\n' "$*" >&2; }
row() { printf '| %s | %s | %s |\n' "$@" | tee -a "${BENCH_TABLE:-/dev/null}"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", (b > 0 ? a / b : 0) }'; }
median() { printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
sql() { as_user psql -h "$work" -p "$port" -U bench -d shop -XAtq -v ON_ERROR_STOP=1 "$@"; }

# Waits until the query answers t, or gives up after so many seconds.
wait_for() {
	local end=$((SECONDS + $2))
	until [ "$(sql -c "$1" 2>/dev/null)" = t ]; do
		[ $SECONDS -lt $end ] || { say "gave up waiting for: $1"; tail -5 "$work/log" >&2; exit 1; }
		read -r -t 0.1 <> <(:) || true
	done
}

# start_server [LINE...]: settings for postgresql.conf
start_server() {
	cc -O2 -pthread -o "$work/sink" test/bench/sink.c
	cc -O2 -o "$work/curlmax" test/bench/curlmax.c -lcurl
	as_user initdb -D "$work/data" -U bench -E UTF8 --no-locale -A trust >/dev/null
	cat >>"$work/data/postgresql.conf" <<-CONF
		port = $port
		unix_socket_directories = '$work'
		listen_addresses = ''
		shared_preload_libraries = 'smsflow'
		smsflow.databases = 'shop'
		smsflow.allow_insecure_gateway = on
		shared_buffers = 2GB
		max_wal_size = 16GB
		checkpoint_timeout = 30min
		autovacuum_naptime = 10s
	CONF
	printf '%s\n' "$@" >>"$work/data/postgresql.conf"
	as_user pg_ctl -D "$work/data" -l "$work/log" -w start >/dev/null
	as_user psql -h "$work" -p "$port" -U bench -d postgres -Xqc 'CREATE DATABASE shop'
	sql -c 'CREATE EXTENSION smsflow'
}

# After it no table is in shared buffers, whichever way it was filled: a table that another is compared with is read as that one is.
restart_server() { as_user pg_ctl -D "$work/data" -l "$work/log" -w -m fast restart >/dev/null; }

# start_sink PORT [OPTION...]
start_sink() {
	local at=$1
	shift
	"$work/sink" -p "$at" -t 1 -k reference "$@" >/dev/null &
	children+=($!)
}

# The file of arrivals, which the sink writes and the server reads.
arrivals() {
	as_user touch "$work/arrivals"
	chmod 666 "$work/arrivals"
	echo "$work/arrivals"
}

# The same contacts are written to again and again, at any hour: hours and caps
# are suspended; all else the gate asks for is asked.
make_store() {
	say "a store with $CONTACTS contacts"
	sql >/dev/null <<-SQL
		SELECT smsflow.suspend_rule(kind) FROM unnest('{window,cap,subject_cap}'::text[]) kind;
		INSERT INTO smsflow.gateway_profile (profile, method, content_type, body) VALUES
			('bench', 'POST', 'application/json', '{"reference": {{option.none|0}}, "to": "{{to}}", "from": "{{from}}", "text": "{{body}}", "at": 0}'),
			-- The body is a number of its own, by which the arrival is found.
			('timed', 'POST', 'application/json', '{"to": "{{to}}", "reference": {{body}}}');
		SELECT smsflow.add_gateway('bench', 'bench', 'http://127.0.0.1:$sink_port', '{"rate": 1000000, "burst": 100000}');
		SELECT smsflow.add_gateway('timed', 'timed', 'http://127.0.0.1:$sink_port', '{"rate": 1000000, "burst": 100000}');
		SELECT smsflow.add_sender('+14155550100', 'bench', rate => 1000000, burst => 100000);
		SELECT smsflow.add_sender('+14155550101', 'timed', rate => 1000000, burst => 100000, pool => 'timed');
		SELECT smsflow.subscribe('+14155550199', array['transactional']);
		SELECT smsflow.subscribe('+14155550198', array['promotional']);
		INSERT INTO smsflow.contact (phone, region, time_zone, time_zone_source, consent, proof)
			SELECT ('+1415' || (2000000 + g))::smsflow.phone, c.region, c.time_zone, c.time_zone_source, c.consent, c.proof
			FROM smsflow.contact c, generate_series(1, $CONTACTS) g WHERE c.phone::text = '+14155550198';
		SELECT smsflow.make_segments(12000000);
		DO \$\$	-- what a worker folds in minutes, beside everything else that it does
		DECLARE
			reached bigint := 0;
		BEGIN
			WHILE reached IS NOT NULL LOOP
				SELECT f.reached INTO reached FROM smsflow.fold_profiles(20000, reached) AS f;
				COMMIT;
			END LOOP;
		END \$\$;
		VACUUM ANALYZE smsflow.profile_delta, smsflow.profile_fact;
		SELECT smsflow.arm();
		ANALYZE smsflow.contact;
	SQL
	wait_for "SELECT bool_and(coalesce(state = 'running', false)) FROM smsflow.worker_state()" 60
}

# enqueue COUNT [POOL]: promotional messages in one transaction
enqueue() {
	local queues="smsflow.queues_for(4::smallint, 'direct', '${2:-default}')"
	sql -c "BEGIN" -c "INSERT INTO smsflow.outbox (expires_at, contact_id, recipient, queue_id, brand_id, purpose, parts, unicode, body, consent_event_id)
		SELECT now() + interval '1 day', c.contact_id, c.phone, (SELECT $queues)[1], 1, 'promotional', 1, false,
			repeat('A flash sale of all blue shirts. ', 3), smsflow.proof(c.proof, 'promotional')
		FROM generate_series(0, ($1 - 1) / $CONTACTS) g, smsflow.contact c WHERE c.contact_id BETWEEN 3 AND $CONTACTS + 2 LIMIT $1" \
		-c "INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value)
			SELECT date_trunc('hour', now(), 'UTC'), 1, 0, 0, 0, 0, 'promotional', m, $1 FROM unnest(array['recipients', 'parts', 'queued']) m" \
		-c "SELECT smsflow.note_enqueued($queues)" -c "COMMIT" >/dev/null
}

sent() { sql -c "SELECT sum(sent) FROM smsflow.worker_state()"; }
drain() { wait_for "SELECT sum(sent) >= $1 FROM smsflow.worker_state()" "$2"; }

# recorded_rate FROM_ID: messages recorded per second since that message id
recorded_rate() {
	sql -c "SELECT round(count(*) / extract(epoch FROM max(finished_at) - min(started_at))) FROM smsflow.attempt WHERE message_id > $1"
}
last_id() { sql -c "SELECT last_value - (NOT is_called)::integer FROM smsflow.message_id_seq"; }
libcurl_alone() { "$work/curlmax" -m socket -u "http://127.0.0.1:$sink_port/" -n 200000 -c 64 -M 4 | grep -oE '[0-9]+ req/s' | cut -d' ' -f1; }

# sent_in SECONDS: messages sent per second over the next so many seconds
sent_in() {
	local before after begun ended
	begun=$(date +%s%N)
	before=$(sent)
	read -r -t "$1" <> <(:) || true
	after=$(sent)
	ended=$(date +%s%N)
	echo $(((after - before) * 1000000000 / (ended - begun)))
}

# commit_to_arrival KEY CONDITION: from the COMMIT of messages o of the outbox to their first byte at a sink that writes
# $work/arrivals, where KEY is their key: p50 / p99 / longest in milliseconds. The COMMIT is the timestamp of its record, taken
# before it is written to disk, so the fsync is included; the server needs track_commit_timestamp.
commit_to_arrival() {
	curl -s "http://127.0.0.1:$sink_port/__stats" >/dev/null
	sql <<-SQL
		CREATE TEMP TABLE arrival (key text, at numeric, status text, delay text);
		COPY arrival FROM '$work/arrivals' WITH (DELIMITER ' ');
		ANALYZE arrival;
		SELECT concat_ws(' / ', round(percentile_disc(0.5) WITHIN GROUP (ORDER BY ms), 1), round(percentile_disc(0.99) WITHIN GROUP (ORDER BY ms), 1),
			round(max(ms), 1)) || ' (' || count(*) || ' of ' || max(n) || ')'
		FROM (SELECT a.at / 1000 - extract(epoch FROM pg_xact_commit_timestamp(o.xmin)) * 1000 AS ms, count(*) OVER () AS n
			FROM smsflow.outbox o LEFT JOIN arrival a ON a.key = $1 WHERE $2) d WHERE ms IS NOT NULL
	SQL
}
