/*
 * schedule.c - which queues are claimed from, and how much. What is claimed
 * waits in memory, what is not claimed waits in a table, so no more is claimed
 * than can soon be sent.
 */
#include "worker/worker.h"

/* The lower a lane, the more of the jobs in hand it leaves to those above. */
#define LANE_RESERVE 256

/* What the limits allow within this time is claimed. */
#define CLAIM_HORIZON USECS_PER_SEC

int64
schedule_opens(const Queue *queue)
{
	Sender *sender = queue->sender;

	if (queue->stopped || (sender && !sender->present))
		return PG_INT64_MAX;
	if (sender == NULL)
		return config_has_sender() ? 0 : PG_INT64_MAX;
	return Max(sender->paused_until, sender->gateway->paused_until);
}

int
schedule_room(const Queue *queue, int64 monotonic, int staged)
{
	int room = MAX_JOBS - LANE_RESERVE * queue->lane - worker.backlog - worker.in_flight - worker.result_count - staged;
	int limit = Min(room, MAX_CLAIM);

	if (queue->sender)
		limit = Min(limit, Max(1, smsflow_limiter_room(&queue->sender->limiter, monotonic, CLAIM_HORIZON)));
	return limit - queue->job_count;
}

/* Bulk lanes are refilled in some amount, the others whenever there is news. */
static bool
worth_claiming(const Queue *queue, int64 monotonic)
{
	int limit = schedule_room(queue, monotonic, 0);

	return limit >= (queue->lane < SMSFLOW_LANES - 1 ? 1 : Min(MAX_CLAIM / 4, Max(1, queue->job_count)));
}

static int64
queue_due(const Queue *queue, int64 monotonic, TimestampTz now)
{
	int64 due;

	if (queue->more || queue->next_due <= now)
		due = monotonic;
	else if (queue->next_due == DT_NOEND)
		return PG_INT64_MAX;
	else
		due = monotonic + (queue->next_due - now);
	return worth_claiming(queue, monotonic) ? Max(due, schedule_opens(queue)) : PG_INT64_MAX;
}

int64
schedule_due(int64 monotonic, TimestampTz now)
{
	int64 due = PG_INT64_MAX;
	dlist_iter iter;

	for (int lane = 0; lane < SMSFLOW_LANES; lane++)
		dlist_foreach(iter, &worker.lanes[lane]) due =
			Min(due, queue_due(dlist_container(Queue, in_lane, iter.cur), monotonic, now));
	return due;
}
