#!/usr/bin/env bash
#
# A store that plays one day with smsflow: a private PostgreSQL, a real SMS
# gateway (Kannel), a small mobile network behind it (smsc.pl) and smsflowd,
# all in one folder and on this machine only. Nothing leaves it.
#
#   demo.sh         needs git, make, and root or sudo for what is not installed
#   demo-stop.sh    stops and removes all of it
#
#   DEMO_DIR        its folder, default ${TMPDIR:-/tmp}/smsflow-demo
#
# The folder may have a demo already: that one is stopped and removed first.

set -uo pipefail
. "$(dirname "$0")/common.sh"
. "$here/day.sh"

export LC_ALL=C.UTF-8
unset PGHOST PGPORT PGUSER PGDATABASE PGOPTIONS PGSERVICE PGPASSWORD PGDATA PGTZ PGCLUSTER

sender=+14155550100
: "${PG_CONFIG:=pg_config}"
cart_delay='4 seconds'

# ------------------------------------------------------------------ telling

# seconds_since INSTANT [UNTIL]: both in seconds since 1970
seconds_since() { awk -v a="$1" -v b="${2:-$EPOCHREALTIME}" 'BEGIN { printf "%.1f", b - a }'; }

heading() { printf '\n%s\n' "$1"; }

# doing WHAT: one line per long step, ended by done_with.
doing()
{
	step_started=$EPOCHREALTIME
	printf '  %-60s' "$1 ..."
}

done_with() { printf '%5s s  %s\n' "$(seconds_since "$step_started")" "${1:-}"; }

# say WHAT [INSTANT]: what happens in the store, with the time since the day began.
say() { printf '  %5s s  %s\n' "$(seconds_since "$started" "${2:-}")" "$1"; }

# logged WHAT LOG COMMAND...: its output goes to the log, and matters if it fails.
logged()
{
	local what=$1 log=$2

	shift 2
	"$@" >>"$log" 2>&1 && return
	printf '\n\n'
	tail -n 15 "$log" >&2
	fail "$what failed" "Its log is $log" "$cleanup"
}

stop_command="${DEMO_DIR:+DEMO_DIR=$folder }make -C $top demo-stop"
cleanup="Stop and remove what runs already: $stop_command"

# ------------------------------------------------------------------ waiting

sql()
{
	local role=$1

	shift
	"$bindir/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$folder" -U "$role" -d shop "$@"
}

# wait_for SECONDS WHAT QUERY: until every row of the query says t.
wait_for()
{
	local end=$((SECONDS + $1)) answer

	until answer=$(sql postgres -c "SELECT coalesce(bool_and(t), false) FROM ($3) AS q (t)" 2>>"$folder/day.log") && [ "$answer" = t ]
	do
		[ $SECONDS -lt $end ] || give_up "$1" "$2"
		sleep 0.1
	done
}

# Says what smsflow knows about it.
give_up()
{
	printf '\nAfter %s s without %s, smsflow says:\n' "$1" "$2" >&2
	sql postgres -F ': ' >&2 <<-'END'
	SELECT 'health, ' || component, message, hint FROM smsflow.health() WHERE NOT ok;
	SELECT 'message ' || message_id, concat_ws(', ', coalesce(sequence, campaign, purpose), status, reason, error_code)
	FROM smsflow.message WHERE status NOT IN ('delivered', 'undelivered', 'suppressed') ORDER BY message_id;
	END
	fail "waited in vain for $2" "Logs: $folder/postgresql.log, day.log, smsflowd.log, kannel/*.log" "Look around: $look_around" "$cleanup"
}

show_phones() { "$here/phones.pl" new "$folder/kannel/smsc.log" "$started" "$folder/.seen" "$folder/.names"; }

# ------------------------------------------------------------------ setting up

make_folder()
{
	if [ -e "$folder" ] || [ -L "$folder" ]
	then
		doing "removing the demo that is there"
		"$here/demo-stop.sh" >/dev/null || exit 1
		done_with
	fi
	mkdir -p "$(dirname "$folder")" && mkdir -m 700 "$folder" || fail "cannot make the folder $folder" "Set DEMO_DIR to another place."
	: >"$marker"
}

give_folder()
{
	[ ${#as_owner[@]} -gt 0 ] || return 0
	chown -R postgres: "$folder"
	"${as_owner[@]}" test -w "$folder" || fail "user postgres cannot reach $folder" "Set DEMO_DIR to a folder below /tmp or /var."
}

install_everything()
{
	"$top/test/deps.sh" demo 2>&1 | sed 's/^/  /' || fail "packages are missing" "See above." "$cleanup"
	choose_owner
	doing "building smsflow and smsflowd, up to a minute"
	logged "make" "$folder/build.log" make -s -C "$top" -j2 all
	done_with
	doing "installing them"
	logged "make install" "$folder/build.log" as_root make -s -C "$top" install
	bindir=$("$PG_CONFIG" --bindir)
	[ -x "$bindir/initdb" ] || fail "there is no PostgreSQL server in $bindir" "$PG_CONFIG belongs to another version than the server."
	done_with "PostgreSQL in ${bindir%/bin}"
	cp "$top/smsflowd" "$folder/smsflowd"
	echo "$bindir" >"$folder/bindir"
}

may_install()
{
	[ -w "$("$PG_CONFIG" --pkglibdir)" ] && [ -w "$("$PG_CONFIG" --sharedir)/extension" ] && [ -w "$("$PG_CONFIG" --bindir)" ]
}

as_root()
{
	if may_install
	then "$@"
	elif command -v sudo >/dev/null
	then sudo "$@"
	else
		echo "Writing into PostgreSQL's folders needs root or sudo. Run as root: make -C $top install"
		return 1
	fi
}

# Seven ports in a row, below those that the system gives to outgoing connections.
choose_ports()
{
	first_port=$(perl -MIO::Socket::INET -e '
		PORT: for (my $first = 18400; $first < 32000; $first += 10)
		{
			my @taken;
			for my $port ($first .. $first + 6)
			{
				push @taken, IO::Socket::INET->new(LocalAddr => "0.0.0.0", LocalPort => $port, Listen => 1) || next PORT;
			}
			print $first;
			exit;
		}') && [ -n "$first_port" ] || fail "no seven free ports were found"
	receiver_port=$first_port
	sendsms_port=$((first_port + 1))
}

# The server has no TCP port at all: its socket is in the folder, which is
# closed to others. pg_cron therefore runs its jobs in background workers.
write_server_settings()
{
	cat >>"$folder/data/postgresql.conf" <<-END

	listen_addresses = ''
	unix_socket_directories = '$folder'
	shared_preload_libraries = 'smsflow, pg_cron'
	cron.database_name = 'shop'
	cron.use_background_workers = on
	smsflow.databases = 'shop'
	smsflow.secrets_dir = '$folder/secrets'
	smsflow.public_url = 'http://127.0.0.1:$receiver_port'
	smsflow.allow_insecure_gateway = on		# Kannel is on this machine
	smsflow.default_region = 'US'
	timezone = 'UTC'
	fsync = off								# nobody needs this day after a crash
	END
}

# The database is made before the server starts, which wants to find it.
make_server()
{
	"${as_owner[@]}" "$bindir/initdb" -D "$folder/data" -U postgres -E UTF8 --no-locale -A trust -N &&
		echo 'CREATE DATABASE shop' | "${as_owner[@]}" "$bindir/postgres" --single -D "$folder/data" postgres &&
		write_server_settings
}

start_server()
{
	doing "starting a private PostgreSQL with smsflow and pg_cron"
	cd "$folder" || fail "cannot enter $folder"
	logged "making the database cluster" "$folder/initdb.log" make_server
	logged "starting PostgreSQL" "$folder/pg_ctl.log" "${as_owner[@]}" "$bindir/pg_ctl" -D "$folder/data" -l "$folder/postgresql.log" -w -t 60 start
	done_with "socket in $folder"
}

set_up_store()
{
	doing "loading the store, setting up smsflow"
	logged "loading the store" "$folder/setup.log" sql postgres -f - <"$here/store.sql"
	logged "setting up smsflow" "$folder/setup.log" sql postgres -v kannel="http://127.0.0.1:$sendsms_port" -v delay="$cart_delay" -f - <"$here/setup.sql"
	done_with "$(sql postgres -c "SELECT count(*) FROM smsflow.sequence") sequences, 1 campaign"
}

make_secret()
{
	"${as_owner[@]}" sh -c 'umask 077 && mkdir "$1" && od -An -N16 -tx1 /dev/urandom | tr -d " \n" >"$1/kannel"' sh "$folder/secrets" ||
		fail "cannot write into $folder"
}

# Finn's number, 0105, is one that the network cannot reach.
start_kannel()
{
	doing "starting Kannel and a mobile network"
	"${as_owner[@]}" mkdir "$folder/kannel"
	logged "starting Kannel" "$folder/kannel.out" env \
		SMPP_PORT=$((first_port + 2)) SMSC_CONTROL_PORT=$((first_port + 3)) KANNEL_ADMIN_PORT=$((first_port + 4)) \
		KANNEL_SMSBOX_PORT=$((first_port + 5)) KANNEL_SENDSMS_PORT="$sendsms_port" \
		SENDSMS_PASSWORD_FILE="$folder/secrets/kannel" INBOUND_URL="$(sql postgres -c "SELECT smsflow.inbound_url('kannel')")" \
		RECEIPT_MS=500 UNDELIVERABLE='0105$' "$top/test/gateway/kannel.sh" start "$folder/kannel"
	done_with "http://127.0.0.1:$sendsms_port"
}

start_receiver()
{
	doing "starting smsflowd"
	"${as_owner[@]}" mkdir "$folder/spool"
	"${as_owner[@]}" tee "$folder/smsflowd.conf" >/dev/null <<-END
	listen = 127.0.0.1:$receiver_port
	database = host=$folder user=receiver dbname=shop
	spool_dir = $folder/spool
	END
	"${as_owner[@]}" setsid "$folder/smsflowd" -c "$folder/smsflowd.conf" </dev/null >"$folder/smsflowd.log" 2>&1 &
	echo $! >"$folder/smsflowd.pid"
	logged "starting smsflowd" "$folder/smsflowd.log" wait_for_receiver
	done_with "http://127.0.0.1:$receiver_port"
}

wait_for_receiver()
{
	perl -MHTTP::Tiny -MTime::HiRes=sleep -e '
		for (1 .. 150)
		{
			exit 0 if HTTP::Tiny->new(timeout => 2)->get("http://127.0.0.1:$ARGV[0]/healthz")->{success};
			sleep 0.1;
		}
		exit 1' "$receiver_port"
}

report()
{
	"$here/phones.pl" table "$folder/kannel/smsc.log" >"$folder/network.tsv" && chmod 644 "$folder/network.tsv"
	heading "The report"
	echo
	"$bindir/psql" -X -q -v ON_ERROR_STOP=1 -h "$folder" -U postgres -d shop -v network="$folder/network.tsv" -f - <"$here/report.sql" ||
		fail "the day did not go as it should" "See the report above, and $folder/postgresql.log." "Look around: $look_around" "$cleanup"
}

main()
{
	heading "Preparing"
	make_folder
	install_everything
	give_folder
	make_secret
	choose_ports
	look_around="$(command -v psql >/dev/null && echo psql || echo "$bindir/psql") -h $folder -U postgres shop"
	start_server
	set_up_store
	start_kannel
	start_receiver
	wait_for 30 "the worker" "SELECT ok FROM smsflow.health() WHERE component IN ('worker', 'armed', 'gateways', 'senders')"
	play_day
	report
	heading "The store is still open"
	cat <<-END
	  look around      $look_around
	  and ask          SELECT * FROM smsflow.message;
	                   SELECT * FROM smsflow.explain(1);
	                   SELECT smsflow.send('$(number_of 1)', 'Hello Ada', 'transactional');
	  write as Ada     $top/test/gateway/kannel.sh reply $folder/kannel $(number_of 1) $sender HELP
	  end and remove   $stop_command

	END
}

trap 'printf "\n" >&2; fail "interrupted" "$cleanup"' INT TERM
main
