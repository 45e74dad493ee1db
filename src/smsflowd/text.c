/*
 * Checks and conversions of text that comes from outside.  Everything handed to PostgreSQL as text or jsonb has
 * been through here, so that a client cannot make a batch fail with a few wrong bytes.
 */
#define _GNU_SOURCE /* strcasestr */
#include "text.h"

#include <inttypes.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

struct slice
slice_of(const char *text)
{
	if (text == NULL)
		text = "";
	return (struct slice){text, strlen(text)};
}

/*
 * Length of the UTF-8 character that opens these bytes, or 0.  The limits on the second byte exclude overlong forms,
 * surrogates and code points above U+10FFFF (RFC 3629, section 4).
 */
static size_t
character_length(const unsigned char *byte, size_t available)
{
	unsigned char lowest = 0x80;
	unsigned char highest = 0xBF;
	size_t length;

	if (byte[0] < 0x80)
		return byte[0] != 0 ? 1 : 0;
	if (byte[0] < 0xC2 || byte[0] > 0xF4)
		return 0;
	length = byte[0] < 0xE0 ? 2 : byte[0] < 0xF0 ? 3 : 4;
	if (byte[0] == 0xE0)
		lowest = 0xA0;
	if (byte[0] == 0xED)
		highest = 0x9F;
	if (byte[0] == 0xF0)
		lowest = 0x90;
	if (byte[0] == 0xF4)
		highest = 0x8F;
	if (length > available || byte[1] < lowest || byte[1] > highest)
		return 0;
	for (size_t i = 2; i < length; i++)
		if ((byte[i] & 0xC0) != 0x80)
			return 0;
	return length;
}

bool
text_is_valid(struct slice text)
{
	const unsigned char *byte = (const unsigned char *) text.data;
	size_t position = 0;

	while (position < text.size)
	{
		size_t length = character_length(byte + position, text.size - position);

		if (length == 0)
			return false;
		position += length;
	}
	return true;
}

static void
append_escaped(struct evbuffer *json, const char *value, bool is_utf8)
{
	const unsigned char *plain = (const unsigned char *) value; /* what is not yet appended */
	const unsigned char *byte = plain;

	for (; *byte != '\0'; byte++)
	{
		bool quoted = *byte == '"' || *byte == '\\';

		if (!quoted && *byte >= 0x20 && *byte != 0x7F && (*byte < 0x80 || is_utf8))
			continue;
		evbuffer_add(json, plain, (size_t) (byte - plain));
		evbuffer_add_printf(json, quoted ? "\\%c" : "\\u%04x", *byte);
		plain = byte + 1;
	}
	evbuffer_add(json, plain, (size_t) (byte - plain));
}

void
text_append_escaped(struct evbuffer *json, const char *value)
{
	append_escaped(json, value, text_is_valid(slice_of(value)));
}

static bool
name_ends_with(const char *name, const char *ending)
{
	size_t length = strlen(name);
	size_t ending_length = strlen(ending);

	return length >= ending_length && strcasecmp(name + length - ending_length, ending) == 0;
}

static bool
is_kept(const char *name)
{
	if (strcasestr(name, "cookie") != NULL || strncasecmp(name, "x-smsflow-", 10) == 0)
		return false;
	return strncasecmp(name, "x-", 2) == 0 || strcasecmp(name, "content-type") == 0 || strcasecmp(name, "user-agent") == 0 ||
		   strcasecmp(name, "authorization") == 0 || strcasecmp(name, "webhook-id") == 0 ||
		   strcasestr(name, "signature") != NULL || name_ends_with(name, "-timestamp");
}

static bool
is_repetition(const struct evkeyvalq *headers, const struct evkeyval *header)
{
	const struct evkeyval *earlier;

	TAILQ_FOREACH(earlier, headers, next)
	{
		if (earlier == header)
			return false;
		if (strcasecmp(earlier->key, header->key) == 0)
			return true;
	}
	return false;
}

/* Appends the value of this header and of all later ones of the same name. */
static void
append_values(struct evbuffer *json, const struct evkeyval *header)
{
	const struct evkeyval *other = header;

	evbuffer_add(json, "\"", 1);
	for (; other != NULL; other = TAILQ_NEXT(other, next))
	{
		if (strcasecmp(other->key, header->key) != 0)
			continue;
		if (other != header)
			evbuffer_add(json, ", ", 2);
		text_append_escaped(json, other->value);
	}
	evbuffer_add(json, "\"", 1);
}

static void
append_name(struct evbuffer *json, const char *name)
{
	char lower[128];
	size_t length = strlen(name);

	if (length >= sizeof(lower))
		length = sizeof(lower) - 1;
	for (size_t i = 0; i < length; i++)
		lower[i] = (char) (name[i] >= 'A' && name[i] <= 'Z' ? name[i] + ('a' - 'A') : name[i]);
	lower[length] = '\0';
	evbuffer_add(json, "\"", 1);
	append_escaped(json, lower, false);
	evbuffer_add(json, "\":", 2);
}

void
text_append_headers(struct evbuffer *json, const struct evkeyvalq *headers, int64_t arrived)
{
	const struct evkeyval *header;

	evbuffer_add_printf(json, "{\"x-smsflow-arrived\":\"%" PRId64 "\"", arrived);
	TAILQ_FOREACH(header, headers, next)
	{
		if (!is_kept(header->key) || is_repetition(headers, header))
			continue;
		evbuffer_add(json, ",", 1);
		append_name(json, header->key);
		append_values(json, header);
	}
	evbuffer_add(json, "}", 1);
}
