# doc/cells.md does what it says: two cells and a router on one server, its blocks executed where they say, and the results shown compared.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use SmsflowDocument;
use SmsflowGateway;
use SmsflowTest;
use Test::More;

plan skip_all => 'PL/Proxy is not installed (Debian: apt-get install postgresql-15-plproxy)' if !installed_extension('plproxy');

my @cells = ('cell_0', 'cell_1');
my %where = ('every cell' => \@cells, 'the router' => ['router'], 'every server of cells' => ['postgres']);
my $gateway = SmsflowGateway->start;
my $node = start_server('cells', {}, 'smsflow.databases' => join(',', @cells), 'smsflow.public_url' => 'http://127.0.0.1:8480');

# The text of each message on the wire, and how often it was there.
sub on_wire
{
	my %times;

	$times{ $_->{query}{text} }++ for $gateway->requests;
	return join(', ', map { "$_: $times{$_}" } sort keys %times);
}

sub count_of
{
	my ($cell, $query) = @_;
	return $node->safe_psql($cell, "SELECT count(*) FROM $query");
}

# Both cells are databases of this server.
sub run_where_it_says
{
	my ($block) = @_;
	my $folder = $node->host;
	my $port = $node->port;

	$block->{sql} =~ /\A-- (.*)\n/ or die "$block->{name} does not say where";
	my @places = map { s/^(?:in|on) //r } split(/, /, $1);
	$block->{sql} =~ s{host=cell(\d)\.internal dbname=shop}{host=$folder port=$port dbname=cell_$1}g;
	for my $place (@places)
	{
		check_block($block, $_, $gateway->url) for @{ $where{$place} // die "$block->{name}: what is \"$place\"?" };
	}
}

write_secret('kannel', 'the password');
$gateway->script({ path => '/cgi-bin/sendsms', status => 202, body => '0: Accepted for delivery' });
$node->safe_psql('postgres', "CREATE DATABASE $_") for @cells, 'router';
my $number = 100;
for my $cell (@cells)
{
	my $url = $gateway->url;

	$node->safe_psql($cell, "CREATE EXTENSION smsflow; SELECT smsflow.add_gateway('kannel', 'kannel', '$url', '{\"username\": \"shop\"}');
		SELECT smsflow.add_sender('+14155550$number', 'kannel'); SELECT smsflow.suspend_rule('window'); SELECT smsflow.arm()");
	$number++;
}
run_where_it_says($_) for blocks_of('doc/cells.md');

# Whatever its separators, a number is in one cell; one without a country is in none.
is($node->safe_psql('router', q{SELECT count(DISTINCT store.cell_of(n)) FROM unnest('{+14155552671,+1 415 555-2671," +1 (415) 555.2671"}'::text[]) n}), 1, 'a number is in one cell, however it is written');
my ($status, undef, $error) = $node->psql('router', q{\set VERBOSITY sqlstate
	SELECT smsflow.send('415 555 2671', 'Hello')});
like($error, qr/SF001/, 'a number without a country is in no cell');

is(join(' ', map { count_of($_, "smsflow.contact WHERE right(phone::text, 1)::integer % 2 <> right('$_', 1)::integer") } @cells), '0 0', 'nobody is in the wrong cell');
wait_until('each cell has sent its messages', sub { on_wire() =~ /order.*table/ }, 60);
like(on_wire(), qr/Your order is on its way: 1, Your table is ready: 1/, 'each once');
is(count_of('cell_1', q{smsflow.consent_event WHERE kind = 'revoke'}) . ' ' . count_of('cell_0', q{smsflow.consent_event WHERE kind = 'revoke'}), '1 0', 'a STOP is in the ledger of its cell alone');
like($node->safe_psql('router', q{SELECT string_agg(what, ', ') FROM smsflow.explain('+14155552670', 1)}), qr/asked for/, 'a message is explained by its cell');
like($node->safe_psql('router', q{SELECT string_agg(DISTINCT cell, ', ') FROM store.health_of_cells()}), qr/^(|cell_0|cell_1|cell_0, cell_1)$/, 'health of all cells');
is(join(' ', map { count_of($_, 'smsflow.check() WHERE violations > 0') } @cells), '0 0', 'all promises are kept');

# Only the people of a cell that is away notice.
$node->safe_psql('postgres', q{ALTER DATABASE cell_1 ALLOW_CONNECTIONS false; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'cell_1'});
isnt($node->psql('router', q{SELECT smsflow.send('+14155552671', 'Anybody there?')}), 0, 'a call for somebody of a cell that is away fails');
is($node->psql('router', q{SELECT smsflow.send('+14155552670', 'Still here')}), 0, 'one for somebody else does not');
wait_until('and is sent', sub { on_wire() =~ /Still here: 1/ }, 60);

$gateway->stop;
$node->stop;
done_testing();
