#!/bin/sh
#
# A private Kannel for tests and the demo: smsc.pl as the network, bearerbox
# connected to it over SMPP, and smsbox taking requests on its sendsms port.
#
#   kannel.sh start DIR    writes the configuration into DIR, starts the three,
#                          and waits until messages can really flow
#   kannel.sh status DIR   says what runs; 0 only if messages can flow
#   kannel.sh stop DIR     ends these three processes and no others
#   kannel.sh reply DIR FROM TO TEXT
#                          a subscriber writes a message
#
# Everything is in DIR: configuration, logs, pid files, and "settings", which a
# shell can read to learn ports and files.  README.md in this folder lists the
# environment variables.  Started by root, it runs as an ordinary user.

set -u

here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:/usr/sbin:/sbin

: "${SMPP_PORT:=2775}" "${SMSC_CONTROL_PORT:=2776}" "${KANNEL_ADMIN_PORT:=13000}"
: "${KANNEL_SMSBOX_PORT:=13001}" "${KANNEL_SENDSMS_PORT:=13013}"
: "${RECEIPT_MS:=500}" "${UNDELIVERABLE:=}" "${REFUSED:=}" "${INBOUND_URL:=}"
: "${SENDSMS_USER:=shop}" "${SENDSMS_PASSWORD_FILE:=}" "${SENDSMS_PASSWORD:=}"
: "${SMPP_MODULES:=}" "${START_SECONDS:=30}" "${STOP_SECONDS:=15}"

fail()
{
	printf 'kannel.sh: %s\n' "$1" >&2
	exit 1
}

# The pid in a pid file, if that process is still the one that was started: a
# stale file may name a number that another process has by now.
pid_of()
{
	pid=$(cat "$dir/$1.pid" 2>/dev/null) || return 1
	case "$1 $(ps -ww -o args= -p "${pid:-0}" 2>/dev/null)" in
		"smsc perl $dir/smsc.pl "* | "smsc node $dir/smsc.js "* | "bearerbox bearerbox "*" $dir/kannel.conf" | "smsbox smsbox "*" $dir/kannel.conf")
			echo "$pid" ;;
		*)
			return 1 ;;
	esac
}

# True if a process that this run started is gone.  Unlike pid_of it sees one
# that has not become its program yet as running.
has_ended()
{
	case "$(ps -o stat= -p "$(cat "$dir/$1.pid" 2>/dev/null || echo 0)" 2>/dev/null)" in
		'' | Z*) return 0 ;;
		*) return 1 ;;
	esac
}

# Checks that messages can flow: SMPP bound, smsbox connected, sendsms open.
flows()
{
	perl -MHTTP::Tiny -MIO::Socket::INET -e '
		my ($admin, $sendsms) = @ARGV;
		my $status = HTTP::Tiny->new(timeout => 3)->get("http://127.0.0.1:$admin/status.txt")->{content};
		exit !($status =~ /SMPP:.*\(online/ && $status =~ /smsbox:.*on-line/
			&& IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $sendsms, Timeout => 3));
	' "$KANNEL_ADMIN_PORT" "$KANNEL_SENDSMS_PORT"
}

# ---------------------------------------------------------------- start

choose_user()
{
	as_user=
	[ "$(id -u)" -eq 0 ] || return 0
	user=${KANNEL_USER:-}
	[ -n "$user" ] || user=$(stat -c %U "$dir")
	[ "$user" != root ] || user=$(id -un kannel 2>/dev/null || echo nobody)
	id "$user" >/dev/null 2>&1 || fail "user \"$user\" does not exist"
	as_user="setpriv --reuid=$user --regid=$(id -g "$user") --init-groups --"
	chown "$user" "$dir" || fail "cannot give \"$dir\" to user \"$user\""
	$as_user test -w "$dir" || fail "user \"$user\" cannot reach \"$dir\": choose a folder below /tmp or /var, or set KANNEL_USER"
}

check_programs()
{
	for program in bearerbox smsbox perl
	do
		command -v $program >/dev/null || fail "$program is not installed (Debian: apt-get install kannel)"
	done
}

check_ports()
{
	for name in SMPP_PORT SMSC_CONTROL_PORT KANNEL_ADMIN_PORT KANNEL_SMSBOX_PORT KANNEL_SENDSMS_PORT
	do
		eval "port=\$$name"
		perl -MIO::Socket::INET -e '
			exit !IO::Socket::INET->new(LocalAddr => "0.0.0.0", LocalPort => $ARGV[0], Listen => 1, ReuseAddr => 1)
		' "$port" || fail "port $port is in use or not allowed; choose another with $name"
	done
}

# The password comes from a file or the environment, else it is a new one; it
# is only ever written to files that this user alone can read.
take_password()
{
	if [ -n "$SENDSMS_PASSWORD_FILE" ]
	then
		[ -r "$SENDSMS_PASSWORD_FILE" ] || fail "cannot read password file \"$SENDSMS_PASSWORD_FILE\""
		SENDSMS_PASSWORD=$(head -n 1 "$SENDSMS_PASSWORD_FILE")
	fi
	[ -n "$SENDSMS_PASSWORD" ] || SENDSMS_PASSWORD=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	case "$SENDSMS_USER$SENDSMS_PASSWORD" in
		*[!A-Za-z0-9_.-]*) fail "user and password may have letters, digits, dot, dash and underscore only" ;;
	esac
	(umask 077 && printf '%s' "$SENDSMS_PASSWORD" >"$dir/sendsms.password")
}

# Where a reply goes.  Kannel passes text outside the GSM alphabet on as the
# octets of UTF-16BE and says so in charset, so the receiver needs both.
inbound_service()
{
	echo 'group = sms-service'
	echo 'keyword = default'
	echo 'catch-all = true'
	echo 'max-messages = 0'
	echo 'omit-empty = true'
	case "$INBOUND_URL" in
		'')  echo 'text = ""' ;;
		*%*) echo "get-url = \"$INBOUND_URL\"" ;;
		*\?*) echo "get-url = \"$INBOUND_URL&$inbound_fields\"" ;;
		*)   echo "get-url = \"$INBOUND_URL?$inbound_fields\"" ;;
	esac
}
inbound_fields='from=%p&to=%P&text=%a&id=%I&coding=%c&charset=%C&time=%T'

# smsbox has no smsbox-id: bearerbox gives replies only to a box without a name,
# unless a route says otherwise.
write_configuration()
{
	cat <<-END
	group = core
	admin-port = $KANNEL_ADMIN_PORT
	admin-interface = 127.0.0.1
	admin-password = $(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	smsbox-port = $KANNEL_SMSBOX_PORT
	smsbox-interface = 127.0.0.1
	box-deny-ip = "*.*.*.*"
	box-allow-ip = "127.0.0.1"
	dlr-storage = internal
	log-file = "$dir/bearerbox.log"
	log-level = 1

	group = smsc
	smsc = smpp
	smsc-id = network
	host = 127.0.0.1
	port = $SMPP_PORT
	transceiver-mode = true
	smsc-username = kannel
	smsc-password = kannel
	system-type = ""
	enquire-link-interval = 5
	reconnect-delay = 1

	group = smsbox
	bearerbox-host = 127.0.0.1
	sendsms-interface = 127.0.0.1
	sendsms-port = $KANNEL_SENDSMS_PORT
	sendsms-chars = "0123456789 +-"
	log-file = "$dir/smsbox.log"
	log-level = 1
	http-request-retry = 3
	http-queue-delay = 2

	group = sendsms-user
	username = $SENDSMS_USER
	password = $SENDSMS_PASSWORD
	user-allow-ip = "127.0.0.1"
	max-messages = 10
	concatenation = true

	END
	inbound_service
}

write_files()
{
	umask 077
	write_configuration >"$dir/kannel.conf"
	mkdir -p "$dir/lib"
	cp "$here/smsc.pl" "$here/smsc.js" "$dir/"
	cp "$here/lib/"*.pm "$dir/lib/"
	for name in bearerbox.log smsbox.log smsc.out bearerbox.out smsbox.out
	do
		: >"$dir/$name"
	done
	cat >"$dir/settings" <<-END
	SMPP_PORT=$SMPP_PORT
	SMSC_CONTROL_PORT=$SMSC_CONTROL_PORT
	KANNEL_ADMIN_PORT=$KANNEL_ADMIN_PORT
	KANNEL_SMSBOX_PORT=$KANNEL_SMSBOX_PORT
	KANNEL_SENDSMS_PORT=$KANNEL_SENDSMS_PORT
	SENDSMS_USER=$SENDSMS_USER
	END
	unset SENDSMS_PASSWORD
	[ -z "$as_user" ] || chown -R "$user" "$dir"
}

# start_one NAME COMMAND...: as the ordinary user, in a session of its own, so
# that ^C in the terminal does not end it.
start_one()
{
	name=$1
	shift
	$as_user setsid "$@" </dev/null >>"$dir/$name.out" 2>&1 &
	echo $! >"$dir/$name.pid"
}

# Our own network, or one on top of npm's SMPP, which is in the folder SMPP_MODULES.
start_all()
{
	if [ -n "$SMPP_MODULES" ]
	then set -- env NODE_PATH="$SMPP_MODULES" node "$dir/smsc.js"
	else set -- perl "$dir/smsc.pl"
	fi
	start_one smsc "$@" --port "$SMPP_PORT" --control-port "$SMSC_CONTROL_PORT" \
		--log "$dir/smsc.log" --receipt-ms "$RECEIPT_MS" \
		${UNDELIVERABLE:+--undeliverable "$UNDELIVERABLE"} ${REFUSED:+--refuse "$REFUSED"}
	start_one bearerbox bearerbox -v 4 "$dir/kannel.conf"
}

bearerbox_answers()
{
	perl -MHTTP::Tiny -e '
		exit !HTTP::Tiny->new(timeout => 3)->get("http://127.0.0.1:$ARGV[0]/status.txt")->{success};
	' "$KANNEL_ADMIN_PORT"
}

# smsbox ends at once when the bearerbox does not listen, so it comes later,
# and again if it was still too early.
wait_until_flowing()
{
	deadline=$(($(date +%s) + START_SECONDS))
	until flows
	do
		has_ended smsc && give_up "the network ended" smsc.out
		has_ended bearerbox && give_up "bearerbox ended" bearerbox.log
		if has_ended smsbox && bearerbox_answers
		then start_one smsbox smsbox -v 4 "$dir/kannel.conf"
		fi
		[ "$(date +%s)" -lt "$deadline" ] || give_up "Kannel is not connected after $START_SECONDS seconds" bearerbox.log
		perl -e 'select undef, undef, undef, 0.1'
	done
}

give_up()
{
	tail -n 5 "$dir/$2" "$dir/smsbox.log" >&2
	stop
	fail "$1; see $dir/$2 and $dir/smsbox.log"
}

start()
{
	check_programs
	mkdir -p "$dir" || fail "cannot make folder \"$dir\""
	for name in smsc bearerbox smsbox
	do
		pid=$(pid_of $name) && fail "$name already runs in $dir as process $pid; stop it first"
	done
	rm -f "$dir"/*.pid
	check_ports
	choose_user
	take_password
	write_files
	start_all
	wait_until_flowing
	echo "Kannel takes messages at http://127.0.0.1:$KANNEL_SENDSMS_PORT/cgi-bin/sendsms for user $SENDSMS_USER, password in $dir/sendsms.password"
}

# ---------------------------------------------------------------- stop, status

stop_one()
{
	if pid=$(pid_of "$1")
	then
		kill "$pid"
		deadline=$(($(date +%s) + STOP_SECONDS))
		while pid_of "$1" >/dev/null
		do
			[ "$(date +%s)" -lt "$deadline" ] || { kill -9 "$pid"; break; }
			perl -e 'select undef, undef, undef, 0.05'
		done
	fi
	rm -f "$dir/$1.pid"
}

stop()
{
	stop_one smsbox
	stop_one bearerbox
	stop_one smsc
}

status()
{
	code=0
	for name in smsc bearerbox smsbox
	do
		if pid=$(pid_of $name)
		then echo "$name runs as process $pid"
		else echo "$name does not run"; code=1
		fi
	done
	[ $code -eq 0 ] || return 1
	. "$dir/settings"
	if flows
	then echo "connected: messages can flow"
	else echo "not connected: see $dir/bearerbox.log"; return 1
	fi
}

reply()
{
	[ $# -eq 3 ] || usage
	[ -r "$dir/settings" ] || fail "no Kannel was started in \"$dir\""
	. "$dir/settings"
	answer=$(perl -MIO::Socket::INET -e '
		my $port = shift;
		my $control = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $port)
			or do { print "smsc.pl does not listen on port $port"; exit };
		print $control "@ARGV\n";
		print scalar <$control> // "smsc.pl ended";
	' "$SMSC_CONTROL_PORT" "$@")
	[ "$answer" = ok ] || fail "$answer"
}

usage()
{
	fail "usage: kannel.sh start|status|stop DIR, or kannel.sh reply DIR FROM TO TEXT"
}

[ $# -ge 2 ] || usage
command=$1
case "$2" in
	/*) dir=${2%/} ;;
	*) dir=$PWD/${2%/} ;;
esac
shift 2
case "$command" in
	start | status | stop)
		[ $# -eq 0 ] || usage
		$command ;;
	reply)
		reply "$@" ;;
	*)
		usage ;;
esac
