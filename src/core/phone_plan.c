/*
 * phone_plan.c: the compiled-in numbering plans.
 *
 * A calling code is an index into phone_codes, which points at its plans: they stand together, the main one first.
 */
#include "phone_plan.h"

static const PhonePlan phone_plans[] = {
#include "generated/phone_plans.inc"
};

typedef struct PhoneCode
{
	uint8_t first;
	uint8_t count;
} PhoneCode;

static const PhoneCode phone_codes[1000] = {
#include "generated/phone_codes.inc"
};

_Static_assert(sizeof(phone_plans) / sizeof(phone_plans[0]) <= UINT8_MAX + 1, "a plan index must fit PhoneCode");

PhonePlans
smsflow_plans_of_digits(const char *digits, int count, int *code_length)
{
	unsigned code = 0;

	/* No calling code is the beginning of another one, so the first hit is the only one. */
	for (int i = 0; i < 3 && i < count && digits[0] != '0'; i++)
	{
		code = code * 10 + (unsigned) (digits[i] - '0');
		if (phone_codes[code].count > 0)
		{
			*code_length = i + 1;
			return (PhonePlans){&phone_plans[phone_codes[code].first], phone_codes[code].count};
		}
	}
	*code_length = 0;
	return (PhonePlans){NULL, 0};
}

static char
upper(char c)
{
	return (char) (c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
}

const PhonePlan *
smsflow_plan_of_region(const char *region)
{
	for (size_t i = 0; i < sizeof(phone_plans) / sizeof(phone_plans[0]); i++)
	{
		const char *name = phone_plans[i].region;

		if (name[0] >= 'A' && name[0] == upper(region[0]) && name[1] == upper(region[1]) && region[2] == '\0')
			return &phone_plans[i];
	}
	return NULL;
}
