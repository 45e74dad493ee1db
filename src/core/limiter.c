/*
 * limiter.c - see limiter.h.
 */
#include "limiter.h"

#include <limits.h>

#define KEPT_SHARE 8
#define MOST_KEPT 4
#define KEPT_SHARE_OF_DAY 50

static double
later(double a, double b)
{
	return a > b ? a : b;
}

static double
sooner(double a, double b)
{
	return a < b ? a : b;
}

/* Microseconds until the bucket is full. */
static double
missing(const SmsflowLimiter *limiter, int64_t now)
{
	return later(limiter->full_at - (double) now, 0);
}

void
smsflow_limiter_init(SmsflowLimiter *limiter, double rate, int burst, int64_t now)
{
	limiter->interval = 1e6 / rate;
	limiter->tolerance = limiter->interval * burst;
	limiter->full_at = (double) now + limiter->tolerance;
}

void
smsflow_limiter_set(SmsflowLimiter *limiter, double rate, int burst, int64_t now)
{
	double owed = missing(limiter, now);
	double taken = owed / limiter->interval;
	double beyond = later(owed - limiter->tolerance, 0);

	smsflow_limiter_init(limiter, rate, burst, now);
	limiter->full_at = (double) now + sooner(taken * limiter->interval, limiter->tolerance + beyond);
}

int64_t
smsflow_limiter_wait(const SmsflowLimiter *limiter, int parts, int64_t now)
{
	double cost = limiter->interval * parts;
	double limit = later(limiter->tolerance, cost);

	/* Instants are large and lose fractions: they are subtracted first, so that a full bucket is seen as full. */
	double wait = missing(limiter, now) + cost - limit;

	/* Rounded up, so that whoever waits that long does pass. */
	return wait <= 0 ? 0 : (int64_t) wait + 1;
}

void
smsflow_limiter_take(SmsflowLimiter *limiter, int parts, int64_t now)
{
	limiter->full_at = later(limiter->full_at, (double) now) + limiter->interval * parts;
}

void
smsflow_limiter_drain(SmsflowLimiter *limiter, int64_t until)
{
	limiter->full_at = later(limiter->full_at, (double) until + limiter->tolerance);
}

int
smsflow_limiter_room(const SmsflowLimiter *limiter, int64_t now, int64_t horizon)
{
	double room = ((double) horizon + limiter->tolerance - missing(limiter, now)) / limiter->interval;

	if (room <= 0)
		return 0;
	return room > 1e9 ? 1000000000 : (int) room;
}

int
smsflow_limiter_kept(int burst)
{
	int kept = burst / KEPT_SHARE;

	return kept < MOST_KEPT ? kept : MOST_KEPT;
}

int64_t
smsflow_limiter_kept_of_day(int64_t parts)
{
	int64_t least = smsflow_limiter_kept(parts < INT_MAX ? (int) parts : INT_MAX);
	int64_t share = parts / KEPT_SHARE_OF_DAY;

	return share > least ? share : least;
}
