/*
 * touch.h - the columns of smsflow.touch, which the worker writes and caps are counted by.
 */
#ifndef SMSFLOW_TOUCH_H
#define SMSFLOW_TOUCH_H

#include "postgres.h"

typedef enum TouchColumn
{
	TOUCH_CONTACT,
	TOUCH_SENT,
	TOUCH_MESSAGE,
	TOUCH_PURPOSE,
	TOUCH_SUBJECT,
	TOUCH_REF,
	TOUCH_COUNTED,
	TOUCH_WORDING
} TouchColumn;

/* Its number in the table. */
#define TOUCH_NUMBER(column) ((AttrNumber) ((column) + 1))

#endif
