/*
 * note.c - what a backend tells the workers of its database. Notes are collected during the
 * transaction and published once the commit is visible; then the latches of
 * those that sleep are set. Revocations are published before the commit as well:
 * no request may start between the commit and its news. The notes of a prepared
 * transaction wait for its end in prepared.c.
 */
#include "shared.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "compat.h"
#include "errcodes.h"
#include "worker/prepared.h"

static SmsflowNotes pending;

static bool registered = false;

static void
publish_revocations(SmsflowSlot *slot)
{
	if (pending.revocations > 0)
		smsflow_publish_revocations(slot, &pending);
}

static void
publish(SmsflowSlot *slot)
{
	smsflow_publish_marks(slot, &pending);
	publish_revocations(slot);
	smsflow_wake_worker(slot);
}

static void
wait_for_starts(SmsflowSlot *slot)
{
	if (pending.revocations > 0)
		smsflow_wait_for_starts(slot);
}

static void
each_worker(void (*step)(SmsflowSlot *slot))
{
	SmsflowSlot *slot;

	for (int at = 0; (slot = smsflow_next_slot(MyDatabaseId, &at)) != NULL;)
		step(slot);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (!pending.any)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			each_worker(publish_revocations);
			return;
		case XACT_EVENT_PRE_PREPARE:
			smsflow_prepared_register(&pending);
			return;
		case XACT_EVENT_COMMIT:
			each_worker(publish);
			each_worker(wait_for_starts);
			break;
		case XACT_EVENT_PREPARE:
			each_worker(smsflow_wake_worker);
			break;
		case XACT_EVENT_ABORT:
			break;
		default:
			return;
	}
	memset(&pending, 0, sizeof(pending));
}

static void
note(void)
{
	pending.any = true;
	if (registered)
		return;
	RegisterXactCallback(at_transaction_end, NULL);
	registered = true;
}

void
smsflow_note_enqueued(int32 queue_id)
{
	uint32 bit = (uint32) queue_id % SMSFLOW_DIRTY_BITS;

	pending.dirty.words[bit / 32] |= (uint32) 1 << (bit % 32);
	note();
}

void
smsflow_note_event(void)
{
	pending.news |= SMSFLOW_NEWS_EVENTS;
	note();
}

void
smsflow_note_callback(void)
{
	pending.news |= SMSFLOW_NEWS_CALLBACKS;
	note();
}

void
smsflow_note_config(void)
{
	pending.news |= SMSFLOW_NEWS_CONFIG;
	note();
}

void
smsflow_note_rules(void)
{
	pending.news |= SMSFLOW_NEWS_RULES;
	note();
}

void
smsflow_note_revocation(SmsflowRevocationKind kind, int64 id)
{
	if (pending.revocations == lengthof(pending.revocation))
		pending.revocations_lost = true;
	else
		pending.revocation[pending.revocations++] = (SmsflowRevocation){kind, id};
	note();
}

PG_FUNCTION_INFO_V1(smsflow_note_enqueued_sql);
Datum
smsflow_note_enqueued_sql(PG_FUNCTION_ARGS)
{
	ArrayType *queues = PG_GETARG_ARRAYTYPE_P(0);
	Datum *elements;
	bool *nulls;
	int count;

	deconstruct_array(queues, INT4OID, sizeof(int32), true, TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
		if (!nulls[i])
			smsflow_note_enqueued(DatumGetInt32(elements[i]));
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(smsflow_note_event_sql);
Datum
smsflow_note_event_sql(PG_FUNCTION_ARGS)
{
	smsflow_note_event();
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(smsflow_note_callback_sql);
Datum
smsflow_note_callback_sql(PG_FUNCTION_ARGS)
{
	smsflow_note_callback();
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(smsflow_note_config_sql);
Datum
smsflow_note_config_sql(PG_FUNCTION_ARGS)
{
	smsflow_note_config();
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(smsflow_note_resolution_sql);
Datum
smsflow_note_resolution_sql(PG_FUNCTION_ARGS)
{
	pending.news |= SMSFLOW_NEWS_RESOLUTIONS;
	note();
	PG_RETURN_VOID();
}

/* Statement trigger of the tables that the worker keeps in memory. */
PG_FUNCTION_INFO_V1(smsflow_config_changed);
Datum
smsflow_config_changed(PG_FUNCTION_ARGS)
{
	smsflow_note_config();
	return PointerGetDatum(NULL);
}

/* Statement trigger of tables by which the gate decides. */
PG_FUNCTION_INFO_V1(smsflow_rules_changed);
Datum
smsflow_rules_changed(PG_FUNCTION_ARGS)
{
	smsflow_note_rules();
	return PointerGetDatum(NULL);
}

PG_FUNCTION_INFO_V1(smsflow_note_revocation_sql);
Datum
smsflow_note_revocation_sql(PG_FUNCTION_ARGS)
{
	static const char *const kinds[] = {"contact", "message", "campaign", "enrollment"};
	char *kind = text_to_cstring(PG_GETARG_TEXT_PP(0));

	for (int i = 0; i < (int) lengthof(kinds); i++)
		if (strcmp(kind, kinds[i]) == 0)
		{
			smsflow_note_revocation(SMSFLOW_REVOKE_CONTACT + i, PG_GETARG_INT64(1));
			PG_RETURN_VOID();
		}
	ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("unknown kind of revocation \"%s\"", kind),
					errhint("The kinds are contact, message, campaign and enrollment.")));
}
