#!/usr/bin/env bash
# Proves that the simulator can fail: each mutant breaks one policy, and must be caught. A mutant is a file, a replacement by
# perl, and what it does; a replacement that finds nothing is an error too.
#
#   test/sim/mutants.sh [SCHEDULES]		how many schedules each mutant gets, 100000 by default
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
schedules=${1:-100000}
work=$(mktemp -d "${TMPDIR:-/tmp}/smsflow-mutants.XXXXXX")
trap 'rm -rf "$work"' EXIT
survivors=0

# mutant FILE REPLACEMENT WHAT
mutant() {
	local said
	rm -rf "$work/src"
	mkdir -p "$work/src"
	cp src/core/{delivery,limiter,breaker,window}.[ch] src/core/purpose.h test/sim/*.[ch] "$work/src/"
	perl -0pi -e "$2" "$work/src/$1"
	if cmp -s "$work/src/$1" "src/core/$1" || cmp -s "$work/src/$1" "test/sim/$1"; then
		said="is none: the replacement finds nothing"
	elif ! cc -std=c11 -O1 -w -o "$work/sim" "$work"/src/*.c; then
		said="does not compile"
	elif said=$(timeout 60 "$work/sim" --schedules "$schedules"); then
		said="SURVIVES"
	else
		printf 'caught    %-66s %s\n' "$3" "${said%%$'\n'*}"
		return
	fi
	survivors=$((survivors + 1))
	printf 'MISSED    %-66s %s\n' "$3" "$said"
}

mutant delivery.c 's/default:\s+return DOUBT_KEEP/default:\n\t\t\treturn DOUBT_RESEND/' 'promotional in doubt is sent again'
mutant delivery.c 's/attempt < 2 \? DOUBT_RESEND :/attempt < 4 ? DOUBT_RESEND :/' 'a one-time password in doubt is sent again and again'
mutant delivery.c 's/attempt < 2 \? DOUBT_RESEND_LATER/attempt < 4 ? DOUBT_RESEND_LATER/' 'transactional in doubt is sent again and again'
mutant delivery.c 's/case CLASS_AMBIGUOUS:\s+case CLASS_UNKNOWN:\s+return DECIDE_DOUBT/case CLASS_AMBIGUOUS: case CLASS_UNKNOWN: return DECIDE_RETRY/' 'what proves nothing counts as not sent'
mutant delivery.c 's/retry_after \? CLASS_THROTTLED : CLASS_AMBIGUOUS/CLASS_THROTTLED/' 'a bare 503 counts as not sent'
mutant delivery.c 's/case 408:\s+return CLASS_AMBIGUOUS/case 408:\n\t\t\treturn CLASS_TEMPORARY/' '408 counts as not sent'
mutant delivery.c 's/if \(revoked\)/if (false)/' 'a revocation after the claim is overlooked'
mutant delivery.c 's/expires_at <= now/false/' 'an expired message starts'
mutant delivery.c 's/\? START_WINDOW_ENDED : START_NOW/? START_NOW : START_NOW/' 'the end of the window is overlooked'
mutant delivery.c 's/return !journal_trusted \|\| journal_marked/return journal_marked/' 'a journal of another boot is trusted'
mutant delivery.c 's/return !journal_trusted \|\| journal_marked/return !journal_trusted/' 'the marks of the journal are overlooked'
mutant delivery.c 's/return was_in_doubt && !accepted/return false/' 'a refusal ends a doubt'
mutant delivery.c 's/(STATUS_DELIVERED\] = \{.*?)D\}/$1U}/' 'a report unsettles what is delivered'
mutant delivery.c 's/(STATUS_UNDELIVERED\] = \{(F, ){10})F/$1A/' 'a late report reopens what failed'
mutant delivery.c 's/case DECIDE_RETRY:\s+return \(SmsflowNext\)\{AGAIN_RETRY/case DECIDE_RETRY:\n\t\t\treturn (SmsflowNext){AGAIN_NEVER/' 'what surely was not sent is dropped'
mutant limiter.c 's/\+ cost - limit;/+ cost - limit - limiter->interval;/' 'the limiter lets one part too many pass'
mutant limiter.c 's/\(double\) now \+ limiter->tolerance;\n/(double) now;\n/' 'the bucket is full after a crash'
mutant limiter.c 's/\(int64_t\) wait \+ 1/(int64_t) (wait * 1.05) + 1/' 'the limiter waits a twentieth too long'
mutant breaker.c 's/return INT_MAX;/return 0;/' 'a closed breaker lets nothing pass'
mutant window.c 's/SMSFLOW_DAY_MINUTES \+ found - minute/SMSFLOW_DAY_MINUTES + found - minute + (open ? 0 : 30)/' 'the window ends half an hour late'
mutant worker.c 's/check_again \|= overflowed/check_again |= false/' 'an overflow of the ring is overlooked'
mutant worker.c 's/world->marked\[id\] = true;//' 'the journal is not marked before the first byte'
mutant outside.c 's/if \(revocation->phase != 2\)/if (revocation->phase == 3 \&\& random_below(world, 2))/' 'some revocations are not noted'

printf '%d survivors\n' "$survivors"
[ "$survivors" -eq 0 ]
