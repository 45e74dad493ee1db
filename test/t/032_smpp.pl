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

my $folder = PostgreSQL::Test::Utils::tempdir();

skip_without_kannel();
plan skip_all => 'npm is not installed (Debian: apt-get install npm), or does not get its package "smpp"'
  if system("HOME='$folder' timeout 120 npm install --silent --no-audit --no-fund --prefix '$folder' smpp\@0.5 >/dev/null 2>&1") != 0;
$ENV{SMPP_MODULES} = "$folder/node_modules";

start_way('smpp');
test_texts();
test_reports();
test_stop();
check_is_clean();
done_testing();
