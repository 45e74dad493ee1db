/* Short links: redirects, and what is told to the database of them. */
#ifndef SMSFLOWD_LINK_H
#define SMSFLOWD_LINK_H

#include <event2/event.h>
#include <event2/http.h>
#include <stdbool.h>

#include "config.h"
#include "exchange.h"
#include "metrics.h"

struct links;

/* Connects to the database and reads the newest links; config, exchanges and metrics must outlive it. NULL: out of memory. */
struct links *links_open(struct event_base *base, const struct config *config, struct exchanges *exchanges,
						 struct metrics *metrics);
void links_close(struct links *links);

/* Puts a changed configuration into force. */
void links_apply_limits(struct links *links);

/* True if a path may be that of a link: a slash and eight characters of a code. */
bool links_is_path(const char *path);

/* Answers a GET or HEAD of such a path, at once or when the database has told where it leads. */
void links_serve(struct links *links, struct evhttp_request *request, struct exchange *exchange, const char *path);

/* Sends the hits that wait to the database; the exchanges are not drained before they are there, or it is away. */
void links_drain(struct links *links);

/* Gives up on the database. */
void links_stop(struct links *links);

#endif
