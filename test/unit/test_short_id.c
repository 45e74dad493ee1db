/*
 * test_short_id.c - a short id is as it was, a long one is as long as may be, cut between characters, and another for each.
 */
#include "short_id.h"
#include "unit.h"

#include <string.h>

#define SIZE 40

/* Room for the end and no more: the sanitizer sees what is written behind it. */
static char out[SIZE];

static void
test_as_it_is(void)
{
	char id[SIZE];

	memset(id, 'x', sizeof(id));
	CHECK_EQ(smsflow_short_id("", 0, out, SIZE), 0);
	CHECK_EQ(strlen(out), 0);
	CHECK_EQ(smsflow_short_id("gw-1", 4, out, SIZE), 4);
	CHECK(strcmp(out, "gw-1") == 0);
	CHECK_EQ(smsflow_short_id(id, SIZE - 1, out, SIZE), SIZE - 1);
	CHECK(memcmp(out, id, SIZE - 1) == 0 && out[SIZE - 1] == '\0');
}

static void
test_shortened(void)
{
	char id[4000];
	char first[SIZE];

	memset(id, 'x', sizeof(id));
	CHECK_EQ(smsflow_short_id(id, SIZE, out, SIZE), SIZE - 1);
	CHECK(memcmp(out, id, SIZE - 1 - 17) == 0 && out[SIZE - 1 - 17] == '#');
	CHECK_EQ(strlen(out), SIZE - 1);

	/* The same, one of another end, and one of another length. */
	smsflow_short_id(id, sizeof(id), first, SIZE);
	smsflow_short_id(id, sizeof(id), out, SIZE);
	CHECK(strcmp(first, out) == 0);
	id[sizeof(id) - 1] = 'y';
	smsflow_short_id(id, sizeof(id), out, SIZE);
	CHECK(strcmp(first, out) != 0);
	smsflow_short_id(id, sizeof(id) - 1, out, SIZE);
	CHECK(strcmp(first, out) != 0);
}

/* Characters of two to four bytes at each place. */
static void
test_characters(void)
{
	static const char *const characters[] = {"é", "한", "😀"};

	for (size_t c = 0; c < 3; c++)
		for (size_t shift = 0; shift < 5; shift++)
		{
			size_t width = strlen(characters[c]);
			char id[200];
			size_t len = shift;

			memset(id, 'a', shift);
			for (; len + width <= sizeof(id); len += width)
				memcpy(id + len, characters[c], width);
			len = smsflow_short_id(id, len, out, SIZE);
			CHECK_EQ(strlen(out), len);
			CHECK_EQ((len - 17 - shift) % width, 0);
			CHECK(len > SIZE - 1 - width && len < SIZE);
			CHECK(memcmp(out, id, len - 17) == 0);
		}
}

/* What is no UTF-8 is cut somewhere. */
static void
test_bytes(void)
{
	char bytes[100];

	memset(bytes, 0x80, sizeof(bytes));
	CHECK_EQ(smsflow_short_id(bytes, sizeof(bytes), out, SIZE), 17);
}

int
main(void)
{
	test_as_it_is();
	test_shortened();
	test_characters();
	test_bytes();
	return unit_report();
}
