# The clocks of New York change while a server works that keeps New York's time: the hour that is missing and the one that
# comes twice neither delay nor repeat what is scheduled, what quiet hours hold leaves when they end by the new time, and the
# day of a limit has 23 and 25 hours. Each midnight begins with nothing used.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowMachine;
use SmsflowTest;
use Test::More;
use Time::HiRes qw(time);

my $gateway = SmsflowGateway->start;
my $machine = SmsflowMachine->new;
my $node = $machine->run(sub { start_server('summer', {}, 'timezone' => 'America/New_York') });
my $new_yorker = '+12125550101';

create_shop(1);
add_route('main', $gateway);
my $daily = add_route('daily', $gateway);
sql("SELECT smsflow.set_sender('$daily', 'daily', daily_limit => 20, reset_zone => 'America/New_York');
	SELECT smsflow.subscribe('$new_yorker', '{transactional,promotional}', level => 'confirmed', disclosure => 'Offers by text');
	SELECT smsflow.resume_rule('window')");
my $parts = sql('SELECT 20 - smsflow.kept_of_day(20)');
my @once;

sub set_time { my ($at) = @_; $machine->set_clock(sql("SELECT extract(epoch FROM timestamptz '$at')") - time()); }

sub send_to_new_york
{
	my ($text, $purpose, $at) = @_;

	push @once, send_sms('main', $text, $purpose, to => $new_yorker, expires_in => "'3 days'", $at ? (send_at => "'$at'") : ());
	return $once[-1];
}

# What was due before is through.
sub is_quiet
{
	my ($id, $what) = @_;

	wait_status(send_to_new_york('marker', 'transactional'), 'accepted', 'meanwhile another message is sent');
	is($gateway->count_for($id), 0, $what);
}

# It leaves when the clock, two seconds before, has come to this time.
sub leaves_at
{
	my ($id, $at, $what) = @_;

	$machine->set_clock(sql("SELECT extract(epoch FROM timestamptz '$at')") - 2 - time());
	wait_status($id, 'accepted', $what);
	is(sql("SELECT started_at - '$at' BETWEEN '0' AND '20 minutes' FROM smsflow.attempt WHERE message_id = $id"), 't', '... and not before');
}

sub send_daily
{
	sql("SELECT count(smsflow.send('$new_yorker', 'daily', 'transactional', pool => 'daily', expires_in => '3 days')) FROM generate_series(1, 80)");
}

sub of_the_day { return scalar grep { ($_->{text} // '') eq 'daily' } $gateway->requests; }

sub test_days
{
	my ($days, $what) = @_;

	ok(wait_until("$days days are used up", sub { of_the_day() >= $days * $parts }), $what);
	wait_status(send_to_new_york("marker", "transactional"), "accepted", "... another number goes on");
	is(of_the_day(), $days * $parts, '... and no more than a day allows');
}

# At 2:00 it is 3:00.
sub test_missing_hour
{
	my ($held, $first, $second);

	set_time('2027-03-13 21:30 EST');
	$held = send_to_new_york('held', 'promotional');
	wait_status($held, 'held', 'quiet hours on the evening before the hour that is missing');
	is(sql("SELECT due_at = '2027-03-14 08:00 EDT' FROM smsflow.message WHERE message_id = $held"), 't', '... hold until the morning by the new time');
	send_daily();
	test_days(1, 'a day is used up');
	set_time('2027-03-13 23:59:58 EST');
	test_days(2, '... and the next one at midnight');
	$first = send_to_new_york('at three', 'transactional', '2027-03-14 03:00');
	$second = send_to_new_york('in the missing hour', 'transactional', '2027-03-14 02:30');
	leaves_at($first, '2027-03-14 03:00', 'what is due at the end of the missing hour leaves at its beginning');
	is_quiet($second, '... what is due in it does not leave yet');
	leaves_at($second, '2027-03-14 03:30', '... but half an hour later');
	leaves_at($held, '2027-03-14 08:00', 'quiet hours end by the new time');
	set_time('2027-03-14 23:59:58');
	test_days(3, 'the day ends after 23 hours');
}

# At 2:00 it is 1:00 again.
sub test_double_hour
{
	my ($held, $first, $second);

	set_time('2027-11-06 21:30 EDT');
	$held = send_to_new_york('held', 'promotional');
	wait_status($held, 'held', 'quiet hours on the evening before the hour that comes twice');
	is(sql("SELECT due_at = '2027-11-07 08:00 EST' FROM smsflow.message WHERE message_id = $held"), 't', '... hold until the morning by the new time');
	send_daily();
	test_days(4, 'a day is used up');
	$first = send_to_new_york('the first time', 'transactional', '2027-11-07 01:30 EDT');
	$second = send_to_new_york('the second time', 'transactional', '2027-11-07 01:30 EST');
	leaves_at($first, '2027-11-07 01:30 EDT', 'what is due in the hour as it comes first leaves then');
	is_quiet($second, '... what is due an hour later does not');
	test_days(5, '... of the new day all parts are used');
	leaves_at($second, '2027-11-07 01:30 EST', '... it leaves when the hour comes again');
	set_time('2027-11-07 07:00:30 EST');
	is_quiet($held, 'quiet hours do not end by the old time');
	leaves_at($held, '2027-11-07 08:00 EST', '... but by the new time');
	set_time('2027-11-07 23:00:30 EST');
	test_days(5, 'the day does not end after 24 hours');
	set_time('2027-11-07 23:59:58 EST');
	test_days(6, '... but after 25');
}

# What left before midnight and is refused after it was of the day before: the new day does not get it back.
sub test_refused_after_midnight
{
	my $address = add_route('refused', $gateway);
	my $requests_of = sub { my ($text) = @_; return scalar grep { ($_->{text} // '') eq $text } $gateway->requests };
	my $send = sub {
		my ($text, $times) = @_;

		sql("SELECT count(smsflow.send('$new_yorker', '$text', 'transactional', pool => 'refused', expires_in => '3 days')) FROM generate_series(1, $times)");
	};

	set_time('2027-11-09 23:59:30 EST');
	sql("SELECT smsflow.set_sender('$address', 'refused', daily_limit => 20, reset_zone => 'America/New_York')");
	$gateway->script({ match => 'before midnight', times => 5, status => 429, headers => { 'Retry-After' => 1 }, delay_ms => 5000 });
	$send->('before midnight', 5);
	ok(wait_until('they are on the wire', sub { $requests_of->('before midnight') == 5 }), 'five messages are on the wire before midnight');
	set_time('2027-11-10 00:00:01 EST');
	$send->('after midnight', 30);
	ok(wait_until('the day is used up', sub { $requests_of->('after midnight') >= $parts }), '... the new day is used up');
	ok(wait_sql('their pause is over', "SELECT count(*) = 5 AND max(finished_at) + '3 seconds' < now() FROM smsflow.attempt JOIN smsflow.outbox USING (message_id) WHERE body = 'before midnight'"),
		'... the five are refused, and the pause that their gateway has asked for is over');
	wait_status(send_to_new_york('marker', 'transactional'), 'accepted', '... another number goes on');
	is($requests_of->('after midnight') + $requests_of->('before midnight') - 5, $parts, '... no more than a day allows has left');
}

test_missing_hour();
test_double_hour();
test_refused_after_midnight();
is(join(' ', grep { $gateway->count_for($_) != 1 } @once), '', 'each message was sent once');
check_is_clean();
$node->stop;
done_testing();
