/*
 * membership.c - members of the segments for which there are caps. A predicate
 * costs too much to be run for each message of a claim, so the worker reads a
 * whole batch with one query for each segment, and the gate looks at that. Who
 * asks for one person has one answered.
 *
 * A batch in which a predicate fails is forgotten, and its contacts are asked
 * one by one: so that one person's facts hold up nobody else. A predicate that
 * takes too long is ended, and those it was asked about wait.
 */
#include "smsflow.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "message/membership.h"
#include "message/policy.h"
#include "segment/guarded.h"
#include "segment/segment.h"

/* Bits of an answer; of more segments nothing is known. */
#define MAX_SEGMENTS 64

#define PAUSE USECS_PER_MINUTE

typedef struct Answer
{
	int64 contact_id;
	uint64 member;
	uint64 unknown;
} Answer;

typedef struct Answers
{
	MemoryContext context; /* NULL: nothing read */
	char *segments[MAX_SEGMENTS];
	int segment_count;
	HTAB *contacts;
} Answers;

/* How a segment was read. */
typedef enum Outcome
{
	READ,
	FAILED,
	TOO_SLOW
} Outcome;

typedef struct Pause
{
	uint64 segment; /* hash of its name */
	TimestampTz until;
} Pause;

static Answers batch;
static Answers one;
static Pause pauses[MAX_SEGMENTS];

/* A predicate may ask the gate, which would ask the predicate. */
static bool asking = false;

static void
forget(Answers *answers)
{
	if (answers->context)
		MemoryContextDelete(answers->context);
	*answers = (Answers){0};
}

static int
find_segment(const Answers *answers, const char *name)
{
	for (int i = 0; i < answers->segment_count; i++)
		if (strcmp(answers->segments[i], name) == 0)
			return i;
	return -1;
}

static Answer *
find_answer(const Answers *answers, int64 contact_id)
{
	return answers->contacts ? hash_search(answers->contacts, &contact_id, HASH_FIND, NULL) : NULL;
}

/* Segments by the names of the rules in force, and nothing known yet of the contacts. */
static void
begin(Answers *answers, const SmsflowPolicy *policy, ArrayType *contacts)
{
	HASHCTL shape = {.keysize = sizeof(int64), .entrysize = sizeof(Answer)};
	int count = ArrayGetNItems(ARR_NDIM(contacts), ARR_DIMS(contacts));
	int64 *ids = (int64 *) ARR_DATA_PTR(contacts);

	forget(answers);
	answers->context = AllocSetContextCreate(TopMemoryContext, "smsflow membership", ALLOCSET_SMALL_SIZES);
	for (int i = 0; i < policy->segment_cap_count && answers->segment_count < MAX_SEGMENTS; i++)
		if (find_segment(answers, policy->segment_caps[i].segment) < 0)
			answers->segments[answers->segment_count++] = MemoryContextStrdup(answers->context, policy->segment_caps[i].segment);
	shape.hcxt = answers->context;
	answers->contacts = hash_create("smsflow membership", Max(count, 1), &shape, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (int i = 0; i < count; i++)
	{
		Answer *answer = hash_search(answers->contacts, &ids[i], HASH_ENTER, NULL);

		answer->member = answer->unknown = 0;
	}
}

typedef struct Reading
{
	Answers *answers;
	int segment;
	ArrayType *contacts;
} Reading;

static void
read_members(void *argument)
{
	Reading *reading = argument;
	Answers *answers = reading->answers;
	ArrayType *members;
	int64 *ids;

	SPI_connect();
	members = smsflow_segment_among(answers->segments[reading->segment], reading->contacts);
	ids = (int64 *) ARR_DATA_PTR(members);
	for (int i = 0; i < ArrayGetNItems(ARR_NDIM(members), ARR_DIMS(members)); i++)
	{
		Answer *answer = find_answer(answers, ids[i]);

		if (answer)
			answer->member |= UINT64CONST(1) << reading->segment;
	}
	SPI_finish();
}

static uint64
segment_key(const char *segment)
{
	return hash_bytes_extended((const unsigned char *) segment, (int) strlen(segment), 0);
}

/* One that took too long is left alone for a while, by this process: each look at it would hold up everybody. */
static bool
is_paused(const char *segment)
{
	for (int i = 0; i < MAX_SEGMENTS; i++)
		if (pauses[i].segment == segment_key(segment) && GetCurrentTimestamp() < pauses[i].until)
			return true;
	return false;
}

static void
begin_pause(const char *segment, const char *why)
{
	static int next = 0;

	pauses[next++ % MAX_SEGMENTS] = (Pause){segment_key(segment), GetCurrentTimestamp() + PAUSE};
	ereport(WARNING,
			(errcode(ERRCODE_STATEMENT_TOO_COMPLEX), errmsg("segment \"%s\" of a cap could not be read: %s", segment, why),
			 errdetail("Messages that the cap is for wait; the segment is not read again for a minute."),
			 errhint("Make its predicate faster, or raise smsflow.predicate_timeout.")));
}

/* An error other than one that ends the statement stays here; what it says may quote a customer, so only its code is told. */
static Outcome
try_read(Answers *answers, int segment, ArrayType *contacts)
{
	Reading reading = {answers, segment, contacts};
	const char *name = answers->segments[segment];
	ErrorData *error;

	if (is_paused(name))
		return TOO_SLOW;
	error = smsflow_guarded(read_members, &reading, smsflow_predicate_timeout);
	if (error == NULL)
		return READ;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	if (error->sqlerrcode == ERRCODE_STATEMENT_TOO_COMPLEX)
	{
		begin_pause(name, error->message);
		return TOO_SLOW;
	}
	ereport(DEBUG1,
			(errmsg("segment \"%s\" of a cap could not be read", name), errdetail("%s", unpack_sql_state(error->sqlerrcode))));
	return FAILED;
}

/* Whether no segment failed that may be read for fewer contacts; of those that could not be read the answers are unknown. */
static bool
read_answers(Answers *answers, ArrayType *contacts)
{
	bool none_failed = true;
	HASH_SEQ_STATUS scan;
	Answer *answer;

	for (int i = 0; i < answers->segment_count; i++)
	{
		Outcome result = try_read(answers, i, contacts);

		if (result == READ)
			continue;
		none_failed &= result != FAILED;
		hash_seq_init(&scan, answers->contacts);
		while ((answer = hash_seq_search(&scan)))
			answer->unknown |= UINT64CONST(1) << i;
	}
	return none_failed;
}

static bool
read_guarded(Answers *answers, ArrayType *contacts)
{
	volatile bool all = false;

	asking = true;
	PG_TRY();
	{
		all = read_answers(answers, contacts);
	}
	PG_FINALLY();
	{
		asking = false;
	}
	PG_END_TRY();
	return all;
}

void
smsflow_membership_forget(void)
{
	forget(&batch);
}

void
smsflow_membership_read(ArrayType *contacts)
{
	const SmsflowPolicy *policy = smsflow_policy_at(GetCurrentTimestamp());

	forget(&batch);
	if (policy->segment_cap_count == 0 || asking)
		return;
	begin(&batch, policy, contacts);
	if (!read_guarded(&batch, contacts))
		forget(&batch);
}

void
smsflow_membership_read_one(int64 contact_id)
{
	Datum id = Int64GetDatum(contact_id);
	ArrayType *contacts;

	if (asking || find_answer(&batch, contact_id))
		return;
	contacts = construct_array(&id, 1, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
	begin(&one, smsflow_policy_at(GetCurrentTimestamp()), contacts);
	read_guarded(&one, contacts);
}

SmsflowMembership
smsflow_membership(int64 contact_id, const char *segment)
{
	const Answers *answers = find_answer(&batch, contact_id) ? &batch : &one;
	const Answer *answer = find_answer(answers, contact_id);
	int place = find_segment(answers, segment);

	if (answer == NULL || place < 0 || asking || (answer->unknown >> place & 1))
		return MEMBERSHIP_UNKNOWN;
	return answer->member >> place & 1 ? MEMBERSHIP_YES : MEMBERSHIP_NO;
}
