/*
 * histogram.c - see histogram.h.
 */
#include "histogram.h"

#define SMALLEST_BITS 4 /* 16 microseconds */
#define STEPS 4         /* buckets to a doubling */

/* Everything up to the smallest is in bucket 0, everything past the largest in the last. */
static int
bucket_of(int64_t microseconds)
{
	int bits = SMALLEST_BITS;
	int bucket;

	if (microseconds < INT64_C(1) << SMALLEST_BITS)
		return 0;
	while (microseconds >> (bits + 1) != 0)
		bits++;

	/* The two bits below the highest tell the quarter. */
	bucket = 1 + (bits - SMALLEST_BITS) * STEPS + (int) ((microseconds >> (bits - 2)) & (STEPS - 1));
	return bucket < SMSFLOW_HISTOGRAM_BUCKETS ? bucket : SMSFLOW_HISTOGRAM_BUCKETS - 1;
}

static int64_t
upper_end(int bucket)
{
	int step = (bucket - 1) % STEPS;
	int bits = SMALLEST_BITS + (bucket - 1) / STEPS;

	if (bucket == 0)
		return INT64_C(1) << SMALLEST_BITS;
	return (INT64_C(1) << bits) + (step + 1) * (INT64_C(1) << (bits - 2));
}

void
smsflow_histogram_add(SmsflowHistogram *histogram, int64_t microseconds)
{
	histogram->bucket[bucket_of(microseconds)]++;
}

void
smsflow_histogram_merge(SmsflowHistogram *histogram, const SmsflowHistogram *other)
{
	for (int i = 0; i < SMSFLOW_HISTOGRAM_BUCKETS; i++)
		histogram->bucket[i] += other->bucket[i];
}

int64_t
smsflow_histogram_quantile(const SmsflowHistogram *histogram, double share)
{
	uint64_t total = 0;
	uint64_t seen = 0;

	for (int i = 0; i < SMSFLOW_HISTOGRAM_BUCKETS; i++)
		total += histogram->bucket[i];
	if (total == 0)
		return -1;
	for (int i = 0; i < SMSFLOW_HISTOGRAM_BUCKETS; i++)
	{
		seen += histogram->bucket[i];
		if ((double) seen >= share * (double) total)
			return upper_end(i);
	}
	return upper_end(SMSFLOW_HISTOGRAM_BUCKETS - 1);
}
