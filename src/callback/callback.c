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
#include "core/phone.h"
#include "callback/fields.h"
#include "errcodes.h"
#include "gateway/secret.h"
#include "message/spi.h"

#define HTTP_OK 200
#define HTTP_BAD_REQUEST 400
#define HTTP_FORBIDDEN 403
#define HTTP_NOT_FOUND 404
#define HTTP_BAD_METHOD 405

#define ARGUMENTS 6

typedef struct Gateway
{
	int32 id;
	char *name;
	Jsonb *inbound; /* profile: where a reply keeps what */
	SmsflowTextField text;
} Gateway;

typedef struct Request
{
	const char *gateway;
	const char *method;
	const char *path;
	const char *query;
	Jsonb *headers;
	const char *body;
	size_t body_len;
} Request;

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
	Datum *gateway_id;
	Datum *message_id;
	Datum *attempt;
	Datum *fields;
} Reports;

typedef struct Receiver
{
	char *key; /* NULL: no URL of ours exists */
	int gateways;
	Gateway *gateway;
	Reports reports;
} Receiver;

/* ---- gateways ---- */

static char *
text_at(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

static void
load_gateways(Receiver *receiver)
{
	static SPIPlanPtr plan = NULL;

	smsflow_spi_plan(&plan,
					 "SELECT g.gateway_id, g.name, p.inbound, p.inbound ->> 'body', p.inbound ->> 'charset'"
					 " FROM smsflow.gateway g JOIN smsflow.gateway_profile p USING (profile)",
					 0, NULL);
	smsflow_spi_run(plan, NULL, NULL, true, SPI_OK_SELECT);
	receiver->gateways = (int) SPI_processed;
	receiver->gateway = palloc(Max(SPI_processed, 1) * sizeof(Gateway));
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		Gateway *gateway = &receiver->gateway[row];
		bool isnull;

		gateway->id = DatumGetInt32(smsflow_spi_value(row, 1, &isnull));
		gateway->name = text_at(row, 2);
		gateway->inbound = DatumGetJsonbPCopy(smsflow_spi_value(row, 3, &isnull));
		gateway->text = (SmsflowTextField){text_at(row, 4), text_at(row, 5)};
	}
}

static Gateway *
find_gateway(Receiver *receiver, const char *name)
{
	for (int i = 0; i < receiver->gateways; i++)
		if (strcmp(receiver->gateway[i].name, name) == 0)
			return &receiver->gateway[i];
	return NULL;
}

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
make_room(Reports *reports, int most)
{
	reports->gateway_id = palloc(most * sizeof(Datum));
	reports->message_id = palloc(most * sizeof(Datum));
	reports->attempt = palloc(most * sizeof(Datum));
	reports->fields = palloc(most * sizeof(Datum));
}

static void
keep_report(Reports *reports, const Gateway *gateway, const Token *token, Jsonb *fields)
{
	int n = reports->count++;

	reports->gateway_id[n] = Int32GetDatum(gateway->id);
	reports->message_id[n] = Int64GetDatum(token->message_id);
	reports->attempt[n] = Int16GetDatum(token->attempt);
	reports->fields[n] = JsonbPGetDatum(fields);
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

/* ---- replies ---- */

/* What each action of classify_reply() does; see callback.sql. */
static struct
{
	const char *action;
	const char *query;
	SPIPlanPtr plan;
} effects[] = {
	{"opt_out", "SELECT smsflow.obey_opt_out($1)", NULL}, {"review", "SELECT smsflow.obey_review($1)", NULL},
	{"opt_in", "SELECT smsflow.obey_opt_in($1)", NULL},   {"confirm", "SELECT smsflow.obey_confirm($1)", NULL},
	{"help", "SELECT smsflow.obey_help($1)", NULL},       {"none", "SELECT smsflow.credit_reply($1)", NULL},
};

static void
obey(const char *action, Datum inbound_id)
{
	for (int i = 0; i < (int) lengthof(effects); i++)
		if (strcmp(effects[i].action, action) == 0)
		{
			smsflow_spi_plan(&effects[i].plan, effects[i].query, 1, (Oid[]){INT8OID});
			smsflow_spi_run(effects[i].plan, &inbound_id, NULL, false, SPI_OK_SELECT);
			return;
		}
	elog(ERROR, "unknown action of a reply: %s", action);
}

/* Gateways write international numbers with and without the plus. */
static bool
read_sender(const char *text, char phone[SMSFLOW_PHONE_BUFSIZE])
{
	int64 number;
	const char *international;

	if (text == NULL)
		return false;
	text += strspn(text, " ");
	international = text[0] == '+' ? text : psprintf("+%s", text);
	if (smsflow_phone_parse(international, strlen(international), &number) != PHONE_OK)
		return false;
	smsflow_phone_format(number, phone);
	return true;
}

/* Picks a reply's parts by the profile's paths. */
static void
pick_parts(const Gateway *gateway, Jsonb *fields, char *parts[4])
{
	static SPIPlanPtr plan = NULL;
	Datum values[] = {JsonbPGetDatum(fields), JsonbPGetDatum(gateway->inbound)};

	smsflow_spi_plan(&plan,
					 "SELECT $1 #>> string_to_array($2 ->> 'from', '.'), $1 #>> string_to_array($2 ->> 'to', '.'),"
					 " $1 #>> string_to_array($2 ->> 'body', '.'), $1 #>> string_to_array($2 ->> 'id', '.')",
					 2, (Oid[]){JSONBOID, JSONBOID});
	smsflow_spi_run(plan, values, NULL, true, SPI_OK_SELECT);
	for (int i = 0; i < 4; i++)
		parts[i] = text_at(0, i + 1);
}

static int
take_reply(const Gateway *gateway, Jsonb *fields)
{
	static SPIPlanPtr plan = NULL;
	char phone[SMSFLOW_PHONE_BUFSIZE];
	char *parts[4];
	Datum values[5];
	char nulls[] = "     ";
	bool isnull;

	pick_parts(gateway, fields, parts);
	if (!read_sender(parts[0], phone))
		return HTTP_BAD_REQUEST;
	values[0] = Int32GetDatum(gateway->id);
	values[1] = CStringGetTextDatum(phone);
	for (int i = 1; i < 4; i++)
	{
		nulls[i + 1] = parts[i] ? ' ' : 'n';
		values[i + 1] = parts[i] ? CStringGetTextDatum(parts[i]) : (Datum) 0;
	}
	smsflow_spi_plan(&plan, "SELECT inbound_id, action FROM smsflow.store_reply($1, $2, $3, $4, $5)", 5,
					 (Oid[]){INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID});
	smsflow_spi_run(plan, values, nulls, false, SPI_OK_SELECT);
	/* No row: the gateway has sent this one before. */
	if (SPI_processed > 0)
		obey(text_at(0, 2), smsflow_spi_value(0, 1, &isnull));
	return HTTP_OK;
}

/* ---- requests ---- */

static int
take(Receiver *receiver, const Request *request)
{
	Token token = {0};
	Gateway *gateway;
	Jsonb *fields;

	if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "POST") != 0)
		return HTTP_BAD_METHOD;
	gateway = find_gateway(receiver, request->gateway);
	if (gateway == NULL || !read_path(request->path, request->gateway, &token))
		return HTTP_NOT_FOUND;
	if (!is_genuine(receiver, &token))
		return HTTP_FORBIDDEN;
	fields = smsflow_fields(request->query, request->headers, request->body, request->body_len,
							token.is_report ? NULL : &gateway->text);
	if (fields == NULL)
		return HTTP_BAD_REQUEST;
	if (!token.is_report)
		return take_reply(gateway, fields);
	keep_report(&receiver->reports, gateway, &token, fields);
	return HTTP_OK;
}

/* Answers each request by a status; SPI is connected. */
static void
take_all(const Request *requests, int count, int *statuses)
{
	Receiver receiver = {0};

	receiver.key = smsflow_callback_key();
	load_gateways(&receiver);
	make_room(&receiver.reports, Max(count, 1));
	for (int i = 0; i < count; i++)
		statuses[i] = take(&receiver, &requests[i]);
	append_reports(&receiver.reports);
}

static const char *
text_or_empty(Datum value, bool isnull)
{
	return isnull ? "" : TextDatumGetCString(value);
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
	return request;
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
	int status;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	for (int i = 0; i < ARGUMENTS; i++)
	{
		arguments[i] = PG_GETARG_DATUM(i);
		missing[i] = PG_ARGISNULL(i);
	}
	request = request_of(arguments, missing);
	SPI_connect();
	take_all(&request, 1, &status);
	SPI_finish();
	values[0] = Int32GetDatum(status);
	values[1] = CStringGetTextDatum("text/plain");
	values[2] = CStringGetTextDatum("");
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
	int *statuses = palloc(Max(columns.count, 1) * sizeof(int));
	Datum values[4];
	bool nulls[4] = {false, false, false, false};

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < columns.count; i++)
		requests[i] = request_in(&columns, i);
	SPI_connect();
	take_all(requests, columns.count, statuses);
	SPI_finish();
	values[2] = CStringGetTextDatum("text/plain");
	values[3] = CStringGetTextDatum("");
	for (int i = 0; i < columns.count; i++)
	{
		values[0] = Int32GetDatum(i + 1);
		values[1] = Int32GetDatum(statuses[i]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
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
					 " WHERE i.inbound_id = $1",
					 2, (Oid[]){INT8OID, TEXTOID});
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_SELECT);
	if (SPI_processed == 0)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_UNKNOWN_OBJECT),
						errmsg("inbound message " INT64_FORMAT " does not exist", DatumGetInt64(values[0])),
						errdetail("Only what a customer has sent can be replied to."), errhint("See smsflow.inbound.")));
	message_id = smsflow_spi_value(0, 1, &isnull);
	SPI_finish();
	PG_RETURN_DATUM(message_id);
}
