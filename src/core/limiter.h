/*
 * limiter.h - rate limit in message parts, as a generic cell rate algorithm
 * (ITU-T I.371): one number says when the bucket will be full again, so a
 * limiter costs 24 bytes and no timer.
 *
 * Over any window of t seconds at most burst + rate * t parts pass. Time is
 * microseconds of a monotonic clock. Pure C11.
 */
#ifndef SMSFLOW_LIMITER_H
#define SMSFLOW_LIMITER_H

#include <stdint.h>

typedef struct SmsflowLimiter
{
	double interval;  /* microseconds per part */
	double tolerance; /* microseconds of burst */
	double full_at;   /* when the bucket is full again */
} SmsflowLimiter;

/*
 * Sets the limit (rate > 0 parts per second, burst >= 1 part). The bucket
 * starts empty, so that restarting over and over never exceeds the rate.
 */
extern void smsflow_limiter_init(SmsflowLimiter *limiter, double rate, int burst, int64_t now);

/*
 * Changes the limit. Parts taken and not yet refilled stay taken, so a slower
 * rate does not begin with a burst; but no more of them than the new burst,
 * since a smaller one would have let no more pass.
 */
extern void smsflow_limiter_set(SmsflowLimiter *limiter, double rate, int burst, int64_t now);

/*
 * Microseconds until parts may pass: 0 is now. More parts than the burst pass
 * when the bucket is full, since they can never pass otherwise.
 */
extern int64_t smsflow_limiter_wait(const SmsflowLimiter *limiter, int parts, int64_t now);

/* Takes parts that smsflow_limiter_wait allowed. */
extern void smsflow_limiter_take(SmsflowLimiter *limiter, int parts, int64_t now);

/* Takes away all there is until an instant: from then on it fills as from the start. */
extern void smsflow_limiter_drain(SmsflowLimiter *limiter, int64_t until);

/*
 * What the lower lanes leave to the first: of a burst an eighth, and at most 4
 * parts; of the parts of a day as many, and of a long one a fiftieth.
 */
extern int smsflow_limiter_kept(int burst);
extern int64_t smsflow_limiter_kept_of_day(int64_t parts);

/* Parts that would pass between now and now + horizon microseconds. */
extern int smsflow_limiter_room(const SmsflowLimiter *limiter, int64_t now, int64_t horizon);

#endif
