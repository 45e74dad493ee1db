#!/bin/sh
#
# The other supported releases of PostgreSQL: builds smsflow with the compilers of the
# Debian release that has them, warnings as errors, and runs the tests there.
#
#   versions.sh [17 18]      beside each other, each with namespaces of its own, in which nothing outlives it
#   VERSIONS_DIR=/var/tmp/smsflow-versions   where the roots are kept for the next run
#   VERSIONS_STAGES="compilers unit regress isolation"   which stages of check.sh run there
#   VERSIONS_SECONDS=6000    after which a release is ended, and counts as not run
#
# Each release is a Debian of its own in a folder, see debian.sh. Prints what check.sh prints, with the version before it.

set -u
cd "$(dirname "$0")/.." || exit 1
. test/debian.sh

: "${VERSIONS_STAGES:=compilers unit regress isolation}"
: "${VERSIONS_SECONDS:=6000}"

# What the tree needs there, of which nothing is of the tree.
prepare()
{
	make_root "$1" "$folder" && copy_tree "$folder/debian" &&
		in_root "$folder/debian" env PG_MAJOR="$1" DEBIAN_FRONTEND=noninteractive /smsflow/test/deps.sh server
}

check_version()
{
	folder=$VERSIONS_DIR/$1
	log=$folder.log
	prepare "$1" >"$log" 2>&1 || {
		tail -5 "$log"
		not_run "no Debian with PostgreSQL $1 could be made, the log is $log"
	}
	in_root "$folder/debian" env PG_MAJOR="$1" DEBIAN_FRONTEND=noninteractive /smsflow/test/check.sh $VERSIONS_STAGES >"$log" 2>&1
	sed -n "s/^ok      /ok      $1: /p; s/^FAILED  /FAILED  $1: /p" "$log"
	tail -1 "$log" | grep -q ' 0 failed$' || {
		grep -v '^ok' "$log" | tail -60
		bad "PostgreSQL $1" "The log is $log"
	}
}

# limit_version VERSION: check_version of another process, which can be ended with all that it started.
limit_version()
{
	timeout --signal=KILL "$VERSIONS_SECONDS" unshare --mount --pid --fork --kill-child --mount-proc "$0" --one "$1" >"$VERSIONS_DIR/$1.out" 2>&1
	case $? in
		0) ;;
		137) printf 'NOT-RUN versions: PostgreSQL %s was not finished in time, after %s seconds\n' "$1" "$VERSIONS_SECONDS" >"$VERSIONS_DIR/$1.out" ;;
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
