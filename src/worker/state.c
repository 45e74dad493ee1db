/*
 * state.c - how the worker of this database is doing, for SQL.
 */
#include "worker/shared.h"

#include "access/htup_details.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* The worker may not have connected yet: then only its name is in the slot. */
static SmsflowSlot *
slot_by_name(void)
{
	char *name = get_database_name(MyDatabaseId);

	for (int i = 0; smsflow_shared && name && i < smsflow_shared->slots; i++)
		if (strcmp(NameStr(smsflow_shared->slot[i].database), name) == 0)
			return &smsflow_shared->slot[i];
	return NULL;
}

PG_FUNCTION_INFO_V1(smsflow_worker_state);
Datum
smsflow_worker_state(PG_FUNCTION_ARGS)
{
	SmsflowSlot *slot = slot_by_name();
	SmsflowWorkerState state = {0};
	TupleDesc desc;
	Datum values[12] = {0};
	bool nulls[12] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (slot)
	{
		SpinLockAcquire(&slot->mutex);
		state = slot->worker;
		SpinLockRelease(&slot->mutex);
	}
	values[0] = BoolGetDatum(smsflow_preloaded());
	values[1] = BoolGetDatum(slot != NULL);
	values[2] = Int32GetDatum(state.pid);
	nulls[2] = state.pid == 0;
	values[3] = CStringGetTextDatum(state.state);
	nulls[3] = state.state[0] == '\0';
	values[4] = Int64GetDatum(state.generation);
	values[5] = TimestampTzGetDatum(state.last_turn);
	nulls[5] = state.last_turn == 0;
	values[6] = CStringGetTextDatum(state.last_error);
	nulls[6] = state.last_error[0] == '\0';
	values[7] = TimestampTzGetDatum(state.last_error_at);
	nulls[7] = state.last_error_at == 0;
	values[8] = Int32GetDatum(state.in_flight);
	values[9] = Int32GetDatum(state.backlog);
	values[10] = Int64GetDatum(state.sent);
	values[11] = CStringGetTextDatum(state.route_problem);
	nulls[11] = state.route_problem[0] == '\0';
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
