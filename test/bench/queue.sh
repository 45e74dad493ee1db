#!/usr/bin/env bash
# The queue alone, inside PostgreSQL: claim and result without HTTP, bulk
# enqueue, and WAL per message; each against a queue made of one table, SELECT
# ... FOR UPDATE SKIP LOCKED and UPDATE ... FROM unnest, with rows of 232 bytes.
# That one runs as a procedure in the server and has no client to wait for; ours
# has the gate. Claim and result are the worker's turns; the rate beside them is
# that of the whole worker, which also writes requests, reads answers and folds
# profiles meanwhile.
. "$(dirname "$0")/lib.sh"

# A transport that answers every request at once and has no network.
cc -O2 -shared -fPIC -Isrc -I"$($PG_CONFIG --includedir-server)" -o "$work/nowhere.so" test/bench/nowhere.c
start_server "shared_preload_libraries = 'smsflow,$work/nowhere'" "smsflow.max_in_flight = 512" "max_files_per_process = 4000" "min_wal_size = 4GB"
make_store
sql -c "SELECT smsflow.set_gateway('bench', options => '{\"max_in_flight\": 512}')" >/dev/null

sql >/dev/null <<'SQL'
CREATE TABLE naive (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, recipient text NOT NULL, sender text NOT NULL, body text NOT NULL,
	meta jsonb, status text NOT NULL DEFAULT 'queued', code text, provider_id text, created_at timestamptz NOT NULL DEFAULT now(), sent_at timestamptz);
CREATE INDEX naive_status ON naive (status, id) WHERE status = 'queued';
CREATE PROCEDURE drain_naive(size integer) LANGUAGE plpgsql AS $$
DECLARE
	ids bigint[];
	bodies text[];
BEGIN
	LOOP
		WITH taken AS (UPDATE naive n SET status = 'sending' FROM (SELECT id FROM naive WHERE status = 'queued' ORDER BY id LIMIT size FOR UPDATE SKIP LOCKED) q
			WHERE n.id = q.id RETURNING n.id, n.recipient, n.sender, n.body)
		SELECT array_agg(id), array_agg(recipient || sender || body) INTO ids, bodies FROM taken;
		EXIT WHEN ids IS NULL;
		COMMIT;
		UPDATE naive n SET status = 'sent', code = '201', provider_id = r.provider_id, sent_at = clock_timestamp()
			FROM unnest(ids) WITH ORDINALITY AS r (id, provider_id) WHERE n.id = r.id;
		COMMIT;
	END LOOP;
END $$;
SQL
# Nanoseconds that all turns have taken so far (nowhere.c).
turns() { echo $((10#$(cat "$work/data/turns") * 1000)); }
lsn() { sql -c "SELECT pg_current_wal_lsn() - '0/0'"; }
# wal_of BEGINNING END COUNT: bytes of WAL a message, for the queue itself, for touches (caps, credit and replies read them), for
# profiles of contacts (in part folded in the same seconds), and for the rest
sql -c "CREATE EXTENSION pg_walinspect"
wal_of() {
	sql -F ', ' <<-SQL
		SELECT string_agg(format('%s %s', part, bytes), ', ' ORDER BY bytes DESC) FROM (
			SELECT CASE WHEN t.relname ~ '^(outbox|attempt|claim)' THEN 'queue' WHEN t.relname ~ '^touch' THEN 'touches'
				WHEN t.relname ~ '^profile_' THEN 'profiles' ELSE 'rest' END AS part, round(sum(w.record_length) / $3.0) AS bytes
			FROM pg_get_wal_records_info('0/0'::pg_lsn + $1, least('0/0'::pg_lsn + $2, pg_current_wal_flush_lsn())) AS w
			LEFT JOIN pg_class AS c ON c.relfilenode = (regexp_match(w.block_ref, 'rel [0-9]+/[0-9]+/([0-9]+)'))[1]::oid
			LEFT JOIN pg_index AS i ON i.indexrelid = c.oid LEFT JOIN pg_class AS t ON t.oid = coalesce(i.indrelid, c.oid)
			GROUP BY 1) AS of_parts
	SQL
}
enqueue_naive() {
	sql -c "INSERT INTO naive (recipient, sender, body, meta) SELECT c.phone::text, '+14155550100', repeat('A flash sale of all blue shirts. ', 3),
			jsonb_build_object('campaign', 1, 'contact', c.contact_id)
		FROM generate_series(0, ($1 - 1) / $CONTACTS) g, smsflow.contact c WHERE c.contact_id BETWEEN 3 AND $CONTACTS + 2 LIMIT $1" >/dev/null
}

say "claim and result, no HTTP; WAL"
ours=() our_turns=() theirs=() our_wal=() their_wal=()
for round in 1 2 3; do
	sql -c "CHECKPOINT" >/dev/null
	start=$(lsn)
	from=$(last_id)
	target=$(($(sent) + 200000))
	began=$(turns)
	enqueue 200000
	drain $target 120
	wait_for "SELECT count(*) = 200000 FROM smsflow.attempt WHERE message_id > $from" 30
	our_turns+=($((200000 * 1000000000 / ($(turns) - began))))
	end=$(lsn)
	our_wal+=($(((end - start) / 200000)))
	ours+=("$(recorded_rate "$from")")
	parts=$(wal_of "$start" "$end" 200000)

	sql -c "TRUNCATE naive" -c "CHECKPOINT" >/dev/null
	start=$(lsn)
	enqueue_naive 200000
	began=$(date +%s%N)
	sql -c "SET plan_cache_mode = force_custom_plan" -c "CALL drain_naive(1000)" >/dev/null
	theirs+=($((200000 * 1000000000 / ($(date +%s%N) - began))))
	their_wal+=($((($(lsn) - start) / 200000)))
	say "  smsflow ${ours[-1]}/s, in turns ${our_turns[-1]}/s, ${our_wal[-1]} bytes; SKIP LOCKED ${theirs[-1]}/s, ${their_wal[-1]} bytes"
done
row "claim + result inside PostgreSQL, no HTTP, messages per second of turns: smsflow, SKIP LOCKED" "$(median "${our_turns[@]}"), $(median "${theirs[@]}")" ""
row "their ratio" "$(ratio "$(median "${our_turns[@]}")" "$(median "${theirs[@]}")")" "5"
row "the same of the whole worker, with requests and answers" "$(median "${ours[@]}"), $(ratio "$(median "${ours[@]}")" "$(median "${theirs[@]}")")" ""
row "WAL bytes per message, enqueue to result: smsflow, SKIP LOCKED" "$(median "${our_wal[@]}"), $(median "${their_wal[@]}")" ""
row "their ratio" "$(ratio "$(median "${our_wal[@]}")" "$(median "${their_wal[@]}")")" "at most 0.40"
row "of smsflow's bytes, in the last round" "$parts" ""

say "bulk enqueue"
sql >/dev/null <<'SQL'
SELECT smsflow.disarm();
CREATE TABLE plain (LIKE smsflow.outbox INCLUDING DEFAULTS);
CREATE SEQUENCE plain_id;
ALTER TABLE plain ALTER message_id SET DEFAULT nextval('plain_id');
ALTER TABLE plain ADD PRIMARY KEY (message_id);
CREATE UNLOGGED TABLE source AS SELECT now() + interval '1 day' AS expires_at, c.contact_id, c.phone AS recipient,
	(smsflow.queues_for(4::smallint, 'direct', 'default'))[1] AS queue_id, 1 AS brand_id, 'promotional'::smsflow.purpose AS purpose, 1::smallint AS parts,
	false AS unicode, repeat('A flash sale of all blue shirts. ', 3) AS body FROM (SELECT * FROM smsflow.contact LIMIT 300000) c;
SQL
columns="expires_at, contact_id, recipient, queue_id, brand_id, purpose, parts, unicode, body"
# timed_insert TABLE: milliseconds; what was written before is on disk, and the disk at rest
timed_insert() {
	local began
	sql -c "CHECKPOINT" >/dev/null
	sync
	read -r -t 1 <> <(:) || true
	began=$(date +%s%N)
	sql -c "INSERT INTO $1 ($columns) SELECT $columns FROM source" >/dev/null
	echo $((($(date +%s%N) - began) / 1000000))
}
wait_for "SELECT NOT EXISTS (SELECT FROM smsflow.profile_sent) AND NOT EXISTS (SELECT FROM smsflow.profile_delta)" 300
# Both tables grow, as a queue does: one that is truncated lives in memory that the kernel has handed out already.
our_time=0 their_time=0
for round in 1 2 3 4 5 6 7 8 9 10; do
	if ((round % 2)); then
		our=$(timed_insert smsflow.outbox) their=$(timed_insert plain)
	else
		their=$(timed_insert plain) our=$(timed_insert smsflow.outbox)
	fi
	say "  smsflow.outbox $our ms, a table with one btree $their"
	our_time=$((our_time + our)) their_time=$((their_time + their))
done
row "bulk enqueue, rows per second of ten rounds: smsflow, the same rows into a table with one btree" "$((3000000000 / our_time)), $((3000000000 / their_time))" ""
row "their ratio" "$(ratio "$their_time" "$our_time")" "0.80"
