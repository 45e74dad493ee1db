/*
 * ops.c - which release the server has loaded, and the key that signs callback
 * URLs, made once, when a database is first armed. It comes from the server's
 * strong random source, because who guesses it can forge delivery reports.
 */
#include "smsflow.h"

#include "fault.h"
#include "fmgr.h"
#include "utils/builtins.h"

#define KEY_LENGTH 32

PG_FUNCTION_INFO_V1(smsflow_library_version);
PG_FUNCTION_INFO_V1(smsflow_random_key);

Datum
smsflow_library_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(SMSFLOW_VERSION));
}

Datum
smsflow_random_key(PG_FUNCTION_ARGS)
{
	char key[KEY_LENGTH];
	char hex[2 * KEY_LENGTH];

	smsflow_fault("arm");
	if (!pg_strong_random(key, KEY_LENGTH))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	hex_encode(key, KEY_LENGTH, hex);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(hex, sizeof(hex)));
}
