#!/bin/sh
#
# The other supported releases of PostgreSQL: builds smsflow with the compilers of the
# Debian release that has them, warnings as errors, and runs the tests there.
#
#   versions.sh [17 18]      beside each other, each with namespaces of its own, in which nothing outlives it
#   VERSIONS_DIR=/var/tmp/smsflow-versions   where the roots are kept for the next run
#   VERSIONS_STAGES="compilers unit regress isolation tap"   which stages of check.sh run there
#   VERSIONS_TAP="test/t/003_delivery.pl ..."   of the TAP tests only these, which need a server and nothing else
#   VERSIONS_SECONDS=6000    after which a release is ended, and what it had still to do counts as not run
#
# Each release is a Debian of its own in a folder, see debian.sh. Prints what check.sh prints, with the version before it.

set -u
cd "$(dirname "$0")/.." || exit 1
. test/debian.sh

: "${VERSIONS_STAGES:=compilers unit regress isolation tap}"
: "${VERSIONS_TAP:=}"
: "${VERSIONS_SECONDS:=6000}"

# What the tests need there.
packages=check
[ -z "$VERSIONS_TAP" ] || packages=server

# in_version VERSION COMMAND...
in_version()
{
	version=$1
	shift
	in_root "$VERSIONS_DIR/$version/debian" env -u PG_CONFIG PG_MAJOR="$version" DEBIAN_FRONTEND=noninteractive \
		CHECK_PACKAGES="$packages" CHECK_TAP="$VERSIONS_TAP" CHECK_TAP_JOBS=2 "$@"
}

prepare()
{
	make_root "$1" "$VERSIONS_DIR/$1" && copy_tree "$VERSIONS_DIR/$1/debian" && in_version "$1" /smsflow/test/deps.sh "$packages"
}

# show_results VERSION: what there is of them.
show_results() { sed -n "s/^ok      /ok      $1: /p; s/^FAILED  /FAILED  $1: /p; s/^NOT-RUN /NOT-RUN $1: /p" "$VERSIONS_DIR/$1.log"; }

check_version()
{
	log=$VERSIONS_DIR/$1.log
	prepare "$1" >"$log" 2>&1 || {
		tail -5 "$log"
		not_run "no Debian with PostgreSQL $1 could be made, the log is $log"
	}
	in_version "$1" /smsflow/test/check.sh $VERSIONS_STAGES >"$log" 2>&1
	show_results "$1"
	tail -1 "$log" | grep -q ' 0 failed$' || {
		grep -v '^ok' "$log" | tail -60 | sed 's/^/| /'
		bad "PostgreSQL $1" "The log is $log"
	}
}

# limit_version VERSION: check_version of another process, which can be ended with all that it started.
limit_version()
{
	timeout --signal=KILL "$VERSIONS_SECONDS" unshare --mount --pid --fork --kill-child --mount-proc "$0" --one "$1" >"$VERSIONS_DIR/$1.out" 2>&1
	case $? in
		0) ;;
		137)
			show_results "$1" >"$VERSIONS_DIR/$1.out"
			printf 'NOT-RUN versions: PostgreSQL %s was not finished in time, after %s seconds\n' "$1" "$VERSIONS_SECONDS" >>"$VERSIONS_DIR/$1.out" ;;
		*) bad "PostgreSQL $1: its run broke off" >>"$VERSIONS_DIR/$1.out" ;;
	esac
}

if [ "${1:-}" = --one ]
then
	check_version "$2"
	exit 0
fi
versions=${*:-17 18}
for version in $versions
do
	limit_version "$version" &
done
wait
for version in $versions
do
	cat "$VERSIONS_DIR/$version.out"
done
