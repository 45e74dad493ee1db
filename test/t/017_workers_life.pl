# The life of two workers of one database: both are armed and disarmed, let go of the database and of the extension, are
# replaced by those of a promoted standby, however many it has, and leave a copy alone.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my @pools = qw(north south);
my $gateway = SmsflowGateway->start;
my $node = start_server('pair', { allows_streaming => 1 }, 'smsflow.workers' => 2, 'smsflow.failover_hold' => 0);

sub make_shop
{
	create_shop(20);
	add_route($_, $gateway) for @pools;
}

# A message to each contact through each of the gateways, whose worker is another.
sub send_all
{
	my ($text) = @_;

	sql("SELECT count(smsflow.send('+1415555' || to_char(n, 'FM0000'), '$text', 'promotional', pool => pool))
		FROM generate_series(1, 20) n, unnest('{@{[join ',', @pools]}}'::text[]) pool");
}

sub requests_of { my ($text) = @_; return grep { ($_->{text} // '') eq $text } $gateway->requests; }

sub is_sent_once
{
	my ($text, $what) = @_;
	my %times;

	ok(wait_sql('all are settled', "SELECT count(*) FROM smsflow.message WHERE body = '$text' AND status IN ('accepted', 'in_doubt')", 40, 60), $what);
	$times{ $_->{message_id} }++ for requests_of($text);
	is(join(' ', grep { $times{$_} > 1 } sort keys %times), '', '... nothing is sent twice');
	is(join(' ', grep { !$times{$_} } split /\n/, sql("SELECT message_id FROM smsflow.message WHERE body = '$text' AND status = 'accepted'")), '',
		'... what is accepted was requested');
}

sub workers
{
	return 0 + $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'smsflow worker' AND datname = 'shop'");
}

sub test_arming
{
	sql('SELECT smsflow.disarm()');
	wait_for_worker('disarmed');
	send_all('disarmed');
	is(sql("SELECT bool_and(last_turn IS NOT NULL AND in_flight = 0) FROM smsflow.stat_worker"), 't', 'disarmed, both workers stand still');
	is(scalar(requests_of('disarmed')), 0, '... and send nothing');
	sql('SELECT smsflow.arm()');
	wait_for_worker('running');
	is_sent_once('disarmed', '... until the database is armed');
}

# A copy under the name of its original: neither worker sends.
sub test_copy
{
	send_all('copied');
	is_sent_once('copied', 'the original sends');
	sql("SELECT smsflow.set_gateway(name, enabled => false) FROM smsflow.gateway");
	send_all('waits in the copy');
	$node->safe_psql('postgres', 'ALTER SYSTEM SET smsflow.enabled = off; SELECT pg_reload_conf()');
	ok(wait_until('both have left', sub { workers() == 0 }), 'smsflow.enabled = off takes both workers off the database');
	$node->safe_psql('postgres', 'ALTER DATABASE shop RENAME TO original');
	$node->safe_psql('postgres', 'CREATE DATABASE shop TEMPLATE original');
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET smsflow.enabled; SELECT pg_reload_conf()');
	ok(wait_until('both are there', sub { workers() == 2 }), '... and on brings them back, to a copy of it');
	wait_for_worker('disarmed');
	sql("SELECT smsflow.set_gateway(name, enabled => true) FROM smsflow.gateway");
	is(sql("SELECT message FROM smsflow.health() WHERE component = 'armed'"), 'this is a copy: it was armed as another database', '... which is not armed');
	is(scalar(requests_of('waits in the copy')), 0, '... and sends nothing');
	sql('SELECT smsflow.arm()');
	is_sent_once('waits in the copy', '... until somebody arms it');
	check_is_clean();
}

# The primary is lost while both workers have requests on the wire; the standby has more workers, then one.
sub test_fail_over
{
	my $standby = PostgreSQL::Test::Cluster->new('successor');

	$node->backup('copy');
	$standby->init_from_backup($node, 'copy', has_streaming => 1);
	$standby->append_conf('postgresql.conf', "smsflow.workers = 4\n");
	$standby->start;
	$node->append_conf('postgresql.conf', "synchronous_standby_names = '*'\n");
	# No new workers: the standby has copies of the journals that these are writing.
	$node->reload;
	ok($node->poll_query_until('postgres', "SELECT sync_state = 'sync' FROM pg_stat_replication"), 'a standby confirms each claim');
	wait_for_worker('running');
	$gateway->script({ match => '"lost', times => 30, action => 'hang' });
	send_all('lost');
	ok(wait_until('some of each hang', sub { requests_of('lost') >= 30 }), 'the primary is lost while two workers send');
	$node->stop('immediate');
	$standby->append_conf('postgresql.conf', "synchronous_standby_names = ''\n");
	$standby->safe_psql('postgres', "SELECT pg_reload_conf()");
	$SmsflowTest::node = $node = $standby;
	$standby->promote;
	wait_for_worker('running');
	is(sql('SELECT count(*) FROM smsflow.stat_worker'), 4, '... and the standby goes on with four');
	is_sent_once('lost', '... everything comes to its end');
	$gateway->script;
	check_is_clean();
	$node->append_conf('postgresql.conf', "smsflow.workers = 1\n");
	$node->restart;
	wait_for_worker('running');
	send_all('alone');
	is_sent_once('alone', 'one worker has the queues of all four');
}

# Whatever hangs, both let go.
sub test_drop
{
	$node->append_conf('postgresql.conf', "smsflow.workers = 2\n");
	$node->restart;
	wait_for_worker('running');
	$gateway->script({ match => '"hang', action => 'hang' });
	send_all('hang');
	ok(wait_until('some hang', sub { requests_of('hang') >= 2 }), 'requests of both workers hang');
	ok(wait_until('it is dropped', sub { $node->psql('shop', "SET lock_timeout = '5s'; DROP EXTENSION smsflow CASCADE", stderr => \my $problem) == 0 }), '... DROP EXTENSION meanwhile');
	$gateway->script;
	make_shop();
	send_all('anew');
	is_sent_once('anew', '... what is made anew sends');
	$gateway->script({ match => '"again', action => 'hang' });
	send_all('again');
	ok(wait_until('some hang', sub { requests_of('again') >= 2 }), 'requests hang');
	quickly(10, '... DROP DATABASE (FORCE) meanwhile', sub { $node->safe_psql('postgres', 'DROP DATABASE shop WITH (FORCE)') });
	$node->safe_psql('postgres', 'CREATE DATABASE shop');
	ok(wait_until('both are there', sub { workers() == 2 }), '... a database of the same name has two workers again');
	quickly(5, 'pg_ctl stop -m fast', sub { $node->stop('fast') });
}

make_shop();
test_arming();
test_copy();
test_fail_over();
test_drop();
done_testing();
