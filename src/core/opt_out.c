/*
 * opt_out.c - a revocation of consent, as a value.
 */
#include "opt_out.h"

#include "scan.h"

#include <string.h>

const char *
smsflow_channel_name(SmsflowChannel channel)
{
	static const char *const names[SMSFLOW_CHANNELS] = {"keyword", "api", "web", "support", "carrier", "complaint", "erasure"};

	return names[channel];
}

bool
smsflow_channel_from_name(const char *name, size_t len, SmsflowChannel *channel)
{
	for (int i = 0; i < SMSFLOW_CHANNELS; i++)
	{
		const char *candidate = smsflow_channel_name((SmsflowChannel) i);

		if (strlen(candidate) == len && memcmp(candidate, name, len) == 0)
		{
			*channel = (SmsflowChannel) i;
			return true;
		}
	}
	return false;
}

void
smsflow_consent_apply(SmsflowConsent *consent, const SmsflowOptOut *opt_out)
{
	for (int p = 0; p < SMSFLOW_PURPOSES; p++)
	{
		if (opt_out->purposes & (1u << p))
			smsflow_consent_revoke(consent, (SmsflowPurpose) p, opt_out->at);
	}
}

/* ---- text form ---- */

static char *
put_quoted(char *out, const char *words, size_t len)
{
	*out++ = '"';
	for (size_t i = 0; i < len; i++)
	{
		if (words[i] == '"' || words[i] == '\\')
			*out++ = '\\';
		*out++ = words[i];
	}
	*out++ = '"';
	return out;
}

size_t
smsflow_opt_out_text_size(const SmsflowOptOut *opt_out)
{
	const size_t all_purposes = sizeof("compliance, otp, transactional, conversational, cart, promotional");
	const size_t rest = sizeof(" by complaint at  saying \"\"") + SMSFLOW_INSTANT_TEXT_SIZE;

	return all_purposes + rest + 2 * opt_out->words_len;
}

size_t
smsflow_opt_out_format(const SmsflowOptOut *opt_out, char *out)
{
	char *p = out;

	for (int i = 0; i < SMSFLOW_PURPOSES; i++)
	{
		if (!(opt_out->purposes & (1u << i)))
			continue;
		if (p > out)
			p = smsflow_put_text(p, ", ");
		p = smsflow_put_text(p, smsflow_purpose_name((SmsflowPurpose) i));
	}
	p = smsflow_put_text(p, " by ");
	p = smsflow_put_text(p, smsflow_channel_name(opt_out->channel));
	p = smsflow_put_text(p, " at ");
	p += smsflow_instant_format(opt_out->at, p);
	if (opt_out->words_len > 0)
	{
		p = smsflow_put_text(p, " saying ");
		p = put_quoted(p, opt_out->words, opt_out->words_len);
	}
	*p = '\0';
	return (size_t) (p - out);
}

static SmsflowOptOutError
parse_purposes(SmsflowScan *s, uint8_t *purposes)
{
	do
	{
		SmsflowPurpose purpose;
		const char *word;
		size_t len = smsflow_scan_word(s, &word);

		if (!smsflow_purpose_from_name(word, len, &purpose))
			return SMSFLOW_OPT_OUT_BAD_PURPOSE;
		s->pos += len;
		*purposes |= (uint8_t) (1u << purpose);
	} while (smsflow_scan_char(s, ','));
	return SMSFLOW_OPT_OUT_OK;
}

/* parse_words unescapes a quoted text; false if it does not begin or end with a quote. */
static bool
parse_words(SmsflowScan *s, char *words, SmsflowOptOut *opt_out)
{
	size_t n = 0;

	if (!smsflow_scan_char(s, '"'))
		return false;
	for (; s->pos < s->len && s->text[s->pos] != '"'; s->pos++)
	{
		if (s->text[s->pos] == '\\' && ++s->pos == s->len)
			return false;
		words[n++] = s->text[s->pos];
	}
	opt_out->words = n > 0 ? words : NULL;
	opt_out->words_len = n;
	return smsflow_scan_char(s, '"');
}

static SmsflowOptOutError
parse_opt_out(SmsflowScan *s, char *words, SmsflowOptOut *opt_out)
{
	SmsflowOptOutError error = parse_purposes(s, &opt_out->purposes);
	const char *word;
	size_t len;

	if (error != SMSFLOW_OPT_OUT_OK)
		return error;
	if (!smsflow_scan_keyword(s, "by"))
		return SMSFLOW_OPT_OUT_BAD_SYNTAX;
	len = smsflow_scan_word(s, &word);
	if (!smsflow_channel_from_name(word, len, &opt_out->channel))
		return SMSFLOW_OPT_OUT_BAD_CHANNEL;
	s->pos += len;
	if (!smsflow_scan_keyword(s, "at"))
		return SMSFLOW_OPT_OUT_BAD_SYNTAX;
	if (!smsflow_scan_instant(s, &opt_out->at))
		return SMSFLOW_OPT_OUT_BAD_INSTANT;
	if (smsflow_scan_keyword(s, "saying") && !parse_words(s, words, opt_out))
		return SMSFLOW_OPT_OUT_BAD_WORDS;
	return smsflow_scan_end(s) ? SMSFLOW_OPT_OUT_OK : SMSFLOW_OPT_OUT_BAD_SYNTAX;
}

SmsflowOptOutError
smsflow_opt_out_parse(const char *text, size_t len, char *words, SmsflowOptOut *opt_out, size_t *offset)
{
	SmsflowScan s = {text, len, 0};
	SmsflowOptOutError error;

	*opt_out = (SmsflowOptOut){0};
	error = parse_opt_out(&s, words, opt_out);
	*offset = s.pos;
	return error;
}

const char *
smsflow_opt_out_error_text(SmsflowOptOutError error)
{
	switch (error)
	{
		case SMSFLOW_OPT_OUT_OK:
			return "The text is well formed.";
		case SMSFLOW_OPT_OUT_BAD_SYNTAX:
			return "The text goes on in a way that is not understood.";
		case SMSFLOW_OPT_OUT_BAD_PURPOSE:
			return "A purpose is expected: compliance, otp, transactional, conversational, cart or promotional.";
		case SMSFLOW_OPT_OUT_BAD_CHANNEL:
			return "A channel is expected: keyword, api, web, support, carrier, complaint or erasure.";
		case SMSFLOW_OPT_OUT_BAD_INSTANT:
			return "An instant in UTC such as 2026-01-05T10:00:00Z is expected.";
		case SMSFLOW_OPT_OUT_BAD_WORDS:
			return "The words after \"saying\" must stand in double quotes.";
	}
	return "Unknown error.";
}
