#!/bin/bash
# run.sh SECONDS FUZZER... - runs each fuzz target from its corpus for so many seconds, two at a time, and prints a line for
# each: "ok NAME INPUTS" or "failed NAME FILE". New inputs go to a folder outside the sources; an input that fails is kept.
# Exits with 1 when any target failed.
seconds=$1
shift
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/smsflow-fuzz.XXXXXX")
trap 'rm -rf "$work"' EXIT

run() {
	local name=${1##*/fuzz_} kept
	mkdir "$work/$name"
	# The corpus may be larger than the seconds: each of its inputs is run in any case.
	if timeout $((seconds + 60)) "$1" -max_total_time="$seconds" -max_len=2000 -timeout=10 -rss_limit_mb=1024 \
		-artifact_prefix="$work/failed-$name-" "$work/$name" "$top/test/fuzz/corpus/$name" >"$work/$name.log" 2>&1; then
		printf 'ok %s %s\n' "$name" "$(sed -nE 's/^Done ([0-9]+) runs.*/\1/p' "$work/$name.log")"
		return 0
	fi
	kept=$top/build/failed/fuzz-$name
	rm -rf "$kept"
	mkdir -p "$kept"
	cp "$work/$name.log" "$work/failed-$name-"* "$kept/" 2>/dev/null
	grep -vE '^#[0-9]+' "$work/$name.log" | tail -25 >&2
	printf 'failed %s %s\n' "$name" "$kept"
	return 1
}

export -f run
export seconds top work
printf '%s\0' "$@" | xargs -0 -P 2 -I '{}' bash -c 'run {}' || exit 1
