# What becomes of a message, for each way in which a gateway can answer or fail to: the gateway's log says what was on
# the wire, the view smsflow.message what the store is told.

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
my @once;			# messages in doubt that must never be sent a second time

# 16 places are one multi handle of libcurl, so that a connection is surely used again.
my $node = start_server('delivery', {}, 'smsflow.max_in_flight' => 16);

create_shop(50);
add_route('main', $gateway);
sql(q{INSERT INTO smsflow.gateway_profile
	SELECT (jsonb_populate_record(p, '{"profile": "forgetful", "in_doubt": "hold", "builtin": false}')).*
	FROM smsflow.gateway_profile p WHERE profile = 'generic_json'});
add_route('forgetful', $gateway, profile => 'forgetful', gateway => '{"timeout": 1}');

sub column { my ($name, $id) = @_; return sql("SELECT $name FROM smsflow.message WHERE message_id = $id"); }

# A promotional message that meets this rule is in doubt, and was on the wire once.
sub in_doubt_by
{
	my ($what, $pool, %rule) = @_;
	my $id;

	$gateway->script({ match => "\\b$what\\b", %rule });
	$id = send_sms($pool, "doubt by $what", 'promotional');
	wait_status($id, 'in_doubt', "$what: in doubt");
	is(sql("SELECT wire || ' ' || outcome FROM smsflow.attempt WHERE message_id = $id"), 'maybe in_doubt', '... as it may have been sent');
	is(sql("SELECT count(*) FROM smsflow.timer WHERE message_id = $id"), 0, '... and nothing is planned for it');
	push @once, $id;
	return $id;
}

sub test_answers
{
	my $id = send_sms('main', "Hello {{first_name|you}} \xc2\xa3", 'transactional');

	wait_status($id, 'accepted', '200: accepted');
	is(column('provider_id', $id), 'gw-1', "... with the provider's id");
	is(column('attempts', $id), 1, '... at the first attempt');
	is(join('|', map { $_->{text} } $gateway->requests), "Hello you \x{a3}", '... and the gateway got the text');

	$gateway->script({ match => 'bad', status => 400, body => { error => { code => 'invalid_number' } } });
	$id = send_sms('main', 'bad', 'transactional');
	wait_status($id, 'rejected', '400: rejected');
	is(column("error_class || ' ' || error_code", $id), 'undeliverable invalid_number', '... with class and code of the gateway');
	is($gateway->count_for($id), 1, '... and not tried again');

	$gateway->script({ match => 'long', body_size => 1_000_000 });
	$id = send_sms('main', 'long answer', 'promotional');
	wait_status($id, 'accepted', 'an answer of 1 MB: accepted');
	is($gateway->count_for($id), 1, '... once');

	$gateway->script({ match => 'drip', action => 'drip', every_ms => 4 });
	$id = send_sms('main', 'drip', 'promotional');
	wait_status($id, 'accepted', 'an answer byte by byte: accepted');
	like(column('provider_id', $id), qr/^gw-\d+$/, "... with the provider's id");
}

# A gateway may answer with anything; what is kept of it is valid text of a bounded length.
sub test_odd_answers
{
	for my $case (
		[ 'a code of 200 bytes', 'rejected', status => 400, body => { error => { code => 'x' . "\x{e9}" x 100 } } ],
		[ 'an id of 300 bytes', 'accepted', body => { id => 'x' . "\x{20ac}" x 100 } ],
		[ 'deep JSON', 'accepted', body => '[' x 50_000 ],
		[ 'a zero byte', 'accepted', body => '{"id": "a\u0000b"}' ],
		[ 'bytes that are no text', 'rejected', status => 422, body_hex => '8180ff' ],
		[ 'a status out of range', 'in_doubt', status => 799 ])
	{
		my ($what, $status, %rule) = @$case;
		my $id;

		$gateway->script({ match => 'odd', %rule });
		$id = send_sms('main', 'odd', 'promotional');
		wait_status($id, $status, "$what: $status");
		is(sql("SELECT count(*) FROM smsflow.attempt WHERE message_id = $id AND code IS NOT DISTINCT FROM
				convert_from(convert_to(code, 'UTF8'), 'UTF8') AND length(concat(code, provider_id)) < 128"), 1, '... and valid text is kept');
	}
	$gateway->script({ match => 'elsewhere', status => 302, headers => { Location => 'http://127.0.0.1:1/' } });
	add_route('moved', $gateway);
	my $id = send_sms('moved', 'elsewhere', 'promotional');
	wait_status($id, 'held', 'a redirection is not followed: held');
	is($gateway->count_for($id), 1, '... as it was not sent');
	sql("SELECT smsflow.cancel($id)");
}

# The answer of a request that is on the wire counts, whatever becomes of the gateway meanwhile.
sub test_disabled_meanwhile
{
	my $id;

	add_route('leaving', $gateway);
	$gateway->script({ match => 'last one', delay_ms => 700 });
	$id = send_sms('leaving', 'last one', 'promotional');
	ok(wait_until('it is on the wire', sub { $gateway->count_for($id) == 1 }), 'a slow answer');
	sql("SELECT smsflow.set_gateway('leaving', enabled => false)");
	wait_status($id, 'accepted', '... counts when the gateway was disabled before it came');
	like(column('provider_id', $id), qr/^gw-\d+$/, "... with the provider's id");
}

sub test_throttled
{
	my ($id, @requests);

	$gateway->script({ match => 'slow down', times => 1, status => 429, headers => { 'Retry-After' => 1 } });
	$id = send_sms('main', 'slow down', 'promotional');
	wait_status($id, 'accepted', '429: accepted in the end');
	@requests = @{ $gateway->by_message->{$id} };
	is(scalar @requests, 2, '... by the second request');
	cmp_ok($requests[1]{at} - $requests[0]{at}, '>=', 0.95, '... not before Retry-After');
	cmp_ok($requests[1]{at} - $requests[0]{at}, '<', 4, '... and soon after it');
}

sub test_wrong_secret
{
	my $address = add_route('guarded', $gateway, secret => 'wrong');
	my ($id, $other, $later);

	$gateway->script({ path => '^/guarded', status => 401 });
	$id = send_sms('guarded', 'let me in', 'transactional');
	ok(wait_sql('the first try is over', "SELECT attempts = 1 FROM smsflow.message WHERE message_id = $id"), 'a wrong secret, 401');
	is(column("status || ' ' || reason", $id), 'held configuration', '... holds the message');
	$later = send_sms('guarded', 'me, too', 'transactional');
	$other = send_sms('main', 'not concerned', 'transactional');
	wait_status($other, 'accepted', '... and stops no other gateway');
	is($gateway->count_for($later), 0, '... but does stop its sender');

	$gateway->script();
	write_secret('guarded', 'right');
	$node->reload;
	wait_status($id, 'accepted', 'with the right secret and a reload it goes on');
	wait_status($later, 'accepted', '... and so does what came later');
	is($gateway->by_message->{$id}[-1]{headers}{authorization},
		'Bearer right', '... with the new secret');
}

sub test_doubt
{
	my ($id, @requests);

	in_doubt_by('unavailable', 'main', status => 503);
	in_doubt_by('broken', 'main', status => 500);
	in_doubt_by('silence', 'forgetful', action => 'hang');
	in_doubt_by('half', 'main', action => 'close_mid_body');
	in_doubt_by('reset', 'main', action => 'reset');
	in_doubt_by('garbage', 'main', action => 'garbage');

	$gateway->script({ match => 'again', times => 1, status => 500 });
	$id = send_sms('main', 'again', 'transactional');
	wait_status($id, 'accepted', 'transactional, where the gateway removes repeats: sent again');
	@requests = @{ $gateway->by_message->{$id} };
	is(scalar @requests, 2, '... once');
	is($requests[0]{headers}{'idempotency-key'}, $requests[1]{headers}{'idempotency-key'}, '... under the same key');

	$gateway->script({ match => 'later', status => 500 });
	$id = send_sms('forgetful', 'later', 'transactional');
	wait_status($id, 'in_doubt', 'transactional, where it does not: in doubt');
	is(sql("SELECT due_at BETWEEN now() + '100 s' AND now() + '120 s' FROM smsflow.timer WHERE message_id = $id"), 't',
		'... and due again when no report comes');
	return $id;
}

# Time is made to pass by moving the timer, which a new worker reads.
sub test_doubt_later
{
	my ($id) = @_;
	my $pid = worker_pid();

	$gateway->script({ match => 'later', status => 500 });
	sql("UPDATE smsflow.timer SET due_at = now() WHERE message_id = $id; SELECT pg_terminate_backend($pid)");
	ok(wait_sql('the second try is over', "SELECT attempts = 2 FROM smsflow.message WHERE message_id = $id"),
		'transactional in doubt is sent once more');
	is(column('status', $id), 'in_doubt', '... and is in doubt again');
	is(sql("SELECT count(*) FROM smsflow.timer WHERE message_id = $id"), 1, '... without a third try');
	push @once, $id;
}

# libcurl would send a POST again when a kept-alive connection turns out to be dead.
sub test_no_silent_replay
{
	my $first = send_sms('main', 'first', 'promotional');
	my ($second, $before, $after);

	wait_status($first, 'accepted', 'a connection is open');
	$second = in_doubt_by('closed', 'main', action => 'close');
	($before, $after) = map { $_->[0]{connection} } @{ $gateway->by_message }{ $first, $second };
	is($after, $before, '... the next message uses it');
}

sub test_refused_connection
{
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my ($id, $late);

	add_route('down', undef, url => "http://127.0.0.1:$port");
	$id = send_sms('down', 'anyone there?', 'promotional');
	ok(wait_sql('a try has failed', "SELECT attempts >= 1 FROM smsflow.message WHERE message_id = $id"), 'connection refused');
	is(column('status', $id), 'queued', '... will be tried again');
	$late = SmsflowGateway->start(port => $port);
	wait_status($id, 'accepted', 'it is sent when the gateway is there');
	is($late->count_for($id), 1, '... once');
}

sub test_expiry
{
	my $id;

	sql("SELECT smsflow.set_gateway('forgetful', enabled => false)");
	$id = send_sms('forgetful', 'sale ends', 'promotional', expires_in => q{'300 ms'});
	ok(wait_sql('it expires', "SELECT expires_at < now() FROM smsflow.message WHERE message_id = $id"), 'a gateway is off too long');
	sql("SELECT smsflow.set_gateway('forgetful', enabled => true)");
	wait_status($id, 'expired', 'a late message expires');
	is($gateway->count_for($id), 0, '... and is never sent');
}

sub test_send_at
{
	my $id = send_sms('main', 'on time', 'transactional', send_at => q{now() + '1.5 s'});
	my $other = send_sms('main', 'never', 'transactional', send_at => q{now() + '1 hour'});
	my $due = sql("SELECT extract(epoch FROM due_at) FROM smsflow.message WHERE message_id = $id");

	is(status_of($id), 'scheduled', 'a message for later is scheduled');
	is(sql("SELECT smsflow.cancel($other)"), 't', 'one can be cancelled before it is due');
	wait_status($other, 'cancelled', '... and says so');
	wait_status($id, 'accepted', 'the other is sent');
	cmp_ok($gateway->by_message->{$id}[0]{at}, '>=', $due, '... not before it is due');
	cmp_ok($gateway->by_message->{$id}[0]{at}, '<', $due + 1, '... and not much later');
}

# A sender of one message a second: the second one is taken by the worker and waits for its turn.
sub test_stopped_in_the_worker
{
	my ($first, $cancelled, $opted_out, $last);

	add_route('snail', $gateway, rate => 1, burst => 1);
	$first = send_sms('snail', 'first', 'promotional', to => phone(10));
	wait_status($first, 'accepted', 'a slow sender sends one');
	($cancelled, $opted_out, $last) = split(/\n/, sql(join(';', map {
		"SELECT smsflow.send('" . phone($_) . "', 'next', 'promotional', pool => 'snail')" } 11, 12, 13)));
	wait_status($cancelled, 'sending', 'the next is in the hands of the worker');
	sql("SELECT smsflow.cancel($cancelled); SELECT smsflow.opt_out('" . phone(12) . "')");
	wait_status($last, 'accepted', 'the one behind them is sent');
	wait_status($cancelled, 'cancelled', '... the cancelled one is not');
	wait_status($opted_out, 'suppressed', '... and neither is that of who opted out');
	is($gateway->count_for($cancelled) + $gateway->count_for($opted_out), 0, '... as the gateway confirms');
}

sub test_lanes
{
	my ($otp, @requests, $position, $stopped_at, @late);

	add_route('mixed', $gateway, rate => 25, burst => 1);
	sql("SELECT count(smsflow.send('" . phone(20) . "', 'offer ' || n, 'promotional', pool => 'mixed')) FROM generate_series(1, 500) n");
	ok(wait_until('some are sent', sub { grep({ ($_->{text} // '') =~ /^offer/ } $gateway->requests) >= 5 }), 'a campaign is under way');
	$otp = send_sms('mixed', 'Your code is 123456', 'otp', to => phone(21));
	wait_status($otp, 'accepted', 'a code is sent');
	@requests = grep { ($_->{text} // '') =~ /^offer|code/ } $gateway->requests;
	($position) = grep { $requests[$_]{message_id} == $otp } 0 .. $#requests;
	cmp_ok($position, '<', 60, '... before nearly all of the 500 others');

	$stopped_at = sql("SELECT smsflow.opt_out('" . phone(20) . "');") && sql('SELECT extract(epoch FROM clock_timestamp())');
	ok(wait_settled(), 'after an opt-out');
	@late = grep { ($_->{text} // '') =~ /^offer/ && $_->{at} > $stopped_at } $gateway->requests;
	is(scalar @late, 0, '... nothing promotional is sent any more');
	cmp_ok(sql("SELECT count(*) FROM smsflow.message WHERE status = 'suppressed' AND body LIKE 'offer%'"), '>', 400,
		'... and what was waiting is suppressed');
}

sub test_rate
{
	my ($rate, $burst, $count) = (60, 10, 150);
	my ($worst, @at) = (0);

	add_route('metered', $gateway, rate => $rate, burst => $burst);
	sql("SELECT count(smsflow.send('+1415555' || to_char(30 + n % 5, 'FM0000'), 'metered', 'promotional', pool => 'metered'))
		FROM generate_series(1, $count) n");
	ok(wait_settled(), "$count messages at $rate a second");
	@at = map { $_->{at} } grep { $_->{path} =~ m{^/metered} } $gateway->requests;
	is(scalar @at, $count, '... are sent once each');
	for my $first (0 .. $#at)
	{
		for my $last ($first .. $#at)
		{
			my $above = $last - $first + 1 - $burst - $rate * ($at[$last] - $at[$first]);

			$worst = $above if $above > $worst;
		}
	}
	# Requests may be a tenth of a second on their way on a busy machine, so that they arrive closer than they left.
	cmp_ok($worst, '<=', 1 + $rate / 10, '... in no period more than rate and burst allow');
	cmp_ok($at[-1] - $at[0], '<', 2 * $count / $rate, '... and not much slower than that');
}

# What cannot be sent at all must not hold up what comes behind it.
sub test_poison
{
	my ($bad, $good);

	sql(q{INSERT INTO smsflow.gateway_profile
		SELECT (jsonb_populate_record(p, '{"profile": "headers", "builtin": false, "headers": {"X-Text": "{{body}}"}}')).*
		FROM smsflow.gateway_profile p WHERE profile = 'generic_json'});
	add_route('headers', $gateway, profile => 'headers');
	$bad = send_sms('headers', "two\r\nX-Evil: lines", 'transactional');
	$good = send_sms('headers', 'one line', 'transactional');
	wait_status($good, 'accepted', 'a message behind one that cannot be a header is sent');
	is(column("status || ' ' || reason", $bad), 'rejected unsafe_header', '... that one is set aside');
	is($gateway->count_for($bad), 0, '... unsent');

	# A secret of two lines would make every message such a one.
	add_route('secretive', $gateway, secret => "one\ntwo");
	$bad = send_sms('secretive', 'waits for a person', 'transactional');
	wait_sql('a number whose secret no header can have is paused', "SELECT paused_for = 'secret_missing' FROM smsflow.stat_sender WHERE pool = 'secretive'");
	like(sql("SELECT message FROM smsflow.health() WHERE component = 'gateways'"), qr/secretive.*more than one line/, '... and health() says why');
	write_secret('secretive', "one\n\n");
	sql("SELECT smsflow.set_gateway('secretive', enabled => true)");
	wait_status($bad, 'accepted', 'its message is sent as soon as that is mended');

	sql(q{INSERT INTO smsflow.gateway_profile
		SELECT (jsonb_populate_record(p, '{"profile": "regional", "builtin": false, "query": "region={{sender_option.region}}"}')).*
		FROM smsflow.gateway_profile p WHERE profile = 'generic_json'});
	my $address = add_route('regional', $gateway, profile => 'regional');
	$bad = send_sms('regional', 'no region', 'transactional');
	wait_status($bad, 'rejected', 'a message without what the profile needs is set aside');
	is(column('reason', $bad), 'profile_variable_missing', '... with the reason');
	sql("SELECT smsflow.set_sender('$address', 'regional', options => '{\"region\": \"eu\"}')");
	$good = send_sms('regional', 'region', 'transactional');
	wait_status($good, 'accepted', '... and the next one, with it, is sent');
}

# A message exists if and only if its transaction committed.
sub test_transactions
{
	my ($kept, $again, $sentinel, $by_message);

	$kept = send_sms('main', 'order 1', 'transactional', dedup_key => q{'order 1'});
	$again = send_sms('main', 'order 1', 'transactional', dedup_key => q{'order 1'});
	is($again, $kept, 'a second call with the same dedup_key gives the same message');
	sql("BEGIN; SELECT smsflow.send('" . phone(1) . "', 'rolled back', pool => 'main'); ROLLBACK");
	sql("BEGIN; SELECT smsflow.send('" . phone(1) . "', 'kept 1', pool => 'main'); SAVEPOINT s;
		SELECT smsflow.send('" . phone(1) . "', 'undone', pool => 'main'); ROLLBACK TO s;
		SELECT smsflow.send('" . phone(1) . "', 'kept 2', pool => 'main'); COMMIT");
	$sentinel = send_sms('main', 'kept 3', 'transactional');
	wait_status($sentinel, 'accepted', 'a message after transactions that were undone is sent');
	ok(wait_settled(), '... and all others');
	is(join(', ', grep { /^(order|rolled|kept|undone)/ } sort map { $_->{text} // '' } $gateway->requests), 'kept 1, kept 2, kept 3, order 1',
		'... which are those that were committed, once each');
	is(sql("SELECT count(*) FROM smsflow.message WHERE body IN ('rolled back', 'undone')"), 0, '... and no others exist');
}

my $in_doubt;

test_answers();
test_odd_answers();
test_disabled_meanwhile();
test_throttled();
$in_doubt = test_doubt();
test_no_silent_replay();
test_refused_connection();
test_expiry();
test_send_at();
test_stopped_in_the_worker();
test_lanes();
test_rate();
test_poison();
test_transactions();
test_wrong_secret();
test_doubt_later($in_doubt);

is(join(' ', grep { $gateway->count_for($_) != 1 && $_ != $in_doubt } @once), '', 'nothing promotional in doubt was sent again');
is($gateway->count_for($in_doubt), 2, 'what is transactional was, once');
check_is_clean();
$node->stop;
done_testing();
