/*
 * route.h - what leaves where, and how fast: gateways, senders, limits, and the
 * queues whose turn it is. A reload replaces what the tables say of them and
 * keeps what only the worker knows.
 */
#ifndef SMSFLOW_ROUTE_H
#define SMSFLOW_ROUTE_H

#include "smsflow.h"

#include "lib/ilist.h"
#include "lib/pairingheap.h"
#include "pgtime.h"
#include "utils/jsonb.h"

#include "core/breaker.h"
#include "core/delivery.h"
#include "core/histogram.h"
#include "core/limiter.h"
#include "worker/common.h"
#include "worker/shared.h"

struct Job;

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

/*
 * How much may leave over a route, a registration, or for a campaign: a rate,
 * and parts in a day of a time zone. Entries are never removed, so pointers to
 * them stay good. Parts are counted when their request starts.
 */
typedef struct SendLimit
{
	LimitKey key;             /* hash key */
	bool present;             /* as of the last reload */
	uint32 read;              /* by which reading of the tables last */
	struct SendLimit *parent; /* of a registration, or the registration of a brand */

	LimitUse *use; /* own, or common to several workers */
	LimitUse own;

	bool has_rate;
	bool counts_messages; /* its rate and burst are messages, not parts */
	int burst;

	int64 daily_limit; /* parts; 0 none */
	pg_tz *zone;
	int64 staged;     /* reserved in the turn under way */
	int32 staged_day; /* ... of this day */
	int wanted;       /* parts of a message that waits for a reservation, 0 none */
	bool warms_up;    /* the parts of a day change with the day */
	bool in_wanting;
	dlist_node wanting;

	int64 passed; /* parts, since the start */
	int64 shown;  /* ... when they were shown last (publish.c) */
	double pace;  /* parts per second of the last seconds */
	int waiting;  /* parts, or messages, claimed and not started */
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
	int32 day[MAX_LIMITS]; /* of each, in which parts were taken */
} LimitSet;

/* How a profile lays out several messages in one request. */
typedef struct BatchRules
{
	int most;        /* messages; below 2 each has its own request */
	char *query;     /* NULL: that of the profile */
	char *body;      /* with {{items}} */
	char *item;      /* of a message */
	char *separator; /* between items, as it is */
	bool same_body;  /* the text is said once for all */
	bool marketing;  /* takes nothing else */
	char *results;   /* path of the list of results */
	char *number;    /* path of the recipient in a result; NULL: results are in the order of the items */
	char *id_path;
	char *error_path;
} BatchRules;

typedef struct Gateway
{
	int32 gateway_id; /* hash key */
	bool present;     /* still configured and enabled */
	uint32 read;      /* by which reading of the tables last */
	int in_flight;
	SmsflowBreaker breaker;
	SendLimit *limit;
	int pace;                    /* messages whose requests ended in the last second */
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
	SmsflowDoubtRule doubt_rule;
	char *sigv4; /* NULL: not signed as AWS has it */
	int shortest_validity;
	int longest_validity;
	int max_length; /* characters; 0: any */
	Jsonb *media;   /* NULL: takes none */
	int most_media; /* of a message */
	text *error_pattern;
	text *wait_pattern;
	BatchRules batch;
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
	uint32 read; /* by which reading of the tables last */
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
	bool swept;           /* ... but only a sweep, which suspects every queue, says so */
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
/* ---- configuration (config.c) ---- */

/*
 * Reads gateways, senders, queues and campaign states; in a transaction.
 * changed: somebody changed them, which ends a pause for a wrong configuration.
 */
extern void config_load(bool changed);
extern Queue *config_queue(int32 queue_id);
extern Sender *config_sender(int32 sender_id);
extern bool config_has_sender(void);
/* Whether this copy of the database may send; needs a transaction. */
extern bool config_is_armed(void);

/* ---- limits (limits.c) ---- */

/* The limit of that key; made, without any bounds, when there is none. */
extern SendLimit *limit_for(LimitScope scope, int32 id);
extern const char *limit_scope_name(LimitScope scope);

/* What a message of so many parts (negative: one less) is for a rate: its parts, or one. */
extern int limit_amount(const SendLimit *limit, int parts);

/* Sets the rate in parts per second; tokens taken stay taken. rate 0: no limit. */
extern void limit_set_rate(SendLimit *limit, double rate, int burst);

/* Its bucket is empty until an instant, and fills from then on. */
extern void limit_drain(SendLimit *limit, int64 until);

/* Sets the parts of a day (0: no limit) of a time zone; what was used today stays used. */
extern void limit_set_daily(SendLimit *limit, int64 daily_limit, const char *zone);

/* Reads what is reserved of the day's parts where it is not known yet; in a transaction. */
extern void limits_read(void);

/* The limits of a message; sender and brand_id may be unknown (NULL, 0). */
extern void limits_of(const Queue *queue, Sender *sender, int32 brand_id, LimitSet *limits);

/*
 * Takes these parts from all limits, if they may pass now, and returns 0. Else
 * takes none and returns the microseconds until they may, INT64_MAX when a turn
 * has to reserve them first. reason: what holds them longest.
 */
extern int64 limits_take(LimitSet *limits, int parts, int lane, int64 monotonic, const char **reason);

/* Nothing of what was just taken is used. */
extern void limits_untake(LimitSet *limits, int parts, int64 monotonic);

/* What surely did not leave does not count for the day. */
extern void limits_give_back(LimitSet *limits, int parts);

/*
 * Parts of a lane that may pass a limit until the horizon (microseconds from now), beyond
 * those that wait for it; opens: when there are some again, 0 now.
 */
extern int limit_room(SendLimit *limit, int lane, int64 monotonic, int64 horizon, int64 *opens);

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
extern void queue_push(struct Job *job);
extern struct Job *queue_pop(Queue *queue);

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

/* Whether a claim from the lanes up to this one is wanted now. */
extern bool schedule_wanted(int last_lane, int64 monotonic, TimestampTz now);

#endif
