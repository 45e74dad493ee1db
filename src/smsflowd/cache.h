/* Short links in memory: what redirects while the database is away. */
#ifndef SMSFLOWD_CACHE_H
#define SMSFLOWD_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#define CODE_LENGTH 8

struct cache;

/* Where a link leads, and until when. */
struct destination
{
	const char *url; /* belongs to the cache until its next change */
	int64_t expires; /* seconds since 1970; 0: never */
	int64_t fetched; /* when it was read from the database, seconds since 1970 */
};

/* Holds at most limit links; returns NULL when out of memory. */
struct cache *cache_open(long limit);
void cache_close(struct cache *cache);

/* A smaller limit forgets the links that were used the longest ago. */
void cache_set_limit(struct cache *cache, long limit);

/* Finds a link and makes it the one used last; url is NULL when it is not here. */
struct destination cache_find(struct cache *cache, const char *code);

/* Keeps a link in the place of the one used the longest ago; does nothing when out of memory. */
void cache_put(struct cache *cache, const char *code, struct destination destination);

/* Keeps a link as the one used the longest ago, if there is room. */
void cache_add(struct cache *cache, const char *code, struct destination destination);

void cache_remove(struct cache *cache, const char *code);

long cache_count(const struct cache *cache);
bool cache_is_full(const struct cache *cache);

#endif
