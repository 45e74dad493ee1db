/*
 * membership.h - whether contacts are in the segments for which there are caps.
 *
 * A segment's predicate runs as its owner, in a security-restricted context and a subtransaction of its own: one that fails
 * makes an answer unknown, and stops nothing else. It may run SQL of any kind, so rules in memory (policy.h) do not outlive
 * these calls, but for smsflow_membership().
 */
#ifndef SMSFLOW_MEMBERSHIP_H
#define SMSFLOW_MEMBERSHIP_H

#include "postgres.h"

#include "utils/array.h"

typedef enum SmsflowMembership
{
	MEMBERSHIP_NO,
	MEMBERSHIP_YES,
	MEMBERSHIP_UNKNOWN
} SmsflowMembership;

/*
 * Reads what the gate will ask of many contacts (bigint[]) with one query for each segment, and forgets it. Nothing happens
 * where no rule names a segment. Needs a transaction.
 */
extern void smsflow_membership_read(ArrayType *contacts);
extern void smsflow_membership_forget(void);

/* The same for one contact, unless it is among those that were read. */
extern void smsflow_membership_read_one(int64 contact_id);

/* What was read. */
extern SmsflowMembership smsflow_membership(int64 contact_id, const char *segment);

#endif
