# README.md does what it says: its SQL blocks are executed in order, and the results shown are compared (SmsflowDocument).
#
# Three things are not as in README: quiet hours are suspended, since this runs at any hour; the gateways are one
# test/gateway/gateway.pl on a port of its own; and blocks about
# pg_cron are left out where it is not installed.

use strict;
use warnings;

use JSON::PP ();
use SmsflowDocument;
use SmsflowGateway;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;
my $has_cron = installed_extension('pg_cron');

start_server('readme', {},
	'shared_preload_libraries' => $has_cron ? 'smsflow, pg_cron' : 'smsflow',
	$has_cron ? ('cron.database_name' => 'shop') : (),
	'smsflow.public_url' => 'http://127.0.0.1:8480');
write_secret('kannel', 'the password');
$gateway->script({ path => '/cgi-bin/sendsms', status => 202, body => '0: Accepted for delivery' });

my @blocks = blocks_of('README.md');

cmp_ok(scalar(@blocks), '>', 30, 'README.md has blocks to execute');
cmp_ok(scalar(grep { defined $_->{result} } @blocks), '>', 10, 'and shows results');
for my $block (@blocks)
{
	SKIP: {
		skip("$block->{name} needs pg_cron", 1) if !$has_cron && $block->{sql} =~ /pg_cron/;
		check_block($block, 'shop', $gateway->url);
		sql("SELECT smsflow.suspend_rule('window')") if $block->{sql} =~ /^CREATE EXTENSION smsflow;/m;
	}
}

# What README sent did reach a gateway, as the profiles say.
# A campaign that is cancelled when it has been expanded already, which depends on the hour, leaves messages that end at their time.
ok(wait_sql('no message waits', "SELECT count(*) FROM smsflow.message m WHERE (m.status IN ('scheduled', 'queued', 'held', 'sending') OR m.reason = 'resend')
	AND NOT EXISTS (SELECT FROM smsflow.campaign k WHERE k.name = m.campaign AND k.status = 'cancelled')", '0', 20), 'no message waits');
my ($first) = grep { $_->{path} eq '/cgi-bin/sendsms' } $gateway->requests;
is($first->{query}{text}, 'Hello', 'the first SMS reached the gateway');
is($first->{query}{to}, '+14155552671', 'for its recipient');
is($first->{query}{password}, 'the password', 'with the secret from its file');

my ($acme) = grep { $_->{path} eq '/v2/sms' } $gateway->requests;
is($acme->{headers}{'x-api-key'}, 'for development only', 'a gateway that is only a row gets its header');
is(JSON::PP->new->decode($acme->{body} // '{}')->{message}, 'Hello from acme', 'and its message');
is(sql("SELECT status FROM smsflow.message WHERE body = 'Hello from acme'"), 'accepted', 'and its answer is understood');

my $reminders = grep { ($_->{query}{text} // '') =~ /waiting|thinking/ } $gateway->requests;
is($reminders, 0, 'who has bought is not reminded of the cart');
cmp_ok(sql('SELECT count(*) FROM smsflow.health()'), '>=', 10, 'health() has a line for every component');
if ($has_cron)
{
	is(sql(q{SELECT schedule FROM cron.job WHERE jobname = 'smsflow campaign black friday'}), '0 14 27 11 *',
		'the campaign is scheduled');
}

# Rows that smsflow brings are not dumped: those that the store has changed are its own, and replace them when restored.
is(sql('SELECT bool_or(builtin) FROM smsflow.auto_reply'), 'f', 'changed answers are dumped');
is(sql(q{BEGIN; INSERT INTO smsflow.error_code (profile, code, class) VALUES ('kannel', 'http:404', 'temporary');
		SELECT class FROM smsflow.error_code WHERE (profile, code) = ('kannel', 'http:404'); ROLLBACK}),
	'temporary', 'a restored row replaces the one that smsflow brings');
check_is_clean();
$gateway->stop;
$SmsflowTest::node->stop;
done_testing();
