/*
 * pattern.c: matches digits against the patterns of the numbering plans.
 *
 * Instead of backtracking, the matcher carries the set of all positions that the pattern read so far can have reached.
 * A telephone number has fewer than 32 digits, so the set is one word, the work is bounded by pattern length times
 * number length, and nothing needs to be compiled beforehand. Beside each position travels the capture that led to it.
 */
#include "pattern.h"

#include <stdint.h>
#include <string.h>

#define NO_CAPTURE (-1)

typedef struct Path
{
	int8_t start;
	int8_t end;
} Path;

/* The positions reached, as a set of bits, and the way to each. */
typedef struct Reach
{
	uint32_t at;
	Path path[SMSFLOW_PATTERN_MAX_DIGITS + 1];
} Reach;

typedef struct Matcher
{
	const char *pattern; /* the next pattern character */
	const char *digits;
	int count;
} Matcher;

static void match_alternatives(Matcher *matcher, Reach *reach);

/* Adds the positions of more to those of reach; a position reached twice keeps its first path, as leftmost-first would. */
static void
merge(Reach *reach, const Reach *more)
{
	uint32_t added = more->at & ~reach->at;

	for (int i = 0; added >> i != 0 && i < 32; i++)
		if (added >> i & 1)
			reach->path[i] = more->path[i];
	reach->at |= added;
}

/* Moves on from every position whose digit is in the set. */
static void
step(const Matcher *matcher, Reach *reach, unsigned digit_set)
{
	uint32_t next = 0;

	for (int i = matcher->count - 1; i >= 0; i--)
		if ((reach->at >> i & 1) && (digit_set >> (matcher->digits[i] - '0') & 1))
		{
			next |= UINT32_C(1) << (i + 1);
			reach->path[i + 1] = reach->path[i];
		}
	reach->at = next;
}

/* Reads the rest of [...] and returns its digits as a set of bits. */
static unsigned
read_class(Matcher *matcher)
{
	const char *p = matcher->pattern;
	unsigned digit_set = 0;

	for (; *p != ']'; p++)
	{
		char last = p[1] == '-' ? p[2] : p[0];

		for (char digit = p[0]; digit <= last; digit++)
			digit_set |= 1u << (digit - '0');
		if (p[1] == '-')
			p += 2;
	}
	matcher->pattern = p + 1;
	return digit_set;
}

/* A capturing group is matched from one start at a time, so that each way through it knows where it began. */
static void
match_capture(Matcher *matcher, Reach *reach)
{
	const char *body = matcher->pattern;
	Reach result = {.at = 0};

	for (int start = 0; start <= matcher->count; start++)
	{
		Reach one;

		if (!(reach->at >> start & 1))
			continue;
		one.at = UINT32_C(1) << start;
		one.path[start] = reach->path[start];
		matcher->pattern = body;
		match_alternatives(matcher, &one);
		for (int end = start; end <= matcher->count; end++)
			one.path[end] = (Path){(int8_t) start, (int8_t) end};
		merge(&result, &one);
	}
	*reach = result;
}

/* Matches one digit, class or group, without its quantifier. */
static void
match_atom(Matcher *matcher, Reach *reach)
{
	switch (*matcher->pattern++)
	{
		case '(':
			if (matcher->pattern[0] == '?')
			{
				matcher->pattern += 2;
				match_alternatives(matcher, reach);
			}
			else
				match_capture(matcher, reach);
			matcher->pattern++;
			break;
		case '[':
			step(matcher, reach, read_class(matcher));
			break;
		case '\\':
			matcher->pattern++;
			step(matcher, reach, 0x3FF);
			break;
		case '$':
			reach->at &= UINT32_C(1) << matcher->count;
			break;
		default:
			step(matcher, reach, 1u << (matcher->pattern[-1] - '0'));
			break;
	}
}

static int
read_number(Matcher *matcher)
{
	int value = 0;

	while (*matcher->pattern >= '0' && *matcher->pattern <= '9')
		value = value * 10 + (*matcher->pattern++ - '0');
	return value;
}

/* Reads ?, {n} or {n,m}; nothing means exactly once. */
static void
read_quantifier(Matcher *matcher, int *least, int *most)
{
	*least = *most = 1;
	if (*matcher->pattern == '?')
	{
		matcher->pattern++;
		*least = 0;
	}
	else if (*matcher->pattern == '{')
	{
		matcher->pattern++;
		*least = *most = read_number(matcher);
		if (*matcher->pattern == ',')
		{
			matcher->pattern++;
			*most = read_number(matcher);
		}
		matcher->pattern++;
	}
}

static void
match_quantified(Matcher *matcher, Reach *reach)
{
	const char *atom = matcher->pattern;
	const char *after;
	Reach before = *reach;
	Reach result = {.at = 0};
	int least;
	int most;

	match_atom(matcher, reach);
	read_quantifier(matcher, &least, &most);
	if (least == 1 && most == 1)
		return;
	after = matcher->pattern;
	for (int times = 1; times <= most && reach->at != 0; times++)
	{
		if (times > 1)
		{
			matcher->pattern = atom;
			match_atom(matcher, reach);
		}
		if (times >= least)
			merge(&result, reach);
	}
	if (least == 0)
		merge(&result, &before);
	matcher->pattern = after;
	*reach = result;
}

/* Moves to the end of the current alternative, once nothing can match it any more. */
static void
skip_alternative(Matcher *matcher)
{
	int depth = 0;

	for (; *matcher->pattern != '\0'; matcher->pattern++)
	{
		char c = *matcher->pattern;

		if (depth == 0 && (c == '|' || c == ')'))
			return;
		depth += (c == '(') - (c == ')');
	}
}

/* Matches alternatives up to the closing parenthesis or the end, and leaves the pattern there. */
static void
match_alternatives(Matcher *matcher, Reach *reach)
{
	Reach result = {.at = 0};
	Reach start = *reach;

	for (;;)
	{
		*reach = start;
		while (reach->at != 0 && *matcher->pattern != '\0' && *matcher->pattern != '|' && *matcher->pattern != ')')
			match_quantified(matcher, reach);
		skip_alternative(matcher);
		merge(&result, reach);
		if (*matcher->pattern != '|')
			break;
		matcher->pattern++;
	}
	*reach = result;
}

static uint32_t
match(const char *pattern, const char *digits, int count, Reach *reach)
{
	Matcher matcher = {pattern, digits, count};

	memset(reach, 0, sizeof(*reach));
	reach->at = 1;
	reach->path[0] = (Path){NO_CAPTURE, NO_CAPTURE};
	match_alternatives(&matcher, reach);
	return reach->at;
}

bool
smsflow_pattern_matches(const char *pattern, const char *digits, int count)
{
	Reach reach;

	return count <= SMSFLOW_PATTERN_MAX_DIGITS && (match(pattern, digits, count, &reach) >> count & 1);
}

int
smsflow_pattern_prefix(const char *pattern, const char *digits, int count, SmsflowCapture *capture)
{
	Reach reach;
	uint32_t ends;

	if (count > SMSFLOW_PATTERN_MAX_DIGITS)
		return -1;
	ends = match(pattern, digits, count, &reach);
	for (int end = count; end >= 0; end--)
		if (ends >> end & 1)
		{
			if (capture != NULL)
				*capture = (SmsflowCapture){reach.path[end].start, reach.path[end].end};
			return end;
		}
	return -1;
}
