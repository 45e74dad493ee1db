/*
 * unit.h - the checks of the unit tests.
 *
 * A test program includes this header once, calls CHECK and CHECK_EQ, and returns unit_report() from main.  A check that
 * fails prints where it stands and lets the program go on, so that one run shows everything that is broken.
 */
#ifndef SMSFLOW_UNIT_H
#define SMSFLOW_UNIT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

static int unit_passed;
static int unit_failed;

static inline bool
unit_check(bool ok, const char *file, int line, const char *text)
{
	if (ok)
		unit_passed++;
	else
	{
		unit_failed++;
		printf("%s:%d: failed: %s\n", file, line, text);
	}
	return ok;
}

static inline void
unit_check_eq(int64_t actual, int64_t expected, const char *file, int line, const char *text)
{
	if (!unit_check(actual == expected, file, line, text))
		printf("\tis %lld, should be %lld\n", (long long) actual, (long long) expected);
}

/* unit_report prints the totals and returns the exit code of the program. */
static inline int
unit_report(void)
{
	printf("%d passed, %d failed\n", unit_passed, unit_failed);
	return unit_failed > 0;
}

#define CHECK(condition) ((void) unit_check((condition), __FILE__, __LINE__, #condition))

/* CHECK_EQ compares two integers, the actual one first. */
#define CHECK_EQ(actual, expected)                                                                                               \
	unit_check_eq((int64_t) (actual), (int64_t) (expected), __FILE__, __LINE__, #actual " == " #expected)

#endif /* SMSFLOW_UNIT_H */
