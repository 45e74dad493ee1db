/*
 * consent.h - what a person has agreed to receive, as a value.
 *
 * The value is a grid of instants: for each purpose the latest grant per level, and the latest revocation.  Nothing
 * is ever removed from it, so merging two values is the pointwise maximum: commutative, associative and idempotent.
 * Replicas, shards, imports and late events therefore end in the same value whatever the order they arrive in.
 *
 * A purpose is permitted at the highest level whose grant is later than the purpose's revocation.  A tie revokes: when
 * the order of a yes and a no cannot be told, the no counts.
 *
 * Text form, which keeps every cell:
 *
 *	none
 *	promotional: written since 2026-01-05T10:00:00Z, cart: revoked 2026-02-01T08:00:00.5Z after express
 *	2026-01-05T10:00:00Z
 *	cart: written since 2026-03-01T00:00:00Z and express since 2026-03-01T00:00:00Z after revoked 2026-02-01T08:00:00Z
 *	after express 2026-01-05T10:00:00Z
 *
 * "since" marks the grants that hold now; a text whose "since" contradicts its revocation is refused.
 *
 * Pure C11: no clock, no allocation.  Instants are microseconds UTC since 2000-01-01, see instant.h.
 */
#ifndef SMSFLOW_CONSENT_H
#define SMSFLOW_CONSENT_H

#include "instant.h"
#include "purpose.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How firmly somebody agreed; the names are those of the SQL enum smsflow.consent_level. */
typedef enum SmsflowLevel
{
	SMSFLOW_LEVEL_NONE,
	SMSFLOW_LEVEL_IMPLIED,  /* a customer of this store, who was told */
	SMSFLOW_LEVEL_EXPRESS,  /* said yes */
	SMSFLOW_LEVEL_WRITTEN,  /* said yes to a written disclosure: 47 CFR 64.1200(f)(9) */
	SMSFLOW_LEVEL_CONFIRMED /* written, and answered from the phone itself (double opt-in) */
} SmsflowLevel;

#define SMSFLOW_LEVELS 5

typedef struct SmsflowConsent
{
	int64_t granted[SMSFLOW_PURPOSES][SMSFLOW_LEVELS - 1]; /* latest grant; index 0 is IMPLIED */
	int64_t revoked[SMSFLOW_PURPOSES];                     /* latest revocation */
} SmsflowConsent;

typedef enum SmsflowConsentError
{
	SMSFLOW_CONSENT_OK,
	SMSFLOW_CONSENT_BAD_SYNTAX,
	SMSFLOW_CONSENT_BAD_PURPOSE,
	SMSFLOW_CONSENT_BAD_LEVEL,
	SMSFLOW_CONSENT_BAD_INSTANT,
	SMSFLOW_CONSENT_DUPLICATE,    /* a purpose, or a level of it, is named twice */
	SMSFLOW_CONSENT_CONTRADICTION /* "since" says otherwise than the revocation */
} SmsflowConsentError;

/* More than the longest text form, with a zero byte. */
#define SMSFLOW_CONSENT_TEXT_SIZE 2048

extern const char *smsflow_level_name(SmsflowLevel level);

/* smsflow_level_from_name sets *level and returns true if the len bytes at name are exactly a level's name. */
extern bool smsflow_level_from_name(const char *name, size_t len, SmsflowLevel *level);

/* smsflow_consent_clear sets the value that never agreed to anything, the neutral element of merge. */
extern void smsflow_consent_clear(SmsflowConsent *consent);

/*
 * smsflow_consent_grant and smsflow_consent_revoke record that something happened at a valid instant; what happened
 * later, or at the same instant, stays.  The level of a grant is above NONE.
 */
extern void smsflow_consent_grant(SmsflowConsent *consent, SmsflowPurpose purpose, SmsflowLevel level, int64_t at);
extern void smsflow_consent_revoke(SmsflowConsent *consent, SmsflowPurpose purpose, int64_t at);

/* smsflow_consent_merge merges other into consent. */
extern void smsflow_consent_merge(SmsflowConsent *consent, const SmsflowConsent *other);

/* smsflow_consent_level returns the level that holds now. */
extern SmsflowLevel smsflow_consent_level(const SmsflowConsent *consent, SmsflowPurpose purpose);

/* smsflow_consent_contains tells whether a permits now at least what b permits now: no purpose is at a lower level. */
extern bool smsflow_consent_contains(const SmsflowConsent *a, const SmsflowConsent *b);

/* smsflow_consent_format writes the text form and a zero byte; returns the length. */
extern size_t smsflow_consent_format(const SmsflowConsent *consent, char out[SMSFLOW_CONSENT_TEXT_SIZE]);

/* smsflow_consent_parse reads the text form; on an error, *offset is where in the text it was noticed. */
extern SmsflowConsentError smsflow_consent_parse(const char *text, size_t len, SmsflowConsent *consent, size_t *offset);

/* smsflow_consent_error_text returns a full English sentence, a static string. */
extern const char *smsflow_consent_error_text(SmsflowConsentError error);

#endif /* SMSFLOW_CONSENT_H */
