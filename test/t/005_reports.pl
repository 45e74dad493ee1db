# The way back: delivery reports and replies through smsflowd into the database. What is counted must be what happened,
# whatever a gateway repeats, reorders or a stranger makes up.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use HTTP::Tiny;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowDaemon;
use SmsflowTest;
use Test::More;

plan skip_all => 'SMSFLOWD does not name the built smsflowd' if !-x ($ENV{SMSFLOWD} // '');

my $gateway = SmsflowGateway->start;
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $url = "http://127.0.0.1:$port";
my $node = start_server('reports', {}, 'smsflow.public_url' => $url);

create_shop(60);
add_route('main', $gateway);
my $daemon = SmsflowDaemon->start(port => $port, database => $node->connstr('shop'));
$daemon->wait_for_database;

# A call as a gateway would make it; returns the status.
sub call
{
	my ($to, $json) = @_;

	return HTTP::Tiny->new->post($to, { content => $json, headers => { 'Content-Type' => 'application/json' } })->{status};
}

sub count_of { my ($status) = @_; return sql("SELECT count(*) FROM smsflow.message WHERE status = '$status'"); }

sub totals { return sql('SELECT to_jsonb(t) FROM smsflow_bi.campaign_totals t ORDER BY campaign'); }

# The worker has applied all callbacks that have come.
sub wait_for_callbacks
{
	return wait_sql('callbacks are applied', "SELECT t.cursor_id >= (SELECT coalesce(max(callback_id), 0) FROM smsflow.callback)
		FROM smsflow.tail t WHERE name = 'callback'");
}

sub test_campaign
{
	$gateway->reports(delay_ms => 20);
	$gateway->script({ match => '"\\+14155550007"', status => 400, body => { error => { code => 'invalid_number' } } });
	sql(q{SELECT smsflow.create_segment('all', 'true');
		SELECT smsflow.create_campaign('spring', 'all', 'Spring is here {{first_name|}}', options => '{"pool": "main"}');
		SELECT smsflow.launch_campaign('spring')});
	ok(wait_sql('reports are in', 'SELECT delivered FROM smsflow_bi.campaign_totals', 59), 'a campaign of 60 is delivered to 59');
	is(count_of('delivered'), 59, '... as the messages say');
	is(sql('SELECT recipients, sent, delivered, rejected, queued FROM smsflow_bi.campaign_totals'), '60|59|59|1|0', '... and the totals');
	is(sql("SELECT count(*) FROM smsflow.message WHERE delivered_at IS NULL AND status = 'delivered'"), 0, '... with an instant each');
}

# Ids of kilobytes, alike for as long as an index could tell: each finds its own message, and neither stops the worker.
sub test_long_ids
{
	my @long = map { 'x' x 3000 . join('', map { chr(97 + rand(26)) } 1 .. 3000) } 0 .. 1;
	my @ids;

	sql(q{INSERT INTO smsflow.gateway_profile SELECT (jsonb_populate_record(p, jsonb_build_object('profile', 'by_id', 'builtin', false,
		'report', p.report || '{"key": "provider_id"}'))).* FROM smsflow.gateway_profile p WHERE profile = 'generic_json'});
	add_route('by_id', $gateway, profile => 'by_id');
	$gateway->script(map { { match => "long $_", status => 200, body => { id => $long[$_] } } } 0 .. 1);
	@ids = map { send_sms('by_id', "long $_", 'transactional') } 0 .. 1;
	wait_status($_, 'accepted', 'an answer with a long id') for @ids;
	is(sql("SELECT max(octet_length(provider_id)), count(DISTINCT provider_id) FROM smsflow.message WHERE message_id IN ($ids[0], $ids[1])"), '127|2', '... of which each is kept in short');
	is(call(sql(q{SELECT smsflow.inbound_url('by_id')}), qq({"id": "$long[1]", "status": "delivered"})), 200, 'a report by such an id');
	wait_status($ids[1], 'delivered', '... finds its message');
	is(status_of($ids[0]), 'accepted', '... and no other');
	sql("SELECT smsflow.cancel($ids[0])");
	$gateway->script;
}

# The answer to the request comes half a second after the report about it.
sub test_overtaking_report
{
	my $id;

	$gateway->reports(from => 'request');
	$gateway->script({ match => 'fast network', delay_ms => 500 });
	$id = send_sms('main', 'fast network', 'transactional');
	wait_status($id, 'delivered', 'a report that overtakes the answer counts');
	ok(wait_sql('the answer is there', "SELECT attempts = 1 FROM smsflow.message WHERE message_id = $id"), '... and then comes the answer');
	is(status_of($id), 'delivered', '... which changes nothing');
	check_is_clean();
	$gateway->reports;
}

# A report about a message that was not even claimed, as of what a lost primary had sent. It goes, and counts once.
sub test_report_before_request
{
	my $sender = sql("SELECT address FROM smsflow.sender WHERE gateway_id = (SELECT gateway_id FROM smsflow.gateway WHERE name = 'main')");
	my $id;

	sql("SELECT smsflow.set_sender('$sender', 'main', enabled => false)");
	$id = send_sms('main', 'reported too early', 'transactional');
	is(sql(qq{SELECT status FROM smsflow.receive_callback('main', 'POST', substring(smsflow.callback_url('main', $id, 1) FROM '/callback/.*'), '',
		'{"content-type": "application/json"}', '{"status": "delivered"}')}), 200, 'a report before anything was sent is taken');
	wait_status($id, 'delivered', 'a report that overtakes the request counts');
	check_is_clean();
	sql("SELECT smsflow.set_sender('$sender', 'main', enabled => true)");
	ok(wait_sql('it is sent', "SELECT attempts = 1 FROM smsflow.message WHERE message_id = $id"), '... and then comes the answer');
	check_is_clean();
}

# More than the worker applies at a time, told of once: the rest does not wait for something else to happen.
sub test_burst
{
	my $id = send_sms('main', 'reported often', 'transactional');

	wait_status($id, 'accepted', 'a message is sent');
	sql("ALTER SYSTEM SET smsflow.sweep_interval = '1h'; SELECT pg_reload_conf()");
	is(sql(qq{SELECT count(*) FROM (SELECT (smsflow.receive_callback('main', 'POST', substring(smsflow.callback_url('main', $id, 1) FROM '/callback/.*'),
		'', '{"content-type": "application/json"}', '{"status": "delivered"}')).status FROM generate_series(1, 1200) OFFSET 0) c WHERE c.status = 200}),
		1200, '1,200 callbacks at once');
	ok(wait_sql('all are applied', "SELECT cursor_id = (SELECT max(callback_id) FROM smsflow.callback) FROM smsflow.tail WHERE name = 'callback'"),
		'... are applied without a sweep');
	is(status_of($id), 'delivered', '... and count once');
	sql("ALTER SYSTEM SET smsflow.sweep_interval = '1s'; SELECT pg_reload_conf()");
	check_is_clean();
}

sub test_forged_and_repeated
{
	my $id = send_sms('main', 'no report yet', 'transactional');
	my ($good, $other, $before);

	wait_status($id, 'accepted', 'a message without a report');
	$good = $gateway->by_message->{$id}[0]{callback_url};
	like($good, qr{^\Q$url\E/callback/main/$id\.1\.[0-9a-f]{32}$}, 'its token is in the callback URL');
	($other = $good) =~ s/(.)$/$1 eq '0' ? '1' : '0'/e;
	is(call($other, '{"status": "delivered"}'), 403, 'a token with another MAC is refused');
	($other = $good) =~ s{/$id\.}{'/' . ($id - 1) . '.'}e;
	is(call($other, '{"status": "delivered"}'), 403, '... and one for another message');
	($other = $good) =~ s{/callback/}{/in/};
	like(call($other, '{"status": "delivered"}'), qr/^40[34]$/, '... and one for another purpose');
	is(status_of($id), 'accepted', '... and nothing came of it');

	is(call($good, '{"status": "delivered", "id": "x"}'), 200, 'the true one is taken');
	wait_status($id, 'delivered', '... and believed');
	$before = totals();
	is(join(' ', map { call($good, '{"status": "delivered", "id": "x"}') } 1 .. 3), '200 200 200', 'repeats are taken');
	is(call($good, '{"status": "failed", "id": "x"}'), 200, '... and so is a contradiction');
	is(call($good, 'garbage'), 400, '... but not what cannot be read');
	ok(wait_for_callbacks(), '... and read');
	is(status_of($id), 'delivered', 'the message stays delivered');
	is(sql("SELECT count(*) FROM smsflow.report WHERE message_id = $id AND status = 'delivered'"), 1, '... by one report');
	is(totals(), $before, '... and no total changed');
}

sub test_stop
{
	my $inbound = sql("SELECT smsflow.inbound_url('main')");
	my $sender = sql("SELECT address FROM smsflow.sender");
	my $stop = sub { my ($id) = @_; return qq({"from": "+14155550009", "to": "$sender", "text": " Stop! ", "id": "$id"}) };
	my ($waiting, $refused, $later, $forged);
	my $to_nine = sub { return grep { ($_->{body} // '') =~ /\+14155550009/ } $gateway->requests };
	my $before;

	add_route('slow', $gateway, rate => 1, burst => 1);
	send_sms('slow', 'first in the queue', 'promotional', to => phone(10));
	$waiting = send_sms('slow', 'sale', 'promotional', to => phone(9));
	ok(wait_sql('it waits', "SELECT status = 'sending' FROM smsflow.message WHERE message_id = $waiting"), 'a message waits for its turn');

	($forged = $inbound) =~ s/(.)$/$1 eq '0' ? '1' : '0'/e;
	is(call($forged, $stop->('in-0')), 403, 'a STOP from a stranger is refused');
	is(sql("SELECT allowed FROM smsflow.can_send('+14155550009', 'promotional')"), 't', '... and changes nothing');
	$before = $to_nine->();
	is(call($inbound, $stop->('in-1')), 200, 'a STOP is taken');
	is(sql("SELECT allowed, reason FROM smsflow.can_send('+14155550009', 'promotional')"), 'f|opted_out', '... and holds when it is answered');
	is(call($inbound, $stop->('in-1')), 200, 'a repeat of it');
	is(call($inbound, $stop->('in-2')), 200, '... and a second STOP');
	$refused = send_sms('main', 'sale', 'promotional', to => phone(9));
	is(status_of($refused), 'suppressed', 'nothing promotional is sent after it');
	wait_status($waiting, 'suppressed', '... not even what was waiting');
	ok(wait_settled(), '... when all is sent');
	is($to_nine->() - $before, 1, 'there is one confirmation');
	is(sql("SELECT count(*) FROM smsflow.message WHERE phone = '+14155550009' AND purpose = 'compliance' AND status = 'accepted'"), 1,
		'... as the messages say');
	is($gateway->count_for($waiting), 0, 'the gateway never saw the rest');
}

test_campaign();
test_overtaking_report();
test_long_ids();
test_report_before_request();
test_burst();
test_forged_and_repeated();
test_stop();

ok(wait_sql('totals equal a recount', 'SELECT bool_and(to_jsonb(t) @> to_jsonb(r))
	FROM smsflow_bi.campaign_totals t FULL JOIN smsflow.campaign_recount r USING (campaign_id)'), 'the totals equal a recount')
	or diag(totals() . "\n" . sql('SELECT to_jsonb(r) FROM smsflow.campaign_recount r'));
check_is_clean();
$node->stop;
done_testing();
