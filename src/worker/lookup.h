/*
 * lookup.h - asking gateways what became of messages, beside sending.
 */
#ifndef SMSFLOW_LOOKUP_H
#define SMSFLOW_LOOKUP_H

#include "postgres.h"

#include "datatype/timestamp.h"

typedef struct LookupNews
{
	bool done;  /* false: a transaction failed */
	bool found; /* there are callbacks to apply */
	bool again; /* messages are due again */
} LookupNews;

/* Takes the answers that have come, and asks what is due. */
extern LookupNews lookups_run(void);

/* When it is to be called next. */
extern TimestampTz lookups_due(void);

/* Messages have come into doubt. */
extern void lookups_soon(void);

/* What is due is read anew. */
extern void lookups_forget(void);

#endif
