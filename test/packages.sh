#!/bin/sh
#
# Debian packages: builds them with apt's build dependencies in the Debian of each release of PostgreSQL, installs them in
# another that has nothing else, and has autopkgtest run debian/tests there: a first message is sent. Then a cluster of PostgreSQL 15
# with data and waiting messages becomes one of 17 by pg_upgrade, as when Debian 12 becomes Debian 13.
#
#   packages.sh [15 17 18]
#   VERSIONS_DIR=/var/tmp/smsflow-versions   where the Debians and, in packages/VERSION, the packages are kept
#
# Prints a line for each step: "ok" or "FAILED", and what it was.

set -u
cd "$(dirname "$0")/.." || exit 1
. test/debian.sh

# step NAME COMMAND...; its output goes to the log.
step()
{
	name=$1
	shift
	if "$@" >>"$log" 2>&1
	then printf 'ok      %s\n' "$name"
	else
		tail -20 "$log"
		bad "$name" "The log is $log"
		return 1
	fi
}

apt() { in_root "$1" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends "$2" ${3+"$3"} ${4+"$4"} ${5+"$5"} ${6+"$6"}; }

build()
{
	make_root "$1" "$VERSIONS_DIR/$1" && copy_tree "$builder" && apt "$builder" update &&
		in_root "$builder" sh -c 'cd /smsflow && export DEBIAN_FRONTEND=noninteractive &&
			apt-get -qq -y --no-install-recommends build-dep ./ && DEB_BUILD_OPTIONS=parallel=2 make deb' || return
	rm -rf "$packages" && mkdir -p "$packages" && cp "$builder"/smsflow/build/deb/*.deb "$packages/" && rm -f "$packages"/*-dbgsym_*
}

# Debian's own rules for packages. They are built without a bug in Debian's tracker to close, and without manual pages.
lint_packages()
{
	rm -rf "$builder/packages" && cp -r "$packages" "$builder/packages" && apt "$builder" install lintian &&
		in_root "$builder" sh -c 'lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs,no-manual-page /packages/*.deb'
}

# The unit as systemd reads it.
verify_unit()
{
	apt "$target" install systemd && in_root "$target" systemd-analyze verify --man=no smsflowd@shop.service
}

# Only what apt installs for the sake of the packages.
install_packages()
{
	make_root "$1" "$VERSIONS_DIR/$1-installed" && copy_tree "$target" && rm -rf "$target/packages" && cp -r "$packages" "$target/packages" &&
		apt "$target" update && in_root "$target" sh -c 'export DEBIAN_FRONTEND=noninteractive
			apt-get -qq -y purge "postgresql-*-smsflow" smsflowd; apt-get -qq -y --no-install-recommends install /packages/*.deb'
}

# debian/tests as Debian's own machines run them: of the source as it was built, with what their control file names besides.
run_autopkgtest()
{
	apt "$target" install autopkgtest && cp "$builder/smsflow/build/deb/smsflow/debian/control" "$target/smsflow/debian/control" && in_root "$target" sh -c 'DEBIAN_FRONTEND=noninteractive autopkgtest --no-built-binaries /packages/*.deb /smsflow/ -- null'
}

try_packages()
{
	builder=$VERSIONS_DIR/$1/debian
	target=$VERSIONS_DIR/$1-installed/debian
	packages=$VERSIONS_DIR/packages/$1
	log=$VERSIONS_DIR/packages-$1.log
	: >"$log"
	step "$1: packages are built" build "$1" || return
	step "$1: lintian has nothing against them" lint_packages
	step "$1: they install" install_packages "$1" && step "$1: autopkgtest: a first message is sent and reported" run_autopkgtest && step "$1: systemd reads the unit" verify_unit
}

# Where Debian 12 was, PostgreSQL 15 stays beside that of Debian 13 until its clusters are upgraded.
install_old()
{
	echo "deb $mirror bookworm main" >"$builder/etc/apt/sources.list.d/bookworm.list" && rm -rf "$builder/packages" && cp -r "$packages" "$builder/packages" &&
		apt "$builder" update && in_root "$builder" sh -c 'DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install \
			postgresql-15 /packages/postgresql-15-smsflow_*.deb'
}

upgrade_15_to_17()
{
	builder=$VERSIONS_DIR/17/debian
	packages=$VERSIONS_DIR/packages/15
	log=$VERSIONS_DIR/packages-upgrade.log
	: >"$log"
	step "17: PostgreSQL 15 is beside it" install_old && step "17: pg_upgrade from 15" in_root "$builder" env PG_MAJOR=17 DEBIAN_FRONTEND=noninteractive \
		CHECK_PACKAGES=server oldinstall=/usr/lib/postgresql/15 PG_CONFIG=/usr/lib/postgresql/17/bin/pg_config CHECK_TAP=test/t/050_restore.pl /smsflow/test/check.sh tap
}

versions=" ${*:-15 17 18} "
for version in $versions
do
	try_packages "$version"
done
[ "${versions#* 15 }" = "$versions" ] || [ "${versions#* 17 }" = "$versions" ] || upgrade_15_to_17
