/*
 * chores.c - everything the worker does besides sending: it has the logs of
 * store events and callbacks read (tail.h), moves enrolments and campaigns on,
 * folds metrics, and keeps segments of tables ahead. Each chore is a short
 * transaction of its own and does a bounded slice of work. Of several workers the
 * first does them; the others ask again for their own held messages, and no more.
 */
#include "worker/worker.h"

#include "executor/spi.h"

#include "fault.h"
#include "message/policy.h"
#include "message/spi.h"
#include "worker/lookup.h"
#include "worker/tail.h"

#define ENROLLMENT_SLICE 500
#define CAMPAIGN_SLICE 2000
#define COUPON_SLICE 500
#define FEEDBACK_SLICE 100
#define SETTLE_SLICE 1000
#define FOLD_INTERVAL USECS_PER_SEC

/* And no sooner than so many times what the last fold took: under an old snapshot it reads all deltas since then, too. */
#define FOLD_PAUSE 20

/* Rates of hours change slowly, and comparing them reads weeks of counters. */
#define WATCH_INTERVAL (5 * USECS_PER_MINUTE)

/*
 * Deltas folded at one time, about a millisecond of work, and the pause in between, which is so many times as long as the
 * last slice took: what is asked for meanwhile waits for no more than one slice. A full campaign brings more than may be
 * folded beside it; while something is to be sent, pauses are longer.
 */
#define PROFILE_SLICE 50
#define PROFILE_PAUSE 4
#define PROFILE_PAUSE_BUSY 30

/* A failing chore is tried again after this. */
#define CHORE_PAUSE (5 * USECS_PER_SEC)

static TimestampTz enrollments_due = DT_NOBEGIN;
static TimestampTz campaigns_due = DT_NOBEGIN;
static TimestampTz feedback_due = DT_NOBEGIN;
static TimestampTz settlements_due = DT_NOBEGIN;
static TimestampTz fold_due = DT_NOEND;
static int64 fold_pause = FOLD_INTERVAL;
static TimestampTz profiles_due = DT_NOBEGIN;
static TimestampTz watch_due = DT_NOBEGIN;
static TimestampTz retry_at = DT_NOEND;
static bool rechecking = true;

/* ---- enrolments and campaigns ---- */

typedef struct Advance
{
	const char *name;
	const char *activity;
	const char *query;
	TimestampTz *due;
	bool alone; /* changes what has become of messages */
} Advance;

static void
advance_step(void *arg)
{
	Advance *advance = arg;

	if (advance->alone)
		worker_begin_alone(advance->activity, false);
	else
		worker_begin(advance->activity, false);
	if (SPI_execute(advance->query, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "unexpected result of chore \"%s\"", advance->name);
	*advance->due = column_time(0, 1, DT_NOEND);
	smsflow_fault(advance->name);
	worker_commit();
}

static Advance enrollments = {
	.name = "enrollment",
	.activity = "advancing enrolments",
	.query = "SELECT smsflow.advance_enrollments(" CppAsString2(ENROLLMENT_SLICE) ")",
	.due = &enrollments_due,
};
static Advance campaigns = {
	.name = "campaign",
	.activity = "advancing campaigns",
	.query = "SELECT smsflow.advance_campaigns(" CppAsString2(CAMPAIGN_SLICE) ")",
	.due = &campaigns_due,
};
static Advance feedback = {
	.name = "feedback",
	.activity = "recording what gateways said of contacts",
	.query = "SELECT smsflow.learn_feedback(" CppAsString2(FEEDBACK_SLICE) ")",
	.due = &feedback_due,
};

static Advance settlements = {
	.name = "settle",
	.activity = "ending the wait for reports",
	.query = "SELECT smsflow.settle_unanswered(" CppAsString2(SETTLE_SLICE) ")",
	.due = &settlements_due,
	.alone = true,
};

/* What is due again has timers that its queues do not know of: they look. */
static void
wake_queues(void)
{
	HASH_SEQ_STATUS scan;
	Queue *queue;

	hash_seq_init(&scan, worker.queues);
	while ((queue = hash_seq_search(&scan)) != NULL)
	{
		queue->next_due = DT_NOBEGIN;
		schedule_wake(queue);
	}
}

static void
wake_all_queues(void)
{
	wake_queues();
	common_tell_others(SMSFLOW_NEWS_TIMERS);
}

/* Messages that a person found to be unsent are due again. */
static void
resolve_step(void *arg)
{
	bool again;

	worker_begin_alone("resolving doubts", false);
	if (SPI_execute("SELECT smsflow.apply_resolutions(" CppAsString2(SETTLE_SLICE) ")", false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not apply resolutions");
	again = column_bool(0, 1);
	worker_commit();
	if (again)
		wake_all_queues();
}

/* What a gateway says when it is asked is applied as its reports are. */
static void
look_up(TimestampTz now)
{
	LookupNews news = lookups_run();

	tail_of_callbacks.pending |= news.found;
	if (news.again)
		wake_all_queues();
	if (!news.done)
		retry_at = Min(retry_at, now + CHORE_PAUSE);
}

/* ---- upkeep ---- */

static void
fold_step(void *arg)
{
	int64 began = worker.clock->monotonic();

	worker_begin("folding metrics", false);
	SPI_execute("SELECT smsflow.fold_metrics()", false, 1);
	smsflow_fault("fold");
	worker_commit();
	fold_pause = Max(FOLD_INTERVAL, FOLD_PAUSE * (worker.clock->monotonic() - began));
}

/*
 * Facts are exact without it; folded, they are cheap to read. A slice that a crash undoes is folded again, so nobody waits
 * for the disk. A pass over the contacts is followed by another while it finds something.
 */
static void
profiles_step(void *arg)
{
	static SPIPlanPtr plan = NULL;
	static int64 reached = 0;
	static bool found = false;
	Oid types[] = {INT4OID, INT8OID};
	int pause = worker.backlog > 0 || worker.in_flight > 0 ? PROFILE_PAUSE_BUSY : PROFILE_PAUSE;
	Datum values[] = {Int32GetDatum(PROFILE_SLICE), Int64GetDatum(reached)};
	int64 began = worker.clock->monotonic();
	bool ended;

	worker_begin("folding profiles", false);
	smsflow_spi_plan(&plan,
					 "SELECT f.folded > 0, f.reached FROM set_config('synchronous_commit', 'off', true),"
					 " smsflow.fold_profiles($1, $2) AS f",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_SELECT);
	found |= column_bool(0, 1);
	reached = DatumGetInt64(smsflow_spi_value(0, 2, &ended));
	if (!ended || found)
		profiles_due = worker.clock->now() + pause * (worker.clock->monotonic() - began);
	if (ended)
	{
		reached = 0;
		found = false;
	}
	smsflow_fault("profiles");
	worker_commit();
}

/* What waits for its pause to end goes on waiting. */
static void
fold_profiles_soon(TimestampTz now)
{
	if (profiles_due == DT_NOEND)
		profiles_due = now + FOLD_INTERVAL;
}

/* Figures that were just folded may say that a campaign does harm. */
static void
tend_campaigns_step(void *arg)
{
	worker_begin("tending campaigns", false);
	SPI_execute("SELECT smsflow.tend_campaigns(" CppAsString2(COUPON_SLICE) ")", false, 1);
	worker_commit();
}

/* A reader of the tables may delay a new segment; there is time for it. */
static void
segments_step(void *arg)
{
	worker_begin("making segments", false);
	SPI_execute("SELECT set_config('lock_timeout', '100ms', true), smsflow.make_segments(), smsflow.forget_touches(),"
				" smsflow.forget_otps()",
				false, 1);
	smsflow_fault("segments");
	worker_commit();
}

/* Nothing but armed copies seal: one that is being restored gets the seals of the original. */
static void
seal_step(void *arg)
{
	worker_begin("sealing the consent ledger", false);
	SPI_execute("SELECT smsflow.seal_consent_ledger()", false, 1);
	worker_commit();
}

/* Rates against their own past. */
static void
watch_step(void *arg)
{
	worker_begin("watching figures", false);
	SPI_execute("SELECT smsflow.watch_figures()", false, 1);
	worker_commit();
}

/* Reports that came before their message was known, and replies of which a part is missing. */
static void
tend_step(void *arg)
{
	worker_begin_alone("tending callbacks", false);
	SPI_execute("SELECT smsflow.tend_callbacks()", false, 1);
	worker_commit();
}

/* ---- all of it ---- */

static void
attempt(void (*step)(void *arg), void *arg, TimestampTz now)
{
	if (!worker_try(step, arg))
		retry_at = Min(retry_at, now + CHORE_PAUSE);
}

void
chores_forget(void)
{
	tail_of_events.loaded = tail_of_callbacks.loaded = false;
	enrollments_due = campaigns_due = feedback_due = settlements_due = profiles_due = DT_NOBEGIN;
	lookups_forget();
	recheck_begin();
	rechecking = true;
}

/* What fails is tried again after a pause, and not in between. */
static void
recheck(TimestampTz now)
{
	rechecking = recheck_run();
	if (!rechecking)
		retry_at = Min(retry_at, now + CHORE_PAUSE);
	rechecking &= recheck_unfinished();
}

/* What was written down in a turn, by whichever worker, gives the first one something to do. */
static void
hear_of_turn(uint32 news)
{
	if ((news & SMSFLOW_NEWS_RESULTS) && fold_due == DT_NOEND)
		fold_due = worker.clock->now() + fold_pause;
	if (news & SMSFLOW_NEWS_FEEDBACK)
		feedback_due = DT_NOBEGIN;
	if (news & SMSFLOW_NEWS_DOUBTS)
		lookups_soon();
}

/* Each worker for its own queues: only who claims from a queue knows where its timers may be put. */
static void
ask_again(uint32 news, bool retry, TimestampTz now)
{
	if (news & SMSFLOW_NEWS_TIMERS)
		wake_queues();
	if (news & SMSFLOW_NEWS_RULES)
	{
		smsflow_policy_forget();
		recheck_begin();
	}
	if ((rechecking || retry || (news & SMSFLOW_NEWS_RULES)) && recheck_unfinished())
		recheck(now);
}

static void
run(uint32 news, bool sweep, bool retry, TimestampTz now)
{
	hear_of_turn(news);
	tail_of_events.pending |= sweep || retry || (news & SMSFLOW_NEWS_EVENTS);
	tail_of_callbacks.pending |= sweep || retry || (news & SMSFLOW_NEWS_CALLBACKS);
	if (sweep || retry)
		lookups_forget();
	if (lookups_due() <= now)
		look_up(now);
	if (tail_of_callbacks.pending)
	{
		tail_of_callbacks.pending = false;
		attempt(tail_step, &tail_of_callbacks, now);
		feedback_due = DT_NOBEGIN;
		fold_due = Min(fold_due, now + fold_pause);
	}
	if (feedback_due <= now || sweep || retry)
	{
		feedback_due = DT_NOEND;
		attempt(advance_step, &feedback, now);
	}
	if (tail_of_events.pending)
	{
		tail_of_events.pending = false;
		attempt(tail_step, &tail_of_events, now);
		enrollments_due = DT_NOBEGIN;
		fold_profiles_soon(now);
	}
	if (enrollments_due <= now || sweep || retry)
	{
		enrollments_due = DT_NOEND;
		attempt(advance_step, &enrollments, now);
	}
	if (campaigns_due <= now || sweep || retry || (news & SMSFLOW_NEWS_CONFIG))
	{
		campaigns_due = DT_NOEND;
		attempt(advance_step, &campaigns, now);
	}
	if (sweep || retry || (news & SMSFLOW_NEWS_RESOLUTIONS))
		attempt(resolve_step, NULL, now);
	if (settlements_due <= now || sweep || retry)
	{
		settlements_due = DT_NOEND;
		attempt(advance_step, &settlements, now);
	}
	ask_again(news, retry, now);
	if (fold_due <= now || sweep)
	{
		fold_due = DT_NOEND;
		attempt(fold_step, NULL, now);
		attempt(tend_campaigns_step, NULL, now);
		fold_profiles_soon(now);
	}
	if (profiles_due <= now || sweep || retry)
	{
		profiles_due = DT_NOEND;
		attempt(profiles_step, NULL, now);
	}
	if (sweep)
	{
		attempt(tend_step, NULL, now);
		attempt(segments_step, NULL, now);
	}
	if (sweep && watch_due <= now)
	{
		watch_due = now + WATCH_INTERVAL;
		attempt(watch_step, NULL, now);
	}
	if (sweep && worker.armed)
		attempt(seal_step, NULL, now);
}

void
chores_run(uint32 news, bool sweep)
{
	TimestampTz now = worker.clock->now();
	bool retry = retry_at <= now;

	if (retry)
		retry_at = DT_NOEND;
	if (worker.slot->number == 0)
		run(news, sweep, retry, now);
	else
		ask_again(news, retry, now);
}

static TimestampTz
all_due(void)
{
	TimestampTz due = Min(Min(Min(enrollments_due, campaigns_due), Min(fold_due, retry_at)),
						  Min(Min(feedback_due, settlements_due), profiles_due));

	due = Min(due, lookups_due());
	return tail_of_events.pending || tail_of_callbacks.pending || rechecking ? DT_NOBEGIN : due;
}

TimestampTz
chores_due(void)
{
	if (worker.slot->number > 0)
		return rechecking ? DT_NOBEGIN : retry_at;
	return all_due();
}

void
chores_after_turn(void)
{
	if (worker.slot->number > 0)
		common_tell_first(SMSFLOW_NEWS_RESULTS | worker.found);
	else
		hear_of_turn(SMSFLOW_NEWS_RESULTS | worker.found);
	worker.found = 0;
}
