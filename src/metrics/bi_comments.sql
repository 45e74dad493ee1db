-- What the columns of the views mean. A column of one name has one meaning in
-- all views and is explained once; where a view means something else by it, or
-- alone has it, the row says so as view.column.

DO $$
DECLARE
	meaning record;
BEGIN
	FOR meaning IN
		SELECT DISTINCT ON (c.oid, a.attnum) a.attrelid::regclass AS view, a.attname AS name, m.words
		FROM pg_catalog.pg_attribute a
		JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
		JOIN (VALUES
			('campaign', 'Name of the campaign'),
			('sequence', 'Name of the sequence'),
			('step', 'Step of the sequence, from 1'),
			('hour', 'Start of the hour (UTC hours)'),
			('local_date', 'Day of the session''s time zone'),
			('time_zone', 'The session''s time zone, by which days are cut'),
			('purpose', 'Purpose of the messages: promotional, cart, transactional ...'),
			('status', 'State of the campaign (draft, scheduled, running, paused, done, cancelled, failed) or of the sequence (enabled, disabled)'),
			('recipients', 'Messages made, one for each person addressed, whatever became of them. Equals suppressed + queued + accepted + delivered + undelivered + rejected + expired + in_doubt + unknown + cancelled'),
			('suppressed', 'Messages not sent because sending was not permitted: no consent, opted out ...'),
			('queued', 'Messages that still wait: scheduled, queued, held or being sent'),
			('sent', 'Messages that the gateway took, or that have a delivery report'),
			('accepted', 'Messages that the gateway took and that have no final report yet'),
			('delivered', 'Messages reported as delivered to the phone'),
			('undelivered', 'Messages reported as not delivered'),
			('rejected', 'Messages refused by the gateway or the network'),
			('expired', 'Messages whose validity ended: before they were sent, or in the network'),
			('in_doubt', 'Messages that may or may not have reached the gateway; not settled yet'),
			('unknown', 'Messages whose end is not known and no longer expected'),
			('cancelled', 'Messages cancelled before they were sent'),
			('parts', 'Message parts (segments) of the messages made and not refused at once; what gateways bill'),
			('clicks', 'Clicks on short links by people; previews and scanners do not count'),
			('clickers', 'Messages with at least one click by a person'),
			('replies', 'Replies within 24 hours after a message to the same person, credited to the last one'),
			('opt_outs', 'Messages followed by an opt-out of the same person within 24 hours, credited to the last one'),
			('orders', 'Orders within 12 hours after a message to the same person, each credited once, to the last campaign message or marketing message of a sequence'),
			('revenue', 'Sum of the amounts of these orders, in currency; NULL when they are in several, see campaign_money'),
			('cost', 'Sum of the costs that the gateway reported, in cost_currency; NULL when they are in several, see campaign_money'),
			('currency', 'Currency of revenue, or of cost while there is no revenue; NULL: none given, or several'),
			('cost_currency', 'Currency of cost; NULL: none given, or several'),
			('delivery_rate', 'delivered / sent; NULL when nothing is sent'),
			('click_rate', 'clickers / sent; NULL when nothing is sent'),
			('conversion_rate', 'orders / sent; NULL when nothing is sent'),
			('opt_out_rate', 'opt_outs / sent; NULL when nothing is sent'),
			('revenue_per_message', 'revenue / sent; NULL when nothing is sent, or revenue is in several currencies'),
			('first_sent_at', 'When the first message was sent; NULL when none is'),
			('last_sent_at', 'When the newest message was sent; NULL when none is'),
			('brand', 'Name of the brand'),
			('campaign_id', 'Key of the campaign; the cheapest way to read one row'),
			('sequence_id', 'Key of the sequence')
		) AS m (name, words) ON m.name IN (a.attname, c.relname || '.' || a.attname)
		WHERE c.relnamespace = 'smsflow_bi'::regnamespace AND c.relkind = 'v' AND a.attnum > 0
		ORDER BY c.oid, a.attnum, m.name = a.attname		-- its own words first
	LOOP
		EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', meaning.view, meaning.name, meaning.words);
	END LOOP;
END
$$;
