/*
 * rewind.c - timers after the clock was set back.
 *
 * A queue's cursor over its timers stands at the newest that was taken. Those that
 * were taken while the clock was ahead left it in what is now the future, and
 * whatever is due before that would wait until then. So the cursor goes back to
 * now, and with it, so that nothing is taken twice, the timers that it has passed:
 * they were due at the latest when they were taken. Like every cursor it moves by
 * a claim, whose range holds what has moved.
 */
#include "worker/turn.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "message/send.h"
#include "message/spi.h"

/* What a clock is corrected by without anybody noticing. */
#define UNNOTICED USECS_PER_SEC

/* The wall clock less the monotonic one, at its highest since cursors were looked at. Whoever starts looks at them. */
static int64 highest = PG_INT64_MAX;

static int64
wall_ahead(void)
{
	return worker.clock->now() - worker.clock->monotonic();
}

bool
rewind_wanted(void)
{
	int64 ahead = wall_ahead();

	if (!worker.armed)
		return false;
	if (ahead < highest - UNNOTICED)
		return true;
	highest = Max(highest, ahead);
	return false;
}

void
rewind_done(void)
{
	highest = wall_ahead();
}

static void
rewind_queue(Queue *queue)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID};
	Datum values[] = {Int32GetDatum(queue->queue_id), TimestampTzGetDatum(staged.now), TimestampTzGetDatum(queue->timer_due),
					  Int64GetDatum(queue->timer_id)};
	StagedClaim *claim = stage_claim(queue, "timer");

	smsflow_spi_plan(&plan,
					 "UPDATE smsflow.timer SET due_at = $2 WHERE queue_id = $1 AND due_at > $2 AND (due_at, timer_id) <= ($3, "
					 "$4)",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_UPDATE);
	claim->from_due = claim->to_due = staged.now;
	claim->from_timer_id = 0;
	claim->to_timer_id = smsflow_take_timer_id();
}

void
rewind_timers(void)
{
	HASH_SEQ_STATUS scan;
	Queue *queue;
	int rewound = 0;

	hash_seq_init(&scan, worker.queues);
	while ((queue = hash_seq_search(&scan)) != NULL)
		if (queue->timer_due > staged.now)
		{
			rewind_queue(queue);
			rewound++;
		}
	if (rewound > 0)
		ereport(LOG, (errmsg("the clock was set back: %d queues with messages due later go back with it", rewound)));
}
