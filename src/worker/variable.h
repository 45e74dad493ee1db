/*
 * variable.h - the values that the templates of a gateway profile may name.
 */
#ifndef SMSFLOW_VARIABLE_H
#define SMSFLOW_VARIABLE_H

#include "worker/worker.h"

#include "lib/stringinfo.h"

/*
 * Appends the value of a variable, unescaped; the name ends with a zero after
 * length bytes. Returns false when there is no variable of that name, or it
 * has no value for this message.
 */
extern bool variable_append(StringInfo out, const Job *job, const char *name, size_t length);

/* Gateways that cannot reach us are not asked for reports. */
extern bool variable_reports_wanted(void);

#endif
