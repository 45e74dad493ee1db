/*
 * request.c - the HTTP request of a message, from its gateway's profile. Every
 * value is escaped for the place it stands in, so that a name or a text can
 * neither add a parameter nor a header.
 */
#include "worker/worker.h"

#include "access/xlog.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "core/escape.h"
#include "core/phone.h"
#include "core/template.h"
#include "types/types.h"

typedef enum Place
{
	PLACE_URL,
	PLACE_FORM,
	PLACE_JSON,
	PLACE_HEADER
} Place;

typedef struct Variables
{
	Job *job;
	Place place;
	StringInfoData value; /* the escaped value asked for last */
	bool unsafe;          /* a line break in a header */
	bool secret_missing;
} Variables;

/* ---- values ---- */

static void
append_number(StringInfo out, int64 number)
{
	appendStringInfo(out, INT64_FORMAT, number);
}

static void
append_recipient(StringInfo out, int64 phone, bool plus)
{
	char text[SMSFLOW_PHONE_BUFSIZE];

	smsflow_phone_format(phone, text);
	appendStringInfoString(out, plus ? text : text + 1);
}

static int64
validity_seconds(const Job *job)
{
	int64 left = (job->expires_at - worker.clock->now()) / USECS_PER_SEC;

	return Max(left, 1);
}

/* Gateways that cannot reach us are not asked for reports. */
static bool
reports_wanted(void)
{
	return worker.callback_key != NULL && smsflow_public_url[0] != '\0';
}

static void
append_callback_url(StringInfo out, const Job *job)
{
	const Gateway *gateway = job->sender->gateway;
	char *path;
	char mac[SMSFLOW_MAC_LENGTH + 1];
	int base_length = (int) strlen(smsflow_public_url);

	if (!reports_wanted())
		return;
	if (smsflow_public_url[base_length - 1] == '/')
		base_length--;
	path = psprintf("/callback/%s/" INT64_FORMAT ".%d", gateway->name, job->message_id, job->attempt);
	smsflow_mac(worker.callback_key, path, mac);
	appendStringInfo(out, "%.*s%s.%s", base_length, smsflow_public_url, path, mac);
	if (gateway->callback_query && gateway->callback_query[0] != '\0')
		appendStringInfo(out, "?%s", gateway->callback_query);
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

/* Returns false when there is no variable of that name, or it has no value. */
static bool
append_variable(StringInfo out, Variables *vars, const char *name)
{
	Job *job = vars->job;
	const Gateway *gateway = job->sender->gateway;

	if (strcmp(name, "to") == 0 || strcmp(name, "to_digits") == 0)
		append_recipient(out, job->recipient, strcmp(name, "to") == 0);
	else if (strcmp(name, "from") == 0)
		appendStringInfoString(out, job->sender->address);
	else if (strcmp(name, "from_digits") == 0)
		appendStringInfoString(out, job->sender->address + (job->sender->address[0] == '+' ? 1 : 0));
	else if (strcmp(name, "body") == 0)
		appendStringInfoString(out, job->body);
	else if (strcmp(name, "reference") == 0)
		appendStringInfo(out, INT64_FORMAT ".%d", job->message_id, job->attempt);
	else if (strcmp(name, "idempotency_key") == 0)
		appendStringInfo(out, "smsflow-" UINT64_FORMAT "-" INT64_FORMAT, GetSystemIdentifier(), job->message_id);
	else if (strcmp(name, "callback_url") == 0)
		append_callback_url(out, job);
	else if (strcmp(name, "dlr_mask") == 0)
	{
		/* Kannel's own default of the profile, or none at all. */
		if (reports_wanted())
			return false;
		appendStringInfoChar(out, '0');
	}
	else if (strcmp(name, "parts") == 0)
		append_number(out, job->parts);
	else if (strcmp(name, "unicode") == 0)
		append_number(out, job->unicode ? 1 : 0);
	else if (strcmp(name, "coding") == 0)
		append_number(out, job->unicode ? 2 : 0);
	else if (strcmp(name, "validity_seconds") == 0)
		append_number(out, validity_seconds(job));
	else if (strcmp(name, "validity_minutes") == 0)
		append_number(out, (validity_seconds(job) + 59) / 60);
	else if (strcmp(name, "secret") == 0)
	{
		vars->secret_missing |= gateway->secret == NULL;
		appendStringInfoString(out, gateway->secret ? gateway->secret : "");
	}
	else if (strncmp(name, "option.", 7) == 0)
		return append_option(out, gateway->options, name + 7);
	else if (strncmp(name, "sender_option.", 14) == 0)
		return append_option(out, job->sender->options, name + 14);
	else
		return false;
	return true;
}

/* ---- escaping ---- */

static void
escape_value(Variables *vars, const char *text, size_t length)
{
	size_t size = length * 6 + 1;

	resetStringInfo(&vars->value);
	enlargeStringInfo(&vars->value, (int) size);
	switch (vars->place)
	{
		case PLACE_URL:
		case PLACE_FORM:
			vars->value.len = (int) smsflow_escape_url(text, length, vars->value.data, size);
			break;
		case PLACE_JSON:
			vars->value.len = (int) smsflow_escape_json(text, length, vars->value.data, size);
			break;
		case PLACE_HEADER:
			vars->unsafe |= !smsflow_header_safe(text, length);
			appendBinaryStringInfo(&vars->value, text, (int) length);
			break;
	}
}

static bool
lookup(void *ctx, const char *path, size_t pathlen, const char **value, size_t *valuelen)
{
	Variables *vars = ctx;
	char *name = pnstrdup(path, pathlen);
	StringInfoData raw;

	initStringInfo(&raw);
	if (!append_variable(&raw, vars, name))
		return false;
	escape_value(vars, raw.data, (size_t) raw.len);
	*value = vars->value.data;
	*valuelen = (size_t) vars->value.len;
	return true;
}

static void
append(void *ctx, const char *text, size_t length)
{
	appendBinaryStringInfo((StringInfo) ctx, text, (int) length);
}

static bool
render(StringInfo out, Variables *vars, Place place, const char *template)
{
	SmsflowTemplateError error;

	vars->place = place;
	return smsflow_template_render(template, strlen(template), lookup, vars, append, out, &error);
}

/* ---- the request ---- */

static bool
build_url(SmsflowRequest *request, Variables *vars, const Gateway *gateway)
{
	StringInfoData url;

	initStringInfo(&url);
	appendStringInfoString(&url, gateway->base_url);
	if (!render(&url, vars, PLACE_URL, gateway->path))
		return false;
	if (gateway->query[0] != '\0')
	{
		appendStringInfoChar(&url, '?');
		if (!render(&url, vars, PLACE_URL, gateway->query))
			return false;
	}
	request->url = url.data;
	return true;
}

static bool
build_headers(SmsflowRequest *request, Variables *vars, const Gateway *gateway)
{
	JsonbIterator *it = JsonbIteratorInit(&gateway->headers->root);
	JsonbIteratorToken token;
	JsonbValue value;
	StringInfoData header;

	initStringInfo(&header);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			initStringInfo(&header);
			appendBinaryStringInfo(&header, value.val.string.val, value.val.string.len);
			appendStringInfoString(&header, ": ");
		}
		else if (token == WJB_VALUE && value.type == jbvString)
		{
			if (!render(&header, vars, PLACE_HEADER, pnstrdup(value.val.string.val, value.val.string.len)) || vars->unsafe ||
				request->header_count == SMSFLOW_MAX_HEADERS - 1)
				return false;
			request->headers[request->header_count++] = header.data;
		}
	}
	return true;
}

static bool
build_body(SmsflowRequest *request, Variables *vars, const Gateway *gateway)
{
	StringInfoData body;

	if (gateway->body == NULL)
		return true;
	initStringInfo(&body);
	if (!render(&body, vars, strcmp(gateway->content_type, "application/json") == 0 ? PLACE_JSON : PLACE_FORM, gateway->body))
		return false;
	request->body = body.data;
	request->body_length = (size_t) body.len;
	request->headers[request->header_count++] = psprintf("Content-Type: %s", gateway->content_type);
	return true;
}

static void
set_credentials(SmsflowRequest *request, Variables *vars, const Gateway *gateway)
{
	const char *name;
	size_t length;

	if (!gateway->basic_auth)
		return;
	vars->secret_missing |= gateway->secret == NULL;
	request->username = gateway->name;
	if (smsflow_jsonb_text(gateway->options, "username", &name, &length))
		request->username = pnstrdup(name, length);
	request->password = gateway->secret;
}

SmsflowRequest *
request_build(Job *job, const char **problem)
{
	const Gateway *gateway = job->sender->gateway;
	SmsflowRequest *request = palloc0(sizeof(SmsflowRequest));
	Variables vars = {.job = job};
	bool built;

	initStringInfo(&vars.value);
	request->method = gateway->method;
	request->timeout_ms = gateway->timeout_ms;
	if (job->body == NULL)
	{
		*problem = "code_missing";
		return NULL;
	}
	built = build_url(request, &vars, gateway) && build_headers(request, &vars, gateway) && build_body(request, &vars, gateway);
	set_credentials(request, &vars, gateway);
	if (vars.secret_missing)
	{
		*problem = "secret_missing";
		return NULL;
	}
	if (!built)
	{
		*problem = vars.unsafe ? "unsafe_header" : "profile_variable_missing";
		return NULL;
	}
	return request;
}
