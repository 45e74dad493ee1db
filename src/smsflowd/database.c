/*
 * The connection to PostgreSQL: libpq's asynchronous calls, driven by events on its socket.  The connection is
 * AWAY (a timer starts the next attempt, 0.1 s to 5 s apart), CONNECTING, in SETUP (session settings), READY or BUSY.
 *
 * A statement's result is handed on only after ReadyForQuery.  In the extended protocol the rows and even
 * "command complete" arrive before the commit; an error of the commit itself comes after them.
 */
#include "database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define FIRST_DELAY_MS 100
#define LONGEST_DELAY_MS 5000

/* Longer than statement_timeout, which covers everything but a network that swallows packets. */
static const struct timeval patience = {8, 0};

/*
 * An answer of ours promises that the callback is on disk, so a database that runs with synchronous_commit off must
 * not have its way here.  Any other value is a choice of how much replication to wait for, and stays.
 */
static const char setup_text[] =
	"SET statement_timeout = '5s';"
	"SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

enum state
{
	AWAY,
	CONNECTING,
	SETUP,
	READY,
	BUSY,
	STOPPED
};

struct database
{
	struct event_base *base;
	const char *name; /* in log lines */
	const char *conninfo;
	struct database_events events;
	void *argument;

	enum state state;
	PGconn *connection;
	PGresult *result; /* of the statement that is running; the first error wins over rows */
	struct event *socket;
	short watched;       /* what socket waits for */
	struct event *timer; /* next attempt, or end of patience */
	int delay_ms;
	char reason[32];
	char logged[256]; /* last trouble written to the log, not to be repeated */
};

static void on_socket(evutil_socket_t descriptor, short what, void *argument);
static void on_setup_done(struct database *database);

static void
ignore_notice(void *argument, const PGresult *result)
{
	(void) argument;
	(void) result;
}

static void
unwatch(struct database *database)
{
	if (database->socket != NULL)
		event_free(database->socket);
	database->socket = NULL;
	database->watched = 0;
}

static void
watch(struct database *database, short what)
{
	if (database->watched == what)
		return;
	unwatch(database);
	database->socket =
		event_new(database->base, PQsocket(database->connection), (short) (what | EV_PERSIST), on_socket, database);
	event_add(database->socket, NULL);
	database->watched = what;
}

/*
 * Logs the first line of libpq's message, once.  Only messages about a broken connection qualify: they name hosts and
 * roles, while the message of a failed statement may quote what a client sent.
 */
static void
log_trouble(struct database *database, const char *reason)
{
	const char *message = "";
	char line[sizeof(database->logged)];

	if (database->connection != NULL && PQstatus(database->connection) == CONNECTION_BAD)
		message = PQerrorMessage(database->connection);
	snprintf(line, sizeof(line), "%s: %s%s%.*s", database->name, reason, *message != '\0' ? ": " : "",
			 (int) strcspn(message, "\n"), message);
	if (strcmp(line, database->logged) == 0)
		return;
	memcpy(database->logged, line, sizeof(line));
	log_line("%s", line);
}

static void
disconnect(struct database *database)
{
	unwatch(database);
	event_del(database->timer);
	PQclear(database->result);
	PQfinish(database->connection);
	database->result = NULL;
	database->connection = NULL;
}

static void
schedule_attempt(struct database *database)
{
	struct timeval delay = {database->delay_ms / 1000, database->delay_ms % 1000 * 1000L};

	event_add(database->timer, &delay);
	database->delay_ms *= 2;
	if (database->delay_ms > LONGEST_DELAY_MS)
		database->delay_ms = LONGEST_DELAY_MS;
}

static void
lose(struct database *database, const char *reason)
{
	bool was_up = database_is_up(database);

	snprintf(database->reason, sizeof(database->reason), "%s", reason);
	log_trouble(database, reason);
	disconnect(database);
	database->state = AWAY;
	schedule_attempt(database);
	if (was_up)
		database->events.on_lost(database->argument);
}

static void
flush(struct database *database)
{
	int rest = PQflush(database->connection);

	if (rest < 0)
		lose(database, "connection lost");
	else
		watch(database, rest > 0 ? EV_READ | EV_WRITE : EV_READ);
}

static void
begin_setup(struct database *database)
{
	PQsetnonblocking(database->connection, 1);
	database->state = SETUP;
	if (PQsendQuery(database->connection, setup_text) == 0)
		lose(database, "connection lost");
	else
		flush(database);
}

/* libpq may have changed sockets between two calls, so the event is made anew each time. */
static void
go_on_connecting(struct database *database)
{
	unwatch(database);
	switch (PQconnectPoll(database->connection))
	{
		case PGRES_POLLING_OK:
			begin_setup(database);
			break;
		case PGRES_POLLING_READING:
			watch(database, EV_READ);
			break;
		case PGRES_POLLING_WRITING:
			watch(database, EV_WRITE);
			break;
		default:
			lose(database, "cannot connect");
	}
}

static void
start_connecting(struct database *database)
{
	const char *const keywords[] = {"dbname", "client_encoding", "application_name", NULL};
	const char *const values[] = {database->conninfo, "UTF8", "smsflowd", NULL};

	database->state = CONNECTING;
	database->connection = PQconnectStartParams(keywords, values, 1);
	if (database->connection == NULL || PQstatus(database->connection) == CONNECTION_BAD)
	{
		lose(database, "cannot connect");
		return;
	}
	PQsetNoticeReceiver(database->connection, ignore_notice, NULL);
	event_add(database->timer, &patience);
	watch(database, EV_WRITE);
}

static void
on_timer(evutil_socket_t descriptor, short what, void *argument)
{
	struct database *database = argument;

	(void) descriptor;
	(void) what;
	if (database->state == AWAY)
		start_connecting(database);
	else
		lose(database, "no answer in time");
}

static bool
is_error(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK;
}

static void
keep_result(struct database *database, PGresult *result)
{
	if (database->result == NULL || (is_error(result) && !is_error(database->result)))
	{
		PQclear(database->result);
		database->result = result;
	}
	else
		PQclear(result);
}

static void
end_statement(struct database *database)
{
	PGresult *result = database->result;

	if (PQstatus(database->connection) == CONNECTION_BAD || result == NULL)
	{
		lose(database, "connection lost");
		return;
	}
	event_del(database->timer);
	if (database->state == SETUP)
	{
		on_setup_done(database);
		return;
	}
	database->result = NULL;
	database->state = READY;
	database->events.on_result(database->argument, result);
	PQclear(result);
}

static void
on_setup_done(struct database *database)
{
	if (is_error(database->result))
	{
		lose(database, "session settings refused");
		return;
	}
	PQclear(database->result);
	database->result = NULL;
	database->state = READY;
	database->logged[0] = '\0';
	log_line("%s: connected", database->name);
	database->events.on_ready(database->argument);
}

static void
read_results(struct database *database)
{
	if (PQconsumeInput(database->connection) == 0)
	{
		lose(database, "connection lost");
		return;
	}
	while (!PQisBusy(database->connection))
	{
		PGresult *result = PQgetResult(database->connection);

		if (result == NULL)
		{
			if (database->state == SETUP || database->state == BUSY)
				end_statement(database);
			return;
		}
		keep_result(database, result);
	}
}

static void
on_socket(evutil_socket_t descriptor, short what, void *argument)
{
	struct database *database = argument;

	(void) descriptor;
	if (database->state == CONNECTING)
	{
		go_on_connecting(database);
		return;
	}
	if (what & EV_WRITE)
		flush(database);
	if ((what & EV_READ) && database->state != AWAY)
		read_results(database);
}

struct database *
database_open(struct event_base *base, const char *name, const char *conninfo, struct database_events events, void *argument)
{
	struct database *database = calloc(1, sizeof(*database));

	if (database == NULL)
		return NULL;
	*database = (struct database){.base = base,
								  .name = name,
								  .conninfo = conninfo,
								  .events = events,
								  .argument = argument,
								  .delay_ms = FIRST_DELAY_MS,
								  .reason = "connecting"};
	database->timer = evtimer_new(base, on_timer, database);
	start_connecting(database);
	return database;
}

void
database_close(struct database *database)
{
	disconnect(database);
	event_free(database->timer);
	free(database);
}

bool
database_is_ready(const struct database *database)
{
	return database->state == READY;
}

bool
database_is_up(const struct database *database)
{
	return database->state == READY || database->state == BUSY;
}

const char *
database_reason(const struct database *database)
{
	return database->reason;
}

void
database_send(struct database *database, const struct statement *statement)
{
	int formats[16];
	int rest = -1;

	for (int i = 0; i < statement->count; i++)
		formats[i] = 1;
	database->state = BUSY;
	event_add(database->timer, &patience);
	if (PQsendQueryParams(database->connection, statement->text, statement->count, statement->types, statement->values,
						  statement->lengths, formats, 0) != 0)
		rest = PQflush(database->connection);

	/* A failure is reported from the event loop, not from within this call. */
	if (rest < 0)
		event_active(database->timer, EV_TIMEOUT, 0);
	else
		watch(database, rest > 0 ? EV_READ | EV_WRITE : EV_READ);
}

void
database_trust(struct database *database)
{
	database->delay_ms = FIRST_DELAY_MS;
}

void
database_distrust(struct database *database, const char *reason)
{
	lose(database, reason);
}

void
database_stop(struct database *database)
{
	bool was_up = database_is_up(database);

	disconnect(database);
	database->state = STOPPED;
	if (was_up)
		database->events.on_lost(database->argument);
}
