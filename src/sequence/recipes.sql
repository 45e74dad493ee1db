-- Recipes: sequences that most stores want, as data. What install_recipe() makes
-- is an ordinary, disabled sequence, to be read, edited and enabled.

CREATE OR REPLACE TRIGGER keep_own_row BEFORE INSERT OR UPDATE ON smsflow.recipe
	FOR EACH ROW EXECUTE FUNCTION smsflow.keep_own_row('recipe', 'recipe');

INSERT INTO smsflow.recipe (recipe, on_event, options, steps, needs, sample, builtin)
SELECT r.recipe, r.on_event, r.options::jsonb, r.steps::jsonb, r.needs, r.sample::jsonb, true FROM (VALUES
	-- Carts. One reminder within two hours; reassurance only for who is engaged; an incentive only where it was asked for. A person with
	-- many carts hears of one a week. In the United States the gate lets one text a cart pass, within 48 hours.
	('cart_recovery', 'cart', '{"limit": "1 per 7 days", "reentry": "7 days", "valid_for": "6 hours"}', '[
		{"after": "1 hour", "body": "You left {{cart.items.0.title|something}} in your cart. It is still here: {{url}} Reply STOP to end"},
		{"after": "23 hours", "body": "Free returns within 30 days, and we are here for questions. Your cart: {{url}} Reply STOP to end", "options": {"condition": "smsflow.engaged_since(contact_id, started_at) OR orders_count > 0"}},
		{"after": "2 days", "body": "Last call for your cart, with {{incentive}} until tomorrow: {{url}} Reply STOP to end", "options": {"condition": "data ? ''incentive''"}, "only_with": "incentive"}]',
		'watch_carts(), with "url" in data', '{"cart": {"items": [{"title": "Blue jacket"}]}, "url": "https://shop.example/c/7", "incentive": "10% off"}'),
	('checkout_abandonment', 'checkout', '{"purpose": "cart", "exit_on": ["order", "cart_emptied", "opted_out"], "reentry": "7 days", "limit": "1 per 7 days", "valid_for": "6 hours"}', '[
		{"after": "30 minutes", "body": "Your order is almost done. Finish it here: {{url}} Reply STOP to end"},
		{"after": "1 day", "body": "Any trouble at the checkout? Reply and we help. {{url}} Reply STOP to end", "options": {"condition": "smsflow.engaged_since(contact_id, started_at) OR orders_count > 0"}}]',
		'record_event(phone, ''checkout'', ref, {"url"})', '{"url": "https://shop.example/checkout/7"}'),
	('browse_abandonment', 'viewed', '{"purpose": "promotional", "exit_on": ["order", "cart", "opted_out"], "limit": "1 per 14 days", "valid_for": "12 hours"}', '[
		{"after": "4 hours", "body": "Still thinking about {{title}}? {{url}} Reply STOP to end"}]',
		'record_event(phone, ''viewed'', product, {"title", "url"})', '{"title": "the red scarf", "url": "https://shop.example/p/17"}'),
	-- Wishes.
	('back_in_stock', 'back_in_stock', '{"exit_on": ["out_of_stock", "opted_out"], "reentry": "0", "valid_for": "2 hours"}', '[
		{"after": "0", "body": "{{title|Your item}} is back, in small numbers: {{url}} Reply STOP to end"}]',
		'notify_me() and watch_inventory(), with "title" and "url" in data', '{"title": "Red scarf", "url": "https://shop.example/p/17"}'),
	('price_drop', 'price_drop', '{"exit_on": ["out_of_stock", "opted_out"], "reentry": "0", "valid_for": "12 hours"}', '[
		{"after": "0", "body": "{{title|Your item}} is now {{product.price}} instead of {{old_price}}: {{url}} Reply STOP to end"}]',
		'notify_me(phone, product, ''price_drop'') and watch_inventory()', '{"title": "Red scarf", "url": "https://shop.example/p/17", "product": {"price": 15}, "old_price": 20}'),
	('low_stock', 'low_stock', '{"exit_on": ["out_of_stock", "order", "opted_out"], "reentry": "0", "valid_for": "4 hours"}', '[
		{"after": "0", "body": "Only {{product.stock}} left of {{title|your item}}: {{url}} Reply STOP to end"}]',
		'notify_me(phone, product, ''low_stock'') and watch_inventory()', '{"title": "Red scarf", "url": "https://shop.example/p/17", "product": {"stock": 3}}'),
	-- The first days. With double opt-in the gate asks for a YES; the sequence waits for it.
	('welcome', 'subscribed', '{"purpose": "promotional", "exit_on": ["opted_out"]}', '[
		{"after": "0", "options": {"wait_until": "subscribed AND (promotional_consent = ''confirmed'' OR NOT smsflow.awaits_confirmation(contact_id))", "timeout": "3 days", "on_timeout": "end"}},
		{"after": "0", "body": "Welcome, {{first_name|friend}}! You hear first about what is new. Reply STOP to end"},
		{"after": "3 days", "body": "What others like best: {{best_url|https://shop.example}} Reply STOP to end", "options": {"condition": "orders_count = 0"}}]',
		'subscribe()', '{"best_url": "https://shop.example/best"}'),
	-- Orders: notices, which sell nothing.
	('order_confirmed', 'order', '{}', '[{"after": "0", "body": "Thank you! We have your order {{order.id}}."}]', 'watch_orders()', '{"order": {"id": 1001}}'),
	('order_paid', 'order_paid', '{}', '[{"after": "0", "body": "Payment for order {{order.id}} received."}]', 'watch_orders(), status paid', '{"order": {"id": 1001}}'),
	('order_packed', 'order_packed', '{}', '[{"after": "0", "body": "Order {{order.id}} is packed."}]', 'watch_orders(), status packed', '{"order": {"id": 1001}}'),
	('order_shipped', 'order_shipped', '{}', '[{"after": "0", "body": "Order {{order.id}} is on its way. {{tracking_url|}}"}]', 'watch_orders(), status shipped, "tracking_url" in data', '{"order": {"id": 1001}, "tracking_url": "https://track.example/1"}'),
	('out_for_delivery', 'order_out_for_delivery', '{"valid_for": "12 hours"}', '[{"after": "0", "body": "Order {{order.id}} will be delivered today."}]', 'watch_orders(), status out_for_delivery', '{"order": {"id": 1001}}'),
	('order_delivered', 'order_delivered', '{}', '[{"after": "0", "body": "Order {{order.id}} was delivered."}]', 'watch_orders(), status delivered', '{"order": {"id": 1001}}'),
	('ready_for_pickup', 'order_ready_for_pickup', '{"exit_on": ["order_picked_up"]}', '[{"after": "0", "body": "Order {{order.id}} is ready for pickup. {{pickup|}}"}, {"after": "3 days", "body": "Order {{order.id}} still waits for you. {{pickup|}}"}]', 'watch_orders(), statuses ready_for_pickup and picked_up', '{"order": {"id": 1001}, "pickup": "Main Street 1, until 8 pm"}'),
	('delivery_failed', 'order_delivery_failed', '{}', '[{"after": "0", "body": "Order {{order.id}} could not be delivered. Choose a new date: {{url}}"}]', 'watch_orders(), status delivery_failed, "url" in data', '{"order": {"id": 1001}, "url": "https://shop.example/o/1001"}'),
	-- Payments and subscriptions.
	('payment_pending', 'payment_pending', '{"purpose": "transactional", "exit_on": ["payment_paid", "payment_cancelled"]}', '[{"after": "2 hours", "body": "The payment for order {{order_no}} is still open: {{url}}"}, {"after": "1 day", "body": "We hold order {{order_no}} until tonight. Pay here: {{url}}"}]', 'watch_table(payments, ''payment'')', '{"order_no": "1001", "url": "https://shop.example/pay/1001"}'),
	('payment_failed', 'payment_failed', '{"purpose": "transactional", "exit_on": ["payment_paid", "payment_cancelled"]}', '[{"after": "0", "body": "The payment for order {{order_no}} failed. Try again: {{url}}"}, {"after": "2 days", "body": "Order {{order_no}} is not paid yet: {{url}}"}]', 'watch_table(payments, ''payment'')', '{"order_no": "1001", "url": "https://shop.example/pay/1001"}'),
	('subscription_renewal', 'subscription_renewing', '{"purpose": "transactional", "exit_on": ["subscription_cancelled"]}', '[{"after": "0", "body": "Your subscription renews on {{renews_on}} for {{price}}. Change or cancel it: {{url}}"}]', 'watch_table(subscriptions, ''subscription'')', '{"renews_on": "1 March", "price": "9.90", "url": "https://shop.example/account"}'),
	-- Returns.
	('return_approved', 'return_approved', '{"purpose": "transactional"}', '[{"after": "0", "body": "Your return for order {{order_no}} is approved. The label: {{url}}"}]', 'watch_table(returns, ''return'')', '{"order_no": "1001", "url": "https://shop.example/r/5"}'),
	('refund_done', 'return_refunded', '{"purpose": "transactional"}', '[{"after": "0", "body": "We have refunded {{amount}} for order {{order_no}}. It takes up to 5 days to arrive."}]', 'watch_table(returns, ''return'')', '{"order_no": "1001", "amount": "49.00 USD"}'),
	('replacement_shipped', 'return_replaced', '{"purpose": "transactional"}', '[{"after": "0", "body": "The replacement for order {{order_no}} is on its way. {{tracking_url|}}"}]', 'watch_table(returns, ''return'')', '{"order_no": "1001", "tracking_url": "https://track.example/2"}'),
	-- After the delivery: asks first, and asks for a review only after a good answer.
	('review_request', 'order_delivered', '{"purpose": "promotional", "exit_on": ["return", "opted_out"], "limit": "1 per 60 days"}', '[
		{"after": "5 days", "body": "Was everything okay with order {{order.id}}? Reply GOOD or BAD. Reply STOP to end"},
		{"after": "0", "options": {"wait_until": "smsflow.last_answer(contact_id, started_at) IS NOT NULL", "timeout": "3 days", "on_timeout": "end"}},
		{"after": "0", "options": {"exit": "smsflow.last_answer(contact_id, started_at) !~* ''\\m(good|great|yes|fine|perfect|love)\\M''"}},
		{"after": "0", "body": "Glad to hear! Would you tell others? {{review_url|https://shop.example/review}} Reply STOP to end"}]',
		'watch_orders(), status delivered', '{"order": {"id": 1001}, "review_url": "https://shop.example/review/1001"}'),
	('replenishment', 'order_delivered', '{"purpose": "promotional", "entry": "data ->> ''usage_days'' ~ ''^[0-9]{1,4}$''", "exit_on": ["order", "opted_out"]}', '[
		{"after": "1 day", "options": {"wait_until": "started_at + (data ->> ''usage_days'')::integer * interval ''1 day'' < now()", "timeout": "1 year", "on_timeout": "end", "every": "6 hours"}},
		{"after": "0", "body": "Time for more {{title|of it}}? Order again in a minute: {{url|https://shop.example}} Reply STOP to end"}]',
		'watch_orders(), status delivered, "usage_days", "title" and "url" in data', '{"usage_days": 30, "title": "coffee", "url": "https://shop.example/again/1001"}'),
	('win_back', 'order', '{"purpose": "promotional", "exit_on": ["order", "opted_out"]}', '[
		{"after": "60 days", "body": "We miss you, {{first_name|friend}}! See what is new: {{new_url|https://shop.example}} Reply STOP to end"},
		{"after": "30 days", "body": "Shall we keep writing? If not, reply STOP."}]',
		'watch_orders()', '{"new_url": "https://shop.example/new"}'),
	('birthday', 'birthday', '{"purpose": "promotional", "exit_on": ["opted_out"], "limit": "1 per 300 days", "valid_for": "12 hours"}', '[
		{"after": "0", "body": "Happy birthday, {{first_name|friend}}! A little present waits for you: {{gift_url|https://shop.example}} Reply STOP to end"}]',
		'record_dates(''birthday''), once a day', '{"gift_url": "https://shop.example/gift"}'),
	('loyalty_points_expiring', 'points_expiring', '{"purpose": "promotional", "exit_on": ["points_used", "opted_out"], "reentry": "30 days"}', '[
		{"after": "0", "body": "{{points}} points expire on {{expires_on}}. Use them: {{url|https://shop.example}} Reply STOP to end"}]',
		'watch_table(points, ''points'')', '{"points": 120, "expires_on": "31 March", "url": "https://shop.example/points"}'),
	('vip_early_access', 'vip_access', '{"purpose": "promotional", "entry": "orders_count >= 3", "exit_on": ["opted_out"], "valid_for": "12 hours"}', '[
		{"after": "0", "body": "For you first, {{first_name|friend}}: {{title}} until {{public_at|tomorrow}}. {{url}} Reply STOP to end"}]',
		'record_event(phone, ''vip_access'', ref, {"title", "url"})', '{"title": "the spring collection", "url": "https://shop.example/vip"}'),
	('referral', 'order_delivered', '{"purpose": "promotional", "entry": "orders_count >= 2", "exit_on": ["return", "opted_out"], "limit": "1 per 180 days"}', '[
		{"after": "14 days", "body": "Know somebody who would like us? You both get a thank-you: {{referral_url|https://shop.example/refer}} Reply STOP to end"}]',
		'watch_orders(), status delivered', '{"referral_url": "https://shop.example/refer/42"}')
) AS r (recipe, on_event, options, steps, needs, sample);

-- Facts that the conditions of recipes ask for.

CREATE OR REPLACE FUNCTION smsflow.last_answer(contact_id bigint, since timestamptz) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT i.body FROM smsflow.inbound i WHERE i.contact_id = last_answer.contact_id AND i.received_at > since
	ORDER BY i.inbound_id DESC LIMIT 1
$$;
COMMENT ON FUNCTION smsflow.last_answer(bigint, timestamptz) IS 'What a contact wrote last since an instant, NULL when nothing';
REVOKE ALL ON FUNCTION smsflow.last_answer(bigint, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.engaged_since(contact_id bigint, since timestamptz) RETURNS boolean
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT EXISTS (SELECT FROM smsflow.event e WHERE e.contact_id = engaged_since.contact_id AND e.occurred_at > since
			AND e.kind NOT IN ('rows', 'opted_out', 'out_of_stock', 'cart_emptied'))
		OR EXISTS (SELECT FROM smsflow.inbound i WHERE i.contact_id = engaged_since.contact_id AND i.received_at > since)
$$;
COMMENT ON FUNCTION smsflow.engaged_since(bigint, timestamptz) IS 'Whether a contact did something in the store or wrote to us since an instant';
REVOKE ALL ON FUNCTION smsflow.engaged_since(bigint, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.awaits_confirmation(contact_id bigint) RETURNS boolean
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT EXISTS (SELECT FROM smsflow.policy_rule p WHERE p.kind = 'double_opt_in' AND p.value <> 'false' AND p.effective @> now())
		AND EXISTS (SELECT FROM smsflow.contact c WHERE c.contact_id = awaits_confirmation.contact_id
			AND smsflow.consent_level(c.consent, 'promotional') <> 'confirmed')
$$;
COMMENT ON FUNCTION smsflow.awaits_confirmation(bigint) IS 'Whether double opt-in is asked for and this contact has not confirmed yet';
REVOKE ALL ON FUNCTION smsflow.awaits_confirmation(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.record_dates(attribute text DEFAULT 'birthday', kind text DEFAULT NULL, today date DEFAULT current_date) RETURNS bigint
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	WITH made AS (
		INSERT INTO smsflow.event (contact_id, brand_id, kind, ref, data)
		SELECT c.contact_id, c.brand_id, coalesce(record_dates.kind, attribute), to_char(today, 'YYYY'), jsonb_build_object('date', today)
		FROM smsflow.contact c
		WHERE c.attributes ->> attribute ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'
			-- Who was born on 29 February celebrates on 1 March where there is none.
			AND (substr(c.attributes ->> attribute, 6) = to_char(today, 'MM-DD')
				OR (substr(c.attributes ->> attribute, 6) = '02-29' AND to_char(today, 'MM-DD') = '03-01' AND to_char(today - 1, 'MM-DD') = '02-28'))
			AND NOT EXISTS (SELECT FROM smsflow.event e WHERE e.contact_id = c.contact_id AND e.kind = coalesce(record_dates.kind, attribute)
				AND e.ref = to_char(today, 'YYYY'))
		RETURNING 1)
	SELECT count(*) FROM made, LATERAL (SELECT smsflow.note_event()) noted
$$;
COMMENT ON FUNCTION smsflow.record_dates(text, text, date) IS 'Makes an event, named after the attribute or kind, of each contact whose attribute (YYYY-MM-DD) has its day today, once a year; returns how many. Reads every contact: call it once a day';
REVOKE ALL ON FUNCTION smsflow.record_dates(text, text, date) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.install_recipe(name text, options jsonb DEFAULT '{}', brand text DEFAULT 'default') RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	r smsflow.recipe;
	id integer;
	step jsonb;
BEGIN
	PERFORM smsflow.check_options(install_recipe.options, '{name,incentive,options}');
	SELECT * INTO r FROM smsflow.recipe p WHERE p.recipe = install_recipe.name;
	IF r.recipe IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'SF004', MESSAGE = format('unknown recipe "%s"', install_recipe.name),
			HINT = 'The recipes are ' || (SELECT string_agg(p.recipe, ', ' ORDER BY p.recipe) FROM smsflow.recipe p) || '.';
	END IF;
	id := smsflow.create_sequence(coalesce(install_recipe.options ->> 'name', r.recipe), r.on_event, r.options || coalesce(install_recipe.options -> 'options', '{}'), install_recipe.brand);
	FOR step IN SELECT value FROM jsonb_array_elements(r.steps) LOOP
		CONTINUE WHEN step ? 'only_with' AND (install_recipe.options ->> (step ->> 'only_with')) IS DISTINCT FROM 'true';
		PERFORM smsflow.add_step(coalesce(install_recipe.options ->> 'name', r.recipe), (step ->> 'after')::interval, step ->> 'body',
			coalesce(step -> 'options', '{}'), install_recipe.brand);
	END LOOP;
	RETURN id;
END $$;
COMMENT ON FUNCTION smsflow.install_recipe(text, jsonb, text) IS 'Makes a disabled sequence of a recipe of smsflow.recipe and returns its id; edit it with set_step(), then enable_sequence(). options: name (default: the recipe''s), options (of create_sequence()), incentive (true: cart_recovery with a third message for events that bring one). Errors: SF004 recipe or brand, SF005 name taken, SF007 options';
REVOKE ALL ON FUNCTION smsflow.install_recipe(text, jsonb, text) FROM PUBLIC;
