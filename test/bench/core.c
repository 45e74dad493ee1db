/*
 * core.c - how fast the parts of core are that every row of a store passes through: reading numbers, counting parts,
 * classifying replies, rendering templates.
 *
 *	core			times everything, prints a row of a table for each
 *	core texts FILE		writes the texts whose parts are counted, each ended by a NUL
 *	core parts FILE		counts the parts of the texts in a file: a line "encoding units parts" for each
 *	core pace FILE		texts per second of counting those
 *
 * Each figure is the best of several rounds, by the processor time of this process: per core, whatever else runs.
 */
#define _POSIX_C_SOURCE 199309L

#include "gsm.h"
#include "keyword.h"
#include "phone.h"
#include "template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 9
#define ROUND_SECONDS 0.2
#define TEXTS 4000
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Results go here, so that the compiler may not leave out what makes them. */
static volatile uint64_t sum;

/* Processor time. */
static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double) now.tv_sec + (double) now.tv_nsec * 1e-9;
}

/* One pass over the things to measure; returns how many of the unit it has done. */
typedef double (*Pass)(void *arg);

/* The best rate, in units per second. */
static double
measure(Pass pass, void *arg)
{
	double best = 0;

	for (int round = 0; round < ROUNDS; round++)
	{
		double begun = seconds();
		double spent;
		double done = 0;

		do
		{
			done += pass(arg);
			spent = seconds() - begun;
		} while (spent < ROUND_SECONDS);
		best = done / spent > best ? done / spent : best;
	}
	return best;
}

/* xorshift64*, so that every run has the same texts */
static uint64_t random_state = UINT64_C(88172645463325252);

static uint32_t
random_below(uint32_t bound)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t) ((random_state * UINT64_C(2685821657736338717)) >> 32) % bound;
}

/* ---- texts ---- */

static const char *const gsm_words[] = {"Hello", "sale",    "today", "50%",   "off",    "your",  "order",    "#10493",
										"has",   "shipped", "Reply", "STOP",  "to",     "end.",  "-",        "blue",
										"shirt", "$25",     "only",  "until", "Sunday", "https", "://ex.co", "/a1B2",
										"we",    "miss",    "you!",  "&",     "save",   "more"};
static const char *const accented_words[] = {"café", "Größe", "£5",    "Ångström", "señor",
											 "¿sí?", "Ωmega", "l'été", "naïf",     "Ñandú"};
static const char *const extension_words[] = {"[sale]", "5€", "{x}", "a|b", "~", "\\o/", "^", "100€"};
static const char *const unicode_words[] = {"“sale”", "日本語", "привет", "ça", "…", "😀", "🎉🎉", "مرحبا", "👍🏽", "🇫🇷"};

typedef struct WordList
{
	const char *const *words;
	uint32_t count;
	uint32_t share; /* of a hundred words */
} WordList;

/* What a share of the words of a text may be, besides plain ones. */
static const WordList kinds[] = {{gsm_words, COUNT(gsm_words), 0},
								 {accented_words, COUNT(accented_words), 15},
								 {extension_words, COUNT(extension_words), 15},
								 {unicode_words, COUNT(unicode_words), 10}};

/* A text of some words; returns its length. */
static size_t
make_text(const WordList *kind, size_t words, char *out)
{
	size_t len = 0;

	for (size_t i = 0; i < words; i++)
	{
		const WordList *list = random_below(100) < kind->share ? kind : &kinds[0];
		const char *word = list->words[random_below(list->count)];

		len += (size_t) sprintf(out + len, "%s%s", i > 0 ? " " : "", word);
	}
	return len;
}

typedef struct Texts
{
	char *data; /* texts, each ended by a NUL */
	size_t size;
} Texts;

/* Of one to five parts, as many of each kind. */
static Texts
make_texts(size_t first_kind, size_t last_kind)
{
	Texts texts = {malloc((size_t) TEXTS * 4096), 0};

	if (texts.data == NULL)
		exit(1);
	for (size_t i = 0; i < TEXTS; i++)
		texts.size +=
			make_text(&kinds[first_kind + i % (last_kind - first_kind + 1)], 5 + random_below(100), texts.data + texts.size) + 1;
	return texts;
}

static Texts
read_texts(const char *name)
{
	Texts texts = {malloc((size_t) TEXTS * 4096), 0};
	FILE *file = fopen(name, "rb");

	if (texts.data == NULL || file == NULL)
	{
		fprintf(stderr, "cannot read %s\n", name);
		exit(1);
	}
	texts.size = fread(texts.data, 1, (size_t) TEXTS * 4096, file);
	fclose(file);
	return texts;
}

static int
write_texts(const char *name)
{
	Texts texts = make_texts(0, COUNT(kinds) - 1);
	FILE *file = fopen(name, "wb");
	bool written = file != NULL && fwrite(texts.data, 1, texts.size, file) == texts.size;

	if (file != NULL && fclose(file) != 0)
		written = false;
	free(texts.data);
	return written ? 0 : 1;
}

/* ---- parts ---- */

static uint64_t
count_texts(const Texts *texts, bool print)
{
	uint64_t count = 0;

	for (size_t at = 0; at < texts->size; count++)
	{
		size_t len = strlen(texts->data + at);
		SmsflowParts parts = {0};

		sum += smsflow_message_parts(texts->data + at, len, &parts) ? (uint64_t) parts.parts : 0;
		if (print)
			printf("%s %d %d\n", parts.encoding == SMSFLOW_GSM7 ? "GSM-7" : "UCS-2", parts.units, parts.parts);
		at += len + 1;
	}
	return count;
}

static double
pass_texts(void *arg)
{
	return (double) count_texts(arg, false);
}

static double
pass_megabytes(void *arg)
{
	const Texts *texts = arg;

	(void) count_texts(texts, false);
	return (double) texts->size / 1e6;
}

static void
time_parts(void)
{
	Texts plain = make_texts(0, 0);
	Texts accented = make_texts(1, 2);

	printf("| `message_parts`, GSM-7 text of 1 to 5 parts, plain letters | %.0f MB/s | 200 MB/s |\n",
		   measure(pass_megabytes, &plain));
	printf("| the same with accents and characters of two septets | %.0f MB/s | 200 MB/s |\n",
		   measure(pass_megabytes, &accented));
	free(plain.data);
	free(accented.data);
}

/* ---- numbers ---- */

#define NUMBERS 4096
#define NUMBER_SIZE 24

/* So many different numbers that the processor cannot learn them; a third is written as people write. */
static void
make_numbers(char (*numbers)[NUMBER_SIZE])
{
	static const char *const codes[] = {"1415",  "1212", "336",  "447", "4915", "5511",
										"86138", "9198", "3933", "346", "614",  "8180"};

	for (size_t i = 0; i < NUMBERS; i++)
	{
		const char *code = codes[random_below(COUNT(codes))];
		unsigned rest = 1000000 + random_below(9000000);

		if (i % 3 > 0)
			snprintf(numbers[i], NUMBER_SIZE, "+%s%u", code, rest);
		else
			snprintf(numbers[i], NUMBER_SIZE, "+%.1s (%s) %u-%04u", code, code + 1, rest / 10000, rest % 10000);
	}
}

static double
pass_numbers(void *arg)
{
	char(*numbers)[NUMBER_SIZE] = arg;

	for (size_t i = 0; i < NUMBERS; i++)
	{
		int64_t phone = 0;

		sum += smsflow_phone_parse(numbers[i], strlen(numbers[i]), &phone) == PHONE_OK ? (uint64_t) phone : 0;
	}
	return NUMBERS;
}

static void
time_numbers(void)
{
	static char numbers[NUMBERS][NUMBER_SIZE];
	int64_t phone;

	make_numbers(numbers);
	for (size_t i = 0; i < NUMBERS; i++)
		if (smsflow_phone_parse(numbers[i], strlen(numbers[i]), &phone) != PHONE_OK)
			exit(1);
	printf("| `phone` read, %d different numbers of 11 countries | %.1f million/s | 2 million/s |\n", NUMBERS,
		   measure(pass_numbers, numbers) / 1e6);
}

/* ---- replies ---- */

#define REPLY_LENGTH 160

/* Each is cut to REPLY_LENGTH. */
static const char *const replies[] = {
	"Hello there, I ordered the blue shirt in size medium last Tuesday but the parcel that came this morning has a green one, "
	"could you tell me how to exchange it ok",
	"I can not find where the bus is meant to stop by your store on Main Street, is it the one near the bank or the other one, "
	"we would like to come by on Saturday am",
	"PLEASE STOP SENDING ME ALL OF THESE MESSAGES I NEVER ASKED FOR THEM AND I DO NOT WANT TO HEAR FROM YOU AGAIN, TAKE MY "
	"NUMBER OFF WHATEVER LIST IT IS ON RIGHT NOW ",
	"a b c d e f g h i j k l m n o p q r s t u v w x y z aa bb cc dd ee ff gg hh ii jj kk ll mm nn oo pp qq rr ss tt uu vv ww "
	"xx yy zz a1 b2 c3 d4 e5 f6 g7 h8 i9 j10",
	"Bonjour, je voudrais savoir si la chemise bleue que j'ai commandee la semaine derniere va arriver avant dimanche car c'est "
	"un cadeau pour mon frere, merci bien !!",
};

static double
pass_reply(void *arg)
{
	const char *text = arg;
	const char *rule;

	for (int i = 0; i < 64; i++)
		sum += (uint64_t) smsflow_classify_reply(text, REPLY_LENGTH, &rule);
	return 64;
}

static void
time_replies(void)
{
	double slowest = 0;
	double total = 0;

	for (size_t i = 0; i < COUNT(replies); i++)
	{
		double micros = 1e6 / measure(pass_reply, (void *) (uintptr_t) replies[i]);
		total += micros;
		slowest = micros > slowest ? micros : slowest;
	}
	printf("| `classify` of a reply of %d characters: mean of %zu, slowest | %.1f, %.1f us | 5 us |\n", REPLY_LENGTH,
		   COUNT(replies), total / COUNT(replies), slowest);
}

/* ---- templates ---- */

typedef struct Message
{
	char text[512];
	size_t len;
} Message;

static bool
lookup(void *ctx, const char *path, size_t pathlen, const char **value, size_t *valuelen)
{
	static const char *const values[][2] = {{"first_name", "Amélie"}, {"order.ref", "10493"}, {"link", "https://ex.co/a1B2"}};

	(void) ctx;
	for (size_t i = 0; i < COUNT(values); i++)
		if (strlen(values[i][0]) == pathlen && memcmp(values[i][0], path, pathlen) == 0)
		{
			*value = values[i][1];
			*valuelen = strlen(values[i][1]);
			return true;
		}
	return false;
}

static void
append(void *ctx, const char *text, size_t len)
{
	Message *message = ctx;

	if (len > sizeof(message->text) - message->len)
		exit(1);
	memcpy(message->text + message->len, text, len);
	message->len += len;
}

static double
pass_render(void *arg)
{
	static const char template[] = "Hi {{first_name|there}}, your order {{order.ref}} has been sent and will be with you before "
								   "{{day|Sunday}}. Follow it here: {{link}} Reply STOP to end.";
	SmsflowTemplateError error;

	(void) arg;
	for (int i = 0; i < 64; i++)
	{
		Message message;

		message.len = 0;
		if (!smsflow_template_render(template, sizeof(template) - 1, lookup, NULL, append, &message, &error))
			exit(1);
		sum += message.len;
	}
	return 64;
}

int
main(int argc, char **argv)
{
	Texts texts;

	if (argc == 3 && strcmp(argv[1], "texts") == 0)
		return write_texts(argv[2]);
	if (argc == 3)
	{
		texts = read_texts(argv[2]);
		if (strcmp(argv[1], "parts") == 0)
			(void) count_texts(&texts, true);
		else
			printf("%.0f\n", measure(pass_texts, &texts));
		free(texts.data);
		return 0;
	}
	printf("| what | measured | asked for |\n|---|---|---|\n");
	time_numbers();
	time_parts();
	time_replies();
	printf("| `render`, 160 characters with 4 variables | %.2f million/s | 1 million/s |\n", measure(pass_render, NULL) / 1e6);
	return 0;
}
