/*
 * lookup.c - asking gateways what became of messages: those in doubt, and
 * those of which no report comes. What is to be asked, and what an answer
 * means, is decided in SQL (message/lookup.sql); here requests are made, a few
 * at a time, so that they never stand in the way of messages.
 *
 * A look-up is due again, later, before its request starts, and its answer is
 * written down in a transaction of its own. Whatever dies in between, it is
 * asked once more.
 */
#include "worker/lookup.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "fault.h"
#include "message/spi.h"
#include "worker/worker.h"

/* Look-ups that are under way, in all and at one gateway; as many start in a second. */
#define MOST_LOOKUPS 16
#define MOST_AT_ONE_GATEWAY 8

/* Places of the transport that are left to messages. */
#define PLACES_LEFT 8

#define PACE USECS_PER_SEC

/* A message that comes into doubt is asked about after this; see also take_lookups(). */
#define FIRST_LOOK (5 * USECS_PER_SEC)

typedef struct Lookup
{
	Exchange exchange;
	dlist_node node;
	Job *job; /* in no queue: what the variables of a profile are read from */
	int status;
	long retry_after;
	Jsonb *answer; /* NULL: no JSON */
} Lookup;

static dlist_head answered = DLIST_STATIC_INIT(answered);
static int under_way = 0;
static TimestampTz due = DT_NOBEGIN;

void
lookups_soon(void)
{
	due = Min(due, worker.clock->now() + FIRST_LOOK);
}

TimestampTz
lookups_due(void)
{
	return dlist_is_empty(&answered) ? due : DT_NOBEGIN;
}

/* ---- requests ---- */

static bool
always(void *tag)
{
	return true;
}

static void
end(Lookup *lookup)
{
	under_way--;
	job_discard(lookup->job);
}

static void
on_answer(Exchange *exchange, const SmsflowAnswer *answer)
{
	Lookup *lookup = (Lookup *) exchange;

	smsflow_fault("looked_up");
	lookup->status = answer->status;
	lookup->retry_after = answer->retry_after;
	lookup->answer = answer_json(answer);
	if (lookup->answer)
	{
		Jsonb *copy = MemoryContextAlloc(lookup->job->context, VARSIZE(lookup->answer));

		memcpy(copy, lookup->answer, VARSIZE(lookup->answer));
		lookup->answer = copy;
	}
	dlist_push_tail(&answered, &lookup->node);
}

static Lookup *
make_lookup(uint64 row)
{
	Sender *sender = config_sender(column_int(row, 2));
	char *recipient = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 4);
	char *provider_id = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 5);
	Job *job;
	Lookup *lookup;

	if (sender == NULL)
		return NULL;
	job = job_make(NULL);
	job->message_id = column_id(row, 1);
	job->sender = sender;
	job->attempt = column_int(row, 3);
	job->recipient = strtoll(recipient + 1, NULL, 10);
	strlcpy(job->provider_id, provider_id ? provider_id : "", sizeof(job->provider_id));
	lookup = MemoryContextAllocZero(job->context, sizeof(Lookup));
	lookup->exchange.answered = on_answer;
	lookup->job = job;
	return lookup;
}

/* What cannot be asked now is due again later. */
static void
start(Lookup *lookup, const char *url)
{
	const char *problem;
	SmsflowRequest *request = request_build_lookup(lookup->job, url, &problem);
	char error[128];

	under_way++;
	job_keep(lookup->job);
	if (request == NULL || worker.transport->free_places() <= PLACES_LEFT)
	{
		end(lookup);
		return;
	}
	request->tag = lookup;
	request->on_wire = always;
	if (!worker.transport->submit(request, error, sizeof(error)))
		end(lookup);
}

/* ---- steps ---- */

typedef struct Taken
{
	int count;
	Lookup *lookup[MOST_LOOKUPS];
	char *url[MOST_LOOKUPS];
} Taken;

static void
read_due(void)
{
	bool isnull;
	Datum value;

	if (SPI_execute("SELECT min(due_at) FROM smsflow.lookup", true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read smsflow.lookup");
	value = smsflow_spi_value(0, 1, &isnull);
	due = isnull ? DT_NOEND : Max(DatumGetTimestampTz(value), worker.clock->now() + PACE);
}

static void
take_step(void *arg)
{
	static SPIPlanPtr plan = NULL;
	Taken *taken = arg;
	Oid types[] = {INT4OID, INT4OID};
	Datum values[] = {Int32GetDatum(MOST_LOOKUPS - under_way), Int32GetDatum(MOST_AT_ONE_GATEWAY)};

	worker_begin("asking gateways about messages", false);
	smsflow_spi_plan(&plan, "SELECT * FROM smsflow.take_lookups($1, $2)", lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_SELECT);
	for (uint64 row = 0; row < SPI_processed && taken->count < MOST_LOOKUPS; row++)
	{
		Lookup *lookup = make_lookup(row);

		if (lookup == NULL)
			continue;
		taken->url[taken->count] =
			MemoryContextStrdup(lookup->job->context, SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 6));
		taken->lookup[taken->count++] = lookup;
	}
	read_due();
	worker_commit();
}

/* Their transaction has committed before the first of them starts. */
static bool
take(void)
{
	Taken taken = {0};
	bool done = worker_try(take_step, &taken);

	for (int i = 0; done && i < taken.count; i++)
		start(taken.lookup[i], taken.url[i]);
	return done;
}

typedef struct Record
{
	const Lookup *lookup;
	bool found;
	bool again;
} Record;

static void
record_step(void *arg)
{
	static SPIPlanPtr plan = NULL;
	Record *record = arg;
	const Lookup *lookup = record->lookup;
	Oid types[] = {INT8OID, INT4OID, INT8OID, JSONBOID};
	Datum values[] = {Int64GetDatum(lookup->job->message_id), Int32GetDatum(lookup->status), Int64GetDatum(lookup->retry_after),
					  lookup->answer ? JsonbPGetDatum(lookup->answer) : (Datum) 0};
	char *finding;

	worker_begin_alone("recording a look-up", false);
	smsflow_spi_plan(&plan, "SELECT smsflow.record_lookup($1, $2, $3, $4)", lengthof(types), types);
	smsflow_spi_run(plan, values, lookup->answer ? NULL : "   n", false, SPI_OK_SELECT);
	finding = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	record->found = strcmp(finding, "found") == 0;
	record->again = strcmp(finding, "again") == 0;
	smsflow_fault("lookup");
	worker_commit();
}

LookupNews
lookups_run(void)
{
	LookupNews news = {.done = true};

	while (news.done && !dlist_is_empty(&answered))
	{
		Lookup *lookup = dlist_container(Lookup, node, dlist_pop_head_node(&answered));
		Record record = {.lookup = lookup};

		/* What cannot be written down is asked again. */
		news.done = worker_try(record_step, &record);
		news.found |= news.done && record.found;
		news.again |= news.done && record.again;
		end(lookup);
	}
	if (news.done && worker.armed && due <= worker.clock->now() && under_way < MOST_LOOKUPS)
		news.done = take();
	return news;
}

void
lookups_forget(void)
{
	due = DT_NOBEGIN;
}
