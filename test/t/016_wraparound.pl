# Transaction ids begin anew while messages wait and a transaction is open: what claims and messages remember of them has 64
# bits, so that nothing is overlooked or taken twice. In thousands of messages beside it, an old transaction is in nobody's
# way, and its own message leaves when it commits.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowSink;
use SmsflowTest;
use Test::More;

use constant LAST => 2**32 - 1;

my $sink = SmsflowSink->start('-k', 'reference');
my $node = start_server('ids');

create_shop(1000);
add_route('main', $sink, rate => 5000, burst => 1000, gateway => '{"rate": 5000, "burst": 1000}');

# Requests for these messages, and how many there are of the one with the most.
sub times_of
{
	my (@ids) = @_;
	my $begun = $sink->begin_instants;
	my %times;

	$times{ (split /\./, $_)[0] } += @{ $begun->{$_} } for keys %$begun;
	return join(' ', map { $times{$_} // 0 } @ids);
}

sub send_many
{
	my ($text) = @_;

	return "SELECT count(smsflow.send('+1415555' || to_char(n - 1, 'FM0000'), '$text', 'promotional', pool => 'main')) FROM generate_series(2, 1000) n";
}

sub next_id { return sql('SELECT pg_snapshot_xmax(pg_current_snapshot())'); }

# Everything that is older than half of all ids has to be frozen first; then the next transaction may have this id.
sub go_to
{
	my ($id) = @_;
	my $data = $node->data_dir;
	my $file = sprintf('%s/pg_xact/%04X', $data, int($id / 2**20));

	$node->safe_psql('postgres', 'ALTER DATABASE template0 ALLOW_CONNECTIONS true');
	$node->command_ok([ 'vacuumdb', '--all', '--freeze', '--quiet' ], "every row is frozen before id $id");
	$node->stop;
	append_to_file($file, "\0" x 262_144) if !-e $file;
	command_ok([ 'pg_resetwal', '-x', $id, $data ], '... which is the next');
	$node->start;
	wait_for_worker('running');
}

sub test_old_transaction
{
	my $open = $node->background_psql('shop');
	my $own;

	$open->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
	$own = $open->query_safe("SELECT smsflow.send('+14155550001', 'old', 'transactional', pool => 'main')");
	sql(send_many("wave $_")) for 1 .. 5;
	ok(wait_sql('all are sent', "SELECT count(*) FROM smsflow.message WHERE body LIKE 'wave %' AND status = 'accepted'", 4995, 60),
		'5,000 messages are sent beside an open transaction');
	is(times_of($own), 0, '... its own is not');
	ok(wait_sql('the worker shows it', 'SELECT gaps FROM smsflow.stat_worker', 1), '... one gap is all that is kept of it');
	$open->query_safe('COMMIT');
	$open->quit;
	wait_status($own, 'accepted', '... until it commits');
	is(times_of($own), 1, '... once');
}

sub test_wraparound
{
	my ($open, $own, @waiting);

	go_to(1_500_000_000);
	go_to(3_000_000_000);
	go_to(LAST - 3000);
	cmp_ok(next_id(), '<', 2**32, 'few ids are left');
	sql("SELECT smsflow.set_gateway('main', enabled => false)");
	@waiting = map { sql("SELECT smsflow.send('" . phone($_) . "', 'waits', 'promotional', pool => 'main')") } 1 .. 5;
	$open = $node->background_psql('shop');
	$own = $open->query_safe("BEGIN; SELECT smsflow.send('+14155550007', 'across', 'transactional', pool => 'main')");
	$node->safe_psql('postgres', 'DO $$ BEGIN FOR n IN 1 .. 3500 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$');
	cmp_ok(next_id(), '>', 2**32, 'ids have begun anew');
	sql("SELECT smsflow.set_gateway('main', enabled => true)");
	wait_status($_, 'accepted', '... what was asked for before is sent') for @waiting;
	wait_status(sql("SELECT smsflow.send('+14155550008', 'after', 'transactional', pool => 'main')"), 'accepted', '... what is asked for now, too');
	$open->query_safe('COMMIT');
	$open->quit;
	wait_status($own, 'accepted', '... and what commits across it');
	is(times_of(@waiting, $own), '1 1 1 1 1 1', '... each once');
	$node->restart;
	wait_for_worker('running');
	wait_status(sql("SELECT smsflow.send('+14155550009', 'after a restart', 'transactional', pool => 'main')"), 'accepted', 'a new worker goes on');
	is(times_of(@waiting, $own), '1 1 1 1 1 1', '... and sends nothing again');
}

test_old_transaction();
test_wraparound();
check_is_clean();
$node->stop;
done_testing();
