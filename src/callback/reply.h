/*
 * reply.h - what customers write: kept, classified and obeyed in the
 * transaction that the receiver commits before it answers.
 */
#ifndef SMSFLOW_REPLY_H
#define SMSFLOW_REPLY_H

#include "callback/gateway.h"

/*
 * Keeps and obeys one reply; a part of a long one only waits for the others.
 * Returns false when it has no sender's number. Needs SPI.
 */
extern bool smsflow_take_reply(const CallbackGateway *gateway, Jsonb *record);

#endif
