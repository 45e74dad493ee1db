/*
 * test_delivery.c - the life of a message, over the whole transition table.
 *
 * The table is checked by what a store relies on, not by a second copy of it: what is final stays final, a report never moves
 * a message down, what surely did not leave may go on, what may have left may not be called unsent.
 */
#include "delivery.h"
#include "unit.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#define FIRST_REPORT SEEN_REPORT_ACCEPTED
#define LENGTH(array) ((int) (sizeof(array) / sizeof((array)[0])))

static bool
one_of(SmsflowStatus status, const SmsflowStatus *set, int size)
{
	for (int i = 0; i < size; i++)
		if (set[i] == status)
			return true;
	return false;
}

/* How much is known; statuses of one rank contradict each other. */
static int
rank(SmsflowStatus status)
{
	switch (status)
	{
		case STATUS_SCHEDULED:
		case STATUS_QUEUED:
		case STATUS_HELD:
		case STATUS_SENDING:
			return 0;
		case STATUS_IN_DOUBT:
			return 1;
		case STATUS_ACCEPTED:
			return 2;
		case STATUS_DELIVERED:
			return 4;
		default:
			return 3;
	}
}

/* ---- transitions ---- */

static void
test_final_states(void)
{
	static const SmsflowStatus unchangeable[] = {STATUS_DELIVERED, STATUS_REJECTED, STATUS_SUPPRESSED, STATUS_CANCELLED};
	static const SmsflowStatus changeable[] = {STATUS_UNKNOWN, STATUS_EXPIRED, STATUS_UNDELIVERED};

	for (int i = 0; i < LENGTH(unchangeable); i++)
		for (int seen = 0; seen < SMSFLOW_OBSERVATIONS; seen++)
			CHECK_EQ(smsflow_status_after(unchangeable[i], seen), unchangeable[i]);

	for (int i = 0; i < LENGTH(changeable); i++)
		for (int seen = 0; seen < SMSFLOW_OBSERVATIONS; seen++)
			CHECK_EQ(smsflow_status_after(changeable[i], seen), seen == SEEN_REPORT_DELIVERED ? STATUS_DELIVERED : changeable[i]);
}

static const SmsflowStatus reported[] = {STATUS_ACCEPTED, STATUS_DELIVERED, STATUS_UNDELIVERED,
										 STATUS_EXPIRED,  STATUS_REJECTED,  STATUS_UNKNOWN};

static void
test_reports(void)
{
	static const SmsflowStatus open[] = {STATUS_SCHEDULED, STATUS_QUEUED,   STATUS_HELD,
										 STATUS_SENDING,   STATUS_IN_DOUBT, STATUS_ACCEPTED};

	CHECK_EQ(FIRST_REPORT + LENGTH(reported), SMSFLOW_OBSERVATIONS);
	for (int i = 0; i < LENGTH(open); i++)
		for (int report = 0; report < LENGTH(reported); report++)
			CHECK_EQ(smsflow_status_after(open[i], FIRST_REPORT + report), reported[report]);

	for (int status = 0; status < SMSFLOW_STATUSES; status++)
		for (int seen = FIRST_REPORT; seen < SMSFLOW_OBSERVATIONS; seen++)
			CHECK(rank(smsflow_status_after(status, seen)) >= rank(status));
}

/* Networks repeat and reorder reports: that it arrived is true whenever it is said. */
static void
test_reports_in_any_order(void)
{
	for (int a = FIRST_REPORT; a < SMSFLOW_OBSERVATIONS; a++)
	{
		SmsflowStatus late = smsflow_status_after(smsflow_status_after(STATUS_ACCEPTED, a), SEEN_REPORT_DELIVERED);
		SmsflowStatus early = smsflow_status_after(smsflow_status_after(STATUS_ACCEPTED, SEEN_REPORT_DELIVERED), a);
		SmsflowStatus once = smsflow_status_after(STATUS_ACCEPTED, a);

		CHECK_EQ(early, STATUS_DELIVERED);
		CHECK_EQ(late, a == SEEN_REPORT_REJECTED ? STATUS_REJECTED : STATUS_DELIVERED);
		CHECK_EQ(smsflow_status_after(once, a), once);
	}
}

static void
test_waiting(void)
{
	static const SmsflowStatus waiting[] = {STATUS_SCHEDULED, STATUS_QUEUED, STATUS_HELD, STATUS_SENDING};
	static const struct
	{
		SmsflowObservation seen;
		SmsflowStatus after;
	} moves[] = {
		{SEEN_SCHEDULE, STATUS_SCHEDULED}, {SEEN_HOLD, STATUS_HELD},           {SEEN_RETRY, STATUS_QUEUED},
		{SEEN_CLAIM, STATUS_SENDING},      {SEEN_ACCEPT, STATUS_ACCEPTED},     {SEEN_REJECT, STATUS_REJECTED},
		{SEEN_DOUBT, STATUS_IN_DOUBT},     {SEEN_SUPPRESS, STATUS_SUPPRESSED}, {SEEN_CANCEL, STATUS_CANCELLED},
		{SEEN_EXPIRE, STATUS_EXPIRED},
	};

	CHECK_EQ(LENGTH(moves), FIRST_REPORT);
	for (int i = 0; i < LENGTH(waiting); i++)
		for (int j = 0; j < LENGTH(moves); j++)
			CHECK_EQ(smsflow_status_after(waiting[i], moves[j].seen), moves[j].after);
}

/* What may have left is not called suppressed, cancelled or expired, also while it is sent again: the phone may ring all the same. */
static void
test_in_doubt(void)
{
	static const SmsflowObservation nothing[] = {SEEN_SCHEDULE, SEEN_HOLD,     SEEN_RETRY,  SEEN_CLAIM,
												 SEEN_DOUBT,    SEEN_SUPPRESS, SEEN_CANCEL, SEEN_EXPIRE};

	for (int i = 0; i < LENGTH(nothing); i++)
		CHECK_EQ(smsflow_status_after(STATUS_IN_DOUBT, nothing[i]), STATUS_IN_DOUBT);
	CHECK_EQ(smsflow_status_after(STATUS_IN_DOUBT, SEEN_ACCEPT), STATUS_ACCEPTED);
	CHECK_EQ(smsflow_status_after(STATUS_IN_DOUBT, SEEN_REJECT), STATUS_REJECTED);
}

static void
test_accepted(void)
{
	for (int seen = 0; seen < FIRST_REPORT; seen++)
		CHECK_EQ(smsflow_status_after(STATUS_ACCEPTED, seen), STATUS_ACCEPTED);
}

/* Whatever order observations come in, what is known never gets less. */
static void
test_knowledge_grows(void)
{
	for (int status = 0; status < SMSFLOW_STATUSES; status++)
		for (int seen = 0; seen < SMSFLOW_OBSERVATIONS; seen++)
			CHECK(rank(smsflow_status_after(status, seen)) >= rank(status));
}

static void
test_every_status_is_reached(void)
{
	SmsflowStatus reached[SMSFLOW_STATUSES] = {STATUS_QUEUED};
	int count = 1;

	for (int i = 0; i < count; i++)
		for (int seen = 0; seen < SMSFLOW_OBSERVATIONS; seen++)
		{
			SmsflowStatus after = smsflow_status_after(reached[i], seen);

			if (!one_of(after, reached, count) && count < SMSFLOW_STATUSES)
				reached[count++] = after;
		}
	CHECK_EQ(count, SMSFLOW_STATUSES);
}

/* ---- names ---- */

static void
test_status_names(void)
{
	static const SmsflowStatus pending[] = {STATUS_SCHEDULED, STATUS_QUEUED, STATUS_HELD, STATUS_SENDING};
	SmsflowStatus status;

	for (int i = 0; i < SMSFLOW_STATUSES; i++)
	{
		CHECK(smsflow_status_from_name(smsflow_status_name(i), &status) && status == (SmsflowStatus) i);
		CHECK_EQ(smsflow_status_is_pending(i), one_of(i, pending, LENGTH(pending)));
	}
	CHECK(strcmp(smsflow_status_name(STATUS_IN_DOUBT), "in_doubt") == 0);
	CHECK(strcmp(smsflow_status_name(STATUS_DELIVERED), "delivered") == 0);
	CHECK(!smsflow_status_from_name("", &status));
	CHECK(!smsflow_status_from_name("Queued", &status));
	CHECK(!smsflow_status_from_name("queue", &status));
}

static void
test_class_names(void)
{
	SmsflowClass class;

	CHECK(smsflow_class_name(CLASS_NONE) == NULL);
	for (int i = CLASS_NONE + 1; i < SMSFLOW_CLASSES; i++)
		CHECK(smsflow_class_from_name(smsflow_class_name(i), &class) && class == (SmsflowClass) i);
	CHECK(strcmp(smsflow_class_name(CLASS_UNDELIVERABLE), "undeliverable") == 0);
	CHECK(strcmp(smsflow_class_name(CLASS_UNKNOWN), "unknown") == 0);
	CHECK(!smsflow_class_from_name("", &class));
	CHECK(!smsflow_class_from_name("none", &class));
}

/* ---- failures ---- */

static SmsflowClass
expected_class(int status, bool retry_after)
{
	if (status == 401 || status == 402 || status == 403 || status == 407 || (status >= 300 && status <= 399))
		return CLASS_CONFIGURATION;
	if (status == 429 || (status == 503 && retry_after))
		return CLASS_THROTTLED;
	if (status == 408 || status < 400 || status > 499)
		return CLASS_AMBIGUOUS;
	return CLASS_INVALID;
}

static void
test_http_statuses(void)
{
	for (int status = -1; status < 1000; status++)
		for (int retry_after = 0; retry_after <= 1; retry_after++)
			CHECK_EQ(smsflow_class_of_status(status, retry_after), expected_class(status, retry_after));
}

/* Only proof that nothing left allows another try; only proof of refusal ends it. */
static void
test_decisions(void)
{
	CHECK_EQ(smsflow_decide(CLASS_UNDELIVERABLE), DECIDE_REJECT);
	CHECK_EQ(smsflow_decide(CLASS_OPTED_OUT), DECIDE_REJECT);
	CHECK_EQ(smsflow_decide(CLASS_FILTERED), DECIDE_REJECT);
	CHECK_EQ(smsflow_decide(CLASS_EXPIRED), DECIDE_REJECT);
	CHECK_EQ(smsflow_decide(CLASS_INVALID), DECIDE_REJECT);
	CHECK_EQ(smsflow_decide(CLASS_TEMPORARY), DECIDE_RETRY);
	CHECK_EQ(smsflow_decide(CLASS_THROTTLED), DECIDE_HOLD);
	CHECK_EQ(smsflow_decide(CLASS_CONFIGURATION), DECIDE_HOLD);
	CHECK_EQ(smsflow_decide(CLASS_AMBIGUOUS), DECIDE_DOUBT);
	CHECK_EQ(smsflow_decide(CLASS_UNKNOWN), DECIDE_DOUBT);
}

static void
test_marketing_in_doubt(void)
{
	static const SmsflowPurpose marketing[] = {SMSFLOW_PURPOSE_PROMOTIONAL, SMSFLOW_PURPOSE_CART, SMSFLOW_PURPOSE_CONVERSATIONAL};

	for (int i = 0; i < LENGTH(marketing); i++)
		for (int attempt = 0; attempt < 100; attempt++)
			for (SmsflowDoubtRule rule = DOUBT_RULE_HOLD; rule <= DOUBT_RULE_POLL; rule++)
				CHECK_EQ(smsflow_doubt_policy(marketing[i], attempt, rule), DOUBT_KEEP);
}

static void
test_service_in_doubt(void)
{
	static const SmsflowPurpose service[] = {SMSFLOW_PURPOSE_TRANSACTIONAL, SMSFLOW_PURPOSE_COMPLIANCE};

	for (int attempt = 1; attempt < 100; attempt++)
	{
		SmsflowDoubt once = attempt == 1 ? DOUBT_RESEND : DOUBT_KEEP;

		CHECK_EQ(smsflow_doubt_policy(SMSFLOW_PURPOSE_OTP, attempt, DOUBT_RULE_HOLD), once);
		CHECK_EQ(smsflow_doubt_policy(SMSFLOW_PURPOSE_OTP, attempt, DOUBT_RULE_RESEND), once);
		for (int i = 0; i < LENGTH(service); i++)
		{
			CHECK_EQ(smsflow_doubt_policy(service[i], attempt, DOUBT_RULE_HOLD), attempt == 1 ? DOUBT_RESEND_LATER : DOUBT_KEEP);
			CHECK_EQ(smsflow_doubt_policy(service[i], attempt, DOUBT_RULE_RESEND),
					 attempt < SMSFLOW_MAX_RESENDS ? DOUBT_RESEND : DOUBT_KEEP);
		}
	}
}

/* ---- back-off ---- */

#define SECOND INT64_C(1000000)

/* 2, 4, 8 ... 512, 600, 600 seconds. */
static int64_t
middle(int attempt)
{
	return attempt <= 9 ? (INT64_C(2) << (attempt - 1)) * SECOND : 600 * SECOND;
}

static void
test_backoff_bounds(void)
{
	for (int attempt = 1; attempt <= 40; attempt++)
		for (uint64_t seed = 0; seed < 2000; seed++)
		{
			int64_t wait = smsflow_backoff(attempt, seed);

			CHECK(wait >= middle(attempt) * 3 / 4);
			CHECK(wait <= middle(attempt) * 5 / 4);
		}
	CHECK(smsflow_backoff(INT_MAX, UINT64_MAX) <= 750 * SECOND);
	CHECK(smsflow_backoff(0, 0) > 0);
}

/* Messages that failed together, with consecutive ids, come back spread over the whole range. */
static void
test_backoff_spread(void)
{
	for (int attempt = 1; attempt <= 12; attempt++)
	{
		int bins[10] = {0};
		int64_t low = middle(attempt) * 3 / 4;
		int64_t width = middle(attempt) / 2;

		for (uint64_t seed = 1000000; seed < 1001000; seed++)
		{
			int64_t bin = (smsflow_backoff(attempt, seed) - low) * 10 / (width + 1);

			if (bin >= 0 && bin < 10)
				bins[bin]++;
		}
		for (int i = 0; i < 10; i++)
			CHECK(bins[i] >= 60 && bins[i] <= 140);
	}
}

static int64_t
mean_backoff(int attempt)
{
	int64_t sum = 0;

	for (uint64_t seed = 0; seed < 1000; seed++)
		sum += smsflow_backoff(attempt, seed);
	return sum / 1000;
}

static void
test_backoff_growth(void)
{
	for (int attempt = 1; attempt <= 8; attempt++)
	{
		int64_t mean = mean_backoff(attempt);
		int64_t next = mean_backoff(attempt + 1);

		CHECK(next > mean * 19 / 10 && next < mean * 21 / 10);
	}
	CHECK(mean_backoff(30) > 590 * SECOND && mean_backoff(30) < 610 * SECOND);
}

static void
check_next(SmsflowDecision decision, SmsflowPurpose purpose, int attempt, SmsflowDoubtRule rule, SmsflowAgain again, int64_t wait)
{
	SmsflowNext next = smsflow_next(decision, purpose, attempt, rule, 7 * SECOND, 42);

	CHECK_EQ(next.again, again);
	CHECK_EQ(next.wait, wait);
}

static void
test_next(void)
{
	check_next(DECIDE_REJECT, SMSFLOW_PURPOSE_OTP, 1, true, AGAIN_NEVER, 0);
	check_next(DECIDE_RETRY, SMSFLOW_PURPOSE_PROMOTIONAL, 3, false, AGAIN_RETRY, smsflow_backoff(3, 42));
	check_next(DECIDE_HOLD, SMSFLOW_PURPOSE_PROMOTIONAL, 3, false, AGAIN_WITH_ROUTE, 7 * SECOND);
	check_next(DECIDE_DOUBT, SMSFLOW_PURPOSE_PROMOTIONAL, 1, true, AGAIN_NEVER, 0);
	check_next(DECIDE_DOUBT, SMSFLOW_PURPOSE_CART, 1, true, AGAIN_NEVER, 0);
	check_next(DECIDE_DOUBT, SMSFLOW_PURPOSE_OTP, 1, false, AGAIN_RESEND, smsflow_backoff(1, 42));
	check_next(DECIDE_DOUBT, SMSFLOW_PURPOSE_OTP, 2, true, AGAIN_NEVER, 0);
	check_next(DECIDE_DOUBT, SMSFLOW_PURPOSE_TRANSACTIONAL, 1, false, AGAIN_RESEND_LATER, SMSFLOW_DOUBT_GRACE * SECOND);
	check_next(DECIDE_DOUBT, SMSFLOW_PURPOSE_TRANSACTIONAL, 1, DOUBT_RULE_POLL, AGAIN_NEVER, 0);
	check_next(DECIDE_DOUBT, SMSFLOW_PURPOSE_OTP, 1, DOUBT_RULE_POLL, AGAIN_RESEND, smsflow_backoff(1, 42));
	check_next(DECIDE_DOUBT, SMSFLOW_PURPOSE_TRANSACTIONAL, 2, false, AGAIN_NEVER, 0);
	check_next(DECIDE_DOUBT, SMSFLOW_PURPOSE_TRANSACTIONAL, 5, true, AGAIN_RESEND, smsflow_backoff(1, 42));
}

/* The gate decides about what was revoked, whatever else is true; expiry is final, so it comes before a wait. */
static void
test_may_start(void)
{
	CHECK_EQ(smsflow_may_start(false, 100, 200, 10, 50), START_NOW);
	CHECK_EQ(smsflow_may_start(true, 100, 200, 10, 50), START_ASK_GATE);
	CHECK_EQ(smsflow_may_start(true, 40, 40, 10, 50), START_ASK_GATE);
	CHECK_EQ(smsflow_may_start(false, 51, 200, 10, 50), START_NOW);
	CHECK_EQ(smsflow_may_start(false, 50, 200, 10, 50), START_EXPIRED);
	CHECK_EQ(smsflow_may_start(false, 50, 50, 10, 50), START_EXPIRED);
	CHECK_EQ(smsflow_may_start(false, 100, 61, 10, 50), START_NOW);
	CHECK_EQ(smsflow_may_start(false, 100, 60, 10, 50), START_WINDOW_ENDED);
	CHECK_EQ(smsflow_may_start(false, INT64_MAX, INT64_MAX, 10, 50), START_NOW);
}

/* Only a journal that can be trusted, and has no mark, proves that nothing was sent. */
static void
test_lost(void)
{
	CHECK(smsflow_lost_in_doubt(false, false));
	CHECK(smsflow_lost_in_doubt(false, true));
	CHECK(smsflow_lost_in_doubt(true, true));
	CHECK(!smsflow_lost_in_doubt(true, false));
}

static void
test_doubt_remains(void)
{
	CHECK(smsflow_doubt_remains(true, false));
	CHECK(!smsflow_doubt_remains(true, true));
	CHECK(!smsflow_doubt_remains(false, false));
	CHECK(!smsflow_doubt_remains(false, true));
}

int
main(void)
{
	test_final_states();
	test_reports();
	test_reports_in_any_order();
	test_waiting();
	test_in_doubt();
	test_accepted();
	test_knowledge_grows();
	test_every_status_is_reached();
	test_status_names();
	test_class_names();
	test_http_statuses();
	test_decisions();
	test_marketing_in_doubt();
	test_service_in_doubt();
	test_backoff_bounds();
	test_backoff_spread();
	test_backoff_growth();
	test_next();
	test_may_start();
	test_lost();
	test_doubt_remains();
	return unit_report();
}
