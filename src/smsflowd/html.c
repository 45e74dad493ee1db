/*
 * Parts of a page of the report.  Everything that was somebody's text once, such as the name of a campaign, passes
 * html_text(): nothing that a person wrote becomes markup.  What is drawn is also there as a table, for those who do not
 * see it.
 */
#include "html.h"

#include <stdlib.h>
#include <string.h>

#include "chart.h"

/* pg_type.dat */
#define INT8_OID 20
#define INT2_OID 21
#define INT4_OID 23
#define FLOAT8_OID 701
#define NUMERIC_OID 1700

/* The longest bar, of so many units. */
#define BAR_WIDTH 200

void
html_text(struct evbuffer *html, const char *text)
{
	for (; *text != '\0'; text++)
	{
		size_t plain = strcspn(text, "&<>\"'");

		evbuffer_add(html, text, plain);
		text += plain;
		if (*text == '\0')
			return;
		evbuffer_add_printf(html, "&#%d;", *text);
	}
}

void
html_number(struct evbuffer *html, const char *number)
{
	const char *digits = number + (*number == '-');
	size_t whole = strspn(digits, "0123456789");

	if (whole == 0)
	{
		html_text(html, number);
		return;
	}
	if (*number == '-')
		evbuffer_add_printf(html, "\xE2\x88\x92"); /* the sign, not the hyphen: it is read as minus */
	for (size_t i = 0; i < whole; i++)
		evbuffer_add_printf(html, "%s%c", i > 0 && (whole - i) % 3 == 0 ? "," : "", digits[i]);
	html_text(html, digits + whole);
}

bool
html_is_number(const PGresult *result, int column)
{
	switch (PQftype(result, column))
	{
		case INT8_OID:
		case INT2_OID:
		case INT4_OID:
		case FLOAT8_OID:
		case NUMERIC_OID:
			return true;
		default:
			return false;
	}
}

/* What a cell holds; a value that is not known is a dash, which is read as such. */
static void
append_value(struct evbuffer *html, const PGresult *result, int row, int column)
{
	if (PQgetisnull(result, row, column))
		evbuffer_add_printf(html, "<span class=\"none\">\xE2\x80\x93</span>");
	else if (html_is_number(result, column))
		html_number(html, PQgetvalue(result, row, column));
	else
	{
		evbuffer_add_printf(html, "<bdi>"); /* text that runs the other way keeps to its cell */
		html_text(html, PQgetvalue(result, row, column));
		evbuffer_add_printf(html, "</bdi>");
	}
}

/* ---- tables ---- */

static bool
is_key(const PGresult *result, int column)
{
	return column >= 0 && strcmp(PQfname(result, column), "campaign_id") == 0;
}

static void
append_cell(struct evbuffer *html, const PGresult *result, int row, int column)
{
	bool first = column == 0 || (column == 1 && is_key(result, 0));
	bool linked = is_key(result, column - 1) && !PQgetisnull(result, row, column - 1);

	evbuffer_add_printf(html, first ? "<th scope=\"row\"" : "<td");
	evbuffer_add_printf(html, html_is_number(result, column) ? " class=\"number\">" : ">");
	if (linked)
		evbuffer_add_printf(html, "<a href=\"/campaign/%ld\">", strtol(PQgetvalue(result, row, column - 1), NULL, 10));
	append_value(html, result, row, column);
	evbuffer_add_printf(html, "%s%s", linked ? "</a>" : "", first ? "</th>" : "</td>");
}

/* A bar as long as its value in relation to the longest; the number stands beside it, so it says nothing new. */
static void
append_bar(struct evbuffer *html, const char *value, double longest)
{
	double length = longest > 0 ? strtod(value, NULL) / longest * BAR_WIDTH : 0;

	evbuffer_add_printf(html,
						"<td><svg class=\"bar\" viewBox=\"0 0 %d 12\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"
						"<rect width=\"%.1f\" height=\"12\"/></svg></td>",
						BAR_WIDTH, length > 0 ? length : 0);
}

static double
longest_bar(const PGresult *result)
{
	double longest = 0;

	for (int row = 0; row < PQntuples(result); row++)
	{
		double value = strtod(PQgetvalue(result, row, 1), NULL);

		longest = value > longest ? value : longest;
	}
	return longest;
}

static void
append_names(struct evbuffer *html, const PGresult *result, bool bars)
{
	evbuffer_add_printf(html, "<thead><tr>");
	for (int column = 0; column < PQnfields(result); column++)
	{
		if (is_key(result, column))
			continue;
		evbuffer_add_printf(html, html_is_number(result, column) ? "<th scope=\"col\" class=\"number\">" : "<th scope=\"col\">");
		html_text(html, PQfname(result, column));
		evbuffer_add_printf(html, "</th>%s", bars && column == 1 ? "<td></td>" : "");
	}
	evbuffer_add_printf(html, "</tr></thead>");
}

/* A table may be wider than a telephone: it is scrolled by itself, with the keyboard, too. */
static void
append_table(struct evbuffer *html, const char *heading, const PGresult *result, bool bars)
{
	double longest = bars ? longest_bar(result) : 0;

	evbuffer_add_printf(html, "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"");
	html_text(html, heading);
	evbuffer_add_printf(html, "\"><table%s><caption>", bars ? " class=\"bars\"" : "");
	html_text(html, heading);
	evbuffer_add_printf(html, "</caption>");
	append_names(html, result, bars);
	evbuffer_add_printf(html, "<tbody>\n");
	for (int row = 0; row < PQntuples(result); row++)
	{
		evbuffer_add_printf(html, "<tr>");
		for (int column = 0; column < PQnfields(result); column++)
		{
			if (is_key(result, column))
				continue;
			append_cell(html, result, row, column);
			if (bars && column == 1)
				append_bar(html, PQgetvalue(result, row, column), longest);
		}
		evbuffer_add_printf(html, "</tr>\n");
	}
	evbuffer_add_printf(html, "</tbody></table></div>\n");
}

void
html_table(struct evbuffer *html, const char *heading, const PGresult *result)
{
	append_table(html, heading, result, false);
}

/* ---- sections ---- */

static void
append_tiles(struct evbuffer *html, const PGresult *result)
{
	evbuffer_add_printf(html, "<dl class=\"tiles\">");
	for (int column = 0; column < PQnfields(result); column++)
	{
		evbuffer_add_printf(html, "<div><dt>");
		html_text(html, PQfname(result, column));
		evbuffer_add_printf(html, "</dt><dd>");
		append_value(html, result, 0, column);
		evbuffer_add_printf(html, "</dd></div>");
	}
	evbuffer_add_printf(html, "</dl>\n");
}

static void
append_title(struct evbuffer *html, const PGresult *result)
{
	evbuffer_add_printf(html, "<h1><bdi>");
	html_text(html, PQgetvalue(result, 0, 0));
	evbuffer_add_printf(html, "</bdi></h1>\n<p>");
	html_text(html, PQgetvalue(result, 0, 1));
	evbuffer_add_printf(html, "</p>\n");
}

static void
append_note(struct evbuffer *html, const char *words, const char *sqlstate)
{
	evbuffer_add_printf(html, "<p class=\"note\">");
	html_text(html, words);
	html_text(html, sqlstate);
	evbuffer_add_printf(html, "</p>\n");
}

static void
append_rows(struct evbuffer *html, const struct section *section, int place, const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		append_note(html, "These figures cannot be shown now. SQLSTATE ", sqlstate != NULL ? sqlstate : "XX000");
	else if (PQntuples(result) == 0 || (section->shape == CURVE && chart_is_empty(result)))
		append_note(html, section->nothing, "");
	else if (section->shape == TILES)
		append_tiles(html, result);
	else if (section->shape == CURVE)
		chart_append(html, section->heading, place, result);
	else
		append_table(html, section->heading, result, section->shape == BARS);
}

void
html_section(struct evbuffer *html, const struct section *section, int place, const PGresult *result)
{
	if (section->shape == TITLE)
	{
		append_title(html, result);
		return;
	}
	evbuffer_add_printf(html, "<section aria-labelledby=\"section-%d\">\n<h2 id=\"section-%d\">", place, place);
	html_text(html, section->heading);
	evbuffer_add_printf(html, "</h2>\n");
	append_rows(html, section, place, result);
	evbuffer_add_printf(html, "</section>\n");
}
