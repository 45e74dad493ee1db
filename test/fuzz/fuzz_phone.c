/*
 * fuzz_phone.c - a number that was read is written, and reads back as the same number.
 *
 * Text and binary form agree about what is a number, separators change nothing, and reading with a region changes nothing
 * about an international number.
 *
 * Input: two bytes that may name a region, then the number. Its first eight bytes are also taken for a number in binary form,
 * as any client may send it.
 */
#include "fuzz.h"
#include "phone.h"

static void
check_any(int64_t phone)
{
	char buf[SMSFLOW_PHONE_BUFSIZE];
	int zones;
	int64_t again = 0;

	REQUIRE(smsflow_phone_format(phone, buf) < SMSFLOW_PHONE_BUFSIZE);
	REQUIRE(smsflow_phone_mask(phone, buf) < SMSFLOW_PHONE_BUFSIZE);
	(void) smsflow_phone_kind(phone);
	(void) smsflow_phone_state(phone);
	REQUIRE((smsflow_phone_time_zones(phone, &zones) == NULL) == (zones == 0));
	if (smsflow_phone_format(phone, buf) > 0)
		REQUIRE((smsflow_phone_parse(buf, strlen(buf), &again) == PHONE_OK) == smsflow_phone_valid(phone));
	REQUIRE(!smsflow_phone_valid(phone) || again == phone);
	if (smsflow_phone_valid(phone))
		REQUIRE(smsflow_phone_region(phone) != NULL || smsflow_phone_kind(phone) == PHONE_KIND_UNKNOWN);
}

/* As people write it: a separator between any two digits, full-width digits among the others. */
static void
check_decorated(int64_t phone, const char *text)
{
	static const char *const separators[] = {" ", "-", ".", "/", "\xc2\xa0", "\xe2\x80\x91", "\xe2\x80\x8b", ""};
	char decorated[SMSFLOW_PHONE_BUFSIZE * 6];
	size_t len = 0;
	int64_t again = 0;

	for (size_t i = 0; text[i] != '\0'; i++)
	{
		bool wide = i > 0 && (phone >> i & 1) != 0;
		const char *separator = separators[(phone >> (2 * i)) & 7];

		if (wide)
			len += (size_t) sprintf(decorated + len, "\xef\xbc%c", 0x90 + (text[i] - '0'));
		else
			decorated[len++] = text[i];
		len += (size_t) sprintf(decorated + len, "%s", separator);
	}
	REQUIRE(smsflow_phone_parse(decorated, len, &again) == PHONE_OK && again == phone);
}

/*
 * An international number means the same wherever it is read. It may mean another than in the type's own text form, which
 * keeps a trunk prefix after the calling code: people write one there by mistake.
 */
static void
check_anywhere(const char *text, size_t len)
{
	static const char *const regions[] = {"US", "FR", "GB", "IT", "BR", "JP"};
	int64_t phone = 0;
	SmsflowPhoneError error = smsflow_phone_parse_national(text, len, NULL, &phone);

	REQUIRE(error == PHONE_OK || error == PHONE_TOO_SHORT || error == PHONE_TOO_LONG);
	REQUIRE(error != PHONE_OK || smsflow_phone_possible(phone));
	for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++)
	{
		int64_t again = 0;

		REQUIRE(smsflow_phone_parse_national(text, len, regions[i], &again) == error);
		REQUIRE(again == phone);
	}
}

static void
check_read(int64_t phone)
{
	char text[SMSFLOW_PHONE_BUFSIZE];
	char mask[SMSFLOW_PHONE_BUFSIZE];
	size_t len = smsflow_phone_format(phone, text);
	size_t hidden = 0;
	int64_t again;

	REQUIRE(smsflow_phone_valid(phone));
	REQUIRE(len >= 8 && len == strlen(text));
	REQUIRE(smsflow_phone_parse(text, len, &again) == PHONE_OK && again == phone);
	check_decorated(phone, text);
	check_anywhere(text, len);
	REQUIRE(smsflow_phone_mask(phone, mask) == len);
	for (size_t i = 0; i < len; i++)
		hidden += mask[i] == '*';
	REQUIRE(hidden >= 4);
	check_any(phone);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char region[3] = {0};
	char *text;
	int64_t phone = 0;

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
