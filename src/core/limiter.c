/*
 * limiter.c - see limiter.h.
 */
#include "limiter.h"

static double
later(double a, double b)
{
	return a > b ? a : b;
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
	double taken = missing(limiter, now) / limiter->interval;

	smsflow_limiter_init(limiter, rate, burst, now);
	limiter->full_at = (double) now + taken * limiter->interval;
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
