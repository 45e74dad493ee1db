/*
 * resolver.c - name servers that misbehave: preloaded into a server, it makes
 * missing.test a name that does not exist and slow.test one whose look-up takes a
 * minute. No question leaves the machine.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

typedef int (*Lookup)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	Lookup original;

	if (node && strcmp(node, "slow.test") == 0)
		sleep(60);
	if (node && (strcmp(node, "slow.test") == 0 || strcmp(node, "missing.test") == 0))
		return EAI_NONAME;
	*(void **) &original = dlsym(RTLD_NEXT, "getaddrinfo");
	return original(node, service, hints, result);
}
