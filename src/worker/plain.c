/*
 * plain.c - taking new messages of a queue without a statement. Most messages
 * are plain: due, not expired, not revoked, of a campaign that runs and of no
 * sequence. Their rows are read straight through the index of their queue, and
 * the gate is asked in C, which is several times cheaper than the view
 * smsflow.gated and has no plan that could turn. Whatever else there may be
 * about a message is left to the view: what this file does not know, it does
 * not decide.
 *
 * The scan goes through the segments in the order of their ids. Rows in the
 * default segment, which exist only where the worker was away for very long,
 * are in no order with the others, so they are left to the view as well.
 */
#include "worker/worker.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/makefuncs.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "message/gate.h"
#include "message/spi.h"
#include "types/types.h"

/* A contact so near behind the last one is on the way; so many are then looked through at one go. */
#define NEAR_CONTACTS 8
#define SCANNED_CONTACTS 128

/* Columns of outbox and contact that are read here. */
enum
{
	COLUMN_MESSAGE,
	COLUMN_QUEUE,
	COLUMN_DUE,
	COLUMN_EXPIRES,
	COLUMN_CONTACT,
	COLUMN_RECIPIENT,
	COLUMN_ENROLLMENT,
	COLUMN_TRIGGER,
	COLUMN_BRAND,
	COLUMN_CAMPAIGN,
	COLUMN_SEQUENCE,
	COLUMN_PURPOSE,
	COLUMN_STEP,
	COLUMN_PARTS,
	COLUMN_UNICODE,
	COLUMN_BODY,
	COLUMN_MEDIA,
	COLUMN_SUBJECT,
	COLUMN_VARIANT,
	OUTBOX_COLUMNS
};
static const char *const outbox_columns[] = {"message_id", "queue_id",    "due_at",        "expires_at",
											 "contact_id", "recipient",   "enrollment_id", "trigger_event_id",
											 "brand_id",   "campaign_id", "sequence_id",   "purpose",
											 "step",       "parts",       "unicode",       "body",
											 "media_urls", "subject",     "variant"};

enum
{
	COLUMN_CONSENT,
	COLUMN_REGION,
	COLUMN_ZONE,
	COLUMN_ZONE_SOURCE,
	COLUMN_REACHABILITY,
	COLUMN_SUPPRESSED,
	CONTACT_COLUMNS
};
static const char *const contact_columns[] = {"consent", "region", "time_zone", "time_zone_source", "reachability", "suppressed"};
static const int contact_arguments[] = {ARG_CONSENT,          ARG_REGION,       ARG_TIME_ZONE,
										ARG_TIME_ZONE_SOURCE, ARG_REACHABILITY, ARG_SUPPRESSED};

/* What holds for all messages of the queue. */
typedef struct QueueFacts
{
	int32 sender_id;
	NullableDatum kind;
	NullableDatum registration;
	NullableDatum options;
	int32 campaign_id; /* 0: of none */
	bool campaign_runs;
	bool excludes; /* its campaign leaves out who has bought meanwhile, and others */
	NullableDatum subject;
	NullableDatum source_options;
} QueueFacts;

typedef struct Reader
{
	Queue *queue;
	QueueFacts facts;
	TimestampTz now;
	bool segment_caps; /* some rule is for members of a segment */
	AttrNumber outbox[OUTBOX_COLUMNS];
	AttrNumber contact[CONTACT_COLUMNS];
	Relation contacts;
	Relation contact_index;
	IndexScanDesc contact_scan;
	TupleTableSlot *contact_row; /* of contact_id, empty: it has none */
	int64 contact_id;
	int64 entry_id; /* where the scan stands, 0: nowhere */
	int64 last_id;  /* where it ends */
	TakenRow *rows;
	int limit;
	int count;
} Reader;

/* ---- what holds for the queue ---- */

static NullableDatum
spi_copy(int column, bool by_value)
{
	NullableDatum found;

	found.value = smsflow_spi_value(0, column, &found.isnull);
	if (!found.isnull && !by_value)
		found.value = PointerGetDatum(PG_DETOAST_DATUM_COPY(found.value));
	return found;
}

/* False when the queue has no sender yet: which one a message gets is the view's to say. */
static bool
read_facts(QueueFacts *facts, int32 queue_id)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(queue_id)};
	char *status;

	smsflow_spi_plan(&plan,
					 "SELECT n.sender_id, n.kind::text, n.registration::text, n.options, k.campaign_id, k.status::text,"
					 " COALESCE(k.options ->> 'subject', k.name), k.options, k.options ? 'exclude' IS TRUE"
					 " FROM smsflow.queue q JOIN smsflow.sender n ON n.sender_id = q.sender_id LEFT JOIN smsflow.campaign k"
					 "  ON k.campaign_id = CASE WHEN q.source LIKE 'campaign:%' THEN substr(q.source, 10)::integer END"
					 " WHERE q.queue_id = $1",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, true, SPI_OK_SELECT);
	if (SPI_processed != 1)
		return false;
	facts->sender_id = column_int(0, 1);
	facts->kind = spi_copy(2, false);
	facts->registration = spi_copy(3, false);
	facts->options = spi_copy(4, false);
	facts->campaign_id = column_int(0, 5);
	status = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 6);
	facts->campaign_runs = status && strcmp(status, "paused") != 0 && strcmp(status, "cancelled") != 0;
	facts->subject = spi_copy(7, false);
	facts->source_options = spi_copy(8, false);
	facts->excludes = column_bool(0, 9);
	return true;
}

static void
find_columns(Relation table, const char *const *names, int count, AttrNumber *numbers)
{
	for (int i = 0; i < count; i++)
	{
		numbers[i] = get_attnum(RelationGetRelid(table), names[i]);
		if (numbers[i] == InvalidAttrNumber)
			elog(ERROR, "column \"%s\" of table \"%s\" is missing", names[i], RelationGetRelationName(table));
	}
}

static Relation
open_table(char *name)
{
	return table_openrv(makeRangeVar(SMSFLOW_SCHEMA, name, -1), AccessShareLock);
}

/* ---- the contact ---- */

static void
open_contacts(Reader *reader)
{
	reader->contacts = open_table("contact");
	find_columns(reader->contacts, contact_columns, CONTACT_COLUMNS, reader->contact);
	RelationGetIndexList(reader->contacts);
	reader->contact_index = index_open(reader->contacts->rd_pkindex, AccessShareLock);
	reader->contact_scan = smsflow_index_beginscan(reader->contacts, reader->contact_index, GetActiveSnapshot(), 2);
	reader->contact_scan->xs_want_itup = true;
	reader->contact_row = table_slot_create(reader->contacts, NULL);
}

static void
close_contacts(Reader *reader)
{
	ExecDropSingleTupleTableSlot(reader->contact_row);
	index_endscan(reader->contact_scan);
	index_close(reader->contact_index, AccessShareLock);
	table_close(reader->contacts, AccessShareLock);
}

/* A scan over the ids first to last of the index. */
static void
scan_contacts(Reader *reader, int64 first, int64 last)
{
	ScanKeyData key[2];

	ScanKeyInit(&key[0], 1, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(first));
	ScanKeyInit(&key[1], 1, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(last));
	index_rescan(reader->contact_scan, key, 2, NULL, 0);
	reader->last_id = last;
}

static bool
next_entry(Reader *reader)
{
	bool isnull;

	if (index_getnext_tid(reader->contact_scan, ForwardScanDirection) == NULL)
	{
		reader->entry_id = PG_INT64_MAX;
		return false;
	}
	reader->entry_id = DatumGetInt64(index_getattr(reader->contact_scan->xs_itup, 1, reader->contact_scan->xs_itupdesc, &isnull));
	return true;
}

/*
 * Reads the row of a contact. The recipients of a campaign mostly follow each other: then the scan goes on from where it
 * stands, at a tenth of what another way down the index costs. Others are looked for one by one.
 */
static void
read_contact(Reader *reader, int64 contact_id)
{
	int64 distance = contact_id - reader->contact_id;
	bool near = reader->contact_id != 0 && distance > 0 && distance <= NEAR_CONTACTS;

	if (contact_id == reader->contact_id)
		return;
	reader->contact_id = contact_id;
	ExecClearTuple(reader->contact_row);
	if (!near || contact_id > reader->last_id)
	{
		scan_contacts(reader, contact_id, near ? contact_id + SCANNED_CONTACTS : contact_id);
		reader->entry_id = 0;
	}
	while (reader->entry_id < contact_id && next_entry(reader))
		;
	while (reader->entry_id == contact_id && !index_fetch_heap(reader->contact_scan, reader->contact_row))
		next_entry(reader);
}

static void
ask_about_contact(Reader *reader, FunctionCallInfo question, int64 contact_id)
{
	read_contact(reader, contact_id);
	if (TTS_EMPTY(reader->contact_row))
		return;
	for (int i = 0; i < CONTACT_COLUMNS; i++)
	{
		NullableDatum *argument = &question->args[contact_arguments[i]];

		argument->value = slot_getattr(reader->contact_row, reader->contact[i], &argument->isnull);
	}
}

/* ---- one message ---- */

static Datum
get(const Reader *reader, TupleTableSlot *row, int column, bool *isnull)
{
	return slot_getattr(row, reader->outbox[column], isnull);
}

static NullableDatum
get_nullable(const Reader *reader, TupleTableSlot *row, int column)
{
	NullableDatum found;

	found.value = get(reader, row, column, &found.isnull);
	return found;
}

static int64
get_id(const Reader *reader, TupleTableSlot *row, int column)
{
	NullableDatum found = get_nullable(reader, row, column);

	return found.isnull ? 0 : DatumGetInt64(found.value);
}

static bool
is_plain(const Reader *reader, TupleTableSlot *row, SmsflowPurpose purpose)
{
	static const int unusual[] = {COLUMN_ENROLLMENT, COLUMN_TRIGGER, COLUMN_SEQUENCE, COLUMN_MEDIA, COLUMN_STEP};
	NullableDatum due = get_nullable(reader, row, COLUMN_DUE);
	NullableDatum campaign = get_nullable(reader, row, COLUMN_CAMPAIGN);

	for (int i = 0; i < (int) lengthof(unusual); i++)
		if (!get_nullable(reader, row, unusual[i]).isnull)
			return false;
	if (purpose == SMSFLOW_PURPOSE_OTP || reader->segment_caps || get_id(reader, row, COLUMN_EXPIRES) <= reader->now ||
		(!due.isnull && DatumGetTimestampTz(due.value) > reader->now))
		return false;
	return campaign.isnull ||
		   (DatumGetInt32(campaign.value) == reader->facts.campaign_id && reader->facts.campaign_runs && !reader->facts.excludes);
}

static GateDecision
ask_gate(Reader *reader, TupleTableSlot *row)
{
	LOCAL_FCINFO(question, ARG_COUNT);

	InitFunctionCallInfoData(*question, NULL, ARG_COUNT, InvalidOid, NULL, NULL);
	for (int i = 0; i < ARG_COUNT; i++)
		question->args[i] = (NullableDatum){.isnull = true};
	question->args[ARG_CONTACT_ID] = get_nullable(reader, row, COLUMN_CONTACT);
	question->args[ARG_PHONE] = get_nullable(reader, row, COLUMN_RECIPIENT);
	question->args[ARG_PURPOSE] = get_nullable(reader, row, COLUMN_PURPOSE);
	question->args[ARG_MESSAGE_ID] = get_nullable(reader, row, COLUMN_MESSAGE);
	question->args[ARG_BRAND_ID] = get_nullable(reader, row, COLUMN_BRAND);
	question->args[ARG_SUBJECT] = get_nullable(reader, row, COLUMN_SUBJECT);
	if (question->args[ARG_SUBJECT].isnull && !get_nullable(reader, row, COLUMN_CAMPAIGN).isnull)
		question->args[ARG_SUBJECT] = reader->facts.subject;
	question->args[ARG_SENDER_KIND] = reader->facts.kind;
	question->args[ARG_SENDER_REGISTRATION] = reader->facts.registration;
	question->args[ARG_SENDER_OPTIONS] = reader->facts.options;
	question->args[ARG_BODY] = get_nullable(reader, row, COLUMN_BODY);
	if (!get_nullable(reader, row, COLUMN_CAMPAIGN).isnull)
		question->args[ARG_SOURCE_OPTIONS] = reader->facts.source_options;
	question->args[ARG_AT] = (NullableDatum){.value = TimestampTzGetDatum(reader->now)};
	if (!question->args[ARG_CONTACT_ID].isnull)
		ask_about_contact(reader, question, DatumGetInt64(question->args[ARG_CONTACT_ID].value));
	return smsflow_gate_ask(question);
}

static char *
copy_text(Job *job, NullableDatum value)
{
	text *detoasted;
	char *copy;

	if (value.isnull)
		return NULL;
	detoasted = DatumGetTextPP(value.value);
	copy = MemoryContextAlloc(job->context, VARSIZE_ANY_EXHDR(detoasted) + 1);
	memcpy(copy, VARDATA_ANY(detoasted), VARSIZE_ANY_EXHDR(detoasted));
	copy[VARSIZE_ANY_EXHDR(detoasted)] = '\0';
	return copy;
}

static Job *
make_job(Reader *reader, TupleTableSlot *row, SmsflowPurpose purpose, const GateDecision *decision)
{
	Job *job = job_make(reader->queue);
	NullableDatum subject = get_nullable(reader, row, COLUMN_SUBJECT);
	NullableDatum campaign = get_nullable(reader, row, COLUMN_CAMPAIGN);
	NullableDatum variant = get_nullable(reader, row, COLUMN_VARIANT);
	bool isnull;

	job->message_id = get_id(reader, row, COLUMN_MESSAGE);
	job->contact_id = get_id(reader, row, COLUMN_CONTACT);
	job->brand_id = DatumGetInt32(get(reader, row, COLUMN_BRAND, &isnull));
	job->campaign_id = campaign.isnull ? 0 : DatumGetInt32(campaign.value);
	job->variant = variant.isnull ? 0 : DatumGetInt16(variant.value);
	job->purpose = purpose;
	job->parts = DatumGetInt16(get(reader, row, COLUMN_PARTS, &isnull));
	job->unicode = DatumGetBool(get(reader, row, COLUMN_UNICODE, &isnull));
	job->recipient = get_id(reader, row, COLUMN_RECIPIENT);
	job->body = copy_text(job, get_nullable(reader, row, COLUMN_BODY));
	job->expires_at = get_id(reader, row, COLUMN_EXPIRES);
	job->open_until = decision->open_until;
	job->subject = copy_text(job, subject.isnull && job->campaign_id ? reader->facts.subject : subject);
	job->sender_id = reader->facts.sender_id;
	job->counted = job_counts(purpose, job->campaign_id ? reader->facts.source_options : (NullableDatum){.isnull = true});
	return job;
}

static void
take_row(Reader *reader, TupleTableSlot *row)
{
	TakenRow *taken = &reader->rows[reader->count++];
	bool isnull;
	SmsflowPurpose purpose = smsflow_purpose_from_oid(DatumGetObjectId(get(reader, row, COLUMN_PURPOSE, &isnull)));
	GateDecision decision;

	*taken = (TakenRow){.message_id = get_id(reader, row, COLUMN_MESSAGE), .retry_at = DT_NOBEGIN};
	if (!is_plain(reader, row, purpose))
		return;
	decision = ask_gate(reader, row);
	taken->job = make_job(reader, row, purpose, &decision);
	taken->reason = decision.reason;
	taken->retry_at = decision.reason ? decision.retry_at : DT_NOBEGIN;
}

/* ---- the segments ---- */

static Oid
queue_index(const Reader *reader, Relation segment)
{
	Oid found = InvalidOid;
	ListCell *cell;
	List *indexes = RelationGetIndexList(segment);

	foreach (cell, indexes)
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		if (index->rd_index->indnkeyatts == 2 && index->rd_index->indkey.values[0] == reader->outbox[COLUMN_QUEUE] &&
			index->rd_index->indkey.values[1] == reader->outbox[COLUMN_MESSAGE])
			found = lfirst_oid(cell);
		index_close(index, NoLock);
	}
	if (!OidIsValid(found))
		elog(ERROR, "table \"%s\" has no index by queue", RelationGetRelationName(segment));
	return found;
}

/* Takes rows past the cursor until there are enough; returns whether there was one. */
static bool
read_segment(Reader *reader, Oid relid, int limit)
{
	Relation segment = table_open(relid, AccessShareLock);
	Relation index = index_open(queue_index(reader, segment), AccessShareLock);
	IndexScanDesc scan = smsflow_index_beginscan(segment, index, GetActiveSnapshot(), 2);
	TupleTableSlot *row = table_slot_create(segment, NULL);
	ScanKeyData key[2];
	bool found = false;

	ScanKeyInit(&key[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(reader->queue->queue_id));
	ScanKeyInit(&key[1], 2, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(reader->queue->cursor_id));
	index_rescan(scan, key, 2, NULL, 0);
	while (reader->count < limit && index_getnext_slot(scan, ForwardScanDirection, row))
	{
		found = true;
		take_row(reader, row);
	}
	ExecDropSingleTupleTableSlot(row);
	index_endscan(scan);
	index_close(index, NoLock);
	table_close(segment, NoLock);
	return found;
}

/* A row there is taken only to be seen; false when there is one. */
static bool
default_is_empty(Reader *reader, PartitionDesc segments)
{
	int at = segments->boundinfo->default_index;

	if (at < 0 || !read_segment(reader, segments->oids[at], 1))
		return true;
	if (reader->rows[0].job)
		job_discard(reader->rows[0].job);
	reader->count = 0;
	return false;
}

static bool
read_segments(Reader *reader, Relation outbox)
{
	PartitionDesc segments = RelationGetPartitionDesc(outbox, true);
	PartitionBoundInfo bounds = segments->boundinfo;

	if (bounds == NULL || !default_is_empty(reader, segments))
		return false;
	for (int i = 0; i < bounds->ndatums && reader->count < reader->limit; i++)
	{
		bool passed = bounds->kind[i][0] == PARTITION_RANGE_DATUM_VALUE &&
					  DatumGetInt64(bounds->datums[i][0]) <= reader->queue->cursor_id + 1;

		if (bounds->indexes[i] >= 0 && !passed)
			read_segment(reader, segments->oids[bounds->indexes[i]], reader->limit);
	}
	return true;
}

/* ---- revocations ---- */

/* A cancelled message is rare: it is found by one look at the range, and left to the view. */
static void
leave_revoked(Reader *reader)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT8OID, INT8OID};
	Datum values[] = {Int64GetDatum(reader->queue->cursor_id), Int64GetDatum(reader->rows[reader->count - 1].message_id)};

	smsflow_spi_plan(&plan,
					 "SELECT r.target_id FROM smsflow.revocation r WHERE r.kind = 'message' AND r.target_id > $1"
					 " AND r.target_id <= $2",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, true, SPI_OK_SELECT);
	for (uint64 row = 0; row < SPI_processed; row++)
		for (int i = 0; i < reader->count; i++)
			if (reader->rows[i].message_id == column_id(row, 1) && reader->rows[i].job)
			{
				job_discard(reader->rows[i].job);
				reader->rows[i].job = NULL;
			}
}

int
plain_take(Queue *queue, int limit, TakenRow *rows)
{
	Reader reader = {.queue = queue, .rows = rows, .limit = limit, .now = GetCurrentTransactionStartTimestamp()};
	Relation outbox;
	bool ordered;

	reader.segment_caps = smsflow_policy_has_segments();
	if (!read_facts(&reader.facts, queue->queue_id))
		return -1;
	outbox = open_table("outbox");
	find_columns(outbox, outbox_columns, OUTBOX_COLUMNS, reader.outbox);
	open_contacts(&reader);
	ordered = read_segments(&reader, outbox);
	close_contacts(&reader);
	table_close(outbox, NoLock);
	if (!ordered)
		return -1;
	if (reader.count > 0)
		leave_revoked(&reader);
	return reader.count;
}
