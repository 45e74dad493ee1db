/*
 * language.c - see language.h: the lookup of RFC 4647, section 3.4, which cuts the wanted tag at its hyphens from the end.
 */
#include "language.h"

static char
plain(char c)
{
	if (c == '_')
		return '-';
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

int
smsflow_language_fits(const char *offered, size_t offered_len, const char *wanted, size_t wanted_len)
{
	if (offered_len > wanted_len)
		return -1;
	for (size_t i = 0; i < offered_len; i++)
		if (plain(offered[i]) != plain(wanted[i]))
			return -1;
	if (offered_len == 0 || offered_len == wanted_len || plain(wanted[offered_len]) == '-')
		return (int) offered_len;
	return -1;
}
