-- The sample store: an online shop for outdoor things, as such shops are
-- usually laid out. Nothing in here knows of smsflow.

CREATE ROLE store LOGIN;
CREATE SCHEMA shop AUTHORIZATION store;
ALTER ROLE store SET search_path = shop;
SET ROLE store;
SET search_path = shop;

CREATE TABLE customers (
	id			integer PRIMARY KEY,
	first_name	text NOT NULL,
	last_name	text NOT NULL,
	phone		text NOT NULL UNIQUE
);

CREATE TABLE products (
	sku			text PRIMARY KEY,
	title		text NOT NULL,
	price		numeric(10,2) NOT NULL
);

-- The items of a cart are an array of objects: sku, title, quantity, price.
CREATE TABLE carts (
	id			integer PRIMARY KEY,
	customer_id	integer NOT NULL REFERENCES customers,
	items		jsonb NOT NULL DEFAULT '[]',
	total		numeric(10,2) NOT NULL DEFAULT 0,
	currency	text NOT NULL DEFAULT 'USD',
	updated_at	timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE orders (
	id			integer PRIMARY KEY,
	customer_id	integer NOT NULL REFERENCES customers,
	cart_id		integer REFERENCES carts,
	status		text NOT NULL DEFAULT 'paid',
	items		jsonb NOT NULL,
	total		numeric(10,2) NOT NULL,
	currency	text NOT NULL DEFAULT 'USD',
	tracking	text,
	created_at	timestamptz NOT NULL DEFAULT now()
);

INSERT INTO products VALUES
	('TENT2', 'Two-person tent', 249.00),
	('STOVE', 'Camping stove', 59.90),
	('BOOTS', 'Hiking boots', 139.00),
	('LAMP', 'Headlamp', 34.50),
	('MUG', 'Steel mug', 14.90);

CREATE FUNCTION items_of(skus text[]) RETURNS jsonb LANGUAGE sql STABLE AS $$
	SELECT jsonb_agg(jsonb_build_object('sku', sku, 'title', title, 'quantity', 1, 'price', price)) FROM products WHERE sku = ANY (skus)
$$;
CREATE FUNCTION price_of(skus text[]) RETURNS numeric LANGUAGE sql STABLE AS $$
	SELECT sum(price) FROM products WHERE sku = ANY (skus)
$$;

-- What the pages of the shop do. None of it mentions a text message.
CREATE FUNCTION fill_cart(cart integer, customer integer, skus text[]) RETURNS void LANGUAGE sql AS $$
	INSERT INTO carts (id, customer_id, items, total) VALUES (cart, customer, items_of(skus), price_of(skus))
$$;
CREATE FUNCTION place_order(number integer, customer integer, skus text[], cart integer DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	INSERT INTO orders (id, customer_id, cart_id, items, total) VALUES (number, customer, cart, items_of(skus), price_of(skus))
$$;
CREATE FUNCTION ship_order(number integer, parcel text) RETURNS void LANGUAGE sql AS $$
	UPDATE orders SET status = 'shipped', tracking = parcel WHERE id = number
$$;
