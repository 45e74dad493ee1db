# What gateways are documented to send, spoilt in a thousand ways: cut off, doubled, with other bytes and tokens in it. Each is
# answered, none is an error of the server, and whatever was kept of it the worker reads and goes on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $spoilt = 60; # of each example
my $json = JSON::PP->new->canonical->allow_nonref->utf8;
my $folder = PostgreSQL::Test::Utils::tempdir();
my $node = start_server('mutated', {}, 'smsflow.public_url' => 'http://sms.example.com');
my $seed = $ENV{MUTATION_SEED} // 20261122;

srand($seed);
note("MUTATION_SEED=$seed");
create_shop(1);

# A report about this one is for a message that exists.
my $message = sql("SELECT smsflow.send('" . phone(1) . "', 'hello', 'transactional')");
my @tokens = ('{', '}', '[', ']', '"', '\\', ':', ',', 'null', 'true', '-', '1e999', '9' x 40, '\\u0000', '\\ud800', '%', '%00', '%zz', '&', '=', '+', "\0", "\xff", "\xc3",
	'[' x 300, '{"a":' x 300, 'STOP', "\x{30}.1", "$message.1");

sub place { return int(rand(length($_[0]) + 1)); }

my @mutations = (
	sub { substr($_[0], 0, place($_[0])) },
	sub { my $at = place($_[0]); substr($_[0], $at) },
	sub { my ($text) = @_; substr($text, place($text), 0) = $tokens[ rand @tokens ]; $text },
	sub { my ($text) = @_; my $at = place($text); substr($text, $at, 1) = chr(int(rand(256))) if $at < length($text); $text },
	sub { my ($text) = @_; my $from = place($text); $text . substr($text, $from) },
	sub { my ($text) = @_; substr($text, place($text), int(rand(20))) = $tokens[ rand @tokens ]; $text });

sub mutated
{
	my ($text) = @_;

	$text = $mutations[ rand @mutations ]->($text) for 0 .. int(rand(3));
	return $text;
}

# What a text may hold on its way through smsflowd, which refuses the rest.
sub as_query { my ($text) = @_; $text =~ s/[^\x21-\x7e]/%FF/g; return $text; }

# One line for COPY: gateway, kind of URL, method, query, content type, body in hex.
sub line_of
{
	my ($gateway, $case, $query, $body) = @_;
	my @fields = ($gateway, $case->{kind}, $case->{method}, as_query($query), $case->{type} // '', unpack('H*', $body));

	s/\\/\\\\/g for @fields;
	return join("\t", @fields) . "\n";
}

sub lines_of
{
	my ($gateway, $case) = @_;
	my $content = $case->{sns} ? { Message => $json->encode($case->{sns}), Type => 'Notification' } : $case->{body} // '';
	my $body = ref $content ? $json->encode($content) : $content;
	my $query = $case->{query} // '';

	utf8::encode($body) if utf8::is_utf8($body);
	s/\$id\b/$message/g for $body, $query;
	return map { line_of($gateway, $case, $query ne '' ? mutated($query) : '', $body ne '' ? mutated($body) : '') } 1 .. $spoilt;
}

sub cases_of
{
	my ($fixture) = @_;
	my @replies = grep { defined } @$fixture{qw(inbound latin wide opt_out)}, @{ $fixture->{concat} // [] };

	return ((map { { kind => 'account', method => 'GET', %$_ } } @replies),
		map { my $report = $_; map { { %$report, kind => $_ } } qw(message account) } @{ $fixture->{reports} });
}

my $lines = '';
foreach my $file (glob('test/gateway/profiles/*.json'))
{
	my $fixture = $json->decode(slurp_file($file));
	my ($profile) = $file =~ m{([a-z_]+)\.json$};

	sql("SELECT smsflow.add_gateway('my_$profile', '$profile', 'http://127.0.0.1:1', '" . $json->encode($fixture->{options}) . "')");
	$lines .= join('', map { lines_of("my_$profile", $_) } cases_of($fixture));
}
append_to_file("$folder/calls", $lines);
my $calls = () = $lines =~ /\n/g;

cmp_ok($calls, '>', 3000, 'thousands of spoilt callbacks');
my $answers = eval { sql(qq{
	CREATE TABLE public.call (gateway text, kind text, method text, query text, type text, body text);
	\\copy public.call FROM '$folder/calls'
	SELECT string_agg(DISTINCT r.status::text, ' ') || '|' || count(*) FROM public.call c
	CROSS JOIN LATERAL (SELECT CASE c.kind WHEN 'account' THEN smsflow.inbound_url(c.gateway) ELSE smsflow.callback_url(c.gateway, $message, 1) END AS url) u
	CROSS JOIN LATERAL smsflow.receive_callback(c.gateway, c.method, regexp_replace(u.url, '^http://[^/]*|[?].*', '', 'g'), c.query,
		jsonb_build_object('content-type', c.type), decode(c.body, 'hex')) r}) };
is($@, '', 'none is an error') or diag("MUTATION_SEED=$seed");
is($answers, "200 400|$calls", '... each is kept, or refused as what it is');
ok(wait_sql('the worker reads them', q{SELECT t.cursor_id >= (SELECT max(callback_id) FROM smsflow.callback) FROM smsflow.tail t WHERE name = 'callback'}, 't', 60), 'the worker reads what was kept');
wait_for_worker('running');
is(sql('SELECT string_agg(invariant, $$, $$) FROM smsflow.check() WHERE violations > 0'), '', '... and no promise is broken');
$node->stop;
done_testing();
