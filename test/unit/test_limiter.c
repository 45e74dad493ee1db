/*
 * test_limiter.c - the rate limiter against a clock that the test moves.
 *
 * A trace remembers just enough of what passed to know the fullest window so far: over every window that ends now, parts minus
 * rate times length is the burst that window used.
 */
#include "limiter.h"
#include "unit.h"

/* A part in a thousand: what rounding to whole microseconds may add up to. */
#define TOLERANCE 0.001
#define SECOND INT64_C(1000000)

static uint64_t random_state = 42;

static int
random_below(int bound)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (int) ((random_state >> 33) % (uint64_t) bound);
}

typedef struct Trace
{
	double rate;
	int64_t start;
	int64_t now;
	double passed;  /* parts in all */
	double lowest;  /* least parts passed before an instant, less rate * instant */
	double fullest; /* burst of the fullest window */
} Trace;

static Trace
trace_from(double rate, int64_t start)
{
	return (Trace){.rate = rate, .start = start, .now = start, .lowest = 0};
}

static void
trace_pass(Trace *trace, int parts)
{
	double allowed = trace->rate * (double) (trace->now - trace->start) / 1e6;

	if (trace->passed - allowed < trace->lowest)
		trace->lowest = trace->passed - allowed;
	trace->passed += parts;
	if (trace->passed - allowed - trace->lowest > trace->fullest)
		trace->fullest = trace->passed - allowed - trace->lowest;
}

static void
pass(SmsflowLimiter *limiter, Trace *trace, int parts)
{
	smsflow_limiter_take(limiter, parts, trace->now);
	trace_pass(trace, parts);
}

static const double rates[] = {0.2, 1, 3, 7.5, 75, 1000.0 / 3, 1000, 5000};

/* A machine that was just started, one that runs for weeks and one for years. */
static const int64_t starts[] = {0, INT64_C(1234567890123), INT64_C(200000000000001)};

#define RATES ((int) (sizeof(rates) / sizeof(rates[0])))
#define STARTS ((int) (sizeof(starts) / sizeof(starts[0])))

/* Work comes and goes: no window holds more than the burst and its share of the rate. */
static void
check_windows(double rate, int burst, int64_t start)
{
	SmsflowLimiter limiter;
	Trace trace = trace_from(rate, start);
	int64_t interval = (int64_t) (1e6 / rate);

	smsflow_limiter_init(&limiter, rate, burst, start);
	for (int i = 0; i < 20000; i++)
	{
		int parts = 1 + random_below(burst < 4 ? burst : 4);
		bool idle = random_below(1000) == 0;

		if (smsflow_limiter_wait(&limiter, parts, trace.now) == 0)
			pass(&limiter, &trace, parts);
		else
			trace.now += 1 + (int64_t) random_below(1000) * interval * (idle ? 3 * burst : 1) / 1000;
	}
	CHECK(trace.fullest <= burst + TOLERANCE);
	CHECK(trace.fullest > burst - 1);
	CHECK(trace.passed > 1000);
}

/* With work all the time, nearly all that is allowed passes. */
static void
check_use(double rate, int burst, int parts, int64_t start)
{
	SmsflowLimiter limiter;
	Trace trace = trace_from(rate, start);
	double allowed;

	smsflow_limiter_init(&limiter, rate, burst, start);
	for (int i = 0; i < 5000; i++)
	{
		trace.now += smsflow_limiter_wait(&limiter, parts, trace.now);
		pass(&limiter, &trace, parts);
	}
	allowed = rate * (double) (trace.now - trace.start) / 1e6;
	CHECK(trace.passed >= 0.98 * allowed);
	CHECK(trace.passed <= allowed + (parts > burst ? parts : 0) + TOLERANCE);
}

/* A worker that looks only once a millisecond still uses the rate, if the burst covers a millisecond. */
static void
check_use_by_tick(double rate)
{
	SmsflowLimiter limiter;
	Trace trace = trace_from(rate, 0);
	int burst = (int) (rate / 500) + 2;

	smsflow_limiter_init(&limiter, rate, burst, 0);
	for (; trace.now < 100 * SECOND; trace.now += 1000)
		while (trace.passed < 1e6 && smsflow_limiter_wait(&limiter, 1, trace.now) == 0)
			pass(&limiter, &trace, 1);
	CHECK(trace.passed >= 0.98 * rate * 100 - 1);
	CHECK(trace.fullest <= burst + TOLERANCE);
}

/* The time it names is enough, and not a moment longer than needed. */
static void
check_wait(double rate, int burst, int64_t start)
{
	SmsflowLimiter limiter;
	int64_t now = start;

	smsflow_limiter_init(&limiter, rate, burst, start);
	for (int i = 0; i < 20000; i++)
	{
		int parts = 1 + random_below(12);
		int64_t wait = smsflow_limiter_wait(&limiter, parts, now);

		CHECK(wait >= 0);
		CHECK_EQ(smsflow_limiter_wait(&limiter, parts, now + wait), 0);
		if (wait > 2)
			CHECK(smsflow_limiter_wait(&limiter, parts, now + wait - 2) > 0);
		now += wait;
		if (random_below(4) == 0)
			now += random_below(2000000);
		else
			smsflow_limiter_take(&limiter, parts, now);
	}
}

static void
check_starts_empty(double rate, int burst, int64_t start)
{
	SmsflowLimiter limiter;
	int64_t first;

	smsflow_limiter_init(&limiter, rate, burst, start);
	first = smsflow_limiter_wait(&limiter, 1, start);
	CHECK(first >= (int64_t) (1e6 / rate) && first <= (int64_t) (1e6 / rate) + 2);
	CHECK_EQ(smsflow_limiter_room(&limiter, start, 0), 0);
}

/* A worker that crashes and starts again every 50 ms stays within the rate. */
static void
test_restarts(void)
{
	SmsflowLimiter limiter;
	int passed = 0;

	for (int64_t now = 0; now < 10 * SECOND; now += 1000)
	{
		if (now % 50000 == 0)
			smsflow_limiter_init(&limiter, 100, 10, now);
		while (passed < 10000 && smsflow_limiter_wait(&limiter, 1, now) == 0)
		{
			smsflow_limiter_take(&limiter, 1, now);
			passed++;
		}
	}
	CHECK(passed > 500 && passed <= 1000);
}

/* More parts than the burst wait for a full bucket, pass then, and are paid for. */
static void
check_large_message(double rate, int burst, int parts, int64_t start)
{
	SmsflowLimiter limiter;
	int64_t now = start;
	int64_t wait;

	smsflow_limiter_init(&limiter, rate, burst, now);
	wait = smsflow_limiter_wait(&limiter, parts, now);
	CHECK(wait >= (int64_t) (burst * 1e6 / rate) && wait <= (int64_t) (burst * 1e6 / rate) + 2);
	now += wait + 100 * SECOND;
	CHECK_EQ(smsflow_limiter_wait(&limiter, parts, now), 0);
	smsflow_limiter_take(&limiter, parts, now);
	wait = smsflow_limiter_wait(&limiter, 1, now);
	CHECK(wait >= (int64_t) ((parts + 1 - burst) * 1e6 / rate) - 1);
	CHECK(wait <= (int64_t) ((parts + 1 - burst) * 1e6 / rate) + 2);
}

/* Parts that pass now, had another limit been set in between. */
static int
room_after_change(int taken, double rate, int burst)
{
	SmsflowLimiter limiter;
	int64_t now = 100 * SECOND;

	smsflow_limiter_init(&limiter, 10, 20, 0);
	smsflow_limiter_take(&limiter, taken, now);
	smsflow_limiter_set(&limiter, rate, burst, now);
	return smsflow_limiter_room(&limiter, now, 0);
}

static void
test_change(void)
{
	CHECK_EQ(room_after_change(0, 10, 20), 20);
	CHECK_EQ(room_after_change(15, 10, 20), 5);
	CHECK_EQ(room_after_change(15, 1, 20), 5);
	CHECK_EQ(room_after_change(15, 1000, 20), 5);
	CHECK_EQ(room_after_change(15, 10, 30), 15);
	CHECK_EQ(room_after_change(15, 10, 10), 0);
	CHECK_EQ(room_after_change(0, 1000, 30), 30);
}

/* Microseconds until the first part passes, had a burst of 10000 been used up before the limit was changed. */
static int64_t
wait_after_huge_burst(double rate, int burst)
{
	SmsflowLimiter limiter;
	int64_t now = 1000 * SECOND;

	smsflow_limiter_init(&limiter, 10, 10000, 0);
	smsflow_limiter_take(&limiter, 10000, now);
	smsflow_limiter_set(&limiter, rate, burst, now);
	CHECK(smsflow_limiter_wait(&limiter, burst, now) <= (int64_t) (1e6 * burst / rate) + 1);
	return smsflow_limiter_wait(&limiter, 1, now);
}

/* What a burst of before let pass is not owed to a smaller one: it begins empty, no worse. */
static void
test_lower_burst(void)
{
	const int64_t start = 100 * SECOND;
	SmsflowLimiter drained;

	CHECK_EQ(wait_after_huge_burst(10, 5), 100001);
	CHECK_EQ(wait_after_huge_burst(1, 5), SECOND + 1);
	CHECK_EQ(wait_after_huge_burst(10, 1), 100001);

	/* A route that is to be empty until an instant still is. */
	smsflow_limiter_init(&drained, 10, 10000, start);
	smsflow_limiter_drain(&drained, start + 30 * SECOND);
	smsflow_limiter_set(&drained, 10, 5, start);
	CHECK_EQ(smsflow_limiter_room(&drained, start + 30 * SECOND, 0), 0);
	CHECK_EQ(smsflow_limiter_room(&drained, start + 31 * SECOND, 0), 5);
}

/* The lower lanes leave something to the first, and never the larger part. */
static void
test_kept(void)
{
	CHECK_EQ(smsflow_limiter_kept(1), 0);
	CHECK_EQ(smsflow_limiter_kept(8), 1);
	CHECK_EQ(smsflow_limiter_kept(1000), 4);
	CHECK_EQ(smsflow_limiter_kept_of_day(0), 0);
	CHECK_EQ(smsflow_limiter_kept_of_day(7), 0);
	CHECK_EQ(smsflow_limiter_kept_of_day(60), 4);
	CHECK_EQ(smsflow_limiter_kept_of_day(200), 4);
	CHECK_EQ(smsflow_limiter_kept_of_day(2000), 40);
	CHECK_EQ(smsflow_limiter_kept_of_day(INT64_C(5000000000)), 100000000);
}

/* Reading the configuration again, over and over, changes nothing. */
static void
test_same_limit_again(void)
{
	SmsflowLimiter limiter;
	Trace trace = trace_from(50, 0);

	smsflow_limiter_init(&limiter, 50, 5, 0);
	for (; trace.now < 100 * SECOND; trace.now += 1000)
	{
		smsflow_limiter_set(&limiter, 50, 5, trace.now);
		while (trace.passed < 1e6 && smsflow_limiter_wait(&limiter, 1, trace.now) == 0)
			pass(&limiter, &trace, 1);
	}
	CHECK(trace.fullest <= 5 + TOLERANCE);
	CHECK(trace.passed >= 0.98 * 5000);
}

/* room() foretells how many single parts wait() lets through, but for the part at the very edge. */
static void
check_room(double rate, int burst)
{
	SmsflowLimiter limiter;
	int64_t now = 0;

	smsflow_limiter_init(&limiter, rate, burst, now);
	for (int i = 0; i < 500; i++)
	{
		int64_t horizon = random_below(3) * SECOND;
		int room = smsflow_limiter_room(&limiter, now, horizon);
		int64_t end = now + horizon;
		SmsflowLimiter ahead = limiter;
		int64_t at = now;
		int passed = 0;

		for (;; passed++)
		{
			at += smsflow_limiter_wait(&ahead, 1, at);
			if (at > end)
				break;
			smsflow_limiter_take(&ahead, 1, at);
		}
		CHECK(room >= passed - 1 && room <= passed + 1 + passed / 50);
		smsflow_limiter_take(&limiter, 1 + random_below(burst), now);
		now += random_below(2000000);
	}
	CHECK_EQ(smsflow_limiter_room(&limiter, now, INT64_MAX / 4), 1000000000);
}

/* A route that was throttled fills up from the end of its pause on, as one that was just made then. */
static void
check_drained(double rate, int burst, int64_t start)
{
	const int64_t end = start + 30 * SECOND;
	SmsflowLimiter fresh, drained;

	smsflow_limiter_init(&fresh, rate, burst, end);
	smsflow_limiter_init(&drained, rate, burst, start);
	smsflow_limiter_drain(&drained, end);
	CHECK_EQ(smsflow_limiter_room(&drained, start + SECOND, 0), 0);
	for (int64_t now = end; now < end + 3 * SECOND; now += SECOND / 3)
	{
		CHECK_EQ(smsflow_limiter_room(&drained, now, 0), smsflow_limiter_room(&fresh, now, 0));
		CHECK_EQ(smsflow_limiter_wait(&drained, 1, now), smsflow_limiter_wait(&fresh, 1, now));
		CHECK_EQ(smsflow_limiter_wait(&drained, burst, now), smsflow_limiter_wait(&fresh, burst, now));
	}
	smsflow_limiter_drain(&drained, end - SECOND);
	CHECK_EQ(smsflow_limiter_wait(&drained, burst, end), smsflow_limiter_wait(&fresh, burst, end));
}

int
main(void)
{
	static const int bursts[] = {1, 2, 10, 100};

	for (int i = 0; i < RATES; i++)
	{
		check_use_by_tick(rates[i]);
		check_room(rates[i], 10);
		for (int k = 0; k < STARTS; k++)
		{
			check_large_message(rates[i], 3, 10, starts[k]);
			check_large_message(rates[i], 1, 2, starts[k]);
			for (int j = 0; j < 4; j++)
			{
				check_windows(rates[i], bursts[j], starts[k]);
				check_use(rates[i], bursts[j], 1, starts[k]);
				check_use(rates[i], bursts[j], 3, starts[k]);
				check_wait(rates[i], bursts[j], starts[k]);
				check_starts_empty(rates[i], bursts[j], starts[k]);
				check_drained(rates[i], bursts[j], starts[k]);
			}
		}
	}
	test_restarts();
	test_change();
	test_lower_burst();
	test_kept();
	test_same_limit_again();
	return unit_report();
}
