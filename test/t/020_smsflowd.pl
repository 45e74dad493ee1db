# smsflowd, the HTTP receiver, against a real server and a stand-in for smsflow.receive_callbacks: what a gateway may
# rely on is that a 200 means "committed" or "on disk", whatever happens to the database, and that order is kept.

use strict;
use warnings;

use HTTP::Tiny;
use IO::Select;
use IO::Socket::INET;
use POSIX qw(:sys_wait_h);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

my $program = $ENV{SMSFLOWD} || './smsflowd';
my $folder = PostgreSQL::Test::Utils::tempdir();
my $lock = 4711;
my $daemon;
my $port;

# The stand-in waits while someone holds the lock, refuses a body "poison", and refuses "late poison", and with an SQLSTATE of its own
# "odd poison", only at commit.
# Every call leaves its row count in "call".
my $schema = <<'SQL';
CREATE SCHEMA smsflow;
CREATE TABLE received (id bigserial, gateway text, method text, path text, query text, headers jsonb,
	body bytea CHECK (body <> 'poison'));
CREATE TABLE call (id bigserial, rows int);
CREATE FUNCTION refuse_late() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN RAISE EXCEPTION 'refused at commit' USING ERRCODE = CASE NEW.body WHEN 'odd poison' THEN 'U0042' ELSE 'P0001' END; END$$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON received DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW WHEN (NEW.body IN ('late poison', 'odd poison')) EXECUTE FUNCTION refuse_late();
CREATE FUNCTION smsflow.receive_callbacks(gateways text[], methods text[], paths text[], queries text[],
	headers jsonb[], bodies bytea[])
RETURNS TABLE (ordinal int, status int, content_type text, body text) LANGUAGE sql AS $$
	SELECT pg_advisory_xact_lock_shared(4711);
	INSERT INTO call (rows) VALUES (cardinality(gateways));
	INSERT INTO received (gateway, method, path, query, headers, body)
		SELECT g, m, p, q, h, b FROM unnest(gateways, methods, paths, queries, headers, bodies)
			WITH ORDINALITY AS u(g, m, p, q, h, b, n) ORDER BY n;
	SELECT n::int, CASE WHEN g = 'teapot' THEN 418 ELSE 200 END, 'text/xml', '<r>' || g || '</r>'
		FROM unnest(gateways) WITH ORDINALITY AS u(g, n) ORDER BY n DESC
$$;
SQL

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "log_min_messages = fatal\n");
$node->start;
$node->safe_psql('postgres', $schema);

#
# Tools
#

sub wait_until
{
	my ($what, $condition) = @_;
	my $end = time() + 30;

	while (time() < $end)
	{
		return 1 if $condition->();
		sleep(0.02);
	}
	diag("gave up waiting until $what");
	return 0;
}

sub write_config
{
	my (%change) = @_;
	my %setting = (
		listen => "127.0.0.1:$port",
		database => $node->connstr('postgres'),
		spool_dir => "$folder/spool",
		%change);

	open(my $file, '>', "$folder/smsflowd.conf") or die $!;
	print $file "# written by the test\n\n";
	print $file "$_ = $setting{$_}\n" for sort keys %setting;
	close($file);
}

sub log_text { return -e "$folder/log" ? slurp_file("$folder/log") : ''; }

sub spawn
{
	my $pid = fork();

	die $! unless defined $pid;
	if ($pid == 0)
	{
		open(STDERR, '>>', "$folder/log") or die $!;
		exec($program, '-c', "$folder/smsflowd.conf") or POSIX::_exit(127);
	}
	return $pid;
}

sub healthy { return http()->get("http://127.0.0.1:$port/healthz")->{status} == 200; }

sub start_daemon
{
	$daemon = spawn();
	return wait_until('smsflowd listens', sub { http()->get("http://127.0.0.1:$port/healthz")->{status} != 599 });
}

# Waits for the end of the daemon and returns its exit code, or a word if it did not end by itself.
sub reap
{
	my $status;
	my $ended = wait_until('smsflowd ends',
		sub { my $got = waitpid($daemon, WNOHANG); $status = $?; return $got == $daemon; });

	kill('KILL', $daemon) unless $ended;
	$daemon = undef;
	return !$ended ? 'hangs' : WIFEXITED($status) ? WEXITSTATUS($status) : 'killed';
}

sub stop_daemon { kill('TERM', $daemon); return reap(); }

sub http { return HTTP::Tiny->new(keep_alive => 0, timeout => 20); }

sub post { my ($path, $body) = @_; return http()->post("http://127.0.0.1:$port$path", { content => $body }); }

sub post_status { return post(@_)->{status}; }

# Sends raw bytes and returns the socket without waiting for the answer.
sub send_raw
{
	my ($bytes) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 10) or die $@;

	$socket->syswrite($bytes);
	return $socket;
}

sub send_post
{
	my ($path, $body) = @_;

	return send_raw("POST $path HTTP/1.1\r\nHost: x\r\nContent-Length: " . length($body)
		. "\r\nConnection: close\r\n\r\n$body");
}

sub is_answered { my ($socket) = @_; return scalar IO::Select->new($socket)->can_read(0); }

# Everything that comes until the connection ends.
sub text_of
{
	my ($socket) = @_;
	my $text = '';

	while (IO::Select->new($socket)->can_read(20))
	{
		last unless $socket->sysread($text, 65536, length($text));
	}
	return $text;
}

# The status of the answer, or 0 if the connection ends without one.
sub answer_of { return text_of($_[0]) =~ m{^HTTP/1\.1 (\d+)} ? $1 : 0; }

sub raw_status { return answer_of(send_raw($_[0])); }

sub sql { my ($query) = @_; return $node->safe_psql('postgres', $query); }

sub count_received { my ($condition) = @_; return sql("SELECT count(*) FROM received WHERE $condition"); }

sub metric
{
	my ($name) = @_;
	my $text = http()->get("http://127.0.0.1:$port/metrics")->{content};

	return $text =~ /^\Q$name\E (\d+)$/m ? $1 : undef;
}

sub wait_for_blocked
{
	return $node->poll_query_until('postgres',
		"SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)");
}

# Lets no call of the stand-in get on until the session returned here has ended.
sub hold_lock
{
	my $session = $node->background_psql('postgres');

	$session->query_safe("SELECT pg_advisory_lock($lock)");
	return $session;
}

#
# Tests
#

mkdir("$folder/spool") or die $!;
$port = PostgreSQL::Test::Cluster::get_free_port();

sub test_bad_configuration
{
	for my $case (
		[ { colour => 'blue' }, qr/smsflowd\.conf:3: unknown key/ ],
		[ { batch_max => 'many' }, qr/smsflowd\.conf:3: value is not a number/ ],
		[ { max_body => '64 furlongs' }, qr/smsflowd\.conf:5: unit is not one of/ ],
		[ { listen => 'nowhere' }, qr/"listen" is not host:port/ ],
		[ { database => 'password=tell-no-one bad' }, qr/"database" is not a libpq connection string/ ],
		[ { report_listen => '0.0.0.0:8481', report_database => 'password=tell-no-one' }, qr/"report_listen" is not a loopback address/ ],
		[ { report_listen => 'localhost:8481', report_database => 'dbname=shop' }, qr/"report_listen" is not a loopback address/ ],
		[ { report_listen => '127.0.0.1:8481' }, qr/"report_listen" and "report_database" need each other/ ])
	{
		my ($change, $message) = @$case;

		unlink("$folder/log");
		write_config(%$change);
		$daemon = spawn();
		is(reap(), 2, "exit code 2 for a bad " . join(' and ', sort keys %$change));
		like(log_text(), $message, '... and it is named with its place');
		unlike(log_text(), qr/tell-no-one/, '... without the value');
	}
}

sub test_callback
{
	my $socket = send_raw("POST /callback/my%20gate/tok%2Fen?a=1&b=%E9%00 HTTP/1.1\r\nHost: x\r\n"
		. "X-Smsflow-Arrived: 12345\r\nX-SIGN: caf\xe9 \"quoted\"\\\r\nCookie: c=1\r\nX-Twice: 1\r\nAccept: x\r\nx-twice: 2\r\n"
		. "Content-Type: application/x-thing\r\nContent-Length: 8\r\nConnection: close\r\n\r\n\0\xff'\"{},\\");
	my $answer = text_of($socket);

	like($answer, qr{^HTTP/1\.1 200 }, 'a callback is answered as the function says');
	like($answer, qr{^Content-Type: text/xml\r$}m, '... with its content type');
	like($answer, qr{\r\n\r\n<r>my gate</r>$}, '... and its body');
	is(sql("SELECT gateway, method, path, query, encode(body, 'hex'), headers->>'content-type',
			headers->>'x-sign' = 'caf' || chr(233) || ' \"quoted\"\\', headers->>'x-twice',
			headers ? 'cookie', headers ? 'accept', (headers->>'x-smsflow-arrived')::bigint BETWEEN extract(epoch FROM now()) - 60 AND extract(epoch FROM now()) + 1
			FROM received"),
		'my gate|POST|/callback/my%20gate/tok%2Fen|a=1&b=%E9%00|00ff27227b7d2c5c|application/x-thing|t|1, 2|f|f|t',
		'the function got every byte, and only the headers it may see');
	is(http()->get("http://127.0.0.1:$port/in/teapot?x")->{status}, 418, 'a GET to /in, with a status of its own');
	is(sql("SELECT method, path, query, body = '' FROM received WHERE gateway = 'teapot'"), 'GET|/in/teapot|x|t',
		'... arrives');
}

sub test_refused_requests
{
	is(post_status('/elsewhere', ''), 404, 'unknown path');
	is(post_status('/callback/', ''), 404, 'no gateway');
	is(post_status('/callback/a/b/c', ''), 404, 'too many segments');
	is(http()->request('HEAD', "http://127.0.0.1:$port/callback/a")->{status}, 405, 'HEAD');
	is(http()->request('DELETE', "http://127.0.0.1:$port/callback/a")->{status}, 405, 'DELETE');
	is(raw_status("CONNECT a:1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), 405, 'CONNECT');
	is(raw_status("OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), 405, 'OPTIONS *');
	is(raw_status("GET /callback/a?\xff HTTP/1.1\r\nConnection: close\r\n\r\n"), 400,
		'query that is not UTF-8');
	is(raw_status("GET /in/%ff HTTP/1.1\r\nConnection: close\r\n\r\n"), 400, 'gateway that is not UTF-8');
	is(raw_status("GET /in/a%00 HTTP/1.1\r\nConnection: close\r\n\r\n"), 400, 'gateway with a NUL');
	is(raw_status("GET /in/a?\0 HTTP/1.1\r\nConnection: close\r\n\r\n"), 400, 'query with a NUL');
	is(raw_status("GET /in/a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"), 400, 'GET with a body');
	is(raw_status("POST /in/a HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 400, 'two lengths');
	is(raw_status("POST /in/a HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400, 'a length and chunks');
	is(raw_status("POST /in/a HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\nGET /in/b HTTP/1.1\r\n\r\n"), 400, 'a coding that hides a request');
	is(raw_status("POST /in/a HTTP/1.1\r\nContent-Length: $_\r\n\r\na"), 400, "length $_") for qw(+1 -1 1x 0x1);
	isnt(raw_status("POST /in/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n$_\r\nabcd\r\n0\r\n\r\n"), 200, "chunk of $_ bytes") for qw(zz -4);
	is(raw_status("POST /in/a HTTP/1.1\r\nConnection: close\r\n\r\nwho knows"), 411, 'body without a length');
	is(post_status('/callback/a', 'x' x 300_000), 413, 'body beyond the limit');
	isnt(raw_status("GET /in/a HTTP/1.1\r\nX-Long: " . ('x' x 20_000) . "\r\n\r\n"), 200, 'headers beyond the limit');
	is(count_received("gateway IN ('a', 'b')"), 0, 'nothing of all this reached the database');
}

# What HTTP permits and gateways seldom do.
sub test_odd_requests
{
	my $twice = join('', map { "POST /in/line HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n$_" } 'first', 'other');
	my @answers = text_of(send_raw($twice . "GET /in/line HTTP/1.1\r\nConnection: close\r\n\r\n")) =~ m{HTTP/1\.1 (\d+) }g;

	is("@answers", '200 200 200', 'requests that do not wait for answers get one each');
	is(sql("SELECT string_agg(method || ' ' || convert_from(body, 'UTF8'), ',' ORDER BY id) FROM received WHERE gateway = 'line'"), 'POST first,POST other,GET ',
		'... and arrive in order');
	is(raw_status("POST /in/chunks HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\na\0b\r\n1\r\nc\r\n0\r\n\r\n"), 200, 'a body in chunks');
	is(sql("SELECT encode(body, 'hex') FROM received WHERE gateway = 'chunks'"), '61006263', '... arrives as a whole');
	is(raw_status("GET http://elsewhere.example/in/whole?a=%zz HTTP/1.1\r\nConnection: close\r\n\r\n"), 200, 'a whole URL as target');
	is(sql("SELECT path, query FROM received WHERE gateway = 'whole'"), '/in/whole|a=%zz', '... is its path, and its query as it was');
	is(raw_status("GET /in/%zz%4 HTTP/1.1\r\nConnection: close\r\n\r\n"), 200, 'a path that is wrongly encoded');
	is(sql("SELECT path FROM received WHERE gateway = '%zz%4'"), '/in/%zz%4', '... arrives as it was');
}

sub test_answer_after_commit
{
	my $session = hold_lock();
	my $first = send_post('/callback/slow', 'first');
	my $before = sql('SELECT max(id) FROM call');
	my @others;

	wait_for_blocked();
	@others = map { send_post('/callback/slow', "number $_") } 1 .. 20;
	ok(wait_until('all 21 requests are in', sub { metric('smsflowd_open_exchanges') == 22 }),
		'requests wait while the transaction does');
	is(scalar(grep { is_answered($_) } $first, @others), 0, 'none is answered before the commit');
	is(count_received("gateway = 'slow'"), 0, '... and none is visible');
	$session->quit;
	is(join(' ', map { answer_of($_) } $first, @others), join(' ', (200) x 21), 'all are answered after it');
	is(count_received("gateway = 'slow'"), 21, '... and all are there');
	is(sql("SELECT string_agg(rows::text, ' ' ORDER BY id) FROM call WHERE id > $before"), '1 20',
		'those that waited share one transaction');
}

sub test_poison
{
	my ($poison, $expected) = @_;
	my $session = hold_lock();
	my $first = send_post('/callback/poison', 'first');
	my @others;

	sql("DELETE FROM received WHERE gateway = 'poison'");
	wait_for_blocked();
	@others = map { send_post('/callback/poison', $_) } 'a', $poison, 'b';
	wait_until('all 4 requests are in', sub { metric('smsflowd_open_exchanges') == 5 });
	$session->quit;
	is(join(' ', map { answer_of($_) } $first, @others), '200 200 500 200', "only \"$poison\" is refused");
	is(count_received("gateway = 'poison'"), 3, '... and the rest of its batch is committed');
}

# One bit of this text is another one.
sub damage_spool
{
	my ($text) = @_;
	my $spool = slurp_file("$folder/spool/callbacks.spool");

	open(my $file, '+<', "$folder/spool/callbacks.spool") or die $!;
	seek($file, index($spool, $text), 0);
	print $file ucfirst($text);
	close($file);
}

sub test_spool
{
	my @bodies = map { "spooled $_" } 1 .. 50;
	my $calls = sql('SELECT max(id) FROM call');

	is(http()->get("http://127.0.0.1:$port/healthz")->{content}, "ok\n", 'healthy while the database is up');
	$node->stop;
	ok(wait_until('the loss is noticed', sub { !healthy() }), 'not healthy while it is down');
	like(http()->get("http://127.0.0.1:$port/healthz")->{content}, qr/^database: /, '... with a reason');
	is(join(' ', map { post_status('/callback/away', $_) } @bodies), join(' ', (200) x 50),
		'callbacks are accepted without a database');
	cmp_ok(metric('smsflowd_spool_bytes'), '>', 50 * 30, '... and kept in the spool');

	# The crash of the daemon in the middle of a write leaves half a record, and disks lose bits.
	kill('KILL', $daemon);
	is(reap(), 'killed', 'smsflowd dies');
	append_to_file("$folder/spool/callbacks.spool", "\0\0\1\0half");
	damage_spool('spooled 17');
	start_daemon();
	like(log_text(), qr/spool: 8 bytes at offset \d+ are damaged, or of a callback that was never answered, and kept in "damaged\.spool"/, 'half a record is passed over');
	like(log_text(), qr/spool: 49 callbacks of an earlier run to replay, \d+ bytes damaged/, '... and so is a damaged one');
	cmp_ok(metric('smsflowd_spool_damaged_bytes_total'), '>', 8 + length('spooled 17'), '... which is counted');
	like(slurp_file("$folder/spool/damaged.spool"), qr/Spooled 17.*\x00\x00\x01\x00half$/s, '... and kept, both of them');
	is(post_status('/callback/away', 'last'), 200, 'one more, the last');

	$node->start;
	ok(wait_until('the spool is drained', sub { healthy() && metric('smsflowd_spool_bytes') == 0 }),
		'the spool is replayed when the database is back');
	is(sql("SELECT string_agg(convert_from(body, 'UTF8'), ',' ORDER BY id) FROM received WHERE gateway = 'away'"),
		join(',', (grep { $_ ne 'spooled 17' } @bodies), 'last'), '... exactly, in order, with what is behind the damage');
	cmp_ok(sql("SELECT max(rows) FROM call WHERE id > $calls"), '>', 1, '... in batches');
	ok(!-e "$folder/spool/callbacks.spool", '... and its file is gone');
	is(metric('smsflowd_replayed_total'), 50, '... and the replay is counted');
}

sub test_poison_in_spool
{
	$node->stop;
	wait_until('the loss is noticed', sub { !healthy() });
	is(join(' ', map { post_status('/callback/later', $_) } 'a', 'poison', 'b'), '200 200 200',
		'nobody knows yet what the database will refuse');
	$node->start;
	ok(wait_until('the spool is drained', sub { healthy() && metric('smsflowd_spool_bytes') == 0 }),
		'it does not block the replay');
	is(sql("SELECT string_agg(convert_from(body, 'UTF8'), ',' ORDER BY id) FROM received WHERE gateway = 'later'"),
		'a,b', '... of the others');
	ok(-s "$folder/spool/rejected.spool", '... and is kept aside');
}

sub test_lost_connection
{
	my $session = hold_lock();
	my @sockets = (send_post('/callback/cut', 'one'));

	wait_for_blocked();
	push @sockets, send_post('/callback/cut', 'two');
	wait_until('both requests are in', sub { metric('smsflowd_open_exchanges') == 3 });
	sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'smsflowd'");
	is(join(' ', map { answer_of($_) } @sockets), '200 200', 'a cut connection: its callbacks go to the spool');
	is(count_received("gateway = 'cut'"), 0, '... and are not in the database yet');
	$session->quit;
	ok(wait_until('they are', sub { count_received("gateway = 'cut'") == 2 }), '... but soon are');
}

sub test_full_spool
{
	write_config(spool_limit => 300);
	kill('HUP', $daemon);
	ok(wait_until('the new limit holds', sub { log_text() =~ /configuration reloaded/ }), 'SIGHUP rereads the limits');
	$node->stop;
	wait_until('the loss is noticed', sub { !healthy() });
	is(post_status('/callback/full', 'fits'), 200, 'there is room for one');

	my $answer = post('/callback/full', 'x' x 300);

	is($answer->{status}, 503, 'a full spool refuses');
	is($answer->{headers}{'retry-after'}, 30, '... and says when to come back');
	$node->start;
	ok(wait_until('the database is back', sub { healthy() && count_received("gateway = 'full'") == 1 }),
		'the one that fitted arrives');
	write_config();
	kill('HUP', $daemon);
}

sub test_metrics
{
	my $answer = http()->get("http://127.0.0.1:$port/metrics");
	my @lines = split(/\n/, $answer->{content});
	my $sample = qr/^smsflowd_[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9]+$/;
	my $comment = qr/^# (TYPE smsflowd_[a-z_]+ (counter|gauge)|HELP smsflowd_[a-z_]+ .+)$/;

	like($answer->{headers}{'content-type'}, qr{^application/openmetrics-text; version=1\.0\.0}, 'metrics type');
	is(pop @lines, '# EOF', 'metrics end as they must');
	is(join("\n", grep { $_ !~ $sample && $_ !~ $comment } @lines), '', 'every line of metrics parses');
	is(metric('smsflowd_database_up'), 1, 'metrics know the database');
	cmp_ok(metric('smsflowd_requests_total{route="callback",status="503"}'), '>=', 1, 'metrics count by status');
}

sub test_connection_cap
{
	write_config(max_connections => 10);
	kill('HUP', $daemon);
	wait_until('the cap holds', sub { (() = log_text() =~ /configuration reloaded/g) >= 3 });

	my @sockets = map { send_raw('') } 1 .. 30;
	my $is_closed = sub { my $byte; return is_answered($_[0]) && !$_[0]->sysread($byte, 1); };
	my $closed = 0;

	ok(wait_until('some are closed', sub { $closed = grep { $is_closed->($_) } @sockets; $closed >= 12 }),
		'connections beyond the cap are closed');
	cmp_ok($closed, '<=', 20, '... but not those below it');
	close($_) for @sockets;
	ok(wait_until('it serves again', \&healthy), 'when they have gone, new ones are served');
	write_config();
}

sub test_stop
{
	my $session = hold_lock();
	my @sockets = (send_post('/callback/stop', 'one'));

	wait_for_blocked();
	push @sockets, send_post('/callback/stop', 'two');
	wait_until('both requests are in', sub { metric('smsflowd_open_exchanges') == 3 });
	kill('TERM', $daemon);
	ok(wait_until('it stops listening', sub { http()->get("http://127.0.0.1:$port/healthz")->{status} == 599 }),
		'SIGTERM stops accepting');
	is(scalar(grep { is_answered($_) } @sockets), 0, 'pending requests still wait');
	$session->quit;
	is(join(' ', map { answer_of($_) } @sockets), '200 200', '... and are answered');
	is(reap(), 0, '... before smsflowd ends');
	is(count_received("gateway = 'stop'"), 2, '... and are committed');
}

sub test_stop_blocked
{
	my $session = hold_lock();
	my $socket = send_post('/callback/stuck', 'one');
	my $begin = time();

	wait_for_blocked();
	kill('TERM', $daemon);
	is(answer_of($socket), 200, 'SIGTERM while the database hangs: the spool answers');
	is(reap(), 0, '... smsflowd ends');
	cmp_ok(time() - $begin, '<', 8, '... in time');
	start_daemon();
	$session->quit;

	# The statement given up on may have been committed after all; only the real function recognizes the replay.
	ok(wait_until('the spool is drained', sub { healthy() && metric('smsflowd_replayed_total') == 1 }),
		'... and the next one replays');
	cmp_ok(count_received("gateway = 'stuck'"), '>=', 1, '... what was spooled');
	is(stop_daemon(), 0, 'an idle smsflowd ends at once');
}

test_bad_configuration();
write_config();
unlink("$folder/log");
start_daemon();
ok(wait_until('it is connected', \&healthy), 'smsflowd is healthy');
test_callback();
test_refused_requests();
test_odd_requests();
test_answer_after_commit();
test_poison('poison');
test_poison('late poison');
test_poison('odd poison');
test_spool();
test_poison_in_spool();
test_lost_connection();
test_full_spool();
test_metrics();
test_connection_cap();
test_stop();
start_daemon();
wait_until('it is connected', \&healthy);
test_stop_blocked();
unlike(log_text(), qr/spooled|poison|teapot|my gate/, 'the log has no bodies, gateways or queries');
is(scalar(grep { !/^\S+Z smsflowd: / } split(/\n/, log_text())), 0, 'every line of the log is an event');

done_testing();

END
{
	my $status = $?;

	kill('KILL', $daemon) if $daemon;
	$? = $status;
}
