/*
 * short_id.c - see short_id.h. Nobody is kept from making two ids of one hash, so the key is no secret: who gives ids may
 * give the same one twice, too.
 */
#include "short_id.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "siphash.h"

#define HASH_LENGTH 17 /* with its mark */

/* True for a byte that goes on with a character. */
static bool
is_continuation(char byte)
{
	return ((unsigned char) byte & 0xC0) == 0x80;
}

size_t
smsflow_short_id(const char *id, size_t len, char *out, size_t size)
{
	size_t kept = size - 1 - HASH_LENGTH;

	if (len < size)
	{
		memcpy(out, id, len);
		out[len] = '\0';
		return len;
	}
	while (kept > 0 && is_continuation(id[kept]))
		kept--;
	memcpy(out, id, kept);
	snprintf(out + kept, HASH_LENGTH + 1, "#%016" PRIx64,
			 smsflow_siphash((SmsflowSipKey){0, 0}, (const unsigned char *) id, len));
	return kept + HASH_LENGTH;
}
