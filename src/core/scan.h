/*
 * scan.h - the few steps that the text forms of consent and opt_out are read and written with.
 *
 * A scan is a text and a position in it.  Every step first skips spaces and either moves past what it found or
 * leaves the position where the offending text begins, which is what an error message points at.
 *
 * Pure C11, header only, private to core.
 */
#ifndef SMSFLOW_SCAN_H
#define SMSFLOW_SCAN_H

#include "instant.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* smsflow_put_text copies a string without its zero byte and returns the end of the copy. */
static inline char *
smsflow_put_text(char *out, const char *text)
{
	size_t len = strlen(text);

	memcpy(out, text, len);
	return out + len;
}

typedef struct SmsflowScan
{
	const char *text;
	size_t len;
	size_t pos;
} SmsflowScan;

static inline void
smsflow_scan_spaces(SmsflowScan *s)
{
	while (s->pos < s->len && (s->text[s->pos] == ' ' || s->text[s->pos] == '\n' || s->text[s->pos] == '\t'))
		s->pos++;
}

static inline bool
smsflow_scan_end(SmsflowScan *s)
{
	smsflow_scan_spaces(s);
	return s->pos == s->len;
}

static inline bool
smsflow_scan_char(SmsflowScan *s, char c)
{
	smsflow_scan_spaces(s);
	if (s->pos == s->len || s->text[s->pos] != c)
		return false;
	s->pos++;
	return true;
}

/* smsflow_scan_word sets *word to the lower-case word at the position and returns its length without passing it. */
static inline size_t
smsflow_scan_word(SmsflowScan *s, const char **word)
{
	size_t end;

	smsflow_scan_spaces(s);
	end = s->pos;
	while (end < s->len && s->text[end] >= 'a' && s->text[end] <= 'z')
		end++;
	*word = s->text + s->pos;
	return end - s->pos;
}

/* smsflow_scan_keyword passes the given word if it stands here. */
static inline bool
smsflow_scan_keyword(SmsflowScan *s, const char *keyword)
{
	const char *word;
	size_t len = smsflow_scan_word(s, &word);

	if (len != strlen(keyword) || memcmp(word, keyword, len) != 0)
		return false;
	s->pos += len;
	return true;
}

static inline bool
smsflow_scan_instant(SmsflowScan *s, int64_t *instant)
{
	size_t used;

	smsflow_scan_spaces(s);
	used = smsflow_instant_parse(s->text + s->pos, s->len - s->pos, instant);
	s->pos += used;
	return used > 0;
}

#endif /* SMSFLOW_SCAN_H */
