/*
 * fields.h - what a gateway sent, as sets of fields.
 *
 * A gateway may use the query string, a form or JSON, and some use two of them
 * at once; some send a list of reports in one request, or wrap the whole into
 * the envelope of a queue. In the end each report or reply is one JSON object,
 * and a profile names a field by a dotted path, wherever it came from; of two
 * fields of one name the body's counts.
 */
#ifndef SMSFLOW_FIELDS_H
#define SMSFLOW_FIELDS_H

#include "postgres.h"

#include "utils/jsonb.h"

/* Longest body that is looked at, bytes: a gateway may send a hundred reports at once. */
#define SMSFLOW_MAX_CALLBACK_BODY 262144

/* Names of the fields that hold the text of a reply and its character set; NULL: UTF-8. */
typedef struct SmsflowTextField
{
	const char *name;
	const char *charset_name;
} SmsflowTextField;

/* How a profile's callbacks are laid out. */
typedef struct SmsflowBodyRules
{
	SmsflowTextField text; /* of a form */
	const char *inner;     /* paths of a text that is JSON itself; NULL: none */
	const char *list;      /* path of the list of records, "" for the body; NULL: there is one record */
} SmsflowBodyRules;

typedef struct SmsflowRecords
{
	int count;
	Jsonb **record; /* objects */
} SmsflowRecords;

/*
 * Reads a request. headers may be NULL; its names are in small letters. Returns
 * false for a body that is too long, or neither a form nor JSON of this layout
 * in UTF-8. Memory is the caller's context.
 */
extern bool smsflow_records(const char *query, Jsonb *headers, const char *body, size_t body_len, const SmsflowBodyRules *rules,
							SmsflowRecords *records);

/* An object or array of JSON in UTF-8, or NULL for anything else. */
extern Jsonb *smsflow_parse_json(const char *text, size_t len);

typedef enum SmsflowOctets
{
	SMSFLOW_OCTETS_PERCENT, /* %04%1F */
	SMSFLOW_OCTETS_HEX      /* 041f */
} SmsflowOctets;

/* A text that came as octets of UTF-16 (wide), or else of UTF-8 or ISO 8859-1. */
extern char *smsflow_decode_octets(const char *text, SmsflowOctets form, bool wide);

/* Whether a character set, by its name or SMPP data coding, is UTF-16. */
extern bool smsflow_is_wide(const char *charset);

#endif
