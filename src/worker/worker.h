/*
 * worker.h - a worker's state, and what its parts do for the loop. All of it
 * is local to the worker's process; the tables are the truth, and a new worker
 * builds this from them.
 */
#ifndef SMSFLOW_WORKER_H
#define SMSFLOW_WORKER_H

#include "smsflow.h"

#include "lib/ilist.h"
#include "utils/hsearch.h"

#include "core/histogram.h"
#include "worker/clock.h"
#include "worker/job.h"
#include "worker/late.h"
#include "worker/route.h"
#include "worker/shared.h"
#include "worker/transport.h"

typedef struct Worker
{
	SmsflowSlot *slot;
	Oid schema; /* whose tables this is about; InvalidOid: none yet */
	int64 generation;
	bool armed;
	int64 marketing_opens; /* monotonic; after a promotion marketing is held for a while */
	int64 reported_id;     /* up to here messages may have been reported before they were claimed */
	int64 promoted_id;     /* up to here a primary that is lost may have sent messages; 0 none */
	char *callback_key;    /* NULL until the first arm() */
	const SmsflowTransport *transport;
	const SmsflowClock *clock;
	MemoryContext long_lived;
	MemoryContext scratch; /* reset every turn of the loop */
	MemoryContext config;  /* strings of gateways and senders */
	HTAB *gateways;
	HTAB *senders;
	HTAB *limits;
	HTAB *queues;
	HTAB *jobs;                       /* JobEntry, from claim to record */
	HTAB *busy;                       /* contacts with a capped message in hand */
	dlist_head lanes[SMSFLOW_LANES];  /* queues, for ever */
	dlist_head hungry[SMSFLOW_LANES]; /* those that may have something to claim */
	dlist_head results;               /* jobs whose end is known */
	int result_count;
	dlist_head open_claims;
	int backlog;   /* jobs waiting in queues */
	int in_flight; /* requests */
	int batched;   /* messages in them, beyond one each */
	int64 sent;
	SmsflowHistogram loop_time[2];
	uint32 found;     /* of what chores have to do, by what the turn under way writes down */
	bool failed;      /* a transaction did, since this was cleared */
	bool locked_out;  /* the last one that failed had waited for a lock for too long */
	bool cancellable; /* a user's SQL, or what may take long at a start, may be running: signals end it */
	uint64 ring_tail;
	int64 high_id; /* highest message id seen by a claim */
	Late late;     /* of the outbox */
} Worker;

extern Worker worker;

/* ---- transactions (transaction.c) ---- */

/* Outside transactions too, what is made has an owner and a context. */
extern void worker_outside(void);

/*
 * Begins a transaction with SPI and a snapshot; stable: all statements see
 * the same snapshot.
 */
extern void worker_begin(const char *activity, bool stable);
extern void worker_commit(void);

/*
 * The same when no other worker of the database is in a transaction of this
 * kind; until the worker_try that it is in ends. For whatever decides by what
 * has become of messages: the snapshot shows all that others have done, and
 * what they have in memory of it is settled.
 */
extern void worker_begin_alone(const char *activity, bool stable);

/*
 * Runs step in PG_TRY; an error is logged, the transaction rolled back and
 * false returned. Errors of COMMIT itself end the process.
 */
extern bool worker_try(void (*step)(void *arg), void *arg);

/*
 * The same for what is tried until it is done: an error of which the log has been told the last time is not logged once
 * more. known: its code, 0 none.
 */
extern bool worker_try_again(void (*step)(void *arg), void *arg, int *known);

/* ---- start (start.c) ---- */

/* Seams, signals, memory, the database and the transport; waits while smsflow.enabled is off. */
extern void worker_start(int slot);

/* How long a transaction waits for a lock before it fails, as lock_timeout has it; a turn, and all that is not told otherwise, so long. */
#define SMSFLOW_LOCKS "10s"
extern void worker_wait_for_locks(const char *timeout);

/* Requests that this worker may have on the wire: its share of smsflow.max_in_flight. */
extern int worker_places(void);

/* Gives the transport the settings as they are now; false when places are missing. */
extern bool configure_transport(void);

/* ---- news and waiting (news.c) ---- */

extern void news_start(void);

/* What is reported at the latch and in shared memory until then, at most so many milliseconds. */
extern void wait_for_latch(long timeout_ms);

/* Reads settings that were reloaded. */
extern void reload_settings(void);

/*
 * Takes what backends have told: queues are marked, and gateways and senders read
 * anew where they changed. sweep: it is time to look at everything. Returns the
 * news for chores.
 */
extern uint32 take_news(bool *sweep);

/* Marks the queues that backends have put messages into; all: every one. */
extern void mark_queues(bool all);

/* Gateways or senders have changed, and are not read yet. */
extern bool news_of_config(void);

/* When everything is looked at next, monotonic. */
extern int64 sweep_due(void);

/* Waits for the latch, the transport and the postmaster, so many microseconds. */
extern void wait_for_work(int64 wait);

/* Waits for the transport alone, so many milliseconds at most. */
extern void wait_for_answers(long timeout_ms);

/* ---- a turn (turn.c) ---- */

/*
 * One turn: records results and takes new messages, in one transaction that is
 * durable before a byte of them leaves. Returns false when it failed; results
 * are then kept for the next turn.
 */
extern bool turn(void);

/*
 * The queries of a turn, and of taking over, read a few rows by index. The plan for that must not
 * turn with the statistics, so the planner gets no other choice.
 */
extern void insist_on_indexes(bool on);

/*
 * Monotonic microseconds at which a turn is wanted: in the past for now,
 * INT64_MAX for not by time.
 */
extern int64 turn_due(void);
/* ---- sending (dispatch.c, request.c, answer.c) ---- */

/* Hands jobs to the transport, as lanes, limits and places allow. */
extern void dispatch(void);

/* Monotonic microseconds at which dispatch may go on, INT64_MAX: not by time. */
extern int64 dispatch_wait(void);

/* Marks what was claimed before something about it was revoked. */
extern void dispatch_read_revocations(void);

/* Gives back what has not been started, as a timer due now, or at an instant. */
extern void dispatch_release(Job *job, const char *reason);
extern void dispatch_hold(Job *job, const char *reason, TimestampTz due_at);

/* Ends, or gives back, what may not start. */
extern void dispatch_end(Job *job, SmsflowStart start);

/*
 * Builds the request of a job in the current memory context. Returns NULL with
 * words in *problem when the profile or its secret does not allow one.
 */
extern SmsflowRequest *request_build(Job *job, const char **problem);

/* The same without the secret, to be shown. */
extern SmsflowRequest *request_build_masked(Job *job, const char **problem);

/* Why the gateway cannot take the message at all, as a reason code; NULL: it can. */
extern const char *request_problem(const Job *job, const Gateway *gateway);

/* A look-up about a message: url is a template that follows the base URL. */
extern SmsflowRequest *request_build_lookup(Job *job, const char *url, const char **problem);

/* Of messages of test_gateway(): keep request and answer, and write them down (in a transaction). */
extern void trace_request(Job *job);
extern void trace_answer(Job *job, const SmsflowAnswer *answer);
extern void append_traces(Job **jobs, int count);

/* Called by the transport for every request that has ended. */
extern void answer_received(const SmsflowAnswer *answer);

/* What answers the request of a message. */
extern void hide_secret(const Gateway *gateway, char *text, size_t length);
extern void answer_to_message(Exchange *exchange, const SmsflowAnswer *answer);

/* An object or array in JSON that a gateway has answered, NULL for anything else. */
extern Jsonb *answer_json(const SmsflowAnswer *answer);

/* The job may have been sent: what its purpose and gateway allow now. */
extern void job_in_doubt(Job *job, const char *reason);

/* ---- who waits (await.c) ---- */

/* Tells those who wait for messages to a contact, when none is in hand any more. */
extern void tell_awaiting(void);

/* ---- for people to see (publish.c) ---- */

/* A gateway has answered with this status (0: not at all), so long after the request started. */
extern void publish_answer(Gateway *gateway, int status, int64 microseconds);

/* A turn of the loop took so long, without its wait. */
extern void publish_loop(int64 microseconds);

/* What the worker is doing, and its figures. */
extern void publish_state(const char *state);

/* Copies the state of gateways, senders and queues into shared memory, if it is time. */
extern void publish_routes(void);

/* Monotonic microseconds at which that is to be done for what has happened since, INT64_MAX when nothing has. */
extern int64 publish_due(void);

/* There may be something to claim from a queue; said before anybody relies on it. */
extern void publish_waiting(int32 queue_id);

/* ---- the rest (recover.c, chores.c) ---- */

/* Takes over from the worker before: cursors, and what it left in doubt. */
extern void recover(void);

/* Events, callbacks, enrolments, campaigns, metrics, segments. */
extern void chores_run(uint32 news, bool sweep);

/* The tables are other ones now: what chores remember of them is void. */
extern void chores_forget(void);

/* Held messages are asked for again, from the first on (recheck.c). */
extern void recheck_begin(void);
extern bool recheck_unfinished(void);

/* A slice of them in a transaction of its own; false when it failed. */
extern bool recheck_run(void);

/* Results have been written down: counters want to be folded, and so on. */
extern void chores_after_turn(void);

/* When the next chore is due. */
extern TimestampTz chores_due(void);

#endif
