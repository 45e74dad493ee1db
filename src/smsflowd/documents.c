/*
 * Documents made of what the database says.  A document is one or more statements, one after the other over a connection
 * of its own, so that callbacks and links never wait for figures; all readers that come meanwhile get the same.  It is kept for
 * some seconds: however often it is asked for, the database works for it that seldom.
 */
#include "documents.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "database.h"
#include "log.h"

#define TEXT_OID 25

/* Documents in memory; the oldest one makes room. */
#define MOST_KEPT 32

/* Readers that wait; further ones are told that the database is away. */
#define MOST_READERS 64

#define ARGUMENT_SIZE 10

/* What a document is known by. */
struct subject
{
	const struct page *page; /* NULL: nothing is kept, or made, here */
	char argument[ARGUMENT_SIZE];
};

struct kept
{
	struct subject subject;
	time_t made_at;
	struct evbuffer *text;
};

struct reader
{
	STAILQ_ENTRY(reader) next;
	struct exchange *exchange;
	struct subject subject;
	time_t since;
};

STAILQ_HEAD(reader_list, reader);

struct documents
{
	struct document_settings settings;
	struct database *database;
	struct event *turn; /* runs take_turn at the end of this turn of the event loop */
	struct event *tick; /* every second */
	struct reader_list readers;
	int reader_count;
	struct kept kept[MOST_KEPT];

	/* What is being made. */
	struct subject subject;
	int place; /* of the section whose statement runs */
	struct evbuffer *sections;
	char *title;
	char complaint[6]; /* SQLSTATE that was logged last */
};

static struct subject
subject_of(const struct page *page, const char *argument)
{
	struct subject subject = {.page = page};

	snprintf(subject.argument, sizeof(subject.argument), "%s", argument != NULL ? argument : "");
	return subject;
}

static bool
is_same(const struct subject *one, const struct subject *other)
{
	return one->page == other->page && strcmp(one->argument, other->argument) == 0;
}

/* ---- readers ---- */

static void
answer(struct documents *documents, struct exchange *exchange, enum document_state state, struct evbuffer *text)
{
	struct slice slice = slice_of(NULL);

	if (text != NULL)
		slice = (struct slice){(const char *) evbuffer_pullup(text, -1), evbuffer_get_length(text)};
	documents->settings.take(documents->settings.argument, exchange, state, slice);
}

/* Answers those who wait for the subject (NULL: for any), and since then or longer. */
static void
answer_readers(struct documents *documents, const struct subject *subject, time_t since, enum document_state state,
			   struct evbuffer *text)
{
	struct reader_list waiting = STAILQ_HEAD_INITIALIZER(waiting);
	struct reader *reader;

	STAILQ_CONCAT(&waiting, &documents->readers);
	while ((reader = STAILQ_FIRST(&waiting)) != NULL)
	{
		STAILQ_REMOVE_HEAD(&waiting, next);
		if (reader->since > since || (subject != NULL && !is_same(subject, &reader->subject)))
		{
			STAILQ_INSERT_TAIL(&documents->readers, reader, next);
			continue;
		}
		answer(documents, reader->exchange, state, text);
		free(reader);
		documents->reader_count--;
	}
}

static void
answer_all(struct documents *documents, enum document_state state)
{
	answer_readers(documents, NULL, time(NULL), state, NULL);
}

/* ---- what is kept ---- */

static struct kept *
find_kept(struct documents *documents, const struct subject *subject)
{
	for (int i = 0; i < MOST_KEPT; i++)
		if (documents->kept[i].text != NULL && is_same(&documents->kept[i].subject, subject))
			return &documents->kept[i];
	return NULL;
}

static struct kept *
find_room(struct documents *documents)
{
	struct kept *oldest = &documents->kept[0];

	for (int i = 0; i < MOST_KEPT; i++)
		if (documents->kept[i].made_at < oldest->made_at)
			oldest = &documents->kept[i];
	return oldest;
}

static void
forget(struct kept *kept)
{
	if (kept->text != NULL)
		evbuffer_free(kept->text);
	*kept = (struct kept){.made_at = 0};
}

static void
keep(struct documents *documents, struct evbuffer *text)
{
	struct kept *kept = find_kept(documents, &documents->subject);

	if (kept == NULL)
		kept = find_room(documents);
	forget(kept);
	*kept = (struct kept){documents->subject, time(NULL), text};
}

/* ---- making one ---- */

static void
end_making(struct documents *documents)
{
	if (documents->sections != NULL)
		evbuffer_free(documents->sections);
	free(documents->title);
	documents->sections = NULL;
	documents->title = NULL;
	documents->subject = (struct subject){.page = NULL};
}

/* Ends what is being made without a document. */
static void
give_up(struct documents *documents, enum document_state state)
{
	struct subject subject = documents->subject;

	end_making(documents);
	answer_readers(documents, &subject, time(NULL), state, NULL);
}

static void
finish(struct documents *documents)
{
	const struct page *page = documents->subject.page;
	struct evbuffer *text = evbuffer_new();

	if (page->sections[0].shape == RAW)
		evbuffer_add_buffer(text, documents->sections);
	else
		page_append(text, page, documents->title != NULL ? documents->title : page->title, documents->sections);
	keep(documents, text);
	answer_readers(documents, &documents->subject, time(NULL), DOCUMENT_READY, text);
	end_making(documents);
}

static void
send_statement(struct documents *documents)
{
	static const Oid types[] = {TEXT_OID};
	const char *value = documents->subject.argument;
	int length = (int) strlen(value);

	database_send(documents->database, &(struct statement){documents->subject.page->sections[documents->place].statement,
														   length > 0 ? 1 : 0, types, &value, &length});
}

static void
begin_making(struct documents *documents, struct subject subject)
{
	documents->subject = subject;
	documents->place = 0;
	documents->sections = evbuffer_new();
	send_statement(documents);
}

static void
take_turn(evutil_socket_t descriptor, short what, void *argument)
{
	struct documents *documents = argument;

	(void) descriptor;
	(void) what;
	if (!database_is_up(documents->database))
		answer_all(documents, DOCUMENT_AWAY);
	else if (!database_is_ready(documents->database))
		return;
	else if (documents->subject.page != NULL)
		send_statement(documents);
	else if (!STAILQ_EMPTY(&documents->readers))
		begin_making(documents, STAILQ_FIRST(&documents->readers)->subject);
}

static void
log_refusal(struct documents *documents, const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (sqlstate == NULL || strncmp(sqlstate, documents->complaint, 5) == 0)
		return;
	log_line("%s: SQLSTATE %.5s", documents->settings.name, sqlstate);
	snprintf(documents->complaint, sizeof(documents->complaint), "%.5s", sqlstate);
}

/* A section whose statement fails says so on its page; without a title, or without the only value, there is no document. */
static enum document_state
add_section(struct documents *documents, const PGresult *result)
{
	const struct section *section = &documents->subject.page->sections[documents->place];
	bool good = PQresultStatus(result) == PGRES_TUPLES_OK && (section->shape != RAW || PQntuples(result) > 0);

	if (!good)
		log_refusal(documents, result);
	if (!good && (section->shape == RAW || section->shape == TITLE))
		return DOCUMENT_AWAY;
	if (section->shape == TITLE && PQntuples(result) == 0)
		return DOCUMENT_UNKNOWN;
	if (section->shape == TITLE)
		documents->title = strdup(PQgetvalue(result, 0, 0));
	if (section->shape == RAW)
		evbuffer_add_printf(documents->sections, "%s", PQgetvalue(result, 0, 0));
	else
		html_section(documents->sections, section, documents->place, result);
	return DOCUMENT_READY;
}

/* ---- the connection ---- */

static void
on_ready(void *argument)
{
	struct documents *documents = argument;

	event_active(documents->turn, EV_TIMEOUT, 0);
}

static void
on_lost(void *argument)
{
	struct documents *documents = argument;

	end_making(documents);
	event_active(documents->turn, EV_TIMEOUT, 0);
}

static void
on_result(void *argument, const PGresult *result)
{
	struct documents *documents = argument;
	enum document_state state = add_section(documents, result);

	database_trust(documents->database);
	if (state != DOCUMENT_READY)
		give_up(documents, state);
	else if (++documents->place == documents->subject.page->section_count)
		finish(documents);
	event_active(documents->turn, EV_TIMEOUT, 0);
}

/* Who has waited for too long is told so; what is being made goes on, for the next. */
static void
on_tick(evutil_socket_t descriptor, short what, void *argument)
{
	struct documents *documents = argument;

	(void) descriptor;
	(void) what;
	answer_readers(documents, NULL, time(NULL) - documents->settings.patience_seconds - 1, DOCUMENT_AWAY, NULL);
}

/* ---- for others ---- */

void
documents_serve(struct documents *documents, struct exchange *exchange, const struct page *page, const char *argument)
{
	struct subject subject = subject_of(page, argument);
	struct kept *kept = find_kept(documents, &subject);
	struct reader *reader;

	if (kept != NULL && time(NULL) - kept->made_at < documents->settings.kept_seconds)
	{
		answer(documents, exchange, DOCUMENT_READY, kept->text);
		return;
	}
	reader = database_is_up(documents->database) && documents->reader_count < MOST_READERS ? malloc(sizeof(*reader)) : NULL;
	if (reader == NULL)
	{
		answer(documents, exchange, DOCUMENT_AWAY, NULL);
		return;
	}
	*reader = (struct reader){.exchange = exchange, .subject = subject, .since = time(NULL)};
	STAILQ_INSERT_TAIL(&documents->readers, reader, next);
	documents->reader_count++;
	event_active(documents->turn, EV_TIMEOUT, 0);
}

struct documents *
documents_open(struct event_base *base, struct document_settings settings)
{
	static const struct timeval second = {1, 0};
	const struct database_events events = {on_ready, on_lost, on_result};
	struct documents *documents = calloc(1, sizeof(*documents));

	if (documents == NULL)
		return NULL;
	documents->settings = settings;
	STAILQ_INIT(&documents->readers);
	documents->turn = event_new(base, -1, 0, take_turn, documents);
	documents->tick = event_new(base, -1, EV_PERSIST, on_tick, documents);
	event_add(documents->tick, &second);
	documents->database = database_open(base, settings.name, settings.conninfo, events, documents);
	return documents;
}

void
documents_close(struct documents *documents)
{
	end_making(documents);
	answer_all(documents, DOCUMENT_AWAY);
	for (int i = 0; i < MOST_KEPT; i++)
		forget(&documents->kept[i]);
	database_close(documents->database);
	event_free(documents->turn);
	event_free(documents->tick);
	free(documents);
}

void
documents_stop(struct documents *documents)
{
	database_stop(documents->database);
	answer_all(documents, DOCUMENT_AWAY);
}
