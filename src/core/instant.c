/*
 * instant.c - instants and their text form.
 *
 * The conversion between dates and days counts years from March, so that the leap day is the last day of a year and
 * the lengths of the months follow one linear formula (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
 * All valid years are positive, which spares the formulas their cases for negative numbers.
 */
#include "instant.h"

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

size_t
smsflow_instant_parse(const char *text, size_t len, int64_t *instant)
{
	const char *p = text;
	const char *end = text + len;
	int year;
	int month;
	int day;
	int hour;
	int minute;
	int second;
	int fraction;

	if (!get_number(&p, end, 4, '-', &year) || !get_number(&p, end, 2, '-', &month) || !get_number(&p, end, 2, 'T', &day) ||
		!get_number(&p, end, 2, ':', &hour) || !get_number(&p, end, 2, ':', &minute) || !get_number(&p, end, 2, '\0', &second) ||
		!get_fraction(&p, end, &fraction) || p == end || *p != 'Z')
		return 0;
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 ||
		second > 59)
		return 0;

	*instant = days_from_date(year, month, day) * USECS_PER_DAY + (hour * 3600 + minute * 60 + second) * USECS_PER_SEC + fraction;
	return (size_t) (p + 1 - text);
}
