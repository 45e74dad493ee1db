# Messages in doubt are listed until somebody knows: a report, a person, or nobody when the time is over.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;
my $node = start_server('doubt', {}, 'smsflow.public_url' => 'http://127.0.0.1:1', 'max_prepared_transactions' => 2);

create_shop(20);
sql(q{INSERT INTO smsflow.gateway_profile
	SELECT (jsonb_populate_record(p, '{"profile": "forgetful", "in_doubt": "hold", "builtin": false}')).*
	FROM smsflow.gateway_profile p WHERE profile = 'generic_json'});
add_route('forgetful', $gateway, profile => 'forgetful');

sub listed { my ($id) = @_; return sql("SELECT next FROM smsflow.in_doubt WHERE message_id = $id"); }

# A message in doubt
sub doubtful
{
	my ($purpose, %option) = @_;
	my $id;

	$gateway->script({ match => 'doubtful', times => 1, status => 500 });
	$id = send_sms('forgetful', "doubtful by $purpose", $purpose, %option);
	ok(wait_sql('it is in doubt', "SELECT count(*) FROM smsflow.in_doubt WHERE message_id = $id", 1), "a $purpose message in doubt is listed");
	return $id;
}

sub test_list
{
	my $id = doubtful('promotional');
	my $other = doubtful('transactional');

	is(listed($id), 'waits for a report', '... marketing waits');
	is(listed($other), 'is sent again, unless a report comes', '... what is transactional is sent again');
	is(sql("SELECT reason, error_code IS NOT NULL, attempts, gateway, next_at > now() + '24 h' FROM smsflow.in_doubt WHERE message_id = $id"),
		'no_proof|t|1|forgetful|t', '... with what is known');
	is(sql("SELECT string_agg(message_id::text, ',' ORDER BY message_id) FROM smsflow.in_doubt"),
		sql("SELECT string_agg(message_id::text, ',' ORDER BY message_id) FROM smsflow.message WHERE status = 'in_doubt'"),
		'the list is that of the messages in doubt');
}

sub test_resolve
{
	for my $case ([ 'accepted', 'accepted' ], [ 'delivered', 'delivered' ], [ 'rejected', 'rejected' ], [ 'unknown', 'unknown' ])
	{
		my ($outcome, $status) = @$case;
		my $id = doubtful('promotional');

		sql("SELECT smsflow.resolve_in_doubt($id, '$outcome')");
		wait_status($id, $status, "... found out as $outcome");
		is(listed($id), '', '... it is listed no more');
		is(sql("SELECT outcome || ' ' || (by_role = session_user) FROM smsflow.resolution WHERE message_id = $id"), "$outcome true",
			'... and who said so is kept');
		is($gateway->count_for($id), 1, '... it was requested once');
		is(error_of("SELECT smsflow.resolve_in_doubt($id, 'accepted')"), 'SF005', '... and cannot be resolved as another thing');
		sql("SELECT smsflow.resolve_in_doubt($id, 'delivered')") if $outcome eq 'unknown';
		wait_status($id, 'delivered', '... but what is unknown may be found delivered') if $outcome eq 'unknown';
	}
	is(error_of("SELECT smsflow.resolve_in_doubt(999999999, 'accepted')"), 'SF004', 'a message that does not exist');
	is(error_of("SELECT smsflow.resolve_in_doubt(1, 'lost')"), 'SF007', 'an outcome that does not exist');
}

# A person knows that it was not sent: it is, now. The gate is asked again.
sub test_not_sent
{
	my $id = doubtful('promotional', to => phone(2));
	my $stopped = doubtful('promotional', to => phone(3));
	my $order = doubtful('transactional');

	sql("SELECT smsflow.opt_out('" . phone(3) . "')");
	sql("SELECT smsflow.resolve_in_doubt(id, 'not_sent') FROM unnest('{$id,$stopped,$order}'::bigint[]) id");
	wait_status($id, 'accepted', 'what was not sent, as a person knows, is sent');
	wait_status($order, 'accepted', '... also what was to be sent again later');
	is(join(' ', map { $gateway->count_for($_) } $id, $order), '2 2', '... once');
	ok(wait_sql('the other one is decided', "SELECT count(*) FROM smsflow.message WHERE message_id = $stopped AND status IN ('queued', 'sending')", 0),
		'... but not to those who opted out meanwhile');
	is($gateway->count_for($stopped), 1, '... as the gateway confirms');
	sql("UPDATE smsflow.timer SET due_at = now() WHERE message_id = $order AND reason = 'resend_later'");
	sql('SELECT pg_terminate_backend(' . worker_pid() . ')');
	wait_for_worker('running');
	$id = send_sms('forgetful', 'sentinel', 'transactional');
	wait_status($id, 'accepted', 'a later turn');
	is($gateway->count_for($order), 2, '... does not send it a third time');
}

# What is sent again stays in doubt until its second answer, and a report about the first request counts meanwhile.
sub test_report_while_sent_again
{
	my ($id, $token);

	$gateway->script({ match => 'again', times => 1, status => 500 }, { match => 'again', delay_ms => 2000 });
	$id = send_sms('forgetful', 'sent again', 'otp');
	ok(wait_until('the second request', sub { $gateway->count_for($id) == 2 }), 'what is in doubt is sent again');
	is(status_of($id), 'in_doubt', '... and in doubt meanwhile');
	($token) = $gateway->by_message->{$id}[0]{callback_url} =~ m{(/callback/.*)$};
	sql(qq{SELECT smsflow.receive_callback('forgetful', 'POST', '$token', '', '{"content-type": "application/json"}', '{"status": "delivered"}')});
	wait_status($id, 'delivered', '... until a report comes');
	ok(wait_sql('the second answer', "SELECT count(*) FROM smsflow.attempt WHERE message_id = $id", 2), '... which the second answer does not change');
	is(status_of($id), 'delivered', '... at all');
	is(sql('SELECT count(*) FROM smsflow.check_metrics()'), 0, '... and is counted as what it is');
}

# Time is made to pass by moving what is due.
sub test_unknown
{
	my $id = doubtful('promotional');
	my $old = send_sms('forgetful', 'accepted and silent', 'transactional');
	my $reported = send_sms('forgetful', 'accepted and reported', 'transactional');

	wait_status($_, 'accepted', 'a message is accepted') for $old, $reported;
	sql("UPDATE smsflow.outbox SET created_at = created_at - interval '2 hours', expires_at = expires_at - interval '4 days'
		WHERE message_id <= $reported");
	sql("UPDATE smsflow.attempt SET started_at = started_at - interval '2 hours', finished_at = finished_at - interval '2 hours'
		WHERE message_id <= $reported");
	my ($token) = $gateway->by_message->{$reported}[0]{callback_url} =~ m{(/callback/.*)$};
	sql(qq{SELECT smsflow.receive_callback('forgetful', 'POST', '$token', '', '{"content-type": "application/json"}', '{"status": "delivered"}')});
	wait_status($old, 'unknown', 'what has no report when its time is over is unknown');
	wait_status($reported, 'delivered', '... what has one is not');
	is(status_of($id), 'in_doubt', '... what is in doubt waits for its time');
	sql("UPDATE smsflow.unsettled SET due_at = now() WHERE message_id = $id");
	wait_status($id, 'unknown', '... and is unknown then');
	is(listed($id), '', '... and listed no more');
	is(sql('SELECT count(*) FROM smsflow.unsettled WHERE due_at < now()'), 0, 'nothing that was due is left in the list');
}

# An id that commits behind those that were looked at must not be forgotten.
sub test_late_commit
{
	my $before = sql("SELECT cursor_id FROM smsflow.tail WHERE name = 'unsettled'");
	my $id;

	sql("BEGIN; SELECT smsflow.send('" . phone(1) . "', 'prepared', 'transactional', pool => 'forgetful'); PREPARE TRANSACTION 'late'");
	$id = send_sms('forgetful', 'after it', 'transactional');
	wait_status($id, 'accepted', 'a message behind a prepared transaction');
	sql("UPDATE smsflow.outbox SET created_at = created_at - interval '2 hours' WHERE message_id = $id");
	is(sql("SELECT smsflow.list_unsettled(1000)"), 0, '... is not looked at before that has ended');
	sql("BEGIN; SELECT smsflow.send('" . phone(1) . "', 'prepared', 'transactional', pool => 'forgetful'); PREPARE TRANSACTION 'later'");
	sql("COMMIT PREPARED 'late'");
	sql("UPDATE smsflow.outbox SET created_at = created_at - interval '2 hours' WHERE body = 'prepared'");
	sql("ROLLBACK PREPARED 'later'");
	ok(wait_sql('it is', "SELECT cursor_id >= $id FROM smsflow.tail WHERE name = 'unsettled'"), '... and is afterwards');
	ok(wait_sql('both are listed', "SELECT count(*) FROM smsflow.unsettled u JOIN smsflow.outbox o USING (message_id)
		WHERE o.body IN ('prepared', 'after it')", 2), '... and both are listed');
	cmp_ok(sql("SELECT cursor_id FROM smsflow.tail WHERE name = 'unsettled'"), '>', $before, 'the mark moves on');
}

test_list();
test_resolve();
test_not_sent();
test_report_while_sent_again();
test_unknown();
test_late_commit();
check_is_clean();
$node->stop;
done_testing();
