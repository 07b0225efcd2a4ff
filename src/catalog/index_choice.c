/*
 * index_choice.c
 *	  Which index of dicom.object leads to the rows that may satisfy a scan's conditions.
 */
#include "postgres.h"

#include <math.h>

#include "../pg/compat.h"
#include "access/genam.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "index_choice.h"

/* An index is worth it where it leaves no more than half of the rows, or so few. */
#define WORTH_SHARE 2
#define WORTH_ROWS  1000

/* Entries of one index before it is another one's turn. */
#define STRIDE 32

static const char *const index_names[CATALOG_COLUMNS] = {
	[VALUE_STUDY_INSTANCE_UID] = "object_study",
	[VALUE_SERIES_INSTANCE_UID] = "object_series",
	[VALUE_SOP_INSTANCE_UID] = "object_sop_instance",
	[VALUE_MODALITY] = "object_modality",
	[VALUE_PATIENT_ID] = "object_patient",
	[CATALOG_STUDY_DATE] = "object_day",
};

#define DAY_INDEX_KEY  3 /* column of object_day that has the key */
#define UNPROVEN_INDEX "object_unproven"

/* Keys are kept one behind the other in pieces of memory of at least this size. */
#define KEY_BLOCK (32 * 1024)

/* An index that is open; its scan is begun when the number of its keys is known. */
struct open_index
{
	Relation relation;
	IndexScanDesc scan;
	int key_count;
};

struct index_choice
{
	Oid server;
	Relation objects;
	Snapshot snapshot;
	MemoryContext context;      /* of the open indexes */
	MemoryContext rows_context; /* of what is chosen */
	TupleTableSlot *slot;
	struct IndexFetchTableData *fetch; /* of rows that were chosen */
	AttrNumber key_column;
	struct open_index indexes[CATALOG_COLUMNS];
	struct open_index unproven;
	struct chosen_row *rows;
	int row_count;
	int row_room;
	char *key_room;
	Size key_room_left;
	Size bytes;
	const char *name;
	uint64 rows_read;
};

struct index_choice *
index_choice_open(Relation objects, Oid server)
{
	struct index_choice *choice = palloc0(sizeof(*choice));

	choice->server = server;
	choice->objects = objects;
	choice->snapshot = GetActiveSnapshot();
	choice->context = CurrentMemoryContext;
	choice->rows_context =
		AllocSetContextCreate(CurrentMemoryContext, "dicom_fdw chosen rows", ALLOCSET_DEFAULT_SIZES);
	choice->slot = MakeSingleTupleTableSlot(RelationGetDescr(objects), table_slot_callbacks(objects));
	choice->fetch = table_index_fetch_begin(objects);
	choice->key_column = get_attnum(RelationGetRelid(objects), "key");
	return choice;
}

static void
close_index(struct open_index *index)
{
	if (index->scan)
		index_endscan(index->scan);
	if (index->relation)
		index_close(index->relation, AccessShareLock);
}

void
index_choice_close(struct index_choice *choice)
{
	int i;

	for (i = 0; i < CATALOG_COLUMNS; i++)
		close_index(&choice->indexes[i]);
	close_index(&choice->unproven);
	table_index_fetch_end(choice->fetch);
	ExecDropSingleTupleTableSlot(choice->slot);
}

/* --- scans of an index, in the context of the open indexes --- */

static void
start_scan(struct index_choice *choice, struct open_index *index, const char *name, ScanKey keys, int count)
{
	if (index->relation == NULL)
		index->relation =
			index_open(get_relname_relid(name, RelationGetNamespace(choice->objects)), AccessShareLock);
	if (index->scan && index->key_count != count)
	{
		index_endscan(index->scan);
		index->scan = NULL;
	}
	if (index->scan == NULL)
		index->scan = index_begin(choice->objects, index->relation, choice->snapshot, count);
	index->scan->xs_want_itup = index == &choice->indexes[CATALOG_STUDY_DATE];
	index->key_count = count;
	index_rescan(index->scan, keys, count, NULL, 0);
}

static void
make_server_key(const struct index_choice *choice, ScanKey key)
{
	ScanKeyInit(key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(choice->server));
}

static RegProcedure
date_operator(StrategyNumber strategy)
{
	switch (strategy)
	{
		case BTLessStrategyNumber:
			return F_DATE_LT;
		case BTLessEqualStrategyNumber:
			return F_DATE_LE;
		case BTGreaterEqualStrategyNumber:
			return F_DATE_GE;
		case BTGreaterStrategyNumber:
			return F_DATE_GT;
		default:
			return F_DATE_EQ;
	}
}

static void
make_key(const struct catalog_condition *condition, ScanKey key)
{
	bool is_date = condition->column == CATALOG_STUDY_DATE;

	ScanKeyEntryInitialize(key, (condition->any ? SK_SEARCHARRAY : 0) | (condition->isnull ? SK_ISNULL : 0),
						   2, condition->strategy, InvalidOid, is_date ? InvalidOid : C_COLLATION_OID,
						   is_date ? date_operator(condition->strategy) : F_TEXTEQ, condition->argument);
}

/* Starts the scan of a column's index with all conditions on it. False: there is no index, or no condition. */
static bool
start_candidate(struct index_choice *choice, int column, const struct catalog_condition *conditions,
				int count)
{
	ScanKey keys;
	int key_count = 0;
	int i;

	if (index_names[column] == NULL)
		return false;
	keys = MemoryContextAlloc(choice->rows_context, (count + 2) * sizeof(ScanKeyData));
	make_server_key(choice, &keys[key_count++]);
	for (i = 0; i < count; i++)
		if (conditions[i].column == column)
			make_key(&conditions[i], &keys[key_count++]);
	if (key_count == 1)
		return false;
	/* A file without a day satisfies no condition on it. */
	if (column == CATALOG_STUDY_DATE)
		ScanKeyInit(&keys[key_count++], 2, BTGreaterStrategyNumber, F_DATE_GT,
					DateADTGetDatum(DATEVAL_NOBEGIN));
	start_scan(choice, &choice->indexes[column], index_names[column], keys, key_count);
	return true;
}

/* --- the race --- */

static bool
comes_to_its_end(IndexScanDesc scan)
{
	int i;

	for (i = 0; i < STRIDE; i++)
		if (index_getnext_tid(scan, ForwardScanDirection) == NULL)
			return true;
	return false;
}

/* More rows than these are not few, or there is no memory for them. */
static double
most_rows(double total)
{
	double worth = Max(WORTH_ROWS, total / WORTH_SHARE);

	return Min(worth, (double) work_mem * 1024 / (sizeof(struct chosen_row) + 1));
}

/* The column whose index has the fewest entries; -1: none has few. */
static int
find_shortest(struct index_choice *choice, const bool *runs, double most)
{
	int64 seen;
	int column;

	for (seen = 0; seen < most; seen += STRIDE)
	{
		CHECK_FOR_INTERRUPTS();
		for (column = 0; column < CATALOG_COLUMNS; column++)
			if (runs[column] && comes_to_its_end(choice->indexes[column].scan))
				return column;
	}
	return -1;
}

/* --- rows --- */

static char *
keep_key(struct index_choice *choice, const char *key, int length)
{
	char *kept;

	if (choice->key_room_left < (Size) length)
	{
		choice->key_room_left = Max(KEY_BLOCK, length);
		choice->key_room = palloc(choice->key_room_left);
		choice->bytes += choice->key_room_left;
	}
	kept = memcpy(choice->key_room, key, length);
	choice->key_room += length;
	choice->key_room_left -= length;
	return kept;
}

static void
make_room(struct index_choice *choice)
{
	if (choice->row_count < choice->row_room)
		return;
	choice->row_room = Max(choice->row_room * 2, 256);
	choice->rows = choice->rows ? repalloc_huge(choice->rows, choice->row_room * sizeof(*choice->rows))
								: palloc(choice->row_room * sizeof(*choice->rows));
	choice->bytes += choice->row_room / 2 * sizeof(*choice->rows);
}

/* False: that is too much. */
static bool
add_row(struct index_choice *choice, const ItemPointerData *tid, Datum key)
{
	MemoryContext old = MemoryContextSwitchTo(choice->rows_context);
	text *whole = DatumGetTextPP(key);
	struct chosen_row *row;

	make_room(choice);
	row = &choice->rows[choice->row_count++];
	row->tid = *tid;
	row->key_length = VARSIZE_ANY_EXHDR(whole);
	row->key = keep_key(choice, VARDATA_ANY(whole), row->key_length);
	MemoryContextSwitchTo(old);
	return choice->bytes <= (Size) work_mem * 1024;
}

/*
 * The key of the row that an index entry leads to; false where there is no such row. Where the entry has the key itself, the row
 * is not looked at, and may turn out not to be there.
 */
static bool
key_of_entry(struct index_choice *choice, IndexScanDesc scan, Datum *key)
{
	bool isnull;

	if (scan->xs_want_itup)
	{
		*key = index_getattr(scan->xs_itup, DAY_INDEX_KEY, scan->xs_itupdesc, &isnull);
		return true;
	}
	if (!index_fetch_heap(scan, choice->slot))
		return false;
	choice->rows_read++;
	*key = slot_getattr(choice->slot, choice->key_column, &isnull);
	return true;
}

/* Adds all rows of a scan that was started. False: too many. */
static bool
gather(struct index_choice *choice, IndexScanDesc scan, double most)
{
	bool fits = true;

	while (fits && index_getnext_tid(scan, ForwardScanDirection))
	{
		/* By this one the row is found again; its own may be of a version that no index knows. */
		ItemPointerData tid = scan->xs_heaptid;
		Datum key;

		CHECK_FOR_INTERRUPTS();
		if (key_of_entry(choice, scan, &key))
			fits = add_row(choice, &tid, key) && choice->row_count <= most;
	}
	ExecClearTuple(choice->slot);
	return fits;
}

static bool
gather_unproven(struct index_choice *choice)
{
	ScanKeyData key;

	make_server_key(choice, &key);
	start_scan(choice, &choice->unproven, UNPROVEN_INDEX, &key, 1);
	return gather(choice, choice->unproven.scan, INFINITY);
}

/* By key, and by place: several versions of a row may be there, of which one at most will be found. */
static int
compare_rows(const void *a, const void *b)
{
	const struct chosen_row *left = a;
	const struct chosen_row *right = b;
	int order = memcmp(left->key, right->key, Min(left->key_length, right->key_length));

	if (order == 0)
		order = left->key_length - right->key_length;
	return order != 0 ? order : ItemPointerCompare((ItemPointer) &left->tid, (ItemPointer) &right->tid);
}

/* In key order, each once: an unproven row may come again. */
static void
arrange_rows(struct index_choice *choice, int unproven)
{
	int kept = 0;
	int i;

	qsort(choice->rows, choice->row_count, sizeof(*choice->rows), compare_rows);
	if (unproven == 0)
		return;
	for (i = 0; i < choice->row_count; i++)
		if (kept == 0 || compare_rows(&choice->rows[kept - 1], &choice->rows[i]) != 0)
			choice->rows[kept++] = choice->rows[i];
	choice->row_count = kept;
}

static void
forget_rows(struct index_choice *choice)
{
	MemoryContextReset(choice->rows_context);
	choice->rows = NULL;
	choice->row_count = choice->row_room = 0;
	choice->key_room_left = 0;
	choice->bytes = 0;
}

/* --- the choice --- */

/* The only day that the conditions allow. */
static bool
find_day(const struct catalog_condition *conditions, int count, DateADT *day)
{
	int i;

	for (i = 0; i < count; i++)
	{
		if (conditions[i].column != CATALOG_STUDY_DATE || conditions[i].strategy != BTEqualStrategyNumber ||
			conditions[i].any || conditions[i].isnull)
			continue;
		*day = DatumGetDateADT(conditions[i].argument);
		return *day != DATEVAL_NOBEGIN;
	}
	return false;
}

/* Starts all candidates; returns how many. */
static int
start_candidates(struct index_choice *choice, const struct catalog_condition *conditions, int count,
				 bool many, bool *runs)
{
	int candidates = 0;
	int column;

	for (column = 0; column < CATALOG_COLUMNS; column++)
	{
		runs[column] =
			(!many || column == CATALOG_STUDY_DATE) && start_candidate(choice, column, conditions, count);
		candidates += runs[column];
	}
	return candidates;
}

static enum index_verdict
decide(struct index_choice *choice, const struct catalog_condition *conditions, int count, double total,
	   bool many, DateADT *day)
{
	bool has_day = find_day(conditions, count, day);
	double most = most_rows(total);
	bool runs[CATALOG_COLUMNS];
	int candidates = start_candidates(choice, conditions, count, many, runs);
	int unproven, column;

	if (candidates == 0 || !gather_unproven(choice))
		return INDEX_OF_KEYS;
	unproven = choice->row_count;
	if (has_day && unproven == 0 && candidates == 1)
		return INDEX_OF_DAY;
	/* Entries of days have the keys, so that they are gathered about as fast as they are counted. */
	if (many)
		column = -1;
	else if (candidates == 1 && runs[CATALOG_STUDY_DATE])
		column = CATALOG_STUDY_DATE;
	else
		column = find_shortest(choice, runs, most);
	if (has_day && unproven == 0 && (column < 0 || column == CATALOG_STUDY_DATE))
		return INDEX_OF_DAY;
	if (column < 0)
		return INDEX_OF_KEYS;
	choice->name = index_names[column];
	start_candidate(choice, column, conditions, count);
	if (!gather(choice, choice->indexes[column].scan, unproven + most + STRIDE))
		return INDEX_OF_KEYS;
	arrange_rows(choice, unproven);
	return INDEX_OF_ROWS;
}

enum index_verdict
index_choice_make(struct index_choice *choice, const struct catalog_condition *conditions, int count,
				  double total, bool many, DateADT *day)
{
	MemoryContext old = MemoryContextSwitchTo(choice->context);
	enum index_verdict verdict;

	forget_rows(choice);
	verdict = decide(choice, conditions, count, total, many, day);
	if (verdict != INDEX_OF_ROWS)
	{
		forget_rows(choice);
		choice->name = verdict == INDEX_OF_DAY ? index_names[CATALOG_STUDY_DATE] : "object_pkey";
	}
	MemoryContextSwitchTo(old);
	return verdict;
}

const struct chosen_row *
index_choice_rows(const struct index_choice *choice, int *count)
{
	*count = choice->row_count;
	return choice->rows;
}

bool
index_choice_fetch(struct index_choice *choice, const struct chosen_row *row, TupleTableSlot *slot)
{
	ItemPointerData tid = row->tid;
	bool again = false;

	return table_index_fetch_tuple(choice->fetch, &tid, choice->snapshot, slot, &again, NULL);
}

const char *
index_choice_name(const struct index_choice *choice)
{
	return choice->name;
}

uint64
index_choice_rows_read(const struct index_choice *choice)
{
	return choice->rows_read;
}
