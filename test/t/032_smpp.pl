# Kannel against an SMPP server that is not ours: npm's package "smpp". npm installs it for this test, into a folder that
# is removed afterwards.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use SmsflowKannel;
use SmsflowTest;
use Test::More;

skip_without_kannel();
my $folder = npm_packages('smpp@0.5');
plan skip_all => 'npm is not installed (Debian: apt-get install npm), or does not get its package "smpp"'
  if !$folder;
$ENV{SMPP_MODULES} = "$folder/node_modules";

start_way('smpp');
test_texts();
test_reports();
test_stop();
check_is_clean();
done_testing();
