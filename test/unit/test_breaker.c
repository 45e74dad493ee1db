/*
 * test_breaker.c - the circuit breaker and the pauses that gateways ask for, against a clock that the test moves.
 */
#include <limits.h>

#include "breaker.h"
#include "unit.h"

#define SECOND INT64_C(1000000)

static SmsflowBreaker
opened(int64_t now)
{
	SmsflowBreaker breaker = {0};

	for (int i = 0; i < SMSFLOW_BREAKER_FAILURES; i++)
		smsflow_breaker_failure(&breaker, 7, now);
	return breaker;
}

static void
test_opens(void)
{
	SmsflowBreaker breaker = {0};

	CHECK_EQ(smsflow_breaker_window(&breaker, 0), INT_MAX);
	for (int i = 1; i < SMSFLOW_BREAKER_FAILURES; i++)
		CHECK(!smsflow_breaker_failure(&breaker, 1, 10));
	CHECK(!smsflow_breaker_success(&breaker, 64, 10));
	for (int i = 1; i < SMSFLOW_BREAKER_FAILURES; i++)
		CHECK(!smsflow_breaker_failure(&breaker, 1, 10));
	CHECK_EQ(smsflow_breaker_state(&breaker, 10), BREAKER_CLOSED);
	CHECK(smsflow_breaker_failure(&breaker, 1, 10));
	CHECK_EQ(smsflow_breaker_state(&breaker, 10), BREAKER_OPEN);
	CHECK_EQ(smsflow_breaker_window(&breaker, 10), 0);
}

/* What was under way when it opened neither opens it further nor closes it. */
static void
test_answers_from_before(void)
{
	SmsflowBreaker breaker = opened(0);
	int64_t until = breaker.open_until;

	for (int i = 0; i < 100; i++)
	{
		CHECK(!smsflow_breaker_failure(&breaker, (uint64_t) i, 1));
		CHECK(!smsflow_breaker_success(&breaker, 64, 1));
	}
	CHECK_EQ(breaker.open_until, until);
	CHECK_EQ(smsflow_breaker_state(&breaker, 1), BREAKER_OPEN);
}

/* Each trial that fails makes the pause longer, up to about a minute, and never twice the same for all. */
static void
test_pauses(void)
{
	SmsflowBreaker breaker = opened(0);
	int64_t last = 0;
	int64_t now = 0;
	bool differs = false;

	for (int i = 0; i < 20; i++)
	{
		int64_t pause = breaker.open_until - now;

		CHECK(pause >= 3 * SECOND / 8 && pause <= 80 * SECOND);
		if (i < 7)
			CHECK(pause > last);
		last = pause;
		now = breaker.open_until;
		CHECK_EQ(smsflow_breaker_state(&breaker, now), BREAKER_HALF_OPEN);
		CHECK_EQ(smsflow_breaker_window(&breaker, now), 1);
		CHECK(smsflow_breaker_failure(&breaker, 7, now));
	}
	CHECK(last >= 48 * SECOND);
	for (uint64_t seed = 0; seed < 10; seed++)
	{
		SmsflowBreaker other = {0};

		for (int i = 0; i < SMSFLOW_BREAKER_FAILURES; i++)
			smsflow_breaker_failure(&other, seed, 0);
		differs |= other.open_until != opened(0).open_until;
	}
	CHECK(differs);
}

/* After a pause one request at a time, then twice as many in each step, and not faster. */
static void
test_recovers_gradually(void)
{
	SmsflowBreaker breaker = opened(0);
	int64_t now = breaker.open_until;
	int64_t begin = now;
	int window = 1;
	bool closed = false;

	while (!closed && now < begin + 60 * SECOND)
	{
		int allowed = smsflow_breaker_window(&breaker, now);

		CHECK(allowed == window || allowed == 2 * window);
		CHECK(allowed <= 2 << ((now - begin) / SMSFLOW_BREAKER_STEP));
		window = allowed;
		for (int i = 0; i < allowed && !closed; i++)
			closed = smsflow_breaker_success(&breaker, 64, now);
		now += 1000;
	}
	CHECK(closed);
	CHECK(now - begin >= 4 * SMSFLOW_BREAKER_STEP && now - begin < 10 * SMSFLOW_BREAKER_STEP);
	CHECK_EQ(smsflow_breaker_window(&breaker, now), INT_MAX);
	CHECK_EQ(breaker.trips, 0);
}

/* One failure while it recovers is enough. */
static void
test_fails_again(void)
{
	SmsflowBreaker breaker = opened(0);
	int64_t now = breaker.open_until;

	smsflow_breaker_success(&breaker, 64, now);
	CHECK_EQ(smsflow_breaker_state(&breaker, now), BREAKER_RECOVERING);
	CHECK(smsflow_breaker_failure(&breaker, 1, now + 1));
	CHECK_EQ(smsflow_breaker_state(&breaker, now + 1), BREAKER_OPEN);
	CHECK_EQ(breaker.trips, 2);
}

static void
test_asked_for(void)
{
	SmsflowBreaker breaker = {0};

	smsflow_breaker_open(&breaker, 30 * SECOND, 5);
	smsflow_breaker_open(&breaker, 10 * SECOND, 6);
	CHECK_EQ(breaker.open_until, 30 * SECOND + 5);
	smsflow_breaker_open(&breaker, 40 * SECOND, 6);
	CHECK_EQ(breaker.open_until, 40 * SECOND + 6);
	smsflow_breaker_reset(&breaker);
	CHECK_EQ(smsflow_breaker_window(&breaker, 7), INT_MAX);
}

/* Retry-After as gateways have it: reasonable, missing, negative, absurd. */
static void
test_throttle_pause(void)
{
	CHECK_EQ(smsflow_throttle_pause(1, 1), SECOND);
	CHECK_EQ(smsflow_throttle_pause(120, 9), 120 * SECOND);
	CHECK_EQ(smsflow_throttle_pause(3600, 1), 3600 * SECOND);
	CHECK_EQ(smsflow_throttle_pause(INT64_C(1000000000000), 1), 3600 * SECOND);
	CHECK_EQ(smsflow_throttle_pause(INT64_MAX, 1), 3600 * SECOND);
	CHECK_EQ(smsflow_throttle_pause(0, 1), 5 * SECOND);
	CHECK_EQ(smsflow_throttle_pause(-7, 1), 5 * SECOND);
	CHECK_EQ(smsflow_throttle_pause(INT64_MIN, 2), 10 * SECOND);
	CHECK_EQ(smsflow_throttle_pause(-1, 6), 160 * SECOND);
	CHECK_EQ(smsflow_throttle_pause(-1, INT_MAX), 300 * SECOND);
}

int
main(void)
{
	test_opens();
	test_answers_from_before();
	test_pauses();
	test_recovers_gradually();
	test_fails_again();
	test_asked_for();
	test_throttle_pause();
	return unit_report();
}
