# Early warning by the worker itself: a campaign after which people leave is noticed by the rules, told of on a channel and in
# health(), and paused if it allows that; and the alert ends when it holds no longer.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;
my $node = start_server('alerts', {});

create_shop(60);

# Thirty of the sixty may leave today; four more parts are kept for codes.
my $number = add_route('main', $gateway);
sql("SELECT smsflow.set_sender('$number', 'main', daily_limit => 34)");
sql("SELECT smsflow.create_segment('all', 'true')");
sql("SELECT smsflow.create_campaign(n, 'all', 'Offer. Reply STOP to end', options => '{\"pool\": \"main\", \"pause_on_alert\": true}') FROM unnest('{before,loud}'::text[]) n");

# Two weeks ago one in a hundred left; few messages are enough to look at here.
sql("INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value)
	SELECT date_trunc('hour', now() - interval '14 days', 'UTC'), 1, campaign_id, 0, 0, 0, 'promotional', m, v
	FROM smsflow.campaign, (VALUES ('sent', 1000), ('opt_outs', 10)) x (m, v) WHERE name = 'before'");
sql("UPDATE smsflow.alert_rule SET at_least = 20 WHERE rule = 'opt-outs of a campaign rise'; UPDATE smsflow.alert_rule SET enabled = false WHERE rule <> 'opt-outs of a campaign rise'");

# The worker looks when it starts, and every five minutes.
sub have_worker_look
{
	my $pid = worker_pid();

	kill('TERM', $pid);
	ok(wait_until('another worker is there', sub { my $now = worker_pid(); $now && $now != $pid }, 60), 'another worker starts');
}

sub open_alerts { return sql("SELECT count(*) FROM smsflow_bi.alerts WHERE ended_at IS NULL"); }

my $listener = $node->background_psql('shop');
$listener->query_safe('LISTEN smsflow_alert');

sql("SELECT smsflow.launch_campaign('loud')");
ok(wait_sql('some are sent', "SELECT sent = 30 FROM smsflow_bi.campaign_totals WHERE campaign = 'loud'", 't', 60), 'a campaign goes out');
is(open_alerts(), 0, 'and nothing is wrong with it');

# As their STOP would.
sql("SELECT smsflow.opt_out(phone) FROM smsflow.message WHERE campaign = 'loud' AND sent_at IS NOT NULL");
have_worker_look();
ok(wait_sql('there is an alert', "SELECT campaign FROM smsflow_bi.alerts WHERE rule = 'opt-outs of a campaign rise' AND ended_at IS NULL AND rate > 0.9 AND past_rate = 0.01", 'loud', 60),
	'the worker notices that people leave');
is(open_alerts(), 1, '... once, and of nothing else');

my ($id) = sql('SELECT alert_id FROM smsflow_bi.alerts');
my $told = '';
ok(wait_until('the channel has it', sub { $told = $listener->query('SELECT 1'); $told =~ /"smsflow_alert" with payload "(\{.*\})"/ }), 'who listens is told');
like($told, qr/"rule": "opt-outs of a campaign rise".*"alert_id": $id\b|"alert_id": $id\b.*"rule": "opt-outs of a campaign rise"/, '... of this alert');
like(sql("SELECT ok || ' ' || message FROM smsflow.health() WHERE component = 'figures'"), qr/^false alerts: 1, such as opt-outs of a campaign rise: "loud"/, 'health() has it');

is(sql("SELECT status FROM smsflow.campaign WHERE name = 'loud'"), 'paused', 'the campaign is paused');
is(sql('SELECT paused FROM smsflow_bi.alerts'), 't', '... for this alert');
$listener->quit;

sql('UPDATE smsflow.alert_rule SET enabled = false');
have_worker_look();
ok(wait_sql('the alert ends', 'SELECT count(*) FROM smsflow_bi.alerts WHERE ended_at IS NULL', 0, 60), 'an alert ends when its rule finds nothing');
is(sql("SELECT ok FROM smsflow.health() WHERE component = 'figures'"), 't', '... also for health()');
is(sql("SELECT status FROM smsflow.campaign WHERE name = 'loud'"), 'paused', '... but a person decides when the campaign goes on');

done_testing();
