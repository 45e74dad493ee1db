/*
 * tally.h - how often something happened to somebody, by day, for the last 90 days.
 *
 * "Messages in the last 30 days" changes with every day that passes although nothing happens, so a count cannot be
 * stored; a list of all instants would grow without bound. A tally has one element per day on which something
 * happened, newest first: the day, counted from the earliest day anybody asks for, times 1024, plus the count of
 * that day, at most 1023. It is at most SMSFLOW_TALLY_DAYS long, and usually a few elements.
 *
 * Pure C11: no allocation, no I/O, no clock.
 */
#ifndef SMSFLOW_TALLY_H
#define SMSFLOW_TALLY_H

#include <stddef.h>
#include <stdint.h>

#define SMSFLOW_TALLY_DAYS 90

/*
 * Counts one more on a day (0 to 2097151; others change nothing). The tally has room for SMSFLOW_TALLY_DAYS elements,
 * len of them used; days that are SMSFLOW_TALLY_DAYS or more before its newest are forgotten. Returns the new length.
 */
extern size_t smsflow_tally_add(int32_t *tally, size_t len, int32_t day);

/* Sum of the counts after day `after`. */
extern int64_t smsflow_tally_since(const int32_t *tally, size_t len, int32_t after);

#endif /* SMSFLOW_TALLY_H */
