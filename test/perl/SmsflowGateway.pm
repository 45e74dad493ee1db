# A running test/gateway/gateway.pl: starts it, gives it rules, and reads its log, which is the ground truth of what
# was on the wire.  A log line of a request is a hash as in test/gateway/README.md; its message id and the number of
# the try are in the field "reference" that profile generic_json sends.

package SmsflowGateway;

use strict;
use warnings;
use parent 'SmsflowProgram';

use File::Basename qw(dirname);
use HTTP::Tiny;
use JSON::PP ();
use PostgreSQL::Test::Utils;

my $program = dirname(__FILE__) . '/../gateway/gateway.pl';
my $json = JSON::PP->new->utf8->canonical;

# Option: port, any free one without it.
sub start
{
	my ($class, %option) = @_;
	my $folder = PostgreSQL::Test::Utils::tempdir();
	my $self = bless { log_file => "$folder/log" }, $class;

	$self->launch('gateway.pl', $folder, sub { -s "$folder/port" },
		$^X, $program, '--port', $option{port} // 0, '--log', $self->{log_file}, '--port-file', "$folder/port");
	$self->{port} = 0 + slurp_file("$folder/port");
	return $self;
}

sub post
{
	my ($self, $path, $content) = @_;
	my $answer = HTTP::Tiny->new(timeout => 10)->post($self->url . $path, { content => $json->encode($content) });

	die "$path: $answer->{status} $answer->{content}" if !$answer->{success};
}

# The rules that hold from now on; the first that fits decides.
sub script { my ($self, @rules) = @_; $self->post('/__script', \@rules); }

# Delivery reports, see /__reports; without arguments there are none.
sub reports { my ($self, %how) = @_; $self->post('/__reports', %how ? \%how : { enabled => JSON::PP::false }); }

sub stats
{
	my ($self) = @_;

	return $json->decode(HTTP::Tiny->new(timeout => 10)->get($self->url . '/__stats')->{content});
}

# Every line of the log; what was read before is kept, so that a test may ask often.
sub log
{
	my ($self) = @_;

	open(my $file, '<:raw', $self->{log_file}) or die $!;
	seek($file, $self->{offset} // 0, 0);
	while (my $line = <$file>)
	{
		last if $line !~ /\n\z/;
		push @{ $self->{lines} }, read_line($line);
		$self->{offset} = tell($file);
	}
	return @{ $self->{lines} // [] };
}

# A request has message_id, attempt, text and callback_url besides what the log says.
sub read_line
{
	my ($line) = $json->decode($_[0]);

	if (defined $line->{n})
	{
		my $fields = fields_of($line->{body});

		@$line{qw(message_id attempt)} = ($fields->{reference} // '') =~ /^(\d+)\.(\d+)$/;
		@$line{qw(text callback_url)} = @$fields{qw(text callback_url)};
	}
	return $line;
}

# Requests in order
sub requests { my ($self) = @_; return grep { defined $_->{n} } $self->log; }

# The JSON object of a body, empty for any other body.
sub fields_of
{
	my ($body) = @_;

	utf8::encode($body);
	my $fields = eval { $json->decode($body) };
	return ref $fields eq 'HASH' ? $fields : {};
}

# message id => its requests
sub by_message
{
	my ($self) = @_;
	my %found;

	push @{ $found{ $_->{message_id} } }, $_ for grep { defined $_->{message_id} } $self->requests;
	return \%found;
}

sub count_for { my ($self, $id) = @_; return scalar @{ $self->by_message->{$id} // [] }; }

1;
