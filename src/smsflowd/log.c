/*
 * Log lines on standard error: one per event, composed first and written with a single call, so that lines of
 * several processes sharing a terminal or a pipe do not mix.
 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

void
log_line(const char *format, ...)
{
	char stamp[32];
	char text[512];
	time_t now = time(NULL);
	struct tm utc;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	gmtime_r(&now, &utc);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &utc);
	fprintf(stderr, "%s smsflowd: %s\n", stamp, text);
}
