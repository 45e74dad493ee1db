/*
 * send.h - appending messages from C.
 */
#ifndef SMSFLOW_SEND_H
#define SMSFLOW_SEND_H

#include "postgres.h"

#include "utils/array.h"

/*
 * The queues of a lane and source, one per enabled sender of the pool in order
 * of sender, made where missing; one without sender when the pool is empty.
 * Needs SPI to be connected. Palloc'ed; *count is at least 1.
 */
extern int32 *smsflow_queues(int16 lane, const char *source, const char *pool, int *count);

/* The next message id; forces a transaction id first. */
extern int64 smsflow_take_message_id(void);
extern int64 smsflow_take_timer_id(void);
extern int64 smsflow_take_sent_id(void);

/*
 * The next event id, likewise. It ends a block of SMSFLOW_EVENT_BLOCK ids; those before it are for the events that the
 * worker makes of it, so that they take its place in the order.
 */
#define SMSFLOW_EVENT_BLOCK 1024
extern int64 smsflow_take_event_id(void);

#endif
