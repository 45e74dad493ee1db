#!/usr/bin/env bash
#
# Stops what demo.sh left running, by its own pid files, and removes its folder.

set -u
. "$(dirname "$0")/common.sh"

# A pid file may be older than the process that has its number by now.
stop_receiver()
{
	local pid tries=0

	pid=$(cat "$folder/smsflowd.pid" 2>/dev/null) || return 0
	while case "$(ps -ww -o args= -p "$pid" 2>/dev/null)" in "$folder/smsflowd -c "*) true ;; *) false ;; esac
	do
		case $tries in
			0) kill "$pid" ;;
			100) kill -9 "$pid" ;;
			200) fail "process $pid (smsflowd) does not end" ;;
		esac
		tries=$((tries + 1))
		sleep 0.1
	done
}

stop_server()
{
	[ -f "$folder/data/postmaster.pid" ] || return 0
	"${as_owner[@]}" "$(cat "$folder/bindir")/pg_ctl" -D "$folder/data" -m fast -t 30 stop >"$folder/stop.log" 2>&1 && return 0
	"${as_owner[@]}" "$(cat "$folder/bindir")/pg_ctl" -D "$folder/data" status >/dev/null 2>&1 || return 0
	fail "PostgreSQL in $folder/data does not stop" "See $folder/stop.log and $folder/postgresql.log."
}

main()
{
	if [ ! -e "$folder" ] && [ ! -L "$folder" ]
	then
		echo "No demo is in $folder."
		return
	fi
	check_ours
	cd "$folder" || fail "cannot enter $folder"
	[ ! -d kannel ] || "$top/test/gateway/kannel.sh" stop "$folder/kannel" || fail "Kannel in $folder/kannel does not stop"
	stop_receiver
	stop_server
	cd / && rm -rf "$folder" || fail "cannot remove $folder"
	echo "The demo in $folder is stopped and removed."
}

main
