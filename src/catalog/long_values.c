/*
 * long_values.c
 *	  Values that PostgreSQL keeps out of line, one after another.
 *
 * Such a value is cut into chunks, rows (chunk_id, chunk_seq, chunk_data) of a table of its own, with an index on the first two.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/detoast.h"
#include "access/genam.h"
#include "access/heaptoast.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/toast_internals.h"
#include "executor/tuptable.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"

#include "long_values.h"

struct long_values
{
	MemoryContext context;
	Relation chunks;
	Relation index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	bool at_chunk; /* the slot holds a chunk that was not taken yet */
	bool seeked;   /* there may be one behind it */
	uint8 *bytes;
	size_t room;
};

struct long_values *
long_values_open(Relation relation, Snapshot snapshot)
{
	struct long_values *values = palloc0(sizeof(*values));

	values->context = CurrentMemoryContext;
	values->chunks = table_open(relation->rd_rel->reltoastrelid, AccessShareLock);
	values->index =
		index_open(toast_get_valid_index(RelationGetRelid(values->chunks), AccessShareLock), AccessShareLock);
	values->scan = index_begin(values->chunks, values->index, snapshot, 1);
	values->slot =
		MakeSingleTupleTableSlot(RelationGetDescr(values->chunks), table_slot_callbacks(values->chunks));
	return values;
}

void
long_values_close(struct long_values *values)
{
	if (values == NULL)
		return;
	ExecDropSingleTupleTableSlot(values->slot);
	index_endscan(values->scan);
	index_close(values->index, AccessShareLock);
	table_close(values->chunks, AccessShareLock);
}

/* The next chunk will be the first one of this value, or of a later one. */
static void
seek(struct long_values *values, Oid id)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTGreaterEqualStrategyNumber, F_OIDGE, ObjectIdGetDatum(id));
	index_rescan(values->scan, &key, 1, NULL, 0);
	values->at_chunk = false;
	values->seeked = true;
}

/* Is the chunk at hand this one? Where none is at hand, the next is. */
static bool
is_at(struct long_values *values, Oid id, int32 number)
{
	bool isnull;

	if (!values->at_chunk)
		values->at_chunk = values->seeked =
			values->seeked && index_getnext_slot(values->scan, ForwardScanDirection, values->slot);
	return values->at_chunk && DatumGetObjectId(slot_getattr(values->slot, 1, &isnull)) == id &&
		   DatumGetInt32(slot_getattr(values->slot, 2, &isnull)) == number;
}

static void
fail(Oid id)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED), errmsg("a header in dicom.object is not whole"),
			 errdetail("Its value is %u.", id), errhint("Delete the row; dicom.sync() makes it anew.")));
}

/* Appends the chunk at hand to the bytes. */
static size_t
take_chunk(struct long_values *values, Oid id, size_t done, size_t size)
{
	bool isnull;
	struct varlena *chunk = (struct varlena *) DatumGetPointer(slot_getattr(values->slot, 3, &isnull));
	size_t length = VARSIZE_ANY_EXHDR(chunk);

	if (VARATT_IS_EXTENDED(chunk) && !VARATT_IS_SHORT(chunk))
		fail(id);
	if (length == 0 || length > size - done)
		fail(id);
	memcpy(values->bytes + done, VARDATA_ANY(chunk), length);
	values->at_chunk = false;
	return length;
}

static void
reserve(struct long_values *values, size_t size)
{
	if (size <= values->room)
		return;
	values->room = Max(size, values->room * 2);
	if (values->bytes)
		pfree(values->bytes);
	values->bytes = NULL;
	values->bytes = MemoryContextAllocHuge(values->context, values->room);
}

static void
read_chunks(struct long_values *values, Oid id, size_t size)
{
	size_t done = 0;
	int32 number = 0;

	if (!is_at(values, id, 0))
		seek(values, id);
	while (done < size)
	{
		if (!is_at(values, id, number++))
			fail(id);
		done += take_chunk(values, id, done, size);
	}
}

const uint8 *
long_values_fetch(struct long_values *values, Datum value, size_t *length)
{
	struct varlena *stored = (struct varlena *) DatumGetPointer(value);
	struct varatt_external pointer;
	MemoryContext old;

	if (VARATT_IS_EXTERNAL_ONDISK(stored))
	{
		VARATT_EXTERNAL_GET_POINTER(pointer, stored);
		if (pointer.va_toastrelid == RelationGetRelid(values->chunks) &&
			!VARATT_EXTERNAL_IS_COMPRESSED(pointer))
		{
			*length = VARATT_EXTERNAL_GET_EXTSIZE(pointer);
			reserve(values, *length);
			old = MemoryContextSwitchTo(values->context);
			read_chunks(values, pointer.va_valueid, *length);
			MemoryContextSwitchTo(old);
			return values->bytes;
		}
	}
	stored = PG_DETOAST_DATUM_PACKED(value);
	*length = VARSIZE_ANY_EXHDR(stored);
	return (uint8 *) VARDATA_ANY(stored);
}
