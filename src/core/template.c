/*
 * template.c - message templates: text with {{variables}}.
 *
 * One reader, next_piece, cuts a template into literal text and variables; checking and rendering both loop over it,
 * so a template that passed the check cannot fail to render for its syntax.  The reader moves forward only, and an
 * error ends it, hence the whole is linear in the length of the template.
 */
#include "template.h"

#include <string.h>

typedef struct Span
{
	const char *text;
	size_t len;
} Span;

/* A part that depends on a condition and is not ended yet. */
typedef struct Condition
{
	size_t begin; /* offset of its braces */
	size_t length;
	bool has_else;
} Condition;

typedef struct Reader
{
	const char *text;
	size_t len;
	size_t pos;
	int depth;
	Condition open[SMSFLOW_TEMPLATE_DEPTH];
} Reader;

typedef enum PieceKind
{
	PIECE_TEXT,
	PIECE_VARIABLE,
	PIECE_IF,
	PIECE_UNLESS,
	PIECE_ELSE,
	PIECE_END
} PieceKind;

typedef struct Step
{
	SmsflowFilter filter;
	Span argument;
} Step;

typedef struct Piece
{
	PieceKind kind;
	Span text; /* the literal text, or the path */
	bool has_default;
	Span fallback;
	int steps;
	Step step[SMSFLOW_TEMPLATE_FILTERS];
} Piece;

static bool
fail(SmsflowTemplateError *err, SmsflowTemplateCode code, size_t offset, size_t length)
{
	err->code = code;
	err->offset = offset;
	err->length = length;
	return false;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static Span
trimmed(const char *text, size_t len)
{
	while (len > 0 && is_space(text[0]))
	{
		text++;
		len--;
	}
	while (len > 0 && is_space(text[len - 1]))
		len--;
	return (Span){text, len};
}

static bool
is_step_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
		   (unsigned char) c >= 0x80;
}

/* check_path returns true if a path is steps separated by single dots; offset is where the path begins. */
static bool
check_path(Span path, size_t offset, SmsflowTemplateError *err)
{
	bool step_begins = true;

	for (size_t i = 0; i < path.len; i++)
	{
		bool is_dot = path.text[i] == '.';

		if (is_dot ? step_begins : !is_step_char(path.text[i]))
			return fail(err, SMSFLOW_TEMPLATE_BAD_NAME, offset + i, 1);
		step_begins = is_dot;
	}
	if (step_begins)
		return fail(err, SMSFLOW_TEMPLATE_BAD_NAME, offset + path.len - 1, 1);
	return true;
}

/* find_close sets *close to the first }} at or after pos and *bar to the first | before it (or to *close). */
static bool
find_close(const Reader *r, size_t pos, size_t *bar, size_t *close, SmsflowTemplateError *err)
{
	bool has_bar = false;

	for (size_t i = pos; i < r->len; i++)
	{
		char c = r->text[i];

		if (c == '{')
			return fail(err, SMSFLOW_TEMPLATE_NESTED, i, 1);
		if (c == '|' && !has_bar)
		{
			has_bar = true;
			*bar = i;
		}
		if (c == '}' && i + 1 < r->len && r->text[i + 1] == '}')
		{
			*close = i;
			if (!has_bar)
				*bar = i;
			return true;
		}
	}
	return fail(err, SMSFLOW_TEMPLATE_UNCLOSED, pos - 2, 2);
}

/* looks_like_filter tells a filter that is not known from a default, such as https://... */
static bool
looks_like_filter(Span name, bool has_argument)
{
	static const char *const schemes[] = {"http", "https", "mailto", "tel", "sms"};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (name.len == strlen(schemes[i]) && memcmp(name.text, schemes[i], name.len) == 0)
			return false;
	for (size_t i = 0; i < name.len; i++)
		if (name.text[i] < 'a' || name.text[i] > 'z')
			return false;
	return has_argument && name.len > 0;
}

/* read_step reads one text between bars: a filter, or, first of all, the default. */
static bool
read_step(const Reader *r, Piece *piece, Span step, bool is_first, SmsflowTemplateError *err)
{
	size_t offset = (size_t) (step.text - r->text);
	const char *colon = step.len > 0 ? memchr(step.text, ':', step.len) : NULL;
	Span name = trimmed(step.text, colon != NULL ? (size_t) (colon - step.text) : step.len);
	Span argument = {step.text, 0};
	SmsflowFilter filter = smsflow_filter_named(name.text, name.len);

	if (colon != NULL)
		argument = trimmed(colon + 1, (size_t) (step.text + step.len - colon - 1));
	if (filter == SMSFLOW_FILTER_NONE)
	{
		if (!is_first || looks_like_filter(name, colon != NULL))
			return fail(err, SMSFLOW_TEMPLATE_UNKNOWN_FILTER, offset, step.len);
		piece->has_default = true;
		piece->fallback = step;
		return true;
	}
	if (piece->steps == SMSFLOW_TEMPLATE_FILTERS || (colon != NULL && argument.len == 0) ||
		!smsflow_filter_accepts(filter, argument.text, argument.len))
		return fail(err, SMSFLOW_TEMPLATE_BAD_FILTER, offset, step.len);
	piece->step[piece->steps++] = (Step){filter, argument};
	return true;
}

/* read_steps reads what stands between the first | and the closing braces. */
static bool
read_steps(const Reader *r, Piece *piece, size_t begin, size_t close, SmsflowTemplateError *err)
{
	bool is_first = true;

	while (begin <= close)
	{
		const char *bar = close > begin ? memchr(r->text + begin, '|', close - begin) : NULL;
		size_t end = bar != NULL ? (size_t) (bar - r->text) : close;

		if (!read_step(r, piece, trimmed(r->text + begin, end - begin), is_first, err))
			return false;
		is_first = false;
		begin = end + 1;
	}
	return true;
}

/* take_word returns whether a text begins with a word, and takes it off. */
static bool
take_word(Span *text, const char *word)
{
	size_t len = strlen(word);

	if (text->len < len || memcmp(text->text, word, len) != 0 || (text->len > len && !is_space(text->text[len])))
		return false;
	*text = trimmed(text->text + len, text->len - len);
	return true;
}

/* read_condition tells whether braces begin, part or end a condition, and keeps account of those that are open. */
static bool
read_condition(Reader *r, Piece *piece, size_t close, SmsflowTemplateError *err)
{
	size_t begin = r->pos;
	size_t length = close + 2 - begin;
	Span text = piece->text;

	if (take_word(&text, "#if") || take_word(&text, "#unless"))
	{
		piece->kind = piece->text.text[1] == 'i' ? PIECE_IF : PIECE_UNLESS;
		piece->text = text;
		if (r->depth == SMSFLOW_TEMPLATE_DEPTH)
			return fail(err, SMSFLOW_TEMPLATE_TOO_DEEP, begin, length);
		if (text.len == 0)
			return fail(err, SMSFLOW_TEMPLATE_EMPTY_NAME, begin, length);
		r->open[r->depth++] = (Condition){begin, length, false};
		return true;
	}
	if (take_word(&text, "/if") || take_word(&text, "/unless"))
	{
		piece->kind = PIECE_END;
		if (r->depth == 0 || text.len > 0)
			return fail(err, SMSFLOW_TEMPLATE_UNBALANCED, begin, length);
		r->depth--;
	}
	else if (r->depth > 0 && take_word(&text, "else") && text.len == 0)
	{
		piece->kind = PIECE_ELSE;
		if (r->open[r->depth - 1].has_else)
			return fail(err, SMSFLOW_TEMPLATE_UNBALANCED, begin, length);
		r->open[r->depth - 1].has_else = true;
	}
	return true;
}

/* read_braces reads the variable or condition whose {{ is at the reader's position. */
static bool
read_braces(Reader *r, Piece *piece, SmsflowTemplateError *err)
{
	size_t begin = r->pos + 2;
	size_t bar = 0;
	size_t close = 0;

	if (!find_close(r, begin, &bar, &close, err))
		return false;

	piece->kind = PIECE_VARIABLE;
	piece->text = trimmed(r->text + begin, bar - begin);
	if (bar == close && !read_condition(r, piece, close, err))
		return false;
	if (bar < close && !read_steps(r, piece, bar + 1, close, err))
		return false;
	if (piece->text.len == 0)
		return fail(err, SMSFLOW_TEMPLATE_EMPTY_NAME, r->pos, close + 2 - r->pos);
	r->pos = close + 2;
	if (piece->kind == PIECE_ELSE || piece->kind == PIECE_END)
		return true;
	return check_path(piece->text, (size_t) (piece->text.text - r->text), err);
}

/* literal_length returns how many bytes stand before the next {{ or the end. */
static size_t
literal_length(const char *text, size_t len)
{
	const char *end = text + len;
	const char *brace = text;

	while (end - brace > 1 && (brace = memchr(brace, '{', (size_t) (end - brace - 1))) != NULL)
	{
		if (brace[1] == '{')
			return (size_t) (brace - text);
		brace++;
	}
	return len;
}

/* next_piece reads the next piece; false means an error, or the end when err->code is OK. */
static bool
next_piece(Reader *r, Piece *piece, SmsflowTemplateError *err)
{
	size_t literal;

	*piece = (Piece){0};
	if (r->pos == r->len && r->depth > 0)
		return fail(err, SMSFLOW_TEMPLATE_UNBALANCED, r->open[r->depth - 1].begin, r->open[r->depth - 1].length);
	if (r->pos == r->len)
		return false;
	literal = literal_length(r->text + r->pos, r->len - r->pos);
	if (literal == 0)
		return read_braces(r, piece, err);
	piece->text = (Span){r->text + r->pos, literal};
	r->pos += literal;
	return true;
}

/* control_length returns the length of the control character at text, or 0 if there is none to drop. */
static size_t
control_length(const char *text, size_t len)
{
	unsigned char c = (unsigned char) text[0];

	if ((c < 0x20 && c != '\n') || c == 0x7f)
		return 1;
	/* U+0080 to U+009F in UTF-8 */
	if (c == 0xc2 && len > 1 && (unsigned char) text[1] >= 0x80 && (unsigned char) text[1] <= 0x9f)
		return 2;
	return 0;
}

/* is_blank returns true if nothing of a value would be visible. */
static bool
is_blank(Span value)
{
	for (size_t i = 0; i < value.len;)
	{
		size_t control = control_length(value.text + i, value.len - i);

		if (control == 0 && !is_space(value.text[i]))
			return false;
		i += control > 0 ? control : 1;
	}
	return true;
}

/* write_clean writes a value without its control characters. */
static void
write_clean(Span value, SmsflowTemplateWrite write, void *ctx)
{
	size_t begin = 0;
	size_t i = 0;

	while (i < value.len)
	{
		size_t control = control_length(value.text + i, value.len - i);

		if (control == 0)
		{
			i++;
			continue;
		}
		if (i > begin)
			write(ctx, value.text + begin, i - begin);
		i += control;
		begin = i;
	}
	if (i > begin)
		write(ctx, value.text + begin, i - begin);
}

bool
smsflow_template_check(const char *t, size_t len, SmsflowTemplateError *err)
{
	Reader r = {.text = t, .len = len};
	Piece piece;

	*err = (SmsflowTemplateError){SMSFLOW_TEMPLATE_OK, 0, 0};
	while (next_piece(&r, &piece, err))
		;
	return err->code == SMSFLOW_TEMPLATE_OK;
}

/* ---- rendering ---- */

/* Which parts are written: of each open condition whether it holds, and whether its present part is written. */
typedef struct Parts
{
	int depth;
	bool holds[SMSFLOW_TEMPLATE_DEPTH + 1];
	bool written[SMSFLOW_TEMPLATE_DEPTH + 1];
} Parts;

/* A condition holds where there is a value that is not blank, and not false. */
static bool
condition_holds(Span path, const SmsflowTemplateValues *values)
{
	Span value = {NULL, 0};

	if (!values->lookup(values->lookup_ctx, path.text, path.len, &value.text, &value.len) || is_blank(value))
		return false;
	return !(value.len == 5 && memcmp(value.text, "false", 5) == 0);
}

static void
change_part(Parts *parts, const Piece *piece, const SmsflowTemplateValues *values)
{
	bool outside = parts->written[parts->depth - (piece->kind == PIECE_ELSE || piece->kind == PIECE_END ? 1 : 0)];

	if (piece->kind == PIECE_END)
		parts->depth--;
	else if (piece->kind == PIECE_ELSE)
		parts->written[parts->depth] = outside && !parts->holds[parts->depth];
	else
	{
		bool holds = outside && condition_holds(piece->text, values) == (piece->kind == PIECE_IF);

		parts->depth++;
		parts->holds[parts->depth] = holds;
		parts->written[parts->depth] = holds;
	}
}

/* filter_value passes a value through the filters; room is for two of them. False when a link cannot be made. */
static bool
filter_value(const Piece *piece, const SmsflowTemplateValues *values, char room[2][SMSFLOW_FILTER_BYTES], Span *value)
{
	for (int i = 0; i < piece->steps; i++)
	{
		const Step *step = &piece->step[i];

		if (step->filter == SMSFLOW_FILTER_LINK)
		{
			if (values->link != NULL && !values->link(values->link_ctx, value->text, value->len, &value->text, &value->len))
				return false;
		}
		else if (step->filter == SMSFLOW_FILTER_DATE)
		{
			if (values->date != NULL)
				values->date(values->date_ctx, step->argument.text, step->argument.len, &value->text, &value->len);
		}
		else
		{
			value->len =
				smsflow_filter_apply(step->filter, step->argument.text, step->argument.len, value->text, value->len, room[i % 2]);
			value->text = room[i % 2];
		}
	}
	return true;
}

/* render_variable writes a value, or the default; false when there is neither. */
static bool
render_variable(const Piece *piece, const SmsflowTemplateValues *values, SmsflowTemplateWrite write, void *write_ctx)
{
	char room[2][SMSFLOW_FILTER_BYTES];
	Span value = {NULL, 0};

	if (!values->lookup(values->lookup_ctx, piece->text.text, piece->text.len, &value.text, &value.len))
	{
		value.len = 0;
		if (!piece->has_default)
			return false;
	}
	if (piece->has_default && is_blank(value))
		value = piece->fallback;
	if (!filter_value(piece, values, room, &value))
		return false;
	write_clean(value, write, write_ctx);
	return true;
}

bool
smsflow_template_render_values(const char *t, size_t len, const SmsflowTemplateValues *values, SmsflowTemplateWrite write,
							   void *write_ctx, SmsflowTemplateError *err)
{
	Reader r = {.text = t, .len = len};
	Parts parts = {.written = {true}};
	Piece piece;

	*err = (SmsflowTemplateError){SMSFLOW_TEMPLATE_OK, 0, 0};
	while (next_piece(&r, &piece, err))
	{
		if (piece.kind != PIECE_TEXT && piece.kind != PIECE_VARIABLE)
			change_part(&parts, &piece, values);
		else if (!parts.written[parts.depth])
			continue;
		else if (piece.kind == PIECE_TEXT)
			write(write_ctx, piece.text.text, piece.text.len);
		else if (!render_variable(&piece, values, write, write_ctx))
			return fail(err, SMSFLOW_TEMPLATE_MISSING, (size_t) (piece.text.text - t), piece.text.len);
	}
	return err->code == SMSFLOW_TEMPLATE_OK;
}

bool
smsflow_template_render(const char *t, size_t len, SmsflowTemplateLookup lookup, void *lookup_ctx, SmsflowTemplateWrite write,
						void *write_ctx, SmsflowTemplateError *err)
{
	const SmsflowTemplateValues values = {.lookup = lookup, .lookup_ctx = lookup_ctx};

	return smsflow_template_render_values(t, len, &values, write, write_ctx, err);
}

const char *
smsflow_template_error_text(SmsflowTemplateCode code)
{
	switch (code)
	{
		case SMSFLOW_TEMPLATE_OK:
			return "The template is well formed.";
		case SMSFLOW_TEMPLATE_UNCLOSED:
			return "A variable that begins with {{ is never closed with }}.";
		case SMSFLOW_TEMPLATE_EMPTY_NAME:
			return "A variable has no name.";
		case SMSFLOW_TEMPLATE_BAD_NAME:
			return "A variable's name may have letters, digits, \"_\" and \"-\", in steps separated by single dots.";
		case SMSFLOW_TEMPLATE_NESTED:
			return "A variable contains another brace.";
		case SMSFLOW_TEMPLATE_UNKNOWN_FILTER:
			return "There is no such filter; there are upper, title, truncate:N, money, date and link, and a default stands "
				   "before them.";
		case SMSFLOW_TEMPLATE_BAD_FILTER:
			return "A filter has an argument that it cannot take, or there are more than four of them.";
		case SMSFLOW_TEMPLATE_UNBALANCED:
			return "A part that depends on a condition is not begun by {{#if name}} or {{#unless name}} and ended by {{/if}} or "
				   "{{/unless}}.";
		case SMSFLOW_TEMPLATE_TOO_DEEP:
			return "Conditions stand one within the other more than eight deep.";
		case SMSFLOW_TEMPLATE_MISSING:
			return "A variable has neither a value nor a default.";
	}
	return "Unknown error.";
}
