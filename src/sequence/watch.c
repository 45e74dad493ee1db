/*
 * watch.c - the trigger on tables of the store.
 *
 * It turns a change into one row of smsflow.event, in the store's own
 * transaction, so that a purchase and the end of its reminders commit together.
 *
 * New and changed carts are the most frequent change, and they end nothing. Of
 * them only the keys are kept, many in one row (append.c), and the worker reads
 * the carts themselves. That is as little as can be done in a checkout.
 *
 * Nothing that goes wrong here may fail a checkout. Whatever can raise an error
 * runs inside an internal subtransaction; the error is counted in
 * smsflow.trigger_problem, where health() finds it, and the store's statement
 * goes on. Changes that no mapped column is part of, and rows that name no
 * person, are recognised before that, without a subtransaction.
 *
 * Values are converted as the store's role, and only the INSERT runs as the
 * owner of smsflow: a cast somebody made for a type of their own never runs
 * with the owner's rights.
 */
#include "../compat.h"

#include <ctype.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/resowner.h"

#include "../contact/contact.h"
#include "../errcodes.h"
#include "event.h"
#include "../segment/guarded.h"
#include "watch.h"

/* Triggers on a table of items have arguments: watch, brand and the column with the cart's key. */
#define ITEMS_ARGUMENTS 3

PG_FUNCTION_INFO_V1(smsflow_watch_trigger);

/* One change of a row; old is NULL for INSERT, new for DELETE. */
typedef struct Change
{
	Relation relation;
	TupleDesc columns;
	HeapTuple old;
	HeapTuple new;
} Change;

static Change
change_of(TriggerData *trigger)
{
	Change change = {.relation = trigger->tg_relation, .columns = RelationGetDescr(trigger->tg_relation)};

	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		change.new = trigger->tg_trigtuple;
	else
		change.old = trigger->tg_trigtuple;
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		change.new = trigger->tg_newtuple;
	return change;
}

/* Reading columns. ---------------------------------------------------------- */

/* Trimmed text of a column; NULL where it is null, blank or not mapped. */
static char *
column_text(SmsflowColumn *column, HeapTuple row, TupleDesc columns)
{
	bool is_null = true;
	Datum value = column->number == 0 ? (Datum) 0 : heap_getattr(row, column->number, columns, &is_null);
	char *text;
	size_t length;

	if (is_null)
		return NULL;
	text = OutputFunctionCall(&column->output, value);
	while (isspace((unsigned char) *text))
		text++;
	for (length = strlen(text); length > 0 && isspace((unsigned char) text[length - 1]); length--)
		text[length - 1] = '\0';
	return length > 0 ? text : NULL;
}

static Jsonb *
column_jsonb(SmsflowColumn *column, HeapTuple row, TupleDesc columns)
{
	bool is_null = true;
	Datum value = column->number == 0 ? (Datum) 0 : heap_getattr(row, column->number, columns, &is_null);

	return is_null ? NULL : DatumGetJsonbP(FunctionCall1(&column->to_jsonb, value));
}

static bool
has_value(const SmsflowColumn *column, HeapTuple row, TupleDesc columns)
{
	return column->number != 0 && !heap_attisnull(row, column->number, columns);
}

/* Exactly, a blank text names nobody; but reading text may fail. */
static bool
names_person(SmsflowWatch *watch, HeapTuple row, TupleDesc columns, bool exact)
{
	SmsflowColumn *phone = &watch->columns[WATCH_PHONE];
	SmsflowColumn *customer_id = &watch->columns[WATCH_CUSTOMER_ID];

	if (exact)
		return column_text(phone, row, columns) != NULL || column_text(customer_id, row, columns) != NULL;
	return has_value(phone, row, columns) || has_value(customer_id, row, columns);
}

/*
 * Without detoasting (exact is false) a value that was written again in other
 * bytes counts as changed, and nothing can fail.
 */
static bool
column_changed(const SmsflowColumn *column, const Change *change, bool exact)
{
	Form_pg_attribute attribute;
	bool old_null;
	bool new_null;
	Datum old;
	Datum new;

	if (column->number == 0)
		return false;
	attribute = TupleDescAttr(change->columns, column->number - 1);
	old = heap_getattr(change->old, column->number, change->columns, &old_null);
	new = heap_getattr(change->new, column->number, change->columns, &new_null);
	if (old_null || new_null)
		return old_null != new_null;
	return !datumIsEqual(old, new, attribute->attbyval, attribute->attlen) &&
		   !(exact && datum_image_eq(old, new, attribute->attbyval, attribute->attlen));
}

static bool
any_column_changed(const SmsflowWatch *watch, const Change *change, bool exact)
{
	ListCell *cell;

	for (int i = 0; i < WATCH_MEANINGS; i++)
		if (column_changed(&watch->columns[i], change, exact))
			return true;
	foreach (cell, watch->copied)
		if (column_changed(lfirst(cell), change, exact))
			return true;
	return false;
}

/* What is no cart makes an event when it appears, when it only later names a person, and when its status changes. */
static bool
status_matters(SmsflowWatch *watch, const Change *change, bool exact)
{
	if (column_changed(&watch->columns[WATCH_STATUS], change, exact))
		return true;
	if (exact)
		return !names_person(watch, change->old, change->columns, true);
	return column_changed(&watch->columns[WATCH_PHONE], change, false) ||
		   column_changed(&watch->columns[WATCH_CUSTOMER_ID], change, false);
}

/* Whether a change makes an event; when not exact, whether it may, and then nothing can fail. */
static bool
matters(SmsflowWatch *watch, const Change *change, bool exact)
{
	if (watch->watch_id == 0)
		return false;
	if (watch->is_inventory)
		return change->old == NULL || column_changed(&watch->columns[WATCH_STOCK], change, exact) ||
			   column_changed(&watch->columns[WATCH_PRICE], change, exact);
	if (!names_person(watch, change->new != NULL ? change->new : change->old, change->columns, exact))
		return false;
	if (change->old == NULL || change->new == NULL)
		return true;
	return watch->is_cart ? any_column_changed(watch, change, exact) : status_matters(watch, change, exact);
}

/* Naming the event. --------------------------------------------------------- */

static bool
is_active(const SmsflowWatch *watch, const char *status)
{
	ListCell *cell;

	foreach (cell, watch->active)
		if (status != NULL && strcmp(lfirst(cell), status) == 0)
			return true;
	return watch->active == NIL;
}

static bool
is_open_cart(SmsflowWatch *watch, HeapTuple row, TupleDesc columns)
{
	SmsflowColumn *items = &watch->columns[WATCH_ITEMS];
	Jsonb *content;

	if (row == NULL || !is_active(watch, column_text(&watch->columns[WATCH_STATUS], row, columns)))
		return false;
	if (items->number == 0)
		return true;
	content = column_jsonb(items, row, columns);
	return content != NULL && !JB_ROOT_IS_SCALAR(content) && JB_ROOT_COUNT(content) > 0;
}

static const char *
cart_event_kind(SmsflowWatch *watch, const Change *change)
{
	if (is_open_cart(watch, change->new, change->columns))
		return "cart";
	return is_open_cart(watch, change->old, change->columns) ? "cart_emptied" : NULL;
}

static const char *
mapped_status(const SmsflowWatch *watch, const char *status)
{
	ListCell *cell;

	foreach (cell, watch->status_names)
	{
		SmsflowStatusName *name = lfirst(cell);

		if (strcmp(name->status, status) == 0)
			return name->suffix;
	}
	return status;
}

static const char *
status_event_kind(SmsflowWatch *watch, const Change *change)
{
	char *status = column_text(&watch->columns[WATCH_STATUS], change->new, change->columns);
	const char *suffix;
	char *kind;

	if (change->old == NULL || !names_person(watch, change->old, change->columns, true))
		return watch->kind;
	suffix = status == NULL ? "" : mapped_status(watch, status);
	if (suffix[0] == '\0')
		return NULL;
	kind = psprintf("%s_%s", watch->kind, suffix);
	for (char *c = kind; *c != '\0'; c++)
		*c = IS_HIGHBIT_SET(*c) || !isalnum((unsigned char) *c) ? '_' : pg_ascii_tolower((unsigned char) *c);
	return kind;
}

/* Its data. ----------------------------------------------------------------- */

static void
push_key(JsonbParseState **state, const char *key)
{
	JsonbValue value = {.type = jbvString, .val.string = {.len = strlen(key), .val = unconstify(char *, key)}};

	pushJsonbValue(state, WJB_KEY, &value);
}

static void
push_column(JsonbParseState **state, SmsflowColumn *column, HeapTuple row, TupleDesc columns)
{
	Jsonb *content = column_jsonb(column, row, columns);
	JsonbValue value;

	if (content == NULL)
		return;
	if (!JB_ROOT_IS_SCALAR(content) || !JsonbExtractScalar(&content->root, &value))
	{
		value.type = jbvBinary;
		value.val.binary.data = &content->root;
		value.val.binary.len = VARSIZE_ANY_EXHDR(content);
	}
	push_key(state, column->key);
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* {"cart": {id, items, total, ...}, copied columns} */
static Jsonb *
event_data(SmsflowWatch *watch, HeapTuple row, TupleDesc columns)
{
	static const SmsflowMeaning members[] = {WATCH_ID,    WATCH_CART_ID,  WATCH_STATUS, WATCH_ITEMS,
											 WATCH_TOTAL, WATCH_CURRENCY, WATCH_STOCK,  WATCH_PRICE};
	JsonbParseState *state = NULL;
	ListCell *cell;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_key(&state, watch->is_inventory ? "product" : watch->kind);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (size_t i = 0; i < lengthof(members); i++)
		push_column(&state, &watch->columns[members[i]], row, columns);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	foreach (cell, watch->copied)
		push_column(&state, lfirst(cell), row, columns);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* What is no amount would spoil every sum it is part of. */
static void
fill_amount(SmsflowEvent *event, const char *total)
{
	if (total == NULL)
		return;
	event->amount = DirectFunctionCall3(numeric_in, CStringGetDatum(total), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	event->has_amount = smsflow_is_amount(event->amount);
}

static void
fill_event(SmsflowEvent *event, SmsflowWatch *watch, HeapTuple row, TupleDesc columns)
{
	event->brand_id = watch->brand_id;
	event->watch_id = watch->watch_id;
	event->ref = column_text(&watch->columns[WATCH_ID], row, columns);
	event->phone = column_text(&watch->columns[WATCH_PHONE], row, columns);
	event->external_id = column_text(&watch->columns[WATCH_CUSTOMER_ID], row, columns);
	event->currency = column_text(&watch->columns[WATCH_CURRENCY], row, columns);
	event->data = event_data(watch, row, columns);
	fill_amount(event, column_text(&watch->columns[WATCH_TOTAL], row, columns));
}

/* Recording it. ------------------------------------------------------------- */

static SmsflowWatch *
watch_of(const Change *change)
{
	SmsflowWatch *watch = smsflow_cached_watch(RelationGetRelid(change->relation));
	SmsflowSavedUser saved;

	if (watch == NULL && smsflow_become_owner(&saved))
	{
		watch = smsflow_load_watch(RelationGetRelid(change->relation), change->columns);
		smsflow_become_again(&saved);
	}
	return watch;
}

/* The key as its type prints it, by which the worker finds the row again. */
static Datum
key_datum(SmsflowWatch *watch, Datum key)
{
	return CStringGetTextDatum(OutputFunctionCall(&watch->columns[WATCH_ID].output, key));
}

/* A column that a mapping names may hold no key: that cart can neither be read nor be told from another. */
static void
append_key(SmsflowWatch *watch, HeapTuple row, TupleDesc columns)
{
	bool is_null;
	Datum key = heap_getattr(row, watch->columns[WATCH_ID].number, columns, &is_null);

	if (is_null)
		return;
	key = key_datum(watch, key);
	smsflow_append_keys(watch, &key, 1);
}

static void
append_change(SmsflowWatch *watch, const Change *change, const char *kind)
{
	SmsflowEvent event = {.kind = kind};
	SmsflowSavedUser saved;

	fill_event(&event, watch, change->new != NULL ? change->new : change->old, change->columns);
	if (!smsflow_become_owner(&saved))
		return;
	smsflow_append_event(&event);
	smsflow_become_again(&saved);
}

/* ---- stock and prices ---- */

static NullableDatum
text_datum(const char *text)
{
	return (NullableDatum){text == NULL ? (Datum) 0 : CStringGetTextDatum(text), text == NULL};
}

static SmsflowStatement apply_stock_change =
	{.sql = "SELECT smsflow.apply_stock($1, $2, $3::pg_catalog.numeric, $4::pg_catalog.numeric,"
			" $5::pg_catalog.numeric, $6::pg_catalog.numeric, $7)",
	 .nargs = 7,
	 .types = (const Oid[]){INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID}};

/* A product is about nobody in particular: SQL finds who waits for it. */
static void
apply_stock(SmsflowWatch *watch, const Change *change)
{
	SmsflowColumn *stock = &watch->columns[WATCH_STOCK];
	SmsflowColumn *price = &watch->columns[WATCH_PRICE];
	NullableDatum args[] = {
		{Int32GetDatum(watch->watch_id), false},
		text_datum(column_text(&watch->columns[WATCH_ID], change->new, change->columns)),
		text_datum(change->old == NULL ? NULL : column_text(stock, change->old, change->columns)),
		text_datum(column_text(stock, change->new, change->columns)),
		text_datum(change->old == NULL ? NULL : column_text(price, change->old, change->columns)),
		text_datum(column_text(price, change->new, change->columns)),
		{JsonbPGetDatum(event_data(watch, change->new, change->columns)), false},
	};
	SmsflowSavedUser saved;

	if (!smsflow_become_owner(&saved))
		return;
	SPI_connect();
	smsflow_execute(&apply_stock_change, args);
	SPI_finish();
	smsflow_become_again(&saved);
}

/*
 * Does nothing when smsflow is gone or the table is not watched any more. An
 * open cart ends nothing, so its key is enough, and the worker reads the rest.
 */
static void
record_change(void *argument)
{
	const Change *change = argument;
	SmsflowWatch *watch = watch_of(change);
	const char *kind;

	if (watch == NULL || !matters(watch, change, true))
		return;
	if (watch->is_inventory)
	{
		apply_stock(watch, change);
		return;
	}
	kind = watch->is_cart ? cart_event_kind(watch, change) : status_event_kind(watch, change);
	if (kind == NULL)
		return;
	if (watch->is_cart && strcmp(kind, "cart") == 0)
		append_key(watch, change->new, change->columns);
	else
		append_change(watch, change, kind);
}

/* ---- all rows of an INSERT at once ---- */

static bool
slot_has_value(const SmsflowColumn *column, TupleTableSlot *row)
{
	return column->number != 0 && !slot_attisnull(row, column->number);
}

static void
record_rows(void *argument)
{
	TriggerData *trigger = argument;
	Change change = {.relation = trigger->tg_relation, .columns = RelationGetDescr(trigger->tg_relation)};
	SmsflowWatch *watch = watch_of(&change);
	TupleTableSlot *row = MakeSingleTupleTableSlot(change.columns, &TTSOpsMinimalTuple);
	Datum keys[SMSFLOW_MAX_KEYS];
	int count = 0;

	while (watch != NULL && watch->watch_id != 0 && tuplestore_gettupleslot(trigger->tg_newtable, true, false, row))
	{
		SmsflowColumn *id = &watch->columns[WATCH_ID];

		if (slot_has_value(id, row) &&
			(slot_has_value(&watch->columns[WATCH_PHONE], row) || slot_has_value(&watch->columns[WATCH_CUSTOMER_ID], row)))
			keys[count++] = key_datum(watch, slot_getattr(row, id->number, &(bool){false}));
		if (count == SMSFLOW_MAX_KEYS)
		{
			smsflow_append_keys(watch, keys, count);
			count = 0;
		}
	}
	smsflow_append_keys(watch, keys, count);
	ExecDropSingleTupleTableSlot(row);
}

typedef struct Problem
{
	Oid relation;
	ErrorData *error;
} Problem;

/*
 * Counts an error. Whoever cannot have the row at once leaves it: checkouts
 * must not wait for each other here. Long numbers may be somebody's phone.
 */
static void
record_problem(void *argument)
{
	static const char query[] = "INSERT INTO smsflow.trigger_problem AS p (relation, sqlstate, error)"
								" SELECT $1, $2, pg_catalog.regexp_replace(pg_catalog.left($3, 500), '[0-9]{5,}', '...', 'g')"
								" WHERE pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended("
								"  pg_catalog.concat('smsflow.trigger_problem ', $1, ' ', $2), 0))"
								" ON CONFLICT (relation, sqlstate) DO UPDATE SET times = p.times OPERATOR(pg_catalog.+) 1,"
								"  error = EXCLUDED.error, last_at = EXCLUDED.last_at";
	const Problem *problem = argument;
	Oid types[3] = {OIDOID, TEXTOID, TEXTOID};
	Datum values[3] = {ObjectIdGetDatum(problem->relation), CStringGetTextDatum(unpack_sql_state(problem->error->sqlerrcode)),
					   CStringGetTextDatum(problem->error->message ? problem->error->message : "")};
	SmsflowSavedUser saved;

	if (!smsflow_become_owner(&saved))
		return;
	SPI_connect();
	SPI_execute_with_args(query, 3, types, values, NULL, false, 0);
	SPI_finish();
	smsflow_become_again(&saved);
}

/* Whether the store's statement must fail as well: somebody asked for it, or its transaction is lost anyway. */
static bool
ends_statement(const ErrorData *error)
{
	switch (error->sqlerrcode)
	{
		case ERRCODE_T_R_SERIALIZATION_FAILURE:
			return IsolationIsSerializable();
		case ERRCODE_OUT_OF_MEMORY:
			return true;
		default:
			return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION;
	}
}

/* Runs work in a subtransaction; returns the error that was kept away from the store, or NULL. */
static ErrorData *
run_guarded(void (*work)(void *), void *argument)
{
	ErrorData *error = smsflow_guarded(work, argument, GUARDED_UNLIMITED);

	if (error != NULL && ends_statement(error))
		ReThrowError(error);
	return error;
}

/* A statement that changed no row needs no subtransaction. */
static bool
is_empty(TriggerData *trigger)
{
	Tuplestorestate *rows = trigger->tg_newtable != NULL ? trigger->tg_newtable : trigger->tg_oldtable;

	return rows == NULL || tuplestore_tuple_count(rows) == 0;
}

static void
guard(Oid relation, void (*work)(void *), void *argument)
{
	Problem problem = {.relation = relation, .error = run_guarded(work, argument)};

	if (problem.error != NULL)
		(void) run_guarded(record_problem, &problem);
}

Datum
smsflow_watch_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	SmsflowWatch *watch;
	Change change;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("smsflow.watch_trigger() must be called as an AFTER trigger"),
						errhint("Use smsflow.watch_carts() or smsflow.watch_orders().")));
	if (TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
	{
		if (!is_empty(trigger))
			guard(RelationGetRelid(trigger->tg_relation),
				  trigger->tg_trigger->tgnargs == ITEMS_ARGUMENTS ? smsflow_record_items : record_rows, trigger);
		return PointerGetDatum(NULL);
	}
	if (trigger->tg_trigger->tgnargs == ITEMS_ARGUMENTS)
	{
		guard(RelationGetRelid(trigger->tg_relation), smsflow_record_emptied, trigger);
		return PointerGetDatum(NULL);
	}
	change = change_of(trigger);
	watch = smsflow_cached_watch(RelationGetRelid(change.relation));
	if (watch == NULL || matters(watch, &change, false))
		guard(RelationGetRelid(change.relation), record_change, &change);
	return PointerGetDatum(NULL);
}
