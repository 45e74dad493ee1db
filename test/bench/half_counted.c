/*
 * half_counted.c - in the place of src/worker/count.c: a worker that counts in one
 * turn and not in another, by chance, to see what counting costs. Both share one
 * process, the same messages and whatever else the machine does, so that their
 * ratio can be trusted where those of two servers, or of two rounds, cannot. Its
 * figures are wrong; metrics.sh alone has it.
 */
#include "worker/record.h"

extern void count_as_ever(Job **jobs, int count);
#define count_jobs count_as_ever
#include "worker/count.c"
#undef count_jobs

#include <time.h>

#include "common/pg_prng.h"

/* Messages after which the log is told. */
#define TOLD_EVERY 50000

static struct
{
	int64 nanoseconds;
	int64 messages;
} spent[2];

static int64
processor_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * INT64CONST(1000000000) + now.tv_nsec;
}

/* The time since the last call went into sending and recording about as many messages as this one brings. */
void
count_jobs(Job **jobs, int count)
{
	static bool counts = false;
	static int64 last = 0;
	static int64 told = 0;
	int64 now = processor_time();

	if (last > 0)
	{
		spent[counts].nanoseconds += now - last;
		spent[counts].messages += count;
	}
	last = now;
	counts = pg_prng_bool(&pg_global_prng_state);
	if (counts)
		count_as_ever(jobs, count);
	if (spent[0].messages + spent[1].messages < told + TOLD_EVERY)
		return;
	told = spent[0].messages + spent[1].messages;
	elog(LOG, "counted: " INT64_FORMAT " ns a message of " INT64_FORMAT ", not counted: " INT64_FORMAT " of " INT64_FORMAT,
		 spent[1].nanoseconds / Max(spent[1].messages, 1), spent[1].messages, spent[0].nanoseconds / Max(spent[0].messages, 1),
		 spent[0].messages);
}
