/*
 * content.c - what a marketing text must and must not say, by the rules in
 * smsflow.policy_rule.
 *
 * The same check stands at send(), where a breach is a message that says so, at
 * create_campaign() and add_step(), where it is an error, and again over each
 * rendered text, because a variable may bring what the template did not say.
 */
#include "smsflow.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/timestamp.h"
#include "catalog/pg_collation.h"

#include "message/policy.h"
#include "types/types.h"

/* One of these tells the reader how to end it. */
static const char *const opt_out_words[] = {"stop",         "unsubscribe",  "opt out", "opt-out", "optout", "arret",
											"arr\xc3\xaat", "arr\xc3\x8at", "quit",    "cancel",  "end"};

static bool
is_word(char c)
{
	unsigned char letter = (unsigned char) c | 0x20;

	return (c & 0x80) != 0 || (c >= '0' && c <= '9') || (letter >= 'a' && letter <= 'z');
}

/* Whether a word, in whatever case, is the next one. Only A to Z: the words are spelt so, or are listed in both cases. */
static bool
stands_at(const char *text, const char *end, const char *word)
{
	for (; *word != '\0'; word++, text++)
		if (text == end || pg_ascii_tolower((unsigned char) *text) != (unsigned char) *word)
			return false;
	return text == end || !is_word(*text);
}

/* Whether a link of the domain, or of one below it, is in the text. */
static bool
contains_domain(const char *text, const char *domain)
{
	size_t len = strlen(domain);

	for (const char *at = strstr(text, domain); at != NULL; at = strstr(at + 1, domain))
	{
		bool begins = at == text || !(is_word(at[-1]) || at[-1] == '-');
		bool ends = !(is_word(at[len]) || at[len] == '-' || (at[len] == '.' && is_word(at[len + 1])));

		if (begins && ends)
			return true;
	}
	return false;
}

/* Asked of every marketing message that leaves: one pass, and no copy. */
bool
smsflow_has_opt_out_wording(const char *body, size_t len)
{
	const char *end = body + len;
	bool inside = false;

	for (const char *at = body; at < end; at++)
	{
		bool word = is_word(*at);

		for (int i = 0; word && !inside && i < (int) lengthof(opt_out_words); i++)
			if ((*at | 0x20) == opt_out_words[i][0] && stands_at(at, end, opt_out_words[i]))
				return true;
		inside = word;
	}
	return false;
}

static bool
has_shortener(const SmsflowPolicy *policy, const char *text)
{
	for (int i = 0; i < policy->shortener_count; i++)
		if (contains_domain(text, policy->shorteners[i]))
			return true;
	return false;
}

static char *
lower_text(const char *text)
{
	return str_tolower(text, strlen(text), DEFAULT_COLLATION_OID);
}

bool
smsflow_text_names(const char *text, const char *name)
{
	return strstr(lower_text(text), lower_text(name)) != NULL;
}

const char *
smsflow_content_refusal(const char *body, SmsflowPurpose purpose, const char *brand)
{
	const SmsflowPolicy *policy = smsflow_policy_at(GetCurrentTimestamp());
	bool marketing = purpose == SMSFLOW_PURPOSE_PROMOTIONAL || purpose == SMSFLOW_PURPOSE_CART;
	SmsflowParts parts;

	smsflow_count_parts(body, &parts);
	if (parts.parts > policy->max_parts)
		return "too_long";
	/* A text without a dot has no domain, and need not be read once more. */
	if (marketing && strchr(body, '.') != NULL && has_shortener(policy, lower_text(body)))
		return "public_shortener";
	if (policy->brand_named[purpose] && !smsflow_text_names(body, brand))
		return "brand_missing";
	if (policy->opt_out_wording[purpose] && !smsflow_has_opt_out_wording(body, strlen(body)))
		return "opt_out_wording_missing";
	return NULL;
}

/* content_refusal(body text, purpose smsflow.purpose, brand text) returns text */
PG_FUNCTION_INFO_V1(smsflow_content_refusal_sql);
Datum
smsflow_content_refusal_sql(PG_FUNCTION_ARGS)
{
	const char *reason =
		smsflow_content_refusal(text_to_cstring(PG_GETARG_TEXT_PP(0)), smsflow_purpose_from_oid(PG_GETARG_OID(1)),
								text_to_cstring(PG_GETARG_TEXT_PP(2)));

	if (reason == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(reason));
}

/* has_opt_out_wording(body text) returns boolean */
PG_FUNCTION_INFO_V1(smsflow_pg_has_opt_out_wording);
Datum
smsflow_pg_has_opt_out_wording(PG_FUNCTION_ARGS)
{
	text *body = PG_GETARG_TEXT_PP(0);

	PG_RETURN_BOOL(smsflow_has_opt_out_wording(VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body)));
}
