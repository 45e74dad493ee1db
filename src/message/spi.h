/*
 * spi.h - small helpers around SPI: a plan kept for the life of the session,
 * and values of the first row read by column number.
 *
 * A kept plan may be made while a table is still empty, when reading all of it
 * looks best. The SQL functions that run often therefore set enable_seqscan to
 * off (their statements read single rows, by index) and jit to off, which the
 * price of a scan that is off would start.
 */
#ifndef SMSFLOW_SPI_H
#define SMSFLOW_SPI_H

#include "postgres.h"

#include "executor/spi.h"

/*
 * Prepares query once and keeps it in *plan. Raises an error when it cannot be
 * prepared; *plan then stays NULL.
 */
static inline SPIPlanPtr
smsflow_spi_plan(SPIPlanPtr *plan, const char *query, int nargs, Oid *types)
{
	if (*plan == NULL)
	{
		SPIPlanPtr made = SPI_prepare(query, nargs, types);

		if (made == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		if (SPI_keepplan(made) != 0)
			elog(ERROR, "SPI_keepplan failed");
		*plan = made;
	}
	return *plan;
}

/* Runs a kept plan and insists on the result code. */
static inline void
smsflow_spi_run(SPIPlanPtr plan, Datum *values, const char *nulls, bool read_only, int expected)
{
	int code = SPI_execute_plan(plan, values, nulls, read_only, 0);

	if (code != expected)
		elog(ERROR, "unexpected SPI result: %s", SPI_result_code_string(code));
}

static inline Datum
smsflow_spi_value(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

#endif
