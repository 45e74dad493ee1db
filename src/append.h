/*
 * append.h - appending rows to one of our tables without a statement: all rows
 * of a call share their WAL records and their page locks, which is several
 * times cheaper than an INSERT. It knows partitions and indexes, but neither
 * defaults nor constraints nor triggers: the caller gives every column that
 * must not be NULL.
 */
#ifndef SMSFLOW_APPEND_H
#define SMSFLOW_APPEND_H

#include "postgres.h"

typedef struct Appender Appender;

/*
 * Opens a table of the schema smsflow, in a transaction. columns names those
 * that the caller fills; the functions below number them by their place there.
 */
extern Appender *append_begin(const char *table, const char *const *columns, int count);

/* A new row, all of it NULL; the functions below fill it. */
extern void append_row(Appender *appender);
extern void append_value(Appender *appender, int column, Datum value);

/* 0 is NULL. */
extern void append_id(Appender *appender, int column, int64 value);

/* NULL and "" are NULL. */
extern void append_text(Appender *appender, int column, const char *value);

/* Type of a column, for values of enums. */
extern Oid append_column_type(const Appender *appender, int column);

/* Writes what is left and closes the table; the lock stays until the transaction ends. */
extern void append_end(Appender *appender);

#endif
