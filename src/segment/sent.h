/*
 * sent.h - noting to whom messages were sent, for the worker.
 */
#ifndef SMSFLOW_SENT_H
#define SMSFLOW_SENT_H

#include "postgres.h"

#include "utils/timestamp.h"

typedef struct SmsflowSent
{
	int64 contact_id;
	TimestampTz sent_at;
} SmsflowSent;

/* Appends to smsflow.profile_sent, in a transaction; puts the messages into another order. */
extern void smsflow_note_sent(SmsflowSent *messages, int count);

#endif /* SMSFLOW_SENT_H */
