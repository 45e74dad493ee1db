# A million messages at a steady rate, to gateways that close connections and fail now and then, with their delivery
# reports: the worker must not grow. Its own memory, its descriptors and the connections of the server are noted all the
# while, and the second half is compared with the first.
#
#   make soak-steady STEADY_MESSAGES=100000 SOAK_SECONDS=180      default: 1,000,000 in 1,800 seconds

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(max);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowSink;
use SmsflowTest;
use Test::More;
use Time::HiRes qw(time);

my $messages = $ENV{STEADY_MESSAGES} // 1_000_000;
my $seconds = $ENV{SOAK_SECONDS} // 1800;
my $batch = 20;
my $contacts = 5000;
my $transactions = int($messages / $batch);
my $sink = SmsflowSink->start('-k', 'reference', '-K', 1000, '-e', 0.5, '-r', 0.1);
my $node = start_server('steady', {}, 'smsflow.max_in_flight' => 32, 'smsflow.public_url' => 'https://sms.shop.example',
	'shared_buffers' => '256MB', 'max_wal_size' => '4GB', 'autovacuum_naptime' => '20s');
my $load = PostgreSQL::Test::Utils::tempdir() . '/load.sql';

create_shop($contacts);
add_route('main', $sink, rate => 5000, burst => 500, gateway => '{"rate": 5000, "burst": 500}');
add_route('other', $sink, rate => 5000, burst => 500, gateway => '{"rate": 5000, "burst": 500}');
append_to_file($load, <<"SQL");
\\set first random(1, $contacts - $batch)
\\set kind random(1, 5)
\\set route random(1, 2)
SELECT count(smsflow.send('+1415555' || to_char(:first + g, 'FM0000'), 'steady', (ARRAY['promotional', 'promotional', 'cart', 'transactional', 'conversational'])[:kind],
	pool => (ARRAY['main', 'other'])[:route])) FROM generate_series(1, $batch) g;
SELECT count(smsflow.receive_callback(m.gateway, 'POST', substring(smsflow.callback_url(m.gateway, m.message_id, 1) FROM '/callback/.*'),
	'', '{"content-type": "application/json"}', '{"status": "delivered"}'))
FROM (SELECT a.message_id, g.name AS gateway FROM smsflow.attempt a JOIN smsflow.sender s USING (sender_id) JOIN smsflow.gateway g USING (gateway_id)
	WHERE a.outcome = 'accepted' AND a.attempt = 1
		AND a.message_id BETWEEN (SELECT last_value - 5000 FROM smsflow.message_id_seq) AND (SELECT last_value - 5001 + $batch FROM smsflow.message_id_seq)) m;
SQL

# What the worker has now, and how many connections the server.
sub measure
{
	my ($worker) = @_;
	my ($memory) = slurp_file("/proc/$worker/status") =~ /RssAnon:\s+(\d+)/;
	my @open = map { readlink($_) // () } glob("/proc/$worker/fd/*");

	return { memory => $memory, descriptors => scalar(@open), sockets => scalar(grep { /^socket:/ } @open),
		connections => sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"),
		sent => sql('SELECT sum(sent) FROM smsflow.stat_worker') };
}

# A measurement each time that pgbench says how far it is, a hundred times.
sub measure_while_loaded
{
	my ($worker) = @_;
	my @found;

	open(my $progress, '-|', sprintf("pgbench -n -h '%s' -p %d -P %d -R %f -t %d -f '%s' shop 2>&1",
		$node->host, $node->port, max(1, $seconds / 100), $transactions / $seconds, $transactions, $load)) or die "pgbench: $!";
	while (<$progress>)
	{
		push(@found, measure($worker)) if /^progress:/;
		note($_) if /tps|failed|error/i && !/^progress:/;
	}
	ok(close($progress), 'the load is over');
	return @found;
}

my $worker = worker_pid();
my $begin = time();
my @found = measure_while_loaded($worker);
ok(wait_sql('queues are empty', 'SELECT coalesce(sum(waiting), 0) FROM smsflow.stat_queue', '0', 600), 'all queues are worked off');
push @found, measure($worker);

# The first tenth is for warming up.
my @after = @found[ @found / 10 .. $#found ];
my @first = @after[ 0 .. @after / 2 - 1 ];
my @second = @after[ @after / 2 .. $#after ];
my ($half, $all) = map { my $part = $_; +{ map { my $what = $_; $what => max(map { $_->{$what} } @$part) } keys %{ $found[0] } } } \@first, \@second;

diag(sprintf('measured: %d messages sent in %d s, %d measurements', $all->{sent}, time() - $begin, scalar(@found)));
diag("measured: most $_: $half->{$_} in the first half, $all->{$_} in the second; at its begin $first[0]{$_}, at the end $found[-1]{$_}")
	for qw(memory descriptors sockets connections);
is(worker_pid(), $worker, 'the worker is still the same');
cmp_ok($all->{memory}, '<=', $half->{memory} + 2048, 'its own memory (kB) does not grow');
cmp_ok($all->{descriptors}, '<=', $half->{descriptors} + 8, 'its descriptors do not');
cmp_ok($all->{connections}, '<=', $half->{connections} + 1, 'nor the connections of the server');
ok(wait_settled(300), 'every message comes to an end');
cmp_ok(sql("SELECT count(*) FROM smsflow.message WHERE status = 'delivered'"), '>', $messages / 2, 'most are reported');
check_is_clean();
$node->stop;
done_testing();
