/*
 * test_escape.c - values stay values: what is escaped reads back as it was, and nothing in it can end the string, the
 * parameter or the header it stands in.
 */
#include "escape.h"
#include "unit.h"

#include <stdint.h>
#include <string.h>

#define ROUNDS 20000
#define MAX_TEXT 64
#define MAX_ESCAPED (6 * MAX_TEXT)
#define MALFORMED ((size_t) -1)

typedef size_t (*Escape)(const char *text, size_t len, char *out, size_t outsize);

static uint64_t random_state = 7;

static unsigned
random_below(unsigned bound)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned) ((random_state >> 33) % bound);
}

static size_t
random_bytes(char *out)
{
	size_t len = random_below(MAX_TEXT + 1);

	for (size_t i = 0; i < len; i++)
		out[i] = (char) random_below(256);
	return len;
}

/* Code points of all four lengths, with quotes, backslashes and control characters among them. */
static size_t
random_utf8(char *out)
{
	static const unsigned limits[] = {0x80, 0x800, 0xD800, 0x110000};
	size_t len = 0;

	while (len + 4 <= MAX_TEXT && random_below(20) != 0)
	{
		unsigned code = random_below(limits[random_below(4)]);

		if (code >= 0xD800 && code < 0xE000)
			code = '"';
		if (code < 0x80)
			out[len++] = (char) code;
		else if (code < 0x800)
			out[len++] = (char) (0xC0 | code >> 6);
		else if (code < 0x10000)
			out[len++] = (char) (0xE0 | code >> 12);
		else
			out[len++] = (char) (0xF0 | code >> 18);
		if (code >= 0x10000)
			out[len++] = (char) (0x80 | (code >> 12 & 0x3F));
		if (code >= 0x800)
			out[len++] = (char) (0x80 | (code >> 6 & 0x3F));
		if (code >= 0x80)
			out[len++] = (char) (0x80 | (code & 0x3F));
	}
	return len;
}

static bool
same(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return a_len == b_len && memcmp(a, b, a_len) == 0;
}

/* ---- URLs ---- */

static bool
url_alphabet(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%", text[i]) || text[i] == '\0')
			return false;
	return true;
}

static void
test_url_round_trip(void)
{
	for (int i = 0; i < ROUNDS; i++)
	{
		char text[MAX_TEXT];
		char escaped[MAX_ESCAPED];
		char back[MAX_ESCAPED];
		size_t len = random_bytes(text);
		size_t used = smsflow_escape_url(text, len, escaped, sizeof(escaped));
		size_t back_len;

		CHECK(used >= len && used <= 3 * len);
		CHECK(url_alphabet(escaped, used));
		back_len = smsflow_unescape_octets(escaped, used, back);
		CHECK(same(back, back_len, text, len));
	}
}

static void
check_text(Escape escape, const char *text, const char *expected)
{
	char escaped[MAX_ESCAPED];
	size_t used = escape(text, strlen(text), escaped, sizeof(escaped));

	if (!same(escaped, used, expected, strlen(expected)))
		printf("\t\"%s\" became \"%.*s\"\n", text, (int) used, escaped);
	CHECK(same(escaped, used, expected, strlen(expected)));
}

static void
test_url_known(void)
{
	check_text(smsflow_escape_url, "", "");
	check_text(smsflow_escape_url, "aZ09-._~", "aZ09-._~");
	check_text(smsflow_escape_url, "+1 415&to=x#/?%", "%2B1%20415%26to%3Dx%23%2F%3F%25");
	check_text(smsflow_escape_url, "caf\xc3\xa9\r\n", "caf%C3%A9%0D%0A");
}

/* ---- JSON ---- */

/* What a JSON reader makes of the contents of a string; MALFORMED where it would stop. */
static size_t
read_json(const char *text, size_t len, char *out)
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++)
	{
		static const char letters[] = "\"\\/bfnrt";
		static const char meaning[] = "\"\\/\b\f\n\r\t";
		const char *letter;
		unsigned code;

		if ((unsigned char) text[i] < 0x20 || text[i] == '"')
			return MALFORMED;
		if (text[i] != '\\')
		{
			out[used++] = text[i];
			continue;
		}
		if (++i == len || text[i] == '\0')
			return MALFORMED;
		letter = strchr(letters, text[i]);
		if (letter)
			out[used++] = meaning[letter - letters];
		else
		{
			char hex[5] = {0};

			if (text[i] != 'u' || len - i < 5)
				return MALFORMED;
			memcpy(hex, text + i + 1, 4);
			if (sscanf(hex, "%4x", &code) != 1 || code >= 0x80)
				return MALFORMED;
			out[used++] = (char) code;
			i += 4;
		}
	}
	return used;
}

static void
test_json_round_trip(void)
{
	for (int i = 0; i < ROUNDS; i++)
	{
		char text[MAX_TEXT];
		char escaped[MAX_ESCAPED];
		char back[MAX_ESCAPED];
		size_t len = i % 2 ? random_utf8(text) : random_bytes(text);
		size_t used = smsflow_escape_json(text, len, escaped, sizeof(escaped));

		size_t back_len = read_json(escaped, used, back);

		CHECK(used >= len && used <= 6 * len);
		CHECK(same(back, back_len, text, len));
	}
}

static void
test_json_known(void)
{
	check_text(smsflow_escape_json, "", "");
	check_text(smsflow_escape_json, "caf\xc3\xa9 \xf0\x9f\x98\x80/", "caf\xc3\xa9 \xf0\x9f\x98\x80/");
	check_text(smsflow_escape_json, "\"}, {\"\\", "\\\"}, {\\\"\\\\");
	check_text(smsflow_escape_json, "a\r\n\tb\x01\x1f\x7f", "a\\r\\n\\tb\\u0001\\u001f\x7f");
}

/* ---- buffers ---- */

/* In a buffer of any size the length is the same, what fits is written, and what is behind the buffer stays. */
static void
check_limits(Escape escape, const char *text, size_t len)
{
	char whole[MAX_ESCAPED];
	size_t needed = escape(text, len, whole, sizeof(whole));

	CHECK_EQ(escape(text, len, NULL, 0), needed);
	for (size_t size = 0; size <= needed; size++)
	{
		char out[MAX_ESCAPED];
		bool untouched = true;

		memset(out, '#', sizeof(out));
		CHECK_EQ(escape(text, len, out, size), needed);
		for (size_t i = size; i < sizeof(out); i++)
			untouched = untouched && out[i] == '#';
		CHECK(untouched);
		if (size == needed)
			CHECK(memcmp(out, whole, needed) == 0);
	}
}

static void
test_limits(void)
{
	for (int i = 0; i < 300; i++)
	{
		char text[MAX_TEXT];
		size_t len = random_bytes(text);

		check_limits(smsflow_escape_url, text, len);
		check_limits(smsflow_escape_json, text, len);
	}
}

/* ---- reading ---- */

static void
check_unescape(const char *text, size_t len, const char *expected, size_t expected_len)
{
	char out[MAX_TEXT];
	size_t used;

	memcpy(out, text, len);
	used = smsflow_unescape_octets(out, len, out);
	CHECK(same(out, used, expected, expected_len));
}

#define UNESCAPE(text, expected) check_unescape(text, sizeof(text) - 1, expected, sizeof(expected) - 1)

/* What is no escape stands for itself. */
static void
test_unescape(void)
{
	UNESCAPE("", "");
	UNESCAPE("plain", "plain");
	UNESCAPE("a+b%20c%2bd%2B", "a b c+d+");
	UNESCAPE("%41%5a%7E", "AZ~");
	UNESCAPE("%25%32%35", "%25");
	UNESCAPE("caf%C3%a9\xc3\xa9", "caf\xc3\xa9\xc3\xa9");
	UNESCAPE("x%41", "xA");

	UNESCAPE("%", "%");
	UNESCAPE("%4", "%4");
	UNESCAPE("abc%", "abc%");
	UNESCAPE("abc%4", "abc%4");
	UNESCAPE("%G1", "%G1");
	UNESCAPE("%1G", "%1G");
	UNESCAPE("%%41", "%A");
	UNESCAPE("% 1", "% 1");
	UNESCAPE("%-1", "%-1");
	UNESCAPE("%u0041", "%u0041");
	UNESCAPE("STOP%00", "STOP\0");
}

/* The byte behind the text may be a digit: it is not part of an escape. */
static void
test_unescape_stops_at_the_end(void)
{
	check_unescape("%41", 2, "%4", 2);
	check_unescape("%41", 1, "%", 1);
	check_unescape("a%411", 4, "aA", 2);
}

static void
check_mended(const char *text, size_t len, const char *expected, size_t expected_len)
{
	char out[200];
	size_t mended = smsflow_mend_json(text, len, out, sizeof(out));

	CHECK_EQ(mended, expected_len);
	CHECK(mended <= 2 * len && memcmp(out, expected, expected_len) == 0);
}

#define MEND(text, expected) check_mended(text, sizeof(text) - 1, expected, sizeof(expected) - 1)

/* What is JSON stays, also where it looks as if it were none; what no database stores is replaced. */
static void
test_mend_json(void)
{
	MEND("", "");
	MEND("{\"a\": [1, \"\\u00e9\\n\\\\u0000 \\ud83d\\ude00\\\"\"]}\n",
		 "{\"a\": [1, \"\\u00e9\\n\\\\u0000 \\ud83d\\ude00\\\"\"]}\n");
	MEND("\"S\\u0000TOP\\u0000\"", "\"STOP\"");
	MEND("\"S\0TOP\"", "\"STOP\"");
	MEND("\"\\ud83d\"", "\"\\ufffd\"");
	MEND("\"\\ude00\\ud83d\\ud83d\\ude00\"", "\"\\ufffd\\ufffd\\ud83d\\ude00\"");
	MEND("\"\\ud83d\\n\"", "\"\\ufffd\\n\"");
	MEND("\"a\nb\tc\"\n", "\"a\\nb c\"\n");
	MEND("\"it\\'s \\x41 \\u12g4\"", "\"it's x41 u12g4\"");
	MEND("\"\\", "\"");
	MEND("\"\\u00", "\"u00");
	MEND("\\u0000\0", "\\u0000\0");
}

static void
test_header(void)
{
	CHECK(smsflow_header_safe("", 0));
	for (int c = 0; c < 256; c++)
	{
		char text[] = {'a', (char) c, 'b'};

		CHECK_EQ(smsflow_header_safe(text, 3), c != '\r' && c != '\n' && c != '\0');
		CHECK_EQ(smsflow_header_safe(text + 1, 1), c != '\r' && c != '\n' && c != '\0');
	}
	CHECK(smsflow_header_safe("a\nb", 1));
	CHECK(!smsflow_header_safe("Bearer x\r\nHost: evil", 20));
}

int
main(void)
{
	test_url_round_trip();
	test_url_known();
	test_json_round_trip();
	test_json_known();
	test_limits();
	test_unescape();
	test_unescape_stops_at_the_end();
	test_mend_json();
	test_header();
	return unit_report();
}
