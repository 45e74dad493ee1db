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

#include "campaign/queue.h"
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
	bool waited; /* what it waited for has come */
	bool has_coupons;
	bool is_frozen;  /* its members are those of campaign_member */
	bool has_rounds; /* who has a message is in campaign_recipient */
	bool is_reminder;
	int32 wave_segment; /* only its members have their turn; 0: everybody */
} Campaign;

/* Campaigns that are not as far come first, so that one started later does not wait for the end of a big one. */
static SmsflowStatement pick_campaign = {
	.sql = "SELECT k.campaign_id, k.segment_id, k.cursor_contact_id, k.status = 'scheduled', k.waits_for IS NOT NULL,"
		   " k.options ? 'coupons', COALESCE(k.options ->> 'audience', '') = 'freeze', smsflow.has_rounds(k), k.reminder_of IS "
		   "NOT NULL,"
		   " (SELECT w.segment_id FROM smsflow.campaign_wave w WHERE w.campaign_id = k.campaign_id AND w.wave = k.wave)"
		   " FROM smsflow.campaign AS k"
		   " WHERE k.status = 'running' AND (k.waits_for IS NULL OR k.waits_until <= clock_timestamp())"
		   "  OR k.status = 'scheduled' AND k.launch_at <= clock_timestamp()"
		   " ORDER BY k.cursor_contact_id, k.campaign_id LIMIT 1 FOR NO KEY UPDATE OF k SKIP LOCKED"};

static SmsflowStatement start_campaign =
	{.sql = "UPDATE smsflow.campaign SET status = 'running', started_at = clock_timestamp(),"
			" after_message_id = (SELECT last_value - 1 FROM smsflow.message_id_seq) WHERE campaign_id = $1",
	 .nargs = 1,
	 .types = (const Oid[]){INT4OID}};

static SmsflowStatement move_cursor =
	{.sql = "UPDATE smsflow.campaign SET cursor_contact_id = $2, queued = queued + $3, refused = refused + $4,"
			" queued_parts = queued_parts + $5, waits_for = $6 WHERE campaign_id = $1",
	 .nargs = 6,
	 .types = (const Oid[]){INT4OID, INT8OID, INT8OID, INT8OID, INT8OID, TEXTOID}};

static SmsflowStatement end_round = {.sql = "SELECT smsflow.end_round($1)", .nargs = 1, .types = (const Oid[]){INT4OID}};

static SmsflowStatement end_wait = {.sql = "SELECT smsflow.end_wait($1)", .nargs = 1, .types = (const Oid[]){INT4OID}};

static SmsflowStatement find_members =
	{.sql = "SELECT array_agg(m.contact_id), max(m.contact_id) FROM (SELECT contact_id FROM smsflow.campaign_member"
			" WHERE campaign_id = $1 AND contact_id > $2 ORDER BY contact_id LIMIT $3) AS m",
	 .nargs = 3,
	 .types = (const Oid[]){INT4OID, INT8OID, INT4OID}};

static SmsflowStatement find_turn = {.sql = "SELECT smsflow.whose_turn($1, $2)",
									 .nargs = 2,
									 .types = (const Oid[]){INT4OID, INT8ARRAYOID}};

static SmsflowStatement take_coupons = {.sql = "SELECT smsflow.take_coupons($1, $2)",
										.nargs = 2,
										.types = (const Oid[]){INT4OID, INT8ARRAYOID}};

static SmsflowStatement fail_campaign =
	{.sql = "UPDATE smsflow.campaign SET status = 'failed', error = $2, finished_at = clock_timestamp()"
			" WHERE campaign_id = $1",
	 .nargs = 2,
	 .types = (const Oid[]){INT4OID, TEXTOID}};

static SmsflowStatement find_next = {.sql = "SELECT min(CASE WHEN status = 'scheduled' THEN launch_at WHEN waits_for IS NULL "
											"THEN clock_timestamp() ELSE waits_until END) FROM smsflow.campaign"
											" WHERE status IN ('scheduled', 'running')"};

static int
length(ArrayType *ids)
{
	return ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids));
}

/* read_slice returns the members among the next contacts and moves the cursor; NULL: no contact is left. */
static ArrayType *
read_slice(const Campaign *campaign, int contacts, int64 *cursor)
{
	const NullableDatum args[] = {smsflow_value(Int32GetDatum(campaign->campaign_id)), smsflow_value(Int64GetDatum(*cursor)),
								  smsflow_value(Int32GetDatum(contacts))};

	if (!campaign->is_frozen)
		return smsflow_segment_slice(smsflow_segment_by_id(campaign->segment_id), contacts, cursor);
	smsflow_execute(&find_members, args);
	if (smsflow_result(1).isnull)
		return NULL;
	*cursor = DatumGetInt64(smsflow_result(2).value);
	return DatumGetArrayTypePCopy(smsflow_result(1).value);
}

/* choose returns those of the members that a statement ($1 campaign, $2 members) returns. */
static ArrayType *
choose(const Campaign *campaign, SmsflowStatement *statement, ArrayType *members)
{
	const NullableDatum args[] = {smsflow_value(Int32GetDatum(campaign->campaign_id)), smsflow_value(PointerGetDatum(members))};

	smsflow_execute(statement, args);
	return DatumGetArrayTypePCopy(smsflow_result(1).value);
}

/* members_of_turn leaves out who does not get a message in this round. */
static ArrayType *
members_of_turn(const Campaign *campaign, ArrayType *members)
{
	if (campaign->wave_segment != 0 && length(members) > 0)
		members = smsflow_members_among(smsflow_segment_by_id(campaign->wave_segment), members);
	if ((campaign->has_rounds || campaign->is_reminder) && length(members) > 0)
		members = choose(campaign, &find_turn, members);
	return members;
}

/* What a slice came to. */
typedef struct Slice
{
	int64 cursor;
	Queued queued;
	const char *waits_for; /* why the campaign cannot go on behind the cursor; NULL: it can */
} Slice;

static void
append_slice(const Campaign *campaign, ArrayType *members, Slice *slice)
{
	slice->queued = smsflow_queue(smsflow_read_plan(campaign->campaign_id, true), campaign->has_rounds, members);
	if (slice->queued.past_budget != 0)
	{
		slice->cursor = slice->queued.past_budget - 1;
		slice->waits_for = "budget";
	}
}

/*
 * deal_coupons returns the members that can get a message. Where codes run out the slice ends with the last of these; the
 * next one finds those that were not needed, or waits.
 */
static ArrayType *
deal_coupons(const Campaign *campaign, ArrayType *members, Slice *slice)
{
	ArrayType *served = choose(campaign, &take_coupons, members);
	int count = length(served);

	if (count == length(members))
		return served;
	slice->cursor = count > 0 ? ((int64 *) ARR_DATA_PTR(served))[count - 1] : campaign->cursor;
	slice->waits_for = count > 0 ? NULL : "coupons";
	return served;
}

/* expand_slice appends the messages of the next members and moves the cursor behind them. */
static void
expand_slice(const Campaign *campaign, int contacts)
{
	const NullableDatum id = smsflow_value(Int32GetDatum(campaign->campaign_id));
	Slice slice = {.cursor = campaign->cursor};
	ArrayType *members = read_slice(campaign, contacts, &slice.cursor);

	if (members == NULL)
	{
		smsflow_execute(&end_round, &id);
		return;
	}
	members = members_of_turn(campaign, members);
	if (campaign->has_coupons && length(members) > 0)
		members = deal_coupons(campaign, members, &slice);
	if (length(members) > 0)
		append_slice(campaign, members, &slice);
	{
		const NullableDatum move[] = {id,
									  smsflow_value(Int64GetDatum(slice.cursor)),
									  smsflow_value(Int64GetDatum(slice.queued.queued)),
									  smsflow_value(Int64GetDatum(slice.queued.refused)),
									  smsflow_value(Int64GetDatum(slice.queued.parts)),
									  {slice.waits_for ? CStringGetTextDatum(slice.waits_for) : 0, slice.waits_for == NULL}};

		smsflow_execute(&move_cursor, move);
	}
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

/* record_failure stores an error (message, detail and hint) as the campaign's end, unless it is one that a later try may not meet. */
static void
record_failure(const Campaign *campaign, ErrorData *error)
{
	const char *detail = error->detail ? psprintf(" (%s)", error->detail) : "";
	const char *text = psprintf("%s%s%s%s", error->message, detail, error->hint ? " " : "", error->hint ? error->hint : "");
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
	const NullableDatum id = smsflow_value(Int32GetDatum(campaign->campaign_id));

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (campaign->waited)
			smsflow_execute(&end_wait, &id);
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

static bool
result_flag(int column)
{
	return DatumGetBool(smsflow_result(column).value);
}

static Campaign
picked_campaign(void)
{
	NullableDatum wave_segment = smsflow_result(10);

	return (Campaign){
		.campaign_id = DatumGetInt32(smsflow_result(1).value),
		.segment_id = DatumGetInt32(smsflow_result(2).value),
		.cursor = DatumGetInt64(smsflow_result(3).value),
		.is_new = result_flag(4),
		.waited = result_flag(5),
		.has_coupons = result_flag(6),
		.is_frozen = result_flag(7),
		.has_rounds = result_flag(8),
		.is_reminder = result_flag(9),
		.wave_segment = wave_segment.isnull ? 0 : DatumGetInt32(wave_segment.value),
	};
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
		Campaign campaign = picked_campaign();
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
