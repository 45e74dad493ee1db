/*
 * predicate.c - SQL conditions that users store, and what is asked of one before it is stored.
 *
 * A predicate is text, and text is put into a query, so it is first parsed alone: what parses as exactly one expression
 * cannot end the parentheses it is put into. Then the query it becomes is planned, with the rights it will have, and run
 * over the first contacts: a column that is not there, a right that is missing, or a cast that fails shows now, and not
 * when a campaign is on its way.
 */
#include "segment/segment.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "optimizer/optimizer.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/plancache.h"

#include "contact/contact.h"
#include "errcodes.h"
#include "segment/combine.h"

/* Contacts that a new predicate is tried on. */
#define SAMPLE 1000

#define PROFILE_HINT                                                                                                             \
	"Columns are those of smsflow.profile: language, region, attributes, subscribed, orders_count, orders_value, "               \
	"last_order_at, active_cart and others; other tables need their schema, as in public.orders."

static SmsflowStatement insert_segment =
	{.sql = "INSERT INTO smsflow.segment (brand_id, name, predicate, owner, uses, cost, expected)"
			" VALUES ($1, $2, $3, $4::regrole, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING segment_id",
	 .nargs = 7,
	 .types = (const Oid[]){INT4OID, TEXTOID, TEXTOID, OIDOID, TEXTARRAYOID, FLOAT8OID, FLOAT8OID}};

/* A predicate that is being checked, and what was found out. */
typedef struct Candidate
{
	const char *predicate;
	int32 brand_id;
	List *used; /* names of segments it is made of */
	double cost;
	double expected;
} Candidate;

/* ---- checking a predicate ---- */

/* refuse_predicate turns the error that is being handled into SF007. */
static void
refuse_predicate(MemoryContext context)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == SMSFLOW_ERRCODE_INVALID_ARGUMENT ||
		error->sqlerrcode == SMSFLOW_ERRCODE_UNKNOWN_OBJECT)
		ReThrowError(error);
	FlushErrorState();
	ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("the predicate cannot be used"),
					errdetail("%s", error->message), errhint(PROFILE_HINT)));
}

static void
refuse_shape(const char *detail)
{
	ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("the predicate cannot be used"), errdetail("%s", detail),
					errhint(PROFILE_HINT)));
}

/* is_bare_expression tells whether a parsed SELECT is nothing but one expression. */
static bool
is_bare_expression(const SelectStmt *select)
{
	const ResTarget *target;

	if (select->op != SETOP_NONE || select->distinctClause || select->intoClause || select->fromClause || select->whereClause ||
		select->groupClause || select->havingClause || select->windowClause || select->valuesLists || select->sortClause ||
		select->limitOffset || select->limitCount || select->lockingClause || select->withClause ||
		list_length(select->targetList) != 1)
		return false;
	target = linitial_node(ResTarget, select->targetList);
	if (target->name != NULL || target->indirection != NIL)
		return false;
	return !(IsA(target->val, ColumnRef) && IsA(llast(castNode(ColumnRef, target->val)->fields), A_Star));
}

void
smsflow_require_expression(const char *predicate)
{
	List *parsed = raw_parser(psprintf("SELECT\n%s\n", predicate), RAW_PARSE_DEFAULT);
	Node *statement = list_length(parsed) == 1 ? linitial_node(RawStmt, parsed)->stmt : NULL;

	if (statement == NULL || !IsA(statement, SelectStmt) || !is_bare_expression((SelectStmt *) statement))
		refuse_shape("A predicate is one condition, as after WHERE, and nothing else.");
}

static bool
locks_rows(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		if (((Query *) node)->rowMarks != NIL)
			return true;
		return query_tree_walker((Query *) node, locks_rows, context, 0);
	}
	return expression_tree_walker(node, locks_rows, context);
}

/* check_plan refuses what must not be asked of each row, and takes the planner's estimate. */
static void
check_plan(SPIPlanPtr plan, Candidate *candidate)
{
	ListCell *cell;
	CachedPlan *cached;

	foreach (cell, SPI_plan_get_plan_sources(plan))
	{
		List *queries = ((CachedPlanSource *) lfirst(cell))->query_list;

		if (contain_volatile_functions((Node *) queries))
			refuse_shape("It calls a volatile function, whose answer may change from row to row.");
		if (locks_rows((Node *) queries, NULL))
			refuse_shape("It locks rows.");
	}
	cached = SPI_plan_get_cached_plan(plan);
	if (cached != NULL)
	{
		const PlannedStmt *planned = linitial_node(PlannedStmt, cached->stmt_list);

		candidate->cost = planned->planTree->total_cost;
		candidate->expected = planned->planTree->plan_rows;
		/* A plan that is not saved has no resource owner. */
		ReleaseCachedPlan(cached, NULL);
	}
}

/* check_meaning analyses the whole query, and runs it over the contacts up to `last`, with the privileges it will have. */
static void
check_meaning(const char *predicate, int64 last, Candidate *candidate)
{
	SPIPlanPtr plan = SPI_prepare(smsflow_predicate_query("contact_id", "", predicate), 0, NULL);
	Oid types[] = {INT8OID};
	Datum args[] = {Int64GetDatum(last)};

	if (plan == NULL)
		elog(ERROR, "could not prepare predicate: %s", SPI_result_code_string(SPI_result));
	check_plan(plan, candidate);
	if (SPI_execute_with_args(smsflow_predicate_query("count(*)", "profile.contact_id <= $1 AND", predicate), 1, types, args,
							  NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run predicate");
}

static void
check_predicate(FunctionCallInfo fcinfo, Candidate *candidate)
{
	MemoryContext context = CurrentMemoryContext;
	Oid owner = GetUserId();
	SmsflowIdentity before;
	int64 last;
	char *combined;

	PG_TRY();
	{
		smsflow_as_role(owner, &before);
		smsflow_require_expression(candidate->predicate);
		smsflow_as_before(&before);
		smsflow_as_extension(fcinfo, &before);
		combined = smsflow_combine_segments(candidate->predicate, candidate->brand_id, owner, &candidate->used);
		(void) smsflow_contact_window(0, SAMPLE, &last);
		SetUserIdAndSecContext(before.user, before.security);
		smsflow_as_role(owner, &before);
		check_meaning(combined, last, candidate);
		smsflow_as_before(&before);
	}
	PG_CATCH();
	{
		refuse_predicate(context);
	}
	PG_END_TRY();
}

static ArrayType *
names_array(List *names)
{
	Datum *elements = palloc(sizeof(Datum) * (list_length(names) + 1));
	ListCell *cell;

	foreach (cell, names)
		elements[foreach_current_index(cell)] = CStringGetTextDatum((char *) lfirst(cell));
	return construct_array(elements, list_length(names), TEXTOID, -1, false, TYPALIGN_INT);
}

/* ---- SQL functions ---- */

/*
 * create_segment(name text, predicate text, brand text) returns integer. It is not SECURITY DEFINER: the segment belongs
 * to the role whose code makes the call, which inside somebody's SECURITY DEFINER function is that function's owner.
 */
PG_FUNCTION_INFO_V1(smsflow_pg_create_segment);
Datum
smsflow_pg_create_segment(PG_FUNCTION_ARGS)
{
	const char *name = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));
	Candidate candidate = {.predicate = PG_ARGISNULL(1) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(1))};
	Oid owner = GetUserId();
	NullableDatum args[7];
	SmsflowIdentity before;
	int32 segment_id;

	if (*name == '\0')
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("segment name must not be empty"),
						errdetail("Campaigns refer to a segment by its name."), errhint("Pass a name.")));
	SPI_connect();
	smsflow_as_extension(fcinfo, &before);
	candidate.brand_id = smsflow_brand_argument(fcinfo, 2);
	SetUserIdAndSecContext(before.user, before.security);
	check_predicate(fcinfo, &candidate);
	smsflow_as_extension(fcinfo, &before);
	args[0] = smsflow_value(Int32GetDatum(candidate.brand_id));
	args[1] = smsflow_value(CStringGetTextDatum(name));
	args[2] = smsflow_value(CStringGetTextDatum(candidate.predicate));
	args[3] = smsflow_value(ObjectIdGetDatum(owner));
	args[4] = smsflow_value(PointerGetDatum(names_array(candidate.used)));
	args[5] = smsflow_value(Float8GetDatum(candidate.cost));
	args[6] = smsflow_value(Float8GetDatum(candidate.expected));
	if (smsflow_execute(&insert_segment, args) == 0)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_WRONG_STATE), errmsg("segment \"%s\" already exists", name),
						errdetail("A campaign may rely on what it means."),
						errhint("Choose another name, or call smsflow.drop_segment() first.")));
	segment_id = DatumGetInt32(smsflow_result(1).value);
	SetUserIdAndSecContext(before.user, before.security);
	SPI_finish();
	PG_RETURN_INT32(segment_id);
}
