# A headless Chromium, driven through its DevTools protocol over two pipes, so that Debian's package chromium is all it
# needs. It keeps what a page asked for and complained of.

package SmsflowBrowser;

use strict;
use warnings;

use Fcntl qw(F_DUPFD);
use JSON::PP ();
use MIME::Base64 qw(decode_base64);
use POSIX qw(:sys_wait_h);
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);

my %keys = (Tab => { code => 'Tab', windowsVirtualKeyCode => 9 }, Enter => { code => 'Enter', windowsVirtualKeyCode => 13, text => "\r" });

sub is_here { return system('command -v chromium >/dev/null') == 0; }

sub start
{
	my ($class) = @_;
	my $folder = PostgreSQL::Test::Utils::tempdir();

	pipe(my $commands, my $to) or die $!;
	pipe(my $from, my $answers) or die $!;
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		# The protocol is read from 3 and written to 4.
		my @ends = (fcntl($commands, F_DUPFD, 10), fcntl($answers, F_DUPFD, 10));
		POSIX::dup2($ends[$_], 3 + $_) for 0, 1;
		open(STDOUT, '>', "$folder/log");
		open(STDERR, '>&', \*STDOUT);
		$ENV{HOME} = $folder;
		exec('chromium', '--headless', '--remote-debugging-pipe', "--user-data-dir=$folder/profile", '--no-sandbox', '--disable-gpu', '--disable-quic',
			'--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', 'about:blank')
			or POSIX::_exit(127);
	}
	my $self = bless { pid => $pid, to => $to, from => $from, folder => $folder, last => 0, buffer => '', events => [] }, $class;

	$to->autoflush(1);
	my $target = $self->call('Target.createTarget', { url => 'about:blank' })->{targetId};
	$self->{session} = $self->call('Target.attachToTarget', { targetId => $target, flatten => JSON::PP::true })->{sessionId};
	$self->call("$_.enable") for qw(Page Network Log Runtime);
	return $self;
}

# The next message of the browser; dies when none comes in time.
sub receive
{
	my ($self, $end) = @_;

	while ($self->{buffer} !~ /\0/)
	{
		my $ready = '';

		vec($ready, fileno($self->{from}), 1) = 1;
		my $left = $end - time();
		die 'the browser does not answer: ' . slurp_file("$self->{folder}/log") if $left <= 0;
		next if select($ready, undef, undef, $left) <= 0;
		sysread($self->{from}, $self->{buffer}, 65536, length($self->{buffer})) or die 'the browser ended: ' . slurp_file("$self->{folder}/log");
	}
	$self->{buffer} =~ s/^([^\0]*)\0//;
	return JSON::PP->new->utf8->decode($1);
}

# Calls a method of the protocol and returns its result.
sub call
{
	my ($self, $method, $params) = @_;
	my %message = (id => ++$self->{last}, method => $method, params => $params // {}, $self->{session} ? (sessionId => $self->{session}) : ());

	print { $self->{to} } JSON::PP->new->utf8->encode(\%message) . "\0";
	for (my $end = time() + 60;;)
	{
		my $answer = $self->receive($end);

		if (!defined $answer->{id}) { push(@{ $self->{events} }, $answer); }
		elsif ($answer->{id} == $message{id}) { return $answer->{result} // die "$method: $answer->{error}{message}"; }
	}
}

# Opens a page and waits until all of it is there; events are those since then.
sub open_page
{
	my ($self, $url) = @_;
	my $end = time() + 60;

	$self->{events} = [];
	$self->call('Page.navigate', { url => $url });
	push(@{ $self->{events} }, $self->receive($end)) until grep { $_->{method} eq 'Page.loadEventFired' } @{ $self->{events} };
}

# What the page asked for, and what went wrong in it, as texts.
sub requests { my ($self) = @_; return map { $_->{params}{request}{url} } grep { $_->{method} eq 'Network.requestWillBeSent' } @{ $self->{events} }; }

sub complaints
{
	my ($self) = @_;

	return map { JSON::PP->new->canonical->encode($_->{params}) } grep { $_->{method} =~ /^(Log\.entryAdded|Runtime\.(consoleAPICalled|exceptionThrown)|Network\.loadingFailed)$/ } @{ $self->{events} };
}

# The value of an expression in the page.
sub evaluate
{
	my ($self, $expression) = @_;
	my $answer = $self->call('Runtime.evaluate', { expression => $expression, returnByValue => JSON::PP::true });

	die "$expression: $answer->{exceptionDetails}{exception}{description}" if $answer->{exceptionDetails};
	return $answer->{result}{value};
}

sub press
{
	my ($self, $key) = @_;

	$self->call('Input.dispatchKeyEvent', { type => $_, key => $key, %{ $keys{$key} } }) for qw(keyDown keyUp);
}

# Shows the page so wide (pixels), in the colours light or dark.
sub show_as
{
	my ($self, $width, $colours) = @_;

	$self->call('Emulation.setDeviceMetricsOverride', { width => $width, height => 900, deviceScaleFactor => 1, mobile => JSON::PP::false });
	$self->call('Emulation.setEmulatedMedia', { features => [ { name => 'prefers-color-scheme', value => $colours } ] });
}

# All of the page as a picture.
sub screenshot
{
	my ($self, $file) = @_;

	open(my $out, '>:raw', $file) or die "$file: $!";
	print $out decode_base64($self->call('Page.captureScreenshot', { captureBeyondViewport => JSON::PP::true })->{data});
	close($out);
}

# What a screen reader is told, one "role: name" for each part.
sub read_aloud
{
	my ($self) = @_;

	return map { "$_->{role}{value}: " . ($_->{name}{value} // '') } grep { !$_->{ignored} } @{ $self->call('Accessibility.getFullAXTree')->{nodes} };
}

sub stop
{
	my ($self) = @_;
	my $pid = delete $self->{pid} // return;

	eval { $self->call('Browser.close') };
	for (my $end = time() + 10; waitpid($pid, WNOHANG) == 0; sleep(0.02))
	{
		kill('KILL', $pid) if time() > $end;
	}
}

sub DESTROY
{
	my ($self) = @_;

	local ($?, $@);
	$self->stop;
}

1;
