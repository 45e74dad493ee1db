/*
 * consent.c - what a person has agreed to receive, as a value.
 *
 * Every cell of the grid only ever grows, which is all that the algebra needs; the level is derived on reading.
 * The text form lists, per purpose and newest idea first, the grants that hold, the revocation, and the grants that it
 * ended, so that a person reads it as a history and the parser reads it as cells.
 */
#include "consent.h"

#include "scan.h"

#include <string.h>

const char *
smsflow_level_name(SmsflowLevel level)
{
	static const char *const names[SMSFLOW_LEVELS] = {"none", "implied", "express", "written", "confirmed"};

	return names[level];
}

bool
smsflow_level_from_name(const char *name, size_t len, SmsflowLevel *level)
{
	for (int i = 0; i < SMSFLOW_LEVELS; i++)
	{
		const char *candidate = smsflow_level_name((SmsflowLevel) i);

		if (strlen(candidate) == len && memcmp(candidate, name, len) == 0)
		{
			*level = (SmsflowLevel) i;
			return true;
		}
	}
	return false;
}

static void
raise_to(int64_t *cell, int64_t at)
{
	if (at > *cell)
		*cell = at;
}

void
smsflow_consent_clear(SmsflowConsent *consent)
{
	for (int p = 0; p < SMSFLOW_PURPOSES; p++)
	{
		for (int l = 0; l < SMSFLOW_LEVELS - 1; l++)
			consent->granted[p][l] = SMSFLOW_NEVER;
		consent->revoked[p] = SMSFLOW_NEVER;
	}
}

void
smsflow_consent_grant(SmsflowConsent *consent, SmsflowPurpose purpose, SmsflowLevel level, int64_t at)
{
	raise_to(&consent->granted[purpose][level - 1], at);
}

void
smsflow_consent_revoke(SmsflowConsent *consent, SmsflowPurpose purpose, int64_t at)
{
	raise_to(&consent->revoked[purpose], at);
}

void
smsflow_consent_merge(SmsflowConsent *consent, const SmsflowConsent *other)
{
	for (int p = 0; p < SMSFLOW_PURPOSES; p++)
	{
		for (int l = 0; l < SMSFLOW_LEVELS - 1; l++)
			raise_to(&consent->granted[p][l], other->granted[p][l]);
		raise_to(&consent->revoked[p], other->revoked[p]);
	}
}

static bool
holds(const SmsflowConsent *consent, int purpose, int level)
{
	return consent->granted[purpose][level - 1] > consent->revoked[purpose];
}

SmsflowLevel
smsflow_consent_level(const SmsflowConsent *consent, SmsflowPurpose purpose)
{
	int level = SMSFLOW_LEVELS - 1;

	while (level > SMSFLOW_LEVEL_NONE && !holds(consent, (int) purpose, level))
		level--;
	return (SmsflowLevel) level;
}

bool
smsflow_consent_contains(const SmsflowConsent *a, const SmsflowConsent *b)
{
	for (int p = 0; p < SMSFLOW_PURPOSES; p++)
	{
		if (smsflow_consent_level(a, (SmsflowPurpose) p) < smsflow_consent_level(b, (SmsflowPurpose) p))
			return false;
	}
	return true;
}

/* ---- text form ---- */

/* put_fact writes "<joiner><what><instant>". */
static char *
put_fact(char *out, const char *joiner, const char *what, const char *since, int64_t at)
{
	out = smsflow_put_text(out, joiner);
	out = smsflow_put_text(out, what);
	out = smsflow_put_text(out, since);
	return out + smsflow_instant_format(at, out);
}

static bool
is_empty(const SmsflowConsent *consent, int purpose)
{
	for (int level = 1; level < SMSFLOW_LEVELS; level++)
	{
		if (consent->granted[purpose][level - 1] != SMSFLOW_NEVER)
			return false;
	}
	return consent->revoked[purpose] == SMSFLOW_NEVER;
}

/* put_purpose writes what is known of one purpose; joiner goes before its first fact. */
static char *
put_purpose(char *out, const SmsflowConsent *consent, int purpose)
{
	const int64_t *granted = consent->granted[purpose];
	const char *joiner = ": ";

	out = smsflow_put_text(out, smsflow_purpose_name((SmsflowPurpose) purpose));
	for (int level = SMSFLOW_LEVELS - 1; level > 0; level--)
	{
		if (!holds(consent, purpose, level))
			continue;
		out = put_fact(out, joiner, smsflow_level_name((SmsflowLevel) level), " since ", granted[level - 1]);
		joiner = " and ";
	}
	if (consent->revoked[purpose] == SMSFLOW_NEVER)
		return out;
	out = put_fact(out, *joiner == ':' ? joiner : " after ", "revoked", " ", consent->revoked[purpose]);
	joiner = " after ";
	for (int level = SMSFLOW_LEVELS - 1; level > 0; level--)
	{
		if (holds(consent, purpose, level) || granted[level - 1] == SMSFLOW_NEVER)
			continue;
		out = put_fact(out, joiner, smsflow_level_name((SmsflowLevel) level), " ", granted[level - 1]);
		joiner = " and ";
	}
	return out;
}

size_t
smsflow_consent_format(const SmsflowConsent *consent, char out[SMSFLOW_CONSENT_TEXT_SIZE])
{
	char *p = out;

	for (int purpose = 0; purpose < SMSFLOW_PURPOSES; purpose++)
	{
		if (is_empty(consent, purpose))
			continue;
		if (p > out)
			p = smsflow_put_text(p, ", ");
		p = put_purpose(p, consent, purpose);
	}
	if (p == out)
		p = smsflow_put_text(p, smsflow_level_name(SMSFLOW_LEVEL_NONE));
	*p = '\0';
	return (size_t) (p - out);
}

/* parse_fact reads "revoked <instant>" or "<level> [since] <instant>" and notes a "since" in the mask claimed. */
static SmsflowConsentError
parse_fact(SmsflowScan *s, SmsflowConsent *consent, int purpose, unsigned *claimed)
{
	int64_t *cell = &consent->revoked[purpose];
	SmsflowLevel level = SMSFLOW_LEVEL_NONE;
	size_t begin;

	smsflow_scan_spaces(s);
	begin = s->pos;
	if (!smsflow_scan_keyword(s, "revoked"))
	{
		const char *word;
		size_t len = smsflow_scan_word(s, &word);

		if (!smsflow_level_from_name(word, len, &level) || level == SMSFLOW_LEVEL_NONE)
			return SMSFLOW_CONSENT_BAD_LEVEL;
		s->pos += len;
		cell = &consent->granted[purpose][level - 1];
		if (smsflow_scan_keyword(s, "since"))
			*claimed |= 1u << level;
	}
	if (*cell != SMSFLOW_NEVER)
	{
		s->pos = begin;
		return SMSFLOW_CONSENT_DUPLICATE;
	}
	return smsflow_scan_instant(s, cell) ? SMSFLOW_CONSENT_OK : SMSFLOW_CONSENT_BAD_INSTANT;
}

/* check_claims compares the grants that the text calls current with those that are. */
static SmsflowConsentError
check_claims(const SmsflowConsent *consent, int purpose, unsigned claimed)
{
	for (int level = 1; level < SMSFLOW_LEVELS; level++)
	{
		bool claims = (claimed & (1u << level)) != 0;

		if (claims != holds(consent, purpose, level))
			return SMSFLOW_CONSENT_CONTRADICTION;
	}
	return SMSFLOW_CONSENT_OK;
}

/* parse_purpose reads "<purpose>: <fact> [and|after <fact>]..." */
static SmsflowConsentError
parse_purpose(SmsflowScan *s, SmsflowConsent *consent)
{
	SmsflowConsentError error;
	SmsflowPurpose purpose;
	unsigned claimed = 0;
	const char *word;
	size_t len = smsflow_scan_word(s, &word);
	size_t begin = s->pos;

	if (!smsflow_purpose_from_name(word, len, &purpose))
		return SMSFLOW_CONSENT_BAD_PURPOSE;
	if (!is_empty(consent, (int) purpose))
		return SMSFLOW_CONSENT_DUPLICATE;
	s->pos += len;
	if (!smsflow_scan_char(s, ':'))
		return SMSFLOW_CONSENT_BAD_SYNTAX;
	do
	{
		error = parse_fact(s, consent, (int) purpose, &claimed);
		if (error != SMSFLOW_CONSENT_OK)
			return error;
	} while (smsflow_scan_keyword(s, "and") || smsflow_scan_keyword(s, "after"));

	error = check_claims(consent, (int) purpose, claimed);
	if (error != SMSFLOW_CONSENT_OK)
		s->pos = begin;
	return error;
}

SmsflowConsentError
smsflow_consent_parse(const char *text, size_t len, SmsflowConsent *consent, size_t *offset)
{
	SmsflowScan s = {text, len, 0};
	SmsflowConsentError error = SMSFLOW_CONSENT_OK;

	smsflow_consent_clear(consent);
	if (!smsflow_scan_keyword(&s, smsflow_level_name(SMSFLOW_LEVEL_NONE)))
	{
		do
		{
			error = parse_purpose(&s, consent);
		} while (error == SMSFLOW_CONSENT_OK && smsflow_scan_char(&s, ','));
	}
	if (error == SMSFLOW_CONSENT_OK && !smsflow_scan_end(&s))
		error = SMSFLOW_CONSENT_BAD_SYNTAX;
	*offset = s.pos;
	return error;
}

const char *
smsflow_consent_error_text(SmsflowConsentError error)
{
	switch (error)
	{
		case SMSFLOW_CONSENT_OK:
			return "The text is well formed.";
		case SMSFLOW_CONSENT_BAD_SYNTAX:
			return "The text goes on in a way that is not understood.";
		case SMSFLOW_CONSENT_BAD_PURPOSE:
			return "A purpose is expected: compliance, otp, transactional, conversational, cart or promotional.";
		case SMSFLOW_CONSENT_BAD_LEVEL:
			return "A level (implied, express, written, confirmed) or \"revoked\" is expected.";
		case SMSFLOW_CONSENT_BAD_INSTANT:
			return "An instant in UTC such as 2026-01-05T10:00:00Z is expected.";
		case SMSFLOW_CONSENT_DUPLICATE:
			return "A purpose, a level of it or its revocation is named twice.";
		case SMSFLOW_CONSENT_CONTRADICTION:
			return "Only grants later than the revocation of their purpose are written with \"since\", and all of them.";
	}
	return "Unknown error.";
}
