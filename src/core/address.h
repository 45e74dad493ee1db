/*
 * address.h - what kind of place an IP address leads to: whoever may choose the URL of a gateway, or answers for its name,
 * must not make the database talk to what stands behind the firewall (server-side request forgery).
 *
 * Networks are those of IANA's special-purpose registries (RFC 6890 and its updates), and the addresses at which clouds hand
 * out credentials. An IPv6 address that only carries an IPv4 one (RFC 4291, 6052, 3056) is of the kind of that.
 *
 * Pure C11: no allocation, no I/O.
 */
#ifndef SMSFLOW_ADDRESS_H
#define SMSFLOW_ADDRESS_H

#include <stddef.h>
#include <stdint.h>

typedef enum SmsflowAddressKind
{
	ADDRESS_PUBLIC,
	ADDRESS_PRIVATE,  /* loopback, and networks of a house or a carrier */
	ADDRESS_FORBIDDEN /* link-local, metadata of a cloud, multicast, or no address at all */
} SmsflowAddressKind;

/* The address as the network has it: 4 or 16 bytes; of any other length it is forbidden. */
extern SmsflowAddressKind smsflow_address_kind(const uint8_t *address, size_t length);

#endif
