/*
 * inline.c - making bought() and its like part of the query that calls them.
 *
 * PostgreSQL inlines an SQL function only when its body has no subquery; one that asks whether a row exists would be a call
 * for each row. This support function puts the body's expression in the place of the call, so that the planner reads the
 * other table once, or by an index, as if the caller had written the subquery.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/planmain.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

typedef struct Substitution
{
	List *args;
	int depth; /* queries between the expression and where it is */
} Substitution;

static Node *
substitute(Node *node, void *context)
{
	Substitution *substitution = context;

	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN)
	{
		Node *arg = copyObject(list_nth(substitution->args, ((Param *) node)->paramid - 1));

		IncrementVarSublevelsUp(arg, substitution->depth, 0);
		return arg;
	}
	if (IsA(node, Query))
	{
		Node *result;

		substitution->depth++;
		result = (Node *) query_tree_mutator((Query *) node, substitute, context, 0);
		substitution->depth--;
		return result;
	}
	return expression_tree_mutator(node, substitute, context);
}

/* body_of returns the rewritten body of a function that is one RETURN, or NULL. */
static Query *
body_of(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool is_null;
	Datum body;
	Query *query;
	List *rewritten;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	body = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosqlbody, &is_null);
	query = is_null ? NULL : stringToNode(TextDatumGetCString(body));
	ReleaseSysCache(tuple);
	if (query == NULL || !IsA(query, Query))
		return NULL;
	AcquireRewriteLocks(query, true, false);
	rewritten = pg_rewrite_query(query);
	return list_length(rewritten) == 1 ? linitial_node(Query, rewritten) : NULL;
}

static Node *
inlined(PlannerInfo *root, const FuncExpr *call)
{
	Substitution substitution = {call->args, 0};
	Query *body;

	if (root == NULL || contain_volatile_functions((Node *) call->args) || contain_subplans((Node *) call->args))
		return NULL;
	body = body_of(call->funcid);
	if (body == NULL || list_length(body->targetList) != 1)
		return NULL;
	/* Subqueries of the whole are planned after calls are simplified. */
	root->parse->hasSubLinks = true;
	record_plan_function_dependency(root, call->funcid);
	return substitute((Node *) linitial_node(TargetEntry, body->targetList)->expr, &substitution);
}

/* inline_call(internal) returns internal */
PG_FUNCTION_INFO_V1(smsflow_inline_call);
Datum
smsflow_inline_call(PG_FUNCTION_ARGS)
{
	Node *request = (Node *) PG_GETARG_POINTER(0);

	if (!IsA(request, SupportRequestSimplify))
		PG_RETURN_POINTER(NULL);
	PG_RETURN_POINTER(inlined(((SupportRequestSimplify *) request)->root, ((SupportRequestSimplify *) request)->fcall));
}
