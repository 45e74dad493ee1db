# Each gateway profile against its documented examples, test/gateway/profiles/*.json: the request that is on the wire,
# byte by byte, what each answer means, what each report changes, and the replies that come in.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Digest::SHA qw(hmac_sha256 hmac_sha256_hex sha256_hex);
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $url = 'http://sms.example.com';
my $json = JSON::PP->new->canonical->allow_nonref;
my $gateway = SmsflowGateway->start;
my $node = start_server('profiles', {}, 'smsflow.public_url' => $url);
my $people = 0;

create_shop(200);

sub text_of { my ($content) = @_; return ref $content ? $json->encode($content) : $content; }
sub quote { my ($text) = @_; $text =~ s/'/''/g; return "'$text'"; }
sub escaped { my ($text) = @_; utf8::encode($text); $text =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ge; return $text; }

# The newest request, once it is there.
sub wait_request
{
	my ($before) = @_;

	wait_until('the request is on the wire', sub { $gateway->requests > $before });
	return ($gateway->requests)[-1];
}

sub callback_url { my ($pool, $id) = @_; return sql("SELECT smsflow.callback_url('$pool', $id, 1)"); }

# What a fixture's placeholders stand for.
sub filled
{
	my ($text, $route, $id) = @_;
	return $text if !defined $id;
	my $callback = callback_url($route->{name}, $id);
	my %value = (
		id => $id,
		key => 'smsflow-' . sql('SELECT system_identifier FROM pg_control_system()') . "-$id",
		from => $route->{from},
		from_digits => substr($route->{from}, 1),
		from_escaped => escaped($route->{from}),
		callback => $callback,
		callback_escaped => escaped($callback));

	$text =~ s/\$(id|key|from_digits|from_escaped|from|callback_escaped|callback)\b/$value{$1}/g;
	return $text;
}

# The body as octets, as the gateway has read it.
sub sent_body { my ($request) = @_; my $body = $request->{body}; utf8::encode($body); return $body; }

sub test_request
{
	my ($route, $fixture) = @_;
	my $expected = $fixture->{request};
	my $before = $gateway->requests;
	my $id = send_sms($route->{name}, qq{Caf\xc3\xa9 & "tea"}, 'transactional', expires_in => "'30 days'");
	my $request = wait_request($before);
	my $body = filled($expected->{body}, $route, $id);

	utf8::encode($body);
	if ($body =~ s/\$time/TIME/)
	{
		$request->{body} =~ s/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/TIME/;
	}
	is($request->{method}, $expected->{method}, 'method');
	is($request->{target}, "/$route->{name}" . filled($expected->{target}, $route, $id), 'path and query');
	is(sent_body($request), $body, 'body');
	is($request->{headers}{$_}, $expected->{headers}{$_}, "header $_") for sort keys %{ $expected->{headers} };
	test_sigv4($request, $fixture) if $expected->{sigv4};
	wait_status($id, 'accepted', 'accepted');
	if ($fixture->{unicode})
	{
		$before = $gateway->requests;
		send_sms($route->{name}, "\xe2\x98\xba \xf0\x9f\x98\x80", 'transactional');
		$request = wait_request($before);
		like(sent_body($request) . $request->{target}, qr/\Q$fixture->{unicode}\E/, 'another alphabet is declared');
	}
	return if !$fixture->{media};
	$before = $gateway->requests;
	send_sms($route->{name}, 'Look', 'transactional', media_urls => "'{" . join(',', @{ $fixture->{media}{urls} }) . "}'", expires_in => "'30 days'");
	$request = wait_request($before);
	like(sent_body($request), qr/\Q$fixture->{media}{contains}\E/, 'media');
	is($request->{target}, "/$route->{name}$fixture->{media}{target}", '... at the path for media') if $fixture->{media}{target};
	return if !$fixture->{media}{most};
	$id = send_sms($route->{name}, 'Look', 'transactional', media_urls => "'{https://shop.example/1.jpg,https://shop.example/2.jpg}'");
	wait_status($id, 'rejected', 'more media than it takes');
	is(sql("SELECT reason FROM smsflow.message WHERE message_id = $id"), 'too_many_media', '... for that reason');
}

# AWS Signature Version 4, computed anew from what came over the wire.
sub test_sigv4
{
	my ($request, $fixture) = @_;
	my ($key_id, $scope, $signed, $signature) = $request->{headers}{authorization}
		=~ m{^AWS4-HMAC-SHA256 Credential=([^/]+)/([^,]+), *SignedHeaders=([^,]+), *Signature=([0-9a-f]{64})$};
	my @names = split /;/, $signed // '';
	my $canonical = join("\n", $request->{method}, $request->{path}, '',
		(map { "$_:$request->{headers}{$_}" } @names), '', $signed // '', sha256_hex(sent_body($request)));
	my $text = join("\n", 'AWS4-HMAC-SHA256', $request->{headers}{'x-amz-date'}, $scope // '', sha256_hex($canonical));
	my $key = "AWS4$fixture->{secret}";

	$key = hmac_sha256($_, $key) for split m{/}, $scope // '';
	is($key_id, $fixture->{options}{username}, 'access key');
	like($scope // '', qr{^\d{8}/us-east-1/sms-voice/aws4_request$}, 'scope');
	is($signature, hmac_sha256_hex($text, $key), 'signature');
	ok((grep { $_ eq 'x-amz-target' } @names) && (grep { $_ eq 'host' } @names), 'target and host are signed');
}

# Messages of a test go to a person each: an opt-out or a cap of one is none of another.
sub next_person { return phone(++$people); }

# An answer in which the gateway's id is another one each time, as gateways have it.
sub answer_rule
{
	my ($case, %more) = @_;
	my $body = text_of($case->{body});

	$body =~ s/\Q$case->{provider_id}\E/$case->{provider_id}-{n}/ if $case->{provider_id};
	return { status => $case->{status}, body => $body, %more };
}

# What the view says of a message, where the fixture knows it.
sub test_columns
{
	my ($id, $case) = @_;
	my %column = (class => 'error_class', code => 'error_code', reason => 'reason', cost => 'cost', currency => 'currency');

	is(sql("SELECT $column{$_} FROM smsflow.message WHERE message_id = $id"), $case->{$_}, "... $_")
		for grep { defined $case->{$_} } sort keys %column;
	for my $name (grep { defined $case->{$_} } qw(parts carrier line_type))
	{
		is(sql("SELECT max($name) FROM smsflow.report WHERE message_id = $id"), $case->{$name}, "... $name");
	}
}

sub test_answer
{
	my ($route, $case) = @_;
	my $before = $gateway->requests;
	my $id;

	$gateway->script(answer_rule($case, times => $case->{times} // 100), answer_rule($route->{accepted}));
	$id = send_sms($route->{name}, 'Hello', $case->{purpose} // 'transactional', to => next_person());
	wait_status($id, $case->{becomes}, "$case->{name}: $case->{becomes}");
	test_columns($id, $case);
	like(sql("SELECT provider_id FROM smsflow.message WHERE message_id = $id"), qr/^\Q$case->{provider_id}\E-\d+$/, '... id')
		if $case->{provider_id};
	is($gateway->requests - $before, $case->{requests}, '... requests') if $case->{requests};
	return if $case->{becomes} ne 'held';

	# A sender that is held back for its configuration goes on when a person has looked at it.
	sql("SELECT smsflow.cancel($id); SELECT smsflow.set_gateway('$route->{name}', enabled => true)");
}

# Calls one of our URLs as the gateway does, and tests what it is told.
sub call
{
	my ($route, $url_called, $case, $message) = @_;
	my $query = filled($case->{query} // '', $route, $message->{id});
	my $content = text_of($case->{sns} ? envelope(filled(text_of($case->{sns}), $route, $message->{id})) : $case->{body} // '');
	my $path = $url_called =~ s/^\Q$url\E//r;
	my $headers = $case->{type} ? $json->encode({ 'content-type' => $case->{type} }) : '{}';

	$content = filled($content, $route, $message->{id});
	$content =~ s/\Q$route->{accepted}{provider_id}\E\b/$message->{provider_id}/g if $message->{provider_id};
	utf8::encode($content);
	is(sql(sprintf(q{SELECT status || ' ' || body FROM smsflow.receive_callback(%s, %s, %s, %s, %s, decode('%s', 'hex'))},
			quote($route->{name}), quote($case->{method}), quote($path), quote($query), quote($headers), unpack('H*', $content))),
		'200 ' . ($route->{answer} // ''), "$case->{name} is taken");
}

sub envelope
{
	my ($message) = @_;

	return { Type => 'Notification', MessageId => '22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324', TopicArn => 'arn:aws:sns:us-east-1:123456789012:sms',
		Message => $message, Timestamp => '2012-05-02T00:54:06.655Z', SignatureVersion => '1', Signature => 'x', SigningCertURL => 'x' };
}

sub inbound_url { my ($route) = @_; return sql("SELECT smsflow.inbound_url('$route->{name}')"); }

sub test_reports
{
	my ($route, $fixture) = @_;
	my (%message, $reports);

	for my $case (@{ $fixture->{reports} })
	{
		if (!%message || $case->{fresh})
		{
			%message = (id => send_sms($route->{name}, 'Hello', 'transactional', to => next_person()));
			wait_status($message{id}, 'accepted', 'a message');
			$message{provider_id} = sql("SELECT provider_id FROM smsflow.message WHERE message_id = $message{id}");
			$reports = 0;
		}
		$reports++;
		call($route, $fixture->{account_reports} ? inbound_url($route) : callback_url($route->{name}, $message{id}), $case, \%message);
		ok(wait_sql('the report is applied', "SELECT count(*) FROM smsflow.report WHERE message_id = $message{id}", $reports), "$case->{name} is applied");
		wait_status($message{id}, $case->{becomes}, "... $case->{becomes}");
		test_columns($message{id}, $case);
	}
}

# A look-up, made at once: its URL, and what its answer makes of the message.
sub test_lookups
{
	my ($route, $fixture) = @_;

	for my $case (@{ $fixture->{lookups} })
	{
		my $to = next_person();
		my $id;

		$gateway->script($case->{doubt} ? { path => $fixture->{request}{target} =~ s/[?].*//r, times => 1, action => 'close' } : answer_rule($route->{accepted}));
		$id = send_sms($route->{name}, 'Hello', 'promotional', to => $to);
		wait_status($id, $case->{doubt} ? 'in_doubt' : 'accepted', "$case->{name}: a message");
		my %of = (provider_id => sql("SELECT provider_id FROM smsflow.message WHERE message_id = $id"), to_digits => substr($to, 1), to_escaped => escaped($to));
		my ($target, $body) = map { filled(s/\$(provider_id|to_digits|to_escaped)\b/$of{$1}/gr, $route, $id) } $case->{target}, text_of($case->{body});
		my $before = $gateway->requests;

		$gateway->script({ status => 200, body => $body });
		sql("SELECT smsflow.plan_lookups('{$id}', '0')");
		is(wait_request($before)->{target}, "/$route->{name}$target", '... what is asked');
		wait_status($id, $case->{becomes}, "... $case->{becomes}");
		test_columns($id, $case);
		sql("DELETE FROM smsflow.lookup");
	}
}

# Two messages that are asked for in one transaction leave in one request.
sub test_batch
{
	my ($route, $case) = @_;
	my @to = map { next_person() } 1, 2;
	my $first = 1 + sql('SELECT last_value FROM smsflow.message_id_seq');
	my %of = map { ("to$_" => substr($to[ $_ - 1 ], 1)) } 1, 2;
	my $fill = sub { filled($_[0] =~ s/\$((?:key|id|callback)|to)([12])/defined $of{"$1$2"} ? $of{"$1$2"} : filled("\$$1", $route, $first + $2 - 1)/ger, $route, $first) };
	my $before = $gateway->requests;
	my ($request, @ids);

	$gateway->script({ status => $case->{status} // 200, body => $fill->(text_of($case->{answer})) });
	my $purpose = $case->{purpose} // 'transactional';
	sql(join('; ', 'BEGIN', (map { "SELECT smsflow.send('$to[$_]', '$case->{texts}[$_]', '$purpose', pool => '$route->{name}', expires_in => '30 days')" } 0, 1), 'COMMIT'));
	$request = wait_request($before);
	is(sent_body($request), $fill->($case->{body}), 'two messages are one request');
	is($request->{target}, "/$route->{name}$case->{target}", '... whose URL is that of several') if $case->{target};
	ok(wait_sql('each has its result', "SELECT string_agg(status, ' ' ORDER BY message_id) FROM smsflow.message WHERE message_id IN ($first, $first + 1)", $case->{becomes}),
		"... $case->{becomes}");
	is(sql("SELECT provider_id FROM smsflow.message WHERE message_id = $first"), $fill->($case->{provider_id}), '... with its id');
}

sub newest_reply { return sql("SELECT coalesce(max(inbound_id), 0) || ' ' || coalesce((array_agg(body ORDER BY inbound_id DESC))[1], '') FROM smsflow.inbound"); }

sub test_replies
{
	my ($route, $fixture) = @_;

	for my $kind (grep { $fixture->{$_} } qw(inbound latin wide))
	{
		my $case = { name => $kind, %{ $fixture->{$kind} } };
		my ($before) = newest_reply() =~ /^(\d+)/;
		my $text = $case->{text};

		call($route, inbound_url($route), $case, {});
		utf8::encode($text);
		like(newest_reply(), qr/^\d+ \Q$text\E$/, "$kind: the text");
		my ($after) = newest_reply() =~ /^(\d+)/;
		cmp_ok($after, '>', $before, '... is kept');
		call($route, inbound_url($route), $case, {});
		is((newest_reply() =~ /^(\d+)/)[0], $after, '... once');
	}
	if ($fixture->{concat})
	{
		my ($before) = newest_reply() =~ /^(\d+)/;

		call($route, inbound_url($route), { name => 'a part', method => 'GET', %{ $fixture->{concat}[0] } }, {});
		is((newest_reply() =~ /^(\d+)/)[0], $before, 'a part waits');
		call($route, inbound_url($route), { name => 'the other part', method => 'GET', %{ $fixture->{concat}[1] } }, {});
		like(newest_reply(), qr/ \Q$fixture->{concat_text}\E$/, 'the whole');
		call($route, inbound_url($route), { name => 'a part again', method => 'GET', %{ $fixture->{concat}[0] } }, {});
		like(newest_reply(), qr/ \Q$fixture->{concat_text}\E$/, '... is kept once');
	}
	return if !$fixture->{opt_out};
	call($route, inbound_url($route), { name => 'opt-out', %{ $fixture->{opt_out} } }, {});
	is(sql("SELECT reason FROM smsflow.can_send('+14155550199', 'promotional')"), 'opted_out', 'it is obeyed');
}

foreach my $file (glob('test/gateway/profiles/*.json'))
{
	my $fixture = JSON::PP->new->utf8->decode(slurp_file($file));
	my ($profile) = $file =~ m{([a-z_]+)\.json$};
	my %route = (name => "my_$profile", accepted => $fixture->{answers}[0], answer => $fixture->{answer});

	$gateway->script(answer_rule($route{accepted}));
	$route{from} = add_route($route{name}, $gateway, profile => $profile, gateway => $json->encode($fixture->{options}), secret => $fixture->{secret});
	subtest $profile => sub {
		subtest request => sub { test_request(\%route, $fixture) };
		subtest answers => sub { test_answer(\%route, $_) for @{ $fixture->{answers} } };
		$gateway->script(answer_rule($route{accepted}));
		subtest reports => sub { test_reports(\%route, $fixture) };
		subtest replies => sub { test_replies(\%route, $fixture) };
		subtest batch => sub { test_batch(\%route, $fixture->{batch}) } if $fixture->{batch};
		subtest lookups => sub { test_lookups(\%route, $fixture) } if $fixture->{lookups};
	};
	sql("SELECT smsflow.set_gateway('$route{name}', enabled => false)");
}

# test_gateway() shows what was on the wire, but for the secret.
subtest 'test_gateway' => sub {
	my ($out, $error);
	my $secret = 'p/q "r" &';
	my $call = sub { $node->psql('shop', "CALL smsflow.test_gateway('$_[0]', '+14155550150')", stdout => \$out, stderr => \$error); return $out };

	add_route('tested', $gateway, profile => 'twilio', gateway => '{"account": "AC7", "username": "AC7"}', secret => $secret);
	$gateway->script({ path => '/tested', status => 201, body => '{"sid": "SMt"}' });
	like($call->('tested'), qr{^accepted\|\|POST http://127\.0\.0\.1:\d+/tested/2010-04-01/Accounts/AC7/Messages\.json\nAuthorization: Basic AC7:xxxxx\n}, 'status and request');
	like($out, qr{Body=Test%20of%20gateway%20%22tested%22&.*\|201\|\{"sid": "SMt"\}$}s, 'body and answer');
	is(sent_body(($gateway->requests)[-1]) =~ s/^.*\n\n//sr, $out =~ s/^.*?\n\n(.*)\|201\|.*$/$1/sr, 'it was on the wire like this');

	add_route('queried', $gateway, profile => 'jasmin', gateway => '{"username": "shop"}', secret => $secret);
	$gateway->script({ path => '/queried', status => 403, body => 'Error "Authentication failure for username:shop"' });
	like($call->('queried'), qr{^held\|configuration\|GET \S+&password=xxxxx&.*\|403\|Error "Authentication failure}s, 'a secret in a URL is masked, too');
	unlike($out, qr{p/q|p%2Fq}, 'it is nowhere');

	$call->('nowhere');
	like($error, qr/gateway "nowhere" does not exist/, 'no such gateway');
	sql("SELECT smsflow.opt_out('+14155550150', '{transactional}')");
	$call->('tested');
	like($error, qr/has opted out/, 'not to somebody who has opted out');
	sql("SELECT smsflow.cancel(message_id) FROM smsflow.message WHERE status = 'held'");
};

check_is_clean();
$node->stop;
done_testing();
