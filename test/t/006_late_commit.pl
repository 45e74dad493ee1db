# Message ids do not commit in order: what commits long after its neighbours must be found as surely as the rest, and
# what is rolled back must never be seen.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;
my $node = start_server('late', {}, 'max_prepared_transactions' => 5);

create_shop(20);
add_route('main', $gateway, rate => 5000, burst => 1000, gateway => '{"rate": 5000, "burst": 1000}');

# Texts that the gateway got, with how often.
sub texts
{
	my %count;

	$count{ $_->{text} }++ for $gateway->requests;
	return \%count;
}

# Eight writers, whose transactions take up to 20 ms between two messages, so that ids of one lie around those of
# another, and one in ten of which is rolled back; one more holds 2,000
# messages open for 3 seconds, with ids below nearly all of theirs.
sub test_writers
{
	my $script = PostgreSQL::Test::Utils::tempdir() . '/writer.sql';
	my $long = $node->background_psql('shop');
	my ($expected, $texts, @wrong);

	append_to_file($script, <<'SQL');
\set contact random(1, 20)
\set end random(1, 10)
\set delay random(0, 20)
BEGIN;
SELECT smsflow.send('+1415555' || to_char(:contact, 'FM0000'),
	CASE :end WHEN 1 THEN 'undone ' ELSE 'kept ' END || nextval('text_number'), 'promotional', pool => 'main');
\sleep :delay ms
SELECT smsflow.send('+1415555' || to_char(:contact, 'FM0000'),
	CASE :end WHEN 1 THEN 'undone ' ELSE 'kept ' END || nextval('text_number'), 'promotional', pool => 'main');
\if :end = 1
ROLLBACK;
\else
COMMIT;
\endif
SQL
	sql('CREATE SEQUENCE text_number');
	$long->query_safe("BEGIN; SELECT count(smsflow.send('+14155550001', 'long ' || n, 'promotional', pool => 'main'))
		FROM generate_series(1, 2000) n");
	$node->command_ok([ 'pgbench', '-n', '-c', '8', '-j', '1', '-T', '3', '-f', $script, 'shop' ], 'eight writers for 3 seconds');
	cmp_ok(scalar(grep { /^kept/ } keys %{ texts() }), '>', 100, 'messages are sent while an older transaction is open');
	is(scalar(grep { /^long/ } keys %{ texts() }), 0, '... but none of it');
	$long->query_safe('COMMIT');
	$long->quit;
	ok(wait_settled(60), 'all messages are sent');

	$expected = sql("SELECT count(*) FROM smsflow.message WHERE body LIKE 'kept%'");
	$texts = texts();
	is(scalar(grep { /^kept/ } keys %$texts), $expected, 'every committed message was sent');
	is(scalar(grep { /^long/ } keys %$texts), 2000, '... and those of the long transaction');
	@wrong = grep { $texts->{$_} != 1 } keys %$texts;
	is("@wrong[0 .. ($#wrong > 4 ? 4 : $#wrong)]", '', '... once each');
	is(scalar(grep { /^undone/ } keys %$texts), 0, '... and none that was rolled back');
}

# More than may be in hand, from a number that takes minutes for them, behind the cursor of its queue.
sub test_flood
{
	my $bulk = $node->background_psql('shop');
	my $number = add_route('slow', $gateway, rate => 20, burst => 10);

	$bulk->query_safe("BEGIN; SELECT count(smsflow.send('+1415555' || to_char(1 + n % 20, 'FM0000'), 'flood ' || n, 'promotional', pool => 'slow'))
		FROM generate_series(1, 5000) n");
	wait_status(send_sms('slow', 'beside the flood', 'promotional'), 'accepted', 'the queue goes on beside a transaction of 5,000 messages');
	$bulk->query_safe('COMMIT');
	$bulk->quit;
	ok(wait_until('it leaves', sub { grep { /^flood/ } keys %{ texts() } }), 'they leave when it has committed');
	wait_status(send_sms('main', 'in a hurry', 'transactional'), 'accepted', '... and keep nobody waiting');
	sql("SELECT smsflow.set_sender('$number', 'slow', rate => 5000, burst => 1000)");
	ok(wait_settled(90), '... all are sent');
	is(scalar(grep { /^flood/ } keys %{ texts() }), 5000, '... each of them');
	is(scalar(grep { $_ != 1 } values %{ texts() }), 0, '... once');
}

# Nobody tells the worker of COMMIT PREPARED; it looks by itself.
sub test_prepared
{
	my $before;

	sql("BEGIN; SELECT smsflow.send('+14155550001', 'prepared', 'transactional', pool => 'main'); PREPARE TRANSACTION 'later'");
	$before = send_sms('main', 'after it', 'transactional');
	wait_status($before, 'accepted', 'a message is sent while a prepared transaction waits');
	is(scalar(grep { $_ eq 'prepared' } keys %{ texts() }), 0, '... whose message is not');
	sql("COMMIT PREPARED 'later'");
	ok(wait_until('it is sent', sub { texts()->{prepared} }, 5), 'it is when that commits');
	is(texts()->{prepared}, 1, '... once');

	sql("BEGIN; SELECT smsflow.send('+14155550001', 'prepared in vain', 'transactional', pool => 'main'); PREPARE TRANSACTION 'never'");
	sql("ROLLBACK PREPARED 'never'");
	$before = send_sms('main', 'after that', 'transactional');
	wait_status($before, 'accepted', 'a prepared transaction that is rolled back');
	is(texts()->{'prepared in vain'}, undef, '... sends nothing');
}

# A new worker has to find late commits that the one before waited for.
sub test_late_across_restart
{
	my $open = $node->background_psql('shop');
	my $id;

	$open->query_safe("BEGIN; SELECT smsflow.send('+14155550001', 'old transaction', 'transactional', pool => 'main')");
	$id = send_sms('main', 'newer', 'transactional');
	wait_status($id, 'accepted', 'the cursor is past the id of an open transaction');
	sql('SELECT pg_terminate_backend(' . worker_pid() . ')');
	ok(wait_until('the worker has left', sub { !worker_pid() }), '... when the worker ends');
	$open->query_safe('COMMIT');
	$open->quit;
	ok(wait_until('it is sent', sub { texts()->{'old transaction'} }), 'what commits while there is no worker is sent by the next one');

	$open = $node->background_psql('shop');
	$open->query_safe("BEGIN; SELECT smsflow.send('+14155550001', 'older transaction', 'transactional', pool => 'main')");
	$id = send_sms('main', 'newest', 'transactional');
	wait_status($id, 'accepted', 'the same again');
	sql('SELECT pg_terminate_backend(' . worker_pid() . ')');
	wait_until('the worker has left', sub { !worker_pid() });
	wait_for_worker('running');
	$open->query_safe('COMMIT');
	$open->quit;
	ok(wait_until('it is sent', sub { texts()->{'older transaction'} }), '... and what commits after it has started, too');
	is(texts()->{'old transaction'} . texts()->{'older transaction'}, '11', '... once each');
}

test_writers();
test_flood();
test_prepared();
test_late_across_restart();
check_is_clean();
$node->stop;
done_testing();
