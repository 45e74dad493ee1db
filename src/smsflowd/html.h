/* Parts of a page of the report, written from what the database answered. */
#ifndef SMSFLOWD_HTML_H
#define SMSFLOWD_HTML_H

#include <event2/buffer.h>
#include <libpq-fe.h>
#include <stdbool.h>

/* How the rows of a statement are shown. */
enum shape
{
	TITLE, /* one row: the title of the page, and what it says below it; no row: there is no such page */
	TILES, /* one row: a figure with its name per column */
	CURVE, /* a row per point in time: its name, then figures of which each is a line */
	BARS,  /* rows: a name, a figure that is drawn, and further columns */
	TABLE, /* a column campaign_id is not shown: it makes the column after it a link */
	RAW    /* one value that is text of its own; no part of a page */
};

struct section
{
	const char *heading;
	enum shape shape;
	const char *statement; /* takes the argument of the page, if it has one, as $1 */
	const char *nothing;   /* what is said where there are no rows */
};

/* Appends text of any origin so that it is only text. */
void html_text(struct evbuffer *html, const char *text);

/* Appends a number with its thousands set apart; what is no number is text. */
void html_number(struct evbuffer *html, const char *number);

/* True if a column of the result holds numbers. */
bool html_is_number(const PGresult *result, int column);

/* A table of all rows, whose caption is the heading. */
void html_table(struct evbuffer *html, const char *heading, const PGresult *result);

/* A section; place is unique on the page. A failed result says in words that its figures cannot be shown. */
void html_section(struct evbuffer *html, const struct section *section, int place, const PGresult *result);

#endif
