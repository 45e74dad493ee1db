# The worker fails at every step of a message's way, in each way it can: by an error, killed, or stuck and then killed.
# Afterwards the gateway's log must show that no message was lost, nothing promotional was sent twice, and nothing else
# more often than its purpose allows; and the tables must list all that is in doubt.
#
# It needs a library with places to fail (src/fault.h), which test/check.sh makes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

plan skip_all => 'SMSFLOW_FAULTS does not name an installation with faults' if !$ENV{SMSFLOW_FAULTS};

# Points of a message's way; at those in a callback of libcurl no error can be raised.
my @all = qw(error kill hang);
my %actions = (
	claim => \@all, claimed => \@all, dispatch => \@all, first_byte => [qw(kill hang)], on_wire => [qw(kill hang)],
	answered => \@all, record => \@all, recorded => \@all, fold => \@all);

my $gateway = SmsflowGateway->start;
my $node = start_server('faults', { install_path => $ENV{SMSFLOW_FAULTS} },
	'restart_after_crash' => 'on', 'smsflow.sweep_interval' => '300ms', 'smsflow.public_url' => 'http://127.0.0.1:1');
my $rounds = 0;

create_shop(20);
sql(q{INSERT INTO smsflow.gateway_profile
	SELECT (jsonb_populate_record(p, '{"profile": "forgetful", "in_doubt": "hold", "builtin": false}')).*
	FROM smsflow.gateway_profile p WHERE profile = 'generic_json'});
add_route('main', $gateway, rate => 1000, burst => 50);
add_route('forgetful', $gateway, profile => 'forgetful', rate => 1000, burst => 50);
$gateway->script({ delay_ms => 15 });

sub mark_of { my ($fault) = @_; return $node->data_dir . "/smsflow/fault.$fault"; }

sub set_fault
{
	my ($fault) = @_;

	sql("ALTER SYSTEM SET smsflow.fault = '$fault'; SELECT pg_reload_conf()");
}

# Messages of all kinds, whose texts begin with the name.
sub enqueue
{
	my ($name) = @_;

	sql("SELECT count(smsflow.send('+1415555' || to_char(1 + n % 20, 'FM0000'), '$name ' || nextval('smsflow.message_id_seq'),
			purpose, pool => pool))
		FROM (VALUES ('promotional', 'main', 6), ('promotional', 'forgetful', 3), ('otp', 'main', 2), ('otp', 'forgetful', 2),
			('transactional', 'main', 3), ('transactional', 'forgetful', 2)) AS kinds (purpose, pool, times), generate_series(1, times) n");
}

# A session may go down with the worker that its COMMIT has woken.
sub outlive
{
	my ($step) = @_;

	eval { $step->(); 1 } or note("the session has ended with the worker: $@");
}

# Makes messages until the fault has happened to the worker that has them. A resend of an earlier round may come to the fault
# before they are durable: then it is to happen once more.
sub wait_for_fault
{
	my ($fault, $name) = @_;
	my %found;

	for (1 .. 10)
	{
		outlive(sub { enqueue($name) });
		if (wait_until($fault, sub { -e mark_of($fault) }, 3))
		{
			wait_until('the server answers', sub { eval { %found = statuses($name); 1 } });
			return 1 if %found;
			unlink(mark_of($fault));
		}
	}
	return 0;
}

# Whoever hangs at a fault stands in nobody's way, and is killed then.
sub end_hanging
{
	my ($pid) = @_;

	quickly(3, '... others go on meanwhile', sub { sql("SELECT smsflow.send('" . phone(1) . "', 'meanwhile', 'transactional', pool => 'main')") });
	kill('KILL', $pid);
}

sub statuses
{
	my ($name) = @_;

	return map { my ($id, @rest) = split(/\|/); ($id => \@rest) }
		split(/\n/, sql("SELECT m.message_id, status, m.purpose, gateway FROM smsflow.message m JOIN smsflow.outbox o USING (message_id)
			WHERE o.body LIKE '$name %'"));
}

# How often a message may have been on the wire after one failure
sub most_requests
{
	my ($purpose, $route) = @_;

	return $purpose eq 'otp' || $purpose eq 'transactional' && $route eq 'main' ? 2 : 1;
}

sub check_round
{
	my ($name) = @_;
	my (%message, $requests, @lost, @unlisted, @repeated);

	ok(wait_settled(60), '... everything comes to an end');
	%message = statuses($name);
	$requests = $gateway->by_message;
	for my $id (sort keys %message)
	{
		my ($status, $purpose, $route) = @{ $message{$id} };
		my $times = @{ $requests->{$id} // [] };

		push @lost, "$id $status" if $status !~ /^(accepted|in_doubt|delivered)$/ || $status ne 'in_doubt' && $times == 0;
		push @unlisted, "$id $status" if $times > 0 && $status !~ /^(accepted|in_doubt|delivered)$/;
		push @repeated, "$id $purpose $times" if $times > most_requests($purpose, $route);
	}
	cmp_ok(scalar keys %message, '>=', 18, '... every message is there');
	is("@lost", '', '... none is lost');
	is("@unlisted", '', '... what was requested is accepted or in doubt');
	is("@repeated", '', '... nothing was requested more often than its purpose allows');
}

# A process that is killed takes all others of the server with it, in a moment.
sub wait_for_another
{
	my ($killed) = @_;

	wait_until('another worker is there', sub { my $pid = eval { worker_pid() }; $pid && $pid != $killed });
}

# The worker is back at work; after it was killed it is another one.
sub wait_for_return
{
	my ($killed) = @_;

	wait_for_another($killed) if $killed;
	wait_for_worker('running');
}

sub test_fault
{
	my ($point, $action) = @_;
	my $fault = "$point:$action";
	my $name = 'round' . ++$rounds;
	my $pid = worker_pid();

	set_fault($fault);
	ok(wait_for_fault($fault, $name), "$fault");
	end_hanging($pid) if $action eq 'hang';
	wait_for_return($action eq 'error' ? 0 : $pid);
	check_round($name);
}

# Taking over fails, too, so that a third worker has to account for what the first left.
sub test_recovery
{
	my ($point, $action) = @_;
	my $fault = "$point:$action";
	my $name = 'round' . ++$rounds;
	my $before = $gateway->stats->{requests};
	my $pid = worker_pid();
	my $worker;

	set_fault($fault);
	$gateway->script({ match => $name, times => 10, action => 'hang' }, { delay_ms => 15 });
	enqueue($name);
	wait_until('requests hang', sub { $gateway->stats->{requests} >= $before + 10 });
	kill('KILL', $pid);
	ok(wait_until($fault, sub { -e mark_of($fault) }), "$fault while it takes over from one that was killed");
	if ($action eq 'hang')
	{
		wait_until('the worker is there', sub { $worker = eval { worker_pid() } });
		end_hanging($worker);
	}
	wait_for_return($worker // $pid);
	check_round($name);
	$gateway->script({ delay_ms => 15 });
}

# What is done besides sending: each chore fails before its commit, and is done once all the same.
sub test_chore
{
	my ($point, $action, $step, $done) = @_;
	my $fault = "$point:$action";
	my $pid = worker_pid();

	set_fault($fault);
	outlive($step);
	ok(wait_until($fault, sub { -e mark_of($fault) }), "$fault");
	end_hanging($pid) if $action eq 'hang';
	wait_for_return($action eq 'error' ? 0 : $pid);
	ok(wait_sql('the chore is done', $done), '... it is done later, once');
}

sub test_chores
{
	my ($action) = @_;
	my $reported;

	test_chore('event', $action,
		sub { sql("SELECT smsflow.record_event('" . phone(1) . "', 'order', 'order $action', '{\"number\": \"order $action\"}')") },
		"SELECT count(*) = 1 FROM smsflow.message WHERE sequence = 'thanks' AND body = 'Thanks for order $action' AND status = 'accepted'");
	test_chore('enrollment', $action,
		sub { sql("SELECT smsflow.record_event('" . phone(2) . "', 'order', 'advance $action', '{\"number\": \"advance $action\"}')") },
		"SELECT count(*) = 1 FROM smsflow.message WHERE sequence = 'thanks' AND body = 'Thanks for advance $action' AND status = 'accepted'");
	test_chore('campaign', $action,
		sub { sql("SELECT smsflow.create_campaign('$action', 'all', 'News by $action', options => '{\"pool\": \"main\"}');
			SELECT smsflow.launch_campaign('$action')") },
		"SELECT count(*) = 20 AND count(DISTINCT contact_id) = 20 FROM smsflow.message
			WHERE campaign = '$action' AND status IN ('accepted', 'in_doubt')");
	$reported = send_sms('main', 'reported', 'transactional');
	wait_status($reported, 'accepted', 'a message is sent');
	test_chore('callback', $action,
		sub {
			my ($token) = $gateway->by_message->{$reported}[0]{callback_url} =~ m{(/callback/.*)$};
			sql(qq{SELECT smsflow.receive_callback('main', 'POST', '$token', '', '{"content-type": "application/json"}', '{"status": "delivered"}')});
		},
		"SELECT count(*) = 1 AND bool_and(m.status = 'delivered') FROM smsflow.report r JOIN smsflow.message m USING (message_id)
			WHERE message_id = $reported");
	test_chore('segments', $action,
		sub { sql("SELECT setval('smsflow.message_id_seq', last_value + 1048576) FROM smsflow.message_id_seq") },
		"SELECT max(to_id) > last_value + 1048576 FROM smsflow.message_segment, smsflow.message_id_seq GROUP BY last_value");
}

# A person arms the database: the session fails, the database stays as it was.
sub test_arming
{
	my $pid;

	sql('SELECT smsflow.disarm()');
	wait_for_worker('disarmed');
	$pid = worker_pid();
	set_fault('arm:error');
	isnt($node->psql('shop', 'SELECT smsflow.arm()', stderr => \my $error), 0, 'arm:error');
	is(sql('SELECT smsflow.is_armed()'), 'f', '... the database is not armed');
	set_fault('arm:kill');
	isnt($node->psql('shop', 'SELECT smsflow.arm()', stderr => \$error), 0, 'arm:kill');
	wait_for_another($pid);
	wait_for_worker('disarmed');
	is(sql('SELECT smsflow.is_armed()'), 'f', '... the database is not armed');
	is(sql('SELECT smsflow.arm()'), 't', '... until somebody arms it');
	wait_for_worker('running');
}

sql(q{SELECT smsflow.create_sequence('thanks', 'order', '{"pool": "main", "purpose": "transactional"}');
	SELECT smsflow.add_step('thanks', '0', 'Thanks for {{number}}'); SELECT smsflow.enable_sequence('thanks');
	SELECT smsflow.create_segment('all', 'true')});
for my $point (qw(claim claimed dispatch first_byte on_wire answered record recorded fold))
{
	test_fault($point, $_) for @{ $actions{$point} };
}
for my $action (@all)
{
	test_recovery($_, $action) for 'recover', 'recovered';
	test_chores($action);
}
test_arming();
check_is_clean();
$node->stop;
done_testing();
