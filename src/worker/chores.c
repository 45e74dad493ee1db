/*
 * chores.c - everything the worker does besides sending: it has the logs of
 * store events and callbacks read (tail.h), moves enrolments and campaigns on,
 * folds metrics, and keeps segments of tables ahead. Each chore is a short
 * transaction of its own and does a bounded slice of work. Of several workers the
 * first does them; the others ask again for their own held messages, and no more.
 */
#include "worker/worker.h"

#include "catalog/pg_type.h"
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
#define SENT_SLICE 1 /* rows of profile_sent, each of up to 64 messages */
#define PROFILE_PAUSE 4
#define PROFILE_PAUSE_BUSY 30

/* A failing chore is tried again after this. */
#define CHORE_PAUSE (5 * USECS_PER_SEC)

/* New segments that could not be put into use: twice as long each time, as far as this, while half of one is still free. */
#define LONGEST_SEGMENTS_PAUSE USECS_PER_MINUTE

/* Whatever is to be sent meanwhile waits for a lock that a chore waits for. */
#define CHORE_LOCKS "1s"

/* No more chores are begun after so long: then the loop looks whether something is to be sent. */
#define CHORE_TIME 1000 /* microseconds */

/* In the order in which they are done, when all are due. */
typedef enum ChoreName
{
	LOOKUPS,
	CALLBACKS,
	FEEDBACK,
	EVENTS,
	ENROLLMENTS,
	CAMPAIGNS,
	RESOLUTIONS,
	SETTLEMENTS,
	RECHECK,
	METRICS,
	HARM,
	PROFILES,
	CALLBACK_UPKEEP,
	SEGMENTS,
	FIGURES,
	SEALS,
	CHORES
} ChoreName;

static TimestampTz due[CHORES];
static int64 paused_until[CHORES]; /* after a failure, monotonic */
static int64 fold_pause = FOLD_INTERVAL;
static int64 segments_pause = CHORE_PAUSE;

static void
do_soon(ChoreName name, TimestampTz at)
{
	due[name] = Min(due[name], at);
}

static void
do_now(ChoreName name)
{
	due[name] = DT_NOBEGIN;
}

/* What waits for its pause to end goes on waiting. */
static void
fold_profiles_soon(void)
{
	if (due[PROFILES] == DT_NOEND)
		due[PROFILES] = worker.clock->now() + FOLD_INTERVAL;
}

/* ---- enrolments and campaigns ---- */

typedef struct Advance
{
	const char *name;
	const char *activity;
	const char *query;
	ChoreName chore;
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
	do_soon(advance->chore, column_time(0, 1, DT_NOEND));
	smsflow_fault(advance->name);
	worker_commit();
}

static Advance enrollments = {
	.name = "enrollment",
	.activity = "advancing enrolments",
	.query = "SELECT smsflow.advance_enrollments(" CppAsString2(ENROLLMENT_SLICE) ")",
	.chore = ENROLLMENTS,
};
static Advance campaigns = {
	.name = "campaign",
	.activity = "advancing campaigns",
	.query = "SELECT smsflow.advance_campaigns(" CppAsString2(CAMPAIGN_SLICE) ")",
	.chore = CAMPAIGNS,
};
static Advance feedback = {
	.name = "feedback",
	.activity = "recording what people and gateways said",
	.query = "SELECT least(smsflow.obey_waiting(" CppAsString2(FEEDBACK_SLICE) "), smsflow.learn_feedback(" CppAsString2(
		FEEDBACK_SLICE) "))",
	.chore = FEEDBACK,
};

static Advance settlements = {
	.name = "settle",
	.activity = "ending the wait for reports",
	.query = "SELECT smsflow.settle_unanswered(" CppAsString2(SETTLE_SLICE) ")",
	.chore = SETTLEMENTS,
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
static bool
look_up(void)
{
	LookupNews news = lookups_run();

	if (news.found)
		do_now(CALLBACKS);
	if (news.again)
		wake_all_queues();
	return news.done;
}

/* ---- the logs ---- */

static void
callbacks_step(void *arg)
{
	tail_step(&tail_of_callbacks);
	if (tail_of_callbacks.more)
		do_now(CALLBACKS);
	do_now(FEEDBACK);
	do_soon(METRICS, worker.clock->now() + fold_pause);
}

static void
events_step(void *arg)
{
	tail_step(&tail_of_events);
	if (tail_of_events.more)
		do_now(EVENTS);
	do_now(ENROLLMENTS);
	fold_profiles_soon();
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
	do_now(HARM);
	fold_profiles_soon();
}

/* A pass over what waits; another one follows while it finds something. */
typedef struct Pass
{
	int64 reached;
	bool found;
} Pass;

/* pass_on notes what a slice found, from this column on: whether something, and where to go on; true while there is more. */
static bool
pass_on(Pass *pass, int column)
{
	bool ended, more;

	pass->found |= column_bool(0, column);
	pass->reached = DatumGetInt64(smsflow_spi_value(0, column + 1, &ended));
	more = !ended || pass->found;
	if (ended)
		*pass = (Pass){0};
	return more;
}

/* Facts are exact without it; folded, they are cheap to read. A slice that a crash undoes is folded again, so nobody waits for the disk. */
static void
profiles_step(void *arg)
{
	static SPIPlanPtr plan = NULL;
	static Pass deltas, sent;
	Oid types[] = {INT4OID, INT8OID, INT4OID, INT8OID};
	int pause = worker.backlog > 0 || worker.in_flight > 0 ? PROFILE_PAUSE_BUSY : PROFILE_PAUSE;
	Datum values[] = {Int32GetDatum(PROFILE_SLICE), Int64GetDatum(deltas.reached), Int32GetDatum(SENT_SLICE),
					  Int64GetDatum(sent.reached)};
	int64 began = worker.clock->monotonic();
	bool more;

	worker_begin("folding profiles", false);
	smsflow_spi_plan(&plan,
					 "SELECT f.folded > 0, f.reached, s.folded > 0, s.reached FROM set_config('synchronous_commit', 'off', true),"
					 " smsflow.fold_profiles($1, $2) AS f, smsflow.fold_sent($3, $4) AS s",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_SELECT);
	more = pass_on(&deltas, 1);
	more |= pass_on(&sent, 3);
	if (more)
		do_soon(PROFILES, worker.clock->now() + pause * (worker.clock->monotonic() - began));
	smsflow_fault("profiles");
	worker_commit();
}

/* Figures that were just folded may say that a campaign does harm. */
static void
tend_campaigns_step(void *arg)
{
	worker_begin("tending campaigns", false);
	SPI_execute("SELECT smsflow.tend_campaigns(" CppAsString2(COUPON_SLICE) ")", false, 1);
	worker_commit();
}

/* Each try keeps whoever enqueues waiting, as long as the locks are waited for. */
static void
attach_later(bool urgent)
{
	int64 pause = urgent ? CHORE_PAUSE : segments_pause;

	segments_pause = Min(2 * pause, LONGEST_SEGMENTS_PAUSE);
	paused_until[SEGMENTS] = worker.clock->monotonic() + pause;
	do_now(SEGMENTS);
	ereport(LOG, (errmsg("smsflow: new segments wait for a transaction that has enqueued or read messages"),
				  errdetail("The next try is in %d seconds.", (int) (pause / USECS_PER_SEC))));
}

/*
 * A long transaction of the store may delay a new segment; there is time for it. The locks of attaching stop whoever
 * enqueues, and are held for the milliseconds until the commit.
 */
static void
segments_step(void *arg)
{
	Oid types[] = {INT4ARRAYOID};
	Datum prepared;
	bool isnull;
	bool held_up, urgent;

	worker_begin("making segments", false);
	if (SPI_execute("SELECT set_config('lock_timeout', '50ms', true), smsflow.prepare_segments(), smsflow.forget_touches(),"
					" smsflow.forget_otps()",
					false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not prepare segments");
	prepared = smsflow_spi_value(0, 2, &isnull);
	smsflow_fault("segments");
	SPI_execute_with_args("SELECT smsflow.attach_segments($1) = 0 AND $1 <> '{}',"
						  " $1[1] * smsflow.segment_size() - last_value < smsflow.segment_size() / 2 FROM smsflow.message_id_seq",
						  lengthof(types), types, &prepared, NULL, false, 1);
	held_up = column_bool(0, 1);
	urgent = column_bool(0, 2);
	worker_commit();
	if (held_up)
		attach_later(urgent);
	else
		segments_pause = CHORE_PAUSE;
}

/* Nothing but armed copies seal: one that is being restored gets the seals of the original. */
static void
seal_step(void *arg)
{
	if (!worker.armed)
		return;
	worker_begin("sealing the consent ledger", false);
	SPI_execute("SELECT smsflow.seal_consent_ledger()", false, 1);
	worker_commit();
}

/* Rates against their own past. */
static void
watch_step(void *arg)
{
	do_soon(FIGURES, worker.clock->now() + WATCH_INTERVAL);
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

/* Each worker for its own queues: only who claims from a queue knows where its timers may be put. */
static bool
recheck(void)
{
	if (!recheck_unfinished())
		return true;
	if (!recheck_run())
		return false;
	do_now(RECHECK);
	return true;
}

/* ---- all of it ---- */

typedef struct Chore
{
	void (*step)(void *arg); /* one transaction */
	void *arg;
	bool (*run)(void); /* several; false when one failed */
} Chore;

static const Chore chores[CHORES] = {
	[LOOKUPS] = {.run = look_up},
	[CALLBACKS] = {.step = callbacks_step},
	[FEEDBACK] = {.step = advance_step, .arg = &feedback},
	[EVENTS] = {.step = events_step},
	[ENROLLMENTS] = {.step = advance_step, .arg = &enrollments},
	[CAMPAIGNS] = {.step = advance_step, .arg = &campaigns},
	[RESOLUTIONS] = {.step = resolve_step},
	[SETTLEMENTS] = {.step = advance_step, .arg = &settlements},
	[RECHECK] = {.run = recheck},
	[METRICS] = {.step = fold_step},
	[HARM] = {.step = tend_campaigns_step},
	[PROFILES] = {.step = profiles_step},
	[CALLBACK_UPKEEP] = {.step = tend_step},
	[SEGMENTS] = {.step = segments_step},
	[FIGURES] = {.step = watch_step},
	[SEALS] = {.step = seal_step},
};

static bool
run_chore(const Chore *chore)
{
	bool done;

	worker_wait_for_locks(CHORE_LOCKS);
	done = chore->step ? worker_try(chore->step, chore->arg) : chore->run();
	worker_wait_for_locks(SMSFLOW_LOCKS);
	return done;
}

/* What fails is tried again after a pause, and not in between. */
static void
do_chore(ChoreName name)
{
	due[name] = DT_NOEND;
	if (run_chore(&chores[name]))
		return;
	due[name] = DT_NOBEGIN;
	paused_until[name] = worker.clock->monotonic() + CHORE_PAUSE;
}

/* What is paused is so by the time that passes, whatever is made of the clock meanwhile. */
static TimestampTz
chore_due(ChoreName name)
{
	TimestampTz at = name == LOOKUPS ? lookups_due() : due[name];
	int64 pause;

	if (worker.slot->number > 0 && name != RECHECK)
		return DT_NOEND;
	if (paused_until[name] == 0)
		return at;
	pause = paused_until[name] - worker.clock->monotonic();
	return pause > 0 ? Max(at, worker.clock->now() + pause) : at;
}

static void
do_all_now(void)
{
	for (int name = 0; name < CHORES; name++)
		if (name != FIGURES)
			do_now(name);
	lookups_forget();
}

void
chores_forget(void)
{
	tail_of_events.loaded = tail_of_callbacks.loaded = false;
	recheck_begin();
	do_all_now();
}

/* What was written down in a turn, by whichever worker, gives the first one something to do. */
static void
hear_of_turn(uint32 news)
{
	if (news & SMSFLOW_NEWS_RESULTS)
		do_soon(METRICS, worker.clock->now() + fold_pause);
	if (news & SMSFLOW_NEWS_FEEDBACK)
		do_now(FEEDBACK);
	if (news & SMSFLOW_NEWS_DOUBTS)
		lookups_soon();
}

static void
hear(uint32 news)
{
	hear_of_turn(news);
	if (news & SMSFLOW_NEWS_CALLBACKS)
		do_now(CALLBACKS);
	if (news & SMSFLOW_NEWS_EVENTS)
		do_now(EVENTS);
	if (news & SMSFLOW_NEWS_CONFIG)
		do_now(CAMPAIGNS);
	if (news & SMSFLOW_NEWS_RESOLUTIONS)
		do_now(RESOLUTIONS);
	if (news & SMSFLOW_NEWS_TIMERS)
		wake_queues();
	if (news & SMSFLOW_NEWS_RULES)
	{
		smsflow_policy_forget();
		recheck_begin();
		do_now(RECHECK);
	}
}

/* One after the other, going on where the time was over, so that none keeps the others from being done. */
void
chores_run(uint32 news, bool sweep)
{
	static int next = 0;
	int64 ends = worker.clock->monotonic() + CHORE_TIME;
	TimestampTz now = worker.clock->now();

	hear(news);
	if (sweep)
		do_all_now();
	for (int i = 0; i < CHORES && worker.clock->monotonic() < ends; i++)
	{
		if (chore_due(next) <= now)
			do_chore(next);
		next = (next + 1) % CHORES;
	}
}

TimestampTz
chores_due(void)
{
	TimestampTz earliest = DT_NOEND;

	for (int name = 0; name < CHORES; name++)
		earliest = Min(earliest, chore_due(name));
	return earliest;
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
