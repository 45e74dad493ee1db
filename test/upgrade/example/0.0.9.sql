-- A release that never was: what it had besides, or instead of, what the current install script makes.  It stands for
-- what an update meets: a column, a function and a view that are gone or changed, and built-in rows of then.

ALTER TABLE smsflow.brand ADD COLUMN nickname text;
CREATE FUNCTION smsflow.nickname(brand_id integer) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
	AS 'SELECT b.nickname FROM smsflow.brand b WHERE b.brand_id = $1';
DROP VIEW smsflow.stat_otp;
CREATE VIEW smsflow.stat_otp AS SELECT 1 AS another_column;
CREATE OR REPLACE FUNCTION smsflow.library_version() RETURNS text LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'smsflow_library_version';
COMMENT ON FUNCTION smsflow.library_version() IS 'Said otherwise then';
DROP TRIGGER config_changed ON smsflow.gateway;
ALTER TABLE smsflow.gateway_profile DISABLE TRIGGER keep_own_row;
UPDATE smsflow.gateway_profile SET path = '/old' WHERE profile = 'kannel';
ALTER TABLE smsflow.gateway_profile ENABLE TRIGGER keep_own_row;
DELETE FROM smsflow.recipe WHERE recipe = (SELECT min(recipe) FROM smsflow.recipe);
DELETE FROM smsflow.error_code WHERE profile = 'twilio';
