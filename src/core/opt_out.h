/*
 * opt_out.h - a revocation of consent, as a value.
 *
 * An opt-out says which purposes ended, through which channel, when, and in which words.  Text form:
 *
 *	cart, promotional by keyword at 2026-02-01T08:00:00.5Z saying "STOP"
 *
 * Inside the quotes, a quote and a backslash are preceded by a backslash; without words, "saying" is absent.
 *
 * Pure C11: no clock, no allocation.
 */
#ifndef SMSFLOW_OPT_OUT_H
#define SMSFLOW_OPT_OUT_H

#include "consent.h"

typedef enum SmsflowChannel
{
	SMSFLOW_CHANNEL_KEYWORD,   /* a reply such as STOP */
	SMSFLOW_CHANNEL_API,       /* the store's application */
	SMSFLOW_CHANNEL_WEB,       /* a preference page */
	SMSFLOW_CHANNEL_SUPPORT,   /* said to a person */
	SMSFLOW_CHANNEL_CARRIER,   /* the carrier or gateway blocked the number */
	SMSFLOW_CHANNEL_COMPLAINT, /* reported as spam */
	SMSFLOW_CHANNEL_ERASURE    /* the right to be forgotten */
} SmsflowChannel;

#define SMSFLOW_CHANNELS 7

typedef struct SmsflowOptOut
{
	uint8_t purposes; /* bit (1 << SmsflowPurpose); at least one is set */
	SmsflowChannel channel;
	int64_t at;        /* a valid instant, see instant.h */
	const char *words; /* as the person used them, UTF-8, not zero-terminated; NULL if words_len is 0 */
	size_t words_len;
} SmsflowOptOut;

#define SMSFLOW_OPT_OUT_PURPOSE_MASK ((1u << SMSFLOW_PURPOSES) - 1)

typedef enum SmsflowOptOutError
{
	SMSFLOW_OPT_OUT_OK,
	SMSFLOW_OPT_OUT_BAD_SYNTAX,
	SMSFLOW_OPT_OUT_BAD_PURPOSE,
	SMSFLOW_OPT_OUT_BAD_CHANNEL,
	SMSFLOW_OPT_OUT_BAD_INSTANT,
	SMSFLOW_OPT_OUT_BAD_WORDS
} SmsflowOptOutError;

extern const char *smsflow_channel_name(SmsflowChannel channel);

/* smsflow_channel_from_name sets *channel and returns true if the len bytes at name are exactly a channel's name. */
extern bool smsflow_channel_from_name(const char *name, size_t len, SmsflowChannel *channel);

/* smsflow_consent_apply revokes the purposes of an opt-out at its instant. */
extern void smsflow_consent_apply(SmsflowConsent *consent, const SmsflowOptOut *opt_out);

/* smsflow_opt_out_text_size returns how many bytes smsflow_opt_out_format may write, zero byte included. */
extern size_t smsflow_opt_out_text_size(const SmsflowOptOut *opt_out);

/* smsflow_opt_out_format writes the text form and a zero byte; returns the length. */
extern size_t smsflow_opt_out_format(const SmsflowOptOut *opt_out, char *out);

/*
 * smsflow_opt_out_parse reads the text form.  The words are unescaped into words, which has room for len bytes and
 * outlives *opt_out.  On an error, *offset is where in the text it was noticed.
 */
extern SmsflowOptOutError smsflow_opt_out_parse(const char *text, size_t len, char *words, SmsflowOptOut *opt_out,
												size_t *offset);

/* smsflow_opt_out_error_text returns a full English sentence, a static string. */
extern const char *smsflow_opt_out_error_text(SmsflowOptOutError error);

#endif /* SMSFLOW_OPT_OUT_H */
