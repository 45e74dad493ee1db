/* The connection to PostgreSQL, in the daemon's event loop. */
#ifndef SMSFLOWD_DATABASE_H
#define SMSFLOWD_DATABASE_H

#include <event2/event.h>
#include <libpq-fe.h>
#include <stdbool.h>

struct database;

/* What the connection tells its user.  None of these is called from within database_send. */
struct database_events
{
	void (*on_ready)(void *argument); /* connected and idle */
	void (*on_lost)(void *argument);  /* a statement that was running is in doubt */

	/* The statement ended and its transaction is over; the result is freed by the caller. */
	void (*on_result)(void *argument, const PGresult *result);
};

/* The parameters of one statement, all in binary format. */
struct statement
{
	const char *text;
	int count;
	const Oid *types;
	const char *const *values;
	const int *lengths;
};

/* Starts connecting.  The name, for log lines, and the connection string must outlive the connection. */
struct database *database_open(struct event_base *base, const char *name, const char *conninfo, struct database_events events,
							   void *argument);
void database_close(struct database *database);

/* True if a statement can be sent now. */
bool database_is_ready(const struct database *database);

/* True if connected, idle or not. */
bool database_is_up(const struct database *database);

/* Why the database is not up, in a few words that are fit for strangers. */
const char *database_reason(const struct database *database);

/* Runs one statement in its own transaction; on_result or on_lost follows. */
void database_send(struct database *database, const struct statement *statement);

/* The result was good: connect quickly again, should the connection be lost. */
void database_trust(struct database *database);

/* The database answers, but not usefully: drops the connection and tries again later.  Calls on_lost. */
void database_distrust(struct database *database, const char *reason);

/* Drops the connection for good.  Calls on_lost if it was up. */
void database_stop(struct database *database);

#endif
