/*
 * verify.h - whether a gateway really sent a callback: besides the signed URL,
 * which proves that the caller was told it, most gateways sign each request.
 */
#ifndef SMSFLOW_VERIFY_H
#define SMSFLOW_VERIFY_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "callback/gateway.h"

/* A request as it was on the wire. */
typedef struct SmsflowCallback
{
	const char *gateway;
	const char *method;
	const char *path;
	const char *query;
	Jsonb *headers; /* names in small letters; NULL: none */
	const char *body;
	size_t body_len;
	TimestampTz arrived; /* when, for it may have waited on disk since */
} SmsflowCallback;

/*
 * True when one of the gateway's keys has signed this request, and recently
 * where the signature tells when. Decided on the raw bytes; of the body only
 * the envelope of a gateway that signs fields is parsed before.
 */
extern bool smsflow_verify(const CallbackGateway *gateway, const SmsflowCallback *callback);

#endif
