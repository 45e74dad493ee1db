# The order of an opt-out's COMMIT and a request is never in doubt. The worker is made to stand still between its last
# look at the opt-outs and the first byte: a COMMIT that comes then returns after the request has begun, and no later
# than about a second; transactions that revoke nothing do not wait.
#
# It needs a library with places to fail (src/fault.h), which test/check.sh makes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowSink;
use SmsflowTest;
use Test::More;
use Time::HiRes qw(time);

plan skip_all => 'SMSFLOW_FAULTS does not name an installation with faults' if !$ENV{SMSFLOW_FAULTS};

use constant ROUNDS => 3;

my $sink = SmsflowSink->start;
my $node = start_server('commit', { install_path => $ENV{SMSFLOW_FAULTS} }, 'restart_after_crash' => 'on');
my $contact = 0;
my $tries = 0;

create_shop(60);
add_route('main', $sink);
my $session = $node->background_psql('shop');

sub now_us { return int(time() * 1_000_000) }

# A promotional message to somebody new, before whose first byte the worker comes to the fault.
sub start_at_fault
{
	my ($action) = @_;
	my $fault;

	for (1 .. 10)
	{
		$fault = "first_byte:$action:1x" . ++$tries;
		sql("ALTER SYSTEM SET smsflow.fault = '$fault'; SELECT pg_reload_conf()");
		send_sms('main', 'Sale', 'promotional', to => phone(++$contact));
		return phone($contact) if wait_until($fault, sub { -e $node->data_dir . "/smsflow/fault.$fault" }, 2);
	}
	die "the worker does not come to $fault";
}

# Runs the statement; returns when it was begun, and when its COMMIT had returned.
sub timed
{
	my ($statement) = @_;
	my $begun = now_us();

	$session->query_safe($statement);
	return ($begun, now_us());
}

sub request_of
{
	my ($phone) = @_;

	ok(wait_until("the request to $phone", sub { $sink->begin_instants->{$phone} }), '... the request that had been decided begins');
	return $sink->begin_instants->{$phone}[0];
}

# Rounds in which the machine was so slow that the opt-out came after the request show nothing, and are repeated.
sub test_opt_out
{
	my ($real, $late) = (0, 0);

	for (my $round = 0; $round < 5 * ROUNDS && $real < ROUNDS; $round++)
	{
		my $phone = start_at_fault('pause');
		my ($begun, $returned) = timed("SELECT smsflow.opt_out('$phone', source => 'support')");
		my $request = request_of($phone);

		$real++ if $begun < $request;
		$late++ if $returned < $request;
	}
	is($real, ROUNDS, 'opt-outs come while the worker is about to send');
	is($late, 0, '... their COMMIT returns only after the request has begun');
}

sub test_others
{
	my $phone = start_at_fault('pause');
	my ($begun, $returned) = timed("SELECT smsflow.send('" . phone(60) . "', 'Packed', 'transactional', pool => 'main')");

	cmp_ok($returned, '<', request_of($phone), 'a transaction that revokes nothing does not wait');
}

sub test_dead_stop
{
	my $worker = worker_pid();
	my $phone = start_at_fault('hang');

	quickly(10, 'an opt-out does not wait for ever for a worker that does not move',
		sub { sql("SELECT smsflow.opt_out('$phone', source => 'support')") });
	kill('KILL', $worker);
	ok(wait_until('another worker is there', sub { my $pid = eval { worker_pid() }; $pid && $pid != $worker }), '... which is replaced');
	wait_for_worker('running');
	is($sink->begin_instants->{$phone}, undef, '... nor is the message sent by the next');
}

test_opt_out();
test_others();
$session->quit;
test_dead_stop();
check_is_clean();
$node->stop;
done_testing();
