# Short links on smsflowd: they lead where their message said, from memory while the database is away, hits are told to the
# database and judged there, and who guesses codes is not served.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use SmsflowDaemon;
use SmsflowTest;
use Test::More;

my $phone = 'Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Safari/604.1';
my $node = start_server('links', {});
my $server = SmsflowGateway->start;

create_shop(30);
add_route('links', $server);
sql("SELECT smsflow.set_link_domain('https://go.example', 'utm_source=sms&utm_campaign={{source}}')");
sql("CREATE ROLE receiver LOGIN; SELECT smsflow.grant_access('receiver', 'receiver')");

# The test does not wait as long as people do before it opens a link.
sql("DELETE FROM smsflow.click_rule WHERE kind = 'soon'");

# Everybody gets a text with a link; the codes by number of the contact, from the texts that were on the wire.
sql(sprintf(q{SELECT count(smsflow.send('%s', 'Look: {{url|link}}', 'promotional', pool => 'links', vars => '{"url": "https://shop.example/%d"}'))},
	phone($_), $_)) for 1 .. 20;
ok(wait_settled(), 'messages with links are sent');
my @on_wire = map { ($_->{text} // '') =~ m{^Look: https://go\.example/([1-9A-HJ-NP-Za-km-z]{8})$} } $server->requests;
my %by_person = map { split(/\|/) } split(/\n/, sql("SELECT right(phone, 4)::integer, (regexp_match(body, 'go.example/(.*)'))[1] FROM smsflow.message"));
is(scalar(keys %{ { map { $_ => 1 } @on_wire } }), 20, '... each with a code of its own');
is(join(' ', sort @on_wire), join(' ', sort values %by_person), '... which is the one in the database');

my $daemon = SmsflowDaemon->start(database => $node->connstr('shop') . ' user=receiver', link_cache => 15, forwarded_hops => 1);

# Counts what led somewhere: each of these is a hit.
my $hits = 0;

sub follow
{
	my ($person, $agent, $address, $method) = @_;
	my $answer = $daemon->request($method // 'GET', "/$by_person{$person}",
		{ 'User-Agent' => $agent // $phone, 'X-Forwarded-For' => "203.0.113.250, " . ($address // '192.0.2.1') });

	$hits++ if $answer->{status} == 302;
	return "$answer->{status} " . ($answer->{headers}{location} // '');
}

sub target { return "302 https://shop.example/$_[0]?utm_source=sms&utm_campaign=promotional" }

# Where they lead.
ok(wait_until('the newest are in memory', sub { ($daemon->metric('smsflowd_links_cached') // 0) == 15 }), 'at the start the newest links are read');
is(follow(20), target(20), 'a link that is in memory');
is(follow(1), target(1), 'a link that is not');
is(follow(2, $phone, '192.0.2.2', 'HEAD'), target(2), 'HEAD');
is($daemon->request('POST', "/$by_person{1}", {}, 'x')->{status}, 405, 'POST is not for links');
is($daemon->request('GET', '/AbCdEfGh')->{status}, 404, 'a code that nobody was given');
is($daemon->request('GET', '/AbCdEfGhi')->{status}, 404, 'a path that is no code');
is($daemon->request('GET', "/$_")->{status}, 404, "no way to another's site: /$_")
	for '/evil.example', '/evil.example/%2e%2e', 'https://evil.example', "$by_person{1}/https://evil.example", "$by_person{1}%0d%0aLocation:https://evil.example";
is($daemon->metric('smsflowd_links_cached'), 15, 'memory is bounded');

# What came of it.
is(follow(3, 'WhatsApp/2.23'), target(3), 'a program that shows what is behind');
ok(wait_sql('the hits are kept', 'SELECT count(*) FROM smsflow.click', $hits), 'hits are told to the database') or diag($daemon->log_text);
is(sql("SELECT string_agg(right(m.phone, 2) || ' ' || c.class || ' ' || c.rule || ' ' || c.network, ', ' ORDER BY m.message_id)
	FROM smsflow.click c JOIN smsflow.message m USING (message_id)"),
	'01 human none 192.0.2.0/24, 02 scanner head 192.0.2.0/24, 03 preview whatsapp 192.0.2.0/24, 20 human none 192.0.2.0/24', '... and judged')
	or diag(sql('SELECT * FROM smsflow.click'));
is($daemon->metric('smsflowd_clicks_total'), $hits, '... and counted');
is(sql('SELECT sum(value) FROM smsflow.metric WHERE measure = \'clickers\''), 2, 'people count, programs do not');

# Without the database.
$node->stop;
is(follow(20), target(20), 'a link in memory leads on while the database is away');
is(follow(1), target(1), '... and one that was used');
is(follow(6), '503 ', 'a link that is not has to wait');
$node->start;
ok(wait_sql('the hits arrive', 'SELECT count(*) FROM smsflow.click', $hits, 60), 'hits of that time are told later');
is(follow(6), target(6), 'when it is back, all links lead on');

# A link that expires.
sql("SELECT smsflow.set_link_domain('https://go.example', valid_for => '1 millisecond')");
is(follow(7), '410 ', 'an expired link says so');
sql("SELECT smsflow.set_link_domain('https://go.example', valid_for => NULL)");
is(follow(7), '302 https://shop.example/7', '... and leads on when it is not any more');

# Guesses. Another network is not concerned.
my @guesses = map { $daemon->request('GET', '/1111' . sprintf('%04d', $_) =~ tr/0/z/r, { 'X-Forwarded-For' => '198.51.100.7' })->{status} } 1 .. 70;
is(join(' ', @guesses), join(' ', (404) x 70), 'guessed codes do not exist');
is($daemon->request('GET', "/$by_person{8}", { 'X-Forwarded-For' => '198.51.100.8' })->{status}, 404, 'who guesses too often is not served');
is(follow(8), '302 https://shop.example/8', '... others are');

# The end. What was clicked in the last moment is told before.
follow(13) for 1 .. 3;
is($daemon->stop, 0, 'smsflowd ends');
is(sql('SELECT count(*) FROM smsflow.click'), $hits, '... after it has told all hits') or diag($daemon->log_text);
unlike($daemon->log_text, qr/shop\.example|192\.0\.2/, 'its log has no links and no addresses');
check_is_clean();

# What is installed to run it as a service. Its configuration is right but for a spool that is not here.
chomp(my $share = `$ENV{PG_CONFIG} --sharedir`);
chomp(my $bin = `$ENV{PG_CONFIG} --bindir`);
like(slurp_file("$share/smsflow/smsflowd\@.service"), qr{^ExecStart=\Q$bin\E/smsflowd -c /etc/smsflowd/%i\.conf$}m, 'the unit starts the program that is installed');
is(system("$bin/smsflowd", '-c', "$share/smsflow/smsflowd.conf") >> 8, 1, 'the example of a configuration can be read');

$node->stop;
done_testing();
