# explain() names what a message waits for where only the worker knows: its gateway, its number, a limit.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;
my $node = start_server('explain');

create_shop(12);

# Waits until one of the causes is like this.
sub waits_for
{
	my ($id, $what, $pattern) = @_;

	ok(wait_sql("it waits for $pattern", "SELECT bool_or(detail ~ '$pattern') FROM smsflow.explain($id) WHERE what = 'waits for'"), $what);
}

# Messages to so many people; the last one's id.
sub send_to
{
	my ($pool, $people, $purpose) = @_;
	my $id;

	$id = send_sms($pool, "to $pool", $purpose // 'promotional', to => phone($_)) for 1 .. $people;
	return $id;
}

sub test_gateways
{
	my $id;

	add_route('gone', undef, url => 'http://127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port());
	add_route('busy', $gateway);
	add_route('locked', $gateway);
	add_route('narrow', $gateway, gateway => '{"max_in_flight": 2, "timeout": 120}');
	$gateway->script({ path => '^/busy', status => 429, headers => { 'Retry-After' => 300 } }, { path => '^/locked', status => 403 },
		{ path => '^/narrow', action => 'hang' });
	waits_for(send_to('gone', 8), 'a gateway that nobody listens at', '^gateway "gone" does not work, \d+ failures in a row; the next try is at ');
	waits_for($id = send_to('busy', 1), 'one that asks to wait', '^sender "[+\d]+" of gateway "busy" is paused until [-+: \d]+: the gateway has asked to wait$');
	is(sql("SELECT count(*) FROM smsflow.explain($id) WHERE what = 'waits for'"), 1, '... and for nothing else: what its rate allows is not the cause');
	is(sql("SELECT bool_and(substring(detail FROM 'until (.*): the')::timestamptz - now() BETWEEN '4 minutes' AND '5 minutes') FROM smsflow.explain($id) WHERE what = 'waits for'"),
		't', '... until as long as the gateway said');
	waits_for(send_to('locked', 1), 'one that refuses us', '^sender "[+\d]+" of gateway "locked" is paused until [-+: \d]+: the gateway refuses it$');
	waits_for(send_to('narrow', 4), 'one whose places are all taken', '^all 2 requests that gateway "narrow" may have at once are on the wire');
}

sub test_limits
{
	my $address = add_route('daily', $gateway);
	my $id;

	sql("SELECT smsflow.set_sender('$address', 'daily', daily_limit => 8)");
	waits_for(send_to('daily', 12), 'a day that is used up', '^sender ".*" has used its 8 parts of the day but those kept for codes and confirmations; the next begins at ');
	wait_status(send_to('daily', 1, 'otp'), 'accepted', '... the kept part is for a code');
	waits_for($id = send_to('daily', 1, 'otp'), '... when that is used, too', 'has used its 8 parts of the day; the next begins at ');
	add_route('slow', $gateway, rate => 0.01, burst => 1);
	waits_for(send_to('slow', 3), 'a rate', 'has no tokens left: its rate is 0.01 a second');
}

sub test_worker
{
	my $id;

	add_route('fine', $gateway);
	wait_status($id = send_to('fine', 1), 'accepted', 'a route without trouble');
	is(sql("SELECT count(*) FROM smsflow.explain($id) WHERE what = 'waits for'"), 0, '... whoever has left waits for nothing');
	sql('SELECT smsflow.disarm()');
	wait_for_worker('disarmed');
	waits_for(send_to('fine', 1), 'a database that may not send', '^armed: disarmed by ');
	sql("ALTER SYSTEM SET smsflow.enabled = off; SELECT pg_reload_conf()");
	waits_for(send_to('fine', 1), 'a worker that is switched off', '^worker: the worker is switched off');
}

test_gateways();
test_limits();
test_worker();
$node->stop;
done_testing();
