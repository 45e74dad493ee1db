#!/usr/bin/env bash
# Counting conditions over the profile beside the same conditions over a plain table of the same rows: with nothing waiting to
# be folded, and with the deltas of 10,000 contacts. Both are timed by EXPLAIN ANALYZE in turn; the median of the ratios counts.
# INSERT leaves its pages in shared buffers and CREATE TABLE AS does not, which on some machines is worth half of a scan, so the
# server is restarted before both are read.
#
#   test/bench/profile.sh        PROFILES (5000000) contacts
source "$(dirname "$0")/lib.sh"
PROFILES=${PROFILES:-5000000}
ROUNDS=${ROUNDS:-7}

start_server "smsflow.enabled = off" "max_parallel_workers_per_gather = 2" "jit = off"
say "a profile of $PROFILES contacts"
sql >/dev/null <<SQL
INSERT INTO smsflow.profile_fact (contact_id, brand_id, orders_count, subscribed, created_at, opted_in_at, last_order_at, orders_value, language,
	region, country, promotional_consent, cart_consent, external_id, first_name, message_days, attributes)
SELECT g, 1, g % 7, g % 3 > 0, now(), now() - g % 500 * interval '1 day', CASE WHEN g % 7 > 0 THEN now() - g % 400 * interval '1 day' END, g % 7 * 20.5,
	(ARRAY['en', 'de', 'fr'])[1 + g % 3], 'US', 'US', 'express', 'express', 'customer ' || g, 'Ann',
	smsflow.tally_add(NULL, ARRAY[now() - g % 40 * interval '1 day', now() - g % 90 * interval '1 day']), jsonb_build_object('city', 'Oslo', 'n', g % 100)
FROM generate_series(1, $PROFILES) g;
VACUUM ANALYZE smsflow.profile_fact;
CREATE TABLE plain AS SELECT * FROM smsflow.profile;
VACUUM ANALYZE plain;
SQL
restart_server

# milliseconds TABLE CONDITION
milliseconds() {
	sql -c "EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF) SELECT count(*) FROM $1 WHERE $2" | sed -n 's/^Execution Time: \([0-9.]*\) ms/\1/p'
}

# compare WHAT CONDITION
compare() {
	local ratios=() times=() ours plain
	[ "$(sql -c "SELECT count(*) FROM smsflow.profile WHERE $2")" = "$(sql -c "SELECT count(*) FROM plain WHERE $2")" ] || { say "the counts differ: $2"; exit 1; }
	for _ in $(seq "$ROUNDS"); do
		plain=$(milliseconds plain "$2")
		ours=$(milliseconds smsflow.profile "$2")
		ratios+=("$(ratio "$ours" "$plain")")
		times+=("$ours")
	done
	row "count over $PROFILES profiles, $1: profile / plain table" "$(median "${ratios[@]}") ($(median "${times[@]}") ms)" "at most 1.5"
}

compare_all() {
	compare "orders and recency, $1" "orders_count >= 3 AND last_order_at < now() - interval '60 days'"
	compare "language and consent, $1" "language = 'de' AND subscribed"
	compare "everybody subscribed, $1" "subscribed"
	compare "an attribute, $1" "attributes ->> 'city' = 'Oslo' AND (attributes ->> 'n')::int < 10"
	compare "messages in 30 days, $1" "messages_30d = 0 AND orders_count > 0"
}

compare_all "nothing waits"
sql >/dev/null <<SQL
INSERT INTO smsflow.contact (contact_id, phone, external_id, language, attributes, consent) OVERRIDING SYSTEM VALUE
	SELECT f.contact_id, ('+1415' || (5550000 + f.contact_id / 100)::text)::smsflow.phone, f.external_id, f.language, f.attributes, 'none' FROM smsflow.profile_fact f
	WHERE f.contact_id % 100 = 0 AND f.contact_id <= 1000000;
DROP TABLE plain;
CREATE TABLE plain AS SELECT * FROM smsflow.profile;
VACUUM ANALYZE plain, smsflow.profile_delta, smsflow.contact;
SQL
restart_server
compare_all "deltas of 10,000 contacts wait"
