#!/bin/sh
#
# The other supported releases of PostgreSQL: builds smsflow with the compilers of the
# Debian release that has them, warnings as errors, and runs the tests there.
#
#   versions.sh [17 18]
#   VERSIONS_DIR=/var/tmp/smsflow-versions   where the roots are kept for the next run
#   VERSIONS_STAGES="unit regress isolation" which stages of check.sh run there
#
# Each release is a Debian of its own in a folder, see debian.sh. Prints what check.sh prints, with the version before it.

set -u
cd "$(dirname "$0")/.." || exit 1
. test/debian.sh

: "${VERSIONS_STAGES:=unit regress isolation}"

check_version()
{
	folder=$VERSIONS_DIR/$1
	log=$folder.log
	make_root "$1" "$folder" >"$log" 2>&1 || {
		tail -5 "$log"
		bad "no Debian with PostgreSQL $1 could be made" "The log is $log"
		return
	}
	copy_tree "$folder/debian"
	in_root "$folder/debian" env PG_MAJOR="$1" DEBIAN_FRONTEND=noninteractive /smsflow/test/check.sh $VERSIONS_STAGES >"$log" 2>&1
	sed -n "s/^ok      /ok      $1: /p; s/^FAILED  /FAILED  $1: /p" "$log"
	tail -1 "$log" | grep -q ' 0 failed$' || {
		grep -v '^ok' "$log" | tail -60
		bad "PostgreSQL $1" "The log is $log"
	}
}

for version in ${*:-17 18}
do
	check_version "$version"
done
