/*
 * link.h - short links in a text that is being rendered.
 *
 * A text is rendered before its message has a number, and the code of a link is made of that number. So rendering
 * writes a stand-in of the same length, counts parts with it, and keeps the target; the trigger write_codes() on the
 * outbox puts the codes in as the row is written, wherever it comes from.
 */
#ifndef SMSFLOW_LINK_H
#define SMSFLOW_LINK_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/array.h"

#include "core/shortcode.h"
#include "types/types.h"

/* A domain that was looked up, kept for as long as one statement runs. */
typedef struct SmsflowLinkDomain
{
	MemoryContext context;
	char *brand;    /* NULL: nothing was looked up yet */
	char *base_url; /* NULL: the brand has none */
} SmsflowLinkDomain;

/* smsflow_link_domain_for returns the one that is kept for as long as the statement that calls a function runs. */
extern SmsflowLinkDomain *smsflow_link_domain_for(FmgrInfo *function);

/* The links of one text. */
typedef struct SmsflowLinks
{
	SmsflowLinkDomain *domain;
	const SmsflowVariables *vars;
	int count;
	Datum targets[SMSFLOW_SHORTCODE_LINKS];
} SmsflowLinks;

/*
 * smsflow_shorten is the SmsflowTemplateLink over SmsflowLinks: http and https URLs become links, other texts none.
 * Where the brand (variable _brand) has no domain the URL stays. Raises SF007 for more than eight links.
 */
extern bool smsflow_shorten(void *links, const char *url, size_t len, const char **text, size_t *textlen);

/* smsflow_link_targets returns the targets as text[]; isnull where the text has no links. */
extern NullableDatum smsflow_link_targets(const SmsflowLinks *links);

/* smsflow_link_key reads the key of the codes; SF008 when there is none. */
extern SmsflowSipKey smsflow_link_key(void);

/* smsflow_put_codes puts the codes of a message into its text, in place; false when the text has no stand-ins. */
extern bool smsflow_put_codes(char *body, SmsflowSipKey key, int64 message_id);

#endif
