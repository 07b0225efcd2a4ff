/*
 * handler.c
 *	  The foreign-data wrapper's table of callbacks.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "fdw.h"

SQL_FUNCTION(dicom_fdw_handler);

static void
refuse_write(const char *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("cannot change foreign table \"%s\"", table),
			 errdetail("Tables of dicom_fdw show what is in the store; they do not write to it."),
			 errhint("CREATE TABLE ... AS SELECT ... makes a table of your own.")));
}

static List *
plan_modify(PlannerInfo *root, ModifyTable *plan, Index relation, int subplan)
{
	refuse_write(get_rel_name(planner_rt_fetch(relation, root)->relid));
	return NIL;
}

static void
begin_insert(ModifyTableState *state, ResultRelInfo *result)
{
	refuse_write(RelationGetRelationName(result->ri_RelationDesc));
}

/* No bit set: psql and information_schema show the tables as read-only. */
static int
updatable(Relation relation)
{
	return 0;
}

Datum
dicom_fdw_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	routine->GetForeignRelSize = plan_rel_size;
	routine->GetForeignPaths = plan_rel_paths;
	routine->GetForeignPlan = plan_foreign_scan;
	routine->BeginForeignScan = execute_begin;
	routine->IterateForeignScan = execute_iterate;
	routine->ReScanForeignScan = execute_rescan;
	routine->EndForeignScan = execute_end;
	routine->ExplainForeignScan = execute_explain;
	routine->IsForeignScanParallelSafe = plan_is_parallel_safe;
	routine->EstimateDSMForeignScan = parallel_estimate;
	routine->InitializeDSMForeignScan = parallel_initialize;
	routine->ReInitializeDSMForeignScan = parallel_reinitialize;
	routine->InitializeWorkerForeignScan = parallel_initialize_worker;
	routine->ShutdownForeignScan = parallel_shutdown;
	routine->IsForeignPathAsyncCapable = plan_is_async_capable;
	routine->ForeignAsyncRequest = async_request;
	routine->ForeignAsyncConfigureWait = async_configure_wait;
	routine->ForeignAsyncNotify = async_notify;
	routine->AnalyzeForeignTable = analyze_table;
	routine->ImportForeignSchema = import_schema;
	routine->IsForeignRelUpdatable = updatable;
	routine->PlanForeignModify = plan_modify;
	routine->BeginForeignInsert = begin_insert;
	PG_RETURN_POINTER(routine);
}
