/*
 * watch.h - a watched table of the store, as the trigger sees it: which
 * attribute numbers mean what. Resolved once per backend and relation, and
 * again after the relation changed.
 */
#ifndef SMSFLOW_WATCH_H
#define SMSFLOW_WATCH_H

#include "postgres.h"
#include "access/htup.h"
#include "access/tupdesc.h"
#include "fmgr.h"
#include "nodes/pg_list.h"

typedef enum SmsflowMeaning
{
	WATCH_ID,
	WATCH_PHONE,
	WATCH_CUSTOMER_ID,
	WATCH_CART_ID,
	WATCH_STATUS,
	WATCH_ITEMS,
	WATCH_TOTAL,
	WATCH_CURRENCY,
	WATCH_UPDATED_AT,
	WATCH_STOCK,
	WATCH_PRICE,
	WATCH_MEANINGS
} SmsflowMeaning;

typedef struct SmsflowColumn
{
	AttrNumber number; /* 0: the store has no such column */
	char *key;         /* its name in event.data */
	FmgrInfo output;
	FmgrInfo to_jsonb;
} SmsflowColumn;

/* What orders call a status, and what the event is to be called; empty: no event. */
typedef struct SmsflowStatusName
{
	char *status;
	char *suffix;
} SmsflowStatusName;

typedef struct SmsflowWatch
{
	Oid relation; /* hash key; a partition has an entry of its own */
	bool valid;
	MemoryContext context; /* of everything below */
	int32 watch_id;        /* 0: the table is not watched any more */
	int32 brand_id;
	bool is_cart;
	bool is_inventory;
	char *kind; /* of the table, and of the event of a new row */
	SmsflowColumn columns[WATCH_MEANINGS];
	List *copied;       /* of SmsflowColumn: the mapping's "data" */
	List *active;       /* of char *: status values of an open cart; NIL: every one */
	List *status_names; /* of SmsflowStatusName */
} SmsflowWatch;

/* The cached watch of a relation, or NULL when it must be loaded. Never fails. */
extern SmsflowWatch *smsflow_cached_watch(Oid relation);

/*
 * Reads the watch of a relation from smsflow.watch; must run as the owner of
 * smsflow. Raises SF006 when a column of the mapping is gone.
 */
extern SmsflowWatch *smsflow_load_watch(Oid relation, TupleDesc columns);

#endif
