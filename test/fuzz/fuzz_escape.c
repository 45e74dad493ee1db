/*
 * fuzz_escape.c - a value stays a value in a URL and in JSON, and a query string of any shape is read.
 * Input: the value, which is also read as a query string.
 */
#include "escape.h"
#include "fuzz.h"

static void
check_url(const char *text, size_t size)
{
	size_t needed = smsflow_escape_url(text, size, NULL, 0);
	char *escaped = fuzz_buffer(needed);
	size_t len;

	REQUIRE(smsflow_escape_url(text, size, escaped, needed) == needed);
	for (size_t i = 0; i < needed; i++)
		REQUIRE(escaped[i] > ' ' && escaped[i] < 0x7f && !strchr("&=+#?/\"'<>", escaped[i]));
	len = smsflow_unescape_octets(escaped, needed, escaped);
	REQUIRE(len == size && memcmp(escaped, text, size) == 0);
	free(escaped);
}

/* Reads one character of a JSON string as RFC 8259 says, and moves *at behind it. */
static char
json_character(const char **at)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char values[] = "\"\\/\b\f\n\r\t";
	const char *letter;
	char hex[5] = {0};

	if (**at != '\\')
		return *(*at)++;
	(*at)++;
	if (**at != 'u')
	{
		letter = strchr(letters, *(*at)++);
		return values[letter - letters];
	}
	memcpy(hex, *at + 1, 4);
	*at += 5;
	return (char) strtol(hex, NULL, 16);
}

/* A backslash takes the next character with it; no quote and no control character stands alone; it reads back. */
static void
check_json(const char *text, size_t size)
{
	size_t needed = smsflow_escape_json(text, size, NULL, 0);
	char *escaped = fuzz_buffer(needed);
	const char *at = escaped;

	REQUIRE(smsflow_escape_json(text, size, escaped, needed) == needed);
	for (size_t i = 0; i < needed; i++)
	{
		REQUIRE((unsigned char) escaped[i] >= 0x20 && escaped[i] != '"');
		if (escaped[i] == '\\')
		{
			REQUIRE(++i < needed);
			REQUIRE(strchr("\"\\/bfnrtu", escaped[i]) != NULL);
			REQUIRE(escaped[i] != 'u' || needed - i > 4);
		}
	}
	for (size_t i = 0; i < size; i++)
		REQUIRE(at < escaped + needed && json_character(&at) == text[i]);
	REQUIRE(at == escaped + needed);
	free(escaped);
}

static void
check_reading(const char *text, size_t size)
{
	char *out = fuzz_buffer(size);

	REQUIRE(smsflow_unescape_octets(text, size, out) <= size);
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_copy(data, size);

	check_url(text, size);
	check_json(text, size);
	check_reading(text, size);
	if (smsflow_header_safe(text, size) && size > 0)
		REQUIRE(memchr(text, '\n', size) == NULL && memchr(text, '\r', size) == NULL);
	free(text);
	return 0;
}
