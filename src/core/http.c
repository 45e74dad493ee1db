/*
 * http.c - reading the answer to an HTTP/1.1 request.
 *
 * Lines are gathered byte by byte into a small buffer, bodies are copied as they come. Everything that two readers could
 * understand differently ends in a failure or a closed connection: nothing of one answer may be taken for the next.
 */
#include "http.h"

#include <string.h>

void
smsflow_http_begin(SmsflowHttpReader *reader, char *body, size_t size)
{
	*reader = (SmsflowHttpReader){.body = body, .body_size = size};
}

/* ---- words ---- */

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c + 'a' - 'A') : c;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* Whether a text of this length is the word, which is in lower case. */
static bool
is_word(const char *text, size_t length, const char *word)
{
	if (length != strlen(word))
		return false;
	for (size_t i = 0; i < length; i++)
		if (lower(text[i]) != word[i])
			return false;
	return true;
}

/* A part of a list between commas, without its spaces; moves *at behind it. False at the end. */
static bool
next_element(const char **at, const char *end, const char **element, size_t *length)
{
	const char *stop;

	if (*at >= end)
		return false;
	stop = memchr(*at, ',', (size_t) (end - *at));
	if (stop == NULL)
		stop = end;
	*element = *at;
	*at = stop + 1;
	while (*element < stop && is_space(**element))
		(*element)++;
	while (stop > *element && is_space(stop[-1]))
		stop--;
	*length = (size_t) (stop - *element);
	return true;
}

/* ---- the lines of the head ---- */

/* "HTTP/1.x 200", and words after it. */
static bool
read_status(SmsflowHttpReader *reader)
{
	const char *line = reader->line;

	if (reader->line_length < 12 || memcmp(line, "HTTP/1.", 7) != 0 || !is_digit(line[7]) || line[8] != ' ')
		return false;
	if (line[9] < '1' || line[9] > '9' || !is_digit(line[10]) || !is_digit(line[11]) ||
		(reader->line_length > 12 && line[12] != ' '))
		return false;
	reader->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + line[11] - '0';
	reader->keeps_alive = line[7] != '0';
	reader->part = SMSFLOW_HTTP_HEADER;

	/* What switches protocols is no answer to anything that is asked here. */
	return reader->status != 101;
}

static bool
read_content_length(SmsflowHttpReader *reader, const char *value, const char *end)
{
	const char *element;
	size_t length;

	while (next_element(&value, end, &element, &length))
	{
		uint64_t number = 0;

		if (length == 0 || length > 18)
			return false;
		for (size_t i = 0; i < length; i++)
		{
			if (!is_digit(element[i]))
				return false;
			number = number * 10 + (uint64_t) (element[i] - '0');
		}
		if (reader->has_length && reader->left != number)
			return false;
		reader->has_length = true;
		reader->left = number;
	}
	return reader->has_length;
}

/* Only the last coding frames the body, and only "chunked" does. */
static void
read_transfer_encoding(SmsflowHttpReader *reader, const char *value, const char *end)
{
	const char *element;
	size_t length;

	reader->has_coding = true;
	while (next_element(&value, end, &element, &length))
		if (length > 0)
			reader->chunked = is_word(element, length, "chunked");
}

static void
read_connection(SmsflowHttpReader *reader, const char *value, const char *end)
{
	const char *element;
	size_t length;

	while (next_element(&value, end, &element, &length))
		if (is_word(element, length, "close"))
			reader->keeps_alive = false;
		else if (is_word(element, length, "keep-alive"))
			reader->keeps_alive = true;
}

static void
read_retry_after(SmsflowHttpReader *reader, const char *value, const char *end)
{
	size_t length = (size_t) (end - value);

	if (length >= sizeof(reader->retry_after))
		return;
	memcpy(reader->retry_after, value, length);
	reader->retry_after[length] = '\0';
}

static bool
read_header(SmsflowHttpReader *reader)
{
	size_t kept = reader->line_length < sizeof(reader->line) ? reader->line_length : sizeof(reader->line);
	bool whole = kept == reader->line_length;
	const char *value = memchr(reader->line, ':', kept);
	const char *end = reader->line + kept;
	size_t name;

	/* A line that goes on from the one before. */
	if (is_space(reader->line[0]))
		return !reader->framing;
	if (value == NULL || value == reader->line)
		return !whole && value == NULL;
	name = (size_t) (value++ - reader->line);
	while (value < end && is_space(*value))
		value++;
	while (end > value && is_space(end[-1]))
		end--;
	reader->framing = true;
	if (is_word(reader->line, name, "content-length"))
		return whole && read_content_length(reader, value, end);
	if (is_word(reader->line, name, "transfer-encoding"))
		read_transfer_encoding(reader, value, end);
	else if (is_word(reader->line, name, "connection"))
		read_connection(reader, value, end);
	else
	{
		reader->framing = false;
		if (is_word(reader->line, name, "retry-after"))
			read_retry_after(reader, value, end);
		return true;
	}
	return whole;
}

/* The empty line: how long is the body? */
static void
end_head(SmsflowHttpReader *reader)
{
	if (reader->status < 200)
	{
		/* An answer in between; the real one follows. */
		size_t header_bytes = reader->header_bytes;

		smsflow_http_begin(reader, reader->body, reader->body_size);
		reader->header_bytes = header_bytes;
		return;
	}
	if (reader->status == 204 || reader->status == 304)
		reader->part = SMSFLOW_HTTP_END;
	else if (reader->chunked)
	{
		/* Whoever says both a length and chunks may mean either to somebody else. */
		reader->keeps_alive &= !reader->has_length;
		reader->part = SMSFLOW_HTTP_CHUNK_SIZE;
	}
	else if (reader->has_length && !reader->has_coding)
		reader->part = reader->left > 0 ? SMSFLOW_HTTP_BODY : SMSFLOW_HTTP_END;
	else
	{
		reader->keeps_alive = false;
		reader->part = SMSFLOW_HTTP_BODY_REST;
	}
}

/* ---- chunks ---- */

/* Hexadecimal, and whatever follows a semicolon. */
static bool
read_chunk_size(SmsflowHttpReader *reader)
{
	size_t at = 0;

	reader->left = 0;
	for (; at < reader->line_length && at < 15; at++)
	{
		char c = lower(reader->line[at]);

		if (is_digit(c))
			reader->left = reader->left * 16 + (uint64_t) (c - '0');
		else if (c >= 'a' && c <= 'f')
			reader->left = reader->left * 16 + (uint64_t) (c - 'a' + 10);
		else
			break;
	}
	if (at == 0 || (at < reader->line_length && reader->line[at] != ';' && !is_space(reader->line[at])))
		return false;
	reader->part = reader->left > 0 ? SMSFLOW_HTTP_CHUNK : SMSFLOW_HTTP_TRAILER;
	return true;
}

/* ---- all of it ---- */

static bool
end_line(SmsflowHttpReader *reader)
{
	bool fine = true;

	if (reader->line_length > 0 && reader->line_length <= sizeof(reader->line) && reader->line[reader->line_length - 1] == '\r')
		reader->line_length--;
	switch (reader->part)
	{
		case SMSFLOW_HTTP_STATUS:
			fine = read_status(reader);
			break;
		case SMSFLOW_HTTP_HEADER:
			if (reader->line_length == 0)
				end_head(reader);
			else
				fine = read_header(reader);
			break;
		case SMSFLOW_HTTP_CHUNK_SIZE:
			fine = read_chunk_size(reader);
			break;
		case SMSFLOW_HTTP_CHUNK_END:
			fine = reader->line_length == 0;
			reader->part = SMSFLOW_HTTP_CHUNK_SIZE;
			break;
		default:
			if (reader->line_length == 0)
				reader->part = SMSFLOW_HTTP_END;
			break;
	}
	reader->line_length = 0;
	return fine;
}

/* Gathers a line. Returns the bytes used, or 0 when this is none of an answer. */
static size_t
read_line(SmsflowHttpReader *reader, const char *data, size_t length)
{
	const char *stop = memchr(data, '\n', length);
	size_t used = stop ? (size_t) (stop - data) + 1 : length;
	size_t text = stop ? used - 1 : used;
	size_t room = reader->line_length < sizeof(reader->line) ? sizeof(reader->line) - reader->line_length : 0;

	reader->header_bytes += used;
	if (reader->header_bytes > SMSFLOW_HTTP_MAX_HEADER_BYTES || memchr(data, '\0', text) != NULL)
		return 0;
	if (room > 0)
		memcpy(reader->line + reader->line_length, data, text < room ? text : room);
	reader->line_length += text;
	return stop == NULL || end_line(reader) ? used : 0;
}

static size_t
read_body(SmsflowHttpReader *reader, const char *data, size_t length)
{
	bool bounded = reader->part != SMSFLOW_HTTP_BODY_REST;
	size_t used = bounded && reader->left < length ? (size_t) reader->left : length;
	size_t room = reader->body_size - reader->body_length;
	size_t kept = used < room ? used : room;

	memcpy(reader->body + reader->body_length, data, kept);
	reader->body_length += kept;
	if (kept < used)
	{
		/* Nothing useful follows, and a hostile gateway may never end. */
		reader->truncated = true;
		reader->keeps_alive = false;
		reader->part = SMSFLOW_HTTP_END;
		return length;
	}
	if (bounded)
		reader->left -= used;
	if (bounded && reader->left == 0)
		reader->part = reader->part == SMSFLOW_HTTP_CHUNK ? SMSFLOW_HTTP_CHUNK_END : SMSFLOW_HTTP_END;
	return used;
}

SmsflowHttpProgress
smsflow_http_read(SmsflowHttpReader *reader, const char *data, size_t length)
{
	while (length > 0 && reader->part != SMSFLOW_HTTP_END)
	{
		bool in_body =
			reader->part == SMSFLOW_HTTP_BODY || reader->part == SMSFLOW_HTTP_BODY_REST || reader->part == SMSFLOW_HTTP_CHUNK;
		size_t used = in_body ? read_body(reader, data, length) : read_line(reader, data, length);

		if (used == 0)
			return SMSFLOW_HTTP_FAILED;
		data += used;
		length -= used;
	}
	if (reader->part != SMSFLOW_HTTP_END)
		return SMSFLOW_HTTP_MORE;
	if (length > 0)
		reader->keeps_alive = false;
	return SMSFLOW_HTTP_COMPLETE;
}

SmsflowHttpProgress
smsflow_http_end(SmsflowHttpReader *reader)
{
	reader->keeps_alive = false;
	return reader->part == SMSFLOW_HTTP_BODY_REST ? SMSFLOW_HTTP_COMPLETE : SMSFLOW_HTTP_FAILED;
}
