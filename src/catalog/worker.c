/*
 * worker.c
 *	  The background worker of dicom.sync().
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"

#include "../pg/worker_session.h"
#include "sync.h"

extern PGDLLEXPORT void dicom_sync_worker(Datum argument);

static void
copy_text(char *place, size_t room, const char *text)
{
	int length = text ? pg_mbcliplen(text, strlen(text), (int) room - 1) : 0;

	memcpy(place, text ? text : "", length);
	place[length] = '\0';
}

static void
keep_error(struct sync_shared *shared, const ErrorData *error)
{
	shared->sqlstate = error->sqlerrcode;
	copy_text(shared->message, sizeof(shared->message), error->message);
	copy_text(shared->detail, sizeof(shared->detail), error->detail);
	copy_text(shared->hint, sizeof(shared->hint), error->hint);
	shared->outcome = SYNC_FAILED;
}

/* Errors are the caller's to report. */
static bool
try_sync(struct sync_shared *shared, MemoryContext context)
{
	volatile bool done = false;

	PG_TRY();
	{
		MemoryContextSwitchTo(context);
		sync_run(shared);
		done = true;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		keep_error(shared, CopyErrorData());
		FlushErrorState();
	}
	PG_END_TRY();
	return done;
}

void
dicom_sync_worker(Datum argument)
{
	/* Work in small steps by primary key; a commit that is lost is done again. */
	static const struct worker_setting settings[] = {
		{"synchronous_commit", "off"}, {"jit", "off"},
		{"enable_seqscan", "off"},     {"enable_bitmapscan", "off"},
		{"enable_hashjoin", "off"},    {"enable_mergejoin", "off"},
		{"enable_material", "off"},    {"max_parallel_workers_per_gather", "0"},
	};
	dsm_segment *segment;
	struct sync_shared *shared;
	MemoryContext context;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	segment = dsm_attach(DatumGetUInt32(argument));
	if (segment == NULL)
		return; /* who wanted it is gone */
	dsm_pin_mapping(segment);
	shared = dsm_segment_address(segment);
	worker_session_start(shared->database, shared->login);
	worker_session_set(settings, lengthof(settings));
	context = AllocSetContextCreate(TopMemoryContext, "dicom_fdw sync", ALLOCSET_DEFAULT_SIZES);
	StartTransactionCommand();
	if (try_sync(shared, context))
	{
		CommitTransactionCommand();
		shared->outcome = SYNC_DONE;
		return;
	}
	AbortCurrentTransaction();
	if (shared->sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
		return; /* the row is the other's */
	StartTransactionCommand();
	MemoryContextSwitchTo(context);
	sync_note_failure(shared);
	CommitTransactionCommand();
}
