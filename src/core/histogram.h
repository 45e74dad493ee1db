/*
 * histogram.h - how long things took, in buckets of equal ratio: four to each
 * doubling, so that a quantile is known to about a tenth, whatever its size,
 * in a fixed few hundred bytes. Pure C11.
 */
#ifndef SMSFLOW_HISTOGRAM_H
#define SMSFLOW_HISTOGRAM_H

#include <stdint.h>

/* From 16 microseconds to about four and a half minutes. */
#define SMSFLOW_HISTOGRAM_BUCKETS 97

typedef struct SmsflowHistogram
{
	uint32_t bucket[SMSFLOW_HISTOGRAM_BUCKETS];
} SmsflowHistogram;

extern void smsflow_histogram_add(SmsflowHistogram *histogram, int64_t microseconds);

/* Adds the counts of other. */
extern void smsflow_histogram_merge(SmsflowHistogram *histogram, const SmsflowHistogram *other);

/*
 * Upper end, in microseconds, of the bucket below which this share (0 to 1) of
 * the durations lie; -1 when there are none.
 */
extern int64_t smsflow_histogram_quantile(const SmsflowHistogram *histogram, double share);

#endif
