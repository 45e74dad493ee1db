#!/usr/bin/perl
#
# A scripted HTTP gateway that keeps the ground truth.
#
# The tests ask "what was really on the wire, how often, and when?".  Only the
# receiving end can answer that, so this program logs each request after its
# last byte was read and before the first byte of an answer is written: a
# sender that has seen an answer can always find its request in the log, also
# when this program is killed.  Rules from a script decide how to misbehave.
#
# One process and one select loop serve all connections, so the running
# numbers in the log are the true order.  Times are seconds since 1970 as seen
# when the bytes were read.  README.md describes options, rules and the log.

use strict;
use warnings;

use Errno qw(EAGAIN EINTR);
use FindBin;
use Getopt::Long qw(GetOptions);
use IO::Socket::INET;
use JSON::PP ();
use Socket qw(MSG_PEEK SOL_SOCKET SO_ERROR);
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";
use EventLoop;
use HttpRequest;
use JsonLog;

use constant {
	READ_SIZE       => 65536,
	CUT_BODY_LENGTH => 500,
	DRIP_MS         => 200,
	MOST_CALLBACKS  => 64,         # in flight at once
	CALLBACK_MS     => 30_000,
};

my %ACTION = (
	answer            => \&act_answer,
	hang              => \&act_hang,
	close             => \&act_close,
	close_mid_body    => \&act_close_mid_body,
	half_close        => \&act_half_close,
	reset             => \&act_reset,
	garbage           => \&act_garbage,
	drip              => \&act_drip,
	close_before_read => undef);       # decided before there is a request

my ($script_file, $script_stamp);
my (@rules, %reports, %times_seen, @callbacks_waiting);
my ($requests, $connections, $callbacks_pending, $callbacks_running) = (0, 0, 0, 0);
my $json = JSON::PP->new->utf8->canonical->allow_nonref;

main();

sub main
{
	my ($port, $address, $port_file, $log_file) = (0, '127.0.0.1');

	GetOptions('port=i' => \$port, 'address=s' => \$address, 'log=s' => \$log_file,
		'script=s' => \$script_file, 'port-file=s' => \$port_file)
	  and defined $log_file and !@ARGV
	  or die "usage: gateway.pl --port PORT --log FILE [--address ADDRESS] [--script FILE] [--port-file FILE]\n";
	open_log($log_file);
	reload_script();
	my $chosen = listen_on($address, $port, \&accept_client);
	write_port_file($port_file, $chosen) if defined $port_file;
	run_loop();
}

# ---------------------------------------------------------------------------
# What is logged

sub log_request
{
	my ($client, $request) = @_;
	my $body_hex = is_utf8($request->{body}) ? '' : ',"body_hex":"' . unpack('H*', $request->{body}) . '"';

	log_line(sprintf '{"at":%.6f,"complete_at":%.6f,"n":%d,"connection":%d,"method":%s,"path":%s,"target":%s,'
		  . '"query":%s,"headers":%s,"body":%s%s}',
		$request->{at}, $request->{complete_at}, $request->{n}, $client->{number},
		json_text($request->{method}), json_text($request->{path}), json_text($request->{target}),
		json_hash($request->{query}), json_hash($request->{headers}), json_text($request->{body}), $body_hex);
}

sub log_answer
{
	my ($request, $action, $status) = @_;

	log_line(sprintf '{"answer_to":%d,"at":%.6f,"status":%s,"action":"%s"}',
		$request->{n}, time, $status // 'null', $action);
}

sub log_event
{
	my ($event, $client, $more) = @_;

	log_line(sprintf '{"event":"%s","at":%.6f,"connection":%d%s}', $event, time, $client->{number}, $more // '');
}

# ---------------------------------------------------------------------------
# Connections

sub accept_client
{
	my ($socket) = @_;

	add_peer({ socket => $socket, number => ++$connections, in => '',
		on_read => \&read_client, on_write => \&continue_client, on_broken => \&log_client_left });
}

sub read_client
{
	my ($client) = @_;

	return if closes_before_read($client);
	my $got = sysread $client->{socket}, $client->{in}, READ_SIZE, length $client->{in};
	return if !defined $got && ($! == EAGAIN || $! == EINTR);
	if ($got)
	{
		$client->{first_byte_at} //= time;
		return serve_requests($client);
	}
	log_client_left($client);
	drop($client);
}

# The other side has gone.  A request that was not complete, or not yet
# answered, is part of the truth.
sub log_client_left
{
	my ($client) = @_;
	my $n = ($client->{request} // {})->{n};

	if ($n)                                     { log_event('client_left', $client, ",\"answer_to\":$n") }
	elsif (defined $client->{first_byte_at})    { log_event('incomplete', $client, ',"bytes":' . length $client->{in}) }
}

sub serve_requests
{
	my ($client) = @_;

	while (!$client->{closed} && !$client->{request})
	{
		my $request = eval { take_request($client) };
		return refuse($client, $@) if $@;
		return if !$request;
		@$request{qw(at complete_at)} = ($client->{first_byte_at}, time);
		$client->{first_byte_at} = length $client->{in} ? time : undef;
		$client->{request} = $request;
		if ($request->{path} =~ m{^/__}) { control($client, $request) }
		else                             { decide($client, $request) }
	}
}

sub refuse
{
	my ($client, $why) = @_;

	chomp $why;
	log_event('bad_request', $client, ',"error":' . json_text($why));
	$client->{request} = { closes => 1 };
	$client->{first_byte_at} = undef;
	reply($client, 400, {}, "$why\n");
}

sub reply
{
	my ($client, $status, $headers, $body) = @_;
	my $closes = $client->{request}{closes};

	$client->{at_end} = 'close' if $closes;
	$client->{out} .= http_head($status, $headers, length($body) + ($client->{filler} // 0), $closes) . $body;
	send_out($client);
}

# Sends the pending bytes, then a filler if the answer has one, then does what
# comes after the answer.
sub send_out
{
	my ($client) = @_;

	while (flush_out($client))
	{
		return end_answer($client) if !$client->{filler};
		my $size = $client->{filler} < READ_SIZE ? $client->{filler} : READ_SIZE;
		$client->{out} = 'x' x $size;
		$client->{filler} -= $size;
	}
}

sub continue_client
{
	my ($client) = @_;

	send_out($client);
	serve_requests($client);
}

sub end_answer
{
	my ($client) = @_;
	my $end = delete $client->{at_end} // 'keep';

	$client->{request} = undef;
	if ($end eq 'reset')    { drop_with_reset($client) }
	elsif ($end eq 'close') { drop($client) }
	elsif ($end eq 'half')  { shutdown $client->{socket}, 1 }
}

# ---------------------------------------------------------------------------
# Rules

sub set_rules
{
	my ($text) = @_;
	my $list = $json->decode($text);

	die "the script is not a JSON array\n" if ref $list ne 'ARRAY';
	for my $rule (@$list)
	{
		die "a rule is not a JSON object\n" if ref $rule ne 'HASH';
		$rule->{action} //= 'answer';
		die "unknown action \"$rule->{action}\"\n" if !exists $ACTION{ $rule->{action} };
		for my $pattern (grep { defined $rule->{$_} } 'match', 'path')
		{
			utf8::encode($rule->{$pattern});
			$rule->{$pattern} = qr/$rule->{$pattern}/;
		}
	}
	@rules = @$list;
}

# Reads the script when it is new or has changed.  One that cannot be read
# leaves the old rules in force and says so in the log: half a file may be
# somebody still writing it.
sub reload_script
{
	return if !defined $script_file;
	my $stamp = join ' ', map { $_ // '' } (Time::HiRes::stat($script_file))[ 1, 7, 9 ];
	return if defined $script_stamp && $stamp eq $script_stamp;
	my $is_first = !defined $script_stamp;
	$script_stamp = $stamp;

	return if eval {
		open my $handle, '<:raw', $script_file or die "$!\n";
		set_rules(do { local $/; <$handle> });
		1;
	};
	die "$0: cannot use script \"$script_file\": $@" if $is_first;
	log_line(sprintf '{"event":"script_error","at":%.6f,"error":%s}', time, json_text("$@"));
}

# The first rule that fits, and one use of it.
sub choose_rule
{
	my ($path, $subject, $is_unread) = @_;

	for my $rule (@rules)
	{
		next if $is_unread != ($rule->{action} eq 'close_before_read');
		next if defined $rule->{times} && $rule->{times} <= 0;
		next if defined $rule->{path} && $path !~ $rule->{path};
		next if defined $rule->{match} && $subject !~ $rule->{match};
		$rule->{times}-- if defined $rule->{times};
		return $rule;
	}
	return;
}

sub decide
{
	my ($client, $request) = @_;
	my $body = is_form($request) ? unescape($request->{body}) : $request->{body};
	my $reference = field_of($request, 'reference');

	$request->{n} = ++$requests;
	$times_seen{$reference}++ if defined $reference;
	log_request($client, $request);
	reload_script();
	my $rule = choose_rule($request->{path}, unescape($request->{raw_query}) . "\n$body", 0) // { action => 'answer' };
	schedule_report($request) if %reports && $reports{from} eq 'request';
	$ACTION{ $rule->{action} }->($client, $request, $rule);
}

# Closing with unread bytes makes the kernel send RST.  The bytes are only
# peeked at, to let a rule choose its request.
sub closes_before_read
{
	my ($client) = @_;

	reload_script();
	return 0 if $client->{request} || length $client->{in} || !grep { $_->{action} eq 'close_before_read' } @rules;
	my $peeked = '';
	recv $client->{socket}, $peeked, READ_SIZE, MSG_PEEK;
	my ($path) = $peeked =~ m{^\S+ ([^\s?]+)} or return 0;
	return 0 if $path =~ m{^/__} || !choose_rule($path, unescape($peeked), 1);
	log_event('close_before_read', $client);
	drop($client);
	return 1;
}

# ---------------------------------------------------------------------------
# Actions

sub act_answer
{
	my ($client, $request, $rule) = @_;

	return send_answer($client, $request, $rule) if !$rule->{delay_ms};
	after_ms($rule->{delay_ms}, sub {
		return if $client->{closed};
		send_answer($client, $request, $rule);
		serve_requests($client);
	});
}

sub send_answer
{
	my ($client, $request, $rule) = @_;
	my ($status, $headers, $body) = answer_of($request, $rule);

	log_answer($request, 'answer', $status);
	$client->{filler} = $rule->{body_size};
	reply($client, $status, $headers, $body);
	schedule_report($request) if %reports && $reports{from} eq 'answer' && $status =~ /^2/;
}

# What a rule says of each part of a request that its expression finds, in order: "{i}" counts them, "{1}" is what the
# first group found. Of several texts the first whose own expression fits the part counts; an empty one leaves it out.
sub items_of
{
	my ($request, $rule) = @_;
	my $subject = is_form($request) ? unescape($request->{body}) : $request->{body};
	my @items;

	while ($subject =~ /$rule->{each}/g)
	{
		my ($part, $group, $i) = ($&, $1, scalar @items);
		my ($choice) = grep { $part =~ $_->[0] } @{ $rule->{items} };

		push @items, $choice->[1] =~ s/\{i\}/$i/gr =~ s/\{1\}/$group/gr if $choice && length $choice->[1];
	}
	return join(', ', @items);
}

# Status, headers and body that a rule asks for; "{n}" in a body is the number
# of the request.
sub answer_of
{
	my ($request, $rule) = @_;
	my %headers = %{ $rule->{headers} // {} };
	my $status = $rule->{status} // 200;
	my $body = $rule->{body} // '{"id":"gw-{n}","status":"accepted"}';

	$headers{"X-Filler-$_"} = 'x' x 1000 for 1 .. $rule->{fillers} // 0;
	return ($status, \%headers, pack 'H*', $rule->{body_hex}) if defined $rule->{body_hex};
	return ($status, \%headers, '') if $rule->{body_size};
	if (ref $body) { $body = $json->encode($body) }
	else           { utf8::encode($body) }
	$body =~ s/\{items\}/items_of($request, $rule)/e if defined $rule->{each};
	$body =~ s/\{n\}/$request->{n}/g;
	$headers{'Content-Type'} = 'application/json' if $body =~ /^[\[{]/ && !grep { lc eq 'content-type' } keys %headers;
	return ($status, \%headers, $body);
}

sub act_hang
{
	my ($client, $request) = @_;

	log_answer($request, 'hang');
}

sub act_close
{
	my ($client, $request) = @_;

	log_answer($request, 'close');
	drop($client);
}

sub act_reset
{
	my ($client, $request) = @_;

	log_answer($request, 'reset');
	drop_with_reset($client);
}

# The half that is sent is not yet valid JSON.
sub act_close_mid_body
{
	my ($client, $request, $rule) = @_;
	my $status = $rule->{status} // 200;
	my $half = sprintf '%-*s', CUT_BODY_LENGTH / 2, qq({"id":"gw-$request->{n}","status":"accepted","filler":");

	log_answer($request, 'close_mid_body', $status);
	$client->{at_end} = $rule->{reset} ? 'reset' : 'close';
	$client->{out} = http_head($status, { 'Content-Type' => 'application/json' }, CUT_BODY_LENGTH, 0) . $half;
	send_out($client);
}

# Promises a body, sends none, and says that nothing more will come; but goes on listening.
sub act_half_close
{
	my ($client, $request, $rule) = @_;
	my $status = $rule->{status} // 200;

	log_answer($request, 'half_close', $status);
	$client->{at_end} = 'half';
	$client->{out} = http_head($status, { 'Content-Type' => 'application/json' }, CUT_BODY_LENGTH, 0);
	send_out($client);
}

sub act_garbage
{
	my ($client, $request) = @_;

	log_answer($request, 'garbage');
	$client->{at_end} = 'close';
	$client->{out} = "\x16\x03\x00\xff\x00this is not HTTP\x00\x80\r\n\r\n";
	send_out($client);
}

sub act_drip
{
	my ($client, $request, $rule) = @_;
	my ($status, $headers, $body) = answer_of($request, $rule);

	log_answer($request, 'drip', $status);
	drip($client, http_head($status, $headers, length $body, 1) . $body, $rule->{every_ms} // DRIP_MS);
}

sub drip
{
	my ($client, $rest, $every) = @_;

	return if $client->{closed};
	return drop($client) if !syswrite($client->{socket}, $rest, 1) || length $rest == 1;
	after_ms($every, sub { drip($client, substr($rest, 1), $every) });
}

# ---------------------------------------------------------------------------
# Control by the tests; these requests are neither logged nor counted.

sub control
{
	my ($client, $request) = @_;
	my $name = "$request->{method} $request->{path}";
	my ($status, $body) =
	    $name eq 'GET /__log'      ? (200, read_log())
	  : $name eq 'GET /__stats'    ? (200, stats())
	  : $name eq 'POST /__script'  ? control_step(sub { set_rules($request->{body}) })
	  : $name eq 'POST /__reports' ? control_step(sub { set_reports($request->{body}) })
	  :                              (404, "unknown control request\n");

	reply($client, $status, {}, $body);
}

sub control_step
{
	my ($step) = @_;

	return eval { $step->(); 1 } ? (200, "ok\n") : (400, "$@");
}

sub stats
{
	my $repeated = grep { $_ > 1 } values %times_seen;

	return sprintf '{"requests":%d,"unique_ids":%d,"repeated_ids":%d,"connections":%d,"callbacks_pending":%d}' . "\n",
	  $requests, scalar keys %times_seen, $repeated, $connections, $callbacks_pending;
}

# ---------------------------------------------------------------------------
# Delivery reports: this gateway calls the sender back.

sub set_reports
{
	my ($text) = @_;
	my $new = $json->decode($text);
	my %defaults = (delay_ms => 0, status => 'delivered', format => 'json', field => 'callback_url', from => 'answer');

	die "the report settings are not a JSON object\n" if ref $new ne 'HASH';
	my $is_off = defined $new->{enabled} && !$new->{enabled};
	%reports = $is_off ? () : (%defaults, %$new);
}

sub schedule_report
{
	my ($request) = @_;
	my $url = field_of($request, $reports{field}) // return;
	my %call = (n => $request->{n}, url => $url, report_body($request->{n}));

	$callbacks_pending++;
	after_ms($reports{delay_ms}, sub { push @callbacks_waiting, \%call; start_callbacks() });
}

sub report_body
{
	my ($n) = @_;

	return (body => "status=$reports{status}&id=gw-$n", type => 'application/x-www-form-urlencoded')
	  if $reports{format} eq 'form';
	return (body => qq({"status":) . json_text($reports{status}) . qq(,"id":"gw-$n"}), type => 'application/json');
}

sub start_callbacks
{
	start_callback(shift @callbacks_waiting) while @callbacks_waiting && $callbacks_running < MOST_CALLBACKS;
}

sub start_callback
{
	my ($call) = @_;

	$callbacks_running++;
	log_line(sprintf '{"callback_for":%d,"at":%.6f,"url":%s,"body":%s}',
		$call->{n}, time, json_text($call->{url}), json_text($call->{body}));
	my ($host, $port, $path) = $call->{url} =~ m{^http://(127\.[0-9.]+|localhost)(?::([0-9]+))?(/.*)?$}
	  or return end_callback($call, undef, 'only plain http to this machine is called');
	my $socket = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port // 80, Proto => 'tcp', Blocking => 0)
	  or return end_callback($call, undef, "$!");

	my $peer = { socket => $socket, in => '', on_read => sub { read_callback($call, $_[0]) },
		on_write => sub { send_callback($call, $_[0]) }, on_broken => sub { end_callback($call, @_) } };
	$peer->{out} = sprintf "POST %s HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\nContent-Type: %s\r\n"
	  . "Content-Length: %d\r\n\r\n%s", $path // '/', $host, $port // 80, $call->{type}, length $call->{body}, $call->{body};
	add_peer($peer);
	wait_for_write($peer);
	after_ms(CALLBACK_MS, sub { end_callback($call, $peer, 'no answer in time') if !$peer->{closed} });
}

sub send_callback
{
	my ($call, $peer) = @_;
	my $error = unpack 'i', getsockopt $peer->{socket}, SOL_SOCKET, SO_ERROR;

	if ($error) { local $! = $error; end_callback($call, $peer, "$!") }
	else        { flush_out($peer) }
}

sub read_callback
{
	my ($call, $peer) = @_;
	my $got = sysread $peer->{socket}, $peer->{in}, READ_SIZE, length $peer->{in};

	return if !defined $got && ($! == EAGAIN || $! == EINTR);
	return end_callback($call, $peer, "$!") if !defined $got;
	return end_callback($call, $peer, undef, $1) if $peer->{in} =~ m{^HTTP/1\.[01] (\d{3})[^\n]*\n};
	end_callback($call, $peer, 'closed without an answer') if !$got;
}

sub end_callback
{
	my ($call, $peer, $error, $status) = @_;

	drop($peer) if $peer;
	$callbacks_running--;
	$callbacks_pending--;
	log_line(sprintf '{"callback_answer_to":%d,"at":%.6f,"status":%s,"error":%s}',
		$call->{n}, time, $status // 'null', json_text($error));
	start_callbacks();
}
