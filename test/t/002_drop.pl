# The extension can be dropped and made again at any moment, also while messages are sent: DROP neither fails nor hangs, and
# the worker finds the new one. DROP_TIMES=50 tries longer.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;
use Time::HiRes qw(time);

my $times = $ENV{DROP_TIMES} // 3;
my $gateway = SmsflowGateway->start;
my $node = start_server('dropped', {}, 'smsflow.sweep_interval' => '100ms');
my ($sent, $longest) = (0, 0);

for my $time (1 .. $times)
{
	create_shop(20);
	add_route('route', $gateway);
	sql("SELECT count(smsflow.send('+1415555' || to_char(1 + n % 20, 'FM0000'), 'Hello', 'transactional', pool => 'route')) FROM generate_series(1, 200) n");
	ok(wait_sql('some are sent', "SELECT count(*) > 0 FROM smsflow.attempt"), "$time: messages leave");
	$sent++ if sql('SELECT sum(waiting) FROM smsflow.stat_queue') > 0;
	my $begin = time();
	is(error_of("SET statement_timeout = '60s'; DROP EXTENSION smsflow CASCADE"), 'none', '... and the extension is dropped meanwhile');
	$longest = time() - $begin if time() - $begin > $longest;
}
note(sprintf('%d of %d times messages waited, the longest DROP took %.1f s', $sent, $times, $longest));
create_shop(1);
add_route('route', $gateway);
wait_status(send_sms('route', 'Hello', 'transactional'), 'accepted', 'the last one works');
check_is_clean();

$node->safe_psql('postgres', "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
my (undef, undef, $error) = $node->psql('latin', "\\set VERBOSITY sqlstate\nCREATE EXTENSION smsflow");
like($error, qr/0A000/, 'a database that cannot hold every reply gets no extension');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal/, 'no process died');
done_testing();
