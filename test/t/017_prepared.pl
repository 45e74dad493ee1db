# Stores with two-phase commit. What a prepared transaction has done counts from COMMIT PREPARED on, at once: its messages
# are sent, its opt-outs and purchases stop what is not on the wire. Until then marketing that it may have stopped waits,
# and nothing else does. Sweeps are so rare here that they help nobody.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;
my $node = start_server('prepared', {}, 'max_prepared_transactions' => 5, 'smsflow.sweep_interval' => '10min');

create_shop(20);
add_route('main', $gateway);

sub requests_to { my ($phone) = @_; return scalar grep { (SmsflowGateway::fields_of($_->{body})->{to} // '') eq $phone } $gateway->requests; }

sub prepare { my ($name, $statement) = @_; sql("BEGIN; $statement; PREPARE TRANSACTION '$name'"); }

# Waits for a status that somebody waits for; a message that is held is asked for again after seconds.
sub becomes
{
	my ($id, $status, $what) = @_;

	ok(wait_sql("message $id is $status", "SELECT status FROM smsflow.message WHERE message_id = $id", $status, 20), $what);
}

sub held { my ($id) = @_; return wait_sql("message $id waits", "SELECT status || ' ' || reason FROM smsflow.message WHERE message_id = $id", 'held prepared', 20); }

sub test_send
{
	prepare('send', "SELECT smsflow.send('" . phone(1) . "', 'prepared', 'transactional', pool => 'main')");
	wait_status(send_sms('main', 'after it', 'transactional'), 'accepted', 'others send while a prepared transaction waits');
	is(scalar(grep { $_->{text} eq 'prepared' } $gateway->requests), 0, '... whose message is not sent');
	sql("COMMIT PREPARED 'send'");
	ok(wait_until('it is sent', sub { grep { $_->{text} eq 'prepared' } $gateway->requests }, 5), '... until it commits');
}

sub test_opt_out
{
	my ($end, $status, $contact) = @_;
	my $phone = phone($contact);
	my $id;

	prepare('stop', "SELECT smsflow.opt_out('$phone', source => 'support')");
	$id = send_sms('main', 'Sale', 'promotional', to => $phone);
	ok(held($id), 'marketing to who opts out in a prepared transaction waits');
	wait_status(send_sms('main', 'Packed', 'transactional', to => $phone), 'accepted', '... other messages to them do not');
	wait_status(send_sms('main', 'Sale', 'promotional', to => phone(20)), 'accepted', '... nor does marketing to others');
	is(status_of($id), 'held', '... while it is undecided');
	sql("$end 'stop'");
	becomes($id, $status, "... $end: it is $status");
	is(requests_to($phone), $status eq 'accepted' ? 2 : 1, '... and no more was on the wire');
}

sub test_purchase
{
	my ($end, $status, $contact) = @_;
	my $phone = phone($contact);
	my $id;

	sql("SELECT smsflow.record_event('$phone', 'cart', 'cart of $phone', '{\"item\": \"shoes\"}')");
	wait_sql('the enrolment', "SELECT count(*) = 1 FROM smsflow.enrollment e JOIN smsflow.contact USING (contact_id) WHERE phone::text = '$phone'");
	prepare('order', "SELECT smsflow.record_event('$phone', 'order', 'order of $phone', '{}')");
	wait_sql('the reminder', "SELECT count(*) = 1 FROM smsflow.message WHERE phone = '$phone'");
	$id = sql("SELECT message_id FROM smsflow.message WHERE phone = '$phone'");
	ok(held($id), 'a reminder to who buys in a prepared transaction waits');
	sql("$end 'order'");
	becomes($id, $status, "... $end: it is $status");
	is(requests_to($phone), $status eq 'accepted' ? 1 : 0, '... and was on the wire accordingly');
}

# Cancelling is about one message, of any purpose.
sub test_cancel
{
	my $id = send_sms('main', 'Packed', 'transactional', to => phone(9), send_at => "now() + interval '2 seconds'");

	prepare('cancel', "SELECT smsflow.cancel($id)");
	ok(held($id), 'a message that a prepared transaction cancels waits');
	sql("COMMIT PREPARED 'cancel'");
	becomes($id, 'cancelled', '... and is cancelled');
	is(requests_to(phone(9)), 0, '... without a request');
}

# After a restart nothing is known but that it has written here.
sub test_restart
{
	my ($id, $other);

	sql('CREATE TABLE unrelated (n integer)');
	prepare('stop', "SELECT smsflow.opt_out('" . phone(10) . "', source => 'support')");
	prepare('unrelated', 'INSERT INTO unrelated VALUES (1)');
	$node->restart;
	wait_for_worker('running');
	is(sql('SELECT string_agg(gid, \' \') FROM smsflow.prepared'), 'stop', 'it is known which prepared transactions have to do with messages');
	is(sql('SELECT ok FROM smsflow.health() WHERE component = \'prepared\''), 't', '... one that is new is no trouble');
	like(sql('SELECT message FROM smsflow.health_of_prepared(\'0\') WHERE NOT ok'), qr/^prepared transaction 'stop' of /, '... one that is old is told of');
	($id, $other) = map { send_sms('main', 'Sale', 'promotional', to => phone($_)) } 10, 11;
	wait_status(send_sms('main', 'Packed', 'transactional', to => phone(10)), 'accepted', 'after a restart of the server messages are sent');
	ok(wait_sql('both are claimed', "SELECT count(*) FROM smsflow.message WHERE message_id IN ($id, $other) AND status = 'sending'", '2'),
		'... marketing waits, as nobody knows whom it may concern');
	is(requests_to(phone(11)), 0, '... without a request');
	sql("COMMIT PREPARED 'stop'");
	becomes($other, 'accepted', '... until it ends');
	becomes($id, 'suppressed', '... and who opted out gets none');
	is(requests_to(phone(10)), 1, '... at all');
	sql("ROLLBACK PREPARED 'unrelated'");
}

# As many as there may be, again and again, each of them forgotten when it has ended.
sub test_many
{
	for my $round (1 .. 60)
	{
		sql("BEGIN; SELECT smsflow.opt_out('" . phone(12) . "', source => 'support'); PREPARE TRANSACTION 'round';
			COMMIT PREPARED 'round'");
	}
	wait_status(send_sms('main', 'Sale', 'promotional', to => phone(13)), 'accepted', 'prepared transactions leave nothing behind');
}

sql(q{SELECT smsflow.create_sequence('cart', 'cart', '{"pool": "main", "exit_on": ["order"]}');
	SELECT smsflow.add_step('cart', '3 seconds', 'Still want {{item}}?'); SELECT smsflow.enable_sequence('cart')});
test_send();
test_opt_out('COMMIT PREPARED', 'suppressed', 2);
test_opt_out('ROLLBACK PREPARED', 'accepted', 3);
test_purchase('COMMIT PREPARED', 'suppressed', 4);
test_purchase('ROLLBACK PREPARED', 'accepted', 5);
test_cancel();
test_restart();
test_many();
check_is_clean();
$node->stop;
done_testing();
