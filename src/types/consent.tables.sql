-- Types consent and opt_out. Run once.
--
-- Type I/O and operator support stay executable by PUBLIC, as those of built-in types are: they read nothing but
-- their arguments. Equal values have equal bytes, so comparing and hashing are bytea's own functions.

CREATE TYPE smsflow.consent;
CREATE TYPE smsflow.opt_out;

CREATE FUNCTION smsflow.consent_in(cstring) RETURNS smsflow.consent
	AS 'MODULE_PATHNAME', 'smsflow_pg_consent_in' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.consent_out(smsflow.consent) RETURNS cstring
	AS 'MODULE_PATHNAME', 'smsflow_pg_consent_out' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.consent_recv(internal) RETURNS smsflow.consent
	AS 'MODULE_PATHNAME', 'smsflow_pg_consent_recv' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.consent_send(smsflow.consent) RETURNS bytea
	AS 'MODULE_PATHNAME', 'smsflow_pg_consent_send' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.opt_out_in(cstring) RETURNS smsflow.opt_out
	AS 'MODULE_PATHNAME', 'smsflow_pg_opt_out_in' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.opt_out_out(smsflow.opt_out) RETURNS cstring
	AS 'MODULE_PATHNAME', 'smsflow_pg_opt_out_out' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.opt_out_recv(internal) RETURNS smsflow.opt_out
	AS 'MODULE_PATHNAME', 'smsflow_pg_opt_out_recv' LANGUAGE c STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.opt_out_send(smsflow.opt_out) RETURNS bytea
	AS 'MODULE_PATHNAME', 'smsflow_pg_opt_out_send' LANGUAGE c STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.consent_in(cstring) IS 'I/O';
COMMENT ON FUNCTION smsflow.consent_out(smsflow.consent) IS 'I/O';
COMMENT ON FUNCTION smsflow.consent_recv(internal) IS 'I/O';
COMMENT ON FUNCTION smsflow.consent_send(smsflow.consent) IS 'I/O';
COMMENT ON FUNCTION smsflow.opt_out_in(cstring) IS 'I/O';
COMMENT ON FUNCTION smsflow.opt_out_out(smsflow.opt_out) IS 'I/O';
COMMENT ON FUNCTION smsflow.opt_out_recv(internal) IS 'I/O; depends on the client encoding';
COMMENT ON FUNCTION smsflow.opt_out_send(smsflow.opt_out) IS 'I/O; depends on the client encoding';

CREATE TYPE smsflow.consent (
	INPUT = smsflow.consent_in,
	OUTPUT = smsflow.consent_out,
	RECEIVE = smsflow.consent_recv,
	SEND = smsflow.consent_send,
	INTERNALLENGTH = VARIABLE,
	ALIGNMENT = int4,
	STORAGE = main
);
COMMENT ON TYPE smsflow.consent IS 'What a person has agreed to: per purpose the latest grant of each level and the latest revocation. A value has 4 bytes and 8 per instant known, at most 244; a column adds 1 byte, or 4 from 126 on. Binary form: the mask of instants known as 4 bytes, then 8 bytes of microseconds since 2000 for each';

CREATE TYPE smsflow.opt_out (
	INPUT = smsflow.opt_out_in,
	OUTPUT = smsflow.opt_out_out,
	RECEIVE = smsflow.opt_out_recv,
	SEND = smsflow.opt_out_send,
	INTERNALLENGTH = VARIABLE,
	ALIGNMENT = int4,
	STORAGE = extended
);
COMMENT ON TYPE smsflow.opt_out IS 'A revocation of consent: purposes, channel, instant and the words used. A value has 10 bytes and the words; a column adds 1 byte, or 4 from 126 on. Binary form: purposes and channel, 1 byte each, 8 bytes of microseconds since 2000, the words';

CREATE FUNCTION smsflow.consent_eq(smsflow.consent, smsflow.consent) RETURNS boolean
	AS 'byteaeq' LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smsflow.consent_ne(smsflow.consent, smsflow.consent) RETURNS boolean
	AS 'byteane' LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smsflow.consent_hash(smsflow.consent) RETURNS integer
	AS 'hashvarlena' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.consent_hash_extended(smsflow.consent, bigint) RETURNS bigint
	AS 'hashvarlenaextended' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.opt_out_eq(smsflow.opt_out, smsflow.opt_out) RETURNS boolean
	AS 'byteaeq' LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smsflow.opt_out_ne(smsflow.opt_out, smsflow.opt_out) RETURNS boolean
	AS 'byteane' LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smsflow.opt_out_hash(smsflow.opt_out) RETURNS integer
	AS 'hashvarlena' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.opt_out_hash_extended(smsflow.opt_out, bigint) RETURNS bigint
	AS 'hashvarlenaextended' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.consent_merge(smsflow.consent, smsflow.consent) RETURNS smsflow.consent
	AS 'MODULE_PATHNAME', 'smsflow_pg_consent_merge' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.consent_apply(smsflow.consent, smsflow.opt_out) RETURNS smsflow.consent
	AS 'MODULE_PATHNAME', 'smsflow_pg_consent_apply' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.consent_contains(smsflow.consent, smsflow.consent) RETURNS boolean
	AS 'MODULE_PATHNAME', 'smsflow_pg_consent_contains' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.consent_contained(smsflow.consent, smsflow.consent) RETURNS boolean
	AS 'MODULE_PATHNAME', 'smsflow_pg_consent_contained' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.consent_to_jsonb(smsflow.consent) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'smsflow_pg_consent_to_jsonb' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.opt_out_to_jsonb(smsflow.opt_out) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'smsflow_pg_opt_out_to_jsonb' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.consent_eq(smsflow.consent, smsflow.consent) IS 'implementation of = operator';
COMMENT ON FUNCTION smsflow.consent_ne(smsflow.consent, smsflow.consent) IS 'implementation of <> operator';
COMMENT ON FUNCTION smsflow.consent_hash(smsflow.consent) IS 'hash support';
COMMENT ON FUNCTION smsflow.consent_hash_extended(smsflow.consent, bigint) IS 'hash support';
COMMENT ON FUNCTION smsflow.opt_out_eq(smsflow.opt_out, smsflow.opt_out) IS 'implementation of = operator';
COMMENT ON FUNCTION smsflow.opt_out_ne(smsflow.opt_out, smsflow.opt_out) IS 'implementation of <> operator';
COMMENT ON FUNCTION smsflow.opt_out_hash(smsflow.opt_out) IS 'hash support';
COMMENT ON FUNCTION smsflow.opt_out_hash_extended(smsflow.opt_out, bigint) IS 'hash support';
COMMENT ON FUNCTION smsflow.consent_merge(smsflow.consent, smsflow.consent) IS 'implementation of + operator';
COMMENT ON FUNCTION smsflow.consent_apply(smsflow.consent, smsflow.opt_out) IS 'implementation of - operator';
COMMENT ON FUNCTION smsflow.consent_contains(smsflow.consent, smsflow.consent) IS 'implementation of @> operator';
COMMENT ON FUNCTION smsflow.consent_contained(smsflow.consent, smsflow.consent) IS 'implementation of <@ operator';
COMMENT ON FUNCTION smsflow.consent_to_jsonb(smsflow.consent) IS 'implementation of the cast to jsonb';
COMMENT ON FUNCTION smsflow.opt_out_to_jsonb(smsflow.opt_out) IS 'implementation of the cast to jsonb';

CREATE OPERATOR smsflow.= (
	LEFTARG = smsflow.consent, RIGHTARG = smsflow.consent, FUNCTION = smsflow.consent_eq,
	COMMUTATOR = OPERATOR(smsflow.=), NEGATOR = OPERATOR(smsflow.<>),
	RESTRICT = eqsel, JOIN = eqjoinsel, HASHES
);
CREATE OPERATOR smsflow.<> (
	LEFTARG = smsflow.consent, RIGHTARG = smsflow.consent, FUNCTION = smsflow.consent_ne,
	COMMUTATOR = OPERATOR(smsflow.<>), NEGATOR = OPERATOR(smsflow.=),
	RESTRICT = neqsel, JOIN = neqjoinsel
);
CREATE OPERATOR smsflow.= (
	LEFTARG = smsflow.opt_out, RIGHTARG = smsflow.opt_out, FUNCTION = smsflow.opt_out_eq,
	COMMUTATOR = OPERATOR(smsflow.=), NEGATOR = OPERATOR(smsflow.<>),
	RESTRICT = eqsel, JOIN = eqjoinsel, HASHES
);
CREATE OPERATOR smsflow.<> (
	LEFTARG = smsflow.opt_out, RIGHTARG = smsflow.opt_out, FUNCTION = smsflow.opt_out_ne,
	COMMUTATOR = OPERATOR(smsflow.<>), NEGATOR = OPERATOR(smsflow.=),
	RESTRICT = neqsel, JOIN = neqjoinsel
);
CREATE OPERATOR smsflow.+ (
	LEFTARG = smsflow.consent, RIGHTARG = smsflow.consent, FUNCTION = smsflow.consent_merge,
	COMMUTATOR = OPERATOR(smsflow.+)
);
COMMENT ON OPERATOR smsflow.+ (smsflow.consent, smsflow.consent) IS 'Everything either side knows; where they disagree, the later event counts and a tie revokes';
CREATE OPERATOR smsflow.- (
	LEFTARG = smsflow.consent, RIGHTARG = smsflow.opt_out, FUNCTION = smsflow.consent_apply
);
COMMENT ON OPERATOR smsflow.- (smsflow.consent, smsflow.opt_out) IS 'Consent after an opt-out; grants later than it stay';

CREATE OPERATOR smsflow.@> (
	LEFTARG = smsflow.consent, RIGHTARG = smsflow.consent, FUNCTION = smsflow.consent_contains,
	COMMUTATOR = OPERATOR(smsflow.<@), RESTRICT = contsel, JOIN = contjoinsel
);
COMMENT ON OPERATOR smsflow.@> (smsflow.consent, smsflow.consent) IS 'The left permits now at least all that the right permits now: no purpose is at a lower level';
CREATE OPERATOR smsflow.<@ (
	LEFTARG = smsflow.consent, RIGHTARG = smsflow.consent, FUNCTION = smsflow.consent_contained,
	COMMUTATOR = OPERATOR(smsflow.@>), RESTRICT = contsel, JOIN = contjoinsel
);
COMMENT ON OPERATOR smsflow.<@ (smsflow.consent, smsflow.consent) IS 'The right permits now at least all that the left permits now';

CREATE OPERATOR CLASS smsflow.consent_ops DEFAULT FOR TYPE smsflow.consent USING hash AS
	OPERATOR 1 smsflow.= (smsflow.consent, smsflow.consent),
	FUNCTION 1 smsflow.consent_hash(smsflow.consent),
	FUNCTION 2 smsflow.consent_hash_extended(smsflow.consent, bigint);
CREATE OPERATOR CLASS smsflow.opt_out_ops DEFAULT FOR TYPE smsflow.opt_out USING hash AS
	OPERATOR 1 smsflow.= (smsflow.opt_out, smsflow.opt_out),
	FUNCTION 1 smsflow.opt_out_hash(smsflow.opt_out),
	FUNCTION 2 smsflow.opt_out_hash_extended(smsflow.opt_out, bigint);

CREATE CAST (smsflow.consent AS jsonb) WITH FUNCTION smsflow.consent_to_jsonb(smsflow.consent);
CREATE CAST (smsflow.opt_out AS jsonb) WITH FUNCTION smsflow.opt_out_to_jsonb(smsflow.opt_out);
