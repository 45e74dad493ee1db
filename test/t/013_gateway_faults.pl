# Gateways that hang, break off, lie or attack, and networks without names and certificates: each time the message ends as
# its proof allows, a healthy gateway goes on at the side, the worker stays small, and the server stops within 5 seconds.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Cwd qw(abs_path);
use IO::Compress::Gzip qw(gzip);
use IO::Select;
use IO::Socket::INET;
use IPC::Open2 qw(open2);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $folder = abs_path(PostgreSQL::Test::Utils::tempdir());
my $gateway = SmsflowGateway->start;
my $healthy = SmsflowGateway->start;
my %tls;			# pid of openssl => its port

system('cc', '-shared', '-fPIC', '-o', "$folder/resolver.so", "$FindBin::RealBin/../gateway/resolver.c", '-ldl') == 0 or die 'cc';
append_to_file("$folder/.netrc", "machine 127.0.0.1 login netrc password canary\n");
chmod(0600, "$folder/.netrc");
make_certificates();
my $node;
in_bad_company(sub { $node = start_server('hostile', {}, 'smsflow.ca_file' => "$folder/ca.crt") });

create_shop(3);
sql("UPDATE smsflow.contact SET attributes = '{\"nick\": \"Bo\\r\\nX-Evil: yes\"}' WHERE phone::text = '" . phone(2) . "'");
add_route('healthy', $healthy);
add_route('bad', $gateway, gateway => '{"timeout": 60}');
add_route('hasty', $gateway, gateway => '{"timeout": 1}');

END
{
	my $status = $?;

	kill('TERM', keys %tls);
	waitpid($_, 0) for keys %tls;
	$? = $status;
}

# Starts the server where the environment knows proxies and passwords, which must not count, and odd names.
sub in_bad_company
{
	my ($step) = @_;
	local %ENV = (%ENV, HOME => $folder, LD_PRELOAD => "$folder/resolver.so",
		map { $_ => 'http://127.0.0.1:1' } qw(http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY));

	$step->();
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

# ---- what is the same in every case ----

sub column { my ($name, $id) = @_; return sql("SELECT $name FROM smsflow.message WHERE message_id = $id"); }

sub worker_memory
{
	my ($kilobytes) = slurp_file('/proc/' . worker_pid() . '/status') =~ /^VmRSS:\s+(\d+)/m;

	return $kilobytes;
}

sub test_neighbour
{
	my $id = send_sms('healthy', 'at the side', 'transactional');

	ok(wait_sql('the neighbour is sent', "SELECT status = 'accepted' FROM smsflow.message WHERE message_id = $id", 't', 5),
		'... a healthy gateway goes on at the side');
}

sub stop_quickly
{
	my ($what) = @_;

	quickly(5, "... pg_ctl stop -m fast meanwhile: $what", sub { $node->stop('fast') });
	in_bad_company(sub { $node->start });
	wait_for_worker('running');
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

# ---- the cases ----

sub test_breaking_off
{
	test_answer('a gateway that never answers', 'in_doubt', 'hasty', action => 'hang');
	test_answer('one that answers a byte a second', 'in_doubt', 'bad', action => 'drip', every_ms => 300);
	test_answer('one that shuts down after its headers', 'in_doubt', 'bad', action => 'half_close');
	test_answer('one that resets in the middle of the body', 'in_doubt', 'bad', action => 'close_mid_body', reset => 1);
	test_answer('one that fails', 'in_doubt', 'bad', status => 500);
	test_answer('one that speaks another protocol', 'in_doubt', 'bad', action => 'garbage');
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
}

sub test_redirections
{
	for my $to ('file:///etc/passwd', $healthy->url . '/landing')
	{
		my $pool = $to =~ /^file/ ? 'moved' : 'elsewhere';

		add_route($pool, $gateway);
		test_answer("a redirection to $to", 'held', $pool, status => 307, headers => { Location => $to });

		is(scalar(grep { $_->{path} =~ /landing/ } $healthy->requests), 0, '... is not followed');
	}
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
}

test_breaking_off();
test_floods();
test_redirections();
test_tls();
test_names();
test_insecure();
test_injection();
check_is_clean();
$node->stop;
done_testing();
