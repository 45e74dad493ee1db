/*
 * pattern.h: the subset of regular expressions that the numbering plans in data/regions.csv are written in.
 *
 * Understood: digits, \d, [...] with ranges, (...), (?:...), |, ?, {n}, {n,m} and a closing $. Patterns are compiled-in
 * constants, so their syntax is not checked at run time.
 */
#ifndef SMSFLOW_CORE_PATTERN_H
#define SMSFLOW_CORE_PATTERN_H

#include <stdbool.h>

/* Digits beyond this number are not looked at; longer texts never match. */
#define SMSFLOW_PATTERN_MAX_DIGITS 31

/* What the last capturing group matched: digits [start, end). start is -1 when the group took no part in the match. */
typedef struct SmsflowCapture
{
	int start;
	int end;
} SmsflowCapture;

/* Whether pattern matches all count digits. */
extern bool smsflow_pattern_matches(const char *pattern, const char *digits, int count);

/*
 * The length of the longest prefix of the digits that pattern matches, or -1 when it matches none. capture may be NULL.
 */
extern int smsflow_pattern_prefix(const char *pattern, const char *digits, int count, SmsflowCapture *capture);

#endif
