/*
 * contact.h - what other rooms need from contacts: brands, purposes and running the statements of a room.
 */
#ifndef SMSFLOW_CONTACT_H
#define SMSFLOW_CONTACT_H

#include "postgres.h"

#include "executor/spi.h"

#include "core/purpose.h"

/* A statement that is planned once per backend and kept. */
typedef struct SmsflowStatement
{
	const char *sql;
	int			nargs;
	const Oid  *types;
	SPIPlanPtr	plan;			/* NULL until first used */
} SmsflowStatement;

/*
 * smsflow_execute runs a statement inside an open SPI connection, with a snapshot of its own; rows are in SPI_tuptable.
 * Returns how many rows it gave or changed.
 */
extern uint64 smsflow_execute(SmsflowStatement *statement, const NullableDatum *args);

/* smsflow_result reads a column (from 1) of the first row of the last statement. */
extern NullableDatum smsflow_result(int column);

static inline NullableDatum
smsflow_value(Datum value)
{
	return (NullableDatum) {value, false};
}

/* smsflow_brand_id returns the id of a brand; raises SF004. Needs an open SPI connection. */
extern int32 smsflow_brand_id(const char *name);

#endif							/* SMSFLOW_CONTACT_H */
