/*
 * instant.h - instants and their text form.
 *
 * An instant counts microseconds UTC since 2000-01-01T00:00:00Z without leap seconds, as PostgreSQL's timestamptz
 * does, so that a value passes between the two unchanged.  Dates are proleptic Gregorian.  Only the years 1 to 9999
 * are valid: they are what ISO 8601 writes with four digits, and no consent is older or younger.
 *
 * Pure C11: no clock, no allocation.
 */
#ifndef SMSFLOW_INSTANT_H
#define SMSFLOW_INSTANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The instant of what never happened; it is earlier than every valid instant. */
#define SMSFLOW_NEVER INT64_MIN

#define SMSFLOW_INSTANT_MIN INT64_C(-63082281600000000) /* 0001-01-01T00:00:00Z */
#define SMSFLOW_INSTANT_MAX INT64_C(252455615999999999) /* 9999-12-31T23:59:59.999999Z */

/* Room for the longest text form, 2026-02-01T08:00:00.123456Z, and a zero byte. */
#define SMSFLOW_INSTANT_TEXT_SIZE 28

static inline bool
smsflow_instant_is_valid(int64_t instant)
{
	return instant >= SMSFLOW_INSTANT_MIN && instant <= SMSFLOW_INSTANT_MAX;
}

/*
 * smsflow_instant_format writes a valid instant as ISO 8601 in UTC, without trailing zeros in the fraction, and a zero
 * byte.  Returns the length.
 */
extern size_t smsflow_instant_format(int64_t instant, char out[SMSFLOW_INSTANT_TEXT_SIZE]);

/*
 * smsflow_instant_parse reads an instant, YYYY-MM-DDTHH:MM:SS[.f]Z with 1 to 6 digits f, at the beginning of text.
 * Returns how many bytes it took, or 0 if there is no such instant.
 */
extern size_t smsflow_instant_parse(const char *text, size_t len, int64_t *instant);

/*
 * smsflow_instant_read reads the whole text as an instant in one of the forms that gateways write: seconds (9 or 10
 * digits) or milliseconds (12 or 13) since 1970, or date and time of day with "T" or a space between them, an optional
 * fraction, and nothing (UTC), Z, or an offset with or without its colon.
 */
extern bool smsflow_instant_read(const char *text, size_t len, int64_t *instant);

#endif /* SMSFLOW_INSTANT_H */
