/*
 * publish.c - the worker shows how its gateways and senders are doing: a few
 * times a second it copies what it knows into shared memory, where the stat
 * views read it. Nobody who looks makes the worker wait, and nothing is written
 * to a table.
 */
#include "worker/worker.h"

#include "miscadmin.h"

#define PUBLISH_INTERVAL (250 * INT64CONST(1000))

/* Latencies are those of the present minute and the one before. */
#define LATENCY_SPAN (60 * USECS_PER_SEC)

static int64 published_at = 0;
static bool unpublished = false;

/* ---- what is remembered between two looks ---- */

static void
count_status(Gateway *gateway, int status)
{
	int i = 0;

	while (i < SMSFLOW_HTTP_CODES - 1 && gateway->http_count[i] > 0 && gateway->http_status[i] != status)
		i++;

	/* The last place is for all others. */
	gateway->http_status[i] = (int16) (i < SMSFLOW_HTTP_CODES - 1 ? status : -1);
	gateway->http_count[i]++;
}

static void
turn_minute(Gateway *gateway, int64 monotonic)
{
	if (monotonic - gateway->latency_began < LATENCY_SPAN)
		return;
	gateway->latency[1] = gateway->latency[0];
	memset(&gateway->latency[0], 0, sizeof(gateway->latency[0]));
	gateway->latency_began = monotonic;
}

void
publish_answer(Gateway *gateway, int status, int64 microseconds)
{
	turn_minute(gateway, worker.clock->monotonic());
	smsflow_histogram_add(&gateway->latency[0], microseconds);
	count_status(gateway, status);
}

void
publish_loop(int64 microseconds)
{
	static int64 began = 0;
	int64 now = worker.clock->monotonic();

	if (now - began >= LATENCY_SPAN)
	{
		worker.loop_time[1] = worker.loop_time[0];
		memset(&worker.loop_time[0], 0, sizeof(worker.loop_time[0]));
		began = now;
	}
	smsflow_histogram_add(&worker.loop_time[0], microseconds);
}

/* ---- copying ---- */

static TimestampTz
wall_clock(int64 at, int64 monotonic)
{
	return at > monotonic ? worker.clock->now() + (at - monotonic) : 0;
}

static SmsflowRouteState
route_state(SendLimit *limit, const SmsflowBreaker *breaker, int in_flight, int64 monotonic)
{
	SmsflowRouteState state = {.id = limit->key.id, .in_flight = in_flight, .waiting = limit->waiting, .parts = limit->passed};
	double seconds = (double) (monotonic - published_at) / USECS_PER_SEC;

	limit->pace +=
		(1 - smsflow_rate_share(monotonic - published_at)) * ((double) (limit->passed - limit->shown) / seconds - limit->pace);
	limit->shown = limit->passed;
	state.rate = limit->pace;
	state.tokens = limit->has_rate ? smsflow_limiter_room(&limit->use->limiter, monotonic, 0) : 0;
	state.breaker = (int32) smsflow_breaker_state(breaker, monotonic);
	state.failures = breaker->failures;
	state.trips = breaker->trips;
	state.open_until = wall_clock(breaker->open_until, monotonic);
	state.used_today = limit->use->used;
	state.daily_limit = limit->daily_limit;
	return state;
}

static SmsflowGatewayState
gateway_state(Gateway *gateway, int64 monotonic)
{
	SmsflowGatewayState state = {.route = route_state(gateway->limit, &gateway->breaker, gateway->in_flight, monotonic)};
	SmsflowHistogram latency = gateway->latency[1];

	turn_minute(gateway, monotonic);
	smsflow_histogram_merge(&latency, &gateway->latency[0]);
	state.p50 = smsflow_histogram_quantile(&latency, 0.50);
	state.p95 = smsflow_histogram_quantile(&latency, 0.95);
	state.p99 = smsflow_histogram_quantile(&latency, 0.99);
	memcpy(state.http_status, gateway->http_status, sizeof(state.http_status));
	memcpy(state.http_count, gateway->http_count, sizeof(state.http_count));
	return state;
}

static SmsflowSenderState
sender_state(Sender *sender, int64 monotonic)
{
	SmsflowSenderState state = {.route = route_state(sender->limit, &sender->breaker, sender->in_flight, monotonic)};

	if (state.route.breaker != BREAKER_CLOSED && sender->paused_for)
		strlcpy(state.paused_for, sender->paused_for, sizeof(state.paused_for));
	return state;
}

/* Of several workers, each shows the gateways whose queues it has. */
static bool
is_shown(const Gateway *gateway)
{
	return gateway && gateway->present && gateway->gateway_id % smsflow_workers == worker.slot->number;
}

static void
copy_routes(SmsflowRoutes *routes, int64 monotonic)
{
	HASH_SEQ_STATUS scan;
	Gateway *gateway;
	Sender *sender;

	routes->gateways = routes->senders = 0;
	hash_seq_init(&scan, worker.gateways);
	while ((gateway = hash_seq_search(&scan)) != NULL)
		if (is_shown(gateway) && routes->gateways < SMSFLOW_SHOWN_GATEWAYS)
			routes->gateway[routes->gateways++] = gateway_state(gateway, monotonic);
	hash_seq_init(&scan, worker.senders);
	while ((sender = hash_seq_search(&scan)) != NULL)
		if (sender->present && is_shown(sender->gateway) && routes->senders < SMSFLOW_SHOWN_SENDERS)
			routes->sender[routes->senders++] = sender_state(sender, monotonic);
}

/* ---- queues ---- */

void
publish_waiting(int32 queue_id)
{
	uint32 bit = (uint32) queue_id % SMSFLOW_WAITING_BITS;
	pg_atomic_uint32 *word = &worker.slot->waiting[bit / 32];

	if ((pg_atomic_read_u32(word) & ((uint32) 1 << (bit % 32))) == 0)
		pg_atomic_fetch_or_u32(word, (uint32) 1 << (bit % 32));
}

/* Bits are set as queues are woken; here those of queues that have become empty go. */
static void
publish_queues(void)
{
	uint32 words[SMSFLOW_WAITING_WORDS] = {0};
	dlist_iter iter;

	for (int lane = 0; lane < SMSFLOW_LANES; lane++)
		dlist_foreach(iter, &worker.hungry[lane])
		{
			const Queue *queue = dlist_container(Queue, in_hungry, iter.cur);
			uint32 bit = (uint32) queue->queue_id % SMSFLOW_WAITING_BITS;

			if ((queue->more && !queue->swept) || queue->next_due != DT_NOEND)
				words[bit / 32] |= (uint32) 1 << (bit % 32);
		}
	for (int i = 0; i < SMSFLOW_WAITING_WORDS; i++)
		if (pg_atomic_read_u32(&worker.slot->waiting[i]) != words[i])
			pg_atomic_write_u32(&worker.slot->waiting[i], words[i]);
	pg_atomic_write_u32(&worker.slot->claims, worker.armed ? 1 : 0);
}

int64
publish_due(void)
{
	return unpublished ? published_at + PUBLISH_INTERVAL : PG_INT64_MAX;
}

void
publish_routes(void)
{
	int64 monotonic = worker.clock->monotonic();

	unpublished = monotonic - published_at < PUBLISH_INTERVAL;
	if (unpublished)
		return;
	publish_queues();
	LWLockAcquire(smsflow_shared->stat_lock, LW_EXCLUSIVE);
	copy_routes(&worker.slot->routes, monotonic);
	worker.slot->routes.published_at = worker.clock->now();
	LWLockRelease(smsflow_shared->stat_lock);
	published_at = monotonic;
}

/* ---- the worker itself ---- */

void
publish_state(const char *state)
{
	SmsflowSlot *slot = worker.slot;
	SmsflowHistogram loops = worker.loop_time[1];
	int64 p50;
	int64 p99;

	smsflow_histogram_merge(&loops, &worker.loop_time[0]);
	p50 = smsflow_histogram_quantile(&loops, 0.5);
	p99 = smsflow_histogram_quantile(&loops, 0.99);
	SpinLockAcquire(&slot->mutex);
	strlcpy(slot->worker.state, state, sizeof(slot->worker.state));
	slot->worker.pid = MyProcPid;
	slot->worker.generation = worker.generation;
	slot->worker.last_turn = worker.clock->now();
	slot->worker.in_flight = worker.in_flight;
	slot->worker.backlog = worker.backlog;
	slot->worker.sent = worker.sent;
	slot->worker.gaps = worker.late.running.count;
	slot->worker.loop_p50 = p50;
	slot->worker.loop_p99 = p99;
	SpinLockRelease(&slot->mutex);
}
