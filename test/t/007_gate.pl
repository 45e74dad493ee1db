# The worker at the gate: what quiet hours hold leaves when they end, caps hold over messages that are claimed together,
# a cart has one reminder, and what waits for longer than it is valid expires.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use SmsflowGateway;
use SmsflowTest;
use Test::More;

my $gateway = SmsflowGateway->start;

start_server('gate', {}, 'smsflow.predicate_timeout' => '300ms');
create_shop(5);

sub reason_of { my ($id) = @_; return sql("SELECT reason FROM smsflow.message WHERE message_id = $id"); }

sub wire_of { my ($text) = @_; return scalar(grep { ($_->{text} // '') eq $text } $gateway->requests); }

# A window that is not open now, and opens in three days.
sub close_window
{
	sql("INSERT INTO smsflow.policy_rule (jurisdiction, purpose, kind, value)
		VALUES ('US', 'promotional', 'window', to_char(now() + interval '3 days', 'Dy') || ' 10:00-11:00');
		SELECT smsflow.resume_rule('window')");
}

sub test_quiet_hours
{
	my ($waits, $late, $code);

	close_window();
	$waits = send_sms('main', 'an offer at night', 'promotional', expires_in => "'9 days'");
	$late = send_sms('main', 'an offer of today', 'promotional', expires_in => "'1 day'");
	$code = send_sms('main', 'a code at night', 'otp');
	wait_status($code, 'accepted', 'a one-time password leaves at any hour');
	wait_status($waits, 'held', 'an offer in quiet hours is held');
	is(reason_of($waits), 'quiet_hours', '... and says why');
	is(sql("SELECT due_at > now() FROM smsflow.message WHERE message_id = $waits"), 't', '... and until when');
	like(sql("SELECT string_agg(detail, ' ') FROM smsflow.explain($waits)"), qr/quiet hours where the recipient is; asked again at 2/, '... in words, too');
	wait_status($late, 'expired', 'one that would be too late then expires');
	is(reason_of($late), 'quiet_hours', '... for the same reason');
	is(wire_of('an offer at night') + wire_of('an offer of today'), 0, 'neither was on the wire');

	# The timer stands at the opening, but the rule is gone before.
	sql("SELECT smsflow.suspend_rule('window')");
	wait_status($waits, 'accepted', 'it leaves when the rules allow it earlier');
	like(sql("SELECT string_agg(detail, ' ') FROM smsflow.explain($waits)"), qr/rules_changed: other rules/, '... and says why');

	# When its first timer comes, the message is not taken once more.
	sql("UPDATE smsflow.timer SET due_at = now() WHERE message_id = $waits AND reason = 'quiet_hours'");
	$SmsflowTest::node->restart;
	ok(wait_sql('the old timer is passed over', "SELECT max(c.to_timer_id) >= t.timer_id FROM smsflow.timer t JOIN smsflow.claim c USING (queue_id)
		WHERE t.message_id = $waits AND t.reason = 'quiet_hours' AND c.to_due >= t.due_at GROUP BY t.timer_id"), 'an older timer is passed over');
	wait_status(send_sms('main', 'after the old timer', 'promotional'), 'accepted', '... and the queue goes on');
	is(wire_of('an offer at night'), 1, '... once');
}

# Messages from before there was a sender are decided for the sender they get.
sub test_no_sender
{
	my $here = sql("SELECT smsflow.send('" . phone(4) . "', 'before any sender', 'transactional')");
	my $abroad = sql("SELECT smsflow.subscribe('+447400123450', '{transactional}') > 0;
		SELECT smsflow.send('+447400123450', 'before any sender, abroad', 'transactional')");

	$abroad =~ s/.*\n//s;
	is(status_of($here), 'queued', 'without a sender a message waits');
	add_route('main', $gateway, sender => '{"countries": ["US"]}');
	wait_status($here, 'accepted', 'it leaves from the first sender there is');
	wait_sql('the other is decided', "SELECT status IN ('accepted', 'suppressed') FROM smsflow.message WHERE message_id = $abroad");
	is(reason_of($abroad), 'country_not_allowed', 'not to a country that this sender may not write to');
	is(wire_of('before any sender, abroad'), 0, '... and not on the wire');
	sql("UPDATE smsflow.sender SET options = '{}'");
}

# Held, not failed, until the registration is there.
sub test_registration
{
	my $id;

	sql("INSERT INTO smsflow.policy_rule (jurisdiction, kind, value) VALUES ('US', 'registration', 'true')");
	$id = send_sms('main', 'from an unregistered number', 'transactional');
	wait_status($id, 'held', 'a message from an unregistered number is held');
	is(reason_of($id), 'sender_unregistered', '... and says why');
	sql("SELECT smsflow.set_sender(address, 'main', registration => 'C1ABCDE') FROM smsflow.sender WHERE pool = 'main'");
	wait_status($id, 'accepted', 'it leaves when the number is registered');
	is(wire_of('from an unregistered number'), 1, '... once');
	sql("DELETE FROM smsflow.policy_rule WHERE kind = 'registration'");
}

sub test_rule_removed
{
	sql("DELETE FROM smsflow.policy_rule WHERE NOT builtin AND kind = 'window'");
	wait_status(send_sms('main', 'an offer without hours', 'promotional'), 'accepted', 'where no rule holds it leaves at once');
}

# Five that are claimed together, where two are allowed.
sub test_caps
{
	my $text = 'an offer of five';

	sql("UPDATE smsflow.policy_rule SET value = '2 per 7 days' WHERE kind = 'cap'; SELECT smsflow.resume_rule('cap')");
	sql("SELECT smsflow.send('" . phone(2) . "', '$text', 'promotional', pool => 'main', expires_in => '9 days') FROM generate_series(1, 5)");
	ok(wait_sql('two are accepted and three wait for days', "SELECT count(*) FILTER (WHERE status = 'accepted') || ' ' ||
		count(*) FILTER (WHERE reason = 'frequency_cap') FROM smsflow.message WHERE body = '$text'", '2 3', 60), 'a cap of two lets two of five leave');
	is(wire_of($text), 2, '... on the wire, too');
	is(sql("SELECT count(*) FROM smsflow.touched WHERE contact_id = (SELECT contact_id FROM smsflow.contact WHERE phone::text = '" . phone(2) . "')"), 2,
		'what left is counted');
	is(sql("SELECT allowed || ' ' || reason FROM smsflow.can_send('" . phone(2) . "', 'promotional')"), 'false frequency_cap', 'can_send() says the same');
	sql("UPDATE smsflow.policy_rule SET value = '4 per 7 days' WHERE kind = 'cap'");
	ok(wait_sql('two more are accepted', "SELECT count(*) FILTER (WHERE status = 'accepted') || ' ' ||
		count(*) FILTER (WHERE reason = 'frequency_cap') FROM smsflow.message WHERE body = '$text'", '4 1', 60), 'a cap of four lets two more leave, and no more');
	is(wire_of($text), 4, '... on the wire, too');
	sql("SELECT smsflow.suspend_rule('cap')");
}

# The worker reads who is in the segment for a whole claim, and waits where it cannot.
sub test_segment_caps
{
	my ($member, $other, $odd) = (phone(5), phone(6), phone(7));

	sql("SELECT smsflow.subscribe('$member', '{promotional}', attributes => '{\"tier\": \"2\"}'), smsflow.subscribe('$other', '{promotional}', attributes => '{\"tier\": \"0\"}'),
		smsflow.subscribe('$odd', '{promotional}', attributes => '{\"tier\": \"gold\"}');
		INSERT INTO smsflow.segment (name, predicate) VALUES ('tiers', \$\$(attributes ->> 'tier')::integer > 1\$\$);
		INSERT INTO smsflow.policy_rule (purpose, kind, value, segment) VALUES ('promotional', 'cap', '1 per 2 days', 'tiers'); SELECT smsflow.resume_rule('cap')");
	sql("SELECT smsflow.send(p, 'offer ' || n, 'promotional', pool => 'main', expires_in => '9 days') FROM unnest('{$member,$other,$odd}'::text[]) p, generate_series(1, 2) n");
	ok(wait_sql('each has its end', "SELECT string_agg(phone || ' ' || COALESCE(reason, 'sent'), ',' ORDER BY phone, reason) FROM smsflow.message
		WHERE body LIKE 'offer _' AND (status = 'accepted' OR reason LIKE '%cap%')",
		"$member frequency_cap,$member sent,$other sent,$other sent,$odd cap_segment_failed,$odd cap_segment_failed", 60),
		'a cap for a segment stops its members, and waits for whom its predicate fails');
	sql("DELETE FROM smsflow.policy_rule WHERE segment IS NOT NULL");
	ok(wait_sql('all have left', "SELECT count(*) FROM smsflow.message WHERE body LIKE 'offer _' AND status = 'accepted'", 6, 60), '... until the rule is gone');
	sql("SELECT smsflow.suspend_rule('cap')");
}

# A predicate that never ends holds up those that its cap is for, and nobody else.
sub test_endless_predicate
{
	sql("INSERT INTO smsflow.segment (name, predicate) VALUES ('endless', \$\$(SELECT count(*) FROM generate_series(1, 1000000000000)) > 0\$\$);
		INSERT INTO smsflow.policy_rule (purpose, kind, value, segment) VALUES ('promotional', 'cap', '1 per 2 days', 'endless');
		SELECT smsflow.resume_rule('cap')");
	sql("SELECT smsflow.send('" . phone(6) . "', 'slow offer ' || n, 'promotional', pool => 'main') FROM generate_series(1, 5) n");
	ok(wait_sql('all of them wait', "SELECT count(*) FROM smsflow.message WHERE body LIKE 'slow offer %' AND reason = 'cap_segment_failed'", 5, 60),
		'whom a predicate without end is asked about waits');
	wait_status(send_sms('main', 'a notice meanwhile', 'transactional'), 'accepted', '... others get their messages');
	ok(wait_sql('the worker is there', "SELECT state FROM smsflow.stat_worker", 'running'), '... and the worker works on');
	like(slurp_file($SmsflowTest::node->logfile), qr/segment "endless" of a cap could not be read: it ran longer than 300 ms/, '... the log names the segment');
	sql("DELETE FROM smsflow.policy_rule WHERE segment IS NOT NULL; SELECT smsflow.suspend_rule('cap')");
	ok(wait_sql('all of them leave', "SELECT count(*) FROM smsflow.message WHERE body LIKE 'slow offer %' AND status = 'accepted'", 5, 60), '... and when the rule is gone they leave');
}

# What is recorded of a message: whether it counts, and whether it said how to opt out.
sub test_flags
{
	my $to = phone(8);

	sql("SELECT smsflow.subscribe('$to', '{promotional}', attributes => '{\"kind\": \"one\"}'); SELECT smsflow.create_segment('one', \$\$attributes ->> 'kind' = 'one'\$\$);
		INSERT INTO smsflow.policy_rule (purpose, kind, value) VALUES ('promotional', 'opt_out_wording', '30 days');
		SELECT smsflow.create_campaign('uncounted', 'one', 'An offer. STOP ends', options => '{\"pool\": \"main\", \"cap_counts\": false}');
		SELECT smsflow.launch_campaign('uncounted')");
	my $refused = sql("SELECT smsflow.send('" . phone(2) . "', 'an offer without the words', 'promotional', pool => 'main')");
	wait_status($refused, 'suppressed', 'a text without the words on opting out is refused when they are due');
	is(sql("SELECT reason FROM smsflow.message WHERE message_id = $refused"), 'opt_out_wording_missing', '... and says so');
	ok(wait_sql('it is recorded', "SELECT counted || ' ' || wording FROM smsflow.touched JOIN smsflow.contact USING (contact_id) WHERE phone::text = '$to'", 'false true'),
		'a campaign may say that it uses up no caps');
	wait_status(sql("SELECT smsflow.send('$to', 'a second offer', 'promotional', pool => 'main')"), 'accepted', 'the next message need not say it again');
	is(sql("SELECT string_agg(counted || ' ' || wording, ', ' ORDER BY message_id) FROM smsflow.touched JOIN smsflow.contact USING (contact_id) WHERE phone::text = '$to'"),
		'false true, true false', '... and counts');
	sql("DELETE FROM smsflow.policy_rule WHERE kind = 'opt_out_wording'");
}

# What is recorded at one time for neighbours is one row: each of them has its touch there, once, and the caps know it.
sub test_runs
{
	my $many = 200;

	sql("SELECT count(smsflow.subscribe('+1416555' || to_char(n, 'FM0000'), '{promotional}', level => 'confirmed', disclosure => 'Offers by text', attributes => '{\"kind\": \"many\"}'))
		FROM generate_series(1, $many) n; SELECT smsflow.create_segment('many', \$\$attributes ->> 'kind' = 'many'\$\$)");
	sql("SELECT smsflow.create_campaign(k, 'many', 'News of ' || k, options => '{\"pool\": \"main\"}') FROM unnest('{first,second}'::text[]) k; SELECT smsflow.launch_campaign('first')");
	ok(wait_sql('all have left', "SELECT count(*) FROM smsflow.message WHERE campaign = 'first' AND status = 'accepted'", $many, 60), 'a campaign leaves');
	is(sql("SELECT count(*) > 0 FROM smsflow.touch_run WHERE subject = 'first'"), 't', 'touches of neighbours are in runs');
	is(sql("SELECT count(*), count(DISTINCT t.message_id), count(*) FILTER (WHERE t.contact_id = o.contact_id AND t.sent_at >= a.finished_at
			AND t.sent_at <= a.finished_at + interval '1 second') FROM smsflow.touched t JOIN smsflow.outbox o USING (message_id) JOIN smsflow.attempt a USING (message_id)
		WHERE t.subject = 'first'"), "$many|$many|$many", '... each message once, with its contact and at its time');
	is(sql("SELECT count(*) FROM smsflow.outbox o CROSS JOIN LATERAL smsflow.last_touch(o.contact_id, clock_timestamp(), '1 day') t
		JOIN smsflow.campaign k USING (campaign_id) WHERE k.name = 'first' AND t.message_id = o.message_id"), $many, '... which an order would be credited to');
	sql("UPDATE smsflow.policy_rule SET value = '1 per 7 days' WHERE kind = 'cap'; SELECT smsflow.resume_rule('cap'); SELECT smsflow.launch_campaign('second')");
	ok(wait_sql('all wait', "SELECT count(*) FROM smsflow.message WHERE campaign = 'second' AND reason = 'frequency_cap'", $many, 60), 'a cap of one stops all of the next campaign');
	is(scalar(grep { ($_->{text} // '') =~ /News of second/ } $gateway->requests), 0, '... none was on the wire');
	sql("SELECT smsflow.suspend_rule('cap')");
	wait_settled(60);
}

sub test_cart
{
	sql("SELECT smsflow.create_sequence('two reminders', 'cart', '{\"pool\": \"main\"}');
		SELECT smsflow.add_step('two reminders', '0', 'first reminder');
		SELECT smsflow.add_step('two reminders', '1 second', 'second reminder');
		SELECT smsflow.enable_sequence('two reminders');
		SELECT smsflow.record_event('" . phone(3) . "', 'cart', 'cart 7')");
	ok(wait_sql('both are decided', "SELECT string_agg(body || ' ' || status || coalesce(' ' || reason, ''), ', ' ORDER BY message_id)
		FROM smsflow.message WHERE sequence = 'two reminders' AND status <> 'queued'",
		'first reminder accepted, second reminder suppressed cart_limit'), 'a cart in the United States has one reminder');
	is(wire_of('second reminder'), 0, '... on the wire, too');
	is(sql("SELECT bool_and(o.expires_at <= e.occurred_at + interval '48 hours') FROM smsflow.outbox o JOIN smsflow.event e ON e.event_id = o.trigger_event_id"),
		't', 'and none after 48 hours');
}

test_no_sender();
test_quiet_hours();
test_registration();
test_rule_removed();
test_caps();
test_segment_caps();
test_endless_predicate();
test_flags();
test_runs();
test_cart();
check_is_clean();
$gateway->stop;
$SmsflowTest::node->stop;
done_testing();
