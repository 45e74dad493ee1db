/*
 * journal.h - which requests were on the wire, kept outside the database.
 *
 * A claim is durable before a byte leaves, its result only afterwards. When
 * the worker dies in between, everything claimed is in doubt; the journal
 * narrows that to the requests whose first byte was about to leave. It is a
 * small file mapped into memory and written with plain stores: they survive
 * any death of the process in the page cache. They do not survive the machine,
 * so a journal written before the last boot is not trusted. Base backups have
 * copies of it, so neither is one of a generation before a promotion (recover.c).
 */
#ifndef SMSFLOW_JOURNAL_H
#define SMSFLOW_JOURNAL_H

#include "postgres.h"

/* Messages that may be claimed and not yet recorded at one time. */
#define SMSFLOW_JOURNAL_PLACES 4096

/*
 * Maps the journal of one of the workers of the database. Raises an error when the file cannot be
 * made. After it, smsflow_journal_trusted and smsflow_journal_had speak of
 * what the worker before left, until smsflow_journal_begin.
 */
extern void smsflow_journal_open(Oid database, int number);

/* True when the journal was written since boot, by that generation. */
extern bool smsflow_journal_trusted(int64 generation);

/* True when that try of the message was perhaps on the wire. */
extern bool smsflow_journal_had(int64 message_id, int attempt);

/* Forgets the past and starts the new generation. */
extern void smsflow_journal_begin(int64 generation);

/* A place for a message, or -1 when all are taken. */
extern int smsflow_journal_take(int64 message_id, int attempt);

/* From now on the message counts as perhaps sent. Safe in any callback. */
extern void smsflow_journal_on_wire(int place);

/* Frees a place once the result is durable. */
extern void smsflow_journal_release(int place);

#endif
