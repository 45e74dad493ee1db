-- Short links on a brand's own domain, and what came of them. A link has no row
-- of its own: its code is computed from its message (core/shortcode), whose
-- outbox row has the target, and it goes with that row.

CREATE TABLE smsflow.link_key (
	one			boolean PRIMARY KEY DEFAULT true CHECK (one),
	key			text NOT NULL CHECK (key ~ '^[0-9a-f]{64}$')
);
COMMENT ON TABLE smsflow.link_key IS 'Key of the codes of short links, made by the first set_link_domain(). A dump takes it along: links that are in people''s phones work in the copy, too';

CREATE TABLE smsflow.link_domain (
	brand_id	integer PRIMARY KEY REFERENCES smsflow.brand,
	base_url	text NOT NULL CHECK (base_url ~ '^(https?://)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$' AND base_url ~ '[.]|//'),
	query		text NOT NULL DEFAULT '',
	valid_for	interval CHECK (valid_for > '0')
);
COMMENT ON TABLE smsflow.link_domain IS 'Where the short links of a brand are; set_link_domain() writes it';
COMMENT ON COLUMN smsflow.link_domain.query IS 'Template of what is added to the query of each target; see set_link_domain()';
COMMENT ON COLUMN smsflow.link_domain.valid_for IS 'How long a link works after its message was asked for; NULL as long as the message is kept';

CREATE TABLE smsflow.click_rule (
	kind		text NOT NULL CHECK (kind IN ('agent', 'soon', 'networks')),
	value		text NOT NULL,
	class		text NOT NULL CHECK (class IN ('human', 'preview', 'scanner', 'unknown')),
	source		text NOT NULL DEFAULT session_user,
	builtin		boolean NOT NULL DEFAULT false,
	PRIMARY KEY (kind, value)
);
COMMENT ON TABLE smsflow.click_rule IS 'What tells programs that follow links from people';
COMMENT ON COLUMN smsflow.click_rule.kind IS 'agent: the value stands in the User-Agent; soon: less than this after the message was sent; networks: the link was opened from so many networks in a span, as in 3 per 10 seconds';

CREATE TABLE smsflow.click (
	click_id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	message_id	bigint NOT NULL,
	link		smallint NOT NULL,
	contact_id	bigint,
	clicked_at	timestamptz NOT NULL,
	class		text NOT NULL CHECK (class IN ('human', 'preview', 'scanner', 'unknown')),
	rule		text NOT NULL,
	agent		text,
	network		cidr
);
CREATE INDEX click_message ON smsflow.click (message_id, clicked_at);
CREATE INDEX click_contact ON smsflow.click (contact_id, clicked_at) WHERE class = 'human';
COMMENT ON TABLE smsflow.click IS 'Hit of a short link';
COMMENT ON COLUMN smsflow.click.link IS 'Which link of the message, from 1';
COMMENT ON COLUMN smsflow.click.class IS 'human, preview (a program shows what is behind the link), scanner (a program looks for harm), unknown; only human clicks are counted';
COMMENT ON COLUMN smsflow.click.rule IS 'What decided: none, head, prefetch, no_agent, not_sent, soon, networks, or the pattern of the agent';
COMMENT ON COLUMN smsflow.click.agent IS 'User-Agent, at most 200 characters';
COMMENT ON COLUMN smsflow.click.network IS 'Where it came from: the first 24 bits of an IPv4 address, 48 of IPv6';

CREATE INDEX outbox_links ON smsflow.outbox_default (message_id) WHERE links IS NOT NULL;

-- Compared in small letters. Sources: WebKit and Meta for link previews of phones (they name themselves facebookexternalhit
-- and Twitterbot on purpose), and the documentation of the crawlers that name themselves.
INSERT INTO smsflow.click_rule (kind, value, class, source, builtin) VALUES
	('soon', '2 seconds', 'scanner', 'nobody reads a message and opens its link in less', true),
	('networks', '3 per 10 seconds', 'scanner', 'one person is in one or two networks at a time', true);
INSERT INTO smsflow.click_rule (kind, value, class, source, builtin)
SELECT 'agent', v.value, v.class, 'its documentation, or its own name for itself', true FROM (VALUES
	('facebookexternalhit', 'preview'), ('facebot', 'preview'), ('twitterbot', 'preview'), ('whatsapp', 'preview'), ('slackbot', 'preview'),
	('discordbot', 'preview'), ('telegrambot', 'preview'), ('linkedinbot', 'preview'), ('skypeuripreview', 'preview'), ('google-pagerenderer', 'preview'),
	('applebot', 'preview'), ('pinterestbot', 'preview'), ('redditbot', 'preview'), ('snap url preview', 'preview'),
	('googlebot', 'scanner'), ('bingbot', 'scanner'), ('bingpreview', 'preview'), ('headlesschrome', 'scanner'), ('phantomjs', 'scanner'), ('curl/', 'scanner'),
	('wget/', 'scanner'), ('python', 'scanner'), ('java/', 'scanner'), ('okhttp', 'scanner'), ('go-http-client', 'scanner'), ('libwww', 'scanner'),
	('httpclient', 'scanner'), ('axios', 'scanner'), ('node-fetch', 'scanner'), ('safebrowsing', 'scanner'), ('urlscan', 'scanner'), ('virustotal', 'scanner'),
	('proofpoint', 'scanner'), ('barracuda', 'scanner'), ('mimecast', 'scanner'), ('crawler', 'scanner'), ('spider', 'scanner'), ('bot/', 'scanner')) AS v (value, class);
