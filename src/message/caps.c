/*
 * caps.c - how often a person may be written to: rolling windows over what was
 * sent, newest first. However long the history, few rows are read: none that is
 * older than the windows still open, and few past the one that fills a cap. The
 * reminder of a cart has an index of its own.
 */
#include "smsflow.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "message/gate.h"
#include "types/types.h"

/* When one cap is reached it is known that the message waits; this many more rows may show that it waits longer. */
#define READ_ON 8

#define MAX_CAPS (2 * (GATE_MAX_PLACES + 1))

typedef struct Counter
{
	SmsflowCap cap;
	bool same_subject;
	int seen;
	TimestampTz free_at; /* DT_NOBEGIN: not reached */
} Counter;

typedef struct History
{
	Counter counters[MAX_CAPS];
	int count;
	bool cart_once;
	int64 reach;   /* how far back, microseconds */
	int read_past; /* rows since a cap was reached */
} History;

static void
add_counter(History *history, SmsflowCap cap, bool same_subject)
{
	if (cap.limit == 0 || history->count == MAX_CAPS)
		return;
	history->counters[history->count++] = (Counter){.cap = cap, .same_subject = same_subject, .free_at = DT_NOBEGIN};
	history->reach = Max(history->reach, cap.span);
}

static void
collect_caps(const GateQuestion *q, History *history)
{
	for (int i = -1; i < q->place_count; i++)
	{
		SmsflowJurisdiction *place = i < 0 ? q->everywhere : q->places[i];

		if (place == NULL)
			continue;
		add_counter(history, place->cap[q->purpose], false);
		add_counter(history, place->subject_cap[q->purpose], true);
		history->cart_once |= place->cart_once && q->purpose == SMSFLOW_PURPOSE_CART && smsflow_gate_has_arg(q, ARG_REF);
	}
}

/* Touches come newest first: the one that fills a cap says when the cap has room again. */
static void
count_touch(const GateQuestion *q, History *history, TimestampTz sent_at, SmsflowPurpose purpose, bool same_subject)
{
	if (!q->policy->counts[purpose])
		return;
	for (int i = 0; i < history->count; i++)
	{
		Counter *counter = &history->counters[i];

		if (counter->free_at != DT_NOBEGIN || sent_at <= q->at - counter->cap.span || (counter->same_subject && !same_subject))
			continue;
		if (++counter->seen == counter->cap.limit)
			counter->free_at = sent_at + counter->cap.span;
	}
}

/* Whether rows older than an instant say nothing more. */
static bool
history_known(const GateQuestion *q, History *history, TimestampTz sent_at)
{
	bool reached = false;
	bool open = false;

	for (int i = 0; i < history->count; i++)
	{
		Counter *counter = &history->counters[i];

		reached |= counter->free_at != DT_NOBEGIN;
		open |= counter->free_at == DT_NOBEGIN && sent_at > q->at - counter->cap.span;
	}
	return !open || (reached && history->read_past++ >= READ_ON);
}

static bool
same_text(Datum value, bool isnull, const GateQuestion *q, int n)
{
	if (isnull || !smsflow_gate_has_arg(q, n))
		return !isnull && VARSIZE_ANY_EXHDR(DatumGetPointer(value)) == 0 && !smsflow_gate_has_arg(q, n);
	return DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, value, q->args->args[n].value));
}

static TimestampTz
read_touch(const GateQuestion *q, History *history, HeapTuple tuple, TupleDesc columns)
{
	bool isnull;
	TimestampTz sent_at = DatumGetTimestampTz(heap_getattr(tuple, 2, columns, &isnull));
	int64 message_id = DatumGetInt64(heap_getattr(tuple, 3, columns, &isnull));
	SmsflowPurpose purpose = smsflow_purpose_from_oid(DatumGetObjectId(heap_getattr(tuple, 4, columns, &isnull)));
	Datum subject = heap_getattr(tuple, 5, columns, &isnull);

	if (!smsflow_gate_has_arg(q, ARG_MESSAGE_ID) || message_id != DatumGetInt64(q->args->args[ARG_MESSAGE_ID].value))
		count_touch(q, history, sent_at, purpose, same_text(subject, false, q, ARG_SUBJECT));
	return sent_at;
}

/* A range of one index, ended early when everything is known. */
static void
read_history(const GateQuestion *q, History *history)
{
	Relation touches;
	Relation index;
	SysScanDesc scan;
	ScanKeyData key[3];
	HeapTuple tuple;

	if (history->reach == 0 || !smsflow_gate_has_arg(q, ARG_CONTACT_ID))
		return;
	touches = table_open(q->policy->touch_relid, AccessShareLock);
	index = index_open(q->policy->touch_index, AccessShareLock);
	ScanKeyInit(&key[0], 1, BTEqualStrategyNumber, F_INT8EQ, q->args->args[ARG_CONTACT_ID].value);
	ScanKeyInit(&key[1], 2, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT, TimestampTzGetDatum(q->at - history->reach));
	ScanKeyInit(&key[2], 2, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE, TimestampTzGetDatum(q->at));
	scan = systable_beginscan_ordered(touches, index, GetActiveSnapshot(), 3, key);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, BackwardScanDirection)))
		if (history_known(q, history, read_touch(q, history, tuple, RelationGetDescr(touches))))
			break;
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(touches, AccessShareLock);
}

/* Whether another message was the reminder of this cart. */
static bool
cart_had_one(const GateQuestion *q)
{
	Relation touches = table_open(q->policy->touch_relid, AccessShareLock);
	Relation index = index_open(q->policy->cart_index, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key[2];
	HeapTuple tuple;
	bool found = false;

	ScanKeyInit(&key[0], 1, BTEqualStrategyNumber, F_INT8EQ, q->args->args[ARG_CONTACT_ID].value);
	ScanKeyEntryInitialize(&key[1], 0, 6, BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID, F_TEXTEQ,
						   q->args->args[ARG_REF].value);
	scan = systable_beginscan_ordered(touches, index, GetActiveSnapshot(), 2, key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		bool isnull;
		Datum message_id = heap_getattr(tuple, 3, RelationGetDescr(touches), &isnull);

		found = !smsflow_gate_has_arg(q, ARG_MESSAGE_ID) ||
				DatumGetInt64(message_id) != DatumGetInt64(q->args->args[ARG_MESSAGE_ID].value);
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(touches, AccessShareLock);
	return found;
}

void
smsflow_gate_decide_caps(const GateQuestion *q, GateDecision *decision)
{
	History history = {0};

	collect_caps(q, &history);
	read_history(q, &history);
	if (history.cart_once && smsflow_gate_has_arg(q, ARG_CONTACT_ID) && cart_had_one(q))
	{
		*decision = (GateDecision){"cart_limit", DT_NOBEGIN, DT_NOEND};
		return;
	}
	for (int i = 0; i < history.count; i++)
		if (history.counters[i].free_at > q->at)
			smsflow_gate_hold(decision, history.counters[i].same_subject ? "subject_cap" : "frequency_cap",
							  history.counters[i].free_at);
}
