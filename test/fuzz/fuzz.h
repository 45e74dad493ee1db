/*
 * fuzz.h - what the fuzz targets share: a check that ends the run, and copies that end where their memory ends, so that
 * AddressSanitizer sees a read or a write of one byte too many.
 */
#ifndef SMSFLOW_FUZZ_H
#define SMSFLOW_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                                       \
	do                                                                                                                           \
	{                                                                                                                            \
		if (!(condition))                                                                                                        \
		{                                                                                                                        \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                                       \
			abort();                                                                                                             \
		}                                                                                                                        \
	} while (0)

/* fuzz_buffer returns size bytes, to be freed. */
static inline char *
fuzz_buffer(size_t size)
{
	char *buffer = malloc(size > 0 ? size : 1);

	REQUIRE(buffer != NULL);
	return buffer;
}

static inline char *
fuzz_copy(const void *data, size_t size)
{
	char *copy = fuzz_buffer(size);

	if (size > 0)
		memcpy(copy, data, size);
	return copy;
}

#endif /* SMSFLOW_FUZZ_H */
