/*
 * notify.c
 *	  Notifications, the side of the session: queued, and handed to a process that sends them after the commit.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "postmaster/bgworker.h"
#include "utils/builtins.h"

#include "../pg/own_tables.h"
#include "notify.h"
#include "worker.h"

extern PGDLLEXPORT void dicom_notify_worker(Datum argument);

SQL_FUNCTION(dicom_check_notification_url);
SQL_FUNCTION(dicom_queue_notification);
SQL_FUNCTION(dicom_send_notifications);

static bool send_at_commit;

/* People are told of failures that go on every few hours; Healthchecks wants to hear of each. */
static const char queue_statement[] =
	"INSERT INTO dicom.notification (target, event, run, payload) SELECT t.id, $2, $3, $4 FROM dicom.notification_target t"
	" WHERE t.pipeline = $1 AND (t.id = $5 OR ($5 IS NULL AND $2 = ANY (t.events)))"
	" AND NOT (t.kind <> 'healthchecks' AND $2 IN ('failure', 'stopped_day') AND EXISTS (SELECT FROM dicom.notification n"
	" WHERE n.target = t.id AND n.event = $2"
	" AND n.queued_at BETWEEN pg_catalog.clock_timestamp() - interval '4 hours' AND pg_catalog.clock_timestamp()"
	" AND ($2 = 'failure' OR n.payload -> 'stopped' = $4 -> 'stopped')"
	" AND NOT EXISTS (SELECT FROM dicom.run_log r WHERE r.pipeline = $1 AND r.status = 'done' AND r.id > n.run AND r.id < $3)))"
	" ORDER BY t.id";

/* --- the process that sends --- */

void
dicom_notify_worker(Datum argument)
{
	worker_connect(DatumGetObjectId(argument), InvalidOid);
	notify_send_waiting();
}

/* Where no process can be had, they wait for the next one. Nothing may fail here: the transaction is committed. */
static void
start_sender(void)
{
	BackgroundWorker worker = {0};

	strcpy(worker.bgw_name, "dicom_fdw notifications");
	strcpy(worker.bgw_type, "dicom_fdw notifications");
	strcpy(worker.bgw_library_name, "dicom_fdw");
	strcpy(worker.bgw_function_name, "dicom_notify_worker");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	RegisterDynamicBackgroundWorker(&worker, NULL);
}

static void
send_after_commit(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && send_at_commit)
		start_sender();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		send_at_commit = false;
}

static void
want_sender(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(send_after_commit, NULL);
	registered = true;
	send_at_commit = true;
}

/* --- queueing --- */

/* May the current user act for the pipeline? Row security says so. */
static void
require_pipeline(Datum pipeline)
{
	Oid types[] = {TEXTOID};
	bool found;

	SPI_connect();
	if (SPI_execute_with_args("SELECT FROM dicom.pipeline p WHERE p.name = $1", lengthof(types), types,
							  &pipeline, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for a pipeline");
	found = SPI_processed > 0;
	SPI_finish();
	if (!found)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("pipeline \"%s\" does not exist", TextDatumGetCString(pipeline)),
						errhint("SELECT name FROM dicom.pipeline lists yours.")));
}

/* dicom.queue_notification(pipeline text, event text, run bigint, payload jsonb, target bigint) */
Datum
dicom_queue_notification(PG_FUNCTION_ARGS)
{
	Oid types[] = {TEXTOID, TEXTOID, INT8OID, JSONBOID, INT8OID};
	Datum values[lengthof(types)];
	char nulls[lengthof(types) + 1] = "";
	struct own_tables access;
	uint64 count;
	int i;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(3))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("pipeline, event and payload of a notification must not be NULL")));
	for (i = 0; i < (int) lengthof(types); i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	require_pipeline(values[0]);
	access = own_tables_begin("notification");
	own_tables_execute(queue_statement, lengthof(types), types, values, nulls);
	count = SPI_processed;
	own_tables_end(access);
	if (count > 0)
		want_sender();
	PG_RETURN_INT64((int64) count);
}

/* --- and the rest --- */

/* dicom.check_notification_url(url text, owner oid) */
Datum
dicom_check_notification_url(PG_FUNCTION_ARGS)
{
	char reason[300];

	if (!notify_url_is_allowed(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_OID(1), reason,
							   sizeof(reason)))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("%s", reason),
						errhint("Setting dicom_fdw.allowed_notification_hosts lists the hosts that ordinary "
								"users may name; superusers may name any but link-local ones.")));
	PG_RETURN_VOID();
}

/* dicom.send_notifications() */
Datum
dicom_send_notifications(PG_FUNCTION_ARGS)
{
	TupleDesc descriptor;
	Datum values[2];
	bool nulls[2] = {false, false};
	uint64 sent = 0;
	uint64 failed = 0;
	uint64 before;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH), errmsg("return type must be a row type")));
	PreventCommandIfReadOnly("dicom.send_notifications()");
	do
	{
		CHECK_FOR_INTERRUPTS();
		before = sent + failed;
		notify_send_round(&sent, &failed);
	} while (sent + failed > before);
	values[0] = Int64GetDatum((int64) sent);
	values[1] = Int64GetDatum((int64) failed);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}
