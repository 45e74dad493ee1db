# Sequences against the gateway's log: an order that is committed after the worker has claimed the reminder, but before its
# request begins, is not followed by it; a worker that is killed between two steps loses nobody and repeats nothing; and a
# checkout is committed whatever is broken in smsflow, which health() then tells.
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

use constant PEOPLE => 30;

my $gateway = SmsflowGateway->start;
my $node = start_server('sequences', { install_path => $ENV{SMSFLOW_FAULTS} },
	'restart_after_crash' => 'on', 'smsflow.sweep_interval' => '300ms');

create_shop(PEOPLE);
# One request at a time, so that what is claimed has to wait for the one before it.
add_route('narrow', $gateway, rate => 1000, burst => 50, gateway => '{"max_in_flight": 1}');
add_route('wide', $gateway, rate => 1000, burst => 50);
sql(q{
	CREATE TABLE cart (cart_id integer PRIMARY KEY, phone text, total numeric);
	CREATE TABLE orders (order_id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY, phone text, total numeric);
	SELECT count(*) FROM smsflow.watch_carts('cart');
	SELECT count(*) FROM smsflow.watch_orders('orders')});

# message id => phone, of the messages of a sequence that the condition holds for
sub messages_of
{
	my ($sequence, $condition) = @_;

	return map { split(/\|/) } split(/\n/, sql("SELECT m.message_id, m.phone FROM smsflow.message m
		JOIN smsflow.outbox o USING (message_id) WHERE m.sequence = '$sequence' AND $condition"));
}

# In a claim that is durable, and without a result
my $is_claimed = q{EXISTS (SELECT FROM smsflow.claim c WHERE c.queue_id = o.queue_id AND c.from_id < o.message_id AND o.message_id <= c.to_id)
	AND NOT EXISTS (SELECT FROM smsflow.attempt a WHERE a.message_id = o.message_id)};

# Messages that are claimed, while the request of another is on the wire
sub claimed_and_waiting
{
	my %claimed = messages_of('reminder', $is_claimed);

	delete $claimed{$_} for keys %{ $gateway->by_message };
	return %claimed;
}

# Everybody has a cart, and the first request is answered late: the others have been claimed by then.
sub claim_reminders
{
	my %claimed;

	$gateway->script({ match => 'waiting', times => 1, delay_ms => 4000 });
	sql(q{SELECT smsflow.create_sequence('reminder', 'cart', '{"pool": "narrow"}');
		SELECT smsflow.add_step('reminder', '0', 'Your cart is waiting');
		SELECT smsflow.enable_sequence('reminder')});
	sql(sprintf(q{INSERT INTO cart SELECT n, '+1415555' || to_char(n, 'FM0000'), 20 FROM generate_series(1, %d) n}, PEOPLE));
	ok(wait_until('reminders are claimed', sub { $gateway->requests && (%claimed = claimed_and_waiting()) >= 4 }),
		'reminders are claimed, and wait behind one that is on the wire');
	return %claimed;
}

sub test_purchase_after_claim
{
	my %claimed = claim_reminders();
	my @buyers = (sort { $a <=> $b } keys %claimed)[ 0 .. 3 ];

	# One by one, and two in one transaction that the store takes back.
	sql("INSERT INTO orders (phone, total) VALUES ('$claimed{$_}', 20)") for @buyers[ 0, 1 ];
	sql("BEGIN; INSERT INTO orders (phone, total) VALUES ('$claimed{$buyers[2]}', 20), ('$claimed{$buyers[3]}', 20); ROLLBACK");
	is(scalar(grep { $gateway->count_for($_) } @buyers), 0, '... when orders are committed, their reminders are not on the wire');
	ok(wait_settled(), '... until nothing waits');
	is($gateway->count_for($buyers[$_]), 0, '... nothing is sent after the commit') for 0, 1;
	is(sql("SELECT string_agg(DISTINCT status || ' ' || reason, ', ') FROM smsflow.message WHERE message_id IN ($buyers[0], $buyers[1])"),
		'suppressed sequence_exited', '... and the message says why');
	my %other = messages_of('reminder', "message_id NOT IN ($buyers[0], $buyers[1])");

	is(scalar keys %other, PEOPLE - 2, '... everybody else is reminded');
	is(scalar(grep { $gateway->count_for($_) != 1 } keys %other), 0, '... once, also who did not buy in the end');
	$gateway->script();
}

sub wait_for_another
{
	my ($killed) = @_;

	ok(wait_until('another worker is there', sub { my $pid = eval { worker_pid() }; $pid && $pid != $killed }), '... another one takes over');
	wait_for_worker('running');
}

# Killed while everybody waits for the second step, and again while it asks for the messages of the third.
sub test_killed_between_steps
{
	my $mark = $node->data_dir . '/smsflow/fault.enrollment:kill';
	my $pid;

	sql(q{SELECT smsflow.create_sequence('course', 'visit', '{"pool": "wide", "purpose": "promotional"}');
		SELECT smsflow.add_step('course', '0', 'Part one'), smsflow.add_step('course', '2 seconds', 'Part two'), smsflow.add_step('course', '2 seconds', 'Part three');
		SELECT smsflow.enable_sequence('course')});
	sql(sprintf(q{SELECT count(smsflow.record_event('+1415555' || to_char(n, 'FM0000'), 'visit', 'visit ' || n)) FROM generate_series(1, %d) n}, PEOPLE));
	ok(wait_sql('part one is sent', "SELECT count(*) FROM smsflow.message WHERE sequence = 'course' AND step = 1 AND status = 'accepted'", PEOPLE),
		'the first step is sent, then the worker is killed');
	kill_worker();
	ok(wait_sql('part two is asked for', "SELECT count(*) FROM smsflow.message WHERE sequence = 'course' AND step = 2", PEOPLE), '... and asks for the second');
	$pid = worker_pid();
	sql("ALTER SYSTEM SET smsflow.fault = 'enrollment:kill'; SELECT pg_reload_conf()");
	ok(wait_until('the fault', sub { -e $mark }), 'it is killed while it moves people on');
	wait_for_another($pid);
	ok(wait_sql('the course is over', "SELECT count(*) FROM smsflow.enrollment n JOIN smsflow.sequence s USING (sequence_id)
		WHERE s.name = 'course' AND n.end_reason = 'completed'", PEOPLE), '... everybody comes to the end');
	ok(wait_settled(), '... until nothing waits');
	check_course();
}

sub check_course
{
	my $requests = $gateway->by_message;
	my %accepted = messages_of('course', "m.status = 'accepted'");
	my %doubtful = messages_of('course', "m.status = 'in_doubt'");

	is(sql("SELECT count(*) || ' ' || count(DISTINCT (contact_id, step)) FROM smsflow.message WHERE sequence = 'course'"),
		3 * PEOPLE . ' ' . 3 * PEOPLE, '... with each of the three messages, once');
	is(keys(%accepted) + keys(%doubtful), 3 * PEOPLE, '... none is lost');
	is(scalar(grep { @{ $requests->{$_} // [] } != 1 } keys %accepted), 0, '... what is accepted was on the wire once');
	is(scalar(grep { @{ $requests->{$_} // [] } > 1 } keys %doubtful), 0, '... and what is in doubt not twice');
	note(scalar(keys %doubtful) . ' messages are in doubt');
}

sub problem_in_health { return sql("SELECT message FROM smsflow.health() WHERE component = 'triggers' AND NOT ok"); }

# $break and $repair are SQL; a checkout in between is committed, with the error in health().
sub test_checkout
{
	my ($what, $break, $repair, $error) = @_;
	my $orders = sql('SELECT count(*) FROM orders');
	my $stderr;

	sql($break);
	is($node->psql('shop', "BEGIN; INSERT INTO orders (phone) VALUES ('" . phone(7) . "'); COMMIT", stderr => \$stderr), 0, "$what: a checkout is committed");
	is($stderr, '', '... without a word');
	is(sql('SELECT count(*) FROM orders'), $orders + 1, '... with its order');
	like(problem_in_health(), $error, '... health() shows the error');
	unlike(problem_in_health(), qr/5550007/, '... without the phone number');
	sql($repair);
	sql('DELETE FROM smsflow.trigger_problem');
}

sub test_broken_triggers
{
	my $pid = worker_pid();
	my $before;

	is(problem_in_health(), '', 'health() knows of no trigger that fails');
	test_checkout('events are refused', q{ALTER TABLE smsflow.event ADD CONSTRAINT injected CHECK (kind <> 'order') NOT VALID},
		'ALTER TABLE smsflow.event DROP CONSTRAINT injected', qr/table public\.orders: .*"injected"/);
	test_checkout('a mapped column is gone', 'ALTER TABLE orders RENAME COLUMN total TO sum',
		'ALTER TABLE orders RENAME COLUMN sum TO total', qr/table public\.orders: .*total/);
	$before = sql("SELECT count(*) FROM smsflow.event WHERE kind = 'order'");
	sql("INSERT INTO orders (phone) VALUES ('" . phone(7) . "')");
	is(sql("SELECT count(*) FROM smsflow.event WHERE kind = 'order'"), $before + 1, 'afterwards orders are events again');
	is(problem_in_health(), '', '... and health() has nothing to say');
	is(worker_pid(), $pid, '... the worker is the same all the time');
}

test_purchase_after_claim();
test_killed_between_steps();
test_broken_triggers();
check_is_clean();
$node->stop;
done_testing();
