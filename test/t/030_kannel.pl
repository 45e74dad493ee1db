# The whole way of a message through a real gateway: the store's send(), the worker, Kannel, SMPP, a mobile network that
# says what a phone would show, and its reports and replies back through smsflowd. What is asserted about a phone comes
# from the network's own log.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowKannel;
use SmsflowTest;
use Test::More;

skip_without_kannel();

use constant DELAYED => 41;

my $held;

# ---------------------------------------------------------------------------
# Tests

# Comes first, because the message waits a minute before it is tried again; the last test sees it arrive.
sub test_wrong_password
{
	write_secret('kannel', 'not-the-password');
	sql('SELECT smsflow.note_config()');
	$held = send_sms('kannel', 'behind a wrong password', 'transactional', to => phone(DELAYED));
	wait_status($held, 'held', 'a wrong password: the message is held');
	is(column("error_class || ', ' || error_code", $held), 'configuration, Authorization failed for sendsms', '... with the reason');
	is(scalar network('message', phone(DELAYED)), 0, '... and is not on any phone');
	write_secret('kannel', slurp(kannel_folder() . '/sendsms.password'));
	sql('SELECT smsflow.note_config()');
}

# bearerbox is the part of Kannel that talks to networks. What was inside it when it ended is Kannel's to lose, so this
# is about messages asked for while it is away.
sub test_bearerbox_away
{
	my $pid = slurp(kannel_folder() . '/bearerbox.pid') + 0;
	my @ids;

	kill('TERM', $pid);
	ok(wait_until('bearerbox ends', sub { !kill(0, $pid) || slurp("/proc/$pid/stat") =~ /\) Z/ }), 'bearerbox ends');
	@ids = map { send_sms('kannel', "sent while it was away $_", 'promotional', to => phone($_)) } 11 .. 20;
	ok(wait_sql('a request fails', "SELECT count(*) > 0 FROM smsflow.attempt WHERE message_id = ANY ('{@{[join ',', @ids]}}')
		AND outcome = 'retry' AND wire = 'none'"), 'messages cannot leave');

	stop_kannel() or die 'Kannel does not stop';
	ok(start_kannel(), 'it comes back');
	wait_status($_, 'delivered', "message $_ is delivered") for @ids;
	is(join(' ', map { scalar network('message', phone($_)) } 11 .. 20), join(' ', (1) x 10), '... each once');
}

sub test_held_arrives
{
	ok(wait_sql('the held message is delivered', "SELECT status FROM smsflow.message WHERE message_id = $held", 'delivered', 90),
		'the held message is delivered once the password is right');
	is(join('|', map { $_->{text} } network('message', phone(DELAYED))), 'behind a wrong password', '... and once only');
}

start_way('kannel');
test_wrong_password();
test_texts();
test_reports();
test_stop();
test_bearerbox_away();
test_held_arrives();
check_is_clean();
unlike(slurp($SmsflowTest::node->logfile), qr/open-sesame|not-the-password/, 'no password is in the log of the server');

done_testing();
