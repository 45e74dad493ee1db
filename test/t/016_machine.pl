# The machine fails the server: no file of the database can grow, and its clock is set a day ahead and two days back. What
# is not durably claimed does not leave, limits go by the time that passes, and nothing is lost or sent twice.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowMachine;
use SmsflowTest;
use Test::More;

use constant DAY => 86_400;

my $gateway = SmsflowGateway->start;
my $machine = SmsflowMachine->new;
my $node = $machine->run(sub { start_server('machine', {}, 'restart_after_crash' => 'on') });

create_shop(200);
add_route('main', $gateway);

# Yesterday the rules of the hours were in force.
sql("DELETE FROM smsflow.policy_rule WHERE kind IN ('window', 'cap', 'subject_cap')");

sub requests_of { my ($text) = @_; return grep { ($_->{text} // '') =~ /^\Q$text\E / } $gateway->requests; }

# One promotional message to each of so many people.
sub enqueue
{
	my ($text, $pool, $people) = @_;

	return "SELECT count(smsflow.send('+1415555' || to_char(n, 'FM0000'), '$text ' || n, 'promotional', pool => '$pool', expires_in => '4 days'))
		FROM generate_series(1, $people) n";
}

sub is_sent_once
{
	my ($text) = @_;
	my %times;

	$times{ $_->{message_id} }++ for requests_of($text);
	is(join(' ', grep { $times{$_} > 1 } sort keys %times), '', '... nothing was sent twice');
	is(sql("SELECT count(*) FROM smsflow.message WHERE body LIKE '$text %' AND status NOT IN ('accepted', 'in_doubt')"), 0, '... nothing is lost');
	is(join(' ', grep { !$times{$_} } split /\n/, sql("SELECT message_id FROM smsflow.message WHERE body LIKE '$text %' AND status = 'accepted'")),
		'', '... and what is accepted was requested');
}

# Pages that are there still take some rows; then turns fail, and with them claims.
sub test_full_disk
{
	my $before;

	sql("SELECT smsflow.set_gateway('main', enabled => false)");
	sql(enqueue('full', 'main', 200)) for 1 .. 3;
	$machine->fill_disk;
	is(error_of('CREATE TABLE grows AS SELECT n FROM generate_series(1, 10000) n'), '53100', 'no file of the database can grow');
	sql("SELECT smsflow.set_gateway('main', enabled => true)");
	ok(wait_sql('the worker says so', "SELECT last_error ~ 'could not extend file' FROM smsflow.stat_worker"), '... which the worker finds out');
	$before = requests_of('full');
	cmp_ok($before, '<', 600, "... after $before of 600 messages");
	ok(wait_sql('it has tried again', "SELECT pid IS NOT NULL AND last_error_at > '" . sql('SELECT clock_timestamp()') . "' FROM smsflow.stat_worker"),
		'... it goes on trying');
	like(sql("SELECT message FROM smsflow.health() WHERE component = 'worker'"), qr/last error at .*could not extend file/, '... and health() says why');
	cmp_ok(sql("SELECT count(*) FROM smsflow.message WHERE body LIKE 'full %' AND status = 'queued'"), '>', 0, '... what is not claimed waits');
	$machine->free_disk;
	ok(wait_settled(60), 'when there is room again all messages come to their end');
	is_sent_once('full');
	cmp_ok(sql("SELECT count(*) FROM smsflow.message WHERE body LIKE 'full %' AND status = 'in_doubt'"), '<=', $before, '... in doubt is at most what had left without a record');
	is(scalar(requests_of('full')), sql("SELECT count(*) FROM smsflow.message WHERE body LIKE 'full %'"), '... and each was requested');
}

sub test_day_ahead
{
	my ($later, $over, @paced);

	add_route('paced', $gateway, rate => 20, burst => 1);
	my $daily = add_route('daily', $gateway);
	sql("SELECT smsflow.set_sender('$daily', 'daily', daily_limit => 24)");
	sql(enqueue('daily', 'daily', 60));
	ok(wait_until('the day is used up', sub { requests_of('daily') >= 21 }), 'a sender has used up its day');
	$later = send_sms('main', 'later', 'promotional', send_at => "now() + '6 hours'", expires_in => "'3 days'");
	$over = send_sms('main', 'over', 'promotional', send_at => "now() + '30 minutes'", expires_in => "'1 hour'");
	sql(enqueue('paced', 'paced', 80));
	ok(wait_until('some are sent', sub { requests_of('paced') >= 10 }), 'while a sender keeps its rate');
	$machine->set_clock(DAY);
	wait_status($later, 'accepted', '... the clock is set a day ahead: what was due in between is sent');
	wait_status($over, 'expired', '... what was over in between is not');
	ok(wait_until('the new day is used up', sub { requests_of('daily') >= 42 }), '... a new day of the limit has begun');
	ok(wait_until('all are sent', sub { requests_of('paced') >= 80 }), '... the rest keeps the rate');
	@paced = requests_of('paced');
	cmp_ok($paced[-1]{at} - $paced[0]{at}, '>=', 79 / 20 - 0.5, '... as if no clock had been set');
	is($gateway->count_for($over), 0, '... nothing too late left');
	return $later;
}

sub test_days_back
{
	my ($later) = @_;
	my ($id, @ids);

	$machine->set_clock(-DAY());
	for my $n (1 .. 5)
	{
		wait_status($id = send_sms('main', "back $n", 'transactional'), 'accepted', 'two days back: a message is sent at once');
		push @ids, $id;
	}
	ok(wait_sql('it is counted', 'SELECT count(*) FROM smsflow.metric_delta', '0'), '... and counted');
	sql("SELECT smsflow.create_segment('all', 'true'); SELECT smsflow.create_campaign('back', 'all', 'News', options => '{\"pool\": \"main\"}');
		SELECT smsflow.launch_campaign('back')");
	ok(wait_sql('it is sent', "SELECT count(*) FROM smsflow.message WHERE campaign = 'back' AND status = 'accepted'", '200'), '... campaigns begin');
	is(scalar(requests_of('daily')), 42, '... no day begins twice');
	$machine->set_clock(0);
	wait_status(send_sms('main', 'right again', 'transactional'), 'accepted', 'the clock is right again');
	cmp_ok(sql("SELECT to_due - now() FROM smsflow.claim WHERE kind = 'timer' ORDER BY to_due DESC LIMIT 1") =~ /^(\d+):/ ? $1 : 0, '>=', 5,
		'... after timers of hours to come were taken');
	wait_status(send_sms('main', 'due soon', 'promotional', send_at => "now() + '1 second'"), 'accepted', '... for which those that are due now do not wait');
	$gateway->script({ match => 'asked to wait', times => 1, status => 429, headers => { 'Retry-After' => 1 } });
	wait_status(send_sms('main', 'asked to wait', 'promotional'), 'accepted', '... nor does a second try');
	$node->stop('immediate');
	$machine->run(sub { $node->start });
	wait_for_worker('running');
	wait_status(send_sms('main', 'after a crash', 'promotional', send_at => "now() + '1 second'"), 'accepted', '... nor what comes after a crash');
	push @ids, $later;
	is(join(' ', grep { $gateway->count_for($_) != 1 } @ids), '', '... nothing was sent twice');
	is_sent_once('paced');
}

# Taken while the clock is ahead, on the wire as it is set back, and lost in a crash: it is still known to be in doubt.
sub test_crash_after_setting_back
{
	my $times = sub { scalar(() = slurp_file($node->logfile) =~ /the clock was set back/g) };
	my ($id, $before);

	$machine->set_clock(DAY);
	$gateway->script({ match => 'unanswered', action => 'hang' });
	$id = send_sms('main', 'unanswered', 'promotional', send_at => "now() + '1 second'", expires_in => "'4 days'");
	ok(wait_until('it is on the wire', sub { $gateway->count_for($id) }), 'a day ahead: a request hangs');
	$before = $times->();
	$machine->set_clock(0);
	ok(wait_until('the worker has seen it', sub { $times->() > $before }), '... as the clock is set right');
	$node->stop('immediate');
	$machine->run(sub { $node->start });
	wait_for_worker('running');
	wait_status($id, 'in_doubt', '... and the server dies: the message is in doubt');
	is($gateway->count_for($id), 1, '... and not sent again');
}

test_full_disk();
test_days_back(test_day_ahead());
test_crash_after_setting_back();
check_is_clean();
$node->stop;
done_testing();
