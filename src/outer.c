/*
 * outer.c - functions for users whose work is done in SQL or PL/pgSQL.
 *
 * An error about a call must say what is wrong with it, and nothing about how the work is done: PostgreSQL would add lines
 * of CONTEXT with our functions and their statements. So what users call is a function in C, smsflow.f(), which calls
 * smsflow.f_inside() of the same arguments. Our own errors (class SF) come out bare; others, which nobody expects, keep
 * their context. Nobody is granted the inner function: it is not called by name.
 *
 * What does its work in PL/pgSQL itself refuses with smsflow.refuse(), whose errors come out bare, too.
 */
#include "smsflow.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
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

static const char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* refuse(code text, message text, detail text, hint text): the SQLSTATE has five characters, detail and hint may be null. */
PG_FUNCTION_INFO_V1(smsflow_refuse);
Datum
smsflow_refuse(PG_FUNCTION_ARGS)
{
	const char *code = text_argument(fcinfo, 0);
	const char *message = text_argument(fcinfo, 1);
	const char *detail = text_argument(fcinfo, 2);
	const char *hint = text_argument(fcinfo, 3);

	if (code == NULL || strlen(code) != 5 || message == NULL)
		elog(ERROR, "a refusal has a code of five characters and a message");
	/* Whoever catches the error puts back the stack of their own. */
	error_context_stack = NULL;
	ereport(ERROR, (errcode(MAKE_SQLSTATE(code[0], code[1], code[2], code[3], code[4])), errmsg("%s", message),
					detail ? errdetail("%s", detail) : 0, hint ? errhint("%s", hint) : 0));
}
