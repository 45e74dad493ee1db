-- What the store's DBA and marketer set up once. The secret of the gateway is
-- a file in smsflow.secrets_dir. Variables: kannel (URL), delay (of the cart
-- reminder; half an hour in a real store).

-- The DBA: extension, gateway, number, and who may do what.
CREATE EXTENSION pg_cron;
CREATE EXTENSION smsflow;
-- The demo's day is over in a minute, whatever the hour: a real store leaves this line out.
SELECT smsflow.suspend_rule('window', reason => 'demo');
SELECT smsflow.add_gateway('kannel', 'kannel', :'kannel', '{"username": "shop"}');
SELECT smsflow.add_sender('+14155550100', 'kannel');
SELECT smsflow.arm();

CREATE ROLE receiver LOGIN;
CREATE ROLE marketer LOGIN;
SELECT smsflow.grant_access('store', 'app');
SELECT smsflow.grant_access('receiver', 'receiver');
SELECT smsflow.grant_access('marketer', 'marketer');

-- The store's own tables tell what happens; its code stays as it is.
SELECT * FROM smsflow.watch_carts('shop.carts');
SELECT * FROM smsflow.watch_orders('shop.orders', '{"data": {"tracking": "tracking"}}');

UPDATE smsflow.auto_reply SET body = replace(body, '{{brand|Our shop}}', 'Alma Outdoor');

-- The marketer: what is sent, when, to whom.
SET ROLE marketer;

SELECT smsflow.create_sequence('cart reminder', 'cart');
SELECT smsflow.add_step('cart reminder', :'delay',
	'Alma Outdoor: Hi {{first_name|there}}, your {{cart.items.0.title}} is still in your cart. Reply STOP to end.');
SELECT smsflow.enable_sequence('cart reminder');

SELECT smsflow.create_sequence('order confirmation', 'order');
SELECT smsflow.add_step('order confirmation', '0',
	'Alma Outdoor: Thank you, {{first_name|there}}! Order {{order.id}}, {{order.total}} {{order.currency}}, is paid.');
SELECT smsflow.enable_sequence('order confirmation');

SELECT smsflow.create_sequence('shipping notice', 'order_shipped');
SELECT smsflow.add_step('shipping notice', '0',
	'Alma Outdoor: {{first_name|there}}, order {{order.id}} is on its way: {{tracking}}');
SELECT smsflow.enable_sequence('shipping notice');

SELECT smsflow.create_segment('shoppers in the US', $$region = 'US'$$);
SELECT smsflow.create_campaign('flash sale', 'shoppers in the US',
	'Alma Outdoor: {{first_name|Hello}}, 20% off everything until midnight. Reply STOP to end.');
