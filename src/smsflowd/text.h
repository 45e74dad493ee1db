/* Checks and conversions of text that comes from outside. */
#ifndef SMSFLOWD_TEXT_H
#define SMSFLOWD_TEXT_H

#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that belong to someone else. */
struct slice
{
	const char *data;
	size_t size;
};

/* The bytes of a C string; NULL counts as empty. */
struct slice slice_of(const char *text);

/* True if PostgreSQL takes the bytes as text in UTF-8: well-formed by RFC 3629, and no NUL. */
bool text_is_valid(struct slice text);

/* Appends a text as the contents of a JSON string; what is not UTF-8 is read as ISO 8859-1. */
void text_append_escaped(struct evbuffer *json, const char *value);

/*
 * Appends the headers worth keeping as a JSON object: lower-case names; repeated headers joined with ", " as in
 * RFC 9110, section 5.3.  Kept are content-type, user-agent, authorization, x-* and the headers that gateways put
 * signatures and their time stamps in; cookies never are.  A value that is not UTF-8 is read as ISO 8859-1.  The first
 * is x-smsflow-arrived, seconds since 1970: signatures are good for minutes, but a callback may lie in the spool for
 * longer.  Nobody else can send it.
 */
void text_append_headers(struct evbuffer *json, const struct evkeyvalq *headers, int64_t arrived);

#endif
