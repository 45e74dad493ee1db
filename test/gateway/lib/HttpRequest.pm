# Taking HTTP/1.x requests out of a stream of bytes, and the head of an answer.
#
# Only what the test gateway needs: bodies by Content-Length or in chunks, form
# decoding, and finding a field wherever senders of messages put it.

package HttpRequest;

use strict;
use warnings;

use Exporter qw(import);
use JSON::PP ();

our @EXPORT = qw(take_request unescape is_form field_of http_head);

use constant LONGEST_HEAD => 1 << 20;

my %REASON = (
	200 => 'OK', 201 => 'Created', 202 => 'Accepted', 204 => 'No Content', 302 => 'Found',
	400 => 'Bad Request', 401 => 'Unauthorized', 403 => 'Forbidden', 404 => 'Not Found',
	429 => 'Too Many Requests', 500 => 'Internal Server Error', 502 => 'Bad Gateway',
	503 => 'Service Unavailable');

my $json = JSON::PP->new->utf8->allow_nonref;

# Takes one complete request from the bytes in $client->{in}.  Returns nothing
# while bytes are missing, and dies when it is not HTTP.
sub take_request
{
	my ($client) = @_;
	my $head = $client->{head} //= take_head($client) // return;
	my $body = lc($head->{headers}{'transfer-encoding'} // '') eq 'chunked'
	  ? take_chunks($client)
	  : take_length($client, $head->{headers}{'content-length'} // 0);

	return if !defined $body;
	$client->{head} = undef;
	return { %$head, body => $body };
}

sub take_head
{
	my ($client) = @_;

	if ($client->{in} !~ /\r?\n\r?\n/)
	{
		die "the head is too long\n" if length $client->{in} > LONGEST_HEAD;
		return;
	}
	my ($first, @lines) = split /\r?\n/, substr $client->{in}, 0, $-[0];
	substr $client->{in}, 0, $+[0], '';

	my ($method, $target, $version) = ($first // '') =~ m{^(\S+) (\S+) HTTP/1\.([01])$} or die "no request line\n";
	my %headers;
	for (@lines)
	{
		my ($name, $value) = /^([^:\s]+):[ \t]*(.*?)[ \t]*$/ or die "not a header line\n";
		$name = lc $name;
		$headers{$name} = exists $headers{$name} ? "$headers{$name}, $value" : $value;
	}
	my ($path, $query) = split /\?/, $target, 2;
	my $connection = lc($headers{connection} // '');

	syswrite $client->{socket}, "HTTP/1.1 100 Continue\r\n\r\n" if lc($headers{expect} // '') eq '100-continue';
	return { method => $method, target => $target, path => $path, raw_query => $query // '',
		query => decode_form($query // ''), headers => \%headers,
		closes => $version ? $connection eq 'close' : $connection ne 'keep-alive' };
}

sub take_length
{
	my ($client, $length) = @_;

	return if length $client->{in} < $length;
	return substr $client->{in}, 0, $length, '';
}

sub take_chunks
{
	my ($client) = @_;
	my ($body, $at) = ('', 0);

	while (substr($client->{in}, $at) =~ /^([0-9a-fA-F]+)[^\n]*\n/)
	{
		my ($size, $start) = (hex $1, $at + $+[0]);
		$at = $start + $size + 2;
		return if length $client->{in} < $at;
		$body .= substr $client->{in}, $start, $size;
		next if $size;
		substr $client->{in}, 0, $at, '';
		return $body;
	}
	return;
}

# A name that comes more than once has a list of values.
sub decode_form
{
	my ($text) = @_;
	my %form;

	for my $pair (grep { length } split /&/, $text)
	{
		my ($name, $value) = map { unescape($_) } split /=/, $pair, 2;
		$value //= '';
		if (!exists $form{$name})  { $form{$name} = $value }
		elsif (ref $form{$name})   { push @{ $form{$name} }, $value }
		else                       { $form{$name} = [ $form{$name}, $value ] }
	}
	return \%form;
}

sub unescape
{
	my ($text) = @_;

	$text =~ tr/+/ /;
	$text =~ s/%([0-9a-fA-F]{2})/chr hex $1/ge;
	return $text;
}

sub is_form
{
	my ($request) = @_;

	return ($request->{headers}{'content-type'} // '') =~ m{^application/x-www-form-urlencoded}i;
}

# The value of a field in the query, the form or the JSON body, at any depth.
# The body is not parsed as a whole, which would be slow, and JSON is looked
# for under any content type, because curl calls it a form.
sub field_of
{
	my ($request, $name) = @_;
	my $value = $request->{query}{$name};

	if (!defined $value && is_form($request))
	{
		$value = ($request->{form} //= decode_form($request->{body}))->{$name};
	}
	if (!defined $value && $request->{body} =~ /"\Q$name\E"\s*:\s*("(?:[^"\\]|\\.)*"|-?[0-9.]+)/s)
	{
		$value = eval { $json->decode("$1") };
		utf8::encode($value) if defined $value;
	}
	return ref $value ? $value->[0] : $value;
}

sub http_head
{
	my ($status, $headers, $length, $closes) = @_;
	my $head = "HTTP/1.1 $status " . ($REASON{$status} // 'Scripted') . "\r\n";

	$head .= "$_: $headers->{$_}\r\n" for sort keys %$headers;
	$head .= "Connection: close\r\n" if $closes;
	utf8::encode($head);
	return $head . "Content-Length: $length\r\n\r\n";
}

1;
