/*
 * window.h - when somebody may be written to: weekly windows and holidays.
 *
 * A window says for every minute of the week whether it is open, so that windows of several laws intersect by a plain
 * AND and any mixture of them stays exact.  Starts are inclusive, ends exclusive: "08:00-20:00" is open at 8:00 and
 * closed at 20:00.  A weekday without an entry is closed.
 *
 * Pure C11: no clock and no time zones.  The caller brings the local weekday (0 is Sunday, as in struct tm) and the
 * local minute of the day (0 to 1439), and which of the coming days are closed, and turns the answer, which counts local
 * minutes, back into an instant.
 */
#ifndef SMSFLOW_WINDOW_H
#define SMSFLOW_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SMSFLOW_DAY_MINUTES 1440
#define SMSFLOW_DAY_WORDS 23

/* How far ahead the functions below look: as many days as closed_days has bits. */
#define SMSFLOW_WINDOW_DAYS 32

typedef struct SmsflowWindow
{
	uint64_t open[7][SMSFLOW_DAY_WORDS]; /* a bit per minute, first minute first; bits past 1439 are 0 */
} SmsflowWindow;

typedef enum SmsflowWindowError
{
	SMSFLOW_WINDOW_OK,
	SMSFLOW_WINDOW_BAD_DAYS,    /* no weekday or range of weekdays */
	SMSFLOW_WINDOW_BAD_TIME,    /* no time of day, 00:00 to 24:00 */
	SMSFLOW_WINDOW_ENDS_BEFORE, /* the end is not after the start */
	SMSFLOW_WINDOW_BAD_SYNTAX   /* something else, or more, than days and times */
} SmsflowWindowError;

/* smsflow_window_close and smsflow_window_all set a window that is never, and always, open. */
extern void smsflow_window_close(SmsflowWindow *window);
extern void smsflow_window_all(SmsflowWindow *window);

/*
 * smsflow_window_add opens what a text such as "Mon-Sat 08:00-20:00" or "Sun 12:00-21:00 except holidays" names, on top of
 * what is open, and tells in *except_holidays whether the words stood there.  On an error nothing changes.  A range of
 * days may pass Saturday: "Fri-Mon".
 */
extern SmsflowWindowError smsflow_window_add(SmsflowWindow *window, const char *text, size_t len, bool *except_holidays);

/* smsflow_window_error_text returns a full English sentence, a static string. */
extern const char *smsflow_window_error_text(SmsflowWindowError error);

/* smsflow_window_intersect leaves open what is open in both. */
extern void smsflow_window_intersect(SmsflowWindow *window, const SmsflowWindow *other);

/*
 * smsflow_window_wait returns the local minutes until it is open: 0 when it is, -1 when it is not within
 * SMSFLOW_WINDOW_DAYS days.  Bit n of closed_days says that the day n days ahead (0 is today) is a holiday, closed whole.
 */
extern int smsflow_window_wait(const SmsflowWindow *window, int weekday, int minute, uint32_t closed_days);

/*
 * smsflow_window_left returns the local minutes until it closes: 0 when it is closed, -1 when it stays open for
 * SMSFLOW_WINDOW_DAYS days.
 */
extern int smsflow_window_left(const SmsflowWindow *window, int weekday, int minute, uint32_t closed_days);

/*
 * A holiday that comes every year, or once:
 *
 *	2026-07-14			that day
 *	07-04				every year
 *	07-04 observed		also the Friday before a Saturday and the Monday after a Sunday (5 U.S.C. 6103(b))
 *	Nov Thu 4			the fourth Thursday of November; -1 is the last, "Nov Thu 4 +1" the day after it
 *	easter-2			days before or after Easter Sunday of the Western churches
 */
typedef struct SmsflowHoliday
{
	enum
	{
		HOLIDAY_DATE,
		HOLIDAY_WEEKDAY,
		HOLIDAY_EASTER
	} kind;
	int year;    /* 0: every year */
	int month;   /* 1 to 12 */
	int day;     /* of the month */
	int weekday; /* 0 is Sunday */
	int nth;     /* 1 to 5, or -1 for the last */
	int offset;  /* days after it */
	bool observed;
} SmsflowHoliday;

/* smsflow_holiday_parse reads one of the forms above; false when the text is none. */
extern bool smsflow_holiday_parse(const char *text, size_t len, SmsflowHoliday *holiday);

/* smsflow_holiday_on tells whether a day, counted from 1970-01-01, is this holiday. */
extern bool smsflow_holiday_on(const SmsflowHoliday *holiday, int64_t day);

/* smsflow_day_of returns the number of days from 1970-01-01 to a date of the proleptic Gregorian calendar. */
extern int64_t smsflow_day_of(int year, int month, int day);

#endif /* SMSFLOW_WINDOW_H */
