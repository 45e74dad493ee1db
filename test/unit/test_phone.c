/*
 * test_phone.c - telephone numbers: all vectors, every numbering plan, every area code, and round trips.
 *
 * Usage: test_phone [source folder]
 */
#include "phone.h"
#include "pattern.h"
#include "region.h"
#include "vectors.h"

#define ROUND_TRIPS 100000

/* xorshift64*, so that every run tests the same numbers */
static uint64_t random_state = UINT64_C(88172645463325252);

static uint64_t
random_bits(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64_C(2685821657736338717);
}

/* Rows whose kind or text the numbering plans in regions.csv cannot decide, or that smsflow answers differently by design. */
typedef struct Exception
{
	const char *input_json;
	const char *why;
} Exception;

static const Exception kind_exceptions[] =
	{{"\"+7 710 009 9998\"", "fixed ranges are not in the data: unassigned numbers outside the mobile ranges count as fixed"},
	 {"\"+52 222 123 4567\"", "the data mark shared ranges only where both patterns are equal: Mexican numbers count as mobile"},
	 {"\"\\u0660\\u0661\\u0662\\u0663\\u0664\\u0665\\u0666\\u0667\\u0668\\u0669\"", "unassigned, counts as fixed, as above"}};

static const Exception refused_by_design[] = {{"\"1-800-FLOWERS\"", "letters are refused rather than guessed"}};

static bool
is_exception(const Exception *list, size_t count, const char *input_json)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i].input_json, input_json) == 0)
			return true;
	return false;
}

#define IS_EXCEPTION(list, row) is_exception(list, sizeof(list) / sizeof((list)[0]), (row))

static bool
formats_as(int64_t phone, const char *expected)
{
	char text[SMSFLOW_PHONE_BUFSIZE];

	return smsflow_phone_format(phone, text) == strlen(expected) && strcmp(text, expected) == 0;
}

static bool
has_region(int64_t phone, const char *expected)
{
	const char *region = smsflow_phone_region(phone);

	return expected[0] == '\0' ? region == NULL : region != NULL && strcmp(region, expected) == 0;
}

/* The data know mobile ranges only, so services (toll-free, premium, VoIP) and unassigned numbers must not be mobile. */
static bool
has_kind(int64_t phone, const char *type)
{
	SmsflowPhoneKind kind = smsflow_phone_kind(phone);

	if (strcmp(type, "MOBILE") == 0)
		return kind == PHONE_KIND_MOBILE;
	if (strcmp(type, "FIXED_LINE_OR_MOBILE") == 0)
		return kind == PHONE_KIND_FIXED_OR_MOBILE;
	if (strcmp(type, "FIXED_LINE") == 0)
		return kind == PHONE_KIND_FIXED;
	return kind == PHONE_KIND_UNKNOWN;
}

/* A number of a length its plan does not have is refused, and is not possible if it comes in as a typed value. */
static void
check_impossible(SmsflowPhoneError error, const char *possible, const char *e164, const char *row)
{
	int64_t phone;

	CHECK_ROW(error == (strcmp(possible, "TOO_LONG") == 0 ? PHONE_TOO_LONG : PHONE_TOO_SHORT), row);
	if (smsflow_phone_parse(e164, strlen(e164), &phone) == PHONE_OK)
	{
		CHECK_ROW(formats_as(phone, e164), row);
		CHECK_ROW(!smsflow_phone_possible(phone), row);
	}
}

static void
check_possible(int64_t phone, const Vectors *vectors, const char *row)
{
	const char *e164 = vectors_field(vectors, "e164");
	int64_t same = 0;

	CHECK_ROW(formats_as(phone, e164), row);
	CHECK_ROW(smsflow_phone_parse(e164, strlen(e164), &same) == PHONE_OK && same == phone, row);
	CHECK_ROW(has_region(phone, vectors_field(vectors, "region")), row);
	CHECK_ROW(smsflow_phone_possible(phone), row);
	if (!IS_EXCEPTION(kind_exceptions, row))
		CHECK_ROW(has_kind(phone, vectors_field(vectors, "type")), row);
}

static void
check_vector(const Vectors *vectors)
{
	char *input = vectors_field(vectors, "input_json");
	const char *region = vectors_field(vectors, "default_region");
	const char *e164 = vectors_field(vectors, "e164");
	const char *possible = vectors_field(vectors, "possible");
	char row[200];
	size_t len;
	int64_t phone = 0;
	SmsflowPhoneError error;

	snprintf(row, sizeof(row), "%s", input);
	len = vectors_decode_json(input);
	error = smsflow_phone_parse_national(input, len, region[0] != '\0' ? region : NULL, &phone);
	if (e164[0] == '\0' || IS_EXCEPTION(refused_by_design, row))
		CHECK_ROW(error != PHONE_OK, row);
	else if (strcmp(possible, "IS_POSSIBLE") != 0)
		check_impossible(error, possible, e164, row);
	else if (CHECK_ROW(error == PHONE_OK, row))
		check_possible(phone, vectors, row);
}

static void
test_vectors(const char *root)
{
	Vectors vectors = vectors_open(root, "test/unit/data/vectors_e164.csv");

	while (vectors_row(&vectors))
		check_vector(&vectors);
	CHECK_EQ(vectors.row_count, 79);
	vectors_close(&vectors);
}

/* The example of every plan is read in its region, with and without the calling code, and is mobile. */
static void
check_plan(const Vectors *vectors)
{
	const char *region = vectors_field(vectors, "region");
	const char *example = vectors_field(vectors, "mobile_example");
	char international[40];
	int64_t phone = 0;
	SmsflowPhoneKind kind;

	snprintf(international, sizeof(international), "+%s%s", vectors_field(vectors, "calling_code"), example);
	CHECK_ROW(smsflow_phone_parse_national(international, strlen(international), NULL, &phone) == PHONE_OK, international);
	CHECK_ROW(formats_as(phone, international), international);
	kind = smsflow_phone_kind(phone);
	CHECK_ROW(kind == PHONE_KIND_MOBILE || kind == PHONE_KIND_FIXED_OR_MOBILE, international);
	CHECK_ROW(smsflow_phone_region(phone) != NULL, international);
	if (region[0] == '0')
		return;
	phone = 0;
	CHECK_ROW(smsflow_phone_parse_national(example, strlen(example), region, &phone) == PHONE_OK, international);
	CHECK_ROW(formats_as(phone, international), international);
}

static void
test_plans(const char *root)
{
	Vectors vectors = vectors_open(root, "src/core/data/regions.csv");

	while (vectors_row(&vectors))
		if (vectors_field(&vectors, "mobile_example")[0] != '\0')
			check_plan(&vectors);
	CHECK_EQ(vectors.row_count, 254);
	vectors_close(&vectors);
}

/* Joins the time zones as the data file writes them. */
static bool
has_zones(int64_t phone, const char *expected)
{
	char joined[200] = "";
	int count;
	const char *const *zones = smsflow_phone_time_zones(phone, &count);

	for (int i = 0; i < count; i++)
	{
		strcat(joined, i > 0 ? "&" : "");
		strcat(joined, zones[i]);
	}
	return strcmp(joined, expected) == 0;
}

static void
test_areas(const char *root)
{
	Vectors vectors = vectors_open(root, "src/core/data/nanp_tz.csv");

	while (vectors_row(&vectors))
	{
		const char *area = vectors_field(&vectors, "npa");
		const char *region = vectors_field(&vectors, "region");
		int64_t phone = 10000000000 + atoll(area) * 10000000 + 2345678;
		const char *state = smsflow_phone_state(phone);
		char country[3] = {region[0], region[1], '\0'};

		CHECK_ROW(has_region(phone, country), area);
		CHECK_ROW(has_zones(phone, vectors_field(&vectors, "zones")), area);
		if (strlen(region) == strlen("US-NJ"))
			CHECK_ROW(state != NULL && strcmp(state, region) == 0, area);
		else
			CHECK_ROW(state == NULL, area);
	}
	CHECK_EQ(vectors.row_count, 441);
	vectors_close(&vectors);
}

/* Any 7 to 15 digits after an assigned calling code survive unchanged, however they are punctuated. */
static void
test_round_trips(void)
{
	static const char *const codes[] = {"1", "7", "20", "44", "39", "49", "852", "971", "883", "998"};
	static const char *const separators[] = {"", "", "", " ", "-", ".", "\u00A0", " (", ") ", "/", "\u200E", "\u2011"};

	for (int i = 0; i < ROUND_TRIPS; i++)
	{
		const char *code = codes[random_bits() % (sizeof(codes) / sizeof(codes[0]))];
		int count = 7 + (int) (random_bits() % 9);
		char plain[SMSFLOW_PHONE_BUFSIZE] = "+";
		char dressed[100];
		int64_t phone = 0;
		int64_t again = 0;
		size_t len;

		strcat(plain, code);
		for (int at = (int) strlen(code) + 1; at <= count; at++)
			plain[at] = (char) ('0' + random_bits() % 10);
		CHECK(smsflow_phone_parse(plain, strlen(plain), &phone) == PHONE_OK);
		CHECK(formats_as(phone, plain));
		CHECK(smsflow_phone_valid(phone));
		len = 0;
		for (const char *p = plain; *p != '\0'; p++)
			len += (size_t) sprintf(dressed + len, "%c%s", *p,
									separators[random_bits() % (sizeof(separators) / sizeof(separators[0]))]);
		if (strstr(dressed, "(0)") == NULL)
			CHECK(smsflow_phone_parse(dressed, len, &again) == PHONE_OK && again == phone);
	}
}

typedef struct Case
{
	const char *text;
	const char *region;
	SmsflowPhoneError error;
	const char *expected;
} Case;

/* The type's input: region "-" marks smsflow_phone_parse(). */
static const Case cases[] = {{"+14155552671", "-", PHONE_OK, "+14155552671"},
							 {"  +1 (415) 555-2671 ", "-", PHONE_OK, "+14155552671"},
							 {"+44 (0)7400 123456", "-", PHONE_OK, "+447400123456"},
							 {"+39 (0)6 6981 2345", "-", PHONE_OK, "+390669812345"},
							 {"+521", "-", PHONE_TOO_SHORT, ""},
							 {"", "-", PHONE_EMPTY, ""},
							 {" - ", "-", PHONE_EMPTY, ""},
							 {"+", "-", PHONE_EMPTY, ""},
							 {"14155552671", "-", PHONE_NO_COUNTRY, ""},
							 {"+04155552671", "-", PHONE_UNKNOWN_COUNTRY, ""},
							 {"+0", "-", PHONE_UNKNOWN_COUNTRY, ""},
							 {"+999123456789", "-", PHONE_UNKNOWN_COUNTRY, ""},
							 {"+1234567890123456", "-", PHONE_TOO_LONG, ""},
							 {"+11111111111111111111111111111111111111111", "-", PHONE_TOO_LONG, ""},
							 {"+1415555CALL", "-", PHONE_HAS_LETTERS, ""},
							 {"+1415+5552671", "-", PHONE_BAD_CHARACTER, ""},
							 {"++14155552671", "-", PHONE_BAD_CHARACTER, ""},
							 {"+1415555_2671", "-", PHONE_BAD_CHARACTER, ""},
							 {"+1415555\xC3", "-", PHONE_BAD_CHARACTER, ""},
							 {"+1415555\xE9", "-", PHONE_BAD_CHARACTER, ""},
							 {"+14155552671 ext. 89", "-", PHONE_HAS_LETTERS, ""},
							 {"4155552671", NULL, PHONE_NO_COUNTRY, ""},
							 {"4155552671", "XX", PHONE_UNKNOWN_REGION, ""},
							 {"4155552671", "", PHONE_UNKNOWN_REGION, ""},
							 {"4155552671", "USA", PHONE_UNKNOWN_REGION, ""},
							 {"4155552671", "us", PHONE_OK, "+14155552671"},
							 {"447400123456", "GB", PHONE_OK, "+447400123456"},
							 {"0044 (0)7400 123456", "FR", PHONE_OK, "+447400123456"},
							 {"00 0612345678", "FR", PHONE_TOO_LONG, ""},
							 {"00 999 123456", "FR", PHONE_UNKNOWN_COUNTRY, ""},
							 {"0015 1 415 555 2671", "BR", PHONE_OK, "+14155552671"},
							 {"(415) 555-2671 x89", "US", PHONE_OK, "+14155552671"},
							 {"415-555-2671 #5", "US", PHONE_OK, "+14155552671"},
							 {"415-555-2671 extra", "US", PHONE_HAS_LETTERS, ""},
							 {"tel:4155552671;ext=5", "US", PHONE_OK, "+14155552671"},
							 {"tel:", "US", PHONE_EMPTY, ""},
							 {"4641234", "AG", PHONE_OK, "+12684641234"},
							 {"8 029 491 1911", "BY", PHONE_OK, "+375294911911"},
							 {"06 20 123 4567", "HU", PHONE_OK, "+36201234567"},
							 {"0 15 11 96123-4567", "BR", PHONE_OK, "+5511961234567"},
							 {"02 9491 1911 234", "AU", PHONE_OK, "+61294911911234"},
							 {"+49 1101", NULL, PHONE_TOO_SHORT, ""},
							 {"604 555 0199", "CA", PHONE_OK, "+16045550199"},
							 {"555 0199", "CA", PHONE_TOO_SHORT, ""},
							 {"123456789012345678", "ID", PHONE_TOO_LONG, ""},
							 {"12345678901234567", "ID", PHONE_TOO_LONG, ""}};

static void
test_cases(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const Case *c = &cases[i];
		int64_t phone = 0;
		SmsflowPhoneError error;

		if (c->region != NULL && strcmp(c->region, "-") == 0)
			error = smsflow_phone_parse(c->text, strlen(c->text), &phone);
		else
			error = smsflow_phone_parse_national(c->text, strlen(c->text), c->region, &phone);
		if (CHECK_ROW(error == c->error, c->text) && error == PHONE_OK)
			CHECK_ROW(formats_as(phone, c->expected), c->text);
	}
}

static void
test_whole_text_is_read(void)
{
	int64_t phone;

	CHECK_EQ(smsflow_phone_parse("+14155552671\0", 13, &phone), PHONE_BAD_CHARACTER);
	CHECK_EQ(smsflow_phone_parse_national("4155552671\0", 11, "US", &phone), PHONE_BAD_CHARACTER);
	CHECK_EQ(smsflow_phone_parse("+14155552671", 11, &phone), PHONE_OK);
	CHECK_EQ(phone, INT64_C(1415555267));
}

static void
check_mask(int64_t phone, const char *expected)
{
	char text[SMSFLOW_PHONE_BUFSIZE];

	CHECK_ROW(smsflow_phone_mask(phone, text) == strlen(expected) && strcmp(text, expected) == 0, expected);
}

static void
test_values(void)
{
	static const int64_t invalid[] = {0, -1, INT64_MIN, INT64_MAX, 999, 123456, INT64_C(1000000000000000), INT64_C(999123456789)};
	char text[SMSFLOW_PHONE_BUFSIZE];
	int count;

	check_mask(INT64_C(14155552671), "+1415*****71");
	check_mask(INT64_C(1234567), "+1****67");
	check_mask(INT64_C(883510012345678), "+8835*********78");
	for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
	{
		CHECK(!smsflow_phone_valid(invalid[i]));
		CHECK(!smsflow_phone_possible(invalid[i]));
		CHECK_EQ(smsflow_phone_kind(invalid[i]), PHONE_KIND_UNKNOWN);
		CHECK(smsflow_phone_time_zones(invalid[i], &count) == NULL && count == 0);
		CHECK(smsflow_phone_format(invalid[i], text) == strlen(text));
	}
	CHECK_EQ(smsflow_phone_format(INT64_MAX, text), 0);
	CHECK(smsflow_phone_time_zones(INT64_C(447400123456), &count) == NULL && count == 0);
	CHECK(smsflow_phone_state(INT64_C(447400123456)) == NULL);
	CHECK(has_region(INT64_C(18005550199), "US"));
	CHECK(has_region(INT64_C(15551234567), ""));
	CHECK(has_region(INT64_C(447624123456), "IM"));
	CHECK(has_region(INT64_C(4779123456), "SJ"));
	CHECK(has_region(INT64_C(262639012345), "YT"));
}

/* No error text is empty or shared, and none can carry a digit of the number. */
static void
test_error_texts(void)
{
	for (SmsflowPhoneError a = PHONE_OK; a <= PHONE_TOO_LONG; a++)
	{
		CHECK(smsflow_phone_error_text(a)[0] >= 'a' && smsflow_phone_error_text(a)[0] <= 'z');
		for (SmsflowPhoneError b = PHONE_OK; b < a; b++)
			CHECK(strcmp(smsflow_phone_error_text(a), smsflow_phone_error_text(b)) != 0);
	}
}

static int
prefix_of(const char *pattern, const char *digits, int *start, int *end)
{
	SmsflowCapture capture = {-2, -2};
	int length = smsflow_pattern_prefix(pattern, digits, (int) strlen(digits), &capture);

	*start = capture.start;
	*end = capture.end;
	return length;
}

static void
test_patterns(void)
{
	int start;
	int end;

	CHECK(smsflow_pattern_matches("1[2-4]\\d{2,3}|(?:5|66)7?", "1234", 4));
	CHECK(smsflow_pattern_matches("1[2-4]\\d{2,3}|(?:5|66)7?", "12345", 5));
	CHECK(!smsflow_pattern_matches("1[2-4]\\d{2,3}|(?:5|66)7?", "123", 3));
	CHECK(!smsflow_pattern_matches("1[2-4]\\d{2,3}|(?:5|66)7?", "123456", 6));
	CHECK(!smsflow_pattern_matches("1[2-4]\\d{2,3}|(?:5|66)7?", "1534", 4));
	CHECK(smsflow_pattern_matches("1[2-4]\\d{2,3}|(?:5|66)7?", "667", 3));
	CHECK(!smsflow_pattern_matches("1[2-4]\\d{2,3}|(?:5|66)7?", "67", 2));
	CHECK(!smsflow_pattern_matches("", "1", 1));
	CHECK_EQ(prefix_of("0(?:(11|2)15)?", "011152345", &start, &end), 5);
	CHECK(start == 1 && end == 3);
	CHECK_EQ(prefix_of("0(?:(11|2)15)?", "0112345", &start, &end), 1);
	CHECK_EQ(start, -1);
	CHECK_EQ(prefix_of("([45]\\d{2})$|1", "456", &start, &end), 3);
	CHECK_EQ(prefix_of("([45]\\d{2})$|1", "4567", &start, &end), -1);
	CHECK(!smsflow_pattern_matches("\\d{40}", "0123456789012345678901234567890123456789", 40));
}

static void
test_regions(void)
{
	static const char *const known[] = {"FR", "US", "US-FL", "US-DC", "CA-QC", "DE-BY", "GB-ENG", "XK"};
	static const char *const addresses[] = {"US-PR", "US-AE", "AQ", "PN"};
	static const char *const none[] = {"",     "F",       "fr",    "UK",      "USA",   "001",   "US-",
									   "US-*", "US-XX",   "US-fl", "US-FLA",  "US FL", "CA-XX", "DE-*",
									   "DE-",  "DE-BYXX", "XX-NY", "Florida", "-US",   "AQ-1",  "US-L A"};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		CHECK(smsflow_region_known(known[i]) && smsflow_region_of_address(known[i]));
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		CHECK(!smsflow_region_known(addresses[i]) && smsflow_region_of_address(addresses[i]));
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		CHECK(!smsflow_region_known(none[i]) && !smsflow_region_of_address(none[i]));
}

int
main(int argc, char **argv)
{
	const char *root = argc > 1 ? argv[1] : ".";

	test_vectors(root);
	test_plans(root);
	test_areas(root);
	test_round_trips();
	test_cases();
	test_whole_text_is_read();
	test_values();
	test_regions();
	test_error_texts();
	test_patterns();
	return unit_report();
}
