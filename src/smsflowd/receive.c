/*
 * The call of smsflow.receive_callbacks: six arrays in, one row per callback out.  The arrays go over in PostgreSQL's
 * binary format, which takes any bytes and needs no quoting.
 */
#include "receive.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

/* Type OIDs of pg_type.dat; they never change. */
#define BYTEA_OID 17
#define TEXT_OID 25
#define JSONB_OID 3802
#define BYTEA_ARRAY_OID 1001
#define TEXT_ARRAY_OID 1009
#define JSONB_ARRAY_OID 3807

#define ARRAY_HEADER_SIZE 20

static const char call[] = "SELECT ordinal, status, content_type, body FROM smsflow.receive_callbacks($1, $2, $3, $4, $5, $6)";

static const Oid element_types[FIELD_COUNT] = {TEXT_OID, TEXT_OID, TEXT_OID, TEXT_OID, JSONB_OID, BYTEA_OID};

static const Oid array_types[FIELD_COUNT] = {TEXT_ARRAY_OID, TEXT_ARRAY_OID,  TEXT_ARRAY_OID,
											 TEXT_ARRAY_OID, JSONB_ARRAY_OID, BYTEA_ARRAY_OID};

/* A jsonb value in binary is its text behind a version number. */
static size_t
prefix_size(enum callback_field field)
{
	return element_types[field] == JSONB_OID ? 1 : 0;
}

static size_t
array_size(const struct callback_list *list, int count, enum callback_field field)
{
	const struct callback *callback = STAILQ_FIRST(list);
	size_t size = ARRAY_HEADER_SIZE;

	for (int i = 0; i < count; i++, callback = STAILQ_NEXT(callback, next))
		size += 4 + prefix_size(field) + callback_field(callback, field).size;
	return size;
}

/* Header of array_recv(): one dimension, no nulls, element type, length, lower bound 1. */
static void
put_array_header(char *to, Oid element_type, int count)
{
	const uint32_t header[] = {1, 0, element_type, (uint32_t) count, 1};

	for (size_t i = 0; i < sizeof(header) / sizeof(header[0]); i++)
		put_uint32(to + 4 * i, header[i]);
}

static char *
put_element(char *to, struct slice value, size_t prefix)
{
	put_uint32(to, (uint32_t) (prefix + value.size));
	to += 4;
	if (prefix > 0)
		*to++ = 1;
	memcpy(to, value.data, value.size);
	return to + value.size;
}

static void
put_array(char *to, const struct callback_list *list, int count, enum callback_field field)
{
	const struct callback *callback = STAILQ_FIRST(list);

	put_array_header(to, element_types[field], count);
	to += ARRAY_HEADER_SIZE;
	for (int i = 0; i < count; i++, callback = STAILQ_NEXT(callback, next))
		to = put_element(to, callback_field(callback, field), prefix_size(field));
}

void
receive_send(struct database *database, const struct callback_list *list, int count)
{
	char *values[FIELD_COUNT];
	int lengths[FIELD_COUNT];
	const struct statement statement = {call, FIELD_COUNT, array_types, (const char *const *) values, lengths};

	for (int field = 0; field < FIELD_COUNT; field++)
	{
		size_t size = array_size(list, count, (enum callback_field) field);

		values[field] = allocate(size);
		lengths[field] = (int) size;
		put_array(values[field], list, count, (enum callback_field) field);
	}
	database_send(database, &statement);
	for (int field = 0; field < FIELD_COUNT; field++)
		free(values[field]);
}

struct reply *
receive_replies(const PGresult *result, int count)
{
	struct reply *replies = (struct reply *) allocate((size_t) count * sizeof(*replies));

	for (int i = 0; i < count; i++)
		replies[i] = (struct reply){500, NULL, {NULL, 0}};
	for (int row = 0; row < PQntuples(result); row++)
	{
		int ordinal = atoi(PQgetvalue(result, row, 0));
		struct slice body = {PQgetvalue(result, row, 3), (size_t) PQgetlength(result, row, 3)};

		if (ordinal < 1 || ordinal > count)
			continue;
		replies[ordinal - 1] = (struct reply){atoi(PQgetvalue(result, row, 1)), NULL, body};
		if (!PQgetisnull(result, row, 2))
			replies[ordinal - 1].content_type = PQgetvalue(result, row, 2);
	}
	return replies;
}

bool
receive_is_about_rows(const char *sqlstate)
{
	/*
	 * What is wrong with the connection, the session, what is installed or permitted, with locks, resources or the server.
	 * All else is: data, constraints, limits, smsflow's own class, and whatever a trigger of the store raises.
	 */
	static const char *const others[] = {"08", "0A", "25", "26", "28", "3D", "3F", "40",
										 "42", "53", "55", "57", "58", "F0", "XX"};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strncmp(sqlstate, others[i], 2) == 0)
			return false;
	return true;
}
