# One-time passwords through the worker: the code is in the request and in nothing that stays, it overtakes a campaign,
# and a code that is void is not sent.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;
use Time::HiRes qw(time);

my $gateway = SmsflowGateway->start;
my $node = start_server('otp', {}, 'log_statement' => 'all', 'log_min_messages' => 'debug1');

create_shop(2000);
add_route('main', $gateway, rate => 5000, burst => 1000);
sql("SELECT smsflow.set_otp_policy('{\"pool\": \"main\"}')");

sub start_code
{
	my ($number, $scope) = @_;

	return sql("SELECT status FROM smsflow.otp_start('$number', '$scope')");
}

sub newest_id { return sql("SELECT max(message_id) FROM smsflow.outbox WHERE purpose = 'otp'"); }

# The text of a message as the gateway got it
sub text_of
{
	my ($id) = @_;
	my $requests = $gateway->by_message->{$id} // return '';

	return $requests->[0]{text};
}

sub test_code_travels
{
	is(start_code('+12125550101', 'login'), 'sent', 'a code is asked for');
	my $id = newest_id();

	wait_status($id, 'accepted', '... and accepted by the gateway');
	like(text_of($id), qr/^Your code is \d{6}\. /, '... with its digits');
	my ($code) = text_of($id) =~ /(\d{6})/;

	is(sql("SELECT smsflow.otp_check('+12125550101', '$code')"), 'approved', 'what the phone shows is right');
	is(sql("SELECT status FROM smsflow.message WHERE message_id = $id"), 'accepted', '... and the message stays what it was');

	# The check is in the log because this test logs all statements; the code was in the request before.
	start_code('+12125550102', 'login');
	$id = newest_id();
	wait_status($id, 'accepted', 'another code is sent');
	($code) = text_of($id) =~ /(\d{6})/;
	unlike(slurp_file($node->logfile), qr/(?<!\d)$code(?!\d)/, '... and is not in the log of the server');
	my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
	command_ok([ 'pg_dump', '-f', $dump, $node->connstr('shop') ], 'pg_dump');
	unlike(slurp_file($dump), qr/is $code/, '... and the code is not in it');
	unlike(slurp_file($dump), qr/COPY smsflow\.otp /, '... nor is what it follows from');
}

sub test_void_code
{
	sql("SELECT smsflow.disarm()");
	start_code('+12125550103', 'login');
	my $old = newest_id();

	sql("UPDATE smsflow.otp SET started_at = started_at - interval '1 minute'");
	is(start_code('+12125550103', 'login'), 'sent', 'a second code is asked for before the first has left');
	my $new = newest_id();
	sql("SELECT smsflow.arm()");
	wait_status($new, 'accepted', 'the second is sent');
	wait_status($old, 'cancelled', 'the first is not');
	is($gateway->count_for($old), 0, '... and was not on the wire');

	# Somebody removes the key: nothing is sent that nobody could check, and nothing breaks.
	sql("SELECT smsflow.disarm()");
	start_code('+12125550104', 'login');
	my $lost = newest_id();
	sql("DELETE FROM smsflow.secret WHERE name = 'otp_key'");
	sql("SELECT smsflow.arm()");
	wait_status($lost, 'rejected', 'without the key a code is not sent');
	is(sql("SELECT reason FROM smsflow.message WHERE message_id = $lost"), 'code_missing', '... and says so');
	is(start_code('+12125550105', 'login'), 'sent', 'a new key is made');
	wait_status(newest_id(), 'accepted', '... and codes go on');
}

# A campaign that keeps every place at the gateway busy.
sub test_overtakes
{
	$gateway->script({ match => 'Sale', delay_ms => 300 });
	sql("SELECT count(smsflow.send(phone::text, 'Sale', 'promotional', pool => 'main')) FROM smsflow.contact");
	ok(wait_until('the campaign is on the wire', sub { scalar(grep { ($_->{text} // '') eq 'Sale' } $gateway->requests) > 100 }), 'a campaign runs');
	my $before = scalar $gateway->requests;

	start_code('+12125550106', 'login');
	my $id = newest_id();
	ok(wait_until('the code is on the wire', sub { $gateway->count_for($id) > 0 }), 'a code is on the wire');
	my $ahead = grep { $_->{n} > $before && $_->{n} < $gateway->by_message->{$id}[0]{n} } $gateway->requests;
	cmp_ok($ahead, '<', 600, 'a code overtakes what waits') or diag("$ahead messages were ahead");
	$gateway->script();
	ok(wait_settled(60), 'the campaign ends');
	cmp_ok(scalar(grep { $_->{n} > $gateway->by_message->{$id}[0]{n} } $gateway->requests), '>', 0, '... after the code');
}

# Whatever the answer will be, a code is computed and compared, so that the time an answer takes says no more than it does:
# while the key cannot be read there is none for anybody.
sub test_same_work
{
	my %number = map { $_->[0] => "+121255501$_->[1]" } [ none => 10 ], [ wrong => 11 ], [ expired => 12 ], [ locked => 13 ], [ used => 14 ];
	my $check = sub { return "SELECT smsflow.otp_check('$_[0]', '000000x', 'work')" };
	my $key = "$SmsflowTest::secrets/otp_key";

	start_code($number{$_}, 'work') for grep { $_ ne 'none' } sort keys %number;
	sql($check->($number{locked})) for 1 .. 5;
	sql("UPDATE smsflow.otp SET expires_at = started_at WHERE phone::text = '$number{expired}'");
	sql("SELECT smsflow.otp_check(o.phone::text, substring(smsflow.otp_text(m.message_id, m.body) FROM '[0-9]+'), 'work')
		FROM smsflow.otp o JOIN smsflow.outbox m USING (message_id) WHERE o.phone::text = '$number{used}'");
	append_to_file($key, '');
	is(error_of($check->($number{$_})), 'SF008', "$_: a code is computed") for sort keys %number;
	unlink $key;
	is(join(' ', map { sql($check->($number{$_})) } sort keys %number), 'expired locked none none wrong', '... to give these answers');
}

test_code_travels();
test_same_work();
test_void_code();
test_overtakes();
check_is_clean();
$node->stop;
done_testing();
