/*
 * statistics.c - SQL functions over core/statistics.
 */
#include "smsflow.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "core/statistics.h"
#include "errcodes.h"

static SmsflowRate
make_rate(int64 successes, int64 trials)
{
	if (successes < 0 || successes > trials)
		ereport(ERROR, errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT),
				errmsg("%lld of %lld is not a rate", (long long) successes, (long long) trials),
				errdetail("Successes are between 0 and the number of trials."),
				errhint("Give how often something happened first, then how often it could have."));
	return (SmsflowRate){successes, trials};
}

/* two_proportions(successes_a, trials_a, successes_b, trials_b bigint) returns double precision */
PG_FUNCTION_INFO_V1(smsflow_pg_two_proportions);
Datum
smsflow_pg_two_proportions(PG_FUNCTION_ARGS)
{
	SmsflowRate a = make_rate(PG_GETARG_INT64(0), PG_GETARG_INT64(1));
	SmsflowRate b = make_rate(PG_GETARG_INT64(2), PG_GETARG_INT64(3));

	PG_RETURN_FLOAT8(smsflow_two_proportions(a, b));
}

static Datum *
read_counts(ArrayType *array, int *count)
{
	Datum *counts;

	if (array_contains_nulls(array))
		ereport(ERROR, errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("a count is null"), errhint("Use coalesce(count, 0)."));
	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &counts, NULL, count);
	return counts;
}

/* probability_best(successes, trials bigint[]) returns double precision[] */
PG_FUNCTION_INFO_V1(smsflow_pg_probability_best);
Datum
smsflow_pg_probability_best(PG_FUNCTION_ARGS)
{
	int count;
	int trial_count;
	Datum *successes = read_counts(PG_GETARG_ARRAYTYPE_P(0), &count);
	Datum *trials = read_counts(PG_GETARG_ARRAYTYPE_P(1), &trial_count);
	SmsflowRate rates[SMSFLOW_RATES_MAX];
	double best[SMSFLOW_RATES_MAX];
	Datum results[SMSFLOW_RATES_MAX];
	bool untried[SMSFLOW_RATES_MAX];
	int tried = 0;

	if (count != trial_count || count < 1 || count > SMSFLOW_RATES_MAX)
		ereport(ERROR, errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT),
				errmsg("there are %d counts of successes and %d of trials", count, trial_count),
				errdetail("There must be as many of both, 1 to %d.", SMSFLOW_RATES_MAX),
				errhint("Give one of each for each variant."));
	for (int i = 0; i < count; i++)
	{
		rates[tried] = make_rate(DatumGetInt64(successes[i]), DatumGetInt64(trials[i]));
		untried[i] = rates[tried].trials == 0;
		tried += !untried[i];
	}
	smsflow_probability_best(rates, tried, best);
	for (int i = count; --i >= 0;)
		results[i] = Float8GetDatum(untried[i] ? 0 : best[--tried]);
	PG_RETURN_ARRAYTYPE_P(
		construct_md_array(results, untried, 1, &count, &(int){1}, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
