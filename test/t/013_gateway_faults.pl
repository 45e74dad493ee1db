# Gateways that hang, break off, lie or attack: each time the message ends as its proof allows, a healthy gateway goes on at
# the side, the worker stays small, and the server stops within 5 seconds. 013_network_faults.pl does the same without
# names and certificates.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IO::Compress::Gzip qw(gzip);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowHostile;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;

# 16 places are one multi handle, so that a connection is surely used again.
start_hostile('gateways', 'smsflow.max_in_flight' => 16);
add_route('bad', $gateway, gateway => '{"timeout": 60}');
add_route('hasty', $gateway, gateway => '{"timeout": 1}');

sub worker_memory
{
	my ($kilobytes) = slurp_file('/proc/' . worker_pid() . '/status') =~ /^VmRSS:\s+(\d+)/m;

	return $kilobytes;
}

# One promotional message that meets the rule, with its neighbour; then another one, with which the server is stopped.
sub test_answer
{
	my ($what, $status, $pool, %rule) = @_;
	my ($id, $second);

	$gateway->script({ match => 'fault', %rule });
	$id = send_sms($pool, 'fault', 'promotional');
	ok(wait_until('the request is there', sub { $gateway->count_for($id) }), $what);
	test_neighbour();
	wait_status($id, $status, "... $status");
	$second = send_sms($pool, 'fault', 'promotional');
	wait_until('it is there', sub { $gateway->count_for($second) }) if $status ne 'held';
	stop_quickly($what);
	ok(wait_sql('it is over', "SELECT status IN ('$status', 'in_doubt') FROM smsflow.message WHERE message_id = $second"),
		'... what was on the wire then is accounted for');
	is(sql("SELECT count(*) FROM smsflow.attempt WHERE message_id IN ($id, $second) AND (wire <> 'none') = (outcome = 'retry')"), 0,
		'... as what was on the wire, or surely not taken');
	cmp_ok($gateway->count_for($_), '<=', $status eq 'held' ? 2 : 1, '... nothing is sent twice, but what was not taken') for $id, $second;
	sql("SELECT smsflow.cancel($_)") for $id, $second;
	return $id;
}

sub test_breaking_off
{
	test_answer('a gateway that never answers', 'in_doubt', 'hasty', action => 'hang');
	test_answer('one that answers a byte a second', 'in_doubt', 'bad', action => 'drip', every_ms => 300);
	test_answer('one that shuts down after its headers', 'in_doubt', 'bad', action => 'half_close');
	test_answer('one that resets in the middle of the body', 'in_doubt', 'bad', action => 'close_mid_body', reset => 1);
	test_answer('one that fails', 'in_doubt', 'bad', status => 500);
	test_answer('one that speaks another protocol', 'in_doubt', 'bad', action => 'garbage');
}

# It reads what comes on a connection that it has answered on before, and closes: libcurl alone would send it once more.
sub test_used_connection
{
	my ($first, $second);

	$gateway->script();
	wait_status($first = send_sms('bad', 'opens a connection', 'promotional'), 'accepted', 'a connection is open');
	$second = test_answer('a gateway that closes it on the next request', 'in_doubt', 'bad', action => 'close');
	is($gateway->by_message->{$second}[0]{connection}, $gateway->by_message->{$first}[0]{connection}, '... which it was');
}

# Longer than this test takes.
sub test_throttled
{
	add_route('busy', $gateway);
	test_answer('a gateway that asks to wait', 'held', 'busy', status => 429, headers => { 'Retry-After' => 300 });
}

# Many times each, so that memory that is not given back shows.
sub test_floods
{
	my $bomb = 'x' x 50_000_000;
	my ($packed, $before);

	gzip(\$bomb, \$packed);
	undef $bomb;
	$gateway->script();
	send_sms('bad', 'warm up', 'transactional') for 1 .. 20;
	wait_settled();
	$before = worker_memory();
	for my $case ([ 'accepted', body_size => 1_000_000_000 ], [ 'in_doubt', fillers => 2000 ],
		[ 'accepted', headers => { 'Content-Encoding' => 'gzip' }, body_hex => unpack('H*', $packed) ],
		[ 'accepted', headers => { 'Transfer-Encoding' => 'gzip, chunked' },
			body_hex => unpack('H*', sprintf("%x\r\n%s\r\n0\r\n\r\n", length($packed), $packed)) ])
	{
		my ($status, %rule) = @$case;
		my $what = join(' ', grep { !ref && length() < 30 } %rule);
		my @ids;

		$gateway->script({ match => 'flood', %rule });
		push @ids, send_sms('bad', 'flood', 'promotional') for 1 .. 10;
		test_neighbour();
		ok(wait_settled(), "ten answers with $what");
		is(sql("SELECT string_agg(DISTINCT status, ',') FROM smsflow.message WHERE message_id IN (" . join(',', @ids) . ')'), $status,
			"... $status");
		is(join(' ', grep { $gateway->count_for($_) != 1 } @ids), '', '... nothing is sent twice');
	}
	# One bomb alone would be 50 MB; first uses of plans and buffers are a few.
	cmp_ok(worker_memory() - $before, '<', 16384, 'the worker has not grown by 16 MB');
	test_answer('1 GB', 'accepted', 'bad', body_size => 1_000_000_000);
	test_answer('a bomb', 'accepted', 'bad', headers => { 'Content-Encoding' => 'gzip' }, body_hex => unpack('H*', $packed));
}

sub test_redirections
{
	for my $to ('file:///etc/passwd', $SmsflowHostile::healthy->url . '/landing')
	{
		my $pool = $to =~ /^file/ ? 'moved' : 'elsewhere';

		add_route($pool, $gateway);
		test_answer("a redirection to $to", 'held', $pool, status => 307, headers => { Location => $to });

		is(scalar(grep { $_->{path} =~ /landing/ } $SmsflowHostile::healthy->requests), 0, '... is not followed');
	}
}

test_breaking_off();
test_used_connection();
test_throttled();
test_floods();
test_redirections();
check_is_clean();
$SmsflowTest::node->stop;
done_testing();
