# What users can call, read or set is documented: in the reference of README.md, by name, and in the catalog, by comment.

use strict;
use warnings;

use File::Basename qw(dirname);
use SmsflowDocument;
use SmsflowTest;
use Test::More;

sub rows { return split(/\n/, sql(@_)); }

# Nothing may be left over of what a query lists.
sub none_missing
{
	my ($what, @missing) = @_;

	is(join("\n", @missing), '', $what);
}

# Whether a link leads to a file or folder of the source tree, and to a heading of it where it names one.
sub link_target
{
	my ($from, $link) = @_;
	my ($file, $heading) = $link =~ /^([^#]*)#?(.*)$/;
	my $name = $file eq '' ? $from : dirname($from) . "/$file";

	return 0 if !source_exists($name);
	return 1 if $heading eq '';
	return grep { anchor($_) eq $heading } document($name) =~ /^#+ (.*)$/mg;
}

# How a heading is named in a link.
sub anchor { my ($heading) = @_; return lc($heading) =~ s/[^\w -]//gr =~ s/ /-/gr; }

start_server('documented', {});
sql('CREATE EXTENSION smsflow');

my $functions = section_of('README.md', 'Functions');
my @granted = rows("SELECT DISTINCT p.proname FROM pg_proc p JOIN smsflow.access a ON a.name = p.proname
	WHERE p.pronamespace = 'smsflow'::regnamespace ORDER BY 1");
cmp_ok(scalar(@granted), '>', 40, 'grant_access() gives functions');
my $without = sub { my ($text) = @_; return grep { $text !~ /\b$_\(/ } @granted };
none_missing('every function that grant_access() gives is in README.md', $without->($functions));
is_deeply([ $without->($functions =~ s/\botp_start\(//gr) ], ['otp_start'], '... and one that is not would be missed');

my @owners = qw(grant_access resume_rule revoke_access schedule_defaults suspend_rule);
none_missing('every other function of the reference is given by an access, or to everybody, or is the owner\'s alone', grep { my $name = $_; $functions =~ /^\| [^|]*`$name\(/m && !grep { $_ eq $name } @owners }
	rows("SELECT DISTINCT proname FROM pg_proc p WHERE pronamespace = 'smsflow'::regnamespace AND NOT has_function_privilege('public', p.oid, 'EXECUTE')
		AND proname NOT IN (SELECT name FROM smsflow.access)"));

my $own = join('|', rows("SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'smsflow'::regnamespace"));
none_missing('every function in the reference exists',
	grep { !/^(?:$own)$/ } map { /([a-z_]+)\(/g } map { /`([^`]+)`/g } map { (split(/\|/))[1] // '' } grep { /^\| `/ } split(/\n/, $functions));

my $views = section_of('README.md', 'Views');
my @views = rows("SELECT relname FROM pg_class WHERE relkind = 'v' AND relnamespace IN ('smsflow'::regnamespace, 'smsflow_bi'::regnamespace) ORDER BY 1");
my $unlisted = sub { my ($text) = @_; return grep { $text !~ /`(?:smsflow(?:_bi)?\.)?$_`/ } @views };
none_missing('every view is in README.md', $unlisted->($views));
is_deeply([ $unlisted->($views =~ s/`stat_sender`//gr) ], ['stat_sender'], '... and one that is not would be missed');

# The settings that a table lacks: name, default and when a change takes effect.
my %change = (postmaster => 'restart', sighup => 'reload', superuser => 'session, superuser', user => 'session');
my @settings = map { [ split(/\t/) ] } rows("SELECT concat_ws(E'\\t', name, coalesce(nullif(boot_val, ''), 'empty'), context)
	FROM pg_settings WHERE name LIKE 'smsflow.%' ORDER BY 1");

sub undocumented
{
	my ($table) = @_;

	return map { $_->[0] } grep { my ($name, $default, $context) = @$_; $table !~ /^\| `\Q$name\E` \| \Q$default\E( \w+)? \| $change{$context} \|/m } @settings;
}

my $settings = section_of('README.md', 'Settings');
cmp_ok(scalar(@settings), '>', 5, 'there are settings');
none_missing('every setting is in README.md, with its default', undocumented($settings));
is_deeply([ undocumented($settings =~ s/^\| `smsflow\.enabled`.*\n//mr) ], ['smsflow.enabled'], '... and one without its row would be missed');
is_deeply([ undocumented($settings =~ s/^(\| `smsflow\.workers` \|) 1/$1 2/mr) ], ['smsflow.workers'], '... as would one with another default');
none_missing('every setting in the reference exists',
	grep { my $name = $_; !grep { $_->[0] eq $name } @settings } $settings =~ /^\| `([^`]+)`/mg);

my $statuses = section_of('README.md', 'Message statuses');
none_missing('every status is in README.md', grep { $statuses !~ /^\| `$_` \|/m }
	rows('SELECT unnest(enum_range(NULL::smsflow.message_status))'));

my $classes = section_of('README.md', 'Failure classes');
none_missing('every failure class is in README.md', grep { $classes !~ /^\|.*`$_`.*\|/m }
	rows('SELECT DISTINCT class FROM smsflow.error_code ORDER BY 1'));

# Own SQLSTATEs, as the comments of functions name them.
my $states = section_of('README.md', 'SQLSTATEs');
my @states = rows("SELECT DISTINCT m[1] FROM pg_description, regexp_matches(description, 'SF[0-9]{3}', 'g') m ORDER BY 1");
cmp_ok(scalar(@states), '>', 4, 'comments name errors');
none_missing('every SQLSTATE is in README.md', grep { $states !~ /^\| `$_` \|/m } @states);

none_missing('every function has a comment', rows("SELECT oid::regprocedure FROM pg_proc
	WHERE pronamespace = 'smsflow'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL"));
none_missing('every table and view has a comment', rows("SELECT oid::regclass FROM pg_class
	WHERE relnamespace IN ('smsflow'::regnamespace, 'smsflow_bi'::regnamespace) AND relkind IN ('r', 'p', 'v')
		AND NOT relispartition AND obj_description(oid, 'pg_class') IS NULL"));
none_missing('every type has a comment', rows("SELECT t.oid::regtype FROM pg_type t
	WHERE t.typnamespace = 'smsflow'::regnamespace AND t.typtype IN ('b', 'e') AND t.typelem = 0
		AND obj_description(t.oid, 'pg_type') IS NULL"));
none_missing('every column of a BI view has a comment', rows("SELECT c.oid::regclass || '.' || a.attname
	FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
	WHERE c.relnamespace = 'smsflow_bi'::regnamespace AND a.attnum > 0 AND col_description(c.oid, a.attnum) IS NULL"));

# What documents name with its schema exists, whoever renames it: functions, relations, types and settings.
my @known = rows("SELECT 'smsflow.' || proname FROM pg_proc WHERE pronamespace = 'smsflow'::regnamespace
	UNION SELECT n.nspname || '.' || relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname LIKE 'smsflow%'
	UNION SELECT 'smsflow.' || typname FROM pg_type WHERE typnamespace = 'smsflow'::regnamespace
	UNION SELECT name FROM pg_settings WHERE name LIKE 'smsflow.%'");
my %known = map { $_ => 1 } @known, qw(smsflow.control smsflow.so smsflow.h smsflow.conf);
my @documents = ('README.md', 'CONTRIBUTING.md', documents('doc'), documents('src'), documents('src/*'));

none_missing('SQL is where it is executed', grep { !/^(?:README\.md$|doc\/)/ && blocks_of($_) } @documents);
for my $name (@documents)
{
	my $text = document($name);

	none_missing("what $name names exists", grep { !$known{$_} && !/_$/ } $text =~ /(?<![\w\/@.-])(smsflow(?:_bi)?\.[a-z_]+)/g);
	none_missing("links of $name lead somewhere", grep { !/^[a-z]+:/ && !link_target($name, $_) } $text =~ /\]\(([^)\s]+)\)/g);
}

# Of each result shown, what stands first and what stands last is compared, unless it is "...".
for my $name ('README.md', documents('doc'))
{
	my @results = map { $_->{result} // () } blocks_of($name);
	my $other = sub { return $_[0] eq 'x' ? 'y' : 'x' };
	my @unseen = grep { my $output = s/\.\.\./something/gr;

		!shows($output, $_) || shows($output, s/(\w)/$other->($1)/er) || shows($output, s/(\w)(?=\W*\z)/$other->($1)/er) } @results;

	none_missing("a result of $name that is another is seen", @unseen);
}

$SmsflowTest::node->stop;
done_testing();
