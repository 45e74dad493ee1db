/*
 * otp.c - one-time passwords: sending a code and checking one.
 *
 * The code is kept nowhere. It follows from a secret key and a nonce from the
 * server's strong random source: the first 64 bits of HMAC-SHA-256(key, id and
 * nonce), modulo 10^digits. The message is appended with {{code}} in its text,
 * and the worker asks for the code when it claims the message. So neither a
 * table, a dump, the WAL nor a log can tell a code to whom lacks the key, and
 * when a code is used, its nonce is gone as well.
 *
 * A code is compared as the MAC of it, so the time a comparison takes says
 * nothing about the digits.
 */
#include "smsflow.h"

#include <arpa/inet.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "contact/contact.h"
#include "core/phone.h"
#include "errcodes.h"
#include "gateway/secret.h"
#include "message/send.h"
#include "message/spi.h"
#include "types/types.h"

#define KEY_NAME "otp_key"
#define NONCE_LENGTH 16
#define MIN_DIGITS 6
#define MAX_DIGITS 10

static const NullableDatum nothing = {0, true};

static SmsflowStatement make_key = {.sql = "INSERT INTO smsflow.secret (name, value) VALUES ('" KEY_NAME
										   "', smsflow.random_key()) ON CONFLICT DO NOTHING"};

/* Calls for one number come one after another, so that a limit of the number is exact. */
static SmsflowStatement lock_number = {.sql = "SELECT pg_advisory_xact_lock(hashtextextended('smsflow.otp ' || $1, 0))",
									   .nargs = 1,
									   .types = (const Oid[]){TEXTOID}};

static SmsflowStatement decide =
	{.sql = "SELECT d.status, d.retry_at FROM smsflow.otp_decision($1, $2::smsflow.phone, $3, smsflow.otp_network($4)) d",
	 .nargs = 4,
	 .types = (const Oid[]){INT4OID, TEXTOID, TEXTOID, TEXTOID}};

static SmsflowStatement block = {.sql = "SELECT smsflow.otp_block_prefix(left($1, -4), $2)",
								 .nargs = 2,
								 .types = (const Oid[]){TEXTOID, TEXTOID}};

static SmsflowStatement read_options = {.sql = "SELECT o.pool, o.fail_open FROM smsflow.otp_options($1) o",
										.nargs = 1,
										.types = (const Oid[]){TEXTOID}};

/* Codes before this one are void, and those not on the wire yet are not sent. */
static SmsflowStatement replace_older =
	{.sql = "WITH older AS (UPDATE smsflow.otp SET ended_at = clock_timestamp(), outcome = 'replaced', nonce = NULL"
			"  WHERE brand_id = $1 AND phone OPERATOR(smsflow.=) $2::smsflow.phone AND scope = $3 AND ended_at IS NULL"
			"  RETURNING message_id),"
			" revoked AS (INSERT INTO smsflow.revocation (kind, target_id, reason)"
			"  SELECT 'message', message_id, 'code_replaced' FROM older)"
			" SELECT smsflow.note_revocation('message', message_id) FROM older",
	 .nargs = 3,
	 .types = (const Oid[]){INT4OID, TEXTOID, TEXTOID}};

/* $1 brand, $2 number, $3 scope, $4 network, $5 message id, $6 nonce, $7 queue */
static SmsflowStatement append = {
	.sql =
		"WITH options AS MATERIALIZED (SELECT o.*, smsflow.otp_body(o.body, o.domain, o.app_hash) AS text,"
		"  ceil(extract(epoch FROM o.valid_for) / 60)::integer AS minutes FROM smsflow.otp_options($3) o),"
		" one AS (INSERT INTO smsflow.otp (brand_id, phone, prefix, region, network, scope, message_id, nonce, digits,"
		"   tries_left, expires_at)"
		"  SELECT $1, $2::smsflow.phone, left($2, -4), smsflow.phone_region($2::smsflow.phone), smsflow.otp_network($4), $3, $5, "
		"$6,"
		"   o.digits, o.tries, clock_timestamp() + o.valid_for FROM options o),"
		" text AS (SELECT kept.rendered, shown.parts, shown.unicode, o.valid_for, c.contact_id"
		"  FROM options o JOIN smsflow.brand b ON b.brand_id = $1"
		"  LEFT JOIN smsflow.contact c ON c.brand_id = $1 AND c.phone OPERATOR(smsflow.=) $2::smsflow.phone"
		"  CROSS JOIN LATERAL (SELECT jsonb_build_object('brand', b.name, 'minutes', o.minutes) AS vars) v"
		"  CROSS JOIN LATERAL smsflow.render_message(o.text, v.vars || jsonb_build_object('code', '{{code}}')) kept"
		"  CROSS JOIN LATERAL smsflow.render_message(o.text, v.vars || jsonb_build_object('code', repeat('0', o.digits))) shown),"
		" message AS (INSERT INTO smsflow.outbox (message_id, expires_at, contact_id, recipient, queue_id, brand_id, purpose,"
		"   parts, unicode, body)"
		"  SELECT $5, clock_timestamp() + t.valid_for, t.contact_id, $2::smsflow.phone, $7, $1, 'otp', t.parts, t.unicode, "
		"t.rendered"
		"  FROM text t RETURNING parts)"
		" INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value)"
		" SELECT date_trunc('hour', clock_timestamp(), 'UTC'), $1, 0, 0, coalesce(q.sender_id, 0), 0, 'otp', v.measure, v.value"
		" FROM message m JOIN smsflow.queue q ON q.queue_id = $7"
		" CROSS JOIN LATERAL (VALUES ('recipients', 1), ('queued', 1), ('parts', m.parts::integer)) v (measure, value)",
	.nargs = 7,
	.types = (const Oid[]){INT4OID, TEXTOID, TEXTOID, TEXTOID, INT8OID, BYTEAOID, INT4OID}};

static SmsflowStatement newest =
	{.sql = "SELECT otp_id, nonce, digits::integer, tries_left::integer, outcome, expires_at <= clock_timestamp(), message_id"
			" FROM smsflow.otp WHERE brand_id = $1 AND phone OPERATOR(smsflow.=) $2::smsflow.phone AND scope = $3"
			" ORDER BY started_at DESC LIMIT 1 FOR UPDATE",
	 .nargs = 3,
	 .types = (const Oid[]){INT4OID, TEXTOID, TEXTOID}};

static SmsflowStatement approve =
	{.sql = "WITH used AS (UPDATE smsflow.otp SET ended_at = clock_timestamp(), outcome = 'approved', nonce = NULL"
			"  WHERE otp_id = $1 RETURNING message_id, brand_id),"
			" counted AS (INSERT INTO smsflow.metric_delta"
			"   (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value)"
			"  SELECT date_trunc('hour', clock_timestamp(), 'UTC'), brand_id, 0, 0, 0, 0, 'otp', 'approved', 1 FROM used)"
			" SELECT smsflow.note_revocation('message', message_id) FROM used",
	 .nargs = 1,
	 .types = (const Oid[]){INT8OID}};

static SmsflowStatement count_try =
	{.sql = "UPDATE smsflow.otp SET tries_left = tries_left - 1, outcome = CASE WHEN tries_left = 1 THEN 'locked' END,"
			" ended_at = CASE WHEN tries_left = 1 THEN clock_timestamp() END, nonce = CASE WHEN tries_left > 1 THEN nonce END"
			" WHERE otp_id = $1",
	 .nargs = 1,
	 .types = (const Oid[]){INT8OID}};

static SmsflowStatement of_message = {.sql = "SELECT otp_id, nonce, digits::integer FROM smsflow.otp WHERE message_id = $1",
									  .nargs = 1,
									  .types = (const Oid[]){INT8OID}};

/* What both calls are about. */
typedef struct OtpCall
{
	int64 phone;
	NullableDatum number; /* text of it */
	NullableDatum scope;
	NullableDatum brand_id;
	NullableDatum address; /* NULL: not known */
} OtpCall;

static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static void
read_call(OtpCall *call, const char *phone, const char *scope, const char *brand)
{
	char number[SMSFLOW_PHONE_BUFSIZE];

	call->phone = smsflow_phone_from_text(phone, strlen(phone), NULL);
	smsflow_phone_format(call->phone, number);
	if (scope[0] == '\0')
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("the scope of a one-time password is empty"),
						errhint("Name what it is for, such as login or payment.")));
	call->number = smsflow_value(CStringGetTextDatum(number));
	call->scope = smsflow_value(CStringGetTextDatum(scope));
	call->brand_id = smsflow_value(Int32GetDatum(smsflow_brand_id(brand)));
	call->address = nothing;
}

/* ---- the code ---- */

static char *
read_key(void)
{
	const char *problem;
	char *key = smsflow_read_secret(KEY_NAME, &problem);

	if (key == NULL)
	{
		smsflow_execute(&make_key, NULL);
		CommandCounterIncrement();
		PushActiveSnapshot(GetLatestSnapshot());
		key = smsflow_read_secret(KEY_NAME, &problem);
		PopActiveSnapshot();
	}
	if (key == NULL)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_NOT_READY), errmsg("the key of one-time passwords cannot be read"),
						errdetail("Secret \"%s\": %s.", KEY_NAME, problem),
						errhint("Correct the file, or remove it, and a key is made in smsflow.secret.")));
	return key;
}

/* Writes the code to out, which holds MAX_DIGITS and a zero. The MAC is 32 hexadecimal digits; 16 of them are 64 bits. */
static void
make_code(const char *key, int64 otp_id, const bytea *nonce, int digits, char *out)
{
	char hex[2 * NONCE_LENGTH + 1];
	char mac[SMSFLOW_MAC_LENGTH + 1];
	uint64 number;

	hex[hex_encode(VARDATA_ANY(nonce), Min(VARSIZE_ANY_EXHDR(nonce), NONCE_LENGTH), hex)] = '\0';
	smsflow_mac(key, psprintf("code " INT64_FORMAT " %s", otp_id, hex), mac);
	mac[16] = '\0';
	number = strtou64(mac, NULL, 16);
	out[digits] = '\0';
	for (int i = digits - 1; i >= 0; i--, number /= 10)
		out[i] = (char) ('0' + number % 10);
}

/* People type a code with spaces or hyphens. */
static char *
only_digits(const char *text)
{
	char *digits = palloc(strlen(text) + 1);
	char *end = digits;

	for (; *text != '\0'; text++)
		if (*text != ' ' && *text != '-')
			*end++ = *text;
	*end = '\0';
	return digits;
}

static bool
same_code(const char *key, const char *given, const char *expected)
{
	char given_mac[SMSFLOW_MAC_LENGTH + 1];
	char expected_mac[SMSFLOW_MAC_LENGTH + 1];

	smsflow_mac(key, psprintf("entered %s", given), given_mac);
	smsflow_mac(key, psprintf("entered %s", expected), expected_mac);
	return smsflow_mac_equal(given_mac, expected_mac);
}

/* ---- otp_start ---- */

static bool
is_address(const char *text)
{
	struct in6_addr address;

	return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

/* What the application passes as an address may come from a header that anybody can write. */
static bool
take_address(OtpCall *call, FunctionCallInfo fcinfo, bool fail_open)
{
	char *text = text_argument(fcinfo, 2);

	if (PG_ARGISNULL(2))
		return true;
	if (!is_address(text))
		return fail_open;
	call->address = smsflow_value(CStringGetTextDatum(text));
	return true;
}

/* The status, with *retry_at in the caller's context; NULL when a code may be sent. */
static char *
refusal(const OtpCall *call, NullableDatum *retry_at)
{
	NullableDatum args[] = {call->brand_id, call->number, call->scope, call->address};
	NullableDatum prefix[] = {call->number, call->scope};

	if (smsflow_execute(&decide, args) > 0)
	{
		*retry_at = smsflow_result(2);
		return TextDatumGetCString(smsflow_result(1).value);
	}
	smsflow_execute(&block, prefix);
	*retry_at = smsflow_result(1);
	return retry_at->isnull ? NULL : "prefix_blocked";
}

static void
send_code(const OtpCall *call, const char *pool)
{
	NullableDatum args[] = {call->brand_id, call->number, call->scope, call->address, nothing, nothing, nothing};
	bytea *nonce = palloc(VARHDRSZ + NONCE_LENGTH);
	int count;
	int32 *queues = smsflow_queues(0, "direct", pool, &count);
	int32 queue = queues[call->phone % count];

	SET_VARSIZE(nonce, VARHDRSZ + NONCE_LENGTH);
	if (!pg_strong_random(VARDATA(nonce), NONCE_LENGTH))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	args[4] = smsflow_value(Int64GetDatum(smsflow_take_message_id()));
	args[5] = smsflow_value(PointerGetDatum(nonce));
	args[6] = smsflow_value(Int32GetDatum(queue));
	smsflow_execute(&replace_older, args);
	smsflow_execute(&append, args);
	smsflow_note_enqueued(queue);
}

static char *
start(OtpCall *call, FunctionCallInfo fcinfo, NullableDatum *retry_at)
{
	char *pool;
	char *status;

	smsflow_execute(&lock_number, &call->number);
	smsflow_execute(&read_options, &call->scope);
	pool = TextDatumGetCString(smsflow_result(1).value);
	if (!take_address(call, fcinfo, DatumGetBool(smsflow_result(2).value)))
		return "ip_not_readable";
	status = refusal(call, retry_at);
	if (status == NULL)
	{
		pfree(read_key());
		send_code(call, pool);
		status = "sent";
	}
	return status;
}

/* otp_start(phone, scope, ip, brand, OUT status, OUT retry_at) */
PG_FUNCTION_INFO_V1(smsflow_otp_start);
Datum
smsflow_otp_start(PG_FUNCTION_ARGS)
{
	OtpCall call;
	TupleDesc columns;
	NullableDatum retry_at = nothing;
	Datum values[2];
	bool nulls[2] = {false};
	char *status;

	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "smsflow.otp_start() does not return a row");
	columns = BlessTupleDesc(columns);
	SPI_connect();
	read_call(&call, text_argument(fcinfo, 0), text_argument(fcinfo, 1), text_argument(fcinfo, 3));
	status = pstrdup(start(&call, fcinfo, &retry_at));
	values[0] = SPI_datumTransfer(CStringGetTextDatum(status), false, -1);
	SPI_finish();
	values[1] = retry_at.value;
	nulls[1] = retry_at.isnull;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(columns, values, nulls)));
}

/* ---- otp_check ---- */

/* What otp_check() found of the newest code. */
typedef struct Asked
{
	NullableDatum otp_id;
	bytea *nonce; /* NULL: the code cannot be entered any more, or there was none */
	int digits;
	int tries_left;
	const char *ended; /* the answer, whatever is entered; NULL: the code is open */
} Asked;

static Asked
read_newest(const OtpCall *call)
{
	Asked asked = {.otp_id = nothing, .digits = MIN_DIGITS, .ended = "none"};
	NullableDatum nonce, outcome;

	if (smsflow_execute(&newest, (NullableDatum[]){call->brand_id, call->number, call->scope}) == 0)
		return asked;
	asked.otp_id = smsflow_result(1);
	asked.digits = DatumGetInt32(smsflow_result(3).value);
	asked.tries_left = DatumGetInt32(smsflow_result(4).value);
	nonce = smsflow_result(2);
	outcome = smsflow_result(5);
	if (!outcome.isnull)
		asked.ended = strcmp(TextDatumGetCString(outcome.value), "locked") == 0 ? "locked" : "none";
	else
		asked.ended = DatumGetBool(smsflow_result(6).value) ? "expired" : NULL;
	if (!nonce.isnull)
		asked.nonce = DatumGetByteaPCopy(nonce.value);
	return asked;
}

/*
 * Whether the code is right. The same is computed where there is no code to compare with, so that an application which
 * shows "wrong" for every refusal does not tell by the time it takes whom a code was sent to.
 */
static bool
is_right(const Asked *asked, const char *given)
{
	char code[MAX_DIGITS + 1];
	char *key = read_key();
	const bytea *nonce = asked->nonce;

	if (nonce == NULL)
	{
		bytea *decoy = palloc0(VARHDRSZ + NONCE_LENGTH);

		SET_VARSIZE(decoy, VARHDRSZ + NONCE_LENGTH);
		nonce = decoy;
	}
	make_code(key, asked->otp_id.isnull ? 0 : DatumGetInt64(asked->otp_id.value), nonce, asked->digits, code);
	return same_code(key, only_digits(given), code) && asked->ended == NULL;
}

static const char *
try_code(const OtpCall *call, const char *given)
{
	Asked asked = read_newest(call);

	if (is_right(&asked, given))
	{
		smsflow_execute(&approve, &asked.otp_id);
		return "approved";
	}
	if (asked.ended)
		return asked.ended;
	smsflow_execute(&count_try, &asked.otp_id);
	return asked.tries_left == 1 ? "locked" : "wrong";
}

/* otp_check(phone, code, scope, brand) returns text */
PG_FUNCTION_INFO_V1(smsflow_otp_check);
Datum
smsflow_otp_check(PG_FUNCTION_ARGS)
{
	OtpCall call;
	const char *status;

	SPI_connect();
	read_call(&call, text_argument(fcinfo, 0), text_argument(fcinfo, 2), text_argument(fcinfo, 3));
	status = try_code(&call, text_argument(fcinfo, 1));
	SPI_finish();
	PG_RETURN_TEXT_P(cstring_to_text(status));
}

/* ---- the worker ---- */

static char *
replace_code(const char *body, const char *code)
{
	StringInfoData text;
	const char *mark;

	initStringInfo(&text);
	while ((mark = strstr(body, "{{code}}")) != NULL)
	{
		appendBinaryStringInfo(&text, body, (int) (mark - body));
		appendStringInfoString(&text, code);
		body = mark + strlen("{{code}}");
	}
	appendStringInfoString(&text, body);
	return text.data;
}

/* otp_text(message_id, body) returns text; in the snapshot of the query that calls it */
PG_FUNCTION_INFO_V1(smsflow_otp_text);
Datum
smsflow_otp_text(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	char *body = text_to_cstring(PG_GETARG_TEXT_PP(1));
	MemoryContext caller = CurrentMemoryContext;
	char code[MAX_DIGITS + 1];
	const char *problem;
	char *key = smsflow_read_secret(KEY_NAME, &problem);
	bool known;
	bool is_void;
	text *result = NULL;

	SPI_connect();
	smsflow_spi_plan(&plan, of_message.sql, of_message.nargs, unconstify(Oid *, of_message.types));
	smsflow_spi_run(plan, &PG_GETARG_DATUM(0), NULL, true, SPI_OK_SELECT);
	known = SPI_processed > 0;
	is_void = known && (smsflow_result(2).isnull || key == NULL);
	if (known && !is_void)
	{
		make_code(key, DatumGetInt64(smsflow_result(1).value), DatumGetByteaPP(smsflow_result(2).value),
				  DatumGetInt32(smsflow_result(3).value), code);
		body = replace_code(body, code);
	}
	if (!is_void)
	{
		MemoryContextSwitchTo(caller);
		result = cstring_to_text(body);
	}
	SPI_finish();
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(result);
}
