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
#include "index_choice.h"
#include "long_values.h"
#include "lookup.h"
#include "sync.h"

/* A listing that skips further than so many rows is followed by a new descent of the index. */
#define STEPS_BEFORE_SEEK 32

static const char *const column_names[CATALOG_COLUMNS] = {
	[VALUE_STUDY_INSTANCE_UID] = "study_instance_uid",
	[VALUE_SERIES_INSTANCE_UID] = "series_instance_uid",
	[VALUE_SOP_INSTANCE_UID] = "sop_instance_uid",
	[VALUE_SOP_CLASS_UID] = "sop_class_uid",
	[VALUE_TRANSFER_SYNTAX_UID] = "transfer_syntax_uid",
	[VALUE_MODALITY] = "modality",
	[VALUE_PATIENT_ID] = "patient_id",
	[VALUE_ISSUER_OF_PATIENT_ID] = "issuer_of_patient_id",
	[CATALOG_STUDY_DATE] = "study_date",
	[CATALOG_KEY] = "key",
	[CATALOG_SIZE] = "size",
	[CATALOG_LAST_MODIFIED] = "last_modified",
	[CATALOG_ETAG] = "etag",
	[CATALOG_STORAGE_CLASS] = "storage_class",
};

struct catalog_lookup
{
	Oid server;
	char *place;
	double listed; /* by the last sync of the most */
	Relation objects;
	Relation by_key;
	Relation by_day;
	Snapshot snapshot;
	IndexScanDesc key_scan;
	IndexScanDesc day_scan;
	struct index_choice *choice;
	enum index_verdict verdict; /* which rows it goes through */
	DateADT day;
	const struct chosen_row *chosen;
	int chosen_count;
	int chosen_next;
	TupleTableSlot *slot;
	bool is_ahead;              /* the row in the slot was not given to the caller yet */
	bool positioned;            /* there may be a row behind it */
	MemoryContext context;      /* an index scan keeps what it allocates on its way */
	MemoryContext seek_context; /* what an index scan refers to: its keys, from one seek to the next */
	MemoryContext row_context;
	struct long_values *headers; /* NULL: none was asked for */
	uint64 rows_read;
	AttrNumber columns[CATALOG_COLUMNS], state, values_cut, header;
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

	for (i = 0; i < CATALOG_COLUMNS; i++)
		lookup->columns[i] = get_attnum(relid, column_names[i]);
	lookup->state = get_attnum(relid, "state");
	lookup->values_cut = get_attnum(relid, "values_cut");
	lookup->header = get_attnum(relid, "header");
}

static bool
was_synced(struct catalog_lookup *lookup)
{
	bool known = false;
	ListCell *cell;

	foreach (cell, read_states(lookup->server))
	{
		struct state_row *row = lfirst(cell);

		if (strcmp(row->place, lookup->place) != 0)
			continue;
		known = true;
		lookup->listed = Max(lookup->listed, row->listed);
	}
	return known;
}

struct catalog_lookup *
catalog_lookup_open(ForeignServer *server)
{
	struct catalog_lookup *lookup = palloc0(sizeof(*lookup));

	lookup->server = server->serverid;
	lookup->place = sync_place(server);
	if (!was_synced(lookup))
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
	lookup->snapshot = GetActiveSnapshot();
	lookup->key_scan = index_begin(lookup->objects, lookup->by_key, lookup->snapshot, 2);
	lookup->day_scan = index_begin(lookup->objects, lookup->by_day, lookup->snapshot, 3);
	lookup->choice = index_choice_open(lookup->objects, lookup->server);
	lookup->verdict = INDEX_OF_KEYS;
	find_columns(lookup);
	return lookup;
}

void
catalog_lookup_close(struct catalog_lookup *lookup)
{
	if (lookup == NULL)
		return;
	ExecDropSingleTupleTableSlot(lookup->slot);
	index_choice_close(lookup->choice);
	long_values_close(lookup->headers);
	index_endscan(lookup->key_scan);
	index_endscan(lookup->day_scan);
	index_close(lookup->by_day, AccessShareLock);
	index_close(lookup->by_key, AccessShareLock);
	table_close(lookup->objects, AccessShareLock);
}

uint64
catalog_lookup_rows_read(const struct catalog_lookup *lookup)
{
	return lookup->rows_read + index_choice_rows_read(lookup->choice);
}

const char *
catalog_lookup_index(const struct catalog_lookup *lookup)
{
	return index_choice_name(lookup->choice);
}

/* --- going through rows --- */

void
catalog_lookup_restrict(struct catalog_lookup *lookup, const struct catalog_condition *conditions, int count,
						bool many)
{
	lookup->verdict =
		index_choice_make(lookup->choice, conditions, count, lookup->listed, many, &lookup->day);
	lookup->chosen = index_choice_rows(lookup->choice, &lookup->chosen_count);
	lookup->chosen_next = 0;
	lookup->is_ahead = lookup->positioned = false;
}

/* The order of a key that is not terminated and one that is. */
static int
compare_key(const char *key, int length, const char *other)
{
	int other_length = strlen(other);
	int order = memcmp(key, other, Min(length, other_length));

	return order != 0 ? order : length - other_length;
}

static void
seek_chosen(struct catalog_lookup *lookup, const char *key)
{
	int low = 0;
	int high = lookup->chosen_count;

	while (low < high)
	{
		int middle = low + (high - low) / 2;
		const struct chosen_row *row = &lookup->chosen[middle];

		if (compare_key(row->key, row->key_length, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	lookup->chosen_next = low;
}

static void
seek_index(struct catalog_lookup *lookup, const char *key)
{
	MemoryContext old = MemoryContextSwitchTo(lookup->seek_context);
	bool of_day = lookup->verdict == INDEX_OF_DAY;
	int length = strlen(key);
	ScanKeyData keys[3];
	int count = 0;
	text *first;

	MemoryContextReset(lookup->seek_context);
	first = cstring_to_text_with_len(text_to_server(key, &length, NULL), length);
	ScanKeyInit(&keys[count++], 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(lookup->server));
	if (of_day)
		ScanKeyInit(&keys[count++], 2, BTEqualStrategyNumber, F_DATE_EQ, DateADTGetDatum(lookup->day));
	ScanKeyEntryInitialize(&keys[count], 0, count + 1, BTGreaterEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXT_GE, PointerGetDatum(first));
	MemoryContextSwitchTo(lookup->context);
	index_rescan(of_day ? lookup->day_scan : lookup->key_scan, keys, count + 1, NULL, 0);
	MemoryContextSwitchTo(old);
}

void
catalog_lookup_seek(struct catalog_lookup *lookup, const char *key)
{
	if (lookup->verdict == INDEX_OF_ROWS)
		seek_chosen(lookup, key);
	else
		seek_index(lookup, key);
	lookup->is_ahead = false;
	lookup->positioned = true;
}

static bool
fetch_chosen(struct catalog_lookup *lookup)
{
	while (lookup->chosen_next < lookup->chosen_count)
		if (index_choice_fetch(lookup->choice, &lookup->chosen[lookup->chosen_next++], lookup->slot))
			return true;
	return false;
}

/* Brings the next row into the slot. */
static bool
fetch(struct catalog_lookup *lookup)
{
	MemoryContext old = MemoryContextSwitchTo(lookup->context);

	MemoryContextReset(lookup->row_context);
	if (lookup->verdict == INDEX_OF_ROWS)
		lookup->positioned = fetch_chosen(lookup);
	else
		lookup->positioned =
			index_getnext_slot(lookup->verdict == INDEX_OF_DAY ? lookup->day_scan : lookup->key_scan,
							   ForwardScanDirection, lookup->slot);
	lookup->is_ahead = lookup->positioned;
	lookup->rows_read += lookup->positioned;
	MemoryContextSwitchTo(old);
	return lookup->positioned;
}

bool
catalog_lookup_next(struct catalog_lookup *lookup)
{
	if (!lookup->is_ahead && (!lookup->positioned || !fetch(lookup)))
		return false;
	lookup->is_ahead = false;
	return true;
}

/* How the row in the slot is ordered to a key. */
static int
compare_row(struct catalog_lookup *lookup, const char *key)
{
	int length;
	const char *own = catalog_row_key(lookup, &length);

	return compare_key(own, length, key);
}

bool
catalog_lookup_find(struct catalog_lookup *lookup, const char *key)
{
	int steps = 0;
	int order = 1;

	if (!lookup->positioned || (lookup->is_ahead && compare_row(lookup, key) > 0))
	{
		/* Behind the last row nothing follows, and a row further on says that this key is not there. */
		if (lookup->is_ahead)
			return false;
		catalog_lookup_seek(lookup, key);
	}
	while (lookup->is_ahead || fetch(lookup))
	{
		order = compare_row(lookup, key);
		if (order >= 0)
			break;
		lookup->is_ahead = false;
		if (++steps == STEPS_BEFORE_SEEK)
			catalog_lookup_seek(lookup, key);
	}
	return lookup->is_ahead && order == 0;
}

/* --- the row --- */

/* A text as a value of its own, in the row's memory where it is not so already. */
static Datum
whole_text(struct catalog_lookup *lookup, Datum value)
{
	struct varlena *stored = (struct varlena *) DatumGetPointer(value);
	MemoryContext old;

	if (!VARATT_IS_EXTERNAL(stored) && !VARATT_IS_COMPRESSED(stored))
		return value;
	old = MemoryContextSwitchTo(lookup->row_context);
	value = PointerGetDatum(PG_DETOAST_DATUM_PACKED(value));
	MemoryContextSwitchTo(old);
	return value;
}

static bool
column_is_text(int column)
{
	return column != CATALOG_STUDY_DATE && column != CATALOG_SIZE && column != CATALOG_LAST_MODIFIED;
}

Datum
catalog_row_value(struct catalog_lookup *lookup, int column, bool *isnull)
{
	Datum value = slot_getattr(lookup->slot, lookup->columns[column], isnull);

	return *isnull || !column_is_text(column) ? value : whole_text(lookup, value);
}

const char *
catalog_row_key(struct catalog_lookup *lookup, int *length)
{
	bool isnull;
	text *key = (text *) DatumGetPointer(catalog_row_value(lookup, CATALOG_KEY, &isnull));

	*length = VARSIZE_ANY_EXHDR(key);
	return VARDATA_ANY(key);
}

/* The first letter of ok, damaged, or failed. */
static char
state_letter(struct catalog_lookup *lookup)
{
	bool isnull;
	text *state = (text *) DatumGetPointer(slot_getattr(lookup->slot, lookup->state, &isnull));

	return VARSIZE_ANY_EXHDR(state) > 0 ? *VARDATA_ANY(state) : '\0';
}

bool
catalog_row_is_whole(struct catalog_lookup *lookup)
{
	return state_letter(lookup) == 'o';
}

bool
catalog_row_is_read(struct catalog_lookup *lookup)
{
	return state_letter(lookup) != 'f';
}

bool
catalog_row_values_cut(struct catalog_lookup *lookup)
{
	bool isnull;

	return DatumGetBool(slot_getattr(lookup->slot, lookup->values_cut, &isnull));
}

/* A text as UTF-8 with a NUL behind it, in the row's memory; NULL for NULL. */
static const char *
column_text(struct catalog_lookup *lookup, int column)
{
	bool isnull;
	Datum value = catalog_row_value(lookup, column, &isnull);

	return isnull ? NULL : text_to_utf8(TextDatumGetCString(value));
}

void
catalog_row_object(struct catalog_lookup *lookup, struct store_object *object)
{
	MemoryContext old = MemoryContextSwitchTo(lookup->row_context);
	bool isnull;
	Datum value;

	object->key = column_text(lookup, CATALOG_KEY);
	object->etag = column_text(lookup, CATALOG_ETAG);
	object->storage_class = column_text(lookup, CATALOG_STORAGE_CLASS);
	value = catalog_row_value(lookup, CATALOG_SIZE, &isnull);
	object->size = isnull ? STORE_SIZE_UNKNOWN : (uint64) DatumGetInt64(value);
	value = catalog_row_value(lookup, CATALOG_LAST_MODIFIED, &isnull);
	object->last_modified = isnull ? 0
								   : DatumGetTimestampTz(value) +
										 (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	MemoryContextSwitchTo(old);
}

bool
catalog_row_header(struct catalog_lookup *lookup, struct dicom_window *window)
{
	bool isnull;
	Datum value = slot_getattr(lookup->slot, lookup->header, &isnull);
	MemoryContext old;
	const uint8 *header;
	size_t length;

	if (isnull)
		return false;
	old = MemoryContextSwitchTo(lookup->context);
	if (lookup->headers == NULL)
		lookup->headers = long_values_open(lookup->objects, lookup->snapshot);
	MemoryContextSwitchTo(lookup->row_context);
	header = long_values_fetch(lookup->headers, value, &length);
	MemoryContextSwitchTo(old);
	return header_unpack(header, length, window);
}
