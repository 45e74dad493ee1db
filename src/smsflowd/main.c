/*
 * smsflowd, the HTTP receiver of smsflow: delivery reports and replies come in over HTTP and go into the database,
 * and the sender gets its answer only when they are committed, or on disk while the database is away.  This file is
 * the life of the process: arguments, signals, start and end.  One thread and one event loop do everything else.
 */
#include <event2/event.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "batch.h"
#include "config.h"
#include "exchange.h"
#include "http.h"
#include "link.h"
#include "log.h"
#include "metrics.h"
#include "report.h"
#include "spool.h"

#define EXIT_USAGE 2

/* After SIGTERM, the database has this long to answer; then the spool takes the rest, and that has a second. */
static const struct timeval database_grace = {4, 0};
static const struct timeval reply_grace = {1, 0};

#define SIGNAL_COUNT 3

struct service
{
	const char *config_path;
	struct config config;
	struct metrics metrics;
	struct exchanges exchanges;
	struct event_base *base;
	struct spool *spool;
	struct batcher *batcher;
	struct links *links; /* NULL: the configuration wants none */
	struct http *http;
	struct report *report; /* NULL: the configuration wants none */
	struct event *signals[SIGNAL_COUNT];
	struct event *deadline; /* of the shutdown */
	bool gave_up;           /* the first deadline has passed */
};

static void
on_deadline(evutil_socket_t descriptor, short what, void *argument)
{
	struct service *service = argument;

	(void) descriptor;
	(void) what;
	if (service->gave_up)
	{
		event_base_loopbreak(service->base);
		return;
	}
	service->gave_up = true;
	batcher_stop(service->batcher);
	if (service->links != NULL)
		links_stop(service->links);
	if (service->report != NULL)
		report_stop(service->report);
	event_add(service->deadline, &reply_grace);
}

static void
on_stop_signal(evutil_socket_t number, short what, void *argument)
{
	struct service *service = argument;

	(void) what;
	if (service->exchanges.draining)
		return;
	log_line("stopping on signal %d, %u requests to answer", (int) number, service->exchanges.open);
	http_stop_accepting(service->http);
	if (service->report != NULL)
		report_stop_accepting(service->report);
	event_add(service->deadline, &database_grace);
	if (service->links != NULL)
		links_drain(service->links);
	exchanges_drain(&service->exchanges);
}

static void
on_reload_signal(evutil_socket_t number, short what, void *argument)
{
	struct service *service = argument;
	struct config fresh;
	char error[512];

	(void) number;
	(void) what;
	if (!config_read(service->config_path, &fresh, error, sizeof(error)))
	{
		log_line("configuration not reloaded: %s", error);
		return;
	}
	if (!config_apply_reload(&service->config, &fresh))
		log_line("listen, database, spool_dir and the report only change at a restart");
	config_free(&fresh);
	spool_set_limit(service->spool, service->config.spool_limit);
	if (service->links != NULL)
		links_apply_limits(service->links);
	http_apply_limits(service->http);
	log_line("configuration reloaded");
}

/* libevent's warnings quote what clients sent, so only its errors are passed on. */
static void
on_libevent_message(int severity, const char *message)
{
	if (severity == EVENT_LOG_ERR)
		log_line("libevent: %s", message);
}

static void
watch_signals(struct service *service)
{
	signal(SIGPIPE, SIG_IGN);
	service->signals[0] = evsignal_new(service->base, SIGTERM, on_stop_signal, service);
	service->signals[1] = evsignal_new(service->base, SIGINT, on_stop_signal, service);
	service->signals[2] = evsignal_new(service->base, SIGHUP, on_reload_signal, service);
	for (int i = 0; i < SIGNAL_COUNT; i++)
		event_add(service->signals[i], NULL);
	service->deadline = evtimer_new(service->base, on_deadline, service);
}

/*
 * Each request changes what is waited for several times, and needs dozens of small blocks of memory. So changes are handed
 * to the kernel once a turn, and freed blocks of all these sizes are put aside to be used again.
 */
static struct event_base *
make_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	if (config == NULL)
		return NULL;
	mallopt(M_MXFAST, 20 * sizeof(size_t));
	event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

static bool
start(struct service *service)
{
	service->base = make_base();
	if (service->base == NULL)
		return false;
	watch_signals(service);
	service->exchanges = (struct exchanges){.base = service->base, .metrics = &service->metrics};
	service->spool = spool_open(service->config.spool_dir, service->config.spool_limit);
	if (service->spool == NULL)
		return false;
	service->batcher = batcher_open(service->base, &service->config, service->spool, &service->metrics);
	if (service->batcher == NULL)
		return false;
	if (service->config.link_cache > 0)
		service->links = links_open(service->base, &service->config, &service->exchanges, &service->metrics);
	service->http = http_open((struct http_context){service->base, &service->config, &service->exchanges, service->batcher,
													service->links, service->spool});
	if (service->http == NULL || service->config.report_listen == NULL)
		return service->http != NULL;
	service->report = report_open(service->base, &service->config, &service->exchanges);
	return service->report != NULL;
}

/* Frees whatever start() had made before it succeeded or failed. */
static void
finish(struct service *service)
{
	if (service->report != NULL)
		report_close(service->report);
	if (service->http != NULL)
		http_close(service->http);
	if (service->links != NULL)
		links_close(service->links);
	if (service->batcher != NULL)
		batcher_close(service->batcher);
	if (service->spool != NULL)
		spool_close(service->spool);
	if (service->base == NULL)
		return;
	for (int i = 0; i < SIGNAL_COUNT; i++)
		event_free(service->signals[i]);
	event_free(service->deadline);
	event_base_free(service->base);
}

static const char *
config_path_of(int argc, char **argv)
{
	const char *path = NULL;
	int option;

	while ((option = getopt(argc, argv, "c:")) != -1)
	{
		if (option != 'c')
			return NULL;
		path = optarg;
	}
	return optind == argc ? path : NULL;
}

int
main(int argc, char **argv)
{
	struct service service = {.config_path = config_path_of(argc, argv)};
	char error[512];
	bool started;

	if (service.config_path == NULL)
	{
		fprintf(stderr, "usage: smsflowd -c FILE\n");
		return EXIT_USAGE;
	}
	if (!config_read(service.config_path, &service.config, error, sizeof(error)))
	{
		log_line("%s", error);
		return EXIT_USAGE;
	}
	event_set_log_callback(on_libevent_message);
	started = start(&service);
	if (started)
		event_base_dispatch(service.base);
	finish(&service);
	config_free(&service.config);
	if (started)
		log_line("stopped");
	return started ? EXIT_SUCCESS : EXIT_FAILURE;
}
