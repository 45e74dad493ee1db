# What strangers and bad luck do to smsflowd, with the real function behind it: reports that come twice, forged or cut off, while
# the server crashes under load; clients that never end; thousands of connections that do nothing. No report that was answered
# with 200 is lost, and none is applied twice.
#
# make soak-receiver makes a long run of it: OUTAGE_SECONDS (0) without the database, then STEADY_SECONDS (0) of load over
# which smsflowd must not grow.

use strict;
use warnings;

use HTTP::Tiny;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use PostgreSQL::Test::Utils;
use SmsflowDaemon;
use SmsflowTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $clients = 4;
my $messages = 200;
my $idle = 10_000;
my $outage = $ENV{OUTAGE_SECONDS} // 0;
my $steady = $ENV{STEADY_SECONDS} // 0;
my $node = start_server('receiver', {}, 'smsflow.public_url' => 'http://shop.example');
my $server = SmsflowGateway->start;
my $folder = PostgreSQL::Test::Utils::tempdir();

create_shop(20);
add_route('faults', $server, rate => 5000, burst => 5000);
sql("SELECT count(smsflow.send('" . phone(1) . "', 'report ' || n, 'transactional', pool => 'faults')) FROM generate_series(1, $messages) n");
ok(wait_settled(), 'messages are sent');

my %url = map { split(/\|/) } split(/\n/, sql("SELECT message_id, replace(smsflow.callback_url('faults', message_id, 1), 'http://shop.example', '') FROM smsflow.message"));
my $daemon = SmsflowDaemon->start(database => $node->connstr('shop'), max_connections => $idle + 500, timeout_s => 4);

ok(wait_until('the receiver is connected', sub { $daemon->request('GET', '/healthz')->{status} == 200 }), 'smsflowd is connected');

# Reports again and again for so many seconds; writes down which were answered with 200.
sub send_reports
{
	my ($seconds, $name, @ids) = @_;
	my $http = HTTP::Tiny->new(timeout => 20);
	my %kept;

	for (my $end = time() + $seconds; time() < $end;)
	{
		for my $id (@ids)
		{
			my $forged = $url{$id} =~ s/([0-9a-f])(?=[0-9a-f]{8}(?:\?|$))/$1 eq '0' ? '1' : '0'/er;
			my %body = (headers => { 'Content-Type' => 'application/json' });
			my $answer = $http->post("$daemon->{url}$url{$id}", { %body, content => '{"status": "delivered"}' });

			$kept{$id} = 1 if $answer->{status} == 200;
			$http->post("$daemon->{url}$forged", { %body, content => '{"status": "failed"}' });
		}
	}
	append_to_file("$folder/$name", join('', map { "$_\n" } sort keys %kept));
}

sub in_background
{
	my ($code) = @_;
	my $pid = fork() // die "fork: $!";

	return $pid if $pid;
	$code->();
	POSIX::_exit(0);
}

# Each client sends reports about messages of its own; their process ids.
my @ids = sort { $a <=> $b } keys %url;

sub clients
{
	my ($seconds, $name) = @_;

	return map { my $n = $_; in_background(sub { send_reports($seconds, "$name.$n", map { $ids[$_] } grep { $_ % $clients == $n } 0 .. $#ids) }) } 0 .. $clients - 1;
}

sub memory { my ($kb) = slurp_file("/proc/$daemon->{pid}/status") =~ /VmRSS:\s+(\d+)/; return $kb; }

# The server crashes under load, and comes back.
my @pids = clients(6 + $outage, 'kept');

ok(wait_sql('reports arrive', 'SELECT count(*) > 20 FROM smsflow.callback'), 'reports arrive');
$node->stop('immediate');
ok(wait_until('they are spooled', sub { ($daemon->metric('smsflowd_spooled_total') // 0) > 20 }), 'without the database they go to the spool');
my $back = time() + $outage;
wait_until('the outage is over', sub { time() >= $back }, $outage + 10);
$node->start;
waitpid($_, 0) for @pids;
my @kept = map { split(/\n/, slurp_file("$folder/kept.$_")) } 0 .. $clients - 1;
cmp_ok(scalar(@kept), '>', $messages / 2, 'reports were answered with 200, each many times');
ok(wait_until('the spool is drained', sub { ($daemon->metric('smsflowd_spool_bytes') // 1) == 0 }, 60 + 2 * $outage), 'the spool is replayed');
ok(wait_sql('all are applied', "SELECT count(*) FROM smsflow.message WHERE status = 'delivered' AND message_id IN (" . join(',', @kept) . ')', scalar(@kept), 60 + 2 * $outage),
	'no report that was answered with 200 is lost');
is(sql('SELECT count(*) FROM (SELECT FROM smsflow.report GROUP BY message_id HAVING count(*) > 1) d'), 0, '... and none is applied twice');
is(sql("SELECT count(*) FROM smsflow.report WHERE status <> 'delivered'"), 0, '... and no forged one at all');

# Load for long: what smsflowd has after the first tenth is what it needs.
if ($steady)
{
	my $warm = time() + $steady / 10;
	my @steady = clients($steady, 'steady');

	wait_until('smsflowd has warmed up', sub { time() >= $warm }, $steady / 10 + 10);
	my $had = memory();
	waitpid($_, 0) for @steady;
	note(sprintf('memory of smsflowd after a tenth and after all of %d s: %d and %d kB', $steady, $had, memory()));
	cmp_ok(memory() - $had, '<', 1024, 'memory of smsflowd is flat');
	is(sql('SELECT count(*) FROM (SELECT FROM smsflow.report GROUP BY message_id HAVING count(*) > 1) d'), 0, '... and no report is applied twice');
}

# Cut off: half a body is no report.
my $half = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $daemon->{url} =~ /(\d+)$/) or die $@;
my $before = sql('SELECT count(*) FROM smsflow.callback');
$half->syswrite("POST $url{$ids[0]} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"status\": \"fai");
$half->shutdown(1);
ok(IO::Select->new($half)->can_read(10), 'a request that is cut off ends');
is(sql('SELECT count(*) FROM smsflow.callback'), $before, '... and nothing of it is kept');

# One byte now and then never makes a request.
my $slow = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $daemon->{url} =~ /(\d+)$/) or die $@;
my $begin = time();
$slow->syswrite("GET /healthz HTTP/1.1\r\n");
{
	local $SIG{PIPE} = 'IGNORE';

	ok(wait_until('the slow client is sent away', sub {
		return 1 if IO::Select->new($slow)->can_read(0.5) && !$slow->sysread(my $byte, 1);
		$slow->syswrite('x');
		return 0;
	}, 40), 'a client that sends a byte now and then is sent away');
}
cmp_ok(time() - $begin, '<', 30, '... in time');

# Who sends without end what nobody asked for is sent away before it takes memory: requests whose answers it does not read,
# and a line of a chunk that does not end.
for my $case ([ 'requests whose answers nobody reads', '', "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" x 1000 ],
	[ 'the length of a chunk', "POST $url{$ids[0]} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", '0' x 65536 ])
{
	my ($what, $head, $more) = @$case;
	my $greedy = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $daemon->{url} =~ /(\d+)$/) or die $@;
	my $sent = 0;
	my $bytes = 0;

	local $SIG{PIPE} = 'IGNORE';
	$greedy->syswrite($head);
	while (defined $bytes && $sent < 32 << 20 && IO::Select->new($greedy)->can_write(10))
	{
		$bytes = $greedy->syswrite($more);
		$sent += $bytes // 0;
	}
	ok(!defined $bytes, "who sends $what is sent away") or diag("$sent bytes were taken");
	is($daemon->request('GET', '/healthz')->{status}, 200, '... and others are served');
}

# Connections that do nothing, from processes with as many descriptors as there are.
my $light = memory();
pipe(my $told, my $tell) or die $!;
my @holders = map {
	in_background(sub {
		my @sockets = grep { defined } map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $daemon->{url} =~ /(\d+)$/) } 1 .. 500;

		syswrite($tell, pack('N', scalar(@sockets)));
		IO::Select->new(@sockets)->can_read(20);
	})
} 1 .. $idle / 500;
my $opened = 0;
for (@holders)
{
	my $count;

	# Unbuffered, as the wait is.
	$opened += unpack('N', $count) if IO::Select->new($told)->can_read(60) && sysread($told, $count, 4);
}
is($opened, $idle, 'thousands of connections that do nothing');
quickly(5, '... do not keep others from being served', sub { is($daemon->request('GET', '/healthz')->{status}, 200, '... which are answered') });
cmp_ok(memory() - $light, '<', 200_000, '... and take less than 20 kB each');
waitpid($_, 0) for @holders;
quickly(2, 'when they were silent for long enough they are gone', sub { is($daemon->request('POST', $url{$ids[1]}, { 'Content-Type' => 'application/json' }, '{"status": "delivered"}')->{status}, 200, 'and reports arrive') });

is($daemon->stop, 0, 'smsflowd ends');
check_is_clean();
$node->stop;
done_testing();
