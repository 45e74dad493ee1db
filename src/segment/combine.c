/*
 * combine.c - see combine.h.
 *
 * A call per row would ask for one contact at a time; as text the parts of a combination become one condition, which the
 * planner sees whole. PostgreSQL's own scanner finds the calls, so that quotes and comments are read as it reads them.
 */
#include "segment/combine.h"

#include "common/keywords.h"
#include "lib/stringinfo.h"
#include "parser/scanner.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "errcodes.h"
#include "segment/segment.h"

#define MAX_DEPTH 16
#define MAX_LENGTH (1024 * 1024)

/* The scanner's first tokens, which PL/pgSQL relies on, too: IDENT, UIDENT, FCONST, SCONST. */
enum
{
	TOKEN_IDENT = 258,
	TOKEN_SCONST = 261
};

typedef struct Token
{
	int kind;
	int begin; /* offset in the text */
	const char *value;
} Token;

typedef struct Tokens
{
	Token *token; /* ends with one of kind 0 at the end of the text */
	int count;
} Tokens;

typedef struct Combination
{
	int32 brand_id;
	Oid owner;
	List **used;
	int depth;
} Combination;

static Tokens
read_tokens(const char *text)
{
	core_yy_extra_type extra;
	core_YYSTYPE value = {0};
	YYLTYPE at = 0;
	core_yyscan_t scanner = scanner_init(text, &extra, &ScanKeywords, ScanKeywordTokens);
	int size = 64;
	Tokens tokens = {palloc(sizeof(Token) * size), 0};

	extra.standard_conforming_strings = true;
	for (;;)
	{
		int kind = core_yylex(&value, &at, scanner);

		if (tokens.count == size)
			tokens.token = repalloc(tokens.token, sizeof(Token) * (size *= 2));
		tokens.token[tokens.count++] = (Token){kind, kind == 0 ? (int) strlen(text) : at,
											   kind == TOKEN_IDENT || kind == TOKEN_SCONST ? pstrdup(value.str) : NULL};
		if (kind == 0)
			break;
	}
	scanner_finish(scanner);
	return tokens;
}

static bool
is_name(const Token *token, const char *name)
{
	return token->kind == TOKEN_IDENT && strcmp(token->value, name) == 0;
}

/* skip_contact returns how many tokens "contact_id ," or "profile . contact_id ," are, or 0. */
static int
skip_contact(const Token *token)
{
	int length = is_name(&token[0], "profile") && token[1].kind == '.' ? 2 : 0;

	return is_name(&token[length], "contact_id") && token[length + 1].kind == ',' ? length + 2 : 0;
}

/* reference_at returns how many tokens a reference to a segment takes, 0 if none begins here, and where its name is. */
static int
reference_at(const Token *token, int *name)
{
	int at = is_name(&token[0], "smsflow") && token[1].kind == '.' ? 2 : 0;
	bool of_contact = is_name(&token[at], "in_segment");

	if (!(of_contact || is_name(&token[at], "segment")) || token[at + 1].kind != '(')
		return 0;
	at += 2;
	if (of_contact)
	{
		int skipped = skip_contact(&token[at]);

		if (skipped == 0)
			return 0;
		at += skipped;
	}
	*name = at;
	return token[at].kind == TOKEN_SCONST && token[at + 1].kind == ')' ? at + 2 : 0;
}

static char *combine(const char *predicate, Combination combination);

/* meaning_of returns what stands for a segment in a condition over the profile. */
static char *
meaning_of(const char *name, Combination combination)
{
	SmsflowSegment *segment = smsflow_segment_of_brand(name, combination.brand_id);

	if (combination.used != NULL)
		*combination.used = lappend(*combination.used, segment->name);
	combination.used = NULL;
	if (segment->owner != combination.owner && !superuser_arg(segment->owner))
		return psprintf("(profile.contact_id IN (SELECT smsflow.segment_members(%s, %s)))", quote_literal_cstr(name),
						quote_literal_cstr(segment->brand));
	return psprintf("((\n%s\n) IS TRUE)", combine(segment->predicate, combination));
}

static char *
combine(const char *predicate, Combination combination)
{
	Tokens tokens = read_tokens(predicate);
	StringInfoData text;
	int done = 0;

	if (combination.depth++ > MAX_DEPTH)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("segments are combined too deeply"),
						errdetail("At most %d segments may stand one within the other.", MAX_DEPTH),
						errhint("Write the condition of an inner segment out.")));
	initStringInfo(&text);
	for (int i = 0; i < tokens.count - 1; i++)
	{
		bool is_member = i > 0 && tokens.token[i - 1].kind == '.';
		int name;
		int length = is_member ? 0 : reference_at(&tokens.token[i], &name);

		if (length == 0)
			continue;
		appendBinaryStringInfo(&text, predicate + done, tokens.token[i].begin - done);
		appendStringInfoString(&text, meaning_of(tokens.token[i + name].value, combination));
		if (text.len > MAX_LENGTH)
			ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("the predicate is too long"),
							errdetail("With the segments it is made of, it has more than %d bytes.", MAX_LENGTH)));
		/* Up to the closing parenthesis, which is one character. */
		i += length - 1;
		done = tokens.token[i].begin + 1;
	}
	appendStringInfoString(&text, predicate + done);
	return text.data;
}

char *
smsflow_combine_segments(const char *predicate, int32 brand_id, Oid owner, List **used)
{
	return combine(predicate, (Combination){brand_id, owner, used, 0});
}
