# What gateways say of people is written to their contacts, and the worker waits for nobody meanwhile: a transaction of
# the store that holds a contact delays what that one contact learns, and no message.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowDaemon;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;
my $node = start_server('feedback', {}, 'smsflow.public_url' => 'http://127.0.0.1:1');

create_shop(10);
add_route('main', $gateway);

# A transaction of the store that changes a contact and goes on until it is ended.
sub hold
{
	my ($phone) = @_;
	my $holder = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('shop') . " application_name='holder of $phone'", '-c',
			"UPDATE smsflow.contact SET first_name = 'Ann' WHERE phone::text = '$phone'; SELECT pg_sleep(120)" ],
		'>', '/dev/null', '2>', '/dev/null', IPC::Run::timeout(180));

	ok(wait_sql('it holds the contact', "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE application_name = 'holder of $phone'"),
		'a transaction of the store holds a contact');
	return $holder;
}

sub release
{
	my ($phone, $holder) = @_;

	sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder of $phone'");
	$holder->finish;
}

# The entries of a ledger that a carrier or gateway caused.
sub carrier_entries
{
	my ($phone) = @_;

	return "SELECT string_agg(e.kind || ' ' || (e.evidence ->> 'code') || ' ' || (e.evidence ->> 'message_id'), ',')
		FROM smsflow.consent_event e JOIN smsflow.contact c USING (contact_id) WHERE c.phone::text = '$phone' AND e.source = 'carrier'";
}

sub report
{
	my ($id, $body) = @_;
	my ($path) = $gateway->by_message->{$id}[-1]{callback_url} =~ m{^http://127\.0\.0\.1:1(/.*)};

	is(sql("SELECT status FROM smsflow.receive_callback('main', 'POST', '$path', '', '{\"content-type\": \"application/json\"}',
		convert_to('$body', 'UTF8'))"), 200, 'a delivery report comes');
}

sub test_refused_at_once
{
	my $id;

	$gateway->script({ match => 'gone', status => 400, body => { error => { code => 'opted_out' } } });
	$id = send_sms('main', 'gone', 'promotional', to => phone(2));
	wait_status($id, 'rejected', 'a gateway refuses somebody who had opted out there');
	ok(wait_sql('the ledger says so', carrier_entries(phone(2)), "revoke opted_out $id"), '... which the ledger says at once');
	is(sql("SELECT reason FROM smsflow.can_send('" . phone(2) . "', 'promotional')"), 'opted_out', '... and the gate');
	report($id, '{"status": "undelivered", "code": "opted_out"}');
	ok(wait_sql('the report is applied', 'SELECT count(*) = 1 FROM smsflow.report'), '... which says it again');
	ok(wait_sql('nothing waits', 'SELECT count(*) = 0 FROM smsflow.feedback'), '... and is dealt with');
	is(sql(carrier_entries(phone(2))), "revoke opted_out $id", '... without a second entry');
}

sub test_refused_while_held
{
	my $holder = hold(phone(3));
	my ($id, $other);

	$id = send_sms('main', 'gone, too', 'promotional', to => phone(3));
	wait_status($id, 'rejected', '... whose message is refused all the same');
	ok(wait_sql('it waits', "SELECT count(*) = 1 FROM smsflow.feedback WHERE retry_at > at + interval '500 ms'"), '... and what it means waits');
	quickly(10, '... within a moment', sub {
		$other = send_sms('main', 'hello', 'promotional', to => phone(4));
		wait_status($other, 'accepted', '... while others get their messages');
	});
	release(phone(3), $holder);
	ok(wait_sql('the ledger says so', carrier_entries(phone(3)), "revoke opted_out $id"), '... until that transaction is over');
}

sub test_reported_while_held
{
	my $opted_out = send_sms('main', 'hello', 'promotional', to => phone(5));
	my $reached = send_sms('main', 'hello', 'promotional', to => phone(6));
	my ($other, @holders);

	wait_status($_, 'accepted', 'a message is accepted') for $opted_out, $reached;
	@holders = map { hold(phone($_)) } 5, 6;
	report($opted_out, '{"status": "undelivered", "code": "opted_out"}');
	report($reached, '{"status": "delivered"}');
	wait_status($opted_out, 'undelivered', '... which tells the status');
	wait_status($reached, 'delivered', '... of both');
	ok(wait_sql('both wait', 'SELECT count(*) = 2 FROM smsflow.feedback'), '... and keeps what it says of the people');
	$other = send_sms('main', 'hello again', 'promotional', to => phone(4));
	wait_status($other, 'accepted', '... while others get their messages');
	is(sql("SELECT ok FROM smsflow.health() WHERE component = 'feedback'"), 't', '... which is no problem yet');
	sql("UPDATE smsflow.feedback SET at = at - interval '2 minutes'");
	is(sql("SELECT ok FROM smsflow.health() WHERE component = 'feedback'"), 'f', '... but is one after a minute');
	release(phone($_), shift @holders) for 5, 6;
	ok(wait_sql('the ledger says so', carrier_entries(phone(5)), "revoke opted_out $opted_out"), '... until those transactions are over');
	ok(wait_sql('it is reachable', "SELECT reachability FROM smsflow.contact WHERE phone::text = '" . phone(6) . "'", 'reachable'), '... for both');
}

# The receiver waits for nobody, either: a STOP whose contact is held is kept, and whatever comes behind it is taken.
sub test_stop_while_held
{
	my $daemon = SmsflowDaemon->start(database => $node->connstr('shop'));
	my ($path) = sql(q{SELECT smsflow.inbound_url('main')}) =~ m{^http://127\.0\.0\.1:1(/.*)};
	my $said = 0;
	my $says = sub {
		my ($phone, $words) = @_;

		return $daemon->request('POST', $path, { 'Content-Type' => 'application/json' },
			sprintf('{"id": "said-%d", "from": "%s", "to": "+12025550100", "text": "%s"}', ++$said, $phone, $words))->{status};
	};
	my $entries = sub { return "SELECT string_agg(e.kind, ' ' ORDER BY consent_event_id) FROM smsflow.consent_event e JOIN smsflow.contact c USING (contact_id)
		WHERE c.phone::text = '$_[0]' AND e.source = 'keyword'"; };
	my ($holder, $first, $next, $later);

	$daemon->wait_for_database;
	# One place: while the first is answered, the next one is in hand.
	add_route('narrow', $gateway, gateway => '{"max_in_flight": 1}');
	$gateway->script({ match => 'the first offer', delay_ms => 5000 });
	$first = send_sms('narrow', 'the first offer', 'promotional');
	ok(wait_until('it is on the wire', sub { $gateway->count_for($first) }), 'an offer is on the wire');
	$next = send_sms('narrow', 'an offer in hand', 'promotional', to => phone(8));
	ok(wait_sql('it is claimed', "SELECT status = 'sending' FROM smsflow.message WHERE message_id = $next"), '... and the next one in hand');
	$holder = hold(phone(8));
	quickly(4, '... nobody waits for it', sub {
		is($says->(phone(8), 'STOP'), 200, '... whose STOP is kept');
		is($says->(phone(9), 'STOP'), 200, '... and so is that of another');
		is(sql($entries->(phone(9))), 'revoke', '... which is obeyed at once');
		is($says->(phone(8), 'START'), 200, 'a START of the first');
	});
	is($daemon->metric('smsflowd_spooled_total'), 0, '... and nothing had to be spooled');
	is(sql("SELECT string_agg(action, ' ' ORDER BY inbound_id) FROM smsflow.inbound WHERE waiting"), 'opt_out opt_in', 'they wait in order');
	is(sql("SELECT ok FROM smsflow.health() WHERE component = 'feedback'"), 't', '... which is no problem yet');
	$later = send_sms('main', 'an offer after STOP', 'promotional', to => phone(8));
	wait_status($_, 'held', 'no marketing leaves meanwhile') for $later, $next;
	is(sql("SELECT string_agg(DISTINCT reason, ' ') FROM smsflow.message WHERE message_id IN ($next, $later)"), 'stop_waits', '... which says why');
	wait_status(send_sms('main', 'a parcel', 'transactional', to => phone(8)), 'accepted', '... but what is no marketing');
	sql("UPDATE smsflow.inbound SET received_at = received_at - interval '2 minutes' WHERE action = 'opt_out' AND waiting");
	is(sql("SELECT ok FROM smsflow.health() WHERE component = 'feedback'"), 'f', '... but is one after a minute');
	release(phone(8), $holder);
	ok(wait_sql('the worker obeys', $entries->(phone(8)), 'revoke grant'), 'when that transaction is over both are obeyed, in order');
	is($says->(phone(8), 'STOP'), 200, 'a STOP after that');
	is(sql($entries->(phone(8))), 'revoke grant revoke', '... is obeyed before it is answered');
	wait_status($_, 'suppressed', 'what waited has come to its end') for $later, $next;
	is($gateway->count_for($_), 0, '... and was never on the wire') for $later, $next;
}

# The worker seals what was recorded; in a restored copy the seals miss a person whom somebody took out with all entries.
sub test_ledger_sealed
{
	my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
	my $gone;

	is(sql('SELECT count(*) FROM smsflow.verify_consent_ledger()'), 0, 'the ledger is sound');
	wait_sql('the worker seals it', 'SELECT sum(cardinality(entries)) = (SELECT count(*) FROM smsflow.consent_event) FROM smsflow.consent_seal');
	command_ok([ 'pg_dump', '-f', $dump, $node->connstr('shop') ], 'pg_dump');
	$node->safe_psql('postgres', 'CREATE DATABASE copy');
	command_ok([ 'psql', '-Xqf', $dump, $node->connstr('copy') ], 'a copy is restored');
	is($node->safe_psql('copy', 'SELECT count(*) FROM smsflow.verify_consent_ledger()'), 0, '... and its ledger is sound');
	$gone = $node->safe_psql('copy', 'SELECT max(contact_id) FROM smsflow.consent_event');
	$node->safe_psql('copy', "ALTER TABLE smsflow.consent_event DISABLE TRIGGER USER; DELETE FROM smsflow.consent_event WHERE contact_id = $gone;
		DELETE FROM smsflow.contact WHERE contact_id = $gone");
	is($node->safe_psql('copy', 'SELECT DISTINCT contact_id, problem FROM smsflow.verify_consent_ledger()'), "$gone|sealed entry is missing",
		'... until somebody is taken out of it');
}

test_refused_at_once();
test_refused_while_held();
test_reported_while_held();
test_stop_while_held();
test_ledger_sealed();
check_is_clean();
$node->stop;
done_testing();
