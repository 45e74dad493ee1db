/*
 * fields.h - what a gateway sent, as one flat set of fields.
 *
 * A gateway may use the query string, a form or a JSON object, and some use
 * two of them at once. Profiles then name a field by a dotted path, wherever
 * it came from; of two fields of one name the body's counts.
 */
#ifndef SMSFLOW_FIELDS_H
#define SMSFLOW_FIELDS_H

#include "postgres.h"

#include "utils/jsonb.h"

/* Longest body that is looked at, bytes. */
#define SMSFLOW_MAX_CALLBACK_BODY 65536

/* Names of the fields that hold the text of a reply and its character set; NULL: UTF-8. */
typedef struct SmsflowTextField
{
	const char *name;
	const char *charset_name;
} SmsflowTextField;

/*
 * Fields of a request. headers may be NULL; its names are in small letters.
 * Returns NULL for a body that is too long, or neither a form nor a JSON object
 * in UTF-8. Memory is the caller's context.
 */
extern Jsonb *smsflow_fields(const char *query, Jsonb *headers, const char *body, size_t body_len, const SmsflowTextField *text);

#endif
