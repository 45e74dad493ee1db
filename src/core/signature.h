/*
 * signature.h - the texts that gateways sign: each has its own way to make one
 * text of a request, and only that text, byte by byte, gives the signature.
 *
 * Pure C11: no allocation, no cryptography; what is signed goes to a sink. All
 * of it reads what strangers sent, so no input is trusted to be well formed.
 */
#ifndef SMSFLOW_SIGNATURE_H
#define SMSFLOW_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>

/* Takes the next len bytes of the signed text. */
typedef void (*SmsflowSink)(void *ctx, const char *text, size_t len);

/* One parameter of a query or form, decoded; it may hold any bytes. */
typedef struct SmsflowParam
{
	const char *name;
	size_t name_len;
	const char *value;
	size_t value_len;
} SmsflowParam;

/* More parameters than this are no callback of a gateway. */
#define SMSFLOW_MAX_PARAMS 256

/*
 * Takes a query or form apart. buffer has room for len bytes, and must live as
 * long as params. Returns how many there are, or -1 for too many.
 */
extern int smsflow_params_parse(const char *form, size_t len, char *buffer, SmsflowParam params[SMSFLOW_MAX_PARAMS]);

/* By name, then by value, as bytes. */
extern void smsflow_params_sort(SmsflowParam *params, int count);

/* The value of the first parameter of this name, or NULL. */
extern const SmsflowParam *smsflow_params_find(const SmsflowParam *params, int count, const char *name);

/*
 * Twilio (https://www.twilio.com/docs/usage/security): the URL, then name and
 * value of each parameter of the form. params are sorted.
 */
extern void smsflow_signed_twilio(const char *url, const SmsflowParam *params, int count, SmsflowSink sink, void *ctx);

/*
 * Vonage (https://developer.vonage.com/en/getting-started/concepts/signing-messages):
 * &name=value of each parameter but sig, with & and = in values made _. params are sorted.
 */
extern void smsflow_signed_vonage(const SmsflowParam *params, int count, SmsflowSink sink, void *ctx);

/*
 * Plivo V3 (plivo-python, utils/signature_v3.py): the URL without its query,
 * the sorted query, the sorted form, and the nonce. A GET has no form. Both
 * lists are sorted.
 */
typedef struct SmsflowPlivo
{
	const char *url; /* without query */
	const SmsflowParam *query;
	int query_count;
	const SmsflowParam *form;
	int form_count;
	const char *nonce;
} SmsflowPlivo;
extern void smsflow_signed_plivo(const SmsflowPlivo *request, SmsflowSink sink, void *ctx);

/* A template in which {body}, {nonce} and {timestamp} stand for these; others stay as they are. */
typedef struct SmsflowPayload
{
	const char *body;
	size_t body_len;
	const char *nonce;
	const char *timestamp;
} SmsflowPayload;
extern void smsflow_signed_payload(const char *template, const SmsflowPayload *payload, SmsflowSink sink, void *ctx);

/*
 * Amazon SNS (https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html):
 * name and value, each with a line feed, of the fields that are there, in this
 * order. lookup returns a field, or NULL.
 */
extern void smsflow_signed_sns(const char *(*lookup)(void *source, const char *name), void *source, SmsflowSink sink, void *ctx);

/* Whether a certificate at this URL is one of Amazon SNS. */
extern bool smsflow_sns_certificate_url(const char *url);

/*
 * Decodes base64 of either alphabet, with or without padding. out has room for
 * len bytes. Returns the length, or (size_t) -1 for other characters.
 */
extern size_t smsflow_base64_decode(const char *text, size_t len, unsigned char *out);

/* The same of hexadecimal digits of either case. */
extern size_t smsflow_hex_decode(const char *text, size_t len, unsigned char *out);

/* A JSON Web Token (RFC 7519) taken apart; the first two parts are still encoded. */
typedef struct SmsflowJwt
{
	const char *header;
	size_t header_len;
	const char *claims;
	size_t claims_len;
	const char *signature;
	size_t signature_len;
	size_t signed_len; /* of header, dot and claims, from header on */
} SmsflowJwt;
extern bool smsflow_jwt_split(const char *token, SmsflowJwt *jwt);

/* Compares in a time that depends on len alone. */
extern bool smsflow_equal_bytes(const unsigned char *a, const unsigned char *b, size_t len);

#endif
