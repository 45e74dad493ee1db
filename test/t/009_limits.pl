# Limits, measured at the gateway: over no window more than rate and burst allow, for a thousand senders at once and for
# what they share; nearly all of what is allowed is used; parts of a day survive kill -9; what gateways ask for by 429;
# a breaker that tries with one request.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(sum0);
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowGateway;
use SmsflowSink;
use SmsflowTest;
use SmsflowTraffic;
use Test::More;

use constant { SENDERS => 1000, CONTACTS => 9000, ENOUGH => 9000 };

my $sink = SmsflowSink->start;
my $gateway = SmsflowGateway->start;
my $node = start_server('limits', {}, 'restart_after_crash' => 'on');

create_shop(CONTACTS);

# Messages to the contacts who come next, over the queues of a pool in turn: of 1, 2, 3 ... $parts parts.
sql(q{
	CREATE SEQUENCE filled;
	CREATE FUNCTION fill(pool text, messages integer, parts integer DEFAULT 1, lane integer DEFAULT 4, purpose smsflow.purpose DEFAULT 'promotional')
	RETURNS void LANGUAGE sql AS $$
		WITH queues AS (SELECT smsflow.queues_for(lane::smallint, 'direct', pool) AS ids),
		added AS (INSERT INTO smsflow.outbox (expires_at, contact_id, recipient, queue_id, brand_id, purpose, parts, unicode, body, consent_event_id)
			SELECT now() + interval '1 hour', c.contact_id, c.phone, q.ids[1 + n.n % cardinality(q.ids)], 1, purpose, 1 + n.n / cardinality(q.ids) % parts,
				false, 'fill', smsflow.proof(c.proof, purpose)
			FROM queues q, (SELECT n, 1 + nextval('filled') % 9000 AS turn FROM generate_series(0, messages - 1) n OFFSET 0) n
			JOIN smsflow.contact c ON c.phone OPERATOR(smsflow.=) ('+1415555' || to_char(n.turn, 'FM0000'))::smsflow.phone),
		counted AS (INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value)
			SELECT date_trunc('hour', now(), 'UTC'), 1, 0, 0, 0, 0, purpose, m, CASE m WHEN 'parts' THEN (SELECT sum(1 + n / cardinality(q.ids) % parts)
				FROM queues q, generate_series(0, messages - 1) n) ELSE messages END FROM unnest(array['recipients', 'parts', 'queued']) m)
		SELECT smsflow.note_enqueued(ids) FROM queues
	$$});

# What left through a pool, as SmsflowTraffic has it.
sub traffic
{
	my ($pool) = @_;
	my $arrived = $sink->begin_instants;
	my @traffic;

	for my $row (split /\n/, sql("SELECT s.address, extract(epoch FROM a.started_at), o.recipient, o.parts
		FROM smsflow.attempt a JOIN smsflow.outbox o USING (message_id) JOIN smsflow.sender s USING (sender_id)
		WHERE s.pool LIKE '$pool' AND a.started_at IS NOT NULL ORDER BY a.started_at"))
	{
		my ($sender, $started, $to, $parts) = split /\|/, $row;
		my ($at) = grep { $_ > $started - 0.001 } map { $_ / 1e6 } @{ $arrived->{$to} // [] };

		die "a request to $to was never received" if !defined $at;

		push @traffic, [ $sender, $started, $at, $parts ];
	}
	return @traffic;
}

sub test_thousand_senders
{
	my (%rate, %burst, %shares, %of, @too_much);
	my ($used, $allowed) = (0, 0);

	write_secret('many', 'secret of many');
	sql("SELECT smsflow.add_gateway('many', 'generic_json', '" . $sink->url . "', '{\"rate\": 100000, \"burst\": 1000}');
		SELECT smsflow.add_registration('B1', 'brand', parts_per_minute => 3000, burst => 30);
		SELECT smsflow.add_registration('C1', 'campaign', parent => 'B1', parts_per_minute => 600, burst => 100);
		SELECT count(smsflow.add_sender('+1415' || (6000000 + n), 'many', rate => 0.1 + (n % 7) * 0.07, burst => 8 + n % 3,
			pool => CASE WHEN n % 20 = 0 THEN 'many-c1' WHEN n % 20 < 5 THEN 'many-b1' ELSE 'many' END,
			registration => CASE WHEN n % 20 = 0 THEN 'C1' WHEN n % 20 < 5 THEN 'B1' END)) FROM generate_series(1, @{[SENDERS]}) n");
	sql("BEGIN; SELECT fill('many', 7000, 3), fill('many-b1', 1500, 3), fill('many-c1', 500, 3); COMMIT");

	# Until each has had some turns; nobody has run out of messages then.
	ok(wait_sql('some seconds have passed', "SELECT count(*) >= 3000 FROM smsflow.attempt WHERE started_at IS NOT NULL", 't', 120),
		SENDERS . ' senders of different rates send at once');
	sql("SELECT smsflow.set_gateway('many', enabled => false)");
	ok(wait_sql('what was on the wire is answered', "SELECT in_flight = 0 AND backlog = 0 FROM smsflow.worker_state()"), '... until their gateway is switched off');

	for (split /\n/, sql("SELECT address, rate, burst, registration IS NOT NULL FROM smsflow.sender WHERE pool LIKE 'many%'"))
	{
		my ($address, @limit) = split /\|/;

		($rate{$address}, $burst{$address}, $shares{$address}) = @limit;
	}
	my @all = traffic('many%');
	push @{ $of{ $_->[0] } }, $_ for @all;
	cmp_ok(scalar(keys %of), '>=', SENDERS / 2, '... most of them have had their turn');
	for my $sender (keys %of)
	{
		my $window = fullest_window($rate{$sender}, @{ $of{$sender} });

		push @too_much, "$sender: $window" if $window > $burst{$sender} + SLACK;
	}
	is("@too_much", '', '... none of them more in any window than its rate and burst');

	# Those that share nothing, with work all the time
	for my $sender (grep { $shares{$_} eq 'f' } keys %of)
	{
		my ($parts, $most) = use_of($rate{$sender}, @{ $of{$sender} });

		$used += $parts;
		$allowed += $most;
	}
	note(sprintf 'used %.4f of what was allowed, %d parts', $used / $allowed, $used);
	cmp_ok($used / $allowed, '>=', 0.98, '... and together at least 98 % of it');

	my @campaign = traffic('many-c1');
	my @brand = traffic('many-_1');
	cmp_ok(fullest_window(10, @campaign), '<=', 100 + SLACK, 'a registration: no window has more than its parts a minute and its burst');
	my ($parts, $most) = use_of(10, @campaign);
	cmp_ok($parts, '>=', 0.5 * $most, '... and most of that is used, though the rates of its senders are little more');
	cmp_ok(fullest_window(50, @brand), '<=', 30 + SLACK, 'the brand above it: no window has more than it allows, over all of its senders');
}

sub test_paced_campaign
{
	write_secret('paced', 'secret of paced');
	sql("SELECT smsflow.add_gateway('paced', 'generic_json', '" . $sink->url . "');
		SELECT count(smsflow.add_sender('+141561000' || n, 'paced', rate => 500, burst => 50, pool => 'paced')) FROM generate_series(10, 13) n;
		SELECT smsflow.create_segment('some', 'contact_id % 90 = 7');
		SELECT smsflow.create_campaign('paced', 'some', 'Hello', options => '{\"pool\": \"paced\", \"parts_per_minute\": 900}');
		SELECT smsflow.launch_campaign('paced')");
	ok(wait_sql('the campaign is sent', "SELECT sent = planned AND planned > 90 FROM smsflow.progress_campaign WHERE campaign = 'paced'", 't', 60), 'a paced campaign');
	cmp_ok(fullest_window(15, traffic('paced')), '<=', 15 + SLACK, '... keeps its pace over all of its senders');
}

# Numbers of a route that get one message each.
sub requests_of { my ($name) = @_; return grep { $_->{path} =~ m{^/$name} } $gateway->requests; }

sub test_day
{
	my $zone = 'Pacific/Kiritimati';
	my $ends = sql("SELECT smsflow.day_ends('$zone', now())");

	add_route('daily', $gateway, rate => 40, burst => 5);
	sql("SELECT smsflow.set_sender((SELECT address FROM smsflow.sender WHERE pool = 'daily'), 'daily', daily_limit => 60, reset_zone => '$zone')");
	sql("SELECT fill('daily', 100)");
	ok(wait_until('some are sent', sub { requests_of('daily') >= 15 }), 'a limit of 60 parts a day');
	my $generation = sql('SELECT generation FROM smsflow.worker_state()');
	kill('KILL', worker_pid());
	ok(wait_sql('a new worker runs', "SELECT state = 'running' AND generation > $generation FROM smsflow.worker_state()", 't', 60), '... and kill -9 in between');
	ok(wait_sql('the day is used up', "SELECT (SELECT parts = 60 FROM smsflow.quota q JOIN smsflow.sender s ON s.sender_id = q.scope_id
			WHERE scope = 'sender' AND s.pool = 'daily' ORDER BY quota_id DESC LIMIT 1) AND backlog + in_flight = 0 FROM smsflow.worker_state()", 't', 60),
		'... the day is used up');
	my $sent = requests_of('daily');
	cmp_ok($sent, '<=', 60, '... and never exceeded');
	cmp_ok($sent, '>=', 40, '... nor is much of it lost by the crash');
	is(sql("SELECT count(*) FROM smsflow.timer t JOIN smsflow.queue q USING (queue_id) JOIN smsflow.sender s USING (sender_id)
			WHERE s.pool = 'daily' AND t.reason = 'daily_limit' AND t.due_at - '$ends' NOT BETWEEN interval '-1 second' AND interval '1 second'"), 0, '... what is held is due when the next day begins there');

	# Restarts in good order lose nothing.
	add_route('gently', $gateway, rate => 40, burst => 5);
	sql("SELECT smsflow.set_sender((SELECT address FROM smsflow.sender WHERE pool = 'gently'), 'gently', daily_limit => 60, reset_zone => '$zone')");
	sql("SELECT fill('gently', 100)");
	ok(wait_until('some are sent', sub { requests_of('gently') >= 15 }), 'the same with a restart');
	$node->restart;
	wait_for_worker('running');
	ok(wait_until('all but the kept parts are used', sub { requests_of('gently') >= 56 }), '... all but 4 of the 60 are used');
	my $id = send_sms('gently', 'one more', 'transactional');
	my $other = send_sms('daily', 'one more', 'transactional');
	add_route('unlimited', $gateway);
	wait_status(send_sms('unlimited', 'free', 'transactional'), 'accepted', '... other senders go on');
	is(scalar(requests_of('gently')), 56, '... and no more than those');
	like(sql("SELECT message FROM smsflow.health() WHERE component = 'gateways'"), qr/has used its 60 parts of the day but those kept/, '... as health() says');
	wait_status(send_sms('gently', 'code', $_), 'accepted', "... the others are for a message like this one: $_") for 'otp', 'compliance', 'otp', 'compliance';
	send_sms('gently', 'fifth', 'otp');
	wait_status(send_sms('unlimited', 'free', 'transactional'), 'accepted', '... when they are used up, all wait but other senders');
	is(scalar(requests_of('gently')), 60, '... and no more than 60 have left');
}

sub test_warm_up
{
	add_route('young', $gateway, rate => 100, burst => 50);
	sql("INSERT INTO smsflow.warm_up (curve, day, parts) VALUES ('test', 1, 5), ('test', 2, 12), ('test', 4, NULL);
		SELECT smsflow.warm_up_sender((SELECT address FROM smsflow.sender WHERE pool = 'young'), 'young', 'test', now() - interval '1 day');
		SELECT fill('young', 30)");
	ok(wait_until('the second day of the curve is used', sub { requests_of('young') >= 11 }), 'a new number follows its curve');
	wait_status(send_sms('unlimited', 'meanwhile', 'transactional'), 'accepted', '... others go on');
	is(scalar(requests_of('young')), 11, '... and sends no more than its second day allows, less what is kept for codes');
	sql("SELECT smsflow.warm_up_sender((SELECT address FROM smsflow.sender WHERE pool = 'young'), 'young', 'test', now() - interval '3 days')");
	ok(wait_until('it may send all', sub { requests_of('young') >= 28 }), '... until the curve is over');
}

# Pauses in seconds, by what a 429 says.
sub test_retry_after
{
	my $n = 0;

	for my $case ([ '300', 300 ], [ POSIX::strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time() + 200)), 200 ], [ '-5', 5 ], [ '1000000000000', 3600 ], [ '99999999999999999999', 5 ],
		[ 'soon', 5 ], [ '0', 5 ])
	{
		my ($said, $pause) = @$case;
		my $pool = 'busy' . ++$n;

		add_route($pool, $gateway);
		$gateway->script({ path => "^/$pool", status => 429, headers => { 'Retry-After' => $said } });
		my $id = send_sms($pool, 'slow down', 'promotional');
		ok(wait_sql('it is held', "SELECT status = 'held' FROM smsflow.message WHERE message_id = $id"), "429, Retry-After: $said");
		my $later = send_sms($pool, 'me, too', 'promotional');
		is(sql("SELECT round(extract(epoch FROM t.due_at - a.finished_at)) BETWEEN $pause * 0.85 AND $pause FROM smsflow.timer t JOIN smsflow.attempt a USING (message_id)
			WHERE message_id = $id"), 't', "... pauses its sender for $pause s");
		wait_status(send_sms('unlimited', 'free', 'transactional'), 'accepted', '... and no other');
		is($gateway->count_for($later), 0, '... which sends nothing else meanwhile') if $pause > 5;
		sql("SELECT smsflow.set_gateway('$pool', enabled => false)") if $n > 1;
	}
	$gateway->script();
}

# How often nothing came for a while; no pause of a breaker is shorter.
sub pauses
{
	my @requests = @_;

	return scalar(grep { $requests[$_]{at} - $requests[ $_ - 1 ]{at} >= 0.3 } 1 .. $#requests);
}

# A gateway that answers 500 to everything: few messages are spent on it, and one at a time tries whether it is well again.
sub test_breaker
{
	my (@requests, %answered, $bad);

	add_route('ill', $gateway, gateway => '{"max_in_flight": 8}');
	$gateway->script({ path => '^/ill', status => 500 });
	sql("SELECT fill('ill', 300)");
	ok(wait_until('it has been tried again', sub { pauses(requests_of('ill')) >= 3 }, 90), 'a gateway that fails is tried again and again');
	cmp_ok(scalar(requests_of('ill')), '<', 40, '... gets few messages');
	$gateway->script();
	ok(wait_until('all others are sent', sub { requests_of('ill') >= 300 }, 120), '... and all others when it is well');

	for my $line ($gateway->log)
	{
		$answered{ $line->{answer_to} } = $line if defined $line->{answer_to};
	}
	@requests = requests_of('ill');
	$bad = grep { $answered{ $_->{n} }{status} == 500 } @requests;

	# At most six are on the wire at once, and four more can follow before the fifth failure is known.
	my @gaps = map { $requests[$_]{at} - $requests[ $_ - 1 ]{at} } grep { $answered{ $requests[$_]{n} }{status} == 500 } 10 .. $#requests;
	is(scalar(grep { $_ < 0.3 } @gaps), 0, '... then one request at a time tries, after a pause');
	my ($first, $second) = grep { $answered{ $_->{n} }{status} == 200 } @requests;
	cmp_ok($second->{at}, '>', $answered{ $first->{n} }{at}, '... the first that succeeds is alone, too');
	is(sql("SELECT count(*) FROM smsflow.attempt a JOIN smsflow.sender s USING (sender_id) WHERE s.pool = 'ill' AND a.outcome = 'in_doubt'"), $bad,
		'... and what it answered 500 to is in doubt');
}

# A refusal of our credentials costs no more than what was on the wire.
sub test_refused
{
	add_route('locked', $gateway, gateway => '{"max_in_flight": 4}');
	$gateway->script({ path => '^/locked', status => 403 });
	sql("SELECT fill('locked', 200)");
	ok(wait_until('it was tried', sub { requests_of('locked') >= 1 }), 'a gateway that refuses us');
	wait_status(send_sms('unlimited', 'free', 'transactional'), 'accepted', '... stops no other');
	cmp_ok(scalar(requests_of('locked')), '<=', 4, '... and no message is wasted');
	$gateway->script();
	sql("SELECT smsflow.set_gateway('locked', options => '{\"note\": \"mended\"}')");
	ok(wait_until('all are sent', sub { keys %{ { map { $_->{message_id} => 1 } requests_of('locked') } } >= 200 }), '... and when it is mended all are sent');
}

# What an operator sees: the state of every route, and in words each one that does not work.
sub test_views
{
	for my $name ('gone-a', 'gone-b')
	{
		add_route($name, $gateway, url => 'http://127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port());
		send_sms($name, 'nobody there', 'transactional');
	}
	ok(wait_sql('both are seen', "SELECT NOT ok AND message LIKE '%gateway \"gone-a\" does not work%gateway \"gone-b\" does not work%' AND hint IS NOT NULL
		FROM smsflow.health() WHERE component = 'gateways'"), 'health() names every gateway that does not work');
	is(sql("SELECT count(*) FROM smsflow.stat_gateway WHERE gateway LIKE 'gone-_' AND failures > 0 AND http_codes ? 'none' AND NOT http_codes ? '200'"), 2, '... and so does stat_gateway');
	is(sql("SELECT (http_codes ->> '200')::integer > 0 AND latency_p50 > 0 AND latency_p50 <= latency_p95 AND latency_p95 <= latency_p99 AND breaker = 'closed'
		FROM smsflow.stat_gateway WHERE gateway = 'unlimited'"), 't', 'a gateway that works: answers and latencies');
	is(sql("SELECT used_today >= 60 AND daily_limit = 60 AND day_ends > now() FROM smsflow.stat_sender WHERE pool = 'gently'"), 't', 'a sender whose day is used up');
	like(sql("SELECT message FROM smsflow.health() WHERE component = 'gateways'"), qr/has used its 60 parts of the day/, '... health() says so, too');
	is(sql("SELECT breaker = 'open' AND paused_for = 'throttled' AND paused_until > now() FROM smsflow.stat_sender WHERE pool = 'busy1'"), 't', 'a sender that was asked to wait');
	is(sql("SELECT loop_p50 > 0 AND loop_p50 <= loop_p99 AND gaps >= 0 FROM smsflow.stat_worker"), 't', 'the worker shows how long its turns take');
}

test_thousand_senders();
test_paced_campaign();
test_day();
test_warm_up();
test_retry_after();
test_breaker();
test_refused();
test_views();
sql("SELECT smsflow.set_gateway(name, enabled => false) FROM smsflow.gateway");
check_is_clean();
done_testing();
