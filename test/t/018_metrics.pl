# Figures are exact in every snapshot: while messages are made, sent, refused, reported on (late, twice, in the wrong
# order), ordered after and folded, and while workers are ended and the server crashes, what the views show equals a
# recount from the messages in the same snapshot.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run qw(start finish);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $snapshots = 1000;
my $rounds = 4;
my $gateway = SmsflowGateway->start;
my $node = start_server('metrics', {}, 'restart_after_crash' => 'on');

create_shop(40);
$gateway->script({ match => 'refused', status => 400, body => { error => { code => '21' } } },
	{ match => 'doubtful', action => 'close', times => 20 });
add_route('main', $gateway, rate => 500, burst => 50);
sql("SELECT smsflow.create_segment('all', 'true')");

# One statement, so one snapshot; NULL where all is equal. A snapshot may also see a fold half done, were it possible.
sql(q{CREATE FUNCTION difference() RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT coalesce((SELECT min(c) FROM smsflow.check_metrics() c), (SELECT format('hours: %s, counted: %s', h, c)
		FROM (SELECT array[coalesce(sum(recipients), 0), coalesce(sum(sent), 0), coalesce(sum(delivered), 0), coalesce(sum(parts), 0), coalesce(sum(orders), 0)] AS h FROM smsflow_bi.message_hourly) x,
			(SELECT array_agg(coalesce((SELECT sum(value) FROM smsflow.metric_of_all_time WHERE measure = m), 0) ORDER BY place) AS c
				FROM unnest('{recipients,sent,delivered,parts,orders}'::text[]) WITH ORDINALITY AS u (m, place)) y
		WHERE h <> c), (SELECT format('%s: %s, recount %s', t.campaign, to_jsonb(t), to_jsonb(r))
		FROM smsflow_bi.campaign_totals t JOIN smsflow.campaign_recount r USING (campaign_id)
		WHERE (t.recipients, t.queued, t.sent, t.accepted, t.delivered, t.undelivered, t.rejected, t.in_doubt, t.parts, t.orders, t.revenue, t.cost)
			<> (r.recipients, r.queued, r.sent, r.accepted, r.delivered, r.undelivered, r.rejected, r.in_doubt, r.parts, r.orders, r.revenue, r.cost)
		LIMIT 1)) $$;
	CREATE TABLE seen (snapshot pg_snapshot, messages bigint, pending bigint, folded bigint, difference text)});

# Each look is a transaction, so that it has a snapshot of its own.
sql(q{CREATE PROCEDURE look(times integer) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. times LOOP
		INSERT INTO seen SELECT pg_current_snapshot(), (SELECT count(*) FROM smsflow.outbox), (SELECT count(*) FROM smsflow.metric_delta),
			(SELECT sum(value) FROM smsflow.metric_ever WHERE measure = 'sent'), difference();
		COMMIT;
	END LOOP;
END $$});

# What goes on meanwhile, in transactions of its own, some of them rolled back.
sql(q{CREATE PROCEDURE trouble(round integer) LANGUAGE plpgsql AS $$
DECLARE
	words text[] := '{delivered,undelivered,delivered,accepted,expired}';
BEGIN
	PERFORM smsflow.create_campaign('campaign ' || round, 'all', 'Offer ' || round || '. Reply STOP to end', options => '{"pool": "main"}');
	COMMIT;
	PERFORM smsflow.launch_campaign('campaign ' || round);
	COMMIT;
	FOR i IN 1 .. 40 LOOP
		PERFORM smsflow.send('+1415555' || to_char(1 + i % 40, 'FM0000'), (ARRAY['plain', 'refused', 'doubtful'])[1 + i % 3] || ' ' || i, 'transactional', pool => 'main');
		INSERT INTO smsflow.callback (gateway_id, message_id, attempt, fields)
			SELECT 1, message_id, 1, jsonb_build_object('status', words[1 + (message_id + i) % 5], 'cost', '0.01', 'currency', 'USD')
			FROM (SELECT DISTINCT message_id FROM smsflow.attempt WHERE wire <> 'none' ORDER BY message_id DESC LIMIT 60) o WHERE (message_id + i) % 7 = 0;
		PERFORM smsflow.note_callback();
		INSERT INTO smsflow.event (contact_id, kind, ref, amount, currency)
			SELECT contact_id, 'order', 'order ' || i / 2, 10, 'USD' FROM smsflow.contact WHERE contact_id = 1 + i % 40;
		PERFORM smsflow.note_event();
		IF i % 5 = 0 THEN
			ROLLBACK;
		ELSE
			COMMIT;
		END IF;
		PERFORM pg_sleep(0.02);
		COMMIT;
	END LOOP;
END $$});

sub psql_in_background
{
	my ($command) = @_;

	return start([ 'psql', '-X', '-q', '-d', $node->connstr('shop'), '-c', $command ], '<', \undef, '>', '/dev/null', '2>', '/dev/null');
}

for my $round (1 .. $rounds)
{
	my $trouble = psql_in_background("CALL trouble($round)");
	my $worker = worker_pid();

	sql("CALL look($snapshots / $rounds / 2)");
	kill('TERM', $worker) if $worker;
	sql("CALL look($snapshots / $rounds / 2)");
	if ($round % 2)
	{
		$node->stop('immediate');
		$node->start;
	}
	finish($trouble);
	wait_for_worker('running');
}

is(sql('SELECT count(*) FROM seen'), $snapshots, "$snapshots snapshots were taken");
is(sql('SELECT min(difference) FROM seen'), '', 'in each of them the views equal a recount');
cmp_ok(sql('SELECT count(DISTINCT (messages, pending, folded)) FROM seen'), '>', 50, 'they saw different things');
cmp_ok(sql('SELECT count(*) FROM seen WHERE pending > 0'), '>', 20, 'with deltas that were not folded yet');
ok(wait_settled(60), 'everything comes to an end');
ok(wait_sql('all is folded', 'SELECT count(*) FROM smsflow.metric_delta', 0), 'the worker folds what is left');
is(sql('SELECT difference()'), '', 'and the figures are the same');
cmp_ok(sql("SELECT count(DISTINCT measure) FROM smsflow.metric_ever WHERE value > 0"), '>', 9, 'of many kinds');
check_is_clean();

done_testing();
