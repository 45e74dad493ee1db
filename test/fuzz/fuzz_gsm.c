/*
 * fuzz_gsm.c - parts of any text, and what smart encoding may do to it. Input: the text.
 */
#include "fuzz.h"
#include "gsm.h"

static void
check_parts(const SmsflowParts *count, size_t len)
{
	int			single = count->encoding == SMSFLOW_GSM7 ? 160 : 70;
	int			each = count->encoding == SMSFLOW_GSM7 ? 153 : 67;

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
	char	   *out = fuzz_buffer(len * 3 / 2);
	char	   *again = fuzz_buffer(len * 3);
	size_t		out_len = smsflow_smart_encode(text, len, out, len * 3 / 2);
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
	char	   *text = fuzz_copy(data, size);
	SmsflowParts count;
	size_t		offset = 0;
	uint32_t	code_point = 0;
	bool		odd = smsflow_first_non_gsm(text, size, &offset, &code_point);

	REQUIRE(!odd || offset < size);
	if (smsflow_message_parts(text, size, &count))
	{
		REQUIRE(odd == (count.encoding == SMSFLOW_UCS2));
		check_parts(&count, size);
		check_smart(text, size, &count);
	}
	else
		REQUIRE(odd);
	free(text);
	return 0;
}
