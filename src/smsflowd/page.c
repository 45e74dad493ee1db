/*
 * The pages of the report: a table of what each shows, in statements over the views of smsflow_bi, whose figures are
 * exact at any instant.  A statement gives its columns the names that people read.  Instants are those of UTC.
 */
#include "page.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define COUNT_OF(array) ((int) (sizeof(array) / sizeof((array)[0])))

/* ---- overview ---- */

static const char last_day[] = "SELECT sum(sent) AS \"Sent\", sum(delivered) AS \"Delivered\", round(100 * sum(delivered)"
							   " / nullif(sum(delivered + undelivered + rejected), 0), 1) AS \"Delivered of those settled, %\","
							   " sum(undelivered + rejected) AS \"Failed\", sum(opt_outs) AS \"Opt-outs\","
							   " (SELECT count(*) FROM smsflow_bi.alerts WHERE ended_at IS NULL) AS \"Open alerts\""
							   " FROM smsflow_bi.sender_health HAVING count(*) > 0";

#define LAST_30_DAYS " WHERE hour >= date_trunc('day', now(), 'UTC') - interval '29 days'"

static const char message_days[] =
	"SELECT to_char(d, 'YYYY-MM-DD') AS \"Day\", coalesce(sum(h.sent), 0) AS \"Sent\", coalesce(sum(h.delivered), 0) AS "
	"\"Delivered\","
	" coalesce(sum(h.clicks), 0) AS \"Clicks\", coalesce(sum(h.orders), 0) AS \"Orders\""
	" FROM (SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AS today) t"
	" CROSS JOIN generate_series(t.today - interval '29 days', t.today, '1 day') d"
	" LEFT JOIN (SELECT * FROM smsflow_bi.message_hourly" LAST_30_DAYS ") h"
	" ON date_trunc('day', h.hour AT TIME ZONE 'UTC') = d GROUP BY d ORDER BY d";

static const char message_purposes[] =
	"SELECT purpose AS \"Purpose\", sum(sent) AS \"Sent\", sum(parts) AS \"Parts\", sum(delivered) AS \"Delivered\","
	" sum(undelivered) + sum(rejected) AS \"Failed\", sum(clickers) AS \"Clicked\", sum(orders) AS \"Orders\","
	" sum(opt_outs) AS \"Opt-outs\" FROM smsflow_bi.message_hourly" LAST_30_DAYS
	" GROUP BY purpose HAVING sum(recipients) > 0 ORDER BY 2 DESC, 1";

static const char open_alerts[] =
	"SELECT campaign_id, coalesce(campaign, sender) AS \"Campaign or number\", rule AS \"What\", round(100 * rate, 2) AS \"Rate, "
	"%\","
	" round(100 * past_rate, 2) AS \"Before, %\", trials AS \"Messages\", CASE WHEN paused THEN 'paused' ELSE '' END AS \"Done\","
	" to_char(raised_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS \"Since\""
	" FROM smsflow_bi.alerts WHERE ended_at IS NULL ORDER BY raised_at DESC LIMIT 50";

static const char latest_campaigns[] =
	"SELECT campaign_id, campaign AS \"Campaign\", status AS \"State\", sent AS \"Sent\","
	" round(100 * delivery_rate, 1) AS \"Delivered, %\", round(100 * click_rate, 1) AS \"Clicked, %\","
	" round(100 * conversion_rate, 1) AS \"Ordered, %\""
	" FROM smsflow_bi.campaign_totals WHERE sent > 0 ORDER BY last_sent_at DESC LIMIT 10";

static const struct section overview[] = {
	{"The last 24 hours, all messages", TILES, last_day, "There is no number to send from yet."},
	{"All messages by day, the last 30 days", CURVE, message_days, "Nothing was sent yet."},
	{"By purpose, the last 30 days", BARS, message_purposes, "Nothing was sent in these days."},
	{"Open alerts", TABLE, open_alerts, "No rate differs from its past."},
	{"Latest campaigns", TABLE, latest_campaigns, "No campaign has sent anything yet."},
};

/* ---- campaigns ---- */

static const char all_campaigns[] =
	"SELECT campaign_id, campaign AS \"Campaign\", purpose AS \"Purpose\", status AS \"State\","
	" to_char(last_sent_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS \"Last sent\", recipients AS \"Recipients\", sent AS "
	"\"Sent\","
	" round(100 * delivery_rate, 1) AS \"Delivered, %\", round(100 * click_rate, 1) AS \"Clicked, %\","
	" round(100 * conversion_rate, 1) AS \"Ordered, %\", round(100 * opt_out_rate, 2) AS \"Opted out, %\","
	" round(revenue, 2) AS \"Revenue\", CASE WHEN revenue IS NULL THEN 'several' ELSE currency END AS \"Currency\""
	" FROM smsflow_bi.campaign_totals t ORDER BY t.campaign_id DESC LIMIT 500";

static const struct section campaigns[] = {
	{"The 500 newest campaigns", TABLE, all_campaigns, "There is no campaign yet."},
};

/* ---- one campaign ---- */

static const char campaign_title[] =
	"SELECT t.campaign, format('%s, %s, brand \"%s\", %s', t.purpose, t.status, t.brand, coalesce(x.span, 'nothing yet'))"
	" FROM smsflow_bi.campaign_totals t CROSS JOIN LATERAL (SELECT 'sent from ' || to_char(t.first_sent_at AT TIME ZONE 'UTC',"
	" 'YYYY-MM-DD HH24:MI') || ' to ' || to_char(t.last_sent_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS span) x"
	" WHERE t.campaign_id = $1::integer";

static const char campaign_tiles[] =
	"SELECT sent AS \"Sent\", round(100 * delivery_rate, 1) AS \"Delivered, %\", round(100 * click_rate, 1) AS \"Clicked, %\","
	" round(100 * conversion_rate, 1) AS \"Ordered, %\", round(100 * opt_out_rate, 2) AS \"Opted out, %\","
	" CASE WHEN revenue IS NULL THEN 'see Money' ELSE round(revenue_per_message, 4) || coalesce(' ' || currency, '') END"
	" AS \"Revenue per message\", parts AS \"Parts\", replies AS \"Replies\""
	" FROM smsflow_bi.campaign_totals WHERE campaign_id = $1::integer";

static const char campaign_funnel[] =
	"SELECT x.step AS \"Step\", x.messages AS \"Messages\", round(100.0 * x.messages / nullif(t.recipients, 0), 1) AS \"Of "
	"recipients, %\""
	" FROM smsflow_bi.campaign_totals t CROSS JOIN LATERAL (VALUES (1, 'Recipients', t.recipients), (2, 'Sent', t.sent),"
	" (3, 'Delivered', t.delivered), (4, 'Clicked', t.clickers), (5, 'Ordered', t.orders)) AS x (place, step, messages)"
	" WHERE t.campaign_id = $1::integer AND t.recipients > 0 ORDER BY x.place";

/* By hours over a week, by days over more, and the last 400 of these. */
static const char campaign_curve[] =
	"WITH h AS MATERIALIZED (SELECT hour AT TIME ZONE 'UTC' AS hour, sent, delivered, clicks, orders"
	" FROM smsflow_bi.campaign_hourly WHERE campaign_id = $1::integer),"
	" s AS (SELECT min(hour) AS first, max(hour) AS last, CASE WHEN max(hour) - min(hour) <= interval '7 days' THEN 'hour' ELSE "
	"'day' END"
	" AS unit FROM h WHERE sent <> 0 OR delivered <> 0 OR clicks <> 0 OR orders <> 0)"
	" SELECT to_char(b, CASE s.unit WHEN 'hour' THEN 'YYYY-MM-DD HH24:MI' ELSE 'YYYY-MM-DD' END) AS \"Time\","
	" coalesce(sum(h.sent), 0) AS \"Sent\", coalesce(sum(h.delivered), 0) AS \"Delivered\", coalesce(sum(h.clicks), 0) AS "
	"\"Clicks\","
	" coalesce(sum(h.orders), 0) AS \"Orders\" FROM s CROSS JOIN generate_series(greatest(date_trunc(s.unit, s.first),"
	" s.last - 400 * ('1 ' || s.unit)::interval), s.last, ('1 ' || s.unit)::interval) b"
	" LEFT JOIN h ON date_trunc(s.unit, h.hour) = date_trunc(s.unit, b) GROUP BY b, s.unit ORDER BY b";

static const char campaign_outcomes[] =
	"SELECT x.what AS \"Outcome\", x.messages AS \"Messages\" FROM smsflow_bi.campaign_totals t CROSS JOIN LATERAL (VALUES"
	" (1, 'Suppressed', t.suppressed), (2, 'Waiting', t.queued), (3, 'Accepted, no final report yet', t.accepted),"
	" (4, 'Delivered', t.delivered), (5, 'Undelivered', t.undelivered), (6, 'Rejected', t.rejected), (7, 'Expired', t.expired),"
	" (8, 'In doubt', t.in_doubt), (9, 'Unknown', t.unknown), (10, 'Cancelled', t.cancelled)) AS x (place, what, messages)"
	" WHERE t.campaign_id = $1::integer AND x.messages > 0 ORDER BY x.place";

static const char campaign_variants[] =
	"SELECT coalesce(variant_name, 'variant ' || variant) AS \"Variant\", sent AS \"Sent\","
	" round(100 * click_rate, 2) AS \"Clicked, %\", round(100 * click_uplift, 1) AS \"More clicks than the first, %\","
	" round(100 * best_by_clicks::numeric, 1) AS \"Best by clicks, %\", round(100 * conversion_rate, 2) AS \"Ordered, %\","
	" round(100 * conversion_uplift, 1) AS \"More orders than the first, %\", round(100 * best_by_orders::numeric, 1) AS \"Best "
	"by orders, %\""
	" FROM smsflow_bi.variant_results WHERE campaign_id = $1::integer ORDER BY variant";

static const char campaign_money[] =
	"SELECT coalesce(currency, 'not given') AS \"Currency\", round(revenue, 2) AS \"Revenue\", round(cost, 2) AS \"Cost\","
	" round(revenue / nullif(cost, 0), 2) AS \"Revenue / cost\""
	" FROM smsflow_bi.campaign_money WHERE campaign_id = $1::integer ORDER BY currency";

static const char campaign_alerts[] = "SELECT rule AS \"What\", round(100 * rate, 2) AS \"Rate, %\", round(100 * past_rate, 2) "
									  "AS \"Before, %\", trials AS \"Messages\","
									  " CASE WHEN paused THEN 'paused' ELSE '' END AS \"Done\", to_char(raised_at AT TIME ZONE "
									  "'UTC', 'YYYY-MM-DD HH24:MI') AS \"Since\","
									  " coalesce(to_char(ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), 'open') AS \"Until\""
									  " FROM smsflow_bi.alerts WHERE campaign_id = $1::integer ORDER BY raised_at DESC LIMIT 50";

static const struct section campaign[] = {
	{NULL, TITLE, campaign_title, NULL},
	{"Figures", TILES, campaign_tiles, "There are no figures yet."},
	{"From recipients to orders", BARS, campaign_funnel, "The campaign has no messages yet."},
	{"What happened when", CURVE, campaign_curve, "Nothing was sent yet."},
	{"What became of its messages", BARS, campaign_outcomes, "The campaign has no messages yet."},
	{"Variants", TABLE, campaign_variants, "The campaign has no variants."},
	{"Money", TABLE, campaign_money, "No revenue is credited, and no cost was reported."},
	{"Alerts", TABLE, campaign_alerts, "No rate differed from its past."},
};

/* ---- funnel ---- */

static const char programme_funnel[] =
	"SELECT x.step AS \"Step\", x.messages AS \"Messages\", round(100.0 * x.messages / nullif(t.recipients, 0), 1) AS \"Of "
	"recipients, %\""
	" FROM (SELECT sum(recipients) AS recipients, sum(sent) AS sent, sum(delivered) AS delivered, sum(clickers) AS clickers,"
	" sum(orders) AS orders FROM smsflow_bi.campaign_totals) t CROSS JOIN LATERAL (VALUES (1, 'Recipients', t.recipients),"
	" (2, 'Sent', t.sent), (3, 'Delivered', t.delivered), (4, 'Clicked', t.clickers), (5, 'Ordered', t.orders)) AS x (place, "
	"step, messages)"
	" WHERE t.recipients > 0 ORDER BY x.place";

static const char sequence_steps[] =
	"SELECT sequence AS \"Sequence\", step AS \"Step\", entered AS \"Entered\", waiting AS \"Waiting\", sent AS \"Sent\","
	" delivered AS \"Delivered\", clicked AS \"Clicked\", converted AS \"Ordered\", completed AS \"Completed\", exited AS "
	"\"Left\","
	" (SELECT string_agg(key || ': ' || value, ', ' ORDER BY key) FROM jsonb_each_text(exited_by_reason)) AS \"Why they left\""
	" FROM smsflow_bi.sequence_funnel ORDER BY sequence, step LIMIT 200";

static const char sequence_variants[] =
	"SELECT sequence AS \"Sequence\", step AS \"Step\", variant AS \"Variant\", sent AS \"Sent\","
	" round(100 * click_rate, 2) AS \"Clicked, %\", round(100 * best_by_clicks::numeric, 1) AS \"Best by clicks, %\","
	" round(100 * conversion_rate, 2) AS \"Ordered, %\", round(100 * best_by_orders::numeric, 1) AS \"Best by orders, %\""
	" FROM smsflow_bi.sequence_variant_results ORDER BY sequence, step, variant LIMIT 200";

static const char recovered_carts[] =
	"SELECT sequence AS \"Sequence\", step AS \"Step\", minutes_up_to AS \"Minutes after the cart, up to\", carts AS \"Carts\","
	" recovered AS \"Recovered\", round(100 * recovery_rate, 1) AS \"Recovered, %\", round(value, 2) AS \"Value\", currency AS "
	"\"Currency\""
	" FROM smsflow_bi.cart_recovery ORDER BY sequence, step, minutes_up_to LIMIT 200";

static const char consent_funnel[] =
	"SELECT source AS \"Signed up by\", signed_up AS \"Signed up\", confirmed AS \"Confirmed\", messaged AS \"Messaged\","
	" ordered AS \"Ordered\", opted_out AS \"Opted out\", subscribed AS \"Subscribed\""
	" FROM smsflow_bi.consent_funnel ORDER BY signed_up DESC LIMIT 50";

static const struct section funnel[] = {
	{"All campaigns, from recipients to orders", BARS, programme_funnel, "No campaign has messages yet."},
	{"Sequences, step by step", TABLE, sequence_steps, "There is no sequence with steps yet."},
	{"Variants of steps", TABLE, sequence_variants, "No step has variants."},
	{"Carts of the last 35 days that came back", TABLE, recovered_carts, "Nobody was reminded of a cart yet."},
	{"People, from signing up to ordering", BARS, consent_funnel, "Nobody has signed up yet."},
};

/* ---- senders ---- */

static const char senders[] =
	"SELECT sender AS \"Number\", sent AS \"Sent\", gateway AS \"Gateway\", round(100 * delivery_rate, 1) AS \"Delivered, %\","
	" round(100 * delivery_rate_before, 1) AS \"7 days before, %\", undelivered + rejected AS \"Failed\", opt_outs AS "
	"\"Opt-outs\","
	" seconds_p50 AS \"Seconds to delivery, half\", seconds_p95 AS \"95 %\", seconds_p99 AS \"99 %\","
	" (SELECT string_agg(key || ': ' || value, ', ' ORDER BY value::bigint DESC, key) FROM jsonb_each_text(failures)) AS "
	"\"Failures\""
	" FROM smsflow_bi.sender_health ORDER BY sent DESC, sender LIMIT 200";

static const char gateways[] =
	"SELECT gateway AS \"Gateway\", sent AS \"Sent\", profile AS \"Profile\", round(100 * delivery_rate, 1) AS \"Delivered, %\","
	" round(100 * delivery_rate_before, 1) AS \"7 days before, %\", undelivered + rejected AS \"Failed\","
	" seconds_p50 AS \"Seconds to delivery, half\", seconds_p95 AS \"95 %\", seconds_p99 AS \"99 %\""
	" FROM smsflow_bi.gateway_health ORDER BY sent DESC, gateway LIMIT 50";

static const struct section sender_sections[] = {
	{"Numbers, the last 24 hours", BARS, senders, "There is no number to send from yet."},
	{"Gateways, the last 24 hours", BARS, gateways, "There is no gateway yet."},
};

/* ---- opt-outs ---- */

static const char opt_out_days[] =
	"SELECT to_char(d, 'YYYY-MM-DD') AS \"Day\", coalesce(sum(o.opt_outs), 0) AS \"Opt-outs\","
	" coalesce(sum(o.opt_outs) FILTER (WHERE o.campaign IS NOT NULL OR o.sequence IS NOT NULL), 0) AS \"After a message\""
	" FROM (SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AS today) t"
	" CROSS JOIN generate_series(t.today - interval '89 days', t.today, '1 day') d"
	" LEFT JOIN smsflow_bi.opt_out_trend o ON o.day = d::date GROUP BY d ORDER BY d";

static const char opt_outs_by_message[] =
	"SELECT coalesce(campaign, sequence, 'no message in the 24 hours before') AS \"After\", sum(opt_outs) AS \"Opt-outs\","
	" CASE WHEN campaign IS NOT NULL THEN 'campaign' WHEN sequence IS NOT NULL THEN 'sequence' ELSE '' END AS \"Which is\""
	" FROM smsflow_bi.opt_out_trend WHERE day > (now() AT TIME ZONE 'UTC')::date - 30"
	" GROUP BY campaign, sequence ORDER BY 2 DESC, 1 LIMIT 50";

static const char opt_outs_by_way[] =
	"SELECT source AS \"Way\", sum(opt_outs) AS \"Opt-outs\", coalesce(keyword_rule, '') AS \"Understood by\""
	" FROM smsflow_bi.opt_out_trend WHERE day > (now() AT TIME ZONE 'UTC')::date - 30"
	" GROUP BY source, keyword_rule ORDER BY 2 DESC, 1 LIMIT 50";

static const struct section opt_outs[] = {
	{"Opt-outs by day", CURVE, opt_out_days, "Nobody has opted out."},
	{"The last 30 days, by what they followed", BARS, opt_outs_by_message, "Nobody has opted out."},
	{"The last 30 days, by the way they came", BARS, opt_outs_by_way, "Nobody has opted out."},
};

static const struct page pages[] = {
	{"/", "Overview", "Overview", overview, COUNT_OF(overview)},
	{"/campaigns", "Campaigns", "Campaigns", campaigns, COUNT_OF(campaigns)},
	{"/campaign/", NULL, NULL, campaign, COUNT_OF(campaign)},
	{"/funnel", "Funnel", "Funnel", funnel, COUNT_OF(funnel)},
	{"/senders", "Senders", "Senders", sender_sections, COUNT_OF(sender_sections)},
	{"/opt-outs", "Opt-outs", "Opt-outs", opt_outs, COUNT_OF(opt_outs)},
};

/* ---- the frame ---- */

/* The only argument is a key: up to nine digits. */
static bool
is_key(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits > 0 && digits < 10 && text[digits] == '\0';
}

const struct page *
page_find(const char *path, const char **argument)
{
	*argument = NULL;
	for (int i = 0; i < COUNT_OF(pages); i++)
	{
		size_t length = strlen(pages[i].path);

		if (strcmp(path, pages[i].path) == 0 && pages[i].title != NULL)
			return &pages[i];
		if (pages[i].title != NULL || strncmp(path, pages[i].path, length) != 0 || !is_key(path + length))
			continue;
		*argument = path + length;
		return &pages[i];
	}
	return NULL;
}

static void
append_menu(struct evbuffer *html, const struct page *page)
{
	evbuffer_add_printf(html, "<nav aria-label=\"Pages\"><ul>");
	for (int i = 0; i < COUNT_OF(pages); i++)
		if (pages[i].menu != NULL)
			evbuffer_add_printf(html, "<li><a href=\"%s\"%s>%s</a></li>", pages[i].path,
								&pages[i] == page ? " aria-current=\"page\"" : "", pages[i].menu);
	evbuffer_add_printf(html, "</ul></nav>\n");
}

static void
append_head(struct evbuffer *html, const struct page *page, const char *title)
{
	evbuffer_add_printf(html, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
							  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>");
	html_text(html, title);
	evbuffer_add_printf(html,
						" - SMS</title>\n<link rel=\"stylesheet\" href=\"/report.css\"/>\n<link rel=\"icon\" href=\"data:,\"/>\n"
						"</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the figures</a>\n<header>\n");
	append_menu(html, page);
	evbuffer_add_printf(html, "</header>\n<main id=\"main\">\n");
}

static void
append_foot(struct evbuffer *html)
{
	time_t now = time(NULL);
	struct tm utc;
	char instant[32];

	gmtime_r(&now, &utc);
	strftime(instant, sizeof(instant), "%Y-%m-%d %H:%M:%S", &utc);
	evbuffer_add_printf(html,
						"</main>\n<footer><p>As of %s UTC; days and hours are those of UTC.</p></footer>\n</body>\n</html>\n",
						instant);
}

void
page_append(struct evbuffer *html, const struct page *page, const char *title, struct evbuffer *sections)
{
	append_head(html, page, title);
	if (page->title != NULL)
		evbuffer_add_printf(html, "<h1>%s</h1>\n", page->title);
	evbuffer_add_buffer(html, sections);
	append_foot(html);
}

void
page_append_words(struct evbuffer *html, const char *title, const char *words)
{
	append_head(html, NULL, title);
	evbuffer_add_printf(html, "<h1>%s</h1>\n<p>%s</p>\n", title, words);
	append_foot(html);
}
