/*
 * test_window.c - weekly windows, looking ahead in them, and holidays.
 *
 * What looking ahead returns is held against a minute by minute search.
 */
#include "unit.h"
#include "window.h"

#include <string.h>

enum
{
	SUN,
	MON,
	TUE,
	WED,
	THU,
	FRI,
	SAT
};

static SmsflowWindowError
add(SmsflowWindow *window, const char *text)
{
	bool except;

	return smsflow_window_add(window, text, strlen(text), &except);
}

static SmsflowWindow
window_of(const char *first, const char *second)
{
	SmsflowWindow window;

	smsflow_window_close(&window);
	CHECK_EQ(add(&window, first), SMSFLOW_WINDOW_OK);
	if (second)
		CHECK_EQ(add(&window, second), SMSFLOW_WINDOW_OK);
	return window;
}

static void
test_edges(void)
{
	SmsflowWindow texas = window_of("Mon-Sat 09:00-21:00", "Sun 12:00-21:00");

	CHECK_EQ(smsflow_window_wait(&texas, SUN, 11 * 60 + 59, 0), 1);
	CHECK_EQ(smsflow_window_wait(&texas, SUN, 12 * 60, 0), 0);
	CHECK_EQ(smsflow_window_left(&texas, SUN, 12 * 60, 0), 9 * 60);
	CHECK_EQ(smsflow_window_left(&texas, SUN, 20 * 60 + 59, 0), 1);
	CHECK_EQ(smsflow_window_wait(&texas, SUN, 21 * 60, 0), 12 * 60);
	CHECK_EQ(smsflow_window_left(&texas, SUN, 21 * 60, 0), 0);
	CHECK_EQ(smsflow_window_wait(&texas, SAT, 1439, 0), 1 + 12 * 60);
}

static void
test_closed_days(void)
{
	SmsflowWindow pennsylvania = window_of("Mon-Sat 09:00-19:00", NULL);

	CHECK_EQ(smsflow_window_wait(&pennsylvania, SAT, 19 * 60, 0), (5 + 24 + 9) * 60);
	CHECK_EQ(smsflow_window_wait(&pennsylvania, SAT, 19 * 60, 1 << 2), (5 + 48 + 9) * 60);
	CHECK_EQ(smsflow_window_wait(&pennsylvania, MON, 10 * 60, 1), (14 + 9) * 60);
	CHECK_EQ(smsflow_window_left(&pennsylvania, MON, 10 * 60, 1), 0);
	CHECK_EQ(smsflow_window_wait(&pennsylvania, MON, 10 * 60, UINT32_MAX), -1);
}

static void
test_all_and_none(void)
{
	SmsflowWindow window;

	smsflow_window_all(&window);
	CHECK_EQ(smsflow_window_wait(&window, WED, 700, 0), 0);
	CHECK_EQ(smsflow_window_left(&window, WED, 700, 0), -1);
	CHECK_EQ(smsflow_window_left(&window, WED, 700, 1 << 1), SMSFLOW_DAY_MINUTES - 700);
	smsflow_window_close(&window);
	CHECK_EQ(smsflow_window_wait(&window, WED, 700, 0), -1);
	CHECK_EQ(smsflow_window_left(&window, WED, 700, 0), 0);
}

static void
test_intersection(void)
{
	SmsflowWindow window = window_of("Mon-Sun 08:00-20:00", NULL);
	SmsflowWindow other = window_of("Mon-Fri 09:00-18:00", "Sat 10:00-17:00");

	smsflow_window_intersect(&window, &other);
	CHECK_EQ(smsflow_window_wait(&window, FRI, 18 * 60, 0), 16 * 60);
	CHECK_EQ(smsflow_window_wait(&window, SUN, 12 * 60, 0), 21 * 60);
	CHECK_EQ(smsflow_window_left(&window, SAT, 10 * 60, 0), 7 * 60);
}

static void
test_past_saturday(void)
{
	SmsflowWindow window = window_of("Fri-Mon 00:00-24:00", NULL);

	CHECK_EQ(smsflow_window_left(&window, FRI, 0, 0), 4 * SMSFLOW_DAY_MINUTES);
	CHECK_EQ(smsflow_window_wait(&window, TUE, 0, 0), 3 * SMSFLOW_DAY_MINUTES);
}

static void
test_refused(void)
{
	static const struct
	{
		const char *text;
		SmsflowWindowError error;
	} cases[] = {
		{"", SMSFLOW_WINDOW_BAD_DAYS},
		{"mon 08:00-20:00", SMSFLOW_WINDOW_BAD_DAYS},
		{"Mon- 08:00-20:00", SMSFLOW_WINDOW_BAD_DAYS},
		{"Mon08:00-20:00", SMSFLOW_WINDOW_BAD_SYNTAX},
		{"Mon 8:00-20:00", SMSFLOW_WINDOW_BAD_TIME},
		{"Mon 08:00-24:01", SMSFLOW_WINDOW_BAD_TIME},
		{"Mon 08:60-20:00", SMSFLOW_WINDOW_BAD_TIME},
		{"Mon 20:00-08:00", SMSFLOW_WINDOW_ENDS_BEFORE},
		{"Mon 08:00-08:00", SMSFLOW_WINDOW_ENDS_BEFORE},
		{"Mon 08:00-20:00 ", SMSFLOW_WINDOW_BAD_SYNTAX},
		{"Mon 08:00-20:00 except", SMSFLOW_WINDOW_BAD_SYNTAX},
	};
	SmsflowWindow window;
	SmsflowWindow before;

	smsflow_window_all(&window);
	before = window;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK_EQ(add(&window, cases[i].text), cases[i].error);
	CHECK(memcmp(&window, &before, sizeof(window)) == 0);
}

static void
test_except_holidays(void)
{
	SmsflowWindow window;
	bool except = false;

	smsflow_window_close(&window);
	CHECK_EQ(smsflow_window_add(&window, "Mon 08:00-20:00 except holidays", 31, &except), SMSFLOW_WINDOW_OK);
	CHECK(except);
	CHECK_EQ(smsflow_window_add(&window, "Mon 08:00-20:00 except holidays", 15, &except), SMSFLOW_WINDOW_OK);
	CHECK(!except);
}

/* ---- against a slow search ---- */

static bool
is_open(const SmsflowWindow *window, int weekday, int minute, uint32_t closed_days)
{
	int day = minute / SMSFLOW_DAY_MINUTES;
	int of_day = minute % SMSFLOW_DAY_MINUTES;

	return !(closed_days >> day & 1) && (window->open[(weekday + day) % 7][of_day / 64] >> (of_day % 64) & 1);
}

static int
slow(const SmsflowWindow *window, int weekday, int minute, uint32_t closed_days, bool open)
{
	for (int at = minute; at < SMSFLOW_WINDOW_DAYS * SMSFLOW_DAY_MINUTES; at++)
		if (is_open(window, weekday, at, closed_days) == open)
			return at - minute;
	return -1;
}

static void
test_slow_search(void)
{
	SmsflowWindow window = window_of("Mon-Thu 07:03-12:59", "Sat 23:58-24:00");
	uint32_t masks[] = {0, 1, 6, 0x55555555, UINT32_MAX};

	for (int weekday = 0; weekday < 7; weekday++)
		for (int minute = 0; minute < SMSFLOW_DAY_MINUTES; minute += 61)
			for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++)
			{
				CHECK_EQ(smsflow_window_wait(&window, weekday, minute, masks[i]), slow(&window, weekday, minute, masks[i], true));
				CHECK_EQ(smsflow_window_left(&window, weekday, minute, masks[i]),
						 slow(&window, weekday, minute, masks[i], false));
			}
}

/* ---- holidays ---- */

static bool
on(const char *text, int year, int month, int day)
{
	SmsflowHoliday holiday;

	CHECK(smsflow_holiday_parse(text, strlen(text), &holiday));
	return smsflow_holiday_on(&holiday, smsflow_day_of(year, month, day));
}

static void
test_holidays(void)
{
	CHECK_EQ(smsflow_day_of(1970, 1, 1), 0);
	CHECK_EQ(smsflow_day_of(2026, 11, 21), 20778);
	CHECK(on("2026-07-14", 2026, 7, 14));
	CHECK(!on("2026-07-14", 2027, 7, 14));
	CHECK(on("07-04", 2026, 7, 4));
	CHECK(!on("07-04", 2026, 7, 3));
	CHECK(on("07-04 observed", 2026, 7, 3));   /* a Saturday */
	CHECK(on("07-04 observed", 2027, 7, 5));   /* a Sunday */
	CHECK(on("01-01 observed", 2027, 12, 31)); /* New Year 2028 is a Saturday */
	CHECK(on("Nov Thu 4", 2026, 11, 26));
	CHECK(!on("Nov Thu 4", 2026, 11, 19));
	CHECK(on("Nov Thu 4 +1", 2026, 11, 27));
	CHECK(on("May Mon -1", 2026, 5, 25));
	CHECK(on("Jan Mon 5", 2029, 1, 29));
	CHECK(!on("Jan Mon 5", 2026, 2, 2));
	CHECK(on("02-29", 2028, 2, 29));
	CHECK(!on("02-29", 2027, 3, 1));
	CHECK(!on("02-29", 2100, 3, 1));
	CHECK(on("2028-02-29", 2028, 2, 29));
	CHECK(on("easter", 2026, 4, 5));
	CHECK(on("easter-47", 2026, 2, 17));
	CHECK(on("easter+39", 2027, 5, 6));
}

static void
test_bad_holidays(void)
{
	static const char *const bad[] = {"",         "13-01",     "02-30",   "2027-02-29", "2100-02-29", "7-4",
									  "2026-7-4", "07-04 obs", "Nov Thu", "Nov Thu 0",  "Nov Thu 6",  "Nov Thu 4 ",
									  "thu",      "easter2",   "easter-", "easter-2 "};
	SmsflowHoliday holiday;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(!smsflow_holiday_parse(bad[i], strlen(bad[i]), &holiday));
}

int
main(void)
{
	test_edges();
	test_closed_days();
	test_all_and_none();
	test_intersection();
	test_past_saturday();
	test_refused();
	test_except_holidays();
	test_slow_search();
	test_holidays();
	test_bad_holidays();
	return unit_report();
}
