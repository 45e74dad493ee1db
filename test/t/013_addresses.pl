# Where a gateway may be: no URL, and no name that leads elsewhere than it seems to, makes the worker connect to what stands
# behind the firewall. The message waits until somebody has corrected it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IO::Select;
use IO::Socket::INET;
use SmsflowTest;
use Test::More;

my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 20) or die $!;
my $port = $listener->sockport;
my $node = start_server('addresses', {}, 'smsflow.allow_insecure_gateway' => 'off');
my %said = (private => 'private address: smsflow.allow_private_gateway is off', forbidden => 'an address that no gateway may have');
my $routes = 0;

sub is_untouched { ok(!IO::Select->new($listener)->can_read(0), $_[0]); }

sub set { $node->append_conf('postgresql.conf', "$_[0] = $_[1]\n"); $node->reload; }

# Sends to a gateway at this URL; the message is held, with the words for this kind of address.
sub is_refused
{
	my ($kind, $url, $what) = @_;
	my $name = 'route' . ++$routes;
	my $id;

	add_route($name, undef, url => $url);
	$id = send_sms($name, 'Hello', 'promotional');
	ok(wait_sql('it is refused', "SELECT error_code FROM smsflow.message WHERE message_id = $id", $said{$kind}), "$what is refused");
	is(sql("SELECT status, error_class, sent_at IS NULL FROM smsflow.message WHERE message_id = $id"), 'held|configuration|t', '... and the message waits');
	is_untouched('... and nothing connects');
	return ($id, $name);
}

create_shop(1);
is_refused('private', "https://127.0.0.1:$port", 'this machine');
is_refused('private', "https://localhost:$port", 'a name that leads to it');
is_refused('private', "https://2130706433:$port", 'its address as one number');
is_refused('private', "https://[::ffff:127.0.0.1]:$port", 'its address in one of IPv6');
is_refused('forbidden', "https://0.0.0.0:$port", 'no address at all');
my (undef, $name) = is_refused('forbidden', 'https://169.254.169.254', 'what tells the credentials of a cloud');
ok(wait_sql('its sender is paused', "SELECT paused_for FROM smsflow.stat_sender WHERE gateway = '$name'", 'configuration'), 'its sender is paused');
ok(wait_sql('health() says so', "SELECT message LIKE '%gateway \"$name\" is refused%' FROM smsflow.health() WHERE component = 'gateways' AND NOT ok"), 'health() says so');

set('smsflow.allow_private_gateway', 'on');
ok(wait_until('the worker connects', sub { IO::Select->new($listener)->can_read(0) }), 'what is private can be allowed, and what was held is tried at once');
close($listener);
set('smsflow.allow_insecure_gateway', 'on');
$listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 20) or die $!;
$port = $listener->sockport;
is_refused('forbidden', "http://0.0.0.0:$port", 'no address is refused still');
is_refused('forbidden', 'http://2852039166/latest', 'the metadata of a cloud, too');
is_refused('forbidden', 'http://[::ffff:a9fe:a9fe]', '... however it is written');

my $gateway = SmsflowGateway->start;
add_route('well', $gateway);
wait_status(send_sms('well', 'Hello', 'promotional'), 'accepted', 'a gateway on this machine works where plain http is allowed');
$node->stop;
done_testing();
