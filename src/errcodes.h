/*
 * errcodes.h - the SQLSTATE class of smsflow.
 *
 * Applications test these codes, so a code never changes its meaning.  Class SF is outside the ranges that the SQL
 * standard and PostgreSQL use.
 */
#ifndef SMSFLOW_ERRCODES_H
#define SMSFLOW_ERRCODES_H

#include "utils/elog.h"

#define SMSFLOW_ERRCODE_INVALID_PHONE MAKE_SQLSTATE('S', 'F', '0', '0', '1')
#define SMSFLOW_ERRCODE_INVALID_CONSENT MAKE_SQLSTATE('S', 'F', '0', '0', '2') /* text of consent or opt_out */
#define SMSFLOW_ERRCODE_INVALID_TEMPLATE MAKE_SQLSTATE('S', 'F', '0', '0', '3')
#define SMSFLOW_ERRCODE_UNKNOWN_OBJECT MAKE_SQLSTATE('S', 'F', '0', '0', '4')
#define SMSFLOW_ERRCODE_WRONG_STATE MAKE_SQLSTATE('S', 'F', '0', '0', '5') /* not allowed by the object's state */
#define SMSFLOW_ERRCODE_INVALID_MAPPING MAKE_SQLSTATE('S', 'F', '0', '0', '6')
#define SMSFLOW_ERRCODE_INVALID_ARGUMENT MAKE_SQLSTATE('S', 'F', '0', '0', '7')
#define SMSFLOW_ERRCODE_NOT_READY MAKE_SQLSTATE('S', 'F', '0', '0', '8')

#endif /* SMSFLOW_ERRCODES_H */
