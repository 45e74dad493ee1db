/*
 * reply.c - see reply.h. Order matters: after a STOP was answered with 200,
 * nothing may leave any more, so a reply is put off only while a transaction
 * of the store holds its contact: obey_in_turn() in callback.sql.
 */
#include "callback/reply.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "core/phone.h"
#include "core/short_id.h"
#include "message/spi.h"

/* No gateway means this for an id, in bytes. */
#define STRANGE_ID 1000

typedef struct Reply
{
	int32 gateway_id;
	char phone[SMSFLOW_PHONE_BUFSIZE];
	char *address; /* ours; NULL: not told */
	char *body;
	char *id; /* the gateway's; NULL: none */
} Reply;

/* ---- keeping it ---- */

/* Gateways write international numbers with a plus, with 00, or with neither; no number begins with a zero. */
static bool
read_sender(const char *text, char phone[SMSFLOW_PHONE_BUFSIZE])
{
	int64 number;
	const char *international;

	if (text == NULL)
		return false;
	text += strspn(text, " ");
	if (strncmp(text, "tel:", 4) == 0)
		text += 4;
	if (strncmp(text, "00", 2) == 0)
		text += 2;
	international = text[0] == '+' ? text : psprintf("+%s", text);
	if (smsflow_phone_parse(international, strlen(international), &number) != PHONE_OK)
		return false;
	smsflow_phone_format(number, phone);
	return true;
}

static Datum
text_datum(const char *text, char *null)
{
	*null = text ? ' ' : 'n';
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

/* No row: the gateway has sent this one before. */
static void
keep_and_obey(const Reply *reply)
{
	static SPIPlanPtr plan = NULL;
	static SPIPlanPtr obey = NULL;
	static SPIPlanPtr wait = NULL;
	Datum inbound_id;
	char nulls[] = "     ";
	Datum values[] = {
		Int32GetDatum(reply->gateway_id),   CStringGetTextDatum(reply->phone), text_datum(reply->address, &nulls[2]),
		text_datum(reply->body, &nulls[3]), text_datum(reply->id, &nulls[4]),
	};
	bool isnull;

	smsflow_spi_plan(&plan, "SELECT inbound_id, waiting FROM smsflow.store_reply($1, $2, $3, $4, $5)", 5,
					 (Oid[]){INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID});
	smsflow_spi_run(plan, values, nulls, false, SPI_OK_SELECT);
	if (SPI_processed == 0)
		return;
	inbound_id = smsflow_spi_value(0, 1, &isnull);
	if (DatumGetBool(smsflow_spi_value(0, 2, &isnull)))
	{
		smsflow_spi_plan(&wait, "SELECT smsflow.let_wait($1)", 1, (Oid[]){INT8OID});
		smsflow_spi_run(wait, &inbound_id, NULL, false, SPI_OK_SELECT);
		return;
	}
	smsflow_spi_plan(&obey, "SELECT smsflow.obey_in_turn($1)", 1, (Oid[]){INT8OID});
	smsflow_spi_run(obey, &inbound_id, NULL, false, SPI_OK_SELECT);
}

/* ---- parts of a long reply ---- */

static int
small_number(const char *text)
{
	long number = text ? strtol(text, NULL, 10) : 0;

	return number > 0 && number < 256 ? (int) number : 0;
}

/* Replaces a part by the whole when it is the last to come; false: others are missing. */
static bool
join_parts(Reply *reply, const char *ref, int total, int number)
{
	static SPIPlanPtr plan = NULL;
	char nulls[] = "        ";
	Datum values[] = {
		Int32GetDatum(reply->gateway_id),
		CStringGetTextDatum(reply->phone),
		text_datum(reply->address, &nulls[2]),
		CStringGetTextDatum(ref),
		Int32GetDatum(total),
		Int32GetDatum(number),
		CStringGetTextDatum(reply->body),
		text_datum(reply->id, &nulls[7]),
	};

	smsflow_spi_plan(&plan, "SELECT body, provider_id FROM smsflow.store_reply_part($1, $2, $3, $4, $5, $6, $7, $8)", 8,
					 (Oid[]){INT4OID, TEXTOID, TEXTOID, TEXTOID, INT4OID, INT4OID, TEXTOID, TEXTOID});
	smsflow_spi_run(plan, values, nulls, false, SPI_OK_SELECT);
	if (SPI_processed == 0)
		return false;
	reply->body = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	reply->id = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
	return true;
}

/* ---- reading it ---- */

static char *
read_body(const ReplyPaths *paths, Jsonb *record)
{
	char *charset = smsflow_record_text(record, paths->charset);
	bool wide = charset && smsflow_is_wide(charset);
	char *binary = wide ? smsflow_record_text(record, paths->binary) : NULL;
	char *body = smsflow_record_text(record, paths->body);

	if (binary)
		return smsflow_decode_octets(binary, SMSFLOW_OCTETS_HEX, true);
	if (body && paths->percent)
		return smsflow_decode_octets(body, SMSFLOW_OCTETS_PERCENT, wide);
	return body ? body : pstrdup("");
}

/* An id as it is kept: it is part of an index, and one of kilobytes must not cost a STOP. */
static char *
read_id(const CallbackGateway *gateway, Jsonb *record, const char *path)
{
	char *id = smsflow_record_text(record, path);
	size_t length = id ? strlen(id) : 0;
	char *kept;

	if (length < SMSFLOW_SHORT_ID_BUFSIZE)
		return id;
	if (length > STRANGE_ID)
		ereport(WARNING, (errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
						  errmsg("gateway \"%s\" gave an id of %zu bytes, which is shortened", gateway->name, length),
						  errdetail("Its end is a hash of the whole.")));
	kept = palloc(SMSFLOW_SHORT_ID_BUFSIZE);
	smsflow_short_id(id, length, kept, SMSFLOW_SHORT_ID_BUFSIZE);
	return kept;
}

bool
smsflow_take_reply(const CallbackGateway *gateway, Jsonb *record)
{
	const ReplyPaths *paths = &gateway->reply;
	char *ref = read_id(gateway, record, paths->part_ref);
	int total = small_number(smsflow_record_text(record, paths->part_total));
	int number = small_number(smsflow_record_text(record, paths->part_number));
	Reply reply = {.gateway_id = gateway->id};

	if (!read_sender(smsflow_record_text(record, paths->from), reply.phone))
		return false;
	reply.address = smsflow_record_text(record, paths->to);
	reply.body = read_body(paths, record);
	reply.id = read_id(gateway, record, paths->id);
	if (ref && total > 1 && number > 0 && number <= total && !join_parts(&reply, ref, total, number))
		return true;
	keep_and_obey(&reply);
	return true;
}

/* obey_reply(gateway_id integer, phone text, address text, body text, provider_id text) returns void */
PG_FUNCTION_INFO_V1(smsflow_pg_obey_reply);
Datum
smsflow_pg_obey_reply(PG_FUNCTION_ARGS)
{
	Reply reply = {0};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(3))
		PG_RETURN_VOID();
	reply.gateway_id = PG_GETARG_INT32(0);
	strlcpy(reply.phone, text_to_cstring(PG_GETARG_TEXT_PP(1)), sizeof(reply.phone));
	reply.address = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	reply.body = text_to_cstring(PG_GETARG_TEXT_PP(3));
	reply.id = PG_ARGISNULL(4) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(4));
	SPI_connect();
	keep_and_obey(&reply);
	SPI_finish();
	PG_RETURN_VOID();
}
