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

sub different { my %seen = map { $_ => 1 } @_; return scalar keys %seen; }

# The n-th slice does not commit, whatever ends it.
sub test_boundary
{
	my ($action, $number) = @_;
	my $name = "$action $number";
	my $fault = "campaign:$action:$number";
	my $pid = worker_pid();
	my @sent;

	create($name, 'every hundredth', 'main');
	sql("ALTER SYSTEM SET smsflow.fault = '$fault'; SELECT pg_reload_conf()");
	ok(wait_sql('the setting is read', "SELECT current_setting('smsflow.fault')", $fault), "$fault");
	launch($name);
	ok(wait_until($fault, sub { -e $node->data_dir . "/smsflow/fault.$fault" }), '... happens');
	ok(wait_sql("campaign $name is done", "SELECT status FROM smsflow.campaign WHERE name = '$name'", 'done'), '... the campaign comes to its end');
	ok(wait_settled(60), '... and its messages, too');
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

# The first message is on the wire before the campaign is expanded.
create('prompt', 'every hundredth', 'main');
launch('prompt');
ok(wait_settled(60), 'all is sent');
cmp_ok(sql(q{SELECT round(extract(epoch FROM min(a.started_at) - max(k.launch_at)) * 1000) FROM smsflow.attempt a JOIN smsflow.outbox o USING (message_id)
	JOIN smsflow.campaign k USING (campaign_id) WHERE k.name = 'prompt'}), '<', 500, 'the first message starts within 500 ms of the launch');

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
is(sql("SELECT count(*) FROM smsflow.attempt a JOIN smsflow.outbox o USING (message_id) JOIN smsflow.campaign k USING (campaign_id)
	WHERE k.name = 'paused' AND a.started_at > '$stopped'::timestamptz + interval '100 ms' AND a.started_at < '$resumed'"), 0,
	'... and none started from 100 ms after the pause until it was resumed');

# Who buys between the launch and the sending gets nothing.
create('excludes', 'first', 'slow', exclude => '{"bought": "1 day"}');
launch('excludes');
ok(wait_sql('it is expanded', q{SELECT status FROM smsflow.campaign WHERE name = 'excludes'}, 'done'), 'a campaign that excludes buyers is queued');
my $buyer = sql(q{SELECT recipient FROM smsflow.outbox o JOIN smsflow.campaign USING (campaign_id) WHERE name = 'excludes' ORDER BY message_id DESC LIMIT 1});
sql("SELECT smsflow.record_event('$buyer', 'order', 'o1')");
ok(wait_settled(60), '... and sent');
is(sql("SELECT status || ' ' || reason FROM smsflow.message WHERE campaign = 'excludes' AND phone = '$buyer'"), 'suppressed already_bought', '... but not to who has bought meanwhile');
is(scalar(requests('excludes')), 19, '... and to everybody else');

check_is_clean();
$gateway->stop;
$node->stop;
done_testing();
