/*
 * breaker.c - see breaker.h.
 */
#include "breaker.h"

#include <limits.h>

#include "delivery.h"

#define SECOND INT64_C(1000000)

/* Trials after which the pause grows no longer: about a minute. */
#define MOST_TRIPS 8

#define MAX_THROTTLE_SECONDS 3600
#define FIRST_THROTTLE_SECONDS 5
#define LAST_THROTTLE_SECONDS 300

SmsflowBreakerState
smsflow_breaker_state(const SmsflowBreaker *breaker, int64_t now)
{
	return breaker->state == BREAKER_OPEN && breaker->open_until <= now ? BREAKER_HALF_OPEN : breaker->state;
}

int
smsflow_breaker_window(const SmsflowBreaker *breaker, int64_t now)
{
	switch (smsflow_breaker_state(breaker, now))
	{
		case BREAKER_OPEN:
			return 0;
		case BREAKER_HALF_OPEN:
			return 1;
		case BREAKER_RECOVERING:
			return breaker->window;
		default:
			return INT_MAX;
	}
}

void
smsflow_breaker_open(SmsflowBreaker *breaker, int64_t pause, int64_t now)
{
	if (breaker->state != BREAKER_OPEN || breaker->open_until < now + pause)
		breaker->open_until = now + pause;
	breaker->state = BREAKER_OPEN;
}

bool
smsflow_breaker_failure(SmsflowBreaker *breaker, uint64_t seed, int64_t now)
{
	/* Requests that were under way together fail together: once is enough. */
	if (smsflow_breaker_state(breaker, now) == BREAKER_OPEN)
		return false;
	breaker->failures++;
	if (breaker->state == BREAKER_CLOSED && breaker->failures < SMSFLOW_BREAKER_FAILURES)
		return false;
	if (breaker->trips < MOST_TRIPS)
		breaker->trips++;
	smsflow_breaker_open(breaker, smsflow_backoff(breaker->trips, seed) / 4, now);
	return true;
}

/* As many answers as are allowed at one time, and some time, before more are. */
static void
grow(SmsflowBreaker *breaker, int64_t now)
{
	if (++breaker->successes < breaker->window || now - breaker->grown_at < SMSFLOW_BREAKER_STEP)
		return;
	breaker->window *= 2;
	breaker->successes = 0;
	breaker->grown_at = now;
}

bool
smsflow_breaker_success(SmsflowBreaker *breaker, int full, int64_t now)
{
	switch (smsflow_breaker_state(breaker, now))
	{
		case BREAKER_OPEN:
			/* The answer to a request from before says nothing about now. */
			return false;
		case BREAKER_HALF_OPEN:
			*breaker = (SmsflowBreaker){.state = BREAKER_RECOVERING, .trips = breaker->trips, .window = 2, .grown_at = now};
			return false;
		case BREAKER_RECOVERING:
			grow(breaker, now);
			if (breaker->window < full)
				return false;
			smsflow_breaker_reset(breaker);
			return true;
		default:
			breaker->failures = 0;
			return false;
	}
}

void
smsflow_breaker_reset(SmsflowBreaker *breaker)
{
	*breaker = (SmsflowBreaker){.state = BREAKER_CLOSED};
}

const char *
smsflow_breaker_state_name(SmsflowBreakerState state)
{
	static const char *const names[] = {"closed", "open", "half_open", "recovering"};

	return names[state];
}

int64_t
smsflow_throttle_pause(int64_t seconds, int times)
{
	int64_t pause = FIRST_THROTTLE_SECONDS;

	if (seconds > 0)
		return (seconds < MAX_THROTTLE_SECONDS ? seconds : MAX_THROTTLE_SECONDS) * SECOND;
	for (int i = 1; i < times && pause < LAST_THROTTLE_SECONDS; i++)
		pause *= 2;
	return (pause < LAST_THROTTLE_SECONDS ? pause : LAST_THROTTLE_SECONDS) * SECOND;
}
