# Gateways that can be asked: a message in doubt is settled by what its gateway says, and so is one that was accepted
# and of which no report comes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;
my $node = start_server('lookup', {}, 'smsflow.public_url' => 'http://127.0.0.1:1', 'restart_after_crash' => 'on',
	'smsflow.sweep_interval' => '200ms');

create_shop(20);
sql(q{INSERT INTO smsflow.gateway_profile
	SELECT (jsonb_populate_record(p, '{"profile": "asked", "in_doubt": "poll", "builtin": false, "lookup": {
		"by_reference": {"url": "/find?reference={{reference}}", "records": "found.list", "match": {"ref": "reference"}},
		"by_id": {"url": "/message/{{provider_id}}"}, "report": {"status": "state", "code": "why", "provider_id": "id", "cost": "price", "currency": "=USD"},
		"status": {"gone": "undelivered"}, "patience": 600}}')).*
	FROM smsflow.gateway_profile p WHERE profile = 'generic_json'});
add_route('asked', $gateway, profile => 'asked');

# Requests of look-ups about a message in doubt, and about one by its id
sub asked { my ($what) = @_; return scalar grep { $_->{method} eq 'GET' && $_->{target} =~ /\Q$what\E/ } $gateway->requests; }
sub asked_about { my ($id) = @_; return asked("/asked/find?reference=$id."); }

# It is asked now, instead of after its back-off.
sub ask_now { my ($id) = @_; sql("UPDATE smsflow.lookup SET due_at = now() WHERE message_id = $id"); }

sub listed { my ($id) = @_; return sql("SELECT next FROM smsflow.in_doubt WHERE message_id = $id"); }

# The first request of a message fails so that it is in doubt; look-ups are answered by the rules that follow.
sub doubtful
{
	my ($purpose, @answers) = @_;
	my $id;

	# One that is accepted between those that fail: the route is not to be paused.
	$gateway->script();
	wait_status(send_sms('asked', 'all is well', 'transactional'), 'accepted', 'the gateway works');
	$gateway->script({ path => '/asked$', times => 1, status => 500 }, @answers);
	$id = send_sms('asked', "doubtful by $purpose", $purpose);
	wait_status($id, 'in_doubt', "a $purpose message is in doubt");
	return $id;
}

sub found { my ($id, $more) = @_; return qq({"found": {"list": [{"ref": "0.1", "id": "other", "state": "delivered"}, {"ref": "$id.1", "id": "gw-$id"$more}]}}); }

sub script_found { my ($id, $more) = @_; $gateway->script({ path => '/find', status => 200, body => found($id, $more) }); ask_now($id); }

# The gateway has it: it is not sent again, whatever it is.
sub test_found
{
	for my $case ([ 'transactional', 'sent', 'accepted' ], [ 'promotional', 'sent', 'accepted' ], [ 'transactional', 'delivered', 'delivered' ],
		[ 'promotional', 'gone', 'undelivered' ])
	{
		my ($purpose, $word, $status) = @$case;
		my $id = doubtful($purpose, { path => '/find', status => 503 });

		is(listed($id), 'the gateway is asked about it', '... its gateway is asked');
		script_found($id, qq(, "state": "$word", "price": "0.0075"));
		wait_status($id, $status, "... and says \"$word\": $status");
		is($gateway->count_for($id), 1, '... it was requested once');
		is(sql("SELECT provider_id || ' ' || cost || ' ' || currency FROM smsflow.message WHERE message_id = $id"), "gw-$id 0.0075 USD",
			'... with its id and its price');
	}
	my ($first) = grep { $_->{target} =~ m{/find} } $gateway->requests;

	like($first->{target}, qr{^/asked/find\?reference=\d+.1$}, 'it asks by our reference');
	is($first->{headers}{authorization}, 'Bearer secret of asked', '... as who it is');
}

# It has it not: what is transactional is sent again, marketing waits for a person.
sub test_missing
{
	my $missing = { path => '/find', status => 200, body => '{"found": {"list": []}}' };
	my $id = doubtful('transactional', $missing);

	ask_now($id);
	ok(wait_sql('it is looked up', "SELECT finding FROM smsflow.lookup WHERE message_id = $id", 'missing'), 'a message is missing at once');
	is($gateway->count_for($id), 1, '... which proves nothing yet');
	sql("UPDATE smsflow.attempt SET finished_at = finished_at - interval '1 hour' WHERE message_id = $id");
	ask_now($id);
	wait_status($id, 'accepted', '... later it does: it is sent again');
	is($gateway->count_for($id), 2, '... once');
	is(sql("SELECT count(*) FROM smsflow.lookup WHERE message_id = $id"), 0, '... and not asked about any more');

	$id = doubtful('promotional', $missing);
	sql("UPDATE smsflow.attempt SET finished_at = finished_at - interval '1 hour' WHERE message_id = $id");
	ask_now($id);
	ok(wait_sql('it is looked up', "SELECT next FROM smsflow.in_doubt WHERE message_id = $id", 'the gateway does not show it; a person decides'),
		'marketing that is missing is shown as that');
	is(status_of($id), 'in_doubt', '... and stays in doubt');
	is($gateway->count_for($id), 1, '... it is never requested twice');
}

# Other answers prove nothing. It is asked again, later each time.
sub test_unclear
{
	my $id = doubtful('transactional', { path => '/find', status => 200, body => 'no JSON' });

	for my $answer ({ status => 200, body => 'no JSON' }, { status => 500 }, { status => 401, body => '{}' }, { action => 'close' })
	{
		my $before = asked_about($id);

		$gateway->script({ path => '/find', %$answer });
		ask_now($id);
		ok(wait_until('it is asked', sub { asked_about($id) > $before }), 'it is asked');
		ok(wait_sql('the answer is taken', "SELECT looked_at IS NOT NULL AND finding = 'unclear' FROM smsflow.lookup WHERE message_id = $id"),
			'... the answer proves nothing');
	}
	is(status_of($id), 'in_doubt', '... it stays in doubt');
	cmp_ok(sql("SELECT due_at - now() > interval '15 seconds' FROM smsflow.lookup WHERE message_id = $id"), 'eq', 't', '... and is asked again after a back-off');
	$gateway->script({ path => '/find', status => 429, headers => { 'Retry-After' => '600' } });
	ask_now($id);
	ok(wait_sql('the pause holds', "SELECT due_at - now() > interval '9 minutes' FROM smsflow.lookup WHERE message_id = $id"), 'a gateway that asks for a pause gets it');
	sql("UPDATE smsflow.lookup SET until = now(), due_at = now() WHERE message_id = $id");
	ok(wait_sql('it is forgotten', "SELECT count(*) FROM smsflow.lookup WHERE message_id = $id", 0), 'in the end it is asked no more');
	is(status_of($id), 'in_doubt', '... and still listed');
}

# The gateway's own rule takes the place of the profile's.
sub test_rule
{
	my ($error, $id);

	sql(q{SELECT smsflow.set_gateway('asked', options => '{"in_doubt": "hold"}')});
	$id = doubtful('transactional', { path => '/find', status => 503 });
	is(listed($id), 'is sent again, unless a report comes', 'with the rule hold it is sent again later');
	is(sql("SELECT count(*) FROM smsflow.lookup WHERE message_id = $id"), 0, '... and not asked about');
	sql(q{SELECT smsflow.set_gateway('asked', options => '{"in_doubt": "resend"}')});
	$id = doubtful('transactional', { path => '/find', status => 503 });
	wait_status($id, 'accepted', 'with the rule resend it is sent again at once');
	sql(q{SELECT smsflow.set_gateway('asked', options => '{"in_doubt": null}')});
	is(error_of(q{SELECT smsflow.set_gateway('asked', options => '{"in_doubt": "guess"}')}), 'SF007', 'a rule that does not exist');
	add_route('plain', $gateway);
	is(error_of(q{SELECT smsflow.set_gateway('plain', options => '{"in_doubt": "poll"}')}), 'SF007', 'a gateway that cannot be asked');
}

# The worker dies when it has asked: its successor asks again.
sub test_crash
{
	my $id = doubtful('transactional', { path => '/find', action => 'hang' });

	ask_now($id);
	ok(wait_until('it is asked', sub { asked_about($id) > 0 }), 'a look-up is under way');
	$gateway->script({ path => '/find', status => 200, body => found($id, ', "state": "sent"') });
	kill_worker();
	ask_now($id);
	wait_status($id, 'accepted', '... another one asks again');
	is($gateway->count_for($id), 1, '... and sends nothing twice');
}

# Accepted an hour ago, and no report: asked by the id that the gateway gave it.
sub test_silent
{
	my $id;

	$gateway->script({ path => '/message/', status => 200, body => '{"id": "gw-x", "state": "delivered", "price": "0.5"}' },
		{ path => '/asked$', status => 200, body => '{"id": "gw-x"}' });
	$id = send_sms('asked', 'accepted and silent', 'transactional');
	wait_status($id, 'accepted', 'a message is accepted');
	is(asked('/asked/message/gw-x'), 0, '... and nothing is asked as yet');
	sql("UPDATE smsflow.outbox SET created_at = created_at - interval '2 hours' WHERE message_id <= $id");
	wait_status($id, 'delivered', '... an hour later its gateway is asked');
	is(asked('/asked/message/gw-x'), 1, '... by its id');
	is(sql("SELECT cost FROM smsflow.message WHERE message_id = $id"), '0.5', '... and tells the price');
	ok(wait_sql('it is forgotten', "UPDATE smsflow.lookup SET due_at = now() WHERE message_id = $id; SELECT count(*) FROM smsflow.lookup WHERE message_id = $id", 0),
		'... it is not asked about any more');
	is(asked('/asked/message/gw-x') <= 2, 1, '... nor often');
}

test_found();
test_missing();
test_unclear();
test_rule();
test_crash();
test_silent();
check_is_clean();
$node->stop;
done_testing();
