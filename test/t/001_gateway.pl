# The test servers are the ground truth of all other tests, so they are tested
# themselves: what gateway.pl logs and when, each of its ways to misbehave, and
# a message's whole way through a real Kannel to smsc.pl and back.
#
# It needs no PostgreSQL.  The part with Kannel is skipped if Kannel is not
# installed.

use strict;
use warnings;
use utf8;

use Cwd qw(abs_path);
use Encode qw(decode encode);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use HTTP::Tiny;
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use Test::More;
use Time::HiRes qw(sleep time);

use constant PATIENCE => 20;    # seconds until a condition that must come is given up

my $folder = abs_path(dirname(__FILE__) . '/../gateway');
my $scratch = tempdir(CLEANUP => 1);
my $json = JSON::PP->new->utf8->allow_nonref;
my $http = HTTP::Tiny->new(keep_alive => 0, timeout => PATIENCE);
my (%pid_of, $kannel_runs);

chmod 0755, $scratch;

END
{
	my $result = $?;
	system "$folder/kannel.sh", 'stop', "$scratch/kannel" if $kannel_runs;
	kill 'KILL', values %pid_of;
	waitpid $_, 0 for values %pid_of;
	$? = $result;
}

# ---------------------------------------------------------------------------
# Helpers

sub wait_for
{
	my ($what, $condition) = @_;
	my $deadline = time + PATIENCE;

	while (time < $deadline)
	{
		my $value = $condition->();
		return $value if $value;
		sleep 0.02;
	}
	fail("waited in vain for $what");
	return;
}

sub slurp
{
	my ($file) = @_;

	open my $handle, '<:raw', $file or return '';
	local $/;
	return <$handle> // '';
}

sub spew
{
	my ($file, $text) = @_;

	open my $handle, '>:raw', $file or die "cannot write $file: $!";
	print $handle $text;
	close $handle or die "cannot write $file: $!";
}

sub log_lines
{
	my ($file) = @_;

	return map { $json->decode($_) } grep { /\}$/ } split /\n/, slurp($file);
}

sub free_ports
{
	my ($count) = @_;
	my @sockets = map { IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1) } 1 .. $count;

	return map { $_->sockport } @sockets;
}

# Starts gateway.pl and returns its name, port, log and base URL.
sub start_gateway
{
	my ($name, @options) = @_;
	my %gateway = (name => $name, log => "$scratch/$name.log");
	my $port_file = "$scratch/$name.port";

	$pid_of{$name} = fork // die "cannot fork: $!";
	if (!$pid_of{$name})
	{
		exec $^X, "$folder/gateway.pl", '--port', 0, '--log', $gateway{log}, '--port-file', $port_file, @options
		  or die "cannot start gateway.pl: $!";
	}
	$gateway{port} = wait_for("port of $name", sub { slurp($port_file) }) or BAIL_OUT('gateway.pl does not start');
	chomp $gateway{port};
	$gateway{url} = "http://127.0.0.1:$gateway{port}";
	return \%gateway;
}

sub script
{
	my ($gateway, @rules) = @_;

	return $http->post("$gateway->{url}/__script", { content => $json->encode(\@rules) })->{status};
}

sub post
{
	my ($gateway, $body) = @_;

	return $http->post("$gateway->{url}/messages",
		{ headers => { 'Content-Type' => 'application/json' }, content => $json->encode($body) });
}

sub raw_connection
{
	my ($gateway) = @_;

	return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $gateway->{port}, Timeout => PATIENCE);
}

sub raw_request
{
	my ($reference) = @_;
	my $body = qq({"reference":"$reference"});

	return "POST /messages HTTP/1.1\r\nHost: x\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
}

# All bytes until the end, the list of sizes they came in, and the error.
sub read_to_end
{
	my ($socket) = @_;
	my ($bytes, @sizes) = ('');
	my $select = IO::Select->new($socket);

	while ($select->can_read(PATIENCE))
	{
		my $got = sysread $socket, $bytes, 4096, length $bytes;
		return ($bytes, \@sizes, defined $got ? '' : "$!") if !$got;
		push @sizes, $got;
	}
	return ($bytes, \@sizes, 'timeout');
}

sub exchange
{
	my ($gateway, $reference) = @_;
	my $socket = raw_connection($gateway);

	syswrite $socket, raw_request($reference);
	return read_to_end($socket);
}

sub request_with
{
	my ($gateway, $reference) = @_;
	my ($line) = grep { defined $_->{body} && $_->{body} =~ /"\Q$reference\E"/ } log_lines($gateway->{log});

	return $line;
}

sub answer_to
{
	my ($gateway, $reference) = @_;
	my $request = request_with($gateway, $reference) or return {};
	my ($line) = grep { ($_->{answer_to} // 0) == $request->{n} } log_lines($gateway->{log});

	return $line // {};
}

# ---------------------------------------------------------------------------
# gateway.pl

sub test_log
{
	my ($gateway) = @_;
	my $before = time;
	my $answer = $http->post("$gateway->{url}/v1/messages?to=%2B14155552671&a=1&a=2",
		{ content => encode('UTF-8', '{"reference":"first","text":"Grüße \"€\" 😀\n"}') });
	my ($request) = log_lines($gateway->{log});

	is($answer->{status}, 200, 'the default answer is 200');
	is_deeply($json->decode($answer->{content}), { id => 'gw-1', status => 'accepted' }, 'with an id');
	is($request->{n}, 1, 'the request is in the log when its answer is there');
	ok($before <= $request->{at} && $request->{at} <= $request->{complete_at}, 'with its times');
	is_deeply($request->{query}, { to => '+14155552671', a => [ 1, 2 ] }, 'with the decoded query');
	is($request->{path}, '/v1/messages', 'with the path');
	is($request->{headers}{host}, "127.0.0.1:$gateway->{port}", 'with the headers');
	is($json->decode(encode('UTF-8', $request->{body}))->{text}, "Grüße \"€\" 😀\n", 'with the body');

	$http->post("$gateway->{url}/binary", { content => "\xff\x00\xfe" });
	my ($binary) = grep { ($_->{path} // '') eq '/binary' } log_lines($gateway->{log});
	is($binary->{body_hex}, 'ff00fe', 'a body that is not text is logged in hex');
}

sub test_log_survives_kill
{
	my $gateway = start_gateway('killed');

	is(post($gateway, { reference => 'last words' })->{status}, 200, 'a request is answered');
	kill 'KILL', $pid_of{killed};
	waitpid delete $pid_of{killed}, 0;
	ok(request_with($gateway, 'last words'), 'and is in the log although the gateway was killed');
}

sub test_connections
{
	my ($gateway) = @_;
	my $socket = raw_connection($gateway);

	syswrite $socket, raw_request('piped-1') . raw_request('piped-2');
	my $bytes = '';
	wait_for('two answers', sub { sysread $socket, $bytes, 4096, length $bytes; 2 == (() = $bytes =~ /"accepted"/g) });
	my ($one, $two) = map { request_with($gateway, $_) } 'piped-1', 'piped-2';
	is($two->{connection}, $one->{connection}, 'two requests come over one connection');
	is($two->{n}, $one->{n} + 1, 'and are numbered in their order');

	my $chunked = raw_connection($gateway);
	syswrite $chunked, "POST /messages HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
	  . "4\r\n{\"re\r\n15\r\nference\":\"in chunks\"}\r\n0\r\n\r\n";
	like((read_to_end($chunked))[0], qr/^HTTP\/1\.1 200 /, 'a chunked request is answered');
	is(request_with($gateway, 'in chunks')->{body}, '{"reference":"in chunks"}', 'and its body put together');

	my $broken = raw_connection($gateway);
	syswrite $broken, substr raw_request('cut off'), 0, 50;
	close $broken;
	ok(wait_for('incomplete request', sub { grep { ($_->{event} // '') eq 'incomplete' } log_lines($gateway->{log}) }),
		'a request that never gets complete is logged as such');
	ok(!request_with($gateway, 'cut off'), 'and not as a request');
}

sub test_rules
{
	my ($gateway) = @_;

	script($gateway,
		{ match => 'slow down', times => 2, status => 429, headers => { 'Retry-After' => '7' }, body => { code => 'busy-{n}' } },
		{ path => '^/other', status => 404 });
	my @answers = map { post($gateway, { reference => "r$_", text => 'slow down' }) } 1 .. 3;
	is_deeply([ map { $_->{status} } @answers ], [ 429, 429, 200 ], 'a rule is used as often as it says');
	is($answers[0]{headers}{'retry-after'}, 7, 'its headers are sent');
	like($answers[0]{content}, qr/^\{"code":"busy-\d+"\}$/, 'its body is sent');
	is($http->get("$gateway->{url}/other?text=x")->{status}, 404, 'a rule may name a path');
	is($http->get("$gateway->{url}/else")->{status}, 200, 'what fits no rule gets the default answer');
	is(script($gateway, { match => 'x', action => 'dance' }), 400, 'an unknown action is refused');

	script($gateway, { match => 'text=a b', status => 418 });
	is($http->get("$gateway->{url}/m?text=a%20b")->{status}, 418, 'a rule sees the decoded query');
	is($http->post_form("$gateway->{url}/m", { text => 'a b' })->{status}, 418, 'and the decoded form');
}

sub test_script_file
{
	my $file = "$scratch/rules.json";

	spew($file, '[{"status": 503}]');
	my $gateway = start_gateway('scripted', '--script', $file);
	is(post($gateway, {})->{status}, 503, 'the script file decides');
	spew($file, '[{"status": 502}, {"status": 504}]');
	is(post($gateway, {})->{status}, 502, 'it is read again when it changes');
	spew($file, '[{"status": 5');
	is(post($gateway, {})->{status}, 502, 'a broken one leaves the old rules');
	ok((grep { ($_->{event} // '') eq 'script_error' } log_lines($gateway->{log})), 'and shows in the log');
}

sub test_silence
{
	my ($gateway) = @_;

	script($gateway, { action => 'hang', match => 'hanging' }, { action => 'close', match => 'closed' },
		{ delay_ms => 300, match => 'delayed' });
	my $socket = raw_connection($gateway);
	syswrite $socket, raw_request('hanging');
	ok(wait_for('hanging request', sub { (answer_to($gateway, 'hanging')->{action} // '') eq 'hang' }),
		'hang: the request is logged though there is no answer');
	ok(!IO::Select->new($socket)->can_read(0), 'hang: nothing is sent');
	close $socket;
	ok(wait_for('client_left', sub { grep { ($_->{event} // '') eq 'client_left' } log_lines($gateway->{log}) }),
		'hang: the log says when the client gave up');

	my ($bytes, undef, $error) = exchange($gateway, 'closed');
	is("$bytes$error", '', 'close: the end without a byte');
	is(answer_to($gateway, 'closed')->{action}, 'close', 'close: the request was read');

	post($gateway, { reference => 'delayed' });
	cmp_ok(answer_to($gateway, 'delayed')->{at} - request_with($gateway, 'delayed')->{complete_at}, '>=', 0.3,
		'delay_ms: the answer comes later');
}

sub test_bad_answers
{
	my ($gateway) = @_;

	script($gateway, { action => 'reset', match => 'reset' }, { action => 'close_mid_body', match => 'cut' },
		{ action => 'garbage', match => 'garbage' }, { action => 'drip', match => 'drip', every_ms => 2 },
		{ action => 'close_before_read', match => 'unread', times => 1 },
		{ match => 'big', body_size => 3_000_000 }, { match => 'hex', body_hex => '00ff' });

	like((exchange($gateway, 'reset'))[2], qr/reset by peer/, 'reset: the connection is reset');
	my ($head, $body) = split /\r\n\r\n/, (exchange($gateway, 'cut'))[0];
	like($head, qr/^HTTP\/1\.1 200 .*Content-Length: 500/s, 'close_mid_body: a length is promised');
	is(length $body, 250, 'close_mid_body: half of it comes');
	ok(!eval { $json->decode($body) }, 'close_mid_body: and it is no valid JSON');
	unlike((exchange($gateway, 'garbage'))[0], qr/^HTTP/, 'garbage: not HTTP');
	my ($bytes, $sizes) = exchange($gateway, 'drip');
	like($bytes, qr/^HTTP\/1\.1 200 .*"accepted"\}$/s, 'drip: the whole answer comes');
	cmp_ok(@$sizes, '>', 20, 'drip: in many pieces');
	is(post($gateway, { reference => 'drip to a client that closes first' })->{status}, 200, 'drip: again');

	like((exchange($gateway, 'unread'))[2], qr/reset by peer/, 'close_before_read: the connection is reset');
	ok(!request_with($gateway, 'unread'), 'close_before_read: the request was not read');
	is(length post($gateway, { reference => 'big' })->{content}, 3_000_000, 'body_size: a large body');
	is(post($gateway, { reference => 'hex' })->{content}, "\x00\xff", 'body_hex: any bytes');
	my $dripped = request_with($gateway, 'drip to a client that closes first')->{n};
	ok(!(grep { ($_->{event} // '') eq 'client_left' && $_->{answer_to} == $dripped } log_lines($gateway->{log})),
		'a client that has the whole answer has not left early');
	script($gateway);
}

sub test_many_connections
{
	my $gateway = start_gateway('busy');
	my ($connections, $each) = (64, 50);
	my $select = IO::Select->new(map { raw_connection($gateway) } 1 .. $connections);
	my (%answered, %bytes);
	my ($done, $started) = (0, time);

	for my $socket ($select->handles) { syswrite $socket, raw_request('same') }
	while ($done < $connections * $each and my @ready = $select->can_read(PATIENCE))
	{
		for my $socket (@ready)
		{
			sysread $socket, $bytes{$socket}, 4096, length($bytes{$socket} // '') or last;
			next if $bytes{$socket} !~ s/^.*"accepted"\}$//s;
			$done++;
			syswrite $socket, raw_request("$socket $answered{$socket}") if ++$answered{$socket} < $each;
		}
	}
	note sprintf '%.0f requests per second', $done / (time - $started);
	is($done, $connections * $each, 'all requests on 64 kept-alive connections are answered');
	my $stats = $json->decode($http->get("$gateway->{url}/__stats")->{content});
	is($stats->{requests}, $connections * $each, '__stats counts requests');
	is($stats->{repeated_ids}, 1, '__stats counts references that came again');
	is($stats->{unique_ids}, 1 + $connections * ($each - 1), '__stats counts references');
	my @numbers = map { $_->{n} // () } map { $json->decode($_) } split /\n/, $http->get("$gateway->{url}/__log")->{content};
	is_deeply(\@numbers, [ 1 .. $connections * $each ], '__log has them all, in order');

	kill 'TERM', $pid_of{busy};
	waitpid delete $pid_of{busy}, 0;
	is($?, 0, 'SIGTERM ends the gateway');
}

sub test_reports
{
	my ($gateway) = @_;
	my $receiver = start_gateway('receiver');
	my $set = sub { $http->post("$gateway->{url}/__reports", { content => $json->encode($_[0]) })->{status} };
	my $received = sub { my ($path) = @_; grep { ($_->{path} // '') eq $path } log_lines($receiver->{log}) };

	is($set->({ delay_ms => 50, status => 'delivered' }), 200, 'reports are switched on');
	my $id = $json->decode(post($gateway, { callback_url => "$receiver->{url}/json" })->{content})->{id};
	my ($report) = wait_for('report', sub { $received->('/json') }) ? $received->('/json') : ();
	is_deeply($json->decode($report->{body}), { id => $id, status => 'delivered' }, 'a report names id and status');
	ok(wait_for('answer to the report', sub {
		grep { defined $_->{callback_answer_to} && $_->{status} == 200 } log_lines($gateway->{log}) }),
		'the answer to the report is logged');

	$http->post("$gateway->{url}/m", { headers => { 'Content-Type' => 'application/x-www-form-urlencoded' },
		content => qq({"to":1,"callback_url":"$receiver->{url}/curl"}) });
	ok(wait_for('report to curl', sub { $received->('/curl') }), 'the URL is found in JSON of any content type');

	$set->({ status => 'failed', format => 'form' });
	$http->post_form("$gateway->{url}/m", { callback_url => "$receiver->{url}/form" });
	wait_for('form report', sub { $received->('/form') });
	like(($received->('/form'))[0]{body}, qr/^status=failed&id=gw-\d+$/, 'a report may be a form');

	my ($closed_port) = free_ports(1);
	post($gateway, { callback_url => "http://127.0.0.1:$closed_port/" });
	ok(wait_for('failed report', sub {
		grep { defined $_->{callback_answer_to} && ($_->{error} // '') =~ /refused/ } log_lines($gateway->{log}) }),
		'a report that cannot be delivered is logged');

	script($gateway, { match => 'overtaken', delay_ms => 400 });
	$set->({ from => 'request' });
	post($gateway, { reference => 'overtaken', callback_url => "$receiver->{url}/early" });
	cmp_ok(($received->('/early'))[0]{at}, '<', answer_to($gateway, 'overtaken')->{at}, 'a report may overtake the answer');
	is($set->({ enabled => JSON::PP::false }), 200, 'reports are switched off');
}

# ---------------------------------------------------------------------------
# Kannel

sub kannel
{
	my ($command) = @_;
	my $output = qx{'$folder/kannel.sh' $command '$scratch/kannel' 2>&1};

	return ($? >> 8, $output);
}

sub send_sms
{
	my (%field) = @_;
	my %all = (username => 'shop', password => 'open-sesame', from => '+14155550100', to => '+14155552671',
		charset => 'UTF-8', coding => 0, %field);
	my $query = $http->www_form_urlencode(\%all);
	my $answer = $http->get("http://127.0.0.1:$ENV{KANNEL_SENDSMS_PORT}/cgi-bin/sendsms?$query");

	return "$answer->{status} $answer->{content}";
}

sub smsc_lines
{
	my ($event) = @_;

	return grep { $_->{event} eq $event } log_lines("$scratch/kannel/smsc.log");
}

# The message as the phone shows it.
sub shown
{
	my ($text) = @_;

	my ($message) = grep { $_->{text} eq $text } smsc_lines('message');
	return $message;
}

sub test_kannel_start
{
	my ($receiver) = @_;
	my @names = qw(SMPP_PORT SMSC_CONTROL_PORT KANNEL_ADMIN_PORT KANNEL_SMSBOX_PORT KANNEL_SENDSMS_PORT);

	@ENV{@names} = free_ports(scalar @names);
	$ENV{INBOUND_URL} = "$receiver->{url}/in";
	$ENV{SENDSMS_PASSWORD} = 'open-sesame';
	@ENV{qw(RECEIPT_MS UNDELIVERABLE REFUSED)} = (50, '2222$', '3333$');

	my $busy = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ENV{SMPP_PORT}, Listen => 1);
	my ($code, $output) = kannel('start');
	is($code, 1, 'start fails when a port is busy');
	like($output, qr/port $ENV{SMPP_PORT} is in use.*SMPP_PORT/, 'and says which');
	close $busy;

	# This test's own number stands for a process that came after a crash.
	spew("$scratch/kannel/bearerbox.pid", "$$\n");
	$kannel_runs = 1;
	($code, $output) = kannel('start');
	is($code, 0, 'Kannel starts despite a stale pid file') or BAIL_OUT($output);
	is((kannel('status'))[0], 0, 'status says that messages can flow');
	($code, $output) = kannel('start');
	is($code, 1, 'it does not start twice');
	like($output, qr/already runs/, 'and says so');
}

sub test_kannel_texts
{
	my %text_of = (
		'GSM text'       => [ 0, 'Grüße: 5 € {a} [b] ~ ^ | \ @ _ Ω & + 100%', 1 ],
		'long GSM text'  => [ 0, 'a' x 152 . '€' . 'b' x 300, 3 ],
		'Cyrillic'       => [ 2, 'Привет, это ваш код', 1 ],
		'emoji'          => [ 2, 'Sale 😀 now', 1 ],
		'long emoji'     => [ 2, 'Sale ' . '😀' x 80, 3 ]);

	for my $name (sort keys %text_of)
	{
		my ($coding, $text, $parts) = @{ $text_of{$name} };
		is(send_sms(text => $text, coding => $coding), '202 0: Accepted for delivery', "$name is accepted");
		my $message = wait_for($name, sub { shown($text) });
		is($message->{parts}, $parts, "$name arrives as it was, in $parts parts");
		is($message->{destination}, '+14155552671', "$name arrives at its number");
	}
}

sub test_kannel_reports
{
	my ($receiver) = @_;
	my %expected = (
		'+14155551111' => [ 8 => qr{^ACK/}, 1 => qr/stat:DELIVRD err:000/ ],
		'+14155552222' => [ 8 => qr{^ACK/}, 2 => qr/stat:UNDELIV err:001/ ],
		'+14155553333' => [ 16 => qr{^NACK/0x0000000b/} ]);

	for my $number (sort keys %expected)
	{
		my $path = '/callback/' . substr $number, 1;
		my %wanted = @{ $expected{$number} };
		send_sms(to => $number, text => 'x', 'dlr-mask' => 27,
			'dlr-url' => "$receiver->{url}$path?status=%d&answer=%A&foreign_id=%F&at=%T");
		my %seen;
		wait_for("reports of $number", sub {
			%seen = map { ($_->{query}{status} => $_->{query}) } grep { ($_->{path} // '') eq $path } log_lines($receiver->{log});
			keys %seen == keys %wanted });
		like($seen{$_}{answer}, $wanted{$_}, "$number: report $_ has the answer of the network") for sort keys %wanted;
		my ($submit) = grep { $_->{destination} eq $number } smsc_lines('submit');
		is($seen{8}{foreign_id}, $submit->{id}, "$number: and its id") if $wanted{8};
		cmp_ok(abs($_->{at} - time), '<', 60, "$number: and the time") for values %seen;
	}
}

sub test_kannel_refusals
{
	is(send_sms(password => 'wrong', text => 'x'), '403 Authorization failed for sendsms', 'a wrong password is refused');
	is(send_sms(to => '', text => 'x'), '400 Empty receiver number not allowed, rejected', 'an empty number is refused');
	is(send_sms(charset => 'NOSUCH', text => 'x'), '400 Charset or body misformed, rejected', 'an unknown charset is refused');
}

sub test_kannel_replies
{
	my ($receiver) = @_;
	my $submitted = smsc_lines('submit');
	my $control = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $ENV{SMSC_CONTROL_PORT}, Timeout => PATIENCE);
	my $reply = sub { my ($text) = @_; print $control encode('UTF-8', "+14155552671 +14155550100 $text\n"); scalar <$control> };
	my $received = sub { my ($charset, $text) = @_; grep { ($_->{path} // '') eq '/in' && $_->{query}{charset} eq $charset
		  && $_->{query}{text} eq $text } log_lines($receiver->{log}) };

	is(system("$folder/kannel.sh", 'reply', "$scratch/kannel", '+14155552671', '+14155550100', 'STOP'), 0, 'a subscriber replies');
	ok(wait_for('STOP', sub { $received->('UTF-8', 'STOP') }), 'the reply reaches the URL');
	my ($stop) = $received->('UTF-8', 'STOP');
	is($stop->{query}{from}, '+14155552671', 'with its sender');
	is($stop->{query}{to}, '+14155550100', 'with its receiver');
	$reply->("long € reply & more " . 'x' x 200);
	ok(wait_for('long reply', sub { $received->('UTF-8', 'long € reply & more ' . 'x' x 200) }), 'a long reply comes in one piece');
	$reply->('Стоп 😀');
	my $octets = decode('ISO-8859-1', encode('UTF-16BE', 'Стоп 😀'));
	ok(wait_for('Cyrillic reply', sub { $received->('UTF-16BE', $octets) }), 'Cyrillic comes as UTF-16BE');
	print $control "STOP\n";
	like(scalar <$control>, qr/^error: write FROM TO TEXT/, 'a control line that is none is refused');
	send_sms(text => 'after the replies');
	ok(wait_for('message after the replies', sub { shown('after the replies') }), 'messages still flow');
	is(scalar(smsc_lines('submit')), $submitted + 1, 'Kannel answers no reply by itself');
}

sub test_kannel_stop
{
	my @pids = map { slurp("$scratch/kannel/$_.pid") + 0 } 'smsc', 'bearerbox', 'smsbox';

	unlike(join('', map { slurp($_) } glob "$scratch/kannel/*.log $scratch/kannel/*.out"), qr/open-sesame/, 'no log has the password');
	is((kannel('stop'))[0], 0, 'Kannel stops');
	ok(wait_for('end of the processes', sub { !kill 0, @pids }), 'its three processes are gone');
	my ($code, $output) = kannel('status');
	is($code, 1, 'status fails');
	like($output, qr/bearerbox does not run/, 'and says why');
	spew("$scratch/kannel/smsc.pid", "$$\n");
	is((kannel('stop'))[0], 0, 'stopping again does no harm, not even to this test');
}

my $gateway = start_gateway('main');
subtest 'log' => \&test_log, $gateway;
subtest 'log survives kill -9' => \&test_log_survives_kill;
subtest 'connections' => \&test_connections, $gateway;
subtest 'rules' => \&test_rules, $gateway;
subtest 'script file' => \&test_script_file;
subtest 'silence' => \&test_silence, $gateway;
subtest 'bad answers' => \&test_bad_answers, $gateway;
subtest 'many connections' => \&test_many_connections;
subtest 'reports' => \&test_reports, $gateway;

SKIP:
{
	local $ENV{PATH} = "$ENV{PATH}:/usr/sbin:/sbin";
	skip 'Kannel is not installed (Debian: apt-get install kannel)', 6 if system 'command -v bearerbox >/dev/null && command -v smsbox >/dev/null';
	my $receiver = start_gateway('kannel_receiver');
	subtest 'Kannel starts' => \&test_kannel_start, $receiver;
	subtest 'Kannel carries texts' => \&test_kannel_texts;
	subtest 'Kannel reports' => \&test_kannel_reports, $receiver;
	subtest 'Kannel refuses' => \&test_kannel_refusals;
	subtest 'Kannel passes replies on' => \&test_kannel_replies, $receiver;
	subtest 'Kannel stops' => \&test_kannel_stop;
}

done_testing();
