/*
 * queue.h - drafts become messages in the outbox.
 */
#ifndef SMSFLOW_QUEUE_H
#define SMSFLOW_QUEUE_H

#include "postgres.h"

#include "utils/array.h"

#include "campaign/plan.h"

/* What became of the members of a slice. */
typedef struct Queued
{
	int64 queued;
	int64 refused;
	int64 parts;
	int64 past_budget; /* the first who is past the budget, and has nothing; 0: nobody */
} Queued;

/*
 * smsflow_queue appends the messages of some members (bigint[]) and all that goes with them. What is past the budget is not
 * appended, nor anything behind it. With keeps_recipients, who has a message is kept in campaign_recipient. Needs an open
 * SPI connection; raises what smsflow_draft() raises.
 */
extern Queued smsflow_queue(const CampaignPlan *plan, bool keeps_recipients, ArrayType *members);

#endif
