/*
 * worker.h - what the parts of the worker know: routes, queues and the
 * messages in hand. All of it is local to the worker's process; the tables
 * are the truth, and a new worker builds this from them.
 */
#ifndef SMSFLOW_WORKER_H
#define SMSFLOW_WORKER_H

#include "smsflow.h"

#include "lib/ilist.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"

#include "core/delivery.h"
#include "core/limiter.h"
#include "core/purpose.h"
#include "worker/clock.h"
#include "worker/late.h"
#include "worker/shared.h"
#include "worker/transport.h"

/* Failure class of one error code of a profile. */
typedef struct ErrorRule
{
	char *code;
	SmsflowClass class;
} ErrorRule;

typedef struct Gateway
{
	int32 gateway_id; /* hash key */
	bool present;     /* still configured and enabled */
	int in_flight;
	int64 paused_until; /* monotonic microseconds */
	int failures;       /* route failures in a row, for the pause */
	SmsflowLimiter limiter;
	bool limiter_set;

	/* From the tables, replaced by each reload. */
	char *name;
	char *base_url;
	Jsonb *options;
	int max_in_flight;
	long timeout_ms;
	char *method;
	char *path;
	char *query;
	Jsonb *headers;
	char *content_type;
	char *body;
	bool basic_auth;
	int success_from;
	int success_to;
	text *success_pattern;
	char *id_path;
	text *id_pattern;
	char *error_path;
	char *callback_query;
	bool removes_repeats;
	char *sigv4; /* NULL: not signed as AWS has it */
	int shortest_validity;
	int longest_validity;
	int max_length; /* characters; 0: any */
	Jsonb *media;   /* NULL: takes none */
	text *error_pattern;
	text *wait_pattern;
	char *report_request; /* what asks for reports; NULL: nothing does */
	bool found_by_id;     /* reports name messages by the gateway's id alone */
	ErrorRule *rules;
	int rule_count;
	char *secret; /* NULL: none */
} Gateway;

typedef struct Sender
{
	int32 sender_id; /* hash key */
	bool present;
	Gateway *gateway;
	int64 paused_until;
	bool misconfigured; /* the pause ends with the next reload */
	SmsflowLimiter limiter;
	bool limiter_set;
	int32 daily_limit; /* parts a day (UTC); 0 none */
	int64 day;         /* day that sent_today counts */
	int64 sent_today;
	char *address;
	Jsonb *options;
} Sender;

typedef struct Queue
{
	int32 queue_id; /* hash key */
	int16 lane;
	bool stopped;   /* its campaign is paused */
	Sender *sender; /* NULL: any that is there */

	/* The durable cursor: ids, and timers. */
	int64 cursor_id;
	TimestampTz timer_due;
	int64 timer_id;

	bool more;            /* there may be rows past the cursor */
	TimestampTz next_due; /* of its next timer, DT_NOEND none */
	dlist_head jobs;      /* claimed, waiting for their turn */
	int job_count;
	dlist_node in_lane;
} Queue;

typedef enum Outcome
{
	OUTCOME_NONE,
	OUTCOME_ACCEPTED,
	OUTCOME_REJECTED,
	OUTCOME_RETRY,
	OUTCOME_IN_DOUBT,
	OUTCOME_SUPPRESSED,
	OUTCOME_CANCELLED,
	OUTCOME_EXPIRED,
	OUTCOME_RESOLVED
} Outcome;

/* A claim with messages that are not recorded yet. */
typedef struct OpenClaim
{
	dlist_node node;
	int64 claim_id;
	int open;
} OpenClaim;

/* One message in hand, from its claim until its result is durable. */
typedef struct Job
{
	dlist_node node; /* in a queue, or in the results */
	Queue *queue;
	OpenClaim *claim;
	MemoryContext context; /* holds the job and its texts */

	int64 message_id;
	int64 contact_id; /* 0: not a contact */
	int64 enrollment_id;
	int32 brand_id;
	int32 campaign_id;
	int32 sequence_id;
	int16 step;
	SmsflowPurpose purpose;
	int parts;
	bool unicode;
	int64 recipient;
	char *body; /* NULL: a one-time password whose code is void */
	char **media; /* URLs */
	int media_count;
	TimestampTz expires_at;
	TimestampTz open_until; /* when the recipient's window closes */
	char *subject;          /* what caps count by, and the cart */
	char *ref;
	int32 sender_id; /* it would leave from, 0: none */
	bool capped;     /* counts as the one on its way to its contact */
	int attempt;
	bool was_in_doubt; /* status before this try */

	bool check_again;  /* something was revoked meanwhile */
	bool reported;     /* a report came before the answer */
	int journal_place; /* -1 none */
	Sender *sender;    /* it left from, NULL not yet */
	TimestampTz started_at;

	/* The result. */
	Outcome outcome;
	SmsflowWire wire;
	SmsflowClass class;
	int http_status;
	TimestampTz finished_at;
	char code[64];
	const char *reason;
	char provider_id[128];
	TimestampTz due_at; /* timer to append, DT_NOBEGIN none */
	const char *timer_reason;
	int next_attempt;
} Job;

/* Entry of the table of jobs by message id. */
typedef struct JobEntry
{
	int64 message_id; /* hash key */
	Job *job;
} JobEntry;

typedef struct Worker
{
	SmsflowSlot *slot;
	Oid schema; /* whose tables this is about; InvalidOid: none yet */
	int64 generation;
	bool armed;
	char *callback_key; /* NULL until the first arm() */
	const SmsflowTransport *transport;
	const SmsflowClock *clock;
	MemoryContext long_lived;
	MemoryContext scratch; /* reset every turn of the loop */
	MemoryContext config;  /* strings of gateways and senders */
	HTAB *gateways;
	HTAB *senders;
	HTAB *queues;
	HTAB *jobs;                      /* JobEntry, from claim to record */
	HTAB *busy;                      /* contacts with a capped message in hand */
	dlist_head lanes[SMSFLOW_LANES]; /* queues */
	dlist_head results;              /* jobs whose end is known */
	int result_count;
	dlist_head open_claims;
	int backlog; /* jobs waiting in queues */
	int in_flight;
	int64 sent;
	bool failed; /* a transaction did, since this was cleared */
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
 * Runs step in PG_TRY; an error is logged, the transaction rolled back and
 * false returned. Errors of COMMIT itself end the process.
 */
extern bool worker_try(void (*step)(void *arg), void *arg);

/* ---- configuration (config.c) ---- */

/*
 * Reads gateways, senders, queues and campaign states; in a transaction.
 * changed: somebody changed them, which ends a pause for a wrong configuration.
 */
extern void config_load(bool changed);
extern Queue *config_queue(int32 queue_id);
extern Sender *config_sender(int32 sender_id);
extern bool config_has_sender(void);

/* ---- which queues, how much (schedule.c) ---- */

/* Jobs in hand, waiting or on the wire; fewer than the journal has places. */
#define MAX_JOBS 2048

/* Claimed for one queue at a time, so that queues of a lane take turns. */
#define MAX_CLAIM 500

/* Monotonic microseconds from which on the queue's route may be used: 0 now, INT64_MAX not by time. */
extern int64 schedule_opens(const Queue *queue);

/* Messages to be claimed for a queue, when so many were claimed for others in this turn. */
extern int schedule_room(const Queue *queue, int64 monotonic, int staged);

/* Monotonic microseconds at which the next claim is wanted, INT64_MAX: not by time. */
extern int64 schedule_due(int64 monotonic, TimestampTz now);

/* ---- claiming (claim.c) ---- */

/*
 * One turn: records results and takes new messages, in one transaction that is
 * durable before a byte of them leaves. Returns false when it failed; results
 * are then kept for the next turn.
 */
extern bool turn(void);

/*
 * Monotonic microseconds at which a turn is wanted: in the past for now,
 * INT64_MAX for not by time.
 */
extern int64 turn_due(void);
extern void job_free(Job *job);

/* Ends a job without a request: suppressed, cancelled or expired. */
extern void job_refuse(Job *job, Outcome outcome, const char *reason);

/*
 * Of messages that caps may stop, one at a time is in hand for a contact, since
 * caps count only what is recorded. Takes the contact; false when it is taken.
 */
extern bool job_take_contact(Job *job);
extern void job_leave_contact(Job *job);

/* Columns of smsflow.gated (as g) that job_from_row reads; the gate's reason and retry_at are columns 14 and 15. */
#define GATED_COLUMNS                                                                                                            \
	" g.message_id, g.contact_id, g.enrollment_id, g.brand_id, g.campaign_id, g.sequence_id, g.step::integer, g.purpose::text,"  \
	" g.parts::integer, g.unicode, g.recipient::text,"                                                                           \
	" CASE WHEN g.purpose = 'otp' THEN smsflow.otp_text(g.message_id, g.body) ELSE g.body END, g.expires_at, g.reason,"          \
	" g.retry_at, g.open_until, g.subject, g.ref, g.sender_id, array_to_string(g.media_urls, ' ')"

/* How many these are. */
#define GATED_COUNT 20

/* Makes a job of a row of the current SPI result; it lives in its own context. */
extern Job *job_from_row(Queue *queue, uint64 row);

/* Columns of the current SPI result; what is NULL reads as 0, or as missing. */
extern int64 column_id(uint64 row, int column);
extern int32 column_int(uint64 row, int column);
extern bool column_bool(uint64 row, int column);
extern TimestampTz column_time(uint64 row, int column, TimestampTz missing);

/* ---- recording (record.c) ---- */

/* Appends attempts, timers and metrics of jobs; in a transaction. */
extern void record_jobs(Job **jobs, int count);

/* Moves a job to the results. */
extern void result_add(Job *job);

/* ---- sending (dispatch.c, request.c, answer.c) ---- */

/* Hands jobs to the transport, as lanes, limits and places allow. */
extern void dispatch(void);

/* Monotonic microseconds at which dispatch may go on, INT64_MAX: not by time. */
extern int64 dispatch_wait(void);

/* Marks what was claimed before something about it was revoked. */
extern void dispatch_read_revocations(void);

/* Gives back what has not been started, as timers due now. */
extern void dispatch_release(Job *job, const char *reason);

/*
 * Builds the request of a job in the current memory context. Returns NULL with
 * words in *problem when the profile or its secret does not allow one.
 */
extern SmsflowRequest *request_build(Job *job, const char **problem);

/* Called by the transport for every request that has ended. */
extern void answer_received(const SmsflowAnswer *answer);

/* The job may have been sent: what its purpose and gateway allow now. */
extern void job_in_doubt(Job *job, const char *reason);

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

/* Counters have changed: fold them within a second. */
extern void chores_fold_soon(void);

/* When the next chore is due. */
extern TimestampTz chores_due(void);

#endif
