# A network that loses what it carries: requests and answers come late, in part, or never, and connections break. Every
# message comes to an end that its proof allows, nothing promotional is sent twice, and the gateway at the side works.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowRelay;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;
my $healthy = SmsflowGateway->start;
my $seed = $ENV{SMSFLOW_SEED} // time();
my $relay = SmsflowRelay->start($gateway->{port}, seed => $seed, late => 0.1, lost => 0.02, cut => 0.02, reset => 0.02);
my $node = start_server('loss');

note("SMSFLOW_SEED=$seed");
create_shop(100);
add_route('lossy', $relay, gateway => '{"timeout": 3, "max_in_flight": 32}');
add_route('healthy', $healthy);
sql("SELECT count(smsflow.send('+1415555' || to_char(n, 'FM0000'), 'offer', 'promotional', pool => 'lossy')),
	count(smsflow.send('+1415555' || to_char(n, 'FM0000'), 'your code', 'otp', pool => CASE WHEN n % 2 = 0 THEN 'lossy' ELSE 'healthy' END, expires_in => '1 hour'))
	FROM generate_series(1, 100) n");
ok(wait_sql('the neighbour is through', "SELECT count(*) FROM smsflow.message WHERE gateway = 'healthy' AND status = 'accepted' AND attempts = 1", 50), 'a gateway at the side works');
ok(wait_settled(120), 'every message comes to an end') or diag(sql("SELECT at, what, detail FROM smsflow.message m, smsflow.explain(m.message_id) WHERE m.status NOT IN ('accepted', 'in_doubt') LIMIT 20"), sql('SELECT * FROM smsflow.stat_gateway'));

my $requests = $gateway->by_message;
my %purpose = map { split(/\|/) } split(/\n/, sql("SELECT message_id, purpose FROM smsflow.message WHERE sender = (SELECT address FROM smsflow.sender WHERE pool = 'lossy')"));
my %most = (promotional => 1, otp => 2);

is(sql("SELECT count(*) FROM smsflow.message WHERE status IN ('accepted', 'in_doubt')"), 200, '... which its proof allows');
is(join(' ', grep { @{ $requests->{$_} // [] } > $most{ $purpose{$_} } } sort keys %purpose), '', '... no offer is sent twice, and no code three times');
is(join(' ', grep { !$requests->{$_} } split /\n/, sql("SELECT message_id FROM smsflow.message WHERE status = 'accepted' AND message_id = ANY ('{@{[join ',', keys %purpose]}}')")),
	'', '... what is accepted was requested');
is(sql("SELECT count(*) FROM smsflow.message m WHERE status = 'in_doubt' AND NOT EXISTS (SELECT FROM smsflow.in_doubt d WHERE d.message_id = m.message_id)"), 0,
	'... what is in doubt is listed');
cmp_ok(sql("SELECT count(*) FROM smsflow.message WHERE status = 'in_doubt'"), '>', 0, '... as something is');
check_is_clean();
quickly(5, 'pg_ctl stop -m fast', sub { $node->stop('fast') });
done_testing();
