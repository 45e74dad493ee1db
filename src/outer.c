/*
 * outer.c - functions for users whose work is done in SQL or PL/pgSQL.
 *
 * An error about a call must say what is wrong with it, and nothing about how the work is done: PostgreSQL would add lines
 * of CONTEXT with our functions and their statements. So what users call is a function in C, smsflow.f(), which calls
 * smsflow.f_inside() of the same arguments. Our own errors (class SF) come out bare; others, which nobody expects, keep
 * their context. Nobody is granted the inner function: it is not called by name.
 */
#include "smsflow.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

void
smsflow_rethrow_bare(MemoryContext context)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == MAKE_SQLSTATE('S', 'F', '0', '0', '0'))
		error->context = NULL;
	ReThrowError(error);
}

static FmgrInfo *
find_inner(const FmgrInfo *outer)
{
	FmgrInfo *inner = MemoryContextAlloc(outer->fn_mcxt, sizeof(FmgrInfo));
	char *name = psprintf("%s_inside", get_func_name(outer->fn_oid));
	Oid *types;
	int count;

	(void) get_func_signature(outer->fn_oid, &types, &count);
	fmgr_info_cxt(LookupFuncName(list_make2(makeString(SMSFLOW_SCHEMA), makeString(name)), count, types, false), inner,
				  outer->fn_mcxt);
	return inner;
}

PG_FUNCTION_INFO_V1(smsflow_outer);
Datum
smsflow_outer(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	Datum result = (Datum) 0;
	LOCAL_FCINFO(call, FUNC_MAX_ARGS);

	if (fcinfo->flinfo->fn_extra == NULL)
		fcinfo->flinfo->fn_extra = find_inner(fcinfo->flinfo);
	InitFunctionCallInfoData(*call, fcinfo->flinfo->fn_extra, fcinfo->nargs, fcinfo->fncollation, NULL, NULL);
	memcpy(call->args, fcinfo->args, sizeof(NullableDatum) * fcinfo->nargs);
	PG_TRY();
	{
		result = FunctionCallInvoke(call);
	}
	PG_CATCH();
	{
		smsflow_rethrow_bare(context);
	}
	PG_END_TRY();
	fcinfo->isnull = call->isnull;
	return result;
}
