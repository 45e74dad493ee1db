# The log of the test servers: one JSON object per line, appended with an
# unbuffered write, so that a line is in the file when the call returns, also
# if the process is killed right after.
#
# Lines are put together by hand, because the JSON module in core Perl would
# take most of the time of a request.

package JsonLog;

use strict;
use warnings;

use Errno qw(EINTR);
use Exporter qw(import);

our @EXPORT = qw(open_log log_line read_log json_text json_hash is_utf8);

my ($file, $handle);

sub open_log
{
	($file) = @_;

	open $handle, '>>:raw', $file or die "$0: cannot open log \"$file\": $!\n";
}

sub log_line
{
	my ($line) = @_;

	$line .= "\n";
	while (length $line)
	{
		my $written = syswrite $handle, $line;
		if (defined $written) { substr $line, 0, $written, '' }
		elsif ($! != EINTR)   { die "$0: cannot write log \"$file\": $!\n" }
	}
}

sub read_log
{
	open my $reader, '<:raw', $file or return '';
	local $/;
	return <$reader> // '';
}

# Bytes as a JSON string.  UTF-8 stays the text it is; in anything else each
# byte becomes the character of the same number.
sub json_text
{
	my ($bytes) = @_;

	return 'null' if !defined $bytes;
	return qq("$bytes") if $bytes !~ /[^\x20\x21\x23-\x5b\x5d-\x7e]/;
	my $is_text = is_utf8($bytes);
	$bytes =~ s/(["\\])/\\$1/g;
	$bytes =~ s/([\x00-\x1f\x7f])/sprintf '\u%04x', ord $1/ge;
	$bytes =~ s/([\x80-\xff])/sprintf '\u%04x', ord $1/ge if !$is_text;
	return qq("$bytes");
}

# Values are bytes or lists of bytes.
sub json_hash
{
	my ($hash) = @_;

	return '{' . join(',', map { json_text($_) . ':' . json_value($hash->{$_}) } sort keys %$hash) . '}';
}

sub json_value
{
	my ($value) = @_;

	return ref $value ? '[' . join(',', map { json_text($_) } @$value) . ']' : json_text($value);
}

sub is_utf8
{
	my ($copy) = @_;

	return $copy !~ /[\x80-\xff]/ || utf8::decode($copy);
}

1;
