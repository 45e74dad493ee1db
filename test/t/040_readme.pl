# README.md does what it says: every ```sql block is executed in order, in one database with a running worker, and where
# a ```text block follows, the result is compared with it. A result that a worker brings about is waited for.
#
# Three things are not as in README: quiet hours are suspended, since this runs at any hour; the gateways are one
# test/gateway/gateway.pl on a port of its own; and blocks about
# pg_cron are left out where it is not installed.

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP ();
use PostgreSQL::Test::Utils;
use SmsflowGateway;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;
my $has_cron = -e sharedir() . '/extension/pg_cron.control';

sub sharedir
{
	my $config = $ENV{PG_CONFIG} // 'pg_config';
	my $folder = `$config --sharedir`;

	chomp($folder);
	return $folder;
}

# The blocks of a language, in order: line, heading, text, and what is shown as the result.
sub blocks_of
{
	my ($readme) = @_;
	my ($heading, $language, $line, @blocks) = ('', '', 0);

	for my $text (split(/^/, $readme))
	{
		$line++;
		if ($language eq '' && $text =~ /^#+ (.*)/) { $heading = $1; }
		elsif ($text =~ /^```(\w*)/)
		{
			$language = $language ne '' ? '' : $1 || 'plain';
			push @blocks, { line => $line, heading => $heading, sql => '' } if $language eq 'sql';
			die "README.md:$line: a result without a block" if $language eq 'text' && !@blocks;
			$blocks[-1]{result} = '' if $language eq 'text';
		}
		elsif ($language eq 'sql') { $blocks[-1]{sql} .= $text; }
		elsif ($language eq 'text') { $blocks[-1]{result} .= $text; }
	}
	return @blocks;
}

sub run_block
{
	my ($sql) = @_;
	my $url = $gateway->url;
	my ($output, $error) = ('', '');

	$sql =~ s{http://127\.0\.0\.1:13013|https://sms\.acme\.example}{$url}g;
	my $status = $SmsflowTest::node->psql('shop', $sql, stdout => \$output, stderr => \$error,
		extra_params => [ '-P', 'format=aligned', '-P', 'tuples_only=off', '-P', 'footer=off' ]);
	return ($status, $output, $error);
}

# A table as psql prints it, without what depends on the width of its columns.
sub plain
{
	my ($table) = @_;
	my @lines = grep { !/^[-+]+$/ && /\S/ } split(/\n/, $table);

	s/\s*\|\s*/|/g, s/\s+/ /g, s/^ | $//g for @lines;
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
	my ($block, $output) = @_;
	my $reads_only = $block->{sql} =~ /\A\s*SELECT\b[^;]*;\s*\z/;
	my $shown = wait_until("README.md:$block->{line} has its result", sub {
		return 1 if shows($output, $block->{result});
		(undef, $output) = run_block($block->{sql}) if $reads_only;
		return 0;
	}, $reads_only ? 20 : 0);

	ok($shown, "README.md:$block->{line}, $block->{heading}: the result is as shown") or diag("it is\n$output");
}

sub check_block
{
	my ($block) = @_;
	my ($status, $output, $error) = run_block($block->{sql});

	is($status, 0, "README.md:$block->{line}, $block->{heading}") or diag($error);
	check_result($block, $output) if $status == 0 && defined $block->{result};
}

start_server('readme', {},
	'shared_preload_libraries' => $has_cron ? 'smsflow, pg_cron' : 'smsflow',
	$has_cron ? ('cron.database_name' => 'shop') : (),
	'smsflow.public_url' => 'http://127.0.0.1:8480');
write_secret('kannel', 'the password');
$gateway->script({ path => '/cgi-bin/sendsms', status => 202, body => '0: Accepted for delivery' });

my @blocks = blocks_of(slurp_file(dirname(__FILE__) . '/../../README.md'));

cmp_ok(scalar(@blocks), '>', 30, 'README.md has blocks to execute');
cmp_ok(scalar(grep { defined $_->{result} } @blocks), '>', 10, 'and shows results');
for my $block (@blocks)
{
	SKIP: {
		skip("README.md:$block->{line} needs pg_cron", 1) if !$has_cron && $block->{sql} =~ /pg_cron/;
		check_block($block);
		sql("SELECT smsflow.suspend_rule('window')") if $block->{sql} =~ /^CREATE EXTENSION smsflow;/m;
	}
}

# What README sent did reach a gateway, as the profiles say.
ok(wait_settled(20), 'no message waits');
my ($first) = grep { $_->{path} eq '/cgi-bin/sendsms' } $gateway->requests;
is($first->{query}{text}, 'Hello', 'the first SMS reached the gateway');
is($first->{query}{to}, '+14155552671', 'for its recipient');
is($first->{query}{password}, 'the password', 'with the secret from its file');

my ($acme) = grep { $_->{path} eq '/v2/sms' } $gateway->requests;
is($acme->{headers}{'x-api-key'}, 'for development only', 'a gateway that is only a row gets its header');
is(JSON::PP->new->decode($acme->{body} // '{}')->{message}, 'Hello from acme', 'and its message');
is(sql("SELECT status FROM smsflow.message WHERE body = 'Hello from acme'"), 'accepted', 'and its answer is understood');

my $reminders = grep { ($_->{query}{text} // '') =~ /waiting|thinking/ } $gateway->requests;
is($reminders, 0, 'who has bought is not reminded of the cart');
cmp_ok(sql('SELECT count(*) FROM smsflow.health()'), '>=', 10, 'health() has a line for every component');
if ($has_cron)
{
	is(sql(q{SELECT schedule FROM cron.job WHERE jobname = 'smsflow campaign black friday'}), '0 14 27 11 *',
		'the campaign is scheduled');
}

# Rows that smsflow brings are not dumped: those that the store has changed are its own, and replace them when restored.
is(sql('SELECT bool_or(builtin) FROM smsflow.auto_reply'), 'f', 'changed answers are dumped');
is(sql(q{BEGIN; INSERT INTO smsflow.error_code (profile, code, class) VALUES ('kannel', 'http:404', 'temporary');
		SELECT class FROM smsflow.error_code WHERE (profile, code) = ('kannel', 'http:404'); ROLLBACK}),
	'temporary', 'a restored row replaces the one that smsflow brings');
check_is_clean();
$gateway->stop;
$SmsflowTest::node->stop;
done_testing();
