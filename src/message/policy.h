/*
 * policy.h - smsflow.policy_rule in memory, made ready for the gate.
 *
 * The rules in force at an instant are compiled once into one structure per jurisdiction, and kept until somebody changes
 * the table or a rule begins or ends to be in force. Pointers stay good until the next call of smsflow_policy_at().
 */
#ifndef SMSFLOW_POLICY_H
#define SMSFLOW_POLICY_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "pgtime.h"

#include "core/consent.h"
#include "core/purpose.h"
#include "core/window.h"

#define SMSFLOW_ZONES_MAX 16
#define SMSFLOW_JURISDICTION_SIZE 8

/* At most limit messages in a rolling span of microseconds; limit 0: none. */
typedef struct SmsflowCap
{
	int limit;
	int64 span;
} SmsflowCap;

/* What may have a flag of its own among the options of a campaign or sequence. */
#define SMSFLOW_CAP_CHECKED "cap_checked"
#define SMSFLOW_CAP_COUNTS "cap_counts"

typedef struct SmsflowTimes
{
	SmsflowWindow *window; /* NULL: this jurisdiction says nothing */
	bool except_holidays;
} SmsflowTimes;

typedef struct SmsflowJurisdiction
{
	char name[SMSFLOW_JURISDICTION_SIZE];
	int level[SMSFLOW_PURPOSES]; /* SmsflowLevel, -1 says nothing */
	SmsflowTimes strict[SMSFLOW_PURPOSES];
	SmsflowTimes consented[SMSFLOW_PURPOSES];
	bool windowed[SMSFLOW_PURPOSES];
	SmsflowCap cap[SMSFLOW_PURPOSES];
	SmsflowCap subject_cap[SMSFLOW_PURPOSES];
	bool cart_once;
	int64 cart_within; /* microseconds, 0: says nothing */
	bool registration;
	SmsflowHoliday *holidays;
	int holiday_count;
	pg_tz *zones[SMSFLOW_ZONES_MAX];
	int zone_count;

	/* Remembered by the gate: whether a day is a holiday here. */
	int64 day;
	bool day_is_holiday;
} SmsflowJurisdiction;

/* A cap for members of a segment. */
typedef struct SmsflowSegmentCap
{
	SmsflowJurisdiction *where;
	SmsflowPurpose purpose;
	bool same_subject;
	SmsflowCap cap;
	char *segment;
} SmsflowSegmentCap;

typedef struct SmsflowPolicy
{
	MemoryContext context; /* NULL: nothing loaded */
	Oid touch_relid;       /* smsflow.touch and its indexes */
	Oid contact_index;
	Oid cart_index;
	Oid run_relid; /* smsflow.touch_run and its index */
	Oid run_index;
	TimestampTz valid_from;
	TimestampTz valid_until;
	SmsflowJurisdiction *jurisdictions; /* sorted by name */
	int count;
	bool has_windows;
	bool has_registration;
	bool counts[SMSFLOW_PURPOSES]; /* uses up the caps */
	bool cap_unchecked[SMSFLOW_PURPOSES];
	bool capped[SMSFLOW_PURPOSES];    /* some cap may stop it */
	bool consented[SMSFLOW_PURPOSES]; /* the profile of the purpose */
	bool brand_named[SMSFLOW_PURPOSES];
	bool opt_out_wording[SMSFLOW_PURPOSES]; /* in every text */
	int64 wording_span[SMSFLOW_PURPOSES];   /* once in so many microseconds, 0: no such rule */
	SmsflowSegmentCap *segment_caps;
	int segment_cap_count;
	int max_parts;
	char **shorteners;
	int shortener_count;
	struct HoursMemo *hours; /* remembered by the gate, of these rules */
} SmsflowPolicy;

/* The rules in force at an instant. Opens SPI by itself. */
extern SmsflowPolicy *smsflow_policy_at(TimestampTz at);

/*
 * Reads the rules anew at the next look. Somebody who is told of a change at
 * its commit may be faster than the invalidation, which is sent after that.
 */
extern void smsflow_policy_forget(void);

/* The rules of one jurisdiction, NULL when it has none. */
extern SmsflowJurisdiction *smsflow_policy_find(const SmsflowPolicy *policy, const char *name);

/* Whether a cap may stop messages of a purpose: then one at a time is on its way to a contact. */
extern bool smsflow_policy_is_capped(SmsflowPurpose purpose);

/*
 * What a text says against the rules for its purpose: too_long, public_shortener, brand_missing or
 * opt_out_wording_missing; NULL when nothing. Raises SF007 for a text that is not valid.
 */
extern const char *smsflow_content_refusal(const char *body, SmsflowPurpose purpose, const char *brand);

/* Whether one of the words that tell how to opt out stands in a text. */
extern bool smsflow_has_opt_out_wording(const char *body, size_t len);

/* Whether a name stands in a text, in capitals or not. */
extern bool smsflow_text_names(const char *text, const char *name);

/* Whether messages of a purpose use up the caps, unless their campaign or sequence says otherwise. */
extern bool smsflow_policy_counts(SmsflowPurpose purpose);

/* Whether some cap is for members of a segment. */
extern bool smsflow_policy_has_segments(void);

/* "10 per 7 days": limit and span, false when the text is none. */
extern bool smsflow_cap_parse(const char *text, SmsflowCap *cap);

/* "48 hours": a positive number of minutes, hours or days in microseconds; 0 when the text is none. */
extern int64 smsflow_policy_span(const char *text);

#endif
