# Whoever waits for a code waits for no campaign, not even where every request that the campaign may have at the gateway
# hangs: the last places there are kept for codes and confirmations.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;
my $node = start_server('urgent', {}, 'smsflow.max_in_flight' => 64);

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

test_hanging();
check_is_clean();
$node->stop;
done_testing();
