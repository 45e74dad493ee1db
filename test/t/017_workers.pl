# Several workers of one database: each has the queues of its gateways, and together they are as exact as one. Limits
# and caps hold over all of them, a STOP reaches each, one that ends leaves the others at work, and whoever starts after
# a crash, as many or not, finds each message that was claimed once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowGateway;
use SmsflowTest;
use SmsflowTraffic;
use Test::More;
use Time::HiRes qw(time);

use constant CONTACTS => 120;
my @pools = qw(north south west);

my $gateway = SmsflowGateway->start;
my $node = start_server('workers', {}, 'restart_after_crash' => 'on', 'smsflow.workers' => 3,
	'smsflow.public_url' => 'http://127.0.0.1:9');

create_shop(CONTACTS);
add_route($_, $gateway, rate => 200, burst => 20) for @pools;

# A message to each contact from $first to $last through each of the pools.
sub send_all
{
	my ($text, $purpose, $first, $last) = @_;

	sql("SELECT count(smsflow.send('+1415555' || to_char(n, 'FM0000'), '$text', '$purpose', pool => pool))
		FROM generate_series($first, $last) n, unnest('{@{[join ',', @pools]}}'::text[]) pool");
}

sub requests_of { my ($text) = @_; return grep { ($_->{text} // '') eq $text } $gateway->requests; }

# Each of so many messages was on the wire once at most, and exactly once when it was accepted.
sub check_each_once
{
	my ($text, $count) = @_;
	my %times;

	$times{ $_->{message_id} }++ for requests_of($text);
	is(sql("SELECT count(*) FROM smsflow.message WHERE body = '$text'"), $count, "\"$text\": every message is there");
	is(scalar(grep { $_ > 1 } values %times), 0, '... none was requested twice');
	is(join(' ', grep { !$times{$_} } split /\n/, sql("SELECT message_id FROM smsflow.message WHERE body = '$text' AND status = 'accepted'")),
		'', '... what is accepted was requested');
}

# The generations of the workers that sent a text, one of each pool.
sub workers_of
{
	my ($text) = @_;

	return sql("SELECT string_agg(DISTINCT m.sender || ' ' || a.generation, ', ') FROM smsflow.message m JOIN smsflow.attempt a USING (message_id)
		WHERE m.body = '$text' AND a.started_at IS NOT NULL");
}

sub test_shards
{
	is(sql('SELECT array_agg(worker ORDER BY worker) FROM smsflow.stat_worker'), '{0,1,2}', 'three workers');
	is(sql("SELECT string_agg(component, ', ' ORDER BY component) FROM smsflow.health() WHERE component LIKE 'worker%' AND ok"), 'worker, worker 1, worker 2', '... and health() has a line for each');
	send_all('hello', 'promotional', 1, 40);
	ok(wait_settled(60), 'messages of three gateways are sent');
	check_each_once('hello', 120);
	is(scalar(my @of = split(/, /, workers_of('hello'))), 3, '... those of each gateway by one worker');
	is(sql('SELECT count(DISTINCT generation) FROM smsflow.attempt'), 3, '... and by a different one');
	ok(wait_sql('they have shown it', "SELECT string_agg(gateway, ', ' ORDER BY gateway) FROM smsflow.stat_gateway
			WHERE in_flight = 0 AND http_codes ->> '200' = '40'", 'north, south, west'), '... each shows its own');
	check_is_clean();
}

# The requests of a text as SmsflowTraffic has them.
sub traffic
{
	my ($text) = @_;
	my %arrived = map { $_->{message_id} => $_->{at} } requests_of($text);

	return map { my ($id, $sender, $started, $parts) = split /\|/; [ $sender, $started, $arrived{$id}, $parts ] }
		split /\n/, sql("SELECT message_id, m.sender, extract(epoch FROM a.started_at), m.parts FROM smsflow.message m JOIN smsflow.attempt a USING (message_id)
			WHERE m.body = '$text' AND a.started_at IS NOT NULL ORDER BY a.started_at");
}

# A registration above all numbers: a rate, and parts of a day.
sub test_shared_limits
{
	sql("SELECT smsflow.add_registration('shop', 'brand', parts_per_minute => 2400, burst => 5, daily_limit => 100);
		SELECT smsflow.add_registration('ads', 'campaign', parent => 'shop');
		SELECT count(smsflow.set_sender(address, pool, registration => 'ads')) FROM smsflow.sender");
	send_all('limited', 'promotional', 1, 50);
	ok(wait_until('the parts of the day are used', sub { requests_of('limited') >= 96 }), 'a rate and a day that three workers share');
	ok(wait_sql('the rest waits for the next day', "SELECT count(*) FROM smsflow.message WHERE body = 'limited' AND status <> 'accepted'", 54), '... the rest waits');
	is(scalar(requests_of('limited')), 96, '... the day is used up but for what is kept for codes, and not exceeded');

	my @traffic = traffic('limited');
	my ($used, $allowed) = use_of(40, @traffic);
	cmp_ok(fullest_window(40, @traffic), '<=', 5 + SLACK, '... no window has more than the rate and the burst');
	cmp_ok($used / $allowed, '>=', 0.9, '... and most of it is used');
	sql("SELECT count(smsflow.cancel(message_id)) FROM smsflow.message WHERE body = 'limited' AND status <> 'accepted';
		SELECT count(smsflow.set_sender(address, pool, registration => '')) FROM smsflow.sender");
}

# Marketing through all gateways at once to people who may have one message.
sub test_shared_caps
{
	sql("UPDATE smsflow.policy_rule SET value = '1 per 7 days' WHERE kind = 'cap'; SELECT smsflow.resume_rule('cap')");
	send_all('capped', 'promotional', 81, 110);
	ok(wait_until('each person has one', sub { requests_of('capped') >= 30 }), 'a cap of one message');
	ok(wait_sql('the others are held', "SELECT count(*) FROM smsflow.message WHERE body = 'capped' AND reason = 'frequency_cap'", 60, 60), '... holds all others');
	is(scalar(requests_of('capped')), 30, '... whichever worker has them');
	sql("SELECT smsflow.suspend_rule('cap')");
}

sub test_stop
{
	my (%stopped, @late);

	sql("SELECT count(smsflow.set_sender(address, pool, rate => 5, burst => 1)) FROM smsflow.sender");
	send_all('stoppable', 'promotional', 1, 30);
	ok(wait_until('it goes on', sub { requests_of('stoppable') >= 10 }), 'messages are being sent by all');
	for my $number (reverse 1 .. 30)
	{
		sql("SELECT smsflow.opt_out('" . phone($number) . "', source => 'support')");
		$stopped{ phone($number) } = time();
	}
	ok(wait_settled(60), 'everybody opts out meanwhile');
	# The gateway knows when it read the first byte, which on a busy machine is later than when it came.
	@late = grep { $_->{at} > $stopped{ SmsflowGateway::fields_of($_->{body})->{to} } + 0.1 } requests_of('stoppable');
	is(scalar @late, 0, '... and gets nothing after that, from none of them');
	check_each_once('stoppable', 90);
	cmp_ok(sql("SELECT count(*) FROM smsflow.message WHERE body = 'stoppable' AND status = 'suppressed'"), '>', 0, '... what was not sent is suppressed');
	sql("SELECT count(smsflow.set_sender(address, pool, rate => 200, burst => 20)) FROM smsflow.sender");
}

# Worker 0 reads the reports of all.
sub test_overtaking_reports
{
	my @requests;

	$gateway->script({ match => 'overtaken', delay_ms => 1500 });
	send_all('overtaken', 'transactional', 31, 31);
	ok(wait_until('they are on the wire', sub { (@requests = requests_of('overtaken')) == 3 }), 'three gateways take their time');
	for my $request (@requests)
	{
		my ($path) = $request->{callback_url} =~ m{(/callback/.*)};
		my ($name) = $path =~ m{^/callback/(\w+)/};

		sql("SELECT smsflow.receive_callback('$name', 'POST', '$path', '', '{\"content-type\": \"application/json\"}', '{\"status\": \"delivered\"}')");
	}
	ok(wait_sql('the answers are there', "SELECT count(*) FROM smsflow.message WHERE body = 'overtaken' AND status = 'delivered' AND attempts = 1", 3), '... their reports overtake the answers');
	check_is_clean();
	$gateway->script;
}

# What a person finds to be unsent is due again: worker 0 applies that, and its own worker sends.
sub test_resolution
{
	$gateway->script({ match => 'doubtful', times => 3, action => 'close' });
	send_all('doubtful', 'promotional', 32, 32);
	ok(wait_sql('they are in doubt', "SELECT count(*) FROM smsflow.message WHERE body = 'doubtful' AND status = 'in_doubt'", 3), 'three messages in doubt');
	sql("SELECT count(smsflow.resolve_in_doubt(message_id, 'not_sent')) FROM smsflow.message WHERE body = 'doubtful'");
	ok(wait_sql('they are sent', "SELECT count(*) FROM smsflow.message WHERE body = 'doubtful' AND status = 'accepted'", 3), '... were not sent, and so they are again');
	check_is_clean();
}

sub pid_of { my ($worker) = @_; return sql("SELECT coalesce(max(pid), 0) FROM smsflow.stat_worker WHERE worker = $worker"); }

sub test_one_ends
{
	my $pid = pid_of(1);
	my ($others) = sql("SELECT string_agg(pid::text, ' ' ORDER BY worker) FROM smsflow.stat_worker WHERE worker <> 1");

	sql("SELECT pg_terminate_backend($pid)");
	ok(wait_until('it is gone', sub { pid_of(1) != $pid }), 'one worker ends');
	send_all('meanwhile', 'promotional', 33, 62);
	ok(wait_until('two thirds are sent', sub { requests_of('meanwhile') >= 60 }), '... the others go on');
	ok(wait_settled(60), '... and the one that comes back sends the rest');
	is(sql("SELECT string_agg(pid::text, ' ' ORDER BY worker) FROM smsflow.stat_worker WHERE worker <> 1"), $others, '... none of the others had to start anew');
	check_each_once('meanwhile', 90);
}

# kill -9 of one worker: the postmaster starts all anew.
sub test_kill
{
	$gateway->script({ match => '"struck', times => 6, action => 'hang' });
	send_all('struck', 'promotional', 63, 92);
	ok(wait_until('some are on the wire', sub { requests_of('struck') >= 12 }), 'kill -9 of one worker');
	my $pid = pid_of(2);
	kill('KILL', $pid);
	ok(wait_sql('another one is there', "SELECT coalesce(max(pid), 0) NOT IN (0, $pid) FROM smsflow.stat_worker WHERE worker = 2") && wait_for_worker('running'), '... all start again');
	ok(wait_settled(60), '... and everything comes to an end');
	check_each_once('struck', 90);
	cmp_ok(sql("SELECT count(*) FROM smsflow.in_doubt WHERE message_id IN (SELECT message_id FROM smsflow.message WHERE body = 'struck')"), '<=', 70, '... what was on the wire is in doubt, and no more');
	is(sql("SELECT count(*) FROM smsflow.message WHERE body = 'struck' AND status NOT IN ('accepted', 'in_doubt')"), 0, '... nothing is lost');
	check_is_clean();
}

# The server is struck down, and comes back with another number of workers.
sub test_other_number
{
	my ($text, $workers) = @_;

	$gateway->script({ match => "\"$text", times => 6, action => 'hang' });
	send_all($text, 'promotional', 63, 92);
	ok(wait_until('some are on the wire', sub { requests_of($text) >= 12 }), "the server comes back with $workers workers");
	$node->stop('immediate');
	$node->adjust_conf('postgresql.conf', 'smsflow.workers', $workers);
	$node->start;
	ok(wait_for_worker('running'), '... which run');
	is(sql('SELECT count(*) FROM smsflow.stat_worker'), $workers, '... as many as asked for');
	ok(wait_settled(60), '... and everything comes to an end');
	check_each_once($text, 90);
	is(sql("SELECT count(*) FROM smsflow.message WHERE body = '$text' AND status NOT IN ('accepted', 'in_doubt')"), 0, '... nothing is lost');
	is(sql("SELECT count(*) FROM (SELECT message_id FROM smsflow.attempt a JOIN smsflow.message m USING (message_id)
		WHERE m.body = '$text' AND a.outcome = 'in_doubt' GROUP BY 1 HAVING count(*) > 1) twice"), 0, '... and what is in doubt was found once');
	check_is_clean();
}

sub test_drop
{
	my $generation = sql('SELECT max(generation) FROM smsflow.stat_worker');

	ok(wait_until('it is dropped', sub { $node->psql('shop', 'DROP EXTENSION smsflow CASCADE', stderr => \my $problem) == 0 }), 'the extension is dropped');
	create_shop(1);
	add_route($_, $gateway) for @pools;
	send_all('anew', 'transactional', 1, 1);
	ok(wait_settled(60), '... and made anew');
	is(scalar(requests_of('anew')), 3, '... and all workers send for it');
}

test_shards();
test_shared_limits();
test_shared_caps();
test_stop();
test_overtaking_reports();
test_resolution();
test_one_ends();
test_kill();
test_other_number('fewer', 2);
test_other_number('alone', 1);
test_drop();
done_testing();
