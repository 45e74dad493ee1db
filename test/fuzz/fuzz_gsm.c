/*
 * fuzz_gsm.c - parts of any text, against a slow second opinion that is written down apart from the tables, and what smart
 * encoding may do to it. Input: the text.
 */
#include "fuzz.h"
#include "gsm.h"

/* 3GPP TS 23.038, 6.2.1 and 6.2.1.1. */
static const char basic[] = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
							"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
static const char extension[] = "\f^{}\\[~]|€";

/* The bytes of the character at text, which is well formed. */
static size_t
character_size(const char *text)
{
	unsigned char c = (unsigned char) *text;

	return c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

static bool
is_one_of(const char *character, size_t size, const char *alphabet)
{
	for (; *alphabet != '\0'; alphabet += character_size(alphabet))
		if (character_size(alphabet) == size && memcmp(alphabet, character, size) == 0)
			return true;
	return false;
}

/* The units of a character, 0 when the encoding lacks it. */
static int
slow_units(const char *character, size_t size, SmsflowEncoding encoding)
{
	if (encoding == SMSFLOW_UCS2)
		return size == 4 ? 2 : 1;
	if (is_one_of(character, size, extension))
		return 2;
	return is_one_of(character, size, basic) ? 1 : 0;
}

/* Counts as a person would: take characters while they fit. False when the encoding lacks one of them. */
static bool
slow_count(const char *text, size_t len, SmsflowEncoding encoding, SmsflowParts *count)
{
	int part = encoding == SMSFLOW_GSM7 ? 153 : 67;
	int filled = 0;

	*count = (SmsflowParts){encoding, 0, len > 0};
	for (size_t i = 0; i < len; i += character_size(text + i))
	{
		int units = slow_units(text + i, character_size(text + i), encoding);

		if (units == 0)
			return false;
		count->units += units;
		if (filled + units > part)
		{
			count->parts++;
			filled = 0;
		}
		filled += units;
	}
	if (count->units <= (encoding == SMSFLOW_GSM7 ? 160 : 70))
		count->parts = len > 0;
	return true;
}

static void
check_second_opinion(const char *text, size_t len, const SmsflowParts *count)
{
	SmsflowParts slow;

	if (!slow_count(text, len, SMSFLOW_GSM7, &slow))
		REQUIRE(slow_count(text, len, SMSFLOW_UCS2, &slow));
	REQUIRE(slow.encoding == count->encoding && slow.units == count->units && slow.parts == count->parts);
}

static void
check_parts(const SmsflowParts *count, size_t len)
{
	int single = count->encoding == SMSFLOW_GSM7 ? 160 : 70;
	int each = count->encoding == SMSFLOW_GSM7 ? 153 : 67;

	REQUIRE(count->units >= 0 && (size_t) count->units <= 2 * len);
	REQUIRE((count->parts == 0) == (len == 0));
	REQUIRE((count->parts <= 1) == (count->units <= single));
	if (count->parts > 1)
	{
		/* A character of two units is not cut, so a part may have one unit less. */
		REQUIRE((int64_t) count->parts * each >= count->units);
		REQUIRE((int64_t) (count->parts - 1) * (each - 1) < count->units);
	}
}

static void
check_smart(const char *text, size_t len, const SmsflowParts *before)
{
	char *out = fuzz_buffer(len * 3 / 2);
	char *again = fuzz_buffer(len * 3);
	size_t out_len = smsflow_smart_encode(text, len, out, len * 3 / 2);
	SmsflowParts after;

	REQUIRE(out_len <= len * 3 / 2);
	REQUIRE(smsflow_smart_encode(text, len, NULL, 0) == out_len);
	REQUIRE(smsflow_message_parts(out, out_len, &after));
	REQUIRE(after.parts <= before->parts);
	if (before->encoding == SMSFLOW_GSM7 || after.encoding == SMSFLOW_UCS2)
		REQUIRE(out_len == len && memcmp(out, text, len) == 0);
	REQUIRE(smsflow_smart_encode(out, out_len, again, len * 3) == out_len && memcmp(again, out, out_len) == 0);
	free(out);
	free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_copy(data, size);
	SmsflowParts count;
	size_t offset = 0;
	uint32_t code_point = 0;
	bool odd = smsflow_first_non_gsm(text, size, &offset, &code_point);

	REQUIRE(!odd || offset < size);
	if (smsflow_message_parts(text, size, &count))
	{
		REQUIRE(odd == (count.encoding == SMSFLOW_UCS2));
		check_parts(&count, size);
		check_second_opinion(text, size, &count);
		check_smart(text, size, &count);
	}
	else
		REQUIRE(odd);
	free(text);
	return 0;
}
