/*
 * breaker.h - circuit breaker of a route: whether requests may be under way,
 * and how many at one time. Failures in a row open it for a time that doubles
 * with each trial that fails, spread so that many routes do not come back
 * together. Then one request tries; when it is answered, the number of requests
 * allowed grows step by step, since what has just come back is easily put down
 * again.
 *
 *   closed --failures--> open --time--> half open --answer--> recovering --answers--> closed
 *                          ^                |                      |
 *                          '----failure-----'-------failure--------'
 *
 * Time is microseconds of a monotonic clock. All zero is a closed breaker. Pure C11.
 */
#ifndef SMSFLOW_BREAKER_H
#define SMSFLOW_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

/* Failures in a row that open a closed breaker. */
#define SMSFLOW_BREAKER_FAILURES 5

/* The number allowed at most doubles in this time, microseconds. */
#define SMSFLOW_BREAKER_STEP INT64_C(250000)

typedef enum SmsflowBreakerState
{
	BREAKER_CLOSED,
	BREAKER_OPEN,
	BREAKER_HALF_OPEN,
	BREAKER_RECOVERING
} SmsflowBreakerState;

typedef struct SmsflowBreaker
{
	SmsflowBreakerState state; /* BREAKER_OPEN also when its time is over and nobody has tried yet */
	int failures;              /* in a row */
	int trips;                 /* times it opened since it was closed */
	int64_t open_until;
	int window;    /* requests allowed while recovering */
	int successes; /* since the window grew */
	int64_t grown_at;
} SmsflowBreaker;

extern SmsflowBreakerState smsflow_breaker_state(const SmsflowBreaker *breaker, int64_t now);

/* Requests that may be under way at one time; INT_MAX when closed. */
extern int smsflow_breaker_window(const SmsflowBreaker *breaker, int64_t now);

/*
 * A request failed in a way that speaks against the route. seed spreads the
 * pauses of several routes. Returns true when this opened it.
 */
extern bool smsflow_breaker_failure(SmsflowBreaker *breaker, uint64_t seed, int64_t now);

/* Opens for pause microseconds at least, as when the route has asked for it. */
extern void smsflow_breaker_open(SmsflowBreaker *breaker, int64_t pause, int64_t now);

/*
 * A request was answered. full is the number of requests at which nothing is
 * held back any more. Returns true when this closed it.
 */
extern bool smsflow_breaker_success(SmsflowBreaker *breaker, int full, int64_t now);

/* Forgets what was: closed. */
extern void smsflow_breaker_reset(SmsflowBreaker *breaker);

extern const char *smsflow_breaker_state_name(SmsflowBreakerState state);

/*
 * Microseconds of a pause that a gateway asks for by 429 or Retry-After:
 * seconds as it said them, at most an hour, since more is taken for a mistake;
 * when it said nothing usable (0 or less) 5 s, doubled with every time in a row
 * (1 is the first) up to 5 minutes.
 */
extern int64_t smsflow_throttle_pause(int64_t seconds, int times);

#endif
