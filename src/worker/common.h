/*
 * common.h - what the workers of one database have in common, where
 * smsflow.workers says that there are several.
 *
 * Each queue belongs to one of them for good (smsflow.queue.shard), and only
 * that one claims from it. What holds across queues is kept here, in shared
 * memory: how much of each limit is used, so that a limit is exact whoever
 * sends, and which contacts have a capped message in hand. Transactions that
 * depend on what is not written down yet, turns above all, are made one at a
 * time (worker_begin_alone). A worker alone has nothing of this, and keeps its
 * limits in its own memory.
 */
#ifndef SMSFLOW_COMMON_H
#define SMSFLOW_COMMON_H

#include "smsflow.h"

#include "core/limiter.h"

/* Limits of a database that several workers can share: its gateways, numbers, registrations and paced campaigns. */
#define SMSFLOW_COMMON_LIMITS 16384

typedef struct LimitKey
{
	int32 scope;
	int32 id;
} LimitKey;

/* What is used of a limit. */
typedef struct LimitUse
{
	LimitKey key;
	SmsflowLimiter limiter; /* interval 0: no rate was set */
	bool known;             /* the day's use was read */
	int32 day;              /* date that used counts, as days since 2000-01-01 */
	TimestampTz day_checked_until;
	int64 used;     /* parts */
	int64 reserved; /* durably; used never exceeds it */
} LimitUse;

extern Size smsflow_common_size(void);
extern void smsflow_common_start(void);

/* The worker works on the tables of this schema: what is known about those of a dropped extension is forgotten. */
extern void common_begin(Oid schema);

/* The use of a limit, made where it is missing. Raises configuration_limit_exceeded when there are too many. */
extern LimitUse *common_limit(LimitKey key);

/* Around reading and changing of limits; nothing may fail or wait in between. */
extern void common_lock(void);
extern void common_unlock(void);

/* A contact has a capped message in hand; false when one is in another worker's. */
extern bool common_take_contact(int64 contact_id);
extern void common_leave_contact(int64 contact_id);

/* This worker has none in hand any more. */
extern void common_leave_contacts(void);

/* Tells the first worker, or all others, that there are news of such kinds. */
extern void common_tell_first(uint32 news);
extern void common_tell_others(uint32 news);

#endif
