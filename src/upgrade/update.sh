#!/bin/sh
#
# Prints the script that updates the extension to the current release.
#
#   update.sh FROM TO PART... -- CODE...
#
# What tables need comes from the parts, which are named by the release that brought the change (0.2.0.sql): those after
# FROM, oldest first.  Then everything that can be re-run is run again, as it is now.

set -eu
from=$1
to=$2
shift 2

# Whether the first release is older than the second.
older()
{
	[ "$1" != "$2" ] && [ "$(printf '%s\n' "$1" "$2" | sort -V | head -1)" = "$1" ]
}

cat <<SCRIPT
\\echo Use "ALTER EXTENSION smsflow UPDATE TO '$to'" to load this file. \\quit
-- smsflow $from to $to, made by src/upgrade/update.sh.  Nobody but the extension's owner may create anything in its schema.
SET LOCAL search_path TO pg_catalog, smsflow, pg_temp;
DO \$\$
BEGIN
	IF smsflow.library_version() <> '$to' THEN
		RAISE EXCEPTION USING ERRCODE = 'SF008', MESSAGE = 'the server has not loaded smsflow $to',
			DETAIL = 'It has loaded smsflow ' || smsflow.library_version() || '.',
			HINT = 'Restart the server, then update the extension.';
	END IF;
END \$\$;

SCRIPT
while [ "$1" != -- ]
do
	release=$(basename "$1" .sql)
	! older "$from" "$release" || older "$to" "$release" || cat "$1"
	shift
done
shift
cat "$@"
