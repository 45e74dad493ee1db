/* Memory without which there is no going on. */
#ifndef SMSFLOWD_MEMORY_H
#define SMSFLOWD_MEMORY_H

#include <stdlib.h>

#include "log.h"

/* Never NULL: what cannot be read for want of memory must not pass for damage, nor what cannot be sent for sent. */
static inline char *
allocate(size_t size)
{
	char *memory = malloc(size);

	if (memory == NULL)
	{
		log_line("out of memory");
		abort();
	}
	return memory;
}

#endif
