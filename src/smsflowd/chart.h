/* Curves, as SVG within a page. */
#ifndef SMSFLOWD_CHART_H
#define SMSFLOWD_CHART_H

#include <stdbool.h>

#include <event2/buffer.h>
#include <libpq-fe.h>

/*
 * A curve over the rows of the result, which are in order and at equal distances: the first column names the point, each
 * further one is a line. Says in words what is to be seen, and has the same as a table. Place is unique on the page.
 */
void chart_append(struct evbuffer *html, const char *heading, int place, const PGresult *result);

/* True when nothing but zeros would be drawn. */
bool chart_is_empty(const PGresult *result);

#endif
