-- Functions on phone numbers. Re-runnable.
--
-- What reads nothing but its arguments and tables compiled into the library stays executable by PUBLIC. It is STABLE
-- where those tables change with releases (a region gets a new prefix), so that no index is built on it.

CREATE OR REPLACE FUNCTION smsflow.parse_phone(number text, region text DEFAULT NULL) RETURNS smsflow.phone
	AS 'MODULE_PATHNAME', 'smsflow_pg_parse_phone' LANGUAGE c STABLE PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.parse_phone(text, text) IS 'Phone number written the way a region writes it (ISO 3166 code, default smsflow.default_region) or internationally';
REVOKE ALL ON FUNCTION smsflow.parse_phone(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.try_parse_phone(number text, region text DEFAULT NULL) RETURNS smsflow.phone
	AS 'MODULE_PATHNAME', 'smsflow_pg_try_parse_phone' LANGUAGE c STABLE PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.try_parse_phone(text, text) IS 'parse_phone() for lists: null for what is no number of that region, or for an unknown region';
REVOKE ALL ON FUNCTION smsflow.try_parse_phone(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION smsflow.phone_region(smsflow.phone) RETURNS text
	AS 'MODULE_PATHNAME', 'smsflow_pg_phone_region' LANGUAGE c STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.phone_region(smsflow.phone) IS 'ISO 3166 code of the region a number belongs to, null if it belongs to none';

CREATE OR REPLACE FUNCTION smsflow.phone_kind(smsflow.phone) RETURNS text
	AS 'MODULE_PATHNAME', 'smsflow_pg_phone_kind' LANGUAGE c STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.phone_kind(smsflow.phone) IS 'mobile, fixed, fixed_or_mobile or unknown, as far as the digits tell';

CREATE OR REPLACE FUNCTION smsflow.phone_assignable(smsflow.phone) RETURNS boolean
	AS 'MODULE_PATHNAME', 'smsflow_pg_phone_assignable' LANGUAGE c STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.phone_assignable(smsflow.phone) IS 'Whether a phone can have this number, by the length that numbers of its country have and, with +1, by the first digits of area code and exchange; only such numbers become contacts';

CREATE OR REPLACE FUNCTION smsflow.phone_time_zones(smsflow.phone) RETURNS text[]
	AS 'MODULE_PATHNAME', 'smsflow_pg_phone_time_zones' LANGUAGE c STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.phone_time_zones(smsflow.phone) IS 'IANA time zones in which the phone may be at home, as far as its digits tell';

CREATE OR REPLACE FUNCTION smsflow.phone_mask(smsflow.phone) RETURNS text
	AS 'MODULE_PATHNAME', 'smsflow_pg_phone_mask' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.phone_mask(smsflow.phone) IS 'Number with its middle hidden, for logs and support screens';
