# The machine that a server runs on, as far as a test may set its clock or fill its disk: test/fixtures/machine.c,
# preloaded. Only servers started by run() have it; the gateways of a test have the real clock.

package SmsflowMachine;

use strict;
use warnings;

use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;

my $source = dirname(__FILE__) . '/../fixtures/machine.c';

sub new
{
	my ($class) = @_;
	my $folder = PostgreSQL::Test::Utils::tempdir();
	my $self = bless { library => "$folder/machine.so", state => "$folder/machine", shift => 0, full => 0 }, $class;

	system($ENV{CC} // 'cc', '-O2', '-shared', '-fPIC', '-o', $self->{library}, $source, '-ldl') == 0 or die 'machine.c does not compile';
	append_to_file($self->{state}, pack('q<2', 0, 0));
	return $self;
}

# Runs a step that starts a server.
sub run
{
	my ($self, $step) = @_;
	local $ENV{LD_PRELOAD} = $self->{library};
	local $ENV{SMSFLOW_MACHINE} = $self->{state};

	return $step->();
}

sub change
{
	my ($self, %now) = @_;

	@$self{ keys %now } = values %now;
	open(my $file, '+<:raw', $self->{state}) or die $!;
	syswrite($file, pack('q<2', $self->{shift} * 1_000_000, $self->{full})) == 16 or die $!;
	close($file);
}

# The server's clock is so many seconds ahead of the real one.
sub set_clock { my ($self, $seconds) = @_; $self->change(shift => $seconds); }

sub fill_disk { my ($self) = @_; $self->change(full => 1); }

sub free_disk { my ($self) = @_; $self->change(full => 0); }

1;
