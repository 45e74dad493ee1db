# A bad network before a server on 127.0.0.1: connections to the relay's port end at the server's, and on the way bytes come
# late, as they do when segments are lost and sent again, or never any more, all of them or from somewhere on, or the
# connection is reset. What happens is drawn anew for all that is read at one time, from a seed.

package SmsflowRelay;

use strict;
use warnings;
use parent 'SmsflowProgram';

use IO::Select;
use IO::Socket::INET;
use List::Util qw(min);
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time);

# Options: share of what is read that is late, lost, cut or reset, each between 0 and 1; seed.
sub start
{
	my ($class, $port, %option) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 256) or die "listen: $!";
	my $self = bless { port => $listener->sockport }, $class;

	$self->{pid} = fork() // die "fork: $!";
	if ($self->{pid} == 0)
	{
		$SIG{TERM} = 'DEFAULT';		# and not what the test would do
		srand($option{seed});
		run($listener, $port, \%option);
		POSIX::_exit(0);
	}
	close($listener);
	return $self;
}

# An end is { socket, peer, dead, late => [[instant, bytes], ...] }: what is late goes to its peer, in order.
my (%ends, $select);

sub run
{
	my ($listener, $port, $option) = @_;

	$select = IO::Select->new($listener);
	while (1)
	{
		for my $socket ($select->can_read(0.02))
		{
			$socket == $listener ? accept_from($listener, $port) : read_from($ends{$socket}, $option);
		}
		deliver($_) for values %ends;
	}
}

sub accept_from
{
	my ($listener, $port) = @_;
	my $client = $listener->accept or return;
	my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or return;
	my ($one, $other) = map { { socket => $_, late => [] } } $client, $server;

	($one->{peer}, $other->{peer}) = ($other, $one);
	$ends{ $_->{socket} } = $_ for $one, $other;
	$select->add($client, $server);
}

sub read_from
{
	my ($end, $option) = @_;
	my $fate = rand();

	return if !$end;
	return leave($end) if !sysread($end->{socket}, my $bytes, 65536);
	return if $end->{dead};
	return reset_both($end) if ($fate -= $option->{reset}) < 0;
	return $end->{dead} = $end->{peer}{dead} = 1 if ($fate -= $option->{lost}) < 0;
	if (($fate -= $option->{cut}) < 0)
	{
		$bytes = substr($bytes, 0, 1 + int(rand(length($bytes) - 1)));
		$end->{dead} = $end->{peer}{dead} = 1;
	}
	push @{ $end->{late} }, [ time() + (($fate -= $option->{late}) < 0 && !$end->{dead} ? 0.1 * 2**int(rand(3)) : 0), $bytes ];
}

sub deliver
{
	my ($end) = @_;

	while (@{ $end->{late} } && $end->{late}[0][0] <= time())
	{
		syswrite($end->{peer}{socket}, (shift @{ $end->{late} })->[1]);
	}
}

sub leave
{
	my ($end) = @_;

	for my $one ($end, $end->{peer})
	{
		deliver($one);
		$select->remove($one->{socket});
		delete $ends{ $one->{socket} };
		close($one->{socket});
	}
}

sub reset_both
{
	my ($end) = @_;

	setsockopt($_->{socket}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) for $end, $end->{peer};
	leave($end);
}

$SIG{PIPE} = 'IGNORE';

1;
