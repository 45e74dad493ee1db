\echo Use "CREATE EXTENSION smsflow" to load this file. \quit

-- Nothing in this script may resolve to an object somebody planted: every own
-- name is written smsflow.x, every other name must come from pg_catalog. The
-- schema is made by plain CREATE, so it holds nothing but what follows, and
-- the operators of our types may be looked up in it.
SET LOCAL search_path TO pg_catalog, pg_temp;
DO $$ BEGIN
	IF getdatabaseencoding() <> ALL ('{UTF8,SQL_ASCII}') THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('a database with encoding %s cannot hold what people write', getdatabaseencoding()),
			DETAIL = 'A reply with a letter or emoji that it does not have would be lost, and with it an opt-out.',
			HINT = 'CREATE DATABASE ... TEMPLATE template0 ENCODING ''UTF8''.';
	END IF;
END $$;
CREATE SCHEMA smsflow;
SET LOCAL search_path TO pg_catalog, smsflow, pg_temp;
COMMENT ON SCHEMA smsflow IS 'SMS programme of an online store: consent, segments, campaigns, sequences, sending, delivery reports';
CREATE SCHEMA smsflow_bi;
COMMENT ON SCHEMA smsflow_bi IS 'Views for BI tools: base types only, no phone numbers, no message bodies';
