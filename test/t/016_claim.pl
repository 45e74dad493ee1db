# What a claim takes, however it reads it: plain messages through the index of their queue, others by the view, rows of
# the default segment, and the seam between two segments. All leave, in the order of their ids, and once. What may not be
# sent is written down, however much of it one claim meets.

use strict;
use warnings;

use JSON::PP ();
use SmsflowGateway;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;
my $segment = 1048576;

start_server('claim', {}, 'smsflow.max_in_flight' => 1);
create_shop(20);
add_route('main', $gateway, rate => 1000, burst => 1000);

sub texts { my ($like) = @_; return map { $_->{text} } grep { ($_->{text} // '') =~ $like } $gateway->requests; }

# All asked for in one transaction, so that one claim takes them.
sub ask_for
{
	my ($what, $count, $from) = @_;
	my $more = $from ? "SELECT setval('smsflow.message_id_seq', $from);" : '';

	return sql("$more SELECT count(smsflow.send('" . phone(1) . "', '$what ' || to_char(n, 'FM000'), 'transactional', pool => 'main'))
		FROM generate_series(1, $count) n");
}

sub test_order
{
	my ($what, $count, $from) = @_;

	ask_for($what, $count, $from);
	ok(wait_settled(), "$what: all are settled");
	is_deeply([ texts(qr/^$what/) ], [ map { sprintf('%s %03d', $what, $_) } 1 .. $count ], '... each left once, in order');
}

# Contacts are read as they come: in order, with gaps, back again, twice, with older versions of their rows in the index; and of
# those who have ended it meanwhile, or are gone, nobody is taken for the next one.
sub test_contacts
{
	my @order = (1, 2, 3, 5, 4, 4, 20, 6, 7, 8, 9, 10, 12, 19, 2);
	my %gone = (7 => 1, 9 => 1);

	sql('SELECT smsflow.disarm()');
	sql("UPDATE smsflow.contact SET external_id = '$_ ' || contact_id") for qw(first second);
	sql("SELECT smsflow.send('+1415555' || to_char(n, 'FM0000'), 'contact ' || n, 'promotional', pool => 'main')
		FROM unnest('{@{[join(',', @order)]}}'::integer[]) WITH ORDINALITY AS o (n, i) ORDER BY i");
	sql("SELECT smsflow.opt_out('" . phone(7) . "'), smsflow.erase_contact('" . phone(9) . "')");
	# Their rows are passed on the way to others.
	sql("SELECT smsflow.opt_out('" . phone($_) . "')") for 11, 13 .. 18;
	sql('SELECT smsflow.arm()');
	ok(wait_settled(60), 'contacts: all are settled');
	is_deeply([ sort map { "$_->{text} " . JSON::PP->new->decode($_->{body})->{to} } grep { ($_->{text} // '') =~ /^contact/ } $gateway->requests ],
		[ sort map { "contact $_ " . phone($_) } grep { !$gone{$_} } @order ], '... each left for its own, but for who is gone');
	is(sql("SELECT status || ' ' || reason FROM smsflow.message WHERE body = 'contact 7'"), 'suppressed opted_out', '... or has ended it');
}

# Plain and not plain in one claim.
sub ask_mixed
{
	my $send = "smsflow.send('" . phone(2) . "', '%s', '%s', pool => 'main'%s)";

	return split(/\|/, sql('SELECT ' . join(', ', map { sprintf($send, @$_) }
		[ 'mixed plain', 'promotional', '' ], [ 'mixed later', 'promotional', ", send_at => now() + interval '2 seconds'" ],
		[ 'mixed cancelled', 'promotional', '' ], [ 'mixed refused', 'promotional', '' ], [ 'mixed last', 'promotional', '' ])));
}

# An outage: every queue of every lane has messages that waited for their time and others that are new, all of which are
# over when the worker comes back.
sub test_refused
{
	my $ask = sub {
		my ($text, $more) = @_;

		sql("SELECT count(smsflow.send('+1415555' || to_char(1 + n % 20, 'FM0000'), '$text ' || n, purpose, pool => 'many'$more))
			FROM generate_series(1, 500) n, unnest('{compliance,transactional,conversational,cart,promotional}'::text[]) purpose");
	};
	my $pid;

	add_route("many$_", $gateway, pool => 'many', rate => 20000, burst => 20000,
		gateway => '{"max_in_flight": 500, "rate": 20000, "burst": 20000}') for 1 .. 10;
	$ask->('over and due', ", send_at => now() + interval '1 hour'");
	ok(wait_sql('they wait', "SELECT count(*) FROM smsflow.timer", 2500), 'messages wait for their time');
	sql('ALTER SYSTEM SET smsflow.enabled = off');
	sql('SELECT pg_reload_conf()');
	ok(wait_until('the worker has left', sub { !worker_pid() }), '... the worker is away');
	$ask->('over and new', '');
	sql("UPDATE smsflow.timer SET due_at = now()");
	sql("UPDATE smsflow.outbox SET due_at = created_at, expires_at = now() WHERE body LIKE 'over and %'");
	sql('ALTER SYSTEM RESET smsflow.enabled');
	sql('SELECT pg_reload_conf()');
	ok(wait_until('the worker is back', sub { $pid = worker_pid() }), '... and comes back');
	ok(wait_settled(60), '... all are settled');
	is(sql("SELECT count(*) FROM smsflow.message WHERE body LIKE 'over and %' AND status = 'expired'"), 5000, '... as expired');
	is(worker_pid(), $pid, '... by one worker');
	cmp_ok(sql("SELECT max(n) FROM (SELECT count(*) AS n FROM smsflow.attempt GROUP BY xmin::text) t"), '>', 3600, '... most of them in one turn');
}

test_order('first', 40);
test_refused();

# While nothing is claimed, one of them is cancelled, and the time of another runs out.
sql('SELECT smsflow.disarm()');
my ($plain, $later, $cancelled, $refused, $last) = ask_mixed();
sql("SELECT smsflow.cancel($cancelled)");
sql("UPDATE smsflow.outbox SET expires_at = created_at WHERE message_id = $refused");
sql('SELECT smsflow.arm()');
wait_status($plain, 'accepted', 'mixed: the plain message is sent');
wait_status($cancelled, 'cancelled', '... the cancelled one is not');
wait_status($refused, 'expired', '... nor the expired one');
wait_status($later, 'accepted', '... the later one is');
wait_status($last, 'accepted', '... and so is the one behind them');
is(join(', ', texts(qr/^mixed/)), 'mixed plain, mixed last, mixed later', '... each once, when it was due');
is(sql("SELECT sent_at >= due_at FROM smsflow.message WHERE message_id = $later"), 't', '... and not before');

# The last ids of one segment and the first of the next, in one transaction.
test_order('seam', 40, $segment - 20);
is(sql("SELECT count(DISTINCT tableoid) FROM smsflow.outbox WHERE body LIKE 'seam%'"), 2, '... from two segments');

# Far beyond every segment that was made ahead: the store's transaction does not fail, and they leave as well.
test_order('default', 40, 60 * $segment);
is(sql("SELECT DISTINCT tableoid::regclass FROM smsflow.outbox WHERE body LIKE 'default%'"), 'smsflow.outbox_default', '... from the default segment');
ok(wait_sql('segments are made behind them', "SELECT max(from_id) > 60 * $segment FROM smsflow.message_segment", 't'), 'new segments are made behind it');
test_order('beyond', 40, 61 * $segment);
test_contacts();
is(sql("SELECT count(*) FROM ONLY smsflow.outbox_default WHERE body LIKE 'beyond%'"), 0, '... from a segment of their own');

check_is_clean();
$gateway->stop;
$SmsflowTest::node->stop;
done_testing();
