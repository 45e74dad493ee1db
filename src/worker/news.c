/*
 * news.c - what the worker is told, and its one wait. Backends mark queues and
 * set bits in shared memory, and the latch only while the worker sleeps; a sweep
 * from time to time covers what was missed.
 */
#include "worker/worker.h"

#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "worker/prepared.h"

/* After settings could not be read, before the next try. */
#define FAILED_READ_PAUSE USECS_PER_SEC

/* Monotonic: a clock that is set back must not put off what covers everything else that was missed. */
static int64 next_sweep = 0;
static bool config_changed = false;
static WaitEventSet *wait_set = NULL;

void
news_start(void)
{
	wait_set = smsflow_create_wait_event_set(3);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, worker.transport->wait_descriptor(), NULL, NULL);
}

void
wait_for_latch(long timeout_ms)
{
	pg_atomic_write_u32(&worker.slot->sleeping, 1);
	WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout_ms, PG_WAIT_EXTENSION);
	pg_atomic_write_u32(&worker.slot->sleeping, 0);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

void
reload_settings(void)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	if (!smsflow_enabled)
		ShutdownRequestPending = true;
	if (!configure_transport())
		ereport(LOG, (errmsg("not every place for requests could be made")));
	pg_atomic_fetch_or_u32(&worker.slot->news, SMSFLOW_NEWS_CONFIG);
}

static void
config_step(void *arg)
{
	worker_begin("reading gateways and senders", false);
	config_load(config_changed);
	worker_commit();
}

/* What is known goes on to hold while somebody has locked these tables: nothing waits for that. */
static bool
read_config(void)
{
	static int problem = 0;
	bool done;

	worker_wait_for_locks("100ms");
	done = worker_try_again(config_step, NULL, &problem);
	worker_wait_for_locks(SMSFLOW_LOCKS);
	if (done && problem != 0)
	{
		ereport(LOG, (errmsg("gateways and senders could be read again")));
		problem = 0;
	}
	return done;
}

/* A queue with the same bit may have nothing new: it costs one look. */
void
mark_queues(bool all)
{
	SmsflowDirty dirty;
	HASH_SEQ_STATUS scan;
	Queue *queue;
	uint32 any = all ? 1 : 0;

	for (int i = 0; i < SMSFLOW_DIRTY_WORDS; i++)
	{
		dirty.words[i] = pg_atomic_read_u32(&worker.slot->dirty[i]);
		if (dirty.words[i] != 0)
			dirty.words[i] = pg_atomic_exchange_u32(&worker.slot->dirty[i], 0);
		any |= dirty.words[i];
	}
	if (any == 0)
		return;
	hash_seq_init(&scan, worker.queues);
	while ((queue = hash_seq_search(&scan)) != NULL)
	{
		uint32 bit = (uint32) queue->queue_id % SMSFLOW_DIRTY_BITS;
		bool marked = (dirty.words[bit / 32] & ((uint32) 1 << (bit % 32))) != 0;

		if (!all && !marked)
			continue;
		queue->swept = !marked && (queue->swept || !queue->more);
		queue->more = true;
		schedule_wake(queue);
	}
}

uint32
take_news(bool *sweep)
{
	int64 now = worker.clock->monotonic();
	uint32 news;

	smsflow_prepared_settle();
	*sweep = now >= next_sweep;
	mark_queues(*sweep);
	news = pg_atomic_exchange_u32(&worker.slot->news, 0);
	if (*sweep)
		next_sweep = now + (int64) smsflow_sweep_interval * 1000;
	if (news & SMSFLOW_NEWS_CONFIG)
		config_changed = true;
	if ((news & SMSFLOW_NEWS_CONFIG) || *sweep)
	{
		if (read_config())
			config_changed = false;
		else
			next_sweep = Min(next_sweep, now + FAILED_READ_PAUSE);
	}
	return news;
}

bool
news_of_config(void)
{
	return (pg_atomic_read_u32(&worker.slot->news) & SMSFLOW_NEWS_CONFIG) != 0;
}

int64
sweep_due(void)
{
	return next_sweep;
}

static bool
has_news(void)
{
	if (pg_atomic_read_u32(&worker.slot->news) != 0 || ShutdownRequestPending || ConfigReloadPending)
		return true;
	for (int i = 0; i < SMSFLOW_DIRTY_WORDS; i++)
		if (pg_atomic_read_u32(&worker.slot->dirty[i]) != 0)
			return true;
	return false;
}

/*
 * "I sleep" is said before the last look, so that whoever brings news after
 * the look sees that the latch must be set.
 */
void
wait_for_work(int64 wait)
{
	WaitEvent events[3];

	pg_atomic_write_u32(&worker.slot->sleeping, 1);
	pg_memory_barrier();
	if (!has_news() && (wait > 0))
		WaitEventSetWait(wait_set, (long) Min((wait + 999) / 1000, 60000), events, lengthof(events), PG_WAIT_EXTENSION);
	pg_atomic_write_u32(&worker.slot->sleeping, 0);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

void
wait_for_answers(long timeout_ms)
{
	WaitEvent events[3];

	WaitEventSetWait(wait_set, timeout_ms, events, lengthof(events), PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}
