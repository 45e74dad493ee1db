/*
 * late.h - rows that commit out of the order of their ids.
 *
 * A cursor over the ids of an append-only log would lose what a slow
 * transaction commits after the cursor has passed. So a reader keeps the
 * transactions that were running in its last snapshot, each with the lowest id
 * it may own: the highest id seen before it began. Once one of them has
 * committed, the log is read again from there for its rows alone. The list is
 * as long as there are running transactions, and one that idles costs nothing.
 *
 * This needs every writer to have its transaction id before it takes a row id,
 * which the defaults of the id columns see to.
 */
#ifndef SMSFLOW_LATE_H
#define SMSFLOW_LATE_H

#include "postgres.h"

struct SnapshotData;

typedef struct RunningTransaction
{
	TransactionId xid; /* lists are sorted by it */
	int64 low_id;
} RunningTransaction;

typedef struct RunningList
{
	RunningTransaction *entries;
	int count;
} RunningList;

typedef struct Late
{
	RunningList running; /* as of the last reading that committed */
	RunningList next;    /* as of the reading under way */
	int64 low_of_new;
} Late;

/* Knows nothing yet; transactions may own ids above low_id. */
extern void late_start(Late *late, int64 low_id);

/*
 * Compares the transactions running in the snapshot with those of the last
 * reading. Returns how many of the latter have committed since, their ids in
 * *committed (palloc'ed) and the lowest row id they may own in *low_id.
 */
extern int late_update(Late *late, struct SnapshotData *snapshot, uint64 **committed, int64 *low_id);

/* Ids above this may still appear; high_id when none can. */
extern int64 late_low(const Late *late, int64 high_id);

/* The reading has committed: its list is the one to compare with. */
extern void late_commit(Late *late, int64 high_id);

/* The ids as an array of xid8 for SQL. */
extern Datum late_array(const uint64 *committed, int count);

#endif
