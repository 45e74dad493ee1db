/*
 * fold.c: lower case, no diacritics, no punctuation.
 *
 * This is what NFKD, case folding and the removal of marks do to the scripts that replies are written in, from a small
 * table (data/fold.csv) instead of the whole Unicode database. Scripts without case or diacritics pass unchanged.
 */
#include "fold.h"
#include "utf8.h"

#include <stdbool.h>
#include <string.h>

typedef struct FoldedLetter
{
	uint16_t code_point;
	char folded[3];
} FoldedLetter;

static const FoldedLetter fold_letters[] = {
#include "generated/fold_letters.inc"
};

typedef struct Range
{
	uint32_t first;
	uint32_t last;
} Range;

/* Apostrophes, combining marks and format characters beyond ASCII: they vanish within a word. */
static const Range dropped[] = {{0x00AD, 0x00AD}, {0x00B4, 0x00B4}, {0x02B9, 0x02BF}, {0x0300, 0x036F}, {0x0483, 0x0489},
								{0x0591, 0x05BD}, {0x05BF, 0x05BF}, {0x05C1, 0x05C2}, {0x05C4, 0x05C5}, {0x05C7, 0x05C7},
								{0x0610, 0x061A}, {0x061C, 0x061C}, {0x0640, 0x0640}, {0x064B, 0x065F}, {0x0670, 0x0670},
								{0x180B, 0x180E}, {0x200B, 0x200F}, {0x2018, 0x2019}, {0x202A, 0x202E}, {0x2060, 0x206F},
								{0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF}, {0xE0000, 0xE0FFF}};

/* Punctuation, symbols, pictographs and controls beyond ASCII: they separate words. */
static const Range separators[] = {{0x0080, 0x00A9}, {0x00AB, 0x00B4}, {0x00B6, 0x00B9}, {0x00BB, 0x00BF},   {0x00D7, 0x00D7},
								   {0x00F7, 0x00F7}, {0x02C0, 0x02FF}, {0x037E, 0x037E}, {0x0387, 0x0387},   {0x055A, 0x055F},
								   {0x0589, 0x058A}, {0x05BE, 0x05C6}, {0x05F3, 0x05F4}, {0x0600, 0x061F},   {0x066A, 0x066D},
								   {0x06D4, 0x06D4}, {0x0964, 0x0965}, {0x2000, 0x2BFF}, {0x2E00, 0x2E7F},   {0x3000, 0x3004},
								   {0x3008, 0x3020}, {0x3030, 0x3030}, {0x303D, 0x303F}, {0x30FB, 0x30FB},   {0xD800, 0xF8FF},
								   {0xFE10, 0xFE6F}, {0xFF5F, 0xFF65}, {0xFFE0, 0xFFFF}, {0x1F000, 0x1FAFF}, {0xF0000, 0x10FFFF}};

static bool
in_ranges(uint32_t c, const Range *ranges, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

/* The table entry of a letter, or NULL when it stays as it is. */
static const char *
find_folded(uint32_t c)
{
	size_t low = 0;
	size_t high = sizeof(fold_letters) / sizeof(fold_letters[0]);

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;

		if (fold_letters[middle].code_point == c)
			return fold_letters[middle].folded;
		if (fold_letters[middle].code_point < c)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* Writes what an ASCII character becomes: itself in lower case, a space, or nothing. Returns the bytes written. */
static size_t
fold_ascii(uint32_t c, char *out)
{
	if (c == '\'' || c == '`')
		return 0;
	if (c >= 'A' && c <= 'Z')
		c += 'a' - 'A';
	*out = (char) ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : ' ');
	return 1;
}

/* Writes what one character of size bytes becomes, which is never more bytes. Returns the bytes written. */
static size_t
fold_character(const char *utf8, size_t size, uint32_t c, char *out)
{
	const char *folded;

	if (c >= 0xFF01 && c <= 0xFF5E)
		c -= 0xFF01 - '!';
	if (c < 0x80)
		return fold_ascii(c, out);
	if (in_ranges(c, dropped, sizeof(dropped) / sizeof(dropped[0])))
		return 0;
	if (in_ranges(c, separators, sizeof(separators) / sizeof(separators[0])))
		return fold_ascii(' ', out);
	folded = find_folded(c);
	if (folded != NULL)
	{
		utf8 = folded;
		size = strlen(folded);
	}
	memcpy(out, utf8, size);
	return size;
}

size_t
smsflow_fold(const char *utf8, size_t len, char *out)
{
	size_t written = 0;

	for (size_t i = 0; i < len;)
	{
		uint32_t c;
		int size = smsflow_utf8_decode(utf8 + i, len - i, &c);

		if (size == 0)
		{
			c = ' ';
			size = 1;
		}
		written += fold_character(utf8 + i, (size_t) size, c, out + written);
		if (written > 0 && out[written - 1] == ' ' && (written == 1 || out[written - 2] == ' '))
			written--;
		i += (size_t) size;
	}
	if (written > 0 && out[written - 1] == ' ')
		written--;
	out[written] = '\0';
	return written;
}
