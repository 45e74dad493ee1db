# Applications call smsflow through the drivers they have: each subscribes a person with an array and JSON, asks for a message
# and rolls back, asks for one and commits, and sees the SQLSTATE of an argument that is wrong. Role: what grant_access() gives.

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Copy qw(copy);
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $clients = dirname(__FILE__) . '/../clients';
my $jar = '/usr/share/java/postgresql.jar';
my $node = start_server('calls', {}, 'smsflow.enabled' => 'off');
my $people = 0;

create_extension();
sql(q{SELECT smsflow.add_gateway('main', 'generic_json', 'http://127.0.0.1:1'); SELECT smsflow.add_sender('+14155550100', 'main');
	CREATE ROLE shop_app LOGIN; SELECT smsflow.grant_access('shop_app', 'app')});
my $port = listen_on_tcp('shop_app');

# Runs a client; its arguments are those that begin its command, the number of a person, and more.
sub calls
{
	my ($name, $command, @more) = @_;
	my $person = phone(++$people);
	my ($out, $error) = ('', '');

	{
		local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGUSER => 'shop_app', PGDATABASE => 'shop');
		IPC::Run::run([ @$command, $person, @more ], '>', \$out, '2>', \$error);
	}
	is($out, sql("SELECT message_id FROM smsflow.message WHERE phone = '$person' AND body = 'Order 7'") . "\nSF001\n", "$name: the id of a message, and the SQLSTATE of an error")
		or diag($error);
	is(sql("SELECT string_agg(body || ' ' || purpose || ' ' || coalesce(reason, 'permitted'), ', ') FROM smsflow.message WHERE phone = '$person'"),
		'Order 7 transactional permitted', "... what was rolled back does not exist");
	is(sql("SELECT evidence ->> 'ip' FROM smsflow.consent_event JOIN smsflow.contact c USING (contact_id) WHERE c.phone::text = '$person'"), '192.0.2.7', '... and JSON arrives');
}

my $connection = $node->connstr('shop') . ' user=shop_app';
calls('psycopg2', [ '/usr/bin/python3', "$clients/psycopg2_calls.py", $connection ], 'psycopg2');
calls('SQLAlchemy', [ '/usr/bin/python3', "$clients/psycopg2_calls.py", $connection ], 'sqlalchemy');
SKIP: {
	skip('no Java compiler or driver', 3) if !-e $jar || system('javac -version >/dev/null 2>&1') != 0;
	calls('JDBC', [ 'java', '-cp', $jar, "$clients/JdbcCalls.java", "jdbc:postgresql://127.0.0.1:$port/shop" ]);
}
SKIP: {
	my $folder = npm_packages(qw(pg@8 drizzle-orm@0.45)) or skip('node, npm or its registry is not here', 6);

	copy("$clients/node_calls.mjs", $folder);
	calls('node-postgres', [ 'node', "$folder/node_calls.mjs" ], 'pg');
	calls('Drizzle', [ 'node', "$folder/node_calls.mjs" ], 'drizzle');
}

$node->stop;
done_testing();
