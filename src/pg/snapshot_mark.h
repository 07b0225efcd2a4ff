/*
 * snapshot_mark.h
 *	  Remembers under which snapshot something was read from a table, to tell whether it would still be read so.
 *
 * For what every row needs and few statements change: to compare marks costs some nanoseconds. In one transaction equal snapshots see
 * the same; across transactions nothing is taken for equal, for a transaction's own changes, undone, are not told by snapshots.
 */
#ifndef PG_SNAPSHOT_MARK_H
#define PG_SNAPSHOT_MARK_H

#include "postgres.h"

#include "utils/snapshot.h"

/* Zero-initialise; owned by whoever has it, with what it points to. */
struct snapshot_mark
{
	uint64 transaction; /* 0: nothing is marked */
	TransactionId xmin;
	TransactionId xmax;
	CommandId command;
	uint32 count;
	uint32 subtransaction_count;
	TransactionId *running; /* both kinds, one after the other */
	uint32 room;
};

/* True where `snapshot` sees what the marked one saw. */
extern bool snapshot_mark_holds(const struct snapshot_mark *mark, Snapshot snapshot);

/* Marks a snapshot; what the mark needs lives in `context`. */
extern void snapshot_mark_set(struct snapshot_mark *mark, Snapshot snapshot, MemoryContext context);

/* Holds for nothing until it is set again. */
extern void snapshot_mark_clear(struct snapshot_mark *mark);

/*
 * The snapshot that SQL functions read with: the active one, or, where there is none, a fresh one, which *registered says and
 * snapshot_release() gives back.
 */
extern Snapshot snapshot_at_hand(bool *registered);
extern void snapshot_release(Snapshot snapshot, bool registered);

#endif
