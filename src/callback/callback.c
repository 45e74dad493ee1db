/*
 * callback.c - takes what gateways send: delivery reports and replies.
 *
 * A report is only appended to the inbox here, all of a call by one INSERT;
 * the worker applies it. A reply is applied at once and in order, because
 * after a STOP was answered with 200 nothing may leave any more.
 *
 * The path of every URL carries a MAC of itself, so a request is known to be
 * about our own attempt, or from our own gateway, before anything of it is
 * parsed.
 */
#include "smsflow.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "compat.h"
#include "callback/gateway.h"
#include "callback/reply.h"
#include "callback/verify.h"
#include "core/instant.h"
#include "errcodes.h"
#include "gateway/secret.h"
#include "message/spi.h"

#define HTTP_OK 200
#define HTTP_BAD_REQUEST 400
#define HTTP_FORBIDDEN 403
#define HTTP_NOT_FOUND 404
#define HTTP_BAD_METHOD 405
#define HTTP_UNAVAILABLE 503

#define ARGUMENTS 6

typedef SmsflowCallback Request;

typedef struct Answer
{
	int status;
	const char *type; /* NULL: plain text */
	const char *body; /* NULL: empty */
} Answer;

/* A path taken apart. */
typedef struct Token
{
	bool is_report;
	char *signed_path; /* what the MAC is of */
	const char *mac;
	int64 message_id;
	int16 attempt;
} Token;

/* Reports of one call, in columns. */
typedef struct Reports
{
	int count;
	int size;
	Datum *gateway_id;
	Datum *message_id;
	Datum *attempt;
	Datum *fields;
} Reports;

typedef struct Receiver
{
	char *key; /* NULL: no URL of ours exists */
	CallbackGateways gateways;
	Reports reports;
} Receiver;

/* ---- paths ---- */

/* Reads digits up to stop; false for none, too many, or something else. */
static bool
read_number(const char *text, char stop, int64 most, int64 *number, const char **rest)
{
	char *end;

	if (text[0] < '1' || text[0] > '9')
		return false;
	errno = 0;
	*number = strtoi64(text, &end, 10);
	*rest = end + 1;
	return errno == 0 && *end == stop && *number <= most;
}

static bool
read_report_token(const char *text, Token *token)
{
	int64 attempt;

	if (!read_number(text, '.', PG_INT64_MAX, &token->message_id, &text) ||
		!read_number(text, '.', PG_INT16_MAX, &attempt, &text))
		return false;
	token->attempt = (int16) attempt;
	token->mac = text;
	return true;
}

/* "/callback/<gateway>/<message>.<attempt>.<mac>" or "/in/<gateway>/<mac>" */
static bool
read_path(const char *path, const char *gateway, Token *token)
{
	size_t name_len = strlen(gateway);
	const char *name;

	token->is_report = strncmp(path, "/callback/", 10) == 0;
	if (!token->is_report && strncmp(path, "/in/", 4) != 0)
		return false;
	name = path + (token->is_report ? 10 : 4);
	if (name_len == 0 || strncmp(name, gateway, name_len) != 0 || name[name_len] != '/')
		return false;
	token->mac = name + name_len + 1;
	if (token->is_report && !read_report_token(token->mac, token))
		return false;
	if (strlen(token->mac) != SMSFLOW_MAC_LENGTH)
		return false;
	token->signed_path = pnstrdup(path, token->mac - path - 1);
	return true;
}

static bool
is_genuine(const Receiver *receiver, const Token *token)
{
	char expected[SMSFLOW_MAC_LENGTH + 1];

	if (receiver->key == NULL)
		return false;
	smsflow_mac(receiver->key, token->signed_path, expected);
	return smsflow_mac_equal(token->mac, expected);
}

/* ---- delivery reports ---- */

static void
make_room(Reports *reports)
{
	size_t bytes;

	if (reports->count < reports->size)
		return;
	reports->size = Max(reports->size * 2, 64);
	bytes = (size_t) reports->size * sizeof(Datum);
	reports->gateway_id = reports->gateway_id ? repalloc(reports->gateway_id, bytes) : palloc(bytes);
	reports->message_id = reports->message_id ? repalloc(reports->message_id, bytes) : palloc(bytes);
	reports->attempt = reports->attempt ? repalloc(reports->attempt, bytes) : palloc(bytes);
	reports->fields = reports->fields ? repalloc(reports->fields, bytes) : palloc(bytes);
}

static void
keep_report(Reports *reports, const CallbackGateway *gateway, const Token *token, Jsonb *fields)
{
	int n;

	make_room(reports);
	n = reports->count++;
	reports->gateway_id[n] = Int32GetDatum(gateway->id);
	reports->message_id[n] = Int64GetDatum(token->message_id);
	reports->attempt[n] = Int16GetDatum(token->attempt);
	reports->fields[n] = JsonbPGetDatum(fields);
}

/*
 * At the URL of an account, a report names its message by our reference. One
 * without is kept for message 0: the profile may know it by the gateway's id.
 */
static void
keep_account_report(Reports *reports, const CallbackGateway *gateway, Jsonb *record)
{
	char *reference = smsflow_record_text(record, gateway->reference_path);
	Token token = {0};
	const char *rest;
	int64 attempt;

	if (!reference || !read_number(reference, '.', PG_INT64_MAX, &token.message_id, &rest) ||
		!read_number(rest, '\0', PG_INT16_MAX, &attempt, &rest))
		token.message_id = 0;
	else
		token.attempt = (int16) attempt;
	keep_report(reports, gateway, &token, record);
}

static void
append_reports(const Reports *reports)
{
	static SPIPlanPtr plan = NULL;
	Datum values[4];

	if (reports->count == 0)
		return;
	values[0] = PointerGetDatum(construct_array(reports->gateway_id, reports->count, INT4OID, 4, true, TYPALIGN_INT));
	values[1] =
		PointerGetDatum(construct_array(reports->message_id, reports->count, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[2] = PointerGetDatum(construct_array(reports->attempt, reports->count, INT2OID, 2, true, TYPALIGN_SHORT));
	values[3] = PointerGetDatum(construct_array(reports->fields, reports->count, JSONBOID, -1, false, TYPALIGN_INT));
	smsflow_spi_plan(&plan,
					 "INSERT INTO smsflow.callback (gateway_id, message_id, attempt, fields)"
					 " SELECT * FROM unnest($1, $2, $3, $4)",
					 4, (Oid[]){INT4ARRAYOID, INT8ARRAYOID, INT2ARRAYOID, JSONBARRAYOID});
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_INSERT);
	smsflow_note_callback();
}

/* ---- requests ---- */

static bool
has_all(Jsonb *record, Jsonb *wanted)
{
	JsonbIterator *it = JsonbIteratorInit(&wanted->root);
	JsonbIteratorToken token;
	JsonbValue value;
	char *path = NULL;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			path = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE && value.type == jbvString)
		{
			char *found = smsflow_record_text(record, path);

			if (!found || strlen(found) != (size_t) value.val.string.len ||
				memcmp(found, value.val.string.val, value.val.string.len) != 0)
				return false;
		}
	}
	return true;
}

/* Gateways with one URL for both. */
static bool
is_reply(const CallbackGateway *gateway, Jsonb *record)
{
	if (smsflow_record_text(record, gateway->confirm_path))
		return false;
	if (gateway->reply_when)
		return has_all(record, gateway->reply_when);
	return !gateway->status_path || !smsflow_record_text(record, gateway->status_path);
}

static int
take_record(Receiver *receiver, const CallbackGateway *gateway, const Token *token, Jsonb *record)
{
	if (token->is_report)
		keep_report(&receiver->reports, gateway, token, record);
	else if (!is_reply(gateway, record))
		keep_account_report(&receiver->reports, gateway, record);
	else if (!smsflow_take_reply(gateway, record))
		return HTTP_BAD_REQUEST;
	return HTTP_OK;
}

/* One record that cannot be read keeps none of its list from being taken: a STOP may follow it. */
static int
take(Receiver *receiver, const Request *request, Answer *answer)
{
	Token token = {0};
	CallbackGateway *gateway;
	SmsflowRecords records;
	int status = HTTP_OK;

	if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "POST") != 0)
		return HTTP_BAD_METHOD;
	gateway = smsflow_callback_gateway(&receiver->gateways, request->gateway);
	if (gateway == NULL || !read_path(request->path, request->gateway, &token))
		return HTTP_NOT_FOUND;
	if (!is_genuine(receiver, &token))
		return HTTP_FORBIDDEN;
	if (gateway->keys_fail)
		return HTTP_UNAVAILABLE;
	if (gateway->keys && !smsflow_verify(gateway, request))
		return HTTP_FORBIDDEN;
	if (!smsflow_records(request->query, request->headers, request->body, request->body_len, &gateway->rules, &records))
		return HTTP_BAD_REQUEST;
	for (int i = 0; i < records.count; i++)
		if (take_record(receiver, gateway, &token, records.record[i]) != HTTP_OK)
			status = HTTP_BAD_REQUEST;
	if (status != HTTP_OK)
		return status;
	answer->body = gateway->answer;
	answer->type = gateway->answer_type;
	return HTTP_OK;
}

/* Answers each request; SPI is connected. */
static void
take_all(const Request *requests, int count, Answer *answers)
{
	Receiver receiver = {0};

	receiver.key = smsflow_callback_key();
	receiver.gateways = smsflow_callback_gateways();
	for (int i = 0; i < count; i++)
		answers[i].status = take(&receiver, &requests[i], &answers[i]);
	append_reports(&receiver.reports);
}

static const char *
text_or_empty(Datum value, bool isnull)
{
	return isnull ? "" : TextDatumGetCString(value);
}

/*
 * smsflowd says when a callback came, since it may have kept it on disk while
 * the database was away. Only its own interface is believed: others may hand
 * on headers that a stranger wrote.
 */
static TimestampTz
arrival(Jsonb *headers)
{
	char *written = headers && JB_ROOT_IS_OBJECT(headers) ? smsflow_record_text(headers, "x-smsflow-arrived") : NULL;
	TimestampTz now = GetCurrentTimestamp();
	int64 arrived;

	if (written == NULL || !smsflow_instant_read(written, strlen(written), &arrived))
		return now;
	return Min(arrived, now);
}

/* Values in the order gateway, method, path, query, headers, body. */
static Request
request_of(const Datum *values, const bool *nulls)
{
	Request request = {
		.gateway = text_or_empty(values[0], nulls[0]),
		.method = text_or_empty(values[1], nulls[1]),
		.path = text_or_empty(values[2], nulls[2]),
		.query = text_or_empty(values[3], nulls[3]),
		.headers = nulls[4] ? NULL : DatumGetJsonbP(values[4]),
		.body = "",
	};

	if (!nulls[5])
	{
		bytea *body = DatumGetByteaPP(values[5]);

		request.body = VARDATA_ANY(body);
		request.body_len = VARSIZE_ANY_EXHDR(body);
	}
	request.arrived = GetCurrentTimestamp();
	return request;
}

/* A text in memory that SPI_finish() does not take away. */
static Datum
kept_text(const char *content, const char *otherwise)
{
	size_t length = strlen(content ? content : otherwise);
	text *result = SPI_palloc(VARHDRSZ + length);

	SET_VARSIZE(result, VARHDRSZ + length);
	memcpy(VARDATA(result), content ? content : otherwise, length);
	return PointerGetDatum(result);
}

/* receive_callback(gateway, method, path, query, headers, body, OUT status, OUT content_type, OUT body) */
PG_FUNCTION_INFO_V1(smsflow_pg_receive_callback);
Datum
smsflow_pg_receive_callback(PG_FUNCTION_ARGS)
{
	Datum arguments[ARGUMENTS];
	bool missing[ARGUMENTS];
	Datum values[3];
	bool nulls[3] = {false, false, false};
	TupleDesc desc;
	Request request;
	Answer answer = {0};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	for (int i = 0; i < ARGUMENTS; i++)
	{
		arguments[i] = PG_GETARG_DATUM(i);
		missing[i] = PG_ARGISNULL(i);
	}
	request = request_of(arguments, missing);
	SPI_connect();
	take_all(&request, 1, &answer);
	values[0] = Int32GetDatum(answer.status);
	values[1] = kept_text(answer.type, "text/plain");
	values[2] = kept_text(answer.body, "");
	SPI_finish();
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

typedef struct Columns
{
	int count;
	Datum *values[ARGUMENTS];
	bool *nulls[ARGUMENTS];
} Columns;

static Columns
columns_of(FunctionCallInfo fcinfo)
{
	static const struct
	{
		Oid type;
		char align;
	} types[ARGUMENTS] = {
		{TEXTOID, TYPALIGN_INT}, {TEXTOID, TYPALIGN_INT},  {TEXTOID, TYPALIGN_INT},
		{TEXTOID, TYPALIGN_INT}, {JSONBOID, TYPALIGN_INT}, {BYTEAOID, TYPALIGN_INT},
	};
	Columns columns;
	int count;

	for (int i = 0; i < ARGUMENTS; i++)
	{
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(i), types[i].type, -1, false, types[i].align, &columns.values[i],
						  &columns.nulls[i], &count);
		if (i == 0)
			columns.count = count;
		if (count != columns.count)
			ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("arrays of callbacks differ in length"),
							errdetail("Array %d has %d elements, the first has %d.", i + 1, count, columns.count),
							errhint("Pass one element of each array per callback.")));
	}
	return columns;
}

static Request
request_in(const Columns *columns, int row)
{
	Datum values[ARGUMENTS];
	bool nulls[ARGUMENTS];

	for (int i = 0; i < ARGUMENTS; i++)
	{
		values[i] = columns->values[i][row];
		nulls[i] = columns->nulls[i][row];
	}
	return request_of(values, nulls);
}

/* receive_callbacks(arrays of the same) returns table (ordinal, status, content_type, body) */
PG_FUNCTION_INFO_V1(smsflow_pg_receive_callbacks);
Datum
smsflow_pg_receive_callbacks(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Columns columns = columns_of(fcinfo);
	Request *requests = palloc(Max(columns.count, 1) * sizeof(Request));
	Answer *answers = palloc0(Max(columns.count, 1) * sizeof(Answer));
	Datum values[4];
	bool nulls[4] = {false, false, false, false};

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < columns.count; i++)
	{
		requests[i] = request_in(&columns, i);
		requests[i].arrived = arrival(requests[i].headers);
	}
	SPI_connect();
	take_all(requests, columns.count, answers);
	for (int i = 0; i < columns.count; i++)
	{
		values[0] = Int32GetDatum(i + 1);
		values[1] = Int32GetDatum(answers[i].status);
		values[2] = CStringGetTextDatum(answers[i].type ? answers[i].type : "text/plain");
		values[3] = CStringGetTextDatum(answers[i].body ? answers[i].body : "");
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	SPI_finish();
	return (Datum) 0;
}

/* reply(inbound_id, body) returns the id of the message */
PG_FUNCTION_INFO_V1(smsflow_pg_reply);
Datum
smsflow_pg_reply(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	Datum values[] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	Datum message_id;
	bool isnull;

	SPI_connect();
	smsflow_spi_plan(&plan,
					 "SELECT smsflow.answer(i.inbound_id, $2, 'conversational', NULL) FROM smsflow.inbound i"
					 " WHERE i.inbound_id = $1 AND i.phone OPERATOR(smsflow.<>) smsflow.nobody()",
					 2, (Oid[]){INT8OID, TEXTOID});
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_SELECT);
	if (SPI_processed == 0)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_UNKNOWN_OBJECT),
						errmsg("inbound message " INT64_FORMAT " does not exist", DatumGetInt64(values[0])),
						errdetail("Only what a customer has sent, and who was not erased since, can be replied to."),
						errhint("See smsflow.inbound.")));
	message_id = smsflow_spi_value(0, 1, &isnull);
	SPI_finish();
	PG_RETURN_DATUM(message_id);
}
