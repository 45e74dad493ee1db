/*
 * statement.c - statements that are planned once and kept, and the brand that most of them need.
 */
#include "contact/contact.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "errcodes.h"
#include "message/spi.h"

static SmsflowStatement find_brand = {.sql = "SELECT brand_id FROM smsflow.brand WHERE name = $1",
									  .nargs = 1,
									  .types = (const Oid[]){TEXTOID}};

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

int32
smsflow_brand_id(const char *name)
{
	const NullableDatum args[] = {smsflow_value(CStringGetTextDatum(name))};

	if (smsflow_execute(&find_brand, args) == 0)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_UNKNOWN_OBJECT), errmsg("brand \"%s\" does not exist", name),
						errdetail("Contacts, consent and campaigns belong to a brand."),
						errhint("Create it with smsflow.create_brand(), or leave the argument out.")));
	return DatumGetInt32(smsflow_result(1).value);
}
