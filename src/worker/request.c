/*
 * request.c - the HTTP request of a message, from its gateway's profile. Every
 * value is escaped for the place it stands in, so that a name or a text can
 * neither add a parameter nor a header.
 */
#include "worker/worker.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "core/escape.h"
#include "core/template.h"
#include "types/types.h"
#include "worker/batch.h"
#include "worker/variable.h"

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
	StringInfoData raw;    /* the value asked for last, */
	StringInfoData value;  /* and the same, escaped */
	const char *media_url; /* NULL outside the fragment of one */
	bool in_fragment;
	const Batch *batch; /* NULL: the request is about one message */
	bool unsafe;        /* a line break in a header */
	bool secret_missing;
	bool masked; /* for people to read */
} Variables;

/* Stands for a secret; no escaping changes it. */
#define MASK "xxxxx"

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
append_value(StringInfo out, Variables *vars, const char *name, size_t length)
{
	if (strcmp(name, "media_url") == 0)
	{
		appendStringInfoString(out, vars->media_url ? vars->media_url : "");
		return vars->media_url != NULL;
	}
	if (strcmp(name, "secret") == 0)
		vars->secret_missing |= vars->job->sender->gateway->secret == NULL;
	if (strcmp(name, "secret") == 0 && vars->masked)
	{
		appendStringInfoString(out, MASK);
		return true;
	}
	return variable_append(out, vars->job, name, length);
}

static bool render(StringInfo out, Variables *vars, Place place, const char *template);
static StringInfo render_fragment(Variables *vars, const char *name, bool *rendered);

static bool
lookup(void *ctx, const char *path, size_t pathlen, const char **value, size_t *valuelen)
{
	Variables *vars = ctx;
	char *name = pnstrdup(path, pathlen);
	bool rendered = true;
	StringInfo fragment = render_fragment(vars, name, &rendered);

	if (fragment)
	{
		*value = fragment->data;
		*valuelen = (size_t) fragment->len;
		return rendered && fragment->len > 0;
	}
	resetStringInfo(&vars->raw);
	if (!append_value(&vars->raw, vars, name, pathlen))
		return false;
	escape_value(vars, vars->raw.data, (size_t) vars->raw.len);
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

/* ---- fragments: templates within templates, with values that are escaped already ---- */

static bool
render_option(StringInfo out, Variables *vars, Jsonb *fragment, const char *name)
{
	const char *text;
	size_t length;

	if (!smsflow_jsonb_text(fragment, name, &text, &length))
		return true;
	return render(out, vars, vars->place, pnstrdup(text, length));
}

static bool
render_media(StringInfo out, Variables *vars, Jsonb *media)
{
	bool fine;

	if (vars->job->media_count == 0)
		return render_option(out, vars, media, "none");
	fine = render_option(out, vars, media, "before");

	for (int i = 0; i < vars->job->media_count && fine; i++)
	{
		vars->media_url = vars->job->media[i];
		fine = (i == 0 || render_option(out, vars, media, "separator")) && render_option(out, vars, media, "item");
	}
	vars->media_url = NULL;
	return fine && render_option(out, vars, media, "after");
}

/* What each message of a batch adds; the variables outside are those of the first. */
static bool
render_items(StringInfo out, Variables *vars)
{
	const Batch *batch = vars->batch;
	const BatchRules *rules = &vars->job->sender->gateway->batch;
	bool fine = true;

	vars->batch = NULL;
	for (int i = 0; i < batch->count && fine; i++)
	{
		if (i > 0 && rules->separator)
			appendStringInfoString(out, rules->separator);
		vars->job = batch->jobs[i];
		fine = render(out, vars, vars->place, rules->item);
	}
	vars->job = batch->jobs[0];
	vars->batch = batch;
	return fine;
}

/*
 * {{items}} of a batch, {{media}} and {{report_request}}: what a request says besides, if there is
 * media, and if reports can come. NULL for another name.
 */
static StringInfo
render_fragment(Variables *vars, const char *name, bool *rendered)
{
	const Gateway *gateway = vars->job->sender->gateway;
	bool of_items = vars->batch && strcmp(name, "items") == 0;
	bool of_media = strcmp(name, "media") == 0;
	StringInfo out;

	if (!of_items && ((!of_media && strcmp(name, "report_request") != 0) || vars->in_fragment))
		return NULL;
	out = makeStringInfo();
	if (of_items)
	{
		*rendered = render_items(out, vars);
		return out;
	}
	vars->in_fragment = true;
	if (of_media && gateway->media)
		*rendered = render_media(out, vars, gateway->media);
	else if (!of_media && variable_reports_wanted() && gateway->report_request)
		*rendered = render(out, vars, vars->place, gateway->report_request);
	vars->in_fragment = false;
	return out;
}

/* ---- the request ---- */

/* A request without a body, beside those of messages: its URL follows the base with one slash between them. */
static bool
build_lookup_url(SmsflowRequest *request, Variables *vars, const Gateway *gateway, const char *template)
{
	StringInfoData url;
	size_t base = strlen(gateway->base_url);

	initStringInfo(&url);
	if (template[0] == '/' && gateway->base_url[base - 1] == '/')
		base--;
	appendBinaryStringInfo(&url, gateway->base_url, (int) base);
	if (!render(&url, vars, PLACE_URL, template))
		return false;
	request->url = url.data;
	return true;
}

static bool
build_url(SmsflowRequest *request, Variables *vars, const Gateway *gateway)
{
	const char *query = vars->batch && gateway->batch.query ? gateway->batch.query : gateway->query;
	StringInfoData url;

	initStringInfo(&url);
	appendStringInfoString(&url, gateway->base_url);
	if (!render(&url, vars, PLACE_URL, gateway->path))
		return false;
	if (query[0] != '\0')
	{
		appendStringInfoChar(&url, '?');
		if (!render(&url, vars, PLACE_URL, query))
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
	const char *template = vars->batch ? gateway->batch.body : gateway->body;
	StringInfoData body;

	if (template == NULL)
		return true;
	initStringInfo(&body);
	if (!render(&body, vars, strstr(gateway->content_type, "json") ? PLACE_JSON : PLACE_FORM, template))
		return false;
	request->body = body.data;
	request->body_length = (size_t) body.len;
	request->headers[request->header_count++] = psprintf("Content-Type: %s", gateway->content_type);
	return true;
}

/* HTTP Basic, or the keys of AWS. */
static bool
set_credentials(SmsflowRequest *request, Variables *vars, const Gateway *gateway)
{
	const char *name;
	size_t length;
	StringInfoData sigv4;

	if (!gateway->basic_auth && gateway->sigv4 == NULL)
		return true;
	vars->secret_missing |= gateway->secret == NULL;
	request->username = gateway->name;
	if (smsflow_jsonb_text(gateway->options, "username", &name, &length))
		request->username = pnstrdup(name, length);
	request->password = vars->masked ? MASK : gateway->secret;
	if (gateway->sigv4 == NULL)
		return true;
	initStringInfo(&sigv4);
	if (!render(&sigv4, vars, PLACE_HEADER, gateway->sigv4))
		return false;
	request->sigv4 = sigv4.data;
	return true;
}

/* What the gateway cannot take is not even asked. */
const char *
request_problem(const Job *job, const Gateway *gateway)
{
	if (job->body == NULL)
		return "code_missing";
	if (job->media_count > 0 && gateway->media == NULL)
		return "media_unsupported";
	if (job->media_count > gateway->most_media)
		return "too_many_media";
	if (gateway->max_length > 0 && pg_mbstrlen(job->body) > gateway->max_length)
		return "too_long";
	return NULL;
}

/* The request, or NULL and what is wrong with it. */
static SmsflowRequest *
finished(SmsflowRequest *request, bool built, const Variables *vars, const char **problem)
{
	*problem = vars->secret_missing ? "secret_missing"
			   : built              ? NULL
			   : vars->unsafe       ? "unsafe_header"
									: "profile_variable_missing";
	return *problem ? NULL : request;
}

static SmsflowRequest *
build_with(Variables *vars, const char **problem)
{
	const Gateway *gateway = vars->job->sender->gateway;
	SmsflowRequest *request = palloc0(sizeof(SmsflowRequest));
	bool built;

	initStringInfo(&vars->raw);
	initStringInfo(&vars->value);
	request->method = gateway->method;
	request->timeout_ms = gateway->timeout_ms;
	built = build_url(request, vars, gateway) && build_headers(request, vars, gateway) && build_body(request, vars, gateway) &&
			set_credentials(request, vars, gateway);
	return finished(request, built, vars, problem);
}

static SmsflowRequest *
build(Job *job, bool masked, const char **problem)
{
	Variables vars = {.job = job, .masked = masked};

	*problem = request_problem(job, job->sender->gateway);
	return *problem ? NULL : build_with(&vars, problem);
}

SmsflowRequest *
request_build_batch(const Batch *batch, const char **problem)
{
	Variables vars = {.job = batch->jobs[0], .batch = batch};

	return build_with(&vars, problem);
}

SmsflowRequest *
request_build_lookup(Job *job, const char *url, const char **problem)
{
	const Gateway *gateway = job->sender->gateway;
	SmsflowRequest *request = palloc0(sizeof(SmsflowRequest));
	Variables vars = {.job = job};
	bool built;

	initStringInfo(&vars.raw);
	initStringInfo(&vars.value);
	request->method = "GET";
	request->timeout_ms = gateway->timeout_ms;
	built = build_lookup_url(request, &vars, gateway, url) && build_headers(request, &vars, gateway) &&
			set_credentials(request, &vars, gateway);
	return finished(request, built, &vars, problem);
}

SmsflowRequest *
request_build(Job *job, const char **problem)
{
	return build(job, false, problem);
}

SmsflowRequest *
request_build_masked(Job *job, const char **problem)
{
	return build(job, true, problem);
}
