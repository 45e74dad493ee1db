/*
 * segment.c - SQL conditions that users store, and running them.
 *
 * A predicate is text, and text is put into a query, so it is first parsed alone: what parses as exactly one expression
 * cannot end the parentheses it is put into. It always runs with its owner's privileges, in a security-restricted
 * operation and read only, whoever asks: a marketer's predicate reads what the marketer may read, also when the worker
 * runs it, which is a superuser.
 */
#include "segment/segment.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"
#include "parser/parser.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/syscache.h"

#include "contact/contact.h"
#include "errcodes.h"

#define PROFILE_HINT                                                                                                             \
	"Columns are those of smsflow.profile: language, region, attributes, subscribed, orders_count, orders_value, "               \
	"last_order_at, active_cart and others; other tables need their schema, as in public.orders."

#define SEGMENT_COLUMNS "segment_id, brand_id, name, predicate, owner"

static SmsflowStatement find_by_id = {.sql = "SELECT " SEGMENT_COLUMNS " FROM smsflow.segment WHERE segment_id = $1",
									  .nargs = 1,
									  .types = (const Oid[]){INT4OID}};

static SmsflowStatement find_by_name = {.sql =
											"SELECT " SEGMENT_COLUMNS " FROM smsflow.segment WHERE name = $1 AND brand_id = $2",
										.nargs = 2,
										.types = (const Oid[]){TEXTOID, INT4OID}};

static SmsflowStatement find_all_by_name = {.sql = "SELECT segment_id FROM smsflow.segment WHERE name = $1 ORDER BY segment_id",
											.nargs = 1,
											.types = (const Oid[]){TEXTOID}};

static SmsflowStatement insert_segment =
	{.sql = "INSERT INTO smsflow.segment (brand_id, name, predicate, owner) VALUES ($1, $2, $3, $4::regrole)"
			" ON CONFLICT DO NOTHING RETURNING segment_id",
	 .nargs = 4,
	 .types = (const Oid[]){INT4OID, TEXTOID, TEXTOID, OIDOID}};

static SmsflowStatement find_window =
	{.sql = "SELECT max(contact_id) FROM (SELECT contact_id FROM smsflow.contact WHERE contact_id > $1"
			" ORDER BY contact_id LIMIT $2) AS w",
	 .nargs = 2,
	 .types = (const Oid[]){INT8OID, INT4OID}};

/* ---- whose privileges ---- */

static void
pin_setting(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* What a text means to the parser must not depend on who has it parsed. */
void
smsflow_as_role(Oid role, SmsflowIdentity *before)
{
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_UNKNOWN_OBJECT), errmsg("the owner no longer exists"),
						errdetail("What users store runs with their privileges; role %u was dropped.", role),
						errhint("Create the segment again under another role.")));
	GetUserIdAndSecContext(&before->user, &before->security);
	SetUserIdAndSecContext(role, before->security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	before->settings = NewGUCNestLevel();
	pin_setting("search_path", "pg_catalog, smsflow, pg_temp");
	pin_setting("standard_conforming_strings", "on");
}

void
smsflow_as_before(const SmsflowIdentity *before)
{
	AtEOXact_GUC(false, before->settings);
	SetUserIdAndSecContext(before->user, before->security);
}

/* as_extension makes the following statements run as the owner of smsflow's tables. */
static void
as_extension(FunctionCallInfo fcinfo, SmsflowIdentity *before)
{
	HeapTuple function = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	Oid owner;

	if (!HeapTupleIsValid(function))
		elog(ERROR, "cache lookup failed for function %u", fcinfo->flinfo->fn_oid);
	owner = ((Form_pg_proc) GETSTRUCT(function))->proowner;
	ReleaseSysCache(function);
	GetUserIdAndSecContext(&before->user, &before->security);
	SetUserIdAndSecContext(owner, before->security | SECURITY_LOCAL_USERID_CHANGE);
}

/* ---- reading segments ---- */

static SmsflowSegment *
segment_from_result(MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	SmsflowSegment *segment = palloc(sizeof(SmsflowSegment));

	segment->segment_id = DatumGetInt32(smsflow_result(1).value);
	segment->brand_id = DatumGetInt32(smsflow_result(2).value);
	segment->name = TextDatumGetCString(smsflow_result(3).value);
	segment->predicate = TextDatumGetCString(smsflow_result(4).value);
	segment->owner = DatumGetObjectId(smsflow_result(5).value);
	MemoryContextSwitchTo(old);
	return segment;
}

SmsflowSegment *
smsflow_segment_by_id(int32 segment_id)
{
	const NullableDatum args[] = {smsflow_value(Int32GetDatum(segment_id))};

	if (smsflow_execute(&find_by_id, args) == 0)
		elog(ERROR, "segment %d does not exist", segment_id);
	return segment_from_result(CurrentMemoryContext);
}

static const char *
text_or(FunctionCallInfo fcinfo, int n, const char *otherwise)
{
	return PG_ARGISNULL(n) ? otherwise : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static SmsflowSegment *
segment_named(const char *name, const char *brand)
{
	const NullableDatum args[] = {
		smsflow_value(CStringGetTextDatum(name)),
		smsflow_value(Int32GetDatum(smsflow_brand_id(brand))),
	};

	if (smsflow_execute(&find_by_name, args) == 0)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_UNKNOWN_OBJECT), errmsg("segment \"%s\" does not exist", name),
						errdetail("Brand \"%s\" has no segment of this name.", brand),
						errhint("Create it with smsflow.create_segment().")));
	return segment_from_result(CurrentMemoryContext);
}

/* ---- running a predicate ---- */

/* predicate_query puts a predicate into a query over the profile; what else it asks for comes before. */
static char *
predicate_query(const char *select, const char *condition, const char *predicate)
{
	return psprintf("SELECT %s FROM smsflow.profile WHERE %s (\n%s\n)", select, condition, predicate);
}

/* run_predicate runs such a query as the segment's owner; a syntax of its own goes after the predicate. */
static void
run_predicate(const SmsflowSegment *segment, const char *select, const char *condition, const char *after, int nargs, Oid *types,
			  Datum *args)
{
	char *query = psprintf("%s%s", predicate_query(select, condition, segment->predicate), after);
	SmsflowIdentity before;

	smsflow_as_role(segment->owner, &before);
	if (SPI_execute_with_args(query, nargs, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run the predicate of segment \"%s\"", segment->name);
	smsflow_as_before(&before);
}

/* ids_of_result returns the first column of the last result as an array of bigint. */
static ArrayType *
ids_of_result(void)
{
	Datum *ids = palloc(sizeof(Datum) * (SPI_processed + 1));
	bool isnull;

	for (uint64 row = 0; row < SPI_processed; row++)
		ids[row] = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull);
	return construct_array(ids, (int) SPI_processed, INT8OID, sizeof(int64), true, TYPALIGN_DOUBLE);
}

ArrayType *
smsflow_segment_slice(const SmsflowSegment *segment, int contacts, int64 *cursor)
{
	const NullableDatum window[] = {smsflow_value(Int64GetDatum(*cursor)), smsflow_value(Int32GetDatum(contacts))};
	Oid types[] = {INT4OID, INT8OID, INT8OID};
	Datum args[3] = {Int32GetDatum(segment->brand_id), window[0].value};
	NullableDatum last;

	smsflow_execute(&find_window, window);
	last = smsflow_result(1);
	if (last.isnull)
		return NULL;
	args[2] = last.value;
	run_predicate(segment, "contact_id", "profile.brand_id = $1 AND profile.contact_id > $2 AND profile.contact_id <= $3 AND", "",
				  3, types, args);
	*cursor = DatumGetInt64(last.value);
	return ids_of_result();
}

static List *
segments_of_name(const char *name)
{
	const NullableDatum args[] = {smsflow_value(CStringGetTextDatum(name))};
	List *ids = NIL;
	bool isnull;

	smsflow_execute(&find_all_by_name, args);
	for (uint64 row = 0; row < SPI_processed; row++)
		ids = lappend_int(ids, DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull)));
	return ids;
}

ArrayType *
smsflow_segment_among(const char *name, ArrayType *contacts)
{
	Oid types[] = {INT4OID, INT8ARRAYOID};
	ArrayBuildState *found = initArrayResult(INT8OID, CurrentMemoryContext, false);
	List *segments = segments_of_name(name);
	ListCell *cell;
	bool isnull;

	foreach (cell, segments)
	{
		const SmsflowSegment *segment = smsflow_segment_by_id(lfirst_int(cell));
		Datum args[] = {Int32GetDatum(segment->brand_id), PointerGetDatum(contacts)};

		run_predicate(segment, "contact_id", "profile.brand_id = $1 AND profile.contact_id = ANY ($2) AND", "", 2, types, args);
		for (uint64 row = 0; row < SPI_processed; row++)
			accumArrayResult(found, SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull), false, INT8OID,
							 CurrentMemoryContext);
	}
	return DatumGetArrayTypeP(makeArrayResult(found, CurrentMemoryContext));
}

/* ---- checking a predicate ---- */

/* refuse_predicate turns the error that is being handled into SF007. */
static void
refuse_predicate(MemoryContext context)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == SMSFLOW_ERRCODE_INVALID_ARGUMENT)
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

/* check_meaning analyses the whole query and starts it, without reading a row, with the privileges it will have. */
static void
check_meaning(const char *predicate)
{
	char *query = psprintf("%s LIMIT 0", predicate_query("contact_id", "", predicate));
	SPIPlanPtr plan = SPI_prepare(query, 0, NULL);
	ListCell *cell;

	if (plan == NULL)
		elog(ERROR, "could not prepare predicate: %s", SPI_result_code_string(SPI_result));
	foreach (cell, SPI_plan_get_plan_sources(plan))
	{
		List *queries = ((CachedPlanSource *) lfirst(cell))->query_list;

		if (contain_volatile_functions((Node *) queries))
			refuse_shape("It calls a volatile function, whose answer may change from row to row.");
		if (locks_rows((Node *) queries, NULL))
			refuse_shape("It locks rows.");
	}
	if (SPI_execute_plan(plan, NULL, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run predicate");
}

static void
check_predicate(const char *predicate)
{
	MemoryContext context = CurrentMemoryContext;
	SmsflowIdentity before;

	PG_TRY();
	{
		smsflow_as_role(GetUserId(), &before);
		smsflow_require_expression(predicate);
		check_meaning(predicate);
		smsflow_as_before(&before);
	}
	PG_CATCH();
	{
		refuse_predicate(context);
	}
	PG_END_TRY();
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
	const char *name = text_or(fcinfo, 0, "");
	const char *predicate = text_or(fcinfo, 1, "");
	Oid owner = GetUserId();
	NullableDatum args[4];
	SmsflowIdentity before;
	int32 segment_id;

	if (*name == '\0')
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("segment name must not be empty"),
						errdetail("Campaigns refer to a segment by its name."), errhint("Pass a name.")));
	SPI_connect();
	check_predicate(predicate);
	as_extension(fcinfo, &before);
	args[0] = smsflow_value(Int32GetDatum(smsflow_brand_id(text_or(fcinfo, 2, "default"))));
	args[1] = smsflow_value(CStringGetTextDatum(name));
	args[2] = smsflow_value(CStringGetTextDatum(predicate));
	args[3] = smsflow_value(ObjectIdGetDatum(owner));
	if (smsflow_execute(&insert_segment, args) == 0)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_WRONG_STATE), errmsg("segment \"%s\" already exists", name),
						errdetail("A campaign may rely on what it means."),
						errhint("Choose another name, or call smsflow.drop_segment() first.")));
	segment_id = DatumGetInt32(smsflow_result(1).value);
	SetUserIdAndSecContext(before.user, before.security);
	SPI_finish();
	PG_RETURN_INT32(segment_id);
}

/* segment_members(name text, brand text) returns setof bigint, in order of contact_id */
PG_FUNCTION_INFO_V1(smsflow_pg_segment_members);
Datum
smsflow_pg_segment_members(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SmsflowSegment *segment;
	Oid types[] = {INT4OID};
	Datum args[1];

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	SPI_connect();
	segment = segment_named(text_or(fcinfo, 0, ""), text_or(fcinfo, 1, "default"));
	args[0] = Int32GetDatum(segment->brand_id);
	run_predicate(segment, "contact_id", "profile.brand_id = $1 AND", " ORDER BY contact_id", 1, types, args);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool isnull;
		Datum id = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull);

		tuplestore_putvalues(result->setResult, result->setDesc, &id, &isnull);
	}
	SPI_finish();
	return (Datum) 0;
}

/* segment_count(name text, brand text) returns bigint */
PG_FUNCTION_INFO_V1(smsflow_pg_segment_count);
Datum
smsflow_pg_segment_count(PG_FUNCTION_ARGS)
{
	SmsflowSegment *segment;
	Oid types[] = {INT4OID};
	Datum args[1];
	int64 count;

	SPI_connect();
	segment = segment_named(text_or(fcinfo, 0, ""), text_or(fcinfo, 1, "default"));
	args[0] = Int32GetDatum(segment->brand_id);
	run_predicate(segment, "count(*)", "profile.brand_id = $1 AND", "", 1, types, args);
	count = DatumGetInt64(smsflow_result(1).value);
	SPI_finish();
	PG_RETURN_INT64(count);
}

/* in_segment(contact_id bigint, name text, brand text) returns boolean */
PG_FUNCTION_INFO_V1(smsflow_pg_in_segment);
Datum
smsflow_pg_in_segment(PG_FUNCTION_ARGS)
{
	SmsflowSegment *segment;
	Oid types[] = {INT4OID, INT8OID};
	Datum args[2];
	bool found;

	SPI_connect();
	segment = segment_named(text_or(fcinfo, 1, ""), text_or(fcinfo, 2, "default"));
	args[0] = Int32GetDatum(segment->brand_id);
	args[1] = PG_ARGISNULL(0) ? Int64GetDatum(0) : PG_GETARG_DATUM(0);
	run_predicate(segment, "contact_id", "profile.brand_id = $1 AND profile.contact_id = $2 AND", "", 2, types, args);
	found = SPI_processed > 0;
	SPI_finish();
	PG_RETURN_BOOL(found);
}
