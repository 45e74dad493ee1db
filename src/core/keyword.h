/*
 * keyword.h: what a customer's reply asks for.
 *
 * The law counts any reasonable way of saying stop (47 CFR 64.1200(a)(10)), so a list of exact keywords is not enough; yet a
 * reply about a bus stop must not end a subscription. What cannot be told for sure is "review": hold marketing at once and let
 * a person read it.
 */
#ifndef SMSFLOW_CORE_KEYWORD_H
#define SMSFLOW_CORE_KEYWORD_H

#include <stddef.h>

typedef enum SmsflowReplyAction
{
	REPLY_NONE = 0,
	REPLY_OPT_OUT,
	REPLY_REVIEW,
	REPLY_OPT_IN,
	REPLY_CONFIRM, /* "yes": an opt-in while one is pending, else nothing */
	REPLY_HELP
} SmsflowReplyAction;

/*
 * Classifies a reply of any language in data/keywords.csv. Only the first SMSFLOW_REPLY_MAX_BYTES are read. *rule is set to the
 * static name of the rule that decided, for the audit log.
 */
#define SMSFLOW_REPLY_MAX_BYTES 1600

extern SmsflowReplyAction smsflow_classify_reply(const char *utf8, size_t len, const char **rule);

/* none, opt_out, review, opt_in, confirm, help */
extern const char *smsflow_reply_action_name(SmsflowReplyAction action);

#endif
