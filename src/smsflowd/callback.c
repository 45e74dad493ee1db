/*
 * One callback on its way to the database.  It has a single form everywhere: six fields, each a length and its
 * bytes.  That is what the spool stores, and an element of PostgreSQL's binary arrays looks just the same, so nothing
 * is quoted, escaped or parsed again on the way.
 */
#include "callback.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

void
put_uint32(char *to, uint32_t value)
{
	value = htonl(value);
	memcpy(to, &value, sizeof(value));
}

uint32_t
get_uint32(const char *from)
{
	uint32_t value;

	memcpy(&value, from, sizeof(value));
	return ntohl(value);
}

static struct callback *
allocate(size_t size)
{
	struct callback *callback = calloc(1, sizeof(*callback) + size);

	if (callback != NULL)
		callback->size = size;
	return callback;
}

struct callback *
callback_new(const struct slice fields[FIELD_COUNT])
{
	struct callback *callback;
	size_t size = 0;
	char *to;

	for (int i = 0; i < FIELD_COUNT; i++)
		size += 4 + fields[i].size;
	callback = allocate(size);
	if (callback == NULL)
		return NULL;
	to = callback->record;
	for (int i = 0; i < FIELD_COUNT; i++)
	{
		put_uint32(to, (uint32_t) fields[i].size);
		if (fields[i].size > 0)
			memcpy(to + 4, fields[i].data, fields[i].size);
		to += 4 + fields[i].size;
	}
	return callback;
}

static bool
is_record(struct slice record)
{
	size_t position = 0;

	for (int i = 0; i < FIELD_COUNT; i++)
	{
		if (record.size - position < 4)
			return false;
		if (get_uint32(record.data + position) > record.size - position - 4)
			return false;
		position += 4 + get_uint32(record.data + position);
	}
	return position == record.size;
}

struct callback *
callback_from_record(struct slice record)
{
	struct callback *callback;

	if (!is_record(record))
		return NULL;
	callback = allocate(record.size);
	if (callback != NULL)
		memcpy(callback->record, record.data, record.size);
	return callback;
}

struct slice
callback_field(const struct callback *callback, enum callback_field field)
{
	const char *from = callback->record;

	for (int i = 0; i < (int) field; i++)
		from += 4 + get_uint32(from);
	return (struct slice){from + 4, get_uint32(from)};
}
