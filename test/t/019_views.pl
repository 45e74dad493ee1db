# The operator's views with hundreds of senders: cheap enough to be read each second, and right at once. A worker that has
# much to look through as it starts does not keep the server from stopping.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;
my $node = start_server('views', {}, 'max_prepared_transactions' => 2, 'smsflow.sweep_interval' => '300s');

create_shop(3);
add_route('main', $gateway);
my $closed = add_route('closed', $gateway);

# Each with a queue for every lane.
sub add_senders
{
	sql("SELECT count(smsflow.add_sender('+1415' || (6000000 + n), 'main', rate => 1, burst => 8, pool => 'many')) FROM generate_series(1, 400) n");
	cmp_ok(sql('SELECT count(*) FROM smsflow.queue'), '>', 2000, 'four hundred senders, two thousand queues');
	ok(wait_sql('each was looked at', 'SELECT count(*) FROM smsflow.queue_depth()', '0', 60), '... and the worker knows that they are empty');
}

# Pages that reading all of a view takes
sub pages_of
{
	my ($view) = @_;

	# Once before, so that only what is read each time counts.
	sql("SELECT * FROM smsflow.$view; EXPLAIN (ANALYZE, BUFFERS, FORMAT json) SELECT * FROM smsflow.$view") =~ /"Shared Hit Blocks": (\d+),\s+"Shared Read Blocks": (\d+)/
		or die "no figures of $view";
	return $1 + $2;
}

sub check_pages
{
	my ($most, $when) = @_;

	for my $view ('stat_worker', 'stat_gateway', 'stat_sender', 'stat_queue')
	{
		cmp_ok(pages_of($view), '<', $most, "$view reads few pages $when");
	}
}

sub waiting_of { my ($pool) = @_; return sql("SELECT sum(waiting) FROM smsflow.stat_sender WHERE pool = '$pool'"); }

sub test_at_once
{
	my $id;

	sql("SELECT smsflow.set_gateway('closed', enabled => false)");
	$id = sql("SELECT smsflow.send('" . phone(1) . "', 'Hello', 'transactional', pool => 'closed'); SELECT sum(waiting) FROM smsflow.stat_sender WHERE pool = 'closed'");
	like($id, qr/\n1$/, 'a message is shown as soon as it is asked for');
	sql("SELECT smsflow.send('" . phone(1) . "', 'Later', 'transactional', pool => 'main', send_at => now() + interval '1 hour')");
	ok(wait_sql('it has a timer', "SELECT count(*) FROM smsflow.timer WHERE due_at > now() + interval '50 minutes'", '1'), 'a scheduled one');
	is(waiting_of('main'), 1, '... is, too');
	sql("WITH queues AS (SELECT smsflow.queues_for(4::smallint, 'direct', 'closed') AS ids),
		added AS (INSERT INTO smsflow.outbox (expires_at, contact_id, recipient, queue_id, brand_id, purpose, parts, unicode, body)
			SELECT now() + interval '1 hour', c.contact_id, c.phone, q.ids[1], 1, 'promotional', 1, false, 'Hello'
			FROM queues q, smsflow.contact c, generate_series(1, 5000))
		SELECT smsflow.note_enqueued(ids) FROM queues");
	like(sql('SELECT waiting, at_least FROM smsflow.stat_queue q WHERE lane = 4 AND waiting > 0'), qr/^\d{4,5}\|t$/, 'of a long queue a part is counted');
	like(sql("SELECT message FROM smsflow.health() WHERE component = 'queue'"), qr/^messages waiting: at least \d{4,5},/, '... and health() says so');
	check_pages(12000, 'beyond those of 10,000 messages');
}

# The worker sleeps when nothing is to be sent, and no figure stands still.
sub test_rate
{
	wait_status(send_sms('main', 'Hello', 'transactional'), 'accepted', 'a message is sent');
	ok(wait_sql('the rate is shown', "SELECT rate > 0 FROM smsflow.stat_gateway WHERE gateway = 'main'"), '... its gateway has a rate');
	ok(wait_sql('it fades', "SELECT rate < 0.01 AND in_flight = 0 FROM smsflow.stat_gateway WHERE gateway = 'main'"), '... which fades when nothing more leaves');
}

sub test_without_worker
{
	my $waiting = sql("SELECT count(*) FROM smsflow.outbox o JOIN smsflow.queue q USING (queue_id) JOIN smsflow.sender s USING (sender_id)
		WHERE s.pool = 'closed' AND lane < 4");

	sql('ALTER SYSTEM SET smsflow.enabled = off');
	$node->reload;
	ok(wait_until('the worker has left', sub { !worker_pid() }), 'without a worker');
	is(sql("SELECT sum(waiting) FROM smsflow.stat_queue WHERE lane < 4 AND sender = '$closed'"), $waiting, '... as much is counted');
	is(sql("SELECT waiting, at_least FROM smsflow.stat_queue WHERE lane = 4 AND sender = '$closed'"), '10000|t', '... and of long queues a part');
	sql('ALTER SYSTEM RESET smsflow.enabled');
	$node->reload;
	wait_for_worker('running');
}

# As it starts the worker waits for a lock that nobody can end.
sub test_stop_at_start
{
	my $pid = worker_pid();

	sql("BEGIN; LOCK TABLE smsflow.worker_start IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'in the way'");
	sql("SELECT pg_terminate_backend($pid)");
	ok(wait_sql('the next one waits', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE backend_type = 'smsflow worker' AND pid <> $pid"),
		'a worker that cannot take over');
	quickly(5, '... does not keep the server from stopping', sub { $node->stop('fast') });
	$node->start;
	sql("ROLLBACK PREPARED 'in the way'");
	ok(wait_for_worker('running'), '... and takes over when it can');
}

add_senders();
check_pages(500, 'while nothing waits');
test_at_once();
test_rate();
test_without_worker();
test_stop_at_start();
$node->stop;
done_testing();
