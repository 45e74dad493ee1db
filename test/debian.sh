# shellcheck shell=sh
# For scripts that need another Debian: one in a folder, which debootstrap unpacks and a private mount namespace runs, so
# that packages of the machine itself are never changed. To be read by a shell script; needs root.

: "${VERSIONS_DIR:=/var/tmp/smsflow-versions}"

bad()
{
	printf 'FAILED  %s: %s\n' "$(basename "$0" .sh)" "$1"
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
		15) echo bookworm ;;
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

# make_root VERSION FOLDER
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

# in_root ROOT COMMAND...; mounts vanish with the namespace. Programs are found as they are there, and not as they are here.
in_root()
{
	root=$1
	shift
	unshare --mount sh -c 'root=$1; shift
		mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" &&
		exec env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" "$@"' sh "$root" "$@"
}

# The tree as it is, without what is built, to /smsflow of a root.
copy_tree()
{
	rm -rf "$1/smsflow" && mkdir "$1/smsflow" &&
		git ls-files -z --cached --others --exclude-standard | tar --null --files-from - --create | tar -x -C "$1/smsflow" || fail "the tree could not be copied"
}

# What is missing here is no failure of the tree.
not_run()
{
	printf 'NOT-RUN %s: %s\n' "$(basename "$0" .sh)" "$1"
	exit 0
}

[ "$(id -u)" -eq 0 ] || not_run "a Debian in a folder can only be made by root"
command -v debootstrap >/dev/null || not_run "debootstrap is missing, make deps installs it"
mirror=$(find_mirror)
[ -n "$mirror" ] || not_run "apt has no Debian mirror to take packages from"
unshare --mount --pid --fork --mount-proc true 2>/dev/null || not_run "this system gives no namespaces to root"
wget --quiet --spider --timeout=20 --tries=2 "$mirror/dists/trixie/Release" || not_run "the Debian mirror of apt, $mirror, cannot be reached"
mkdir -p "$VERSIONS_DIR"
