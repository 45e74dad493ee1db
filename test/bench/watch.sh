#!/usr/bin/env bash
# What watching a cart table costs the store: the same statements on a table that
# is watched and on one that is not, in turns, in one run. Single rows are
# pgbench with synchronous_commit on; a batch is one INSERT of 1,000 rows.
# Prints medians, and the ratio. Updates that change nothing that is watched,
# and carts whose items change, come last.
#
#   test/bench/watch.sh [ROUNDS]       default 9
set -euo pipefail
rounds=${1:-9}
PG_CONFIG=${PG_CONFIG:-pg_config}
export PATH="$($PG_CONFIG --bindir):$PATH"
as_user() { if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
work=$(mktemp -d "${TMPDIR:-/tmp}/smsflow-watch.XXXXXX")
chmod 755 "$work"
[ "$(id -u)" -eq 0 ] && chown postgres "$work"
finish() {
	as_user pg_ctl -D "$work/data" -m immediate stop >/dev/null 2>&1
	rm -rf "$work"
}
trap finish EXIT
sql() { as_user psql -h "$work" -U bench -d postgres -XAtq -v ON_ERROR_STOP=1 "$@"; }

as_user initdb -D "$work/data" -U bench -E UTF8 --no-locale -A trust >/dev/null
printf "listen_addresses = ''\nunix_socket_directories = '%s'\nshared_preload_libraries = 'smsflow'\nshared_buffers = 512MB\nmax_wal_size = 8GB\nautovacuum = off\n" \
	"$work" >>"$work/data/postgresql.conf"
as_user pg_ctl -D "$work/data" -l "$work/log" -w start >/dev/null
sql -f - >/dev/null <<'SQL'
CREATE EXTENSION smsflow;
CREATE TABLE plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, phone text, customer_id bigint, items jsonb NOT NULL,
	total numeric(10,2), currency text, checkout_url text, note text, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz);
CREATE INDEX ON plain (customer_id);
CREATE TABLE watched (LIKE plain INCLUDING ALL);
SELECT smsflow.watch_carts('watched', '{"data": {"url": "checkout_url"}}');
SQL
row="'+1415555' || to_char(r % 10000, 'FM0000'), r, '[{\"sku\": \"A-17\", \"title\": \"Blue rain jacket\", \"price\": 79.9, \"quantity\": 1}, {\"sku\": \"B-2\", \"title\": \"Wool socks\", \"price\": 9.5, \"quantity\": 2}]', 98.9, 'USD', 'https://shop.example/c/' || r"
columns='phone, customer_id, items, total, currency, checkout_url'
for table in plain watched; do
	printf '\\set r random(1, 1000000000)\nINSERT INTO %s (%s) VALUES (%s);\n' $table "$columns" "${row//r % 10000/(:r) % 10000}" |
		sed -e "s/, r,/, :r,/; s/|| r)/|| (:r))/" >"$work/insert_$table.sql"
	printf '\\set r random(1, 20000)\nUPDATE %s SET note = note || $$x$$, updated_at = now() WHERE id = :r;\n' $table >"$work/nothing_$table.sql"
	printf '\\set r random(1, 20000)\nUPDATE %s SET total = total + 1 WHERE id = :r;\n' $table >"$work/items_$table.sql"
done

# One round: milliseconds of a batch, or microseconds of a transaction.
batch() {
	sql -c '\timing on' -c "INSERT INTO $1 ($columns) SELECT $row FROM generate_series(1, 1000) r" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
}
pgbench_run() {
	as_user pgbench -h "$work" -U bench -d postgres -n -M prepared -c 1 -T 2 -f "$work/$2_$1.sql" 2>/dev/null | sed -n 's/^latency average = \([0-9.]*\) ms/\1/p'
}
median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
# compare NAME COMMAND REPEATS...: in turns, and the ratio of the medians.
compare() {
	local name=$1 repeats=$2 plain=() watched=()
	shift 2
	for ((i = 0; i < repeats; i++)); do
		plain+=("$("$1" plain "${@:2}")")
		watched+=("$("$1" watched "${@:2}")")
	done
	local p w
	p=$(printf '%s\n' "${plain[@]}" | median)
	w=$(printf '%s\n' "${watched[@]}" | median)
	awk -v n="$name" -v p="$p" -v w="$w" 'BEGIN { printf "%-42s plain %9.3f ms   watched %9.3f ms   ratio %.2f\n", n, p, w, w / p }'
}

for table in plain watched; do for ((i = 0; i < 20; i++)); do batch $table >/dev/null; done; done
compare 'INSERT of 1,000 rows' $((rounds * 7)) batch
compare 'INSERT of one row' "$rounds" pgbench_run insert
compare 'UPDATE of nothing that is watched' "$rounds" pgbench_run nothing
compare 'UPDATE of the cart' "$rounds" pgbench_run items
