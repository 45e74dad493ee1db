# Fairness: nobody waits for a gateway, a sender or a campaign that is not his own. What counts is the order in which
# requests arrive, never how fast the machine is.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(max);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowGateway;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;
my $node = start_server('fairness');

create_shop(1000);

# Messages of one part to all contacts in turn; the text is the name of the pool.
sql(q{
	CREATE FUNCTION fill(pool text, messages integer, lane integer DEFAULT 4, purpose smsflow.purpose DEFAULT 'promotional')
	RETURNS void LANGUAGE sql AS $$
		WITH queues AS (SELECT smsflow.queues_for(lane::smallint, 'direct', pool) AS ids),
		added AS (INSERT INTO smsflow.outbox (expires_at, contact_id, recipient, queue_id, brand_id, purpose, parts, unicode, body, consent_event_id)
			SELECT now() + interval '1 hour', c.contact_id, c.phone, q.ids[1 + n % cardinality(q.ids)], 1, purpose, 1, false, pool, smsflow.proof(c.proof, purpose)
			FROM queues q, generate_series(0, messages - 1) n
			JOIN smsflow.contact c ON c.phone OPERATOR(smsflow.=) ('+1415555' || to_char(1 + n % 1000, 'FM0000'))::smsflow.phone),
		counted AS (INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value)
			SELECT date_trunc('hour', now(), 'UTC'), 1, 0, 0, 0, 0, purpose, m, messages FROM unnest(array['recipients', 'parts', 'queued']) m)
		SELECT smsflow.note_enqueued(ids) FROM queues
	$$});

sub requests_of { my ($name) = @_; return grep { $_->{path} =~ m{^/$name} } $gateway->requests; }

# A gateway that takes a second for each answer, one that nobody listens at, and a sender almost without tokens, each with
# more messages than it can ever send here, beside a route that works.
sub test_neighbours
{
	add_route('slow', $gateway, gateway => '{"max_in_flight": 16}');
	add_route('nobody', $gateway, url => 'http://127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port());
	add_route('poor', $gateway, rate => 0.01, burst => 1);
	add_route('fine', $gateway, rate => 5000, burst => 500);
	$gateway->script({ path => '^/slow', delay_ms => 1000 });

	sql("SELECT fill('slow', 2000), fill('nobody', 2000), fill('poor', 10000)");
	ok(wait_until('the slow one is busy', sub { requests_of('slow') >= 12 }), 'a slow gateway, one that is gone, and a sender without tokens');
	sql("SELECT fill('fine', 3000)");
	ok(wait_until('all of it is sent', sub { requests_of('fine') >= 3000 }, 100), '... beside one that works');
	my @fine = requests_of('fine');
	my @slow = requests_of('slow');
	my $meanwhile = grep { $_->{at} >= $fine[0]{at} && $_->{at} <= $fine[-1]{at} } @slow;

	# One after the other would have been 16 for the slow one at each turn of the others.
	note("$meanwhile slow requests meanwhile");
	cmp_ok($meanwhile, '<=', 16 * (2 + int($fine[-1]{at} - $fine[0]{at})), '... the slow one gets what its places allow');
	cmp_ok(scalar @slow, '<', 2000, '... and is far from done when the other is');
	is(scalar(requests_of('poor')), scalar(grep { $_->{at} > 0 } requests_of('poor')), '... whoever has no tokens waits');
	cmp_ok(scalar(requests_of('poor')), '<=', 2, '... and sends what it may');
	my ($backlog, $in_flight) = split /\|/, sql('SELECT backlog, in_flight FROM smsflow.worker_state()');
	cmp_ok($backlog, '<=', 200, '... what cannot be sent soon waits in its table, not in memory');
	is(sql("SELECT count(*) FROM smsflow.attempt a JOIN smsflow.sender s USING (sender_id) WHERE s.pool = 'nobody' AND a.wire <> 'none'"), 0, '... what nobody took was surely not sent');
	sql("SELECT smsflow.set_gateway(name, enabled => false) FROM smsflow.gateway WHERE name <> 'fine'");
	ok(wait_until('it is empty', sub { sql('SELECT backlog + in_flight FROM smsflow.worker_state()') eq '0' }), '... and what is switched off goes back to its table');
}

# A code behind twenty thousand offers of the same number; lanes between the two as well.
sub test_top_lane
{
	add_route('bulk', $gateway, rate => 400, burst => 40);
	sql("SELECT fill('bulk', 20000)");
	ok(wait_until('it is being sent', sub { requests_of('bulk') >= 300 }), '20,000 offers');
	for my $purpose ('compliance', 'transactional', 'cart')
	{
		my $before = requests_of('bulk');
		my $id = send_sms('bulk', "urgent $purpose", $purpose);
		ok(wait_until('it is sent', sub { $gateway->count_for($id) == 1 }), "a $purpose message behind them");
		my ($urgent) = grep { defined $_->{message_id} && $_->{message_id} == $id } requests_of('bulk');
		my $first = (requests_of('bulk'))[$before];
		my $created = sql("SELECT extract(epoch FROM created_at) FROM smsflow.message WHERE message_id = $id");
		my $overtook = grep { $_->{at} > $created && $_->{at} < $urgent->{at} } requests_of('bulk');

		# What was on the wire and a turn of the worker on a busy machine
		cmp_ok($overtook, '<=', 250, "... comes after $overtook of them");
	}
	sql("SELECT smsflow.set_gateway('bulk', enabled => false)");
}

# Two campaigns of one number take turns by weight.
sub test_weights
{
	my (%count, @first);

	add_route('shared', $gateway, rate => 80, burst => 8);
	sql("SELECT smsflow.create_segment('everybody', 'true');
		SELECT smsflow.create_campaign('light', 'everybody', 'light', options => '{\"pool\": \"shared\"}');
		SELECT smsflow.create_campaign('heavy', 'everybody', 'heavy', options => '{\"pool\": \"shared\", \"weight\": 3}');
		SELECT smsflow.set_gateway('shared', enabled => false)");
	sql("SELECT smsflow.launch_campaign('light'), smsflow.launch_campaign('heavy')");
	ok(wait_sql('both are written', "SELECT bool_and(expanded) FROM smsflow.campaign WHERE name IN ('light', 'heavy')"), 'two campaigns of one number');
	sql("SELECT smsflow.set_gateway('shared', enabled => true)");
	ok(wait_until('some of both are sent', sub { requests_of('shared') >= 440 }), '... are sent at once');
	@first = (requests_of('shared'))[ 40 .. 439 ];
	$count{ $_->{text} }++ for @first;
	cmp_ok($count{heavy}, '>=', 280, "... the one of weight 3 gets $count{heavy} of 400");
	cmp_ok($count{heavy}, '<=', 320, '... and the other its share');

	# Neither is left out for long.
	my $run = 0;
	my $longest = 0;
	for my $request (@first)
	{
		$run = $request->{text} eq 'light' ? 0 : $run + 1;
		$longest = max($longest, $run);
	}
	cmp_ok($longest, '<=', 24, "... which comes after $longest of the other at most");
	sql("SELECT smsflow.cancel_campaign('light'), smsflow.cancel_campaign('heavy')");
}

test_neighbours();
test_top_lane();
test_weights();
sql("SELECT smsflow.set_gateway(name, enabled => false) FROM smsflow.gateway");
check_is_clean();
done_testing();
