/*
 * worker.h - what the parts of the worker know: routes, queues and the
 * messages in hand. All of it is local to the worker's process; the tables
 * are the truth, and a new worker builds this from them.
 */
#ifndef SMSFLOW_WORKER_H
#define SMSFLOW_WORKER_H

#include "smsflow.h"

#include "lib/ilist.h"
#include "lib/pairingheap.h"
#include "pgtime.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"

#include "core/breaker.h"
#include "core/delivery.h"
#include "core/histogram.h"
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

/* What a limit is set for. Names in SQL are those of limit_scope_name(). */
typedef enum LimitScope
{
	LIMIT_GATEWAY,
	LIMIT_SENDER,
	LIMIT_REGISTRATION,
	LIMIT_CAMPAIGN,
	LIMIT_BRAND
} LimitScope;

typedef struct LimitKey
{
	int32 scope;
	int32 id;
} LimitKey;

/*
 * How much may leave over a route, a registration, or for a campaign: a rate,
 * and parts in a day of a time zone. Entries are never removed, so pointers to
 * them stay good. Parts are counted when their request starts.
 */
typedef struct SendLimit
{
	LimitKey key;             /* hash key */
	bool present;             /* as of the last reload */
	struct SendLimit *parent; /* of a registration, or the registration of a brand */

	bool has_rate;
	SmsflowLimiter limiter;
	int burst;

	int64 daily_limit; /* parts; 0 none */
	pg_tz *zone;
	bool known; /* the day's use was read */
	int32 day;  /* date that used counts, as days since 2000-01-01 */
	TimestampTz day_checked_until;
	int64 used;
	int64 reserved; /* durably; used never exceeds it */
	int64 staged;   /* reserved in the turn under way */
	int wanted;     /* parts of a message that waits for a reservation, 0 none */
	bool warms_up;  /* the parts of a day change with the day */
	bool in_wanting;
	dlist_node wanting;

	int64 passed; /* parts, since the start */
	int64 shown;  /* ... when they were shown last (publish.c) */
	double pace;  /* parts per second of the last seconds */
	int waiting;  /* parts claimed and not started */
	int hungry;   /* weights of the queues that want to be claimed from, in the turn hungry_turn */
	uint32 hungry_turn;
} SendLimit;

/* Gateway, sender, registration and its parent, campaign, those of the brand. */
#define MAX_LIMITS 8

/* The limits that hold for one message, each once. */
typedef struct LimitSet
{
	int count;
	SendLimit *limit[MAX_LIMITS];
} LimitSet;

typedef struct Gateway
{
	int32 gateway_id; /* hash key */
	bool present;     /* still configured and enabled */
	int in_flight;
	SmsflowBreaker breaker;
	SendLimit *limit;
	int pace;                    /* requests that ended in the last second */
	int paced;                   /* ... in the present one */
	int64 pace_began;            /* monotonic microseconds */
	int waiting;                 /* jobs claimed and not started */
	SmsflowHistogram latency[2]; /* of this minute, and of the one before */
	int64 latency_began;
	int16 http_status[SMSFLOW_HTTP_CODES];
	int64 http_count[SMSFLOW_HTTP_CODES];
	dlist_head crowded[SMSFLOW_LANES]; /* queues that wait for a place */

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
	int in_flight;
	SmsflowBreaker breaker; /* open: the gateway asked for a pause, or refuses us */
	const char *paused_for; /* why, as a reason code */
	int throttles;          /* times in a row that the gateway asked for a pause */
	SendLimit *limit;
	SendLimit *registration; /* NULL: none that is limited */
	char *address;
	Jsonb *options;
} Sender;

typedef enum QueueState
{
	QUEUE_EMPTY,   /* no job */
	QUEUE_READY,   /* has its turn when it comes */
	QUEUE_WAITING, /* for an instant */
	QUEUE_CROWDED, /* for a place at its gateway */
	QUEUE_STOPPED  /* for something that tells, as a reservation */
} QueueState;

typedef struct Queue
{
	int32 queue_id; /* hash key */
	int16 lane;
	int16 weight;        /* share of its lane */
	bool stopped;        /* its campaign is paused */
	bool traced;         /* of test_gateway() */
	Sender *sender;      /* NULL: any that is there */
	SendLimit *campaign; /* NULL: not paced */
	int32 brand_id;      /* of its campaign; 0: each message has its own */

	/* The durable cursor: ids, and timers. */
	int64 cursor_id;
	TimestampTz timer_due;
	int64 timer_id;

	/* Claiming (schedule.c). */
	bool more;            /* there may be rows past the cursor */
	TimestampTz next_due; /* of its next timer, DT_NOEND none */
	bool hungry;          /* is in worker.hungry */
	dlist_node in_hungry;
	int64 look_at;  /* not worth a look before, monotonic microseconds */
	int look_below; /* ... unless it has fewer jobs than this */

	/* Jobs, and when they may go (lanes.c). */
	dlist_head jobs; /* claimed, waiting for their turn */
	int job_count;
	QueueState state;
	dlist_node in_list;       /* of ready, crowded or stopped queues */
	pairingheap_node in_heap; /* of waiting ones */
	int64 ready_at;
	uint64 order; /* who waits longer goes first */
	int deficit;  /* parts it may still send in this turn of the lane */
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
	char *body;   /* NULL: a one-time password whose code is void */
	char **media; /* URLs */
	int media_count;
	TimestampTz expires_at;
	TimestampTz open_until; /* when the recipient's window closes */
	char *subject;          /* what caps count by, and the cart */
	char *ref;
	int32 sender_id; /* it would leave from, 0: none */
	bool capped;     /* counts as the one on its way to its contact */
	bool counted;    /* uses up the caps */
	int attempt;
	bool was_in_doubt; /* status before this try */

	bool check_again;   /* something was revoked meanwhile */
	SmsflowStart start; /* whether it was stopped in the last moment */
	bool reported;      /* a report came before the answer */
	int journal_place;  /* -1 none */
	Sender *sender;     /* it left from, NULL not yet */
	LimitSet limits;    /* that it was counted under */
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
	char *traced_request; /* NULL: not traced */
	char *traced_answer;
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
	int64 marketing_opens; /* monotonic; after a promotion marketing is held for a while */
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
	int backlog; /* jobs waiting in queues */
	int in_flight;
	int64 sent;
	SmsflowHistogram loop_time[2];
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

/* ---- limits (limits.c) ---- */

/* The limit of that key; made, without any bounds, when there is none. */
extern SendLimit *limit_for(LimitScope scope, int32 id);
extern const char *limit_scope_name(LimitScope scope);

/* Sets the rate in parts per second; tokens taken stay taken. rate 0: no limit. */
extern void limit_set_rate(SendLimit *limit, double rate, int burst);

/* Sets the parts of a day (0: no limit) of a time zone; what was used today stays used. */
extern void limit_set_daily(SendLimit *limit, int64 daily_limit, const char *zone);

/* Reads what is reserved of the day's parts where it is not known yet; in a transaction. */
extern void limits_read(void);

/* The limits of a message; sender and brand_id may be unknown (NULL, 0). */
extern void limits_of(const Queue *queue, Sender *sender, int32 brand_id, LimitSet *limits);

/*
 * Microseconds until these parts may pass all limits: 0 is now, INT64_MAX when
 * a turn has to reserve them first. reason: what holds them longest.
 */
extern int64 limits_wait(LimitSet *limits, int parts, int lane, int64 monotonic, const char **reason);
extern void limits_take(LimitSet *limits, int parts, int64 monotonic);

/* What surely did not leave does not count for the day. */
extern void limits_give_back(LimitSet *limits, int parts);

/*
 * Parts that may pass a limit until the horizon (microseconds from now), beyond
 * those that wait for it; opens: when there are some again, 0 now.
 */
extern int limit_room(SendLimit *limit, int64 monotonic, int64 horizon, int64 *opens);

/* Some message waits for a turn that reserves parts of the day for it. */
extern bool limits_wanted(void);

/*
 * Writes down how much of the day's parts may be used from here on; in a turn.
 * settle: nothing will be sent for now, so only what is used is kept.
 */
extern void limits_reserve(bool settle);

/* The turn has committed. */
extern void limits_reserved(void);

/* ---- whose turn it is (lanes.c) ---- */

extern void lanes_init(void);

/* A job waits in its queue; the oldest job of a queue leaves it. */
extern void queue_push(Job *job);
extern Job *queue_pop(Queue *queue);

/* The queue of the lane whose turn it is, NULL when none is ready. It stays ready. */
extern Queue *lane_next(int lane, int64 monotonic);

/* The queue has had its turn. */
extern void queue_yield(Queue *queue);

/* It cannot go on before an instant, until a place at its gateway is free, or before lanes_news(). */
extern void queue_wait_until(Queue *queue, int64 monotonic);
extern void queue_wait_for_place(Queue *queue, Gateway *gateway);
extern void queue_wait_for_news(Queue *queue);

/* Lets as many queues as there are free places at the gateways try again; true when there were some. */
extern bool lanes_admit(void);

extern void lanes_news(void);

/*
 * Senders and registrations have changed: what waits for each limit is counted
 * anew, and all that wait try again.
 */
extern void lanes_recount(void);

/* The instant at which the next waiting queue may go on, INT64_MAX none. */
extern int64 lanes_wake(void);

/* Requests that may start at a gateway for a lane; the last places are kept for the first lane. */
extern int gateway_room(const Gateway *gateway, int lane, int64 monotonic);

/* ---- which queues, how much (schedule.c) ---- */

/* Jobs in hand, waiting or on the wire; fewer than the journal has places. */
#define MAX_JOBS 3072

/* Claimed for one queue at a time, so that queues of a lane take turns. */
#define MAX_CLAIM 500

/* Monotonic microseconds from which on the queue's route may be used: 0 now, INT64_MAX not by time. */
extern int64 schedule_opens(const Queue *queue);

/* There may be something to claim from the queue. */
extern void schedule_wake(Queue *queue);

/* A turn begins: counts who wants to share what. */
extern void schedule_begin(void);

/* Messages to be claimed for a queue, when so many were claimed for others in this turn. */
extern int schedule_room(Queue *queue, int64 monotonic, int staged);

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

/* A new job without a message; it lives in its own context. */
extern Job *job_make(Queue *queue);

/* The end of a job that was in hand, and of one that never was. */
extern void job_free(Job *job);
extern void job_discard(Job *job);

/* Ends a job without a request: suppressed, cancelled or expired. */
extern void job_refuse(Job *job, Outcome outcome, const char *reason);

/*
 * Of messages that caps may stop, one at a time is in hand for a contact, since
 * caps count only what is recorded. Takes the contact; false when it is taken.
 */
extern bool job_take_contact(Job *job);
extern void job_leave_contact(Job *job);

/* Whether a message uses up the caps: by the options of its campaign or sequence (jsonb), else by the rule of its purpose. */
extern bool job_counts(SmsflowPurpose purpose, NullableDatum source_options);

/* Columns of smsflow.gated (as g) that job_from_row reads; the gate's reason and retry_at are columns 14 and 15. */
#define GATED_COLUMNS                                                                                                            \
	" g.message_id, g.contact_id, g.enrollment_id, g.brand_id, g.campaign_id, g.sequence_id, g.step::integer, g.purpose::text,"  \
	" g.parts::integer, g.unicode, g.recipient::text,"                                                                           \
	" CASE WHEN g.purpose = 'otp' THEN smsflow.otp_text(g.message_id, g.body) ELSE g.body END, g.expires_at, g.reason,"          \
	" g.retry_at, g.open_until, g.subject, g.ref, g.sender_id, array_to_string(g.media_urls, ' '), g.source_options"

/* How many these are. */
#define GATED_COUNT 21

/* Makes a job of a row of the current SPI result. */
extern Job *job_from_row(Queue *queue, uint64 row);

/* Columns of the current SPI result; what is NULL reads as 0, or as missing. */
extern int64 column_id(uint64 row, int column);
extern int32 column_int(uint64 row, int column);
extern bool column_bool(uint64 row, int column);
extern TimestampTz column_time(uint64 row, int column, TimestampTz missing);

/* A row of a queue past its cursor, with the gate's word on it. */
typedef struct TakenRow
{
	int64 message_id;
	Job *job;           /* NULL: the view smsflow.gated must be asked */
	const char *reason; /* NULL: may be sent */
	TimestampTz retry_at;
} TakenRow;

/*
 * Takes the next messages of a queue, by their ids, in the snapshot of the
 * transaction (plain.c). Returns how many, or -1 when only the view can tell
 * which they are.
 */
extern int plain_take(Queue *queue, int limit, TakenRow *rows);

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

/* Of messages of test_gateway(): keep request and answer, and write them down (in a transaction). */
extern void trace_request(Job *job);
extern void trace_answer(Job *job, const SmsflowAnswer *answer);
extern void append_traces(Job **jobs, int count);

/* Called by the transport for every request that has ended. */
extern void answer_received(const SmsflowAnswer *answer);

/* The job may have been sent: what its purpose and gateway allow now. */
extern void job_in_doubt(Job *job, const char *reason);

/* ---- for people to see (publish.c) ---- */

/* A gateway has answered with this status (0: not at all), so long after the request started. */
extern void publish_answer(Gateway *gateway, int status, int64 microseconds);

/* A turn of the loop took so long, without its wait. */
extern void publish_loop(int64 microseconds);

/* Copies the state of gateways and senders into shared memory, if it is time. */
extern void publish_routes(void);

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
extern void chores_learn_soon(void);

/* When the next chore is due. */
extern TimestampTz chores_due(void);

#endif
