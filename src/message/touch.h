/*
 * touch.h - the tables smsflow.touch and smsflow.touch_run, which the worker writes and caps are counted by.
 */
#ifndef SMSFLOW_TOUCH_H
#define SMSFLOW_TOUCH_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "message/policy.h"

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

/* A run holds touches of contacts of one span that have all else in common. */
typedef enum TouchRunColumn
{
	RUN_SPAN,
	RUN_SENT,
	RUN_PURPOSE,
	RUN_SUBJECT,
	RUN_COUNTED,
	RUN_WORDING,
	RUN_PLACES,
	RUN_MESSAGES
} TouchRunColumn;

/* The number of a column in its table. */
#define TOUCH_NUMBER(column) ((AttrNumber) ((column) + 1))

/* 64 contacts whose ids follow each other, and the place of one among them; the view smsflow.touched knows it, too. */
#define CONTACT_SPAN(contact_id) ((contact_id) >> 6)
#define CONTACT_PLACE(contact_id) ((int16) ((contact_id) &63))

typedef struct SmsflowTouch
{
	TimestampTz sent_at;
	int64 message_id;
	Oid purpose;
	Datum subject;
	bool counted;
	bool wording;
} SmsflowTouch;

typedef struct SmsflowTouches SmsflowTouches;

/* The touches of a contact of an interval of time (after < sent_at <= until), by the active snapshot. */
extern SmsflowTouches *smsflow_touches_begin(const SmsflowPolicy *policy, int64 contact_id, TimestampTz after, TimestampTz until);

/* The next one, newest first, good until the one after it is asked for; NULL: there is none. */
extern const SmsflowTouch *smsflow_touches_next(SmsflowTouches *touches);
extern void smsflow_touches_end(SmsflowTouches *touches);

#endif
