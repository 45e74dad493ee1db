/*
 * answer.c - what an answer of a gateway, or its absence, means for a message
 * and for its route.
 */
#include "worker/worker.h"

#include "mb/pg_wchar.h"
#include "catalog/pg_collation.h"
#include "regex/regex.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "fault.h"
#include "types/types.h"
#include "worker/batch.h"

#define SECONDS(n) ((int64) (n) *USECS_PER_SEC)

#define CONFIGURATION_PAUSE SECONDS(60)

/* An answer as the rules of a profile read it. */
typedef struct Reading
{
	const SmsflowAnswer *answer;
	char *body; /* valid text, or "" */
	size_t length;
	Jsonb *json; /* NULL: not JSON */
	const char *id_path;
	const char *error_path;
} Reading;

/* How long the answer under way pauses its route, however many messages it is about; -1: not yet. */
static int64 route_pause;

/* ---- reading the body ---- */

/* Runs outside a transaction, so it must neither look up nor keep anything. */
static Jsonb *
parse_json(char *text)
{
	MemoryContext context = CurrentMemoryContext;
	volatile Datum json = 0;

	PG_TRY();
	{
		json = DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
		json = 0;
	}
	PG_END_TRY();
	return json ? DatumGetJsonbP(json) : NULL;
}

/* A gateway may say the secret back, as one that it does not know: what is kept of an answer must not have it. */
void
hide_secret(const Gateway *gateway, char *text, size_t length)
{
	size_t secret = gateway->secret ? strlen(gateway->secret) : 0;
	char *found = text;

	if (secret == 0)
		return;
	while ((found = memmem(found, length - (size_t) (found - text), gateway->secret, secret)) != NULL)
	{
		memset(found, '*', secret);
		found += secret;
	}
}

static Reading
read_answer(const SmsflowAnswer *answer, const Gateway *gateway)
{
	Reading reading = {.answer = answer, .body = "", .id_path = gateway->id_path, .error_path = gateway->error_path};

	route_pause = -1;
	if (answer->body_length == 0 || memchr(answer->body, '\0', answer->body_length) ||
		!pg_verify_mbstr(GetDatabaseEncoding(), answer->body, (int) answer->body_length, true))
		return reading;
	reading.body = pnstrdup(answer->body, answer->body_length);
	reading.length = answer->body_length;
	hide_secret(gateway, reading.body, reading.length);
	if (!answer->truncated && (reading.body[0] == '{' || reading.body[0] == '['))
		reading.json = parse_json(reading.body);
	return reading;
}

Jsonb *
answer_json(const SmsflowAnswer *answer)
{
	Gateway nothing = {0};

	return read_answer(answer, &nothing).json;
}

/* What the answer to a batch says of one of its messages. */
static Reading
read_record(const Reading *whole, Jsonb *record, const BatchRules *rules)
{
	Reading reading = {.answer = whole->answer, .json = record, .id_path = rules->id_path, .error_path = rules->error_path};

	reading.body = JsonbToCString(NULL, &record->root, VARSIZE(record));
	reading.length = strlen(reading.body);
	return reading;
}

static bool
matches(const char *subject, size_t length, text *pattern, int groups, regmatch_t *found)
{
	return RE_compile_and_execute(pattern, unconstify(char *, subject), (int) length, REG_ADVANCED, C_COLLATION_OID, groups,
								  found);
}

/* Never cuts a character in two. */
static void
copy_clipped(const char *text, size_t length, char *out, size_t size)
{
	int clipped = pg_mbcliplen(text, (int) length, (int) size - 1);

	memcpy(out, text, clipped);
	out[clipped] = '\0';
}

static void
copy_path(const Reading *reading, const char *path, char *out, size_t size)
{
	const char *text;
	size_t length;

	if (path && reading->json && smsflow_jsonb_field(reading->json, path, &text, &length))
		copy_clipped(text, length, out, size);
}

/* Copies the first group of a match. Positions count characters, so the text is cut by characters. */
static void
copy_group(const char *subject, size_t length, text *pattern, char *out, size_t size)
{
	regmatch_t found[2];
	const char *start = subject;
	const char *end;

	if (!pattern || !matches(subject, length, pattern, 2, found) || found[1].rm_so < 0)
		return;
	for (int i = 0; i < found[1].rm_so; i++)
		start += pg_mblen(start);
	end = start;
	for (int i = found[1].rm_so; i < found[1].rm_eo; i++)
		end += pg_mblen(end);
	copy_clipped(start, (size_t) (end - start), out, size);
}

static void
copy_code(const Reading *reading, const Gateway *gateway, char *out, size_t size)
{
	char *found = palloc0(SMSFLOW_ANSWER_SIZE);

	copy_path(reading, reading->error_path, found, SMSFLOW_ANSWER_SIZE);
	copy_clipped(found, strlen(found), out, size);
	copy_group(found, strlen(found), gateway->error_pattern, out, size);
}

/* ---- classes ---- */

static bool
is_success(const Reading *reading, const Gateway *gateway)
{
	if (reading->answer->status < gateway->success_from || reading->answer->status >= gateway->success_to)
		return false;
	return gateway->success_pattern == NULL || matches(reading->body, reading->length, gateway->success_pattern, 0, NULL);
}

/* Rules are ordered longest first; the code is more telling than the text. */
static bool
class_by_rule(const Reading *reading, const Gateway *gateway, const char *code, SmsflowClass *class)
{
	char *status = psprintf("http:%d", reading->answer->status);

	for (int pass = 0; pass < 3; pass++)
		for (int i = 0; i < gateway->rule_count; i++)
		{
			const ErrorRule *rule = &gateway->rules[i];
			bool applies = pass == 0   ? code[0] != '\0' && strcmp(rule->code, code) == 0
						   : pass == 1 ? strncmp(rule->code, "text:", 5) == 0 &&
											 strncmp(reading->body, rule->code + 5, strlen(rule->code + 5)) == 0
									   : strcmp(rule->code, status) == 0;

			if (applies)
			{
				*class = rule->class;
				return true;
			}
		}
	return false;
}

static SmsflowClass
classify(const Reading *reading, const Gateway *gateway, Job *job)
{
	const SmsflowAnswer *answer = reading->answer;
	SmsflowClass class;

	if (answer->wire == WIRE_MAYBE)
		return CLASS_AMBIGUOUS;
	if (answer->wire == WIRE_NONE)
		return answer->misconfigured ? CLASS_CONFIGURATION : CLASS_TEMPORARY;
	copy_code(reading, gateway, job->code, sizeof(job->code));
	if (class_by_rule(reading, gateway, job->code, &class))
		return class;
	if (answer->status >= gateway->success_from && answer->status < gateway->success_to)
		return CLASS_UNKNOWN;
	return smsflow_class_of_status(answer->status, answer->retry_after >= 0);
}

/* ---- what follows ---- */

/* pause: how long the route is paused, for DECIDE_HOLD. */
static void
try_again(Job *job, SmsflowDecision decision, int64 pause)
{
	const char *const reasons[] = {[AGAIN_RETRY] = "retry",
								   [AGAIN_WITH_ROUTE] = smsflow_class_name(job->class),
								   [AGAIN_RESEND] = "resend",
								   [AGAIN_RESEND_LATER] = "resend_later"};
	SmsflowDoubtRule rule = job->sender ? job->sender->gateway->doubt_rule : DOUBT_RULE_HOLD;
	SmsflowNext next = smsflow_next(decision, job->purpose, job->attempt, rule, pause, (uint64) job->message_id);

	if (next.again == AGAIN_NEVER)
		return;
	job->due_at = job->finished_at + next.wait;
	job->timer_reason = reasons[next.again];
	job->next_attempt = job->attempt + 1;
}

void
job_in_doubt(Job *job, const char *reason)
{
	job->outcome = OUTCOME_IN_DOUBT;
	job->wire = WIRE_MAYBE;
	job->reason = reason;
	try_again(job, DECIDE_DOUBT, 0);
}

/* By the header, or by the words of a gateway that names the milliseconds in its text. */
static int64
throttle_pause(const Reading *reading, const Gateway *gateway, int times)
{
	char wait[16] = "";
	int64 milliseconds;

	if (reading->answer->retry_after >= 0)
		return smsflow_throttle_pause(reading->answer->retry_after, times);
	copy_group(reading->body, reading->length, gateway->wait_pattern, wait, sizeof(wait));
	milliseconds = strtol(wait, NULL, 10);
	return milliseconds > 0 ? Min(milliseconds, 3600 * INT64CONST(1000)) * 1000 : smsflow_throttle_pause(-1, times);
}

/*
 * A 429 or a wrong password concerns the route, not this message. When a
 * person has corrected the password, what was held is due at once. After a
 * pause that the gateway asked for there are no saved-up tokens.
 */
static void
hold(Job *job, const Reading *reading)
{
	Sender *sender = job->sender;
	int64 now = worker.clock->monotonic();
	bool throttled = job->class == CLASS_THROTTLED;

	job->outcome = OUTCOME_RETRY;
	if (route_pause < 0)
	{
		route_pause = throttled ? throttle_pause(reading, sender->gateway, ++sender->throttles) : CONFIGURATION_PAUSE;
		sender->paused_for = smsflow_class_name(job->class);
		smsflow_breaker_open(&sender->breaker, route_pause, now);
		if (throttled)
			limit_drain(sender->limit, now + route_pause);
	}
	try_again(job, DECIDE_HOLD, throttled ? route_pause : 0);
}

/* What the answer, or its absence, says about the gateway and the sender, apart from the message. */
static void
judge_route(const Job *job, const SmsflowAnswer *answer, Gateway *gateway)
{
	Sender *sender = job->sender;
	int64 now = worker.clock->monotonic();

	if (answer->misconfigured)
		return;
	if (answer->wire != WIRE_YES || job->class == CLASS_AMBIGUOUS)
	{
		if (smsflow_breaker_failure(&gateway->breaker, (uint64) job->message_id, now) && gateway->breaker.trips == 1)
			ereport(LOG, (errmsg("gateway \"%s\" does not work, pausing it", gateway->name)));
		return;
	}
	if (smsflow_breaker_success(&gateway->breaker, gateway->max_in_flight, now))
		ereport(LOG, (errmsg("gateway \"%s\" works again", gateway->name)));
	if (job->class == CLASS_THROTTLED || job->class == CLASS_CONFIGURATION)
		return;
	smsflow_breaker_success(&sender->breaker, gateway->max_in_flight, now);
	if (smsflow_breaker_state(&sender->breaker, now) != BREAKER_OPEN)
		sender->throttles = 0;
}

static void
accept(Job *job, const Reading *reading, const Gateway *gateway)
{
	char id[SMSFLOW_ANSWER_SIZE];

	id[0] = '\0';
	job->outcome = OUTCOME_ACCEPTED;
	job->wire = WIRE_YES;
	copy_path(reading, reading->id_path, id, sizeof(id));
	if (id[0] == '\0')
		copy_group(reading->body, reading->length, gateway->id_pattern, id, sizeof(id));
	smsflow_short_id(id, strlen(id), job->provider_id, sizeof(job->provider_id));
	worker.sent++;
}

static void
refuse(Job *job, const Reading *reading)
{
	job->wire = WIRE_NONE;
	switch (smsflow_decide(job->class))
	{
		case DECIDE_REJECT:
			job->outcome = OUTCOME_REJECTED;
			job->reason = smsflow_class_name(job->class);
			break;
		case DECIDE_RETRY:
			job->outcome = OUTCOME_RETRY;
			try_again(job, DECIDE_RETRY, 0);
			break;
		case DECIDE_HOLD:
			hold(job, reading);
			break;
		case DECIDE_DOUBT:
			job_in_doubt(job, reading->answer->timed_out ? "timed_out" : "no_proof");
			break;
	}
}

static void
keep_doubt(Job *job)
{
	if (!smsflow_doubt_remains(job->was_in_doubt, job->outcome == OUTCOME_ACCEPTED))
		return;
	job->outcome = OUTCOME_IN_DOUBT;
	if (job->due_at != DT_NOBEGIN)
		job->timer_reason = "resend_later";
}

/* Keeps the reason for people: the gateway's code, or the transport's words. */
static void
keep_code(Job *job, const Reading *reading)
{
	if (job->code[0] != '\0' || job->outcome == OUTCOME_ACCEPTED)
		return;
	if (reading->answer->error[0] != '\0')
		strlcpy(job->code, reading->answer->error, sizeof(job->code));
	else if (reading->length > 0)
		copy_clipped(reading->body, strcspn(reading->body, "\r\n"), job->code, sizeof(job->code));
}

static void
interpret(Job *job, const Reading *reading, const Gateway *gateway)
{
	if (reading->answer->wire == WIRE_YES && is_success(reading, gateway))
		accept(job, reading, gateway);
	else
	{
		job->class = classify(reading, gateway, job);
		refuse(job, reading);
	}
	keep_code(job, reading);
}

/* A pattern of a profile may fail on an answer: that must not end the worker. */
static void
interpret_guarded(Job *job, const Reading *reading, const Gateway *gateway)
{
	PG_TRY();
	{
		interpret(job, reading, gateway);
	}
	PG_CATCH();
	{
		EmitErrorReport();
		FlushErrorState();
		worker_outside();
		job_in_doubt(job, "profile_failed");
	}
	PG_END_TRY();
}

/* Queues that wait for a place or a trial at this route may go on. */
static void
count_end(Sender *sender, int messages)
{
	Gateway *gateway = sender->gateway;
	int64 now = worker.clock->monotonic();

	sender->in_flight--;
	gateway->in_flight--;
	worker.in_flight--;
	worker.batched -= messages - 1;
	gateway->paced += messages;
	if (now - gateway->pace_began >= USECS_PER_SEC)
	{
		gateway->pace = (int) ((int64) gateway->paced * USECS_PER_SEC / (now - gateway->pace_began));
		gateway->paced = 0;
		gateway->pace_began = now;
	}
	if (sender->breaker.state != BREAKER_CLOSED)
		lanes_news();
}

void
answer_received(const SmsflowAnswer *answer)
{
	Exchange *exchange = answer->tag;

	exchange->answered(exchange, answer);
}

static void
begin_result(Job *job, const SmsflowAnswer *answer)
{
	job->finished_at = worker.clock->now();
	job->http_status = answer->status;
}

static void
end_result(Job *job)
{
	if (job->outcome == OUTCOME_RETRY)
		limits_give_back(&job->limits, job->parts);
	keep_doubt(job);
	result_add(job);
}

void
answer_to_message(Exchange *exchange, const SmsflowAnswer *answer)
{
	Job *job = (Job *) exchange;
	Gateway *gateway = job->sender->gateway;
	Reading reading;

	smsflow_fault("answered");
	count_end(job->sender, 1);
	if (answer->wire == WIRE_NONE && job->start != START_NOW)
	{
		job->started_at = 0;
		limits_give_back(&job->limits, job->parts);
		dispatch_end(job, job->start);
		return;
	}
	begin_result(job, answer);
	trace_answer(job, answer);
	publish_answer(gateway, answer->status, job->finished_at - job->started_at);
	reading = read_answer(answer, gateway);
	interpret_guarded(job, &reading, gateway);
	judge_route(job, answer, gateway);
	end_result(job);
}

/* ---- batches ---- */

static bool
was_stopped(const Batch *batch)
{
	for (int i = 0; i < batch->count; i++)
		if (batch->jobs[i]->start != START_NOW)
			return true;
	return false;
}

/* Whether the gateway has refused the whole for what is in it: nobody knows which message it means. */
static bool
refused_as_a_whole(const Reading *whole, const Gateway *gateway)
{
	Job nobody = {0};
	const SmsflowAnswer *answer = whole->answer;

	if (answer->wire != WIRE_YES || (answer->status >= gateway->success_from && answer->status < gateway->success_to))
		return false;
	PG_TRY();
	{
		nobody.class = classify(whole, gateway, &nobody);
	}
	PG_CATCH();
	{
		/* Each message will say so. */
		FlushErrorState();
		worker_outside();
		nobody.class = CLASS_UNKNOWN;
	}
	PG_END_TRY();
	return smsflow_decide(nobody.class) == DECIDE_REJECT;
}

/* A message of which an answer of success says nothing is in doubt. */
static void
take_result(const Batch *batch, int index, const Reading *whole, const Gateway *gateway)
{
	Job *job = batch->jobs[index];
	bool split = whole->answer->wire == WIRE_YES && whole->answer->status >= gateway->success_from &&
				 whole->answer->status < gateway->success_to;
	Jsonb *record = split ? batch_result(batch, index, whole->json) : NULL;

	begin_result(job, whole->answer);
	if (record)
	{
		Reading reading = read_record(whole, record, &gateway->batch);

		interpret_guarded(job, &reading, gateway);
	}
	else if (split)
		job_in_doubt(job, "no_proof");
	else
		interpret_guarded(job, whole, gateway);
}

void
answer_to_batch(Exchange *exchange, const SmsflowAnswer *answer)
{
	Batch *batch = (Batch *) exchange;
	Job *first = batch->jobs[0];
	Gateway *gateway = first->sender->gateway;
	Reading whole = read_answer(answer, gateway);

	smsflow_fault("answered");
	count_end(first->sender, batch->count);
	if (answer->wire == WIRE_NONE && was_stopped(batch))
		batch_dissolve(batch, false);
	else
	{
		publish_answer(gateway, answer->status, worker.clock->now() - first->started_at);
		if (refused_as_a_whole(&whole, gateway))
			batch_dissolve(batch, true);
		else
		{
			for (int i = 0; i < batch->count; i++)
				take_result(batch, i, &whole, gateway);
			judge_route(first, answer, gateway);
			for (int i = 0; i < batch->count; i++)
				end_result(batch->jobs[i]);
		}
	}
	batch_free(batch);
}
