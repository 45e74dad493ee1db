-- Functions on message texts. Re-runnable.
--
-- They read nothing but their arguments and tables compiled into the library, so they stay executable by PUBLIC. They
-- are STABLE where those tables change with releases.

CREATE OR REPLACE FUNCTION smsflow.message_parts(body text, OUT encoding text, OUT units integer, OUT parts integer) RETURNS record
	AS 'MODULE_PATHNAME', 'smsflow_pg_message_parts' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.message_parts(text) IS 'Encoding (gsm7 or ucs2), length in units of it, and how many parts a text is billed as';

CREATE OR REPLACE FUNCTION smsflow.smart_encode(body text) RETURNS text
	AS 'MODULE_PATHNAME', 'smsflow_pg_smart_encode' LANGUAGE c STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.smart_encode(text) IS 'Text with typographic characters replaced by GSM ones that look alike, which often halves its parts';

CREATE OR REPLACE FUNCTION smsflow.render(body text, vars jsonb) RETURNS text
	AS 'MODULE_PATHNAME', 'smsflow_pg_render' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.render(text, jsonb) IS 'Template with {{path}} and {{path|default}} replaced by the values in vars';

CREATE OR REPLACE FUNCTION smsflow.language_fits(offered text, wanted text) RETURNS integer
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_pg_language_fits';
COMMENT ON FUNCTION smsflow.language_fits(text, text) IS 'How well a text in an offered language is for somebody who wants another (BCP 47, as pt-BR): the more the better, 0 for the empty one, which is for everybody; null: not for them. A text in pt is for who wants pt-BR, and not the reverse';
REVOKE ALL ON FUNCTION smsflow.language_fits(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.classify_reply(body text, OUT action text, OUT rule text) RETURNS record
	AS 'MODULE_PATHNAME', 'smsflow_pg_classify_reply' LANGUAGE c STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.classify_reply(text) IS 'What a reply asks for (opt_out, review, opt_in, confirm, help, none) and the rule that decided';

CREATE OR REPLACE FUNCTION smsflow.is_time_zone(name text) RETURNS boolean
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_pg_is_time_zone';
COMMENT ON FUNCTION smsflow.is_time_zone(text) IS 'Whether a time zone has this IANA name, as America/New_York or UTC; an offset, such as UTC-8, is none. NULL for NULL';
REVOKE ALL ON FUNCTION smsflow.is_time_zone(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.field(fields jsonb, paths text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_pg_field';
COMMENT ON FUNCTION smsflow.field(jsonb, text) IS 'First text that is not empty at any of several dotted paths, separated by spaces; what stands behind "=" is a text itself. NULL for none';
REVOKE ALL ON FUNCTION smsflow.field(jsonb, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.short_id(id text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_pg_short_id';
COMMENT ON FUNCTION smsflow.short_id(text) IS 'An id that a gateway gave, as it is kept: one of more than 127 bytes is its beginning, # and a hash of the whole';
REVOKE ALL ON FUNCTION smsflow.short_id(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.read_instant(written text) RETURNS timestamptz
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smsflow_pg_read_instant';
COMMENT ON FUNCTION smsflow.read_instant(text) IS 'Instant as gateways write it: seconds or milliseconds since 1970, or ISO 8601 with T or a space, UTC unless it has an offset. NULL for anything else';
REVOKE ALL ON FUNCTION smsflow.read_instant(text) FROM PUBLIC;
