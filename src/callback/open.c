/*
 * open.c - whether a shop is open, by windows such as "Mon-Fri 09:00-17:00" (core/window).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "core/window.h"
#include "errcodes.h"

static void
add_window(SmsflowWindow *window, const char *text)
{
	bool except_holidays = false;
	SmsflowWindowError error = smsflow_window_add(window, text, strlen(text), &except_holidays);

	if (error != SMSFLOW_WINDOW_OK || except_holidays)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("invalid hours \"%s\"", text),
						errdetail("%s", error != SMSFLOW_WINDOW_OK ? smsflow_window_error_text(error)
																   : "A shop's hours know nothing of holidays."),
						errhint("Write days and times, such as \"Mon-Fri 09:00-17:00\".")));
}

/* window_open(hours text[], local timestamp) returns boolean */
PG_FUNCTION_INFO_V1(smsflow_pg_window_open);
Datum
smsflow_pg_window_open(PG_FUNCTION_ARGS)
{
	Timestamp local = PG_GETARG_TIMESTAMP(1);
	SmsflowWindow window;
	struct pg_tm tm;
	fsec_t fraction;
	Datum *hours;
	int count;

	if (TIMESTAMP_NOT_FINITE(local) || timestamp2tm(local, NULL, &tm, &fraction, NULL, NULL) != 0)
		PG_RETURN_BOOL(false);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &hours, NULL, &count);
	smsflow_window_close(&window);
	for (int i = 0; i < count; i++)
		add_window(&window, TextDatumGetCString(hours[i]));
	PG_RETURN_BOOL(
		smsflow_window_wait(&window, j2day(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday)), tm.tm_hour * 60 + tm.tm_min, 0) == 0);
}
