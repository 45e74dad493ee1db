/*
 * test_gsm.c - parts of messages: all vectors, a slow second opinion on random texts, and smart encoding.
 *
 * Usage: test_gsm [source folder]
 */
#include "gsm.h"
#include "vectors.h"

#define RANDOM_TEXTS 20000
#define MAX_CHARACTERS 500

/* xorshift64*, so that every run tests the same texts */
static uint64_t random_state = UINT64_C(88172645463325252);

static uint64_t
random_bits(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64_C(2685821657736338717);
}

static void
test_vectors(const char *root)
{
	Vectors vectors = vectors_open(root, "test/unit/data/vectors_gsm.csv");

	while (vectors_row(&vectors))
	{
		const char *name = vectors_field(&vectors, "name");
		char *text = vectors_field(&vectors, "text_json");
		size_t len = vectors_decode_json(text);
		bool is_gsm = strcmp(vectors_field(&vectors, "encoding"), "GSM-7") == 0;
		SmsflowParts parts;
		size_t offset;
		uint32_t c;

		if (!CHECK_ROW(smsflow_message_parts(text, len, &parts), name))
			continue;
		CHECK_ROW(parts.encoding == (is_gsm ? SMSFLOW_GSM7 : SMSFLOW_UCS2), name);
		CHECK_ROW(parts.units == atoi(vectors_field(&vectors, "units")), name);
		CHECK_ROW(parts.parts == atoi(vectors_field(&vectors, "parts")), name);
		CHECK_ROW(smsflow_first_non_gsm(text, len, &offset, &c) == !is_gsm, name);
	}
	CHECK_EQ(vectors.row_count, 57);
	vectors_close(&vectors);
}

/* Septets of the characters the random texts are made of, written down apart from the tables under test. */
typedef struct Sample
{
	const char *utf8;
	int septets;
	int utf16;
} Sample;

static const Sample samples[] = {{"a", 1, 1}, {"@", 1, 1}, {"\n", 1, 1}, {"é", 1, 1}, {"Ω", 1, 1}, {"Ç", 1, 1}, {"[", 2, 1},
								 {"€", 2, 1}, {"ç", 0, 1}, {"я", 0, 1},  {"’", 0, 1}, {"😀", 0, 2}, {"退", 0, 1}};

/* Cuts a text part by part as a person would: take characters while they fit. */
static int
count_parts_slowly(const int *units, int count, int single, int multi)
{
	int total = 0;
	int parts = 0;

	for (int i = 0; i < count; i++)
		total += units[i];
	if (total <= single)
		return total > 0;
	for (int i = 0; i < count; parts++)
	{
		int room = multi;

		while (i < count && units[i] <= room)
			room -= units[i++];
	}
	return parts;
}

static void
test_random_text(int kinds)
{
	char text[MAX_CHARACTERS * 4];
	size_t len = 0;
	int units[2][MAX_CHARACTERS];
	int total[2] = {0, 0};
	int count = (int) (random_bits() % MAX_CHARACTERS);
	bool is_gsm = true;
	int encoding;
	SmsflowParts parts;

	for (int i = 0; i < count; i++)
	{
		const Sample *sample = &samples[random_bits() % (uint64_t) kinds];

		memcpy(text + len, sample->utf8, strlen(sample->utf8));
		len += strlen(sample->utf8);
		is_gsm = is_gsm && sample->septets > 0;
		total[SMSFLOW_GSM7] += units[SMSFLOW_GSM7][i] = sample->septets;
		total[SMSFLOW_UCS2] += units[SMSFLOW_UCS2][i] = sample->utf16;
	}
	encoding = is_gsm ? SMSFLOW_GSM7 : SMSFLOW_UCS2;
	CHECK(smsflow_message_parts(text, len, &parts));
	CHECK_EQ(parts.encoding, encoding);
	CHECK_EQ(parts.units, total[encoding]);
	CHECK_EQ(parts.parts, count_parts_slowly(units[encoding], count, is_gsm ? 160 : 70, is_gsm ? 153 : 67));
}

static void
test_invalid_utf8(void)
{
	static const char *const invalid[] =
		{"\xC3", "\xE2\x82", "\x80",     "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
		 "\xFF", "a\xC3(",   "я\xE2\x82"};
	SmsflowParts parts;

	for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
		CHECK_ROW(!smsflow_message_parts(invalid[i], strlen(invalid[i]), &parts), invalid[i]);
}

static void
test_first_non_gsm(void)
{
	size_t offset = 99;
	uint32_t c = 0;

	CHECK(smsflow_first_non_gsm("10 € for ça", 14, &offset, &c));
	CHECK_EQ(offset, 11);
	CHECK_EQ(c, 0xE7);
	CHECK(smsflow_first_non_gsm("ab\xFF", 3, &offset, &c));
	CHECK_EQ(offset, 2);
	CHECK_EQ(c, 0xFFFD);
	CHECK(smsflow_first_non_gsm("\x1B", 1, &offset, &c));
	CHECK(smsflow_first_non_gsm("a\0b", 3, &offset, &c));
	CHECK_EQ(offset, 1);
}

static void
check_smart(const char *text, const char *expected)
{
	char out[200];
	size_t len = smsflow_smart_encode(text, strlen(text), out, sizeof(out));

	if (CHECK_ROW(len == strlen(expected), text))
		CHECK_ROW(memcmp(out, expected, len) == 0, text);
}

static void
test_smart_encoding(void)
{
	char out[4] = "---";

	check_smart("It’s “new” – 50 % off…", "It's \"new\" - 50 % off...");
	check_smart("plain [text] €", "plain [text] €");
	check_smart("１０\u00A0£\u200B", "10 £");
	check_smart("½ Ω ™", "1/2 Ω TM");
	check_smart("", "");
	/* One character without a replacement leaves everything as it was. */
	check_smart("It’s 😀", "It’s 😀");
	check_smart("“ça”", "“ça”");
	check_smart("e\u0301’", "e\u0301’");
	check_smart("’\xFF", "’\xFF");
	/* A buffer that is too small is left alone. */
	CHECK_EQ(smsflow_smart_encode("Wait…", 7, out, sizeof(out)), 7);
	CHECK(strcmp(out, "---") == 0);
}

/* Every look-alike becomes GSM-7 text of the promised length. */
static void
test_smart_map(const char *root)
{
	Vectors vectors = vectors_open(root, "src/core/data/smart_map.csv");

	while (vectors_row(&vectors))
	{
		const char *name = vectors_field(&vectors, "unicode");
		const char *expected = vectors_field(&vectors, "replacement");
		char text[4];
		char out[8];
		size_t len = vectors_put_utf8(strtoul(name + 2, NULL, 16), text);
		size_t written = smsflow_smart_encode(text, len, out, sizeof(out));
		SmsflowParts parts;

		CHECK_ROW(written <= len * 3 / 2, name);
		if (strcmp(vectors_field(&vectors, "action"), "keep") == 0)
		{
			CHECK_ROW(written == len && memcmp(out, text, len) == 0, name);
			continue;
		}
		CHECK_ROW(written == strlen(expected) && memcmp(out, expected, written) == 0, name);
		CHECK_ROW(smsflow_message_parts(out, written, &parts) && parts.encoding == SMSFLOW_GSM7, name);
	}
	CHECK(vectors.row_count > 200);
	vectors_close(&vectors);
}

int
main(int argc, char **argv)
{
	const char *root = argc > 1 ? argv[1] : ".";

	test_vectors(root);
	for (int i = 0; i < RANDOM_TEXTS; i++)
		test_random_text(i % 2 == 0 ? 8 : (int) (sizeof(samples) / sizeof(samples[0])));
	test_invalid_utf8();
	test_first_non_gsm();
	test_smart_encoding();
	test_smart_map(root);
	return unit_report();
}
