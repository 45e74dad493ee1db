/*
 * test_histogram.c - quantiles of durations against the sorted list of them.
 */
#include <stdlib.h>

#include "histogram.h"
#include "unit.h"

#define COUNT 20000

static int64_t values[COUNT];

static int
compare(const void *a, const void *b)
{
	int64_t left = *(const int64_t *) a;
	int64_t right = *(const int64_t *) b;

	return left < right ? -1 : left > right;
}

/* A quantile is never below the true one, and at most a quarter above it. */
static void
check_quantiles(void)
{
	static const double shares[] = {0.01, 0.5, 0.95, 0.99, 1};
	SmsflowHistogram histogram = {{0}};

	for (int i = 0; i < COUNT; i++)
		smsflow_histogram_add(&histogram, values[i]);
	qsort(values, COUNT, sizeof(values[0]), compare);
	for (int i = 0; i < 5; i++)
	{
		int64_t truth = values[(int) (shares[i] * COUNT) - 1];
		int64_t found = smsflow_histogram_quantile(&histogram, shares[i]);

		CHECK(found >= truth);
		CHECK(found <= truth + truth / 4 + 16);
	}
}

static void
test_quantiles(void)
{
	uint64_t state = 1;

	for (int size = 10; size < 28; size++)
	{
		for (int i = 0; i < COUNT; i++)
		{
			state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			values[i] = (int64_t) (state >> 33) % (INT64_C(1) << size);
		}
		check_quantiles();
	}
}

static void
test_ends(void)
{
	SmsflowHistogram histogram = {{0}};
	SmsflowHistogram other = {{0}};

	CHECK_EQ(smsflow_histogram_quantile(&histogram, 0.5), -1);
	smsflow_histogram_add(&histogram, -5);
	CHECK_EQ(smsflow_histogram_quantile(&histogram, 0.99), 16);
	smsflow_histogram_add(&other, INT64_MAX);
	smsflow_histogram_merge(&histogram, &other);
	CHECK_EQ(smsflow_histogram_quantile(&histogram, 0.5), 16);
	CHECK(smsflow_histogram_quantile(&histogram, 1) > INT64_C(200) * 1000000);
}

int
main(void)
{
	test_quantiles();
	test_ends();
	return unit_report();
}
