# The guides in doc/ do what they say: the SQL blocks of each are executed in order, in a database of its own that has what
# "First SMS" of README.md makes, and the results shown are compared (SmsflowDocument). What documents name exists.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use SmsflowDocument;
use SmsflowGateway;
use SmsflowTest;
use Test::More;

# Cells have a test of their own, 045_cells.pl.
my @guides = grep { $_ ne 'doc/cells.md' } documents('doc');
my %database = map { $_ => $_ =~ s{.*/(\w+)\.md$}{guide_$1}r } @guides;
my $gateway = SmsflowGateway->start;
my ($first) = grep { $_->{sql} =~ /^CREATE EXTENSION smsflow;/ } blocks_of('README.md');

sub check_guide
{
	my ($guide) = @_;
	my $database = $database{$guide};
	my @blocks = blocks_of($guide);

	check_block($first, $database, $gateway->url);
	check_block($_, $database, $gateway->url) for @blocks;
	is($SmsflowTest::node->safe_psql($database, q{SELECT string_agg(invariant || ': ' || sample, ', ') FROM smsflow.check() WHERE violations > 0}), '', "$guide: all promises are kept")
		if @blocks;
}

my $node = start_server('guides', {}, 'smsflow.databases' => join(',', sort values %database), 'max_worker_processes' => 8 + @guides,
	'smsflow.public_url' => 'http://127.0.0.1:8480');
write_secret('kannel', 'the password');
$gateway->script({ path => '/cgi-bin/sendsms', status => 202, body => '0: Accepted for delivery' });
$node->safe_psql('postgres', "CREATE DATABASE $_") for sort values %database;

cmp_ok(scalar(@guides), '>', 5, 'there are guides');
check_guide($_) for @guides;

$gateway->stop;
$node->stop;
done_testing();
