/*
 * fuzz_consent.c - the text forms of consent and opt_out, which dumps and replicas depend on: what was read is written, and
 * reads back as the same value; two values merge to the same whichever comes first. Input: the text, or two, one a line.
 */
#include "consent.h"
#include "fuzz.h"
#include "opt_out.h"

static void
check_consent(const char *text, size_t size)
{
	SmsflowConsent consent;
	SmsflowConsent again;
	char out[SMSFLOW_CONSENT_TEXT_SIZE];
	size_t offset = 0;
	size_t len;
	SmsflowConsentError error = smsflow_consent_parse(text, size, &consent, &offset);

	if (error != SMSFLOW_CONSENT_OK)
	{
		REQUIRE(offset <= size && smsflow_consent_error_text(error) != NULL);
		return;
	}
	len = smsflow_consent_format(&consent, out);
	REQUIRE(len < sizeof(out) && strlen(out) == len);
	REQUIRE(smsflow_consent_parse(out, len, &again, &offset) == SMSFLOW_CONSENT_OK);
	REQUIRE(memcmp(&consent, &again, sizeof(consent)) == 0);
	smsflow_consent_merge(&again, &consent);
	REQUIRE(memcmp(&consent, &again, sizeof(consent)) == 0);
}

/* Merging forgets no revocation and makes no consent that neither side had. */
static void
check_merge(const char *text, size_t size)
{
	const char *end = size > 0 ? memchr(text, '\n', size) : NULL;
	SmsflowConsent a;
	SmsflowConsent b;
	SmsflowConsent ab;
	SmsflowConsent ba;
	size_t offset;

	if (end == NULL || smsflow_consent_parse(text, (size_t) (end - text), &a, &offset) != SMSFLOW_CONSENT_OK ||
		smsflow_consent_parse(end + 1, size - (size_t) (end - text) - 1, &b, &offset) != SMSFLOW_CONSENT_OK)
		return;
	ab = a;
	smsflow_consent_merge(&ab, &b);
	ba = b;
	smsflow_consent_merge(&ba, &a);
	REQUIRE(memcmp(&ab, &ba, sizeof(ab)) == 0);
	for (int purpose = 0; purpose < SMSFLOW_PURPOSES; purpose++)
	{
		SmsflowLevel level = smsflow_consent_level(&ab, purpose);

		REQUIRE(ab.revoked[purpose] >= a.revoked[purpose] && ab.revoked[purpose] >= b.revoked[purpose]);
		REQUIRE(level <= smsflow_consent_level(&a, purpose) || level <= smsflow_consent_level(&b, purpose));
		REQUIRE(level == SMSFLOW_LEVEL_NONE || ab.granted[purpose][level - 1] > ab.revoked[purpose]);
	}
}

/* Whoever opts out of what was granted up to then has no level left. */
static void
check_applied(const SmsflowOptOut *opt_out)
{
	SmsflowConsent consent;

	smsflow_consent_clear(&consent);
	for (int purpose = 0; purpose < SMSFLOW_PURPOSES; purpose++)
		smsflow_consent_grant(&consent, purpose, SMSFLOW_LEVEL_CONFIRMED, opt_out->at);
	smsflow_consent_apply(&consent, opt_out);
	for (int purpose = 0; purpose < SMSFLOW_PURPOSES; purpose++)
	{
		bool ended = (opt_out->purposes >> purpose & 1) != 0;

		REQUIRE(smsflow_consent_level(&consent, purpose) == (ended ? SMSFLOW_LEVEL_NONE : SMSFLOW_LEVEL_CONFIRMED));
	}
}

static void
check_written(const SmsflowOptOut *opt_out)
{
	size_t room = smsflow_opt_out_text_size(opt_out);
	char *out = fuzz_buffer(room);
	size_t len = smsflow_opt_out_format(opt_out, out);
	char *words = fuzz_buffer(len);
	SmsflowOptOut again;
	size_t offset;

	REQUIRE(len < room && out[len] == '\0');
	REQUIRE(smsflow_opt_out_parse(out, len, words, &again, &offset) == SMSFLOW_OPT_OUT_OK);
	REQUIRE(again.purposes == opt_out->purposes && again.channel == opt_out->channel && again.at == opt_out->at);
	REQUIRE(again.words_len == opt_out->words_len);
	REQUIRE(again.words_len == 0 || memcmp(again.words, opt_out->words, again.words_len) == 0);
	free(words);
	free(out);
}

static void
check_opt_out(const char *text, size_t size)
{
	char *words = fuzz_buffer(size);
	SmsflowOptOut opt_out;
	size_t offset = 0;
	SmsflowOptOutError error = smsflow_opt_out_parse(text, size, words, &opt_out, &offset);

	if (error == SMSFLOW_OPT_OUT_OK)
	{
		REQUIRE(opt_out.purposes != 0 && (opt_out.purposes & ~SMSFLOW_OPT_OUT_PURPOSE_MASK) == 0);
		check_applied(&opt_out);
		check_written(&opt_out);
	}
	else
		REQUIRE(offset <= size && smsflow_opt_out_error_text(error) != NULL);
	free(words);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_copy(data, size);

	check_consent(text, size);
	check_opt_out(text, size);
	check_merge(text, size);
	free(text);
	return 0;
}
