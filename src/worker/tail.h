/*
 * tail.h - readers of the append-only logs that the store and smsflowd write:
 * store events and callbacks. Each row is worked on once, whatever order the
 * transactions of its writers end in; one that fails is set aside with its error.
 */
#ifndef SMSFLOW_TAIL_H
#define SMSFLOW_TAIL_H

#include "worker/worker.h"

#include "executor/spi.h"

/* Reader of an append-only log, as smsflow.tail keeps it. */
typedef struct Tail
{
	const char *name;
	const char *activity;
	const char *late_query; /* $1 low, $2 cursor, $3 transactions */
	const char *new_query;  /* $1 cursor, $2 limit */
	const char *process;    /* $1 ids */
	const char *problem;    /* $1 id, $2 message, $3 sqlstate */
	SPIPlanPtr late_plan;
	SPIPlanPtr new_plan;
	bool loaded;
	bool more; /* the last slice was full */
	int64 cursor_id;
	Late late;
} Tail;

extern Tail tail_of_events;
extern Tail tail_of_callbacks;

/* Reads a slice of the log that arg, a Tail, is about, and works on it: a step for worker_try(). */
extern void tail_step(void *arg);

#endif
