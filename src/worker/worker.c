/*
 * worker.c - the background worker: smsflow.workers static processes per database
 * named in smsflow.databases, started when recovery ends, so never on a standby
 * and at once after a promotion.
 *
 * The loop: look for news, take a turn (record what ended, claim what the
 * limits allow), hand messages to the transport, do chores, wait. There is one
 * wait, for the latch, the transport and the death of the postmaster; no lock,
 * snapshot or transaction is held in it.
 *
 * Exit codes: 1 means "start me again" (after smsflow_restart_seconds); the
 * worker never leaves with 0, since it would then be gone for good.
 */
#include "worker/worker.h"

#include "catalog/namespace.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "fault.h"
#include "worker/journal.h"
#include "worker/prepared.h"

#define DRAIN_TIME (2 * USECS_PER_SEC)

/* After a turn that failed, before the next. */
#define FAILED_TURN_PAUSE USECS_PER_SEC
#define MAX_FAILED_TURNS 30

static int failed_turns = 0;
static int64 turn_allowed_at = 0;

/* ---- the extension may come, go and come back ---- */

typedef struct Installed
{
	bool exists;
	bool version_fits;
	bool armed;
} Installed;

static void
look_for_extension(void *arg)
{
	Installed *installed = arg;

	worker_begin("looking for the extension", false);
	installed->exists = OidIsValid(get_extension_oid(SMSFLOW_SCHEMA, true));
	if (installed->exists &&
		SPI_execute("SELECT extversion = '" SMSFLOW_VERSION "' FROM pg_catalog.pg_extension WHERE extname = 'smsflow'", true,
					1) == SPI_OK_SELECT)
		installed->version_fits = column_bool(0, 1);
	installed->armed = installed->version_fits && config_is_armed();
	worker_commit();
}

/* What there is already may have been reported while nobody looked. */
static void
expect_reports(void)
{
	if (SPI_execute("SELECT last_value FROM smsflow.message_id_seq", true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the last message id");
	worker.reported_id = column_id(0, 1);
}

static void
start_over(void *arg)
{
	Oid schema;

	worker_begin_alone("taking over", true);
	schema = get_namespace_oid(SMSFLOW_SCHEMA, false);
	common_begin(schema);
	config_load(true);
	recover();
	expect_reports();
	worker_commit();
	worker.schema = schema;
}

static void
take_over(void)
{
	bool done;

	insist_on_indexes(true);
	worker.cancellable = true;
	done = worker_try(start_over, NULL);
	worker.cancellable = false;
	insist_on_indexes(false);
	if (!done)
		proc_exit(1);
	smsflow_fault("recovered");
	smsflow_journal_begin(worker.generation);
	chores_forget();
	worker.ring_tail = pg_atomic_read_u64(&worker.slot->ring_head);
	ereport(LOG, (errmsg("smsflow worker of database \"%s\" started, generation " INT64_FORMAT, NameStr(worker.slot->database),
						 worker.generation)));
}

/*
 * A copy that nobody has armed is left alone: it may just be being restored, and
 * cursors read half-way would send again what the original has sent.
 */
static bool
ready(void)
{
	Installed installed = {0};

	if (!worker_try(look_for_extension, &installed))
		return false;
	if (!installed.exists)
	{
		publish_state("extension not created");
		return false;
	}
	if (!installed.version_fits)
	{
		publish_state("ALTER EXTENSION smsflow UPDATE is needed");
		return false;
	}
	if (OidIsValid(worker.schema))
		return true;
	if (!installed.armed)
	{
		publish_state("disarmed");
		return false;
	}
	take_over();
	return true;
}

/* ---- the loop ---- */

/* Back to the tables with what is claimed and not started. */
static void
release_backlog(void)
{
	HASH_SEQ_STATUS scan;
	Queue *queue;

	hash_seq_init(&scan, worker.queues);
	while ((queue = hash_seq_search(&scan)) != NULL)
		while (queue->job_count > 0)
			dispatch_release(queue_pop(queue), "released");
}

/*
 * Results are kept when a turn fails; a failure that stays ends the process. Somebody's lock does not: the next
 * process would wait for it as well, and not know the results.
 */
static void
take_turn(void)
{
	int64 now = worker.clock->monotonic();

	if (now < turn_allowed_at || turn_due() > now)
		return;
	if (turn())
	{
		failed_turns = 0;
		chores_after_turn();
		return;
	}
	turn_allowed_at = now + FAILED_TURN_PAUSE;
	if (!worker.locked_out && ++failed_turns >= MAX_FAILED_TURNS)
		proc_exit(1);
}

static int64
until(TimestampTz due)
{
	TimestampTz now = worker.clock->now();

	/* What is due at once is due since DT_NOBEGIN, too far for a difference. */
	if (due == DT_NOEND)
		return PG_INT64_MAX;
	return due > now ? due - now : 0;
}

/* Microseconds that nothing will happen by itself. */
static int64
idle_time(void)
{
	int64 now = worker.clock->monotonic();
	int64 wait = until(chores_due());
	long transport = worker.transport->wait_timeout();
	int64 at = Min(dispatch_wait(), Max(turn_due(), turn_allowed_at));

	at = Min(Min(at, sweep_due()), publish_due());
	if (smsflow_prepared_any())
		wait = Min(wait, SMSFLOW_PREPARED_LOOK);
	if (transport >= 0)
		wait = Min(wait, (int64) transport * 1000);
	if (at != PG_INT64_MAX)
		wait = Min(wait, Max(at - now, 0));
	return wait;
}

static bool
work(void)
{
	int64 began = worker.clock->monotonic();
	bool sweep;
	uint32 news = take_news(&sweep);

	if ((sweep || worker.failed) && !ready())
		return false;
	worker.failed = false;
	take_turn();
	dispatch();
	worker.transport->poll(answer_received);
	dispatch();
	worker.cancellable = true;
	chores_run(news, sweep);
	worker.cancellable = false;
	mark_queues(false);
	if (!news_of_config())
		take_turn();
	dispatch();
	publish_loop(worker.clock->monotonic() - began);
	publish_routes();
	publish_state(worker.armed ? "running" : "disarmed");
	return true;
}

/* ---- the end ---- */

/*
 * What is on the wire gets a moment to be answered; what is not goes back.
 * What is still unanswered then is in doubt, and the next worker will say so.
 */
static void
drain(void)
{
	int64 deadline = worker.clock->monotonic() + DRAIN_TIME;

	publish_state("stopping");
	worker.armed = false;
	release_backlog();
	while (worker.in_flight > 0 && worker.clock->monotonic() < deadline)
	{
		long transport = worker.transport->wait_timeout();

		wait_for_answers(transport >= 0 && transport < 50 ? transport : 50);
		worker.transport->poll(answer_received);
	}
	turn();
	worker.transport->stop();
}

void
smsflow_worker_main(Datum main_arg)
{
	bool working;

	worker_start(DatumGetInt32(main_arg));
	while (!ShutdownRequestPending)
	{
		reload_settings();
		working = (OidIsValid(worker.schema) || ready()) && work();
		tell_awaiting();
		if (working)
			wait_for_work(idle_time());
		else
			wait_for_latch(1000);
		MemoryContextReset(worker.scratch);
	}
	if (OidIsValid(worker.schema))
		drain();
	proc_exit(1);
}
