/*
 * compose.h - the text that a person will read, made of a template: the one place by which send(), replies, steps of sequences
 * and campaigns write it, so that a brand's policy of texts (smsflow.text_policy) holds for all of them.
 */
#ifndef SMSFLOW_COMPOSE_H
#define SMSFLOW_COMPOSE_H

#include "postgres.h"

#include "core/purpose.h"
#include "link/link.h"
#include "types/types.h"

/* What becomes of a text in which a variable without default has no value. */
typedef enum SmsflowMissing
{
	MISSING_UNSAID, /* what is usual for who asks: an error for the caller of send(), else the recipient is skipped */
	MISSING_SKIP,   /* the recipient is skipped */
	MISSING_BLANK,  /* nothing is written in its place */
	MISSING_FAIL    /* what sends it fails */
} SmsflowMissing;

/* A row of smsflow.text_policy. */
typedef struct SmsflowTextPolicy
{
	const char *prefix;       /* "": none */
	const char *opt_out_text; /* "": none */
	bool is_smart;            /* look-alikes of the GSM alphabet in place of typographic characters */
	SmsflowMissing missing;
} SmsflowTextPolicy;

/* For whom a text is written. */
typedef struct SmsflowComposer
{
	const char *brand;
	SmsflowPurpose purpose;
	SmsflowTextPolicy policy;
	SmsflowLinkDomain *domain;
} SmsflowComposer;

typedef struct SmsflowText
{
	char *body;          /* NULL: a variable has no value */
	char *missing;       /* that variable */
	SmsflowParts parts;  /* of the body, 0 without one */
	NullableDatum links; /* targets of short links, text[] */
	const char *refusal; /* NULL: none; missing_variable also where nothing is left to read */
} SmsflowText;

/* smsflow_missing_from_name reads a value of the column or option missing; NULL and others are MISSING_UNSAID. */
extern SmsflowMissing smsflow_missing_from_name(const char *name);

/*
 * smsflow_dress returns a template with what the policy wants before and behind it, where it does not name the brand, or does
 * not say how to opt out, itself. A blank one stays as it is.
 */
extern const char *smsflow_dress(const SmsflowTextPolicy *policy, const char *brand, const char *body);

/* smsflow_compose renders a template that is dressed already, and counts it. Raises SF003 and SF007 for what cannot be rendered. */
extern void smsflow_compose(const SmsflowComposer *composer, const char *body, const SmsflowVariables *vars,
							SmsflowText *written);

#endif
