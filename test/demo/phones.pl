#!/usr/bin/perl
#
# Reads the log of smsc.pl, which is the network's own record of what was
# handed to phones and of what it reported about them.
#
#   phones.pl new LOG START SEEN NAMES   shows what came since the last call, up
#                                        to what the network has not reported on
#   phones.pl table LOG                  one line per message, as COPY reads it:
#                                        from, to, text, report; replies as well
#
# START is an instant in seconds since 1970, from which times are counted; SEEN
# is a file that keeps how many were shown; NAMES has a line
# "number<TAB>name" per customer.

use strict;
use warnings;

use JSON::PP ();
use Text::Wrap qw(wrap);

binmode STDOUT, ':encoding(UTF-8)';
my ($command, $log, @files) = @ARGV;
my $json = JSON::PP->new->utf8;

if ($command eq 'new') { show_new(@files) }
else                   { print_table() }

# Whole lines of the log.
sub read_events
{
	my @events;

	open my $handle, '<:raw', $log or die "cannot read $log: $!\n";
	while (my $line = <$handle>)
	{
		push @events, $json->decode($line) if $line =~ /\n\z/;
	}
	return @events;
}

sub slurp
{
	my ($file, $layer) = @_;

	open my $handle, "<$layer", $file or return '';
	local $/;
	return <$handle> // '';
}

# The report of a message is that of its first part: Kannel asks for no more.
sub report_of
{
	my ($message, @events) = @_;
	my ($receipt) = grep { $_->{event} eq 'receipt' && $_->{id} eq $message->{ids}[0] } @events;

	return $receipt ? $receipt->{stat} : 'none';
}

sub show_new
{
	my ($start, $seen, $names) = @_;
	my %name_of = map { split /\t/ } split /\n/, slurp($names, ':encoding(UTF-8)');
	my %verb_of = (DELIVRD => 'gets', UNDELIV => 'cannot be reached:');
	my @events = read_events();
	my @messages = grep { $_->{event} eq 'message' } @events;
	my $shown = slurp($seen, '') || 0;

	($Text::Wrap::columns, $Text::Wrap::unexpand) = (96, 0);
	for my $message (@messages[$shown .. $#messages])
	{
		my $verb = $verb_of{ report_of($message, @events) } or last;
		my $name = $name_of{ $message->{destination} } // $message->{destination};
		my $indent = sprintf '  %5.1f s      %s %s  ', $message->{at} - $start, $name, $verb;
		print wrap($indent, ' ' x length $indent, $message->{text}), "\n";
		$shown++;
	}
	open my $handle, '>', $seen or die "cannot write $seen: $!\n";
	print $handle $shown;
	close $handle or die "cannot write $seen: $!\n";
}

sub print_table
{
	my @events = read_events();

	for my $event (grep { $_->{event} =~ /^(?:message|reply)$/ } @events)
	{
		(my $text = $event->{text}) =~ s/([\\\t\n\r])/sprintf '\\x%02x', ord $1/ge;
		print join("\t", @$event{qw(source destination)}, $text,
			$event->{event} eq 'reply' ? 'reply' : report_of($event, @events)), "\n";
	}
}
