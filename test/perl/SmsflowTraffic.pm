# What a limit is measured by: requests as (sender, started, arrived, parts), in the order of their starts. The instant at
# which the limit was asked is not after the first instant, and the request was on the wire not before it and not after
# the second; both are seconds since 1970.

package SmsflowTraffic;

use strict;
use warnings;

use Exporter 'import';
use List::Util qw(max sum0);

our @EXPORT = qw(fullest_window use_of SLACK);

# Half a part for the clocks of two processes.
use constant SLACK => 0.5;

# The burst of the fullest window. Between the start of one request and the arrival of another lie all requests between
# them, so a window is not shorter than it was at the gateway.
sub fullest_window
{
	my ($rate, @requests) = @_;
	my ($passed, $lowest, $fullest) = (0, 0, 0);

	return 0 if !@requests;
	my $begin = $requests[0][1];
	for my $request (@requests)
	{
		my (undef, $started, $arrived, $parts) = @$request;

		$lowest = $passed - $rate * ($started - $begin) if $passed - $rate * ($started - $begin) < $lowest;
		$passed += $parts;
		$fullest = max($fullest, $passed - $rate * ($arrived - $begin) - $lowest);
	}
	return $fullest;
}

# Parts after the first request, and what its rate allowed until the last.
sub use_of
{
	my ($rate, @requests) = @_;

	return (0, 0) if @requests < 2;
	return (sum0(map { $_->[3] } @requests[ 1 .. $#requests ]), $rate * ($requests[-1][1] - $requests[0][1]));
}

1;
