/* Pending callbacks, gathered into transactions. */
#ifndef SMSFLOWD_BATCH_H
#define SMSFLOWD_BATCH_H

#include <event2/event.h>
#include <stdbool.h>

#include "callback.h"
#include "config.h"
#include "metrics.h"
#include "spool.h"

struct batcher;

/* Connects to the database and replays what the spool holds.  config, spool and metrics must outlive the batcher. */
struct batcher *batcher_open(struct event_base *base, const struct config *config, struct spool *spool, struct metrics *metrics);
void batcher_close(struct batcher *batcher);

/* Takes over a callback and its exchange, which is answered when the callback is committed or on disk. */
void batcher_add(struct batcher *batcher, struct callback *callback);

/* Gives up on the database: whatever is not answered goes to the spool. */
void batcher_stop(struct batcher *batcher);

/* NULL if the database takes callbacks, otherwise why not. */
const char *batcher_trouble(const struct batcher *batcher);

#endif
