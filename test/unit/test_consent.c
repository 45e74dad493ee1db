/*
 * test_consent.c - consent, opt-outs and instants: the algebra on random values, and text forms that lose nothing.
 */
#include "consent.h"
#include "opt_out.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define TRIPLES 100000

/* xorshift64*, so that every run tests the same values */
static uint64_t random_state = UINT64_C(88172645463325252);

static uint64_t
random_bits(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64_C(2685821657736338717);
}

/* Half of all cells are empty, and a quarter comes from few instants, so that ties are common. */
static int64_t
random_instant(void)
{
	uint64_t bits = random_bits();

	switch (bits >> 62)
	{
		case 0:
			return SMSFLOW_INSTANT_MIN + (int64_t) (random_bits() % (uint64_t) (SMSFLOW_INSTANT_MAX - SMSFLOW_INSTANT_MIN + 1));
		case 1:
			return (int64_t) (bits % 3) * 500000;
		default:
			return SMSFLOW_NEVER;
	}
}

static SmsflowConsent
random_consent(void)
{
	SmsflowConsent c;

	for (int p = 0; p < SMSFLOW_PURPOSES; p++)
	{
		for (int l = 0; l < SMSFLOW_LEVELS - 1; l++)
			c.granted[p][l] = random_instant();
		c.revoked[p] = random_instant();
	}
	return c;
}

static SmsflowConsent
merged(SmsflowConsent a, SmsflowConsent b)
{
	smsflow_consent_merge(&a, &b);
	return a;
}

static bool
same(SmsflowConsent a, SmsflowConsent b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

static void
test_algebra(void)
{
	SmsflowConsent none;
	int failures = 0;

	smsflow_consent_clear(&none);
	for (int i = 0; i < TRIPLES; i++)
	{
		SmsflowConsent a = random_consent();
		SmsflowConsent b = random_consent();
		SmsflowConsent c = random_consent();

		failures += !same(merged(a, b), merged(b, a));
		failures += !same(merged(merged(a, b), c), merged(a, merged(b, c)));
		failures += !same(merged(a, a), a);
		failures += !same(merged(a, none), a);
		failures += !same(merged(merged(a, b), b), merged(a, b));
	}
	CHECK_EQ(failures, 0);
}

/* Merging can never turn a revocation into consent that neither side had after it. */
static void
test_merge_level(void)
{
	int failures = 0;

	for (int i = 0; i < TRIPLES; i++)
	{
		SmsflowConsent a = random_consent();
		SmsflowConsent b = random_consent();
		SmsflowConsent m = merged(a, b);
		SmsflowPurpose p = (SmsflowPurpose) (random_bits() % SMSFLOW_PURPOSES);
		SmsflowLevel level_a = smsflow_consent_level(&a, p);
		SmsflowLevel level_b = smsflow_consent_level(&b, p);

		failures += smsflow_consent_level(&m, p) > (level_a > level_b ? level_a : level_b);
	}
	CHECK_EQ(failures, 0);
}

static SmsflowConsent
without(SmsflowConsent a, SmsflowOptOut o)
{
	smsflow_consent_apply(&a, &o);
	return a;
}

/* An opt-out ends what it names up to its very instant and nothing else, wherever in a merge it is applied. */
static void
test_opt_out_algebra(void)
{
	int failures = 0;

	for (int i = 0; i < TRIPLES; i++)
	{
		SmsflowConsent a = random_consent();
		SmsflowConsent b = random_consent();
		SmsflowConsent after;
		SmsflowOptOut o = {0};
		SmsflowOptOut other = {0};

		o.purposes = (uint8_t) (1 + random_bits() % SMSFLOW_OPT_OUT_PURPOSE_MASK);
		other.purposes = (uint8_t) (1 + random_bits() % SMSFLOW_OPT_OUT_PURPOSE_MASK);
		o.at = a.granted[random_bits() % SMSFLOW_PURPOSES][random_bits() % (SMSFLOW_LEVELS - 1)];
		other.at = (int64_t) (random_bits() % 3) * 500000;
		after = without(a, o);
		failures += !same(without(after, o), after);
		failures += !same(without(without(a, other), o), without(after, other));
		failures += !same(without(merged(a, b), o), merged(after, b));
		failures += !smsflow_consent_contains(&a, &after);
		for (int p = 0; p < SMSFLOW_PURPOSES; p++)
		{
			SmsflowLevel level = smsflow_consent_level(&after, (SmsflowPurpose) p);
			bool named = (o.purposes & (1u << p)) != 0;

			failures += !named && level != smsflow_consent_level(&a, (SmsflowPurpose) p);
			failures += named && level != SMSFLOW_LEVEL_NONE && after.granted[p][level - 1] <= o.at;
		}
	}
	CHECK_EQ(failures, 0);
}

/* A grant and a revocation of the same instant leave nothing, in whatever order and by whatever merge they meet. */
static void
test_ties_revoke(void)
{
	int failures = 0;

	for (int i = 0; i < TRIPLES; i++)
	{
		SmsflowPurpose p = (SmsflowPurpose) (random_bits() % SMSFLOW_PURPOSES);
		SmsflowLevel level = (SmsflowLevel) (1 + random_bits() % (SMSFLOW_LEVELS - 1));
		int64_t at = (int64_t) (random_bits() >> 14);
		SmsflowConsent yes;
		SmsflowConsent no;
		SmsflowConsent both;

		smsflow_consent_clear(&yes);
		smsflow_consent_clear(&no);
		smsflow_consent_grant(&yes, p, level, at);
		smsflow_consent_revoke(&no, p, at);
		both = merged(yes, no);
		failures += smsflow_consent_level(&both, p) != SMSFLOW_LEVEL_NONE || !same(both, merged(no, yes));
		smsflow_consent_grant(&both, p, level, at + 1);
		failures += smsflow_consent_level(&both, p) != level;
	}
	CHECK_EQ(failures, 0);
}

/* "Permits at least" is an order over what is permitted: reflexive, transitive, and none is below everything. */
static void
test_contains(void)
{
	SmsflowConsent none;
	int failures = 0;

	smsflow_consent_clear(&none);
	for (int i = 0; i < TRIPLES; i++)
	{
		SmsflowConsent a = random_consent();
		SmsflowConsent b = a;
		SmsflowConsent c;
		SmsflowPurpose p = (SmsflowPurpose) (random_bits() % SMSFLOW_PURPOSES);

		smsflow_consent_revoke(&b, p, random_instant());
		c = b;
		smsflow_consent_revoke(&c, (SmsflowPurpose) (random_bits() % SMSFLOW_PURPOSES), random_instant());
		failures += !smsflow_consent_contains(&a, &a) || !smsflow_consent_contains(&a, &none);
		failures += !smsflow_consent_contains(&a, &b) || !smsflow_consent_contains(&b, &c) || !smsflow_consent_contains(&a, &c);
		failures += smsflow_consent_contains(&b, &a) != (smsflow_consent_level(&a, p) == smsflow_consent_level(&b, p));
	}
	CHECK_EQ(failures, 0);
}

static void
test_text_loses_nothing(void)
{
	int failures = 0;

	for (int i = 0; i < TRIPLES; i++)
	{
		SmsflowConsent a = random_consent();
		SmsflowConsent b;
		char text[SMSFLOW_CONSENT_TEXT_SIZE];
		size_t len = smsflow_consent_format(&a, text);
		size_t offset;

		failures += len != strlen(text);
		failures += smsflow_consent_parse(text, len, &b, &offset) != SMSFLOW_CONSENT_OK;
		failures += offset != len || !same(a, b);
	}
	CHECK_EQ(failures, 0);
}

static void
test_longest_text(void)
{
	SmsflowConsent c;
	char text[SMSFLOW_CONSENT_TEXT_SIZE];

	for (int p = 0; p < SMSFLOW_PURPOSES; p++)
	{
		for (int l = 0; l < SMSFLOW_LEVELS - 1; l++)
			c.granted[p][l] = SMSFLOW_INSTANT_MAX;
		c.revoked[p] = SMSFLOW_INSTANT_MAX - 1;
	}
	CHECK(smsflow_consent_format(&c, text) < sizeof(text) / 2 + sizeof(text) / 4);
}

static void
test_levels(void)
{
	SmsflowConsent c;
	SmsflowPurpose p = SMSFLOW_PURPOSE_CART;

	smsflow_consent_clear(&c);
	CHECK_EQ(smsflow_consent_level(&c, p), SMSFLOW_LEVEL_NONE);
	smsflow_consent_grant(&c, p, SMSFLOW_LEVEL_EXPRESS, 100);
	CHECK_EQ(smsflow_consent_level(&c, p), SMSFLOW_LEVEL_EXPRESS);
	CHECK_EQ(smsflow_consent_level(&c, SMSFLOW_PURPOSE_PROMOTIONAL), SMSFLOW_LEVEL_NONE);
	smsflow_consent_grant(&c, p, SMSFLOW_LEVEL_CONFIRMED, 50);
	CHECK_EQ(smsflow_consent_level(&c, p), SMSFLOW_LEVEL_CONFIRMED);
	smsflow_consent_revoke(&c, p, 60);
	CHECK_EQ(smsflow_consent_level(&c, p), SMSFLOW_LEVEL_EXPRESS);
	smsflow_consent_revoke(&c, p, 100);
	CHECK_EQ(smsflow_consent_level(&c, p), SMSFLOW_LEVEL_NONE);
	smsflow_consent_grant(&c, p, SMSFLOW_LEVEL_IMPLIED, 99);
	CHECK_EQ(smsflow_consent_level(&c, p), SMSFLOW_LEVEL_NONE);
	smsflow_consent_revoke(&c, p, 10);
	smsflow_consent_grant(&c, p, SMSFLOW_LEVEL_IMPLIED, 101);
	CHECK_EQ(smsflow_consent_level(&c, p), SMSFLOW_LEVEL_IMPLIED);
}

static void
check_reads(const char *text, const char *canonical)
{
	SmsflowConsent c;
	char out[SMSFLOW_CONSENT_TEXT_SIZE];
	size_t offset;

	CHECK_EQ(smsflow_consent_parse(text, strlen(text), &c, &offset), SMSFLOW_CONSENT_OK);
	smsflow_consent_format(&c, out);
	if (strcmp(out, canonical) != 0)
		printf("\"%s\" became \"%s\"\n", text, out);
	CHECK(strcmp(out, canonical) == 0);
}

static void
check_consent_refused(const char *text, SmsflowConsentError error, size_t offset)
{
	SmsflowConsent c;
	size_t at;

	CHECK_EQ(smsflow_consent_parse(text, strlen(text), &c, &at), error);
	CHECK_EQ(at, offset);
}

#define T1 "2026-01-05T10:00:00Z"
#define T2 "2026-02-01T08:00:00.5Z"
#define T3 "2026-03-01T00:00:00Z"

static void
test_consent_text(void)
{
	check_reads("none", "none");
	check_reads("  none ", "none");
	check_reads("promotional: written since " T1, "promotional: written since " T1);
	check_reads("promotional: written since " T1 ", cart: revoked " T2 " after express " T1,
				"cart: revoked " T2 " after express " T1 ", promotional: written since " T1);
	check_reads("otp: revoked " T2, "otp: revoked " T2);
	check_reads("cart:express since " T3 " and written since " T3 " after revoked " T2 " after implied " T1,
				"cart: written since " T3 " and express since " T3 " after revoked " T2 " after implied " T1);
	/* a tie revokes */
	check_reads("cart: revoked " T1 " after express " T1, "cart: revoked " T1 " after express " T1);

	check_consent_refused("", SMSFLOW_CONSENT_BAD_PURPOSE, 0);
	check_consent_refused("none, cart: revoked " T1, SMSFLOW_CONSENT_BAD_SYNTAX, 4);
	check_consent_refused("marketing: revoked " T1, SMSFLOW_CONSENT_BAD_PURPOSE, 0);
	check_consent_refused("Cart: revoked " T1, SMSFLOW_CONSENT_BAD_PURPOSE, 0);
	check_consent_refused("cart revoked " T1, SMSFLOW_CONSENT_BAD_SYNTAX, 5);
	check_consent_refused("cart: none since " T1, SMSFLOW_CONSENT_BAD_LEVEL, 6);
	check_consent_refused("cart: agreed " T1, SMSFLOW_CONSENT_BAD_LEVEL, 6);
	check_consent_refused("cart: express since yesterday", SMSFLOW_CONSENT_BAD_INSTANT, 20);
	check_consent_refused("cart: revoked", SMSFLOW_CONSENT_BAD_INSTANT, 13);
	check_consent_refused("cart: revoked " T1 " today", SMSFLOW_CONSENT_BAD_SYNTAX, 35);
	check_consent_refused("cart: revoked " T1 ",", SMSFLOW_CONSENT_BAD_PURPOSE, 35);
	check_consent_refused("cart: revoked " T1 ", cart: revoked " T1, SMSFLOW_CONSENT_DUPLICATE, 36);
	check_consent_refused("cart: revoked " T1 " after revoked " T2, SMSFLOW_CONSENT_DUPLICATE, 41);
	check_consent_refused("cart: express since " T1 " and revoked " T2, SMSFLOW_CONSENT_CONTRADICTION, 0);
	check_consent_refused("cart: express " T1, SMSFLOW_CONSENT_CONTRADICTION, 0);
	check_consent_refused("cart: revoked " T1 " after express " T2, SMSFLOW_CONSENT_CONTRADICTION, 0);
}

static void
check_instant(const char *text, int64_t expected)
{
	char out[SMSFLOW_INSTANT_TEXT_SIZE];
	int64_t instant = 0;

	CHECK_EQ(smsflow_instant_parse(text, strlen(text), &instant), strlen(text));
	CHECK_EQ(instant, expected);
	CHECK_EQ(smsflow_instant_format(expected, out), strlen(text));
	CHECK(strcmp(out, text) == 0);
}

static void
check_no_instant(const char *text)
{
	int64_t instant;

	CHECK_EQ(smsflow_instant_parse(text, strlen(text), &instant), 0);
}

static void
test_instants(void)
{
	check_instant("2000-01-01T00:00:00Z", 0);
	check_instant("1999-12-31T23:59:59.999999Z", -1);
	check_instant("1970-01-01T00:00:00Z", INT64_C(-946684800000000));
	check_instant("2000-02-29T12:34:56.5Z", INT64_C(5142896500000));
	check_instant("2026-02-01T08:00:00.000001Z", INT64_C(823248000000001));
	check_instant("0001-01-01T00:00:00Z", SMSFLOW_INSTANT_MIN);
	check_instant("9999-12-31T23:59:59.999999Z", SMSFLOW_INSTANT_MAX);

	check_no_instant("0000-12-31T00:00:00Z");
	check_no_instant("2026-02-29T00:00:00Z");
	check_no_instant("1900-02-29T00:00:00Z");
	check_no_instant("2026-13-01T00:00:00Z");
	check_no_instant("2026-00-01T00:00:00Z");
	check_no_instant("2026-04-31T00:00:00Z");
	check_no_instant("2026-01-00T00:00:00Z");
	check_no_instant("2026-01-01T24:00:00Z");
	check_no_instant("2026-01-01T00:60:00Z");
	check_no_instant("2026-01-01T23:59:60Z");
	check_no_instant("2026-01-01T00:00:00");
	check_no_instant("2026-01-01T00:00:00.Z");
	check_no_instant("2026-01-01T00:00:00.1234567Z");
	check_no_instant("2026-01-01T00:00:00+00:00");
	check_no_instant("2026-01-01 00:00:00Z");
	check_no_instant("2026-1-1T00:00:00Z");
	check_no_instant("2026-01-01T0");
	check_no_instant("");
}

static void
check_read(const char *text, int64_t expected)
{
	int64_t instant = 0;

	CHECK(smsflow_instant_read(text, strlen(text), &instant));
	CHECK_EQ(instant, expected);
}

static void
check_no_read(const char *text)
{
	int64_t instant;

	CHECK(!smsflow_instant_read(text, strlen(text), &instant));
}

/* As gateways write them; 1700000000 is 2023-11-14T22:13:20Z. */
static void
test_instants_of_gateways(void)
{
	const int64_t then = INT64_C(753315200000000);

	check_read("1700000000", then);
	check_read("1700000000123", then + 123000);
	check_read("2023-11-14T22:13:20Z", then);
	check_read("2023-11-14T22:13:20.5Z", then + 500000);
	check_read("2023-11-14T22:13:20", then);
	check_read("2023-11-14 22:13:20", then);
	check_read("2023-11-14 23:13:20+01:00", then);
	check_read("2023-11-14 23:13:20 +0100", then);
	check_read("2023-11-14T20:43:20.000-0130", then);
	check_read("2023-11-15T00:13:20+02", then);
	check_read("2016-10-06T09:28:39.220+0000", INT64_C(529061319220000));

	check_no_read("");
	check_no_read("0");
	check_no_read("17000000001");
	check_no_read("2311142213xx");
	check_no_read("2023-11-14");
	check_no_read("2023-11-14T22:13:20+1");
	check_no_read("2023-11-14T22:13:20+01:0");
	check_no_read("2023-11-14T22:13:20+01:00x");
	check_no_read("2023-11-14T22:13:20 x");
	check_no_read("2023-11-14T22:13:20+16:00");
	check_no_read("0001-01-01T00:00:00+01:00");
	check_no_read("2023-02-29T00:00:00Z");
}

/* Consecutive days have consecutive dates: every day of the valid range, by its text. */
static void
test_every_day(void)
{
	const int64_t day = INT64_C(86400000000);
	char before[SMSFLOW_INSTANT_TEXT_SIZE] = "";
	int failures = 0;

	for (int64_t at = SMSFLOW_INSTANT_MIN; at <= SMSFLOW_INSTANT_MAX; at += day)
	{
		char text[SMSFLOW_INSTANT_TEXT_SIZE];
		size_t len = smsflow_instant_format(at, text);
		int64_t back = 0;

		failures += smsflow_instant_parse(text, len, &back) != len || back != at || strcmp(before, text) >= 0;
		memcpy(before, text, sizeof(before));
	}
	CHECK_EQ(failures, 0);
}

static void
check_opt_out(const char *text, const char *canonical, const char *said)
{
	SmsflowOptOut o;
	char words[256];
	char out[512];
	size_t offset;
	size_t len;

	CHECK_EQ(smsflow_opt_out_parse(text, strlen(text), words, &o, &offset), SMSFLOW_OPT_OUT_OK);
	CHECK_EQ(o.words_len, strlen(said));
	CHECK(o.words_len == 0 || memcmp(o.words, said, o.words_len) == 0);
	len = smsflow_opt_out_format(&o, out);
	CHECK(len < smsflow_opt_out_text_size(&o));
	if (strcmp(out, canonical) != 0)
		printf("\"%s\" became \"%s\"\n", text, out);
	CHECK(strcmp(out, canonical) == 0);
}

static void
check_opt_out_refused(const char *text, SmsflowOptOutError error, size_t offset)
{
	SmsflowOptOut o;
	char words[256];
	size_t at;

	CHECK_EQ(smsflow_opt_out_parse(text, strlen(text), words, &o, &at), error);
	CHECK_EQ(at, offset);
}

static void
test_opt_out_text(void)
{
	check_opt_out("promotional,cart by keyword at " T2 " saying \"STOP\"",
				  "cart, promotional by keyword at " T2 " saying \"STOP\"", "STOP");
	check_opt_out("cart by erasure at " T1, "cart by erasure at " T1, "");
	check_opt_out("cart by web at " T1 " saying \"\"", "cart by web at " T1, "");
	check_opt_out("cart by support at " T1 " saying \" say \\\"no\\\" \\\\o/ \xc3\xa9\"",
				  "cart by support at " T1 " saying \" say \\\"no\\\" \\\\o/ \xc3\xa9\"", " say \"no\" \\o/ \xc3\xa9");

	check_opt_out_refused("", SMSFLOW_OPT_OUT_BAD_PURPOSE, 0);
	check_opt_out_refused("all by web at " T1, SMSFLOW_OPT_OUT_BAD_PURPOSE, 0);
	check_opt_out_refused("cart, by web at " T1, SMSFLOW_OPT_OUT_BAD_PURPOSE, 6);
	check_opt_out_refused("cart through web", SMSFLOW_OPT_OUT_BAD_SYNTAX, 5);
	check_opt_out_refused("cart by fax at " T1, SMSFLOW_OPT_OUT_BAD_CHANNEL, 8);
	check_opt_out_refused("cart by web on " T1, SMSFLOW_OPT_OUT_BAD_SYNTAX, 12);
	check_opt_out_refused("cart by web at noon", SMSFLOW_OPT_OUT_BAD_INSTANT, 15);
	check_opt_out_refused("cart by web at " T1 " saying STOP", SMSFLOW_OPT_OUT_BAD_WORDS, 43);
	check_opt_out_refused("cart by web at " T1 " saying \"STOP", SMSFLOW_OPT_OUT_BAD_WORDS, 48);
	check_opt_out_refused("cart by web at " T1 " saying \"STOP\\", SMSFLOW_OPT_OUT_BAD_WORDS, 49);
	check_opt_out_refused("cart by web at " T1 " saying \"a\" b", SMSFLOW_OPT_OUT_BAD_SYNTAX, 47);
}

static void
test_opt_out_applies(void)
{
	SmsflowConsent c;
	SmsflowOptOut o = {0};

	smsflow_consent_clear(&c);
	for (int p = 0; p < SMSFLOW_PURPOSES; p++)
		smsflow_consent_grant(&c, (SmsflowPurpose) p, SMSFLOW_LEVEL_WRITTEN, 100);
	o.purposes = 1u << SMSFLOW_PURPOSE_CART | 1u << SMSFLOW_PURPOSE_PROMOTIONAL;
	o.at = 100;
	smsflow_consent_apply(&c, &o);
	CHECK_EQ(smsflow_consent_level(&c, SMSFLOW_PURPOSE_CART), SMSFLOW_LEVEL_NONE);
	CHECK_EQ(smsflow_consent_level(&c, SMSFLOW_PURPOSE_PROMOTIONAL), SMSFLOW_LEVEL_NONE);
	CHECK_EQ(smsflow_consent_level(&c, SMSFLOW_PURPOSE_TRANSACTIONAL), SMSFLOW_LEVEL_WRITTEN);
	CHECK_EQ(smsflow_consent_level(&c, SMSFLOW_PURPOSE_COMPLIANCE), SMSFLOW_LEVEL_WRITTEN);
}

static void
test_error_texts(void)
{
	for (int e = SMSFLOW_CONSENT_OK; e <= SMSFLOW_CONSENT_CONTRADICTION; e++)
		CHECK(strcmp(smsflow_consent_error_text((SmsflowConsentError) e), "Unknown error.") != 0);
	for (int e = SMSFLOW_OPT_OUT_OK; e <= SMSFLOW_OPT_OUT_BAD_WORDS; e++)
		CHECK(strcmp(smsflow_opt_out_error_text((SmsflowOptOutError) e), "Unknown error.") != 0);
}

int
main(void)
{
	test_algebra();
	test_merge_level();
	test_opt_out_algebra();
	test_ties_revoke();
	test_contains();
	test_text_loses_nothing();
	test_longest_text();
	test_levels();
	test_consent_text();
	test_instants();
	test_instants_of_gateways();
	test_every_day();
	test_opt_out_text();
	test_opt_out_applies();
	test_error_texts();
	return unit_report();
}
