/*
 * variable.c - see variable.h. One small function a variable, and a table of
 * their names: what a profile can say is what stands in the table.
 */
#include "worker/variable.h"

#include "access/xlog.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "core/instant.h"
#include "core/phone.h"
#include "types/types.h"

/* ---- numbers of people ---- */

static void
append_recipient(StringInfo out, const Job *job, bool plus)
{
	char text[SMSFLOW_PHONE_BUFSIZE];

	smsflow_phone_format(job->recipient, text);
	appendStringInfoString(out, plus ? text : text + 1);
}

static bool
to(StringInfo out, const Job *job, const char *rest)
{
	append_recipient(out, job, true);
	return true;
}

static bool
to_digits(StringInfo out, const Job *job, const char *rest)
{
	append_recipient(out, job, false);
	return true;
}

static bool
from(StringInfo out, const Job *job, const char *rest)
{
	appendStringInfoString(out, job->sender->address);
	return true;
}

static bool
from_digits(StringInfo out, const Job *job, const char *rest)
{
	const char *address = job->sender->address;

	appendStringInfoString(out, address[0] == '+' ? address + 1 : address);
	return true;
}

/* ---- the text ---- */

static bool
body(StringInfo out, const Job *job, const char *rest)
{
	appendStringInfoString(out, job->body);
	return true;
}

static void
append_utf16_hex(StringInfo out, pg_wchar c)
{
	if (c >= 0x10000)
	{
		c -= 0x10000;
		appendStringInfo(out, "%04x%04x", 0xD800 + (c >> 10), 0xDC00 + (c & 0x3FF));
	}
	else
		appendStringInfo(out, "%04x", c);
}

/* For gateways that take other alphabets only as octets. */
static bool
body_or_hex(StringInfo out, const Job *job, const char *rest)
{
	const unsigned char *text = (const unsigned char *) job->body;

	if (!job->unicode)
		return body(out, job, rest);
	for (; *text != '\0'; text += pg_utf_mblen(text))
		append_utf16_hex(out, utf8_to_unicode(text));
	return true;
}

static bool
parts(StringInfo out, const Job *job, const char *rest)
{
	appendStringInfo(out, "%d", job->parts);
	return true;
}

static bool
unicode(StringInfo out, const Job *job, const char *rest)
{
	appendStringInfoString(out, job->unicode ? "1" : "0");
	return true;
}

static bool
coding(StringInfo out, const Job *job, const char *rest)
{
	appendStringInfoString(out, job->unicode ? "2" : "0");
	return true;
}

/* {{if_unicode.x|y}} is x for a text outside the GSM alphabet, else y. */
static bool
if_unicode(StringInfo out, const Job *job, const char *rest)
{
	appendStringInfoString(out, rest);
	return job->unicode;
}

static bool
if_media(StringInfo out, const Job *job, const char *rest)
{
	appendStringInfoString(out, rest);
	return job->media_count > 0;
}

static bool
if_marketing(StringInfo out, const Job *job, const char *rest)
{
	appendStringInfoString(out, rest);
	return smsflow_purpose_is_marketing(job->purpose);
}

/* ---- what tells one message from another ---- */

static bool
reference(StringInfo out, const Job *job, const char *rest)
{
	appendStringInfo(out, INT64_FORMAT ".%d", job->message_id, job->attempt);
	return true;
}

static bool
idempotency_key(StringInfo out, const Job *job, const char *rest)
{
	appendStringInfo(out, "smsflow-" UINT64_FORMAT "-" INT64_FORMAT, GetSystemIdentifier(), job->message_id);
	return true;
}

/* For gateways whose key is a number of 31 bits; theirs is remembered for hours only. */
static bool
idempotency_number(StringInfo out, const Job *job, const char *rest)
{
	appendStringInfo(out, "%d", (int) (job->message_id & 0x7FFFFFFF));
	return true;
}

bool
variable_reports_wanted(void)
{
	return worker.callback_key != NULL && smsflow_public_url[0] != '\0';
}

static bool
callback_url(StringInfo out, const Job *job, const char *rest)
{
	const Gateway *gateway = job->sender->gateway;
	int base_length = (int) strlen(smsflow_public_url);
	char mac[SMSFLOW_MAC_LENGTH + 1];
	char *path;

	if (!variable_reports_wanted())
		return true;
	if (smsflow_public_url[base_length - 1] == '/')
		base_length--;
	path = psprintf("/callback/%s/" INT64_FORMAT ".%d", gateway->name, job->message_id, job->attempt);
	smsflow_mac(worker.callback_key, path, mac);
	appendStringInfo(out, "%.*s%s.%s", base_length, smsflow_public_url, path, mac);
	if (gateway->callback_query && gateway->callback_query[0] != '\0')
		appendStringInfo(out, "?%s", gateway->callback_query);
	return true;
}

/* Kannel's own default of the profile, or none at all. */
static bool
dlr_mask(StringInfo out, const Job *job, const char *rest)
{
	if (variable_reports_wanted())
		return false;
	appendStringInfoChar(out, '0');
	return true;
}

/* ---- validity ---- */

/* Seconds that are left, or as near to them as the gateway takes. */
static int64
validity(const Job *job)
{
	const Gateway *gateway = job->sender->gateway;
	int64 left = (job->expires_at - worker.clock->now()) / USECS_PER_SEC;

	return Min(Max(left, gateway->shortest_validity), gateway->longest_validity);
}

static bool
validity_seconds(StringInfo out, const Job *job, const char *rest)
{
	appendStringInfo(out, INT64_FORMAT, validity(job));
	return true;
}

static bool
validity_minutes(StringInfo out, const Job *job, const char *rest)
{
	appendStringInfo(out, INT64_FORMAT, (validity(job) + 59) / 60);
	return true;
}

static bool
validity_milliseconds(StringInfo out, const Job *job, const char *rest)
{
	appendStringInfo(out, INT64_FORMAT, validity(job) * 1000);
	return true;
}

/* In whole seconds, UTC. */
static bool
expires_at(StringInfo out, const Job *job, const char *rest)
{
	char text[SMSFLOW_INSTANT_TEXT_SIZE];
	int64 now = worker.clock->now();

	smsflow_instant_format((now - now % USECS_PER_SEC) + validity(job) * USECS_PER_SEC, text);
	appendStringInfoString(out, text);
	return true;
}

/* ---- what a look-up asks by ---- */

static bool
provider_id(StringInfo out, const Job *job, const char *rest)
{
	appendStringInfoString(out, job->provider_id);
	return job->provider_id[0] != '\0';
}

/* ---- settings of the gateway ---- */

static bool
secret(StringInfo out, const Job *job, const char *rest)
{
	appendStringInfoString(out, job->sender->gateway->secret ? job->sender->gateway->secret : "");
	return true;
}

static bool
append_option(StringInfo out, Jsonb *options, const char *path)
{
	const char *text;
	size_t length;

	if (options == NULL || !smsflow_jsonb_text(options, path, &text, &length))
		return false;
	appendBinaryStringInfo(out, text, (int) length);
	return true;
}

static bool
option(StringInfo out, const Job *job, const char *rest)
{
	return append_option(out, job->sender->gateway->options, rest);
}

static bool
sender_option(StringInfo out, const Job *job, const char *rest)
{
	return append_option(out, job->sender->options, rest);
}

/* ---- all of them ---- */

#define VARIABLE(name, append)                                                                                                   \
	{                                                                                                                            \
		name, sizeof(name) - 1, append                                                                                           \
	}

/* A name that ends in a dot goes on: rest is what follows it. */
static const struct
{
	const char *name;
	size_t length;
	bool (*append)(StringInfo out, const Job *job, const char *rest);
} variables[] = {
	VARIABLE("to", to),
	VARIABLE("to_digits", to_digits),
	VARIABLE("from", from),
	VARIABLE("from_digits", from_digits),
	VARIABLE("body", body),
	VARIABLE("body_or_hex", body_or_hex),
	VARIABLE("parts", parts),
	VARIABLE("unicode", unicode),
	VARIABLE("coding", coding),
	VARIABLE("if_unicode.", if_unicode),
	VARIABLE("if_media.", if_media),
	VARIABLE("if_marketing.", if_marketing),
	VARIABLE("reference", reference),
	VARIABLE("idempotency_key", idempotency_key),
	VARIABLE("idempotency_number", idempotency_number),
	VARIABLE("callback_url", callback_url),
	VARIABLE("dlr_mask", dlr_mask),
	VARIABLE("validity_seconds", validity_seconds),
	VARIABLE("validity_minutes", validity_minutes),
	VARIABLE("validity_milliseconds", validity_milliseconds),
	VARIABLE("expires_at", expires_at),
	VARIABLE("provider_id", provider_id),
	VARIABLE("secret", secret),
	VARIABLE("option.", option),
	VARIABLE("sender_option.", sender_option),
};

bool
variable_append(StringInfo out, const Job *job, const char *name, size_t length)
{
	for (int i = 0; i < (int) lengthof(variables); i++)
	{
		size_t known = variables[i].length;
		bool goes_on = variables[i].name[known - 1] == '.';

		if ((goes_on ? length >= known : length == known) && memcmp(name, variables[i].name, known) == 0)
			return variables[i].append(out, job, name + known);
	}
	return false;
}
