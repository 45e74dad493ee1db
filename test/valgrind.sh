#!/bin/sh
#
# Stands where a server's "postgres" was, which is postgres.real then: the server runs under valgrind's memcheck. Its other
# uses, as making a database cluster, are not watched. Each process writes to a file of its own in VALGRIND_LOGS.

real=$(dirname "$0")/postgres.real
case ${1:-} in
	--*|-V|-C) exec "$real" "$@" ;;
esac
exec valgrind --quiet --fullpath-after= --num-callers=40 --undef-value-errors=yes --leak-check=no --trace-children=no \
	--suppressions="$VALGRIND_RULES" --gen-suppressions=all --log-file="$VALGRIND_LOGS/%p.log" "$real" "$@"
