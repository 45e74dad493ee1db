/*
 * filter.c - see filter.h.
 *
 * Letters are those of the alphabets that the phone networks' own one has a part in: Latin, Greek and Cyrillic. Others have
 * no case, or are left as they are.
 */
#include "filter.h"

#include <stdint.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef struct Writer
{
	char *out;
	size_t len;
} Writer;

/* ---- characters ---- */

/* read_character returns a character and its length; what is not UTF-8 is a character of one byte. */
static uint32_t
read_character(const char *text, size_t len, size_t *size)
{
	const unsigned char *at = (const unsigned char *) text;
	size_t wanted = at[0] < 0xc0 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;

	*size = wanted <= len ? wanted : 1;
	if (*size == 2)
		return (uint32_t) (at[0] & 0x1f) << 6 | (at[1] & 0x3f);
	if (*size > 2)
		return 0x10000; /* no letter of ours */
	return at[0];
}

/* Only characters of one or two bytes are ever changed. */
static void
write_character(Writer *writer, uint32_t character, const char *as_read, size_t size)
{
	char encoded[2] = {(char) (0xc0 | character >> 6), (char) (0x80 | (character & 0x3f))};

	if (writer->len + size > SMSFLOW_FILTER_BYTES)
		return;
	if (size == 1)
		writer->out[writer->len] = (char) character;
	else
		memcpy(writer->out + writer->len, size == 2 ? encoded : as_read, size);
	writer->len += size;
}

static void
write_text(Writer *writer, const char *text, size_t len)
{
	if (writer->len + len > SMSFLOW_FILTER_BYTES)
		return;
	memcpy(writer->out + writer->len, text, len);
	writer->len += len;
}

/* Letters whose capital ones stand at a fixed distance before them. */
static const struct
{
	uint32_t first;
	uint32_t last;
	uint32_t distance;
} small_letters[] = {
	{'a', 'z', 0x20},     {0xe0, 0xf6, 0x20},   {0xf8, 0xfe, 0x20},   {0x3b1, 0x3c1, 0x20},
	{0x3c3, 0x3cb, 0x20}, {0x430, 0x44f, 0x20}, {0x450, 0x45f, 0x50},
};

/* Latin Extended-A: a capital letter and its small one stand side by side, even first here, odd first there. */
static bool
in_pairs(uint32_t c, bool *even_first)
{
	*even_first = (c >= 0x100 && c <= 0x137 && c != 0x131 && c != 0x130) || (c >= 0x14a && c <= 0x177);
	return *even_first || (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e);
}

static uint32_t
upper(uint32_t c)
{
	bool even_first;

	for (size_t i = 0; i < COUNT(small_letters); i++)
		if (c >= small_letters[i].first && c <= small_letters[i].last)
			return c - small_letters[i].distance;
	if (in_pairs(c, &even_first) && (c % 2 == 1) == even_first)
		return c - 1;
	return c == 0x3c2 ? 0x3a3 : c;
}

static uint32_t
lower(uint32_t c)
{
	bool even_first;

	for (size_t i = 0; i < COUNT(small_letters); i++)
		if (c + small_letters[i].distance >= small_letters[i].first && c + small_letters[i].distance <= small_letters[i].last &&
			upper(c) == c)
			return c + small_letters[i].distance;
	if (in_pairs(c, &even_first) && (c % 2 == 0) == even_first)
		return c + 1;
	return c;
}

/* ---- letters ---- */

static bool
has_small_letter(const char *value, size_t len)
{
	size_t size;

	for (size_t i = 0; i < len; i += size)
	{
		uint32_t c = read_character(value + i, len - i, &size);

		if (upper(c) != c)
			return true;
	}
	return false;
}

static void
write_cased(Writer *writer, SmsflowFilter filter, const char *value, size_t len)
{
	bool in_capitals = filter == SMSFLOW_FILTER_TITLE && !has_small_letter(value, len);
	bool word_begins = true;
	size_t size;

	for (size_t i = 0; i < len; i += size)
	{
		uint32_t c = read_character(value + i, len - i, &size);
		bool capital = filter == SMSFLOW_FILTER_UPPER || word_begins;

		word_begins = c == ' ' || c == '-';
		write_character(writer, capital ? upper(c) : in_capitals ? lower(c) : c, value + i, size);
	}
}

/* ---- length ---- */

static size_t
number_of(const char *text, size_t len)
{
	size_t number = 0;

	for (size_t i = 0; i < len && i < 4; i++)
		number = number * 10 + (size_t) (text[i] - '0');
	return number;
}

/* prefix_of returns how many bytes the first so many characters are. */
static size_t
prefix_of(const char *value, size_t len, size_t characters)
{
	size_t at = 0;
	size_t size;

	for (; characters > 0 && at < len; characters--, at += size)
		(void) read_character(value + at, len - at, &size);
	return at;
}

static void
write_truncated(Writer *writer, const char *value, size_t len, size_t limit)
{
	size_t kept = prefix_of(value, len, limit);
	size_t space;

	if (kept == len || limit <= 3)
	{
		write_text(writer, value, kept);
		return;
	}
	kept = prefix_of(value, len, limit - 3);
	space = kept;
	while (space > kept / 2 && value[space] != ' ')
		space--;
	write_text(writer, value, space > kept / 2 ? space : kept);
	write_text(writer, "...", 3);
}

/* ---- money ---- */

static const struct
{
	const char *code;
	const char *before; /* a sign that stands before the number; NULL: the code behind it */
	size_t decimals;
} currencies[] = {
	{"USD", "$", 2},        {"CAD", "CA$", 2}, {"AUD", "A$", 2}, {"GBP", "\xc2\xa3", 2}, {"EUR", "\xe2\x82\xac", 2},
	{"JPY", "\xc2\xa5", 0}, {"KRW", NULL, 0},  {"CLP", NULL, 0}, {"VND", NULL, 0},       {"ISK", NULL, 0},
	{"HUF", NULL, 0},       {"KWD", NULL, 3},  {"BHD", NULL, 3},
};

typedef struct Number
{
	bool negative;
	char digits[64]; /* of the whole, then of the fraction */
	size_t whole;
	size_t fraction;
} Number;

static bool
read_number(const char *value, size_t len, Number *number)
{
	bool in_fraction = false;
	size_t at = 0;

	*number = (Number){0};
	if (len > 0 && (value[0] == '-' || value[0] == '+'))
		number->negative = value[at++] == '-';
	for (; at < len; at++)
	{
		if (value[at] == '.' && !in_fraction)
			in_fraction = true;
		else if (value[at] < '0' || value[at] > '9' || number->whole + number->fraction == sizeof(number->digits) - 1)
			return false;
		else
		{
			number->digits[number->whole + number->fraction] = value[at];
			*(in_fraction ? &number->fraction : &number->whole) += 1;
		}
	}
	return number->whole > 0;
}

/* round_number leaves so many decimals, half of one away from zero. */
static void
round_number(Number *number, size_t decimals)
{
	size_t kept = number->whole + decimals;
	bool up = number->fraction > decimals && number->digits[kept] >= '5';
	size_t at = kept;

	while (number->fraction < decimals)
		number->digits[number->whole + number->fraction++] = '0';
	number->fraction = decimals;
	while (up && at > 0)
	{
		up = number->digits[at - 1] == '9';
		number->digits[at - 1] = up ? '0' : (char) (number->digits[at - 1] + 1);
		at--;
	}
	if (!up)
		return;
	memmove(number->digits + 1, number->digits, kept);
	number->digits[0] = '1';
	number->whole++;
}

static void
write_money(Writer *writer, const char *code, size_t code_len, const char *value, size_t len)
{
	const char *before = NULL;
	size_t decimals = 2;
	Number number;

	if (!read_number(value, len, &number) || number.whole + 3 >= sizeof(number.digits) - number.fraction)
	{
		write_text(writer, value, len);
		return;
	}
	for (size_t i = 0; code_len == 3 && i < COUNT(currencies); i++)
		if (memcmp(currencies[i].code, code, 3) == 0)
		{
			before = currencies[i].before;
			decimals = currencies[i].decimals;
		}
	round_number(&number, decimals);
	if (number.negative)
		write_text(writer, "-", 1);
	if (before != NULL)
		write_text(writer, before, strlen(before));
	write_text(writer, number.digits, number.whole);
	if (decimals > 0)
		write_text(writer, ".", 1);
	write_text(writer, number.digits + number.whole, number.fraction);
	if (before == NULL && code_len > 0)
	{
		write_text(writer, " ", 1);
		write_text(writer, code, code_len);
	}
}

/* ---- all of them ---- */

static const char *const names[] = {"", "upper", "title", "truncate", "money", "date", "link"};

SmsflowFilter
smsflow_filter_named(const char *name, size_t len)
{
	for (size_t i = 1; i < COUNT(names); i++)
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return (SmsflowFilter) i;
	return SMSFLOW_FILTER_NONE;
}

bool
smsflow_filter_accepts(SmsflowFilter filter, const char *argument, size_t len)
{
	switch (filter)
	{
		case SMSFLOW_FILTER_TRUNCATE:
			for (size_t i = 0; i < len; i++)
				if (argument[i] < '0' || argument[i] > '9')
					return false;
			return len > 0 && len <= 3 && number_of(argument, len) >= 1 && number_of(argument, len) <= 500;
		case SMSFLOW_FILTER_MONEY:
			for (size_t i = 0; i < len; i++)
				if (argument[i] < 'A' || argument[i] > 'Z')
					return false;
			return len == 0 || len == 3;
		case SMSFLOW_FILTER_DATE:
			return len <= 40;
		default:
			return len == 0;
	}
}

size_t
smsflow_filter_apply(SmsflowFilter filter, const char *argument, size_t argument_len, const char *value, size_t len, char *out)
{
	Writer writer = {out, 0};

	/* A character has at most four bytes; a cut one is left out. */
	if (len > SMSFLOW_FILTER_BYTES)
	{
		len = SMSFLOW_FILTER_BYTES;
		while (len > SMSFLOW_FILTER_BYTES - 4 && ((unsigned char) value[len] & 0xc0) == 0x80)
			len--;
	}
	switch (filter)
	{
		case SMSFLOW_FILTER_UPPER:
		case SMSFLOW_FILTER_TITLE:
			write_cased(&writer, filter, value, len);
			break;
		case SMSFLOW_FILTER_TRUNCATE:
			write_truncated(&writer, value, len, number_of(argument, argument_len));
			break;
		case SMSFLOW_FILTER_MONEY:
			write_money(&writer, argument, argument_len, value, len);
			break;
		default:
			write_text(&writer, value, len);
			break;
	}
	return writer.len;
}
