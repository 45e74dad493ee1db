/* Log lines on standard error. */
#ifndef SMSFLOWD_LOG_H
#define SMSFLOWD_LOG_H

/*
 * Writes one line with a UTC time stamp.  Callers must never pass bodies, query strings, phone numbers, connection
 * strings or anything else a client sent.
 */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
