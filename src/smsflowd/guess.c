/*
 * Codes of links cannot be listed, but they can be tried.  A table of fixed size counts failed tries by network and
 * minute; networks that share a slot share its limit, which costs somebody a 404 for a code that did not exist anyway.
 */
#include "guess.h"

#include <string.h>

#define GUESSES_PER_MINUTE 60

/* The part of an address that one customer of a provider has: three groups of IPv4, four of IPv6. */
static uint16_t *
slot_of(struct guesses *guesses, const char *address)
{
	char separator = strchr(address, ':') != NULL ? ':' : '.';
	int groups = separator == ':' ? 4 : 3;
	uint32_t hash = 2166136261U;

	for (const char *at = address; *at != '\0'; at++)
	{
		if (*at == separator && --groups == 0)
			break;
		hash = (hash ^ (unsigned char) *at) * 16777619U;
	}
	return &guesses->count[(hash ^ (hash >> 16)) % GUESS_SLOTS];
}

bool
guess_allowed(struct guesses *guesses, const char *address, int64_t now)
{
	if (now / 60 != guesses->minute)
	{
		memset(guesses->count, 0, sizeof(guesses->count));
		guesses->minute = now / 60;
	}
	return *slot_of(guesses, address) < GUESSES_PER_MINUTE;
}

void
guess_failed(struct guesses *guesses, const char *address)
{
	uint16_t *count = slot_of(guesses, address);

	if (*count < UINT16_MAX)
		++*count;
}
