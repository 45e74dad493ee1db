/*
 * instant.c - instants and their text form.
 *
 * The conversion between dates and days counts years from March, so that the leap day is the last day of a year and
 * the lengths of the months follow one linear formula (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
 * All valid years are positive, which spares the formulas their cases for negative numbers.
 */
#include "instant.h"

#include <string.h>

#define DAYS_PER_ERA 146097       /* 400 years */
#define DAYS_TO_2000_01_01 730425 /* from 0000-03-01 */
#define USECS_PER_SEC INT64_C(1000000)
#define USECS_PER_DAY (86400 * USECS_PER_SEC)

/* days_from_date returns the days from 2000-01-01 to a date. */
static int64_t
days_from_date(int year, int month, int day)
{
	int y = month <= 2 ? year - 1 : year;
	int month_from_march = (month + 9) % 12;
	int day_of_year = (153 * month_from_march + 2) / 5 + day - 1;

	return INT64_C(365) * y + y / 4 - y / 100 + y / 400 + day_of_year - DAYS_TO_2000_01_01;
}

static void
date_from_days(int64_t days, int *year, int *month, int *day)
{
	int64_t z = days + DAYS_TO_2000_01_01;
	int era = (int) (z / DAYS_PER_ERA);
	int doe = (int) (z % DAYS_PER_ERA);
	int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int day_of_year = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int month_from_march = (5 * day_of_year + 2) / 153;

	*day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
	*month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
	*year = yoe + era * 400 + (*month <= 2 ? 1 : 0);
}

static int
days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return month == 2 && leap ? 29 : days[month - 1];
}

/* put_number writes a number with exactly the given count of digits and a character after it. */
static char *
put_number(char *out, int number, int digits, char after)
{
	for (int i = digits - 1; i >= 0; i--)
	{
		out[i] = (char) ('0' + number % 10);
		number /= 10;
	}
	out[digits] = after;
	return out + digits + 1;
}

size_t
smsflow_instant_format(int64_t instant, char out[SMSFLOW_INSTANT_TEXT_SIZE])
{
	int64_t since_min = instant - SMSFLOW_INSTANT_MIN; /* MIN begins a day, and this is never negative */
	int64_t of_day = since_min % USECS_PER_DAY;
	int second = (int) (of_day / USECS_PER_SEC);
	int fraction = (int) (of_day % USECS_PER_SEC);
	int year;
	int month;
	int day;
	char *p = out;

	date_from_days(since_min / USECS_PER_DAY + SMSFLOW_INSTANT_MIN / USECS_PER_DAY, &year, &month, &day);
	p = put_number(p, year, 4, '-');
	p = put_number(p, month, 2, '-');
	p = put_number(p, day, 2, 'T');
	p = put_number(p, second / 3600, 2, ':');
	p = put_number(p, second / 60 % 60, 2, ':');
	p = put_number(p, second % 60, 2, fraction > 0 ? '.' : 'Z');
	if (fraction > 0)
	{
		int digits = 6;

		for (; fraction % 10 == 0; digits--)
			fraction /= 10;
		p = put_number(p, fraction, digits, 'Z');
	}
	*p = '\0';
	return (size_t) (p - out);
}

/* get_number reads exactly the given count of digits and, unless it is zero, the character after them. */
static bool
get_number(const char **p, const char *end, int digits, char after, int *number)
{
	*number = 0;
	if (end - *p < digits + (after != '\0' ? 1 : 0))
		return false;
	for (int i = 0; i < digits; i++, (*p)++)
	{
		if (**p < '0' || **p > '9')
			return false;
		*number = *number * 10 + (**p - '0');
	}
	if (after == '\0')
		return true;
	return *(*p)++ == after;
}

/* get_fraction reads an optional fraction of a second, in microseconds. */
static bool
get_fraction(const char **p, const char *end, int *fraction)
{
	int digits = 0;

	*fraction = 0;
	if (*p == end || **p != '.')
		return true;
	for ((*p)++; *p < end && **p >= '0' && **p <= '9' && digits < 6; (*p)++, digits++)
		*fraction = *fraction * 10 + (**p - '0');
	for (int i = digits; i < 6; i++)
		*fraction *= 10;
	return digits > 0;
}

/* get_clock reads date and time of day, the character between being one of these. */
static bool
get_clock(const char **p, const char *end, const char *between, int64_t *instant)
{
	int year;
	int month;
	int day;
	int hour;
	int minute;
	int second;
	int fraction;

	if (!get_number(p, end, 4, '-', &year) || !get_number(p, end, 2, '-', &month) || !get_number(p, end, 2, '\0', &day) ||
		*p == end || **p == '\0' || strchr(between, *(*p)++) == NULL || !get_number(p, end, 2, ':', &hour) ||
		!get_number(p, end, 2, ':', &minute) || !get_number(p, end, 2, '\0', &second) || !get_fraction(p, end, &fraction))
		return false;
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 ||
		second > 59)
		return false;
	*instant = days_from_date(year, month, day) * USECS_PER_DAY + (hour * 3600 + minute * 60 + second) * USECS_PER_SEC + fraction;
	return true;
}

size_t
smsflow_instant_parse(const char *text, size_t len, int64_t *instant)
{
	const char *p = text;
	const char *end = text + len;

	if (!get_clock(&p, end, "T", instant) || p == end || *p != 'Z')
		return 0;
	return (size_t) (p + 1 - text);
}

/* get_offset reads the rest of an instant: nothing, Z, or an offset, in minutes east of UTC. */
static bool
get_offset(const char *p, const char *end, int *offset)
{
	int hours;
	int minutes = 0;
	int sign;

	*offset = 0;
	if (p == end || (end - p == 1 && *p == 'Z'))
		return true;
	if (*p == ' ')
		p++;
	if (p == end || (*p != '+' && *p != '-'))
		return false;
	sign = *p++ == '-' ? -1 : 1;
	if (!get_number(&p, end, 2, '\0', &hours))
		return false;
	if (p < end && *p == ':')
		p++;
	if (p < end && !get_number(&p, end, 2, '\0', &minutes))
		return false;
	*offset = sign * (hours * 60 + minutes);
	return p == end && hours <= 15 && minutes <= 59;
}

bool
smsflow_instant_read(const char *text, size_t len, int64_t *instant)
{
	const int64_t unix_epoch = INT64_C(-946684800) * USECS_PER_SEC;
	const char *p = text;
	int64_t number = 0;
	size_t digits = 0;
	int offset;

	for (; digits < len && digits < 14 && text[digits] >= '0' && text[digits] <= '9'; digits++)
		number = number * 10 + (text[digits] - '0');
	if (digits == len && (len == 9 || len == 10 || len == 12 || len == 13))
	{
		*instant = unix_epoch + number * (len < 12 ? USECS_PER_SEC : USECS_PER_SEC / 1000);
		return true;
	}
	if (!get_clock(&p, text + len, "T ", instant) || !get_offset(p, text + len, &offset))
		return false;
	*instant -= offset * 60 * USECS_PER_SEC;
	return smsflow_instant_is_valid(*instant);
}
