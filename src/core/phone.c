/*
 * phone.c: what a telephone number tells by itself: its text, its region, its kind and its time zones.
 *
 * The number is split into calling code and national digits each time it is asked about: that costs less than carrying the
 * split in every stored value would.
 */
#include "phone.h"
#include "pattern.h"
#include "phone_plan.h"

#include <string.h>

#define MIN_DIGITS 7
#define MAX_DIGITS 15
#define NORTH_AMERICA 1
#define NORTH_AMERICAN_DIGITS 10

/*
 * Prefixes of +1 that belong to no place: toll-free, premium-rate and personal numbers (North American Numbering Plan
 * Administrator). They are counted as US, whose operators hold nearly all of them.
 */
#define NANP_WITHOUT_PLACE "8(?:00|33|44|55|66|77|88)|900|5(?:00|2[1-35-9]|33|44|66|77|88)"

/* One row of data/nanp_tz.csv. */
typedef struct PhoneArea
{
	int area_code;
	char region[3];
	char state[6]; /* empty when there is none, or more than one */
	int zone_count;
	const char *zones[5];
} PhoneArea;

static const PhoneArea phone_areas[] = {
#include "generated/phone_areas.inc"
};

/* A number taken apart. */
typedef struct Number
{
	char digits[MAX_DIGITS];
	int count;
	PhonePlans plans;
	const char *national;
	int national_count;
} Number;

static int
split_digits(int64_t phone, char *digits)
{
	char reversed[MAX_DIGITS];
	int count = 0;

	if (phone <= 0)
		return 0;
	for (; phone > 0; phone /= 10)
	{
		if (count == MAX_DIGITS)
			return 0;
		reversed[count++] = (char) ('0' + phone % 10);
	}
	for (int i = 0; i < count; i++)
		digits[i] = reversed[count - 1 - i];
	return count;
}

/* False when the integer is no number of an assigned calling code. */
static bool
take_apart(int64_t phone, Number *number)
{
	int code_length;

	number->count = split_digits(phone, number->digits);
	number->plans = smsflow_plans_of_digits(number->digits, number->count, &code_length);
	number->national = number->digits + code_length;
	number->national_count = number->count - code_length;
	return number->plans.count > 0;
}

bool
smsflow_phone_valid(int64_t phone)
{
	Number number;

	return take_apart(phone, &number) && number.count >= MIN_DIGITS;
}

size_t
smsflow_phone_format(int64_t phone, char *buf)
{
	int count = split_digits(phone, buf + 1);

	buf[0] = count > 0 ? '+' : '\0';
	buf[count > 0 ? count + 1 : 0] = '\0';
	return count > 0 ? (size_t) count + 1 : 0;
}

size_t
smsflow_phone_mask(int64_t phone, char *buf)
{
	size_t length = smsflow_phone_format(phone, buf);
	size_t shown = length >= 12 ? 4 : length >= 9 ? length - 8 : 1;

	for (size_t i = 1 + shown; i + 2 < length; i++)
		buf[i] = '*';
	return length;
}

const char *
smsflow_phone_error_text(SmsflowPhoneError error)
{
	switch (error)
	{
		case PHONE_OK:
			return "no error";
		case PHONE_EMPTY:
			return "it has no digits";
		case PHONE_BAD_CHARACTER:
			return "it has a character that is neither a digit nor a separator";
		case PHONE_HAS_LETTERS:
			return "it has letters";
		case PHONE_NO_COUNTRY:
			return "it does not begin with \"+\" and no region is given";
		case PHONE_UNKNOWN_COUNTRY:
			return "it begins with a country calling code that is not assigned";
		case PHONE_UNKNOWN_REGION:
			return "the region is not a known two-letter region code";
		case PHONE_TOO_SHORT:
			return "it has too few digits";
		case PHONE_TOO_LONG:
			return "it has too many digits";
		case PHONE_NOT_ASSIGNABLE:
			return "its country has no numbers of this length or beginning";
	}
	return "unknown error";
}

/* The area code row of a number of +1, or NULL. */
static const PhoneArea *
find_area(const Number *number)
{
	size_t low = 0;
	size_t high = sizeof(phone_areas) / sizeof(phone_areas[0]);
	int area_code;

	if (number->plans.first->calling_code != NORTH_AMERICA || number->national_count != NORTH_AMERICAN_DIGITS)
		return NULL;
	area_code = (number->national[0] - '0') * 100 + (number->national[1] - '0') * 10 + (number->national[2] - '0');
	while (low < high)
	{
		size_t middle = low + (high - low) / 2;

		if (phone_areas[middle].area_code < area_code)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < sizeof(phone_areas) / sizeof(phone_areas[0]) && phone_areas[low].area_code == area_code)
		return &phone_areas[low];
	return NULL;
}

/* In North America the area code decides; exchange codes begin with 2 to 9. */
static const PhonePlan *
resolve_north_american(const Number *number)
{
	const PhoneArea *area = find_area(number);

	if (number->national_count != NORTH_AMERICAN_DIGITS || number->national[3] < '2')
		return NULL;
	if (area != NULL)
		return smsflow_plan_of_region(area->region);
	if (smsflow_pattern_prefix(NANP_WITHOUT_PLACE, number->national, number->national_count, NULL) > 0)
		return number->plans.first;
	return NULL;
}

static bool
is_mobile(const Number *number, const PhonePlan *plan)
{
	return smsflow_pattern_matches(plan->mobile_pattern, number->national, number->national_count);
}

/*
 * Whether a plan other than the main one owns the number: by its leading digits; or, where it has none, by its mobile
 * ranges; or by the area code its transform rule puts before local numbers. Islands that share everything with the main
 * region cannot be told apart.
 */
static bool
owns(const PhonePlan *plan, const PhonePlan *main_plan, const Number *number)
{
	if (plan->leading_digits[0] != '\0')
		return smsflow_pattern_prefix(plan->leading_digits, number->national, number->national_count, NULL) > 0;
	if (plan->transform != NULL && strlen(plan->transform) >= 3 && number->national_count > (int) strlen(plan->transform) &&
		memcmp(plan->transform, number->national, strlen(plan->transform)) == 0)
		return true;
	return is_mobile(number, plan) && !is_mobile(number, main_plan);
}

/* The plan of the region the number belongs to, or NULL. */
static const PhonePlan *
resolve(const Number *number)
{
	if (number->plans.first->calling_code == NORTH_AMERICA)
		return resolve_north_american(number);
	for (int i = 1; i < number->plans.count; i++)
		if (owns(&number->plans.first[i], number->plans.first, number))
			return &number->plans.first[i];
	return number->plans.first;
}

const char *
smsflow_phone_region(int64_t phone)
{
	Number number;
	const PhonePlan *plan = take_apart(phone, &number) ? resolve(&number) : NULL;

	return plan != NULL ? plan->region : NULL;
}

/* The lengths of the main plan hold for all regions of a calling code. */
static bool
has_possible_length(const Number *number)
{
	return number->plans.first->lengths >> number->national_count & 1;
}

SmsflowPhoneKind
smsflow_phone_kind(int64_t phone)
{
	Number number;
	const PhonePlan *plan = take_apart(phone, &number) ? resolve(&number) : NULL;

	if (plan == NULL || !has_possible_length(&number))
		return PHONE_KIND_UNKNOWN;
	if (is_mobile(&number, plan))
		return plan->mobile_is_fixed ? PHONE_KIND_FIXED_OR_MOBILE : PHONE_KIND_MOBILE;

	/* What is left of a shared plan or of a network without a country may be anything. */
	if (plan->calling_code == NORTH_AMERICA || plan->region[0] == '0')
		return PHONE_KIND_UNKNOWN;
	return PHONE_KIND_FIXED;
}

bool
smsflow_phone_possible(int64_t phone)
{
	Number number;

	return take_apart(phone, &number) && has_possible_length(&number);
}

bool
smsflow_phone_assignable(int64_t phone)
{
	Number number;

	if (!take_apart(phone, &number) || !has_possible_length(&number))
		return false;
	if (number.plans.first->calling_code != NORTH_AMERICA)
		return true;
	return number.national_count == NORTH_AMERICAN_DIGITS && number.national[0] >= '2' && number.national[3] >= '2';
}

const char *const *
smsflow_phone_time_zones(int64_t phone, int *count)
{
	Number number;
	const PhoneArea *area = take_apart(phone, &number) ? find_area(&number) : NULL;

	*count = area != NULL ? area->zone_count : 0;
	return area != NULL ? area->zones : NULL;
}

const char *
smsflow_phone_state(int64_t phone)
{
	Number number;
	const PhoneArea *area = take_apart(phone, &number) ? find_area(&number) : NULL;

	return area != NULL && area->state[0] != '\0' ? area->state : NULL;
}
