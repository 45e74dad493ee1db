# One select loop for the test servers in this folder: timers, listeners and
# non-blocking peers.
#
# A peer is a hash with a socket, bytes to send in {out}, a handler {on_read},
# optionally {on_write} (default: send what is pending) and {on_broken}, called
# with the peer and the reason when a write fails.  A peer that was dropped has
# {closed} set, so that code run later by a timer can tell.

package EventLoop;

use strict;
use warnings;

use Errno qw(EAGAIN EINTR);
use Exporter qw(import);
use IO::Select;
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_LINGER TCP_NODELAY);
use Time::HiRes qw(time);

our @EXPORT = qw(add_peer after_ms drop drop_with_reset flush_out listen_on run_loop wait_for_write write_port_file);

# Seconds.  A signal that comes just before select is seen after this time.
use constant LONGEST_WAIT => 1;

my ($readers, $writers) = (IO::Select->new, IO::Select->new);
my (%peer_of, @timers);

# Runs until the process is told to end with SIGTERM or SIGINT.
sub run_loop
{
	$SIG{TERM} = $SIG{INT} = sub { exit 0 };
	$SIG{PIPE} = 'IGNORE';

	while (1)
	{
		my ($readable, $writable) = IO::Select->select($readers, $writers, undef, run_timers());

		for my $socket (@{ $readable // [] })
		{
			my $peer = $peer_of{$socket} or next;
			$peer->{on_read}->($peer);
		}
		for my $socket (@{ $writable // [] })
		{
			my $peer = $peer_of{$socket} or next;
			$writers->remove($socket);
			($peer->{on_write} // \&flush_out)->($peer);
		}
	}
}

# Timers are a list of [when, code], soonest first.
sub after_ms
{
	my ($delay, $code) = @_;
	my $when = time + $delay / 1000;
	my ($low, $high) = (0, scalar @timers);

	while ($low < $high)
	{
		my $middle = ($low + $high) >> 1;
		if ($timers[$middle][0] <= $when) { $low = $middle + 1 }
		else                              { $high = $middle }
	}
	splice @timers, $low, 0, [ $when, $code ];
}

# Runs what is due and returns the seconds until the next one.
sub run_timers
{
	while (@timers)
	{
		my $wait = $timers[0][0] - time;
		return $wait < LONGEST_WAIT ? $wait : LONGEST_WAIT if $wait > 0;
		(shift @timers)->[1]->();
	}
	return LONGEST_WAIT;
}

# Calls on_accept with each new socket; returns the port, chosen by the system
# when the one asked for is 0.
sub listen_on
{
	my ($address, $port, $on_accept) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => $address, LocalPort => $port, Proto => 'tcp',
		Listen => 1024, ReuseAddr => 1, Blocking => 0)
	  or die "$0: cannot listen on $address port $port: $!\n";

	$peer_of{$listener} = { socket => $listener, on_read => sub {
		while (my $socket = $listener->accept)
		{
			setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
			$on_accept->($socket);
		}
	} };
	$readers->add($listener);
	return $listener->sockport;
}

sub add_peer
{
	my ($peer) = @_;

	$peer->{socket}->blocking(0);
	$peer->{out} //= '';
	$peer_of{ $peer->{socket} } = $peer;
	$readers->add($peer->{socket});
}

sub wait_for_write
{
	my ($peer) = @_;

	$writers->add($peer->{socket});
}

sub drop
{
	my ($peer) = @_;

	return if $peer->{closed};
	$peer->{closed} = 1;
	$readers->remove($peer->{socket});
	$writers->remove($peer->{socket});
	delete $peer_of{ $peer->{socket} };
	close $peer->{socket};
}

# With a linger time of zero the kernel sends RST instead of FIN.
sub drop_with_reset
{
	my ($peer) = @_;

	setsockopt $peer->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
	drop($peer);
}

# Writes what the kernel takes; true when nothing is left.
sub flush_out
{
	my ($peer) = @_;

	while (length $peer->{out})
	{
		my $written = syswrite $peer->{socket}, $peer->{out};
		if (defined $written)   { substr $peer->{out}, 0, $written, '' }
		elsif ($! == EAGAIN)    { wait_for_write($peer); return 0 }
		elsif ($! != EINTR)
		{
			my $reason = "$!";
			$peer->{on_broken}->($peer, $reason) if $peer->{on_broken};
			drop($peer);
			return 0;
		}
	}
	return 1;
}

# A reader of the port file must never see half a number.
sub write_port_file
{
	my ($file, $port) = @_;

	open my $handle, '>', "$file.new" or die "$0: cannot write \"$file.new\": $!\n";
	print $handle "$port\n";
	close $handle or die "$0: cannot write \"$file.new\": $!\n";
	rename "$file.new", $file or die "$0: cannot rename \"$file.new\": $!\n";
}

1;
