/*
 * mapping.c - the backend's memory of watched tables.
 *
 * smsflow.watch names columns, so that it survives dump and restore; the
 * trigger needs attribute numbers and conversion functions. They are looked up
 * at a relation's first change in a backend and dropped when PostgreSQL says
 * that the relation changed: watching, unwatching and ALTER TABLE all do.
 */
#include "../compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "../errcodes.h"
#include "watch.h"

/* Columns of smsflow.watch_rules(). */
enum
{
	RULE_WATCH = 1,
	RULE_BRAND,
	RULE_KIND,
	RULE_MEANING,
	RULE_LABEL,
	RULE_VALUE,
	RULE_NUMBER
};

static const char *const meaning_names[WATCH_MEANINGS] = {"id",    "phone",    "customer_id", "cart_id", "status", "items",
														  "total", "currency", "updated_at",  "stock",   "price"};

static HTAB *watches = NULL;

/* Runs at any time, also while a watch is in use: it only marks. Oid 0 is "everything". */
static void
forget_relation(Datum unused, Oid relation)
{
	HASH_SEQ_STATUS all;
	SmsflowWatch *watch;

	if (OidIsValid(relation))
	{
		watch = hash_search(watches, &relation, HASH_FIND, NULL);
		if (watch != NULL)
			watch->valid = false;
		return;
	}
	hash_seq_init(&all, watches);
	while ((watch = hash_seq_search(&all)) != NULL)
		watch->valid = false;
}

static void
make_cache(void)
{
	HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(SmsflowWatch)};

	watches = hash_create("smsflow watches", 16, &control, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
}

SmsflowWatch *
smsflow_cached_watch(Oid relation)
{
	SmsflowWatch *watch = watches == NULL ? NULL : hash_search(watches, &relation, HASH_FIND, NULL);

	return watch != NULL && watch->valid ? watch : NULL;
}

/* to_jsonb() takes any type and asks its call for which one; a call written by hand tells it. */
static void
prepare_column(SmsflowColumn *column, AttrNumber number, const char *key, TupleDesc columns)
{
	Form_pg_attribute attribute = TupleDescAttr(columns, number - 1);
	Const *argument = makeNullConst(attribute->atttypid, attribute->atttypmod, attribute->attcollation);
	Oid output;
	bool is_varlena;

	getTypeOutputInfo(attribute->atttypid, &output, &is_varlena);
	fmgr_info_cxt(output, &column->output, CurrentMemoryContext);
	fmgr_info_cxt(F_TO_JSONB, &column->to_jsonb, CurrentMemoryContext);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(argument), InvalidOid, InvalidOid,
											 COERCE_EXPLICIT_CALL),
					   &column->to_jsonb);
	column->key = pstrdup(key);
	column->number = number;
}

static void
add_column(SmsflowWatch *watch, const char *meaning, const char *label, AttrNumber number, TupleDesc columns)
{
	if (strcmp(meaning, "data") == 0)
	{
		SmsflowColumn *column = palloc0(sizeof(SmsflowColumn));

		prepare_column(column, number, label, columns);
		watch->copied = lappend(watch->copied, column);
		return;
	}
	for (int i = 0; i < WATCH_MEANINGS; i++)
		if (strcmp(meaning, meaning_names[i]) == 0)
			prepare_column(&watch->columns[i], number, meaning, columns);
}

static void
add_status_name(SmsflowWatch *watch, const char *status, const char *suffix)
{
	SmsflowStatusName *name = palloc(sizeof(SmsflowStatusName));

	name->status = pstrdup(status);
	name->suffix = pstrdup(suffix);
	watch->status_names = lappend(watch->status_names, name);
}

static void
add_rule(SmsflowWatch *watch, HeapTuple rule, TupleDesc rules, TupleDesc columns)
{
	char *meaning = SPI_getvalue(rule, rules, RULE_MEANING);
	char *label = SPI_getvalue(rule, rules, RULE_LABEL);
	char *value = SPI_getvalue(rule, rules, RULE_VALUE);
	bool is_null;
	Datum number = SPI_getbinval(rule, rules, RULE_NUMBER, &is_null);

	watch->watch_id = DatumGetInt32(SPI_getbinval(rule, rules, RULE_WATCH, &(bool){false}));
	watch->brand_id = DatumGetInt32(SPI_getbinval(rule, rules, RULE_BRAND, &(bool){false}));
	watch->kind = pstrdup(SPI_getvalue(rule, rules, RULE_KIND));
	watch->is_cart = strcmp(watch->kind, "cart") == 0;
	watch->is_inventory = strcmp(watch->kind, "inventory") == 0;

	if (strcmp(meaning, "active") == 0)
		watch->active = lappend(watch->active, pstrdup(value));
	else if (strcmp(meaning, "status_map") == 0)
		add_status_name(watch, label, value);
	else if (!is_null)
		add_column(watch, meaning, label, DatumGetInt16(number), columns);
	else
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_MAPPING), errmsg("watched column \"%s\" does not exist any more", value),
						errhint("Call smsflow.unwatch() and watch the table again with a new mapping.")));
}

static void
read_rules(SmsflowWatch *watch, TupleDesc columns)
{
	Oid types[1] = {OIDOID};
	Datum values[1] = {ObjectIdGetDatum(watch->relation)};
	MemoryContext caller;

	SPI_connect();
	SPI_execute_with_args("SELECT * FROM smsflow.watch_rules($1)", 1, types, values, NULL, true, 0);
	caller = MemoryContextSwitchTo(watch->context);
	for (uint64 i = 0; i < SPI_processed; i++)
		add_rule(watch, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, columns);
	MemoryContextSwitchTo(caller);
	SPI_finish();
}

SmsflowWatch *
smsflow_load_watch(Oid relation, TupleDesc columns)
{
	SmsflowWatch loaded = {.relation = relation, .valid = true};
	SmsflowWatch *watch;
	bool found;

	if (watches == NULL)
		make_cache();
	loaded.context = AllocSetContextCreate(CurrentMemoryContext, "smsflow watch", ALLOCSET_SMALL_SIZES);
	read_rules(&loaded, columns);

	watch = hash_search(watches, &relation, HASH_ENTER, &found);
	if (found)
		MemoryContextDelete(watch->context);
	MemoryContextSetParent(loaded.context, CacheMemoryContext);
	*watch = loaded;
	return watch;
}
