# A server in bad company, for tests of gateways that misbehave: its environment knows proxies and passwords that must
# not count and names that do not resolve (test/gateway/resolver.c); beside the bad gateway there is a healthy one, and
# whatever happens, the server stops within 5 seconds.

package SmsflowHostile;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use SmsflowGateway;
use SmsflowTest;
use Test::More;

our @EXPORT = qw(start_hostile column test_neighbour stop_quickly);

# What the tests keep their files in, and the gateway that always works: the route "healthy".
our $folder;
our $healthy;

sub start_hostile
{
	my ($name, %settings) = @_;

	$folder //= abs_path(PostgreSQL::Test::Utils::tempdir());
	system('cc', '-shared', '-fPIC', '-o', "$folder/resolver.so", dirname(__FILE__) . '/../gateway/resolver.c', '-ldl') == 0 or die 'cc';
	append_to_file("$folder/.netrc", "machine 127.0.0.1 login netrc password canary\n");
	chmod(0600, "$folder/.netrc");
	$healthy = SmsflowGateway->start;
	in_bad_company(sub { start_server($name, {}, %settings) });
	create_shop(3);
	add_route('healthy', $healthy);
}

sub in_bad_company
{
	my ($step) = @_;
	local %ENV = (%ENV, HOME => $folder, LD_PRELOAD => "$folder/resolver.so",
		map { $_ => 'http://127.0.0.1:1' } qw(http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY));

	$step->();
}

sub column { my ($name, $id) = @_; return sql("SELECT $name FROM smsflow.message WHERE message_id = $id"); }

sub test_neighbour
{
	my $id = send_sms('healthy', 'at the side', 'transactional');

	ok(wait_sql('the neighbour is sent', "SELECT status = 'accepted' FROM smsflow.message WHERE message_id = $id", 't', 5),
		'... a healthy gateway goes on at the side');
}

sub stop_quickly
{
	my ($what) = @_;

	quickly(5, "... pg_ctl stop -m fast meanwhile: $what", sub { $SmsflowTest::node->stop('fast') });
	in_bad_company(sub { $SmsflowTest::node->start });
	wait_for_worker('running');
}

1;
