-- What is known of each contact, as one row that segments read.
--
-- Nobody who records something writes that row: a checkout, a sign-up and the worker's turn append a delta, so none of
-- them waits for another, or for a row that a campaign keeps busy. The worker folds deltas into rows, and the view
-- profile adds those it has not folded yet, so that it is exact in every snapshot.

-- Columns of fixed width come first, and then those that conditions ask for most: to find a column, PostgreSQL walks over those before it.
CREATE TABLE smsflow.profile_fact (
	contact_id		bigint PRIMARY KEY,
	brand_id		integer NOT NULL,
	orders_count	bigint NOT NULL,
	subscribed		boolean NOT NULL,
	created_at		timestamptz NOT NULL,
	birthday		date,
	opted_in_at		timestamptz,
	first_order_at	timestamptz,
	last_order_at	timestamptz,
	next_order_at	timestamptz,
	last_cart_at	timestamptz,
	last_viewed_at	timestamptz,
	last_click_at	timestamptz,
	last_reply_at	timestamptz,
	last_delivered_at timestamptz,
	last_engaged_at	timestamptz,
	cart_event_id	bigint,
	closing_event_id bigint,
	attributes		jsonb NOT NULL,
	language		text,
	orders_value	numeric NOT NULL,
	region			text,
	country			text,
	promotional_consent text NOT NULL,
	cart_consent	text NOT NULL,
	value_tier		text,
	opted_in_source	text,
	external_id		text,
	first_name		text,
	last_name		text,
	time_zone		text,
	active_cart		text,
	active_cart_value numeric,
	last_viewed		text,
	message_days	integer[],
	click_days		integer[],
	products		text[],
	categories		text[]
) WITH (fillfactor = 85);
COMMENT ON TABLE smsflow.profile_fact IS 'Facts of a contact as they were when its deltas were last folded; read the view profile, which adds those that wait';
COMMENT ON COLUMN smsflow.profile_fact.cart_event_id IS 'Newest event of kind cart';
COMMENT ON COLUMN smsflow.profile_fact.closing_event_id IS 'Newest event that ended a cart: an order, or the cart was emptied';
COMMENT ON COLUMN smsflow.profile_fact.message_days IS 'Messages by day of UTC, as tally_add() keeps them';
COMMENT ON COLUMN smsflow.profile_fact.click_days IS 'Clicks by people by day of UTC, as tally_add() keeps them';

CREATE TABLE smsflow.profile_delta (
	contact_id	bigint NOT NULL,
	kind		text NOT NULL,
	at			timestamptz NOT NULL,
	event_id	bigint
);
CREATE INDEX profile_delta_contact ON smsflow.profile_delta (contact_id);
COMMENT ON TABLE smsflow.profile_delta IS 'Something that changes the facts of a contact, not yet folded into profile_fact';
COMMENT ON COLUMN smsflow.profile_delta.kind IS 'contact (its row or consent changed), event (of the store, see event_id), message (of a contact whose facts are not there yet, else see profile_sent), delivered, click, reply';
COMMENT ON COLUMN smsflow.profile_delta.at IS 'When it happened';

CREATE TABLE smsflow.profile_sent (
	sent_id		bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	sent_at		timestamptz NOT NULL,
	lowest		bigint NOT NULL,
	highest		bigint NOT NULL,
	contact_ids	bigint[] NOT NULL
);
COMMENT ON TABLE smsflow.profile_sent IS 'Contacts to whom messages were sent that profile_fact does not count yet, once for each message';
COMMENT ON COLUMN smsflow.profile_sent.sent_at IS 'Instant of one of them; all were sent on its day of UTC';
COMMENT ON COLUMN smsflow.profile_sent.lowest IS 'Lowest of contact_ids';
COMMENT ON COLUMN smsflow.profile_sent.highest IS 'Highest of contact_ids';

CREATE TABLE smsflow.contact_product_fact (
	contact_id	bigint NOT NULL,
	kind		text NOT NULL CHECK (kind IN ('bought', 'viewed')),
	product		text NOT NULL,
	category	text,
	last_at		timestamptz NOT NULL,
	times		bigint NOT NULL,
	PRIMARY KEY (contact_id, kind, product)
) WITH (fillfactor = 90);
CREATE INDEX contact_product_product ON smsflow.contact_product_fact (product, kind, last_at);
COMMENT ON TABLE smsflow.contact_product_fact IS 'Products that a contact has bought or viewed; read the view contact_product, which adds what waits to be folded';

CREATE TABLE smsflow.value_tier (
	brand_id	integer NOT NULL REFERENCES smsflow.brand,
	tier		text NOT NULL CHECK (tier <> ''),
	at_least	numeric NOT NULL,
	builtin		boolean NOT NULL DEFAULT false,
	PRIMARY KEY (brand_id, tier)
);
COMMENT ON TABLE smsflow.value_tier IS 'Customer value tiers of a brand by the sum of all orders; who is in none of its rows has the tier NULL. A brand without rows takes those of brand 1';
COMMENT ON COLUMN smsflow.value_tier.at_least IS 'Least value of all orders, in the store''s currency';
INSERT INTO smsflow.value_tier (brand_id, tier, at_least, builtin) VALUES (1, 'low', 0.01, true), (1, 'medium', 100, true), (1, 'high', 500, true);
