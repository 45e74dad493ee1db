/*
 * test_shortcode.c - a code reads back as its link, two links never share one, and codes of neighbours have nothing in
 * common.
 */
#include "shortcode.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define LINKS 200000

static SmsflowSipKey
key_of(unsigned char first)
{
	unsigned char bytes[16];

	for (int i = 0; i < 16; i++)
		bytes[i] = (unsigned char) (first + i);
	return smsflow_sip_key(bytes);
}

/* The vector of the paper, appendix A: key 00 to 0f, text 00 to 0e. */
static void
test_siphash(void)
{
	unsigned char text[15];

	for (int i = 0; i < 15; i++)
		text[i] = (unsigned char) i;
	CHECK(smsflow_siphash(key_of(0), text, sizeof(text)) == UINT64_C(0xa129ca6149be45e5));
}

static void
check_round_trip(SmsflowSipKey key, int64_t message_id, int number)
{
	char code[SMSFLOW_SHORTCODE_LENGTH];
	int64_t read_id = -1;
	int read_number = -1;

	CHECK(smsflow_shortcode_write(key, message_id, number, code));
	CHECK(smsflow_shortcode_read(key, code, sizeof(code), &read_id, &read_number));
	CHECK_EQ(read_id, message_id);
	CHECK_EQ(read_number, number);
}

static void
test_range(void)
{
	const int64_t ids = INT64_C(58) * 58 * 58 * 58 * 58 * 58 * 58 * 58 / SMSFLOW_SHORTCODE_LINKS;
	char code[SMSFLOW_SHORTCODE_LENGTH];

	for (int number = 1; number <= SMSFLOW_SHORTCODE_LINKS; number++)
	{
		check_round_trip(key_of(1), 0, number);
		check_round_trip(key_of(1), 1, number);
		check_round_trip(key_of(2), ids - 1, number);
	}
	CHECK(!smsflow_shortcode_write(key_of(1), ids, 1, code));
	CHECK(!smsflow_shortcode_write(key_of(1), -1, 1, code));
	CHECK(!smsflow_shortcode_write(key_of(1), 1, 0, code));
	CHECK(!smsflow_shortcode_write(key_of(1), 1, SMSFLOW_SHORTCODE_LINKS + 1, code));
}

static void
test_strangers(void)
{
	int64_t id;
	int number;

	CHECK(!smsflow_shortcode_read(key_of(1), "AbCdEfG", 7, &id, &number));
	CHECK(!smsflow_shortcode_read(key_of(1), "AbCdEfGhi", 9, &id, &number));
	CHECK(!smsflow_shortcode_read(key_of(1), "AbCdEfG0", 8, &id, &number));
	CHECK(!smsflow_shortcode_read(key_of(1), "AbCd\0fGh", 8, &id, &number));
	CHECK(!smsflow_shortcode_read(key_of(1), "callback", 8, &id, &number));
	CHECK(smsflow_shortcode_read(key_of(1), "AbCdEfGh", 8, &id, &number));
}

static int
compare_codes(const void *a, const void *b)
{
	return memcmp(a, b, SMSFLOW_SHORTCODE_LENGTH);
}

/* Neighbours agree at a place as often as chance has it: once in 58. */
static void
test_scattered(void)
{
	char(*codes)[SMSFLOW_SHORTCODE_LENGTH] = malloc(LINKS * sizeof(*codes));
	int equal[SMSFLOW_SHORTCODE_LENGTH] = {0};
	int repeated = 0;

	for (int i = 0; i < LINKS; i++)
		CHECK(smsflow_shortcode_write(key_of(3), i, 1, codes[i]));
	for (int i = 1; i < LINKS; i++)
		for (int place = 0; place < SMSFLOW_SHORTCODE_LENGTH; place++)
			equal[place] += codes[i][place] == codes[i - 1][place];
	for (int place = 0; place < SMSFLOW_SHORTCODE_LENGTH; place++)
		CHECK(equal[place] > LINKS / 58 * 9 / 10 && equal[place] < LINKS / 58 * 11 / 10);
	qsort(codes, LINKS, sizeof(*codes), compare_codes);
	for (int i = 1; i < LINKS; i++)
		repeated += memcmp(codes[i], codes[i - 1], SMSFLOW_SHORTCODE_LENGTH) == 0;
	CHECK_EQ(repeated, 0);
	free(codes);
}

static void
test_keys(void)
{
	char one[SMSFLOW_SHORTCODE_LENGTH];
	char other[SMSFLOW_SHORTCODE_LENGTH];

	CHECK(smsflow_shortcode_write(key_of(1), 7, 1, one));
	CHECK(smsflow_shortcode_write(key_of(2), 7, 1, other));
	CHECK(memcmp(one, other, sizeof(one)) != 0);
}

int
main(void)
{
	test_siphash();
	test_range();
	test_strangers();
	test_scattered();
	test_keys();
	return unit_report();
}
