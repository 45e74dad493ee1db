/*
 * keyword.c: classifies replies.
 *
 * The text is folded to plain words, then asked a short list of questions, from the most certain to the least; the first
 * one with an answer decides. The order matters: an exact keyword beats everything, and a negation ("don't stop") is taken out
 * before anything looks for the words it contains. All work is bounded by SMSFLOW_REPLY_MAX_BYTES.
 */
#include "keyword.h"
#include "fold.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define UNDECIDED (-1)
#define MAX_LEADING_WORDS 4
#define MAX_WORDS (SMSFLOW_REPLY_MAX_BYTES / 2 + 1)
#define HAS(actions, action) (((actions) >> (action) &1) != 0)

typedef struct Keyword
{
	const char *text; /* folded; the table ascends by it */
	size_t length;
	SmsflowReplyAction action;
	bool phrase; /* counts within a longer text, too */
} Keyword;

static const Keyword keywords[] = {
#include "generated/keywords.inc"
};

typedef struct Word
{
	uint16_t start;
	uint16_t length;
} Word;

typedef struct Reply
{
	char text[SMSFLOW_REPLY_MAX_BYTES + 3]; /* " folded words " */
	Word words[MAX_WORDS];
	int word_count;
	bool negated;

	/* Sets of SmsflowReplyAction, one bit each: of all keywords in the text, and of those that are phrases. */
	unsigned actions;
	unsigned phrase_actions;
	int other_count; /* words that are neither keyword nor courtesy */
	Word other;      /* the last of them */
} Reply;

/* As they are folded. */
static const char *const courtesy_words[] = {"please", "pls",        "plz",      "now",      "me",  "all",    "it",
											 "this",   "thanks",     "thank",    "thx",      "ty",  "you",    "u",
											 "ok",     "okay",       "hi",       "hello",    "hey", "sir",    "immediately",
											 "asap",   "already",    "just",     "and",      "svp", "stp",    "sil",
											 "vous",   "te",         "plait",    "merci",    "por", "favor",  "gracias",
											 "bitte",  "danke",      "obrigado", "obrigada", "per", "favore", "grazie",
											 "aub",    "dank",       "tack",     "takk",     "tak", "kiitos", "dzieki",
											 "prosze", "пожалуиста", "спасибо"};

static const char *const stop_verbs[] = {"stop", "quit", "cancel", "end", "cease"};

static const char *const negatable_verbs[] = {"stop", "quit", "cancel", "end",    "unsubscribe", "remove",
											  "take", "opt",  "leave",  "revoke", "delete"};

static const char *const message_words[] = {"text",          "texts",      "txt",    "txts",       "message",
											"messages",      "msg",        "msgs",   "sms",        "texting",
											"messaging",     "contacting", "spam",   "spamming",   "bothering",
											"notifications", "alerts",     "promos", "promotions", "marketing"};

static const char *const message_fillers[] = {"sending", "getting", "receiving",   "me",       "us",   "all",
											  "the",     "these",   "those",       "this",     "your", "any",
											  "more",    "with",    "promotional", "automated"};

static const char *const opt_out_phrases[] = {"opt me out",          "unsubscribe me",   "revoke my consent", "revoke consent",
											  "withdraw my consent", "no more messages", "no more text",      "no more sms",
											  "do not message me",   "dont message me",  "do not contact me", "dont contact me",
											  "delete my number"};

static const char *const quoted_footers[] = {"reply stop",          "text stop",       "txt stop",
											 "send stop",           "stop to opt out", "stop to end",
											 "stop to unsubscribe", "stop to cancel",  "stop to quit",
											 "stop to stop"};

static const char *const soft_signs[] = {"want to cancel",
										 "want to stop",
										 "want to quit",
										 "want out",
										 "like to cancel",
										 "stop sending",
										 "cancel my subscription",
										 "unsubscribe",
										 "unsubscribed",
										 "unsubscribing",
										 "opt out",
										 "optout",
										 "how do i stop",
										 "fuck",
										 "fucking",
										 "asshole",
										 "bastard",
										 "scam",
										 "scammer",
										 "spam",
										 "harassing",
										 "harassment",
										 "lawyer",
										 "attorney",
										 "lawsuit",
										 "sue you",
										 "tcpa",
										 "ftc",
										 "fcc",
										 "report you",
										 "not my number",
										 "dont know you",
										 "who are you"};

/* Targets of the typing-error rule, and words one edit away from them that mean something else. */
static const char *const typo_targets[] = {"stop", "stopall", "unsubscribe", "cancel", "revoke"};
static const char *const real_words[] = {"shop",  "step",  "top",  "sop",   "atop",   "slop",    "swop",  "strop",
										 "stomp", "stoop", "stow", "estop", "cancer", "chancel", "evoke", "revote"};

/* Whether text, of one word or more, stands at a word of the reply. */
static bool
stands_at(const Reply *reply, int index, const char *text)
{
	const char *at = reply->text + reply->words[index].start;

	for (; *text != '\0' && *text == *at; text++)
		at++;
	return *text == '\0' && *at == ' ';
}

static bool
any_stands_at(const Reply *reply, int index, const char *const *list, size_t count)
{
	char initial = reply->text[reply->words[index].start];

	/* Nearly every comparison ends with the initial. */
	for (size_t i = 0; i < count; i++)
		if (list[i][0] == initial && stands_at(reply, index, list[i]))
			return true;
	return false;
}

static bool
contains_any(const Reply *reply, const char *const *list, size_t count)
{
	for (int index = 0; index < reply->word_count; index++)
		if (any_stands_at(reply, index, list, count))
			return true;
	return false;
}

/* Whether a line begins with text, in any case; text is lower case. */
static bool
line_starts(const char *line, const char *end, const char *text)
{
	for (; *text != '\0'; line++, text++)
		if (line == end || (*line >= 'A' && *line <= 'Z' ? *line | 0x20 : *line) != *text)
			return false;
	return true;
}

/* Whether a line is what mail programs put under a message, or the "-- " that announces a signature. */
static bool
is_signature(const char *line, const char *end)
{
	static const char *const openers[] = {"sent from ",     "sent via ",      "get outlook for ", "envoyé de ",
										  "envoyé depuis ", "enviado desde ", "enviado do ",      "von meinem ",
										  "gesendet von ",  "inviato da ",    "verzonden vanaf ", "skickat från ",
										  "sendt fra "};

	for (size_t i = 0; i < COUNT(openers); i++)
		if (line_starts(line, end, openers[i]))
			return true;
	if (!line_starts(line, end, "--"))
		return false;
	for (line += 2; line < end && *line != '\n'; line++)
		if (*line != ' ' && *line != '\r')
			return false;
	return true;
}

static size_t
length_without_signature(const char *utf8, size_t len)
{
	for (size_t i = 1; i < len; i++)
		if (utf8[i - 1] == '\n' && is_signature(utf8 + i, utf8 + len))
			return i;
	return len;
}

/* Whether a word is a single character of UTF-8. */
static bool
is_single(const char *word, size_t length)
{
	for (size_t i = 1; i < length; i++)
		if (((unsigned char) word[i] & 0xC0) != 0x80)
			return false;
	return true;
}

/* Joins neighbouring single letters: "s t o p" becomes "stop". Works in place on folded text. */
static void
join_single_letters(char *text)
{
	char *to = text;
	bool after_single = false;

	for (char *word = text; *word != '\0';)
	{
		size_t length = strcspn(word, " ");
		bool single = is_single(word, length);
		char *next = word + length + (word[length] == ' ');

		if (to > text && !(single && after_single))
			*to++ = ' ';
		memmove(to, word, length);
		to += length;
		after_single = single;
		word = next;
	}
	*to = '\0';
}

static void
find_words(Reply *reply)
{
	const char *text = reply->text;

	for (size_t at = 1; text[at] != '\0';)
	{
		size_t length = strcspn(text + at, " ");

		reply->words[reply->word_count++] = (Word){(uint16_t) at, (uint16_t) length};
		at += length + 1;
	}
}

/* Folds the text and finds its words. */
static void
read_reply(Reply *reply, const char *utf8, size_t len)
{
	size_t folded_length;

	if (len > SMSFLOW_REPLY_MAX_BYTES)
		len = SMSFLOW_REPLY_MAX_BYTES;
	len = length_without_signature(utf8, len);
	reply->text[0] = ' ';
	smsflow_fold(utf8, len, reply->text + 1);
	join_single_letters(reply->text + 1);
	reply->word_count = 0;
	reply->negated = false;
	folded_length = strlen(reply->text + 1);
	if (folded_length > 0)
		memcpy(reply->text + 1 + folded_length, " ", 2);
	find_words(reply);
}

/* As strncmp(), which words are too short for: they differ in their first letters. */
static int
compare(const char *text, const char *word, size_t length)
{
	size_t i = 0;

	while (i < length && text[i] == word[i])
		i++;
	return i < length ? (unsigned char) text[i] - (unsigned char) word[i] : 0;
}

/* The first keyword that is not less than the word. */
static const Keyword *
first_keyword_from(const char *word, size_t length)
{
	size_t low = 0;
	size_t high = COUNT(keywords);

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;

		if (compare(keywords[middle].text, word, length) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return &keywords[low];
}

/* The longest keyword that starts at a word, or NULL; *words is how many words to go on by. */
static const Keyword *
keyword_at(const Reply *reply, int index, int *words)
{
	const char *text = reply->text + reply->words[index].start;
	size_t length = reply->words[index].length;
	const Keyword *longest = NULL;

	/* Those that begin like the word stand together, a shorter one before the longer ones that it begins. */
	for (const Keyword *keyword = first_keyword_from(text, length);
		 keyword < keywords + COUNT(keywords) && compare(keyword->text, text, length) == 0; keyword++)
		if (stands_at(reply, index, keyword->text))
			longest = keyword;
	*words = 1;
	for (size_t i = 0; longest != NULL && i < longest->length; i++)
		*words += longest->text[i] == ' ';
	return longest;
}

/* "No" alone is no keyword; beside an opt-out it confirms it, beside a "yes" it contradicts it. */
static void
count_word(Reply *reply, int index)
{
	if (stands_at(reply, index, "no"))
		reply->actions |= 1u << REPLY_NONE;
	else if (!any_stands_at(reply, index, courtesy_words, COUNT(courtesy_words)))
	{
		reply->other_count++;
		reply->other = reply->words[index];
	}
}

/* Finds all keywords in the text and counts the words around them. */
static void
take_stock(Reply *reply)
{
	int words;

	reply->actions = reply->phrase_actions = 0;
	reply->other_count = 0;
	for (int i = 0; i < reply->word_count; i += words)
	{
		const Keyword *keyword = keyword_at(reply, i, &words);

		if (keyword == NULL)
			count_word(reply, i);
		else
		{
			reply->actions |= 1u << keyword->action;
			if (keyword->phrase)
				reply->phrase_actions |= 1u << keyword->action;
		}
	}
}

static int
decide_empty(Reply *reply)
{
	return reply->word_count == 0 ? REPLY_NONE : UNDECIDED;
}

static int
decide_keyword(Reply *reply)
{
	int words;
	const Keyword *keyword = keyword_at(reply, 0, &words);

	return keyword != NULL && words == reply->word_count ? (int) keyword->action : UNDECIDED;
}

/* How many words at index say "not": "dont", "do not", "cannot"... */
static int
negator_words(const Reply *reply, int index)
{
	static const char *const negators[] = {"dont", "never", "cant", "cannot"};

	if (any_stands_at(reply, index, negators, COUNT(negators)))
		return 1;
	if (index + 1 < reply->word_count && stands_at(reply, index + 1, "not") &&
		(stands_at(reply, index, "do") || stands_at(reply, index, "can")))
		return 2;
	return 0;
}

/* Someone who cannot unsubscribe wants to; someone who cannot stop laughing does not. */
static bool
is_failed_opt_out(const Reply *reply, int negator, int verb)
{
	return reply->text[reply->words[negator].start] == 'c' &&
		   (stands_at(reply, verb, "unsubscribe") || stands_at(reply, verb, "opt"));
}

/* Blanks out "don't stop" and the like, so that no later question finds the verb; what is left may still be an opt-out. */
static int
decide_negation(Reply *reply)
{
	for (int i = 0; i < reply->word_count; i++)
	{
		int verb = i + negator_words(reply, i);

		if (verb == i || verb >= reply->word_count || is_failed_opt_out(reply, i, verb) ||
			!any_stands_at(reply, verb, negatable_verbs, COUNT(negatable_verbs)))
			continue;
		for (int word = i; word <= verb; word++)
			memset(reply->text + reply->words[word].start, '_', reply->words[word].length);
		reply->negated = true;
	}
	take_stock(reply);
	return UNDECIDED;
}

static int
decide_contradiction(Reply *reply)
{
	return HAS(reply->actions, REPLY_OPT_OUT) && HAS(reply->actions, REPLY_OPT_IN) ? REPLY_REVIEW : UNDECIDED;
}

static int
decide_quoted_footer(Reply *reply)
{
	return contains_any(reply, quoted_footers, COUNT(quoted_footers)) ? REPLY_REVIEW : UNDECIDED;
}

/* Whether a verb of stopping at index has messages as its object: "stop sending me these texts". */
static bool
stops_messages(const Reply *reply, int index)
{
	if (!any_stands_at(reply, index, stop_verbs, COUNT(stop_verbs)))
		return false;
	for (int i = index + 1; i < reply->word_count && i <= index + 6; i++)
	{
		if (any_stands_at(reply, i, message_words, COUNT(message_words)))
			return true;
		if (!any_stands_at(reply, i, message_fillers, COUNT(message_fillers)))
			return false;
	}
	return false;
}

static int
decide_phrase(Reply *reply)
{
	if (HAS(reply->phrase_actions, REPLY_OPT_OUT) || contains_any(reply, opt_out_phrases, COUNT(opt_out_phrases)))
		return REPLY_OPT_OUT;
	for (int i = 0; i < reply->word_count; i++)
		if (stops_messages(reply, i))
			return REPLY_OPT_OUT;
	return UNDECIDED;
}

/* Keywords and courtesy and nothing else. */
static int
decide_courtesy(Reply *reply)
{
	if (reply->other_count > 0 || reply->actions == 0)
		return UNDECIDED;
	if (HAS(reply->actions, REPLY_OPT_OUT))
		return HAS(reply->actions, REPLY_HELP) || HAS(reply->actions, REPLY_REVIEW) ? REPLY_REVIEW : REPLY_OPT_OUT;
	for (int action = REPLY_REVIEW; action <= REPLY_HELP; action++)
		if (reply->actions == 1u << action)
			return action;
	return UNDECIDED;
}

/* Whether one insertion, deletion, substitution or swap of neighbours turns one text into the other. */
static bool
within_one_edit(const char *a, size_t a_length, const char *b, size_t b_length)
{
	while (a_length > 0 && b_length > 0 && *a == *b)
	{
		a++;
		b++;
		a_length--;
		b_length--;
	}
	while (a_length > 0 && b_length > 0 && a[a_length - 1] == b[b_length - 1])
	{
		a_length--;
		b_length--;
	}
	if (a_length <= 1 && b_length <= 1)
		return true;
	return a_length == 2 && b_length == 2 && a[0] == b[1] && a[1] == b[0];
}

static bool
is_real_word(const char *text, size_t length)
{
	for (size_t i = 0; i < COUNT(real_words); i++)
		if (strlen(real_words[i]) == length && memcmp(real_words[i], text, length) == 0)
			return true;
	return false;
}

/* One mistyped keyword, with or without courtesy. */
static int
decide_typing_error(Reply *reply)
{
	const char *text;
	size_t length;

	if (reply->other_count != 1 || reply->actions != 0)
		return UNDECIDED;
	text = reply->text + reply->other.start;
	length = reply->other.length;
	if (is_real_word(text, length))
		return UNDECIDED;
	for (size_t i = 0; i < COUNT(typo_targets); i++)
		if (within_one_edit(text, length, typo_targets[i], strlen(typo_targets[i])))
			return REPLY_OPT_OUT;
	return UNDECIDED;
}

/* Chinese, Japanese and Korean, from U+3000 on, are written without spaces. */
static bool
is_unspaced(const char *text)
{
	return (unsigned char) *text >= 0xE3;
}

/* Whether an opt-out keyword of such a script stands within the words. */
static bool
contains_unspaced_keyword(const Reply *reply)
{
	const char *text = reply->text;

	while (*text != '\0' && !is_unspaced(text))
		text++;
	if (*text == '\0')
		return false;
	for (size_t i = 0; i < COUNT(keywords); i++)
		if (keywords[i].action == REPLY_OPT_OUT && is_unspaced(keywords[i].text) && strstr(text, keywords[i].text) != NULL)
			return true;
	return false;
}

/* "STOP ACME", "Stop pub", "STOP au 36180": a short reply that opens with the word, and is not about a visit to the shop. */
static int
decide_leading_stop(Reply *reply)
{
	static const char *const openers[] = {"stop", "stopp", "стоп", "arret"};
	static const char *const ways[] = {"by", "in", "at", "over", "for", "on", "off", "near"};
	int first = 0;

	while (first < reply->word_count && any_stands_at(reply, first, courtesy_words, COUNT(courtesy_words)))
		first++;
	if (first == reply->word_count || reply->word_count > first + MAX_LEADING_WORDS ||
		!any_stands_at(reply, first, openers, COUNT(openers)))
		return UNDECIDED;
	return first + 1 < reply->word_count && any_stands_at(reply, first + 1, ways, COUNT(ways)) ? UNDECIDED : REPLY_REVIEW;
}

static int
decide_soft_sign(Reply *reply)
{
	if (HAS(reply->phrase_actions, REPLY_REVIEW) || contains_any(reply, soft_signs, COUNT(soft_signs)) ||
		contains_unspaced_keyword(reply))
		return REPLY_REVIEW;
	return UNDECIDED;
}

static int
decide_otherwise(Reply *reply)
{
	return reply->negated ? UNDECIDED : REPLY_NONE;
}

typedef struct Question
{
	const char *rule;
	int (*decide)(Reply *reply); /* an SmsflowReplyAction, or UNDECIDED */
} Question;

static const Question questions[] = {{"empty", decide_empty},
									 {"keyword", decide_keyword},
									 {"negation", decide_negation},
									 {"contradiction", decide_contradiction},
									 {"quoted_footer", decide_quoted_footer},
									 {"phrase", decide_phrase},
									 {"courtesy", decide_courtesy},
									 {"typing_error", decide_typing_error},
									 {"leading_stop", decide_leading_stop},
									 {"soft_sign", decide_soft_sign},
									 {"no_match", decide_otherwise}};

SmsflowReplyAction
smsflow_classify_reply(const char *utf8, size_t len, const char **rule)
{
	Reply reply;

	read_reply(&reply, utf8, len);
	for (size_t i = 0; i < COUNT(questions); i++)
	{
		int action = questions[i].decide(&reply);

		if (action != UNDECIDED)
		{
			*rule = questions[i].rule;
			return (SmsflowReplyAction) action;
		}
	}
	*rule = "negation";
	return REPLY_NONE;
}

const char *
smsflow_reply_action_name(SmsflowReplyAction action)
{
	static const char *const names[] = {[REPLY_NONE] = "none",     [REPLY_OPT_OUT] = "opt_out", [REPLY_REVIEW] = "review",
										[REPLY_OPT_IN] = "opt_in", [REPLY_CONFIRM] = "confirm", [REPLY_HELP] = "help"};

	return names[action];
}
