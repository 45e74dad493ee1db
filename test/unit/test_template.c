/*
 * test_template.c - message templates: what is replaced, what is refused, and that values are never evaluated.
 */
#include "template.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

typedef struct Output
{
	char text[256];
	size_t len;
} Output;

static const struct
{
	const char *path;
	const char *value; /* NULL is null */
} variables[] = {
	{"name", "Ada"},
	{"cart.items.0.title", "Red \xc3\xa9toile"},
	{"pr\xc3\xa9nom", "Zo\xc3\xab"},
	{"empty", ""},
	{"blank", " \t\x01"},
	{"null", NULL},
	{"evil", "{{name}} }} {{"},
	{"controls", "a\x01\tb\r\nc\x7f\xc2\x85"
				 "d\xc2\xa0"
				 "e"},
	{"cut", "x\xc2"},
	{"9-_a", "odd"},
	{"total", "1234.565"},
	{"shout", "ADA LOVELACE"},
	{"small", "z\xc3\xb6"
			  "e \xd0\xb6 \xc5\xa1"},
	{"no", "false"},
	{"long", "A very long title of a product"},
	{"url", "https://shop.example/w"},
};

static bool
lookup(void *ctx, const char *path, size_t pathlen, const char **value, size_t *valuelen)
{
	(void) ctx;
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
	{
		if (strlen(variables[i].path) != pathlen || memcmp(variables[i].path, path, pathlen) != 0)
			continue;
		if (variables[i].value == NULL)
			return false;
		*value = variables[i].value;
		*valuelen = strlen(variables[i].value);
		return true;
	}
	return false;
}

static void
append(void *ctx, const char *text, size_t len)
{
	Output *out = ctx;

	CHECK(len > 0);
	CHECK(out->len + len < sizeof(out->text));
	memcpy(out->text + out->len, text, len);
	out->len += len;
	out->text[out->len] = '\0';
}

/* Shortens what begins with https. */
static bool
shorten(void *ctx, const char *url, size_t len, const char **text, size_t *textlen)
{
	int *count = ctx;

	if (len < 5 || memcmp(url, "https", 5) != 0)
		return false;
	++*count;
	*text = "s.example/1";
	*textlen = strlen(*text);
	return true;
}

static void
check_links(const char *template, const char *expected, int links)
{
	Output out = {{0}, 0};
	SmsflowTemplateError err;
	int count = 0;
	SmsflowTemplateValues values = {.lookup = lookup, .link = shorten, .link_ctx = &count};
	bool rendered = smsflow_template_render_values(template, strlen(template), &values, append, &out, &err);

	CHECK_EQ(rendered, expected != NULL);
	CHECK_EQ(count, links);
	if (!rendered)
		CHECK_EQ(err.code, SMSFLOW_TEMPLATE_MISSING);
	else
		CHECK(strcmp(out.text, expected) == 0);
}

static void
test_links(void)
{
	check_links("{{url|link}}", "s.example/1", 1);
	check_links("See {{ url | link }}!", "See s.example/1!", 1);
	check_links("{{empty|https://shop.example|link}}", "s.example/1", 1);
	check_links("{{url|https://other.example|link}} {{url|link}}", "s.example/1 s.example/1", 2);
	check_links("{{url|a link}} {{empty|a link}}", "https://shop.example/w a link", 0);
	check_links("{{url|links}} {{empty|links}}", "https://shop.example/w links", 0);
	check_links("{{url|link|upper}}", "S.EXAMPLE/1", 1);
	check_links("{{name|link}}", NULL, 0);
	check_links("{{empty|link}}", NULL, 0);
	check_links("{{none|link}}", NULL, 0);
}

static void
check_renders(const char *template, const char *expected)
{
	Output out = {{0}, 0};
	SmsflowTemplateError err;
	bool checked = smsflow_template_check(template, strlen(template), &err);
	bool rendered = smsflow_template_render(template, strlen(template), lookup, NULL, append, &out, &err);

	if (!checked || !rendered || strcmp(out.text, expected) != 0)
		printf("template \"%s\" gave \"%s\", code %d\n", template, out.text, (int) err.code);
	CHECK(checked);
	CHECK(rendered);
	CHECK(strcmp(out.text, expected) == 0);
}

/* check_refused expects a syntax error of both functions, and the same one. */
static void
check_refused(const char *template, SmsflowTemplateCode code, size_t offset, size_t length)
{
	Output out = {{0}, 0};
	SmsflowTemplateError err;

	CHECK(!smsflow_template_check(template, strlen(template), &err));
	CHECK_EQ(err.code, code);
	CHECK_EQ(err.offset, offset);
	CHECK_EQ(err.length, length);

	CHECK(!smsflow_template_render(template, strlen(template), lookup, NULL, append, &out, &err));
	CHECK_EQ(err.code, code);
	CHECK_EQ(err.offset, offset);
}

static void
check_missing(const char *template, size_t offset, size_t length)
{
	Output out = {{0}, 0};
	SmsflowTemplateError err;

	CHECK(smsflow_template_check(template, strlen(template), &err));
	CHECK(!smsflow_template_render(template, strlen(template), lookup, NULL, append, &out, &err));
	CHECK_EQ(err.code, SMSFLOW_TEMPLATE_MISSING);
	CHECK_EQ(err.offset, offset);
	CHECK_EQ(err.length, length);
}

static void
test_variables(void)
{
	check_renders("", "");
	check_renders("Hello", "Hello");
	check_renders("Hi {{name}}!", "Hi Ada!");
	check_renders("{{name}}{{name}}", "AdaAda");
	check_renders("{{  name\n}}", "Ada");
	check_renders("{{cart.items.0.title}} waits", "Red \xc3\xa9toile waits");
	check_renders("{{pr\xc3\xa9nom}} {{9-_a}}", "Zo\xc3\xab odd");
	check_renders("{ {name} } }} { {{name}} }", "{ {name} } }} { Ada }");
	check_renders("{{name}}}", "Ada}");
	check_renders("ends with {", "ends with {");
}

static void
test_defaults(void)
{
	check_renders("Hi {{name|there}}", "Hi Ada");
	check_renders("Hi {{absent|there}}", "Hi there");
	check_renders("Hi {{null|there}}", "Hi there");
	check_renders("Hi {{empty|there}}", "Hi there");
	check_renders("Hi {{blank|there}}", "Hi there");
	check_renders("Hi {{ absent | dear friend }}", "Hi dear friend");
	check_renders("Hi {{absent|a b } c}}", "Hi a b } c");
	check_renders("{{absent|https://shop.example/}}", "https://shop.example/");
	check_renders("Hi{{absent|}}.", "Hi.");
	check_renders("Hi {{empty}}.", "Hi .");
}

static void
test_values_are_text(void)
{
	check_renders("{{evil}}", "{{name}} }} {{");
	check_renders("{{controls}}", "ab\nc"
								  "d\xc2\xa0"
								  "e");
	check_renders("{{cut}}", "x\xc2");
}

static void
test_errors(void)
{
	check_refused("Hi {{name", SMSFLOW_TEMPLATE_UNCLOSED, 3, 2);
	check_refused("Hi {{name}", SMSFLOW_TEMPLATE_UNCLOSED, 3, 2);
	check_refused("{{", SMSFLOW_TEMPLATE_UNCLOSED, 0, 2);
	check_refused("Hi {{}}", SMSFLOW_TEMPLATE_EMPTY_NAME, 3, 4);
	check_refused("Hi {{ |x}}", SMSFLOW_TEMPLATE_EMPTY_NAME, 3, 7);
	check_refused("{{a {{name}} }}", SMSFLOW_TEMPLATE_NESTED, 4, 1);
	check_refused("{{a|{{name}}}}", SMSFLOW_TEMPLATE_NESTED, 4, 1);
	check_refused("{{{name}}}", SMSFLOW_TEMPLATE_NESTED, 2, 1);
	check_refused("{{first name}}", SMSFLOW_TEMPLATE_BAD_NAME, 7, 1);
	check_refused("{{a..b}}", SMSFLOW_TEMPLATE_BAD_NAME, 4, 1);
	check_refused("{{.a}}", SMSFLOW_TEMPLATE_BAD_NAME, 2, 1);
	check_refused("{{a.}}", SMSFLOW_TEMPLATE_BAD_NAME, 3, 1);
	check_refused("{{a}b}}", SMSFLOW_TEMPLATE_BAD_NAME, 3, 1);
	check_missing("Hi {{ absent }}", 6, 6);
	check_missing("{{name}} {{null}}", 11, 4);
}

static void
test_filters(void)
{
	check_renders("{{name|upper}} {{small|upper}} {{small|title}}", "ADA Z\xc3\x96"
																	"E \xd0\x96 \xc5\xa0 Z\xc3\xb6"
																	"e \xd0\x96 \xc5\xa0");
	check_renders("{{shout|title}}", "Ada Lovelace");
	check_renders("{{absent|none|upper}} {{ name | there | upper }}", "NONE ADA");
	check_renders("{{total|money}} {{total|money:USD}} {{total|money:EUR}} {{total|money:SEK}} {{total|money:JPY}}",
				  "1234.57 $1234.57 \xe2\x82\xac"
				  "1234.57 1234.57 SEK \xc2\xa5"
				  "1235");
	check_renders("{{name|money:USD}} {{absent|99.995|money:USD}} {{absent|-1|money:USD}} {{absent|9|money:KWD}}",
				  "Ada $100.00 -$1.00 9.000 KWD");
	check_renders("{{long|truncate:12}} {{long|truncate:3}} {{name|truncate:3}} {{long|truncate:8|upper}}",
				  "A very... A v Ada A VER...");
	check_renders("{{name|date}}", "Ada");
	check_refused("{{a|b|c}}", SMSFLOW_TEMPLATE_UNKNOWN_FILTER, 6, 1);
	check_refused("{{a|b|uper}}", SMSFLOW_TEMPLATE_UNKNOWN_FILTER, 6, 4);
	check_refused("{{a|trunc:5}}", SMSFLOW_TEMPLATE_UNKNOWN_FILTER, 4, 7);
	check_refused("{{a|upper|b}}", SMSFLOW_TEMPLATE_UNKNOWN_FILTER, 10, 1);
	check_refused("{{a|truncate}}", SMSFLOW_TEMPLATE_BAD_FILTER, 4, 8);
	check_refused("{{a|truncate:0}}", SMSFLOW_TEMPLATE_BAD_FILTER, 4, 10);
	check_refused("{{a|money:eur}}", SMSFLOW_TEMPLATE_BAD_FILTER, 4, 9);
	check_refused("{{a|upper:}}", SMSFLOW_TEMPLATE_BAD_FILTER, 4, 6);
	check_refused("{{a|upper|upper|upper|upper|upper}}", SMSFLOW_TEMPLATE_BAD_FILTER, 28, 5);
}

static void
test_conditions(void)
{
	check_renders("{{#if name}}Hi {{name}}{{else}}Hi{{/if}}!", "Hi Ada!");
	check_renders("{{#if absent}}Hi {{absent}}{{else}}Hi{{/if}}!", "Hi!");
	check_renders("{{#if no}}a{{/if}}{{#if blank}}b{{/if}}{{#if null}}c{{/if}}{{#unless no}}d{{/unless}}", "d");
	check_renders("{{#if name}}1{{#if absent}}2{{else}}3{{/if}}4{{else}}5{{#if name}}6{{/if}}{{/if}}7", "1347");
	check_renders("{{#if absent}}{{#if name}}x{{else}}y{{/if}}{{else}}z{{/if}}", "z");
	check_renders("{{#unless absent}}none{{/if}}", "none");
	check_refused("a{{#if name}}b", SMSFLOW_TEMPLATE_UNBALANCED, 1, 12);
	check_refused("{{/if}}", SMSFLOW_TEMPLATE_UNBALANCED, 0, 7);
	check_refused("{{#if a}}{{else}}{{else}}{{/if}}", SMSFLOW_TEMPLATE_UNBALANCED, 17, 8);
	check_refused("{{#if}}{{/if}}", SMSFLOW_TEMPLATE_EMPTY_NAME, 0, 7);
	check_refused("{{#each a}}", SMSFLOW_TEMPLATE_BAD_NAME, 2, 1);
	check_refused("{{#if a b}}{{/if}}", SMSFLOW_TEMPLATE_BAD_NAME, 7, 1);
	check_refused("{{#if a}}{{#if a}}{{#if a}}{{#if a}}{{#if a}}{{#if a}}{{#if a}}{{#if a}}{{#if a}}", SMSFLOW_TEMPLATE_TOO_DEEP,
				  72, 9);
}

/* A template is read up to its length only, and needs no zero byte. */
static void
test_length(void)
{
	SmsflowTemplateError err;

	CHECK(smsflow_template_check("{{name}}{{", 8, &err));
	CHECK(!smsflow_template_check("{{name}}", 7, &err));
	CHECK_EQ(err.code, SMSFLOW_TEMPLATE_UNCLOSED);
	CHECK(smsflow_template_check(NULL, 0, &err));
	CHECK_EQ(err.code, SMSFLOW_TEMPLATE_OK);
}

static void
test_error_texts(void)
{
	for (int code = SMSFLOW_TEMPLATE_OK; code <= SMSFLOW_TEMPLATE_MISSING; code++)
		CHECK(strcmp(smsflow_template_error_text((SmsflowTemplateCode) code), "Unknown error.") != 0);
}

int
main(void)
{
	test_links();
	test_variables();
	test_defaults();
	test_values_are_text();
	test_filters();
	test_conditions();
	test_errors();
	test_length();
	test_error_texts();
	return unit_report();
}
