# Signatures of gateways: what each of them signs is computed here anew, in Perl and by the program openssl, and
# receive_callback() has to agree, to the byte. What is forged, old, or signed by another key is refused.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Digest::MD5 qw(md5_hex);
use Digest::SHA qw(hmac_sha1_base64 hmac_sha256 hmac_sha256_base64 hmac_sha256_hex hmac_sha512 sha256_hex);
use JSON::PP ();
use MIME::Base64 qw(decode_base64 encode_base64 encode_base64url);
use POSIX qw(strftime);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowTest;
use Test::More;

my $base = 'https://sms.example.com/hooks';
my $json = JSON::PP->new->canonical;
my $folder = PostgreSQL::Test::Utils::tempdir();
my $node = start_server('signatures', {}, 'smsflow.public_url' => "$base/");

create_shop(1);

sub quote { my ($text) = @_; $text =~ s/'/''/g; return "'$text'"; }

# The status that a callback gets: gateway, method, query, headers, body.
sub status
{
	my ($name, $method, $query, $headers, $body, $function) = @_;
	my @values = (quote($name), quote($method), quote(path($name)), quote($query), quote($json->encode({ map { $_ => "$headers->{$_}" } keys %$headers })),
		"decode('" . unpack('H*', $body) . "', 'hex')");

	return sql('SELECT status FROM smsflow.receive_callbacks(' . join(', ', map { "ARRAY[$_]" } @values[ 0 .. 3 ], "$values[4]::jsonb", $values[5]) . ')')
		if ($function // '') eq 'batch';
	return sql('SELECT status FROM smsflow.receive_callback(' . join(', ', @values[ 0 .. 3 ], "$values[4]", $values[5]) . ')');
}

my %path;
sub path { my ($name) = @_; return $path{$name} //= sql("SELECT smsflow.callback_url('$name', 1, 1)") =~ s{^\Q$base\E([^?]*).*$}{$1}r; }

# A gateway whose callbacks are signed by these keys.
sub gateway
{
	my ($profile, $options, @keys) = @_;

	sql("SELECT smsflow.add_gateway('my_$profile', '$profile', 'https://api.example.com', '$options')");
	write_secret("my_${profile}_signature", join("\n", @keys)) if @keys;
	return "my_$profile";
}

# Runs openssl on a text in a file; returns what it writes.
sub openssl
{
	my ($text, @arguments) = @_;
	my ($out, $error);

	open(my $file, '>:raw', "$folder/text") or die $!;
	print $file $text;
	close($file);
	IPC::Run::run([ 'openssl', @arguments ], '>', \$out, '2>', \$error) or die "openssl @arguments: $error";
	return $out;
}

my $form = { 'content-type' => 'application/x-www-form-urlencoded' };
my $plain = { 'content-type' => 'application/json' };

subtest 'no key, no check' => sub {
	my $name = gateway('twilio', '{"account": "AC1", "username": "AC1"}');

	is(status($name, 'POST', '', $form, 'MessageStatus=sent'), 200, 'without a key the URL is enough');
	write_secret("${name}_signature", 'token');
	is(status($name, 'POST', '', $form, 'MessageStatus=sent'), 403, 'with one the signature is needed at once');
	chmod(0644, "$SmsflowTest::secrets/${name}_signature");
	is(status($name, 'POST', '', $form, 'MessageStatus=sent'), 503, 'with one that cannot be read nothing is let in');
};

subtest 'twilio' => sub {
	my $name = 'my_twilio';
	my $url = "$base" . path($name);
	my $sign = sub { my ($key, $url, %param) = @_; return hmac_sha1_base64(join('', $url, map { $_ . $param{$_} } sort keys %param), $key) . '='; };
	my %param = (MessageStatus => 'sent', To => '+14155550001', Body => "a & b\xc3\xa9", ApiVersion => '2010-04-01');
	my $body = 'To=%2B14155550001&MessageStatus=sent&Body=a+%26+b%C3%A9&ApiVersion=2010-04-01';

	# https://www.twilio.com/docs/usage/security
	is($sign->('12345', 'https://mycompany.com/myapp.php?foo=1&bar=2', CallSid => 'CA1234567890ABCDE', Caller => '+14158675309',
		Digits => '1234', From => '+14158675309', To => '+18005551212'), 'RSOYDt4T1cUTdK1PDd93/VVr8B8=', 'the documented example');
	write_secret("${name}_signature", "new\nold");
	for my $key ('new', 'old')
	{
		is(status($name, 'POST', '', { %$form, 'x-twilio-signature' => $sign->($key, $url, %param) }, $body), 200, "form, $key key");
	}
	is(status($name, 'POST', '', { %$form, 'x-twilio-signature' => $sign->('other', $url, %param) }, $body), 403, 'another key');
	is(status($name, 'POST', '', { %$form, 'x-twilio-signature' => $sign->('new', $url, %param) }, "$body&x=1"), 403, 'another body');
	is(status($name, 'POST', 'a=1', { %$form, 'x-twilio-signature' => $sign->('new', $url, %param) }, $body), 403, 'another query');
	is(status($name, 'POST', '', { %$form, 'x-twilio-signature' => '' }, $body), 403, 'an empty signature');
	is(status($name, 'GET', 'MessageStatus=sent&x=%20', { 'x-twilio-signature' => $sign->('new', "$url?MessageStatus=sent&x=%20") }, ''), 200, 'query');

	my $text = '{"MessageStatus": "sent"}';
	my $query = 'bodySHA256=' . sha256_hex($text);
	my $headers = { %$plain, 'x-twilio-signature' => $sign->('new', "$url?$query") };
	is(status($name, 'POST', $query, $headers, $text), 200, 'JSON with the hash of its body');
	is(status($name, 'POST', $query, $headers, "$text "), 403, 'JSON with that of another');
	is(status($name, 'POST', '', { %$plain, 'x-twilio-signature' => $sign->('new', $url) }, $text), 403, 'JSON without');
	is(status($name, 'POST', '', { %$form, 'x-twilio-signature' => $sign->('new', $url, %param) }, $body, 'batch'), 200, 'a batch');
};

subtest 'vonage' => sub {
	my $name = gateway('vonage', '{"username": "key"}', 'secret');
	my $signed = sub { my ($how, %param) = @_;
		my $text = join('', map { my $value = $param{$_}; $value =~ tr/&=/__/; "&$_=$value" } sort keys %param);
		return join('&', (map { "$_=" . ($param{$_} =~ s/([^\w.-])/sprintf '%%%02X', ord $1/ger) } sort keys %param), 'sig=' . $how->($text)); };
	my $md5 = sub { md5_hex($_[0] . 'secret') };
	my $hmac = sub { uc hmac_sha256_hex($_[0], 'secret') };
	my %param = (msisdn => '14155550001', status => 'delivered', 'message-timestamp' => '2020-01-01 12:00:00', text => 'a&b=c', timestamp => time, nonce => 'n1');

	is(status($name, 'GET', $signed->($md5, %param), {}, ''), 200, 'MD5, query');
	is(status($name, 'POST', '', $form, $signed->($md5, %param)), 200, 'MD5, form');
	is(status($name, 'GET', $signed->($md5, %param) . '&x=1', {}, ''), 403, 'another query');
	is(status($name, 'GET', $signed->($md5, %param, timestamp => time - 3600), {}, ''), 403, 'an hour old');
	is(status($name, 'GET', $signed->($md5, %param, timestamp => time + 3600), {}, ''), 403, 'an hour too early');
	is(status($name, 'GET', $signed->($hmac, %param), {}, ''), 403, 'HMAC where MD5 is agreed');
	is(status($name, 'GET', 'status=delivered', {}, ''), 403, 'no signature');
	sql(q{SELECT smsflow.set_gateway('my_vonage', options => '{"signature": {"hash": "hmac-sha256"}}')});
	is(status($name, 'GET', $signed->($hmac, %param), {}, ''), 200, 'HMAC where it is agreed');
	my ($sig) = $signed->($hmac, %param) =~ /sig=(.*)/;
	is(status($name, 'POST', '', $plain, $json->encode({ %param, sig => $sig })), 200, 'HMAC, JSON');
	sql(q{SELECT smsflow.set_gateway('my_vonage', options => '{"signature": {"hash": "hmac-sha256", "tolerance": 7200}}')});
	is(status($name, 'GET', $signed->($hmac, %param, timestamp => time - 3600), {}, ''), 200, 'an hour old where that is allowed');
};

# A token of the claims; $head may ask for another algorithm.
sub token
{
	my ($key, $claims, $head) = @_;
	my $text = join('.', map { encode_base64url($json->encode($_)) } $head // { alg => 'HS256', typ => 'JWT' }, $claims);

	return $text . '.' . encode_base64url((($head // {})->{alg} // '') eq 'HS512' ? hmac_sha512($text, $key) : hmac_sha256($text, $key));
}

subtest 'vonage_messages' => sub {
	my $name = gateway('vonage_messages', '{"username": "key"}', 'secret');
	my $body = '{"status": "delivered"}';
	my %claims = (iss => 'Vonage', iat => time, jti => 'x', payload_hash => sha256_hex($body), api_key => 'key');
	my $bearer = sub { return { %$plain, authorization => 'Bearer ' . token(@_) } };

	is(status($name, 'POST', '', $bearer->('secret', \%claims), $body), 200, 'signed');
	is(status($name, 'POST', '', $bearer->('secret', \%claims, { alg => 'HS512' }), $body), 200, 'signed with SHA-512');
	is(status($name, 'POST', '', $bearer->('other', \%claims), $body), 403, 'another key');
	is(status($name, 'POST', '', $bearer->('secret', \%claims), "$body "), 403, 'another body');
	is(status($name, 'POST', '', $bearer->('secret', { %claims, iss => 'Other' }), $body), 403, 'another issuer');
	is(status($name, 'POST', '', $bearer->('secret', { %claims, iat => time - 3600 }), $body), 403, 'old');
	is(status($name, 'POST', '', $bearer->('secret', { %claims, payload_hash => undef }), $body), 403, 'no hash of the body');
	is(status($name, 'POST', '', $bearer->('secret', \%claims, { alg => 'none' }), $body), 403, 'a token that says it needs no signature');
	is(status($name, 'POST', '', { %$plain, authorization => 'Bearer a.b' }, $body), 403, 'half a token');
	is(status($name, 'POST', '', $plain, $body), 403, 'no token');
};

subtest 'messagebird' => sub {
	my $name = gateway('messagebird', '{}', 'key');
	my $url = "$base" . path($name) . '?status=delivered&id=1';
	my %claims = (iss => 'MessageBird', nbf => time - 1, exp => time + 60, jti => 'x', url_hash => sha256_hex($url));
	my $signed = sub { return { 'messagebird-signature-jwt' => token('key', {@_}) } };

	is(status($name, 'GET', 'status=delivered&id=1', $signed->(%claims), ''), 200, 'signed');
	is(status($name, 'GET', 'status=delivered&id=2', $signed->(%claims), ''), 403, 'another query');
	is(status($name, 'GET', 'status=delivered&id=1', $signed->(%claims, exp => time - 10), ''), 403, 'expired');
	is(status($name, 'POST', 'status=delivered&id=1', { %{ $signed->(%claims) }, %$form }, 'a=1'), 403, 'a body without a hash');
	is(status($name, 'POST', 'status=delivered&id=1', { %{ $signed->(%claims, payload_hash => sha256_hex('a=1')) }, %$form }, 'a=1'), 200, 'a body with its hash');
};

subtest 'plivo' => sub {
	my $name = gateway('plivo', '{"username": "MA1"}', 'my_auth_token');
	my $url = "$base" . path($name);
	my $sign = sub { return hmac_sha256_base64($_[0], $_[1] // 'my_auth_token') . '=' };
	my $v3 = sub { my ($text, $nonce) = @_; return { 'x-plivo-signature-v3-nonce' => $nonce, 'x-plivo-signature-v3' => $sign->("$text.$nonce") } };

	# plivo-ruby, spec/signature_spec.rb
	is($sign->('https://answer.url12345'), 'ehV3IKhLysWBxC1sy8INm0qGoQYdYsHwuoKjsX7FsXc=', 'the example of the vendor');
	is(status($name, 'POST', '', { %$form, %{ $v3->("$url?StatussentTo14155550001", 'n1') } }, 'To=14155550001&Status=sent'), 200, 'V3, form');
	is(status($name, 'POST', 'b=2&a=1', { %$form, %{ $v3->("$url?a=1&b=2.StatussentTo14155550001", 'n1') } }, 'To=14155550001&Status=sent'), 200, 'V3, form and query');
	is(status($name, 'GET', 'b=2%20x&Status=sent', $v3->("$url?Status=sent&b=2 x", 'n2'), ''), 200, 'V3, query');
	is(status($name, 'POST', '', { %$form, %{ $v3->("$url?StatussentTo14155550001", 'n1') } }, 'To=14155550002&Status=sent'), 403, 'V3, another form');
	my $two = $v3->("$url?Statussent", 'n3');
	$two->{'x-plivo-signature-v3'} = $sign->('other', 'other') . ", $two->{'x-plivo-signature-v3'}";
	is(status($name, 'POST', '', { %$form, %$two }, 'Status=sent'), 200, 'V3, the second of two signatures');
	is(status($name, 'POST', '', { %$form, 'x-plivo-signature-v2-nonce' => 'n4', 'x-plivo-signature-v2' => $sign->($url . 'n4') }, 'Status=sent'), 200, 'V2');
	is(status($name, 'POST', '', { %$form, 'x-plivo-signature-v2-nonce' => 'n5', 'x-plivo-signature-v2' => $sign->($url . 'n4') }, 'Status=sent'), 403, 'V2, another nonce');
};

subtest 'sinch and infobip' => sub {
	my $name = gateway('sinch', '{"service_plan": "p"}', 'shh');
	my $body = '{"status": "Delivered"}';
	my $headers = sub { my ($at, $nonce) = @_; return { %$plain, 'x-sinch-webhook-signature-timestamp' => $at, 'x-sinch-webhook-signature-nonce' => $nonce,
		'x-sinch-webhook-signature-algorithm' => 'HmacSHA256', 'x-sinch-webhook-signature' => hmac_sha256_base64("$body.$nonce.$at", 'shh') . '=' } };

	is(status($name, 'POST', '', $headers->(time, 'n'), $body), 200, 'sinch');
	is(status($name, 'POST', '', $headers->(time, 'n'), "$body "), 403, 'another body');
	is(status($name, 'POST', '', $headers->(time - 3600, 'n'), $body), 403, 'old');
	is(status($name, 'POST', '', { %{ $headers->(time, 'n') }, 'x-sinch-webhook-signature-nonce' => 'm' }, $body), 403, 'another nonce');

	$name = gateway('infobip', '{"signature": {"header": "x-my-hmac"}}', 'shh');
	$body = '{"results": []}';
	is(status($name, 'POST', '', { %$plain, 'x-my-hmac' => hmac_sha256_hex($body, 'shh') }, $body), 200, 'infobip, in a header of the store');
	is(status($name, 'POST', '', { %$plain, 'x-my-hmac' => 'sha256=' . hmac_sha256_hex($body, 'shh') }, $body), 200, 'with a prefix');
	is(status($name, 'POST', '', { %$plain, 'x-my-hmac' => hmac_sha256_hex("$body ", 'shh') }, $body), 403, 'another body');
};

subtest 'telnyx' => sub {
	openssl('', 'genpkey', '-algorithm', 'ed25519', '-out', "$folder/ed25519");
	my $public = encode_base64(substr(openssl('', 'pkey', '-in', "$folder/ed25519", '-pubout', '-outform', 'DER'), -32), '');
	my $name = gateway('telnyx', '{}', $public);
	my $body = '{"data": {"event_type": "message.finalized"}}';
	my $headers = sub { my ($at, $text) = @_;
		openssl("$at|" . ($text // $body), 'pkeyutl', '-sign', '-rawin', '-inkey', "$folder/ed25519", '-in', "$folder/text", '-out', "$folder/signature");
		return { %$plain, 'telnyx-timestamp' => $at, 'telnyx-signature-ed25519' => encode_base64(slurp_file("$folder/signature"), '') } };

	is(status($name, 'POST', '', $headers->(time), $body), 200, 'signed');
	is(status($name, 'POST', '', $headers->(time - 290), $body), 200, 'not yet too old');
	is(status($name, 'POST', '', $headers->(time - 310), $body), 403, 'too old');
	is(status($name, 'POST', '', $headers->(time), "$body "), 403, 'another body');
	is(status($name, 'POST', '', { %{ $headers->(time) }, 'telnyx-timestamp' => time + 1 }, $body), 403, 'another time');
	is(status($name, 'POST', '', { %{ $headers->(time) }, 'telnyx-signature-ed25519' => 'AAAA' }, $body), 403, 'a short signature');

	# smsflowd says when a callback came that has waited on disk since; nobody else is believed.
	my $old = $headers->(time - 3600);
	is(status($name, 'POST', '', { %$old, 'x-smsflow-arrived' => time - 3590 }, $body, 'batch'), 200, 'one that waited is judged by when it came');
	is(status($name, 'POST', '', { %$old, 'x-smsflow-arrived' => time - 3590 }, $body), 403, '... but not from another receiver');
};

subtest 'aws_sms' => sub {
	openssl('', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', "$folder/rsa", '-out', "$folder/certificate", '-subj', '/CN=sns.amazonaws.com', '-days', '2');
	my $name = gateway('aws_sms', '{"username": "AK", "region": "us-east-1", "configuration_set": "c"}', slurp_file("$folder/certificate"));
	my $certificate = 'https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem';
	my $signed = sub { my ($hash, %more) = @_;
		my %field = (Type => 'Notification', MessageId => 'm', TopicArn => 'arn:aws:sns:us-east-1:1:t', Message => '{"eventType": "TEXT_DELIVERED"}',
			Timestamp => strftime('%Y-%m-%dT%H:%M:%S.000Z', gmtime), %more);
		my $text = join('', map { "$_\n$field{$_}\n" } grep { defined $field{$_} } qw(Message MessageId Subject SubscribeURL Timestamp Token TopicArn Type));

		openssl($text, 'dgst', "-$hash", '-sign', "$folder/rsa", '-out', "$folder/signature", "$folder/text");
		return { SignatureVersion => $hash eq 'sha256' ? '2' : '1', SigningCertURL => $certificate, %field, Signature => encode_base64(slurp_file("$folder/signature"), '') } };
	my $call = sub { return status($name, 'POST', '', { 'content-type' => 'text/plain; charset=UTF-8', 'x-amz-sns-message-type' => 'Notification' }, $json->encode($_[0])) };

	is($call->($signed->('sha1')), 200, 'version 1');
	is($call->($signed->('sha256')), 200, 'version 2');
	is($call->($signed->('sha256', Subject => 'S')), 200, 'with a subject');
	is($call->({ %{ $signed->('sha256') }, Message => '{"eventType": "TEXT_SPAM"}' }), 403, 'another message');
	is($call->({ %{ $signed->('sha256') }, SigningCertURL => 'https://sns.us-east-1.amazonaws.com.evil.example/x.pem' }), 403, 'a certificate from elsewhere');
	is($call->($signed->('sha256', Timestamp => '2012-05-02T00:54:06.655Z')), 403, 'old');
	is($call->($signed->('sha256', Type => 'SubscriptionConfirmation', Message => 'You have chosen', Token => 't', SubscribeURL => 'https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription')), 200, 'a subscription to be confirmed');
	sql(q{SELECT smsflow.set_gateway('my_aws_sms', options => '{"signature": {"topic": "arn:aws:sns:us-east-1:1:mine"}}')});
	is($call->($signed->('sha256')), 403, "somebody else's topic");
	is($call->($signed->('sha256', TopicArn => 'arn:aws:sns:us-east-1:1:mine')), 200, 'ours');
};

$node->stop;
done_testing();
