/* How often a network may ask for links that do not exist. */
#ifndef SMSFLOWD_GUESS_H
#define SMSFLOWD_GUESS_H

#include <stdbool.h>
#include <stdint.h>

#define GUESS_SLOTS 8192

/* Zeroed at the start. */
struct guesses
{
	int64_t minute;
	uint16_t count[GUESS_SLOTS];
};

/* False when the network of this address has guessed too often in this minute; now is in seconds. */
bool guess_allowed(struct guesses *guesses, const char *address, int64_t now);

/* Counts a code that does not exist. */
void guess_failed(struct guesses *guesses, const char *address);

#endif
