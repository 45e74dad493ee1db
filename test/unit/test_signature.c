/*
 * test_signature.c - the texts that gateways sign, against the examples of their documentation and SDKs, and the
 * decoders around them.
 */
#include "signature.h"
#include "unit.h"

#include <string.h>

typedef struct Text
{
	char text[512];
	size_t len;
} Text;

static void
append(void *ctx, const char *text, size_t len)
{
	Text *out = ctx;

	if (out->len + len < sizeof(out->text))
		memcpy(out->text + out->len, text, len);
	out->len += len;
	out->text[out->len < sizeof(out->text) ? out->len : 0] = '\0';
}

static bool
is_text(const Text *out, const char *expected)
{
	return strcmp(out->text, expected) == 0;
}

static SmsflowParam params[SMSFLOW_MAX_PARAMS];
static char buffer[8192];

static int
sorted(const char *form)
{
	int count = smsflow_params_parse(form, strlen(form), buffer, params);

	if (count > 0)
		smsflow_params_sort(params, count);
	return count;
}

static void
test_params(void)
{
	char many[4096] = "";

	CHECK(sorted("") == 0);
	CHECK(sorted("&&") == 0);
	CHECK(sorted("b=2&a=1&a=0&c&=x&d=%41+%zz%") == 6);
	CHECK(params[0].name_len == 0 && params[1].value[0] == '0' && params[2].value[0] == '1' && params[3].value[0] == '2');
	CHECK(params[4].value_len == 0);
	CHECK(params[5].value_len == 6 && memcmp(params[5].value, "A %zz%", 6) == 0);
	CHECK(smsflow_params_find(params, 6, "c") == &params[4]);
	CHECK(smsflow_params_find(params, 6, "e") == NULL);
	for (int i = 0; i < SMSFLOW_MAX_PARAMS; i++)
		strcat(many, "a=1&");
	CHECK(sorted(many) == SMSFLOW_MAX_PARAMS);
	CHECK(sorted(strcat(many, "b")) == -1);
}

/* https://www.twilio.com/docs/usage/security */
static void
test_twilio(void)
{
	Text out = {.len = 0};
	int count = sorted("To=%2B18005551212&Digits=1234&From=%2B14158675309&CallSid=CA1234567890ABCDE&Caller=%2B14158675309");

	smsflow_signed_twilio("https://mycompany.com/myapp.php?foo=1&bar=2", params, count, append, &out);
	CHECK(is_text(&out, "https://mycompany.com/myapp.php?foo=1&bar=2CallSidCA1234567890ABCDECaller+14158675309Digits1234"
						"From+14158675309To+18005551212"));
	out.len = 0;
	smsflow_signed_twilio("u", params, sorted("a=1&a=1&a=0"), append, &out);
	CHECK(is_text(&out, "ua0a1"));
}

static void
test_vonage(void)
{
	Text out = {.len = 0};

	smsflow_signed_vonage(params, sorted("to=AcmeInc&msisdn=447700900001&sig=abc&text=a%26b%3Dc&timestamp=1461605396"), append,
						  &out);
	CHECK(is_text(&out, "&msisdn=447700900001&text=a_b_c&timestamp=1461605396&to=AcmeInc"));
}

/* As plivo-python makes them, utils/signature_v3.py. */
static void
test_plivo(void)
{
	SmsflowParam query[SMSFLOW_MAX_PARAMS];
	char query_buffer[64];
	SmsflowPlivo request = {.url = "https://a.example/p", .query = query, .form = params, .nonce = "n"};
	Text out = {.len = 0};

	smsflow_signed_plivo(&request, append, &out);
	CHECK(is_text(&out, "https://a.example/p.n"));
	out.len = 0;
	request.query_count = smsflow_params_parse("a=1&b=2", 7, query_buffer, query);
	smsflow_signed_plivo(&request, append, &out);
	CHECK(is_text(&out, "https://a.example/p?a=1&b=2.n"));
	out.len = 0;
	request.form_count = sorted("To=1&From=2");
	smsflow_signed_plivo(&request, append, &out);
	CHECK(is_text(&out, "https://a.example/p?a=1&b=2.From2To1.n"));
	out.len = 0;
	request.query_count = 0;
	smsflow_signed_plivo(&request, append, &out);
	CHECK(is_text(&out, "https://a.example/p?From2To1.n"));
}

static void
test_payload(void)
{
	SmsflowPayload payload = {.body = "{nonce}", .body_len = 7, .nonce = "n", .timestamp = "12"};
	Text out = {.len = 0};

	smsflow_signed_payload("{timestamp}|{body}.{nonce}{x}{", &payload, append, &out);
	CHECK(is_text(&out, "12|{nonce}.n{x}{"));
}

static const char *
notification(void *source, const char *name)
{
	(void) source;
	return strcmp(name, "Message") == 0     ? "Hello"
		   : strcmp(name, "MessageId") == 0 ? "m"
		   : strcmp(name, "Type") == 0      ? "Notification"
											: NULL;
}

static void
test_sns(void)
{
	Text out = {.len = 0};

	smsflow_signed_sns(notification, NULL, append, &out);
	CHECK(is_text(&out, "Message\nHello\nMessageId\nm\nType\nNotification\n"));
	CHECK(smsflow_sns_certificate_url("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-f3e.pem"));
	CHECK(smsflow_sns_certificate_url("https://sns.cn-north-1.amazonaws.com.cn/x.pem"));
	CHECK(!smsflow_sns_certificate_url("http://sns.us-east-1.amazonaws.com/x.pem"));
	CHECK(!smsflow_sns_certificate_url("https://sns.us-east-1.amazonaws.com.evil.example/x.pem"));
	CHECK(!smsflow_sns_certificate_url("https://evil.example/sns.us-east-1.amazonaws.com/x.pem"));
	CHECK(!smsflow_sns_certificate_url("https://sns.us-east-1.amazonaws.com@evil.example/x.pem"));
	CHECK(!smsflow_sns_certificate_url("https://sns.us-east-1.amazonaws.com/x.txt"));
	CHECK(!smsflow_sns_certificate_url("https://sns.us.evil.amazonaws.com/x.pem"));
	CHECK(!smsflow_sns_certificate_url("https://sns.amazonaws.com/x.pem"));
	CHECK(!smsflow_sns_certificate_url(""));
}

static bool
base64_gives(const char *text, const char *expected, size_t len)
{
	unsigned char out[64];

	return smsflow_base64_decode(text, strlen(text), out) == len && (len == (size_t) -1 || memcmp(out, expected, len) == 0);
}

/* RFC 4648, section 10, and the alphabet of section 5. */
static void
test_decoders(void)
{
	unsigned char out[8];

	CHECK(base64_gives("", "", 0));
	CHECK(base64_gives("Zg==", "f", 1));
	CHECK(base64_gives("Zm8=", "fo", 2));
	CHECK(base64_gives("Zm9v", "foo", 3));
	CHECK(base64_gives("Zm9vYg", "foob", 4));
	CHECK(base64_gives("-_-_", "\xfb\xff\xbf", 3));
	CHECK(base64_gives("+/+/", "\xfb\xff\xbf", 3));
	CHECK(base64_gives("Zm9vY", "", (size_t) -1));
	CHECK(base64_gives("Zm 9", "", (size_t) -1));
	CHECK(base64_gives("Z===", "", (size_t) -1));
	CHECK(smsflow_hex_decode("0aFF", 4, out) == 2 && out[0] == 0x0A && out[1] == 0xFF);
	CHECK(smsflow_hex_decode("0aF", 3, out) == (size_t) -1);
	CHECK(smsflow_hex_decode("0g", 2, out) == (size_t) -1);
	CHECK(smsflow_equal_bytes((const unsigned char *) "abc", (const unsigned char *) "abd", 2));
	CHECK(!smsflow_equal_bytes((const unsigned char *) "abc", (const unsigned char *) "abd", 3));
}

static void
test_jwt(void)
{
	SmsflowJwt jwt;

	CHECK(smsflow_jwt_split("aa.bbb.c", &jwt));
	CHECK(jwt.header_len == 2 && jwt.claims_len == 3 && jwt.claims[0] == 'b' && jwt.signature_len == 1 && jwt.signed_len == 6);
	CHECK(!smsflow_jwt_split("aa.bbb", &jwt));
	CHECK(!smsflow_jwt_split("aa.bbb.", &jwt));
	CHECK(!smsflow_jwt_split("..", &jwt));
	CHECK(!smsflow_jwt_split("a.b.c.d", &jwt));
	CHECK(!smsflow_jwt_split("", &jwt));
}

int
main(void)
{
	test_params();
	test_twilio();
	test_vonage();
	test_plivo();
	test_payload();
	test_sns();
	test_decoders();
	test_jwt();
	return unit_report();
}
