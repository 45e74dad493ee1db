# shellcheck shell=bash
# The rules of the house that reading the tree can check, and mutants of the tree that show that each rule finds what it is
# for. Sourced by static.sh, whose problem() takes what is found.

# Every script of a shell that there is, by its name or by its first line.
shell_scripts() { { git ls-files '*.sh'; git grep -lE '^#! ?/.*[/ ](ba)?sh( |$)' -- ':!*.md' ':!*.pm' ':!*.pl'; } | sort -u; }

# Words are split on purpose where lists are passed on, and variables of sourced files are not seen.
check_scripts() {
	shellcheck --external-sources --source-path=SCRIPTDIR --severity=warning --exclude=SC2034,SC2046,SC2048,SC2154,SC2155,SC2206 --format=gcc "$@"
}

house_rules() {
	local out version script order listed room kind folder file name
	version=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" smsflow.control)
	script=smsflow--$version.sql
	out=$(grep -rnE --include='*.[ch]' '#include.*(postgres\.h|curl/|libpq|fmgr)' src/core) && problem "src/core includes what is above it" "$out"
	out=$(grep -rl --include='*.[ch]' PG_VERSION_NUM src | grep -v '^src/compat.h$') && problem "PG_VERSION_NUM outside src/compat.h" "$out"
	out=$(grep -nE '^\s*CREATE (OR REPLACE|.* IF NOT EXISTS)' "$script") && problem "the install script would adopt planted objects" "$out"
	out=$(grep -nE '^CREATE (UNLOGGED )?(TABLE|VIEW|FUNCTION|PROCEDURE|AGGREGATE|TYPE|DOMAIN|SEQUENCE) ' "$script" | grep -vE ' smsflow(_bi)?\.') &&
		problem "the install script creates what has no schema" "$out"
	out=$(grep -nE '^(INSERT INTO|UPDATE|DELETE FROM|ALTER TABLE|REVOKE .* ON|COMMENT ON (TABLE|VIEW|FUNCTION|TYPE|COLUMN)) ' "$script" | grep -vE 'smsflow') &&
		problem "the install script names what has no schema" "$out"
	[[ "$(head -1 debian/changelog)" == "smsflow ($version-"* ]] || problem "debian/changelog is of another version than smsflow.control"
	if [ -e "test/upgrade/$script" ]; then
		cmp -s "test/upgrade/$script" "$script" || problem "$version is released, and its SQL has changed: see src/upgrade/README.md"
	fi
	order=" $(make -s print-SQL_TABLES) $(make -s print-SQL_CODE) "
	for room in src/*/*.sql; do
		[[ "$order" == *" $room "* ]] || problem "$room is not in the install order of the Makefile"
	done
	for kind in sql:REGRESS test/specs:ISOLATION; do
		folder=${kind%%:*}
		listed=$(make -s "print-${kind##*:}")
		for file in "$folder"/*.sql "$folder"/*.spec; do
			[ -e "$file" ] || continue
			name=$(basename "${file%.*}")
			[[ " $listed " == *" $name "* ]] || problem "$file is not in ${kind##*:}, so nobody runs it"
		done
	done
	out=$(grep -rnIwE --include='*.[ch]' --include='*.sql' '(TODO|FIXME|XXX)' src sql) && problem "left-over marks" "$out"
	return 0
}

# mutant FILE LINE WORDS: with this line at its end, in a copy of the tree, the rules say these words.
mutant() {
	local said
	cp -a "$1" "$1.kept" 2>/dev/null
	printf '%s\n' "$2" >>"$1"
	said=$(problem() { echo "$1"; } && house_rules)
	[[ "$said" == *"$3"* ]] || echo "with \"$2\" at the end of $1: \"$said\" is not \"$3\""
	if [ -e "$1.kept" ]; then mv "$1.kept" "$1"; else rm "$1"; fi
}

house_mutants() {
	local copy script=smsflow--$1.sql
	copy=$(mktemp -d)
	printf '%s\n' '#!/bin/sh' 'cd "$1"' >"$copy/planted.sh"
	[[ "$(check_scripts "$copy/planted.sh")" == *SC2164* ]] || echo "shellcheck has nothing against a script that goes on where its cd failed"
	rm "$copy/planted.sh"
	tar --exclude=./build --exclude=./.git --exclude='*.o' --exclude='*.bc' -cf - . | tar -xf - -C "$copy"
	(
		cd "$copy" || exit
		mutant "$script" 'CREATE OR REPLACE FUNCTION smsflow.planted() RETURNS text' 'would adopt planted objects'
		mutant "$script" 'CREATE TABLE IF NOT EXISTS smsflow.planted ();' 'would adopt planted objects'
		mutant "$script" 'CREATE TABLE homeless ();' 'creates what has no schema'
		mutant "$script" 'UPDATE homeless SET n = 1;' 'names what has no schema'
		mutant sql/forgotten.sql 'SELECT 1;' 'is not in REGRESS'
		mutant test/specs/forgotten.spec 'session a' 'is not in ISOLATION'
		mutant src/ops/forgotten.sql 'SELECT 1;' 'is not in the install order'
		mutant src/core/phone.c '#include "postgres.h"' 'src/core includes what is above it'
		mutant src/ops/ops.c '#if PG_VERSION_NUM > 150000' 'PG_VERSION_NUM outside src/compat.h'
		mutant src/ops/ops.c '/* TODO */' 'left-over marks'
	)
	rm -rf "$copy"
}
