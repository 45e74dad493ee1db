/*
 * plan.h - what a campaign does: its row, options, variants and translations, read once for many recipients.
 */
#ifndef SMSFLOW_PLAN_H
#define SMSFLOW_PLAN_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "core/purpose.h"
#include "message/compose.h"

typedef struct Variant
{
	int16 number; /* 0: the campaign's own text */
	const char *body;
	Interval *after; /* NULL: with the campaign */
	int64 bound;     /* sum of the weights up to this one */
} Variant;

typedef struct Translation
{
	int16 variant;
	char *language;
	const char *body;
} Translation;

typedef struct CampaignPlan
{
	int32 campaign_id;
	int32 brand_id;
	Oid purpose_oid;
	SmsflowComposer composer; /* brand, purpose, and how texts are written */
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
	Variant *variants;
	int variant_count;
	Translation *translations;
	int translation_count;
} CampaignPlan;

/*
 * smsflow_read_plan reads a campaign; needs an open SPI connection. With is_strict, a variable without a value raises SF003
 * where the campaign's option missing, or the policy of texts, says that it shall; else the recipient is skipped there, too.
 */
extern CampaignPlan *smsflow_read_plan(int32 campaign_id, bool is_strict);

#endif
