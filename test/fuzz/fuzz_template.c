/*
 * fuzz_template.c - what is checked and what is rendered agree, what a customer typed is never evaluated, and two templates
 * side by side render as one after the other.
 *
 * Input: one byte, the length of the value that every variable has; the value; the template.
 */
#include "fuzz.h"
#include "template.h"

typedef struct Rendering
{
	const char *value;
	size_t value_len;
	bool clean; /* no control character but the line feed was written */
	size_t lookups;
	size_t missing_from; /* lookups that find a value */
	char *out;           /* what was written, NULL: not kept */
	size_t out_len;
} Rendering;

static bool
lookup(void *ctx, const char *path, size_t pathlen, const char **value, size_t *valuelen)
{
	Rendering *rendering = ctx;

	REQUIRE(pathlen > 0 && path[0] != '.' && path[pathlen - 1] != '.');
	*value = rendering->value;
	*valuelen = rendering->value_len;
	return rendering->lookups++ < rendering->missing_from;
}

static void
take(void *ctx, const char *text, size_t len)
{
	Rendering *rendering = ctx;

	REQUIRE(len > 0);
	for (size_t i = 0; i < len; i++)
		if (((unsigned char) text[i] < 0x20 && text[i] != '\n') || text[i] == 0x7f)
			rendering->clean = false;
	if (rendering->out != NULL)
	{
		memcpy(rendering->out + rendering->out_len, text, len);
		rendering->out_len += len;
	}
}

static void
check_error(const SmsflowTemplateError *err, size_t len)
{
	REQUIRE(err->code != SMSFLOW_TEMPLATE_OK);
	REQUIRE(err->offset <= len && err->length <= len - err->offset);
	REQUIRE(smsflow_template_error_text(err->code) != NULL);
}

/* With every value there, rendering finds what checking finds; with some missing, nothing else goes wrong. */
static void
check_template(const char *template, size_t len, Rendering rendering)
{
	SmsflowTemplateError wrong = {0};
	SmsflowTemplateError err = {0};
	bool good = smsflow_template_check(template, len, &wrong);
	bool done;

	if (!good)
		check_error(&wrong, len);
	rendering.missing_from = SIZE_MAX;
	done = smsflow_template_render(template, len, lookup, &rendering, take, &rendering, &err);
	if (!done)
		check_error(&err, len);
	REQUIRE(good || !done);
	REQUIRE(!good || done || err.code == SMSFLOW_TEMPLATE_MISSING);

	rendering.missing_from = 1;
	rendering.lookups = 0;
	done = smsflow_template_render(template, len, lookup, &rendering, take, &rendering, &err);
	REQUIRE(done || err.code == SMSFLOW_TEMPLATE_MISSING || !good);
}

static void
check_value(Rendering rendering)
{
	static const char template[] = "{{a|b}}";
	SmsflowTemplateError err = {0};

	rendering.clean = true;
	rendering.missing_from = SIZE_MAX;
	REQUIRE(smsflow_template_render(template, sizeof(template) - 1, lookup, &rendering, take, &rendering, &err));
	REQUIRE(rendering.clean);
	REQUIRE(rendering.lookups == 1);
}

/* Appends a template with every value there; the template is well formed. */
static void
append_rendered(Rendering *rendering, const char *template, size_t len)
{
	SmsflowTemplateError err = {0};

	rendering->missing_from = SIZE_MAX;
	REQUIRE(smsflow_template_render(template, len, lookup, rendering, take, rendering, &err));
}

/* Two well-formed halves are a well-formed whole, unless the cut parted two braces. */
static void
check_halves(const char *template, size_t len, Rendering rendering)
{
	size_t half = len / 2;
	size_t room = (len + 1) * (rendering.value_len + 1);
	SmsflowTemplateError err = {0};
	Rendering whole = rendering;

	if (len < 2 || (template[half - 1] == '{' && template[half] == '{') || !smsflow_template_check(template, half, &err) ||
		!smsflow_template_check(template + half, len - half, &err))
		return;
	rendering.out = fuzz_buffer(room);
	whole.out = fuzz_buffer(room);
	append_rendered(&rendering, template, half);
	append_rendered(&rendering, template + half, len - half);
	append_rendered(&whole, template, len);
	REQUIRE(rendering.out_len == whole.out_len && memcmp(rendering.out, whole.out, whole.out_len) == 0);
	free(rendering.out);
	free(whole.out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t value_len;
	char *value;
	char *template;
	Rendering rendering = {0};

	if (size < 1)
		return 0;
	value_len = data[0] < size - 1 ? data[0] : size - 1;
	value = fuzz_copy(data + 1, value_len);
	template = fuzz_copy(data + 1 + value_len, size - 1 - value_len);
	rendering.value = value;
	rendering.value_len = value_len;
	check_template(template, size - 1 - value_len, rendering);
	check_value(rendering);
	check_halves(template, size - 1 - value_len, rendering);
	free(template);
	free(value);
	return 0;
}
