/*
 * queue.c - which queue a message goes to. A queue is lane, sender and source,
 * so that a sender without tokens, a paused campaign or a broken gateway stops
 * its own queue and nobody else's.
 */
#include "smsflow.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "errcodes.h"
#include "message/send.h"
#include "message/spi.h"

/*
 * One row per enabled sender of the pool. When all are disabled their messages
 * wait for them: another pool's number must not speak for them. One row without
 * sender when the pool never had any.
 */
#define POOL                                                                                                                     \
	"(SELECT s.sender_id FROM smsflow.sender s JOIN smsflow.gateway g USING (gateway_id)"                                        \
	"  WHERE s.pool = $3 AND (s.enabled AND g.enabled OR NOT EXISTS (SELECT FROM smsflow.sender x JOIN smsflow.gateway y USING " \
	"(gateway_id)"                                                                                                               \
	"   WHERE x.enabled AND y.enabled AND x.pool = $3))"                                                                         \
	"  UNION ALL SELECT NULL WHERE NOT EXISTS (SELECT FROM smsflow.sender s WHERE s.pool = $3)) AS p"

static const char find_queues[] =
	"SELECT q.queue_id, p.sender_id FROM " POOL
	" LEFT JOIN smsflow.queue q ON q.lane = $1 AND q.source = $2 AND q.sender_id IS NOT DISTINCT FROM p.sender_id"
	" ORDER BY p.sender_id";

static const char make_queues[] =
	"INSERT INTO smsflow.queue (lane, source, sender_id) SELECT $1, $2, p.sender_id FROM " POOL " ON CONFLICT DO NOTHING";

static int32 *
read_queues(int *count)
{
	int32 *queues = palloc(sizeof(int32) * (SPI_processed + 1));
	bool isnull;

	*count = (int) SPI_processed;
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		queues[row] = DatumGetInt32(smsflow_spi_value(row, 1, &isnull));
		if (isnull)
			return NULL;
	}
	return queues;
}

int32 *
smsflow_queues(int16 lane, const char *source, const char *pool, int *count)
{
	static SPIPlanPtr find_plan = NULL;
	static SPIPlanPtr make_plan = NULL;
	Oid types[] = {INT2OID, TEXTOID, TEXTOID};
	Datum values[] = {Int16GetDatum(lane), CStringGetTextDatum(source), CStringGetTextDatum(pool)};
	int32 *queues;

	smsflow_spi_plan(&find_plan, find_queues, 3, types);
	smsflow_spi_run(find_plan, values, NULL, false, SPI_OK_SELECT);
	queues = read_queues(count);
	if (queues)
		return queues;

	smsflow_spi_plan(&make_plan, make_queues, 3, types);
	smsflow_spi_run(make_plan, values, NULL, false, SPI_OK_INSERT);
	smsflow_note_config();
	smsflow_spi_run(find_plan, values, NULL, false, SPI_OK_SELECT);
	queues = read_queues(count);
	if (queues == NULL)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("queues of pool \"%s\" were made by a concurrent transaction", pool),
						errhint("Try the transaction again.")));
	return queues;
}

PG_FUNCTION_INFO_V1(smsflow_queues_for);
Datum
smsflow_queues_for(PG_FUNCTION_ARGS)
{
	int count;
	int32 *queues;
	Datum *elements;
	MemoryContext caller = CurrentMemoryContext;
	ArrayType *array;

	SPI_connect();
	queues =
		smsflow_queues(PG_GETARG_INT16(0), text_to_cstring(PG_GETARG_TEXT_PP(1)), text_to_cstring(PG_GETARG_TEXT_PP(2)), &count);
	MemoryContextSwitchTo(caller);
	elements = palloc(sizeof(Datum) * count);
	for (int i = 0; i < count; i++)
		elements[i] = Int32GetDatum(queues[i]);
	array = construct_array(elements, count, INT4OID, sizeof(int32), true, TYPALIGN_INT);
	SPI_finish();
	PG_RETURN_ARRAYTYPE_P(array);
}
