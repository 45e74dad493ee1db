/*
 * test_language.c - which text is for whom.
 */
#include "language.h"
#include "unit.h"

#include <string.h>

static int
fits(const char *offered, const char *wanted)
{
	return smsflow_language_fits(offered, strlen(offered), wanted, strlen(wanted));
}

static void
test_fits(void)
{
	CHECK(fits("pt-BR", "pt-BR") == 5);
	CHECK(fits("pt", "pt-BR") == 2);
	CHECK(fits("PT", "pt_br") == 2);
	CHECK(fits("pt_br", "PT-BR") == 5);
	CHECK(fits("zh-Hant", "zh-Hant-TW") == 7);
	CHECK(fits("", "pt-BR") == 0);
	CHECK(fits("", "") == 0);
}

static void
test_does_not_fit(void)
{
	CHECK(fits("pt-BR", "pt") == -1);
	CHECK(fits("pt-PT", "pt-BR") == -1);
	CHECK(fits("p", "pt") == -1);
	CHECK(fits("pt", "") == -1);
	CHECK(fits("en", "e-n") == -1);
}

int
main(void)
{
	test_fits();
	test_does_not_fit();
	return unit_report();
}
