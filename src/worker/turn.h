/*
 * turn.h - what a turn has staged: it takes effect in memory when its
 * transaction has committed, and not at all when that fails.
 */
#ifndef SMSFLOW_TURN_H
#define SMSFLOW_TURN_H

#include "worker/worker.h"

/* Compliance, codes and transactional messages: somebody waits for them. */
#define LAST_URGENT_LANE 1

/* A claim that takes effect with the commit. */
typedef struct StagedClaim
{
	Queue *queue;
	const char *kind;
	int64 from_id;
	int64 to_id;
	TimestampTz from_due;
	int64 from_timer_id;
	TimestampTz to_due;
	int64 to_timer_id;
	bool more;
	int first_job;
	int job_count;
	int64 claim_id;
} StagedClaim;

typedef struct JobList
{
	Job **jobs;
	int count;
	int room;
} JobList;

typedef struct Staged
{
	JobList taken;   /* to be sent */
	JobList refused; /* ended by the gate */
	StagedClaim *claims;
	int claim_count;
	int64 first_claim_id;
	int64 high_id;
	bool looked_for_late;
	bool urgent;    /* claims from the urgent lanes, and does nothing else */
	bool rewinding; /* takes cursors back to a clock that was set back, and does nothing else */
	TimestampTz now;
} Staged;

extern Staged staged;

/* ---- which rows are taken (claim.c) ---- */

/* A claim of this kind of nothing yet: its range begins and ends at the cursors. */
extern StagedClaim *stage_claim(Queue *queue, const char *kind);

/* Stages what the lanes up to this one may claim now, urgent lanes first; in the turn's transaction. */
extern void claim_lanes(int last_lane);

/* Stages rows behind the cursors, of transactions that have committed since. */
extern void claim_late_commits(void);

/* ---- after the clock was set back (rewind.c) ---- */

/* Whether a turn for it is due; rewind_done() when it has committed. */
extern bool rewind_wanted(void);
extern void rewind_done(void);

/* Stages new cursors for queues whose timers were taken ahead of the clock; in the turn's transaction. */
extern void rewind_timers(void);

#endif
