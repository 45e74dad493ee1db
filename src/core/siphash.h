/*
 * siphash.h - SipHash-2-4, a keyed hash of short texts (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012):
 * who does not have the key cannot tell its values from random ones.
 *
 * Pure C11: no allocation, no I/O.
 */
#ifndef SMSFLOW_SIPHASH_H
#define SMSFLOW_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct SmsflowSipKey
{
	uint64_t low;
	uint64_t high;
} SmsflowSipKey;

/* The key of the first 16 of these bytes. */
extern SmsflowSipKey smsflow_sip_key(const unsigned char bytes[16]);

extern uint64_t smsflow_siphash(SmsflowSipKey key, const unsigned char *data, size_t len);

#endif /* SMSFLOW_SIPHASH_H */
