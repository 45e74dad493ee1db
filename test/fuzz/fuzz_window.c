/*
 * fuzz_window.c - any text as a window and as a holiday, and looking ahead from anywhere.
 *
 * Input: four bytes for the days that are closed, one for the weekday, two for the minute, one unused, then lines.
 * Looking ahead must find what walking minute by minute finds; adding opens minutes and closes none, so what was open is its own
 * intersection with what is. A holiday with a date is on that date, and observed on one day more at most.
 */
#include "fuzz.h"
#include "window.h"

static bool
is_open(const SmsflowWindow *window, int weekday, int minute, uint32_t closed_days)
{
	int day = minute / SMSFLOW_DAY_MINUTES;
	int of_day = minute % SMSFLOW_DAY_MINUTES;

	return !(closed_days >> day & 1) && (window->open[(weekday + day) % 7][of_day / 64] >> (of_day % 64) & 1);
}

/* Walks minute by minute to what was found; where nothing was, in larger steps to the end. */
static void
check_found(const SmsflowWindow *window, int weekday, int minute, uint32_t closed_days, bool open, int found)
{
	int end = found >= 0 ? found : SMSFLOW_WINDOW_DAYS * SMSFLOW_DAY_MINUTES - minute;

	for (int ahead = 0; ahead < end; ahead += found >= 0 ? 1 : 29)
		REQUIRE(is_open(window, weekday, minute + ahead, closed_days) != open);
	REQUIRE(found < 0 || is_open(window, weekday, minute + found, closed_days) == open);
}

static void
check_ahead(const SmsflowWindow *window, int weekday, int minute, uint32_t closed_days)
{
	int wait = smsflow_window_wait(window, weekday, minute, closed_days);
	int left = smsflow_window_left(window, weekday, minute, closed_days);

	check_found(window, weekday, minute, closed_days, true, wait);
	check_found(window, weekday, minute, closed_days, false, left);
}

static void
check_added(SmsflowWindow *window, const char *line, size_t len)
{
	SmsflowWindow before = *window;
	SmsflowWindow both;
	bool except;
	SmsflowWindowError error = smsflow_window_add(window, line, len, &except);

	REQUIRE(smsflow_window_error_text(error)[0] != '\0');
	if (error != SMSFLOW_WINDOW_OK)
		REQUIRE(memcmp(window, &before, sizeof(before)) == 0);
	both = before;
	smsflow_window_intersect(&both, window);
	REQUIRE(memcmp(&both, &before, sizeof(both)) == 0);
	for (int weekday = 0; weekday < 7; weekday++)
		REQUIRE(window->open[weekday][SMSFLOW_DAY_WORDS - 1] >> (SMSFLOW_DAY_MINUTES % 64) == 0);
}

static void
check_holiday(const char *line, size_t len, int32_t any_day)
{
	SmsflowHoliday holiday;
	int days = 0;
	int64_t day;

	if (!smsflow_holiday_parse(line, len, &holiday))
		return;
	(void) smsflow_holiday_on(&holiday, any_day);
	if (holiday.kind != HOLIDAY_DATE || holiday.year == 0)
		return;
	day = smsflow_day_of(holiday.year, holiday.month, holiday.day);
	REQUIRE(smsflow_holiday_on(&holiday, day));
	for (int64_t near = day - 3; near <= day + 3; near++)
		days += smsflow_holiday_on(&holiday, near);
	REQUIRE(days == 1 || (holiday.observed && days == 2));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SmsflowWindow window;
	uint32_t closed_days;

	if (size < 8)
		return 0;
	memcpy(&closed_days, data, 4);
	smsflow_window_close(&window);
	for (size_t from = 8, to = 8; to <= size; to++)
		if (to == size || data[to] == '\n')
		{
			char *line = fuzz_copy(data + from, to - from);

			check_added(&window, line, to - from);
			check_holiday(line, to - from, (int32_t) closed_days % 1000000);
			free(line);
			from = to + 1;
		}
	check_ahead(&window, data[4] % 7, (data[5] * 256 + data[6]) % SMSFLOW_DAY_MINUTES, closed_days);
	return 0;
}
