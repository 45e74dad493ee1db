/*
 * guarded.h - running something whose errors, and whose time, must stay its own.
 */
#ifndef SMSFLOW_GUARDED_H
#define SMSFLOW_GUARDED_H

#include "postgres.h"

/* No limit of time. */
#define GUARDED_UNLIMITED 0

/*
 * Runs work in a subtransaction. Returns NULL, or the error that undid it, in the caller's memory context; every error
 * comes here, a cancel among them. What runs longer than limit_ms is ended as a cancel ends it, and its error has the
 * code 54001 (statement_too_complex). Limits do not nest. What catches query_canceled for itself cannot be ended.
 */
extern ErrorData *smsflow_guarded(void (*work)(void *), void *argument, int limit_ms);

#endif
