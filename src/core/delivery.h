/*
 * delivery.h - the life of a message: its states, what moves it from one to
 * another, and what a failure means.
 *
 * Proof of what was on the wire decides, never guesswork: what surely was not
 * sent may be tried again, a definite refusal is final, and what may have been
 * sent is in doubt and is sent again only where its purpose allows it.
 *
 * Pure C11.
 */
#ifndef SMSFLOW_DELIVERY_H
#define SMSFLOW_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "purpose.h"

/* Order and names are those of the SQL enum smsflow.message_status. */
typedef enum SmsflowStatus
{
	STATUS_SCHEDULED,
	STATUS_QUEUED,
	STATUS_HELD,
	STATUS_SENDING,
	STATUS_IN_DOUBT,
	STATUS_ACCEPTED,
	STATUS_UNKNOWN,
	STATUS_SUPPRESSED,
	STATUS_CANCELLED,
	STATUS_EXPIRED,
	STATUS_REJECTED,
	STATUS_UNDELIVERED,
	STATUS_DELIVERED
} SmsflowStatus;

#define SMSFLOW_STATUSES 13

/* What can be learnt about a message. */
typedef enum SmsflowObservation
{
	SEEN_SCHEDULE, /* a timer until send_at */
	SEEN_HOLD,     /* a timer for another reason */
	SEEN_RETRY,    /* surely not sent, will be tried again */
	SEEN_CLAIM,
	SEEN_ACCEPT, /* the gateway took it */
	SEEN_REJECT, /* the gateway refused it for good */
	SEEN_DOUBT,  /* may have been sent */
	SEEN_SUPPRESS,
	SEEN_CANCEL,
	SEEN_EXPIRE,          /* its time was over before it was sent */
	SEEN_REPORT_ACCEPTED, /* from here on: delivery reports */
	SEEN_REPORT_DELIVERED,
	SEEN_REPORT_UNDELIVERED,
	SEEN_REPORT_EXPIRED,
	SEEN_REPORT_REJECTED,
	SEEN_REPORT_UNKNOWN
} SmsflowObservation;

#define SMSFLOW_OBSERVATIONS 16

/* The status after an observation; the same status when it changes nothing. */
extern SmsflowStatus smsflow_status_after(SmsflowStatus status, SmsflowObservation seen);

extern const char *smsflow_status_name(SmsflowStatus status);
extern bool smsflow_status_from_name(const char *name, SmsflowStatus *status);

/* scheduled, queued, held and sending: not yet decided, one gauge in the metrics. */
extern bool smsflow_status_is_pending(SmsflowStatus status);

/* What a failure means; names are those of smsflow.error_code.class. */
typedef enum SmsflowClass
{
	CLASS_NONE,
	CLASS_UNDELIVERABLE,
	CLASS_OPTED_OUT,
	CLASS_FILTERED,
	CLASS_TEMPORARY,
	CLASS_THROTTLED,
	CLASS_EXPIRED,
	CLASS_CONFIGURATION,
	CLASS_INVALID,
	CLASS_AMBIGUOUS,
	CLASS_UNKNOWN
} SmsflowClass;

#define SMSFLOW_CLASSES 11

extern const char *smsflow_class_name(SmsflowClass class); /* NULL for CLASS_NONE */
extern bool smsflow_class_from_name(const char *name, SmsflowClass *class);

typedef enum SmsflowWire
{
	WIRE_NONE,
	WIRE_MAYBE,
	WIRE_YES
} SmsflowWire;

/* Class of an HTTP status that no rule of the profile explains. */
extern SmsflowClass smsflow_class_of_status(int status, bool retry_after);

/* What is done with a message after a try. */
typedef enum SmsflowDecision
{
	DECIDE_REJECT, /* final */
	DECIDE_RETRY,  /* surely not sent: again after a back-off, until it expires */
	DECIDE_HOLD,   /* surely not sent: again when the route, now paused, is open */
	DECIDE_DOUBT   /* may have been sent */
} SmsflowDecision;

extern SmsflowDecision smsflow_decide(SmsflowClass class);

/* What is done with a message that may have been sent. */
typedef enum SmsflowDoubt
{
	DOUBT_KEEP,        /* never again by itself */
	DOUBT_RESEND,      /* again at once: the gateway removes repeats */
	DOUBT_RESEND_LATER /* once more if no report comes within the grace */
} SmsflowDoubt;

/* What a gateway offers for a message in doubt; names are those of gateway_profile.in_doubt. */
typedef enum SmsflowDoubtRule
{
	DOUBT_RULE_HOLD,   /* nothing */
	DOUBT_RULE_RESEND, /* it removes repeats by our idempotency key */
	DOUBT_RULE_POLL    /* it says what it has, so it is asked before anything is sent again */
} SmsflowDoubtRule;

/* DOUBT_RULE_HOLD for any other name. */
extern SmsflowDoubtRule smsflow_doubt_rule_from_name(const char *name);

/* Seconds a report is waited for before a message in doubt is sent again. */
#define SMSFLOW_DOUBT_GRACE 120

/* Seconds after its validity for which a report about a message is waited for. */
#define SMSFLOW_REPORT_GRACE 3600

/*
 * Promotional, cart and conversational messages in doubt are never sent again
 * by themselves; what a gateway is asked about waits for its answer.
 */
extern SmsflowDoubt smsflow_doubt_policy(SmsflowPurpose purpose, int attempt, SmsflowDoubtRule rule);

/* Tries of a message in doubt where the gateway removes repeats. */
#define SMSFLOW_MAX_RESENDS 12

/*
 * Microseconds before try number attempt + 1: 2 s doubled each time, at most
 * 10 minutes, spread by a quarter either way by seed.
 */
extern int64_t smsflow_backoff(int attempt, uint64_t seed);

/* How a message is tried again. */
typedef enum SmsflowAgain
{
	AGAIN_NEVER,
	AGAIN_RETRY,       /* surely not sent */
	AGAIN_WITH_ROUTE,  /* surely not sent, when the route is open again */
	AGAIN_RESEND,      /* may have been sent */
	AGAIN_RESEND_LATER /* may have been sent: unless a report comes meanwhile */
} SmsflowAgain;

typedef struct SmsflowNext
{
	SmsflowAgain again;
	int64_t wait; /* microseconds after the try has ended */
} SmsflowNext;

/*
 * What follows a try, numbered from 1, that was not accepted. pause: microseconds for which the route is paused, for
 * DECIDE_HOLD. seed spreads the back-off.
 */
extern SmsflowNext smsflow_next(SmsflowDecision decision, SmsflowPurpose purpose, int attempt, SmsflowDoubtRule rule,
								int64_t pause, uint64_t seed);

/*
 * Whether a message is still in doubt after one more try, or after the gate has refused one. What proves that this try was not
 * sent proves nothing of the one before: only an acceptance, or a report, ends a doubt.
 */
extern bool smsflow_doubt_remains(bool was_in_doubt, bool accepted);

/* May a claimed message start now? */
typedef enum SmsflowStart
{
	START_NOW,
	START_ASK_GATE,    /* something was revoked since the claim */
	START_EXPIRED,     /* never sent from expires_at on */
	START_WINDOW_ENDED /* the gate says when the recipient's window opens again */
} SmsflowStart;

/* Instants in microseconds; margin is how long before the window's end nothing starts any more. */
extern SmsflowStart smsflow_may_start(bool revoked, int64_t expires_at, int64_t open_until, int64_t margin, int64_t now);

/*
 * Whether a message that a dead worker had claimed, and left no result of, may have been sent. The journal is trusted within
 * one boot and for the worker that wrote it; it marks what was about to go on the wire.
 */
extern bool smsflow_lost_in_doubt(bool journal_trusted, bool journal_marked);

#endif
