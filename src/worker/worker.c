/*
 * worker.c - the background worker: one static process per database named in
 * smsflow.databases, started when recovery ends, so never on a standby and at
 * once after a promotion.
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

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "replication/syncrep.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "compat.h"
#include "fault.h"
#include "worker/journal.h"
#include "worker/prepared.h"

#define RESTART_SECONDS 5
#define DRAIN_TIME (2 * USECS_PER_SEC)

/* Descriptors of the worker itself, besides the sockets of its transport. */
#define OWN_DESCRIPTORS 8

/* After a turn that failed, before the next. */
#define FAILED_TURN_PAUSE USECS_PER_SEC
#define MAX_FAILED_TURNS 30

Worker worker;

static bool cancellable = false; /* a user's SQL may be running */
static TimestampTz next_sweep = DT_NOBEGIN;
static bool config_changed = false;
static int failed_turns = 0;
static int64 turn_allowed_at = 0;
static WaitEventSet *wait_set = NULL;

/* ---- registration ---- */

void
smsflow_register_workers(void)
{
	NameData names[SMSFLOW_MAX_DATABASES];
	int count = smsflow_database_names(names);

	for (int i = 0; i < count; i++)
	{
		BackgroundWorker definition = {0};

		definition.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
		definition.bgw_start_time = BgWorkerStart_RecoveryFinished;
		definition.bgw_restart_time = RESTART_SECONDS;
		strlcpy(definition.bgw_library_name, SMSFLOW_SCHEMA, sizeof(definition.bgw_library_name));
		strlcpy(definition.bgw_function_name, "smsflow_worker_main", sizeof(definition.bgw_function_name));
		snprintf(definition.bgw_name, BGW_MAXLEN, "smsflow worker for %s", NameStr(names[i]));
		strlcpy(definition.bgw_type, "smsflow worker", BGW_MAXLEN);
		definition.bgw_main_arg = Int32GetDatum(i);
		RegisterBackgroundWorker(&definition);
	}
}

/* ---- signals ---- */

/*
 * The loop ends by itself, after a drain. What could keep it from getting
 * there is ended here: a user's predicate that runs long, and a commit that
 * waits for a standby that is gone.
 */
static void
on_sigterm(SIGNAL_ARGS)
{
	int saved_errno = errno;

	ShutdownRequestPending = true;
	if (MyProc && MyProc->syncRepState != SYNC_REP_NOT_WAITING)
		die(postgres_signal_arg);
	else if (cancellable)
	{
		InterruptPending = true;
		QueryCancelPending = true;
	}
	SetLatch(MyLatch);
	errno = saved_errno;
}

/* A commit that waits for its standby is not to be cut short: what it claims would be sent without it. */
static void
on_sigint(SIGNAL_ARGS)
{
	int saved_errno = errno;

	if (cancellable && MyProc && MyProc->syncRepState == SYNC_REP_NOT_WAITING)
	{
		InterruptPending = true;
		QueryCancelPending = true;
		SetLatch(MyLatch);
	}
	errno = saved_errno;
}

/* ---- state for others to see ---- */

static void
show_state(const char *state)
{
	SmsflowSlot *slot = worker.slot;
	SmsflowHistogram loops = worker.loop_time[1];
	int64 p50;
	int64 p99;

	smsflow_histogram_merge(&loops, &worker.loop_time[0]);
	p50 = smsflow_histogram_quantile(&loops, 0.5);
	p99 = smsflow_histogram_quantile(&loops, 0.99);
	SpinLockAcquire(&slot->mutex);
	strlcpy(slot->worker.state, state, sizeof(slot->worker.state));
	slot->worker.pid = MyProcPid;
	slot->worker.generation = worker.generation;
	slot->worker.last_turn = worker.clock->now();
	slot->worker.in_flight = worker.in_flight;
	slot->worker.backlog = worker.backlog;
	slot->worker.sent = worker.sent;
	slot->worker.gaps = worker.late.running.count;
	slot->worker.loop_p50 = p50;
	slot->worker.loop_p99 = p99;
	SpinLockRelease(&slot->mutex);
}

static void
at_exit(int code, Datum arg)
{
	SpinLockAcquire(&worker.slot->mutex);
	worker.slot->latch = NULL;
	worker.slot->worker.pid = 0;
	strlcpy(worker.slot->worker.state, "stopped", sizeof(worker.slot->worker.state));
	SpinLockRelease(&worker.slot->mutex);
	pg_atomic_write_u32(&worker.slot->sleeping, 0);
	smsflow_starts_end(worker.slot);
}

/* ---- setup ---- */

static HTAB *
make_table(const char *name, Size key, Size entry)
{
	HASHCTL control = {.keysize = key, .entrysize = entry, .hcxt = worker.long_lived};

	return hash_create(name, 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* A test module may have put other implementations in place. */
static void
choose_seams(void)
{
	const SmsflowTransport **transport = (const SmsflowTransport **) find_rendezvous_variable("smsflow_transport");
	const SmsflowClock **clock = (const SmsflowClock **) find_rendezvous_variable("smsflow_clock");

	worker.transport = *transport ? *transport : &smsflow_curl_transport;
	worker.clock = *clock ? *clock : &smsflow_system_clock;
}

static void
make_memory(void)
{
	worker.long_lived = AllocSetContextCreate(TopMemoryContext, "smsflow worker", ALLOCSET_DEFAULT_SIZES);
	worker.scratch = AllocSetContextCreate(worker.long_lived, "smsflow scratch", ALLOCSET_DEFAULT_SIZES);
	worker.config = AllocSetContextCreate(worker.long_lived, "smsflow configuration", ALLOCSET_DEFAULT_SIZES);
	worker.gateways = make_table("smsflow gateways", sizeof(int32), sizeof(Gateway));
	worker.senders = make_table("smsflow senders", sizeof(int32), sizeof(Sender));
	worker.limits = make_table("smsflow limits", sizeof(LimitKey), sizeof(SendLimit));
	worker.queues = make_table("smsflow queues", sizeof(int32), sizeof(Queue));
	worker.jobs = make_table("smsflow messages", sizeof(int64), sizeof(JobEntry));
	worker.busy = make_table("smsflow contacts", sizeof(int64), sizeof(int64));
	lanes_init();
	dlist_init(&worker.results);
	dlist_init(&worker.open_claims);
	MemoryContextSwitchTo(worker.scratch);
}

/*
 * The worker's own settings: a commit that is not durable would be worse than
 * none. What role or database have set otherwise does not matter here.
 */
static void
set_parameters(void)
{
	static const char *const settings[][2] = {
		{"synchronous_commit", "on"},
		{"search_path", "pg_catalog, smsflow, pg_temp"},
		{"statement_timeout", "0"},
		{"lock_timeout", "10s"},
		{"idle_in_transaction_session_timeout", "0"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"session_replication_role", "origin"},
		{"DateStyle", "ISO, MDY"},
		{"IntervalStyle", "postgres"},
		{"TimeZone", "UTC"},
		{"bytea_output", "hex"},
		{"work_mem", "4MB"},
		{"jit", "off"},
		{"row_security", "off"},
		{"application_name", "smsflow " SMSFLOW_VERSION},
	};

	for (int i = 0; i < (int) lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

static void
wait_for_latch(long timeout_ms)
{
	WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout_ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Without a connection the database can be dropped, renamed or copied; so that
 * is what smsflow.enabled = off gives.
 */
static void
wait_until_enabled(void)
{
	while (!smsflow_enabled && !ShutdownRequestPending)
	{
		show_state("disabled by smsflow.enabled");
		wait_for_latch(60000);
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
	if (ShutdownRequestPending)
		proc_exit(1);
}

static void
connect_database(void)
{
	BackgroundWorkerInitializeConnection(NameStr(worker.slot->database), NULL, 0);
	worker_outside();
	set_parameters();
	pg_atomic_write_u32(&worker.slot->database_oid, MyDatabaseId);
	SpinLockAcquire(&worker.slot->mutex);
	worker.slot->latch = MyLatch;
	SpinLockRelease(&worker.slot->mutex);
	smsflow_journal_open(MyDatabaseId);
}

/*
 * Sockets that libcurl may open are taken off what the server counts on for
 * files. When all that may be taken is taken, some are given back: the worker
 * waits by descriptors, too.
 */
static int
reserve_sockets(int wanted)
{
	static int reserved = 0;
	int before = reserved;

	while (reserved < wanted && AcquireExternalFD())
		reserved++;
	if (reserved < wanted)
		for (int i = 0; i < OWN_DESCRIPTORS && reserved > before; i++, reserved--)
			ReleaseExternalFD();
	if (reserved < wanted)
		ereport(LOG, (errmsg("smsflow.max_in_flight is %d, but only %d files may be open for it", wanted, reserved),
					  errhint("Raise max_files_per_process.")));
	return Min(reserved, wanted);
}

static bool
configure_transport(void)
{
	SmsflowTransportSettings settings = {.places = reserve_sockets(smsflow_max_in_flight),
										 .allow_insecure = smsflow_allow_insecure_gateway,
										 .ca_file = smsflow_ca_file};

	return worker.transport->configure(&settings);
}

static void
setup(int slot)
{
	worker.slot = &smsflow_shared->slot[slot];
	choose_seams();
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, on_sigterm);
	pqsignal(SIGINT, on_sigint);
	BackgroundWorkerUnblockSignals();
	before_shmem_exit(at_exit, (Datum) 0);
	make_memory();
	wait_until_enabled();
	connect_database();
	if (!configure_transport())
		ereport(FATAL, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not start the HTTP transport")));
	wait_set = smsflow_create_wait_event_set(3);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, worker.transport->wait_descriptor(), NULL, NULL);
}

/* ---- the extension may come, go and come back ---- */

typedef struct Installed
{
	bool exists;
	bool version_fits;
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
	worker_commit();
}

static void
start_over(void *arg)
{
	Oid schema;

	worker_begin("taking over", true);
	schema = get_namespace_oid(SMSFLOW_SCHEMA, false);
	config_load(true);
	recover();
	worker_commit();
	worker.schema = schema;
}

static void
take_over(void)
{
	if (!worker_try(start_over, NULL))
		proc_exit(1);
	smsflow_fault("recovered");
	smsflow_journal_begin(worker.generation);
	chores_forget();
	worker.ring_tail = pg_atomic_read_u64(&worker.slot->ring_head);
	ereport(LOG, (errmsg("smsflow worker of database \"%s\" started, generation " INT64_FORMAT, NameStr(worker.slot->database),
						 worker.generation)));
}

static bool
ready(void)
{
	Installed installed = {false, false};

	if (!worker_try(look_for_extension, &installed))
		return false;
	if (!installed.exists)
	{
		show_state("extension not created");
		return false;
	}
	if (!installed.version_fits)
	{
		show_state("ALTER EXTENSION smsflow UPDATE is needed");
		return false;
	}
	if (!OidIsValid(worker.schema))
		take_over();
	return true;
}

/* ---- the loop ---- */

static void
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

/* A queue with the same bit may have nothing new: it costs one look. */
static void
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

		if (!all && (dirty.words[bit / 32] & ((uint32) 1 << (bit % 32))) == 0)
			continue;
		queue->more = true;
		schedule_wake(queue);
	}
}

static uint32
take_news(bool *sweep)
{
	uint32 news;

	smsflow_prepared_settle();
	*sweep = worker.clock->now() >= next_sweep;
	mark_queues(*sweep);
	news = pg_atomic_exchange_u32(&worker.slot->news, 0);
	if (*sweep)
		next_sweep = worker.clock->now() + (int64) smsflow_sweep_interval * 1000;
	if (news & SMSFLOW_NEWS_CONFIG)
		config_changed = true;
	if ((news & SMSFLOW_NEWS_CONFIG) || *sweep)
	{
		if (worker_try(config_step, NULL))
			config_changed = false;
		else
			next_sweep = Min(next_sweep, worker.clock->now() + FAILED_TURN_PAUSE);
	}
	return news;
}

/* Results are kept when a turn fails; a failure that stays ends the process. */
static void
take_turn(void)
{
	int64 now = worker.clock->monotonic();

	if (now < turn_allowed_at || turn_due() > now)
		return;
	if (turn())
	{
		failed_turns = 0;
		chores_fold_soon();
		return;
	}
	turn_allowed_at = now + FAILED_TURN_PAUSE;
	if (++failed_turns >= MAX_FAILED_TURNS)
		proc_exit(1);
}

static int64
until(TimestampTz due)
{
	int64 wait = due - worker.clock->now();

	return due == DT_NOEND ? PG_INT64_MAX : Max(wait, 0);
}

/* Microseconds that nothing will happen by itself. */
static int64
idle_time(void)
{
	int64 now = worker.clock->monotonic();
	int64 wait = Min(until(next_sweep), until(chores_due()));
	long transport = worker.transport->wait_timeout();
	int64 at = Min(dispatch_wait(), Max(turn_due(), turn_allowed_at));

	if (smsflow_prepared_any())
		wait = Min(wait, SMSFLOW_PREPARED_LOOK);
	if (transport >= 0)
		wait = Min(wait, (int64) transport * 1000);
	if (at != PG_INT64_MAX)
		wait = Min(wait, Max(at - now, 0));
	return wait;
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
static void
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
	cancellable = true;
	chores_run(news, sweep);
	cancellable = false;
	mark_queues(false);
	if ((pg_atomic_read_u32(&worker.slot->news) & SMSFLOW_NEWS_CONFIG) == 0)
		take_turn();
	dispatch();
	publish_loop(worker.clock->monotonic() - began);
	publish_routes();
	show_state(worker.armed ? "running" : "disarmed");
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

	show_state("stopping");
	worker.armed = false;
	release_backlog();
	while (worker.in_flight > 0 && worker.clock->monotonic() < deadline)
	{
		WaitEvent events[3];
		long transport = worker.transport->wait_timeout();

		WaitEventSetWait(wait_set, transport >= 0 && transport < 50 ? transport : 50, events, lengthof(events),
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		worker.transport->poll(answer_received);
	}
	turn();
	worker.transport->stop();
}

void
smsflow_worker_main(Datum main_arg)
{
	setup(DatumGetInt32(main_arg));
	while (!ShutdownRequestPending)
	{
		reload_settings();
		if ((OidIsValid(worker.schema) || ready()) && work())
			wait_for_work(idle_time());
		else
			wait_for_latch(1000);
		MemoryContextReset(worker.scratch);
	}
	if (OidIsValid(worker.schema))
		drain();
	proc_exit(1);
}
