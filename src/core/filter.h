/*
 * filter.h - what templates do to a value: {{name|title}}, {{total|money:EUR}}, {{title|truncate:30}}.
 *
 * Pure C11: no allocation, no I/O. Text is UTF-8.
 */
#ifndef SMSFLOW_FILTER_H
#define SMSFLOW_FILTER_H

#include <stdbool.h>
#include <stddef.h>

/* The most that a filter reads of a value and writes; what is longer is cut between two characters. */
#define SMSFLOW_FILTER_BYTES 1024

typedef enum SmsflowFilter
{
	SMSFLOW_FILTER_NONE,
	SMSFLOW_FILTER_UPPER,    /* capital letters */
	SMSFLOW_FILTER_TITLE,    /* Words That Begin With A Capital Letter; a text all in capitals is written small first */
	SMSFLOW_FILTER_TRUNCATE, /* truncate:N, at most N characters (1 to 500), "..." among them, rather between two words */
	SMSFLOW_FILTER_MONEY,    /* money or money:EUR: a number with the decimals of the currency */
	SMSFLOW_FILTER_DATE,     /* date or date:FORMAT: done by a callback, because time zones are */
	SMSFLOW_FILTER_LINK      /* done by a callback */
} SmsflowFilter;

/* smsflow_filter_named returns the filter of a name, NONE if there is none. */
extern SmsflowFilter smsflow_filter_named(const char *name, size_t len);

/* smsflow_filter_accepts tells whether a filter takes an argument; len is 0 for none. */
extern bool smsflow_filter_accepts(SmsflowFilter filter, const char *argument, size_t len);

/*
 * smsflow_filter_apply writes what a filter makes of a value and returns its length; out has room for
 * SMSFLOW_FILTER_BYTES. Not for DATE and LINK. What is no number stays as it is under MONEY.
 */
extern size_t smsflow_filter_apply(SmsflowFilter filter, const char *argument, size_t argument_len, const char *value, size_t len,
								   char *out);

#endif /* SMSFLOW_FILTER_H */
