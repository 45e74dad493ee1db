/*
 * caps.c - how often a person may be written to: rolling windows over what was
 * sent, newest first, in one walk over the touches of the contact. It ends when
 * every cap is known to be full or not, and after MOST_TOUCHES at the latest.
 * Each index of touch is a write for every message that is sent; one for each
 * question would cost all of them more than the walk does.
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
#include "message/touch.h"
#include "types/types.h"

#define MAX_CAPS 32

/*
 * Whoever was sent so many messages of whatever kind within the window of a cap has reached it. Nobody is, but for numbers
 * that tests and alarms are sent to; and they do not make a check expensive.
 */
#define MOST_TOUCHES 1000

typedef struct Counter
{
	SmsflowCap cap;
	int seen;
	TimestampTz free_at; /* DT_NOBEGIN: not reached */
} Counter;

/* What touches have that count. */
typedef bool (*Counts)(const GateQuestion *q, const SmsflowTouch *touch);

/* Caps that count the same touches. */
typedef struct Caps
{
	Counts counts;
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

/* What is left undecided is full until the oldest of all these touches leaves its window. */
static void
fill(const GateQuestion *q, Caps *caps, TimestampTz oldest)
{
	for (int i = 0; i < caps->count; i++)
		if (caps->counters[i].free_at == DT_NOBEGIN && oldest > q->at - caps->counters[i].cap.span)
			caps->counters[i].free_at = oldest + caps->counters[i].cap.span;
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

/* ---- touches ---- */

/* Whether a touch is of another message than the one that is asked about. */
static bool
of_another(const GateQuestion *q, int64 message_id)
{
	return !smsflow_gate_has_arg(q, ARG_MESSAGE_ID) || message_id != DatumGetInt64(q->args->args[ARG_MESSAGE_ID].value);
}

static bool
is_counted(const GateQuestion *q, const SmsflowTouch *touch)
{
	return touch->counted;
}

static bool
says_how_to_opt_out(const GateQuestion *q, const SmsflowTouch *touch)
{
	return touch->wording;
}

/* Every marketing message on the subject, whatever uses up the other caps. */
static bool
is_on_subject(const GateQuestion *q, const SmsflowTouch *touch)
{
	NullableDatum asked = q->args->args[ARG_SUBJECT];
	struct varlena *subject = PG_DETOAST_DATUM_PACKED(touch->subject);
	struct varlena *own = asked.isnull ? NULL : PG_DETOAST_DATUM_PACKED(asked.value);
	Size size = own ? VARSIZE_ANY_EXHDR(own) : 0;

	if (VARSIZE_ANY_EXHDR(subject) != size || (size > 0 && memcmp(VARDATA_ANY(subject), VARDATA_ANY(own), size) != 0))
		return false;
	return smsflow_purpose_is_marketing(smsflow_purpose_from_oid(touch->purpose));
}

/* Returns the instant of the last touch where there were more of them than are read, DT_NOBEGIN elsewhere. */
static TimestampTz
read_touches(const GateQuestion *q, Caps *const *caps, int count)
{
	SmsflowTouches *touches;
	const SmsflowTouch *touch;
	TimestampTz sent_at = DT_NOBEGIN;
	int64 reach = 0;
	int read = 0;
	bool known = false;

	for (int i = 0; i < count; i++)
		reach = Max(reach, caps[i]->reach);
	if (reach == 0)
		return DT_NOBEGIN;
	touches = smsflow_touches_begin(q->policy, DatumGetInt64(q->args->args[ARG_CONTACT_ID].value), q->at - reach, q->at);
	while (!known && read < MOST_TOUCHES && (touch = smsflow_touches_next(touches)) != NULL)
	{
		sent_at = touch->sent_at;
		read++;
		known = true;
		for (int i = 0; i < count; i++)
		{
			if (of_another(q, touch->message_id) && caps[i]->counts(q, touch))
				count_touch(q, caps[i], sent_at);
			known &= caps_known(q, caps[i], sent_at);
		}
	}
	smsflow_touches_end(touches);
	return known || read < MOST_TOUCHES ? DT_NOBEGIN : sent_at;
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

	ScanKeyInit(&key[0], TOUCH_NUMBER(TOUCH_CONTACT), BTEqualStrategyNumber, F_INT8EQ, q->args->args[ARG_CONTACT_ID].value);
	ScanKeyEntryInitialize(&key[1], 0, TOUCH_NUMBER(TOUCH_REF), BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID, F_TEXTEQ,
						   q->args->args[ARG_REF].value);
	scan = systable_beginscan_ordered(touches, index, GetActiveSnapshot(), 2, key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		bool isnull;

		found =
			of_another(q, DatumGetInt64(heap_getattr(tuple, TOUCH_NUMBER(TOUCH_MESSAGE), RelationGetDescr(touches), &isnull)));
	}
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
	History history = {.all = {.counts = is_counted}, .subject = {.counts = is_on_subject}};
	Caps *both[] = {&history.all, &history.subject};
	TimestampTz oldest;

	if (!smsflow_gate_has_arg(q, ARG_CONTACT_ID) || !q->policy->capped[q->purpose])
		return;
	collect_caps(q, &history);
	if (history.cart_once && cart_had_one(q))
	{
		*decision = (GateDecision){"cart_limit", DT_NOBEGIN, DT_NOEND};
		return;
	}
	oldest = read_touches(q, both, lengthof(both));
	if (oldest != DT_NOBEGIN)
		for (int i = 0; i < (int) lengthof(both); i++)
			fill(q, both[i], oldest);
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
	Caps once = {
		.counts = says_how_to_opt_out,
		.counters = {{.cap = {1, span}, .free_at = DT_NOBEGIN}},
		.count = 1,
		.reach = span,
	};
	Caps *only[] = {&once};
	struct varlena *body;

	if (span == 0 || !smsflow_gate_has_arg(q, ARG_BODY))
		return false;
	body = PG_DETOAST_DATUM_PACKED(q->args->args[ARG_BODY].value);
	if (smsflow_has_opt_out_wording(VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body)))
		return false;
	if (smsflow_gate_has_arg(q, ARG_CONTACT_ID))
		read_touches(q, only, lengthof(only));
	return once.counters[0].free_at == DT_NOBEGIN;
}
