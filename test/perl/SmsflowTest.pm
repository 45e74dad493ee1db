# What the tests of the worker share: a server with smsflow preloaded and a database "shop", gateways that are
# test/gateway/gateway.pl, and waiting with a bound.  A test never sleeps for an effect: it waits until the effect is
# there, and fails when it does not come.

package SmsflowTest;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowGateway;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(start_server create_extension create_shop sql error_of wait_until wait_sql worker_pid wait_for_worker kill_worker add_route write_secret
	send_sms status_of wait_status wait_settled quickly phone check_is_clean npm_packages
	listen_on_tcp);

our $node;
our $secrets;

# Starts a server with an empty database "shop" and the worker's settings; $node is the server from then on.
# Other settings come last, and options of init() in a hash reference before them; install_path there is another server's.
sub start_server
{
	my ($name, $init, %settings) = @_;

	# Before version 16 the folder is relative to that of the test, and the server has another.
	$secrets = abs_path(PostgreSQL::Test::Utils::tempdir());
	$node = PostgreSQL::Test::Cluster->new($name, map { exists $init->{$_} ? ($_ => delete $init->{$_}) : () } 'install_path');
	$node->init(%$init, extra => [ '-E', 'UTF8', '--no-locale' ]);
	$node->append_conf('postgresql.conf', "log_statement = none\n");
	$node->start;
	$node->safe_psql('postgres', 'CREATE DATABASE shop');
	%settings = (
		'shared_preload_libraries' => 'smsflow',
		'smsflow.databases' => 'shop',
		'smsflow.allow_insecure_gateway' => 'on',
		'smsflow.secrets_dir' => $secrets,
		'smsflow.sweep_interval' => '1s',
		%settings);
	$node->append_conf('postgresql.conf', join('', map { "$_ = '$settings{$_}'\n" } sort keys %settings));
	$node->restart;
	return $node;
}

# The extension, but tests of other things write at any hour of the day, and as often as they like.
sub create_extension
{
	my ($version) = @_;

	sql('CREATE EXTENSION smsflow' . ($version ? " VERSION '$version'" : ''));
	sql("SELECT smsflow.suspend_rule(kind) FROM unnest('{window,cap,subject_cap}'::text[]) kind");
}

# The extension, armed, and contacts 1 to $contacts (see phone()) that agreed to everything.
sub create_shop
{
	my ($contacts) = @_;

	create_extension();
	sql("SELECT count(smsflow.subscribe('+1415555' || to_char(n, 'FM0000'),
			'{transactional,conversational,cart,promotional}', level => 'confirmed', disclosure => 'Offers and shopping cart reminders by text')) FROM generate_series(1, $contacts) n");
	sql('SELECT smsflow.arm()');
	wait_for_worker('running');
}

sub phone { my ($number) = @_; return sprintf('+1415555%04d', $number); }

sub sql { my ($query, @options) = @_; return $node->safe_psql('shop', $query, @options); }

# SQLSTATE of a statement that fails
sub error_of
{
	my ($query) = @_;
	my ($out, $error);

	$node->psql('shop', "\\set VERBOSITY sqlstate\n$query", stdout => \$out, stderr => \$error);
	return $error =~ /ERROR:\s+(\w+)/ ? $1 : 'none';
}

# Waits until the condition is true; true when it became so within the bound, 30 seconds by default.
sub wait_until
{
	my ($what, $condition, $seconds) = @_;
	my $end = time() + ($seconds // 30);

	while (1)
	{
		return 1 if $condition->();
		last if time() > $end;
		sleep(0.02);
	}
	diag("gave up waiting until $what");
	return 0;
}

# Waits until a query that may fail meanwhile gives this text ('t' by default).
sub wait_sql
{
	my ($what, $query, $expected, $seconds) = @_;
	my ($result, $error) = ('', '');
	my $done = wait_until($what, sub {
		# A server that goes away may take psql along before it has read the query.
		($result, $error) = ('', '');
		eval { $node->psql('shop', $query, stdout => \$result, stderr => \$error); 1 } or $error = $@;
		return $result eq ($expected // 't');
	}, $seconds);

	diag("it is \"$result\" $error") if !$done;
	return $done;
}

# 0 when there is no worker connected to the database
sub worker_pid
{
	return 0 + $node->safe_psql('postgres', "SELECT coalesce(max(pid), 0) FROM pg_stat_activity
		WHERE backend_type = 'smsflow worker' AND datname = 'shop'");
}

# Waits until the worker, or each of several, says that it is in this state.
sub wait_for_worker
{
	my ($state) = @_;

	return wait_sql("the worker is $state", "SELECT bool_and(pid IS NOT NULL AND state = '$state') FROM smsflow.stat_worker");
}

# Ends the worker as an out-of-memory killer would; the postmaster then restarts the whole server.
sub kill_worker
{
	my $pid = worker_pid();

	kill('KILL', $pid);
	ok(wait_until('another worker is there', sub { my $now = eval { worker_pid() }; $now && $now != $pid }),
		'the worker was killed, and is there again');
	wait_for_worker('running');
}

# Replaced by renaming, so that the worker never reads half of it.
sub write_secret
{
	my ($name, $text) = @_;
	my $mask = umask(0077);

	open(my $file, '>', "$secrets/.new") or die $!;
	print $file "$text\n";
	close($file);
	rename("$secrets/.new", "$secrets/$name") or die $!;
	umask($mask);
}

# A gateway of this name with one sender, which is the only one of a pool of the same name. The gateway is called under
# the path /<name>. Options: profile, url, gateway and sender (their options, JSON), secret, rate, burst.
sub add_route
{
	my ($name, $server, %option) = @_;
	my $url = $option{url} // $server->url;
	my $address = sprintf('+1415777%04d', 1 + sql('SELECT count(*) FROM smsflow.sender'));

	write_secret($name, $option{secret} // "secret of $name");
	sql(sprintf(q{SELECT smsflow.add_gateway('%s', '%s', '%s/%s', '%s');
			SELECT smsflow.add_sender('%s', '%s', rate => %s, burst => %d, pool => '%s', options => '%s')},
		$name, $option{profile} // 'generic_json', $url, $name, $option{gateway} // '{}',
		$address, $name, $option{rate} // 500, $option{burst} // 100, $option{pool} // $name, $option{sender} // '{}'));
	return $address;
}

# Sends one message to contact 1 and returns its id. Options are further arguments of smsflow.send() as SQL.
sub send_sms
{
	my ($pool, $body, $purpose, %option) = @_;
	my $to = delete $option{to} // phone(1);
	my $more = join('', map { ", $_ => $option{$_}" } sort keys %option);

	return sql("SELECT smsflow.send('$to', \$body\$$body\$body\$, '$purpose', pool => '$pool'$more)");
}

sub status_of { my ($id) = @_; return sql("SELECT status FROM smsflow.message WHERE message_id = $id"); }

sub wait_status
{
	my ($id, $status, $what) = @_;

	ok(wait_sql("message $id is $status", "SELECT status FROM smsflow.message WHERE message_id = $id", $status), $what);
}

# Waits until no message waits or is on its way.
sub wait_settled
{
	my ($seconds) = @_;

	return wait_sql('no message waits', "SELECT count(*) FROM smsflow.message
		WHERE status IN ('scheduled', 'queued', 'held', 'sending') OR reason = 'resend'", '0', $seconds);
}

# Runs the step and tests that it took less than so many seconds.
sub quickly
{
	my ($seconds, $what, $step) = @_;
	my $begin = time();

	$step->();
	cmp_ok(time() - $begin, '<', $seconds, $what);
}

# Installs packages of npm, and returns the folder that then has node_modules; nothing where npm or its registry is not here.
sub npm_packages
{
	my (@packages) = @_;
	my $folder = PostgreSQL::Test::Utils::tempdir();
	my $failed = system("HOME='$folder' timeout 120 npm install --silent --no-audit --no-fund --prefix '$folder' @packages >'$folder/npm.log' 2>&1");

	return $failed ? undef : $folder;
}

# Lets a role connect without a password by TCP, as clients have to that know no sockets; returns the port.
sub listen_on_tcp
{
	my ($role) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();

	$node->append_conf('postgresql.conf', "listen_addresses = '127.0.0.1'\nport = $port\n");
	$node->append_conf('pg_hba.conf', "host shop $role 127.0.0.1/32 trust\n");
	$node->stop;
	$node->{_port} = $port;
	$node->start;
	return $port;
}

# Every invariant that the extension can check holds. Counters follow within a second.
sub check_is_clean
{
	ok(wait_sql('no invariant is violated', 'SELECT count(*) FROM smsflow.check() WHERE violations > 0', '0', 15),
		'check() finds nothing')
		or diag(sql('SELECT * FROM smsflow.check() WHERE violations > 0'));
}

1;
