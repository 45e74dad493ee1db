/*
 * fuzz_phone.c - a number that was read is written, and reads back as the same number.
 *
 * Input: two bytes that may name a region, then the number. Its first eight bytes are also taken for a number in binary form,
 * as any client may send it.
 */
#include "fuzz.h"
#include "phone.h"

static void
check_any(int64_t phone)
{
	char		buf[SMSFLOW_PHONE_BUFSIZE];
	int			zones;

	REQUIRE(smsflow_phone_format(phone, buf) < SMSFLOW_PHONE_BUFSIZE);
	REQUIRE(smsflow_phone_mask(phone, buf) < SMSFLOW_PHONE_BUFSIZE);
	(void) smsflow_phone_kind(phone);
	(void) smsflow_phone_state(phone);
	REQUIRE((smsflow_phone_time_zones(phone, &zones) == NULL) == (zones == 0));
	if (smsflow_phone_valid(phone))
		REQUIRE(smsflow_phone_region(phone) != NULL || smsflow_phone_kind(phone) == PHONE_KIND_UNKNOWN);
}

static void
check_read(int64_t phone)
{
	char		text[SMSFLOW_PHONE_BUFSIZE];
	char		mask[SMSFLOW_PHONE_BUFSIZE];
	size_t		len = smsflow_phone_format(phone, text);
	size_t		hidden = 0;
	int64_t		again;

	REQUIRE(smsflow_phone_valid(phone));
	REQUIRE(len >= 8 && len == strlen(text));
	REQUIRE(smsflow_phone_parse(text, len, &again) == PHONE_OK && again == phone);
	REQUIRE(smsflow_phone_mask(phone, mask) == len);
	for (size_t i = 0; i < len; i++)
		hidden += mask[i] == '*';
	REQUIRE(hidden >= 4);
	check_any(phone);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char		region[3] = {0};
	char	   *text;
	int64_t		phone = 0;

	if (size < 2)
		return 0;
	memcpy(region, data, 2);
	size -= 2;
	text = fuzz_copy(data + 2, size);
	if (smsflow_phone_parse(text, size, &phone) == PHONE_OK)
		check_read(phone);
	if (smsflow_phone_parse_national(text, size, NULL, &phone) == PHONE_OK)
		check_read(phone);
	if (smsflow_phone_parse_national(text, size, region, &phone) == PHONE_OK)
	{
		check_read(phone);
		REQUIRE(smsflow_phone_possible(phone));
	}
	memcpy(&phone, text, size < sizeof(phone) ? size : sizeof(phone));
	check_any(phone);
	free(text);
	return 0;
}
