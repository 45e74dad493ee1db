#!/usr/bin/env bash
# The tests, in one run: build with warnings as errors, unit tests, regression, isolation and TAP tests on private servers
# (the SQL of README among them), static checks. Servers run as an ordinary user, on private ports, in a folder that is
# removed at the end. Closes with "N passed, N failed", and before it with what could not be run here.
#
#   test/check.sh [STAGE|STAGE+STAGE ...]    those with a plus run beside each other
#       unit regress isolation static tap fuzz sim    without arguments these
#       sanitize versions                             and these in CI, see check-ci in the Makefile
#       packages valgrind                             for a release
#   CHECK_TAP="test/t/003*.pl" CHECK_REGRESS="phone contact"   only these
#   FUZZ_SECONDS=60 SIM_SECONDS=120   for each fuzz target, instead of 10; for the simulator, instead of 30
#   CHECK_TAP_JOBS=3   TAP tests that run beside each other
#   CHECK_PACKAGES=server   for TAP tests that need no more
#   CHECK_MINUTES=36   for all; the stage versions ends with what is left of them
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
top=$PWD
stages=${*:-unit static+regress isolation+sim tap fuzz}
work=$(mktemp -d "${TMPDIR:-/tmp}/smsflow-check.XXXXXX")
results=$work/results.log

keep_results() { [ -z "${CHECK_KEEP:-}" ] || { mkdir -p "$CHECK_KEEP" && cp -r "$work"/out.*/results/. "$CHECK_KEEP"; }; }
trap 'keep_results; rm -rf "$work"' EXIT

say() { printf '== %s\n' "$*"; }
note() { printf '%-7s %s\n' "$1" "$2" | tee -a "$results"; }
good() { note ok "$1"; }
bad() { note FAILED "$1"; }
not_run() { note NOT-RUN "$1"; }
result() { if [ "$1" -eq 0 ]; then good "$2"; else bad "$2"; fi; }

# Root may not run a server, so an ordinary user does.
as_user() { if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
sudo_if_needed() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi; }

# What the stages need, and no more: each of the other Debians installs it anew.
case $stages in
*tap* | *static* | *fuzz* | *sanitize*) packages=check ;;
*) packages=server ;;
esac
test/deps.sh "${CHECK_PACKAGES:-$packages}" || exit 1
PG_CONFIG=${PG_CONFIG:-pg_config}
pgxs=$(dirname "$($PG_CONFIG --pgxs)")/../..
. test/copy.sh
export PATH="$($PG_CONFIG --bindir):$PATH"

say "build, warnings are errors"
build_log=$(mktemp)
if ! make -s -j2 all unit example-release WERROR=-Werror >"$build_log" 2>&1; then
	grep -E ': (error|warning):|\*\*\*' "$build_log" | head -20
	echo "the build failed, its log is $build_log" >&2
	exit 1
fi
if ! sudo_if_needed make -s install >"$build_log" 2>&1; then
	tail -5 "$build_log"
	echo "make install failed: run it as root, or with sudo that asks no password" >&2
	exit 1
fi
rm -f "$build_log"
good "build"

# Tests read a copy: the checkout may be closed to the ordinary user.
cp -r sql expected test doc src smsflowd ./*.md LICENSE "$work/"
cp -r build/upgrade "$work/test/upgrade/made"
[ "$(id -u)" -eq 0 ] && chown -R postgres "$work"
chmod 755 "$work"

# run_unit [FOLDER KIND]
run_unit() {
	local folder=${1:-build/unit} kind=${2:-unit} program log=$work/unit.log
	for program in "$folder"/*; do
		[ -x "$program" ] || continue
		"$program" "$top" >"$log" 2>&1
		local code=$?
		if [ $code -ne 0 ]; then tail -20 "$log"; fi
		result $code "$kind $(basename "$program"): $(tail -1 "$log")"
	done
}

# pg_regress and its isolation sister print one line a test.
count_regress() {
	local kind=$1 log=$2 line
	while read -r line; do
		case $line in
		test*\ ok\ * | *...\ ok* | ok\ *) good "$kind $(sed -E 's/^(test|ok [0-9]+ +[-+]) +//; s/ +\.\.\. .*| +[0-9]+ ms.*//' <<<"$line")" ;;
		test*FAILED* | not\ ok*) bad "$kind $(sed -E 's/^(test|not ok [0-9]+ +[-+]) +//; s/ +\.\.\. .*| +[0-9]+ ms.*//' <<<"$line")" ;;
		esac
	done <"$log"
}

# run_server_tests KIND PROGRAM INPUT-FOLDER TESTS...; with another server in $server_bin
run_server_tests() {
	local kind=$1 program=$2 input=$3 log=$work/$1.log out=$work/out.$1
	shift 3
	as_user mkdir "$out"
	(cd "$out" && as_user timeout "${SERVER_SECONDS:-900}" "$program" --inputdir="$input" --outputdir="$out" \
		--bindir="${server_bin:-$($PG_CONFIG --bindir)}" --temp-instance="$work/$kind" --temp-config="$work/test/smsflow.conf" \
		--encoding=UTF8 --no-locale --load-extension=smsflow "$@") >"$log" 2>&1
	local code=$?
	count_regress "$kind" "$log"
	if [ $code -ne 0 ]; then
		grep -qE 'FAILED|^not ok' "$log" || bad "$kind: the run broke off"
		tail -5 "$log"
		[ -f "$out/regression.diffs" ] && head -100 "$out/regression.diffs"
	fi
	grep -qE '^(test|ok|not ok)' "$log" || { cat "$out"/log/*.log | tail -5; bad "$kind: no test ran"; }
}

run_regress() {
	run_server_tests regress "$pgxs/src/test/regress/pg_regress" "$work" ${CHECK_REGRESS:-$(make -s -C "$top" print-REGRESS)}
}

run_isolation() {
	run_server_tests isolation "$pgxs/src/test/isolation/pg_isolation_regress" "$work/test" \
		${CHECK_ISOLATION:-$(make -s -C "$top" print-ISOLATION)}
}

# The library that can be made to fail.
install_faults() {
	local bin
	bin=$($PG_CONFIG --bindir)
	make -s -j2 -C "$top" faults WERROR=-Werror || return 1
	copy_installation "$work/faults" "$top/build/faults/smsflow.so"
	export SMSFLOW_FAULTS=${work}/faults${bin%/bin}
}

# One TAP file, on its own; says what it found in $work/NAME.result.
tap_file() {
	local file=$1 name log code
	name=$(basename "$file" .pl)
	log=$work/$name.log
	as_user mkdir -p "$work/tap/$name"
	(cd "$work" && as_user env TESTDIR="$work/tap/$name" TESTDATADIR="$work/tap/$name" TESTLOGDIR="$work/tap/$name/log" SMSFLOWD="$work/smsflowd" \
		PG_REGRESS="$pgxs/src/test/regress/pg_regress" PG_CONFIG="$PG_CONFIG" top_builddir="$work" \
		timeout "${TAP_SECONDS:-400}" prove -I "$pgxs/src/test/perl" -I test/perl --timer "$file") >"$log" 2>&1
	code=$?
	if [ $code -ne 0 ]; then
		mkdir -p "$top/build/failed" && cp -r "$log" "$work/tap/$name" "$top/build/failed/" 2>/dev/null
	fi
	echo "$code" >"$work/$name.result"
}

run_tap() {
	install_faults || bad "the library with faults"
	tap_files tap ${CHECK_TAP:-test/t/*.pl}
}

# tap_files KIND FILES...: they mostly wait for servers, so more run at a time than there are processors.
tap_files() {
	local kind=$1 file name log code at_once=${CHECK_TAP_JOBS:-3}
	shift
	local files=("$@")
	for file in "${files[@]}"; do
		while [ "$(jobs -rp | wc -l)" -ge "$at_once" ]; do wait -n; done
		tap_file "$file" &
	done
	wait
	for file in "${files[@]}"; do
		name=$(basename "$file" .pl)
		log=$work/$name.log
		code=$(cat "$work/$name.result")
		if [ "$code" -ne 0 ]; then
			grep -E '^ *#|not ok|Failed|Result|exited' "$log" | head -40
			grep -hE '(ERROR|FATAL):  |error running SQL| died | at .* line [0-9]+\.$' "$work/tap/$name"/log/regress_log_* "$work/tap/$name"/tmp_check/log/regress_log_* 2>/dev/null | tail -5 | cut -c1-500
		fi
		sed -n 's/^# measured: /        /p' "$log"
		if [ "$code" -eq 0 ] && grep -q '\.\. skipped: ' "$log"; then
			not_run "$kind $name: $(sed -n 's/.*\.\. skipped: //p' "$log")"
			continue
		fi
		result "$code" "$kind $name ($(grep -oE 'Tests=[0-9]+, +[0-9]+' "$log" | sed 's/Tests=//; s/, */ tests, /') s)"
	done
}

# The regression tests that run most of what is compiled.
compiled_tests="phone consent text contact gateway message profile segment campaign sequence callback gate hours otp links coupons lint"

# core, smsflowd and extension once more, built so that an error of addresses, of undefined behaviour or a leak ends the program;
# memory that a server keeps until its end is no leak. What is said of addresses is in a file for each process, the other in logs.
run_sanitize() {
	local log=$work/sanitize.log reports=$work/sanitizers server_bin
	if ! make -s -j2 sanitized WERROR=-Werror >"$log" 2>&1; then
		tail -20 "$log"
		bad "sanitize: it does not build"
		return
	fi
	run_unit build/sanitized/unit "sanitized unit"
	watched_installation "$work/checked" build/sanitized/smsflow.so
	cp build/sanitized/first_malloc.so build/sanitized/smsflowd "$work/"
	server_bin=$work/checked$($PG_CONFIG --bindir)
	mkdir "$reports" && chmod 777 "$reports"
	(
		export PRELOADED="$(gcc -print-file-name=libasan.so):$work/first_malloc.so"
		export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:log_path=$reports/address UBSAN_OPTIONS=print_stacktrace=1
		run_server_tests sanitized "$pgxs/src/test/regress/pg_regress" "$work" ${CHECK_REGRESS:-$compiled_tests}
		rm -rf "$work/tap"
		PATH=$server_bin:$PATH tap_files "sanitized server" ${CHECK_TAP:-test/t/003_delivery.pl test/t/005_reports.pl test/t/014_otp.pl}
	)
	(cat "$reports"/address.*; grep -rh -A 20 ': runtime error: ' "$work/out.sanitized/log" "$work/tap") >"$log" 2>/dev/null
	head -n 80 "$log"
	result $(($(wc -c <"$log") > 0)) "sanitized server: nothing is said of any process"
	tap_files "sanitized smsflowd" test/t/020_smsflowd.pl test/t/021_links.pl test/t/022_receiver_faults.pl test/t/023_report.pl
}

# The server under memcheck: what it finds on the way through our code counts, and a process that died. What a test prints
# does not: too much of it depends on time, which passes ten times faster there.
run_valgrind() {
	local server_bin logs=$work/memcheck ours
	command -v valgrind >/dev/null || { bad "valgrind is not installed"; return; }
	watched_installation "$work/watched" "$($PG_CONFIG --pkglibdir)/smsflow.so"
	server_bin=$work/watched$($PG_CONFIG --bindir)
	mkdir "$logs" && chmod 777 "$logs"
	sed -i '/predicate_timeout/d' "$work/test/smsflow.conf"
	(results=/dev/null SERVER_SECONDS=${VALGRIND_SECONDS:-7200} PGCTLTIMEOUT=600
		export PGCTLTIMEOUT WATCHER="valgrind --quiet --fullpath-after= --num-callers=40 --leak-check=no --trace-children=no \
			--suppressions=$work/test/valgrind.supp --gen-suppressions=all --log-file=$logs/%p.log"
		run_server_tests valgrind "$pgxs/src/test/regress/pg_regress" "$work" ${CHECK_REGRESS:-$compiled_tests}) | sed 's/^FAILED /differs/'
	# Of an error, the stack has a file of ours.
	ours=$(awk -v ours="($top/src/" 'function look() { if (index(block, ours)) print block; block = "" }
		/^==[0-9]+== [^ ]/ { look() } { block = block $0 "\n" } END { look() }' "$logs"/*.log)
	[ -z "$ours" ] || head -80 <<<"$ours"
	result $((${#ours} > 0)) "valgrind: no error of ours in $(ls "$logs" | wc -l) processes"
	! grep -hE 'was terminated by signal|PANIC' "$work/out.valgrind/log/postmaster.log"
	result $? "valgrind: no process died"
	grep -q 'ready to accept connections' "$work/out.valgrind/log/postmaster.log"
	result $? "valgrind: the server ran"
}

run_static() { test/static.sh; result $? "static checks"; }

run_fuzz() {
	local seconds=${FUZZ_SECONDS:-10} log=$work/fuzz.log fuzzers ran=0 verdict name words
	fuzzers=$(make -s print-FUZZERS)
	if ! make -s -j2 $fuzzers >"$log" 2>&1; then
		tail -20 "$log"
		bad "fuzz: the targets do not build"
		return
	fi
	while read -r verdict name words; do
		ran=$((ran + 1))
		if [ "$verdict" = ok ]; then good "fuzz $name ($words inputs in $seconds s)"; else bad "fuzz $name: see $words"; fi
	done < <(test/fuzz/run.sh "$seconds" $fuzzers)
	[ "$ran" -eq "$(wc -w <<<"$fuzzers")" ] || bad "fuzz: of $(wc -w <<<"$fuzzers") targets $ran ran"
}

# As many as the seconds allow, and a million at least.
run_sim() {
	local seconds=${SIM_SECONDS:-30} log=$work/sim.log count
	if ! make -s build/sim/sim WERROR=-Werror >"$log" 2>&1; then
		tail -20 "$log"
		bad "sim: it does not build"
		return
	fi
	timeout $((seconds + 60)) build/sim/sim --seconds "$seconds" >"$log" 2>&1
	result $? "sim: $(tail -1 "$log")"
	count=$(sed -nE 's/^([0-9]+) schedules.*/\1/p' "$log")
	[ "$seconds" -lt 120 ] || result $((${count:-0} < 1000000)) "sim: a million schedules"
}

# Both compilers, where the tools of the static checks are not.
run_compilers() { test/static.sh compilers; result $? "gcc and clang without warnings"; }

# Scripts that print a line for each of their steps, as this one does.
run_steps() {
	local verdict name
	while read -r verdict name; do
		case $verdict in
		ok) good "$name" ;;
		FAILED) bad "$name" ;;
		NOT-RUN) not_run "$name" ;;
		*) echo "$verdict $name" ;;
		esac
	done < <("$@")
}

# TAP tests of what depends most on the server. They need a server, and nothing else.
server_tests="test/t/002_drop.pl test/t/002_worker_life.pl test/t/003_delivery.pl test/t/016_claim.pl test/t/050_restore.pl test/t/052_upgrade.pl test/t/053_retention.pl"

# The other releases of PostgreSQL, each in a Debian of its own; where time is limited, with some of the TAP tests.
run_versions() {
	local left=$((${CHECK_MINUTES:-100} * 60 - SECONDS))
	if [ $left -lt 720 ]; then
		not_run "versions: $((SECONDS / 60)) of ${CHECK_MINUTES} minutes have passed"
	else
		VERSIONS_TAP=${CHECK_MINUTES:+$server_tests} VERSIONS_SECONDS=$left run_steps test/versions.sh ${CHECK_VERSIONS:-}
	fi
}

# The packages of each.
run_packages() { run_steps test/packages.sh ${CHECK_VERSIONS:-}; }

# Those that run beside each other are shown one after the other.
run_beside() {
	local stage
	for stage in "$@"; do "run_$stage" >"$work/$stage.shown" 2>&1 & done
	wait
	for stage in "$@"; do
		say "$stage"
		cat "$work/$stage.shown"
	done
}

for stage in $stages; do
	say "${stage//+/ and }"
	if [[ $stage == *+* ]]; then
		run_beside ${stage//+/ }
	else
		"run_$stage"
	fi
	printf '        %d minutes have passed\n' $((SECONDS / 60))
done

passed=$(grep -c '^ok ' "$results")
failed=$(grep -c '^FAILED ' "$results")
[ "$failed" -eq 0 ] || { printf '\nFailed:\n' && sed -n 's/^FAILED //p' "$results"; }
! grep -q '^NOT-RUN ' "$results" || { printf '\nNot run:\n' && sed -n 's/^NOT-RUN //p' "$results"; }
printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
