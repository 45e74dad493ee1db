/*
 * plan.h - what a campaign does: its row, options, variants and translations, read once for many recipients.
 */
#ifndef SMSFLOW_PLAN_H
#define SMSFLOW_PLAN_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "core/purpose.h"
#include "link/link.h"

/* What becomes of a text in which a variable without default has no value. */
typedef enum MissingPolicy
{
	MISSING_SKIP,  /* the recipient */
	MISSING_BLANK, /* the variable */
	MISSING_FAIL   /* the campaign */
} MissingPolicy;

typedef struct Variant
{
	int16 number; /* 0: the campaign's own text */
	char *body;
	Interval *after; /* NULL: with the campaign */
	int64 bound;     /* sum of the weights up to this one */
} Variant;

typedef struct Translation
{
	int16 variant;
	char *language;
	char *body;
} Translation;

typedef struct CampaignPlan
{
	int32 campaign_id;
	int32 brand_id;
	char *brand;
	Oid purpose_oid;
	SmsflowPurpose purpose;
	NullableDatum local_at;
	TimestampTz launch_at;
	TimestampTz base_at;
	TimestampTz expires_at;
	TimestampTz valid_until; /* DT_NOEND: no end */
	Interval *valid_for;
	bool skips_late;
	bool sends_late_at_once;
	bool is_timed;
	int brand_holdout; /* percent */
	int holdout;       /* hundredths of a percent */
	int64 budget;
	NullableDatum exclude; /* jsonb */
	NullableDatum coupons; /* name of the pool */
	bool is_draft;
	MissingPolicy missing;
	bool is_smart; /* look-alikes of the GSM alphabet in place of typographic characters */
	Variant *variants;
	int variant_count;
	Translation *translations;
	int translation_count;
	SmsflowLinkDomain *domain;
} CampaignPlan;

/*
 * smsflow_read_plan reads a campaign; needs an open SPI connection. With is_strict, a variable without a value raises SF003
 * where the campaign's option missing says that it shall; else the recipient is skipped there, too.
 */
extern CampaignPlan *smsflow_read_plan(int32 campaign_id, bool is_strict);

#endif
