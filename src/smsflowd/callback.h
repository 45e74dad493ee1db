/* One callback on its way to the database. */
#ifndef SMSFLOWD_CALLBACK_H
#define SMSFLOWD_CALLBACK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "text.h"

struct exchange;

/* The arguments of smsflow.receive_callbacks, in its order. */
enum callback_field
{
	FIELD_GATEWAY,
	FIELD_METHOD,
	FIELD_PATH,
	FIELD_QUERY,
	FIELD_HEADERS,
	FIELD_BODY,
	FIELD_COUNT
};

struct callback
{
	STAILQ_ENTRY(callback) next;
	struct exchange *exchange; /* who waits for the answer; NULL when read back from the spool */
	int64_t arrived_ms;        /* monotonic clock */
	int64_t due_ms;            /* monotonic clock: when it need not wait for company any more */
	bool in_spool;
	int64_t spool_end; /* where its record ends, when read back from the spool */
	size_t size;       /* of record */
	char record[];     /* per field: 4 bytes of length, big-endian, then the bytes */
};

STAILQ_HEAD(callback_list, callback);

/* Both return memory to be freed with free(), or NULL: out of memory, or, for the second, not a record. */
struct callback *callback_new(const struct slice fields[FIELD_COUNT]);
struct callback *callback_from_record(struct slice record);

struct slice callback_field(const struct callback *callback, enum callback_field field);

/* Big-endian 32-bit integers, as in records, in the spool and in PostgreSQL's binary formats. */
void put_uint32(char *to, uint32_t value);
uint32_t get_uint32(const char *from);

#endif
