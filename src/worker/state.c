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
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "core/breaker.h"

/* The first slot of this database; its workers may not have connected yet: then only its name is there. */
static SmsflowSlot *
first_slot(void)
{
	char *name = get_database_name(MyDatabaseId);

	for (int i = 0; smsflow_shared && name && i < smsflow_shared->slots; i++)
		if (strcmp(NameStr(smsflow_shared->slot[i].database), name) == 0)
			return &smsflow_shared->slot[i];
	return NULL;
}

#define WORKER_COLUMNS 15

/* slot NULL: the database has no worker. */
static void
put_worker(ReturnSetInfo *result, SmsflowSlot *slot)
{
	SmsflowWorkerState state = {0};
	Datum values[WORKER_COLUMNS] = {0};
	bool nulls[WORKER_COLUMNS] = {false};

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
	values[11] = Int32GetDatum(state.gaps);
	values[12] = Float8GetDatum((double) state.loop_p50 / 1000);
	values[13] = Float8GetDatum((double) state.loop_p99 / 1000);
	nulls[12] = nulls[13] = state.pid == 0 || state.loop_p50 < 0;
	values[14] = Int32GetDatum(slot ? slot->number : 0);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(smsflow_worker_state);
Datum
smsflow_worker_state(PG_FUNCTION_ARGS)
{
	SmsflowSlot *slot = first_slot();

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < (slot ? smsflow_workers : 1); i++)
		put_worker((ReturnSetInfo *) fcinfo->resultinfo, slot ? slot + i : NULL);
	return (Datum) 0;
}

/* ---- queues ---- */

static bool
has_bit(pg_atomic_uint32 *words, int bits, int32 queue_id)
{
	uint32 bit = (uint32) queue_id % (uint32) bits;

	return (pg_atomic_read_u32(&words[bit / 32]) & ((uint32) 1 << (bit % 32))) != 0;
}

/*
 * A commit marks its queue as dirty, and the worker says that it waits once it
 * has taken the mark: whoever looks in that order misses none for longer than
 * that takes.
 */
PG_FUNCTION_INFO_V1(smsflow_queue_waits);
Datum
smsflow_queue_waits(PG_FUNCTION_ARGS)
{
	static SmsflowSlot *first = NULL;
	int32 queue_id = PG_GETARG_INT32(0);
	SmsflowSlot *slot;

	if (first == NULL)
		first = first_slot();
	slot = first ? first + PG_GETARG_INT32(1) % smsflow_workers : NULL;
	if (slot == NULL || pg_atomic_read_u32(&slot->claims) == 0)
		PG_RETURN_NULL();
	PG_RETURN_BOOL(has_bit(slot->dirty, SMSFLOW_DIRTY_BITS, queue_id) || has_bit(slot->waiting, SMSFLOW_WAITING_BITS, queue_id));
}

/* ---- gateways and senders ---- */

/* A copy, so that the lock is held for the time of a copy only; none where that worker does not run. */
static SmsflowRoutes *
copy_routes(int number)
{
	SmsflowSlot *slot = first_slot();
	SmsflowRoutes *routes = palloc0(sizeof(SmsflowRoutes));

	if (slot == NULL || slot[number].worker.pid == 0)
		return routes;
	slot += number;
	LWLockAcquire(smsflow_shared->stat_lock, LW_SHARED);
	memcpy(routes, &slot->routes, sizeof(SmsflowRoutes));
	LWLockRelease(smsflow_shared->stat_lock);
	return routes;
}

#define ROUTE_COLUMNS 11

/* A worker that sleeps does not show that nothing leaves: its rates fade here. */
static void
fill_route(const SmsflowRouteState *route, TimestampTz published_at, Datum *values, bool *nulls)
{
	values[0] = Int32GetDatum(route->id);
	values[1] = Int32GetDatum(route->in_flight);
	values[2] = Int32GetDatum(route->waiting);
	values[3] = Int64GetDatum(route->parts);
	values[4] = Float8GetDatum(route->rate * smsflow_rate_share(GetCurrentTimestamp() - published_at));
	values[5] = Int32GetDatum(route->tokens);
	values[6] = CStringGetTextDatum(smsflow_breaker_state_name((SmsflowBreakerState) route->breaker));
	values[7] = Int32GetDatum(route->failures);
	values[8] = TimestampTzGetDatum(route->open_until);
	nulls[8] = route->open_until == 0;
	values[9] = Int64GetDatum(route->used_today);
	values[10] = Int64GetDatum(route->daily_limit);
	nulls[10] = route->daily_limit == 0;
}

static Datum
http_codes(const SmsflowGatewayState *gateway)
{
	StringInfoData text;
	bool first = true;

	initStringInfo(&text);
	for (int i = 0; i < SMSFLOW_HTTP_CODES; i++)
		if (gateway->http_count[i] > 0)
		{
			const char *name = gateway->http_status[i] == 0    ? "none"
							   : gateway->http_status[i] == -1 ? "others"
															   : psprintf("%d", gateway->http_status[i]);

			appendStringInfo(&text, "%s\"%s\": " INT64_FORMAT, first ? "{" : ", ", name, gateway->http_count[i]);
			first = false;
		}
	appendStringInfoString(&text, first ? "{}" : "}");
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(text.data));
}

static void
put_gateways(ReturnSetInfo *result, const SmsflowRoutes *routes)
{
	for (int i = 0; i < routes->gateways; i++)
	{
		const SmsflowGatewayState *gateway = &routes->gateway[i];
		Datum values[ROUTE_COLUMNS + 4];
		bool nulls[ROUTE_COLUMNS + 4] = {false};

		fill_route(&gateway->route, routes->published_at, values, nulls);
		values[ROUTE_COLUMNS] = http_codes(gateway);
		values[ROUTE_COLUMNS + 1] = Float8GetDatum((double) gateway->p50 / 1000);
		values[ROUTE_COLUMNS + 2] = Float8GetDatum((double) gateway->p95 / 1000);
		values[ROUTE_COLUMNS + 3] = Float8GetDatum((double) gateway->p99 / 1000);
		nulls[ROUTE_COLUMNS + 1] = nulls[ROUTE_COLUMNS + 2] = nulls[ROUTE_COLUMNS + 3] = gateway->p50 < 0;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

PG_FUNCTION_INFO_V1(smsflow_gateway_state);
Datum
smsflow_gateway_state(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < smsflow_workers; i++)
		put_gateways((ReturnSetInfo *) fcinfo->resultinfo, copy_routes(i));
	return (Datum) 0;
}

static void
put_senders(ReturnSetInfo *result, const SmsflowRoutes *routes)
{
	for (int i = 0; i < routes->senders; i++)
	{
		const SmsflowSenderState *sender = &routes->sender[i];
		Datum values[ROUTE_COLUMNS + 1];
		bool nulls[ROUTE_COLUMNS + 1] = {false};

		fill_route(&sender->route, routes->published_at, values, nulls);
		values[ROUTE_COLUMNS] = CStringGetTextDatum(sender->paused_for);
		nulls[ROUTE_COLUMNS] = sender->paused_for[0] == '\0';
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

PG_FUNCTION_INFO_V1(smsflow_sender_state);
Datum
smsflow_sender_state(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < smsflow_workers; i++)
		put_senders((ReturnSetInfo *) fcinfo->resultinfo, copy_routes(i));
	return (Datum) 0;
}
