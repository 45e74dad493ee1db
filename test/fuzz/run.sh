#!/bin/sh
# run.sh SECONDS FUZZER... - runs each fuzz target from its seeds for so many seconds. New inputs go to a folder outside the
# sources; an input that fails is kept and named. Exits with 1 when any target failed.
seconds=$1
shift
seeds=$(cd "$(dirname "$0")" && pwd)/corpus
work=$(mktemp -d)
failed=0
for fuzzer in "$@"; do
	name=$(basename "$fuzzer" | sed 's/^fuzz_//')
	mkdir -p "$work/$name"
	if "$fuzzer" -max_total_time="$seconds" -max_len=1000 -artifact_prefix="$work/$name-" \
		"$work/$name" "$seeds/$name" > "$work/$name.log" 2>&1; then
		echo "fuzz $name: ok, $(sed -n 's/^#\([0-9]*\).*DONE.*/\1/p' "$work/$name.log") inputs"
	else
		failed=1
		tail -25 "$work/$name.log"
		echo "fuzz $name: FAILED, the input is in $work"
	fi
done
[ "$failed" = 0 ] && rm -rf "$work"
exit "$failed"
