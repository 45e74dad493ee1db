#!/bin/sh
#
# The other supported releases of PostgreSQL: builds smsflow with the compilers of the
# Debian release that has them, warnings as errors, and runs the tests there.
#
#   versions.sh [17 18]
#   VERSIONS_DIR=/var/tmp/smsflow-versions   where the roots are kept for the next run
#   VERSIONS_STAGES="unit regress isolation" which stages of check.sh run there
#
# Each release is a Debian of its own in a folder, which debootstrap unpacks and a
# private mount namespace runs: packages of the machine itself are never changed.
# Needs root. Prints what check.sh prints, with the version before it.

set -u
cd "$(dirname "$0")/.." || exit 1

: "${VERSIONS_DIR:=/var/tmp/smsflow-versions}"
: "${VERSIONS_STAGES:=unit regress isolation}"

bad()
{
	printf 'FAILED  versions: %s\n' "$1"
	[ $# -lt 2 ] || printf '  %s\n' "$2"
}

fail()
{
	bad "$@"
	exit 1
}

# The Debian release that has this PostgreSQL.
suite_of()
{
	case $1 in
		17) echo trixie ;;
		18) echo forky ;;
		*) fail "no Debian release is known to have PostgreSQL $1" ;;
	esac
}

# Where the machine itself gets its packages from.
find_mirror()
{
	apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | grep '/debian/*$' | head -1
}

make_root()
{
	suite=$(suite_of "$1")
	[ -e "$2/made" ] && return
	rm -rf "$2" && mkdir -p "$2" || return
	# A release that is not out yet may be unknown to debootstrap, and its index may have expired.
	script=/usr/share/debootstrap/scripts/$suite
	[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
	debootstrap --variant=minbase --include=ca-certificates "$suite" "$2/debian" "$mirror" "$script" &&
		echo 'Acquire::Check-Valid-Until "false";' >"$2/debian/etc/apt/apt.conf.d/90versions" &&
		printf '#!/bin/sh\nexit 101\n' >"$2/debian/usr/sbin/policy-rc.d" && chmod 755 "$2/debian/usr/sbin/policy-rc.d" &&
		mkdir -p "$2/debian/etc/postgresql-common" &&
		echo 'create_main_cluster = false' >"$2/debian/etc/postgresql-common/createcluster.conf" &&
		touch "$2/made"
}

# Mounts vanish with the namespace.
in_root()
{
	root=$1
	shift
	unshare --mount sh -c 'root=$1; shift
		mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && exec chroot "$root" "$@"' sh "$root" "$@"
}

check_version()
{
	folder=$VERSIONS_DIR/$1
	log=$folder.log
	mkdir -p "$VERSIONS_DIR"
	make_root "$1" "$folder" >"$log" 2>&1 || {
		tail -5 "$log"
		bad "no Debian with PostgreSQL $1 could be made" "The log is $log"
		return
	}
	rm -rf "$folder/debian/smsflow" && mkdir "$folder/debian/smsflow" &&
		git ls-files -z --cached --others --exclude-standard | tar --null --files-from - --create | tar -x -C "$folder/debian/smsflow" || fail "the tree could not be copied"
	in_root "$folder/debian" env PG_MAJOR="$1" DEBIAN_FRONTEND=noninteractive /smsflow/test/check.sh $VERSIONS_STAGES >"$log" 2>&1
	sed -n "s/^ok      /ok      $1: /p; s/^FAILED  /FAILED  $1: /p" "$log"
	tail -1 "$log" | grep -q ' 0 failed$' || {
		grep -v '^ok' "$log" | tail -60
		bad "PostgreSQL $1" "The log is $log"
	}
}

[ "$(id -u)" -eq 0 ] || fail "a Debian in a folder can only be made by root"
command -v debootstrap >/dev/null || fail "debootstrap is missing" "make deps installs it"
mirror=$(find_mirror)
[ -n "$mirror" ] || fail "apt has no Debian mirror to take packages from"
for version in ${*:-17 18}
do
	check_version "$version"
done
