# A running smsflowd: writes its configuration, starts and stops it, and asks it over HTTP.

package SmsflowDaemon;

use strict;
use warnings;

use Cwd qw(abs_path);
use HTTP::Tiny;
use POSIX qw(:sys_wait_h);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);

# Before any test changes the folder.
my $program = abs_path($ENV{SMSFLOWD} || './smsflowd');

# Settings are those of its configuration; database has to be there. A port that is known before may be named.
sub start
{
	my ($class, %setting) = @_;
	my $folder = PostgreSQL::Test::Utils::tempdir();
	my $port = delete $setting{port} // PostgreSQL::Test::Cluster::get_free_port();
	my $self = bless { folder => $folder, url => "http://127.0.0.1:$port" }, $class;

	mkdir("$folder/spool") or die $!;
	open(my $file, '>', "$folder/smsflowd.conf") or die $!;
	%setting = (listen => "127.0.0.1:$port", spool_dir => "$folder/spool", %setting);
	print $file "$_ = $setting{$_}\n" for sort keys %setting;
	close($file);
	$self->run;
	return $self;
}

# Once more, with the same configuration and spool.
sub run
{
	my ($self) = @_;

	$self->{pid} = fork() // die "fork: $!";
	if ($self->{pid} == 0)
	{
		open(STDERR, '>>', "$self->{folder}/log") or die $!;
		exec($program, '-c', "$self->{folder}/smsflowd.conf") or POSIX::_exit(127);
	}
	for (my $end = time() + 20; $self->request('GET', '/metrics')->{status} != 200; sleep(0.02))
	{
		die 'smsflowd does not start: ' . $self->log_text if time() > $end;
	}
}

# Until it takes callbacks into the database.
sub wait_for_database
{
	my ($self) = @_;

	for (my $end = time() + 30; $self->request('GET', '/healthz')->{status} != 200; sleep(0.02))
	{
		die 'smsflowd has no database: ' . $self->log_text if time() > $end;
	}
}

# Sends a signal and waits for the end; its exit code, or a word if a signal ended it.
sub stop
{
	my ($self, $signal) = @_;
	my $pid = delete $self->{pid} // return;

	kill($signal // 'TERM', $pid);
	waitpid($pid, 0);
	return WIFEXITED($?) ? WEXITSTATUS($?) : 'killed';
}

sub DESTROY
{
	my ($self) = @_;

	local $?;
	$self->stop('KILL');
}

# Redirects are not followed.
sub request
{
	my ($self, $method, $path, $headers, $content) = @_;

	return HTTP::Tiny->new(keep_alive => 0, timeout => 20, max_redirect => 0)
		->request($method, "$self->{url}$path", { headers => $headers // {}, defined $content ? (content => $content) : () });
}

sub metric
{
	my ($self, $name) = @_;

	return $self->request('GET', '/metrics')->{content} =~ /^\Q$name\E (\d+)$/m ? $1 : undef;
}

sub log_text { my ($self) = @_; return slurp_file("$self->{folder}/log"); }

1;
