/*
 * phone_parse.c: from what people write to the digits of an international number.
 *
 * Text is first reduced to digits and a plus sign, then the digits are interpreted. The type input function meets almost only
 * "+14155552671", so that form is read in one pass without the general machinery. The interpretation of trunk prefixes
 * follows libphonenumber, with one difference: what it would guess from letters is refused.
 */
#include "pattern.h"
#include "phone.h"
#include "phone_plan.h"
#include "utf8.h"

#include <string.h>

#define MIN_DIGITS 7
#define MAX_DIGITS 15

/* Room for a number with a prefix for international calls and a carrier code before it. */
#define MAX_WRITTEN_DIGITS 28

typedef struct Written
{
	char digits[MAX_WRITTEN_DIGITS];
	int count;
	bool plus;
	int bracketed_zero; /* index of the digit written as "(0)", or -1 */
} Written;

typedef struct Range
{
	uint16_t first;
	uint16_t last;
} Range;

static const Range separators[] = {{' ', ' '},       {'\t', '\t'},     {'(', ')'},       {'-', '/'},       {0x00A0, 0x00A0},
								   {0x00AD, 0x00AD}, {0x061C, 0x061C}, {0x2000, 0x2015}, {0x202A, 0x202F}, {0x205F, 0x2064},
								   {0x2066, 0x2069}, {0x2212, 0x2212}, {0x3000, 0x3000}, {0xFE63, 0xFE63}, {0xFEFF, 0xFEFF},
								   {0xFF08, 0xFF09}, {0xFF0D, 0xFF0F}};

/* Where the decimal digits of the scripts in the BMP begin (Unicode general category Nd), ascending. */
static const uint16_t unicode_zeros[] = {0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6,
										 0x0C66, 0x0CE6, 0x0D66, 0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090,
										 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40,
										 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10};

static bool
is_letter(uint32_t c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool
is_separator(uint32_t c)
{
	for (size_t i = 0; i < sizeof(separators) / sizeof(separators[0]); i++)
		if (c >= separators[i].first && c <= separators[i].last)
			return true;
	return false;
}

/* The value of a decimal digit of any script, or -1. */
static int
digit_value(uint32_t c)
{
	if (c < 0x80)
		return c >= '0' && c <= '9' ? (int) (c - '0') : -1;
	for (size_t i = 0; i < sizeof(unicode_zeros) / sizeof(unicode_zeros[0]); i++)
		if (c >= unicode_zeros[i] && c <= unicode_zeros[i] + 9u)
			return (int) (c - unicode_zeros[i]);
	return -1;
}

static SmsflowPhoneError
add_digit(Written *written, int value)
{
	if (written->count == MAX_WRITTEN_DIGITS)
		return PHONE_TOO_LONG;
	written->digits[written->count++] = (char) ('0' + value);
	return PHONE_OK;
}

static SmsflowPhoneError
add_character(Written *written, uint32_t c)
{
	int value = digit_value(c);

	if (value >= 0)
		return add_digit(written, value);
	if (is_separator(c))
		return PHONE_OK;
	if (is_letter(c))
		return PHONE_HAS_LETTERS;
	if ((c != '+' && c != 0xFF0B) || written->plus || written->count > 0)
		return PHONE_BAD_CHARACTER;
	written->plus = true;
	return PHONE_OK;
}

/* Appends the digits of text to what was read before. */
static SmsflowPhoneError
read_text(Written *written, const char *text, size_t len)
{
	for (size_t i = 0; i < len;)
	{
		SmsflowPhoneError error;
		uint32_t c;
		int size = smsflow_utf8_decode(text + i, len - i, &c);

		if (size == 0)
			return PHONE_BAD_CHARACTER;
		if (c == '(' && len - i >= 3 && memcmp(text + i, "(0)", 3) == 0 && written->bracketed_zero < 0)
			written->bracketed_zero = written->count;
		error = add_character(written, c);
		if (error != PHONE_OK)
			return error;
		i += (size_t) size;
	}
	return PHONE_OK;
}

static int64_t
digits_value(const char *digits, int count)
{
	int64_t value = 0;

	for (int i = 0; i < count; i++)
		value = value * 10 + (digits[i] - '0');
	return value;
}

static void
remove_digits(Written *written, int from, int count)
{
	memmove(written->digits + from, written->digits + from + count, (size_t) (written->count - from - count));
	written->count -= count;
}

/* Drops the 0 of "+44 (0)7400 123456", which is dialled inside the country only. Italy has no trunk prefix and keeps it. */
static void
drop_bracketed_zero(Written *written, const PhonePlan *plan, int code_length)
{
	if (written->bracketed_zero == code_length && strcmp(plan->trunk, "0") == 0)
		remove_digits(written, code_length, 1);
}

/* Checks what holds for international numbers of every plan, and yields the value. */
static SmsflowPhoneError
finish_international(Written *written, int64_t *phone)
{
	int code_length;
	PhonePlans plans = smsflow_plans_of_digits(written->digits, written->count, &code_length);

	if (plans.count > 0)
		drop_bracketed_zero(written, plans.first, code_length);
	if (written->count > MAX_DIGITS)
		return PHONE_TOO_LONG;
	if (plans.count == 0 && (written->count >= 3 || written->digits[0] == '0'))
		return PHONE_UNKNOWN_COUNTRY;
	if (written->count < MIN_DIGITS)
		return PHONE_TOO_SHORT;
	*phone = digits_value(written->digits, written->count);
	return PHONE_OK;
}

/* Reads "+" and digits and nothing else; false when the text needs a closer look. */
static bool
parse_plain(const char *text, size_t len, int64_t *phone)
{
	int64_t value = 0;
	int code_length;

	if (len < MIN_DIGITS + 1 || len > MAX_DIGITS + 1 || text[0] != '+')
		return false;
	for (size_t i = 1; i < len; i++)
	{
		unsigned digit = (unsigned) (unsigned char) text[i] - '0';

		if (digit > 9)
			return false;
		value = value * 10 + (int64_t) digit;
	}
	if (smsflow_plans_of_digits(text + 1, (int) len - 1, &code_length).count == 0)
		return false;
	*phone = value;
	return true;
}

SmsflowPhoneError
smsflow_phone_parse(const char *text, size_t len, int64_t *phone)
{
	Written written = {.bracketed_zero = -1};
	SmsflowPhoneError error;

	if (parse_plain(text, len, phone))
		return PHONE_OK;
	error = read_text(&written, text, len);
	if (error != PHONE_OK)
		return error;
	if (written.count == 0)
		return PHONE_EMPTY;
	if (!written.plus)
		return PHONE_NO_COUNTRY;
	return finish_international(&written, phone);
}

static bool
is_possible_length(const PhonePlan *plan, int length)
{
	return length >= 0 && length < 32 && (plan->lengths >> length & 1);
}

/* Lengths between two possible ones count as too short: digits are lost more often than added. */
static SmsflowPhoneError
check_length(const PhonePlan *plan, int length)
{
	if (is_possible_length(plan, length))
		return PHONE_OK;
	return length < 32 && plan->lengths >> length != 0 ? PHONE_TOO_SHORT : PHONE_TOO_LONG;
}

/*
 * Cuts the trunk prefix off a national number, or rewrites the number as the plan's transform rule says. A number that would
 * be too short afterwards is left alone: its first digits merely look like a prefix.
 */
static void
strip_trunk(Written *national, const PhonePlan *plan)
{
	Written stripped = {.bracketed_zero = -1};
	SmsflowCapture capture;
	int end = smsflow_pattern_prefix(plan->trunk_pattern, national->digits, national->count, &capture);

	if (end <= 0)
		return;
	if (plan->transform != NULL && capture.start >= 0)
	{
		size_t before = strlen(plan->transform);

		memcpy(stripped.digits, plan->transform, before);
		stripped.count = (int) before;
		for (int i = capture.start; i < capture.end; i++)
			add_digit(&stripped, national->digits[i] - '0');
	}
	for (int i = end; i < national->count; i++)
		add_digit(&stripped, national->digits[i] - '0');
	if (check_length(plan, stripped.count) != PHONE_TOO_SHORT)
		*national = stripped;
}

/* Joins calling code and national number, after a check against the plan. */
static SmsflowPhoneError
finish_national(const PhonePlan *plan, const Written *national, int64_t *phone)
{
	SmsflowPhoneError error = check_length(plan, national->count);
	int64_t value = plan->calling_code;

	if (error != PHONE_OK)
		return error;
	for (int i = 0; i < national->count; i++)
	{
		value = value * 10 + (national->digits[i] - '0');
		if (value > INT64_C(999999999999999))
			return PHONE_TOO_LONG;
	}

	/*
	 * Some plans have service numbers so short that smsflow_phone_parse() would not take them, and Canada has some that only
	 * Canada reaches: seven digits there are a number whose area code was left out.
	 */
	if (value < 1000000 || !smsflow_phone_possible(value))
		return PHONE_TOO_SHORT;
	*phone = value;
	return PHONE_OK;
}

/* Interprets the digits as an international number, possibly with a trunk prefix that should not be there. */
static SmsflowPhoneError
parse_with_code(Written *written, int64_t *phone)
{
	int code_length;
	PhonePlans plans = smsflow_plans_of_digits(written->digits, written->count, &code_length);

	if (plans.count == 0)
		return written->count < 3 ? PHONE_TOO_SHORT : PHONE_UNKNOWN_COUNTRY;
	drop_bracketed_zero(written, plans.first, code_length);
	remove_digits(written, 0, code_length);
	strip_trunk(written, plans.first);
	return finish_national(plans.first, written, phone);
}

/* Cuts the prefix for calls abroad; the digit after it cannot be 0, for no calling code begins with it. */
static bool
strip_idd_prefix(Written *written, const PhonePlan *plan)
{
	int end = smsflow_pattern_prefix(plan->idd_prefix, written->digits, written->count, NULL);

	if (end <= 0 || end >= written->count || written->digits[end] == '0')
		return false;
	remove_digits(written, 0, end);
	written->bracketed_zero = -1;
	return true;
}

/* Whether the digits only make sense with the calling code in front and its plus left out. */
static bool
lacks_only_plus(const Written *written, const Written *national, const PhonePlan *plan)
{
	int code_length;
	PhonePlans plans = smsflow_plans_of_digits(written->digits, written->count, &code_length);

	return !is_possible_length(plan, national->count) && plans.count > 0 && plans.first->calling_code == plan->calling_code &&
		   is_possible_length(plan, written->count - code_length);
}

static SmsflowPhoneError
parse_in_region(Written *written, const char *region, int64_t *phone)
{
	const PhonePlan *plan;
	Written national;

	if (region == NULL)
		return PHONE_NO_COUNTRY;
	plan = smsflow_plan_of_region(region);
	if (plan == NULL)
		return PHONE_UNKNOWN_REGION;
	if (strip_idd_prefix(written, plan))
		return parse_with_code(written, phone);
	national = *written;
	strip_trunk(&national, plan);
	if (lacks_only_plus(written, &national, plan))
		return parse_with_code(written, phone);
	return finish_national(plan, &national, phone);
}

static bool
starts_with(const char *text, size_t len, const char *prefix)
{
	size_t size = strlen(prefix);

	if (len < size)
		return false;
	for (size_t i = 0; i < size; i++)
		if ((is_letter((unsigned char) text[i]) ? text[i] | 0x20 : text[i]) != prefix[i])
			return false;
	return true;
}

/* Whether text is an extension and nothing else: its mark, at most seven digits, spaces and dots. */
static bool
is_extension(const char *text, size_t len)
{
	static const char *const marks[] = {";ext=", "extension", "ext", "x", "#", ","};
	size_t at = 0;
	int digits = 0;

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]) && at == 0; i++)
		if (starts_with(text, len, marks[i]))
			at = strlen(marks[i]);
	if (at == 0)
		return false;
	for (; at < len; at++)
	{
		if (text[at] >= '0' && text[at] <= '9')
			digits++;
		else if (strchr(" .:", text[at]) == NULL || text[at] == '\0')
			return false;
	}
	return digits <= 7;
}

/* The length of text without its extension. */
static size_t
length_without_extension(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (strchr(";eExX#,", text[i]) != NULL && is_extension(text + i, len - i))
			return i;
	return len;
}

/* Reads a tel: URI without its scheme; a phone-context that starts with "+" stands before the digits (RFC 3966). */
static SmsflowPhoneError
read_tel_uri(Written *written, const char *text, size_t len)
{
	static const char context[] = ";phone-context=";
	const char *parameters = memchr(text, ';', len);
	size_t number_length = parameters != NULL ? (size_t) (parameters - text) : len;
	size_t parameters_length = len - number_length;

	if (parameters != NULL && starts_with(parameters, parameters_length, context))
	{
		const char *prefix = parameters + strlen(context);
		size_t prefix_length = parameters_length - strlen(context);

		if (prefix_length > 0 && prefix[0] == '+')
		{
			SmsflowPhoneError error = read_text(written, prefix, prefix_length);

			if (error != PHONE_OK)
				return error;
		}
	}
	return read_text(written, text, number_length);
}

SmsflowPhoneError
smsflow_phone_parse_national(const char *text, size_t len, const char *region, int64_t *phone)
{
	Written written = {.bracketed_zero = -1};
	SmsflowPhoneError error;

	if (starts_with(text, len, "tel:"))
		error = read_tel_uri(&written, text + 4, len - 4);
	else
		error = read_text(&written, text, length_without_extension(text, len));
	if (error != PHONE_OK)
		return error;
	if (written.count == 0)
		return PHONE_EMPTY;
	if (written.plus)
		return parse_with_code(&written, phone);
	return parse_in_region(&written, region, phone);
}
