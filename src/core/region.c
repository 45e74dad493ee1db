/*
 * region.c: see region.h.
 */
#include "region.h"

#include <string.h>

#include "phone_plan.h"

#define CAPITALS "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* Codes of two letters in a list with a space between them. */
static bool
listed(const char *code, const char *list)
{
	const char *found = strstr(list, code);

	return strlen(code) == 2 && found != NULL && (found - list) % 3 == 0;
}

/* The country that a region begins with. */
static bool
read_country(const char *region, char country[3])
{
	if (strspn(region, CAPITALS) != 2 || (region[2] != '\0' && region[2] != '-'))
		return false;
	memcpy(country, region, 2);
	country[2] = '\0';
	return true;
}

static bool
known_part(const char *country, const char *part)
{
	if (strcmp(country, "US") == 0)
		return listed(part, "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY "
							"NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY");
	if (strcmp(country, "CA") == 0)
		return listed(part, "AB BC MB NB NL NS NT NU ON PE QC SK YT");
	return strlen(part) >= 1 && strlen(part) <= 3 && part[strspn(part, CAPITALS "0123456789")] == '\0';
}

bool
smsflow_region_known(const char *region)
{
	char country[3];

	if (!read_country(region, country) || smsflow_plan_of_region(country) == NULL)
		return false;
	return region[2] == '\0' || known_part(country, region + 3);
}

bool
smsflow_region_of_address(const char *region)
{
	char country[3];

	if (smsflow_region_known(region))
		return true;
	if (!read_country(region, country))
		return false;
	if (region[2] == '\0')
		return listed(country, "AQ BV GS HM PN TF UM");
	return strcmp(country, "US") == 0 && listed(region + 3, "AA AE AP AS GU MP PR UM VI");
}
