/*
 * shortcode.c - see shortcode.h.
 */
#include "shortcode.h"

#include <string.h>

static const char digits[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

#define RADIX 58
#define HALF_DIGITS (SMSFLOW_SHORTCODE_LENGTH / 2)
#define HALF_SIZE (UINT32_C(58) * 58 * 58 * 58)
#define ROUNDS 10

typedef struct Halves
{
	uint32_t left;
	uint32_t right;
} Halves;

static uint32_t
round_value(SmsflowSipKey key, int round, uint32_t half)
{
	unsigned char data[5] = {(unsigned char) round};

	for (int i = 0; i < 4; i++)
		data[1 + i] = (unsigned char) (half >> (8 * i));
	return (uint32_t) (smsflow_siphash(key, data, sizeof(data)) % HALF_SIZE);
}

static Halves
permute(SmsflowSipKey key, Halves h)
{
	for (int round = 0; round < ROUNDS; round++)
		h = (Halves){h.right, (h.left + round_value(key, round, h.right)) % HALF_SIZE};
	return h;
}

static Halves
restore(SmsflowSipKey key, Halves h)
{
	for (int round = ROUNDS - 1; round >= 0; round--)
		h = (Halves){(h.right + HALF_SIZE - round_value(key, round, h.left)) % HALF_SIZE, h.left};
	return h;
}

static void
write_half(uint32_t half, char *out)
{
	for (int i = HALF_DIGITS - 1; i >= 0; i--, half /= RADIX)
		out[i] = digits[half % RADIX];
}

static bool
read_half(const char *text, uint32_t *half)
{
	*half = 0;
	for (int i = 0; i < HALF_DIGITS; i++)
	{
		const char *digit = text[i] != '\0' ? strchr(digits, text[i]) : NULL;

		if (digit == NULL)
			return false;
		*half = *half * RADIX + (uint32_t) (digit - digits);
	}
	return true;
}

bool
smsflow_shortcode_write(SmsflowSipKey key, int64_t message_id, int number, char code[SMSFLOW_SHORTCODE_LENGTH])
{
	const uint64_t size = (uint64_t) HALF_SIZE * HALF_SIZE;
	uint64_t value;
	Halves h;

	if (message_id < 0 || (uint64_t) message_id >= size / SMSFLOW_SHORTCODE_LINKS || number < 1 ||
		number > SMSFLOW_SHORTCODE_LINKS)
		return false;
	value = (uint64_t) message_id * SMSFLOW_SHORTCODE_LINKS + (uint64_t) (number - 1);
	h = permute(key, (Halves){(uint32_t) (value / HALF_SIZE), (uint32_t) (value % HALF_SIZE)});
	write_half(h.left, code);
	write_half(h.right, code + HALF_DIGITS);
	return true;
}

bool
smsflow_shortcode_read(SmsflowSipKey key, const char *code, size_t len, int64_t *message_id, int *number)
{
	uint64_t value;
	Halves h;

	if (len != SMSFLOW_SHORTCODE_LENGTH || !read_half(code, &h.left) || !read_half(code + HALF_DIGITS, &h.right))
		return false;
	h = restore(key, h);
	value = (uint64_t) h.left * HALF_SIZE + h.right;
	*message_id = (int64_t) (value / SMSFLOW_SHORTCODE_LINKS);
	*number = (int) (value % SMSFLOW_SHORTCODE_LINKS) + 1;
	return true;
}
