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
