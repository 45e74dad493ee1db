/*
 * gate.h - the parts of the gate among themselves: gate.c decides, caps.c knows
 * how often somebody was written to, hours.c when it may be done.
 */
#ifndef SMSFLOW_GATE_H
#define SMSFLOW_GATE_H

#include "postgres.h"

#include "fmgr.h"
#include "pgtime.h"
#include "utils/timestamp.h"

#include "core/consent.h"
#include "core/purpose.h"
#include "message/policy.h"

#define GATE_MAX_PLACES 8

/* What somebody has to do, a registration or a missing key, is looked at again after this time. */
#define GATE_OTHERS_RETRY (15 * USECS_PER_MINUTE)

/* The order of the arguments of smsflow.gate(). */
enum
{
	ARG_CONTACT_ID,
	ARG_PHONE,
	ARG_CONSENT,
	ARG_PURPOSE,
	ARG_REGION,
	ARG_TIME_ZONE,
	ARG_TIME_ZONE_SOURCE,
	ARG_REACHABILITY,
	ARG_MESSAGE_ID,
	ARG_SUBJECT,
	ARG_REF,
	ARG_SENDER_KIND,
	ARG_SENDER_REGISTRATION,
	ARG_SENDER_OPTIONS,
	ARG_AT,
	ARG_BRAND_ID,
	ARG_SOURCE_OPTIONS, /* of the campaign or sequence */
	ARG_BODY,
	ARG_SUPPRESSED,
	ARG_COUNT
};

typedef struct GateQuestion
{
	SmsflowPolicy *policy;
	FunctionCallInfo args;
	int64 phone;
	SmsflowPurpose purpose;
	SmsflowLevel level;
	TimestampTz at;
	const char *absence;             /* why there is nobody to write to, NULL: there is */
	const char *country;             /* of the number, "" when unknown */
	SmsflowJurisdiction *everywhere; /* "*", may be NULL */
	SmsflowJurisdiction *places[GATE_MAX_PLACES];
	int place_count;
	pg_tz *zones[SMSFLOW_ZONES_MAX];
	int zone_count;
} GateQuestion;

typedef struct GateDecision
{
	const char *reason;     /* NULL: may leave */
	TimestampTz retry_at;   /* DT_NOBEGIN: no time heals it */
	TimestampTz open_until; /* DT_NOEND: no window closes */
} GateDecision;

/* The decision on the arguments of smsflow.gate(); phone, purpose and instant are not NULL. */
extern GateDecision smsflow_gate_ask(FunctionCallInfo arguments);

/* Arguments of the SQL function that asks. */
extern bool smsflow_gate_has_arg(const GateQuestion *q, int n);
extern char *smsflow_gate_text_arg(const GateQuestion *q, int n);
extern bool smsflow_gate_text_arg_is(const GateQuestion *q, int n, const char *text);

/* Keeps the latest of the instants at which asking again is worth it. */
extern void smsflow_gate_hold(GateDecision *decision, const char *reason, TimestampTz until);

/* What the frequency caps and the rule of one reminder per cart say. */
extern void smsflow_gate_decide_caps(const GateQuestion *q, GateDecision *decision);

/* SMSFLOW_CAP_CHECKED or SMSFLOW_CAP_COUNTS among the options of a campaign or sequence (jsonb); -1: not said. */
extern int smsflow_cap_flag(NullableDatum options, const char *name);

/* Whether the text lacks the words on opting out that are due by now. */
extern bool smsflow_gate_wording_missing(const GateQuestion *q);

/* Whether a STOP of this number is kept and waits for its contact, by the active snapshot (stop_waits.c). */
extern bool smsflow_stop_waits(int64 phone);

/* What quiet hours say, from the instant on that the caps allow. */
extern void smsflow_gate_decide_hours(GateQuestion *q, GateDecision *decision);

#endif
