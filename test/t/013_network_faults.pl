# Networks without names and certificates, and texts that would be more than one request: no byte of a message leaves
# where it must not, a healthy gateway goes on at the side, and the server stops within 5 seconds.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Cwd qw(abs_path);
use IO::Select;
use IO::Socket::INET;
use IPC::Open2 qw(open2);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowHostile;
use SmsflowTest;
use Test::More;

my $folder = $SmsflowHostile::folder = abs_path(PostgreSQL::Test::Utils::tempdir());
my %tls;			# pid of openssl => its port

make_certificates();
start_hostile('networks', 'smsflow.ca_file' => "$folder/ca.crt");
my $node = $SmsflowTest::node;
my $healthy = $SmsflowHostile::healthy;
sql("UPDATE smsflow.contact SET attributes = '{\"nick\": \"Bo\\r\\nX-Evil: yes\"}' WHERE phone::text = '" . phone(2) . "'");

END
{
	my $status = $?;

	kill('TERM', keys %tls);
	waitpid($_, 0) for keys %tls;
	$? = $status;
}

# ---- certificates and servers for them ----

sub openssl { system("openssl @_ 2>/dev/null >/dev/null") == 0 or die "openssl @_"; }

sub make_certificates
{
	openssl("req -x509 -newkey rsa:2048 -nodes -keyout $folder/ca.key -out $folder/ca.crt -subj /CN=authority -days 10");
	openssl("req -x509 -newkey rsa:2048 -nodes -keyout $folder/stranger.key -out $folder/stranger.crt -subj /CN=stranger -days 10");
	openssl("req -newkey rsa:2048 -nodes -keyout $folder/server.key -out $folder/server.csr -subj /CN=gateway");
	for my $case ([ 'good', 'IP:127.0.0.1', 10, 'ca' ], [ 'expired', 'IP:127.0.0.1', 0, 'ca' ], [ 'other', 'DNS:other.test', 10, 'ca' ],
		[ 'unknown', 'IP:127.0.0.1', 10, 'stranger' ])
	{
		my ($name, $host, $days, $authority) = @$case;

		append_to_file("$folder/$name.ext", "subjectAltName=$host\n");
		openssl("x509 -req -in $folder/server.csr -CA $folder/$authority.crt -CAkey $folder/$authority.key -CAcreateserial",
			"-days $days -extfile $folder/$name.ext -out $folder/$name.crt");
	}
}

# A TLS server with this certificate; what it receives can be read, and what is written is its answer.
sub start_tls
{
	my ($name) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $pid = open2(my $out, my $in, 'openssl', 's_server', '-quiet', '-accept', "127.0.0.1:$port",
		'-cert', "$folder/$name.crt", '-key', "$folder/server.key");

	$tls{$pid} = $port;
	wait_until('openssl listens', sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) });
	return ($port, $out, $in);
}

# ---- the cases ----

# A route on which no byte of a request can leave: it waits, and says why.
sub test_unreachable
{
	my ($what, $words, $url) = @_;
	my $pool = 'route' . sql('SELECT count(*) FROM smsflow.sender');
	my $id;

	add_route($pool, undef, url => $url, gateway => '{"timeout": 1}');
	$id = send_sms($pool, 'unreachable', 'promotional');
	test_neighbour();
	ok(wait_sql('a try has failed', "SELECT attempts >= 1 FROM smsflow.message WHERE message_id = $id"), $what);
	like(column("status || ': ' || error_code", $id), qr/^(queued|sending): .*$words/, '... will be tried again, and says why');
	is(sql("SELECT count(*) FROM smsflow.attempt WHERE message_id = $id AND wire <> 'none'"), 0, '... and surely was not sent');
	stop_quickly($what);
	sql("SELECT smsflow.cancel($id); SELECT smsflow.set_gateway('$pool', enabled => false)");
}

sub test_tls
{
	my ($port, $out, $in) = start_tls('good');
	my ($id, $request) = (undef, '');

	add_route('safe', undef, url => "https://127.0.0.1:$port", secret => 'over TLS');
	$id = send_sms('safe', 'over TLS', 'transactional');
	while ($request !~ /\r\n\r\n\{.*\}$/s)
	{
		sysread($out, $request, 4096, length($request)) or last;
	}
	print $in qq(HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"id":"tls1"}\r\n);
	$in->flush;
	wait_status($id, 'accepted', 'a gateway with a good certificate');
	like($request, qr{^POST /safe HTTP/1\.1\r\n.*^Authorization: Bearer over TLS\r\n}sm, '... gets the request');
	is(column('provider_id', $id), 'tls1', '... and is heard');

	for my $case ([ 'expired', 'an expired certificate' ], [ 'other', "another host's certificate" ],
		[ 'unknown', 'a certificate of an unknown authority' ])
	{
		my ($name, $what) = @$case;
		($port, $out) = start_tls($name);

		test_unreachable($what, 'certificate', "https://127.0.0.1:$port");
		is(IO::Select->new($out)->can_read(0) ? 'something' : 'nothing', 'nothing', '... and reads nothing');
	}
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 5);
	test_unreachable('a TLS handshake that stalls', 'Timeout', 'https://127.0.0.1:' . $listener->sockport);
}

sub test_names
{
	test_unreachable('a host without a name', 'resolve', 'http://missing.test:80');
	test_unreachable('a name server that is silent', 'Timeout', 'http://slow.test:80');
}

sub test_insecure
{
	my $id;

	$node->append_conf('postgresql.conf', 'smsflow.allow_insecure_gateway = off');
	$node->reload;
	$id = send_sms('healthy', 'in clear', 'promotional');
	ok(wait_sql('a try has failed', "SELECT attempts >= 1 FROM smsflow.message WHERE message_id = $id"), 'plain http that is not allowed');
	is(column('error_code', $id), 'plain http is not allowed', '... says so');
	is($healthy->count_for($id), 0, '... and is not spoken');
	$node->append_conf('postgresql.conf', 'smsflow.allow_insecure_gateway = on');
	$node->reload;
	wait_status($id, 'accepted', '... until it is allowed');
}

# A line break must neither make a header nor a request of its own.
sub test_injection
{
	my ($id, @before, @requests);
	my $unanswered = sub { scalar grep { ($_->{query}{text} // '') =~ /unanswered/ } $healthy->requests };

	sql(q{INSERT INTO smsflow.gateway_profile
		SELECT (jsonb_populate_record(p, '{"profile": "in_header", "builtin": false, "headers": {"X-Text": "{{body}}"}}')).*
		FROM smsflow.gateway_profile p WHERE profile = 'generic_json';
		INSERT INTO smsflow.gateway_profile
		SELECT (jsonb_populate_record(p, '{"profile": "in_query", "builtin": false, "method": "GET", "content_type": null, "body": null,
			"headers": {}, "query": "text={{body}}&reference={{reference}}"}')).*
		FROM smsflow.gateway_profile p WHERE profile = 'generic_json'});
	add_route('in_header', $healthy, profile => 'in_header');
	add_route('in_query', $healthy, profile => 'in_query');
	@before = $healthy->requests;
	$id = send_sms('in_header', 'Hello {{nick}}', 'transactional', to => phone(2));
	wait_status($id, 'rejected', 'a name with a line break in a header');
	is(column('reason', $id), 'unsafe_header', '... is refused');

	$id = send_sms('in_query', "Hello {{nick}}\r\n\r\nGET /evil HTTP/1.1\r\n\r\n", 'transactional', to => phone(2));
	wait_status($id, 'accepted', 'name and text with line breaks in a query');
	$id = send_sms('healthy', "Hello {{nick}}\", \"to\": \"x", 'transactional', to => phone(2));
	wait_status($id, 'accepted', 'name and text with quotation marks in JSON');
	@requests = $healthy->requests;
	is(scalar @requests, @before + 2, '... are one request each');
	like($requests[-2]{query}{text}, qr{^Hello Bo\r?\nX-Evil: yes(\r?\n){2}GET /evil HTTP/1\.1(\r?\n){2}$}, '... with the text as it is');
	like($requests[-1]{text}, qr{^Hello Bo\r?\nX-Evil: yes", "to": "x$}, '... in JSON, too');
	is(scalar(grep { exists $_->{headers}{'x-evil'} } @requests), 0, '... and no header of theirs');
	is(scalar(grep { exists $_->{headers}{authorization} } $requests[-2]), 0, 'no password comes from .netrc');

	$healthy->script({ match => 'unanswered', action => 'hang' });
	$id = send_sms('in_query', "Hello {{nick}}\r\nunanswered", 'promotional', to => phone(2));
	ok(wait_until('it is on the wire', sub { $unanswered->() }), 'such a text without an answer');
	stop_quickly('a text with line breaks');
	$healthy->script;
	wait_status($id, 'in_doubt', '... it is in doubt');
	is($unanswered->(), 1, '... and was sent once');
}

test_tls();
test_names();
test_insecure();
test_injection();
check_is_clean();
$node->stop;
done_testing();
