/*
 * escape.c - see escape.h.
 */
#include "escape.h"

#include <string.h>

typedef struct Output
{
	char *at;
	size_t size;
	size_t used;
} Output;

static void
put(Output *out, const char *text, size_t len)
{
	if (out->used + len <= out->size)
		memcpy(out->at + out->used, text, len);
	out->used += len;
}

static bool
unreserved(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
		   c == '~';
}

size_t
smsflow_escape_url(const char *text, size_t len, char *buffer, size_t outsize)
{
	static const char hex[] = "0123456789ABCDEF";
	Output out = {buffer, outsize, 0};

	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];
		char code[3] = {'%', hex[c >> 4], hex[c & 15]};

		if (unreserved(c))
			put(&out, &text[i], 1);
		else
			put(&out, code, 3);
	}
	return out.used;
}

static const char *
json_short_escape(unsigned char c)
{
	switch (c)
	{
		case '"':
			return "\\\"";
		case '\\':
			return "\\\\";
		case '\n':
			return "\\n";
		case '\r':
			return "\\r";
		case '\t':
			return "\\t";
		default:
			return NULL;
	}
}

size_t
smsflow_escape_json(const char *text, size_t len, char *buffer, size_t outsize)
{
	static const char hex[] = "0123456789abcdef";
	Output out = {buffer, outsize, 0};

	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];
		const char *brief = json_short_escape(c);
		char code[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

		if (brief)
			put(&out, brief, 2);
		else if (c < 0x20)
			put(&out, code, 6);
		else
			put(&out, &text[i], 1);
	}
	return out.used;
}

bool
smsflow_header_safe(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] == '\r' || text[i] == '\n' || text[i] == '\0')
			return false;
	return true;
}

int
smsflow_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

size_t
smsflow_unescape_octets(const char *text, size_t len, char *out)
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++)
	{
		int high = text[i] == '%' && i + 2 < len ? smsflow_hex_digit(text[i + 1]) : -1;
		int low = high >= 0 ? smsflow_hex_digit(text[i + 2]) : -1;

		if (low >= 0)
		{
			out[used++] = (char) (high << 4 | low);
			i += 2;
		}
		else
			out[used++] = (char) (text[i] == '+' ? ' ' : text[i]);
	}
	return used;
}

/* The value of "\uXXXX" at the start of a text, or -1. */
static int
json_code_unit(const char *text, size_t len)
{
	int unit = 0;

	if (len < 6 || text[0] != '\\' || text[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++)
	{
		int digit = smsflow_hex_digit(text[i]);

		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

/* Writes the escape that opens a text as it can be stored; returns how many bytes of the text that was. */
static size_t
mend_escape(const char *text, size_t len, Output *out)
{
	int unit = json_code_unit(text, len);
	int next = unit >= 0xD800 && unit < 0xDC00 ? json_code_unit(text + 6, len - 6) : -1;

	if (unit < 0)
	{
		bool brief = len > 1 && text[1] != '\0' && strchr("\"\\/bfnrt", text[1]) != NULL;

		put(out, text, brief ? 2 : 0);
		return brief ? 2 : 1;
	}
	if (next >= 0xDC00 && next < 0xE000)
	{
		put(out, text, 12);
		return 12;
	}
	if (unit >= 0xD800 && unit < 0xE000)
		put(out, "\\ufffd", 6);
	else if (unit != 0)
		put(out, text, 6);
	return 6;
}

/* Writes a control character within a string. */
static void
mend_control(char c, Output *out)
{
	if (c == '\n')
		put(out, "\\n", 2);
	else if (c != '\0')
		put(out, " ", 1);
}

size_t
smsflow_mend_json(const char *text, size_t len, char *buffer, size_t outsize)
{
	Output out = {buffer, outsize, 0};
	bool quoted = false;

	for (size_t i = 0; i < len;)
	{
		if (quoted && text[i] == '\\')
		{
			i += mend_escape(text + i, len - i, &out);
			continue;
		}
		if (text[i] == '"')
			quoted = !quoted;
		if (quoted && (unsigned char) text[i] < 0x20)
			mend_control(text[i], &out);
		else
			put(&out, &text[i], 1);
		i++;
	}
	return out.used;
}
