/*
 * ask.c - what an application may ask about a person: what was agreed to, and whether a message may go. The work is
 * done in SQL; the arguments are read here, so that an error in one of them says that and nothing about our insides.
 */
#include "contact/contact.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"

static SmsflowStatement read_ledger =
	{.sql = "SELECT smsflow.ledger_at((SELECT contact_id FROM smsflow.contact"
			" WHERE brand_id = $1 AND phone OPERATOR(smsflow.=) smsflow.parse_phone($2)), $3)::text",
	 .nargs = 3,
	 .types = (const Oid[]){INT4OID, TEXTOID, TIMESTAMPTZOID}};

static SmsflowStatement decide = {.sql = "SELECT allowed, reason, retry_at FROM smsflow.decide_send($1, smsflow.parse_phone($2), "
										 "$3::smsflow.purpose, $4, $5, $6)",
								  .nargs = 6,
								  .types = (const Oid[]){INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID}};

/* consent_at(phone, at, brand) returns text */
PG_FUNCTION_INFO_V1(smsflow_pg_consent_at);
Datum
smsflow_pg_consent_at(PG_FUNCTION_ARGS)
{
	NullableDatum args[] = {{0, true}, smsflow_phone_argument(fcinfo, 0), fcinfo->args[1]};
	NullableDatum consent;

	SPI_connect();
	args[0] = smsflow_value(Int32GetDatum(smsflow_brand_argument(fcinfo, 2)));
	smsflow_execute(&read_ledger, args);
	consent = smsflow_result(1);
	if (!consent.isnull)
		consent.value = SPI_datumTransfer(consent.value, false, -1);
	SPI_finish();
	fcinfo->isnull = consent.isnull;
	return consent.value;
}

/* can_send(phone, purpose, at, brand, subject, pool) returns (allowed, reason, retry_at) */
PG_FUNCTION_INFO_V1(smsflow_pg_can_send);
Datum
smsflow_pg_can_send(PG_FUNCTION_ARGS)
{
	NullableDatum args[] = {{0, true},
							smsflow_phone_argument(fcinfo, 0),
							smsflow_purpose_argument(fcinfo, 1),
							fcinfo->args[2],
							fcinfo->args[4],
							fcinfo->args[5]};
	TupleDesc columns;
	HeapTupleHeader answer;

	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "can_send() does not return a row");
	SPI_connect();
	args[0] = smsflow_value(Int32GetDatum(smsflow_brand_argument(fcinfo, 3)));
	smsflow_execute(&decide, args);
	answer = SPI_returntuple(SPI_tuptable->vals[0], BlessTupleDesc(columns));
	SPI_finish();
	PG_RETURN_HEAPTUPLEHEADER(answer);
}
