/*
 * draft.h - who of a campaign gets what: the one place that estimates, previews and the expansion itself ask.
 */
#ifndef SMSFLOW_DRAFT_H
#define SMSFLOW_DRAFT_H

#include "postgres.h"

#include "utils/array.h"
#include "utils/timestamp.h"

#include "campaign/plan.h"
#include "types/types.h"

/* What one contact would get. Texts live as long as the memory context of the caller of smsflow_draft(). */
typedef struct SmsflowDraft
{
	int64 contact_id;
	int64 phone;
	const char *region; /* NULL: unknown */
	int16 variant;      /* 0: none */
	const char *body;   /* the template, where it cannot be rendered */
	SmsflowParts parts;
	const char *refusal;    /* NULL: let through */
	TimestampTz due_at;     /* DT_NOBEGIN: at once */
	TimestampTz expires_at; /* DT_NOEND: never */
	int64 consent_event_id; /* 0: none */
	NullableDatum links;    /* targets of short links, text[] */
} SmsflowDraft;

/* Takes a draft; false ends the drafting. */
typedef bool (*SmsflowTakeDraft)(void *ctx, const SmsflowDraft *draft);

/*
 * smsflow_draft drafts the messages of some contacts (bigint[]), in order of their ids. Needs an open SPI connection. Raises
 * SF003 and SF007 for what a text cannot be rendered with.
 */
extern void smsflow_draft(const CampaignPlan *plan, ArrayType *contacts, SmsflowTakeDraft take, void *ctx);

#endif
