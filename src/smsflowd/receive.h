/* The call of smsflow.receive_callbacks, and what it returns. */
#ifndef SMSFLOWD_RECEIVE_H
#define SMSFLOWD_RECEIVE_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "callback.h"
#include "database.h"

struct reply
{
	int status;               /* HTTP status */
	const char *content_type; /* or NULL */
	struct slice body;
};

/* Sends the first count callbacks of the list as one statement. */
void receive_send(struct database *database, const struct callback_list *list, int count);

/*
 * The replies to count callbacks, to be freed with free(); they point into the result.  A callback without a row
 * gets status 500, although it is committed.
 */
struct reply *receive_replies(const PGresult *result, int count);

/*
 * True if an error with this SQLSTATE may come from a single callback, so that sending each alone helps; false if
 * the database as a whole cannot take callbacks now.
 */
bool receive_is_about_rows(const char *sqlstate);

#endif
