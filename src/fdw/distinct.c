/*
 * distinct.c
 *	  Which keys were seen.
 *
 * A spilled row is a MinimalTuple whose first two columns are the key's hash, followed by the row. A level of
 * partitions is worked off one by one: each begins with an empty table, and what does not fit even then spills again,
 * by the next bits of the hash.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "distinct.h"

#define PARTITION_BITS  4
#define PARTITION_COUNT (1 << PARTITION_BITS)

struct key_hash
{
	uint64 low;
	uint64 high;
};

typedef struct seen_entry
{
	struct key_hash hash;
	char status;
} seen_entry;

#define SH_PREFIX            seen
#define SH_ELEMENT_TYPE      seen_entry
#define SH_KEY_TYPE          struct key_hash
#define SH_KEY               hash
#define SH_HASH_KEY(tb, key) ((uint32) (key).low)
#define SH_EQUAL(tb, a, b)   ((a).low == (b).low && (a).high == (b).high)
#define SH_SCOPE             static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Rows waiting for their turn, all with the same leading bits of the hash. */
struct partition
{
	Tuplestorestate *rows;
	int depth; /* how many groups of PARTITION_BITS chose it */
};

struct distinct
{
	MemoryContext context;
	MemoryContext table_context;
	struct seen_hash *seen;
	size_t limit; /* bytes for the table: work_mem */
	uint64 seed;
	struct key_hash last;
	TupleDesc spill_descriptor;
	TupleTableSlot *slot;
	Tuplestorestate *targets[PARTITION_COUNT]; /* where spilled rows go now */
	int depth;
	List *waiting; /* of struct partition */
	struct partition *current;
	uint64 spilled;
};

static TupleDesc
make_spill_descriptor(TupleDesc row)
{
	TupleDesc descriptor = CreateTemplateTupleDesc(row->natts + 2);
	int i;

	TupleDescInitEntry(descriptor, 1, "low", INT8OID, -1, 0);
	TupleDescInitEntry(descriptor, 2, "high", INT8OID, -1, 0);
	for (i = 1; i <= row->natts; i++)
		TupleDescCopyEntry(descriptor, i + 2, row, i);
	return descriptor;
}

static void
start_table(struct distinct *distinct)
{
	MemoryContextReset(distinct->table_context);
	distinct->seen = seen_create(distinct->table_context, 1024, NULL);
}

struct distinct *
distinct_create(TupleDesc descriptor, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "dicom_fdw distinct", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	struct distinct *distinct = palloc0(sizeof(*distinct));

	distinct->context = context;
	distinct->table_context = AllocSetContextCreate(context, "dicom_fdw seen keys", ALLOCSET_DEFAULT_SIZES);
	distinct->limit = (size_t) work_mem * 1024;
	if (!pg_strong_random(&distinct->seed, sizeof(distinct->seed)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not make a random seed")));
	distinct->spill_descriptor = make_spill_descriptor(descriptor);
	start_table(distinct);
	MemoryContextSwitchTo(old);
	return distinct;
}

/* A table grows by doubling, half empty then, and the old and the new one exist together for a while. */
static bool
has_room(const struct distinct *distinct)
{
	return distinct->seen->members * sizeof(seen_entry) * 4 < distinct->limit;
}

static enum distinct_verdict
offer_hash(struct distinct *distinct, struct key_hash hash)
{
	bool found;

	if (seen_lookup(distinct->seen, hash))
		return DISTINCT_SEEN;
	if (!has_room(distinct))
		return DISTINCT_UNKNOWN;
	seen_insert(distinct->seen, hash, &found);
	return DISTINCT_NEW;
}

enum distinct_verdict
distinct_offer(struct distinct *distinct, const void *key, size_t length)
{
	distinct->last.low = hash_bytes_extended(key, length, distinct->seed);
	distinct->last.high = hash_bytes_extended(key, length, ~distinct->seed);
	return offer_hash(distinct, distinct->last);
}

/* Each depth looks at bits of its own, and none at those that place the key in the hash table. */
static int
partition_of(struct key_hash hash, int depth)
{
	return (hash.high >> (64 - PARTITION_BITS * (depth % 16 + 1))) & (PARTITION_COUNT - 1);
}

static Tuplestorestate *
target_of(struct distinct *distinct, struct key_hash hash)
{
	int i = partition_of(hash, distinct->depth);

	if (distinct->targets[i] == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(distinct->context);

		distinct->targets[i] = tuplestore_begin_heap(false, false, 64);
		MemoryContextSwitchTo(old);
	}
	return distinct->targets[i];
}

void
distinct_spill(struct distinct *distinct, Datum *values, bool *nulls)
{
	int natts = distinct->spill_descriptor->natts;
	Datum *row = palloc(natts * sizeof(Datum));
	bool *row_nulls = palloc0(natts * sizeof(bool));

	row[0] = Int64GetDatum((int64) distinct->last.low);
	row[1] = Int64GetDatum((int64) distinct->last.high);
	memcpy(row + 2, values, (natts - 2) * sizeof(Datum));
	memcpy(row_nulls + 2, nulls, (natts - 2) * sizeof(bool));
	tuplestore_putvalues(target_of(distinct, distinct->last), distinct->spill_descriptor, row, row_nulls);
	distinct->spilled++;
}

/* What was spilled at this depth becomes partitions that wait for their turn. */
static void
queue_targets(struct distinct *distinct)
{
	MemoryContext old = MemoryContextSwitchTo(distinct->context);
	int i;

	for (i = 0; i < PARTITION_COUNT; i++)
	{
		struct partition *partition;

		if (distinct->targets[i] == NULL)
			continue;
		partition = palloc(sizeof(*partition));
		partition->rows = distinct->targets[i];
		partition->depth = distinct->depth + 1;
		distinct->targets[i] = NULL;
		distinct->waiting = lappend(distinct->waiting, partition);
	}
	MemoryContextSwitchTo(old);
}

static bool
open_next_partition(struct distinct *distinct)
{
	queue_targets(distinct);
	if (distinct->current)
		tuplestore_end(distinct->current->rows);
	distinct->current = NULL;
	if (distinct->waiting == NIL)
		return false;
	distinct->current = linitial(distinct->waiting);
	distinct->waiting = list_delete_first(distinct->waiting);
	distinct->depth = distinct->current->depth;
	start_table(distinct);
	return true;
}

static void
read_spilled(struct distinct *distinct, Datum *values, bool *nulls)
{
	int natts = distinct->spill_descriptor->natts;

	slot_getallattrs(distinct->slot);
	distinct->last.low = (uint64) DatumGetInt64(distinct->slot->tts_values[0]);
	distinct->last.high = (uint64) DatumGetInt64(distinct->slot->tts_values[1]);
	memcpy(values, distinct->slot->tts_values + 2, (natts - 2) * sizeof(Datum));
	memcpy(nulls, distinct->slot->tts_isnull + 2, (natts - 2) * sizeof(bool));
}

/* A tuple from a file is allocated where we are, and the slot frees it at its next use: that must not be a row's memory. */
static bool
fetch_spilled(struct distinct *distinct)
{
	MemoryContext old = MemoryContextSwitchTo(distinct->context);
	bool found;

	if (distinct->slot == NULL)
		distinct->slot = MakeSingleTupleTableSlot(distinct->spill_descriptor, &TTSOpsMinimalTuple);
	found =
		distinct->current && tuplestore_gettupleslot(distinct->current->rows, true, false, distinct->slot);
	MemoryContextSwitchTo(old);
	return found;
}

bool
distinct_next_spilled(struct distinct *distinct, Datum *values, bool *nulls)
{
	if (distinct->spilled == 0)
		return false;
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (!fetch_spilled(distinct))
		{
			if (!open_next_partition(distinct))
				return false;
			continue;
		}
		read_spilled(distinct, values, nulls);
		switch (offer_hash(distinct, distinct->last))
		{
			case DISTINCT_NEW:
				return true;
			case DISTINCT_UNKNOWN:
				distinct_spill(distinct, values, nulls);
				break;
			case DISTINCT_SEEN:
				break;
		}
	}
}

uint64
distinct_spilled(const struct distinct *distinct)
{
	return distinct->spilled;
}

void
distinct_destroy(struct distinct *distinct)
{
	int i;

	if (distinct->slot)
		ExecDropSingleTupleTableSlot(distinct->slot);
	if (distinct->current)
		tuplestore_end(distinct->current->rows);
	for (i = 0; i < PARTITION_COUNT; i++)
		if (distinct->targets[i])
			tuplestore_end(distinct->targets[i]);
	while (distinct->waiting != NIL)
	{
		tuplestore_end(((struct partition *) linitial(distinct->waiting))->rows);
		distinct->waiting = list_delete_first(distinct->waiting);
	}
	MemoryContextDelete(distinct->context);
}
