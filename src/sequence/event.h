/*
 * event.h - appending what happens in the store to smsflow.event.
 */
#ifndef SMSFLOW_EVENT_H
#define SMSFLOW_EVENT_H

#include "postgres.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* A NULL pointer or a false flag is SQL NULL. */
typedef struct SmsflowEvent
{
	int32 brand_id;
	int32 watch_id; /* 0: not from a watched table */
	const char *kind;
	const char *ref;         /* the store's key of the cart or order */
	const char *phone;       /* as the store wrote it */
	const char *external_id; /* the store's key of the customer */
	const char *currency;
	bool has_amount;
	Datum amount;         /* numeric */
	bool has_occurred_at; /* false: now */
	TimestampTz occurred_at;
	Jsonb *data;
} SmsflowEvent;

/* Who the backend was before it became the owner of smsflow.event. */
typedef struct SmsflowSavedUser
{
	Oid user;
	int context;
} SmsflowSavedUser;

/*
 * Switches to the owner of smsflow.event, because the store's role has no
 * rights in the schema. Returns false, and switches nothing, when the table
 * does not exist. After an error the (sub)transaction's abort switches back.
 */
extern bool smsflow_become_owner(SmsflowSavedUser *saved);
extern void smsflow_become_again(const SmsflowSavedUser *saved);

/*
 * Appends one event, finds its contact, wakes the worker, and for events that
 * can end a sequence publishes the contact to the worker. Must run as the
 * owner. Returns the event id. Raises whatever the INSERT raises.
 */
/* Whether a numeric can be an amount of money: neither NaN nor infinite, and below 10^18. */
extern bool smsflow_is_amount(Datum amount);

extern int64 smsflow_append_event(const SmsflowEvent *event);

/*
 * Keys that one event can hold: the worker gives each an id of the event's block, and a row of so many is not too long
 * to be kept in one piece.
 */
#define SMSFLOW_MAX_KEYS 40

struct SmsflowWatch;

/*
 * Appends an event of kind rows with these keys (text), at most
 * SMSFLOW_MAX_KEYS, and wakes the worker. Needs no rights: it writes the table
 * below the executor's checks. Does nothing for no keys, or when the table does
 * not exist.
 */
extern void smsflow_append_keys(const struct SmsflowWatch *watch, Datum *keys, int count);

/*
 * The same for a statement (TriggerData) on a table with items of carts: the
 * trigger's arguments are watch, brand and the column with the cart's key.
 */
extern void smsflow_record_items(void *trigger);

/*
 * Of a row of items that was deleted, at the end of the transaction: appends cart_emptied when its cart has no items left,
 * so that its reminders end with that commit.
 */
extern void smsflow_record_emptied(void *trigger);

#endif
