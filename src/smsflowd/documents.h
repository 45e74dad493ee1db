/* Documents made of what the database says, for readers who may ask more often than it shall be asked. */
#ifndef SMSFLOWD_DOCUMENTS_H
#define SMSFLOWD_DOCUMENTS_H

#include <event2/event.h>

#include "exchange.h"
#include "page.h"
#include "text.h"

struct documents;

enum document_state
{
	DOCUMENT_READY,
	DOCUMENT_UNKNOWN, /* the database does not know what the argument names */
	DOCUMENT_AWAY     /* the database is away, too slow, or refuses */
};

/* Answers one reader; the text is empty unless the document is ready. */
typedef void (*document_taker)(void *argument, struct exchange *exchange, enum document_state state, struct slice text);

struct document_settings
{
	const char *name;     /* of the connection, in log lines; outlives the documents, as the next does */
	const char *conninfo; /* libpq */
	int kept_seconds;     /* a document younger than this is given again */
	int patience_seconds; /* that a reader waits */
	document_taker take;
	void *argument;
};

/* Connects to the database; NULL: out of memory. */
struct documents *documents_open(struct event_base *base, struct document_settings settings);
void documents_close(struct documents *documents);

/*
 * Answers at once with a document that is young enough, or when the database is away; else when it is made. The argument,
 * up to nine characters, may be NULL.
 */
void documents_serve(struct documents *documents, struct exchange *exchange, const struct page *page, const char *argument);

/* Gives up on the database; readers are told that it is away. */
void documents_stop(struct documents *documents);

#endif
