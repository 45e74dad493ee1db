/*
 * phone.h: telephone numbers as 64-bit integers.
 *
 * A number is its E.164 digits (calling code first, at most 15, ITU-T E.164) read as one integer: 14155552671 for
 * +1 415 555 2671. No calling code begins with 0, so nothing is lost. Functions that take a phone accept any int64: what
 * is no number has no text, no region and no kind.
 *
 * A numbering plan tells what a number can be, not whether a line exists or where its owner is.
 */
#ifndef SMSFLOW_CORE_PHONE_H
#define SMSFLOW_CORE_PHONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "+", 15 digits and the closing NUL. */
#define SMSFLOW_PHONE_BUFSIZE 17

typedef enum SmsflowPhoneError
{
	PHONE_OK = 0,
	PHONE_EMPTY,           /* no digits at all */
	PHONE_BAD_CHARACTER,   /* neither digit nor separator, or not UTF-8 */
	PHONE_HAS_LETTERS,     /* vanity numbers are refused rather than guessed */
	PHONE_NO_COUNTRY,      /* national, and no region to read it in */
	PHONE_UNKNOWN_COUNTRY, /* no such calling code is assigned */
	PHONE_UNKNOWN_REGION,  /* the region argument is no region with a numbering plan */
	PHONE_TOO_SHORT,
	PHONE_TOO_LONG,      /* more than 15 digits, or more than the plan allows */
	PHONE_NOT_ASSIGNABLE /* see smsflow_phone_assignable() */
} SmsflowPhoneError;

typedef enum SmsflowPhoneKind
{
	PHONE_KIND_UNKNOWN,
	PHONE_KIND_MOBILE,
	PHONE_KIND_FIXED,          /* outside every mobile range: a land line, a service or not assigned */
	PHONE_KIND_FIXED_OR_MOBILE /* the plan does not tell them apart, as in the US and Canada */
} SmsflowPhoneKind;

/*
 * Reads an international number: "+" and 7 to 15 digits that start with an assigned calling code. Spaces . - / ( ) and their
 * Unicode forms, invisible marks, the full-width plus and all decimal digits of the BMP are understood; "(0)" after a
 * calling code whose trunk prefix is 0 is dropped. The length is not held against the numbering plan: see
 * smsflow_phone_possible(). *phone is set on PHONE_OK only.
 */
extern SmsflowPhoneError smsflow_phone_parse(const char *text, size_t len, int64_t *phone);

/*
 * Reads what a person in region (two letters; NULL for none) would write: an international number, one with the region's
 * prefix for international calls, or a national one with or without its trunk prefix. Understands "tel:" URIs (RFC 3966),
 * drops an extension ("ext. 89", "x89", "#89"), and refuses lengths that the numbering plan does not have.
 */
extern SmsflowPhoneError smsflow_phone_parse_national(const char *text, size_t len, const char *region, int64_t *phone);

/* A lower-case phrase for the DETAIL of an error message; never contains the number. */
extern const char *smsflow_phone_error_text(SmsflowPhoneError error);

/* Whether an integer could have come from smsflow_phone_parse(): for values that arrive in binary form. */
extern bool smsflow_phone_valid(int64_t phone);

/* Writes "+14155552671" to buf of SMSFLOW_PHONE_BUFSIZE; returns its length, 0 when phone is not 1 to 15 digits. */
extern size_t smsflow_phone_format(int64_t phone, char *buf);

/* As smsflow_phone_format(), with at least four digits hidden: "+1415*****71". For logs and error messages. */
extern size_t smsflow_phone_mask(int64_t phone, char *buf);

/*
 * The ISO 3166 region, "001" for networks of no country, NULL when unknown. Calling codes with several regions are resolved by
 * area code (+1), by leading digits, or by the mobile ranges; else the main region is taken.
 */
extern const char *smsflow_phone_region(int64_t phone);

extern SmsflowPhoneKind smsflow_phone_kind(int64_t phone);

/* Whether the number is as long as numbers of its plan can be. */
extern bool smsflow_phone_possible(int64_t phone);

/*
 * Whether a phone can have the number: as long as its plan has them and, with +1, an area code and an exchange that begin
 * with 2 to 9 (North American Numbering Plan).
 */
extern bool smsflow_phone_assignable(int64_t phone);

/*
 * The IANA time zones an area code of +1 lies in, *count of them; 0 and NULL elsewhere. People keep numbers when they move: an
 * address is better evidence.
 */
extern const char *const *smsflow_phone_time_zones(int64_t phone, int *count);

/* "US-NJ" for an area code of +1 that lies in one state or province, else NULL. */
extern const char *smsflow_phone_state(int64_t phone);

#endif
