/*
 * The web report.  It listens on a loopback address alone, which the configuration sees to, and answers only requests
 * that name one as their host: a page from elsewhere, opened in a browser of this machine, cannot read it by a name that leads
 * here.  Its pages need no program in the browser, and are forbidden to fetch anything but their style.
 */
#include "report.h"

#include <errno.h>
#include <event2/http.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "documents.h"
#include "log.h"
#include "page.h"

/* Seconds for which a page is shown again, and that somebody waits for one. */
#define KEPT_SECONDS 10
#define PATIENCE_SECONDS 20

#define MOST_HEADERS 8192
#define MOST_BODY 1024
#define IDLE_SECONDS 10
#define EVERY_METHOD 0x1FF
#define MISDIRECTED 421

struct report
{
	struct exchanges *exchanges;
	struct evhttp *server;
	struct evhttp_bound_socket *socket;
	struct documents *documents;
};

/* report.css, as the compiler takes it. */
static const char style[] =
#include "generated/report_css.inc"
	;

static void
add_headers(struct exchange *exchange, const char *lifetime)
{
	exchange_header(exchange, "Cache-Control", lifetime);
	exchange_header(exchange, "Content-Security-Policy",
					"default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors "
					"'none'");
	exchange_header(exchange, "X-Content-Type-Options", "nosniff");
	exchange_header(exchange, "Referrer-Policy", "no-referrer");
}

static void
reply(struct exchange *exchange, int status, struct slice html)
{
	add_headers(exchange, "no-store");
	exchange_reply(exchange, status, "text/html; charset=utf-8", html);
}

static void
say(struct exchange *exchange, int status, const char *title, const char *words)
{
	struct evbuffer *html = evbuffer_new();

	page_append_words(html, title, words);
	reply(exchange, status, (struct slice){(const char *) evbuffer_pullup(html, -1), evbuffer_get_length(html)});
	evbuffer_free(html);
}

static void
take_document(void *argument, struct exchange *exchange, enum document_state state, struct slice text)
{
	(void) argument;
	switch (state)
	{
		case DOCUMENT_READY:
			reply(exchange, HTTP_OK, text);
			break;
		case DOCUMENT_UNKNOWN:
			say(exchange, HTTP_NOTFOUND, "No such campaign", "It is not in the list of campaigns.");
			break;
		case DOCUMENT_AWAY:
			say(exchange, HTTP_SERVUNAVAIL, "No figures now", "The database is away, or takes too long. Try again in a moment.");
			break;
	}
}

/* True if the request names a loopback address as its host, or "localhost". */
static bool
is_for_us(struct evhttp_request *request)
{
	static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]"};
	const char *host = evhttp_find_header(evhttp_request_get_input_headers(request), "Host");

	for (size_t i = 0; host != NULL && i < sizeof(hosts) / sizeof(hosts[0]); i++)
	{
		size_t length = strlen(hosts[i]);

		if (strncasecmp(host, hosts[i], length) == 0 && (host[length] == '\0' || host[length] == ':'))
			return true;
	}
	return false;
}

static void
serve(struct report *report, struct exchange *exchange, const char *path)
{
	const char *argument;
	const struct page *page = path != NULL ? page_find(path, &argument) : NULL;

	if (page != NULL)
		documents_serve(report->documents, exchange, page, argument);
	else if (path == NULL || strcmp(path, "/report.css") != 0)
		say(exchange, HTTP_NOTFOUND, "No such page", "Go on with one of those above.");
	else
	{
		add_headers(exchange, "max-age=600");
		exchange_reply(exchange, HTTP_OK, "text/css; charset=utf-8", slice_of(style));
	}
}

static void
on_request(struct evhttp_request *request, void *argument)
{
	struct report *report = argument;
	struct exchange *exchange = exchange_begin(report->exchanges, request, ROUTE_REPORT);

	if (exchange == NULL)
		return;
	if (evhttp_request_get_command(request) != EVHTTP_REQ_GET)
		exchange_reply(exchange, HTTP_BADMETHOD, NULL, slice_of(NULL));
	else if (!is_for_us(request))
		say(exchange, MISDIRECTED, "Not here", "Ask for the report by the address of this machine itself, such as 127.0.0.1.");
	else
		serve(report, exchange, evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request)));
}

static bool
start_listening(struct report *report, struct event_base *base, const struct config *config)
{
	report->server = evhttp_new(base);
	if (report->server == NULL)
		return false;
	evhttp_set_max_headers_size(report->server, MOST_HEADERS);
	evhttp_set_max_body_size(report->server, MOST_BODY);
	evhttp_set_timeout(report->server, IDLE_SECONDS + PATIENCE_SECONDS);
	evhttp_set_allowed_methods(report->server, EVERY_METHOD);
	evhttp_set_default_content_type(report->server, NULL);
	evhttp_set_gencb(report->server, on_request, report);
	report->socket = evhttp_bind_socket_with_handle(report->server, config->report_host, config->report_port);
	if (report->socket == NULL)
		log_line("report: cannot listen on %s: %s", config->report_listen, strerror(errno));
	else
		log_line("report: listening on %s", config->report_listen);
	return report->socket != NULL;
}

struct report *
report_open(struct event_base *base, const struct config *config, struct exchanges *exchanges)
{
	struct report *report = calloc(1, sizeof(*report));

	if (report == NULL)
		return NULL;
	report->exchanges = exchanges;
	if (start_listening(report, base, config))
		report->documents = documents_open(base, (struct document_settings){"report", config->report_database, KEPT_SECONDS,
																			PATIENCE_SECONDS, take_document, report});
	if (report->documents != NULL)
		return report;
	report_close(report);
	return NULL;
}

void
report_stop_accepting(struct report *report)
{
	if (report->socket != NULL)
		evhttp_del_accept_socket(report->server, report->socket);
	report->socket = NULL;
}

void
report_stop(struct report *report)
{
	documents_stop(report->documents);
}

void
report_close(struct report *report)
{
	if (report->server != NULL)
		evhttp_free(report->server);
	if (report->documents != NULL)
		documents_close(report->documents);
	free(report);
}
