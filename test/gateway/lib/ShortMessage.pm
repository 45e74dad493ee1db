# The text of a short message as octets: GSM 03.38 default alphabet (one septet
# per octet, as SMPP carries it), UCS-2 and the concatenation header.
#
# The alphabet is 3GPP TS 23.038 section 6.2.1, with its extension table; the
# concatenation elements are 3GPP TS 23.040 sections 9.2.3.24.1 and .8.

package ShortMessage;

use strict;
use warnings;
use utf8;

use Encode qw(decode encode);
use Exporter qw(import);

our @EXPORT = qw(decode_text encode_text take_header);

use constant { CODING_GSM => 0, CODING_LATIN1 => 3, CODING_UCS2 => 8, ESCAPE => 0x1b };

my @BASIC = split //,
	"\@£\$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x{1b}ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
	. "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
my %EXTENSION = (0x0a => "\f", 0x14 => '^', 0x28 => '{', 0x29 => '}', 0x2f => '\\', 0x3c => '[', 0x3d => '~',
	0x3e => ']', 0x40 => '|', 0x65 => '€');

my %octets_of = (
	(map { $EXTENSION{$_} => chr(ESCAPE) . chr $_ } keys %EXTENSION),
	(map { $BASIC[$_] => chr $_ } grep { $_ != ESCAPE } 0 .. $#BASIC));

# Octets to UTF-8 bytes; nothing for data codings that are not text.
sub decode_text
{
	my ($coding, $octets) = @_;

	return encode('UTF-8', decode_gsm($octets)) if $coding == CODING_GSM;
	return encode('UTF-8', decode('ISO-8859-1', $octets)) if $coding == CODING_LATIN1;
	return encode('UTF-8', decode('UTF-16BE', $octets)) if $coding == CODING_UCS2;
	return;
}

# An octet outside the alphabet shows as U+FFFD, so that a test sees it.
sub decode_gsm
{
	my ($octets) = @_;
	my $text = '';

	while ($octets =~ /\G(?:\x1b(.)|(.))/gs)
	{
		$text .= defined $1 ? $EXTENSION{ ord $1 } // "\x{fffd}" : $BASIC[ ord $2 ] // "\x{fffd}";
	}
	return $text;
}

# UTF-8 bytes to (data coding, parts): one part when it fits 160 septets or 140
# octets, else parts of 153 or 134 that each begin with a concatenation header.
sub encode_text
{
	my ($bytes, $reference) = @_;
	my @characters = split //, decode('UTF-8', $bytes);
	my $is_gsm = !grep { !defined $octets_of{$_} } @characters;
	my @units = map { $is_gsm ? $octets_of{$_} : encode('UTF-16BE', $_) } @characters;
	my ($whole, $part) = $is_gsm ? (160, 153) : (140, 134);
	my $coding = $is_gsm ? CODING_GSM : CODING_UCS2;

	return ($coding, join '', @units) if length join('', @units) <= $whole;
	my @parts = ('');
	for my $unit (@units)
	{
		push @parts, '' if length($parts[-1]) + length $unit > $part;
		$parts[-1] .= $unit;
	}
	return ($coding, map { pack('C6', 5, 0, 3, $reference & 255, scalar @parts, $_ + 1) . $parts[$_] } 0 .. $#parts);
}

# Takes the user data header off the octets; returns it, and the concatenation
# it describes as (reference, total, number) when there is one.
sub take_header
{
	my ($octets) = @_;
	my $header = substr $$octets, 0, 1 + ord $$octets, '';
	my $elements = substr $header, 1;

	while (length $elements >= 2)
	{
		my ($kind, $size) = unpack 'CC', $elements;
		my $value = substr $elements, 2, $size;
		substr $elements, 0, 2 + $size, '';
		return ($header, unpack 'CCC', $value) if $kind == 0 && $size == 3;
		return ($header, unpack 'nCC', $value) if $kind == 8 && $size == 4;
	}
	return $header;
}

1;
