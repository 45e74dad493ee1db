/*
 * Preloaded beside the sanitizer of addresses, and initialised before every other library: the sanitizer gets ready at the
 * first malloc(). Where that was one of a library's own start, under a lock of the C library which the sanitizer takes, too,
 * a server would wait for itself for ever.
 */
#include <stdlib.h>

static void *volatile first;

__attribute__((constructor)) static void
allocate_first(void)
{
	first = malloc(1);
	free(first);
}
