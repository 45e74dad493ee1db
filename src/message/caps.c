/*
 * caps.c - how often a person may be written to: rolling windows over what was
 * sent, newest first. However long the history, no more rows are read than the
 * largest cap allows messages, because each question has an index of which every
 * row counts: what uses up the caps, what was on one subject, what said how to
 * opt out, the reminder of a cart.
 */
#include "smsflow.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "message/gate.h"
#include "message/membership.h"
#include "types/types.h"

#define MAX_CAPS 32

typedef struct Counter
{
	SmsflowCap cap;
	int seen;
	TimestampTz free_at; /* DT_NOBEGIN: not reached */
} Counter;

/* Caps that count the same touches. */
typedef struct Caps
{
	Counter counters[MAX_CAPS];
	int count;
	int64 reach; /* how far back, microseconds */
} Caps;

/* What is to be read for one message. */
typedef struct History
{
	Caps all;
	Caps subject;
	bool cart_once;
	bool segment_failed;
} History;

static void
add_cap(Caps *caps, SmsflowCap cap)
{
	if (cap.limit == 0 || caps->count == MAX_CAPS)
		return;
	caps->counters[caps->count++] = (Counter){.cap = cap, .free_at = DT_NOBEGIN};
	caps->reach = Max(caps->reach, cap.span);
}

int
smsflow_cap_flag(NullableDatum options, const char *name)
{
	JsonbValue found;
	Jsonb *object;

	if (options.isnull)
		return -1;
	object = DatumGetJsonbP(options.value);
	if (JB_ROOT_COUNT(object) == 0 || getKeyJsonValueFromContainer(&object->root, name, (int) strlen(name), &found) == NULL ||
		found.type != jbvBool)
		return -1;
	return found.val.boolean;
}

/* What a campaign or sequence says of itself, else the rule of its purpose. */
static bool
caps_are_checked(const GateQuestion *q)
{
	int own = smsflow_cap_flag(q->args->args[ARG_SOURCE_OPTIONS], SMSFLOW_CAP_CHECKED);

	return own >= 0 ? own : !q->policy->cap_unchecked[q->purpose];
}

static bool
holds_here(const GateQuestion *q, const SmsflowJurisdiction *where)
{
	if (where == q->everywhere)
		return true;
	for (int i = 0; i < q->place_count; i++)
		if (q->places[i] == where)
			return true;
	return false;
}

/* Caps for members of a segment, who are asked for only where such a cap would hold. */
static void
collect_segment_caps(const GateQuestion *q, History *history, bool checked)
{
	for (int i = 0; i < q->policy->segment_cap_count; i++)
	{
		const SmsflowSegmentCap *rule = &q->policy->segment_caps[i];

		if (rule->purpose != q->purpose || !(checked || rule->same_subject) || !holds_here(q, rule->where))
			continue;
		switch (smsflow_membership(DatumGetInt64(q->args->args[ARG_CONTACT_ID].value), rule->segment))
		{
			case MEMBERSHIP_NO:
				break;
			case MEMBERSHIP_YES:
				add_cap(rule->same_subject ? &history->subject : &history->all, rule->cap);
				break;
			case MEMBERSHIP_UNKNOWN:
				history->segment_failed = true;
				break;
		}
	}
}

/* Caps on one subject are law: no flag lifts them. */
static void
collect_caps(const GateQuestion *q, History *history)
{
	bool checked = caps_are_checked(q);

	for (int i = -1; i < q->place_count; i++)
	{
		SmsflowJurisdiction *place = i < 0 ? q->everywhere : q->places[i];

		if (place == NULL)
			continue;
		if (checked)
			add_cap(&history->all, place->cap[q->purpose]);
		add_cap(&history->subject, place->subject_cap[q->purpose]);
		history->cart_once |= place->cart_once && q->purpose == SMSFLOW_PURPOSE_CART && smsflow_gate_has_arg(q, ARG_REF);
	}
	collect_segment_caps(q, history, checked);
}

/* Touches come newest first: the one that fills a cap says when the cap has room again. */
static void
count_touch(const GateQuestion *q, Caps *caps, TimestampTz sent_at)
{
	for (int i = 0; i < caps->count; i++)
	{
		Counter *counter = &caps->counters[i];

		if (counter->free_at == DT_NOBEGIN && sent_at > q->at - counter->cap.span && ++counter->seen == counter->cap.limit)
			counter->free_at = sent_at + counter->cap.span;
	}
}

/* Whether rows older than an instant say nothing more. */
static bool
caps_known(const GateQuestion *q, const Caps *caps, TimestampTz sent_at)
{
	for (int i = 0; i < caps->count; i++)
		if (caps->counters[i].free_at == DT_NOBEGIN && sent_at > q->at - caps->counters[i].cap.span)
			return false;
	return true;
}

/* Whether a touch is of another message than the one that is asked about. */
static bool
of_another(const GateQuestion *q, HeapTuple tuple, TupleDesc columns)
{
	bool isnull;
	Datum message_id = heap_getattr(tuple, 3, columns, &isnull);

	return !smsflow_gate_has_arg(q, ARG_MESSAGE_ID) ||
		   DatumGetInt64(message_id) != DatumGetInt64(q->args->args[ARG_MESSAGE_ID].value);
}

static TimestampTz
sent_at(HeapTuple tuple, TupleDesc columns)
{
	bool isnull;

	return DatumGetTimestampTz(heap_getattr(tuple, 2, columns, &isnull));
}

/* A range of one index in which every touch counts, so that no more are read than the largest cap has. */
static void
read_touches(const GateQuestion *q, Caps *caps, Oid index_relid, bool same_subject)
{
	Relation touches;
	Relation index;
	SysScanDesc scan;
	ScanKeyData key[4];
	HeapTuple tuple;
	NullableDatum subject = q->args->args[ARG_SUBJECT];

	if (caps->count == 0)
		return;
	touches = table_open(q->policy->touch_relid, AccessShareLock);
	index = index_open(index_relid, AccessShareLock);
	ScanKeyInit(&key[0], 1, BTEqualStrategyNumber, F_INT8EQ, q->args->args[ARG_CONTACT_ID].value);
	ScanKeyInit(&key[1], 2, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT, TimestampTzGetDatum(q->at - caps->reach));
	ScanKeyInit(&key[2], 2, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE, TimestampTzGetDatum(q->at));
	if (same_subject)
	{
		key[3] = key[2];
		key[2] = key[1];
		ScanKeyEntryInitialize(&key[1], 0, 5, BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID, F_TEXTEQ,
							   subject.isnull ? CStringGetTextDatum("") : subject.value);
	}
	scan = systable_beginscan_ordered(touches, index, GetActiveSnapshot(), same_subject ? 4 : 3, key);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, BackwardScanDirection)))
	{
		if (of_another(q, tuple, RelationGetDescr(touches)))
			count_touch(q, caps, sent_at(tuple, RelationGetDescr(touches)));
		if (caps_known(q, caps, sent_at(tuple, RelationGetDescr(touches))))
			break;
	}
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
		found = of_another(q, tuple, RelationGetDescr(touches));
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(touches, AccessShareLock);
	return found;
}

static void
hold_by_caps(const GateQuestion *q, const Caps *caps, const char *reason, GateDecision *decision)
{
	for (int i = 0; i < caps->count; i++)
		if (caps->counters[i].free_at > q->at)
			smsflow_gate_hold(decision, reason, caps->counters[i].free_at);
}

void
smsflow_gate_decide_caps(const GateQuestion *q, GateDecision *decision)
{
	History history = {0};

	if (!smsflow_gate_has_arg(q, ARG_CONTACT_ID) || !q->policy->capped[q->purpose])
		return;
	collect_caps(q, &history);
	if (history.cart_once && cart_had_one(q))
	{
		*decision = (GateDecision){"cart_limit", DT_NOBEGIN, DT_NOEND};
		return;
	}
	read_touches(q, &history.all, q->policy->counted_index, false);
	read_touches(q, &history.subject, q->policy->subject_index, true);
	hold_by_caps(q, &history.all, "frequency_cap", decision);
	hold_by_caps(q, &history.subject, "subject_cap", decision);
	if (history.segment_failed)
		smsflow_gate_hold(decision, "cap_segment_failed", q->at + GATE_OTHERS_RETRY);
}

/*
 * Whether a text of this purpose must say how to opt out: by a rule that asks for it once in a span, when none with such
 * words reached the contact within it; a first message always. Only what was sent counts, as with caps.
 */
bool
smsflow_gate_wording_missing(const GateQuestion *q)
{
	int64 span = q->policy->wording_span[q->purpose];
	Caps once = {.counters = {{.cap = {1, span}, .free_at = DT_NOBEGIN}}, .count = 1, .reach = span};
	struct varlena *body;

	if (span == 0 || !smsflow_gate_has_arg(q, ARG_BODY))
		return false;
	body = PG_DETOAST_DATUM_PACKED(q->args->args[ARG_BODY].value);
	if (smsflow_has_opt_out_wording(VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body)))
		return false;
	if (smsflow_gate_has_arg(q, ARG_CONTACT_ID))
		read_touches(q, &once, q->policy->wording_index, false);
	return once.counters[0].free_at == DT_NOBEGIN;
}
