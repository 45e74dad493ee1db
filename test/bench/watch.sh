#!/usr/bin/env bash
# What watching a cart table costs the store: the same statements on a table that
# is watched and on one that is not, in turns, in one run. Single rows are
# pgbench with synchronous_commit on; a batch is one INSERT of 1,000 rows.
# Prints the best round of each, and the ratio. Updates that change nothing that is watched,
# and carts whose items change, come last.
#
#   test/bench/watch.sh [ROUNDS]       default 7
. "$(dirname "$0")/lib.sh"
rounds=${1:-7}

start_server "smsflow.enabled = off" "autovacuum = off"
sql -f - >/dev/null <<'SQL'
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
	echo "INSERT INTO $table ($columns) SELECT $row FROM generate_series(1, 1000) r;" >"$work/batch_$table.sql"
	printf '\\set r random(1, 20000)\nUPDATE %s SET note = note || $$x$$, updated_at = now() WHERE id = :r;\n' $table >"$work/nothing_$table.sql"
	printf '\\set r random(1, 20000)\nUPDATE %s SET total = total + 1 WHERE id = :r;\n' $table >"$work/items_$table.sql"
done

# One round: milliseconds of a transaction, on average over two seconds.
measure() {
	as_user pgbench -h "$work" -p "$port" -U bench -n -M prepared -c 1 -T 2 -f "$work/$2_$1.sql" shop 2>/dev/null |
		sed -n 's/^latency average = \([0-9.]*\) ms/\1/p'
}
best() { sort -g | head -1; }
# compare NAME SCRIPT: in turns, and the ratio of the best rounds, which others on the machine disturbed least.
compare() {
	local plain=() watched=()
	for ((i = 0; i < rounds; i++)); do
		plain+=("$(measure plain "$2")")
		watched+=("$(measure watched "$2")")
	done
	local p w
	p=$(printf '%s\n' "${plain[@]}" | best)
	w=$(printf '%s\n' "${watched[@]}" | best)
	awk -v n="$1" -v p="$p" -v w="$w" 'BEGIN { printf "%-42s plain %9.3f ms   watched %9.3f ms   ratio %.2f\n", n, p, w, w / p }'
}

for table in plain watched; do measure $table batch >/dev/null; done
compare 'INSERT of 1,000 rows' batch
compare 'INSERT of one row' insert
compare 'UPDATE of nothing that is watched' nothing
compare 'UPDATE of the cart' items
