/*
 * lanes.c - whose turn it is. A lane has queues that are ready, which take
 * turns by weight, and queues that wait: for an instant, for a place at their
 * gateway, or for news. Only queues that can go on are ever looked at, so a
 * thousand senders without tokens cost nothing, and none is in the way of
 * another.
 *
 * The order among those that wait is kept: who was served last goes last. A
 * queue that had to stop in the middle of its turn goes on with it.
 */
#include "worker/worker.h"

/* Places of a gateway that only the first lane may take, and the share of the places that they are at most. */
#define KEPT_PLACES 4
#define KEPT_SHARE 4

static dlist_head ready[SMSFLOW_LANES];
static pairingheap *waiting[SMSFLOW_LANES];
static dlist_head stopped;
static uint64 last_order = 0;

/* Instants within about a millisecond are one: then who waits longer goes first. */
static int
sooner(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	const Queue *left = pairingheap_const_container(Queue, in_heap, a);
	const Queue *right = pairingheap_const_container(Queue, in_heap, b);

	if (left->ready_at >> 10 != right->ready_at >> 10)
		return left->ready_at < right->ready_at ? 1 : -1;
	return left->order < right->order ? 1 : left->order > right->order ? -1 : 0;
}

void
lanes_init(void)
{
	MemoryContext old = MemoryContextSwitchTo(worker.long_lived);

	for (int i = 0; i < SMSFLOW_LANES; i++)
	{
		dlist_init(&worker.lanes[i]);
		dlist_init(&worker.hungry[i]);
		dlist_init(&ready[i]);
		waiting[i] = pairingheap_allocate(sooner, NULL);
	}
	dlist_init(&stopped);
	MemoryContextSwitchTo(old);
}

static void
leave(Queue *queue)
{
	if (queue->state == QUEUE_WAITING)
		pairingheap_remove(waiting[queue->lane], &queue->in_heap);
	else if (queue->state != QUEUE_EMPTY)
		dlist_delete(&queue->in_list);
}

static void
make_ready(Queue *queue)
{
	leave(queue);
	queue->state = QUEUE_READY;
	dlist_push_tail(&ready[queue->lane], &queue->in_list);
}

/* ---- jobs ---- */

/* What waits for a limit is not claimed for it once more. */
static void
count_waiting(Queue *queue, int parts)
{
	LimitSet limits;

	limits_of(queue, queue->sender, queue->brand_id, &limits);
	for (int i = 0; i < limits.count; i++)
		limits.limit[i]->waiting += limit_amount(limits.limit[i], parts);
	if (queue->sender && queue->sender->gateway)
		queue->sender->gateway->waiting += parts > 0 ? 1 : -1;
}

void
queue_push(Job *job)
{
	Queue *queue = job->queue;

	dlist_push_tail(&queue->jobs, &job->node);
	queue->job_count++;
	worker.backlog++;
	count_waiting(queue, job->parts);
	if (queue->state != QUEUE_EMPTY)
		return;
	queue->order = ++last_order;
	make_ready(queue);
}

Job *
queue_pop(Queue *queue)
{
	Job *job = dlist_container(Job, node, dlist_pop_head_node(&queue->jobs));

	queue->job_count--;
	worker.backlog--;
	count_waiting(queue, -job->parts);
	if (queue->job_count < queue->look_below)
		queue->look_at = 0;
	if (queue->job_count > 0)
		return job;
	leave(queue);
	queue->state = QUEUE_EMPTY;
	queue->deficit = 0;
	return job;
}

void
lanes_recount(void)
{
	HASH_SEQ_STATUS scan;
	SendLimit *limit;
	Gateway *gateway;
	Queue *queue;
	dlist_iter iter;

	hash_seq_init(&scan, worker.limits);
	while ((limit = hash_seq_search(&scan)) != NULL)
		limit->waiting = 0;
	hash_seq_init(&scan, worker.gateways);
	while ((gateway = hash_seq_search(&scan)) != NULL)
		gateway->waiting = 0;
	hash_seq_init(&scan, worker.queues);
	while ((queue = hash_seq_search(&scan)) != NULL)
	{
		queue->look_at = 0;
		if (queue->job_count == 0)
			continue;
		dlist_foreach(iter, &queue->jobs) count_waiting(queue, dlist_container(Job, node, iter.cur)->parts);
		make_ready(queue);
	}
}

/* ---- turns ---- */

Queue *
lane_next(int lane, int64 monotonic)
{
	while (!pairingheap_is_empty(waiting[lane]))
	{
		Queue *queue = pairingheap_container(Queue, in_heap, pairingheap_first(waiting[lane]));

		if (queue->ready_at > monotonic)
			break;
		make_ready(queue);
	}
	return dlist_is_empty(&ready[lane]) ? NULL : dlist_container(Queue, in_list, dlist_head_node(&ready[lane]));
}

void
queue_yield(Queue *queue)
{
	queue->order = ++last_order;
	make_ready(queue);
}

void
queue_wait_until(Queue *queue, int64 monotonic)
{
	leave(queue);
	queue->state = QUEUE_WAITING;
	queue->ready_at = monotonic;
	pairingheap_add(waiting[queue->lane], &queue->in_heap);
}

void
queue_wait_for_place(Queue *queue, Gateway *gateway)
{
	leave(queue);
	queue->state = QUEUE_CROWDED;
	if (queue->deficit > 0)
		dlist_push_head(&gateway->crowded[queue->lane], &queue->in_list);
	else
		dlist_push_tail(&gateway->crowded[queue->lane], &queue->in_list);
}

void
queue_wait_for_news(Queue *queue)
{
	leave(queue);
	queue->state = QUEUE_STOPPED;
	dlist_push_tail(&stopped, &queue->in_list);
}

void
lanes_news(void)
{
	while (!dlist_is_empty(&stopped))
		make_ready(dlist_container(Queue, in_list, dlist_head_node(&stopped)));
}

int64
lanes_wake(void)
{
	int64 wake = PG_INT64_MAX;

	for (int i = 0; i < SMSFLOW_LANES; i++)
		if (!pairingheap_is_empty(waiting[i]))
			wake = Min(wake, pairingheap_container(Queue, in_heap, pairingheap_first(waiting[i]))->ready_at);
	return wake;
}

/* ---- places ---- */

int
gateway_room(const Gateway *gateway, int lane, int64 monotonic)
{
	int places = Min(gateway->max_in_flight, smsflow_breaker_window(&gateway->breaker, monotonic));
	int kept = lane == 0 ? 0 : Min(KEPT_PLACES, places / KEPT_SHARE);

	return places - kept - gateway->in_flight;
}

static bool
admit(Gateway *gateway, int lane, int64 monotonic)
{
	bool any = false;

	for (int room = gateway_room(gateway, lane, monotonic); room > 0 && !dlist_is_empty(&gateway->crowded[lane]); room--)
	{
		make_ready(dlist_container(Queue, in_list, dlist_head_node(&gateway->crowded[lane])));
		any = true;
	}
	return any;
}

bool
lanes_admit(void)
{
	int64 monotonic = worker.clock->monotonic();
	HASH_SEQ_STATUS scan;
	Gateway *gateway;
	bool any = false;

	hash_seq_init(&scan, worker.gateways);
	while ((gateway = hash_seq_search(&scan)) != NULL)
		for (int lane = 0; lane < SMSFLOW_LANES; lane++)
			any |= admit(gateway, lane, monotonic);
	return any;
}
