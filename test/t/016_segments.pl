# A transaction that has enqueued something is open for long, or one that has read: no segment is made, nothing fails, and
# nothing is left over. The worker, which keeps all who enqueue waiting as long as it tries, tries seldom.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;
use Time::HiRes qw(time);

my $gateway = SmsflowGateway->start;
my $node = start_server('segments', {}, 'smsflow.sweep_interval' => '100ms');

create_shop(3);
add_route('main', $gateway);
ok(wait_sql('they are there', 'SELECT count(*) >= 2 FROM smsflow.message_segment'), 'there are segments ahead');

sub tries { return scalar(() = slurp_file($node->logfile) =~ /new segments wait for a transaction/g); }

sub test_long_transaction
{
	my ($what, $step) = @_;
	my $holder = $node->background_psql('shop');
	my ($before, $begin, $last);

	$holder->query_safe("BEGIN; $step");
	is(sql('SET lock_timeout = 10; SELECT smsflow.make_segments(80 * smsflow.segment_size())'), 0, "no segment is made beside a transaction that $what");
	is(sql("SELECT count(*) FROM pg_class WHERE relname ~ '^(outbox|attempt|timer|report)_[0-9]+\$' AND NOT relispartition"), 0, '... and no table is left over');
	$before = tries();
	$begin = time();
	$last = sql("SELECT max(from_id) FROM smsflow.message_segment");
	sql("SELECT setval('smsflow.message_id_seq', $last)");
	ok(wait_until('it has tried', sub { tries() > $before }), '... where they are needed, the worker tries');
	ok(wait_sql('30 sweeps later', "SELECT last_turn > to_timestamp($begin + 4) FROM smsflow.stat_worker"), '... but not with every sweep');
	cmp_ok(tries() - $before, '<=', 1 + (time() - $begin) / 5, '... it lets seconds pass');
	$holder->query_safe('COMMIT');
	$holder->quit;
	ok(wait_sql('they are there', "SELECT max(from_id) > $last FROM smsflow.message_segment"), '... and makes them after it');
	unlike(slurp_file($node->logfile), qr/ERROR:  canceling statement due to lock timeout\n.*CONTEXT:.*PARTITION/, '... without an error');
}

test_long_transaction('enqueues', "SELECT smsflow.send('" . phone(1) . "', 'held open', 'transactional', pool => 'main')");
test_long_transaction('reads', 'SELECT count(*) FROM smsflow.message');
check_is_clean();
$node->stop;
done_testing();
