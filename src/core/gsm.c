/*
 * gsm.c: encoding, length and number of parts of a message.
 *
 * One table, indexed by code point, tells how many septets a character takes. A text is measured once for both encodings;
 * only a text of several parts that has characters of two units is walked again to place the cuts.
 */
#include "gsm.h"
#include "utf8.h"

#include <limits.h>
#include <string.h>

/* Septets by code point, 0 for characters that are not in the alphabet; the euro sign is the last one that is. */
static const uint8_t gsm_septets[0x20AC + 1] = {
#include "generated/gsm_septets.inc"
};

typedef struct Lookalike
{
	uint16_t code_point;
	char replacement[4];
} Lookalike;

static const Lookalike lookalikes[] = {
#include "generated/gsm_lookalikes.inc"
};

typedef struct Capacity
{
	int single;
	int part;
} Capacity;

/* 140 octets, less six of a concatenation header in each part (3GPP TS 23.040, 9.2.3.24.1). */
static const Capacity capacities[] = {[SMSFLOW_GSM7] = {160, 153}, [SMSFLOW_UCS2] = {70, 67}};

/* Units of one character in each encoding, indexed by SmsflowEncoding; 0 where the encoding lacks it. */
static int
units_of(uint32_t c, SmsflowEncoding encoding)
{
	if (encoding == SMSFLOW_UCS2)
		return c > 0xFFFF ? 2 : 1;
	return c < sizeof(gsm_septets) ? gsm_septets[c] : 0;
}

/* The length of the longest prefix that is GSM-7, and its septets. */
static size_t
measure_gsm(const char *utf8, size_t len, int *septets)
{
	size_t i = 0;
	int total = 0;

	while (i < len)
	{
		uint32_t c;
		int size = smsflow_utf8_decode(utf8 + i, len - i, &c);
		int units = size > 0 ? units_of(c, SMSFLOW_GSM7) : 0;

		if (units == 0)
			break;
		total += units;
		i += (size_t) size;
	}
	*septets = total;
	return i;
}

/* False when text is not UTF-8. */
static bool
measure_ucs2(const char *utf8, size_t len, int *units)
{
	int total = 0;

	for (size_t i = 0; i < len;)
	{
		uint32_t c;
		int size = smsflow_utf8_decode(utf8 + i, len - i, &c);

		if (size == 0)
			return false;
		total += units_of(c, SMSFLOW_UCS2);
		i += (size_t) size;
	}
	*units = total;
	return true;
}

/* Fills parts one after the other with the characters of valid text. */
static int
fill_parts(const char *utf8, size_t len, SmsflowEncoding encoding)
{
	int capacity = capacities[encoding].part;
	int filled = 0;
	int parts = 1;

	for (size_t i = 0; i < len;)
	{
		uint32_t c = 0;
		int size = smsflow_utf8_decode(utf8 + i, len - i, &c);
		int units = units_of(c, encoding);

		filled += units;
		if (filled > capacity)
		{
			parts++;
			filled = units;
		}
		i += (size_t) size;
	}
	return parts;
}

bool
smsflow_message_parts(const char *utf8, size_t len, SmsflowParts *out)
{
	/* A character of UTF-8 takes at most two units a byte, so that the count cannot overflow. */
	if (len > INT_MAX / 2)
		return false;
	out->encoding = SMSFLOW_GSM7;
	if (measure_gsm(utf8, len, &out->units) < len)
	{
		out->encoding = SMSFLOW_UCS2;
		if (!measure_ucs2(utf8, len, &out->units))
			return false;
	}
	if (out->units <= capacities[out->encoding].single)
		out->parts = out->units > 0;
	else
		out->parts = fill_parts(utf8, len, out->encoding);
	return true;
}

bool
smsflow_first_non_gsm(const char *utf8, size_t len, size_t *offset, uint32_t *code_point)
{
	int septets;

	*offset = measure_gsm(utf8, len, &septets);
	if (*offset == len)
		return false;
	if (smsflow_utf8_decode(utf8 + *offset, len - *offset, code_point) == 0)
		*code_point = 0xFFFD;
	return true;
}

/* What a character is replaced by, or NULL. */
static const char *
find_lookalike(uint32_t c)
{
	size_t low = 0;
	size_t high = sizeof(lookalikes) / sizeof(lookalikes[0]);

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;

		if (lookalikes[middle].code_point == c)
			return lookalikes[middle].replacement;
		if (lookalikes[middle].code_point < c)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* Writes the replaced text to out, unless it is NULL. Returns its length, or SIZE_MAX when the text cannot become GSM-7. */
static size_t
replace_lookalikes(const char *utf8, size_t len, char *out)
{
	size_t written = 0;

	for (size_t i = 0; i < len;)
	{
		uint32_t c;
		int size = smsflow_utf8_decode(utf8 + i, len - i, &c);
		const char *piece = utf8 + i;
		size_t piece_size = (size_t) size;

		if (size == 0)
			return SIZE_MAX;
		if (units_of(c, SMSFLOW_GSM7) == 0)
		{
			piece = find_lookalike(c);
			if (piece == NULL)
				return SIZE_MAX;
			piece_size = strlen(piece);
		}
		if (out != NULL)
			memcpy(out + written, piece, piece_size);
		written += piece_size;
		i += (size_t) size;
	}
	return written;
}

size_t
smsflow_smart_encode(const char *utf8, size_t len, char *out, size_t outsize)
{
	size_t needed = replace_lookalikes(utf8, len, NULL);

	if (needed == SIZE_MAX)
	{
		if (len <= outsize && len > 0)
			memcpy(out, utf8, len);
		return len;
	}
	if (needed <= outsize)
		replace_lookalikes(utf8, len, out);
	return needed;
}
