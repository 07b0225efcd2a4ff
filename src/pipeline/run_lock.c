/*
 * run_lock.c
 *	  The lock that a run holds from its beginning to its end, over all of its transactions.
 *
 * It is the session's, for a transaction's ends with each batch. A session's lock survives an error or a cancel, and whoever
 * has cancelled a run in psql would keep others from running: so it goes with the first transaction that is aborted.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lock.h"

SQL_FUNCTION(dicom_lock_run);
SQL_FUNCTION(dicom_unlock_run);

static LOCKTAG held;
static bool is_held;

static void
release(void)
{
	if (is_held)
		LockRelease(&held, ExclusiveLock, true);
	is_held = false;
}

static void
release_on_abort(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		release();
}

/* lock_run(classid oid, id integer, wait boolean): the key is that of pg_advisory_lock(integer, integer). */
Datum
dicom_lock_run(PG_FUNCTION_ARGS)
{
	static bool registered = false;
	bool wait = PG_GETARG_BOOL(2);

	if (!registered)
		RegisterXactCallback(release_on_abort, NULL);
	registered = true;
	if (is_held)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE), errmsg("this session is in the middle of a run")));
	SET_LOCKTAG_ADVISORY(held, MyDatabaseId, PG_GETARG_OID(0), (uint32) PG_GETARG_INT32(1), 2);
	is_held = LockAcquire(&held, ExclusiveLock, true, !wait) != LOCKACQUIRE_NOT_AVAIL;
	PG_RETURN_BOOL(is_held);
}

Datum
dicom_unlock_run(PG_FUNCTION_ARGS)
{
	release();
	PG_RETURN_VOID();
}
