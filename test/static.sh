#!/usr/bin/env bash
# Checks that need no server: both compilers with warnings as errors, cppcheck,
# clang-tidy, clang's static analyzer (what scan-build runs), shellcheck, the
# layout of the sources, the install script, and the rules of the house.
#
#   static.sh [compilers]    only both compilers
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
PG_CONFIG=${PG_CONFIG:-pg_config}
problems=0
problem() { problems=$((problems + 1)); printf '  %s\n' "$1"; [ -n "${2:-}" ] && sed 's/^/    /' <<<"$2"; }

# The rules of the house, and that each of them finds something.
. test/house.sh

server=$($PG_CONFIG --includedir-server)
version=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" smsflow.control)
extension_flags=(-std=gnu11 -Isrc -I"$server" -I"$($PG_CONFIG --includedir)" -D_GNU_SOURCE -DSMSFLOW_VERSION="\"$version\"")
core=$(ls src/core/*.c)
extension=$(ls src/*.c src/{types,contact,message,link,segment,campaign,sequence,otp,gateway,callback,metrics,ops,worker}/*.c)
daemon=$(ls src/smsflowd/*.c)

# The server's own headers are not ours to mend.
for compiler in gcc clang; do
	out=$($compiler -std=c11 -Wall -Wextra -Werror -fsyntax-only -Isrc -Isrc/core $core 2>&1) || problem "$compiler on core" "$out"
	out=$($compiler -std=gnu11 -Wall -Wextra -Werror -fsyntax-only $(pkg-config --cflags libevent libpq) $daemon 2>&1) ||
		problem "$compiler on smsflowd" "$out"
	out=$($compiler "${extension_flags[@]}" -isystem "$server" -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare \
		-fsyntax-only $extension 2>&1) || problem "$compiler on the extension" "$(head -30 <<<"$out")"
done

if [ "${1:-}" = compilers ]; then
	exit $((problems > 0))
fi

out=$(cppcheck --quiet --std=c11 --enable=warning,portability,performance --inline-suppr --error-exitcode=1 \
	--suppress=missingIncludeSystem -Isrc -Isrc/core $core 2>&1) || problem "cppcheck on core" "$out"
out=$(cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 --suppress=missingIncludeSystem \
	--suppress=unknownMacro --suppress=nullPointer -Isrc src/worker/{transport_curl,curl_loop,exchange,transfer}.c $daemon 2>&1) || problem "cppcheck on smsflowd and transport" "$out"

tidy='-*,clang-analyzer-*,bugprone-*,-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier,-bugprone-narrowing-conversions'
tidy+=',-bugprone-branch-clone,-bugprone-implicit-widening-of-multiplication-result,-bugprone-assignment-in-if-condition'
tidy+=',-bugprone-suspicious-include,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,-clang-analyzer-valist.Uninitialized'
out=$(clang-tidy --quiet --warnings-as-errors='*' --checks="$tidy" $core -- -std=c11 -Isrc -Isrc/core 2>/dev/null) || problem "clang-tidy on core" "$(head -40 <<<"$out")"
out=$(clang-tidy --quiet --warnings-as-errors='*' --checks="$tidy" $daemon -- -std=gnu11 $(pkg-config --cflags libevent libpq) 2>/dev/null) ||
	problem "clang-tidy on smsflowd" "$(head -40 <<<"$out")"

# clang-tidy has it for core and smsflowd; here the server's own headers are passed over.
analyze() {
	timeout 300 clang --analyze --analyzer-output text -Xclang -analyzer-werror "${extension_flags[@]}" -isystem "$server" "$1" -o /dev/null 2>&1
}
analyze_all() {
	local file code=0
	for file in $extension; do
		while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n || code=1; done
		analyze "$file" &
	done
	while [ "$(jobs -rp | wc -l)" -gt 0 ]; do wait -n || code=1; done
	return $code
}
out=$(analyze_all) || problem "static analyzer on the extension" "$(head -40 <<<"$out")"

out=$(check_scripts $(shell_scripts) 2>&1) || problem "shellcheck" "$out"

tests=$(ls test/{unit,fuzz,sim}/*.[ch] test/bench/core.c test/first_malloc.c)
out=$(clang-format --dry-run --Werror $core $extension $daemon $tests $(ls src/*.h src/*/*.h) 2>&1) || problem "clang-format (run clang-format -i)" "$(grep -c error <<<"$out") places"

house_rules
out=$(house_mutants "$version")
[ -z "$out" ] || problem "a rule of the house finds nothing" "$out"
out=$(make -s dist 2>&1 && perl test/dist.pl build/dist/*.zip 2>&1) || problem "what make dist writes is not as PGXN wants it" "$out"

[ $problems -eq 0 ] && echo "  compilers, cppcheck, clang-tidy, static analyzer, shellcheck, clang-format and house rules: no problem"
exit $((problems > 0))
