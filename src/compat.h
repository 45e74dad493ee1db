/*
 * compat.h - the differences between the supported PostgreSQL releases, 15 to 18.
 *
 * This is the only file that tests PG_VERSION_NUM.  Each shim names the upstream commit that made it necessary.
 */
#ifndef SMSFLOW_COMPAT_H
#define SMSFLOW_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "smsflow needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
/* VARDATA_ANY() and its like moved out of postgres.h (d952373a987b). */
#include "varatt.h"
#endif

/*
 * smsflow_ereturn(escontext, result, errcode(...), ...) reports an error of an input function.  Where the server has
 * soft errors (16, d9f7f5d32f20) it saves the error in escontext, if that takes it, and returns result; otherwise it raises.
 */
#if PG_VERSION_NUM >= 160000
#define smsflow_ereturn(escontext, result, ...) ereturn(escontext, result, __VA_ARGS__)
#else
#define smsflow_ereturn(escontext, result, ...)                                                                                  \
	do                                                                                                                           \
	{                                                                                                                            \
		(void) (escontext);                                                                                                      \
		ereport(ERROR, __VA_ARGS__);                                                                                             \
		return result;                                                                                                           \
	} while (0)
#endif

/* The module says its name and version to pg_get_loaded_modules() (18, 9324c8c58065). */
#if PG_VERSION_NUM >= 180000
#define SMSFLOW_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "smsflow", .version = SMSFLOW_VERSION)
#else
#define SMSFLOW_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* A wait event set belongs to a resource owner, NULL for none, instead of a context (17, 50c67c2019ab). */
#if PG_VERSION_NUM >= 170000
#define smsflow_create_wait_event_set(nevents) CreateWaitEventSet(NULL, nevents)
#else
#define smsflow_create_wait_event_set(nevents) CreateWaitEventSet(TopMemoryContext, nevents)
#endif

/* Only summarizing indexes may be asked for (16, 19d8e2308bc5). */
#if PG_VERSION_NUM >= 160000
#define smsflow_insert_index_tuples(relation, row, estate)                                                                       \
	ExecInsertIndexTuples(relation, row, estate, false, false, NULL, NIL, false)
#else
#define smsflow_insert_index_tuples(relation, row, estate) ExecInsertIndexTuples(relation, row, estate, false, false, NULL, NIL)
#endif

/* The map from a partitioned table to a partition is made when it is asked for (16, fb958b5da86d). */
#if PG_VERSION_NUM >= 160000
#define smsflow_root_to_child_map(partition, estate) ExecGetRootToChildMap(partition, estate)
#else
#define smsflow_root_to_child_map(partition, estate) ((void) (estate), (partition)->ri_RootToPartitionMap)
#endif

/* An index scan counts itself for EXPLAIN where somebody asks for it (18, 0fbceae841cb). */
#if PG_VERSION_NUM >= 180000
#define smsflow_index_beginscan(heap, index, snapshot, keys) index_beginscan(heap, index, snapshot, NULL, keys, 0)
#else
#define smsflow_index_beginscan(heap, index, snapshot, keys) index_beginscan(heap, index, snapshot, keys, 0)
#endif

#endif /* SMSFLOW_COMPAT_H */
