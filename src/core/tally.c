/*
 * tally.c - see tally.h.
 */
#include "tally.h"

#include <string.h>

#define COUNT_LIMIT 1024
#define LAST_DAY (INT32_MAX / COUNT_LIMIT)

static int32_t
day_of(int32_t element)
{
	return element / COUNT_LIMIT;
}

static int32_t
count_of(int32_t element)
{
	return element % COUNT_LIMIT;
}

/* forget_old returns how many elements are not too old beside the newest. */
static size_t
forget_old(const int32_t *tally, size_t len)
{
	while (len > 0 && day_of(tally[0]) - day_of(tally[len - 1]) >= SMSFLOW_TALLY_DAYS)
		len--;
	return len;
}

size_t
smsflow_tally_add(int32_t *tally, size_t len, int32_t day)
{
	size_t at = 0;

	if (day < 0 || day > LAST_DAY)
		return len;
	while (at < len && day_of(tally[at]) > day)
		at++;
	if (at < len && day_of(tally[at]) == day)
	{
		if (count_of(tally[at]) < COUNT_LIMIT - 1)
			tally[at]++;
		return len;
	}
	if (at == SMSFLOW_TALLY_DAYS)
		return len;
	/* A full tally spans at least that many days, so its last one is too old beside a new first one. */
	if (len == SMSFLOW_TALLY_DAYS)
		len--;
	memmove(tally + at + 1, tally + at, (len - at) * sizeof(int32_t));
	tally[at] = day * COUNT_LIMIT + 1;
	return forget_old(tally, len + 1);
}

int64_t
smsflow_tally_since(const int32_t *tally, size_t len, int32_t after)
{
	int64_t sum = 0;

	for (size_t i = 0; i < len && day_of(tally[i]) > after; i++)
		sum += count_of(tally[i]);
	return sum;
}
