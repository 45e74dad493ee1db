\echo Use "CREATE EXTENSION smsflow" to load this file. \quit

-- Nothing in this script may resolve to an object somebody planted: every own
-- name is written smsflow.x, every other name must come from pg_catalog. The
-- schema is made by plain CREATE, so it holds nothing but what follows, and
-- the operators of our types may be looked up in it.
SET LOCAL search_path TO pg_catalog, pg_temp;
CREATE SCHEMA smsflow;
SET LOCAL search_path TO pg_catalog, smsflow, pg_temp;
COMMENT ON SCHEMA smsflow IS 'SMS programme of an online store: consent, segments, campaigns, sequences, sending, delivery reports';
CREATE SCHEMA smsflow_bi;
COMMENT ON SCHEMA smsflow_bi IS 'Views for BI tools: base types only, no phone numbers, no message bodies';
