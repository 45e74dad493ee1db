# Whoever waits for a code waits for no campaign, not even where every request that the campaign may have at the gateway
# hangs: the last places there are kept for codes and confirmations. And not for what has ended to be written down: a code
# is claimed in a turn of its own.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowSink;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;
my $node = start_server('urgent', {}, 'smsflow.max_in_flight' => 256);

create_shop(200);
sql("SELECT smsflow.create_segment('everybody', 'true')");

sub requests_of { my ($text) = @_; return grep { ($_->{text} // '') =~ /^\Q$text\E/ } $gateway->requests; }

# Every place that offers may have is taken by one that is never answered.
sub test_hanging
{
	my $hanging;

	add_route('stuck', $gateway, gateway => '{"max_in_flight": 32, "timeout": 120}');
	$gateway->script({ match => '"stuck', action => 'hang' });
	sql(q{SELECT smsflow.create_campaign('stuck', 'everybody', 'stuck', options => '{"pool": "stuck"}'); SELECT smsflow.launch_campaign('stuck')});
	ok(wait_until('they hang', sub { ($hanging = requests_of('stuck')) >= 28 }), 'requests of a campaign hang');
	for my $purpose ('otp', 'compliance', 'otp')
	{
		wait_status(send_sms('stuck', "urgent $purpose", $purpose), 'accepted', "... a message for $purpose leaves by the same number meanwhile");
	}
	is(scalar(requests_of('stuck')), $hanging, '... without one more of the campaign');
	is(sql("SELECT count(*) FROM smsflow.message WHERE campaign = 'stuck' AND status = 'accepted'"), 0, '... none of which was answered');
	sql("SELECT smsflow.cancel_campaign('stuck')");
}

# Answers of a campaign that the worker had when a turn claimed a code, and that a later turn wrote down: a turn that claims
# and writes down in one has none.
sub left_for_later
{
	return sql("SELECT coalesce(max((SELECT count(*) FROM smsflow.attempt a JOIN smsflow.outbox o USING (message_id)
				WHERE o.purpose = 'promotional' AND a.finished_at < c.claimed_at AND a.recorded_at > c.claimed_at)), 0)
		FROM smsflow.claim c JOIN smsflow.queue q USING (queue_id) JOIN smsflow.sender s USING (sender_id) WHERE q.lane = 0 AND s.pool = 'full'");
}

# A gateway whose answers come many at a time, with codes among them until one has met such a moment.
sub test_turn_of_its_own
{
	my $sink = SmsflowSink->start('-l', 50, '-k', 'reference');
	my ($offers, $codes) = (0, 0);

	add_route('full', $sink, rate => 100000, burst => 10000);
	ok(wait_until('it has happened', sub {
		$offers += sql("SELECT count(smsflow.send('+1415555' || to_char(person, 'FM0000'), 'full', 'promotional', pool => 'full'))
			FROM generate_series(1, 200) person, generate_series(1, 10)") if $codes % 10 == 0;
		send_sms('full', 'your code', 'otp');
		return ++$codes % 5 == 0 && left_for_later() > 32;
	}, 60), 'a code is claimed before many results of a campaign are written down');
	note("after $codes codes and $offers offers");
	ok(wait_sql('all are accepted', "SELECT count(*) FROM smsflow.attempt a JOIN smsflow.sender s USING (sender_id) WHERE s.pool = 'full' AND a.outcome = 'accepted'",
		$offers + $codes, 60), '... which they are later, each once');
}

test_turn_of_its_own();
test_hanging();
check_is_clean();
$node->stop;
done_testing();
