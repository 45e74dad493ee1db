/*
 * gsm.h: how a text is sent as short messages: its encoding, its length in that encoding, and its number of parts.
 *
 * The rules are those of 3GPP TS 23.038 (alphabets) and TS 23.040 (concatenation). Text is UTF-8; compose it (NFC) before,
 * because a letter with a separate accent is not in the GSM alphabet.
 */
#ifndef SMSFLOW_CORE_GSM_H
#define SMSFLOW_CORE_GSM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum SmsflowEncoding
{
	SMSFLOW_GSM7 = 0, /* the default alphabet and its extension table */
	SMSFLOW_UCS2 = 1  /* UTF-16 */
} SmsflowEncoding;

typedef struct SmsflowParts
{
	SmsflowEncoding encoding;
	int units; /* septets, or UTF-16 code units */
	int parts; /* messages on the air; 0 for an empty text */
} SmsflowParts;

/*
 * Counts the parts of a text, with an 8-bit reference number in the concatenation header: 160 septets or 70 code units in a
 * single message, 153 or 67 in each of several. Parts are filled greedily; an extension character (two septets) and a
 * surrogate pair are never cut. Returns false when text is not UTF-8, or longer than a PostgreSQL text can be.
 */
extern bool smsflow_message_parts(const char *utf8, size_t len, SmsflowParts *out);

/*
 * Replaces typographic look-alikes (quotes, dashes, full-width letters; data/smart_map.csv) by GSM characters, if that makes
 * the whole text GSM-7; else the text stays as it is. Returns the length of the result, at most len * 3 / 2; out is
 * written only when outsize is at least that, and is not NUL-terminated.
 */
extern size_t smsflow_smart_encode(const char *utf8, size_t len, char *out, size_t outsize);

/*
 * Finds the first character that is not in the GSM alphabet. Returns false when there is none; else *offset is its place in
 * bytes and *code_point the character, U+FFFD for bytes that are not UTF-8.
 */
extern bool smsflow_first_non_gsm(const char *utf8, size_t len, size_t *offset, uint32_t *code_point);

#endif
