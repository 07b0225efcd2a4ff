/*
 * compat.h
 *	  What differs between PostgreSQL 14 and 18. Every other file is written for the newest form.
 *
 * To be included right behind postgres.h, because it changes what fmgr.h says.
 */
#ifndef PG_COMPAT_H
#define PG_COMPAT_H

#include "catalog/pg_foreign_server.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/resowner.h"

#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

/* Before 16, PGXS does not hide a module's symbols; we do, so the entry points must be marked. */
#if PG_VERSION_NUM < 160000
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#endif

#include "fmgr.h"

/* Declares a function that SQL calls: PG_FUNCTION_INFO_V1, visible in every version. */
#define SQL_FUNCTION(name)                           \
	extern PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
	PG_FUNCTION_INFO_V1(name)

/* What a varlena looks like stood in postgres.h before. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif

#if PG_VERSION_NUM >= 180000
#define create_foreign_path(root, rel, rows, startup, total, pathkeys, outer, private_list)       \
	create_foreignscan_path(root, rel, NULL, rows, 0, startup, total, pathkeys, outer, NULL, NIL, \
							private_list)
#elif PG_VERSION_NUM >= 170000
#define create_foreign_path(root, rel, rows, startup, total, pathkeys, outer, private_list) \
	create_foreignscan_path(root, rel, NULL, rows, startup, total, pathkeys, outer, NULL, NIL, private_list)
#else
#define create_foreign_path(root, rel, rows, startup, total, pathkeys, outer, private_list) \
	create_foreignscan_path(root, rel, NULL, rows, startup, total, pathkeys, outer, NULL, private_list)
#endif

/* The user whose rights a scan of a foreign table uses. */
#if PG_VERSION_NUM >= 160000
#define scan_check_as_user(node, estate)                           \
	(OidIsValid(((ForeignScan *) (node)->ss.ps.plan)->checkAsUser) \
		 ? ((ForeignScan *) (node)->ss.ps.plan)->checkAsUser       \
		 : GetUserId())
#else
#include "executor/executor.h"
static inline Oid
scan_check_as_user(ForeignScanState *node, EState *estate)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	RangeTblEntry *entry = exec_rt_fetch(plan->scan.scanrelid, estate);

	return OidIsValid(entry->checkAsUser) ? entry->checkAsUser : GetUserId();
}
#endif

#include "utils/pg_locale.h"
#if PG_VERSION_NUM >= 180000
#define collation_is_c(collation) (pg_newlocale_from_collation(collation)->collate_is_c)
#else
#define collation_is_c(collation) lc_collate_is_c(collation)
#endif

#include "access/genam.h"
#if PG_VERSION_NUM >= 180000
#define index_begin(heap, index, snapshot, keys) index_beginscan(heap, index, snapshot, NULL, keys, 0)
#else
#define index_begin(heap, index, snapshot, keys) index_beginscan(heap, index, snapshot, keys, 0)
#endif

/* ANALYZE's pause. */
#if PG_VERSION_NUM >= 180000
#define analyze_delay_point() vacuum_delay_point(true)
#else
#define analyze_delay_point() vacuum_delay_point()
#endif

/* PG 14 has one random state in another form. */
#if PG_VERSION_NUM >= 150000
#define sampler_fraction(state) sampler_random_fract(&(state)->randstate)
#else
#define sampler_fraction(state) sampler_random_fract((state)->randstate)
#endif

#if PG_VERSION_NUM >= 180000
#define pathkey_is_ascending(pathkey) ((pathkey)->pk_cmptype == COMPARE_LT)
#else
#include "access/stratnum.h"
#define pathkey_is_ascending(pathkey) ((pathkey)->pk_strategy == BTLessStrategyNumber)
#endif

#if PG_VERSION_NUM >= 160000
#define server_aclcheck(server, role, mode) object_aclcheck(ForeignServerRelationId, server, role, mode)
#else
#define server_aclcheck(server, role, mode) pg_foreign_server_aclcheck(server, role, mode)
#endif

/* The rows of a function into a tuplestore, by the query's own description of them. */
#if PG_VERSION_NUM < 150000
#include "funcapi.h"
#include "utils/memutils.h"
static inline void
InitMaterializedSRF(FunctionCallInfo fcinfo, bits32 flags)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
	TupleDesc description;

	if (get_call_result_type(fcinfo, NULL, &description) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	result->returnMode = SFRM_Materialize;
	result->setResult = tuplestore_begin_heap(false, false, work_mem);
	result->setDesc = BlessTupleDesc(description);
	MemoryContextSwitchTo(old);
}
#endif

#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* Has `request` called when shared memory may be asked for: once, by a library that is loaded at the server's start. */
extern void request_shared_memory(void (*request)(void));

#include "postmaster/bgworker.h"
#if PG_VERSION_NUM >= 170000
#define WORKER_OF_ANY_ROLE BGWORKER_BYPASS_ROLELOGINCHECK
#else
#define WORKER_OF_ANY_ROLE 0
#endif

#include "tcop/pquery.h"
#if PG_VERSION_NUM >= 180000
#define run_portal(portal) PortalRun(portal, FETCH_ALL, true, None_Receiver, None_Receiver, NULL)
#else
#define run_portal(portal) PortalRun(portal, FETCH_ALL, true, true, None_Receiver, None_Receiver, NULL)
#endif

/* A statement without parameters. */
#include "tcop/tcopprot.h"
#if PG_VERSION_NUM >= 150000
#define analyze_statement(parsed, text) pg_analyze_and_rewrite_fixedparams(parsed, text, NULL, 0, NULL)
#else
#define analyze_statement(parsed, text) pg_analyze_and_rewrite(parsed, text, NULL, 0, NULL)
#endif

#endif
