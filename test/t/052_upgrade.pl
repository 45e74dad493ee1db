# An older release becomes the current one by ALTER EXTENSION UPDATE: object by object like a fresh installation, with all
# its data. Until then the new library's worker idles, says so, and what waited is sent afterwards, once.
#
# Released scripts are in test/upgrade; test/upgrade/example is a release that never was, so that there is always one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use File::Basename qw(basename dirname);
use File::Path qw(make_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $scripts = "$FindBin::RealBin/../upgrade";
my ($installation, $fresh);
sub pg_config { my ($what) = @_; my $text = `@{[$ENV{PG_CONFIG} // 'pg_config']} --$what`; chomp($text); return $text; }

# The installation once more, in a folder of ours, with more scripts of the extension; the path of the installation.
sub installation_with
{
	my $top = PostgreSQL::Test::Utils::tempdir();
	my ($bin, $lib, $share) = map { pg_config($_) } qw(bindir pkglibdir sharedir);

	make_path("$top$bin", "$top$lib", "$top$share/extension");
	system('cp', glob("$bin/*"), "$top$bin") == 0 or die "cp: $?";
	for my $file (glob("$lib/*"), grep({ !/\/extension$/ } glob("$share/*")), glob("$share/extension/*"), @_)
	{
		my $place = index($file, $scripts) == 0 ? "$share/extension/" . basename($file) : $file;

		symlink($file, "$top$place") or die "$place: $!";
	}
	return "$top" . dirname($bin);
}

# A dump that shows what belongs to the extension, too: it is made of a copy whose objects no longer know that they do.
sub dump_of
{
	my ($database) = @_;
	my $node = $SmsflowTest::node;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/dump';

	$node->safe_psql('postgres', "CREATE DATABASE bare TEMPLATE $database");
	$node->safe_psql('bare', "SET allow_system_table_mods = on;
		DELETE FROM pg_depend WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'smsflow')");
	command_ok([ 'pg_dump', '--schema-only', '-f', $file, $node->connstr('bare') ], "pg_dump of $database");
	$node->safe_psql('postgres', 'DROP DATABASE bare');
	# From version 15.14 on a dump has a key of its own.
	return join('', grep { !/^\\(un)?restrict / } split(/^/, slurp_file($file)));
}

sub dumped_configuration
{
	return $SmsflowTest::node->safe_psql($_[0], "SELECT x::regclass || ' ' || c FROM pg_extension, unnest(extconfig, extcondition) AS u (x, c)
		WHERE extname = 'smsflow' ORDER BY 1");
}

sub builtin_rows
{
	return $SmsflowTest::node->safe_psql($_[0], "SELECT query_to_xml(format('SELECT to_jsonb(t) AS r FROM %s t ORDER BY 1', attrelid::regclass), true, true, '')
		FROM pg_attribute JOIN pg_class c ON c.oid = attrelid AND relkind = 'r' WHERE attname = 'builtin' AND relnamespace = 'smsflow'::regnamespace ORDER BY attrelid::regclass::text");
}

sub test_objects
{
	my ($release) = @_;
	my $database = "from_$release" =~ tr/./_/r;

	$SmsflowTest::node->safe_psql('postgres', "CREATE DATABASE $database");
	$SmsflowTest::node->safe_psql($database, "CREATE EXTENSION smsflow VERSION '$release'");
	isnt(dump_of($database), $fresh, "$release: it was another");
	$SmsflowTest::node->safe_psql($database, 'ALTER EXTENSION smsflow UPDATE');
	is(dump_of($database), $fresh, '... updated, it has every object, comment and right of a fresh installation');
	is(builtin_rows($database), builtin_rows('fresh'), '... the rows that smsflow brings');
	is(dumped_configuration($database), dumped_configuration('fresh'), '... and dumps the same tables');
}

# A query of what the store has, without the rows that smsflow brings
sub data_of_shop
{
	return "SELECT c.relname, query_to_xml(format('SELECT to_jsonb(t) - ''nickname'' AS r FROM %s t %s ORDER BY 1', c.oid::regclass,
			(SELECT 'WHERE NOT builtin' FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'builtin')), true, true, '')
		FROM pg_class c WHERE c.relnamespace = 'smsflow'::regnamespace AND c.relkind = 'r' AND c.relname <> 'profile_delta' ORDER BY 1";
}

sub fill_shop
{
	my ($release, $gateway) = @_;

	create_extension($release);
	sql("SELECT count(smsflow.subscribe('" . phone(1) . "', '{transactional,promotional}', level => 'confirmed'))");
	add_route('main', $gateway);
	sql('SELECT smsflow.arm()');
	sql("UPDATE smsflow.auto_reply SET body = 'The shop says: ' || body WHERE action = 'help' AND language = '';
		UPDATE smsflow.gateway_profile SET path = '/ours' WHERE profile = 'jasmin'");
	send_sms('main', $_, 'promotional') for qw(one two three);
}

sub test_with_data
{
	my ($release) = @_;
	my $gateway = SmsflowGateway->start;
	my $data = data_of_shop();
	my $before;

	start_server("data_$release", { install_path => $installation });
	fill_shop($release, $gateway);
	ok(wait_for_worker('ALTER EXTENSION smsflow UPDATE is needed'), "$release: the new worker idles with the old release's tables");
	like(sql("SELECT ok || ' ' || message || ' ' || hint FROM smsflow.health() WHERE component = 'version'"),
		qr/^false extension \Q$release\E, library .* ALTER EXTENSION smsflow UPDATE/, '... health() says what to do');
	is(scalar $gateway->requests, 0, '... nothing was sent');
	$before = sql($data);
	is(sql("BEGIN; ALTER EXTENSION smsflow UPDATE; $data; COMMIT"), $before, '... the update changes no row of the store');
	is(sql("SELECT path FROM smsflow.gateway_profile WHERE profile = 'jasmin' AND NOT builtin"), '/ours', '... what the store changed in built-in rows stays');
	is(sql("SELECT count(*) FROM smsflow.auto_reply WHERE body LIKE 'The shop says%'"), 1, '... in each of the tables');
	wait_for_worker('running');
	ok(wait_settled(60), '... updated, the worker sends what waited');
	is(join(' ', sort map { $_->{text} } $gateway->requests), 'one three two', '... each once');
	is(sql("SELECT string_agg(ok::text, '') FROM smsflow.health() WHERE component = 'version'"), 'true', '... and health() is content');
	check_is_clean();
	is(error_of("ALTER EXTENSION smsflow UPDATE TO '9.9.9'"), 'SF008', 'an update that the running server has not loaded is refused');
	$SmsflowTest::node->stop;
}

my $current = sub { my ($text) = @_; $text =~ /default_version = '(.*)'/ ? $1 : die }->(slurp_file(pg_config('sharedir') . '/extension/smsflow.control'));
my @released = grep { basename($_) ne "smsflow--$current.sql" } glob("$scripts/*.sql");
my @releases = map { /smsflow--([0-9.]+)\.sql$/ ? $1 : () } @released, glob("$scripts/made/*.sql");

$installation = installation_with(@released, glob("$scripts/made/*.sql"));
start_server('objects', { install_path => $installation });
$SmsflowTest::node->safe_psql('postgres', 'CREATE DATABASE fresh');
$SmsflowTest::node->safe_psql('fresh', 'CREATE EXTENSION smsflow');
$fresh = dump_of('fresh');
test_objects($_) for @releases;
$SmsflowTest::node->stop;
test_with_data($_) for @releases;
done_testing();
