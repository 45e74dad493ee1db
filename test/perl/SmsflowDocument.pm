# Documents are tests: every ```sql block of one is executed in order, in one database with a running worker, and where a
# ```text block follows, the result is compared with it. A result that a worker brings about is waited for.

package SmsflowDocument;

use strict;
use warnings;

use Exporter 'import';
use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

our @EXPORT = qw(document documents source_exists section_of blocks_of shows check_block installed_extension);

my $top = dirname(__FILE__) . '/../..';

# The text of a document of the source tree, such as README.md.
sub document { my ($name) = @_; return slurp_file("$top/$name"); }

sub source_exists { my ($name) = @_; return -e "$top/$name"; }

# The names of the documents in a folder.
sub documents { my ($folder) = @_; return map { substr($_, length("$top/")) } sort glob("$top/$folder/*.md"); }

# The text below a heading, up to the next one.
sub section_of
{
	my ($name, $heading) = @_;

	document($name) =~ /^#+ \Q$heading\E\n(.*?)(?=^#+ |\z)/ms or die "$name has no section \"$heading\"";
	return $1;
}

# The SQL blocks of a document, in order: name, line, heading, sql, and result, which is what is shown.
sub blocks_of
{
	my ($name) = @_;
	my ($heading, $language, $line, @blocks) = ('', '', 0);

	for my $text (split(/^/, document($name)))
	{
		$line++;
		if ($language eq '' && $text =~ /^#+ (.*)/) { $heading = $1; }
		elsif ($text =~ /^```(\w*)/)
		{
			$language = $language ne '' ? '' : $1 || 'plain';
			push @blocks, { name => "$name:$line", heading => $heading, sql => '' } if $language eq 'sql';
			die "$name:$line: a result without a block" if $language eq 'text' && !@blocks;
			$blocks[-1]{result} = '' if $language eq 'text';
		}
		elsif ($language eq 'sql') { $blocks[-1]{sql} .= $text; }
		elsif ($language eq 'text') { $blocks[-1]{result} .= $text; }
	}
	return @blocks;
}

# Gateways on this machine and example domains are the gateway of the test.
sub run_block
{
	my ($block, $database, $url) = @_;
	my $sql = $block->{sql} =~ s{http://127\.0\.0\.1:13013|https://sms\.acme\.example}{$url}gr;
	my ($output, $error) = ('', '');
	my $status = $SmsflowTest::node->psql($database, $sql, stdout => \$output, stderr => \$error,
		extra_params => [ '-P', 'format=aligned', '-P', 'tuples_only=off', '-P', 'footer=off' ]);

	return ($status, $output, $error);
}

# A table as psql prints it, without what depends on the width of its columns, and the sign that a text has another line.
sub plain
{
	my ($table) = @_;
	my @lines = grep { !/^[-+]+$/ && /\S/ } split(/\n/, $table);

	s/\s*\+$//, s/\s*\|\s*/|/g, s/\s+/ /g, s/^ | $//g for @lines;
	return join("\n", @lines);
}

# The shown result is the end of the output; "..." stands for anything.
sub shows
{
	my ($output, $result) = @_;
	my $pattern = join('.*', map { quotemeta } split(/\.\.\./, plain($result), -1));

	return plain($output) =~ /(?:^|\n)$pattern$/s;
}

# What a single query reads may still be on its way.
sub check_result
{
	my ($block, $output, $database, $url) = @_;
	my $reads_only = $block->{sql} =~ /\A(?:--.*\n)*\s*SELECT\b[^;]*;\s*\z/;
	my $shown = wait_until("$block->{name} has its result", sub {
		return 1 if shows($output, $block->{result});
		(undef, $output) = run_block($block, $database, $url) if $reads_only;
		return 0;
	}, $reads_only ? 30 : 0);

	ok($shown, "$block->{name}, $block->{heading}: the result is as shown") or diag("it is\n$output");
}

# Executes a block; $url is where the gateways of documents are.
sub check_block
{
	my ($block, $database, $url) = @_;
	my ($status, $output, $error) = run_block($block, $database, $url);

	is($status, 0, "$block->{name}, $block->{heading}") or diag($error);
	check_result($block, $output, $database, $url) if $status == 0 && defined $block->{result};
}

# Whether another extension, such as pg_cron, is installed beside the server.
sub installed_extension
{
	my ($name) = @_;
	my $config = $ENV{PG_CONFIG} // 'pg_config';
	my $folder = `$config --sharedir`;

	chomp($folder);
	return -e "$folder/extension/$name.control";
}

1;
