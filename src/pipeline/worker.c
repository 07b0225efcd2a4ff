/*
 * worker.c
 *	  What the processes of the worker share.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/xact.h"
#include "commands/dbcommands.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

#include "../pg/settings.h"
#include "../pg/worker_session.h"
#include "worker.h"

#define TRANCHE                  "dicom_fdw worker"
#define RESTART_LAUNCHER_AFTER_S 5

SQL_FUNCTION(dicom_wake_worker);

struct worker_shared *worker_shared;

static shmem_startup_hook_type next_startup_hook;
static struct worker_slot *own_slot; /* of this process */
static bool wake_at_commit;

/* --- shared memory --- */

static void
request_memory(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(struct worker_shared)));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

static void
start_memory(void)
{
	bool found;

	if (next_startup_hook)
		next_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	worker_shared = ShmemInitStruct(TRANCHE, sizeof(struct worker_shared), &found);
	if (!found)
	{
		memset(worker_shared, 0, sizeof(*worker_shared));
		worker_shared->lock = &GetNamedLWLockTranche(TRANCHE)->lock;
	}
	LWLockRelease(AddinShmemInitLock);
}

/*
 * The exit code of the launcher is never 0, so that the postmaster starts it again, whoever has ended it; after a crash of the
 * server it does so at once.
 */
static void
register_launcher(void)
{
	BackgroundWorker worker = {0};

	strcpy(worker.bgw_name, "dicom_fdw launcher");
	strcpy(worker.bgw_type, "dicom_fdw launcher");
	strcpy(worker.bgw_library_name, "dicom_fdw");
	strcpy(worker.bgw_function_name, "dicom_launcher");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_LAUNCHER_AFTER_S;
	RegisterBackgroundWorker(&worker);
}

void
worker_define(void)
{
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	request_shared_memory(request_memory);
	next_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_memory;
	register_launcher();
}

List *
worker_databases(void)
{
	List *names;

	if (!SplitIdentifierString(pstrdup(setting_databases), ',', &names))
		return NIL; /* the setting was checked when it was made */
	return names;
}

/* --- slots --- */

static void
end_slot(int code, Datum argument)
{
	LWLockAcquire(worker_shared->lock, LW_EXCLUSIVE);
	own_slot->state = SLOT_ENDED;
	LWLockRelease(worker_shared->lock);
	worker_wake_launcher(false);
}

bool
worker_begin(Datum argument, enum worker_kind kind, struct worker_slot *copy)
{
	uint32 number = DatumGetUInt32(argument);
	struct worker_slot *slot = &worker_shared->slots[number % WORKER_SLOTS];
	bool awaited;

	LWLockAcquire(worker_shared->lock, LW_EXCLUSIVE);
	awaited = slot->state == SLOT_STARTING && slot->kind == kind && slot->generation == number / WORKER_SLOTS;
	if (awaited)
	{
		slot->state = SLOT_RUNNING;
		slot->pid = MyProcPid;
		*copy = *slot;
	}
	LWLockRelease(worker_shared->lock);
	if (awaited)
	{
		own_slot = slot;
		before_shmem_exit(end_slot, (Datum) 0);
	}
	return awaited;
}

void
worker_succeeded(void)
{
	LWLockAcquire(worker_shared->lock, LW_EXCLUSIVE);
	own_slot->succeeded = true;
	LWLockRelease(worker_shared->lock);
}

bool
worker_want_run(Oid database, Oid owner, const char *pipeline, const char *reason)
{
	struct worker_slot *unused = NULL;
	bool found = false;
	int runs = 0;
	int i;

	LWLockAcquire(worker_shared->lock, LW_EXCLUSIVE);
	for (i = 0; i < WORKER_SLOTS; i++)
	{
		struct worker_slot *slot = &worker_shared->slots[i];

		if (slot->state == SLOT_FREE)
			unused = slot;
		else if (slot->kind == WORKER_RUN)
		{
			runs++;
			found |= slot->database == database && strcmp(slot->pipeline, pipeline) == 0;
		}
	}
	if (!found && unused && runs < setting_max_runs)
	{
		unused->state = SLOT_WANTED;
		unused->kind = WORKER_RUN;
		unused->database = database;
		unused->owner = owner;
		strlcpy(unused->pipeline, pipeline, WORKER_PIPELINE);
		strlcpy(unused->reason, reason, WORKER_REASON);
		found = true;
	}
	worker_shared->more_waiting |= !found;
	LWLockRelease(worker_shared->lock);
	return found;
}

void
worker_wake_launcher(bool check)
{
	LWLockAcquire(worker_shared->lock, LW_EXCLUSIVE);
	worker_shared->woken |= check;
	if (worker_shared->launcher)
		SetLatch(worker_shared->launcher);
	LWLockRelease(worker_shared->lock);
}

/* --- connecting --- */

void
worker_connect(Oid database, Oid user)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	worker_session_start(database, user);
}

/* --- waking --- */

static void
wake_after_commit(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && wake_at_commit)
		worker_wake_launcher(true);
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		wake_at_commit = false;
}

static bool
is_watched(void)
{
	const char *name = get_database_name(MyDatabaseId);
	ListCell *cell;
	bool has_launcher;

	if (worker_shared == NULL)
		return false;
	LWLockAcquire(worker_shared->lock, LW_SHARED);
	has_launcher = worker_shared->launcher != NULL;
	LWLockRelease(worker_shared->lock);
	foreach (cell, worker_databases())
		if (has_launcher && strcmp(lfirst(cell), name) == 0)
			return true;
	return false;
}

/* dicom.wake_worker(): as soon as what the transaction has written can be seen. */
Datum
dicom_wake_worker(PG_FUNCTION_ARGS)
{
	static bool registered = false;
	bool watched = is_watched();

	if (watched && !registered)
	{
		RegisterXactCallback(wake_after_commit, NULL);
		registered = true;
	}
	wake_at_commit = watched;
	PG_RETURN_BOOL(watched);
}
