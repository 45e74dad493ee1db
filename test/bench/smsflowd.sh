#!/usr/bin/env bash
# smsflowd: delivery reports accepted and committed, and redirects of short
# links, beside an nginx that answers the same requests with an empty 204.
# smsflowd, PostgreSQL, nginx and wrk share the machine, so read the ratios.
#
#   test/bench/smsflowd.sh [SECONDS]    of each of 3 rounds, default 10
#   MESSAGES=200000                     fewer messages to report on
#   NGINX=nginx                         both nginx and wrk come from apt (nginx-light, wrk)
. "$(dirname "$0")/lib.sh"
seconds=${1:-10}
messages=${MESSAGES:-200000}
web_port=$((port + 2))
nginx_port=$((port + 3))
NGINX=${NGINX:-nginx}
for program in wrk "$NGINX"; do command -v "$program" >/dev/null || { say "$program is missing"; exit 1; }; done

start_server "smsflow.public_url = 'http://127.0.0.1:$web_port'" "smsflow.enabled = off"
sql >/dev/null <<-SQL
	SELECT smsflow.suspend_rule(kind) FROM unnest('{window,cap,subject_cap}'::text[]) kind;
	SELECT smsflow.add_gateway('bench', 'generic_json', 'http://127.0.0.1:1');
	SELECT smsflow.add_sender('+14155550100', 'bench');
	SELECT smsflow.subscribe('+14155550199', array['transactional']);
	SELECT smsflow.set_link_domain('http://127.0.0.1:$web_port');
	INSERT INTO smsflow.secret (name, value) VALUES ('callback_key', 'bench') ON CONFLICT DO NOTHING;
	SELECT smsflow.make_segments(1000000);
	INSERT INTO smsflow.outbox (expires_at, recipient, queue_id, brand_id, purpose, parts, unicode, body, links)
		SELECT now() + interval '1 day', '+14155550199'::smsflow.phone, 0, 1, 'promotional', 1, false, 'x 0OIl0OI1', '{https://shop.example/sale}'
		FROM generate_series(1, $messages);
	ANALYZE smsflow.outbox;
SQL
sql -c "SELECT substring(smsflow.callback_url('bench', message_id, 1) FROM '/callback/.*') || '?status=delivered' FROM smsflow.outbox" >"$work/reports"
sql -c "SELECT '/' || smsflow.link_code(message_id, 1) FROM smsflow.outbox ORDER BY message_id DESC LIMIT 50000" >"$work/links"

mkdir "$work/spool"
cat >"$work/smsflowd.conf" <<-CONF
	listen = 127.0.0.1:$web_port
	database = host=$work port=$port user=bench dbname=shop
	spool_dir = $work/spool
	batch_max = 1000
CONF
./smsflowd -c "$work/smsflowd.conf" 2>"$work/smsflowd.log" &
daemon=$!
cat >"$work/nginx.conf" <<-CONF
	daemon off; pid $work/nginx.pid; worker_processes 1; error_log $work/nginx.log;
	events { worker_connections 4096; }
	http { access_log off; keepalive_requests 100000000; client_body_temp_path $work; proxy_temp_path $work; fastcgi_temp_path $work;
		uwsgi_temp_path $work; scgi_temp_path $work;
		server { listen 127.0.0.1:$nginx_port; location / { return 204; } } }
CONF
"$NGINX" -p "$work" -c "$work/nginx.conf" 2>/dev/null &
children+=("$daemon" $!)

metric() { curl -s "http://127.0.0.1:$web_port/metrics" | awk -v name="$1" '$1 == name { print $2 }'; }
# Clock ticks of a process, in it and for it.
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
load() { wrk -t 1 -c "$1" -d "${seconds}s" -s test/bench/smsflowd.lua "http://127.0.0.1:$2" -- "$3" "$4" | tail -1; }
micros() { awk -v a="$1" -v b="$2" -v rate="$3" -v s="$seconds" -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.1f", (b - a) * 1000000 / hz / (rate * s) }'; }
memory() { awk '/VmRSS/ { print $2 }' "/proc/$daemon/status"; }
until [ -s "$work/nginx.pid" ] || [ $SECONDS -gt 60 ]; do read -r -t 0.2 <> <(:) || true; done
nginx=$(pgrep -P "$(cat "$work/nginx.pid")")
until [ "$(metric smsflowd_links_cached || true)" = 50000 ] || [ $SECONDS -gt 60 ]; do read -r -t 0.2 <> <(:) || true; done

# compare WHAT PATHS METHOD CONNECTIONS ASKED: rounds in turns, the best of each
compare() {
	local ours=0 theirs=0 line best="0 0 0 0" our_time=() their_time=() begun
	for _ in 1 2 3; do
		begun=$(ticks "$daemon")
		line=$(load "$4" "$web_port" "$2" "$3")
		our_time+=("$(micros "$begun" "$(ticks "$daemon")" "${line%% *}")")
		[ "${line%% *}" -gt "$ours" ] && ours=${line%% *} best=$line
		begun=$(ticks "$nginx")
		line=$(load "$4" "$nginx_port" "$2" "$3")
		their_time+=("$(micros "$begun" "$(ticks "$nginx")" "${line%% *}")")
		[ "${line%% *}" -gt "$theirs" ] && theirs=${line%% *}
	done
	read -r _ median p99 errors <<<"$best"
	row "$1, $4 connections: a second / nginx, p50 / p99" "$(ratio "$ours" "$theirs") ($ours / $theirs), $median / $p99 ms, $errors errors" "$5"
	row "processor time of smsflowd / nginx for each" "$(median "${our_time[@]}") / $(median "${their_time[@]}") us" ""
}

before=$(metric smsflowd_batch_rows_total)
kept=$(sql -c 'SELECT count(*) FROM smsflow.callback')
compare "reports, each committed" "$work/reports" GET 256 "20,000, p99 50"
row "reports answered 200 / rows in the database" "$(($(metric smsflowd_batch_rows_total) - before)) / $(($(sql -c 'SELECT count(*) FROM smsflow.callback') - kept))" "equal"
small=$(memory)
compare "redirects from memory" "$work/links" GET 256 "40,000"
row "memory of smsflowd before and after the redirects" "$small / $(memory) kB" "flat"
row "hits kept / not kept, as nobody clicks that fast" "$(metric smsflowd_clicks_total) / $(metric smsflowd_clicks_lost_total)" ""
