/*
 * The HTTP listener and its routes.  What a client sends is limited in size and time by evhttp, checked here for what
 * PostgreSQL cannot store, and otherwise left exactly as it came, because signatures cover the raw bytes.
 */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "callback.h"
#include "clock.h"
#include "documents.h"
#include "log.h"

/* Descriptors the database connection and the spool may need beyond those open at start. */
#define SPARE_DESCRIPTORS 8

/* Connections the kernel may queue, which are all accepted before the cap is applied to them. */
#define BACKLOG 128

/* Bytes that a connection may have sent ahead, beside a body and headers of the largest size: what one read gives. */
#define READ_AHEAD 65536

#define EVERY_METHOD 0x1FF
#define LENGTH_REQUIRED 411

/* The figures of the database in /metrics: for so long they are given again, and no scraper waits longer for them. */
#define FIGURES_KEPT_SECONDS 5
#define FIGURES_PATIENCE_SECONDS 2

/* What a request may take from its first byte on, besides twice the time that its connection may be silent: ours to answer. */
#define ANSWER_SECONDS 10

struct http
{
	struct http_context context;
	struct evhttp *server;
	struct evhttp_bound_socket *socket;
	struct event *resume; /* accept again after running out of descriptors */
	int first_descriptor; /* lower ones belong to the daemon itself */

	/* Per descriptor, when its connection began or had its last request, in monotonic milliseconds; 0: not watched. */
	int64_t *since;
	int since_count;
	struct event *sweep; /* every second */
	struct documents *figures;
};

/* What a connection may have sent ahead; the same for all, and a callback of its input has room for the stream alone. */
static size_t read_ahead;

/* A connection just accepted, see check_connection. */
struct newcomer
{
	struct http *http;
	struct bufferevent *stream;
};

/* ---- slow clients ---- */

/* A descriptor that is too high is beyond the cap, and closed anyway. */
static void
note_request(struct http *http, evutil_socket_t descriptor)
{
	if (descriptor >= 0 && descriptor < http->since_count)
		http->since[descriptor] = monotonic_ms();
}

/* The number may be another's by now, such as the database's. */
static bool
is_connection(const struct http *http, evutil_socket_t descriptor)
{
	struct sockaddr_storage address = {0};
	socklen_t size = sizeof(address);

	if (getsockname(descriptor, (struct sockaddr *) &address, &size) != 0)
		return false;
	if (address.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *) &address)->sin_port) == http->context.config->listen_port;
	return address.ss_family == AF_INET6 &&
		   ntohs(((struct sockaddr_in6 *) &address)->sin6_port) == http->context.config->listen_port;
}

/*
 * evhttp closes a connection that is silent, but not one that sends a byte now and then for ever. A connection that had no
 * whole request for this long is such a one, as silence would have ended it before.
 */
static void
on_sweep(evutil_socket_t unused, short what, void *argument)
{
	struct http *http = argument;
	int64_t oldest = monotonic_ms() - 1000 * (2 * http->context.config->timeout_s + ANSWER_SECONDS);

	(void) unused;
	(void) what;
	for (int descriptor = 0; descriptor < http->since_count; descriptor++)
	{
		if (http->since[descriptor] == 0 || http->since[descriptor] > oldest)
			continue;
		http->since[descriptor] = 0;
		if (is_connection(http, descriptor))
			shutdown(descriptor, SHUT_RDWR);
	}
}

/* Makes room for as many connections as there may be. */
static void
watch_descriptors(struct http *http)
{
	int count = http->first_descriptor + (int) http->context.config->max_connections;
	int64_t *since = count > http->since_count ? realloc(http->since, (size_t) count * sizeof(*since)) : NULL;

	if (since == NULL)
		return;
	memset(since + http->since_count, 0, (size_t) (count - http->since_count) * sizeof(*since));
	http->since = since;
	http->since_count = count;
}

/* ---- routes ---- */

static void
reply(struct exchange *exchange, int status, const char *text)
{
	exchange_reply(exchange, status, "text/plain", slice_of(text));
}

static void
serve_health(struct http *http, struct exchange *exchange)
{
	const char *trouble = batcher_trouble(http->context.batcher);
	char text[64];

	if (trouble == NULL)
	{
		reply(exchange, HTTP_OK, "ok\n");
		return;
	}
	evutil_snprintf(text, sizeof(text), "database: %s\n", trouble);
	reply(exchange, HTTP_SERVUNAVAIL, text);
}

/* The figures of the database, as it writes them. */
static const struct section figure_text = {NULL, RAW, "SELECT smsflow.open_metrics()", NULL};
static const struct page figure_page = {NULL, NULL, NULL, &figure_text, 1};

/* Answers with our own figures, and those of the database as far as it gave them. */
static void
take_figures(void *argument, struct exchange *exchange, enum document_state state, struct slice figures)
{
	struct http *http = argument;
	struct exchanges *exchanges = http->context.exchanges;
	struct evbuffer *text = evbuffer_new();

	(void) state;
	exchanges->metrics->spool_bytes = (uint64_t) spool_bytes(http->context.spool);
	exchanges->metrics->spool_damaged = spool_damaged(http->context.spool);
	exchanges->metrics->open_exchanges = exchanges->open;
	exchanges->metrics->database_up = batcher_trouble(http->context.batcher) == NULL;
	metrics_append(exchanges->metrics, figures, text);
	exchange_reply(exchange, HTTP_OK, "application/openmetrics-text; version=1.0.0; charset=utf-8",
				   (struct slice){(const char *) evbuffer_pullup(text, -1), evbuffer_get_length(text)});
	evbuffer_free(text);
}

/* The gateway in /callback/<gateway>[/<token>] or /in/<gateway>[/<token>], still percent-encoded; empty if none. */
static struct slice
gateway_segment(const char *path)
{
	const char *start = strchr(path + 1, '/');
	const char *token;
	size_t length;

	if (start == NULL)
		return slice_of(NULL);
	start++;
	length = strcspn(start, "/");
	token = start + length;
	if (*token == '/' && strchr(token + 1, '/') != NULL)
		return slice_of(NULL);
	return (struct slice){start, length};
}

static char *
decode_gateway(const char *path, struct slice *gateway)
{
	struct slice segment = gateway_segment(path);
	char *encoded = strndup(segment.data, segment.size);
	char *decoded = encoded != NULL ? evhttp_uridecode(encoded, 0, &gateway->size) : NULL;

	free(encoded);
	gateway->data = decoded;
	return decoded;
}

/* Builds the callback of a request whose gateway is known; NULL if it holds what PostgreSQL cannot store. */
static struct callback *
make_callback(struct evhttp_request *request, struct slice gateway)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	struct evbuffer *body = evhttp_request_get_input_buffer(request);
	struct evbuffer *headers = evbuffer_new();
	struct callback *callback = NULL;
	struct slice fields[FIELD_COUNT];

	text_append_headers(headers, evhttp_request_get_input_headers(request), (int64_t) time(NULL));
	fields[FIELD_GATEWAY] = gateway;
	fields[FIELD_METHOD] = slice_of(evhttp_request_get_command(request) == EVHTTP_REQ_GET ? "GET" : "POST");
	fields[FIELD_PATH] = slice_of(evhttp_uri_get_path(uri));
	fields[FIELD_QUERY] = slice_of(evhttp_uri_get_query(uri));
	fields[FIELD_HEADERS] = (struct slice){(const char *) evbuffer_pullup(headers, -1), evbuffer_get_length(headers)};
	fields[FIELD_BODY] = (struct slice){(const char *) evbuffer_pullup(body, -1), evbuffer_get_length(body)};
	if (text_is_valid(gateway) && text_is_valid(fields[FIELD_PATH]) && text_is_valid(fields[FIELD_QUERY]))
		callback = callback_new(fields);
	evbuffer_free(headers);
	return callback;
}

static int
count_headers(const struct evkeyvalq *headers, const char *name)
{
	const struct evkeyval *header;
	int count = 0;

	TAILQ_FOREACH(header, headers, next)
	if (evutil_ascii_strcasecmp(header->key, name) == 0)
		count++;
	return count;
}

/* What a body is delimited by, as every proxy reads it: evhttp ignores codings that it does not know, and takes "+1" for 1. */
static bool
is_plain_delimiter(const struct evkeyvalq *headers)
{
	const char *length = evhttp_find_header(headers, "Content-Length");
	const char *coding = evhttp_find_header(headers, "Transfer-Encoding");

	if (length != NULL && length[strspn(length, "0123456789")] != '\0')
		return false;
	return coding == NULL || evutil_ascii_strcasecmp(coding, "chunked") == 0;
}

/*
 * The status that refuses a request whose body is not clearly delimited, or 0.  evhttp does not read the body of a
 * GET and takes the first of several lengths, so that the rest would become the next request: a way to smuggle requests
 * past a proxy.  Without a length it drops the body of a POST, and answering 200 then would lose a callback.
 */
static int
body_refusal(struct evhttp_request *request)
{
	struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
	int lengths = count_headers(headers, "Content-Length");
	int encodings = count_headers(headers, "Transfer-Encoding");

	if (lengths + encodings > 1 || !is_plain_delimiter(headers))
		return HTTP_BADREQUEST;
	if (evhttp_request_get_command(request) == EVHTTP_REQ_POST)
		return lengths + encodings == 0 ? LENGTH_REQUIRED : 0;
	if (encodings > 0 || (lengths > 0 && strcmp(evhttp_find_header(headers, "Content-Length"), "0") != 0))
		return HTTP_BADREQUEST;
	return 0;
}

static void
serve_callback(struct http *http, struct evhttp_request *request, struct exchange *exchange)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
	struct slice gateway;
	char *decoded = decode_gateway(path, &gateway);
	struct callback *callback;

	if (decoded == NULL || gateway.size == 0)
		reply(exchange, HTTP_NOTFOUND, "not found\n");
	else if ((callback = make_callback(request, gateway)) == NULL)
		reply(exchange, HTTP_BADREQUEST, "path and query must be UTF-8 without NUL\n");
	else
	{
		callback->exchange = exchange;
		batcher_add(http->context.batcher, callback);
	}
	free(decoded);
}

static enum route
route_of(const struct http *http, const char *path)
{
	if (path == NULL)
		return ROUTE_OTHER;
	if (http->context.links != NULL && links_is_path(path))
		return ROUTE_LINK;
	if (strncmp(path, "/callback/", 10) == 0)
		return ROUTE_CALLBACK;
	if (strncmp(path, "/in/", 4) == 0)
		return ROUTE_IN;
	if (strcmp(path, "/healthz") == 0)
		return ROUTE_HEALTHZ;
	if (strcmp(path, "/metrics") == 0)
		return ROUTE_METRICS;
	return ROUTE_OTHER;
}

static void
serve(struct http *http, struct evhttp_request *request, struct exchange *exchange, enum route route)
{
	switch (route)
	{
		case ROUTE_CALLBACK:
		case ROUTE_IN:
			serve_callback(http, request, exchange);
			break;
		case ROUTE_LINK:
			links_serve(http->context.links, request, exchange, evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request)));
			break;
		case ROUTE_HEALTHZ:
			serve_health(http, exchange);
			break;
		case ROUTE_METRICS:
			documents_serve(http->figures, exchange, &figure_page, NULL);
			break;
		default:
			reply(exchange, HTTP_NOTFOUND, "not found\n");
	}
}

static bool
is_allowed(enum route route, enum evhttp_cmd_type method)
{
	return method == EVHTTP_REQ_GET || method == (route == ROUTE_LINK ? EVHTTP_REQ_HEAD : EVHTTP_REQ_POST);
}

static void
on_request(struct evhttp_request *request, void *argument)
{
	struct http *http = argument;
	enum route route = route_of(http, evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request)));
	enum evhttp_cmd_type method = evhttp_request_get_command(request);
	struct exchange *exchange = exchange_begin(http->context.exchanges, request, route);
	int refusal;

	note_request(http, bufferevent_getfd(evhttp_connection_get_bufferevent(evhttp_request_get_connection(request))));
	if (exchange == NULL)
		return;
	refusal = body_refusal(request);
	if (refusal != 0)
	{
		evhttp_add_header(evhttp_request_get_output_headers(request), "Connection", "close");
		reply(exchange, refusal, "the end of the body is open to doubt\n");
	}
	else if (!is_allowed(route, method))
		reply(exchange, HTTP_BADMETHOD, NULL);
	else
		serve(http, request, exchange, route);
}

/*
 * Closes a connection beyond the cap.  evhttp does not say when a connection ends, but the kernel keeps count: a new
 * descriptor is always the lowest free one, so one numbered this high means that so many are open.  This runs after
 * evhttp has set the connection up and before anything is read from it.
 */
static void
check_connection(evutil_socket_t descriptor, short what, void *argument)
{
	struct newcomer *newcomer = argument;
	struct http *http = newcomer->http;

	(void) descriptor;
	(void) what;
	if (bufferevent_getfd(newcomer->stream) >= http->first_descriptor + http->context.config->max_connections)
		bufferevent_trigger_event(newcomer->stream, BEV_EVENT_EOF | BEV_EVENT_READING, 0);
	else
		note_request(http, bufferevent_getfd(newcomer->stream));
	bufferevent_decref(newcomer->stream);
	free(newcomer);
}

static void
close_greedy(evutil_socket_t descriptor, short what, void *argument)
{
	struct bufferevent *stream = argument;

	(void) descriptor;
	(void) what;
	bufferevent_trigger_event(stream, BEV_EVENT_EOF | BEV_EVENT_READING, 0);
	bufferevent_decref(stream);
}

/*
 * evhttp keeps what a client sends before it is asked for: requests behind one whose answer the client does not read, or a line
 * of a chunk that does not end, which it also reads from its begin each time.  Nobody needs more ahead than the largest
 * chunk, which has to be there as a whole, and the lines around it.
 */
static void
on_input(struct evbuffer *input, const struct evbuffer_cb_info *change, void *argument)
{
	struct bufferevent *stream = argument;

	if (change->n_added == 0 || evbuffer_get_length(input) <= read_ahead)
		return;
	bufferevent_incref(stream);
	event_base_once(bufferevent_get_base(stream), -1, EV_TIMEOUT, close_greedy, stream, NULL);
}

static struct bufferevent *
make_connection(struct event_base *base, void *argument)
{
	struct bufferevent *stream = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	struct newcomer *newcomer = malloc(sizeof(*newcomer));

	if (stream == NULL || newcomer == NULL)
	{
		free(newcomer);
		return stream;
	}
	evbuffer_add_cb(bufferevent_get_input(stream), on_input, stream);
	*newcomer = (struct newcomer){argument, stream};
	bufferevent_incref(stream);
	event_base_once(base, -1, EV_TIMEOUT, check_connection, newcomer, NULL);
	return stream;
}

static void
on_resume(evutil_socket_t descriptor, short what, void *argument)
{
	struct http *http = argument;

	(void) descriptor;
	(void) what;
	if (http->socket != NULL)
		evconnlistener_enable(evhttp_bound_socket_get_listener(http->socket));
}

/* Out of descriptors or memory: without a pause, the event loop would spin on the waiting connection. */
static void
on_accept_error(struct evconnlistener *listener, void *argument)
{
	static const struct timeval pause = {0, 100000};
	struct http *http = argument;

	log_line("http: cannot accept a connection: %s", strerror(errno));
	evconnlistener_disable(listener);
	event_add(http->resume, &pause);
}

static bool
start_listening(struct http *http)
{
	const struct config *config = http->context.config;

	http->socket = evhttp_bind_socket_with_handle(http->server, config->listen_host, config->listen_port);
	if (http->socket == NULL)
	{
		log_line("http: cannot listen on %s: %s", config->listen, strerror(errno));
		return false;
	}
	evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(http->socket), on_accept_error);
	/* Gateways come in bursts: a queue of libevent's 128 lets the others wait for seconds. */
	(void) listen(evhttp_bound_socket_get_fd(http->socket), SOMAXCONN);
	log_line("http: listening on %s", config->listen);
	return true;
}

/* The descriptors below the number this returns are, or soon will be, the daemon's own. */
static int
find_first_descriptor(void)
{
	int free_descriptor = dup(STDERR_FILENO);

	close(free_descriptor);
	return free_descriptor + SPARE_DESCRIPTORS;
}

static void
raise_descriptor_limit(const struct http *http)
{
	rlim_t wanted = (rlim_t) (http->first_descriptor + http->context.config->max_connections + BACKLOG);
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
		log_line("http: the limit of open files is too low for max_connections");
}

void
http_apply_limits(struct http *http)
{
	const struct config *config = http->context.config;

	evhttp_set_max_headers_size(http->server, config->max_headers);
	evhttp_set_max_body_size(http->server, config->max_body);
	evhttp_set_timeout(http->server, (int) config->timeout_s);
	read_ahead = (size_t) (config->max_body + config->max_headers) + READ_AHEAD;
	raise_descriptor_limit(http);
	watch_descriptors(http);
}

struct http *
http_open(struct http_context context)
{
	static const struct timeval second = {1, 0};
	struct http *http = calloc(1, sizeof(*http));

	if (http == NULL)
		return NULL;
	http->context = context;
	http->server = evhttp_new(context.base);
	http->resume = evtimer_new(context.base, on_resume, http);
	http->sweep = event_new(context.base, -1, EV_PERSIST, on_sweep, http);
	event_add(http->sweep, &second);
	http->first_descriptor = find_first_descriptor();
	evhttp_set_allowed_methods(http->server, EVERY_METHOD);
	evhttp_set_default_content_type(http->server, NULL);
	evhttp_set_flags(http->server, EVHTTP_SERVER_LINGERING_CLOSE);
	evhttp_set_bevcb(http->server, make_connection, http);
	evhttp_set_gencb(http->server, on_request, http);
	http_apply_limits(http);
	http->figures =
		documents_open(context.base, (struct document_settings){"figures", context.config->database, FIGURES_KEPT_SECONDS,
																FIGURES_PATIENCE_SECONDS, take_figures, http});
	if (http->figures != NULL && start_listening(http))
		return http;
	http_close(http);
	return NULL;
}

void
http_stop_accepting(struct http *http)
{
	if (http->socket != NULL)
		evhttp_del_accept_socket(http->server, http->socket);
	http->socket = NULL;
}

void
http_close(struct http *http)
{
	evhttp_free(http->server);
	if (http->figures != NULL)
		documents_close(http->figures);
	event_free(http->resume);
	event_free(http->sweep);
	free(http->since);
	free(http);
}
