# A running test/bench/sink.c: a gateway stand-in fast enough for campaigns. Its log has the instant at which the kernel
# got the first byte of each request, so that a busy machine does not make a request look later than it was.

package SmsflowSink;

use strict;
use warnings;
use parent 'SmsflowProgram';

use File::Basename qw(dirname);
use HTTP::Tiny;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

my $source = dirname(__FILE__) . '/../bench/sink.c';

# Takes further options of sink.c; the field "to" of a request is what the log knows it by.
sub start
{
	my ($class, @options) = @_;
	my $folder = PostgreSQL::Test::Utils::tempdir();
	my $self = bless { log_file => "$folder/log", port => PostgreSQL::Test::Cluster::get_free_port() }, $class;

	system($ENV{CC} // 'cc', '-O2', '-pthread', '-o', "$folder/sink", $source) == 0 or die 'sink.c does not compile';
	return $self->launch('sink', $folder, sub { $self->stats }, "$folder/sink", '-p', $self->{port}, '-k', 'to', '-L', $self->{log_file}, @options);
}

# The counters as text, empty when it does not answer. What was logged before is in the file then.
sub stats
{
	my ($self) = @_;
	my $answer = HTTP::Tiny->new(timeout => 10)->get($self->url . '/__stats');

	return $answer->{success} ? $answer->{content} : '';
}

# number => instants of its requests, in microseconds since 1970
sub begin_instants
{
	my ($self) = @_;
	my %found;

	$self->stats;
	open(my $file, '<:raw', $self->{log_file}) or die $!;
	while (<$file>)
	{
		my ($number, $at) = split(/ /);

		push @{ $found{$number} }, $at;
	}
	return \%found;
}

1;
