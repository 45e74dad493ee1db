-- Type phone: an E.164 number in eight bytes. Run once.
--
-- Type I/O and operator support stay executable by PUBLIC, as those of built-in types are: they read nothing but
-- their arguments. Comparing and hashing are bigint's own functions. There are no implicit casts, so that no
-- expression changes its meaning because smsflow is installed.

CREATE TYPE smsflow.phone;

CREATE FUNCTION smsflow.phone_in(cstring) RETURNS smsflow.phone
	AS 'MODULE_PATHNAME', 'smsflow_pg_phone_in' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.phone_out(smsflow.phone) RETURNS cstring
	AS 'MODULE_PATHNAME', 'smsflow_pg_phone_out' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.phone_recv(internal) RETURNS smsflow.phone
	AS 'MODULE_PATHNAME', 'smsflow_pg_phone_recv' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.phone_send(smsflow.phone) RETURNS bytea
	AS 'MODULE_PATHNAME', 'smsflow_pg_phone_send' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.phone_in(cstring) IS 'I/O';
COMMENT ON FUNCTION smsflow.phone_out(smsflow.phone) IS 'I/O';
COMMENT ON FUNCTION smsflow.phone_recv(internal) IS 'I/O';
COMMENT ON FUNCTION smsflow.phone_send(smsflow.phone) IS 'I/O';

CREATE TYPE smsflow.phone (
	INPUT = smsflow.phone_in,
	OUTPUT = smsflow.phone_out,
	RECEIVE = smsflow.phone_recv,
	SEND = smsflow.phone_send,
	LIKE = pg_catalog.int8,
	CATEGORY = 'U'
);
COMMENT ON TYPE smsflow.phone IS 'Phone number in E.164 form, such as +14155552671: at most 15 digits, stored in 8 bytes';

CREATE FUNCTION smsflow.phone_eq(smsflow.phone, smsflow.phone) RETURNS boolean
	AS 'int8eq' LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smsflow.phone_ne(smsflow.phone, smsflow.phone) RETURNS boolean
	AS 'int8ne' LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smsflow.phone_lt(smsflow.phone, smsflow.phone) RETURNS boolean
	AS 'int8lt' LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smsflow.phone_le(smsflow.phone, smsflow.phone) RETURNS boolean
	AS 'int8le' LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smsflow.phone_gt(smsflow.phone, smsflow.phone) RETURNS boolean
	AS 'int8gt' LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smsflow.phone_ge(smsflow.phone, smsflow.phone) RETURNS boolean
	AS 'int8ge' LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smsflow.phone_cmp(smsflow.phone, smsflow.phone) RETURNS integer
	AS 'btint8cmp' LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smsflow.phone_sortsupport(internal) RETURNS void
	AS 'btint8sortsupport' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION smsflow.phone_hash(smsflow.phone) RETURNS integer
	AS 'hashint8' LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION smsflow.phone_hash_extended(smsflow.phone, bigint) RETURNS bigint
	AS 'hashint8extended' LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION smsflow.phone_eq(smsflow.phone, smsflow.phone) IS 'implementation of = operator';
COMMENT ON FUNCTION smsflow.phone_ne(smsflow.phone, smsflow.phone) IS 'implementation of <> operator';
COMMENT ON FUNCTION smsflow.phone_lt(smsflow.phone, smsflow.phone) IS 'implementation of < operator';
COMMENT ON FUNCTION smsflow.phone_le(smsflow.phone, smsflow.phone) IS 'implementation of <= operator';
COMMENT ON FUNCTION smsflow.phone_gt(smsflow.phone, smsflow.phone) IS 'implementation of > operator';
COMMENT ON FUNCTION smsflow.phone_ge(smsflow.phone, smsflow.phone) IS 'implementation of >= operator';
COMMENT ON FUNCTION smsflow.phone_cmp(smsflow.phone, smsflow.phone) IS 'btree support';
COMMENT ON FUNCTION smsflow.phone_sortsupport(internal) IS 'btree support';
COMMENT ON FUNCTION smsflow.phone_hash(smsflow.phone) IS 'hash support';
COMMENT ON FUNCTION smsflow.phone_hash_extended(smsflow.phone, bigint) IS 'hash support';

CREATE OPERATOR smsflow.= (
	LEFTARG = smsflow.phone, RIGHTARG = smsflow.phone, FUNCTION = smsflow.phone_eq,
	COMMUTATOR = OPERATOR(smsflow.=), NEGATOR = OPERATOR(smsflow.<>),
	RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES
);
CREATE OPERATOR smsflow.<> (
	LEFTARG = smsflow.phone, RIGHTARG = smsflow.phone, FUNCTION = smsflow.phone_ne,
	COMMUTATOR = OPERATOR(smsflow.<>), NEGATOR = OPERATOR(smsflow.=),
	RESTRICT = neqsel, JOIN = neqjoinsel
);
CREATE OPERATOR smsflow.< (
	LEFTARG = smsflow.phone, RIGHTARG = smsflow.phone, FUNCTION = smsflow.phone_lt,
	COMMUTATOR = OPERATOR(smsflow.>), NEGATOR = OPERATOR(smsflow.>=),
	RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);
CREATE OPERATOR smsflow.<= (
	LEFTARG = smsflow.phone, RIGHTARG = smsflow.phone, FUNCTION = smsflow.phone_le,
	COMMUTATOR = OPERATOR(smsflow.>=), NEGATOR = OPERATOR(smsflow.>),
	RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);
CREATE OPERATOR smsflow.> (
	LEFTARG = smsflow.phone, RIGHTARG = smsflow.phone, FUNCTION = smsflow.phone_gt,
	COMMUTATOR = OPERATOR(smsflow.<), NEGATOR = OPERATOR(smsflow.<=),
	RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);
CREATE OPERATOR smsflow.>= (
	LEFTARG = smsflow.phone, RIGHTARG = smsflow.phone, FUNCTION = smsflow.phone_ge,
	COMMUTATOR = OPERATOR(smsflow.<=), NEGATOR = OPERATOR(smsflow.<),
	RESTRICT = scalargesel, JOIN = scalargejoinsel
);

CREATE OPERATOR CLASS smsflow.phone_ops DEFAULT FOR TYPE smsflow.phone USING btree AS
	OPERATOR 1 smsflow.<,
	OPERATOR 2 smsflow.<=,
	OPERATOR 3 smsflow.=,
	OPERATOR 4 smsflow.>=,
	OPERATOR 5 smsflow.>,
	FUNCTION 1 smsflow.phone_cmp(smsflow.phone, smsflow.phone),
	FUNCTION 2 smsflow.phone_sortsupport(internal),
	FUNCTION 4 pg_catalog.btequalimage(oid);
CREATE OPERATOR CLASS smsflow.phone_ops DEFAULT FOR TYPE smsflow.phone USING hash AS
	OPERATOR 1 smsflow.=,
	FUNCTION 1 smsflow.phone_hash(smsflow.phone),
	FUNCTION 2 smsflow.phone_hash_extended(smsflow.phone, bigint);
