# Campaigns and the worker: killed at every slice boundary each recipient gets one message; the first is on the wire soon
# after the launch; pausing and cancelling stop what has not started; who bought meanwhile gets nothing.
#
# It needs a library with places to fail (src/fault.h), which test/check.sh makes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

plan skip_all => 'SMSFLOW_FAULTS does not name an installation with faults' if !$ENV{SMSFLOW_FAULTS};

my $slice = 2000;    # contacts that the worker looks at in one transaction
my $people = 3 * $slice + 500;
my $gateway = SmsflowGateway->start;
my $node = start_server('campaigns', { install_path => $ENV{SMSFLOW_FAULTS} }, 'restart_after_crash' => 'on', 'smsflow.sweep_interval' => '300ms');

create_shop(20);
add_route('main', $gateway, rate => 100000, burst => 10000);
add_route('slow', $gateway, rate => 20, burst => 1);
# As many more as it takes for several slices; the gateway hears of every hundredth.
sql("SELECT count(smsflow.subscribe('+1415' || (6000000 + n))) FROM generate_series(1, $people) n");
sql(q{SELECT smsflow.create_segment('every hundredth', 'contact_id % 100 = 0'), smsflow.create_segment('first', 'contact_id <= 20')});
my $members = sql(q{SELECT smsflow.segment_count('every hundredth')});

sub create
{
	my ($name, $segment, $pool, %option) = @_;
	my $options = join('', map { ", \"$_\": $option{$_}" } sort keys %option);

	sql(qq{SELECT smsflow.create_campaign('$name', '$segment', 'This is $name.', options => '{"pool": "$pool"$options}')});
}

sub launch { my ($name) = @_; sql("SELECT smsflow.launch_campaign('$name')"); }

# Requests of a campaign, by message.
sub requests
{
	my ($name) = @_;

	return map { $_->{message_id} } grep { ($_->{text} // '') eq "This is $name." } $gateway->requests;
}

# Requests of a campaign that started from 100 ms after one instant until another.
sub late_starts
{
	my ($name, $from, $until) = @_;

	return sql("SELECT count(*) FROM smsflow.attempt a JOIN smsflow.outbox o USING (message_id) JOIN smsflow.campaign k USING (campaign_id)
		WHERE k.name = '$name' AND a.started_at > '$from'::timestamptz + interval '100 ms' AND a.started_at < '$until'");
}

sub different { my %seen = map { $_ => 1 } @_; return scalar keys %seen; }

# Launches a campaign whose expansion fails once on its way, and waits for its end and that of its messages.
sub launch_with
{
	my ($fault, $name, $launch) = @_;

	sql("ALTER SYSTEM SET smsflow.fault = '$fault'; SELECT pg_reload_conf()");
	ok(wait_sql('the setting is read', "SELECT current_setting('smsflow.fault')", $fault), "$fault");
	$launch->();
	ok(wait_until($fault, sub { -e $node->data_dir . "/smsflow/fault.$fault" }), '... happens');
	ok(wait_sql("campaign $name is done", "SELECT status FROM smsflow.campaign WHERE name = '$name'", 'done'), '... the campaign comes to its end');
	ok(wait_settled(60), '... and its messages, too');
}

# The n-th slice does not commit, whatever ends it.
sub test_boundary
{
	my ($action, $number) = @_;
	my $name = "$action $number";
	my $pid = worker_pid();
	my @sent;

	create($name, 'every hundredth', 'main');
	launch_with("campaign:$action:$number", $name, sub { launch($name) });
	@sent = requests($name);
	is(sql("SELECT count(*), count(DISTINCT o.contact_id) FROM smsflow.outbox o JOIN smsflow.campaign USING (campaign_id) WHERE name = '$name'"),
		"$members|$members", '... each member has one message');
	is(sql("SELECT queued = $members AND planned = $members FROM smsflow.progress_campaign WHERE campaign = '$name'"), 't', '... and is counted once');
	is(scalar(@sent), different(@sent), '... none was on the wire twice');
	isnt(worker_pid(), $pid, '... by another worker') if $action eq 'kill';
}

# Slices 1 to 4 have members, the fifth finds that nobody is left.
test_boundary('kill', $_) for 1 .. 5;
test_boundary('error', 2);

# Waves, variants and coupons: everybody in one wave, with one text and one code, and a reminder for each who had a message.
sub test_rounds
{
	my ($first, $second) = @_;
	my $name = "rounds";
	my $of = "(SELECT campaign_id FROM smsflow.campaign WHERE name = '$name')";
	my $reminder = "$name reminder";

	sql("SELECT smsflow.create_coupon_pool('$name', prefix => 'R')");
	sql(qq{SELECT smsflow.create_campaign('$name', 'every hundredth', 'x', options => jsonb_build_object('pool', 'main', 'coupons', '$name', 'valid_until', now() + interval '1 hour'))});
	sql("SELECT smsflow.add_variant('$name', v, v || ' {{coupon}}') FROM unnest('{A,B}'::text[]) v");
	sql("SELECT smsflow.add_wave('$name', s, '0') FROM unnest(ARRAY['early', NULL]) s");
	sql("SELECT smsflow.add_reminder('$name', '1 minute', 'This is $reminder.')");
	launch_with($first, $name, sub { launch($name) });
	is(sql("SELECT count(*), count(DISTINCT contact_id), count(DISTINCT body), count(DISTINCT variant) FROM smsflow.outbox WHERE campaign_id = $of"),
		"$members|$members|$members|2", '... each member has one message, with a code of their own');
	is(sql("SELECT count(*) FROM smsflow.coupon c JOIN smsflow.outbox o USING (message_id) WHERE c.campaign_id = $of AND c.contact_id = o.contact_id AND o.body LIKE '%' || c.code"),
		$members, '... which is kept as theirs');
	is(sql("SELECT count(*) FROM smsflow.coupon WHERE campaign_id = $of AND message_id IS NULL"), 0, '... and no code is used up without a message');

	launch_with($second, $reminder,
		sub { sql("UPDATE smsflow.campaign SET launch_at = now() WHERE name = '$reminder'; SELECT smsflow.note_config()") });
	is(sql("SELECT count(*), count(DISTINCT contact_id) FROM smsflow.outbox o JOIN smsflow.campaign k USING (campaign_id) WHERE k.name = '$reminder'"),
		"$members|$members", '... everybody is reminded once');
	is(scalar(requests($reminder)), $members, '... and as often on the wire');
}

# Each round has four slices with members, and a fifth that finds nobody: these fail in the second wave, and in the reminder.
sql(q{SELECT smsflow.create_segment('early', 'contact_id % 200 = 0')});
test_rounds('campaign:kill:8', 'campaign:error:3');

# The first message is on the wire before the campaign is expanded. What else a machine does may delay it, so there are some tries.
my $delay = 1e9;
for my $name (map { "prompt $_" } 1 .. 5)
{
	next if $delay < 500;
	create($name, 'every hundredth', 'main');
	launch($name);
	ok(wait_sql('it is expanded', "SELECT status FROM smsflow.campaign WHERE name = '$name'", 'done'), 'a campaign is queued');
	ok(wait_settled(60), '... and sent');
	$delay = sql("SELECT round(extract(epoch FROM min(a.started_at) - max(k.launch_at)) * 1000) FROM smsflow.attempt a JOIN smsflow.outbox o USING (message_id)
		JOIN smsflow.campaign k USING (campaign_id) WHERE k.name = '$name'");
}
cmp_ok($delay, '<', 500, 'the first message starts within 500 ms of the launch');

# What has not started 100 ms after pause or cancel does not start: the gateway's log says when each came.
create('paused', 'first', 'slow');
launch('paused');
ok(wait_until('some are sent', sub { requests('paused') >= 3 }), 'a slow campaign is on its way');
sql(q{SELECT smsflow.pause_campaign('paused')});
my $stopped = sql(q{SELECT clock_timestamp()});
ok(wait_sql('its messages are held', q{SELECT count(*) > 5 FROM smsflow.message WHERE campaign = 'paused' AND status IN ('queued', 'held') AND sent_at IS NULL}), '... and is paused');
my $resumed = sql(q{SELECT clock_timestamp() FROM smsflow.resume_campaign('paused')});
ok(wait_settled(60), '... goes on');
is(scalar(requests('paused')), 20, '... and is complete');
is(different(requests('paused')), 20, '... once each');
is(late_starts('paused', $stopped, $resumed), 0, '... and none started from 100 ms after the pause until it was resumed');

create('cancelled', 'first', 'slow', parts_per_minute => 120);
launch('cancelled');
ok(wait_until('some are sent', sub { requests('cancelled') >= 3 }), 'another is on its way');
sql(q{SELECT smsflow.cancel_campaign('cancelled')});
$stopped = sql(q{SELECT clock_timestamp()});
ok(wait_settled(60), '... is cancelled');
cmp_ok(scalar(requests('cancelled')), '<', 20, '... before all of it was sent');
is(late_starts('cancelled', $stopped, 'infinity'), 0, '... and none started from 100 ms after that');

# Who buys between the launch and the sending gets nothing.
create('excludes', 'first', 'slow', exclude => '{"bought": "1 day"}');
launch('excludes');
ok(wait_sql('it is expanded', q{SELECT status FROM smsflow.campaign WHERE name = 'excludes'}, 'done'), 'a campaign that excludes buyers is queued');
my $buyer = sql(q{SELECT recipient FROM smsflow.outbox o JOIN smsflow.campaign USING (campaign_id) WHERE name = 'excludes' ORDER BY message_id DESC LIMIT 1});
sql("SELECT smsflow.record_event('$buyer', 'order', 'o1')");
ok(wait_settled(60), '... and sent');
is(sql("SELECT status || ' ' || reason FROM smsflow.message WHERE campaign = 'excludes' AND phone = '$buyer'"), 'suppressed already_bought', '... but not to who has bought meanwhile');
is(scalar(requests('excludes')), 19, '... and to everybody else');

# A new number has so many parts a day, whichever campaigns want them, and a restart does not begin the day anew. It is noon
# where the number's days are, so that none ends meanwhile.
my $zone = sprintf('Etc/GMT%+d', (gmtime)[2] - 12);
my @young = ('one for the young', 'another for the young');
my $sent = sub { return scalar(map { requests($_) } @young) };
add_route('young', $gateway, rate => 100000, burst => 10000);
sql("INSERT INTO smsflow.warm_up (curve, day, parts) VALUES ('slowly', 1, 5), ('slowly', 2, 12), ('slowly', 4, NULL)");
sql("SELECT smsflow.set_sender(address, 'young', reset_zone => '$zone'), smsflow.warm_up_sender(address, 'young', 'slowly', now() - interval '1 day')
	FROM smsflow.sender WHERE pool = 'young'");
create($_, 'first', 'young') for @young;
sql('BEGIN; ' . join(' ', map { "SELECT smsflow.launch_campaign('$_');" } @young) . ' COMMIT');
ok(wait_until('its second day is used', sub { $sent->() >= 11 }, 60), 'two campaigns from a new number use up its day, but for the part that is kept for codes');
ok(wait_sql('both are expanded', q{SELECT count(*) FROM smsflow.campaign WHERE name LIKE '% the young' AND status = 'done'}, 2), '... have all their messages');
$node->restart;
wait_for_worker('running');
create('meanwhile', 'first', 'main');
launch('meanwhile');
ok(wait_until('others are sent', sub { requests('meanwhile') >= 20 }, 60), '... others go on behind a restart');
is($sent->(), 11, '... and they send no more on that day');
sql("SELECT smsflow.warm_up_sender(address, 'young', 'slowly', now() - interval '3 days') FROM smsflow.sender WHERE pool = 'young'");
ok(wait_settled(60), 'when the curve is over, all of both is sent');
is(different(map { requests($_) } @young), 40, '... once each');
is($sent->(), 40, '... and no more');

# Contacts of whom the profile counts anything but what was sent to them, in one snapshot.
sub miscounted
{
	return sql("SELECT count(*) FROM smsflow.profile p FULL JOIN (SELECT contact_id, count(*) AS sent FROM smsflow.touched GROUP BY 1) t USING (contact_id)
		WHERE COALESCE(p.messages_90d, 0) <> COALESCE(t.sent, 0)");
}

# Exact while it is sent, while it waits, and when it is folded: also what was sent before a worker died.
sub test_profile
{
	my @looks;

	sql(q{SELECT smsflow.create_segment('every tenth', 'contact_id % 10 = 0')});
	create('Counted', 'every tenth', 'main');
	launch('Counted');
	ok(wait_until('it is sent', sub { push @looks, miscounted(); return sql("SELECT count(*) FROM smsflow.attempt a JOIN smsflow.outbox o USING (message_id)
		JOIN smsflow.campaign k USING (campaign_id) WHERE k.name = 'Counted'") >= $people / 10 }), 'a campaign to a tenth is sent');
	ok(wait_until('what waits is folded', sub { push @looks, miscounted(); return sql('SELECT count(*) FROM smsflow.profile_sent') == 0 }), '... and folded');
	is_deeply([ grep { $_ != 0 } @looks, miscounted() ], [], '... meanwhile the profile counts what was sent, neither less nor more');
}
test_profile();

check_is_clean();
$gateway->stop;
$node->stop;
done_testing();
