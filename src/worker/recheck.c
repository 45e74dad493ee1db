/*
 * recheck.c - held messages are asked for again when the rules have changed.
 *
 * A hold is a timer at the instant the gate named. When somebody changes a rule or a sender, that instant may be too
 * late, so the worker walks once through the timers that are still ahead, queue by queue and a slice at a time between
 * its turns, and appends a new timer for what may go earlier. Nothing remembers that it was asked to: a new worker
 * walks through them anyway.
 */
#include "worker/worker.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "message/spi.h"

/* Timers, and queues, of one transaction. */
#define SLICE 500
#define QUEUES 50

typedef struct Position
{
	int32 queue_id; /* 0: before the first */
	TimestampTz due;
	int64 timer_id;
} Position;

static bool unfinished = true;
static Position position;

void
recheck_begin(void)
{
	position = (Position){0};
	unfinished = true;
}

bool
recheck_unfinished(void)
{
	return unfinished;
}

static int32
queue_after(int32 queue_id)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(queue_id)};

	smsflow_spi_plan(&plan, "SELECT min(queue_id) FROM smsflow.queue WHERE queue_id > $1", lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, true, SPI_OK_SELECT);
	return column_int(0, 1);
}

/*
 * Timers that are due are asked for without our doing. Most of some thousand
 * queues are known to have none ahead, and need no query.
 */
static bool
next_queue(Position *at)
{
	Queue *queue;

	do
	{
		*at = (Position){queue_after(at->queue_id), worker.clock->now(), 0};
		queue = config_queue(at->queue_id);
	} while (at->queue_id != 0 && (queue == NULL || queue->next_due == DT_NOEND));
	return at->queue_id != 0;
}

/* Returns how many timers were read: fewer than limit at the end of the queue. */
static int
wake_slice(Position *at, int limit)
{
	static SPIPlanPtr plan = NULL;
	Queue *queue = config_queue(at->queue_id);
	Oid types[] = {INT4OID, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID, INT4OID};
	Datum values[] = {Int32GetDatum(at->queue_id), TimestampTzGetDatum(at->due), Int64GetDatum(at->timer_id), (Datum) 0,
					  Int32GetDatum(limit)};

	if (queue == NULL)
		return 0;

	/* Never behind the queue's cursor over its timers, or the cursor would not find it. */
	values[3] = TimestampTzGetDatum(Max(worker.clock->now(), queue->timer_due));
	smsflow_spi_plan(&plan, "SELECT seen, woken, last_due, last_timer FROM smsflow.wake_held($1, $2, $3, $4, $5)",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_SELECT);
	if (column_int(0, 2) > 0)
	{
		queue->next_due = DT_NOBEGIN;
		schedule_wake(queue);
	}
	at->due = column_time(0, 3, at->due);
	at->timer_id = column_id(0, 4);
	return column_int(0, 1);
}

static void
step(void *arg)
{
	Position at = position;
	bool more = true;
	int room = SLICE;

	worker_begin("asking again for held messages", true);
	for (int queues = 0; more && room > 0 && queues < QUEUES; queues++)
	{
		int seen = at.queue_id == 0 ? 0 : wake_slice(&at, room);

		if (seen < room)
			more = next_queue(&at);
		room -= seen;
	}
	worker_commit();
	position = at;
	unfinished = more;
}

bool
recheck_run(void)
{
	return worker_try(step, NULL);
}
