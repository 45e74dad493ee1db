/*
 * phone_plan.h: numbering plans, looked up by region or by the digits of an international number.
 *
 * Internal to the phone module. The facts are those of data/regions.csv.
 */
#ifndef SMSFLOW_CORE_PHONE_PLAN_H
#define SMSFLOW_CORE_PHONE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One row of data/regions.csv. Strings are patterns for pattern.h unless said otherwise; absent ones are empty. */
typedef struct PhonePlan
{
	char region[4]; /* ISO 3166 code, or 001 for a network that belongs to no country */
	int calling_code;
	const char *leading_digits; /* which national numbers of a shared calling code are this region's */
	const char *idd_prefix;     /* what is dialled before an international number */
	const char *trunk;          /* digits dialled before a national number, as written */
	const char *trunk_pattern;  /* what is cut from the front of a national number */
	const char *transform;      /* digits put before what trunk_pattern captured; NULL when the match is only cut */
	uint32_t lengths;           /* possible lengths of a national number, one bit each */
	const char *mobile_pattern;
	bool mobile_is_fixed; /* mobile and fixed lines share their ranges */
} PhonePlan;

typedef struct PhonePlans
{
	const PhonePlan *first; /* the main plan of the calling code */
	int count;              /* 0 when the calling code is not assigned */
} PhonePlans;

/* The plans of the calling code that the digits start with; *code_length is its number of digits. */
extern PhonePlans smsflow_plans_of_digits(const char *digits, int count, int *code_length);

/* The plan of a two-letter region, in either case, or NULL. */
extern const PhonePlan *smsflow_plan_of_region(const char *region);

#endif
