# Several messages in one request: each has its own result, its own limits and its own doubt, and leaves the request when
# it is revoked before the first byte.
#
# It needs a library with places to fail (src/fault.h), which test/check.sh makes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(sum);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

plan skip_all => 'SMSFLOW_FAULTS does not name an installation with faults' if !$ENV{SMSFLOW_FAULTS};

my $gateway = SmsflowGateway->start;
my $node = start_server('batch', { install_path => $ENV{SMSFLOW_FAULTS} }, 'restart_after_crash' => 'on');
my $tries = 0;

create_shop(200);
sql(q{INSERT INTO smsflow.gateway_profile
	SELECT (jsonb_populate_record(p, '{"profile": "many", "builtin": false, "in_doubt": "hold", "success_pattern": "\"ok\": ?true", "batch": {"most": 5,
		"body": "{\"batch\": [{{items}}]}", "item": "{\"to\": \"{{to}}\", \"text\": \"{{body}}\", \"ref\": \"{{reference}}\", \"report_to\": \"{{callback_url|}}\"}",
		"separator": ", ", "results": "results", "id": "id", "error": "code"}}')).*
	FROM smsflow.gateway_profile p WHERE profile = 'generic_json'});
sql(q{INSERT INTO smsflow.gateway_profile
	SELECT (jsonb_populate_record(p, '{"profile": "recipients", "builtin": false, "batch": {"most": 50, "body": "{\"all\": [{{items}}], \"text\": \"{{body}}\"}",
		"item": "\"{{to}}\"", "separator": ",", "same": "body", "results": "results", "number": "phone", "id": "id", "error": "code"}}')).*
	FROM smsflow.gateway_profile p WHERE profile = 'many'});
sql(q{INSERT INTO smsflow.error_code (profile, code, class) SELECT p, 'no_such_number', 'undeliverable' FROM unnest('{many,recipients}'::text[]) p});

# What a gateway answers that takes all but those whose text says "refused", and forgets those that say "forgotten".
my %answer = (status => 200, each => '\{"to": "[^"]*", "text": "[^"]*", "ref": "([\d.]+)"',
	items => [ [ 'refused', '{"code": "no_such_number", "ok": false}' ], [ 'forgotten', '' ], [ '', '{"id": "id-{1}", "ok": true}' ] ],
	body => '{"results": [{items}]}');
my $alone = { match => '"reference"', status => 200, body => '{"id": "alone-{n}", "ok": true}' };

# Messages to contacts 1, 2, ... with these texts, asked for in one transaction; their ids.
sub send_all
{
	my ($pool, $purpose, @texts) = @_;
	my $n = 0;

	return split /\n/, sql('SELECT smsflow.send(phone, body, $p$' . $purpose . '$p$, pool => $p$' . $pool . '$p$) FROM (VALUES '
		. join(', ', map { sprintf("('%s', '%s')", phone(++$n), $_) } @texts) . ') v (phone, body)');
}

sub statuses { my (@ids) = @_; return join(' ', split /\n/, sql("SELECT status FROM smsflow.message WHERE message_id IN (" . join(',', @ids) . ') ORDER BY message_id')); }

sub settled
{
	my ($expected, $what, @ids) = @_;

	ok(wait_until($what, sub { statuses(@ids) eq $expected }), $what) or diag(statuses(@ids));
}

# Requests with this text, and how often a message was in any of them, as a batch or alone
sub requests_with { my ($text) = @_; return grep { $_->{body} =~ /\Q$text\E/ } $gateway->requests; }
sub times_of { my ($id) = @_; return scalar(map { $_->{body} =~ /"(?:ref|reference)": ?"$id\.\d+"/g } $gateway->requests); }

sub test_results
{
	my @ids = send_all('many', 'transactional', map { "first $_" } 1 .. 12);

	settled(join(' ', ('accepted') x 12), 'all of them are accepted', @ids);
	is(join(' ', map { times_of($_) } @ids), join(' ', (1) x 12), '... each was asked for once');
	cmp_ok(scalar(requests_with('first ')), '<', 12, '... in fewer requests');
	my @sizes = map { scalar(() = $_->{body} =~ /"ref"/g) } requests_with('first ');
	is(scalar(grep { $_ > 5 } @sizes), 0, '... of at most as many as the profile says');
	is(sql("SELECT count(*) FROM smsflow.message WHERE message_id IN (" . join(',', @ids) . ") AND provider_id = 'id-' || message_id || '.1'"),
		sum(@sizes), '... with the id of its own result');
	like((requests_with('first '))[-1]{body}, qr{^\{"batch": \[\{"to": "\+1415555\d{4}", "text": "first \d+", "ref": "\d+\.1", "report_to": ""\}(, \{.*\})*\]\}$}, 'the request');

	@ids = send_all('many', 'transactional', 'second 1', 'second refused', 'second 3');
	settled('accepted rejected accepted', 'what one message is refused for is its own', @ids);
	is(sql("SELECT error_class || ' ' || error_code FROM smsflow.message WHERE message_id = $ids[1]"), 'undeliverable no_such_number', '... with its code');
}

# A result for each, or nobody knows which is whose.
sub test_missing_result
{
	my @ids = send_all('many', 'promotional', 'third 1', 'third forgotten', 'third 3');

	settled('in_doubt in_doubt in_doubt', 'a list with a result too few proves nothing', @ids);
	is(join(' ', map { times_of($_) } @ids), '1 1 1', '... nothing is sent again');
	sql("SELECT smsflow.resolve_in_doubt(id, 'unknown') FROM unnest('{" . join(',', @ids) . "}'::bigint[]) id");
}

sub test_recipients
{
	my @ids;
	my @texts = (('Same text') x 6, 'Another text');

	add_route('recipients', $gateway, profile => 'recipients', rate => 10000, burst => 10000);
	$gateway->script({ match => '"all"', status => 200, each => '"(\+\d+)"', body => '{"results": [{items}]}',
		items => [ [ quotemeta phone(3), '' ], [ quotemeta phone(4), '{"phone": "{1}", "code": "no_such_number"}' ], [ '', '{"phone": "{1}", "id": "to-{1}", "ok": true}' ] ] }, $alone);
	@ids = send_all('recipients', 'promotional', @texts);
	settled('accepted accepted in_doubt rejected accepted accepted accepted', 'results are found by their number', @ids);
	is(sql("SELECT string_agg(provider_id, ' ' ORDER BY message_id) FROM smsflow.message WHERE message_id IN ($ids[0], $ids[5])"), join(' ', map { 'to-' . phone($_) } 1, 6),
		'... with their ids');
	is(scalar(grep { $_->{body} =~ /"all"/ && $_->{body} =~ /Another/ && $_->{body} =~ /Same/ } $gateway->requests), 0, 'another text has another request');
	sql("SELECT smsflow.resolve_in_doubt($ids[2], 'unknown')");
}

sub test_refused
{
	my @ids;

	$gateway->script({ match => '"batch".*spoilt', status => 400, body => '{"error": "one of them"}' }, { match => 'spoilt', status => 400, body => '{"error": "this one"}' },
		$alone, \%answer);
	@ids = send_all('many', 'transactional', 'fourth 1', 'fourth spoilt', 'fourth 3');
	settled('accepted rejected accepted', 'when the whole is refused, each is tried alone', @ids);
	is(join(' ', map { sql("SELECT max(attempt) FROM smsflow.attempt WHERE message_id = $_") } @ids), '1 1 1', '... which is the same try');
}

sub test_doubt
{
	my @ids;

	$gateway->script({ match => '"batch"', times => 1, action => 'close' }, $alone, \%answer);
	@ids = send_all('many', 'promotional', 'fifth 1', 'fifth 2', 'fifth 3');
	settled('in_doubt in_doubt in_doubt', 'no answer: all of them are in doubt', @ids);
	is(join(' ', map { times_of($_) } @ids), '1 1 1', '... and none is sent again');
	sql("SELECT smsflow.resolve_in_doubt(id, 'unknown') FROM unnest('{" . join(',', @ids) . "}'::bigint[]) id");
	$gateway->script($alone, \%answer);
}

# Items name no media, and a profile may keep batches to marketing.
sub test_alone
{
	my $media = 'https://shop.example/eleven.jpg';
	my @ids = split /\n/, sql("SELECT smsflow.send(phone, body, 'transactional', pool => 'many', media_urls => media) FROM (VALUES "
		. join(', ', map { sprintf("('%s', 'eleventh %d', %s)", phone($_), $_, $_ == 2 ? "ARRAY['$media']" : 'NULL') } 1 .. 3) . ') v (phone, body, media)');

	settled('accepted accepted accepted', 'messages with and without media', @ids);
	my @with = requests_with($media);
	is(scalar(@with), 1, 'one request names the media');
	unlike($with[0]{body}, qr/"batch"/, '... that of its message alone');

	sql(q{UPDATE smsflow.gateway_profile SET batch = batch || '{"only": "marketing"}' WHERE profile = 'many'});
	@ids = send_all('many', 'transactional', 'twelfth 1', 'twelfth 2');
	settled('accepted accepted', 'what is not marketing', @ids);
	is(scalar(grep { $_->{body} =~ /"batch"/ } requests_with('twelfth')), 0, '... goes alone where batches are for marketing');
	sql(q{UPDATE smsflow.gateway_profile SET batch = batch - 'only' WHERE profile = 'many'});
}

# The worker comes to the fault before the request of these messages.
sub send_at_fault
{
	my ($point, @texts) = @_;
	my $fault = "$point:x" . ++$tries;
	my @ids;

	sql("ALTER SYSTEM SET smsflow.fault = '$fault'; SELECT pg_reload_conf()");
	wait_status(send_sms('other', 'sentinel', 'compliance'), 'accepted', 'the setting is read');
	@ids = send_all('many', 'promotional', @texts);
	ok(wait_until($fault, sub { -e $node->data_dir . "/smsflow/fault.$fault" }), "... the worker comes to $point");
	return @ids;
}

# It stands still when the request is made, and one of the recipients opts out.
sub test_stop
{
	my @ids = send_at_fault('dispatch:pause:2', 'sixth 1', 'sixth 2', 'sixth 3', 'sixth 4');

	sql("SELECT smsflow.opt_out('" . phone(2) . "')");
	settled('accepted suppressed accepted accepted', 'who opts out before the first byte is not sent to, the others are', @ids);
	is(join(' ', map { times_of($_) } @ids), '1 0 1 1', '... once');
	is(sql("SELECT reason FROM smsflow.message WHERE message_id = $ids[1]"), 'opted_out', '... for that reason');
}

sub test_crash
{
	my $pid = worker_pid();
	my @ids = send_at_fault('on_wire:kill:2', 'seventh 1', 'seventh to who has opted out', 'seventh 3');

	ok(wait_until('another worker is there', sub { my $now = eval { worker_pid() }; $now && $now != $pid }), '... and dies there');
	wait_for_worker('running');
	settled('in_doubt suppressed in_doubt', 'what was on the wire when the worker died is in doubt', @ids);
	is(join(' ', map { times_of($_) > 1 ? 1 : 0 } @ids), '0 0 0', '... and not sent again');
}

# A rate of messages does not ask how long they are.
sub test_rate_unit
{
	my $long = 'x' x 400;
	my @ids;
	my ($begin, $end);

	add_route('counted', $gateway, profile => 'many', rate => 10, burst => 1, sender => '{"rate_unit": "message"}', gateway => '{"batch": 1}');
	@ids = send_all('counted', 'transactional', map { "tenth $_ $long" } 1 .. 20);
	settled(join(' ', ('accepted') x 20), 'twenty messages of three parts leave at ten messages a second', @ids);
	($begin, $end) = map { $_->{complete_at} } (requests_with('tenth '))[ 0, -1 ];
	cmp_ok($end - $begin, '>=', 1.7, '... no faster');
	cmp_ok($end - $begin, '<', 5, '... and not at a third of that');
}

# Parts per second hold for messages, however many share a request.
sub test_limit
{
	my @ids;
	my ($begin, $end);

	add_route('slow', $gateway, profile => 'many', rate => 20, burst => 5);
	@ids = send_all('slow', 'transactional', map { "eighth $_" } 1 .. 40);
	settled(join(' ', ('accepted') x 40), 'forty messages leave at twenty a second', @ids);
	($begin, $end) = map { $_->{complete_at} } (requests_with('eighth '))[ 0, -1 ];
	cmp_ok($end - $begin, '>=', 1.6, '... in batches, too');
	is(sql(q{SELECT smsflow.set_gateway('slow', options => '{"batch": 1}')}), '', 'a gateway may have none');
	@ids = send_all('slow', 'transactional', map { "ninth $_" } 1 .. 3);
	settled('accepted accepted accepted', '... each message', @ids);
	is(scalar(requests_with('ninth ')), 3, '... has a request of its own');
}

$gateway->script($alone, \%answer);
add_route('many', $gateway, profile => 'many', rate => 10000, burst => 10000);
add_route('other', $gateway, profile => 'many');
test_results();
test_missing_result();
test_recipients();
test_refused();
test_doubt();
test_alone();
test_stop();
test_crash();
test_limit();
test_rate_unit();
check_is_clean();
$node->stop;
done_testing();
