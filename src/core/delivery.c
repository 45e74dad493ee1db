/*
 * delivery.c - see delivery.h. The transition table is the one place that says
 * how a message moves; the view smsflow.message and the worker both read it.
 */
#include "delivery.h"

#include <string.h>

#define S STATUS_SCHEDULED
#define Q STATUS_QUEUED
#define H STATUS_HELD
#define G STATUS_SENDING
#define I STATUS_IN_DOUBT
#define A STATUS_ACCEPTED
#define U STATUS_UNKNOWN
#define P STATUS_SUPPRESSED
#define C STATUS_CANCELLED
#define E STATUS_EXPIRED
#define R STATUS_REJECTED
#define F STATUS_UNDELIVERED
#define D STATUS_DELIVERED

/*
 * A report about a message that still waits is proof that a lost primary sent
 * it, so it moves the message too. A final state changes only to delivered,
 * and only from the states that say "we do not know that it arrived". Doubt is
 * left by an answer or a report, and not by trying once more.
 */
static const unsigned char transitions[SMSFLOW_STATUSES][SMSFLOW_OBSERVATIONS] = {
	/* SCHEDULE HOLD RETRY CLAIM ACCEPT REJECT DOUBT SUPPRESS CANCEL EXPIRE | ACCEPTED DELIVERED UNDELIVERED EXPIRED REJECTED UNKNOWN */
	[STATUS_SCHEDULED] = {S, H, Q, G, A, R, I, P, C, E, A, D, F, E, R, U},
	[STATUS_QUEUED] = {S, H, Q, G, A, R, I, P, C, E, A, D, F, E, R, U},
	[STATUS_HELD] = {S, H, Q, G, A, R, I, P, C, E, A, D, F, E, R, U},
	[STATUS_SENDING] = {S, H, Q, G, A, R, I, P, C, E, A, D, F, E, R, U},
	[STATUS_IN_DOUBT] = {I, I, I, I, A, R, I, I, I, I, A, D, F, E, R, U},
	[STATUS_ACCEPTED] = {A, A, A, A, A, A, A, A, A, A, A, D, F, E, R, U},
	[STATUS_UNKNOWN] = {U, U, U, U, U, U, U, U, U, U, U, D, U, U, U, U},
	[STATUS_SUPPRESSED] = {P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P},
	[STATUS_CANCELLED] = {C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C},
	[STATUS_EXPIRED] = {E, E, E, E, E, E, E, E, E, E, E, D, E, E, E, E},
	[STATUS_REJECTED] = {R, R, R, R, R, R, R, R, R, R, R, R, R, R, R, R},
	[STATUS_UNDELIVERED] = {F, F, F, F, F, F, F, F, F, F, F, D, F, F, F, F},
	[STATUS_DELIVERED] = {D, D, D, D, D, D, D, D, D, D, D, D, D, D, D, D},
};

#undef S
#undef Q
#undef H
#undef G
#undef I
#undef A
#undef U
#undef P
#undef C
#undef E
#undef R
#undef F
#undef D

static const char *const status_names[SMSFLOW_STATUSES] = {"scheduled", "queued",      "held",       "sending",   "in_doubt",
														   "accepted",  "unknown",     "suppressed", "cancelled", "expired",
														   "rejected",  "undelivered", "delivered"};

static const char *const class_names[SMSFLOW_CLASSES] = {NULL,        "undeliverable", "opted_out", "filtered",
														 "temporary", "throttled",     "expired",   "configuration",
														 "invalid",   "ambiguous",     "unknown"};

SmsflowStatus
smsflow_status_after(SmsflowStatus status, SmsflowObservation seen)
{
	return (SmsflowStatus) transitions[status][seen];
}

const char *
smsflow_status_name(SmsflowStatus status)
{
	return status_names[status];
}

bool
smsflow_status_from_name(const char *name, SmsflowStatus *status)
{
	for (int i = 0; i < SMSFLOW_STATUSES; i++)
		if (strcmp(name, status_names[i]) == 0)
		{
			*status = (SmsflowStatus) i;
			return true;
		}
	return false;
}

bool
smsflow_status_is_pending(SmsflowStatus status)
{
	return status <= STATUS_SENDING;
}

const char *
smsflow_class_name(SmsflowClass class)
{
	return class_names[class];
}

bool
smsflow_class_from_name(const char *name, SmsflowClass *class)
{
	for (int i = 1; i < SMSFLOW_CLASSES; i++)
		if (strcmp(name, class_names[i]) == 0)
		{
			*class = (SmsflowClass) i;
			return true;
		}
	return false;
}

SmsflowClass
smsflow_class_of_status(int status, bool retry_after)
{
	switch (status)
	{
		case 401:
		case 402:
		case 403:
		case 407:
			return CLASS_CONFIGURATION;
		case 408:
			return CLASS_AMBIGUOUS;
		case 429:
			return CLASS_THROTTLED;
		case 503:
			return retry_after ? CLASS_THROTTLED : CLASS_AMBIGUOUS;
		default:
			break;
	}
	/* A redirect is never followed: the secret would go to another host. */
	if (status >= 300 && status < 400)
		return CLASS_CONFIGURATION;
	if (status >= 400 && status < 500)
		return CLASS_INVALID;
	return CLASS_AMBIGUOUS;
}

SmsflowDecision
smsflow_decide(SmsflowClass class)
{
	switch (class)
	{
		case CLASS_TEMPORARY:
			return DECIDE_RETRY;
		case CLASS_THROTTLED:
		case CLASS_CONFIGURATION:
			return DECIDE_HOLD;
		case CLASS_AMBIGUOUS:
		case CLASS_UNKNOWN:
			return DECIDE_DOUBT;
		default:
			return DECIDE_REJECT;
	}
}

SmsflowDoubtRule
smsflow_doubt_rule_from_name(const char *name)
{
	if (strcmp(name, "resend") == 0)
		return DOUBT_RULE_RESEND;
	return strcmp(name, "poll") == 0 ? DOUBT_RULE_POLL : DOUBT_RULE_HOLD;
}

SmsflowDoubt
smsflow_doubt_policy(SmsflowPurpose purpose, int attempt, SmsflowDoubtRule rule)
{
	switch (purpose)
	{
		case SMSFLOW_PURPOSE_OTP:
			return attempt < 2 ? DOUBT_RESEND : DOUBT_KEEP;
		case SMSFLOW_PURPOSE_COMPLIANCE:
		case SMSFLOW_PURPOSE_TRANSACTIONAL:
			if (rule == DOUBT_RULE_POLL)
				return DOUBT_KEEP;
			if (rule == DOUBT_RULE_RESEND)
				return attempt < SMSFLOW_MAX_RESENDS ? DOUBT_RESEND : DOUBT_KEEP;
			return attempt < 2 ? DOUBT_RESEND_LATER : DOUBT_KEEP;
		default:
			return DOUBT_KEEP;
	}
}

int64_t
smsflow_backoff(int attempt, uint64_t seed)
{
	const int64_t second = 1000000;
	int64_t wait = 2 * second;

	for (int i = 1; i < attempt && wait < 600 * second; i++)
		wait *= 2;
	if (wait > 600 * second)
		wait = 600 * second;

	/* A multiplicative hash spreads consecutive message ids evenly. */
	seed = (seed + (uint64_t) attempt) * UINT64_C(0x9E3779B97F4A7C15);
	return wait - wait / 4 + (int64_t) ((seed >> 33) % (uint64_t) (wait / 2 + 1));
}

static SmsflowNext
next_in_doubt(SmsflowPurpose purpose, int attempt, SmsflowDoubtRule rule, uint64_t seed)
{
	switch (smsflow_doubt_policy(purpose, attempt, rule))
	{
		case DOUBT_RESEND:
			return (SmsflowNext){AGAIN_RESEND, smsflow_backoff(1, seed)};
		case DOUBT_RESEND_LATER:
			return (SmsflowNext){AGAIN_RESEND_LATER, SMSFLOW_DOUBT_GRACE * INT64_C(1000000)};
		case DOUBT_KEEP:
			break;
	}
	return (SmsflowNext){AGAIN_NEVER, 0};
}

SmsflowNext
smsflow_next(SmsflowDecision decision, SmsflowPurpose purpose, int attempt, SmsflowDoubtRule rule, int64_t pause, uint64_t seed)
{
	switch (decision)
	{
		case DECIDE_RETRY:
			return (SmsflowNext){AGAIN_RETRY, smsflow_backoff(attempt, seed)};
		case DECIDE_HOLD:
			return (SmsflowNext){AGAIN_WITH_ROUTE, pause};
		case DECIDE_DOUBT:
			return next_in_doubt(purpose, attempt, rule, seed);
		case DECIDE_REJECT:
			break;
	}
	return (SmsflowNext){AGAIN_NEVER, 0};
}

bool
smsflow_doubt_remains(bool was_in_doubt, bool accepted)
{
	return was_in_doubt && !accepted;
}

SmsflowStart
smsflow_may_start(bool revoked, int64_t expires_at, int64_t open_until, int64_t margin, int64_t now)
{
	if (revoked)
		return START_ASK_GATE;
	if (expires_at <= now)
		return START_EXPIRED;
	/* An open end is the latest instant there is: nothing may be added to it. */
	return open_until - margin <= now ? START_WINDOW_ENDED : START_NOW;
}

bool
smsflow_lost_in_doubt(bool journal_trusted, bool journal_marked)
{
	return !journal_trusted || journal_marked;
}
