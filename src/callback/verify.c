/*
 * verify.c - see verify.h. One function a kind of signature; what is signed is
 * core/signature.h's business, the mathematics crypto.h's.
 */
#include "verify.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "callback/crypto.h"
#include "core/instant.h"
#include "core/signature.h"
#include "smsflow.h"
#include "types/types.h"

/* Seconds that a signature is good for, and a clock may be off. */
#define DEFAULT_TOLERANCE 300

typedef struct Check
{
	const CallbackGateway *gateway;
	const SmsflowCallback *callback;
} Check;

/* ---- what is at hand ---- */

static char *
setting(const Check *check, const char *key)
{
	return smsflow_record_text(check->gateway->signature, key);
}

/* A header that the profile names under this key, or NULL. */
static char *
header(const Check *check, const char *key)
{
	char *name = setting(check, key);
	JsonbValue buffer;
	JsonbValue *value = NULL;
	Jsonb *headers = check->callback->headers;

	if (name && headers && JB_ROOT_IS_OBJECT(headers))
		value = getKeyJsonValueFromContainer(&headers->root, name, (int) strlen(name), &buffer);
	if (value == NULL || value->type != jbvString)
		return NULL;
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* The URL as the gateway called it, whatever proxies made of it. */
static char *
public_url(const Check *check, bool with_query)
{
	int length = (int) strlen(smsflow_public_url);
	const char *query = check->callback->query;

	while (length > 0 && smsflow_public_url[length - 1] == '/')
		length--;
	return psprintf("%.*s%s%s%s", length, smsflow_public_url, check->callback->path, with_query && query[0] ? "?" : "",
					with_query ? query : "");
}

/* Whether the instant is near the one at which the callback came. */
static bool
is_recent(const Check *check, const char *written)
{
	char *tolerance = setting(check, "tolerance");
	int64 most = (tolerance ? strtol(tolerance, NULL, 10) : DEFAULT_TOLERANCE) * USECS_PER_SEC;
	int64 instant;

	if (written == NULL || !smsflow_instant_read(written, strlen(written), &instant))
		return false;
	return Max(instant - check->callback->arrived, check->callback->arrived - instant) <= most;
}

static void
append(void *ctx, const char *text, size_t len)
{
	appendBinaryStringInfo((StringInfo) ctx, text, (int) len);
}

static bool
is_form(const Check *check)
{
	JsonbValue buffer;
	JsonbValue *type = NULL;
	Jsonb *headers = check->callback->headers;

	if (headers && JB_ROOT_IS_OBJECT(headers))
		type = getKeyJsonValueFromContainer(&headers->root, "content-type", 12, &buffer);
	return type && type->type == jbvString && type->val.string.len >= 33 &&
		   pg_strncasecmp(type->val.string.val, "application/x-www-form-urlencoded", 33) == 0;
}

typedef struct Params
{
	int count; /* -1: too many */
	SmsflowParam param[SMSFLOW_MAX_PARAMS];
} Params;

static Params *
params_of(const char *form, size_t len)
{
	Params *params = palloc(sizeof(Params));

	params->count = smsflow_params_parse(form, len, palloc(len + 1), params->param);
	if (params->count > 0)
		smsflow_params_sort(params->param, params->count);
	return params;
}

/* ---- comparing ---- */

/* Whether a signature, in base64 or hex, is this digest. */
static bool
is_digest(const char *signature, size_t len, bool hex, const unsigned char *digest, size_t digest_len)
{
	unsigned char *given = palloc(len + 1);
	size_t given_len = hex ? smsflow_hex_decode(signature, len, given) : smsflow_base64_decode(signature, len, given);

	return digest_len > 0 && given_len == digest_len && smsflow_equal_bytes(given, digest, digest_len);
}

/* A header may hold several signatures, separated by commas. */
static bool
has_digest(const char *signatures, bool hex, const unsigned char *digest, size_t digest_len)
{
	bool found = false;

	for (size_t len; *signatures != '\0'; signatures += len + (signatures[len] == ','))
	{
		len = strcspn(signatures, ",");
		while (len > 0 && *signatures == ' ')
		{
			signatures++;
			len--;
		}
		found |= is_digest(signatures, len, hex, digest, digest_len);
	}
	return found;
}

static bool
has_hmac(const char *signatures, bool hex, const char *hash, const char *key, const StringInfoData *text)
{
	unsigned char digest[SMSFLOW_MAX_DIGEST];
	size_t size = smsflow_hmac(hash, key, text->data, (size_t) text->len, digest);

	return has_digest(signatures, hex, digest, size);
}

static bool
is_sha256(const char *hex, const char *text, size_t len)
{
	unsigned char digest[SMSFLOW_MAX_DIGEST];
	size_t size = smsflow_digest("sha256", text, len, digest);

	return is_digest(hex, strlen(hex), true, digest, size);
}

/* ---- kinds ---- */

/* The hash of a body that is no form travels in the URL, which is signed. */
static bool
twilio_body_fits(const Check *check, const Params *query)
{
	const SmsflowParam *hash = smsflow_params_find(query->param, query->count, "bodySHA256");

	if (check->callback->body_len == 0)
		return true;
	return hash && is_sha256(pnstrdup(hash->value, hash->value_len), check->callback->body, check->callback->body_len);
}

static bool
verify_twilio(const Check *check, const char *key)
{
	const SmsflowCallback *callback = check->callback;
	char *signature = header(check, "header");
	bool form = is_form(check);
	Params *query = params_of(callback->query, strlen(callback->query));
	Params *params = params_of(callback->body, form ? callback->body_len : 0);
	StringInfoData text;

	if (signature == NULL || query->count < 0 || params->count < 0 || (!form && !twilio_body_fits(check, query)))
		return false;
	initStringInfo(&text);
	smsflow_signed_twilio(public_url(check, true), params->param, params->count, append, &text);
	return has_hmac(signature, false, "sha1", key, &text);
}

/* Fields of a JSON body as parameters. */
static void
add_fields(Params *params, Jsonb *fields)
{
	JsonbIterator *it = JsonbIteratorInit(&fields->root);
	JsonbIteratorToken token;
	JsonbValue value;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE && params->count < SMSFLOW_MAX_PARAMS)
		if (token == WJB_KEY)
		{
			char *name = pnstrdup(value.val.string.val, value.val.string.len);
			const char *text = "";
			size_t length = 0;

			smsflow_jsonb_text(fields, name, &text, &length);
			params->param[params->count++] = (SmsflowParam){name, strlen(name), text, length};
		}
}

static Params *
vonage_params(const Check *check)
{
	const SmsflowCallback *callback = check->callback;
	Params *params;
	Jsonb *fields;

	if (callback->body_len == 0)
		return params_of(callback->query, strlen(callback->query));
	if (is_form(check))
		return params_of(callback->body, callback->body_len);
	params = params_of("", 0);
	fields = smsflow_parse_json(callback->body, callback->body_len);
	if (fields && JB_ROOT_IS_OBJECT(fields))
		add_fields(params, fields);
	smsflow_params_sort(params->param, params->count);
	return params;
}

/* hash is md5 (the key follows the text), or the hash of an HMAC. */
static bool
verify_vonage(const Check *check, const char *key)
{
	Params *params = vonage_params(check);
	const SmsflowParam *signature = params->count > 0 ? smsflow_params_find(params->param, params->count, "sig") : NULL;
	const SmsflowParam *timestamp = params->count > 0 ? smsflow_params_find(params->param, params->count, "timestamp") : NULL;
	char *hash = setting(check, "hash");
	unsigned char digest[SMSFLOW_MAX_DIGEST];
	StringInfoData text;
	size_t size;

	if (signature == NULL || timestamp == NULL || !is_recent(check, pnstrdup(timestamp->value, timestamp->value_len)))
		return false;
	initStringInfo(&text);
	smsflow_signed_vonage(params->param, params->count, append, &text);
	if (hash && strncmp(hash, "hmac-", 5) == 0)
		return has_hmac(pnstrdup(signature->value, signature->value_len), true, hash + 5, key, &text);
	appendStringInfoString(&text, key);
	size = smsflow_digest("md5", text.data, (size_t) text.len, digest);
	return is_digest(signature->value, signature->value_len, true, digest, size);
}

static bool
verify_plivo_v3(const Check *check, const char *key, const char *signature, const char *nonce)
{
	const SmsflowCallback *callback = check->callback;
	Params *query = params_of(callback->query, strlen(callback->query));
	Params *form = params_of(callback->body, strcmp(callback->method, "GET") == 0 ? 0 : callback->body_len);
	StringInfoData text;

	if (query->count < 0 || form->count < 0)
		return false;
	initStringInfo(&text);
	smsflow_signed_plivo(&(SmsflowPlivo){public_url(check, false), query->param, query->count, form->param, form->count, nonce},
						 append, &text);
	return has_hmac(signature, false, "sha256", key, &text);
}

/* V2 signs the URL and the nonce alone; it counts only where there is no V3. */
static bool
verify_plivo(const Check *check, const char *key)
{
	char *signature = header(check, "header");
	char *nonce = header(check, "nonce");
	StringInfoData text;

	if (signature && nonce)
		return verify_plivo_v3(check, key, signature, nonce);
	signature = header(check, "header_v2");
	nonce = header(check, "nonce_v2");
	if (!signature || !nonce)
		return false;
	initStringInfo(&text);
	appendStringInfo(&text, "%s%s", public_url(check, false), nonce);
	return has_hmac(signature, false, "sha256", key, &text);
}

/* The text that the profile's payload describes; false when a part of it is missing, or it is too old. */
static bool
signed_payload(const Check *check, StringInfo text)
{
	char *payload = setting(check, "payload");
	char *nonce = header(check, "nonce");
	char *timestamp = header(check, "timestamp");

	if (!payload || (setting(check, "nonce") && !nonce) || (setting(check, "timestamp") && !is_recent(check, timestamp)))
		return false;
	initStringInfo(text);
	smsflow_signed_payload(payload,
						   &(SmsflowPayload){check->callback->body, check->callback->body_len, nonce ? nonce : "",
											 timestamp ? timestamp : ""},
						   append, text);
	return true;
}

static bool
verify_hmac(const Check *check, const char *key)
{
	char *signature = header(check, "header");
	char *encoding = setting(check, "encoding");
	char *hash = setting(check, "hash");
	StringInfoData text;

	if (!signature || !signed_payload(check, &text))
		return false;
	if (strncmp(signature, "sha256=", 7) == 0)
		signature += 7;
	return has_hmac(signature, encoding && strcmp(encoding, "hex") == 0, hash ? hash : "sha256", key, &text);
}

static bool
verify_ed25519(const Check *check, const char *key)
{
	char *signature = header(check, "header");
	unsigned char raw[96];
	StringInfoData text;

	if (!signature || strlen(signature) > sizeof(raw) || !signed_payload(check, &text))
		return false;
	return smsflow_ed25519_verify(key, raw, smsflow_base64_decode(signature, strlen(signature), raw), text.data,
								  (size_t) text.len);
}

static Jsonb *
jwt_json(const char *part, size_t len)
{
	unsigned char *text = palloc(len + 1);
	size_t size = smsflow_base64_decode(part, len, text);

	return size == (size_t) -1 ? NULL : smsflow_parse_json((char *) text, size);
}

/* HS256, HS384 and HS512 only: a token must not choose how it is checked. */
static const char *
jwt_hash(const SmsflowJwt *jwt)
{
	Jsonb *head = jwt_json(jwt->header, jwt->header_len);
	char *algorithm = head ? smsflow_record_text(head, "alg") : NULL;

	if (algorithm == NULL)
		return NULL;
	return strcmp(algorithm, "HS256") == 0   ? "sha256"
		   : strcmp(algorithm, "HS384") == 0 ? "sha384"
		   : strcmp(algorithm, "HS512") == 0 ? "sha512"
											 : NULL;
}

/* A claim with the SHA-256 of something: needed when there is something, wrong when it differs. */
static bool
claim_fits(const Check *check, Jsonb *claims, const char *key, const char *text, size_t len)
{
	char *name = setting(check, key);
	char *claimed = name ? smsflow_record_text(claims, name) : NULL;

	if (name == NULL || (claimed == NULL && len == 0))
		return true;
	return claimed && is_sha256(claimed, text, len);
}

static bool
jwt_is_valid_now(const Check *check, Jsonb *claims)
{
	char *issued = smsflow_record_text(claims, "iat nbf");
	char *expires = smsflow_record_text(claims, "exp");
	int64 instant;

	if (!is_recent(check, issued))
		return false;
	return expires == NULL ||
		   (smsflow_instant_read(expires, strlen(expires), &instant) && instant >= check->callback->arrived - USECS_PER_SEC);
}

static bool
verify_jwt(const Check *check, const char *key)
{
	const SmsflowCallback *callback = check->callback;
	char *token = header(check, "header");
	char *issuer = setting(check, "issuer");
	unsigned char digest[SMSFLOW_MAX_DIGEST];
	char *url = public_url(check, true);
	const char *hash;
	char *claimed;
	SmsflowJwt jwt;
	Jsonb *claims;

	if (token && pg_strncasecmp(token, "Bearer ", 7) == 0)
		token += 7;
	if (!token || !smsflow_jwt_split(token, &jwt) || (hash = jwt_hash(&jwt)) == NULL ||
		!is_digest(jwt.signature, jwt.signature_len, false, digest, smsflow_hmac(hash, key, jwt.header, jwt.signed_len, digest)))
		return false;
	claims = jwt_json(jwt.claims, jwt.claims_len);
	if (claims == NULL || !JB_ROOT_IS_OBJECT(claims))
		return false;
	claimed = smsflow_record_text(claims, "iss");
	return (!issuer || (claimed && strcmp(claimed, issuer) == 0)) && jwt_is_valid_now(check, claims) &&
		   claim_fits(check, claims, "payload_claim", callback->body, callback->body_len) &&
		   claim_fits(check, claims, "url_claim", url, strlen(url));
}

static const char *
sns_field(void *source, const char *name)
{
	return smsflow_record_text(source, name);
}

/* The certificate is the store's; the message has to name one of Amazon's, too. */
static bool
verify_sns(const Check *check, const char *key)
{
	Jsonb *envelope = smsflow_parse_json(check->callback->body, check->callback->body_len);
	char *topic = setting(check, "topic");
	char *signature;
	char *version;
	char *url;
	char *arn;
	unsigned char *raw;
	StringInfoData text;

	if (envelope == NULL || !JB_ROOT_IS_OBJECT(envelope))
		return false;
	signature = smsflow_record_text(envelope, "Signature");
	version = smsflow_record_text(envelope, "SignatureVersion");
	url = smsflow_record_text(envelope, "SigningCertURL");
	arn = smsflow_record_text(envelope, "TopicArn");
	if (!signature || !version || !url || !smsflow_sns_certificate_url(url) ||
		!is_recent(check, smsflow_record_text(envelope, "Timestamp")) || (topic && (!arn || strcmp(topic, arn) != 0)))
		return false;
	raw = palloc(strlen(signature) + 1);
	initStringInfo(&text);
	smsflow_signed_sns(sns_field, envelope, append, &text);
	return smsflow_rsa_verify(key, strcmp(version, "2") == 0 ? "sha256" : "sha1", raw,
							  smsflow_base64_decode(signature, strlen(signature), raw), text.data, (size_t) text.len);
}

/* ---- all of them ---- */

bool
smsflow_verify(const CallbackGateway *gateway, const SmsflowCallback *callback)
{
	static const struct
	{
		const char *kind;
		bool (*verify)(const Check *check, const char *key);
	} kinds[] = {
		{"twilio", verify_twilio},   {"vonage", verify_vonage}, {"plivo", verify_plivo}, {"hmac", verify_hmac},
		{"ed25519", verify_ed25519}, {"jwt", verify_jwt},       {"sns", verify_sns},
	};
	Check check = {gateway, callback};
	char *kind = setting(&check, "kind");

	for (int i = 0; i < (int) lengthof(kinds); i++)
		if (kind && strcmp(kinds[i].kind, kind) == 0)
			for (char **key = gateway->keys; *key; key++)
				if (kinds[i].verify(&check, *key))
					return true;
	return false;
}
