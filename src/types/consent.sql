-- Functions on consent as a value. Re-runnable.
--
-- They read nothing but their arguments, so they stay executable by PUBLIC.

CREATE OR REPLACE FUNCTION smsflow.consent_level(smsflow.consent, smsflow.purpose) RETURNS smsflow.consent_level
	AS 'MODULE_PATHNAME', 'smsflow_pg_consent_level' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.consent_level(smsflow.consent, smsflow.purpose) IS 'Highest level granted later than the revocation of the purpose';

CREATE OR REPLACE FUNCTION smsflow.permits(consent smsflow.consent, purpose smsflow.purpose, level smsflow.consent_level) RETURNS boolean
	AS 'MODULE_PATHNAME', 'smsflow_pg_permits' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.permits(smsflow.consent, smsflow.purpose, smsflow.consent_level) IS 'Whether consent for a purpose is of the given level or above';

CREATE OR REPLACE FUNCTION smsflow.consent_grant(consent smsflow.consent, purpose smsflow.purpose, level smsflow.consent_level, at timestamptz) RETURNS smsflow.consent
	AS 'MODULE_PATHNAME', 'smsflow_pg_consent_grant' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.consent_grant(smsflow.consent, smsflow.purpose, smsflow.consent_level, timestamptz) IS 'Consent after a grant; a revocation later than it, or at the same instant, stays';

CREATE OR REPLACE FUNCTION smsflow.make_opt_out(purposes smsflow.purpose[], channel text, words text, at timestamptz) RETURNS smsflow.opt_out
	AS 'MODULE_PATHNAME', 'smsflow_pg_make_opt_out' LANGUAGE c IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.make_opt_out(smsflow.purpose[], text, text, timestamptz) IS 'Opt-out from its parts; channel is keyword, api, web, support, carrier, complaint or erasure; words may be null';

CREATE OR REPLACE AGGREGATE smsflow.consent_agg(smsflow.consent) (
	SFUNC = smsflow.consent_merge,
	STYPE = smsflow.consent,
	INITCOND = 'none',
	COMBINEFUNC = smsflow.consent_merge,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE smsflow.consent_agg(smsflow.consent) IS 'Merge of all values, none for no rows';
