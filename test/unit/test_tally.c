/*
 * test_tally.c - counts by day: what is added is counted, what is old is forgotten, and no order of days breaks it.
 */
#include "tally.h"
#include "unit.h"

static void
test_counts(void)
{
	int32_t tally[SMSFLOW_TALLY_DAYS];
	size_t len = 0;

	len = smsflow_tally_add(tally, len, 100);
	len = smsflow_tally_add(tally, len, 100);
	len = smsflow_tally_add(tally, len, 95);
	len = smsflow_tally_add(tally, len, 102);
	CHECK_EQ(len, 3);
	CHECK_EQ(smsflow_tally_since(tally, len, 101), 1);
	CHECK_EQ(smsflow_tally_since(tally, len, 99), 3);
	CHECK_EQ(smsflow_tally_since(tally, len, 0), 4);
	CHECK_EQ(smsflow_tally_since(tally, len, 102), 0);
	CHECK_EQ(smsflow_tally_since(tally, 0, 0), 0);
}

static void
test_limits(void)
{
	int32_t tally[SMSFLOW_TALLY_DAYS];
	size_t len = 0;

	for (int i = 0; i < 2000; i++)
		len = smsflow_tally_add(tally, len, 7);
	CHECK_EQ(len, 1);
	CHECK_EQ(smsflow_tally_since(tally, len, 6), 1023);
	CHECK_EQ(smsflow_tally_add(tally, len, -1), 1);
	CHECK_EQ(smsflow_tally_add(tally, len, INT32_MAX), 1);
	CHECK_EQ(smsflow_tally_add(tally, len, INT32_MAX / 1024), 1);
	CHECK_EQ(smsflow_tally_since(tally, 1, 7), 1);
}

/* Every day of a year, forwards, and days of long ago in between. */
static void
test_window(void)
{
	int32_t tally[SMSFLOW_TALLY_DAYS];
	size_t len = 0;

	for (int32_t day = 1000; day < 1365; day++)
	{
		len = smsflow_tally_add(tally, len, day);
		len = smsflow_tally_add(tally, len, day - SMSFLOW_TALLY_DAYS);
		CHECK(len <= SMSFLOW_TALLY_DAYS);
		CHECK_EQ(smsflow_tally_since(tally, len, day - 1), 1);
	}
	CHECK_EQ(len, SMSFLOW_TALLY_DAYS);
	CHECK_EQ(smsflow_tally_since(tally, len, 0), SMSFLOW_TALLY_DAYS);
	CHECK_EQ(smsflow_tally_since(tally, len, 1364 - 30), 30);
}

static void
test_backwards(void)
{
	int32_t tally[SMSFLOW_TALLY_DAYS];
	size_t len = 0;

	for (int32_t day = 500; day > 300; day--)
		len = smsflow_tally_add(tally, len, day);
	CHECK_EQ(len, SMSFLOW_TALLY_DAYS);
	CHECK_EQ(smsflow_tally_since(tally, len, 493), 7);
}

int
main(void)
{
	test_counts();
	test_limits();
	test_window();
	test_backwards();
	return unit_report();
}
