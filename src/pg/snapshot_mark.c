/*
 * snapshot_mark.c
 *	  Remembers under which snapshot something was read.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "snapshot_mark.h"

/* Goes up whenever changes of this transaction may have been undone. */
static uint64 transaction = 1;

static void
end_of_transaction(XactEvent event, void *arg)
{
	transaction++;
}

static void
end_of_subtransaction(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		transaction++;
}

static void
count_transactions(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(end_of_transaction, NULL);
	RegisterSubXactCallback(end_of_subtransaction, NULL);
	registered = true;
}

/* A snapshot may not list every subtransaction, but it lists every transaction: none can have ended in between. */
bool
snapshot_mark_holds(const struct snapshot_mark *mark, Snapshot snapshot)
{
	return mark->transaction == transaction && mark->xmin == snapshot->xmin && mark->xmax == snapshot->xmax &&
		   mark->command == snapshot->curcid && mark->count == snapshot->xcnt &&
		   mark->subtransaction_count == snapshot->subxcnt &&
		   (snapshot->xcnt == 0 ||
			memcmp(mark->running, snapshot->xip, snapshot->xcnt * sizeof(TransactionId)) == 0) &&
		   (snapshot->subxcnt == 0 || memcmp(mark->running + snapshot->xcnt, snapshot->subxip,
											 snapshot->subxcnt * sizeof(TransactionId)) == 0);
}

static void
make_room(struct snapshot_mark *mark, uint32 needed, MemoryContext context)
{
	if (mark->room >= needed)
		return;
	if (mark->running)
		pfree(mark->running);
	mark->running = NULL;
	mark->room = 0;
	mark->running = MemoryContextAlloc(context, (needed + 16) * sizeof(TransactionId));
	mark->room = needed + 16;
}

void
snapshot_mark_set(struct snapshot_mark *mark, Snapshot snapshot, MemoryContext context)
{
	count_transactions();
	mark->transaction = 0;
	make_room(mark, snapshot->xcnt + snapshot->subxcnt, context);
	if (snapshot->xcnt > 0)
		memcpy(mark->running, snapshot->xip, snapshot->xcnt * sizeof(TransactionId));
	if (snapshot->subxcnt > 0)
		memcpy(mark->running + snapshot->xcnt, snapshot->subxip, snapshot->subxcnt * sizeof(TransactionId));
	mark->xmin = snapshot->xmin;
	mark->xmax = snapshot->xmax;
	mark->command = snapshot->curcid;
	mark->count = snapshot->xcnt;
	mark->subtransaction_count = snapshot->subxcnt;
	mark->transaction = transaction;
}

void
snapshot_mark_clear(struct snapshot_mark *mark)
{
	mark->transaction = 0;
}

Snapshot
snapshot_at_hand(bool *registered)
{
	*registered = !ActiveSnapshotSet();
	return *registered ? RegisterSnapshot(GetTransactionSnapshot()) : GetActiveSnapshot();
}

void
snapshot_release(Snapshot snapshot, bool registered)
{
	if (registered)
		UnregisterSnapshot(snapshot);
}
