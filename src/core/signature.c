/*
 * signature.c - see signature.h.
 */
#include "signature.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"

static void
put(SmsflowSink sink, void *ctx, const char *text)
{
	sink(ctx, text, strlen(text));
}

/* ---- parameters ---- */

static void
read_pair(const char *pair, size_t len, char *buffer, SmsflowParam *param)
{
	const char *equals = memchr(pair, '=', len);
	size_t name_len = equals ? (size_t) (equals - pair) : len;
	size_t value_start = equals ? name_len + 1 : len;

	param->name = buffer;
	param->name_len = smsflow_unescape_octets(pair, name_len, buffer);
	param->value = buffer + param->name_len;
	param->value_len = smsflow_unescape_octets(pair + value_start, len - value_start, buffer + param->name_len);
}

int
smsflow_params_parse(const char *form, size_t len, char *buffer, SmsflowParam params[SMSFLOW_MAX_PARAMS])
{
	const char *end = form + len;
	int count = 0;

	while (form < end)
	{
		const char *stop = memchr(form, '&', (size_t) (end - form));
		size_t pair_len = (size_t) ((stop ? stop : end) - form);

		if (pair_len > 0)
		{
			if (count == SMSFLOW_MAX_PARAMS)
				return -1;
			read_pair(form, pair_len, buffer, &params[count]);
			buffer += params[count].name_len + params[count].value_len;
			count++;
		}
		form += pair_len + 1;
	}
	return count;
}

static int
compare_bytes(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int
compare_params(const void *left, const void *right)
{
	const SmsflowParam *a = left;
	const SmsflowParam *b = right;
	int order = compare_bytes(a->name, a->name_len, b->name, b->name_len);

	return order != 0 ? order : compare_bytes(a->value, a->value_len, b->value, b->value_len);
}

void
smsflow_params_sort(SmsflowParam *params, int count)
{
	qsort(params, (size_t) count, sizeof(SmsflowParam), compare_params);
}

static bool
is_named(const SmsflowParam *param, const char *name)
{
	return param->name_len == strlen(name) && memcmp(param->name, name, param->name_len) == 0;
}

const SmsflowParam *
smsflow_params_find(const SmsflowParam *params, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (is_named(&params[i], name))
			return &params[i];
	return NULL;
}

/* ---- what is signed ---- */

void
smsflow_signed_twilio(const char *url, const SmsflowParam *params, int count, SmsflowSink sink, void *ctx)
{
	put(sink, ctx, url);
	for (int i = 0; i < count; i++)
	{
		/* A value that comes twice counts once. */
		if (i > 0 && compare_params(&params[i - 1], &params[i]) == 0)
			continue;
		sink(ctx, params[i].name, params[i].name_len);
		sink(ctx, params[i].value, params[i].value_len);
	}
}

void
smsflow_signed_vonage(const SmsflowParam *params, int count, SmsflowSink sink, void *ctx)
{
	for (int i = 0; i < count; i++)
	{
		if (is_named(&params[i], "sig"))
			continue;
		put(sink, ctx, "&");
		sink(ctx, params[i].name, params[i].name_len);
		put(sink, ctx, "=");
		for (size_t c = 0; c < params[i].value_len; c++)
		{
			char byte = params[i].value[c];

			sink(ctx, byte == '&' || byte == '=' ? "_" : &byte, 1);
		}
	}
}

void
smsflow_signed_plivo(const SmsflowPlivo *request, SmsflowSink sink, void *ctx)
{
	put(sink, ctx, request->url);
	if (request->query_count > 0 || request->form_count > 0)
		put(sink, ctx, "?");
	for (int i = 0; i < request->query_count; i++)
	{
		if (i > 0)
			put(sink, ctx, "&");
		sink(ctx, request->query[i].name, request->query[i].name_len);
		put(sink, ctx, "=");
		sink(ctx, request->query[i].value, request->query[i].value_len);
	}
	if (request->query_count > 0 && request->form_count > 0)
		put(sink, ctx, ".");
	for (int i = 0; i < request->form_count; i++)
	{
		sink(ctx, request->form[i].name, request->form[i].name_len);
		sink(ctx, request->form[i].value, request->form[i].value_len);
	}
	put(sink, ctx, ".");
	put(sink, ctx, request->nonce);
}

void
smsflow_signed_payload(const char *template, const SmsflowPayload *payload, SmsflowSink sink, void *ctx)
{
	while (*template != '\0')
	{
		if (strncmp(template, "{body}", 6) == 0)
		{
			sink(ctx, payload->body, payload->body_len);
			template += 6;
		}
		else if (strncmp(template, "{nonce}", 7) == 0)
		{
			put(sink, ctx, payload->nonce);
			template += 7;
		}
		else if (strncmp(template, "{timestamp}", 11) == 0)
		{
			put(sink, ctx, payload->timestamp);
			template += 11;
		}
		else
			sink(ctx, template ++, 1);
	}
}

void
smsflow_signed_sns(const char *(*lookup)(void *source, const char *name), void *source, SmsflowSink sink, void *ctx)
{
	static const char *const names[] = {"Message",   "MessageId", "Subject",  "SubscribeURL",
										"Timestamp", "Token",     "TopicArn", "Type"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		const char *value = lookup(source, names[i]);

		if (value == NULL)
			continue;
		put(sink, ctx, names[i]);
		put(sink, ctx, "\n");
		put(sink, ctx, value);
		put(sink, ctx, "\n");
	}
}

static bool
ends_with(const char *text, size_t len, const char *ending)
{
	size_t ending_len = strlen(ending);

	return len >= ending_len && memcmp(text + len - ending_len, ending, ending_len) == 0;
}

bool
smsflow_sns_certificate_url(const char *url)
{
	static const char start[] = "https://sns.";
	size_t host_len;
	size_t region_len;

	if (strncmp(url, start, sizeof(start) - 1) != 0 || !ends_with(url, strlen(url), ".pem"))
		return false;
	url += sizeof(start) - 1;
	host_len = strcspn(url, "/");
	region_len = strspn(url, "abcdefghijklmnopqrstuvwxyz0123456789-");
	if (url[host_len] != '/' || region_len < 3 || strpbrk(url, "?#@\\") != NULL)
		return false;
	url += region_len;
	host_len -= region_len;
	return (host_len == 14 && memcmp(url, ".amazonaws.com", 14) == 0) ||
		   (host_len == 17 && memcmp(url, ".amazonaws.com.cn", 17) == 0);
}

/* ---- texts of bytes ---- */

static int
base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	if (c == '/' || c == '_')
		return 63;
	return -1;
}

size_t
smsflow_base64_decode(const char *text, size_t len, unsigned char *out)
{
	uint32_t bits = 0;
	int held = 0;
	size_t used = 0;

	for (int padding = 0; padding < 2 && len > 0 && text[len - 1] == '='; padding++)
		len--;
	if (len % 4 == 1)
		return SIZE_MAX;
	for (size_t i = 0; i < len; i++)
	{
		int digit = base64_digit(text[i]);

		if (digit < 0)
			return SIZE_MAX;
		bits = (bits << 6 | (uint32_t) digit) & 0xFFFF;
		held += 6;
		if (held >= 8)
		{
			held -= 8;
			out[used++] = (unsigned char) (bits >> held);
		}
	}
	return used;
}

size_t
smsflow_hex_decode(const char *text, size_t len, unsigned char *out)
{
	if (len % 2 != 0)
		return SIZE_MAX;
	for (size_t i = 0; i < len; i += 2)
	{
		int high = smsflow_hex_digit(text[i]);
		int low = smsflow_hex_digit(text[i + 1]);

		if (high < 0 || low < 0)
			return SIZE_MAX;
		out[i / 2] = (unsigned char) (high << 4 | low);
	}
	return len / 2;
}

bool
smsflow_jwt_split(const char *token, SmsflowJwt *jwt)
{
	const char *first = strchr(token, '.');
	const char *second = first ? strchr(first + 1, '.') : NULL;

	if (second == NULL || strchr(second + 1, '.') != NULL)
		return false;
	*jwt = (SmsflowJwt){
		.header = token,
		.header_len = (size_t) (first - token),
		.claims = first + 1,
		.claims_len = (size_t) (second - first - 1),
		.signature = second + 1,
		.signature_len = strlen(second + 1),
		.signed_len = (size_t) (second - token),
	};
	return jwt->header_len > 0 && jwt->claims_len > 0 && jwt->signature_len > 0;
}

bool
smsflow_equal_bytes(const unsigned char *a, const unsigned char *b, size_t len)
{
	volatile unsigned char difference = 0;

	for (size_t i = 0; i < len; i++)
		difference = (unsigned char) (difference | (a[i] ^ b[i]));
	return difference == 0;
}
