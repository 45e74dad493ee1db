# Retention on a server that works: while a dump reads the tables the oldest segment stays, and messages are sent as ever; once
# it has ended, the segment goes. Before that, an erased person was in every segment, and is in none. Events go
# at their own age.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

use constant SEGMENT => 1048576;

my $gateway = SmsflowGateway->start;
my $node = start_server('retention', {}, 'smsflow.retention' => '400d');

sub send_all { my ($body, @contacts) = @_; return map { send_sms('main', $body, 'promotional', to => phone($_)) } @contacts; }

# Segments' tables with a text in any row
sub tables_with
{
	my ($text) = @_;

	return sql("SELECT coalesce(string_agg(c.relname, ' ' ORDER BY c.relname), '') FROM pg_class c WHERE c.relnamespace = 'smsflow'::regnamespace AND c.relkind = 'r'
		AND c.relname ~ '^(outbox|attempt|report|timer)_' AND position('$text' IN query_to_xml('SELECT * FROM ' || c.oid::regclass, true, true, '')::text) > 0");
}

sub counters { return sql("SELECT string_agg(measure || ' ' || value, ', ' ORDER BY measure) FROM (SELECT measure, sum(value) AS value FROM smsflow.metric WHERE value <> 0 GROUP BY 1) m"); }

# A full segment of long ago, and one of today
sub fill_segments
{
	create_shop(10);
	add_route('main', $gateway);
	ok(wait_sql('segments are made', "SELECT to_regclass('smsflow.outbox_0') IS NOT NULL AND to_regclass('smsflow.outbox_1') IS NOT NULL", 't', 60), 'there are segments');
	send_all('of long ago', 1 .. 5);
	ok(wait_settled(60), 'messages are sent');
	sql("UPDATE smsflow.outbox SET created_at = created_at - interval '500 days', expires_at = expires_at - interval '500 days';
		SELECT setval('smsflow.message_id_seq', @{[SEGMENT]})");
	send_all('of today', 1 .. 2);
	ok(wait_settled(60), '... and more in the next segment');
}

sub test_erasure
{
	my $number = phone(2);

	is(tables_with($number), 'outbox_0 outbox_1', 'a person is in two segments');
	sql("SELECT smsflow.erase_contact('$number')");
	is(tables_with($number), '', '... erased, in none');
}

# As pg_dump: one snapshot, and a lock on everything that it reads.
sub test_dump
{
	my $sent = scalar $gateway->requests;
	my ($dump, $counters) = ($node->background_psql('shop'));

	$dump->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
	$dump->query_safe('LOCK TABLE smsflow.outbox, smsflow.attempt, smsflow.timer, smsflow.report IN ACCESS SHARE MODE');
	for my $round (1 .. 3)
	{
		send_all("while it is dumped $round", 3 .. 5);
		is(sql('SELECT smsflow.apply_retention()'), 'f', "a dump reads the segment, round $round: it stays");
		ok(wait_settled(60), '... and messages are sent');
	}
	is(scalar $gateway->requests, $sent + 9, '... each once');
	$dump->query_safe('COMMIT');
	$dump->quit;
	wait_sql('what is counted is folded', 'SELECT count(*) FROM smsflow.metric_delta', '0');
	$counters = counters();
	is(sql('SELECT smsflow.apply_retention()'), 't', 'the dump has ended: the segment is dropped');
	is(sql("SELECT count(*) FROM pg_class WHERE relname ~ '^(outbox|attempt|timer|report)_0' AND relnamespace = 'smsflow'::regnamespace"), 0, '... with all its tables');
	is(counters(), $counters, '... and no counter changes');
	is(sql('SELECT count(*) FROM smsflow.verify_consent_ledger()'), 0, '... nor the ledger');
	send_all('after it', 3);
	ok(wait_settled(60), '... and messages are sent');
}

# Of two events one is of long ago; the worker reads both, and folds what they say.
sub test_events
{
	my $events = q{SELECT string_agg(ref, ' ') FROM smsflow.event WHERE kind = 'visit'};
	my $person = phone(3);

	sql("SELECT smsflow.record_event('$person', 'visit', 'old', at => now() - interval '500 days')");
	sql("SELECT smsflow.record_event('$person', 'visit', 'new')");
	is(sql('SELECT smsflow.apply_retention(); ' . $events), "f\nold new", 'events stay without a wish');
	ok(wait_until('it goes', sub { sql("SET smsflow.event_retention = '400d'; SELECT smsflow.apply_retention(); $events") eq "f\nnew" }), 'an event of long ago goes');
}

fill_segments();
test_erasure();
test_dump();
test_events();
check_is_clean();
done_testing();
