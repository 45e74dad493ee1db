/*
 * short_id.h - ids that others give, as long as they like, in a length that an index takes.
 *
 * Pure C11: no allocation, no I/O.
 */
#ifndef SMSFLOW_SHORT_ID_H
#define SMSFLOW_SHORT_ID_H

#include <stddef.h>

/* Room for the id of a message that a gateway gave. */
#define SMSFLOW_SHORT_ID_BUFSIZE 128

/*
 * Writes an id as it is, or, when it does not fit into size bytes with its end, its beginning, '#' and a hash of the whole in
 * 16 hexadecimal digits: what differs still does, and what is the same stays so. UTF-8 is cut between characters. Returns
 * the length; size is at least 32.
 */
extern size_t smsflow_short_id(const char *id, size_t len, char *out, size_t size);

#endif /* SMSFLOW_SHORT_ID_H */
