# The life of the worker: when it starts, what it waits for, that it never stands in the way of the server, and what
# survives when it is ended.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;

# A listed database that does not exist keeps nobody from anything, and one that is listed twice has its worker once.
my $node = start_server('primary', { allows_streaming => 1 }, 'smsflow.databases' => 'shop, not_yet, shop');

sub health_of { my ($component) = @_; return sql("SELECT ok || ': ' || message FROM smsflow.health() WHERE component = '$component'"); }

# The worker has looked for work since now.
sub wait_for_turn
{
	my $now = sql('SELECT clock_timestamp()');

	return wait_sql('the worker takes a turn', "SELECT last_turn > '$now' FROM smsflow.stat_worker");
}

# Requests so far that were not answered
sub hanging { return scalar(grep { ($_->{text} // '') eq 'hang' } $gateway->requests); }

# A request that is never answered is on the wire from here on; returns its message.
sub hang_request
{
	my ($pool) = @_;
	my $before = hanging();
	my $id;

	$gateway->script({ match => 'hang', action => 'hang' });
	$id = send_sms($pool // 'main', 'hang', 'promotional');
	ok(wait_until('the request is there', sub { hanging() > $before }), 'a request hangs');
	return $id;
}

sub test_extension
{
	my $pid;

	ok(wait_until('the worker is there', sub { $pid = worker_pid() }), 'a listed database has a worker');
	isnt($node->psql('shop', 'SHOW smsflow.fault', stderr => \my $error), 0, 'the library for users has no places to fail');
	like($error, qr/unrecognized configuration parameter/, '... nor a setting that names one');
	create_extension();
	wait_for_worker('disarmed');
	is(worker_pid(), $pid, 'it begins when the extension is created');
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'smsflow worker'"), 1, '... and is the only one');
}

sub test_arming
{
	my $id;

	sql("SELECT smsflow.subscribe('" . phone(1) . "', '{transactional,cart,promotional}', level => 'confirmed', disclosure => 'Offers and shopping cart reminders by text')");
	add_route('main', $gateway);
	$id = send_sms('main', 'Hello', 'transactional');
	ok(wait_for_turn(), 'a worker that is not armed takes its turns');
	is(status_of($id), 'queued', '... and sends nothing');
	is(scalar $gateway->requests, 0, '... as the gateway confirms');
	is(health_of('armed'), 'false: this database was never armed', '... and health() says why');
	is(sql('SELECT smsflow.arm()'), 't', 'arm()');
	wait_status($id, 'accepted', 'it sends once it is armed');
	is(health_of('armed'), 'true: this database may send', '... and health() says so');

	sql('SELECT smsflow.disarm()');
	wait_for_worker('disarmed');
	$id = send_sms('main', 'Hello', 'transactional');
	ok(wait_for_turn(), 'disarmed again');
	is(status_of($id), 'queued', '... it stops');
	sql('SELECT smsflow.arm()');
	wait_status($id, 'accepted', '... until it is armed again');
}

sub test_reload
{
	my $pid = worker_pid();
	my $id;

	add_route('second', $gateway);
	unlink("$SmsflowTest::secrets/second");
	$node->reload;
	$id = send_sms('second', 'without a secret', 'transactional');
	ok(wait_sql('the worker finds out', "SELECT status = 'held' OR reason IS NOT NULL FROM smsflow.message WHERE message_id = $id"),
		'a gateway without its secret');
	is($gateway->count_for($id), 0, '... is not called');
	like(health_of('gateways'), qr/^false: secret missing: "second"/, '... and health() says why');
	write_secret('second', 'now there is one');
	$node->reload;
	wait_status($id, 'accepted', 'a new secret is read at SIGHUP');

	sql("SELECT smsflow.add_sender('+14157779999', 'second', pool => 'new')");
	$id = send_sms('new', 'from a new number', 'transactional');
	wait_status($id, 'accepted', 'a new sender is used at once');
	is(sql("SELECT sender FROM smsflow.message WHERE message_id = $id"), '+14157779999', '... it is the new one');
	is(worker_pid(), $pid, '... all by the same worker');
}

# On the wire, taken but not started, and not even taken: each has to come to its own end.
sub test_termination
{
	my $pid = worker_pid();
	my ($hanging, $by_message);

	add_route('slow', $gateway, rate => 12, burst => 1);
	$hanging = hang_request();
	sql("SELECT count(smsflow.send('" . phone(1) . "', 'slow ' || n, 'promotional', pool => 'slow')) FROM generate_series(1, 60) n");
	ok(wait_sql('some are taken', "SELECT count(*) > 3 FROM smsflow.message WHERE status = 'sending'"), 'messages are in its hands');
	is(sql("SELECT pg_terminate_backend($pid)"), 't', 'pg_terminate_backend');
	ok(wait_until('another worker is there', sub { worker_pid() && worker_pid() != $pid }), 'another one comes');
	ok(wait_settled(), 'everything is sent in the end');
	$by_message = $gateway->by_message;
	is(sql("SELECT count(*) FROM smsflow.message WHERE body LIKE 'slow%' AND status = 'accepted'"), 60, '... nothing is lost');
	is(scalar(grep { @$_ != 1 } values %$by_message), 0, '... nothing is sent twice');
	wait_status($hanging, 'in_doubt', '... what was on the wire is in doubt');
	is(sql("SELECT count(*) FROM smsflow.check() WHERE violations > 0"), 0, 'check() finds nothing');
}

sub test_not_in_the_way
{
	my $id = hang_request();

	ok(wait_sql('it sleeps', "SELECT state, backend_xmin IS NULL AND backend_xid IS NULL, wait_event_type
		FROM pg_stat_activity WHERE backend_type = 'smsflow worker' AND datname = 'shop'", 'idle|t|Extension'), 'while a request hangs the worker shows as idle, without a snapshot');
	quickly(5, 'CREATE DATABASE meanwhile', sub { $node->safe_psql('postgres', 'CREATE DATABASE other') });
	quickly(5, 'CREATE DATABASE by copying files', sub {
		$node->safe_psql('postgres', 'CREATE DATABASE another TEMPLATE other STRATEGY file_copy') });
	quickly(5, 'DROP DATABASE meanwhile', sub { $node->safe_psql('postgres', 'DROP DATABASE other') });
	quickly(5, 'VACUUM meanwhile', sub { sql('VACUUM FREEZE smsflow.outbox') });
	is(status_of($id), 'sending', 'the request hangs still');
	return $id;
}

# Also the primary is stopped with a request on the wire, which the standby has to account for.
sub test_standby
{
	my ($hanging) = @_;
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	my ($id, $error);

	$node->backup('copy');
	$standby->init_from_backup($node, 'copy', has_streaming => 1);
	$standby->start;
	is($standby->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'smsflow worker'"), 0,
		'a standby has no worker');
	is($standby->safe_psql('shop', "SELECT message FROM smsflow.health() WHERE component = 'armed'"), 'this server is a standby',
		'... and says so');
	$standby->psql('shop', "\\set VERBOSITY sqlstate\nSELECT smsflow.send('" . phone(1) . "', 'x', 'transactional')", stderr => \$error);
	like($error, qr/25006/, '... and refuses to send as it refuses every write, so that drivers look for the primary');
	$node->wait_for_catchup($standby);
	quickly(5, 'pg_ctl stop -m fast while a request hangs', sub { $node->stop('fast') });

	$SmsflowTest::node = $node = $standby;
	$standby->promote;
	wait_for_worker('running');
	$id = send_sms('main', 'from the promoted server', 'transactional');
	wait_status($id, 'accepted', 'the promoted one sends');
	wait_status($hanging, 'in_doubt', '... and knows what may have been sent');
	is($gateway->count_for($hanging), 1, '... and does not send it again');
}

sub test_drop_extension
{
	my $requests = $gateway->stats->{requests};
	my ($old, $id);

	add_route('stopped', $gateway);
	sql("SELECT smsflow.set_gateway('stopped', enabled => false)");
	$old = send_sms('stopped', 'of the old extension', 'transactional');
	$gateway->script({ match => 'answered', delay_ms => 500 });
	send_sms('main', 'answered when its tables are gone', 'transactional');
	ok(wait_until('it is on the wire', sub { $gateway->stats->{requests} == 1 + $requests }), 'a request is on the wire');
	quickly(5, 'DROP EXTENSION with messages waiting', sub { sql('DROP EXTENSION smsflow CASCADE') });
	create_extension();
	sql("SELECT smsflow.subscribe('" . phone(1) . "', '{transactional,cart,promotional}', level => 'confirmed', disclosure => 'Offers and shopping cart reminders by text'); SELECT smsflow.arm()");
	add_route('main', $gateway);
	$id = send_sms('main', 'of the new extension', 'transactional');
	wait_status($id, 'accepted', 'the extension made anew sends');
	is(scalar(grep { ($_->{text} // '') =~ /of the old/ } $gateway->requests), 0, '... and nothing of the old one');
	is(sql('SELECT count(*) FROM smsflow.attempt'), 1, '... nor is a late answer written into its tables');
}

sub test_drop_database
{
	my $id = hang_request();

	quickly(5, 'DROP DATABASE (FORCE) while a request hangs', sub { $node->safe_psql('postgres', 'DROP DATABASE shop WITH (FORCE)') });
	$node->safe_psql('postgres', 'CREATE DATABASE shop');
	ok(wait_until('the worker is there', sub { worker_pid() }), 'a database of the same name has a worker again');

	$node->safe_psql('postgres', 'ALTER SYSTEM SET smsflow.enabled = off');
	$node->reload;
	ok(wait_until('the worker has left', sub { !worker_pid() }), 'smsflow.enabled = off takes the worker off the database');
	quickly(5, '... so that DROP DATABASE works', sub { $node->safe_psql('postgres', 'DROP DATABASE shop') });
	$node->safe_psql('postgres', 'CREATE DATABASE shop');
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET smsflow.enabled');
	$node->reload;
	ok(wait_until('the worker is there', sub { worker_pid() }), '... and on brings it back');
}

test_extension();
test_arming();
test_reload();
test_termination();
my $hanging = test_not_in_the_way();
test_standby($hanging);
test_drop_extension();
test_drop_database();
$node->stop;
done_testing();
