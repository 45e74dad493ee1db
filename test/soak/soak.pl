# Half an hour of bad luck: a store goes on sending, people stop and cancel, and every few seconds something breaks: the
# worker, the server, the gateway. When it is over and nothing breaks any more, every message must have come to an end
# that its gateway's log confirms.
#
#   make soak SOAK_SECONDS=300 SOAK_SEED=137      default: 1800 seconds, a seed of its own, which is printed

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;
use Time::HiRes qw(time);

my $contacts = 400;
my $seconds = $ENV{SOAK_SECONDS} // 1800;
my $seed = $ENV{SOAK_SEED} // time() % 100_000_000;
my $gateway = SmsflowGateway->start;
my $node = start_server('soak', {}, 'restart_after_crash' => 'on', 'smsflow.sweep_interval' => '500ms', 'smsflow.max_in_flight' => 32);
my $script = PostgreSQL::Test::Utils::tempdir() . '/load.sql';
my (%stopped, %cancelled, %happened);

srand($seed);
note("seed $seed");
create_shop($contacts);
sql(q{INSERT INTO smsflow.gateway_profile
	SELECT (jsonb_populate_record(p, '{"profile": "forgetful", "in_doubt": "hold", "builtin": false}')).*
	FROM smsflow.gateway_profile p WHERE profile = 'generic_json';
	SELECT smsflow.create_segment('all', 'true')});
add_route('main', $gateway, gateway => '{"timeout": 2}');
add_route('forgetful', $gateway, profile => 'forgetful', gateway => '{"timeout": 2}');
append_to_file($script, <<"SQL");
\\set n random(1, $contacts)
\\set kind random(1, 6)
\\set route random(1, 2)
SELECT smsflow.send('+1415555' || to_char(:n, 'FM0000'), 'soak', (ARRAY['promotional', 'promotional', 'cart', 'transactional', 'otp', 'conversational'])[:kind],
	pool => (ARRAY['main', 'forgetful'])[:route]);
SQL

# ---- the store ----

# Messages at a steady rate for so many seconds, unless the server goes away; returns the process.
sub start_load
{
	my ($for) = @_;
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		open(STDOUT, '>', '/dev/null');
		open(STDERR, '>&', \*STDOUT);
		exec('pgbench', '-n', '-h', $node->host, '-p', $node->port, '-R', 15, '-T', $for, '-f', $script, 'shop') or POSIX::_exit(127);
	}
	return $pid;
}

# What it asks for may fail while the server is away; true when it has committed.
sub try_sql
{
	my ($query) = @_;
	my $result = '';

	return $node->psql('shop', $query, stdout => \$result) == 0 ? $result : undef;
}

# The instant is that after the COMMIT: no request for marketing may begin later.
sub stop_somebody
{
	my $phone = phone(1 + int(rand($contacts)));

	return if $stopped{$phone} || keys %stopped > $contacts / 2;
	$stopped{$phone} = time() if defined try_sql("SELECT smsflow.opt_out('$phone', source => 'keyword')");
}

sub cancel_something
{
	my $id = try_sql("SELECT max(message_id) FROM smsflow.outbox WHERE queue_id <> 0");

	$cancelled{$id} = time() if $id && (try_sql("SELECT smsflow.cancel($id)") // '') eq 't';
}

sub launch_something
{
	my $name = 'campaign ' . ++$happened{campaigns};

	try_sql("SELECT smsflow.create_campaign('$name', 'all', 'News', options => '{\"pool\": \"main\"}'); SELECT smsflow.launch_campaign('$name')");
}

# ---- what breaks ----

sub break_gateway
{
	my @moods = ([ { status => 500, times => 20 } ], [ { status => 429, times => 5, headers => { 'Retry-After' => 1 } } ],
		[ { action => 'hang', times => 10 } ], [ { action => 'close', times => 20 } ], [ { action => 'reset', times => 20 } ],
		[ { action => 'close_mid_body', times => 20 } ], [ { action => 'garbage', times => 20 } ], [ { delay_ms => 300 } ],
		[ { action => 'close_before_read', times => 20 } ], []);

	$gateway->script(@{ $moods[ rand(@moods) ] });
}

sub kill_it { my $pid = eval { worker_pid() }; kill('KILL', $pid) if $pid; }

sub restart
{
	my ($mode) = @_;

	$node->stop($mode);
	$node->start;
}

sub change_settings { try_sql('ALTER SYSTEM SET smsflow.max_in_flight = ' . (8 + int(rand(56)))); try_sql('SELECT pg_reload_conf()'); }

sub disarm { try_sql('SELECT smsflow.disarm()'); try_sql('SELECT smsflow.arm()'); }

my %events = (
	stop => \&stop_somebody, cancel => \&cancel_something, campaign => \&launch_something, gateway => \&break_gateway, kill => \&kill_it,
	terminate => sub { try_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'smsflow worker'") },
	immediate => sub { restart('immediate') }, fast => sub { restart('fast') }, settings => \&change_settings, disarm => \&disarm);
my @often = (qw(stop cancel gateway) x 3, keys %events);

# Two things happen while the load runs, and the server is there again before the next round.
sub play_round
{
	my $load = start_load(3);

	for (1, 2)
	{
		my $event = $often[ rand(@often) ];

		$happened{$event}++;
		$events{$event}->();
	}
	waitpid($load, 0);
	die 'the server does not come back' if !wait_sql('the server is there', 'SELECT true');
}

# ---- afterwards ----

# n => HTTP status that was answered
sub answers { return map { ($_->{answer_to} => $_->{status} // 0) } grep { defined $_->{answer_to} && exists $_->{action} } $gateway->log; }

sub check_messages
{
	my %answer = answers();
	my $requests = $gateway->by_message;
	my (@lost, @unlisted, @repeated, @late, @cancelled);

	for (split(/\n/, sql('SELECT message_id, status, purpose, phone FROM smsflow.message')))
	{
		my ($id, $status, $purpose, $phone) = split(/\|/);
		my $marketing = $purpose =~ /promotional|cart/;
		# A 429 was surely not taken.
		my @taken = grep { ($answer{ $_->{n} } // 0) != 429 } @{ $requests->{$id} // [] };

		push @lost, "$id $status" if $status !~ /^(accepted|in_doubt|suppressed|cancelled|expired|unknown)$/ || $status eq 'accepted' && !@taken;
		push @unlisted, "$id $status" if @taken && $status !~ /^(accepted|in_doubt|unknown)$/;
		push @repeated, "$id $purpose" if @taken > 1 && $marketing;
		push @cancelled, $id if $cancelled{$id} && grep { $_->{at} > $cancelled{$id} + 0.05 } @{ $requests->{$id} // [] };
		push @late, "$id $phone" if $marketing && $stopped{$phone} && grep { $_->{at} > $stopped{$phone} + 0.05 } @taken;
	}
	is("@lost", '', 'no message is lost');
	is("@unlisted", '', 'what was requested is accepted or in doubt');
	is("@repeated", '', 'no marketing is requested twice');
	is("@cancelled", '', 'what was cancelled is not requested after that');
	is("@late", '', 'no marketing is requested after a STOP');
}

for (my $end = time() + $seconds; time() < $end;)
{
	play_round();
}
$gateway->script();
try_sql('SELECT smsflow.arm()');
note(join(', ', map { "$_ $happened{$_}" } sort keys %happened));
note($gateway->stats->{requests} . ' requests, ' . sql('SELECT count(*) FROM smsflow.outbox') . ' messages');
ok(wait_sql('queues are empty', 'SELECT coalesce(sum(waiting), 0) FROM smsflow.stat_queue', '0', 300), 'all queues are worked off');
ok(wait_settled(120), 'every message comes to an end');
check_messages();
check_is_clean();
$node->stop;
done_testing();
