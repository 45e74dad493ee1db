# Waiting ends in time: opt_out_and_wait() when nothing is on its way any more, and a cart reminder that quiet hours put
# off before the cart is 48 hours old, or it is not sent.

use strict;
use warnings;

use IPC::Run qw(start finish);
use SmsflowGateway;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;
my $carts = 60;

start_server('waiting', {});
create_shop($carts);
add_route('main', $gateway);

sub opt_out_and_wait { my ($of, $timeout) = @_; return sql("CALL smsflow.opt_out_and_wait('$of', timeout => '$timeout')"); }

sub requests_of { my ($text) = @_; return scalar grep { ($_->{text} // '') =~ /^\Q$text\E / } $gateway->requests; }

# Several that the gateway is slow to answer, of which the first is on the wire.
sub send_slowly
{
	my ($to, $text) = @_;

	sql("SELECT smsflow.send('$to', '$text ' || n, 'promotional', pool => 'main') FROM generate_series(1, 5) n");
	ok(wait_until('one is on the wire', sub { requests_of($text) > 0 }), "$text: one is on the wire");
}

sub test_opt_out_waits
{
	my $requests;

	$gateway->script({ match => 'slow offer', delay_ms => 1500 }, { match => 'slower offer', delay_ms => 5000 });
	send_slowly(phone(1), 'slow offer');
	is(opt_out_and_wait(phone(1), '30 seconds'), 't', 'an opt-out that waits says that nothing is on its way');
	$requests = requests_of('slow offer');
	is(sql("SELECT string_agg(DISTINCT status::text, ' ' ORDER BY status::text) FROM smsflow.message WHERE body LIKE 'slow offer %' AND status <> 'suppressed'"), 'accepted',
		'... when each message is answered or stopped');
	is(sql("SELECT count(*) FROM smsflow.message WHERE body LIKE 'slow offer %' AND status = 'accepted'"), $requests, '... and each request has its answer');

	send_slowly(phone(2), 'slower offer');
	is(opt_out_and_wait(phone(2), '100 ms'), 'f', 'one that waits for less says that something is');
	is(sql("SELECT smsflow.wait_for_opt_out('" . phone(2) . "')"), 't', '... until it is answered');
	is(sql("SELECT count(*) FROM smsflow.message WHERE body LIKE 'slower offer %' AND status = 'accepted'"), requests_of('slower offer'), '... too');
	is(requests_of('slow offer'), $requests, 'and nothing has left since the first came back');
}

sub opt_out_in_background
{
	my ($of, $output) = @_;

	return start([ 'psql', '-XAtq', '-d', $SmsflowTest::node->connstr('shop'), '-c', "SELECT smsflow.opt_out('$of', wait => true)" ], '<', \undef, '>&', $output);
}

sub pid_waiting { return sql("SELECT pid FROM pg_stat_activity WHERE query LIKE '%wait => true%' AND wait_event = 'Extension' AND pid <> pg_backend_pid()"); }

# The same by a function: its COMMIT comes back when nothing is on its way. Who is cancelled meanwhile has opted out all the same.
sub test_commit_waits
{
	my ($output, $requests, $session);

	$gateway->script({ match => 'late offer', delay_ms => 1500 }, { match => 'latest offer', delay_ms => 15000 });
	send_slowly(phone(3), 'late offer');
	is(sql("SELECT smsflow.opt_out('" . phone(3) . "', wait => true)"), 't', 'a COMMIT that waits');
	$requests = requests_of('late offer');
	is(sql("SELECT count(*) FROM smsflow.message WHERE body LIKE 'late offer %' AND status = 'accepted'"), $requests, '... comes back when each request has its answer');
	is(sql("SELECT count(*) FROM smsflow.message WHERE body LIKE 'late offer %' AND status = 'sending'"), 0, '... and nothing is in hand');

	send_slowly(phone(4), 'latest offer');
	$session = opt_out_in_background(phone(4), \$output);
	ok(wait_until('it waits', sub { pid_waiting() }), 'one waits for an answer that takes long');
	is(sql("SELECT count(*) FROM smsflow.consent_event e JOIN smsflow.contact c USING (contact_id) WHERE c.phone::text = '" . phone(4) . "' AND kind = 'revoke'"), 1,
		'... when it is committed');
	quickly(3, '... and keeps nobody waiting', sub { sql("SELECT smsflow.subscribe('" . phone(4) . "', '{transactional}')") });
	sql('SELECT pg_cancel_backend(' . pid_waiting() . ')');
	ok(finish($session), '... a cancel ends the wait');
	like($output, qr/WARNING:  a message may still be on its way.*^t$/ms, '... with a warning, not the opt-out');
	is(requests_of('late offer'), $requests, 'and nothing has left since the first came back');
}

# One window of an hour a day, which opens and closes half an hour from now somewhere: people all around the world, and
# carts of every age.
sub test_carts
{
	sql("INSERT INTO smsflow.policy_rule (jurisdiction, purpose, kind, value)
			SELECT 'US', 'cart', 'window', 'Mon-Sun 10:' || m || '-11:' || m FROM to_char(now() + interval '30 minutes', 'MI') m;
		SELECT smsflow.resume_rule('window');
		SELECT smsflow.create_sequence('late carts', 'cart', '{\"pool\": \"main\"}');
		SELECT smsflow.add_step('late carts', '0', 'Your cart is waiting. Reply STOP to end');
		SELECT smsflow.enable_sequence('late carts');
		SELECT smsflow.subscribe('+1415555' || to_char(n, 'FM0000'), '{cart}', level => 'confirmed', disclosure => 'Shopping cart reminders by text',
			attributes => jsonb_build_object('time_zone', 'Etc/GMT' || CASE WHEN n % 24 < 11 THEN '' ELSE '+' END || n % 24 - 11)) FROM generate_series(5, $carts) n;
		SELECT smsflow.record_event('+1415555' || to_char(n, 'FM0000'), 'cart', 'cart ' || n, at => now() - n * interval '47 minutes') FROM generate_series(5, $carts) n");
	sql(q{CREATE VIEW late AS
		SELECT m.status::text, m.reason, m.due_at, e.occurred_at + interval '48 hours' AS deadline, o.opens AT TIME ZONE c.time_zone AS opens, o.opens <= o.here AS is_open
		FROM smsflow.message m JOIN smsflow.contact c USING (contact_id) JOIN smsflow.event e ON e.contact_id = m.contact_id AND e.kind = 'cart'
		CROSS JOIN LATERAL (SELECT h.here, h.minute + CASE WHEN h.here >= h.minute + interval '1 hour' THEN interval '1 day' ELSE '0' END AS opens
			FROM (SELECT now() AT TIME ZONE c.time_zone AS here, date_trunc('day', now() AT TIME ZONE c.time_zone)
				+ (SELECT split_part(substr(value, 9), '-', 1)::interval FROM smsflow.policy_rule WHERE kind = 'window' AND NOT builtin) AS minute) h) o
		WHERE m.sequence = 'late carts'});
	ok(wait_sql('each is decided', "SELECT count(*) FROM late WHERE status IN ('accepted', 'held', 'expired')", $carts - 4, 60), 'each cart is decided');
	is(sql("SELECT count(*) FROM late WHERE status <> CASE WHEN is_open THEN 'accepted' WHEN opens < deadline THEN 'held' ELSE 'expired' END"), 0,
		'one waits for the hour at which it may be sent, or expires when the cart is 48 hours old before');
	is(sql("SELECT count(*) FROM late WHERE status = 'held' AND (due_at <> opens OR due_at >= deadline)"), 0, '... and not a minute longer');
	is(sql("SELECT min(count) > 5 FROM (SELECT count(*) FROM late WHERE status <> 'accepted' GROUP BY status) s"), 't', '... and there were many of both');
}

test_opt_out_waits();
test_commit_waits();
test_carts();
check_is_clean();
$gateway->stop;
$SmsflowTest::node->stop;
done_testing();
