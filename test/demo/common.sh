# shellcheck shell=bash
# Shared by demo.sh and demo-stop.sh: where the demo lives, how it is
# recognized, and as whom it runs.  To be sourced by bash.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
folder=${DEMO_DIR:-${TMPDIR:-/tmp}/smsflow-demo}
folder=${folder%/}
marker=$folder/this-is-a-smsflow-demo
PATH=$PATH:/usr/sbin:/sbin

# A server and Kannel refuse to run as root, so then they run as postgres.
as_owner=()

# fail MESSAGE [ADVICE...]
fail()
{
	printf '\n%s: %s\n' "$(basename "$0")" "$1" >&2
	shift
	[ $# -eq 0 ] || printf '  %s\n' "$@" >&2
	exit 1
}

choose_owner()
{
	[ "$(id -u)" -eq 0 ] || return 0
	id postgres >/dev/null 2>&1 || return 0
	as_owner=(setpriv --reuid=postgres --regid="$(id -g postgres)" --init-groups -- env HOME="$folder")
}

# The name becomes part of configuration files, and of a socket's address,
# which holds 107 bytes.
check_name()
{
	case $folder in
		'' | */../* | */..) fail "\"$folder\" cannot be the folder of the demo" "Set DEMO_DIR to a folder that does not exist yet." ;;
		/*) ;;
		*) fail "DEMO_DIR is \"$folder\", but must be an absolute path" ;;
	esac
	case $folder in
		*[!A-Za-z0-9_./-]*) fail "DEMO_DIR may have letters, digits and _ . / - only" ;;
	esac
	[ ${#folder} -le 80 ] || fail "DEMO_DIR is longer than 80 characters"
}

# Everything in the folder is removed later, so it must surely be a demo's, of
# somebody we trust: anybody may make a folder in /tmp.
check_ours()
{
	local owner

	[ ! -L "$folder" ] && [ -d "$folder" ] && [ -f "$marker" ] ||
		fail "$folder exists and is no folder of this demo" "Nothing was touched. Set DEMO_DIR to another place."
	owner=$(stat -c %U "$folder")
	case $owner in
		"$(id -un)") ;;
		postgres) [ "$(id -u)" -eq 0 ] || fail "the demo in $folder was started by root" "Stop it as root, or set DEMO_DIR to another place." ;;
		*) fail "the demo in $folder belongs to $owner" "Set DEMO_DIR to another place." ;;
	esac
}

choose_owner
check_name
