/*
 * siphash.c - see siphash.h. Two rounds per word of input and four at the end, as the paper recommends.
 */
#include "siphash.h"

typedef struct State
{
	uint64_t v[4];
} State;

static uint64_t
rotated(uint64_t word, int bits)
{
	return (word << bits) | (word >> (64 - bits));
}

static void
mix(State *s, int rounds)
{
	for (uint64_t *v = s->v; rounds > 0; rounds--)
	{
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotated(v[1], 13) ^ v[0];
		v[3] = rotated(v[3], 16) ^ v[2];
		v[0] = rotated(v[0], 32) + v[3];
		v[2] += v[1];
		v[3] = rotated(v[3], 21) ^ v[0];
		v[1] = rotated(v[1], 17) ^ v[2];
		v[2] = rotated(v[2], 32);
	}
}

static uint64_t
little_endian(const unsigned char *bytes, size_t count)
{
	uint64_t word = 0;

	for (size_t i = 0; i < count; i++)
		word |= (uint64_t) bytes[i] << (8 * i);
	return word;
}

static void
absorb(State *s, uint64_t word)
{
	s->v[3] ^= word;
	mix(s, 2);
	s->v[0] ^= word;
}

SmsflowSipKey
smsflow_sip_key(const unsigned char bytes[16])
{
	return (SmsflowSipKey){little_endian(bytes, 8), little_endian(bytes + 8, 8)};
}

uint64_t
smsflow_siphash(SmsflowSipKey key, const unsigned char *data, size_t len)
{
	/* "somepseudorandomlygeneratedbytes" */
	State s = {{key.low ^ UINT64_C(0x736f6d6570736575), key.high ^ UINT64_C(0x646f72616e646f6d),
				key.low ^ UINT64_C(0x6c7967656e657261), key.high ^ UINT64_C(0x7465646279746573)}};
	size_t whole = len - len % 8;

	for (size_t i = 0; i < whole; i += 8)
		absorb(&s, little_endian(data + i, 8));
	absorb(&s, little_endian(data + whole, len - whole) | (uint64_t) (len & 0xff) << 56);
	s.v[2] ^= 0xff;
	mix(&s, 4);
	return s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
}
