#!/usr/bin/env bash
# How fast the parts of core are (core.c), and the counting of parts beside a well-known library for it: npm's
# sms-segments-calculator, on the same texts in the same run. Both must count the same, but for one difference: the library
# never cuts what is drawn as one sign (a flag, a face with a skin colour), 3GPP TS 23.040 knows only code units. Without node
# and npm, or a network to fetch the library, that comparison is left out, and said so.
#
#   test/bench/core.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d "${TMPDIR:-/tmp}/smsflow-core.XXXXXX")
trap 'rm -rf "$work"' EXIT

make -s build/libsmsflow_core.a
cc -std=c11 -O2 -Wall -Wextra -Isrc -Isrc/core -o "$work/core" test/bench/core.c build/libsmsflow_core.a
"$work/core"

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
	echo "left out: the comparison with sms-segments-calculator, since node or npm is not here"
	exit 0
fi
if ! timeout 120 npm install --silent --no-audit --no-fund --prefix "$work" sms-segments-calculator >/dev/null 2>&1; then
	echo "left out: the comparison with sms-segments-calculator, since npm could not fetch it"
	exit 0
fi

# The third count cuts between any two code points.
cat >"$work/segments.js" <<'JS'
const { SegmentedMessage } = require('sms-segments-calculator');
const texts = require('fs').readFileSync(process.argv[3], 'utf8').split('\0').slice(0, -1);

function partsOfCodePoints(text) {
	let parts = 1, filled = 0;
	for (const character of text) {
		if (filled + character.length > 67) {
			parts++;
			filled = 0;
		}
		filled += character.length;
	}
	return text.length <= 70 ? 1 : parts;
}

if (process.argv[2] === 'parts') {
	for (const text of texts) {
		const message = new SegmentedMessage(text);
		const wide = message.encodingName === 'UCS-2';
		console.log(message.encodingName, wide ? text.length : message.numberOfCharacters, message.segmentsCount,
			wide ? partsOfCodePoints(text) : message.segmentsCount);
	}
} else {
	let best = 0;
	for (let round = 0; round < 3; round++) {
		const begun = process.cpuUsage();
		let count = 0;
		for (const text of texts)
			count += new SegmentedMessage(text).segmentsCount > 0;
		const spent = process.cpuUsage(begun);
		best = Math.max(best, count / ((spent.user + spent.system) / 1e6));
	}
	console.log(best.toFixed(0));
}
JS
"$work/core" texts "$work/texts"
"$work/core" parts "$work/texts" >"$work/ours"
node "$work/segments.js" parts "$work/texts" >"$work/theirs"
texts=$(wc -l <"$work/ours")
[ "$(wc -l <"$work/theirs")" -eq "$texts" ] || { echo "the two counters have read different texts" >&2; exit 1; }
paste -d ' ' "$work/ours" "$work/theirs" >"$work/both"
signs=$(awk '$3 != $6' "$work/both" | wc -l)

ours=$("$work/core" pace "$work/texts")
theirs=$(node "$work/segments.js" pace "$work/texts")
awk -v ours="$ours" -v theirs="$theirs" 'BEGIN {
	printf "| `message_parts`, texts per second / sms-segments-calculator on the same texts | %.0f / %.0f = %.0f times | 20 times |\n", ours, theirs, ours / theirs }'
printf '| of %d texts, counted with another number of parts | %d, each for a sign at a cut | |\n' "$texts" "$signs"
if ! awk '$1 != $4 || $2 != $5 || $3 != $7 { print NR ": " $0; wrong = 1 } END { exit wrong }' "$work/both"; then
	echo "these texts, by number, are counted otherwise for another reason" >&2
	exit 1
fi
