/*
 * start.c - how the worker comes into the world: the postmaster is told of
 * smsflow.workers for each database, and what starts sets up signals, memory, its connection and
 * the transport.
 */
#include "worker/worker.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "replication/syncrep.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "worker/journal.h"

#define RESTART_SECONDS 5

/* Descriptors of the worker itself, besides the sockets of its transport. */
#define OWN_DESCRIPTORS 8

Worker worker;

/* ---- registration ---- */

void
smsflow_register_workers(void)
{
	NameData names[SMSFLOW_MAX_DATABASES];
	int count = smsflow_database_names(names);

	for (int i = 0; i < count * smsflow_workers; i++)
	{
		BackgroundWorker definition = {0};
		const char *database = NameStr(names[i / smsflow_workers]);
		int number = i % smsflow_workers;

		definition.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
		definition.bgw_start_time = BgWorkerStart_RecoveryFinished;
		definition.bgw_restart_time = RESTART_SECONDS;
		strlcpy(definition.bgw_library_name, SMSFLOW_SCHEMA, sizeof(definition.bgw_library_name));
		strlcpy(definition.bgw_function_name, "smsflow_worker_main", sizeof(definition.bgw_function_name));
		if (number == 0)
			snprintf(definition.bgw_name, BGW_MAXLEN, "smsflow worker for %s", database);
		else
			snprintf(definition.bgw_name, BGW_MAXLEN, "smsflow worker %d for %s", number, database);
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
	else if (worker.cancellable)
	{
		InterruptPending = true;
		QueryCancelPending = true;
	}
	SetLatch(MyLatch);
	errno = saved_errno;
}

/*
 * A commit that waits for its standby is not to be cut short: what it claims would be sent without it. PostgreSQL
 * sends this signal to itself, too, when lock_timeout is over.
 */
static void
on_sigint(SIGNAL_ARGS)
{
	int saved_errno = errno;

	if ((worker.cancellable || get_timeout_indicator(LOCK_TIMEOUT, false)) && MyProc &&
		MyProc->syncRepState == SYNC_REP_NOT_WAITING)
	{
		InterruptPending = true;
		QueryCancelPending = true;
		SetLatch(MyLatch);
	}
	errno = saved_errno;
}

/* ---- setup ---- */

static void
at_exit(int code, Datum arg)
{
	SpinLockAcquire(&worker.slot->mutex);
	worker.slot->latch = NULL;
	worker.slot->worker.pid = 0;
	strlcpy(worker.slot->worker.state, "stopped", sizeof(worker.slot->worker.state));
	SpinLockRelease(&worker.slot->mutex);
	pg_atomic_write_u32(&worker.slot->claims, 0);
	pg_atomic_write_u32(&worker.slot->sleeping, 0);
	smsflow_starts_end(worker.slot);
	common_leave_contacts();
}

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

void
worker_wait_for_locks(const char *timeout)
{
	SetConfigOption("lock_timeout", timeout, PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * The worker's own settings: a commit that is not durable would be worse than
 * none. What role or database have set otherwise does not matter here. Of a
 * deadlock with somebody's DROP EXTENSION the worker finds out first, and gives way.
 */
static void
set_parameters(void)
{
	static const char *const settings[][2] = {
		{"role", "none"},
		{"synchronous_commit", "on"},
		{"search_path", "pg_catalog, smsflow, pg_temp"},
		{"statement_timeout", "0"},
		{"deadlock_timeout", "100ms"},
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
	/* Since PostgreSQL 17; it would end the process. */
	if (GetConfigOption("transaction_timeout", true, false) != NULL)
		SetConfigOption("transaction_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	worker_wait_for_locks(SMSFLOW_LOCKS);
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
		publish_state("disabled by smsflow.enabled");
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
	smsflow_journal_open(MyDatabaseId, worker.slot->number);
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

int
worker_places(void)
{
	return Max(smsflow_max_in_flight / smsflow_workers, 1);
}

bool
configure_transport(void)
{
	SmsflowTransportSettings settings = {.places = reserve_sockets(worker_places()),
										 .allow_insecure = smsflow_allow_insecure_gateway,
										 .allow_private = smsflow_allow_private_gateway || smsflow_allow_insecure_gateway,
										 .ca_file = smsflow_ca_file};

	return worker.transport->configure(&settings);
}

void
worker_start(int slot)
{
	worker.slot = &smsflow_shared->slot[slot];
	choose_seams();
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, on_sigterm);
	pqsignal(SIGINT, on_sigint);
	BackgroundWorkerUnblockSignals();
	before_shmem_exit(at_exit, (Datum) 0);
	make_memory();
	common_leave_contacts();
	wait_until_enabled();
	connect_database();
	if (!configure_transport())
		ereport(FATAL, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not start the HTTP transport")));
	news_start();
}
