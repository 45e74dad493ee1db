# The web report of smsflowd and the figures of the database in /metrics: what the pages show is what the views say, with
# the rights of an analyst, for this machine alone; text that people wrote stays text; and no callback waits for it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use HTTP::Tiny;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowDaemon;
use SmsflowTest;
use Test::More;

my $nasty = q{<script>alert("1")</script> & 'Söhne'};
my $checker = "$FindBin::RealBin/../clients/page_check.py";
my $node = start_server('report', {});

create_extension();
sql("SELECT smsflow.subscribe('+14155550001', '{transactional,promotional}', source => 'web'), smsflow.add_gateway('main', 'generic_json', 'http://127.0.0.1:1')");
sql("SELECT smsflow.add_sender('+14155550100', 'main'), smsflow.create_segment('all', 'true'), smsflow.opt_out('+14155550001', source => 'api')");
sql("SELECT smsflow.create_campaign(\$\$$nasty\$\$, 'all', 'Secret words. Reply STOP to end'), smsflow.create_campaign('quiet', 'all', 'Secret words. Reply STOP to end')");
sql("SELECT smsflow.create_sequence('carts', 'cart'), smsflow.add_step('carts', '1 hour', 'Secret words. Reply STOP to end')");

# Two days of a campaign: 100 an hour, a tenth of them not delivered; 5 orders of 10 EUR in the first hour.
sql("INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value, first_at, last_at)
	SELECT b, 1, 1, 0, 1, 0, 'promotional', m, CASE m WHEN 'delivered' THEN 90 WHEN 'undelivered' THEN 10 WHEN 'clicks' THEN 7 WHEN 'clickers' THEN 5 ELSE 100 END, b, b
	FROM generate_series(0, 47) h, unnest('{recipients,sent,delivered,undelivered,clicks,clickers,parts}'::text[]) m,
		LATERAL (SELECT date_trunc('hour', now(), 'UTC') - make_interval(hours => h) AS b) x;
	INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value, currency)
	SELECT date_trunc('hour', now(), 'UTC'), 1, 1, 0, 1, 0, 'promotional', m, v, c FROM (VALUES ('orders', 5, ''), ('revenue', 50, 'EUR')) x (m, v, c)");
sql("CREATE ROLE viewer LOGIN; CREATE ROLE receiver LOGIN; SELECT smsflow.grant_access('viewer', 'analyst'), smsflow.grant_access('receiver', 'receiver')");

my $connection = $node->connstr('shop');
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $daemon = SmsflowDaemon->start(database => "$connection user=receiver");

# The answer of the report.
sub report
{
	my ($path, %option) = @_;

	return HTTP::Tiny->new(keep_alive => 0, timeout => 60)->request($option{method} // 'GET', "http://127.0.0.1:$port$path");
}

# Asks by a name of the host, and does not wait for the answer.
sub ask
{
	my ($path, $host) = @_;
	my $stream = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 60) or die $!;

	print $stream "GET $path HTTP/1.1\r\nHost: $host\r\nConnection: close\r\n\r\n";
	return $stream;
}

sub is_open { return defined IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 2); }

sub check_page
{
	my ($html) = @_;
	my ($out, $error) = ('', '');

	IPC::Run::run([ '/usr/bin/python3', $checker ], '<', \$html, '>', \$out, '2>', \$error);
	return $out eq "\n" ? 'good' : "$out$error";
}

#
# Off by default, and then on
#

ok(!is_open(), 'without settings there is no report');
$daemon->stop;
$daemon = SmsflowDaemon->start(database => "$connection user=receiver", report_listen => "127.0.0.1:$port", report_database => "$connection user=viewer");
ok(wait_until('the report is there', sub { report('/')->{status} == 200 }, 60), 'with settings there is') or diag($daemon->log_text);

my %pages = map { $_ => report($_) } qw(/ /campaigns /campaign/1 /campaign/2 /funnel /senders /opt-outs);

for my $path (sort keys %pages)
{
	is($pages{$path}{status}, 200, "$path is there");
	is(check_page($pages{$path}{content}), 'good', "$path is well-formed, has words for what is drawn, and fetches nothing");
	unlike($pages{$path}{content}, qr/cannot be shown/, "... and all of its figures") or diag($daemon->log_text);
	unlike($pages{$path}{content}, qr/4155550001|Secret words/, '... but no number of a person and no text');
}
like($pages{'/'}{headers}{'content-security-policy'}, qr/^default-src 'none'; style-src 'self';/, 'the browser is told to fetch nothing else');
is(report('/report.css')->{status}, 200, 'but the style, which is there');

#
# Figures, and text that stays text
#

my ($sent) = sql('SELECT sent FROM smsflow_bi.campaign_totals WHERE campaign_id = 1');

is($sent, 4800, 'the view has the figures');
like($pages{'/campaign/1'}{content}, qr{<dt>Sent</dt><dd>4,800</dd>}, 'the page of the campaign has the same');
like($pages{'/campaign/1'}{content}, qr{<th scope="row"><bdi>Delivered</bdi></th><td class="number">4,320</td>}, '... its funnel, too');
like($pages{'/campaign/1'}{content}, qr{<dt>Delivered, %</dt><dd>90\.0</dd>}, '... and rates');
like($pages{'/campaign/1'}{content}, qr{<desc id="words-3">Sent: 4,800 in all, at most 100 at [^.]*\. Delivered: 4,320 in all}, '... and the curve says in words what it shows');
is(scalar(() = $pages{'/campaign/1'}{content} =~ /<polyline/g), 4, '... with a line for each figure');
like($pages{'/campaign/2'}{content}, qr/Nothing was sent yet/, 'a campaign that sent nothing says so');
like($pages{'/senders'}{content}, qr{<bdi>\+14155550100</bdi>.*?<td class="number">2,400</td>}s, 'the numbers of the store have theirs of a day');
like($pages{'/opt-outs'}{content}, qr{<bdi>api</bdi></th><td class="number">1</td>}, 'opt-outs have the way they came');
like($pages{'/funnel'}{content}, qr{<bdi>carts</bdi>}, 'sequences are in the funnel');
like($pages{'/campaigns'}{content}, qr{<a href="/campaign/1"><bdi>&#60;script&#62;alert\(&#34;1&#34;\)&#60;/script&#62; &#38; &#39;Söhne&#39;</bdi></a>}, 'a name is text');
unlike(join('', map { $_->{content} } values %pages), qr/<script/, '... everywhere');

#
# What it does not answer
#

is(report('/campaign/3')->{status}, 404, 'there is no such campaign');
is(report("/$_")->{status}, 404, "there is no /$_") for ('campaign/', 'campaign/1x', 'campaign/1%27', 'nothing', 'metrics', 'callback/main');
is(report('/', method => 'POST')->{status}, 405, 'nothing can be sent to it');
like(readline(ask('/', 'shop.example')), qr{^HTTP/1.1 421 }, 'a name that was made to lead here gets nothing');
is($daemon->request('GET', '/campaigns')->{status}, 404, 'the port of callbacks has no report');

#
# /metrics
#

my $figures;
ok(wait_until('the figures are in /metrics', sub { $figures = $daemon->request('GET', '/metrics')->{content}; $figures =~ /database_figures 1/ }), '/metrics has the figures of the database');
like($figures, qr/^smsflow_messages\{purpose="promotional",status="delivered"\} 4320$/m, '... as they are');
like($figures, qr/^smsflowd_requests_total\{route="report",status="200"\} [0-9]+$/m, '... beside its own');
is(scalar(() = $figures =~ /^# EOF$/mg), 1, '... with one end');
like($figures, qr/\n# EOF\n$/, '... at the end');
is(scalar(grep { $_ > 1 } values %{ { map { my $f = $_; $f => scalar(() = $figures =~ /^# TYPE \Q$f\E /mg) } $figures =~ /^# TYPE (\S+)/mg } }), 0, '... and no family twice');

#
# Nobody waits for figures
#

my $lock = $node->background_psql('shop');
$lock->query_safe('BEGIN; LOCK TABLE smsflow.metric_delta IN ACCESS EXCLUSIVE MODE');
my $slow = ask('/campaign/4', "localhost:$port");
ok(wait_sql('the page waits for the lock', "SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'viewer' AND wait_event_type = 'Lock'"), 'a page waits for the database')
	or diag($daemon->log_text);
is($daemon->request('POST', '/callback/main', {}, '{}')->{status} < 500, 1, 'a callback is answered meanwhile');
ok(wait_until('figures are left out', sub { $daemon->request('GET', '/metrics')->{content} =~ /database_figures 0/ }, 60), '... and /metrics without the figures');
$lock->query_safe('COMMIT');
$lock->quit;
like(join('', <$slow>), qr{^HTTP/1\.1 (404|503) .*</html>\s*$}s, 'the page comes to its end');

$node->stop;
ok(wait_until('the report says so', sub { report('/campaign/5')->{status} == 503 }), 'while the database is away, so is the report');
is(check_page(report('/campaign/6')->{content}), 'good', '... which a page says');
is($daemon->request('GET', '/metrics')->{status}, 200, '... and /metrics has its own figures');
$node->start;
ok(wait_until('the report is back', sub { report('/senders')->{status} == 200 }, 60), '... until it is back');

#
# In a browser, which is told to find no other machine
#

SKIP:
{
	my ($browser) = grep { -x } map { ("/usr/bin/$_") } qw(chromium chromium-browser google-chrome);
	my $folder = $ENV{REPORT_PICTURES} // PostgreSQL::Test::Utils::tempdir();

	skip 'no Chromium: apt-get install chromium', 2 if !$browser;
	for my $case ([ '/campaign/1', 'light', 1280 ], [ '/campaign/1', 'dark', 500, '--force-dark-mode' ])
	{
		my ($path, $name, $width, @options) = @$case;
		my $picture = "$folder/$name.png";
		my @command = ($browser, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', "--user-data-dir=$folder/profile", '--hide-scrollbars', '--virtual-time-budget=5000',
			'--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1', "--window-size=$width,1800", @options, "--screenshot=$picture", "http://127.0.0.1:$port$path");
		my $log = '';

		IPC::Run::run(\@command, '<', \undef, '>&', \$log, IPC::Run::timeout(120));
		cmp_ok(-s $picture // 0, '>', 20000, "Chromium draws the page, $name") or diag($log);
	}
}

is($daemon->stop, 0, 'it ends as it shall');
done_testing();
