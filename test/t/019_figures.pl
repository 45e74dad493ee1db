# What reads the figures: every query of the dashboards runs with the rights they ask for, and every view is read by the
# clients that BI tools are built on, which know each of its types.

use strict;
use warnings;

use File::Basename qw(basename dirname);
use File::Copy qw(copy);
use JSON::PP ();
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $here = dirname(__FILE__);
my $node = start_server('figures', {});

create_extension();
sql('CREATE ROLE viewer LOGIN; CREATE ROLE chief LOGIN');
sql("SELECT smsflow.grant_access('viewer', 'analyst'); SELECT smsflow.grant_access('chief', 'analyst'); SELECT smsflow.grant_access('chief', 'operator')");

# A row in most views, so that values are read, too.
sql("SELECT smsflow.subscribe('+14155550001', '{transactional,promotional}'), smsflow.add_gateway('main', 'generic_json', 'http://127.0.0.1:1')");
sql("SELECT smsflow.add_sender('+14155550100', 'main'), smsflow.create_segment('all', 'true'), smsflow.record_event('+14155550001', 'order', 'A', amount => 5, currency => 'USD')");
sql("SELECT smsflow.create_campaign('spring', 'all', 'Hello. Reply STOP to end'), smsflow.send('+14155550001', 'Hello', 'transactional')");
sql("SELECT smsflow.create_sequence('carts', 'cart'), smsflow.add_step('carts', '1 hour', 'Still there? Reply STOP to end'), smsflow.opt_out('+14155550001')");

# Grafana puts ranges and variables into a query before it sends it.
sub as_sent
{
	my ($query) = @_;

	$query =~ s/\$__timeFilter\((.*?(?:\(.*?\))*)\)(?=\s|$)/$1 BETWEEN now() - interval '7 days' AND now()/g;
	$query =~ s/\$\{campaign:sqlstring\}/'spring'/g;
	return $query;
}

for my $file (sort glob("$here/../../src/metrics/dashboards/*.json"))
{
	my $board = JSON::PP->new->utf8->decode(slurp_file($file));
	my $role = $board->{uid} eq 'smsflow-queue' ? 'chief' : 'viewer';
	my @queries = ((map { [ $_->{title}, $_->{targets}[0]{rawSql} ] } @{ $board->{panels} }),
		map { [ "variable $_->{name}", $_->{query} ] } grep { $_->{type} eq 'query' } @{ $board->{templating}{list} });

	cmp_ok(scalar(@queries), '>', 4, basename($file) . ' has panels');
	for my $query (@queries)
	{
		my ($title, $sql) = @$query;
		my $code = $node->psql('shop', as_sent($sql), connstr => $node->connstr('shop') . " user=$role", stderr => \my $error);

		is("$code" . ($error // ''), '0', "$title: " . basename($file));
	}
}

# Names of views and columns as the catalog has them, each known to the client.
my $expected = sql("SELECT string_agg(c.relname || ' ' || a.attname || ' known', E'\\n' ORDER BY c.relname, a.attnum) FROM pg_class c
	JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 WHERE c.relnamespace = 'smsflow_bi'::regnamespace AND c.relkind = 'v'");

sub reads_all
{
	my ($client, @command) = @_;
	my ($out, $error) = ('', '');
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGUSER => 'viewer', PGDATABASE => 'shop');

	IPC::Run::run(\@command, '>', \$out, '2>', \$error);
	my %seen = map { $_ => 1 } split(/\n/, $out);
	is(join("\n", grep { !$seen{$_} } split(/\n/, $expected)) . join("\n", grep { / unknown( type .*)?$/ } keys %seen), '', "$client reads every view and knows every type")
		or diag($error);
}

my $python = '/usr/bin/python3';
reads_all('psycopg2', $python, "$here/../clients/psycopg2_client.py", $node->connstr('shop') . ' user=viewer');
reads_all('SQLAlchemy', $python, "$here/../clients/sqlalchemy_client.py", $node->connstr('shop') . ' user=viewer');

# Java connects over TCP only.
SKIP:
{
	my $jar = '/usr/share/java/postgresql.jar';

	skip 'no Java compiler or driver', 1 if !-e $jar || system('javac -version >/dev/null 2>&1') != 0;
	my $port = listen_on_tcp('viewer');

	reads_all('JDBC', 'java', '-cp', $jar, "$here/../clients/JdbcClient.java", "jdbc:postgresql://127.0.0.1:$port/shop", 'viewer');
}
SKIP:
{
	my $folder = npm_packages(qw(pg@8 drizzle-orm@0.45 drizzle-kit@0.31)) or skip 'node, npm or its registry is not here', 2;
	my $config = { dialect => 'postgresql', out => $folder, schemaFilter => [ 'smsflow_bi' ],
		dbCredentials => { host => $node->host, port => 0 + $node->port, user => 'viewer', database => 'shop', ssl => JSON::PP::false } };

	local $ENV{NODE_PATH} = "$folder/node_modules";
	reads_all('node-postgres', 'node', "$here/../clients/node_client.js");

	append_to_file("$folder/drizzle.config.json", JSON::PP->new->encode($config));
	copy("$here/../clients/drizzle_client.mjs", $folder);
	system("cd '$folder' && PATH=node_modules/.bin:\$PATH && HOME='$folder' timeout 60 drizzle-kit pull --config=drizzle.config.json >pull.log 2>&1"
			. " && esbuild schema.ts --format=esm --outfile=schema.mjs >>pull.log 2>&1") == 0 or diag(slurp_file("$folder/pull.log"));
	reads_all('Drizzle', 'node', "$folder/drizzle_client.mjs");
}

$node->stop;
done_testing();
