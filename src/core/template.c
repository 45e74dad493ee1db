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

typedef struct Reader
{
	const char *text;
	size_t len;
	size_t pos;
} Reader;

typedef struct Piece
{
	bool is_variable;
	Span text; /* the literal text, or the variable's path */
	bool has_default;
	Span fallback;
	bool is_link; /* the filter link stands at the end */
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

/* read_filters tells the default of a variable from the filter behind it; text is what follows the first |. */
static void
read_filters(Piece *piece, const char *text, size_t len)
{
	static const char link[] = "link";
	size_t begin = len;
	Span last;

	while (begin > 0 && text[begin - 1] != '|')
		begin--;
	last = trimmed(text + begin, len - begin);
	piece->is_link = last.len == sizeof(link) - 1 && memcmp(last.text, link, last.len) == 0;
	piece->has_default = !piece->is_link || begin > 0;
	if (piece->has_default)
		piece->fallback = trimmed(text, piece->is_link ? begin - 1 : len);
}

/* read_variable reads the variable whose {{ is at the reader's position. */
static bool
read_variable(Reader *r, Piece *piece, SmsflowTemplateError *err)
{
	size_t begin = r->pos + 2;
	size_t bar = 0;
	size_t close = 0;

	if (!find_close(r, begin, &bar, &close, err))
		return false;

	piece->is_variable = true;
	piece->text = trimmed(r->text + begin, bar - begin);
	if (bar < close)
		read_filters(piece, r->text + bar + 1, close - bar - 1);
	if (piece->text.len == 0)
		return fail(err, SMSFLOW_TEMPLATE_EMPTY_NAME, r->pos, close + 2 - r->pos);
	r->pos = close + 2;
	return check_path(piece->text, (size_t) (piece->text.text - r->text), err);
}

/* literal_length returns how many bytes stand before the next {{ or the end. */
static size_t
literal_length(const char *text, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++)
	{
		if (text[i] == '{' && text[i + 1] == '{')
			return i;
	}
	return len;
}

/* next_piece reads the next piece; false means an error, or the end when err->code is OK. */
static bool
next_piece(Reader *r, Piece *piece, SmsflowTemplateError *err)
{
	size_t literal;

	*piece = (Piece){0};
	if (r->pos == r->len)
		return false;
	literal = literal_length(r->text + r->pos, r->len - r->pos);
	if (literal == 0)
		return read_variable(r, piece, err);
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
	Reader r = {t, len, 0};
	Piece piece;

	*err = (SmsflowTemplateError){SMSFLOW_TEMPLATE_OK, 0, 0};
	while (next_piece(&r, &piece, err))
		;
	return err->code == SMSFLOW_TEMPLATE_OK;
}

bool
smsflow_template_render(const char *t, size_t len, SmsflowTemplateLookup lookup, void *lookup_ctx, SmsflowTemplateWrite write,
						void *write_ctx, SmsflowTemplateError *err)
{
	return smsflow_template_render_links(t, len, lookup, lookup_ctx, NULL, NULL, write, write_ctx, err);
}

bool
smsflow_template_render_links(const char *t, size_t len, SmsflowTemplateLookup lookup, void *lookup_ctx, SmsflowTemplateLink link,
							  void *link_ctx, SmsflowTemplateWrite write, void *write_ctx, SmsflowTemplateError *err)
{
	Reader r = {t, len, 0};
	Piece piece;

	*err = (SmsflowTemplateError){SMSFLOW_TEMPLATE_OK, 0, 0};
	while (next_piece(&r, &piece, err))
	{
		Span value = {NULL, 0};

		if (!piece.is_variable)
		{
			write(write_ctx, piece.text.text, piece.text.len);
			continue;
		}
		if (!lookup(lookup_ctx, piece.text.text, piece.text.len, &value.text, &value.len))
		{
			value.len = 0;
			if (!piece.has_default)
				return fail(err, SMSFLOW_TEMPLATE_MISSING, (size_t) (piece.text.text - t), piece.text.len);
		}
		if (piece.has_default && is_blank(value))
			value = piece.fallback;
		if (piece.is_link && link != NULL && !link(link_ctx, value.text, value.len, &value.text, &value.len))
			return fail(err, SMSFLOW_TEMPLATE_MISSING, (size_t) (piece.text.text - t), piece.text.len);
		write_clean(value, write, write_ctx);
	}
	return err->code == SMSFLOW_TEMPLATE_OK;
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
		case SMSFLOW_TEMPLATE_MISSING:
			return "A variable has neither a value nor a default.";
	}
	return "Unknown error.";
}
