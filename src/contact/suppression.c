/*
 * suppression.c - the keyed hash by which a number stays known as one that nobody may bring back, without being kept.
 *
 * There are few enough phone numbers to try them all, so a plain hash would hide nothing. The key is a secret like that
 * of a gateway: a file in smsflow.secrets_dir, or a row of smsflow.secret, which no dump takes along.
 */
#include "compat.h"

#include "common/hmac.h"
#include "common/sha2.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "smsflow.h"

/* suppression_key() returns text; NULL if there is none */
PG_FUNCTION_INFO_V1(smsflow_pg_suppression_key);
Datum
smsflow_pg_suppression_key(PG_FUNCTION_ARGS)
{
	const char *problem;
	char *key = smsflow_read_secret("suppression_key", &problem);

	if (key == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(key));
}

/* keyed_hash(key text, value text) returns bytea: HMAC-SHA-256, 32 bytes */
PG_FUNCTION_INFO_V1(smsflow_pg_keyed_hash);
Datum
smsflow_pg_keyed_hash(PG_FUNCTION_ARGS)
{
	text *key = PG_GETARG_TEXT_PP(0);
	text *value = PG_GETARG_TEXT_PP(1);
	bytea *hash = palloc(VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	pg_hmac_ctx *hmac = pg_hmac_create(PG_SHA256);

	if (hmac == NULL || pg_hmac_init(hmac, (const uint8 *) VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key)) < 0 ||
		pg_hmac_update(hmac, (const uint8 *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)) < 0 ||
		pg_hmac_final(hmac, (uint8 *) VARDATA(hash), PG_SHA256_DIGEST_LENGTH) < 0)
		elog(ERROR, "could not compute a keyed hash");
	pg_hmac_free(hmac);
	SET_VARSIZE(hash, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	PG_RETURN_BYTEA_P(hash);
}
