/*
 * limits.c - how much may leave: rates as token buckets in memory, and parts
 * in a day as a counter that survives the worker.
 *
 * A bucket starts empty, so that a worker that dies and comes back never sends
 * faster than one that stays.
 *
 * Parts of a day are reserved before they are used: a row that says "so many"
 * is durable before the first of them leaves. What dies with the worker counts
 * as used, which is a hundredth of the limit at most, and the limit is never
 * exceeded. A reservation costs a row in a turn that is made anyway; no row is
 * ever changed, and no message has to be counted again after a start. The last
 * parts of a day are, as the last tokens, for the first lane alone: a campaign
 * that uses the day up does not take anybody's code or confirmation.
 *
 * Several workers use the same buckets and days (common.h): each looks and takes
 * in one step.
 */
#include "worker/worker.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "gateway/day.h"
#include "message/spi.h"

/* Parts reserved at one time, as a share of the limit. */
#define RESERVED_SHARE 100
#define LEAST_RESERVED 10

/* Every zone changes its clocks at a multiple of this. */
#define QUARTER (15 * USECS_PER_MINUTE)

static dlist_head wanting = DLIST_STATIC_INIT(wanting); /* limits to reserve for */
static int blocked = 0;                                 /* of them, with a message that waits for it */
static bool some_unknown = false;

SendLimit *
limit_for(LimitScope scope, int32 id)
{
	LimitKey key = {scope, id};
	bool found;
	SendLimit *limit = hash_search(worker.limits, &key, HASH_ENTER, &found);

	if (!found)
	{
		memset((char *) limit + sizeof(key), 0, sizeof(*limit) - sizeof(key));
		limit->use = &limit->own;
	}
	if (smsflow_workers > 1 && limit->use == &limit->own)
		limit->use = common_limit(key);
	limit->present = true;
	return limit;
}

const char *
limit_scope_name(LimitScope scope)
{
	static const char *const names[] = {"gateway", "sender", "registration", "campaign", "brand"};

	return names[scope];
}

void
limit_set_rate(SendLimit *limit, double rate, int burst)
{
	SmsflowLimiter *limiter = &limit->use->limiter;
	int64 now = worker.clock->monotonic();

	limit->burst = burst;
	limit->has_rate = rate > 0;
	common_lock();
	if (rate <= 0)
		limiter->interval = 0;
	else if (limiter->interval > 0)
		smsflow_limiter_set(limiter, rate, burst, now);
	else
		smsflow_limiter_init(limiter, rate, burst, now);
	common_unlock();
}

void
limit_drain(SendLimit *limit, int64 until)
{
	common_lock();
	smsflow_limiter_drain(&limit->use->limiter, until);
	common_unlock();
}

int
limit_amount(const SendLimit *limit, int parts)
{
	return limit->counts_messages ? (parts > 0) - (parts < 0) : parts;
}

/* ---- days ---- */

void
limit_set_daily(SendLimit *limit, int64 daily_limit, const char *zone)
{
	limit->daily_limit = daily_limit;
	limit->zone = zone ? pg_tzset(zone) : NULL;
	if (limit->zone == NULL)
		limit->zone = pg_tzset("UTC");
	common_lock();
	limit->use->day_checked_until = DT_NOBEGIN;
	some_unknown |= daily_limit > 0 && !limit->use->known;
	common_unlock();
}

static void
want(SendLimit *limit)
{
	if (limit->in_wanting)
		return;
	dlist_push_tail(&wanting, &limit->wanting);
	limit->in_wanting = true;
}

static void
set_wanted(SendLimit *limit, int parts)
{
	blocked += (parts > 0) - (limit->wanted > 0);
	limit->wanted = parts;
}

/* In what follows up to limits_of(), the caller has the common lock. */

/*
 * A new day begins with nothing used. A clock that is set back does not begin
 * the day before again.
 */
static void
begin_day(SendLimit *limit, TimestampTz now)
{
	LimitUse *use = limit->use;
	int32 today;

	if (now < use->day_checked_until && now >= use->day_checked_until - QUARTER)
		return;
	use->day_checked_until = now - now % QUARTER + QUARTER;
	today = smsflow_zone_day(limit->zone, now);
	if (today <= use->day)
		return;
	use->day = today;
	use->used = use->reserved = 0;
	if (!limit->warms_up)
		return;
	pg_atomic_fetch_or_u32(&worker.slot->news, SMSFLOW_NEWS_CONFIG);
	common_tell_others(SMSFLOW_NEWS_CONFIG);
}

/* What a lane may use of a day. */
static int64
parts_of_day(const SendLimit *limit, int lane)
{
	return limit->daily_limit - (lane == 0 ? 0 : smsflow_limiter_kept_of_day(limit->daily_limit));
}

/*
 * Until the day may take these parts: 0 now, INT64_MAX when they must be
 * reserved first.
 */
static int64
daily_wait(SendLimit *limit, int parts, int lane)
{
	TimestampTz now = worker.clock->now();

	begin_day(limit, now);
	if (limit->use->used + parts > parts_of_day(limit, lane))
		return smsflow_zone_day_end(limit->zone, now) - now;
	if (limit->use->used + parts <= limit->use->reserved)
		return 0;
	set_wanted(limit, parts);
	want(limit);
	return PG_INT64_MAX;
}

static int64
reservation(const SendLimit *limit)
{
	return Max(limit->daily_limit / RESERVED_SHARE, LEAST_RESERVED);
}

/* Counted before there is a limit, too: one may be set in the middle of a day. */
static void
use_day(SendLimit *limit, int parts)
{
	LimitUse *use = limit->use;

	begin_day(limit, worker.clock->now());
	use->used += parts;
	if (limit->daily_limit > 0 && use->reserved - use->used < reservation(limit) / 2 && use->reserved < limit->daily_limit)
		want(limit);
}

/* ---- what holds for a message ---- */

static void
add_limit(LimitSet *limits, SendLimit *limit)
{
	for (int i = 0; i < limits->count; i++)
		if (limits->limit[i] == limit)
			return;
	if (limit->present && limits->count < MAX_LIMITS && (limit->has_rate || limit->daily_limit > 0))
		limits->limit[limits->count++] = limit;
}

static void
add_registration(LimitSet *limits, SendLimit *registration)
{
	if (registration == NULL)
		return;
	add_limit(limits, registration);
	if (registration->parent)
		add_limit(limits, registration->parent);
}

void
limits_of(const Queue *queue, Sender *sender, int32 brand_id, LimitSet *limits)
{
	LimitKey brand = {LIMIT_BRAND, brand_id};
	SendLimit *of_brand = brand_id ? hash_search(worker.limits, &brand, HASH_FIND, NULL) : NULL;

	limits->count = 0;
	if (sender && sender->gateway)
	{
		add_limit(limits, sender->gateway->limit);
		add_limit(limits, sender->limit);
		add_registration(limits, sender->registration);
	}
	if (queue->campaign)
		add_limit(limits, queue->campaign);
	if (of_brand && of_brand->present)
		add_registration(limits, of_brand->parent);
}

static int
kept_for_first_lane(const SendLimit *limit, int lane)
{
	if (lane == 0 || limit->key.scope > LIMIT_SENDER)
		return 0;
	return smsflow_limiter_kept(limit->burst);
}

/* What limits_take returns where it takes nothing. */
static int64
wait_for(const LimitSet *limits, int parts, int lane, int64 monotonic, const char **reason)
{
	int64 longest = 0;
	bool must_reserve = false;

	for (int i = 0; i < limits->count; i++)
	{
		SendLimit *limit = limits->limit[i];
		int64 daily = limit->daily_limit > 0 ? daily_wait(limit, parts, lane) : 0;
		int64 rate = limit->has_rate
						 ? smsflow_limiter_wait(&limit->use->limiter,
												limit_amount(limit, parts) + kept_for_first_lane(limit, lane), monotonic)
						 : 0;

		must_reserve |= daily == PG_INT64_MAX;
		if (daily != PG_INT64_MAX && daily > longest)
		{
			longest = daily;
			*reason = "daily_limit";
		}
		if (rate > longest)
		{
			longest = rate;
			*reason = "rate_limit";
		}
	}
	return longest == 0 && must_reserve ? PG_INT64_MAX : longest;
}

static void
take(LimitSet *limits, int parts, int64 monotonic)
{
	for (int i = 0; i < limits->count; i++)
	{
		SendLimit *limit = limits->limit[i];

		limit->passed += parts;
		if (limit->has_rate)
			smsflow_limiter_take(&limit->use->limiter, limit_amount(limit, parts), monotonic);
		if (limit->zone)
			use_day(limit, parts);
		limits->day[i] = limit->use->day;
	}
}

int64
limits_take(LimitSet *limits, int parts, int lane, int64 monotonic, const char **reason)
{
	int64 wait;

	common_lock();
	wait = wait_for(limits, parts, lane, monotonic, reason);
	if (wait == 0)
		take(limits, parts, monotonic);
	common_unlock();
	return wait;
}

/* To the day that they were taken from: once it is over, they are nobody's. */
static void
give_back(LimitSet *limits, int parts)
{
	for (int i = 0; i < limits->count; i++)
	{
		LimitUse *use = limits->limit[i]->use;

		if (use->day == limits->day[i])
			use->used = Max(use->used - parts, 0);
	}
	limits->count = 0;
}

void
limits_give_back(LimitSet *limits, int parts)
{
	common_lock();
	give_back(limits, parts);
	common_unlock();
}

void
limits_untake(LimitSet *limits, int parts, int64 monotonic)
{
	common_lock();
	for (int i = 0; i < limits->count; i++)
	{
		SendLimit *limit = limits->limit[i];

		limit->passed -= parts;
		if (limit->has_rate)
			smsflow_limiter_take(&limit->use->limiter, -limit_amount(limit, parts), monotonic);
	}
	give_back(limits, parts);
	common_unlock();
}

int
limit_room(SendLimit *limit, int lane, int64 monotonic, int64 horizon, int64 *opens)
{
	int64 room = PG_INT32_MAX;

	*opens = 0;
	common_lock();
	if (limit->has_rate)
	{
		room = smsflow_limiter_room(&limit->use->limiter, monotonic, horizon);
		if (room == 0)
			*opens = monotonic + Max(smsflow_limiter_wait(&limit->use->limiter, 1, monotonic) - horizon, 0);
	}
	if (limit->daily_limit > 0)
	{
		TimestampTz now = worker.clock->now();
		int64 left;

		begin_day(limit, now);
		left = parts_of_day(limit, lane) - limit->use->used;
		room = Min(room, left);
		if (left <= 0)
			*opens = monotonic + (smsflow_zone_day_end(limit->zone, now) - now);
	}
	common_unlock();
	return (int) Max(room - limit->waiting, 0);
}

/* ---- the durable side ---- */

static void
read_use(uint64 row)
{
	LimitKey key = {column_int(row, 1), column_int(row, 2)};
	SendLimit *limit = hash_search(worker.limits, &key, HASH_FIND, NULL);
	int32 day = column_int(row, 3);
	int64 parts = column_id(row, 4);
	LimitUse *use;

	if (limit == NULL || limit->daily_limit == 0)
		return;
	use = limit->use;
	common_lock();
	begin_day(limit, worker.clock->now());
	if (!use->known && day >= use->day)
	{
		use->day = day;
		use->reserved = parts;
		use->used = Max(use->used, parts);
	}
	common_unlock();
}

void
limits_read(void)
{
	static SPIPlanPtr plan = NULL;
	HASH_SEQ_STATUS scan;
	SendLimit *limit;

	if (!some_unknown)
		return;
	smsflow_spi_plan(&plan,
					 "SELECT array_position('{gateway,sender,registration,campaign,brand}', scope) - 1, scope_id,"
					 " day - '2000-01-01'::date, parts"
					 " FROM (SELECT DISTINCT ON (scope, scope_id) * FROM smsflow.quota ORDER BY scope, scope_id, quota_id DESC) "
					 "q",
					 0, NULL);
	smsflow_spi_run(plan, NULL, NULL, true, SPI_OK_SELECT);
	for (uint64 row = 0; row < SPI_processed; row++)
		read_use(row);
	hash_seq_init(&scan, worker.limits);
	while ((limit = hash_seq_search(&scan)) != NULL)
		limit->use->known |= limit->daily_limit > 0;
	some_unknown = false;
}

bool
limits_wanted(void)
{
	return blocked > 0;
}

/* Days before yesterday are of no use to anybody. */
static void
forget_days(const SendLimit *limit)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID, INT4OID, INT4OID};
	Datum values[] = {CStringGetTextDatum(limit_scope_name(limit->key.scope)), Int32GetDatum(limit->key.id),
					  Int32GetDatum(limit->staged_day - 1)};

	smsflow_spi_plan(&plan, "DELETE FROM smsflow.quota WHERE scope = $1 AND scope_id = $2 AND day < '2000-01-01'::date + $3",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_DELETE);
}

static void
write_reservation(SendLimit *limit, int64 parts, bool first)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID, INT4OID, INT4OID, INT8OID};
	Datum values[] = {CStringGetTextDatum(limit_scope_name(limit->key.scope)), Int32GetDatum(limit->key.id),
					  Int32GetDatum(limit->staged_day), Int64GetDatum(parts)};

	if (first)
		forget_days(limit);
	smsflow_spi_plan(&plan,
					 "INSERT INTO smsflow.quota (scope, scope_id, day, parts) VALUES ($1, $2, '2000-01-01'::date + $3, $4)",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_INSERT);
	limit->staged = parts;
}

/* What is reserved as the turn begins, and for which day. */
static LimitUse
stage(SendLimit *limit)
{
	LimitUse use;

	common_lock();
	use = *limit->use;
	common_unlock();
	limit->staged = use.reserved;
	limit->staged_day = use.day;
	return use;
}

/* From now on nobody uses what is not kept: it is given up before that is written down. */
static int64
give_up_rest(SendLimit *limit)
{
	int64 kept;

	common_lock();
	kept = limit->use->reserved = Min(limit->use->reserved, limit->use->used);
	common_unlock();
	return kept;
}

static void
settle_days(void)
{
	HASH_SEQ_STATUS scan;
	SendLimit *limit;

	hash_seq_init(&scan, worker.limits);
	while ((limit = hash_seq_search(&scan)) != NULL)
	{
		LimitUse use = stage(limit);

		if (use.reserved <= use.used)
			continue;
		write_reservation(limit, give_up_rest(limit), false);
		want(limit);
	}
}

void
limits_reserve(bool settle)
{
	dlist_iter iter;

	if (settle)
	{
		settle_days();
		return;
	}
	dlist_foreach(iter, &wanting)
	{
		SendLimit *limit = dlist_container(SendLimit, wanting, iter.cur);
		LimitUse use = stage(limit);
		int64 parts = Min(limit->daily_limit, use.used + Max(reservation(limit), limit->wanted));

		if (parts > use.reserved)
			write_reservation(limit, parts, use.reserved == 0);
	}
}

void
limits_reserved(void)
{
	if (dlist_is_empty(&wanting))
		return;
	while (!dlist_is_empty(&wanting))
	{
		SendLimit *limit = dlist_container(SendLimit, wanting, dlist_pop_head_node(&wanting));

		common_lock();
		if (limit->use->day == limit->staged_day)
			limit->use->reserved = limit->staged;
		common_unlock();
		limit->in_wanting = false;
		set_wanted(limit, 0);
	}
	lanes_news();
}
