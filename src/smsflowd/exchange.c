/*
 * Requests that wait for their answer.  evhttp owns its request and frees it with the connection, while the
 * database may answer much later; an exchange stands between the two and is told by both sides, so that no pointer
 * to a request outlives it and the daemon knows when the last answer has left.
 */
#include "exchange.h"

#include <event2/bufferevent.h>
#include <event2/util.h>
#include <stdlib.h>

struct exchange
{
	struct exchanges *all;
	struct evhttp_request *request; /* NULL once the connection is gone */
	enum route route;
	bool replied;
};

void
exchanges_hold(struct exchanges *all)
{
	all->open++;
}

void
exchanges_release(struct exchanges *all)
{
	all->open--;
	if (all->draining && all->open == 0)
		event_base_loopbreak(all->base);
}

static void
end(struct exchange *exchange)
{
	struct exchanges *all = exchange->all;

	free(exchange);
	exchanges_release(all);
}

static void
on_connection_closed(struct evhttp_connection *connection, void *argument)
{
	struct exchange *exchange = argument;

	(void) connection;
	exchange->request = NULL;
	if (exchange->replied)
		end(exchange);
}

static void
on_reply_written(struct evhttp_request *request, void *argument)
{
	evhttp_connection_set_closecb(evhttp_request_get_connection(request), NULL, NULL);
	end(argument);
}

struct exchange *
exchange_begin(struct exchanges *all, struct evhttp_request *request, enum route route)
{
	struct exchange *exchange = calloc(1, sizeof(*exchange));

	if (exchange == NULL)
	{
		evhttp_send_error(request, HTTP_SERVUNAVAIL, NULL);
		return NULL;
	}
	*exchange = (struct exchange){.all = all, .request = request, .route = route};
	all->open++;
	evhttp_connection_set_closecb(evhttp_request_get_connection(request), on_connection_closed, exchange);
	evhttp_request_set_on_complete_cb(request, on_reply_written, exchange);
	return exchange;
}

static const char *
allowed_methods(enum route route)
{
	if (route == ROUTE_REPORT)
		return "GET";
	return route == ROUTE_LINK ? "GET, HEAD" : "GET, POST";
}

/* The header Date, written once a second: evhttp, which adds it where it is missing, writes it for each answer. */
static const char *
date_of(struct exchanges *all)
{
	time_t now = time(NULL);
	struct tm fields;

	if (now != all->dated && gmtime_r(&now, &fields) != NULL)
	{
		evutil_date_rfc1123(all->date, sizeof(all->date), &fields);
		all->dated = now;
	}
	return all->date;
}

static void
add_headers(struct exchange *exchange, int status, const char *content_type)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(exchange->request);

	evhttp_add_header(headers, "Date", date_of(exchange->all));
	if (content_type != NULL)
		evhttp_add_header(headers, "Content-Type", content_type);
	if (status == HTTP_SERVUNAVAIL)
		evhttp_add_header(headers, "Retry-After", "30");
	if (status == HTTP_BADMETHOD)
		evhttp_add_header(headers, "Allow", allowed_methods(exchange->route));
	if (exchange->all->draining)
		evhttp_add_header(headers, "Connection", "close");
}

void
exchange_header(struct exchange *exchange, const char *name, const char *value)
{
	if (exchange->request != NULL)
		evhttp_add_header(evhttp_request_get_output_headers(exchange->request), name, value);
}

/*
 * Writes the reply without waiting to be told that the socket takes it, as it almost always does: that costs two more
 * system calls and a turn of the event loop for each request.  What does not fit leaves as ever.  evhttp is told at once, too:
 * it frees the request, so that the next one finds its memory still warm.
 */
static void
write_now(struct bufferevent *stream)
{
	struct evbuffer *output = bufferevent_get_output(stream);

	evbuffer_unfreeze(output, 1);
	while (evbuffer_get_length(output) > 0 && evbuffer_write(output, bufferevent_getfd(stream)) > 0)
		;
	evbuffer_freeze(output, 1);
	if (evbuffer_get_length(output) > 0)
		return;
	bufferevent_disable(stream, EV_WRITE);
	bufferevent_trigger(stream, EV_WRITE, 0);
}

void
exchange_reply(struct exchange *exchange, int status, const char *content_type, struct slice body)
{
	struct bufferevent *stream;

	if (status < 200 || status > HIGHEST_STATUS)
		status = HTTP_INTERNAL;
	exchange->replied = true;
	exchange->all->metrics->requests[exchange->route][status]++;
	if (exchange->request == NULL)
	{
		end(exchange);
		return;
	}
	add_headers(exchange, status, content_type);
	if (body.size > 0)
		evbuffer_add(evhttp_request_get_output_buffer(exchange->request), body.data, body.size);
	stream = evhttp_connection_get_bufferevent(evhttp_request_get_connection(exchange->request));
	evhttp_send_reply(exchange->request, status, NULL, NULL);
	write_now(stream);
}

void
exchanges_drain(struct exchanges *all)
{
	all->draining = true;
	if (all->open == 0)
		event_base_loopbreak(all->base);
}
