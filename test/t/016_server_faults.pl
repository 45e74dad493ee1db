# The server around the worker is set up badly, or has no room left: what can be sent is sent, what cannot waits, and
# nothing is sent without a durable claim.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;
my $node = start_server('server', {}, 'restart_after_crash' => 'on');

create_shop(20);
add_route('main', $gateway);

sub enqueue
{
	my ($name) = @_;

	sql("SELECT count(smsflow.send('+1415555' || to_char(n, 'FM0000'), '$name ' || n, 'promotional', pool => 'main'))
		FROM generate_series(1, 20) n");
}

sub requests_of { my ($name) = @_; return scalar grep { ($_->{text} // '') =~ /^\Q$name\E / } $gateway->requests; }

sub restart_worker
{
	my $pid = worker_pid();

	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	wait_until('another worker is there', sub { my $now = worker_pid(); $now && $now != $pid });
	wait_for_worker('running');
}

# Each of these would break a worker that believed it.
sub test_settings
{
	my @settings = ('statement_timeout = 1', 'lock_timeout = 1', 'idle_in_transaction_session_timeout = 1',
		'default_transaction_read_only = on', "default_transaction_isolation = 'serializable'", 'default_transaction_deferrable = on',
		"search_path = 'pg_temp'", "DateStyle = 'SQL, DMY'", "IntervalStyle = 'sql_standard'", "TimeZone = 'Asia/Kathmandu'",
		"bytea_output = 'escape'", "session_replication_role = 'replica'", 'row_security = off', 'enable_indexscan = off',
		'enable_nestloop = off', "work_mem = '64kB'", 'synchronous_commit = off', 'check_function_bodies = off', "role = 'pg_monitor'");
	my $has_one_more = $node->safe_psql('postgres', "SELECT count(*) FROM pg_settings WHERE name = 'transaction_timeout'");
	my $role = $node->safe_psql('postgres', 'SELECT session_user');
	my $id;

	push @settings, 'transaction_timeout = 1' if $has_one_more;

	for my $setting (@settings)
	{
		$node->safe_psql('postgres', "ALTER DATABASE shop SET $setting; ALTER ROLE \"$role\" IN DATABASE shop SET $setting");
	}
	{
		# The tests' own sessions are not to suffer.
		local $ENV{PGOPTIONS} = join(' ', map { "-c $_" } 'statement_timeout=0', 'lock_timeout=0', 'default_transaction_read_only=off',
			'idle_in_transaction_session_timeout=0', 'session_replication_role=origin', 'enable_indexscan=on', 'enable_nestloop=on',
			'default_transaction_isolation=read\ committed', 'default_transaction_deferrable=off', 'DateStyle=ISO', 'role=none',
			$has_one_more ? 'transaction_timeout=0' : ());
		restart_worker();
		enqueue('hostile settings');
		ok(wait_settled(), 'a database and a role full of hostile settings');
		is(requests_of('hostile settings'), 20, '... everything is sent, once');
		sql("SELECT smsflow.create_sequence('thanks', 'order', '{\"pool\": \"main\", \"purpose\": \"transactional\"}');
			SELECT smsflow.add_step('thanks', '0', 'Thanks'); SELECT smsflow.enable_sequence('thanks');
			SELECT smsflow.record_event('" . phone(1) . "', 'order', 'order 1')");
		ok(wait_sql('the sequence has sent', "SELECT count(*) FROM smsflow.message WHERE sequence = 'thanks' AND status = 'accepted'", 1),
			'... and the chores go on');
		is(sql("SELECT pid IS NOT NULL AND state = 'running' FROM smsflow.stat_worker"), 't', '... the worker is content');
		$node->safe_psql('postgres', "ALTER DATABASE shop RESET ALL; ALTER ROLE \"$role\" IN DATABASE shop RESET ALL");
		restart_worker();
	}
}

# Says, as often as this from now on, that it has waited for a lock in vain.
sub gave_up_waiting
{
	my ($times) = @_;
	my $said = sub { return scalar(() = slurp_file($node->logfile) =~ /canceling statement due to lock timeout/g) };
	my $before = $said->();

	return wait_until("the worker gives up waiting $times times", sub { $said->() >= $before + $times }, 60);
}

# Somebody rewrites a table that only a chore needs: it is done later, and nothing else waits.
sub test_lock_of_chore
{
	my $locker = $node->background_psql('shop');

	$locker->query_safe('BEGIN; LOCK TABLE smsflow.enrollment');
	sql("SELECT smsflow.record_event('" . phone(3) . "', 'order', 'order 3')");
	ok(gave_up_waiting(2), 'a table is locked that takes what events begin');
	wait_status(send_sms('main', 'beside a lock', 'compliance'), 'accepted', '... what does not need it leaves');
	$locker->query_safe('COMMIT');
	$locker->quit;
	ok(wait_sql('the sequence has sent', "SELECT count(*) FROM smsflow.message WHERE sequence = 'thanks' AND status = 'accepted'", 2),
		'... the event counts when the lock is gone');
	is(sql('SELECT count(*) FROM smsflow.event_problem'), 0, '... and is no problem');
}

# How many memory contexts of this name the worker has, as it says itself.
sub contexts
{
	my ($name) = @_;
	my $before = -s $node->logfile;
	my $shown = sub { return substr(slurp_file($node->logfile), $before) };

	$node->safe_psql('shop', 'SELECT pg_log_backend_memory_contexts(' . worker_pid() . ')');
	wait_until('the worker shows its memory', sub { $shown->() =~ /Grand total/ });
	return scalar(() = $shown->() =~ /; \Q$name\E: /g);
}

# Claims that fail after messages were read: they are gone from memory, and read again.
sub test_failing_claims
{
	my $failures = sub { return scalar(() = slurp_file($node->logfile) =~ /relation "smsflow.revocation" does not exist/g) };

	sql('ALTER TABLE smsflow.revocation RENAME TO away');
	enqueue('failing claims');
	ok(wait_until('claims fail', sub { $failures->() >= 3 }), 'claims fail in the middle');
	cmp_ok(contexts('smsflow message'), '<=', 20, '... of what they read nothing stays in memory but that of the last one');
	sql('ALTER TABLE smsflow.away RENAME TO revocation');
	ok(wait_settled(), '... the messages leave when claims succeed');
	is(requests_of('failing claims'), 20, '... once');
}

# The worker fails as often as this from now on.
sub tried_again
{
	my ($times) = @_;

	for (1 .. $times)
	{
		my $last = sql('SELECT last_error_at FROM smsflow.stat_worker');

		wait_sql('there is another error', "SELECT last_error_at > '$last' FROM smsflow.stat_worker") or return 0;
	}
	return 1;
}

# Somebody changes a setting, and somebody else has locked what the worker reads then: it goes by what it knows.
sub test_lock
{
	my $locker = $node->background_psql('shop');
	my ($request, $token, $failures);

	$node->append_conf('postgresql.conf', "smsflow.public_url = 'http://127.0.0.1:1'\n");
	$node->reload;
	sql("SELECT smsflow.add_registration('C1', 'campaign', daily_limit => 10); SELECT smsflow.set_sender(address, 'main', registration => 'C1') FROM smsflow.sender");
	wait_status(send_sms('main', 'before the lock', 'transactional'), 'accepted', 'a registration allows ten messages a day');
	$locker->query_safe('BEGIN; LOCK TABLE smsflow.registration');
	sql("SELECT smsflow.note_config()");
	ok(gave_up_waiting(1), '... what it is is locked');
	like(sql("SELECT message FROM smsflow.health() WHERE component = 'worker'"), qr/lock timeout/, '... as health() says');
	enqueue('under a lock');
	ok(wait_until('some are sent', sub { requests_of('under a lock') >= 8 }), '... messages leave meanwhile');
	ok(tried_again(3), '... it tries again and again');
	is(contexts('smsflow configuration'), 1, '... no memory is used up by that');
	$locker->query_safe('COMMIT');
	$locker->quit;
	wait_status(send_sms('main', 'after the lock', 'compliance'), 'accepted', '... and afterwards');
	ok(wait_until('it says so', sub { slurp_file($node->logfile) =~ /could be read again/ }), '... the log says that it is over');
	$failures = () = slurp_file($node->logfile) =~ /canceling statement due to lock timeout/g;
	is($failures, 1, '... and, once, that it began');
	cmp_ok(requests_of('under a lock'), '<', 10, '... as many as are allowed');
	($request) = grep { ($_->{text} // '') =~ /^under a lock/ } $gateway->requests;
	($token) = $request->{callback_url} =~ m{(/callback/.*)$};
	is(sql(qq{SELECT status FROM smsflow.receive_callback('main', 'POST', '$token', '', '{"content-type": "application/json"}', '{"status": "delivered"}')}),
		200, '... with callback URLs of ours');
	sql("SELECT smsflow.set_registration('C1', daily_limit => 1000)");
	ok(wait_settled(), '... and the rest when more are allowed');
}

# A reading that fails between gateways and senders leaves what was known, as a whole.
sub test_half_read
{
	my $late;

	sql('ALTER FUNCTION smsflow.warm_up_limit(text, timestamptz, text, timestamptz) RENAME TO away');
	add_route('late', $gateway);
	ok(wait_until('settings are half read', sub { slurp_file($node->logfile) =~ /function smsflow.warm_up_limit.* does not exist/ }), 'settings are half read');
	enqueue('half read');
	ok(wait_until('they are sent', sub { requests_of('half read') == 20 }), '... messages leave by those that were known');
	ok((grep { ($_->{text} // '') =~ /^half read / && $_->{headers}{authorization} eq 'Bearer secret of main' } $gateway->requests) == 20, '... with their secret');
	$late = send_sms('late', 'half read late', 'compliance');
	ok(tried_again(2), '... it tries again');
	is($gateway->count_for($late), 0, '... nothing leaves by half of the new ones');
	sql('ALTER FUNCTION smsflow.away(text, timestamptz, text, timestamptz) RENAME TO warm_up_limit');
	wait_status($late, 'accepted', '... until all are read');
}

# No file of the worker may grow beyond 1 kB, as on a disk that is full. Without room for the log the server ends all sessions and recovers; the claim was not durable, so nothing has left.
sub test_log_full
{
	my $pid = worker_pid();

	sql('SELECT pg_switch_wal()');
	system('prlimit', "--pid=$pid", '--fsize=1024') == 0 or die 'prlimit';
	$node->psql('shop', "SELECT count(smsflow.send('+1415555' || to_char(n, 'FM0000'), 'log full ' || n, 'promotional', pool => 'main'))
		FROM generate_series(1, 20) n");
	ok(wait_until('another worker is there', sub { my $now = eval { worker_pid() }; $now && $now != $pid }), 'no room for the log');
	like(slurp_file($node->logfile), qr/terminated by signal 6/, '... ends every session, as PostgreSQL does');
	wait_for_worker('running');
	ok(wait_settled(60), '... then everything is sent');
	is(requests_of('log full'), 20, '... once');
	is(sql("SELECT count(*) FROM smsflow.message WHERE body LIKE 'log full %' AND status <> 'accepted'"), 0, '... and written down');
}

# Each listed database takes one of max_worker_processes; the first come first.
sub test_no_slot
{
	my $id;

	$node->append_conf('postgresql.conf', "smsflow.databases = 'shop, second'\nmax_worker_processes = 1\nmax_logical_replication_workers = 0\n");
	$node->safe_psql('postgres', 'CREATE DATABASE second');
	$node->restart;
	wait_for_worker('running');
	$id = send_sms('main', 'with a slot', 'transactional');
	wait_status($id, 'accepted', 'the database with a worker slot sends');
	$node->safe_psql('second', 'CREATE EXTENSION smsflow');
	like($node->safe_psql('second', "SELECT ok || ' ' || hint FROM smsflow.health() WHERE component = 'worker'"),
		qr/^false .*max_worker_processes/, '... the one without says what to do');
}

test_settings();
test_log_full();
test_failing_claims();
test_lock();
test_half_read();
test_lock_of_chore();
test_no_slot();
check_is_clean();
$node->stop;
done_testing();
