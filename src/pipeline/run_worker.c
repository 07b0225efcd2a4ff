/*
 * run_worker.c
 *	  The process that runs one pipeline, as its owner.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/xact.h"
#include "commands/dbcommands.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"

#include "worker.h"

extern PGDLLEXPORT void dicom_run_worker(Datum argument);

static List *
plan(const char *statement)
{
	List *parsed = pg_parse_query(statement);
	List *plans;

	PushActiveSnapshot(GetTransactionSnapshot());
	plans = pg_plan_queries(analyze_statement(linitial_node(RawStmt, parsed), statement), statement, 0, NULL);
	PopActiveSnapshot();
	return plans;
}

/*
 * A CALL that may commit, as one that comes from a client: in a portal, which is what holds its snapshots between two
 * transactions of the procedure. Everything that must outlive those is in the current context.
 */
static void
call(const char *statement)
{
	MemoryContext context = CurrentMemoryContext;
	Portal portal;

	SetCurrentStatementStartTimestamp();
	debug_query_string = statement;
	pgstat_report_activity(STATE_RUNNING, statement);
	StartTransactionCommand();
	MemoryContextSwitchTo(context);
	portal = CreatePortal("", true, true);
	portal->visible = false;
	PortalDefineQuery(portal, NULL, statement, CMDTAG_CALL, plan(statement), NULL);
	PortalStart(portal, NULL, 0, InvalidSnapshot);
	run_portal(portal);
	PortalDrop(portal, false);
	CommitTransactionCommand();
}

/*
 * What PostgreSQL or a user's query says may hold a value: "invalid input syntax for type date: ...". Messages of these classes
 * name objects and reasons only.
 */
static bool
may_be_told(int sqlstate)
{
	static const int classes[] = {
		ERRCODE_CONNECTION_EXCEPTION,
		ERRCODE_FEATURE_NOT_SUPPORTED,
		ERRCODE_INVALID_TRANSACTION_STATE,
		ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
		ERRCODE_INVALID_CATALOG_NAME,
		ERRCODE_INVALID_SCHEMA_NAME,
		ERRCODE_TRANSACTION_ROLLBACK,
		ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION,
		ERRCODE_INSUFFICIENT_RESOURCES,
		ERRCODE_PROGRAM_LIMIT_EXCEEDED,
		ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
		ERRCODE_OPERATOR_INTERVENTION,
		ERRCODE_SYSTEM_ERROR,
	};
	int i;

	for (i = 0; i < (int) lengthof(classes); i++)
		if (ERRCODE_TO_CATEGORY(classes[i]) == ERRCODE_TO_CATEGORY(sqlstate))
			return true;
	return false;
}

/* An error that dicom.run() has not dealt with: all of it is in no log, for it may hold anything. */
static void
report_failure(const char *pipeline, const ErrorData *error)
{
	ereport(LOG, (errcode(error->sqlerrcode), errmsg("run of pipeline \"%s\" failed", pipeline),
				  errdetail("SQLSTATE %s%s%s", unpack_sql_state(error->sqlerrcode),
							may_be_told(error->sqlerrcode) ? ": " : "",
							may_be_told(error->sqlerrcode) ? error->message : ""),
				  errhint("See dicom.runs and dicom.run_steps; CALL dicom.run() in psql says everything.")));
}

static bool
try_call(const char *pipeline, const char *reason, MemoryContext context)
{
	char *statement = psprintf("CALL dicom.run(%s, reason => %s)", quote_literal_cstr(pipeline),
							   quote_literal_cstr(reason));
	volatile bool done = false;

	PG_TRY();
	{
		call(statement);
		done = true;
	}
	PG_CATCH();
	{
		ErrorData *error;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		debug_query_string = NULL;
		AbortCurrentTransaction();
		MemoryContextSwitchTo(context);
		report_failure(pipeline, error);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	debug_query_string = NULL;
	return done;
}

void
dicom_run_worker(Datum argument)
{
	struct worker_slot slot;
	MemoryContext context;

	if (!worker_begin(argument, WORKER_RUN, &slot))
		return;
	worker_connect(slot.database, slot.owner);
	context = AllocSetContextCreate(TopMemoryContext, "dicom_fdw run", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	if (try_call(slot.pipeline, slot.reason, context))
		worker_succeeded();
	pgstat_report_activity(STATE_IDLE, NULL);
	pgstat_report_stat(true);
}
