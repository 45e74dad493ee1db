#!/usr/bin/env bash
# What a launch costs: a campaign to everybody, chosen, gated, rendered and
# queued in the worker's slices, beside an INSERT ... SELECT of the same rows
# into a table of the same indexes, both in processor time of their backend and
# one transaction each; then how soon after a launch the first request starts,
# and how much the worker grows.
#
#   test/bench/campaign.sh [ROUNDS]     default 3; CONTACTS, default 200,000
CONTACTS=${CONTACTS:-200000}
. "$(dirname "$0")/lib.sh"
rounds=${1:-3}

start_server "autovacuum = off"
start_sink "$sink_port"
make_store
sql -f - >/dev/null <<'SQL'
SELECT smsflow.create_segment('everybody', 'subscribed');
DO $$ DECLARE at bigint := 0; BEGIN
	WHILE at IS NOT NULL LOOP SELECT reached INTO at FROM smsflow.fold_profiles(20000, at); COMMIT; END LOOP;
END $$;
CREATE FUNCTION processor_seconds() RETURNS numeric LANGUAGE sql AS $$
	SELECT sum(ticks::numeric) / 100 FROM unnest((string_to_array(pg_read_file('/proc/self/stat'), ' '))[14:15]) AS ticks $$;
CREATE FUNCTION launch(name text) RETURNS void LANGUAGE sql AS $$
	SELECT smsflow.create_campaign(name, 'everybody', 'Hi {{first_name|you}}, the sale of {{brand}} has begun: all blue shirts for half the price. Reply STOP to end');
	SELECT smsflow.launch_campaign(name) $$;
-- In the caller's transaction, which the worker does not see.
CREATE FUNCTION expand() RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
	before CONSTANT numeric := processor_seconds();
BEGIN
	WHILE smsflow.advance_campaigns(2000) IS NOT NULL LOOP
	END LOOP;
	RETURN processor_seconds() - before;
END $$;
CREATE FUNCTION insert_bare() RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
	before numeric;
BEGIN
	CREATE TABLE bare (LIKE smsflow.outbox_default INCLUDING INDEXES);
	before := processor_seconds();
	INSERT INTO bare SELECT * FROM smsflow.outbox WHERE campaign_id = (SELECT max(campaign_id) FROM smsflow.campaign);
	RETURN processor_seconds() - before;
END $$;
VACUUM ANALYZE;
SQL

ratios=()
for round in $(seq "$rounds"); do
	read -r expanded bare < <(sql -F ' ' -c "BEGIN" -c "SELECT launch('round $round') IS NULL" -c "SELECT expand(), insert_bare()" -c "ROLLBACK" | grep '\.')
	ratios+=("$(ratio "$expanded" "$bare")")
	say "round $round: ${ratios[-1]}"
done
row "launch to $CONTACTS: chosen, gated, rendered, queued / bare INSERT ... SELECT" "$(median "${ratios[@]}") ($(awk -v s="$expanded" -v n="$CONTACTS" 'BEGIN { printf "%.1f", s * 1e6 / n }') us a message)" "3"

worker=$(sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'smsflow worker'")
own_memory() { awk '/^RssAnon/ { print $2 }' "/proc/$worker/status"; }
sql -c "SELECT launch('first')" >/dev/null
wait_for "SELECT status = 'done' FROM smsflow.campaign WHERE name = 'first'" 120
before=$(own_memory)
row "first request after the launch" "$(sql -c "SELECT round(extract(epoch FROM min(a.started_at) - min(k.launch_at)) * 1000) FROM smsflow.campaign k
	JOIN smsflow.outbox o USING (campaign_id) JOIN smsflow.attempt a USING (message_id) WHERE k.name = 'first'") ms" "500 ms"
sql -c "SELECT launch('second')" >/dev/null
wait_for "SELECT status = 'done' FROM smsflow.campaign WHERE name = 'second'" 120
row "growth of the worker over a second campaign of $CONTACTS" "$(($(own_memory) - before)) kB" "0"
