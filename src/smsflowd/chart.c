/*
 * Curves, as SVG within a page: no program runs in the browser and nothing is fetched.  Lines differ by their dashes as
 * well as by their colours, which report.css gives them, for light and dark.
 */
#include "chart.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "html.h"

#define WIDTH 720.0
#define HEIGHT 260.0
#define LEFT 72.0
#define RIGHT 16.0
#define TOP 12.0
#define BOTTOM 28.0

/* Of so many kinds are the lines in report.css. */
#define MOST_LINES 4

/* With no more points than these, each is marked: lines alone do not show one that stands alone. */
#define MOST_MARKS 31

struct scale
{
	double lowest;
	double highest;
	double step;
};

static double
value_at(const PGresult *result, int row, int column)
{
	return strtod(PQgetvalue(result, row, column), NULL);
}

static int
line_count(const PGresult *result)
{
	int lines = PQnfields(result) - 1;

	return lines < MOST_LINES ? lines : MOST_LINES;
}

/* The least of 1, 2 and 5 times a power of ten, but 1, that is no less: a step that reads well. */
static double
round_step(double least)
{
	double power = pow(10, floor(log10(least > 1 ? least : 1)));

	if (least <= power)
		return power;
	return least <= 2 * power ? 2 * power : least <= 5 * power ? 5 * power : 10 * power;
}

/* From zero, or from below it where a count went back, to a round number above all values. */
static struct scale
find_scale(const PGresult *result)
{
	struct scale scale = {0, 0, 1};

	for (int row = 0; row < PQntuples(result); row++)
		for (int line = 1; line <= line_count(result); line++)
		{
			scale.lowest = fmin(scale.lowest, value_at(result, row, line));
			scale.highest = fmax(scale.highest, value_at(result, row, line));
		}
	scale.step = round_step((scale.highest - scale.lowest) / 4);
	scale.lowest = floor(scale.lowest / scale.step) * scale.step;
	scale.highest = fmax(ceil(scale.highest / scale.step) * scale.step, scale.lowest + scale.step);
	return scale;
}

bool
chart_is_empty(const PGresult *result)
{
	for (int row = 0; row < PQntuples(result); row++)
		for (int line = 1; line <= line_count(result); line++)
			if (value_at(result, row, line) != 0)
				return false;
	return true;
}

static double
x_of(int row, int rows)
{
	return rows > 1 ? LEFT + (WIDTH - LEFT - RIGHT) * row / (rows - 1) : (LEFT + WIDTH - RIGHT) / 2;
}

static double
y_of(const struct scale *scale, double value)
{
	return TOP + (HEIGHT - TOP - BOTTOM) * (scale->highest - value) / (scale->highest - scale->lowest);
}

static void
append_grid(struct evbuffer *html, const struct scale *scale)
{
	int lines = (int) lround((scale->highest - scale->lowest) / scale->step);

	for (int i = 0; i <= lines; i++)
	{
		double value = scale->lowest + i * scale->step;
		double y = y_of(scale, value);
		char number[32];

		snprintf(number, sizeof(number), "%.0f", value);
		evbuffer_add_printf(html,
							"<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/><text class=\"value\" "
							"x=\"%.0f\" y=\"%.1f\">",
							LEFT, WIDTH - RIGHT, y, y, LEFT - 8, y + 4);
		html_number(html, number);
		evbuffer_add_printf(html, "</text>");
	}
}

static void
append_instant(struct evbuffer *html, const PGresult *result, int row, const char *anchor)
{
	evbuffer_add_printf(html, "<text class=\"%s\" x=\"%.1f\" y=\"%.0f\">", anchor, x_of(row, PQntuples(result)), HEIGHT - 8);
	html_text(html, PQgetvalue(result, row, 0));
	evbuffer_add_printf(html, "</text>");
}

static void
append_instants(struct evbuffer *html, const PGresult *result)
{
	int rows = PQntuples(result);

	append_instant(html, result, 0, rows == 1 ? "alone" : "first");
	if (rows >= 5)
		append_instant(html, result, (rows - 1) / 2, "middle");
	if (rows > 1)
		append_instant(html, result, rows - 1, "last");
}

static void
append_line(struct evbuffer *html, const struct scale *scale, const PGresult *result, int line)
{
	int rows = PQntuples(result);

	evbuffer_add_printf(html, "<polyline class=\"line line-%d\" points=\"", line);
	for (int row = 0; row < rows; row++)
		evbuffer_add_printf(html, "%.1f,%.1f ", x_of(row, rows), y_of(scale, value_at(result, row, line)));
	evbuffer_add_printf(html, "\"/>");
	for (int row = 0; row < rows && rows <= MOST_MARKS; row++)
		evbuffer_add_printf(html, "<circle class=\"mark-%d\" r=\"2.5\" cx=\"%.1f\" cy=\"%.1f\"/>", line, x_of(row, rows),
							y_of(scale, value_at(result, row, line)));
}

/* What somebody who sees the curve reads off it first: how much in all, and when the most. */
static void
append_words(struct evbuffer *html, const PGresult *result)
{
	for (int line = 1; line <= line_count(result); line++)
	{
		double sum = 0;
		int peak = 0;
		char number[32];

		for (int row = 0; row < PQntuples(result); row++)
		{
			sum += value_at(result, row, line);
			if (value_at(result, row, line) > value_at(result, peak, line))
				peak = row;
		}
		html_text(html, PQfname(result, line));
		evbuffer_add_printf(html, ": ");
		snprintf(number, sizeof(number), "%.0f", sum);
		html_number(html, number);
		evbuffer_add_printf(html, " in all, at most ");
		html_number(html, PQgetvalue(result, peak, line));
		evbuffer_add_printf(html, " at ");
		html_text(html, PQgetvalue(result, peak, 0));
		evbuffer_add_printf(html, ". ");
	}
}

static void
append_legend(struct evbuffer *html, const PGresult *result)
{
	evbuffer_add_printf(html, "<figcaption><ul class=\"legend\">");
	for (int line = 1; line <= line_count(result); line++)
	{
		evbuffer_add_printf(html,
							"<li><svg class=\"key\" viewBox=\"0 0 32 8\" aria-hidden=\"true\"><line class=\"line line-%d\" "
							"x1=\"0\" x2=\"32\" "
							"y1=\"4\" y2=\"4\"/></svg> ",
							line);
		html_text(html, PQfname(result, line));
		evbuffer_add_printf(html, "</li>");
	}
	evbuffer_add_printf(html, "</ul></figcaption>");
}

void
chart_append(struct evbuffer *html, const char *heading, int place, const PGresult *result)
{
	struct scale scale = find_scale(result);

	evbuffer_add_printf(html,
						"<figure><svg class=\"curve\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-labelledby=\"title-%d "
						"words-%d\">"
						"<title id=\"title-%d\">",
						WIDTH, HEIGHT, place, place, place);
	html_text(html, heading);
	evbuffer_add_printf(html, "</title><desc id=\"words-%d\">", place);
	append_words(html, result);
	evbuffer_add_printf(html, "</desc>");
	append_grid(html, &scale);
	append_instants(html, result);
	for (int line = line_count(result); line >= 1; line--)
		append_line(html, &scale, result, line);
	evbuffer_add_printf(html, "</svg>");
	append_legend(html, result);
	evbuffer_add_printf(html, "</figure>\n<details><summary>");
	html_text(html, heading);
	evbuffer_add_printf(html, ", as a table</summary>\n");
	html_table(html, heading, result);
	evbuffer_add_printf(html, "</details>\n");
}
