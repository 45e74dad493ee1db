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
#include "segment/guarded.h"
#include "smsflow.h"

#define PROFILE_HINT                                                                                                             \
	"Columns are those of smsflow.profile: language, region, attributes, subscribed, orders_count, orders_value, "               \
	"last_order_at, active_cart and others; other tables need their schema, as in public.orders."

static SmsflowStatement insert_segment =
	{.sql = "INSERT INTO smsflow.segment (brand_id, name, predicate, owner, uses, cost, expected)"
			" VALUES ($1, $2, $3, $4::regrole, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING segment_id",
	 .nargs = 7,
	 .types = (const Oid[]){INT4OID, TEXTOID, TEXTOID, OIDOID, TEXTARRAYOID, FLOAT8OID, FLOAT8OID}};

/* Contacts that a new predicate is tried on first. */
#define SAMPLE 100

static SmsflowStatement find_sample = {.sql = "SELECT ARRAY(SELECT contact_id FROM smsflow.contact WHERE brand_id = $1 LIMIT $2)",
									   .nargs = 2,
									   .types = (const Oid[]){INT4OID, INT4OID}};

/* A predicate that is being checked, and what was found out. */
typedef struct Candidate
{
	FunctionCallInfo call;
	const char *predicate;
	int32 brand_id;
	List *used;     /* names of segments it is made of */
	char *combined; /* the predicate with theirs in the place of their names */
	bool has_more;  /* contacts than the sample */
	double cost;
	double expected;
} Candidate;

/* ---- checking a predicate ---- */

static const char *
hint_for(int sqlerrcode)
{
	if (ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_DATA_EXCEPTION)
		return "It fails for a contact of this brand; say for whom it holds at all, as in CASE WHEN attributes ->> 'n' ~ "
			   "'^[0-9]{1,9}$' "
			   "THEN (attributes ->> 'n')::integer > 3 END.";
	if (sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
		return "It is read with your rights: ask the owner of that table for SELECT.";
	if (sqlerrcode == ERRCODE_STATEMENT_TOO_COMPLEX)
		return "It was tried on a hundred contacts; ask for less, or look at it with EXPLAIN. The limit is "
			   "smsflow.predicate_timeout.";
	return PROFILE_HINT;
}

/* refuse_predicate raises an error of the predicate as SF007, and one that says more as it is. */
static void
refuse_predicate(ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == SMSFLOW_ERRCODE_INVALID_ARGUMENT ||
		error->sqlerrcode == SMSFLOW_ERRCODE_UNKNOWN_OBJECT)
		ReThrowError(error);
	ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("the predicate cannot be used"),
					errdetail("%s", error->message), errhint("%s", hint_for(error->sqlerrcode))));
}

static void
refuse_shape(const char *detail, const char *hint)
{
	ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("the predicate cannot be used"), errdetail("%s", detail),
					errhint("%s", hint)));
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
		refuse_shape("A predicate is one condition, as after WHERE, and nothing else.", PROFILE_HINT);
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
			refuse_shape("It calls a volatile function, whose answer may change from row to row.",
						 "Use now() for the time; a function of yours that only reads may be declared STABLE.");
		if (locks_rows((Node *) queries, NULL))
			refuse_shape("It locks rows.", "Leave out FOR UPDATE and its like.");
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

/* check_meaning analyses the whole query, and runs it over a sample of contacts (bigint[]), with the privileges it will have. */
static void
check_meaning(const char *predicate, Datum sample, Candidate *candidate)
{
	SPIPlanPtr plan = SPI_prepare(smsflow_predicate_query("contact_id", "", predicate), 0, NULL);
	Oid types[] = {INT8ARRAYOID};

	if (plan == NULL)
		elog(ERROR, "could not prepare predicate: %s", SPI_result_code_string(SPI_result));
	check_plan(plan, candidate);
	if (SPI_execute_with_args(smsflow_predicate_query("count(*)", "profile.contact_id = ANY ($1) AND", predicate), 1, types,
							  &sample, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run predicate");
}

/* check_candidate asks all there is to ask; argument is a Candidate. */
static void
check_candidate(void *argument)
{
	Candidate *candidate = argument;
	Oid owner = GetUserId();
	SmsflowIdentity before;
	Datum sample;

	smsflow_as_role(owner, &before);
	smsflow_require_expression(candidate->predicate);
	smsflow_as_before(&before);
	smsflow_as_extension(candidate->call, &before);
	candidate->combined = smsflow_combine_segments(candidate->predicate, candidate->brand_id, owner, &candidate->used);
	smsflow_execute(&find_sample,
					(NullableDatum[]){smsflow_value(Int32GetDatum(candidate->brand_id)), smsflow_value(Int32GetDatum(SAMPLE))});
	sample = SPI_datumTransfer(smsflow_result(1).value, false, -1);
	candidate->has_more = ArrayGetNItems(ARR_NDIM(DatumGetArrayTypeP(sample)), ARR_DIMS(DatumGetArrayTypeP(sample))) == SAMPLE;
	SetUserIdAndSecContext(before.user, before.security);
	smsflow_as_role(owner, &before);
	check_meaning(candidate->combined, sample, candidate);
	smsflow_as_before(&before);
}

/* try_on_all runs the predicate over every contact of its brand; argument is a Candidate. */
static void
try_on_all(void *argument)
{
	const Candidate *candidate = argument;
	Oid types[] = {INT4OID};
	Datum brand = Int32GetDatum(candidate->brand_id);
	SmsflowIdentity before;

	smsflow_as_role(GetUserId(), &before);
	if (SPI_execute_with_args(smsflow_predicate_query("count(*)", "profile.brand_id = $1 AND", candidate->combined), 1, types,
							  &brand, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run predicate");
	smsflow_as_before(&before);
}

/* check returns what is wrong with a predicate, NULL when nothing is. There may be more contacts than can be tried in the time. */
static ErrorData *
check(Candidate *candidate)
{
	ErrorData *error = smsflow_guarded(check_candidate, candidate, smsflow_predicate_timeout);

	if (error != NULL || !candidate->has_more)
		return error;
	error = smsflow_guarded(try_on_all, candidate, smsflow_predicate_timeout);
	return error != NULL && error->sqlerrcode == ERRCODE_STATEMENT_TOO_COMPLEX ? NULL : error;
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
	Candidate candidate = {.call = fcinfo, .predicate = PG_ARGISNULL(1) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(1))};
	Oid owner = GetUserId();
	NullableDatum args[7];
	SmsflowIdentity before;
	ErrorData *error;
	int32 segment_id;

	if (*name == '\0')
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("segment name must not be empty"),
						errdetail("Campaigns refer to a segment by its name."), errhint("Pass a name.")));
	SPI_connect();
	smsflow_as_extension(fcinfo, &before);
	candidate.brand_id = smsflow_brand_argument(fcinfo, 2);
	SetUserIdAndSecContext(before.user, before.security);
	error = check(&candidate);
	if (error != NULL)
		refuse_predicate(error);
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
