# Campaigns launched by the real pg_cron, whose shortest schedule is the next full minute: that is how long this takes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
chomp(my $share = qx{$pg_config --sharedir});
plan skip_all => 'pg_cron is not installed (Debian: apt-get install postgresql-15-cron)' if !-e "$share/extension/pg_cron.control";

my $everybody = 20;
my $gateway = SmsflowGateway->start;

sub jobs { return sql("SELECT coalesce(string_agg(jobname, ', ' ORDER BY jobid), 'none') FROM cron.job WHERE jobname LIKE 'smsflow campaign %'"); }

sub make_campaign
{
	my ($name) = @_;

	sql("SELECT smsflow.create_campaign('$name', 'everybody', '$name for {{external_id|you}}', options => '{\"pool\": \"main\"}');
		SELECT smsflow.schedule_campaign('$name', '* * * * *')");
}

# How many messages of a campaign were on the wire, and how many different ones: equal if each was there once.
sub on_wire
{
	my ($name) = @_;
	my @ids = map { $_->{message_id} } grep { ($_->{text} // '') =~ /^\Q$name\E/ } $gateway->requests;
	my %different = map { $_ => 1 } @ids;

	return scalar(@ids) . '/' . scalar(keys %different);
}

start_server('cron', {}, 'shared_preload_libraries' => 'smsflow,pg_cron', 'cron.database_name' => 'shop',
	'cron.use_background_workers' => 'on');
sql('CREATE EXTENSION pg_cron');
create_shop($everybody);
add_route('main', $gateway);
sql(q{SELECT smsflow.create_segment('everybody', 'true')});

make_campaign('flash sale');
make_campaign('early bird');
make_campaign('called off');
# One that repeats, and whose job exists twice.
sql(q{SELECT smsflow.create_campaign('news', 'everybody', 'news for {{external_id|you}}', options => '{"pool": "main"}')});
sql(q{SELECT smsflow.schedule_campaign('news', '* * * * *', every => 'month')});
sql(q{SELECT cron.schedule('the same once more', '* * * * *', command) FROM cron.job WHERE jobname = 'smsflow campaign news'});
is(jobs(), 'smsflow campaign flash sale, smsflow campaign early bird, smsflow campaign called off, smsflow campaign news', 'each campaign has its job');
is(sql("SELECT count(*) FROM smsflow.message"), 0, 'nothing is sent before its time');

# What somebody did by hand meanwhile, the job must not undo.
sql(q{SELECT smsflow.launch_campaign('early bird')});
sql(q{SELECT smsflow.cancel_campaign('called off')});

ok(wait_sql('the job has run', "SELECT status FROM smsflow.campaign WHERE name = 'flash sale'", 'done', 90), 'pg_cron launches the campaign');
ok(wait_until('the jobs are gone', sub { jobs() eq 'smsflow campaign news' }), '... and its job is gone, as are those of the others');
ok(wait_sql('both jobs have run', q{SELECT count(DISTINCT jobid) FROM cron.job_run_details WHERE command LIKE '%launch_occurrence%' AND end_time IS NOT NULL}, 2, 90),
	'the job of one that repeats runs, twice');
ok(wait_sql('it is expanded', q{SELECT string_agg(status, ' ') FROM smsflow.campaign WHERE occurrence IS NOT NULL}, 'done'), '... and launches it once');
ok(wait_settled(), '... and all is sent');
is(on_wire('flash sale'), "$everybody/$everybody", '... once to everybody');
is(on_wire('early bird'), "$everybody/$everybody", 'a campaign launched by hand before is not sent twice');
is(on_wire('called off'), '0/0', 'a cancelled one is not sent');
is(on_wire('news'), "$everybody/$everybody", 'what repeats is sent once in its period, however often its jobs run');
is(sql(q{SELECT smsflow.cancel_campaign('news'), smsflow.launch_occurrence('news', 'month')}), '|', '... and no more when it was cancelled');
is(jobs(), 'none', '... by a job that then ends');
is(sql(q{SELECT string_agg(status, ' ' ORDER BY campaign_id) FROM smsflow.campaign WHERE name NOT LIKE 'news%'}), 'done done cancelled', 'the campaigns say the same');

# pg_cron may call a job that removed itself canceled, after its commit, so the status of a run means nothing here.
is(sql(q{SELECT count(*), count(DISTINCT jobid) FROM cron.job_run_details WHERE command LIKE '%launch_scheduled%'}), '3|3', 'each job ran once');

is(sql(q{SELECT smsflow.launch_scheduled('flash sale')}), 'f', 'a doubled run launches nothing');
is(sql(q{SELECT smsflow.schedule_defaults()}), 3, 'the regular jobs are made');
is(sql(q{SELECT count(*) FROM cron.job WHERE jobname <> 'the same once more'}), 3, '... as jobs of pg_cron');
check_is_clean();

done_testing();
