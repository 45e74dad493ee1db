# The pages of the report as people meet them: in a browser, light and dark, on a wide screen and a narrow one, by keyboard,
# and as a screen reader is told of them. SMSFLOW_SCREENSHOTS names a folder that takes a picture of each.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use SmsflowBrowser;
use SmsflowDaemon;
use SmsflowTest;
use Test::More;

plan skip_all => 'chromium is not here (Debian package chromium)' if !SmsflowBrowser::is_here();

my $long = 'Wintersonderverkaufsabschlussveranstaltungsankuendigung2026' x 2;
my $node = start_server('browser', {});

create_extension();
sql("CREATE ROLE viewer LOGIN; SELECT smsflow.grant_access('viewer', 'analyst')");

#
# Before anything was sent, and then a programme with all that is difficult to draw: two days of hours, a single hour, long
# names, two variants, two currencies, money in parts of a cent, an alert
#

sub fill
{
	sql("SELECT smsflow.add_gateway('main', 'generic_json', 'http://127.0.0.1:1'); SELECT smsflow.add_sender('+14155550100', 'main'), smsflow.add_sender('+14155550101', 'main')");
	sql("SELECT smsflow.subscribe('+1415555' || to_char(n, 'FM0000'), '{cart,promotional}', source => CASE WHEN n < 9 THEN 'web' ELSE 'checkout' END) FROM generate_series(1, 12) n;
		SELECT smsflow.opt_out('+14155550001'), smsflow.opt_out('+14155550002', source => 'support')");
	sql("SELECT smsflow.create_segment('all', 'true'); SELECT smsflow.create_campaign(name, 'all', 'Hello. Reply STOP to end') FROM unnest('{two days,$long,one hour,not yet}'::text[]) name;
		SELECT smsflow.create_sequence('carts $long', 'cart'); SELECT smsflow.add_step('carts $long', '1 hour', 'Hello. Reply STOP to end')");
	sql("INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value, first_at, last_at, variant)
		SELECT b, 1, c.id, 0, 1, 0, 'promotional', m, CASE m WHEN 'delivered' THEN 900 WHEN 'clicks' THEN 70 WHEN 'clickers' THEN 40 + 5 * h % 3 WHEN 'orders' THEN 3 ELSE 1000 END, b, b, 1 + h % 2
		FROM (VALUES (1, 47), (2, 200), (3, 0)) c (id, hours), generate_series(0, c.hours) h, unnest('{recipients,sent,delivered,clicks,clickers,orders,parts}'::text[]) m,
			LATERAL (SELECT date_trunc('hour', now(), 'UTC') - make_interval(hours => h) AS b) x;
		INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value, currency)
		SELECT date_trunc('hour', now(), 'UTC'), 1, c, 0, 1, 0, 'promotional', m, v, y FROM (VALUES (1, 'revenue', 1234567.89, 'EUR'), (1, 'cost', 0.0075, 'USD'),
			(3, 'revenue', 5, 'EUR'), (3, 'revenue', 7, 'USD')) x (c, m, v, y)");
	sql("INSERT INTO smsflow.alert (rule, campaign_id, sender_id, successes, trials, past_successes, past_trials, p_value) VALUES ('clicks of a campaign fall', 2, 0, 10, 1000, 500, 10000, 0.00001)");
}

my $connection = $node->connstr('shop');
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $daemon = SmsflowDaemon->start(database => "$connection user=viewer", report_listen => "127.0.0.1:$port", report_database => "$connection user=viewer");
my $origin = "http://127.0.0.1:$port";
my $browser = SmsflowBrowser->start;

# In the page: texts that are too pale for what they stand on (WCAG 2.1, 1.4.3), and parts that stick out of the screen.
my $pale = q{(() => {
	const parts = c => c.match(/[\d.]+/g).map(Number);
	const light = c => parts(c).slice(0, 3).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const solid = c => { const p = parts(c); return p.length < 4 || p[3] > 0; };
	const under = e => { while (e && !solid(getComputedStyle(e).backgroundColor)) e = e.parentElement; return getComputedStyle(e || document.documentElement).backgroundColor; };
	const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
	for (let t; (t = texts.nextNode());) {
		const e = t.parentElement, style = getComputedStyle(e);
		if (!t.data.trim() || ['TITLE', 'DESC'].includes(e.tagName.toUpperCase())) continue;
		const [a, b] = [light(e.closest('svg') ? style.fill : style.color), light(under(e))].sort((x, y) => y - x);
		if ((a + 0.05) / (b + 0.05) < 4.5) found.push(t.data.trim());
	}
	return found.join('; ');
})()};
my $sticks_out = q{document.documentElement.scrollWidth > innerWidth ? [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll')
	&& e.getBoundingClientRect().right > innerWidth).map(e => e.tagName + ' ' + e.className).join('; ') || 'something' : ''};
my $reachable = q{[...document.querySelectorAll('a[href], summary')].map(e => e.textContent.trim())};

sub check_page
{
	my ($path, $name) = @_;

	$browser->show_as(1280, 'light');
	$browser->open_page("$origin$path");
	is(join("\n", $browser->complaints), '', "$name: the browser complains of nothing");
	is(join(' ', grep { !m{^\Q$origin\E/|^data:,$} } $browser->requests), '', '... and asks nobody else');

	my %grounds;
	for my $colours (qw(light dark))
	{
		for my $width (1280, 360)
		{
			$browser->show_as($width, $colours);
			is($browser->evaluate($sticks_out), '', "... nothing sticks out at $width pixels, $colours");
			$browser->screenshot("$ENV{SMSFLOW_SCREENSHOTS}/$name-$width-$colours.png") if $ENV{SMSFLOW_SCREENSHOTS};
		}
		is($browser->evaluate($pale), '', "... every text can be read, $colours");
		$grounds{ $browser->evaluate('getComputedStyle(document.body).backgroundColor') } = 1;
	}
	is(scalar(keys %grounds), 2, '... and dark is dark');
}

# From the top, Tab by Tab, until it begins again: the texts of what has the focus. What scrolls may have it, too.
sub tab_through
{
	my @stops;

	$browser->evaluate('visited = new Set([document.body]), 0');
	for (1 .. 200)
	{
		$browser->press('Tab');
		last if $browser->evaluate('visited.has(document.activeElement)');
		push(@stops, $browser->evaluate(q{(e => (visited.add(e), e.matches('a, summary') ? e.textContent.trim() : ''))(document.activeElement)}));
	}
	return grep { $_ ne '' } @stops;
}

my @paths = qw(/ /campaigns /funnel /senders /opt-outs);

sub name_of { my ($path) = @_; $path =~ s{^/$}{/overview}; $path =~ s{/}{ }g; return substr($path =~ s/ /-/gr, 1); }

ok(wait_until('the report is there', sub { $daemon->request('GET', '/metrics'); HTTP::Tiny->new(timeout => 60)->get("$origin/")->{status} == 200 }, 60), 'the report is there');
check_page($_, 'empty-' . name_of($_)) for '/';
fill();
$daemon->stop;
$daemon->run;
ok(wait_until('the report is there', sub { HTTP::Tiny->new(timeout => 60)->get("$origin/")->{status} == 200 }, 60), 'the report is there again');

for my $path (@paths, map { "/campaign/$_" } 1 .. 4)
{
	check_page($path, name_of($path));

	my @parts = $browser->read_aloud;
	is(scalar(grep { /^heading: / } @parts) > 1 && scalar(grep { $_ eq 'RootWebArea: ' } @parts), 0, '... has a title and headings');
	is(join('; ', grep { /^(image|table|region|heading|navigation): $/ } @parts), '', '... and every drawing, table and section its words');
	for my $landmark (qw(banner navigation main contentinfo)) { ok((grep { /^$landmark: / } @parts) == 1, "... one $landmark"); }
	is(join("\n", tab_through()), join("\n", @{ $browser->evaluate($reachable) }), '... and the keyboard reaches all links in the order of the page');
}

# The way past the menu is the first stop, can be seen there, and leads to the figures.
$browser->show_as(1280, 'light');
$browser->open_page("$origin/campaigns");
$browser->press('Tab');
is($browser->evaluate('document.activeElement.className'), 'skip', 'the first stop leads past the menu');
is($browser->evaluate('(r => r.left >= 0 && r.top >= 0 && r.width > 20)(document.activeElement.getBoundingClientRect())'), 1, '... and is seen when it has the focus');
$browser->press('Enter');
$browser->press('Tab');
is($browser->evaluate('document.activeElement.closest("main") !== null'), 1, '... behind it the next stop is a figure');

$browser->stop;
$daemon->stop;
$node->stop;
done_testing();
