/*
 * statement.c - statements that are planned once and kept.
 */
#include "contact/contact.h"

#include "utils/builtins.h"

#include "message/spi.h"

/* prepare_generic prepares a statement whose plan does not depend on its parameters. */
static void
prepare_generic(SmsflowStatement *statement)
{
	SPIPlanPtr plan =
		SPI_prepare_cursor(statement->sql, statement->nargs, unconstify(Oid *, statement->types), CURSOR_OPT_GENERIC_PLAN);

	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare statement: %s", SPI_result_code_string(SPI_result));
	statement->plan = plan;
}

uint64
smsflow_execute(SmsflowStatement *statement, const NullableDatum *args)
{
	Datum values[FUNC_MAX_ARGS];
	char nulls[FUNC_MAX_ARGS];

	if (statement->plan == NULL && statement->generic)
		prepare_generic(statement);
	smsflow_spi_plan(&statement->plan, statement->sql, statement->nargs, unconstify(Oid *, statement->types));
	for (int i = 0; i < statement->nargs; i++)
	{
		values[i] = args[i].value;
		nulls[i] = args[i].isnull ? 'n' : ' ';
	}
	if (SPI_execute_plan(statement->plan, values, nulls, false, 0) < 0)
		elog(ERROR, "could not execute statement");
	return SPI_processed;
}

NullableDatum
smsflow_result(int column)
{
	NullableDatum result;

	result.value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &result.isnull);
	return result;
}
