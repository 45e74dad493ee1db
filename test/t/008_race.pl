# A STOP wins against a campaign that is being sent: no request for a number begins after the COMMIT of its opt-out has
# returned, and everybody else gets the message once. Opt-outs are committed one by one, so many in one transaction that
# the rings of both workers overflow, and inside transactions that go on for a while. All instants are of one machine's clock.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run ();
use List::Util qw(min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowSink;
use SmsflowTest;
use Test::More;

use constant RATE => 650;		# messages a second

# Gateways take their time, so that requests are on the wire at each moment.
my $sink = SmsflowSink->start('-l', 20, '-j', 20);
my $node = start_server('race', {}, 'smsflow.workers' => 2);
my $seed = $ENV{SMSFLOW_SEED} // time();

note("SMSFLOW_SEED=$seed");
create_extension();
add_route($_, $sink, rate => RATE / 2, pool => 'race') for qw(race relay);
sql('SELECT smsflow.arm()');
wait_for_worker('running');

# Every $pace seconds a transaction begins that ends the consent of the next $batch numbers of the table, and goes on for
# $work seconds more. The instant after the COMMIT is the one that counts.
sql(sprintf q{
	CREATE TABLE stop (n integer PRIMARY KEY, phone text, committed_at timestamptz);

	-- Somebody whose turn comes about so many messages from now: what is recorded is a few behind what is on the wire.
	CREATE FUNCTION near(ahead float) RETURNS text LANGUAGE sql VOLATILE AS $$
		SELECT o.recipient::text FROM smsflow.outbox o WHERE o.message_id
			= (SELECT max(message_id) FROM smsflow.attempt WHERE outcome = 'accepted') + (ahead + random() * 100)::integer
	$$;
	CREATE PROCEDURE stop_all(batch integer, pace float, work float) LANGUAGE plpgsql AS $$
	DECLARE
		beginning CONSTANT timestamptz := clock_timestamp();
		first integer := 1;
		returned timestamptz;
	BEGIN
		WHILE EXISTS (SELECT FROM stop WHERE n >= first) LOOP
			UPDATE stop SET phone = coalesce(phone, near(work * %d)) WHERE n BETWEEN first AND first + batch - 1;
			PERFORM smsflow.opt_out(phone, source => 'support') FROM stop
				WHERE n BETWEEN first AND first + batch - 1 AND phone IS NOT NULL;
			PERFORM pg_sleep(work);
			COMMIT;
			returned := clock_timestamp();
			UPDATE stop SET committed_at = returned WHERE n BETWEEN first AND first + batch - 1;
			COMMIT;
			first := first + batch;
			PERFORM pg_sleep(extract(epoch FROM beginning - clock_timestamp()) + pace * (first / batch));
		END LOOP;
	END $$}, RATE);

# Numbers above this one are the campaign's contacts, in the order in which they are sent to.
my $base = 4155000000;

sub add_contacts
{
	my ($name, $count) = @_;

	sql("SELECT count(smsflow.subscribe('+1' || ($base + n), '{promotional}', attributes => '{\"race\": \"$name\"}'))
		FROM generate_series(1, $count) n");
}

# Who opts out: anybody, in any order.
sub choose_any
{
	my ($count, $stops) = @_;

	return "SELECT '+1' || ($base + n) FROM generate_series(1, $count) n ORDER BY random() LIMIT $stops";
}

# Who opts out is chosen when the opt-out comes.
sub choose_near
{
	my ($count, $stops) = @_;

	return "SELECT NULL FROM generate_series(1, $stops)";
}

sub launch
{
	my ($name, $who) = @_;

	sql("SELECT setseed(" . ($seed % 1000) / 1000 . ");
		TRUNCATE stop;
		INSERT INTO stop SELECT row_number() OVER (), w.phone FROM ($who) w (phone);
		SELECT smsflow.create_segment('$name', \$\$attributes ->> 'race' = '$name'\$\$);
		SELECT smsflow.create_campaign('$name', '$name', 'Spring sale', options => '{\"pool\": \"race\"}');
		ANALYZE smsflow.contact, stop;
		SELECT smsflow.launch_campaign('$name')");
	ok(wait_until('sending has begun', sub { $sink->begin_instants->{ '+1' . ($base + 1) } }, 90), "$name: a campaign is sent");
}

sub run_stops
{
	my ($call) = @_;
	my ($out, $error) = ('', '');
	my $psql = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('shop'), '-c', $call ],
		'>', \$out, '2>', \$error, IPC::Run::timeout(150));

	ok($psql->finish, '... while people opt out') or diag($error);
	ok(wait_settled(120), '... until nobody waits');
}

# number => instant in microseconds since 1970 at which its opt-out's COMMIT had returned
sub commit_instants
{
	return map { split(/\|/) } split(/\n/,
		sql('SELECT phone, (extract(epoch FROM min(committed_at)) * 1000000)::bigint FROM stop WHERE phone IS NOT NULL GROUP BY phone'));
}

sub check_race
{
	my ($name, $count) = @_;
	my %stopped = commit_instants();
	my $requests = $sink->begin_instants;
	my @numbers = map { '+1' . ($base + $_) } 1 .. $count;
	my @sent = grep { $requests->{$_} } @numbers;
	my @in_time = grep { !$requests->{$_} } keys %stopped;
	my @before = map { $stopped{$_} - $requests->{$_}[0] } grep { $stopped{$_} } @sent;

	is(scalar(grep { $_ <= 0 } @before), 0, '... no request begins after the COMMIT of its opt-out');
	# On a busy machine most come too late, but some must not, or there was no race.
	cmp_ok(scalar @in_time, '>=', 3, sprintf('... %d of %d opt-outs come before the message is sent', scalar @in_time, scalar keys %stopped));
	is(scalar(grep { !$requests->{$_} && !$stopped{$_} } @numbers), 0, '... everybody else gets it');
	is(scalar(grep { @{ $requests->{$_} } > 1 } @sent), 0, '... once');
	is(sql("SELECT count(*) FROM smsflow.message WHERE campaign = '$name' AND status = 'accepted'"), scalar @sent, '... as the messages say');
	note(sprintf('the request nearest to a COMMIT began %d microseconds before it', min(@before))) if @before;
	note(sprintf('%d requests began in the 10 milliseconds before it', scalar grep { $_ < 10_000 } @before));
}

# A transaction with $batch opt-outs every $pace seconds, open for $work seconds more; $choose says who.
sub race
{
	my ($name, $count, $stops, $choose, $batch, $pace, $work) = @_;

	add_contacts($name, $count);
	launch($name, $choose->($count, $stops));
	run_stops("CALL stop_all($batch, $pace, $work)");
	check_race($name, $count);
	$base += $count;
}

race('one by one', 20000, 1500, \&choose_any, 1, 0.02, 0);
race('about to be sent', 6000, 450, \&choose_near, 1, 0.02, 0);
race('many at once', 4000, 1000, \&choose_any, 100, 0.5, 0);
cmp_ok(sql("SELECT count(*) FROM smsflow.timer t JOIN smsflow.message m USING (message_id) JOIN smsflow.contact c USING (contact_id)
		WHERE t.reason = 'released' AND m.campaign = 'many at once' AND smsflow.permits(c.consent, 'promotional', 'express')"), '>', 0,
	'... also those whom no opt-out concerned were looked at again');
race('long transactions', 4000, 60, \&choose_near, 1, 0.1, 0.08);
is(sql('SELECT count(*) FROM smsflow.stat_worker WHERE sent > 1000'), 2, 'both workers were sending');
check_is_clean();
$node->stop;
done_testing();
