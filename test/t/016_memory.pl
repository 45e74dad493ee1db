# The worker gets no more memory while it has much to send: it fails with an error, in the middle of whatever it does, and
# goes on, as the same process or as the next one. No message is lost or sent twice, and nobody else notices. An
# out-of-memory killer is kill -9, which 004_crash.pl has.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

use constant MESSAGES => 1000;

plan skip_all => 'there is no prlimit' if system('prlimit --version >/dev/null 2>&1') != 0;

my $gateway = SmsflowGateway->start;
my $node = start_server('memory', {}, 'smsflow.max_in_flight' => 500);

create_shop(200);
add_route('main', $gateway, rate => 10000, burst => 10000, gateway => '{"max_in_flight": 400}');
# So that hundreds of requests are open at once, each with its text, its buffers and its connection.
$gateway->script({ delay_ms => 1500 });
wait_status(send_sms('main', 'before', 'promotional'), 'accepted', 'the worker works');
my $pid = worker_pid();

# No address beyond so many bytes. A worker that is gone has no limit any more.
sub limit_memory { my ($bytes) = @_; return system("prlimit --pid=$pid --as=$bytes:unlimited 2>/dev/null") == 0; }

sub size_of_worker { my ($kilobytes) = slurp_file("/proc/$pid/status") =~ /^VmSize:\s+(\d+)/m; return $kilobytes * 1024; }

sub enqueue
{
	my ($text) = @_;

	sql("SELECT count(smsflow.send('+1415555' || to_char(1 + n % 200, 'FM0000'), '$text ' || repeat('a long text ', 120), 'promotional', pool => 'main'))
		FROM generate_series(1, @{[MESSAGES]}) n");
}

my $session = $node->background_psql('shop');

$session->query_safe('BEGIN');
ok(limit_memory(size_of_worker()), 'it gets no more memory');
enqueue('scarce');
ok(wait_until('it says so', sub { slurp_file($node->logfile) =~ /ERROR:  out of memory/ }), '... and says so when it needs some');
limit_memory('unlimited');
ok(wait_settled(60), '... every message comes to its end when there is some again');
is($session->query_safe('SELECT 1'), '1', '... no other session was concerned');
$session->quit;
my $requests = $gateway->by_message;
is(join(' ', grep { @{ $requests->{$_} } > 1 } sort keys %$requests), '', '... none is sent twice');
is(sql("SELECT count(*) FROM smsflow.message WHERE body LIKE 'scarce%' AND status IN ('accepted', 'in_doubt')"), MESSAGES, '... none is lost');
is(join(' ', grep { !$requests->{$_} } split /\n/, sql("SELECT message_id FROM smsflow.message WHERE status = 'accepted'")), '', '... what is accepted was requested');
check_is_clean();
$node->stop;
done_testing();
