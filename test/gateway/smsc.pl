#!/usr/bin/perl
#
# A small SMPP 3.4 message centre: the far end of a real SMS gateway in tests
# and in the demo.
#
# It takes any login, logs every submitted message with its text decoded as a
# phone would show it, answers with an id, and later sends a delivery receipt
# if the message asked for one.  A line on its control port makes a subscriber
# write a message.  Kannel's own test programs cannot take its place:
# drive_smpp is a load generator that gives no message ids and no receipts, and
# fakesmsc does not speak SMPP.
#
# README.md in this folder describes the options, the control port and the log.

use strict;
use warnings;

use Errno qw(EAGAIN EINTR);
use FindBin;
use Getopt::Long qw(GetOptions);
use POSIX qw(strftime);
use Time::HiRes qw(time);

use lib "$FindBin::Bin/lib";
use EventLoop;
use JsonLog;
use ShortMessage;

use constant {
	RESPONSE => 0x80000000, ENQUIRE_LINK => 0x15, SUBMIT_SM => 0x04, DELIVER_SM => 0x05, GENERIC_NACK => 0x80000000,
	BIND_RECEIVER => 0x01, BIND_TRANSMITTER => 0x02, UNBIND => 0x06, BIND_TRANSCEIVER => 0x09,
	STATUS_OK => 0, UNKNOWN_COMMAND => 0x03, WRONG_BIND_STATE => 0x04, WRONG_DESTINATION => 0x0b,
	HAS_HEADER => 0x40, IS_RECEIPT => 0x04, INTERNATIONAL => 1,
	TLV_PAYLOAD => 0x0424, TLV_REFERENCE => 0x020c, TLV_TOTAL => 0x020e, TLV_NUMBER => 0x020f,
	TLV_RECEIPTED_ID => 0x001e, TLV_STATE => 0x0427, LONGEST_PDU => 1 << 17, READ_SIZE => 65536,
};

my %HANDLER = (
	BIND_RECEIVER()    => \&handle_bind,
	BIND_TRANSMITTER() => \&handle_bind,
	BIND_TRANSCEIVER() => \&handle_bind,
	SUBMIT_SM()        => \&handle_submit,
	ENQUIRE_LINK()     => sub { my ($client, $pdu) = @_; answer($client, $pdu, STATUS_OK, '') },
	UNBIND()           => sub { my ($client, $pdu) = @_; answer($client, $pdu, STATUS_OK, ''); forget($client) },
	(DELIVER_SM | RESPONSE)   => \&handle_deliver_answer,
	(ENQUIRE_LINK | RESPONSE) => sub { },
	GENERIC_NACK()            => sub { });
my %STATE = (DELIVRD => 2, UNDELIV => 5);

my ($receipt_ms, $undeliverable, $refused) = (500, undef, undef);
my ($last_id, $last_sequence, $last_reference) = (0, 0, 0);
my (%receivers, @deliveries_waiting, %parts_of);

main();

sub main
{
	my ($port, $port_file, $control_port, $control_port_file, $log_file) = (0, undef, 0);

	GetOptions('port=i' => \$port, 'port-file=s' => \$port_file, 'log=s' => \$log_file,
		'control-port=i' => \$control_port, 'control-port-file=s' => \$control_port_file,
		'receipt-ms=i' => \$receipt_ms, 'undeliverable=s' => \$undeliverable, 'refuse=s' => \$refused)
	  and defined $log_file and !@ARGV
	  or die "usage: smsc.pl --port PORT --log FILE [--control-port PORT] [--receipt-ms N] [--undeliverable REGEX]\n"
	  . "               [--refuse REGEX] [--port-file FILE] [--control-port-file FILE]\n";
	defined and $_ = qr/$_/ for $undeliverable, $refused;
	open_log($log_file);
	my $chosen = listen_on('127.0.0.1', $port, sub { accept_peer($_[0], \&read_pdus) });
	my $chosen_control = listen_on('127.0.0.1', $control_port, sub { accept_peer($_[0], \&read_lines) });
	write_port_file($control_port_file, $chosen_control) if defined $control_port_file;
	write_port_file($port_file, $chosen) if defined $port_file;
	run_loop();
}

sub accept_peer
{
	my ($socket, $on_bytes) = @_;

	add_peer({ socket => $socket, in => '', on_read => sub {
		my ($peer) = @_;
		my $got = sysread $socket, $peer->{in}, READ_SIZE, length $peer->{in};
		return if !defined $got && ($! == EAGAIN || $! == EINTR);
		return $on_bytes->($peer) if $got;
		forget($peer);
	}, on_broken => \&forget });
}

# What was delivered on a connection that is gone without an answer waits for
# the next one.
sub forget
{
	my ($peer) = @_;

	delete $receivers{$peer};
	unshift @deliveries_waiting, map { $peer->{unanswered}{$_} } sort { $a <=> $b } keys %{ $peer->{unanswered} };
	$peer->{unanswered} = {};
	drop($peer);
	deliver_waiting();
}

sub log_event
{
	my ($event, @fields) = @_;
	my $line = sprintf '{"event":"%s","at":%.6f', $event, time;

	while (my ($name, $json) = splice @fields, 0, 2)
	{
		$line .= ",\"$name\":$json";
	}
	log_line("$line}");
}

# ---------------------------------------------------------------------------
# PDUs: SMPP 3.4 section 3.2: length, command, status, sequence, body.

sub read_pdus
{
	my ($client) = @_;

	while (!$client->{closed} && length $client->{in} >= 16)
	{
		my ($length, $command, $status, $sequence) = unpack 'N4', $client->{in};
		return forget($client) if $length < 16 || $length > LONGEST_PDU;
		return if length $client->{in} < $length;
		my $body = substr substr($client->{in}, 0, $length, ''), 16;
		my $handler = $HANDLER{$command};
		my $pdu = { command => $command, status => $status, sequence => $sequence, body => $body };
		if ($handler) { $handler->($client, $pdu) }
		else          { send_pdu($client, GENERIC_NACK, UNKNOWN_COMMAND, $sequence, '') }
	}
}

sub send_pdu
{
	my ($client, $command, $status, $sequence, $body) = @_;

	$client->{out} .= pack('N4', 16 + length $body, $command, $status, $sequence) . $body;
	flush_out($client);
}

sub answer
{
	my ($client, $pdu, $status, $body) = @_;

	send_pdu($client, $pdu->{command} | RESPONSE, $status, $pdu->{sequence}, $body);
}

sub handle_bind
{
	my ($client, $pdu) = @_;
	my ($system_id) = unpack 'Z*', $pdu->{body};

	$client->{can_submit} = $pdu->{command} != BIND_RECEIVER;
	$receivers{$client} = $client if $pdu->{command} != BIND_TRANSMITTER;
	log_event('bind', system_id => json_text($system_id), receives => $receivers{$client} ? 'true' : 'false');
	answer($client, $pdu, STATUS_OK, "smsc\0");
	deliver_waiting();
}

# SMPP 3.4 section 4.4.1.
sub parse_submit
{
	my ($body) = @_;
	my %submit;

	(undef, my ($source_ton, undef, $source, $ton, undef, $destination, $class, undef, undef, undef, undef,
		$registered, undef, $coding, undef, $octets, $options)) = unpack 'Z* CC Z* CC Z* CCC Z* Z* CCCC C/a a*', $body;
	my %option = parse_options($options);
	@submit{qw(source destination)} = (number_of($source_ton, $source), number_of($ton, $destination));
	@submit{qw(class registered coding)} = ($class, $registered, $coding);
	$submit{octets} = $option{ +TLV_PAYLOAD } // $octets;
	if ($class & HAS_HEADER)
	{
		@submit{qw(header reference total number)} = take_header(\$submit{octets});
	}
	elsif (defined $option{ +TLV_TOTAL })
	{
		@submit{qw(reference total number)} =
		  (unpack('n', $option{ +TLV_REFERENCE }), unpack('C', $option{ +TLV_TOTAL }), unpack 'C', $option{ +TLV_NUMBER });
	}
	return \%submit;
}

sub parse_options
{
	my ($octets) = @_;
	my %option;

	while (length $octets >= 4)
	{
		my ($tag, $value) = unpack 'n n/a', $octets;
		$option{$tag} = $value;
		substr $octets, 0, 4 + length $value, '';
	}
	return %option;
}

sub number_of
{
	my ($type, $digits) = @_;

	return $type == INTERNATIONAL && $digits !~ /^\+/ ? "+$digits" : $digits;
}

# ---------------------------------------------------------------------------
# Messages from the gateway

sub handle_submit
{
	my ($client, $pdu) = @_;

	return answer($client, $pdu, WRONG_BIND_STATE, '') if !$client->{can_submit};
	my $submit = parse_submit($pdu->{body});
	my $is_refused = defined $refused && $submit->{destination} =~ $refused;
	$submit->{id} = sprintf '%08x-%d', $^T, ++$last_id;    # new ones after a restart
	$submit->{status} = $is_refused ? WRONG_DESTINATION : STATUS_OK;
	log_submit($submit);
	answer($client, $pdu, $submit->{status}, ($is_refused ? '' : $submit->{id}) . "\0");
	return if $is_refused;
	join_parts($submit);
	after_ms($receipt_ms, sub { send_receipt($submit) });
}

sub log_submit
{
	my ($submit) = @_;
	my $part = $submit->{total} ? sprintf '{"reference":%d,"total":%d,"number":%d}', @$submit{qw(reference total number)} : 'null';

	log_event('submit', id => json_text($submit->{id}), source => json_text($submit->{source}),
		destination => json_text($submit->{destination}), status => $submit->{status},
		data_coding => $submit->{coding}, esm_class => $submit->{class}, registered_delivery => $submit->{registered},
		part => $part, header_hex => json_text(unpack 'H*', $submit->{header} // ''),
		octets_hex => json_text(unpack 'H*', $submit->{octets}),
		text => json_text(decode_text($submit->{coding}, $submit->{octets})));
}

# Logs the whole message when its last part is there.  Octets are joined before
# they are decoded, because a split may fall inside a character.
sub join_parts
{
	my ($submit) = @_;
	my ($total, $number) = ($submit->{total} || 1, $submit->{number} || 1);
	my $key = join ' ', $submit->{source}, $submit->{destination}, $submit->{reference} // $submit->{id}, $total;
	my $parts = $parts_of{$key} //= {};

	$parts->{$number} = $submit;
	return if keys %$parts < $total;
	delete $parts_of{$key};
	my @in_order = map { $parts->{$_} } sort { $a <=> $b } keys %$parts;
	log_event('message', source => json_text($submit->{source}), destination => json_text($submit->{destination}),
		parts => $total, ids => '[' . join(',', map { json_text($_->{id}) } @in_order) . ']',
		text => json_text(decode_text($submit->{coding}, join '', map { $_->{octets} } @in_order)));
}

# ---------------------------------------------------------------------------
# Messages to the gateway: receipts and what subscribers write.

# The wish for a receipt is in the low two bits of registered_delivery: 1 is
# always, 2 is only on failure (SMPP 3.4 section 5.2.17).
sub send_receipt
{
	my ($submit) = @_;
	my $stat = defined $undeliverable && $submit->{destination} =~ $undeliverable ? 'UNDELIV' : 'DELIVRD';
	my $is_delivered = $stat eq 'DELIVRD';
	my $wish = $submit->{registered} & 3;

	return if !$wish || ($wish == 2 && $is_delivered);
	my $date = strftime '%y%m%d%H%M', gmtime;
	my $text = sprintf 'id:%s sub:001 dlvrd:%03d submit date:%s done date:%s stat:%s err:%03d text:%s', $submit->{id},
	  $is_delivered, $date, $date, $stat, $is_delivered ? 0 : 1,
	  substr decode_text($submit->{coding}, $submit->{octets}) // '', 0, 20;
	$text =~ s/[^\x20-\x7e]/?/g;
	my $options = pack('n n/a*', TLV_RECEIPTED_ID, "$submit->{id}\0") . pack 'nnC', TLV_STATE, 1, $STATE{$stat};
	deliver({ from => $submit->{destination}, to => $submit->{source}, class => IS_RECEIPT, coding => 0,
		octets => $text, options => $options, on_answer => sub {
			log_event('receipt', id => json_text($submit->{id}), destination => json_text($submit->{destination}),
				stat => json_text($stat), answer => $_[0]);
		} });
}

sub deliver
{
	my ($delivery) = @_;

	push @deliveries_waiting, $delivery;
	deliver_waiting();
}

# Deliveries wait while no receiver is bound.
sub deliver_waiting
{
	while (@deliveries_waiting && %receivers)
	{
		my ($client) = values %receivers;
		my $delivery = shift @deliveries_waiting;
		my $sequence = ++$last_sequence;
		$client->{unanswered}{$sequence} = $delivery;
		send_pdu($client, DELIVER_SM, STATUS_OK, $sequence, deliver_body($delivery));
	}
}

# SMPP 3.4 section 4.6.1.
sub deliver_body
{
	my ($delivery) = @_;
	my ($from_ton, $from) = address_of($delivery->{from});
	my ($to_ton, $to) = address_of($delivery->{to});

	return pack 'Z* CC Z* CC Z* CCC Z* Z* CCCC C/a* a*', '', $from_ton, 1, $from, $to_ton, 1, $to, $delivery->{class},
	  0, 0, '', '', 0, 0, $delivery->{coding}, 0, $delivery->{octets}, $delivery->{options} // '';
}

sub address_of
{
	my ($number) = @_;

	return $number =~ /^\+(.*)/ ? (INTERNATIONAL, $1) : (0, $number);
}

sub handle_deliver_answer
{
	my ($client, $pdu) = @_;
	my $delivery = delete $client->{unanswered}{ $pdu->{sequence} };

	$delivery->{on_answer}->($pdu->{status}) if $delivery;
}

# ---------------------------------------------------------------------------
# The control port: "FROM TO TEXT" is a message somebody writes.

sub read_lines
{
	my ($control) = @_;

	while ($control->{in} =~ s/^(.*?)\r?\n//)
	{
		my ($from, $to, $text) = split / /, $1, 3;
		if (defined $text && $from =~ /^\+?\d+$/ && $to =~ /^\+?\d+$/) { write_message($control, $from, $to, $text) }
		else { say_to($control, 'error: write FROM TO TEXT, numbers with digits and an optional +') }
	}
}

# Says "ok" when the gateway has taken the last part.
sub write_message
{
	my ($control, $from, $to, $text) = @_;
	my ($coding, @parts) = encode_text($text, ++$last_reference);
	my $missing = @parts;

	return say_to($control, 'error: no gateway is bound to receive') if !%receivers;
	for my $octets (@parts)
	{
		deliver({ from => $from, to => $to, coding => $coding, class => @parts > 1 ? HAS_HEADER : 0,
			octets => $octets, on_answer => sub {
				my ($status) = @_;
				log_event('reply', source => json_text($from), destination => json_text($to),
					answer => $status, text => json_text($text)) if !--$missing || $status;
				say_to($control, $status ? "error: the gateway answered $status" : 'ok') if !$missing || $status;
			} });
	}
}

sub say_to
{
	my ($control, $line) = @_;

	return if $control->{closed};
	$control->{out} .= "$line\n";
	flush_out($control);
}
