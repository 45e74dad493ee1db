-- Named sets of contacts.

CREATE TABLE smsflow.segment (
	segment_id	integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	brand_id	integer NOT NULL DEFAULT 1 REFERENCES smsflow.brand,
	name		text NOT NULL CHECK (name <> ''),
	predicate	text NOT NULL,
	owner		regrole NOT NULL DEFAULT current_user::regrole,
	created_at	timestamptz NOT NULL DEFAULT now(),
	uses		text[] NOT NULL DEFAULT '{}',
	cost		double precision,
	expected	double precision,
	UNIQUE (brand_id, name)
);
COMMENT ON TABLE smsflow.segment IS 'Name -> SQL condition over smsflow.profile, evaluated with its owner''s privileges';
COMMENT ON COLUMN smsflow.segment.uses IS 'Segments of the brand that the predicate names, as segment(...) or in_segment(contact_id, ...)';
COMMENT ON COLUMN smsflow.segment.cost IS 'What the planner expected one reading of all members to cost when it was created, in its units (a page read in order is 1)';
COMMENT ON COLUMN smsflow.segment.expected IS 'Members that the planner expected then';

CREATE TABLE smsflow.segment_snapshot (
	segment_id	integer NOT NULL REFERENCES smsflow.segment ON DELETE CASCADE,
	contact_id	bigint NOT NULL,
	PRIMARY KEY (segment_id, contact_id)
);
CREATE INDEX segment_snapshot_contact ON smsflow.segment_snapshot (contact_id);
COMMENT ON TABLE smsflow.segment_snapshot IS 'Members of segments made by snapshot_segment(), as they were then';

CREATE TABLE smsflow.segment_recipe (
	recipe		text PRIMARY KEY CHECK (recipe ~ '^[a-z0-9_]+$'),
	predicate	text NOT NULL,
	params		jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(params) = 'object'),
	about		text NOT NULL,
	builtin		boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE smsflow.segment_recipe IS 'Segment that install_segment() makes, as data';
COMMENT ON COLUMN smsflow.segment_recipe.predicate IS 'Condition over smsflow.profile; {{name}} stands for a parameter, which becomes a quoted text';
COMMENT ON COLUMN smsflow.segment_recipe.params IS 'Parameters with their defaults; null: must be given';
INSERT INTO smsflow.segment_recipe (recipe, predicate, params, about, builtin) VALUES
	('new_subscriber', 'subscribed AND opted_in_at > now() - {{within}}::interval', '{"within": "7 days"}', 'agreed to offers lately', true),
	('first_time_buyer', 'orders_count = 1', '{}', 'has ordered once', true),
	('repeat_buyer', 'orders_count >= {{orders}}::bigint', '{"orders": 2}', 'has ordered more than once', true),
	('vip', 'value_tier = {{tier}}', '{"tier": "high"}', 'is in the highest value tier, see smsflow.value_tier', true),
	('lapsed', 'last_order_at < now() - {{after}}::interval', '{"after": "90 days"}', 'has ordered, and not for a while', true),
	('at_risk', 'orders_count >= 2 AND next_order_at < now() - {{late}}::interval AND last_order_at > now() - {{until}}::interval',
		'{"late": "14 days", "until": "1 year"}', 'orders later than at the pace so far', true),
	('win_back', 'subscribed AND last_order_at < now() - {{after}}::interval AND last_engaged_at > now() - {{seen}}::interval',
		'{"after": "180 days", "seen": "90 days"}', 'has not ordered for long, and still looks', true),
	('cart_abandoner', 'active_cart IS NOT NULL AND last_cart_at BETWEEN now() - {{within}}::interval AND now() - {{after}}::interval',
		'{"after": "1 hour", "within": "7 days"}', 'left a cart that is still open', true),
	('browser', 'last_viewed_at > now() - {{within}}::interval AND coalesce(last_order_at, ''-infinity'') < last_viewed_at AND active_cart IS NULL',
		'{"within": "7 days"}', 'has looked at products and not bought since', true),
	('product_interest', 'smsflow.viewed(contact_id, {{product}}, {{within}}::interval) AND NOT smsflow.bought(contact_id, {{product}})',
		'{"product": null, "within": "30 days"}', 'has looked at a product and never bought it', true),
	('bought_not', 'smsflow.bought(contact_id, {{product}}) AND NOT smsflow.bought(contact_id, {{other}})',
		'{"product": null, "other": null}', 'has bought one product and not the other', true),
	('by_region', 'region = {{region}} OR country = {{region}}', '{"region": null}', 'lives in a region or country (ISO 3166)', true),
	('engaged', 'last_engaged_at > now() - {{within}}::interval', '{"within": "30 days"}', 'ordered, filled a cart, looked, clicked or replied', true),
	('never_clicked', 'last_click_at IS NULL AND messages_90d >= {{messages}}::bigint', '{"messages": 3}', 'got messages and never clicked', true);
