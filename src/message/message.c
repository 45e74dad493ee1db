/*
 * message.c - small functions of the message room: ids, rendering with part
 * counting, and the fold of rows into a status.
 *
 * An id is taken only after the transaction has its transaction id. A worker
 * whose snapshot sees a row therefore knows every transaction that may still
 * commit a lower id: it is among the running ones of that snapshot.
 */
#include "smsflow.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "core/delivery.h"
#include "core/gsm.h"
#include "errcodes.h"
#include "link/link.h"
#include "message/send.h"
#include "types/types.h"

typedef enum Sequence
{
	MESSAGE_IDS,
	TIMER_IDS,
	SENT_IDS,
	EVENT_IDS,
	CALLBACK_IDS
} Sequence;

static const char *const sequence_names[] = {"message_id_seq", "timer_id_seq", "profile_sent_sent_id_seq", "event_id_seq",
											 "callback_id_seq"};

/* Known until some table is changed or dropped: looking them up takes as long as taking an id. */
static Oid sequences[lengthof(sequence_names)];

static void
forget_sequences(Datum arg, Oid relation)
{
	memset(sequences, 0, sizeof(sequences));
}

static int64
next_id(Sequence sequence)
{
	static bool listens = false;

	if (!listens)
		CacheRegisterRelcacheCallback(forget_sequences, (Datum) 0);
	listens = true;
	if (!OidIsValid(sequences[sequence]))
		sequences[sequence] = get_relname_relid(sequence_names[sequence], get_namespace_oid(SMSFLOW_SCHEMA, false));
	/* As an INSERT says it: drivers know a standby by this error, and turn to another server. */
	PreventCommandIfReadOnly("INSERT");
	(void) GetTopTransactionId();
	return nextval_internal(sequences[sequence], false);
}

int64
smsflow_take_message_id(void)
{
	return next_id(MESSAGE_IDS);
}

int64
smsflow_take_timer_id(void)
{
	return next_id(TIMER_IDS);
}

int64
smsflow_take_sent_id(void)
{
	return next_id(SENT_IDS);
}

PG_FUNCTION_INFO_V1(smsflow_next_message_id);
Datum
smsflow_next_message_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(smsflow_take_message_id());
}

int64
smsflow_take_event_id(void)
{
	return next_id(EVENT_IDS) * SMSFLOW_EVENT_BLOCK;
}

PG_FUNCTION_INFO_V1(smsflow_next_event_id);
Datum
smsflow_next_event_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(smsflow_take_event_id());
}

PG_FUNCTION_INFO_V1(smsflow_next_callback_id);
Datum
smsflow_next_callback_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(next_id(CALLBACK_IDS));
}

PG_FUNCTION_INFO_V1(smsflow_render_message);
Datum
smsflow_render_message(PG_FUNCTION_ARGS)
{
	char *body = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const SmsflowVariables vars = smsflow_jsonb_variables(PG_GETARG_JSONB_P(1));
	char *missing = NULL;
	SmsflowLinks links = {.domain = smsflow_link_domain_for(fcinfo->flinfo), .vars = &vars};
	char *rendered = smsflow_render_links(body, &vars, smsflow_shorten, &links, &missing);
	NullableDatum targets = smsflow_link_targets(&links);
	TupleDesc desc;
	Datum values[5] = {0};
	bool nulls[5] = {true, true, true, true, true};
	SmsflowParts parts;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	if (rendered == NULL)
	{
		values[3] = CStringGetTextDatum(missing);
		nulls[3] = false;
	}
	else
	{
		smsflow_count_parts(rendered, &parts);
		values[0] = CStringGetTextDatum(rendered);
		values[1] = Int32GetDatum(parts.parts);
		values[2] = BoolGetDatum(parts.encoding == SMSFLOW_UCS2);
		nulls[0] = nulls[1] = nulls[2] = false;
		values[4] = targets.value;
		nulls[4] = targets.isnull;
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

PG_FUNCTION_INFO_V1(smsflow_check_template);
Datum
smsflow_check_template(PG_FUNCTION_ARGS)
{
	smsflow_require_template(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

/* Last attempt, then the timer ahead of it or the worker that has it. */
static SmsflowStatus
apply_attempt(SmsflowStatus status, const char *outcome)
{
	static const struct
	{
		const char *outcome;
		SmsflowObservation seen;
	} meaning[] = {
		{"accepted", SEEN_ACCEPT}, {"resolved", SEEN_ACCEPT},     {"rejected", SEEN_REJECT},  {"retry", SEEN_RETRY},
		{"in_doubt", SEEN_DOUBT},  {"suppressed", SEEN_SUPPRESS}, {"cancelled", SEEN_CANCEL}, {"expired", SEEN_EXPIRE},
	};

	for (int i = 0; i < (int) lengthof(meaning); i++)
		if (strcmp(outcome, meaning[i].outcome) == 0)
			return smsflow_status_after(status, meaning[i].seen);
	elog(ERROR, "unknown outcome \"%s\"", outcome);
}

static SmsflowStatus
apply_timer(SmsflowStatus status, const char *reason)
{
	if (strcmp(reason, "not_due") == 0)
		return smsflow_status_after(status, SEEN_SCHEDULE);
	if (strcmp(reason, "retry") == 0 || strcmp(reason, "released") == 0 || strcmp(reason, "resend") == 0 ||
		strcmp(reason, "resend_later") == 0)
		return smsflow_status_after(status, SEEN_RETRY);
	return smsflow_status_after(status, SEEN_HOLD);
}

static SmsflowStatus
apply_reports(SmsflowStatus status, ArrayType *reports)
{
	static const struct
	{
		SmsflowStatus report;
		SmsflowObservation seen;
	} meaning[] = {
		{STATUS_ACCEPTED, SEEN_REPORT_ACCEPTED},       {STATUS_DELIVERED, SEEN_REPORT_DELIVERED},
		{STATUS_UNDELIVERED, SEEN_REPORT_UNDELIVERED}, {STATUS_EXPIRED, SEEN_REPORT_EXPIRED},
		{STATUS_REJECTED, SEEN_REPORT_REJECTED},       {STATUS_UNKNOWN, SEEN_REPORT_UNKNOWN},
	};
	Datum *elements;
	int count;

	deconstruct_array(reports, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count; i++)
	{
		SmsflowStatus report;

		if (!smsflow_status_from_name(TextDatumGetCString(elements[i]), &report))
			elog(ERROR, "unknown report status");
		for (int j = 0; j < (int) lengthof(meaning); j++)
			if (meaning[j].report == report)
				status = smsflow_status_after(status, meaning[j].seen);
	}
	return status;
}

PG_FUNCTION_INFO_V1(smsflow_fold_status);
Datum
smsflow_fold_status(PG_FUNCTION_ARGS)
{
	bool refused = !PG_ARGISNULL(0) && PG_GETARG_BOOL(0);
	bool claimed = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	bool due_later = !PG_ARGISNULL(4) && PG_GETARG_BOOL(4);
	SmsflowStatus status = due_later ? STATUS_SCHEDULED : STATUS_QUEUED;

	if (refused)
		status = smsflow_status_after(status, SEEN_SUPPRESS);
	if (!PG_ARGISNULL(1))
		status = apply_attempt(status, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	if (!PG_ARGISNULL(2))
		status = apply_timer(status, text_to_cstring(PG_GETARG_TEXT_PP(2)));
	if (claimed)
		status = smsflow_status_after(status, SEEN_CLAIM);
	if (!PG_ARGISNULL(5))
		status = apply_reports(status, PG_GETARG_ARRAYTYPE_P(5));
	PG_RETURN_TEXT_P(cstring_to_text(smsflow_status_name(status)));
}
