/*
 * sync.c
 *	  dicom.sync(), the session's side.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/htup_details.h"
#include "funcapi.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "postmaster/bgworker.h"
#include "mb/pg_wchar.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "utils/builtins.h"

#include "../pg/report.h"
#include "../server/server.h"
#include "sync.h"

#define STOP_PATIENCE_MS 2000

SQL_FUNCTION(dicom_sync);

/* Keys are compared byte by byte with those of the store. */
static void
require_unicode(void)
{
	if (GetDatabaseEncoding() != PG_UTF8)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("the catalog needs a database in UTF8"),
				 errdetail("This one is in %s.", GetDatabaseEncodingName()),
				 errhint("CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0.")));
}

static void
fill_request(struct sync_shared *shared, FunctionCallInfo fcinfo)
{
	const char *prefix = text_to_cstring(PG_GETARG_TEXT_PP(1));

	memset(shared, 0, sizeof(*shared));
	if (strlen(prefix) >= SYNC_PREFIX)
		ereport(ERROR, (errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
						errmsg("prefix is longer than %d bytes", SYNC_PREFIX - 1)));
	strcpy(shared->prefix, prefix);
	shared->database = MyDatabaseId;
	shared->login = GetAuthenticatedUserId();
	shared->user = GetUserId();
	shared->server = server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)))->serverid;
	shared->allow_empty = PG_GETARG_BOOL(2);
	shared->wait = PG_GETARG_BOOL(3);
}

static BackgroundWorkerHandle *
start_worker(dsm_segment *segment)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;

	strcpy(worker.bgw_name, "dicom sync");
	strcpy(worker.bgw_type, "dicom sync");
	strcpy(worker.bgw_library_name, "dicom_fdw");
	strcpy(worker.bgw_function_name, "dicom_sync_worker");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no background worker is free for dicom.sync()"),
				 errhint("Increase max_worker_processes (now %d), which takes a restart, or try again later.",
						 max_worker_processes)));
	return handle;
}

/* Stops it, and gives it a little time to end, so that the next sync finds the server free. */
static void
stop_worker(int code, Datum argument)
{
	BackgroundWorkerHandle *handle = (BackgroundWorkerHandle *) DatumGetPointer(argument);
	pid_t pid;
	int waited;

	TerminateBackgroundWorker(handle);
	for (waited = 0; waited < STOP_PATIENCE_MS; waited += 10)
	{
		BgwHandleStatus status = GetBackgroundWorkerPid(handle, &pid);

		if (status == BGWH_STOPPED || status == BGWH_POSTMASTER_DIED)
			return;
		pg_usleep(10000);
	}
}

static void
wait_for_worker(BackgroundWorkerHandle *handle)
{
	BgwHandleStatus status = BGWH_STOPPED;

	PG_ENSURE_ERROR_CLEANUP(stop_worker, PointerGetDatum(handle));
	{
		status = WaitForBackgroundWorkerShutdown(handle);
	}
	PG_END_ENSURE_ERROR_CLEANUP(stop_worker, PointerGetDatum(handle));
	if (status == BGWH_POSTMASTER_DIED)
		ereport(FATAL, (errcode(ERRCODE_ADMIN_SHUTDOWN), errmsg("postmaster exited during dicom.sync()")));
}

/* Throws what the worker has thrown. */
static void
check_outcome(const struct sync_shared *shared)
{
	if (shared->outcome == SYNC_FAILED)
		ereport(ERROR, (errcode(shared->sqlstate), errmsg("%s", shared->message),
						shared->detail[0] ? errdetail("%s", shared->detail) : 0,
						shared->hint[0] ? errhint("%s", shared->hint) : 0));
	if (shared->outcome == SYNC_UNFINISHED)
		ereport(ERROR, (errcode(ERRCODE_OPERATOR_INTERVENTION),
						errmsg("the worker of dicom.sync() was ended before it was done"),
						errdetail("What it had written stays."),
						errhint("See the server's log; dicom.sync() goes on where it ended.")));
	if (shared->counters.refused > 0)
		ereport(WARNING, (errcode(ERRCODE_WARNING),
						  errmsg(UINT64_FORMAT " objects are not in the catalog because of their keys",
								 shared->counters.refused),
						  errdetail("Keys must be UTF-8, and not longer than 2048 bytes.")));
}

static Datum
row_of(FunctionCallInfo fcinfo, const struct sync_counters *counters, double seconds)
{
	const uint64 numbers[] = {counters->listed, counters->added, counters->changed, counters->vanished,
							  counters->failed, counters->bytes, counters->requests};
	Datum values[lengthof(numbers) + 1];
	bool nulls[lengthof(numbers) + 1] = {false};
	TupleDesc descriptor;
	int i;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH), errmsg("return type must be a row type")));
	for (i = 0; i < (int) lengthof(numbers); i++)
		values[i] = Int64GetDatum((int64) numbers[i]);
	values[i] = Float8GetDatum(seconds);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}

/* dicom.sync(server text, prefix text, allow_empty boolean, wait boolean) */
Datum
dicom_sync(PG_FUNCTION_ARGS)
{
	dsm_segment *segment;
	struct sync_shared *shared;
	struct sync_counters counters;
	instr_time start, end;

	PreventCommandDuringRecovery("dicom.sync()");
	PreventCommandIfReadOnly("dicom.sync()");
	require_unicode();
	INSTR_TIME_SET_CURRENT(start);
	segment = dsm_create(sizeof(*shared), 0);
	shared = dsm_segment_address(segment);
	fill_request(shared, fcinfo);
	wait_for_worker(start_worker(segment));
	check_outcome(shared);
	counters = shared->counters;
	dsm_detach(segment);
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	return row_of(fcinfo, &counters, INSTR_TIME_GET_DOUBLE(end));
}
