-- Variants, what came of them, and which has won. Re-runnable.

CREATE OR REPLACE FUNCTION smsflow.variant_named(k smsflow.campaign, name text) RETURNS smallint
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	number CONSTANT smallint := (SELECT v.variant FROM smsflow.campaign_variant AS v WHERE v.campaign_id = (k).campaign_id AND v.name = variant_named.name);
BEGIN
	IF number IS NULL THEN
		PERFORM smsflow.refuse('SF004', format('variant "%s" does not exist', variant_named.name),
			format('Campaign "%s" has no variant of this name.', (k).name), coalesce((SELECT 'There are ' || string_agg(format('"%s"', v.name), ', ' ORDER BY v.variant) || '.'
				FROM smsflow.campaign_variant AS v WHERE v.campaign_id = (k).campaign_id), 'Add it with smsflow.add_variant().'));
	END IF;
	RETURN number;
END $$;
COMMENT ON FUNCTION smsflow.variant_named(smsflow.campaign, text) IS 'Number of a variant; SF004 if the campaign has none of this name';
REVOKE ALL ON FUNCTION smsflow.variant_named(smsflow.campaign, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.add_variant(campaign text, name text, body text DEFAULT NULL, weight integer DEFAULT 1,
		after interval DEFAULT '0', brand text DEFAULT 'default') RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k CONSTANT smsflow.campaign := smsflow.lock_campaign(add_variant.campaign, add_variant.brand, '{draft}');
	its_body CONSTANT text := coalesce(add_variant.body, k.body);
	number integer;
BEGIN
	IF coalesce(add_variant.name, '') IN ('', 'holdout') OR btrim(its_body) = '' OR coalesce(add_variant.weight NOT BETWEEN 1 AND 10000, true)
			OR coalesce(add_variant.after < '0' OR add_variant.after > '30 days', true) THEN
		PERFORM smsflow.refuse('SF007', 'this variant cannot be used',
			'A variant has a name other than "holdout", a text, a weight from 1 to 10000, and is due at most 30 days after the launch.',
			'Example: smsflow.add_variant(''spring sale'', ''B'', ''Hello'', 50).');
	END IF;
	PERFORM smsflow.check_template(its_body), smsflow.check_content(its_body, k.purpose, add_variant.brand);
	INSERT INTO smsflow.campaign_variant AS v (campaign_id, variant, name, body, weight, after)
	SELECT k.campaign_id, 1 + count(*), add_variant.name, its_body, add_variant.weight, add_variant.after
	FROM smsflow.campaign_variant AS o WHERE o.campaign_id = k.campaign_id
	ON CONFLICT ON CONSTRAINT campaign_variant_campaign_id_name_key DO NOTHING RETURNING v.variant INTO number;
	IF number IS NULL THEN
		PERFORM smsflow.refuse_taken('variant', add_variant.name, 'campaign');
	END IF;
	UPDATE smsflow.campaign AS c SET approved_by = NULL, approved_at = NULL WHERE c.campaign_id = k.campaign_id;
	RETURN number;
END $$;
COMMENT ON FUNCTION smsflow.add_variant(text, text, text, integer, interval, text) IS
'Adds a variant to a draft and returns its number. Once there are variants, two at least, each recipient gets one of them, by a hash of the contact and in proportion to the weights; without a body it has the campaign''s own, so that it differs in when it is due: after the launch, or after its local time. SF003 for a malformed body, SF004 for an unknown campaign, SF005 if it is no draft or the name is taken, SF007 for other arguments';
REVOKE ALL ON FUNCTION smsflow.add_variant(text, text, text, integer, interval, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.translate_campaign(name text, language text, body text, variant text DEFAULT NULL, brand text DEFAULT 'default') RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k CONSTANT smsflow.campaign := smsflow.lock_campaign(translate_campaign.name, translate_campaign.brand, '{draft}');
	number CONSTANT smallint := CASE WHEN translate_campaign.variant IS NULL THEN 0 ELSE smsflow.variant_named(k, translate_campaign.variant) END;
BEGIN
	IF coalesce(translate_campaign.language !~ '^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$' OR btrim(translate_campaign.body) = '', true)
			OR translate_campaign.body IS NULL THEN
		PERFORM smsflow.refuse('SF007', 'this translation cannot be used',
			'A translation has a language such as pt or pt-BR, and a text.', 'Example: smsflow.translate_campaign(''spring sale'', ''pt'', ''Ola'').');
	END IF;
	PERFORM smsflow.check_template(translate_campaign.body), smsflow.check_content(translate_campaign.body, k.purpose, translate_campaign.brand);
	INSERT INTO smsflow.campaign_translation AS t (campaign_id, variant, language, body)
	VALUES (k.campaign_id, number, replace(translate_campaign.language, '_', '-'), translate_campaign.body)
	ON CONFLICT ON CONSTRAINT campaign_translation_pkey DO UPDATE SET body = excluded.body;
	UPDATE smsflow.campaign AS c SET approved_by = NULL, approved_at = NULL WHERE c.campaign_id = k.campaign_id;
END $$;
COMMENT ON FUNCTION smsflow.translate_campaign(text, text, text, text, text) IS
'Gives a draft, or one of its variants, a text for recipients of a language (BCP 47; pt is also for pt-BR); who wants another has the text as it was written. A second call replaces the first. SF003 for a malformed body, SF004 for an unknown campaign or variant, SF005 if it is no draft, SF007 for other arguments';
REVOKE ALL ON FUNCTION smsflow.translate_campaign(text, text, text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.results_of(k smsflow.campaign)
	RETURNS TABLE (variant smallint, held_out boolean, recipients bigint, sent bigint, delivered bigint, clicked bigint, replied bigint, opted_out bigint,
		ordered bigint, orders bigint, revenue numeric)
	LANGUAGE sql STABLE SET search_path = pg_catalog, smsflow, pg_temp SET jit = off AS $$
	WITH became AS (
		SELECT o.variant, false AS held_out,
			EXISTS (SELECT FROM smsflow.attempt AS t WHERE t.message_id = o.message_id AND t.outcome = 'accepted') AS sent,
			EXISTS (SELECT FROM smsflow.report AS r WHERE r.message_id = o.message_id AND r.status = 'delivered') AS delivered,
			EXISTS (SELECT FROM smsflow.click AS h WHERE h.message_id = o.message_id AND h.class = 'human') AS clicked, c.*
		FROM smsflow.queue AS q JOIN smsflow.outbox AS o USING (queue_id)
		CROSS JOIN LATERAL (
			SELECT count(*) FILTER (WHERE x.kind = 'order') AS orders, count(*) FILTER (WHERE x.kind = 'reply') AS replies,
				count(*) FILTER (WHERE x.kind = 'opt_out') AS opt_outs, sum(x.amount) FILTER (WHERE x.kind = 'order') AS revenue,
				min(x.currency) FILTER (WHERE x.amount <> 0) AS one_currency, max(x.currency) FILTER (WHERE x.amount <> 0) AS other_currency
			FROM smsflow.attribution AS x WHERE x.message_id = o.message_id) AS c
		WHERE q.source = 'campaign:' || (results_of.k).campaign_id
		UNION ALL
		SELECT NULL, true, false, false, false, c.orders, 0, 0, c.revenue, c.one_currency, c.other_currency
		FROM smsflow.outbox AS o CROSS JOIN LATERAL (
			SELECT count(*) AS orders, sum(e.amount) AS revenue, min(e.currency) FILTER (WHERE e.amount <> 0) AS one_currency,
				max(e.currency) FILTER (WHERE e.amount <> 0) AS other_currency
			FROM smsflow.event AS e
			WHERE e.contact_id = o.contact_id AND e.kind = 'order' AND e.occurred_at BETWEEN o.created_at AND o.created_at + interval '12 hours'
				AND NOT EXISTS (SELECT FROM smsflow.event AS f WHERE f.contact_id = e.contact_id AND f.kind = 'order' AND f.ref <> ''
					AND hashtextextended(f.ref, 0) = hashtextextended(e.ref, 0) AND f.ref = e.ref AND f.event_id < e.event_id)) AS c
		WHERE o.queue_id = 0 AND o.message_id > (results_of.k).after_message_id AND o.campaign_id = (results_of.k).campaign_id AND o.refusal = 'holdout'
	)
	SELECT b.variant, b.held_out, count(*), count(*) FILTER (WHERE b.sent), count(*) FILTER (WHERE b.delivered), count(*) FILTER (WHERE b.clicked), count(*) FILTER (WHERE b.replies > 0),
		count(*) FILTER (WHERE b.opt_outs > 0), count(*) FILTER (WHERE b.orders > 0), coalesce(sum(b.orders), 0)::bigint,
		CASE WHEN min(b.one_currency) <> max(b.other_currency) THEN NULL ELSE coalesce(sum(b.revenue), 0) END
	FROM became AS b GROUP BY b.held_out, b.variant
$$;
COMMENT ON FUNCTION smsflow.results_of(smsflow.campaign) IS 'Messages of a campaign by variant, and those of whom it held out, with what came of them';
REVOKE ALL ON FUNCTION smsflow.results_of(smsflow.campaign) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.campaign_results(campaign text, brand text DEFAULT 'default')
	RETURNS TABLE (variant text, recipients bigint, sent bigint, delivered bigint, clicked bigint, replied bigint, opted_out bigint, ordered bigint, orders bigint,
		revenue numeric, order_rate numeric)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, smsflow, pg_temp AS $$
	SELECT CASE WHEN r.held_out THEN 'holdout' ELSE v.name END, r.recipients, CASE WHEN NOT r.held_out THEN r.sent END, r.delivered, r.clicked, r.replied, r.opted_out,
		r.ordered, r.orders, r.revenue, round(r.ordered::numeric / nullif(CASE WHEN r.held_out THEN r.recipients ELSE r.delivered END, 0), 4)
	FROM smsflow.campaign_named(campaign_results.campaign, campaign_results.brand) AS k CROSS JOIN LATERAL smsflow.results_of(k) AS r
	LEFT JOIN smsflow.campaign_variant AS v ON v.campaign_id = k.campaign_id AND v.variant = r.variant
	ORDER BY r.held_out, r.variant
$$;
COMMENT ON FUNCTION smsflow.campaign_results(text, text) IS
'What came of each variant of a campaign (null: it has none), and of those whom the holdout left out: messages queued, sent and delivered; people who clicked, replied, opted out and ordered; their orders and revenue (NULL in several currencies), and order_rate: ordered / delivered, NULL when nothing is delivered (held out: ordered per person). choose_winner() compares by sent. Orders are those credited to the message (smsflow.attribution), and of those held out all within 12 hours. SF004 for an unknown campaign or brand';
REVOKE ALL ON FUNCTION smsflow.campaign_results(text, text) FROM PUBLIC;

-- ---- the winner ----

CREATE OR REPLACE FUNCTION smsflow.find_winner(k smsflow.campaign)
	RETURNS TABLE (variant smallint, rate double precision, runner_up smallint, runner_up_rate double precision, p_value double precision, problem text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	WITH counted AS MATERIALIZED (
		SELECT r.variant, r.sent AS trials, CASE coalesce((find_winner.k).options ->> 'decide_by', 'orders') WHEN 'orders' THEN r.ordered
			WHEN 'clicks' THEN r.clicked WHEN 'replies' THEN r.replied
			WHEN 'delivered' THEN r.delivered ELSE r.sent - least(r.opted_out, r.sent) END AS successes
		FROM smsflow.results_of(find_winner.k) AS r WHERE r.variant IS NOT NULL AND r.sent > 0
	), bounded AS MATERIALIZED (
		SELECT c.variant, c.trials, least(c.successes, c.trials) AS successes, least(c.successes, c.trials)::double precision / c.trials AS rate FROM counted AS c
	), best AS (
		SELECT b.* FROM bounded AS b ORDER BY b.rate DESC, b.variant LIMIT 1
	), against AS (
		SELECT b.variant, b.rate, count(*) OVER () AS others, smsflow.two_proportions(w.successes, w.trials, b.successes, b.trials) AS p
		FROM bounded AS b JOIN best AS w ON w.variant <> b.variant
	), closest AS (
		SELECT a.*, least(1, a.p * a.others) AS p_value FROM against AS a ORDER BY a.p DESC, a.variant LIMIT 1
	)
	SELECT w.variant, w.rate, c.variant, c.rate, c.p_value, CASE
		WHEN (SELECT count(*) FROM bounded AS b WHERE b.trials >= coalesce(((find_winner.k).options ->> 'min_sample')::bigint, 100))
			< (SELECT count(*) FROM smsflow.campaign_variant AS v WHERE v.campaign_id = (find_winner.k).campaign_id) THEN 'the sample is too small'
		WHEN c.p_value <= 1 - coalesce(((find_winner.k).options ->> 'confidence')::double precision, 0.95) THEN NULL
		ELSE 'the difference may be chance' END
	FROM (SELECT 1) AS one LEFT JOIN best AS w ON true LEFT JOIN closest AS c ON true
$$;
COMMENT ON FUNCTION smsflow.find_winner(smsflow.campaign) IS 'The best variant, and the one it differs from least surely. p_value: pooled two-proportion z-test, two-sided, times the number of other variants (Bonferroni); problem says why it has not won: the sample is below the option min_sample, or p_value above 1 - confidence';
REVOKE ALL ON FUNCTION smsflow.find_winner(smsflow.campaign) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.set_winner(campaign_id integer, variant smallint) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	UPDATE smsflow.campaign AS k SET winner = set_winner.variant, waits_for = nullif(k.waits_for, 'winner'),
		waits_until = CASE WHEN k.waits_for = 'winner' THEN NULL ELSE k.waits_until END
	WHERE k.campaign_id = set_winner.campaign_id;
	SELECT smsflow.note_config()
$$;
COMMENT ON FUNCTION smsflow.set_winner(integer, smallint) IS 'From now on a campaign sends this variant alone; those who waited for it get it';
REVOKE ALL ON FUNCTION smsflow.set_winner(integer, smallint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.settle_winner(campaign_id integer) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT smsflow.set_winner(k.campaign_id, w.variant)
	FROM smsflow.campaign AS k CROSS JOIN LATERAL smsflow.find_winner(k) AS w WHERE k.campaign_id = settle_winner.campaign_id AND w.problem IS NULL
$$;
COMMENT ON FUNCTION smsflow.settle_winner(integer) IS 'Worker: makes the variant that has won the winner, if one has';
REVOKE ALL ON FUNCTION smsflow.settle_winner(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.choose_winner(campaign text, variant text DEFAULT NULL, brand text DEFAULT 'default')
	RETURNS TABLE (winner text, rate numeric, runner_up text, runner_up_rate numeric, p_value numeric, decided boolean, reason text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k CONSTANT smsflow.campaign := smsflow.lock_campaign(choose_winner.campaign, choose_winner.brand, '{running,paused,done}');
	found CONSTANT record := smsflow.find_winner(k);
	chosen CONSTANT smallint := CASE WHEN choose_winner.variant IS NULL THEN found.variant ELSE smsflow.variant_named(k, choose_winner.variant) END;
BEGIN
	IF NOT EXISTS (SELECT FROM smsflow.campaign_variant AS v WHERE v.campaign_id = k.campaign_id) THEN
		PERFORM smsflow.refuse('SF005', format('campaign "%s" has no variants', k.name),
			'There is nothing to choose from.', 'Variants are added to a draft with smsflow.add_variant().');
	END IF;
	IF choose_winner.variant IS NOT NULL OR found.problem IS NULL THEN
		PERFORM smsflow.set_winner(k.campaign_id, chosen);
	END IF;
	RETURN QUERY SELECT (SELECT v.name FROM smsflow.campaign_variant AS v WHERE v.campaign_id = k.campaign_id AND v.variant = chosen),
		round(found.rate::numeric, 4), (SELECT v.name FROM smsflow.campaign_variant AS v WHERE v.campaign_id = k.campaign_id AND v.variant = found.runner_up),
		round(found.runner_up_rate::numeric, 4), round(found.p_value::numeric, 6), choose_winner.variant IS NOT NULL OR found.problem IS NULL,
		CASE WHEN choose_winner.variant IS NOT NULL THEN 'chosen by hand' ELSE found.problem END;
END $$;
COMMENT ON FUNCTION smsflow.choose_winner(text, text, text) IS
'Makes the variant that has won the one that everybody else gets: the best by the option decide_by if it differs from every other by more than chance (pooled two-proportion z-test, two-sided, p_value corrected for the number of comparisons, at most 1 - confidence) and each was sent to min_sample people. Its rates are by messages sent, not delivered as order_rate of campaign_results() is, since it must decide also where a gateway sends no reports. decided says whether it did, reason why not; variant names one by hand. SF004 for an unknown campaign or variant, SF005 if it is not running, paused or done, or has no variants';
REVOKE ALL ON FUNCTION smsflow.choose_winner(text, text, text) FROM PUBLIC;
