/*
 * limiter.c - see limiter.h.
 */
#include "limiter.h"

static double
later(double a, double b)
{
	return a > b ? a : b;
}

void
smsflow_limiter_set(SmsflowLimiter *limiter, double rate, int burst)
{
	limiter->interval = 1e6 / rate;
	limiter->tolerance = limiter->interval * burst;
}

void
smsflow_limiter_init(SmsflowLimiter *limiter, double rate, int burst, int64_t now)
{
	smsflow_limiter_set(limiter, rate, burst);
	limiter->full_at = (double) now + limiter->tolerance;
}

int64_t
smsflow_limiter_wait(const SmsflowLimiter *limiter, int parts, int64_t now)
{
	double		cost = limiter->interval * parts;
	double		limit = later(limiter->tolerance, cost);
	double		wait = later(limiter->full_at, (double) now) + cost - (double) now - limit;

	/* Rounded up, so that whoever waits that long does pass. */
	return wait <= 0 ? 0 : (int64_t) wait + 1;
}

void
smsflow_limiter_take(SmsflowLimiter *limiter, int parts, int64_t now)
{
	limiter->full_at = later(limiter->full_at, (double) now) + limiter->interval * parts;
}

int
smsflow_limiter_room(const SmsflowLimiter *limiter, int64_t now, int64_t horizon)
{
	double		room = ((double) now + (double) horizon + limiter->tolerance - later(limiter->full_at, (double) now)) / limiter->interval;

	if (room <= 0)
		return 0;
	return room > 1e9 ? 1000000000 : (int) room;
}
