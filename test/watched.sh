#!/usr/bin/env bash
#
# Stands where a server's "postgres" was, which is postgres.real then: the server runs with PRELOADED, libraries, and under
# WATCHER, a command as that of valgrind. Its other uses, as making a database cluster, are not watched. Under its own name:
# pg_ctl starts again what the server says that it is.

real=$(dirname "$0")/postgres.real
case ${1:-} in
	--*|-V|-C) exec "$real" "$@" ;;
esac
LD_PRELOAD=${PRELOADED:-} exec -a "$0" ${WATCHER:-} "$real" "$@"
