/*
 * condition.c - SQL conditions of sequences: who is admitted, who goes which
 * way. As with segments, a condition runs with the rights of the role that
 * wrote it, read only. One that fails disables its own sequence, with the
 * error kept in it, and nothing else.
 */
#include "../compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "../contact/contact.h"
#include "../errcodes.h"
#include "../segment/guarded.h"
#include "../segment/segment.h"
#include "../smsflow.h"

PG_FUNCTION_INFO_V1(smsflow_check_condition);
PG_FUNCTION_INFO_V1(smsflow_holds);

/* What a condition sees. $1 to $5 are the enrolments, column by column. */
#define CONDITION_QUERY                                                                                                          \
	"SELECT coalesce(pg_catalog.array_agg(entry.enrollment_id), '{}') FROM unnest($1, $2, $3, $4, $5)"                           \
	" AS entry (enrollment_id, entry_contact, ref, data, started_at)"                                                            \
	" JOIN smsflow.profile ON profile.contact_id = entry.entry_contact WHERE (\n%s\n)"

static Oid condition_types[] = {INT8ARRAYOID, INT8ARRAYOID, TEXTARRAYOID, JSONBARRAYOID, TIMESTAMPTZARRAYOID};

static SmsflowStatement read_enrollments = {.sql = "SELECT array_agg(n.enrollment_id), array_agg(n.contact_id), "
												   "array_agg(n.ref), array_agg(n.data), array_agg(n.started_at)"
												   " FROM smsflow.enrollment n WHERE n.enrollment_id = ANY ($1)",
											.nargs = 1,
											.types = (const Oid[]){INT8ARRAYOID}};

static SmsflowStatement stop_sequence =
	{.sql = "UPDATE smsflow.sequence SET enabled = false, error = pg_catalog.left($2, 500) WHERE sequence_id = $1",
	 .nargs = 2,
	 .types = (const Oid[]){INT4OID, TEXTOID}};

/* One evaluation. */
typedef struct Evaluation
{
	const char *condition;
	Oid role;
	Datum columns[lengthof(condition_types)];
	const char *nulls;
	Datum result; /* bigint[], valid until SPI_finish() */
} Evaluation;

static void
evaluate(void *argument)
{
	Evaluation *evaluation = argument;
	SmsflowIdentity before;

	smsflow_as_role(evaluation->role, &before);
	if (SPI_execute_with_args(psprintf(CONDITION_QUERY, evaluation->condition), lengthof(condition_types), condition_types,
							  evaluation->columns, evaluation->nulls, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not evaluate a condition");
	smsflow_as_before(&before);
	evaluation->result = smsflow_result(1).value;
}

static void
try_condition(void *argument)
{
	Evaluation *evaluation = argument;

	smsflow_require_expression(evaluation->condition);
	evaluate(evaluation);
}

/* check_condition(condition, role): also reads what it names, without a row, so that a missing right shows at once */
Datum
smsflow_check_condition(PG_FUNCTION_ARGS)
{
	Evaluation evaluation = {.condition = text_to_cstring(PG_GETARG_TEXT_PP(0)), .role = PG_GETARG_OID(1), .nulls = "nnnnn"};
	ErrorData *error;

	SPI_connect();
	error = smsflow_guarded(try_condition, &evaluation, smsflow_predicate_timeout);
	SPI_finish();
	if (error == NULL)
		PG_RETURN_VOID();
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	ereport(ERROR,
			(errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("the condition cannot be used"),
			 errdetail("%s", error->message ? error->message : "It fails."),
			 errhint("It sees the columns of smsflow.profile, and ref, data and started_at; other tables need their schema.")));
}

static void
give_up(int32 sequence_id, const ErrorData *error)
{
	NullableDatum args[] = {smsflow_value(Int32GetDatum(sequence_id)),
							smsflow_value(CStringGetTextDatum(error->message ? error->message : "a condition failed"))};

	smsflow_execute(&stop_sequence, args);
	smsflow_note_config();
}

/* holds(sequence_id, role, condition, enrollment_ids) returns bigint[] */
Datum
smsflow_holds(PG_FUNCTION_ARGS)
{
	Evaluation evaluation = {.role = PG_GETARG_OID(1), .condition = text_to_cstring(PG_GETARG_TEXT_PP(2))};
	ErrorData *error;
	Datum result = (Datum) 0;

	SPI_connect();
	smsflow_execute(&read_enrollments, (NullableDatum[]){smsflow_value(PG_GETARG_DATUM(3))});
	for (int i = 0; i < (int) lengthof(condition_types); i++)
	{
		NullableDatum column = smsflow_result(i + 1);

		evaluation.columns[i] =
			column.isnull ? PointerGetDatum(construct_empty_array(get_element_type(condition_types[i]))) : column.value;
	}
	error = smsflow_guarded(evaluate, &evaluation, smsflow_predicate_timeout);
	if (error == NULL)
		result = SPI_datumTransfer(evaluation.result, false, -1);
	else if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION ||
			 ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK)
		ReThrowError(error);
	else
		give_up(PG_GETARG_INT32(0), error);
	SPI_finish();
	if (error != NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}
