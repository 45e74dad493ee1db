/*
 * segment.c - running the SQL conditions that users store (predicate.c).
 *
 * A predicate always runs with its owner's privileges, in a security-restricted
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
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/syscache.h"

#include "contact/contact.h"
#include "errcodes.h"
#include "segment/combine.h"

#define FIND_SEGMENT                                                                                                             \
	"SELECT s.segment_id, s.brand_id, s.name, s.predicate, s.owner, b.name FROM smsflow.segment s JOIN smsflow.brand b"          \
	" USING (brand_id) WHERE "

static SmsflowStatement find_by_id = {.sql = FIND_SEGMENT "s.segment_id = $1", .nargs = 1, .types = (const Oid[]){INT4OID}};

static SmsflowStatement find_by_name = {.sql = FIND_SEGMENT "s.name = $1 AND s.brand_id = $2",
										.nargs = 2,
										.types = (const Oid[]){TEXTOID, INT4OID}};

static SmsflowStatement find_all_by_name = {.sql = "SELECT segment_id FROM smsflow.segment WHERE name = $1 ORDER BY segment_id",
											.nargs = 1,
											.types = (const Oid[]){TEXTOID}};

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
						errhint("Give it to another role, as in UPDATE smsflow.segment SET owner = 'marketing'; likewise "
								"campaign, sequence and sequence_step.")));
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

void
smsflow_as_extension(FunctionCallInfo fcinfo, SmsflowIdentity *before)
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
	segment->brand = TextDatumGetCString(smsflow_result(6).value);
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

SmsflowSegment *
smsflow_segment_of_brand(const char *name, int32 brand_id)
{
	const NullableDatum args[] = {smsflow_value(CStringGetTextDatum(name)), smsflow_value(Int32GetDatum(brand_id))};

	if (smsflow_execute(&find_by_name, args) == 0)
		ereport(ERROR,
				(errcode(SMSFLOW_ERRCODE_UNKNOWN_OBJECT), errmsg("segment \"%s\" does not exist", name),
				 errdetail("Its brand has no segment of this name."), errhint("Create it with smsflow.create_segment().")));
	return segment_from_result(CurrentMemoryContext);
}

static SmsflowSegment *
segment_named(const char *name, const char *brand)
{
	return smsflow_segment_of_brand(name, smsflow_brand_id(brand));
}

/* ---- running a predicate ---- */

char *
smsflow_predicate_query(const char *select, const char *condition, const char *predicate)
{
	return psprintf("SELECT %s FROM smsflow.profile WHERE %s (\n%s\n)", select, condition, predicate);
}

/* query_of returns a query over the members of a segment; a syntax of its own goes after the predicate. */
static char *
query_of(const SmsflowSegment *segment, const char *select, const char *condition, const char *after)
{
	char *predicate = smsflow_combine_segments(segment->predicate, segment->brand_id, segment->owner, NULL);

	return psprintf("%s%s", smsflow_predicate_query(select, condition, predicate), after);
}

/* run_predicate runs such a query as the segment's owner. */
static void
run_predicate(const SmsflowSegment *segment, const char *select, const char *condition, const char *after, int nargs, Oid *types,
			  Datum *args)
{
	char *query = query_of(segment, select, condition, after);
	SmsflowIdentity before;

	smsflow_as_role(segment->owner, &before);
	if (SPI_execute_with_args(query, nargs, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run the predicate of segment \"%s\"", segment->name);
	smsflow_as_before(&before);
}

/*
 * The slices of a campaign are one query again and again, and planning what the view profile is made of takes longer than
 * reading a slice. So the plan of the last one is kept; the server plans it anew when what it reads has changed.
 */
static struct
{
	char *query; /* NULL: none */
	Oid owner;
	SPIPlanPtr plan;
} kept_slice;

/* keep_slice prepares a query of slices, as its owner. */
static void
keep_slice(const char *query, Oid owner, int nargs, Oid *types)
{
	if (kept_slice.query != NULL && kept_slice.owner == owner && strcmp(kept_slice.query, query) == 0)
		return;
	if (kept_slice.query != NULL)
	{
		pfree(kept_slice.query);
		kept_slice.query = NULL;
		SPI_freeplan(kept_slice.plan);
	}
	kept_slice.plan = SPI_prepare_cursor(query, nargs, types, CURSOR_OPT_GENERIC_PLAN);
	if (kept_slice.plan == NULL || SPI_keepplan(kept_slice.plan) != 0)
		elog(ERROR, "could not prepare a slice: %s", SPI_result_code_string(SPI_result));
	kept_slice.owner = owner;
	kept_slice.query = MemoryContextStrdup(TopMemoryContext, query);
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

bool
smsflow_contact_window(int64 after, int contacts, int64 *last)
{
	const NullableDatum window[] = {smsflow_value(Int64GetDatum(after)), smsflow_value(Int32GetDatum(contacts))};
	NullableDatum found;

	smsflow_execute(&find_window, window);
	found = smsflow_result(1);
	*last = found.isnull ? 0 : DatumGetInt64(found.value);
	return !found.isnull;
}

ArrayType *
smsflow_segment_slice(const SmsflowSegment *segment, int contacts, int64 *cursor)
{
	Oid types[] = {INT4OID, INT8OID, INT8OID};
	int64 last;
	Datum args[3] = {Int32GetDatum(segment->brand_id), Int64GetDatum(*cursor)};
	SmsflowIdentity before;
	char *query;

	if (!smsflow_contact_window(*cursor, contacts, &last))
		return NULL;
	args[2] = Int64GetDatum(last);
	query = query_of(segment, "contact_id", "profile.brand_id = $1 AND profile.contact_id > $2 AND profile.contact_id <= $3 AND",
					 " ORDER BY contact_id");
	smsflow_as_role(segment->owner, &before);
	keep_slice(query, segment->owner, lengthof(types), types);
	if (SPI_execute_plan(kept_slice.plan, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run the predicate of segment \"%s\"", segment->name);
	smsflow_as_before(&before);
	*cursor = last;
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
smsflow_members_among(const SmsflowSegment *segment, ArrayType *contacts)
{
	Oid types[] = {INT4OID, INT8ARRAYOID};
	Datum args[] = {Int32GetDatum(segment->brand_id), PointerGetDatum(contacts)};

	run_predicate(segment, "contact_id", "profile.brand_id = $1 AND profile.contact_id = ANY ($2) AND", "", 2, types, args);
	return ids_of_result();
}

ArrayType *
smsflow_segment_among(const char *name, ArrayType *contacts)
{
	ArrayBuildState *found = initArrayResult(INT8OID, CurrentMemoryContext, false);
	List *segments = segments_of_name(name);
	ListCell *cell;

	foreach (cell, segments)
	{
		ArrayType *members = smsflow_members_among(smsflow_segment_by_id(lfirst_int(cell)), contacts);
		const int64 *ids = (int64 *) ARR_DATA_PTR(members);

		for (int i = 0; i < ArrayGetNItems(ARR_NDIM(members), ARR_DIMS(members)); i++)
			accumArrayResult(found, Int64GetDatum(ids[i]), false, INT8OID, CurrentMemoryContext);
	}
	return DatumGetArrayTypeP(makeArrayResult(found, CurrentMemoryContext));
}

/* ---- SQL functions ---- */

/* Members fetched from the cursor at one time. */
#define MEMBERS_AT_ONCE 1000

/* A listing that is under way: the cursor lives in a portal of its own, outside of any SPI connection. */
typedef struct Listing
{
	Oid owner;
	char *portal;
	int64 ids[MEMBERS_AT_ONCE];
	int count;
	int next;
} Listing;

static void
close_listing(Datum argument)
{
	Portal portal = GetPortalByName(((Listing *) DatumGetPointer(argument))->portal);

	if (PortalIsValid(portal))
		SPI_cursor_close(portal);
}

static Listing *
open_listing(FunctionCallInfo fcinfo, MemoryContext context)
{
	Listing *listing = MemoryContextAllocZero(context, sizeof(Listing));
	Oid types[] = {INT4OID};
	Datum args[1];
	SmsflowIdentity before;
	SmsflowSegment *segment;
	char *query;
	Portal portal;

	SPI_connect();
	segment = segment_named(text_or(fcinfo, 0, ""), text_or(fcinfo, 1, "default"));
	listing->owner = segment->owner;
	args[0] = Int32GetDatum(segment->brand_id);
	query = query_of(segment, "contact_id", "profile.brand_id = $1 AND", " ORDER BY contact_id");
	smsflow_as_role(listing->owner, &before);
	portal = SPI_cursor_open_with_args(NULL, query, 1, types, args, NULL, true, 0);
	smsflow_as_before(&before);
	listing->portal = MemoryContextStrdup(context, portal->name);
	SPI_finish();
	return listing;
}

static void
fetch_members(Listing *listing)
{
	SmsflowIdentity before;
	bool isnull;

	SPI_connect();
	smsflow_as_role(listing->owner, &before);
	SPI_cursor_fetch(GetPortalByName(listing->portal), true, MEMBERS_AT_ONCE);
	smsflow_as_before(&before);
	listing->count = (int) SPI_processed;
	listing->next = 0;
	for (int i = 0; i < listing->count; i++)
		listing->ids[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
}

/*
 * segment_members(name text, brand text) returns setof bigint, in order of contact_id. One value per call, so that in a
 * SELECT list, or under a LIMIT there, no more is read than is asked for.
 */
PG_FUNCTION_INFO_V1(smsflow_pg_segment_members);
Datum
smsflow_pg_segment_members(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	Listing *listing;

	if (SRF_IS_FIRSTCALL())
	{
		call = SRF_FIRSTCALL_INIT();
		call->user_fctx = open_listing(fcinfo, call->multi_call_memory_ctx);
		RegisterExprContextCallback(((ReturnSetInfo *) fcinfo->resultinfo)->econtext, close_listing,
									PointerGetDatum(call->user_fctx));
	}
	call = SRF_PERCALL_SETUP();
	listing = call->user_fctx;
	if (listing->next == listing->count)
		fetch_members(listing);
	if (listing->count > 0)
		SRF_RETURN_NEXT(call, Int64GetDatum(listing->ids[listing->next++]));
	UnregisterExprContextCallback(((ReturnSetInfo *) fcinfo->resultinfo)->econtext, close_listing, PointerGetDatum(listing));
	close_listing(PointerGetDatum(listing));
	SRF_RETURN_DONE(call);
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

/* explain_segment(name text, brand text) returns setof text */
PG_FUNCTION_INFO_V1(smsflow_pg_explain_segment);
Datum
smsflow_pg_explain_segment(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SmsflowSegment *segment;
	SmsflowIdentity before;
	char *query;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	SPI_connect();
	segment = segment_named(text_or(fcinfo, 0, ""), text_or(fcinfo, 1, "default"));
	query = query_of(segment, "count(*)", psprintf("profile.brand_id = %d AND", segment->brand_id), "");
	smsflow_as_role(segment->owner, &before);
	if (SPI_execute(psprintf("EXPLAIN %s", query), false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not explain segment \"%s\"", segment->name);
	smsflow_as_before(&before);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool isnull;
		Datum line = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull);

		tuplestore_putvalues(result->setResult, result->setDesc, &line, &isnull);
	}
	SPI_finish();
	return (Datum) 0;
}
