#!/usr/bin/perl
#
# Whether an archive is what PGXN takes: META.json has what its specification asks for, and all files that it names are
# there. Argument: the zip file.  https://pgxn.org/spec/

use strict;
use warnings;

use JSON::PP ();

my ($archive) = @ARGV;
my ($top) = $archive =~ /([^\/]+)\.zip$/ or die "usage: dist.pl name-version.zip\n";
my @files = map { s/^.*?\Q$top\E\///r } grep { /\Q$top\E\// } `unzip -Z1 '$archive'`;
my $meta = JSON::PP->new->utf8->decode(scalar `unzip -p '$archive' '$top/META.json'`);
my @problems;

chomp(@files);
push(@problems, "\"$_\" is missing") for grep { !$meta->{$_} } qw(name version abstract maintainer license provides meta-spec);
push(@problems, 'the version is no semantic one') if ($meta->{version} // '') !~ /^\d+\.\d+\.\d+$/;
push(@problems, "the archive is not named as META.json says") if $top ne "$meta->{name}-$meta->{version}";
push(@problems, "the licence is none of PGXN's names") if ($meta->{license} // '') ne 'postgresql';
push(@problems, 'meta-spec is not 1.0.x') if ($meta->{'meta-spec'}{version} // '') !~ /^1\.0\.\d+$/;
push(@problems, "a tag has a slash or is too long") if grep { /[\/\\]/ || length > 255 } @{ $meta->{tags} };
for my $extension (values %{ $meta->{provides} })
{
	push(@problems, 'an extension has no version') if ($extension->{version} // '') !~ /^\d+\.\d+\.\d+$/;
	for my $file (@$extension{qw(file docfile)})
	{
		push(@problems, "$file is not in the archive") if !grep { $_ eq $file } @files;
	}
}
print map { "$_\n" } @problems;
exit(@problems ? 1 : 0);
