/*
 * campaign.c - expanding a running campaign into messages, one slice per call and transaction.
 *
 * A slice appends its messages and moves the campaign's cursor in the same transaction, so that whatever crashes, each
 * member has its message exactly once. The campaign's row is locked meanwhile: a pause or cancel that has committed is
 * followed by no further slice. What users wrote (predicate, template) runs inside a subtransaction, so that its errors
 * fail the campaign and nothing else.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "contact/contact.h"
#include "errcodes.h"
#include "segment/segment.h"

/* A due campaign that somebody keeps locked is looked at again after this time. */
#define LOCKED_RETRY USECS_PER_SEC

typedef struct Campaign
{
	int32 campaign_id;
	int32 segment_id;
	int64 cursor;
	bool is_new;
} Campaign;

/* Campaigns that are not as far come first, so that one started later does not wait for the end of a big one. */
static SmsflowStatement pick_campaign = {
	.sql = "SELECT campaign_id, segment_id, cursor_contact_id, status = 'scheduled' FROM smsflow.campaign"
		   " WHERE status = 'running' OR status = 'scheduled' AND launch_at <= clock_timestamp()"
		   " ORDER BY cursor_contact_id, campaign_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED"};

static SmsflowStatement start_campaign =
	{.sql = "UPDATE smsflow.campaign SET status = 'running', started_at = clock_timestamp() WHERE campaign_id = $1",
	 .nargs = 1,
	 .types = (const Oid[]){INT4OID}};

static SmsflowStatement find_queues = {.sql = "SELECT smsflow.queues_for(smsflow.lane_of(purpose), 'campaign:' || campaign_id,"
											  "  coalesce(options ->> 'pool', 'default'))"
											  " FROM smsflow.campaign WHERE campaign_id = $1",
									   .nargs = 1,
									   .types = (const Oid[]){INT4OID}};

static SmsflowStatement append_messages =
	{.sql = "WITH k AS MATERIALIZED ("
			"  SELECT c.*, b.name AS brand,"
			"   c.launch_at + coalesce((c.options ->> 'valid_for')::interval, smsflow.default_validity(c.purpose))"
			"   AS expires_at"
			"  FROM smsflow.campaign AS c JOIN smsflow.brand AS b USING (brand_id) WHERE c.campaign_id = $1"
			" ), drafted AS ("
			"  SELECT d.contact_id, d.phone, d.body, d.parts, d.unicode, coalesce(d.refusal, CASE WHEN k.queued_parts"
			"    + sum(d.parts) FILTER (WHERE d.refusal IS NULL) OVER (ORDER BY d.contact_id) > (k.options ->> 'budget')::bigint"
			"    THEN 'budget_exhausted' END) AS refusal, d.consent_event_id, d.links"
			"  FROM k CROSS JOIN LATERAL smsflow.draft_messages(k.body, k.purpose, k.brand, $2) AS d"
			" ), appended AS ("
			"  INSERT INTO smsflow.outbox (expires_at, contact_id, recipient, queue_id, brand_id, campaign_id, purpose, parts,"
			"   unicode, refusal, body, consent_event_id, links)"
			"  SELECT k.expires_at, m.contact_id, m.phone,"
			"   CASE WHEN m.refusal IS NULL THEN ($3)[1 + m.contact_id % cardinality($3)] ELSE 0 END,"
			"   k.brand_id, k.campaign_id, k.purpose, m.parts, m.unicode, m.refusal, m.body, m.consent_event_id, m.links"
			"  FROM k CROSS JOIN drafted AS m"
			"  RETURNING queue_id, parts, refusal IS NOT NULL AS refused"
			" ), total AS ("
			"  SELECT queue_id, refused, count(*) AS messages, sum(parts) AS parts FROM appended GROUP BY queue_id, refused"
			" ), counted AS ("
			"  INSERT INTO smsflow.metric_delta"
			"  SELECT date_trunc('hour', clock_timestamp(), 'UTC'), k.brand_id, k.campaign_id, 0, coalesce(q.sender_id, 0), 0,"
			"   k.purpose, v.measure, sum(v.value)"
			"  FROM k CROSS JOIN total AS t JOIN smsflow.queue AS q USING (queue_id) CROSS JOIN LATERAL (VALUES"
			"   ('recipients', t.messages),"
			"   (CASE WHEN t.refused THEN 'suppressed' ELSE 'queued' END, t.messages),"
			"   ('parts', CASE WHEN NOT t.refused THEN t.parts END)) AS v (measure, value)"
			"  WHERE v.value IS NOT NULL GROUP BY k.brand_id, k.campaign_id, q.sender_id, k.purpose, v.measure"
			" )"
			" SELECT coalesce(sum(messages) FILTER (WHERE NOT refused), 0)::bigint,"
			"  coalesce(sum(messages) FILTER (WHERE refused), 0)::bigint,"
			"  coalesce(sum(parts) FILTER (WHERE NOT refused), 0)::bigint,"
			"  smsflow.note_enqueued(coalesce(array_agg(queue_id) FILTER (WHERE NOT refused), '{}'))"
			" FROM total",
	 .nargs = 3,
	 .types = (const Oid[]){INT4OID, INT8ARRAYOID, INT4ARRAYOID}};

static SmsflowStatement move_cursor =
	{.sql = "UPDATE smsflow.campaign SET cursor_contact_id = $2, queued = queued + $3, refused = refused + $4,"
			" queued_parts = queued_parts + $5 WHERE campaign_id = $1",
	 .nargs = 5,
	 .types = (const Oid[]){INT4OID, INT8OID, INT8OID, INT8OID, INT8OID}};

static SmsflowStatement finish_campaign =
	{.sql = "UPDATE smsflow.campaign SET status = 'done', expanded = true, planned = queued + refused,"
			" finished_at = clock_timestamp() WHERE campaign_id = $1",
	 .nargs = 1,
	 .types = (const Oid[]){INT4OID}};

static SmsflowStatement fail_campaign =
	{.sql = "UPDATE smsflow.campaign SET status = 'failed', error = $2, finished_at = clock_timestamp()"
			" WHERE campaign_id = $1",
	 .nargs = 2,
	 .types = (const Oid[]){INT4OID, TEXTOID}};

static SmsflowStatement find_next = {
	.sql = "SELECT min(CASE WHEN status = 'running' THEN clock_timestamp() ELSE launch_at END) FROM smsflow.campaign"
		   " WHERE status IN ('scheduled', 'running')"};

/* append_slice appends the messages of these members and moves the cursor behind them. */
static void
append_slice(const Campaign *campaign, ArrayType *members, int64 cursor)
{
	NullableDatum append[3] = {smsflow_value(Int32GetDatum(campaign->campaign_id)), smsflow_value(PointerGetDatum(members))};
	NullableDatum move[5] = {append[0], smsflow_value(Int64GetDatum(cursor)), smsflow_value(Int64GetDatum(0)),
							 smsflow_value(Int64GetDatum(0)), smsflow_value(Int64GetDatum(0))};

	if (ArrayGetNItems(ARR_NDIM(members), ARR_DIMS(members)) > 0)
	{
		smsflow_execute(&find_queues, append);
		append[2] = smsflow_result(1);
		smsflow_execute(&append_messages, append);
		move[2] = smsflow_result(1);
		move[3] = smsflow_result(2);
		move[4] = smsflow_result(3);
	}
	smsflow_execute(&move_cursor, move);
}

static void
expand_slice(const Campaign *campaign, int contacts)
{
	SmsflowSegment *segment = smsflow_segment_by_id(campaign->segment_id);
	int64 cursor = campaign->cursor;
	ArrayType *members = smsflow_segment_slice(segment, contacts, &cursor);
	const NullableDatum id[] = {smsflow_value(Int32GetDatum(campaign->campaign_id))};

	if (members == NULL)
		smsflow_execute(&finish_campaign, id);
	else
		append_slice(campaign, members, cursor);
}

/* is_transient tells errors that the machine or other sessions caused from those that will come back. */
static bool
is_transient(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return true;
		default:
			return sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
	}
}

/* record_failure stores an error as the campaign's end, unless it is one that a later try may not meet. */
static void
record_failure(const Campaign *campaign, ErrorData *error)
{
	const char *text = error->detail ? psprintf("%s (%s)", error->message, error->detail) : error->message;
	const NullableDatum args[] = {smsflow_value(Int32GetDatum(campaign->campaign_id)), smsflow_value(CStringGetTextDatum(text))};

	if (is_transient(error->sqlerrcode))
		ReThrowError(error);
	smsflow_execute(&fail_campaign, args);
	ereport(WARNING, (errcode(error->sqlerrcode), errmsg("campaign %d failed", campaign->campaign_id), errdetail("%s", text),
					  errhint("See the view smsflow.progress_campaign.")));
}

/* expand_guarded expands a slice in a subtransaction. */
static void
expand_guarded(const Campaign *campaign, int contacts)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		expand_slice(campaign, contacts);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error != NULL)
		record_failure(campaign, error);
}

/* next_instant returns when there is something to do again. */
static NullableDatum
next_instant(bool picked)
{
	NullableDatum next;

	smsflow_execute(&find_next, NULL);
	next = smsflow_result(1);
	if (!next.isnull && !picked)
		next.value = TimestampTzGetDatum(Max(DatumGetTimestampTz(next.value), GetCurrentTimestamp() + LOCKED_RETRY));
	return next;
}

/* advance_campaigns(slice integer) returns timestamptz */
PG_FUNCTION_INFO_V1(smsflow_pg_advance_campaigns);
Datum
smsflow_pg_advance_campaigns(PG_FUNCTION_ARGS)
{
	bool picked;
	NullableDatum next;

	SPI_connect();
	picked = smsflow_execute(&pick_campaign, NULL) > 0;
	if (picked)
	{
		Campaign campaign = {
			.campaign_id = DatumGetInt32(smsflow_result(1).value),
			.segment_id = DatumGetInt32(smsflow_result(2).value),
			.cursor = DatumGetInt64(smsflow_result(3).value),
			.is_new = DatumGetBool(smsflow_result(4).value),
		};
		const NullableDatum id[] = {smsflow_value(Int32GetDatum(campaign.campaign_id))};

		if (campaign.is_new)
			smsflow_execute(&start_campaign, id);
		expand_guarded(&campaign, PG_GETARG_INT32(0));
	}
	next = next_instant(picked);
	SPI_finish();
	if (next.isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(next.value);
}
