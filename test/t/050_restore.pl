# The store's database moves: a dump that is restored in another cluster, a base backup that is recovered, and a cluster that
# pg_upgrade takes over have everything but the right to send, and the dump no secrets. Armed, they send what waits, once,
# and nothing that was sent before, however many workers they have.
#
# $ENV{oldinstall} names the installation that the database comes from, as in PostgreSQL's own test of pg_upgrade; without
# it, it is this one. test/packages.sh comes from 15 to 17.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

# Left out of a dump on purpose: see src/ops/dump.sql. The worker folds counters on its own.
# Every contact that comes is noted once more for its facts, which changes nothing.
my @stays = qw(secret arming worker_start seal_note import_row gateway_trace otp otp_block profile_delta);

my $gateway = SmsflowGateway->start;
my $original = start_server('original', { allows_streaming => 1, has_archiving => 1, $ENV{oldinstall} ? (install_path => $ENV{oldinstall}) : () });
my $secrets = $SmsflowTest::secrets;
my $folder = PostgreSQL::Test::Utils::tempdir();
my ($before, $sent);

# The transaction ids of the original are far ahead of those of a new cluster.
sub use_transaction_ids { sql('DO $$ BEGIN FOR n IN 1 .. 3000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$'); }

# Something of everything: sent, waiting, scheduled and refused messages, in a segment made at run time, too.
sub fill_shop
{
	create_shop(20);
	use_transaction_ids();
	add_route('main', $gateway);
	sql(q{SELECT smsflow.set_secret('canary', 'canary-4711')});
	sql(q{SELECT smsflow.create_segment('all', 'true'); SELECT smsflow.create_sequence('thanks', 'order', '{"pool": "main", "purpose": "transactional"}');
		SELECT smsflow.add_step('thanks', '1 hour', 'Thanks'); SELECT smsflow.enable_sequence('thanks')});
	sql("SELECT smsflow.record_event('" . phone(3) . "', 'order', 'order 1', '{}')");
	sql("SELECT smsflow.create_campaign('news', 'all', 'News', options => '{\"pool\": \"main\"}'); SELECT smsflow.launch_campaign('news')");
	ok(wait_sql('the campaign is sent', "SELECT count(*) FROM smsflow.message WHERE campaign = 'news' AND status = 'accepted'", '20'), 'a campaign is sent');
	wait_sql('the sequence has begun', 'SELECT count(*) FROM smsflow.enrollment', '1');
	sql("SELECT smsflow.opt_out('" . phone(2) . "', '{promotional}', 'support')");
	sql(q{SELECT smsflow.set_link_domain('https://go.shop.example')});
	wait_status(send_sms('main', 'See {{url|link}}', 'transactional', vars => q('{"url": "https://shop.example/1"}')), 'accepted', 'a message with a link is sent');
	sql("SELECT smsflow.set_gateway('main', enabled => false)");
	sql("SELECT setval('smsflow.message_id_seq', last_value + 1048576) FROM smsflow.message_id_seq; SELECT smsflow.make_segments()");
	send_sms('main', 'waits', 'transactional', to => phone($_)) for 4 .. 8;
	send_sms('main', 'is scheduled', 'transactional', send_at => "now() + '1 second'");
	send_sms('main', 'is refused', 'promotional', to => phone(2));
	sql("UPDATE smsflow.brand SET name = 'Acme'; UPDATE smsflow.gateway_profile SET validity = '[60,3600)' WHERE profile = 'generic_json'");
	sql("UPDATE smsflow.alert_rule SET enabled = false; UPDATE smsflow.recipe SET needs = 'ours: ' || needs");
	wait_sql('what is counted is folded', 'SELECT (SELECT count(*) FROM smsflow.metric_delta) + (SELECT count(*) FROM smsflow.profile_delta) + (SELECT count(*) FROM smsflow.profile_sent)', '0');
	$original->append_conf('postgresql.conf', "smsflow.databases = ''\n");
	$original->restart;
	$sent = scalar $gateway->requests;
}

# Of each table with rows of the store what its rows are, and of each sequence where it stands
sub contents
{
	my ($node) = @_;
	my $left_out = join(', ', map { "'$_'" } @stays);

	return $node->safe_psql('shop', "SELECT c.relname, CASE c.relkind
			WHEN 'S' THEN query_to_xml(format('SELECT last_value, is_called FROM %s', c.oid::regclass), true, true, '')::text
			ELSE md5(query_to_xml(format('SELECT to_jsonb(t) - ''xid'' AS r FROM %s t ORDER BY 1', c.oid::regclass), true, true, '')::text) END
		FROM pg_class c WHERE c.relnamespace = 'smsflow'::regnamespace AND c.relkind IN ('r', 'S') AND c.relname NOT IN ($left_out) ORDER BY 1");
}

# What a copy must be like, whatever way it came, until it is armed and after.
sub test_copy
{
	my ($name, $reason) = @_;

	wait_for_worker('disarmed');
	is(sql("SELECT ok || ': ' || message FROM smsflow.health() WHERE component = 'armed'"), "false: $reason", "$name: it is disarmed, and says why");
	is(sql("SELECT count(*) FROM smsflow.secret WHERE name = 'canary'"), $name eq 'dump' ? 0 : 1, '... of secrets a dump has no copy');
	sql("SELECT smsflow.set_gateway('main', enabled => true)");
	wait_sql('its worker has looked since', "SELECT bool_and(last_turn > now() - '1 hour'::interval) FROM smsflow.stat_worker");
	is(scalar $gateway->requests, $sent, '... nothing is sent');
	sql('SELECT smsflow.arm()');
	wait_for_worker('running');
	ok(wait_settled(60), '... until somebody arms it');
	my @new = ($gateway->requests)[ $sent .. $gateway->requests - 1 ];
	is(join(', ', sort map { $_->{text} } @new), 'is scheduled' . ', waits' x 5, '... what waited is sent, nothing twice');
	is(sql("SELECT count(*) FROM smsflow.message WHERE body = 'is refused' AND status = 'suppressed'"), 1, '... an opt-out holds');
	check_is_clean();
	$SmsflowTest::node->stop;
}

sub test_dump
{
	my $restored;

	command_ok([ 'pg_dump', '-f', "$folder/dump", $original->connstr('shop') ], 'pg_dump');
	unlike(slurp_file("$folder/dump"), qr/canary-4711/, '... without secrets');
	$original->backup('base');
	$original->stop;
	$restored = start_server('restored', {}, 'smsflow.secrets_dir' => $secrets, 'smsflow.workers' => 2);
	command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$folder/dump", $restored->connstr('shop') ], 'the dump is restored in another cluster');
	is(contents($restored), $before, '... every row is there, and no built-in one twice');
	is(sql("SELECT count(*) FROM smsflow.profile_delta WHERE kind <> 'contact'"), 0, '... nothing that happened counts again');
	test_copy('dump', 'this database was never armed');
}

# It is the same cluster to itself, but for its timeline.
sub test_base_backup
{
	my $recovered = PostgreSQL::Test::Cluster->new('recovered', $ENV{oldinstall} ? (install_path => $ENV{oldinstall}) : ());

	$recovered->init_from_backup($original, 'base', has_restoring => 1, standby => 0);
	$recovered->append_conf('postgresql.conf', "smsflow.databases = 'shop'\nsmsflow.workers = 4\nsmsflow.arm_policy = 'timeline'\n");
	$recovered->start;
	$SmsflowTest::node = $recovered;
	ok(wait_sql('recovery is over', 'SELECT NOT pg_is_in_recovery()'), 'a base backup is recovered');
	is(contents($recovered), $before, '... every row is there');
	$sent = scalar $gateway->requests;
	test_copy('base backup', 'the server was promoted or recovered since it was armed');
}

sub test_upgrade
{
	my $upgraded = PostgreSQL::Test::Cluster->new('upgraded');
	$upgraded->init(extra => [ '-E', 'UTF8', '--no-locale' ]);
	$upgraded->append_conf('postgresql.conf', "shared_preload_libraries = 'smsflow'\n");
	chdir($folder);
	command_ok([ 'pg_upgrade', '--no-sync', '-d', $original->data_dir, '-D', $upgraded->data_dir,
			'-b', $original->config_data('--bindir'), '-B', $upgraded->config_data('--bindir'),
			'-s', $folder, '-p', $original->port, '-P', $upgraded->port ], 'pg_upgrade');
	$upgraded->append_conf('postgresql.conf', "smsflow.allow_insecure_gateway = on\nsmsflow.sweep_interval = '1s'\nsmsflow.secrets_dir = '$secrets'\n");
	$upgraded->start;
	is(contents($upgraded), $before, '... every row is there');
	$upgraded->append_conf('postgresql.conf', "smsflow.databases = 'shop'\n");
	$upgraded->restart;
	$SmsflowTest::node = $upgraded;
	$sent = scalar $gateway->requests;
	test_copy('upgrade', 'this is a copy: it was armed in another database cluster');
}

fill_shop();
$before = contents($original);
test_dump();
test_base_backup();
test_upgrade();
done_testing();
