/*
 * schedule.c - which queues are claimed from, and how much. What is claimed
 * waits in memory, what is not claimed waits in a table, so no more is claimed
 * than can soon be sent.
 */
#include "worker/worker.h"

/* The lower a lane, the more of the jobs in hand it leaves to those above. */
#define LANE_RESERVE 128

/* What the limits allow within this time is claimed. */
#define CLAIM_HORIZON USECS_PER_SEC

/* A queue for which claiming was not worth it is looked at again after this. */
#define LOOK_AGAIN 20000 /* microseconds */

static uint32 turns = 0;
static int lane_hungry[SMSFLOW_LANES];

void
schedule_wake(Queue *queue)
{
	queue->look_at = 0;
	publish_waiting(queue->queue_id);
	if (queue->hungry)
		return;
	dlist_push_tail(&worker.hungry[queue->lane], &queue->in_hungry);
	queue->hungry = true;
}

/* Cart and promotional. */
#define FIRST_MARKETING_LANE 3

/* An open breaker opens by itself; what has been switched off does not. */
int64
schedule_opens(const Queue *queue)
{
	Sender *sender = queue->sender;
	int64 opens = queue->lane >= FIRST_MARKETING_LANE ? worker.marketing_opens : 0;

	if (queue->stopped || (sender && !sender->present))
		return PG_INT64_MAX;
	if (sender == NULL)
		return config_has_sender() ? opens : PG_INT64_MAX;
	return Max(opens, Max(sender->breaker.open_until, sender->gateway->breaker.open_until));
}

/* ---- sharing ---- */

static void
count_hungry(Queue *queue)
{
	LimitSet limits;

	lane_hungry[queue->lane] += queue->weight;
	limits_of(queue, queue->sender, queue->brand_id, &limits);
	for (int i = 0; i < limits.count; i++)
	{
		SendLimit *limit = limits.limit[i];

		if (limit->hungry_turn != turns)
			limit->hungry = 0;
		limit->hungry_turn = turns;
		limit->hungry += queue->weight;
	}
}

void
schedule_begin(void)
{
	int64 monotonic = worker.clock->monotonic();
	dlist_iter iter;

	turns++;
	for (int lane = 0; lane < SMSFLOW_LANES; lane++)
	{
		lane_hungry[lane] = 0;
		dlist_foreach(iter, &worker.hungry[lane])
		{
			Queue *queue = dlist_container(Queue, in_hungry, iter.cur);

			if (schedule_opens(queue) <= monotonic)
				count_hungry(queue);
		}
	}
}

/* One of several that want the same room: by weight, but at least one message. */
static int
share(int64 room, int weight, int all)
{
	if (room <= 0)
		return 0;
	return all <= weight ? (int) room : (int) Max(room * weight / all, 1);
}

/* Twice what can be on the wire, in full batches, or what ended within the last second: that many can soon be sent. */
static int
gateway_share(Gateway *gateway, int64 monotonic)
{
	int window = smsflow_breaker_window(&gateway->breaker, monotonic);
	int places = Min(window, gateway->max_in_flight);

	return (window < gateway->max_in_flight ? places : Max(2 * places * Max(gateway->batch.most, 1), gateway->pace)) -
		   gateway->waiting;
}

static int
sender_share(const Sender *sender, int64 monotonic)
{
	return smsflow_breaker_window(&sender->breaker, monotonic) - sender->in_flight;
}

/* Room before anybody asks whether it is worth the effort; opens: when there is some again. */
static int
room_of(const Queue *queue, int64 monotonic, int staged, int64 *opens)
{
	int64 room =
		MAX_JOBS - LANE_RESERVE * queue->lane - worker.backlog - worker.in_flight - worker.batched - worker.result_count - staged;
	LimitSet limits;

	*opens = monotonic + LOOK_AGAIN;
	room = share(Min(room, MAX_CLAIM), queue->weight, lane_hungry[queue->lane]);
	limits_of(queue, queue->sender, queue->brand_id, &limits);
	for (int i = 0; i < limits.count; i++)
	{
		int64 limit_opens;

		room = Min(room, share(limit_room(limits.limit[i], queue->lane, monotonic, CLAIM_HORIZON, &limit_opens), queue->weight,
							   limits.limit[i]->hungry));
		*opens = Max(*opens, limit_opens);
	}
	if (queue->sender)
	{
		room = Min(room, gateway_share(queue->sender->gateway, monotonic));
		room = Min(room, sender_share(queue->sender, monotonic) - queue->job_count);
	}
	return (int) Max(room, 0);
}

/* Bulk lanes are refilled in some amount, the others whenever there is news. */
static int
worth(const Queue *queue)
{
	return queue->lane < SMSFLOW_LANES - 1 ? 1 : Min(MAX_CLAIM / 4, Max(1, queue->job_count));
}

int
schedule_room(Queue *queue, int64 monotonic, int staged)
{
	int64 opens;
	int room;

	if (queue->look_at > monotonic)
		return 0;
	room = room_of(queue, monotonic, staged, &opens);
	if (room >= worth(queue))
		return room;
	queue->look_at = opens;
	queue->look_below = queue->job_count / 2 + 1;
	return 0;
}

/* ---- when ---- */

static int64
queue_due(Queue *queue, int64 monotonic, TimestampTz now)
{
	int64 due = monotonic;

	if (!queue->more && queue->next_due == DT_NOEND)
		return PG_INT64_MAX;
	if (!queue->more && queue->next_due > now)
		due = monotonic + (queue->next_due - now);
	due = Max(due, schedule_opens(queue));
	if (due <= monotonic && schedule_room(queue, monotonic, 0) == 0)
		due = queue->look_at;
	return due;
}

/* When the lanes up to this one have something to claim. */
static int64
lanes_due(int last_lane, int64 monotonic, TimestampTz now)
{
	int64 due = PG_INT64_MAX;
	dlist_iter iter;

	for (int lane = 0; lane <= last_lane; lane++)
		dlist_foreach(iter, &worker.hungry[lane])
		{
			due = Min(due, queue_due(dlist_container(Queue, in_hungry, iter.cur), monotonic, now));
			if (due <= monotonic)
				return due;
		}
	return due;
}

int64
schedule_due(int64 monotonic, TimestampTz now)
{
	return lanes_due(SMSFLOW_LANES - 1, monotonic, now);
}

bool
schedule_wanted(int last_lane, int64 monotonic, TimestampTz now)
{
	return lanes_due(last_lane, monotonic, now) <= monotonic;
}
