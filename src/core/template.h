/*
 * template.h - message templates: text with {{variables}}.
 *
 *	{{name}}					the value of a variable
 *	{{cart.items.0.title}}		a path; what its steps mean is the lookup callback's business
 *	{{first_name|there}}		the text after | stands in for a missing, null or blank value
 *	{{cart.url|link}}			the value is a URL, in whose place a short link is written
 *	{{total|0|money:EUR}}		up to four filters (filter.h) stand behind the default, if there is one
 *	{{#if vip}}...{{else}}...{{/if}}	a part for those who have a value there that is neither blank nor "false";
 *								{{#unless vip}} for the others. At most eight, one within the other
 *
 * A path consists of steps separated by single dots; a step consists of ASCII letters, digits, "_", "-" and non-ASCII
 * characters.  White space directly inside the braces and around | is ignored.  A brace inside a variable, an empty
 * name and a variable that is never closed are errors, because each of them would otherwise reach a customer's
 * phone.  Braces that are not doubled are plain text.
 *
 * Rendering is one pass over the template without recursion or allocation: a value that contains {{ is text, so
 * what a customer typed into a name field is never evaluated.  Control characters in values, except the line feed,
 * are dropped: no gateway agrees with another about them.
 *
 * Pure C11: no allocation, no I/O.  Text is UTF-8; offsets and lengths count bytes.
 */
#ifndef SMSFLOW_TEMPLATE_H
#define SMSFLOW_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "filter.h"

#define SMSFLOW_TEMPLATE_DEPTH 8
#define SMSFLOW_TEMPLATE_FILTERS 4

typedef enum SmsflowTemplateCode
{
	SMSFLOW_TEMPLATE_OK,
	SMSFLOW_TEMPLATE_UNCLOSED,       /* {{ without }} */
	SMSFLOW_TEMPLATE_EMPTY_NAME,     /* {{}} or {{|text}} */
	SMSFLOW_TEMPLATE_BAD_NAME,       /* a character or an empty step that a path cannot have */
	SMSFLOW_TEMPLATE_NESTED,         /* a brace inside {{ }} */
	SMSFLOW_TEMPLATE_UNKNOWN_FILTER, /* behind a default, or with an argument, what is no filter */
	SMSFLOW_TEMPLATE_BAD_FILTER,     /* an argument that a filter does not take, or too many filters */
	SMSFLOW_TEMPLATE_UNBALANCED,     /* a condition without end, or an end or else without condition */
	SMSFLOW_TEMPLATE_TOO_DEEP,
	SMSFLOW_TEMPLATE_MISSING /* render only: no value and no default */
} SmsflowTemplateCode;

typedef struct SmsflowTemplateError
{
	SmsflowTemplateCode code;
	size_t offset; /* of the offending bytes in the template; for MISSING, of the path */
	size_t length; /* of the offending bytes; for MISSING, of the path */
} SmsflowTemplateError;

/*
 * Finds the value of a path.  Returns false when there is none (absent or null).  The value must stay valid until
 * the next call of any callback of the same rendering.
 */
typedef bool (*SmsflowTemplateLookup)(void *ctx, const char *path, size_t pathlen, const char **value, size_t *valuelen);

/* Takes the next len bytes of the rendered text; len is never 0. */
typedef void (*SmsflowTemplateWrite)(void *ctx, const char *text, size_t len);

/*
 * Shortens a URL; the text must stay valid as a value of SmsflowTemplateLookup does. Returns false when there can be no
 * link to it, which counts as a variable without a value.
 */
typedef bool (*SmsflowTemplateLink)(void *ctx, const char *url, size_t len, const char **text, size_t *textlen);

/*
 * Replaces an instant by its text in a format (empty: the usual one); what is none stays as it is. The text must stay valid
 * as a value of SmsflowTemplateLookup does.
 */
typedef void (*SmsflowTemplateDate)(void *ctx, const char *format, size_t len, const char **value, size_t *valuelen);

/* Where values come from, and who makes links and dates of them; without these two the values stay as they are. */
typedef struct SmsflowTemplateValues
{
	SmsflowTemplateLookup lookup;
	void *lookup_ctx;
	SmsflowTemplateLink link;
	void *link_ctx;
	SmsflowTemplateDate date;
	void *date_ctx;
} SmsflowTemplateValues;

/* smsflow_template_check returns true if the template is well formed; otherwise it fills *err. */
extern bool smsflow_template_check(const char *t, size_t len, SmsflowTemplateError *err);

/*
 * smsflow_template_render writes the template with its variables replaced.  It stops at the first error, fills *err
 * and returns false; what was written before is then worthless.
 */
extern bool smsflow_template_render(const char *t, size_t len, SmsflowTemplateLookup lookup, void *lookup_ctx,
									SmsflowTemplateWrite write, void *write_ctx, SmsflowTemplateError *err);

/* smsflow_template_render_values does the same, with links and dates. */
extern bool smsflow_template_render_values(const char *t, size_t len, const SmsflowTemplateValues *values,
										   SmsflowTemplateWrite write, void *write_ctx, SmsflowTemplateError *err);

/* smsflow_template_error_text returns a full English sentence, a static string. */
extern const char *smsflow_template_error_text(SmsflowTemplateCode code);

#endif /* SMSFLOW_TEMPLATE_H */
