/*
 * send.c - send() and cancel(). Both run inside the store's own transaction,
 * so they append rows and nothing else, and raise errors only for arguments
 * that can never be right: what the gate refuses is a message that says so.
 */
#include "smsflow.h"

#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "core/delivery.h"
#include "core/gsm.h"
#include "core/phone.h"
#include "errcodes.h"
#include "link/link.h"
#include "message/compose.h"
#include "message/media.h"
#include "message/policy.h"
#include "message/send.h"
#include "message/spi.h"
#include "types/types.h"

typedef struct SendCall
{
	int64 phone;
	char *body;
	char *phone_text;
	char *purpose;
	SmsflowPurpose purpose_value;
	char *template;
	Jsonb *vars;
	char *dedup_key;
	TimestampTz send_at;
	Interval *expires_in;
	char *pool;
	char *brand;
	char *subject;       /* NULL: none */
	ArrayType *media;    /* NULL: none */
	NullableDatum links; /* targets, text[] */

	int32 brand_id;
	int64 contact_id;  /* 0: not a contact */
	int32 template_id; /* 0: none */
	char *refusal;     /* NULL: let through */
	TimestampTz expires_at;
	int64 consent_event_id; /* 0: none */
	int64 message_id;
	int32 queue_id;
	SmsflowParts parts;
	SmsflowTextPolicy text_policy;
} SendCall;

static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static SmsflowPurpose
check_purpose(const char *name)
{
	SmsflowPurpose purpose;

	if (name == NULL || !smsflow_purpose_from_name(name, strlen(name), &purpose))
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("unknown purpose \"%s\"", name ? name : "NULL"),
						errhint("The purposes are compliance, otp, transactional, conversational, cart and promotional.")));
	return purpose;
}

static void
refuse_argument(const char *message, const char *hint)
{
	ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("%s", message), errhint("%s", hint)));
}

/* Behind it, what is added to an expiry, such as the time that reports are waited for, might be no instant. */
#define LAST_EXPIRY (END_TIMESTAMP - 366 * USECS_PER_DAY)

static bool
positive(Interval *interval)
{
	Interval zero = {0};

	return DatumGetBool(DirectFunctionCall2(interval_gt, IntervalPGetDatum(interval), IntervalPGetDatum(&zero)));
}

static void
check_call(SendCall *call)
{
	if ((call->body == NULL) == (call->template == NULL))
		refuse_argument("a message needs either a body or a template", "Pass exactly one of body and template.");
	if (!JB_ROOT_IS_OBJECT(call->vars))
		refuse_argument("vars of a message is not a JSON object", "Pass an object such as {\"code\": \"1234\"}.");
	if (call->dedup_key && (call->dedup_key[0] == '\0' || strlen(call->dedup_key) > 255))
		refuse_argument("dedup_key of a message is empty or longer than 255 bytes", "Pass a short key such as an order number.");
	if (call->subject && (call->subject[0] == '\0' || strlen(call->subject) > 255))
		refuse_argument("subject of a message is empty or longer than 255 bytes", "Pass a short name such as \"spring sale\".");
	if (call->send_at != DT_NOBEGIN && TIMESTAMP_NOT_FINITE(call->send_at))
		refuse_argument("send_at of a message is not an instant", "Pass a time, or NULL for at once.");
	if (call->expires_in && !positive(call->expires_in))
		refuse_argument("expires_in of a message is not positive", "Pass an interval such as '2 hours'.");
	if (call->media)
		smsflow_check_media(call->media);
}

static void
read_arguments(FunctionCallInfo fcinfo, SendCall *call)
{
	char *phone = text_argument(fcinfo, 0);

	if (phone == NULL)
		refuse_argument("a message needs a phone number", "Pass the number as +, country code and number.");
	call->phone = smsflow_phone_from_text(phone, strlen(phone), NULL);
	call->body = text_argument(fcinfo, 1);
	call->phone_text = palloc(SMSFLOW_PHONE_BUFSIZE);
	smsflow_phone_format(call->phone, call->phone_text);
	call->purpose = text_argument(fcinfo, 2);
	call->purpose_value = check_purpose(call->purpose);
	call->template = text_argument(fcinfo, 3);
	call->vars = PG_ARGISNULL(4) ? DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"))) : PG_GETARG_JSONB_P(4);
	call->dedup_key = text_argument(fcinfo, 5);
	call->send_at = PG_ARGISNULL(6) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(6);
	call->expires_in = PG_ARGISNULL(7) ? NULL : PG_GETARG_INTERVAL_P(7);
	call->pool = PG_ARGISNULL(8) ? "default" : text_argument(fcinfo, 8);
	call->media = PG_ARGISNULL(9) ? NULL : PG_GETARG_ARRAYTYPE_P(9);
	call->brand = PG_ARGISNULL(10) ? "default" : text_argument(fcinfo, 10);
	call->subject = text_argument(fcinfo, 11);
	check_call(call);
}

/* Brand, contact, template, the gate's word, when the message expires, and the policy of its text. */
static const char resolve_query[] =
	"SELECT b.brand_id, c.contact_id, t.template_id, t.body,"
	" smsflow.final_refusal(smsflow.gate(c.contact_id, $2::smsflow.phone, c.consent, $3::smsflow.purpose, c.region, c.time_zone,"
	"  c.time_zone_source, c.reachability, NULL, $8, NULL, n.kind, n.registration, n.options, GREATEST($6, now()), b.brand_id,"
	"  NULL, NULL, c.suppressed)),"
	" smsflow.contact_vars(c, b.name, $4),"
	" GREATEST($6, now()) + COALESCE($7, smsflow.default_validity($3::smsflow.purpose)),"
	" smsflow.proof(c.proof, $3::smsflow.purpose), COALESCE(p.prefix, ''), COALESCE(p.opt_out_text, ''), "
	"COALESCE(p.smart_encode, false),"
	" p.missing"
	" FROM smsflow.brand b"
	" LEFT JOIN smsflow.contact c ON c.brand_id = b.brand_id AND c.phone = $2::smsflow.phone"
	" LEFT JOIN smsflow.text_policy p ON p.brand_id = b.brand_id AND p.purpose = $3::smsflow.purpose"
	" LEFT JOIN smsflow.sender n ON n.sender_id = smsflow.pool_sender($9, $2::smsflow.phone, c.region,"
	"  COALESCE(c.contact_id, substr($2, 2)::bigint))"
	" LEFT JOIN LATERAL (SELECT t.template_id, t.body FROM smsflow.template t WHERE t.brand_id = b.brand_id AND t.name = $5"
	"  AND smsflow.language_fits(t.language, COALESCE(c.language, '')) >= 0"
	"  ORDER BY smsflow.language_fits(t.language, COALESCE(c.language, '')) DESC LIMIT 1) t ON true"
	" WHERE b.name = $1";

static void
run_resolve(SendCall *call)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID, TEXTOID, TEXTOID, JSONBOID, TEXTOID, TIMESTAMPTZOID, INTERVALOID, TEXTOID, TEXTOID};
	Datum values[] = {
		CStringGetTextDatum(call->brand),
		CStringGetTextDatum(call->phone_text),
		CStringGetTextDatum(call->purpose),
		JsonbPGetDatum(call->vars),
		call->template ? CStringGetTextDatum(call->template) : (Datum) 0,
		TimestampTzGetDatum(call->send_at),
		IntervalPGetDatum(call->expires_in),
		call->subject ? CStringGetTextDatum(call->subject) : (Datum) 0,
		CStringGetTextDatum(call->pool),
	};
	char nulls[] = "         ";

	nulls[4] = call->template ? ' ' : 'n';
	nulls[5] = call->send_at == DT_NOBEGIN ? 'n' : ' ';
	nulls[6] = call->expires_in ? ' ' : 'n';
	nulls[7] = call->subject ? ' ' : 'n';

	smsflow_spi_plan(&plan, resolve_query, lengthof(types), types);
	smsflow_spi_run(plan, values, nulls, false, SPI_OK_SELECT);
}

static char *
row_text(int column)
{
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
}

/* Also chooses the text: the template's when one is named. */
static void
resolve(SendCall *call)
{
	bool isnull;
	bool no_template;

	run_resolve(call);
	if (SPI_processed == 0)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_UNKNOWN_OBJECT), errmsg("unknown brand \"%s\"", call->brand),
						errhint("Leave brand out, or make it with smsflow.create_brand().")));

	call->brand_id = DatumGetInt32(smsflow_spi_value(0, 1, &isnull));
	call->contact_id = DatumGetInt64(smsflow_spi_value(0, 2, &isnull));
	if (isnull)
		call->contact_id = 0;
	call->template_id = DatumGetInt32(smsflow_spi_value(0, 3, &no_template));
	if (no_template)
		call->template_id = 0;
	if (call->template && no_template)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_UNKNOWN_OBJECT), errmsg("unknown template \"%s\"", call->template),
						errhint("Make it with smsflow.set_template().")));
	if (call->template)
		call->body = row_text(4);
	call->refusal = row_text(5);
	call->vars = DatumGetJsonbPCopy(smsflow_spi_value(0, 6, &isnull));
	call->expires_at = DatumGetTimestampTz(smsflow_spi_value(0, 7, &isnull));
	if (call->expires_at >= LAST_EXPIRY)
		refuse_argument("a message would expire too far ahead", "Pass an earlier send_at, or a shorter expires_in.");
	call->consent_event_id = DatumGetInt64(smsflow_spi_value(0, 8, &isnull));
	if (isnull)
		call->consent_event_id = 0;
	call->text_policy = (SmsflowTextPolicy){row_text(9), row_text(10), DatumGetBool(smsflow_spi_value(0, 11, &isnull)),
											smsflow_missing_from_name(row_text(12))};
}

static void
refuse_missing(const char *missing)
{
	ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_TEMPLATE), errmsg("template variable \"%s\" has no value", missing),
					errhint("Pass it in vars, or write a default: {{%s|text}}.", missing)));
}

static void
refuse_length(int parts)
{
	ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("message of %d parts is too long", parts),
					errdetail("The rule max_parts of smsflow.policy_rule allows fewer."),
					errhint("smsflow.message_parts() counts the parts of a text.")));
}

/* A body without variables is sent as it is, braces and all other text kept. */
static void
render(SendCall *call)
{
	SmsflowLinkDomain domain = {.context = CurrentMemoryContext};
	const SmsflowComposer composer = {call->brand, call->purpose_value, call->text_policy, &domain};
	const SmsflowVariables vars = smsflow_jsonb_variables(call->vars);
	bool may_skip = call->text_policy.missing == MISSING_SKIP || call->text_policy.missing == MISSING_BLANK;
	SmsflowText written;

	call->body = unconstify(char *, smsflow_dress(&call->text_policy, call->brand, call->body));
	smsflow_compose(&composer, call->body, &vars, &written);
	if (written.body == NULL && !may_skip)
		refuse_missing(written.missing);
	if (written.body != NULL && written.parts.parts == 0 && !may_skip)
		refuse_argument("a message body is empty", "Write at least one character.");
	if (written.refusal && strcmp(written.refusal, "too_long") == 0)
		refuse_length(written.parts.parts);
	if (written.body != NULL)
		call->body = written.body;
	call->links = written.links;
	call->parts = written.parts;
	if (written.refusal && call->refusal == NULL)
		call->refusal = pstrdup(written.refusal);
}

/* Returns false when an earlier call with the same key made the message. */
static bool
claim_dedup_key(SendCall *call)
{
	static SPIPlanPtr insert_plan = NULL;
	static SPIPlanPtr find_plan = NULL;
	Oid types[] = {INT4OID, TEXTOID, INT8OID};
	Datum values[] = {Int32GetDatum(call->brand_id), (Datum) 0, Int64GetDatum(call->message_id)};
	bool isnull;

	if (call->dedup_key == NULL)
		return true;
	values[1] = CStringGetTextDatum(call->dedup_key);
	smsflow_spi_plan(&insert_plan,
					 "INSERT INTO smsflow.dedup (brand_id, dedup_key, message_id) VALUES ($1, $2, $3)"
					 " ON CONFLICT DO NOTHING",
					 3, types);
	smsflow_spi_run(insert_plan, values, NULL, false, SPI_OK_INSERT);
	if (SPI_processed == 1)
		return true;
	smsflow_spi_plan(&find_plan, "SELECT message_id FROM smsflow.dedup WHERE brand_id = $1 AND dedup_key = $2", 2, types);
	smsflow_spi_run(find_plan, values, NULL, false, SPI_OK_SELECT);
	if (SPI_processed == 0)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE), errmsg("dedup_key was used by a concurrent transaction"),
						errhint("Try the transaction again.")));
	call->message_id = DatumGetInt64(smsflow_spi_value(0, 1, &isnull));
	return false;
}

/* Messages may wait for a first sender, but not for a misspelt pool. */
static void
check_pool(SendCall *call)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(call->pool)};

	if (strcmp(call->pool, "default") == 0)
		return;
	smsflow_spi_plan(&plan, "SELECT FROM smsflow.sender WHERE pool = $1 LIMIT 1", 1, types);
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_SELECT);
	if (SPI_processed == 0)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_UNKNOWN_OBJECT), errmsg("no sender is in pool \"%s\"", call->pool),
						errhint("Add one with smsflow.add_sender(..., pool => ...), or leave pool out.")));
}

static void
choose_queue(SendCall *call)
{
	int16 lane = call->purpose_value <= SMSFLOW_PURPOSE_OTP ? 0 : call->purpose_value - 1;
	int64 spread = call->contact_id ? call->contact_id : call->phone;
	int count;
	int32 *queues;

	if (call->refusal)
		return;
	check_pool(call);
	queues = smsflow_queues(lane, "direct", call->pool, &count);
	if (call->media)
		count = smsflow_keep_media_queues(queues, count);
	call->queue_id = queues[spread % count];
}

static const char append_query[] =
	"INSERT INTO smsflow.outbox (message_id, due_at, expires_at, contact_id, recipient, queue_id, brand_id, template_id,"
	" purpose, parts, unicode, refusal, body, dedup_key, consent_event_id, subject, media_urls, links)"
	" VALUES ($1, $2, $3, $4, $5::smsflow.phone, $6, $7, $8, $9::smsflow.purpose, $10, $11, $12, $13, $14, $15, $16, $17, $18)";

static void
append_message(SendCall *call)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, TEXTOID, INT4OID, INT4OID, INT4OID,      TEXTOID,
				   INT2OID, BOOLOID,        TEXTOID,        TEXTOID, TEXTOID, INT8OID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID};
	Datum values[] = {
		Int64GetDatum(call->message_id),
		TimestampTzGetDatum(call->send_at),
		TimestampTzGetDatum(call->expires_at),
		Int64GetDatum(call->contact_id),
		CStringGetTextDatum(call->phone_text),
		Int32GetDatum(call->queue_id),
		Int32GetDatum(call->brand_id),
		Int32GetDatum(call->template_id),
		CStringGetTextDatum(call->purpose),
		Int16GetDatum((int16) call->parts.parts),
		BoolGetDatum(call->parts.encoding == SMSFLOW_UCS2),
		call->refusal ? CStringGetTextDatum(call->refusal) : (Datum) 0,
		CStringGetTextDatum(call->body),
		call->dedup_key ? CStringGetTextDatum(call->dedup_key) : (Datum) 0,
		Int64GetDatum(call->consent_event_id),
		call->subject ? CStringGetTextDatum(call->subject) : (Datum) 0,
		PointerGetDatum(call->media),
		call->links.value,
	};
	char nulls[] = "                  ";

	nulls[1] = call->send_at == DT_NOBEGIN ? 'n' : ' ';
	nulls[3] = call->contact_id ? ' ' : 'n';
	nulls[7] = call->template_id ? ' ' : 'n';
	nulls[11] = call->refusal ? ' ' : 'n';
	nulls[13] = call->dedup_key ? ' ' : 'n';
	nulls[14] = call->consent_event_id ? ' ' : 'n';
	nulls[15] = call->subject ? ' ' : 'n';
	nulls[16] = call->media ? ' ' : 'n';
	nulls[17] = call->links.isnull ? 'n' : ' ';
	smsflow_spi_plan(&plan, append_query, lengthof(types), types);
	smsflow_spi_run(plan, values, nulls, false, SPI_OK_INSERT);
}

static void
append_metrics(SendCall *call)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID, TEXTOID, INT4OID, BOOLOID};
	Datum values[] = {
		Int32GetDatum(call->brand_id),
		CStringGetTextDatum(call->purpose),
		Int32GetDatum(call->parts.parts),
		BoolGetDatum(call->refusal != NULL),
	};

	smsflow_spi_plan(
		&plan,
		"INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose, measure, value)"
		" SELECT date_trunc('hour', clock_timestamp(), 'UTC'), $1, 0, 0, 0, 0, $2::smsflow.purpose, m.measure, m.value"
		" FROM (VALUES ('recipients', 1), (CASE WHEN $4 THEN 'suppressed' ELSE 'queued' END, 1),"
		"  ('parts', CASE WHEN $4 THEN 0 ELSE $3 END)) AS m (measure, value) WHERE m.value <> 0",
		lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_INSERT);
}

PG_FUNCTION_INFO_V1(smsflow_send);
Datum
smsflow_send(PG_FUNCTION_ARGS)
{
	SendCall call = {0};

	SPI_connect();
	read_arguments(fcinfo, &call);
	resolve(&call);
	render(&call);
	call.message_id = smsflow_take_message_id();
	if (claim_dedup_key(&call))
	{
		choose_queue(&call);
		if (!call.links.isnull)
			(void) smsflow_put_codes(call.body, smsflow_link_key(), call.message_id);
		append_message(&call);
		append_metrics(&call);
		if (call.refusal == NULL)
			smsflow_note_enqueued(call.queue_id);
	}
	SPI_finish();
	PG_RETURN_INT64(call.message_id);
}

/*
 * The revocation is appended whenever the message is not final: whether it
 * came in time is seen from the status. What the worker has claimed but not
 * started is stopped through the ring.
 */
PG_FUNCTION_INFO_V1(smsflow_cancel);
Datum
smsflow_cancel(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr find_plan = NULL;
	static SPIPlanPtr revoke_plan = NULL;
	Oid types[] = {INT8OID};
	Datum values[] = {PG_GETARG_DATUM(0)};
	SmsflowStatus status;
	char *name;

	SPI_connect();
	smsflow_spi_plan(&find_plan, "SELECT status FROM smsflow.message_state WHERE message_id = $1", 1, types);
	smsflow_spi_run(find_plan, values, NULL, false, SPI_OK_SELECT);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(SMSFLOW_ERRCODE_UNKNOWN_OBJECT), errmsg("message %lld does not exist", (long long) PG_GETARG_INT64(0)),
				 errhint("Use an id that smsflow.send() returned in a committed transaction.")));
	name = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (!smsflow_status_from_name(name, &status))
		elog(ERROR, "unknown status \"%s\"", name);
	if (smsflow_status_is_pending(status) || status == STATUS_IN_DOUBT)
	{
		smsflow_spi_plan(&revoke_plan,
						 "INSERT INTO smsflow.revocation (kind, target_id, reason) SELECT 'message', $1, 'cancelled'"
						 " WHERE NOT EXISTS (SELECT FROM smsflow.revocation WHERE kind = 'message' AND target_id = $1)",
						 1, types);
		smsflow_spi_run(revoke_plan, values, NULL, false, SPI_OK_INSERT);
		smsflow_note_revocation(SMSFLOW_REVOKE_MESSAGE, PG_GETARG_INT64(0));
	}
	SPI_finish();
	PG_RETURN_BOOL(status == STATUS_CANCELLED || (smsflow_status_is_pending(status) && status != STATUS_SENDING));
}
