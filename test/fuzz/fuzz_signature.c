/*
 * fuzz_signature.c - what strangers send is made into signed texts without a byte read or written too many, and says
 * nothing but what was sent. Input: a request, read as each of them.
 */
#include "escape.h"
#include "fuzz.h"
#include "instant.h"
#include "signature.h"

typedef struct Sum
{
	size_t len;
	unsigned bytes;
} Sum;

/* Touches every byte, so that AddressSanitizer sees each of them. */
static void
add(void *ctx, const char *text, size_t len)
{
	Sum *sum = ctx;

	for (size_t i = 0; i < len; i++)
		sum->bytes += (unsigned char) text[i];
	sum->len += len;
}

static void
check_params(const char *text, size_t size)
{
	SmsflowParam *params = (SmsflowParam *) fuzz_buffer(sizeof(SmsflowParam) * SMSFLOW_MAX_PARAMS);
	char *decoded = fuzz_buffer(size);
	int count = smsflow_params_parse(text, size, decoded, params);
	size_t length = 0;
	Sum twilio = {0};
	Sum vonage = {0};
	Sum plivo = {0};

	REQUIRE(count >= -1 && count <= SMSFLOW_MAX_PARAMS);
	for (int i = 0; i < count; i++)
		length += params[i].name_len + params[i].value_len;
	REQUIRE(length <= size);
	if (count > 0)
		smsflow_params_sort(params, count);
	for (int i = 1; i < count; i++)
		REQUIRE(params[i - 1].name_len == 0 || params[i].name_len == 0 || params[i - 1].name[0] == params[i].name[0] ||
				(unsigned char) params[i - 1].name[0] < (unsigned char) params[i].name[0]);
	if (count >= 0)
	{
		SmsflowPlivo request = {"u", params, count, params, count, "n"};

		smsflow_signed_twilio("u", params, count, add, &twilio);
		smsflow_signed_vonage(params, count, add, &vonage);
		smsflow_signed_plivo(&request, add, &plivo);
		REQUIRE(twilio.len <= length + 1);
		REQUIRE(vonage.len <= length + 2 * (size_t) count);
		REQUIRE(plivo.len >= 2 * length);
	}
	free(decoded);
	free(params);
}

static void
check_decoders(const char *text, size_t size)
{
	unsigned char *out = (unsigned char *) fuzz_buffer(size);
	size_t base64 = smsflow_base64_decode(text, size, out);
	size_t hex = smsflow_hex_decode(text, size, out);
	char *octets = fuzz_buffer(size);
	int64_t instant;

	REQUIRE(base64 == SIZE_MAX || base64 <= size);
	REQUIRE(hex == SIZE_MAX || hex * 2 == size);
	REQUIRE(smsflow_unescape_octets(text, size, octets) <= size);
	if (smsflow_instant_read(text, size, &instant))
		REQUIRE(smsflow_instant_is_valid(instant));
	free(octets);
	free(out);
}

/* Texts that end in a zero byte, as headers do. */
static void
check_strings(const char *text, size_t size)
{
	char *string = fuzz_buffer(size + 1);
	SmsflowPayload payload = {text, size, "n", "t"};
	SmsflowJwt jwt;
	Sum sum = {0};

	memcpy(string, text, size);
	string[size] = '\0';
	if (smsflow_jwt_split(string, &jwt))
		REQUIRE(jwt.header == string && jwt.signed_len + 1 + jwt.signature_len == strlen(string) &&
				jwt.signed_len == jwt.header_len + 1 + jwt.claims_len);
	if (smsflow_sns_certificate_url(string))
		REQUIRE(strncmp(string, "https://sns.", 12) == 0 && strstr(string, ".amazonaws.com") != NULL);
	smsflow_signed_payload(string, &payload, add, &sum);
	free(string);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_copy(data, size);

	check_params(text, size);
	check_decoders(text, size);
	check_strings(text, size);
	free(text);
	return 0;
}
