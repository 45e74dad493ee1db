-- One message to many people.

CREATE TABLE smsflow.template (
	template_id	integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	brand_id	integer NOT NULL DEFAULT 1 REFERENCES smsflow.brand,
	name		text NOT NULL CHECK (name <> ''),
	language	text NOT NULL DEFAULT '',
	body		text NOT NULL,
	created_at	timestamptz NOT NULL DEFAULT now(),
	UNIQUE (brand_id, name, language)
);
COMMENT ON TABLE smsflow.template IS 'Named message text with {{variables}}';
COMMENT ON COLUMN smsflow.template.language IS 'Empty: used where no language fits';

CREATE TABLE smsflow.campaign (
	campaign_id	integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	brand_id	integer NOT NULL DEFAULT 1 REFERENCES smsflow.brand,
	name		text NOT NULL CHECK (name <> ''),
	segment_id	integer NOT NULL REFERENCES smsflow.segment,
	body		text NOT NULL,
	purpose		smsflow.purpose NOT NULL,
	options		jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object'),
	owner		regrole NOT NULL DEFAULT current_user::regrole,
	status		text NOT NULL DEFAULT 'draft'
		CHECK (status IN ('draft', 'scheduled', 'running', 'paused', 'done', 'cancelled', 'failed')),
	launch_at	timestamptz,
	started_at	timestamptz,
	finished_at	timestamptz,
	expanded	boolean NOT NULL DEFAULT false,
	cursor_contact_id bigint NOT NULL DEFAULT 0,
	planned		bigint,
	queued		bigint NOT NULL DEFAULT 0,
	refused		bigint NOT NULL DEFAULT 0,
	error		text,
	created_at	timestamptz NOT NULL DEFAULT now(),
	queued_parts bigint NOT NULL DEFAULT 0,
	UNIQUE (brand_id, name)
);
CREATE INDEX campaign_active ON smsflow.campaign (launch_at) WHERE status IN ('scheduled', 'running');
COMMENT ON TABLE smsflow.campaign IS 'One message to the members of a segment';
COMMENT ON COLUMN smsflow.campaign.expanded IS 'Every member has its message; sending may still go on';
COMMENT ON COLUMN smsflow.campaign.cursor_contact_id IS 'Members up to this contact have their message; moved in the transaction that appends them';
