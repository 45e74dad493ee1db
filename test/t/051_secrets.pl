# A gateway's secret is in the request and nowhere else: not in tables, views, WAL, logs, statistics of statements, a dump or a standby, even
# when the gateway says it back, when every statement is logged, and when the worker dies with it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use File::Find;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $canary = 'canary-9d41c0a7e5';
my $gateway = SmsflowGateway->start;
my $node = start_server('secretive', { allows_streaming => 1 }, 'log_statement' => 'all', 'log_min_messages' => 'debug2', 'log_error_verbosity' => 'verbose',
	'log_min_duration_statement' => '0', 'restart_after_crash' => 'on',
	'shared_preload_libraries' => 'smsflow, pg_stat_statements', 'pg_stat_statements.track' => 'all');

# What a search must not find: the secret as it is, as basic authentication and as a form has it
my @forms = ($canary, substr(encode_base64("user:$canary", ''), 8, 16), join('', map { sprintf('%02x', ord) } split(//, $canary)));

sub files_with_it
{
	my @found;

	find({ no_chdir => 1, wanted => sub {
		my $text = -f $_ && -r _ ? slurp_file($_) : '';

		for my $form (@forms) { push(@found, "$File::Find::name: $form") if index($text, $form) >= 0; }
	} }, @_);
	return @found;
}

create_shop(3);
sql('CREATE EXTENSION pg_stat_statements');
add_route('bearer', $gateway, secret => $canary);
add_route('basic', $gateway, secret => $canary, profile => 'twilio', gateway => '{"account": "AC1", "username": "user"}');
wait_status(send_sms('bearer', 'It is {{name}}', 'transactional', vars => q('{"name": "{{secret}} {{to}}"}')), 'accepted', 'a value that asks for the secret goes');
is(($gateway->requests)[-1]{text}, 'It is {{secret}} {{to}}', '... as it is');
$gateway->script({ match => 'says it back', status => 400, body => qq({"error": "no such token $canary", "message": "Authorization: $canary"}) });
wait_status(send_sms('bearer', 'well', 'transactional'), 'accepted', 'a message goes with a bearer token');
ok((grep { ($_->{headers}{authorization} // '') =~ /\Q$canary\E/ } $gateway->requests), '... which is the secret');
my $refused = send_sms('bearer', 'says it back', 'transactional');
ok(wait_sql('it is refused', "SELECT count(*) > 0 FROM smsflow.attempt WHERE message_id = $refused AND http_status = 400"),
	'a gateway refuses another, and says the secret back');
send_sms('basic', 'well', 'transactional');
ok(wait_until('basic authentication is used', sub { grep { ($_->{headers}{authorization} // '') =~ /^Basic / } $gateway->requests }), 'a message goes with basic authentication');
$node->psql('shop', "CALL smsflow.test_gateway('bearer', '" . phone(1) . "')");
$node->psql('shop', $_) for "SELECT * FROM smsflow.health()", "SELECT smsflow.set_gateway('bearer', enabled => false)", "SELECT smsflow.set_gateway('bearer', options => '{\"nonsense\": 1}')";
unlike(sql('SELECT json_agg(g)::text FROM smsflow.gateway g') . sql('SELECT json_agg(t)::text FROM smsflow.gateway_trace t'), qr/\Q$canary\E/, 'no table shows it');
unlike(join(' ', map { sql("SELECT string_agg(v::text, ' ') FROM $_ v") } split(/\n/, sql("SELECT oid::regclass FROM pg_class
	WHERE relkind = 'v' AND relnamespace IN ('smsflow'::regnamespace, 'smsflow_bi'::regnamespace)"))), qr/\Q$canary\E/, '... and no view');
sql("SELECT smsflow.set_secret('other', 'for-development-only')");
my $statements = sql("SELECT string_agg(query, ' ') FROM pg_stat_statements");
like($statements, qr/set_secret/, 'statistics of statements are kept');
unlike($statements, qr/for-development|\Q$canary\E/, '... without a secret, even of the call that sets one');
$node->psql('shop', 'CHECKPOINT');
$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
kill_worker();
sql("SELECT smsflow.set_gateway('bearer', enabled => true)");
my $last = send_sms('bearer', 'while there is a standby', 'transactional');
wait_status($last, 'accepted', 'a message goes while there is a standby');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is($standby->safe_psql('shop', "SELECT count(*) FROM smsflow.outbox WHERE message_id = $last"), '1', '... which has what the server has');
$standby->stop;
command_ok([ 'pg_dump', '-f', $node->basedir . '/dump', $node->connstr('shop') ], 'pg_dump');
$node->stop;
is(join("\n", files_with_it($node->data_dir, $node->logfile, $node->basedir . '/dump', $node->backup_dir, $standby->data_dir, $standby->logfile)), '', 'no file of the server has it: tables, WAL, temporary files, log, dump, base backup, standby');
ok(-s $node->logfile > 100_000, '... and the log says much');
done_testing();
