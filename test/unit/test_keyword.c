/*
 * test_keyword.c - replies: all vectors, every keyword as a customer would type it, and texts made to hurt.
 *
 * Usage: test_keyword [source folder]
 */
#include "keyword.h"
#include "fold.h"
#include "vectors.h"

static SmsflowReplyAction
classify(const char *body)
{
	const char *rule = NULL;
	SmsflowReplyAction action = smsflow_classify_reply(body, strlen(body), &rule);

	CHECK_ROW(rule != NULL, body);
	return action;
}

/* The names of the vectors and of keywords.csv say "if pending" where the action is to confirm. */
static const char *
action_of_vector(const char *expected)
{
	if (strcmp(expected, "opt_in_if_pending") == 0)
		return "confirm";
	if (strcmp(expected, "none_or_decline_if_pending") == 0)
		return "none";
	if (strcmp(expected, "opt_out_phrase") == 0)
		return "opt_out";
	return expected;
}

static void
test_vectors(const char *root)
{
	Vectors vectors = vectors_open(root, "test/unit/data/vectors_keywords.csv");

	while (vectors_row(&vectors))
	{
		const char *body = vectors_field(&vectors, "body");
		const char *expected = action_of_vector(vectors_field(&vectors, "expected"));

		CHECK_ROW(strcmp(smsflow_reply_action_name(classify(body)), expected) == 0, body);
	}
	CHECK_EQ(vectors.row_count, 80);
	vectors_close(&vectors);
}

/* Every keyword decides as its row says: as written, in quotes, with an exclamation mark. */
static void
test_keywords(const char *root)
{
	Vectors vectors = vectors_open(root, "src/core/data/keywords.csv");
	char decorated[200];

	while (vectors_row(&vectors))
	{
		const char *keyword = vectors_field(&vectors, "keyword");
		const char *expected = action_of_vector(vectors_field(&vectors, "action"));

		CHECK_ROW(strcmp(smsflow_reply_action_name(classify(keyword)), expected) == 0, keyword);
		snprintf(decorated, sizeof(decorated), "  “%s”!! 🙂\r\n", keyword);
		CHECK_ROW(strcmp(smsflow_reply_action_name(classify(decorated)), expected) == 0, keyword);
	}
	CHECK(vectors.row_count > 100);
	vectors_close(&vectors);
}

typedef struct Case
{
	const char *body;
	SmsflowReplyAction action;
	const char *rule;
} Case;

/* What the vectors leave open. */
static const Case cases[] = {{"", REPLY_NONE, "empty"},
							 {"Stop!", REPLY_OPT_OUT, "keyword"},
							 {"S.T.O.P", REPLY_OPT_OUT, "keyword"},
							 {"Yes, stop please", REPLY_OPT_OUT, "courtesy"},
							 {"No, stop", REPLY_OPT_OUT, "courtesy"},
							 {"no thanks", REPLY_NONE, "no_match"},
							 {"yes please", REPLY_CONFIRM, "courtesy"},
							 {"yes no", REPLY_NONE, "no_match"},
							 {"help please", REPLY_HELP, "courtesy"},
							 {"STOP HELP", REPLY_REVIEW, "courtesy"},
							 {"sotp pls", REPLY_OPT_OUT, "typing_error"},
							 {"cancer", REPLY_NONE, "no_match"},
							 {"don't stop", REPLY_NONE, "negation"},
							 {"Don’t stop, I can not stop laughing", REPLY_NONE, "negation"},
							 {"please do not unsubscribe me", REPLY_NONE, "negation"},
							 {"you never listen, stop texting me", REPLY_OPT_OUT, "phrase"},
							 {"I can't unsubscribe", REPLY_REVIEW, "soft_sign"},
							 {"how do I unsubscribe?", REPLY_REVIEW, "soft_sign"},
							 {"stop sending me these messages", REPLY_OPT_OUT, "phrase"},
							 {"I'd like you to stop all your marketing texts", REPLY_OPT_OUT, "phrase"},
							 {"STOP\n-- \nAnna, please join us", REPLY_OPT_OUT, "keyword"},
							 {"START or STOP?", REPLY_REVIEW, "contradiction"},
							 {"Text STOP to quit", REPLY_REVIEW, "quoted_footer"},
							 {"请退订", REPLY_REVIEW, "soft_sign"},
							 {"Стоп, пожалуйста!", REPLY_OPT_OUT, "courtesy"},
							 {"un-subscribe me", REPLY_OPT_OUT, "phrase"},
							 {"No más mensajes por favor", REPLY_OPT_OUT, "phrase"},
							 {"STOP ACME", REPLY_REVIEW, "leading_stop"},
							 {"STOP au 36180", REPLY_REVIEW, "leading_stop"},
							 {"ok stop these now", REPLY_REVIEW, "leading_stop"},
							 {"stop by tomorrow?", REPLY_NONE, "no_match"},
							 {"stop the presses, what a sale", REPLY_NONE, "no_match"},
							 {"STOP\xFF", REPLY_OPT_OUT, "keyword"},
							 {"\xFF\xFE", REPLY_NONE, "empty"}};

static void
test_cases(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const char *rule;
		SmsflowReplyAction action = smsflow_classify_reply(cases[i].body, strlen(cases[i].body), &rule);

		CHECK_ROW(action == cases[i].action, cases[i].body);
		CHECK_ROW(strcmp(rule, cases[i].rule) == 0, cases[i].body);
	}
}

static void
test_fold(void)
{
	static const char *const texts[][2] = {{"  Hello,   World! ", "hello world"},
										   {"ÅNGSTRÖM Straße œuvre", "angstrom strasse oeuvre"},
										   {"Ｆｕｌｌ　Ｗｉｄｔｈ", "full width"},
										   {"ОТПИСАТЬСЯ ΣΤΟΠ στός", "отписаться στοπ στοσ"},
										   {"e\u0301te\u0301", "ete"},
										   {"don’t can't", "dont cant"},
										   {"a\u200Bb\u00ADc", "abc"},
										   {"HỦY", "huy"},
										   {"🛑", ""}};
	char out[100];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		size_t len = smsflow_fold(texts[i][0], strlen(texts[i][0]), out);

		CHECK_ROW(strcmp(out, texts[i][1]) == 0 && len == strlen(out), texts[i][0]);
	}
}

/* Long texts are cut, cost little, and every byte value is survived at every place. */
static void
test_hostile(void)
{
	static const char *const patterns[] = {"stop ", "a ", "退 ", "\n", "don't ", "no more ", "\xF0\x9F", "stop all the "};
	static char body[100000];
	const char *rule;

	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
	{
		for (size_t at = 0; at < sizeof(body); at++)
			body[at] = patterns[i][at % strlen(patterns[i])];
		for (int times = 0; times < 20; times++)
			smsflow_classify_reply(body, sizeof(body), &rule);
		CHECK_ROW(rule != NULL, patterns[i]);
	}
	memset(body, ' ', sizeof(body));
	memcpy(body + SMSFLOW_REPLY_MAX_BYTES, "stop", 4);
	CHECK_EQ(smsflow_classify_reply(body, sizeof(body), &rule), REPLY_NONE);
	for (int byte = 0; byte < 256; byte++)
	{
		char text[] = "stop ?";

		text[5] = (char) byte;
		CHECK(smsflow_classify_reply(text, 6, &rule) <= REPLY_HELP);
	}
}

int
main(int argc, char **argv)
{
	const char *root = argc > 1 ? argv[1] : ".";

	test_vectors(root);
	test_keywords(root);
	test_cases();
	test_fold();
	test_hostile();
	return unit_report();
}
