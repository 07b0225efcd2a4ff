/*
 * fdw.h
 *	  The callbacks of the foreign-data wrapper, one file per phase, and what they share.
 */
#ifndef FDW_FDW_H
#define FDW_FDW_H

#include "postgres.h"

#include "../pg/compat.h"
#include "access/parallel.h"
#include "commands/explain.h"
#include "commands/vacuum.h"
#include "foreign/fdwapi.h"

#include "../server/server.h"
#include "column.h"
#include "prune.h"

/* table.c: what the options of a foreign table say. */
struct table
{
	ForeignServer *server;
	List *options;
	enum entity_kind entity;
	const char *prefix;            /* or NULL */
	struct key_format *key_format; /* or NULL */
};

extern void table_load(Oid relid, struct table *table);

/* How old the catalog may be for its scans, in milliseconds; 0: it is never trusted alone. */
extern int table_freshness(const struct table *table);

/* Fills columns[] (as many as the descriptor has) with those that say something about keys; returns how many. */
extern int table_prune_columns(const struct table *table, Oid relid, TupleDesc descriptor,
							   struct prune_column *columns);

/* plan.c */
extern void plan_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid relid);
extern void plan_rel_paths(PlannerInfo *root, RelOptInfo *rel, Oid relid);
extern ForeignScan *plan_foreign_scan(PlannerInfo *root, RelOptInfo *rel, Oid relid, ForeignPath *path,
									  List *targets, List *clauses, Plan *outer);

extern bool plan_is_parallel_safe(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte);
extern bool plan_is_async_capable(ForeignPath *path);

/* execute.c */
extern void execute_begin(ForeignScanState *node, int flags);
extern TupleTableSlot *execute_iterate(ForeignScanState *node);
extern void execute_rescan(ForeignScanState *node);
extern void execute_end(ForeignScanState *node);
extern void execute_explain(ForeignScanState *node, ExplainState *es);

/* parallel.c */
extern Size parallel_estimate(ForeignScanState *node, ParallelContext *context);
extern void parallel_initialize(ForeignScanState *node, ParallelContext *context, void *coordinate);
extern void parallel_reinitialize(ForeignScanState *node, ParallelContext *context, void *coordinate);
extern void parallel_initialize_worker(ForeignScanState *node, shm_toc *toc, void *coordinate);
extern void parallel_shutdown(ForeignScanState *node);

/* async.c */
extern void async_request(AsyncRequest *request);
extern void async_configure_wait(AsyncRequest *request);
extern void async_notify(AsyncRequest *request);

/* analyze.c */
extern bool analyze_table(Relation relation, AcquireSampleRowsFunc *function, BlockNumber *pages);

/* import.c */
extern List *import_schema(ImportForeignSchemaStmt *statement, Oid server);

#endif
