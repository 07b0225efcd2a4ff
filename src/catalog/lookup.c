/*
 * lookup.c
 *	  What a scan asks the catalog.
 */
#include "postgres.h"

#include "../pg/compat.h"
#include "access/genam.h"
#include "access/heapam.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "../pg/report.h"
#include "header.h"
#include "lookup.h"
#include "sync.h"

/* A listing that skips further than so many rows is followed by a new descent of the index. */
#define STEPS_BEFORE_SEEK 32

struct catalog_lookup
{
	Oid server;
	char *place;
	Relation objects;
	Relation by_key;
	Relation by_day;
	IndexScanDesc key_scan;
	IndexScanDesc day_scan;
	IndexScanDesc scan; /* the one in use */
	TupleTableSlot *slot;
	MemoryContext context;      /* an index scan keeps what it allocates on its way */
	MemoryContext seek_context; /* what an index scan refers to: its keys, from one seek to the next */
	MemoryContext row_context;
	struct catalog_entry ahead; /* read, not yet handed out */
	bool has_ahead;
	bool positioned;
	/* Columns of dicom.object. */
	AttrNumber key, size, last_modified, etag, storage_class, study_date, state, values_cut, header;
	AttrNumber texts[VALUE_COUNT];
};

static const char *const text_columns[VALUE_COUNT] = {
	[VALUE_STUDY_INSTANCE_UID] = "study_instance_uid",
	[VALUE_SERIES_INSTANCE_UID] = "series_instance_uid",
	[VALUE_SOP_INSTANCE_UID] = "sop_instance_uid",
	[VALUE_SOP_CLASS_UID] = "sop_class_uid",
	[VALUE_TRANSFER_SYNTAX_UID] = "transfer_syntax_uid",
	[VALUE_MODALITY] = "modality",
	[VALUE_PATIENT_ID] = "patient_id",
	[VALUE_ISSUER_OF_PATIENT_ID] = "issuer_of_patient_id",
};

static Oid
catalog_relation(const char *name)
{
	Oid schema = get_namespace_oid("dicom", true);
	Oid relation = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;

	if (!OidIsValid(relation))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("dicom.%s does not exist", name),
						errhint("DROP EXTENSION dicom_fdw and create it again.")));
	return relation;
}

/* --- dicom.sync_state --- */

static Datum
state_value(HeapTuple tuple, Relation relation, const char *column, bool *isnull)
{
	return heap_getattr(tuple, get_attnum(RelationGetRelid(relation), column), RelationGetDescr(relation),
						isnull);
}

struct state_row
{
	char *prefix;
	char *place;
	TimestampTz synced_at;
	int64 listed;
};

/* The rows of a server that tell of a complete sync. There are few: one per prefix that was ever given. */
static List *
read_states(Oid server)
{
	Relation relation = table_open(catalog_relation("sync_state"), AccessShareLock);
	TableScanDesc scan = table_beginscan(relation, GetActiveSnapshot(), 0, NULL);
	List *states = NIL;
	HeapTuple tuple;

	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		struct state_row *row;
		bool isnull;
		Datum synced_at = state_value(tuple, relation, "synced_at", &isnull);

		if (isnull || DatumGetObjectId(state_value(tuple, relation, "server", &isnull)) != server)
			continue;
		row = palloc(sizeof(*row));
		row->synced_at = DatumGetTimestampTz(synced_at);
		row->prefix = TextDatumGetCString(state_value(tuple, relation, "prefix", &isnull));
		row->place = TextDatumGetCString(state_value(tuple, relation, "place", &isnull));
		row->listed = DatumGetInt64(state_value(tuple, relation, "listed", &isnull));
		states = lappend(states, row);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	return states;
}

TimestampTz
catalog_lookup_synced_at(struct catalog_lookup *lookup, const char *prefix)
{
	TimestampTz best = DT_NOBEGIN;
	ListCell *cell;

	foreach (cell, read_states(lookup->server))
	{
		struct state_row *row = lfirst(cell);

		if (strcmp(row->place, lookup->place) == 0 &&
			strncmp(prefix, text_to_utf8(row->prefix), strlen(text_to_utf8(row->prefix))) == 0)
			best = Max(best, row->synced_at);
	}
	return best;
}

double
catalog_object_count(ForeignServer *server)
{
	char *place = sync_place(server);
	ListCell *cell;

	foreach (cell, read_states(server->serverid))
	{
		struct state_row *row = lfirst(cell);

		if (row->prefix[0] == '\0' && strcmp(row->place, place) == 0)
			return row->listed;
	}
	return -1;
}

/* --- dicom.object --- */

static void
find_columns(struct catalog_lookup *lookup)
{
	Oid relid = RelationGetRelid(lookup->objects);
	int i;

	lookup->key = get_attnum(relid, "key");
	lookup->size = get_attnum(relid, "size");
	lookup->last_modified = get_attnum(relid, "last_modified");
	lookup->etag = get_attnum(relid, "etag");
	lookup->storage_class = get_attnum(relid, "storage_class");
	lookup->study_date = get_attnum(relid, "study_date");
	lookup->state = get_attnum(relid, "state");
	lookup->values_cut = get_attnum(relid, "values_cut");
	lookup->header = get_attnum(relid, "header");
	for (i = 0; i < VALUE_COUNT; i++)
		lookup->texts[i] = get_attnum(relid, text_columns[i]);
}

struct catalog_lookup *
catalog_lookup_open(ForeignServer *server)
{
	struct catalog_lookup *lookup = palloc0(sizeof(*lookup));
	ListCell *cell;
	bool known = false;

	lookup->server = server->serverid;
	lookup->place = sync_place(server);
	foreach (cell, read_states(server->serverid))
		known |= strcmp(((struct state_row *) lfirst(cell))->place, lookup->place) == 0;
	if (!known)
		return NULL;
	lookup->objects = table_open(catalog_relation("object"), AccessShareLock);
	lookup->by_key = index_open(catalog_relation("object_pkey"), AccessShareLock);
	lookup->by_day = index_open(catalog_relation("object_day"), AccessShareLock);
	lookup->slot =
		MakeSingleTupleTableSlot(RelationGetDescr(lookup->objects), table_slot_callbacks(lookup->objects));
	lookup->context = CurrentMemoryContext;
	lookup->seek_context =
		AllocSetContextCreate(CurrentMemoryContext, "dicom_fdw catalog keys", ALLOCSET_SMALL_SIZES);
	lookup->row_context =
		AllocSetContextCreate(CurrentMemoryContext, "dicom_fdw catalog row", ALLOCSET_DEFAULT_SIZES);
	lookup->key_scan = index_begin(lookup->objects, lookup->by_key, GetActiveSnapshot(), 2);
	lookup->day_scan = index_begin(lookup->objects, lookup->by_day, GetActiveSnapshot(), 3);
	find_columns(lookup);
	return lookup;
}

void
catalog_lookup_close(struct catalog_lookup *lookup)
{
	if (lookup == NULL)
		return;
	ExecDropSingleTupleTableSlot(lookup->slot);
	index_endscan(lookup->key_scan);
	index_endscan(lookup->day_scan);
	index_close(lookup->by_day, AccessShareLock);
	index_close(lookup->by_key, AccessShareLock);
	table_close(lookup->objects, AccessShareLock);
}

void
catalog_lookup_seek(struct catalog_lookup *lookup, const char *key, const DateADT *day)
{
	MemoryContext old = MemoryContextSwitchTo(lookup->seek_context);
	int length = strlen(key);
	ScanKeyData keys[3];
	int count = 0;
	text *first;

	MemoryContextReset(lookup->seek_context);
	first = cstring_to_text_with_len(text_to_server(key, &length, NULL), length);
	ScanKeyInit(&keys[count++], 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(lookup->server));
	if (day)
		ScanKeyInit(&keys[count++], 2, BTEqualStrategyNumber, F_DATE_EQ, DateADTGetDatum(*day));
	ScanKeyEntryInitialize(&keys[count], 0, count + 1, BTGreaterEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXT_GE, PointerGetDatum(first));
	MemoryContextSwitchTo(lookup->context);
	lookup->scan = day ? lookup->day_scan : lookup->key_scan;
	index_rescan(lookup->scan, keys, count + 1, NULL, 0);
	lookup->has_ahead = false;
	lookup->positioned = true;
	MemoryContextSwitchTo(old);
}

static Datum
column_value(struct catalog_lookup *lookup, AttrNumber attnum, bool *isnull)
{
	return slot_getattr(lookup->slot, attnum, isnull);
}

/* A text as UTF-8 with a NUL behind it, in the row's memory; NULL for NULL. */
static const char *
column_text(struct catalog_lookup *lookup, AttrNumber attnum)
{
	bool isnull;
	Datum value = column_value(lookup, attnum, &isnull);

	return isnull ? NULL : text_to_utf8(TextDatumGetCString(value));
}

static void
read_object(struct catalog_lookup *lookup, struct store_object *object)
{
	bool isnull;
	Datum value;

	object->key = column_text(lookup, lookup->key);
	object->etag = column_text(lookup, lookup->etag);
	object->storage_class = column_text(lookup, lookup->storage_class);
	value = column_value(lookup, lookup->size, &isnull);
	object->size = isnull ? STORE_SIZE_UNKNOWN : (uint64) DatumGetInt64(value);
	value = column_value(lookup, lookup->last_modified, &isnull);
	object->last_modified = isnull ? 0
								   : DatumGetTimestampTz(value) +
										 (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

static bool
text_is(const text *value, const char *word)
{
	return VARSIZE_ANY_EXHDR(value) == strlen(word) && memcmp(VARDATA_ANY(value), word, strlen(word)) == 0;
}

static void
read_entry(struct catalog_lookup *lookup, struct catalog_entry *entry)
{
	text *state;
	bool isnull;
	int i;

	read_object(lookup, &entry->object);
	state = DatumGetTextPP(column_value(lookup, lookup->state, &isnull));
	entry->is_whole = text_is(state, "ok");
	entry->is_read = !text_is(state, "failed");
	entry->study_date = DatumGetDateADT(column_value(lookup, lookup->study_date, &isnull));
	entry->values_cut = DatumGetBool(column_value(lookup, lookup->values_cut, &isnull));
	for (i = 0; i < VALUE_COUNT; i++)
		entry->texts[i] = column_value(lookup, lookup->texts[i], &entry->text_nulls[i]);
}

/* Fetches a row into `ahead`. */
static bool
fetch_ahead(struct catalog_lookup *lookup)
{
	MemoryContext old = MemoryContextSwitchTo(lookup->context);

	lookup->has_ahead = index_getnext_slot(lookup->scan, ForwardScanDirection, lookup->slot);
	lookup->positioned = lookup->has_ahead;
	if (lookup->has_ahead)
	{
		MemoryContextReset(lookup->row_context);
		MemoryContextSwitchTo(lookup->row_context);
		read_entry(lookup, &lookup->ahead);
	}
	MemoryContextSwitchTo(old);
	return lookup->has_ahead;
}

bool
catalog_lookup_next(struct catalog_lookup *lookup, struct catalog_entry *entry)
{
	if (!lookup->has_ahead && (!lookup->positioned || !fetch_ahead(lookup)))
		return false;
	*entry = lookup->ahead;
	lookup->has_ahead = false;
	return true;
}

bool
catalog_lookup_find(struct catalog_lookup *lookup, const char *key, struct catalog_entry *entry)
{
	int steps = 0;
	int order = 1;

	if (!lookup->positioned || (lookup->has_ahead && strcmp(lookup->ahead.object.key, key) > 0))
	{
		/* Behind the last row nothing follows, and a row further on says that this key is not there. */
		if (lookup->has_ahead)
			return false;
		catalog_lookup_seek(lookup, key, NULL);
	}
	while (lookup->has_ahead || fetch_ahead(lookup))
	{
		order = strcmp(lookup->ahead.object.key, key);
		if (order >= 0)
			break;
		lookup->has_ahead = false;
		if (++steps == STEPS_BEFORE_SEEK)
			catalog_lookup_seek(lookup, key, NULL);
	}
	if (!lookup->has_ahead || order != 0)
		return false;
	*entry = lookup->ahead;
	return true;
}

bool
catalog_lookup_header(struct catalog_lookup *lookup, struct dicom_window *window)
{
	bool isnull;
	Datum value = column_value(lookup, lookup->header, &isnull);
	bytea *header;
	bool filled;

	if (isnull)
		return false;
	header = DatumGetByteaPP(value);
	filled = header_unpack((const uint8_t *) VARDATA_ANY(header), VARSIZE_ANY_EXHDR(header), window);
	if ((Pointer) header != DatumGetPointer(value))
		pfree(header);
	return filled;
}
