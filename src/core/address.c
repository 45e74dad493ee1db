/*
 * address.c - see address.h.
 */
#include "address.h"

#include <stdbool.h>
#include <string.h>

typedef struct Network
{
	uint8_t bytes[16];
	int bits;
	SmsflowAddressKind kind;
} Network;

/* The first that fits counts. */
static const Network networks4[] = {{{100, 100, 100, 200}, 32, ADDRESS_FORBIDDEN}, /* metadata of Alibaba's cloud */
									{{168, 63, 129, 16}, 32, ADDRESS_FORBIDDEN},   /* of Azure's */
									{{192, 0, 0, 0}, 24, ADDRESS_FORBIDDEN},       /* of Oracle's, and protocol assignments */
									{{169, 254}, 16, ADDRESS_FORBIDDEN}, /* link-local, with the metadata of the others */
									{{0}, 8, ADDRESS_FORBIDDEN},         /* this host */
									{{224}, 3, ADDRESS_FORBIDDEN},       /* multicast, reserved, broadcast */
									{{127}, 8, ADDRESS_PRIVATE},         /* loopback */
									{{10}, 8, ADDRESS_PRIVATE},
									{{172, 16}, 12, ADDRESS_PRIVATE},
									{{192, 168}, 16, ADDRESS_PRIVATE},
									{{100, 64}, 10, ADDRESS_PRIVATE},  /* of carriers */
									{{198, 18}, 15, ADDRESS_PRIVATE}}; /* of laboratories */

static const Network networks6[] = {{{0}, 128, ADDRESS_FORBIDDEN},
									{{[15] = 1}, 128, ADDRESS_PRIVATE},                           /* loopback */
									{{0xfd, 0x00, 0x0e, 0xc2}, 32, ADDRESS_FORBIDDEN},            /* metadata of AWS */
									{{0xfd, 0x20, 0x00, 0xce}, 32, ADDRESS_FORBIDDEN},            /* of Google's cloud */
									{{0xfe, 0x80}, 10, ADDRESS_FORBIDDEN},                        /* link-local */
									{{0xff}, 8, ADDRESS_FORBIDDEN},                               /* multicast */
									{{0xfc}, 7, ADDRESS_PRIVATE},                                 /* unique local */
									{{0xfe, 0xc0}, 10, ADDRESS_PRIVATE},                          /* site-local, as it once was */
									{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, ADDRESS_PRIVATE}}; /* translation within a house */

/* Networks of IPv6 whose addresses carry one of IPv4, and at which byte. */
static const struct
{
	uint8_t bytes[16];
	int bits;
	int at;
} carriers[] = {{{[10] = 0xff, 0xff}, 96, 12}, {{0}, 96, 12}, {{0x00, 0x64, 0xff, 0x9b}, 96, 12}, {{0x20, 0x02}, 16, 2}};

static bool
is_within(const uint8_t *address, const uint8_t *network, int bits)
{
	int whole = bits / 8;
	int rest = bits % 8;

	return memcmp(address, network, (size_t) whole) == 0 && (rest == 0 || ((address[whole] ^ network[whole]) >> (8 - rest)) == 0);
}

static SmsflowAddressKind
find_kind(const uint8_t *address, const Network *networks, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_within(address, networks[i].bytes, networks[i].bits))
			return networks[i].kind;
	return ADDRESS_PUBLIC;
}

SmsflowAddressKind
smsflow_address_kind(const uint8_t *address, size_t length)
{
	SmsflowAddressKind kind;

	if (length == 4)
		return find_kind(address, networks4, sizeof(networks4) / sizeof(networks4[0]));
	if (length != 16)
		return ADDRESS_FORBIDDEN;
	kind = find_kind(address, networks6, sizeof(networks6) / sizeof(networks6[0]));
	for (size_t i = 0; kind == ADDRESS_PUBLIC && i < sizeof(carriers) / sizeof(carriers[0]); i++)
		if (is_within(address, carriers[i].bytes, carriers[i].bits))
			return smsflow_address_kind(address + carriers[i].at, 4);
	return kind;
}
