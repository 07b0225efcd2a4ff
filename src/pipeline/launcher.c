/*
 * launcher.c
 *	  The process that starts all others: see worker.h.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"

#include "../pg/settings.h"
#include "worker.h"

#define LONGEST_PATIENCE_S 3600
#define WARN_EVERY_MS      (3600 * 1000)

extern PGDLLEXPORT void dicom_launcher(Datum argument);

/* A database of the list. */
struct database
{
	char name[NAMEDATALEN];
	TimestampTz next_check;
	int slot;    /* of the check that is under way; -1: none is */
	int strikes; /* checks in a row that failed */
};

/* A pipeline whose runs die without dicom.run() having noted why. */
struct culprit
{
	Oid database;
	char pipeline[WORKER_PIPELINE];
	int strikes;
	TimestampTz not_before;
};

static List *databases; /* of struct database */
static List *culprits;  /* of struct culprit */
static BackgroundWorkerHandle *handles[WORKER_SLOTS];
static TimestampTz warned_at;

/* Seconds to wait after so many failures in a row. */
static int
patience(int strikes)
{
	int64 seconds = (int64) setting_worker_naptime << Min(strikes, 20);

	return (int) Min(seconds, Max(LONGEST_PATIENCE_S, setting_worker_naptime));
}

static TimestampTz
in_seconds(int seconds)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) seconds * 1000);
}

/* Is a moment still to come that was noted as so many seconds ahead? One that is further ahead was noted before the clock was set back. */
static bool
is_to_come(TimestampTz moment, int seconds)
{
	return moment > GetCurrentTimestamp() && moment <= in_seconds(seconds);
}

/* --- the list of databases --- */

static struct database *
find_database(List *list, const char *name)
{
	ListCell *cell;

	foreach (cell, list)
		if (strcmp(((struct database *) lfirst(cell))->name, name) == 0)
			return lfirst(cell);
	return NULL;
}

/* Those that were listed before keep their state; the others are looked at right away. */
static void
read_list(void)
{
	List *names = worker_databases();
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	List *list = NIL;
	ListCell *cell;

	foreach (cell, names)
	{
		struct database *database = find_database(databases, lfirst(cell));

		if (find_database(list, lfirst(cell)))
			continue;
		if (database == NULL)
		{
			database = palloc0(sizeof(*database));
			strlcpy(database->name, lfirst(cell), NAMEDATALEN);
			database->slot = -1;
		}
		list = lappend(list, database);
	}
	foreach (cell, databases)
		if (!list_member_ptr(list, lfirst(cell)))
			pfree(lfirst(cell));
	list_free(databases);
	databases = list;
	MemoryContextSwitchTo(old);
}

static void
reload(void)
{
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	read_list();
}

/* --- processes --- */

static void
name_worker(BackgroundWorker *worker, const struct worker_slot *slot, const char *database)
{
	if (slot->kind == WORKER_CHECK)
		snprintf(worker->bgw_name, BGW_MAXLEN, "dicom_fdw check of %s", database);
	else
		snprintf(worker->bgw_name, BGW_MAXLEN, "dicom_fdw run of %s", slot->pipeline);
	strcpy(worker->bgw_type, slot->kind == WORKER_CHECK ? "dicom_fdw check" : "dicom_fdw run");
	strcpy(worker->bgw_function_name, slot->kind == WORKER_CHECK ? "dicom_check" : "dicom_run_worker");
}

static void
warn_of_workers(void)
{
	if (warned_at != 0 && !TimestampDifferenceExceeds(warned_at, GetCurrentTimestamp(), WARN_EVERY_MS))
		return;
	warned_at = GetCurrentTimestamp();
	ereport(WARNING, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					  errmsg("no background worker is free to look after pipelines"),
					  errhint("Increase max_worker_processes (now %d), which takes a restart.",
							  max_worker_processes)));
}

/* Starts the process of a slot whose other fields are filled in, with the lock held. */
static bool
start_worker(int number, const char *database)
{
	struct worker_slot *slot = &worker_shared->slots[number];
	BackgroundWorker worker = {0};
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	bool started;

	slot->generation = (slot->generation + 1) % (UINT32_MAX / WORKER_SLOTS);
	slot->succeeded = false;
	slot->pid = 0;
	slot->state = SLOT_STARTING;
	strcpy(worker.bgw_library_name, "dicom_fdw");
	name_worker(&worker, slot, database);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = UInt32GetDatum(slot->generation * WORKER_SLOTS + number);
	worker.bgw_notify_pid = MyProcPid;
	started = RegisterDynamicBackgroundWorker(&worker, &handles[number]);
	if (!started)
	{
		handles[number] = NULL;
		slot->state = SLOT_FREE;
	}
	MemoryContextSwitchTo(old);
	return started;
}

static bool
has_stopped(int number)
{
	pid_t pid;

	return handles[number] == NULL || GetBackgroundWorkerPid(handles[number], &pid) == BGWH_STOPPED;
}

/* --- what has ended --- */

static struct culprit *
find_culprit(Oid database, const char *pipeline)
{
	ListCell *cell;

	foreach (cell, culprits)
	{
		struct culprit *culprit = lfirst(cell);

		if (culprit->database == database && strcmp(culprit->pipeline, pipeline) == 0)
			return culprit;
	}
	return NULL;
}

static void
note_run(const struct worker_slot *slot)
{
	struct culprit *culprit = find_culprit(slot->database, slot->pipeline);

	if (slot->succeeded && culprit)
	{
		culprits = list_delete_ptr(culprits, culprit);
		pfree(culprit);
	}
	if (slot->succeeded)
		return;
	if (culprit == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		culprit = palloc0(sizeof(*culprit));
		culprit->database = slot->database;
		strlcpy(culprit->pipeline, slot->pipeline, WORKER_PIPELINE);
		culprits = lappend(culprits, culprit);
		MemoryContextSwitchTo(old);
	}
	culprit->not_before = in_seconds(patience(culprit->strikes++));
}

static void
note_check(int number, const struct worker_slot *slot)
{
	ListCell *cell;

	foreach (cell, databases)
	{
		struct database *database = lfirst(cell);

		if (database->slot != number)
			continue;
		database->slot = -1;
		database->strikes = slot->succeeded ? 0 : database->strikes + 1;
		database->next_check = in_seconds(patience(database->strikes));
	}
}

static void
take_back(int number, bool *run_ended)
{
	struct worker_slot *slot = &worker_shared->slots[number];

	if (slot->kind == WORKER_CHECK)
		note_check(number, slot);
	else
	{
		note_run(slot);
		*run_ended = true;
	}
	if (handles[number])
		pfree(handles[number]);
	handles[number] = NULL;
	slot->state = SLOT_FREE;
}

static void
check_all_now(void)
{
	ListCell *cell;

	foreach (cell, databases)
		((struct database *) lfirst(cell))->next_check = 0;
}

/* Takes back the slots of processes that are gone, and looks whether there is a reason not to wait for the next check. */
static void
look_at_slots(void)
{
	bool run_ended = false;
	int i;

	LWLockAcquire(worker_shared->lock, LW_EXCLUSIVE);
	for (i = 0; i < WORKER_SLOTS; i++)
	{
		struct worker_slot *slot = &worker_shared->slots[i];

		if (slot->state == SLOT_ENDED || (slot->state == SLOT_STARTING && has_stopped(i)))
			take_back(i, &run_ended);
	}
	if (worker_shared->woken)
	{
		list_free_deep(culprits);
		culprits = NIL;
	}
	if (worker_shared->woken || (run_ended && worker_shared->more_waiting))
	{
		check_all_now();
		worker_shared->woken = false;
		worker_shared->more_waiting = false;
	}
	LWLockRelease(worker_shared->lock);
}

/* --- what is to be started --- */

static void
start_runs(void)
{
	bool lacking = false;
	int i;

	LWLockAcquire(worker_shared->lock, LW_EXCLUSIVE);
	for (i = 0; i < WORKER_SLOTS; i++)
	{
		struct worker_slot *slot = &worker_shared->slots[i];
		struct culprit *culprit;

		if (slot->state != SLOT_WANTED)
			continue;
		culprit = find_culprit(slot->database, slot->pipeline);
		if (culprit && is_to_come(culprit->not_before, patience(culprit->strikes)))
			slot->state = SLOT_FREE;
		else
			lacking |= !start_worker(i, "");
	}
	LWLockRelease(worker_shared->lock);
	if (lacking)
		warn_of_workers();
}

static int
free_slot(void)
{
	int i;

	for (i = 0; i < WORKER_SLOTS; i++)
		if (worker_shared->slots[i].state == SLOT_FREE)
			return i;
	return -1;
}

static bool
start_check(struct database *database, Oid oid)
{
	int number;
	bool started = false;

	LWLockAcquire(worker_shared->lock, LW_EXCLUSIVE);
	number = free_slot();
	if (number >= 0)
	{
		struct worker_slot *slot = &worker_shared->slots[number];

		slot->kind = WORKER_CHECK;
		slot->database = oid;
		started = start_worker(number, database->name);
	}
	LWLockRelease(worker_shared->lock);
	database->slot = started ? number : -1;
	return started;
}

/* Without a database there is no cache of indexes but what a file may bring: so it may take reading the table. */
static Oid
oid_of_database(const char *name)
{
	Relation databases_table = table_open(DatabaseRelationId, AccessShareLock);
	Oid oid = InvalidOid;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_database_datname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum(name));
	scan =
		systable_beginscan(databases_table, DatabaseNameIndexId, criticalSharedRelcachesBuilt, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		oid = ((Form_pg_database) GETSTRUCT(tuple))->oid;
	systable_endscan(scan);
	table_close(databases_table, AccessShareLock);
	return oid;
}

static Oid
look_up_database(const char *name)
{
	MemoryContext context = CurrentMemoryContext;
	Oid oid;

	StartTransactionCommand();
	oid = oid_of_database(name);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return oid;
}

static void
start_checks(void)
{
	ListCell *cell;

	foreach (cell, databases)
	{
		struct database *database = lfirst(cell);
		Oid oid;

		if (database->slot >= 0 || is_to_come(database->next_check, patience(database->strikes)))
			continue;
		database->next_check = in_seconds(setting_worker_naptime);
		oid = look_up_database(database->name);
		if (OidIsValid(oid) && !start_check(database, oid))
			warn_of_workers();
	}
}

/* --- the process --- */

static void
leave(int code, Datum argument)
{
	LWLockAcquire(worker_shared->lock, LW_EXCLUSIVE);
	worker_shared->launcher = NULL;
	LWLockRelease(worker_shared->lock);
}

/* Of a launcher before this one, only processes that really run are left. */
static void
enter(void)
{
	int i;

	LWLockAcquire(worker_shared->lock, LW_EXCLUSIVE);
	worker_shared->launcher = MyLatch;
	for (i = 0; i < WORKER_SLOTS; i++)
		if (worker_shared->slots[i].state != SLOT_RUNNING)
			worker_shared->slots[i].state = SLOT_FREE;
	LWLockRelease(worker_shared->lock);
	before_shmem_exit(leave, (Datum) 0);
}

/* Milliseconds until the next check is due. */
static long
time_to_sleep(void)
{
	TimestampTz next = in_seconds(setting_worker_naptime);
	ListCell *cell;

	foreach (cell, databases)
	{
		const struct database *database = lfirst(cell);

		if (database->slot < 0)
			next = Min(next, database->next_check);
	}
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next);
}

static void
tell(void)
{
	char text[64];

	snprintf(text, sizeof(text), "looking after %d databases", list_length(databases));
	pgstat_report_activity(STATE_IDLE, text);
}

void
dicom_launcher(Datum argument)
{
	MemoryContext context;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	enter();
	context = AllocSetContextCreate(TopMemoryContext, "dicom_fdw launcher", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	read_list();
	for (;;)
	{
		MemoryContextReset(context);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
			reload();
		look_at_slots();
		start_runs();
		start_checks();
		tell();
		WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, time_to_sleep(),
				  PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}
