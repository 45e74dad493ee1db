/*
 * utf8.h: strict UTF-8 decoding, one code point at a time.
 *
 * Inline and without state, because counting the parts of a message runs over every byte of every message.
 */
#ifndef SMSFLOW_CORE_UTF8_H
#define SMSFLOW_CORE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/*
 * Decodes the code point at text, of which len bytes (at least one) are readable. Returns the number of bytes it takes, or 0
 * when they are not well-formed UTF-8: truncated, overlong, a surrogate, or above U+10FFFF (RFC 3629).
 */
static inline int
smsflow_utf8_decode(const char *text, size_t len, uint32_t *code_point)
{
	static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *byte = (const unsigned char *) text;
	int size;

	if (byte[0] < 0x80)
	{
		*code_point = byte[0];
		return 1;
	}
	if (byte[0] < 0xC2 || byte[0] > 0xF4)
		return 0;
	size = byte[0] < 0xE0 ? 2 : byte[0] < 0xF0 ? 3 : 4;
	if (len < (size_t) size)
		return 0;
	*code_point = byte[0] & (0x7Fu >> size);
	for (int i = 1; i < size; i++)
	{
		if ((byte[i] & 0xC0) != 0x80)
			return 0;
		*code_point = *code_point << 6 | (byte[i] & 0x3F);
	}
	if (*code_point < smallest[size] || *code_point > 0x10FFFF || (*code_point >= 0xD800 && *code_point <= 0xDFFF))
		return 0;
	return size;
}

#endif
