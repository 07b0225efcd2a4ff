/*
 * check.c
 *	  The process that asks a database which of its pipelines are due.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "notify.h"
#include "worker.h"

extern PGDLLEXPORT void dicom_check(Datum argument);

/* Do all functions of this name in the schema belong to superusers, and is there one? *owner is that of the last. */
static bool
belong_to_superusers(const char *name, Oid schema, Oid *owner)
{
	CatCList *list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
	int found = 0;
	bool trusted = true;
	int i;

	for (i = 0; i < list->n_members; i++)
	{
		Form_pg_proc function = (Form_pg_proc) GETSTRUCT(&list->members[i]->tuple);

		if (function->pronamespace != schema)
			continue;
		found++;
		*owner = function->proowner;
		trusted &= superuser_arg(*owner);
	}
	ReleaseSysCacheList(list);
	if (!trusted)
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("pipelines are not run, because dicom.%s() does not belong to a superuser", name)));
	return found > 0 && trusted;
}

/*
 * Is the extension there, in a version that knows of runs? What it says decides whose rights a run has: so it is asked only where no
 * one but a superuser can have changed it.
 */
static bool
can_be_asked(Oid *owner)
{
	Oid schema = get_namespace_oid("dicom", true);
	Oid other;

	return OidIsValid(get_extension_oid("dicom_fdw", true)) && OidIsValid(schema) &&
		   belong_to_superusers("run", schema, &other) && belong_to_superusers("due", schema, &other) &&
		   belong_to_superusers("worker_due", schema, owner);
}

/* False: no more may run now. */
static bool
want_run(HeapTuple tuple, TupleDesc descriptor)
{
	bool no_name, no_owner, no_reason;
	Datum name = SPI_getbinval(tuple, descriptor, 1, &no_name);
	Datum owner = SPI_getbinval(tuple, descriptor, 2, &no_owner);
	Datum reason = SPI_getbinval(tuple, descriptor, 3, &no_reason);

	return no_name || no_owner ||
		   worker_want_run(MyDatabaseId, DatumGetObjectId(owner), TextDatumGetCString(name),
						   no_reason ? "due" : TextDatumGetCString(reason));
}

static void
want_runs(void)
{
	uint64 i;

	if (SPI_execute("SELECT d.pipeline, d.owner, d.reason FROM dicom.worker_due() d", false, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not ask for due pipelines");
	for (i = 0; i < SPI_processed; i++)
		if (!want_run(SPI_tuptable->vals[i], SPI_tuptable->tupdesc))
			break;
}

static void
ask(void)
{
	Oid owner;
	Oid user;
	int context;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (can_be_asked(&owner))
	{
		GetUserIdAndSecContext(&user, &context);
		SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
		SPI_connect();
		want_runs();
		SPI_finish();
		SetUserIdAndSecContext(user, context);
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
}

void
dicom_check(Datum argument)
{
	struct worker_slot slot;

	if (!worker_begin(argument, WORKER_CHECK, &slot))
		return;
	worker_connect(slot.database, InvalidOid);
	pgstat_report_activity(STATE_RUNNING, "SELECT * FROM dicom.worker_due()");
	ask();
	worker_succeeded();
	worker_wake_launcher(false);
	notify_send_waiting();
}
