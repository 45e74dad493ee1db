# A program beside the server that tests talk to over HTTP on the loopback: starts it in a folder of its own, and ends it.
# A subclass says what the program is and when it is ready.

package SmsflowProgram;

use strict;
use warnings;

use POSIX ();
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);

# launch(NAME, FOLDER, READY, COMMAND...): starts the command, whose output goes to FOLDER/out, and waits until READY says it answers.
sub launch
{
	my ($self, $name, $folder, $ready, @command) = @_;
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>', "$folder/out");
		open(STDERR, '>&', \*STDOUT);
		exec(@command) or POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	for (my $end = time() + 20; !$ready->(); sleep(0.02))
	{
		die "$name does not start: " . slurp_file("$folder/out") if time() > $end;
	}
	return $self;
}

sub stop
{
	my ($self) = @_;
	my $pid = delete $self->{pid} // return;
	my $status = $?;

	kill('TERM', $pid);
	waitpid($pid, 0);
	$? = $status;
}

sub DESTROY { $_[0]->stop }

sub url { return "http://127.0.0.1:$_[0]{port}" }

1;
