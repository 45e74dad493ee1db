/*
 * fuzz_window.c - any text as a window and as a holiday, and looking ahead from anywhere.
 *
 * Input: four bytes for the days that are closed, one for the weekday, two for the minute, one unused, then lines.
 * Looking ahead must end where it says: the minute it names is open (or closed), and the one before is not.
 */
#include "fuzz.h"
#include "window.h"

static bool
is_open(const SmsflowWindow *window, int weekday, int minute, uint32_t closed_days)
{
	int			day = minute / SMSFLOW_DAY_MINUTES;
	int			of_day = minute % SMSFLOW_DAY_MINUTES;

	return !(closed_days >> day & 1) && (window->open[(weekday + day) % 7][of_day / 64] >> (of_day % 64) & 1);
}

static void
check_ahead(const SmsflowWindow *window, int weekday, int minute, uint32_t closed_days)
{
	int			wait = smsflow_window_wait(window, weekday, minute, closed_days);
	int			left = smsflow_window_left(window, weekday, minute, closed_days);

	REQUIRE(wait <= 0 || is_open(window, weekday, minute + wait, closed_days));
	REQUIRE(wait <= 0 || !is_open(window, weekday, minute + wait - 1, closed_days));
	REQUIRE(left <= 0 || !is_open(window, weekday, minute + left, closed_days));
	REQUIRE(left <= 0 || is_open(window, weekday, minute + left - 1, closed_days));
	REQUIRE((wait == 0) != (left == 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SmsflowWindow window;
	SmsflowHoliday holiday;
	bool		except;
	uint32_t	closed_days;

	if (size < 8)
		return 0;
	memcpy(&closed_days, data, 4);
	smsflow_window_close(&window);
	for (size_t from = 8, to = 8; to <= size; to++)
		if (to == size || data[to] == '\n')
		{
			char	   *line = fuzz_copy(data + from, to - from);

			(void) smsflow_window_add(&window, line, to - from, &except);
			if (smsflow_holiday_parse(line, to - from, &holiday))
				(void) smsflow_holiday_on(&holiday, (int32_t) closed_days % 1000000);
			free(line);
			from = to + 1;
		}
	check_ahead(&window, data[4] % 7, (data[5] * 256 + data[6]) % SMSFLOW_DAY_MINUTES, closed_days);
	return 0;
}
