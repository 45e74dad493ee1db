/*
 * fuzz_keyword.c - every reply gets an action and the rule that decided it; shouting, blanks around it, and what comes after
 * the bytes that are read change nothing. Input: the reply.
 */
#include "fold.h"
#include "fuzz.h"
#include "keyword.h"

static void
check_fold(const char *text, size_t size)
{
	char *words = fuzz_buffer(size + 1);
	char *again = fuzz_buffer(size + 1);
	size_t len = smsflow_fold(text, size, words);

	REQUIRE(len <= size && strlen(words) == len);
	REQUIRE(strstr(words, "  ") == NULL);
	REQUIRE(len == 0 || (words[0] != ' ' && words[len - 1] != ' '));
	REQUIRE(smsflow_fold(words, len, again) == len && strcmp(words, again) == 0);
	free(words);
	free(again);
}

static void
check_same(const char *text, size_t size, SmsflowReplyAction action, const char *rule)
{
	const char *other_rule = NULL;

	REQUIRE(smsflow_classify_reply(text, size, &other_rule) == action && other_rule == rule);
}

/* Blanks before and after; where they would push a part of the reply out of what is read, only those after. */
static void
check_blanks(const char *text, size_t size, SmsflowReplyAction action, const char *rule)
{
	size_t before = size + 2 <= SMSFLOW_REPLY_MAX_BYTES && (size == 0 || text[0] != '-') ? 2 : 0;
	char *padded = fuzz_buffer(size + 4);

	memset(padded, ' ', size + 4);
	if (size > 0)
		memcpy(padded + before, text, size);
	check_same(padded, before + size + 2, action, rule);
	free(padded);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_copy(data, size);
	const char *rule = NULL;
	SmsflowReplyAction action = smsflow_classify_reply(text, size, &rule);

	REQUIRE(action >= REPLY_NONE && action <= REPLY_HELP);
	REQUIRE(smsflow_reply_action_name(action) != NULL && rule != NULL);
	check_fold(text, size);
	check_blanks(text, size, action, rule);
	if (size > SMSFLOW_REPLY_MAX_BYTES)
		check_same(text, SMSFLOW_REPLY_MAX_BYTES, action, rule);
	for (size_t i = 0; i < size; i++)
		if (text[i] >= 'a' && text[i] <= 'z')
			text[i] = (char) (text[i] - 'a' + 'A');
	check_same(text, size, action, rule);
	free(text);
	return 0;
}
