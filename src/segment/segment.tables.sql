-- Named sets of contacts.

CREATE TABLE smsflow.segment (
	segment_id	integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	brand_id	integer NOT NULL DEFAULT 1 REFERENCES smsflow.brand,
	name		text NOT NULL CHECK (name <> ''),
	predicate	text NOT NULL,
	owner		regrole NOT NULL DEFAULT current_user::regrole,
	created_at	timestamptz NOT NULL DEFAULT now(),
	UNIQUE (brand_id, name)
);
COMMENT ON TABLE smsflow.segment IS 'Name -> SQL condition over smsflow.profile, evaluated with its owner''s privileges';
