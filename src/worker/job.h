/*
 * job.h - a message in hand, from its claim until its result is durable, and
 * how rows become jobs and jobs rows.
 */
#ifndef SMSFLOW_JOB_H
#define SMSFLOW_JOB_H

#include "smsflow.h"

#include "lib/ilist.h"

#include "core/delivery.h"
#include "core/purpose.h"
#include "core/short_id.h"
#include "worker/route.h"
#include "worker/transport.h"

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

/* A request on the wire: the tag of its answer, and who takes that. */
typedef struct Exchange
{
	void (*answered)(struct Exchange *exchange, const SmsflowAnswer *answer);
} Exchange;

/* One message in hand, from its claim until its result is durable. */
typedef struct Job
{
	Exchange exchange;
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
	int16 variant; /* 0: none */
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
	bool alone;        /* a request that it shared was refused */

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
	char provider_id[SMSFLOW_SHORT_ID_BUFSIZE];
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
/* ---- making and ending (job.c) ---- */

/*
 * A new job without a message, in a context of its own. It is gone with the turn of the loop, so that a step that fails
 * leaves none behind, unless job_keep() lets it live until its end.
 */
extern Job *job_make(Queue *queue);
extern void job_keep(Job *job);

/* A report of the message has been counted. Returns false for a message that is not in hand. */
extern bool job_is_reported(int64 message_id);

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
	" g.retry_at, g.open_until, g.subject, g.ref, g.sender_id, array_to_string(g.media_urls, ' '),"                              \
	" g.variant::integer, g.source_options"

/* How many these are. */
#define GATED_COUNT 22

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

#endif
