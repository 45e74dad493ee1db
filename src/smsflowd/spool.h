/* The disk spool: callbacks accepted while the database is away. */
#ifndef SMSFLOWD_SPOOL_H
#define SMSFLOWD_SPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "text.h"

struct spool;

/*
 * Opens the spool in an existing directory, which one daemon at a time may use, and checks what an earlier run left.
 * limit is in bytes.  Returns NULL after logging what is wrong.
 */
struct spool *spool_open(const char *directory, int64_t limit);
void spool_close(struct spool *spool);
void spool_set_limit(struct spool *spool, int64_t limit);

/* Adds a record to the group being collected; false if it does not fit within the limit. */
bool spool_append(struct spool *spool, struct slice record);

/* Makes the group durable.  On false (logged) none of the group is in the spool. */
bool spool_sync(struct spool *spool);

/*
 * Replay, in the order of appending.  spool_next returns the next record, valid until the next call, or empty at the
 * end; bytes that are no record it passes over, and keeps in the file "damaged.spool", which has the same format.
 * spool_position is the end of the record that was returned last; spool_forget drops all up to such a position, which
 * the database has now; spool_rewind returns to the oldest record not dropped.  The file is deleted when its last
 * record is dropped.
 */
struct slice spool_next(struct spool *spool);
int64_t spool_position(const struct spool *spool);
void spool_forget(struct spool *spool, int64_t position);
void spool_rewind(struct spool *spool);

/* Keeps a record the database refused in the file "rejected.spool", which has the same format. */
void spool_reject(struct spool *spool, struct slice record);

bool spool_is_empty(const struct spool *spool);
int64_t spool_bytes(const struct spool *spool);

/* Bytes that were found to be no record. */
uint64_t spool_damaged(const struct spool *spool);

#endif
