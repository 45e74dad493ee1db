/*
 * guarded.h - running something whose errors must stay where they are.
 */
#ifndef SMSFLOW_GUARDED_H
#define SMSFLOW_GUARDED_H

#include "postgres.h"

/*
 * Runs work in a subtransaction. Returns NULL, or the error that undid it, in
 * the caller's memory context; every error comes here, a cancel among them.
 */
extern ErrorData *smsflow_guarded(void (*work)(void *), void *argument);

#endif
