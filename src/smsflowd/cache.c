/*
 * Short links in memory, forgotten by when they were used last.  A campaign has a link for each recipient and few
 * targets, so a URL is kept once for all links that lead there: a million links take some 70 MB, not 300.
 */
#include "cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* A URL, shared by the links that lead there. */
struct target
{
	struct target *next; /* in its bucket */
	uint64_t hash;
	unsigned long uses;
	char url[];
};

struct link
{
	TAILQ_ENTRY(link) recency;
	struct link *next; /* in its bucket */
	struct target *target;
	int64_t expires;
	int64_t fetched;
	char code[CODE_LENGTH];
};

TAILQ_HEAD(link_list, link);

struct cache
{
	struct link_list links; /* used last first */
	struct link **link_buckets;
	struct target **target_buckets;
	uint64_t mask; /* of both */
	long limit;
	long count;
};

/* FNV-1a, with its upper bits brought down. */
static uint64_t
hash_of(const char *data, size_t size)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char) data[i]) * UINT64_C(1099511628211);
	return hash ^ (hash >> 32);
}

/* ---- targets ---- */

static struct target *
take_target(struct cache *cache, const char *url)
{
	size_t size = strlen(url) + 1;
	uint64_t hash = hash_of(url, size);
	struct target **bucket = &cache->target_buckets[hash & cache->mask];
	struct target *target = *bucket;

	while (target != NULL && (target->hash != hash || strcmp(target->url, url) != 0))
		target = target->next;
	if (target == NULL)
	{
		target = malloc(sizeof(*target) + size);
		if (target == NULL)
			return NULL;
		*target = (struct target){.next = *bucket, .hash = hash};
		memcpy(target->url, url, size);
		*bucket = target;
	}
	target->uses++;
	return target;
}

static void
drop_target(struct cache *cache, struct target *target)
{
	struct target **at = &cache->target_buckets[target->hash & cache->mask];

	if (--target->uses > 0)
		return;
	while (*at != target)
		at = &(*at)->next;
	*at = target->next;
	free(target);
}

/* ---- links ---- */

/* The pointer that leads to a link, or to the NULL at the end of its bucket. */
static struct link **
place_of(const struct cache *cache, const char *code)
{
	struct link **at = &cache->link_buckets[hash_of(code, CODE_LENGTH) & cache->mask];

	while (*at != NULL && memcmp((*at)->code, code, CODE_LENGTH) != 0)
		at = &(*at)->next;
	return at;
}

void
cache_remove(struct cache *cache, const char *code)
{
	struct link **at = place_of(cache, code);
	struct link *link = *at;

	if (link == NULL)
		return;
	*at = link->next;
	TAILQ_REMOVE(&cache->links, link, recency);
	drop_target(cache, link->target);
	free(link);
	cache->count--;
}

static void
shrink_to(struct cache *cache, long count)
{
	while (cache->count > count)
		cache_remove(cache, TAILQ_LAST(&cache->links, link_list)->code);
}

/* A new link, or the one there is with its new destination; NULL when out of memory. */
static struct link *
set_link(struct cache *cache, const char *code, struct destination destination)
{
	struct link **at = place_of(cache, code);
	struct link *link = *at != NULL ? *at : calloc(1, sizeof(*link));
	struct target *target = take_target(cache, destination.url);

	if (link == NULL || target == NULL)
	{
		if (target != NULL)
			drop_target(cache, target);
		if (*at == NULL)
			free(link);
		return NULL;
	}
	if (*at != NULL)
	{
		TAILQ_REMOVE(&cache->links, link, recency);
		drop_target(cache, link->target);
	}
	else
	{
		memcpy(link->code, code, CODE_LENGTH);
		*at = link;
		cache->count++;
	}
	link->target = target;
	link->expires = destination.expires;
	link->fetched = destination.fetched;
	return link;
}

void
cache_put(struct cache *cache, const char *code, struct destination destination)
{
	struct link *link = cache->limit > 0 ? set_link(cache, code, destination) : NULL;

	if (link == NULL)
		return;
	TAILQ_INSERT_HEAD(&cache->links, link, recency);
	shrink_to(cache, cache->limit);
}

void
cache_add(struct cache *cache, const char *code, struct destination destination)
{
	struct link *link;

	if (cache_is_full(cache) || *place_of(cache, code) != NULL)
		return;
	link = set_link(cache, code, destination);
	if (link != NULL)
		TAILQ_INSERT_TAIL(&cache->links, link, recency);
}

struct destination
cache_find(struct cache *cache, const char *code)
{
	struct link *link = *place_of(cache, code);

	if (link == NULL)
		return (struct destination){NULL, 0, 0};
	if (link != TAILQ_FIRST(&cache->links))
	{
		TAILQ_REMOVE(&cache->links, link, recency);
		TAILQ_INSERT_HEAD(&cache->links, link, recency);
	}
	return (struct destination){link->target->url, link->expires, link->fetched};
}

long
cache_count(const struct cache *cache)
{
	return cache->count;
}

bool
cache_is_full(const struct cache *cache)
{
	return cache->count >= cache->limit;
}

void
cache_set_limit(struct cache *cache, long limit)
{
	cache->limit = limit;
	shrink_to(cache, limit);
}

struct cache *
cache_open(long limit)
{
	struct cache *cache = calloc(1, sizeof(*cache));
	uint64_t buckets = 1024;

	if (cache == NULL)
		return NULL;
	while (buckets < (uint64_t) limit)
		buckets *= 2;
	*cache = (struct cache){.mask = buckets - 1, .limit = limit};
	TAILQ_INIT(&cache->links);
	cache->link_buckets = calloc(buckets, sizeof(struct link *));
	cache->target_buckets = calloc(buckets, sizeof(struct target *));
	if (cache->link_buckets != NULL && cache->target_buckets != NULL)
		return cache;
	cache_close(cache);
	return NULL;
}

void
cache_close(struct cache *cache)
{
	shrink_to(cache, 0);
	free(cache->link_buckets);
	free(cache->target_buckets);
	free(cache);
}
