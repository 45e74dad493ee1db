/*
 * window.c - weekly windows as bits, one per minute.
 *
 * A day fills 22.5 words.  Looking for the next opening or closing skips whole words, so that even a search over a month
 * of closed days is a few hundred steps.
 */
#include "window.h"

#include <string.h>

static const char *const weekday_names[7] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char *const month_names[12] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

void
smsflow_window_close(SmsflowWindow *window)
{
	memset(window, 0, sizeof(*window));
}

static void
open_minutes(uint64_t *day, int from, int to)
{
	for (int minute = from; minute < to; minute++)
		day[minute / 64] |= UINT64_C(1) << (minute % 64);
}

void
smsflow_window_all(SmsflowWindow *window)
{
	smsflow_window_close(window);
	for (int weekday = 0; weekday < 7; weekday++)
		open_minutes(window->open[weekday], 0, SMSFLOW_DAY_MINUTES);
}

void
smsflow_window_intersect(SmsflowWindow *window, const SmsflowWindow *other)
{
	for (int weekday = 0; weekday < 7; weekday++)
		for (int word = 0; word < SMSFLOW_DAY_WORDS; word++)
			window->open[weekday][word] &= other->open[weekday][word];
}

/* ---- reading ---- */

typedef struct Reader
{
	const char *at;
	const char *end;
} Reader;

static bool
take(Reader *reader, const char *text)
{
	size_t len = strlen(text);

	if ((size_t) (reader->end - reader->at) < len || memcmp(reader->at, text, len) != 0)
		return false;
	reader->at += len;
	return true;
}

static bool
take_name(Reader *reader, const char *const *names, int count, int *index)
{
	for (int i = 0; i < count; i++)
		if (take(reader, names[i]))
		{
			*index = i;
			return true;
		}
	return false;
}

/* Exactly so many digits. */
static bool
take_digits(Reader *reader, int count, int *value)
{
	int result = 0;

	if (reader->end - reader->at < count)
		return false;
	for (int i = 0; i < count; i++)
	{
		if (reader->at[i] < '0' || reader->at[i] > '9')
			return false;
		result = result * 10 + (reader->at[i] - '0');
	}
	reader->at += count;
	*value = result;
	return true;
}

static bool
take_time(Reader *reader, int *minute)
{
	int hours;
	int minutes;

	if (!take_digits(reader, 2, &hours) || !take(reader, ":") || !take_digits(reader, 2, &minutes))
		return false;
	*minute = hours * 60 + minutes;
	return minutes < 60 && *minute <= SMSFLOW_DAY_MINUTES;
}

static SmsflowWindowError
take_window(Reader *reader, int days[2], int times[2], bool *except_holidays)
{
	if (!take_name(reader, weekday_names, 7, &days[0]))
		return SMSFLOW_WINDOW_BAD_DAYS;
	days[1] = days[0];
	if (take(reader, "-") && !take_name(reader, weekday_names, 7, &days[1]))
		return SMSFLOW_WINDOW_BAD_DAYS;
	if (!take(reader, " "))
		return SMSFLOW_WINDOW_BAD_SYNTAX;
	if (!take_time(reader, &times[0]) || !take(reader, "-") || !take_time(reader, &times[1]))
		return SMSFLOW_WINDOW_BAD_TIME;
	*except_holidays = take(reader, " except holidays");
	if (reader->at != reader->end)
		return SMSFLOW_WINDOW_BAD_SYNTAX;
	return times[1] > times[0] ? SMSFLOW_WINDOW_OK : SMSFLOW_WINDOW_ENDS_BEFORE;
}

SmsflowWindowError
smsflow_window_add(SmsflowWindow *window, const char *text, size_t len, bool *except_holidays)
{
	Reader reader = {text, text + len};
	int days[2] = {0, 0};
	int times[2] = {0, 0};
	bool except = false;
	SmsflowWindowError error = take_window(&reader, days, times, &except);

	if (error != SMSFLOW_WINDOW_OK)
		return error;
	for (int weekday = days[0];; weekday = (weekday + 1) % 7)
	{
		open_minutes(window->open[weekday], times[0], times[1]);
		if (weekday == days[1])
			break;
	}
	*except_holidays = except;
	return SMSFLOW_WINDOW_OK;
}

const char *
smsflow_window_error_text(SmsflowWindowError error)
{
	switch (error)
	{
		case SMSFLOW_WINDOW_OK:
			return "The window is well formed.";
		case SMSFLOW_WINDOW_BAD_DAYS:
			return "It does not begin with a weekday, Sun to Sat, or a range of them.";
		case SMSFLOW_WINDOW_BAD_TIME:
			return "A time of day is written HH:MM, 00:00 to 24:00.";
		case SMSFLOW_WINDOW_ENDS_BEFORE:
			return "The window ends before it starts.";
		case SMSFLOW_WINDOW_BAD_SYNTAX:
			return "There is something else than days, times and \"except holidays\".";
	}
	return "";
}

/* ---- looking ahead ---- */

/* The first minute from one on that is open, or closed; SMSFLOW_DAY_MINUTES when there is none. */
static int
find_minute(const uint64_t *day, int from, bool open)
{
	for (int word = from / 64; word < SMSFLOW_DAY_WORDS; word++)
	{
		uint64_t bits = open ? day[word] : ~day[word];

		if (word == from / 64)
			bits &= ~UINT64_C(0) << (from % 64);
		for (int bit = 0; bits != 0; bit++, bits >>= 1)
			if (bits & 1)
				return word * 64 + bit < SMSFLOW_DAY_MINUTES ? word * 64 + bit : SMSFLOW_DAY_MINUTES;
	}
	return SMSFLOW_DAY_MINUTES;
}

static int
find_change(const SmsflowWindow *window, int weekday, int minute, uint32_t closed_days, bool open)
{
	static const uint64_t closed[SMSFLOW_DAY_WORDS];

	for (int ahead = 0; ahead < SMSFLOW_WINDOW_DAYS; ahead++)
	{
		const uint64_t *day = closed_days >> ahead & 1 ? closed : window->open[(weekday + ahead) % 7];
		int from = ahead == 0 ? minute : 0;
		int found = find_minute(day, from, open);

		if (found < SMSFLOW_DAY_MINUTES)
			return ahead * SMSFLOW_DAY_MINUTES + found - minute;
	}
	return -1;
}

int
smsflow_window_wait(const SmsflowWindow *window, int weekday, int minute, uint32_t closed_days)
{
	return find_change(window, weekday, minute, closed_days, true);
}

int
smsflow_window_left(const SmsflowWindow *window, int weekday, int minute, uint32_t closed_days)
{
	return find_change(window, weekday, minute, closed_days, false);
}

/* ---- the calendar ---- */

/* Years begin in March here, so that the leap day is the last one; eras of 400 years have 146097 days. */
int64_t
smsflow_day_of(int year, int month, int day)
{
	int64_t y = (int64_t) year - (month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int
year_of(int64_t day)
{
	int64_t shifted = day + 719468;
	int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	int64_t of_era = shifted - era * 146097;
	int64_t years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * years + years / 4 - years / 100);

	return (int) (era * 400 + years + (of_year >= 306));
}

static int
weekday_of(int64_t day)
{
	return (int) (((day + 4) % 7 + 7) % 7);
}

/* The anonymous Gregorian algorithm (Meeus, Astronomical Algorithms, chapter 8). */
static int64_t
easter_of(int year)
{
	int a = year % 19;
	int b = year / 100;
	int c = year % 100;
	int h = (19 * a + b - b / 4 - (b - (b + 8) / 25 + 1) / 3 + 15) % 30;
	int l = (32 + 2 * (b % 4) + 2 * (c / 4) - h - c % 4) % 7;
	int m = (a + 11 * h + 22 * l) / 451;
	int n = h + l - 7 * m + 114;

	return smsflow_day_of(year, n / 31, n % 31 + 1);
}

static int64_t
nth_weekday(int year, int month, int weekday, int nth)
{
	int64_t first = smsflow_day_of(year, month, 1);
	int64_t next = month == 12 ? smsflow_day_of(year + 1, 1, 1) : smsflow_day_of(year, month + 1, 1);
	int64_t day;

	if (nth < 0)
		return next - 1 - (weekday_of(next - 1) - weekday + 7) % 7;
	day = first + (weekday - weekday_of(first) + 7) % 7 + 7 * (int64_t) (nth - 1);
	return day < next ? day : INT64_MIN;
}

static bool
is_leap_day(int month, int day)
{
	return month == 2 && day == 29;
}

static bool
is_leap_year(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int64_t
holiday_in(const SmsflowHoliday *holiday, int year)
{
	switch (holiday->kind)
	{
		case HOLIDAY_DATE:
			if ((holiday->year != 0 && holiday->year != year) ||
				(is_leap_day(holiday->month, holiday->day) && !is_leap_year(year)))
				return INT64_MIN;
			return smsflow_day_of(year, holiday->month, holiday->day);
		case HOLIDAY_WEEKDAY:
			return nth_weekday(year, holiday->month, holiday->weekday, holiday->nth);
		case HOLIDAY_EASTER:
			return easter_of(year);
	}
	return INT64_MIN;
}

bool
smsflow_holiday_on(const SmsflowHoliday *holiday, int64_t day)
{
	/* An offset, or observing it, may carry a holiday into the year before or after. */
	for (int year = year_of(day) - 1; year <= year_of(day) + 1; year++)
	{
		int64_t at = holiday_in(holiday, year);

		if (at == INT64_MIN)
			continue;
		at += holiday->offset;
		if (at == day)
			return true;
		if (holiday->observed && ((weekday_of(at) == 6 && at - 1 == day) || (weekday_of(at) == 0 && at + 1 == day)))
			return true;
	}
	return false;
}

/* ---- reading holidays ---- */

/* One to three digits with a sign. */
static bool
take_offset(Reader *reader, int *offset)
{
	bool negative = take(reader, "-");
	int value = 0;
	int digit;
	int count = 0;

	if (!negative && !take(reader, "+"))
		return false;
	while (count < 3 && take_digits(reader, 1, &digit))
	{
		value = value * 10 + digit;
		count++;
	}
	*offset = negative ? -value : value;
	return count > 0;
}

static bool
take_weekday_rule(Reader *reader, SmsflowHoliday *holiday)
{
	int month;

	if (!take_name(reader, month_names, 12, &month) || !take(reader, " ") ||
		!take_name(reader, weekday_names, 7, &holiday->weekday) || !take(reader, " "))
		return false;
	holiday->month = month + 1;
	if (take(reader, "-1"))
		holiday->nth = -1;
	else if (!take_digits(reader, 1, &holiday->nth) || holiday->nth < 1 || holiday->nth > 5)
		return false;
	return !take(reader, " ") || take_offset(reader, &holiday->offset);
}

static bool
take_date(Reader *reader, SmsflowHoliday *holiday)
{
	static const int lengths[12] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	Reader whole = *reader;

	if (take_digits(&whole, 4, &holiday->year) && take(&whole, "-"))
		*reader = whole;
	else
		holiday->year = 0;
	if (!take_digits(reader, 2, &holiday->month) || !take(reader, "-") || !take_digits(reader, 2, &holiday->day))
		return false;
	if (holiday->month < 1 || holiday->month > 12 || holiday->day < 1 || holiday->day > lengths[holiday->month - 1])
		return false;
	if (holiday->year != 0 && is_leap_day(holiday->month, holiday->day) && !is_leap_year(holiday->year))
		return false;
	holiday->observed = take(reader, " observed");
	return true;
}

bool
smsflow_holiday_parse(const char *text, size_t len, SmsflowHoliday *holiday)
{
	Reader reader = {text, text + len};
	bool good;

	memset(holiday, 0, sizeof(*holiday));
	if (take(&reader, "easter"))
	{
		holiday->kind = HOLIDAY_EASTER;
		good = reader.at == reader.end || take_offset(&reader, &holiday->offset);
	}
	else if (len > 0 && text[0] >= 'A')
	{
		holiday->kind = HOLIDAY_WEEKDAY;
		good = take_weekday_rule(&reader, holiday);
	}
	else
	{
		holiday->kind = HOLIDAY_DATE;
		good = take_date(&reader, holiday);
	}
	return good && reader.at == reader.end;
}
