# The whole way of a message through a real Kannel, for tests: the worker, Kannel, SMPP, a mobile network whose log says
# what a phone would show, and reports and replies back through smsflowd. The network is test/gateway/smsc.pl, or with
# $ENV{SMPP_MODULES} the one on top of npm's SMPP, test/gateway/smsc.js.

package SmsflowKannel;

use strict;
use warnings;
use utf8;

use Cwd qw(abs_path);
use Encode qw(encode);
use Exporter 'import';
use File::Basename qw(dirname);
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowDaemon;
use SmsflowTest;
use Test::More;

our @EXPORT = qw(skip_without_kannel start_way start_kannel stop_kannel kannel_folder slurp network column
	test_texts test_reports test_stop);

use constant { SENDER => '+14155550100', LOST => 40, STOPPED => 42, CONTACTS => 50 };

my $kannel_sh = abs_path(dirname(__FILE__) . '/../gateway/kannel.sh');
my $folder = PostgreSQL::Test::Utils::tempdir();
my $kannel = "$folder/kannel";
my $json = JSON::PP->new->utf8;
my ($receiver, $kannel_runs);

END
{
	my $result = $?;
	stop_kannel() if $kannel_runs;
	$receiver->stop('KILL') if $receiver;
	$? = $result;
}

sub slurp { my ($file) = @_; return -e $file ? PostgreSQL::Test::Utils::slurp_file($file) : ''; }

# Lines of the network's log of one event to or from a number.
sub network
{
	my ($event, $number) = @_;
	my @events = map { $json->decode($_) } grep { /\}$/ } split(/\n/, slurp("$kannel/smsc.log"));

	return grep { $_->{event} eq $event && ($_->{destination} eq $number || ($_->{source} // '') eq $number) } @events;
}

sub column { my ($name, $id) = @_; return sql("SELECT $name FROM smsflow.message WHERE message_id = $id"); }

sub start_kannel
{
	local $ENV{SENDSMS_PASSWORD_FILE} = "$SmsflowTest::secrets/kannel";
	local $ENV{INBOUND_URL} = sql("SELECT smsflow.inbound_url('kannel')");
	local $ENV{UNDELIVERABLE} = quotemeta(substr(phone(LOST), 1)) . '$';
	local $ENV{RECEIPT_MS} = 100;

	$kannel_runs = 1;
	return 1 if system("$kannel_sh start '$kannel' >'$folder/kannel.out' 2>&1") == 0;
	diag(slurp("$folder/kannel.out"));
	return 0;
}

sub stop_kannel { return system($kannel_sh, 'stop', $kannel) == 0 }

sub kannel_folder { return $kannel }

sub choose_ports
{
	$ENV{$_} = PostgreSQL::Test::Cluster::get_free_port()
	  for qw(SMPP_PORT SMSC_CONTROL_PORT KANNEL_ADMIN_PORT KANNEL_SMSBOX_PORT KANNEL_SENDSMS_PORT);
}

sub skip_without_kannel
{
	plan skip_all => 'Kannel is not installed (Debian: apt-get install kannel)'
	  if system('PATH=$PATH:/usr/sbin; command -v bearerbox >/dev/null && command -v smsbox >/dev/null');
}

# A server of this name with a shop, a gateway "kannel" with the secret open-sesame, Kannel and the receiver.
sub start_way
{
	my ($name) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();

	start_server($name, {}, 'smsflow.public_url' => "http://127.0.0.1:$port");
	choose_ports();
	create_shop(CONTACTS);
	write_secret('kannel', 'open-sesame');
	sql("SELECT smsflow.add_gateway('kannel', 'kannel', 'http://127.0.0.1:$ENV{KANNEL_SENDSMS_PORT}', '{\"username\": \"shop\"}');
		SELECT smsflow.add_sender('@{[SENDER]}', 'kannel', pool => 'kannel');
		CREATE ROLE receiver LOGIN; SELECT smsflow.grant_access('receiver', 'receiver')");
	$receiver = SmsflowDaemon->start(port => $port, database => $SmsflowTest::node->connstr('shop') . ' user=receiver');
	$receiver->wait_for_database;
	ok(start_kannel(), 'Kannel starts') or BAIL_OUT('without Kannel there is nothing to test');
}

# ---------------------------------------------------------------------------
# What every network must do

sub test_texts
{
	my %text = (
		1 => ['GSM text', 'gsm7', 'Grüße für 5 € [a] {b} ~ ^ | \\ ñ Ω @'],
		2 => ['text with emoji', 'ucs2', 'Привет 😀 — до завтра'],
		3 => ['long GSM text', 'gsm7', join(' ', map { "$_ €uro and more words" } 1 .. 20)],
		4 => ['long text with emoji', 'ucs2', join(' ', map { "$_ слово 😀" } 1 .. 20)]);
	my %id = map { $_ => send_sms('kannel', encode('UTF-8', $text{$_}[2]), 'transactional', to => phone($_)) } sort keys %text;

	wait_sql('the messages leave', "SELECT count(*) FROM smsflow.message WHERE status IN ('queued', 'sending')", '0')
	  or die 'no message leaves: ' . sql('SELECT * FROM smsflow.health() WHERE NOT ok');
	for my $number (sort keys %text)
	{
		my ($what, $encoding, $text) = @{ $text{$number} };
		my @messages;

		wait_status($id{$number}, 'delivered', "$what: delivered");
		@messages = network('message', phone($number));
		is(scalar @messages, 1, '... one message on the phone');
		is(encode('UTF-8', $messages[0]{text}), encode('UTF-8', $text), '... as it was written');
		is(column("encoding || ' ' || parts", $id{$number}), "$encoding $messages[0]{parts}", '... in as many parts as were counted');
		is($messages[0]{source}, SENDER, '... from our number');
	}
}

sub test_reports
{
	my $good = send_sms('kannel', 'arrives', 'promotional', to => phone(5));
	my $bad = send_sms('kannel', 'does not', 'promotional', to => phone(LOST));

	wait_status($good, 'delivered', 'a report of delivery comes back');
	# Kannel tells whole seconds.
	is(column("delivered_at BETWEEN sent_at - interval '1 second' AND now() AND provider_id IS NOT NULL", $good), 't',
		"... with an instant and the network's id");
	wait_status($bad, 'undelivered', 'so does one of failure');
	is(column("error_class || ': ' || error_code", $bad), 'undeliverable: stat:UNDELIV err:001', '... with the reason');
	is(sql("SELECT string_agg(reachability, ' ' ORDER BY contact_id) FROM smsflow.contact WHERE contact_id IN (5, @{[LOST]})"),
		'reachable unreachable', '... and is remembered about the person');
	is(scalar network('message', phone(LOST)), 1, '... and the message is not repeated');
}

sub test_stop
{
	my $person = phone(STOPPED);
	my $first = send_sms('kannel', 'an offer', 'promotional', to => $person);
	my $second;

	wait_status($first, 'delivered', 'an offer is delivered');
	is(system($kannel_sh, 'reply', $kannel, $person, SENDER, 'Stop.'), 0, 'the person replies STOP');
	ok(wait_sql('the answer is delivered', "SELECT coalesce(bool_and(status = 'delivered'), false) FROM smsflow.message
		WHERE phone = '$person' AND purpose = 'compliance'"), '... and gets an answer');
	$second = send_sms('kannel', 'another offer', 'promotional', to => $person);
	is(column("status || ' ' || reason", $second), 'suppressed opted_out', '... but no further offer');
	is(sql("SELECT action || ': ' || body FROM smsflow.inbound"), 'opt_out: Stop.', '... and what they wrote is kept');
	like(join("\n", map { $_->{text} } network('message', $person)), qr/\Aan offer\n[^\n]*unsubscribed[^\n]*\z/, 'the phone shows just that');
}

1;
