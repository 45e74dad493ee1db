/*
 * append.c - see append.h. Rows are collected and handed to the table access
 * method together, as COPY does it.
 */
#include "append.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/execPartition.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "smsflow.h"

/* Rows written by one call of the access method. */
#define ROWS_AT_ONCE 256

struct Appender
{
	Relation table;
	TupleDesc columns;
	AttrNumber *attributes;
	EState *estate;
	ResultRelInfo *result;
	ModifyTableState *state; /* for finding partitions; NULL for a plain table */
	PartitionTupleRouting *partitions;
	TupleTableSlot *rows[ROWS_AT_ONCE];
	int made;  /* slots */
	int count; /* rows in them */
};

static void
find_columns(Appender *appender, const char *const *columns, int count)
{
	appender->attributes = palloc(sizeof(AttrNumber) * count);
	for (int i = 0; i < count; i++)
	{
		appender->attributes[i] = get_attnum(RelationGetRelid(appender->table), columns[i]);
		if (appender->attributes[i] == InvalidAttrNumber)
			elog(ERROR, "column \"%s\" of table \"%s\" is missing", columns[i], RelationGetRelationName(appender->table));
	}
}

static void
find_indexes(Appender *appender)
{
	if (appender->table->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
	{
		ExecOpenIndices(appender->result, false);
		return;
	}
	appender->state = makeNode(ModifyTableState);
	appender->state->ps.state = appender->estate;
	appender->state->operation = CMD_INSERT;
	appender->state->resultRelInfo = appender->result;
	appender->partitions = ExecSetupPartitionTupleRouting(appender->estate, appender->table);
}

Appender *
append_begin(const char *table, const char *const *columns, int count)
{
	Appender *appender = palloc0(sizeof(Appender));

	appender->table = table_openrv(makeRangeVar(SMSFLOW_SCHEMA, pstrdup(table), -1), RowExclusiveLock);
	appender->columns = CreateTupleDescCopy(RelationGetDescr(appender->table));
	appender->estate = CreateExecutorState();
	appender->estate->es_output_cid = GetCurrentCommandId(true);
	appender->result = makeNode(ResultRelInfo);
	InitResultRelInfo(appender->result, appender->table, 0, NULL, 0);
	find_columns(appender, columns, count);
	find_indexes(appender);
	return appender;
}

Oid
append_column_type(const Appender *appender, int column)
{
	return TupleDescAttr(appender->columns, appender->attributes[column] - 1)->atttypid;
}

/* ---- writing ---- */

/* A partition may have its columns in another order. */
static ResultRelInfo *
find_partition(Appender *appender, TupleTableSlot **row)
{
	ResultRelInfo *partition;
	TupleConversionMap *map;

	if (appender->partitions == NULL)
		return appender->result;
	partition = ExecFindPartition(appender->state, appender->result, appender->partitions, *row, appender->estate);
	ResetPerTupleExprContext(appender->estate);
	map = smsflow_root_to_child_map(partition, appender->estate);
	if (map)
		*row = execute_attr_map_slot(map->attrMap, *row,
									 MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(partition->ri_RelationDesc)),
															  &TTSOpsVirtual));
	return partition;
}

static void
write_rows(Appender *appender, ResultRelInfo *to, TupleTableSlot **rows, int count)
{
	table_multi_insert(to->ri_RelationDesc, rows, count, appender->estate->es_output_cid, 0, NULL);
	if (to->ri_NumIndices == 0)
		return;
	for (int i = 0; i < count; i++)
	{
		rows[i]->tts_tableOid = RelationGetRelid(to->ri_RelationDesc);
		list_free(smsflow_insert_index_tuples(to, rows[i], appender->estate));
	}
}

/* Rows of one partition that follow each other are written together. */
static void
flush(Appender *appender)
{
	TupleTableSlot *rows[ROWS_AT_ONCE];
	ResultRelInfo *to = NULL;
	int first = 0;

	for (int i = 0; i < appender->count; i++)
	{
		ResultRelInfo *partition;

		rows[i] = appender->rows[i];
		partition = find_partition(appender, &rows[i]);
		if (to && partition != to)
		{
			write_rows(appender, to, &rows[first], i - first);
			first = i;
		}
		to = partition;
	}
	if (to)
		write_rows(appender, to, &rows[first], appender->count - first);
	appender->count = 0;
}

/* ---- rows ---- */

void
append_row(Appender *appender)
{
	TupleTableSlot *row;

	if (appender->count > 0)
		ExecStoreVirtualTuple(appender->rows[appender->count - 1]);
	if (appender->count == ROWS_AT_ONCE)
		flush(appender);
	if (appender->count == appender->made)
		appender->rows[appender->made++] = MakeSingleTupleTableSlot(appender->columns, &TTSOpsVirtual);
	row = appender->rows[appender->count++];
	ExecClearTuple(row);
	memset(row->tts_isnull, true, sizeof(bool) * appender->columns->natts);
}

void
append_value(Appender *appender, int column, Datum value)
{
	TupleTableSlot *row = appender->rows[appender->count - 1];
	int at = appender->attributes[column] - 1;

	row->tts_values[at] = value;
	row->tts_isnull[at] = false;
}

void
append_id(Appender *appender, int column, int64 value)
{
	if (value != 0)
		append_value(appender, column, Int64GetDatum(value));
}

void
append_text(Appender *appender, int column, const char *value)
{
	if (value && value[0] != '\0')
		append_value(appender, column, CStringGetTextDatum(value));
}

void
append_end(Appender *appender)
{
	if (appender->count > 0)
		ExecStoreVirtualTuple(appender->rows[appender->count - 1]);
	flush(appender);
	for (int i = 0; i < appender->made; i++)
		ExecDropSingleTupleTableSlot(appender->rows[i]);
	if (appender->partitions)
		ExecCleanupTupleRouting(appender->state, appender->partitions);
	else
		ExecCloseIndices(appender->result);
	FreeExecutorState(appender->estate);
	table_close(appender->table, NoLock);
}
