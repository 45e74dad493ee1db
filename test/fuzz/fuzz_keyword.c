/*
 * fuzz_keyword.c - every reply gets an action and the rule that decided it, and shouting changes nothing. Input: the reply.
 */
#include "fold.h"
#include "fuzz.h"
#include "keyword.h"

static void
check_fold(const char *text, size_t size)
{
	char	   *words = fuzz_buffer(size + 1);
	char	   *again = fuzz_buffer(size + 1);
	size_t		len = smsflow_fold(text, size, words);

	REQUIRE(len <= size && strlen(words) == len);
	REQUIRE(strstr(words, "  ") == NULL);
	REQUIRE(len == 0 || (words[0] != ' ' && words[len - 1] != ' '));
	REQUIRE(smsflow_fold(words, len, again) == len && strcmp(words, again) == 0);
	free(words);
	free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_copy(data, size);
	const char *rule = NULL;
	const char *loud_rule = NULL;
	SmsflowReplyAction action = smsflow_classify_reply(text, size, &rule);

	REQUIRE(action >= REPLY_NONE && action <= REPLY_HELP);
	REQUIRE(smsflow_reply_action_name(action) != NULL && rule != NULL);
	check_fold(text, size);
	for (size_t i = 0; i < size; i++)
		if (text[i] >= 'a' && text[i] <= 'z')
			text[i] = (char) (text[i] - 'a' + 'A');
	REQUIRE(smsflow_classify_reply(text, size, &loud_rule) == action && loud_rule == rule);
	free(text);
	return 0;
}
