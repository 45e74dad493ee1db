#!/bin/sh
#
# Installs the Debian packages that smsflow needs, as far as they are missing.
#
#   deps.sh build      compile and install the extension and smsflowd
#   deps.sh demo       build, and run the demo
#   deps.sh server     build, and run the tests of the server alone
#   deps.sh check      demo, and run every test (the default)
#
# Without anything missing it does nothing, needs no rights and no network.
# Otherwise it calls apt-get, as root or through sudo.  PG_MAJOR chooses the
# version of PostgreSQL; without it, it is the one that Debian 12 has.

set -u

: "${PG_MAJOR:=15}"

build_packages="build-essential pkg-config postgresql-$PG_MAJOR postgresql-server-dev-$PG_MAJOR
	libpq-dev libcurl4-openssl-dev libevent-dev libssl-dev"
demo_packages="postgresql-$PG_MAJOR-cron kannel perl procps"
server_packages="clang libipc-run-perl"
check_packages="postgresql-$PG_MAJOR-plproxy python3-psycopg2 python3-sqlalchemy libpostgresql-jdbc-java default-jdk-headless libclang-rt-dev clang-tidy clang-format cppcheck shellcheck debootstrap wget unzip python3-flask chromium"

# A Node.js that is not Debian's brings its own npm.
command -v npm >/dev/null || check_packages="$check_packages nodejs npm"

fail()
{
	printf 'deps.sh: %s\n' "$1" >&2
	shift
	[ $# -eq 0 ] || printf '  %s\n' "$@" >&2
	exit 1
}

choose_packages()
{
	case "$1" in
		build) packages=$build_packages ;;
		demo) packages="$build_packages $demo_packages" ;;
		server) packages="$build_packages $server_packages" ;;
		check) packages="$build_packages $demo_packages $server_packages $check_packages" ;;
		*) fail "usage: deps.sh build|demo|server|check" ;;
	esac
}

is_installed()
{
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

find_missing()
{
	missing=
	for package in $packages
	do
		is_installed "$package" || missing="$missing $package"
	done
}

# Everything that runs with the rights of root goes through this.
choose_root()
{
	if [ "$(id -u)" -eq 0 ]
	then as_root=
	elif command -v sudo >/dev/null
	then as_root=sudo
	else
		fail "these packages are missing, and installing them needs root or sudo:$missing" \
			"Run as root:  apt-get update && apt-get install$missing" \
			"and then start this again."
	fi
}

check_names()
{
	for package in $missing
	do
		apt-cache show "$package" >/dev/null 2>&1 ||
			fail "apt does not know the package $package" \
				"On another release than Debian 12, name its version of PostgreSQL: PG_MAJOR=17 $0 $1" \
				"Packages of other versions are at https://wiki.postgresql.org/wiki/Apt."
	done
}

install_missing()
{
	printf 'deps.sh: installing%s\n' "$missing"
	$as_root apt-get -qq update || fail "apt-get update failed" "Its messages are above: is the network there?"
	check_names "$1"
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $missing >/dev/null ||
		fail "apt-get install failed" "Its messages are above; what was to be installed:$missing"
}

main()
{
	choose_packages "$1"
	command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
		fail "there is no apt here: this script is for Debian and its relatives" \
			"Install by your own means, under your system's names:" "$(echo $packages)" \
			"To build, 'make' alone is enough once PostgreSQL's server headers, libcurl, libevent and libpq are there."
	find_missing
	if [ -z "$missing" ]
	then
		printf 'deps.sh: all packages are installed\n'
		return
	fi
	choose_root
	install_missing "$1"
	find_missing
	[ -z "$missing" ] || fail "still missing after the installation:$missing"
	printf 'deps.sh: done\n'
}

[ $# -le 1 ] || fail "usage: deps.sh build|demo|server|check"
main "${1:-check}"
