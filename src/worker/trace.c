/*
 * trace.c - what test_gateway() shows: the request as it went out, but made
 * without the secret, and the answer as it came, without it, too. The masked request is made
 * anew from the profile, so that no escaping can hide a secret from a search.
 */
#include "worker/worker.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "message/spi.h"

/* Bytes of an answer that are shown. */
#define MOST_SHOWN 4000

static char *
written(const SmsflowRequest *request)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "%s %s\n", request->method, request->url);
	if (request->username)
		appendStringInfo(&text, "Authorization: %s %s:%s\n", request->sigv4 ? request->sigv4 : "Basic", request->username,
						 request->password);
	for (int i = 0; i < request->header_count; i++)
		appendStringInfo(&text, "%s\n", request->headers[i]);
	if (request->body)
		appendStringInfo(&text, "\n%s", request->body);
	return text.data;
}

void
trace_request(Job *job)
{
	const char *problem;
	SmsflowRequest *request;

	if (!job->queue->traced)
		return;
	request = request_build_masked(job, &problem);
	if (request)
		job->traced_request = MemoryContextStrdup(job->context, written(request));
}

/* An answer that is no text is not shown. */
void
trace_answer(Job *job, const SmsflowAnswer *answer)
{
	size_t length = Min(answer->body_length, MOST_SHOWN);

	if (!job->queue->traced || answer->wire != WIRE_YES || memchr(answer->body, '\0', length) ||
		!pg_verify_mbstr(GetDatabaseEncoding(), answer->body, (int) answer->body_length, true))
		return;
	length = (size_t) pg_mbcliplen(answer->body, (int) answer->body_length, (int) length);
	job->traced_answer = MemoryContextAllocZero(job->context, length + 1);
	memcpy(job->traced_answer, answer->body, length);
	hide_secret(job->sender->gateway, job->traced_answer, length);
}

static void
append_trace(const Job *job)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT8OID, TEXTOID, TEXTOID};
	Datum values[] = {
		Int64GetDatum(job->message_id),
		job->traced_request ? CStringGetTextDatum(job->traced_request) : (Datum) 0,
		job->traced_answer ? CStringGetTextDatum(job->traced_answer) : (Datum) 0,
	};
	char nulls[] = {' ', job->traced_request ? ' ' : 'n', job->traced_answer ? ' ' : 'n', '\0'};

	smsflow_spi_plan(&plan,
					 "INSERT INTO smsflow.gateway_trace (message_id, request, answer) VALUES ($1, $2, $3)"
					 " ON CONFLICT (message_id) DO UPDATE SET request = excluded.request, answer = excluded.answer, at = "
					 "excluded.at",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, nulls, false, SPI_OK_INSERT);
}

void
append_traces(Job **jobs, int count)
{
	for (int i = 0; i < count; i++)
		if (jobs[i]->queue && jobs[i]->queue->traced)
			append_trace(jobs[i]);
}
