# The worker is killed at any moment, and the server with it: no message may be lost, and nothing promotional may be on
# the wire twice. A message that may have been sent is in doubt, and is listed as such; what surely was not is sent.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;
my $node = start_server('crash', {}, 'restart_after_crash' => 'on');
my $seed = $ENV{SMSFLOW_SEED} // time();

srand($seed);
note("SMSFLOW_SEED=$seed");
create_shop(20);
sql(q{INSERT INTO smsflow.gateway_profile
	SELECT (jsonb_populate_record(p, '{"profile": "forgetful", "in_doubt": "hold", "builtin": false}')).*
	FROM smsflow.gateway_profile p WHERE profile = 'generic_json'});
add_route('main', $gateway, rate => 1000, burst => 10);
add_route('forgetful', $gateway, profile => 'forgetful', rate => 1000, burst => 10);
add_route('slow', $gateway, rate => 25, burst => 1);
add_route('bulk', $gateway, rate => 600, burst => 10);

sub crash_server
{
	$node->stop('immediate');
	$node->start;
	wait_for_worker('running');
}

# Messages n of a batch are called "<name> n".
sub enqueue
{
	my ($name, $pool, $purpose, $count) = @_;

	sql("SELECT count(smsflow.send('+1415555' || to_char(1 + n % 20, 'FM0000'), '$name ' || n, '$purpose', pool => '$pool'))
		FROM generate_series(1, $count) n");
}

sub statuses
{
	my ($name) = @_;

	return sql("SELECT string_agg(status || ' ' || n, ', ' ORDER BY status)
		FROM (SELECT status, count(*) AS n FROM smsflow.message WHERE body LIKE '$name %' GROUP BY status) s");
}

sub requests_of { my ($name) = @_; return grep { ($_->{text} // '') =~ /^\Q$name\E / } $gateway->requests; }

# What the tables and the gateway's log must say of a batch when all is over.
sub check_batch
{
	my ($name, $count, $most) = @_;
	my (%times, %status, @lost, @repeated, @wrong);

	ok(wait_settled(60), "$name: everything comes to an end");
	$times{ $_->{message_id} }++ for requests_of($name);
	%status = map { split(/ /) } split(/\n/, sql("SELECT message_id || ' ' || status FROM smsflow.message WHERE body LIKE '$name %'"));
	is(scalar keys %status, $count, '... every message is there');
	@lost = grep { $status{$_} !~ /^(accepted|in_doubt)$/ } keys %status;
	is(scalar @lost, 0, '... accepted, or in doubt: ' . statuses($name));
	@wrong = grep { $status{$_} eq 'accepted' && !$times{$_} } keys %status;
	is("@wrong", '', '... what is accepted was requested');
	@repeated = grep { $times{$_} > $most } keys %times;
	is("@repeated", '', "... nothing was requested more than $most times");
}

sub test_on_the_wire
{
	$gateway->script({ match => '"wire', action => 'hang' });
	enqueue('wire', 'main', 'promotional', 8);
	ok(wait_until('the requests are there', sub { requests_of('wire') == 8 }), 'requests hang');
	kill_worker();
	check_batch('wire', 8, 1);
	is(statuses('wire'), 'in_doubt 8', '... what was on the wire is in doubt');
	is(sql("SELECT count(*) FROM smsflow.message WHERE body LIKE 'wire %' AND reason = 'worker_lost'"), 8, '... and says why');
}

# Taken from the queue, but behind the sender's rate limit: these were surely not sent.
sub test_not_started
{
	enqueue('waiting', 'slow', 'promotional', 60);
	ok(wait_sql('some are taken', "SELECT count(*) > 10 FROM smsflow.message WHERE status = 'sending'"), 'messages wait in the worker');
	kill_worker();
	check_batch('waiting', 60, 1);
	cmp_ok(sql("SELECT count(*) FROM smsflow.message WHERE body LIKE 'waiting %' AND status = 'in_doubt'"), '<=', 1,
		'... only what was on the wire is in doubt');
}

sub test_after_the_answer
{
	enqueue('answered', 'main', 'transactional', 3);
	ok(wait_sql('they are accepted', "SELECT count(*) FROM smsflow.message WHERE body LIKE 'answered %' AND status = 'accepted'", 3),
		'messages are accepted');
	kill_worker();
	check_batch('answered', 3, 1);
	is(statuses('answered'), 'accepted 3', '... and stay so');
}

# Sent again at once where the gateway removes repeats; else once, after a grace that is not over here.
sub test_transactional
{
	$gateway->script({ match => '"order', times => 4, action => 'hang' }, { match => '"parcel', times => 4, action => 'hang' });
	enqueue('order', 'main', 'transactional', 4);
	enqueue('parcel', 'forgetful', 'transactional', 4);
	ok(wait_until('the requests are there', sub { requests_of('order') + requests_of('parcel') == 8 }), 'requests hang');
	kill_worker();
	check_batch('order', 4, 2);
	is(statuses('order'), 'accepted 4', '... and all were sent again');
	check_batch('parcel', 4, 1);
	is(statuses('parcel'), 'in_doubt 4', '... as the gateway would not notice a repeat');
	is(sql("SELECT count(*) FROM smsflow.message WHERE body LIKE 'parcel %' AND due_at > now() + '60 s'"), 4, '... before the grace is over');

	sql("UPDATE smsflow.timer SET due_at = now() WHERE reason = 'resend_later'");
	kill_worker();
	ok(wait_sql('they are sent again', "SELECT count(*) FROM smsflow.message WHERE body LIKE 'parcel %' AND status = 'accepted'", 4),
		'after the grace they are sent again');
	check_batch('parcel', 4, 2);
}

# Nobody goes on without it.
sub test_postmaster
{
	my @processes;

	enqueue('orphan', 'slow', 'promotional', 60);
	ok(wait_until('some are sent', sub { requests_of('orphan') >= 5 }), 'the postmaster is killed while messages are sent');
	@processes = (split(/\n/, sql('SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()')), (split(/\n/, slurp_file($node->data_dir . '/postmaster.pid')))[0]);
	$node->kill9;
	ok(wait_until('all are gone', sub { !grep { kill(0, $_) } @processes }), '... the worker ends with all others');
	$node->start;
	wait_for_worker('running');
	check_batch('orphan', 60, 1);
	cmp_ok(sql("SELECT count(*) FROM smsflow.message WHERE body LIKE 'orphan %' AND status = 'accepted'"), '>=', 30, '... and most are not in doubt');
}

# Each round ends the server at another moment of 2,000 messages. Answers take a while, so that some are awaited then.
sub test_any_moment
{
	my ($round, $crash) = @_;
	my $name = "round$round";
	my $before = $gateway->stats->{requests};
	my $moment = 1 + int(rand(1200));
	my ($so_far, %seen, @in_doubt);

	$gateway->script({ path => '^/bulk', delay_ms => 40 });
	enqueue($name, 'bulk', 'promotional', 2000);
	ok(wait_until('sending is under way', sub { $gateway->stats->{requests} >= $before + $moment }), "$name: 2,000 messages");
	$crash->();
	$so_far = $gateway->stats->{requests} - $before;
	cmp_ok($so_far, '<', 2000, '... are not all sent when the server ends');
	check_batch($name, 2000, 1);
	%seen = map { $_->{message_id} => 1 } requests_of($name);
	@in_doubt = split(/\n/, sql("SELECT message_id FROM smsflow.message WHERE body LIKE '$name %' AND status = 'in_doubt'"));
	cmp_ok(scalar(grep { !$seen{$_} } @in_doubt), '<=', 64, '... of those in doubt the gateway has seen all but what can be on the wire');
	return @in_doubt;
}

test_on_the_wire();
test_not_started();
test_after_the_answer();
test_transactional();
test_postmaster();
cmp_ok(scalar(map { test_any_moment(@$_) } [ 1, \&crash_server ], [ 2, \&kill_worker ], [ 3, \&crash_server ]), '>', 0,
	'some were on the wire in these rounds');
check_is_clean();
$node->stop;
done_testing();
