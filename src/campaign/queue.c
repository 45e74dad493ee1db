/*
 * queue.c - see queue.h. Rows are appended without a statement (append.h), and counted in memory: what a slice adds to the
 * counters are a few rows, one for each queue and variant.
 */
#include "campaign/queue.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "append.h"
#include "campaign/draft.h"
#include "contact/contact.h"
#include "link/link.h"
#include "message/send.h"
#include "smsflow.h"

/* Queue 0 is for messages that the gate refused. */
#define REFUSED_QUEUE 0

enum
{
	OUTBOX_MESSAGE,
	OUTBOX_XID,
	OUTBOX_CREATED,
	OUTBOX_DUE,
	OUTBOX_EXPIRES,
	OUTBOX_CONTACT,
	OUTBOX_RECIPIENT,
	OUTBOX_QUEUE,
	OUTBOX_BRAND,
	OUTBOX_CAMPAIGN,
	OUTBOX_PURPOSE,
	OUTBOX_VARIANT,
	OUTBOX_PARTS,
	OUTBOX_UNICODE,
	OUTBOX_REFUSAL,
	OUTBOX_BODY,
	OUTBOX_PROOF,
	OUTBOX_LINKS
};
static const char *const outbox_columns[] =
	{"message_id",  "xid",     "created_at", "due_at", "expires_at", "contact_id", "recipient", "queue_id",         "brand_id",
	 "campaign_id", "purpose", "variant",    "parts",  "unicode",    "refusal",    "body",      "consent_event_id", "links"};

/* Messages of one queue and variant. */
typedef struct Tally
{
	int32 queue_id;
	int16 variant;
	int64 messages;
	int64 parts;
} Tally;

/* Numbers that are gathered for a statement. */
typedef struct Numbers
{
	Datum *values;
	int count;
} Numbers;

typedef struct Slice
{
	const CampaignPlan *plan;
	Appender *outbox;
	int32 *queues;
	int queue_count;
	Datum xid;
	bool has_key; /* of short links, in key */
	SmsflowSipKey key;
	Tally *tallies;
	int tally_count;
	Numbers recipients; /* contacts of all messages */
	Numbers contacts;   /* contacts of those that may leave, and the messages */
	Numbers messages;
	Queued result;
} Slice;

static SmsflowStatement find_queues = {.sql = "SELECT smsflow.lane_of(purpose), coalesce(options ->> 'pool', 'default')"
											  " FROM smsflow.campaign WHERE campaign_id = $1",
									   .nargs = 1,
									   .types = (const Oid[]){INT4OID}};

/* Parallel arrays: $2 queues, $3 variants, $4 messages, $5 parts. */
static SmsflowStatement count_messages =
	{.sql = "INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure,"
			"  value, variant)"
			" SELECT date_trunc('hour', clock_timestamp(), 'UTC'), k.brand_id, k.campaign_id, 0, coalesce(q.sender_id, 0), 0,"
			"  k.purpose, v.measure, sum(v.value), t.variant"
			" FROM smsflow.campaign AS k"
			" CROSS JOIN unnest($2, $3, $4, $5) AS t (queue_id, variant, messages, parts)"
			" JOIN smsflow.queue AS q USING (queue_id) CROSS JOIN LATERAL (VALUES ('recipients', t.messages),"
			"  (CASE WHEN t.queue_id = 0 THEN 'suppressed' ELSE 'queued' END, t.messages),"
			"  ('parts', CASE WHEN t.queue_id <> 0 THEN t.parts END)) AS v (measure, value)"
			" WHERE k.campaign_id = $1 AND v.value IS NOT NULL"
			" GROUP BY k.brand_id, k.campaign_id, q.sender_id, k.purpose, v.measure, t.variant",
	 .generic = true,
	 .nargs = 5,
	 .types = (const Oid[]){INT4OID, INT4ARRAYOID, INT2ARRAYOID, INT8ARRAYOID, INT8ARRAYOID}};

static SmsflowStatement keep_recipients = {.sql = "INSERT INTO smsflow.campaign_recipient SELECT $1, unnest($2)",
										   .generic = true,
										   .nargs = 2,
										   .types = (const Oid[]){INT4OID, INT8ARRAYOID}};

static SmsflowStatement bind_coupons = {.sql = "SELECT smsflow.bind_coupons($1, $2, $3)",
										.nargs = 3,
										.types = (const Oid[]){INT4OID, INT8ARRAYOID, INT8ARRAYOID}};

static NullableDatum
bigint_array(const Numbers *numbers)
{
	return smsflow_value(
		PointerGetDatum(construct_array(numbers->values, numbers->count, INT8OID, sizeof(int64), true, TYPALIGN_DOUBLE)));
}

static void
add_number(Numbers *numbers, int64 value)
{
	numbers->values[numbers->count++] = Int64GetDatum(value);
}

/* ---- a message ---- */

static void
tally(Slice *slice, int32 queue_id, const SmsflowDraft *draft)
{
	Tally *found = slice->tallies;

	while (found < slice->tallies + slice->tally_count && (found->queue_id != queue_id || found->variant != draft->variant))
		found++;
	if (found == slice->tallies + slice->tally_count)
	{
		slice->tallies = repalloc(slice->tallies, sizeof(Tally) * ++slice->tally_count);
		found = &slice->tallies[slice->tally_count - 1];
		*found = (Tally){.queue_id = queue_id, .variant = draft->variant};
	}
	found->messages++;
	found->parts += draft->parts.parts;
}

/* body_of returns the text with the codes of its short links, which are made of the number of the message. */
static Datum
body_of(Slice *slice, const SmsflowDraft *draft, int64 message_id)
{
	char *body;

	if (draft->links.isnull)
		return CStringGetTextDatum(draft->body);
	if (!slice->has_key)
		slice->key = smsflow_link_key();
	slice->has_key = true;
	body = pstrdup(draft->body);
	(void) smsflow_put_codes(body, slice->key, message_id);
	return CStringGetTextDatum(body);
}

static void
append_message(Slice *slice, const SmsflowDraft *draft, int64 message_id, int32 queue_id)
{
	Appender *outbox = slice->outbox;

	append_row(outbox);
	append_value(outbox, OUTBOX_MESSAGE, Int64GetDatum(message_id));
	append_value(outbox, OUTBOX_XID, slice->xid);
	append_value(outbox, OUTBOX_CREATED, TimestampTzGetDatum(GetCurrentTimestamp()));
	if (draft->due_at != DT_NOBEGIN)
		append_value(outbox, OUTBOX_DUE, TimestampTzGetDatum(draft->due_at));
	append_value(outbox, OUTBOX_EXPIRES, TimestampTzGetDatum(draft->expires_at));
	append_value(outbox, OUTBOX_CONTACT, Int64GetDatum(draft->contact_id));
	append_value(outbox, OUTBOX_RECIPIENT, PhoneGetDatum(draft->phone));
	append_value(outbox, OUTBOX_QUEUE, Int32GetDatum(queue_id));
	append_value(outbox, OUTBOX_BRAND, Int32GetDatum(slice->plan->brand_id));
	append_value(outbox, OUTBOX_CAMPAIGN, Int32GetDatum(slice->plan->campaign_id));
	append_value(outbox, OUTBOX_PURPOSE, ObjectIdGetDatum(slice->plan->purpose_oid));
	if (draft->variant != 0)
		append_value(outbox, OUTBOX_VARIANT, Int16GetDatum(draft->variant));
	append_value(outbox, OUTBOX_PARTS, Int16GetDatum((int16) draft->parts.parts));
	append_value(outbox, OUTBOX_UNICODE, BoolGetDatum(draft->parts.encoding == SMSFLOW_UCS2));
	append_text(outbox, OUTBOX_REFUSAL, draft->refusal);
	append_value(outbox, OUTBOX_BODY, body_of(slice, draft, message_id));
	append_id(outbox, OUTBOX_PROOF, draft->consent_event_id);
	if (!draft->links.isnull)
		append_value(outbox, OUTBOX_LINKS, draft->links.value);
}

/* queue_draft is the SmsflowTakeDraft over a slice. */
static bool
queue_draft(void *ctx, const SmsflowDraft *draft)
{
	Slice *slice = ctx;
	bool is_refused = draft->refusal != NULL;
	int32 queue_id = is_refused ? REFUSED_QUEUE : slice->queues[draft->contact_id % slice->queue_count];
	int64 message_id;

	if (!is_refused && slice->result.parts + draft->parts.parts > slice->plan->budget)
	{
		slice->result.past_budget = draft->contact_id;
		return false;
	}
	message_id = smsflow_take_message_id();
	append_message(slice, draft, message_id, queue_id);
	tally(slice, queue_id, draft);
	add_number(&slice->recipients, draft->contact_id);
	if (is_refused)
	{
		slice->result.refused++;
		return true;
	}
	slice->result.queued++;
	slice->result.parts += draft->parts.parts;
	add_number(&slice->contacts, draft->contact_id);
	add_number(&slice->messages, message_id);
	return true;
}

/* ---- a slice ---- */

static void
find_campaign_queues(Slice *slice)
{
	const NullableDatum id = smsflow_value(Int32GetDatum(slice->plan->campaign_id));
	int16 lane;
	char *pool;

	smsflow_execute(&find_queues, &id);
	lane = DatumGetInt16(smsflow_result(1).value);
	pool = TextDatumGetCString(smsflow_result(2).value);
	slice->queues = smsflow_queues(lane, psprintf("campaign:%d", slice->plan->campaign_id), pool, &slice->queue_count);
}

/* write_counts adds the tallies to the counters, and tells the worker which queues have something. */
static void
write_counts(const Slice *slice)
{
	int count = slice->tally_count;
	Datum *queues = palloc(sizeof(Datum) * count);
	Datum *variants = palloc(sizeof(Datum) * count);
	Numbers messages = {palloc(sizeof(Datum) * count), 0};
	Numbers parts = {palloc(sizeof(Datum) * count), 0};

	for (int i = 0; i < count; i++)
	{
		const Tally *counted = &slice->tallies[i];

		queues[i] = Int32GetDatum(counted->queue_id);
		variants[i] = Int16GetDatum(counted->variant);
		add_number(&messages, counted->messages);
		add_number(&parts, counted->parts);
		if (counted->queue_id != REFUSED_QUEUE)
			smsflow_note_enqueued(counted->queue_id);
	}
	{
		const NullableDatum args[] =
			{smsflow_value(Int32GetDatum(slice->plan->campaign_id)),
			 smsflow_value(PointerGetDatum(construct_array(queues, count, INT4OID, sizeof(int32), true, TYPALIGN_INT))),
			 smsflow_value(PointerGetDatum(construct_array(variants, count, INT2OID, sizeof(int16), true, TYPALIGN_SHORT))),
			 bigint_array(&messages), bigint_array(&parts)};

		smsflow_execute(&count_messages, args);
	}
}

Queued
smsflow_queue(const CampaignPlan *plan, bool keeps_recipients, ArrayType *members)
{
	int count = ArrayGetNItems(ARR_NDIM(members), ARR_DIMS(members));
	Slice slice = {.plan = plan,
				   .tallies = palloc(sizeof(Tally)),
				   .recipients = {palloc(sizeof(Datum) * count), 0},
				   .contacts = {palloc(sizeof(Datum) * count), 0},
				   .messages = {palloc(sizeof(Datum) * count), 0}};
	const NullableDatum id = smsflow_value(Int32GetDatum(plan->campaign_id));

	find_campaign_queues(&slice);
	slice.xid = UInt64GetDatum(U64FromFullTransactionId(GetTopFullTransactionId()));
	slice.outbox = append_begin("outbox", outbox_columns, lengthof(outbox_columns));
	smsflow_draft(plan, members, queue_draft, &slice);
	append_end(slice.outbox);
	if (slice.tally_count > 0)
		write_counts(&slice);
	if (keeps_recipients)
		smsflow_execute(&keep_recipients, (NullableDatum[]){id, bigint_array(&slice.recipients)});
	if (!plan->coupons.isnull)
		smsflow_execute(&bind_coupons, (NullableDatum[]){id, bigint_array(&slice.contacts), bigint_array(&slice.messages)});
	return slice.result;
}
