# A server is lost and its standby takes over: with asynchronous replication the standby may lack the last seconds, with a
# synchronous one it knows everything that was sent.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;
my $node = start_server('primary', { allows_streaming => 1 }, 'smsflow.public_url' => 'http://127.0.0.1:1');

create_shop(20);
add_route('main', $gateway);

sub health_of { my ($component) = @_; return sql("SELECT ok || ': ' || message FROM smsflow.health() WHERE component = '$component'"); }

sub requests_of { my ($name) = @_; return scalar grep { ($_->{text} // '') =~ /^\Q$name\E / } $gateway->requests; }

sub enqueue
{
	my ($name, $purpose, $count) = @_;

	sql("SELECT count(smsflow.send('+1415555' || to_char(1 + n % 20, 'FM0000'), '$name ' || n, '$purpose', pool => 'main'))
		FROM generate_series(1, $count) n");
}

sub start_standby
{
	my ($name, %settings) = @_;
	my $standby = PostgreSQL::Test::Cluster->new($name);

	$node->backup($name);
	$standby->init_from_backup($node, $name, has_streaming => 1);
	$standby->append_conf('postgresql.conf', join('', map { "$_ = '$settings{$_}'\n" } sort keys %settings));
	$standby->start;
	$node->wait_for_catchup($standby);
	return $standby;
}

# From here on the tests' server is the promoted one.
sub fail_over
{
	my ($standby) = @_;

	$standby->promote;
	$SmsflowTest::node = $node = $standby;
}

# The standby has the messages, but not that they were claimed and sent.
sub test_lost_tail
{
	my $standby;

	sql("SELECT smsflow.set_gateway('main', enabled => false)");
	enqueue('offer', 'promotional', 6);
	enqueue('order', 'transactional', 4);
	$standby = start_standby('behind', 'smsflow.failover_hold' => '1h');
	$standby->stop('immediate');
	sql("SELECT smsflow.set_gateway('main', enabled => true)");
	ok(wait_until('all are sent', sub { requests_of('offer') + requests_of('order') == 10 }), 'the primary sends ten messages');
	$node->stop('immediate');
	$standby->start;
	fail_over($standby);
	wait_for_worker('running');
	sql("SELECT smsflow.set_gateway('main', enabled => true)");
	ok(wait_until('orders are sent again', sub { requests_of('order') == 8 }), 'the promoted server does not know: orders are sent again');
	is(requests_of('offer'), 6, '... but marketing is held');
	like(health_of('promotion'), qr/^false: the server was promoted: marketing is held until /, '... as health() says');

	# Reports of what the lost primary sent, for four of the six.
	my @sent = grep { ($_->{text} // '') =~ /^offer [1-4]$/ } $gateway->requests;
	for my $request (@sent)
	{
		my ($token) = $request->{callback_url} =~ m{(/callback/.*)$};
		sql(qq{SELECT smsflow.receive_callback('main', 'POST', '$token', '', '{"content-type": "application/json"}', '{"status": "delivered"}')});
	}
	ok(wait_sql('reports are applied', "SELECT count(*) FROM smsflow.message WHERE status = 'delivered'", 4), 'reports come in meanwhile');
	$node->append_conf('postgresql.conf', "smsflow.failover_hold = 0\n");
	$node->reload;
	ok(wait_settled(), 'when the hold is over the rest is sent');
	is(requests_of('offer'), 8, '... without what was reported');
	is(sql("SELECT count(*) FROM smsflow.message WHERE body LIKE 'offer%' AND status IN ('accepted', 'delivered')"), 6, '... and nothing is lost');
	like(health_of('promotion'), qr/^true: the server was promoted before/, '... health() is content');
	check_is_clean();
}

sub test_policy
{
	my $standby = start_standby('careful', 'smsflow.arm_policy' => 'timeline');
	my $id;

	$node->stop('fast');
	fail_over($standby);
	wait_for_worker('disarmed');
	is(health_of('armed'), 'false: the server was promoted or recovered since it was armed', 'with arm_policy = timeline a promoted server is disarmed');
	$id = send_sms('main', 'disarmed', 'transactional');
	is(status_of($id), 'queued', '... and sends nothing');
	sql('SELECT smsflow.arm()');
	wait_status($id, 'accepted', '... until somebody arms it');
	$node->append_conf('postgresql.conf', "smsflow.arm_policy = system\n");
	$node->reload;
}

# A clone of the whole cluster cannot be told from the original, but a copy of the database can.
sub test_copy
{
	$node->append_conf('postgresql.conf', "smsflow.databases = 'copied'\n");
	$node->restart;
	$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE shop');
	ok(wait_until('a worker is there', sub {
		$node->safe_psql('copied', "SELECT count(*) FROM smsflow.stat_worker WHERE state = 'disarmed' AND pid IS NOT NULL") }),
		'a database made with ours as template has a worker that is disarmed');
	is($node->safe_psql('copied', "SELECT message FROM smsflow.health() WHERE component = 'armed'"),
		'this is a copy: it was armed as another database', '... and health() says why');
	$node->append_conf('postgresql.conf', "smsflow.databases = 'shop'\n");
	$node->restart;
	wait_for_worker('running');
}

sub test_synchronous
{
	my ($standby, $id, @unknown);

	$node->append_conf('postgresql.conf', "smsflow.require_sync_standby = on\n");
	$node->reload;
	wait_for_worker('disarmed');
	like(health_of('armed'), qr/^false: smsflow.require_sync_standby is on/, 'without a synchronous standby nothing is sent');
	$id = send_sms('main', 'waits for a standby', 'promotional');
	$standby = start_standby('synchronous');
	$node->append_conf('postgresql.conf', "synchronous_standby_names = '*'\n");
	$node->reload;
	wait_status($id, 'accepted', '... with one it is');

	# The standby goes: a claim cannot be confirmed, and so nothing of it may leave.
	$standby->stop('immediate');
	$node->psql('shop', "SET synchronous_commit = off; SELECT smsflow.send('" . phone(1) . "', 'alone', 'promotional', pool => 'main')");
	ok(wait_sql('the worker waits', "SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE backend_type = 'smsflow worker'"),
		'a claim waits for the standby');
	sql('SELECT pg_cancel_backend(' . worker_pid() . ')');
	is(sql("SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'smsflow worker'"), 'SyncRep', '... and cannot be cut short');
	is(requests_of('alone') + scalar(grep { ($_->{text} // '') eq 'alone' } $gateway->requests), 0, '... nothing leaves');
	quickly(5, 'pg_ctl stop -m fast meanwhile', sub { $node->stop('fast') });
	is(scalar(grep { ($_->{text} // '') eq 'alone' } $gateway->requests), 0, '... nothing leaves then, either');
	$standby->start;
	$node->start;
	ok(wait_until('it is sent', sub { grep { ($_->{text} // '') eq 'alone' } $gateway->requests }), '... it does when the standby is back');

	$gateway->script({ match => 'round', delay_ms => 20 });
	$node->psql('shop', "SET synchronous_commit = off; SELECT count(smsflow.send('" . phone(1) . "', 'round ' || n, 'promotional', pool => 'main'))
		FROM generate_series(1, 300) n");
	ok(wait_until('sending is under way', sub { requests_of('round') > 30 }), 'the primary sends');
	$node->stop('immediate');
	$standby->append_conf('postgresql.conf', "smsflow.require_sync_standby = off\nsynchronous_standby_names = ''\nsmsflow.failover_hold = 0\n");
	$standby->reload;
	fail_over($standby);
	wait_for_worker('running');
	ok(wait_settled(60), '... and is lost: its synchronous standby goes on');
	@unknown = grep { @$_ > 1 && ($_->[0]{text} // '') =~ /^round/ } values %{ $gateway->by_message };
	is(scalar @unknown, 0, '... nothing is sent twice');
	is(sql("SELECT count(*) FROM smsflow.message WHERE body LIKE 'round%' AND status NOT IN ('accepted', 'in_doubt')"), 0, '... nothing is lost');
	check_is_clean();
}

test_lost_tail();
test_policy();
test_copy();
test_synchronous();
$node->stop;
done_testing();
